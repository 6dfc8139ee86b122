"""The three weights of a mode: evidence, stacking and occupancy, each with its error."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from scipy import special

from manymodes.modes.find import Modes
from manymodes.modes.headline import NESTED, Headline
from manymodes.modes.stacked_chains import StackedChains, stack_chains
from manymodes.sampling.chains.chains import Chains
from manymodes.sampling.nested import Nested
from manymodes.sampling.tempered import Tempered
from manymodes.statistics.chain_weightings import Weighing, mode_evidence_weights, weighings
from manymodes.statistics.estimate import Estimate
from manymodes.statistics.nested_volumes import RegionWeights, open_passes, region_weights, settled
from manymodes.statistics.scatter import inflation
from manymodes.types import FloatArray, IntArray

_VOLUME_DRAWS = 200
_RESAMPLES = 200
_REPLICATIONS = 50
_COUNTS = 1e-3
_POOLED = 4.0  # degrees of freedom that the scatter of all modes has beside that of one
_TOO_FEW = 2  # live points that carried a mode, from which no value is made
_FEW = 30  # tours
_LEAST_LEFT = 0.1  # of a share that is corrected
_LIMIT = 0.95


@dataclass(frozen=True, eq=False)
class EvidenceWeights:
    """The evidence of each mode.

    Attributes
    ----------
    log_z, shares : lists of M Estimate
        Log evidence (nats) and share of the evidence; NaN for a mode that no run reached, whose
        evidence is not known, unless it is the only one. A mode that two live points or tours, or
        fewer, carried has an upper limit instead of a value. NaN for all modes of a density
        without a finite integral.
    point_weights : array of shape (n,)
        Posterior weights of the merged nested points, each mode by its own volume; empty without
        nested runs.
    share_draws : array of shape (M, B)
        Shares for random volumes or resampled tours, spread as far as the runs scatter: the error
        of any sum of shares is the spread of the sum.
    spread : float
        The scatter of the modes' shares between runs, in units of the error by random volumes, at
        least 1.
    live : int array of shape (M,)
        How few live points carried each mode at least, from where it separates from the others to
        the contour that halves its posterior mass; -1 without nested runs.
    """

    log_z: list[Estimate]
    shares: list[Estimate]
    point_weights: FloatArray
    share_draws: FloatArray
    spread: float = 1.0
    live: IntArray = field(default_factory=lambda: np.empty(0, dtype=np.intp))


def evidence_weights(
    nested: Nested | None, modes: Modes, rng: np.random.Generator
) -> EvidenceWeights:
    """Weigh the modes by their evidence; everything is unknown without nested runs.

    The error of a share is that of random volumes, as the runs scatter: see `_spreads`. That of a
    mode's log evidence has that of `Nested.log_z` besides.
    """
    n_modes = modes.n_modes
    unknown = [Estimate()] * n_modes
    if nested is None:
        nobody = np.full(n_modes, -1, dtype=np.intp)
        return EvidenceWeights(unknown, unknown, np.empty(0), np.empty((0, 0)), live=nobody)
    passes = _closing_passes(nested, modes)
    found = region_weights(nested.logl, nested.birth, modes.nested, passes, rng, _VOLUME_DRAWS)
    point_weights = np.asarray(special.softmax(found.log_weights))
    live = _least_live_points(nested, modes, passes, point_weights)
    if nested.is_endless:
        nothing = np.full_like(found.log_z_draws, np.nan)
        return EvidenceWeights(unknown, unknown, point_weights, nothing, live=live)
    spread, spreads = _spreads(nested, modes, passes, found, rng)
    shares = special.softmax(found.log_z)
    log_shares = special.log_softmax(found.log_z_draws, axis=0)
    middle = log_shares.mean(axis=1, keepdims=True)
    with np.errstate(invalid="ignore"):  # a mode without points: -inf less -inf
        apart = np.nan_to_num(spreads[:, None] * (log_shares - middle))
    share_draws = special.softmax(middle + apart, axis=0)
    whole = special.logsumexp(found.log_z_draws, axis=0)
    volume_sd = float(whole.std(ddof=1))
    stretch = nested.log_z_sd / volume_sd if volume_sd > 0 else 1.0
    log_z_sd = settled((stretch * (whole - whole.mean()) + apart).std(axis=1, ddof=1))
    values = settled(found.log_z) + nested.log_shift
    share_sd = settled(share_draws.std(axis=1, ddof=1))

    log_z_of, shares_of = [], []
    for k in range(n_modes):
        if not modes.reached[k] and n_modes > 1:  # a single mode holds the whole evidence
            log_z_of.append(Estimate())
            shares_of.append(Estimate())
        elif live[k] <= _TOO_FEW and n_modes > 1:
            factor = _upper_factor(int(live[k]))
            most = min(1.0, float(shares[k]) * factor)
            log_z_of.append(Estimate(at_most=float(values[k]) + float(np.log(factor))))
            shares_of.append(Estimate(at_most=most))
        else:
            log_z_of.append(Estimate(float(values[k]), float(log_z_sd[k])))
            shares_of.append(Estimate(float(shares[k]), float(share_sd[k])))
    return EvidenceWeights(
        log_z_of, shares_of, point_weights, np.asarray(share_draws), spread, live
    )


def tempered_weights(tempered: Tempered, modes: Modes, rng: np.random.Generator) -> EvidenceWeights:
    """Weigh the modes by the shares of tempered draws in them.

    Copies by a network's group have the same evidence: the share of all draws in copies of a mode
    is divided by their number. Draws of one tour, which descend from one draw of the base measure,
    are not independent, so that tours are resampled. Most draws have the mode of a neighbour that
    climbed; how often neighbours disagree corrects the shares and counts in their errors. A mode
    whose copies two tours or fewer visited has an upper limit, and the error of one that thirty or
    fewer visited is at least that of a count.
    """
    n_modes = modes.n_modes
    if tempered.is_endless:
        unknown = [Estimate()] * n_modes
        return EvidenceWeights(unknown, unknown, np.empty(0), np.full((n_modes, 2), np.nan))
    kind_of_draw = modes.kinds[modes.tempered]
    kinds = range(modes.kinds.max() + 1)
    _, tour = np.unique(tempered.tour, return_inverse=True)
    visits = np.zeros((tour.max() + 1, len(kinds)))
    np.add.at(visits, (tour, kind_of_draw), 1.0)
    counts = rng.multinomial(len(visits), np.full(len(visits), 1 / len(visits)), _RESAMPLES)
    weighted = np.asarray((counts @ visits).T, dtype=float)
    resampled: FloatArray = weighted / weighted.sum(axis=0)
    visited = (visits > 0).sum(axis=0)
    correction, correction_sd, corrections = _corrections(modes.climbed_kinds, len(kinds), rng)
    resampled = resampled + corrections
    by_neighbours = [tempered.share((kind_of_draw == kind).astype(float)) for kind in kinds]
    corrected = _corrected(np.array([share.value for share in by_neighbours]), correction)
    shares = []
    for kind in kinds:
        sd = float(np.hypot(by_neighbours[kind].sd, correction_sd[kind]))
        share = Estimate(float(corrected[kind]), sd)
        if len(kinds) == 1:  # it holds the whole evidence
            shares.append(Estimate(1.0, 0.0))
            continue
        if 0 < visited[kind] <= _TOO_FEW:
            most = min(1.0, share.value * _upper_factor(int(visited[kind])))
            shares.append(Estimate(at_most=most))
            continue
        if 0 < visited[kind] <= _FEW:  # few tours are counts: their scatter tells too little
            rare = share.value / float(np.sqrt(visited[kind]))
            share = replace(share, sd=max(share.sd, rare))
        spread = resampled[kind].std(ddof=1)
        if spread > 0 and share.sd > spread:  # runs scatter more than tours
            middle = resampled[kind].mean()
            resampled[kind] = middle + share.sd / spread * (resampled[kind] - middle)
        shares.append(share if share.value > 0 else Estimate())
    log_z, found = [], []
    for kind, copies in zip(modes.kinds.tolist(), modes.copies.tolist(), strict=True):
        share = shares[kind]
        if np.isfinite(share.at_most):
            most = share.at_most / copies
            log_z.append(Estimate(at_most=tempered.log_z + float(np.log(most))))
            found.append(Estimate(at_most=most))
            continue
        relative = share.sd / share.value
        log_z.append(
            Estimate(
                tempered.log_z + float(np.log(share.value / copies)),
                float(np.hypot(tempered.log_z_sd, relative)),
            )
            if share.value > 0
            else Estimate()
        )
        found.append(Estimate(share.value / copies, share.sd / copies))
    by_mode = resampled[modes.kinds] / modes.copies[:, None]
    return EvidenceWeights(log_z, found, np.empty(0), by_mode)


def _corrected(shares: FloatArray, correction: FloatArray) -> FloatArray:
    """Return shares, shape (K,), with their corrections, where these leave something sensible.

    Corrections add up to nothing. If some are not taken, all are scaled, so that the shares still
    add up to what they did.
    """
    corrected = shares + correction
    sensible = (_LEAST_LEFT * shares < corrected) & (corrected < 1)
    corrected = np.where(sensible, corrected, shares)
    return np.asarray(corrected * (shares.sum() / corrected.sum()))


def _corrections(
    climbed_kinds: IntArray, n_kinds: int, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return what the labels by nearest neighbours leave out of each kind's share.

    Draws that climbed have labels of their own, and those that their neighbours would give them.
    The mean of the difference corrects the share of all draws (a difference estimator of
    two-phase sampling: Sarndal, Swensson and Wretman 1992, section 9.6).

    Returns
    -------
    tuple
        Corrections and their errors, shape (K,), and resampled corrections, shape (K, B).
    """
    own, neighbour = np.eye(n_kinds)[climbed_kinds]
    off = own - neighbour
    n = len(off)
    if n < 2:
        return np.zeros(n_kinds), np.zeros(n_kinds), np.zeros((n_kinds, _RESAMPLES))
    counts = rng.multinomial(n, np.full(n, 1 / n), _RESAMPLES)
    return off.mean(axis=0), off.std(axis=0, ddof=1) / np.sqrt(n), (counts @ off / n).T


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
            limits = [by_engine[name].shares[mode].at_most for name in counted]
            most = float(np.nanmin(limits)) if np.isfinite(limits).any() else float("nan")
            shares.append(Estimate(at_most=most))
            log_z.append(Estimate(at_most=headline.log_z.value + float(np.log(most))))
            continue
        total = sum(counted[name] for name in known)
        value = sum(counted[name] * one.value for name, one in known.items()) / total
        sd = np.sqrt(sum((counted[name] * one.sd) ** 2 for name, one in known.items())) / total
        shares.append(Estimate(float(value), float(sd)))
        with np.errstate(over="ignore"):  # of a share next to nothing
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
    return [replace(one, value=one.value / total, sd=one.sd / total) for one in shares]


