"""Texts in tables: names to the letter, marks for missing values, numbers in other notations."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from manymodes.cli.main import main
from manymodes.errors import InputError, TableWarning
from manymodes.tables.frames import as_frame, read_frame
from manymodes.tables.notations import notation
from manymodes.tables.table import Table
from manymodes.wording import escaped, nearest, quoted
from sentences import tells

ROWS = 24


def table(folder: Path, name: str = "t.csv", rows: int = ROWS, **columns: list[str]) -> Path:
    """Write a table of number, of columns whose cells are repeated, and of a class."""
    path = folder / name
    data: dict[str, Any] = {"a": np.arange(rows) % 7}
    data |= {key: [cells[i % len(cells)] for i in range(rows)] for key, cells in columns.items()}
    data.setdefault("y", ["no", "yes"] * (rows // 2))
    pd.DataFrame(data).to_csv(path, index=False)
    return path


def complaint(path: Any, target: str = "y", likelihood: str = "bernoulli", **choices: Any) -> str:
    with pytest.raises(InputError) as caught:
        Table.fit(path, target, likelihood, **choices)
    assert str(caught.value).isprintable()
    return str(caught.value)


def levels(path: Any, column: str = "c", **choices: Any) -> tuple[str, ...]:
    """Return the levels of a column, without a caution that some look alike."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TableWarning)
        fitted = Table.fit(path, "y", "bernoulli", categorical=[column], **choices)
    return fitted.columns[-1].levels


# ---------------------------------------------------------------- names


@pytest.mark.parametrize(
    "codes",
    [
        ["007", "07", "7", "8"],
        ["2E1", "20", "200E-1", "20x"],
        ["1", "1.0", "1.00", "+1"],
        ["0x10", "16", "0b10000"],
        ["Yes", "yes", "YES", "no"],
        ["caf\u00e9", "cafe\u0301"],
        ["true", "True", "maybe"],
        ["inf", "Infinity", "1e999"],
        ["w" * 4000 + "1", "w" * 4000 + "2"],
    ],
)
def test_levels_are_texts_to_the_letter(tmp_path: Path, codes: list[str]) -> None:
    """In a category and in a target; each row has its own level, and nothing is merged."""
    path = table(tmp_path, c=codes)
    assert sorted(levels(path)) == sorted(codes)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TableWarning)
        fitted = Table.fit(path, "c", "categorical", ignore=["y"])
    assert sorted(fitted.target.classes) == sorted(codes)
    said = [fitted.target.classes[int(k)] for k in fitted.targets(path)]
    assert said == read_frame(path).data["c"].tolist()


