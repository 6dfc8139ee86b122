"""Exact moves of a network's posterior: signed permutations that leave its density as it is."""

from __future__ import annotations

import numpy as np
import pytest

from conftest import needs_tools
from manymodes.density.network_moves import exact_moves, exact_order, flips, moved
from manymodes.density.posterior import Posterior
from manymodes.networks.network import Network
from seeds import seeded

X = np.array([[0.3, -1.0], [1.2, 0.4], [-0.7, 0.8], [0.1, 0.2]])
Y = np.array([0, 1, 1, 0])


def posterior(**settings: object) -> Posterior:
    return Posterior.from_network(Network(inputs=2, **settings), X, Y)  # type: ignore[arg-type]


@needs_tools
@pytest.mark.parametrize(
    ("settings", "order"),
    [
        ({"hidden": (3,), "activation": "tanh", "prior": "normal:2"}, 48),
        ({"hidden": (2, 2), "activation": "tanh", "prior": "uniform:3"}, 64),
        ({"hidden": (2,), "activation": "tanh", "prior": "ard"}, 8),
        ({"hidden": (3,), "activation": "sigmoid", "prior": "uniform:5"}, 6),
        ({"hidden": (3,), "activation": "relu", "prior": "student:4,1"}, 6),
        ({"hidden": (2,), "activation": "tanh", "constraint": "ordered-signed"}, 1),
    ],
)
def test_moves_keep_the_density(settings: dict[str, object], order: int) -> None:
    target = posterior(**settings)
    moves = exact_moves(target)
    assert moves is not None
    assert len(moves) == exact_order(target) == order
    x = np.random.default_rng(seeded(1)).normal(size=target.dims)
    images = moves.images(x)
    assert len(np.unique(images.round(9), axis=0)) == order
    heights = np.array([target.log_density(one) for one in images])
    np.testing.assert_allclose(heights, heights[0], rtol=1e-9, atol=1e-9)
    for move in range(order):
        np.testing.assert_array_equal(moves.undo(move, moves.apply(move, x)), x)
    assert exact_moves(target, order - 1) is None or order == 1


@needs_tools
def test_flips_of_sigmoid_units_keep_the_likelihood_and_may_leave_the_box() -> None:
    target = posterior(hidden=(2,), activation="sigmoid", prior="uniform:5")
    assert target.network is not None
    signs = flips(target.network)
    assert len(signs) == 4
    stay = [((0, 1),)] * 4
    x = np.linspace(-0.5, 0.5, 9)
    found = moved(target, x, stay, signs)
    likelihood = [target.log_lik(found[i : i + 1]).sum() for i in range(4)]
    np.testing.assert_allclose(likelihood, likelihood[0], rtol=1e-9)
    x[6:] = 3.0  # both weights to the output and its bias are large
    assert np.isnan(moved(target, x, stay, signs)[-1]).all()
