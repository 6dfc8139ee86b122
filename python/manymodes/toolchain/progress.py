"""Show how far a set-up has come, on standard error: one live line, or plain lines in a log."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Self

_LIVE_SECONDS = 0.2
_PLAIN_SECONDS = 15.0


class Progress:
    """The progress of one step, used as a context manager.

    Parameters
    ----------
    title
        What is being done.
    total
        How many units there are to do, or 0 when nobody knows.
    unit
        What is counted.
    quiet
        Show nothing.
    """

    def __init__(self, title: str, total: int, unit: str, *, quiet: bool = False) -> None:
        self._title, self._total, self._unit, self._quiet = title, total, unit, quiet
        self._live = sys.stderr.isatty()
        self._start = self._shown = time.monotonic()

    def __enter__(self) -> Self:
        self._write(f"{self._title} ...", last=False)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        outcome = "done" if error is None else "stopped"
        self._write(f"{self._title}: {outcome} after {self._elapsed():.0f} s", last=True)

    def update(self, done: float) -> None:
        """Say how many units are done; most calls show nothing."""
        now = time.monotonic()
        if now - self._shown < (_LIVE_SECONDS if self._live else _PLAIN_SECONDS):
            return
        self._shown = now
        whole = round(done)
        count = f"{min(whole, self._total)}/{self._total}" if self._total else f"{whole}"
        self._write(f"{self._title}: {count} {self._unit}, {self._elapsed():.0f} s", last=False)

    def _elapsed(self) -> float:
        return time.monotonic() - self._start

    def _write(self, line: str, *, last: bool) -> None:
        if not self._quiet:
            start, end = ("\r\x1b[K", "\n" if last else "") if self._live else ("", "\n")
            print(start + line, end=end, file=sys.stderr, flush=True)


def say(line: str, *, quiet: bool = False) -> None:
    """Print one line on standard error."""
    if not quiet:
        print(line, file=sys.stderr, flush=True)
