"""Independent runs of parallel tempering, on any executor, until their error is small enough.

Each run is one child process (``stan/tempered/tempered_run.cpp``) that calls the compiled density
with no interpreter in between. A worker sends back what a run found, and what it needs to go on;
only the driver keeps it, so that no common disk is needed. While the error is above the one aimed
at, or too few draws of the base measure have come to the posterior, every run has one more round.
"""

from __future__ import annotations

import shutil
from concurrent.futures import Executor
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from manymodes.density.parameter_space import log_unit_vector_surplus
from manymodes.density.posterior import Posterior
from manymodes.errors import ResultsError, SamplingError
from manymodes.runtime.changes import changed
from manymodes.runtime.execution import Execution
from manymodes.runtime.parts import Part, part_of
from manymodes.runtime.progress import Progress
from manymodes.runtime.storage import claim, held_folder, sweep_partials
from manymodes.runtime.tasks import Parcel
from manymodes.runtime.threads import threads_each
from manymodes.sampling.attempts import Attempts, first_seeds, retry_seed
from manymodes.sampling.chains.chains import Chains
from manymodes.sampling.claims import (
    claimed_folder,
    keep_versions,
    versions,
    warn_part,
    warn_unfinished,
    write_failures,
)
from manymodes.sampling.integral import PriorIntegral
from manymodes.sampling.nested.choice_of_base import check_reference
from manymodes.sampling.nested.run_files import (
    PRIOR,
    kept_base,
    kept_prior_integral,
    owner_of,
    read_base,
    read_prior_integral,
)
from manymodes.sampling.nested.settings import REFERENCES
from manymodes.sampling.runners import Arrays
from manymodes.sampling.tempered.display import TemperedDisplay
from manymodes.sampling.tempered.group_moves import group_entries
from manymodes.sampling.tempered.one_run import (
    RUNNING,
    TemperedJob,
    run_tempered_once,
    tempered_runner,
    unfinished,
)
from manymodes.sampling.tempered.result import Tempered
from manymodes.sampling.tempered.run_files import (
    as_run,
    read_kept,
    read_run_arrays,
    rounds_of,
    run_file,
    run_numbers,
    write_run,
)
from manymodes.sampling.tempered.settings import TemperedSettings
from manymodes.toolchain.build_cache import file_digest

FOLDER = "tempered"
"""The folder of a run directory that holds tempered runs."""

_PRIOR_ROUNDS = 9


