"""Independent checks of an evidence: other methods on the same density, side by side, by mode."""

from __future__ import annotations

from manymodes.checks._check import check
from manymodes.checks._result import (
    BRIDGE,
    COPIES,
    IMPORTANCE,
    LAPLACE,
    METHODS,
    MODE,
    NESTED,
    OTHER,
    POOLED,
    SCOPES,
    SUM,
    WHOLE,
    Agreement,
    Check,
    Checks,
)

__all__ = [
    "BRIDGE",
    "COPIES",
    "IMPORTANCE",
    "LAPLACE",
    "METHODS",
    "MODE",
    "NESTED",
    "OTHER",
    "POOLED",
    "SCOPES",
    "SUM",
    "WHOLE",
    "Agreement",
    "Check",
    "Checks",
    "check",
]
