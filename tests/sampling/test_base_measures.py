"""Base measures: exact where the prior factorises, proper densities, the same in both languages."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import integrate, stats

from conftest import closed_form, needs_tools, small_network, two_peaks
from manymodes.density.posterior import Posterior
from manymodes.errors import DensityError, InputError
from manymodes.sampling.base_measures import (
    CAUCHY,
    CYCLES,
    FAMILIES,
    LOGISTIC,
    NORMAL,
    STUDENT4,
    BaseMeasure,
    Component,
    chains_measure,
    prior_measure,
    read_measure,
    write_measure,
)
from manymodes.sampling.nested import Nested, choose_base, run_nested
from manymodes.sampling.nested.settings import PolyChordSettings
from seeds import seeded

MIXED = BaseMeasure.product(
    (NORMAL, LOGISTIC, STUDENT4, CAUCHY), [1.0, -2.0, 0.5, 3.0], [0.3, 2.0, 1.5, 0.7]
)
SCIPY = (
    stats.norm(1.0, 0.3),
    stats.logistic(-2.0, 2.0),
    stats.t(4, 0.5, 1.5),
    stats.cauchy(3.0, 0.7),
)
TWO = BaseMeasure(
    (
        Component(
            (NORMAL, STUDENT4), np.array([-3.0, 0.0]), np.array([[1.0, 0.0], [0.8, 0.5]]), 0.3
        ),
        Component((LOGISTIC, CAUCHY), np.array([4.0, 1.0]), np.array([0.5, 0.2]), 0.7),
    )
)


# ---------------------------------------------------------------- the measure


def test_quantiles_are_scipys() -> None:
    u = np.concatenate([[1e-300, 1e-12], np.linspace(0.001, 0.999, 41), [1 - 1e-12]])
    eta = MIXED.quantile(np.column_stack([u] * 4))
    for column, distribution in zip(eta.T, SCIPY, strict=True):
        np.testing.assert_allclose(column, distribution.ppf(u), rtol=1e-9, atol=1e-8)


def test_quantiles_are_finite_on_the_edge_of_the_cube() -> None:
    assert np.isfinite(MIXED.quantile(np.array([np.zeros(4), np.ones(4)]))).all()


def test_log_density_is_scipys_and_integrates_to_one() -> None:
    eta = np.random.default_rng(seeded(1)).normal(size=(4, 5, 4))
    expected = sum(d.logpdf(eta[..., i]) for i, d in enumerate(SCIPY))
    np.testing.assert_allclose(MIXED.log_density(eta), expected, rtol=1e-12)
    for family in FAMILIES:
        one = BaseMeasure.product((family,), [0.7], [1.9])
        mass, _ = integrate.quad(lambda x, q=one: np.exp(q.log_density([x])), -np.inf, np.inf)
        assert mass == pytest.approx(1, abs=1e-7)


def scales(base: BaseMeasure) -> np.ndarray:
    return base.components[0].scale.diagonal()


# ---------------------------------------------------------------- several components


@pytest.mark.slow
def test_a_mixture_is_what_its_density_says() -> None:
    """Draws through the cube, against the density on a grid: three standard errors."""
    draws = TWO.sample(np.random.default_rng(seeded(3)), 40_000)
    assert TWO.cube_dims == 3
    for low, high in ((-4.0, -2.0), (-0.5, 0.5), (3.0, 5.0)):
        mass, _ = integrate.dblquad(
            lambda y, x: float(np.exp(TWO.log_density([x, y]))), low, high, -1.0, 2.0, epsabs=1e-5
        )
        inside = (draws[:, 0] > low) & (draws[:, 0] < high) & (np.abs(draws[:, 1] - 0.5) < 1.5)
        assert abs(inside.mean() - mass) < 3 * np.sqrt(mass * (1 - mass) / len(draws))


def test_the_first_cube_coordinate_chooses_the_component() -> None:
    places = np.array([0.0, 0.2999, 0.3001, 0.9999, 1.2, 15.9999]) / CYCLES
    cube = np.column_stack([places, np.full((6, 2), 0.5)])
    assert TWO.component_of(cube).tolist() == [0, 0, 1, 1, 0, 1]
    np.testing.assert_allclose(TWO.quantile(cube)[:, 0], [-3, -3, 4, 4, -3, 4], atol=1e-12)
    for one in TWO.components:
        u = np.random.default_rng(seeded(4)).random((50, 2))
        np.testing.assert_allclose(one.invert(one.map(u)), u, rtol=1e-9)


def test_a_measure_survives_its_file(tmp_path: Path) -> None:
    write_measure(tmp_path / "two.json", TWO, ("a", "b"))
    again = read_measure(tmp_path / "two.json", 2)
    points = np.random.default_rng(seeded(1)).normal(scale=3, size=(20, 2))
    np.testing.assert_array_equal(again.log_density(points), TWO.log_density(points))
    np.testing.assert_array_equal(
        again.quantile(np.full((1, 3), 0.2)), TWO.quantile(np.full((1, 3), 0.2))
    )


@needs_tools
@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{}", "is not a base measure"),
        ("[]", r"is damaged \(not a JSON object\): it must be a JSON object with 'components'"),
        ("{", "it must be a JSON object with 'components'"),
        ('{"components": []}', "the list is empty"),
        ('{"components": [{"families": ["normal"], "location": [0]}]}', "scale"),
        ('{"components": [{"families": ["gamma"], "location": [0], "scale": [1]}]}', "'gamma'"),
        ('{"components": [{"families": ["normal"], "location": [0], "scale": [-1]}]}', "positive"),
        (
            '{"components": [{"families": ["normal"], "location": [0], "scale": [1],'
            ' "weight": 0.5}]}',
            "sum to 0.5",
        ),
        (
            '{"components": [{"families": ["normal", "normal"], "location": [0, 0],'
            ' "scale": [1, 1]}]}',
            "has 2 coordinates, but the program has 1",
        ),
    ],
)
def test_a_file_that_is_no_measure_is_refused(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "base.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=said):
        choose_base(closed_form(), str(path))


# ---------------------------------------------------------------- fitted to chains


def blobs(rng: np.random.Generator) -> list[np.ndarray]:
    """Return six chains: three around each of two places, with correlated draws."""
    root = np.array([[1.0, 0.0], [0.9, 0.3]])
    return [
        [place, 0.0] + rng.normal(size=(100, 2)) @ root.T for place in (-6.0, 6.0) for _ in range(3)
    ]


@needs_tools
def test_chains_in_one_mode_share_a_component() -> None:
    posterior = two_peaks(12.0, 2 / 3)
    draws = blobs(np.random.default_rng(seeded(5)))
    base = chains_measure(posterior, draws, prior=prior_measure(posterior))
    assert [one.families[0] for one in base.components] == [STUDENT4, STUDENT4, NORMAL]
    left, right = sorted(base.components[:2], key=lambda one: one.location[0])
    assert base.components[2].weight == pytest.approx(0.1)
    assert right.weight > left.weight > 0.2  # twice the evidence is on the right
    assert base.reason.startswith("2 components fitted to 6 chains, and the prior")
    points = np.concatenate(draws)
    assert (base.log_density(points) > stats.norm.logpdf(points, 0, 10).sum(axis=1)).mean() > 0.99


def test_without_two_draws_there_is_nothing_to_fit() -> None:
    with pytest.raises(InputError, match="two draws"):
        chains_measure(two_peaks(12.0, 0.5), [np.zeros((1, 2))])


# ---------------------------------------------------------------- recognition


@needs_tools
@pytest.mark.parametrize("sd", [0.01, 0.5, 1.0, 30.0])
def test_a_normal_prior_is_recognised(sd: float) -> None:
    posterior = small_network(f"normal:{sd}")
    base = prior_measure(posterior)
    assert base.exact
    assert set(base.families) == {NORMAL}
    np.testing.assert_allclose(scales(base), sd, rtol=1e-9)
    np.testing.assert_allclose(base.components[0].location, 0, atol=1e-9 * sd)
    assert_is_the_prior(base, posterior, sd)


@needs_tools
@pytest.mark.parametrize("bound", [0.01, 5.0, 1000.0])
def test_a_uniform_prior_is_logistic(bound: float) -> None:
    posterior = small_network(f"uniform:{bound}")
    base = prior_measure(posterior)
    assert base.exact
    assert set(base.families) == {LOGISTIC}
    assert (base.components[0].location.tolist(), scales(base).tolist()) == ([0.0] * 9, [1.0] * 9)
    assert_is_the_prior(base, posterior, 1.0)


def assert_is_the_prior(base: BaseMeasure, posterior: Posterior, scale: float) -> None:
    """The prior's density is the base measure's: the prior-only evidence is exactly 1."""
    for eta in scale * np.random.default_rng(seeded(2)).normal(size=(20, posterior.dims)):
        prior = posterior.prior.log_density(eta)
        assert prior == pytest.approx(float(base.log_density(eta)), rel=1e-9, abs=1e-8)


@needs_tools
def test_known_coordinates_are_recognised_beside_others() -> None:
    """Under pd-skew three coordinates of the input weights are fitted, the rest are exact."""
    posterior = small_network("uniform:5", "pd-skew")
    base = prior_measure(posterior)
    assert not base.exact
    assert base.families.count(LOGISTIC) == 6
    assert base.families.count(STUDENT4) == 3
    again = prior_measure(posterior)
    np.testing.assert_array_equal(scales(base), scales(again))


@needs_tools
def test_a_fitted_measure_covers_the_prior() -> None:
    """A Beta(2, 3) probability on the logit scale: median and spread, with heavier tails."""
    base = prior_measure(closed_form("bernoulli", (2.0, 3.0)))
    assert (base.families, base.exact) == ((STUDENT4,), False)
    low, middle, high = (np.log(q / (1 - q)) for q in stats.beta(2, 3).ppf([0.25, 0.5, 0.75]))
    assert base.components[0].location[0] == pytest.approx(middle, abs=0.15)
    assert scales(base)[0] == pytest.approx(1.25 * (high - low) / (2 * 0.7407), rel=0.15)


# ---------------------------------------------------------------- both languages


@needs_tools
@pytest.mark.parametrize("families", ["exact", "fitted", "mixture"])
def test_the_runner_maps_as_python_does(families: str, tmp_path: Path) -> None:
    """The log likelihood of each dead point is density over base measure, at Python's point."""
    posterior, reference, expected = closed_form(), "prior", {NORMAL}
    if families == "fitted":
        posterior, expected = small_network("uniform:5", "pd-skew"), {LOGISTIC, STUDENT4}
    if families == "mixture":
        posterior, reference = two_peaks(4.0, 0.4), str(tmp_path / "two.json")
        expected = {NORMAL, STUDENT4}
        write_measure(tmp_path / "two.json", TWO)
    settings = PolyChordSettings(nlive=20)
    nested = run_nested(posterior, polychord=settings, reference=reference, quiet=True)
    assert set(nested.base.families) == expected
    assert nested.cube.shape[1] == nested.base.cube_dims
    assert_same_heights(nested)


def assert_same_heights(nested: Nested) -> None:
    density = np.array([nested.posterior.log_density(eta) for eta in nested.eta])
    np.testing.assert_allclose(
        nested.logl, density - nested.base.log_density(nested.eta), rtol=1e-8, atol=1e-8
    )


# ---------------------------------------------------------------- wrong input


def test_an_unknown_reference_is_refused() -> None:
    said = "reference: 'posterior' is neither one of auto, prior, chains, peaks, cube nor"
    with pytest.raises(InputError, match=said):
        choose_base(closed_form(), "posterior")


@needs_tools
def test_a_prior_that_is_zero_everywhere_is_reported() -> None:
    with pytest.raises(DensityError, match="the prior of closed_forms is zero at"):
        prior_measure(closed_form(rejects=True))
