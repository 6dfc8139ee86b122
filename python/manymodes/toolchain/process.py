"""Run a command so that it, and everything that it started, ends with this process."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from manymodes.errors import KilledError, StorageError
from manymodes.toolchain.paths import home

_POLL_SECONDS = 0.2
FROM_AN_OUTER_MAKE = ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES")
_KEEPER = """
exec 3<&0 </dev/null
"$@" 3<&- & child=$!
(read -r nothing <&3; kill -KILL 0) >/dev/null 2>&1 & watch=$!
exec 3<&-
wait "$child"; status=$?
kill -KILL "$watch"; wait "$watch" 2>/dev/null
exit "$status"
"""
"""Runs a command and watches a pipe. The pipe ends when the process that holds the other end is
gone; then the whole process group is killed. (The kernel's signal at a parent's death reaches only
the parent's children, and make and g++ have children of their own.)"""
_FULL = re.compile(r"No space left on device|Disk quota exceeded")
_KILLED = re.compile(
    r"^make.*\*\*\* .*(Killed|Terminated|Hangup|Error 1(29|30|37|43))$|"
    r"signal terminated program|^(Killed|Terminated|Hangup)$",
    re.MULTILINE,
)
_running: set[subprocess.Popen[Any]] = set()
_starting = threading.Lock()
"""Held while a command starts, so that `end_commands` misses none."""


@contextmanager
def kept(
    command: Sequence[str],
    *,
    stdout: Any,
    stderr: Any,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    text: bool = False,
    keeper: bool = True,
) -> Iterator[subprocess.Popen[Any]]:
    """Hold a running command; it leaves no process behind, even if this process is killed.

    Its exit status is above 128 if a signal ended it. Ctrl-C in a terminal does not reach it.
    Without a keeper, the command must notice itself that this process was killed.
    """
    pipe_end, own_end = os.pipe()
    try:
        with _starting:
            process = subprocess.Popen(
                ["sh", "-c", _KEEPER, "sh", *command] if keeper else command,
                stdin=pipe_end,
                stdout=stdout,
                stderr=stderr,
                cwd=cwd,
                env=env,
                text=text,
                errors="replace" if text else None,
                process_group=0,
            )
            _running.add(process)
    except BaseException:
        os.close(own_end)
        raise
    finally:
        os.close(pipe_end)
    if keeper:
        threading.Thread(target=_end_with, args=(process,), daemon=True).start()
    try:
        yield process
    finally:
        _running.discard(process)
        _kill(process)
        os.close(own_end)
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()
        process.wait()


def _end_with(process: subprocess.Popen[Any]) -> None:
    """Wait until a command ends or is killed, and then end the processes that it left running.

    They would keep the pipes open that we read.
    """
    process.wait()
    _kill(process)


def _kill(process: subprocess.Popen[Any]) -> None:
    with suppress(OSError):  # an empty group does not exist any more
        os.killpg(process.pid, signal.SIGKILL)


def end_commands() -> None:
    """Kill the commands of this process, whichever thread waits for them."""
    with _starting:
        commands = list(_running)
    for process in commands:
        _kill(process)


def run(
    command: Sequence[str], *, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end and return its exit status and its output."""
    pipe = subprocess.PIPE
    with kept(command, stdout=pipe, stderr=pipe, cwd=cwd, env=env, text=True) as process:
        out, err = process.communicate()
    return subprocess.CompletedProcess(list(command), process.returncode, out, err)


def inside(scratch: Path) -> dict[str, str]:
    """Return the variables that keep the temporary files of compilers in one folder."""
    return {"TMPDIR": str(scratch), "BRIDGE_SCRATCH": str(scratch)}


def check_finished(what: str, done: subprocess.CompletedProcess[str]) -> None:
    """Check that a compiler came to its end, even if its end is an error in the source.

    Raises
    ------
    KilledError
        It was killed.
    StorageError
        The disk is full.
    """
    if done.returncode == 0:
        return
    said = f"{done.stdout}\n{done.stderr}"
    if _FULL.search(said):
        raise StorageError(
            f"{what} is not compiled: the disk of {home()} is full; free space, or set "
            "MANYMODES_HOME to another disk"
        )
    if done.returncode > 128 or done.returncode < 0 or _KILLED.search(said):
        raise KilledError(
            f"{what} is not compiled: the compiler was killed; if you did not kill it, there was "
            "not enough memory"
        )


def run_logged(
    command: Sequence[str],
    log: Path,
    *,
    extra_env: Mapping[str, str] | None = None,
    watch: Callable[[], None] = lambda: None,
) -> int:
    """Run a command and return its exit status.

    Its standard output and error go to `log`, messages are in English, and if we run under make,
    the settings of that make are hidden from it. `watch` is called several times a second. If it
    raises, or the user interrupts, the command is ended first.
    """
    env = {key: value for key, value in os.environ.items() if key not in FROM_AN_OUTER_MAKE}
    env |= {"LC_ALL": "C", **(extra_env or {})}
    log.parent.mkdir(parents=True, exist_ok=True)
    with (
        log.open("wb") as output,
        kept(command, stdout=output, stderr=subprocess.STDOUT, env=env) as process,
    ):
        while True:
            try:
                return process.wait(_POLL_SECONDS)
            except subprocess.TimeoutExpired:
                watch()


def last_lines(log: Path, count: int = 3) -> str:
    """Return the last lines of a log that are not empty, joined by `` | ``."""
    text = log.read_text(encoding="utf-8", errors="replace")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " | ".join(lines[-count:])
