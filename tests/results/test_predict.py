"""Predictions out: closed forms from hand-made draws, units, intervals, scores, files."""

from __future__ import annotations

import io
import json
import math
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.special import logsumexp, softmax

from conftest import each_its_own, made_chains
from manymodes.cli.main import main
from manymodes.errors import InputError, ResultsError
from manymodes.networks.network import Network
from manymodes.results import predict as predict_room
from manymodes.results.mixed_draws import MixedDraws
from manymodes.results.predict import Draws, Predictions, predict, predict_table
from manymodes.results.run_directory import open_posterior, save_posterior
from manymodes.sampling.chains.chains import Chains, load_chains, run_chains
from manymodes.sampling.chains.nuts_settings import NutsSettings
from manymodes.sampling.nested import run_nested
from manymodes.sampling.nested.settings import PolyChordSettings
from manymodes.statistics.mixture import log_mean_exp, normal_quantiles, weighted_quantiles
from manymodes.tables.table import Table
from sentences import tells

RNG = np.random.default_rng(3)
N, M = 40, 2
DATA = pd.DataFrame(RNG.normal([10, -3], [4, 0.5], (N, M)), columns=["a", "b"])
DATA["y"] = 500 + 30 * np.tanh(DATA["a"] - 10) + RNG.normal(0, 8, N)
DATA["c"] = RNG.choice(["low", "mid", "top"], N)
DATA["t"] = np.where(DATA["a"] + RNG.normal(0, 3, N) > 10, "yes", "no")


def hand_made(network: Network, size: int, seed: int = 1) -> Draws:
    """Return draws of any weights, with any weights in the mixture."""
    rng = np.random.default_rng(seed)
    values = {
        name: rng.normal(0, 1, (size, *shape)) for name, shape in network.weight_shapes.items()
    }
    if "sigma" in values:
        values["sigma"] = np.abs(values["sigma"]) + 0.1
    return Draws(rng.dirichlet(np.full(size, 0.3)), values, "hand-made draws")


def fitted(target: str, likelihood: str, **choices: Any) -> tuple[Network, Table]:
    """Return a small network and the table for a target of ``DATA``."""
    others = [name for name in ("y", "c", "t") if name != target]
    table = Table.fit(DATA, target, likelihood, ignore=others, **choices)
    outputs = 3 if likelihood == "categorical" else 1
    return Network(M, (3,), outputs=outputs, likelihood=likelihood), table


def predicted(
    network: Network, draws: Draws, table: Table, data: pd.DataFrame = DATA, **how: Any
) -> Predictions:
    return predict(network, draws, table, table.inputs(data), table.targets(data), **how)


def by_hand(draws: Draws, X: Any) -> Any:
    """Return the outputs of a network 2-3-K, shape (S, N, K), computed by loops."""
    v = draws.values
    return np.stack(
        [
            np.stack([v["V"][s] @ np.tanh(v["W"][s] @ x + v["b"][s]) + v["c"][s] for x in X])
            for s in range(len(draws.weights))
        ]
    )


# ---------------------------------------------------------------- numbers


def test_a_normal_target_by_hand() -> None:
    """Mean, spread, interval and density of the mixture, in the user's units."""
    network, table = fitted("y", "normal")
    draws = hand_made(network, 30)
    found = predicted(network, draws, table, interval=0.8)
    centre, scale = DATA["y"].mean(), DATA["y"].std(ddof=0)
    means = centre + scale * by_hand(draws, table.inputs(DATA))[..., 0]
    noise = scale * draws.values["sigma"]
    w = draws.weights[:, None]
    mean = (w * means).sum(axis=0)
    np.testing.assert_allclose(found.frame["mean"], mean)
    variance = (w * (means - mean) ** 2).sum(axis=0)
    np.testing.assert_allclose(found.frame["mean_sd"], np.sqrt(variance))
    np.testing.assert_allclose(found.frame["sd"], np.sqrt(variance + (w * noise**2).sum()))
    for end, level in (("lower", 0.1), ("upper", 0.9)):
        below = (w * stats.norm.cdf(found.frame[end].to_numpy(), means, noise)).sum(axis=0)
        np.testing.assert_allclose(below, level, atol=1e-10)
    y = DATA["y"].to_numpy()
    log_density = logsumexp(np.log(w) + stats.norm.logpdf(y, means, noise), axis=0)
    np.testing.assert_allclose(found.frame["log_density"], log_density, rtol=1e-10)
    score = found.score
    assert score is not None
    assert score.sum == pytest.approx(log_density.sum())
    assert score.mean == pytest.approx(log_density.mean())
    assert score.sd_of_mean == pytest.approx(stats.sem(log_density))
    assert score.measure == "rmse"
    assert score.value == pytest.approx(math.sqrt(np.mean((y - mean) ** 2)))


