"""Stan programs compiled once for both engines and kept in a cache.

A program is found in the cache under a hash of everything that changes its machine code: its
own text, every file that it includes, the compiler flags and the toolchain. Each compiled file
is recorded with its own digest, so that a damaged cache is reported instead of executed.

A network's program has two forms of the same density: its definition in Stan, and a form with the
likelihood in C++ (`manymodes.density.kernel`). The second runs wherever it can be compiled.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from manymodes.density.compiler_messages import first_complaint, with_users_names
from manymodes.density.earlier import brought_up_to_date, naming_the_remedy
from manymodes.density.kernel import (
    caution,
    header_files,
    instruction_set,
    user_header,
    with_kernel,
)
from manymodes.density.overloads import FIRST_WITH_OVERLOADS, without_overloads
from manymodes.density.program_files import ProgramFiles, is_shipped, read_program
from manymodes.density.stan_tokens import Parameter, Source, read_source
from manymodes.errors import CompileError, InputError, ManymodesError
from manymodes.runtime.shown import Shown
from manymodes.runtime.storage import write_text
from manymodes.toolchain import Toolchain, home, require
from manymodes.toolchain.build_cache import cached_build, read_digests
from manymodes.toolchain.machine_code import described
from manymodes.toolchain.paths import version_key
from manymodes.toolchain.process import check_finished, inside, run

_EXECUTABLE = "model"
_LIBRARY = "model.so"
_NO_KERNEL = "kernel.txt"
_USER_HEADER = "user_header.hpp"
_LONGEST_STEM = 100


@dataclass(frozen=True, repr=False)
class Program(Shown):
    """A Stan program on disk, with the compiled forms that the two engines need.

    Parameters
    ----------
    stan_file : Path
        The program. Its includes are searched beside it and in manymodes' own
        ``stan/functions`` and ``stan/blocks``.
    kernel : bool
        Compute a network's likelihood in C++ if this can be compiled. Otherwise, and in programs
        without such a likelihood, the Stan program computes it.
    confined : bool
        The program came in a folder, of a run or a network, that somebody else may have made:
        nothing outside that folder is read (except the includes that manymodes ships), and
        `foreign` says so before it is compiled here for the first time.

    Raises
    ------
    InputError
        There is no such file, or its name does not end in ``.stan``.

    Notes
    -----
    Sources are read once. A pickled program carries them: the machine that opens it finds it in
    its own cache, or compiles it into the cache with its own toolchain.

    Examples
    --------
    >>> from pathlib import Path
    >>> # model.stan: a program with the data items kind, N, y, ...
    >>> program = mm.Program(Path("model.stan"))
    >>> program.name, sorted(program.data_items)[:2]
    ('model', ['N', 'kind'])
    """

    stan_file: Path
    kernel: bool = True
    confined: bool = field(default=False, compare=False)

    def _headline(self) -> str:
        return f"Program {self.stan_file.name}{'' if self.kernel else ', without the kernel'}"

    def __post_init__(self) -> None:
        """Check that there is such a file; raise `InputError` if not."""
        path = Path(self.stan_file)
        if path.suffix != ".stan":
            raise InputError(f"{path}: a Stan program is a file that ends in .stan")
        if os.path.isdir(path):
            raise InputError(f"{path} is a folder, not a Stan program")
        if not os.path.isfile(path):
            what = "a link to nothing" if os.path.lexists(path) else "no such Stan program"
            raise InputError(f"{path}: {what}")
        self.__dict__["called"] = str(path)
        object.__setattr__(self, "stan_file", path.resolve())

    def __getstate__(self) -> dict[str, Any]:
        """Carry the sources: another machine may have neither the file nor its includes.

        Toolchain and cache folder belong to this machine and are found anew there.
        """
        carried = ("stan_file", "kernel", "confined", "called")
        return {**{name: self.__dict__[name] for name in carried}, "_files": self._files}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take the carried sources as the program, even if a file at its path here differs."""
        self.__dict__.update(state)

    @property
    def name(self) -> str:
        """The program's name: its file name without the ending."""
        return self.stan_file.stem

    @cached_property
    def called(self) -> str:
        """The program's path as the user gave it."""
        return str(self.stan_file)

    @cached_property
    def _files(self) -> ProgramFiles:
        read = read_program(self.stan_file, Path(self.called), confined=self.confined)
        texts = brought_up_to_date(self.name, read.texts)
        return ProgramFiles(texts, {**{name: name for name in texts}, **read.shown})

    @property
    def sources(self) -> dict[str, str]:
        """The program and all its includes, by name; our earlier files have today's text.

        Files from other places have names of their own, in the includes too: see
        ``manymodes.density.program_files``.
        """
        return self._files.texts

    @cached_property
    def _source(self) -> Source | None:
        with suppress(InputError):  # what cannot be read is for the compiler to complain of
            return read_source(self.sources)
        return None

    @property
    def data_items(self) -> dict[str, Parameter] | None:
        """The items that the program's data block declares; None where it could not be read."""
        source = self._source
        return None if source is None else {item.name: item for item in source.data}

    def check_parameters(self) -> None:
        """Raise `InputError` if the program declares no parameter: it has nothing to sample.

        Raises
        ------
        InputError
            It declares none.

        Examples
        --------
        >>> from pathlib import Path
        >>> size = Path("empty.stan").write_text("model { }")
        >>> try:
        ...     mm.Program(Path("empty.stan")).check_parameters()
        ... except mm.InputError as error:
        ...     print(error)
        empty.stan: the program has no parameters, so there is nothing to sample
        """
        if self._source is not None and not self._source.parameters:
            raise InputError(
                f"{self.called}: the program has no parameters, so there is nothing to sample"
            )

    def users_words(self, message: str) -> str:
        """Return a message of stanc or of the compiled program with the user's names of files.

        Parameters
        ----------
        message : str
            What the compiler or the program said.

        Returns
        -------
        str
            The same with paths of the user instead of those in scratch folders.

        Examples
        --------
        >>> from pathlib import Path
        >>> size = Path("empty.stan").write_text("model { }")
        >>> mm.Program(Path("empty.stan")).users_words("an error in 'empty.stan', line 1")
        "an error in 'empty.stan', line 1"
        """
        return with_users_names(message, self.called, self._files.shown)

    @contextmanager
    def in_users_words(self) -> Iterator[None]:
        """Put the user's names of files into errors that are raised inside the block.

        Yields
        ------
        None
            Errors of manymodes that are raised inside have the user's names.

        Examples
        --------
        >>> from pathlib import Path
        >>> size = Path("empty.stan").write_text("model { }")
        >>> program = mm.Program(Path("empty.stan"))
        >>> try:
        ...     with program.in_users_words():
        ...         raise mm.InputError("an error in 'empty.stan', line 1")
        ... except mm.InputError as error:
        ...     print(error)
        an error in 'empty.stan', line 1
        """
        try:
            yield
        except ManymodesError as error:
            error.args = tuple(map(self.users_words, map(str, error.args)))
            raise

    @property
    def foreign(self) -> str | None:
        """The line that a user reads before a program that came in a folder is first compiled.

        None if the program is already compiled here, if the user named its file, or if manymodes
        ships it.
        """
        if not self.confined or is_shipped(self.sources) or self.is_compiled():
            return None
        return (
            f"{self.called} came with its folder and is new on this machine: it is "
            "compiled and run now; interrupt this if you do not know who made it"
        )

    def fingerprint(self, toolchain: Toolchain) -> str:
        """Return a hash of sources and toolchain, under which the compiled forms are kept.

        The program's own file name does not count, so that copies share the compiled forms.

        Parameters
        ----------
        toolchain : Toolchain
            With what it is compiled.

        Returns
        -------
        str
            24 hexadecimal digits.

        Raises
        ------
        ToolchainError
            The C++ compiler that ``CXX`` names cannot be run.

        Examples
        --------
        >>> from pathlib import Path
        >>> from manymodes.toolchain import require
        >>> program = mm.Program(Path("model.stan"))
        >>> len(program.fingerprint(require("cmdstan", "bridge", "compiler")))
        24
        """
        sources = self._kernel_sources or self.sources
        digest = hashlib.sha256(sources[self.stan_file.name].encode())
        for name in sorted(sources.keys() - {self.stan_file.name}):
            digest.update(f"\0{name}\0{sources[name]}".encode())
        headers = [] if self._kernel_sources is None else header_files()
        digest.update(described(toolchain, headers))
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
        """The sources with the kernel; None if the kernel replaces nothing."""
        return with_kernel(self.sources) if self.kernel else None

    @cached_property
    def definition(self) -> Program:
        """The program as it is written, without the kernel."""
        if not self.kernel:
            return self
        definition = object.__new__(Program)  # avoids the check for a file, which may not exist
        definition.__setstate__({**self.__getstate__(), "kernel": False})
        return definition

    @property
    def kernel_failure(self) -> str | None:
        """Why the form with the kernel did not compile here; None if it did or was not tried."""
        if self._kernel_sources is None:
            return None
        try:
            return (self.folder / _NO_KERNEL).read_text(encoding="utf-8")
        except FileNotFoundError:
            return None

    @property
    def uses_kernel(self) -> bool:
        """Whether the kernel computes the likelihood (or will, if it compiles)."""
        return self._kernel_sources is not None and self.kernel_failure is None

    @property
    def kernel_state(self) -> str | None:
        """The kernel's state on this machine.

        Returns
        -------
        str or None
            The kernel's instruction set (``avx512``, ``avx2`` or ``baseline``); ``off`` if the
            kernel is not wanted, ``not built`` if it did not compile; None for a program
            that has no part for it.
        """
        if with_kernel(self.sources) is None:
            return None
        if not self.kernel:
            return "off"
        return instruction_set() if self.uses_kernel else "not built"

    @property
    def kernel_caution(self) -> str | None:
        """The line that a user reads if the kernel does not run; None if there is none."""
        if not self.kernel:
            return None
        return caution(self.name, self.sources, self.kernel_failure, self.folder / _NO_KERNEL)

    @property
    def _compiled(self) -> Program:
        """The form that runs: this one, or its definition if the kernel did not compile."""
        return self if self.kernel_failure is None else self.definition

    def _with_fallback(self, build: Callable[[Program], Path]) -> Path:
        """Build the program with the kernel or, if this fails, its definition."""
        with naming_the_remedy(self.sources, self._toolchain.cmdstan.version):
            try:
                return build(self._compiled)
            except CompileError as error:
                if not self.uses_kernel:
                    raise
                built = build(self.definition)  # an error here is the program's own
                write_text(self.folder / _NO_KERNEL, str(error))
                return built

    # ------------------------------------------------------------ compiled forms

    def executable(self) -> Path:
        """Return the CmdStan executable, compiling it if the cache has none.

        Our own BridgeStan home makes executable and library from one object file: a program is
        compiled once, and both engines run the same machine code.

        Returns
        -------
        Path
            In the cache.

        Raises
        ------
        CompileError
            The program does not compile.
        InputError
            The cached file is damaged.

        Examples
        --------
        >>> from pathlib import Path
        >>> mm.Program(Path("model.stan")).executable().exists()
        True
        """
        return self._with_fallback(Program._executable)

    def library(self) -> Path:
        """Return the BridgeStan shared object, compiling it if the cache has none.

        Returns
        -------
        Path
            In the cache.

        Raises
        ------
        CompileError
            The program does not compile.
        InputError
            The cached file is damaged.

        Examples
        --------
        >>> from pathlib import Path
        >>> mm.Program(Path("model.stan")).library().suffix
        '.so'
        """
        return self._with_fallback(Program._library)

    def compile(self) -> None:
        """Make sure that both compiled forms are in the cache.

        Raises
        ------
        CompileError
            The program does not compile.
        InputError
            A cached file is damaged.

        Examples
        --------
        >>> from pathlib import Path
        >>> program = mm.Program(Path("model.stan"))
        >>> program.compile()  # nothing happens where the cache has it
        >>> program.is_compiled()
        True
        """
        self.library()
        self.executable()

    def is_compiled(self) -> bool:
        """Whether both compiled forms are in the cache.

        Returns
        -------
        bool
            False where one of them is missing.

        Examples
        --------
        >>> from pathlib import Path
        >>> program = mm.Program(Path("model.stan"))
        >>> program.compile()
        >>> program.is_compiled()
        True
        """
        return {_EXECUTABLE, _LIBRARY} <= read_digests(self._compiled.folder).keys()

    def _executable(self) -> Path:
        if self._has_our_bridge and _EXECUTABLE not in read_digests(self.folder):
            self._library()
        return cached_build(self.folder, _EXECUTABLE, self._compile_cmdstan)

    def _library(self) -> Path:
        return cached_build(self.folder, _LIBRARY, self._compile_bridge)

    def _write_sources(self, folder: Path) -> Path:
        """Write the program, under a name that make can take, and its includes."""
        sources = self._kernel_sources or self.sources
        stem = re.sub(r"\W", "_", self.name, flags=re.ASCII)[:_LONGEST_STEM]
        while f"{stem}.stan" in sources.keys() - {self.stan_file.name}:
            stem += "_"
        main = f"{stem}.stan"

        def write(texts: Mapping[str, str]) -> Path:
            for name, text in texts.items():
                target = folder / (main if name == self.stan_file.name else name)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(text, encoding="utf-8")
            return folder / main

        if self._kernel_sources is not None:
            (folder / _USER_HEADER).write_text(user_header(stem, self.sources), encoding="utf-8")
        if version_key(self._toolchain.cmdstan.version) < FIRST_WITH_OVERLOADS:
            with suppress(InputError):  # what cannot be read is for the compiler to complain of
                write(without_overloads(sources, lambda said: self._check(write(said))))
                return folder / main
        return write(sources)

    def _check(self, stan_file: Path) -> str:
        """Return stanc's errors on a program, with file names as in its sources."""
        stanc = f"{self._toolchain.cmdstan.path}/bin/stanc"
        command = [stanc, "--o=/dev/null", f"--include-paths={stan_file.parent}", str(stan_file)]
        command += ["--allow-undefined"] * (self._kernel_sources is not None)
        done = run(command)
        said = f"{done.stdout}{done.stderr}".replace(f"'{stan_file}'", f"'{self.stan_file.name}'")
        return said.replace(f"'{stan_file.parent}/", "'") if done.returncode != 0 else ""

    def _failure(self, output: str, scratch: Path) -> CompileError:
        """Return the error of a program that did not compile in a scratch folder."""
        return CompileError(self.users_words(first_complaint(self.name, output, scratch)))

    def _compile_cmdstan(self, scratch: Path) -> Path:
        executable = self._write_sources(scratch).with_suffix("")
        command = [os.environ.get("MAKE") or "make", f"STANCFLAGS+=--include-paths={scratch}"]
        if self._kernel_sources is not None:
            command[1] += " --allow-undefined"
            command.append(f"USER_HEADER={scratch / _USER_HEADER}")
        command.append(str(executable))
        variables = {**os.environ, **inside(scratch)}
        done = run(command, cwd=self._toolchain.cmdstan.path, env=variables)
        check_finished(self.name, done)
        if done.returncode != 0:
            raise self._failure(f"{done.stdout}\n{done.stderr}", scratch)
        return executable

    def _compile_bridge(self, scratch: Path) -> Path:
        stan_file = self._write_sources(scratch)
        target = stan_file.with_name(f"{stan_file.stem}_model.so")
        executable = stan_file.with_suffix("")
        folder = "." if self._has_our_bridge else scratch
        flags = [f"--include-paths={folder}", *os.environ.get("STANCFLAGS", "").split()]
        command = ["make", str(target)]
        if self._kernel_sources is not None:
            flags.append("--allow-undefined")
            command.append(f"USER_HEADER={scratch / _USER_HEADER}")
        if self._has_our_bridge:
            command += [f"EXECUTABLE={executable}", "RELATIVE=1"]
        variables = {
            **os.environ,
            "CMDSTAN": str(self._toolchain.cmdstan.path),
            "BRIDGE_BUILD": str(home() / "bridge"),
            **inside(scratch),
        }
        command.append(f"STANCFLAGS={' '.join(flags)}")
        done = run(command, cwd=self._toolchain.bridge.path, env=variables)
        check_finished(self.name, done)
        if done.returncode != 0:
            raise self._failure(f"{done.stdout}\n{done.stderr}", scratch)
        if self._has_our_bridge:
            cached_build(self.folder, _EXECUTABLE, lambda _: executable)
        return target
