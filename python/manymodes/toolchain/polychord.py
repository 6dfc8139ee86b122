"""PolyChord's shared library: what it needs, and which argument list its C interface takes."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from pathlib import Path

from manymodes.errors import ToolchainError
from manymodes.toolchain.components import Toolchain
from manymodes.toolchain.paths import version_key

_NEWER_INTERFACE = (1, 20)
_STRICT_GLIBC = (2, 41)


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
    """Return the library inside a ``pypolychord`` package folder, or None.

    Builds from source keep it in ``lib/``, wheels in ``libs_pypolychord/``.
    """
    found = [*package.glob("lib/libchord.so"), *package.glob("libs_pypolychord/libchord*.so")]
    return found[0] if found else None


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
        When the toolchain has no PolyChord that works.
    """
    component = toolchain.polychord
    if not component.ok or component.path is None:
        raise ToolchainError(f"PolyChord: {component.problem}; {component.remedy}")
    version = component.version or ""
    beside = component.path.parent
    return PolyChordLibrary(
        path=component.path,
        preload=tuple(
            path for stem in ("quadmath", "gfortran") for path in beside.glob(f"lib{stem}*.so*")
        ),
        version=version,
        newer_interface=version_key(version) >= _NEWER_INTERFACE,
        mpi=uses_mpi(component.path),
    )


def glibc_note() -> str:
    """Say what a glibc that refuses executable stacks needs; empty where it allows them."""
    libc, version = platform.libc_ver()
    if libc != "glibc" or version_key(version) < _STRICT_GLIBC:
        return ""
    return (
        f"glibc {version} refuses the executable stack that PolyChord needs: its child processes "
        "run with GLIBC_TUNABLES=glibc.rtld.execstack=2"
    )
