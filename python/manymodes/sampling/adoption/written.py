"""How exactly the numbers of a file were written, seen in the numbers themselves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from manymodes.types import FloatArray

_FULL = 17
_SINGLE = 7
"""Significant digits that hold every double, and that single precision has about."""

_LOOKED_AT = 500


@dataclass(frozen=True)
class Written:
    """The digits to which numbers were rounded.

    Attributes
    ----------
    digits : int
        Significant digits; 17 for numbers that were not rounded.
    decimals : int
        Places after the point.
    """

    digits: int = _FULL
    decimals: int = 400

    def half_units(self, values: FloatArray) -> FloatArray:
        """Return how far the numbers that were rounded may be from these values, same shape.

        A file rounds to significant digits or to places after the point. Which of the two is not
        known, so that the larger one counts.
        """
        size = np.abs(values)
        with np.errstate(divide="ignore"):
            exponent = np.floor(np.log10(size))
        relative = np.where(size > 0, 0.5 * 10.0 ** (exponent - self.digits + 1), 0.0)
        return np.asarray(np.maximum(relative, 0.5 * 10.0**-self.decimals))


def written(values: FloatArray, *, single: bool = False) -> Written:
    """Return how numbers were written.

    Parameters
    ----------
    values : array
        Numbers of one file; some hundred of them, spread evenly, are looked at.
    single : bool
        Whether they were stored in single precision.
    """
    if single:
        return Written(_SINGLE)
    finite = values[np.isfinite(values) & (values != 0)]
    chosen = finite[:: max(1, finite.size // _LOOKED_AT)]
    found = [_places(value) for value in chosen.tolist()]
    digits = max((one for one, _ in found), default=_FULL)
    if digits >= _FULL - 1:
        return Written()
    return Written(digits, max(0, max(decimals for _, decimals in found)))


def _places(value: float) -> tuple[int, int]:
    """Return the significant digits and the decimals of the shortest text of a number."""
    mantissa, _, exponent = f"{value!r}".lstrip("-").partition("e")
    whole, _, fraction = mantissa.partition(".")
    fraction = fraction.rstrip("0")
    digits = (whole + fraction).lstrip("0")
    significant = digits.rstrip("0") if not fraction else digits
    return max(1, len(significant)), len(fraction) - int(exponent or 0)
