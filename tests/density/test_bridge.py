"""Our BridgeStan home, judged through the official client: densities and their derivatives."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from scipy import stats

from bridge_support import load
from conftest import needs_tools

pytestmark = needs_tools

N = 7
FAST = ("STAN_THREADS=true", "BRIDGESTAN_AD_HESSIAN=true")


def regression_data() -> dict[str, Any]:
    rng = np.random.default_rng(3)
    return {"N": N, "X": rng.normal(size=(N, 2)), "y": rng.normal(size=N)}


@pytest.fixture(scope="module")
def regression() -> Any:
    return load("regression", regression_data())


@pytest.fixture(scope="module")
def theta() -> np.ndarray:
    return np.random.default_rng(4).normal(size=13)


def closed_form(theta: np.ndarray, *, propto: bool, jacobian: bool) -> float:
    """The density of ``regression.stan``: what is constant goes when ``propto``."""
    data = regression_data()
    beta, log_sigma, a, pairs = theta[:2], theta[2], theta[3:9], theta[9:].reshape(2, 2)
    sigma = np.exp(log_sigma)
    log_density = (
        stats.norm(0, 2).logpdf(beta).sum()
        + stats.expon().logpdf(sigma)
        + stats.norm().logpdf(a).sum()
        + stats.norm(0, np.exp(beta)[:, None]).logpdf(pairs).sum()
        + stats.norm(data["X"] @ beta, sigma).logpdf(data["y"]).sum()
    )
    constants = -0.5 * (2 + 6 + 4 + N) * np.log(2 * np.pi) - 2 * np.log(2)
    return float(log_density - propto * constants + jacobian * log_sigma)


def central_difference(function: Any, x: np.ndarray, step: float = 1e-5) -> np.ndarray:
    """Derivatives along the last axis of what ``function`` returns."""
    offsets = step * np.eye(x.size)
    return np.stack([(function(x + h) - function(x - h)) / (2 * step) for h in offsets], axis=-1)


switches = pytest.mark.parametrize(
    "options",
    [{"propto": p, "jacobian": j} for p in (False, True) for j in (False, True)],
    ids=lambda options: ",".join(name for name, on in options.items() if on) or "neither",
)


@switches
def test_log_density_closed_form(regression: Any, theta: np.ndarray, options: Any) -> None:
    expected = closed_form(theta, **options)
    np.testing.assert_allclose(regression.log_density(theta, **options), expected, rtol=1e-12)


def test_switches_default_to_on(regression: Any, theta: np.ndarray) -> None:
    expected = closed_form(theta, propto=True, jacobian=True)
    np.testing.assert_allclose(regression.log_density(theta), expected, rtol=1e-12)


@switches
def test_gradient_closed_form(regression: Any, theta: np.ndarray, options: Any) -> None:
    value, gradient = regression.log_density_gradient(theta, **options)
    expected = central_difference(lambda x: np.asarray(closed_form(x, **options)), theta)
    np.testing.assert_allclose(value, closed_form(theta, **options), rtol=1e-12)
    np.testing.assert_allclose(gradient, expected, rtol=1e-7, atol=1e-7)


@switches
@pytest.mark.parametrize("make_args", [(), FAST], ids=["differences", "autodiff"])
def test_hessian_and_its_products(theta: np.ndarray, options: Any, make_args: Any) -> None:
    model = load("regression", regression_data(), *make_args)
    value, gradient, hessian = model.log_density_hessian(theta, **options)
    expected = central_difference(lambda x: model.log_density_gradient(x, **options)[1], theta)
    np.testing.assert_allclose(value, closed_form(theta, **options), rtol=1e-12)
    np.testing.assert_array_equal(gradient, model.log_density_gradient(theta, **options)[1])
    np.testing.assert_allclose(hessian, expected, rtol=1e-7, atol=1e-7)
    np.testing.assert_array_equal(hessian, hessian.T)

    v = np.random.default_rng(5).normal(size=theta.size)
    value, product = model.log_density_hessian_vector_product(theta, v, **options)
    np.testing.assert_allclose(value, closed_form(theta, **options), rtol=1e-12)
    np.testing.assert_allclose(product, hessian @ v, rtol=1e-9, atol=1e-9)
    zero = model.log_density_hessian_vector_product(theta, 0 * v, **options)[1]
    np.testing.assert_array_equal(zero, 0 * v)


def test_differences_are_as_good_as_autodiff(regression: Any, theta: np.ndarray) -> None:
    exact = load("regression", regression_data(), *FAST).log_density_hessian(theta)[2]
    differences = regression.log_density_hessian(theta)[2]
    np.testing.assert_allclose(differences, exact, atol=1e-10 * np.abs(exact).max())


def test_results_go_into_given_arrays(regression: Any, theta: np.ndarray) -> None:
    gradient, hessian = np.empty(13), np.empty((13, 13))
    assert regression.log_density_gradient(theta, out=gradient)[1] is gradient
    regression.log_density_hessian(theta, out_grad=gradient, out_hess=hessian)
    np.testing.assert_array_equal(hessian, regression.log_density_hessian(theta)[2])


@pytest.mark.parametrize("make_args", [(), FAST], ids=["in turns", "side by side"])
def test_threads_agree_with_one_thread(make_args: Any) -> None:
    model = load("regression", regression_data(), *make_args)
    points = np.random.default_rng(6).normal(size=(200, 13))

    def evaluate(x: np.ndarray) -> np.ndarray:
        for _ in range(20):
            value, gradient = model.log_density_gradient(x, propto=False)
            again = model.log_density(x, propto=False)
            constrained = model.param_constrain(x, include_tp=True)
        return np.hstack([value, again, gradient, constrained])

    serial = np.array([evaluate(x) for x in points])
    with ThreadPoolExecutor(8) as pool:
        parallel = np.array(list(pool.map(evaluate, points)))
    np.testing.assert_array_equal(parallel, serial)


def test_two_models_and_two_data_sets_at_once(regression: Any, theta: np.ndarray) -> None:
    before = regression.log_density_gradient(theta)
    other = load("sizes", {"K": 3, "shift": [1.0, 2.0, 3.0]})
    threaded = load("regression", regression_data(), *FAST)
    fewer = load("regression", {"N": 0, "X": np.zeros((0, 2)), "y": np.zeros(0)})
    np.testing.assert_allclose(other.log_density_gradient(np.zeros(3))[1], [1, 2, 3])
    np.testing.assert_allclose(threaded.log_density(theta), before[0], rtol=1e-12)
    assert fewer.log_density(theta) != before[0]
    after = regression.log_density_gradient(theta)
    assert after[0] == before[0]
    np.testing.assert_array_equal(after[1], before[1])


# Free coordinates of each type's constrained values, in Stan's (column-major) order: the measure
# in which its Jacobian is taken. A unit vector has no such coordinates and is tested by itself.
def lower(rows: int, columns: int, diagonal: bool = True) -> list[int]:
    return [j * rows + i for j in range(columns) for i in range(j + (not diagonal), rows)]


FREE = {
    "above": [0],
    "below": [0],
    "between": [0, 1],
    "scaled": [0],
    "increasing": [0, 1, 2],
    "increasing_positive": [0, 1, 2],
    "shares": [0, 1, 3, 4],  # two simplexes; arrays of vectors are stored vector by vector
    "factor": lower(2, 2),
    "tall_factor": lower(3, 2),
    "corr_factor": lower(3, 3, diagonal=False),
    "covariance": lower(2, 2),
    "correlation": lower(3, 3, diagonal=False),
}


@pytest.fixture(scope="module")
def constrained() -> Any:
    return load("constrained", {"low": -1.5, "high": 2.5})


def positions(names: list[str], variable: str) -> np.ndarray:
    return np.flatnonzero([name.split(".")[0] == variable for name in names])


@pytest.mark.parametrize("variable", FREE)
def test_jacobian_of_each_type(constrained: Any, variable: str) -> None:
    point = np.random.default_rng(7).normal(scale=0.7, size=constrained.param_unc_num())
    inputs = positions(constrained.param_unc_names(), variable)
    outputs = positions(constrained.param_names(), variable)
    if variable == "shares":  # array elements vary first in Stan's order of output
        outputs = outputs.reshape(3, 2).T.ravel()

    def free_values(x: np.ndarray) -> np.ndarray:
        moved = point.copy()
        moved[inputs] = x
        return constrained.param_constrain(moved)[outputs][FREE[variable]]

    def log_jacobian(x: np.ndarray) -> float:
        moved = point.copy()
        moved[inputs] = x
        assert constrained.log_density(moved, propto=False, jacobian=False) == 0
        return float(constrained.log_density(moved, propto=False, jacobian=True))

    here, there = point[inputs], point[inputs] + 0.4
    expected = [np.linalg.slogdet(central_difference(free_values, x))[1] for x in (here, there)]
    change = log_jacobian(there) - log_jacobian(here)
    np.testing.assert_allclose(change, expected[1] - expected[0], rtol=1e-7, atol=1e-7)


def test_jacobians_add_up(constrained: Any) -> None:
    point = np.random.default_rng(8).normal(scale=0.7, size=constrained.param_unc_num())
    direction = positions(constrained.param_unc_names(), "direction")
    total = -0.5 * np.sum(point[direction] ** 2)  # a unit vector is a normal vector, normalised
    for variable, free in FREE.items():
        outputs = positions(constrained.param_names(), variable)
        if variable == "shares":
            outputs = outputs.reshape(3, 2).T.ravel()
        inputs = positions(constrained.param_unc_names(), variable)
        full = central_difference(constrained.param_constrain, point)
        total += np.linalg.slogdet(full[np.ix_(outputs[free], inputs)])[1]
    np.testing.assert_allclose(constrained.log_density(point), total, rtol=1e-8)


def test_constrained_values_satisfy_their_constraints(constrained: Any) -> None:
    point = np.random.default_rng(9).normal(size=constrained.param_unc_num())
    names = constrained.param_names()
    values = constrained.param_constrain(point)
    value = {name: values[positions(names, name)] for name in [*FREE, "direction"]}
    assert value["above"] > -1.5
    assert value["below"] < 2.5
    assert np.all((value["between"] > -1.5) & (value["between"] < 2.5))
    scaled = point[constrained.param_unc_names().index("scaled")]
    np.testing.assert_allclose(value["scaled"], -1.5 + 2.5 * scaled)
    assert np.all(np.diff(value["increasing"]) > 0)
    assert np.all(np.diff(value["increasing_positive"], prepend=0) > 0)
    np.testing.assert_allclose(value["shares"].reshape(3, 2).sum(axis=0), 1)
    np.testing.assert_allclose(np.linalg.norm(value["direction"]), 1)
    factor = value["corr_factor"].reshape(3, 3).T
    np.testing.assert_allclose(np.diag(factor @ factor.T), 1)
    np.testing.assert_allclose(np.diag(value["correlation"].reshape(3, 3)), 1)
    assert np.all(np.linalg.eigvalsh(value["covariance"].reshape(2, 2)) > 0)
    np.testing.assert_array_equal(np.triu(value["tall_factor"].reshape(2, 3).T, 1), 0)


def test_unconstrain_undoes_constrain(constrained: Any) -> None:
    point = np.random.default_rng(10).normal(scale=0.7, size=constrained.param_unc_num())
    direction = positions(constrained.param_unc_names(), "direction")
    point[direction] /= np.linalg.norm(point[direction])  # of a unit vector only that is kept
    back = constrained.param_unconstrain(constrained.param_constrain(point))
    np.testing.assert_allclose(back, point, rtol=1e-8, atol=1e-8)
