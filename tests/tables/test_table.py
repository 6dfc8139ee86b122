"""Tables in: what becomes of columns, what is refused and how, and what is held out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from manymodes.cli.main import main
from manymodes.errors import InputError, ResultsError
from manymodes.tables.cells import label, levels_of
from manymodes.tables.columns import Scaling
from manymodes.tables.frames import as_frame, read_frame, write_frame
from manymodes.tables.table import Table, prepare, split

RNG = np.random.default_rng(7)
MIXED = pd.DataFrame(
    {
        "size": RNG.normal(50, 10, 60).round(3),
        "count": RNG.integers(0, 40, 60),
        "ripe": RNG.random(60) < 0.4,
        "shop": RNG.choice(["north", "south", "west"], 60),
        "price": RNG.gamma(3, 2, 60).round(2),
        "grade": RNG.choice(["good", "fair", "poor"], 60, p=[0.5, 0.3, 0.2]),
    }
)
"""Numbers, a boolean and a category; a number and a class to predict."""


def written(folder: Path, text: str, name: str = "table.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    path = tmp_path / "mixed.csv"
    MIXED.to_csv(path, index=False)
    return path


# ---------------------------------------------------------------- wrong tables


@pytest.mark.parametrize(
    ("text", "choices", "said"),
    [
        ("a,y\n1,0\n,1\n2,1\n", {}, "column 'a' has missing values (NaN) in line 3: fill"),
        ("a,y\n1,0\nNaN,1\nNA,1\n", {}, "column 'a' has missing values (NaN) in line 3, 4"),
        ("a,b,y\n1,,0\n,1,1\n2,1,\n", {}, r"in line 3 (and so have b, y)"),
        ("a,y\n" + "?,\n" * 9, {}, "missing values (NaN) in line 2, 3, 4, 5, 6 ..."),
        ("a,y\n1,0\n\n2,1\ninf,1\n", {}, "column 'a' is infinite in line 5"),
        ("a,y\n1,0\nx,1\n2,1\n", {}, "has 'x' in line 3, which is not a number: name it in "
         "--categorical a, or leave it out with --ignore a"),
        ("a,b,c,y\nu,1,v,0\nu,2,v,1\n", {}, "--ignore a (as do c)"),
        ('a,y\n1,0\n"x\nx",1\n2,1\nz,0\n', {"ignore": ["a"]}, "no column besides the target"),
        ('b,a,y\n"1\n",1,0\n2,x,1\n', {}, "has 'x' in line 4"),
        ("a,y\n1,0\n1,1\n", {}, "column 'a' is constant (1) and cannot be standardised"),
        ("a,y\nu,0\nu,1\n", {"categorical": ["a"]}, "column 'a' is constant (u)"),
        ("a,y\ntrue,0\ntrue,1\n", {}, "column 'a' is constant (1)"),
        ("a,y\n1e308,0\n-1e308,1\n", {}, "column 'a' cannot be standardised"),
        ("y\n1\n0\n", {}, "no column besides the target 'y'"),
        ("a,y\n", {}, "the table has no rows"),
        ("", {}, "not a CSV table: its first line must name the columns"),
        ("a,y\n1,2,0\n4,5,1\n", {}, "line 2 has more values than the header has names (3 and 2)"),
        ("a,y\n1,2\n4\n", {}, "line 3 has fewer values than the header has names (1 and 2)"),
        ("a;b;y\n1;2;0\n", {}, "values are separated by commas here, not by ';'"),
        ("a,y\n1,0\n2;3;4\n", {}, "line 3 has fewer values than the header has names (1 and 2): "
         "values are separated by commas here, not by ';'"),
        ('a,y\n1,"0\n', {}, "not a CSV table: line 2: unexpected end of data"),
        ("a,b,a,y\n1,2,3,0\n", {}, "two columns are named 'a'"),
        (",a,y\n0,1,0\n1,2,1\n", {}, "column 1 has no name, as row numbers that pandas wrote: "
         "leave it out with --ignore 'Unnamed: 0'"),
        ("a,a=1,y\n1,3,0\n2,4,1\n", {"categorical": ["a"]}, "two inputs are named 'a=1'"),
        ("a,y\n1,0\n2,1\n", {"target": "z"}, "no column 'z' (--target); the columns are a, y"),
        ("a,y\n1,0\n2,1\n", {"ignore": ["b"]}, "no column 'b' (--ignore); the columns are a, y"),
        ("a,y\n1,0\n2,1\n", {"categorical": ["b"]}, "no column 'b' (--categorical)"),
        ("a,y\n1,0\n2,1\n", {"ignore": ["y"]}, "--ignore: 'y' is the target"),
        ("a,b,y\n1,0,1\n2,1,0\n", {"ignore": ["b"], "categorical": ["b"]}, "'b' is left out by"),
    ],
)  # fmt: skip
def test_a_wrong_table_is_refused(
    tmp_path: Path, text: str, choices: dict[str, Any], said: str
) -> None:
    arguments = {"target": "y", "likelihood": "bernoulli", **choices}
    with pytest.raises(InputError) as caught:
        Table.fit(written(tmp_path, text.replace("?", "")), **arguments)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("values", "likelihood", "positive", "said"),
    [
        (["u", "u"] * 15, "bernoulli", None, "the target 'y' is always 'u': there is nothing"),
        (["1.0", " 1.0"] * 15, "categorical", None, "the target 'y' is always '1.0'"),
        (["1.0", "1", "2"] * 10, "bernoulli", None, "3 different values (1, 1.0, 2), and a "
         "bernoulli target must have two: use --likelihood categorical, or write values that "
         "mean the same alike ('1' and '1.0' differ only in how a number is written)"),
        (["3", "3.0"] * 15, "normal", None, "the target 'y' is always 3"),
        (["u", "v", "w"] * 10, "bernoulli", None, "has 3 different values (u, v, w), and a "
         "bernoulli target must have two: use --likelihood categorical"),
        (range(30), "bernoulli", None, "must have two: use --likelihood normal"),
        (range(30), "categorical", None, "has 30 different numbers (0, 1, 2, 3 and 26 more), too "
         "many for classes: use --likelihood normal"),
        ([f"n{i}" for i in range(30)], "categorical", None, "has 30 classes in 30 rows"),
        (["u", "v"] * 15, "normal", None, "has 'u' in line 2, which is not a number; for classes "
         "use --likelihood bernoulli (two) or categorical"),
        (["true", "FALSE"] * 15, "normal", None, "is true or false: use --likelihood bernoulli"),
        (["u", "v"] * 15, "bernoulli", "x", "--positive: 'x' is not a class of 'y': u or v"),
        (["u", "v"] * 15, "categorical", "u", "--positive is for the bernoulli likelihood"),
        (["u", "v"] * 15, "gamma", None, "likelihood: 'gamma' is unknown"),
    ],
)  # fmt: skip
def test_a_target_that_does_not_fit_the_likelihood_is_refused(
    tmp_path: Path, values: Any, likelihood: str, positive: str | None, said: str
) -> None:
    text = "a,y\n" + "".join(f"{i},{value}\n" for i, value in enumerate(values))
    with pytest.raises(InputError) as caught:
        Table.fit(written(tmp_path, text), "y", likelihood, positive=positive)
    assert said in str(caught.value)


def test_files_that_are_no_tables_are_refused(tmp_path: Path) -> None:
    MIXED.to_parquet(tmp_path / "right.parquet")
    (tmp_path / "wrong.csv").write_bytes((tmp_path / "right.parquet").read_bytes())
    written(tmp_path, "a,y\n1,2\n", "wrong.parquet")
    (tmp_path / "latin.csv").write_bytes("größe,y\n1,2\n".encode("latin-1"))
    (tmp_path / "folder.csv").mkdir()
    for name, said in (
        ("wrong.csv", "a Parquet file; its name must end in .parquet"),
        ("wrong.parquet", "not a Parquet table"),
        ("latin.csv", "not a CSV table in UTF-8 (byte 2)"),
        ("folder.csv", "cannot be read"),
        ("absent.parquet", "no such table"),
    ):
        with pytest.raises(InputError, match=name) as caught:
            read_frame(tmp_path / name)
        assert said in str(caught.value)
    twice = pd.DataFrame([[1, 2], [3, 4]], columns=["a", "a"])
    with pytest.raises(InputError, match="two columns are named 'a'"):
        as_frame(twice)


def test_parquet_names_rows_and_types(tmp_path: Path) -> None:
    """Rows of Parquet are counted from 0, as pandas counts them."""
    day = pd.Timestamp("2024-01-01")
    for column, said in (
        ([1.0, None, 3.0], "missing values (NaN) in row 1 (counted from 0)"),
        (["1", "2", "x"], "has 'x' in row 2 (counted from 0)"),
        ([1.0, 2.0, np.inf], "is infinite in row 2 (counted from 0)"),
        ([day, day, day], "column 'a' holds dates or times, which are not numbers"),
        ([[1], [2], [3]], "has '[1]' in row 0"),
    ):
        path = tmp_path / "t.parquet"
        pd.DataFrame({"a": column, "y": [0, 1, 1]}).to_parquet(path)
        with pytest.raises(InputError) as caught:
            Table.fit(path, "y", "bernoulli")
        assert said in str(caught.value)


# ---------------------------------------------------------------- what becomes of columns


@pytest.mark.parametrize(("target", "likelihood"), [("price", "normal"), ("grade", "categorical")])
def test_parquet_and_pandas_equal_csv(
    mixed: Path, tmp_path: Path, target: str, likelihood: str
) -> None:
    MIXED.to_parquet(tmp_path / "mixed.parquet")
    texts = [c for c in ("shop", "grade") if c != target]
    tables = [mixed, tmp_path / "mixed.parquet", MIXED, MIXED.astype({"shop": "category"})]
    fits = [Table.fit(t, target, likelihood, categorical=texts) for t in tables]
    assert all(one == fits[0] for one in fits)
    for other in tables:
        np.testing.assert_array_equal(fits[0].inputs(other), fits[0].inputs(mixed))
        np.testing.assert_array_equal(fits[0].targets(other), fits[0].targets(mixed))


def test_each_kind_of_column_becomes_its_inputs(mixed: Path) -> None:
    table = Table.fit(mixed, "price", "normal", categorical=["shop"], ignore=["grade"])
    names = ("size", "count", "ripe", "shop=north", "shop=south", "shop=west")
    assert table.input_names == names
    X = table.inputs(mixed)
    for i, name in enumerate(("size", "count")):
        scaled = (MIXED[name] - MIXED[name].mean()) / MIXED[name].std(ddof=0)
        np.testing.assert_allclose(X[:, i], scaled, atol=1e-12)
    np.testing.assert_array_equal(X[:, 2], MIXED["ripe"])
    for i, level in enumerate(("north", "south", "west")):
        np.testing.assert_array_equal(X[:, 3 + i], MIXED["shop"] == level)
    y = table.targets(mixed)
    np.testing.assert_allclose([y.mean(), y.std()], [0, 1], atol=1e-12)
    np.testing.assert_allclose(table.target.scaling.invert(y), MIXED["price"], rtol=1e-12)


def test_columns_may_keep_their_units(mixed: Path) -> None:
    table = Table.fit(mixed, "price", "normal", ignore=["grade", "shop"], standardise=False)
    np.testing.assert_array_equal(table.inputs(mixed), MIXED[["size", "count", "ripe"]])
    np.testing.assert_array_equal(table.targets(mixed), MIXED["price"])


def test_a_new_table_may_differ_in_order_and_have_more(mixed: Path) -> None:
    table = Table.fit(mixed, "price", "normal", categorical=["shop"], ignore=["grade"])
    other = MIXED.assign(note="x", grade="y")[["note", "shop", "ripe", "grade", "count", "size"]]
    np.testing.assert_array_equal(table.inputs(other), table.inputs(mixed))
    assert table.extra(other) == ("note",)
    assert not table.has_target(other)
    assert not table.has_target(other.assign(price=None))
    assert table.has_target(mixed)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t.drop(columns=["size", "shop"]), "no column 'size', 'shop'; the network"),
        (lambda t: t.replace({"shop": {"south": "east"}}), "column 'shop' has the level 'east' in "
         "row 1, 3, 5 (counted from 0), which the training part did not have; it had north, south"),
        (lambda t: t.assign(ripe="maybe"), "column 'ripe' has 'maybe' in row 0, 1, 2, 3, 4 ..."),
        (lambda t: t.assign(size="?"), "column 'size' has '?' in row 0 (counted from 0)"),
        (lambda t: t.assign(count=None), "column 'count' has missing values"),
    ],
)  # fmt: skip
def test_a_new_table_that_does_not_fit_is_refused(change: Any, said: str) -> None:
    known = MIXED.iloc[:6].assign(shop=["north", "south"] * 3)
    table = Table.fit(known, "price", "normal", categorical=["shop"], ignore=["grade"])
    with pytest.raises(InputError) as caught:
        table.inputs(change(known))
    assert said in str(caught.value)


def test_an_unknown_class_is_refused(mixed: Path) -> None:
    table = Table.fit(mixed, "grade", "categorical", ignore=["shop"])
    with pytest.raises(InputError, match=r"has the class 'bad' in row 2 .* had fair, good, poor"):
        table.targets(MIXED.assign(grade=["good", "fair", "bad", *["good"] * 57]))


@pytest.mark.parametrize(
    ("values", "positive", "classes", "numbers"),
    [
        (["0", "1", "1"], None, ("0", "1"), [0, 1, 1]),
        (["no", "yes", "no"], None, ("no", "yes"), [0, 1, 0]),
        (["no", "yes", "no"], "no", ("yes", "no"), [1, 0, 1]),
        (["10", "9", "9"], None, ("9", "10"), [1, 0, 0]),
        (["TRUE", "false", "True"], None, ("False", "True"), [1, 0, 1]),
        (["1", "2", "1"], "1.0", ("2", "1"), [1, 0, 1]),
    ],
)
def test_the_positive_class(
    tmp_path: Path, values: Any, positive: Any, classes: Any, numbers: Any
) -> None:
    text = "a,y\n" + "".join(f"{i},{value}\n" for i, value in enumerate(values))
    path = written(tmp_path, text)
    table = Table.fit(path, "y", "bernoulli", positive=positive)
    assert table.target.classes == classes
    np.testing.assert_array_equal(table.targets(path), numbers)


def test_csv_as_other_programs_write_it(tmp_path: Path) -> None:
    """A byte order mark, Windows line ends, quotes and blanks around cells do no harm."""
    path = tmp_path / "excel.csv"
    path.write_bytes('\ufeffa, b ,y\r\n 1 ,"x, y",0\r\n\r\n2, "z",1\r\n'.encode())
    frame = read_frame(path)
    assert frame.columns == ("a", "b", "y")
    assert frame.data["b"].tolist() == ["x, y", "z"]
    np.testing.assert_array_equal(frame.places, [2, 4])
    table = Table.fit(frame, "y", "bernoulli", categorical=["b"])
    np.testing.assert_array_equal(table.inputs(frame), [[-1, 1, 0], [1, 0, 1]])


def test_names_of_values() -> None:
    """The same value has the same name, whatever its type and however it is written."""
    for same in ((1, 1.0, "1", "1.0", " +1 ", "1e0", np.int64(1)), (True, "true", "TRUE", "True")):
        assert len({label(value) for value in same}) == 1
    assert label(0.1) == label("0.10") == "0.1"
    assert label("1_000") == "1_000"
    assert levels_of(["10", "9", "9"]) == ("9", "10")
    assert levels_of(["b10", "b9"]) == ("b10", "b9")


# ---------------------------------------------------------------- there and back

reals = st.floats(-1e6, 1e6, allow_subnormal=False)


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6), hnp.arrays(float, 5, elements=reals))
@settings(max_examples=50, deadline=None)
def test_scaling_there_and_back(mean: float, sd: float, values: Any) -> None:
    scaling = Scaling(mean, sd)
    size = np.abs(values).max() + abs(mean) + sd
    np.testing.assert_allclose(scaling.invert(scaling.apply(values)), values, atol=1e-14 * size)


@given(
    hnp.arrays(float, st.tuples(st.integers(3, 8), st.just(2)), elements=reals, unique=True),
    st.lists(st.sampled_from(["u", "v w", 'q"', "ä,"]), min_size=6, max_size=6),
)
@settings(max_examples=30, deadline=None)
def test_a_table_survives_disk(tmp_path_factory: Any, values: Any, names: list[str]) -> None:
    """Written as CSV, as Parquet and as table.json, and read again, it gives the same inputs."""
    data = pd.DataFrame(values, columns=["a", "y"]).assign(c=["b", "d", *names][: len(values)])
    assume((values.std(axis=0) > 1e-9 * abs(values).max()).all())
    table = Table.fit(data, "y", "normal", categorical=["c"])
    folder = tmp_path_factory.mktemp("disk")
    table.save(folder)
    assert Table.load(folder) == table
    for name in ("t.csv", "t.parquet"):
        write_frame(folder / name, data)
        np.testing.assert_array_equal(table.inputs(folder / name), table.inputs(data))
        np.testing.assert_array_equal(table.targets(folder / name), table.targets(data))


def test_a_damaged_description_is_refused(tmp_path: Path) -> None:
    written(tmp_path, '{"columns": ["a"], "target": "y", "scaling": {}}', "table.json")
    with pytest.raises(ResultsError, match=r"table.json is damaged, or of an earlier version"):
        Table.load(tmp_path)


# ---------------------------------------------------------------- held out


def test_the_held_out_part_is_stratified(mixed: Path) -> None:
    train, held = split(mixed, "grade", "categorical", 0.3, seed=1)
    assert len(train) + len(held) == 60
    assert not set(train.places) & set(held.places)
    assert (np.diff(held.places) > 0).all()
    shares = held.data["grade"].value_counts() / MIXED["grade"].value_counts()
    assert (abs(shares - 0.3) * MIXED["grade"].value_counts() < 1).all()
    assert len(held) == 18
    again = split(mixed, "grade", "categorical", 0.3, seed=1)[1]
    np.testing.assert_array_equal(held.places, again.places)
    other = split(mixed, "grade", "categorical", 0.3, seed=2)[1]
    assert set(held.places) != set(other.places)


@given(st.lists(st.sampled_from("uvw"), min_size=6, max_size=30), st.floats(0.2, 0.95))
@settings(max_examples=40, deadline=None)
def test_every_class_stays_in_the_training_part(names: list[str], share: float) -> None:
    sizes = np.array([names.count(name) for name in set(names)])
    data = pd.DataFrame({"a": range(len(names)), "y": names})
    train, held = split(data, "y", "categorical", share, seed=3)
    assert set(train.data["y"]) == set(names)
    assert abs(len(held) - np.minimum(share * sizes, sizes - 1).sum()) <= 0.5
    assert len(train) + len(held) == len(names)


def test_standardisation_does_not_see_the_held_out_part() -> None:
    parts = prepare(MIXED, "price", "normal", holdout=0.5, ignore=["shop", "grade"])
    assert parts.held_out is not None
    changed = MIXED.copy()
    changed.loc[parts.held_out.places, ["size", "price"]] *= 100
    assert prepare(changed, "price", "normal", holdout=0.5, ignore=["shop", "grade"]).table == (
        parts.table
    )
    X = parts.table.inputs(parts.train)
    np.testing.assert_allclose(X[:, :2].mean(axis=0), 0, atol=1e-12)


def test_a_level_that_is_only_held_out_is_refused() -> None:
    data = pd.DataFrame({"a": range(20), "c": ["u"] * 19 + ["w"], "y": np.arange(20.0)})
    seeds = [s for s in range(20) if 19 in split(data, "y", "normal", 0.3, s)[1].places]
    data.loc[0, "c"] = "v"
    with pytest.raises(InputError, match=r"level 'w' in row 19 .* another --seed"):
        prepare(data, "y", "normal", holdout=0.3, seed=seeds[0], categorical=["c"])


def test_the_whole_table_is_checked_before_it_is_split() -> None:
    """What is wrong with the target is said, not what follows from it for the split."""
    data = pd.DataFrame({"a": range(30), "y": range(30)})
    with pytest.raises(InputError, match=r"30 different numbers .* use --likelihood normal"):
        prepare(data, "y", "categorical", holdout=0.2)
    with pytest.raises(InputError, match=r"no column 'z' \(--target\)"):
        prepare(data, "z", "categorical", holdout=0.2)


def test_too_little_to_hold_out_is_refused() -> None:
    for share, said in ((0.001, "0.001 of 60 rows is none"), (1.5, "1.5 is not between 0 and 1")):
        with pytest.raises(InputError, match=said):
            split(MIXED, "price", "normal", share, seed=1)


def test_network_writes_program_data_and_held_out_rows(
    mixed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The held-out rows are written as the user had them, to the letter."""
    net = tmp_path / "net"
    options = ["--categorical", "shop", "--ignore", "size", "count", "--holdout", "0.25"]
    model = ["--likelihood", "bernoulli", "--positive", "False", "--hidden", "2"]
    arguments = ["network", str(mixed), "--target", "ripe", *options, *model, "--ignore", "grade"]
    assert main([*arguments, "price", "size", "count", "--out", str(net)]) == 0
    said = capsys.readouterr().out
    assert f"{net / 'model.stan'} and {net / 'data.json'}: 45 rows, 3 inputs" in said
    assert "target ripe: class 1 is 'False', class 0 is 'True'" in said
    assert f"{net / 'holdout.csv'}: 15 rows held out" in said
    whole = mixed.read_text().splitlines()
    held = (net / "holdout.csv").read_text().splitlines()
    assert held[0] == whole[0]
    assert set(held) < set(whole)
    data = json.loads((net / "data.json").read_text())
    assert (data["N"], data["M"]) == (45, 3)
    table = Table.load(net)
    assert table.input_names == ("shop=north", "shop=south", "shop=west")
    kept = [line for line in whole if line not in held]
    ripe = [line.split(",")[2] for line in kept]
    assert data["y_int"] == [int(value == "False") for value in ripe]


def test_network_again_leaves_no_old_held_out_rows(mixed: Path, tmp_path: Path) -> None:
    MIXED.to_parquet(tmp_path / "mixed.parquet")
    net = str(tmp_path / "net")
    options = ["--target", "price", "--likelihood", "normal", "--ignore", "shop", "grade"]
    options = ["--overwrite", *options]
    assert main(["network", str(mixed), *options, "--holdout", "0.5", "--out", net]) == 0
    parquet = str(tmp_path / "mixed.parquet")
    assert main(["network", parquet, *options, "--holdout", "0.5", "--out", net]) == 0
    assert not (tmp_path / "net" / "holdout.csv").exists()
    held = pd.read_parquet(tmp_path / "net" / "holdout.parquet")
    assert held.dtypes.equals(pd.read_parquet(parquet).dtypes)
    assert main(["network", str(mixed), *options, "--out", net]) == 0
    assert not list((tmp_path / "net").glob("holdout*"))
