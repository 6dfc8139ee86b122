"""The meaning of log_z: an evidence, or only the integral of a density as it is written."""

from __future__ import annotations

from manymodes.sampling.integral import Integral, PriorIntegral
from manymodes.wording import joined

_MOST_DIGITS = 1e7
"""Larger numbers are written with a power of ten instead of decimals."""


def figure(value: float, decimals: int = 2) -> str:
    """Return a number as text for a line."""
    return f"{value:.{decimals}f}" if abs(value) < _MOST_DIGITS else f"{value:.6g}"


def log_z_line(found: Integral, value: float | None = None, sd: float | None = None) -> str:
    """Return log_z and its error, under the right name, for a line; its own, or those given."""
    if found.is_endless:
        return "log_z = none: the density has no finite integral"
    what = "log_z" if found.is_evidence else "log integral of the density as written"
    value, sd = (found.log_z, found.log_z_sd) if value is None or sd is None else (value, sd)
    return f"{what} = {figure(value)} ± {figure(sd)} nats"


def what_log_z_is(found: Integral) -> str:
    """Say what log_z is where it is no evidence, or may be none; empty where it is one."""
    return "" if found.prior_integral is None else what_is_integrated(found.prior_integral)


def what_is_integrated(prior: PriorIntegral) -> str:
    """Say the same of a density by what is known of the integral of its prior."""
    if prior.endless:
        return (
            f"the density has no finite integral: it does not fall off in {joined(prior.endless)}"
            ". There is no evidence and no posterior to draw from, and log_z only says how far "
            "the runs went. Give every parameter a prior that falls off"
        )
    if not prior.improper:
        return ""
    names = joined(prior.improper)
    if prior.certain:
        return (
            f"the prior of {names} is improper: it has no finite integral, so there is no "
            "evidence, because its constant would be arbitrary. log_z is the integral of the "
            "density as written and is not comparable with that of another program. Weights of "
            "modes do not depend on it"
        )
    return (
        f"{names} may have no prior: then there is no evidence, because its constant would be "
        "arbitrary, and log_z is the integral of the density as written"
    )
