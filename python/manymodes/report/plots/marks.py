"""What a reader can point at in a figure: artists that show a function or one of its modes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy.typing as npt
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.container import Container
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

OTHERS = -1
"""Stands for the functions that have no place of their own in a figure."""


@dataclass(frozen=True)
class Mark:
    """What an artist shows.

    Attributes
    ----------
    posterior : str
        The name of the posterior, where a figure shows several.
    function, mode : int
        Their numbers; 0 for none in particular.
    says : str
        What is shown there, in words; empty if it cannot be pointed at.
    """

    posterior: str = ""
    function: int = 0
    mode: int = 0
    says: str = ""


_MARKS: WeakKeyDictionary[Artist, Mark] = WeakKeyDictionary()
_DOTS: WeakKeyDictionary[Artist, float] = WeakKeyDictionary()


def mark(shown: Artist | Iterable[Artist], meaning: Mark) -> None:
    """Say what artists show."""
    artists: Iterable[Artist]
    if isinstance(shown, Container):
        artists = [one for one in shown.get_children() if isinstance(one, Artist)]
    else:
        artists = [shown] if isinstance(shown, Artist) else shown
    for artist in artists:
        _MARKS[artist] = meaning


def dots(
    axes: Axes, x: npt.ArrayLike, y: npt.ArrayLike, colour: str, size: float, **look: object
) -> Line2D:
    """Draw points without edges (size in points); a page writes them as one short path."""
    (line,) = axes.plot(x, y, ls="none", **{"marker": "o", "mew": 0, **look})  # type: ignore[arg-type]
    line.set_color(colour)
    line.set_markersize(size)
    _DOTS[line] = size
    return line


def marked(figure: Figure) -> Iterator[tuple[Artist, Mark]]:
    """Yield the artists of a figure that have a meaning, and it."""
    for artist in figure.findobj():
        if artist in _MARKS:
            yield artist, _MARKS[artist]


def dotted(figure: Figure) -> Iterator[tuple[Artist, float]]:
    """Yield the points of a figure, and their size."""
    for artist in figure.findobj():
        if artist in _DOTS:
            yield artist, _DOTS[artist]
