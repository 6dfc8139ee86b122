"""Predictions by generated quantities: closed forms, other data and programs, gaps, files."""

from __future__ import annotations

import io
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.special import logsumexp

from conftest import MODELS, Y_NORMAL, needs_tools
from manymodes.cli.main import main
from manymodes.density import generated as generated_room
from manymodes.density.generated import check_same_parameters
from manymodes.density.posterior import Posterior
from manymodes.density.program import Program
from manymodes.density.variables import element_name
from manymodes.errors import InputError, ResultsError
from manymodes.results import predict_data as predict_room
from manymodes.results.mixed_draws import MixedDraws
from manymodes.results.predict_data import DataPredictions, predict_data, predict_quantities
from manymodes.results.run_directory import save_posterior
from manymodes.sampling.chains.chains import run_chains
from manymodes.sampling.chains.nuts_settings import NutsSettings
from manymodes.sampling.nested import run_nested
from manymodes.sampling.nested.settings import PolyChordSettings
from manymodes.statistics.mixture import described, weighted_quantiles
from sentences import tells

FAR = 1000.0
BEFORE: dict[str, Any] = {
    "N": len(Y_NORMAL),
    "y": Y_NORMAL.tolist(),
    "M": 0,
    "K": 2,
    "top": 10.0,
    "reject_above": FAR,
    "nan_above": FAR,
    "inf_above": FAR,
}
AFTER = {**BEFORE, "N": 3, "y": [0.5, -1.0, 4.0], "M": 2, "top": 12.0}
VARIANCE = 1 / (len(Y_NORMAL) + 1 / 4)
MEAN = VARIANCE * Y_NORMAL.sum()
"""Of the posterior of mu, which is normal."""


def forecast(data: dict[str, Any], program: str = "forecast") -> Posterior:
    return Posterior(Program(MODELS / f"{program}.stan"), data, "forecast")


@pytest.fixture(scope="module")
def fitted(tools: Any) -> Posterior:
    return forecast(BEFORE).compile()


def drawn(posterior: Posterior, mu: Any, weights: Any = None) -> MixedDraws:
    """Return draws with these values of mu, and other parameters of 0 and 1."""
    mu = np.asarray(mu, dtype=float)
    if weights is None:
        weights = np.full(len(mu), 1 / len(mu))
    rows = np.column_stack([mu, np.zeros(len(mu)), np.ones(len(mu))])
    return MixedDraws(np.asarray(weights), rows, posterior.unconstrain_rows(rows), "hand-made")


def predicted(
    posterior: Posterior, changes: dict[str, Any], mixed: MixedDraws, **how: Any
) -> DataPredictions:
    return predict_quantities(posterior, forecast({**AFTER, **changes}), mixed, quiet=True, **how)


RNG = np.random.default_rng(11)
MU = RNG.normal(MEAN, math.sqrt(VARIANCE), 40)
WEIGHTS = RNG.dirichlet(np.full(40, 0.5))


def log_density_by_hand(mu: Any, weights: Any) -> Any:
    densities = stats.norm.logpdf(np.array(AFTER["y"]), np.asarray(mu)[:, None], 1)
    return logsumexp(np.log(np.asarray(weights))[:, None] + densities, axis=0)


# ---------------------------------------------------------------- numbers


def test_weighted_draws_by_hand(fitted: Posterior) -> None:
    """A row for each element, in Stan's order, with the mixture's figures; log_lik is scored."""
    found = predicted(fitted, {}, drawn(fitted, MU, WEIGHTS), interval=0.8)
    frame = found.frame.set_index("name")
    table = ["table[1,1]", "table[2,1]", "table[1,2]", "table[2,2]"]
    assert list(found.frame.columns) == ["name", "mean", "sd", "lower", "upper"]
    assert list(frame.index) == ["y_new[1]", "y_new[2]", *table, "odd", "positive"]
    mean = WEIGHTS @ MU
    sd = math.sqrt(WEIGHTS @ (MU - mean) ** 2)
    ends = weighted_quantiles(WEIGHTS, MU[:, None], (0.1, 0.9))[:, 0]
    for name, factor in zip(table, (1, 3, 2, 4), strict=True):
        expected = factor * np.array([mean, sd, *ends])
        np.testing.assert_allclose(frame.loc[name], expected, rtol=1e-9)
    assert frame.loc["positive", "mean"] == pytest.approx(WEIGHTS @ (MU > 0))
    log_density = log_density_by_hand(MU, WEIGHTS)
    np.testing.assert_allclose(found.log_density, log_density, rtol=1e-9)
    assert found.score is not None
    assert found.score.sum == pytest.approx(log_density.sum())
    assert found.score.mean == pytest.approx(log_density.mean())
    assert found.score.sd_of_mean == pytest.approx(stats.sem(log_density))
    assert (found.draws, found.threw, found.message, found.not_finite) == (40, 0, "", {})


