"""Independent nested sampling runs, on any executor, until there are enough of them.

Each run is one child process (``stan/nested/polychord_run.cpp``) in which PolyChord calls the
compiled density with no interpreter in between. A worker sends a run back; only the driver
keeps it, so that no common disk is needed. Independent runs together are one run with the
summed number of live points (Higson et al. 2019), and their scatter is an error that no single
run can give.
"""

from __future__ import annotations

import math
import shutil
from concurrent.futures import Executor
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from manymodes.density.parameter_space import log_unit_vector_surplus
from manymodes.density.posterior import Posterior
from manymodes.errors import InputError, ResultsError, SamplingError, StorageError
from manymodes.runtime.changes import changed
from manymodes.runtime.execution import Execution
from manymodes.runtime.parts import Part, part_of
from manymodes.runtime.progress import Progress
from manymodes.runtime.storage import claim, held_folder, sweep_partials
from manymodes.runtime.tasks import Parcel
from manymodes.runtime.threads import threads_each
from manymodes.sampling.attempts import Attempts, retry_seed
from manymodes.sampling.base_measures import BaseMeasure
from manymodes.sampling.chains.chains import Chains
from manymodes.sampling.claims import (
    claimed_folder,
    is_count,
    keep_versions,
    versions,
    warn_part,
    warn_unfinished,
    write_failures,
)
from manymodes.sampling.nested.choice_of_base import check_reference
from manymodes.sampling.nested.meaning import log_z_line
from manymodes.sampling.nested.polychord_run import (
    RUNNING,
    NestedJob,
    RawRun,
    RunsDisplay,
    forget_unfinished,
    has_checkpoint,
    launcher,
    run_polychord,
)
from manymodes.sampling.nested.result import Nested
from manymodes.sampling.nested.run_files import (
    PRIOR,
    kept_base,
    kept_prior_integral,
    nlive_of,
    owner_of,
    read_base,
    read_kept,
    read_prior_integral,
    run_file,
    run_numbers,
    write_run,
)
from manymodes.sampling.nested.settings import (
    MAX_RUN_SEED,
    REFERENCES,
    NestedSettings,
    PolyChordSettings,
)
from manymodes.toolchain import polychord_library, require
from manymodes.toolchain.build_cache import file_digest


def run_nested(
    posterior: Posterior,
    settings: NestedSettings | None = None,
    *,
    chains: Chains | None = None,
    out: Path | str | None = None,
    resume: bool = False,
    other_versions: bool = False,
    executor: Executor | None = None,
    workers: int | None = None,
    quiet: bool = False,
    part: Part | tuple[int, int] | None = None,
    **changes: Any,
) -> Nested:
    """Integrate a posterior by nested sampling.

    Parameters
    ----------
    posterior : Posterior
        What to integrate. Its program must be normalised for ``log_z`` to be the evidence.
    settings : NestedSettings, optional
        How many runs, over which base measure, with which seed.
    chains : Chains, optional
        Draws that the base measure ``chains`` is fitted to; otherwise a few short chains are run.
    out : path, optional
        Folder that keeps each run as soon as it is finished; a temporary one by default.
    resume : bool
        Run only what ``out`` does not hold yet.
    other_versions : bool
        With ``resume``: go on although another version of PolyChord made the runs so far.
    executor : concurrent.futures.Executor, optional
        Where the runs go; local child processes by default. Its workers need no common disk.
    workers : int, optional
        How many go at once; the number of cores by default.
    quiet : bool
        Show no progress.
    part : (int, int), optional
        ``(3, 8)`` makes only the runs of part 3 of 8, each as it is among all runs. `merge_runs`
        puts the parts together.
    **changes
        Fields of `NestedSettings` that differ from ``settings``, such as ``runs=4, seed=2``.

    Returns
    -------
    Nested
        The runs that finished, merged.

    Raises
    ------
    InputError
        A setting is out of its range, or ``out`` holds another run.
    SamplingError
        Not one run finished; the message is that of the first failure.
    StorageError
        The disk is full; finished runs are kept.
    EngineError
        The executor's workers are gone; finished runs are kept.

    Examples
    --------
    The evidence of the conjugate normal model is known:

    >>> # model.stan, data.json: the mean of five normal observations
    >>> posterior = mm.Posterior.from_files("model.stan", "data.json")
    >>> polychord = mm.PolyChordSettings(nlive=50)
    >>> nested = mm.run_nested(posterior, runs=2, polychord=polychord, seed=1, quiet=True)
    >>> abs(nested.log_z + 8.595) < 4 * nested.log_z_sd  # nats
    True
    """
    given = changed(settings, NestedSettings, changes)
    execution = Execution(out, resume, other_versions, executor, workers, quiet, part_of(part))
    due = given.numbers(execution.part)
    check_nested(posterior, given)
    with execution.folder("nested") as folder, held_folder(folder):
        identity = _identity(posterior, given)
        name = claim(folder, identity, resume=resume, asked=given.runs, part=execution.part)
        sweep_partials(folder)
        for leftover in folder.glob(RUNNING + "*"):
            shutil.rmtree(leftover, ignore_errors=True)
        base = kept_base(posterior, given, chains, folder, execution)
        integral = kept_prior_integral(posterior, base, given.seed, folder)
        surplus = log_unit_vector_surplus(posterior)
        job = _job(posterior, base, given, folder, execution)
        keeper = _RunKeeper(job, folder, name, given, execution)
        read_kept(folder, due, base, keeper.owner)  # what is damaged is reported at once
        write_failures(folder, {})
        while True:
            keeper.keep_all(due)
            finished = tuple(read_kept(folder, due, base, keeper.owner))
            if not finished:
                first = next(iter(keeper.failures.values()))
                raise SamplingError(f"{posterior.name}: no nested run finished: {first}")
            nested = Nested(
                posterior,
                base,
                nlive_of(given.polychord, base),
                finished,
                keeper.failures,
                integral,
                surplus,
            )
            more = _runs_needed(nested, given)
            if more <= len(due):
                keeper.finish(nested)
                return nested
            due = range(more)
            claim(folder, identity, resume=True, asked=more, part=execution.part)