def _upper_factor(live: int) -> float:
    """Return how much more than seen a mode may hold that so few live points carried (95 %).

    The number is Poisson. With n seen, a mean above q is refuted, where q is the 95 % quantile of
    a gamma distribution of shape n + 1: 4.7 for one, 6.3 for two.
    """
    return float(special.gammaincinv(live + 1, _LIMIT)) / max(live, 1)


def _closing_passes(nested: Nested, modes: Modes) -> FloatArray:
    """Return the contours up to which points cross between two modes, (M, M).

    Over a base measure of several components, slices lead from one mode into another at any
    contour, and no pass ever closes.
    """
    if len(nested.base.components) == 1:
        return open_passes(modes.passes, nested.base.dims)
    return np.where(np.eye(modes.n_modes, dtype=bool), modes.passes, np.inf)


def _least_live_points(
    nested: Nested, modes: Modes, passes: FloatArray, weights: FloatArray
) -> IntArray:
    """Return how few live points of all runs carried each mode at least, shape (M,).

    Counted from the contour at which the mode separates from the others to the one that halves its
    posterior mass: all points above descend from those.
    """
    least = np.zeros(modes.n_modes, dtype=np.intp)
    for k in range(modes.n_modes):
        members = np.flatnonzero(modes.nested == k)  # by ascending likelihood
        if not len(members):
            continue
        logl, birth = nested.logl[members], np.sort(nested.birth[members])
        mass = np.cumsum(weights[members])
        middle = logl[min(int(np.searchsorted(mass, mass[-1] / 2)), len(members) - 1)]
        others = np.delete(passes[k], k)
        start = min(float(others.max()), float(middle)) if others.size else float(middle)
        died = (logl >= start) & (logl <= middle)
        born = np.searchsorted(birth, logl, side="left")
        alive = born - np.arange(len(members))  # just before each death
        least[k] = max(1, int(alive[died].min()))
    return least


