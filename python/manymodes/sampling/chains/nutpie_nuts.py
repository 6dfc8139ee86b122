"""One chain of nutpie's NUTS, over the compiled library that everything else uses.

nutpie's own loader of Stan programs takes neither a start nor a library that was compiled for one
thread, as ours are, since that makes gradients cheaper. So nutpie calls the library's gradient
through `Posterior.gradient`; what it costs besides is a call of Python for each leapfrog step.
"""

from __future__ import annotations

import importlib
import importlib.util
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from manymodes.density.posterior import Posterior
from manymodes.errors import DensityError, InputError, SamplingError, TimeLimitError
from manymodes.sampling.chains.cmdstan_nuts import Adapted, NutsChain, check_chain
from manymodes.sampling.chains.nuts_settings import MIN_DRAWS, NutsSettings
from manymodes.sampling.chains.start_points import start_or_random
from manymodes.types import BoolArray, FloatArray

_STATS = {
    "logp": "lp",
    "mean_tree_accept": "acceptance_rate",
    "step_size": "step_size",
    "depth": "tree_depth",
    "n_steps": "n_steps",
    "diverging": "diverging",
    "energy": "energy",
}
"""nutpie's names of a draw's statistics and ArviZ's."""


class _RejectedError(Exception):
    """A point without a density: nutpie takes it for a divergence and goes on."""

    is_recoverable = True


def need_nutpie() -> Any:
    """Return the package nutpie.

    Raises
    ------
    InputError
        It is not installed.
    """
    if importlib.util.find_spec("nutpie") is None:
        raise InputError("sampler: nutpie is not installed; install it with 'pip install nutpie'")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the packages that it imports
        importlib.import_module("nutpie.compiled_pyfunc")
        return importlib.import_module("nutpie")


def check_nutpie(settings: NutsSettings) -> None:
    """Raise `InputError` if nutpie cannot have these settings."""
    if settings.warmup < 1:
        raise InputError(f"warmup: {settings.warmup} is not 1 or more, which nutpie needs")


def run_nutpie(
    posterior: Posterior,
    settings: NutsSettings,
    seed: int,
    scratch: Path,
    *,
    start: FloatArray | None = None,
    adapted: Adapted | None = None,
    time_limit: float | None = None,
) -> NutsChain:
    """Run one chain of nutpie and return its draws.

    Parameters
    ----------
    posterior : Posterior
        Compiled, or compiled on the way.
    settings : NutsSettings
        The sampler's settings; nutpie's own defaults decide about the rest.
    seed : int
        1 to 2**31 - 1: decides every draw.
    scratch : Path
        Not written to; there for the sake of the other samplers.
    start : array of shape (D,), optional
        The point to start from, in the unconstrained space; uniform in (-2, 2) by default.
    adapted : Adapted, optional
        nutpie cannot begin with a given metric: this must be None.
    time_limit : float, optional
        Seconds after which the chain is stopped; the draws that it has made by then are kept.

    Returns
    -------
    NutsChain
        As CmdStan gives it, but for two statistics: ``lp`` has all constants, and
        ``step_size`` varies about the chain's own from draw to draw.

    Raises
    ------
    InputError
        nutpie is not installed, or an argument is not allowed.
    SamplingError
        The chain failed, or cannot start from its point; the message is Stan's own.
    TimeLimitError
        The time limit left fewer than 4 draws.
    """
    check_chain(posterior, seed, start, adapted, time_limit)
    if adapted is not None:
        raise InputError("share_warmup: nutpie takes no metric of other chains; use cmdstan")
    check_nutpie(settings)
    nutpie = need_nutpie()
    start = start_or_random(posterior, start, seed)
    begun = time.monotonic()
    running = nutpie.sample(
        _model(nutpie, posterior, start),
        chains=1,
        cores=1,
        seed=seed,
        tune=settings.warmup,
        draws=settings.draws,
        target_accept=settings.adapt_delta,
        maxdepth=settings.max_treedepth,
        store_mass_matrix=True,
        progress_bar=False,
        return_raw_trace=True,
        blocking=False,
    )
    trace = _finished(running, time_limit)
    sampled = time.monotonic() - begun
    eta, stats, tuning = _read(trace, posterior.dims)
    made = len(eta) - int(tuning.sum())
    if made < min(MIN_DRAWS, settings.draws):
        raise TimeLimitError(
            f"the time limit of {time_limit:g} s came "
            f"{'while sampling' if made else 'in warm-up'}, at iteration {len(eta)} / "
            f"{settings.warmup + settings.draws}, with {made} draws made, and a chain needs "
            f"{MIN_DRAWS}: give it more time"
        )
    eta = np.ascontiguousarray(eta[~tuning])
    rows = posterior.constrain_rows(eta)
    return NutsChain(
        rows,
        eta,
        {name: stats[theirs][~tuning].astype(float) for theirs, name in _STATS.items()},
        seconds=time.monotonic() - begun,
        sampling_seconds=sampled,
        inv_metric=stats["mass_matrix_inv"].reshape(-1, posterior.dims)[-1],
        step_size=float(stats["step_size_bar"][-1]),
        cut=made < settings.draws,
    )


def _model(nutpie: Any, posterior: Posterior, start: FloatArray) -> Any:
    """Return nutpie's view of a posterior: the gradient, and draws as they are."""
    dims = posterior.dims

    def density() -> Callable[..., tuple[float, FloatArray]]:
        def gradient(point: FloatArray) -> tuple[float, FloatArray]:
            try:
                value, slope = posterior.gradient(point)
            except DensityError as error:
                raise _RejectedError(str(error)) from error
            if not np.isfinite(value) or not np.isfinite(slope).all():
                raise _RejectedError("the density or its gradient is not finite")
            return value, slope

        return gradient

    def keep(*_: int) -> Callable[..., dict[str, FloatArray]]:
        return lambda point: {"eta": np.array(point)}

    return nutpie.compiled_pyfunc.from_pyfunc(
        dims,
        density,
        keep,
        [np.dtype(float)],
        [(dims,)],
        ["eta"],
        make_initial_point_fn=lambda _: np.array(start, dtype=float),
    )


def _finished(running: Any, time_limit: float | None) -> Any:
    """Return the trace of a running chain when it is done, or what it has at the limit."""
    try:
        try:
            return running.wait(timeout=time_limit)
        except TimeoutError:
            return running.abort()
    except BaseException as error:
        if type(error).__name__ == "PanicException" or isinstance(error, RuntimeError):
            raise SamplingError(f"nutpie failed: {' '.join(str(error).split())[:300]}") from error
        running.cancel()
        raise


def _read(trace: Any, dims: int) -> tuple[FloatArray, dict[str, npt.NDArray[Any]], BoolArray]:
    """Return all points, shape (n, D), their statistics and which of them are of the warm-up."""
    pyarrow = importlib.import_module("pyarrow")
    draws, statistics = (pyarrow.record_batch(parts[0]) for parts in trace.get_arrow_trace())
    eta = draws.column("eta").flatten().to_numpy().reshape(-1, dims)
    stats = {
        name: statistics.column(name).to_numpy(zero_copy_only=False)
        for name in (*_STATS, "tuning", "step_size_bar")
    }
    stats["mass_matrix_inv"] = statistics.column("mass_matrix_inv").flatten().to_numpy()
    return eta, stats, stats["tuning"].astype(bool)
