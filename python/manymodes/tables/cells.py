"""The cells of a column as numbers, as true and false, or as names; each error names the place."""

from __future__ import annotations

import re
import unicodedata
import warnings
from collections.abc import Container, Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from pandas.api import types

from manymodes.errors import InputError, TableWarning
from manymodes.tables.frames import Frame
from manymodes.tables.notations import Notation, notation
from manymodes.types import FloatArray
from manymodes.wording import quoted, shown

_WHOLE = re.compile(r"[+-]?\d+")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_INFINITE = re.compile(r"[+-]?inf(inity)?", re.IGNORECASE)
_TRUTH = {"true": "True", "false": "False"}
_EXACT = 2**53  # whole numbers up to here are floats without loss
_FEW = 3  # different texts that are few in any table


# ------------------------------------------------------------------------------ numbers


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
        The remedy for text.

    Raises
    ------
    InputError
        A value is not a number, or infinite, or two different values would be one number.

    Warns
    -----
    TableWarning
        Whole numbers are too large for all of their digits to count.
    """
    column = frame.data[name]
    where = f"{frame.name}: column {quoted(name)}"
    if types.is_complex_dtype(column) or not (_is_text(column) or types.is_numeric_dtype(column)):
        dates = types.is_datetime64_any_dtype(column) or types.is_timedelta64_dtype(column)
        what = "dates or times" if dates else str(column.dtype)
        remedy = (
            ": write them as a number, such as the days from a fixed day"
            if dates and not hint
            else ""
        )
        raise InputError(f"{where} holds {what}, which are not numbers{remedy}{hint}")
    if _is_text(column):
        texts = [str(value).strip() for value in column]
        values = np.array([_number(text, frame.reading.decimal) for text in texts])
        wrong = np.isnan(values)
        if wrong.any():
            first = int(np.argmax(wrong))
            found = notation(texts[first], set(texts), frame.reading.decimal)
            raise InputError(
                f"{where} has {quoted(column.iloc[first])} in "
                f"{frame.where(np.arange(len(column)) == first)}, {_explained(found, hint)}"
            )
    else:
        values = column.to_numpy(dtype=float)
    if np.isinf(values).any():
        raise InputError(f"{where} is infinite in {frame.where(np.isinf(values))}")
    _check_digits(frame, name, values)
    return np.asarray(values)


def _explained(found: Notation | None, hint: str) -> str:
    if found is None:
        return f"which is not a number{hint}"
    return f"which looks like {found.what}: {found.remedy}{hint.replace(': ', '; or ', 1)}"


def _check_digits(frame: Frame, name: str, values: FloatArray) -> None:
    """Check whole numbers that a float does not hold to the last digit."""
    large = np.abs(values) >= _EXACT
    if not large.any():
        return
    column = frame.data[name]
    where = f"{frame.name}: column {quoted(name)}"
    exact: list[int | float] = []
    for value, text in zip(values[large].tolist(), column[large].astype(str), strict=True):
        text = text.strip()
        exact.append(int(text) if _WHOLE.fullmatch(text) else value)
    if len(set(exact)) > len({float(value) for value in exact}):
        raise InputError(
            f"{where} has different whole numbers beyond 2^53 that are one number to a computer "
            f"({frame.where(large)}): if they are codes, leave the column out or take it as "
            "categories; if not, subtract a fixed number from each"
        )
    if any(int(value) != one for value, one in zip(map(float, exact), exact, strict=True)):
        warnings.warn(
            f"{where} has whole numbers beyond 2^53 ({frame.where(large)}), whose last digits do "
            "not count: if they are codes, it should not be taken as numbers",
            TableWarning,
            stacklevel=2,
        )


def has_text(frame: Frame, name: str) -> bool:
    """Whether a column has text in it that is neither a number nor true or false."""
    column = frame.data[name]
    if not _is_text(column) or is_boolean(frame, name):
        return False
    return not all(is_number(str(value), frame) for value in column)


def could_be_names(frame: Frame, name: str) -> bool:
    """Whether a column of texts has few enough different ones to be a category's.

    At most one text for every two rows is few enough; at most one for every four if the texts are
    quantities that may be categories, such as ranges. Dates and numbers in another notation are
    not names.
    """
    texts = frame.data[name].astype(str).str.strip()
    different = set(texts)
    strange = next((text for text in texts if not is_number(text, frame)), "")
    found = notation(strange, different, frame.reading.decimal) if strange else None
    if found is not None:
        return found.names and len(different) <= len(texts) / 4
    return len(different) <= max(_FEW, len(texts) / 2)


def truths(frame: Frame, name: str) -> FloatArray:
    """Return a column of true and false (or 1 and 0) as 1 and 0, shape (N,).

    Raises
    ------
    InputError
        A value is none of these.
    """
    known = {"True": 1.0, "1": 1.0, "False": 0.0, "0": 0.0}
    said = labels(frame, name, verbatim=False)
    if strange := _first_unknown(frame, said, known)[1]:
        raise InputError(
            f"{frame.name}: column {quoted(name)} has {strange}, which is neither true nor false"
        )
    return np.array([known[text] for text in said])


# ------------------------------------------------------------------------------ names


def is_text(frame: Frame, name: str) -> bool:
    """Whether the values of a column are texts, rather than numbers or true and false."""
    column = frame.data[name]
    if not _is_text(column):
        return False
    values = column.cat.categories if isinstance(column.dtype, pd.CategoricalDtype) else column
    return types.infer_dtype(values, skipna=True) not in _TYPED


def is_verbatim(frame: Frame, name: str) -> bool:
    """Whether the names in a column are its texts, to the letter.

    Numbers, and true and false, have one name for each value instead.
    """
    return is_text(frame, name) and not is_boolean(frame, name)


_TYPED = {"integer", "floating", "mixed-integer-float", "decimal", "boolean", "complex"}


def labels(frame: Frame, name: str, *, verbatim: bool) -> list[str]:
    """Return the cells of a column as names.

    Parameters
    ----------
    frame : Frame
        The table.
    name : str
        The column.
    verbatim : bool
        The names are the texts, without blanks around them; otherwise a number has one name,
        however it is written.
    """
    codes, values = pd.factorize(frame.data[name].astype(str))
    names = [str(value).strip() if verbatim else label(value) for value in values]
    return [names[code] for code in codes]


def label(value: Any) -> str:
    """Return a value's name: ``1`` for 1, 1.0, ``"1"`` and ``"1.0"``; ``True`` for ``"true"``."""
    text = str(value).strip()
    if _WHOLE.fullmatch(text):
        return str(int(text)) if len(text) < 1000 else text
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
    different = sorted(set(names))
    return tuple(sorted(different, key=float) if all_numbers(different) else different)


