"""Nested runs that fail or are killed are tried again, as chains are."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Executor
from contextlib import closing

from manymodes.errors import InputError, SamplingError, StorageError
from manymodes.runtime.tasks import Outcome, Parcel, Task, as_completed
from manymodes.sampling.chains.missing_chains import retry_seed
from manymodes.sampling.nested.polychord_run import (
    MAX_RUN_SEED,
    NestedJob,
    RawRun,
    RunsDisplay,
    has_checkpoint,
    run_polychord,
)
from manymodes.sampling.nested.result import Nested
from manymodes.toolchain.process import end_commands


class Attempts:
    """Attempts at nested runs.

    Parameters
    ----------
    seed : int
        Of all runs.
    seeds : sequence of int
        Of the first attempt at each run.
    retries : int
        Further attempts at a run.
    executor, workers
        Where they are made: a caller's executor, or so many threads.

    Attributes
    ----------
    retried : int
        How many further attempts were made.
    """

    def __init__(
        self,
        seed: int,
        seeds: Sequence[int],
        retries: int,
        executor: Executor | None,
        workers: int | None,
    ) -> None:
        self._place = (executor, workers)
        self._seed = seed
        self._seeds = seeds
        self._retries = retries
        self.retried = 0

    def at(
        self,
        job: NestedJob | Parcel[NestedJob],
        runs: Sequence[int],
        show: RunsDisplay | None,
    ) -> Generator[tuple[int, RawRun | None, str], None, None]:
        """Carry out runs; yield each when it is finished, or has failed for good with its error.

        Raises
        ------
        StorageError
            The disk is full.
        EngineError
            The executor's workers are gone.
        """
        attempts = dict.fromkeys(runs, 0)
        queue: deque[Task[int]] = deque((i, (job, self._seeds[i], i, show)) for i in runs)
        executor, workers = self._place
        done = as_completed(
            run_polychord, queue, executor=executor, kind="threads", workers=workers
        )
        try:
            with closing(done) as outcomes:
                for index, outcome in outcomes:
                    if outcome.value is not None:
                        yield index, outcome.value, ""
                    elif _may_retry(outcome) and attempts[index] < self._retries:
                        attempts[index] += 1
                        seed = self._seed_again(job, index, attempts[index])
                        queue.append((index, (job, seed, index, show)))
                        self.retried += 1
                    else:
                        tries = attempts[index] + 1
                        before = f"{tries} attempts; the last: " if tries > 1 else ""
                        yield index, None, f"{before}{outcome.error}"
        except BaseException:
            end_commands()
            raise

    def _seed_again(self, job: NestedJob | Parcel[NestedJob], index: int, attempt: int) -> int:
        """Return the seed of a further attempt; what goes on from a checkpoint keeps its own."""
        if isinstance(job, NestedJob) and has_checkpoint(job, index):
            return self._seeds[index]
        return retry_seed(self._seed, index, attempt, self._seeds) % MAX_RUN_SEED


def _may_retry(outcome: Outcome[RawRun]) -> bool:
    """Whether another seed may help; a full disk ends everything instead."""
    if isinstance(outcome.fault, StorageError | InputError):
        raise outcome.fault
    return isinstance(outcome.fault, SamplingError)


def runs_needed(nested: Nested, target_sd: float | None, most: int) -> int:
    """Return how many runs to have in all for the error that is aimed at.

    It falls with the square root of their number. The estimate from few runs is rough, so that
    their number is at most doubled at a time.
    """
    planned = len(nested.runs) + len(nested.failures)
    if target_sd is None or not nested.log_z_sd > target_sd:  # NaN: there is nothing to aim at
        return planned
    wanted = math.ceil(len(nested.runs) * (nested.log_z_sd / target_sd) ** 2)
    return min(most, max(planned + 1, min(wanted, 2 * planned)))
