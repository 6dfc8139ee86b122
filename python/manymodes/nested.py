"""Nested sampling of a posterior: PolyChord on the density that NUTS samples, run and merged.

Each run is one child process (``stan/nested/polychord_run.cpp``) in which PolyChord calls the
compiled density with no interpreter in between. Independent runs go side by side on the cores;
together they are one run with the summed number of live points (Higson et al. 2019), and their
scatter is an error that no single run can give.
"""

from __future__ import annotations

import shutil
from concurrent.futures import Executor
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy import special

from manymodes import volumes
from manymodes.diagnostics import insertion_p
from manymodes.engine import run_tasks
from manymodes.errors import InputError, SamplingError
from manymodes.polychord import PolyChordSettings, RunsDisplay, run_polychord, stop_runs
from manymodes.posterior import FloatArray, Posterior
from manymodes.progress import Progress
from manymodes.reference import BaseMeasure, base_measure
from manymodes.storage import claim, kept_folder, read_arrays, read_json, write_arrays
from manymodes.toolchain import polychord_library, require

if TYPE_CHECKING:
    from anesthetic import NestedSamples

_VOLUME_DRAWS = 400


@dataclass(frozen=True)
class NestedRun:
    """The dead points of one PolyChord run, in the order of their likelihood.

    Attributes
    ----------
    cube : array of shape (n, D)
        Cube coordinates.
    logl, birth : arrays of shape (n,)
        Log likelihood against the base measure and that of the contour it was born on (nats).
    evaluations, failures : int
        Of the density; failures are exceptions and NaN, counted as density zero.
    prior_trials, prior_inside : int
        How many draws of the base measure it took to have ``nprior`` with a density above zero.
    seconds : float
        Wall time.
    """

    cube: FloatArray
    logl: FloatArray
    birth: FloatArray
    evaluations: int
    failures: int
    prior_trials: int
    prior_inside: int
    seconds: float


