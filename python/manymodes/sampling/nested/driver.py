"""Independent nested sampling runs, on any executor, until there are enough of them.

Each run is one child process (``stan/nested/polychord_run.cpp``) in which PolyChord calls the
compiled density with no interpreter in between. A worker sends a run back; only the driver
keeps it, so that no common disk is needed. Independent runs together are one run with the
summed number of live points (Higson et al. 2019), and their scatter is an error that no single
run can give.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from manymodes.density.parameter_space import log_unit_vector_surplus
from manymodes.density.posterior import Posterior
from manymodes.errors import InputError, ResultsError, SamplingError
from manymodes.runtime.progress import Progress
from manymodes.runtime.seeds import check_seed
from manymodes.runtime.storage import (
    claim,
    ensure_folder,
    held,
    kept_folder,
    sweep_partials,
    write_json,
)
from manymodes.runtime.tasks import Parcel
from manymodes.runtime.threads import check_threads, cpu_count, threads_each
from manymodes.sampling.chains.chains import Chains
from manymodes.sampling.chains.missing_chains import FAILURES
from manymodes.sampling.claims import (
    is_count,
    keep_versions,
    read_claim,
    read_failures,
    versions,
    wanted_of,
    warn_unfinished,
)
from manymodes.sampling.nested.attempts import Attempts, runs_needed
from manymodes.sampling.nested.base import AUTO, REFERENCES, check_reference
from manymodes.sampling.nested.kept import (
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
from manymodes.sampling.nested.meaning import log_z_line
from manymodes.sampling.nested.polychord_run import (
    MAX_RUN_SEED,
    RUNNING,
    NestedJob,
    PolyChordSettings,
    RawRun,
    RunsDisplay,
    forget_unfinished,
    launcher,
)
from manymodes.sampling.nested.result import Nested
from manymodes.toolchain import polychord_library, require
from manymodes.toolchain.build_cache import file_digest

MAX_RUNS = 64
"""The most runs that a target for the error may lead to."""


def run_nested(
    posterior: Posterior,
    *,
    runs: int = 2,
    settings: PolyChordSettings | None = None,
    reference: str = AUTO,
    chains: Chains | None = None,
    target_sd: float | None = None,
    max_runs: int = MAX_RUNS,
    seed: int = 1,
    out: Path | str | None = None,
    resume: bool = False,
    other_versions: bool = False,
    checkpoints: bool = False,
    retries: int = 2,
    threads_per_chain: int | None = None,
    executor: Executor | None = None,
    workers: int | None = None,
    quiet: bool = False,
) -> Nested:
    """Integrate a posterior by nested sampling.

    Parameters
    ----------
    posterior : Posterior
        What to integrate. Its program must be normalised for ``log_z`` to be the evidence.
    runs : int
        Independent runs, merged afterwards.
    settings : PolyChordSettings, optional
        PolyChord's settings.
    reference : str
        The base measure: ``auto``, ``prior``, ``chains``, ``cube`` or the path of a file.
    chains : Chains, optional
        Draws that the base measure ``chains`` is fitted to; otherwise a few short chains are run.
    target_sd : float, optional
        Add runs until the error of ``log_z`` is at most this (nats).
    max_runs : int
        Add no more than there are so many.
    seed : int
        Decides every run: run i has the i-th child of this seed's sequence.
    out : path, optional
        Folder that keeps each run as soon as it is finished; a temporary one by default.
    resume : bool
        Run only what ``out`` does not hold yet.
    other_versions : bool
        With ``resume``: go on although another version of PolyChord made the runs so far.
    checkpoints : bool
        Let PolyChord keep a file from which a run that is killed goes on, instead of anew. Files
        take time. Such a run is as good as an undisturbed one, but not the same. Runs on other
        machines, with MPI or with PolyChord's clustering have none.
    retries : int
        Further attempts at a run that fails or is killed, with another seed or from its checkpoint.
    threads_per_chain : int, optional
        Threads for one likelihood of a network, where the kernel computes it and there are many
        data, in each process of a run. By default as many as the cores leave to each, and never
        more than those; on an executor one. Results do not depend on it.
    executor : concurrent.futures.Executor, optional
        Where the runs go; local child processes by default. Its workers need no common disk.
    workers : int, optional
        How many go at once; the number of cores by default.
    quiet : bool
        Show no progress.

    Raises
    ------
    InputError
        A setting is out of its range, or ``out`` holds another run.
    SamplingError
        Not one run finished; the message is that of the first failure.
    StorageError
        The disk is full; what is finished is kept.
    EngineError
        The executor's workers are gone; what is finished is kept.
    """
    settings = settings or PolyChordSettings()
    check_nested(
        posterior,
        runs=runs,
        settings=settings,
        reference=reference,
        target_sd=target_sd,
        max_runs=max_runs,
        seed=seed,
        retries=retries,
        threads_per_chain=threads_per_chain,
    )
    with kept_folder(out, "nested") as folder, _held(folder):
        identity = _identity(posterior, settings, reference, seed)
        name = claim(folder, identity, resume=resume, asked=runs)
        sweep_partials(folder)
        for leftover in folder.glob(RUNNING + "*"):
            shutil.rmtree(leftover, ignore_errors=True)
        base = kept_base(
            posterior,
            reference,
            chains,
            seed,
            folder,
            threads_per_chain=threads_per_chain,
            executor=executor,
            workers=workers,
            quiet=quiet,
        )
        local = executor is None
        keeps = checkpoints and local and settings.processes == 1 and not settings.clustering
        job = NestedJob(posterior, base, settings, folder if local else None, keeps)
        integral = kept_prior_integral(posterior, base, seed, folder)
        surplus = log_unit_vector_surplus(posterior)
        driver = _Driver(
            job,
            folder,
            name,
            seed,
            retries,
            threads_per_chain,
            executor,
            workers,
            quiet,
            other_versions,
        )
        read_kept(folder, range(runs), base, driver.owner)  # what is damaged is told of at once
        write_json(folder / FAILURES, {})
        while True:
            driver.run(range(runs))
            finished = tuple(read_kept(folder, range(runs), base, driver.owner))
            if not finished:
                first = next(iter(driver.failures.values()))
                raise SamplingError(f"{posterior.name}: no nested run finished: {first}")
            nested = Nested(
                posterior,
                base,
                nlive_of(settings, base),
                finished,
                driver.failures,
                integral,
                surplus,
            )
            more = runs_needed(nested, target_sd, max_runs)
            if more <= runs:
                driver.tell(nested, target_sd)
                return nested
            runs = more
            claim(folder, identity, resume=True, asked=runs)


def check_nested(
    posterior: Posterior,
    *,
    runs: int,
    settings: PolyChordSettings,
    reference: str,
    target_sd: float | None,
    max_runs: int,
    seed: int,
    retries: int = 2,
    threads_per_chain: int | None = None,
) -> None:
    """Refuse what `run_nested` would, before anything is run or removed.

    Raises
    ------
    InputError
        An option is out of its range, or the data do not fit the program.
    ToolchainError
        There is no PolyChord.
    """
    if runs < 1:
        raise InputError(f"runs: {runs} is not 1 or more")
    check_seed(seed)
    if retries < 0:
        raise InputError(f"retries: {retries} is not 0 or more")
    if target_sd is not None and not target_sd > 0:
        raise InputError(f"target_sd: {target_sd} is not above 0")
    if max_runs < runs:
        raise InputError(f"max_runs: {max_runs} is less than runs ({runs})")
    check_threads(threads_per_chain)
    launcher(settings, polychord_library(require("polychord")))
    posterior.model  # noqa: B018
    check_reference(posterior, reference)


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Hold a folder of nested runs for this process alone."""
    ensure_folder(folder.parent)
    with held(folder, folder.with_name(f".{folder.name}.lock")):
        yield


