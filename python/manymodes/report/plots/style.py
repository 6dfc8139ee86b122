"""What all figures share: colours of modes and posteriors, type sizes, an empty figure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure

from manymodes.errors import InputError
from manymodes.modes.comparison import Comparison, ModeSummary
from manymodes.wording import visible

P = ParamSpec("P")
R = TypeVar("R")

MOST_MODES = 8
"""Figures with a panel or a violin for each mode show at most this many."""

WIDTH = 6.6
"""Width of a figure (inches): the text column of the report."""

WHOLE = "#30343b"
POSTERIORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")

# Paul Tol's "muted" scheme: people with any common colour vision can distinguish its colours.
_MODES = (
    "#332288",
    "#cc6677",
    "#117733",
    "#ddaa33",
    "#88ccee",
    "#882255",
    "#44aa99",
    "#999933",
    "#aa4499",
)
_REST = "#a9adb3"

_STYLE: Any = {
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
    "axes.edgecolor": "#8a8f98",
    "axes.linewidth": 0.8,
    "xtick.color": "#5b616a",
    "ytick.color": "#5b616a",
    "axes.labelcolor": WHOLE,
    "text.color": WHOLE,
    "axes.titlecolor": WHOLE,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "figure.dpi": 100,
}


def styled(function: Callable[P, R]) -> Callable[P, R]:
    """Draw a figure with the project's type sizes and colours, whatever the user's are."""

    @wraps(function)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> R:
        with rc_context(_STYLE):
            return function(*args, **kwargs)

    return drawn


def new_figure(height: float, width: float = WIDTH) -> Figure:
    """Return an empty figure that lays itself out."""
    return Figure(figsize=(width, height), layout="constrained")


def mode_colour(mode: int) -> str:
    """Return the colour of a mode id, the same in every figure.

    The first nine have their own, the next nine a lighter one, and all others are grey.
    """
    lap, place = divmod(mode - 1, len(_MODES))
    if lap > 1:
        return _REST
    return _MODES[place] if lap == 0 else tint(_MODES[place], 0.5)


def tint(colour: str, share: float) -> str:
    """Return a colour mixed with a share of white."""
    red, green, blue = (channel + (1 - channel) * share for channel in to_rgb(colour))
    return str(to_hex((red, green, blue)))


def shown_modes(comparison: Comparison, limit: int = MOST_MODES) -> tuple[ModeSummary, ...]:
    """Return the prominent modes that a figure shows: the first ``limit`` of them."""
    return comparison.prominent[:limit]


def quiet_grid(axes: Axes, axis: str = "x") -> None:
    """Draw faint lines behind the data, at the ticks of one axis."""
    axes.set_axisbelow(True)
    axes.grid(axis=axis, color="#e4e6ea", linewidth=0.8)  # type: ignore[arg-type]


def by_name(comparisons: Comparison | Mapping[str, Comparison]) -> dict[str, Comparison]:
    """Return comparisons by name; a single one gets its posterior's name."""
    if isinstance(comparisons, Comparison):
        return {visible(comparisons.posterior.name): comparisons}
    if not comparisons:
        raise InputError("comparisons: there is none; give at least one")
    return {visible(name): one for name, one in comparisons.items()}
