"""Draw docs/xor.png from a run of the study: python docs/picture.py runs/xor."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

import manymodes as mm
from manymodes.modes.comparison import PROMINENT

INK, GREY, BLUE, ORANGE = "#30343b", "#8a8f98", "#0072b2", "#d55e00"
FILLS: dict[str, dict[str, Any]] = {
    "evidence": {"facecolor": BLUE},
    "stacking": {"facecolor": "#a9cde4", "hatch": "/////"},
    "occupancy": {"facecolor": "white"},
}


def draw_prediction(axes: Axes, posterior: mm.Posterior, samples: pd.DataFrame) -> None:
    """Draw the data on the mean prediction of the evidence-weighted posterior."""
    X, y = np.asarray(posterior.data["X"]), np.asarray(posterior.data["y_int"])
    weights = samples.get_weights()
    keep = np.random.default_rng(1).choice(len(samples), 2000, p=weights / weights.sum())
    columns = sum(variable.size for variable in posterior.variables)
    rows = samples.to_numpy(dtype=float)[keep, :columns]
    side = np.linspace(-2.6, 3.1, 80)
    grid = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    mean = posterior.predict(rows, grid).mean(axis=0).reshape(80, 80)
    colours = LinearSegmentedColormap.from_list("classes", ["#f4c9a8", "white", "#aed0e6"])
    axes.contourf(side, side, mean, np.linspace(0, 1, 21), cmap=colours)
    axes.contour(side, side, mean, [0.5], colors=INK, linewidths=1)
    for label, colour in ((1, BLUE), (0, ORANGE)):
        axes.plot(*X[y == label].T, "o", ms=3, mew=0, color=colour, label=f"class {label}")
    axes.set(xlim=(-2.6, 2.6), ylim=(-2.6, 3.1), aspect="equal", xticks=[-2, 0, 2])
    axes.set_yticks([-2, 0, 2])
    axes.legend(
        fontsize=8, frameon=False, handletextpad=0, borderpad=0.2, loc="upper center", ncols=2
    )


def draw_weights(axes: Axes, modes: pd.DataFrame) -> None:
    """Draw the three weights of the prominent modes and of those that hold a chain."""
    prominent = modes["evidence"] > PROMINENT * modes["evidence"].max()
    modes = modes[prominent | (modes["chains"] > 0)]
    places = np.arange(len(modes))
    for shift, (kind, fill) in zip((-0.28, 0, 0.28), FILLS.items(), strict=True):
        value, sd = 100 * modes[kind], 100 * modes[f"{kind}_sd"]
        axes.bar(places + shift, value, 0.26, edgecolor=BLUE, linewidth=0.7, label=kind, **fill)
        low = np.minimum(value, sd)
        axes.errorbar(places + shift, value, yerr=[low, sd], fmt="none", ecolor=INK, elinewidth=0.7)
    for place in places[modes["evidence"].isna()]:
        axes.annotate("?", (place - 0.28, 0), (0, 1), textcoords="offset points", ha="center")
    axes.set_xticks(places, [str(mode) for mode in modes.index])
    axes.set(ylim=(0, None), xlim=(-0.6, len(modes) - 0.4), xlabel="mode")


def main() -> None:
    """Read the run and draw the picture beside this file."""
    results = mm.load(Path(sys.argv[1]))
    modes = results.modes.apply(pd.to_numeric)
    figure = Figure(figsize=(10, 3.3), layout="constrained")
    counts = {name: len(modes.loc[name]) for name in results.names}
    panels = figure.subplots(1, 1 + len(counts), width_ratios=[1, 2, 1.1])
    draw_prediction(panels[0], results.posterior("full"), results.nested["full"])
    panels[0].set_title("data and mean prediction", fontsize=10)
    for axes, name in zip(panels[1:], results.names, strict=True):
        draw_weights(axes, modes.loc[name])
        entry = results.summary["posteriors"][name]
        axes.set_title(
            f"{name}: {entry['prominent_modes']} prominent modes,\n"
            f"{entry['prominent_functions']} functions",
            fontsize=10,
        )
    panels[1].set_ylabel("weight (%)")
    panels[1].legend(fontsize=8, frameon=False, ncols=3, loc="upper right")
    for axes in panels:
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8, color=GREY)
    figure.savefig(Path(__file__).with_name("xor.png"), dpi=110)


if __name__ == "__main__":
    main()
