"""Tables whose names are made to do harm: to a terminal, to a spreadsheet, to a page."""

from __future__ import annotations

import csv
import warnings
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from manymodes.cli.main import main
from manymodes.cli.streams import shown_safely
from manymodes.errors import InputError, ManymodesWarning, StorageError
from manymodes.report.page import (
    Answer,
    Card,
    Cards,
    Chapter,
    FunctionRow,
    Opening,
    Page,
    Section,
    Share,
    Table,
    picture,
    render,
)
from manymodes.report.plots.marks import Mark, mark
from manymodes.report.plots.style import by_name, new_figure, styled
from manymodes.runtime.progress import Progress
from manymodes.runtime.spreadsheets import inert, plain
from manymodes.tables.frames import read_frame, write_frame
from manymodes.wording import visible

ESCAPES = (
    "\x1b]0;title\x07", "\x1b[2J", "a\x1b[31mred", "\x9b31m", "a\rb", "a\x00b", "\x7f", "\x08\x08",
    "abc\u202edcba", "\u2066x\u2069", "\u200fx", "\u061cx", "a\u2028b", "\ufeffx", "\udcff",
)  # fmt: skip
FORMULAS = (
    "=1+1", "+1+1", "-1+1", "@SUM(A1)", "=cmd|' /C calc'!A0", "=HYPERLINK(\"x\")", "-", "+", "@",
    "--1", "+-1", "=", "-1,5", "-2024-01-02", "\uff1d1+1", "'=1", "''=1", "-1e", "+x",
)  # fmt: skip
HARMLESS = (
    "-1.5", "+2", "-1e-5", "+.5", "-3.", "-inf", "-Infinity", "a=b", "x", "'quoted'", "'-1.5",
    "'", "1-1", "a@b.c", "ä-ö", "\u4e2d",
)  # fmt: skip


def obeyed(text: str) -> list[str]:
    """Return the characters of a text that a terminal obeys, line breaks and tabs aside."""
    kept = "\n\t"
    return [c for c in text if not c.isprintable() and c not in kept and not c.isspace()] + [
        c for c in text if c in "\r\x85\u2028\u2029\x0b\x0c\x1c\x1d\x1e\x1f"
    ]


# ---------------------------------------------------------------- terminals


