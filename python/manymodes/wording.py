"""Counts as a reader expects them in a sentence."""

from __future__ import annotations

from collections.abc import Mapping

_WORDS = (
    "no one two three four five six seven eight nine ten eleven twelve".split()  # noqa: SIM905
)


def count(n: int) -> str:
    """Return a count, in words up to twelve."""
    return _WORDS[n] if 0 <= n < len(_WORDS) else str(n)


def unfinished_lines(unfinished: Mapping[str, tuple[int, int]]) -> list[str]:
    """Return a sentence for each engine of which there is less than was asked for."""
    nouns = {"chains": ("chains", "sample"), "nested": ("nested runs", "evidence")}
    return [
        f"Unfinished: only {finished} of {asked} {nouns[engine][0]} "
        f"{'is' if finished == 1 else 'are'} finished, and all figures are of those; "
        f"manymodes {nouns[engine][1]} --resume runs the others."
        for engine, (finished, asked) in unfinished.items()
    ]


def things(n: int, singular: str, plural: str | None = None) -> str:
    """Return a count and its noun."""
    return f"{count(n)} {singular if n == 1 else plural or singular + 's'}"
