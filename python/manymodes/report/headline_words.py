"""What the engines say of an evidence, in a line and in sentences."""

from __future__ import annotations

from manymodes.modes.comparison import Comparison
from manymodes.sampling.nested.meaning import figure, log_z_line
from manymodes.statistics.estimate import Estimate
from manymodes.wording import joined

_MUCH_OUTSIDE = 0.05
"""A share of draws outside a base measure that is worth a caution."""


def evidence_line(comparison: Comparison) -> str:
    """Return the log evidence that engines agree on, or what each says, for a line."""
    headline = comparison.headline
    integral = comparison.integral
    if integral is None:
        return ""
    if headline.agree is None:
        return log_z_line(integral)
    if headline.agree:
        one = headline.log_z
        return f"{log_z_line(integral, one.value, one.sd)} (tempered and nested runs agree)"
    return f"no log_z: {disagreement(comparison)}"


def disagreement(comparison: Comparison) -> str:
    """Say by how much the engines disagree; empty if they do not."""
    headline = comparison.headline
    if headline.agree is not False:
        return ""
    said = [f"{name} runs say {_nats(one)}" for name, one in headline.by_engine.items()]
    return f"{joined(said)} nats, {headline.apart:.1f} joint errors apart"


def disagreement_advice(comparison: Comparison) -> str:
    """Say what to do where engines disagree; empty if they do not."""
    if comparison.headline.agree is not False:
        return ""
    tempered, nested = comparison.tempered, comparison.nested
    assert tempered is not None
    assert nested is not None
    if not tempered.mixes:
        first = "The tempered runs have too few round trips: give them more --rounds first."
    elif not nested.base.exact:
        first = (
            "The nested runs integrate over a fitted base measure, which may not cover the "
            "posterior: run them with --reference prior."
        )
    else:
        first = (
            "Give the nested runs more live points and repeats, the tempered ones more --rounds."
        )
    return f"{first} Until they agree, no figure here is the evidence."


def outside_words(comparison: Comparison) -> str:
    """Say how many tempered draws a fitted base measure does not cover; empty if few."""
    share = comparison.outside_base
    if not share > _MUCH_OUTSIDE:
        return ""
    return (
        f"{100 * share:.0f} % of the tempered draws lie outside the base measure that was fitted "
        "for nested sampling, so that its log_z is too low; use --reference prior"
    )


def unchecked(comparison: Comparison) -> str:
    """Say that a single engine stands alone; empty if two do, or none."""
    if comparison.headline.agree is not None or len(comparison.integrals) != 1:
        return ""
    (name,) = comparison.integrals
    other = "nested sampling (--engine both)" if name == "tempered" else "tempering (--engine both)"
    return (
        f"only {name} runs were made: what they miss together, such as a mode that no run found, "
        f"nothing here would show; {other} would check them"
    )


def _nats(one: Estimate) -> str:
    return f"{figure(one.value)} ± {figure(one.sd)}"
