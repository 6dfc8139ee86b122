"""PolyChord's shared library: the libraries it needs, and the arguments of its C interface."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from dataclasses import dataclass
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

from manymodes.errors import ToolchainError
from manymodes.toolchain import elf
from manymodes.toolchain.components import Toolchain
from manymodes.toolchain.paths import version_key

_NEWER_INTERFACE = (1, 20)
_STRICT_GLIBC = (2, 41)

ENVIRONMENT = {"GLIBC_TUNABLES": "glibc.rtld.execstack=2"}
"""The environment of a process that opens PolyChord: glibc 2.41 refuses its executable stack."""

_SECONDS = 60
# Every C++ program, and so the nested runner, has these loaded; Python's libraries only Python has.
_NOT_PRELOADED = re.compile(
    r"lib(chord|python\d|stdc\+\+\.|gcc_s\.|m\.|c\.|pthread\.|dl\.|rt\.)|ld-|linux-vdso"
)
_OPEN = """
import ctypes, os, sys
try:
    ctypes.CDLL("libstdc++.so.6", ctypes.RTLD_GLOBAL)
except OSError:
    pass
*preload, library = sys.argv[1:]
try:
    for path in preload:
        ctypes.CDLL(path, os.RTLD_NOW | os.RTLD_GLOBAL)
    ctypes.CDLL(library, os.RTLD_NOW).polychord_c_interface
except (OSError, AttributeError) as error:
    print(error, flush=True)
    os._exit(3)
print("opened", flush=True)
os._exit(0)
"""
_opened: set[tuple[object, ...]] = set()


@dataclass(frozen=True)
class PolyChordLibrary:
    """A PolyChord library to be loaded in a child process.

    Attributes
    ----------
    path
        The shared library that exports ``polychord_c_interface``.
    preload
        Libraries to load before it, in order, with ``RTLD_GLOBAL``.
    version
        PolyChord's version.
    newer_interface
        Whether ``polychord_c_interface`` takes the argument list of PolyChord 1.20 and later
        (with ``maximise`` and ``synchronous``).
    mpi
        Whether the library was built with MPI.
    """

    path: Path
    preload: tuple[Path, ...]
    version: str
    newer_interface: bool
    mpi: bool


def find_library(package: Path) -> Path | None:
    """Return the library of a ``pypolychord`` package folder, or None if none can be read.

    Builds from source keep it in ``lib/``, wheels keep it in ``libs_pypolychord/``, and a source
    tree that was built but not installed keeps it beside the package.
    """
    places = [
        *package.glob("lib/libchord.so"),
        *package.glob("libs_pypolychord/libchord*.so"),
        *package.parent.glob("lib/libchord.so"),
    ]
    return next((path for path in places if os.access(path, os.R_OK) and path.is_file()), None)


def stated_version(library: Path) -> str | None:
    """Return the version that the library prints when it runs, or None."""
    stated = re.search(rb"  version: (\d+(?:\.\d+)+)", library.read_bytes())
    return stated[1].decode() if stated else None


def exports_interface(library: Path) -> bool:
    """Whether the library has the plain C entry point."""
    return b"polychord_c_interface" in library.read_bytes()


def uses_mpi(library: Path) -> bool:
    """Whether the library was linked with MPI."""
    return b"libmpi" in library.read_bytes()


def bundles_mpi(library: Path) -> bool:
    """Whether an MPI library lies beside it, as in the wheel of 1.15.1 whose MPI cannot start."""
    return any(library.parent.glob("libmpi*"))


def polychord_library(toolchain: Toolchain) -> PolyChordLibrary:
    """Describe how to load and call the toolchain's PolyChord.

    Raises
    ------
    ToolchainError
        The toolchain has no PolyChord that works.
    """
    component = toolchain.polychord
    if not component.ok or component.path is None:
        raise ToolchainError(f"PolyChord: {component.problem}; {component.remedy}")
    version = component.version or ""
    return PolyChordLibrary(
        path=component.path,
        preload=preloads(component.path),
        version=version,
        newer_interface=version_key(version) >= _NEWER_INTERFACE,
        mpi=uses_mpi(component.path),
    )


def preloads(library: Path) -> tuple[Path, ...]:
    """Return the libraries that must be opened first, in order, with ``RTLD_GLOBAL``.

    These are the run-time library of Fortran, if one lies beside PolyChord's, and libraries that
    PolyChord's uses without listing them: its extension module for Python lists these.
    """
    beside = library.parent
    paths = [path for stem in ("quadmath", "gfortran") for path in beside.glob(f"lib{stem}*.so*")]
    own = elf.read(library)
    listed = set(own.needed) if own else set()
    for module in map(elf.read, _extension_modules(library)):
        if own and module:
            unlisted = [name for name in module.needed if name not in listed]
            paths += [
                _place(name, module.folders)
                for name in unlisted
                if not _NOT_PRELOADED.match(Path(name).name)
            ]
            break
    else:
        paths += _mpi_for_cpp(library, listed)
    return tuple(paths)


def _extension_modules(library: Path) -> list[Path]:
    """Return the extension modules of the library's package, this Python's first."""
    package = library.parent.parent
    found = [
        path
        for folder in (package.parent, package)
        for path in sorted(folder.glob("_pypolychord*.so"))
    ]
    ours = {f"_pypolychord{suffix}" for suffix in EXTENSION_SUFFIXES}
    return sorted(found, key=lambda path: path.name not in ours)


def _place(name: str, folders: tuple[Path, ...]) -> Path:
    """Return the place of a listed library: a folder named with it, or left to the system."""
    return next((folder / name for folder in folders if (folder / name).is_file()), Path(name))


def _mpi_for_cpp(library: Path, listed: set[str]) -> list[Path]:
    """Name Open MPI's library for C++ if it is used and nothing lists it."""
    if b"_ZN3MPI" not in library.read_bytes():
        return []
    return [
        Path(name.replace("libmpi.so", "libmpi_cxx.so"))
        for name in sorted(listed)
        if name.startswith("libmpi.so.")
    ]


