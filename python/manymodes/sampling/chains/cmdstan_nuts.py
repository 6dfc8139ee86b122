"""One chain of CmdStan's NUTS, run through CmdStanPy."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from manymodes.density.posterior import Posterior
from manymodes.density.variables import as_json
from manymodes.errors import (
    DensityError,
    InputError,
    ResultsError,
    SamplingError,
    StorageError,
    TimeLimitError,
)
from manymodes.runtime.threads import threads_in_use
from manymodes.sampling.chains.cmdstan_process import (
    disk_is_full,
    explained,
    guarded,
    listening_to,
    silent_cmdstanpy,
)
from manymodes.sampling.chains.nuts_settings import MIN_DRAWS, NutsSettings
from manymodes.sampling.chains.stan_csv import StanCsv, read_stan_csv
from manymodes.types import FloatArray

MAX_SEED = 2**31 - 1

_DEFAULT_RADIUS = 2.0
STATS = {
    "lp__": "lp",
    "accept_stat__": "acceptance_rate",
    "stepsize__": "step_size",
    "treedepth__": "tree_depth",
    "n_leapfrog__": "n_steps",
    "divergent__": "diverging",
    "energy__": "energy",
}
"""CmdStan's columns and ArviZ's names for them."""


@dataclass(frozen=True)
class Adapted:
    """What a chain is offered of the warm-up of others.

    Attributes
    ----------
    inv_metric : array of shape (D,)
        The diagonal of the inverse metric. It is kept: only the step size goes on adapting.
    step_size : float
        Where the adaptation of the step size begins.
    warmup : int
        Iterations of warm-up, in place of those of the settings; 0 for none at all.
    """

    inv_metric: FloatArray
    step_size: float
    warmup: int


@dataclass(frozen=True)
class NutsChain:
    """What one chain gives.

    Attributes
    ----------
    rows : array of shape (S, P)
        Parameters and transformed parameters, as `Posterior.constrain_rows` lays them out.
    eta : array of shape (S, D)
        The same draws in the unconstrained space.
    stats : dict of arrays of shape (S,)
        Sampler statistics under ArviZ's names; ``lp`` is CmdStan's ``lp__`` (nats, which may
        lack constants).
    seconds : float
        Wall time of the chain, the sampler's start included.
    sampling_seconds : float
        The sampler's own time of warm-up and draws.
    inv_metric : array of shape (D,)
        The diagonal of the inverse metric that the draws were made with.
    step_size : float
        The step size that the draws were made with.
    cut : bool
        Whether the time limit left fewer draws than were asked for.
    """

    rows: FloatArray
    eta: FloatArray
    stats: Mapping[str, FloatArray]
    seconds: float
    sampling_seconds: float
    inv_metric: FloatArray
    step_size: float
    cut: bool


def run_chain(
    posterior: Posterior,
    settings: NutsSettings,
    seed: int,
    scratch: Path,
    *,
    start: FloatArray | None = None,
    adapted: Adapted | None = None,
    time_limit: float | None = None,
) -> NutsChain:
    """Run one chain and return its draws.

    CmdStan does not outlive the process that runs this, where ``setpriv`` of util-linux is found.
    It has as many threads for one likelihood as this process (``STAN_NUM_THREADS``, or 1).

    Parameters
    ----------
    posterior : Posterior
        Compiled, or compiled on the way.
    settings : NutsSettings
        The sampler's settings.
    seed : int
        CmdStan's seed, 1 to 2**31 - 1: decides every draw.
    scratch : Path
        An existing folder for CmdStan's files, which are left there; it may be shared.
    start : array of shape (D,), optional
        The point to start from, in the unconstrained space; CmdStan's own choice, uniform in
        (-2, 2), by default.
    adapted : Adapted, optional
        Metric, step size and length of warm-up learned from other chains.
    time_limit : float, optional
        Seconds after which CmdStan is stopped; the draws that it has made by then are kept.

    Raises
    ------
    InputError
        The seed, the start, the warm-up on offer or the time limit is not allowed.
    SamplingError
        The chain failed; the message is Stan's own.
    TimeLimitError
        The time limit left fewer than 4 draws.
    StorageError
        The disk of ``scratch`` is full.
    """
    check_chain(posterior, seed, start, adapted, time_limit)
    executable = posterior.program.executable()
    begun = time.monotonic()
    try:
        folder = Path(tempfile.mkdtemp(prefix="chain-", dir=scratch))
        options = _prepared(posterior, settings, seed, folder, start, adapted)
        runnable = guarded(executable, folder)
    except OSError as error:
        raise StorageError(f"{scratch}: {error.strerror or error}") from error
    with listening_to(folder) as console:
        failure = _sample(runnable, folder, options, time_limit)
    stopped = isinstance(failure, TimeoutError)
    if failure is not None and not stopped:
        raise explained(folder, failure, console.lines) from failure
    after = time_limit if stopped else None
    return _collect(posterior, settings, folder, console.lines, adapted, after, begun)


def check_chain(
    posterior: Posterior,
    seed: int,
    start: FloatArray | None,
    adapted: Adapted | None,
    time_limit: float | None,
) -> None:
    """Check the arguments of one chain, whatever the sampler.

    Raises
    ------
    InputError
        One is not allowed.
    """
    if not 1 <= seed <= MAX_SEED:
        raise InputError(f"seed: {seed} of a chain is not between 1 and {MAX_SEED}")
    if time_limit is not None and not 0 < time_limit < np.inf:
        raise InputError(f"time_limit: {time_limit} is not a positive number of seconds")
    if start is not None:
        _check_point("start", start, posterior.dims)
    if adapted is not None:
        _check_point("inv_metric", adapted.inv_metric, posterior.dims)
        if not (np.asarray(adapted.inv_metric) > 0).all():
            raise InputError("inv_metric: has an entry that is not positive")
        if not 0 < adapted.step_size < np.inf:
            raise InputError(f"step_size: {adapted.step_size} is not a positive number")
        if adapted.warmup < 0:
            raise InputError(f"warmup: {adapted.warmup} is not 0 or more")


def _check_point(name: str, value: FloatArray, dims: int) -> None:
    point = np.asarray(value, dtype=float)
    if point.shape != (dims,):
        raise InputError(f"{name}: shape {point.shape} does not fit the posterior; give ({dims},)")
    if not np.isfinite(point).all():
        raise InputError(f"{name}: has an entry that is not finite")


def initial_values(posterior: Posterior, start: FloatArray) -> str:
    """Return CmdStan's initial values (JSON) of an unconstrained point, to the last digit.

    Parameters
    ----------
    posterior : Posterior
        Names the parameters.
    start : array of shape (D,)
        The point.
    """
    row = posterior.constrain_rows(start)
    names = posterior.model.param_names()
    return json.dumps(as_json(names, row[: len(names)]))


def _prepared(
    posterior: Posterior,
    settings: NutsSettings,
    seed: int,
    folder: Path,
    start: FloatArray | None,
    adapted: Adapted | None,
) -> dict[str, Any]:
    """Write CmdStan's input files; return the arguments of `CmdStanModel.sample`."""

    def written(name: str, text: str) -> str:
        (folder / name).write_text(text, encoding="utf-8")
        return str(folder / name)

    warmup = settings.warmup if adapted is None else adapted.warmup
    options: dict[str, Any] = {
        "data": written("data.json", posterior.data_json),
        "inits": _DEFAULT_RADIUS,
        "seed": seed,
        "iter_warmup": warmup,
        "iter_sampling": settings.draws,
        "max_treedepth": settings.max_treedepth,
        "adapt_engaged": warmup > 0,
    }
    if start is not None:
        options["inits"] = written("start.json", initial_values(posterior, start))
    if warmup > 0:
        options["adapt_delta"] = settings.adapt_delta
    if adapted is not None:
        metric = {"inv_metric": np.asarray(adapted.inv_metric).tolist()}
        options["inv_metric"] = written("metric.json", json.dumps(metric))
        options["step_size"] = float(adapted.step_size)
        if warmup > 0:  # no window in which the metric is learned again
            options["adapt_init_phase"] = options["adapt_metric_window"] = 0
            options["adapt_step_size"] = warmup
    return options


