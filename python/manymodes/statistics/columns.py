"""Apply a statistic of many chains to every column of an array, in blocks and threads."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import ArrayLike

from manymodes.errors import InputError
from manymodes.types import FloatArray

_BLOCK = 1_000_000  # numbers that a thread holds at once
_MIN_DRAWS = 4


def by_column(
    draws: ArrayLike, statistic: Callable[[FloatArray], FloatArray], threads: int | None = None
) -> FloatArray:
    """Apply `statistic` to all columns of draws.

    Parameters
    ----------
    draws
        Shape (C, S, ...): chains, draws, and any further axes.
    statistic
        Turns a block of columns, shape (B, C, S), into one number each, shape (B,).
    threads
        How many blocks are processed at once; by default the number of cores.

    Returns
    -------
    FloatArray
        One number per column, in the shape of the further axes; nan where a draw is nan.

    Raises
    ------
    InputError
        If there are fewer than 2 axes, no chain, or fewer than 4 draws, or `threads` < 1.
    """
    array = np.asarray(draws)
    if array.ndim < 2 or array.shape[0] < 1 or array.shape[1] < _MIN_DRAWS:
        raise InputError(
            f"draws have shape {array.shape}: give an array (chains, draws, ...) with at least "
            f"one chain of {_MIN_DRAWS} draws."
        )
    if threads is not None and threads < 1:
        raise InputError(f"threads is {threads}: give at least 1.")
    columns = array.reshape(*array.shape[:2], -1)
    result = np.full(columns.shape[2], np.nan)

    def work(block: slice) -> None:
        values = np.ascontiguousarray(np.moveaxis(columns[:, :, block], 2, 0), dtype=float)
        known = ~np.isnan(values).any(axis=(1, 2))
        target = result[block]
        if known.all():
            target[:] = statistic(values)
        elif known.any():
            target[known] = statistic(values[known])

    with ThreadPoolExecutor(threads or _cores()) as pool:
        for _ in pool.map(work, _blocks(columns.shape)):
            pass
    return result.reshape(array.shape[2:])


def split_chains(block: FloatArray) -> FloatArray:
    """Cut every chain into halves: (..., C, S) to (..., 2C, S // 2), first halves first."""
    half = block.shape[-1] // 2
    return np.concatenate([block[..., :half], block[..., -half:]], axis=-2)


def _blocks(shape: tuple[int, ...]) -> Iterator[slice]:
    chains, draws, n_columns = shape
    step = max(1, _BLOCK // (chains * draws))
    for start in range(0, n_columns, step):
        yield slice(start, start + step)


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
