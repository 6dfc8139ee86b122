"""Bridge sampling: the evidence from the draws of chains, each mode on its own.

Meng and Wong's estimator compares draws of the density with draws of a proposal that is fitted to
them. The proposal is a normal about one mode; the density is set to zero outside the mode's basin,
so that the estimate is the mode's own evidence, and the modes' evidences add up to the whole.

Each chain's first half fits the proposal and its second half is compared with it. Whole chains
could alternate instead. But then a mode that a single chain found would lack one of the two, and
halves of one chain are practically independent, except for the draws near the middle.

Two diagnostics after [5]_ go with each estimate. The chains are cut into six blocks, and the
estimate is made anew with each choice of three blocks for the fit: its scatter is a second error
that takes no formula. And Pareto's k of the terms that the estimator averages, the draws' and the
proposal's, says whether a few terms decide. Both are blind where all chains missed something.

References
----------
.. [1] Meng, Wong (1996). Simulating ratios of normalizing constants via a simple identity: a
   theoretical exploration. Statistica Sinica 6.
.. [2] Fruehwirth-Schnatter (2004). Estimating marginal likelihoods for mixture and Markov
   switching models using bridge sampling techniques. The Econometrics Journal 7(1).
.. [3] Gronau, Sarafoglou, Matzke, Ly, Boehm, Marsman, Leslie, Forster, Wagenmakers, Steingroever
   (2017). A tutorial on bridge sampling. Journal of Mathematical Psychology 81.
.. [4] Overstall, Forster (2010). Default Bayesian model determination methods for generalised
   linear mixed models. Computational Statistics and Data Analysis 54(12).
.. [5] Micaletto, Vehtari (2025). Bridge sampling diagnostics. arXiv:2508.14487.
.. [6] Vehtari, Simpson, Gelman, Yao, Gabry (2024). Pareto smoothed importance sampling. Journal of
   Machine Learning Research 25(72).
.. [7] Cochran (1977). Sampling Techniques, section 2.5.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy import special

from manymodes.errors import InputError
from manymodes.modes.checks.basins import (
    Basins,
    Density,
    Proposal,
    Region,
    basins_of,
    density_of,
    halves,
)
from manymodes.modes.checks.result import TRUSTED_K, TRUSTED_SCATTER
from manymodes.modes.comparison import Comparison
from manymodes.statistics.ess import relative_ess
from manymodes.statistics.estimate import Estimate
from manymodes.statistics.loo import psis_weights
from manymodes.types import BoolArray, FloatArray

__all__ = [
    "BridgeEstimate",
    "bridge",
    "bridge_by_mode",
    "bridge_whole",
    "log_sum",
]

PROPOSALS = ("normal", "student")
MOST_DRAWS = 8000
"""A mode's draws beyond this number are thinned; there are as many proposals as draws."""

_LEAST_PROPOSALS = 1000
_SHORT = 8  # shorter chains are taken as one effective draw
_MOST_ITERATIONS = 1000
_CLOSE = 1e-9
_FREEDOM = 5.0  # degrees of freedom of the Student proposal
_DRAWS_A_DIMENSION = 2
_BLOCKS = 6  # of each chain; three of them fit, so that there are 20 choices
_RESHUFFLED = 500  # draws, and proposals, that one choice of blocks compares
_LEAST_TERMS = 25  # fewer have a tail of less than five, to which no k can be fitted
_LARGEST = 5
_NO_TAIL = 0.05  # if the five largest terms are a smaller share of the sum, no few terms decide
_TIED = 1e-9


