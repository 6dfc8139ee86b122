"""Parallel tempering from a base measure to the density that NUTS samples."""

from __future__ import annotations

from manymodes.sampling.tempered.result import Round, Tempered, TemperedRun
from manymodes.sampling.tempered.runs import (
    check_tempered,
    load_tempered,
    run_tempered,
)
from manymodes.sampling.tempered.settings import TemperedSettings

__all__ = [
    "Round",
    "Tempered",
    "TemperedRun",
    "TemperedSettings",
    "check_tempered",
    "load_tempered",
    "run_tempered",
]
