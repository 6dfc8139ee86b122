"""Networks of variable size: the sum over the number of active units, and what follows from it.

A network of the first K units is one of fixed size, whose program and NumPy functions are tested
elsewhere; everything here is compared with those. Three combined standard errors where anything
is sampled, with fixed seeds.
"""

from __future__ import annotations

import json
import math
from dataclasses import replace
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.special import log_softmax, logsumexp, softmax

from conftest import made_chains, needs_tools, small_network
from manymodes.cli.main import main
from manymodes.density.posterior import Posterior
from manymodes.errors import InputError
from manymodes.modes.active_units import active_evidence, posterior_active
from manymodes.modes.comparison import compare
from manymodes.modes.find import ModeSettings
from manymodes.networks.audit import audit, evidence_shift
from manymodes.networks.network import Network
from manymodes.networks.symmetry import (
    act,
    canonical,
    generators,
    group_order,
    members,
    orbit,
    random_members,
)
from manymodes.networks.variable_size import ActivePrior
from manymodes.report.terminal import comparison_table
from manymodes.results.predict import Draws, predict
from manymodes.results.run_directory import open_posterior
from manymodes.sampling.nested import Nested, load_nested, run_nested
from manymodes.sampling.nested.settings import PolyChordSettings
from manymodes.statistics.mixture import log_mean_exp
from manymodes.tables.table import Table
from seeds import seeded

N_OBS = 12
ACTIVATIONS = ("sigmoid", "tanh", "relu")
LIKELIHOODS = ("bernoulli", "categorical", "normal")
PRIORS = ("normal:1.5", "uniform:3", "laplace:0.8", "student:5,0.9", "ard:0.7")
X = np.random.default_rng(seeded(1)).normal(size=(N_OBS, 2))
TARGETS = {
    "bernoulli": np.random.default_rng(seeded(2)).integers(0, 2, N_OBS),
    "categorical": np.random.default_rng(seeded(2)).integers(0, 3, N_OBS),
    "normal": np.random.default_rng(seeded(2)).normal(size=N_OBS),
}


def make(
    activation: str = "tanh",
    likelihood: str = "bernoulli",
    prior: str = "normal:1.5",
    units: int = 3,
    active: str | None = "geometric:0.4",
) -> Network:
    outputs = 3 if likelihood == "categorical" else 1
    return Network(2, (units,), outputs, activation, likelihood, prior, active=active)


@cache
def posterior(network: Network) -> Posterior:
    """Return the posterior of a network given the same few observations as always."""
    return Posterior.from_network(network, X, TARGETS[network.likelihood])


def first(k: int, network: Network, weights: Any) -> tuple[Network, dict[str, Any]]:
    """Return the network of the first k units, of fixed size, and its weights."""
    cut = {**weights, "W": weights["W"][..., :k, :], "b": weights["b"][..., :k]}
    cut["V"] = weights["V"][..., :k]
    return replace(network, hidden=(k,), active=None), cut


def log_joint(network: Network, weights: Any, y: Any = None) -> Any:
    """Return log P(K) p(y | K) for each K, by networks of fixed size, shape (..., H)."""
    target = TARGETS[network.likelihood] if y is None else y
    units = network.hidden[0]
    parts = [first(k, network, weights) for k in range(1, units + 1)]
    log_lik = [fixed.log_lik(cut, X, target).sum(axis=-1) for fixed, cut in parts]
    return np.stack(log_lik, axis=-1) + network.log_prior_active


def random_weights(network: Network, size: int, seed: int = 1) -> dict[str, Any]:
    rng = np.random.default_rng(seeded(seed))
    shapes = network.weight_shapes
    weights = {name: rng.normal(size=(size, *shape)) for name, shape in shapes.items()}
    if "sigma" in weights:
        weights["sigma"] = np.abs(weights["sigma"]) + 0.1
    return {**weights, "p_active": rng.dirichlet(np.ones(network.hidden[0]), size)}


# -------------------------------------------------------------------------- the prior of K


