"""Modes, their evidence, and the functions they compute."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from conftest import QUICK_NUTS, needs_tools, two_peaks
from manymodes.density.network_moves import Moves
from manymodes.density.posterior import Posterior
from manymodes.errors import InputError
from manymodes.modes import find
from manymodes.modes.comparison import Comparison, compare
from manymodes.modes.explorer import Explorer
from manymodes.modes.find import ModeSettings, find_modes
from manymodes.modes.landscape import LOWEST, Landscape
from manymodes.modes.orbits import Orbits
from manymodes.modes.peaks import MAX_PAIRWISE, Atlas
from manymodes.networks import symmetry
from manymodes.sampling.base_measures import prior_measure
from manymodes.sampling.chains.chains import Chains, run_chains
from manymodes.sampling.nested import Nested, run_nested
from manymodes.sampling.nested.settings import PolyChordSettings
from manymodes.studies.cauchy import cauchy_data, cauchy_posterior
from seeds import seeded

FEW = ModeSettings(climbs=100)


@pytest.fixture(scope="module")
def executor() -> Iterator[Executor]:
    with ThreadPoolExecutor(2) as pool:
        yield pool


def integrate(posterior: Posterior, nlive: int = 200) -> Nested:
    return run_nested(
        posterior, runs=2, polychord=PolyChordSettings(nlive=nlive), seed=seeded(1), quiet=True
    )


def sample(posterior: Posterior, executor: Executor, chains: int = 8) -> Chains:
    return run_chains(
        posterior, chains=chains, nuts=QUICK_NUTS, seed=seeded(1), executor=executor, quiet=True
    )


# ---------------------------------------------------------------- functions


def test_functions_are_joined_through_what_lies_between() -> None:
    """Modes 0, 2 and 3 predict 0, 1.2 and 0.6: the first two are too far apart by themselves."""
    rng = np.random.default_rng(1)
    centres = np.array([0.0, 5.0, 1.2, 0.6, 5.3])
    labels = np.repeat(np.arange(5), 400)
    draws = (centres[labels] + 0.5 * rng.normal(size=len(labels)))[:, None]
    pool = find._Pool("chains", draws, draws, np.full(len(draws), 1 / len(draws)))
    posterior: Any = SimpleNamespace(network=None, has_log_lik=True, log_lik=lambda eta: eta)
    found = find._functions(posterior, [pool], [labels], np.arange(5), ModeSettings(), rng)
    assert found.tolist() == [0, 1, 0, 0, 1]
    near = ModeSettings(function_distance=0.1)
    assert find._functions(posterior, [pool], [labels], np.arange(5), near, rng).tolist() == [
        *range(5)
    ]


# ---------------------------------------------------------------- what a run reached


def test_a_run_reached_a_mode_where_half_of_the_draws_lie_below_its_points() -> None:
    """Draws of chains lie 40 nats below the peak, as under an informative prior."""
    rng = np.random.default_rng(seeded(1))
    draws = rng.normal(-40.0, 2.0, size=(200, 1))
    tops = [-45.0, -38.0, -60.0]
    logl = np.sort(np.concatenate([np.linspace(-90, top, 30) for top in tops]))
    run_of = np.concatenate(
        [[run] * 30 for run in range(3)],
    )[np.argsort(np.concatenate([np.linspace(-90, top, 30) for top in tops]), kind="stable")]
    nested: Any = SimpleNamespace(logl=logl, run_of=run_of, runs=range(3))
    terrain: Any = SimpleNamespace(levels=lambda x: x[:, 0])
    pools = [
        find._Pool("chains", draws, draws, np.full(200, 1 / 200)),
        find._Pool("nested", logl[:, None], logl[:, None], np.full(90, 1 / 90)),
    ]
    assigned = [np.zeros(200, dtype=np.intp), np.zeros(90, dtype=np.intp)]
    found = find._reached_by_draws(terrain, nested, pools, assigned, 2)
    assert found.tolist() == [[False, True, False], [False, False, False]]
    few = [assigned[0] - 1, assigned[1]]  # chains have no draw in the mode
    assert not find._reached_by_draws(terrain, nested, pools, few, 2).any()
    assert find._reached_by_draws(terrain, None, pools, assigned, 2).shape == (2, 0)


# ---------------------------------------------------------------- two peaks


@needs_tools
def test_two_peaks_and_their_shares(executor: Executor) -> None:
    """Far apart, the shares of the evidence are those of the mixture: within 3 sigma."""
    posterior = two_peaks(12.0, 2 / 3)
    nested = integrate(posterior)
    found = compare(
        posterior,
        chains=sample(posterior, executor),
        nested=nested,
        settings=FEW,
        seed=seeded(1),
        quiet=True,
    )
    assert found.modes.n_modes == 2
    assert found.modes.reached.all()
    high, low = found.summaries
    assert found.modes.peaks[0, 0] == pytest.approx(6, abs=0.1)
    assert found.modes.peaks[1, 0] == pytest.approx(-6, abs=0.1)
    for mode, truth in ((high, 2 / 3), (low, 1 / 3)):
        assert 0 < mode.evidence.sd < 0.15
        assert abs(mode.evidence.value - truth) < 3 * mode.evidence.sd
        whole = nested.log_z + np.log(truth)
        assert abs(mode.log_z.value - whole) < 3 * np.hypot(mode.log_z.sd, nested.log_z_sd)
    assert found.modes.disagreement == 0


@needs_tools
def test_every_draw_is_in_the_basin_that_it_lies_in(executor: Executor) -> None:
    posterior = two_peaks(12.0, 0.5)
    chains, nested = sample(posterior, executor), integrate(posterior, 50)
    modes = find_modes(
        posterior, chains=chains, nested=nested, settings=FEW, seed=seeded(1), quiet=True
    )
    right = int(modes.peaks[1, 0] > 0)
    assert modes.chains.shape == chains.eta.shape[:2]
    np.testing.assert_array_equal(modes.chains == right, chains.eta[..., 0] > 0)
    heavy = nested.weights > 1e-4 * nested.weights.max()  # lighter ones may lie on the border
    np.testing.assert_array_equal(modes.nested[heavy] == right, nested.eta[heavy, 0] > 0)


@needs_tools
@pytest.mark.parametrize(("distance", "expected"), [(3.0, 1), (5.0, 2)])
def test_a_barrier_below_a_nat_makes_one_mode(distance: float, expected: int) -> None:
    """Equal peaks 3 apart dip by 0.45 nats between them; 5 apart by 2.4 nats."""
    posterior = two_peaks(distance, 0.5)
    base = prior_measure(posterior)
    with Explorer(Landscape(posterior, base)) as explorer:
        ends, _ = explorer.climbs(np.array([[s * distance / 2, 0.0] for s in (-1, 1)]))
        barrier = explorer.straight_falls([(ends[0], ends[1])])[0]
    middle, top = (posterior.log_density([x, 0.0]) for x in (0.0, distance / 2))
    prior = [posterior.prior.log_density([x, 0.0]) for x in (0.0, distance / 2)]
    assert barrier == pytest.approx(top - prior[1] - middle + prior[0], abs=0.05)
    assert (barrier < 1) == (expected == 1)
    nested = integrate(posterior, 50)
    modes = find_modes(posterior, nested=nested, settings=FEW, seed=seeded(1), quiet=True)
    assert modes.n_modes == expected


def test_a_relaxed_path_goes_round_what_a_straight_one_crosses(xor_comparison: Comparison) -> None:
    """It is never worse than the straight line, on the peaks of a network."""
    modes = xor_comparison.modes
    landscape = Landscape(xor_comparison.posterior, xor_comparison.nested.base)  # type: ignore[union-attr]
    a, b = landscape.coordinates(modes.peaks[0]), landscape.coordinates(modes.peaks[1])
    with Explorer(landscape) as explorer:
        straight = explorer.straight_falls([(a, b)])[0]
        ((relaxed, path),) = explorer.relaxed_paths([(a, b, 1.0)])
    assert 1 < relaxed <= straight + 1e-9
    np.testing.assert_allclose(path[[0, -1]], [a, b], rtol=1e-12)
    lowest = min(landscape.height(x) for x in path[1:-1])
    assert relaxed == pytest.approx(min(map(landscape.height, (a, b))) - lowest, abs=1e-8)


def test_the_height_is_the_log_likelihood(xor: dict[str, Posterior]) -> None:
    posterior = xor["full"]
    landscape = Landscape(posterior, prior_measure(posterior))
    eta = np.random.default_rng(1).normal(size=9)
    x = landscape.coordinates(eta)
    np.testing.assert_allclose(landscape.unconstrained(x), eta, rtol=1e-10)
    value = posterior.log_lik(eta).sum()
    assert landscape.height(x) == pytest.approx(value, rel=1e-10)
    with Explorer(landscape) as explorer:
        assert explorer.levels(x[None])[0] == pytest.approx(value, rel=1e-10)  # an exact base


# ---------------------------------------------------------------- networks


def exchanged(posterior: Posterior, peaks: np.ndarray) -> np.ndarray:
    """Return the copies of peaks with the two hidden units exchanged, shape (M, 9)."""
    assert posterior.network is not None
    copies = symmetry.act(posterior.network, posterior.constrain(peaks), [(1, 0)], [(1, 1)])
    rows = np.concatenate(
        [
            np.swapaxes(copies[name], 1, -1).reshape(len(peaks), -1)  # W_raw comes first
            for name in ("W", "b", "V", "c")
        ],
        axis=1,
    )
    return np.asarray(posterior.unconstrain_rows(rows))


def test_copies_of_a_network_are_one_function_of_equal_evidence(
    xor_comparison: Comparison,
) -> None:
    """Exchanging hidden units is an exact symmetry of the prior and of the likelihood.

    Where the few live points kept a prominent mode and its copy, the two are one function, of
    the same height, and their log evidences differ by less than 4 standard errors.
    """
    found, modes = xor_comparison, xor_comparison.modes
    landscape = Landscape(found.posterior, found.nested.base)  # type: ignore[union-attr]
    copies = landscape.coordinates(exchanged(found.posterior, modes.peaks))
    distances = np.abs(landscape.coordinates(modes.peaks) - copies[:, None]).max(axis=2)
    summary = {mode.id: mode for mode in found.summaries}
    pairs = 0
    for k, partner in enumerate(distances.argmin(axis=1)):
        mode, other = (summary[int(found.labels[i])] for i in (k, partner))
        if distances[k, partner] > 0.01 or not {mode, other} <= set(found.prominent):
            continue
        assert partner != k
        assert modes.heights[partner] == pytest.approx(modes.heights[k], abs=0.01)
        assert other.function == mode.function
        error = np.hypot(mode.log_z.sd, other.log_z.sd)
        assert abs(mode.log_z.value - other.log_z.value) < 4 * error
        pairs += partner > k
    assert pairs >= 2
    assert found.prominent_functions < len(found.prominent)


def test_modes_are_repeatable_and_ordered(xor_chains: Chains, xor_nested: Nested) -> None:
    first, again = (
        find_modes(
            xor_chains.posterior,
            chains=xor_chains,
            nested=xor_nested,
            settings=ModeSettings(climbs=60),
            quiet=True,
        )
        for _ in range(2)
    )
    np.testing.assert_array_equal(first.peaks, again.peaks)
    np.testing.assert_array_equal(first.nested, again.nested)
    assert (np.diff(first.heights) <= 0).all()
    assert first.functions[0] == 0
    assert 0 <= first.disagreement < 0.5


class Pits:
    """A landscape of many equal maxima on a line, each pair parted by a deep pit."""

    def __init__(self) -> None:
        self.relaxed = 0

    at_once = 4

    def straight_falls(self, pairs: list[Any], enough: float = np.inf) -> np.ndarray:
        return np.array([0.0 if (a == b).all() else 5.0 for a, b in pairs])

    def relaxed_paths(self, tasks: list[Any]) -> list[tuple[float, np.ndarray]]:
        self.relaxed += len(tasks)
        return [(4.0, np.array([a, b])) for a, b, _ in tasks]

    def levels(self, x: np.ndarray) -> np.ndarray:
        return np.where(x[:, 0] == np.round(x[:, 0]), 0.0, -5.0)

    def pass_level(self, path: np.ndarray) -> float:
        return -5.0


@pytest.mark.parametrize("maxima", [MAX_PAIRWISE, 400])
def test_the_work_does_not_grow_with_the_square_of_the_maxima(maxima: int) -> None:
    pits = Pits()
    atlas = Atlas(pits, 1.0, Orbits.none(1))  # type: ignore[arg-type]
    places = np.random.default_rng(1).permutation(maxima).astype(float)
    labels = [atlas.place(np.array([place]), 0.0) for place in (*places, *places)]
    assert labels == [*range(maxima), *range(maxima)]
    joined = atlas.join()
    assert len(joined.heights) == maxima
    neighbours = atlas.passes(joined)[np.triu_indices(maxima, 1)] > LOWEST
    if maxima == MAX_PAIRWISE:
        assert neighbours.all()
        assert pits.relaxed >= maxima * (maxima - 1) / 2
    else:
        assert neighbours.sum() <= 10 * maxima
        assert pits.relaxed == 200
    assert (np.diag(atlas.passes(joined, between=False)) == 0).all()


class Profile:
    """A landscape over one coordinate, linear between points of given heights."""

    def __init__(self, places: list[float], heights: list[float]) -> None:
        self._places, self._heights = places, heights

    def height(self, x: np.ndarray) -> float:
        return float(np.interp(x[0], self._places, self._heights))

    at_once = 3

    def levels(self, x: np.ndarray) -> np.ndarray:
        return np.interp(x[:, 0], self._places, self._heights)

    def straight_falls(self, pairs: list[Any], enough: float = np.inf) -> np.ndarray:
        return np.array([self.fall(a, b) for a, b in pairs])

    def fall(self, a: np.ndarray, b: np.ndarray) -> float:
        lowest = min(self.height((1 - t) * a + t * b) for t in np.linspace(0, 1, 201))
        return max(min(self.height(a), self.height(b)) - lowest, 0.0)

    def relaxed_paths(self, tasks: list[Any]) -> list[tuple[float, np.ndarray]]:
        return [(self.fall(a, b), np.linspace(a, b, 9)) for a, b, _ in tasks]

    def pass_level(self, path: np.ndarray) -> float:
        return min(self.height(x) for x in path)


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (2, 1, 0), (0, 2, 1)])
def test_a_small_maximum_between_two_modes_does_not_join_them(order: tuple[int, ...]) -> None:
    """The pass is 3.5 nats below the peaks, and half a nat below a maximum that lies on it."""
    profile = Profile([-3, -2, -1, 0, 1, 2, 3], [-9, 0, -3.6, -3, -3.5, 0, -9])
    atlas = Atlas(profile, 1.0, Orbits.none(1))  # type: ignore[arg-type]
    places = [np.array([-2.0]), np.array([0.0]), np.array([2.0])]
    known = {i: atlas._add(places[i], profile.height(places[i])) for i in order}
    joined = atlas.join()
    modes = [int(joined.mode_of_peak[known[i]]) for i in range(3)]
    assert modes[0] != modes[2]
    assert modes[1] == modes[2]  # over the higher of its two passes
    np.testing.assert_array_equal(joined.heights, [0, 0])


def test_maxima_in_a_row_of_low_passes_are_one_mode() -> None:
    """Each pass is 0.6 nats below the higher neighbour, though the ends differ by more."""
    profile = Profile([0, 1, 2, 3, 4, 5, 6], [0, -0.6, -0.1, -0.7, -0.2, -0.8, -0.3])
    atlas = Atlas(profile, 1.0, Orbits.none(1))  # type: ignore[arg-type]
    for place in (0.0, 2.0, 4.0, 6.0):
        atlas._add(np.array([place]), profile.height(np.array([place])))
    assert atlas.join().mode_of_peak.tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize("start", [-10.2, -9.753, -9.0])
def test_a_climb_does_not_jump_over_a_barrier(tools: Any, start: float) -> None:
    """From beside the left mode of the Cauchy example, where steps of a prior's width go right."""
    posterior = cauchy_posterior(cauchy_data()).compile()
    landscape = Landscape(posterior, prior_measure(posterior))
    with Explorer(landscape) as explorer:
        (peak,), _ = explorer.climbs(np.array([[start]]))
    assert landscape.unconstrained(peak)[0] == pytest.approx(-9.73, abs=0.02)


def test_no_draws_are_refused(normal: Posterior) -> None:
    with pytest.raises(InputError, match="neither chains nor nested nor tempered"):
        find_modes(normal, quiet=True)


def test_a_symmetric_maximum_does_not_join_copies() -> None:
    """A low maximum on the pass between two copies of the peak is a copy of itself."""
    flip = Orbits(Moves(np.zeros((2, 1), dtype=int), np.array([[1.0], [-1.0]])), np.zeros(1))
    profile = Profile([-3, -2, -1, 0, 1, 2, 3], [-9, 0, -3.5, -3, -3.5, 0, -9])
    atlas = Atlas(profile, 1.0, flip)  # type: ignore[arg-type]
    high = atlas._add(np.array([2.0]), 0.0)
    low = atlas._add(np.array([0.0]), -3.0)
    joined = atlas.join()
    assert joined.mode_of_peak[high] != joined.mode_of_peak[high + 1]
    assert joined.mode_of_peak[low] == joined.mode_of_peak[low + 1]
    assert joined.copies.tolist() == [2, 2, 1]
    assert joined.kinds[0] == joined.kinds[1] != joined.kinds[2]
