"""Scores of the whole and of each function: mean log likelihoods on train and test data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from scipy.special import logsumexp
from scipy.stats import gaussian_kde

from manymodes.density.log_likelihood import LogLik
from manymodes.modes.comparison import Comparison
from manymodes.report.format import number, with_error
from manymodes.report.plots.draws import Pool, pool_of, predictive_pool, training_data
from manymodes.report.plots.marks import Mark, mark
from manymodes.report.plots.style import (
    MOST_FUNCTIONS,
    PAPER,
    WHOLE,
    drawn_functions,
    function_colour,
    new_figure,
    quiet_grid,
    styled,
    tint,
)
from manymodes.types import BoolArray, FloatArray

_DRAWS = 1000
_HALF_WIDTH = 0.42
_FEW_DRAWS = 30
_NAMED = 5

TestSet = tuple[npt.ArrayLike, npt.ArrayLike]


@dataclass(frozen=True)
class FunctionScores:
    """Scores of the whole (group 0) and of the functions that are shown, in nats per datum.

    Attributes
    ----------
    functions : tuple of int or None
        The number of the function of each of the G groups; None for the whole.
    train, test : lists of G arrays of shape (S,) and (S or 0,)
        Mean log likelihood of each draw on the training data, and on all test sets together.
    train_density : array of shape (G,)
        Mean log posterior-predictive density on the training data.
    test_density : array of shape (G, T)
        The same on each test set.
    left_out : str
        A sentence on draws and training data without a log likelihood; empty if there are none.
    """

    functions: tuple[int | None, ...]
    train: Sequence[FloatArray]
    test: Sequence[FloatArray]
    train_density: FloatArray
    test_density: FloatArray
    left_out: str = ""

    @property
    def n_test_sets(self) -> int:
        """The number T of test sets."""
        return int(self.test_density.shape[1])

    def mean_test(self, group: int) -> tuple[float, float]:
        """Return a group's mean score over the test sets and its standard error (nats)."""
        return _mean(self.test_density[group])

    def gain(self, group: int) -> tuple[float, float]:
        """Return how much better the whole is than a group on the test sets, and the error.

        The difference is taken set by set, so that the difficulty of a set cancels.
        """
        return _mean(self.test_density[0] - self.test_density[group])


def score(
    comparison: Comparison,
    test_sets: Sequence[TestSet] = (),
    *,
    draws: int = _DRAWS,
    limit: int = MOST_FUNCTIONS,
) -> FunctionScores | None:
    """Score the whole and the functions on the training data and on test sets.

    Parameters
    ----------
    comparison : Comparison
        Nested points are used if there are any (the whole is then weighted by evidence),
        otherwise the chains, stacked if possible.
    test_sets : sequence of (X, y)
        Fresh data; they need a network.
    draws : int
        Draws for each group.
    limit : int
        The largest number of functions scored.

    Returns
    -------
    FunctionScores or None
        None if no datum has a finite log likelihood in every draw.
    """
    posterior = comparison.posterior
    data = training_data(posterior)
    if data is None and not posterior.has_log_lik:
        return None
    groups: list[tuple[int | None, Pool | None]] = [
        (None, predictive_pool(comparison).drawn(None, draws))
    ]
    pool = pool_of(comparison)
    for one in drawn_functions(comparison)[:limit]:
        groups.append((one.id, pool.drawn(one.modes, draws)))
    functions: list[int | None] = []
    told: list[LogLik] = []
    fresh: list[list[FloatArray]] = []
    for function, drawn in groups:
        if drawn is None:
            continue
        functions.append(function)
        if posterior.network is None or data is None:
            told.append(posterior.log_lik_told(drawn.eta))
            fresh.append([])
        else:
            weights = posterior.unpack(drawn.rows)
            values = posterior.network.log_lik(weights, data.X, data.y, **data.counted_over)
            told.append(LogLik(values, np.zeros(len(values), dtype=bool)))
            fresh.append([posterior.network.log_lik(weights, X, y) for X, y in test_sets])
    return _scored(functions, told, fresh)


def _scored(
    functions: list[int | None], told: list[LogLik], fresh: list[list[FloatArray]]
) -> FunctionScores | None:
    """Score groups on the data that every draw of every group gives a finite log likelihood.

    Draws for which the generated quantities threw are left out first, then data without a
    finite log likelihood. The result is None if nothing is left.
    """
    train = [one.values[~one.threw] for one in told]
    if not all(len(values) for values in train):
        return None
    kept = np.all([np.isfinite(values).all(axis=0) for values in train], axis=0)
    if not kept.any():
        return None
    train = [values[:, kept] for values in train]
    return FunctionScores(
        tuple(functions),
        [values.mean(axis=1) for values in train],
        [np.concatenate(sets, axis=1).mean(axis=1) if sets else np.empty(0) for sets in fresh],
        np.array([_density(values) for values in train]),
        np.array([[_density(values) for values in sets] for sets in fresh]),
        _left_out(told, ~kept),
    )


