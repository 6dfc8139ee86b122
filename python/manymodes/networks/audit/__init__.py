"""The audit of a constraint: which copies of a function it keeps, which functions it loses."""

from __future__ import annotations

from manymodes.networks.audit.carry_out import audit
from manymodes.networks.audit.invariance import Invariance, invariance
from manymodes.networks.audit.result import Audit, Evidence, KnownEstimate
from manymodes.networks.audit.shift import evidence_shift

__all__ = [
    "Audit",
    "Evidence",
    "Invariance",
    "KnownEstimate",
    "audit",
    "evidence_shift",
    "invariance",
]
