"""Compiled programs: they are compiled side by side and loaded with data."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any, Protocol

from manymodes.density.program import Program
from manymodes.errors import InputError, KernelWarning, ManymodesWarning, ToolchainError
from manymodes.runtime.interrupts import interruptible
from manymodes.runtime.printed import capture
from manymodes.runtime.progress import Progress
from manymodes.toolchain.process import end_commands


def load_model(program: Program, data_json: str, data_file: Path | None) -> Any:
    """Return a program with data as a ``bridgestan.StanModel``, compiled if need be.

    Parameters
    ----------
    program : Program
        The program.
    data_json : str
        Its data.
    data_file : Path, optional
        The file of the data, for messages.

    Raises
    ------
    InputError
        The data do not fit the program (the message is Stan's) or leave it without parameters.
    CompileError
        The program does not compile.
    ToolchainError
        The compiled library cannot be loaded.
    """
    import bridgestan

    _warn_of_foreign([program])
    library = program.library()

    def load() -> Any:  # a separate call, because transformed data may loop without end
        capture(library)
        return bridgestan.StanModel(str(library), data_json, capture_stan_prints=False)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # one library serves many data sets on purpose
        try:
            model = interruptible(load)
        except OSError as error:
            raise ToolchainError(f"{library} cannot be loaded: {error}") from error
        except RuntimeError as error:
            source = "" if data_file is None else f"{data_file}: "
            said = " ".join(program.users_words(str(error)).split())
            raise InputError(
                f"{source}the data do not fit the program {program.name}: {said}"
            ) from error
    if model.param_unc_num() == 0:
        raise InputError(
            f"{program.called}: with these data the program has no parameters, so that there is "
            "nothing to sample"
        )
    return model


class _Posterior(Protocol):
    """The posterior's program, and what the compilation needs of it."""

    @property
    def program(self) -> Program: ...

    @property
    def depth_caution(self) -> str: ...

    def check(self) -> None: ...


def compile_posteriors(posteriors: Iterable[_Posterior], *, quiet: bool = False) -> None:
    """Compile the programs of several posteriors for both engines, two at a time.

    Parameters
    ----------
    posteriors : iterable of Posterior
        Programs that are in the cache are not compiled again.
    quiet : bool
        Show no progress.

    Warns
    -----
    ManymodesWarning
        A program came in a folder that somebody else may have made, and is not compiled yet.
    KernelWarning
        The kernel does not compile here, or does not take so many layers: the programs run
        without it.

    Raises
    ------
    InputError
        A program has no parameters, or a whole number of its data is too large for Stan.
    CompileError
        A program does not compile.
    """
    posteriors = list(posteriors)
    for one in posteriors:
        one.check()
    compile_programs({one.program for one in posteriors}, quiet=quiet)
    for depth in sorted(filter(None, {one.depth_caution for one in posteriors})):
        warnings.warn(depth, KernelWarning, stacklevel=2)


def compile_programs(programs: Iterable[Program], *, quiet: bool = False) -> None:
    """Compile programs for both engines, two at a time.

    Parameters
    ----------
    programs : iterable of Program
        Programs that are in the cache are not compiled again.
    quiet : bool
        Show no progress.

    Warns
    -----
    ManymodesWarning
        A program came in a folder that somebody else may have made, and is not compiled yet.
    KernelWarning
        The kernel does not compile here: the programs run without it.

    Raises
    ------
    CompileError
        A program does not compile.
    """
    programs = set(programs)
    _warn_of_foreign(programs)
    _compile({program for program in programs if not program.is_compiled()}, quiet)
    for caution in sorted(filter(None, {program.kernel_caution for program in programs})):
        warnings.warn(caution, KernelWarning, stacklevel=3)


def _warn_of_foreign(programs: Iterable[Program]) -> None:
    """Say that programs that came in folders are compiled and run, if they are new here."""
    for said in sorted(filter(None, {program.foreign for program in programs})):
        warnings.warn(said, ManymodesWarning, stacklevel=4)


def _compile(programs: set[Program], quiet: bool) -> None:
    if not programs:
        return
    progress = Progress("compiling " + ", ".join(sorted(p.name for p in programs)), quiet=quiet)
    with ThreadPoolExecutor(2) as pool:
        jobs = [pool.submit(program.compile) for program in programs]
        pending = set(jobs)
        try:
            while pending:
                done = len(jobs) - len(pending)
                progress.update(f"{done} of {len(jobs)} done, about half a minute each")
                pending = wait(pending, timeout=1).not_done
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            end_commands()
            raise
    for job in jobs:
        job.result()
    progress.done("done")