def test_the_geometric_prior_is_that_of_nested_indicators() -> None:
    """Unit 1 is active; each next one with probability alpha if the one before is."""
    alpha, units = 0.3, 4
    expected = np.zeros(units)
    for later in product((0, 1), repeat=units - 1):
        indicators = (1, *later)
        if any(b > a for a, b in zip(indicators, later, strict=False)):
            continue  # d_j = 0 implies d_(j+1) = 0
        chance = 1.0
        for before, now in zip(indicators, later, strict=False):
            chance *= (alpha if now else 1 - alpha) if before else 1.0
        expected[sum(indicators) - 1] += chance
    found = np.exp(ActivePrior.parse("geometric:0.3").log_probabilities(units))
    np.testing.assert_allclose(found, expected, rtol=1e-14)
    np.testing.assert_allclose(found.sum(), 1.0, rtol=1e-14)


def test_the_uniform_prior_and_one_unit() -> None:
    np.testing.assert_allclose(np.exp(ActivePrior.parse("uniform").log_probabilities(5)), 0.2)
    np.testing.assert_array_equal(ActivePrior.parse("geometric:0.5").log_probabilities(1), [0.0])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"active": "poisson:2"}, "active: 'poisson:2' is not allowed; give geometric:ALPHA"),
        ({"active": "geometric"}, "geometric:ALPHA (0 < ALPHA < 1) or uniform"),
        ({"active": "geometric:1"}, "active: 'geometric:1'"),
        ({"active": "geometric:nan"}, "active: 'geometric:nan'"),
        ({"active": "uniform", "hidden": (2, 3)}, "give one, as in (6,)"),
        ({"active": "uniform", "constraint": "ordered"}, "use constraint 'none'"),
        ({"active": "uniform", "constraint": "svd"}, "or leave active out"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError) as caught:
        Network(**{"inputs": 2, "hidden": (3,), **arguments})
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


# -------------------------------------------------------------------------- the network


def test_sizes_data_and_dict() -> None:
    network, fixed = make(likelihood="normal"), make(likelihood="normal", active=None)
    assert network.program.name == "mlp_variable.stan"
    assert network.weight_shapes == {**fixed.weight_shapes, "p_active": (3,)}
    assert network.parameter_count == fixed.parameter_count
    assert network.region == fixed.region
    assert Network.from_dict(json.loads(json.dumps(network.to_dict()))) == network
    data = network.data(X, TARGETS["normal"])
    log_prior = data.pop("log_prior_active")
    assert data == fixed.data(X, TARGETS["normal"])
    np.testing.assert_allclose(np.exp(log_prior), [0.6, 0.24, 0.16])
    with pytest.raises(InputError, match="active: None has no prior"):
        _ = fixed.log_prior_active


@pytest.mark.parametrize("prior", PRIORS)
def test_weights_have_the_prior_of_a_network_of_fixed_size(prior: str) -> None:
    network, fixed = make(prior=prior), make(prior=prior, active=None)
    draws = network.sample_prior(np.random.default_rng(seeded(1)), 5)
    p_active = draws.pop("p_active")
    np.testing.assert_allclose(p_active, np.tile([0.6, 0.24, 0.16], (5, 1)))
    expected = fixed.sample_prior(np.random.default_rng(seeded(1)), 5)
    assert draws.keys() == expected.keys()
    for name, values in draws.items():
        np.testing.assert_array_equal(values, expected[name])
    np.testing.assert_array_equal(network.log_prior(draws), fixed.log_prior(draws))


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_predictions_are_averaged_over_the_number_of_units(
    activation: str, likelihood: str
) -> None:
    network = make(activation, likelihood)
    weights = random_weights(network, 4)
    weights["p_active"][0] = 0, 1, 0
    y = TARGETS[likelihood]
    p = np.moveaxis(weights["p_active"], -1, 0)
    sizes = [first(k, network, weights) for k in (1, 2, 3)]
    means = np.stack([fixed.predict(cut, X) for fixed, cut in sizes])
    densities = np.exp([fixed.log_lik(cut, X, y) for fixed, cut in sizes])
    shares = p.reshape(*p.shape, *[1] * (means.ndim - 2))
    np.testing.assert_allclose(network.predict(weights, X), (shares * means).sum(axis=0))
    expected = np.log((p[..., None] * densities).sum(axis=0))
    np.testing.assert_allclose(network.log_lik(weights, X, y), expected)


