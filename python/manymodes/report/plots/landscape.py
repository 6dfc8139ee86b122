"""The figure of a landscape: heights on the ways between two modes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from manymodes.modes.comparison import Comparison
from manymodes.modes.landscape import LOWEST
from manymodes.modes.path_between import Way, path_between
from manymodes.report.plots.style import PALE, function_colour, new_figure, quiet_grid, styled
from manymodes.types import FloatArray

_NEAR = 3
_LABEL = 0.02
_ROOM = 0.35
"""How far below a relaxed path the figure goes, as a share of what it shows above that."""


@styled
def plot_landscape(
    comparison: Comparison,
    modes: tuple[int, int] | None = None,
    *,
    kept: Path | str | None = None,
    seed: int = 1,
) -> Figure:
    """Plot the log density with respect to the prior on the ways between two modes.

    Parameters
    ----------
    comparison : Comparison
        A comparison with at least two modes.
    modes : tuple of two int, optional
        Their ids; by default the first mode and the first of another function, if there is one.
    kept : path, optional
        The run directory, which keeps the relaxed path.
    seed : int
        The seed of the comparison.

    Returns
    -------
    Figure
        Heights (nats) on the straight line and on the path that the string method relaxes uphill,
        and how far each falls below the lower mode.

    Raises
    ------
    InputError
        There are no two such modes, or modes have no peaks.

    Examples
    --------
    >>> # comparison: what chains and nested runs of the noisy-XOR posterior found
    >>> figure = mm.plot_landscape(comparison, (1, 2))
    >>> figure.axes[0].get_ylabel()
    'log density over the prior (nats)'
    """
    found = path_between(comparison, modes, kept=kept, seed=seed)
    function_of = {mode.id: mode.function for mode in comparison.summaries}
    figure = new_figure(3.35)
    axes = figure.subplots()
    axes.plot(
        *_shown(found.straight),
        color=PALE,
        lw=1.6,
        ls=(0, (5, 2)),
        label=f"straight line, falls by {found.straight.fall:.3g} nats",
    )
    axes.plot(
        *_shown(found.relaxed),
        color=function_colour(function_of[found.first]),
        lw=2.4,
        label=f"relaxed path, falls by {found.relaxed.fall:.3g} nats",
    )
    near = max(1, len(found.relaxed.heights) // _NEAR)
    for place, mode, beside in (
        (0, found.first, found.relaxed.heights[:near]),
        (1, found.second, found.relaxed.heights[-near:]),
    ):
        height = found.relaxed.heights[-place]
        below = beside.max() > height + _LABEL * np.ptp(found.relaxed.heights)
        axes.plot(place, height, "o", ms=6, color=function_colour(function_of[mode]))
        axes.annotate(
            f"mode {mode}, function {function_of[mode]}",
            (place, height),
            (0, -15 if below else 7),
            textcoords="offset points",
            ha="right" if place else "left",
        )
    top = float(
        max(found.relaxed.heights[0], found.relaxed.heights[-1], found.relaxed.heights.max())
    )
    low = float(found.relaxed.heights.min())
    least = max(low - _ROOM * max(top - low, 1.0) - 5, float(found.straight.heights.min()))
    room = 0.18 * max(top - least, 1.0)
    axes.set_ylim(least - 0.3 * room, top + room)
    axes.set_xlabel("share of the way, in climbing coordinates")
    over = " over the prior" * found.over_prior
    axes.set_ylabel(f"log density{over} (nats)")
    quiet_grid(axes, "y")
    figure.legend(loc="outside upper left")
    return figure


def _shown(way: Way) -> tuple[FloatArray, FloatArray]:
    """Return the curve of a way, with gaps where the density is zero."""
    return way.along, np.where(way.heights > LOWEST, way.heights, np.nan)
