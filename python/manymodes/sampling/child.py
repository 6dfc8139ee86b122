"""A runner as a child process: its progress, its complaints, its end."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from manymodes.errors import SamplingError, StorageError
from manymodes.runtime.printed import PolyChordConsole, listening
from manymodes.runtime.threads import VARIABLE
from manymodes.toolchain.process import kept

PRINTS = "prints"
"""The named pipe, in the folder of a run, that a program's ``print`` goes to."""

_DISK_FAILS = 4
_SIGNALS = {-number: number.name for number in signal.Signals}
_SIGNALS |= {128 + number: number.name for number in signal.Signals}  # a shell's exit statuses


def run_child(
    command: Sequence[str],
    folder: Path,
    take: Callable[[str, list[str]], None],
    what: str,
    *,
    threads: int = 1,
    variables: Mapping[str, str] | None = None,
    keeper: bool = False,
) -> str:
    """Run a runner to its end; return what it complained of, on one line.

    Parameters
    ----------
    command : sequence of str
        The command, with its configuration.
    folder : Path
        Where it runs, and where its standard error is kept.
    take : callable
        Is called with the first word of each line of progress, without the ``@``, and the others.
    what : str
        What it makes, for messages: ``nested run``.
    threads : int
        Threads for one likelihood.
    variables : mapping, optional
        Further variables of its environment.
    keeper : bool
        Whether it has child processes of its own (an MPI launcher).

    Raises
    ------
    StorageError
        Its files cannot be written.
    SamplingError
        It failed or was killed; the message comes from it.
    """
    environment = {**os.environ, **(variables or {}), VARIABLE: str(threads)}
    said = PolyChordConsole()
    with (
        (folder / "stderr.txt").open("w+") as errors,
        listening(folder / PRINTS, said),
        kept(
            list(command),
            stdout=subprocess.PIPE,
            stderr=errors,
            cwd=folder,
            env=environment,
            text=True,
            keeper=keeper,
        ) as child,
    ):
        assert child.stdout is not None
        for line in child.stdout:
            word, *fields = line.split() or [""]
            if word.startswith("@"):
                take(word[1:], fields)
            elif word:  # mpiexec's
                said(line.encode())
        status = child.wait()
        errors.seek(0)
        complaint = " ".join(errors.read().split())
    said.close()  # the child has ended: there is nothing more to read
    complaint = complaint or " / ".join(said.lines(4))
    if status == _DISK_FAILS:
        complaint = complaint or "its files cannot be written"
        raise StorageError(f"a {what}: {complaint}; make room and go on with --resume")
    name = _SIGNALS.get(status)
    if name is not None:
        raise SamplingError(f"the {what} was ended by {name}: {complaint}".rstrip(": "))
    if status != 0:
        raise SamplingError(f"the {what} failed: {complaint}")
    return complaint
