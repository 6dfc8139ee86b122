"""A base measure fitted to the peaks of the density, without chains: climbs, then refinement.

Many climbs are cheap and find more peaks than chains do. Each peak gets a component from the
curvature there, and the mixture is refined by population Monte Carlo: its draws, weighted by
density over mixture, give its next moments ([1]_). As with chains, the prior is a further
component if the program can leave its likelihood out.

References
----------
.. [1] Cappé, Douc, Guillin, Marin, Robert (2008). Adaptive importance sampling in general mixture
   classes. Statistics and Computing 18, 447.
.. [2] Ionides (2008). Truncated importance sampling. Journal of Computational and Graphical
   Statistics 17(2), 295.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy import optimize, special
from threadpoolctl import threadpool_limits

from manymodes.density.curvature import FAILED, descent, hessian
from manymodes.density.posterior import Posterior
from manymodes.errors import DensityError, SamplingError
from manymodes.runtime.seeds import check_seed
from manymodes.sampling.base_measures.chains import (
    MOST_COMPONENTS,
    Moments,
    moments,
    student,
    with_prior,
)
from manymodes.sampling.base_measures.measure import BaseMeasure, Component
from manymodes.types import FloatArray

CLIMBS = 120
"""How many points climb."""

_RADIUS = 2.0
_APART = 0.5
_FAR = 50.0
_ROUNDS = 5
_DRAWS = 3000
_EIGENVALUES = (1e-4, 1e4)  # of the curvature; others say nothing about the mode's width
_EQUAL = 0.2  # share of the weight that all components get alike
_NEGLIGIBLE = 1e-4  # components with less than this of the largest one's mass are dropped
_LEAST_DRAWS = 3.0  # effective draws for each coordinate, for a component to be updated


def peaks_measure(
    posterior: Posterior, *, prior: BaseMeasure | None = None, seed: int = 1
) -> BaseMeasure:
    """Return a base measure fitted to the peaks that climbs reach.

    Parameters
    ----------
    posterior : Posterior
        The climbs go up its density in the unconstrained space.
    prior : BaseMeasure, optional
        The prior's measure: climbs begin at its draws, and it becomes a component. Otherwise they
        begin uniformly in (-2, 2) in every coordinate.
    seed : int
        Seed of the starting points of climbs and of the draws of the refinement.

    Raises
    ------
    SamplingError
        No climb ends at a peak.
    """
    # One thread, because the matrices are small and threads of linear algebra slow them down.
    with threadpool_limits(limits=1, user_api="blas"):
        return _peaks_measure(posterior, prior, np.random.default_rng(check_seed(seed)))


def _peaks_measure(
    posterior: Posterior, prior: BaseMeasure | None, rng: np.random.Generator
) -> BaseMeasure:
    if prior is not None:
        starts = prior.sample(rng, CLIMBS)
    else:
        starts = rng.uniform(-_RADIUS, _RADIUS, (CLIMBS, posterior.dims))
    peaks = _peaks(posterior, starts)
    if not peaks:
        raise SamplingError(
            f"none of {CLIMBS} climbs ends at a peak of {posterior.name}: use --reference chains"
        )
    components, weights = _refined(posterior, peaks, rng)
    what = f"the peaks that {CLIMBS} climbs reached"
    return with_prior(components, weights, prior, "peaks", what)


def _peaks(posterior: Posterior, starts: FloatArray) -> list[tuple[float, Moments]]:
    """Return rough log evidence, place and covariance of each distinct peak, the best first."""
    hill = descent(posterior)
    found: list[tuple[float, Moments]] = []
    for start in starts:
        end = optimize.minimize(
            hill, start, jac=True, method="L-BFGS-B", options={"maxiter": 200, "gtol": 1e-3}
        )
        if end.fun >= FAILED or np.abs(end.x).max() > _FAR or _is_known(end.x, found):
            continue
        covariance = _covariance_at(posterior, end.x)
        if covariance is not None:
            log_det = float(np.linalg.slogdet(covariance)[1])
            found.append((-float(end.fun) + 0.5 * log_det, (end.x, covariance)))
    return sorted(found, key=lambda one: -one[0])[:MOST_COMPONENTS]


def _is_known(x: FloatArray, found: list[tuple[float, Moments]]) -> bool:
    """Whether a point is within half a standard deviation of a peak."""
    for _, (place, covariance) in found:
        apart = x - place
        if float(apart @ np.linalg.solve(covariance, apart)) < _APART**2 * len(x):
            return True
    return False


def _covariance_at(posterior: Posterior, x: FloatArray) -> FloatArray | None:
    """Return the inverse of the curvature at a peak, within bounds; None if there is none."""
    try:
        curvature = -hessian(posterior, x, 1e-4)
    except DensityError:
        return None
    if not np.isfinite(curvature).all():
        return None
    values, vectors = np.linalg.eigh(curvature)
    return np.asarray((vectors / np.clip(values, *_EIGENVALUES)) @ vectors.T)


def _refined(
    posterior: Posterior, peaks: list[tuple[float, Moments]], rng: np.random.Generator
) -> tuple[list[Component], FloatArray]:
    """Refine the mixture; return its components and their weights."""
    fits = [fit for _, fit in peaks]
    weights = special.softmax([log_z for log_z, _ in peaks])
    weights = (weights + 1 / len(fits)) / 2
    components = [student(*fit, origin="peaks") for fit in fits]
    for _ in range(_ROUNDS):
        mixture = BaseMeasure(
            tuple(replace(c, weight=w) for c, w in zip(components, weights, strict=True))
        )
        draws = mixture.sample(rng, _DRAWS)
        log_parts = mixture.log_parts(draws)
        log_q = special.logsumexp(log_parts, axis=0)
        shares = _truncated(np.array([posterior.log_density(x) for x in draws]) - log_q)
        parts = np.exp(log_parts - log_q)
        mass = parts @ shares
        for k, part in enumerate(parts):
            own = part * shares
            total = own.sum()
            effective = total**2 / (own**2).sum() if total > 0 else 0.0
            if effective > _LEAST_DRAWS * posterior.dims:
                fits[k] = moments(draws, own * effective / total)
        counts = mass > _NEGLIGIBLE * mass.max()
        fits = [fit for fit, kept in zip(fits, counts, strict=True) if kept]
        components = [student(*fit, origin="peaks") for fit in fits]
        weights = (1 - _EQUAL) * mass[counts] / mass[counts].sum() + _EQUAL / len(fits)
    return components, weights


def _truncated(log_w: FloatArray) -> FloatArray:
    """Return weights that sum to one, none above the mean times the root of their number ([2]_)."""
    w = special.softmax(np.where(np.isfinite(log_w), log_w, -np.inf))
    w = np.minimum(w, 1 / np.sqrt(len(w)))
    return np.asarray(w / w.sum())
