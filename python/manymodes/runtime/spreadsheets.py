"""Texts in CSV that a spreadsheet would take for a formula: they are written with a quote.

A spreadsheet computes a cell that begins with ``=``, ``+``, ``-``, ``@``, a tab or a line break,
and a formula can run programs. Such a text is written with a quote ``'`` before it, as OWASP's
page on CSV injection has it; numbers such as ``-1.5`` stay as they are. `plain` undoes `inert`.
"""

from __future__ import annotations

import re

import pandas as pd
from pandas.api import types

_FORMULA = re.compile(r"'*[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
_NUMBER = re.compile(r"[+-]?(((\d+\.?\d*|\.\d+)([eE][+-]?\d+)?)|inf(inity)?)", re.IGNORECASE)


def inert(text: str) -> str:
    """Return a text as a cell of CSV that no spreadsheet computes."""
    return f"'{text}" if _is_formula(text) else text


def plain(cell: str) -> str:
    """Return the text of a cell that `inert` wrote; any other text stays as it is."""
    return cell[1:] if cell[:1] == "'" and _is_formula(cell[1:]) else cell


def inert_frame(data: pd.DataFrame) -> pd.DataFrame:
    """Return a table whose texts and names are `inert`."""
    columns = [
        data.iloc[:, i]
        if types.is_numeric_dtype(data.dtypes.iloc[i])
        else data.iloc[:, i].astype(object).map(_inert_value)
        for i in range(data.shape[1])
    ]
    safe = pd.concat(columns, axis=1) if columns else data.copy()
    safe.columns = pd.Index([_inert_value(name) for name in data.columns])
    return safe


def _inert_value(value: object) -> object:
    return inert(value) if isinstance(value, str) else value


def _is_formula(text: str) -> bool:
    return bool(_FORMULA.match(text)) and not _NUMBER.fullmatch(text.lstrip("'").strip())
