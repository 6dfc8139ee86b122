"""Draws in posteriordb's JSON: a list of chains, each with a list of numbers for each name."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from manymodes.errors import InputError
from manymodes.sampling.adoption.draw_trees import STAT_ALIASES
from manymodes.sampling.adoption.foreign import Foreign, Wanted
from manymodes.sampling.adoption.written import written
from manymodes.types import FloatArray

_INDEXED = re.compile(r"(.+)\[([\d, ]+)\]")


def read_json_draws(path: Path, wanted: Wanted) -> Iterator[Foreign]:
    """Yield the chains of a JSON file, or of the one in a ``.zip``.

    Parameters
    ----------
    path : Path
        The file.
    wanted : Wanted
        What is read of it.

    Raises
    ------
    InputError
        It cannot be read, or lacks what is wanted.
    """
    try:
        content: Any = json.loads(_content(path))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not JSON ({error}): it may have been cut short") from error
    if not isinstance(content, list) or not all(isinstance(one, dict) for one in content):
        raise InputError(
            f"{path}: is not a list of chains as posteriordb has it, each an object such as "
            '{"theta[1]": [0.1, 0.2]}'
        )
    if not content:
        raise InputError(f"{path}: has no chains")
    for number, chain in enumerate(content, 1):
        yield _chain(f"{path}, chain {number}", chain, wanted)


def _content(path: Path) -> bytes:
    try:
        if path.suffix != ".zip":
            return path.read_bytes()
        with zipfile.ZipFile(path) as archive:
            names = [one for one in archive.namelist() if one.endswith(".json")]
            inside = [one for one in names if not one.startswith("__MACOSX")]
            if len(inside) != 1:
                raise InputError(f"{path}: holds {len(inside)} files .json, not one")
            return archive.read(inside[0])
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (OSError, zipfile.BadZipFile, RuntimeError, NotImplementedError) as error:
        raise InputError(f"{path} cannot be read: {error}") from error


def _chain(where: str, chain: dict[str, Any], wanted: Wanted) -> Foreign:
    names = list(chain)
    flat = [_flat(name) for name in names]
    places = wanted.places(flat, where)
    columns = [_numbers(where, names[place], chain[names[place]]) for place in places]
    lengths = {len(column) for column in columns}
    if len(lengths) > 1:
        short = min(range(len(columns)), key=lambda one: len(columns[one]))
        raise InputError(
            f"{where}: {names[places[short]]} has {min(lengths)} draws, and others have "
            f"{max(lengths)}"
        )
    rows = np.stack(columns, axis=1)
    stats = {}
    for name, aliases in STAT_ALIASES.items():
        held = next((one for one in aliases if one.endswith("__") and one in chain), None)
        if held is not None and len(values := _numbers(where, held, chain[held])) == len(rows):
            stats[name] = values
    return Foreign(where, rows, written(rows), stats)


def _flat(name: str) -> str:
    """Return Stan's flat name of an element: ``W.1.2`` for ``W[1,2]``."""
    found = _INDEXED.fullmatch(name)
    return name if found is None else ".".join([found[1], *found[2].replace(" ", "").split(",")])


def _numbers(where: str, name: str, values: Any) -> FloatArray:
    try:
        found = np.asarray(values, dtype=float)
    except (TypeError, ValueError, OverflowError):
        found = np.empty((0, 0))
    if found.ndim != 1:
        raise InputError(f"{where}: {name} is not a list of numbers")
    return found
