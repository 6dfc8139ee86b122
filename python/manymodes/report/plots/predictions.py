"""Figures of what a posterior and its functions predict, with the data, in the user's units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import BoundaryNorm, ListedColormap, to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from manymodes.errors import InputError
from manymodes.modes.comparison import Comparison
from manymodes.modes.functions import FunctionSummary
from manymodes.networks.network import Network
from manymodes.networks.observed import Observed
from manymodes.report.names import (
    DataNames,
    class_named,
    default_names,
    measured,
    prediction_named,
    standardised,
)
from manymodes.report.plots.draws import Pool, function_pool, predictive_pool, training_data
from manymodes.report.plots.marks import Mark, dots, mark
from manymodes.report.plots.style import (
    CLASSES,
    FIELDS,
    GRID,
    MOST_FUNCTIONS,
    PALE,
    STEPS,
    WHOLE,
    drawn_functions,
    function_colour,
    new_figure,
    styled,
)
from manymodes.types import FloatArray

_DRAWS = 400
_GRID = 48
_COLUMNS = 3
_LONGEST = 36
_LONGEST_KEY = 22  # characters of a name in the key, three of which stand side by side
_MARKERS = "osD^v<>P"
_CLASSES = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#f0e442", "#999999")
_DASHES = ("-", (0, (5, 2)), (0, (1.5, 1.5)), (0, (5, 1.5, 1, 1.5)))
_JITTER = 0.3


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
def plot_data(comparison: Comparison, names: DataNames | None = None) -> Figure:
    """Plot the data with the mean prediction of the whole, and of its prominent functions.

    Parameters
    ----------
    comparison : Comparison
        The comparison of a network.
    names : DataNames, optional
        What the data are called, and their units.

    Returns
    -------
    Figure
        One input: curves. Two inputs: a map of the whole, and where each function is at one half.
        Where neither can be drawn: the prediction for each datum, and the datum.

    Raises
    ------
    InputError
        The posterior has no network.

    Examples
    --------
    >>> # comparison: what chains and nested runs of the noisy-XOR posterior found
    >>> figure = mm.plot_data(comparison, mm.DataNames(("left", "right"), "cured"))
    >>> figure.axes[0].get_xlabel(), figure.axes[0].get_ylabel()
    ('left', 'right')
    """
    scene = _Scene.of(comparison, names)
    figure = new_figure(3.35, width=4.3)
    axes = figure.subplots()
    told = {mode.function for mode in comparison.prominent}
    functions = [one for one in drawn_functions(comparison) if one.id in told]
    functions = functions if len(functions) > 1 else []  # a single one is the whole
    whole = predictive_pool(comparison).drawn(None, _DRAWS)
    if whole is None or why_no_predictions(scene.network):
        _fitted(axes, scene, whole)
    elif scene.network.inputs == 1:
        _curves(axes, scene, whole, functions)
    else:
        _map(axes, scene, scene.mean(whole), scene.steps(whole))
        if scene.network.likelihood == "bernoulli":
            _borders(axes, scene, functions)
    _name_axes(axes, scene)
    _keys(figure, scene, functions)
    return figure


@styled
def plot_function(
    comparison: Comparison, function: FunctionSummary, names: DataNames | None = None
) -> Figure:
    """Plot what one function predicts, small and without names of the axes.

    Parameters
    ----------
    comparison : Comparison
        The comparison of a network.
    function : FunctionSummary
        One of its functions.
    names : DataNames, optional
        What the data are called, and their units.

    Returns
    -------
    Figure
        The same picture as `plot_data`, of the draws of the function.

    Raises
    ------
    InputError
        The posterior has no network.
    """
    scene = _Scene.of(comparison, names)
    figure = new_figure(1.55, width=2.2)
    axes = figure.subplots()
    draws = scene.draws(function)
    colour = function_colour(function.id)
    if draws is None or why_no_predictions(scene.network):
        _fitted(axes, scene, draws, colour)
    elif scene.network.inputs == 1:
        dots(axes, scene.X[:, 0], scene.y, PALE, 3.0)
        inputs, values = scene.curve(draws)
        axes.fill_between(inputs, *_band(values), color=colour, alpha=0.2, lw=0)
        axes.plot(inputs, values.mean(axis=0), color=colour, lw=2)
    else:
        _map(axes, scene, scene.mean(draws), scene.steps(None), size=2.2, line=colour)
    axes.tick_params(labelsize=8, length=2)
    axes.locator_params(nbins=4)
    return figure


@styled
def plot_predictions(
    comparison: Comparison, *, limit: int = MOST_FUNCTIONS, names: DataNames | None = None
) -> Figure:
    """Plot the data and the mean predictions of the whole and of each function.

    Parameters
    ----------
    comparison : Comparison
        The comparison of a network with one or two inputs.
    limit : int
        The largest number of functions shown.
    names : DataNames, optional
        What the data are called, and their units.

    Returns
    -------
    Figure
        Two inputs: a map for the whole and for each function. One input: a curve for each.

    Raises
    ------
    InputError
        The posterior is not that of such a network.
    """
    if why := why_no_predictions(comparison.posterior.network):
        raise InputError(f"the posterior '{comparison.posterior.name}' has {why}")
    scene = _Scene.of(comparison, names)
    functions = drawn_functions(comparison)[:limit]
    whole = predictive_pool(comparison).drawn(None, _DRAWS)
    assert whole is not None
    if scene.network.inputs == 1:
        figure = new_figure(3.6)
        axes = figure.subplots()
        _curves(axes, scene, whole, functions)
        _name_axes(axes, scene)
        _keys(figure, scene, functions)
        return figure
    return _maps(scene, whole, functions)


# ------------------------------------------------------------------------------- what is drawn


@dataclass(frozen=True)
class _Scene:
    """Data in the user's units, and the network that predicts them."""

    comparison: Comparison
    network: Network
    names: DataNames
    data: Observed
    X: FloatArray
    y: FloatArray

    @classmethod
    def of(cls, comparison: Comparison, names: DataNames | None) -> _Scene:
        network, data = comparison.posterior.network, training_data(comparison.posterior)
        if network is None or data is None:
            raise InputError("the posterior has no network and no predictions")
        names = default_names(network) if names is None else names
        y = names.target_scale.invert(data.shares)
        X = measured(names, data.X)
        return cls(comparison, network, names, data, X, y)

    def draws(self, function: FunctionSummary) -> Pool | None:
        return function_pool(self.comparison, function.modes, _DRAWS)

    @property
    def is_probability(self) -> bool:
        return self.network.likelihood in ("bernoulli", "categorical", "binomial")

    def predict(self, draws: Pool, X: FloatArray) -> FloatArray:
        """Return the prediction of each draw at inputs in the user's units, in the user's units."""
        values = self.comparison.posterior.predict(draws.rows, standardised(self.names, X))
        return self.names.target_scale.invert(values)

    def curve(self, draws: Pool) -> tuple[FloatArray, FloatArray]:
        inputs = np.linspace(*_limits(self.X), 3 * _GRID)
        return inputs, self.predict(draws, inputs[:, None])

    def sides(self) -> tuple[FloatArray, FloatArray]:
        x1, x2 = (np.linspace(*_limits(column), _GRID) for column in self.X.T)
        return x1, x2

    def mean(self, draws: Pool) -> FloatArray:
        """Return the mean prediction on a grid: (n, n), or (n, n, classes)."""
        grid = np.stack([g.ravel() for g in np.meshgrid(*self.sides())], axis=-1)
        mean = self.predict(draws, grid).mean(axis=0)
        return np.asarray(mean.reshape(_GRID, _GRID, *mean.shape[1:]))

    def steps(self, draws: Pool | None) -> FloatArray:
        """Return the edges of the steps in which a map shows its values."""
        if self.is_probability:
            return np.linspace(0, 1, len(FIELDS) + 1)
        values = self.y if draws is None else np.r_[self.y, self.mean(draws).ravel()]
        low, high = float(values.min()), float(values.max())
        return np.linspace(low, high if high > low else low + 1, len(STEPS) + 1)


