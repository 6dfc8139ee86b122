"""The page as data: an opening, then chapters of paragraphs, figures and tables; and its HTML."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import jinja2
from markupsafe import Markup
from matplotlib.figure import Figure

from manymodes.report.format import cell
from manymodes.report.inline_svg import inline_svg
from manymodes.report.terms import Explainer
from manymodes.report.theme import colour_rules

_OPEN_ROWS = 8  # longer tables are folded


@dataclass(frozen=True)
class Table:
    """A table of the report.

    Parameters
    ----------
    title : str
        Short heading.
    columns : tuple of str
        Column headings.
    rows : tuple of tuples
        Cells: text, numbers, or None for an empty cell. The first cell of a row names it.
    caption : str
        Explanations for the reader.
    folded : bool or None
        Whether the table is folded at first; by default a long one is.
    keys : tuple of str
        What each row shows, as the marks of figures have it; empty for nothing.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    caption: str = ""
    folded: bool | None = None
    keys: tuple[str, ...] = ()

    @property
    def is_open(self) -> bool:
        """Whether the rows are shown at first."""
        return len(self.rows) <= _OPEN_ROWS if self.folded is None else not self.folded

    def key(self, row: int) -> str:
        """Return what a row shows."""
        return self.keys[row] if self.keys else ""

    def lines(self) -> list[str]:
        """Return headings and rows of text cells as lines, the first column to the left."""
        cells = [self.columns, *self.rows]
        widths = [max(len(row[i]) for row in cells) for i in range(len(self.columns))]
        return [
            "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip()
            for row in cells
        ]


@dataclass(frozen=True)
class Picture:
    """A figure as an SVG element, and words for it."""

    svg: str
    caption: str = ""


@dataclass(frozen=True)
class Share:
    """One weight of a function: in words, and in per cent for its bar; NaN has no bar."""

    text: str
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class FunctionRow:
    """The weights of one function."""

    key: str
    name: str
    colour: str
    shares: tuple[Share, ...]


@dataclass(frozen=True)
class Answer:
    """What was found on one posterior, at a glance.

    Attributes
    ----------
    heading : str
        The posterior's name; empty if there is only one.
    headline : str
        The message.
    columns : tuple of str
        The weights that there are.
    rows : tuple of FunctionRow
        The functions that matter.
    rest : str
        What the other functions hold.
    sure : tuple of str
        How sure it is.
    """

    heading: str
    headline: str
    columns: tuple[str, ...]
    rows: tuple[FunctionRow, ...]
    rest: str
    sure: tuple[str, ...]


@dataclass(frozen=True)
class Opening:
    """The first view: the data, the network, the answer to each posterior, and what to do next."""

    facts: tuple[tuple[str, str], ...]
    answers: tuple[Answer, ...]
    next_step: str
    picture: Picture | None = None


@dataclass(frozen=True)
class Card:
    """One function: a picture of what it predicts, its figures, and its modes."""

    key: str
    name: str
    colour: str
    facts: tuple[tuple[str, str], ...]
    modes: Table | None
    picture: Picture | None = None


@dataclass(frozen=True)
class Cards:
    """The functions of one posterior."""

    heading: str
    cards: tuple[Card, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Section:
    """A part of a chapter.

    Attributes
    ----------
    anchor, title : str
        Its place in the page and its heading; without a title it is headed by its chapter.
    paragraphs : tuple of str
        The findings, in sentences.
    reading : str
        How to read the section, for a student; it is folded.
    parts : tuple of Picture, Table or Cards
        In the order in which they are shown.
    more : tuple of str
        Further findings, one after the other, which are folded.
    folded : str
        What folded findings are headed by.
    """

    anchor: str
    title: str
    paragraphs: tuple[str, ...] = ()
    reading: str = ""
    parts: tuple[Picture | Table | Cards, ...] = ()
    more: tuple[str, ...] = ()
    folded: str = ""


@dataclass(frozen=True)
class Chapter:
    """A numbered part of the page: an answer to one question of the reader."""

    anchor: str
    title: str
    sections: tuple[Section, ...]


@dataclass(frozen=True)
class Finding:
    """The findings on one posterior, in a few sentences and figures.

    Attributes
    ----------
    heading : str
        The posterior's name; empty if there is only one.
    tiles : tuple of (str, str)
        Values and what they are.
    opening, closing : tuple of str
        Sentences of the paragraphs before and after the points.
    points : tuple of str
        One for each mode or function.
    """

    heading: str
    tiles: tuple[tuple[str, str], ...]
    opening: tuple[str, ...]
    points: tuple[str, ...]
    closing: tuple[str, ...]


@dataclass(frozen=True)
class Page:
    """The whole page: `opening` or, on pages of other results, `findings` come first."""

    title: str
    introduction: tuple[str, ...]
    findings: tuple[Finding, ...]
    cautions: tuple[str, ...]
    chapters: tuple[Chapter, ...]
    references: tuple[str, ...]
    licence: str
    notes: tuple[str, ...]
    opening: Opening | None = None
    unfinished: tuple[str, ...] = ()


def alone(section: Section) -> Chapter:
    """Return a chapter that has one section."""
    return Chapter(f"{section.anchor}-chapter", section.title, (replace(section, title=""),))


def picture(figure: Figure, words: str, caption: str = "", posterior: str = "") -> Picture:
    """Turn a figure into a part of the page; `posterior` is that of its marks."""
    return Picture(inline_svg(figure, words, posterior), caption)


def render(page: Page) -> str:
    """Return the page as HTML."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("manymodes", "report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    explainer = Explainer()
    environment.filters["cell"] = cell
    environment.filters["explain"] = explainer.explain
    environment.filters["inline"] = Markup
    environment.tests["table"] = lambda part: isinstance(part, Table)
    environment.tests["drawn"] = lambda part: isinstance(part, Picture)
    environment.tests["cards"] = lambda part: isinstance(part, Cards)
    template = environment.get_template("page.html.j2")
    return (
        template.render(
            page=page,
            explainer=explainer,
            light=colour_rules(dark=False),
            dark=colour_rules(dark=True),
        )
        + "\n"
    )
