"""Laplace's approximation of each mode, what importance sampling makes of it, and unseen copies.

log_z is about the log density at the maximum plus D/2 log(2 pi) - 1/2 log det(-H), H the Hessian on
the unconstrained scale ([1]_, section 4.4). It has no sampling error, but is off where a mode is
not normal; draws from the normal that it stands for, weighted by density over normal, correct it
and tell by how much.

Copies of a mode under a network's symmetry that nobody has visited are added, if their density is
the same ([1]_, section 5.7.2).

References
----------
.. [1] Bishop (2006). Pattern Recognition and Machine Learning.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import optimize, special

from manymodes.bridge_sampling import density_of
from manymodes.curvature import descent, hessian
from manymodes.errors import DensityError, InputError
from manymodes.posterior import FloatArray, Posterior
from manymodes.symmetry import group_order, orbit

BoolArray = npt.NDArray[np.bool_]

_DRAWS = 2000
_LEAST_EFFECTIVE = 400.0  # below, heavy tails make the correction fall short of its error
_NEWTON_STEPS = 20
_STEEP = 1e-4
_MOST_COPIES = 5000
_SAME_DENSITY = 1e-6
_SAME_PLACE = 1e-2
_FAR = 30.0
_NAN = float("nan")


@dataclass(frozen=True)
class LaplaceEstimate:
    """Laplace's approximation of one mode.

    Attributes
    ----------
    maximum : array of shape (D,)
        Where the density on the unconstrained scale is largest; empty if that is nowhere.
    log_z : float
        The approximation (nats); NaN where there is none.
    corrected, corrected_sd : float
        By importance sampling, with its standard error (nats); NaN where weights are too uneven.
    n_eff : float
        What the draws behind the correction are worth, of 2000.
    copies : int
        How many copies of the mode there are that are no mode of the others, of the same density.
    problem : str
        Why there is no approximation or no correction; empty if all is well.
    """

    maximum: FloatArray
    log_z: float = _NAN
    corrected: float = _NAN
    corrected_sd: float = _NAN
    n_eff: float = 0.0
    copies: int = 0
    problem: str = ""


def laplace(
    posterior: Posterior,
    start: FloatArray,
    *,
    inside: Callable[[FloatArray], BoolArray] | None = None,
    seed: int = 1,
) -> LaplaceEstimate:
    """Approximate a mode from a point in its basin.

    Parameters
    ----------
    posterior : Posterior
        Whose density is approximated.
    start : array of shape (D,)
        A point of the mode, on the unconstrained scale.
    inside : callable, optional
        Which points, shape (n, D), are in the mode's basin; all by default.
    seed : int
        Of the draws behind the correction.
    """
    maximum, curved, problem = _climbed(posterior, np.asarray(start, dtype=float))
    if problem:
        return LaplaceEstimate(np.empty(0), problem=problem)
    density = density_of(posterior)
    dims = len(maximum)
    root = np.linalg.cholesky(np.linalg.inv(-curved))
    log_det = 2 * np.log(root.diagonal()).sum()
    peak = float(density(maximum[None])[0])
    log_z = peak + 0.5 * dims * np.log(2 * np.pi) + 0.5 * log_det
    z = np.random.default_rng(seed).standard_normal((_DRAWS, dims))
    draws = maximum + z @ root.T
    log_q = -0.5 * (z**2).sum(axis=1) - 0.5 * dims * np.log(2 * np.pi) - 0.5 * log_det
    log_w = density(draws) - log_q
    if inside is not None:
        log_w = np.where(inside(draws), log_w, -np.inf)
    if not np.isfinite(log_w).any():
        problem = "none of the draws behind its correction lies in the mode: not normal"
        return LaplaceEstimate(maximum, float(log_z), problem=problem)
    w = np.exp(log_w - log_w.max())
    n_eff = float(w.sum() ** 2 / (w**2).sum())
    if n_eff < _LEAST_EFFECTIVE:
        problem = f"its correction rests on {n_eff:.0f} effective draws of {_DRAWS}: not normal"
        return LaplaceEstimate(maximum, float(log_z), n_eff=n_eff, problem=problem)
    return LaplaceEstimate(
        maximum,
        float(log_z),
        float(special.logsumexp(log_w) - np.log(_DRAWS)),
        float(w.std(ddof=1) / w.mean() / np.sqrt(_DRAWS)),
        n_eff,
    )


def _climbed(posterior: Posterior, start: FloatArray) -> tuple[FloatArray, FloatArray, str]:
    """Return the maximum that a point climbs to and the Hessian there, or why there is none."""
    place = optimize.minimize(
        descent(posterior), start, jac=True, method="BFGS", options={"gtol": 1e-6}
    ).x
    curved = np.empty((0, 0))
    for _ in range(_NEWTON_STEPS):
        if np.abs(place - start).max() > _FAR:
            return place, curved, "the density has no maximum on the unconstrained scale near it"
        try:
            curved = hessian(posterior, place)
            gradient = posterior.gradient(place)[1]
            step = np.linalg.solve(curved, -gradient)
            np.linalg.cholesky(-curved)
        except (DensityError, np.linalg.LinAlgError):
            return place, curved, "the density is not curved downwards in all directions there"
        if not np.isfinite(step).all():
            return place, curved, "the density has no finite curvature there"
        if float(gradient @ step) < _STEEP:
            return place, curved, ""
        place = place + step
    return place, curved, "no maximum was found"


def unvisited_copies(posterior: Posterior, maxima: list[FloatArray]) -> list[int]:
    """Count the copies of each maximum that are none of the maxima, but of the same density.

    Parameters
    ----------
    posterior : Posterior
        Of a network; for others there are none.
    maxima : list of arrays of shape (D,)
        On the unconstrained scale; an empty one has no copies.

    Returns
    -------
    list of int
        A copy that several maxima have is counted once, for the first of them.

    Notes
    -----
    A copy counts if the program admits it and gives it the same log density to 1e-6: under a
    uniform prior the flip of a sigmoid unit moves a bias, and its copies do not.
    """
    network = posterior.network
    counts = [0] * len(maxima)
    parameters = {name.split(".")[0] for name in posterior.model.param_names()}
    if (
        network is None
        or not set(network.effective_names) <= parameters
        or group_order(network) > _MOST_COPIES
    ):
        return counts
    known = [one for one in maxima if len(one)]
    for number, maximum in enumerate(maxima):
        if not len(maximum):
            continue
        row = posterior.constrain_rows(maximum)
        level = posterior.log_density(maximum)
        for copy in orbit(network, posterior.unpack(row)):
            there = _unconstrained(posterior, row, copy)
            if there is None or abs(posterior.log_density(there) - level) > _SAME_DENSITY * (
                1 + abs(level)
            ):
                continue
            if all(np.abs(there - one).max() > _SAME_PLACE for one in known):
                known.append(there)
                counts[number] += 1
    return counts


def _unconstrained(
    posterior: Posterior, row: FloatArray, weights: dict[str, FloatArray]
) -> FloatArray | None:
    """Return the point of a row with other weights in it; None outside of the support."""
    changed = row.copy()
    for variable in posterior.variables:
        if variable.name in weights:
            flat = np.asarray(weights[variable.name]).T.ravel()  # first index fastest
            changed[variable.start : variable.start + variable.size] = flat
    try:
        point = posterior.unconstrain_rows(changed)
    except (DensityError, InputError):
        return None
    return point if np.isfinite(point).all() else None
