"""Which basin a draw belongs to, for the draws of all engines, and which basins are one function.

A mode is a local maximum of the density with respect to the prior; a draw belongs to the mode
that it climbs to. Two maxima are one mode if a path between them falls less than a nat below
the lower one. Some draws climb; each other draw takes the mode of its nearest neighbour that
climbed. The share of climbed draws whose nearest neighbour disagrees is reported. Where a small
group leaves a network's density as it is, copies of climbed draws and of maxima count, too, as if
they had climbed and been found.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import special

from manymodes.density.parameter_space import on_unit_cube
from manymodes.density.posterior import Posterior
from manymodes.errors import InputError
from manymodes.modes.by_function import PILOT, functions_as_modes, is_hopeless
from manymodes.modes.chain_groups import FUNCTION_DISTANCE
from manymodes.modes.climb_record import ClimbRecord, climb_record
from manymodes.modes.explorer import Explorer, time_left
from manymodes.modes.function_space import function_values, has_functions, known_moments
from manymodes.modes.landscape import Landscape
from manymodes.modes.modes import Modes as Modes
from manymodes.modes.numbers import kept_numbers
from manymodes.modes.orbits import Orbits
from manymodes.modes.peaks import Atlas
from manymodes.runtime.progress import Progress
from manymodes.runtime.seeds import check_seed
from manymodes.runtime.shown import Shown
from manymodes.sampling.base_measures import (
    NORMAL,
    BaseMeasure,
    Component,
    cube_measure,
    proper_prior_measure,
)
from manymodes.sampling.chains.chains import Chains
from manymodes.sampling.nested import Nested
from manymodes.sampling.tempered import Tempered
from manymodes.types import BoolArray, FloatArray, IntArray
from manymodes.wording import things

_ENGINES = 3
_SMALL = 12  # weights, up to which modes are always looked for
_NEGLIGIBLE = 1e-9
_MOST_UNSEEN = 0.1  # largest share of a mode above a run's last point, if the run reached it
_HOPELESS = 300.0
_ENOUGH = 20  # draws of another engine that tell the levels of a mode
_LEVELS = 100  # of them, whose levels are computed
_FUNCTIONS = 3  # of the seed: which draws tell functions apart
_AT_ONCE = 1 << 15  # numbers held while functions are compared: no more than a cache holds
_OF_A_MODE = 200  # draws that tell a mode's function
_STARTS_PER_CLIMB = 2  # with more chains than this many a climb, starting points are not climbed


@dataclass(frozen=True, repr=False)
class ModeSettings(Shown):
    """How modes are distinguished.

    Parameters
    ----------
    climbs : int
        How many draws of each engine climb; of three engines half of that.
    barrier : float
        Two maxima are one mode if a path falls at most this much below the lower one (nats).
    function_distance : float
        Two modes are one function if the root mean square over the inputs of the difference
        of their mean predictions, in units of their joint posterior spread, is at most this.

    Examples
    --------
    >>> mm.ModeSettings(climbs=150)
    ModeSettings(climbs=150, barrier=1.0, function_distance=1.0)
    """

    climbs: int = 600
    barrier: float = 1.0
    function_distance: float = FUNCTION_DISTANCE


def find_modes(
    posterior: Posterior,
    *,
    chains: Chains | None = None,
    nested: Nested | None = None,
    tempered: Tempered | None = None,
    settings: ModeSettings | None = None,
    seed: int = 1,
    quiet: bool = False,
    kept: Path | str | ClimbRecord | None = None,
    workers: int | None = None,
) -> Modes:
    """Find the modes under the draws of one engine or several.

    Parameters
    ----------
    posterior : Posterior
        The posterior that was sampled.
    chains, nested, tempered : optional
        Draws; of one engine at least.
    settings : ModeSettings, optional
        Thresholds and effort.
    seed : int
        Seed of the choice of draws that climb.
    quiet : bool
        Show no progress.
    kept : Path, optional
        A run directory. What is found is kept in it, and what an earlier call has found there is
        not computed again: a draw climbs once.
    workers : int, optional
        How many processes climb; by default one for each core. The result does not depend on it.

    Returns
    -------
    Modes
        The maxima, and the mode that each draw belongs to.

    Raises
    ------
    InputError
        There are no draws, or ``kept`` is no directory.
    SamplingError
        A process that climbs fails.

    Warns
    -----
    RecordWarning
        What was kept in the directory is damaged or belongs to something else.

    Examples
    --------
    >>> # posterior, chains: noisy XOR, and eight chains of it
    >>> few = mm.ModeSettings(climbs=16)
    >>> modes = mm.find_modes(posterior, chains=chains, settings=few, quiet=True)
    >>> modes.chains.shape, modes.n_modes > 1
    ((8, 200), True)
    """
    settings = settings or ModeSettings()
    check_seed(seed)
    if chains is None and nested is None and tempered is None:
        raise InputError("modes: neither chains nor nested nor tempered runs were given")
    record = climb_record(posterior, kept)
    landscape = landscape_of(posterior, chains, nested, tempered, seed, record)
    with Explorer(landscape, record, workers) as explorer:
        return _explored(explorer, chains, nested, tempered, settings, seed, quiet)


def _explored(
    explorer: Explorer,
    chains: Chains | None,
    nested: Nested | None,
    tempered: Tempered | None,
    settings: ModeSettings,
    seed: int,
    quiet: bool,
) -> Modes:
    landscape = explorer.landscape
    posterior = landscape.posterior
    pools = _pools(landscape, chains, nested, tempered)
    progress = Progress(f"{posterior.name}: modes", quiet=quiet)
    orbits = Orbits.of(landscape)
    atlas = Atlas(explorer, settings.barrier, orbits)
    half = len(pools) >= _ENGINES
    climbed = [pool.choose(settings.climbs, seed, half=half) for pool in pools]
    total = sum(len(picks) for picks in climbed)
    if total > PILOT and posterior.dims > _SMALL and has_functions(posterior):
        ends = _pilot(explorer, pools, climbed)
        if is_hopeless(ends, PILOT):
            regions = functions_as_modes(posterior, chains, nested, tempered)
            progress.done(
                f"{ends} of {PILOT} climbs end at a maximum of their own: no modes, but "
                f"{things(regions.n_modes, 'function')} in function space"
            )
            return regions

    def told(done: int, left: str) -> None:
        progress.update(f"{done} of {total} draws climbed{left}")

    points = np.concatenate([pool.eta[picks] for pool, picks in zip(pools, climbed, strict=True)])
    found = explorer.climbs(points, told)
    labels = []
    for number, end in enumerate(zip(*found, strict=True), 1):
        labels.append(atlas.place(*end))
        progress.update(f"{number} of {total} ends placed, {len(atlas)} maxima")
    climbed_end = np.array(labels, dtype=np.intp)
    progress.update("joining maxima by relaxed paths", now=True)
    begun = time.monotonic()

    def relaxed(done: int, most: int) -> None:
        left = time_left(begun, done, most - done)
        progress.update(f"{done} of at most {most} paths between maxima relaxed{left}")

    joined = atlas.join(relaxed)

    climbed_x = np.concatenate([pool.x[picks] for pool, picks in zip(pools, climbed, strict=True)])
    assigned = [
        joined.mode_of_peak[_ends_of_nearest(orbits, pool.x, climbed_x, climbed_end)]
        for pool in pools
    ]
    own = joined.mode_of_peak[climbed_end]
    beside = _ends_of_nearest(orbits, climbed_x, climbed_x, climbed_end, others=True)
    neighbour = joined.mode_of_peak[beside]
    disagreement = _disagreement(
        neighbour,
        own,
        np.concatenate([p.share(c) for p, c in zip(pools, climbed, strict=True)]),
    )
    engines = np.repeat([pool.engine for pool in pools], [len(picks) for picks in climbed])
    is_tempered = engines == "tempered"
    climbed_kinds = joined.kinds[np.stack([own, neighbour])[:, is_tempered]]
    inhabited = np.unique(np.concatenate(assigned))
    kinds = np.unique(joined.kinds[inhabited])
    climbed_kinds = np.searchsorted(kinds, climbed_kinds)
    joined = joined.only(inhabited)  # copies of maxima may hold no draw
    assigned = [np.searchsorted(inhabited, labels) for labels in assigned]
    one_component = nested is not None and len(nested.base.components) == 1
    passes = np.empty((0, 0))
    if nested is not None:
        passes = atlas.passes(joined, between=one_component)
    heights = joined.heights
    started = _starts(explorer, atlas, chains, joined.mode_of_peak, settings, progress)
    by_engine = dict(zip([pool.engine for pool in pools], assigned, strict=True))
    rng = np.random.default_rng([seed, _FUNCTIONS])
    functions = _functions(posterior, pools, assigned, joined.kinds, settings, rng)
    progress.done(f"{len(heights)} modes, {functions.max() + 1} functions, {total} draws climbed")
    empty = np.empty(0, dtype=np.intp)
    return Modes(
        peaks=landscape.unconstrained(joined.peaks),
        heights=heights,
        chains=_by_chain(chains, by_engine["chains"]) if chains is not None else empty,
        starts=started,
        nested=by_engine["nested"] if nested is not None else empty,
        reached_by_run=_reached(landscape, heights, passes, nested, by_engine)
        | _reached_by_draws(explorer, nested, pools, assigned, len(heights)),
        functions=functions,
        disagreement=disagreement,
        climbs=total,
        tempered=by_engine["tempered"] if tempered is not None else empty,
        passes=passes,
        runaway=landscape.runaway(joined.peaks),
        kinds=joined.kinds,
        copies=joined.copies,
        climbed_kinds=climbed_kinds,
        kept_numbers=kept_numbers(explorer.record.known, landscape, atlas, joined),
    )


def _pilot(explorer: Explorer, pools: list[_Pool], climbed: list[IntArray]) -> int:
    """Return at how many different maxima a few climbs end, copies counted once."""
    points = np.concatenate([pool.eta[picks] for pool, picks in zip(pools, climbed, strict=True)])
    some = points[np.linspace(0, len(points) - 1, PILOT).astype(np.intp)]
    atlas = Atlas(explorer, 1.0, Orbits.of(explorer.landscape))
    for end in zip(*explorer.climbs(some), strict=True):
        atlas.place(*end)
    return len(atlas)


def landscape_of(
    posterior: Posterior,
    chains: Chains | None,
    nested: Nested | None,
    tempered: Tempered | None,
    seed: int,
    record: ClimbRecord,
) -> Landscape:
    """Return the landscape to climb, in the frame that the record has or gets now.

    The frame does not depend on the engines if it can be that of the prior. Otherwise it depends on
    those that are there first.
    """
    if record.frame is None:
        record.fix(_frame(posterior, chains, nested, tempered, seed))
    frame = record.frame
    assert frame is not None
    base = nested.base if nested is not None else BaseMeasure((frame,))
    return Landscape(posterior, base, frame)


def _frame(
    posterior: Posterior,
    chains: Chains | None,
    nested: Nested | None,
    tempered: Tempered | None,
    seed: int,
) -> Component:
    """Return the frame of the prior or, if it is unknown, of a base measure or of the draws."""
    prior = proper_prior_measure(posterior, seed=seed)
    if prior is not None:
        return prior.components[0]
    if on_unit_cube(posterior):
        return cube_measure(posterior).components[0]
    integral = nested or tempered
    if integral is not None and len(integral.base.components) == 1:
        return integral.base.components[0]
    return _frame_of_draws(posterior, chains, integral).components[0]


def _frame_of_draws(
    posterior: Posterior, chains: Chains | None, weighted: Nested | Tempered | None
) -> BaseMeasure:
    if chains is not None:
        draws = chains.flat(chains.eta)
        weights = np.full(len(draws), 1 / len(draws))
    else:
        assert weighted is not None
        draws, weights = weighted.eta, weighted.weights
    mean = weights @ draws
    scale = np.maximum(np.sqrt(weights @ (draws - mean) ** 2), 1e-300)
    return BaseMeasure.product((NORMAL,) * posterior.dims, mean, scale)


@dataclass(frozen=True)
class _Pool:
    """The draws of one engine: unconstrained points, climbing coordinates, posterior weights."""

    engine: str
    eta: FloatArray
    x: FloatArray
    weights: FloatArray

    def choose(self, size: int, seed: int, *, half: bool) -> IntArray:
        """Choose draws to climb: half by weight, and half among those with little weight.

        The second half finds the small modes that the first would miss. The choice depends on no
        other engine; with ``half`` it is a part of the whole one, so that these draws have climbed
        already if the whole choice has.
        """
        rng = np.random.default_rng([seed, *self.engine.encode()])
        flat = np.where(self.weights > _NEGLIGIBLE * self.weights.max(), self.weights, 0.0) ** 0.5
        size = min(size, int((flat > 0).sum()))
        by_weight = _systematic(self.weights, size // 2, rng)
        by_root = _systematic(flat, size - size // 2, rng)
        if half and size > 1:
            first = int(rng.integers(2))
            by_weight, by_root = by_weight[first::2], by_root[first::2]
        return np.unique(np.concatenate([by_weight, by_root]))

    def share(self, picks: IntArray) -> FloatArray:
        """Return the weight that each pick stands for."""
        weights = self.weights[picks]
        return np.asarray(weights / weights.sum())


def _systematic(weights: FloatArray, size: int, rng: np.random.Generator) -> IntArray:
    edges = np.cumsum(weights)
    places = (np.arange(size) + rng.random()) / max(size, 1) * edges[-1]
    return np.asarray(np.minimum(np.searchsorted(edges, places), len(weights) - 1))


def _pools(
    landscape: Landscape,
    chains: Chains | None,
    nested: Nested | None,
    tempered: Tempered | None,
) -> list[_Pool]:
    draws: dict[str, tuple[FloatArray, FloatArray]] = {}
    if chains is not None:
        eta = chains.flat(chains.eta)
        draws["chains"] = eta, np.full(len(eta), 1 / len(eta))
    if nested is not None:
        draws["nested"] = nested.eta, nested.weights
    if tempered is not None:
        draws["tempered"] = tempered.eta, tempered.weights
    return [
        _Pool(engine, eta, landscape.coordinates(eta), weights)
        for engine, (eta, weights) in draws.items()
    ]


def _starts(
    explorer: Explorer,
    atlas: Atlas,
    chains: Chains | None,
    mode_of_peak: IntArray,
    settings: ModeSettings,
    progress: Progress,
) -> IntArray:
    """Return the mode that the starting point of each chain climbs to, -1 if none is known."""
    if chains is None or chains.n_chains > _STARTS_PER_CLIMB * settings.climbs:
        return np.empty(0, dtype=np.intp)
    known = np.flatnonzero(np.isfinite(chains.starts).all(axis=1))  # not of chains made elsewhere
    if not len(known):
        return np.empty(0, dtype=np.intp)

    def told(done: int, left: str) -> None:
        progress.update(f"{done} of {len(known)} starting points climbed{left}")

    modes = np.full(chains.n_chains, -1, dtype=np.intp)
    ends, _ = explorer.climbs(chains.starts[known], told)
    for chain, end in zip(known.tolist(), ends, strict=True):
        peak = atlas.recognise(end)
        if peak is not None:
            modes[chain] = mode_of_peak[peak]
    return modes


def _by_chain(chains: Chains, labels: IntArray) -> IntArray:
    """Arrange the modes of draws by chain, shape (C, S), with -1 for missing draws."""
    modes = np.full(chains.present.shape, -1, dtype=np.intp)
    modes[chains.present] = labels
    return modes


def _ends_of_nearest(
    orbits: Orbits, x: FloatArray, climbed_x: FloatArray, end: IntArray, *, others: bool = False
) -> IntArray:
    """Return the maximum of each point, shape (n,): that of the nearest copy of a climbed draw.

    ``end`` has the maxima of the climbed draws. With ``others`` the points are these draws, and
    each takes the maximum of another one; its own if it is the only one.
    """
    if others and len(climbed_x) < 2:
        return end
    which, move = orbits.nearest(x, climbed_x, others=others)
    first, own = np.divmod(end[which], len(orbits))
    return np.asarray(first * len(orbits) + orbits.product[move, own])


def _disagreement(neighbour: IntArray, modes: IntArray, share: FloatArray) -> float:
    return float((share * (neighbour != modes)).sum() / share.sum())


def _reached(
    landscape: Landscape,
    heights: FloatArray,
    passes: FloatArray,
    nested: Nested | None,
    by_engine: Mapping[str, IntArray],
) -> BoolArray:
    """Return which modes each nested run has climbed into, shape (M, R).

    Around a peak of D dimensions the height of a draw falls short of it by D/2 on average,
    with standard deviation sqrt(D/2) (half a chi-squared with D degrees of freedom). Under an
    informative prior draws lie further below this peak: then a run also reached the mode if it
    left little of the mode above its last point.
    """
    if nested is None:
        return np.zeros((len(heights), 0), dtype=bool)
    reached = np.zeros((len(heights), len(nested.runs)), dtype=bool)
    dims = landscape.base.dims
    typical = dims / 2 + 3 * np.sqrt(dims / 2)
    log_density = nested.logl + nested.base.log_density(nested.eta)
    for mode, run in np.ndindex(*reached.shape):
        members = np.flatnonzero((by_engine["nested"] == mode) & (nested.run_of == run))
        densest = members[np.argsort(log_density[members])[-3:]]
        best = landscape.coordinates(nested.eta[[*members[-3:], *densest]])
        reached[mode, run] = any(landscape.height(x) > heights[mode] - typical for x in best) or (
            _unseen_share(nested, members, float(passes[mode, mode]), dims) < _MOST_UNSEEN
        )
    return reached


def _reached_by_draws(
    explorer: Explorer,
    nested: Nested | None,
    pools: list[_Pool],
    assigned: list[IntArray],
    n_modes: int,
) -> BoolArray:
    """Return which modes each nested run has climbed into by the posterior's own levels, (M, R).

    Where another engine has draws in a mode, their levels (log likelihood against the base measure)
    say where the mode's mass is, however far below its peak: a run that has a point above the
    median of them has passed half of the mass. Draws of an engine that stays below do not count
    against another's.
    """
    if nested is None:
        return np.zeros((n_modes, 0), dtype=bool)
    reached = np.zeros((n_modes, len(nested.runs)), dtype=bool)
    labels = dict(zip((pool.engine for pool in pools), assigned, strict=True))["nested"]
    others = [(p, a) for p, a in zip(pools, assigned, strict=True) if p.engine != "nested"]
    for mode in range(n_modes):
        medians = []
        for pool, modes in others:
            members = np.flatnonzero(modes == mode)
            if len(members) >= _ENOUGH:
                some = pool.x[members[np.linspace(0, len(members) - 1, _LEVELS).astype(int)]]
                medians.append(float(np.median(explorer.levels(some))))
        for run in range(len(nested.runs) if medians else 0):
            own = nested.logl[(labels == mode) & (nested.run_of == run)]
            reached[mode, run] = bool(own.size) and own[-1] > max(medians)
    return reached


def _unseen_share(nested: Nested, members: IntArray, top: float, dims: int) -> float:
    """Return the share of a mode's evidence in a run that may lie above its last point there.

    Below a peak of D dimensions the volume grows as the D/2-th power of the depth. Let the last
    point be at depth d, with as much volume above it as its shell has. Then this volume holds
    e^d d^(-D/2) gamma(D/2 + 1) P(D/2, d) times the evidence that it would hold if it had the last
    point's likelihood everywhere.
    """
    if not len(members):
        return np.inf
    weights = nested.weights[members]
    depth, half = float(top - nested.logl[members[-1]]), dims / 2
    gain = 0.0
    if depth > 0:
        inside = max(float(special.gammainc(half, depth)), 1e-300)
        gain = depth - half * np.log(depth) + special.gammaln(half + 1) + np.log(inside)
    above = weights[-1] * np.exp(min(gain, _HOPELESS))
    return float(above / (above + weights.sum())) if weights.sum() > 0 else np.inf


def _functions(
    posterior: Posterior,
    pools: list[_Pool],
    assigned: list[IntArray],
    kinds: IntArray,
    settings: ModeSettings,
    rng: np.random.Generator,
) -> IntArray:
    """Group modes whose mean predictions agree within their posterior spread.

    Modes of one kind are copies and compute the same function.
    """
    if not has_functions(posterior):
        return np.arange(len(kinds))
    picks = []
    for kind in range(kinds.max() + 1):
        pool, labels = max(
            zip(pools, assigned, strict=True),
            key=lambda pl: pl[0].weights[kinds[pl[1]] == kind].sum(),
        )
        members = np.flatnonzero(kinds[labels] == kind)
        chosen = _systematic(pool.weights[members], min(_OF_A_MODE, len(members)), rng)
        picks.append(pool.eta[members[chosen]])
    means, variances = _moments_of_functions(posterior, picks)
    group = _function_groups(means, variances, settings.function_distance)[kinds]
    highest = np.unique(group, return_index=True)[1]  # modes are ordered by height
    return np.unique(highest[group], return_inverse=True)[1].astype(np.intp)


def _moments_of_functions(
    posterior: Posterior, draws: list[FloatArray]
) -> tuple[FloatArray, FloatArray]:
    """Return mean and variance of the function over the draws of each mode, shape (K, n)."""
    moments = []
    begin = 0
    while begin < len(draws):  # many modes have few draws: their functions are computed together
        end, size = begin + 1, len(draws[begin])
        while end < len(draws) and size + len(draws[end]) <= _OF_A_MODE:
            size += len(draws[end])
            end += 1
        values = function_values(posterior, np.concatenate(draws[begin:end]))
        edges = np.cumsum([len(one) for one in draws[begin : end - 1]], dtype=np.intp)
        moments += [known_moments(part) for part in np.split(values, edges)]
        begin = end
    means, variances = zip(*moments, strict=True)
    return np.array(means), np.array(variances)


def _function_groups(means: FloatArray, variances: FloatArray, limit: float) -> IntArray:
    """Return the group of each function, shape (K,): those within a distance, through others too.

    The distance is the root mean square of the difference of means, in units of the spread. Two
    functions are infinitely far apart if the mean of only one, or of neither, is known.
    """
    known = np.isfinite(means)
    groups = np.arange(len(means))
    for one in range(len(means)):
        some = np.flatnonzero(known[one])
        others = one + 1 + np.flatnonzero(groups[one + 1 :] != groups[one])
        others = others[(known[others] == known[one]).all(axis=1)]
        each = max(1, _AT_ONCE // max(len(some), 1))
        for begin in range(0, len(others) if len(some) else 0, each):
            columns = others[begin : begin + each, None], some
            with np.errstate(over="ignore", invalid="ignore"):
                spread = variances[one, some] + variances[columns] + 1e-12
                terms = (means[one, some] - means[columns]) ** 2 / spread
                near = others[begin : begin + each][np.sqrt(terms.mean(axis=1)) <= limit]
            groups[np.isin(groups, groups[near])] = groups[one]
    return np.unique(groups, return_inverse=True)[1].astype(np.intp)
