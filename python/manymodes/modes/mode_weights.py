"""The three weights of a mode: evidence, stacking and occupancy, each with its error."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special

from manymodes.modes.find import Modes
from manymodes.sampling.chains.chains import Chains
from manymodes.sampling.nested import Nested
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
    """The evidence of each mode by nested sampling.

    Attributes
    ----------
    log_z, shares : lists of M Estimate
        Log evidence (nats) and share of the evidence; NaN for a mode that the nested runs did
        not reach, whose evidence is not known, unless it is the only one. NaN for all modes of
        a density without a finite integral.
    point_weights : array of shape (n,)
        Posterior weights of the merged nested points, each mode by its own volume.
    share_draws : array of shape (M, B)
        Shares for random volumes, spread as far as the runs scatter: the error of any sum of
        shares is the spread of the sum.
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
