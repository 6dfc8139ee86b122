"""Mixtures over weighted draws: moments, quantiles and log densities, for many rows at once.

A draw s has the weight w_s; weights add up to one. Arrays have one row for each draw and one column
for each row of the table, shape (S, N).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from scipy.special import ndtr, ndtri, stdtr, stdtrit

from manymodes.types import FloatArray, IntArray

_STEPS = 200
_CLOSE = 1e-7  # of a standard deviation: after such a step the next is far below rounding
_FIRST_STEPS = 12
"""So many steps may all be Newton's; of those after them, every second halves the interval."""
_THIN = 16
_LARGEST = 2.0**62  # the largest count that a quantile may be
_ROUNDING = 1e-12  # of probabilities that weights hit exactly
_BLOCK = 1_000_000  # most numbers that are sorted at once


def log_mean_exp(weights: FloatArray, log_density: FloatArray) -> FloatArray:
    """Return log sum_s w_s exp(log_density_s), shape (N,), in nats; no exponential underflows."""
    with np.errstate(divide="ignore"):  # a draw may have weight zero
        terms = log_density + np.log(weights)[:, None]
        top = terms.max(axis=0)
        finite = np.where(np.isfinite(top), top, 0.0)
        terms -= finite  # in place: blocks of draws x rows are large
        return np.asarray(np.log(np.exp(terms, out=terms).sum(axis=0)) + finite)


