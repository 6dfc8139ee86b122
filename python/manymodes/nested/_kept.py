"""What a folder of nested runs keeps: base measure, the prior's integral, finished runs."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from manymodes.chains import Chains
from manymodes.nested._base import choose_base
from manymodes.nested._result import Nested, NestedRun, PriorIntegral
from manymodes.parameter_space import log_unit_vector_surplus
from manymodes.polychord import NestedJob, PolyChordSettings, RawRun, run_polychord
from manymodes.posterior import Posterior
from manymodes.reference import BaseMeasure, prior_measure, read_measure, write_measure
from manymodes.storage import read_arrays, read_json, write_json

_PRIOR_SETTINGS = PolyChordSettings(nlive=100)
_TRIALS = 4000


def kept_base(
    posterior: Posterior,
    reference: str,
    chains: Chains | None,
    seed: int,
    folder: Path,
    **options: Any,
) -> BaseMeasure:
    """Return the run's base measure, found once and kept: every run must use the same one."""
    path = folder / "base.json"
    if not path.exists():
        base = choose_base(posterior, reference, chains=chains, seed=seed, **options)
        write_measure(path, base, posterior.unconstrained_names)
    return read_measure(path, posterior.dims)


def kept_prior_integral(
    posterior: Posterior, base: BaseMeasure, seed: int, folder: Path
) -> PriorIntegral | None:
    """Return what the prior integrates to, found once and kept; None where nothing tells it.

    A network's programs are normalised by construction, and those on the unit cube by convention.
    """
    path = folder / "prior.json"
    if path.exists():
        return read_prior_integral(path)
    tells = posterior.prior_only is False
    if base.source == "cube" or posterior.network is not None or not tells:
        return None
    prior = base if base.source == "prior" else prior_measure(posterior, seed=seed)
    surplus = log_unit_vector_surplus(posterior)
    if prior.exact:
        share, sd = _share_inside(posterior.prior, prior, seed)
        found = PriorIntegral(prior.log_prior - surplus + math.log(share), sd)
    else:
        job = NestedJob(posterior.prior, prior, _PRIOR_SETTINGS, folder)
        run = _as_run(run_polychord(job, seed, 0, None))
        nested = Nested(posterior.prior, prior, nlive_of(_PRIOR_SETTINGS, prior), (run,))
        found = PriorIntegral(nested.log_z - surplus, nested.log_z_sd)
    write_json(path, {"log_z": found.log_z, "log_z_sd": found.log_z_sd})
    return found


def _share_inside(prior: Posterior, base: BaseMeasure, seed: int) -> tuple[float, float]:
    """Return the share of a base measure where a prior is positive, and the error of its log."""
    draws = base.sample(np.random.default_rng(seed), _TRIALS)
    inside = sum(np.isfinite(prior.log_density(eta)) for eta in draws)
    share = max(float(inside), 0.5) / _TRIALS
    return share, math.sqrt((1 - share) / (share * _TRIALS))


def read_prior_integral(path: Path) -> PriorIntegral | None:
    """Return what a prior integrates to; None where that was not found out."""
    if not path.exists():
        return None
    kept = read_json(path)
    return PriorIntegral(float(kept["log_z"]), float(kept["log_z_sd"]))


def run_file(folder: Path, index: int) -> Path:
    """Return the file that holds nested run ``index``."""
    return folder / f"run-{index:03d}.npz"


def nlive_of(settings: PolyChordSettings, base: BaseMeasure) -> int:
    """Return the live points of a run with some settings over a base measure."""
    return int(settings.for_base(base).nlive or 0)


def read_kept(folder: Path, numbers: Iterable[int]) -> list[NestedRun]:
    """Return those of some runs that a folder keeps."""
    return [_read_run(run_file(folder, i)) for i in numbers if run_file(folder, i).exists()]


def _read_run(path: Path) -> NestedRun:
    kept = read_arrays(path, "cube", "logl", "birth", "counts", "seconds", "resumed")
    points = np.column_stack([kept["cube"], kept["birth"], kept["logl"]])
    return _as_run(RawRun(points, kept["counts"], float(kept["seconds"]), int(kept["resumed"])))


def _as_run(raw: RawRun) -> NestedRun:
    points = raw.points[np.argsort(raw.points[:, -1], kind="stable")]
    evaluations, _, failures, trials, inside = (int(c) for c in raw.counts)
    return NestedRun(
        np.ascontiguousarray(points[:, :-2]),
        points[:, -1].copy(),
        points[:, -2].copy(),
        evaluations,
        failures,
        trials,
        inside,
        raw.seconds,
        raw.resumed,
    )