def test_the_posterior_predictive_is_the_known_one(fitted: Posterior) -> None:
    """New outcomes are normal with variance 1 + that of mu; five standard errors are allowed."""
    n = 20_000
    mu = np.random.default_rng(2).normal(MEAN, math.sqrt(VARIANCE), n)
    found = predicted(fitted, {}, drawn(fitted, mu))
    exact = stats.norm(MEAN, math.sqrt(1 + VARIANCE))
    for name in ("y_new[1]", "y_new[2]"):
        one = found.frame.set_index("name").loc[name]
        assert one["mean"] == pytest.approx(exact.mean(), abs=5 * exact.std() / math.sqrt(n))
        assert one["sd"] == pytest.approx(exact.std(), rel=5 / math.sqrt(2 * n))
        for end, level in (("lower", 0.05), ("upper", 0.95)):
            error = math.sqrt(level * (1 - level) / n) / exact.pdf(exact.ppf(level))
            assert one[end] == pytest.approx(exact.ppf(level), abs=5 * error)
    y = np.array(AFTER["y"])
    densities = stats.norm.pdf(y, mu[:, None], 1)
    errors = densities.std(axis=0) / densities.mean(axis=0) / math.sqrt(n)
    assert (np.abs(found.log_density - exact.logpdf(y)) < 5 * errors).all()


def test_the_seed_decides_random_quantities(fitted: Posterior) -> None:
    mixed = drawn(fitted, MU)
    one, again = (predicted(fitted, {}, mixed, seed=2**40).frame for _ in range(2))
    pd.testing.assert_frame_equal(one, again)
    other = predicted(fitted, {}, mixed, seed=2**40 + 1).frame
    assert (one["mean"] != other["mean"]).tolist() == [True] * 2 + [False] * 6


def test_blocks_and_passes_change_nothing(
    fitted: Posterior, monkeypatch: pytest.MonkeyPatch
) -> None:
    mixed = drawn(fitted, MU, WEIGHTS)
    how: dict[str, Any] = {"reject_above": 1.2, "nan_above": 1.0}
    whole = predicted(fitted, how, mixed)
    assert whole.threw > 0
    monkeypatch.setattr(generated_room, "_BLOCK", 50)  # four draws
    monkeypatch.setattr(predict_room, "_HELD", 120)  # three quantities
    parts = predicted(fitted, how, mixed)
    pd.testing.assert_frame_equal(parts.frame, whole.frame, rtol=1e-12)
    np.testing.assert_allclose(parts.log_density, whole.log_density, rtol=1e-12)
    assert (parts.threw, parts.not_finite) == (whole.threw, whole.not_finite)


# ---------------------------------------------------------------- draws that do not count


def test_parameters_are_kept_though_a_bound_is_data(fitted: Posterior) -> None:
    """The unconstrained point moves with the bound; draws above the bound are left out."""
    top = float(np.sort(MU)[30])
    found = predicted(fitted, {"top": top + 1e-9}, drawn(fitted, MU, WEIGHTS))
    kept = top >= MU
    weights = WEIGHTS[kept] / WEIGHTS[kept].sum()
    odd = found.frame.set_index("name").loc["odd"]
    assert odd["mean"] == pytest.approx(weights @ MU[kept])
    assert (found.draws, found.threw) == (40, 9)
    assert found.threw_share == pytest.approx(WEIGHTS[~kept].sum())
    assert "must be less than or equal to" in found.message
    np.testing.assert_allclose(found.log_density, log_density_by_hand(MU[kept], weights), rtol=1e-9)


