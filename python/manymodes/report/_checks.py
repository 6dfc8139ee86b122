"""The section on independent checks of the evidence."""

from __future__ import annotations

from collections.abc import Mapping

from manymodes.checks import POOLED, Checks
from manymodes.plots import plot_checks
from manymodes.report._format import nats, number
from manymodes.report._page import Section, Table, picture
from manymodes.weights import Estimate


def checks_section(checks: Mapping[str, Checks]) -> Section | None:
    """Return what other methods say of the evidence, and why bridges need modes."""
    if not checks:
        return None
    parts = tuple(
        part
        for name, one in checks.items()
        for part in (
            picture(
                plot_checks(one),
                f"Log evidence of {name} by several methods; the values are in the table.",
                f"{name}: log evidence of the whole and of each mode, with one standard error. "
                f"The band is {one.standard}; open diamonds do not count for the verdict.",
            ),
            _table(name, one),
        )
    )
    sentences = [f"{name}: {one.verdict}" for name, one in checks.items()]
    return Section(
        "checks",
        "Independent checks",
        (*sentences, *_why_by_mode(checks)),
        reading=(
            "Bridge sampling needs only draws of the posterior, and Laplace’s approximation only a "
            "maximum and its curvature, so that they fail in other ways than nested sampling. "
            "Sums over modes are compared with the sum over the same modes: chains know nothing of "
            "a mode that none of them found. Laplace’s approximation takes a mode for a normal; "
            "draws from that normal, weighted by how the density differs from it, correct it, "
            "unless the weights are too uneven. A difference of more than three joint errors is a "
            "contradiction."
        ),
        parts=parts,
    )


def _why_by_mode(checks: Mapping[str, Checks]) -> list[str]:
    texts = []
    for name, one in checks.items():
        for row in one.rows:
            gap = row.log_z.value - row.against
            if row.method == POOLED and not row.judged and abs(row.z) > 1:
                texts.append(
                    f"Why bridge sampling must be done by mode: from all draws of {name} at once "
                    f"it gives {nats(row.log_z)} nats, {number(abs(gap), 2)} nats "
                    f"{'below' if gap < 0 else 'above'} {one.standard}, {number(abs(row.z), 0)} of "
                    "the errors. One normal over several modes puts its draws between them, "
                    "where the density is next to nothing, and its error knows nothing of that."
                )
    return texts


def _table(name: str, checks: Checks) -> Table:
    return Table(
        f"Evidence by several methods: {name}",
        ("Method", "Of", "log Z", "Compared with", "Difference / error", "Remark"),
        tuple(
            (
                row.method,
                f"mode {row.mode}" if row.mode else "whole",
                nats(row.log_z),
                nats(Estimate(row.against)),
                number(row.z, 1),
                row.remark,
            )
            for row in checks.rows
        ),
        "Nats; errors are one standard error. Laplace’s approximation has none of its own.",
    )
