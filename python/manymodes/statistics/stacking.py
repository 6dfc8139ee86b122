"""Stacking weights of many chains with a certificate of optimality, their errors and draws.

Chains are weighted so that their mixture predicts best under leave-one-out: the weights maximise
sum_i log sum_k w_k exp(lpd_ik) + (lam - 1) sum_k log w_k on the simplex. That is a concave
problem with a logarithmic barrier already in it, so a primal-dual interior-point method, which
lowers the barrier step by step, ends at the optimum itself in a score of Newton steps.

References
----------
.. [1] Yao, Vehtari, Simpson, Gelman (2018). Using stacking to average Bayesian predictive
   distributions. Bayesian Analysis 13(3).
.. [2] Yao, Vehtari, Gelman (2022). Stacking for non-mixing Bayesian computations: the curse and
   blessing of multimodal posteriors. Journal of Machine Learning Research 23(79).
.. [3] Rubin (1981). The Bayesian bootstrap. The Annals of Statistics 9(1).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import softmax

from manymodes.errors import InputError
from manymodes.runtime.shown import Rows, Shown, share_text
from manymodes.statistics.simplex import grow, heaviest, is_large, maximise
from manymodes.types import FloatArray

__all__ = ["GroupWeights", "Stacking", "draw_stacked", "pseudo_bma_plus", "stack", "weight_errors"]


_AT_ONCE = 100  # replications of pseudo-BMA+ that share a pass over the lpd


@dataclass(frozen=True, eq=False, repr=False)
class Stacking(Shown):
    """Stacking weights and the proof of how good they are.

    Attributes
    ----------
    weights
        Weight of each chain, shape (K,); positive, adding up to 1. Weights of chains that
        predict alike are not identified one by one: sum them by mode.
    score
        sum_i log sum_k w_k exp(lpd_ik), nats.
    objective
        The score plus (lam - 1) sum_k log w_k, nats.
    certificate
        Upper bound on how far the score is below the best that any weights reach, nats. At
        the optimum of the objective it is at most K (lam - 1).
    objective_certificate
        The same bound for the objective, nats; zero up to rounding when `converged`.
    effective_chains
        1 / sum_k w_k^2.
    iterations
        Newton steps taken, those over subsets of the chains included.
    converged
        Whether `objective_certificate` is within the tolerance.

    Examples
    --------
    >>> stacking = mm.stack(np.log([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.1, 0.9]]))
    >>> stacking.weights.round(2), round(stacking.score, 2), stacking.converged
    (array([0.56, 0.44]), -2.76, True)
    """

    weights: FloatArray
    score: float
    objective: float
    certificate: float
    objective_certificate: float
    effective_chains: float
    iterations: int
    converged: bool

    def _headline(self) -> str:
        heaviest = int(np.argmax(self.weights))
        return (
            f"Stacking of {len(self.weights)} chains: score = {self.score:.2f} nats, "
            f"{self.effective_chains:.1f} effective chains, the heaviest is {heaviest} with "
            f"{100 * self.weights[heaviest]:.1f} %"
        )


@dataclass(frozen=True, eq=False, repr=False)
class GroupWeights(Shown):
    """Stacking weights summed by group, with errors from resampled observations.

    Attributes
    ----------
    mean, sd
        Mean and standard deviation over the replications, shape (G,).
    replications
        Weight of each group in each replication, shape (B, G).

    Examples
    --------
    >>> from manymodes.statistics.stacking import weight_errors
    >>> lpd = np.log([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.1, 0.9]])
    >>> found = weight_errors(lpd, n_boot=50, rng=np.random.default_rng(1))
    >>> found.replications.shape, found.mean.round(1)
    ((50, 2), array([0.5, 0.5]))
    """

    mean: FloatArray
    sd: FloatArray
    replications: FloatArray

    def _headline(self) -> str:
        return f"GroupWeights of {len(self.mean)} groups, {len(self.replications)} replications"

    def _table(self) -> Rows:
        pairs = zip(self.mean, self.sd, strict=True)
        return ("group", "weight"), [(str(i), share_text(*both)) for i, both in enumerate(pairs)]


def stack(lpd: ArrayLike, *, lam: float = 1.0001, tol: float = 1e-8) -> Stacking:
    """Find the stacking weights of K chains.

    Parameters
    ----------
    lpd
        Log predictive density of each observation under each chain, shape (N, K), nats:
        `Loo.elpd_i` of each chain as columns, or held-out densities. -inf is a density of zero.
    lam
        Parameter of the symmetric Dirichlet prior on the weights, at least 1. It keeps every
        weight positive and gives equal weights to equal chains. With 1 the score alone is
        maximised, and equal chains still get equal weights up to the tolerance.
    tol
        Largest `objective_certificate`, nats, at which the search ends. The sums cannot be known
        better than about 1e-13 (N + K (lam - 1)), which replaces a smaller tolerance.

    Returns
    -------
    Stacking
        The weights with score, certificates and effective number of chains.

    Raises
    ------
    InputError
        If `lpd` is not an (N, K) array with N, K >= 1, holds NaN or +inf, has an observation
        with density zero under every chain, or `lam` < 1 or `tol` <= 0.

    Notes
    -----
    Objective of Yao et al. (2018), with the prior of Yao, Vehtari and Gelman (2022). Let g_k =
    sum_i p_ik / sum_j w_j p_ij with p = exp(lpd). The score is concave and its gradient g has sum_k
    w_k g_k = N, so no weights gain more than max_k g_k - N: the certificate. Each row is divided by
    its largest density first, so lpd of any size is safe. The cost is that of about 20 products of
    a (min(N, K), max(N, K)) matrix with its transpose; of large problems, of about 5, because the
    search over all chains begins where one over a subset of them has ended.

    Examples
    --------
    Two chains predict four observations; each is better at some:

    >>> stacking = mm.stack(np.log([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.1, 0.9]]))
    >>> stacking.weights.round(2)
    array([0.56, 0.44])
    >>> round(stacking.effective_chains, 1)
    2.0
    """
    density, top = _densities(lpd)
    _check_settings(lam, tol)
    n_obs, n_chains = density.shape
    solution = maximise(density, np.ones(n_obs), lam - 1, tol)
    w = solution.weights
    mixture = density @ w
    gradient = density.T @ (1 / mixture)
    score = float((np.log(mixture) + top).sum())
    barrier = lam - 1
    gap = float((gradient + barrier / w).max()) - n_obs - n_chains * barrier
    return Stacking(
        weights=w,
        score=score,
        objective=score + barrier * float(np.log(w).sum()),
        certificate=max(float(gradient.max()) - n_obs, 0.0),
        objective_certificate=max(gap, 0.0),
        effective_chains=float(1 / (w @ w)),
        iterations=solution.iterations,
        converged=solution.converged,
    )


def weight_errors(
    lpd: ArrayLike,
    groups: ArrayLike | None = None,
    *,
    n_boot: int = 100,
    lam: float = 1.0001,
    tol: float = 1e-6,
    rng: np.random.Generator,
    rescored: Callable[[np.random.Generator], FloatArray] | None = None,
) -> GroupWeights:
    """Estimate the errors of stacking weights by the Bayesian bootstrap over observations.

    Parameters
    ----------
    lpd
        As in `manymodes.stack`, shape (N, K), nats.
    groups
        Share of each chain that belongs to each group (mode), shape (K, G), rows adding up to
        1: one 1 in a row for a chain that stayed in its mode, its occupancies for one that
        moved. None makes each chain its own group.
    n_boot
        Number of replications.
    lam, tol
        As in `manymodes.stack`.
    rng
        Source of randomness.
    rescored
        Returns `lpd` as other draws of the posterior might have given it, so that replications
        scatter by Monte Carlo error too (``manymodes.statistics.pooled``).

    Returns
    -------
    GroupWeights
        Mean and standard deviation of the weight of each group, and all replications.

    Raises
    ------
    InputError
        As ``stack``, and if `groups` does not fit or is not a matrix of shares, or `n_boot` < 2.

    Notes
    -----
    Each replication weights the observations by N times a draw from Dirichlet(1, ..., 1) (Rubin
    1981) and stacks anew. An interior-point method gains nothing from starting at the weights of
    the whole data set, so each replication costs what ``stack`` costs.

    In large problems (a product of N, K and the smaller of the two from 1e8) each replication
    stacks a subset of chains, and chains that would improve the score are added. Its score is
    within max(K (lam - 1), tol) of the best that any weights reach, the bound that ``stack`` gives
    for its own score, and chains that it does not need have no weight. The sums by group stay the
    same, but the replications do not show how equal chains share a weight.

    Examples
    --------
    The first two chains are in one mode, the third is in another:

    >>> from manymodes.statistics.stacking import weight_errors
    >>> lpd = np.log([[0.9, 0.8, 0.1], [0.8, 0.8, 0.2], [0.3, 0.4, 0.7]])
    >>> modes = [[1, 0], [1, 0], [0, 1]]
    >>> found = weight_errors(lpd, modes, rng=np.random.default_rng(1))
    >>> found.mean.round(1), found.sd.round(1)
    (array([0.9, 0.1]), array([0.2, 0.2]))
    """
    density, _ = _densities(lpd)
    _check_settings(lam, tol)
    n_obs, n_chains = density.shape
    shares = np.eye(n_chains) if groups is None else check_shares(groups, n_chains)
    if n_boot < 2:
        raise InputError(f"n_boot is {n_boot}: give at least 2 replications.")
    barrier = max(lam - 1, tol / (2 * n_chains))
    allowed = max(n_chains * (lam - 1), tol)
    found = grow(density, np.ones(n_obs), barrier, allowed) if is_large(density) else None
    first = found.chains[heaviest(found.weights)] if found and found.proven else None
    replications = np.empty((n_boot, shares.shape[1]))
    for b in range(n_boot):
        counts = n_obs * rng.dirichlet(np.ones(n_obs))
        if rescored is not None:
            density, _ = _densities(rescored(rng))
        if first is not None:
            found = grow(density, counts, barrier, allowed, first)
            if found.proven:
                replications[b] = found.weights @ shares[found.chains]
                continue
        replications[b] = maximise(density, counts, lam - 1, tol).weights @ shares
    return GroupWeights(replications.mean(axis=0), replications.std(axis=0, ddof=1), replications)


def pseudo_bma_plus(lpd: ArrayLike, *, n_boot: int = 1000, rng: np.random.Generator) -> FloatArray:
    """Return pseudo-BMA+ weights: softmax of the summed lpd, averaged over its uncertainty.

    Parameters
    ----------
    lpd
        As in `manymodes.stack`, shape (N, K), nats.
    n_boot
        Number of Bayesian bootstrap replications over observations.
    rng
        Source of randomness.

    Returns
    -------
    FloatArray
        Weights, shape (K,), adding up to 1.

    Raises
    ------
    InputError
        If `lpd` is not an (N, K) array of finite values, or `n_boot` < 1.

    Notes
    -----
    Yao et al. (2018): w = mean over replications of softmax_k(N sum_i alpha_i lpd_ik) with
    alpha from Dirichlet(1, ..., 1).

    Examples
    --------
    >>> from manymodes.statistics.stacking import pseudo_bma_plus
    >>> lpd = np.log([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.1, 0.9]])
    >>> pseudo_bma_plus(lpd, rng=np.random.default_rng(1)).round(1)
    array([0.5, 0.5])
    """
    array = _matrix(lpd)
    if not np.isfinite(array).all():
        obs, chain = np.argwhere(~np.isfinite(array))[0]
        raise InputError(
            f"lpd is {array[obs, chain]} at observation {obs}, chain {chain}: "
            "every value must be finite here; leave that chain out."
        )
    if n_boot < 1:
        raise InputError(f"n_boot is {n_boot}: give at least 1 replication.")
    total = np.zeros(array.shape[1])
    for start in range(0, n_boot, _AT_ONCE):
        alpha = rng.dirichlet(np.ones(len(array)), size=min(_AT_ONCE, n_boot - start))
        total += softmax(len(array) * alpha @ array, axis=1).sum(axis=0)
    return total / n_boot


def draw_stacked(
    weights: ArrayLike, n_draws_per_chain: ArrayLike, n: int, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Choose draws of the stacked mixture.

    Parameters
    ----------
    weights
        Weight of each chain, shape (K,), adding up to 1.
    n_draws_per_chain
        How many draws every chain has: one number, or shape (K,). A chain without weight may
        have none.
    n
        How many draws of the mixture to choose.
    rng
        Source of randomness.

    Returns
    -------
    chain, draw
        Indices of the chosen draws in random order, both of shape (n,).

    Raises
    ------
    InputError
        If `weights` is not a vector of probabilities, a chain with weight has no draw,
        `n_draws_per_chain` does not fit, or `n` < 0.

    Notes
    -----
    Chain k is chosen floor(n w_k) or ceil(n w_k) times, n w_k on average (systematic
    resampling), so a small weight is never rounded away for good. A chain's draws are all used
    once, in random order, before any is used twice.

    Examples
    --------
    >>> from manymodes.statistics.stacking import draw_stacked
    >>> chain, draw = draw_stacked([0.75, 0.25, 0.0], 100, 8, np.random.default_rng(1))
    >>> np.bincount(chain, minlength=3)
    array([6, 2, 0])
    """
    w = np.asarray(weights, dtype=float)
    if w.ndim != 1 or not (w >= 0).all() or not np.isclose(w.sum(), 1.0, rtol=0, atol=1e-8):
        raise InputError(
            f"weights (shape {w.shape}, sum {w.sum()}) are not probabilities: "
            "give one weight per chain, none negative, adding up to 1."
        )
    lengths = np.asarray(n_draws_per_chain)
    if lengths.shape not in ((), w.shape) or not np.issubdtype(lengths.dtype, np.integer):
        raise InputError(
            f"n_draws_per_chain has shape {lengths.shape} and type {lengths.dtype}: give one "
            f"whole number or one for each of {len(w)} chains."
        )
    lengths = np.broadcast_to(lengths, w.shape)
    short = (lengths < 0) | ((lengths < 1) & (w > 0))
    if short.any():
        k = int(short.argmax())
        raise InputError(
            f"n_draws_per_chain is {lengths[k]} for chain {k}, whose weight is {w[k]:g}: "
            "give at least 1 draw for every chain with weight."
        )
    if n < 0:
        raise InputError(f"n is {n}: give 0 or more draws of the mixture.")
    order = rng.permutation(len(w))
    edges = np.cumsum(w[order])
    edges /= edges[-1]
    marks = np.ceil(n * edges - rng.random()).astype(np.int64)
    marks[edges == 1.0] = n
    counts = np.empty(len(w), dtype=np.int64)
    counts[order] = np.diff(marks, prepend=0)
    chain = np.repeat(np.arange(len(w)), counts)
    rounds = [
        rng.permutation(length)[: count - used]
        for count, length in zip(counts, lengths, strict=True)
        if count
        for used in range(0, count, length)
    ]
    draw = np.concatenate([np.empty(0, dtype=np.int64), *rounds])
    shuffled = rng.permutation(n)
    return chain[shuffled], draw[shuffled]


