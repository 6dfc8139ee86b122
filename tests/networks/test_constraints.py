"""Which weights a constraint admits, against definitions written out and known shares."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import needs_tools
from manymodes.density.posterior import Posterior
from manymodes.networks.constraints import admits, pd_skew, pivots, svd
from manymodes.networks.network import Network
from manymodes.networks.symmetry import canonical
from seeds import seeded

N = 40_000


def of_prior(network: Network, n: int = N, seed: int = 1) -> dict[str, Any]:
    return network.sample_prior(np.random.default_rng(seeded(seed)), n)


def frames(n: int, k: int, draws: int, seed: int) -> np.ndarray:
    """Return random orthonormal columns, shape (draws, n, k), uniform in their orientation."""
    q, r = np.linalg.qr(np.random.default_rng(seeded(seed)).normal(size=(draws, n, k)))
    return np.asarray(q * np.sign(np.einsum("dii->di", r))[:, None, :])


def test_weights_on_both_sides_of_each_condition() -> None:
    weights = {"W": [[2.0, 1.0], [0.5, 1.0]], "b": [0.1, 0.2], "V": [[1.0, 3.0]], "c": [0.0]}

    def admitted(constraint: str, activation: str = "tanh", **changes: Any) -> bool:
        network = Network(2, (2,), activation=activation, constraint=constraint)
        return bool(admits(network, {**weights, **changes}))

    down = {"b": [0.2, 0.1]}
    assert admitted("none", **down)
    assert admitted("ordered")
    assert not admitted("ordered", **down)
    assert admitted("ordered-signed")
    assert not admitted("ordered-signed", **down)
    assert not admitted("ordered-signed", V=[[1.0, -3.0]])
    assert admitted("ordered", V=[[1.0, -3.0]])
    # Norms are sqrt(5) and sqrt(1.25): the second bias grows with rescaling, the first shrinks.
    assert admitted("unit-norm", "relu", b=[0.2, 0.15])
    assert not admitted("ordered", "relu", b=[0.2, 0.15])
    assert not admitted("unit-norm", "relu", b=[0.2, 0.05])
    for name in ("pd-skew", "pd-skew:lu", "pd-skew:reject"):
        assert admitted(name)
        assert not admitted(name, W=[[2.0, 0.5], [1.0, 1.0]])
        assert not admitted(name, W=[[2.0, 3.0], [0.5, 1.0]])


def test_first_unit_of_the_next_hidden_layer_gives_the_signs() -> None:
    network = Network(1, (2, 2), activation="tanh", constraint="ordered-signed")
    weights = {
        "W": [[1.0], [1.0]],
        "W_deep": [1.0, -1.0, 1.0, -1.0],  # by columns: the rows are (1, 1) and (-1, -1)
        "b": [0.0, 1.0, 0.0, 1.0],
        "V": [[1.0, 1.0]],
        "c": [0.0],
    }
    assert admits(network, weights)
    assert not admits(network, {**weights, "W_deep": [-1.0, 1.0, 1.0, 1.0]})


def test_leading_dimensions_are_kept() -> None:
    network = Network(2, (2,), constraint="pd-skew")
    weights = of_prior(network, 60)
    table = {name: value.reshape(3, 20, *value.shape[1:]) for name, value in weights.items()}
    np.testing.assert_array_equal(admits(network, table), admits(network, weights).reshape(3, 20))


@pytest.mark.parametrize(
    ("constraint", "activation", "inputs", "hidden", "prior"),
    [
        ("ordered", "sigmoid", 2, (3,), "normal:1"),
        ("ordered", "relu", 2, (3, 2), "student:3,1"),
        ("ordered-signed", "tanh", 2, (2,), "laplace:2"),
        ("ordered-signed", "tanh", 2, (2, 2), "uniform:5"),
        ("unit-norm", "relu", 3, (2, 3), "ard"),
        ("pd-skew", "tanh", 2, (2,), "uniform:5"),
        ("pd-skew:lu", "tanh", 2, (2,), "normal:3"),
        ("pd-skew:reject", "relu", 3, (3,), "normal:1"),
        ("svd", "tanh", 2, (2,), "normal:1"),
        ("svd", "tanh", 2, (4,), "laplace:1"),
        ("svd", "relu", 4, (2,), "normal:1"),
        ("svd", "sigmoid", 3, (2, 3), "student:4,1"),
    ],
)
def test_share_of_the_prior(
    constraint: str, activation: str, inputs: int, hidden: tuple[int, ...], prior: str
) -> None:
    """Within 4 standard errors of the mass that renormalises the program's prior."""
    network = Network(inputs, hidden, activation=activation, prior=prior, constraint=constraint)
    mass = Network(
        inputs, hidden, activation=activation, prior=prior, constraint=constraint.split(":lu")[0]
    ).region.log_mass
    share = float(admits(network, of_prior(network)).mean())
    exact = math.exp(mass)
    assert abs(share - exact) < 4 * math.sqrt(exact * (1 - exact) / N)