def _limits(values: FloatArray) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    margin = 0.08 * (high - low) or 1.0
    return low - margin, high + margin


def _band(values: FloatArray) -> FloatArray:
    return np.asarray(np.quantile(values, [0.05, 0.95], axis=0))


def _label(text: str, longest: int = _LONGEST) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def _name_axes(axes: Axes, scene: _Scene) -> None:
    names, what = scene.names, prediction_named(scene.names, scene.network, scene.data)
    if why_no_predictions(scene.network):
        return
    axes.set_xlabel(_label(names.inputs[0]))
    axes.set_ylabel(_label(what if scene.network.inputs == 1 else names.inputs[1]))


# ------------------------------------------------------------------------------------ one input


def _curves(axes: Axes, scene: _Scene, whole: Pool, functions: Sequence[FunctionSummary]) -> None:
    dots(axes, scene.X[:, 0], scene.y, PALE, 4.0)
    inputs, values = scene.curve(whole)
    axes.fill_between(inputs, *_band(values), color=WHOLE, alpha=0.13, lw=0)
    axes.plot(inputs, values.mean(axis=0), color=WHOLE, lw=2.4)
    for place, function in enumerate(functions):
        draws = scene.draws(function)
        if draws is None:
            continue
        inputs, values = scene.curve(draws)
        (line,) = axes.plot(
            inputs,
            values.mean(axis=0),
            color=function_colour(function.id),
            lw=1.5,
            ls=_DASHES[place % len(_DASHES)],
        )
        says = f"function {function.id}: its mean prediction"
        mark(line, Mark(function=function.id, says=says))


