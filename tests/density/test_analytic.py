"""The whole density of a network without autodiff: that of the program, in values and failures."""

from __future__ import annotations

import json
import math
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import test_general_program as general
import test_stan_programs as one_prior
from conftest import needs_tools
from manymodes.density.posterior import Posterior
from manymodes.errors import DensityError
from manymodes.networks.network import Network
from seeds import seeded
from test_kernel import definition

pytestmark = needs_tools

RELATIVE = 1e-12
SCALES = (
    "ih=laplace:half-cauchy(0.5)*half-normal hh=student:3,half-normal(2)*gamma(3) "
    "bh=uniform:2 ho=laplace:gamma(2,3) bo=0.5:2 noise=half-cauchy(1)"
)
CENTRED = SCALES.replace("uniform:2", "laplace:half-normal(2)")
NETWORKS = [
    *(one for one in one_prior.COMBINATIONS if one.constraint == "none"),
    *(one for one in general.NETWORKS if one.constraint == "none"),
    general.make("normal", SCALES, skip=False),
    general.make("student:4", CENTRED, skip=False, centred=True),
    general.make("negative-binomial", CENTRED, skip=False, centred=True, hidden=(2, 3, 1)),
    general.make("heteroscedastic", "normal:1", hidden=(4, 3, 2, 2), activation="relu"),
]


def label(network: Any) -> str:
    if not isinstance(network, Network):
        return str(network)
    return f"{network.prior[:30]}/{network.likelihood}/{network.activation}/{network.hidden}"


def posterior(network: Network) -> Posterior:
    """Return the posterior of a network, with an analytic density or as the program is written."""
    if network in one_prior.COMBINATIONS:
        return one_prior.posterior(network)
    return general.posterior(network)


def is_analytic(density: Posterior) -> bool:
    return "Gradient: analytic" in density.model.model_info()


def assert_same(ours: Posterior, stan: Posterior, eta: Any) -> None:
    """Values and gradients agree to 1e-12 of the largest derivative."""
    assert is_analytic(ours)
    assert not is_analytic(stan)
    expected, by_autodiff = stan.gradient(eta)
    value, gradient = ours.gradient(eta)
    assert value == pytest.approx(expected, rel=RELATIVE, abs=RELATIVE)
    assert ours.log_density(eta) == pytest.approx(expected, rel=RELATIVE, abs=RELATIVE)
    assert np.abs(gradient - by_autodiff).max() <= RELATIVE * max(1, np.abs(by_autodiff).max())


@pytest.mark.parametrize("network", NETWORKS, ids=label)
def test_it_is_the_density_of_the_program(network: Network) -> None:
    """Of posterior and prior, near zero and far out."""
    ours = posterior(network)
    stan = definition(ours)
    rng = np.random.default_rng(seeded(1))
    for size in (0.1, 0.7, 2.0):
        eta = size * rng.normal(size=ours.dims)
        if network.likelihood == "bernoulli" and ours.log_lik(eta).min() < -15:
            continue  # Stan leaves out log(1 + exp(t)) below -20
        assert_same(ours, stan, eta)
        assert_same(ours.prior, definition(ours.prior), 3 * eta)


@pytest.mark.parametrize("network", [one_prior.make("none"), general.make()], ids=label)
def test_the_program_drops_no_constant(network: Network) -> None:
    """So that the analytic density, which has the Jacobian, is right with propto, too."""
    ours = posterior(network)
    eta = 0.3 * np.random.default_rng(seeded(3)).normal(size=ours.dims)
    (value, gradient), (again, its_gradient) = (
        ours.model.log_density_gradient(eta, propto=propto, jacobian=False)
        for propto in (False, True)
    )
    assert value == again
    assert np.array_equal(gradient, its_gradient)


def test_without_the_jacobian_the_program_answers() -> None:
    """Where no parameter has a bound, both answers are the same."""
    for network in (one_prior.make("none", prior="normal:1.5"), general.make("poisson", "bo=2")):
        ours = posterior(network)
        eta = 0.3 * np.random.default_rng(seeded(3)).normal(size=ours.dims)
        value, gradient = ours.gradient(eta)
        by_program = ours.model.log_density_gradient(eta, propto=False, jacobian=False)
        assert value == pytest.approx(by_program[0], rel=RELATIVE)
        np.testing.assert_allclose(gradient, by_program[1], rtol=1e-11, atol=1e-12)
    bounded = posterior(general.make())
    eta = np.full(bounded.dims, 0.3)
    assert bounded.model.log_density(eta, jacobian=False) != bounded.log_density(eta)


@pytest.mark.parametrize("likelihood", ["normal", "negative-binomial", "poisson"])
@pytest.mark.parametrize("far", [1e3, -1e3, math.inf, math.nan])
def test_it_fails_where_the_program_does_and_in_its_words(likelihood: str, far: float) -> None:
    """A noise of 0 or infinity, an output that is no number."""
    ours = posterior(general.make(likelihood, "normal:1"))
    assert is_analytic(ours)
    eta = np.full(ours.dims, 0.1)
    eta[-1] = far
    if likelihood == "poisson":
        eta[0] = math.nan
    with pytest.raises(DensityError, match="general_log_likelihood") as said:
        ours.gradient(eta)
    with pytest.raises(RuntimeError) as expected:  # the program answers
        ours.model.log_density_gradient(eta, propto=False, jacobian=False)
    assert str(said.value) == ours.program.users_words(str(expected.value)).strip()
    assert ours.log_density(eta) == -math.inf


def test_a_target_that_is_not_allowed_is_an_error_of_each_evaluation() -> None:
    ours = posterior(one_prior.make("none"))
    wrong = Posterior(ours.program, {**ours.data, "y_int": [2] * len(ours.data["y_int"])})
    assert not is_analytic(wrong)
    with pytest.raises(DensityError, match="y_int"):
        wrong.gradient(np.zeros(ours.dims))


def test_a_constraint_has_none() -> None:
    for network in (one_prior.make("ordered"), general.make(constraint="ordered")):
        assert not is_analytic(posterior(network))


def test_a_program_with_another_prior_has_none(tmp_path: Any) -> None:
    """A copy of ours that somebody edits keeps the kernel, and is its own density."""
    ours = posterior(one_prior.make("none", prior="normal:1.5"))
    path = tmp_path / "mlp.stan"
    text = ours.program.sources["mlp.stan"]
    path.write_text(text.replace("model {", "model {\n  target += -1000;", 1))
    data = tmp_path / "data.json"
    data.write_text(json.dumps(ours.data))
    edited = Posterior.from_files(path, data)
    assert edited.program.uses_kernel
    assert not is_analytic(edited)
    eta = np.full(ours.dims, 0.3)
    assert edited.log_density(eta) == pytest.approx(ours.log_density(eta) - 1000, rel=RELATIVE)


def test_threads_get_the_same_numbers() -> None:
    """Evaluations share nothing but the data."""
    ours = posterior(general.make("normal", SCALES, skip=False))
    points = np.random.default_rng(seeded(4)).normal(size=(200, ours.dims))
    alone = [ours.gradient(eta) for eta in points]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(ours.gradient, points))
    for (value, gradient), (again, its_gradient) in zip(alone, together, strict=True):
        assert value == again
        assert np.array_equal(gradient, its_gradient)
