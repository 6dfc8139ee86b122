"""The three weights of a mode, also where chains were cut short."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from conftest import made_chains
from manymodes.modes.mode_weights import chain_weights, mode_shares, occupancies
from manymodes.statistics.estimate import Estimate
from seeds import seeded

LABELS = np.array([[0, 0, 0, 0], [1, 1, -1, -1], [0, 0, 1, 1], [1, 1, 1, 1]])
LENGTHS = [4, 2, 4, 4]


def chains(lpd: Any) -> Any:
    return made_chains(None, np.zeros((4, 4, 1)), lengths=LENGTHS, lpd=lpd)


def modes() -> Any:
    return SimpleNamespace(chains=LABELS, n_modes=2)


def test_shares_are_of_the_draws_that_a_chain_has() -> None:
    np.testing.assert_array_equal(mode_shares(LABELS, 2), [[1, 0], [0, 1], [0.5, 0.5], [0, 1]])


def test_a_chain_that_was_cut_short_counts_by_its_draws() -> None:
    found = occupancies(chains(np.zeros((4, 3))), modes(), np.random.default_rng(seeded(1)))
    assert [one.value for one in found] == pytest.approx([6 / 14, 8 / 14])
    assert all(0.1 < one.sd < 0.35 for one in found)  # of four chains, each in one mode or two
    assert np.isnan(occupancies(None, modes(), np.random.default_rng(seeded(1)))[0].value)


def test_chains_are_weighed_in_every_way_that_is_known() -> None:
    rng = np.random.default_rng(seeded(2))
    lpd = rng.normal(-1, 0.5, size=(4, 30))
    lpd[:, 7] = -np.inf  # no chain gives it a density: it cannot tell them apart
    evidence = [Estimate(0.9, 0.01), Estimate(0.1, 0.01)]
    found = chain_weights(chains(lpd), modes(), evidence, np.random.default_rng(seeded(1)))
    assert [one.name for one in found.weighings] == [
        "stacking",
        "pseudo-BMA+",
        "uniform",
        "evidence",
    ]
    assert found.stacking is not None
    assert found.stacking.converged
    np.testing.assert_allclose(found.stacking.weights, found.weighings[0].weights)
    by_mode = found.stacking.weights @ mode_shares(LABELS, 2)
    assert [one.value for one in found.by_mode] == pytest.approx(by_mode.tolist())
    np.testing.assert_allclose(found.weighings[3].mode_weights, [0.9, 0.1], atol=1e-6)


def test_without_an_evidence_or_scores_less_is_known() -> None:
    unknown = [Estimate(), Estimate()]
    lpd = np.random.default_rng(seeded(2)).normal(-1, 0.5, size=(4, 30))
    found = chain_weights(chains(lpd), modes(), unknown, np.random.default_rng(seeded(1)))
    assert [one.name for one in found.weighings] == ["stacking", "pseudo-BMA+", "uniform"]
    for scores in (np.empty((4, 0)), lpd[:, :1], np.full((4, 5), -np.inf)):
        none = chain_weights(chains(scores), modes(), unknown, np.random.default_rng(seeded(1)))
        assert none.stacking is None
        assert none.weighings == ()
        assert np.isnan(none.by_mode[0].value)