def test_draws_that_throw_are_left_out_and_counted(fitted: Posterior) -> None:
    found = predicted(fitted, {"reject_above": 1.0}, drawn(fitted, MU, WEIGHTS))
    kept = MU <= 1
    assert 0 < found.threw == (~kept).sum()
    assert found.threw_share == pytest.approx(WEIGHTS[~kept].sum())
    assert found.message.startswith("the mean is too large")
    weights = WEIGHTS[kept] / WEIGHTS[kept].sum()
    assert found.frame.set_index("name").loc["odd", "mean"] == pytest.approx(weights @ MU[kept])
    np.testing.assert_allclose(found.log_density, log_density_by_hand(MU[kept], weights), rtol=1e-9)
    assert found.not_finite == {}


@pytest.mark.parametrize("how", [{"reject_above": -FAR}, {"top": -FAR}])
def test_a_program_that_throws_for_every_draw_says_why(
    fitted: Posterior, how: dict[str, Any]
) -> None:
    with pytest.raises(InputError, match="throws for every draw: ") as caught:
        predicted(fitted, how, drawn(fitted, MU))
    why = "the mean is too large" if "reject_above" in how else "must be less than or equal to"
    assert why in str(caught.value)
    assert "\n" not in str(caught.value)


def test_values_that_are_no_numbers(fitted: Posterior) -> None:
    """NaN does not count in its row, an infinity does; a NaN in log_lik leaves no score."""
    found = predicted(fitted, {"nan_above": 1.0, "inf_above": 0.7}, drawn(fitted, MU, WEIGHTS))
    odd = found.frame.set_index("name").loc["odd"]
    there = MU <= 1
    values = np.where(MU[there] > 0.7, np.inf, MU[there])
    weights = WEIGHTS[there] / WEIGHTS[there].sum()
    assert odd["mean"] == np.inf
    assert math.isnan(odd["sd"])
    np.testing.assert_allclose(
        odd[["lower", "upper"]].to_numpy(float),
        weighted_quantiles(weights, values[:, None], (0.05, 0.95))[:, 0],
    )
    assert found.not_finite == {"odd": int((MU > 0.7).sum())}
    expected = log_density_by_hand(MU, WEIGHTS)
    assert math.isnan(found.log_density[0])
    np.testing.assert_allclose(found.log_density[1:], expected[1:], rtol=1e-9)
    assert found.score is not None
    assert found.score.sum == pytest.approx(expected[1:].sum())
    nothing = predicted(fitted, {"N": 1, "y": [0.0], "nan_above": -FAR}, drawn(fitted, MU))
    assert nothing.score is None
    assert nothing.frame.set_index("name").loc["odd"].isna().all()


def test_draws_without_weight_have_no_effect(fitted: Posterior) -> None:
    """Not even if the program throws for them."""
    mixed = drawn(fitted, [*MU, 5.0], [*WEIGHTS, 0.0])
    found = predicted(fitted, {"reject_above": 3.0}, mixed)
    pd.testing.assert_frame_equal(
        found.frame, predicted(fitted, {}, drawn(fitted, MU, WEIGHTS)).frame
    )
    assert (found.draws, found.threw) == (40, 0)


def test_one_observation_has_no_standard_error(fitted: Posterior) -> None:
    found = predicted(fitted, {"N": 1, "y": [0.0]}, drawn(fitted, MU))
    assert found.score is not None
    assert math.isnan(found.score.sd_of_mean)
    assert found.as_dict()["score"]["log_density_mean_se"] is None
    assert predicted(fitted, {"N": 0, "y": []}, drawn(fitted, MU)).score is None


# ---------------------------------------------------------------- other parameters and programs


def test_other_shapes_of_parameters_are_refused(fitted: Posterior) -> None:
    with pytest.raises(
        InputError, match=r"parameter other has shape \(3,\), and shape \(2,\) in the run"
    ):
        predicted(fitted, {"K": 3}, drawn(fitted, MU))
    with pytest.raises(InputError, match=r"other has no element, and shape \(2,\) in the run"):
        predicted(fitted, {"K": 0}, drawn(fitted, MU))


