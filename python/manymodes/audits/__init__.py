"""What a constraint does: which copies of a function it keeps, and which functions it loses."""

from __future__ import annotations

from manymodes.audits._audit import audit
from manymodes.audits._invariance import Invariance, invariance
from manymodes.audits._result import Audit, Estimate, Evidence
from manymodes.audits._shift import evidence_shift
from manymodes.audits._text import side_by_side

__all__ = [
    "Audit",
    "Estimate",
    "Evidence",
    "Invariance",
    "audit",
    "evidence_shift",
    "invariance",
    "side_by_side",
]
