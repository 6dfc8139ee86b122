"""An evidence by several methods: values with errors, the whole and each mode."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from manymodes.checks import Checks
from manymodes.plots._style import POSTERIORS, WHOLE, new_figure, quiet_grid, styled

_MOST = 6
_NAMES = {
    "bridge sampling, by mode": "bridge, by mode",
    "bridge sampling, all draws at once": "bridge, all at once",
    "Laplace, corrected by importance sampling": "Laplace, corrected",
}


@styled
def plot_checks(checks: Checks) -> Figure:
    """Plot the log evidence that each method gives.

    Parameters
    ----------
    checks : Checks
        Methods without a figure are left out; of the modes the first six are shown.

    Returns
    -------
    Figure
        One panel for the whole and one for each mode, values in nats with one standard error; the
        band is the method that the others are compared with.
    """
    shown = [row for row in checks.rows if np.isfinite(row.log_z.value)]
    modes = sorted({row.mode for row in shown})[: _MOST + 1]
    panels = [[row for row in shown if row.mode == mode] for mode in modes]
    heights = [len(rows) + 1.2 for rows in panels]
    figure = new_figure(0.5 + 0.29 * sum(heights))
    all_axes = figure.subplots(len(panels), 1, height_ratios=heights, squeeze=False)[:, 0]
    for axes, mode, rows in zip(all_axes, modes, panels, strict=True):
        for y, row in enumerate(rows):
            colour = POSTERIORS[1] if row.disagrees else POSTERIORS[0] if row.judged else "#8a8f98"
            error = row.log_z.sd if np.isfinite(row.log_z.sd) else 0.0
            axes.errorbar(
                row.log_z.value,
                y,
                xerr=error,
                fmt="o" if row.judged else "D",
                mfc=colour if row.judged else "white",
                color=colour,
                ms=5,
                lw=1.2,
                capsize=2.5,
            )
        standard = next((row for row in rows if row.method == checks.standard), None)
        if standard is not None and np.isfinite(standard.log_z.sd):
            middle, sd = standard.log_z.value, standard.log_z.sd
            axes.axvspan(middle - sd, middle + sd, color=POSTERIORS[0], alpha=0.1, lw=0)
        axes.set_yticks(range(len(rows)), [_short(row.method) for row in rows])
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.tick_params(axis="y", length=0)
        axes.set_title(f"mode {mode}" if mode else "whole", loc="left", color=WHOLE)
        quiet_grid(axes)
    all_axes[-1].set_xlabel("log evidence (nats)")
    return figure


def _short(method: str) -> str:
    return _NAMES.get(method, method).replace(" over the base measure", ",")
