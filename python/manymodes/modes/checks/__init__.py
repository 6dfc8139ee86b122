"""Independent checks of an evidence: other methods on the same density, side by side, by mode."""

from __future__ import annotations

from manymodes.modes.checks.carry_out import check
from manymodes.modes.checks.drift import Drift, drift_of
from manymodes.modes.checks.result import (
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
    TRUSTED_K,
    TRUSTED_SCATTER,
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
    "TRUSTED_K",
    "TRUSTED_SCATTER",
    "WHOLE",
    "Agreement",
    "Check",
    "Checks",
    "Drift",
    "check",
    "drift_of",
]
