"""Draws of parameters, one by one and two by two, in the colours of functions or posteriors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from manymodes.density.posterior import Posterior
from manymodes.errors import InputError
from manymodes.modes.comparison import Comparison
from manymodes.modes.functions import FunctionSummary
from manymodes.report.plots.draws import grouped, pool_of
from manymodes.report.plots.marks import Mark, dots, mark
from manymodes.report.plots.style import (
    GRID,
    POSTERIORS,
    WIDTH,
    by_name,
    drawn_functions,
    function_colour,
    group_colour,
    new_figure,
    styled,
)
from manymodes.types import BoolArray, FloatArray, IntArray
from manymodes.wording import visible

MOST_COLUMNS = 6
_POINTS = 1000
_FEW_POINTS = 500
_MOSTLY = 0.5
_BINS = 30
_ROUNDING = 1e-9  # of the largest value


@dataclass(frozen=True)
class _Draws:
    """Equally weighted draws of each scalar, all finite, and the mode of each draw."""

    columns: dict[str, FloatArray]
    modes: IntArray

    def told_apart(self, name: str) -> float:
        """Return the share of a scalar's variance that lies between modes."""
        values = self.columns[name]
        means = np.zeros(len(values))
        for mode in np.unique(self.modes).tolist():
            means[self.modes == mode] = values[self.modes == mode].mean()
        return float(means.var() / values.var())


def corner_names(comparison: Comparison) -> tuple[str, ...]:
    """Return Stan's names of the scalars that a corner plot shows.

    These are the first six of the input weights ``W`` of a network, or of all parameters of
    another program.
    """
    columns = _finite_draws(comparison).columns
    return tuple([name for name, values in columns.items() if _varies(values)][:MOST_COLUMNS])


def _varies(values: FloatArray) -> bool:
    """Whether values differ by more than rounding, as weights of length 1 do not."""
    return bool(np.ptp(values) > _ROUNDING * np.abs(values).max())


def _finite_draws(comparison: Comparison, points: int = _POINTS) -> _Draws:
    """Return draws of each scalar; those that are rarely finite are left out."""
    pool = pool_of(comparison).drawn(None, points)
    if pool is None:
        return _Draws({}, np.empty(0, dtype=np.intp))
    columns = corner_columns(comparison.posterior, pool.rows)
    columns = {n: v for n, v in columns.items() if np.isfinite(v).mean() > _MOSTLY}
    if not columns:
        return _Draws({}, pool.modes[:0])
    kept = np.all([np.isfinite(values) for values in columns.values()], axis=0)
    if not kept.any():
        return _Draws({}, pool.modes[:0])
    return _Draws({name: values[kept] for name, values in columns.items()}, pool.modes[kept])


@dataclass(frozen=True)
class _Group:
    """Draws that have one colour."""

    label: str
    colour: str
    meaning: Mark
    inside: BoolArray


def _groups(comparison: Comparison, draws: _Draws) -> Iterator[_Group]:
    """Yield the draws of each mode, or of the lesser modes of a function, in their colours."""
    for group in grouped(comparison, draws.modes):
        colour = group_colour(comparison, group.function, group.mode)
        yield _Group("", colour, Mark(function=group.function, mode=group.mode), group.inside)


@styled
def plot_corner(comparisons: Comparison | Mapping[str, Comparison]) -> Figure:
    """Plot weights one by one and two by two.

    Parameters
    ----------
    comparisons : Comparison or mapping of str to Comparison
        The draws of the engine that integrates best, by their posterior weights; of chains, all
        chains alike, if no engine integrates.

    Returns
    -------
    Figure
        Histograms on the diagonal and equally weighted draws below it. Colours are the functions
        of a single posterior, their shades the modes; or they are the posteriors.

    Raises
    ------
    InputError
        No parameter has finite draws, or there is no comparison.

    Examples
    --------
    >>> # comparison: what chains and nested runs of the noisy-XOR posterior found
    >>> [axes.get_xlabel() for axes in mm.plot_corner(comparison).axes][-2:]
    ['W[2,1]', 'W[2,2]']
    """
    found = by_name(comparisons)
    names = corner_names(next(iter(found.values())))
    n = len(names)
    if n == 0:
        raise InputError("comparisons: no parameter has finite draws")
    figure = new_figure(min(WIDTH, 1.2 + 1.05 * n), width=min(WIDTH, 1.2 + 1.05 * n))
    grid: Any = figure.subplots(n, n, squeeze=False, sharex="col")
    for row, column in np.ndindex(n, n):
        axes: Axes = grid[row, column]
        axes.tick_params(labelsize=8, length=2, labelbottom=row == n - 1)
        axes.locator_params(nbins=3)
        if column > row:
            axes.set_visible(False)
        elif column == row or column > 0:
            axes.tick_params(labelleft=False)
        if column == row:
            axes.spines["left"].set_visible(False)
            axes.set_yticks([])
        if row == n - 1:
            axes.set_xlabel(names[column])
        if column == 0 and row > 0:
            axes.set_ylabel(names[row])
    handles, groups = [], list[_Group]()
    for (name, comparison), hue in zip(found.items(), POSTERIORS, strict=False):
        draws = _finite_draws(comparison, _POINTS if n <= 4 else _FEW_POINTS)
        if any(column not in draws.columns for column in names):
            continue
        groups = list(_groups(comparison, draws))
        if len(found) > 1:
            everything = np.ones(len(draws.modes), dtype=bool)
            groups = [_Group(name, hue, Mark(), everything)]
            handles.append(Line2D([], [], ls="", marker="o", ms=6, color=hue, label=name))
        _fill(grid, names, draws, groups)
    if len(found) == 1:
        (comparison,) = found.values()
        seen = {group.meaning.function for group in groups}
        handles = _key([one for one in drawn_functions(comparison) if one.id in seen])
    if len(handles) > 1:
        figure.legend(handles=handles, loc="upper right", bbox_to_anchor=(0.98, 0.98))
    return figure