def test_levels_that_look_alike_are_pointed_out(tmp_path: Path) -> None:
    for codes, said in (
        (["01", "1"], "'01' and '1' differ only in how a number is written"),
        (["Yes", "yes"], "'Yes' and 'yes' differ only in capitals"),
        (["\u00fc", "u\u0308"], "in how their characters are composed"),
    ):
        with pytest.warns(TableWarning, match=said):
            Table.fit(table(tmp_path, c=codes), "y", "bernoulli", categorical=["c"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Table.fit(table(tmp_path, c=["u", "v", "10", "1"]), "y", "bernoulli", categorical=["c"])


def test_values_that_are_no_texts_have_one_name_each(tmp_path: Path) -> None:
    """Numbers, and true and false, of Parquet and pandas; also where the codes were text."""
    for cells, named in (
        ([3.0, 4.0, 3.0, 4.0], ("3", "4")),
        ([3, 2**60 + 1] * 2, ("3", str(2**60 + 1))),
        ([0.5, 2.0] * 2, ("0.5", "2")),
        (np.array([0.1, 2.0] * 2, dtype=np.float32), ("0.1", "2")),
        ([True, False] * 2, ("False", "True")),
        (pd.Categorical([7, 8] * 2), ("7", "8")),
    ):
        data = pd.DataFrame({"a": [1.0, 2, 4, 3], "c": cells, "y": ["u", "v"] * 2})
        assert levels(data) == named
        data.to_parquet(tmp_path / "t.parquet")
        assert levels(tmp_path / "t.parquet") == named
    coded = Table.fit(table(tmp_path, c=["1", "2"]), "y", "bernoulli", categorical=["c"])
    for cells in ([1, 2], [1.0, 2.0]):  # a level is the number, whatever its type
        X = coded.inputs(pd.DataFrame({"a": [0, 0], "c": cells}))
        np.testing.assert_array_equal(X[:, 1:], np.eye(2))
    with pytest.warns(TableWarning):
        coded = Table.fit(table(tmp_path, c=["01", "1", "2"]), "y", "bernoulli", categorical=["c"])
    X = coded.inputs(pd.DataFrame({"a": [0, 0], "c": [1.0, 2.0]}))
    np.testing.assert_array_equal(X[:, 1:], [[0, 1, 0], [0, 0, 1]])
    numbered = Table.fit(tmp_path / "t.parquet", "y", "bernoulli", categorical=["c"])
    again = table(tmp_path, "new.csv", c=["7.0", "8"])  # numbers in the training part
    np.testing.assert_array_equal(numbered.inputs(again)[:2, 1:], np.eye(2))


def test_an_unknown_level_is_told_with_what_it_resembles(tmp_path: Path) -> None:
    path = table(tmp_path, c=["1", "2", "North"])
    fitted = Table.fit(path, "y", "bernoulli", categorical=["c"])
    for cell, said in (
        ("1.0", "it had 1, 2, North (as a number it equals '1': write it so"),
        ("02", "(as a number it equals '2'"),
        ("north", "('North' and 'north' differ only in capitals)"),
        ("3", "it had 1, 2, North"),
    ):
        with pytest.raises(InputError) as caught:
            fitted.inputs(table(tmp_path, "new.csv", c=["1", cell]))
        text = str(caught.value)
        assert f"column 'c' has the level '{cell}' in line 3, 5" in text
        assert said in text
        assert "as a number" in said or "as a number" not in text


def test_a_description_of_0_1_0_reads_names_by_value(tmp_path: Path) -> None:
    """Its levels are the names of values; whatever is written for them is read as before."""
    path = table(tmp_path, c=["1", "2"], y=["0", "1"])
    kept = Table.fit(path, "y", "bernoulli", categorical=["c"]).as_dict()
    del kept["reading"], kept["target"]["verbatim"]
    for column in kept["columns"]:
        del column["verbatim"]
    (tmp_path / "table.json").write_text(json.dumps(kept))
    old = Table.load(tmp_path)
    new = table(tmp_path, "new.csv", c=["1.0", "02"], y=["0.0", "1e0"])
    np.testing.assert_array_equal(old.inputs(new)[:2, 1:], np.eye(2))
    np.testing.assert_array_equal(old.targets(new)[:2], [0, 1])


# ---------------------------------------------------------------- missing values


@pytest.mark.parametrize("mark", ["NA", "None", "null", "nan", "N/A", "NULL", "#N/A"])
def test_a_mark_for_missing_values_is_named_and_can_be_kept(tmp_path: Path, mark: str) -> None:
    path = table(tmp_path, c=[mark, "u", "v"])
    for choices, remedy in (
        ({"categorical": ["c"]}, "keep it with --keep-na"),
        ({}, "keep it with --categorical c --keep-na"),
    ):
        said = complaint(path, **choices)
        assert f"'{mark}' in line 2, 5, 8, 11, 14 ... is read as missing: fill them in" in said
        assert remedy in said
    assert "keep it with --keep-na" in complaint(path, "c", "categorical", ignore=["y"])
    assert set(levels(path, keep_na=True)) == {mark, "u", "v"}
    fitted = Table.fit(path, "c", "categorical", ignore=["y"], keep_na=True)
    fitted.save(tmp_path)
    again = Table.load(tmp_path)
    assert again == fitted
    assert again.has_target(table(tmp_path, "new.csv", c=[mark]))
    np.testing.assert_array_equal(again.targets(path), fitted.targets(path))
    other = table(tmp_path, "new.csv", c=["NaN" if mark != "NaN" else "NA", "u"])
    with pytest.raises(InputError, match=r"has the class 'NaN' in line 2, .* did not have"):
        again.targets(other)


def test_what_is_missing_stays_refused(tmp_path: Path) -> None:
    """An empty cell, and a mark among numbers: no option makes these a value."""
    empty = complaint(table(tmp_path, c=["", "u"]), categorical=["c"], keep_na=True)
    assert tells(empty, "column 'c'", "missing values (NaN)", "line 2, 4, 6, 8, 10", "fill them in")
    assert "keep-na" not in empty
    among_numbers = complaint(table(tmp_path, c=["NA", "1", "2"]), keep_na=True)
    assert "'NA' in line 2, 5, 8, 11, 14 ..." in among_numbers
    assert "missing" in among_numbers
    assert "keep-na" not in among_numbers
    for mark in ("?", "-", "n.a.", "#DIV/0!"):
        said = complaint(table(tmp_path, c=["1", mark, "2"]))
        assert tells(said, f"'{mark}' in line 3", "mark", "missing value")
        assert set(levels(table(tmp_path, c=["1", mark, "2"]))) == {"1", mark, "2"}


def test_a_known_name_is_never_missing(tmp_path: Path) -> None:
    """A network trained on Parquet with a level NA reads it from CSV as well."""
    data = pd.DataFrame({"a": [1, 2, 3, 4], "c": ["NA", "ZA"] * 2, "y": [0.0, 1, 2, 4]})
    fitted = Table.fit(data, "y", "normal", categorical=["c"])
    data.to_csv(tmp_path / "t.csv", index=False)
    np.testing.assert_array_equal(fitted.inputs(tmp_path / "t.csv"), fitted.inputs(data))


def test_names_are_kept_from_network_to_its_held_out_rows(tmp_path: Path, capsys: Any) -> None:
    path = table(tmp_path, c=["NA", "null", "u"], y=["None", "some"])
    arguments = ["network", str(path), "--target", "y", "--categorical", "c", "--out"]
    arguments += [str(tmp_path / "net"), "--holdout", "0.25"]
    assert main(arguments) == 2
    assert "keep it with --keep-na" in capsys.readouterr().err
    assert main([*arguments, "--keep-na", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["classes"], said["held_out_rows"]) == (["None", "some"], 6)
    held = Table.load(tmp_path / "net")
    assert set(held.targets(said["holdout"])) == {0, 1}
    assert held.inputs(said["holdout"])[:, 1:].sum() == 6


# ---------------------------------------------------------------- other notations


@pytest.mark.parametrize(
    ("text", "what", "remedy"),
    [
        ("3,5", "a decimal comma", "write it as 3.5"),
        ("-0,125", "a decimal comma", "--decimal ,"),
        ("1,5e3", "a decimal comma", "1.5e3"),
        ("1,234,567", "a thousands separator", "write it as 1234567"),
        ("12,345.67", "a thousands separator", "write it as 12345.67"),
        ("2.644,5", "points between thousands and a decimal comma", "write it as 2644.5"),
        ("1.234.567", "points between thousands", "write it as 1234567"),
        ("1 234", "blanks between thousands", "write it as 1234"),
        ("12\u202f345,6", "blanks between thousands", "write it as 12345.6"),
        ("1'234", "apostrophes between thousands", "write it as 1234"),
        ("1_000", "underscores between thousands", "write it as 1000"),
        ("12 %", "a percentage", "write 12 in every row"),
        ("\u20ac 5", "money", "without the currency"),
        ("1,234 USD", "money", "without the currency"),
        ("2024-01-10", "a date", "days from a fixed day (1970-01-01 as 0 makes it 19732)"),
        ("2024-01-10T12:30:00Z", "a date", "number of days"),
        ("01/02/2024", "a date", "number of days"),
        ("10.01.2024", "a date", "number of days"),
        ("10 Jan 2024", "a date", "number of days"),
        ("2024Q3", "a date", "number of days"),
        ("12:30", "a time", "hours, minutes or seconds"),
        ("1h 20min", "a time", "hours, minutes or seconds"),
        ("5 kg", "a quantity with a unit", "write 5 and keep the unit in the column's name"),
        ("20\u00b0C", "a quantity with a unit", "write 20 "),
        ("3/4", "a fraction", "write it as 0.75"),
        ("1 1/2", "a fraction", "write it as 1.5"),
        ("\u00bd", "a fraction", "0.5"),
        ("0x1F", "a hexadecimal number", "write it as 31"),
        ("\u22125", "another minus sign (U+2212)", "as -5"),
        ("(5)", "negative number in brackets", "write it as -5"),
        ("5-", "sign behind it", "write it as -5"),
        ("<0.1", "a bound", "one number"),
        ("5 \u00b1 1", "with an error", "a column of its own"),
        ("10-20", "a range", "its middle"),
        ("1.5 x 10^3", "a power of ten", "1.5e3"),
        ("'5", "a number in quotes", "write it as 5"),
        ("1;2", "several numbers", "a column of its own"),
        ("[1, 2]", "a list", "a column of its own"),
    ],
)
def test_a_number_in_another_notation_is_called_so(
    tmp_path: Path, text: str, what: str, remedy: str
) -> None:
    """With the text, its line and what to do; categories are no remedy for numbers."""
    cells = [text, *map(str, range(100, 100 + ROWS - 1))]
    if "decimal comma" in what:
        cells = [text, *(f"{i},{i}" for i in range(ROWS - 1))]
    said = complaint(table(tmp_path, c=cells))
    assert f"column 'c' has {quoted(text)} in line 2, which looks like" in said
    assert what in said
    assert remedy in said
    assert "--categorical" not in said
    assert "--ignore c" in said
    assert "--categorical" not in complaint(table(tmp_path, y=cells), likelihood="normal")


@pytest.mark.parametrize("text", ["A12", "maybe", "x", "hello world", "caf\u00e9", "w" * 10**5])
def test_a_name_is_no_quantity(text: str) -> None:
    assert notation(text) is None


def test_commas_are_told_apart_by_their_column() -> None:
    found = {
        "thousands": notation("1,644", ["454", "1,033"]),
        "decimal": notation("1,288", ["0,066", "1,449"]),
        "either": notation("1,288", ["1,033", "2,644"]),
    }
    assert "(a thousands separator)" in str(found["thousands"])
    assert "decimal comma" not in str(found["thousands"])
    assert "thousands" not in str(found["decimal"])
    assert "thousands" in str(found["either"])
    assert "write it as 1288" in str(found["either"])
    assert "as 1.288" in str(found["either"])
    assert "--decimal ," in str(found["either"])


def test_categories_are_offered_for_few_texts_only(tmp_path: Path) -> None:
    for cells, offered in (
        (["small", "large"], True),
        (["0-9", "10-19", "20-29"], True),
        ([f"name {i}" for i in range(ROWS)], False),
        ([f"name {i}" for i in range(ROWS - 2)], False),
        (["1,5", "2,5"], False),
        (["2024-01-10", "2024-02-10"], False),
    ):
        said = complaint(table(tmp_path, c=cells))
        assert ("--categorical c" in said) is offered
        assert "leave it out with --ignore c" in said


def test_decimal_commas_are_read_on_demand(tmp_path: Path, capsys: Any) -> None:
    """The choice is kept with the network; a table with points can say so."""
    commas = table(tmp_path, c=["0,5", "-1,25", "3"], y=["1,0", "2,5"])
    points = table(tmp_path, "points.csv", c=["0.5", "-1.25", "3"], y=["1.0", "2.5"])
    fitted = Table.fit(commas, "y", "normal", decimal=",")
    same = Table.fit(points, "y", "normal")
    assert fitted == replace(same, reading=fitted.reading)
    np.testing.assert_array_equal(fitted.inputs(commas), same.inputs(points))
    np.testing.assert_array_equal(fitted.targets(commas), same.targets(points))
    with pytest.raises(InputError, match=r"'0.5' in line 2, which looks like .* a decimal point"):
        fitted.inputs(points)
    typed = as_frame(pd.DataFrame({"a": [0, 1], "c": [0.5, -1.25]}))
    np.testing.assert_array_equal(fitted.inputs(typed), same.inputs(typed))
    arguments = ["network", str(commas), "--target", "y", "--likelihood", "normal", "--out"]
    assert main([*arguments, str(tmp_path / "net"), "--decimal", ","]) == 0
    assert Table.load(tmp_path / "net") == fitted
    capsys.readouterr()
    assert main([*arguments, str(tmp_path / "other"), "--decimal", "x"]) == 2
    assert "decimal: 'x' is neither '.' nor ','" in capsys.readouterr().err


def test_large_whole_numbers(tmp_path: Path) -> None:
    """Different ones that would be one number are refused; lost digits are told."""
    said = complaint(table(tmp_path, c=["9007199254740993", "9007199254740992", "1"]))
    assert "different whole numbers beyond 2^53 that are one number" in said
    with pytest.warns(TableWarning, match=r"beyond 2\^53 \(line 2, 4, .* last digits do not count"):
        Table.fit(table(tmp_path, c=["9007199254740993", "1"]), "y", "bernoulli")
    with pytest.warns(TableWarning, match=r"beyond 2\^53 \(row 0"):
        Table.fit(pd.DataFrame({"a": [2**53 + 1, 1], "y": [0, 1]}), "y", "bernoulli")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Table.fit(table(tmp_path, c=["1e20", "9007199254740994", "1"]), "y", "bernoulli")


# ---------------------------------------------------------------- files


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "latin-1"])
def test_another_encoding_is_told_with_its_conversion(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "t.csv").write_bytes("gr\u00f6\u00dfe,y\n1,0\n2,1\n".encode(encoding))
    with pytest.raises(InputError, match="not a CSV table in UTF-8") as caught:
        read_frame(tmp_path / "t.csv")
    name = "WINDOWS-1252" if encoding == "latin-1" else encoding.upper().replace("-LE", "LE")
    assert f"iconv -f {name.replace('-BE', 'BE')} -t UTF-8 " in str(caught.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"PK\x03\x04...", "a workbook or another zip file"),
        (b"\x1f\x8b\x08...", "compressed with gzip"),
        (b"a,y\n1,\0\n", "zero bytes"),
        (b"a\tb\ty\n1\t2\t0\n", "not by '\\t'"),
        (b"a,y\n1,0,\n2,1,\n", "remove the commas at its end"),
        (b"a,b,y\n1,5,2,5,0\n", "if a comma is the decimal mark"),
        (b'a,y\n1,0\n2,"1\n3,0\n', "is a quotation mark of line 3 not closed?"),
    ],
)
def test_another_layout_is_told(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_frame(tmp_path / "t.csv")
    assert said in str(caught.value)


def test_names_are_told_on_one_line_without_control_characters(tmp_path: Path) -> None:
    evil = "\x1b[2J\r\u202ename" + "w" * 500
    data = pd.DataFrame({evil: ["u", "v"] * 10, "y": [0, 1] * 10})
    said = complaint(data)
    assert "'\\x1b[2J\\r\\u202ename" in said
    assert len(said) < 600
    assert escaped("plain, \u00e4 = b") == "plain, \u00e4 = b"


def test_a_column_that_is_not_there_is_told_with_the_nearest(tmp_path: Path) -> None:
    path = table(tmp_path, quality=["1", "2"])
    assert "did you mean 'quality'?" in complaint(path, "qualty")
    assert "did you mean 'y'?" in complaint(path, "Y")
    assert "did you mean" not in complaint(path, "something else")
    assert nearest("sampel", ["sample", "evidence"]) == ": did you mean 'sample'?"


def test_one_row_is_no_table_to_learn_from(tmp_path: Path) -> None:
    assert "the table has one row" in complaint(table(tmp_path, rows=1, y=["no"]))
