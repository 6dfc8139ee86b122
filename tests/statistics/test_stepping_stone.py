"""Ratios of normalising constants along a ladder of temperatures, and the errors of runs.

Four standard errors throughout, with seeds from `seeded`.
"""

from __future__ import annotations

import numpy as np
import pytest

from manymodes.statistics.stepping_stone import pooled_sd, share_by_tours, stepping_stone
from manymodes.types import FloatArray
from seeds import seeded

BETAS = np.array([0.0, 0.1, 0.3, 0.6, 1.0])


def ladder(rng: np.random.Generator, scans: int, dims: int = 4) -> tuple[FloatArray, float]:
    """Return energies on a ladder from N(0, I) to N(0, I / 4) times 3, and the log ratio.

    V = log p - log q = log 3 - 1.5 |x|^2, and the density at beta is normal with precision
    1 + 3 beta.
    """
    precision = 1 + 3 * BETAS
    x = rng.normal(size=(scans, len(BETAS), dims)) / np.sqrt(precision)[:, None]
    energies = np.log(3) - 1.5 * (x**2).sum(axis=2)
    return energies, float(np.log(3) - 0.5 * dims * np.log(4))


def test_all_three_estimates_are_right_within_their_errors() -> None:
    found = [stepping_stone(*made) for made in _many(200, 400)]
    truth = ladder(np.random.default_rng(0), 1)[1]
    for name in ("log_ratio", "forward", "backward"):
        values = np.array([getattr(one, name) for one in found])
        assert abs(values.mean() - truth) < 4 * values.std() / np.sqrt(len(values)) + 0.01
    scores = np.array([(one.log_ratio - truth) / one.sd for one in found])
    assert 0.8 < scores.std() < 1.2


def _many(runs: int, scans: int) -> list[tuple[FloatArray, FloatArray]]:
    rng = np.random.default_rng(seeded(1))
    return [(ladder(rng, scans)[0], BETAS) for _ in range(runs)]


def test_the_error_counts_autocorrelation() -> None:
    """Each scan repeated eight times says no more than one of them."""
    energies, _ = ladder(np.random.default_rng(seeded(2)), 500)
    once = stepping_stone(energies, BETAS)
    often = stepping_stone(np.repeat(energies, 8, axis=0), BETAS)
    assert often.log_ratio == pytest.approx(once.log_ratio, abs=1e-6)
    assert often.sd == pytest.approx(once.sd, rel=0.25)


def test_draws_of_the_base_measure_may_have_no_density() -> None:
    """Half of the base measure is outside: the ratio falls by log 2."""
    energies, truth = ladder(np.random.default_rng(seeded(3)), 4000)
    energies[::2, 0] = -np.inf
    found = stepping_stone(energies, BETAS)
    assert abs(found.log_ratio - (truth - np.log(2))) < 4 * found.sd
    assert np.isfinite([found.forward, found.backward]).all()


@pytest.mark.parametrize("size", [1e8, 1e30, 1e300])
def test_astronomical_energies_of_the_base_measure_do_no_harm(size: float) -> None:
    energies, _ = ladder(np.random.default_rng(seeded(4)), 2000)
    plain = stepping_stone(energies, BETAS)
    energies[:20, 0] = -size
    found = stepping_stone(energies, BETAS)
    assert found.log_ratio == pytest.approx(plain.log_ratio, abs=0.1)


def test_a_constant_ratio_is_exact() -> None:
    found = stepping_stone(np.full((64, 5), 7.5), BETAS)
    assert found.log_ratio == pytest.approx(7.5, abs=1e-6)
    assert found.sd == 0


# ---------------------------------------------------------------- errors of runs


@pytest.mark.parametrize("runs", [2, 3, 4, 8])
def test_scores_have_a_unit_deviation_where_runs_state_their_error(runs: int) -> None:
    rng = np.random.default_rng(seeded(5))
    scores = []
    for _ in range(4000):
        values = rng.normal(size=runs)
        stated = np.sqrt(rng.chisquare(12, size=runs) / 12)
        scores.append(values.mean() / pooled_sd(stated, values, 12.0))
    assert 0.9 < np.std(scores) < 1.1


def test_scatter_alone_counts_where_runs_state_too_small_an_error() -> None:
    rng = np.random.default_rng(seeded(6))
    scores = [
        values.mean() / pooled_sd(np.full(4, 0.05), values, 12.0)
        for values in rng.normal(size=(4000, 4))
    ]
    assert np.mean(np.abs(scores) > 3) < 0.03
    assert pooled_sd(np.array([0.2]), np.array([1.0]), 12.0) == 0.2
    assert np.isnan(pooled_sd(np.array([np.nan]), np.array([1.0]), 12.0))


def test_a_share_counts_tours_not_draws() -> None:
    rng = np.random.default_rng(seeded(7))
    scores, naive = [], []
    for _ in range(600):
        lengths = rng.integers(1, 40, size=60)
        inside = rng.random(60) < 0.3
        member = np.repeat(inside, lengths).astype(float)
        share, sd = share_by_tours(member, np.repeat(np.arange(60), lengths))
        scores.append((share - 0.3) / sd)
        naive.append((share - 0.3) / np.sqrt(share * (1 - share) / len(member)))
    assert 0.85 < np.std(scores) < 1.2
    assert np.std(naive) > 2
    assert np.isnan(share_by_tours(np.ones(5), np.zeros(5))[1])
