"""The standard streams of a command: they are there, show all characters, and lose no output."""

from __future__ import annotations

import codecs
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout, suppress
from typing import Any, TextIO, cast

from manymodes.errors import StorageError
from manymodes.wording import message

_PLAIN = {
    "\u00b1": "+-", "\u2192": "->", "\u2190": "<-", "\u2212": "-", "\u2013": "-", "\u2014": "-",
    "\u00d7": "x", "\u00b7": "*", "\u2026": "...", "\u2019": "'", "\u2018": "'", "\u201c": '"',
    "\u201d": '"', "\u00a0": " ", "\u202f": " ", "\u2264": "<=", "\u2265": ">=", "\u2248": "~",
    "\u00b2": "^2", "\u00b3": "^3", "\u03c3": "sigma", "\u03b1": "alpha", "\u03b2": "beta",
    "\u03b3": "gamma", "\u03bd": "nu", "\u03c1": "rho", "\u0394": "Delta", "\u00b5": "u",
}  # fmt: skip
"""The replacement of a character that an output cannot show."""


def hold_streams() -> None:
    """Open closed standard streams (input, output, error) on the null device.

    Otherwise the next file that is opened takes the stream's number, and prints go into it.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115


def _in_plain_words(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    plain = "".join(_PLAIN.get(c, c) for c in text)
    return plain.encode("ascii", "backslashreplace").decode("ascii"), error.end


codecs.register_error("manymodes", _in_plain_words)


@contextmanager
def plain_streams() -> Iterator[None]:
    """Let standard output and error show what they cannot encode in other characters."""
    changed: list[tuple[Any, str]] = []
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, OSError, ValueError):
            before = str(stream.errors)
            stream.reconfigure(errors="manymodes")  # type: ignore[union-attr]
            changed.append((stream, before))
    try:
        yield
    finally:
        for stream, before in changed:
            with suppress(OSError, ValueError):
                stream.reconfigure(errors=before)


def flush_output() -> None:
    """Write the rest of the standard output, so that a later write cannot fail.

    Raises
    ------
    BrokenPipeError
        Its reader is gone.
    StorageError
        It cannot be written: the disk is full.
    """
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        abandon_output()
        raise
    except (OSError, ValueError) as error:
        abandon_output()
        reason = getattr(error, "strerror", None) or error
        raise StorageError(f"the standard output cannot be written: {reason}") from error


def abandon_output() -> None:
    """Discard further standard output, so that the end of the process does not write to it."""
    with suppress(OSError, ValueError, AttributeError):
        opened = os.open(os.devnull, os.O_WRONLY)
        os.dup2(opened, sys.stdout.fileno())
        os.close(opened)


class Shown:
    """A stream that writes texts as a terminal may be shown them.

    Parameters
    ----------
    stream : TextIO
        Where they go.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write a text; a carriage return at its beginning, of a live line, is left alone."""
        live = text.startswith("\r")
        self._stream.write("\r" * live + message(text[live:]))
        return len(text)

    def __getattr__(self, name: str) -> Any:
        """Everything else is the stream's own."""
        return getattr(self._stream, name)


@contextmanager
def shown_safely() -> Iterator[None]:
    """Show what is printed as a terminal may be shown it."""
    with ExitStack() as stack:
        if sys.stdout is not None:  # it may be closed
            stack.enter_context(redirect_stdout(cast(TextIO, Shown(sys.stdout))))
        if sys.stderr is not None:
            stack.enter_context(redirect_stderr(cast(TextIO, Shown(sys.stderr))))
        yield
