"""Targets of every likelihood, exposures and trials: what a table makes of them and refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from manymodes.errors import InputError, ResultsError
from manymodes.tables.table import Table, prepare

FRAME = pd.DataFrame(
    {
        "x": [1.0, 2.0, 3.0, 5.0],
        "y": [10.0, 20.0, 40.0, 50.0],
        "z": [0.1, 0.1, 0.3, 0.2],
        "count": [0, 3, 1, 4],
        "days": [1.5, 2, 30, 4],
        "n": [1, 3, 4, 9],
    }
)
REAL = ("normal", "heteroscedastic", "student:3")


def fit(target: Any, likelihood: str, frame: pd.DataFrame = FRAME, **choices: Any) -> Table:
    names = [target] if isinstance(target, str) else list(target)
    used = {"x", *names, choices.get("exposure"), choices.get("trials")}
    ignore = [name for name in frame.columns if name not in used]
    return Table.fit(frame, target, likelihood, ignore=ignore, **choices)


TABLES = [
    *(fit("y", likelihood) for likelihood in REAL),
    *(fit(["y", "z"], likelihood) for likelihood in REAL),
    fit("count", "poisson"),
    fit("count", "poisson", exposure="days"),
    fit("count", "negative-binomial", exposure="days"),
    fit("count", "binomial", trials="n"),
]


@pytest.mark.parametrize("table", TABLES, ids=lambda one: one.target.likelihood)
def test_a_table_is_kept_and_read_again(table: Table, tmp_path: Path) -> None:
    table.save(tmp_path)
    again = Table.load(tmp_path)
    assert again == table
    np.testing.assert_array_equal(again.targets(FRAME), table.targets(FRAME))
    assert again.counted_over(FRAME).keys() == table.counted_over(FRAME).keys()
    assert again.extra(FRAME.assign(more=1)) == ("more",)
    assert again.input_names == ("x",)


def test_folders_of_before_are_read(tmp_path: Path) -> None:
    table = fit("y", "normal")
    kept = table.as_dict()
    for name in ("more_targets", "exposure", "trials"):
        del kept[name]
    (tmp_path / "table.json").write_text(json.dumps(kept))
    assert Table.load(tmp_path) == table


@pytest.mark.parametrize(
    "changes",
    [
        {"exposure": "days"},
        {"trials": "n"},
        {"exposure": 3},
        {"more_targets": [{"name": "z", "likelihood": "poisson", "classes": []}]},
        {"more_targets": 1},
    ],
)
def test_an_impossible_file_is_refused(changes: dict[str, Any], tmp_path: Path) -> None:
    kept = {**fit("y", "normal").as_dict(), **changes}
    (tmp_path / "table.json").write_text(json.dumps(kept))
    with pytest.raises(ResultsError, match="is damaged"):
        Table.load(tmp_path)


def test_real_targets_are_standardised_each_by_itself() -> None:
    table = fit(["y", "z"], "normal")
    values = table.targets(FRAME)
    assert values.shape == (4, 2)
    np.testing.assert_allclose(values.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(values.std(axis=0), 1)
    raw = fit(["y", "z"], "normal", standardise=False).targets(FRAME)
    np.testing.assert_array_equal(raw, FRAME[["y", "z"]])


def test_counts_and_what_they_are_over_stay_as_they_are() -> None:
    table = fit("count", "poisson", exposure="days")
    np.testing.assert_array_equal(table.targets(FRAME), FRAME["count"])
    np.testing.assert_array_equal(table.counted_over(FRAME)["exposure"], FRAME["days"])
    assert table.counted_over(FRAME.drop(columns="days")) == {}
    assert table.has_target(FRAME)
    assert not table.has_target(FRAME.drop(columns="count"))
    assert not fit(["y", "z"], "normal").has_target(FRAME.drop(columns="z"))


@pytest.mark.parametrize(
    ("target", "likelihood", "changes", "choices", "said"),
    [
        ("count", "poisson", {"count": [0, -1, 1, 4]}, {},
         "column 'count' has -1 in row 1 (counted from 0): a poisson target must be 0 or more"),
        ("count", "negative-binomial", {"count": [0, 0.5, 1, 4]}, {},
         "has 0.5 in row 1 (counted from 0): a negative-binomial target must be a whole number"),
        ("count", "poisson", {"count": [0, 3e9, 1, 4]}, {}, "must be at most 2147483647"),
        ("count", "poisson", {"count": ["0", "few", "1", "4"]}, {}, "has 'few' in row 1"),
        ("count", "poisson", {"count": [True, False, True, True]}, {}, "is true or false"),
        ("count", "poisson", {"count": [0, None, 1, 4]}, {}, "column 'count' has missing values"),
        ("count", "poisson", {"days": [1, 0, 2, 0]}, {"exposure": "days"},
         "column 'days' has 0 in row 1, 3 (counted from 0): an exposure must be above 0"),
        ("count", "poisson", {"days": [1, None, 2, 0]}, {"exposure": "days"},
         "column 'days' has missing values"),
        ("count", "poisson", {}, {"exposure": "nights"}, "no column 'nights' (--exposure)"),
        ("count", "poisson", {}, {"exposure": "count"}, "--exposure: 'count' is the target"),
        ("count", "poisson", {}, {"exposure": "days", "categorical": ["days"]},
         "--exposure: 'days' is also in --categorical"),
        ("count", "poisson", {}, {"trials": "n"}, "--trials is for the binomial likelihood"),
        ("y", "normal", {}, {"exposure": "days"},
         "--exposure is for the likelihoods poisson and negative-binomial, not for normal"),
        ("count", "binomial", {}, {}, "--trials: the binomial likelihood needs the column"),
        ("count", "binomial", {"n": [1, 2, 4, 9]}, {"trials": "n"},
         "has 3 in row 1 (counted from 0): there were only 2 trials ('n')"),
        ("count", "binomial", {"n": [0, 3, 4, 9]}, {"trials": "n"},
         "column 'n' has 0 in row 0 (counted from 0): a number of trials must be 1 or more"),
        ("count", "binomial", {"n": [1, 3.5, 4, 9]}, {"trials": "n"}, "must be a whole number"),
        (["y", "y"], "normal", {}, {}, "--target: 'y' is named twice"),
        ([], "normal", {}, {}, "--target: name at least one column"),
        (["count", "n"], "poisson", {}, {}, "the poisson likelihood has one target, not 2"),
        (["y", "z"], "normal", {"z": [1, 1, 1, 1]}, {}, "the target 'z' is always 1"),
        ("y", "student", {}, {}, "likelihood: 'student' needs its degrees of freedom"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(
    target: Any, likelihood: str, changes: dict[str, Any], choices: Any, said: str
) -> None:
    with pytest.raises(InputError) as caught:
        fit(target, likelihood, FRAME.assign(**changes), **choices)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_trials_are_needed_for_predictions() -> None:
    table = fit("count", "binomial", trials="n")
    with pytest.raises(InputError, match="no column 'n'"):
        table.counted_over(FRAME.drop(columns="n"))


def test_a_part_is_held_out_of_counts() -> None:
    parts = prepare(FRAME, ["y", "z"], "normal", holdout=0.5, seed=1, ignore=["count", "days", "n"])
    assert len(parts.train) == 2
    assert parts.held_out is not None
    assert parts.table.targets(parts.held_out).shape == (2, 2)
