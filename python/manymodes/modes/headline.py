"""What two engines say of one evidence: whether they agree, and then the figure of both.

No engine's figure is a headline against another's. Where both agree within three joint errors,
the headline is their mean, weighted by their precision; where they do not, there is none.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from manymodes.sampling.nested import Nested
from manymodes.sampling.tempered import Tempered
from manymodes.statistics.estimate import Estimate

AGREE = 3.0
"""Engines agree if their figures differ by at most so many joint errors."""

NESTED = "nested"
TEMPERED = "tempered"
_NAN = float("nan")
_ROUNDING = 1e-7  # nats: the error of a constant density


@dataclass(frozen=True)
class Headline:
    """The evidence that a reader may quote.

    Attributes
    ----------
    log_z : Estimate
        Log evidence (nats); NaN where engines disagree, or there is none.
    by_engine : dict
        What each engine says, by name (nats).
    agree : bool or None
        Whether two engines agree; None with one engine, which nothing checks.
    apart : float
        The difference of two engines in units of their joint error; NaN with one.

    Examples
    --------
    >>> # comparison: chains and nested runs of the noisy-XOR posterior
    >>> comparison.headline.agree is None, list(comparison.headline.by_engine)
    (True, ['nested'])
    """

    log_z: Estimate
    by_engine: dict[str, Estimate]
    agree: bool | None
    apart: float = _NAN

    @property
    def shares(self) -> dict[str, float]:
        """How much each engine counts; they sum to one, and nothing counts without a headline."""
        if self.agree is False or not self.by_engine:
            return {}
        return _precision_shares(self.by_engine)


def headline(nested: Nested | None, tempered: Tempered | None) -> Headline:
    """Return the evidence that engines agree on, or that of the only one.

    Parameters
    ----------
    nested, tempered : optional
        The runs of either engine.
    """
    engines: dict[str, Nested | Tempered | None] = {TEMPERED: tempered, NESTED: nested}
    by_engine = {
        name: Estimate(one.log_z, one.log_z_sd) for name, one in engines.items() if one is not None
    }
    known = {name: one for name, one in by_engine.items() if np.isfinite(one.value)}
    if len(known) < 2:
        return Headline(next(iter(known.values()), Estimate()), by_engine, None)
    a, b = known.values()
    joint = max(float(np.hypot(a.sd, b.sd)), _ROUNDING)
    apart = abs(a.value - b.value) / joint
    if not apart <= AGREE:
        return Headline(Estimate(), by_engine, False, apart)
    shares = _precision_shares(known)
    value = sum(share * known[name].value for name, share in shares.items())
    sd = float(np.sqrt(sum((share * known[name].sd) ** 2 for name, share in shares.items())))
    return Headline(Estimate(float(value), sd), by_engine, True, apart)


def _precision_shares(figures: dict[str, Estimate]) -> dict[str, float]:
    precision = {name: 1 / max(one.sd, _ROUNDING) ** 2 for name, one in figures.items()}
    total = sum(precision.values())
    return {name: one / total for name, one in precision.items()}
