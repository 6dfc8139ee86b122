"""Independent tasks: none is lost, whatever happens to a worker."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import struct
import subprocess
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from manymodes.errors import EngineError, InputError
from manymodes.runtime import tasks, worker
from manymodes.runtime.tasks import Outcome, Parcel, as_completed, cpu_count
from task_support import run_tasks


def square(x: int) -> int:
    return x * x


def raises(x: int) -> int:
    if x == 1:
        raise InputError("x: 1 is not allowed")
    if x == 2:
        raise ZeroDivisionError("by two")
    return x


def dies_once(x: int, mark: Path, how: str) -> int:
    """Take the worker down on the first call with x = 2."""
    if x == 2 and not mark.exists():
        mark.touch()
        if how == "exit":
            os._exit(3)
        os.kill(os.getpid(), signal.SIGKILL)
    return x * x


def dies_in_the_middle_of_its_answer(x: int, mark: Path) -> int:
    """Take the worker down, once, when half of a large value is on its way."""
    if x == 2 and not mark.exists():
        mark.touch()
        frame = sys._getframe()
        while frame.f_code.co_name != "_process_worker":
            assert frame.f_back is not None
            frame = frame.f_back
        answers = frame.f_locals["result_queue"]
        answers._wlock.acquire()
        os.write(answers._writer.fileno(), struct.pack("!i", 1_000_000) + b"half")
        os.kill(os.getpid(), signal.SIGKILL)
    return x * x


def dies_always(x: int) -> int:
    if x == 0:
        os._exit(3)
    time.sleep(0.3)
    return x * x


def unpicklable(x: int) -> Callable[[], int]:
    return lambda: x


def stops(x: int) -> int:
    """Raise what is no Exception, or what cannot be opened elsewhere."""
    if x == 0:
        raise SystemExit(3)
    if x == 1:
        raise KeyboardInterrupt
    if x == 2:
        raise Unopenable(1, 2)
    return x


class Unopenable(Exception):
    """Pickles as ``Unopenable("two")``, which its constructor does not take."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__("two")


class Thing:
    """A value that can be watched."""


def thing(x: int) -> Thing:
    return Thing()


def touch(path: Path) -> int:
    path.touch()
    time.sleep(0.5)
    return os.getpid()


def blas_threads() -> set[int]:
    import numpy  # noqa: F401
    import threadpoolctl

    return {pool["num_threads"] for pool in threadpoolctl.threadpool_info()}


def opened(parcel: Parcel[list[int]]) -> tuple[int, int, int]:
    return os.getpid(), id(parcel.open()), sum(parcel.open())


@pytest.mark.parametrize("kind", ["processes", "threads"])
def test_outcomes_come_by_key(kind: Any) -> None:
    seen: dict[str, Outcome[int]] = {}
    tasks = {"a": (2,), "b": (3,), "c": (4,)}
    found = run_tasks(square, tasks, kind=kind, workers=2, on_done=seen.__setitem__)
    assert {key: outcome.value for key, outcome in found.items()} == {"a": 4, "b": 9, "c": 16}
    assert seen == found


@pytest.mark.parametrize("kind", ["processes", "threads"])
def test_exceptions_are_described_and_cost_the_others_nothing(kind: Any) -> None:
    found = run_tasks(raises, {x: (x,) for x in range(4)}, kind=kind, workers=2)
    assert [found[x].value for x in (0, 3)] == [0, 3]
    assert [found[x].error for x in (0, 1)] == [None, "x: 1 is not allowed"]
    assert found[2].error == "ZeroDivisionError: by two"
    assert [type(found[x].fault) for x in (1, 2, 3)] == [InputError, ZeroDivisionError, type(None)]
    if kind == "processes":
        (told,) = getattr(found[2].fault, "__notes__", ())
        assert "in raises" in told, "the traceback travels with the exception"


@pytest.mark.parametrize("how", ["exit", "kill"])
def test_a_worker_that_dies_loses_nothing(tmp_path: Path, how: str) -> None:
    tasks = {x: (x, tmp_path / "mark", how) for x in range(5)}
    found = run_tasks(dies_once, tasks, workers=2)
    assert {x: outcome.value for x, outcome in found.items()} == {x: x * x for x in range(5)}