def test_the_density_integrates_to_one_in_the_users_units() -> None:
    network, table = fitted("y", "normal")
    draws = hand_made(network, 10)
    grid = np.linspace(-500, 1500, 8001)
    at_one_point = pd.DataFrame({"a": 9.0, "b": -3.1, "y": grid})
    density = np.exp(predicted(network, draws, table, at_one_point).frame["log_density"])
    assert np.trapezoid(density, grid) == pytest.approx(1, abs=1e-6)


def test_standardised_and_raw_networks_agree_in_the_users_units() -> None:
    """Weights that undo the standardisation give the same figures without it."""
    network, table = fitted("y", "normal")
    _, raw = fitted("y", "normal", standardise=False)
    draws = hand_made(network, 25)
    mean = np.array([column.scaling.mean for column in table.columns])
    sd = np.array([column.scaling.sd for column in table.columns])
    out, v = table.target.scaling, draws.values
    W = v["W"] / sd
    undone = {
        "W": W,
        "b": v["b"] - W @ mean,
        "V": v["V"] * out.sd,
        "c": v["c"] * out.sd + out.mean,
        "sigma": v["sigma"] * out.sd,
    }
    one = predicted(network, draws, table).frame
    other = predicted(network, Draws(draws.weights, undone, ""), raw).frame
    np.testing.assert_allclose(one, other, rtol=1e-8)


def test_a_far_target_does_not_underflow() -> None:
    network, table = fitted("y", "normal")
    draws = hand_made(network, 20)
    far = DATA.iloc[:2].assign(y=[1e6, -1e9])
    log_density = predicted(network, draws, table, far).frame["log_density"].to_numpy()
    widest = draws.values["sigma"].max() * table.target.scaling.sd
    assert np.isfinite(log_density).all()
    np.testing.assert_allclose(log_density, -0.5 * (far["y"] / widest) ** 2, rtol=5e-3)


# ---------------------------------------------------------------- classes


@pytest.mark.parametrize(("target", "likelihood"), [("c", "categorical"), ("t", "bernoulli")])
def test_classes_by_hand(target: str, likelihood: str) -> None:
    network, table = fitted(target, likelihood)
    draws = hand_made(network, 50)
    found = predicted(network, draws, table, interval=0.5)
    outputs = by_hand(draws, table.inputs(DATA))
    if likelihood == "bernoulli":
        outputs = np.concatenate([np.zeros_like(outputs), outputs], axis=-1)
    p = softmax(outputs, axis=-1)
    mixed = np.einsum("s,snk->nk", draws.weights, p)
    names = ("low", "mid", "top") if target == "c" else ("no", "yes")
    for k, name in enumerate(names):
        np.testing.assert_allclose(found.frame[f"p({name})"], mixed[:, k])
        for end, level in (("lower", 0.25), ("upper", 0.75)):
            for i in range(0, N, 7):
                order = np.argsort(p[:, i, k])
                first = np.flatnonzero(np.cumsum(draws.weights[order]) >= level)[0]
                expected = p[order[first], i, k]
                assert found.frame[f"p({name}).{end}"][i] == pytest.approx(expected)
    assert found.frame["class"].tolist() == [names[k] for k in mixed.argmax(axis=1)]
    index = [names.index(name) for name in DATA[target]]
    log_density = np.log(mixed[np.arange(N), index])
    np.testing.assert_allclose(found.frame["log_density"], log_density)
    score = found.score
    assert score is not None
    assert score.measure == "accuracy"
    assert score.value == pytest.approx((mixed.argmax(axis=1) == index).mean())
    assert score.sum == pytest.approx(log_density.sum())


def test_a_hopeless_class_does_not_underflow() -> None:
    network, table = fitted("t", "bernoulli")
    draws = hand_made(network, 5)
    draws.values["c"][:] = 5000.0
    row = DATA.iloc[:1].assign(t="no")
    assert predicted(network, draws, table, row).frame["log_density"][0] == pytest.approx(
        -5000, rel=2e-3
    )


# ---------------------------------------------------------------- mixtures


