"""How much of a posterior lies outside a fitted base measure, by draws that it was not fitted to.

A measure fitted to climbs or chains cannot be judged by draws that were made through it: what its
components leave out is hardly ever drawn. Draws of another engine can judge it.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

from manymodes.errors import InputError
from manymodes.sampling.measure import BaseMeasure, Component
from manymodes.types import BoolArray, FloatArray

_OUTER = 1e-3
_TRIALS = 20_000


def outside_share(base: BaseMeasure, eta: npt.ArrayLike) -> float:
    """Return the share of draws outside every fitted component of a base measure.

    A draw is inside a component if its density there is above that of all but a thousandth of the
    component's own draws: the region of highest density that holds 0.999 of it. The prior among the
    components does not count, because its share is small. Over an exact measure nothing is
    outside.

    Parameters
    ----------
    base : BaseMeasure
        A measure fitted to chains or peaks, or one from a file.
    eta : array_like of shape (n, D)
        Equally weighted draws of the posterior that were not made through ``base``, in the
        unconstrained space.

    Returns
    -------
    float
        NaN without draws.

    Raises
    ------
    InputError
        The draws have another dimension.
    """
    outside = is_outside(base, eta)
    return float(outside.mean()) if outside.size else float("nan")


def is_outside(base: BaseMeasure, eta: npt.ArrayLike) -> BoolArray:
    """Return which points, shape (n, D), lie outside every fitted component, shape (n,)."""
    points = np.asarray(eta, dtype=float)
    if points.ndim != 2 or points.shape[1] != base.dims:
        raise InputError(f"eta: shape {points.shape} does not fit; give (n, {base.dims})")
    outside = np.full(len(points), not base.exact)
    for one in base.components:
        if base.exact or one.origin == "prior":
            continue
        rest = np.flatnonzero(outside)
        height = one.log_density(points[rest]) + np.log(one.scale.diagonal()).sum()
        outside[rest] = height < _edge(one.families)
    return outside


@cache
def _edge(families: tuple[str, ...]) -> float:
    """Return the log density (nats) of a standard component that 0.999 of its draws exceed."""
    dims = len(families)
    standard = Component(families, np.zeros(dims), np.ones(dims))
    draws: FloatArray = standard.map(np.random.default_rng(0).random((_TRIALS, dims)))
    return float(np.quantile(standard.log_density(draws), _OUTER))
