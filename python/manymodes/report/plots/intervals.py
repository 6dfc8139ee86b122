"""Figures of predictions with their intervals: over a posterior's inputs, and of a table's rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from manymodes.errors import InputError
from manymodes.modes.comparison import Comparison
from manymodes.networks.network import Network
from manymodes.networks.observed import Observed
from manymodes.report.names import (
    DataNames,
    class_named,
    default_names,
    measured,
    names_of_table,
    prediction_named,
    standardised,
)
from manymodes.report.plots.draws import predictive_pool, training_data
from manymodes.report.plots.marks import dots
from manymodes.report.plots.style import GRID, PALE, STEPS, WHOLE, new_figure, styled
from manymodes.results.mixed_draws import check_interval
from manymodes.results.predict import Draws, Predictions, predict
from manymodes.results.predict_data import DataPredictions
from manymodes.tables.columns import Scaling, Target
from manymodes.tables.table import Table
from manymodes.types import FloatArray
from manymodes.wording import visible

_DRAWS = 400
_GRID = 40
_MOST_PANELS = 6
_MOST_BARS = 2000
_MOST_QUANTITIES = 40
_LONGEST = 36
_HUES = ("#0072b2", "#d55e00", "#00875f", "#aa4499", "#8c6d00", "#332288")


@dataclass(frozen=True)
class _Shown:
    """One predicted quantity at some places: its mean and its interval, and what was observed.

    Attributes
    ----------
    name : str
        What it is.
    mean, lower, upper : arrays of shape (N,)
        In the user's units.
    observed : array of shape (n,), or None
        What was observed, in the same units.
    chance : bool
        Whether it is a probability.
    """

    name: str
    mean: FloatArray
    lower: FloatArray
    upper: FloatArray
    observed: FloatArray | None = None
    chance: bool = False


# ----------------------------------------------------------------- of a posterior, at its inputs


@styled
def plot_intervals(
    comparison: Comparison, names: DataNames | None = None, *, interval: float = 0.9
) -> Figure:
    """Plot what the draws of a network predict, with intervals and the data.

    Parameters
    ----------
    comparison : Comparison
        The comparison of a network.
    names : DataNames, optional
        What the data are called, and their units.
    interval : float
        The share of the predictive distribution inside the intervals; of a probability, the share
        of the draws.

    Returns
    -------
    Figure
        One input: the mean and the interval as a band. Two inputs: a map of the mean and one of the
        width of the interval. More inputs: predicted against observed, with intervals.

    Raises
    ------
    InputError
        The posterior has no network, or ``interval`` is not between 0 and 1.

    Examples
    --------
    >>> # comparison: what chains and nested runs of the noisy-XOR posterior found
    >>> names = mm.DataNames(("left", "right"), "cured", ("no", "yes"))
    >>> figure = mm.plot_intervals(comparison, names)
    >>> [axes.get_xlabel() for axes in figure.axes if axes.get_xlabel()]
    ['mean: probability of cured = yes', 'width of 90 % intervals']
    """
    check_interval(interval)
    network, data = comparison.posterior.network, training_data(comparison.posterior)
    if network is None or data is None:
        raise InputError("the posterior has no network and no predictions")
    scene = _Places(comparison, network, data, names or default_names(network), interval)
    if network.inputs == 1:
        low, high = _limits(scene.X[:, 0])
        x = np.linspace(low, high, 4 * _GRID)
        return _bands(
            x, scene.predicted(x[:, None]), scene.X[:, 0], scene.names.inputs[0], scene.said
        )
    if network.inputs == 2:
        return _maps(scene)
    return _against_observed(scene.at_the_data(), scene.said)


@dataclass(frozen=True)
class _Places:
    """A network's draws, its data in the user's units, and what to call them."""

    comparison: Comparison
    network: Network
    data: Observed
    names: DataNames
    interval: float

    @property
    def X(self) -> FloatArray:
        """The inputs of the data, in the user's units."""
        return measured(self.names, self.data.X)

    @property
    def said(self) -> str:
        """What the intervals hold."""
        return f"{100 * self.interval:g} %"

    @property
    def table(self) -> Table:
        """A table without columns, whose targets have plain names."""
        network = self.network
        classes = {"bernoulli": 2, "categorical": network.outputs}.get(network.likelihood, 0)
        labels = tuple(map(str, range(classes)))
        count = network.outputs if network.likelihood_parts.is_real else 1
        targets = [
            Target(f"t{k}", network.likelihood, labels, self._scale(k)) for k in range(count)
        ]
        return Table((), targets[0], more_targets=tuple(targets[1:]))

    def _scale(self, target: int) -> Scaling:
        single = self.network.outputs == 1
        return self.names.target_scale if single and target == 0 else Scaling()

    def _frame(self, X: FloatArray, over: dict[str, FloatArray]) -> pd.DataFrame:
        pool = predictive_pool(self.comparison).drawn(None, _DRAWS)
        assert pool is not None
        named = self.comparison.posterior.unpack(pool.rows)
        values = {name: np.ascontiguousarray(named[name]) for name in self.network.effective_names}
        draws = Draws(pool.weights, values, "")
        return predict(
            self.network, draws, self.table, X, interval=self.interval, counted_over=over
        ).frame

    def predicted(self, X: FloatArray) -> list[_Shown]:
        """Return predictions at inputs in the user's units: counts for an exposure of 1."""
        one = dict.fromkeys(self.data.counted_over, np.ones(len(X)))
        frame = self._frame(standardised(self.names, X), one)
        return self._quantities(frame, self.data.shares, one_trial=True)

    def at_the_data(self) -> list[_Shown]:
        """Return predictions of the data's own rows."""
        frame = self._frame(self.data.X, self.data.counted_over)
        return self._quantities(frame, self.data.y, one_trial=False)

    def _quantities(self, frame: pd.DataFrame, y: FloatArray, *, one_trial: bool) -> list[_Shown]:
        """Return the columns of a frame by quantity, with what was observed."""
        kind, names = self.network.likelihood_parts.kind, self.names
        if kind == "bernoulli":
            return [_of(frame, "p(1)", class_named(names, 1), y, chance=True)]
        if kind == "categorical":
            return [
                _of(frame, f"p({k})", class_named(names, k), (y == k).astype(float), chance=True)
                for k in range(self.network.outputs)
            ]
        if kind == "binomial" and one_trial:
            return [
                _of(frame, "p", prediction_named(names, self.network, self.data), y, chance=True)
            ]
        if self.network.likelihood_parts.is_count:
            exposed = one_trial and (self.data.counted_over.get("exposure", np.ones(1)) != 1).any()
            return [_of(frame, "", names.target + " for an exposure of 1" * bool(exposed), y)]
        if self.network.outputs == 1:
            return [_of(frame, "", names.target, names.target_scale.invert(y))]
        return [
            _of(frame, f"t{k}.", f"target {k + 1}, standardised", y[:, k])
            for k in range(self.network.outputs)
        ]


