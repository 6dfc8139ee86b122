"""Run many independent tasks on any `concurrent.futures.Executor`, losing none of them.

A task is a picklable function with its arguments, under a key. A task that raises is reported
under its key and does not disturb the others. A worker that dies takes down at most the tasks
that it was running, and other workers get these.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import Counter, deque
from collections.abc import Callable, Generator, Hashable, Iterator
from concurrent.futures import (
    FIRST_COMPLETED,
    BrokenExecutor,
    CancelledError,
    Executor,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
    wait,
)
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Generic, Literal, TypeVar

from manymodes.errors import EngineError
from manymodes.runtime.scratch import scratch_folder
from manymodes.runtime.threads import cpu_count as cpu_count
from manymodes.runtime.worker import Parcel as Parcel
from manymodes.runtime.worker import Sealed, begin_worker, describe, work

Value = TypeVar("Value")
Key = TypeVar("Key", bound=Hashable)
Task = tuple[Key, tuple[Any, ...]]
"""A task of one function: its key and its arguments."""
Outcomes = Generator[tuple[Key, "Outcome[Value]"], None, None]

MAX_RESTARTS = 5
"""How often a task may be in a local pool that breaks; after that it runs in its own pool."""

MAX_TRIES = 3
"""How often a task in its own pool may kill its worker, and how often a caller's executor may
lose a task, until the task is reported as failed. So many failed tasks in a row end the run."""

AHEAD = 2
"""Tasks handed to an executor for each of its workers: one that runs and one that waits."""

UNKNOWN_AHEAD = 512
"""Tasks handed to an executor that does not say how many workers it has."""

GONE_SECONDS = 10.0
"""How long running tasks may still take on an executor that accepts no more tasks."""

_POLL_SECONDS = 2.0
_MARK = "MANYMODES_UNGUARDED"
"""Environment variable with the file that a worker makes if it is running the user's script."""
_LOST = {"KilledWorker", "CommClosedError"}  # distributed's errors for a worker that is gone


@dataclass(frozen=True)
class Outcome(Generic[Value]):
    """The outcome of one task.

    Attributes
    ----------
    value : object
        The function's return value; None if the task failed.
    error : str or None
        The line that a user reads about a task that failed.
    fault : BaseException or None
        The exception that the function raised; None if its worker died.
    """

    value: Value | None = None
    error: str | None = None
    fault: BaseException | None = None


def as_completed(
    function: Callable[..., Value],
    queue: deque[Task[Key]],
    *,
    executor: Executor | None = None,
    kind: Literal["processes", "threads"] = "processes",
    workers: int | None = None,
) -> Generator[tuple[Key, Outcome[Value]], None, None]:
    """Run ``function(*arguments)`` for every task of a queue; yield outcomes as they come.

    A few tasks for each worker are handed out at a time. A value is not kept once it is
    yielded. Closing the generator cancels tasks that have not begun, and ends local processes.

    Parameters
    ----------
    function : callable
        Picklable, if the executor's workers are other processes.
    queue : deque of (key, arguments)
        Emptied from the left. More tasks may be appended while this is iterated.
    executor : Executor, optional
        Where the tasks run; by default a local pool. The owner of an executor shuts it down.
    kind : {"processes", "threads"}
        The local pool: processes for work in Python, threads for work in child processes.
    workers : int, optional
        Size of the local pool; by default the number of cores.

    Yields
    ------
    tuple
        Key and outcome of a task.

    Raises
    ------
    EngineError
        The caller's executor takes no more tasks, no local worker lives long enough for a task, or
        the user's script starts runs outside of ``if __name__ == "__main__":``.
    KeyboardInterrupt
        It is passed on after the tasks that have not begun are cancelled.
    """
    if executor is not None:
        yield from _on_executor(executor, function, queue)
    else:
        _leave_a_worker_that_runs_the_script()
        with scratch_folder() as scratch:  # also holds the files of workers that are killed
            yield from _on_local_pools(kind, workers or cpu_count(), scratch, function, queue)


def _leave_a_worker_that_runs_the_script() -> None:
    """End this process if it is a new worker that runs the user's script instead of its tasks.

    A spawned process runs the script up to the guard ``if __name__ == "__main__":``. Without a
    guard it comes here again, and would start workers of its own.
    """
    mark = os.environ.get(_MARK)
    if mark and getattr(multiprocessing.current_process(), "_inheriting", False):
        Path(mark).touch()
        raise SystemExit(1)


# ---------------------------------------------------------------- a caller's executor


