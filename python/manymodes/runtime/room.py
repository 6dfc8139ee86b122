"""A check that the draws of a run fit into memory and on the disk."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

from manymodes.errors import InputError

_BYTES = 8  # a number


def check_room(numbers: int, what: str, out: Path | str | None = None) -> None:
    """Refuse a run whose draws cannot be held, before anything is drawn.

    Parameters
    ----------
    numbers : int
        How many numbers of eight bytes are held at once, at least.
    what : str
        What they are, in words, with the settings that decide how many.
    out : path, optional
        Where they are written.

    Raises
    ------
    InputError
        They need more than the machine's memory, or more than the free space on the disk.
    """
    needed = numbers * _BYTES
    memory = _memory()
    if memory is not None and needed > memory:
        raise InputError(
            f"{what} take at least {_size(needed)}, and this machine has {_size(memory)} of "
            "memory: ask for fewer"
        )
    if out is None:
        return
    folder = Path(out).absolute()
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        free = shutil.disk_usage(folder).free
    except OSError:
        return
    if needed > free:
        raise InputError(
            f"{what} take at least {_size(needed)}, and {folder} has {_size(free)} free: "
            "ask for fewer, or choose another --out"
        )


def _memory() -> int | None:
    """Return the bytes of memory that this process may use; None if they are not known."""
    found = []
    with suppress(AttributeError, ValueError, OSError):
        found.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    for limit in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        with suppress(OSError, ValueError):
            found.append(int(Path(limit).read_text(encoding="ascii")))
    return min(found, default=None)


def _size(number: float) -> str:
    """Return a number of bytes as a person reads it."""
    for unit in ("bytes", "kB", "MB", "GB", "TB"):
        if number < 1000:
            return f"{number:.3g} {unit}"
        number /= 1000
    return f"{number:.4g} PB" if number < 1e5 else f"{number:.1e} PB"
