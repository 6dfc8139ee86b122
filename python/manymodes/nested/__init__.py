"""Nested sampling of a posterior: PolyChord on the density that NUTS samples, run and merged."""

from __future__ import annotations

from manymodes.nested._base import AUTO, choose_base
from manymodes.nested._driver import MAX_RUNS, check_nested, load_nested, run_nested
from manymodes.nested._kept import run_file, run_numbers
from manymodes.nested._result import Nested, NestedRun, PriorIntegral

__all__ = [
    "AUTO",
    "MAX_RUNS",
    "Nested",
    "NestedRun",
    "PriorIntegral",
    "check_nested",
    "choose_base",
    "load_nested",
    "run_file",
    "run_nested",
    "run_numbers",
]
