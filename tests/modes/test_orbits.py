"""Copies of draws and maxima by the group of a network, in climbing coordinates."""

from __future__ import annotations

import re

import numpy as np
import pytest

from conftest import needs_tools, seeded
from manymodes.density.network_moves import exact_moves
from manymodes.density.posterior import Posterior
from manymodes.modes.comparison import compare
from manymodes.modes.explorer import Explorer
from manymodes.modes.find import ModeSettings
from manymodes.modes.landscape import Landscape
from manymodes.modes.mode_weights import _corrections
from manymodes.modes.orbits import Orbits
from manymodes.modes.peaks import Atlas
from manymodes.networks.network import Network
from manymodes.report.sections import modes_section
from manymodes.report.terminal import comparison_table
from manymodes.sampling.base_measures import prior_measure
from manymodes.sampling.tempered import run_tempered

pytestmark = needs_tools


def network(units: int, activation: str = "tanh", prior: str = "normal:2") -> Posterior:
    rng = np.random.default_rng(3)
    X = rng.normal(size=(40, 2))
    y = (X[:, 0] * X[:, 1] > 0).astype(float)
    made = Network(2, (units,), activation=activation, prior=prior)
    return Posterior.from_network(made, X, y).compile()


def orbits_of(posterior: Posterior) -> tuple[Orbits, Landscape]:
    landscape = Landscape(posterior, prior_measure(posterior))
    return Orbits.of(landscape), landscape


@pytest.mark.parametrize(
    ("units", "activation", "prior", "size"),
    [
        (2, "tanh", "normal:2", 8),
        (2, "tanh", "uniform:5", 8),
        (3, "tanh", "normal:2", 48),
        (3, "sigmoid", "uniform:5", 6),
        (4, "tanh", "normal:2", 384),
        (5, "tanh", "normal:2", 1),
    ],
)
def test_the_group_and_its_table(units: int, activation: str, prior: str, size: int) -> None:
    orbits, landscape = orbits_of(network(units, activation, prior))
    assert len(orbits) == size
    rng = np.random.default_rng(seeded(1))
    x = landscape.coordinates(rng.normal(size=landscape.posterior.dims))
    images = orbits.images(x)
    for a, b in rng.integers(size, size=(20, 2)).tolist():
        both = orbits.images(images[b])[a]
        np.testing.assert_allclose(images[orbits.product[a, b]], both, atol=1e-12)
        np.testing.assert_allclose(orbits.undo(a, images[a]), x, atol=1e-12)
        assert orbits.product[a, orbits.inverse[a]] == 0


