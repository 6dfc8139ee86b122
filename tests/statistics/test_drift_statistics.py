"""Tests of drift hold their level, with groups too, and see what moves."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from manymodes.statistics.drift import mean_change, rank_p, swapped_p
from seeds import seeded


def chains(rng: np.random.Generator, groups: int, each: int) -> tuple[np.ndarray, ...]:
    """Return starts of groups that share half of their variance, ends that forget half of it."""
    group = np.repeat(np.arange(groups), each)
    start = (rng.normal(size=groups)[group] + rng.normal(size=groups * each)) / np.sqrt(2)
    end = 0.5 * start + np.sqrt(0.75) * rng.normal(size=start.shape)
    return start, end, group


def share_below(p: list[float], level: float = 0.05) -> float:
    return float(np.mean(np.array(p) < level))


def test_the_mean_of_one_chain_a_group_is_tested_by_student() -> None:
    changes = np.random.default_rng(seeded(1)).normal(0.3, 1, 25)
    mean, p = mean_change(changes, np.arange(25))
    expected = stats.ttest_1samp(changes, 0)
    assert p == pytest.approx(expected.pvalue)
    assert mean.value / mean.sd == pytest.approx(expected.statistic)


def test_levels_hold_though_chains_of_a_group_are_alike() -> None:
    rng = np.random.default_rng(seeded(2))
    by_mean, by_rank, ungrouped = [], [], []
    for trial in range(300):
        start, end, group = chains(rng, 16, 8)
        by_mean.append(mean_change(end - start, group)[1])
        by_rank.append(rank_p(start, end, group, trial))
        ungrouped.append(mean_change(end - start, np.arange(len(start)))[1])
    # Three binomial errors of a level of 5 % in 300 trials are 3.8 %.
    assert 0.012 < share_below(by_mean) < 0.088
    assert 0.012 < share_below(by_rank) < 0.088
    assert share_below(ungrouped) > 0.088  # or groups would not matter


def test_a_shift_is_seen() -> None:
    rng = np.random.default_rng(seeded(3))
    start, end, group = chains(rng, 32, 2)
    assert mean_change(end + 1 - start, group)[1] < 1e-4
    assert rank_p(start, end + 1, group, 1) < 1e-3
    assert rank_p(start, np.exp(end + 1), group, 1) < 1e-3


def test_the_largest_of_many_changes_holds_its_level() -> None:
    rng = np.random.default_rng(seeded(4))
    found, with_one = [], []
    for trial in range(200):
        common = rng.normal(size=(40, 1))
        changes = 0.8 * common + 0.6 * rng.normal(size=(40, 50))
        found.append(swapped_p(changes, np.arange(40), trial))
        changes[:, 7] += 1.0
        with_one.append(swapped_p(changes, np.arange(40), trial))
    assert 0.004 < share_below(found) < 0.097
    assert share_below(with_one) > 0.9


def test_equal_values_share_their_rank_and_what_stays_has_not_moved() -> None:
    start = np.array([0.0, 0.0, 1.0, 1.0])
    assert rank_p(start, start, np.arange(4), 1) == 1
    mean, p = mean_change(np.zeros(4), np.arange(4))
    assert (mean.value, mean.sd, p) == (0, 0, 1)
    assert mean_change(np.ones(4), np.arange(4))[1] == 0
    assert np.isnan(mean_change(np.ones(4), np.zeros(4, dtype=int))[1])