@dataclass(frozen=True)
class Nested:
    """One or more independent nested sampling runs of one posterior, merged.

    Attributes
    ----------
    posterior : Posterior
        What was integrated.
    base : BaseMeasure
        What it was integrated over.
    nlive : int
        Live points of each run.
    runs : tuple of NestedRun
        The runs that finished.
    failures : dict
        The message of each run that failed, by number.
    """

    posterior: Posterior
    base: BaseMeasure
    nlive: int
    runs: tuple[NestedRun, ...]
    failures: dict[int, str]

    @cached_property
    def _order(self) -> npt.NDArray[np.intp]:
        return np.argsort(np.concatenate([run.logl for run in self.runs]), kind="stable")

    @cached_property
    def logl(self) -> FloatArray:
        """Log likelihood against the base measure of the merged points, ascending, (n,)."""
        return np.concatenate([run.logl for run in self.runs])[self._order]

    @cached_property
    def birth(self) -> FloatArray:
        """Birth contours of the merged points, shape (n,)."""
        return np.concatenate([run.birth for run in self.runs])[self._order]

    @cached_property
    def run_of(self) -> npt.NDArray[np.intp]:
        """The run that each merged point comes from, shape (n,)."""
        return np.repeat(np.arange(len(self.runs)), [len(r.logl) for r in self.runs])[self._order]

    @cached_property
    def eta(self) -> FloatArray:
        """The merged points in the unconstrained space, shape (n, D)."""
        cube = np.concatenate([run.cube for run in self.runs])[self._order]
        return self.base.quantile(cube)

    @cached_property
    def rows(self) -> FloatArray:
        """The merged points as constrained rows, shape (n, P)."""
        return self.posterior.constrain_rows(self.eta)

    @cached_property
    def weights(self) -> FloatArray:
        """Posterior weights of the merged points, shape (n,), summing to one."""
        log_w = volumes.expected_log_weights(self.logl, self.birth)
        w = np.exp(log_w - log_w.max())
        return np.asarray(w / w.sum())

    @cached_property
    def log_prior_inside(self) -> tuple[float, float]:
        """Log share of the base measure where the density is above zero (nats), and its error.

        PolyChord throws initial points of density zero away without counting them, so that
        what it integrates over is the base measure restricted to the rest.
        """
        trials = sum(run.prior_trials for run in self.runs)
        inside = sum(run.prior_inside for run in self.runs)
        share = inside / trials
        return float(np.log(share)), float(np.sqrt((1 - share) / inside))

    @cached_property
    def log_z_restricted(self) -> float:
        """Log evidence (nats) relative to the base measure where the density is above zero."""
        return float(np.mean(self._log_z_draws))

    @property
    def log_z(self) -> float:
        """Log evidence: the log integral of the program's density (nats)."""
        return self.log_z_restricted + self.log_prior_inside[0]

    @cached_property
    def _log_z_draws(self) -> FloatArray:
        rng = np.random.default_rng(0)
        log_w = volumes.random_log_weights(self.logl, self.birth, rng, _VOLUME_DRAWS)
        return np.asarray(special.logsumexp(log_w, axis=0))

    @cached_property
    def log_z_volume_sd(self) -> float:
        """Error of ``log_z`` (nats) from sampled volumes, and from the rejection share."""
        return float(np.hypot(self._log_z_draws.std(ddof=1), self.log_prior_inside[1]))

    @property
    def log_z_sd(self) -> float:
        """Error of ``log_z`` (nats): by volumes or by the scatter of runs, the larger.

        Volumes alone take every point for a fair draw within its contour. Where slices do not
        get far enough for that, independent runs scatter more than their volumes say.
        """
        return float(np.nanmax([self.log_z_volume_sd, self.log_z_between_sd]))

    @cached_property
    def log_z_by_run(self) -> FloatArray:
        """The log evidence of each run on its own, shape (R,), in nats."""
        estimates = [
            special.logsumexp(volumes.expected_log_weights(run.logl, run.birth))
            for run in self.runs
        ]
        return np.array(estimates) + self.log_prior_inside[0]

    @cached_property
    def log_z_between_sd(self) -> float:
        """Error of the merged ``log_z`` from the scatter between runs (nats); NaN for one run."""
        n = len(self.runs)
        return float(self.log_z_by_run.std(ddof=1) / np.sqrt(n)) if n > 1 else float("nan")

    @cached_property
    def insertion_p(self) -> float:
        """Smallest p-value of the runs' insertion-index tests, times their number."""
        values = [insertion_p(*volumes.insertion_ranks(run.logl, run.birth)) for run in self.runs]
        return float(min(1.0, min(values) * len(values)))

    @property
    def evaluations(self) -> int:
        """Density evaluations of all runs."""
        return sum(run.evaluations for run in self.runs)

    @property
    def seconds(self) -> float:
        """Wall time of the longest run."""
        return max(run.seconds for run in self.runs)

    @cached_property
    def samples(self) -> NestedSamples:
        """The merged run as anesthetic samples, with Stan's names and labels."""
        from anesthetic import NestedSamples

        columns = [stan_name(flat) for flat in self.posterior.model.param_names(include_tp=True)]
        samples = NestedSamples(
            data=self.rows, columns=columns, logL=self.logl, logL_birth=self.birth
        )
        samples.label = self.posterior.name
        return samples


def stan_name(flat: str) -> str:
    """Return Stan's way to write a flat name: ``W[1,2]`` for ``W.1.2``."""
    name, *indexes = flat.split(".")
    return f"{name}[{','.join(indexes)}]" if indexes else name