def check_nested(posterior: Posterior, settings: NestedSettings) -> None:
    """Refuse what `run_nested` would, before anything is run or removed.

    Raises
    ------
    InputError
        The data do not fit the program, or the base measure or the processes cannot be had.
    ToolchainError
        There is no PolyChord.
    """
    launcher(settings.polychord, polychord_library(require("polychord")))
    posterior.model  # noqa: B018
    check_reference(posterior, settings.reference)


def _job(
    posterior: Posterior,
    base: BaseMeasure,
    settings: NestedSettings,
    folder: Path,
    execution: Execution,
) -> NestedJob:
    """Return what all runs share."""
    polychord = settings.polychord
    alone = polychord.processes == 1 and not polychord.clustering
    return NestedJob(
        posterior,
        base,
        polychord,
        scratch=folder if execution.local else None,
        checkpoints=settings.checkpoints and execution.local and alone,
    )


def load_nested(posterior: Posterior, out: Path) -> Nested | None:
    """Return the nested runs that a run directory holds; None if it holds none.

    Only the runs that the last command asked for count.

    Warns
    -----
    UnfinishedWarning
        The command was interrupted: there are fewer runs than were asked for.
    StrayFileWarning
        A file is no run's, and is left out.

    Raises
    ------
    ResultsError
        A file is damaged, or belongs to another run.
    """
    folder = out / "nested"
    numbers = run_numbers(folder)
    if not numbers:
        return None
    claimed = claimed_folder(folder, posterior.identity, {"nlive": _may_be_nlive}, numbers)
    base = read_base(folder, posterior.dims)
    if not claimed.numbers:
        raise ResultsError(f"{out}: no nested run is finished: go on with evidence --resume")
    nested = Nested(
        posterior,
        base,
        nlive_of(PolyChordSettings(nlive=claimed.settings["nlive"]), base),
        tuple(read_kept(folder, claimed.numbers, base, owner_of(claimed.run, base))),
        claimed.failures,
        read_prior_integral(folder / PRIOR),
        log_unit_vector_surplus(posterior),
        claimed.unfinished,
    )
    warn_unfinished(out, nested.unfinished, "nested runs", "evidence")
    warn_part(out, claimed.settings, "nested runs")
    return nested


def _may_be_nlive(value: Any) -> bool:
    return value is None or (is_count(value) and value >= 10)


# ---------------------------------------------------------------- running


