"""Which basin a draw belongs to, for the draws of all engines, and which basins are one function.

A mode is a local maximum of the density with respect to the prior; a draw belongs to the mode
that it climbs to. Two maxima are one mode if a path between them falls less than a nat below
the lower one. Some draws climb; each other draw takes the mode of its nearest neighbour that
climbed. The share of climbed draws whose nearest neighbour disagrees is reported. Where a small
group leaves a network's density as it is, copies of climbed draws and of maxima count, too, as if
they had climbed and been found.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
from scipy import special
from scipy.sparse import csgraph

from manymodes.density.posterior import Posterior
from manymodes.errors import InputError
from manymodes.modes.landscape import Landscape
from manymodes.modes.orbits import Orbits
from manymodes.modes.peaks import Atlas
from manymodes.runtime.progress import Progress
from manymodes.runtime.seeds import check_seed
from manymodes.sampling.base_measures import NORMAL, BaseMeasure, proper_prior_measure
from manymodes.sampling.chains.chains import Chains
from manymodes.sampling.nested import Nested
from manymodes.sampling.tempered import Tempered
from manymodes.types import BoolArray, FloatArray, IntArray

_ENGINES = 3
_NEGLIGIBLE = 1e-9
_MOST_UNSEEN = 0.1  # largest share of a mode above a run's last point, if the run reached it
_HOPELESS = 300.0
_ENOUGH = 20  # draws of another engine that tell the levels of a mode
_LEVELS = 100  # of them, whose levels are computed
_STARTS_PER_CLIMB = 2  # with more chains than this many a climb, starting points are not climbed


@dataclass(frozen=True)
class ModeSettings:
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
    function_distance: float = 1.0


@dataclass(frozen=True)
class Modes:
    """The modes of one posterior, numbered from 0 here and ordered by their height.

    Attributes
    ----------
    peaks : array of shape (M, D)
        The maxima in the unconstrained space.
    heights : array of shape (M,)
        The log of posterior over prior there (nats).
    chains : int array of shape (C, S)
        The mode of each draw of the chains, -1 if a chain that was cut short has no such draw;
        empty without chains.
    starts : int array of shape (C,)
        The mode that each chain's starting point climbs to, -1 if that mode holds no draws; empty
        without chains, or with so many that not all were climbed.
    nested : int array of shape (n,)
        The mode of each merged point of the nested runs; empty without them.
    tempered : int array of shape (m,)
        The mode of each draw of the tempered runs; empty without them.
    reached_by_run : bool array of shape (M, R)
        Whether each nested run has a point above the median level of the draws that another engine
        has in the mode, came near enough to the peak to hold the mode's typical set, or left
        little of the mode's evidence above its last point; if it did none of these, its points
        say nothing about the mode's evidence.
    functions : int array of shape (M,)
        The function that each mode belongs to, numbered by its highest mode.
    disagreement : float
        Share of climbed draws whose nearest climbed neighbour lies in another mode, each
        counted with its posterior weight within its engine.
    climbs : int
        How many draws climbed.
    passes : array of shape (M, M)
        The level (log likelihood against the base measure, nats) of the highest pass known
        between two modes, a lower bound, because a better path may exist (-1e10 if none was
        searched); the diagonal has the levels of the peaks. Empty without nested runs.
    kinds, copies : int arrays of shape (M,)
        Modes that are copies of one another by a network's group have one kind, and there are so
        many of them, of which some may hold no draw and are not among the modes. They have the
        same evidence.
    climbed_kinds : int array of shape (2, n)
        Of the tempered draws that climbed, the kind of their own maximum and that of their nearest
        neighbour that climbed: what the labels of all other draws are worth.
    runaway : int array of shape (M, D)
        -1 or 1 if the climb to a peak went down or up an unconstrained coordinate to the end
        of the searched box, so that there is no maximum in it; 0 otherwise.

    Examples
    --------
    >>> # comparison: what chains and nested runs of the noisy-XOR posterior found
    >>> modes = comparison.modes
    >>> modes.peaks.shape == (modes.n_modes, 9), bool(modes.heights[0] == modes.heights.max())
    (True, True)
    """

    peaks: FloatArray
    heights: FloatArray
    chains: IntArray
    starts: IntArray
    nested: IntArray
    reached_by_run: BoolArray
    functions: IntArray
    disagreement: float
    climbs: int
    tempered: IntArray = field(default_factory=lambda: np.empty(0, dtype=np.intp))
    passes: FloatArray = field(default_factory=lambda: np.empty((0, 0)))
    runaway: IntArray = field(default_factory=lambda: np.empty((0, 0), dtype=np.intp))
    kinds: IntArray = field(default_factory=lambda: np.empty(0, dtype=np.intp))
    copies: IntArray = field(default_factory=lambda: np.empty(0, dtype=np.intp))
    climbed_kinds: IntArray = field(default_factory=lambda: np.empty((2, 0), dtype=np.intp))

    def __post_init__(self) -> None:
        """Without a group each mode is of its own kind."""
        if not len(self.kinds):
            object.__setattr__(self, "kinds", np.arange(self.n_modes))
            object.__setattr__(self, "copies", np.ones(self.n_modes, dtype=np.intp))

    @property
    def n_modes(self) -> int:
        """The number M of modes found."""
        return len(self.heights)

    @property
    def reached(self) -> BoolArray:
        """Whether any nested run reached each mode, shape (M,)."""
        return np.asarray(self.reached_by_run.any(axis=1))


def find_modes(
    posterior: Posterior,
    *,
    chains: Chains | None = None,
    nested: Nested | None = None,
    tempered: Tempered | None = None,
    settings: ModeSettings | None = None,
    seed: int = 1,
    quiet: bool = False,
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

    Returns
    -------
    Modes
        The maxima, and the mode that each draw belongs to.

    Raises
    ------
    InputError
        There are no draws.

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
    landscape = _landscape(posterior, chains, nested, tempered, seed)
    pools = _pools(landscape, chains, nested, tempered)
    progress = Progress(f"{posterior.name}: modes", quiet=quiet)
    rng = np.random.default_rng(seed)
    orbits = Orbits.of(landscape)
    atlas = Atlas(landscape, settings.barrier, orbits)
    each = settings.climbs if len(pools) < _ENGINES else settings.climbs // 2
    climbed = [pool.choose(each, rng) for pool in pools]
    total = sum(len(picks) for picks in climbed)
    done = 0
    ends: list[IntArray] = []
    for pool, picks in zip(pools, climbed, strict=True):
        labels = np.empty(len(picks), dtype=np.intp)
        for i, pick in enumerate(picks):
            labels[i] = atlas.locate(pool.eta[pick])
            done += 1
            progress.update(f"{done} of {total} draws climbed, {len(atlas)} maxima")
        ends.append(labels)
    progress.update("joining maxima by relaxed paths", now=True)
    joined = atlas.join()

    climbed_x = np.concatenate([pool.x[picks] for pool, picks in zip(pools, climbed, strict=True)])
    climbed_end = np.concatenate(ends)
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
    started = _starts(atlas, chains, joined.mode_of_peak, settings, progress)
    by_engine = dict(zip([pool.engine for pool in pools], assigned, strict=True))
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
        | _reached_by_draws(landscape, nested, pools, assigned, len(heights)),
        functions=functions,
        disagreement=disagreement,
        climbs=total,
        tempered=by_engine["tempered"] if tempered is not None else empty,
        passes=passes,
        runaway=landscape.runaway(joined.peaks),
        kinds=joined.kinds,
        copies=joined.copies,
        climbed_kinds=climbed_kinds,
    )


def _landscape(
    posterior: Posterior,
    chains: Chains | None,
    nested: Nested | None,
    tempered: Tempered | None,
    seed: int,
) -> Landscape:
    """Return the landscape to climb, in the scales of the prior or, if unknown, of the draws."""
    if chains is None and nested is None and tempered is None:
        raise InputError("modes: neither chains nor nested nor tempered runs were given")
    integral = nested or tempered
    if integral is not None and len(integral.base.components) == 1:
        return Landscape(posterior, integral.base)
    frame = proper_prior_measure(posterior, seed=seed)
    if frame is None:
        frame = _frame_of_draws(posterior, chains, integral)
    return Landscape(posterior, nested.base if nested is not None else frame, frame.components[0])


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

    def choose(self, size: int, rng: np.random.Generator) -> IntArray:
        """Choose draws to climb: half by weight, and half among those with little weight.

        The second half finds the small modes that the first would miss.
        """
        flat = np.where(self.weights > _NEGLIGIBLE * self.weights.max(), self.weights, 0.0) ** 0.5
        size = min(size, int((flat > 0).sum()))
        picks = np.concatenate(
            [_systematic(self.weights, size // 2, rng), _systematic(flat, size - size // 2, rng)]
        )
        return np.unique(picks)

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
    atlas: Atlas,
    chains: Chains | None,
    mode_of_peak: IntArray,
    settings: ModeSettings,
    progress: Progress,
) -> IntArray:
    """Return the mode that the starting point of each chain climbs to, -1 if none is known."""
    if chains is None or chains.n_chains > _STARTS_PER_CLIMB * settings.climbs:
        return np.empty(0, dtype=np.intp)
    known = np.isfinite(chains.starts).all(axis=1)  # not those of chains made elsewhere
    if not known.any():
        return np.empty(0, dtype=np.intp)
    modes = np.full(chains.n_chains, -1, dtype=np.intp)
    for chain in np.flatnonzero(known):
        start = chains.starts[chain]
        peak = atlas.recognise(start)
        if peak is not None:
            modes[chain] = mode_of_peak[peak]
        progress.update(f"{chain + 1} of {chains.n_chains} starting points climbed")
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
    landscape: Landscape,
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
                medians.append(float(np.median([landscape.level(x) for x in some])))
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
    if posterior.network is None and not posterior.has_log_lik:
        return np.arange(len(kinds))
    n_kinds = kinds.max() + 1
    means, variances = [], []
    for kind in range(n_kinds):
        pool, labels = max(
            zip(pools, assigned, strict=True),
            key=lambda pl: pl[0].weights[kinds[pl[1]] == kind].sum(),
        )
        members = np.flatnonzero(kinds[labels] == kind)
        picks = members[_systematic(pool.weights[members], min(200, len(members)), rng)]
        values = _function_values(posterior, pool.eta[picks])
        mean, variance = _known_moments(values)
        means.append(mean)
        variances.append(variance)
    alike = np.eye(n_kinds, dtype=bool)
    for a, b in combinations(range(n_kinds), 2):
        distance = _function_distance(means[a], means[b], variances[a] + variances[b])
        alike[a, b] = distance <= settings.function_distance
    group = csgraph.connected_components(alike, directed=False)[1][kinds]
    highest = np.unique(group, return_index=True)[1]  # modes are ordered by height
    return np.unique(highest[group], return_inverse=True)[1].astype(np.intp)


def _known_moments(values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return mean and variance over draws of each column, shape (S, n); NaN if none is finite.

    Draws without a finite value in a column do not count there: a log likelihood may be NaN.
    """
    known = np.isfinite(values)
    count = known.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        mean = np.where(known, values, 0.0).sum(axis=0) / count
        variance = (np.where(known, values - mean, 0.0) ** 2).sum(axis=0) / count
    return mean, variance


def _function_distance(mean: FloatArray, other: FloatArray, variance: FloatArray) -> float:
    """Return the distance of two functions in units of their spread.

    It is infinite if the mean of only one, or of neither, is known.
    """
    known = np.isfinite(mean)
    if not known.any() or (known != np.isfinite(other)).any():
        return np.inf
    with np.errstate(over="ignore", invalid="ignore"):
        terms = (mean - other)[known] ** 2 / (variance[known] + 1e-12)
    return float(np.sqrt(np.mean(terms)))


def _function_values(posterior: Posterior, eta: FloatArray) -> FloatArray:
    """Return each draw's function on the inputs of the data, shape (S, anything)."""
    if posterior.network is None:
        return posterior.log_lik(eta)
    rows = posterior.constrain_rows(eta)
    values = posterior.function_values(rows, np.asarray(posterior.data["X"]))
    return values.reshape(len(eta), -1)