# ----------------------------------------------------------------------------------- two inputs


def _maps(scene: _Scene, whole: Pool, functions: Sequence[FunctionSummary]) -> Figure:
    pools = {function.id: scene.draws(function) for function in functions}
    groups: list[tuple[int, Pool]] = [(0, whole)]
    groups += [(number, pool) for number, pool in pools.items() if pool is not None]
    columns = min(_COLUMNS, len(groups))
    rows = -(-len(groups) // columns)
    figure = new_figure(0.85 + 1.85 * rows, width=0.6 + 1.67 * columns)
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    means = [scene.mean(pool) for _, pool in groups]
    steps = scene.steps(None)
    if not scene.is_probability:
        low = min(steps[0], *(float(mean.min()) for mean in means))
        high = max(steps[-1], *(float(mean.max()) for mean in means))
        steps = np.linspace(low, high, len(steps))
    for axes, (number, _), mean in zip(panels.flat, groups, means, strict=False):
        colour = function_colour(number) if number else WHOLE
        _map(axes, scene, mean, steps, size=2.6, line=colour)
        axes.set_title("whole" if number == 0 else f"function {number}", loc="left")
        if number:
            mark(axes, Mark(function=number))
    for place in range(len(groups), panels.size):
        panels.flat[place].set_visible(False)
        panels.flat[place - columns].tick_params(labelbottom=True)
    figure.supxlabel(_label(scene.names.inputs[0]), fontsize=10.5)
    figure.supylabel(_label(scene.names.inputs[1]), fontsize=10.5)
    if scene.network.likelihood == "categorical":
        _keys(figure, scene, ())
    else:
        colours = FIELDS if scene.is_probability else STEPS
        bar = ScalarMappable(BoundaryNorm(steps, len(colours)), ListedColormap(colours))
        what = prediction_named(scene.names, scene.network, scene.data)
        figure.colorbar(
            bar, ax=panels, label=_label(what), location="top", aspect=40, shrink=0.8, pad=0.02,
            ticks=steps[::2], format="%.3g",
        )  # fmt: skip
    return figure


def _map(
    axes: Axes,
    scene: _Scene,
    mean: FloatArray,
    steps: FloatArray,
    *,
    size: float = 3.4,
    line: str = WHOLE,
) -> None:
    """Draw a mean prediction as filled steps, and the data on it."""
    x1, x2 = scene.sides()
    if scene.network.likelihood == "categorical":
        palette = np.array([to_rgb(c) for c in _CLASSES[: scene.network.outputs]])
        axes.imshow(
            np.clip(1 - 0.6 * (1 - mean @ palette), 0, 1),
            extent=(x1[0], x1[-1], x2[0], x2[-1]),
            origin="lower",
            aspect="auto",
            interpolation="none",
        )
    else:
        colours = FIELDS if scene.is_probability else STEPS
        inside = np.clip(mean, steps[0], steps[-1])
        axes.contourf(x1, x2, inside, levels=steps, colors=colours)
    if scene.network.likelihood == "bernoulli":
        axes.contour(x1, x2, mean, levels=[0.5], colors=line, linewidths=1.6)
    _points(axes, scene, steps, size)
    axes.set_xlim(x1[0], x1[-1])
    axes.set_ylim(x2[0], x2[-1])
    axes.spines[:].set_visible(False)


def _points(axes: Axes, scene: _Scene, steps: FloatArray, size: float) -> None:
    kind = scene.network.likelihood
    if kind in ("bernoulli", "categorical"):
        colours = CLASSES if kind == "bernoulli" else _CLASSES
        for label in np.unique(scene.data.y).astype(int).tolist():
            x1, x2 = scene.X[scene.data.y == label].T
            dots(axes, x1, x2, colours[label], size, marker=_MARKERS[label])
        return
    levels = FIELDS if scene.is_probability else STEPS
    dots(axes, scene.X[:, 0], scene.X[:, 1], WHOLE, size + 1.6)
    step = np.clip(np.digitize(scene.y, steps) - 1, 0, len(levels) - 1)
    for number in np.unique(step).tolist():
        dots(axes, scene.X[step == number, 0], scene.X[step == number, 1], levels[number], size)


def _borders(axes: Axes, scene: _Scene, functions: Sequence[FunctionSummary]) -> None:
    """Draw where each function's mean probability of class 1 is one half."""
    x1, x2 = scene.sides()
    for place, function in enumerate(functions):
        draws = scene.draws(function)
        if draws is None:
            continue
        border = axes.contour(
            x1,
            x2,
            scene.mean(draws),
            levels=[0.5],
            colors=function_colour(function.id),
            linewidths=1.8,
            linestyles=[_DASHES[place % len(_DASHES)]],
        )
        says = f"function {function.id}: where its probability is one half"
        mark(border, Mark(function=function.id, says=says))


# --------------------------------------------------------------------------------- many inputs


def _fitted(axes: Axes, scene: _Scene, draws: Pool | None, colour: str = WHOLE) -> None:
    """Draw each datum against its mean prediction."""
    if draws is None:
        axes.text(0.5, 0.5, "no draws", ha="center", transform=axes.transAxes)
        return
    small = colour != WHOLE
    mean = scene.predict(draws, scene.X).mean(axis=0)
    size = 3.4 if len(mean) < 500 else 2.2
    if scene.network.likelihood in ("bernoulli", "categorical"):
        y = scene.data.y.astype(int)
        chance = mean if mean.ndim == 1 else mean[np.arange(len(y)), y]
        spread = _JITTER * np.sin(2.4 * np.arange(len(y)))  # as random, but always the same
        dots(axes, chance, y + spread, colour, size)
        kinds = np.unique(y).tolist()
        labels = [_label(class_named(scene.names, k)) for k in kinds]
        axes.set_yticks(kinds, [str(k) for k in kinds] if small else labels)
        axes.set_xlim(-0.02, 1.02)
        if not small:
            last = "this class" if mean.ndim > 1 else class_named(scene.names, 1)
            axes.set_xlabel(_label(f"predicted probability of {last}"))
        return
    dots(axes, mean.ravel(), scene.y.ravel(), colour, size)
    low, high = _limits(np.r_[mean.ravel(), scene.y.ravel()])
    axes.plot([low, high], [low, high], color=GRID, lw=1.2, zorder=0)
    if not small:
        what = scene.names.target if scene.network.outputs == 1 else "targets, standardised"
        axes.set_xlabel(_label(f"{what}: mean prediction"))
        axes.set_ylabel(_label(f"{what}: observed"))


# -------------------------------------------------------------------------------------- the key


def _keys(figure: Figure, scene: _Scene, functions: Sequence[FunctionSummary]) -> None:
    """Write what colours stand for above the figure."""
    handles: list[Line2D] = []
    network, drawable = scene.network, not why_no_predictions(scene.network)
    if drawable and network.likelihood in ("bernoulli", "categorical") and network.inputs == 2:
        colours = CLASSES if network.likelihood == "bernoulli" else _CLASSES
        for k in range(max(2, network.outputs)):
            name = _label(class_named(scene.names, k), _LONGEST_KEY)
            handles.append(
                Line2D([], [], ls="", ms=5, mew=0, marker=_MARKERS[k], color=colours[k], label=name)
            )
    curves = drawable and network.inputs == 1
    if curves:
        handles.append(Line2D([], [], ls="", ms=5, mew=0, marker="o", color=PALE, label="data"))
        handles.append(Line2D([], [], color=WHOLE, lw=2.4, label="whole, 90 % band"))
    lines = curves or (network.likelihood == "bernoulli" and len(functions) > 0)
    if drawable and lines and not curves:
        handles.append(Line2D([], [], color=WHOLE, lw=1.8, label="whole"))
    for place, function in enumerate(functions if drawable and lines else ()):
        dash = _DASHES[place % len(_DASHES)]
        colour, name = function_colour(function.id), f"function {function.id}"
        handles.append(Line2D([], [], color=colour, lw=1.8, ls=dash, label=name))
    if handles:
        figure.legend(
            handles=handles, loc="outside upper left", ncols=3, handlelength=1.6, columnspacing=1.2
        )
