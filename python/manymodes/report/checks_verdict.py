"""The verdict on independent checks of an evidence, in plain words."""

from __future__ import annotations

from collections.abc import Iterator

from manymodes.modes.checks import BRIDGE, COPIES, POOLED, SUM, WHOLE, Agreement, Checks
from manymodes.report.format import joined, modes_named, sentence

_NO_ERROR = 1e-9  # nats; smaller errors are no divisors


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
    return " ".join([*_agreement(checks), *_unvisited(checks), *_pooling(checks)])


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


def _unvisited(checks: Checks) -> Iterator[str]:
    """Say what the sum of bridge sampling lacks, and what it is with the copies of its modes."""
    total, full = checks.row(BRIDGE, SUM), checks.row(BRIDGE, COPIES)
    if total is not None and total.remark:
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


def _where(one: Agreement) -> str:
    if not one.modes:
        return "the whole"
    return modes_named(one.modes) if len(one.modes) == 1 else f"sum of {modes_named(one.modes)}"
