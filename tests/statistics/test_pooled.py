"""Scores of pooled chains: the harmonic mean, and stacking that no longer chooses by chance."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import logsumexp

from manymodes.errors import InputError
from manymodes.statistics.chain_weightings import weighings
from manymodes.statistics.loo import psis_loo
from manymodes.statistics.pooled import Groups, pooled_lpd
from manymodes.statistics.stacking import stack
from seeds import seeded

MEAN, SD, N_OBS, DRAWS = 0.4, 0.2, 40, 500


def observations(rng: np.random.Generator) -> np.ndarray:
    return np.asarray(rng.normal(size=N_OBS))


def log_lik(mean: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the log density of normal observations under draws of their mean, (..., N)."""
    return np.asarray(-0.5 * np.log(2 * np.pi) - 0.5 * (y - mean[..., None]) ** 2)


@given(st.integers(1, 6), st.integers(0, 10**6))
def test_raw_scores_of_parts_give_the_score_of_all_draws(parts: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 9, size=parts)
    values = rng.normal(size=(sizes.sum(), 5))
    by_part = np.stack(
        [
            np.log(size) - logsumexp(-part, axis=0)
            for size, part in zip(sizes, np.split(values, np.cumsum(sizes)[:-1]), strict=True)
        ],
        axis=1,
    )
    whole = np.log(len(values)) - logsumexp(-values, axis=0)
    found = pooled_lpd(by_part, np.zeros(parts, dtype=int), sizes)
    np.testing.assert_allclose(found[:, 0], whole, rtol=1e-12, atol=1e-12)


def test_pooling_single_chains_changes_nothing() -> None:
    lpd = np.random.default_rng(seeded(1)).normal(size=(7, 4)) * 300
    lpd[2, 1] = -np.inf
    np.testing.assert_array_equal(pooled_lpd(lpd, np.arange(4), np.ones(4)), lpd)


def test_pooled_scores_are_those_of_smoothed_pooled_draws() -> None:
    rng = np.random.default_rng(seeded(2))
    y = observations(rng)
    draws = rng.normal(MEAN, SD, size=(6, DRAWS))
    lpd = np.stack([psis_loo(log_lik(chain, y)).elpd_i for chain in draws], axis=1)
    pooled = pooled_lpd(lpd, np.zeros(6, dtype=int), np.ones(6))[:, 0]
    whole = psis_loo(log_lik(draws.ravel(), y)).elpd_i
    # Both have the Monte Carlo error of 3000 draws; the difference is that of two smoothings.
    assert np.abs(pooled - whole).max() < 0.1 * np.abs(lpd - whole[:, None]).max()


@pytest.mark.parametrize("seed", range(10))
def test_chains_of_one_distribution_share_their_weight(seed: int) -> None:
    rng = np.random.default_rng(seeded(seed))
    y = observations(rng)
    good, bad = rng.normal(MEAN, SD, size=(8, DRAWS)), rng.normal(MEAN + 3, SD, size=(8, DRAWS))
    lpd = np.stack([psis_loo(log_lik(chain, y)).elpd_i for chain in (*good, *bad)], axis=1)
    groups = Groups(np.repeat([0, 1], 8), np.full(16, float(DRAWS)))
    shares = np.eye(16)
    by_name = {
        one.name: one for one in weighings(lpd, groups=groups, shares=shares, n_boot=20, rng=rng)
    }
    pooled, alone = by_name["stacking"].weights, by_name["chain stacking"].weights
    assert np.ptp(pooled[:8]) < 1e-12
    assert pooled[:8].sum() > 0.9
    np.testing.assert_allclose(alone, stack(lpd).weights, atol=1e-9)
    # On their own, stacking chooses among equal chains.
    assert alone[:8].max() > 2 / 8


@pytest.mark.parametrize("chains", [1, 2, 6])
def test_resampled_scores_scatter_as_other_draws_would(chains: int) -> None:
    rng = np.random.default_rng(seeded(5))
    y = observations(rng)
    truth = []
    for _ in range(200):
        draws = rng.normal(MEAN, SD, size=(chains, DRAWS))
        truth.append(psis_loo(log_lik(draws.ravel(), y)).elpd)
    draws = rng.normal(MEAN, SD, size=(chains, DRAWS))
    lpd = np.stack([psis_loo(log_lik(chain, y)).elpd_i for chain in draws], axis=1)
    parts = log_lik(draws, y).reshape(chains, 10, DRAWS // 10, N_OBS)
    batches = np.log(DRAWS // 10) - logsumexp(-parts, axis=2)
    groups = Groups(np.zeros(chains, dtype=int), np.full(chains, float(DRAWS)), batches)
    found = [groups.rescored(lpd, rng).sum() for _ in range(200)]
    # Of ten parts or six chains the standard deviation has an error of a quarter.
    assert np.std(truth) / 2.5 < np.std(found) < 2.5 * np.std(truth)


def test_what_does_not_fit_is_said() -> None:
    with pytest.raises(InputError, match=r"\(N, K\), \(K,\) and \(K,\)"):
        pooled_lpd(np.zeros((3, 2)), [0], [1])
    with pytest.raises(InputError, match="group 1 has no weight"):
        pooled_lpd(np.zeros((3, 2)), [0, 1], [1, 0])


def test_shares_of_a_group_scatter_as_chains_do() -> None:
    groups = Groups(np.zeros(8, dtype=int), np.ones(8))
    shares = np.repeat(np.eye(2), 4, axis=0)
    rng = np.random.default_rng(seeded(9))
    found = np.stack([groups.reshared(shares, rng)[0] for _ in range(500)])
    np.testing.assert_allclose(found.sum(axis=1), 1)
    assert found[:, 0].mean() == pytest.approx(0.5, abs=0.03)
    assert found[:, 0].std() == pytest.approx(np.sqrt(0.25 / 8), rel=0.15)
