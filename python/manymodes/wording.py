r"""Counts, and texts of the user, as a reader expects them in a sentence.

A terminal must not obey printed names: escape sequences, other control characters and characters
that turn the direction of writing are written out as in Python (``\x1b``, ``\u202e``), in all
output and in every error.
"""

from __future__ import annotations

import shlex
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches

_WORDS = (
    "no one two three four five six seven eight nine ten eleven twelve".split()  # noqa: SIM905
)
_LONGEST_SHOWN = 60
_MOST_MODES, _FIRST_MODES = 8, 4
_HARMLESS = frozenset("\n\t")
_JOINERS = frozenset("\u200c\u200d")  # scripts and emoji need them


def count(n: int) -> str:
    """Return a count, in words up to twelve."""
    return _WORDS[n] if 0 <= n < len(_WORDS) else str(n)


def unfinished_lines(unfinished: Mapping[str, tuple[int, int]]) -> list[str]:
    """Return a sentence for each engine with fewer results than were asked for."""
    nouns = {"chains": ("chains", "sample"), "nested": ("nested runs", "evidence")}
    return [
        f"Unfinished: only {finished} of {asked} {nouns[engine][0]} "
        f"{'is' if finished == 1 else 'are'} finished, and all figures use only these; "
        f"manymodes {nouns[engine][1]} --resume runs the others."
        for engine, (finished, asked) in unfinished.items()
    ]


def things(n: int, singular: str, plural: str | None = None) -> str:
    """Return a count and its noun."""
    return f"{count(n)} {singular if n == 1 else plural or singular + 's'}"


def joined(parts: Sequence[str]) -> str:
    """Join parts with commas and a last 'and'."""
    if len(parts) < 2:
        return "".join(parts)
    return f"{', '.join(parts[:-1])} and {parts[-1]}"


def modes_named(ids: Sequence[int], noun: str = "mode") -> str:
    """Return ``mode 3`` or ``modes 1, 2 and 5``; of many modes their number and the first few."""
    if len(ids) > _MOST_MODES:
        return f"{len(ids)} {noun}s ({', '.join(map(str, ids[:_FIRST_MODES]))}, ...)"
    return f"{noun}{'' if len(ids) == 1 else 's'} {joined([str(i) for i in ids])}"


def quoted(text: object) -> str:
    """Return a text in quotes on one line: not too long, and without control characters."""
    return f"'{escaped(text)}'"


def escaped(text: object) -> str:
    """Return a text on one line: long ones cut in the middle, control characters as escapes."""
    whole = str(text)
    if len(whole) > _LONGEST_SHOWN:
        half = _LONGEST_SHOWN // 2 - 2
        whole = f"{whole[:half]}...{whole[-half:]}"
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in whole)


def shown(names: Sequence[str], most: int = 20) -> str:
    """Return names as text, the first few of them."""
    more = f" and {len(names) - most} more" * (len(names) > most)
    return ", ".join(map(escaped, names[:most])) + more


def nearest(name: str, names: Iterable[str]) -> str:
    """Return a question for the name that was meant; empty if none is near."""
    by_lower = {known.lower(): known for known in names}
    found = get_close_matches(name.strip().lower(), by_lower, n=1)
    return f": did you mean {quoted(by_lower[found[0]])}?" if found else ""


def as_argument(name: str) -> str:
    """Return a name as an argument for a shell."""
    return shlex.quote(name) if name.isprintable() else f"$'{escaped(name)}'"


# ---------------------------------------------------------------- what a terminal is shown


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
    """Return a text of several lines that is safe to show in a terminal."""
    return visible(text, _HARMLESS)


def _is_harmless(character: str) -> bool:
    kind = unicodedata.category(character)
    return kind not in {"Cc", "Cf", "Cs", "Zl", "Zp"} or character in _JOINERS


def _written_out(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
