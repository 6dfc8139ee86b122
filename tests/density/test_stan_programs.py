"""The Stan programs: gradients, likelihoods, normalised priors and the constrained region."""

from __future__ import annotations

import contextlib
import math
import subprocess
from collections.abc import Callable
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from conftest import needs_tools
from manymodes import toolchain
from manymodes.density.posterior import Posterior
from manymodes.errors import InputError
from manymodes.networks.constraint_programs import PROGRAMS
from manymodes.networks.forward import layers
from manymodes.networks.network import Network
from manymodes.networks.prior import Prior
from seeds import seeded

ACTIVATIONS = ("sigmoid", "tanh", "relu")
LIKELIHOODS = ("bernoulli", "categorical", "normal")
PRIORS = ("normal:1.5", "uniform:3", "laplace:0.8", "student:5,0.9", "ard:0.7")
PD_SKEW_PRIORS = PRIORS[:-1]
N_OBS = 12
MODELS = sorted((toolchain.stan_dir() / "models").glob("*.stan"))
INCLUDED = [toolchain.stan_dir() / folder for folder in ("functions", "blocks")]
SOURCES = MODELS + sorted(path for folder in INCLUDED for path in folder.iterdir())
X = np.random.default_rng(seeded(1)).normal(size=(N_OBS, 2))


@cache
def posterior(network: Network) -> Posterior:
    """Return the posterior of a network given the same few observations as always."""
    rng = np.random.default_rng(seeded(2))
    targets = {
        "bernoulli": rng.integers(0, 2, N_OBS),
        "categorical": rng.integers(0, 3, N_OBS),
        "normal": rng.normal(size=N_OBS),
    }
    return Posterior.from_network(network, X, targets[network.likelihood])


def make(
    constraint: str = "none",
    activation: str = "sigmoid",
    likelihood: str = "bernoulli",
    prior: str = "uniform:3",
    hidden: tuple[int, ...] = (2,),
    inputs: int = 2,
) -> Network:
    outputs = 3 if likelihood == "categorical" else 1
    return Network(inputs, hidden, outputs, activation, likelihood, prior, constraint)


def interior_point(network: Network, rng: np.random.Generator) -> Any:
    """Return an unconstrained point where the density is positive."""
    dims = posterior(network).dims
    points = (rng.normal(size=dims) for _ in range(10_000))
    return next(eta for eta in points if math.isfinite(posterior(network).log_density(eta)))


def allowed(*combinations: Any) -> list[Network]:
    """Return the networks of these combinations that make sense."""
    networks = []
    for combination in combinations:
        with contextlib.suppress(InputError):
            networks.append(make(*combination))
    return networks


COMBINATIONS = allowed(*product(PROGRAMS, ACTIVATIONS, LIKELIHOODS, PRIORS, [(2,), (2, 2)]))
REGIONS = allowed(*product(PROGRAMS, ["tanh", "relu"], ["normal"], PRIORS, [(2, 2)]))
RAGGED = allowed(
    *product(
        ["none", "ordered", "ordered-signed", "unit-norm", "svd"],
        ["tanh", "relu"],
        ["categorical"],
        PRIORS,
        [(3, 1, 2), (1, 4)],
    )
)


def test_what_makes_no_sense_is_left_out_and_nothing_else() -> None:
    """Of 8 constraints x 3 activations x 5 priors: unit-norm is relu's, and so on."""
    kinds = {(n.constraint, n.activation, n.prior) for n in COMBINATIONS}
    unit_norm, signed = 1 * 5, 2 * 5
    svd, pd_skew = 3 * 3, 3 * 3 * 4
    assert len(kinds) == 2 * 3 * 5 + unit_norm + signed + svd + pd_skew
    assert len(COMBINATIONS) == len(kinds) * 3 * 2


def label(value: object) -> str:
    if isinstance(value, Network):
        shape = "-".join(map(str, value.hidden))
        return f"{value.constraint}/{value.activation}/{value.likelihood}/{value.prior}/{shape}"
    return str(value)


