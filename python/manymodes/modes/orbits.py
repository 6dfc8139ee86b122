"""The exact symmetries of a network's density, in climbing coordinates.

A maximum has a copy for each member of the group (`manymodes.density.network_moves`), and all are
maxima as high as it is. So copies need not be found by climbing, and a draw is compared with all
copies of the draws that climbed.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
from scipy.spatial import cKDTree

from manymodes.density.network_moves import Moves, exact_moves
from manymodes.modes.landscape import Landscape
from manymodes.types import FloatArray, IntArray

MOST_COPIES = 400
"""The largest group that is used: that of four tanh units has 384 members."""

_MOST_IMAGES = 20_000  # among which all are searched
_CANDIDATES = 8  # neighbours among folded points, all copies of which are looked at
_CHUNK = 50_000  # points at a time
_PROBES = 2
_EXACT = 1e-6  # of coordinates, and nats of a height for each nat of its size


class Orbits:
    """A group that acts on climbing coordinates and leaves heights as they are.

    Parameters
    ----------
    moves : Moves
        The members of the group; the first is the identity.
    centre : array of shape (D,)
        The point that all of them leave in place.
    """

    def __init__(self, moves: Moves, centre: FloatArray) -> None:
        self._moves = moves
        self._centre = centre

    @classmethod
    def of(cls, landscape: Landscape) -> Orbits:
        """Return the group of a landscape; the identity alone if no larger group is known."""
        dims = landscape.posterior.dims
        centre = landscape.coordinates(np.zeros(dims))
        moves = exact_moves(landscape.posterior, MOST_COPIES)
        if moves is not None and len(moves) > 1:
            found = cls(moves, centre)
            if found._holds(landscape):
                return found
        return cls.none(dims)

    @classmethod
    def none(cls, dims: int) -> Orbits:
        """Return the group of the identity alone."""
        return cls(Moves.none(dims), np.zeros(dims))

    @property
    def dims(self) -> int:
        """The number D of coordinates."""
        return len(self._centre)

    def _holds(self, landscape: Landscape) -> bool:
        """Whether climbing coordinates and heights go with the moves of unconstrained points."""
        rng = np.random.default_rng(0)
        for eta in rng.normal(scale=0.7, size=(_PROBES, self.dims)):
            images = self.images(landscape.coordinates(eta))
            expected = landscape.coordinates(self._moves.images(eta))
            if not np.allclose(images, expected, rtol=0, atol=_EXACT):
                return False
            heights = np.array([landscape.height(x) for x in images[:: max(1, len(self) // 8)]])
            if np.ptp(heights) > _EXACT * max(1.0, np.abs(heights).max()):
                return False
        return True

    def __len__(self) -> int:
        return len(self._moves)

    def images(self, x: FloatArray) -> FloatArray:
        """Return all copies of a point of shape (D,), shape (G, D)."""
        return self._centre + self._moves.images(x - self._centre)

    def undo(self, move: int, x: FloatArray) -> FloatArray:
        """Return the point that a move leads to x, shape (D,)."""
        return self._centre + self._moves.undo(move, x - self._centre)

    @cached_property
    def product(self) -> IntArray:
        """The move that does the second move and then the first, for each pair, shape (G, G)."""
        order, signs = self._moves.order, self._moves.signs
        number = {
            (o + s).tobytes(): k for k, (o, s) in enumerate(zip(order, signs / 4, strict=True))
        }
        table = np.empty((len(self), len(self)), dtype=np.intp)
        for first in range(len(self)):
            orders = order[:, order[first]]
            both = orders + signs[first] * signs[:, order[first]] / 4
            table[first] = [number[row.tobytes()] for row in both]
        return table

    @cached_property
    def inverse(self) -> IntArray:
        """The move that leads back, for each move, shape (G,)."""
        return np.asarray(np.argmin(self.product, axis=1))  # the identity is number 0

    # ------------------------------------------------------------------ nearest copies

    @cached_property
    def _directions(self) -> FloatArray:
        """For each move, what has the same product with a point as one direction with its image."""
        fixed = np.random.default_rng(1).normal(size=self.dims)
        found = np.empty(self._moves.signs.shape)
        np.put_along_axis(found, self._moves.order, self._moves.signs * fixed, axis=1)
        return found

    def _folded(self, x: FloatArray) -> tuple[FloatArray, IntArray]:
        """Return the copy of each point in one chamber, seen from the centre, and its move."""
        y = x - self._centre
        moves = np.empty(len(y), dtype=np.intp)
        for begin in range(0, len(y), _CHUNK):
            part = slice(begin, begin + _CHUNK)
            moves[part] = (y[part] @ self._directions.T).argmax(axis=1)
        signs, order = self._moves.signs[moves], self._moves.order[moves]
        return signs * np.take_along_axis(y, order, axis=1), moves

    def nearest(
        self, points: FloatArray, known: FloatArray, *, others: bool = False
    ) -> tuple[IntArray, IntArray]:
        """Return which known point has the nearest copy to each point, and the move to that copy.

        With very many copies all those of a few candidates are compared, which are near in one
        chamber of the group. Points near its walls may have a nearer one behind them.

        Parameters
        ----------
        points : array of shape (n, D)
            Climbing coordinates.
        known : array of shape (m, D)
            Those that are compared with them.
        others : bool
            The points are the known ones, and each is compared with the others.

        Returns
        -------
        tuple of int arrays of shape (n,)
            Numbers of known points, and moves.
        """
        if len(self) * len(known) <= _MOST_IMAGES:
            return self._nearest_image(points, known, others=others)
        more = 1 if others else 0
        there, their_moves = self._folded(known)
        here, own_moves = self._folded(points)
        size = min(_CANDIDATES + more, len(known))
        candidates = cKDTree(there).query(here, k=np.arange(1, size + 1), workers=-1)[1]
        best = np.full(len(points), -np.inf)
        which, move = np.zeros((2, len(points)), dtype=np.intp)
        length = (there**2).sum(axis=1)
        for one in range(len(known)):
            rows = np.flatnonzero((candidates == one).any(axis=1))
            if others:
                rows = rows[rows != one]
            closeness = here[rows] @ self._moves.images(there[one]).T  # (n', G)
            top = closeness.argmax(axis=1)
            value = closeness[np.arange(len(rows)), top] - 0.5 * length[one]
            better = value > best[rows]
            rows = rows[better]
            best[rows], which[rows], move[rows] = value[better], one, top[better]
        back = self.inverse[own_moves]
        return which, self.product[back, self.product[move, their_moves[which]]]

    def _nearest_image(
        self, points: FloatArray, known: FloatArray, *, others: bool
    ) -> tuple[IntArray, IntArray]:
        size = len(self)
        tree = cKDTree(np.concatenate([self.images(one) for one in known]))
        if not others:
            return np.divmod(tree.query(points, workers=-1)[1], size)
        found = tree.query(points, k=np.arange(1, size + 2), workers=-1)[1]
        another = found // size != np.arange(len(points))[:, None]  # own copies are no others
        return np.divmod(found[np.arange(len(points)), another.argmax(axis=1)], size)
