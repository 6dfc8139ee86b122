"""The figure of the study of gains: a dot for every data set, and the mean with its error."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from manymodes.report.plots.style import PALE, POSTERIORS, WHOLE, new_figure, quiet_grid, styled
from manymodes.runtime.storage import atomic
from manymodes.studies.xor_gains_words import CONSTRAINED, FULL, PARTS
from manymodes.studies.xor_gains_words import WHOLE as WHOLE_PART

_THOUSAND = 1000
_LINEAR = 1.0  # thousandths of a nat: gains beyond it are drawn by their logarithm
_TICKS = (-10, -1, 0, 1, 10)
_HEIGHT, _WIDTH = 3.6, 9.0


@styled
def plot_gains(content: Mapping[str, Any]) -> Figure:
    """Plot the gain of the whole over each part, for the full and the constrained posterior.

    Parameters
    ----------
    content : mapping
        What `run_xor_gains` returns.
    """
    figure = new_figure(_HEIGHT, _WIDTH)
    panels = figure.subplots(1, 2, sharex=True, sharey=True)
    for axes, name, colour in zip(panels, (FULL, CONSTRAINED), POSTERIORS, strict=False):
        _panel(axes, content, name, colour)
        axes.set_title(name, loc="left", fontweight="bold")
    figure.supxlabel("gain of the whole (thousandths of a nat a row)", fontsize=10.5)
    return figure


def _panel(axes: Axes, content: Mapping[str, Any], name: str, colour: str) -> None:
    scores = [one[name]["scores"] for one in content["data_sets"]]
    for place, part in enumerate(PARTS):
        own = [
            _THOUSAND * (np.mean(one[WHOLE_PART]) - np.mean(one[part]))
            for one in scores
            if part in one
        ]
        if not own:
            continue
        spread = np.linspace(-0.28, 0.28, len(own)) if len(own) > 1 else np.zeros(1)
        axes.plot(own, place + spread, "o", ms=3.5, mew=0, color=colour, alpha=0.45)
        gain = content["gains"][name][part]
        error = np.nan_to_num(_THOUSAND * gain["se"])
        axes.errorbar(
            _THOUSAND * gain["value"], place, xerr=error, fmt="D", ms=5, color=WHOLE, capsize=3
        )
    axes.axvline(0, color=PALE, lw=1, zorder=0)
    axes.set_xscale("symlog", linthresh=_LINEAR)
    axes.set_xticks(_TICKS, [f"{tick:+d}".replace("-", "−") if tick else "0" for tick in _TICKS])
    axes.set_yticks(range(len(PARTS)), list(PARTS.values()))
    axes.set_ylim(len(PARTS) - 0.5, -0.5)
    quiet_grid(axes)


def write_gains(content: Mapping[str, Any], path: Path) -> None:
    """Write the figure in one step."""
    with atomic(path) as partial:
        plot_gains(content).savefig(partial, dpi=150, format="png")