def _spreads(
    nested: Nested,
    modes: Modes,
    passes: FloatArray,
    whole: RegionWeights,
    rng: np.random.Generator,
) -> tuple[float, FloatArray]:
    """Return how much shares scatter between runs, relative to random volumes: of all, of each.

    Random volumes assume that every point is a fair draw; points that descend from one another are
    not, and families drift. A run that lost a mode has a share of zero there, which counts. All
    modes together tell the excess of the variance (`inflation`); each mode's own scatter, which
    has one degree of freedom less than there are runs, is pooled with it as if that had four.
    """
    n_runs, n_modes = len(nested.runs), modes.n_modes
    shares = special.softmax(whole.log_z)
    counted = shares > _COUNTS
    if n_runs < 2 or counted.sum() < 2:
        return 1.0, np.ones(n_modes)
    by_run = np.zeros((n_runs, n_modes))
    for run in range(n_runs):
        own = nested.run_of == run
        found = region_weights(
            nested.logl[own], nested.birth[own], modes.nested[own], passes, rng, 2
        )
        by_run[run] = special.softmax(found.log_z)
    volumes = special.softmax(whole.log_z_draws, axis=0).var(axis=1, ddof=1) * n_runs
    squares = ((by_run - by_run.mean(axis=0)) ** 2).sum(axis=0)
    statistic = squares / np.maximum(volumes, 1e-300)
    # Shares sum to one, so M modes have M - 1 free shares.
    free = int(counted.sum()) - 1
    mean = float(statistic[counted].mean())
    together = float(inflation(mean * free, (n_runs - 1) * free))
    freedom = n_runs - 1
    each = (_POOLED * together**2 + statistic) / (_POOLED + freedom)
    return together, np.where(counted, np.sqrt(np.maximum(each, 1.0)), together)


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


