"""A part of a run that is dealt out to jobs which share nothing: which of its tasks are its own."""

from __future__ import annotations

import operator
import re
from dataclasses import dataclass
from typing import Any

from manymodes.errors import InputError

MOST_PARTS = 1_000_000

_TEXT = re.compile(r"\s*(\d{1,9})\s*/\s*(\d{1,9})\s*")


@dataclass(frozen=True)
class Part:
    """One of several parts, as even as possible, of the chains or runs that were asked for.

    Attributes
    ----------
    number : int
        Which part, from 1.
    parts : int
        How many parts there are.
    """

    number: int
    parts: int

    def __post_init__(self) -> None:
        """Check the numbers; raise `InputError` if there is no such part."""
        if not 1 <= self.number <= self.parts <= MOST_PARTS:
            raise InputError(
                f"part: {self.number}/{self.parts} is no part: it is K/N, with N from 1 to "
                f"{MOST_PARTS} and K from 1 to N"
            )

    def __str__(self) -> str:
        """Return how messages name it."""
        return f"part {self.number} of {self.parts}"

    @property
    def option(self) -> str:
        """How the command line asks for it."""
        return f"--part {self.number}/{self.parts}"

    def numbers(self, total: int) -> range:
        """Return which of so many chains or runs belong to it; parts follow one another."""
        return range(
            (self.number - 1) * total // self.parts, self.number * total // self.parts
        )  # whole numbers: exact, however large


def dealt(total: int, part: Part | None, what: str) -> range:
    """Return the numbers of the chains or runs of a part, or of all of them.

    Parameters
    ----------
    total : int
        How many the whole run has.
    part : Part or None
        Which part of them; None for all.
    what : str
        What messages call them.

    Raises
    ------
    InputError
        There are more parts than chains or runs.
    """
    if part is None:
        return range(total)
    if part.parts > total:
        raise InputError(
            f"part: {total} {what} cannot be dealt out to {part.parts} parts: take {total} or fewer"
        )
    return part.numbers(total)


def part_of(given: Any) -> Part | None:
    """Return a part given as two numbers, or as the text ``K/N``; None for the whole run.

    Raises
    ------
    InputError
        It is neither.
    """
    if given is None or isinstance(given, Part):
        return given
    values: list[Any] = []
    if isinstance(given, str):
        found = _TEXT.fullmatch(given)
        values = [int(found[1]), int(found[2])] if found else []
    elif isinstance(given, tuple | list) and not any(isinstance(one, bool) for one in given):
        values = list(given)
    try:
        number, parts = map(operator.index, values)
    except (TypeError, ValueError):
        raise InputError(f"part: {given!r} is not K/N, such as 3/40 for part 3 of 40") from None
    return Part(number, parts)
