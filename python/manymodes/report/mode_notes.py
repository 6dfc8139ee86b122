"""Sentences on the modes themselves: why some mode, or every mode, has no evidence.

It can be that no engine reaches a mode: the density may have no bound, as at the neck of a
funnel, or its peaks may lie far from its mass.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from manymodes.modes.comparison import Comparison, ModeSummary
from manymodes.wording import things

WORTH_TELLING = 1e-3
"""If the shown weights lack more than this share of the evidence, a sentence says so."""

_MOST_NAMES = 4
_UNBOUNDED = (
    "It may have no bound, as at the neck of a funnel, or if a component of a mixture shrinks "
    "to one point: then heights of peaks say little, and draws lie far below them. A "
    "parameterisation without a neck (non-centred), or a prior that keeps scales away from zero, "
    "mends that."
)
_UNBOUNDED_NETWORK = (
    "The larger these weights are, the better the network fits the data, and only the prior "
    "limits them: heights of such peaks say little, and draws lie far below them."
)


def valley_note(comparison: Comparison) -> str:
    """Say that modes of a relu network may lie along one valley; empty for other programs."""
    network = comparison.posterior.network
    if network is None or network.activation != "relu" or network.constraint == "unit-norm":
        return ""
    return (
        "Relu units have a rescaling valley: their incoming weights times any r > 0, and their "
        "outgoing ones divided by it, are the same function. Modes along the valley are one "
        "function, and their number means nothing. The constraint unit-norm removes it."
    )


def mode_notes(comparison: Comparison) -> list[str]:
    """Return sentences on what is unusual about the modes; empty if nothing is."""
    return [*_without_evidence(comparison), *_without_maximum(comparison)]


def why_none(comparison: Comparison) -> str:
    """Say why no mode has an evidence; empty if one has, or if nothing was integrated."""
    if not comparison.integrals or comparison.ranked_by == "evidence":
        return ""
    text = (
        "no mode has an evidence of its own: the runs stayed far below the peak of each, "
        "and it is not known how much of the evidence lies near the peaks"
    )
    if comparison.limited:
        carried, remedy = "live points", "--nlive or --runs"
        if comparison.nested is None:
            carried, remedy = "tours", "--rounds or --runs"
        text = (
            f"no mode has an evidence of its own: two {carried} or fewer carried each; raise "
            f"{remedy}"
        )
    if comparison.headline.agree is False:
        text = "no mode has an evidence, for the engines disagree"
    if all(math.isnan(one.log_z) for one in comparison.integrals.values()):
        text = "no mode has an evidence, for the density has no finite integral"
    if comparison.ranked_by:
        return f"{text}; modes are ranked by the share of the chains' draws instead"
    return text


def unassigned_share(
    comparison: Comparison, shown: Sequence[ModeSummary], *, by_function: bool = False
) -> str:
    """Say how much evidence the weights of the shown modes lack; empty if they lack none.

    With ``by_function`` the modes are all those of some functions, whose weights count the copies
    that hold no draw.
    """
    if not comparison.integrals:
        return ""
    if comparison.headline.agree is False:
        return "unassigned evidence: 100 % of it, for the engines disagree"
    few = float(comparison.limited_share)
    copies, empty = comparison.empty_copies
    missing = comparison.unassigned - few - empty
    ids = {mode.id for mode in shown}
    rest = float(np.nansum([m.evidence.value for m in comparison.summaries if m.id not in ids]))
    if by_function:
        numbers = {mode.function for mode in shown}
        values = [f.evidence.value for f in comparison.functions if f.id not in numbers]
        rest, empty = float(np.nansum(values)), 0.0
    parts = []
    if missing >= WORTH_TELLING:
        parts.append(
            f"{_percent(missing)} of it in modes that {runs_named(comparison)} did not reach"
        )
    if empty >= WORTH_TELLING:
        n = things(copies, "symmetric copy", "symmetric copies")
        parts.append(f"{_percent(empty)} in {n} of these modes that hold no draw")
    if few >= WORTH_TELLING:
        n = things(len(comparison.limited), "mode")
        parts.append(f"{_percent(few)} in {n} that few live points or tours carried")
    if rest >= WORTH_TELLING:
        what = "functions" if by_function else "modes"
        parts.append(f"{_percent(rest)} in {what} that are not shown")
    if not parts:
        return ""
    return f"unassigned evidence: {' and '.join(parts)}"


def runs_named(comparison: Comparison) -> str:
    """Name the runs that integrated a posterior."""
    return f"the {' and '.join(comparison.integrals)} runs"


def drawn_from(comparison: Comparison, *, predictive: bool = False) -> str:
    """Say which draws a picture shows; with `predictive`, a prediction."""
    if not comparison.integrals:
        stacked = predictive and comparison.stacking is not None
        return "the draws of the chains, stacked" if stacked else "the draws of all chains alike"
    if comparison.tempered is not None and comparison.integral is comparison.tempered:
        return "tempered draws"
    return "nested points with their posterior weights"


def _without_evidence(comparison: Comparison) -> list[str]:
    why = why_none(comparison)
    if why:
        return [f"{why}."]
    only = len(comparison.summaries) == 1 and not comparison.modes.reached.any()
    if comparison.nested is not None and comparison.tempered is None and only:
        return [
            "the nested runs stayed far below the peak of the only mode: log_z counts what they "
            "found there, and it is not known whether much more lies near the peak."
        ]
    return []


def _without_maximum(comparison: Comparison) -> list[str]:
    """Say which peaks the climbs never reached."""
    runaway, labels = comparison.modes.runaway, comparison.labels
    told = {mode.id for mode in (*comparison.prominent, *comparison.unweighed)}
    away = [m for m in np.argsort(labels).tolist() if labels[m] in told and _any(runaway, m)]
    if not away:
        return []
    ends: dict[str, None] = {}
    for mode in away:
        for name, sign in zip(
            comparison.posterior.unconstrained_names, runaway[mode].tolist(), strict=True
        ):
            if sign:
                ends[f"{name} {'downwards' if sign < 0 else 'upwards'}"] = None
    more = ["others"] if len(ends) > _MOST_NAMES else []
    few = len(away) <= _MOST_NAMES
    which = ", ".join(str(labels[mode]) for mode in away) if few else things(len(away), "mode")
    subject = which if not few else f"mode{'s' * (len(away) > 1)} {which}"
    return [
        f"{subject} {'has' if len(away) == 1 else 'have'} no maximum in the searched box: the "
        "density with respect to the prior or base measure still rises at its edge, in the "
        f"unconstrained {', '.join([*list(ends)[:_MOST_NAMES], *more])}. "
        + (_UNBOUNDED if comparison.posterior.network is None else _UNBOUNDED_NETWORK)
    ]


def _any(runaway: np.ndarray[tuple[int, ...], np.dtype[np.intp]], mode: int) -> bool:
    return bool(runaway.size and runaway[mode].any())


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %" if share < 0.1 else f"{100 * share:.0f} %"


def draw_notes(comparison: Comparison) -> list[str]:
    """Return sentences on draws and observations without a log likelihood."""
    notes = []
    if comparison.chains is not None:
        notes += comparison.chains.missing_log_lik.sentences()
    if comparison.nested is not None:
        notes += comparison.nested.missing_log_lik.sentences("the nested runs", scores=False)
    return notes
