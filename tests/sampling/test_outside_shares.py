"""Draws of another engine judge a fitted base measure; a network's peaks have all their copies."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from conftest import needs_tools
from manymodes.density.network_moves import exact_moves
from manymodes.density.posterior import Posterior
from manymodes.errors import InputError
from manymodes.networks.network import Network
from manymodes.sampling.base_measures import (
    NORMAL,
    STUDENT4,
    BaseMeasure,
    Component,
    outside_share,
    peaks_measure,
    prior_measure,
)
from seeds import seeded


def fitted(*places: float, dims: int = 5) -> BaseMeasure:
    share = 0.9 / len(places)
    parts = [
        Component((STUDENT4,) * dims, np.full(dims, place), np.ones(dims), share, "peaks")
        for place in places
    ]
    prior = Component((NORMAL,) * dims, np.zeros(dims), np.full(dims, 10.0), 0.1, "prior")
    return BaseMeasure((*parts, prior), source="peaks")


def test_a_thousandth_of_a_components_own_draws_is_outside() -> None:
    base = fitted(0.0)
    rng = np.random.default_rng(seeded(1))
    share = outside_share(base, base.components[0].map(rng.random((40_000, 5))))
    assert abs(share - 1e-3) < 4 * np.sqrt(1e-3 / 20_000)


def test_the_share_of_a_mode_without_a_component_is_outside() -> None:
    """Two modes, of 58 % and 42 %: the prior's component does not hide the second."""
    rng = np.random.default_rng(seeded(2))
    draws = rng.normal(size=(1000, 5)) + np.where(np.arange(1000) < 420, 30.0, -30.0)[:, None]
    assert outside_share(fitted(-30.0), draws) == pytest.approx(0.42, abs=0.005)
    assert outside_share(fitted(-30.0, 30.0), draws) < 0.005
    assert outside_share(replace(fitted(-30.0), exact=True), draws) == 0
    assert np.isnan(outside_share(fitted(-30.0), draws[:0]))
    with pytest.raises(InputError, match=r"eta: shape \(1000, 4\) does not fit; give \(n, 5\)"):
        outside_share(fitted(-30.0), draws[:, :4])


@needs_tools
def test_every_copy_of_a_peak_has_a_component() -> None:
    """Three tanh units: 48 copies, which 120 climbs do not find and the group does.

    A component is no ellipsoid in its tails, so that copies agree near the peaks and roughly.
    """
    rng = np.random.default_rng(seeded(3))
    X = rng.normal(size=(40, 1))
    network = Network(inputs=1, hidden=(3,), activation="tanh", prior="normal:2")
    posterior = Posterior.from_network(network, X, (np.abs(X[:, 0]) > 0.7).astype(int)).compile()
    base = peaks_measure(posterior, prior=prior_measure(posterior), seed=seeded(1))
    moves = exact_moves(posterior)
    assert moves is not None
    assert base.caution == ""
    assert "48 copies of each" in base.reason
    places = [one.location for one in base.components if one.origin == "peaks"]
    points = np.array(places) + 1e-3
    density = base.log_density(points)
    for move in range(0, 48, 7):
        np.testing.assert_allclose(base.log_density(moves.apply(move, points)), density, atol=0.2)


@needs_tools
def test_too_many_copies_are_said() -> None:
    network = Network(inputs=1, hidden=(5,), activation="tanh", prior="normal:1")
    X = np.linspace(-1, 1, 12)[:, None]
    posterior = Posterior.from_network(network, X, (X[:, 0] > 0).astype(int)).compile()
    base = peaks_measure(posterior, prior=prior_measure(posterior), seed=seeded(1))
    assert base.caution.startswith("the network has 3840 copies of every mode, too many")
    assert "not to be trusted alone" in base.caution
