"""The evidence of every mode by every method."""

from __future__ import annotations

import math

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from manymodes.modes.checks import (
    BRIDGE,
    COPIES,
    IMPORTANCE,
    LAPLACE,
    MODE,
    NESTED,
    POOLED,
    SUM,
    WHOLE,
    Check,
    Checks,
)
from manymodes.modes.comparison import Comparison
from manymodes.report.plots.style import GRID, POSTERIORS, new_figure, quiet_grid, styled
from manymodes.report.plots.style import WHOLE as DARK

_LOOKS = {
    NESTED: (DARK, "D"),
    BRIDGE: (POSTERIORS[0], "o"),
    IMPORTANCE: (POSTERIORS[2], "s"),
    LAPLACE: (POSTERIORS[3], "|"),
    POOLED: (POSTERIORS[1], "X"),
}
"""Colour and marker of each method, in the order in which a row shows them."""

_MOST_ROWS = 15


@styled
def plot_checks(comparison: Comparison, checks: Checks) -> Figure:
    """Plot the log evidence of each prominent mode and of the whole by every method.

    Parameters
    ----------
    comparison : Comparison
        The comparison that was checked.
    checks : Checks
        The result of `check`.

    Returns
    -------
    Figure
        One row for each mode with one mark for each method, in nats with one standard error.
    """
    modes = comparison.prominent[:_MOST_ROWS]
    rows = [(f"mode {mode.id}", MODE, mode.id) for mode in modes]
    rows.append(("sum of modes", SUM, 0))
    if any(check.scope == COPIES for check in checks.rows):
        rows.append(("with copies", COPIES, 0))
    used = [m for m in _LOOKS if any(c.method == m and math.isfinite(c.log_z) for c in checks.rows)]
    figure = new_figure(0.95 + (0.13 * len(used) + 0.12) * len(rows))
    axes = figure.subplots()
    for place, (_, scope, mode) in enumerate(rows):
        for number, method in enumerate(used):
            y = place + ((number + 0.5) / len(used) - 0.5) * 0.8
            row = checks.row(method, scope, mode)
            if scope == SUM and method in (NESTED, POOLED):
                row = checks.row(method, WHOLE)
            if row is not None and math.isfinite(row.log_z):
                _mark(axes, row, y)
    for place in range(1, len(rows)):
        axes.axhline(place - 0.5, color=GRID, lw=0.8, zorder=0)
    axes.set_yticks(range(len(rows)), [label for label, _, _ in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.margins(x=0.06)
    axes.set_xlabel("log evidence (nats)")
    quiet_grid(axes)
    handles = [
        Line2D([], [], color=_LOOKS[m][0], marker=_LOOKS[m][1], ls="none", ms=6, mew=1.5, label=m)
        for m in used
    ]
    figure.legend(handles=handles, loc="outside upper left", ncols=2, handlelength=1.0)
    return figure


def _mark(axes: Axes, check: Check, y: float) -> None:
    colour, marker = _LOOKS[check.method]
    axes.errorbar(
        check.log_z,
        y,
        xerr=check.log_z_sd if math.isfinite(check.log_z_sd) else None,
        fmt=marker,
        color=colour,
        ms=9 if marker == "|" else 4.5,
        mew=1.5,
        capsize=2,
        elinewidth=1.3,
    )
