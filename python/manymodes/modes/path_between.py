"""The landscape between two modes: heights along the straight line and along a relaxed path."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from manymodes.errors import InputError
from manymodes.modes.climb_record import climb_record
from manymodes.modes.comparison import Comparison
from manymodes.modes.explorer import Explorer
from manymodes.modes.find import landscape_of
from manymodes.modes.landscape import Landscape, straight_path
from manymodes.types import FloatArray

_BETWEEN = 8  # points that are looked at on the way from one node of a path to the next


@dataclass(frozen=True, eq=False)
class Way:
    """Heights along a way from one mode to another.

    Attributes
    ----------
    along : array of shape (n,)
        How far each point is, as a share of the length in climbing coordinates.
    heights : array of shape (n,)
        The log density with respect to the prior there (nats).
    """

    along: FloatArray
    heights: FloatArray

    @property
    def fall(self) -> float:
        """How far the height falls below the lower end (nats)."""
        return float(max(0.0, min(self.heights[0], self.heights[-1]) - self.heights.min()))


@dataclass(frozen=True, eq=False)
class PathBetween:
    """Two ways between two modes.

    Attributes
    ----------
    first, second : int
        The modes' ids.
    straight, relaxed : Way
        The straight line in climbing coordinates, and the highest path that the string method
        finds; a better one may exist.
    over_prior : bool
        Whether heights are relative to the prior; otherwise they are log densities.
    """

    first: int
    second: int
    straight: Way
    relaxed: Way
    over_prior: bool


def path_between(
    comparison: Comparison,
    modes: tuple[int, int] | None = None,
    *,
    kept: Path | str | None = None,
    seed: int = 1,
    workers: int | None = None,
) -> PathBetween:
    """Return heights along ways between two modes.

    Parameters
    ----------
    comparison : Comparison
        Its modes.
    modes : tuple of two int, optional
        Their ids; by default the first mode and the first of another function or, if there is one
        function only, the next mode.
    kept : Path, optional
        The run directory: a path that was relaxed there is not relaxed again.
    seed : int
        The comparison's; it decides climbing coordinates that are fitted to draws.
    workers : int, optional
        As `manymodes.find_modes` takes it.

    Raises
    ------
    InputError
        There is no such mode, there are not two, or modes have no peaks.
    SamplingError
        A process that climbs fails.
    """
    first, second = _chosen(comparison, modes)
    place = {label: i for i, label in enumerate(comparison.labels.tolist())}
    peaks = comparison.modes.peaks[[place[first], place[second]]]
    if not np.isfinite(peaks).all():
        raise InputError(
            "modes: nearly every climb ended elsewhere, so that these modes have no peaks to go "
            "between"
        )
    posterior = comparison.posterior
    record = climb_record(posterior, kept)
    landscape = landscape_of(
        posterior, comparison.chains, comparison.nested, comparison.tempered, seed, record
    )
    a, b = landscape.coordinates(peaks)
    with Explorer(landscape, record, workers) as explorer:
        ((_, path),) = explorer.relaxed_paths([(a, b, 0.0)])
    return PathBetween(
        first,
        second,
        _way(landscape, straight_path(a, b)),
        _way(landscape, path),
        landscape.prior is not None,
    )


def _chosen(comparison: Comparison, modes: tuple[int, int] | None) -> tuple[int, int]:
    known = {mode.id: mode.function for mode in comparison.summaries}
    if modes is not None:
        wrong = [mode for mode in modes if mode not in known]
        if wrong:
            raise InputError(
                f"modes: there is no mode {wrong[0]}; there are {len(known)}, up to {max(known)}"
            )
        if modes[0] == modes[1]:
            raise InputError(f"modes: {modes[0]} is given twice; give two different modes")
        return modes
    if len(known) < 2:
        raise InputError("modes: there is one mode only, and a way needs two")
    ids = [mode.id for mode in (comparison.prominent or comparison.summaries)]
    ids += [mode for mode in known if mode not in ids]
    others = [mode for mode in ids[1:] if known[mode] != known[ids[0]]]
    return ids[0], (others or ids[1:])[0]


def _way(landscape: Landscape, nodes: FloatArray) -> Way:
    """Return the heights at nodes and between them."""
    share = np.arange(_BETWEEN) / _BETWEEN
    steps = nodes[:-1, None] + share[:, None] * (nodes[1:] - nodes[:-1])[:, None]
    points = np.concatenate([steps.reshape(-1, nodes.shape[1]), nodes[-1:]])
    lengths = np.linalg.norm(np.diff(points, axis=0), axis=1)
    along = np.concatenate([[0.0], np.cumsum(lengths)])
    return Way(along / along[-1], np.array([landscape.height(point) for point in points]))
