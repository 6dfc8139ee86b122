"""Predictions of numbers and counts under every likelihood, and the path from table to figures."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.special import logsumexp

from conftest import needs_tools
from manymodes.cli.main import main
from manymodes.errors import InputError
from manymodes.networks.network import Network
from manymodes.results import outcome_columns
from manymodes.results.predict import Draws, Predictions, predict
from manymodes.statistics.mixture import count_quantiles, student_quantiles
from manymodes.tables.table import Table

RNG = np.random.default_rng(11)
N = 30
X = RNG.normal(5, 2, (N, 2))
DATA = pd.DataFrame(X, columns=["u", "v"])
DATA["y"] = 400 + 20 * np.tanh(X[:, 0] - 5) + RNG.normal(0, 4, N)
DATA["z"] = 0.1 * X[:, 1] + RNG.normal(0, 0.02, N)
DATA["days"] = RNG.uniform(0.5, 40, N).round(2)
DATA["calls"] = RNG.poisson(DATA["days"] * np.exp(0.3 * np.tanh(X[:, 0] - 5)))
DATA["tries"] = RNG.integers(1, 20, N)
DATA["hits"] = RNG.binomial(DATA["tries"], 0.4)
OTHERS = ("y", "z", "days", "calls", "tries", "hits")


def made(
    target: Any, likelihood: str, draws: int = 40, **choices: Any
) -> tuple[Network, Table, Draws]:
    """Return a network, its table, and draws of its prior with uneven weights."""
    network_choices = {name: choices.pop(name) for name in ("sigma", "skip") if name in choices}
    names = [target] if isinstance(target, str) else target
    used = {*names, choices.get("exposure"), choices.get("trials")}
    ignore = [name for name in OTHERS if name not in used]
    table = Table.fit(DATA, target, likelihood, ignore=ignore, **choices)
    network = Network(2, (3,), outputs=len(names), likelihood=likelihood, **network_choices)
    rng = np.random.default_rng(2)
    values = network.sample_prior(rng, draws)
    return network, table, Draws(rng.dirichlet(np.full(draws, 0.3)), values, "hand-made draws")


def predicted(
    network: Network, table: Table, draws: Draws, data: pd.DataFrame = DATA, **how: Any
) -> Predictions:
    over = table.counted_over(data)
    inputs, targets = table.inputs(data), table.targets(data)
    return predict(network, draws, table, inputs, targets, counted_over=over, **how)


def mixture_of(network: Network, table: Table, draws: Draws) -> Any:
    """Return SciPy's distribution of each draw and row, shape (S, N), of a count."""
    rate = network.predict(draws.values, table.inputs(DATA))
    if network.likelihood == "binomial":
        return stats.binom(DATA["tries"].to_numpy(), rate)
    mean = rate * DATA["days"].to_numpy()
    if network.likelihood == "poisson":
        return stats.poisson(mean)
    noise = network.noise_of(draws.values)
    assert noise is not None
    phi = np.broadcast_to(noise.reshape(-1, 1), (len(mean), 1)) ** -2.0
    return stats.nbinom(phi, phi / (phi + mean))


COUNTS = [
    ("calls", "poisson", {"exposure": "days"}),
    ("calls", "negative-binomial", {"exposure": "days"}),
    ("calls", "negative-binomial", {"exposure": "days", "sigma": 0.3}),
    ("calls", "negative-binomial", {"exposure": "days", "sigma": 1e-9}),
    ("hits", "binomial", {"trials": "tries"}),
]


