"""Leave-one-out predictive densities by Pareto-smoothed importance sampling (PSIS).

The importance ratios of leaving observation i out of one chain are 1 / p(y_i | draw). Their
largest values are replaced by quantiles of a generalised Pareto distribution whose shape k
also says whether the estimate can be trusted. Everything is done for all observations at once.

References
----------
.. [1] Vehtari, Simpson, Gelman, Yao, Gabry (2024). Pareto smoothed importance sampling.
   Journal of Machine Learning Research 25(72).
.. [2] Zhang, Stephens (2009). A new and efficient estimation method for the generalized
   Pareto distribution. Technometrics 51(3).
.. [3] Vehtari, Gelman, Gabry (2017). Practical Bayesian model evaluation using leave-one-out
   cross-validation and WAIC. Statistics and Computing 27(5).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from manymodes.errors import InputError
from manymodes.runtime.shown import Shown, estimate_text
from manymodes.types import FloatArray, IntArray

__all__ = ["Loo", "psis_loo", "psis_weights"]


_MIN_TAIL = 5  # fewer tail draws than this cannot carry a fit of two parameters
_BLOCK = 400_000  # numbers handled at once: small enough for the cache of a core


@dataclass(frozen=True, eq=False, repr=False)
class Loo(Shown):
    """PSIS-LOO of one chain (or of one mixed set of draws).

    Attributes
    ----------
    elpd_i
        Log predictive density of each observation given all others, shape (N,), nats.
    elpd
        Their sum, nats.
    se
        Standard error of `elpd`, sqrt(N Var(elpd_i)) with the variance over N, nats.
    p_loo
        Effective number of parameters: the sum of log pointwise predictive density minus
        `elpd_i`.
    pareto_k
        Shape of the tail of the importance ratios of each observation, shape (N,). It is -inf
        if all ratios are equal, and +inf if no tail could be fitted (fewer than 21 draws,
        a tail of equal values, or ratios that span more than the range of a double); the
        ratios are then used unsmoothed.
    good_k
        The largest reliable `pareto_k` for this number of draws, min(1 - 1/log10(S), 0.7).
    n_bad
        How many observations have a `pareto_k` above `good_k`.

    Examples
    --------
    >>> mean = np.random.default_rng(1).normal(0.3, 0.5, size=(2000, 1))
    >>> y = np.array([-0.5, 0.2, 1.1])
    >>> loo = mm.psis_loo(-0.5 * np.log(2 * np.pi) - 0.5 * (y - mean) ** 2)
    >>> loo.elpd_i.round(1), loo.n_bad
    (array([-1.5, -1.1, -1.5]), 0)
    """

    elpd_i: FloatArray
    elpd: float
    se: float
    p_loo: float
    pareto_k: FloatArray
    good_k: float
    n_bad: int

    def _headline(self) -> str:
        return (
            f"Loo: elpd = {estimate_text(self.elpd, self.se)} nats of {len(self.elpd_i)} "
            f"observations, p_loo = {self.p_loo:.2f}, {self.n_bad} Pareto k above {self.good_k:.2f}"
        )


def psis_loo(log_lik: ArrayLike, *, r_eff: ArrayLike = 1.0) -> Loo:
    """Estimate the leave-one-out log predictive density of every observation.

    Parameters
    ----------
    log_lik
        Log likelihood of each observation under each draw, shape (S, N), nats, all finite.
    r_eff
        Relative efficiency of the draws of exp(log_lik) (`manymodes.statistics.diagnostics.r_eff`),
        one number or shape (N,). It sets the length of the tail, ceil(min(S/5, 3 sqrt(S/r_eff))).

    Returns
    -------
    Loo
        Pointwise and summed results with their diagnostics.

    Raises
    ------
    InputError
        If `log_lik` is not a finite (S, N) array with S >= 2 and N >= 1, or `r_eff` is not
        positive or does not fit.

    Notes
    -----
    Vehtari et al. (2024) for the smoothing, Vehtari, Gelman and Gabry (2017) for the estimates. The
    tail length is rounded up as in the R package loo; ArviZ rounds it down, so the two agree to
    rounding if the length is whole.

    Examples
    --------
    Draws of a normal mean, and the log density of three observations under each:

    >>> mean = np.random.default_rng(1).normal(0.3, 0.5, size=(400, 1))
    >>> y = np.array([-0.5, 0.2, 1.1])
    >>> loo = mm.psis_loo(-0.5 * np.log(2 * np.pi) - 0.5 * (y - mean) ** 2)
    >>> print(f"{loo.elpd:.1f} ± {loo.se:.1f} nats, {loo.p_loo:.1f} effective parameters")
    -3.9 ± 0.3 nats, 0.4 effective parameters
    """
    ll = _checked(log_lik, "log_lik")
    n_draws, n_obs = ll.shape
    tails = _tail_lengths(n_draws, n_obs, r_eff)
    elpd_i, lppd_i, k = np.empty(n_obs), np.empty(n_obs), np.empty(n_obs)
    for block in _blocks(n_draws, n_obs):
        ratios = np.ascontiguousarray(-ll[:, block].T)
        top, bottom = ratios.max(axis=1), ratios.min(axis=1)
        ratios -= top[:, None]
        position, smoothed, k[block] = _smooth(ratios, tails[block])
        # The log likelihood is -(ratio + top): an unsmoothed draw adds exp(0) to the weighted
        # sum of likelihoods, and a smoothed one adds exp(smoothed - raw).
        change = smoothed - np.take_along_axis(ratios, position, axis=1)
        shift = np.maximum(change.max(axis=1), 0.0)
        total = np.exp(change - shift[:, None]).sum(axis=1)
        total += (n_draws - position.shape[1]) * np.exp(-shift)
        inverse = np.exp(bottom[:, None] - top[:, None] - ratios).sum(axis=1)
        lppd_i[block] = np.log(inverse) - bottom - np.log(n_draws)
        np.put_along_axis(ratios, position, smoothed, axis=1)
        norm = np.log(np.exp(ratios, out=ratios).sum(axis=1))
        elpd_i[block] = np.log(total) + shift - top - norm
    good_k = min(1 - 1 / float(np.log10(n_draws)), 0.7)
    return Loo(
        elpd_i=elpd_i,
        elpd=float(elpd_i.sum()),
        se=float(np.sqrt(n_obs * elpd_i.var())),
        p_loo=float((lppd_i - elpd_i).sum()),
        pareto_k=k,
        good_k=good_k,
        n_bad=int((k > good_k).sum()),
    )


def psis_weights(log_ratios: ArrayLike, *, r_eff: ArrayLike = 1.0) -> tuple[FloatArray, FloatArray]:
    """Smooth importance ratios and normalise them.

    Parameters
    ----------
    log_ratios
        Log importance ratios, any constant per column, shape (S, N), nats, all finite. For
        leave-one-out they are minus the log likelihood.
    r_eff
        Relative efficiency of the draws, one number or shape (N,).

    Returns
    -------
    log_weights
        Smoothed log weights, shape (S, N); their exponentials add up to 1 in each column.
    pareto_k
        Shape of the tail, shape (N,); see `Loo`.

    Raises
    ------
    InputError
        As `manymodes.psis_loo`.

    Notes
    -----
    Vehtari et al. (2024). A weighted expectation is sum_s exp(log_weights[s, i]) h[s].

    Examples
    --------
    >>> from manymodes.statistics.loo import psis_weights
    >>> log_ratios = np.random.default_rng(1).normal(size=(400, 2))
    >>> log_weights, pareto_k = psis_weights(log_ratios)
    >>> np.exp(log_weights).sum(axis=0).round(6), bool((pareto_k < 0.7).all())
    (array([1., 1.]), True)
    """
    raw = _checked(log_ratios, "log_ratios")
    n_draws, n_obs = raw.shape
    tails = _tail_lengths(n_draws, n_obs, r_eff)
    log_weights, k = np.empty((n_draws, n_obs)), np.empty(n_obs)
    for block in _blocks(n_draws, n_obs):
        ratios = np.array(raw[:, block].T, order="C")  # a copy, because it is changed
        ratios -= ratios.max(axis=1, keepdims=True)
        position, smoothed, k[block] = _smooth(ratios, tails[block])
        np.put_along_axis(ratios, position, smoothed, axis=1)
        ratios -= np.log(np.exp(ratios).sum(axis=1, keepdims=True))
        log_weights[:, block] = ratios.T
    return log_weights, k


def _checked(values: ArrayLike, name: str) -> FloatArray:
    """Return `values` as floats, or raise if it is not a finite (S >= 2, N >= 1) array."""
    array = np.asarray(values, dtype=float)
    if array.ndim != 2 or array.shape[0] < 2 or array.shape[1] < 1:
        raise InputError(
            f"{name} has shape {array.shape}: give an array (draws, observations) with at least "
            "2 draws and 1 observation."
        )
    if not np.isfinite(array).all():
        draw, obs = np.argwhere(~np.isfinite(array))[0]
        raise InputError(
            f"{name} is {array[draw, obs]} at draw {draw}, observation {obs}: "
            "every value must be finite; leave that draw out or mend the likelihood."
        )
    return array


def _tail_lengths(n_draws: int, n_obs: int, r_eff: ArrayLike) -> NDArray[np.int64]:
    """Return the number of ratios to smooth in each column, shape (N,)."""
    r = np.asarray(r_eff, dtype=float)
    if r.shape not in ((), (n_obs,)):
        raise InputError(
            f"r_eff has shape {r.shape}: give one number or one for each of {n_obs} observations."
        )
    if not (r > 0).all():
        raise InputError(f"r_eff has the value {r[~(r > 0)].flat[0]}: it must be above 0.")
    length = np.ceil(np.minimum(0.2 * n_draws, 3 * np.sqrt(n_draws / r)))
    return np.broadcast_to(length.astype(np.int64), (n_obs,))


def _blocks(n_draws: int, n_obs: int) -> Iterator[slice]:
    """Yield slices over the observations that hold a bounded amount of numbers."""
    step = max(1, _BLOCK // n_draws)
    for start in range(0, n_obs, step):
        yield slice(start, start + step)


def _smooth(
    ratios: FloatArray, tails: NDArray[np.int64]
) -> tuple[IntArray, FloatArray, FloatArray]:
    """Smooth the largest ratios of each row.

    Parameters
    ----------
    ratios
        Log ratios minus their row's maximum, shape (B, S).
    tails
        Tail length of each row, shape (B,).

    Returns
    -------
    position, smoothed
        The places of the M largest ratios of each row, in falling order, and their new values,
        both of shape (B, M) with M the longest tail. Rows with a shorter tail keep
        their raw values in the surplus.
    k
        Tail shape of each row, shape (B,).
    """
    n_draws = ratios.shape[1]
    longest = int(tails.max())
    position = np.argpartition(ratios, n_draws - longest - 1, axis=1)[:, -longest - 1 :]
    raw = np.take_along_axis(ratios, position, axis=1)
    order = np.argsort(-raw, axis=1)
    position = np.take_along_axis(position, order, axis=1)
    raw = np.take_along_axis(raw, order, axis=1)
    cutoff = np.take_along_axis(raw, tails[:, None], axis=1)
    position, raw = position[:, :-1], raw[:, :-1]

    tail = np.arange(longest)
    inside = tail < tails[:, None]
    with np.errstate(all="ignore"):  # rows that cannot be fitted give nan and are replaced below
        excess = np.where(inside, -np.exp(raw) * np.expm1(cutoff - raw), 0.0)
        k, sigma = _fit_pareto(excess, tails)
        log_survival = np.log((tail + 0.5) / tails[:, None])
        quantile = sigma[:, None] * np.expm1(-k[:, None] * log_survival) / k[:, None]
        smoothed = np.minimum(np.log(quantile + np.exp(cutoff)), 0.0)
    fitted = np.isfinite(k) & (sigma > 0) & (tails >= _MIN_TAIL)
    k = np.where(fitted, k, np.inf)
    k[ratios.min(axis=1) == 0.0] = -np.inf
    return position, np.where(inside & fitted[:, None], smoothed, raw), k


def _fit_pareto(excess: FloatArray, n: NDArray[np.int64]) -> tuple[FloatArray, FloatArray]:
    """Fit a generalised Pareto distribution to each row.

    Parameters
    ----------
    excess
        Values above the cutoff in falling order, padded with zeros, shape (B, M).
    n
        How many of them count in each row, shape (B,).

    Returns
    -------
    k, sigma
        Shape and scale, shape (B,), by the quadrature of Zhang and Stephens (2009) over b =
        -k/sigma, with the shape drawn towards 1/2 by a prior worth 10 observations (Vehtari et al.
        2024).
    """
    rows = np.arange(len(excess))
    quartile = excess[rows, n - np.maximum(n / 4 + 0.5, 1).astype(np.int64)]
    size = 30 + np.sqrt(n).astype(np.int64)
    grid = np.arange(int(size.max())) + 0.5
    b = 1 / excess[:, :1] + (1 - np.sqrt(size[:, None] / grid)) / (3 * quartile[:, None])
    shape = np.stack([_mean_log1p(-column, excess, n) for column in b.T], axis=1)
    fit = n[:, None] * (np.log(-b / shape) - shape - 1)
    fit = np.where(grid < size[:, None], fit, -np.inf)
    weight = np.exp(fit - fit.max(axis=1, keepdims=True))
    weight /= weight.sum(axis=1, keepdims=True)
    b_mean = (weight * b).sum(axis=1)
    k = _mean_log1p(-b_mean, excess, n)
    return (n * k + 5) / (n + 10), -k / b_mean


def _mean_log1p(factor: FloatArray, excess: FloatArray, n: NDArray[np.int64]) -> FloatArray:
    """Return the mean of log(1 + factor * excess) over the n values of each row."""
    product = excess * factor[:, None]
    total: FloatArray = np.log1p(product, out=product).sum(axis=1)
    return total / n
