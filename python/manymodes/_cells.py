"""The cells of a column as numbers, as true and false, or as names; each complaint says where."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from pandas.api import types

from manymodes.errors import InputError
from manymodes.frames import Frame

FloatArray = npt.NDArray[np.float64]

_WHOLE = re.compile(r"[+-]?\d+")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_INFINITE = re.compile(r"[+-]?inf(inity)?", re.IGNORECASE)
_TRUTH = {"true": "True", "false": "False"}


def refuse_missing(frame: Frame, names: Iterable[str]) -> None:
    """Raise `InputError` if a cell of the named columns is missing, saying in which rows."""
    missing = [name for name in names if frame.data[name].isna().any()]
    if missing:
        rows = frame.data[missing[0]].isna().to_numpy()
        more = f" (and so have {', '.join(missing[1:])})" if missing[1:] else ""
        raise InputError(
            f"{frame.name}: column '{missing[0]}' has missing values (NaN) in "
            f"{frame.where(rows)}{more}: fill them in or remove those rows"
        )


def is_boolean(frame: Frame, name: str) -> bool:
    """Whether a column holds nothing but true and false."""
    column = frame.data[name]
    if types.is_bool_dtype(column):
        return True
    if not _is_text(column):
        return False
    return all(str(value).lower() in _TRUTH for value in column)


def numbers(frame: Frame, name: str, hint: str = "") -> FloatArray:
    """Return a column as finite numbers, shape (N,).

    Parameters
    ----------
    frame : Frame
        The table.
    name : str
        The column.
    hint : str
        What the user can do about text.

    Raises
    ------
    InputError
        A value is no number, or infinite.
    """
    column = frame.data[name]
    if types.is_complex_dtype(column) or not (_is_text(column) or types.is_numeric_dtype(column)):
        dates = types.is_datetime64_any_dtype(column) or types.is_timedelta64_dtype(column)
        what = "dates or times" if dates else str(column.dtype)
        raise InputError(f"{frame.name}: column '{name}' holds {what}, which are not numbers{hint}")
    if _is_text(column):
        values = np.array([_number(str(value).strip()) for value in column])
    else:
        values = column.to_numpy(dtype=float)
    wrong = np.isnan(values)
    if wrong.any():
        first = int(np.argmax(wrong))
        raise InputError(
            f"{frame.name}: column '{name}' has '{column.iloc[first]}' in "
            f"{frame.where(np.arange(len(column)) == first)}, which is not a number{hint}"
        )
    if np.isinf(values).any():
        raise InputError(
            f"{frame.name}: column '{name}' is infinite in {frame.where(np.isinf(values))}"
        )
    return np.asarray(values)


def has_text(frame: Frame, name: str) -> bool:
    """Whether a column has text in it that is neither a number nor true or false."""
    column = frame.data[name]
    if not _is_text(column) or is_boolean(frame, name):
        return False
    return any(np.isnan(_number(str(value).strip())) for value in column)


def truths(frame: Frame, name: str) -> FloatArray:
    """Return a column of true and false (or 1 and 0) as 1 and 0, shape (N,).

    Raises
    ------
    InputError
        A value is none of these.
    """
    known = {"True": 1.0, "1": 1.0, "False": 0.0, "0": 0.0}
    said = labels(frame, name)
    if strange := _first_unknown(frame, said, known):
        raise InputError(
            f"{frame.name}: column '{name}' has {strange}, which is neither true nor false"
        )
    return np.array([known[text] for text in said])


def _first_unknown(frame: Frame, said: Sequence[str], known: Container[str]) -> str:
    """Return the first name that is not known, and all its places; empty if there is none."""
    unknown = next((text for text in said if text not in known), None)
    if unknown is None:
        return ""
    return f"'{unknown}' in {frame.where(np.array([text == unknown for text in said]))}"


def labels(frame: Frame, name: str) -> list[str]:
    """Return the cells of a column as names: a number has one name, however it is written."""
    codes, values = pd.factorize(frame.data[name].astype(str))
    names = [label(value) for value in values]
    return [names[code] for code in codes]


def label(value: Any) -> str:
    """Return a value's name: ``1`` for 1, 1.0, ``"1"`` and ``"1.0"``; ``True`` for ``"true"``."""
    text = str(value).strip()
    if _WHOLE.fullmatch(text):
        return str(int(text))
    if _NUMBER.fullmatch(text):
        number = float(text)
        whole = number.is_integer() and abs(number) < 1e15
        return str(int(number)) if whole else repr(number)
    return _TRUTH.get(text.lower(), text)


def all_numbers(names: Iterable[str]) -> bool:
    """Whether every name is a number's."""
    return all(_NUMBER.fullmatch(name) for name in names)


def levels_of(names: Iterable[str]) -> tuple[str, ...]:
    """Return the different names: numbers by size, anything else by the alphabet."""
    different = set(names)
    if all_numbers(different):
        return tuple(sorted(different, key=float))
    return tuple(sorted(different))


def indicators(frame: Frame, name: str, levels: Sequence[str], word: str) -> FloatArray:
    """Return a column of names as 0/1 columns, one for each level, shape (N, len(levels)).

    Raises
    ------
    InputError
        A name is no level; it is called a ``word`` in the message.
    """
    said = labels(frame, name)
    if strange := _first_unknown(frame, said, set(levels)):
        raise InputError(
            f"{frame.name}: column '{name}' has the {word} {strange}, "
            f"which the training part did not have; it had {listed(levels)}"
        )
    return np.asarray(np.array(said)[:, None] == np.array(levels), dtype=float)


def listed(names: Sequence[str], most: int = 8) -> str:
    """Return names as text, the first few of them."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" * (len(names) > most))


def _number(text: str) -> float:
    """Return the number nearest to a text; NaN if it is none."""
    return float(text) if _NUMBER.fullmatch(text) or _INFINITE.fullmatch(text) else np.nan


def _is_text(column: pd.Series) -> bool:
    categories = isinstance(column.dtype, pd.CategoricalDtype)
    return categories or types.is_object_dtype(column) or types.is_string_dtype(column)
