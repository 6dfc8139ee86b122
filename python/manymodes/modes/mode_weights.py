"""The three weights of a mode: evidence, stacking and occupancy, each with its error."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import special

from manymodes.modes.find import Modes
from manymodes.modes.headline import NESTED, Headline
from manymodes.sampling.chains.chains import Chains
from manymodes.sampling.nested import Nested
from manymodes.sampling.tempered import Tempered
from manymodes.statistics.chain_weightings import Weighing, mode_evidence_weights, weighings
from manymodes.statistics.estimate import Estimate
from manymodes.statistics.nested_volumes import RegionWeights, open_passes, region_weights, settled
from manymodes.statistics.stacking import Stacking, stack
from manymodes.types import FloatArray, IntArray

_VOLUME_DRAWS = 200
_RESAMPLES = 200
_REPLICATIONS = 50
_COUNTS = 1e-3
_PRIOR_FREEDOM = 2.0


@dataclass(frozen=True, eq=False)
class EvidenceWeights:
    """The evidence of each mode.

    Attributes
    ----------
    log_z, shares : lists of M Estimate
        Log evidence (nats) and share of the evidence; NaN for a mode that no run reached, whose
        evidence is not known, unless it is the only one. NaN for all modes of a density without a
        finite integral.
    point_weights : array of shape (n,)
        Posterior weights of the merged nested points, each mode by its own volume; empty without
        nested runs.
    share_draws : array of shape (M, B)
        Shares for random volumes or resampled tours, spread as far as the runs scatter: the error
        of any sum of shares is the spread of the sum.
    spread : float
        The scatter of the modes' shares between runs, in units of the error by random volumes, at
        least 1. All errors of modes are multiplied by it.
    """

    log_z: list[Estimate]
    shares: list[Estimate]
    point_weights: FloatArray
    share_draws: FloatArray
    spread: float = 1.0


def evidence_weights(
    nested: Nested | None, modes: Modes, rng: np.random.Generator
) -> EvidenceWeights:
    """Weigh the modes by their evidence; everything is unknown without nested runs."""
    n_modes = modes.n_modes
    unknown = [Estimate()] * n_modes
    if nested is None:
        return EvidenceWeights(unknown, unknown, np.empty(0), np.empty((0, 0)))
    passes = _closing_passes(nested, modes)
    found = region_weights(nested.logl, nested.birth, modes.nested, passes, rng, _VOLUME_DRAWS)
    point_weights = np.asarray(special.softmax(found.log_weights))
    if nested.is_endless:
        nothing = np.full_like(found.log_z_draws, np.nan)
        return EvidenceWeights(unknown, unknown, point_weights, nothing)
    spread = _spread_between_runs(nested, modes, passes, found, rng)
    log_z = settled(found.log_z) + nested.log_shift
    shares = special.softmax(found.log_z)
    log_shares = special.log_softmax(found.log_z_draws, axis=0)
    middle = log_shares.mean(axis=1, keepdims=True)
    share_draws = special.softmax(middle + spread * (log_shares - middle), axis=0)

    known = modes.reached | (n_modes == 1)  # a single mode holds the whole evidence

    def estimates(values: FloatArray, sd: FloatArray) -> list[Estimate]:
        return [
            Estimate(float(values[k]), float(sd[k])) if known[k] else Estimate()
            for k in range(n_modes)
        ]

    return EvidenceWeights(
        estimates(log_z, spread * _sd(found.log_z_draws)),
        estimates(shares, _sd(share_draws)),
        point_weights,
        np.asarray(share_draws),
        spread,
    )


def tempered_weights(tempered: Tempered, modes: Modes, rng: np.random.Generator) -> EvidenceWeights:
    """Weigh the modes by the shares of tempered draws in them.

    Draws of one tour, which descend from one draw of the base measure, are not independent, so
    that tours are resampled.
    """
    n_modes = modes.n_modes
    if tempered.is_endless:
        unknown = [Estimate()] * n_modes
        return EvidenceWeights(unknown, unknown, np.empty(0), np.full((n_modes, 2), np.nan))
    members = np.eye(n_modes)[modes.tempered]
    _, tour = np.unique(tempered.tour, return_inverse=True)
    visits = np.zeros((tour.max() + 1, n_modes))
    np.add.at(visits, (tour, modes.tempered), 1.0)
    shares = [tempered.share(members[:, mode]) for mode in range(n_modes)]
    counts = rng.multinomial(len(visits), np.full(len(visits), 1 / len(visits)), _RESAMPLES)
    weighted = np.asarray((counts @ visits).T, dtype=float)
    resampled: FloatArray = weighted / weighted.sum(axis=0)
    log_z, found = [], []
    for mode, share in enumerate(shares):
        if share.value == 0:
            log_z.append(Estimate())
            found.append(Estimate())
            continue
        spread = resampled[mode].std(ddof=1)
        if spread > 0 and share.sd > spread:  # runs scatter more than tours
            middle = resampled[mode].mean()
            resampled[mode] = middle + share.sd / spread * (resampled[mode] - middle)
        relative = share.sd / share.value
        log_z.append(
            Estimate(
                tempered.log_z + float(np.log(share.value)),
                float(np.hypot(tempered.log_z_sd, relative)),
            )
        )
        found.append(share)
    return EvidenceWeights(log_z, found, np.empty(0), resampled)


def combined_weights(
    by_engine: Mapping[str, EvidenceWeights], headline: Headline, n_modes: int
) -> EvidenceWeights:
    """Return the evidence of each mode as the headline has it.

    Each engine counts by its precision. What one engine does not know of a mode, its share of
    unassigned evidence, stays unassigned. Without a headline every figure is unknown.
    """
    unknown = [Estimate()] * n_modes
    counted = {name: share for name, share in headline.shares.items() if name in by_engine}
    if len(by_engine) == 1:
        return next(iter(by_engine.values()))
    if not counted:
        points = [one.point_weights for one in by_engine.values() if len(one.point_weights)]
        point_weights = points[0] if points else np.empty(0)
        return EvidenceWeights(unknown, unknown, point_weights, np.empty((n_modes, 0)))
    shares, log_z = [], []
    for mode in range(n_modes):
        known = {
            name: by_engine[name].shares[mode]
            for name in counted
            if np.isfinite(by_engine[name].shares[mode].value)
        }
        if not known:
            shares.append(Estimate())
            log_z.append(Estimate())
            continue
        total = sum(counted[name] for name in known)
        value = sum(counted[name] * one.value for name, one in known.items()) / total
        sd = np.sqrt(sum((counted[name] * one.sd) ** 2 for name, one in known.items())) / total
        shares.append(Estimate(float(value), float(sd)))
        relative = sd / value if value > 0 else np.inf
        log_z.append(
            Estimate(
                headline.log_z.value + float(np.log(value)) if value > 0 else -np.inf,
                float(np.hypot(headline.log_z.sd, relative)),
            )
        )
    sizes = min(by_engine[name].share_draws.shape[1] for name in counted)
    draws = sum(share * by_engine[name].share_draws[:, :sizes] for name, share in counted.items())
    return EvidenceWeights(
        log_z,
        _within_one(shares),
        next(one.point_weights for name, one in by_engine.items() if name == NESTED),
        np.asarray(draws),
        max(one.spread for one in by_engine.values()),
    )


def _within_one(shares: list[Estimate]) -> list[Estimate]:
    """Return shares that sum to one at most: engines may know different modes."""
    total = float(np.nansum([one.value for one in shares]))
    if total <= 1:
        return shares
    return [Estimate(one.value / total, one.sd / total) for one in shares]


def _sd(draws: FloatArray) -> FloatArray:
    return settled(draws.std(axis=1, ddof=1))


def _closing_passes(nested: Nested, modes: Modes) -> FloatArray:
    """Return the contours up to which points cross between two modes, (M, M).

    Over a base measure of several components, slices lead from one mode into another at any
    contour, and no pass ever closes.
    """
    if len(nested.base.components) == 1:
        return open_passes(modes.passes, nested.base.dims)
    return np.where(np.eye(modes.n_modes, dtype=bool), modes.passes, np.inf)


def _spread_between_runs(
    nested: Nested,
    modes: Modes,
    passes: FloatArray,
    whole: RegionWeights,
    rng: np.random.Generator,
) -> float:
    """Return how much the shares of modes scatter between runs, relative to random volumes.

    It is the root mean square of differences between runs in units of their errors, over all modes
    that hold some of the evidence. Two degrees of freedom that agree with the errors are added,
    because few modes and few runs say little. Random volumes assume that every point is a fair
    draw; points that descend from one another are not, and families drift.
    """
    everywhere = modes.reached_by_run.all(axis=1)
    counted = everywhere & (special.softmax(whole.log_z) > _COUNTS)
    n_runs, n_modes = len(nested.runs), int(counted.sum())
    if n_runs < 2 or n_modes < 2:
        return 1.0
    shares = np.empty((n_runs, n_modes))
    errors = np.empty((n_runs, n_modes))
    for run in range(n_runs):
        own = nested.run_of == run
        found = region_weights(
            nested.logl[own], nested.birth[own], modes.nested[own], passes, rng, _VOLUME_DRAWS
        )
        shares[run] = special.log_softmax(found.log_z)[counted]
        errors[run] = _sd(special.log_softmax(found.log_z_draws, axis=0)[counted])
    precision = 1 / errors**2
    mean = (precision * shares).sum(axis=0) / precision.sum(axis=0)
    statistic = float((precision * (shares - mean) ** 2).sum())
    freedom = (n_runs - 1) * (n_modes - 1)
    # Shares sum to one, so M modes have M - 1 free shares.
    statistic *= (n_modes - 1) / n_modes
    return float(np.sqrt(max(1.0, (statistic + _PRIOR_FREEDOM) / (freedom + _PRIOR_FREEDOM))))


def mode_shares(labels: IntArray, n_modes: int) -> FloatArray:
    """Return the share of each chain's draws in each mode, shape (C, M).

    Parameters
    ----------
    labels : int array of shape (C, S)
        Modes from 0; -1 if a chain has no draw.
    n_modes : int
        The number M of modes.
    """
    counts = np.stack([np.bincount(chain[chain >= 0], minlength=n_modes) for chain in labels])
    return np.asarray(counts / counts.sum(axis=1, keepdims=True))


def occupancies(chains: Chains | None, modes: Modes, rng: np.random.Generator) -> list[Estimate]:
    """Return each mode's share of all draws; the error is by resampling chains.

    A chain that was cut short counts by the draws that it has.
    """
    if chains is None:
        return [Estimate()] * modes.n_modes
    counts = mode_shares(modes.chains, modes.n_modes) * chains.lengths[:, None]
    picks = rng.integers(len(counts), size=(_RESAMPLES, len(counts)))
    resampled = np.stack([counts[pick].sum(axis=0) / counts[pick].sum() for pick in picks])
    sd = resampled.std(axis=0, ddof=1)
    value = counts.sum(axis=0) / counts.sum()
    return [Estimate(float(v), float(s)) for v, s in zip(value, sd, strict=True)]


@dataclass(frozen=True, eq=False)
class ChainWeights:
    """How the chains are weighed.

    Attributes
    ----------
    stacking : Stacking or None
        Their stacking, with its certificate; None without leave-one-out scores.
    weighings : tuple of Weighing
        Stacking beside other ways; empty without leave-one-out scores of two observations.
    by_mode : list of M Estimate
        Stacking weights summed by mode.
    """

    stacking: Stacking | None
    weighings: tuple[Weighing, ...]
    by_mode: list[Estimate]


def chain_weights(
    chains: Chains | None, modes: Modes, evidence: list[Estimate], rng: np.random.Generator
) -> ChainWeights:
    """Weigh the chains by how they predict and, where it is known, by the evidence of their modes.

    They are weighed by the observations that every chain scores. One that no chain gives a
    density does not tell chains apart, and is left out.
    """
    unknown = [Estimate()] * modes.n_modes
    if chains is None:
        return ChainWeights(None, (), unknown)
    lpd = chains.scored_lpd
    if len(lpd) < 2:
        return ChainWeights(None, (), unknown)
    shares = mode_shares(modes.chains, modes.n_modes)
    stacking = stack(lpd)
    found = weighings(
        lpd,
        stacking=stacking,
        evidence=_evidence_of_chains(evidence, shares),
        shares=shares,
        n_boot=_REPLICATIONS,
        rng=rng,
    )
    by_mode = [
        Estimate(float(value), float(sd))
        for value, sd in zip(found[0].mode_weights, found[0].mode_sd, strict=True)
    ]
    return ChainWeights(stacking, found, by_mode)


def _evidence_of_chains(evidence: list[Estimate], shares: FloatArray) -> FloatArray | None:
    """Return the weight of each chain by evidence; None where no chain is in a mode that has it."""
    weights = np.nan_to_num([one.value for one in evidence])
    if not (shares[:, weights > 0] > 0).any():
        return None
    return np.asarray(mode_evidence_weights(weights, shares))