def test_a_worker_that_dies_in_the_middle_of_its_answer_loses_nothing(tmp_path: Path) -> None:
    """The pool waits for the other half, and no other worker can get a word in."""
    tasks = {x: (x, tmp_path / "mark") for x in range(5)}
    found = run_tasks(dies_in_the_middle_of_its_answer, tasks, workers=2)
    assert {x: outcome.value for x, outcome in found.items()} == {x: x * x for x in range(5)}


def test_a_task_that_always_kills_its_worker_costs_only_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tasks, "MAX_RESTARTS", 1)
    calls: list[int] = []
    found = run_tasks(
        dies_always,
        {x: (x,) for x in range(3)},
        workers=2,
        on_done=lambda key, outcome: calls.append(key),
    )
    assert found[0] == Outcome(error="the worker process died each time (5 times)")
    assert [found[x].value for x in (1, 2)] == [1, 4]
    assert sorted(calls) == [0, 1, 2]


def test_workers_that_never_live_end_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """As when the kernel kills each for its memory: not one task after the other, 1000 times."""
    monkeypatch.setattr(tasks, "MAX_RESTARTS", 0)
    monkeypatch.setattr(tasks, "MAX_TRIES", 2)
    queue = deque((i, (0,)) for i in range(10))
    done: list[int] = []
    run = as_completed(dies_always, queue, workers=2)
    with pytest.raises(EngineError, match="2 tasks in a row lost their local worker") as caught:
        done.extend(key for key, _ in run)
    assert "--resume" in str(caught.value)
    assert len(done) == 1


@pytest.mark.parametrize("kind", ["processes", "threads"])
def test_what_is_no_exception_is_a_failure_of_its_task_alone(kind: Any) -> None:
    found = run_tasks(stops, {x: (x,) for x in range(5)}, kind=kind, workers=1)
    assert [found[x].value for x in range(5)] == [None, None, None, 3, 4]
    assert [found[x].error for x in range(3)] == [
        "SystemExit: 3",
        "KeyboardInterrupt",
        "Unopenable: two" if kind == "threads" else "RuntimeError: Unopenable: two",
    ]


# ---------------------------------------------------------------- the queue


@pytest.mark.parametrize("kind", ["processes", "threads"])
def test_tasks_may_be_added_while_others_run(kind: Any) -> None:
    """As for a chain that is tried again with another seed, under the same key."""
    queue = deque([("first", (2,))])
    seen = []
    for key, outcome in as_completed(raises, queue, kind=kind, workers=2):
        seen.append((key, outcome.value))
        if outcome.error is not None and len(seen) < 3:
            queue.append((key, (len(seen),)))
        elif outcome.error is not None:
            queue.extend([("first", (7,)), ("other", (8,))])
    assert seen[:3] == [("first", None)] * 3
    assert sorted(seen[3:]) == [("first", 7), ("other", 8)]


@pytest.mark.parametrize("kind", ["processes", "threads", "caller"])
def test_no_finished_value_is_kept(kind: Any) -> None:
    queue = deque((i, (i,)) for i in range(12))
    dead = []
    with ThreadPoolExecutor(1) as pool:
        where: Any = {"executor": pool} if kind == "caller" else {"kind": kind, "workers": 1}
        for _, outcome in as_completed(thing, queue, **where):
            watched = weakref.ref(outcome.value)
            del outcome
            for _ in range(100):  # the pool's own thread lets go of it in a moment
                if watched() is not None:
                    time.sleep(0.01)
            dead.append(watched() is None)
    assert dead == [True] * 12


class Counting(ThreadPoolExecutor):
    """A pool that notes how many tasks it was given and has not ended."""

    def __init__(self, workers: int) -> None:
        super().__init__(workers)
        self.open = self.most = 0

    def submit(self, *arguments: Any) -> Any:
        future = super().submit(*arguments)
        self.open += 1
        self.most = max(self.most, self.open)
        future.add_done_callback(self.ended)
        return future

    def ended(self, future: Future[Any]) -> None:
        self.open -= 1


def test_few_tasks_are_handed_out_at_a_time() -> None:
    with Counting(3) as pool:
        found = run_tasks(square, {x: (x,) for x in range(300)}, executor=pool)
    assert len(found) == 300
    assert pool.most <= tasks.AHEAD * 3


