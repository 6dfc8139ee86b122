r"""What a terminal is shown: names from files carry nothing that a terminal obeys.

Escape sequences, other control characters and characters that turn the direction of writing are
written out as Python does (``\x1b``, ``\u202e``), in all that is printed and in every error.
"""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from typing import Any, TextIO, cast

_HARMLESS = frozenset("\n\t")
_JOINERS = frozenset("\u200c\u200d")  # which scripts and emoji need


def visible(text: str, keep: frozenset[str] = frozenset()) -> str:
    """Return a text with everything that a terminal would obey written out.

    Parameters
    ----------
    text : str
        A name, or a message.
    keep : set of str
        Characters that are left alone: line breaks in a text of several lines.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if c in keep or _is_harmless(c) else _written_out(c) for c in text)


def message(text: str) -> str:
    """Return a text of several lines as a terminal is shown it."""
    return visible(text, _HARMLESS)


def _is_harmless(character: str) -> bool:
    kind = unicodedata.category(character)
    return kind not in {"Cc", "Cf", "Cs", "Zl", "Zp"} or character in _JOINERS


def _written_out(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


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