def _matrix(lpd: ArrayLike) -> FloatArray:
    """Return `lpd` as an (N, K) array of floats, or raise."""
    array = np.asarray(lpd, dtype=float)
    if array.ndim != 2 or array.size == 0:
        raise InputError(
            f"lpd has shape {array.shape}: give an array (observations, chains) with at least "
            "one of each."
        )
    return array


def _densities(lpd: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Return densities divided by the largest of their row, and the log of that, (N,)."""
    array = _matrix(lpd)
    top: FloatArray = array.max(axis=1)
    if np.isnan(top).any() or (top == np.inf).any():
        obs, chain = np.argwhere(np.isnan(array) | (array == np.inf))[0]
        raise InputError(
            f"lpd is {array[obs, chain]} at observation {obs}, chain {chain}: "
            "a log density must be a number below infinity; leave that chain out."
        )
    if np.isneginf(top).any():
        obs = int(np.isneginf(top).argmax())
        raise InputError(
            f"lpd is -inf under every chain at observation {obs}: "
            "no weights give it a density; leave that observation out."
        )
    density = array - top[:, None]
    return np.exp(density, out=density), top


def check_shares(groups: ArrayLike, n_chains: int) -> FloatArray:
    """Return a matrix of shares as an array.

    Parameters
    ----------
    groups
        Share of each chain that belongs to each group, shape (K, G).
    n_chains
        The number K of chains.

    Returns
    -------
    FloatArray
        The same, shape (K, G).

    Raises
    ------
    InputError
        It does not fit, or a row does not hold shares.

    Examples
    --------
    >>> from manymodes.statistics.stacking import check_shares
    >>> check_shares([[1, 0], [0.5, 0.5]], 2)
    array([[1. , 0. ],
           [0.5, 0.5]])
    """
    shares = np.asarray(groups, dtype=float)
    if shares.ndim != 2 or shares.shape[0] != n_chains:
        raise InputError(
            f"groups has shape {shares.shape}: give a matrix (chains, groups) with {n_chains} rows."
        )
    wrong = ~((shares >= 0).all(axis=1) & np.isclose(shares.sum(axis=1), 1.0))
    if wrong.any():
        chain = int(wrong.argmax())
        raise InputError(
            f"groups has the row {shares[chain].tolist()} for chain {chain}: "
            "its shares must not be negative and must add up to 1."
        )
    return shares


def _check_settings(lam: float, tol: float) -> None:
    if not 1 <= lam < np.inf:
        raise InputError(f"lam is {lam}: give a finite number of at least 1, for instance 1.0001.")
    if not 0 < tol < np.inf:
        raise InputError(f"tol is {tol}: give a positive number of nats.")
