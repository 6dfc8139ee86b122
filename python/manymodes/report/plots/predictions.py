"""Figures of predictions over the space of the inputs, of the whole and mode by mode."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize, to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from manymodes.errors import InputError
from manymodes.modes.comparison import Comparison
from manymodes.networks.network import Network
from manymodes.networks.observed import Observed
from manymodes.report.plots.draws import Pool, pool_of, training_data
from manymodes.report.plots.style import (
    MOST_MODES,
    WHOLE,
    mode_colour,
    new_figure,
    shown_modes,
    styled,
)
from manymodes.types import FloatArray

_DRAWS = 400
_GRID = 64
_COLUMNS = 3
_MAP = "PuOr_r"
_MARKERS = "osD^v<>P"
_TWO_CLASSES = ("#5a3a86", "#c8640a")
_CLASSES = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#f0e442", "#999999")


def why_no_predictions(network: Network | None) -> str:
    """Return why predictions cannot be drawn, as what the network has; empty if they can."""
    if network is None:
        return "no network"
    if network.inputs > 2:
        return f"{network.inputs} inputs, and predictions are drawn over one or two inputs"
    if network.likelihood != "categorical":
        several = network.outputs > 1
        return f"{network.outputs} targets, and predictions are drawn of one" if several else ""
    if network.inputs == 1:
        return "one input and several classes, and classes are drawn over two inputs"
    if network.outputs > len(_CLASSES):
        return f"{network.outputs} classes, and at most {len(_CLASSES)} have colours"
    return ""


def can_plot_predictions(network: Network | None) -> bool:
    """Return whether predictions can be drawn: two inputs, or one with a single output."""
    return not why_no_predictions(network)


@styled
def plot_predictions(comparison: Comparison, *, limit: int = MOST_MODES) -> Figure:
    """Plot the data and the mean predictions of the whole and of each prominent mode.

    Parameters
    ----------
    comparison : Comparison
        The comparison of a network with one or two inputs.
    limit : int
        The largest number of modes shown.

    Returns
    -------
    Figure
        Two inputs: a map for the whole and for each mode. One input: a curve for each.

    Raises
    ------
    InputError
        The posterior is not that of such a network.
    """
    network = comparison.posterior.network
    if why := why_no_predictions(network):
        raise InputError(f"the posterior '{comparison.posterior.name}' has {why}")
    assert network is not None
    if network.inputs == 1:
        return _curves(comparison, network, limit)
    return _maps(comparison, network, limit)


def _groups(comparison: Comparison, pool: Pool, limit: int) -> Iterator[tuple[str, str, Pool]]:
    """Yield the title, colour and draws of the whole and of each mode that is shown."""
    for mode in (None, *(m.id for m in shown_modes(comparison, limit))):
        picks = pool.draws(mode, _DRAWS)
        if picks is not None:
            chosen = Pool(pool.rows[picks], pool.eta[picks], pool.weights[picks], pool.modes[picks])
            yield (
                ("whole", WHOLE, chosen)
                if mode is None
                else (f"mode {mode}", mode_colour(mode), chosen)
            )


def _limits(values: FloatArray) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    margin = 0.08 * (high - low) or 1.0
    return low - margin, high + margin


def _data(comparison: Comparison) -> tuple[FloatArray, FloatArray]:
    """Return inputs, and targets in the units of predictions."""
    data = training_data(comparison.posterior)
    if data is None:
        raise InputError("the posterior has no network and no predictions")
    return data.X, data.shares


def _meaning(network: Network, data: Observed) -> str:
    """Return what a prediction is, in words."""
    kind = network.likelihood_parts.kind
    if kind in ("bernoulli", "binomial"):
        return "probability of class 1" if kind == "bernoulli" else "probability of a success"
    exposed = (data.counted_over.get("exposure", np.ones(1)) != 1).any()
    return "rate for an exposure of 1" if exposed else "mean"


def _curves(comparison: Comparison, network: Network, limit: int) -> Figure:
    X, y = _data(comparison)
    inputs = np.linspace(*_limits(X), 4 * _GRID)
    figure = new_figure(3.8)
    axes = figure.subplots()
    axes.plot(X[:, 0], y, ".", color="#8a8f98", ms=5, label="data")
    for title, colour, draws in _groups(comparison, pool_of(comparison), limit):
        values = comparison.posterior.predict(draws.rows, inputs[:, None])
        if title == "whole":
            band = np.quantile(values, [0.05, 0.95], axis=0)
            axes.fill_between(inputs, *band, color=colour, alpha=0.12, lw=0)
        width = 2.4 if title == "whole" else 1.4
        axes.plot(inputs, values.mean(axis=0), color=colour, lw=width, label=title)
    axes.set_xlabel("input")
    known = training_data(comparison.posterior)
    what = "mean" if known is None else _meaning(network, known)
    axes.set_ylabel("mean prediction" if what == "mean" else what)
    figure.legend(loc="outside upper left", ncols=4)
    return figure


def _maps(comparison: Comparison, network: Network, limit: int) -> Figure:
    X, y = _data(comparison)
    x1, x2 = (np.linspace(*_limits(column), _GRID) for column in X.T)
    grid = np.stack([g.ravel() for g in np.meshgrid(x1, x2)], axis=-1)
    groups = list(_groups(comparison, pool_of(comparison), limit))
    means = [comparison.posterior.predict(d.rows, grid).mean(axis=0) for _, _, d in groups]
    columns = min(_COLUMNS, len(groups))
    rows = -(-len(groups) // columns)
    figure = new_figure(0.75 + 2.15 * rows, width=0.6 + 2.0 * columns)
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    colours = _colours(network, means, y)
    extent = (x1[0], x1[-1], x2[0], x2[-1])
    for axes, (title, colour, _), mean in zip(panels.flat, groups, means, strict=False):
        image = _image(network, mean).reshape(_GRID, _GRID, -1)
        axes.imshow(
            image if network.likelihood == "categorical" else image[..., 0],
            extent=extent,
            origin="lower",
            aspect="auto",
            interpolation="bilinear",
            cmap=colours.get_cmap(),
            norm=colours.norm,
            alpha=0.85,
        )
        if network.likelihood == "bernoulli":
            axes.contour(x1, x2, image[..., 0], levels=[0.5], colors="k", linewidths=0.9)
        _points(axes, network, X, y, colours)
        axes.set_title(title, loc="left", fontweight="bold", color=colour)
        axes.spines[:].set_visible(False)
    for place in range(len(groups), panels.size):
        panels.flat[place].set_visible(False)
        panels.flat[place - columns].tick_params(labelbottom=True)
    figure.supxlabel("first input", fontsize=10.5)
    figure.supylabel("second input", fontsize=10.5)
    if network.likelihood == "categorical":
        shown = zip(_CLASSES[: network.outputs], _MARKERS, strict=False)
        classes = [
            Line2D([], [], ls="", color=colour, marker=marker, label=f"class {k}")
            for k, (colour, marker) in enumerate(shown)
        ]
        figure.legend(handles=classes, loc="outside upper left", ncols=4)
    else:
        known = training_data(comparison.posterior)
        what = "mean" if known is None else _meaning(network, known)
        figure.colorbar(
            colours, ax=panels, label=what, location="top", aspect=45, shrink=0.75, pad=0.02
        )
    return figure


def _is_probability(network: Network) -> bool:
    return network.likelihood in ("bernoulli", "categorical", "binomial")


def _colours(network: Network, means: list[FloatArray], y: FloatArray) -> ScalarMappable:
    if not _is_probability(network):
        low = min(y.min(), *(m.min() for m in means))
        high = max(y.max(), *(m.max() for m in means))
        return ScalarMappable(Normalize(low, high), "viridis")
    return ScalarMappable(Normalize(0, 1), _MAP)


def _image(network: Network, mean: FloatArray) -> FloatArray:
    """Return the values shown at each input: the mean, or the classes' colours mixed by it."""
    if network.likelihood != "categorical":
        return mean[:, None]
    palette = np.array([to_rgb(c) for c in _CLASSES[: network.outputs]])
    return np.asarray(1 - 0.75 * (1 - mean @ palette))


def _points(
    axes: Axes, network: Network, X: FloatArray, y: FloatArray, colours: ScalarMappable
) -> None:
    if network.likelihood not in ("bernoulli", "categorical"):
        axes.scatter(X[:, 0], X[:, 1], c=colours.to_rgba(y), s=14, ec="w", lw=0.4, rasterized=True)
        return
    fills = _CLASSES if network.likelihood == "categorical" else _TWO_CLASSES
    for label in np.unique(y).astype(int):
        x1, x2 = X[y == label].T
        marker, fill = _MARKERS[label], fills[label]
        axes.scatter(x1, x2, s=11, marker=marker, c=fill, edgecolors="w", lw=0.4, rasterized=True)
