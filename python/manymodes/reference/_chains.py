"""A base measure fitted to the draws of chains: a component for each group of alike chains.

Chains that stay in different modes look different, and each group of alike ones gets a component
with Student's t tails, wider than its draws. Where the program can tell its prior, that
is a further component of small weight: what no chain has found is then still covered.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from scipy import special
from scipy.cluster import hierarchy
from scipy.spatial.distance import squareform

from manymodes.errors import InputError
from manymodes.posterior import FloatArray, Posterior
from manymodes.reference._measure import STUDENT4, BaseMeasure, Component

IntArray = npt.NDArray[np.intp]

PRIOR_SHARE = 0.1
"""The weight of the prior among the components, where there is one."""

_MOST_CHAINS = 200
_MOST_COMPONENTS = 24
_ALIKE = 1.0
_INFLATION = 1.25
_STUDENT4_SCALE = 0.6744897502 / 0.7406970841  # gives it the quartiles of a standard normal
_SHRINK = 4.0
_TRIALS = 100
_LEAST = 0.5
"""Share of the fitted weight that all components get alike, whatever their evidence seems to be."""


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
        What the chains sampled.
    draws : sequence of arrays of shape (S_c, D)
        The draws of each chain, in the unconstrained space.
    prior : BaseMeasure, optional
        The prior's measure, which becomes a component.
    seed : int
        Decides which points are tried to weigh the components.

    Raises
    ------
    InputError
        There are not two draws of one chain.

    Notes
    -----
    Chains are alike by the Bhattacharyya distance of the normals that have their means and
    covariances (average linkage). A component's weight is half equal, half by a rough estimate of
    its evidence from draws of its own: weights only decide the cost.
    """
    kept = [np.asarray(one) for one in draws if len(one) > 1]
    if not kept:
        raise InputError("reference: 'chains' needs chains with two draws or more")
    if len(kept) > _MOST_CHAINS:
        kept = [kept[i] for i in np.linspace(0, len(kept) - 1, _MOST_CHAINS).astype(int)]
    groups = _alike(kept)
    components = [
        _component(np.concatenate([kept[i] for i in np.flatnonzero(groups == group)]))
        for group in range(groups.max() + 1)
    ]
    weights = _weights(posterior, components, np.random.default_rng(seed))
    fitted = 1 - PRIOR_SHARE if prior is not None else 1.0
    mixed = [replace(c, weight=fitted * w) for c, w in zip(components, weights, strict=True)]
    what = f"fitted to {len(kept)} chains in {len(components)} groups"
    if prior is not None:
        mixed += [
            replace(c, weight=PRIOR_SHARE * c.weight, origin="prior") for c in prior.components
        ]
        what += f", with a share of {PRIOR_SHARE:.0%} for the prior"
    return BaseMeasure(tuple(mixed), source="chains", reason=what)


def _alike(draws: Sequence[FloatArray]) -> IntArray:
    """Return the group of each chain, from 0."""
    if len(draws) == 1:
        return np.zeros(1, dtype=np.intp)
    means = np.array([one.mean(axis=0) for one in draws])
    covariances = np.array([_covariance(one) for one in draws])
    log_dets = np.linalg.slogdet(covariances)[1]
    distances = np.zeros((len(draws), len(draws)))
    for i in range(len(draws) - 1):
        pooled = (covariances[i] + covariances[i + 1 :]) / 2
        apart = means[i] - means[i + 1 :]
        mahalanobis = np.einsum(
            "nd,nd->n", apart, np.linalg.solve(pooled, apart[..., None])[..., 0]
        )
        spread = np.linalg.slogdet(pooled)[1] - (log_dets[i] + log_dets[i + 1 :]) / 2
        distances[i, i + 1 :] = mahalanobis / 8 + spread / 2
    tree = hierarchy.linkage(squareform(distances + distances.T, checks=False), "average")
    limit = _ALIKE + means.shape[1] / 10
    groups = hierarchy.fcluster(tree, limit, "distance")
    if groups.max() > _MOST_COMPONENTS:
        groups = hierarchy.fcluster(tree, _MOST_COMPONENTS, "maxclust")
    return np.asarray(np.unique(groups, return_inverse=True)[1], dtype=np.intp)


def _covariance(draws: FloatArray) -> FloatArray:
    """Return the covariance of draws, shape (n, D), drawn towards its diagonal if n is small."""
    n, dims = draws.shape
    covariance = np.atleast_2d(np.cov(draws.T))
    diagonal = np.diag(np.maximum(covariance.diagonal(), 1e-16))
    share = min(1.0, _SHRINK * dims / n)
    return np.asarray((1 - share) * covariance + share * diagonal)


def _component(draws: FloatArray) -> Component:
    """Return Student's t fitted to draws, shape (n, D), and inflated."""
    scale = np.linalg.cholesky(_covariance(draws)) * (_INFLATION * _STUDENT4_SCALE)
    return Component(
        (STUDENT4,) * draws.shape[1], draws.mean(axis=0), np.tril(scale), origin="chains"
    )


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
