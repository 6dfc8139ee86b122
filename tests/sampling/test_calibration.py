"""Log evidences of every constrained type against exact values, and the benchmark's arithmetic.

The exact values are checked first, without nested sampling: by the ratio of the density to a
posterior known in closed form, and by importance sampling from the base measure. Three standard
errors of nested sampling and four of importance sampling throughout, with fixed seeds.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from scipy import integrate, stats

from conftest import needs_tools
from exact import KINDS, NAMES, Component, Exact, log_surplus, make
from manymodes.density.posterior import Posterior
from manymodes.errors import DensityError
from manymodes.sampling.base_measures import prior_measure
from manymodes.sampling.nested import run_nested
from manymodes.sampling.nested.settings import PolyChordSettings
from seeds import seeded

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "calibration.py"
IN_CLOSED_FORM = ("regression", "mixture", "mixture_narrow")
DRAWS = 10_000


@pytest.fixture(scope="module")
def calibration() -> ModuleType:
    """The benchmark, as a module."""
    spec = importlib.util.spec_from_file_location("calibration", BENCHMARK)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["calibration"] = module  # data classes look their module up
    spec.loader.exec_module(module)
    return module


# ---------------------------------------------------------------- the exact values


def density(posterior: Posterior, eta: np.ndarray) -> float:
    """Return the log density; -inf where rounding leaves none, at a corner of a simplex."""
    try:
        value = posterior.log_density(eta)
    except DensityError:
        return -np.inf
    return value if np.isfinite(value) else -np.inf


def importance(posterior: Posterior, seed: int = 1) -> tuple[float, float]:
    """Return log integral and its error (nats), from draws of the base measure."""
    base = prior_measure(posterior)
    eta = base.quantile(np.random.default_rng(seeded(seed)).random((DRAWS, posterior.dims)))
    log_w = np.array([density(posterior, one) for one in eta]) - base.log_density(eta)
    w = np.exp(log_w - log_w.max())
    return float(np.log(w.mean()) + log_w.max()), float(w.std() / w.mean() / np.sqrt(DRAWS))


@needs_tools
@pytest.mark.parametrize("name", [name for name in KINDS if name not in IN_CLOSED_FORM])
def test_exact_values_agree_with_importance_sampling(name: str) -> None:
    exact = make(name)
    value, error = importance(exact.posterior)
    assert 0 < error < 0.3
    assert abs(value - exact.log_z - exact.surplus) < 4 * error


@needs_tools
@pytest.mark.parametrize("name", KINDS)
def test_programs_are_normalised(name: str) -> None:
    """Where the base measure is the prior itself, every weight is the same."""
    exact = make(f"{name}_prior")
    value, error = importance(exact.posterior)
    assert error < 0.03
    assert abs(value - exact.surplus) < 4 * error + 1e-9


@needs_tools
def test_evidence_of_a_regression_is_its_density_over_its_posterior() -> None:
    exact = make("regression")
    data = {key: np.array(value) for key, value in exact.posterior.data.items()}
    assert exact.posterior.dims == 14
    covariance = np.linalg.inv(data["X"].T @ data["X"] / data["noise"] ** 2 + np.eye(14))
    mean = covariance @ data["X"].T @ data["y"] / data["noise"] ** 2
    known = stats.multivariate_normal(mean, covariance)
    for beta in known.rvs(5, random_state=seeded(1)):
        log_z = exact.posterior.log_density(beta) - known.logpdf(beta)
        assert log_z == pytest.approx(exact.log_z, abs=1e-8)


@needs_tools
@pytest.mark.parametrize("name", ["mixture", "mixture_narrow"])
def test_evidence_of_a_mixture_is_its_density_over_its_posterior(name: str) -> None:
    exact = make(name)
    prior = exact.posterior.data["prior"][0] ** 2
    assert [c.share for c in exact.components] == pytest.approx([2 / 3, 1 / 3])
    assert [c.width for c in exact.components] == [1, 0.2 if name.endswith("narrow") else 1]
    peaks = [stats.norm(*_posterior_of(c, prior)) for c in exact.components]
    for peak in peaks:
        for x in peak.rvs((5, 10), random_state=seeded(1)):
            terms = [one.logpdf(x).sum() for one in peaks]
            known = np.logaddexp(*(np.log([2 / 3, 1 / 3]) + terms))
            log_z = exact.posterior.log_density(x) - known
            assert log_z == pytest.approx(exact.log_z, abs=1e-8)


def _posterior_of(component: Component, prior: float) -> tuple[np.ndarray, float]:
    """Return mean and standard deviation of a mode under a normal prior of this variance."""
    shrink = prior / (prior + component.width**2)
    return shrink * component.centre, component.width * np.sqrt(shrink)


@pytest.mark.parametrize("size", [2, 3, 5, 8])
def test_surplus_of_a_unit_vector_is_a_radial_integral(size: int) -> None:
    integral, _ = integrate.quad(lambda r: r ** (size - 1) * np.exp(-r * r / 2), 0, np.inf)
    assert log_surplus(size) == pytest.approx(np.log(integral), abs=1e-9)


@needs_tools
def test_all_constrained_types_have_their_dimension() -> None:
    dims = {name: make(name).posterior.dims for name in NAMES}
    assert dims == {
        "beta_bernoulli": 1,
        "scale": 2,
        "regression": 14,
        "simplex": 6,
        "cov_matrix": 6,
        "cholesky_factor_corr": 6,
        "corr_matrix": 3,
        "ordered": 3,
        "positive_ordered": 3,
        "unit_vector": 5,
        "cholesky_factor_cov": 6,
        "tall_cholesky_factor_cov": 5,
        "lower_bound": 4,
        "offset": 4,
        "upper_bound": 3,
        "eggbox": 2,
        "mixture": 10,
        "mixture_narrow": 10,
        "cov_matrix_prior": 6,
        "cholesky_factor_corr_prior": 6,
        "corr_matrix_prior": 3,
    }


# ---------------------------------------------------------------- nested sampling


@needs_tools
@pytest.mark.parametrize("name", [name for name in NAMES if name != "mixture_narrow"])
def test_log_z_is_within_three_errors(name: str) -> None:
    exact = make(name)
    settings = PolyChordSettings(nlive=40 if exact.posterior.dims > 9 else 100)
    found = run_nested(exact.posterior, runs=1, polychord=settings, seed=seeded(1), quiet=True)
    assert 0 < found.log_z_sd < 0.75
    assert abs(found.log_z - exact.found_log_z) < 3 * found.log_z_sd


@needs_tools
def test_modes_of_a_mixture_have_their_evidence(calibration: ModuleType) -> None:
    found = calibration.measure("mixture", calibration.Plan(60, 1, "prior", None), seed=seeded(1))
    assert found["modes"] == 2
    exact = make("mixture")
    for mode, known in zip(found["components"], exact.components, strict=True):
        assert mode["recovered"] == [True]
        assert mode["mislabelled"] < 1e-6
        for key, truth in (
            ("share", known.share),
            ("log_z", exact.found_log_z + np.log(known.share)),
        ):
            assert 0 < mode[f"{key}_error"] < 0.75
            assert abs(mode[key] - truth) < 3 * mode[f"{key}_error"]


def test_a_run_recovers_a_mode_when_it_has_a_point_in_its_typical_set(
    calibration: ModuleType,
) -> None:
    """Of ten dimensions half a chi-squared: 5 on average, and 3 sqrt(5) = 6.7 are allowed."""
    mode = make("mixture_narrow").components[1]
    near = mode.centre + mode.width * np.sqrt(2 * 11.6 / 10)
    far = mode.centre + mode.width * np.sqrt(2 * 11.8 / 10)

    class Points:
        rows = np.array([near, far, far, near, far])
        run_of = np.array([0, 0, 1, 2, 3])
        runs = range(4)

    assert calibration.reached(mode, Points) == [True, False, True, False]


@needs_tools
@pytest.mark.parametrize("seed", [2, 3])
def test_an_infinite_density_is_not_evidence(seed: int) -> None:
    """A Dirichlet density with a shape below 1 is infinite where a share is rounded to 0."""
    exact = make("simplex_prior")
    settings = PolyChordSettings(nlive=500, num_repeats=2)
    found = run_nested(exact.posterior, runs=1, polychord=settings, seed=seeded(seed), quiet=True)
    assert found.runs[0].failures > 0
    assert 0 < found.log_z_sd < 0.1
    assert abs(found.log_z) < 0.1  # two slices are few: no error is trusted here


# ---------------------------------------------------------------- the arithmetic


def judged(calibration: ModuleType, z: np.ndarray, shift: float = 0.0, scale: float = 1.0) -> str:
    """Return the verdict on values with these z-scores, after a shift and with other errors."""
    errors = np.linspace(0.05, 0.2, len(z))
    values = -40 + errors * (z + shift)
    return str(calibration.verdict(calibration.scores(values, errors * scale, -40.0)))


def test_verdict_on_normal_scores(calibration: ModuleType) -> None:
    """Twenty quantiles of a normal: their standard deviation is 0.96."""
    z = stats.norm.ppf((np.arange(20) + 0.5) / 20)
    assert judged(calibration, z) == "ok"
    assert judged(calibration, z, scale=0.8) == "ok"
    assert judged(calibration, z, scale=0.6) == "spread, 2 beyond 3"
    assert judged(calibration, z, scale=1.5) == "spread"
    assert judged(calibration, z, shift=0.8) == "bias"
    assert judged(calibration, z, shift=6) == "20 beyond 3, bias"


def test_all_scores_are_told_together(calibration: ModuleType) -> None:
    rows = [{"log_z": -4 + z, "exact": -4.0, "error": 0.5} for z in (-0.5, 0.0, 0.5, 2.0)]
    said = "all 4 z-scores: mean +1.00 ± 1.08, standard deviation 2.16, 1 beyond 3"
    assert calibration.together(rows) == said


@needs_tools
def test_a_wrong_exact_value_is_detected(calibration: ModuleType) -> None:
    plan = calibration.Plan(50, 1, "prior", None)
    rows = [calibration.measure("scale", plan, seeded(seed)) for seed in (1, 2, 3)]
    values, errors = ([row[key] for row in rows] for key in ("log_z", "error"))
    exact: Exact = make("scale")
    right = calibration.scores(values, errors, exact.found_log_z)
    assert right["beyond"] == 0
    assert abs(right["mean_z"]) < 3 / np.sqrt(3)
    wrong = calibration.scores(values, errors, exact.found_log_z + 6 * max(errors))
    assert "3 beyond 3, bias" in calibration.verdict(wrong)
    assert wrong["rms"] > 4 * min(errors)


def test_names_and_seeds_are_checked(
    calibration: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for given, said in ((["simplexx"], "no posterior 'simplexx'"), (["--seeds", "1"], "--seeds 1")):
        monkeypatch.setattr(sys, "argv", ["calibration.py", *given])
        with pytest.raises(SystemExit):
            calibration.main()
        assert said in capsys.readouterr().err
