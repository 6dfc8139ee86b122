"""Data for Stan: read from JSON, or given in Python, and written as JSON for Stan.

Stan's own reader (CmdStan's, until 2.31 or so) silently takes 3000000000 for -1294967296, and
stops at the first text. So whole numbers out of an int's range are refused here, and written as
real numbers if a real item is declared. Items that the program does not declare do not matter to
Stan; they are left out if its reader would stop at them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from manymodes.density.stan_tokens import Parameter
from manymodes.errors import InputError
from manymodes.runtime.storage import read_utf8

_LEAST, _LARGEST = -(2**31), 2**31 - 1
"""The range of a Stan int."""
_LEAST_OF_C, _LARGEST_OF_C = -(2**63), 2**64 - 1
"""Stan reads whole numbers outside as real numbers, whatever the declaration."""
_WORDS = {"Inf", "Infinity", "-Inf", "-Infinity", "NaN"}
"""The texts that every Stan takes for numbers."""
_STRING_OR_INF = re.compile(r'"(?:[^"\\]|\\.)*"|\bInf\b')


def read_data(path: Path) -> dict[str, Any]:
    """Read a JSON data file, as CmdStan does.

    A byte order mark is dropped, and ``NaN``, ``Infinity``, ``Inf`` and their negatives may stand
    without quotes.

    Raises
    ------
    InputError
        There is no such file, it is not in UTF-8, not JSON, not an object of named values, or
        has a name twice.
    """
    text = read_utf8(path, "data file")
    try:
        data = _parsed(text, path)
    except json.JSONDecodeError as error:
        spelt = _STRING_OR_INF.sub(lambda m: "Infinity" if m[0] == "Inf" else m[0], text)
        try:
            data = _parsed(spelt, path)
        except json.JSONDecodeError:
            raise InputError(f"{path}: not a JSON data file: {error}") from error
    except InputError:
        raise
    except (ValueError, RecursionError) as error:  # absurd numbers, absurd nesting
        raise InputError(f"{path}: not a JSON data file: {error}") from error
    if not isinstance(data, dict):
        raise InputError(f"{path}: the data must be a JSON object of named values")
    return data


def data_switch(
    items: Mapping[str, Parameter] | None, data: Mapping[str, Any], name: str
) -> bool | None:
    """Return the value of a data item that is a switch; None if there is no such switch.

    A switch is an ``int``, declared in the data block and given as 0 or 1. An item that only has
    the name of a switch does not count, and neither does an item that the program does not read.

    Parameters
    ----------
    items : mapping, optional
        The declarations of the data block; None if it could not be read.
    data : mapping
        The data.
    name : str
        The item's name.
    """
    value = np.asarray(data.get(name))
    if value.shape != () or value.dtype.kind not in "biu" or value not in (0, 1):
        return None
    if items is None:  # what cannot be read is for the compiler to complain of
        return bool(value)
    item = items.get(name)
    return bool(value) if item is not None and item.base == "int" and not item.array else None


def _parsed(text: str, path: Path) -> Any:
    def named(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise InputError(f"{path}: '{twice}' stands there twice: remove one of them")
        return found

    return json.loads(text, object_pairs_hook=named)


def stan_json(
    data: Mapping[str, Any], items: Mapping[str, Parameter] | None, source: str = "data"
) -> str:
    """Return data as JSON text for Stan.

    Parameters
    ----------
    data : mapping of str to value
        Numbers, lists, NumPy arrays, pandas objects, and other objects that NumPy takes for an
        array. Tuples are arrays, except for an item that is declared as a tuple.
    items : mapping of str to Parameter, optional
        The declarations of the data block; without them nothing is checked or left out.
    source : str
        The source of the data, for messages.

    Raises
    ------
    InputError
        A whole number does not fit an item that is declared int, or a value cannot be written
        as JSON.
    """
    written: dict[str, Any] = {}
    for name, value in data.items():
        item = None if items is None else items.get(name)
        try:
            plain = _plain(value, tuples=item is None or item.base == "tuple")
        except TypeError as error:
            if items is not None and item is None:
                continue
            raise InputError(f"{source}: the item '{name}' {error}") from error
        if items is not None and item is None and _shape(plain) is None:
            continue
        if item is not None and item.base == "int":
            _check_whole(plain, item.name, source)
        elif item is not None and item.base != "tuple":
            plain = _real(plain, _is_wrapped(plain))
        written[str(name)] = plain
    return json.dumps(written)


def _plain(value: Any, *, tuples: bool) -> Any:
    """Return a value in the types of JSON; raise `TypeError`, which names its type, if it fails."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, int):  # also True and False
        return int(value)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, complex):
        return [value.real, value.imag]
    if isinstance(value, Mapping):
        return {str(key): _plain(one, tuples=tuples) for key, one in value.items()}
    if isinstance(value, tuple) and tuples:
        return {str(i + 1): _plain(one, tuples=tuples) for i, one in enumerate(value)}
    if isinstance(value, list | tuple | range):
        return [_plain(one, tuples=tuples) for one in value]
    if hasattr(value, "__array__"):
        array = np.asarray(value)
        if array.dtype.kind == "c":
            return np.stack([array.real, array.imag], axis=-1).tolist()
        if array.dtype.kind == "b":
            return array.astype(int).tolist()
        if array.dtype.kind in "iuf":
            return array.astype(float if array.dtype.itemsize > 8 else array.dtype).tolist()
        if array.dtype.kind == "O":
            return _plain(array.tolist(), tuples=tuples)
    raise TypeError(f"holds a value of type {type(value).__name__}: give numbers, or arrays")


