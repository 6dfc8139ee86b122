"""The three weights of each function or mode, and the log evidences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.container import Container
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from manymodes.errors import InputError
from manymodes.modes.comparison import Comparison, ModeSummary
from manymodes.modes.functions import FunctionSummary
from manymodes.report.format import nats, percent
from manymodes.report.plots.marks import Mark, mark
from manymodes.report.plots.style import (
    PAPER,
    SOFT,
    WHOLE,
    by_name,
    function_colour,
    mode_colours,
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
def plot_weights(comparison: Comparison, *, by: str = "function") -> Figure:
    """Plot evidence weight, stacking weight and occupancy side by side.

    Parameters
    ----------
    comparison : Comparison
        The comparison of one posterior. A weight without an estimate is left out.
    by : {"function", "mode"}
        Whether a row is a function, or a prominent mode. The modes of a function stand together.

    Returns
    -------
    Figure
        Horizontal bars in per cent with their standard errors. If there are few rows, each
        value is written; otherwise only values too small for a bar are.

    Raises
    ------
    InputError
        ``by`` is neither.

    Examples
    --------
    >>> # comparison: what chains and nested runs of the noisy-XOR posterior found
    >>> mm.plot_weights(comparison).axes[0].get_xlabel()
    'weight (%)'
    """
    rows = _rows(comparison, by)
    kinds = [k for k in WEIGHTS if any(np.isfinite(getattr(r.shown, k).value) for r in rows)]
    step = 1 / (len(kinds) + 0.8)
    few = len(rows) <= _LABEL_ALL
    figure = new_figure(0.95 + (0.22 if few else 0.145) * (len(kinds) + 0.8) * len(rows))
    axes = figure.subplots()
    for place, row in enumerate(rows):
        for number, kind in enumerate(kinds):
            y = place + (number - (len(kinds) - 1) / 2) * step
            _bar(axes, y, step, row, kind, label_all=few)
    axes.set_yticks(range(len(rows)), [row.name for row in rows])
    axes.set_ylim(len(rows) - 0.45, -0.55)
    axes.tick_params(axis="y", length=0)
    axes.set_xlim(left=0)
    axes.margins(x=0.12)
    axes.set_xlabel("weight (%)")
    quiet_grid(axes)
    handles = [Patch(**_look(WHOLE, WHOLE, kind), label=kind) for kind in kinds]
    figure.legend(handles=handles, loc="outside upper left", ncols=3, handlelength=1.4)
    return figure


@dataclass(frozen=True)
class _Row:
    """A function or a mode, with its name and colours."""

    shown: FunctionSummary | ModeSummary
    name: str
    colour: str
    edge: str
    meaning: Mark


def _rows(comparison: Comparison, by: str) -> list[_Row]:
    if by == "function":
        return [
            _Row(one, name := f"function {one.id}", hue, hue, Mark(function=one.id, says=name))
            for one in comparison.shown_functions[:_MOST_ROWS]
            for hue in [function_colour(one.id)]
        ]
    if by != "mode":
        raise InputError(f"by: '{by}' is neither 'function' nor 'mode'")
    colours = mode_colours(comparison)
    modes = comparison.prominent[:_MOST_ROWS]
    return [
        _Row(
            mode,
            f"mode {mode.id}",
            colours[mode.id],
            function_colour(mode.function),
            Mark(
                function=mode.function,
                mode=mode.id,
                says=f"mode {mode.id} of function {mode.function}",
            ),
        )
        for mode in sorted(modes, key=lambda mode: (mode.function, mode.id))
    ]


def _bar(axes: Axes, y: float, step: float, row: _Row, kind: str, label_all: bool) -> None:
    estimate: Estimate = getattr(row.shown, kind)
    if not np.isfinite(estimate.value):
        return
    value, sd = 100 * estimate.value, 100 * np.nan_to_num(estimate.sd)
    meaning = replace(row.meaning, says=f"{row.meaning.says}: {kind} {percent(estimate)}")
    mark(axes.barh(y, value, height=0.86 * step, **_look(row.colour, row.edge, kind)), meaning)
    low = min(sd, value)
    if sd > 0:
        bar = axes.errorbar(value, y, xerr=[[low], [sd]], color=WHOLE, lw=1, capsize=2, fmt="none")
        mark(bar, replace(meaning, says=""))
    if label_all or estimate.value < _TINY:
        axes.annotate(
            "0" if value == 0 else f"{value:.2g}" if value < 1 else f"{value:.0f}",
            (value + sd, y),
            (4, 0),
            textcoords="offset points",
            va="center",
            fontsize=8.5 if label_all else 7.5,
            color=SOFT,
        )


def _look(colour: str, edge: str, kind: str) -> dict[str, Any]:
    """Return how a weight's bar is filled: full, light, or empty."""
    fill = {"evidence": colour, "stacking": tint(edge, 0.7), "occupancy": PAPER}[kind]
    return {"facecolor": fill, "edgecolor": edge, "linewidth": 1.1}


