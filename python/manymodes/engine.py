"""Run many independent tasks on any `concurrent.futures.Executor`, losing none of them.

A task is a picklable function with its arguments, under a key. A task that raises is reported
under its key and costs the others nothing; a worker that dies takes down at most the tasks it
was running, and those are given to new workers.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Hashable, Mapping
from concurrent.futures import (
    FIRST_COMPLETED,
    CancelledError,
    Executor,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
    wait,
)
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

from manymodes.errors import ManymodesError

Value = TypeVar("Value")
Key = TypeVar("Key", bound=Hashable)

MAX_RESTARTS = 5
"""How often a pool of local workers is replaced without one task finishing in between; after
that tasks go one by one, until the one that kills its worker is found."""


@dataclass(frozen=True)
class Outcome(Generic[Value]):
    """What became of one task: its value, or the message of its failure."""

    value: Value | None = None
    error: str | None = None


def cpu_count() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def run_tasks(
    function: Callable[..., Value],
    tasks: Mapping[Key, tuple[Any, ...]],
    *,
    executor: Executor | None = None,
    kind: Literal["processes", "threads"] = "processes",
    workers: int | None = None,
    on_done: Callable[[Key, Outcome[Value]], None] | None = None,
) -> dict[Key, Outcome[Value]]:
    """Run ``function(*arguments)`` for every task and return the outcomes by key.

    Parameters
    ----------
    function : callable
        Picklable, if the executor's workers are other processes.
    tasks : mapping
        Arguments by key.
    executor : Executor, optional
        Where to run. Its owner shuts it down. By default a local pool.
    kind : {"processes", "threads"}
        The local pool: processes for work in Python, threads for work in child processes.
    workers : int, optional
        Size of the local pool; by default the number of cores.
    on_done : callable, optional
        Called in this thread as ``on_done(key, outcome)`` after each task.

    Raises
    ------
    KeyboardInterrupt
        Passed on after the tasks that have not begun are cancelled.
    """
    outcomes: dict[Key, Outcome[Value]] = {}

    def settle(key: Key, outcome: Outcome[Value]) -> None:
        outcomes[key] = outcome
        if on_done is not None:
            on_done(key, outcome)

    if executor is not None:
        _drain(executor, function, tasks, settle)
        return outcomes

    size = max(1, min(workers or cpu_count(), len(tasks)))
    restarts = 0
    while remaining := {key: tasks[key] for key in tasks if key not in outcomes}:
        before = len(outcomes)
        alone = restarts > MAX_RESTARTS
        turn = {key: remaining[key] for key in list(remaining)[: 1 if alone else None]}
        pool = _local_pool(kind, 1 if alone else size)
        try:
            _drain(pool, function, turn, settle)
        except BrokenProcessPool:
            if alone:
                settle(next(iter(turn)), Outcome(error="the worker process died each time"))
                restarts = 0
            else:
                restarts = restarts + 1 if len(outcomes) == before else 0
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
    return outcomes


def _drain(
    executor: Executor,
    function: Callable[..., Value],
    tasks: Mapping[Key, tuple[Any, ...]],
    settle: Callable[[Key, Outcome[Value]], None],
) -> None:
    futures: dict[Future[Value], Key] = {
        executor.submit(function, *arguments): key for key, arguments in tasks.items()
    }
    pending = set(futures)
    broken: BrokenProcessPool | None = None
    try:
        while pending:
            done, pending = wait(pending, return_when=FIRST_COMPLETED)
            for future in done:
                try:
                    settle(futures[future], Outcome(value=future.result()))
                except (BrokenProcessPool, CancelledError) as error:
                    broken = error if isinstance(error, BrokenProcessPool) else broken
                except Exception as error:
                    settle(futures[future], Outcome(error=describe(error)))
    except BaseException:
        for future in pending:
            future.cancel()
        raise
    if broken is not None:
        raise broken


def describe(error: BaseException) -> str:
    """Return an error as the line that a user reads."""
    if isinstance(error, ManymodesError):
        return str(error)
    return f"{type(error).__name__}: {error}"


def _local_pool(kind: str, size: int) -> Executor:
    if kind == "threads":
        return ThreadPoolExecutor(size)
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(size, mp_context=context, initializer=_begin_worker)


def _begin_worker() -> None:
    """Make a local worker end with the process that started it, and leave Ctrl-C to that one.

    Workers fill the cores, so each does its linear algebra on one thread.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    os.environ.setdefault("OMP_NUM_THREADS", "1")
