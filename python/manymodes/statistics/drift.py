"""Whether chains stay in the distribution of the draws that they started from.

If the starts are draws of the density that the chains sample, then each state of each chain is one
too: no mean moves, and a start and a later state of its chain may be exchanged. Chains whose starts
are not independent of one another form a group, and groups are independent.
"""

from __future__ import annotations

import numpy as np
from scipy import special

from manymodes.statistics.estimate import Estimate
from manymodes.types import FloatArray, IntArray

_FLIPS = 4999
_AT_ONCE = 500
_FEWEST = 2
_NAN = float("nan")


def mean_change(changes: FloatArray, group: IntArray) -> tuple[Estimate, float]:
    """Return the mean of changes with its error, and the p-value of there being none.

    Parameters
    ----------
    changes : array of shape (C,)
        The change in each chain.
    group : int array of shape (C,)
        Which chains are not independent of one another.

    Returns
    -------
    mean : Estimate
        With the error from the sums over groups; NaN for one group.
    p : float
        Two-sided, by Student's distribution with one degree of freedom less than there are
        groups.
    """
    mean = float(changes.mean())
    _, number = np.unique(group, return_inverse=True)
    sums = np.bincount(number, weights=changes - mean)
    groups = len(sums)
    if groups < _FEWEST:
        return Estimate(mean, _NAN), _NAN
    sd = float(np.sqrt(groups / (groups - 1) * (sums**2).sum())) / len(changes)
    if sd == 0:
        return Estimate(mean, 0.0), 1.0 if mean == 0 else 0.0
    return Estimate(mean, sd), float(2 * special.stdtr(groups - 1, -abs(mean) / sd))


def swapped_p(changes: FloatArray, group: IntArray, seed: int) -> float:
    """Return the p-value of the largest of some mean changes, if starts and ends are exchangeable.

    An exchange turns the signs of the changes of a group. The largest absolute mean, in units of
    its root of squares, is compared with that under random signs. So it is a test of all columns
    together, whatever their correlation (Westfall and Young 1993, section 2.3).

    Parameters
    ----------
    changes : array of shape (C, J)
        What changes in each chain.
    group : int array of shape (C,)
        Which chains are not independent of one another.
    seed : int
        Decides the signs.

    Returns
    -------
    float
        Two-sided; not below 1/5000, nor below two in the number of possible signs.
    """
    _, number = np.unique(group, return_inverse=True)
    sums = np.zeros((int(number.max()) + 1, changes.shape[1]))
    np.add.at(sums, number, changes)
    scale = np.sqrt((sums**2).sum(axis=0))
    moving = scale > 0
    if not moving.any():
        return 1.0
    sums = sums[:, moving] / scale[moving]
    largest = np.abs(sums.sum(axis=0)).max() * (1 - 1e-12)
    rng = np.random.default_rng(seed)
    beyond = 1
    for begin in range(0, _FLIPS, _AT_ONCE):
        signs = rng.choice([-1.0, 1.0], size=(min(_AT_ONCE, _FLIPS - begin), len(sums)))
        beyond += int((np.abs(signs @ sums).max(axis=1) >= largest).sum())
    return beyond / (_FLIPS + 1)


def rank_p(start: FloatArray, end: FloatArray, group: IntArray, seed: int) -> float:
    """Return the p-value of the rank sums of starts and ends, if these are exchangeable.

    Wilcoxon's two-sample statistic; its distribution is that under exchanges of the starts and
    the ends of whole groups, since the end of a chain depends on its start.

    Parameters
    ----------
    start, end : array of shape (C,)
        A figure of each chain at its start, and at its end.
    group : int array of shape (C,)
        Which chains are not independent of one another.
    seed : int
        Decides the exchanges.
    """
    ranks = _mean_ranks(np.concatenate([start, end]))
    return swapped_p((ranks[len(start) :] - ranks[: len(start)])[:, None], group, seed)


def _mean_ranks(values: FloatArray) -> FloatArray:
    """Return ranks from 1; equal values share the mean of theirs."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - 0.5 * (counts - 1))[place])