def _of(
    frame: pd.DataFrame,
    prefix: str,
    name: str,
    observed: FloatArray | None,
    *,
    chance: bool = False,
) -> _Shown:
    """Return the columns of one quantity: a probability, or a number with a prefix."""
    columns = [prefix, f"{prefix}.lower", f"{prefix}.upper"]
    if not chance:
        columns = [f"{prefix}mean", f"{prefix}lower", f"{prefix}upper"]
    mean, lower, upper = (frame[column].to_numpy(dtype=float) for column in columns)
    return _Shown(name, mean, lower, upper, observed, chance)


# ------------------------------------------------------------------------- of rows of a table


@styled
def plot_predicted(found: Predictions | DataPredictions, table: Table | None = None) -> Figure:
    """Plot predictions of the rows of a table, or of generated quantities, with their intervals.

    Parameters
    ----------
    found : Predictions or DataPredictions
        What `predict_table` or `predict_data` returned.
    table : Table, optional
        The table of the network; needed for the rows of a table.

    Returns
    -------
    Figure
        Over the input, if the network has a single numeric one. Otherwise predicted against
        observed, if the rows have the target, or the rows by their mean. Generated quantities stand
        below one another, the first 40.

    Raises
    ------
    InputError
        There is nothing to draw, or the table is missing.

    Examples
    --------
    >>> # run: the directory of a network that learned "cured" from "dose"
    >>> found = mm.predict_table("run", pd.DataFrame({"dose": [1.0, 5.0, 9.0]}))
    >>> figure = mm.plot_predicted(found, mm.Table.load("run/posterior"))
    >>> figure.axes[0].get_xlabel()
    'dose'
    """
    said = f"{100 * found.interval:g} %"
    if isinstance(found, DataPredictions):
        if not len(found.frame):
            raise InputError("the program generates nothing but log_lik: there is nothing to draw")
        return _listed(found.frame, said)
    if table is None:
        raise InputError("table: the predictions of a table's rows need the network's table")
    if not len(found.frame):
        raise InputError("the table has no rows: there is nothing to draw")
    quantities = _rows_predicted(found, table)
    single = len(table.columns) == 1 and table.columns[0].kind == "number"
    if single:
        x = found.given[table.columns[0].name].to_numpy(dtype=float)
        order = np.argsort(x, kind="stable")
        sorted_ones = [
            replace(
                one,
                mean=one.mean[order],
                lower=one.lower[order],
                upper=one.upper[order],
                observed=None if one.observed is None else one.observed[order],
            )
            for one in quantities
        ]
        return _bands(x[order], sorted_ones, x[order], visible(table.columns[0].name), said)
    if all(one.observed is None for one in quantities):
        return _by_rank(quantities, said)
    return _against_observed(quantities, said)


