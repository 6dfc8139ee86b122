"""The modes of a posterior, and the one that each draw belongs to."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from manymodes.runtime.shown import Shown
from manymodes.types import BoolArray, FloatArray, IntArray


@dataclass(frozen=True, repr=False)
class Modes(Shown):
    """The modes of one posterior, numbered from 0 here and ordered by their height.

    Attributes
    ----------
    peaks : array of shape (M, D)
        The maxima in the unconstrained space.
    heights : array of shape (M,)
        The log of posterior over prior there (nats).
    chains : int array of shape (C, S)
        The mode of each draw of the chains, -1 if a chain that was cut short has no such draw;
        empty without chains.
    starts : int array of shape (C,)
        The mode that each chain's starting point climbs to, -1 if that mode holds no draws; empty
        without chains, or with so many that not all were climbed.
    nested : int array of shape (n,)
        The mode of each merged point of the nested runs; empty without them.
    tempered : int array of shape (m,)
        The mode of each draw of the tempered runs; empty without them.
    reached_by_run : bool array of shape (M, R)
        Whether each nested run has a point above the median level of the draws that another engine
        has in the mode, came near enough to the peak to hold the mode's typical set, or left
        little of the mode's evidence above its last point; if it did none of these, its points
        say nothing about the mode's evidence.
    functions : int array of shape (M,)
        The function that each mode belongs to, numbered by its highest mode.
    disagreement : float
        Share of climbed draws whose nearest climbed neighbour lies in another mode, each
        counted with its posterior weight within its engine.
    climbs : int
        How many draws climbed. Zero where functions were found in function space instead, because
        nearly every climb ends at a maximum of its own: then each mode here is a function, which
        has no peak and no height (NaN).
    passes : array of shape (M, M)
        The level (log likelihood against the base measure, nats) of the highest pass known
        between two modes, a lower bound, because a better path may exist (-1e10 if none was
        searched); the diagonal has the levels of the peaks. Empty without nested runs.
    kinds, copies : int arrays of shape (M,)
        Modes that are copies of one another by a network's group have one kind, and there are so
        many of them, of which some may hold no draw and are not among the modes. They have the
        same evidence.
    climbed_kinds : int array of shape (2, n)
        Of the tempered draws that climbed, the kind of their own maximum and that of their nearest
        neighbour that climbed: what the labels of all other draws are worth.
    runaway : int array of shape (M, D)
        -1 or 1 if the climb to a peak went down or up an unconstrained coordinate to the end
        of the searched box, so that there is no maximum in it; 0 otherwise.
    kept_numbers : int array of shape (2, M)
        The numbers of each mode and of its function that an earlier comparison in the same run
        directory gave them, 0 where there is none.

    Examples
    --------
    >>> # comparison: what chains and nested runs of the noisy-XOR posterior found
    >>> modes = comparison.modes
    >>> modes.peaks.shape == (modes.n_modes, 9), bool(modes.heights[0] == modes.heights.max())
    (True, True)
    """

    peaks: FloatArray
    heights: FloatArray
    chains: IntArray
    starts: IntArray
    nested: IntArray
    reached_by_run: BoolArray
    functions: IntArray
    disagreement: float
    climbs: int
    tempered: IntArray = field(default_factory=lambda: np.empty(0, dtype=np.intp))
    passes: FloatArray = field(default_factory=lambda: np.empty((0, 0)))
    runaway: IntArray = field(default_factory=lambda: np.empty((0, 0), dtype=np.intp))
    kinds: IntArray = field(default_factory=lambda: np.empty(0, dtype=np.intp))
    copies: IntArray = field(default_factory=lambda: np.empty(0, dtype=np.intp))
    climbed_kinds: IntArray = field(default_factory=lambda: np.empty((2, 0), dtype=np.intp))
    kept_numbers: IntArray = field(default_factory=lambda: np.empty((2, 0), dtype=np.intp))

    def _headline(self) -> str:
        functions = len(np.unique(self.functions))
        return f"Modes: {self.n_modes} modes of {functions} functions, from {self.climbs} climbs"

    def __post_init__(self) -> None:
        """Without a group each mode is of its own kind, and without a record it has no number."""
        if not self.kept_numbers.size:
            object.__setattr__(self, "kept_numbers", np.zeros((2, self.n_modes), dtype=np.intp))
        if not len(self.kinds):
            object.__setattr__(self, "kinds", np.arange(self.n_modes))
            object.__setattr__(self, "copies", np.ones(self.n_modes, dtype=np.intp))

    @property
    def are_functions(self) -> bool:
        """Whether these are functions, found in function space without a climb."""
        return not self.climbs

    @property
    def noun(self) -> str:
        """What each of these is called."""
        return "function" if self.are_functions else "mode"

    @property
    def n_modes(self) -> int:
        """The number M of modes found."""
        return len(self.heights)

    @property
    def reached(self) -> BoolArray:
        """Whether any nested run reached each mode, shape (M,)."""
        return np.asarray(self.reached_by_run.any(axis=1))