def test_the_probabilities_of_sizes_are_needed() -> None:
    weights = make(active=None).sample_prior(np.random.default_rng(seeded(1)), 2)
    with pytest.raises(InputError, match="'p_active' is missing"):
        make().predict(weights, X)


# -------------------------------------------------------------------------- the program


@needs_tools
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_the_density_is_the_sum_over_sizes(activation: str, likelihood: str) -> None:
    """Against NumPy's networks of fixed size; and its gradient against finite differences."""
    network = make(activation, likelihood)
    density = posterior(network)
    rng = np.random.default_rng(seeded(3))
    for _ in range(3):
        eta = rng.normal(size=density.dims)
        weights = density.constrain(eta)
        joint = log_joint(network, weights)
        expected = network.log_prior(weights) + logsumexp(joint)
        if likelihood == "normal":
            expected += stats.halfnorm.logpdf(weights["sigma"][0]) + eta[-1]
        assert density.log_density(eta) == pytest.approx(expected, rel=1e-12)
        np.testing.assert_allclose(weights["log_marginal"], logsumexp(joint), rtol=1e-12)
        np.testing.assert_allclose(weights["p_active"], softmax(joint), rtol=1e-10)
    value, gradient = density.gradient(eta)
    assert value == pytest.approx(density.log_density(eta), rel=1e-12)
    for i, step in enumerate(np.eye(len(eta)) * 1e-5):
        difference = density.log_density(eta + step) - density.log_density(eta - step)
        assert gradient[i] == pytest.approx(difference / 2e-5, rel=1e-6, abs=1e-6)


@needs_tools
@pytest.mark.parametrize("prior", PRIORS)
def test_the_prior_alone_is_that_of_a_network_of_fixed_size(prior: str) -> None:
    """So it integrates to one: that of the other program does."""
    network = make("relu", "normal", prior)
    variable = posterior(network).prior
    fixed = posterior(replace(network, active=None)).prior
    for eta in np.random.default_rng(seeded(4)).normal(size=(3, variable.dims)):
        assert variable.log_density(eta) == pytest.approx(fixed.log_density(eta), rel=1e-13)
    np.testing.assert_allclose(variable.constrain(eta)["p_active"], [0.6, 0.24, 0.16])


@needs_tools
@pytest.mark.parametrize("likelihood", LIKELIHOODS)
@pytest.mark.parametrize("prior", PRIORS)
def test_a_single_unit_is_the_network_of_fixed_size(likelihood: str, prior: str) -> None:
    network = make("tanh", likelihood, prior, units=1)
    variable, fixed = posterior(network), posterior(replace(network, active=None))
    assert variable.unconstrained_names == fixed.unconstrained_names
    for eta in np.random.default_rng(seeded(5)).normal(size=(3, variable.dims)):
        assert variable.log_density(eta) == pytest.approx(fixed.log_density(eta), rel=1e-13)
        np.testing.assert_allclose(variable.gradient(eta)[1], fixed.gradient(eta)[1], rtol=1e-9)
        np.testing.assert_allclose(variable.log_lik(eta), fixed.log_lik(eta), rtol=1e-9)


@needs_tools
@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_log_lik_is_the_density_of_one_given_all_others(likelihood: str) -> None:
    """By leaving each observation out; nothing in it is random."""
    network = make("sigmoid", likelihood)
    density = posterior(network)
    eta = np.random.default_rng(seeded(6)).normal(size=(2, density.dims))
    found = density.log_lik(eta)
    np.testing.assert_array_equal(density.log_lik(eta[::-1])[::-1], found)
    y = TARGETS[likelihood]
    for n in range(N_OBS):
        others = np.arange(N_OBS) != n
        rest = Posterior.from_network(network, X[others], y[others])
        expected = [density.log_density(e) - rest.log_density(e) for e in eta]
        np.testing.assert_allclose(found[:, n], expected, rtol=1e-9, atol=1e-10)