def load_nested(posterior: Posterior, out: Path) -> Nested | None:
    """Return the nested runs that a run directory holds; None if it holds none.

    Those count that the last command asked for.

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
    settings, name = read_claim(folder, posterior.identity, {"nlive": _may_be_nlive})
    base = read_base(folder, posterior.dims)
    wanted, asked = wanted_of(settings, numbers)
    failures = read_failures(folder / FAILURES, asked)
    if not wanted:
        raise ResultsError(f"{out}: no nested run is finished: go on with evidence --resume")
    missing = set(range(asked)) - set(wanted) - failures.keys()
    nested = Nested(
        posterior,
        base,
        nlive_of(PolyChordSettings(nlive=settings["nlive"]), base),
        tuple(read_kept(folder, wanted, base, owner_of(name, base))),
        failures,
        read_prior_integral(folder / PRIOR),
        log_unit_vector_surplus(posterior),
        (len(wanted), asked) if missing else None,
    )
    warn_unfinished(out, nested.unfinished, "nested runs", "evidence")
    return nested


def _may_be_nlive(value: Any) -> bool:
    return value is None or (is_count(value) and value >= 10)


# ---------------------------------------------------------------- running


class _Driver:
    """Runs what is missing, keeps what comes back, and tells of it."""

    def __init__(
        self,
        job: NestedJob,
        folder: Path,
        name: str,
        seed: int,
        retries: int,
        threads: int | None,
        executor: Executor | None,
        workers: int | None,
        quiet: bool,
        other_versions: bool,
    ) -> None:
        self.owner = owner_of(name, job.base)
        self._other_versions = other_versions
        self._threads = threads
        self._job = job
        self._folder = folder
        self._seed = seed
        self._retries = retries
        self._retried = 0
        self._executor = executor
        self._workers = workers
        self._progress = Progress(f"{job.posterior.name}: nested", quiet=quiet)
        self.failures: dict[int, str] = {}

    def run(self, numbers: Iterable[int]) -> None:
        """Run those of some numbers that are not kept yet and have not failed before."""
        wanted = list(numbers)
        missing = [
            i for i in wanted if not run_file(self._folder, i).exists() and i not in self.failures
        ]
        if not missing:
            return
        self._keep_versions()
        seeds = np.random.SeedSequence(self._seed).generate_state(len(wanted)) % MAX_RUN_SEED
        local = self._executor is None
        show = RunsDisplay(self._progress) if local else None
        runs = min(self._workers or cpu_count(), len(missing))
        at_once = runs * self._job.settings.processes if local else None
        one = replace(self._job, threads=threads_each(self._threads, at_once))
        job = one if local else Parcel(one)
        given = (self._retries, self._executor, self._workers)
        attempts = Attempts(self._seed, seeds.tolist(), *given)
        with closing(attempts.at(job, missing, show)) as outcomes:
            for index, run, error in outcomes:
                if run is not None:
                    self._keep(index, run)
                else:
                    self._fail(index, error)
        self._retried += attempts.retried

    def _keep_versions(self) -> None:
        """Record what makes the runs; refuse to go on with another version of the sampler."""
        keep_versions(
            self._folder,
            versions("polychord", "bridge"),
            ("polychord", "bridge"),
            begun=bool(run_numbers(self._folder)),
            other_versions=self._other_versions,
        )

    def _fail(self, index: int, error: str) -> None:
        self.failures[index] = error
        write_json(self._folder / FAILURES, {str(i): said for i, said in self.failures.items()})

    def _keep(self, index: int, raw: RawRun) -> None:
        write_run(self._folder, index, raw, self.owner)
        forget_unfinished(self._folder, index)
        if self._executor is not None:
            self._progress.update(f"run {index + 1} is back")

    def tell(self, nested: Nested, target_sd: float | None) -> None:
        """Tell how it ended."""
        n = len(nested.runs)
        again = f", {self._retried} tried again" if self._retried else ""
        said = f"{log_z_line(nested)} from {n} run{'s' if n > 1 else ''}{again}, "
        said += f"{nested.evaluations} evaluations"
        if target_sd is not None and nested.log_z_sd > target_sd:
            said += f"; the error aimed at, {target_sd:g}, is not reached"
        self._progress.done(said)


def _identity(
    posterior: Posterior, settings: PolyChordSettings, reference: str, seed: int
) -> dict[str, Any]:
    named = reference
    if reference not in REFERENCES and Path(reference).is_file():
        named = f"file {file_digest(Path(reference))[:16]}"
    return {**posterior.identity, "reference": named, "seed": seed, **settings.as_dict()}