def moments(
    weights: FloatArray, mean: FloatArray, sd: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return moments of a mixture.

    Parameters
    ----------
    weights : array of shape (S,)
        Weights of the draws.
    mean : array of shape (S, N)
        Mean of each component.
    sd : array of shape (S,) or (S, N)
        Standard deviation of each draw's components, or of each component.

    Returns
    -------
    tuple of arrays of shape (N,)
        The mixture's mean, the spread of the components' means about it, and the mixture's
        standard deviation.
    """
    centre = weights @ mean
    between = weights @ (mean - centre) ** 2
    return centre, np.sqrt(between), np.sqrt(between + weights @ sd**2)


@dataclass(frozen=True)
class _Shape:
    """A distribution of location 0 and scale 1: its distribution function, inverse and density."""

    below: Callable[[FloatArray], FloatArray]
    at: Callable[[FloatArray], FloatArray]
    density: Callable[[FloatArray], FloatArray]


def _normal_density(z: FloatArray) -> FloatArray:
    density = np.square(z)  # and the rest in place: blocks of draws x rows are large
    density *= -0.5
    np.exp(density, out=density)
    density /= math.sqrt(2 * math.pi)
    return density


_NORMAL = _Shape(ndtr, ndtri, _normal_density)


def _student(nu: float) -> _Shape:
    top = math.exp(math.lgamma((nu + 1) / 2) - math.lgamma(nu / 2)) / math.sqrt(nu * math.pi)

    def density_at(z: FloatArray) -> FloatArray:
        density = np.square(z)
        density /= nu
        density += 1
        np.power(density, -(nu + 1) / 2, out=density)
        density *= top
        return density

    return _Shape(lambda z: stdtr(nu, z), lambda p: stdtrit(nu, p), density_at)


def normal_quantiles(
    weights: FloatArray, mean: FloatArray, sd: FloatArray, levels: Sequence[float]
) -> FloatArray:
    """Return quantiles of mixtures of normals: roots of the mixture's distribution function.

    Parameters
    ----------
    weights, mean, sd : arrays
        As in `moments`.
    levels : sequence of float
        Probabilities, each between 0 and 1.

    Returns
    -------
    array of shape (len(levels), N)
        The quantiles, exact up to rounding.

    Notes
    -----
    Newton's method on the probit of the distribution function, which is nearly a straight line,
    kept between the least and the largest of the components' own quantiles, where the root must
    lie. A step that would leave that interval halves it instead. So does every second step after
    the first few: between narrow components far apart, where the line is flat, Newton's steps may
    stay inside and come no nearer.
    """
    return _quantiles(_NORMAL, weights, mean, sd, levels)


def student_quantiles(
    weights: FloatArray,
    location: FloatArray,
    scale: FloatArray,
    nu: float,
    levels: Sequence[float],
) -> FloatArray:
    """Return quantiles of mixtures of Student's t distributions.

    Parameters
    ----------
    weights : array of shape (S,)
        Weights of the draws.
    location : array of shape (S, N)
        Location of each component.
    scale : array of shape (S,) or (S, N)
        Scale of each draw's components, or of each component.
    nu : float
        Degrees of freedom of all components.
    levels : sequence of float
        Probabilities, each between 0 and 1.

    Returns
    -------
    array of shape (len(levels), N)
        The quantiles, found as in `normal_quantiles`, with Student's t in the place of the normal.
    """
    return _quantiles(_student(nu), weights, location, scale, levels)


def _quantiles(
    shape: _Shape, weights: FloatArray, mean: FloatArray, sd: FloatArray, levels: Sequence[float]
) -> FloatArray:
    """Return quantiles of mixtures of one shape; ``mean`` and ``sd`` are location and scale."""
    centre, _, spread = moments(weights, mean, sd)
    few = weights[::_THIN]
    if len(few) > 256 and few.sum() > 0:
        found = _quantiles(shape, few / few.sum(), mean[::_THIN], sd[::_THIN], levels)
    else:
        found = centre + np.outer(shape.at(np.asarray(levels)), spread)
    scales = sd[:, None] if sd.ndim == 1 else sd
    for quantile, level in zip(found, levels, strict=True):
        z = float(shape.at(np.asarray(level)))
        low, high = (extreme(mean + z * scales, axis=0) for extreme in (np.min, np.max))
        quantile[:] = np.clip(quantile, low, high)
        open_ = np.flatnonzero(high > low)
        for count in range(_STEPS):
            if open_.size == 0:
                break
            at = quantile[open_]
            scale = scales if sd.ndim == 1 else scales[:, open_]
            scaled = at - mean[:, open_]
            scaled /= scale
            below = weights @ shape.below(scaled)
            heights = shape.density(scaled)
            heights /= scale
            density = weights @ heights
            low[open_] = np.where(below < level, at, low[open_])
            high[open_] = np.where(below > level, at, high[open_])
            with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
                line = shape.at(below)
                step = at - (line - z) * (shape.density(line) / density)
            del scaled, heights
            newton = ((step > low[open_]) & (step < high[open_])) | (step == at)
            newton &= count < _FIRST_STEPS or count % 2 == 0
            step = np.where(newton, step, 0.5 * (low[open_] + high[open_]))
            exact = below == level
            quantile[open_] = np.where(exact, at, step)
            done = exact | (
                newton
                & (np.abs(step - at) <= _CLOSE * spread[open_])
                & (np.abs(below - level) <= _CLOSE * min(level, 1 - level))
            )
            done |= high[open_] - low[open_] <= 1e-15 * np.abs(at) + 1e-12 * spread[open_]
            open_ = open_[~done]
    return found


CountsBelow: TypeAlias = Callable[[FloatArray, IntArray], FloatArray]
"""Takes counts and the rows that they belong to; returns the probability of at most so many."""


def count_quantiles(below: CountsBelow, guess: FloatArray, level: float) -> FloatArray:
    """Return the smallest counts that a distribution does not exceed with some probability.

    Parameters
    ----------
    below : callable
        The distribution function: takes counts, shape (n,), and the rows that they belong to;
        returns the probability of at most so many, shape (n,).
    guess : array of shape (N,)
        A number near the quantile of each row. The nearer it is, the fewer steps are taken.
    level : float
        The probability, between 0 and 1.

    Returns
    -------
    array of shape (N,)
        Whole numbers; infinite where even 2^62 is exceeded too often, or a guess is not finite.
    """
    known = np.isfinite(guess)
    found = np.where(known, 0.0, np.inf)
    rows = np.flatnonzero(known)
    low = np.full(len(rows), -1.0)  # a count that is too small
    high = np.full(len(rows), np.inf)  # one that is large enough
    at = np.clip(np.rint(guess[rows]), 0.0, _LARGEST)
    step = np.ones(len(rows))
    while rows.size:
        enough = below(at, rows) >= level - _ROUNDING
        high, low = np.where(enough, at, high), np.where(enough, low, at)
        done = (high - low <= np.maximum(1.0, 1e-15 * low)) | (low >= _LARGEST)
        found[rows[done]] = high[done]
        rows, low, high, at, step = (one[~done] for one in (rows, low, high, at, step))
        # Steps double until the quantile lies between two counts, which are then halved.
        inside = np.isfinite(high) & (low >= 0)
        up = np.minimum(low + step, _LARGEST)
        down = np.maximum(high - step, low + 1)
        middle = low + np.floor((high - low) / 2)
        at = np.where(inside, middle, np.where(np.isfinite(high), down, up))
        step = 2 * step
    return found


def weighted_quantiles(
    weights: FloatArray, values: FloatArray, levels: Sequence[float]
) -> FloatArray:
    """Return quantiles of weighted draws, shape (len(levels), N).

    The quantile at a level is the smallest value at which the draws up to it reach that weight.
    """
    order = np.argsort(values, axis=0)
    below = np.cumsum(weights[order], axis=0)
    below /= below[-1]
    found = np.empty((len(levels), values.shape[1]))
    for quantile, level in zip(found, levels, strict=True):
        # Rounding must not move a level that the weights hit exactly to the next draw.
        first = np.argmax(below >= level - 1e-12, axis=0)
        quantile[:] = np.take_along_axis(values, np.take_along_axis(order, first[None], 0), 0)[0]
    return found


def described(weights: FloatArray, values: FloatArray, levels: Sequence[float]) -> FloatArray:
    """Return mean, standard deviation and quantiles of weighted draws.

    Parameters
    ----------
    weights : array of shape (S,)
        Weights of the draws.
    values : array of shape (S, N)
        Draws of N quantities. A draw that is NaN counts for nothing in its quantity.
    levels : sequence of float
        Probabilities of the quantiles.

    Returns
    -------
    array of shape (2 + len(levels), N)
        A row for each figure. Where draws with a weight are infinite, so is the mean, or it is
        NaN, and the standard deviation is NaN; quantiles take them as they are. All figures are
        NaN where no draw counts.
    """
    found = np.full((2 + len(levels), values.shape[1]), np.nan)
    lacks = np.isnan(values).any(axis=0)
    whole = np.flatnonzero(~lacks)
    step = max(1, _BLOCK // max(1, len(values)))
    for some in (whole[start : start + step] for start in range(0, len(whole), step)):
        found[:, some] = _figures(weights, values[:, some], levels)
    for column in np.flatnonzero(lacks):
        there = ~np.isnan(values[:, column])
        if weights[there].sum() > 0:
            found[:, column, None] = _figures(weights[there], values[there, column, None], levels)
    return found


def _figures(weights: FloatArray, values: FloatArray, levels: Sequence[float]) -> FloatArray:
    """Return the rows of `described` for draws without NaN."""
    counts = weights > 0  # infinity times zero is NaN
    weights, values = weights[counts] / weights[counts].sum(), values[counts]
    with np.errstate(invalid="ignore", over="ignore"):
        centre = weights @ values
        spread = np.sqrt(weights @ (values - centre) ** 2)
    return np.vstack([centre, spread, weighted_quantiles(weights, values, levels)])
