"""Diagnostics of chains (R-hat, effective sample sizes) and of nested-sampling runs.

Every function of draws takes (C, S, ...): C chains of S draws of anything. Weights of a network,
predictions at test points, log likelihoods are all columns, handled in blocks and threads.

References
----------
.. [1] Vehtari, Gelman, Simpson, Carpenter, Buerkner (2021). Rank-normalization, folding, and
   localization: an improved R-hat for assessing convergence of MCMC. Bayesian Analysis 16(2).
.. [2] Margossian, Hoffman, Sountsov, Riou-Durand, Vehtari, Gelman (2024). Nested R-hat: assessing
   the convergence of Markov chain Monte Carlo when running many short chains. Bayesian Analysis.
.. [3] Fowlie, Handley, Su (2020). Nested sampling cross-checks using order statistics. Monthly
   Notices of the Royal Astronomical Society 497(4).
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike

from manymodes.errors import InputError
from manymodes.statistics.columns import by_column, split_chains
from manymodes.statistics.ess import relative_ess
from manymodes.statistics.insertion import checked_insertions, kolmogorov_smirnov
from manymodes.statistics.ranks import normal_scores, rank_maximum, rank_normalise
from manymodes.types import FloatArray, IntArray

__all__ = [
    "ess_bulk",
    "ess_tail",
    "insertion_p",
    "nested_rhat",
    "r_eff",
    "rhat",
    "rhat_function",
    "rolling_insertion_p",
]


def rhat(draws: ArrayLike, *, threads: int | None = None) -> FloatArray:
    """Return rank-normalised split R-hat, the larger of its bulk and folded versions.

    Parameters
    ----------
    draws
        Shape (C, S, ...). One chain is enough: its halves are compared.
    threads
        Columns processed at once; by default the number of cores.

    Returns
    -------
    FloatArray
        Shape (...). It is 1 for chains that agree; above 1.01 they do not yet agree. It is nan for
        a column that is constant or holds nan, and has no bound if each chain stays at its value.

    Raises
    ------
    InputError
        If `draws` have fewer than 2 axes, no chain or fewer than 4 draws.

    Notes
    -----
    Vehtari et al. (2021), equations 1 to 4 and 14. Ties get their average rank, so discrete draws
    are handled. With an odd number of draws the middle one is left out.

    Examples
    --------
    >>> from manymodes.statistics.diagnostics import rhat
    >>> draws = np.random.default_rng(1).normal(size=(4, 500, 2))
    >>> draws[0, :, 1] += 3  # the first chain is elsewhere in the second column
    >>> rhat(draws).round(2)
    array([1.  , 1.47])
    """
    scores = normal_scores(_split_size(draws))

    def statistic(block: FloatArray) -> FloatArray:
        return np.array([rank_maximum(half, scores, _rhat) for half in split_chains(block)])

    return by_column(draws, statistic, threads)


def rhat_function(blocks: Iterable[ArrayLike], *, threads: int | None = None) -> FloatArray:
    """Return R-hat in function space from predictions that come block by block.

    Parameters
    ----------
    blocks
        Predictions of every draw at some of the points, each of shape (C, S, n): a generator
        need never hold all points at once.
    threads
        As in `rhat`.

    Returns
    -------
    FloatArray
        R-hat of the prediction at each point, shape (sum of n,).

    Raises
    ------
    InputError
        As `rhat`, and if there is no block.

    Examples
    --------
    >>> from manymodes.statistics.diagnostics import rhat_function
    >>> slope = np.random.default_rng(1).normal(size=(4, 500, 1))  # f(x) = slope x
    >>> inputs = np.array([[0.5, 1.0], [1.5, 2.0]])
    >>> rhat_function(slope * x for x in inputs).round(2)
    array([1.01, 1.01, 1.01, 1.01])
    """
    parts = [np.atleast_1d(rhat(block, threads=threads)).ravel() for block in blocks]
    if not parts:
        raise InputError("blocks is empty: give at least one array (chains, draws, points).")
    return np.concatenate(parts)


def nested_rhat(
    draws: ArrayLike, superchains: ArrayLike, *, rank: bool = True, threads: int | None = None
) -> FloatArray:
    """Return nested R-hat, for many short chains in groups with a common start.

    Parameters
    ----------
    draws
        Shape (C, S, ...).
    superchains
        Label of the superchain of each chain, shape (C,); at least 2 superchains, all with the
        same number of chains.
    rank
        Split the chains, rank-normalise, and return the larger of the bulk and folded
        statistics, as `rhat` does. Otherwise the draws are used as they are.
    threads
        As in `rhat`.

    Returns
    -------
    FloatArray
        sqrt(1 + B/W), shape (...). For stationary chains it is about sqrt(1 + 1/(M ESS)) with M
        chains in a superchain and ESS the effective sample size of one chain, so 1.01 is not the
        threshold for short chains.

    Raises
    ------
    InputError
        As `rhat`, and if `superchains` do not fit.

    Notes
    -----
    Margossian et al. (2024), equation 8: B is the variance of the superchain means, W the mean over
    superchains of the variance between their chains' means plus their chains' mean variance.

    Examples
    --------
    Eight chains of ten draws share four starts, two each:

    >>> from manymodes.statistics.diagnostics import nested_rhat
    >>> draws = np.random.default_rng(1).normal(size=(8, 10))
    >>> float(nested_rhat(draws, [0, 0, 1, 1, 2, 2, 3, 3]).round(2))
    1.02
    """
    members = _members(superchains, np.shape(draws))

    if not rank:
        return by_column(draws, lambda b: np.array([_nested(c, members) for c in b]), threads)
    scores = normal_scores(_split_size(draws))
    halves = np.hstack([members, members + members.size])

    def statistic(block: FloatArray) -> FloatArray:
        split = split_chains(block)
        return np.array([rank_maximum(c, scores, lambda z: _nested(z, halves)) for c in split])

    return by_column(draws, statistic, threads)


def ess_bulk(draws: ArrayLike, *, threads: int | None = None) -> FloatArray:
    """Return the bulk effective sample size.

    Parameters
    ----------
    draws
        Shape (C, S, ...).
    threads
        As in `rhat`.

    Returns
    -------
    FloatArray
        Shape (...), in draws, of all chains together; all draws for a constant column, nan
        for one that holds nan.

    Raises
    ------
    InputError
        As `rhat`.

    Notes
    -----
    Vehtari et al. (2021): the effective sample size of the mean of rank-normalised split chains.

    Examples
    --------
    >>> from manymodes.statistics.diagnostics import ess_bulk
    >>> draws = np.random.default_rng(1).normal(size=(4, 500))
    >>> draws[:, 1:] += draws[:, :-1]  # neighbouring draws are correlated
    >>> round(float(ess_bulk(draws)), -2)
    1000.0
    """
    size = _split_size(draws)
    scores = normal_scores(size)

    def statistic(block: FloatArray) -> FloatArray:
        split = split_chains(block)
        normal = np.stack([rank_normalise(column, scores)[0] for column in split])
        return size * relative_ess(normal)

    return by_column(draws, statistic, threads)


def ess_tail(
    draws: ArrayLike, *, prob: tuple[float, float] = (0.05, 0.95), threads: int | None = None
) -> FloatArray:
    """Return the tail effective sample size: the smaller one of two quantiles.

    Parameters
    ----------
    draws
        Shape (C, S, ...).
    prob
        Probabilities of the two quantiles.
    threads
        As in `rhat`.

    Returns
    -------
    FloatArray
        As `ess_bulk`.

    Raises
    ------
    InputError
        As `rhat`, and if `prob` are not two numbers between 0 and 1.

    Notes
    -----
    Vehtari et al. (2021): of the mean of the indicator that a draw is at most the quantile.

    Examples
    --------
    >>> from manymodes.statistics.diagnostics import ess_tail
    >>> draws = np.random.default_rng(1).normal(size=(4, 500))
    >>> bool(1500 < ess_tail(draws) < 2500)
    True
    """
    if len(prob) != 2 or not all(0 < p < 1 for p in prob):
        raise InputError(f"prob is {prob}: give two probabilities between 0 and 1.")
    size = _split_size(draws)

    def statistic(block: FloatArray) -> FloatArray:
        quantiles = np.quantile(block.reshape(len(block), -1), prob, axis=1)
        below = [
            relative_ess(split_chains((block <= q[:, None, None]).astype(float))) for q in quantiles
        ]
        result: FloatArray = size * np.minimum(*below)
        return result

    return by_column(draws, statistic, threads)


def r_eff(log_lik: ArrayLike) -> FloatArray:
    """Return the relative efficiency of one chain's likelihoods, which `psis_loo` needs.

    Parameters
    ----------
    log_lik
        Log likelihood of each observation under each draw, in the order of the chain, shape
        (S, N), nats. -inf is allowed.

    Returns
    -------
    FloatArray
        Effective sample size of the mean of exp(log_lik) over the number of draws, shape (N,);
        above 1 for antithetic draws, 1 for a constant column.

    Raises
    ------
    InputError
        If `log_lik` is not an (S, N) array with S >= 4, or holds nan or +inf, or an observation
        is -inf under every draw.

    Examples
    --------
    >>> from manymodes.statistics.diagnostics import r_eff
    >>> mean = np.random.default_rng(1).normal(size=(500, 1))  # draws of one chain
    >>> y = np.array([-0.5, 0.2, 1.1])
    >>> r_eff(-0.5 * (y - mean) ** 2).round(1)
    array([0.9, 0.9, 1.2])
    """
    array = np.asarray(log_lik, dtype=float)
    if array.ndim != 2:
        raise InputError(f"log_lik has shape {array.shape}: give an array (draws, observations).")
    bad = np.isnan(array) | (array == np.inf)
    if bad.any():
        draw, obs = np.argwhere(bad)[0]
        raise InputError(
            f"log_lik is {array[draw, obs]} at draw {draw}, observation {obs}: "
            "a log likelihood must be a number below infinity."
        )
    if np.isneginf(array).all(axis=0).any():
        obs = int(np.isneginf(array).all(axis=0).argmax())
        raise InputError(
            f"log_lik is -inf under every draw at observation {obs}: leave that observation out."
        )

    def statistic(block: FloatArray) -> FloatArray:
        with np.errstate(over="ignore"):  # a difference beyond the range of a double
            density = np.exp(block - block.max(axis=2, keepdims=True))
        return relative_ess(split_chains(density))

    return by_column(array[None], statistic, threads=1)


def insertion_p(indexes: ArrayLike, nlive: ArrayLike) -> float:
    """Test whether a nested-sampling run inserted its live points uniformly.

    Parameters
    ----------
    indexes
        Rank of each new live point among the live points when it was inserted, itself
        included, shape (n,): integers from 0 to `nlive` - 1.
    nlive
        Number of live points at each insertion, one integer or shape (n,).

    Returns
    -------
    float
        The p-value. If it is small, the new points were not drawn from the constrained prior.

    Raises
    ------
    InputError
        If there is no index, or one is not an integer from 0 to `nlive` - 1, or shapes differ.

    Notes
    -----
    Fowlie, Handley and Su (2020): Kolmogorov-Smirnov test with the asymptotic distribution, which
    is conservative for discrete ranks. For a varying number of live points index / nlive is
    compared with the mixture of the discrete uniform distributions that its numbers of live points
    imply.

    Examples
    --------
    >>> from manymodes.statistics.diagnostics import insertion_p
    >>> rng = np.random.default_rng(1)
    >>> insertion_p(rng.integers(0, 100, 2000), 100) > 0.01  # uniform ranks
    True
    >>> insertion_p(rng.integers(0, 80, 2000), 100) > 0.01  # none among the highest
    False
    """
    index, live = checked_insertions(indexes, nlive)
    return kolmogorov_smirnov(index, live)


def rolling_insertion_p(indexes: ArrayLike, nlive: ArrayLike, *, chunk: int | None = None) -> float:
    """Test every stretch of a run on its own, to find faults that cancel over the whole run.

    Parameters
    ----------
    indexes, nlive
        As in `insertion_p`, in order of insertion (or of death contour).
    chunk
        Insertions per stretch, by default the mean number of live points. The remainder is
        spread over the stretches.

    Returns
    -------
    float
        The smallest p-value p of n stretches, corrected for their number: 1 - (1 - p)^n.

    Raises
    ------
    InputError
        As `insertion_p`, and if ``chunk`` < 1.

    Notes
    -----
    Fowlie, Handley and Su (2020), the rolling test on consecutive stretches.

    Examples
    --------
    High ranks in the first half and low ones in the second look uniform together:

    >>> from manymodes.statistics.diagnostics import insertion_p, rolling_insertion_p
    >>> rng = np.random.default_rng(1)
    >>> ranks = np.concatenate([rng.integers(50, 100, 500), rng.integers(0, 50, 500)])
    >>> insertion_p(ranks, 100) > 0.01, rolling_insertion_p(ranks, 100) > 0.01
    (True, False)
    """
    index, live = checked_insertions(indexes, nlive)
    length = round(float(live.mean())) if chunk is None else chunk
    if length < 1:
        raise InputError(f"chunk is {length}: give at least 1 insertion.")
    n = max(1, len(index) // length)
    pairs = zip(np.array_split(index, n), np.array_split(live, n), strict=True)
    smallest = min(kolmogorov_smirnov(i, m) for i, m in pairs)
    return float(-np.expm1(n * np.log1p(-smallest))) if smallest < 1 else 1.0


def _split_size(draws: ArrayLike) -> int:
    """Return how many draws of a column remain after splitting its chains."""
    shape = np.shape(draws)
    return shape[0] * (shape[1] // 2) * 2 if len(shape) > 1 else 0


def _rhat(chains: FloatArray) -> float:
    """Return R-hat of chains (C, S) as they are (Vehtari et al. 2021, equations 1 to 4)."""
    n_draws = chains.shape[1]
    between = n_draws * chains.mean(axis=1).var(ddof=1)
    within = chains.var(axis=1, ddof=1).mean()
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(np.sqrt((between / within + n_draws - 1) / n_draws))


def _nested(chains: FloatArray, members: IntArray) -> float:
    """Return nested R-hat of chains (C, S) with superchains given by their members (G, M)."""
    means = chains.mean(axis=1)[members]
    within = chains.var(axis=1, ddof=1)[members].mean()
    if members.shape[1] > 1:
        within += means.var(axis=1, ddof=1).mean()
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(np.sqrt(1 + means.mean(axis=1).var(ddof=1) / within))


def _members(superchains: ArrayLike, shape: tuple[int, ...]) -> IntArray:
    """Return the chains of each superchain, shape (G, M), or raise."""
    labels = np.asarray(superchains)
    if labels.ndim != 1 or not shape or len(labels) != shape[0]:
        raise InputError(
            f"superchains has shape {labels.shape} for draws of shape {shape}: "
            "give one label for each chain."
        )
    counts = np.unique(labels, return_counts=True)[1]
    if len(counts) < 2 or counts.min() != counts.max():
        raise InputError(
            f"superchains hold {counts.tolist()} chains: "
            "give at least 2 superchains, all with the same number of chains."
        )
    return np.argsort(labels, kind="stable").reshape(len(counts), -1)
