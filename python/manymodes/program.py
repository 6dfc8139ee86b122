"""Stan programs compiled once for both engines and kept in a cache.

A program is found in the cache under a hash of everything that changes its machine code: its
own text, every file that it includes, the compiler flags and the toolchain. Each compiled file
is recorded with its own digest, so that a damaged cache is reported instead of executed.

A network's program has two forms of the same density: its definition in Stan, and one with the
likelihood in C++ (`manymodes.kernel`), which is what runs wherever it can be compiled.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from manymodes.build_cache import cached_build, read_digests, write_note
from manymodes.errors import CompileError, InputError, KilledError, StorageError
from manymodes.kernel import caution, header_files, instruction_set, user_header, with_kernel
from manymodes.overloads import FIRST_WITH_OVERLOADS, without_overloads
from manymodes.toolchain import Toolchain, home, require, stan_dir
from manymodes.toolchain.paths import version_key
from manymodes.toolchain.process import run

_INCLUDE = re.compile(r"^\s*#include\s+[\"<]?([^\s\">]+)[\">]?", re.MULTILINE)
_EXECUTABLE = "model"
_LIBRARY = "model.so"
_NO_KERNEL = "kernel.txt"
_USER_HEADER = "user_header.hpp"
_KILLED = re.compile(r"\b(Killed|Terminated|Hangup)\b|Error 1(29|30|37|43)\b")


@dataclass(frozen=True)
class Program:
    """A Stan program on disk, with the compiled forms that the two engines need.

    Parameters
    ----------
    stan_file : Path
        The program. Its includes are looked for beside it and in manymodes' own
        ``stan/functions``.
    kernel : bool
        Compute a network's likelihood in C++ where that can be compiled, otherwise, and in
        programs that have none, as the Stan program says.

    Notes
    -----
    Sources are read once. A pickled program carries them: where it is opened it is found in
    that machine's cache, or compiled into it with that machine's toolchain.
    """

    stan_file: Path
    kernel: bool = True

    def __post_init__(self) -> None:
        """Check that the file can be read; raise `InputError` if not."""
        path = Path(self.stan_file)
        if path.suffix != ".stan":
            raise InputError(f"{path}: a Stan program is a file that ends in .stan")
        if not path.is_file():
            raise InputError(f"{path}: no such Stan program")
        object.__setattr__(self, "stan_file", path.resolve())

    def __getstate__(self) -> dict[str, Any]:
        """Carry the sources: another machine has neither the file nor, maybe, its includes.

        What belongs to this machine (toolchain, cache folder) is found anew over there.
        """
        return {"stan_file": self.stan_file, "kernel": self.kernel, "sources": self.sources}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take the carried sources for the program, whatever is at their path here."""
        self.__dict__.update(state)

    @property
    def name(self) -> str:
        """The program's name: its file name without the ending."""
        return self.stan_file.stem

    @property
    def include_paths(self) -> tuple[Path, ...]:
        """The folders in which ``#include`` looks, in order."""
        return (self.stan_file.parent, stan_dir() / "functions")

    @cached_property
    def sources(self) -> dict[str, str]:
        """The program and everything that it includes, by the name it is included under."""
        sources: dict[str, str] = {}
        pending = [self.stan_file.name]
        while pending:
            name = pending.pop()
            if name in sources:
                continue
            path = self._locate(name)
            sources[name] = path.read_text(encoding="utf-8")
            pending.extend(_INCLUDE.findall(sources[name]))
        return sources

    def _locate(self, name: str) -> Path:
        for folder in self.include_paths:
            if (folder / name).is_file():
                return folder / name
        raise InputError(
            f"{self.stan_file}: #include {name} is found neither beside it nor in stan/functions"
        )

    def fingerprint(self, toolchain: Toolchain) -> str:
        """Return a hash of sources and toolchain, under which the compiled forms are kept.

        The program's own file name does not count, so that copies share what is compiled.
        """
        sources = self._kernel_sources or self.sources
        digest = hashlib.sha256(sources[self.stan_file.name].encode())
        for name in sorted(sources.keys() - {self.stan_file.name}):
            digest.update(f"\0{name}\0{sources[name]}".encode())
        for component in (toolchain.cmdstan, toolchain.bridge):
            digest.update(f"{component.version}\0{component.path}\0".encode())
        digest.update(_compiler_version().encode())
        headers = [] if self._kernel_sources is None else header_files()
        for path in (*_build_files(toolchain.bridge.path), *headers):
            digest.update(path.read_bytes())
        local = toolchain.cmdstan.path / "make" / "local" if toolchain.cmdstan.path else None
        if local is not None and local.is_file():
            digest.update(local.read_bytes())
        return digest.hexdigest()[:24]

    @cached_property
    def _toolchain(self) -> Toolchain:
        return require("cmdstan", "bridge", "compiler")

    @property
    def _has_our_bridge(self) -> bool:
        return self._toolchain.bridge.source == "manymodes"

    @cached_property
    def folder(self) -> Path:
        """The program's folder in the cache."""
        return home() / "programs" / self.fingerprint(self._toolchain)

    # ------------------------------------------------------------ the two forms

    @cached_property
    def _kernel_sources(self) -> dict[str, str] | None:
        """What is compiled with the kernel; None where it has no part."""
        return with_kernel(self.sources) if self.kernel else None

    @cached_property
    def definition(self) -> Program:
        """The program as it is written, without the kernel."""
        if not self.kernel:
            return self
        definition = replace(self, kernel=False)
        definition.__dict__["sources"] = self.sources
        return definition

    @property
    def kernel_failure(self) -> str | None:
        """Why the form with the kernel did not compile here; None if it did, or was not tried."""
        if self._kernel_sources is None:
            return None
        try:
            return (self.folder / _NO_KERNEL).read_text(encoding="utf-8")
        except FileNotFoundError:
            return None

    @property
    def uses_kernel(self) -> bool:
        """Whether the likelihood that runs is the kernel's (or will be, if that compiles)."""
        return self._kernel_sources is not None and self.kernel_failure is None

    @property
    def kernel_state(self) -> str | None:
        """What computes the likelihood on this machine.

        Returns
        -------
        str or None
            The kernel's instruction set (``avx512``, ``avx2`` or ``baseline``); ``off`` where the
            kernel is not wanted, ``not built`` where it did not compile; None for a program
            that has no part for it.
        """
        if with_kernel(self.sources) is None:
            return None
        if not self.kernel:
            return "off"
        return instruction_set() if self.uses_kernel else "not built"

    @property
    def kernel_caution(self) -> str | None:
        """The line that a user reads where the kernel did not compile; None if there is none."""
        failure = self.kernel_failure
        return failure and caution(self.name, failure, self.folder / _NO_KERNEL)

    @property
    def _compiled(self) -> Program:
        """The form that runs: this one, or its definition where the kernel did not compile."""
        return self if self.kernel_failure is None else self.definition

    def _with_fallback(self, build: Callable[[Program], Path]) -> Path:
        """Build the program with the kernel or, where that fails, its definition."""
        try:
            return build(self._compiled)
        except CompileError as error:
            if not self.uses_kernel:
                raise
            built = build(self.definition)  # or its error, which is the program's own
            write_note(self.folder, _NO_KERNEL, str(error))
            return built

    # ------------------------------------------------------------ compiled forms

    def executable(self) -> Path:
        """Return the CmdStan executable, compiling it if the cache has none.

        Our own BridgeStan home makes it with the library, from one object: a program is compiled
        once, and both engines run the same machine code.

        Raises
        ------
        CompileError
            The program does not compile.
        InputError
            The cached file is damaged.
        """
        return self._with_fallback(Program._executable)

    def library(self) -> Path:
        """Return the BridgeStan shared object, compiling it if the cache has none.

        Raises
        ------
        CompileError
            The program does not compile.
        InputError
            The cached file is damaged.
        """
        return self._with_fallback(Program._library)

    def compile(self) -> None:
        """Have both compiled forms in the cache.

        Raises
        ------
        CompileError
            The program does not compile.
        InputError
            A cached file is damaged.
        """
        self.library()
        self.executable()

    def is_compiled(self) -> bool:
        """Whether both compiled forms are in the cache."""
        return {_EXECUTABLE, _LIBRARY} <= read_digests(self._compiled.folder).keys()

    def _executable(self) -> Path:
        if self._has_our_bridge and _EXECUTABLE not in read_digests(self.folder):
            self._library()
        return cached_build(self.folder, _EXECUTABLE, self._compile_cmdstan)

    def _library(self) -> Path:
        return cached_build(self.folder, _LIBRARY, self._compile_bridge)

    def _write_sources(self, folder: Path) -> Path:
        """Write the program, under a name that make can take, and its includes."""
        main = re.sub(r"\W", "_", self.name, flags=re.ASCII) + ".stan"
        sources = self._kernel_sources or self.sources
        if self._kernel_sources is not None:
            header = user_header(Path(main).stem)
            (folder / _USER_HEADER).write_text(header, encoding="utf-8")

        def write(texts: Mapping[str, str]) -> Path:
            for name, text in texts.items():
                target = folder / (main if name == self.stan_file.name else name)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(text, encoding="utf-8")
            return folder / main

        if version_key(self._toolchain.cmdstan.version) < FIRST_WITH_OVERLOADS:
            with suppress(InputError):  # what cannot be read is for the compiler to complain of
                write(without_overloads(sources, lambda said: self._check(write(said))))
                return folder / main
        return write(sources)

    def _check(self, stan_file: Path) -> str:
        """Return what stanc has to say against a program, files called as in its sources."""
        stanc = f"{self._toolchain.cmdstan.path}/bin/stanc"
        command = [stanc, "--o=/dev/null", f"--include-paths={stan_file.parent}", str(stan_file)]
        command += ["--allow-undefined"] * (self._kernel_sources is not None)
        done = run(command)
        said = f"{done.stdout}{done.stderr}".replace(f"'{stan_file}'", f"'{self.stan_file.name}'")
        return said.replace(f"'{stan_file.parent}/", "'") if done.returncode != 0 else ""

    def _compile_cmdstan(self, scratch: Path) -> Path:
        executable = self._write_sources(scratch).with_suffix("")
        command = [os.environ.get("MAKE") or "make", f"STANCFLAGS+=--include-paths={scratch}"]
        if self._kernel_sources is not None:
            command[1] += " --allow-undefined"
            command.append(f"USER_HEADER={scratch / _USER_HEADER}")
        command.append(str(executable))
        variables = {**os.environ, **_inside(scratch)}
        _check_compiled(self.name, run(command, cwd=self._toolchain.cmdstan.path, env=variables))
        return executable

    def _compile_bridge(self, scratch: Path) -> Path:
        stan_file = self._write_sources(scratch)
        target = stan_file.with_name(f"{stan_file.stem}_model.so")
        executable = stan_file.with_suffix("")
        command = ["make", f"STANCFLAGS=--include-paths={scratch}", str(target)]
        if self._kernel_sources is not None:
            command[1] += " --allow-undefined"
            command.append(f"USER_HEADER={scratch / _USER_HEADER}")
        if self._has_our_bridge:
            command.append(f"EXECUTABLE={executable}")
        variables = {
            **os.environ,
            "CMDSTAN": str(self._toolchain.cmdstan.path),
            "BRIDGE_BUILD": str(home() / "bridge"),
            **_inside(scratch),
        }
        done = run(command, cwd=self._toolchain.bridge.path, env=variables)
        _check_compiled(self.name, done)
        if self._has_our_bridge:
            cached_build(self.folder, _EXECUTABLE, lambda _: executable)
        return target