def run_tempered(
    posterior: Posterior,
    settings: TemperedSettings | None = None,
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
) -> Tempered:
    """Integrate a posterior by parallel tempering, and draw from it.

    Parameters
    ----------
    posterior : Posterior
        What to integrate. Its program must be normalised for ``log_z`` to be the evidence.
    settings : TemperedSettings, optional
        How many runs of how many rounds, from which base measure, with which seed.
    chains : Chains, optional
        Draws that the base measure ``chains`` is fitted to; otherwise a few short chains are run.
    out : path, optional
        Folder that keeps each run as soon as it is finished; a temporary one by default.
    resume : bool
        Run only what ``out`` does not hold yet.
    other_versions : bool
        With ``resume``: go on although another version made the runs so far.
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
        Fields of `TemperedSettings` that differ from ``settings``, such as ``runs=2, seed=2``.

    Returns
    -------
    Tempered
        The runs that finished.

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

    Notes
    -----
    Syed, Bouchard-Cote, Deligiannidis and Doucet (2022), Journal of the Royal Statistical Society
    B 84(2), algorithms 1 and 2.

    Examples
    --------
    The evidence of the conjugate normal model is known:

    >>> # model.stan, data.json: the mean of five normal observations
    >>> posterior = mm.Posterior.from_files("model.stan", "data.json")
    >>> tempered = mm.run_tempered(posterior, runs=2, rounds=8, seed=1, quiet=True)
    >>> abs(tempered.log_z + 8.595) < 4 * tempered.log_z_sd + 0.05  # nats
    True
    """
    given = changed(settings, TemperedSettings, changes)
    execution = Execution(out, resume, other_versions, executor, workers, quiet, part_of(part))
    due = given.numbers(execution.part)
    check_tempered(posterior, given)
    with execution.folder(FOLDER) as folder, held_folder(folder):
        identity = _identity(posterior, given)
        name = claim(folder, identity, resume=resume, asked=given.runs, part=execution.part)
        sweep_partials(folder)
        for leftover in folder.glob(RUNNING + "*"):
            shutil.rmtree(leftover, ignore_errors=True)
        base = kept_base(posterior, given, chains, folder, execution)
        integral = kept_prior_integral(posterior, base, given.seed, folder, _tempered_integral)
        owner = owner_of(name, base)
        job = TemperedJob(
            posterior,
            base,
            tuple(group_entries(posterior, base, given.seed)) if given.symmetry else (),
            given,
            owner,
            folder if execution.local else None,
        )
        keeper = _RunKeeper(job, folder, given, execution)
        kept = read_kept(folder, due, posterior.dims, owner)  # report damage at once
        write_failures(folder, {})
        rounds = max(given.rounds, *(run.last.number for run in kept), 0)
        while True:
            keeper.carry_out(due, rounds)
            finished = tuple(read_kept(folder, due, posterior.dims, owner))
            if not finished:
                first = next(iter(keeper.failures.values()))
                raise SamplingError(f"{posterior.name}: no tempered run finished: {first}")
            surplus = log_unit_vector_surplus(posterior)
            tempered = Tempered(posterior, base, finished, keeper.failures, integral, surplus)
            if is_enough(tempered, given) or rounds >= given.last_round:
                keeper.finish(tempered)
                return tempered
            rounds += 1


def is_enough(tempered: Tempered, settings: TemperedSettings) -> bool:
    """Whether the error is the one aimed at, and enough draws came to the posterior."""
    precise = not tempered.log_z_sd > settings.target_sd  # NaN: there is no integral
    return precise and tempered.mixes


def check_tempered(posterior: Posterior, settings: TemperedSettings) -> None:
    """Refuse what `run_tempered` would, before anything is run or removed.

    Raises
    ------
    InputError
        The data do not fit the program, or the base measure cannot be had.
    ToolchainError
        There is no compiler or no CmdStan.
    """
    tempered_runner()
    posterior.model  # noqa: B018
    check_reference(posterior, settings.reference)


