"""A density as a hill: the function that an optimiser descends, and the curvature at a point."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from manymodes.density.posterior import Posterior
from manymodes.errors import DensityError
from manymodes.types import FloatArray

FAILED = 1e300
"""The value of `descent` where the density cannot be evaluated."""


def descent(posterior: Posterior) -> Callable[[FloatArray], tuple[float, FloatArray]]:
    """Return the negative log density (nats) and its gradient as a function of a point (D,)."""

    def negative(x: FloatArray) -> tuple[float, FloatArray]:
        try:
            value, gradient = posterior.gradient(x)
        except DensityError:
            return FAILED, np.zeros_like(x)
        if not (np.isfinite(value) and np.isfinite(gradient).all()):
            return FAILED, np.zeros_like(x)
        return -value, -gradient

    return negative


def hessian(posterior: Posterior, x: FloatArray, step: float = 1e-5) -> FloatArray:
    """Return the Hessian of the log density, (D, D), from central differences of its gradient.

    Parameters
    ----------
    posterior : Posterior
        The posterior with the density.
    x : array of shape (D,)
        The point, in the unconstrained space.
    step : float
        Step of the differences, relative to 1 + |x|.

    Raises
    ------
    DensityError
        The gradient cannot be evaluated near the point.
    """
    rows = []
    for i, value in enumerate(x):
        ahead, behind = x.copy(), x.copy()
        width = step * (1 + abs(value))
        ahead[i] += width
        behind[i] -= width
        rows.append((posterior.gradient(ahead)[1] - posterior.gradient(behind)[1]) / (2 * width))
    matrix = np.array(rows)
    return np.asarray((matrix + matrix.T) / 2)
