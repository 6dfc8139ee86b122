"""Threads that work on one likelihood, beside the tasks that fill the cores.

The kernel of a network's likelihood shares large data out among as many threads as the environment
variable ``STAN_NUM_THREADS`` says when a process first evaluates it, as Stan does. Results do not
depend on their number.
"""

from __future__ import annotations

import os
import warnings

from manymodes.errors import InputError, ThreadsWarning

VARIABLE = "STAN_NUM_THREADS"
"""The environment variable that Stan, CmdStanPy and the kernel read."""


def cpu_count() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def check_threads(asked: int | None) -> None:
    """Check the number of threads that is asked for.

    Raises
    ------
    InputError
        The number is below 1.
    """
    if asked is not None and asked < 1:
        raise InputError(f"threads_per_chain: {asked} is not 1 or more")


def threads_each(asked: int | None, at_once: int | None) -> int:
    """Return how many threads each of some tasks may have on this machine's cores.

    Parameters
    ----------
    asked : int or None
        The largest number; None for each task's share of the cores.
    at_once : int or None
        How many tasks run at the same time. None if this is not known, for instance on another
        machine: then each gets one thread.

    Warns
    -----
    ThreadsWarning
        A task gets fewer threads than were asked for.
    """
    cores = cpu_count()
    room = 1 if at_once is None else max(1, cores // max(at_once, 1))
    if asked is None or asked <= room:
        return asked or room
    reason = (
        "it is not known how many tasks an executor runs at once on a machine"
        if at_once is None
        else f"{at_once} at a time, of {cores} core{'s' if cores > 1 else ''}"
    )
    warnings.warn(
        f"threads_per_chain: {asked} is too many, each task gets {room}: {reason}",
        ThreadsWarning,
        stacklevel=3,
    )
    return room


def use_threads(number: int) -> None:
    """Give this process, and those that it starts, so many threads for one likelihood."""
    os.environ[VARIABLE] = str(number)


def threads_in_use() -> int:
    """Return how many threads this process has for one likelihood; 1 by default."""
    try:
        number = int(os.environ.get(VARIABLE, "1"))
    except ValueError:
        return 1
    return cpu_count() if number == -1 else max(number, 1)