@pytest.mark.parametrize(
    ("after", "said"),
    [
        (["b.1", "b.2", "a"], None),
        (["a", "b.1"], "b has shape (1,), and shape (2,) in the run"),
        (["a.1", "b.1", "b.2"], "a has shape (1,), and shape () in the run"),
        (["b.1", "b.2"], "a has no element, and shape () in the run"),
        (["a", "b.1", "b.2", "c.1.1"], "c has shape (1, 1), and no element in the run"),
    ],
)
def test_parameters_are_compared_by_name(after: list[str], said: str | None) -> None:
    before = ["a", "b.1", "b.2"]
    if said is None:
        check_same_parameters(before, after, "new.json")
        return
    with pytest.raises(InputError) as caught:
        check_same_parameters(before, after, "new.json")
    assert str(caught.value).startswith(f"new.json: the parameter {said}")


def test_another_program_finds_its_parameters_by_name(fitted: Posterior) -> None:
    other = forecast({"K": 2, "factor": 10}, "forecast_other")
    found = predict_quantities(fitted, other, drawn(fitted, MU, WEIGHTS), quiet=True)
    assert found.frame["name"].tolist() == ["scaled"]
    assert found.frame["mean"][0] == pytest.approx(10 * WEIGHTS @ MU)
    assert found.score is None
    assert found.log_density.shape == (0,)


@needs_tools
def test_a_program_without_generated_quantities_says_what_to_do() -> None:
    half = Posterior(Program(MODELS / "half.stan"), {"N": 1, "y": [1.0]}, "half")
    eta = np.ones((3, 1))
    with pytest.raises(InputError, match="half has no generated quantities to predict with: add"):
        predict_quantities(half, half, MixedDraws(np.full(3, 1 / 3), eta, eta, ""))


@pytest.mark.parametrize(
    ("flat", "name"),
    [("z", "z"), ("y_new.3", "y_new[3]"), ("W.1.20", "W[1,20]"), ("z.2.real", "z[2].real"),
     ("t.1:2.3", "t[1]:2[3]")],
)  # fmt: skip
def test_elements_are_named_as_in_stan(flat: str, name: str) -> None:
    assert element_name(flat) == name


def test_described_columns_are_independent() -> None:
    """A gap in one column changes no other; what has no weight does not count."""
    weights = np.array([0.5, 0.25, 0.25, 0.0])
    values = np.array([[1.0, np.nan, np.nan], [2.0, 2.0, np.nan], [4.0, 4.0, np.nan], [np.inf] * 3])
    found = described(weights, values, (0.25, 0.75))
    np.testing.assert_allclose(found[:, 0], [2.0, math.sqrt(1.5), 1.0, 2.0])
    np.testing.assert_allclose(found[:, 1], [3.0, 1.0, 2.0, 4.0])
    assert np.isnan(found[:, 2]).all()


# ---------------------------------------------------------------- as a user goes


@pytest.fixture(scope="module")
def run(fitted: Posterior, shared: Any) -> Path:
    """A folder with a run of chains and nested sampling, and new data."""
    with shared("predict-data") as folder:
        out = folder / "run"
        if not (folder / "new.json").exists():
            nuts, polychord = NutsSettings(warmup=200, draws=200), PolyChordSettings(nlive=50)
            run_chains(fitted, chains=4, nuts=nuts, out=out, workers=1, quiet=True)
            run_nested(fitted, runs=1, polychord=polychord, out=out, quiet=True)
            save_posterior(fitted, out / "posterior")
            (folder / "new.json").write_text(json.dumps(AFTER))
    return folder