class _RunKeeper:
    """Keeps nested runs as they come back, and says how far they are."""

    def __init__(
        self,
        job: NestedJob,
        folder: Path,
        name: str,
        settings: NestedSettings,
        execution: Execution,
    ) -> None:
        self.owner = owner_of(name, job.base)
        self.failures: dict[int, str] = {}
        self._job = job
        self._folder = folder
        self._settings = settings
        self._execution = execution
        self._retried = 0
        self._progress = Progress(f"{job.posterior.name}: nested", quiet=execution.quiet)

    def keep_all(self, due: range) -> None:
        """Run those of the due runs that are not kept yet and have not failed before."""
        missing = [
            i for i in due if not run_file(self._folder, i).exists() and i not in self.failures
        ]
        if not missing:
            return
        self._keep_versions()
        attempts = self._attempts(max(due.stop, self._settings.runs), len(missing))
        with closing(attempts.at(missing)) as outcomes:
            for index, run, error in outcomes:
                if run is not None:
                    self._keep(index, run)
                else:
                    self._fail(index, error)
        self._retried += attempts.retried

    def _attempts(self, runs: int, missing: int) -> Attempts[RawRun]:
        """Return attempts at the first runs, of which some are missing."""
        settings, execution = self._settings, self._execution
        seeds = np.random.SeedSequence(settings.seed).generate_state(runs) % MAX_RUN_SEED
        firsts = seeds.tolist()
        local = execution.local
        show = RunsDisplay(self._progress) if local else None
        at_once = execution.at_once(missing)
        processes = None if at_once is None else at_once * settings.polychord.processes
        one = replace(self._job, threads=threads_each(settings.threads_per_chain, processes))
        job = one if local else Parcel(one)

        def arguments(index: int, attempt: int) -> tuple[Any, ...]:
            seed = firsts[index]
            # What goes on from a checkpoint keeps its seed.
            if attempt and not (local and has_checkpoint(one, index)):
                seed = retry_seed(settings.seed, index, attempt, firsts) % MAX_RUN_SEED
            return job, seed, index, show

        return Attempts(
            run_polychord,
            arguments,
            settings.retries,
            execution,
            kind="threads",
            fatal=(StorageError, InputError),
        )

    def _keep_versions(self) -> None:
        """Record what makes the runs; refuse to go on with another version of the sampler."""
        keep_versions(
            self._folder,
            versions("polychord", "bridge"),
            ("polychord", "bridge"),
            begun=bool(run_numbers(self._folder)),
            other_versions=self._execution.other_versions,
        )

    def _fail(self, index: int, error: str) -> None:
        self.failures[index] = error
        write_failures(self._folder, self.failures)

    def _keep(self, index: int, raw: RawRun) -> None:
        write_run(self._folder, index, raw, self.owner)
        forget_unfinished(self._folder, index)
        if not self._execution.local:
            self._progress.update(f"run {index + 1} is back")

    def finish(self, nested: Nested) -> None:
        """Say how the runs ended."""
        n = len(nested.runs)
        again = f", {self._retried} tried again" if self._retried else ""
        said = f"{log_z_line(nested)} from {n} run{'s' if n > 1 else ''}{again}, "
        said += f"{nested.evaluations} evaluations"
        target_sd = self._settings.target_sd
        if target_sd is not None and nested.log_z_sd > target_sd:
            said += f"; the error aimed at, {target_sd:g}, is not reached"
        self._progress.done(said)


def _runs_needed(nested: Nested, settings: NestedSettings) -> int:
    """Return how many runs to have in all for the error that is aimed at.

    It falls with the square root of their number. The estimate from few runs is rough, so that
    their number is at most doubled at a time.
    """
    planned = len(nested.runs) + len(nested.failures)
    if settings.target_sd is None or not nested.log_z_sd > settings.target_sd:  # NaN: no integral
        return planned
    wanted = math.ceil(len(nested.runs) * (nested.log_z_sd / settings.target_sd) ** 2)
    return min(settings.most_runs, max(planned + 1, min(wanted, 2 * planned)))


def _identity(posterior: Posterior, settings: NestedSettings) -> dict[str, Any]:
    """Everything that decides a run."""
    named = settings.reference
    if named not in REFERENCES and Path(named).is_file():
        named = f"file {file_digest(Path(named))[:16]}"
    return {
        **posterior.identity,
        "reference": named,
        "seed": settings.seed,
        **settings.polychord.as_dict(),
    }
