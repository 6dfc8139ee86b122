"""What all figures share: colours of functions, modes and posteriors, type sizes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure

from manymodes.errors import InputError
from manymodes.modes.comparison import Comparison
from manymodes.modes.functions import FunctionSummary
from manymodes.wording import visible

P = ParamSpec("P")
R = TypeVar("R")

MOST_FUNCTIONS = 8
"""Functions with a colour of their own; figures with a panel for each show at most this many."""

WIDTH = 4.8
"""Width of a figure (inches): on a phone it is still legible."""

WHOLE = "#30343b"
SOFT = "#5b616a"
PALE = "#8a8f98"
GRID = "#e4e6ea"
PAPER = "#ffffff"
REST = "#a9adb3"
POSTERIORS = ("#0072b1", "#d55e01", "#009e72", "#cc79a7")

FUNCTIONS = (
    "#0072b2",
    "#d55e00",
    "#00875f",
    "#aa4499",
    "#8c6d00",
    "#332288",
    "#c2485b",
    "#117799",
)
"""A hue for each function; people with any common colour vision can distinguish the first four."""

SHADES = (0.0, 0.14, 0.27, 0.39, 0.49, 0.57, 0.64, 0.7)
"""Shares of white in the colours of the modes of a function, the heaviest mode first."""

FIELDS = (
    *("#f0d9b0", "#f2dfbf", "#f4e6cf", "#f6ede0", "#f8f5f0"),
    *("#f1f3f6", "#e2e8f1", "#d2ddeb", "#c2d1e5", "#b2c5df"),
)
"""Fill of a probability of 0 to 1, in ten steps."""

STEPS = (
    *("#f3f6f4", "#e3ece7", "#d2e2da", "#c0d7cc", "#aeccbe"),
    *("#9bc1b0", "#88b5a2", "#74a994", "#5f9d86", "#499078"),
)
"""Fill of a number from the smallest to the largest, in ten steps."""

CLASSES = ("#8f5f12", "#3c5a8c")
"""Points of the two classes."""

STYLE: Any = {
    "font.size": 10.5,
    "text.parse_math": False,  # names may hold dollar signs
    "axes.titlesize": 11,
    "axes.labelsize": 10.5,
    "xtick.labelsize": 9.5,
    "ytick.labelsize": 9.5,
    "legend.fontsize": 9.5,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": PALE,
    "axes.linewidth": 0.8,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "axes.labelcolor": WHOLE,
    "text.color": WHOLE,
    "axes.titlecolor": WHOLE,
    "figure.facecolor": PAPER,
    "savefig.facecolor": PAPER,
    "figure.dpi": 100,
}
"""What matplotlib is told while a figure is drawn."""


def styled(function: Callable[P, R]) -> Callable[P, R]:
    """Draw a figure with the project's type sizes and colours, whatever the user's are."""

    @wraps(function)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> R:
        with rc_context(STYLE):
            return function(*args, **kwargs)

    return drawn


def new_figure(height: float, width: float = WIDTH) -> Figure:
    """Return an empty figure that lays itself out."""
    return Figure(figsize=(width, height), layout="constrained")


def function_colour(function: int) -> str:
    """Return the colour of a function's number, the same in every figure; grey after the eighth."""
    return FUNCTIONS[function - 1] if 0 < function <= len(FUNCTIONS) else REST


def mode_colours(comparison: Comparison) -> dict[int, str]:
    """Return the colour of each mode by its id: the hue of its function, the heaviest darkest."""
    colours = {}
    for function in comparison.functions:
        hue = function_colour(function.id)
        for place, mode in enumerate(function.modes):
            grey = hue == REST
            colours[mode] = hue if grey else tint(hue, SHADES[place % len(SHADES)])
    return colours


def tint(colour: str, share: float) -> str:
    """Return a colour mixed with a share of white."""
    red, green, blue = (channel + (1 - channel) * share for channel in to_rgb(colour))
    return str(to_hex((red, green, blue)))


def group_colour(comparison: Comparison, function: int, mode: int) -> str:
    """Return the colour of a mode, or of the lesser modes of a function."""
    hue = function_colour(function)
    if mode:
        return mode_colours(comparison).get(mode, REST)
    return hue if hue == REST else tint(hue, SHADES[-1])


def drawn_functions(comparison: Comparison) -> tuple[FunctionSummary, ...]:
    """Return the functions that figures with a panel for each show."""
    return comparison.shown_functions[:MOST_FUNCTIONS]


def quiet_grid(axes: Axes, axis: str = "x") -> None:
    """Draw faint lines behind the data, at the ticks of one axis."""
    axes.set_axisbelow(True)
    axes.grid(axis=axis, color=GRID, linewidth=0.8)  # type: ignore[arg-type]


def by_name(comparisons: Comparison | Mapping[str, Comparison]) -> dict[str, Comparison]:
    """Return comparisons by name; a single one gets its posterior's name."""
    if isinstance(comparisons, Comparison):
        return {visible(comparisons.posterior.name): comparisons}
    if not comparisons:
        raise InputError("comparisons: there is none; give at least one")
    return {visible(name): one for name, one in comparisons.items()}