@pytest.mark.parametrize("name", ESCAPES)
def test_nothing_in_a_name_is_obeyed(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert obeyed(visible(name)) == []
    assert visible(name) != name
    for error in (InputError(f"column '{name}'"), StorageError(name), ManymodesWarning(name)):
        assert obeyed(str(error)) == []
    with shown_safely():
        print(f"target {name}")
        Progress(name).done("done")
    out, err = capsys.readouterr()
    assert obeyed(out + err) == []
    assert "target" in out


@pytest.mark.parametrize("name", ["plain", "ä ö ü", "\u4e2d\u6587", "a b", "\u05d0\u05d1", "±1 %"])
def test_other_names_are_shown_as_they_are(name: str) -> None:
    assert visible(name) == name


def test_a_line_break_in_a_name_is_written_out() -> None:
    assert visible("a\nmanymodes: error: b") == "a\\nmanymodes: error: b"


def test_a_hostile_table_on_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Names of columns, levels and classes: in what ``network`` says, and in what it writes."""
    monkeypatch.chdir(tmp_path)
    classes = ("=cmd|' /C calc'!A0\x1b[2J", "@\u202eno")
    rows = [
        [f"{i - 5}.5", FORMULAS[i % 4] + "\x1b[31m", f"-{i}.5", classes[i % 2]] for i in range(24)
    ]
    columns = ["=a\x1b]0;x\x07", "+level", "-b\u202e", "@y\x1b[1m"]
    with Path("t.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([columns, *rows])
    command = ["network", "t.csv", "--target", columns[3], "--categorical", columns[1]]
    command += ["--holdout", "0.25"]
    assert main([*command, "--out", "net"]) == 0
    out, err = capsys.readouterr()
    assert obeyed(out + err) == []
    assert "class 1 is" in out
    with Path("net/holdout.csv").open(newline="", encoding="utf-8") as file:
        header, *held_out = csv.reader(file)
    assert [name[:2] for name in header] == ["'=", "'+", "'-", "'@"]
    assert {row[3][:2] for row in held_out} == {"'=", "'@"}
    assert {row[1][0] for row in held_out} == {"'"}
    assert all(float(row[2]) < 0 for row in held_out)
    again = read_frame(Path("net/holdout.csv")).data
    assert list(again.columns) == columns
    assert set(again[columns[3]]) == set(classes)
    for wrong in (["--target", "no"], ["--target", columns[3], "--ignore", "no\x1b[2J"]):
        assert main(["network", "t.csv", *wrong, "--out", "other"]) == 2
        said = capsys.readouterr().err
        assert obeyed(said) == []
        assert said.count("\n") == 1


# ---------------------------------------------------------------- spreadsheets


@pytest.mark.parametrize("text", FORMULAS)
def test_a_formula_is_written_as_text_and_read_back(text: str, tmp_path: Path) -> None:
    assert inert(text)[0] == "'"
    assert plain(inert(text)) == text
    columns = {text: [text, "x"]}
    write_frame(tmp_path / "a.csv", pd.DataFrame(columns))
    found = read_frame(tmp_path / "a.csv").data
    assert found.to_dict("list") == columns


@pytest.mark.parametrize("text", HARMLESS)
def test_numbers_and_other_texts_stay_as_they_are(text: str) -> None:
    assert inert(text) == plain(text) == text


@pytest.mark.parametrize("text", ["\t=1", "\r=1", "\n=1", "\tx"])
def test_a_text_that_begins_with_a_tab_or_line_break_is_quoted(text: str) -> None:
    assert plain(inert(text)) == text
    assert inert(text)[0] == "'"


def test_numbers_of_a_table_stay_numbers(tmp_path: Path) -> None:
    data = pd.DataFrame(
        {"x": [-1.5, 2e-300], "n": [-1, 2], "t": ["-1.5", "=x"], "b": [True, False]}
    )
    data["c"] = pd.Categorical(["@a", "-2"])
    write_frame(tmp_path / "a.csv", data)
    text = (tmp_path / "a.csv").read_text()
    assert text.splitlines()[1:] == ["-1.5,-1,-1.5,True,'@a", "2e-300,2,'=x,False,-2"]


# ---------------------------------------------------------------- the page

MARKUP = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=a()>',
    "a$\\frac{$b",
    "$x$",
    "$",
    "{{7*7}}",
)


@pytest.mark.parametrize("name", MARKUP)
def test_a_name_is_text_in_the_page_and_its_figures(name: str) -> None:
    @styled
    def drawn() -> Any:
        figure = new_figure(2.0)
        axes = figure.subplots()
        (line,) = axes.plot([0, 1], [0, 1], label=name)
        mark(line, Mark(name, 1, says=name))
        axes.set_title(name)
        axes.legend()
        return figure

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        part = picture(drawn(), name, name)
    modes = Table(name, (name,), ((name,),), name, keys=(name,))
    card = Card(name, name, "var(--f1)", ((name, name),), modes, part)
    row = FunctionRow(name, name, "var(--f1)", (Share(name, 50.0, 40.0, 60.0),))
    answer = Answer(name, name, (name,), (row,), name, (name,))
    parts = (part, modes, Cards(name, (card,), (name,)))
    section = Section("a", name, (name,), name, parts, (name,), name)
    page = Page(
        name, (name,), (), (name,), (Chapter("trust", name, (section,)),), (name,), name, (name,),
        Opening(((name, name),), (answer,), name, part), (name,),
    )  # fmt: skip
    text = render(page)
    assert text.count("<script>") == 1  # the page's own
    assert "<script>alert" not in text
    assert "onerror=a()>" not in text
    assert "{{7*7}}" in text or "{{" not in name
    assert by_name({f"{name}\x1b": None}) == {f"{name}\\x1b": None}  # type: ignore[dict-item]
