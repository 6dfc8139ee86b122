"""`Network`: what it accepts and refuses, its data, and its predictions against plain formulas."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from manymodes.errors import InputError
from manymodes.networks import forward
from manymodes.networks.constraint_programs import PROGRAMS
from manymodes.networks.network import Network
from manymodes.networks.prior import Prior
from seeds import seeded

RNG = np.random.default_rng(seeded(20220511))
X = RNG.normal(size=(6, 2))


def random_weights(network: Network, lead: tuple[int, ...] = ()) -> dict[str, Any]:
    shapes = network.weight_shapes.items()
    return {
        name: np.abs(RNG.normal(size=lead + shape)) - 0.3 * (name != "sigma")
        for name, shape in shapes
    }


def by_hand(network: Network, w: dict[str, Any], x: Any) -> list[float]:
    """Compute the outputs for one draw and one input with scalar arithmetic only."""
    function: dict[str, Callable[[float], float]] = {
        "sigmoid": lambda z: 1 / (1 + math.exp(-z)),
        "tanh": math.tanh,
        "relu": lambda z: max(z, 0.0),
    }
    units, first, unit = list(x), 0, 0
    for layer, width in enumerate(network.hidden):
        new = []
        for j in range(width):
            z = w["b"][unit + j]
            for i, value in enumerate(units):
                weight = w["W"][j, i] if layer == 0 else w["W_deep"][first + i * width + j]
                z += weight * value
            new.append(function[network.activation](z))
        first += width * len(units) if layer else 0
        unit += width
        units = new
    return [
        w["c"][k] + sum(v * u for v, u in zip(w["V"][k], units, strict=True))
        for k in range(network.outputs)
    ]


@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "relu"])
@pytest.mark.parametrize("hidden", [(2,), (3, 2), (2, 4, 3)])
def test_bernoulli_probability_and_log_likelihood(hidden: tuple[int, ...], activation: str) -> None:
    network = Network(2, hidden, activation=activation)
    w = random_weights(network)
    y = np.array([0, 1, 1, 0, 1, 0])
    p = np.array([1 / (1 + math.exp(-by_hand(network, w, x)[0])) for x in X])
    np.testing.assert_allclose(network.predict(w, X), p, rtol=1e-13)
    expected = [math.log(p[n] if y[n] else 1 - p[n]) for n in range(6)]
    np.testing.assert_allclose(network.log_lik(w, X, y), expected, rtol=1e-12)


def test_categorical_probabilities_and_log_likelihood() -> None:
    network = Network(2, (3,), outputs=3, likelihood="categorical")
    w = random_weights(network)
    y = np.array([0, 1, 2, 2, 1, 0])
    e = np.exp([by_hand(network, w, x) for x in X])
    p = e / e.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(network.predict(w, X), p, rtol=1e-13)
    np.testing.assert_allclose(network.log_lik(w, X, y), np.log(p[np.arange(6), y]), rtol=1e-12)


def test_normal_mean_and_log_likelihood() -> None:
    network = Network(2, (3,), likelihood="normal")
    w = random_weights(network)
    y = RNG.normal(size=6)
    mean = np.array([by_hand(network, w, x)[0] for x in X])
    s = w["sigma"][0]
    np.testing.assert_allclose(network.predict(w, X), mean, rtol=1e-13)
    expected = -((y - mean) ** 2) / (2 * s**2) - math.log(s) - math.log(2 * math.pi) / 2
    np.testing.assert_allclose(network.log_lik(w, X, y), expected, rtol=1e-12)
    scalar = {**w, "sigma": s}
    np.testing.assert_array_equal(network.log_lik(scalar, X, y), network.log_lik(w, X, y))


@pytest.mark.parametrize("likelihood", ["bernoulli", "categorical", "normal"])
def test_draws_are_independent_of_their_shape_and_of_blocks(
    likelihood: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    outputs = 3 if likelihood == "categorical" else 1
    network = Network(2, (3, 2), outputs=outputs, likelihood=likelihood)
    w = random_weights(network, (4, 5))
    y = np.array([0, 1, 1, 0, 1, 0])
    monkeypatch.setattr(forward, "_BLOCK", 6 * 3 * 7)  # seven draws at a time
    p, log_lik = network.predict(w, X), network.log_lik(w, X, y)
    assert p.shape == (4, 5, 6, 3) if likelihood == "categorical" else (4, 5, 6)
    assert log_lik.shape == (4, 5, 6)
    for i, j in [(0, 0), (1, 3), (3, 4)]:
        one = {name: value[i, j] for name, value in w.items()}
        np.testing.assert_allclose(p[i, j], network.predict(one, X), rtol=1e-13)
        np.testing.assert_allclose(log_lik[i, j], network.log_lik(one, X, y), rtol=1e-13)


def test_log_likelihood_of_extreme_weights_is_finite() -> None:
    network = Network(1, (1,), activation="relu")
    w = {"W": [[1.0]], "b": [0.0], "V": [[1e4]], "c": [0.0]}
    np.testing.assert_allclose(network.log_lik(w, [[1.0], [1.0]], [0, 1]), [-1e4, 0.0])


def test_data_are_json_and_complete() -> None:
    network = Network(2, (3, 2), activation="relu", prior="uniform:5")
    data = json.loads(json.dumps(network.data(X, [0, 1, 1, 0, 1, 0], log_lik=True)))
    assert data.pop("X") == X.tolist()
    assert data == {
        "N": 6,
        "M": 2,
        "L": 2,
        "K": 1,
        "hidden": [3, 2],
        "activation": 3,
        "likelihood": 1,
        "prior_family": 2,
        "prior_scale": 5.0,
        "prior_nu": 1.0,
        "ard": 0,
        "sigma_scale": 1.0,
        "y_int": [0, 1, 1, 0, 1, 0],
        "y_real": [],
        "prior_only": 0,
        "save_log_lik": 1,
    }


def test_classes_are_counted_from_one_in_stan() -> None:
    data = Network(2, (2,), outputs=3, likelihood="categorical").data(X, [0, 1, 2, 0, 1, 2])
    assert data["y_int"] == [1, 2, 3, 1, 2, 3]


def test_programs_get_what_belongs_to_their_constraint() -> None:
    def extra(constraint: str, prior: str = "uniform:5") -> dict[str, Any]:
        network = Network(2, (2, 2), prior=prior, constraint=constraint)
        data = network.data(X, [0, 1, 1, 0, 1, 0])
        return {name: data[name] for name in ("log_region", "positive", "ard") if name in data}

    assert extra("none") == {"ard": 0}
    assert extra("none", "ard:2") == {"ard": 1}
    assert extra("ordered") == {"positive": 0, "ard": 0}
    assert extra("ordered-signed", "ard:2") == {"positive": 1, "ard": 1}
    assert extra("svd", "normal:1") == extra("pd-skew:lu") == extra("pd-skew:reject") == {}
    assert extra("pd-skew") == {"log_region": pytest.approx(2 * math.log(23 / 288))}
    assert Network(2, (2,), constraint="pd-skew:lu").region.log_mass == 0.0


def test_sizes_and_programs() -> None:
    network = Network(2, (3, 4), outputs=3, likelihood="categorical")
    assert network.weight_shapes == {
        "W": (3, 2),
        "W_deep": (12,),
        "b": (7,),
        "V": (3, 4),
        "c": (3,),
    }
    assert network.parameter_count == 40
    assert network.effective_names == ("W", "W_deep", "b", "V", "c")
    assert Network(2, (2,)).parameter_count == 9
    assert Network(2, (2,), likelihood="normal").effective_names == ("W", "b", "V", "c", "sigma")


@pytest.mark.parametrize("constraint", PROGRAMS)
def test_every_constraint_has_its_program(constraint: str) -> None:
    activation = "relu" if constraint == "unit-norm" else "tanh"
    assert Network(2, (2,), activation=activation, constraint=constraint).program.is_file()


def test_a_network_survives_its_dict() -> None:
    network = Network(2, (3, 4), outputs=3, likelihood="categorical", prior="uniform:2.5")
    assert Network.from_dict(json.loads(json.dumps(network.to_dict()))) == network
    with pytest.raises(InputError, match="unknown argument units"):
        Network.from_dict({"inputs": 2, "hidden": [2], "units": 3})
    with pytest.raises(InputError, match="missing argument hidden"):
        Network.from_dict({"inputs": 2})


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"inputs": 0}, "inputs: 0"),
        ({"inputs": 2.0}, "inputs: 2.0"),
        ({"hidden": ()}, "hidden"),
        ({"hidden": (2, 0)}, "hidden: 0"),
        ({"activation": "elu"}, "allowed are sigmoid, tanh, relu"),
        ({"likelihood": "gamma"}, "allowed are bernoulli, categorical, normal"),
        ({"constraint": "sorted"}, "allowed are none, ordered, ordered-signed, unit-norm, pd-skew"),
        ({"prior": "cauchy:1"}, "normal:SD, uniform:B"),
        ({"outputs": 2}, "use likelihood 'categorical'"),
        ({"likelihood": "categorical"}, "at least 2"),
        ({"sigma_scale": 0.0}, "sigma_scale"),
        (
            {"hidden": (3,), "constraint": "pd-skew"},
            "hidden layers of 2 units, or constraint 'svd'",
        ),
        ({"constraint": "unit-norm"}, "use activation 'relu', or constraint 'ordered-signed'"),
        (
            {"constraint": "ordered-signed", "activation": "relu"},
            "use constraint 'unit-norm' or 'ordered'",
        ),
        ({"constraint": "svd", "prior": "uniform:1"}, "use prior 'normal:SD'"),
        ({"constraint": "svd", "prior": "ard"}, "use prior 'normal:1', or constraint 'ordered'"),
        ({"constraint": "pd-skew", "prior": "ard:2"}, "use prior 'normal:2'"),
        ({"hidden": (2, 3), "constraint": "pd-skew:lu"}, "hidden layers of 2 units"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError) as caught:
        Network(**{"inputs": 2, "hidden": (2,), **arguments})
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_mass_of_a_region_counts_its_copies() -> None:
    network = Network(3, (4, 2), constraint="ordered")
    assert network.region.log_mass == pytest.approx(-math.log(24 * 2))
    assert replace(network, constraint="ordered-signed").region.log_mass == pytest.approx(
        -math.log(24 * 2 * 2**6)
    )
    assert replace(network, constraint="svd").region.log_mass == pytest.approx(
        -math.log(2 ** (3 + 2))
    )
    assert network.region.exact


PRIORS = ["normal:2", "uniform:2", "laplace:0.7", "student:4,0.7", "ard:0.5"]


@pytest.mark.parametrize("prior", PRIORS)
def test_log_prior_is_that_of_every_weight(prior: str) -> None:
    network = Network(2, (3, 2), likelihood="normal", prior=prior)
    draws = network.sample_prior(np.random.default_rng(seeded(1)), 4)
    each = Prior.parse(prior)
    expected = np.zeros(4)
    for name in ("W", "W_deep", "b", "V", "c"):
        scale = draws["input_scale"][:, None, :] if name == "W" and each.ard else each.scale
        z = draws[name] / scale
        one = replace(each, scale=1.0)
        expected += (one.log_density(z) - np.log(scale)).reshape(4, -1).sum(axis=1)
    np.testing.assert_allclose(network.log_prior(draws), expected, rtol=1e-12)
    reshaped = {name: value.reshape(2, 2, *value.shape[1:]) for name, value in draws.items()}
    np.testing.assert_allclose(network.log_prior(reshaped), expected.reshape(2, 2), rtol=1e-12)


@pytest.mark.parametrize("prior", PRIORS)
def test_draws_of_the_prior_have_its_shapes_and_spread(prior: str) -> None:
    network = Network(2, (3, 2), likelihood="normal", prior=prior, sigma_scale=0.3)
    draws = network.sample_prior(np.random.default_rng(seeded(2)), 20_000)
    shapes = {name: value.shape[1:] for name, value in draws.items() if name != "input_scale"}
    assert shapes == network.weight_shapes
    distribution = Prior.parse(prior).distribution
    for name in ("W_deep", "b", "V", "c"):
        share = np.mean(np.abs(draws[name]) < distribution.ppf(0.75))
        assert abs(share - 0.5) < 4 * 0.5 / math.sqrt(draws[name].size)
    assert draws["sigma"].min() > 0
    assert np.mean(draws["sigma"] ** 2) == pytest.approx(0.09, rel=0.05)


def test_weights_outside_of_the_box_have_no_prior() -> None:
    network = Network(2, (2,), prior="uniform:1")
    draws = network.sample_prior(np.random.default_rng(seeded(3)), 2)
    draws["c"][1] = 1.01
    np.testing.assert_allclose(network.log_prior(draws), [-9 * math.log(2), -math.inf])


@pytest.mark.parametrize(
    ("likelihood", "y", "words"),
    [
        (
            "bernoulli",
            [0, 1, 2, 0, 1, 0],
            "y: row 2 (counted from 0) is 2; a bernoulli target must be",
        ),
        ("bernoulli", [0, 1, 0, 0.5, 1, 0], "row 3 (counted from 0) is 0.5"),
        ("categorical", [0, 1, 2, 3, 1, 0], "row 3 (counted from 0) is 3; a categorical target"),
        ("categorical", [0, 1, 2, -1, 1, 0], "a class label 0 to 2"),
        ("normal", [0, 1, math.nan, 3, 1, 0], "row 2 (counted from 0) is nan"),
        ("normal", [0, 1], "y: shape (2,) does not fit X with 6 rows; give (6,)"),
        ("normal", ["a"] * 6, "y: not an array of numbers"),
    ],
)
def test_wrong_targets_name_their_row(likelihood: str, y: list[Any], words: str) -> None:
    network = Network(
        2, (2,), outputs=3 if likelihood == "categorical" else 1, likelihood=likelihood
    )
    with pytest.raises(InputError) as caught:
        network.data(X, y)
    assert words in str(caught.value)


def test_wrong_inputs_name_their_place() -> None:
    network = Network(2, (2,))
    bad = X.copy()
    bad[4, 1] = math.nan
    with pytest.raises(InputError, match=r"X: row 4, column 1 \(counted from 0\) is nan"):
        network.data(bad, [0] * 6)
    with pytest.raises(InputError, match=r"X: shape \(6, 1\) does not fit; give \(N, 2\)"):
        network.data(X[:, :1], [0] * 6)
    with pytest.raises(InputError, match="N at least 1"):
        network.data(X[:0], [])


def test_wrong_weights_are_named() -> None:
    network = Network(2, (2,), likelihood="normal")
    w = random_weights(network, (4,))
    with pytest.raises(InputError, match="'V' is missing"):
        network.predict({name: value for name, value in w.items() if name != "V"}, X)
    with pytest.raises(InputError, match=r"b: shape \(3, 2\) does not fit; give \(4, 2\)"):
        network.predict({**w, "b": w["b"][:3]}, X)
    with pytest.raises(InputError, match="sigma"):
        network.log_lik({**w, "sigma": np.ones((4, 2))}, X, np.zeros(6))
