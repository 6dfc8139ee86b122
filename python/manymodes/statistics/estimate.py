"""A figure with its error, as all results have it."""

from __future__ import annotations

from dataclasses import dataclass

_NAN = float("nan")


@dataclass(frozen=True)
class Estimate:
    """A value and its standard error, in the same units.

    Both are NaN where there is nothing to estimate from; the error alone where it is not known.
    """

    value: float = _NAN
    sd: float = _NAN