@needs_tools
def test_any_prior_of_the_size_is_renormalised() -> None:
    """Data of one's own: log weights that do not add up to one change nothing."""
    density = posterior(make())
    shifted = (np.array(density.data["log_prior_active"]) - 2).tolist()
    moved = replace(density, data={**density.data, "log_prior_active": shifted})
    eta = np.random.default_rng(seeded(7)).normal(size=density.dims)
    assert moved.log_density(eta) == pytest.approx(density.log_density(eta), rel=1e-13)


# -------------------------------------------------------------------------- symmetry


def test_flips_of_tanh_units_and_of_the_first_sigmoid_unit_are_left() -> None:
    orders = {"tanh": 8, "sigmoid": 2, "relu": 1}
    for activation, order in orders.items():
        network = make(activation)
        assert group_order(network) == order == len(list(members(network)))
    moves = {a: [(g.kind, g.unit) for g in generators(make(a))] for a in orders}
    assert moves == {
        "tanh": [("flip", 0), ("flip", 1), ("flip", 2)],
        "sigmoid": [("flip", 0)],
        "relu": [("rescale", 0), ("rescale", 1), ("rescale", 2)],
    }


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_copies_have_the_same_density(activation: str) -> None:
    """Under every member of the group, and under rescalings: the likelihood of every size."""
    network = make(activation)
    weights = random_weights(network, 6)
    before = log_joint(network, weights)
    moved = [move(network, weights) for move in generators(network)]
    moved += [act(network, weights, *random_members(network, 6, np.random.default_rng(seeded(8))))]
    moved += [canonical(network, weights), canonical(network, weights, approximate=True)]
    moved += list(orbit(network, weights))
    for copy in moved:
        np.testing.assert_allclose(log_joint(network, copy), before, rtol=1e-10)
        np.testing.assert_array_equal(copy["p_active"], weights["p_active"])


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_canonical_form_keeps_the_order_of_units(activation: str) -> None:
    network = make(activation)
    weights = random_weights(network, 6)
    form = canonical(network, weights)
    if activation == "tanh":
        assert (form["V"][:, 0] > 0).all()
        np.testing.assert_allclose(np.abs(form["b"]), np.abs(weights["b"]))
    elif activation == "relu":
        np.testing.assert_allclose(np.linalg.norm(form["W"], axis=-1), 1)
        np.testing.assert_allclose(form["b"] * form["V"][:, 0], weights["b"] * weights["V"][:, 0])
    else:
        for name, values in form.items():
            np.testing.assert_array_equal(values, weights[name])
    one = canonical(network, weights, approximate=True)
    for copy in orbit(network, weights):
        for name, values in canonical(network, copy, approximate=True).items():
            np.testing.assert_allclose(values, one[name], rtol=1e-12, atol=1e-12)


def test_what_is_no_symmetry_changes_the_density_and_is_refused() -> None:
    network = make("sigmoid")
    fixed, weights = replace(network, active=None), random_weights(network, 3)
    whole = {name: values for name, values in weights.items() if name != "p_active"}
    before = log_joint(network, weights)
    for move in generators(fixed):  # swaps and flips
        if (move.kind, move.unit) == ("flip", 0):
            continue
        assert np.abs(log_joint(network, move(fixed, whole)) - before).max() > 1e-3
    same = [np.ones(3)]
    with pytest.raises(InputError, match="not alike; leave each in its place"):
        act(network, weights, [[1, 0, 2]], same)
    with pytest.raises(InputError, match=r"give -1 or 1 for each .* -1 for unit 1 only"):
        act(network, weights, [[0, 1, 2]], [[1, -1, 1]])
    with pytest.raises(InputError, match="audit the network with active None"):
        audit(network)
    with pytest.raises(InputError, match="goes only with constraint 'none'"):
        evidence_shift(network, weights)


# -------------------------------------------------------------------------- predictions