def _on_executor(
    executor: Executor, function: Callable[..., Value], queue: deque[Task[Key]]
) -> Outcomes[Key, Value]:
    """Give a task that the executor loses to it again, ``MAX_TRIES`` times in all."""
    losses: Counter[Key] = Counter()

    def room() -> int:
        workers = getattr(executor, "_max_workers", None)
        return AHEAD * workers if isinstance(workers, int) and workers > 0 else UNKNOWN_AHEAD

    def lost(task: Task[Key], error: BaseException) -> Outcome[Value] | None:
        key = task[0]
        losses[key] += 1
        if losses[key] < MAX_TRIES:
            queue.append(task)
            return None
        del losses[key]
        if isinstance(error, CancelledError):
            raise _gone("it cancels its tasks")
        said = f"lost with its worker {MAX_TRIES} times: {describe(error)}"
        return Outcome(error=said, fault=error)

    _, refusal = yield from _drain(executor, function, queue, room, lost)
    if refusal is not None:
        raise _gone(describe(refusal)) from refusal


def _gone(reason: str) -> EngineError:
    return EngineError(
        f"the executor takes no more tasks: {reason}; what is finished is kept, "
        "and --resume (resume=True) goes on with the rest"
    )


# ---------------------------------------------------------------- local pools


def _on_local_pools(
    kind: str,
    size: int,
    scratch: Path,
    function: Callable[..., Value],
    queue: deque[Task[Key]],
) -> Outcomes[Key, Value]:
    """Replace a pool that breaks; a task that was in too many broken pools gets its own."""
    deaths: Counter[Key] = Counter()
    failed_in_a_row = 0
    while queue:
        turn, width = queue, size
        for place, task in enumerate(queue):
            if deaths[task[0]] > MAX_RESTARTS:
                turn, width = deque([task]), 1
                del queue[place]
                break
        victims: list[Task[Key]] = []
        mark = scratch / "unguarded"
        os.environ[_MARK] = str(mark)  # workers have it from their start
        pool = _local_pool(kind, width, scratch)
        whole = False
        try:
            n_done, refusal = yield from _drain(
                pool,
                function,
                turn,
                lambda: 0 if victims else AHEAD * width,  # noqa: B023 - called in this round
                lambda task, error: victims.append(task),  # noqa: B023
            )
            whole = True
        finally:
            _end_pool(pool, kill=not whole)
        if mark.exists():
            raise EngineError(
                "each worker process runs the script again: start runs below the line "
                '`if __name__ == "__main__":`'
            )
        if refusal is not None and not isinstance(refusal, BrokenExecutor):
            raise EngineError(f"no local worker can be started: {describe(refusal)}") from refusal
        if turn is not queue:
            queue.extend(turn)
        failed_in_a_row = 0 if n_done else failed_in_a_row
        deaths.update(key for key, _ in victims[:width])  # the others had not begun
        for key, arguments in victims:
            if deaths[key] <= MAX_RESTARTS + MAX_TRIES:
                queue.append((key, arguments))
                continue
            error = f"the worker process died each time ({deaths.pop(key)} times)"
            failed_in_a_row += 1
            if failed_in_a_row == MAX_TRIES:
                raise EngineError(
                    f"{MAX_TRIES} tasks in a row lost their local worker each time and no other "
                    "was done; what is finished is kept, and --resume (resume=True) goes on"
                )
            yield key, Outcome(error=error)


def _local_pool(kind: str, size: int, scratch: Path) -> Executor:
    if kind == "threads":
        return ThreadPoolExecutor(size)
    return ProcessPoolExecutor(
        size,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=begin_worker,
        initargs=(os.getpid(), scratch),
    )


def _end_pool(pool: Executor, *, kill: bool) -> None:
    """Shut a pool down, at once if its processes are killed in the middle of their tasks."""
    if kill:
        _kill_workers(pool)
    pool.shutdown(wait=False, cancel_futures=True)


def _has_dead_worker(pool: Executor) -> bool:
    """Whether a process pool has lost a worker.

    If the pool does not say so itself, it has read one half of that worker's last answer and
    waits for the rest; meanwhile the other workers cannot answer.
    """
    processes = list((getattr(pool, "_processes", None) or {}).values())
    return any(process.exitcode not in (None, 0) for process in processes)


