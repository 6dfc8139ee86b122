"""Figures of chains: whether they agree (R-hat) and whether they ever change mode."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb, to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from manymodes.errors import InputError
from manymodes.modes.comparison import Comparison
from manymodes.modes.diagnosis import Switching, switching
from manymodes.report.plots.corner import corner_columns
from manymodes.report.plots.draws import grouped
from manymodes.report.plots.marks import Mark, dots, mark
from manymodes.report.plots.style import (
    GRID,
    POSTERIORS,
    REST,
    SOFT,
    by_name,
    drawn_functions,
    function_colour,
    group_colour,
    new_figure,
    quiet_grid,
    styled,
)
from manymodes.types import FloatArray, IntArray

THRESHOLDS = (1.01, 1.1)
_MOST_STRIPS = 48
_TRACES = 4
_MOST_DOTS = 500


@styled
def plot_rhat(comparisons: Comparison | Mapping[str, Comparison]) -> Figure:
    """Plot histograms of R-hat in weight space and, for networks, in function space.

    Parameters
    ----------
    comparisons : Comparison or mapping of str to Comparison
        Those without R-hat (fewer than two chains) are left out.

    Returns
    -------
    Figure
        Against R-hat on a scale that is logarithmic in R-hat - 1, with the thresholds 1.01
        and 1.1 marked.
    """
    found = {n: c for n, c in by_name(comparisons).items() if c.rhat_weights.size}
    spaces = {
        "weight space": [_excess(c.rhat_weights) for c in found.values()],
        "function space": [_excess(c.rhat_function) for c in found.values()],
    }
    spaces = {space: parts for space, parts in spaces.items() if any(p.size for p in parts)}
    everything = np.concatenate([part for parts in spaces.values() for part in parts])
    low, high = min(everything.min(), -3.0) - 0.1, max(everything.max(), -0.7) + 0.1
    figure = new_figure(0.7 + 1.9 * len(spaces))
    panels = figure.subplots(len(spaces), 1, sharex=True, squeeze=False)[:, 0]
    for axes, (space, parts) in zip(panels, spaces.items(), strict=True):
        for part, colour in zip(parts, POSTERIORS, strict=False):
            style = {"histtype": "stepfilled", "facecolor": (*to_rgb(colour), 0.35)}
            axes.hist(part, np.linspace(low, high, 45), edgecolor=colour, lw=1.2, **style)
        for threshold in THRESHOLDS:
            axes.axvline(np.log10(threshold - 1), color=SOFT, lw=1, ls=(0, (4, 3)))
        axes.set_title(space, loc="left", fontweight="bold")
        axes.set_ylabel("how many")
    ticks = np.array([1.001, 1.01, 1.1, 2, 11, 101])
    ticks = ticks[(np.log10(ticks - 1) >= low) & (np.log10(ticks - 1) <= high)]
    panels[-1].set_xticks(np.log10(ticks - 1), [f"{tick:g}" for tick in ticks])
    panels[-1].set_xlabel("R-hat")
    if len(found) > 1:
        handles = [
            Patch(facecolor=(*to_rgb(colour), 0.35), edgecolor=colour, label=name)
            for name, colour in zip(found, POSTERIORS, strict=False)
        ]
        figure.legend(handles=handles, loc="outside upper left", ncols=len(handles))
    return figure


def _excess(rhat: FloatArray) -> FloatArray:
    """Return log10 of R-hat - 1; NaN is left out, infinite and very small values are clipped."""
    values = rhat.ravel()[~np.isnan(rhat.ravel())]
    return np.log10(np.clip(values - 1, 5e-4, 1e3))


@styled
def plot_traces(comparison: Comparison) -> Figure:
    """Plot the mode of every draw of the chains, and one weight in a few of them.

    Parameters
    ----------
    comparison : Comparison
        A comparison with chains.

    Returns
    -------
    Figure
        Above, a strip for each chain (at most 48, evenly chosen) with the colour of the mode
        of each draw, a shade of its function's, nothing where a chain was cut short; below,
        traces of one weight: the chains that change mode most often, then those that stay.

    Raises
    ------
    InputError
        There are no chains.
    """
    if comparison.chains is None:
        raise InputError(f"the comparison of '{comparison.posterior.name}' has no chains to plot")
    modes, moved = comparison.chain_modes, switching(comparison)
    order = np.lexsort((moved.ended, moved.main))
    if len(order) > _MOST_STRIPS:
        order = order[np.linspace(0, len(order) - 1, _MOST_STRIPS).round().astype(int)]
    chosen = _chosen(moved)
    strips = max(0.7, 0.075 * len(order))
    figure = new_figure(1.3 + strips + 0.95 * len(chosen))
    heights = [strips, *([0.9] * len(chosen))]
    panels = figure.subplots(1 + len(chosen), 1, sharex=True, height_ratios=heights)
    _strips(panels[0], comparison, modes[order])
    panels[0].set_yticks([])
    panels[0].set_ylabel("chains")
    panels[0].spines[:].set_visible(False)
    columns = corner_columns(comparison.posterior, comparison.chains.rows)
    name, values = max(columns.items(), key=lambda c: _told_apart(c[1][chosen], modes[chosen]))
    for axes, chain in zip(panels[1:], chosen, strict=True):
        _trace(axes, comparison, values[chain], modes[chain])
        axes.set_ylabel(name)
        axes.sharey(panels[1])
        title = f"chain {comparison.chains.index[chain]}"
        axes.set_title(title, loc="left", fontsize=9.5, pad=2)
    panels[-1].set_xlabel("draw")
    own = [one for one in drawn_functions(comparison) if np.isin(modes, one.modes).any()]
    names = {function_colour(one.id): f"function {one.id}" for one in own}
    if not np.isin(modes[modes > 0], [mode for one in own for mode in one.modes]).all():
        names[REST] = "others"
    handles = [Patch(color=colour, label=name) for colour, name in names.items()]
    figure.legend(handles=handles, loc="outside upper left", ncols=4, handlelength=1.2)
    return figure


def _told_apart(values: FloatArray, modes: IntArray) -> float:
    """Return the share of a weight's variance that changes of mode within a chain explain."""
    explained = 0.0
    spread = 0.0
    for padded, ids in zip(values, modes, strict=True):
        chain, labels = padded[ids > 0], ids[ids > 0]
        means = {mode: chain[labels == mode].mean() for mode in np.unique(labels)}
        explained += float(np.var([means[label] for label in labels]))
        spread += float(chain.var())
    return explained / spread if spread > 0 else 0.0


