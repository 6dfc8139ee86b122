"""The columns of predictions of numbers and counts: moments and quantiles of mixtures over draws.

Every draw of a network's weights gives one distribution of a row's outcome: normal, Student's t,
Poisson, negative binomial or binomial. The predictive distribution is the mixture of them with the
draws' weights. Its mean, standard deviation and quantiles are those of the mixture itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from scipy.special import bdtr, betainc, ndtri, pdtr

from manymodes.networks.network import Network
from manymodes.statistics.mixture import (
    count_quantiles,
    moments,
    normal_quantiles,
    student_quantiles,
    weighted_quantiles,
)
from manymodes.tables.columns import Target
from manymodes.types import FloatArray, IntArray

_THIN = 16
_MANY = 256 * _THIN  # draws, from which on a part of them tells where a quantile is
_NEARLY_POISSON = 1e-7  # sigma of a negative binomial whose counts are Poisson to all digits
_LARGEST_WHOLE = 2.0**53


def number_columns(
    network: Network,
    weights: FloatArray,
    values: Mapping[str, FloatArray],
    targets: Sequence[Target],
    X: FloatArray,
    levels: tuple[float, float],
) -> dict[str, FloatArray]:
    """Return the columns for real targets, in the user's units.

    Parameters
    ----------
    network : Network
        Its likelihood is one of real numbers.
    weights : array of shape (S,)
        Weights of the draws.
    values : mapping of str to arrays of shape (S, ...)
        Effective weights of the network.
    targets : sequence of Target
        Their names and scalings. With several, their names begin the names of columns.
    X : array of shape (N, M)
        Inputs.
    levels : tuple of two floats
        Probabilities at which the interval begins and ends.

    Returns
    -------
    dict of str to array of shape (N,)
        ``mean``, ``mean_sd``, ``sd``, ``lower`` and ``upper`` of each target, such as ``a.mean``
        of the target ``a`` if there are several. Student's t has an infinite ``sd`` for two degrees
        of freedom or fewer; for one or fewer, ``mean`` is that of the locations.
    """
    nu = network.likelihood_parts.nu
    shape = (len(weights), len(X), len(targets))
    locations = network.predict(values, X).reshape(shape)
    scales = _scales(network, values, X, shape)
    columns: dict[str, FloatArray] = {}
    for place, target in enumerate(targets):
        location, scale, scaling = locations[..., place], scales[..., place], target.scaling
        mean, mean_sd, sd = moments(weights, location, scale)
        if math.isfinite(nu):
            factor = nu / (nu - 2) if nu > 2 else math.inf
            sd = np.sqrt(mean_sd**2 + factor * (weights @ scale**2))
            ends = student_quantiles(weights, location, scale, nu, levels)
        else:
            ends = normal_quantiles(weights, location, scale, levels)
        lower, upper = scaling.invert(ends)
        named = {
            "mean": scaling.invert(mean),
            "mean_sd": mean_sd * scaling.sd,
            "sd": sd * scaling.sd,
            "lower": lower,
            "upper": upper,
        }
        prefix = f"{target.name}." if len(targets) > 1 else ""
        columns |= {f"{prefix}{name}": column for name, column in named.items()}
    return columns


def _scales(
    network: Network, values: Mapping[str, FloatArray], X: FloatArray, shape: tuple[int, int, int]
) -> FloatArray:
    """Return the noise of each draw, shape (S, T), or of each draw and row, (S, N, T)."""
    draws, _, targets = shape
    if network.likelihood_parts.kind == "heteroscedastic":
        return network.noise(values, X).reshape(shape)
    noise = network.noise_of(values)
    assert noise is not None
    return np.broadcast_to(noise.reshape(-1, targets), (draws, targets))


def count_columns(
    network: Network,
    weights: FloatArray,
    values: Mapping[str, FloatArray],
    X: FloatArray,
    counted_over: Mapping[str, FloatArray],
    levels: tuple[float, float],
) -> dict[str, Any]:
    """Return the columns for a count.

    Parameters
    ----------
    network : Network
        Its likelihood is one of counts.
    weights, values, X, levels
        As in `number_columns`.
    counted_over : mapping of str to array of shape (N,)
        ``exposure`` or ``trials`` of the rows, as `Table.counted_over` gives them.

    Returns
    -------
    dict of str to array of shape (N,)
        ``mean``, ``mean_sd`` and ``sd``, then ``lower`` and ``upper``, which are counts; of the
        binomial likelihood, before them ``p``, the probability of a success, with the interval
        ``p.lower``, ``p.upper`` over draws.
    """
    found = network.predict(values, X)
    columns: dict[str, Any] = {}
    if network.likelihood_parts.kind == "binomial":
        columns["p"] = weights @ found
        columns["p.lower"], columns["p.upper"] = weighted_quantiles(weights, found, levels)
    with np.errstate(over="ignore", invalid="ignore"):
        means, variances, below = _counts(network, values, found, counted_over)
        mean = weights @ means
        between = weights @ (means - mean) ** 2
        columns["mean"] = _no_nan(mean)
        columns["mean_sd"] = _no_nan(np.sqrt(between))
        sd = columns["sd"] = _no_nan(np.sqrt(between + weights @ variances))
        for name, level in zip(("lower", "upper"), levels, strict=True):
            columns[name] = _whole(_quantiles(weights, means, mean, sd, below, level))
    return columns


Below = Callable[[FloatArray, IntArray, slice], FloatArray]


def _counts(
    network: Network,
    values: Mapping[str, FloatArray],
    found: FloatArray,
    counted_over: Mapping[str, FloatArray],
) -> tuple[FloatArray, FloatArray, Below]:
    """Return mean and variance of each component, (S, N), and their distribution function.

    It takes counts (n,), the rows that they belong to, and a slice of the draws, and returns
    probabilities (draws, n).
    """
    if network.likelihood_parts.kind == "binomial":
        trials = counted_over["trials"]

        def of_successes(counts: FloatArray, rows: IntArray, draws: slice) -> FloatArray:
            tries = trials[rows]
            least = np.minimum(counts, tries)
            return np.asarray(bdtr(least, tries.astype(int), found[draws][:, rows]))

        return trials * found, trials * found * (1 - found), of_successes
    means = found * counted_over.get("exposure", np.ones(found.shape[1]))
    if network.likelihood_parts.kind == "poisson":

        def of_poisson(counts: FloatArray, rows: IntArray, draws: slice) -> FloatArray:
            return np.asarray(pdtr(counts, means[draws][:, rows]))

        return means, means, of_poisson
    noise = network.noise_of(values)
    assert noise is not None
    sigma = np.broadcast_to(noise.reshape(-1, 1), (len(found), 1))

    def of_negative_binomial(counts: FloatArray, rows: IntArray, draws: slice) -> FloatArray:
        mean, some = means[draws][:, rows], sigma[draws]
        phi = np.maximum(some, _NEARLY_POISSON) ** -2.0
        above = betainc(counts + 1, phi, 1 / (1 + phi / mean))
        return np.asarray(np.where(some < _NEARLY_POISSON, pdtr(counts, mean), 1 - above))

    return means, means + (sigma * means) ** 2, of_negative_binomial


def _quantiles(
    weights: FloatArray,
    means: FloatArray,
    mean: FloatArray,
    sd: FloatArray,
    below: Below,
    level: float,
) -> FloatArray:
    guess: FloatArray = np.maximum(mean + ndtri(level) * sd, 0.0)
    far = ~np.isfinite(guess)
    if far.any():  # a mean may overflow in a draw of little weight
        guess[far] = weighted_quantiles(weights, means[:, far], (level,))[0]
    parts = [slice(None)]
    if len(weights) > _MANY and weights[::_THIN].sum() > 0:
        parts = [slice(None, None, _THIN), *parts]
    for part in parts:
        shares = weights[part] / weights[part].sum()

        def mixed(
            counts: FloatArray,
            rows: IntArray,
            shares: FloatArray = shares,
            part: slice = part,
        ) -> FloatArray:
            return np.asarray(shares @ below(counts, rows, part))

        guess = count_quantiles(mixed, guess, level)
    return guess


def _whole(counts: FloatArray) -> Any:
    """Return counts as integers, if all of them can be."""
    return counts.astype(np.int64) if (counts < _LARGEST_WHOLE).all() else counts


def _no_nan(values: FloatArray) -> FloatArray:
    """Return infinity where a mean overflows."""
    return np.asarray(np.where(np.isnan(values), np.inf, values))
