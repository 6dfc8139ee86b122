"""CmdStan as a process: it dies with the one that started it, and what it said is found."""

from __future__ import annotations

import logging
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from manymodes.errors import SamplingError, StorageError
from manymodes.runtime.printed import CmdStanConsole, listening

_DISK_FULL = 1 << 20
"""A disk with fewer free bytes than this counts as full."""
_CONSOLE = "console"
_TO_CONSOLE = f"""#!/bin/sh
console="${{0%/*}}/{_CONSOLE}"
[ "$1" = info ] || [ ! -p "$console" ] || {{
  exec 8<>"$console"
  exec 9>&1 >"$console" 2>&1 8>&-
}}
"""
"""Sends what CmdStan writes to a named pipe beside the script. CmdStanPy's own pipe stays open, or
it would look at its end again and again; and there goes what it asks of the program. The pipe is
opened both ways first: to open it for writing alone would wait for ever for a dead reader."""
_GUARD = """exec setpriv --pdeathsig KILL \\
  sh -c '[ "$PPID" = {parent} ] && exec "$0" "$@"' '{executable}' "$@"
"""
"""Runs CmdStan so that the kernel kills it when the process that started it is gone."""
_BARE = """exec '{executable}' "$@"
"""
_silence = threading.Lock()
_silent = 0


@cache
def can_guard() -> bool:
    """Whether there is a ``setpriv`` (util-linux, not every other) that can do what is needed."""
    if shutil.which("setpriv") is None:
        return False
    command = ["setpriv", "--pdeathsig", "KILL", "true"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def guarded(executable: Path, folder: Path) -> Path:
    """Return what to run so that CmdStan dies with this process, also by SIGKILL.

    What it writes to its console goes to whoever is `listening_to` the folder. That is the
    executable itself where the folder's disk runs nothing.

    The kernel's signal at a parent's death is asked for first and the parent looked for then,
    so that one that has died in between is noticed. A shell writes the script: a file that this
    process held open for writing could not be run while another of its threads is starting a
    process.
    """
    if "'" in str(executable):
        return executable
    script = folder / "model"
    how = _GUARD if can_guard() else _BARE
    text = _TO_CONSOLE + how.format(parent=os.getpid(), executable=executable)
    write = 'cat > "$0" && chmod 700 "$0"'
    subprocess.run(["sh", "-c", write, str(script)], input=text, text=True, check=False)
    return script if os.access(script, os.X_OK) else executable  # not on a noexec disk


@contextmanager
def listening_to(folder: Path) -> Iterator[CmdStanConsole]:
    """Hold what CmdStan says while it runs in a folder; what the program prints is sent on."""
    console = CmdStanConsole()
    with listening(folder / _CONSOLE, console):
        yield console
    for path in sorted(folder.glob("*-stdout.txt")):  # where there is no such pipe
        console(path.read_bytes())
    console.close()


@contextmanager
def silent_cmdstanpy() -> Iterator[Any]:
    """Hold the package CmdStanPy with its log switched off: what matters of it is in its errors."""
    import cmdstanpy

    global _silent
    logger = logging.getLogger("cmdstanpy")
    with _silence:
        _silent += 1
        logger.disabled = True
    try:
        yield cmdstanpy
    finally:
        with _silence:
            _silent -= 1
            logger.disabled = _silent > 0


def disk_is_full(folder: Path) -> bool:
    """Whether there is no room left for files in a folder."""
    return shutil.disk_usage(folder).free < _DISK_FULL


def explained(
    folder: Path, error: Exception, said: Collection[str]
) -> SamplingError | StorageError:
    """Return the error of a CmdStan that failed: the disk is full, or Stan's own complaint.

    Parameters
    ----------
    folder : Path
        Where CmdStan wrote.
    error : Exception
        What is said where Stan says nothing.
    said : collection of str
        Lines of CmdStan's own on its console.
    """
    if disk_is_full(folder):
        kept = next(path for path in folder.parents if not path.name.startswith("."))
        return StorageError(f"the disk of {kept} is full: CmdStan's output was cut off")
    marks = ("rror", "xception", "ejecting", "evaluate", "nitialization", "Unrecoverable")
    complaints = [line for line in said if any(mark in line for mark in marks)]
    if complaints:
        return SamplingError(
            "CmdStan: " + " / ".join(list(dict.fromkeys(map(str.strip, complaints)))[-4:])
        )
    status = re.search(r"retcodes=\[(-?\d+)\]", str(error))
    if status and int(status.group(1)) < -1:
        return SamplingError(f"CmdStan was ended by signal {-int(status.group(1))}")
    return SamplingError(" ".join(str(error).split())[:500])