@pytest.mark.parametrize(("target", "likelihood"), [("y", "normal"), ("t", "bernoulli")])
def test_a_table_is_predicted_by_draws_of_every_size(target: str, likelihood: str) -> None:
    """Intervals and densities are those of the mixture over draws and numbers of units."""
    rng = np.random.default_rng(seeded(9))
    data = pd.DataFrame(rng.normal(size=(20, 2)), columns=["a", "b"])
    data["y"] = 5 + rng.normal(size=20)
    data["t"] = rng.choice(["no", "yes"], 20)
    other = {"y": "t", "t": "y"}[target]
    table = Table.fit(data, target, likelihood, ignore=[other])
    network = make(likelihood=likelihood)
    values = random_weights(network, 15)
    values["p_active"][0] = 0, 0, 1
    w = rng.dirichlet(np.ones(15))
    inputs, y = table.inputs(data), table.targets(data)
    found = predict(network, Draws(w, values, "made"), table, inputs, y, interval=0.8)
    assert found.draws == 15
    p = np.concatenate([w * values["p_active"][:, k] for k in range(3)])
    sizes = [first(k, network, values) for k in (1, 2, 3)]
    each = np.concatenate([fixed.predict(cut, inputs) for fixed, cut in sizes])
    log_lik = np.concatenate([fixed.log_lik(cut, inputs, y) for fixed, cut in sizes])
    log_density = table.target.scaling.density(log_mean_exp(p, log_lik))
    np.testing.assert_allclose(found.frame["log_density"], log_density)
    if likelihood == "bernoulli":
        np.testing.assert_allclose(found.frame["p(yes)"], p @ each)
        for n, lower in enumerate(found.frame["p(yes).lower"]):
            below = p[each[:, n] < lower * (1 - 1e-9)].sum()
            assert below < 0.1 <= p[each[:, n] <= lower * (1 + 1e-9)].sum() + 1e-12
        return
    np.testing.assert_allclose(found.frame["mean"], table.target.scaling.invert(p @ each))
    noise = np.tile(values["sigma"][:, 0], 3)
    variance = p @ (each - p @ each) ** 2 + p @ noise**2
    np.testing.assert_allclose(found.frame["sd"], table.target.scaling.sd * np.sqrt(variance))
    upper = (found.frame["upper"].to_numpy() - data["y"].mean()) / data["y"].std(ddof=0)
    np.testing.assert_allclose(p @ stats.norm.cdf(upper, each, noise[:, None]), 0.9, atol=1e-9)


# -------------------------------------------------------------------------- the posterior of K


def bump(units: int, active: str | None) -> Nested:
    """Return nested runs of a network of one input on a bump, which takes two units."""
    rng = np.random.default_rng(seeded(3))
    x = rng.uniform(-2, 2, (40, 1))
    y = np.abs(x[:, 0] - 0.2) + rng.normal(0, 0.2, 40) < 1
    network = Network(1, (units,), 1, "tanh", "bernoulli", "normal:2", active=active)
    given = Posterior.from_network(network, x, y.astype(int))
    settings = PolyChordSettings(nlive=200)
    return run_nested(given, runs=2, polychord=settings, seed=units, quiet=True)


@needs_tools
def test_one_run_gives_the_evidence_of_every_size() -> None:
    """Against runs of the other program, one for each number of units."""
    whole = bump(2, "geometric:0.6")
    log_prior = ActivePrior.parse("geometric:0.6").log_probabilities(2)
    runs = [bump(k, None) for k in (1, 2)]
    log_z, sd = np.array([[run.log_z, run.log_z_sd] for run in runs]).T
    assert np.ptp(log_z) > 2  # the size matters
    parts = np.exp(log_softmax(log_prior + log_z))
    error = math.hypot(whole.log_z_sd, math.sqrt(parts**2 @ sd**2))
    assert 0 < error < 0.4
    assert abs(whole.log_z - logsumexp(log_prior + log_z)) < 3 * error

    by_size, by_size_sd = active_evidence(whole)
    combined = np.hypot(by_size_sd, sd)
    assert (combined > 0).all()
    assert combined.max() < 0.8
    assert (np.abs(by_size - log_z) < 3 * combined).all()
    assert logsumexp(log_prior + by_size) == pytest.approx(whole.log_z, abs=0.02)

    found = posterior_active(whole)
    np.testing.assert_allclose(found.probability.sum(), 1, rtol=1e-9)
    assert (found.effective_draws > 30).all()
    error = np.hypot(found.probability_sd, parts * combined)
    assert (np.abs(found.probability - parts) < 3 * error).all()
    assert found.as_dict()["log_z"] == by_size.tolist()
    noise = np.random.default_rng(seeded(12)).normal(size=(4000, 2)) * by_size_sd
    drawn = softmax(log_prior + by_size + noise, axis=1)
    np.testing.assert_allclose(found.probability_sd, drawn.std(axis=0), rtol=0.2)


