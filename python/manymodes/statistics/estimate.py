"""A figure with its error, as all results have it."""

from __future__ import annotations

from dataclasses import dataclass, field

_NAN = float("nan")


@dataclass(frozen=True)
class Estimate:
    """A value and its standard error, in the same units.

    Both are NaN where there is nothing to estimate from; the error alone where it is not known.
    Where too little was seen for a value, ``at_most`` is what it does not exceed (95 %).
    """

    value: float = _NAN
    sd: float = _NAN
    at_most: float = field(default=_NAN, kw_only=True)
