"""Diagnosis of many chains: do they agree, are their modes healthy, what have they not found."""

from __future__ import annotations

from manymodes.diagnosis._health import BAD_K, ModeHealth
from manymodes.diagnosis._result import Diagnosis, diagnose, diagnosed
from manymodes.diagnosis._spaces import Agreement
from manymodes.diagnosis._switching import Switching, switching

__all__ = [
    "BAD_K",
    "Agreement",
    "Diagnosis",
    "ModeHealth",
    "Switching",
    "diagnose",
    "diagnosed",
    "switching",
]