def _sample(
    executable: Path,
    folder: Path,
    options: Mapping[str, Any],
    time_limit: float | None,
) -> Exception | None:
    """Run CmdStan in a folder; return what CmdStanPy complains about, if it does."""
    with silent_cmdstanpy() as cmdstanpy:
        try:
            cmdstanpy.CmdStanModel(exe_file=str(executable)).sample(
                chains=1,
                output_dir=str(folder),
                sig_figs=18,
                show_progress=False,
                timeout=time_limit,
                threads_per_chain=threads_in_use(),  # or CmdStanPy says that it is one
                **options,
            )
        except (RuntimeError, ValueError, OSError) as error:  # TimeoutError is an OSError
            return error
    return None


def _collect(
    posterior: Posterior,
    settings: NutsSettings,
    folder: Path,
    said: Collection[str],
    adapted: Adapted | None,
    stopped_after: float | None,
    begun: float,
) -> NutsChain:
    """Read what CmdStan has left in its folder."""
    first = len(STATS)
    n_values = int(posterior.model.param_num(include_tp=True))
    try:
        output = read_stan_csv(next(folder.glob("*.csv"), folder / "csv"), first + n_values)
    except ResultsError as error:
        raise explained(folder, error, said) from error
    n_draws = len(output.draws)
    if n_draws < settings.draws and (stopped_after is None or disk_is_full(folder)):
        short = SamplingError(f"CmdStan left {n_draws} of {settings.draws} draws")
        raise explained(folder, short, said)
    if stopped_after is not None and n_draws < min(MIN_DRAWS, settings.draws):
        raise TimeLimitError(_too_late(said, output, stopped_after))
    columns = {name: column for column, name in enumerate(output.columns)}
    stats = {
        name: np.ascontiguousarray(output.draws[:, columns[theirs]])
        for theirs, name in STATS.items()
    }
    rows = np.ascontiguousarray(output.draws[:, first:])
    inv_metric = output.inv_metric
    if inv_metric is None:  # no adaptation
        inv_metric = np.ones(posterior.dims) if adapted is None else np.array(adapted.inv_metric)
    try:
        eta = posterior.unconstrain_rows(rows)
    except DensityError as error:
        raise SamplingError(f"a draw is on the edge of the support: {error}") from error
    seconds = time.monotonic() - begun
    own = output.seconds
    return NutsChain(
        rows,
        eta,
        stats,
        seconds,
        sampling_seconds=own if own is not None else min(seconds, stopped_after or seconds),
        inv_metric=inv_metric,
        step_size=float(stats["step_size"][-1]),
        cut=n_draws < settings.draws,
    )


def _too_late(said: Collection[str], output: StanCsv, seconds: float) -> str:
    """Say how far CmdStan was when the time limit stopped it."""
    phase = "while sampling" if output.adapted or len(output.draws) else "in warm-up"
    lines = [line for line in said if line.startswith("Iteration:")]
    where = " ".join(lines[-1].split()[1:4]) if lines else "0"
    return (
        f"the time limit of {seconds:g} s came {phase}, at iteration {where}, with "
        f"{len(output.draws)} draws made, and a chain needs {MIN_DRAWS}: give it more time"
    )