def _left_out(told: list[LogLik], lost: BoolArray) -> str:
    """Say which draws and data a score leaves out; empty if none."""
    parts = []
    if threw := sum(int(one.threw.sum()) for one in told):
        parts.append(
            f"{threw} of {sum(len(one.threw) for one in told)} draws, for which the generated "
            "quantities threw"
        )
    if lost.any():
        numbers = [str(i + 1) for i in np.flatnonzero(lost).tolist()]
        named = ", ".join(numbers[:_NAMED]) + (", ..." if len(numbers) > _NAMED else "")
        parts.append(
            f"{len(numbers)} of {len(lost)} data, whose log_lik is not finite in every draw "
            f"(number {named})"
        )
    return f"Left out: {'; '.join(parts)}." if parts else ""


def _density(log_lik: FloatArray) -> float:
    """Return the mean over the data of the log of the mean over draws of the likelihood."""
    return float(np.mean(logsumexp(log_lik, axis=0))) - float(np.log(len(log_lik)))


def _mean(values: FloatArray) -> tuple[float, float]:
    n = len(values)
    sd = float(values.std(ddof=1) / np.sqrt(n)) if n > 1 else float("nan")
    return float(values.mean()) if n else float("nan"), sd


@styled
def plot_scores(scores: Mapping[str, FunctionScores]) -> Figure:
    """Plot violins of the mean log likelihood per datum on train and test data.

    Parameters
    ----------
    scores : mapping of str to FunctionScores
        What `score` returned, by the name of the posterior.

    Returns
    -------
    Figure
        For the whole and each function, the training data on the left (light) and the test sets
        on the right (full colour); diamonds are log posterior-predictive densities.
    """
    figure = new_figure(0.6 + 2.7 * len(scores))
    panels = figure.subplots(len(scores), 1, squeeze=False)[:, 0]
    for axes, (name, found) in zip(panels, scores.items(), strict=True):
        _violins(axes, name, found)
        if len(scores) > 1:
            axes.set_title(name, loc="left", fontweight="bold")
    figure.supylabel("mean log likelihood per datum (nats)", fontsize=10.5)
    handles = [Patch(facecolor=tint(WHOLE, 0.65), edgecolor=WHOLE, label="training data")]
    if any(found.n_test_sets for found in scores.values()):
        handles.append(Patch(facecolor=WHOLE, edgecolor=WHOLE, label="test sets"))
    figure.legend(handles=handles, loc="outside upper left", ncols=2, handlelength=1.4)
    return figure


def _violins(axes: Axes, posterior: str, scores: FunctionScores) -> None:
    shown = []
    for place, function in enumerate(scores.functions):
        colour = WHOLE if function is None else function_colour(function)
        before = set(axes.get_children())
        _half(axes, scores.train[place], place, -1, tint(colour, 0.65), colour)
        _diamond(axes, place - 0.06, scores.train_density[place], colour)
        shown.append(scores.train[place])
        if scores.n_test_sets:
            _half(axes, scores.test[place], place, 1, colour, colour)
            _diamond(axes, place + 0.06, scores.mean_test(place)[0], colour)
            shown.append(scores.test[place])
        if function is not None:
            meaning = Mark(posterior, function, says=f"function {function}: {_said(scores, place)}")
            mark([one for one in axes.get_children() if one not in before], meaning)
    low = min(float(np.quantile(values, 0.005)) for values in shown)
    high = max(float(values.max()) for values in shown)
    high = max(high, scores.train_density.max(), *scores.test_density.ravel())
    height = (high - low) or max(1.0, abs(high))
    axes.set_ylim(low - 0.05 * height, high + 0.08 * height)
    names = ["whole" if one is None else f"function {one}" for one in scores.functions]
    crowded = len(names) > 5
    short = [name.removeprefix("function ") for name in names]
    axes.set_xticks(range(len(names)), short if crowded else names)
    if crowded:
        axes.set_xlabel("function")
    axes.set_xlim(-0.6, len(names) - 0.4)
    axes.tick_params(axis="x", length=0)
    quiet_grid(axes, "y")


def _said(scores: FunctionScores, place: int) -> str:
    """Return the log predictive densities of a group in words."""
    text = f"log predictive density {number(scores.train_density[place], 3)} on training data"
    if scores.n_test_sets:
        text += f", {with_error(*scores.mean_test(place), most=3)} on test data"
    return f"{text} (nats a datum)"


def _half(axes: Axes, values: FloatArray, x: float, side: int, fill: str, edge: str) -> None:
    """Draw one half of a violin, without the outermost half per cent of the draws.

    If there are too few different draws for a density, they are drawn one by one.
    """
    distinct = np.unique(values)
    if len(distinct) < _FEW_DRAWS:
        ends = [x, x + 0.3 * side * _HALF_WIDTH]
        for value in distinct:
            axes.plot(ends, [value, value], color=edge, lw=1)
        return
    low, high = np.quantile(values, [0.005, 0.995])
    y = np.linspace(low, high, 120)
    density = gaussian_kde(values)(y)
    width = side * _HALF_WIDTH * density / density.max()
    axes.fill_betweenx(y, x, x + width, facecolor=fill, edgecolor=edge, linewidth=0.8)


def _diamond(axes: Axes, x: float, y: float, colour: str) -> None:
    axes.plot(x, y, "D", ms=5, mfc=PAPER, mec=colour, mew=1.2, zorder=4)
