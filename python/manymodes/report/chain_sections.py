"""The sections on how the chains behaved: whether they agree, and whether they change mode."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np

from manymodes.modes.diagnosis import Diagnosis, switching
from manymodes.report.diagnosis_verdict import verdict
from manymodes.report.findings import called, worst
from manymodes.report.format import number, sentence, things
from manymodes.report.page import Picture, Section, Table, picture
from manymodes.report.plots import plot_rhat, plot_switching, plot_traces
from manymodes.report.sections import Found

Diagnoses = Mapping[str, Diagnosis]

_SENTENCE_END = re.compile(r"(?<=[.]) (?=[A-Z0-9])")
_FIRST = 2  # sentences of a verdict that are not folded
_SPACES = {"weights": "weights", "canonical": "canonical weights", "function": "function"}


def rhat_section(found: Found, diagnoses: Diagnoses) -> Section | None:
    """Return the verdicts, and R-hat and effective sample sizes in every space."""
    if not diagnoses:
        return None
    measured = {name: c for name, c in found.items() if name in diagnoses and c.rhat_weights.size}
    measured = {n: c for n, c in measured.items() if np.isfinite(worst(c.rhat_weights))}
    parts: list[Picture | Table] = []
    if measured:
        figure = picture(
            plot_rhat(measured),
            "Histograms of R-hat in weight space and in function space, with 1.01 and 1.1 marked.",
            "R-hat of each unconstrained weight and, for a network, of the prediction at each data "
            "point. Dashed: 1.01 and 1.1. The scale is logarithmic in R-hat − 1.",
        )
        parts += [figure, *_space_tables(diagnoses)]
    first, more = [], []
    for name, one in diagnoses.items():
        said = _SENTENCE_END.split(verdict(one))
        subject = "" if len(found) == 1 else f"{sentence(called(name, found))}: "
        first.append(f"{subject}{' '.join(said[:_FIRST])}")
        more += [f"{subject}{text}" for text in said[_FIRST:]]
    return Section(
        "rhat",
        "Do the chains agree?",
        tuple(first),
        reading=(
            "R-hat compares how far chains are apart with how far each of them moves; 1 means that "
            "the chains agree. In weight space, chains in two copies of one function "
            "disagree although they predict the same. In canonical weight space one fixed "
            "representative among its symmetric copies replaces every draw; in function space, "
            "predictions at the data take the place of weights. Disagreement that remains in "
            "these two spaces matters. The effective sample size says how many independent draws "
            "all chains are worth, for the middle of a distribution (bulk) and for its ends "
            "(tail); it is small if chains disagree. No such number can prove that all modes were "
            "found."
        ),
        parts=tuple(parts),
        more=tuple(more),
        folded="More on the chains",
    )


def _space_tables(diagnoses: Diagnoses) -> list[Table]:
    rows, nested = [], []
    for name, diagnosis in diagnoses.items():
        for space in diagnosis.spaces:
            entry = space.as_dict()
            rows.append(
                (
                    name,
                    _SPACES[space.space],
                    entry["coordinates"],
                    number(entry["rhat_median"], 3),
                    number(entry["rhat"], 3),
                    number(entry["rhat_limit"], 3),
                    *(
                        f"{number(entry[key], 0)} ({number(entry[f'{key}_median'], 0)})"
                        for key in ("ess_bulk", "ess_tail")
                    ),
                )
            )
            if space.nested_rhat.size:
                value, expected = space.worst_nested
                nested.append((name, _SPACES[space.space], number(value, 3), number(expected, 3)))
    rhats = ("R-hat, median", "largest", "limit")
    columns = ("Posterior", "Space", "Values", *rhats, "Bulk ESS", "Tail ESS")
    cut = sum(d.cut for d in diagnoses.values())
    left_out = f" {sentence(things(cut, 'chain'))} cut short by the time limit did not count." * (
        cut > 0
    )
    tables = [
        Table(
            "R-hat and effective sample size",
            columns,
            tuple(rows),
            "Rank-normalised split R-hat over all chains. Chains that agree stay below the limit: "
            "1.01, or up to 1.05 for chains of few effective draws. Effective sample sizes: "
            f"the smallest and, in brackets, the median.{left_out}",
        )
    ]
    if nested:
        tables.append(
            Table(
                "Nested R-hat",
                ("Posterior", "Space", "Largest", "Of stationary chains"),
                tuple(nested),
                "Chains that share a start are compared with those of other starts. If the value "
                "is far above the last column, a chain still shows where it started.",
            )
        )
    return tables


def traces_section(found: Found, diagnoses: Diagnoses) -> Section | None:
    """Return where chains began and ended, and traces of some that jump and some that stay."""
    sampled = {name: c for name, c in found.items() if c.chains is not None}
    if not sampled:
        return None
    figures: list[Picture] = []
    for name, comparison in sampled.items():
        if name in diagnoses and len(diagnoses[name].modes) > 1:
            figures.append(_switching(name, found, diagnoses[name]))
        figures.append(
            picture(
                plot_traces(comparison),
                f"Traces of {called(name, found)}: the mode of each draw of each chain, and one "
                "weight in a few chains.",
                f"{sentence(called(name, found))}. Above: a strip for each chain, coloured by the "
                "mode of each draw. Below: one weight in a few chains, those that change mode most "
                "often first.",
                name,
            )
        )
    rows = []
    for name, comparison in sampled.items():
        moved = switching(comparison)
        left = int(moved.left.sum())
        elsewhere = int((moved.began != moved.ended).sum())
        n_chains = len(moved.left)
        rows.append((name, n_chains, n_chains - left, left, elsewhere, moved.changes.max()))
    table = Table(
        "Chains that left their mode",
        ("Posterior", "Chains", "Stayed", "Ever left", "Ended elsewhere", "Most changes"),
        tuple(rows),
        "A chain left its mode if a draw lies in another mode than the first draw after warm-up. "
        "“Most changes” is the largest number of changes of mode between neighbouring draws in "
        "one chain.",
    )
    return Section(
        "traces",
        "Do the chains move between modes?",
        reading=(
            "A chain that never leaves its mode describes that mode and none of the others: the "
            "starting points of the chains decide the mode's occupancy. If chains "
            "jump often, occupancy comes near to probability; a few jumps are not enough. Many "
            "short changes back and forth come from draws on the ridge between two modes."
        ),
        parts=(*figures, table),
    )


def _switching(name: str, found: Found, diagnosis: Diagnosis) -> Picture:
    moved = diagnosis.switching
    caption = (
        f"{sentence(called(name, found))}: chains by the mode in which they began (rows) and ended "
        "(columns). On the diagonal they ended where they began."
    )
    if moved.started.size:
        caption += (
            " Starting points count for the mode that they climb to; “none” is a mode "
            "without draws."
        )
    return picture(
        plot_switching(diagnosis),
        f"Table of counts for {called(name, found)}: the mode in which chains began against the "
        f"mode in which they ended; {int((moved.began != moved.ended).sum())} of "
        f"{len(moved.began)} ended in another mode than that of their first draw.",
        caption,
    )
