"""The numbers of modes and functions that stay the same from one command on a run to the next.

The first comparison numbers modes by weight. A later one knows them by their maxima: a mode keeps
its number, whatever its weight is by then, and a new one gets the next number that is free.
"""

from __future__ import annotations

import numpy as np

from manymodes.modes.climb_record import ClimbRecord, Known
from manymodes.modes.landscape import Landscape
from manymodes.modes.peaks import Atlas, Joined
from manymodes.types import FloatArray, IntArray

_MOST = 2000  # modes whose numbers are kept, those of the last comparison among them


def kept_numbers(known: Known, landscape: Landscape, atlas: Atlas, joined: Joined) -> IntArray:
    """Return the kept numbers of modes and of their functions, shape (2, M), 0 for new ones.

    Of several kept modes that are one by now the smallest number counts.
    """
    found = np.zeros((2, len(joined.heights)), dtype=np.intp)
    for place in np.argsort(-known.modes):
        peak = atlas.recognise(landscape.coordinates(known.peaks[place]))
        mode = -1 if peak is None else int(joined.mode_of_peak[peak])
        if mode >= 0:
            found[:, mode] = known.modes[place], known.functions[place]
    return found


def numbered(
    order: IntArray, functions: IntArray, by_weight: IntArray, kept: IntArray, known: Known
) -> tuple[IntArray, IntArray]:
    """Return the numbers of modes, and those of their functions, shape (M,) each.

    Parameters
    ----------
    order : int array of shape (M,)
        The modes by descending weight: new ones are numbered in this order.
    functions : int array of shape (M,)
        The function of each mode, by numbers from 0.
    by_weight : int array of shape (F,)
        The functions by descending weight: new ones are numbered in this order.
    kept : int array of shape (2, M)
        As `kept_numbers`.
    known : Known
        All modes that have numbers.
    """
    modes = _filled(kept[0], order, known.modes)
    # A function has the number of its mode that was known first; no two functions have the same.
    number = np.zeros(int(functions.max(initial=-1)) + 1, dtype=np.intp)
    taken: set[int] = set()
    for mode in np.argsort(modes).tolist():
        wanted = int(kept[1, mode])
        if wanted and not number[functions[mode]] and wanted not in taken:
            number[functions[mode]] = wanted
            taken.add(wanted)
    return modes, _filled(number, by_weight, known.functions)[functions]


def _filled(numbers: IntArray, order: IntArray, used: IntArray) -> IntArray:
    """Give the next free numbers to what has none, in an order."""
    filled = numbers.copy()
    new = order[filled[order] == 0]
    taken = np.union1d(used, filled)
    free = np.setdiff1d(np.arange(1, len(taken) + len(new) + 1), taken)
    filled[new] = free[: len(new)]
    return filled


def keep_numbers(
    record: ClimbRecord, peaks: FloatArray, modes: IntArray, functions: IntArray
) -> None:
    """Keep the numbers of the modes with some peaks; modes of earlier comparisons keep theirs.

    Where every climb ends elsewhere there are very many of these: the first ones stay.
    """
    known = record.known
    gone = np.flatnonzero(~np.isin(known.modes, modes))
    gone = gone[np.argsort(known.modes[gone])][: max(0, _MOST - len(modes))]
    record.keep_numbers(
        Known(
            np.concatenate([known.peaks[gone].reshape(-1, peaks.shape[1]), peaks]),
            np.concatenate([known.modes[gone], modes]),
            np.concatenate([known.functions[gone], functions]),
        )
    )
    record.save()
