"""The study of FBM's problems in words: tables and sentences from its ``summary.json``."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

import numpy as np

from manymodes.report import Table

Entries = Mapping[str, Mapping[str, Any]]

INTRODUCTION = (
    "Three problems from the documentation of FBM (Neal), with data made as it describes them and "
    "the priors that it gives: the scale of each group of weights is sampled, with a Gamma prior "
    "on its precision. Chains of NUTS and tempered runs sample each posterior, and predict 1000 "
    "other cases."
)
_LINES = {
    "pooled": "all draws of the chains",
    "stacked": "chains stacked",
    "tempered": "tempered draws, in proportion to the evidence",
}


def scores_table(entries: Entries) -> Table:
    """Return how well each problem's test cases are predicted."""
    rows = []
    for name, entry in entries.items():
        test = entry["test"]
        for key, label in _LINES.items():
            gap = test[key]["less_than_pooled"]
            worse = "–" if key == "pooled" else f"{-gap['value']:+.4f} ± {gap['se']:.4f}"
            one = test[key]["log_density"]
            rows.append((name, label, f"{one['value']:.3f} ± {one['se']:.3f}", worse))
        single = test["single_chains"]
        rows.append((name, "single chains", f"{min(single):.3f} to {max(single):.3f}", ""))
        if np.isfinite(test["best"]):
            rows.append((name, "the distribution that made the data", f"{test['best']:.3f}", ""))
    caption = (
        "Log predictive density of 1000 test cases, in nats a case: mean ± standard error over "
        "cases, of differences paired."
    )
    columns = ("problem", "", "log predictive density", "more than all draws")
    return Table("Test cases", columns, tuple(rows), caption)


def chains_table(entries: Entries) -> Table:
    """Return how the samplers fared on each problem."""
    rows = []
    for name, entry in entries.items():
        chains, tempered = entry["chains"], entry["tempered"]
        draws = chains["n"] * chains["draws"]
        rows.append(
            (
                name,
                f"{entry['dims']}",
                f"{chains['seconds']:.0f}",
                f"{chains['steps']:.0f}",
                f"{100 * chains['divergences'] / draws:.2g} %",
                f"{chains['rhat_weights']:.2f}",
                f"{chains['rhat_function']:.2f}",
                f"{tempered['log_z']:.2f} ± {tempered['log_z_sd']:.2f}",
                f"{tempered['seconds']:.0f}",
            )
        )
    columns = (
        "problem",
        "parameters",
        "chains, s",
        "steps a draw",
        "divergent",
        "R-hat, weights",
        "R-hat, predictions",
        "log Z",
        "tempering, s",
    )
    caption = (
        "Seconds are those of one core, in sum over chains or runs. R-hat is the largest over "
        "weights, and over predictions of 200 test cases."
    )
    return Table("Samplers", columns, tuple(rows), caption)


def notes(entries: Entries) -> list[str]:
    """Return what was found, in sentences."""
    said = []
    for name, entry in entries.items():
        chains, tempered = entry["chains"], entry["tempered"]
        heights = np.array(chains["log_density"])
        text = (
            f"{name.capitalize()}: {chains['n']} chains, whose mean log densities lie between "
            f"{heights.min():.1f} and {heights.max():.1f}; stacking uses "
            f"{chains['stacking']['effective_chains']:.1f} of them in effect."
        )
        at = chains["diverging_at"]
        if at is not None:
            end = "small" if at["rank"] < 0.5 else "large"
            text += f" Transitions diverge where {at['name']} is {end}."
        if not tempered["mixes"]:
            text += (
                " Too few draws of the prior came to the posterior in the tempered runs: they may "
                "have missed solutions, and their error is the scatter of the runs alone."
            )
        said.append(text)
    return said


def tiles(entries: Entries) -> list[tuple[str, str]]:
    """Return the figures that the report shows first."""
    return [
        (f"{entry['test']['pooled']['log_density']['value']:.3f}", f"nats a case, {name}")
        for name, entry in entries.items()
    ]


def fbm_text(summary: Mapping[str, Any]) -> str:
    """Return the study's figures as text."""
    entries = summary["posteriors"]
    lines = []
    for table in (scores_table(entries), chains_table(entries)):
        lines += [*table.lines(), "", *textwrap.wrap(table.caption, 88), ""]
    for text in notes(entries):
        lines += textwrap.wrap(text, 88)
    return "\n".join(lines)
