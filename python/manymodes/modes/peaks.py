"""The maxima of a landscape that climbs have reached, and the passes between them.

With few maxima every pair is looked at. A posterior of many parameters can have a maximum for
nearly every climb; then each is compared with its nearest neighbours alone, and only the most
promising paths are relaxed, so that the work grows with the number of maxima and not with its
square.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Protocol

import numpy as np
from scipy.sparse import csgraph, csr_array
from scipy.spatial import cKDTree

from manymodes.modes.landscape import LOWEST, straight_path
from manymodes.modes.orbits import Orbits
from manymodes.types import FloatArray, IntArray

MAX_PAIRWISE = 40
"""Up to this many maxima, all pairs are looked at."""
_NEIGHBOURS = 10
_MAX_RELAXED = 200

_CLOSE = 1e-3
_HOPELESS = 30.0
_PARTNERS = 2
_LINES = 256  # whose points are held at once
_FIRST = 4  # straight lines to known maxima that are looked at together


class Terrain(Protocol):
    """What an atlas asks of a landscape; `Explorer` answers."""

    @property
    def at_once(self) -> int:
        """How many paths are relaxed at once."""

    def straight_falls(
        self, pairs: Sequence[tuple[FloatArray, FloatArray]], enough: float = np.inf
    ) -> FloatArray:
        """Return how far the height falls on straight lines (nats)."""

    def relaxed_paths(
        self, tasks: Sequence[tuple[FloatArray, FloatArray, float]]
    ) -> list[tuple[float, FloatArray]]:
        """Return the falls on relaxed paths (nats), and these paths."""

    def levels(self, x: FloatArray) -> FloatArray:
        """Return the levels of points (nats)."""

    def pass_level(self, path: FloatArray) -> float:
        """Return the lowest level on a path (nats)."""


@dataclass(frozen=True)
class Joined:
    """Modes made of maxima.

    Attributes
    ----------
    mode_of_peak : int array
        The mode of each maximum, by the number that `Atlas.place` gave.
    peaks : array of shape (M, D)
        Their highest maxima, in climbing coordinates, ordered by height.
    heights : array of shape (M,)
        The heights there (nats).
    kinds : int array of shape (M,)
        Modes that are copies of one another by the group have the same number.
    copies : int array of shape (M,)
        How many modes are copies of each, itself among them.
    paths : tuple
        The relaxed paths between maxima that were looked for: two numbers and nodes.
    """

    mode_of_peak: IntArray
    peaks: FloatArray
    heights: FloatArray
    kinds: IntArray
    copies: IntArray
    paths: tuple[tuple[int, int, FloatArray], ...] = ()

    def only(self, modes: IntArray) -> Joined:
        """Return some of the modes, by their numbers in ascending order; -1 for the others."""
        number = np.full(len(self.heights), -1, dtype=np.intp)
        number[modes] = np.arange(len(modes))
        return replace(
            self,
            mode_of_peak=number[self.mode_of_peak],
            peaks=self.peaks[modes],
            heights=self.heights[modes],
            copies=self.copies[modes],
            kinds=np.unique(self.kinds[modes], return_inverse=True)[1].astype(np.intp),
        )


class Atlas:
    """The maxima that climbs have reached so far, with all their copies by the group.

    Maximum number f of G copies each has the numbers f G to f G + G - 1, by the moves that lead
    to it.

    Parameters
    ----------
    terrain : Terrain
        What was climbed.
    barrier : float
        Two maxima are one mode when a path falls at most this much below the lower (nats).
    orbits : Orbits
        The group.
    """

    def __init__(self, terrain: Terrain, barrier: float, orbits: Orbits) -> None:
        self._terrain = terrain
        self._barrier = barrier
        self._orbits = orbits
        self._copies = np.empty((0, orbits.dims))  # with room for more
        self._heights: list[float] = []

    def __len__(self) -> int:
        """Return the number of maxima, without copies."""
        return len(self._heights)

    @property
    def peaks(self) -> FloatArray:
        """All maxima, shape (F G, D), in climbing coordinates."""
        return self._copies[: len(self._heights) * len(self._orbits)]

    def _height(self, number: int) -> float:
        return self._heights[number // len(self._orbits)]

    def place(self, x: FloatArray, height: float) -> int:
        """Take the end of a climb; return the number of the maximum it belongs to.

        An end within a barrier of a known maximum belongs to that; a higher end becomes its new
        peak.
        """
        known = self.recognise(x)
        if known is None:
            return self._add(x, height)
        if height > self._height(known):
            first, move = divmod(known, len(self._orbits))
            self._heights[first] = height
            self._put(known - move, self._orbits.undo(move, x))
        return known

    def _add(self, x: FloatArray, height: float) -> int:
        self._heights.append(height)
        first = (len(self) - 1) * len(self._orbits)
        self._put(first, x)
        return first

    def _put(self, first: int, x: FloatArray) -> None:
        end = first + len(self._orbits)
        if end > len(self._copies):
            room = np.empty((2 * end, x.size))
            room[:first] = self._copies[:first]
            self._copies = room
        self._copies[first:end] = self._orbits.images(x)

    def recognise(self, x: FloatArray) -> int | None:
        """Return the number of a maximum within a barrier of x, None if none is known."""
        if not self._heights:
            return None
        peaks = self.peaks
        far = np.abs(peaks - x).max(axis=1)
        if len(far) > MAX_PAIRWISE:
            some = np.argpartition(far, _NEIGHBOURS - 1)[:_NEIGHBOURS]
            nearest = some[np.argsort(far[some])]
        else:
            nearest = np.argsort(far)
        if far[nearest[0]] < _CLOSE:
            return int(nearest[0])
        for begin in range(0, len(nearest), _FIRST):
            some = nearest[begin : begin + _FIRST]
            falls = self._terrain.straight_falls([(peaks[i], x) for i in some], self._barrier)
            if (falls <= self._barrier).any():
                return int(some[np.argmax(falls <= self._barrier)])
        return None

    def join(self, told: Callable[[int, int], None] | None = None) -> Joined:
        """Join maxima that a path connects; ``told`` gets how many of at most how many are relaxed.

        What a path may fall short of is the lower one of the modes' peaks, as they are by then:
        a small maximum on the pass between two modes belongs to one of them and makes them no
        single mode. Straight paths are taken in the order of their passes, highest first. What
        holds of two maxima holds of all copies of them: one pair is looked at. Copies of one
        maximum are one mode only if a path between them says so itself.
        """
        peaks, size = self.peaks, len(self._orbits)
        group = list(range(len(peaks)))
        firsts = [{number // size} for number in group]  # the maxima in a mode, without copies
        members = [1] * len(group)  # and with them

        def root(i: int) -> int:
            while group[i] != i:
                group[i] = group[group[i]]
                i = group[i]
            return i

        def room(i: int, j: int) -> float:
            """How far a path between two maxima may fall below the lower of them."""
            tops = min(self._height(root(i)), self._height(root(j)))
            return self._barrier - (tops - min(self._height(i), self._height(j)))

        def apart(i: int, j: int) -> bool:
            """Whether two maxima are no mode yet, and do not lead from one copy to another.

            Over a plateau each of two maxima can be within a barrier of two copies of the other.
            """
            if root(i) == root(j):
                return False
            if i // size == j // size:
                return True
            one, other = root(i), root(j)
            alike = members[one] * len(firsts[other]) == members[other] * len(firsts[one])
            return alike and not firsts[one] & firsts[other]

        def unite(i: int, j: int) -> None:
            for a, b in zip(self._all_copies(i), self._all_copies(j), strict=True):
                if root(a) != root(b):
                    high, low = sorted((root(a), root(b)), key=lambda k: -self._height(k))
                    group[low] = high
                    firsts[high] |= firsts[low]
                    members[high] += members[low]

        pairs = self._pairs()
        falls = self._terrain.straight_falls([(peaks[i], peaks[j]) for i, j in pairs], _HOPELESS)
        barriers = [(fall, *pair) for fall, pair in zip(falls.tolist(), pairs, strict=True)]
        by_pass = sorted(
            barriers, key=lambda found: found[0] - min(self._height(k) for k in found[1:])
        )
        for barrier, i, j in by_pass:
            if apart(i, j) and barrier <= room(i, j):
                unite(i, j)
        paths: list[tuple[int, int, FloatArray]] = []
        most = len(barriers) if len(peaks) <= MAX_PAIRWISE else _MAX_RELAXED
        rest = [pair for barrier, *pair in sorted(barriers) if barrier <= _HOPELESS]
        ahead: dict[tuple[int, int, float], tuple[float, FloatArray]] = {}
        for done, (i, j) in enumerate(rest):
            if not apart(i, j) or room(i, j) < 0:
                continue
            if len(paths) == most:
                break
            if (i, j, room(i, j)) not in ahead:
                # Several at once; what unions change meanwhile is asked again.
                open_pairs = ((a, b) for a, b in rest[done:] if apart(a, b) and room(a, b) >= 0)
                some = list(islice(open_pairs, min(self._terrain.at_once, most - len(paths))))
                tasks = [(peaks[a], peaks[b], room(a, b)) for a, b in some]
                found = self._terrain.relaxed_paths(tasks)
                for (a, b), one in zip(some, found, strict=True):
                    ahead[a, b, room(a, b)] = one
            barrier, path = ahead[i, j, room(i, j)]
            paths.append((i, j, path))
            if told is not None:
                told(len(paths), min(most, len(paths) + len(rest) - done - 1))
            if barrier <= room(i, j):
                unite(i, j)
        root_of = np.array([root(i) for i in range(len(group))])
        roots = sorted(set(root_of.tolist()), key=lambda k: (-self._height(k), k))
        number = {k: m for m, k in enumerate(roots)}
        mode_of_peak = np.array([number[k] for k in root_of], dtype=np.intp)
        # A mode and its copies are those of one maximum; two of its maxima are of one kind.
        alike = csr_array(
            (np.ones(len(peaks)), (np.arange(len(peaks)) // size, mode_of_peak)),
            shape=(len(self), len(roots)),
        )
        kinds = csgraph.connected_components(alike.T @ alike, directed=False)[1].astype(np.intp)
        heights = np.array([self._height(k) for k in roots])
        copies = np.bincount(kinds)[kinds]
        return Joined(mode_of_peak, peaks[roots], heights, kinds, copies, tuple(paths))

    def _all_copies(self, number: int) -> list[int]:
        """Return the numbers of a maximum's copies by all moves, in the order of the moves."""
        first, move = divmod(number, len(self._orbits))
        copies: list[int] = self._orbits.product[:, move].tolist()
        return [first * len(self._orbits) + copy for copy in copies]

    def _pairs(self) -> list[tuple[int, int]]:
        """Return the pairs of maxima to look at, one of all its copies."""
        size = len(self._orbits)
        found = set()
        for i, j in _neighbours(self.peaks, firsts=range(0, len(self.peaks), size)):
            (a, g), (b, h) = divmod(i, size), divmod(j, size)
            if a > b:
                (a, g), (b, h) = (b, h), (a, g)
            move = int(self._orbits.product[self._orbits.inverse[g], h])
            if a == b:
                move = min(move, int(self._orbits.inverse[move]))
            found.add((a * size, b * size + move))
        return sorted(found)

    def passes(self, joined: Joined, *, between: bool = True) -> FloatArray:
        """Return the level of the highest pass known between two modes (nats), shape (M, M).

        It is -1e10 where none was looked for; on the diagonal are the levels of the peaks.

        Parameters
        ----------
        joined : Joined
            The modes.
        between : bool
            Look for the passes. Over a base measure of several components none ever closes, so that
            there the levels of the peaks are enough.
        """
        peaks = joined.peaks
        passes = np.full((len(peaks), len(peaks)), LOWEST)
        np.fill_diagonal(passes, self._terrain.levels(peaks))
        if not between:
            return passes
        pairs = list(_neighbours(peaks))
        for begin in range(0, len(pairs), _LINES):
            some = pairs[begin : begin + _LINES]
            nodes = np.concatenate([straight_path(peaks[a], peaks[b]) for a, b in some])
            levels = self._terrain.levels(nodes).reshape(len(some), -1).min(axis=1)
            for (a, b), level in zip(some, levels.tolist(), strict=True):
                passes[a, b] = passes[b, a] = level
        known = {}
        for i, j, path in joined.paths:
            level = self._terrain.pass_level(path)
            for one, other in zip(self._all_copies(i), self._all_copies(j), strict=True):
                a, b = joined.mode_of_peak[[one, other]].tolist()
                if min(a, b) >= 0:
                    known[a, b] = level
        if len(peaks) <= MAX_PAIRWISE:
            new = [
                (a, b)
                for a, b in sorted(_closest_pairs(passes, _PARTNERS))
                if (a, b) not in known and (b, a) not in known
            ]
            found = self._terrain.relaxed_paths([(peaks[a], peaks[b], 0.0) for a, b in new])
            for pair, (_, path) in zip(new, found, strict=True):
                known[pair] = self._terrain.pass_level(path)
        for (a, b), level in known.items():
            passes[a, b] = passes[b, a] = max(passes[a, b], level)
        return passes


def _neighbours(
    points: FloatArray, firsts: Sequence[int] | None = None
) -> Iterator[tuple[int, int]]:
    """Yield the pairs of points to look at: all, or with many each with its nearest ones.

    One of a pair is among ``firsts``, if these are given.
    """
    chosen = range(len(points)) if firsts is None else firsts
    if len(points) <= MAX_PAIRWISE:
        yield from sorted(
            {(min(i, j), max(i, j)) for i in chosen for j in range(len(points)) if i != j}
        )
        return
    nearest = cKDTree(points).query(points[chosen], k=_NEIGHBOURS + 1)[1]
    yield from sorted(
        {
            (min(i, j), max(i, j))
            for i, row in zip(chosen, nearest.tolist(), strict=True)
            for j in row
            if i != j
        }
    )


def _closest_pairs(passes: FloatArray, partners: int) -> set[tuple[int, int]]:
    """Return the pairs of each mode with those that it has the highest passes to."""
    pairs = set()
    for a, levels in enumerate(passes):
        for b in np.argsort(-levels)[: partners + 1].tolist():
            if a != b:
                pairs.add((min(a, b), max(a, b)))
    return pairs
