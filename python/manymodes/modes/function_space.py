"""Functions as vectors: what draws predict at the inputs of the data, and their distances."""

from __future__ import annotations

import numpy as np

from manymodes.density.posterior import Posterior
from manymodes.types import FloatArray


def known_moments(values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return mean and variance over draws of each column, shape (S, n); NaN if none is finite.

    Draws without a finite value in a column do not count there: a log likelihood may be NaN.
    """
    known = np.isfinite(values)
    count = known.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        mean = np.where(known, values, 0.0).sum(axis=0) / count
        variance = (np.where(known, values - mean, 0.0) ** 2).sum(axis=0) / count
    return mean, variance


def function_distance(mean: FloatArray, other: FloatArray, variance: FloatArray) -> float:
    """Return the distance of two functions in units of their spread.

    It is infinite if the mean of only one, or of neither, is known.
    """
    known = np.isfinite(mean)
    if not known.any() or (known != np.isfinite(other)).any():
        return np.inf
    with np.errstate(over="ignore", invalid="ignore"):
        terms = (mean - other)[known] ** 2 / (variance[known] + 1e-12)
    return float(np.sqrt(np.mean(terms)))


def function_values(posterior: Posterior, eta: FloatArray) -> FloatArray:
    """Return each draw's function on the inputs of the data, shape (S, anything)."""
    if posterior.network is None:
        return posterior.log_lik(eta)
    rows = posterior.constrain_rows(eta)
    values = posterior.function_values(rows, np.asarray(posterior.data["X"]))
    return values.reshape(len(eta), -1)
