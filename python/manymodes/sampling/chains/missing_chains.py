"""The driver of a run of chains: on any executor, whatever happens to workers, disks and chains.

A worker gets the posterior, draws a chain, scores it and sends it back; it keeps nothing. The
driver keeps each chain on disk before it counts, tries chains that failed again, and tells how
far the run is.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterable
from concurrent.futures import Executor
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from manymodes.density.posterior import Posterior
from manymodes.errors import SamplingError, StorageError, TimeLimitError
from manymodes.runtime.progress import Progress, format_seconds
from manymodes.runtime.scratch import sweep_held
from manymodes.runtime.storage import claim, ensure_folder, held, sweep_partials, write_json
from manymodes.runtime.tasks import Outcome, Parcel, as_completed
from manymodes.runtime.threads import cpu_count, threads_each
from manymodes.sampling.chains.chain_files import (
    Record,
    read_record,
    record_file,
    record_numbers,
    set_damaged_aside,
    write_record,
)
from manymodes.sampling.chains.one_chain import RUNNING, Job, RunSettings, sample_chain
from manymodes.sampling.chains.starts import Starts, make_starts
from manymodes.sampling.chains.warmups import Warmup, peak_of
from manymodes.sampling.claims import keep_versions, versions

FAILURES = "failures.json"


def chain_seeds(seed: int, chains: int) -> list[int]:
    """Return the sampler's seed of each chain, all different.

    The first ones do not depend on their number. A seed that an earlier chain has, which is
    likely once among ten thousand chains, is replaced by the next one of the chain's stream.
    """
    seeds: dict[int, None] = {}
    for child in np.random.SeedSequence(seed).spawn(chains):
        seeds[_unused(child, seeds)] = None
    return list(seeds)


def retry_seed(seed: int, index: int, attempt: int, seeds: Iterable[int]) -> int:
    """Return the seed of a further attempt at a chain, which no chain has."""
    return _unused(np.random.SeedSequence(seed, spawn_key=(index, attempt)), set(seeds))


def _unused(stream: np.random.SeedSequence, used: Iterable[int]) -> int:
    for words in range(1, 100):
        candidate = int(stream.generate_state(words)[-1] % (2**31 - 1)) + 1
        if candidate not in used:
            return candidate
    raise SamplingError("no seed is left that no chain has")


def run_missing(
    posterior: Posterior,
    run: RunSettings,
    folder: Path,
    *,
    resume: bool,
    executor: Executor | None,
    workers: int | None,
    quiet: bool,
    other_versions: bool = False,
) -> None:
    """Run the chains that a folder does not hold yet, and keep them there.

    Parameters
    ----------
    posterior : Posterior
        What to sample.
    run : RunSettings
        Which chains.
    folder : Path
        Holds one file a chain, and ``failures.json``: the messages of those that failed.
    resume : bool
        Whether the folder may hold chains of this run.
    executor, workers
        Where the chains run: a caller's executor, or so many local processes.
    quiet : bool
        Show no progress.
    other_versions : bool
        Go on with a run whose chains another version of the sampler made.

    Raises
    ------
    InputError
        The folder holds another run, or chains of another version of the sampler, or there are
        no starting points for all chains.
    StorageError, EngineError
        The disk is full, or the workers are gone; what is finished is kept.
    """
    posterior.compile(quiet=quiet)
    starts = make_starts(
        posterior, run.init, chains=run.chains, seed=run.seed, superchains=run.superchain
    )
    ensure_folder(folder.parent)
    with held(folder, folder.with_name(f".{folder.name}.lock")):
        name = claim(folder, run.identity(posterior, starts), resume=resume, asked=run.chains)
        _sweep(folder)
        scratch = folder if executor is None else None
        job = Job(posterior, run, starts.bare, scratch=scratch)
        _run_missing(job, starts, folder, name, executor, workers, quiet, other_versions)
        _sweep(folder)


def _run_missing(
    job: Job,
    starts: Starts,
    folder: Path,
    name: str,
    executor: Executor | None,
    workers: int | None,
    quiet: bool,
    other_versions: bool,
) -> None:
    """Run what is missing in a folder that nobody else writes to; `name` is that of the run."""
    posterior, run = job.posterior, job.run
    progress = Progress(f"{posterior.name}: NUTS", quiet=quiet)
    found = record_numbers(folder)
    kept = [i for i in found if i < run.chains]
    if beyond := len(found) - len(kept):
        said = f"{beyond} more {'chain is' if beyond == 1 else 'chains are'}"
        print(
            f"manymodes: {said} kept and left out: --chains {found[-1] + 1} --resume counts all",
            file=sys.stderr,
        )
    shape = (int(posterior.model.param_num(include_tp=True)), posterior.dims)
    damaged = set_damaged_aside(folder, kept, name, shape)
    if damaged:
        numbers = ", ".join(map(str, damaged))
        print(f"manymodes: damaged chains are run again: {numbers}", file=sys.stderr)
    if len(kept) - len(damaged) < run.chains:
        _keep_versions(run, folder, begun=bool(found), other_versions=other_versions)
    driver = _Driver(run, starts, folder, name, progress, done=len(kept) - len(damaged))
    write_json(folder / FAILURES, {})
    pilots = range(min(run.share_warmup, run.chains))
    turns = [(pilots, False), (range(len(pilots), run.chains), True)]
    for turn, sharing in turns:
        missing = [i for i in turn if not record_file(folder, i).exists()]
        if missing:
            warmups = _warmups(posterior, folder, pilots) if sharing and pilots else ()
            at_once = min(workers or cpu_count(), len(missing)) if executor is None else None
            threads = threads_each(run.threads_per_chain, at_once)
            parcel = Parcel(replace(job, warmups=warmups, threads=threads))
            driver.run(parcel, missing, executor, workers)
    driver.finish()


def _keep_versions(run: RunSettings, folder: Path, *, begun: bool, other_versions: bool) -> None:
    """Record what makes the chains; refuse to go on with another version of the sampler."""
    own = ("cmdstan",) if run.sampler == "cmdstan" else (run.sampler, "bridge")
    now = versions(*own, *({"bridge"} - set(own)))
    keep_versions(folder, now, own, begun=begun, other_versions=other_versions)


def _sweep(folder: Path) -> None:
    """Remove the scratch folders of workers that died, and files that they had not finished."""
    sweep_partials(folder)
    sweep_held(folder, RUNNING)


def _warmups(posterior: Posterior, folder: Path, pilots: Iterable[int]) -> tuple[Warmup, ...]:
    """Return what the pilots learned: the same whoever asks, and whenever."""
    found = []
    for index in pilots:
        if record_file(folder, index).exists():
            record = read_record(folder, index)
            peak = peak_of(posterior, record.eta[-1])
            found.append(Warmup(peak, record.inv_metric, record.step_size))
    return tuple(found)


@dataclass
class _Driver:
    """What happens to chains as they come back, and what is told of it."""

    run_settings: RunSettings
    starts: Starts
    folder: Path
    name: str
    progress: Progress
    done: int
    kept: int = field(init=False)
    fresh: int = 0
    draws: int = 0
    divergences: int = 0
    retried: int = 0
    cut: int = 0
    failures: dict[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.kept = self.done
        self.seeds = chain_seeds(self.run_settings.seed, self.run_settings.chains)

    def run(
        self,
        job: Parcel[Job],
        missing: list[int],
        executor: Executor | None,
        workers: int | None,
    ) -> None:
        """Run chains until each is kept or has failed for good."""
        attempts = dict.fromkeys(missing, 0)
        queue: deque[tuple[int, tuple[Any, ...]]] = deque(
            (i, (job, i, 0, self.seeds[i], self.starts.given(i))) for i in missing
        )
        with closing(
            as_completed(sample_chain, queue, executor=executor, workers=workers)
        ) as outcomes:
            for index, outcome in outcomes:
                if outcome.value is not None:
                    self._keep(index, outcome.value)
                elif self._may_retry(outcome) and attempts[index] < self.run_settings.retries:
                    attempts[index] += 1
                    attempt = attempts[index]
                    seed = retry_seed(self.run_settings.seed, index, attempt, self.seeds)
                    again = (job, index, attempt, seed, self.starts.given(index))
                    queue.append((index, again))
                    self.retried += 1
                else:
                    self._fail(index, outcome, attempts[index])
                self._tell()

    def _keep(self, index: int, record: Record) -> None:
        write_record(self.folder, index, record, self.name)
        self.done += 1
        self.fresh += 1
        self.draws += record.n_draws
        self.divergences += record.divergences
        self.cut += record.cut

    def _may_retry(self, outcome: Outcome[Record]) -> bool:
        """Whether another seed may help; a full disk ends the run instead."""
        if isinstance(outcome.fault, StorageError):
            raise outcome.fault
        too_slow = isinstance(outcome.fault, TimeLimitError)
        return isinstance(outcome.fault, SamplingError) and not too_slow

    def _fail(self, index: int, outcome: Outcome[Record], attempts: int) -> None:
        tries = f"{attempts + 1} attempts; the last: " if attempts else ""
        self.failures[index] = f"{tries}{outcome.error}"
        write_json(self.folder / FAILURES, {str(k): v for k, v in self.failures.items()})

    def _counts(self) -> str:
        counts = {
            "failed": len(self.failures),
            "tried again": self.retried,
            "cut short": self.cut,
        }
        return "".join(f", {number} {what}" for what, number in counts.items() if number)

    def _tell(self) -> None:
        seconds = max(self.progress.seconds, 1e-9)
        ended = self.fresh + len(self.failures)
        total = self.run_settings.chains
        left = seconds / max(ended, 1) * (total - self.kept - ended)
        self.progress.update(
            f"{self.done} of {total} chains{self._counts()}, {self.draws / seconds:.0f} draws/s, "
            f"{self.divergences} divergences, {format_seconds(left)} left"
        )

    def finish(self) -> None:
        """Tell how the run ended."""
        kept = f", {self.kept} kept from before" if self.kept else ""
        self.progress.done(
            f"{self.done} of {self.run_settings.chains} chains{kept}{self._counts()}, "
            f"{self.divergences} divergences"
        )