def load_tempered(posterior: Posterior, out: Path) -> Tempered | None:
    """Return the tempered runs that a run directory holds; None if it holds none.

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
    folder = out / FOLDER
    numbers = run_numbers(folder)
    if not numbers:
        return None
    claimed = claimed_folder(folder, posterior.identity, {}, numbers)
    base = read_base(folder, posterior.dims)
    if not claimed.numbers:
        raise ResultsError(f"{out}: no tempered run is finished: go on with evidence --resume")
    owner = owner_of(claimed.run, base)
    tempered = Tempered(
        posterior,
        base,
        tuple(read_kept(folder, claimed.numbers, posterior.dims, owner)),
        claimed.failures,
        read_prior_integral(folder / PRIOR),
        log_unit_vector_surplus(posterior),
        claimed.unfinished,
    )
    warn_unfinished(out, tempered.unfinished, "tempered runs", "evidence")
    warn_part(out, claimed.settings, "tempered runs")
    return tempered


def _identity(posterior: Posterior, settings: TemperedSettings) -> dict[str, Any]:
    """Everything that decides a run."""
    identity = settings.identity()
    named = settings.reference
    if named not in REFERENCES and Path(named).is_file():
        identity["reference"] = f"file {file_digest(Path(named))[:16]}"
    return {**posterior.identity, **identity}


def _tempered_integral(prior: Posterior, base: Any, seed: int, folder: Path) -> PriorIntegral:
    """Integrate a prior that is not exactly its base measure."""
    settings = TemperedSettings(rounds=_PRIOR_ROUNDS, seed=seed)
    job = TemperedJob(prior, base, (), settings, "prior", None)
    seeds = first_seeds(seed, 2)
    runs = tuple(
        as_run(run_tempered_once(job, one, i, _PRIOR_ROUNDS, None, None), prior.dims)
        for i, one in enumerate(seeds)
    )
    found = Tempered(prior, base, runs)
    return PriorIntegral(found.log_z, found.log_z_sd)


# ---------------------------------------------------------------- running


class _RunKeeper:
    """Keeps tempered runs as they come back, and says how far they are."""

    def __init__(
        self, job: TemperedJob, folder: Path, settings: TemperedSettings, execution: Execution
    ) -> None:
        self.failures: dict[int, str] = {}
        self._job = job
        self._folder = folder
        self._settings = settings
        self._execution = execution
        self._retried = 0
        self._progress = Progress(f"{job.posterior.name}: tempered", quiet=execution.quiet)

    def carry_out(self, due: range, rounds: int) -> None:
        """Bring the due runs that have not failed to a round."""
        before: dict[int, Arrays | None] = {}
        for i in due:
            kept = None
            if run_file(self._folder, i).exists():
                dims = self._job.base.dims
                kept = read_run_arrays(self._folder, i, dims, self._job.identity)
            if i not in self.failures and (kept is None or rounds_of(kept) < rounds):
                before[i] = kept
        if not before:
            return
        keep_versions(
            self._folder,
            versions("bridge"),
            ("bridge",),
            begun=bool(run_numbers(self._folder)),
            other_versions=self._execution.other_versions,
        )
        attempts = self._attempts(before, rounds)
        with closing(attempts.at(list(before))) as outcomes:
            for index, arrays, error in outcomes:
                if arrays is not None:
                    self._keep(index, arrays)
                else:
                    self.failures[index] = error
                    write_failures(self._folder, self.failures)
        self._retried += attempts.retried

    def _attempts(self, before: dict[int, Arrays | None], rounds: int) -> Attempts[Arrays]:
        settings, execution = self._settings, self._execution
        seeds = first_seeds(settings.seed, settings.runs)
        local = execution.local
        show = TemperedDisplay(self._progress) if local else None
        at_once = execution.at_once(len(before))
        one = replace(self._job, threads=threads_each(settings.threads_per_chain, at_once))
        job = one if local else Parcel(one)

        def arguments(index: int, attempt: int) -> tuple[Any, ...]:
            seed = seeds[index]
            if attempt:
                seed = retry_seed(settings.seed, index, attempt, seeds)
            return job, seed, index, rounds, None if attempt else before[index], show

        return Attempts(run_tempered_once, arguments, settings.retries, execution, kind="threads")

    def _keep(self, index: int, arrays: Arrays) -> None:
        write_run(self._folder, index, arrays, self._job.identity)
        shutil.rmtree(unfinished(self._folder, index), ignore_errors=True)
        if not self._execution.local:
            self._progress.update(f"run {index + 1} is back")

    def finish(self, tempered: Tempered) -> None:
        """Say how the runs ended."""
        n = len(tempered.runs)
        again = f", {self._retried} tried again" if self._retried else ""
        rounds = max(run.last.number for run in tempered.runs)
        said = f"log_z {tempered.log_z:.2f} +- {tempered.log_z_sd:.2g} from {n} "
        said += f"run{'s' if n > 1 else ''} of {rounds} rounds{again}, "
        said += f"{tempered.round_trips} round trips, {tempered.gradients} gradients"
        if not tempered.mixes:
            said += "; too few round trips: the error may be too small"
        elif tempered.log_z_sd > self._settings.target_sd:
            said += f"; the error aimed at, {self._settings.target_sd:g}, is not reached"
        self._progress.done(said)
