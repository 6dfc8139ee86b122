"""Exact figures that constraints must meet: evidence 1 of the prior, equal evidence on a domain.

The prior alone integrates to 1 under every constraint. And whatever the data, a region with one
copy of every network under a prior that is the same for all copies, renormalised, has the same log
evidence. The data make it a real test: the function has a shape that only some orders and signs
of the units can give, so that a region that is too small, a wrong Jacobian or a wrong constant
shows. Where a region is not such a domain, the evidence is another one, and the audit of the
unconstrained posterior's draws says by how much.

Three combined standard errors throughout, with fixed seeds.
"""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from conftest import needs_tools
from manymodes.density.posterior import Posterior
from manymodes.networks.audit import audit, evidence_shift
from manymodes.networks.network import Network
from manymodes.sampling.base_measures import STUDENT4, BaseMeasure, prior_measure, write_measure
from manymodes.sampling.nested import Nested, run_nested
from manymodes.sampling.nested.settings import PolyChordSettings
from seeds import seeded

SETTINGS = PolyChordSettings(nlive=500)
RUNS = {1: 4, 2: 2}  # by number of inputs
MOST = 0.1  # nats: largest combined error

pytestmark = needs_tools


@cache
def nested(network: Network) -> Nested:
    """Return the nested runs of a network on a bump along its last input.

    With two inputs both units read the last one alone, which no pd-skew matrix allows: the
    products of its diagonal must exceed those of the means beside it.
    """
    rng = np.random.default_rng(seeded(3))
    x = rng.uniform(-2, 2, (30 if network.inputs == 1 else 50, network.inputs))
    slope = 2.5 if network.inputs == 1 else 6.0
    logit = slope * (1.2 - np.abs(x[:, -1] - 0.2))
    y = rng.random(len(x)) < 1 / (1 + np.exp(-logit))
    posterior = Posterior.from_network(network, x, y.astype(int))
    return run_nested(
        posterior, runs=RUNS[network.inputs], polychord=SETTINGS, seed=seeded(1), quiet=True
    )


def make(constraint: str, activation: str, units: int, inputs: int = 1) -> Network:
    return Network(inputs, (units,), 1, activation, "bernoulli", "normal:2", constraint)


@pytest.mark.parametrize(
    ("constraint", "prior"),
    [
        ("none", "ard:1"),
        ("ordered", "uniform:2"),
        ("ordered-signed", "student:4,1"),
        ("unit-norm", "laplace:1"),
        ("pd-skew", "laplace:1"),
        ("pd-skew:lu", "normal:2"),
        ("svd", "student:4,1"),
        ("variable size", "laplace:1"),
    ],
)
def test_the_prior_alone_has_evidence_one(constraint: str, prior: str, tmp_path: Path) -> None:
    """Over a base measure wider than the prior: over the prior itself every height would be 0."""
    activation = "relu" if constraint == "unit-norm" else "tanh"
    active = "geometric:0.5" if constraint == "variable size" else None
    constraint = "none" if active else constraint
    network = Network(2, (2,), 1, activation, "bernoulli", prior, constraint, active=active)
    posterior = Posterior.from_network(network, np.ones((1, 2)), [1]).prior
    fitted = prior_measure(posterior)
    families = (STUDENT4,) * posterior.dims
    one = fitted.components[0]
    wide = BaseMeasure.product(families, one.location, 1.25 * one.scale.diagonal())
    path = tmp_path / "wide.json"
    write_measure(path, wide)
    found = run_nested(
        posterior,
        polychord=PolyChordSettings(nlive=200),
        reference=str(path),
        seed=seeded(1),
        quiet=True,
    )
    assert found.base.families == families
    error = math.hypot(found.log_z_sd, network.region.standard_error)
    assert 0 < error < 0.25
    assert abs(found.log_z) < 3 * error


def difference(constrained: Network) -> tuple[float, float]:
    """Return log_z less that of the unconstrained network, and its combined error."""
    full = make("none", constrained.activation, constrained.hidden[0], constrained.inputs)
    one, other = nested(constrained), nested(full)
    error = math.hypot(one.log_z_sd, other.log_z_sd)
    assert error > 0
    return one.log_z - other.log_z, error


@pytest.mark.parametrize(
    ("constraint", "activation", "units"),
    [
        ("ordered", "tanh", 2),
        ("ordered", "tanh", 3),
        ("ordered-signed", "tanh", 2),
        ("ordered-signed", "tanh", 3),
        ("unit-norm", "relu", 2),
        ("svd", "tanh", 2),
    ],
)
def test_a_domain_of_the_group_keeps_the_evidence(
    constraint: str, activation: str, units: int
) -> None:
    """So do `ordered` and `svd` for tanh, which leave equally many copies of each."""
    shift, error = difference(make(constraint, activation, units))
    assert error < MOST
    assert abs(shift) < 3 * error


def test_pd_skew_changes_the_evidence_as_its_audit_predicts() -> None:
    network = make("pd-skew", "tanh", 2, inputs=2)
    seen = audit(network, orbits=2000)
    assert not seen.fundamental_domain
    full = nested(make("none", "tanh", 2, inputs=2))
    draws = full.posterior.unpack(full.rows)
    shift, error = difference(network)
    assert abs(shift) > 3 * error
    predicted = evidence_shift(network, draws, full.weights)
    assert abs(shift - predicted.value) < 3 * math.hypot(error, predicted.sd)
