"""What an object says of itself in a prompt and in a notebook: a line, not all of its numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from html import escape
from typing import Any

from manymodes.wording import visible

Rows = tuple[Sequence[str], Sequence[Sequence[str]]]
"""A table: its header and its rows."""

_LONGEST = 400
_LONGEST_CELL = 80
_MOST_ROWS = 30
_FIRST_ROWS, _FIRST_COLUMNS = 8, 10


class Shown:
    """An object that says in a line what it is, and in a notebook shows a small table.

    A class says its line in ``_headline``, and has ``_table`` if there is one. Names of the user
    may be in both: a terminal obeys nothing in them, and HTML takes them as text. A dataclass
    is made with ``repr=False``.
    """

    def _headline(self) -> str:
        """Return the line: by default the name of the class and all of its fields."""
        values = ((one.name, getattr(self, one.name)) for one in fields(self))  # type: ignore[arg-type]
        given = ", ".join(f"{name}={value!r}" for name, value in values)
        return f"{type(self).__name__}({given})"

    def _table(self) -> Rows | None:
        """Return the table that a notebook shows below the line."""
        return None

    def __repr__(self) -> str:
        """Return the line."""
        return _cut(visible(self._headline()), _LONGEST)

    def _repr_html_(self) -> str:
        """Return the line and the table as HTML."""
        table = self._table()
        shown = "" if table is None else _html_table(*table)
        return f"<div><p>{escape(repr(self))}</p>{shown}</div>"


def estimate_text(value: float, sd: float, digits: int = 2) -> str:
    """Return a value with its error; a dash if it is not known."""
    return "–" if value != value else f"{value:.{digits}f} ± {sd:.{digits}f}"


def share_text(value: float, sd: float) -> str:
    """Return a share with its error, in percent; a dash if it is not known."""
    return "–" if value != value else f"{100 * value:.1f} ± {100 * sd:.1f} %"


def frame_rows(frame: Any) -> Rows:
    """Return the first rows and columns of a pandas table as texts."""
    few = frame.iloc[:_FIRST_ROWS, :_FIRST_COLUMNS]
    rows = [
        [f"{one:.4g}" if isinstance(one, float) else str(one) for one in row]
        for row in few.itertuples(index=False)
    ]
    return [str(name) for name in few.columns], rows


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 3]}..."


def _html_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    def line(cells: Sequence[str], tag: str) -> str:
        inside = "".join(
            f"<{tag}>{escape(_cut(visible(str(cell)), _LONGEST_CELL))}</{tag}>" for cell in cells
        )
        return f"<tr>{inside}</tr>"

    body = "".join(line(row, "td") for row in rows[:_MOST_ROWS])
    more = f"<p>and {len(rows) - _MOST_ROWS} more</p>" * (len(rows) > _MOST_ROWS)
    head = line(header, "th")
    return f"<table><thead>{head}</thead><tbody>{body}</tbody></table>{more}"