@needs_tools
@pytest.mark.parametrize("program", MODELS, ids=lambda path: path.name)
def test_stanc_has_nothing_to_say(program: Path) -> None:
    cmdstan = toolchain.require("cmdstan").cmdstan.path
    assert cmdstan is not None
    includes = f"--include-paths={','.join(map(str, INCLUDED))}"
    stanc = str(cmdstan / "bin" / "stanc")
    command = [stanc, "--warn-pedantic", "--o=/dev/null", includes, str(program)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_sources_have_short_lines_and_no_tabs(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert "\t" not in text
    assert max(map(len, text.splitlines())) <= 80


@needs_tools
@pytest.mark.parametrize("network", COMBINATIONS + RAGGED, ids=label)
def test_gradient_agrees_with_finite_differences(network: Network) -> None:
    density = posterior(network)
    eta = interior_point(network, np.random.default_rng(seeded(3)))
    value, gradient = density.gradient(eta)
    assert value == pytest.approx(density.log_density(eta), rel=1e-12)
    step = 1e-5
    for i, unit in enumerate(np.eye(len(eta)) * step):
        difference = density.log_density(eta + unit) - density.log_density(eta - unit)
        assert gradient[i] == pytest.approx(difference / (2 * step), rel=1e-6, abs=1e-6)


@needs_tools
@pytest.mark.parametrize("network", COMBINATIONS + RAGGED, ids=label)
def test_likelihood_agrees_with_numpy(network: Network) -> None:
    """The density less that of the prior alone, and log_lik, are what NumPy computes."""
    density = posterior(network)
    eta = interior_point(network, np.random.default_rng(seeded(4)))
    y = np.array(density.data["y_real"] or density.data["y_int"])
    y = y - (network.likelihood == "categorical")
    expected = network.log_lik(density.constrain(eta), X, y)
    np.testing.assert_allclose(density.log_lik(eta), expected, rtol=1e-9, atol=1e-12)
    likelihood = density.log_density(eta) - density.prior.log_density(eta)
    assert likelihood == pytest.approx(expected.sum(), rel=1e-10)


@needs_tools
@pytest.mark.parametrize("network", REGIONS + RAGGED, ids=label)
def test_dimensions_and_names(network: Network) -> None:
    density = posterior(network)
    assert density.dims == network.parameter_count
    shapes = {variable.name: variable.shape for variable in density.variables}
    assert network.weight_shapes.items() <= shapes.items()
    assert "log_lik" not in shapes


@needs_tools
def test_a_normal_prior_leaves_weights_where_they_are() -> None:
    """Infinite bounds are no bounds: the unconstrained coordinates are the weights."""
    density = posterior(make(prior="normal:1.5", hidden=(3, 2)))
    eta = np.random.default_rng(seeded(5)).normal(size=density.dims)
    np.testing.assert_array_equal(density.constrain_rows(eta)[: len(eta)], eta)
    np.testing.assert_array_equal(density.constrain(eta)["W"].T.ravel(), eta[:6])
    expected = stats.norm.logpdf(eta, scale=1.5).sum()
    assert density.prior.log_density(eta) == pytest.approx(expected, rel=1e-12)


@needs_tools
@pytest.mark.parametrize("prior", ["laplace:0.8", "student:5,0.9"])
def test_heavy_tailed_priors_are_those_of_scipy(prior: str) -> None:
    density = posterior(make(prior=prior, hidden=(3, 2)))
    eta = np.random.default_rng(seeded(5)).normal(size=density.dims)
    expected = Prior.parse(prior).log_density(eta).sum()
    assert density.prior.log_density(eta) == pytest.approx(expected, rel=1e-12)


@needs_tools
def test_ard_scales_the_weights_of_each_input() -> None:
    """A non-centred prior: independent normals and half-Student-t scales, so no funnel."""
    density = posterior(make(prior="ard:0.7", hidden=(3, 2)))
    eta = np.random.default_rng(seeded(5)).normal(size=density.dims)
    scale, z, others = np.exp(eta[:2]), eta[2:8], eta[8:]
    named = density.constrain(eta)
    np.testing.assert_allclose(named["input_scale"], scale, rtol=1e-12)
    np.testing.assert_allclose(named["W"], z.reshape(2, 3).T * scale, rtol=1e-12)
    expected = stats.norm.logpdf(z).sum() + stats.norm.logpdf(others, scale=0.7).sum()
    expected += (stats.t.logpdf(scale, 4, scale=0.7) + math.log(2) + eta[:2]).sum()
    assert density.prior.log_density(eta) == pytest.approx(expected, rel=1e-12)


@needs_tools
def test_a_uniform_prior_is_logistic_on_the_unconstrained_scale() -> None:
    density = posterior(make(prior="uniform:3", hidden=(3, 2)))
    eta = np.random.default_rng(seeded(6)).normal(size=density.dims)
    expected = stats.logistic.logpdf(eta).sum()
    assert density.prior.log_density(eta) == pytest.approx(expected, rel=1e-12)
    weights = density.constrain_rows(eta)[: len(eta)]
    np.testing.assert_allclose(weights, 6 * stats.logistic.cdf(eta) - 3)


@needs_tools
def test_noise_has_a_half_normal_prior() -> None:
    network = Network(2, (2,), likelihood="normal", prior="normal:1", sigma_scale=0.7)
    density = Posterior.from_network(network, X, X[:, 0]).prior
    eta = np.random.default_rng(seeded(7)).normal(size=density.dims)
    sigma = math.exp(eta[-1])
    expected = stats.norm.logpdf(eta[:-1]).sum() + stats.halfnorm.logpdf(sigma, scale=0.7)
    assert density.log_density(eta) == pytest.approx(expected + eta[-1], rel=1e-12)


def in_region(W: Any) -> Any:
    """Whether matrices (..., M, M) lie in the pd-skew region."""
    i, j = np.triu_indices(W.shape[-1], 1)
    transposed = np.swapaxes(W, -1, -2)
    skew = np.all((W - transposed)[..., i, j] > 0, axis=-1)
    return skew & (np.linalg.eigvalsh(W + transposed)[..., 0] > 0)


@needs_tools
@pytest.mark.parametrize("constraint", ["pd-skew", "pd-skew:lu"])
@pytest.mark.parametrize("prior", PD_SKEW_PRIORS)
@pytest.mark.parametrize("size", [1, 2, 4])
def test_weights_lie_in_the_region(constraint: str, prior: str, size: int) -> None:
    network = make(constraint, prior=prior, hidden=(size, size), inputs=size)
    density = Posterior.from_network(network, np.ones((1, size)), [1])
    eta = np.random.default_rng(seeded(8)).logistic(size=(200, density.dims))
    weights = density.constrain(eta)
    W = weights["W"].reshape(-1, size, size)
    W_deep = np.swapaxes(weights["W_deep"].reshape(-1, size, size), -1, -2)
    for matrices in (W, W_deep):
        assert np.all(in_region(matrices))
        if prior == "uniform:3" and constraint == "pd-skew":
            assert np.all(np.abs(matrices) < 3)


def log_abs_det_jacobian(function: Callable[[Any], Any], eta: Any) -> float:
    """Return log |det| of the Jacobian of a map R^D to R^D by central differences."""
    step = 1e-5
    columns = [
        (function(eta + h) - function(eta - h)) / (2 * step) for h in np.eye(len(eta)) * step
    ]
    return float(np.linalg.slogdet(np.stack(columns, axis=1))[1])


@needs_tools
@pytest.mark.parametrize("prior", PD_SKEW_PRIORS)
@pytest.mark.parametrize("size", [1, 2, 3, 4])
@pytest.mark.parametrize("layers", [1, 2])
def test_pd_skew_prior_is_that_of_its_weights_renormalised(
    prior: str, size: int, layers: int
) -> None:
    """At every point: the density of the weights, over the region's mass, times the Jacobian."""
    network = make("pd-skew", prior=prior, hidden=(size,) * layers, inputs=size)
    density = Posterior.from_network(network, np.ones((1, size)), [1]).prior
    rng = np.random.default_rng(seeded(9))

    def weights(eta: Any) -> Any:
        named = density.constrain(eta)
        return np.concatenate([named[name].ravel() for name in network.effective_names])

    for _ in range(5):
        eta = rng.normal(size=density.dims)
        log_prior = Prior.parse(prior).log_density(weights(eta)).sum()
        expected = log_prior - network.region.log_mass + log_abs_det_jacobian(weights, eta)
        assert density.log_density(eta) == pytest.approx(expected, abs=1e-5)


@needs_tools
@pytest.mark.parametrize("prior", PD_SKEW_PRIORS)
@pytest.mark.parametrize("constraint", ["pd-skew", "pd-skew:lu"])
def test_prior_integrates_to_one(constraint: str, prior: str) -> None:
    """Importance sampling over the unconstrained space from Student-t distributions."""
    network = make(constraint, prior=prior)
    density = posterior(network).prior
    rng = np.random.default_rng(seeded(10))
    proposal = stats.t(df=4, scale=1.5)
    hidden = 4  # the coordinates of W come first; the others factorise exactly
    eta = np.zeros((40_000, density.dims))
    eta[:, :hidden] = proposal.rvs(size=(len(eta), hidden), random_state=rng)
    rest = Prior.parse(prior).log_density(0.0) if prior != "uniform:3" else math.log(0.25)
    log_p = np.array([density.log_density(point) for point in eta]) - 5 * rest
    weights = np.exp(log_p - proposal.logpdf(eta[:, :hidden]).sum(axis=1))
    error = weights.std() / math.sqrt(len(weights))
    assert error < 0.05
    assert abs(weights.mean() - 1) < 3 * error


@needs_tools
@pytest.mark.parametrize("prior", PRIORS[:2])
def test_prior_on_triangular_factors_is_that_of_its_elements(prior: str) -> None:
    density = posterior(make("pd-skew:lu", prior=prior)).prior
    eta = np.random.default_rng(seeded(11)).normal(size=density.dims)
    named = density.constrain(eta)
    t, low, u = named["t"][0], named["T_low"][0], named["u"][0]
    T = np.array([[t[0], 0], [low[0], t[1]]])
    U = np.array([[0, u[0]], [0, 0]])
    np.testing.assert_allclose(named["W"], T @ T.T + U - U.T, rtol=1e-12)
    if prior == "uniform:3":
        expected = stats.logistic.logpdf(eta).sum()
    else:
        positive = np.array([*t, *u])
        expected = stats.halfnorm.logpdf(positive, scale=1.5).sum() + np.log(positive).sum()
        expected += stats.norm.logpdf(np.delete(eta, [0, 1, 3]), scale=1.5).sum()
    assert density.log_density(eta) == pytest.approx(expected, rel=1e-12)


@needs_tools
def test_rejection_is_the_full_posterior_inside_and_minus_infinity_outside() -> None:
    rejection, full = (
        posterior(make("pd-skew:reject", hidden=(2, 2))),
        posterior(make(hidden=(2, 2))),
    )
    eta = np.random.default_rng(seeded(12)).normal(size=(2000, full.dims))
    weights = full.constrain(eta)
    inside = in_region(weights["W"])
    inside &= in_region(np.swapaxes(weights["W_deep"].reshape(-1, 2, 2), -1, -2))
    assert 5 < inside.sum() < 100
    expected = [full.log_density(e) if ok else -math.inf for e, ok in zip(eta, inside, strict=True)]
    np.testing.assert_allclose([rejection.log_density(e) for e in eta], expected, rtol=1e-12)


@needs_tools
@pytest.mark.parametrize("network", REGIONS + RAGGED, ids=label)
def test_inverse_transform_returns_to_the_same_point(network: Network) -> None:
    density = posterior(network)
    eta = np.random.default_rng(seeded(13)).normal(size=(20, density.dims))
    np.testing.assert_allclose(
        density.unconstrain_rows(density.constrain_rows(eta)), eta, atol=1e-7
    )


@needs_tools
@pytest.mark.parametrize("network", REGIONS + RAGGED, ids=label)
def test_draws_respect_the_constraint(network: Network) -> None:
    """Wherever the unconstrained coordinates are, the weights are in the region and the box."""
    if network.constraint == "pd-skew:reject":
        pytest.skip("its density, not its coordinates, keep to the region")
    density = posterior(network)
    weights = density.constrain(np.random.default_rng(seeded(14)).normal(size=(200, density.dims)))
    hidden = list(layers(network.hidden, weights))
    after = [*(matrix for matrix, _ in hidden[1:]), weights["V"]]
    for (matrix, bias), outgoing in zip(hidden, after, strict=True):
        if network.constraint in ("ordered", "ordered-signed", "unit-norm"):
            assert np.all(np.diff(bias, axis=-1) > 0)
        if network.constraint == "ordered-signed":
            assert np.all(outgoing[:, 0] > 0)
        if network.constraint == "unit-norm":
            np.testing.assert_allclose(np.linalg.norm(matrix, axis=-1), 1, rtol=1e-12)
        if network.constraint.startswith("pd-skew"):
            assert np.all(in_region(matrix))
        if network.constraint == "svd":
            assert np.all(np.linalg.matrix_rank(matrix) == min(matrix.shape[1:]))
    bound = Prior.parse(network.prior).bound
    if network.constraint not in ("unit-norm", "pd-skew:lu"):
        for name in ("W", "W_deep", "b", "V", "c"):
            assert np.all(np.abs(weights[name]) <= bound)


@needs_tools
@pytest.mark.parametrize("prior", PRIORS)
@pytest.mark.parametrize("constraint", ["ordered", "ordered-signed"])
@pytest.mark.parametrize("hidden", [(3,), (3, 1, 2), (1, 4)])
def test_ordered_prior_is_that_of_its_weights_times_the_copies(
    constraint: str, prior: str, hidden: tuple[int, ...]
) -> None:
    """At every point: the unconstrained prior, over the region's mass, times the Jacobian."""
    network = make(constraint, "tanh", "categorical", prior, hidden)
    density = posterior(network).prior
    scales = ("input_scale",) if Prior.parse(prior).ard else ()

    def weights(eta: Any) -> Any:
        named = density.constrain(eta)
        return np.concatenate([named[n].ravel() for n in (*scales, *network.effective_names)])

    rng = np.random.default_rng(seeded(15))
    for _ in range(5):
        eta = rng.normal(size=density.dims)
        named = density.constrain(eta)
        expected = network.log_prior(named) - network.region.log_mass
        if scales:
            expected += (stats.t.logpdf(named["input_scale"], 4, scale=0.7) + math.log(2)).sum()
        expected += log_abs_det_jacobian(weights, eta)
        assert density.log_density(eta) == pytest.approx(expected, abs=1e-5)
