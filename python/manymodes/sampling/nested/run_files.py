"""The files in a folder of nested runs: base measure, the prior's integral, finished runs."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from manymodes.density.normalisation import improper_directions, remarks
from manymodes.density.parameter_space import log_unit_vector_surplus
from manymodes.density.posterior import Posterior
from manymodes.errors import InputError, ResultsError, SamplingError
from manymodes.runtime.execution import Execution
from manymodes.runtime.storage import (
    digest,
    plain_json,
    read_arrays,
    read_json,
    write_arrays,
    write_json,
)
from manymodes.sampling.attempts import retry_seed
from manymodes.sampling.base_measures import (
    BaseMeasure,
    ImproperPriorError,
    prior_measure,
    read_measure,
    write_measure,
)
from manymodes.sampling.chains.chain_files import numbered
from manymodes.sampling.chains.chains import Chains
from manymodes.sampling.claims import is_number
from manymodes.sampling.integral import PriorIntegral
from manymodes.sampling.nested.choice_of_base import choose_base
from manymodes.sampling.nested.polychord_run import NestedJob, RawRun, run_polychord
from manymodes.sampling.nested.result import Nested, NestedRun
from manymodes.sampling.nested.settings import MAX_RUN_SEED, PolyChordSettings
from manymodes.statistics import nested_volumes

BASE = "base.json"
PRIOR = "prior.json"

_PRIOR_SETTINGS = PolyChordSettings(nlive=100)
_TRIALS = 4000
_INTEGRAL = ("log_z", "log_z_sd")
_NAME = re.compile(r"run-([0-9]{3}|[1-9][0-9]{3,})\.npz")
_ARRAYS = ("cube", "logl", "birth", "counts", "seconds", "resumed")
_BELONGS = "belongs_to"
_AGAIN = "remove it and run again with --resume"


class BaseSettings(Protocol):
    """What the choice of a base measure takes from an engine's settings."""

    @property
    def reference(self) -> str:
        """The name of the base measure."""

    @property
    def seed(self) -> int:
        """Decides draws and fits."""

    @property
    def threads_per_chain(self) -> int | None:
        """Threads for one likelihood."""


def kept_base(
    posterior: Posterior,
    settings: BaseSettings,
    chains: Chains | None,
    folder: Path,
    execution: Execution,
) -> BaseMeasure:
    """Return the run's base measure, found once and kept: every run must use the same one."""
    path = folder / BASE
    if not path.exists():
        if run_numbers(folder):
            raise ResultsError(
                f"{path} is missing, but the runs beside it need it: restore it, or run anew"
            )
        base = choose_base(
            posterior,
            settings.reference,
            chains=chains,
            seed=settings.seed,
            threads_per_chain=settings.threads_per_chain,
            executor=execution.executor,
            workers=execution.workers,
            quiet=execution.quiet,
        )
        write_measure(path, base, posterior.unconstrained_names)
    return read_base(folder, posterior.dims)


Integrate = Callable[[Posterior, BaseMeasure, int, Path], PriorIntegral]
"""Integrates a prior over a base measure, with a seed; the folder is for files of the run."""


def nested_integral(prior: Posterior, base: BaseMeasure, seed: int, folder: Path) -> PriorIntegral:
    """Integrate a prior over a base measure by nested sampling."""
    job = NestedJob(prior, base, _PRIOR_SETTINGS, folder)
    run = _as_run(_run_again(job, seed % MAX_RUN_SEED))
    nested = Nested(prior, base, nlive_of(_PRIOR_SETTINGS, base), (run,))
    return PriorIntegral(nested.log_z, nested.log_z_sd)


