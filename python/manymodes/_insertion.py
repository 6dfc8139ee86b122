"""Insertion indexes of nested sampling: their checks and the distance from uniform.

References
----------
.. [1] Fowlie, Handley, Su (2020). Nested sampling cross-checks using order statistics. Monthly
   Notices of the Royal Astronomical Society 497(4).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import kolmogorov

from manymodes.errors import InputError


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


def kolmogorov_smirnov(index: NDArray[np.int64], live: NDArray[np.int64]) -> float:
    """Return the p-value of the largest distance of two step functions on [0, 1)."""
    sizes, counts = np.unique(live, return_counts=True)
    expected = [np.arange(m) / m for m in sizes]
    rises = [np.full(m, c / m) for m, c in zip(sizes, counts, strict=True)]
    places = np.concatenate([index / live, *expected])
    steps = np.concatenate([np.full(len(index), -1.0), *rises])
    order = np.argsort(places)
    places = places[order]
    distance = np.abs(np.cumsum(steps[order]))
    whole = np.append(places[1:] != places[:-1], True)  # all steps at this place are made
    return float(kolmogorov(distance[whole].max() / np.sqrt(len(index))))
