"""The standard error of a figure that many chains give together."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from manymodes.errors import InputError
from manymodes.types import FloatArray


def jackknife(statistic: Callable[[FloatArray], float], chains: FloatArray) -> float:
    """Return the standard error of a statistic of chains: each chain is left out once.

    Parameters
    ----------
    statistic : callable
        Takes chains, shape (C, ...), and returns a number, such as the largest R-hat.
    chains : array of shape (C, ...)
        Independent chains, three or more.

    Raises
    ------
    InputError
        There are fewer than three chains.

    References
    ----------
    .. [1] Efron, Stein (1981). The jackknife estimate of variance. Annals of Statistics 9(3),
       equation 1.4.
    """
    n = len(chains)
    if n < 3:
        raise InputError(f"chains: {n} are too few to leave one out; give three or more")
    without = np.array([statistic(np.delete(chains, left_out, axis=0)) for left_out in range(n)])
    return float(np.sqrt((n - 1) * without.var()))
