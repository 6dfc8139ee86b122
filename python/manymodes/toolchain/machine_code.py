"""Inputs to a program's machine code besides its text: compiler, flags, build files."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from manymodes.errors import ToolchainError
from manymodes.toolchain import Toolchain

_SETTABLE = re.compile(r"^\s*(?:([A-Z]\w*)\s*\?=|ifn?def\s+([A-Z]\w*))", re.MULTILINE)
"""Matches a variable that a makefile leaves to the environment."""
_ALWAYS = {
    *("CXX", "CXXFLAGS", "CPPFLAGS", "LDFLAGS", "LDLIBS", "O", "STANCFLAGS", "TARGET_ARCH"),
    *("BRIDGESTAN_AD_HESSIAN", "STAN_THREADS", "STAN_OPENCL", "STAN_MPI", "STAN_CPP_OPTIMS"),
    *("CPATH", "CPLUS_INCLUDE_PATH", "LIBRARY_PATH", "GCC_EXEC_PREFIX", "COMPILER_PATH"),
}
"""Variables that make's own rules, the makefiles' conditions and the compiler itself read."""
_NEVER = {"OS", "WINE", "BRIDGE_BUILD", "USER_HEADER", "EXECUTABLE", "CMDSTAN", "MAKE"}


def described(toolchain: Toolchain, headers: Iterable[Path] = ()) -> bytes:
    """Return all inputs, besides the program, that decide its machine code, to be hashed.

    Settings of the environment count as make sees them, and so do the files in which the
    makefiles look for some: ``make/local`` and the user's ``~/.config/stan/make.local``.

    Parameters
    ----------
    toolchain : Toolchain
        A toolchain with CmdStan and a BridgeStan home.
    headers : iterable of Path
        C++ files that are compiled with the program.
    """
    parts = [
        f"{one.version}\0{one.path}\0".encode() for one in (toolchain.cmdstan, toolchain.bridge)
    ]
    parts.append(compiler_version().encode())
    files = [*_build_files(toolchain.bridge.path), *headers, *_local_files(toolchain)]
    parts += [path.read_bytes() for path in files]
    parts += [f"\0{name}={value}".encode() for name, value in environment(toolchain.cmdstan.path)]
    return b"".join(parts)


def environment(cmdstan: Path | None) -> list[tuple[str, str]]:
    """Return the variables of the environment that change machine code, with their values.

    Parameters
    ----------
    cmdstan : Path, optional
        Its makefiles say which variables they take.
    """
    names = _ALWAYS | (_settable(cmdstan) if cmdstan is not None else frozenset()) - _NEVER
    found = [(name, os.environ[name]) for name in sorted(names) if name in os.environ]
    flags = shlex.split(os.environ.get("MAKEFLAGS", ""), posix=False)
    return found + [("MAKEFLAGS", flag) for flag in flags if "=" in flag]


@cache
def _settable(cmdstan: Path) -> frozenset[str]:
    """Return the variables that a CmdStan's makefiles leave to the environment."""
    math = cmdstan / "stan" / "lib" / "stan_math" / "make"
    files = [cmdstan / "makefile", *(cmdstan / "make").glob("*"), *math.glob("*")]
    texts = [path.read_text(errors="replace") for path in files if path.is_file()]
    return frozenset(a or b for text in texts for a, b in _SETTABLE.findall(text))


def compiler_version() -> str:
    """Return the release of the C++ compiler, which is g++ unless ``CXX`` names another.

    Raises
    ------
    ToolchainError
        It cannot be run.
    """
    return _version_of(os.environ.get("CXX") or "g++")


@cache
def _version_of(compiler: str) -> str:
    for option in ("-dumpfullversion", "-dumpversion"):  # only gcc knows the first
        command = [*shlex.split(compiler), option]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except OSError as error:
            raise ToolchainError(f"the C++ compiler '{compiler}' cannot be run: {error}") from error
        if done.returncode == 0:
            return done.stdout.strip()
    raise ToolchainError(f"the C++ compiler '{compiler}' does not say its version: {done.stderr}")


def _local_files(toolchain: Toolchain) -> list[Path]:
    homes = [one.path for one in (toolchain.cmdstan, toolchain.bridge) if one.path is not None]
    files = [path / "make" / "local" for path in homes]
    files.append(Path("~/.config/stan/make.local").expanduser())
    return [path for path in files if path.is_file()]


def _build_files(tree: Path | None) -> list[Path]:
    if tree is None or not tree.is_dir():
        return []
    endings = {".hpp", ".cpp", ".h", ".mk"}
    return sorted(
        path
        for path in tree.iterdir()
        if path.is_file() and (path.suffix in endings or path.name == "Makefile")
    )