@pytest.mark.parametrize("hidden", [(3,), (3, 2)])
def test_canonical_weights_are_admitted(hidden: tuple[int, ...]) -> None:
    for activation, constraint in (("tanh", "ordered-signed"), ("relu", "unit-norm")):
        network = Network(2, hidden, activation=activation, constraint=constraint)
        assert admits(network, canonical(network, of_prior(network, 200))).all()


@needs_tools
@pytest.mark.parametrize(
    ("constraint", "activation", "inputs", "hidden", "prior"),
    [
        ("ordered", "sigmoid", 2, (3, 2), "student:4,1"),
        ("ordered-signed", "tanh", 2, (3, 2), "uniform:3"),
        ("unit-norm", "relu", 2, (3, 2), "ard"),
        ("unit-norm", "relu", 3, (2,), "uniform:2"),
        ("pd-skew", "tanh", 3, (3, 3), "uniform:2"),
        ("pd-skew:lu", "tanh", 3, (3,), "normal:1"),
        ("pd-skew:reject", "tanh", 2, (2,), "normal:1"),
        ("svd", "tanh", 2, (3, 2), "normal:1"),
        ("svd", "relu", 3, (2, 4), "laplace:1"),
        ("svd", "sigmoid", 3, (3,), "student:4,1"),
    ],
)
def test_whatever_the_stan_program_makes_is_admitted(
    constraint: str, activation: str, inputs: int, hidden: tuple[int, ...], prior: str
) -> None:
    """Weights at random points of the unconstrained space, wherever the density is positive."""
    network = Network(inputs, hidden, activation=activation, prior=prior, constraint=constraint)
    posterior = Posterior.from_network(network, np.eye(inputs), np.arange(inputs) % 2)
    eta = np.random.default_rng(seeded(6)).normal(size=(300, posterior.dims))
    eta = eta[[math.isfinite(posterior.log_density(point)) for point in eta]]
    assert len(eta) >= 15
    assert admits(network, posterior.constrain(eta)).all()
    free = Network(inputs, hidden, activation=activation, prior=prior)
    rejected = ~admits(network, of_prior(free, 300))
    assert rejected.any()


# -------------------------------------------------------------------------- matrices


@given(st.integers(1, 4), st.integers(0, 1000))
def test_pd_skew_region_is_what_its_coordinates_reach(size: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    lower = np.tril(rng.normal(size=(size, size)), -1) + np.diag(rng.lognormal(size=size))
    upper = np.triu(rng.lognormal(size=(size, size)), 1)
    inside = lower @ lower.T + upper - upper.T
    assert pd_skew(inside)
    assert not pd_skew(-inside)
    assert size == 1 or not pd_skew(inside.T)


@given(st.integers(1, 5), st.integers(0, 4), st.integers(0, 1000))
def test_frames_of_angles_below_a_right_angle_have_positive_pivots(
    k: int, more: int, seed: int
) -> None:
    """Products of Givens rotations as the Stan program makes them, undone."""
    n = k + more
    rng = np.random.default_rng(seed)
    whole, cosines = np.eye(n), np.ones(k)
    for i, j in itertools.combinations(range(n), 2):
        if i < k:
            angle = rng.uniform(-np.pi / 2, np.pi / 2)
            rotation = np.eye(n)
            rotation[[i, j], [i, j]] = np.cos(angle)
            rotation[j, i], rotation[i, j] = np.sin(angle), -np.sin(angle)
            whole = whole @ rotation
            cosines[i] *= np.cos(angle)
    np.testing.assert_allclose(pivots(whole[:, :k]), cosines, atol=1e-12)


@pytest.mark.parametrize(("n", "k"), [(1, 1), (3, 1), (3, 2), (3, 3), (5, 4)])
def test_pivots_are_positive_where_leading_minors_are(n: int, k: int) -> None:
    x = frames(n, k, 2000, 3)
    minors = np.stack([np.linalg.det(x[:, :i, :i]) for i in range(1, k + 1)], axis=1)
    signs = np.sign(minors) * np.sign(np.hstack([np.ones((len(x), 1)), minors[:, :-1]]))
    np.testing.assert_array_equal(np.sign(pivots(x)), signs)


def test_the_sign_of_a_column_is_the_sign_of_its_pivot_alone() -> None:
    x = frames(5, 3, 50, 4)
    for column in range(3):
        flip = np.where(np.arange(3) == column, -1.0, 1.0)
        np.testing.assert_allclose(pivots(x * flip), pivots(x) * flip, atol=1e-12)


@pytest.mark.parametrize(("height", "width"), [(2, 2), (4, 2), (2, 4), (5, 5)])
def test_the_sign_of_a_row_toggles_one_left_pivot(height: int, width: int) -> None:
    """So each set of rows has exactly 2^(H - k) admitted sign patterns of its 2^H."""
    w = np.random.default_rng(seeded(5)).normal(size=(200, height, width))
    patterns = np.array(list(itertools.product([1.0, -1.0], repeat=height)))
    admitted = np.stack([svd(w * pattern[:, None]) for pattern in patterns])
    rank = min(height, width)
    np.testing.assert_array_equal(admitted.sum(axis=0), 2 ** (height - rank))