def kept_prior_integral(
    posterior: Posterior,
    base: BaseMeasure,
    seed: int,
    folder: Path,
    integrate: Integrate = nested_integral,
) -> PriorIntegral | None:
    """Return the prior's integral, computed once and kept; None if it cannot be found.

    A network's programs are normalised by construction, and those on the unit cube by convention.
    Where the base measure is not the prior exactly, ``integrate`` finds it.
    """
    path = folder / PRIOR
    if path.exists():
        return read_prior_integral(path)
    tells = posterior.prior_only is False
    if base.source == "cube" or posterior.network is not None:
        return None
    endless = improper_directions(posterior, seed=seed)
    prior = base if base.source == "prior" else None
    if prior is None and tells:
        try:
            prior = prior_measure(posterior, seed=seed)
        except ImproperPriorError as error:
            found = PriorIntegral(math.inf, math.nan, error.parameters, endless=endless)
            return _keep(path, found)
    names = tuple(dict.fromkeys(one.parameter for one in remarks(posterior) if one.infinite))
    if prior is None:
        if not names and not endless:
            return None
        return _keep(path, PriorIntegral(math.nan, math.nan, names, False, endless))
    surplus = log_unit_vector_surplus(posterior)
    if prior.exact:
        share, sd = _share_inside(posterior.prior, prior, seed)
        found = PriorIntegral(prior.log_prior - surplus + math.log(share), sd, endless=endless)
    else:
        whole = integrate(posterior.prior, prior, seed, folder)
        found = PriorIntegral(whole.log_z - surplus, whole.log_z_sd, names, not names, endless)
    return _keep(path, found)


def _keep(path: Path, found: PriorIntegral) -> PriorIntegral:
    write_json(path, asdict(found))
    return found


def _run_again(job: NestedJob, seed: int, retries: int = 2) -> RawRun:
    """Run PolyChord; if it fails or is killed, with another seed."""
    for attempt in range(retries):
        with suppress(SamplingError):
            again = seed if attempt == 0 else retry_seed(seed, 0, attempt, [seed])
            return run_polychord(job, again, 0, None)
    return run_polychord(job, retry_seed(seed, 0, retries, [seed]), 0, None)


def _share_inside(prior: Posterior, base: BaseMeasure, seed: int) -> tuple[float, float]:
    """Return the share of a base measure where a prior is positive, and the error of its log."""
    draws = base.sample(np.random.default_rng(seed), _TRIALS)
    inside = sum(np.isfinite(prior.log_density(eta)) for eta in draws)
    share = max(float(inside), 0.5) / _TRIALS
    return share, math.sqrt((1 - share) / (share * _TRIALS))


def read_prior_integral(path: Path) -> PriorIntegral | None:
    """Return the kept integral of a prior; None if there is none.

    Raises
    ------
    ResultsError
        The file is damaged.
    """
    if not path.exists():
        return None
    kept = read_json(path)
    if not all(kept.get(name, "") is None or is_number(kept.get(name)) for name in _INTEGRAL):
        raise ResultsError(f"{path} is damaged (no 'log_z', or no 'log_z_sd'): {_AGAIN}")
    improper, endless = (kept.get(name, []) for name in ("improper", "endless"))
    if not (_are_names(improper) and _are_names(endless)):
        raise ResultsError(f"{path} is damaged ('improper' or 'endless' hold no names): {_AGAIN}")
    certain = bool(kept.get("certain", True))
    unknown = math.inf if improper and certain else math.nan
    log_z, log_z_sd = (kept[name] for name in _INTEGRAL)
    return PriorIntegral(
        unknown if log_z is None else float(log_z),
        math.nan if log_z_sd is None else float(log_z_sd),
        tuple(improper),
        certain,
        tuple(endless),
    )