def test_a_consumer_that_stops_ends_the_workers(tmp_path: Path) -> None:
    """What has not begun never begins, and local processes do not go on with what has."""
    queue = deque((i, (tmp_path / str(i),)) for i in range(40))
    begun = time.monotonic()
    run = as_completed(touch, queue, workers=2)
    _, first = next(run)
    run.close()
    assert first.value is not None
    while Path(f"/proc/{first.value}").exists():
        assert time.monotonic() - begun < 20
        time.sleep(0.02)
    begun_ones = len(list(tmp_path.iterdir()))
    time.sleep(0.6)
    assert len(list(tmp_path.iterdir())) == begun_ones < 40


SLEEPERS = """
import signal, time
from collections import deque
from manymodes.runtime.tasks import Parcel, as_completed
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
def work(parcel):
    time.sleep(60)
if __name__ == "__main__":
    parcel = Parcel(bytes(3_000_000))
    print("ready", flush=True)
    for _ in as_completed(work, deque((i, (parcel,)) for i in range(4)), workers=2):
        pass
"""


@pytest.mark.parametrize("delay", [0.0, 0.04, 1.0])
def test_an_interrupt_ends_a_run_at_once(tmp_path: Path, delay: float) -> None:
    """Also while workers are being started, and while a task is on its way that nobody reads."""
    script = tmp_path / "script.py"
    script.write_text(SLEEPERS)
    run = subprocess.Popen(
        [sys.executable, script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert run.stdout is not None
    assert run.stdout.readline() == "ready\n"
    time.sleep(delay)
    run.send_signal(signal.SIGINT)
    _, said = run.communicate(timeout=20)
    assert "KeyboardInterrupt" in said
    assert run.returncode != 0


# ---------------------------------------------------------------- values


def test_a_value_that_cannot_travel_is_a_failure() -> None:
    found = run_tasks(unpicklable, {0: (1,)}, workers=1)
    assert found[0].value is None
    assert "local object" in (found[0].error or "")  # pickle's words differ by version


def test_an_executor_of_the_caller_is_used_and_left_open() -> None:
    with ThreadPoolExecutor(1, thread_name_prefix="mine") as executor:
        found = run_tasks(
            lambda: threading.current_thread().name, {0: (), 1: ()}, executor=executor
        )
        assert {outcome.value for outcome in found.values()} == {"mine_0"}
        assert executor.submit(square, 3).result() == 9


def test_an_interrupt_is_passed_on() -> None:
    def interrupt(key: int, outcome: Outcome[int]) -> None:
        raise KeyboardInterrupt

    begun = threading.Event()

    def task(x: int) -> int:
        if x > 0:
            begun.set()
        return x

    with ThreadPoolExecutor(1) as executor:
        executor.submit(time.sleep, 0.2)
        with pytest.raises(KeyboardInterrupt):
            run_tasks(task, {0: (0,)}, executor=executor, on_done=interrupt)


def test_no_tasks_are_no_work() -> None:
    assert run_tasks(square, {}) == {}
    assert cpu_count() >= 1


@pytest.mark.parametrize("caller", [False, True])
def test_workers_do_linear_algebra_on_one_thread(
    caller: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "2")
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        found = run_tasks(blas_threads, {0: ()}, workers=1, executor=pool if caller else None)
    assert found[0].value == {1}


# ---------------------------------------------------------------- a caller's executor


def test_a_pool_of_the_caller_that_breaks_ends_the_run(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    done: list[int] = []
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        queue = deque((x, (x, tmp_path / "mark", "kill")) for x in range(5))
        run = as_completed(dies_once, queue, executor=pool)
        with pytest.raises(EngineError, match=r"kept.*--resume") as caught:
            done.extend(key for key, _ in run)
    assert "\n" not in str(caught.value)
    assert sorted(done) == [0, 1]


def test_an_executor_that_is_shut_down_ends_the_run() -> None:
    pool = ThreadPoolExecutor(1)
    done: list[int] = []

    def consume() -> None:
        for key, _ in as_completed(square, deque((x, (x,)) for x in range(9)), executor=pool):
            done.append(key)
            pool.shutdown(wait=False)

    with pytest.raises(EngineError, match="after shutdown"):
        consume()
    assert sorted(done) == list(range(tasks.AHEAD)), "what it had taken before is not lost"


class Losing(Executor):
    """Runs at once, but loses a task as often as it is told to, in one of two ways."""

    def __init__(self, times: dict[int, int], error: Exception | None) -> None:
        self.times, self.error = dict(times), error

    def submit(self, fn: Any, *arguments: Any) -> Any:
        future: Future[Any] = Future()
        key = arguments[-1]
        if self.times.get(key, 0) == 0:
            future.set_result(fn(*arguments))
            return future
        self.times[key] -= 1
        if self.error is None:
            future.cancel()
            future.set_running_or_notify_cancel()
        else:
            future.set_exception(self.error)
        return future


class KilledWorker(Exception):
    """Named as Dask's."""


@pytest.mark.parametrize("error", [None, KilledWorker("of it")])
def test_what_an_executor_loses_is_given_to_it_again(error: Exception | None) -> None:
    lossy = Losing({1: tasks.MAX_TRIES - 1, 3: 1}, error)
    found = run_tasks(square, {x: (x,) for x in range(5)}, executor=lossy)
    assert {key: outcome.value for key, outcome in found.items()} == {x: x * x for x in range(5)}


def test_a_task_that_is_lost_each_time_costs_only_itself() -> None:
    lossy = Losing({1: 99}, KilledWorker("of it"))
    found = run_tasks(square, {x: (x,) for x in range(3)}, executor=lossy)
    assert found[1].error == "lost with its worker 3 times: KilledWorker: of it"
    assert [found[x].value for x in (0, 2)] == [0, 4]


def test_an_executor_that_cancels_everything_ends_the_run() -> None:
    with pytest.raises(EngineError, match=r"cancels its tasks.*--resume"):
        run_tasks(square, {1: (1,)}, executor=Losing({1: 99}, None))


class Choosy(ThreadPoolExecutor):
    """Refuses one argument, as Dask does what it cannot serialise."""

    def submit(self, *arguments: Any) -> Any:
        if arguments[-1] == 1:
            raise TypeError("cannot serialise 1")
        return super().submit(*arguments)


def test_a_task_that_cannot_travel_costs_only_itself() -> None:
    with Choosy(1) as pool:
        found = run_tasks(square, {x: (x,) for x in range(3)}, executor=pool)
    assert found[1].error == "TypeError: cannot serialise 1"
    assert [found[x].value for x in (0, 2)] == [0, 4]


# ---------------------------------------------------------------- parcels


def test_a_parcel_is_opened_once_in_each_process() -> None:
    parcel = Parcel([1, 2, 3])
    found = run_tasks(opened, dict.fromkeys(range(6), (parcel,)), workers=2)
    values = [outcome.value for outcome in found.values() if outcome.value is not None]
    assert {total for _, _, total in values} == {6}
    assert len({place for _, place, _ in values}) == len({pid for pid, _, _ in values})
    assert pickle.loads(pickle.dumps(parcel)).open() is parcel.open()


def test_old_parcels_are_let_go() -> None:
    for x in range(20):
        assert Parcel([x]).open() == [x]
    assert len(worker.Parcel._opened) <= 4


UNGUARDED = """
from collections import deque
from math import sqrt
from manymodes.runtime.tasks import as_completed
{guard}print([outcome.value for _, outcome in as_completed(sqrt, deque([(1, (4.0,))]))])
"""


@pytest.mark.parametrize("guard", ["", "if __name__ == '__main__': "])
def test_a_script_without_a_guard_gets_one_line(tmp_path: Path, guard: str) -> None:
    """Its workers run it again, and say nothing; nothing starts workers without end."""
    script = tmp_path / "script.py"
    script.write_text(UNGUARDED.format(guard=guard), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=60, check=False
    )
    if guard:
        assert (done.returncode, done.stdout.strip()) == (0, "[2.0]")
    else:
        assert done.returncode == 1
        assert done.stderr.count("Traceback") == 1
        assert done.stderr.splitlines()[-1].endswith('below the line `if __name__ == "__main__":`')
