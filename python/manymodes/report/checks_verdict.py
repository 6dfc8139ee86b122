"""The verdict on independent checks of an evidence, in plain words."""

from __future__ import annotations

import math
from collections.abc import Iterator

from manymodes.modes.checks import (
    BRIDGE,
    COPIES,
    MODE,
    POOLED,
    SUM,
    TRUSTED_K,
    TRUSTED_SCATTER,
    WHOLE,
    Agreement,
    Check,
    Checks,
    Drift,
)
from manymodes.modes.checks.drift import MUCH_NATS, MUCH_SD
from manymodes.modes.comparison import PROMINENT
from manymodes.report.diagnosis_verdict import METHOD_OF
from manymodes.report.format import joined, modes_named, sentence

_NO_ERROR = 1e-9  # nats; smaller errors are no divisors
_MOST_DOUBTS = 3  # modes whose doubts are given in full


def checks_verdict(checks: Checks) -> str:
    """Return in words whether the methods agree, by how much they differ, and what they lack.

    Parameters
    ----------
    checks : Checks
        What `check` found.

    Returns
    -------
    str
        Sentences on one line; differences are in nats.

    Examples
    --------
    >>> # checks: what mm.check made of chains and nested runs of the noisy-XOR posterior
    >>> verdict = mm.checks_verdict(checks)
    >>> verdict.endswith("."), len(verdict.splitlines())
    (True, 1)
    """
    said = [*_agreement(checks), *_unreliable(checks), *_unvisited(checks), *_pooling(checks)]
    return " ".join([*said, *_drifts(checks)])


def _agreement(checks: Checks) -> Iterator[str]:
    agreements, beyond = checks.agreements, checks.beyond
    n = len(agreements)
    if not agreements:
        yield "No two methods could be applied to the same mode: nothing is checked."
    elif not beyond:
        methods = list(
            dict.fromkeys(name for one in agreements for name in (one.first, one.second))
        )
        worst = max(agreements, key=lambda one: abs(one.z))
        which = "the only difference" if n == 1 else f"the largest of {n} differences"
        yield (
            f"{sentence(joined(methods))} agree within errors: {which} is {abs(worst.z):.1f} "
            f"errors ({worst.first} and {worst.second}, {_where(worst)})."
        )
    else:
        for one in beyond:
            yield (
                f"{one.second} differs from {one.first} by {abs(one.z):.1f} errors "
                f"({one.difference:+.2f} ± {one.sd:.2f} nats, {_where(one)})."
            )
        yield f"{n - len(beyond)} of {n} differences are within {checks.limit:.1f} errors."


def _unreliable(checks: Checks) -> Iterator[str]:
    """Say which estimates of bridge sampling their own diagnostics doubt, and why."""
    total = checks.row(BRIDGE, SUM)
    least = -math.inf if total is None else total.log_z - math.log(1 / PROMINENT)
    rows = [row for row in checks.rows if row.method == BRIDGE and row.scope == MODE]
    rows = [row for row in rows if not row.reliable and row.log_z > least]
    for row in rows[:_MOST_DOUBTS]:
        yield f"Bridge sampling is unreliable in mode {row.mode}: {_doubt(row)}."
    if len(rows) > _MOST_DOUBTS:
        yield f"So it is in {modes_named([row.mode for row in rows[_MOST_DOUBTS:]])}."
    if rows:
        which = "This estimate is" if len(rows) == 1 else "These estimates are"
        yield f"{which} in the sum, but compared with no other method."


def _doubt(row: Check) -> str:
    """Return why an estimate of bridge sampling is unreliable."""
    if row.pareto_k > TRUSTED_K:
        return (
            f"a few draws decide (Pareto k {row.pareto_k:.2f}, above {TRUSTED_K}), because the "
            "normal fitted to the mode overlaps too little with it; more draws may help"
        )
    if row.reshuffled_sd > TRUSTED_SCATTER * row.log_z_sd:
        times = row.reshuffled_sd / max(row.log_z_sd, _NO_ERROR)
        return (
            f"with reshuffled blocks of draws it scatters {times:.1f} times as much as its error "
            "says; longer chains may help"
        )
    return row.remark.removesuffix(": unreliable")


def _unvisited(checks: Checks) -> Iterator[str]:
    """Say what the sum of bridge sampling lacks, and what it is with the copies of its modes."""
    total, full = checks.row(BRIDGE, SUM), checks.row(BRIDGE, COPIES)
    if total is not None and total.remark.startswith("without"):
        text = f"The sum of bridge sampling is {total.remark}"
        if full is not None:
            text += (
                f"; with {full.remark} it is {full.log_z:.2f} ± {full.log_z_sd:.2f} nats "
                f"instead of {total.log_z:.2f}"
            )
        yield f"{text}."


def _pooling(checks: Checks) -> Iterator[str]:
    """Say how far all draws at once are from the sum of the modes."""
    off, total, pooled = checks.pooling, checks.row(BRIDGE, SUM), checks.row(POOLED, WHOLE)
    if off is not None and total is not None and pooled is not None:
        yield (
            f"Bridge sampling of all draws at once, not by mode, is {off.difference:+.2f} nats "
            f"({abs(off.z):.1f} errors) from the sum of the modes, with an error "
            f"{pooled.log_z_sd / max(total.log_z_sd, _NO_ERROR):.0f} times as large."
        )
        if not pooled.reliable:
            yield f"It is unreliable by its own diagnostics: {_doubt(pooled)}."


def _drifts(checks: Checks) -> Iterator[str]:
    """Say whether chains that start from an engine's draws stay in distribution."""
    for one in checks.drifts:
        method = METHOD_OF[one.engine]
        if one.drifts is None:
            yield f"There is no drift test of the draws of {method}: {one.remark}."
            continue
        figures = f"the mean log density changes by {one.change:+.2f} ± {one.change_sd:.2f} nats"
        if one.predictions == one.predictions:  # a network's; NaN otherwise
            figures += f", mean predictions by {one.predictions:.2f} posterior standard deviations"
        began = f"{one.chains} chains that started from draws of {method}"
        if one.drifts:
            yield (
                f"{began} drift away from them: {figures} (p = {one.p:.1g}). These draws are not "
                f"yet draws of the posterior; do not trust this engine's log_z. "
                f"{_REMEDY[one.engine]}"
            )
        else:
            yield (
                f"{began} do not drift beyond {MUCH_NATS:g} nats or {MUCH_SD:g} standard "
                f"deviations of a prediction: {figures} (p = {one.p:.2g}){_lacking(one)}."
            )


_REMEDY = {
    "tempered": "Give it more rounds: --rounds with --resume.",
    "nested": "Give it more live points, or more slices (--repeats).",
}


def _lacking(one: Drift) -> str:
    return f"; {one.remark}, so a drift may be overlooked" if one.remark else ""


def _where(one: Agreement) -> str:
    if not one.modes:
        return "the whole"
    return modes_named(one.modes) if len(one.modes) == 1 else f"sum of {modes_named(one.modes)}"
