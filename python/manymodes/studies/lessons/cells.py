"""A script in cells, and the notebook made from it.

A line ``# %%`` begins a cell of code, ``# %% [markdown]`` a cell of text, as editors know them.
What stands before the first cell is for the script alone. The workers that sample chains import
the script, so that most of it stands below ``if __name__ == "__main__":``. In the notebook this
part stands one level to the left, without that line.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

_GUARD = re.compile(r'^if __name__ == "__main__":.*\n', re.MULTILINE)
_CELL = re.compile(r"^# %%( \[markdown\])?[ ]*\n", re.MULTILINE)


@dataclass(frozen=True)
class Cell:
    """One cell of a notebook."""

    kind: Literal["code", "markdown"]
    text: str


def cells_of(script: str) -> tuple[Cell, ...]:
    """Return the cells of a script, without empty ones."""
    before, *after = _GUARD.split(script, maxsplit=1)
    flat = before + "".join(textwrap.dedent(part) for part in after)
    _, *parts = _CELL.split(flat)
    found = (
        Cell("markdown", _prose(text)) if mark else Cell("code", text.strip("\n"))
        for mark, text in zip(parts[::2], parts[1::2], strict=True)
    )
    return tuple(cell for cell in found if cell.text)


def notebook(cells: Iterable[Cell]) -> dict[str, Any]:
    """Return a notebook (format 4.5) of cells that have not been run."""
    return {
        "nbformat": 4,
        "nbformat_minor": 5,
        "metadata": {
            "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
            "language_info": {"name": "python"},
        },
        "cells": [_entry(cell, f"cell-{place:02d}") for place, cell in enumerate(cells)],
    }


def _prose(comment: str) -> str:
    """Return the text of lines of comment."""
    lines = [line.removeprefix("#").removeprefix(" ") for line in comment.splitlines()]
    return "\n".join(lines).strip("\n")


def _entry(cell: Cell, name: str) -> dict[str, Any]:
    entry = {
        "cell_type": cell.kind,
        "id": name,
        "metadata": {},
        "source": cell.text.splitlines(keepends=True),
    }
    return entry if cell.kind == "markdown" else {**entry, "execution_count": None, "outputs": []}
