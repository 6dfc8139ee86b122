"""Where chains start, begin and end: which chains leave a basin, and for which other basin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from manymodes.modes.comparison import Comparison
from manymodes.types import BoolArray, IntArray


@dataclass(frozen=True, eq=False)
class Switching:
    """The modes that each chain passes through, as ids from 1; 0 if none is known.

    Attributes
    ----------
    started : int array of shape (C,)
        The mode that the chain's starting point climbs to; 0 where that holds no draw.
        Empty where the starts were not climbed.
    began, ended, main : int arrays of shape (C,)
        The modes of the first and the last draw after warm-up, and the mode that most draws
        lie in; 0 for a chain without draws.
    changes : int array of shape (C,)
        Changes of mode between neighbouring draws.
    left : bool array of shape (C,)
        Whether a draw lies outside the mode of the first one.
    transitions : int array of shape (M + 1, M + 1), M the largest id
        Pairs of neighbouring draws by the modes of the first and of the second; pairs in one mode
        are on the diagonal.
    """

    started: IntArray
    began: IntArray
    ended: IntArray
    main: IntArray
    changes: IntArray
    left: BoolArray
    transitions: IntArray

    @property
    def from_starts(self) -> IntArray:
        """Chains by the mode of their start (rows) and of their last draw, (M + 1, M + 1).

        All zero if the starts were not climbed.
        """
        return self._table(self.started, self.ended)

    @property
    def from_draws(self) -> IntArray:
        """Chains by the modes of their first draw (rows) and of their last, (M + 1, M + 1)."""
        return self._table(self.began, self.ended)

    def _table(self, first: IntArray, last: IntArray) -> IntArray:
        table = np.zeros_like(self.transitions)
        if first.size:
            drawn = last > 0
            np.add.at(table, (first[drawn], last[drawn]), 1)
        return table

    @property
    def moved_in_warmup(self) -> int:
        """How many chains with a known start had their first draw in another mode."""
        if not self.started.size:
            return 0
        known = (self.started > 0) & (self.began > 0)
        return int((self.started != self.began)[known].sum())

    def as_dict(self) -> dict[str, Any]:
        """Return the entry in ``summary.json``; tables as lists of [from, to, chains]."""
        drawn = self.began > 0
        entry: dict[str, Any] = {
            "left": int(self.left.sum()),
            "ended_elsewhere": int((self.began != self.ended)[drawn].sum()),
            "changes": int(self.changes.sum()),
            "from_first_draw": _entries(self.from_draws),
            "transitions": _entries(self.transitions - np.diag(np.diag(self.transitions))),
        }
        if self.started.size:
            entry["known_starts"] = int((self.started > 0).sum())
            entry["moved_in_warmup"] = self.moved_in_warmup
            entry["from_start"] = _entries(self.from_starts)
        return entry


def switching(comparison: Comparison) -> Switching:
    """Follow every chain of a comparison from mode to mode."""
    modes = comparison.chain_modes
    n_modes = int(comparison.labels.max())
    before, after = modes[:, :-1], modes[:, 1:]
    both = (before > 0) & (after > 0)
    pairs = before[both] * (n_modes + 1) + after[both]
    transitions = np.bincount(pairs, minlength=(n_modes + 1) ** 2)
    counts = np.stack([np.bincount(chain, minlength=n_modes + 1) for chain in modes])
    counts[:, 0] = 0
    places = np.arange(modes.shape[1])
    last = np.where(modes > 0, places, 0).max(axis=1)
    return Switching(
        started=comparison.start_modes,
        began=modes[:, 0],
        ended=modes[np.arange(len(modes)), last],
        main=np.where(counts.any(axis=1), counts.argmax(axis=1), 0),
        changes=np.asarray(((before != after) & both).sum(axis=1)),
        left=np.asarray(((modes != modes[:, :1]) & (modes > 0)).any(axis=1)),
        transitions=transitions.reshape(n_modes + 1, n_modes + 1),
    )


def _entries(table: IntArray) -> list[list[int]]:
    return [[int(i), int(j), int(table[i, j])] for i, j in np.argwhere(table > 0)]
