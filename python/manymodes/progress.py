"""Progress on standard error: one live line in a terminal, a plain line now and then in a log."""

from __future__ import annotations

import sys
import threading
import time
from typing import TextIO


class Progress:
    """Tell a user how far a long job is.

    Parameters
    ----------
    label : str
        What is being done.
    quiet : bool
        Say nothing.
    stream : TextIO, optional
        Where to; standard error by default.
    every : float
        Seconds between two plain lines where the stream is not a terminal.
    """

    def __init__(
        self, label: str, *, quiet: bool = False, stream: TextIO | None = None, every: float = 10.0
    ) -> None:
        self.label = label
        self._stream = stream if stream is not None else sys.stderr
        self._quiet = quiet
        self._live = self._stream.isatty()
        self._every = 0.2 if self._live else every
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
        with self._lock:
            moment = time.monotonic()
            if self._quiet or (not now and moment - self._last < self._every):
                return
            self._last = moment
            line = f"{self.label}: {text} [{format_seconds(self.seconds)}]"
            if self._live:
                padding = " " * max(self._width - len(line), 0)
                self._stream.write(f"\r{line}{padding}")
            else:
                self._stream.write(line + "\n")
            self._width = len(line)
            self._stream.flush()

    def done(self, text: str) -> None:
        """Show the last state and end the line."""
        self.update(text, now=True)
        if self._live and not self._quiet:
            self._stream.write("\n")
            self._stream.flush()


def format_seconds(seconds: float) -> str:
    """Return a duration as a person reads it: ``8 s``, ``2 min 05 s``, ``1 h 03 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
