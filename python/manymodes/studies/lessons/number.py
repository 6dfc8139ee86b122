"""The number that settles a lesson."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from manymodes.errors import InputError
from manymodes.report import Table

FAR = 4.0
"""How many standard errors the number may be from what is expected."""


@dataclass(frozen=True)
class Number:
    """An estimate beside what it should be, and whether the two agree.

    Parameters
    ----------
    what : str
        What it is.
    value, sd : float
        The estimate and its standard error.
    expected : float, optional
        What theory says. The estimate agrees with it within four standard errors.
    above, below : float, optional
        Instead, bounds that the estimate must keep by two standard errors.
    percent : bool
        Show it in per cent.

    Raises
    ------
    InputError
        Nothing says what it should be, or the standard error is negative or not finite.
    """

    what: str
    value: float
    sd: float
    expected: float | None = None
    above: float | None = None
    below: float | None = None
    percent: bool = False

    def __post_init__(self) -> None:
        """Check that the estimate can be wrong."""
        if self.expected is None and self.above is None and self.below is None:
            raise InputError(f"number: {self.what!r} needs expected, above or below")
        if not 0 <= self.sd < math.inf:
            raise InputError(f"number: the standard error of {self.what!r} is {self.sd}")

    @property
    def agrees(self) -> bool:
        """Whether the estimate is what it should be."""
        if self.expected is not None and not abs(self.value - self.expected) <= FAR * self.sd:
            return False
        if self.above is not None and not self.value - 2 * self.sd > self.above:
            return False
        return self.below is None or self.value + 2 * self.sd < self.below

    def __str__(self) -> str:
        """Say the estimate, its error and what it should be, in one line."""
        return f"{self.what}: {self.measured} ({self.should}: {self.verdict})"

    @property
    def measured(self) -> str:
        """The estimate and its error."""
        return self._shown(self.value, self.sd)

    @property
    def should(self) -> str:
        """What it should be."""
        asked = {"expected": self.expected, "above": self.above, "below": self.below}
        return ", ".join(
            f"{word} {self._shown(bound)}" for word, bound in asked.items() if bound is not None
        )

    @property
    def verdict(self) -> str:
        """Whether the estimate is what it should be, in words."""
        return "agrees" if self.agrees else "DOES NOT AGREE"

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values, for ``summary.json``."""
        return {
            "what": self.what,
            "value": self.value,
            "sd": self.sd,
            "expected": self.expected,
            "above": self.above,
            "below": self.below,
            "agrees": self.agrees,
            "text": str(self),
        }

    def _shown(self, value: float, sd: float | None = None) -> str:
        factor, unit = (100, " %") if self.percent else (1, "")
        if sd is None:
            return f"{factor * value:.4g}{unit}"
        digits = _digits(factor * sd)
        return f"{factor * value:.{digits}f} ± {factor * sd:.{digits}f}{unit}"


def numbers_table(*numbers: Number) -> Table:
    """Return numbers as a table of the report."""
    rows = tuple((one.what, one.measured, one.should, one.verdict) for one in numbers)
    return Table("The numbers", ("Number", "Measured", "Should be", ""), rows)


def _digits(sd: float) -> int:
    """Return the decimals that show two digits of an error."""
    if sd == 0:
        return 3
    digits = 0
    while sd < 10 and digits < 6:
        sd *= 10
        digits += 1
    return digits