@pytest.mark.parametrize(("target", "likelihood", "choices"), COUNTS)
@pytest.mark.parametrize("draws", [40, 5000])
def test_a_count_by_scipy(target: str, likelihood: str, choices: Any, draws: int) -> None:
    network, table, mixed = made(target, likelihood, draws, **choices)
    found = predicted(network, table, mixed, interval=0.8)
    w, frame = mixed.weights, found.frame
    if choices.get("sigma") == 1e-9:  # SciPy's negative binomial has no such large number
        one = stats.poisson(network.predict(mixed.values, table.inputs(DATA)) * DATA["days"].array)
    else:
        one = mixture_of(network, table, mixed)
    mean = w @ one.mean()
    np.testing.assert_allclose(frame["mean"], mean)
    between = w @ (one.mean() - mean) ** 2
    np.testing.assert_allclose(frame["mean_sd"], np.sqrt(between), rtol=1e-9)
    np.testing.assert_allclose(frame["sd"], np.sqrt(between + w @ one.var()), rtol=1e-7)
    for name, level in (("lower", 0.1), ("upper", 0.9)):
        counts = frame[name].to_numpy()
        assert counts.dtype.kind == "i"
        assert (w @ one.cdf(counts) >= level - 1e-9).all()
        assert ((w @ one.cdf(counts - 1) < level + 1e-9) | (counts == 0)).all()
    y = DATA[target].to_numpy()
    log_density = logsumexp(one.logpmf(y), axis=0, b=w[:, None])
    np.testing.assert_allclose(frame["log_density"], log_density, rtol=1e-6)
    assert found.score is not None
    assert found.score.measure == "rmse"
    assert found.score.value == pytest.approx(math.sqrt(np.mean((y - mean) ** 2)))


def test_a_binomial_target_has_the_probability_too() -> None:
    network, table, draws = made("hits", "binomial", trials="tries")
    frame = predicted(network, table, draws).frame
    p = network.predict(draws.values, table.inputs(DATA))
    assert list(frame.columns[:3]) == ["p", "p.lower", "p.upper"]
    np.testing.assert_allclose(frame["p"], draws.weights @ p)
    np.testing.assert_allclose(frame["mean"], frame["p"] * DATA["tries"])
    assert (draws.weights @ (p <= frame["p.lower"].to_numpy()) >= 0.05 - 1e-9).all()


@pytest.mark.parametrize("likelihood", ["normal", "heteroscedastic", "student:4", "student:1.5"])
@pytest.mark.parametrize("targets", ["y", ["y", "z"]])
def test_numbers_by_scipy(likelihood: str, targets: Any) -> None:
    """Quantiles, moments and the joint density, each target in its own unit."""
    network, table, draws = made(targets, likelihood)
    found = predicted(network, table, draws, interval=0.8)
    names = [targets] if isinstance(targets, str) else targets
    w, inputs = draws.weights, table.inputs(DATA)
    shape = (len(w), N, len(names))
    means = network.predict(draws.values, inputs).reshape(shape)
    noise = network.noise(draws.values, inputs).reshape(shape)
    log_density = np.zeros((len(w), N))
    for place, target in enumerate(table.all_targets):
        prefix = "" if isinstance(targets, str) else f"{target.name}."
        location = target.scaling.invert(means[..., place])
        scale = noise[..., place] * target.scaling.sd
        nu = network.likelihood_parts.nu
        one = stats.t(nu, location, scale) if math.isfinite(nu) else stats.norm(location, scale)
        for name, level in (("lower", 0.1), ("upper", 0.9)):
            below = w @ one.cdf(found.frame[prefix + name].to_numpy())
            np.testing.assert_allclose(below, level, atol=1e-9)
        mean = w @ location
        np.testing.assert_allclose(found.frame[prefix + "mean"], mean)
        between = w @ (location - mean) ** 2
        np.testing.assert_allclose(found.frame[prefix + "mean_sd"], np.sqrt(between))
        variance = np.inf if nu <= 2 else w @ one.var()
        np.testing.assert_allclose(found.frame[prefix + "sd"], np.sqrt(between + variance))
        log_density += one.logpdf(DATA[target.name].to_numpy())
        assert found.score is not None
        error = math.sqrt(np.mean((DATA[target.name] - mean) ** 2))
        told = dict(found.score.by_target) or {target.name: found.score.value}
        assert told[target.name] == pytest.approx(error)
    joint = logsumexp(log_density, axis=0, b=w[:, None])
    np.testing.assert_allclose(found.frame["log_density"], joint, rtol=1e-9)
    assert len(found.frame.columns) == 5 * len(names) + 1


