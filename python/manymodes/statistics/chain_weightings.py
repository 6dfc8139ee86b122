"""Several weightings of the same chains side by side, with their scores.

Chains that sample one distribution are pooled before they are weighed and scored. Stacking weights
are chosen to predict the same observations that their leave-one-out score sums over, so this score
is too good. The held-out score is fair: the observations are divided into folds, and weights are
fitted without a fold and scored on it.

References
----------
.. [1] Yao, Vehtari, Simpson, Gelman (2018). Using stacking to average Bayesian predictive
   distributions. Bayesian Analysis 13(3).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import softmax

from manymodes.errors import InputError
from manymodes.runtime.shown import Shown, estimate_text
from manymodes.statistics.estimate import Estimate
from manymodes.statistics.pooled import Groups, pooled_lpd
from manymodes.statistics.simplex import maximise
from manymodes.statistics.stacking import (
    Stacking,
    check_shares,
    pseudo_bma_plus,
    stack,
    weight_errors,
)
from manymodes.types import FloatArray

__all__ = ["HeldOutScore", "Weighing", "mode_evidence_weights", "score_weighings"]
__all__ += ["weighings"]


_INNER = 100  # replications of pseudo-BMA+ within one replication of the bootstrap of its weights
_FAINT = 1e-12  # pull towards even weights, as a share of the evidence


@dataclass(frozen=True, eq=False, repr=False)
class Weighing(Shown):
    """One way to weigh the chains.

    Attributes
    ----------
    name
        ``stacking``, ``chain stacking``, ``pseudo-BMA+``, ``uniform`` or ``evidence``.
    weights
        Weight of each chain, shape (K,), adding up to 1.
    scored_weights
        The weights that are scored, shape (K,): chains of a group share its weight by their draws,
        so that scores do not differ by the Monte Carlo error of single chains.
    loo
        Leave-one-out score: sum_i log sum_k w_k exp(lpd_ik), in nats as all scores, with its
        standard error. The weights of stacking and of
        pseudo-BMA+ have seen what it sums.
    held_out
        The same sum, each term with weights that were fitted without its fold.
    difference
        `held_out` minus that of stacking; its error is that of the paired differences.
    mode_weights
        Weights summed by mode, shape (M,); empty without `shares`.
    mode_draws
        Resamples of them, shape (B, M): of stacking and of pseudo-BMA+ by the Bayesian bootstrap
        over observations and by resampling the draws behind the scores, of uniform weights by
        resampling chains. The error of the evidence is not in the lpd: there are none.

    Examples
    --------
    >>> from manymodes.statistics.chain_weightings import weighings
    >>> lpd = np.log([[0.9, 0.2], [0.8, 0.3], [0.3, 0.6], [0.1, 0.8]])  # a column is a chain
    >>> for one in weighings(lpd, rng=np.random.default_rng(1)):
    ...     print(one.name, one.weights.round(1), round(one.loo.value, 1))
    stacking [0.5 0.5] -2.8
    pseudo-BMA+ [0.4 0.6] -2.8
    uniform [0.5 0.5] -2.8
    """

    name: str
    weights: FloatArray
    scored_weights: FloatArray
    loo: Estimate
    held_out: Estimate
    difference: Estimate
    mode_weights: FloatArray
    mode_draws: FloatArray

    def _headline(self) -> str:
        return (
            f"Weighing '{self.name}' of {len(self.weights)} chains: "
            f"loo = {estimate_text(self.loo.value, self.loo.sd)} nats"
        )

    @property
    def mode_sd(self) -> FloatArray:
        """Standard errors of `mode_weights`, shape (M,); NaN where they are not known."""
        if len(self.mode_draws) < 2:
            return np.full(len(self.mode_weights), np.nan)
        return np.asarray(self.mode_draws.std(axis=0, ddof=1))


class HeldOutScore(NamedTuple):
    """Score of one weighting on held-out observations, and its difference from the first's.

    Attributes
    ----------
    name
        That of the weighting.
    score
        sum_i log sum_k w_k exp(lpd_ik) over the held-out observations, nats.
    difference
        Its difference from the first weighting's, nats, with the error of paired differences.

    Examples
    --------
    >>> from manymodes.statistics.chain_weightings import score_weighings, weighings
    >>> lpd = np.log([[0.9, 0.2], [0.8, 0.3], [0.3, 0.6], [0.1, 0.8]])  # a column is a chain
    >>> found = weighings(lpd, rng=np.random.default_rng(1))
    >>> last = score_weighings(found, np.log([[0.5, 0.4], [0.6, 0.3]]))[-1]
    >>> last.name, round(last.score.value, 2)
    ('uniform', -1.6)
    """

    name: str
    score: Estimate
    difference: Estimate


def weighings(
    lpd: ArrayLike,
    *,
    groups: Groups | None = None,
    stacking: Stacking | None = None,
    evidence: ArrayLike | None = None,
    shares: ArrayLike | None = None,
    folds: int = 10,
    n_boot: int = 50,
    rng: np.random.Generator,
) -> tuple[Weighing, ...]:
    """Weigh chains by stacking, by pseudo-BMA+, uniformly, and by evidence, and score each.

    Parameters
    ----------
    lpd
        Log predictive density of each observation under each chain, shape (N, K), nats, as in
        `manymodes.stack`.
    groups
        Chains that are pooled before they are weighed; by default each is weighed on its own.
    stacking
        The result of `manymodes.stack` for these densities, pooled by groups, if it is known.
    evidence
        Weight of each chain by evidence, shape (K,), adding up to 1: `mode_evidence_weights`.
    shares
        Share of each chain's draws in each mode, shape (K, M), rows adding up to 1.
    folds
        The number of parts into which the observations are divided; at most their number.
    n_boot
        Replications behind the errors of the weights by mode.
    rng
        Source of randomness: of folds, replications and pseudo-BMA+.

    Returns
    -------
    tuple of Weighing
        Stacking first, then, if chains are pooled, stacking of chains as if they were not;
        pseudo-BMA+ (unless every chain gives some observation a density of zero), uniform and, if
        given, evidence.

    Raises
    ------
    InputError
        As ``stack`` and ``weight_errors``; `folds` or N is less than 2; `evidence` does not fit or
        is not a set of probabilities.

    Notes
    -----
    The chains of a group share its weight by their draws, and the group scores as its draws
    together: log sum_g W_g / sum_k (w_k / W_g) exp(-lpd_ik), the second sum over its chains.
    Weights given chain by chain are evened out within each group before they are scored.
    Pseudo-BMA+ as in Yao et al. (2018); a chain that gives an observation a density of zero has no
    weight in it. The errors of its weights by mode bootstrap the observations about its own
    bootstrap: counts c from N Dirichlet(1, ..., 1), and then replications from Dirichlet(c).

    Examples
    --------
    >>> from manymodes.statistics.chain_weightings import weighings
    >>> lpd = np.log([[0.9, 0.2], [0.8, 0.3], [0.3, 0.6], [0.1, 0.8]])  # a column is a chain
    >>> found = weighings(lpd, evidence=[0.25, 0.75], rng=np.random.default_rng(1))
    >>> [one.name for one in found]
    ['stacking', 'pseudo-BMA+', 'uniform', 'evidence']
    >>> found[3].weights
    array([0.25, 0.75])
    """
    array = np.asarray(lpd, dtype=float)
    groups = Groups.single(array.shape[-1]) if groups is None else groups
    alone = Groups.single(array.shape[-1])
    pooled = groups.pool(array) if array.ndim == 2 else array
    if stacking is None:
        stacking = stack(pooled)  # and the shape is checked
    n_obs, n_chains = array.shape
    if folds < 2 or n_obs < 2:
        raise InputError(f"folds is {folds} and there are {n_obs} observations: both must be 2+.")
    fits = {"stacking": _Fit(groups, lambda part: stack(part).weights)}
    if groups.n_groups < n_chains:
        fits["chain stacking"] = _Fit(alone, lambda part: stack(part).weights)
    if np.isfinite(pooled).all(axis=0).any():
        fits["pseudo-BMA+"] = _Fit(groups, lambda part: _pseudo_bma_plus(part, rng))
    whole = {
        name: groups.spread(stacking.weights) if name == "stacking" else fit.weights(array)
        for name, fit in fits.items()
    }
    whole["uniform"] = np.full(n_chains, 1 / n_chains)
    if evidence is not None:
        whole["evidence"] = _probabilities(evidence, n_chains)
    fold = rng.permutation(n_obs) % min(folds, n_obs)
    held_out = {name: np.empty(n_obs) for name in whole}
    for number in range(fold.max() + 1):
        rest, part = array[fold != number], array[fold == number]
        for name, fixed in whole.items():
            by = fits[name].groups if name in fits else groups
            weights = fits[name].weights(rest) if name in fits else by.evened(fixed)
            held_out[name][fold == number] = _pooled_density(part, weights, by)
    found = []
    for name, weights in whole.items():
        by = fits[name].groups if name in fits else groups
        by_mode, draws = _by_mode(name, array, weights, by, shares, n_boot, rng)
        found.append(
            Weighing(
                name=name,
                weights=weights,
                scored_weights=by.evened(weights),
                loo=_score(_pooled_density(array, by.evened(weights), by)),
                held_out=_score(held_out[name]),
                difference=_score(_difference(held_out[name], held_out["stacking"])),
                mode_weights=by_mode,
                mode_draws=draws,
            )
        )
    return tuple(found)


@dataclass(frozen=True)
class _Fit:
    """A way to find weights of groups of chains from their scores."""

    groups: Groups
    of_groups: Callable[[FloatArray], FloatArray]

    def weights(self, lpd: FloatArray) -> FloatArray:
        """Return the weight of each chain, shape (K,)."""
        return self.groups.spread(self.of_groups(self.groups.pool(lpd)))


def score_weighings(weighings: Sequence[Weighing], lpd_out: ArrayLike) -> tuple[HeldOutScore, ...]:
    """Score weightings on observations that no chain has seen.

    Parameters
    ----------
    weighings
        The result of `weighings`.
    lpd_out
        Log predictive density of each held-out observation under each chain, shape
        (N_out, K), nats.

    Returns
    -------
    tuple of HeldOutScore
        Name, score, and paired difference from the first weighting, each with standard error.

    Raises
    ------
    InputError
        There are no weightings, or `lpd_out` does not fit them or holds NaN or +inf.

    Examples
    --------
    >>> from manymodes.statistics.chain_weightings import score_weighings, weighings
    >>> lpd = np.log([[0.9, 0.2], [0.8, 0.3], [0.3, 0.6], [0.1, 0.8]])  # a column is a chain
    >>> found = weighings(lpd, rng=np.random.default_rng(1))
    >>> unseen = np.log([[0.5, 0.4], [0.6, 0.3]])
    >>> [(one.name, round(one.score.value, 1)) for one in score_weighings(found, unseen)]
    [('stacking', -1.6), ('pseudo-BMA+', -1.7), ('uniform', -1.6)]
    """
    if not weighings:
        raise InputError("weighings is empty: give at least one.")
    array = np.asarray(lpd_out, dtype=float)
    n_chains = len(weighings[0].weights)
    if array.ndim != 2 or len(array) < 1 or array.shape[1] != n_chains:
        raise InputError(
            f"lpd_out has shape {array.shape}: give an array (observations, chains) with "
            f"{n_chains} chains and at least one observation."
        )
    if np.isnan(array).any() or (array == np.inf).any():
        raise InputError("lpd_out holds NaN or +inf: log densities must be below infinity.")
    terms = [_log_density(array, one.scored_weights) for one in weighings]
    return tuple(
        HeldOutScore(one.name, _score(term), _score(_difference(term, terms[0])))
        for one, term in zip(weighings, terms, strict=True)
    )


def mode_evidence_weights(evidence: ArrayLike, shares: ArrayLike) -> FloatArray:
    """Spread the evidence of each mode evenly over the chains in it.

    Parameters
    ----------
    evidence
        Evidence of each mode, up to a constant factor, shape (M,); NaN, which stands for an
        unknown evidence, counts as zero.
    shares
        Share of each chain's draws in each mode, shape (K, M), rows adding up to 1.

    Returns
    -------
    FloatArray
        Weight of each chain, shape (K,), adding up to 1.

    Raises
    ------
    InputError
        The shapes do not fit, an evidence is negative or infinite, a row does not hold shares,
        or no mode with evidence has a chain.

    Notes
    -----
    Chains of weights w put the mass sum_k w_k s_km into mode m, and that mass should be the
    evidence e_m. If each chain stayed in its mode, w_k = e_m / n_m for the n_m chains in it.
    Dividing by shares in the same way, w_k = sum_m e_m s_km / sum_j s_jm, would be wrong for
    chains that moved, because each brings the masses of its other modes along. Instead their
    weights solve sum_k w_k s_km = e_m, and among the solutions they are the most even one (the
    largest sum_k log w_k). If there is no solution, they come closest in the sense of Kullback
    and Leibler: sum_m e_m log sum_k w_k s_km is largest. Chains cannot weigh modes without a
    chain; the other modes share the evidence of these in proportion.

    Examples
    --------
    Two chains stayed in the first of two modes, one in the second:

    >>> from manymodes.statistics.chain_weightings import mode_evidence_weights
    >>> mode_evidence_weights([3.0, 1.0], [[1, 0], [1, 0], [0, 1]]).round(3)
    array([0.375, 0.375, 0.25 ])
    """
    e = np.nan_to_num(np.asarray(evidence, dtype=float), nan=0.0, posinf=np.inf)
    s = np.asarray(shares, dtype=float)
    if e.ndim != 1 or s.ndim != 2 or s.shape[1] != len(e) or not len(s):
        raise InputError(
            f"evidence has shape {e.shape} and shares {s.shape}: give (M,) and (K, M)."
        )
    if not ((e >= 0) & (e < np.inf)).all():
        raise InputError(f"evidence is {e.tolist()}: give finite numbers, none negative.")
    if not ((s >= 0).all() and np.allclose(s.sum(axis=1), 1.0)):
        raise InputError("shares: a row does not add up to 1 or has a negative entry.")
    weighed = (s > 0).any(axis=0) & (e > 0)
    if not weighed.any():
        raise InputError("evidence: no mode with evidence above zero has a chain in it.")
    e, s = e[weighed] / e[weighed].sum(), s[:, weighed]
    if np.isin(s, (0.0, 1.0)).all():
        return np.asarray(s @ (e / s.sum(axis=0)))
    inside = s.any(axis=1)
    weights = np.zeros(len(s))
    weights[inside] = maximise(s[inside].T, e, _FAINT, _FAINT).weights
    return weights


def _by_mode(
    name: str,
    lpd: FloatArray,
    weights: FloatArray,
    groups: Groups,
    shares: ArrayLike | None,
    n_boot: int,
    rng: np.random.Generator,
) -> tuple[FloatArray, FloatArray]:
    """Return the weights summed by mode, (M,), and resamples of them, (B, M)."""
    if shares is None:
        return np.empty(0), np.empty((0, 0))
    s = check_shares(shares, lpd.shape[1])
    by_mode = weights @ s
    drawn = np.empty((0, s.shape[1]))
    if name in ("stacking", "chain stacking"):
        by_group = weight_errors(
            groups.pool(lpd),
            n_boot=n_boot,
            rng=rng,
            rescored=partial(groups.rescored, lpd) if groups.has_noise else None,
        ).replications
        drawn = np.stack([weights @ groups.reshared(s, rng) for weights in by_group])
    elif name == "uniform":
        picks = rng.integers(len(s), size=(n_boot, len(s)))
        drawn = np.stack([s[pick].mean(axis=0) for pick in picks])
    elif name == "pseudo-BMA+":
        drawn = np.empty((n_boot, len(by_mode)))
        for b in range(n_boot):
            counts = len(lpd) * rng.dirichlet(np.ones(len(lpd)))
            pooled = groups.rescored(lpd, rng) if groups.has_noise else groups.pool(lpd)
            drawn[b] = _pseudo_bma_plus(pooled, rng, counts) @ groups.reshared(s, rng)
    return by_mode, drawn


def _pseudo_bma_plus(
    lpd: FloatArray, rng: np.random.Generator, counts: FloatArray | None = None
) -> FloatArray:
    """Return pseudo-BMA+ weights, of observations with counts if given, shape (K,)."""
    finite = np.isfinite(lpd).all(axis=0)
    weights = np.zeros(lpd.shape[1])
    if counts is None:
        weights[finite] = pseudo_bma_plus(lpd[:, finite], rng=rng)
    else:
        alpha = rng.standard_gamma(counts, size=(_INNER, len(counts)))
        alpha *= len(lpd) / alpha.sum(axis=1, keepdims=True)
        weights[finite] = softmax(alpha @ lpd[:, finite], axis=1).mean(axis=0)
    return weights


def _pooled_density(lpd: FloatArray, weights: FloatArray, groups: Groups) -> FloatArray:
    """Return the log density of each observation under the weighted groups, shape (N,)."""
    total = np.asarray(np.bincount(groups.of_chain, weights=weights), dtype=float)
    used = (total > 0)[groups.of_chain]
    number = np.unique(groups.of_chain[used], return_inverse=True)[1]
    return _log_density(pooled_lpd(lpd[:, used], number, weights[used]), total[total > 0])


def _log_density(lpd: FloatArray, weights: FloatArray) -> FloatArray:
    """Return log sum_k w_k exp(lpd_ik) of each observation, shape (N,)."""
    used = weights > 0
    terms = lpd[:, used]
    terms += np.log(weights[used])
    top = terms.max(axis=1)
    shift = np.where(np.isneginf(top), 0.0, top)
    terms -= shift[:, None]
    with np.errstate(divide="ignore"):  # log 0, if no chain with weight gives it a density
        return np.asarray(np.log(np.exp(terms, out=terms).sum(axis=1)) + shift)


def _difference(terms: FloatArray, others: FloatArray) -> FloatArray:
    """Return the difference of each term; zero where both are -inf."""
    with np.errstate(invalid="ignore"):
        return np.where(terms == others, 0.0, terms - others)


def _score(terms: FloatArray) -> Estimate:
    """Return the sum of terms over observations (nats), and its error.

    The error is sqrt(N Var), with the variance of the terms: NaN for a single observation,
    infinite where a term is, or where the variance is beyond a double.
    """
    if not np.isfinite(terms).all():
        return Estimate(float(terms.sum()), np.inf)
    if len(terms) == 1:
        return Estimate(float(terms.sum()))
    with np.errstate(over="ignore", invalid="ignore"):
        sd = float(np.sqrt(len(terms)) * terms.std(ddof=1))
        return Estimate(float(terms.sum()), sd if np.isfinite(sd) else np.inf)


def _probabilities(weights: ArrayLike, n_chains: int) -> FloatArray:
    w = np.asarray(weights, dtype=float)
    if w.shape != (n_chains,) or not (w >= 0).all() or not np.isclose(w.sum(), 1, atol=1e-8):
        raise InputError(
            f"evidence (shape {w.shape}, sum {w.sum()}) does not fit: give one weight for each "
            f"of {n_chains} chains, none negative, adding up to 1."
        )
    return w
