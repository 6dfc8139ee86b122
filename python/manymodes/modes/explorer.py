"""Climbs and paths over a landscape, each of which is computed once.

What the record knows is not asked again; the rest is shared out among the processes that climb.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from types import TracebackType

import numpy as np

from manymodes.modes.climb_processes import CLIMB, DENSITY, RELAXED, STRAIGHT, ClimbProcesses
from manymodes.modes.climb_record import ClimbRecord
from manymodes.modes.landscape import LOWEST, PATH_NODES, Landscape
from manymodes.runtime.progress import format_seconds
from manymodes.types import FloatArray

Pair = tuple[FloatArray, FloatArray]
Told = Callable[[int, str], None]
"""Takes how many of several tasks are done, and how long the rest takes, in words."""

_AHEAD = 2  # paths that are relaxed at once, for each process
_LEAST_ROWS = 16  # that are worth a question
_MOST_NUMBERS = 1 << 16  # in one question
_KNOWN_AFTER = 1.0  # second: from then on the time left is estimated


class Explorer:
    """Climbs, straight lines and relaxed paths of one landscape.

    Parameters
    ----------
    landscape : Landscape
        What is explored.
    record : ClimbRecord, optional
        What is known of it, and gets what is found.
    workers : int, optional
        As `ClimbProcesses`.
    """

    def __init__(
        self,
        landscape: Landscape,
        record: ClimbRecord | None = None,
        workers: int | None = None,
    ) -> None:
        self.landscape = landscape
        self.record = record or ClimbRecord(landscape.posterior)
        self._processes = ClimbProcesses(landscape, workers)
        self.gradients = 0

    def __enter__(self) -> Explorer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._processes.__exit__(kind, error, trace)
        self.record.save()

    @property
    def at_once(self) -> int:
        """How many paths are relaxed at once."""
        return _AHEAD * self._processes.workers

    def climbs(self, eta: FloatArray, told: Told | None = None) -> tuple[FloatArray, FloatArray]:
        """Climb from unconstrained points, shape (n, D), to local maxima.

        A climb is one of a quasi-Newton method in the box of climbing coordinates; its first step
        is short, so that it does not jump over a barrier.

        Returns
        -------
        tuple of arrays of shapes (n, D) and (n,)
            The maxima in climbing coordinates, and their heights (nats).
        """
        record = self.record
        starts = {point.tobytes(): point for point in np.ascontiguousarray(eta, dtype=float)}
        new = [point for key, point in starts.items() if key not in record.climbs]
        clock = _Clock(len(new), told, len(eta) - len(new))

        def keep(place: int, answer: FloatArray) -> None:
            self.gradients += int(answer[1])
            record.keep_climb(new[place], answer[2:], float(answer[0]))
            clock.tick()

        self._ask(CLIMB, [self.landscape.coordinates(point) for point in new], keep)
        found = [record.climbs[point.tobytes()] for point in np.ascontiguousarray(eta, float)]
        ends = np.array([end for end, _ in found]).reshape(-1, self.landscape.posterior.dims)
        return ends, np.array([height for _, height in found])

    def straight_falls(self, pairs: Sequence[Pair], enough: float = np.inf) -> FloatArray:
        """Return how far the height falls below the lower end on straight lines (nats).

        A search stops once the fall exceeds ``enough``.
        """
        rows = [np.concatenate([[enough], *pair]) for pair in pairs]
        return self._by_row(STRAIGHT, np.array(rows))

    def relaxed_paths(
        self, tasks: Sequence[tuple[FloatArray, FloatArray, float]], told: Told | None = None
    ) -> list[tuple[float, FloatArray]]:
        """Relax paths from a to b uphill, each until the height falls by at most ``enough``.

        The string method (E, Ren, Vanden-Eijnden 2007).

        Parameters
        ----------
        tasks : sequence of tuples
            Two maxima in climbing coordinates, shape (D,), and how far a path may fall (nats).
        told : callable, optional
            Is told of the progress.

        Returns
        -------
        list of tuple
            How far the height falls below the lower end on the best path found (nats), and
            that path, shape (nodes, D).
        """
        keys = [np.concatenate([[enough], a, b]) for a, b, enough in tasks]
        asked = {key.tobytes(): key for key in keys if key.tobytes() not in self.record.paths}
        new = list(asked.values())
        clock = _Clock(len(new), told, len(tasks) - len(new))

        def keep(place: int, answer: FloatArray) -> None:
            path = answer[1:].reshape(PATH_NODES, -1)
            self.record.keep_path(new[place], float(answer[0]), path)
            clock.tick()

        self._ask(RELAXED, new, keep)
        return [self.record.paths[key.tobytes()] for key in keys]

    def levels(self, x: FloatArray) -> FloatArray:
        """Return the log likelihood against the base measure (nats) at points, shape (n, D).

        Nested sampling orders its points by it; with an exact base measure it is the height.
        """
        values = self._by_row(DENSITY, x)
        values = values - self.landscape.base.log_density(self.landscape.unconstrained(x))
        return np.where(np.isfinite(values), values, LOWEST)

    def pass_level(self, path: FloatArray) -> float:
        """Return the lowest level on a path, shape (nodes, D)."""
        return float(self.levels(path).min())

    def _by_row(self, kind: str, rows: FloatArray) -> FloatArray:
        """Ask for one number of each row, many rows in a question."""
        if not len(rows):
            return np.empty(0)
        share = max(_LEAST_ROWS, -(-len(rows) // self.at_once))
        each = max(1, min(_MOST_NUMBERS // rows.shape[1], share))
        parts = [rows[i : i + each] for i in range(0, len(rows), each)]
        found: list[FloatArray] = [np.empty(0)] * len(parts)
        self._ask(kind, [part.ravel() for part in parts], found.__setitem__)
        return np.concatenate(found)

    def _ask(
        self, kind: str, questions: Sequence[FloatArray], keep: Callable[[int, FloatArray], None]
    ) -> None:
        if not questions:
            return
        try:
            self._processes.ask(kind, questions, keep)
        except BaseException:
            self.record.save()  # what is found stays, whatever happened
            raise


def time_left(begun: float, done: int, rest: int) -> str:
    """Return how long the rest of some tasks takes, as ``, 14 s left``; empty if it is not known.

    Parameters
    ----------
    begun : float
        When they began, as `time.monotonic` gives it.
    done, rest : int
        How many are done and how many are left.
    """
    spent = time.monotonic() - begun
    if not done or spent < _KNOWN_AFTER:
        return ""
    return f", {format_seconds(spent / done * rest)} left"


class _Clock:
    """Tells how many tasks are done and how long the rest takes."""

    def __init__(self, asked: int, told: Told | None, known: int) -> None:
        self._asked, self._told, self._known = asked, told, known
        self._done = 0
        self._begun = 0.0
        if told is not None and known:
            told(known, "")

    def tick(self) -> None:
        """Count one more task as done."""
        self._done += 1
        if self._done == 1:
            self._begun = time.monotonic()  # processes take a while to start
        if self._told is None:
            return
        left = time_left(self._begun, self._done - 1, self._asked - self._done)
        self._told(self._known + self._done, left)
