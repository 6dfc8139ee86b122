"""CmdStan's output files of any interface: whole, cut short, with warm-up, thinned."""

from __future__ import annotations

import io
import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from manymodes.errors import InputError
from manymodes.sampling.adoption.foreign import Foreign, Wanted
from manymodes.sampling.adoption.written import written
from manymodes.sampling.chains.cmdstan_nuts import STATS as THEIR_STATS
from manymodes.types import FloatArray

_SETTING = re.compile(r"#\s*(\w+) = (.*?)(?: \(Default\))?\s*")
_STEP_SIZE = re.compile(r"# Step size = (\S+)")
_ELAPSED = re.compile(r"#.*?([\d.]+(?:e[+-]?\d+)?) seconds \(Total\)")
_ADAPTED = "# Adaptation terminated"
_DIAGONAL = "# Diagonal elements of inverse mass matrix:"
_DENSE = "# Elements of inverse mass matrix:"
_METHODS = {
    "optimize": "an optimisation",
    "variational": "variational inference",
    "pathfinder": "Pathfinder",
    "laplace": "Laplace's approximation",
    "diagnose": "a test of gradients",
    "generate_quantities": "generated quantities alone",
    "log_prob": "log densities alone",
}
_SAMPLER = "accept_stat__"
_LP = "lp__"


@dataclass(frozen=True)
class _Text:
    """The lines of a file.

    Attributes
    ----------
    comments : list of str
        Lines that begin with ``#``.
    header : list of str
        The names of the columns.
    rows : list of bytes
        The complete lines of numbers.
    numbers : list of int
        The number of each of these lines in the file, from 1.
    warmup : int or None
        How many of them precede the end of adaptation; None if that is not in the file.
    """

    comments: list[str]
    header: list[str]
    rows: list[bytes]
    numbers: list[int]
    warmup: int | None


def is_chain(path: Path) -> bool:
    """Whether the columns of a file are those of a sampler of Stan."""
    try:
        with path.open("rb") as file:
            for line in file:
                if line.strip() and not line.startswith(b"#"):
                    return line.startswith(b"lp__,")
    except OSError:
        return False
    return False


def max_treedepth(path: Path) -> int | None:
    """Return the largest tree depth that the head of a file gives; None without one."""
    comments = []
    try:
        with path.open("rb") as file:
            for line in file:
                if not line.startswith(b"#"):
                    break
                comments.append(line.decode("utf-8", errors="replace").rstrip("\r\n"))
    except OSError:
        return None
    return _whole(_settings(comments).get("max_depth")) or None


def read_cmdstan_csv(path: Path, wanted: Wanted) -> Foreign:
    """Read the draws after warm-up of a chain.

    A last line without an end is left out, as in the file of a job that was killed.

    Parameters
    ----------
    path : Path
        The file.
    wanted : Wanted
        What is read of it.

    Raises
    ------
    InputError
        It cannot be read, is not of a sampler, has a line that is not one of numbers, or lacks
        what is wanted.
    """
    where = str(path)
    text = _lines(path)
    said = _settings(text.comments)
    _check_method(where, text, said)
    origin = _origin(said)
    try:
        places = wanted.places(text.header, where)
    except InputError as error:
        raise InputError(f"{error}{origin}") from None
    warmup = _warmup_rows(text, said)
    rows, lines = text.rows[warmup:], text.numbers[warmup:]
    _check_widths(where, rows, lines, len(text.header))
    at = {name: place for place, name in enumerate(text.header)}
    stats = {name: at[theirs] for theirs, name in THEIR_STATS.items() if theirs in at}
    of_log_lik = wanted.log_lik_places(text.header)
    values = _numbers(where, rows, lines, [*places, *stats.values(), *of_log_lik])
    split = len(places), len(places) + len(stats)
    parameters, found, log_lik = np.split(values, split, axis=1)
    return Foreign(
        where,
        np.ascontiguousarray(parameters),
        written(parameters),
        dict(zip(stats, found.T, strict=True)),
        np.ascontiguousarray(log_lik) if of_log_lik else None,
        step_size=_last(_STEP_SIZE, text.comments),
        seconds=_last(_ELAPSED, text.comments),
        inv_metric=_inv_metric(text.comments),
        origin=origin,
        expected=_expected(said),
    )


def _lines(path: Path) -> _Text:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from error
    comments: list[str] = []
    header: list[str] = []
    rows: list[bytes] = []
    numbers: list[int] = []
    warmup = None
    lines = content.split(b"\n")
    del content
    for number, line in enumerate(lines[:-1], 1):  # the last one has no end, or is empty
        if line.startswith(b"#"):
            comments.append(line.decode("utf-8", errors="replace").rstrip("\r"))
            if comments[-1] == _ADAPTED:
                warmup = len(rows)
        elif not line.strip():
            continue
        elif not header:
            header = line.decode("utf-8", errors="replace").strip().split(",")
        elif line.startswith(b"lp__,"):
            raise InputError(
                f"{path}, line {number}: a second header: the file holds several chains; give "
                "one file for each"
            )
        else:
            rows.append(line)
            numbers.append(number)
    return _Text(comments, header, rows, numbers, warmup)


