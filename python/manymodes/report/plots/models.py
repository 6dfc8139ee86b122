"""Several models side by side: their weights, and scores against the number of hidden units."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from manymodes.models import Model, ModelComparison, network_facts
from manymodes.report.plots.style import (
    PAPER,
    POSTERIORS,
    SOFT,
    WHOLE,
    new_figure,
    quiet_grid,
    styled,
    tint,
)
from manymodes.statistics.estimate import Estimate

_WEIGHTS = {
    "probability": "posterior probability",
    "stacking": "stacking weight",
    "pseudo_bma": "pseudo-BMA+ weight (LOO)",
}
_CURVES = {
    "log_z": "log evidence (nats)",
    "loo": "LOO (nats)",
    "held_out": "held out (nats a row)",
}
_MARKERS = "osD^vP"
_LABEL_ALL = 8


@styled
def plot_models(comparison: ModelComparison) -> Figure:
    """Plot posterior probability, stacking weight and pseudo-BMA+ weight of each model.

    Parameters
    ----------
    comparison : ModelComparison
        A weight that no model has is left out.

    Returns
    -------
    Figure
        Horizontal bars in per cent with their standard errors.
    """
    models = comparison.models
    kinds = [k for k in _WEIGHTS if any(np.isfinite(getattr(m, k).value) for m in models)]
    step = 1 / (len(kinds) + 0.8)
    figure = new_figure(1.1 + 0.21 * (len(kinds) + 0.8) * len(models))
    axes = figure.subplots()
    for row, model in enumerate(models):
        for place, kind in enumerate(kinds):
            y = row + (place - (len(kinds) - 1) / 2) * step
            _bar(axes, y, step, getattr(model, kind), kind, len(models) <= _LABEL_ALL)
    axes.set_yticks(range(len(models)), [model.name for model in models])
    axes.set_ylim(len(models) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.set_xlim(0, 112)
    axes.set_xticks(range(0, 101, 20))
    axes.set_xlabel("weight (%)")
    quiet_grid(axes)
    handles = [Patch(**_look(kind), label=_WEIGHTS[kind]) for kind in kinds]
    figure.legend(handles=handles, loc="outside upper left", ncols=3, handlelength=1.4)
    return figure


def _look(kind: str) -> dict[str, Any]:
    colour = POSTERIORS[list(_WEIGHTS).index(kind)]
    fill = {"probability": colour, "stacking": tint(colour, 0.55), "pseudo_bma": PAPER}[kind]
    hatch = "////" if kind == "stacking" else None
    return {"facecolor": fill, "edgecolor": colour, "linewidth": 1.1, "hatch": hatch}


def _bar(axes: Axes, y: float, step: float, weight: Estimate, kind: str, label: bool) -> None:
    if not np.isfinite(weight.value):
        return
    value, sd = 100 * weight.value, 100 * float(np.nan_to_num(weight.sd))
    axes.barh(y, value, height=0.86 * step, **_look(kind))
    low, high = min(sd, value), min(sd, 100 - value)
    if sd > 0:
        axes.errorbar(value, y, xerr=[[low], [high]], color=WHOLE, lw=1, capsize=2, fmt="none")
    if label:
        axes.annotate(
            "<0.1" if value < 0.1 else f"{value:.2g}" if value < 1 else f"{value:.0f}",
            (value + high, y),
            (4, 0),
            textcoords="offset points",
            va="center",
            fontsize=8.5,
            color=SOFT,
        )


def families(comparison: ModelComparison) -> dict[str, list[Model]]:
    """Return the networks in families that differ only in hidden units, each by rising number.

    A family is named by what sets it apart from the others. Families with one member are kept.
    If the number of units differs in no family, there is no curve, and nothing is returned.
    """
    groups: dict[tuple[str, ...], list[Model]] = {}
    for model in comparison.models:
        if model.network is not None:
            depth = len(model.network.hidden)
            facts = network_facts(replace(model.network, hidden=(1,) * depth))
            facts["hidden"] = f"{depth} hidden layer{'s' * (depth > 1)}"
            groups.setdefault(tuple(facts.values()), []).append(model)
    if not any(len({units(m) for m in group}) > 1 for group in groups.values()):
        return {}
    differ = [len(set(column)) > 1 for column in zip(*groups, strict=True)]
    return {
        " ".join(fact for fact, tells in zip(key, differ, strict=True) if tells): sorted(
            group, key=units
        )
        for key, group in groups.items()
    }


def units(model: Model) -> int:
    """Return the number of hidden units of a network, all layers together."""
    return sum(model.network.hidden) if model.network is not None else 0


@styled
def plot_units(comparison: ModelComparison) -> Figure:
    """Plot log evidence, LOO and held-out score against the number of hidden units.

    Parameters
    ----------
    comparison : ModelComparison
        A comparison of networks, some of which differ in their hidden units. A score that no
        model has is left out.

    Returns
    -------
    Figure
        One line for each family of networks, with one standard error: the log evidence has its
        own, a score has that of its paired difference from the best model.
    """
    lines = families(comparison)
    shown = [m for group in lines.values() for m in group]
    kinds = [k for k in _CURVES if any(np.isfinite(getattr(m, k).value) for m in shown)]
    figure = new_figure(0.7 + 1.95 * len(kinds) + 0.2 * (len(lines) > 1))
    panels = figure.subplots(len(kinds), 1, sharex=True, squeeze=False)[:, 0]
    for axes, kind in zip(panels, kinds, strict=True):
        for place, (name, group) in enumerate(lines.items()):
            nudge = 0.05 * (place - (len(lines) - 1) / 2)
            _line(axes, group, kind, place, nudge, name)
        axes.set_ylabel(_CURVES[kind])
        quiet_grid(axes, "y")
    panels[-1].set_xlabel("hidden units")
    panels[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
    if len(lines) > 1:
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper left", ncols=min(3, len(lines)))
    return figure


def _line(axes: Axes, group: list[Model], kind: str, place: int, nudge: float, name: str) -> None:
    colour = POSTERIORS[place % len(POSTERIORS)]
    known = [m for m in group if np.isfinite(getattr(m, kind).value)]
    errors = kind if kind == "log_z" else f"{kind}_difference"
    axes.errorbar(
        [units(m) + nudge for m in known],
        [getattr(m, kind).value for m in known],
        yerr=[float(np.nan_to_num(getattr(m, errors).sd, posinf=0.0)) for m in known],
        fmt=f"{_MARKERS[place % len(_MARKERS)]}-",
        color=colour,
        ms=5.5,
        lw=1.4,
        capsize=3,
        elinewidth=1.2,
        label=name,
    )
