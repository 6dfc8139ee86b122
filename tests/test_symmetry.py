"""The symmetry group: copies have the same function, and there are as many as the order says."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from manymodes.errors import InputError
from manymodes.network import Network
from manymodes.symmetry import act, group_order, log_group_order, orbit


def random_weights(network: Network, seed: int, lead: tuple[int, ...] = ()) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    return {name: rng.normal(size=lead + shape) for name, shape in network.weight_shapes.items()}


networks = st.builds(
    Network,
    inputs=st.integers(1, 3),
    hidden=st.lists(st.integers(1, 4), min_size=1, max_size=3).map(tuple),
    activation=st.sampled_from(["sigmoid", "tanh", "relu"]),
    likelihood=st.just("normal"),
)


@given(networks, st.integers(0, 1000), st.data())
def test_a_member_of_the_group_keeps_the_predictions(
    network: Network, seed: int, data: st.DataObject
) -> None:
    flips = [1] if network.activation == "relu" else [1, -1]
    permutations = [data.draw(st.permutations(range(n))) for n in network.hidden]
    signs = [
        data.draw(st.lists(st.sampled_from(flips), min_size=n, max_size=n)) for n in network.hidden
    ]
    weights = random_weights(network, seed, (3,))
    before = {name: value.copy() for name, value in weights.items()}
    X = np.random.default_rng(seed + 1).normal(size=(7, network.inputs))
    moved = act(network, weights, permutations, signs)
    np.testing.assert_allclose(
        network.predict(moved, X), network.predict(weights, X), rtol=1e-12, atol=1e-12
    )
    for name, value in before.items():
        np.testing.assert_array_equal(weights[name], value)


@pytest.mark.parametrize(
    ("hidden", "activation", "order"),
    [
        ((2,), "tanh", 8),
        ((2,), "sigmoid", 8),
        ((3,), "relu", 6),
        ((3,), "tanh", 48),
        ((2, 2), "sigmoid", 64),
        ((2, 3), "relu", 12),
    ],
)
def test_the_orbit_has_as_many_different_copies_as_the_order_says(
    hidden: tuple[int, ...], activation: str, order: int
) -> None:
    network = Network(2, hidden, activation=activation)
    weights = random_weights(network, 1)
    copies = list(orbit(network, weights))
    rows = np.array([np.concatenate([v.ravel() for v in copy.values()]) for copy in copies])
    assert group_order(network) == order
    assert len(np.unique(np.round(rows, 9), axis=0)) == len(rows) == order
    np.testing.assert_array_equal(copies[0]["W"], weights["W"])
    X = np.random.default_rng(2).normal(size=(5, 2))
    for copy in copies:
        np.testing.assert_allclose(
            network.predict(copy, X), network.predict(weights, X), rtol=1e-12
        )


def test_order_of_a_wide_network_is_exact_and_its_log_does_not_overflow() -> None:
    network = Network(2, (200, 5), activation="tanh")
    order = math.factorial(200) * 2**200 * math.factorial(5) * 2**5
    assert group_order(network) == order
    assert log_group_order(network) == pytest.approx(math.log(order), rel=1e-14)
    assert log_group_order(Network(2, (3,), activation="relu")) == pytest.approx(math.log(6))


def test_a_sigmoid_flip_moves_the_output_bias() -> None:
    network = Network(1, (1,), activation="sigmoid")
    weights = {"W": [[2.0]], "b": [1.0], "V": [[3.0]], "c": [0.5]}
    flipped = act(network, weights, [[0]], [[-1]])
    assert {name: value.ravel().tolist() for name, value in flipped.items()} == {
        "W": [-2.0],
        "b": [-1.0],
        "V": [-3.0],
        "c": [3.5],
    }


def test_what_is_no_member_of_the_group_is_refused() -> None:
    network = Network(2, (2,), activation="relu")
    weights = random_weights(network, 1)
    with pytest.raises(InputError, match="signs"):
        act(network, weights, [[0, 1]], [[1, -1]])
    with pytest.raises(InputError, match="permutations"):
        act(network, weights, [[0, 0]], [[1, 1]])
    with pytest.raises(InputError, match="too many"):
        next(orbit(Network(2, (9,)), weights))
