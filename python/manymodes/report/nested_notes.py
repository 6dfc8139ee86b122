"""Sentences on nested runs: how they went, and what may be wrong."""

from __future__ import annotations

import math

import numpy as np
from scipy import stats

from manymodes.sampling.integral import Integral
from manymodes.sampling.nested import Nested
from manymodes.sampling.nested.meaning import figure, what_log_z_is
from manymodes.wording import things

UNLIKELY = 0.01
"""The p-value below which a caution names a test."""

NO_INSERTIONS = "no live point was drawn above the contour of another"
"""Why there is no insertion-index test."""

_MOST_SHOWN = 700.0
"""The largest logarithm of a number that is shown itself: beyond, a double overflows."""

MOST_MISSED = 0.05
"""The share of the posterior that chains may have missed under a base measure fitted to them."""

MOST_AT_THE_EDGE = 0.02
"""The share of the posterior that a fitted base measure may have in its outer thousandths."""


def effort_lines(nested: Nested) -> list[str]:
    """Return lines on how the evidence was found: base measure, information, effort, test."""
    d_kl, d_kl_sd = nested.d_kl
    known = math.isfinite(d_kl)
    if not known:
        d_kl, d_kl_sd = nested.d_kl_base
    of = "the prior" if known else "the base measure"
    resumed = sum(run.resumed > 0 for run in nested.runs)
    base = f"base measure: {nested.base.reason or nested.base.source}"
    if math.isnan(nested.log_z):
        return [base, f"{nested.evaluations} evaluations"]
    lines = [
        base,
        f"D_KL = {d_kl:.2f} ± {d_kl_sd:.2f} nats from {of}; "
        f"{nested.effective_samples:.0f} effective samples; {nested.evaluations} evaluations",
        f"log_z_sd: {nested.log_z_volume_sd:.3f} by volumes"
        + (f", {nested.log_z_between_sd:.3f} between runs" if len(nested.runs) > 1 else "")
        + f"; {_insertion_test(nested)}",
    ]
    plateau = plateau_sentence(nested)
    if plateau:
        lines.append(plateau)
    if resumed:
        lines.append(f"{resumed} of {len(nested.runs)} runs went on from a checkpoint")
    return lines


def _insertion_test(nested: Nested) -> str:
    if math.isnan(nested.insertion_p):
        return f"insertion-index p: none ({NO_INSERTIONS})"
    by_run = ", ".join("none" if math.isnan(p) else f"{p:.2g}" for p in nested.insertion_p_by_run)
    return f"insertion-index p = {nested.insertion_p:.2g} (by run {by_run})"


def plateau_sentence(nested: Nested) -> str:
    """Say that the runs ended on a plateau, or saw nothing else; empty if neither is so."""
    top, points = nested.on_top
    if top == points:
        where = "where it is not zero, " if nested.log_prior_inside[0] < 0 else ""
        return f"{where}the likelihood is the same at all {points} points of the nested runs"
    if top < max(2, nested.nlive * len(nested.runs) // 10):
        return ""
    return (
        f"the nested runs ended on a plateau: {top} live points had the same likelihood, and none "
        f"had a higher one; if less than about {300 / top:.2g} % of the plateau is higher, the "
        "runs would not have seen it"
    )


def nested_cautions(nested: Nested) -> list[str]:
    """Return sentences on what may be wrong with the evidence, and on the remedy."""
    texts = [*prior_cautions(nested), *_base_cautions(nested)]
    if nested.insertion_p < UNLIKELY:
        texts.append(
            f"the insertion-index test has p = {nested.insertion_p:.2g}: new live points were not "
            "drawn evenly, so the evidence may be wrong by more than its error; run again with "
            "more repeats or live points."
        )
    if nested.failures:
        n = len(nested.failures)
        texts.append(
            f"{things(n, 'nested run')} of {n + len(nested.runs)} failed and "
            f"{'is' if n == 1 else 'are'} left out; the first message was: "
            f"{next(iter(nested.failures.values()))}"
        )
    n_runs = len(nested.runs)
    if n_runs > 1 and nested.log_z_volume_sd > 0:
        spread = nested.log_z_by_run - nested.log_z_by_run.mean()
        statistic = float(np.sum(spread**2)) / (nested.log_z_volume_sd**2 * n_runs)
        p = float(stats.chi2.sf(statistic, n_runs - 1))
        if p < UNLIKELY:
            texts.append(
                f"the nested runs differ by more than their volumes allow (p = {p:.2g}): they may "
                "have found different modes, or their slices are too short: raise --repeats or "
                "--nlive."
            )
    rejected = sum(run.failures for run in nested.runs)
    if rejected:
        texts.append(
            f"{things(rejected, 'evaluation')} of the density failed and counted as density zero."
        )
    return texts


def prior_cautions(nested: Integral) -> list[str]:
    """Return sentences on a prior that is improper or not normalised."""
    prior = nested.prior_integral
    what = what_log_z_is(nested)
    texts = [f"{what}."] if what else []
    if prior is None or not prior.is_off or not nested.is_evidence:
        return texts
    error = f" ± {prior.log_z_sd:.3f}" if prior.log_z_sd > 0 else ""
    shown = f" = {math.exp(prior.log_z):.4g}" if abs(prior.log_z) < _MOST_SHOWN else ""
    return [
        *texts,
        f"the prior is not normalised: without the likelihood the program integrates to "
        f"e^({figure(prior.log_z, 3)}{error}){shown}, not to 1. With the prior "
        f"normalised, log_z is {figure(nested.log_z - prior.log_z)} ± "
        f"{math.hypot(nested.log_z_sd, prior.log_z_sd):.2f} nats. To mend the program: truncate "
        "priors of bounded parameters (T[...]), and give every parameter a prior.",
    ]


def _base_cautions(nested: Nested) -> list[str]:
    said = [f"{nested.base.caution}."] if nested.base.caution else []
    return said + _uncovered(nested)


def _uncovered(nested: Nested) -> list[str]:
    if nested.missed_share > MOST_MISSED:
        return [
            f"{nested.base.source} did not visit {100 * nested.missed_share:.0f} % of the "
            "posterior; the base measure covers this part only by its small share of the "
            "prior, so that the evidence rests on few live points. Use --reference prior."
        ]
    shares = nested.edge_shares
    worst = int(shares.argmax())
    if shares[worst] <= MOST_AT_THE_EDGE:
        return []
    name = nested.posterior.unconstrained_names[worst]
    return [
        f"the base measure does not cover the posterior well: {100 * shares[worst]:.1f} % of it "
        f"lies in the outer thousandths of coordinate {name}, where live points are scarce. "
        + (
            "Fit it to longer chains, or use --reference prior."
            if nested.base.source in ("chains", "peaks")
            else "Use --reference chains, or a wider measure from a file."
        )
    ]
