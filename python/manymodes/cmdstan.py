"""CmdStan as a process: it dies with the one that started it, and what it said is found."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

from manymodes.errors import SamplingError, StorageError

_DISK_FULL = 1 << 20
"""A disk with fewer free bytes than this counts as full."""
_GUARD = """#!/bin/sh
exec setpriv --pdeathsig KILL sh -c '[ "$PPID" = {parent} ] && exec "$0" "$@"' '{executable}' "$@"
"""
"""Runs CmdStan so that the kernel kills it when the process that started it is gone."""


@cache
def can_guard() -> bool:
    """Whether there is a ``setpriv`` (util-linux, not every other) that can do what is needed."""
    if shutil.which("setpriv") is None:
        return False
    command = ["setpriv", "--pdeathsig", "KILL", "true"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def guarded(executable: Path, folder: Path) -> Path:
    """Return what to run so that CmdStan dies with this process, also by SIGKILL.

    That is the executable itself where it cannot be guarded, or where the folder's disk runs
    nothing.

    The kernel's signal at a parent's death is asked for first and the parent looked for then,
    so that one that has died in between is noticed. A shell writes the script: a file that this
    process held open for writing could not be run while another of its threads is starting a
    process.
    """
    if not can_guard() or "'" in str(executable):
        return executable
    script = folder / "model"
    text = _GUARD.format(parent=os.getpid(), executable=executable)
    write = 'cat > "$0" && chmod 700 "$0"'
    subprocess.run(["sh", "-c", write, str(script)], input=text, text=True, check=False)
    return script if os.access(script, os.X_OK) else executable  # not on a noexec disk


def console(folder: Path) -> list[str]:
    """Return the lines that are not empty of what CmdStan printed."""
    texts = [path.read_text(errors="replace") for path in sorted(folder.glob("*-stdout.txt"))]
    return [line.strip() for text in texts for line in text.splitlines() if line.strip()]


def disk_is_full(folder: Path) -> bool:
    """Whether there is no room left for files in a folder."""
    return shutil.disk_usage(folder).free < _DISK_FULL


def explained(folder: Path, error: Exception) -> SamplingError | StorageError:
    """Return the error of a CmdStan that failed: the disk is full, or Stan's own complaint.

    Parameters
    ----------
    folder : Path
        Where CmdStan wrote.
    error : Exception
        What is said where Stan says nothing.
    """
    if disk_is_full(folder):
        return StorageError(f"the disk of {folder.parent} is full: CmdStan's output was cut off")
    marks = ("rror", "xception", "ejecting", "evaluate", "nitialization", "Unrecoverable")
    complaints = [line for line in console(folder) if any(mark in line for mark in marks)]
    if complaints:
        return SamplingError("CmdStan: " + " / ".join(list(dict.fromkeys(complaints))[-4:]))
    status = re.search(r"retcodes=\[(-?\d+)\]", str(error))
    if status and int(status.group(1)) < -1:
        return SamplingError(f"CmdStan was ended by signal {-int(status.group(1))}")
    return SamplingError(" ".join(str(error).split())[:500])
