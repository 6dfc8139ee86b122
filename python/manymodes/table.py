"""A table of data on disk, turned into the inputs and targets of a network."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from manymodes.errors import InputError

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Scaling:
    """The shift and scale that made columns have mean 0 and standard deviation 1."""

    mean: float = 0.0
    sd: float = 1.0

    @classmethod
    def of(cls, name: str, values: FloatArray) -> Scaling:
        """Return the scaling of a column; raise `InputError` if it is constant."""
        sd = float(values.std())
        if sd == 0:
            raise InputError(
                f"column '{name}' is constant ({values[0]:g}) and cannot be standardised: "
                "leave it out or use --no-standardise"
            )
        return cls(float(values.mean()), sd)

    def apply(self, values: FloatArray) -> FloatArray:
        """Return the standardised values."""
        return (values - self.mean) / self.sd


@dataclass(frozen=True)
class Table:
    """Inputs X, shape (N, M), targets y, shape (N,), and how they were made.

    Attributes
    ----------
    X, y : arrays
        Inputs and targets; classes are 0 to C - 1.
    columns : tuple of str
        The names of the inputs.
    target : str
        The name of the target.
    classes : tuple of str
        The names of the classes, for a categorical target.
    scaling : dict
        The scaling of each standardised column.
    """

    X: FloatArray
    y: FloatArray
    columns: tuple[str, ...]
    target: str
    classes: tuple[str, ...] = ()
    scaling: dict[str, Scaling] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return what is needed to treat another table alike."""
        return {
            "columns": list(self.columns),
            "target": self.target,
            "classes": list(self.classes),
            "scaling": {name: {"mean": s.mean, "sd": s.sd} for name, s in self.scaling.items()},
        }


def read_table(path: Path, target: str, likelihood: str, *, standardise: bool = True) -> Table:
    """Read a CSV file with a header, the target in one column and the inputs in the others.

    Parameters
    ----------
    path : Path
        The file.
    target : str
        The column with the target.
    likelihood : {"bernoulli", "categorical", "normal"}
        What the target is: 0 or 1, names of classes, or a number.
    standardise : bool
        Standardise the inputs, and a normal target.

    Raises
    ------
    InputError
        The file, a column or a value is not as it must be; the message names it.
    """
    frame = _read_csv(path)
    if target not in frame.columns:
        raise InputError(
            f"{path}: no column '{target}' (--target); the columns are {', '.join(frame.columns)}"
        )
    inputs = frame.drop(columns=target)
    if inputs.shape[1] == 0:
        raise InputError(f"{path}: no column besides the target '{target}'")
    _refuse_missing(path, frame)
    X = np.column_stack([_numbers(path, inputs[name]) for name in inputs.columns])
    classes: tuple[str, ...] = ()
    if likelihood == "categorical":
        codes, names = pd.factorize(frame[target].astype(str), sort=True)
        y, classes = codes.astype(float), tuple(map(str, names))
    else:
        y = _numbers(path, frame[target])
    scaling: dict[str, Scaling] = {}
    if standardise:
        for i, name in enumerate(inputs.columns):
            scaling[name] = Scaling.of(name, X[:, i])
            X[:, i] = scaling[name].apply(X[:, i])
        if likelihood == "normal":
            scaling[target] = Scaling.of(target, y)
            y = scaling[target].apply(y)
    return Table(X, y, tuple(inputs.columns), target, classes, scaling)


def _read_csv(path: Path) -> pd.DataFrame:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            frame = pd.read_csv(path, index_col=False)  # no column holds the rows' names
    except FileNotFoundError:
        raise InputError(f"{path}: no such table") from None
    except pd.errors.ParserWarning:
        raise InputError(f"{path}: a row has more values than the header has names") from None
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path}: not a CSV table with a header: {reason}") from error
    if frame.empty:
        raise InputError(f"{path}: the table has no rows")
    return frame.rename(columns=str)


def _refuse_missing(path: Path, frame: pd.DataFrame) -> None:
    missing = frame.isna()
    if missing.to_numpy().any():
        column = next(name for name in frame.columns if missing[name].any())
        lines = (np.flatnonzero(missing[column]) + 2).tolist()
        shown = ", ".join(map(str, lines[:5])) + (" ..." if len(lines) > 5 else "")
        raise InputError(
            f"{path}: column '{column}' has missing values (NaN) in line {shown}: "
            "fill them in or remove those rows"
        )


def _numbers(path: Path, column: pd.Series[Any]) -> FloatArray:
    try:
        values = column.to_numpy(dtype=float)
    except (TypeError, ValueError):
        text = pd.to_numeric(column, errors="coerce").isna()
        line = int(np.argmax(text)) + 2
        raise InputError(
            f"{path}: column '{column.name}' has '{column[line - 2]}' in line {line}, "
            "which is not a number"
        ) from None
    if not np.isfinite(values).all():
        line = int(np.argmin(np.isfinite(values))) + 2
        raise InputError(f"{path}: column '{column.name}' is infinite in line {line}")
    return np.asarray(values)
