"""The program of priors by group: any likelihood, sampled scales, skip connections, constraints."""

from __future__ import annotations

import math
from functools import cache
from itertools import product, repeat
from typing import Any

import numpy as np
import pytest
from scipy import stats

from conftest import needs_tools
from manymodes.density.network_moves import exact_moves, moved
from manymodes.density.posterior import Posterior
from manymodes.networks.network import Network
from manymodes.sampling.nested import choose_base
from manymodes.sampling.tempered.group_moves import group_entries
from seeds import seeded
from test_kernel import definition

pytestmark = needs_tools

N = 19
LIKELIHOODS = (
    "bernoulli",
    "categorical",
    "normal",
    "heteroscedastic",
    "student:4",
    "poisson",
    "negative-binomial",
    "binomial",
)
FBM = "fbm noise=0.5:2"
OTHERS = (
    "ih=normal:half-normal(1)*half-cauchy hh=laplace:half-cauchy(0.5)/sqrt bh=student:3,2 "
    "ho=0.5:2:3:4 bo=uniform:4 io=normal:gamma(1,3)*gamma(2)"
)
BOXES = "ih=uniform:2 hh=uniform:3 bh=uniform:1.5 ho=uniform:5 bo=normal:2 io=uniform:1"
CONSTRAINTS = ("none", "ordered", "ordered-signed")


def make(
    likelihood: str = "normal",
    prior: str = OTHERS,
    constraint: str = "none",
    activation: str = "tanh",
    hidden: tuple[int, ...] = (3, 2),
    **others: Any,
) -> Network:
    kind = likelihood.partition(":")[0]
    outputs = {"categorical": 3, "normal": 2, "student": 2, "heteroscedastic": 2}.get(kind, 1)
    if kind not in ("normal", "student", "negative-binomial"):
        prior = prior.split(" noise")[0]
    if kind == "heteroscedastic" and prior.startswith("fbm"):
        prior = "fbm bo=normal:1"
    chosen = {"outputs": outputs, "skip": True, **others}
    prior = prior if chosen["skip"] else prior.split(" io")[0]
    return Network(
        2,
        hidden,
        activation=activation,
        likelihood=likelihood,
        prior=prior,
        constraint=constraint,
        **chosen,
    )


NETWORKS = [
    *(make(*one) for one in product(LIKELIHOODS, (OTHERS, FBM), ("none",), ("tanh", "sigmoid"))),
    *(make("normal", prior, one) for prior, one in product((FBM, OTHERS, BOXES), CONSTRAINTS)),
    *(make("poisson", OTHERS, one, centred=True) for one in CONSTRAINTS),
    make("normal", FBM, centred=True, hidden=(4,)),
    make("normal", "normal:1", hidden=(4,), sigma=0.7),
    make("student:4", OTHERS, activation="relu", skip=False),
]


def label(network: Any) -> str:
    if not isinstance(network, Network):
        return str(network)
    prior = network.prior.split("=")[0] + f"-{len(network.prior)}"
    return f"{network.likelihood}/{network.constraint}/{network.activation}/{prior}"


def outcomes(network: Network, rng: np.random.Generator) -> dict[str, Any]:
    """Return targets, and exposures or trials."""
    kind, shape = network.likelihood.partition(":")[0], (N, network.outputs)[: network.outputs]
    if kind == "bernoulli":
        return {"y": rng.integers(0, 2, N)}
    if kind == "categorical":
        return {"y": rng.integers(0, 3, N)}
    if kind in ("poisson", "negative-binomial"):
        return {"y": rng.poisson(30 * rng.random(N)), "exposure": 1 + rng.random(N)}
    if kind == "binomial":
        trials = rng.integers(1, 9, N)
        return {"y": rng.binomial(trials, 0.4), "trials": trials}
    return {"y": rng.normal(size=shape)}


@cache
def posterior(network: Network) -> Posterior:
    rng = np.random.default_rng(seeded(1))
    X = rng.normal(size=(N, 2))
    return Posterior.from_network(network, X, **outcomes(network, rng))


def point(network: Network, seed: int) -> Any:
    density = posterior(network)
    rng = np.random.default_rng(seeded(seed))
    points = (0.5 * rng.normal(size=density.dims) for _ in range(1000))
    return next(eta for eta in points if math.isfinite(density.log_density(eta)))