@given(st.integers(0, 10**6), st.integers(1, 600), st.floats(-3, 1), st.floats(1e-4, 1 - 1e-4))
@example(seed=39928, size=102, spread=-2.375, level=0.7197867196129364)  # Newton came no nearer
@settings(max_examples=60, deadline=None)
def test_quantiles_of_normal_mixtures_are_roots(
    seed: int, size: int, spread: float, level: float
) -> None:
    """Wide and narrow components, near and far apart, with even and uneven weights."""
    rng = np.random.default_rng(seed)
    weights = rng.dirichlet(np.full(size, 10.0 ** rng.uniform(-1.5, 1)))
    mean = rng.normal(size=(size, 3)) * 10.0 ** rng.uniform(-3, 3)
    sd = 10.0 ** rng.uniform(spread, 1, size)
    found = normal_quantiles(weights, mean, sd, [level])[0]
    below = [weights @ stats.norm.cdf(q, mean[:, i], sd) for i, q in enumerate(found)]
    step = 1e-9 * (1 + np.abs(found))
    before = [weights @ stats.norm.cdf(q, mean[:, i], sd) for i, q in enumerate(found - step)]
    after = [weights @ stats.norm.cdf(q, mean[:, i], sd) for i, q in enumerate(found + step)]
    assert (np.array(before) <= level + 1e-12).all(), below
    assert (np.array(after) >= level - 1e-12).all(), below


def test_quantiles_of_weighted_draws() -> None:
    values = np.array([[3.0], [1.0], [2.0], [9.0]])
    weights = np.array([0.25, 0.25, 0.5, 0.0])
    for level, expected in ((0.1, 1), (0.25, 1), (0.26, 2), (0.75, 2), (0.76, 3), (0.999, 3)):
        assert weighted_quantiles(weights, values, [level])[0, 0] == expected


def test_log_mean_exp_of_impossible_draws() -> None:
    log_density = np.array([[-np.inf, -np.inf, -1e5], [-2000.0, -np.inf, -1e5]])
    found = log_mean_exp(np.array([0.5, 0.5]), log_density)
    np.testing.assert_allclose(found, [-2000 + math.log(0.5), -np.inf, -1e5])


