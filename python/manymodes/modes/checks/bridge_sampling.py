"""Bridge sampling: the evidence from the draws of chains, each mode on its own.

Meng and Wong's estimator compares draws of the density with draws of a proposal that is fitted to
them. The proposal is a normal about one mode; the density is set to zero outside the mode's basin,
so that the estimate is the mode's own evidence, and the modes' evidences add up to the whole.

Each chain's first half fits the proposal and its second half is compared with it. Whole chains
could alternate instead. But then a mode that a single chain found would lack one of the two, and
halves of one chain are practically independent, except for the draws near the middle.

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
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

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
from manymodes.modes.comparison import Comparison
from manymodes.statistics.ess import relative_ess
from manymodes.statistics.estimate import Estimate
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
    remark: str = ""

    @property
    def estimate(self) -> Estimate:
        """The log evidence and its error (nats)."""
        return Estimate(self.log_z, self.log_z_sd)


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
    return _estimated(of_draws, of_made, held, float(hit.mean()))


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
        remark="" if converged else f"not converged after {iterations} iterations",
    )


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