def _kill_workers(pool: Executor) -> None:
    """End the processes of a pool, if it has any, so that the pool notices the loss."""
    processes = list((getattr(pool, "_processes", None) or {}).values())
    for process in processes:
        process.kill()
    # No process writes the rest of a half answer or reads the rest of a half task any more, so
    # the threads that wait for it must be released.
    for queue, end in (("_result_queue", "_writer"), ("_call_queue", "_reader")):
        pipe = getattr(getattr(pool, queue, None), end, None)
        if pipe is not None:
            pipe.close()


@contextmanager
def _interrupts_wait() -> Iterator[None]:
    """Keep Ctrl-C waiting: while a worker starts, it would leave a worker that nothing ends."""
    before = signal.getsignal(signal.SIGINT)
    if before is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    noted: list[tuple[int, FrameType | None]] = []
    signal.signal(signal.SIGINT, lambda *signalled: noted.append(signalled))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if noted and callable(before):
        before(*noted[0])


# ---------------------------------------------------------------- any executor


def _drain(
    executor: Executor,
    function: Callable[..., Value],
    queue: deque[Task[Key]],
    room: Callable[[], int],
    lost: Callable[[Task[Key], BaseException], Outcome[Value] | None],
) -> Generator[tuple[Key, Outcome[Value]], None, tuple[int, Exception | None]]:
    """Hand tasks out while there is room and yield outcomes until nothing runs any more.

    ``lost`` is called for each task that was lost with its worker, in the order of submission; if
    it returns an outcome, this is the task's. The generator returns the number of outcomes, and
    the reason if the executor takes no more tasks; unfinished tasks are then back in the queue.
    """
    running: dict[Future[Any], Task[Key]] = {}
    refusal: Exception | None = None
    n_done = 0
    try:
        while True:
            found: list[tuple[Key, Outcome[Value]]] = []
            while queue and refusal is None and len(running) < room():
                task = queue.popleft()
                try:
                    with _interrupts_wait():
                        running[executor.submit(work, os.getpid(), function, *task[1])] = task
                except Exception as error:
                    if _takes_tasks(executor):
                        found.append((task[0], _outcome(None, error)))
                    else:
                        queue.appendleft(task)
                        refusal = error
            if not running and not found:
                return n_done, refusal
            patience = 0 if found else _POLL_SECONDS if refusal is None else GONE_SECONDS
            done = wait(running, patience, FIRST_COMPLETED).done
            if not done and not found:
                if refusal is None and not _is_closed(executor):
                    if _has_dead_worker(executor):
                        _kill_workers(executor)
                    continue
                queue.extend(running.values())
                return n_done, refusal or BrokenExecutor("its connection is closed")
            found += _collect(running, done, lost)
            n_done += len(found)
            del done
            while found:
                yield found.pop()
    finally:
        for future in running:
            future.cancel()


def _collect(
    running: dict[Future[Any], Task[Key]],
    done: set[Future[Any]],
    lost: Callable[[Task[Key], BaseException], Outcome[Value] | None],
) -> list[tuple[Key, Outcome[Value]]]:
    """Move finished tasks out of the running ones; only the returned outcomes hold values."""
    found: list[tuple[Key, Outcome[Value]]] = []
    for future in [future for future in running if future in done]:
        task = running.pop(future)
        error = CancelledError() if future.cancelled() else future.exception()
        if isinstance(error, (BrokenExecutor, CancelledError)) or _is_of_distributed(error):
            outcome = lost(task, error or CancelledError())
        else:
            outcome = _outcome(future.result() if error is None else None, error)
        if outcome is not None:
            found.append((task[0], outcome))
    return found


def _outcome(value: Any, error: BaseException | None) -> Outcome[Any]:
    if error is not None:
        return Outcome(error=describe(error), fault=error)
    if not isinstance(value, Sealed):
        return Outcome(value)
    try:
        return Outcome(*value.open())
    except Exception as fault:  # a worker may have other versions of a package
        return Outcome(error=f"its value cannot be opened: {describe(fault)}", fault=fault)


def _is_of_distributed(error: BaseException | None) -> bool:
    """Whether Dask says that a worker is gone (by its name, since Dask may not be installed)."""
    return any(kind.__name__ in _LOST for kind in type(error).__mro__)


def _is_closed(executor: Executor) -> bool:
    """Whether Dask's own executor has given its scheduler up: then its futures never end."""
    return getattr(getattr(executor, "_client", None), "status", None) == "closed"


def _takes_tasks(executor: Executor) -> bool:
    """Whether an executor that has refused a task takes others: then the task is at fault."""
    try:
        executor.submit(os.getpid).cancel()
    except Exception:
        return False
    return True
