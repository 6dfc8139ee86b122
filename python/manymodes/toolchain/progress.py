"""Show how far a set-up has come, on standard error: one live line, or plain lines in a log."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Self

from manymodes.runtime import progress

_PLAIN_SECONDS = 15.0


class Progress:
    """The progress of one step, used as a context manager.

    Parameters
    ----------
    title
        The name of the step.
    total
        The number of units to do, or 0 if it is not known.
    unit
        The name of the units.
    quiet
        Show nothing.
    """

    def __init__(self, title: str, total: int, unit: str, *, quiet: bool = False) -> None:
        self._total, self._unit = total, unit
        self._line = progress.Progress(title, quiet=quiet, every=_PLAIN_SECONDS)

    def __enter__(self) -> Self:
        self._line.update("begun", now=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._line.done("done" if error is None else "stopped")

    def update(self, done: float) -> None:
        """Say how many units are done; most calls show nothing."""
        whole = round(done)
        count = f"{min(whole, self._total)}/{self._total}" if self._total else f"{whole}"
        self._line.update(f"{count} {self._unit}")


def say(line: str, *, quiet: bool = False) -> None:
    """Print one line on standard error."""
    if not quiet:
        print(line, file=sys.stderr, flush=True)