@dataclass(frozen=True)
class BridgeEstimate:
    """An evidence by bridge sampling.

    Attributes
    ----------
    log_z, log_z_sd : float
        Log evidence and its standard error (nats); NaN if there is none.
    iterations : int
        How often the estimator was iterated.
    converged : bool
        Whether the last iteration changed it by less than 1e-9 nats.
    draws : int
        Draws compared with the proposal, not counting those that fitted it.
    n_eff : float
        Their effective size: that of the mean of the bridge function.
    proposals : int
        Draws of the proposal.
    inside : float
        Share of proposals in the mode's basin; 1 for the whole.
    reshuffled_sd : float
        The standard error (nats) by reshuffled blocks, beside `log_z_sd` by the formula; NaN if
        there are too few draws for blocks.
    pareto_k_draws, pareto_k_proposals : float
        Pareto's k of the terms that the estimator averages over the draws and over the proposals
        ([5]_): above 0.7 a few terms decide, and the estimate is unreliable. -inf if there is no
        tail: the five largest terms are equal, or below 5 % of the sum and below five times their
        part of it. NaN if there are too few terms.
    remark : str
        Why there is no estimate, or why it is unreliable; empty otherwise.
    """

    log_z: float = math.nan
    log_z_sd: float = math.nan
    iterations: int = 0
    converged: bool = False
    draws: int = 0
    n_eff: float = math.nan
    proposals: int = 0
    inside: float = math.nan
    reshuffled_sd: float = math.nan
    pareto_k_draws: float = math.nan
    pareto_k_proposals: float = math.nan
    remark: str = ""

    @property
    def estimate(self) -> Estimate:
        """The log evidence and its error (nats)."""
        return Estimate(self.log_z, self.log_z_sd)

    @property
    def pareto_k(self) -> float:
        """The larger k of the two; NaN if one is not known."""
        return float(np.maximum(self.pareto_k_draws, self.pareto_k_proposals))

    @property
    def scatter(self) -> float:
        """The error by reshuffled blocks, in units of the error by the formula."""
        return self.reshuffled_sd / self.log_z_sd if self.log_z_sd > 0 else math.nan

    @property
    def reliable(self) -> bool:
        """Whether the estimate converged, its k is at most 0.7, and its two errors agree."""
        return self.converged and self.pareto_k <= TRUSTED_K and not self.scatter > TRUSTED_SCATTER


