"""Named quantities of a Stan program and their columns in flat rows."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from manymodes.types import FloatArray

_INDEX = re.compile(r"\.(\d+)")


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


@dataclass(frozen=True)
class Part:
    """The numbers of a variable: all of them, or those at one place of its tuples.

    Attributes
    ----------
    name : str
        The variable's name; of a tuple, with its places (``t:2``); of a complex number, with
        its part (``z.real``).
    shape : tuple of int
        Sizes of all indexes together, those of arrays of tuples first.
    columns : tuple of int
        Columns in a flat row, the last index fastest.
    """

    name: str
    shape: tuple[int, ...]
    columns: tuple[int, ...]

    @property
    def is_real(self) -> bool:
        """Whether it is the whole of a variable of real numbers or integers."""
        return ":" not in self.name and "." not in self.name

    def take(self, rows: FloatArray) -> FloatArray:
        """Return the numbers, shape (..., *shape), from flat rows, shape (..., P)."""
        return rows[..., self.columns].reshape(rows.shape[:-1] + self.shape)


def variable_name(flat_name: str) -> str:
    """Return the name of the variable that a flat name (``W.1.2``, ``z.real``, ``t:1``) is of."""
    return re.split(r"[.:]", flat_name, maxsplit=1)[0]


def part_name(flat_name: str) -> str:
    """Return a flat name without its indexes: ``W.1.2`` is of ``W``, ``t.1:2.3`` of ``t:2``."""
    return _INDEX.sub("", flat_name)


def element_name(flat_name: str) -> str:
    """Return a flat name with its indexes in brackets: ``W[1,2]`` for ``W.1.2``."""
    return re.sub(r"(\.\d+)+", lambda found: f"[{found[0][1:].replace('.', ',')}]", flat_name)


def parts_of(flat_names: Iterable[str]) -> tuple[Part, ...]:
    """Group BridgeStan's flat names into the parts of variables, in order."""
    places: dict[str, dict[tuple[int, ...], int]] = {}
    for column, flat_name in enumerate(flat_names):
        indexes = tuple(int(index) for index in _INDEX.findall(flat_name))
        places.setdefault(part_name(flat_name), {})[indexes] = column
    return tuple(
        Part(name, max(found), tuple(found[indexes] for indexes in sorted(found)))
        for name, found in places.items()
    )


def variables_of(flat_names: Sequence[str]) -> tuple[Variable, ...]:
    """Group BridgeStan's flat names (``W.1.2``) into variables, in order.

    Complex numbers and tuples are left out; `left_out` names them.
    """
    parts = [part for part in parts_of(flat_names) if part.is_real]
    return tuple(Variable(part.name, part.shape, min(part.columns)) for part in parts)


def left_out(flat_names: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the variables that `variables_of` leaves out, in order."""
    parts = parts_of(flat_names)
    return tuple(dict.fromkeys(variable_name(part.name) for part in parts if not part.is_real))


def as_json(flat_names: Sequence[str], row: FloatArray) -> dict[str, Any]:
    """Return the values of a flat row, shape (P,), as Stan's JSON has them.

    Complex numbers are pairs, tuples are objects whose keys are the places from 1 on.
    """
    values: dict[str, Any] = {}
    for flat_name, value in zip(flat_names, row.tolist(), strict=True):
        _put(values, re.findall(r"^\w+|\.\d+|:\d+|\.real|\.imag", flat_name), value)
    return {name: _finished(value) for name, value in values.items()}


def _put(values: dict[str, Any], steps: list[str], value: float) -> None:
    """Put a value at its place in nested dictionaries."""
    *way, last = steps
    for step in way:
        values = values.setdefault(step, {})
    values[last] = value


def _finished(value: Any) -> Any:
    """Turn dictionaries of indexes and of parts into lists, those of places into objects."""
    if not isinstance(value, dict):
        return value
    kind = next(iter(value))
    if kind.startswith(":"):
        return {place[1:]: _finished(inner) for place, inner in value.items()}
    if kind == ".real" or kind == ".imag":
        return [value[".real"], value[".imag"]]
    ordered = sorted(value, key=lambda index: int(index[1:]))
    return [_finished(value[index]) for index in ordered]
