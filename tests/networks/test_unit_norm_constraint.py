"""The program of constraint `unit-norm`: the same model as `none`, its units rescaled and ordered.

Weights of the unconstrained network are called free here. They follow from a draw of the program:
the effective weights times the lengths r into a unit, divided by the lengths out of one.
"""

from __future__ import annotations

import math
from functools import cache
from itertools import product

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats
from scipy.special import gammaln

from conftest import needs_tools
from manymodes.density.posterior import Posterior
from manymodes.errors import InputError
from manymodes.networks.forward import layers
from manymodes.networks.network import Network
from manymodes.networks.prior import Prior
from seeds import seeded

Array = npt.NDArray[np.float64]

pytestmark = needs_tools

PRIORS = ("normal:1.5", "uniform:3", "laplace:0.8", "student:5,0.9", "ard:0.7")
SHAPES = [(1, (1,)), (2, (2,)), (1, (3,)), (3, (2, 4)), (2, (3, 1, 2))]  # inputs, hidden
N_OBS = 6


@cache
def posterior(
    inputs: int, hidden: tuple[int, ...], prior: str, likelihood: str = "normal"
) -> Posterior:
    """Return the posterior of a network given a few observations."""
    outputs = 3 if likelihood == "categorical" else 1
    network = Network(inputs, hidden, outputs, "relu", likelihood, prior, "unit-norm")
    rng = np.random.default_rng(seeded(1))
    X = rng.normal(size=(N_OBS, inputs))
    y = rng.normal(size=N_OBS) if likelihood == "normal" else rng.integers(0, 2, N_OBS)
    return Posterior.from_network(network, X, y)


def network_of(density: Posterior) -> Network:
    """Return the network of a posterior that was made from one."""
    assert density.network is not None
    return density.network


def free_weights(network: Network, draw: dict[str, Array]) -> dict[str, Array]:
    """Return the free weights of one draw."""
    matrices, start, before = [], 0, np.ones(network.inputs)
    for matrix, bias in layers(network.hidden, draw):
        lengths = draw["r"][start : start + len(bias)]
        matrices.append(matrix * lengths[:, None] / before)
        start, before = start + len(bias), lengths
    deep = [matrix.ravel(order="F") for matrix in matrices[1:]]
    free: dict[str, Array] = {
        name: draw[name] for name in ("c", "sigma", "input_scale") if name in draw
    }
    free["W"], free["W_deep"] = matrices[0], np.concatenate([*deep, np.empty(0)])
    free["b"], free["V"] = draw["b"] * draw["r"], draw["V"] / before
    return free


def coordinates(network: Network, free: dict[str, Array]) -> Array:
    """Return the program's parameters, flat, that stand for free weights in canonical form."""
    bound = Prior.parse(network.prior).bound
    boxed = math.isfinite(bound)
    parts: dict[str, list[Array]] = {"W_deep_raw": [], "b_low": [], "b_step": []}
    before = np.ones(network.inputs)
    for layer, (w, free_bias) in enumerate(layers(network.hidden, free)):
        A = w * before
        r = np.linalg.norm(A, axis=1)
        b = free_bias / r
        if layer > 0:
            parts["W_deep_raw"].append((w if boxed else A).ravel(order="F"))
        low, steps = b[0], np.diff(b)
        if boxed:
            highest = np.minimum.accumulate((bound / r)[::-1])[::-1]
            lowest = np.maximum(-bound / r[1:], b[:-1])
            low = (b[0] + bound / r[0]) / (highest[0] + bound / r[0]) * 2 * bound - bound
            steps = (b[1:] - lowest) / (highest[1:] - lowest)
        parts["b_low"].append(np.array([low]))
        parts["b_step"].append(steps)
        before = r
    V_raw = free["V"] if boxed else free["V"] * before
    W_raw = free["W"] / free.get("input_scale", 1.0)
    flat = [free.get("input_scale", np.empty(0)), W_raw.ravel(order="F")]
    flat += [np.concatenate([*parts[name], np.empty(0)]) for name in parts]
    flat += [V_raw.ravel(order="F"), free["c"], free.get("sigma", np.empty(0))]
    return np.concatenate(flat)


def in_order(network: Network, free: dict[str, Array]) -> dict[str, Array]:
    """Return free weights with the units of every layer in the order of their rescaled biases."""
    ordered = {name: value.copy() for name, value in free.items()}
    hidden = list(layers(network.hidden, ordered))  # views of `ordered`
    lengths = np.ones(network.inputs)
    for layer, (w, bias) in enumerate(hidden):
        r = np.linalg.norm(w * lengths, axis=1)
        order = np.argsort(bias / r)
        w[:], bias[:], lengths = w[order], bias[order], r[order]
        after = ordered["V"] if layer + 1 == len(hidden) else hidden[layer + 1][0]
        after[:] = after[:, order]
    return ordered