@pytest.mark.parametrize("most", [0, 20_000])
@pytest.mark.parametrize("units", [2, 3, 4])
def test_the_nearest_copy_is_that_of_a_search_through_all(
    units: int, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("manymodes.modes.orbits._MOST_IMAGES", most)
    orbits, landscape = orbits_of(network(units))
    rng = np.random.default_rng(seeded(2))
    known = landscape.coordinates(rng.normal(size=(30, orbits.dims)))
    points = landscape.coordinates(rng.normal(size=(200, orbits.dims)))
    which, move = orbits.nearest(points, known)
    images = np.array([orbits.images(one) for one in known])  # (m, G, D)
    found = np.linalg.norm(images[which, move] - points, axis=1)
    least = np.array([np.linalg.norm(images - one, axis=2).min() for one in points])
    assert (found >= least - 1e-9).all()
    if most:
        np.testing.assert_allclose(found, least)
    else:  # points without any cluster in many dimensions: the worst case
        assert np.mean(found < least + 1e-9) > 0.7
    # A copy is recognised, wherever the walls are.
    moves = exact_moves(landscape.posterior)
    assert moves is not None
    chosen = rng.integers(len(moves), size=30)
    copies = np.array([orbits.images(x)[g] for x, g in zip(known, chosen, strict=True)])
    which, move = orbits.nearest(copies + 1e-6 * rng.normal(size=copies.shape), known)
    assert which.tolist() == [*range(30)]
    assert move.tolist() == chosen.tolist()
    which, _ = orbits.nearest(known, known, others=True)
    assert (which != np.arange(30)).all()


def test_one_climb_finds_all_copies() -> None:
    posterior = network(3)
    orbits, landscape = orbits_of(posterior)
    eta = np.random.default_rng(seeded(4)).normal(size=13)
    moves = exact_moves(posterior)
    assert moves is not None
    chosen = range(0, len(moves), 7)
    with Explorer(landscape) as explorer:
        atlas = Atlas(explorer, 1.0, orbits)
        ends = explorer.climbs(np.array([moves.apply(move, eta) for move in chosen]))
        numbers = [atlas.place(*end) for end in zip(*ends, strict=True)]
        assert numbers == [*chosen]
        assert len(atlas) == 1
        joined = atlas.join()
    assert len(set(joined.kinds.tolist())) == 1
    np.testing.assert_allclose(joined.heights, joined.heights[0])


@pytest.mark.slow
def test_copies_have_equal_shares_of_tempered_draws() -> None:
    """Few climbs, and yet all copies; each has its part of what all of them have."""
    posterior = network(3)
    tempered = run_tempered(posterior, runs=2, rounds=10, seed=seeded(5), quiet=True)
    found = compare(posterior, tempered=tempered, settings=ModeSettings(climbs=40), quiet=True)
    modes = found.modes
    counts = np.bincount(modes.tempered, minlength=modes.n_modes)
    assert (counts > 0).all()
    heaviest = np.bincount(modes.kinds, weights=counts).argmax()
    own = modes.kinds == heaviest
    assert (modes.copies[own] == 48).all()
    assert own.sum() == 48
    # Draws of one tour are not independent: twice the variance of counts, and four such errors.
    expected = counts[own].mean()
    assert np.abs(counts[own] - expected).max() < 4 * np.sqrt(2 * expected) + 3
    shares = {found.summaries[label - 1].evidence for label in found.labels[own].tolist()}
    assert len(shares) == 1
    share = shares.pop()
    by_neighbours = counts[own].sum() / counts.sum()
    assert abs(48 * share.value - by_neighbours) < 4 * 48 * share.sd
    known = np.nansum([mode.evidence.value for mode in found.summaries])
    assert known + found.unassigned == pytest.approx(1)
    empty, held = found.empty_copies
    present = [int((modes.kinds == kind).sum()) for kind in range(modes.kinds.max() + 1)]
    first = [int(modes.copies[modes.kinds == kind][0]) for kind in range(modes.kinds.max() + 1)]
    assert empty == sum(first) - sum(present)
    assert 0 <= held <= found.unassigned + 1e-12

    table = comparison_table("net", found)
    assert re.search(r"\b48 (or 24 )?copies", table)  # 24 of a mode that a flip leaves alone
    rows = [line for line in table.splitlines() if re.match(r"  \d+ +\d+ +-?\d", line)]
    assert len(rows) <= 80  # functions, and one line for a mode and its copies: 40 of each
    section = modes_section({"net": found})
    assert section is not None
    page = section.parts[0]
    assert len(page.rows) == min(100, len(found.prominent) + len(found.unweighed))


def test_disagreeing_neighbours_correct_shares() -> None:
    """Of 200 draws that climbed, 40 are in kind 0 and have neighbours in kind 1."""
    climbed = np.array([[0] * 100 + [1] * 100, [0] * 60 + [1] * 140])
    found, sd, resampled = _corrections(climbed, 2, np.random.default_rng(seeded(1)))
    np.testing.assert_allclose(found, [0.2, -0.2])
    np.testing.assert_allclose(sd, np.sqrt(0.2 * 0.8 / 199))
    np.testing.assert_allclose(resampled.mean(axis=1), found, atol=0.02)
    np.testing.assert_allclose(resampled.sum(axis=0), 0, atol=1e-12)
    none = _corrections(np.empty((2, 0), dtype=int), 2, np.random.default_rng(seeded(1)))
    assert not any(one.any() for one in none)
