"""The page as data: sections of paragraphs, figures and tables, and how they become HTML."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from typing import Any

import jinja2
from matplotlib import rc_context
from matplotlib.figure import Figure

from manymodes.report.format import cell

_DOTS_PER_INCH = 200


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
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    caption: str = ""

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
    """A figure: a data address, its natural width in CSS pixels, and words for it."""

    source: str
    width: int
    alt: str
    caption: str


@dataclass(frozen=True)
class Section:
    """A numbered part of the page.

    Attributes
    ----------
    anchor, title : str
        Its place in the page and its heading.
    paragraphs : tuple of str
        The findings, in sentences.
    reading : str
        How to read the section, for a student; it is set off from the findings.
    parts : tuple of Picture or Table
        In the order in which they are shown.
    """

    anchor: str
    title: str
    paragraphs: tuple[str, ...] = ()
    reading: str = ""
    parts: tuple[Picture | Table, ...] = ()


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
    """The whole page."""

    title: str
    introduction: tuple[str, ...]
    findings: tuple[Finding, ...]
    cautions: tuple[str, ...]
    sections: tuple[Section, ...]
    references: tuple[str, ...]
    licence: str
    notes: tuple[str, ...]


def picture(figure: Figure, alt: str, caption: str) -> Picture:
    """Turn a figure into an inline SVG; its dense layers are already rasterised."""
    buffer = io.BytesIO()
    with rc_context({"svg.fonttype": "path", "svg.hashsalt": "manymodes"}):
        figure.savefig(buffer, format="svg", dpi=_DOTS_PER_INCH, metadata={"Date": None})
    code = base64.b64encode(buffer.getvalue()).decode("ascii")
    width = round(96 * float(figure.get_figwidth()))
    return Picture(f"data:image/svg+xml;base64,{code}", width, alt, caption)


def render(page: Page) -> str:
    """Return the page as HTML."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("manymodes", "report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["cell"] = cell
    environment.tests["table"] = lambda part: isinstance(part, Table)
    return environment.get_template("page.html.j2").render(page=page) + "\n"
