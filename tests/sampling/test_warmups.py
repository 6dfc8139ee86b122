"""Shared warm-up: peaks, who is offered what, and draws of the same posterior."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conftest import Y_NORMAL, closed_form, needs_tools, two_peaks
from manymodes.density.posterior import Posterior
from manymodes.sampling.chains.cmdstan_nuts import run_chain
from manymodes.sampling.chains.nuts_settings import NutsSettings
from manymodes.sampling.chains.warmups import SHARE, Warmup, offered, peak_of
from seeds import seeded

SETTINGS = NutsSettings(warmup=1000, draws=400)


@pytest.fixture(scope="module")
def peaks(tools: Any) -> Posterior:
    """Two peaks of unit width at -5 and 5."""
    return two_peaks(10, 0.5).compile()


def learned(peak: float, variance: float = 1.0, step_size: float = 0.8) -> Warmup:
    return Warmup(np.array([peak, 0.0]), np.full(2, variance), step_size)


def test_a_climb_ends_on_the_peak(normal: Posterior, peaks: Posterior) -> None:
    mean = Y_NORMAL.sum() / (len(Y_NORMAL) + 1 / 4)
    assert peak_of(normal, np.array([-50.0])) == pytest.approx(mean, abs=1e-5)
    left = peak_of(peaks, np.array([-2.0, 9.0]))
    np.testing.assert_allclose(left, [-5 / 1.01, 0], atol=1e-4)
    assert np.linalg.norm(peaks.gradient(left)[1]) < 1e-3


@needs_tools
def test_a_climb_where_there_is_nothing_to_climb_stays() -> None:
    assert peak_of(closed_form(rejects=True), np.array([0.3])) == pytest.approx(0.3)


def test_a_chain_is_offered_what_was_learned_in_its_basin(peaks: Posterior) -> None:
    """The geometric mean of several, and only a share of the warm-up."""
    right = learned(4.95, 1.0, 0.9)
    lefts = [learned(-4.95, 1.0, 0.2), learned(-4.95, 4.0, 0.8)]
    start = np.array([-1.0, 0.5])
    found = offered(peaks, start, [right, *lefts], SETTINGS)
    assert found is not None
    np.testing.assert_allclose(found.inv_metric, 2)
    assert found.step_size == pytest.approx(0.4)
    assert found.warmup == SHARE * SETTINGS.warmup == 200
    other = offered(peaks, -start, [right, *lefts], SETTINGS)
    assert other is not None
    assert other.step_size == pytest.approx(0.9)


def test_a_chain_of_a_basin_that_no_pilot_found_is_offered_nothing(peaks: Posterior) -> None:
    assert offered(peaks, np.array([-1.0, 0.5]), [learned(4.95)], SETTINGS) is None
    assert offered(peaks, np.array([-1.0, 0.5]), [], SETTINGS) is None


@pytest.mark.parametrize(("warmup", "left"), [(1000, 200), (100, 50), (30, 30)])
def test_a_short_warmup_is_not_shortened_to_nothing(
    peaks: Posterior, warmup: int, left: int
) -> None:
    settings = NutsSettings(warmup=warmup, draws=4)
    found = offered(peaks, np.array([1.0, 0.0]), [learned(4.95)], settings)
    assert found is not None
    assert found.warmup == left


def test_draws_after_a_shared_warmup_are_of_the_same_posterior(
    peaks: Posterior, tmp_path: Path
) -> None:
    """Mean and variance of a peak within 4 errors, at a quarter of the draws as effective size.

    The prior of standard deviation 10 takes a hundredth off the peak's place and variance.
    """
    pilot = run_chain(peaks, SETTINGS, seeded(1), tmp_path, start=np.array([3.0, 1.0]))
    warmup = Warmup(peak_of(peaks, pilot.eta[-1]), pilot.inv_metric, pilot.step_size)
    chains = []
    for seed in range(2, 6):
        start = np.array([2.0 + seed, -1.5])
        adapted = offered(peaks, start, [warmup], SETTINGS)
        assert adapted is not None
        chain = run_chain(peaks, SETTINGS, seeded(seed), tmp_path, start=start, adapted=adapted)
        np.testing.assert_allclose(chain.inv_metric, pilot.inv_metric, rtol=1e-5)
        chains.append(chain.eta[:, 0])
    draws = np.concatenate(chains)
    n = len(draws) / 4
    assert abs(draws.mean() - 5 / 1.01) < 4 / np.sqrt(n)
    assert draws.var() == pytest.approx(1 / 1.01, rel=4 * np.sqrt(2 / n))
