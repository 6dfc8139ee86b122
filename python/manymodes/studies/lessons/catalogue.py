"""Which lessons there are: the scripts, their titles and their questions."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from manymodes.errors import InputError
from manymodes.runtime.stan_files import shipped_dir
from manymodes.studies.lessons.cells import Cell, cells_of

_FILE = re.compile(r"lesson_(\d\d)_\w+\.py")
_TITLE = re.compile(r"# (\d+)\. (.+)\n+\*\*(.+?)\*\*", re.DOTALL)


@dataclass(frozen=True)
class Script:
    """One lesson's script.

    Its first cell is ``# NUMBER. TITLE`` and, after an empty line, the question in bold.

    Attributes
    ----------
    path : Path
        ``lesson_NN_SLUG.py``.
    number : int
        Of the lesson.
    title, question : str
        What the lesson is called and what it asks, as plain Markdown.
    """

    path: Path
    number: int
    title: str
    question: str

    @property
    def name(self) -> str:
        """What the command line calls it: ``lesson-3``."""
        return f"lesson-{self.number}"

    @cached_property
    def cells(self) -> tuple[Cell, ...]:
        """The cells of its notebook, in order."""
        return cells_of(self.path.read_text(encoding="utf-8"))


def examples_dir() -> Path:
    """Return the directory with the lessons.

    In an editable install that is ``examples/`` of the checkout, in a wheel ``manymodes/examples``.
    """
    return shipped_dir("examples")


def lessons() -> dict[str, Script]:
    """Return the lessons by name, in order.

    Raises
    ------
    InputError
        A lesson does not begin as `Script` says.
    """
    found = (script_at(path) for path in sorted(examples_dir().glob("lesson_*.py")))
    return {one.name: one for one in found}


def lesson_named(name: str) -> Script:
    """Return one lesson.

    Raises
    ------
    InputError
        There is no such lesson.
    """
    found = lessons()
    if name not in found:
        raise InputError(f"lesson: there is no {name}; there are {', '.join(found) or 'none'}")
    return found[name]


def script_at(path: Path) -> Script:
    """Read the title and the question of a lesson.

    Raises
    ------
    InputError
        The file's name or its first cell are not those of a lesson.
    """
    numbered = _FILE.fullmatch(path.name)
    first = cells_of(path.read_text(encoding="utf-8"))[:1]
    head = _TITLE.match(first[0].text) if first else None
    if numbered is None or head is None or int(numbered[1]) != int(head[1]):
        raise InputError(
            f"lesson: {path.name} must be lesson_NN_NAME.py and begin with a cell of text "
            "'# NN. TITLE' and the question in bold"
        )
    return Script(path, int(head[1]), head[2].strip(), " ".join(head[3].split()))
