"""Named quantities of a Stan program and their columns in flat rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Variable:
    """A named quantity of a Stan program: its shape and its columns in a flat row.

    A row lists each variable column-major (first index fastest), as Stan does.
    """

    name: str
    shape: tuple[int, ...]
    start: int

    @property
    def size(self) -> int:
        """The number of scalars in it."""
        return int(np.prod(self.shape, dtype=int))

    def take(self, rows: FloatArray) -> FloatArray:
        """Return the variable, shape (..., *shape), from flat rows, shape (..., P)."""
        flat = rows[..., self.start : self.start + self.size]
        if len(self.shape) < 2:
            return flat.reshape(rows.shape[:-1] + self.shape)
        lead = rows.ndim - 1
        backwards = flat.reshape(rows.shape[:-1] + self.shape[::-1])
        axes = (*range(lead), *range(backwards.ndim - 1, lead - 1, -1))
        return backwards.transpose(axes)


def variables_of(flat_names: list[str]) -> tuple[Variable, ...]:
    """Group BridgeStan's flat names (``W.1.2``) into variables, in order."""
    sizes: dict[str, tuple[int, ...]] = {}
    starts: dict[str, int] = {}
    for column, flat_name in enumerate(flat_names):
        name, *indexes = flat_name.split(".")
        starts.setdefault(name, column)
        sizes[name] = tuple(int(i) for i in indexes)  # the last one is the largest
    return tuple(Variable(name, sizes[name], starts[name]) for name in sizes)