def test_large_tables_are_predicted_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks change nothing, and draws times rows are never in memory at once."""
    network, table = fitted("y", "normal")
    draws = hand_made(network, 10_000)
    rows = pd.concat([DATA] * 5, ignore_index=True)
    told: list[tuple[int, int]] = []
    tracemalloc.start()
    whole = predicted(network, draws, table, rows, on_rows=lambda *n: told.append(n))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 0.9 * 8 * 10_000 * 200 * 3  # one array of hidden units x draws x rows: 48 MB
    assert told[-1] == (200, 200)
    assert len(told) == 2
    monkeypatch.setattr(predict_room, "_BLOCK", 10_000 * 9)
    small = predicted(network, draws, table, DATA.iloc[:20])
    np.testing.assert_allclose(small.frame, whole.frame.iloc[:20], rtol=1e-9)


# ---------------------------------------------------------------- chains


def fake_chains(lpd: Any) -> Chains:
    """Return three chains of four draws: chain k has the output bias k in every draw."""

    class Unpacks:
        name, network = "fake", Network(M, (3,))

        def unpack(self, rows: Any) -> dict[str, Any]:
            shapes = self.network.weight_shapes
            return {n: np.broadcast_to(rows[:, :1], (len(rows), 1)) if n == "c" else
                    np.zeros((len(rows), *shape)) for n, shape in shapes.items()}  # fmt: skip

    rows = np.repeat(np.arange(3.0), 4).reshape(3, 4, 1)
    return made_chains(Unpacks(), rows, lpd=lpd)


def test_chains_are_weighted_by_stacking_or_alike() -> None:
    lpd = np.array([[-9.0] * 20, [-1.0] * 20, [-9.0] * 20])
    chains = each_its_own(fake_chains(lpd))
    stacked = MixedDraws.of_chains(chains)
    by_chain = stacked.weights.reshape(3, 4).sum(axis=1)
    assert by_chain[1] > 0.99
    assert stacked.weights.sum() == pytest.approx(1)
    assert tells(stacked.described, "3 chains of 4 draws", "stacking")
    uniform = MixedDraws.of_chains(chains, "uniform", thin=3)
    np.testing.assert_allclose(uniform.weights, np.full(6, 1 / 6))
    np.testing.assert_array_equal(uniform.rows[:, 0], [0, 0, 1, 1, 2, 2])
    values = Draws.of(chains.posterior, uniform).values
    np.testing.assert_array_equal(values["c"][:, 0], uniform.rows[:, 0])
    for word in ("3 chains of 2 draws", "every 3. draw", "equal weight"):
        assert word in uniform.described
    for wrong in ({"weights": "best"}, {"thin": 0}, {"thin": 5}):
        with pytest.raises(InputError, match=next(iter(wrong))):
            MixedDraws.of_chains(chains, **wrong)
    with pytest.raises(InputError, match="no log_lik to stack by: use uniform weights"):
        MixedDraws.of_chains(fake_chains(np.empty((3, 0))))


# ---------------------------------------------------------------- as a user goes


@pytest.fixture(scope="module")
def run(tools: Any, shared: Any) -> Path:
    """A run of both engines on a network of one unit, made from a table.

    As ``manymodes sample`` and ``evidence`` leave it (tests/test_cli.py), without the modes.
    """
    with shared("predict") as folder:
        net, out = folder / "net", folder / "run"
        if not (out / "posterior" / "table.json").exists():
            folder.mkdir(parents=True, exist_ok=True)
            DATA.to_csv(folder / "data.csv", index=False)
            columns = ["--target", "t", "--categorical", "c", "--ignore", "y", "--holdout", "0.3"]
            flags = [*columns, "--hidden", "1", "--out", str(net)]
            assert main(["network", str(folder / "data.csv"), *flags]) == 0
            posterior = open_posterior(net)
            nuts, polychord = NutsSettings(warmup=100, draws=60), PolyChordSettings(nlive=30)
            run_chains(posterior, chains=3, nuts=nuts, out=out, workers=1, quiet=True)
            run_nested(posterior, runs=1, polychord=polychord, out=out, quiet=True)
            save_posterior(posterior, out / "posterior")
            Table.load(net).save(out / "posterior")
    return folder


def test_from_a_table_to_predictions(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Held-out rows are predicted and scored; JSON, CSV and Parquet say the same."""
    held = run / "net" / "holdout.csv"
    arguments = ["predict", str(run / "run"), str(held)]
    assert main([*arguments, "--out", str(run / "p.csv")]) == 0
    said, err = capsys.readouterr()
    assert err == ""
    assert f"{run / 'p.csv'}: 12 rows" in said
    assert tells(said, "12 rows", "3 chains of 60 draws", "stacking")
    assert "log predictive density of the target: -" in said
    assert "accuracy" in said
    written = pd.read_csv(run / "p.csv")
    names = [f"p({c}){end}" for c in ("no", "yes") for end in ("", ".lower", ".upper")]
    given = pd.read_csv(held)
    assert list(written.columns) == [*given.columns, "class", *names, "log_density"]
    pd.testing.assert_frame_equal(written[given.columns], given)
    assert tells(said, "3 chains", "R-hat in function space", "0 of 180 transitions diverged")
    np.testing.assert_allclose(written["p(no)"] + written["p(yes)"], 1)
    assert (written["p(yes).lower"] < written["p(yes)"]).all()
    assert (written["p(yes).upper"] > written["p(yes)"]).all()
    own = np.where(pd.read_csv(held)["t"] == "yes", written["p(yes)"], written["p(no)"])
    np.testing.assert_allclose(written["log_density"], np.log(own))

    assert main([*arguments, "--out", str(run / "p.parquet"), "--json"]) == 0
    entry = json.loads(capsys.readouterr().out)
    parquet = pd.read_parquet(run / "p.parquet")
    parquet["y"] = parquet["y"].astype(float)  # a column that the network does not use stays text
    pd.testing.assert_frame_equal(parquet, written, check_dtype=False)
    assert entry["score"]["log_density_sum"] == pytest.approx(written["log_density"].sum())
    assert entry["rows"] == 12
    assert main([*arguments, "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["predictions"]) == 12

    assert main(arguments) == 0
    out, err = capsys.readouterr()
    pd.testing.assert_frame_equal(pd.read_csv(io.StringIO(out)), written)
    assert "12 rows predicted" in err


def test_a_data_file_scores_a_network(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its program generates log_lik alone: Stan's score is that of the network's own formulas."""
    posterior = open_posterior(run / "run" / "posterior")
    data = run / "run" / "posterior" / "data.json"
    assert not posterior.data["save_log_lik"]
    assert main(["predict", str(run / "run"), str(data)]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert tells(out, "scored by 3 chains of 60 draws", "stacking")
    assert tells(out, "log_lik is all")
    assert main(["predict", str(run / "run"), str(data), "--json"]) == 0
    entry = json.loads(capsys.readouterr().out)
    assert (entry["quantities"], entry["observations"], entry["predictions"]) == (0, N - 12, [])
    table, chains = Table.load(run / "net"), load_chains(posterior, run / "run")
    assert chains is not None
    draws = Draws.of(posterior, MixedDraws.of_chains(chains))
    X, y = (np.asarray(posterior.data[name], float) for name in ("X", "y_int"))
    assert posterior.network is not None
    expected = predict(posterior.network, draws, table, X, y).frame["log_density"]
    np.testing.assert_allclose(entry["log_density"], expected, rtol=1e-6)


def test_new_tables_in_other_shapes(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Parquet, columns in another order, more of them, no target: the same predictions."""
    held = pd.read_csv(run / "net" / "holdout.csv")
    expected = predict_table(run / "run", run / "net" / "holdout.csv")
    other = held[["c", "b", "a"]].assign(note=1)
    other.to_parquet(run / "other.parquet")
    assert main(["predict", str(run / "run"), str(run / "other.parquet")]) == 0
    out, err = capsys.readouterr()
    assert err.startswith("manymodes: columns not used: note\n")
    assert "log predictive density" not in err
    without = pd.concat([other, expected.frame.drop(columns="log_density")], axis=1)
    pd.testing.assert_frame_equal(
        pd.read_csv(io.StringIO(out)), without, check_dtype=False, rtol=1e-12
    )
    blank = predict_table(run / "run", held.assign(t=None))
    assert blank.score is None
    one = predict_table(run / "run", held.iloc[3:4])
    assert one.score is not None
    assert math.isnan(one.score.sd_of_mean)
    assert one.as_dict()["score"]["log_density_mean_se"] is None
    pd.testing.assert_frame_equal(
        one.frame, expected.frame.iloc[3:4].reset_index(drop=True), rtol=1e-12
    )


def test_both_engines_and_weightings_predict_alike(run: Path) -> None:
    """One posterior: chains and nested points agree within their Monte Carlo errors.

    Draws spread by up to 0.2; about 60 effective draws and 290 effective points leave an error
    of 0.03, of which 4 are allowed.
    """
    held = run / "net" / "holdout.csv"
    chains = predict_table(run / "run", held, weights="uniform")
    nested = predict_table(run / "run", held, engine="nested")
    assert tells(chains.described, "3 chains of 60 draws", "equal weight")
    assert tells(nested.described, "nested sampling", "posterior weights")
    np.testing.assert_allclose(chains.frame["p(yes)"], nested.frame["p(yes)"], atol=0.12)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--interval", "1"], "interval: 1 is not between 0 and 1"),
        (["--out", "p.xlsx"], "--out: 'p.xlsx' must end in .csv, .parquet, .pq"),
        (["--thin", "61"], "thin: 61 is not between 1 and 60"),
        (["--thin", "0"], "argument --thin: 0 is not"),
        (["--engine", "nested", "--thin", "2"], "thin: only chains can be thinned"),
        (["--weights", "best"], "argument --weights: invalid choice"),
    ],
)
def test_wrong_options_are_refused(
    run: Path, capsys: pytest.CaptureFixture[str], options: list[str], said: str
) -> None:
    held = str(run / "net" / "holdout.csv")
    assert main(["predict", str(run / "run"), held, *options]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert said in err


def test_wrong_tables_and_runs_are_refused(run: Path, tmp_path: Path) -> None:
    held = pd.read_csv(run / "net" / "holdout.csv")
    for table, said in (
        (held.drop(columns="a"), "no column 'a'; the network was trained on it"),
        (held.assign(c="new"), "column 'c' has the level 'new' in row 0, 1"),
        (held.assign(a=[None, *held["a"][1:]]), "missing values (NaN) in row 0 (counted"),
        (held.assign(t=["maybe", *held["t"][1:]]), "column 't' has the class 'maybe' in row 0"),
        (held.assign(t=[None, *held["t"][1:]]), "column 't' has missing values"),
        (held.iloc[:0], "the table has no rows"),
        (tmp_path / "absent.csv", "no such table"),
    ):
        with pytest.raises(InputError) as caught:
            predict_table(run / "run", table)
        assert said in str(caught.value)
    for folder, said in (
        (tmp_path, "holds no run"),
        (run / "net", "holds no run"),
    ):
        with pytest.raises(ResultsError, match=said):
            predict_table(folder, held)
    (tmp_path / "run" / "posterior").mkdir(parents=True)
    with pytest.raises(ResultsError, match=r"was not made from a table \(no table.json\)"):
        predict_table(tmp_path / "run", held)
    for path in (run / "run" / "posterior").iterdir():
        (tmp_path / "run" / "posterior" / path.name).write_bytes(path.read_bytes())
    with pytest.raises(
        ResultsError, match="holds no nested runs: make them with manymodes evidence"
    ):
        predict_table(tmp_path / "run", held)
    with pytest.raises(ResultsError, match="holds no chains: make them with manymodes sample"):
        predict_table(tmp_path / "run", held, engine="chains")
