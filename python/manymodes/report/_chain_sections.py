"""The sections on how the chains behaved: whether they agree, and whether they change mode."""

from __future__ import annotations

import numpy as np

from manymodes.comparison import Estimate
from manymodes.plots import plot_rhat, plot_traces
from manymodes.report._findings import called, left_their_mode, worst
from manymodes.report._format import number, percent, sentence
from manymodes.report._page import Section, Table, picture
from manymodes.report._sections import Found


def rhat_section(found: Found) -> Section | None:
    """Return the histograms of R-hat."""
    measured = {name: c for name, c in found.items() if c.rhat_weights.size}
    if not any(np.isfinite(worst(c.rhat_weights)) for c in measured.values()):
        return None
    rows = []
    for name, comparison in measured.items():
        for space, rhat in (
            ("weights", comparison.rhat_weights),
            ("function", comparison.rhat_function),
        ):
            if rhat.size:
                rows.append(
                    (
                        name,
                        space,
                        rhat.size,
                        number(float(np.nanmedian(rhat)), 3),
                        number(worst(rhat), 3),
                        percent(Estimate(float((rhat <= 1.01).mean()))),
                        percent(Estimate(float((rhat <= 1.1).mean()))),
                    )
                )
    table = Table(
        "R-hat",
        ("Posterior", "Space", "Values", "Median", "Largest", "Up to 1.01", "Up to 1.1"),
        tuple(rows),
        "Rank-normalised split R-hat over all chains.",
    )
    figure = picture(
        plot_rhat(measured),
        "Histograms of R-hat in weight space and in function space, with 1.01 and 1.1 marked.",
        "R-hat of each unconstrained weight and, for a network, of the prediction at each data "
        "point. Dashed: 1.01 and 1.1. The scale is logarithmic in R-hat − 1.",
    )
    return Section(
        "rhat",
        "Do the chains agree?",
        reading=(
            "R-hat compares how far chains are apart with how far each of them moves; 1 means that "
            "they cannot be told apart. In weight space, chains in two copies of one function "
            "disagree although they predict the same. In function space copies count as one, so "
            "what remains there is disagreement that matters: chains in different functions. A "
            "small R-hat does not prove that all modes were found, only that these chains agree."
        ),
        parts=(figure, table),
    )


def traces_section(found: Found) -> Section | None:
    """Return the traces of chains that jump or do not."""
    sampled = {name: c for name, c in found.items() if c.chains is not None}
    if not sampled:
        return None
    figures = tuple(
        picture(
            plot_traces(comparison),
            f"Traces of {called(name, found)}: the mode of each draw of each chain, and one "
            "weight in a few chains.",
            f"{sentence(called(name, found))}. Above: a strip for each chain, coloured by the mode "
            "of each draw. Below: one weight in a few chains, those that change mode most often "
            "first.",
        )
        for name, comparison in sampled.items()
    )
    rows = []
    for name, comparison in sampled.items():
        modes = comparison.chain_modes
        left = left_their_mode(comparison)
        changes = (np.diff(modes, axis=1) != 0).sum(axis=1)
        ended = int((modes[:, 0] != modes[:, -1]).sum())
        rows.append((name, len(left), int((~left).sum()), int(left.sum()), ended, changes.max()))
    table = Table(
        "Chains that left their mode",
        ("Posterior", "Chains", "Stayed", "Ever left", "Ended elsewhere", "Most changes"),
        tuple(rows),
        "Of the mode of the first draw after warm-up. “Most changes” is the largest number of "
        "changes of mode between neighbouring draws in one chain.",
    )
    return Section(
        "traces",
        "Do the chains move between modes?",
        reading=(
            "A chain that never leaves its mode tells how that mode looks and nothing of the "
            "others: its weight among the chains is decided by where chains start. If chains "
            "jump often, occupancy comes near to probability; a few jumps are not enough. Many "
            "short changes back and forth come from draws on the ridge between two modes."
        ),
        parts=(*figures, table),
    )