def flat_free(network: Network, draw: dict[str, Array]) -> Array:
    """Return the free weights and the logs of what is positive, flat, W without its scales."""
    free = free_weights(network, draw)
    values = [free["W"] / free.get("input_scale", 1.0)]
    values += [free[name] for name in ("W_deep", "b", "V", "c")]
    values += [np.log(free[name]) for name in ("sigma", "input_scale") if name in free]
    return np.concatenate([value.ravel() for value in values])


def free_log_prior(network: Network, draw: dict[str, Array]) -> float:
    """Return the prior's log density of what `flat_free` returns, for units in any order."""
    free = free_weights(network, draw)
    value = float(network.log_prior(free))
    if "sigma" in free:
        value += stats.halfnorm.logpdf(free["sigma"]).sum() + np.log(free["sigma"]).sum()
    if "input_scale" in free:
        scales = free["input_scale"]
        half = stats.t.logpdf(scales, 4, scale=Prior.parse(network.prior).scale) + math.log(2)
        value += float((half + (1 + network.hidden[0]) * np.log(scales)).sum())
    return value


# -------------------------------------------------------------------------- the density


def test_one_unit_of_one_input_has_a_closed_form() -> None:
    """W = w/|w|, b = b_free/|w|, V = v |w|: the factor of b and that of V cancel."""
    density = posterior(1, (1,), "normal:1", "bernoulli").prior
    for eta in np.random.default_rng(seeded(2)).normal(size=(5, 4)):
        a, beta, v, c = eta
        r = abs(a)
        expected = stats.norm.logpdf([a, beta * r, v / r, c]).sum()
        assert density.log_density(eta) == pytest.approx(expected, rel=1e-12)
        named = density.constrain(eta)
        effective = [named[name].item() for name in ("W", "b", "V", "c", "r")]
        np.testing.assert_allclose(effective, [np.sign(a), beta, v, c, r], rtol=1e-14)


@pytest.mark.parametrize(("shape", "prior"), list(product(SHAPES, PRIORS)))
def test_prior_is_that_of_the_free_weights_times_the_orders(
    shape: tuple[int, tuple[int, ...]], prior: str
) -> None:
    """At every point: density of the free weights, times H! per layer, times the Jacobian."""
    likelihood = "categorical" if len(shape[1]) == 3 else "normal"
    density = posterior(*shape, prior, likelihood).prior
    network = network_of(density)
    orders = gammaln(np.array(network.hidden) + 1).sum()
    assert network.region.log_mass == pytest.approx(-orders)
    rng = np.random.default_rng(seeded(3))
    step = 1e-5
    for eta in rng.normal(size=(4, density.dims)):
        columns = [
            flat_free(network, density.constrain(eta + h))
            - flat_free(network, density.constrain(eta - h))
            for h in np.eye(len(eta)) * step
        ]
        jacobian = np.linalg.slogdet(np.stack(columns, axis=1) / (2 * step))[1]
        expected = free_log_prior(network, density.constrain(eta)) + orders + jacobian
        assert density.log_density(eta) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("shape", "prior"), list(product(SHAPES, PRIORS)))
def test_free_weights_make_the_same_predictions(
    shape: tuple[int, tuple[int, ...]], prior: str
) -> None:
    density = posterior(*shape, prior)
    network = network_of(density)
    X = np.asarray(density.data["X"])
    for eta in np.random.default_rng(seeded(4)).normal(size=(5, density.dims)):
        draw = density.constrain(eta)
        free = free_weights(network, draw)
        np.testing.assert_allclose(
            network.predict(free, X), network.predict(draw, X), rtol=1e-12, atol=1e-12
        )
        expected = network.log_lik(free, X, density.data["y_real"]).sum()
        likelihood = density.log_density(eta) - density.prior.log_density(eta)
        assert likelihood == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("prior", ["uniform:1.5", "laplace:1"])
def test_prior_integrates_to_one(prior: str) -> None:
    """Importance sampling of all coordinates of two units of one input, 4 standard errors.

    In a box from the prior of relative coordinates without an order. Otherwise raw weights from
    their prior, and given their lengths, outgoing weights from theirs, and both biases from a
    Student-t distribution: those out of order are outside of the program, and count as 0.
    """
    density = posterior(1, (2,), prior, "bernoulli").prior
    family = Prior.parse(prior)
    rng = np.random.default_rng(seeded(5))
    draws = 20_000
    if math.isfinite(family.bound):
        eta = rng.logistic(size=(draws, density.dims))
        log_q = stats.logistic.logpdf(eta).sum(axis=1)
    else:
        W, v, c = (family.sample((draws, size), rng) for size in (2, 2, 1))
        r = np.abs(W)
        t = rng.standard_t(3, size=(draws, 2))
        b = t / r
        gap = b[:, 1:] - b[:, :1]
        eta = np.column_stack([W, b[:, 0], np.log(np.maximum(gap, 1e-300)), v * r, c])
        log_q = family.log_density(np.column_stack([W, v, c])).sum(axis=1)
        log_q += stats.t.logpdf(t, 3).sum(axis=1) + np.log(np.abs(gap[:, 0]))
        log_q[gap[:, 0] <= 0] = math.inf
    log_p = np.array([density.log_density(point) for point in eta])
    ratio = np.exp(log_p - log_q)
    error = ratio.std() / math.sqrt(draws)
    assert error < 0.02
    assert abs(ratio.mean() - 1) < 4 * error