def nested_runner() -> Path:
    """Return the executable that runs PolyChord over a compiled density, building it once.

    Raises
    ------
    CompileError
        The C++ compiler fails.
    """
    source = stan_dir() / "nested" / "polychord_run.cpp"
    require("compiler")
    digest = hashlib.sha256(source.read_bytes() + _compiler_version().encode()).hexdigest()[:24]

    def build(scratch: Path) -> Path:
        target = scratch / "polychord_run"
        command = ["g++", "-std=c++14", "-O3", str(source), "-o", str(target), "-ldl"]
        _check_compiled("polychord_run", run(command, env={**os.environ, **_inside(scratch)}))
        return target

    return cached_build(home() / "programs" / f"nested-{digest}", "polychord_run", build)


@cache
def _compiler_version() -> str:
    """Return the release of g++."""
    command = ["g++", "-dumpfullversion"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def _inside(scratch: Path) -> dict[str, str]:
    """Return the variables that keep what compilers write, while they run, in one folder."""
    return {"TMPDIR": str(scratch), "BRIDGE_SCRATCH": str(scratch)}


def _check_compiled(name: str, done: subprocess.CompletedProcess[str]) -> None:
    """Raise what is the matter with a command that failed."""
    if done.returncode == 0:
        return
    said = f"{done.stdout}\n{done.stderr}"
    if "No space left on device" in said or "Disk quota exceeded" in said:
        raise StorageError(
            f"{name} is not compiled: the disk of {home()} is full; free space, or set "
            "MANYMODES_HOME to another disk"
        )
    if done.returncode > 128 or done.returncode < 0 or _KILLED.search(said):
        raise KilledError(
            f"{name} is not compiled: the compiler was killed; if not by you, then memory is short"
        )
    raise CompileError(_first_complaint(name, said))


def _build_files(tree: Path | None) -> list[Path]:
    if tree is None or not tree.is_dir():
        return []
    endings = {".hpp", ".cpp", ".h", ".mk"}
    return sorted(
        path
        for path in tree.iterdir()
        if path.is_file() and (path.suffix in endings or path.name == "Makefile")
    )


def _first_complaint(name: str, output: str) -> str:
    """Return what a compiler said that matters, on few lines."""
    output = re.sub(r"/\S*/building-\w+/", "", output)
    lines = [line for line in re.split(r"\s*\n|(?=make: \*\*\*)", output) if line.strip()]
    lines = [line for line in lines if not line.startswith(("make:", "Command ["))] or lines
    marks = ("error", "Error", "Semantic", "Syntax")
    for i, line in enumerate(lines):
        if any(mark in line for mark in marks):
            rest = [line for line in lines[i : i + 12] if "exited with code" not in line]
            return f"{name} does not compile:\n" + "\n".join(rest)
    return f"{name} does not compile:\n" + "\n".join(lines[-12:])
