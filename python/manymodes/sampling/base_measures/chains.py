"""A base measure fitted to the draws of chains: a mixture with Student's t tails.

Chains that stay in different modes look different, and so do pieces of a chain that moves between
them. A mixture of normals is fitted to all draws, beginning from groups of alike pieces. Each of
its components gets Student's t tails and is widened. Pieces of a network's chains are first moved
into one copy, and components afterwards into all copies. If the program can leave its likelihood
out, the prior is a further component of small weight, so that it covers regions that no chain has
found.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy import special
from scipy.cluster import hierarchy
from scipy.linalg import solve_triangular
from scipy.spatial.distance import squareform

from manymodes.density.posterior import Posterior
from manymodes.errors import InputError
from manymodes.runtime.seeds import check_seed
from manymodes.sampling.base_measures.copies import Group
from manymodes.sampling.measure import STUDENT4, BaseMeasure, Component
from manymodes.types import FloatArray, IntArray

PRIOR_SHARE = 0.1
"""The weight of the prior among the components, if it is one of them."""

_MOST_PIECES = 256
_PIECE = 50
_MOST_DRAWS = 20_000
MOST_GROUPS = 24
"""The largest number of groups of alike pieces; with more, the most alike are joined."""

_ALIKE = 0.5
_STEPS = 20
_INFLATION = 1.25
_STUDENT4_SCALE = 0.6744897502 / 0.7406970841  # gives it the quartiles of a standard normal
_SHRINK = 2.0
_TRIALS = 100
_LEAST = 0.5
"""Share of the fitted weight that is divided equally, whatever the evidence of components."""


def chains_measure(
    posterior: Posterior,
    draws: Sequence[FloatArray],
    *,
    prior: BaseMeasure | None = None,
    seed: int = 1,
) -> BaseMeasure:
    """Return a base measure fitted to the draws of chains.

    Parameters
    ----------
    posterior : Posterior
        The posterior that the chains sampled.
    draws : sequence of arrays of shape (S_c, D)
        The draws of each chain, in the unconstrained space.
    prior : BaseMeasure, optional
        The prior's measure, which becomes a component.
    seed : int
        Seed of the draws that weigh the components.

    Raises
    ------
    InputError
        No chain has two draws.

    Notes
    -----
    Pieces are alike by the Bhattacharyya distance of the normals that have their means and
    covariances (average linkage). Half of the weight is divided equally among the components, half
    by a rough estimate of each component's evidence from its own draws: weights only decide the
    cost.
    """
    kept = [np.asarray(one) for one in draws if len(one) > 1]
    if not kept:
        raise InputError("reference: 'chains' needs chains with two draws or more")
    group = Group.of(posterior)
    pieces = group.folded(_pieces(kept))
    whole = np.concatenate(kept if len(group.moves) == 1 else pieces)
    some = whole[_evenly(len(whole), _MOST_DRAWS)]
    groups = _groups(pieces, min(MOST_GROUPS, group.most))
    components = [student(*moments) for moments in _mixture(some, groups)]
    weights = _weights(posterior, components, np.random.default_rng(check_seed(seed)))
    what = f"{len(kept)} chains"
    if len(group.moves) > 1:
        what += f", and their copies ({len(components)}, {len(group.moves)} copies of each)"
    components, weights = group.copies(components, weights)
    return with_prior(components, weights, prior, "chains", what, group.caution)


def with_prior(
    components: Sequence[Component],
    weights: FloatArray,
    prior: BaseMeasure | None,
    source: str,
    fitted_to: str,
    caution: str = "",
) -> BaseMeasure:
    """Return a base measure of fitted components and of the prior, if there is one."""
    n = len(components)
    reason = f"{n} component{'' if n == 1 else 's'} fitted to {fitted_to}"
    share = PRIOR_SHARE if prior is not None else 0.0
    mixed = [replace(c, weight=(1 - share) * w) for c, w in zip(components, weights, strict=True)]
    if prior is not None:
        mixed += [replace(c, weight=share * c.weight, origin="prior") for c in prior.components]
        reason += f", and the prior with a weight of {share:g}"
    return BaseMeasure(tuple(mixed), source=source, reason=reason, caution=caution)


Moments = tuple[FloatArray, FloatArray]
"""A mean, shape (D,), and a covariance, shape (D, D)."""


def _evenly(size: int, most: int) -> IntArray:
    """Return at most so many numbers below ``size``, evenly spread."""
    return np.unique(np.linspace(0, size - 1, min(size, most)).astype(np.intp))


def _pieces(draws: Sequence[FloatArray]) -> list[FloatArray]:
    """Cut chains into pieces of some length, longer ones if there would be too many."""
    pieces = [
        piece
        for one in draws
        for piece in np.array_split(one, max(1, len(one) // _PIECE))
        if len(piece) > 1
    ]
    if len(pieces) > _MOST_PIECES:
        pieces = [draws[i] for i in _evenly(len(draws), _MOST_PIECES)]
    return pieces


def _groups(pieces: list[FloatArray], most: int) -> list[Moments]:
    """Return mean and covariance of each group of alike pieces, of so many groups at most."""
    if len(pieces) == 1:
        return [moments(pieces[0])]
    means = np.array([one.mean(axis=0) for one in pieces])
    covariances = np.array([moments(one)[1] for one in pieces])
    log_dets = np.linalg.slogdet(covariances)[1]
    distances = np.zeros((len(pieces), len(pieces)))
    for i in range(len(pieces) - 1):
        pooled = (covariances[i] + covariances[i + 1 :]) / 2
        apart = means[i] - means[i + 1 :]
        solved = np.linalg.solve(pooled, apart[..., None])[..., 0]
        spread = np.linalg.slogdet(pooled)[1] - (log_dets[i] + log_dets[i + 1 :]) / 2
        distances[i, i + 1 :] = np.einsum("nd,nd->n", apart, solved) / 8 + spread / 2
    tree = hierarchy.linkage(squareform(distances + distances.T, checks=False), "average")
    groups = hierarchy.fcluster(tree, _ALIKE + means.shape[1] / 10, "distance")
    if groups.max() > most:
        groups = hierarchy.fcluster(tree, most, "maxclust")
    return [
        moments(np.concatenate([pieces[i] for i in np.flatnonzero(groups == group)]))
        for group in np.unique(groups)
    ]


def moments(draws: FloatArray, shares: FloatArray | None = None) -> Moments:
    """Return mean and covariance of draws, shape (n, D), each with its share as weight.

    The covariance is drawn towards its diagonal if there are few draws.
    """
    shares = np.ones(len(draws)) if shares is None else shares
    n, dims = float(shares.sum()), draws.shape[1]
    mean = shares @ draws / n
    apart = draws - mean
    covariance = (shares[:, None] * apart).T @ apart / n
    diagonal = np.diag(np.maximum(covariance.diagonal(), 1e-16))
    pull = min(1.0, _SHRINK * dims / n)
    return mean, np.asarray((1 - pull) * covariance + pull * diagonal)


def _mixture(draws: FloatArray, groups: list[Moments]) -> list[Moments]:
    """Fit a mixture of normals to draws, shape (n, D), by a few steps of EM from some groups.

    Components that are left with fewer draws than they have coordinates are dropped.
    """
    shares = np.full(len(groups), 1 / len(groups))
    for _ in range(_STEPS if len(groups) > 1 else 0):
        log_parts = np.array(
            [
                np.log(share) + _log_normal(draws, *moments)
                for share, moments in zip(shares, groups, strict=True)
            ]
        )
        parts = special.softmax(log_parts, axis=0)
        counts = parts.sum(axis=1)
        kept = counts > draws.shape[1] + 1
        if not kept.any():
            break
        groups = [moments(draws, part) for part in parts[kept]]
        shares = counts[kept] / counts[kept].sum()
    return groups


def _log_normal(draws: FloatArray, mean: FloatArray, covariance: FloatArray) -> FloatArray:
    """Return the log density (nats) of a normal at draws, shape (n,), up to a constant."""
    root = np.linalg.cholesky(covariance)
    z = solve_triangular(root, (draws - mean).T, lower=True)
    return np.asarray(-0.5 * (z**2).sum(axis=0) - np.log(root.diagonal()).sum())


def student(mean: FloatArray, covariance: FloatArray, *, origin: str = "chains") -> Component:
    """Return Student's t with this mean, wider than the covariance says."""
    scale = np.linalg.cholesky(covariance) * (_INFLATION * _STUDENT4_SCALE)
    return Component((STUDENT4,) * len(mean), mean, np.tril(scale), origin=origin)


def _weights(
    posterior: Posterior, components: list[Component], rng: np.random.Generator
) -> FloatArray:
    """Return the weights of the components, summing to one."""
    log_z = np.full(len(components), -np.inf)
    for k, one in enumerate(components):
        eta = one.map(rng.random((_TRIALS, len(one.families))))
        ratios = np.array([posterior.log_density(point) for point in eta]) - one.log_density(eta)
        log_z[k] = special.logsumexp(ratios) - np.log(_TRIALS)
    equal = np.full(len(components), 1 / len(components))
    if not np.isfinite(log_z).any():
        return equal
    return np.asarray(_LEAST * equal + (1 - _LEAST) * special.softmax(log_z))
