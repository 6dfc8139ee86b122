"""Sentences on tempered runs: how they went, and what may be wrong."""

from __future__ import annotations

import math

from manymodes.report.nested_notes import prior_cautions
from manymodes.sampling.nested.meaning import figure
from manymodes.sampling.tempered import Tempered
from manymodes.wording import things

_DIRECTIONS = 4.0
"""Directions that differ by more than so many errors, and by half a nat, are named."""

_MANY_FAILURES = 1e-3
"""A trajectory may leave where a program can be evaluated; this share of all gradients is named."""


def tempered_lines(tempered: Tempered) -> list[str]:
    """Return lines on how tempering found the evidence: base measure, ladder, effort."""
    base = f"tempered from the base measure: {tempered.base.reason or tempered.base.source}"
    if math.isnan(tempered.log_z):
        return [base, f"{tempered.gradients} gradients"]
    d_kl, d_kl_sd = tempered.d_kl
    known = f"D_KL = {d_kl:.2f} ± {d_kl_sd:.2f} nats from the prior; " if d_kl == d_kl else ""
    rounds = max(run.last.number for run in tempered.runs)
    tried = max(run.beginnings.size for run in tempered.runs)
    best = f"; each run went on with the best of {tried} beginnings" if tried else ""
    return [
        base,
        f"upwards {figure(tempered.forward)}, downwards {figure(tempered.backward)} nats; barrier "
        f"{tempered.barrier:.1f}; {things(tempered.round_trips, 'round trip')} in "
        f"{things(len(tempered.runs), 'run')} of {rounds} rounds{best}",
        f"{known}{tempered.effective_samples:.0f} effective draws; up to {tempered.temperatures} "
        f"temperatures, {tempered.gradients} gradients",
    ]


def tempered_cautions(tempered: Tempered) -> list[str]:
    """Return sentences on what may be wrong with the evidence, and on the remedy."""
    texts = prior_cautions(tempered)
    more = "run again with --resume and more --rounds"
    if not tempered.mixes:
        trips = tempered.round_trips
        came = f"only {things(trips, 'draw')}" if trips else "no draw"
        texts.append(
            f"{came} of the base measure came to the "
            f"posterior in the last rounds of the tempered runs: the runs may have missed modes, "
            f"and log_z may be wrong by more than its error; {more}."
        )
    apart = tempered.backward - tempered.forward
    if abs(apart) > max(_DIRECTIONS * tempered.log_z_sd, 0.5):
        texts.append(
            f"the two directions of the stepping stone differ by {figure(abs(apart))} nats: the "
            f"tempered runs are not finished; {more}."
        )
    if tempered.failures:
        n = len(tempered.failures)
        texts.append(
            f"{things(n, 'tempered run')} of {n + len(tempered.runs)} failed and "
            f"{'is' if n == 1 else 'are'} left out; the first message was: "
            f"{next(iter(tempered.failures.values()))}"
        )
    rejected = sum(run.failures for run in tempered.runs)
    if rejected > _MANY_FAILURES * tempered.gradients:
        texts.append(
            f"{things(rejected, 'evaluation')} of the density failed in tempered runs and counted "
            "as density zero."
        )
    return texts