@styled
def plot_evidence(comparisons: Comparison | Mapping[str, Comparison]) -> Figure:
    """Plot the log evidence of each posterior, its runs and its functions.

    Parameters
    ----------
    comparisons : Comparison or mapping of str to Comparison
        Those that were not integrated are left out.

    Returns
    -------
    Figure
        Log evidences in nats with one standard error; the runs are small open circles
        (nested) and squares (tempered).

    Examples
    --------
    >>> # comparison: what chains and nested runs of the noisy-XOR posterior found
    >>> mm.plot_evidence(comparison).axes[0].get_xlabel()
    'log evidence (nats)'
    """
    found = {n: c for n, c in by_name(comparisons).items() if c.integrals}
    rows = [len(c.integrals) + len(_weighed(c)) for c in found.values()]
    figure = new_figure(0.75 + 0.24 * sum(rows) + 0.35 * len(rows))
    grid = figure.subplots(len(rows), 1, sharex=True, squeeze=False, height_ratios=rows)
    for axes, (name, comparison) in zip(grid[:, 0], found.items(), strict=True):
        _evidences(axes, comparison, name)
        if len(found) > 1:
            axes.set_title(name, loc="left", fontweight="bold")
    grid[-1, 0].set_xlabel("log evidence (nats)")
    return figure


def _weighed(comparison: Comparison) -> list[FunctionSummary]:
    """Return the functions with a prominent mode and a known evidence."""
    told = {mode.function for mode in comparison.prominent}
    known = [f for f in comparison.functions if f.id in told and np.isfinite(f.log_z.value)]
    return known[:_MOST_ROWS]


def _evidences(axes: Axes, comparison: Comparison, posterior: str) -> None:
    functions = _weighed(comparison)
    engines = comparison.integrals
    for row, (name, one) in enumerate(engines.items()):
        runs = one.log_z_by_run
        axes.plot(runs, np.full(len(runs), row), _RUNS[name], mfc="none", mec=WHOLE, alpha=0.55)
        _point(axes, Estimate(one.log_z, one.log_z_sd), row, WHOLE, "D")
    for row, function in enumerate(functions, start=len(engines)):
        says = f"function {function.id}: log evidence {nats(function.log_z)} nats"
        colour = function_colour(function.id)
        mark(
            _point(axes, function.log_z, row, colour, "o"), Mark(posterior, function.id, says=says)
        )
    rows = [*(f"whole, {name}" for name in engines), *(f"function {f.id}" for f in functions)]
    axes.set_yticks(range(len(rows)), rows)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.margins(x=0.06)
    quiet_grid(axes)


def _point(axes: Axes, estimate: Estimate, y: float, colour: str, marker: str) -> Container:
    sd = float(np.nan_to_num(estimate.sd))
    return axes.errorbar(
        estimate.value, y, xerr=sd, fmt=marker, color=colour, ms=5.5, capsize=3, elinewidth=1.4
    )
