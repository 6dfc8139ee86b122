"""Case studies: complete analyses of published posteriors, one module each."""

from __future__ import annotations

XOR_DATA_SEED = 2
"""The first data seed whose constrained posterior has two prominent modes at standard deviation
0.5; found by ``manymodes study xor-seeds``."""