def _are_names(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def read_base(folder: Path, dims: int) -> BaseMeasure:
    """Return the base measure that a folder keeps.

    Raises
    ------
    ResultsError
        The file is missing or damaged.
    """
    try:
        return read_measure(folder / BASE, dims)
    except InputError as error:
        raise ResultsError(f"{error}: restore it, or run anew") from error


def run_file(folder: Path, index: int) -> Path:
    """Return the file that holds nested run ``index``."""
    return folder / f"run-{index:03d}.npz"


def run_numbers(folder: Path) -> list[int]:
    """Return the numbers of the nested runs with a file in a folder; warn of stray files."""
    return numbered(folder, "run-*.npz", _NAME)


def nlive_of(settings: PolyChordSettings, base: BaseMeasure) -> int:
    """Return the live points of a run with some settings over a base measure."""
    return int(settings.for_base(base).nlive or 0)


def owner_of(name: str, base: BaseMeasure) -> str:
    """Return the identity of nested runs with some settings over a base measure."""
    words = ("reason", "caution")
    decides = {key: value for key, value in base.as_dict().items() if key not in words}
    return f"{name}-{digest(json.dumps(plain_json(decides), sort_keys=True))}"


def write_run(folder: Path, index: int, raw: RawRun, owner: str) -> None:
    """Keep a nested run: when this returns, its file is whole and on the disk.

    Raises
    ------
    StorageError
        The file cannot be written or does not read back.
    """
    arrays: dict[str, npt.ArrayLike] = {
        "cube": raw.points[:, :-2],
        "birth": raw.points[:, -2],
        "logl": raw.points[:, -1],
        "counts": raw.counts,
        "seconds": raw.seconds,
        "resumed": raw.resumed,
        _BELONGS: f"{owner}/{index}",
    }
    write_arrays(run_file(folder, index), arrays)


def read_kept(
    folder: Path, numbers: Iterable[int], base: BaseMeasure, owner: str
) -> list[NestedRun]:
    """Return the runs, among some numbers, that a folder keeps; every byte is checked.

    Files of version 0.1.0 do not say what they belong to; they must be possible runs over the
    base measure.

    Raises
    ------
    ResultsError
        A file is damaged, or belongs to another run.
    """
    return [
        _read_run(run_file(folder, i), base, f"{owner}/{i}")
        for i in numbers
        if run_file(folder, i).exists()
    ]


def _read_run(path: Path, base: BaseMeasure, owner: str) -> NestedRun:
    kept = read_arrays(path, *_ARRAYS)
    if _BELONGS in kept and str(kept[_BELONGS]) != owner:
        raise ResultsError(f"{path} belongs to another run, or another base measure: remove it")
    wrong = _wrong(kept, base.cube_dims)
    if wrong is not None:
        raise ResultsError(f"{path} is damaged ({wrong}): {_AGAIN}")
    points = np.column_stack([kept["cube"], kept["birth"], kept["logl"]])
    return _as_run(RawRun(points, kept["counts"], float(kept["seconds"]), int(kept["resumed"])))


def _wrong(kept: Mapping[str, npt.NDArray[Any]], cube_dims: int) -> str | None:
    """Return what is wrong in the arrays of a run; None if nothing is."""
    logl, birth, cube, counts = (kept[name] for name in ("logl", "birth", "cube", "counts"))
    n = len(logl) if logl.ndim == 1 else 0
    if n == 0:
        return "it has no points"
    due = {"cube": (n, cube_dims), "birth": (n,), "counts": (5,), "seconds": (), "resumed": ()}
    for name, shape in due.items():
        if kept[name].shape != shape or kept[name].dtype.kind not in "iuf":
            return f"'{name}' is not made of numbers of shape {shape}"
    if logl.dtype.kind != "f" or not np.isfinite(logl).all():
        return "'logl' has an entry that is not finite"
    if np.isnan(birth).any() or (birth > logl).any():
        return "a point was born above its own likelihood"
    if not ((cube >= 0) & (cube <= 1)).all():
        return "'cube' has an entry outside the cube"
    trials, inside = counts[3:]
    if (counts < 0).any() or not 0 < inside <= trials:
        return "'counts' is impossible"
    return None if np.isfinite(kept["seconds"]) else "'seconds' is not finite"


def _as_run(raw: RawRun) -> NestedRun:
    logl, birth = nested_volumes.without_rounding(raw.points[:, -1], raw.points[:, -2])
    points = np.column_stack([raw.points[:, :-2], birth, logl])
    points = points[nested_volumes.inside_own_contour(logl, birth)]
    points = points[np.argsort(points[:, -1], kind="stable")]
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
