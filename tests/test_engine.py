"""Independent tasks: none is lost, whatever happens to a worker."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from manymodes.engine import Outcome, cpu_count, run_tasks
from manymodes.errors import InputError


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


def dies_always(x: int) -> int:
    if x == 0:
        os._exit(3)
    time.sleep(0.3)
    return x * x


def unpicklable(x: int) -> Callable[[], int]:
    return lambda: x


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
    assert found[1] == Outcome(error="x: 1 is not allowed")
    assert found[2] == Outcome(error="ZeroDivisionError: by two")


@pytest.mark.parametrize("how", ["exit", "kill"])
def test_a_worker_that_dies_loses_nothing(tmp_path: Path, how: str) -> None:
    tasks = {x: (x, tmp_path / "mark", how) for x in range(5)}
    found = run_tasks(dies_once, tasks, workers=2)
    assert {x: outcome.value for x, outcome in found.items()} == {x: x * x for x in range(5)}


def test_a_task_that_always_kills_its_worker_costs_only_itself() -> None:
    calls: list[int] = []
    found = run_tasks(
        dies_always,
        {x: (x,) for x in range(3)},
        workers=2,
        on_done=lambda key, outcome: calls.append(key),
    )
    assert found[0].value is None
    assert "died" in (found[0].error or "")
    assert [found[x].value for x in (1, 2)] == [1, 4]
    assert sorted(calls) == [0, 1, 2]


def test_a_value_that_cannot_travel_is_a_failure() -> None:
    found = run_tasks(unpicklable, {0: (1,)}, workers=1)
    assert found[0].value is None
    assert "pickle" in (found[0].error or "").lower()


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
