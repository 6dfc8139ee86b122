"""Figures of a diagnosis: from mode to mode, and how many modes further chains would find."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from manymodes.modes.diagnosis import Diagnosis
from manymodes.report.plots.style import (
    GRID,
    PALE,
    POSTERIORS,
    WHOLE,
    WIDTH,
    new_figure,
    quiet_grid,
    styled,
)
from manymodes.statistics.coverage import accumulation
from manymodes.types import IntArray

_MOST_ROWS = 20
_SIDE_BY_SIDE = 9  # tables of at most this many rows fit beside each other
_POINTS = 60
_PALEST, _DEEPEST = 0.12, 0.5


@styled
def plot_switching(diagnosis: Diagnosis) -> Figure:
    """Plot where chains began against where they ended, as tables of counts.

    Parameters
    ----------
    diagnosis : Diagnosis
        The diagnosis of the chains.

    Returns
    -------
    Figure
        One panel by the mode of the first draw and, if starts were climbed, one by the mode
        that the starting point climbs to ("none" if that mode holds no draw). Chains on the
        diagonal ended where they began. The modes with the most chains, at most 19, have their
        own row; the others share one.
    """
    moved = diagnosis.switching
    tables = {"mode of the first draw": moved.from_draws}
    if moved.started.size:
        tables = {"mode of the starting point": moved.from_starts, **tables}
    ids = _rows(tables.values())
    few = len(ids) + 1 <= _SIDE_BY_SIDE
    columns = len(tables) if few else 1
    side = min(WIDTH / 2, 1 + 0.55 * len(ids)) if few else min(WIDTH, 1.2 + 0.2 * len(ids))
    figure = new_figure(0.35 + 0.92 * side * (1 if few else len(tables)))
    panels = figure.subplots(len(tables) // columns, columns, squeeze=False).ravel()
    for axes, (name, table) in zip(panels, tables.items(), strict=True):
        counts, rows = _lumped(table, ids)
        _heat(axes, counts, rows)
        axes.set_ylabel(name)
        axes.set_xlabel("mode of the last draw")
    return figure


def _rows(tables: Iterable[IntArray]) -> list[int]:
    """Return the ids of the modes with the most chains, in order; each has its own row."""
    total = np.sum([t.sum(axis=0) + t.sum(axis=1) for t in tables], axis=0)
    ids = 1 + np.flatnonzero(total[1:])
    if len(ids) > _MOST_ROWS:
        ids = np.sort(ids[np.argsort(-total[ids], kind="stable")[: _MOST_ROWS - 1]])
    return [int(i) for i in ids]


def _lumped(table: IntArray, ids: list[int]) -> tuple[IntArray, list[str]]:
    """Return counts, in which ids without their own row are added up, and the rows' names."""
    place = np.full(len(table), len(ids))
    place[ids] = np.arange(len(ids))
    place[0] = len(ids) + 1
    counts = np.zeros((len(ids) + 2, len(ids) + 2), dtype=np.intp)
    np.add.at(counts, (place[:, None], place[None, :]), table)
    keep = [*range(len(ids))]
    names = [str(i) for i in ids]
    for extra, name in ((len(ids), "other"), (len(ids) + 1, "none")):
        if counts[extra].any() or counts[:, extra].any():
            keep.append(extra)
            names.append(name)
    return counts[np.ix_(keep, keep)], names


def _heat(axes: Axes, counts: IntArray, names: list[str]) -> None:
    columns = len(names) - (names[-1] == "none")  # chains with a draw end in a mode
    largest = max(int(counts.max()), 2)
    for row, column in np.argwhere(counts[:, :columns] > 0).tolist():
        depth = _PALEST + (_DEEPEST - _PALEST) * np.log(counts[row, column]) / np.log(largest)
        square = Rectangle((column - 0.5, row - 0.5), 1, 1, fc=POSTERIORS[0], alpha=depth, lw=0)
        axes.add_patch(square)
    axes.set_aspect("equal")
    axes.set_xlim(-0.5, columns - 0.5)
    axes.set_ylim(len(names) - 0.5, -0.5)
    many = len(names) > _SIDE_BY_SIDE
    axes.set_xticks(range(columns), names[:columns], rotation=90 if many else 0)
    axes.set_yticks(range(len(names)), names)
    axes.set_xticks(np.arange(columns + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(len(names) + 1) - 0.5, minor=True)
    axes.grid(which="minor", color=GRID, linewidth=0.8)
    axes.tick_params(which="both", length=0)
    axes.spines[:].set_visible(False)
    size = 7.5 if many else 9.5
    for row, column in np.argwhere(counts[:, :columns] > 0):
        count = int(counts[row, column])
        axes.text(
            column,
            row,
            f"{count}",
            ha="center",
            va="center",
            fontsize=size if count < 1000 else size - 2,
            color=WHOLE,
            fontweight="bold" if row == column else "normal",
        )


@styled
def plot_accumulation(diagnosis: Diagnosis) -> Figure:
    """Plot the number of modes and functions found against the number of starts.

    Parameters
    ----------
    diagnosis : Diagnosis
        The diagnosis of the chains.

    Returns
    -------
    Figure
        Up to the number of starts, the mean over all subsets of them; dashed, the expected
        number with as many starts again. Bands show one standard error.
    """
    n = diagnosis.starts
    at = np.unique(np.r_[np.geomspace(1, n, _POINTS), np.linspace(1, 2 * n, _POINTS), n].round())
    figure = new_figure(2.7)
    axes = figure.subplots()
    kinds = {"modes": diagnosis.mode_counts}
    if diagnosis.function_coverage.found != diagnosis.mode_coverage.found:
        kinds["functions"] = diagnosis.function_counts
    top = 0.0
    for (name, counts), colour in zip(kinds.items(), POSTERIORS, strict=False):
        curve, errors = accumulation(counts, at, starts=n)
        run = at <= n
        axes.fill_between(at, curve - errors, curve + errors, color=colour, alpha=0.18, lw=0)
        axes.plot(at[run], curve[run], color=colour, lw=1.8, label=name)
        axes.plot(at[at >= n], curve[at >= n], color=colour, lw=1.5, ls=(0, (4, 2.5)))
        axes.plot(n, (counts > 0).sum(), "o", color=colour, ms=5.5)
        top = max(top, float((curve + errors).max()))
    axes.axvline(n, color=PALE, lw=0.9, ls=(0, (1, 2)))
    axes.set_xlim(0, 2 * n)
    axes.set_ylim(0, 1.08 * top)
    axes.yaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.set_xlabel("chains" if diagnosis.superchains == 1 else "superchains")
    axes.set_ylabel("found")
    quiet_grid(axes, "y")
    if len(kinds) > 1:
        figure.legend(loc="outside upper left", ncols=2)
    return figure
