"""The error of a mean of a few runs, from what each run says of itself and from their scatter.

A nested sampling run knows an error of its own: that of random prior volumes. It holds if every
point is a fair draw. Points that descend from one another are not, and runs that lost a mode do not
know it; then independent runs scatter more. But four runs tell their scatter badly: an error from
it alone makes z a Student's t with three degrees of freedom.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from manymodes.types import FloatArray

_MOST_EXCESS = 400.0  # largest ratio of variances: runs that scatter twenty times their errors
_NODES = 200
_ODDS = 0.5
_ODDS_OF_FEW = 0.9
_FEW = 3


def inflation(statistic: npt.ArrayLike, freedom: float) -> FloatArray:
    """Return by what factor runs' own errors are too small, as far as their scatter tells.

    The true variance is r times that which the runs say, r >= 1. Before the scatter is seen, r is 1
    with probability 1/2, and otherwise its logarithm is uniform up to log 400. The statistic is r
    times a chi-squared. The factor is the root of the mean of r given the statistic: then z has
    a standard deviation of 1 on average over what r may be, and there is no threshold at which one
    error gives way to another. Beyond the prior's end, r is what the scatter says.

    With fewer than three degrees of freedom hardly anything is learned, and the mean of r would be
    that of the prior. There r is 1 with probability 0.9.

    Parameters
    ----------
    statistic : array_like, shape (...)
        Sum over runs of squared differences from their mean, in units of one run's own variance.
    freedom : float
        Its degrees of freedom: one less than there are runs, for one figure.

    Returns
    -------
    array of shape (...)
        At least 1; 1 without a degree of freedom.
    """
    seen = np.asarray(statistic, dtype=float)
    if freedom <= 0:
        return np.ones_like(seen)
    log_r = np.linspace(0.0, np.log(_MOST_EXCESS), _NODES)
    odds = _ODDS_OF_FEW if freedom < _FEW else _ODDS
    log_prior = np.full(_NODES, np.log((1 - odds) / _NODES))
    log_prior[0] = np.log(odds)
    log_p = log_prior - freedom / 2 * log_r - seen[..., None] / 2 * np.exp(-log_r)
    p = np.exp(log_p - log_p.max(axis=-1, keepdims=True))
    mean = (p * np.exp(log_r)).sum(axis=-1) / p.sum(axis=-1)
    return np.asarray(np.sqrt(np.maximum(mean, seen / freedom)))


def error_of_mean(own_sd: float, by_run: npt.ArrayLike) -> float:
    """Return the error of a figure of merged runs.

    Parameters
    ----------
    own_sd : float
        The error that the merged runs say by themselves, without their scatter.
    by_run : array_like of shape (R,)
        The figure of each run alone, in the same units.

    Returns
    -------
    float
        The error, at least ``own_sd``; the scatter's alone where the runs claim to have no error.
    """
    values = np.asarray(by_run, dtype=float)
    freedom = len(values) - 1
    if freedom < 1 or not np.isfinite(values).all():
        return own_sd
    squares = float(((values - values.mean()) ** 2).sum())
    if own_sd <= 0:
        return float(np.sqrt(squares / freedom / len(values)))
    return float(own_sd * inflation(squares / (own_sd**2 * len(values)), freedom))