def look_alikes(levels: Iterable[str]) -> str:
    """Return in words which two names look alike; empty if none do.

    Such names differ only in case, in blanks, in how their characters are composed, or in how a
    number is written.
    """
    seen: dict[str, str] = {}
    for level in levels:
        alike = _plain(level)
        if alike in seen:
            return (
                f"{quoted(seen[alike])} and {quoted(level)} differ only {_how(seen[alike], level)}"
            )
        seen[alike] = level
    return ""


def _plain(name: str) -> str:
    composed = " ".join(unicodedata.normalize("NFKC", name).casefold().split())
    return label(composed)


def _how(one: str, other: str) -> str:
    if _NUMBER.fullmatch(one) and _NUMBER.fullmatch(other):
        return "in how a number is written"
    if one.casefold() == other.casefold():
        return "in capitals"
    if unicodedata.normalize("NFKC", one) == unicodedata.normalize("NFKC", other):
        return "in how their characters are composed"
    return "in capitals, blanks or how their characters are composed"


def indicators(
    frame: Frame, name: str, levels: Sequence[str], word: str, *, verbatim: bool
) -> FloatArray:
    """Return a column of names as 0/1 columns, one for each level, shape (N, len(levels)).

    Parameters
    ----------
    frame : Frame
        The table.
    name : str
        The column.
    levels : sequence of str
        The names.
    word : str
        The word for a name in messages.
    verbatim : bool
        Whether the levels are texts to the letter. A value that is not a text, such as a number of
        Parquet, also matches a level if it is equal to exactly one.

    Raises
    ------
    InputError
        A name is not among the levels.
    """
    said = labels(frame, name, verbatim=True)
    place = {level: number for number, level in enumerate(levels)}
    by_value: dict[str, list[str]] = {}
    for level in levels:
        by_value.setdefault(label(level), []).append(level)
    text = is_text(frame, name)
    loose = not verbatim or not is_verbatim(frame, name)
    known: dict[str, int] = {}
    for one in set(said):
        equal = by_value.get(label(one), [])
        if text and one in place:
            known[one] = place[one]
        elif loose and label(one) in place:
            known[one] = place[label(one)]
        elif loose and len(equal) == 1:
            known[one] = place[equal[0]]
    unknown, strange = _first_unknown(frame, said, known)
    if strange:
        raise InputError(
            f"{frame.name}: column {quoted(name)} has the {word} {strange}, "
            f"which the training part did not have; it had {listed(levels)}"
            f"{_resembling(unknown, levels)}"
        )
    codes = np.array([known[text] for text in said], dtype=np.intp)
    return np.asarray(codes[:, None] == np.arange(len(levels)), dtype=float)


def _first_unknown(frame: Frame, said: Sequence[str], known: Container[str]) -> tuple[str, str]:
    """Return the first unknown name, alone and with its places; nothing if all are known."""
    unknown = next((text for text in said if text not in known), None)
    if unknown is None:
        return "", ""
    places = frame.where(np.array([text == unknown for text in said]))
    return unknown, f"{quoted(unknown)} in {places}"


def _resembling(unknown: str, levels: Sequence[str]) -> str:
    """Say which levels a name equals as a number, or nearly equals as a text."""
    if equal := [level for level in levels if label(level) == label(unknown)]:
        what = "as a number" if _NUMBER.fullmatch(unknown) else "but for capitals"
        verb = "it equals" if len(equal) == 1 else "it equals several of these"
        return f" ({what} {verb} {' and '.join(map(quoted, equal))}: write it so if you mean it)"
    if near := [level for level in levels if _plain(level) == _plain(unknown)]:
        return f" ({look_alikes((near[0], unknown))})"
    return ""


def listed(names: Sequence[str], most: int = 8) -> str:
    """Return names as text, the first few of them."""
    return shown(names, most)


# ------------------------------------------------------------------------------ texts


def _number(text: str, decimal: str = ".") -> float:
    """Return the number nearest to a text; NaN if it is not a number."""
    if decimal == ",":
        text = "?" if "." in text else text.replace(",", ".")
    return float(text) if _NUMBER.fullmatch(text) or _INFINITE.fullmatch(text) else np.nan


def is_number(text: str, frame: Frame) -> bool:
    """Whether a text is a number, as those of its table are read."""
    return not np.isnan(_number(text.strip(), frame.reading.decimal))


def _is_text(column: pd.Series) -> bool:
    categories = isinstance(column.dtype, pd.CategoricalDtype)
    return categories or types.is_object_dtype(column) or types.is_string_dtype(column)