def test_a_known_noise_is_in_the_mixture() -> None:
    network, table, draws = made("y", "normal", sigma=0.5)
    assert "sigma" not in draws.values
    frame = predicted(network, table, draws).frame
    scale = table.target.scaling.sd
    np.testing.assert_allclose(frame["sd"] ** 2 - frame["mean_sd"] ** 2, (0.5 * scale) ** 2)


def test_quantiles_of_far_components_of_students_t() -> None:
    weights = np.array([0.5, 0.3, 0.2])
    location, scale = np.array([[0.0], [1e4], [-1e6]]), np.array([[1e-3], [1.0], [1e3]])
    levels = (0.001, 0.25, 0.6, 0.9999)
    found = student_quantiles(weights, location, scale, 3.0, levels)
    below = [weights @ stats.t(3.0, location, scale).cdf(one) for one in found]
    np.testing.assert_allclose(np.ravel(below), levels, rtol=1e-6)


@pytest.mark.parametrize("guess", [0.0, 3.0, 1e3, 1e9, 1e18])
@pytest.mark.parametrize("mean", [0.01, 7.0, 2e6])
def test_count_quantiles_do_not_depend_on_the_guess(mean: float, guess: float) -> None:
    one = stats.poisson(mean)
    for level in (0.001, 0.5, 0.999):
        found = count_quantiles(lambda k, rows: one.cdf(k), np.array([guess, np.inf]), level)
        assert found.tolist() == [one.ppf(level), np.inf]


def test_a_rate_that_overflows_is_infinite_and_no_crash() -> None:
    network, table, draws = made("calls", "poisson", 4, exposure="days")
    values = {name: np.array(value) for name, value in draws.values.items()}
    values["c"][:] = 1000.0
    frame = predict(
        network,
        Draws(np.full(4, 0.25), values, ""),
        table,
        table.inputs(DATA),
        counted_over=table.counted_over(DATA),
    ).frame
    assert np.isinf(frame[["mean", "sd", "upper"]].to_numpy()).all()


def test_large_tables_of_counts_are_the_small_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """A part of many draws only tells where to look."""
    network, table, draws = made("calls", "poisson", 300, exposure="days")
    whole = predicted(network, table, draws).frame
    monkeypatch.setattr(outcome_columns, "_MANY", 100)
    pd.testing.assert_frame_equal(predicted(network, table, draws).frame, whole)


# ---------------------------------------------------------------- by the command


def _predicted(folder: Path, table: str, *more: str, said: Any = None) -> dict[str, Any]:
    said.readouterr()
    assert main(["predict", str(folder / "run"), str(folder / table), "--json", *more]) == 0
    found: dict[str, Any] = json.loads(said.readouterr().out)
    return found


QUICK = ["--chains", "2", "--warmup", "100", "--draws", "100", "--quiet"]


@needs_tools
@pytest.mark.slow
def test_counts_with_an_exposure_by_the_command(tmp_path: Path, capsys: Any) -> None:
    DATA[["u", "days", "calls"]].to_csv(tmp_path / "calls.csv", index=False)
    made_net = [
        *("network", str(tmp_path / "calls.csv"), "--target", "calls", "--likelihood", "poisson"),
        *("--exposure", "days", "--holdout", "0.3", "--out", str(tmp_path / "net")),
    ]
    assert main(made_net) == 0
    assert "target calls: poisson, rates times the exposure 'days'" in capsys.readouterr().out
    run = ["sample", str(tmp_path / "net"), *QUICK, "--out", str(tmp_path / "run")]
    assert main(run) == 0
    assert main(["compare", str(tmp_path / "run"), "--quiet"]) == 0
    page = (tmp_path / "run" / "report.html").read_text()
    assert "divided by their exposures" in page
    found = _predicted(tmp_path, "net/holdout.csv", said=capsys)
    assert found["rows"] == 9
    assert found["notes"] == found["unused_columns"] == []
    assert found["score"]["rmse"] > 0
    assert all(isinstance(row["upper"], int) for row in found["predictions"])
    DATA[["u"]].to_csv(tmp_path / "new.csv", index=False)
    without = _predicted(tmp_path, "new.csv", said=capsys)
    assert without["score"] is None
    assert len(without["notes"]) == 1
    assert "has no column 'days': every exposure is taken as 1" in without["notes"][0]
    DATA[["u", "days"]].assign(days=10.0).to_csv(tmp_path / "ten.csv", index=False)
    ten = _predicted(tmp_path, "ten.csv", said=capsys)
    means = [[row["mean"] for row in one["predictions"]] for one in (ten, without)]
    np.testing.assert_allclose(means[0], 10 * np.array(means[1]))


