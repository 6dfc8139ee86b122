"""The symmetry group: copies have the same function, and there are as many as the order says."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from manymodes.errors import InputError
from manymodes.networks.network import Network
from manymodes.networks.symmetry import (
    act,
    canonical,
    generators,
    group_order,
    members,
    orbit,
    random_members,
    rescale,
)
from seeds import seeded


def random_weights(network: Network, seed: int, lead: tuple[int, ...] = ()) -> dict[str, Any]:
    rng = np.random.default_rng(seeded(seed))
    return {name: rng.normal(size=lead + shape) for name, shape in network.weight_shapes.items()}


def a_network(
    inputs: int, hidden: list[int], activation: str, likelihood: str, classes: int
) -> Network:
    outputs = classes if likelihood == "categorical" else 1
    return Network(inputs, tuple(hidden), outputs, activation, likelihood)


networks = st.builds(
    a_network,
    inputs=st.integers(1, 3),
    hidden=st.lists(st.integers(1, 4), min_size=1, max_size=3),
    activation=st.sampled_from(["sigmoid", "tanh", "relu"]),
    likelihood=st.sampled_from(["bernoulli", "categorical", "normal"]),
    classes=st.integers(2, 3),
)


def assert_same_predictions(network: Network, new: Any, old: Any, seed: int = 1) -> None:
    """Predictions agree to 1e-12 of the largest, here and below what link and sums amplify."""
    X = np.random.default_rng(seeded(seed)).normal(size=(7, network.inputs))
    now, before = network.predict(new, X), network.predict(old, X)
    np.testing.assert_allclose(now, before, rtol=0, atol=1e-12 * max(1.0, np.abs(before).max()))


def assert_same_weights(new: Any, old: Any) -> None:
    for name in new:
        np.testing.assert_allclose(new[name], old[name], rtol=1e-12, atol=1e-12)


def random_copy(network: Network, weights: Any, seed: int) -> dict[str, Any]:
    """Return every draw's own random copy; relu units are rescaled too."""
    rng = np.random.default_rng(seeded(seed + 100))
    n = len(weights["c"])
    copy = act(network, weights, *random_members(network, n, rng))
    if network.activation == "relu":
        copy = rescale(network, copy, [rng.lognormal(size=(n, h)) for h in network.hidden])
    return copy


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
    X = np.random.default_rng(seeded(2)).normal(size=(5, 2))
    for copy in copies:
        np.testing.assert_allclose(
            network.predict(copy, X), network.predict(weights, X), rtol=1e-12
        )


def test_order_of_a_wide_network_is_exact() -> None:
    network = Network(2, (200, 5), activation="tanh")
    order = math.factorial(200) * 2**200 * math.factorial(5) * 2**5
    assert group_order(network) == order
    assert group_order(Network(2, (3,), activation="relu")) == 6


@given(networks, st.integers(0, 1000))
def test_every_draw_can_have_its_own_member(network: Network, seed: int) -> None:
    weights = random_weights(network, seed, (5,))
    assert_same_predictions(network, random_copy(network, weights, seed), weights)


@given(networks, st.integers(0, 1000))
def test_generators_keep_the_predictions(network: Network, seed: int) -> None:
    weights = random_weights(network, seed, (2, 3))
    for generator in generators(network):
        assert_same_predictions(network, generator(network, weights), weights)


@given(networks, st.integers(0, 1000), st.booleans())
def test_canonical_weights_have_the_same_function(
    network: Network, seed: int, approximate: bool
) -> None:
    weights = random_weights(network, seed, (2, 3))
    before = {name: value.copy() for name, value in weights.items()}
    form = canonical(network, weights, approximate=approximate)
    assert_same_predictions(network, form, weights)
    assert {name: value.shape for name, value in form.items()} == {
        name: value.shape for name, value in weights.items()
    }
    for name, value in before.items():
        np.testing.assert_array_equal(weights[name], value)


@given(networks, st.integers(0, 1000), st.booleans())
def test_canonical_weights_are_their_own_canonical_form(
    network: Network, seed: int, approximate: bool
) -> None:
    form = canonical(network, random_weights(network, seed, (4,)), approximate=approximate)
    assert_same_weights(canonical(network, form, approximate=approximate), form)


@given(networks, st.integers(0, 1000))
def test_all_copies_have_one_canonical_form(network: Network, seed: int) -> None:
    weights = random_weights(network, seed, (4,))
    copy = random_copy(network, weights, seed)
    assert_same_weights(
        canonical(network, copy, approximate=True), canonical(network, weights, approximate=True)
    )


@given(networks, st.integers(0, 1000))
def test_without_flips_permuted_copies_have_one_canonical_form(network: Network, seed: int) -> None:
    weights = random_weights(network, seed, (4,))
    permutations, _ = random_members(network, 4, np.random.default_rng(seed))
    copy = act(network, weights, permutations, [np.ones(h) for h in network.hidden])
    assert_same_weights(canonical(network, copy), canonical(network, weights))


