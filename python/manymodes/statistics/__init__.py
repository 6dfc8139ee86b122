"""Diagnostics, scores and weights: functions of arrays, independent of Stan.

`__all__` names the modules that users can apply to arrays of their own; the others serve these.
"""

from __future__ import annotations

__all__ = ["chain_weightings", "coverage", "diagnostics", "loo", "stacking"]
