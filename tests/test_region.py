"""The prior mass of the pd-skew region against closed forms and plain counting."""

from __future__ import annotations

import math

import numpy as np
import pytest

from manymodes import region
from manymodes.errors import InputError
from manymodes.region import RegionMass, region_mass

CLOSED = {
    (2, "uniform"): 23 / 288,
    (2, "normal"): (2 - math.sqrt(2)) / 8,
    (3, "normal"): (math.pi - 2 * math.sqrt(2)) / (32 * math.pi),
}


def counted_mass(size: int, family: str, draws: int) -> tuple[float, float]:
    """Return the share of prior draws in the region, and its standard error."""
    rng = np.random.default_rng(size)
    shape = (draws, size, size)
    W = rng.uniform(-1, 1, shape) if family == "uniform" else rng.normal(size=shape)
    i, j = np.triu_indices(size, 1)
    W = W[np.all((W - W.transpose(0, 2, 1))[:, i, j] > 0, axis=1)]
    inside = np.sum(np.linalg.eigvalsh(W + W.transpose(0, 2, 1))[:, 0] > 0)
    return inside / draws, math.sqrt(inside) / draws


@pytest.mark.parametrize("family", region.FAMILIES)
def test_a_single_weight_is_positive_half_of_the_time(family: str) -> None:
    assert region_mass(1, family) == RegionMass(math.log(0.5), 0.0, True)


@pytest.mark.parametrize(("size", "family"), CLOSED)
def test_closed_forms_agree_with_the_monte_carlo_integral(
    size: int, family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    exact = region_mass(size, family)
    assert exact == RegionMass(math.log(CLOSED[size, family]), 0.0, True)
    monkeypatch.setattr(region, "_closed_form", lambda size, family: None)
    estimate = region_mass(size, family, seed=3)
    assert not estimate.exact
    assert 0 < estimate.standard_error < 0.002
    assert abs(estimate.log_mass - exact.log_mass) < 3 * estimate.standard_error


@pytest.mark.parametrize("family", region.FAMILIES)
@pytest.mark.parametrize("size", [2, 3])
def test_mass_is_the_share_of_prior_draws_in_the_region(size: int, family: str) -> None:
    share, error = counted_mass(size, family, 300_000)
    assert abs(math.exp(region_mass(size, family).log_mass) - share) < 3 * error


@pytest.mark.parametrize("family", region.FAMILIES)
def test_error_is_honest_and_small_at_size_eight(family: str) -> None:
    estimates = [region_mass(8, family, seed=seed) for seed in range(4)]
    errors = np.array([estimate.standard_error for estimate in estimates])
    masses = np.array([estimate.log_mass for estimate in estimates])
    assert np.all(errors < 0.01)
    assert np.all(np.abs(masses - masses.mean()) < 4 * errors)


def test_uniform_correlations_have_their_known_marginal_variance() -> None:
    r = region.correlations(4, 200_000, np.random.default_rng(1))
    assert r.shape == (200_000, 6)
    np.testing.assert_allclose(np.mean(r**2, axis=0), 1 / 5, rtol=0.02)


def test_volume_of_three_by_three_correlation_matrices() -> None:
    assert region.log_correlation_volume(3) == pytest.approx(math.log(math.pi**2 / 2))


def test_several_layers_share_one_estimate() -> None:
    assert RegionMass(-2.0, 0.01, False).power(3) == RegionMass(-6.0, 0.03, False)


@pytest.mark.parametrize(
    ("size", "family", "draws"), [(0, "normal", 10), (2, "laplace", 10), (2, "normal", 1)]
)
def test_bad_arguments_are_refused(size: int, family: str, draws: int) -> None:
    with pytest.raises(InputError):
        region_mass(size, family, draws=draws)
