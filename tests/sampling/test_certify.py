"""Bidirectional Monte Carlo: bounds on both sides of a known evidence, closer with more levels."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from conftest import MODELS, closed_form, needs_tools, small_network
from manymodes.density.posterior import Posterior
from manymodes.density.program import Program
from manymodes.errors import InputError
from manymodes.networks.network import Network
from manymodes.networks.observed import observed
from manymodes.sampling.tempered import TemperedSettings
from manymodes.sampling.tempered.certify import (
    Certificate,
    CertifySettings,
    certify,
    log_mean,
)
from manymodes.sampling.tempered.simulate import simulated
from manymodes.statistics.estimate import Estimate
from seeds import seeded

N = 20
X = np.linspace(0.5, 1.5, N)
QUICK = TemperedSettings(runs=2, rounds=8, max_rounds=8)


def simulating() -> Posterior:
    """Return a program that simulates its data; the data it has are of no matter."""
    data = {
        "N": N,
        "x": X.tolist(),
        "y": [0.0] * N,
        "counts": [0] * N,
        "prior_only": 0,
    }
    return Posterior(Program(MODELS / "simulated_normal.stan"), data, "simulating")


def truth_of(posterior: Posterior) -> float:
    """Return log Z of `simulating` in closed form: y ~ N(0, I + 4 x x'), and the counts."""
    y, counts = (np.array(posterior.data[name]) for name in ("y", "counts"))
    covariance = np.eye(N) + 4.0 * np.outer(X, X)
    of_y = stats.multivariate_normal(np.zeros(N), covariance).logpdf(y)
    return float(of_y + stats.poisson(3).logpmf(counts).sum())


# ---------------------------------------------------------------- simulated data


@needs_tools
def test_a_program_simulates_what_it_has_a_quantity_for() -> None:
    posterior = simulating()
    found = [simulated(posterior, seeded(seed)) for seed in range(200)]
    assert all(one.exact for one in found)
    means = np.array([one.truth[0] for one in found])
    assert stats.kstest(means, stats.norm(0, 2).cdf).pvalue > 1e-4
    outcomes = np.array([one.posterior.data["y"] for one in found])
    noise = (outcomes - means[:, None] * X).ravel()
    assert stats.kstest(noise, stats.norm.cdf).pvalue > 1e-4
    counts = [one.posterior.data["counts"] for one in found]
    assert all(isinstance(count, int) for count in counts[0])
    assert np.mean(counts) == pytest.approx(3, abs=4 * math.sqrt(3 / (200 * N)))
    assert found[0].posterior.data["x"] == X.tolist()
    again = simulated(posterior, seeded(0))
    assert again.posterior.data == found[0].posterior.data


@needs_tools
def test_a_program_that_does_not_simulate_is_refused() -> None:
    with pytest.raises(InputError, match=r"^certify: .* does not simulate its data: .*'y_rep'"):
        simulated(closed_form(), 1)
    with pytest.raises(InputError, match="a network with a constraint"):
        simulated(small_network("normal:1", "ordered"), 1)


@needs_tools
@pytest.mark.parametrize("likelihood", ["bernoulli", "categorical", "normal"])
def test_a_networks_outcomes_follow_its_predictions(likelihood: str) -> None:
    outputs = 3 if likelihood == "categorical" else 1
    network = Network(1, (2,), outputs, likelihood=likelihood)
    inputs, y = np.zeros((4000, 1)), np.zeros(4000)
    posterior = Posterior.from_network(network, inputs, y)
    one = simulated(posterior, seeded(3))
    row = posterior.constrain_rows(one.truth[None])
    mean = posterior.predict(row, inputs[:1])[0, 0]
    if likelihood == "normal":
        sigma = float(posterior.unpack(row)["sigma"].ravel()[0])
        z = (np.array(one.posterior.data["y_real"]) - mean) / sigma
        assert stats.kstest(z, stats.norm.cdf).pvalue > 1e-4
        return
    labels = np.array(one.posterior.data["y_int"])
    first, p = (0, [1 - mean, mean]) if likelihood == "bernoulli" else (1, mean)
    counts = np.bincount(labels - first, minlength=len(p))
    assert stats.chisquare(counts, 4000 * np.array(p)).pvalue > 1e-4


OF_ALL = (
    Network(1, (2,), likelihood="heteroscedastic"),
    Network(1, (2,), likelihood="student:4"),
    Network(1, (2,), likelihood="normal", sigma=0.3, skip=True),
    Network(1, (2,), 2, likelihood="normal"),
    Network(1, (2,), 2, likelihood="heteroscedastic"),
    Network(1, (2,), likelihood="poisson"),
    Network(1, (2,), likelihood="negative-binomial"),
    Network(1, (2,), likelihood="binomial"),
)


def at_one_input(network: Network) -> Posterior:
    """Return a posterior of many rows, all with the same input, exposure or trials."""
    rows = 4000
    y = np.zeros((rows, network.outputs) if network.outputs > 1 else rows)
    over: dict[str, Any] = {}
    if network.likelihood_parts.has_exposure:
        over["exposure"] = np.full(rows, 2.5)
    if network.likelihood == "binomial":
        over["trials"] = np.full(rows, 7)
    return Posterior.from_network(network, np.full((rows, 1), 0.5), y, **over)


def distribution(network: Network, weights: Any) -> Any:
    """Return SciPy's distribution of the outcomes of `at_one_input`, shape (T,)."""
    X = np.array([[0.5]])
    likelihood = network.likelihood_parts
    mean = np.atleast_1d(network.predict(weights, X)[0, 0])
    if likelihood.is_real:
        noise = np.atleast_1d(network.noise(weights, X)[0, 0])
        student = math.isfinite(likelihood.nu)
        return stats.t(likelihood.nu, mean, noise) if student else stats.norm(mean, noise)
    if likelihood.kind == "binomial":
        return stats.binom(7, mean)
    if likelihood.kind == "poisson":
        return stats.poisson(2.5 * mean)
    noise_of_counts = network.noise_of(weights)
    assert noise_of_counts is not None
    phi = noise_of_counts.ravel() ** -2.0
    return stats.nbinom(phi, phi / (phi + 2.5 * mean))


@needs_tools
@pytest.mark.parametrize("network", OF_ALL, ids=lambda one: f"{one.likelihood}-{one.outputs}")
def test_outcomes_of_all_kinds_follow_their_distributions(network: Network) -> None:
    posterior = at_one_input(network)
    one = simulated(posterior, seeded(5))
    weights = posterior.unpack(posterior.constrain_rows(one.truth[None]))
    expected = distribution(network, weights)
    given, kept = observed(network, posterior.data), observed(network, one.posterior.data)
    assert kept.counted_over.keys() == given.counted_over.keys()
    for name, values in given.counted_over.items():
        np.testing.assert_array_equal(kept.counted_over[name], values)
    y = kept.y.reshape(len(kept.y), -1)
    if network.likelihood_parts.is_real:
        for place, below in enumerate(expected.cdf(y).T):
            assert stats.kstest(below, stats.uniform.cdf).pvalue > 1e-4, place
        return
    z = (y - expected.mean()) / expected.std()
    assert abs(z.mean()) < 4 / math.sqrt(len(z))
    kurtosis = float(np.squeeze(expected.stats(moments="k"))) + 3
    assert abs(z.var() - 1) < 4 * math.sqrt((kurtosis - 1) / len(z))
    draws = expected.rvs(size=(len(z), 1), random_state=np.random.default_rng(1))
    assert stats.ks_2samp(y[:, 0], draws[:, 0]).pvalue > 1e-4


@needs_tools
def test_counts_that_no_program_can_hold_are_drawn_again() -> None:
    """The prior of this network often gives means of more than 2^31 - 1."""
    network = Network(1, (2,), likelihood="poisson", prior="normal:20")
    posterior = Posterior.from_network(network, np.ones((5, 1)), np.zeros(5))
    for seed in range(10):
        one = simulated(posterior, seed)
        assert max(one.posterior.data["y_int"]) < 2**31
        assert math.isfinite(one.posterior.log_density(one.truth))
    exposure = np.full(5, 1e15)
    narrow = dataclasses.replace(network, prior="normal:0.1")
    too_many = Posterior.from_network(narrow, np.ones((5, 1)), np.zeros(5), exposure=exposure)
    with pytest.raises(InputError, match="too large for the program: make it narrower"):
        simulated(too_many, 1)


@needs_tools
@pytest.mark.parametrize("network", OF_ALL[3:6], ids=lambda one: f"{one.likelihood}-{one.outputs}")
def test_certificates_of_all_kinds(network: Network) -> None:
    rng = np.random.default_rng(seeded(6))
    shape = (30, network.outputs) if network.outputs > 1 else 30
    posterior = Posterior.from_network(network, rng.normal(size=(30, 1)), np.zeros(shape))
    found = certify(posterior, CertifySettings(100, 16, seeded(7), QUICK))
    assert found.lower_single < found.upper_single + 1
    assert math.isfinite(found.log_z)


# ---------------------------------------------------------------- bounds


@needs_tools
def test_bounds_hold_the_closed_form_and_close_with_more_levels() -> None:
    posterior, seed = simulating(), seeded(1)
    truth = truth_of(simulated(posterior, seed).posterior)
    singles = []
    for levels in (4, 32, 256):
        found = certify(posterior, CertifySettings(levels, 32, seed, QUICK))
        assert found.lower.value < truth + 3 * found.lower.sd + 0.01
        assert found.upper.value > truth - 3 * found.upper.sd - 0.01
        assert found.log_z == pytest.approx(truth, abs=4 * found.log_z_sd + 0.02)
        assert found.holds
        assert found.lower_single <= found.lower.value
        assert found.upper_single >= found.upper.value
        singles.append(found.upper_single - found.lower_single)
    assert singles[0] > 2 * singles[1]
    assert singles[1] > 2 * singles[2]
    assert abs(found.gap.value) < 0.1 + 3 * found.gap.sd


@needs_tools
def test_bounds_of_a_network_of_nine_weights() -> None:
    posterior = small_network("normal:1", n=60)
    few, many = (
        certify(posterior, CertifySettings(levels, 16, seeded(2), QUICK)) for levels in (10, 300)
    )
    assert many.holds
    assert few.upper_single - few.lower_single > 2 * (many.upper_single - many.lower_single)
    assert abs(many.gap.value) < 0.3 + 3 * many.gap.sd
    assert many.gradients > 2 * 16 * 299


# ---------------------------------------------------------------- figures


def test_the_log_of_a_mean_has_the_error_of_the_mean() -> None:
    rng = np.random.default_rng(seeded(4))
    found = [log_mean(0.3 * rng.normal(size=50), 1) for _ in range(200)]
    z = np.array([(one.value - 0.3**2 / 2) / one.sd for one in found])
    assert 0.8 < z.std() < 1.25
    assert log_mean(np.array([-np.inf, 0.0]), 1).value == pytest.approx(-math.log(2))


def test_a_certificate_is_kept_and_says_whether_it_holds() -> None:
    lower, upper = Estimate(-10.0, 0.1), Estimate(-9.0, 0.1)
    one = Certificate(lower, upper, -11.0, -8.5, -9.5, 0.1, 100, 16, 10, 40, 12345, True, 1)
    assert one.holds
    assert not dataclasses.replace(one, log_z=-8.4).holds
    assert not dataclasses.replace(one, log_z=-10.6).holds
    assert dataclasses.replace(one, lower=Estimate(-math.inf, math.nan)).holds
    assert one.gap.value == 1
    kept = json.loads(json.dumps(one.as_dict(), allow_nan=False))
    assert Certificate.from_dict(kept) == one
    with pytest.raises(InputError, match="levels: 1 is not 2 or more"):
        CertifySettings(levels=1)
