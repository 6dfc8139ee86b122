"""Insertion indexes of nested sampling: their checks and the distance from uniform.

References
----------
.. [1] Fowlie, Handley, Su (2020). Nested sampling cross-checks using order statistics. Monthly
   Notices of the Royal Astronomical Society 497(4).
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import kolmogorov

from manymodes.errors import InputError
from manymodes.types import FloatArray

_AT_ONCE = 4_000_000


def checked_insertions(
    indexes: ArrayLike, nlive: ArrayLike
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return insertion indexes and numbers of live points, both of shape (n,), or raise."""
    index, live = np.asarray(indexes), np.asarray(nlive)
    if index.ndim != 1 or len(index) == 0 or live.shape not in ((), index.shape):
        raise InputError(
            f"indexes have shape {index.shape} and nlive {live.shape}: give at least one index, "
            "and one number of live points or one for each index."
        )
    live = np.broadcast_to(live, index.shape)
    wrong = ~((index >= 0) & (index < live) & (index % 1 == 0) & (live % 1 == 0))
    if wrong.any():
        where = int(wrong.argmax())
        raise InputError(
            f"index {where} is {index[where]} with nlive {live[where]}: "
            "it must be an integer from 0 to nlive - 1."
        )
    return index.astype(np.int64), live.astype(np.int64)


def kolmogorov_smirnov(
    index: NDArray[np.int64], live: NDArray[np.int64], at_once: int = _AT_ONCE
) -> float:
    """Return the p-value of the largest distance of two step functions on [0, 1).

    The steps are taken in stretches of [0, 1) with about ``at_once`` of them, so that many
    different numbers of live points take time and no memory.
    """
    sizes, counts = np.unique(live, return_counts=True)
    observed = index / live
    edges = np.linspace(0, 1, 2 + int(sizes.sum()) // at_once)
    reached, largest = 0.0, 0.0
    for low, high in pairwise(edges.tolist()):
        expected, rises = _expected_steps(sizes, counts, low, high)
        own = observed[(observed >= low) & (observed < high)]
        places = np.concatenate([own, expected])
        steps = np.concatenate([np.full(len(own), -1.0), rises])
        order = np.argsort(places)
        places = places[order]
        height = reached + np.cumsum(steps[order])
        whole = np.append(places[1:] != places[:-1], True)  # all steps at this place are made
        if len(places):
            largest = max(largest, float(np.abs(height[whole]).max()))
            reached = float(height[-1])
    return float(kolmogorov(largest / np.sqrt(len(index))))


def _expected_steps(
    sizes: NDArray[np.int64], counts: NDArray[np.int64], low: float, high: float
) -> tuple[FloatArray, FloatArray]:
    """Return places k/m in [low, high) for each size m, and how far the expected number rises."""
    first = np.maximum(np.floor(low * sizes).astype(np.int64) - 1, 0)
    last = np.minimum(np.ceil(high * sizes).astype(np.int64) + 1, sizes)
    lengths = last - first
    k = np.arange(lengths.sum()) + np.repeat(first - np.cumsum(lengths) + lengths, lengths)
    places = k / np.repeat(sizes, lengths)
    inside = (places >= low) & (places < high)
    return places[inside], np.repeat(counts / sizes, lengths)[inside]
