"""All outcomes of tasks at once, where the package takes them as they come."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Mapping
from concurrent.futures import Executor
from typing import Any, Literal, TypeVar

from manymodes.runtime.tasks import Outcome, as_completed

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


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
    function, executor, kind, workers
        As for `as_completed`.
    tasks : mapping
        Arguments by key.
    on_done : callable, optional
        Called in this thread as ``on_done(key, outcome)`` after each task.

    Raises
    ------
    EngineError, KeyboardInterrupt
        As for `as_completed`.
    """
    outcomes: dict[Key, Outcome[Value]] = {}
    done = as_completed(
        function, deque(tasks.items()), executor=executor, kind=kind, workers=workers
    )
    try:
        for key, outcome in done:
            outcomes[key] = outcome
            if on_done is not None:
                on_done(key, outcome)
    finally:
        done.close()
    return outcomes