def _settings(comments: Sequence[str]) -> dict[str, str]:
    """Return the settings that the comments give; of those with one name, the first."""
    found: dict[str, str] = {}
    for comment in comments:
        match = _SETTING.fullmatch(comment)
        if match:
            found.setdefault(match[1], match[2].strip())
    data = [
        comments[i + 1]
        for i, comment in enumerate(comments[:-1])
        if comment.rstrip() == "# data" and "file =" in comments[i + 1]
    ]
    if data:
        found["data file"] = data[0].partition("=")[2].removesuffix("(Default)").strip()
    return found


def _origin(said: dict[str, str]) -> str:
    """Return what the header says of model and data, to follow a message."""
    parts = []
    if said.get("model"):
        parts.append(f"the model {said['model']}")
    if said.get("data file"):
        parts.append(f"the data {Path(said['data file']).name}")
    return f"; its header names {' and '.join(parts)}" if parts else ""


def _check_method(where: str, text: _Text, said: dict[str, str]) -> None:
    """Refuse files of other methods, and files that are not CmdStan's.

    Raises
    ------
    InputError
        The message says what the file holds.
    """
    method = said.get("method", "sample")
    if method in _METHODS:
        raise InputError(
            f"{where}: holds the result of {_METHODS[method]} (method = {method}), not chains of "
            "a sampler"
        )
    if said.get("algorithm") == "fixed_param":
        raise InputError(
            f"{where}: was made with algorithm = fixed_param, which does not sample the posterior"
        )
    if not text.header:
        raise InputError(f"{where}: has no header and no draws; leave it out")
    if text.header[0] != _LP:
        raise InputError(
            f"{where}: is not an output file of CmdStan's sampler: its first column is "
            f"{text.header[0][:40]!r}, not {_LP}"
        )
    if _SAMPLER not in text.header:
        raise InputError(
            f"{where}: has no column {_SAMPLER}: it is not of a sampler, but of an optimisation or "
            "an approximation"
        )
    counted = Counter(text.header)
    twice = [name for name, times in counted.items() if times > 1]
    if twice:
        raise InputError(f"{where}: has two columns of the name {twice[0]}")


def _warmup_rows(text: _Text, said: dict[str, str]) -> int:
    """Return how many of the rows are draws of warm-up."""
    if text.warmup is not None:
        return text.warmup
    if said.get("save_warmup", "0") not in {"1", "true"}:
        return 0
    thin = max(1, _whole(said.get("thin")) or 1)
    return math.ceil((_whole(said.get("num_warmup")) or 0) / thin)


def _expected(said: dict[str, str]) -> int | None:
    """Return how many draws a whole file has."""
    total = _whole(said.get("num_samples"))
    thin = max(1, _whole(said.get("thin")) or 1)
    return None if total is None else math.ceil(total / thin)


def _check_widths(where: str, rows: Sequence[bytes], lines: Sequence[int], columns: int) -> None:
    for row, line in zip(rows, lines, strict=True):
        if row.count(b",") != columns - 1:
            raise InputError(
                f"{where}, line {line}: has {row.count(b',') + 1} numbers, and the header names "
                f"{columns}: the file is damaged"
            )


def _numbers(
    where: str, rows: list[bytes], lines: Sequence[int], columns: Sequence[int]
) -> FloatArray:
    """Return some columns of rows, shape (S, K)."""
    if not rows:
        return np.empty((0, len(columns)))
    ordered = sorted(set(columns))
    try:
        frame = pd.read_csv(
            io.BytesIO(b"\n".join(rows)),
            header=None,
            usecols=ordered,
            dtype=float,
            engine="c",
            float_precision="round_trip",
            skip_blank_lines=False,
        )
    except (ValueError, OverflowError) as error:
        raise InputError(
            f"{where}{_not_numbers(rows, lines, ordered)} is damaged: {error}"
        ) from error
    values = frame.to_numpy()
    return np.asarray(values[:, np.searchsorted(ordered, columns)])


def _not_numbers(rows: Sequence[bytes], lines: Sequence[int], columns: Sequence[int]) -> str:
    """Return the place of the first row with something that is no number, to follow a name."""
    for row, line in zip(rows, lines, strict=True):
        cells = row.split(b",")
        try:
            [float(cells[column]) for column in columns]
        except ValueError:
            return f", line {line},"
    return ""


def _inv_metric(comments: Sequence[str]) -> FloatArray | None:
    """Return the diagonal of the inverse metric; None if it is not told in full."""
    for head, dense in ((_DIAGONAL, False), (_DENSE, True)):
        if head not in comments:
            continue
        begin = comments.index(head) + 1
        try:
            first = np.array(comments[begin].lstrip("# ").split(","), dtype=float)
            if not dense:
                return first
            lines = [comments[begin + i].lstrip("# ").split(",") for i in range(len(first))]
            return np.array([float(line[i]) for i, line in enumerate(lines)])
        except (ValueError, IndexError):
            return None
    return None


def _last(pattern: re.Pattern[str], comments: Sequence[str]) -> float:
    for line in reversed(comments):
        found = pattern.match(line)
        if found:
            try:
                return float(found[1])
            except ValueError:
                break
    return float("nan")


def _whole(text: str | None) -> int | None:
    return int(text) if text is not None and text.isascii() and text.isdigit() else None