def run_nested(
    posterior: Posterior,
    *,
    runs: int = 2,
    settings: PolyChordSettings | None = None,
    reference: str = "prior",
    seed: int = 1,
    out: Path | str | None = None,
    resume: bool = False,
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
    reference : {"prior"}
        The base measure.
    seed : int
        Decides every run: run i has the i-th child of this seed's sequence.
    out : path, optional
        Folder that keeps each run as soon as it is finished; a temporary one by default.
    resume : bool
        Run only what ``out`` does not hold yet.
    executor : concurrent.futures.Executor, optional
        Where the runs go; local child processes by default.
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
    """
    if runs < 1:
        raise InputError(f"runs: {runs} is not 1 or more")
    if seed < 0:
        raise InputError(f"seed: {seed} is not 0 or more")
    settings = settings or PolyChordSettings()
    library = polychord_library(require("polychord"))
    with kept_folder(out, "nested") as folder:
        posterior.model  # noqa: B018 - data that do not fit are refused first
        claim(folder, _identity(posterior, settings, reference, seed), resume=resume)
        progress = Progress(f"{posterior.name}: nested", quiet=quiet)
        base = _kept_base(posterior, reference, seed, folder)
        show = RunsDisplay(progress, runs)
        seeds = np.random.SeedSequence(seed).generate_state(runs) % (2**31 - 1)
        tasks = {
            i: (
                posterior,
                base,
                settings,
                library,
                int(seeds[i]),
                run_file(folder, i),
                show if executor is None else None,
                i,
            )
            for i in range(runs)
            if not run_file(folder, i).exists()
        }
        for leftover in folder.glob(".running-*"):
            shutil.rmtree(leftover, ignore_errors=True)
        try:
            outcomes = run_tasks(
                run_polychord, tasks, executor=executor, kind="threads", workers=workers
            )
        except BaseException:
            stop_runs()
            raise
        failures = {i: o.error for i, o in outcomes.items() if o.error is not None}
        finished = [
            _read_run(run_file(folder, i)) for i in range(runs) if run_file(folder, i).exists()
        ]
        if not finished:
            raise SamplingError(f"{posterior.name}: no nested run finished: {failures[0]}")
        nested = Nested(posterior, base, settings.nlive, tuple(finished), failures)
        progress.done(
            f"log_z = {nested.log_z:.2f} ± {nested.log_z_sd:.2f} nats from {len(finished)} "
            f"run{'s' if len(finished) > 1 else ''}, {nested.evaluations} evaluations"
        )
        return nested


def load_nested(posterior: Posterior, out: Path) -> Nested | None:
    """Return the nested runs that a run directory holds; None if it holds none.

    Raises
    ------
    ResultsError
        A file is damaged.
    """
    folder = out / "nested"
    files = sorted(folder.glob("run-*.npz"))
    if not files:
        return None
    nlive = int(read_json(folder / "settings.json")["nlive"])
    return Nested(
        posterior, _read_base(folder / "base.npz"), nlive, tuple(map(_read_run, files)), {}
    )


def run_file(folder: Path, index: int) -> Path:
    """Return the file that holds nested run ``index``."""
    return folder / f"run-{index:03d}.npz"


def _identity(
    posterior: Posterior, settings: PolyChordSettings, reference: str, seed: int
) -> dict[str, Any]:
    return {
        **posterior.identity,
        "reference": reference,
        "seed": seed,
        **settings.as_dict(),
    }


def _kept_base(posterior: Posterior, reference: str, seed: int, folder: Path) -> BaseMeasure:
    """Return the run's base measure, found once and kept: every run must use the same one."""
    path = folder / "base.npz"
    if not path.exists():
        base = base_measure(posterior, reference, seed=seed)
        write_arrays(path, asdict(base))
    return _read_base(path)


def _read_base(path: Path) -> BaseMeasure:
    kept = read_arrays(path, "families", "location", "scale", "exact")
    return BaseMeasure(
        tuple(str(family) for family in kept["families"]),
        kept["location"],
        kept["scale"],
        bool(kept["exact"]),
    )


def _read_run(path: Path) -> NestedRun:
    kept = read_arrays(path, "cube", "logl", "birth", "counts", "seconds")
    evaluations, _, failures, trials, inside = (int(c) for c in kept["counts"])
    order = np.argsort(kept["logl"], kind="stable")
    return NestedRun(
        kept["cube"][order],
        kept["logl"][order],
        kept["birth"][order],
        evaluations,
        failures,
        trials,
        inside,
        float(kept["seconds"]),
    )