def _leaves(value: Any, place: tuple[int, ...] = ()) -> Iterator[tuple[Any, tuple[int, ...]]]:
    """Yield the numbers of an array with their indexes, from 1."""
    if isinstance(value, list):
        for i, one in enumerate(value):
            if type(one) is int and _LEAST <= one <= _LARGEST:
                continue
            yield from _leaves(one, (*place, i + 1))
    else:
        yield value, place


def _check_whole(value: Any, name: str, source: str) -> None:
    """Raise `InputError` if a number of an item that is declared int is not in an int's range."""
    for one, place in _leaves(value):
        where = f"{name}[{', '.join(map(str, place))}]" if place else name
        whole = isinstance(one, int) or (isinstance(one, float) and one.is_integer())
        if whole and not _LEAST <= one <= _LARGEST:
            raise InputError(
                f"{source}: {where} is {one!s:.40}, but a whole number of Stan (int) lies between "
                f"{_LEAST} and {_LARGEST}"
            )
        if isinstance(one, float):
            remedy = f"write {int(one)}" if whole else "give whole numbers"
            raise InputError(
                f"{source}: {where} is {one}, which Stan does not take for an int: {remedy}"
            )


def _is_wrapped(value: Any) -> bool:
    """Whether Stan's reader takes a real item for whole numbers, some of them out of range.

    It does so until it meets the first number that is not whole.
    """
    for one, _ in _leaves(value):
        if not isinstance(one, int) or not _LEAST_OF_C <= one <= _LARGEST_OF_C:
            return False
        if not _LEAST <= one <= _LARGEST:
            return True
    return False


def _real(value: Any, as_float: bool) -> Any:
    """Return a real item with texts, and large whole numbers, in a way that every Stan reads."""
    if isinstance(value, list):
        return [one if type(one) is float else _real(one, as_float) for one in value]
    if isinstance(value, str) and value not in _WORDS:
        if re.fullmatch(r"[+-]?(inf|infinity|nan)", value.strip(), re.IGNORECASE):
            return float(value)
    elif as_float and type(value) is int and not _LEAST <= value <= _LARGEST:
        return float(value)
    return value


def _shape(value: Any) -> tuple[int, ...] | None:
    """Return the shape of an array of numbers; None for a value at which Stan's reader stops."""
    if isinstance(value, int | float) or (isinstance(value, str) and value in _WORDS):
        return ()
    if not isinstance(value, list):
        return None
    shapes = {_shape(one) for one in value}
    if len(shapes) > 1 or None in shapes:
        return None
    return (len(value), *(shapes.pop() or () if shapes else ()))
