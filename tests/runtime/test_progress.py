"""How far a long job is: in a terminal, in a notebook, in a log."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import re
import struct
import termios
from pathlib import Path
from types import SimpleNamespace

import pytest

from manymodes.runtime.progress import Progress, format_seconds


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A clock that stands still until it is moved."""
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(
        "manymodes.runtime.progress.time", SimpleNamespace(monotonic=lambda: clock.now)
    )
    return clock


class Terminal(io.StringIO):
    """A stream that takes itself for a terminal, without a size of its own."""

    def isatty(self) -> bool:
        return True


def rows(said: str) -> list[str]:
    """Return what a terminal line showed, one state after the other."""
    return said.removeprefix("\r").split("\r")


def test_a_log_gets_a_plain_line_now_and_then(clock: SimpleNamespace) -> None:
    log = io.StringIO()
    progress = Progress("work", stream=log)
    for i in range(5):
        progress.update(f"{i} of 5 done")
        clock.now += 6
    progress.done("all done")
    assert log.getvalue().splitlines() == [
        "work: 0 of 5 done [0 s]",
        "work: 2 of 5 done [12 s]",
        "work: 4 of 5 done [24 s]",
        "work: all done [30 s]",
    ]


def test_nothing_is_said_to_those_who_want_quiet() -> None:
    log = Terminal()
    progress = Progress("work", quiet=True, stream=log)
    progress.update("half")
    progress.done("all")
    assert log.getvalue() == ""


def test_a_terminal_has_one_live_line() -> None:
    terminal = Terminal()
    progress = Progress("work", stream=terminal)
    progress.update("a long first state")
    progress.update("not shown: too soon after")
    progress.update("short", now=True)
    progress.done("done")
    first, second, last = rows(terminal.getvalue())
    assert first == "work: a long first state [0 s]"
    assert second == "work: short [0 s]".ljust(len(first)), "the rest of the old line is blank"
    assert last == "work: done [0 s] \n"


@pytest.mark.parametrize("label", ["work", "an egg 卵 and e\u0301"])
@pytest.mark.parametrize("columns", [80, 40, 21])
def test_the_live_line_is_never_wider_than_the_terminal(
    label: str, columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line that wraps leaves a copy of itself behind at every update."""
    monkeypatch.setenv("COLUMNS", str(columns))
    terminal = Terminal()
    progress = Progress(label, stream=terminal)
    text = "12 of 1000 chains,\n1 failed: 卵卵, " + ", ".join(map(str, range(50)))
    progress.update(text)
    assert "\n" not in terminal.getvalue()
    (shown,) = rows(terminal.getvalue())
    width = len(shown) + shown.count("卵") - shown.count("\u0301")
    assert columns - 2 <= width < columns
    assert shown.endswith("... [0 s]")
    progress.done(text)
    assert text in terminal.getvalue(), "the last state stays, whole"


def test_the_width_is_that_of_the_terminal_written_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 30, 0, 0))
    with os.fdopen(theirs, "w") as stream:
        Progress("work", stream=stream).update("x" * 100)
        said = os.read(ours, 1000).decode()
    os.close(ours)
    assert said == "\rwork: " + "x" * 14 + "... [0 s]"


NOTEBOOK = """
import time
from manymodes.runtime.progress import Progress

progress = Progress("work")
for i in range(5):
    progress.update(f"{i} of 5 done", now=True)
progress.done("all done")
Progress("nothing", quiet=True).update("said", now=True)
"""


def test_a_notebook_has_one_output_that_is_updated_in_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nbclient = pytest.importorskip("nbclient")
    nbformat = pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(NOTEBOOK)])
    nbclient.NotebookClient(notebook, timeout=60, kernel_name="python3").execute()
    (output,) = notebook.cells[0].outputs
    assert output["output_type"] == "display_data"
    assert re.fullmatch(r"work: all done \[\d+ s\]", output["data"].pop("text/plain"))
    assert output["data"] == {}


@pytest.mark.parametrize(
    ("seconds", "text"), [(7.6, "8 s"), (125, "2 min 05 s"), (3780, "1 h 03 min")]
)
def test_durations_are_read_by_people(seconds: float, text: str) -> None:
    assert format_seconds(seconds) == text