def occupancies(
    chains: Chains | None, modes: Modes, rng: np.random.Generator
) -> tuple[list[Estimate], FloatArray]:
    """Return each mode's share of all draws, and the shares for resampled chains, shape (M, B).

    A chain that was cut short counts by the draws that it has.
    """
    if chains is None:
        return [Estimate()] * modes.n_modes, np.empty((modes.n_modes, 0))
    counts = mode_shares(modes.chains, modes.n_modes) * chains.lengths[:, None]
    picks = rng.integers(len(counts), size=(_RESAMPLES, len(counts)))
    resampled = np.stack([counts[pick].sum(axis=0) / counts[pick].sum() for pick in picks])
    sd = resampled.std(axis=0, ddof=1)
    value = counts.sum(axis=0) / counts.sum()
    if len(counts) == 1:  # nothing tells how much another chain would differ
        return [Estimate(float(v)) for v in value], np.empty((modes.n_modes, 0))
    return [Estimate(float(v), float(s)) for v, s in zip(value, sd, strict=True)], resampled.T


@dataclass(frozen=True, eq=False)
class ChainWeights:
    """How the chains are weighed.

    Attributes
    ----------
    stacked : StackedChains or None
        Their stacking by function; None without leave-one-out scores.
    weighings : tuple of Weighing
        Stacking beside other ways; empty without leave-one-out scores of two observations.
    by_mode : list of M Estimate
        Stacking weights by mode: the draws of a function share its weight, and copies do evenly.
    mode_draws : array of shape (M, B)
        Resamples of them.
    """

    stacked: StackedChains | None
    weighings: tuple[Weighing, ...]
    by_mode: list[Estimate]
    mode_draws: FloatArray


def chain_weights(
    chains: Chains | None, modes: Modes, evidence: list[Estimate], rng: np.random.Generator
) -> ChainWeights:
    """Weigh the chains by how they predict and, where it is known, by the evidence of their modes.

    They are weighed by the observations that every chain scores. One that no chain gives a
    density does not tell chains apart, and is left out.
    """
    unknown = ChainWeights(None, (), [Estimate()] * modes.n_modes, np.empty((modes.n_modes, 0)))
    if chains is None:
        return unknown
    lpd = chains.scored_lpd
    if len(lpd) < 2:
        return unknown
    shares = mode_shares(modes.chains, modes.n_modes)
    stacked = stack_chains(chains)
    found = weighings(
        lpd,
        groups=stacked.groups,
        stacking=stacked.of_groups,
        evidence=_evidence_of_chains(evidence, shares),
        shares=shares,
        n_boot=_REPLICATIONS,
        rng=rng,
    )
    weights, draws = (
        _over_copies(one, modes) for one in (found[0].mode_weights, found[0].mode_draws)
    )
    if chains.n_chains == 1:
        return ChainWeights(
            stacked, found, [Estimate(float(one)) for one in weights], np.empty((len(weights), 0))
        )
    errors = draws.std(axis=0, ddof=1)
    by_mode = [Estimate(float(w), float(e)) for w, e in zip(weights, errors, strict=True)]
    return ChainWeights(stacked, found, by_mode, draws.T)


def _over_copies(weights: FloatArray, modes: Modes) -> FloatArray:
    """Return weights of modes, shape (..., M), with those of copies evened out.

    Copies predict alike. Each has its part of their weight, also a copy that holds no draw.
    """
    of_kind = weights @ np.eye(modes.kinds.max(initial=-1) + 1)[modes.kinds]
    return np.asarray(of_kind[..., modes.kinds] / modes.copies)


def _evidence_of_chains(evidence: list[Estimate], shares: FloatArray) -> FloatArray | None:
    """Return the weight of each chain by evidence; None where no chain is in a mode that has it."""
    weights = np.nan_to_num([one.value for one in evidence])
    if not (shares[:, weights > 0] > 0).any():
        return None
    return np.asarray(mode_evidence_weights(weights, shares))
