"""The study of gains in words: its tables, from its ``xor_gains.json``."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

import numpy as np

from manymodes.report import Table

Content = Mapping[str, Any]

WHOLE = "whole"
"""All tempered draws: each function has the weight of its evidence."""

FULL, CONSTRAINED = "full", "constrained"

PARTS = {
    "heaviest": "the function with most evidence",
    "second": "the function with second most",
    "fitted": "the function that fits best",
    "afterwards": "the function that tests best",
    "mode": "the mode with most evidence",
    "peak": "the mode with the highest peak",
    "stacked": "chains, stacked by function",
    "alike": "chains, all alike",
    "chosen": "the chain with the best LOO",
    "chain": "one chain, on average",
}
"""What the whole is compared with, by its name in ``xor_gains.json``."""

_THOUSAND = 1000  # gains are shown in thousandths of a nat


def gains_table(content: Content, posterior: str) -> Table:
    """Return how much better the whole predicts than each part of a posterior."""
    found = content["gains"][posterior]
    rows = [_row(label, found[part]) for part, label in PARTS.items() if part in found]
    return Table(
        f"What the whole of the {posterior} posterior gains",
        ("over", "thousandths of a nat a row", "least", "most", "better in"),
        tuple(rows),
        f"Data seeds 1 to {len(content['data_sets'])}, ten test sets of 220 rows for each; mean ± "
        "standard error over data sets, of differences on the same test sets.",
    )


def modes_table(content: Content) -> Table:
    """Return the modes and functions of each data set."""
    rows = []
    for one in content["data_sets"]:
        row = [str(one["data_seed"])]
        for name in (FULL, CONSTRAINED):
            entry = one[name]
            row += [
                str(entry["prominent_modes"]),
                str(entry["prominent_functions"]),
                f"{entry['log_z']:.2f} ± {entry['log_z_sd']:.2f}",
                f"{100 * entry['evidence'][0]:.1f} %",
                f"{np.mean(entry['scores'][WHOLE]):.4f}",
            ]
        rows.append(tuple(row))
    own = ("modes", "functions", "log_z", "heaviest", "score")
    return Table(
        "Data sets",
        ("data seed", *(f"{FULL}: {own[0]}", *own[1:]), *(f"{CONSTRAINED}: {own[0]}", *own[1:])),
        tuple(rows),
        "Prominent modes, their functions, the evidence of the heaviest function, and the mean log "
        "predictive density of a test row under the whole (nats).",
    )


def constraint_sentence(content: Content) -> str:
    """Return what the constraint costs in words."""
    _, gain, least, most, better = _row("", content["constraint_costs"])
    return (
        f"The whole of the full posterior predicts better than that of the constrained one by "
        f"{gain} thousandths of a nat a row (from {least} to {most}; better in {better} data sets)."
    )


def gains_text(content: Content) -> str:
    """Return the tables as text, and what the constraint costs."""
    lines = []
    for table in (
        modes_table(content),
        gains_table(content, FULL),
        gains_table(content, CONSTRAINED),
    ):
        lines += [table.title, *table.lines(), *textwrap.wrap(table.caption, 88), ""]
    return "\n".join([*lines, *textwrap.wrap(constraint_sentence(content), 88)])


def _row(label: str, gain: Mapping[str, float]) -> tuple[str, ...]:
    value, se, least, most = (_THOUSAND * gain[name] for name in ("value", "se", "least", "most"))
    error = f" ± {se:.2f}" if np.isfinite(se) else ""
    return (
        label,
        f"{value:+.2f}{error}",
        f"{least:+.2f}",
        f"{most:+.2f}",
        f"{gain['better']} of {gain['n']}",
    )
