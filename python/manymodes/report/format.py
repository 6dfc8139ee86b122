"""Numbers and lists as a reader expects them in a sentence."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from manymodes.statistics.estimate import Estimate
from manymodes.wording import count as count
from manymodes.wording import joined as joined
from manymodes.wording import modes_named as modes_named
from manymodes.wording import things as things

NOTHING = "–"
_TINY_PERCENT = 0.01
_PLUS_MINUS = "\u00a0±\u00a0"


def number(value: float, digits: int) -> str:
    """Return a number with a true minus sign; a dash for NaN."""
    if math.isnan(value):
        return NOTHING
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    text = f"{value:,.{digits}f}".replace(",", "\u202f")
    if float(f"{value:.{digits}f}") == 0:
        text = text.lstrip("-")
    return text.replace("-", "−")


def with_error(value: float, sd: float, *, most: int = 2, least: int = 0) -> str:
    """Return value ± error with the digits that the error warrants; without an error if NaN."""
    if not math.isfinite(value):
        return number(value, 0)
    if not math.isfinite(sd):
        return number(value, most)
    digits = most
    if sd > 0:
        digits = min(most, max(least, 1 - math.floor(math.log10(sd)) - (sd >= 3)))
    return f"{number(value, digits)}{_PLUS_MINUS}{number(sd, digits)}"


def nats(estimate: Estimate) -> str:
    """Return a log density or log evidence, or what it does not exceed."""
    if math.isfinite(estimate.at_most):
        return f"<\u202f{number(estimate.at_most, 2)}"
    return with_error(estimate.value, estimate.sd, most=2, least=2)


def percent(estimate: Estimate) -> str:
    """Return a share in per cent, with the digits that its size and its error warrant."""
    value, sd = 100 * estimate.value, 100 * estimate.sd
    if math.isfinite(estimate.at_most):
        most = 100 * estimate.at_most
        return f"<\u202f{limit(most) if most >= _TINY_PERCENT else _TINY_PERCENT}\u00a0%"
    if math.isnan(value):
        return NOTHING
    if value == 0:
        return "0\u00a0%"
    spread = sd if math.isfinite(sd) else 0.0
    digits = 2 if max(value, spread) < 1 else 1
    if value >= 10 and not 0 < spread < 1:
        digits = 0
    text = number(value, digits)
    low, high = share_interval(estimate)
    if round(value, digits) == 0:
        text = f"<\u202f{limit(high) if high > 10**-digits else f'{10**-digits:g}'}"
    elif round(spread, digits) > 0 and spread > min(value, 100 - value):
        text += f" ({number(low, digits * (low > 0))} to {number(high, digits * (high < 100))})"
    elif round(spread, digits) > 0:
        text += f"{_PLUS_MINUS}{number(spread, 0 if spread >= 10 else digits)}"
    elif digits == 1 and value >= 10:
        text = number(value, 0)
    return f"{text}\u00a0%"


def share_interval(share: Estimate) -> tuple[float, float]:
    """Return a share in per cent less and plus its error, within 0 and 100 %."""
    value, sd = 100 * share.value, 100 * float(np.nan_to_num(share.sd))
    return max(0.0, value - sd), min(100.0, value + sd)


def limit(value: float) -> str:
    """Return an upper limit with two digits, rounded upwards."""
    if value <= 0:
        return "0"
    digits = 1 - math.floor(math.log10(value))
    up = math.ceil(value * 10.0**digits - 1e-9) / 10.0**digits
    return f"{up:.{max(digits, 0)}f}"


def sentence(text: str) -> str:
    """Return a text with a capital first letter."""
    return text[:1].upper() + text[1:]


def duration(seconds: float) -> str:
    """Return a time as a person would say it."""
    if not math.isfinite(seconds):
        return NOTHING
    if seconds < 100:
        return f"{number(seconds, 1 if seconds < 10 else 0)} s"
    minutes = seconds / 60
    return f"{number(minutes, 0)} min" if minutes < 100 else f"{number(minutes / 60, 1)} h"


def cell(value: Any) -> str:
    """Return a table cell."""
    if value is None:
        return NOTHING
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, Estimate):
        if math.isfinite(value.at_most):
            return f"<\u202f{limit(value.at_most)}"
        return with_error(value.value, value.sd)
    if isinstance(value, int | np.integer):
        return number(int(value), 0)
    if isinstance(value, float | np.floating):
        value = float(value)
        if math.isfinite(value) and (abs(value) >= 1e6 or 0 < abs(value) < 1e-2):
            return f"{value:.3g}".replace("-", "−")
        return number(value, 0 if value.is_integer() else 2)
    return str(value)


def flattened(settings: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Return nested settings as rows of dotted names and values."""
    rows: list[tuple[str, str]] = []
    for name, value in settings.items():
        if isinstance(value, Mapping):
            rows += flattened(value, f"{prefix}{name}.")
        elif isinstance(value, list | tuple):
            rows.append((f"{prefix}{name}", ", ".join(str(v) for v in value) or NOTHING))
        else:
            text = (
                NOTHING
                if value is None
                else f"{value:g}"
                if isinstance(value, float)
                else str(value)
            )
            rows.append((f"{prefix}{name}", text))
    return rows
