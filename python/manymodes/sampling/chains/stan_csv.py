"""CmdStan's output files, whole or cut short."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from manymodes.errors import ResultsError
from manymodes.types import FloatArray

_STEP_SIZE = re.compile(r"# Step size = (\S+)")
_ELAPSED = re.compile(r"#.*?([\d.]+(?:e[+-]?\d+)?) seconds \(Total\)")
_METRIC_FOLLOWS = "# Diagonal elements of inverse mass matrix:"
_ADAPTED = "# Adaptation terminated"


@dataclass(frozen=True)
class StanCsv:
    """What one output file of CmdStan's sampler holds.

    Attributes
    ----------
    columns : tuple of str
        The names of all columns of the file; empty if not even they were written.
    draws : array of shape (S, K)
        The complete rows, in their first K columns.
    adapted : bool
        Whether adaptation had ended, that is whether sampling had begun.
    step_size : float or None
        After adaptation; None without one.
    inv_metric : array of shape (D,) or None
        The diagonal of the inverse metric after adaptation; None without one.
    seconds : float or None
        CmdStan's own time of warm-up and sampling; None in a file that was cut short.
    """

    columns: tuple[str, ...]
    draws: FloatArray
    adapted: bool
    step_size: float | None
    inv_metric: FloatArray | None
    seconds: float | None


def read_stan_csv(path: Path, keep: int) -> StanCsv:
    """Read an output file of CmdStan's sampler.

    A last line without an end is left out, so that the file of a chain that was stopped, or
    that is still running, can be read.

    Parameters
    ----------
    path : Path
        The file.
    keep : int
        How many columns to keep, from the left.

    Raises
    ------
    ResultsError
        The file cannot be read, or a line in it is not what CmdStan writes.
    """
    comments: list[str] = []
    header: list[str] = []

    def rows() -> Iterator[str]:
        with path.open(encoding="utf-8", errors="replace") as file:
            for line in file:
                if not line.endswith("\n"):
                    return
                if line.startswith("#"):
                    comments.append(line.rstrip("\n"))
                elif not header:
                    header.extend(line.strip().split(","))
                elif line.strip():
                    yield line

    try:
        values = [_numbers(line, keep) for line in rows()]
    except (OSError, ValueError) as error:
        raise ResultsError(f"{path} is not an output file of CmdStan: {error}") from error
    return StanCsv(
        tuple(header),
        np.array(values) if values else np.empty((0, keep)),
        _ADAPTED in comments,
        *_adaptation(comments),
        _last_number(_ELAPSED, comments),
    )


def _numbers(line: str, keep: int) -> FloatArray:
    """Return the first numbers of a row."""
    cells = line.split(",", keep)[:keep]
    if len(cells) < keep:
        raise ValueError(f"a row has {len(cells)} columns, {keep} are needed")
    return np.array(cells, dtype=float)


def _adaptation(comments: Sequence[str]) -> tuple[float | None, FloatArray | None]:
    """Return step size and inverse metric as the comments tell them."""
    metric = None
    if _METRIC_FOLLOWS in comments[:-1]:
        line = comments[comments.index(_METRIC_FOLLOWS) + 1]
        metric = np.array(line.lstrip("# ").split(","), dtype=float)
    return _last_number(_STEP_SIZE, comments), metric


def _last_number(pattern: re.Pattern[str], comments: Sequence[str]) -> float | None:
    """Return the number that the last matching comment gives."""
    for line in reversed(comments):
        found = pattern.match(line)
        if found:
            return float(found.group(1))
    return None
