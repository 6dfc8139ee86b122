"""A base measure fitted to the peaks of the density, without chains: climbs, then refinement.

Many climbs are cheap and find more peaks than chains do. Each peak gets a component from the
curvature there, and the mixture is refined by population Monte Carlo: its draws, weighted by
density over mixture, give its next moments ([1]_). A peak of a network also gives a component for
each of its symmetric copies. As with chains, the prior is a further component if the program can
leave its likelihood out.

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
from manymodes.density.network_moves import Moves, flips, moved
from manymodes.density.posterior import Posterior
from manymodes.errors import DensityError, SamplingError
from manymodes.runtime.seeds import check_seed
from manymodes.sampling.base_measures.chains import Moments, moments, student, with_prior
from manymodes.sampling.base_measures.copies import MOST_COMPONENTS, Group
from manymodes.sampling.measure import BaseMeasure, Component
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
_NOTHING = 1e-6  # share of a component's mass below which a draw does not count for it
_MOST_FLIPPED = 60  # peaks whose flipped copies are climbed from
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
    group = Group.of(posterior)
    peaks = _peaks(posterior, group.moves, starts)
    if not peaks:
        raise SamplingError(
            f"none of {CLIMBS} climbs ends at a peak of {posterior.name}: use --reference chains"
        )
    rough = special.softmax([log_z for log_z, _ in peaks])
    left_out, share = len(peaks) - group.most, float(rough[group.most :].sum())
    components, weights = _refined(posterior, group.moves, peaks[: group.most], rng)
    what = f"the peaks that {CLIMBS} climbs reached"
    if len(group.moves) > 1:
        what += f" and their copies ({len(components)} peaks, {len(group.moves)} copies of each)"
    cautions = [group.caution] if group.caution else []
    if left_out > 0:
        what += f"; {left_out} peaks more, the lowest, have none"
        if share > _NEGLIGIBLE:
            cautions.append(
                f"{left_out} peaks have no component, because there are {MOST_COMPONENTS} at most; "
                f"by their curvature they hold about {100 * share:.2g} % of the evidence. An "
                "evidence over this base measure is not to be trusted alone"
            )
    all_copies, shares = group.copies(components, weights)
    return with_prior(all_copies, shares, prior, "peaks", what, "; ".join(cautions))


def _peaks(posterior: Posterior, moves: Moves, starts: FloatArray) -> list[tuple[float, Moments]]:
    """Return rough log evidence, place and covariance of one copy of each peak, the best first.

    Flips of sigmoid units leave the likelihood as it is and not the prior. So a flipped peak is
    near another peak, which a climb from it finds; none starts outside a uniform prior's box.
    """
    found: list[tuple[float, Moments]] = []
    for start in starts:
        _climb(posterior, moves, start, found)
    network = posterior.network
    if network is not None:
        signs = flips(network)[1:]
        stay = [tuple(tuple(range(width)) for width in network.hidden)] * len(signs)
        for _, (place, _) in found[:_MOST_FLIPPED] if signs else []:
            for start in moved(posterior, place, stay, signs):
                if np.isfinite(start).all():
                    _climb(posterior, moves, start, found)
    return sorted(found, key=lambda one: -one[0])


def _climb(
    posterior: Posterior, moves: Moves, start: FloatArray, found: list[tuple[float, Moments]]
) -> None:
    """Climb from a point, and add the peak to those found if it is no copy of one of them."""
    end = optimize.minimize(
        descent(posterior),
        start,
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": 200, "gtol": 1e-3},
    )
    if end.fun >= FAILED or np.abs(end.x).max() > _FAR or _is_known(moves.images(end.x), found):
        return
    covariance = _covariance_at(posterior, end.x)
    if covariance is not None:
        log_det = float(np.linalg.slogdet(covariance)[1])
        found.append((-float(end.fun) + 0.5 * log_det, (end.x, covariance)))


def _is_known(copies: FloatArray, found: list[tuple[float, Moments]]) -> bool:
    """Whether one of the copies of a point, (G, D), is half a standard deviation from a peak."""
    for _, (place, covariance) in found:
        apart = copies - place
        far = (apart * np.linalg.solve(covariance, apart.T).T).sum(axis=1)
        if far.min() < _APART**2 * copies.shape[1]:
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
    posterior: Posterior, moves: Moves, peaks: list[tuple[float, Moments]], rng: np.random.Generator
) -> tuple[list[Component], FloatArray]:
    """Refine the mixture of all copies; return one component of each orbit, and their weights.

    The density and the mixture are the same at all copies of a point. So draws come from one copy
    alone, and what lies in another copy is moved back.
    """
    fits = [fit for _, fit in peaks]
    weights = special.softmax([log_z for log_z, _ in peaks])
    weights = (weights + 1 / len(fits)) / 2
    components = [student(*fit, origin="peaks") for fit in fits]
    for _ in range(_ROUNDS):
        mixture = BaseMeasure(
            tuple(replace(c, weight=w) for c, w in zip(components, weights, strict=True))
        )
        draws = mixture.sample(rng, _DRAWS)
        back = [moves.undo(move, draws) for move in range(len(moves))]
        log_parts = np.array([mixture.log_parts(one) for one in back]) - np.log(len(moves))
        log_q = special.logsumexp(log_parts, axis=(0, 1))
        shares = _truncated(np.array([posterior.log_density(x) for x in draws]) - log_q)
        parts = np.exp(log_parts - log_q) * shares  # (G, K, n)
        mass = parts.sum(axis=(0, 2))
        for k in range(len(fits)):
            own = parts[:, k].sum(axis=0)
            total = own.sum()
            effective = total**2 / (own**2).sum() if total > 0 else 0.0
            if effective > _LEAST_DRAWS * posterior.dims:
                move, draw = np.nonzero(parts[:, k] > _NOTHING * total)
                points = np.array([back[m][d] for m, d in zip(move, draw, strict=True)])
                fits[k] = moments(points, parts[move, k, draw] * effective / total)
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
