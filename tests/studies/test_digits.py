"""The digits study: the split, what is scored against what, and what a run leaves."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

import manymodes as mm
from conftest import needs_tools
from manymodes.cli.main import main
from manymodes.errors import InputError, ResultsError
from manymodes.modes.held_out import kept_held_out
from manymodes.modes.stacked_chains import stack_chains
from manymodes.results.predict import predict_table
from manymodes.results.run_directory import open_posterior
from manymodes.sampling.chains.chains import load_chains
from manymodes.statistics.diagnostics import rhat
from manymodes.studies.conduct import Effort
from manymodes.studies.digits import (
    PENALTIES,
    digits_parts,
    digits_posterior,
    logistic_regression,
    run_digits,
    score,
)
from manymodes.studies.digits_words import digits_text, held_out_table

NUTS = mm.NutsSettings(warmup=60, draws=40, max_treedepth=5)
EFFORT = Effort(chains=mm.ChainSettings(chains=3, nuts=NUTS), quiet=True)
SMALL: dict[str, Any] = {"rows": 300, "hidden": 2}


@needs_tools
def test_split_is_by_class_and_standardised_on_the_training_part() -> None:
    parts = digits_parts()
    assert parts.held_out is not None
    assert (len(parts.train), len(parts.held_out)) == (1438, 359)
    assert not set(parts.train.places) & set(parts.held_out.places)
    of_all = np.bincount(load_digits().target)
    held = np.bincount(parts.table.targets(parts.held_out).astype(int))
    assert np.abs(held - 0.2 * of_all).max() < 1
    X = parts.table.inputs(parts.train)
    np.testing.assert_allclose(X.mean(axis=0), 0, atol=1e-10)
    np.testing.assert_allclose(X.std(axis=0), 1, atol=1e-10)
    kept = set(parts.table.input_names)
    for name in parts.table.ignored:
        assert parts.train.data[name].nunique() == 1
    assert len(kept) + len(parts.table.ignored) == 64
    assert np.isfinite(parts.table.inputs(parts.held_out)).all()
    assert digits_posterior(parts).dims == 20 * (X.shape[1] + 1) + 10 * (20 + 1)


def test_another_seed_holds_out_other_images() -> None:
    one, same, other = (set(digits_parts(s).held_out.places) for s in (3, 3, 4))  # type: ignore[union-attr]
    assert one == same
    assert len(one & other) < 0.4 * len(one)


def test_bad_settings_are_refused() -> None:
    with pytest.raises(InputError, match="data-seed: -1"):
        digits_parts(-1)
    for rows in (49, 1797):
        with pytest.raises(InputError, match=f"rows: {rows} is not between 50 and 1796"):
            digits_parts(rows=rows)


def test_options_of_nested_sampling_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for option in (["--nlive", "50"], ["--runs", "2"], ["--clustering"], ["--noise-sd", "1"]):
        assert main(["study", "digits", "--out", str(tmp_path / "run"), *option]) == 2
        assert f"study digits: has no {option[0]}" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.fixture(scope="module")
def run(tools: object, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    out = tmp_path_factory.mktemp("digits") / "run"
    return out, run_digits(out, **SMALL, effort=EFFORT)


def test_scores_are_those_of_predict(run: tuple[Path, dict[str, Any]]) -> None:
    """The same draws and weights through `predict_table`, which shares only the forward pass."""
    out, summary = run
    held_out = summary["posteriors"]["digits"]["held_out"]
    for key, weights in (("pooled", "uniform"), ("stacked", "stacking")):
        found = predict_table(out, out / "posterior" / "holdout.csv", weights=weights).score
        assert found is not None
        assert held_out[key]["log_density"] == pytest.approx(found.mean, abs=1e-9)
        assert held_out[key]["log_density_se"] == pytest.approx(found.sd_of_mean, abs=1e-9)
        assert held_out[key]["accuracy"] == pytest.approx(found.value)


def test_single_chains_and_the_best_by_loo(run: tuple[Path, dict[str, Any]]) -> None:
    out, summary = run
    held_out = summary["posteriors"]["digits"]["held_out"]
    posterior = open_posterior(out / "posterior")
    chains, rows = load_chains(posterior, out), kept_held_out(out / "posterior")
    assert chains is not None
    assert rows is not None
    lines, single, functions = score(chains, stack_chains(chains), rows)
    best = int(chains.lpd.sum(axis=1).argmax())
    np.testing.assert_allclose(lines[2].log_density, single[best].log_density)
    for c, line in enumerate(single):
        p = posterior.predict(chains.rows[c], rows.X).mean(axis=0)  # (N, classes)
        own = p[np.arange(len(rows.y)), rows.y.astype(int)]
        np.testing.assert_allclose(line.log_density, np.log(own), atol=1e-9)
        assert line.right.mean() == (p.argmax(axis=1) == rows.y).mean()
        assert held_out["single_chains"]["log_density"][c] == pytest.approx(np.log(own).mean())
    p = posterior.predict(chains.rows, rows.X).mean(axis=(0, 1))
    assert lines[0].right.mean() == (p.argmax(axis=1) == rows.y).mean()
    told = summary["posteriors"]["digits"]["functions"]
    assert sum(one["chains"] for one in told) == chains.n_chains
    assert sum(one["weight"]["stacking"] for one in told) == pytest.approx(1)
    for one, line in zip(told, functions, strict=True):
        members = np.isin(chains.index, one["numbers"])
        own = posterior.predict(chains.rows[members], rows.X).mean(axis=(0, 1))
        assert one["accuracy"] == (own.argmax(axis=1) == rows.y).mean() == line.right.mean()
    worst = summary["posteriors"]["digits"]["chains"]["rhat_weights"]
    assert worst == pytest.approx(rhat(chains.eta).max())


def test_logistic_regression_is_tuned_without_the_held_out_images(
    run: tuple[Path, dict[str, Any]],
) -> None:
    out, summary = run
    parts, rows = digits_parts(rows=SMALL["rows"]), kept_held_out(out / "posterior")
    assert rows is not None
    line, penalty = logistic_regression(parts, rows)
    assert PENALTIES[0] < penalty < PENALTIES[-1]
    X, y = parts.table.inputs(parts.train), parts.table.targets(parts.train)
    p = LogisticRegression(C=penalty, max_iter=10_000).fit(X, y).predict_proba(rows.X)
    own = np.log(p[np.arange(len(rows.y)), rows.y.astype(int)])
    np.testing.assert_allclose(line.log_density, own, atol=1e-6)
    entry = summary["posteriors"]["digits"]["held_out"]
    pooled = entry["pooled"]["log_density"] - own.mean()
    assert entry["pooled"]["difference"] == pytest.approx(pooled, abs=1e-6)


def test_what_is_written(run: tuple[Path, dict[str, Any]]) -> None:
    out, summary = run
    kept = json.loads((out / "summary.json").read_text())
    assert kept["command"] == "study digits"
    assert kept["posteriors"] == summary["posteriors"]
    report = (out / "report.html").read_text()
    said = digits_text(summary)
    for row in held_out_table(summary).rows:
        for text in row:
            assert text in report
            assert text in said
    assert mm.load(out).chains["posterior"]["W"].sizes["chain"] == 3
    with pytest.raises(ResultsError, match="no modes were searched"):
        _ = mm.load(out).modes


def test_a_run_is_resumed_by_the_same_settings_only(run: tuple[Path, dict[str, Any]]) -> None:
    out, summary = run
    with pytest.raises(InputError, match="--resume"):
        run_digits(out, **SMALL, effort=EFFORT)
    with pytest.raises(InputError, match="data_seed was 1, is 2"):
        run_digits(out, **SMALL, data_seed=2, effort=replace(EFFORT, resume=True))
    again = run_digits(out, **SMALL, effort=replace(EFFORT, resume=True))
    assert again["posteriors"] == summary["posteriors"]