@needs_tools
@pytest.mark.slow
def test_two_targets_by_the_command(tmp_path: Path, capsys: Any) -> None:
    DATA[["u", "y", "z"]].to_csv(tmp_path / "two.csv", index=False)
    made_net = [
        *("network", str(tmp_path / "two.csv"), "--target", "y", "--target", "z"),
        *("--likelihood", "heteroscedastic", "--skip", "--holdout", "0.3"),
        *("--out", str(tmp_path / "net")),
    ]
    assert main(made_net) == 0
    assert "targets y, z: heteroscedastic" in capsys.readouterr().out
    run = ["sample", str(tmp_path / "net"), *QUICK, "--out", str(tmp_path / "run")]
    assert main(run) == 0
    page = (tmp_path / "run" / "report.html").read_text()
    assert "is not drawn: it has 2 targets, and predictions are drawn of one" in page
    found = _predicted(tmp_path, "net/holdout.csv", said=capsys)
    assert set(found["score"]["rmse_by_target"]) == {"y", "z"}
    row = found["predictions"][0]
    assert row["y.lower"] < row["y.mean"] < row["y.upper"]
    DATA[["u", "z"]].to_csv(tmp_path / "half.csv", index=False)
    half = _predicted(tmp_path, "half.csv", said=capsys)
    assert half["score"] is None
    assert "has not all of the targets y, z" in half["notes"][0]


def test_a_known_noise_is_in_the_users_units(tmp_path: Path, capsys: Any) -> None:
    DATA[["u", "y", "z"]].to_csv(tmp_path / "t.csv", index=False)
    base = ["network", str(tmp_path / "t.csv"), "--likelihood", "student:4", "--target", "y"]
    assert main([*base, "--ignore", "z", "--sigma", "3", "--out", str(tmp_path / "net")]) == 0
    said = capsys.readouterr().out
    assert "known noise: sigma = 3 in the units of the table" in said
    kept = json.loads((tmp_path / "net" / "posterior.json").read_text())
    assert kept["network"]["sigma"] == pytest.approx(3 / DATA["y"].std(ddof=0))
    for more, why in (
        (["--target", "z", "--sigma", "1"], "--sigma: the targets are standardised by different"),
        (["--ignore", "z", "--sigma", "-1"], "--sigma: -1 is not a positive finite number"),
        (["--ignore", "z", "--sigma", "1", "--sigma-scale", "1"], "leave one of them out"),
    ):
        assert main([*base, *more, "--out", str(tmp_path / "other")]) == 2
        assert why in capsys.readouterr().err


def test_noise_is_for_real_targets() -> None:
    network, _, draws = made("calls", "poisson")
    with pytest.raises(InputError, match="poisson has no noise"):
        network.noise(draws.values, X)


@pytest.mark.parametrize(
    ("counts", "prior", "said"),
    [
        ([900, 1100, 1000, 1000], "normal:1", True),
        ([900, 1100, 1000, 1000], "bo=normal:10", False),
        ([2, 1, 3, 0], "normal:1", False),
    ],
)
def test_a_rate_that_the_prior_hardly_allows_is_said(
    tmp_path: Path, capsys: Any, counts: list[int], prior: str, said: bool
) -> None:
    pd.DataFrame({"u": [0.0, 1.0, 2.0, 3.0], "n": counts}).to_csv(tmp_path / "n.csv", index=False)
    made_net = ["network", str(tmp_path / "n.csv"), "--target", "n", "--likelihood", "poisson"]
    assert main([*made_net, "--prior", prior, "--out", str(tmp_path / "net")]) == 0
    assert ("its logarithm, 6.9, is far out" in capsys.readouterr().err) == said
