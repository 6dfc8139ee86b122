"""Volumes of nested sampling runs, on simulated runs whose evidence is known."""

from __future__ import annotations

import numpy as np
import pytest
from anesthetic import NestedSamples
from numpy.typing import NDArray
from scipy import integrate, special, stats

from manymodes.statistics import nested_volumes
from manymodes.statistics.diagnostics import insertion_p
from seeds import seeded

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]

DIMS, WIDTH = 4, 0.1

APART = np.full((2, 2), -np.inf)
"""Passes of two regions that are never connected."""


def log_likelihood(volume: Floats, width: float = WIDTH) -> Floats:
    """Return that of a Gaussian of DIMS dimensions by the volume within its contour."""
    return np.asarray(-(volume ** (2 / DIMS)) / (2 * width**2))


def exact_log_z() -> float:
    """Return its integral, by quadrature in log volume."""
    value, _ = integrate.quad(
        lambda t: np.exp(log_likelihood(np.exp(t)) + t), -60, 0, epsabs=0, limit=400
    )
    return float(np.log(value))


def perfect_run(nlive: int, rng: np.random.Generator, nprior: int = 0) -> tuple[Floats, Floats]:
    """Run nested sampling with fair draws; it begins with nprior draws, if more than nlive."""
    volume = np.sort(rng.random(max(nprior, nlive)))[::-1].tolist()
    birth = [-np.inf] * len(volume)
    logl_dead, birth_dead = [], []
    worst = 0
    live = list(zip(volume, birth, strict=True))
    while live[0][0] > 1e-10 or len(live) > nlive:
        live.sort(reverse=True)
        top, born = live.pop(0)
        logl_dead.append(float(log_likelihood(np.array(top))))
        birth_dead.append(born)
        if len(live) < nlive:
            live.append((top * rng.random(), logl_dead[-1]))
        worst += 1
    for top, born in sorted(live, reverse=True):
        logl_dead.append(float(log_likelihood(np.array(top))))
        birth_dead.append(born)
    return np.array(logl_dead), np.array(birth_dead)


def merge(*runs: tuple[Floats, Floats]) -> tuple[Floats, Floats]:
    logl = np.concatenate([run[0] for run in runs])
    order = np.argsort(logl, kind="stable")
    return logl[order], np.concatenate([run[1] for run in runs])[order]


# ---------------------------------------------------------------- live counts


@pytest.mark.parametrize("nprior", [0, 60])
def test_live_counts_by_counting(nprior: int) -> None:
    rng = np.random.default_rng(seeded(1))
    logl, birth = merge(perfect_run(15, rng, nprior), perfect_run(8, rng))
    by_hand = [
        sum(b < death <= later for later, b in zip(logl, birth, strict=True)) for death in logl
    ]
    np.testing.assert_array_equal(nested_volumes.live_counts(logl, birth), by_hand)


def test_live_counts_of_a_plain_run() -> None:
    logl = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    birth = np.array([-np.inf, -np.inf, 1.0, -np.inf, 2.0])
    assert nested_volumes.live_counts(logl, birth).tolist() == [3, 3, 3, 2, 1]


# ---------------------------------------------------------------- evidence


