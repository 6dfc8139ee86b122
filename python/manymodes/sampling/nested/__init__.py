"""Nested sampling: runs of PolyChord on the density that NUTS samples, merged into one."""

from __future__ import annotations

from manymodes.sampling.integral import PriorIntegral
from manymodes.sampling.nested.choice_of_base import choose_base
from manymodes.sampling.nested.result import Nested, NestedRun
from manymodes.sampling.nested.run_files import run_file, run_numbers
from manymodes.sampling.nested.runs import check_nested, load_nested, run_nested
from manymodes.sampling.nested.settings import NestedSettings, PolyChordSettings

__all__ = [
    "Nested",
    "NestedRun",
    "NestedSettings",
    "PolyChordSettings",
    "PriorIntegral",
    "check_nested",
    "choose_base",
    "load_nested",
    "run_file",
    "run_nested",
    "run_numbers",
]
