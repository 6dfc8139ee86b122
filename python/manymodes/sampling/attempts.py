"""Chains and nested runs that fail are tried again, each time with another seed."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from typing import Any, Generic, Literal, TypeVar

import numpy as np

from manymodes.errors import SamplingError, StorageError, TimeLimitError
from manymodes.runtime.execution import Execution
from manymodes.runtime.tasks import Outcome, Task, as_completed
from manymodes.toolchain.process import end_commands

Draws = TypeVar("Draws")

_MAX_SEED = 2**31 - 1


class Attempts(Generic[Draws]):
    """Attempts at the chains or the nested runs of one run.

    Parameters
    ----------
    task : callable
        Makes one chain or one nested run.
    arguments : callable
        Returns the task's arguments, given the number of the chain and of the attempt.
    retries : int
        Further attempts at a chain that fails.
    execution : Execution
        Where attempts are made.
    kind : {"processes", "threads"}
        What makes them on this machine.
    fatal : tuple of exception types
        What ends the whole run: no other seed would help.

    Attributes
    ----------
    retried : int
        How many further attempts were made.
    """

    def __init__(
        self,
        task: Callable[..., Draws],
        arguments: Callable[[int, int], tuple[Any, ...]],
        retries: int,
        execution: Execution,
        *,
        kind: Literal["processes", "threads"] = "processes",
        fatal: tuple[type[Exception], ...] = (StorageError,),
    ) -> None:
        self._task = task
        self._arguments = arguments
        self._retries = retries
        self._execution = execution
        self._kind = kind
        self._fatal = fatal
        self.retried = 0

    def at(self, numbers: Sequence[int]) -> Generator[tuple[int, Draws | None, str], None, None]:
        """Carry out chains; yield each when it is finished, or has failed for good with its error.

        Raises
        ------
        StorageError
            The disk is full.
        EngineError
            The executor's workers are gone.
        """
        attempts = dict.fromkeys(numbers, 0)
        queue: deque[Task[int]] = deque((i, self._arguments(i, 0)) for i in numbers)
        done = as_completed(
            self._task,
            queue,
            executor=self._execution.executor,
            kind=self._kind,
            workers=self._execution.workers,
        )
        try:
            with closing(done) as outcomes:
                for index, outcome in outcomes:
                    if outcome.value is not None:
                        yield index, outcome.value, ""
                    elif self._may_retry(outcome) and attempts[index] < self._retries:
                        attempts[index] += 1
                        queue.append((index, self._arguments(index, attempts[index])))
                        self.retried += 1
                    else:
                        tries = attempts[index] + 1
                        before = f"{tries} attempts; the last: " if tries > 1 else ""
                        yield index, None, f"{before}{outcome.error}"
        except BaseException:
            if self._kind == "threads":  # which wait for child processes
                end_commands()
            raise

    def _may_retry(self, outcome: Outcome[Draws]) -> bool:
        """Whether another seed may help."""
        if isinstance(outcome.fault, self._fatal):
            raise outcome.fault
        too_slow = isinstance(outcome.fault, TimeLimitError)
        return isinstance(outcome.fault, SamplingError) and not too_slow


def first_seeds(seed: int, number: int) -> list[int]:
    """Return the seed of the first attempt at each of some chains, all different.

    The first ones do not depend on their number. A seed that an earlier chain has, which is
    likely once among ten thousand chains, is replaced by the next one of the chain's stream.
    """
    seeds: dict[int, None] = {}
    for child in np.random.SeedSequence(seed).spawn(number):
        seeds[_unused(child, seeds)] = None
    return list(seeds)


def retry_seed(seed: int, index: int, attempt: int, seeds: Iterable[int]) -> int:
    """Return the seed of a further attempt at a chain, which no chain has."""
    return _unused(np.random.SeedSequence(seed, spawn_key=(index, attempt)), set(seeds))


def _unused(stream: np.random.SeedSequence, used: Iterable[int]) -> int:
    for words in range(1, 100):
        candidate = int(stream.generate_state(words)[-1] % _MAX_SEED) + 1
        if candidate not in used:
            return candidate
    raise SamplingError("no seed is left that no chain has")