@pytest.mark.parametrize(("nprior", "merged"), [(0, 1), (300, 1), (0, 3)])
def test_evidence_of_perfect_runs(nprior: int, merged: int) -> None:
    """Each within 4 errors of the truth; the standardised misses of 60 runs spread as they say.

    The spread of 60 standard normal draws is in 0.7 to 1.4 with more than 4 sigma. The expected
    weights sum to the mean of the sampled evidences.
    """
    truth = exact_log_z()
    z, off = [], []
    for seed in range(60):
        rng = np.random.default_rng([seeded(seed), nprior, merged])
        logl, birth = merge(*(perfect_run(30 // merged, rng, nprior) for _ in range(merged)))
        log_z = special.logsumexp(nested_volumes.random_log_weights(logl, birth, rng, 150), axis=0)
        z.append((log_z.mean() - truth) / log_z.std(ddof=1))
        ratio = np.exp(log_z - special.logsumexp(nested_volumes.expected_log_weights(logl, birth)))
        off.append((ratio.mean() - 1) / (ratio.std(ddof=1) / np.sqrt(150)))
    assert np.abs(z).max() < 4
    assert abs(np.mean(z)) < 3.5 / np.sqrt(60)
    assert 0.7 < np.std(z) < 1.4
    assert abs(np.mean(off)) < 4 / np.sqrt(60)


def test_agreement_with_anesthetic() -> None:
    rng = np.random.default_rng(seeded(3))
    logl, birth = perfect_run(50, rng, 200)
    theirs = NestedSamples(data=np.zeros((len(logl), 1)), logL=logl, logL_birth=birth)
    ours = nested_volumes.expected_log_weights(logl, birth)
    sampled = special.logsumexp(nested_volumes.random_log_weights(logl, birth, rng, 2000), axis=0)
    np.random.seed(4)  # noqa: NPY002 - anesthetic draws from the global generator
    their_draws = np.asarray(theirs.logZ(2000))
    error = np.hypot(sampled.std(), their_draws.std()) / np.sqrt(2000)
    assert abs(sampled.mean() - their_draws.mean()) < 4 * error
    assert sampled.std() == pytest.approx(their_draws.std(), rel=4 / np.sqrt(2000))
    np.testing.assert_array_equal(nested_volumes.live_counts(logl, birth), theirs.nlive)
    # anesthetic takes the expected log volume and a trapezium; we the expected volume.
    assert special.logsumexp(ours) == pytest.approx(float(theirs.logZ()), abs=0.05)


# ---------------------------------------------------------------- regions


def drifting_run(nlive: int, share: float, rng: np.random.Generator) -> tuple[Floats, Floats, Ints]:
    """Run over two modes in shares of the volume, where a new point stays in its parent's mode.

    That is the mode of a random survivor; there the point is a fair draw. So the numbers of live
    points in the modes drift like a random walk. Points are kept as the fraction of their
    mode's volume within their contour, which for these modes depends on the likelihood alone.
    """
    live = [(rng.random(), int(rng.random() > share), np.inf) for _ in range(nlive)]
    dead = []
    while not dead or dead[-1][0] > 1e-4:
        worst = max(live)
        live.remove(worst)
        dead.append(worst)
        parent = live[rng.integers(len(live))][1]
        live.append((worst[0] * rng.random(), parent, worst[0]))
    dead += sorted(live, reverse=True)
    fraction, mode, birth = map(np.array, zip(*dead, strict=True))
    return log_likelihood(fraction, 0.3), log_likelihood(birth, 0.3), mode


def test_regions_stay_calibrated_when_live_points_drift() -> None:
    """Global shares miss by much more than their error; region weights miss by their error.

    60 runs; the spread of so many standard normal draws is in 0.7 to 1.4 with over 4 sigma.
    """
    share, z_global, z_region = 0.4, [], []
    for seed in range(60):
        rng = np.random.default_rng([seeded(7), seed])
        logl, birth, mode = drifting_run(100, share, rng)
        draws = nested_volumes.random_log_weights(logl, birth, rng, 150)
        log_z = np.array([special.logsumexp(draws[mode == m], axis=0) for m in (0, 1)])
        log_odds = log_z[0] - log_z[1]
        truth = np.log(share / (1 - share))
        z_global.append((log_odds.mean() - truth) / log_odds.std(ddof=1))
        found = nested_volumes.region_weights(logl, birth, mode, APART, rng, 150)
        log_odds = found.log_z_draws[0] - found.log_z_draws[1]
        z_region.append((log_odds.mean() - truth) / log_odds.std(ddof=1))
        assert special.logsumexp(found.log_weights) == pytest.approx(
            special.logsumexp(found.log_z), rel=1e-9
        )
    assert np.std(z_global) > 1.6
    assert 0.7 < np.std(z_region) < 1.4
    assert abs(np.mean(z_region)) < 3.5 / np.sqrt(60)


def test_one_region_is_the_whole_run() -> None:
    rng = np.random.default_rng(seeded(5))
    logl, birth = perfect_run(40, rng)
    whole = nested_volumes.region_weights(
        logl, birth, np.zeros(len(logl), dtype=np.intp), np.array([[np.inf]]), rng, 100
    )
    np.testing.assert_allclose(whole.log_weights, nested_volumes.expected_log_weights(logl, birth))
    assert whole.log_z[0] == pytest.approx(special.logsumexp(whole.log_weights))


def test_connected_regions_share_their_volume() -> None:
    """Below their pass two regions are one run, whatever the labels; above it they are two."""
    rng = np.random.default_rng(seeded(6))
    logl, birth = perfect_run(60, rng)
    labels = rng.integers(2, size=len(logl))
    never_apart = np.full((2, 2), np.inf)
    joined = nested_volumes.region_weights(logl, birth, labels, never_apart, rng, 100)
    np.testing.assert_allclose(joined.log_weights, nested_volumes.expected_log_weights(logl, birth))
    level = float(np.median(logl))
    parting = nested_volumes.region_weights(logl, birth, labels, np.full((2, 2), level), rng, 100)
    same = parting.log_weights == joined.log_weights
    assert same[logl < level].all()
    assert not same[logl > level].any()
    assert (parting.log_z_draws.std(axis=1) > 0).all()


def partings(passes: Floats) -> dict[float, set[frozenset[int]]]:
    """Return the parts right above each contour at which connected regions part."""
    clusters = nested_volumes._clusters(passes)
    levels = {one.end for one in clusters if one.children}
    parts: dict[float, set[frozenset[int]]] = {}
    for level in levels:
        parts[level] = set()
        todo = [clusters[-1]]
        while todo:
            one = todo.pop()
            if one.children and one.end <= level:
                todo += [clusters[child] for child in one.children]
            else:
                parts[level].add(frozenset(one.regions))
    return parts


def connected_above(passes: Floats, level: float) -> set[frozenset[int]]:
    """Return the parts whose regions passes higher than a level connect, by growing them."""
    rest, found = set(range(len(passes))), set()
    while rest:
        part = {min(rest)}
        while grown := {b for a in part for b in rest if a != b and passes[a, b] > level} - part:
            part |= grown
        rest -= part
        found.add(frozenset(part))
    return found


def test_regions_part_at_the_lowest_pass_of_the_best_tree() -> None:
    passes = np.array([[np.inf, 5.0, 1.0], [5.0, np.inf, 2.0], [1.0, 2.0, np.inf]])
    whole = nested_volumes._clusters(passes)[-1]
    assert whole.end == pytest.approx(2.0)
    assert partings(passes)[2.0] == {frozenset({0, 1}), frozenset({2})}
    (alone,) = nested_volumes._clusters(passes[:1, :1])
    assert (alone.regions, alone.end, alone.children) == ((0,), np.inf, ())


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("regions", [2, 5, 30])
def test_partings_are_those_of_the_passes(regions: int, ties: bool) -> None:
    """With tied passes too, and with some that never close or are not known to be there."""
    for seed in range(20):
        rng = np.random.default_rng([regions, ties, seeded(seed)])
        passes = rng.normal(size=(regions, regions))
        if ties:
            passes = np.round(passes)
            passes[passes == 2] = np.inf
            passes[passes == -2] = -np.inf
        passes = np.maximum(passes, passes.T)
        for level, parts in partings(passes).items():
            assert parts == connected_above(passes, level)


def test_a_pass_is_open_well_below_its_top() -> None:
    passes = np.array([[10.0, 4.0], [4.0, 8.0]])
    for dims in (2, 5, 9):
        margin = 4.0 - nested_volumes.open_passes(passes, dims)[0, 1]
        assert (margin / (margin + 4.0)) ** ((dims - 1) / 2) == pytest.approx(0.1)
    np.testing.assert_allclose(nested_volumes.open_passes(passes, 5).diagonal(), passes.diagonal())
    np.testing.assert_allclose(nested_volumes.open_passes(passes, 1), passes)


# ---------------------------------------------------------------- insertion ranks


def test_insertion_ranks_by_hand() -> None:
    logl = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    birth = np.array([-np.inf, -np.inf, 1.0, -np.inf, 2.0])
    ranks, counts = nested_volumes.insertion_ranks(logl, birth)
    assert ranks.tolist() == [1, 2]  # 3 among (2, 4): second; 5 among (3, 4): third
    assert counts.tolist() == [3, 3]


def test_insertion_ranks_of_perfect_runs_are_uniform() -> None:
    """Pooled over runs; and the runs' p-values, which are conservative, do not cry wolf."""
    pooled, p = [], []
    for seed in range(40):
        run = perfect_run(40, np.random.default_rng([seeded(9), seed]))
        ranks, counts = nested_volumes.insertion_ranks(*run)
        assert (counts == 40).all()
        pooled.append(ranks)
        p.append(insertion_p(ranks, counts))
    frequencies = np.bincount(np.concatenate(pooled), minlength=40)
    assert stats.chisquare(frequencies).pvalue > 1e-3
    assert np.mean(np.array(p) < 0.1) <= 0.1 + 3 * np.sqrt(0.09 / 40)


def test_insertion_ranks_show_a_biased_sampler() -> None:
    """New points that avoid the outer tenth of their contour are too deep."""

    class Biased:
        def __init__(self, seed: int) -> None:
            self._rng = np.random.default_rng(seeded(seed))

        def random(self, size: int | None = None) -> object:
            return self._rng.random(size) if size else 0.9 * self._rng.random()

    logl, birth = perfect_run(100, Biased(1))  # type: ignore[arg-type]
    assert insertion_p(*nested_volumes.insertion_ranks(logl, birth)) < 1e-4


def steps(volume: Floats, levels: float) -> Floats:
    """Return a likelihood of plateaus, each ``levels`` of an e-fold of the volume deep."""
    return np.asarray(np.floor(-np.log(volume) * levels))


def run_over_steps(
    nlive: int, nprior: int, levels: float, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """Leave each plateau as a whole; new points are drawn above it until there are ``nlive``."""
    logl, birth = steps(rng.random(nprior), levels), np.full(nprior, -np.inf)
    dead: list[tuple[float, float]] = []
    while len(dead) < 20 * nprior:
        contour = logl.min()
        dying = logl == contour
        dead += zip(logl[dying].tolist(), birth[dying].tolist(), strict=True)
        logl, birth = logl[~dying], birth[~dying]
        size = max(0, nlive - len(logl))
        new = steps(rng.random(size) * np.exp(-(contour + 1) / levels), levels)
        logl, birth = np.append(logl, new), np.append(birth, np.full(size, contour))
    dead += sorted(zip(logl.tolist(), birth.tolist(), strict=True))
    found = np.array(dead)
    return found[:, 0], found[:, 1]


@pytest.mark.parametrize("levels", [0.7, 3.0, 15.0])
@pytest.mark.parametrize("nprior", [30, 90])
def test_insertion_ranks_among_ties_are_uniform(levels: float, nprior: int) -> None:
    """Each birth once, on plateaus that hold all, many or few of the live points."""
    places, p = [], []
    for seed in range(60):
        rng = np.random.default_rng([seeded(21), nprior, int(levels), seed])
        logl, birth = run_over_steps(30, nprior, levels, rng)
        ranks, counts = nested_volumes.insertion_ranks(logl, birth, seed=seed)
        assert len(ranks) == np.isfinite(birth).sum()
        assert (ranks < counts).all()
        assert counts.max() <= 30
        places.append((ranks + rng.random(len(ranks))) / counts)
        p.append(insertion_p(ranks, counts))
    assert stats.kstest(np.concatenate(places), "uniform").pvalue > 1e-3
    assert np.mean(np.array(p) < 0.1) <= 0.1 + 3 * np.sqrt(0.09 / 60)


def test_order_of_ties_does_not_matter_without_ties() -> None:
    run = perfect_run(25, np.random.default_rng(seeded(3)), 60)
    first, second = (nested_volumes.insertion_ranks(*run, seed=seed) for seed in (1, 2))
    np.testing.assert_array_equal(first, second)


def test_points_on_their_own_contour_do_not_count() -> None:
    logl = np.array([0.0, 0.0, 0.0, 1.0, 2.0])
    birth = np.array([-np.inf, -np.inf, 0.0, 0.0, 0.0])
    assert nested_volumes.inside_own_contour(logl, birth).tolist() == [
        True,
        True,
        False,
        True,
        True,
    ]
    ranks, counts = nested_volumes.insertion_ranks(logl, birth)
    assert sorted(counts.tolist()) == [1, 2]
    assert len(ranks) == 2


# ---------------------------------------------------------------- plateaus


@pytest.mark.parametrize(("share", "nprior"), [(0.02, 500), (0.3, 50), (0.3, 200), (0.9, 50)])
def test_evidence_of_a_step(share: float, nprior: int) -> None:
    """A likelihood of 10 on a share of the volume and 1 elsewhere, two runs merged.

    Each miss in units of the mean error: of few points outside, the own error of a run is small
    just where the run is far off.

    60 repetitions; the spread of so many standard normal draws is in 0.7 to 1.4 with over 4 sigma.
    """
    truth = np.log(10 * share + 1 - share)
    misses, errors = [], []
    for seed in range(60):
        rng = np.random.default_rng([seeded(31), nprior, seed])
        runs = []
        for _ in range(2):
            inside = int((rng.random(nprior) < share).sum())
            more = max(0, 50 - inside)
            logl = np.repeat([0.0, np.log(10.0)], [nprior - inside, inside + more])
            birth = np.repeat([-np.inf, 0.0], [nprior, more])
            runs.append((logl, birth))
        logl, birth = merge(*runs)
        log_z = special.logsumexp(nested_volumes.random_log_weights(logl, birth, rng, 150), axis=0)
        misses.append(log_z.mean() - truth)
        errors.append(log_z.std(ddof=1))
    z = np.divide(misses, errors)
    assert np.abs(misses).max() < 4.5 * np.sqrt(np.mean(np.square(errors)))
    assert 0.7 < np.std(z) < 1.4
    assert abs(np.mean(z)) < 0.6  # the mean volume of n points errs by 1 / n: 0.3 errors here


def test_a_flat_likelihood_has_no_error() -> None:
    """All points tied: the shells fill the whole volume, in any draw of the volumes."""
    rng = np.random.default_rng(seeded(8))
    logl, birth = np.full(30, -2.5), np.full(30, -np.inf)
    assert special.logsumexp(nested_volumes.expected_log_weights(logl, birth)) == pytest.approx(
        -2.5
    )
    drawn = special.logsumexp(nested_volumes.random_log_weights(logl, birth, rng, 50), axis=0)
    np.testing.assert_allclose(drawn, -2.5)
    halves = rng.integers(2, size=30)
    found = nested_volumes.region_weights(logl, birth, halves, np.full((2, 2), np.inf), rng, 50)
    np.testing.assert_allclose(special.logsumexp(found.log_z), -2.5)
    np.testing.assert_allclose(special.logsumexp(found.log_z_draws, axis=0), -2.5)
    np.testing.assert_array_equal(nested_volumes.insertion_ranks(logl, birth), np.empty((2, 0)))


def test_live_counts_fall_by_one_on_a_plateau() -> None:
    """As anesthetic counts them, also in a merged run."""
    rng = np.random.default_rng(seeded(12))
    logl, birth = merge(*(run_over_steps(10, 25, 2.0, rng) for _ in range(2)))
    theirs = NestedSamples(data=np.zeros((len(logl), 1)), logL=logl, logL_birth=birth)
    np.testing.assert_array_equal(nested_volumes.live_counts(logl, birth), theirs.nlive)
