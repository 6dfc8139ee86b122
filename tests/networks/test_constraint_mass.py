"""The prior mass of the pd-skew region against closed forms and plain counting."""

from __future__ import annotations

import math

import numpy as np
import pytest

from manymodes.errors import InputError
from manymodes.networks import constraint_mass
from manymodes.networks.constraint_mass import RegionMass, region_mass
from manymodes.networks.prior import FAMILIES as FAMILIES_OF_A_WEIGHT
from manymodes.networks.prior import Prior
from seeds import seeded

FAMILIES = [("normal", math.inf), ("uniform", math.inf), ("laplace", math.inf), ("student", 5.0)]

CLOSED = {
    (2, "uniform"): 23 / 288,
    (2, "normal"): (2 - math.sqrt(2)) / 8,
    (3, "normal"): (math.pi - 2 * math.sqrt(2)) / (32 * math.pi),
}


def counted_mass(size: int, family: str, nu: float, draws: int) -> tuple[float, float]:
    """Return the share of prior draws in the region, and its standard error."""
    rng = np.random.default_rng(seeded(size))
    W = Prior(family, 1.0, nu).sample((draws, size, size), rng)
    i, j = np.triu_indices(size, 1)
    W = W[np.all((W - W.transpose(0, 2, 1))[:, i, j] > 0, axis=1)]
    inside = np.sum(np.linalg.eigvalsh(W + W.transpose(0, 2, 1))[:, 0] > 0)
    return inside / draws, math.sqrt(inside) / draws


@pytest.mark.parametrize("family", FAMILIES_OF_A_WEIGHT)
def test_a_single_weight_is_positive_half_of_the_time(family: str) -> None:
    assert region_mass(1, family) == RegionMass(math.log(0.5), 0.0, True)


@pytest.mark.parametrize(("size", "family"), CLOSED)
def test_closed_forms_agree_with_the_monte_carlo_integral(
    size: int, family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    exact = region_mass(size, family)
    assert exact == RegionMass(math.log(CLOSED[size, family]), 0.0, True)
    monkeypatch.setattr(constraint_mass, "_closed_form", lambda size, family: None)
    estimate = region_mass(size, family, seed=seeded(3))
    assert not estimate.exact
    assert 0 < estimate.standard_error < 0.002
    assert abs(estimate.log_mass - exact.log_mass) < 3 * estimate.standard_error


@pytest.mark.parametrize(("family", "nu"), FAMILIES)
@pytest.mark.parametrize("size", [2, 3, 4])
def test_mass_is_the_share_of_prior_draws_in_the_region(size: int, family: str, nu: float) -> None:
    share, error = counted_mass(size, family, nu, 300_000)
    mass = region_mass(size, family, nu)
    assert mass.standard_error < 0.03
    exact = math.exp(mass.log_mass)  # 12 cases of 4 errors: one seed in 1300 fails by chance
    assert abs(exact - share) < 4 * math.hypot(error, exact * mass.standard_error)


@pytest.mark.slow
@pytest.mark.parametrize(("family", "nu"), FAMILIES)
def test_error_is_honest_and_small(family: str, nu: float) -> None:
    """At the largest width that the docstring recommends."""
    size = 5 if family in ("laplace", "student") else 8
    estimates = [region_mass(size, family, nu, seed=seeded(seed)) for seed in range(4)]
    errors = np.array([estimate.standard_error for estimate in estimates])
    masses = np.array([estimate.log_mass for estimate in estimates])
    assert np.all(errors < 0.05)
    assert np.all(np.abs(masses - masses.mean()) < 4 * errors)


def test_uniform_correlations_have_their_known_marginal_variance() -> None:
    r = constraint_mass.correlations(4, 200_000, np.random.default_rng(seeded(1)))
    assert r.shape == (200_000, 6)
    np.testing.assert_allclose(np.mean(r**2, axis=0), 1 / 5, rtol=0.02)


def test_volume_of_three_by_three_correlation_matrices() -> None:
    assert constraint_mass.log_correlation_volume(3) == pytest.approx(math.log(math.pi**2 / 2))


def test_several_layers_share_one_estimate() -> None:
    assert RegionMass(-2.0, 0.01, False).power(3) == RegionMass(-6.0, 0.03, False)


@pytest.mark.parametrize(
    ("size", "family", "draws"),
    [(0, "normal", 10), (2, "cauchy", 10), (2, "normal", 1), (4, "student", 10)],
)
def test_bad_arguments_are_refused(size: int, family: str, draws: int) -> None:
    with pytest.raises(InputError):
        region_mass(size, family, 1.5, draws=draws)
