"""A check of seeds."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from manymodes.errors import InputError

MAX_SEED = 2**63 - 1
"""The largest seed of a run: files of results hold whole numbers of 64 bits."""


def check_seed(seed: Any, name: str = "seed") -> int:
    """Return the seed of a run as a whole number; every number from 0 to 2**63 - 1 is allowed.

    Raises
    ------
    InputError
        It is not a whole number, or it is out of this range.
    """
    try:
        value = operator.index(seed)
    except TypeError:
        value = None
    if value is None or isinstance(seed, bool | np.bool_):
        raise InputError(f"{name}: {seed!r} is not a whole number")
    if value < 0:
        raise InputError(f"{name}: {seed} is not 0 or more")
    if value > MAX_SEED:
        raise InputError(f"{name}: {seed} is more than {MAX_SEED}, the largest that is allowed")
    return int(value)
