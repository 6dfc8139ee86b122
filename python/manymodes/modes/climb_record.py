"""What was found about a run's landscape, kept in its directory: climbs, paths, and modes' numbers.

The next command on the run looks here before it climbs. The file belongs to one posterior, one
frame of climbing coordinates and one version of the climbs; any other is left out, with a warning,
and replaced. It holds nothing that could not be computed again, except the numbers that modes were
given first.
"""

from __future__ import annotations

import json
import time
import warnings
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from manymodes.density.posterior import Posterior
from manymodes.errors import InputError, RecordWarning, ResultsError
from manymodes.modes.landscape import PATH_NODES
from manymodes.runtime.storage import leads_out, read_arrays, write_arrays
from manymodes.sampling.base_measures import Component
from manymodes.types import FloatArray, IntArray

RECORD = "climbs.npz"
"""The record's name in a run directory."""

_FORMAT = 1
"""Another number when climbs end elsewhere, or paths are relaxed in another way."""
_EVERY = 3.0  # seconds between two states of the file, at least
_SHARE = 20.0  # times the seconds that one takes to write
_ARRAYS = (
    "about", "location", "scale", "draws", "ends", "heights", "from", "to", "enough", "falls",
    "paths", "peaks", "numbers",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Known:
    """The modes that were given numbers, M' of them.

    Attributes
    ----------
    peaks : array of shape (M', D)
        Their peaks in the unconstrained space.
    modes, functions : int arrays of shape (M',)
        The numbers of each and of its function, from 1.
    """

    peaks: FloatArray
    modes: IntArray
    functions: IntArray


@dataclass(eq=False)
class ClimbRecord:
    """Climbs, paths and numbers, in memory and, with a path, in a file.

    Attributes
    ----------
    posterior : Posterior
        The posterior that is climbed.
    path : Path, optional
        The file; None keeps nothing beyond this object.
    frame : Component, optional
        Places and scales of the climbing coordinates, once they are fixed.
    climbs : dict
        The bits of an unconstrained point, and where its climb ended: climbing coordinates of shape
        (D,) and the height (nats).
    paths : dict
        The bits of how far a path may fall and of its ends, and the fall (nats) and the nodes of
        the path that was found, shape (nodes, D).
    known : Known
        The modes that have numbers.
    """

    posterior: Posterior
    path: Path | None = None
    frame: Component | None = None
    climbs: dict[bytes, tuple[FloatArray, float]] = field(default_factory=dict)
    paths: dict[bytes, tuple[float, FloatArray]] = field(default_factory=dict)
    known: Known = field(default=Known(np.empty((0, 0)), *np.empty((2, 0), dtype=np.intp)))
    _next: float = 0.0
    _changed: bool = False

    def __post_init__(self) -> None:
        """Read the file, if there is one that fits."""
        if self.path is None or not (self.path.exists() or self.path.is_symlink()):
            return
        try:
            if not self.path.is_file() or leads_out(self.path, self.path.parent):
                raise _ForeignError("it is no file of its folder")
            self._read(self.path)
        except (InputError, ResultsError, KeyError, TypeError, ValueError) as error:
            said = error if isinstance(error, _ForeignError) else "it is damaged"
            warnings.warn(
                f"{self.path} is left out: {said}; draws climb again, and modes are numbered anew",
                RecordWarning,
                stacklevel=3,
            )

    @property
    def _about(self) -> str:
        about = {"format": _FORMAT, **self.posterior.identity}
        return json.dumps(about, sort_keys=True)

    def fix(self, frame: Component) -> None:
        """Fix the frame of climbing coordinates."""
        self.frame = frame
        self._changed = True

    def keep_climb(self, start: FloatArray, end: FloatArray, height: float) -> None:
        """Keep where the climb from an unconstrained point ended."""
        self.climbs[start.tobytes()] = end, height
        self._note()

    def keep_path(self, key: FloatArray, fall: float, path: FloatArray) -> None:
        """Keep a path by how far it may fall and its two ends, one after the other."""
        self.paths[key.tobytes()] = fall, path
        self._note()

    def keep_numbers(self, known: Known) -> None:
        """Keep the numbers of modes, those that are not among the present ones too."""
        self.known = known
        self._changed = True

    def _note(self) -> None:
        self._changed = True
        if self._next == 0.0:
            self._next = time.monotonic() + _EVERY
        if time.monotonic() > self._next:
            self.save()

    def save(self) -> None:
        """Write the file, if it is not as this object is.

        Raises
        ------
        StorageError
            The disk is full or fails.
        """
        if self.path is None or not self._changed or self.frame is None:
            return
        begun = time.monotonic()
        dims = self.posterior.dims
        draws = b"".join(self.climbs)
        keys = np.frombuffer(b"".join(self.paths)).reshape(-1, 2 * dims + 1)
        nodes = [path for _, path in self.paths.values()]
        write_arrays(
            self.path,
            {
                "about": np.array(self._about),
                "families": np.array(self.frame.families),
                "location": self.frame.location,
                "scale": self.frame.scale.diagonal(),
                "draws": np.frombuffer(draws).reshape(-1, dims),
                "ends": np.array([end for end, _ in self.climbs.values()]).reshape(-1, dims),
                "heights": np.array([height for _, height in self.climbs.values()]),
                "from": keys[:, 1 : dims + 1],
                "to": keys[:, dims + 1 :],
                "enough": keys[:, 0],
                "falls": np.array([fall for fall, _ in self.paths.values()]),
                "paths": np.array(nodes).reshape(-1, PATH_NODES, dims),
                "peaks": self.known.peaks.reshape(-1, dims),
                "numbers": np.stack([self.known.modes, self.known.functions]),
            },
        )
        self._changed = False
        now = time.monotonic()
        self._next = now + max(_EVERY, _SHARE * (now - begun))

    def _read(self, path: Path) -> None:
        found = read_arrays(path, "families", *_ARRAYS)
        if str(found["about"]) != self._about:
            raise _ForeignError("it is of another posterior, or of another version of manymodes")
        dims = self.posterior.dims
        n, p, k = len(found["draws"]), len(found["falls"]), len(found["peaks"])
        shapes = {
            "families": (dims,), "location": (dims,), "scale": (dims,), "draws": (n, dims),
            "ends": (n, dims), "heights": (n,), "from": (p, dims), "to": (p, dims),
            "enough": (p,), "falls": (p,), "paths": (p, PATH_NODES, dims), "peaks": (k, dims),
            "numbers": (2, k),
        }  # fmt: skip
        for name, shape in shapes.items():
            whole = name == "families" or np.isfinite(found[name]).all()
            if found[name].shape != shape or not whole:
                raise ValueError(name)
        numbers = found["numbers"].astype(np.intp)
        if (numbers < 1).any() or len(np.unique(numbers[0])) != k:
            raise ValueError("numbers")
        families = tuple(map(str, found["families"]))
        self.frame = Component(families, found["location"], found["scale"])
        ends = zip(found["ends"], found["heights"].tolist(), strict=True)
        self.climbs = {d.tobytes(): end for d, end in zip(found["draws"], ends, strict=True)}
        keys = np.concatenate([found["enough"][:, None], found["from"], found["to"]], axis=1)
        outcomes = zip(found["falls"].tolist(), found["paths"], strict=True)
        self.paths = {k.tobytes(): one for k, one in zip(keys, outcomes, strict=True)}
        self.known = Known(found["peaks"], *numbers)


class _ForeignError(ValueError):
    """A record does not belong to the posterior."""


def climb_record(posterior: Posterior, kept: Path | str | ClimbRecord | None) -> ClimbRecord:
    """Return the record of a run directory; one in memory alone for None.

    Parameters
    ----------
    posterior : Posterior
        The posterior that is climbed.
    kept : path or ClimbRecord, optional
        The directory; a record is returned as it is.

    Raises
    ------
    InputError
        There is no such directory.

    Warns
    -----
    RecordWarning
        There is a record that cannot be used.
    """
    if kept is None or isinstance(kept, ClimbRecord):
        return kept or ClimbRecord(posterior)
    if not Path(kept).is_dir():
        raise InputError(f"kept: {kept} is not a folder: name the directory of a run")
    return ClimbRecord(posterior, Path(kept) / RECORD)