def _fill(grid: Any, names: tuple[str, ...], draws: _Draws, groups: list[_Group]) -> None:
    for row, column in np.ndindex(len(names), len(names)):
        axes: Axes = grid[row, column]
        x = draws.columns[names[column]]
        if column == row:
            _histogram(axes, x, groups)
        elif column < row:
            y = draws.columns[names[row]]
            for group in groups:
                line = dots(axes, x[group.inside], y[group.inside], group.colour, 1.8)
                mark(line, group.meaning)


def _histogram(
    axes: Axes, x: FloatArray, groups: list[_Group], only: FunctionSummary | None = None
) -> None:
    """Draw a stacked histogram, in which the modes of a function are one."""
    edges = np.histogram_bin_edges(x, _BINS)
    base = np.zeros(len(edges) - 1)
    for function in dict.fromkeys(group.meaning.function for group in groups):
        members = [group for group in groups if group.meaning.function == function]
        inside = np.any([group.inside for group in members], axis=0)
        top = base + np.histogram(x[inside], edges)[0]
        colour = function_colour(function) if function else members[0].colour
        if only is not None and function != only.id:
            colour = GRID
        shape = axes.stairs(top, edges, baseline=base, fill=True, color=colour, lw=0)
        mark(shape, Mark(function=function))
        base = top


def _key(functions: Sequence[FunctionSummary]) -> list[Line2D]:
    return [
        Line2D(
            [], [], ls="", marker="o", ms=6, color=function_colour(one.id),
            label=f"function {one.id}",
        )
        for one in functions
    ]  # fmt: skip


@styled
def plot_draws(comparison: Comparison, function: FunctionSummary | None = None) -> Figure:
    """Plot the draws of the two parameters that tell the modes apart best.

    Parameters
    ----------
    comparison : Comparison
        The comparison of any program.
    function : FunctionSummary, optional
        Draw small, and only the draws of this function in its colour.

    Returns
    -------
    Figure
        Equally weighted draws in the colours of functions, their shades the modes; of a single
        parameter a histogram.

    Raises
    ------
    InputError
        No parameter has finite draws.
    """
    draws = _finite_draws(comparison)
    moving = [name for name, values in draws.columns.items() if _varies(values)]
    if not moving:
        raise InputError("comparison: no parameter has finite draws")
    names = sorted(sorted(moving, key=draws.told_apart, reverse=True)[:2], key=moving.index)
    small = function is not None
    figure = new_figure(1.55, width=2.2) if small else new_figure(3.35, width=4.3)
    axes = figure.subplots()
    groups = list(_groups(comparison, draws))
    if function is not None:
        groups.sort(key=lambda group: group.meaning.function == function.id)
    x = draws.columns[names[0]]
    if len(names) == 1:
        _histogram(axes, x, groups, function)
    for group in groups if len(names) > 1 else ():
        own = function is None or group.meaning.function == function.id
        colour = group.colour if own else GRID
        y = draws.columns[names[1]]
        shown = dots(axes, x[group.inside], y[group.inside], colour, 1.8 if small else 2.6)
        if not small:
            mark(shown, group.meaning)
    if len(names) == 1:
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
    if small:
        axes.tick_params(labelsize=8, length=2)
        axes.locator_params(nbins=4)
    else:
        axes.set_xlabel(visible(names[0]))
        axes.set_ylabel(visible(names[1]) if len(names) > 1 else "draws")
        seen = {group.meaning.function for group in groups}
        handles = _key([one for one in drawn_functions(comparison) if one.id in seen])
        if len(handles) > 1:
            figure.legend(handles=handles, loc="outside upper left", ncols=4, handletextpad=0.2)
    return figure


def corner_columns(posterior: Posterior, rows: FloatArray) -> dict[str, FloatArray]:
    """Return each scalar of rows (..., P) by Stan's name for it, shape (...).

    For a network only its input weights are returned.
    """
    variables = posterior.unpack(rows)
    if posterior.network is not None:
        variables = {"W": variables["W"]}
    columns = {}
    for name, values in variables.items():
        for index in np.ndindex(values.shape[rows.ndim - 1 :]):
            subscript = ",".join(str(i + 1) for i in index)
            columns[f"{name}[{subscript}]" if index else name] = values[(..., *index)]
    return columns