@pytest.mark.parametrize("activation", ["tanh", "sigmoid"])
def test_canonical_weights_of_one_layer_are_ordered_and_signed(activation: str) -> None:
    network = Network(2, (4,), activation=activation)
    form = canonical(network, random_weights(network, 3, (50,)), approximate=True)
    assert (np.diff(form["b"], axis=-1) > 0).all()
    assert (form["V"][:, 0] > 0).all()


def test_canonical_tanh_weights_are_ordered_and_signed_in_every_layer() -> None:
    network = Network(2, (3, 2), activation="tanh")
    form = canonical(network, random_weights(network, 3, (50,)))
    assert (np.diff(form["b"][:, :3], axis=-1) > 0).all()
    assert (np.diff(form["b"][:, 3:], axis=-1) > 0).all()
    assert (form["V"][:, 0] > 0).all()
    first_row = form["W_deep"].reshape(50, 3, 2)[:, :, 0]
    assert (first_row > 0).all()


def test_canonical_relu_weights_have_unit_norm() -> None:
    network = Network(2, (3, 2), activation="relu")
    form = canonical(network, random_weights(network, 3, (50,)))
    np.testing.assert_allclose(np.linalg.norm(form["W"], axis=-1), 1)
    deep = form["W_deep"].reshape(50, 3, 2)
    np.testing.assert_allclose(np.linalg.norm(deep, axis=1), 1)
    assert (np.diff(form["b"][:, 3:], axis=-1) > 0).all()


def test_canonical_weights_where_they_are_not_unique() -> None:
    """Ties keep their order; a zero outgoing weight is not flipped, a zero row not rescaled."""
    tanh = Network(1, (2,), activation="tanh")
    tied = {"W": [[2.0], [1.0]], "b": [0.5, 0.5], "V": [[0.0, 3.0]], "c": [0.0]}
    form = canonical(tanh, tied)
    assert form["W"].tolist() == [[2.0], [1.0]]
    relu = Network(1, (1,), activation="relu")
    flat = {"W": [[0.0]], "b": [0.5], "V": [[3.0]], "c": [0.0]}
    assert canonical(relu, flat)["b"].tolist() == [0.5]


def test_random_members_are_uniform_on_the_group() -> None:
    network = Network(2, (2, 2), activation="tanh")
    permutations, signs = random_members(network, 64_000, np.random.default_rng(seeded(1)))
    columns = [order[:, 0] for order in permutations] + [
        (sign > 0).astype(int)[:, j] for sign in signs for j in range(2)
    ]
    counts = np.bincount(np.ravel_multi_index(columns, (2,) * 6), minlength=64)
    assert group_order(network) == len(counts) == 64
    assert np.abs(counts - 1000).max() < 4.5 * math.sqrt(1000)


def test_generators_generate_the_group() -> None:
    network = Network(2, (3,), activation="tanh")
    assert [generator.name for generator in generators(network)] == [
        "swap units 1 and 2 of layer 1",
        "swap units 2 and 3 of layer 1",
        "flip unit 1 of layer 1",
        "flip unit 2 of layer 1",
        "flip unit 3 of layer 1",
    ]
    found = [random_weights(network, 1)]
    for weights in found:
        for generator in generators(network):
            copy = generator(network, weights)
            if not any(np.array_equal(copy["W"], other["W"]) for other in found):
                found.append(copy)
    assert len(found) == group_order(network) == len(list(members(network)))


def test_draws_times_members_make_a_table_of_copies() -> None:
    network = Network(2, (3, 2), activation="sigmoid")
    weights = {name: value[:, None] for name, value in random_weights(network, 1, (4,)).items()}
    permutations, signs = random_members(network, 6, np.random.default_rng(seeded(2)))
    copies = act(network, weights, permutations, signs)
    assert copies["W"].shape == (4, 6, 3, 2)
    one = act(
        network,
        {name: value[2, 0] for name, value in weights.items()},
        [order[5] for order in permutations],
        [sign[5] for sign in signs],
    )
    for name, value in one.items():
        np.testing.assert_array_equal(copies[name][2, 5], value)


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
    with pytest.raises(InputError, match="factors"):
        rescale(network, weights, [[1.0, -1.0]])
    with pytest.raises(InputError, match="only relu"):
        rescale(Network(2, (2,)), weights, [[1.0, 1.0]])
    with pytest.raises(InputError, match="'V' is missing"):
        canonical(network, {name: weights[name] for name in ("W", "b", "c")})
    with pytest.raises(InputError, match="shape"):
        canonical(network, {**weights, "c": [[1.0], [2.0]]})