def test_a_run_predicts_new_data(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """CSV, Parquet and JSON say the same, and what the closed form says."""
    arguments = ["predict", str(run / "run"), str(run / "new.json")]
    assert main(arguments) == 0
    out, err = capsys.readouterr()
    printed = pd.read_csv(io.StringIO(out))
    assert tells(err, "8 quantities", "4 chains of 200 draws", "stacking")
    assert tells(err, "log predictive density", "3 observations")
    odd = printed.set_index("name").loc["odd"]
    assert odd["mean"] == pytest.approx(MEAN, abs=0.1)
    assert odd["sd"] == pytest.approx(math.sqrt(VARIANCE), abs=0.1)

    for name in ("p.csv", "p.parquet"):
        assert main([*arguments, "--out", str(run / name), "--json"]) == 0
        entry = json.loads(capsys.readouterr().out)
    pd.testing.assert_frame_equal(pd.read_csv(run / "p.csv"), printed)
    pd.testing.assert_frame_equal(pd.read_parquet(run / "p.parquet"), printed, rtol=1e-12)
    assert entry["out"] == str(run / "p.parquet")
    assert (entry["quantities"], entry["draws"], entry["seed"]) == (8, 800, 1)
    exact = stats.norm.logpdf(AFTER["y"], MEAN, math.sqrt(1 + VARIANCE))
    assert entry["score"]["log_density_sum"] == pytest.approx(exact.sum(), abs=0.3)
    assert entry["log_density"] == pytest.approx(exact.tolist(), abs=0.2)
    assert main([*arguments, "--json", "--interval", "0.5"]) == 0
    entry = json.loads(capsys.readouterr().out)
    assert [one["name"] for one in entry["predictions"]] == printed["name"].tolist()
    assert entry["predictions"][0]["upper"] < printed["upper"][0]


def test_engines_weights_and_thinning_are_those_of_tables(run: Path) -> None:
    nested = predict_data(run / "run", AFTER, engine="nested", quiet=True)
    assert tells(nested.described, "nested sampling", "posterior weights")
    uniform = predict_data(run / "run", AFTER, weights="uniform", thin=4, quiet=True)
    assert uniform.described == "4 chains of 50 draws (every 4. draw), of equal weight"
    assert uniform.draws == 200
    for found in (nested, uniform):
        np.testing.assert_allclose(found.frame["mean"][2], MEAN, atol=0.2)


def test_another_program_on_the_command_line(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    new = run / "factor.json"
    new.write_text('{"K": 2, "factor": -1}')
    program = str(MODELS / "forecast_other.stan")
    assert main(["predict", str(run / "run"), str(new), "--program", program, "--quiet"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    found = pd.read_csv(io.StringIO(out))
    assert found["name"].tolist() == ["scaled"]
    assert found["mean"][0] == pytest.approx(-MEAN, abs=0.1)


def test_gaps_are_told(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    new = run / "gaps.json"
    new.write_text(json.dumps({**AFTER, "reject_above": 1.5, "nan_above": 1.2}))
    assert main(["predict", str(run / "run"), str(new)]) == 0
    said = capsys.readouterr().err
    assert tells(said, "of 800 draws", "left out", "throws")
    assert "The first message was: the mean is too large" in said
    assert tells(said, "1 quantity is NaN or infinite", "odd in")
    assert tells(said, "1 of 3 observations", "no score", "log_lik is NaN")
    assert "in sum over 2 observations" in said


@pytest.mark.parametrize(
    ("changes", "options", "said"),
    [
        ({}, ["--decimal", ","], "--decimal is for a table"),
        ({}, ["--interval", "2"], "interval: 2 is not between 0 and 1"),
        ({}, ["--seed", "-1"], "argument --seed: -1 is not"),
        ({}, ["--thin", "201"], "thin: 201 is not between 1 and 200"),
        ({}, ["--engine", "tempered"], "holds no tempered runs"),
        ({}, ["--program", "absent.stan"], "absent.stan: no such Stan program"),
        ({"K": 3}, [], "new.json: the parameter other has shape (3,), and shape (2,) in the run"),
        ({"y": None}, [], "variable name=y"),
        ({"N": 2}, [], "new.json: the data do not fit the program forecast"),
        ({"reject_above": -FAR}, [], "throws for every draw: the mean is too large"),
    ],
)
def test_what_cannot_be_predicted_is_told_in_one_line(
    run: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    changes: dict[str, Any],
    options: list[str],
    said: str,
) -> None:
    new = tmp_path / "new.json"
    items = {k: v for k, v in {**AFTER, **changes}.items() if v is not None}
    new.write_text(json.dumps(items))
    assert main(["predict", str(run / "run"), str(new), "--quiet", *options]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert said in err


def test_options_of_data_are_not_for_tables(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for options in (["--seed", "2"], ["--program", "other.stan"]):
        assert main(["predict", str(tmp_path), "table.csv", *options]) == 2
        assert f"{options[0]} is for a data file (.json)" in capsys.readouterr().err


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match="holds no run"):
        predict_data(tmp_path, {})
