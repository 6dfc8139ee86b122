"""Warnings: each of ours is one line, once; those of other packages go to a file."""

from __future__ import annotations

import logging
import os
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from manymodes.errors import ManymodesWarning

VARIABLE = "MANYMODES_WARNINGS"
"""The environment variable with the file, for the workers of a command."""

_LARGEST = 1_000_000  # bytes; a longer file becomes NAME.old


@contextmanager
def warnings_as_lines(log: Path) -> Iterator[None]:
    """Show each of our warnings as one line, once; write those of other packages to a file.

    The log records of other packages go there too, unless the packages show them themselves.

    Parameters
    ----------
    log : Path
        The file; it is made at the first warning. If it cannot be written, the text is lost.
    """
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = str(log)
    handler = _Handler(log)
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        with warnings.catch_warnings():
            _divert(log)
            yield
    finally:
        root.removeHandler(handler)
        if before is None:
            os.environ.pop(VARIABLE, None)
        else:
            os.environ[VARIABLE] = before


def begin_in_worker() -> None:
    """Do the same in a worker until its end; without a file, drop warnings of other packages."""
    if getattr(warnings.showwarning, "__module__", "") == __name__:
        return
    named = os.environ.get(VARIABLE)
    log = Path(named) if named else None
    _divert(log)
    logging.getLogger().addHandler(_Handler(log))


def _divert(log: Path | None) -> None:
    told: set[str] = set()

    def show(message: Warning | str, category: type[Warning], *rest: Any, **named: Any) -> None:
        if not issubclass(category, ManymodesWarning):
            where = ":".join(map(str, rest[:2]))
            _append(log, f"{category.__name__}: {message} ({where})")
        elif str(message) not in told:
            told.add(str(message))
            with suppress(OSError, ValueError):
                print(f"manymodes: caution: {message}", file=sys.stderr)

    warnings.simplefilter("always", ManymodesWarning)
    warnings.showwarning = show


class _Handler(logging.Handler):
    """Write records to the file."""

    def __init__(self, log: Path | None) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        with suppress(Exception):  # the arguments of a record may not fit its text
            _append(self._log, f"{record.name}: {record.getMessage()}")


def _append(log: Path | None, text: str) -> None:
    if log is None:
        return
    line = f"{time.strftime('%Y-%m-%d %H:%M:%S')} [{os.getpid()}] {' '.join(text.split())}\n"
    with suppress(OSError):
        log.parent.mkdir(parents=True, exist_ok=True)
        if log.exists() and log.stat().st_size > _LARGEST:
            os.replace(log, log.with_name(f"{log.name}.old"))
        with log.open("a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(line)