def _chosen(moved: Switching) -> list[int]:
    """Return up to four chains: at most half of them those that change mode most often."""
    changes, main = moved.changes, moved.main
    order = np.argsort(-changes, kind="stable")
    restless = [int(c) for c in order[: _TRACES // 2] if changes[c] > 0]
    rest: list[int] = []
    for chain in order[::-1]:  # the chains that stay, each in another mode if possible
        if chain not in restless and main[chain] not in main[rest]:
            rest.append(int(chain))
    rest += [int(c) for c in order[::-1] if c not in restless and c not in rest]
    return restless + rest[: _TRACES - len(restless)]


def _strips(axes: Axes, comparison: Comparison, modes: IntArray) -> None:
    """Draw a strip for each chain: an image for each mode, or the lesser modes of a function."""
    for group in grouped(comparison, modes):
        colour = to_rgba(group_colour(comparison, group.function, group.mode))
        image = np.where(group.inside[..., None], colour, 0.0)
        drawn = axes.imshow(
            (255 * image).astype(np.uint8),
            aspect="auto",
            interpolation="none",
            extent=(0, modes.shape[1], len(modes) - 0.5, -0.5),
        )
        mark(drawn, Mark(function=group.function, mode=group.mode))


def _trace(axes: Axes, comparison: Comparison, values: FloatArray, modes: IntArray) -> None:
    step = -(-len(values) // _MOST_DOTS)
    at, values, modes = np.arange(len(values))[::step], values[::step], modes[::step]
    axes.plot(at[modes > 0], values[modes > 0], color=GRID, lw=0.5, zorder=1)
    for group in grouped(comparison, modes):
        colour = group_colour(comparison, group.function, group.mode)
        line = dots(axes, at[group.inside], values[group.inside], colour, 2.0)
        mark(line, Mark(function=group.function, mode=group.mode))
    quiet_grid(axes, "y")