@pytest.mark.parametrize("network", NETWORKS, ids=label)
def test_the_likelihood_is_numpys(network: Network) -> None:
    density, eta = posterior(network), point(network, 2)
    assert density.dims == network.parameter_count
    rng = np.random.default_rng(seeded(1))
    X = rng.normal(size=(N, 2))
    expected = network.log_lik(density.constrain(eta), X, **outcomes(network, rng))
    np.testing.assert_allclose(density.log_lik(eta), expected, rtol=1e-9, atol=1e-9)
    likelihood = density.log_density(eta) - density.prior.log_density(eta)
    assert likelihood == pytest.approx(expected.sum(), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("network", NETWORKS, ids=label)
def test_the_gradient_is_that_of_finite_differences(network: Network) -> None:
    density, eta = posterior(network), point(network, 3)
    value, gradient = density.gradient(eta)
    assert value == pytest.approx(density.log_density(eta), rel=1e-12)
    step = 1e-5
    for i, unit in enumerate(np.eye(len(eta)) * step):
        difference = density.log_density(eta + unit) - density.log_density(eta - unit)
        assert gradient[i] == pytest.approx(difference / (2 * step), rel=2e-6, abs=2e-5)


@pytest.mark.parametrize("network", NETWORKS, ids=label)
def test_the_kernel_is_the_definition(network: Network) -> None:
    ours, stan, eta = posterior(network), definition(posterior(network)), point(network, 4)
    assert ours.program.uses_kernel
    value, gradient = ours.gradient(eta)
    expected, by_autodiff = stan.gradient(eta)
    assert value == pytest.approx(expected, rel=1e-12)
    size = max(1.0, float(np.abs(by_autodiff).max()))
    assert np.abs(gradient - by_autodiff).max() <= 1e-11 * size
    np.testing.assert_allclose(ours.log_lik(eta), stan.log_lik(eta), rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize(
    "network", [one for one in NETWORKS if one.constraint == "none"], ids=label
)
def test_the_prior_is_numpys(network: Network) -> None:
    """The density of weights and scales, brought to the unconstrained scale by its Jacobian."""
    density, eta = posterior(network), point(network, 5)
    named = {name: np.asarray(value)[None] for name, value in density.constrain(eta).items()}
    prior = network.prior_parts
    expected = network.log_prior(named)[0]
    at = 0
    own = {"group_scale": [], "source_scale": []}
    for group, matrix in zip(prior.groups.values(), prior.matrices(named), strict=True):
        if group.scale.kind != "fixed":
            own["group_scale"].append((group.scale, 1))
        if group.sources is not None:
            own["source_scale"].append((group.sources, matrix.shape[-1]))
    for name, priors in own.items():
        at = 0
        for scale, n in priors:
            s = named[name][0, at : at + n]
            expected += (scale.log_density(s) + np.log(s)).sum()
            at += n
    if "sigma" in named:
        s = named["sigma"][0]
        expected += (prior.noise.log_density(s) + np.log(s)).sum()
    # Raw weights are weights over scales, or of a bounded family by a logistic transform.
    centred = bool(max(density.data["centred"]))
    for group, matrix, scale in zip(
        prior.groups.values(), prior.matrices(named), prior.scales(named), strict=True
    ):
        if not (centred and group.sampled):
            expected += (np.log(scale) * np.ones(matrix.shape)).sum()
        if group.family == "uniform":
            u = (matrix / scale + 1) / 2
            expected += np.log(2 * u * (1 - u)).sum()
    assert density.prior.log_density(eta) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("constraint", CONSTRAINTS)
@pytest.mark.parametrize("prior", ["normal:1", OTHERS, BOXES])
def test_a_constraint_holds_and_loses_no_mass(constraint: str, prior: str) -> None:
    """Importance sampling of a small network: the prior integrates to one."""
    prior = prior.split(" hh")[0] + prior.partition(" bh")[1] + prior.partition(" bh")[2]
    network = Network(
        1, (2,), likelihood="poisson", prior=prior.split(" io")[0], constraint=constraint
    )
    density = Posterior.from_network(network, [[0.5], [1.0]], [1, 2]).prior
    rng = np.random.default_rng(seeded(6))
    q = stats.multivariate_t(np.zeros(density.dims), 3 * np.eye(density.dims), df=4)
    points = q.rvs(40_000, random_state=rng)
    logs = np.array([density.log_density(one) for one in points]) - q.logpdf(points)
    weights = np.exp(logs)
    error = weights.std(ddof=1) / math.sqrt(len(weights))
    assert abs(weights.mean() - 1) < 4 * error < 0.8
    named = density.constrain(points[0])
    if constraint != "none":
        assert (np.diff(named["b"]) > 0).all()
    if constraint == "ordered-signed":
        assert (named["V"] > 0).all()


def test_draws_of_the_prior_have_the_programs_density() -> None:
    """What NumPy draws has the distribution that FBM defines: Gamma precisions, normal weights."""
    network = make("normal", FBM, hidden=(4,))
    rng = np.random.default_rng(seeded(7))
    draws = network.sample_prior(rng, 4000)
    scale = draws["group_scale"][:, 0]
    expected = stats.gamma(0.25, scale=1 / (0.25 * 0.05**2))
    assert stats.kstest(scale**-2.0, expected.cdf).pvalue > 1e-3
    relative = draws["W"][:, 0, 0] / scale
    assert stats.kstest(relative, stats.norm.cdf).pvalue > 1e-3


def test_a_large_count_and_a_small_overdispersion_keep_their_digits() -> None:
    """Where log Gamma functions cancel: counts of 1e6, and noise of 1e-4 and of 30."""
    network = Network(1, (1,), likelihood="negative-binomial", prior="normal:1")
    X, y = [[0.1], [0.2], [0.3]], [0, 12, 1_000_000]
    density = Posterior.from_network(network, X, y, exposure=[1.0, 10.0, 1e6])
    for sigma in (1e-4, 1e-2, 1.0, 30.0):
        eta = np.array([0.3, 0.1, 0.2, 0.05, math.log(sigma)])
        outputs = 0.2 * np.tanh(0.3 * np.array([0.1, 0.2, 0.3]) + 0.1) + 0.05
        means = np.exp(outputs) * np.array([1.0, 10.0, 1e6])
        expected = [exact_negative_binomial(*one) for one in zip(y, means, repeat(sigma**-2.0))]
        np.testing.assert_allclose(density.log_lik(eta), expected, rtol=1e-10)


def exact_negative_binomial(y: int, mean: float, phi: float) -> float:
    """Return the log probability, term by term where log Gamma functions would cancel."""
    rising = math.fsum(math.log1p(i / phi) for i in range(y))
    growth = math.log1p(mean / phi)
    return rising + y * math.log(mean) - (y + phi) * growth - math.lgamma(y + 1)


@pytest.mark.parametrize(
    ("prior", "centred"),
    [(OTHERS, False), (OTHERS, True), (FBM, False), (FBM, True), (BOXES, None)],
)
def test_the_groups_moves_leave_the_density_as_it_is(prior: str, centred: bool | None) -> None:
    """Exchanges of units take the scales of their sources along; flips of tanh units are exact."""
    network = make("normal", prior, hidden=(3, 2), centred=centred)
    density, eta = posterior(network), point(network, 8)
    moves = exact_moves(density)
    assert moves is not None
    assert len(moves) == 6 * 2 * 2**5
    heights = [density.log_density(one) for one in moves.images(eta)[::17]]
    np.testing.assert_allclose(heights, density.log_density(eta), rtol=1e-10)
    entries = group_entries(density, choose_base(density), 1)
    assert [value for name, value in entries if name == "layer"] == [1, 1]
    assert all(str(value).startswith("1 ") for name, value in entries if name == "flip")
    assert sum(name == "flip" for name, _ in entries) == 5


def test_a_flip_of_a_sigmoid_unit_moves_the_weight_not_the_raw_one() -> None:
    """The bias that takes it up has a scale of its own."""
    network = make("poisson", OTHERS, activation="sigmoid", hidden=(2,))
    density, eta = posterior(network), point(network, 9)
    flipped = moved(density, eta, [[[0, 1]]], [[[-1, 1]]])[0]
    np.testing.assert_allclose(density.log_lik(flipped), density.log_lik(eta), rtol=1e-9)
