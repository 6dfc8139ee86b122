"""Missing cells: the texts that mean them, their places, and how to keep the texts as names."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from manymodes.errors import InputError
from manymodes.tables.cells import is_number
from manymodes.tables.frames import Frame
from manymodes.wording import as_argument, quoted, shown

_FEW = 3  # texts that a message names


def refuse_missing(
    frame: Frame,
    names: Iterable[str],
    categories: Mapping[str, Collection[str]] | None = None,
    *,
    fitting: bool = False,
) -> None:
    """Raise `InputError` if a cell of the named columns is missing, saying in which rows.

    Parameters
    ----------
    frame : Frame
        The table.
    names : iterable of str
        The columns.
    categories : mapping of str to collection of str, optional
        The columns among them that hold names, and their known names.
    fitting : bool
        Whether the table is fitted now, so that options can still change how columns are read.
    """
    categories = categories or {}
    gone = {
        name: cells
        for name in names
        if (
            cells := frame.missing(
                name, category=name in categories, known=categories.get(name, ())
            )
        ).any()
    }
    if not gone:
        return
    first, *others = gone
    more = f" (and so have {shown(others)})" if others else ""
    texts = frame.data[first][gone[first]]
    said = [text for text in dict.fromkeys(texts[texts.notna()].astype(str)) if text]
    nan = " (NaN)" if not said or "NaN" in said else ""
    raise InputError(
        f"{frame.name}: column {quoted(first)} has missing values{nan} in "
        f"{frame.where(gone[first])}{more}"
        + _taken_as_missing(frame, first, said)
        + ": fill them in or remove those rows"
        + (_kept_with(frame, first, first in categories) if said and fitting else "")
    )


def _taken_as_missing(frame: Frame, name: str, said: Sequence[str]) -> str:
    """Say which texts are read as missing, and where; empty if the cells themselves are empty."""
    if not said:
        return ""
    places = [
        f"{quoted(text)} in {frame.where((frame.data[name] == text).to_numpy(dtype=bool))}"
        for text in said[:_FEW]
    ]
    more = " and others" * (len(said) > _FEW)
    return f": {', '.join(places)}{more} {'is' if len(said) == 1 else 'are'} read as missing"


def _kept_with(frame: Frame, name: str, category: bool) -> str:
    """Say how to keep such texts as names, if they can be names."""
    if category:
        return "; if it is a name, keep it with --keep-na"
    cells = frame.data[name][~frame.missing(name)]
    if all(is_number(str(value), frame) for value in cells):
        return ""
    return f"; if it is a name, keep it with --categorical {as_argument(name)} --keep-na"
