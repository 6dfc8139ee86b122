"""Base measures: exact where the prior factorises, proper densities, the same in both languages."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import integrate, stats

from conftest import MODELS, closed_form, small_network
from manymodes.errors import DensityError, InputError
from manymodes.nested import Nested, run_nested
from manymodes.polychord import PolyChordSettings
from manymodes.posterior import Posterior
from manymodes.program import Program
from manymodes.reference import LOGISTIC, NORMAL, STUDENT4, BaseMeasure, base_measure, prior_measure

MIXED = BaseMeasure(
    (NORMAL, LOGISTIC, STUDENT4), np.array([1.0, -2.0, 0.5]), np.array([0.3, 2.0, 1.5]), False
)
SCIPY = (stats.norm(1.0, 0.3), stats.logistic(-2.0, 2.0), stats.t(4, 0.5, 1.5))


# ---------------------------------------------------------------- the measure


def test_quantiles_are_scipys() -> None:
    u = np.concatenate([[1e-300, 1e-12], np.linspace(0.001, 0.999, 41), [1 - 1e-12]])
    eta = MIXED.quantile(np.column_stack([u, u, u]))
    for column, distribution in zip(eta.T, SCIPY, strict=True):
        np.testing.assert_allclose(column, distribution.ppf(u), rtol=1e-9, atol=1e-9)


def test_quantiles_are_finite_on_the_edge_of_the_cube() -> None:
    assert np.isfinite(MIXED.quantile(np.array([np.zeros(3), np.ones(3)]))).all()


def test_log_density_is_scipys_and_integrates_to_one() -> None:
    eta = np.random.default_rng(1).normal(size=(4, 5, 3))
    expected = sum(d.logpdf(eta[..., i]) for i, d in enumerate(SCIPY))
    np.testing.assert_allclose(MIXED.log_density(eta), expected, rtol=1e-12)
    for family in (NORMAL, LOGISTIC, STUDENT4):
        one = BaseMeasure((family,), np.array([0.7]), np.array([1.9]), True)
        mass, _ = integrate.quad(lambda x, q=one: np.exp(q.log_density([x])), -np.inf, np.inf)
        assert mass == pytest.approx(1, abs=1e-7)


# ---------------------------------------------------------------- recognition


@pytest.mark.parametrize("sd", [0.01, 0.5, 1.0, 30.0])
def test_a_normal_prior_is_recognised(sd: float) -> None:
    posterior = small_network(f"normal:{sd}")
    base = prior_measure(posterior)
    assert base.exact
    assert set(base.families) == {NORMAL}
    np.testing.assert_allclose(base.scale, sd, rtol=1e-9)
    np.testing.assert_allclose(base.location, 0, atol=1e-9 * sd)
    assert_is_the_prior(base, posterior, sd)


@pytest.mark.parametrize("bound", [0.01, 5.0, 1000.0])
def test_a_uniform_prior_is_logistic(bound: float) -> None:
    posterior = small_network(f"uniform:{bound}")
    base = prior_measure(posterior)
    assert base.exact
    assert set(base.families) == {LOGISTIC}
    assert (base.location.tolist(), base.scale.tolist()) == ([0.0] * 9, [1.0] * 9)
    assert_is_the_prior(base, posterior, 1.0)


def assert_is_the_prior(base: BaseMeasure, posterior: Posterior, scale: float) -> None:
    """The prior's density is the base measure's: the prior-only evidence is exactly 1."""
    for eta in scale * np.random.default_rng(2).normal(size=(20, posterior.dims)):
        prior = posterior.prior.log_density(eta)
        assert prior == pytest.approx(float(base.log_density(eta)), rel=1e-9, abs=1e-8)


def test_known_coordinates_are_recognised_beside_others() -> None:
    """Under pd-skew three coordinates of the input weights are fitted, the rest are exact."""
    posterior = small_network("uniform:5", "pd-skew")
    base = prior_measure(posterior)
    assert not base.exact
    assert base.families.count(LOGISTIC) == 6
    assert base.families.count(STUDENT4) == 3
    again = prior_measure(posterior)
    np.testing.assert_array_equal(base.scale, again.scale)


def test_a_fitted_measure_covers_the_prior() -> None:
    """A Beta(2, 3) probability on the logit scale: median and spread, with heavier tails."""
    base = prior_measure(closed_form("bernoulli", (2.0, 3.0)))
    assert (base.families, base.exact) == ((STUDENT4,), False)
    low, middle, high = (np.log(q / (1 - q)) for q in stats.beta(2, 3).ppf([0.25, 0.5, 0.75]))
    assert base.location[0] == pytest.approx(middle, abs=0.15)
    assert base.scale[0] == pytest.approx(1.25 * (high - low) / (2 * 0.7407), rel=0.15)


# ---------------------------------------------------------------- both languages


@pytest.mark.parametrize("families", ["exact", "fitted"])
def test_the_runner_maps_as_python_does(families: str) -> None:
    """The log likelihood of each dead point is density over base measure, at Python's point."""
    posterior = small_network("uniform:5", "pd-skew") if families == "fitted" else closed_form()
    nested = run_nested(posterior, settings=PolyChordSettings(nlive=20), quiet=True)
    expected = {LOGISTIC, STUDENT4} if families == "fitted" else {NORMAL}
    assert set(nested.base.families) == expected
    assert_same_heights(nested)


def assert_same_heights(nested: Nested) -> None:
    density = np.array([nested.posterior.log_density(eta) for eta in nested.eta])
    np.testing.assert_allclose(
        nested.logl, density - nested.base.log_density(nested.eta), rtol=1e-8, atol=1e-8
    )


# ---------------------------------------------------------------- wrong input


def test_an_unknown_reference_is_refused() -> None:
    with pytest.raises(InputError, match="reference: 'posterior' is not one of"):
        base_measure(closed_form(), "posterior")


def test_a_program_without_the_switch_is_refused_before_a_run(tmp_path: Path) -> None:
    plain = Posterior(Program(MODELS / "plain.stan"), {})
    with pytest.raises(InputError, match="prior_only"):
        run_nested(plain, out=tmp_path, quiet=True)
    assert not list(tmp_path.rglob("run-*"))


def test_a_prior_that_is_zero_everywhere_is_reported() -> None:
    with pytest.raises(DensityError, match="the prior of closed_forms is zero at"):
        prior_measure(closed_form(rejects=True))