def bridge(
    log_density: Density,
    chains: Sequence[npt.ArrayLike],
    *,
    inside: Region | None = None,
    members: Sequence[BoolArray] | None = None,
    proposal: str = "normal",
    most_draws: int = MOST_DRAWS,
    seed: int | Sequence[int] = 1,
) -> BridgeEstimate:
    """Estimate the log integral of a density, over a region or all of the space.

    Parameters
    ----------
    log_density : callable
        The log of the density, with all constants and Jacobians (nats); (n, D) to (n,).
    chains : sequence of arrays of shape (S_c, D)
        Draws from the density, in the order in which each chain made them. Lengths may differ.
    inside : callable, optional
        The region; everywhere by default.
    members : sequence of bool arrays of shape (S_c,), optional
        Which draws lie in the region, if this is known; otherwise `inside` decides.
    proposal : {"normal", "student"}
        A normal with the mean and the covariance of the first halves' draws in the region, or a
        Student t with five degrees of freedom and the same moments.
    most_draws : int
        If more draws lie in the region, only every second (third, ...) is used.
    seed : int or sequence of int
        Seed of the proposal's draws.

    Returns
    -------
    BridgeEstimate
        It has a remark instead of a value if there are too few draws in the region, or if no
        proposal falls into it.

    Raises
    ------
    InputError
        There is no chain, the proposal is unknown, or ``most_draws`` is below 1.

    Notes
    -----
    The estimator of [1]_ is iterated on the log scale, beginning with the median log ratio of the
    draws. Its weights take the effective number of draws, not their number ([4]_). The error
    is the root of the relative mean squared error of [2]_ (equation in the appendix of [3]_), with
    the effective size of the bridge function over the chains, split in halves; a draw outside
    the region counts as zero there, so that the error is right for chains that enter and leave the
    region. It covers chance, but not chains that have not yet converged within the mode.

    The error by reshuffled blocks ([5]_) comes from all 20 ways to fit with three of six blocks of
    each chain and to compare with the other three; the proposals' standard draws are cut and
    chosen alike. A mean over n of N blocks varies among the choices by 1 - n/N of its variance
    ([7]_), here one half; autocorrelation counts as long as it is shorter than a block. Thinned
    draws do: the scatter is taken in units of the formula's errors of the same 20 estimates. An
    error by reshuffled blocks that is smaller than the formula's is no cause for doubt: it comes
    from few blocks.

    Both k's are those of the right tail of the terms, fitted as in [6]_. The terms are bounded,
    which the ratios of the two densities are not: over a Student t with three degrees of freedom
    in 20 dimensions, 2000 draws, the ratios' k is 0.8 and the estimate and its errors are right.
    Where the proposal fits almost perfectly all terms are almost 1. The tail of what they differ
    by may have a large k, 1.2 for logits of a beta variable, and means nothing: hence the limit on
    the share of the largest terms.
    """
    if not len(chains):
        raise InputError("chains: the sequence is empty; give at least one chain")
    if proposal not in PROPOSALS:
        raise InputError(f"proposal: '{proposal}' is not one of: {', '.join(PROPOSALS)}")
    if most_draws < 1:
        raise InputError(f"most_draws: {most_draws} is not 1 or more")
    draws = [np.asarray(chain, dtype=float) for chain in chains]
    if members is None:
        members = [
            np.ones(len(one), dtype=bool) if inside is None else inside(one) for one in draws
        ]
    fit = np.concatenate(
        [halves(one)[0][halves(belongs)[0]] for one, belongs in zip(draws, members, strict=True)]
    )
    fitted = _fitted(fit, proposal)
    held = [halves(belongs)[1] for belongs in members]
    step = -(-sum(int(one.sum()) for one in held) // most_draws) or 1
    held = [one[::step] for one in held]
    compared = np.concatenate(
        [halves(one)[1][::step][belongs] for one, belongs in zip(draws, held, strict=True)]
    )
    if isinstance(fitted, str) or len(compared) < 2:
        reason = fitted if isinstance(fitted, str) else "its draws all lie in the first halves"
        return BridgeEstimate(draws=len(compared), remark=reason)
    rng = np.random.default_rng(seed)
    made = fitted.draw(max(len(compared), _LEAST_PROPOSALS), rng)
    hit = np.ones(len(made), dtype=bool) if inside is None else inside(made)
    of_made = np.full(len(made), -np.inf)
    of_made[hit] = log_density(made[hit]) - fitted.log_density(made[hit])
    of_draws = log_density(compared) - fitted.log_density(compared)
    kept = np.isfinite(of_draws)
    if not kept.all():
        raise InputError(
            f"chains: {int((~kept).sum())} draws have no finite log density: "
            "they are not draws from it"
        )
    if not np.isfinite(of_made).any():
        return BridgeEstimate(
            draws=len(compared),
            proposals=len(made),
            inside=0.0,
            remark=f"none of {len(made)} draws of the proposal falls into the mode",
        )
    found = _estimated(of_draws, of_made, held, float(hit.mean()))
    again = _Reshuffled(log_density, draws, members, inside, proposal)
    return _judged(replace(found, reshuffled_sd=found.log_z_sd * again.scatter(rng)))


def _judged(found: BridgeEstimate) -> BridgeEstimate:
    """Add why an estimate is unreliable."""
    if found.remark or found.reliable:
        return found
    if math.isnan(found.pareto_k):
        remark = f"{found.draws} draws are too few for a Pareto k: unreliable"
    elif found.pareto_k > TRUSTED_K:
        remark = f"Pareto k {found.pareto_k:.2f}: unreliable"
    else:
        remark = (
            f"reshuffled blocks scatter {found.scatter:.1f} times as much as the error says: "
            "unreliable"
        )
    return replace(found, remark=remark)


def _fitted(draws: FloatArray, proposal: str) -> Proposal | str:
    """Return the proposal, or why there is none."""
    size, dims = draws.shape
    least = _DRAWS_A_DIMENSION * (dims + 1)
    if size < least:
        return (
            f"{size} draw{'' if size == 1 else 's'} in the first halves of the chains: "
            f"fitting a proposal in {dims} dimensions takes {least}"
        )
    covariance = np.atleast_2d(np.cov(draws, rowvar=False))
    freedom = math.inf if proposal == "normal" else _FREEDOM
    if math.isfinite(freedom):
        covariance = covariance * (freedom - 2) / freedom
    try:
        factor = np.linalg.cholesky(covariance)
    except np.linalg.LinAlgError:
        return "the draws in the first halves of the chains do not move in every dimension"
    return Proposal(draws.mean(axis=0), np.asarray(factor, dtype=float), freedom)


def _estimated(
    of_draws: FloatArray, of_made: FloatArray, held: Sequence[BoolArray], inside: float
) -> BridgeEstimate:
    """Iterate the estimator on log ratios of density to proposal.

    Parameters
    ----------
    of_draws : array of shape (n,)
        Log ratios of the chains' draws in the region, chain after chain.
    of_made : array of shape (m,)
        Log ratios of the proposal's draws; -inf outside the region.
    held : sequence of bool arrays
        Which draws of each chain ``of_draws`` lists.
    inside : float
        Share of the proposal's draws in the region.
    """
    n, m = len(of_draws), len(of_made)
    n_eff = _effective(of_draws, held)
    log_s = math.log(n_eff / (n_eff + m))
    log_t = math.log(m / (n_eff + m))

    def mean(logs: FloatArray) -> float:
        return float(special.logsumexp(logs)) - math.log(len(logs))

    log_z, iterations, converged = float(np.median(of_draws)), 0, False
    while not converged and iterations < _MOST_ITERATIONS:
        above = mean(of_made - np.logaddexp(log_s + of_made, log_t + log_z))
        below = mean(-np.logaddexp(log_s + of_draws, log_t + log_z))
        converged = abs(above - below - log_z) < _CLOSE
        log_z = above - below
        iterations += 1
    over_made = of_made - log_z - np.logaddexp(log_s + of_made - log_z, log_t)
    over_draws = -np.logaddexp(log_s + of_draws - log_z, log_t)
    f_made = np.exp(over_made - over_made.max())
    f_draws = np.exp(over_draws - over_draws.max())
    n_eff = _effective(f_draws, held)
    error = f_made.var(ddof=1) / (m * f_made.mean() ** 2)
    error += f_draws.var(ddof=1) / (n_eff * f_draws.mean() ** 2)
    return BridgeEstimate(
        log_z=log_z,
        log_z_sd=math.sqrt(error),
        iterations=iterations,
        converged=converged,
        draws=n,
        n_eff=n_eff,
        proposals=m,
        inside=inside,
        pareto_k_draws=_pareto_k(over_draws),
        pareto_k_proposals=_pareto_k(over_made),
        remark="" if converged else f"not converged after {iterations} iterations",
    )


def _pareto_k(logs: FloatArray) -> float:
    """Return Pareto's k of the right tail of positive terms, given as logs (nats), shape (n,)."""
    known = np.sort(logs[np.isfinite(logs)])
    if len(known) < _LEAST_TERMS:
        return math.nan
    terms = np.exp(known - known[-1])
    share = terms[-_LARGEST:].sum() / terms.sum()
    if share < max(_NO_TAIL, _LARGEST**2 / len(logs)) or terms[-_LARGEST] > 1 - _TIED:
        return -math.inf
    return float(psis_weights(known[:, None])[1][0])


@dataclass(frozen=True, eq=False)
class _Reshuffled:
    """Estimates with other blocks of the chains in the fit; see `bridge` for the arguments."""

    log_density: Density
    draws: Sequence[FloatArray]
    members: Sequence[BoolArray]
    inside: Region | None
    proposal: str

    def scatter(self, rng: np.random.Generator) -> float:
        """Return the standard deviation that blocks show, in errors; NaN for too few draws."""
        total = sum(int(one.sum()) for one in self.members)
        step = -(-total // (2 * _RESHUFFLED)) or 1
        every = [np.arange(len(one)) % step == 0 for one in self.draws]
        known = [one & thin for one, thin in zip(self.members, every, strict=True)]
        points = self._chosen(known)
        densities = self.log_density(points)
        blocks = [np.arange(len(one)) * _BLOCKS // len(one) for one in self.draws]
        of_points = np.concatenate([one[own] for one, own in zip(blocks, known, strict=True)])
        of_standard = np.arange(2 * _RESHUFFLED) * _BLOCKS // (2 * _RESHUFFLED)
        choices = list(itertools.combinations(range(_BLOCKS), _BLOCKS // 2))
        standard: FloatArray | None = None
        found = []
        for choice, other in zip(choices, rng.permutation(choices), strict=True):
            fits = [np.isin(one, choice) for one in blocks]
            fit = [belongs & one for belongs, one in zip(self.members, fits, strict=True)]
            fitted = _fitted(self._chosen(fit), self.proposal)
            compared = ~np.isin(of_points, choice)
            if isinstance(fitted, str) or compared.sum() < 2:
                return math.nan
            if standard is None:
                standard = fitted.standard(len(of_standard), rng)
            made = fitted.placed(standard[np.isin(of_standard, other)])
            hit = np.ones(len(made), dtype=bool) if self.inside is None else self.inside(made)
            of_made = np.full(len(made), -np.inf)
            of_made[hit] = self.log_density(made[hit]) - fitted.log_density(made[hit])
            if not np.isfinite(of_made).any():
                return math.nan
            of_draws = densities[compared] - fitted.log_density(points[compared])
            held = [
                own[thin & ~one] for own, thin, one in zip(self.members, every, fits, strict=True)
            ]
            found.append(_estimated(of_draws, of_made, held, float(hit.mean())))
        seen = np.var([one.log_z for one in found]) / (1 - 1 / 2)
        said = np.mean([one.log_z_sd**2 for one in found])
        return math.sqrt(seen / said) if said > 0 else math.nan

    def _chosen(self, which: Sequence[BoolArray]) -> FloatArray:
        """Return some draws of each chain, shape (n, D)."""
        return np.concatenate([one[own] for one, own in zip(self.draws, which, strict=True)])


def _effective(values: FloatArray, held: Sequence[BoolArray]) -> float:
    """Return the effective size of the mean of values that only a part of the draws has.

    The mean over the draws in a region is a ratio of sums over whole chains. To first order its
    error is that of the deviations from the mean, which are zero for draws without a value.
    """
    deviations = np.split(values - values.mean(), np.cumsum([int(one.sum()) for one in held])[:-1])
    by_length: dict[int, list[FloatArray]] = {}
    for deviation, belongs in zip(deviations, held, strict=True):
        if len(deviation):
            series = np.zeros(len(belongs))
            series[belongs] = deviation
            by_length.setdefault(len(series), []).append(series)
    n, variance = len(values), 0.0
    for length, group in by_length.items():
        if length < _SHORT:
            variance += sum(float(series.sum()) ** 2 for series in group)
            continue
        middle = length // 2
        split = np.array([part for one in group for part in (one[:middle], one[-middle:])])
        size = split.size / float(relative_ess(split[None])[0])
        variance += split.var(ddof=1) * size * (len(group) * length / split.size)
    if variance == 0:
        return float(n)
    return float(values.var(ddof=1) * n**2 / variance)


def bridge_by_mode(
    comparison: Comparison,
    *,
    basins: Basins | None = None,
    proposal: str = "normal",
    most_draws: int = MOST_DRAWS,
    seed: int = 1,
) -> dict[int, BridgeEstimate]:
    """Estimate the evidence of each mode that holds draws of the chains.

    Parameters
    ----------
    comparison : Comparison
        A comparison with chains.
    basins : Basins, optional
        The basins of the comparison, if they are already known.
    proposal, most_draws
        As in `bridge`.
    seed : int
        Seed of the proposals' draws, which differ between modes.

    Returns
    -------
    dict of int to BridgeEstimate
        By mode id; `log_sum` adds them up.

    Raises
    ------
    InputError
        There are no chains.
    """
    draws = _draws(comparison)
    basins = basins_of(comparison) if basins is None else basins
    ids = np.split(basins(np.concatenate(draws)), np.cumsum([len(one) for one in draws])[:-1])
    log_density = density_of(comparison.posterior)
    found = {}
    for mode in np.unique(np.concatenate(ids)).tolist():
        found[mode] = bridge(
            log_density,
            draws,
            inside=basins.within(mode),
            members=[one == mode for one in ids],
            proposal=proposal,
            most_draws=most_draws,
            seed=(seed, mode),
        )
    return found


def bridge_whole(
    comparison: Comparison,
    *,
    proposal: str = "normal",
    most_draws: int = MOST_DRAWS,
    seed: int = 1,
) -> BridgeEstimate:
    """Estimate the evidence from all draws of the chains at once, as if there were one mode.

    Ordinary bridge sampling does this; it is shown for comparison. With many modes it fails twice:
    one normal does not fit them, and the number of chains in a mode depends on where they started,
    not on the evidence. Its error covers only the first failure.

    Parameters
    ----------
    comparison : Comparison
        A comparison with chains.
    proposal, most_draws, seed
        As in `bridge`.

    Raises
    ------
    InputError
        There are no chains.
    """
    return bridge(
        density_of(comparison.posterior),
        _draws(comparison),
        proposal=proposal,
        most_draws=most_draws,
        seed=(seed, 0),
    )


def _draws(comparison: Comparison) -> list[FloatArray]:
    """Return the draws of each chain."""
    chains = comparison.chains
    if chains is None:
        raise InputError(
            f"the comparison of '{comparison.posterior.name}' has no chains, "
            "which bridge sampling needs"
        )
    return [eta[:n] for eta, n in zip(chains.eta, chains.lengths.tolist(), strict=True)]


def log_sum(estimates: Mapping[int, Estimate]) -> Estimate:
    """Add up evidences given as logs (nats); the errors are assumed to be independent.

    NaN values are left out; the sum is NaN if there is no other value.
    """
    known = [one for one in estimates.values() if math.isfinite(one.value)]
    if not known:
        return Estimate()
    values = np.array([one.value for one in known])
    shares = special.softmax(values)
    sd = np.sqrt(np.sum((shares * [one.sd for one in known]) ** 2))
    return Estimate(float(special.logsumexp(values)), float(sd))
