"""Which chains sample one function, found in function space, without a climb.

Two chains sample one function if their mean predictions agree within their spread, and their
leave-one-out scores within Monte Carlo error. Chains that agree are pooled before they are weighed:
their scores differ by chance only.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations, pairwise
from weakref import WeakKeyDictionary

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.special import logsumexp

from manymodes.modes.function_space import (
    function_distance,
    function_values,
    has_functions,
    known_moments,
    spaced,
)
from manymodes.sampling.chains.chains import Chains
from manymodes.statistics.ess import relative_ess
from manymodes.statistics.pooled import Groups
from manymodes.types import FloatArray

FUNCTION_DISTANCE = 1.0
"""Mean predictions of one function differ by at most so many of their joint posterior spreads.

This is the root mean square over the inputs of the data."""

_DRAWS = 200  # of each chain, evenly spaced, that tell its function
_PARTS = 8  # of a chain's draws, for the Monte Carlo error
_ERRORS = 5.0  # Monte Carlo errors between scores of one function
_NATS = 2.0  # between total scores that count as equal, whatever their errors


_FOUND: WeakKeyDictionary[Chains, Groups] = WeakKeyDictionary()


@dataclass(frozen=True, eq=False)
class _Summary:
    """What one chain predicts, and how well.

    Attributes
    ----------
    mean, variance : arrays of shape (n,)
        Of its predictions over the draws.
    score, score_sd : float
        Its leave-one-out score (nats), and the Monte Carlo error of that.
    parts : array of shape (B, N)
        Log predictive density of each scored observation by parts of the draws (nats).
    """

    mean: FloatArray
    variance: FloatArray
    score: float = float("nan")
    score_sd: float = float("nan")
    parts: FloatArray | None = None


def group_chains(chains: Chains) -> Groups:
    """Group chains that sample one function; what was found for some chains is remembered.

    Parameters
    ----------
    chains : Chains
        Of a network, or of a program with ``log_lik``; chains of others are groups of their own.

    Returns
    -------
    Groups
        Numbered by their size, the largest first.

    Notes
    -----
    Groups are joined by the average distance of their chains, so that a chain that moved between
    two functions does not make them one.
    """
    if chains not in _FOUND:
        _FOUND[chains] = _grouped(chains)
    return _FOUND[chains]


def _grouped(chains: Chains) -> Groups:
    posterior = chains.posterior
    if not has_functions(posterior):
        return Groups.single(chains.n_chains)
    scored = chains.scored if chains.lpd.size else np.zeros(0, dtype=bool)
    found = [_summary(chains, k, scored) for k in range(chains.n_chains)]
    batches = np.empty((0, 0, 0))
    parts = [one.parts for one in found if one.parts is not None]
    if parts and len(parts) == len(found):
        batches = np.stack(parts)
    sizes = np.asarray(chains.lengths, dtype=float)
    if len(found) < 2:
        return Groups(np.zeros(len(found), dtype=np.intp), sizes, batches)
    gaps = [_gap(a, b) for a, b in combinations(found, 2)]
    joined = fcluster(linkage(np.minimum(gaps, 1e6), method="average"), t=1.0, criterion="distance")
    _, first, number, count = np.unique(
        joined, return_index=True, return_inverse=True, return_counts=True
    )
    place = np.empty(len(first), dtype=np.intp)
    place[np.lexsort((first, -count))] = np.arange(len(first))
    return Groups(place[number], sizes, batches)


def _summary(chains: Chains, chain: int, scored: np.ndarray) -> _Summary:
    length = int(chains.lengths[chain])
    picks = spaced(length, _DRAWS)
    eta = chains.eta[chain, picks]
    mean, variance = known_moments(function_values(chains.posterior, eta))
    if not scored.any():
        return _Summary(mean, variance)
    lpd = chains.lpd[chain, scored]
    kept = np.isfinite(chains.lpd[:, scored]).any(axis=0)
    log_lik = chains.posterior.log_lik(eta)[:, scored][:, kept]
    log_lik = log_lik[np.isfinite(log_lik).all(axis=1)]
    if len(log_lik) < 2 * _PARTS:
        return _Summary(mean, variance, float(lpd[kept].sum()))
    ratios = np.exp(-log_lik - logsumexp(-log_lik, axis=0) + np.log(len(log_lik)))
    influence = (ratios - 1).sum(axis=1)
    efficiency = float(relative_ess(influence[None, None])[0])
    sd = float(influence.std(ddof=1) / np.sqrt(len(influence) * min(efficiency, 1.0)))
    edges = np.linspace(0, len(log_lik), _PARTS + 1).astype(np.intp)
    parts = [np.log(b - a) - logsumexp(-log_lik[a:b], axis=0) for a, b in pairwise(edges.tolist())]
    return _Summary(mean, variance, float(lpd[kept].sum()), sd, np.stack(parts))


def _gap(a: _Summary, b: _Summary) -> float:
    """Return how far two chains are apart; up to 1 they sample one function."""
    apart = function_distance(a.mean, b.mean, a.variance + b.variance) / FUNCTION_DISTANCE
    if np.isnan(a.score) or np.isnan(b.score):
        return apart
    if not (np.isfinite(a.score) and np.isfinite(b.score)):
        return apart if a.score == b.score else np.inf
    error = np.nan_to_num(np.hypot(a.score_sd, b.score_sd))
    return float(max(apart, abs(a.score - b.score) / max(_ERRORS * error, _NATS)))