# -------------------------------------------------------------------------- the region


@pytest.mark.parametrize("prior", PRIORS)
def test_rows_have_length_one_biases_increase_and_free_weights_keep_to_the_box(prior: str) -> None:
    density = posterior(2, (3, 2), prior)
    network = network_of(density)
    bound = Prior.parse(prior).bound
    spread = np.random.default_rng(seeded(6)).logistic(scale=2, size=(200, density.dims))
    named = density.constrain(spread)
    for matrix, bias in layers(network.hidden, named):
        np.testing.assert_allclose(np.linalg.norm(matrix, axis=-1), 1, rtol=1e-12)
        assert np.all(np.diff(bias, axis=-1) >= 0)
    for draw in range(len(spread)):
        free = free_weights(network, {name: value[draw] for name, value in named.items()})
        for name in network.weight_shapes.keys() - {"sigma"}:
            assert np.all(np.abs(free[name]) <= bound * (1 + 1e-12))


@pytest.mark.parametrize("prior", PRIORS)
def test_every_network_of_the_unconstrained_prior_has_coordinates(prior: str) -> None:
    """Onto: prior draws, put in order, are found again, also those near the edge of the box."""
    density = posterior(2, (3, 2), prior)
    network = network_of(density)
    draws = network.sample_prior(np.random.default_rng(seeded(7)), 50)
    for draw in range(50):
        free = in_order(network, {name: value[draw] for name, value in draws.items()})
        free.setdefault("sigma", np.ones(1))
        named = density.constrain(density.unconstrain_rows(coordinates(network, free)))
        again = free_weights(network, named)
        for name in network.weight_shapes:
            np.testing.assert_allclose(again[name], free[name], rtol=1e-8, atol=1e-8)


def test_biases_in_a_box_are_ordered_uniform_whatever_the_lengths() -> None:
    """Given the other weights, the biases have one constant density on their region.

    The density of the coordinates of two biases, divided by their own logistic densities, is the
    Jacobian of the biases: its mean over the coordinates is the area of the region.
    """
    density = posterior(1, (2,), "uniform:1.5", "bernoulli").prior
    rng = np.random.default_rng(seeded(8))
    eta = rng.normal(size=density.dims)
    r = density.constrain(eta)["r"]
    points = np.tile(eta, (4000, 1))
    points[:, 2:4] = rng.logistic(size=(4000, 2))
    biases = rng.uniform(-1.5, 1.5, (200_000, 2)) / r
    share = np.mean(biases[:, 0] < biases[:, 1])
    log_p = np.array([density.log_density(point) for point in points])
    others = stats.logistic.logpdf(np.delete(eta, [2, 3])).sum()
    ratio = np.exp(log_p - others - stats.logistic.logpdf(points[:, 2:4]).sum(axis=1))
    error = math.hypot(ratio.std() / math.sqrt(4000), 2 * math.sqrt(share * (1 - share) / 200_000))
    assert abs(ratio.mean() - 2 * share) < 4 * error


# -------------------------------------------------------------------------- names and refusals


def test_names_are_those_of_the_effective_weights_and_their_raw_ones() -> None:
    density = posterior(3, (2, 4), "ard:0.7")
    shapes = {variable.name: variable.shape for variable in density.variables}
    assert shapes == {
        "input_scale": (3,),
        "W_raw": (2, 3),
        "W_deep_raw": (8,),
        "b_low": (2,),
        "b_step": (1 + 3,),
        "V_raw": (1, 4),
        "c": (1,),
        "sigma": (1,),
        "r": (6,),
        "W": (2, 3),
        "W_deep": (8,),
        "b": (6,),
        "V": (1, 4),
    }


def test_without_a_box_raw_weights_are_the_weights_times_lengths() -> None:
    """Outgoing weights are in use as they are, incoming ones in units of their length."""
    density = posterior(3, (2, 4), "normal:1.5")
    named = density.constrain(np.random.default_rng(seeded(9)).normal(size=density.dims))
    np.testing.assert_array_equal(named["V"], named["V_raw"])
    np.testing.assert_allclose(np.linalg.norm(named["W_raw"], axis=1), named["r"][:2], rtol=1e-14)
    deep = named["W_deep"].reshape(2, 4).T * named["r"][2:, None]
    np.testing.assert_allclose(deep.ravel(order="F"), named["W_deep_raw"], rtol=1e-14)


@pytest.mark.parametrize("activation", [1, 2])
def test_other_activations_are_refused_by_the_program_too(activation: int) -> None:
    density = posterior(2, (2,), "normal:1.5")
    other = Posterior(density.program, {**density.data, "activation": activation})
    with pytest.raises(InputError, match="activation"):
        other.log_density(np.zeros(density.dims))
