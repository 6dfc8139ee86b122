"""PolyStan's convention, and what a unit vector adds to the integral of a density."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special, stats

import bridge_support
from bridge_support import load
from conftest import Y_UNIT_CUBE, closed_form, needs_tools, two_peaks, unit_cube
from manymodes.density.normalisation import remarks
from manymodes.density.parameter_space import log_unit_vector_surplus, off_unit_cube, on_unit_cube
from manymodes.density.posterior import Posterior
from manymodes.density.program import Program
from manymodes.density.stan_tokens import read_source
from manymodes.sampling.nested import run_nested
from manymodes.sampling.nested.settings import PolyChordSettings
from seeds import seeded

pytestmark = needs_tools

LEVELS = [1e-12, 0.003, 0.2, 0.5, 0.77, 0.9995]


def at_cube(posterior: Posterior, cube: list[float] | np.ndarray) -> float:
    """Return the log density at a point of the cube, with respect to the cube."""
    eta = posterior.unconstrain_rows(np.asarray(cube, dtype=float))
    return float(posterior.model.log_density(eta, propto=False, jacobian=False))


# ---------------------------------------------------------------- the functions


def scipys(a: float, b: float) -> list[stats.rv_continuous]:
    """Return the distributions of ``quantile``, in its order."""
    log10 = np.log(10)
    return [
        stats.uniform(-1, 4),
        stats.loguniform(2, 5),
        stats.norm(),
        stats.halfnorm(),
        stats.norm(10, 3),
        stats.halfnorm(5, 2),
        stats.lognorm(0.3 * log10, scale=np.exp(log10)),
        stats.lognorm(0.5, scale=np.exp(1)),
        stats.beta(a, b),
        stats.betaprime(a, b),
        stats.burr(3, 2, scale=1.5),
        stats.expon(scale=1 / 2),
        stats.cauchy(-5, 2),
        stats.halfcauchy(8, 3),
    ]


@pytest.mark.parametrize("prior", [(2.0, 0.7), (0.5, 0.5), (1.0, 1.0), (0.05, 3.0), (40.0, 60.0)])
@pytest.mark.parametrize("u", LEVELS)
def test_functions_of_a_real_are_scipys_quantiles(u: float, prior: tuple[float, float]) -> None:
    posterior = unit_cube(3, prior)
    found = posterior.constrain(posterior.unconstrain_rows([u, 0.5, 0.5]))["quantile"]
    expected = [distribution.ppf(u) for distribution in scipys(*prior)]
    expected += [np.floor(7 * u) + 1, 1 + np.searchsorted([0.2, 0.7], u, "right"), 1]
    np.testing.assert_allclose(found, expected, rtol=2e-9, atol=1e-15)


def test_functions_of_a_vector_are_scipys_quantiles() -> None:
    x = np.array([0.03, 0.8])
    posterior = unit_cube(3)
    found = posterior.constrain(posterior.unconstrain_rows([0.5, *x]))["quantiles"]
    of = scipys(2.0, 0.7)
    for row, place in enumerate([0, 1, 2, 3, 4, 5, 6, 7, 11]):
        np.testing.assert_allclose(found[row], of[place].ppf(x), rtol=1e-12)
    inner = stats.cauchy(0.5, 0.01).ppf(x)
    np.testing.assert_allclose(found[9], stats.halfcauchy(8, 3).ppf(inner), rtol=1e-12)
    factor = np.linalg.cholesky([[4, 1], [1, 2]])
    for row, z in ((10, x), (11, stats.beta(2, 0.7).ppf(x))):
        expected = [1, 2] + factor @ stats.norm.ppf(z)
        np.testing.assert_allclose(found[row], expected, rtol=1e-9)


def test_the_beta_quantile_has_derivatives() -> None:
    """The Bernoulli log likelihood of a beta quantile, by differences."""
    posterior = unit_cube(1)
    for eta in (np.array([-3.0]), np.array([0.2]), np.array([4.0])):
        _, gradient = posterior.gradient(eta)
        high, low = (posterior.log_density(eta + step) for step in (1e-5, -1e-5))
        assert gradient[0] == pytest.approx((high - low) / 2e-5, rel=1e-5, abs=1e-6)


# ---------------------------------------------------------------- the convention


def test_programs_in_the_convention_are_recognised() -> None:
    assert [on_unit_cube(unit_cube(kind)) for kind in (1, 2, 3, 4)] == [True, True, True, False]
    assert off_unit_cube(unit_cube(4)) == ("direction",)
    assert on_unit_cube(closed_form("bernoulli"))
    assert off_unit_cube(closed_form("normal")) == ("mu",)
    assert off_unit_cube(two_peaks(8.0, 0.5)) == ("x",)
    assert remarks(unit_cube(1)) == ()


def test_the_cube_integral_of_the_density_is_the_evidence() -> None:
    """Beta-Bernoulli and a sum of two normals, on a grid of midpoints of the cube."""
    middles = (np.arange(400) + 0.5) / 400
    a, b = 2.0, 0.7
    hits = sum(y > 0.5 for y in Y_UNIT_CUBE)
    exact = special.betaln(a + hits, b + len(Y_UNIT_CUBE) - hits) - special.betaln(a, b)
    heights = [at_cube(unit_cube(1), [u]) for u in middles]
    assert special.logsumexp(heights) - np.log(400) == pytest.approx(exact, abs=1e-3)

    middles = middles[::4] - 0.5 / 400 + 0.5 / 100
    cov = 0.7**2 * np.eye(len(Y_UNIT_CUBE)) + 2 * 2.0**2
    exact = stats.multivariate_normal(np.zeros(len(Y_UNIT_CUBE)), cov).logpdf(Y_UNIT_CUBE)
    posterior = unit_cube(2)
    heights = [at_cube(posterior, [0.3, x, z]) for x in middles for z in middles]
    assert special.logsumexp(heights) - np.log(1e4) == pytest.approx(exact, abs=1e-3)


def test_the_jacobian_is_that_of_a_logistic_base() -> None:
    posterior = unit_cube(2)
    for eta in np.random.default_rng(seeded(1)).normal(size=(5, 3)):
        base = stats.logistic.logpdf(eta).sum()
        expected = at_cube(posterior, special.expit(eta)) + base
        assert posterior.log_density(eta) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("reference", ["cube", "auto"])
def test_a_program_in_the_convention_is_integrated_unchanged(reference: str) -> None:
    """The sum of two normals through quantile functions: three standard errors."""
    cov = 0.7**2 * np.eye(len(Y_UNIT_CUBE)) + 2 * 2.0**2
    exact = stats.multivariate_normal(np.zeros(len(Y_UNIT_CUBE)), cov).logpdf(Y_UNIT_CUBE)
    settings = PolyChordSettings(nlive=100)
    found = run_nested(
        unit_cube(2), reference=reference, polychord=settings, seed=seeded(1), quiet=True
    )
    assert (found.base.source, found.base.exact) == ("cube", True)
    assert 0 < found.log_z_sd < 0.3
    assert abs(found.log_z - exact) < 3 * found.log_z_sd


# ---------------------------------------------------------------- unit vectors


def test_a_unit_vector_adds_its_surplus_to_the_integral() -> None:
    """Uniform on the sphere: importance sampling over the unconstrained space, 5 sigma."""
    posterior = unit_cube(4)
    surplus = log_unit_vector_surplus(posterior)
    assert surplus == pytest.approx(np.log(np.pi / 2) / 2, rel=1e-12)
    rng = np.random.default_rng(seeded(2))
    eta = np.column_stack([rng.logistic(size=(20_000, 3)), 1.4 * rng.normal(size=(20_000, 3))])
    base = stats.logistic.logpdf(eta[:, :3]).sum(axis=1)
    base += stats.norm(0, 1.4).logpdf(eta[:, 3:]).sum(axis=1)
    weights = np.exp([posterior.log_density(point) for point in eta] - base)
    error = weights.std() / np.sqrt(len(weights))
    assert error < 0.01
    assert abs(weights.mean() - np.exp(surplus)) < 5 * error
    assert abs(weights.mean() - 1) > 5 * error


def test_other_types_add_nothing() -> None:
    assert log_unit_vector_surplus(unit_cube(1)) == 0
    assert log_unit_vector_surplus(closed_form()) == 0
    everything = Posterior(Program(bridge_support.MODELS / "constrained.stan"), {})
    everything.__dict__["model"] = load("constrained", '{"low": 1.0, "high": 3.0}')
    assert log_unit_vector_surplus(everything) == pytest.approx(np.log(np.pi / 2) / 2)
    assert len(off_unit_cube(everything)) == len(read_source(everything.program.sources).parameters)
