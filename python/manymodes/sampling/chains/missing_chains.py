"""The driver of a run of chains: on any executor, whatever happens to workers, disks and chains.

A worker gets the posterior, draws a chain, scores it and sends it back; it keeps nothing. The
driver keeps each chain on disk before it counts, tries chains that failed again, and says how
far the run is.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from manymodes.density.posterior import Posterior
from manymodes.runtime.execution import Execution
from manymodes.runtime.parts import Part
from manymodes.runtime.progress import Progress, format_seconds
from manymodes.runtime.scratch import sweep_held
from manymodes.runtime.storage import claim, held_folder, sweep_partials
from manymodes.runtime.tasks import Parcel
from manymodes.runtime.threads import threads_each
from manymodes.sampling.attempts import Attempts, first_seeds, retry_seed
from manymodes.sampling.chains.chain_files import (
    Record,
    read_record,
    record_file,
    record_numbers,
    set_damaged_aside,
    write_record,
)
from manymodes.sampling.chains.one_chain import RUNNING, Job, sample_chain
from manymodes.sampling.chains.samplers import DECISIVE, METHODS
from manymodes.sampling.chains.settings import ChainSettings
from manymodes.sampling.chains.starts import Starts, make_starts
from manymodes.sampling.chains.warmups import Warmup, peak_of
from manymodes.sampling.claims import keep_versions, versions, write_failures


def run_missing(
    posterior: Posterior, settings: ChainSettings, folder: Path, execution: Execution
) -> None:
    """Run the chains that a folder does not hold yet, and keep them there.

    Parameters
    ----------
    posterior : Posterior
        What to sample.
    settings : ChainSettings
        Which chains.
    folder : Path
        Holds one file a chain, and ``failures.json``: the messages of those that failed.
    execution : Execution
        Where the chains run.

    Raises
    ------
    InputError
        The folder holds another run, or another part of it, or chains of another version of the
        sampler, or there are no starting points for all chains. Or the run has no such part.
    StorageError, EngineError
        The disk is full, or the workers are gone; finished chains are kept.
    """
    due = settings.numbers(execution.part)
    posterior.compile(quiet=execution.quiet)
    # Of the whole run also for a part of it: no start depends on which parts there are.
    starts = make_starts(
        posterior,
        settings.starts_at,
        chains=settings.chains,
        seed=settings.seed,
        superchains=settings.superchain,
    )
    with held_folder(folder):
        identity = settings.identity(posterior, starts)
        name = claim(
            folder,
            identity,
            resume=execution.resume,
            asked=settings.chains,
            part=execution.part,
        )
        _sweep(folder)
        job = Job(posterior, settings, starts.bare, scratch=folder if execution.local else None)
        _run_missing(job, starts, folder, name, execution, due)
        _sweep(folder)


def _run_missing(
    job: Job, starts: Starts, folder: Path, name: str, execution: Execution, due: range
) -> None:
    """Run which of the due chains are missing in a folder that nobody else writes to.

    The name is that of the run.
    """
    posterior, settings = job.posterior, job.settings
    found = record_numbers(folder)
    kept = _undamaged(job, folder, name, found, due, execution.part)
    if len(kept) < len(due):
        _keep_versions(posterior, settings, folder, execution, begun=bool(found))
    what = f"{posterior.name}: {METHODS[settings.sampler]}"
    what += f", {execution.part}" if execution.part is not None else ""
    progress = Progress(what, quiet=execution.quiet)
    keeper = _ChainKeeper(settings, folder, name, progress, total=len(due), kept=len(kept))
    write_failures(folder, {})
    pilots = range(min(settings.share_warmup, settings.chains))
    turns = [(pilots, False), (due[len(pilots) :], True)]  # a part has no pilots
    for turn, sharing in turns:
        missing = [i for i in turn if not record_file(folder, i).exists()]
        if missing:
            warmups = _warmups(posterior, folder, pilots) if sharing and pilots else ()
            threads = threads_each(settings.threads_per_chain, execution.at_once(len(missing)))
            parcel = Parcel(replace(job, warmups=warmups, threads=threads))
            keeper.keep_all(parcel, starts, missing, execution)
    keeper.finish()


def _undamaged(
    job: Job, folder: Path, name: str, found: list[int], due: range, part: Part | None
) -> list[int]:
    """Return which of the chains that a folder holds count, and say which do not.

    Damaged ones are set aside.
    """
    kept = [i for i in found if i in due]
    if beyond := len(found) - len(kept):
        said = f"{beyond} more {'chain is' if beyond == 1 else 'chains are'}"
        why = f"not in {part}" if part else f"--chains {found[-1] + 1} --resume counts all"
        print(f"manymodes: {said} kept and left out: {why}", file=sys.stderr)
    posterior = job.posterior
    shape = (int(posterior.model.param_num(include_tp=True)), posterior.dims)
    damaged = set_damaged_aside(folder, kept, name, shape)
    if damaged:
        numbers = ", ".join(map(str, damaged))
        print(f"manymodes: damaged chains are run again: {numbers}", file=sys.stderr)
    return [i for i in kept if i not in damaged]


def _keep_versions(
    posterior: Posterior,
    settings: ChainSettings,
    folder: Path,
    execution: Execution,
    *,
    begun: bool,
) -> None:
    """Record what makes the chains; refuse to go on with another version of the sampler.

    The kernel's instruction set is among it, because it decides how sums are rounded.
    """
    own = DECISIVE[settings.sampler]
    now = versions(*own, *({"bridge"} - set(own)))
    kernel = posterior.program.kernel_state if execution.local else None
    if kernel is not None:
        now["kernel"] = kernel
    keep_versions(folder, now, own, begun=begun, other_versions=execution.other_versions)


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
class _ChainKeeper:
    """Keeps chains as they come back, and says how far the run is."""

    settings: ChainSettings
    folder: Path
    name: str
    progress: Progress
    total: int
    kept: int
    fresh: int = 0
    draws: int = 0
    divergences: int = 0
    retried: int = 0
    cut: int = 0
    failures: dict[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.seeds = first_seeds(self.settings.seed, self.settings.chains)

    @property
    def done(self) -> int:
        """How many chains are kept by now."""
        return self.kept + self.fresh

    def keep_all(
        self, job: Parcel[Job], starts: Starts, missing: list[int], execution: Execution
    ) -> None:
        """Run chains until each is kept or has failed for good."""

        def arguments(index: int, attempt: int) -> tuple[Any, ...]:
            seed = self.seeds[index]
            if attempt:
                seed = retry_seed(self.settings.seed, index, attempt, self.seeds)
            return job, index, attempt, seed, starts.given(index)

        attempts = Attempts(sample_chain, arguments, self.settings.retries, execution)
        before = self.retried
        with closing(attempts.at(missing)) as outcomes:
            for index, record, error in outcomes:
                if record is not None:
                    self._keep(index, record)
                else:
                    self._fail(index, error)
                self.retried = before + attempts.retried
                self._show()

    def _keep(self, index: int, record: Record) -> None:
        write_record(self.folder, index, record, self.name)
        self.fresh += 1
        self.draws += record.n_draws
        self.divergences += record.divergences
        self.cut += record.cut

    def _fail(self, index: int, error: str) -> None:
        self.failures[index] = error
        write_failures(self.folder, self.failures)

    def _counts(self) -> str:
        counts = {
            "failed": len(self.failures),
            "tried again": self.retried,
            "cut short": self.cut,
        }
        return "".join(f", {number} {what}" for what, number in counts.items() if number)

    def _show(self) -> None:
        seconds = max(self.progress.seconds, 1e-9)
        ended = self.fresh + len(self.failures)
        left = seconds / max(ended, 1) * (self.total - self.kept - ended)
        self.progress.update(
            f"{self.done} of {self.total} chains{self._counts()}, "
            f"{self.draws / seconds:.0f} draws/s, {self.divergences} divergences, "
            f"{format_seconds(left)} left"
        )

    def finish(self) -> None:
        """Say how the run ended."""
        kept = f", {self.kept} kept from before" if self.kept else ""
        self.progress.done(
            f"{self.done} of {self.total} chains{kept}{self._counts()}, "
            f"{self.divergences} divergences"
        )
