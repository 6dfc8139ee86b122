"""Counts as a reader expects them in a sentence."""

from __future__ import annotations

_WORDS = (
    "no one two three four five six seven eight nine ten eleven twelve".split()  # noqa: SIM905
)


def count(n: int) -> str:
    """Return a count, in words up to twelve."""
    return _WORDS[n] if 0 <= n < len(_WORDS) else str(n)


def things(n: int, singular: str, plural: str | None = None) -> str:
    """Return a count and its noun."""
    return f"{count(n)} {singular if n == 1 else plural or singular + 's'}"