def opening_problem(library: Path) -> str:
    """Open the library in a child process as the nested runner does; say why this fails.

    This process opens a library again only if it has changed.
    """
    preload = preloads(library)
    state = library.stat()
    paths = [str(path) for path in (*preload, library)]
    key = (*paths, state.st_mtime_ns, state.st_size, os.environ.get("LD_LIBRARY_PATH"))
    if key in _opened:
        return ""
    try:
        child = subprocess.run(
            [sys.executable, "-I", "-S", "-c", _OPEN, *paths],
            env={**os.environ, **ENVIRONMENT},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"it does not open within {_SECONDS} s"
    if child.returncode == 0 and child.stdout.endswith("opened\n"):
        _opened.add(key)
        return ""
    said = (child.stdout.strip() or child.stderr.strip()).splitlines()
    if said:
        return said[-1].removeprefix(f"{library}: ")
    return f"the process that opens it ends with status {child.returncode}"


def opening_remedy(problem: str, otherwise: str) -> str:
    """Say what to do about a library that cannot be opened; `otherwise` is the other way."""
    absent = re.match(r"(\S+): cannot open shared object file: No such file", problem)
    if absent:
        name = Path(absent[1]).name
        debian = " (Debian, Ubuntu: libopenmpi3)" if name.startswith("libmpi_cxx.so") else ""
        return (
            f"install the library {name}{debian} or put its folder on LD_LIBRARY_PATH, "
            f"or {otherwise}"
        )
    if re.search(r"too short|\bELF\b", problem):
        return otherwise
    if "executable stack" in problem:
        return f"allow this machine's programs an executable stack, or {otherwise}"
    return f"build PolyChord again with this machine's compilers and MPI, or {otherwise}"


def glibc_note() -> str:
    """Say what a glibc that refuses executable stacks needs; empty if it allows them."""
    libc, version = platform.libc_ver()
    if libc != "glibc" or version_key(version) < _STRICT_GLIBC:
        return ""
    return (
        f"glibc {version} refuses the executable stack that PolyChord needs: its child processes "
        "run with GLIBC_TUNABLES=glibc.rtld.execstack=2"
    )
