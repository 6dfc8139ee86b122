"""The maxima of a landscape that climbs have reached, and the passes between them.

With few maxima every pair is looked at. A posterior of many parameters can have a maximum for
nearly every climb; then each is compared with its nearest neighbours alone, and only the most
promising paths are relaxed, so that the work grows with the number of maxima and not with its
square.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy.spatial import cKDTree

from manymodes.modes.landscape import LOWEST, Landscape, straight_path
from manymodes.types import FloatArray, IntArray

MAX_PAIRWISE = 40
"""Up to this many maxima, all pairs are looked at."""
_NEIGHBOURS = 10
_MAX_RELAXED = 200

_CLOSE = 1e-3
_HOPELESS = 30.0
_PARTNERS = 2


@dataclass(frozen=True)
class Joined:
    """Modes made of maxima.

    Attributes
    ----------
    mode_of_peak : int array
        The mode of each maximum, by the number that `Atlas.locate` gave.
    peaks : array of shape (M, D)
        Their highest maxima, in climbing coordinates, ordered by height.
    heights : array of shape (M,)
        The heights there (nats).
    passes : array of shape (M, M)
        The level of the highest pass known between two modes (nats), -1e10 where none was looked
        for; on the diagonal that of the peaks.
    """

    mode_of_peak: IntArray
    peaks: FloatArray
    heights: FloatArray
    passes: FloatArray


class Atlas:
    """The maxima that climbs have reached so far.

    Parameters
    ----------
    landscape : Landscape
        What is climbed.
    barrier : float
        Two maxima are one mode when a path falls at most this much below the lower (nats).
    """

    def __init__(self, landscape: Landscape, barrier: float) -> None:
        self._landscape = landscape
        self._barrier = barrier
        self.peaks: list[FloatArray] = []
        self._heights: list[float] = []

    def locate(self, eta: FloatArray) -> int:
        """Climb from a point; return the number of the maximum it belongs to.

        A climb that ends within a barrier of a known maximum belongs to that; a higher end
        becomes its new peak.
        """
        x, height = self._landscape.climb(eta)
        known = self._known(x)
        if known is None:
            return self._add(x, height)
        if height > self._heights[known]:
            self.peaks[known], self._heights[known] = x, height
        return known

    def recognise(self, eta: FloatArray) -> int | None:
        """Climb from a point; return the number of its maximum, None if that is not known."""
        return self._known(self._landscape.climb(eta)[0])

    def _known(self, x: FloatArray) -> int | None:
        """Return the number of a maximum within a barrier of x."""
        if not self.peaks:
            return None
        far = np.abs(np.array(self.peaks) - x).max(axis=1)
        nearest = np.argsort(far)
        if len(nearest) > MAX_PAIRWISE:
            nearest = nearest[:_NEIGHBOURS]
        for i in nearest:
            if far[i] < _CLOSE or self._is_one(self.peaks[i], x):
                return int(i)
        return None

    def _is_one(self, a: FloatArray, b: FloatArray) -> bool:
        limit = self._barrier
        return self._landscape.straight_barrier(a, b, enough=limit) <= limit

    def _add(self, x: FloatArray, height: float) -> int:
        self.peaks.append(x)
        self._heights.append(height)
        return len(self.peaks) - 1

    def join(self, *, passes: bool = True, between: bool = True) -> Joined:
        """Join maxima that a path connects, and find the passes between the others.

        What a path may fall short of is the lower one of the modes' peaks, as they are by then:
        a small maximum on the pass between two modes belongs to one of them and makes them no
        single mode. Straight paths are taken in the order of their passes, highest first.

        Parameters
        ----------
        passes : bool
            Find the levels of the peaks and of passes between them, which only nested sampling
            needs.
        between : bool
            Look for the passes. Over a base measure of several components none ever closes, so that
            there the levels of the peaks are enough.
        """
        group = list(range(len(self.peaks)))
        heights = self._heights

        def root(i: int) -> int:
            while group[i] != i:
                i = group[i]
            return i

        def room(i: int, j: int) -> float:
            """How far a path between two maxima may fall below the lower of them."""
            below = min(heights[root(i)], heights[root(j)]) - min(heights[i], heights[j])
            return self._barrier - below

        def unite(i: int, j: int) -> None:
            high, low = sorted((root(i), root(j)), key=lambda k: -heights[k])
            group[low] = high

        barriers = [
            (self._landscape.straight_barrier(self.peaks[i], self.peaks[j], _HOPELESS), i, j)
            for i, j in _neighbours(np.array(self.peaks))
        ]
        by_pass = sorted(barriers, key=lambda found: found[0] - min(heights[k] for k in found[1:]))
        for barrier, i, j in by_pass:
            if root(i) != root(j) and barrier <= room(i, j):
                unite(i, j)
        paths: list[tuple[int, int, FloatArray]] = []
        most = len(barriers) if len(self.peaks) <= MAX_PAIRWISE else _MAX_RELAXED
        for barrier, i, j in sorted(barriers):
            if root(i) == root(j) or barrier > _HOPELESS or room(i, j) < 0:
                continue
            if len(paths) == most:
                break
            barrier, path = self._landscape.relaxed_path(self.peaks[i], self.peaks[j], room(i, j))
            paths.append((i, j, path))
            if barrier <= room(i, j):
                unite(i, j)
        roots = sorted({root(i) for i in range(len(group))}, key=lambda k: -self._heights[k])
        number = {k: m for m, k in enumerate(roots)}
        mode_of_peak = np.array([number[root(i)] for i in range(len(group))], dtype=np.intp)
        peaks = np.array([self.peaks[k] for k in roots])
        levels = self._passes(peaks, mode_of_peak, paths, between) if passes else np.empty((0, 0))
        return Joined(mode_of_peak, peaks, np.array([self._heights[k] for k in roots]), levels)

    def _passes(
        self,
        peaks: FloatArray,
        mode_of_peak: IntArray,
        paths: list[tuple[int, int, FloatArray]],
        between: bool,
    ) -> FloatArray:
        passes = np.full((len(peaks), len(peaks)), LOWEST)
        np.fill_diagonal(passes, [self._landscape.level(peak) for peak in peaks])
        if not between:
            return passes
        for a, b in _neighbours(peaks):
            level = self._landscape.pass_level(straight_path(peaks[a], peaks[b]))
            passes[a, b] = passes[b, a] = level
        known = {
            (int(mode_of_peak[i]), int(mode_of_peak[j])): self._landscape.pass_level(path)
            for i, j, path in paths
        }
        if len(peaks) <= MAX_PAIRWISE:
            for a, b in _closest_pairs(passes, _PARTNERS):
                if (a, b) not in known and (b, a) not in known:
                    path = self._landscape.relaxed_path(peaks[a], peaks[b], 0.0)[1]
                    known[a, b] = self._landscape.pass_level(path)
        for (a, b), level in known.items():
            passes[a, b] = passes[b, a] = max(passes[a, b], level)
        return passes


def _neighbours(points: FloatArray) -> Iterator[tuple[int, int]]:
    """Yield the pairs of points to look at: all, or with many each with its nearest ones."""
    if len(points) <= MAX_PAIRWISE:
        yield from combinations(range(len(points)), 2)
        return
    nearest = cKDTree(points).query(points, k=_NEIGHBOURS + 1)[1]
    yield from sorted(
        {(min(i, j), max(i, j)) for i, row in enumerate(nearest.tolist()) for j in row if i != j}
    )


def _closest_pairs(passes: FloatArray, partners: int) -> set[tuple[int, int]]:
    """Return the pairs of each mode with those that it has the highest passes to."""
    pairs = set()
    for a, levels in enumerate(passes):
        for b in np.argsort(-levels)[: partners + 1].tolist():
            if a != b:
                pairs.add((min(a, b), max(a, b)))
    return pairs
