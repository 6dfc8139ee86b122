"""Diagnosis of many chains: agreement, health of their modes, and modes that they did not find."""

from __future__ import annotations

from manymodes.modes.diagnosis.health import BAD_K, ModeHealth
from manymodes.modes.diagnosis.result import Diagnosis, diagnose, diagnosed
from manymodes.modes.diagnosis.spaces import Agreement
from manymodes.modes.diagnosis.switching import Switching, switching

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