def _rows_predicted(found: Predictions, table: Table) -> list[_Shown]:
    names = names_of_table(table)
    scored = "log_density" in found.frame
    if table.target.classes:
        classes = table.target.classes
        texts = found.given[table.target.name].map(str).to_numpy() if scored else None
        which = range(1, 2) if len(classes) == 2 else range(len(classes))
        return [
            _of(
                found.frame,
                f"p({classes[k]})",
                class_named(names, k),
                None if texts is None else (texts == classes[k]).astype(float),
                chance=True,
            )
            for k in which
        ]
    several = bool(table.more_targets)
    return [
        _of(
            found.frame,
            f"{target.name}." if several else "",
            visible(target.name),
            pd.to_numeric(found.given[target.name], errors="coerce").to_numpy(dtype=float)
            if scored
            else None,
        )
        for target in table.all_targets
    ]


# ------------------------------------------------------------------------------ the drawing


def _limits(values: FloatArray) -> tuple[float, float]:
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    margin = 0.06 * (high - low) or 1.0
    return low - margin, high + margin


def _label(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _bands(
    x: FloatArray, quantities: Sequence[_Shown], where: FloatArray, name: str, said: str
) -> Figure:
    """Draw means and bands over one input: probabilities together, numbers one below another."""
    together = quantities[0].chance
    panels = 1 if together else min(len(quantities), _MOST_PANELS)
    figure = new_figure(1.1 + 2.5 * panels)
    grid = figure.subplots(panels, 1, sharex=True, squeeze=False)[:, 0]
    handles = []
    for place, one in enumerate(quantities[: len(_HUES) if together else panels]):
        axes: Axes = grid[0 if together else place]
        hue = _HUES[place] if len(quantities) > 1 and together else WHOLE
        if one.observed is not None and (place == 0 or not together):
            dots(axes, where, one.observed, PALE, 3.4)
        axes.fill_between(x, one.lower, one.upper, color=hue, alpha=0.16, lw=0)
        axes.plot(x, one.mean, color=hue, lw=2.2)
        if len(quantities) > 1 and together:
            handles.append(Line2D([], [], color=hue, lw=2.2, label=_label(one.name)))
        what = (
            "probability" if handles else f"probability of {one.name}" if one.chance else one.name
        )
        axes.set_ylabel(_label(what))
    grid[-1].set_xlabel(_label(name))
    if not handles:
        handles = [Line2D([], [], color=WHOLE, lw=2.2, label=f"mean, {said} interval")]
    if any(one.observed is not None for one in quantities):
        handles.append(Line2D([], [], ls="", ms=5, mew=0, marker="o", color=PALE, label="data"))
    figure.legend(handles=handles, loc="outside upper left", ncols=3)
    return figure


def _maps(scene: _Places) -> Figure:
    """Draw maps of the mean and of the interval's width over two inputs."""
    sides = [np.linspace(*_limits(column), _GRID) for column in scene.X.T]
    grid = np.stack([g.ravel() for g in np.meshgrid(*sides)], axis=-1)
    quantities = scene.predicted(grid)[:_MOST_PANELS]
    figure = new_figure(0.9 + 2.3 * len(quantities), width=6.2)
    panels = figure.subplots(len(quantities), 2, sharex=True, sharey=True, squeeze=False)
    for row, one in zip(panels, quantities, strict=True):
        named = f"probability of {one.name}" if one.chance else one.name
        for axes, values, what in (
            (row[0], one.mean, f"mean: {named}"),
            (row[1], one.upper - one.lower, f"width of {scene.said} intervals"),
        ):
            low, high = float(values.min()), float(values.max())
            if one.chance and values is one.mean:
                low, high = 0.0, 1.0
            steps = np.linspace(low, high if high > low else low + 1, len(STEPS) + 1)
            drawn = axes.contourf(*sides, values.reshape(_GRID, _GRID), levels=steps, colors=STEPS)
            figure.colorbar(
                drawn, ax=axes, location="top", shrink=0.9, pad=0.02, ticks=steps[::2],
                format="%.2g", label=_label(what),
            )  # fmt: skip
            dots(axes, scene.X[:, 0], scene.X[:, 1], WHOLE, 1.6)
            axes.set_xlim(sides[0][0], sides[0][-1])
            axes.set_ylim(sides[1][0], sides[1][-1])
    figure.supxlabel(_label(scene.names.inputs[0]), fontsize=10.5)
    figure.supylabel(_label(scene.names.inputs[1]), fontsize=10.5)
    return figure


def _panels(quantities: Sequence[_Shown]) -> tuple[Figure, list[Axes]]:
    shown = min(len(quantities), _MOST_PANELS)
    columns = min(2, shown)
    rows = -(-shown // columns)
    figure = new_figure(0.6 + 2.8 * rows, width=4.3 if columns == 1 else 6.4)
    panels = figure.subplots(rows, columns, squeeze=False).ravel().tolist()
    for spare in panels[shown:]:
        spare.set_visible(False)
    return figure, panels[:shown]


def _bars(axes: Axes, x: FloatArray, one: _Shown, picks: FloatArray) -> None:
    """Draw means with intervals at places."""
    mean, lower, upper = one.mean[picks], one.lower[picks], one.upper[picks]
    axes.vlines(x, lower, upper, color=WHOLE, alpha=0.25, lw=1.1)
    dots(axes, x, mean, WHOLE, 3.2 if len(x) < 500 else 2.0)


def _picked(n: int) -> FloatArray:
    """Return some rows if there are too many to draw."""
    return np.unique(np.linspace(0, n - 1, min(n, _MOST_BARS)).astype(np.intp))


def _against_observed(quantities: Sequence[_Shown], said: str) -> Figure:
    """Draw predictions against what was observed."""
    figure, panels = _panels(quantities)
    for axes, one in zip(panels, quantities, strict=False):
        observed = one.observed
        assert observed is not None
        picks = _picked(len(observed))
        if one.chance:
            spread = 0.3 * np.sin(2.4 * np.arange(len(picks)))  # as random, always the same
            _bars(axes, observed[picks] + spread, one, picks)
            axes.set_xticks([0, 1], ["another", _label(one.name)])
            axes.set_ylim(-0.03, 1.03)
            axes.set_ylabel(_label(f"probability, {said} interval"))
            axes.set_xlabel("observed")
            continue
        _bars(axes, observed[picks], one, picks)
        ends = _limits(observed)
        axes.plot(ends, ends, color=GRID, lw=1.4, zorder=0)
        axes.set_xlabel(_label(f"{one.name}: observed"))
        axes.set_ylabel(_label(f"predicted, {said} interval"))
    return figure


def _by_rank(quantities: Sequence[_Shown], said: str) -> Figure:
    """Draw predictions of rows whose target is not known, by their mean."""
    figure, panels = _panels(quantities)
    for axes, one in zip(panels, quantities, strict=False):
        order = np.argsort(one.mean, kind="stable")
        picks = _picked(len(order))
        _bars(axes, picks + 1.0, one, order[picks])
        axes.set_xlabel("rows, by their mean")
        axes.set_ylabel(_label(f"{one.name}: mean, {said} interval"))
        if one.chance:
            axes.set_ylim(-0.03, 1.03)
    return figure


def _listed(frame: pd.DataFrame, said: str) -> Figure:
    """Draw generated quantities one below another."""
    few = frame.iloc[:_MOST_QUANTITIES]
    places = np.arange(len(few))
    figure = new_figure(0.8 + 0.2 * len(few))
    axes = figure.subplots()
    axes.hlines(places, few["lower"], few["upper"], color=WHOLE, alpha=0.35, lw=1.6)
    dots(axes, few["mean"].to_numpy(dtype=float), places, WHOLE, 4.4)
    axes.set_yticks(places, [_label(visible(str(name))) for name in few["name"]])
    axes.set_ylim(len(few) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    rest = f"; {len(frame) - len(few)} more are not drawn" * (len(frame) > len(few))
    axes.set_xlabel(f"mean, {said} interval{rest}")
    return figure
