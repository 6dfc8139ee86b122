"""The ratio of the normalising constants at the two ends of a ladder of temperatures.

Neighbours on the ladder are densities q exp(beta V) and q exp(beta' V). Draws of either give the
log of the ratio of their integrals, from below in expectation and from above (the stepping stone,
Xie et al. 2011); draws of both give it with the least variance (Bennett 1976). Sums over the
ladder are the evidence.

References
----------
.. [1] Bennett (1976). Efficient estimation of free energy differences from Monte Carlo data.
   Journal of Computational Physics 22(2), equations 12a and 12b.
.. [2] Xie, Lewis, Fan, Kuo, Chen (2011). Improving marginal likelihood estimation for Bayesian
   phylogenetic model selection. Systematic Biology 60(2).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special

from manymodes.statistics.ess import relative_ess
from manymodes.types import FloatArray, IntArray

_HALVINGS = 200
_CLOSE = 1e-9  # nats
_BLOCKS = 8


@dataclass(frozen=True)
class SteppingStone:
    """The log ratio of normalising constants along a ladder (nats).

    Attributes
    ----------
    log_ratio : float
        By Bennett's acceptance ratio, from the draws of both neighbours.
    forward, backward : float
        From the draws of the warmer neighbour alone, and of the colder one alone. In expectation
        the first is too small and the second too large.
    influence : array of shape (S,)
        What each scan adds to the error of ``log_ratio``: its mean is zero, and the error of the
        mean of this series is that of ``log_ratio``, to first order.
    """

    log_ratio: float
    forward: float
    backward: float
    influence: FloatArray

    @property
    def sd(self) -> float:
        """Error of ``log_ratio`` (nats), from the influence and its autocorrelation.

        The larger of two: by the autocorrelation as far as it stays positive, and by the scatter of
        a few long blocks, which also sees what changes too slowly for the first.
        """
        n = len(self.influence)
        if n < _BLOCKS:
            return float("nan")
        halves = self.influence[: n - n % 2].reshape(1, 2, -1)
        share = min(1.0, float(relative_ess(halves)[0]))
        by_lags = np.sqrt(self.influence.var(ddof=1) / (n * share))
        blocks = self.influence[: n - n % _BLOCKS].reshape(_BLOCKS, -1).mean(axis=1)
        return float(max(by_lags, blocks.std(ddof=1) / np.sqrt(_BLOCKS)))


def stepping_stone(energies: FloatArray, betas: FloatArray) -> SteppingStone:
    """Return the log ratio of the normalising constants of the last density and the first.

    Parameters
    ----------
    energies : array of shape (S, T)
        V = log p - log q (nats) of the state at each temperature in each scan; minus infinity is
        allowed in the first column.
    betas : array of shape (T,)
        Inverse temperatures, ascending.

    Returns
    -------
    SteppingStone
        Three estimates, and what the error of the first comes from.

    Notes
    -----
    [1]_ for ``log_ratio``, [2]_ for the two directions.
    """
    log_ratio = forward = backward = 0.0
    influence = np.zeros(len(energies))
    log_n = np.log(len(energies))
    for k, width in enumerate(np.diff(betas)):
        warm, cold = width * energies[:, k], width * energies[:, k + 1]
        up = float(special.logsumexp(warm) - log_n)
        down = float(log_n - special.logsumexp(-cold))
        forward += up
        backward += down
        step = _bennett(warm, cold, up, down)
        of_warm, of_cold = special.expit(warm - step), special.expit(step - cold)
        slope = float((of_warm * (1 - of_warm) + of_cold * (1 - of_cold)).mean())
        if slope > 0:
            influence += (of_warm - of_cold) / slope
        log_ratio += step
    return SteppingStone(log_ratio, forward, backward, influence - influence.mean())


def _bennett(warm: FloatArray, cold: FloatArray, low: float, high: float) -> float:
    """Solve mean expit(warm - x) = mean expit(x - cold) for x, from a guess at the interval.

    The left side falls and the right side rises with x, so that there is one solution. Energies of
    the base measure's draws can be astronomical, so the interval grows from the guess, not from
    them.
    """

    def surplus(x: float) -> float:
        return float(special.expit(warm - x).mean() - special.expit(x - cold).mean())

    low, high = min(low, high) - 1.0, max(low, high) + 1.0
    while surplus(low) < 0:
        low -= 2 * (high - low)
    while surplus(high) > 0:
        high += 2 * (high - low)
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        if surplus(middle) > 0:
            low = middle
        else:
            high = middle
        if high - low < _CLOSE:
            break
    return 0.5 * (low + high)


def pooled_sd(within: FloatArray, values: FloatArray, freedom: float) -> float:
    """Return the error of the mean of independent estimates from both kinds of error.

    Parameters
    ----------
    within : array of shape (R,)
        The error that each estimate states of itself; NaN where it states none.
    values : array of shape (R,)
        The estimates.
    freedom : float
        How many degrees of freedom the stated errors are worth, together.

    Notes
    -----
    Both estimate one variance, unless the estimates scatter more than they state (p < 0.05 by
    chi-squared): then the scatter alone counts, widened so that a ratio of Student's distribution
    with its few degrees of freedom has a unit variance.
    """
    runs = len(values)
    stated = float(np.sqrt(np.nanmean(within**2) / runs)) if np.isfinite(within).any() else 0.0
    if runs == 1:
        return stated if stated > 0 else float("nan")
    scatter = float(values.std(ddof=1) / np.sqrt(runs))
    few = runs - 1
    widened = scatter * float(np.sqrt(few / (few - 2))) if few > 2 else 2 * scatter
    if stated == 0:
        return widened
    statistic = few * (scatter / stated) ** 2
    if special.chdtrc(few, statistic) < 0.05:
        return max(widened, stated)
    return stated * float(np.sqrt((freedom + statistic) / (freedom + few)))


def share_by_tours(member: FloatArray, tour: FloatArray | IntArray) -> tuple[float, float]:
    """Return the share of draws in a set, and its error when whole tours are independent.

    Parameters
    ----------
    member : array of shape (n,)
        1 where a draw is in the set, 0 where not.
    tour : array of shape (n,)
        The number of the tour that each draw is of: draws that descend from one independent draw
        of the base measure.

    Notes
    -----
    The share is a ratio of sums over tours, whose variance is that of the linearised ratio
    (Cochran 1977, Sampling Techniques, section 6.4).
    """
    _, group = np.unique(tour, return_inverse=True)
    visits = np.bincount(group).astype(float)
    inside = np.bincount(group, weights=member)
    share = float(inside.sum() / visits.sum())
    tours = len(visits)
    if tours < 2:
        return share, float("nan")
    residual = inside - share * visits
    variance = tours / (tours - 1) * float((residual**2).sum()) / visits.sum() ** 2
    return share, float(np.sqrt(variance))
