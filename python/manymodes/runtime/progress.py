"""Progress of a long job: a live line in a terminal or a notebook, plain lines in a log."""

from __future__ import annotations

import os
import shutil
import sys
import threading
import time
import unicodedata
from contextlib import suppress
from importlib import import_module
from typing import Any, TextIO

from manymodes.wording import message

_LIVE_SECONDS = 0.2  # between two states of a live line

_open: Any = None  # the terminal on which a live line is not ended


def end_line() -> None:
    """End the live line, if there is one, before something else is written."""
    global _open
    stream, _open = _open, None
    if stream is not None:
        with suppress(OSError, ValueError):
            stream.write("\n")
            stream.flush()


class Progress:
    """Show a user how far a long job is.

    A terminal shows one line, never wider than the terminal; a notebook shows one output of
    the cell, updated in place; a log gets a plain line now and then.

    Parameters
    ----------
    label : str
        What is being done.
    quiet : bool
        Say nothing.
    stream : TextIO, optional
        Where the lines go; by default a notebook's output, or standard error.
    every : float
        Seconds between two plain lines.
    """

    def __init__(
        self, label: str, *, quiet: bool = False, stream: TextIO | None = None, every: float = 10.0
    ) -> None:
        self.label = label
        self._stream = stream if stream is not None else sys.stderr
        self._quiet = quiet or self._stream is None
        self._output = _notebook_output(label) if stream is None and not quiet else None
        self._live = self._output is None and not self._quiet and self._stream.isatty()
        self._every = every if not self._live and self._output is None else _LIVE_SECONDS
        self._begun = time.monotonic()
        self._last = -float("inf")
        self._width = 0
        self._lock = threading.Lock()

    @property
    def seconds(self) -> float:
        """Wall time since the job began."""
        return time.monotonic() - self._begun

    def update(self, text: str, *, now: bool = False) -> None:
        """Show a state, unless one was shown a moment ago (``now`` shows it anyway)."""
        self._show(text, now=now, last=False)

    def done(self, text: str) -> None:
        """Show the last state, whole, and end the line."""
        self._show(text, now=True, last=True)

    def _show(self, text: str, *, now: bool, last: bool) -> None:
        global _open
        with self._lock:
            moment = time.monotonic()
            if self._quiet or (not now and moment - self._last < self._every):
                return
            self._last = moment
            line, spent = message(f"{self.label}: {text}"), f" [{format_seconds(self.seconds)}]"
            if self._output is not None:
                self._output.update({"text/plain": line + spent}, raw=True)
            elif not self._live:
                self._write(f"{line}{spent}\n")
            else:
                if not last:
                    line = _cut(line, _columns(self._stream) - 1 - len(spent))
                line += spent
                padding = " " * max(self._width - _wide(line), 0)
                self._write(f"\r{line}{padding}" + "\n" * last)
                self._width = _wide(line)
                _open = None if last else self._stream

    def _write(self, text: str) -> None:
        try:
            self._stream.write(text)
            self._stream.flush()
        except (OSError, ValueError):  # closed, or its terminal is gone
            self._quiet = True


def _notebook_output(label: str) -> Any:
    """Return a handle on a new output of the notebook cell that runs; None outside notebooks.

    The output belongs to the cell that runs the calling thread, so it is made before any work
    begins.
    """
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if not any(kind.__name__ == "ZMQInteractiveShell" for kind in type(shell).__mro__):
        return None
    display = import_module("IPython.display").display
    return display({"text/plain": f"{label}: ..."}, raw=True, display_id=True)


def _columns(stream: TextIO) -> int:
    """Return the width of a terminal."""
    try:
        columns = os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError, AttributeError):
        columns = 0
    return columns or shutil.get_terminal_size().columns


def _wide(line: str) -> int:
    """Return how many columns of a terminal a line takes."""
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in line
    )


def _cut(line: str, columns: int) -> str:
    """Return a line on one row of at most so many columns; dots stand for parts left out."""
    line = " ".join(line.splitlines())
    if _wide(line) <= columns:
        return line
    while line and _wide(line) > columns - 3:
        line = line[:-1]
    return (line + "...")[: max(columns, 0)]


def format_seconds(seconds: float) -> str:
    """Return a duration as a person reads it: ``8 s``, ``2 min 05 s``, ``1 h 03 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
