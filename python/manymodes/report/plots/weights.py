"""The three weights of each mode, and the log evidences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from manymodes.modes.comparison import Comparison, ModeSummary
from manymodes.report.plots.style import (
    WHOLE,
    by_name,
    mode_colour,
    new_figure,
    quiet_grid,
    styled,
    tint,
)
from manymodes.statistics.estimate import Estimate

WEIGHTS = ("evidence", "stacking", "occupancy")
_TINY = 0.01
_LABEL_ALL = 6
_MOST_ROWS = 20
_RUNS = {"nested": "o", "tempered": "s"}


@styled
def plot_weights(comparison: Comparison) -> Figure:
    """Plot evidence weight, stacking weight and occupancy of each prominent mode side by side.

    Parameters
    ----------
    comparison : Comparison
        The comparison of one posterior. A weight without an estimate is left out.

    Returns
    -------
    Figure
        Horizontal bars in per cent with their standard errors. If there are few modes, each
        value is written; otherwise only values too small for a bar are.
    """
    modes = comparison.prominent[:_MOST_ROWS]
    kinds = [k for k in WEIGHTS if any(np.isfinite(_estimate(m, k).value) for m in modes)]
    step = 1 / (len(kinds) + 0.8)
    few = len(modes) <= _LABEL_ALL
    figure = new_figure(0.95 + (0.22 if few else 0.145) * (len(kinds) + 0.8) * len(modes))
    axes = figure.subplots()
    for row, mode in enumerate(modes):
        for place, kind in enumerate(kinds):
            y = row + (place - (len(kinds) - 1) / 2) * step
            _bar(axes, y, step, mode, kind, label_all=few)
    axes.set_yticks(range(len(modes)), [f"mode {mode.id}" for mode in modes])
    axes.invert_yaxis()
    axes.tick_params(axis="y", length=0)
    axes.set_xlim(left=0)
    axes.margins(x=0.12, y=0.01)
    axes.set_xlabel("weight (%)")
    quiet_grid(axes)
    handles = [Patch(**_look(WHOLE, kind), label=kind) for kind in kinds]
    figure.legend(handles=handles, loc="outside upper left", ncols=3, handlelength=1.4)
    return figure


def _bar(axes: Axes, y: float, step: float, mode: ModeSummary, kind: str, label_all: bool) -> None:
    estimate = _estimate(mode, kind)
    if not np.isfinite(estimate.value):
        return
    value, sd = 100 * estimate.value, 100 * np.nan_to_num(estimate.sd)
    axes.barh(y, value, height=0.86 * step, **_look(mode_colour(mode.id), kind))
    low = min(sd, value)
    if sd > 0:
        axes.errorbar(value, y, xerr=[[low], [sd]], color=WHOLE, lw=1, capsize=2, fmt="none")
    if label_all or estimate.value < _TINY:
        axes.annotate(
            "0" if value == 0 else f"{value:.2g}" if value < 1 else f"{value:.0f}",
            (value + sd, y),
            (4, 0),
            textcoords="offset points",
            va="center",
            fontsize=8.5 if label_all else 7.5,
            color="#5b616a",
        )


def _look(colour: str, kind: str) -> dict[str, Any]:
    """Return how a weight's bar is filled: full, light and hatched, or empty."""
    fill = {"evidence": colour, "stacking": tint(colour, 0.62), "occupancy": "white"}[kind]
    hatch = "////" if kind == "stacking" else None
    return {"facecolor": fill, "edgecolor": colour, "linewidth": 1.1, "hatch": hatch}


def _estimate(mode: ModeSummary, kind: str) -> Estimate:
    estimate: Estimate = getattr(mode, kind)
    return estimate


@styled
def plot_evidence(comparisons: Comparison | Mapping[str, Comparison]) -> Figure:
    """Plot the log evidence of each posterior, its runs and its prominent modes.

    Parameters
    ----------
    comparisons : Comparison or mapping of str to Comparison
        Those that were not integrated are left out.

    Returns
    -------
    Figure
        Log evidences in nats with one standard error; the runs are small open circles
        (nested) and squares (tempered).
    """
    found = {n: c for n, c in by_name(comparisons).items() if c.integrals}
    rows = [len(c.integrals) + len(c.prominent[:_MOST_ROWS]) for c in found.values()]
    figure = new_figure(0.75 + 0.24 * sum(rows) + 0.35 * len(rows))
    grid = figure.subplots(len(rows), 1, sharex=True, squeeze=False, height_ratios=rows)
    for axes, (name, comparison) in zip(grid[:, 0], found.items(), strict=True):
        _evidences(axes, comparison)
        if len(found) > 1:
            axes.set_title(name, loc="left", fontweight="bold")
    grid[-1, 0].set_xlabel("log evidence (nats)")
    return figure


def _evidences(axes: Axes, comparison: Comparison) -> None:
    modes = comparison.prominent[:_MOST_ROWS]
    engines = comparison.integrals
    for row, (name, one) in enumerate(engines.items()):
        runs = one.log_z_by_run
        axes.plot(runs, np.full(len(runs), row), _RUNS[name], mfc="none", mec=WHOLE, alpha=0.55)
        _point(axes, Estimate(one.log_z, one.log_z_sd), row, WHOLE, "D")
    for row, mode in enumerate(modes, start=len(engines)):
        if np.isfinite(mode.log_z.value):
            _point(axes, mode.log_z, row, mode_colour(mode.id), "o")
    rows = [*(f"whole, {name}" for name in engines), *(f"mode {m.id}" for m in modes)]
    axes.set_yticks(range(len(rows)), rows)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.margins(x=0.06)
    quiet_grid(axes)


def _point(axes: Axes, estimate: Estimate, y: float, colour: str, marker: str) -> None:
    sd = float(np.nan_to_num(estimate.sd))
    axes.errorbar(
        estimate.value, y, xerr=sd, fmt=marker, color=colour, ms=5.5, capsize=3, elinewidth=1.4
    )
