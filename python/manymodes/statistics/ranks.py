"""Rank normalisation of draws.

References
----------
.. [1] Vehtari, Gelman, Simpson, Carpenter, Buerkner (2021). Rank-normalization, folding, and
   localization: an improved R-hat for assessing convergence of MCMC. Bayesian Analysis 16(2).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.special import ndtri

from manymodes.types import FloatArray, IntArray


def normal_scores(size: int) -> FloatArray:
    """Return the normal scores of the ranks 0, 1/2, 1, ..., size; shape (2 size + 1,).

    Half ranks are what ties can have. The score of rank r is the normal quantile of
    (r - 3/8) / (size + 1/4) ([1]_, equation 14).
    """
    return np.asarray(ndtri((np.arange(2 * size + 1) / 2 - 3 / 8) / (size + 1 / 4)))


def _scores_of_sorted(values: FloatArray, scores: FloatArray) -> FloatArray:
    """Return the normal score of each of some sorted values, ties at their average rank."""
    first = np.flatnonzero(np.concatenate([[True], values[1:] != values[:-1]]))
    if len(first) == len(values):
        return scores[2::2]
    end = np.append(first[1:], len(values))
    return np.repeat(scores[first + 1 + end], end - first)


def rank_normalise(
    column: FloatArray, scores: FloatArray
) -> tuple[FloatArray, IntArray, FloatArray]:
    """Return the normal scores of a column (C, S), its sorting order, and its sorted values."""
    flat = column.ravel()
    order = np.argsort(flat)
    values = flat[order]
    normal = np.empty_like(flat)
    normal[order] = _scores_of_sorted(values, scores)
    return normal.reshape(column.shape), order, values


def rank_maximum(
    column: FloatArray, scores: FloatArray, statistic: Callable[[FloatArray], float]
) -> float:
    """Return the larger statistic of rank-normalised and of folded rank-normalised chains."""
    normal, order, values = rank_normalise(column, scores)
    bulk = statistic(normal)
    size = len(values)
    with np.errstate(invalid="ignore"):
        folded = np.abs(values - (values[(size - 1) // 2] + values[size // 2]) / 2)
    again = np.argsort(folded, kind="stable")  # one falling run, one rising run: a quick merge
    normal.ravel()[order[again]] = _scores_of_sorted(folded[again], scores)
    return float(np.fmax(bulk, statistic(normal)))
