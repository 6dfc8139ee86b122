"""What a constraint does: which copies of a function it keeps, and which functions it loses."""

from __future__ import annotations

from manymodes.audit._audit import audit
from manymodes.audit._invariance import Invariance, invariance
from manymodes.audit._result import Audit, Estimate, Evidence
from manymodes.audit._shift import evidence_shift
from manymodes.audit._text import side_by_side

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
