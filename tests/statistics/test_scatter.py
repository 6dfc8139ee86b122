"""The error of a mean of a few runs: right on average whatever the runs hide."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from manymodes.statistics.scatter import error_of_mean, inflation
from seeds import seeded

EXPERIMENTS = 4000


def z_scores(runs: int, excess: float, seed: int) -> np.ndarray:
    """Return z of means of runs that scatter so many times their own errors (of 1, each)."""
    rng = np.random.default_rng(seeded(seed))
    by_run = excess * rng.normal(size=(EXPERIMENTS, runs))
    squares = by_run.var(axis=1, ddof=1) * (runs - 1)
    errors = inflation(squares, runs - 1) / np.sqrt(runs)
    return np.asarray(by_run.mean(axis=1) / errors)


@pytest.mark.parametrize("runs", [4, 6, 8])
@pytest.mark.parametrize("excess", [1.0, 1.4, 2.0, 4.0, 10.0])
def test_z_has_a_standard_deviation_of_about_one(runs: int, excess: float) -> None:
    """With four runs a scatter-only error would give Student's t with three degrees of freedom."""
    z = z_scores(runs, excess, 1)
    assert 0.75 < z.std() < 1.3
    assert (np.abs(z) > 3).mean() < 0.04


def test_two_runs_stay_within_a_factor() -> None:
    """Two runs cannot know their scatter; they are neither twice too sure nor twice too shy."""
    for excess in (1.0, 2.0, 3.0):
        assert 0.6 < z_scores(2, excess, 2).std() < 1.8


@given(
    st.lists(st.floats(-100, 100), min_size=1, max_size=12),
    st.floats(1e-3, 10),
    st.floats(0.1, 10),
)
def test_an_error_is_never_below_what_runs_say_and_has_its_unit(
    by_run: list[float], own: float, unit: float
) -> None:
    error = error_of_mean(own, by_run)
    assert error >= own * (1 - 1e-9)
    values = np.array(by_run)
    assert error_of_mean(unit * own, unit * values) == pytest.approx(unit * error, rel=1e-6)
    if len(values) > 1:
        assert error >= 0.999 * values.std(ddof=1) / np.sqrt(len(values))


def test_more_scatter_is_never_less_error() -> None:
    for freedom in (1, 2, 3, 7, 45):
        errors = inflation(np.linspace(0, 500 * freedom, 400), freedom)
        assert (np.diff(errors) > -1e-12).all()
        assert errors[0] < 1.5
        assert errors[-1] == pytest.approx(np.sqrt(500), rel=0.01)


def test_without_a_second_run_or_an_own_error_there_is_nothing_to_pool() -> None:
    assert error_of_mean(0.3, [1.0]) == 0.3
    assert error_of_mean(0.3, [1.0, np.nan]) == 0.3
    assert error_of_mean(0.0, [1.0, 1.0]) == 0.0
    assert error_of_mean(0.0, [1.0, 3.0]) == pytest.approx(1.0)
