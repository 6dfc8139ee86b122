"""The section on independent checks of the evidence."""

from __future__ import annotations

import math
from collections.abc import Mapping

from manymodes.modes.checks import (
    BRIDGE,
    COPIES,
    IMPORTANCE,
    LAPLACE,
    MODE,
    NESTED,
    OTHER,
    POOLED,
    SUM,
    TRUSTED_K,
    TRUSTED_SCATTER,
    WHOLE,
    Check,
    Checks,
)
from manymodes.modes.comparison import Comparison
from manymodes.report.checks_verdict import checks_verdict
from manymodes.report.findings import called
from manymodes.report.format import NOTHING, nats, number, sentence
from manymodes.report.page import Picture, Section, Table, picture
from manymodes.report.plots import plot_checks
from manymodes.report.sections import Found

_COLUMNS = (NESTED, BRIDGE, LAPLACE, IMPORTANCE)


def checks_section(found: Found, checks: Mapping[str, Checks]) -> Section | None:
    """Return the evidences by every method, and whether they agree."""
    if not checks:
        return None
    parts: list[Picture | Table] = []
    for name, one in checks.items():
        comparison = found[name]
        parts.append(
            picture(
                plot_checks(comparison, one),
                f"Log evidence of each prominent mode of {called(name, found)} and of the whole by "
                "every method, with errors; the values are in the table below.",
                f"{sentence(called(name, found))}: log evidence by every method, with one standard "
                "error. Laplace’s approximation has no error.",
            )
        )
        parts.append(_table(name, found, comparison, one))
        if any(math.isfinite(row.log_z) for row in one.rows if row.method in (BRIDGE, POOLED)):
            parts.append(_errors_table(name, found, comparison, one))
    several = len(found) > 1
    verdicts = {name: checks_verdict(one) for name, one in checks.items()}
    return Section(
        "checks",
        "Independent checks of the evidence",
        tuple(
            f"{sentence(called(name, found))}: {said[:1].lower()}{said[1:]}" if several else said
            for name, said in verdicts.items()
        ),
        reading=(
            "Nested sampling is compared with methods that share only the density with it. Bridge "
            "sampling takes the chains’ draws in a mode and those of a normal fitted to them. "
            "Laplace’s approximation takes the height and the curvature of the density at the "
            "mode’s maximum; importance sampling from there corrects it and gives it an error. "
            "Each has its own way to fail: live points can miss a mode, perhaps no chain went to "
            "it, or a mode at a bound of the prior does not resemble a normal. Bridge "
            "sampling must be done mode by mode and summed. From all draws at once it fails twice: "
            "no normal fits many modes, and the number of chains in a mode depends on where they "
            "started, not on the evidence. Its own error shows the first failure at most. Two "
            "diagnostics say where bridge sampling is unreliable: Pareto k, which is large if a "
            "few draws decide, and a second error by reshuffled blocks of draws."
        ),
        parts=tuple(parts),
    )


def _table(name: str, found: Found, comparison: Comparison, checks: Checks) -> Table:
    rows: list[tuple[str, ...]] = [
        (f"mode {mode.id}", *(_cell(checks.row(method, MODE, mode.id)) for method in _COLUMNS))
        for mode in comparison.prominent
    ]
    rows.append(
        (
            "sum of modes",
            *(
                _cell(checks.row(method, WHOLE if method == NESTED else SUM) or _of(checks, method))
                for method in _COLUMNS
            ),
        )
    )
    if any(row.scope == COPIES for row in checks.rows):
        rows.append(("with copies", *(_cell(checks.row(m, COPIES)) for m in _COLUMNS)))
    other = checks.row(OTHER, WHOLE)
    if other is not None:
        rows.append(("another base measure", _cell(other), NOTHING, NOTHING, NOTHING))
    pooled = checks.row(POOLED, WHOLE)
    if pooled is not None:
        rows.append(("all draws at once", NOTHING, _cell(pooled), NOTHING, NOTHING))
    columns = ("Log evidence", *(sentence(method) for method in _COLUMNS))
    return Table(sentence(called(name, found)), columns, tuple(rows), _caption(comparison, checks))


def _errors_table(name: str, found: Found, comparison: Comparison, checks: Checks) -> Table:
    """Return both errors of bridge sampling and its Pareto k, by mode."""
    places = [(f"mode {mode.id}", BRIDGE, MODE, mode.id) for mode in comparison.prominent]
    places += [("sum of modes", BRIDGE, SUM, 0), ("all draws at once", POOLED, WHOLE, 0)]
    rows = []
    for label, method, scope, mode in places:
        row = checks.row(method, scope, mode)
        if row is not None and math.isfinite(row.log_z):
            rows.append(
                (
                    label,
                    number(row.log_z_sd, 3),
                    number(row.reshuffled_sd, 3),
                    number(row.pareto_k, 2) if math.isfinite(row.pareto_k) else NOTHING,
                    "yes" if row.reliable else "no",
                )
            )
    return Table(
        f"{sentence(called(name, found))}: errors of bridge sampling",
        ("Bridge sampling", "Error by formula", "By reshuffled blocks", "Pareto k", "Reliable"),
        tuple(rows),
        "Nats. The formula is that of Frühwirth-Schnatter (2004). For the other error the estimate "
        "is made anew with other blocks of the chains in the fit (Micaletto and Vehtari 2025). An "
        f"estimate is unreliable if Pareto k is above {TRUSTED_K}, or if the second error is more "
        f"than {TRUSTED_SCATTER} times the first. There is no Pareto k (–) where no few draws can "
        "decide, or where there are too few draws for one.",
    )


def _of(checks: Checks, method: str) -> Check | None:
    """Return a method's check of the whole; None if it made none."""
    return checks.row(method, WHOLE)


def _caption(comparison: Comparison, checks: Checks) -> str:
    prominent = {mode.id for mode in comparison.prominent}
    said = ["Nats, with one standard error; the sum of nested sampling is its log Z."]
    for row in checks.rows:
        if math.isnan(row.log_z) and row.remark and (row.scope != MODE or row.mode in prominent):
            where = f", mode {row.mode}" if row.mode else ""
            said.append(f"{sentence(row.method)}{where}: {row.remark}.")
        elif row.scope in (SUM, COPIES) and row.remark and row.method != LAPLACE:
            said.append(f"{sentence(row.method)}, {row.scope}: {row.remark}.")
    said.append(f"Symmetry: {checks.copies}.")
    return " ".join(dict.fromkeys(said))


def _cell(row: Check | None) -> str:
    if row is None or math.isnan(row.log_z):
        return NOTHING
    return nats(row.estimate) if math.isfinite(row.log_z_sd) else number(row.log_z, 2)