@needs_tools
def test_chains_tell_the_posterior_of_the_size_and_no_evidence() -> None:
    density = posterior(make(units=2))
    eta = np.random.default_rng(seeded(10)).normal(size=(4, 50, density.dims))
    chains = made_chains(
        density, eta, rows=density.constrain_rows(eta), lengths=np.array([50, 50, 30, 50])
    )
    p = density.constrain(eta)["p_active"]
    lengths = np.array([50, 50, 30, 50])
    means = np.stack([one[:n].mean(axis=0) for one, n in zip(p, lengths, strict=True)])
    share = lengths / lengths.sum()
    found = posterior_active(chains)
    np.testing.assert_allclose(found.probability, share @ means)
    spread = (share**2) @ (means - share @ means) ** 2
    np.testing.assert_allclose(found.probability_sd, np.sqrt(4 / 3 * spread))
    assert np.isnan(found.log_z).all()
    assert "log_z" not in found.as_dict()
    alone = posterior_active(made_chains(density, eta[:1], rows=density.constrain_rows(eta[:1])))
    independent = p[0].std(axis=0) / math.sqrt(50)
    assert (np.abs(np.log(alone.probability_sd / independent)) < math.log(2)).all()


def test_a_network_of_fixed_size_has_no_posterior_of_the_size() -> None:
    density = small_network()
    chains = made_chains(density, np.zeros((2, 4, 9)))
    with pytest.raises(InputError, match="not that of a network of variable size; make one with"):
        posterior_active(chains)


@needs_tools
def test_from_a_table_to_predictions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command line: network, evidence, predict."""
    rng = np.random.default_rng(seeded(11))
    data = pd.DataFrame({"a": rng.normal(size=30)})
    data["y"] = np.tanh(data["a"]) + rng.normal(0, 0.3, 30)
    data.to_csv(tmp_path / "data.csv", index=False)
    net, out = str(tmp_path / "net"), str(tmp_path / "run")
    arguments = ["network", str(tmp_path / "data.csv"), "--target", "y", "--likelihood", "normal"]
    arguments += ["--hidden", "2", "--active", "geometric:0.5", "--out", net]
    assert main(arguments) == 0
    assert "1 to 2 active units, prior geometric:0.5" in capsys.readouterr().out
    assert (tmp_path / "net" / "variable.stanfunctions").is_file()
    flags = ["--nlive", "40", "--runs", "1", "--no-modes", "--quiet", "--out", out]
    assert main(["evidence", net, *flags]) == 0
    predict = ["predict", out, str(tmp_path / "data.csv"), "--out", str(tmp_path / "p.csv")]
    assert main([*predict, "--engine", "nested"]) == 0
    assert "points of nested sampling" in capsys.readouterr().out
    assert main([*predict, "--overwrite"]) == 0
    assert "tempered draws, of equal weight" in capsys.readouterr().out
    written = pd.read_csv(tmp_path / "p.csv")
    assert np.corrcoef(written["mean"], np.tanh(data["a"]))[0, 1] > 0.9
    assert (written["lower"] < written["mean"]).all()

    saved = open_posterior(tmp_path / "run" / "posterior")
    nested = load_nested(saved, tmp_path / "run")
    found = compare(saved, nested=nested, settings=ModeSettings(climbs=20), quiet=True)
    entry = found.as_dict()["active"]["nested"]
    assert entry["prior"] == pytest.approx([0.5, 0.5])
    assert sum(entry["probability"]) == pytest.approx(1)
    assert len(entry["log_z"]) == len(entry["log_z_sd"]) == 2
    lines = comparison_table("variable", found).splitlines()[-3:]
    assert lines[0].split() == ["active", "units", "prior", "by", "nested", "log_z"]
    for k, line in enumerate(lines[1:]):
        assert line.split()[:3] == [str(k + 1), "50.0%", f"{100 * entry['probability'][k]:.1f}"]
        assert f"{entry['log_z'][k]:.2f} ± {entry['log_z_sd'][k]:.2f}" in line
