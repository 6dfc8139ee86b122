"""Nested sampling of a posterior: PolyChord on the density that NUTS samples, run and merged."""

from __future__ import annotations

from manymodes.sampling.nested.base import AUTO, choose_base
from manymodes.sampling.nested.driver import MAX_RUNS, check_nested, load_nested, run_nested
from manymodes.sampling.nested.kept import run_file, run_numbers
from manymodes.sampling.nested.result import Nested, NestedRun, PriorIntegral

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
