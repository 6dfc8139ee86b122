"""Entries of ``summary.json``: figures as plain values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from manymodes.modes.headline import Headline
from manymodes.sampling.chains.chains import Chains
from manymodes.sampling.nested import Nested
from manymodes.sampling.tempered import Tempered
from manymodes.statistics.chain_weightings import HeldOutScore, Weighing
from manymodes.types import FloatArray


def nested_entry(nested: Nested) -> dict[str, Any]:
    """Return the entry of nested runs in ``summary.json``."""
    entry: dict[str, Any] = {
        "log_z": nested.log_z,
        "log_z_sd": nested.log_z_sd,
        "log_z_volume_sd": nested.log_z_volume_sd,
        "log_z_between_sd": nested.log_z_between_sd,
        "log_z_by_run": nested.log_z_by_run.tolist(),
        "d_kl": nested.d_kl[0],
        "d_kl_sd": nested.d_kl[1],
        "d_kl_base": nested.d_kl_base[0],
        "d_kl_base_sd": nested.d_kl_base[1],
        "effective_samples": nested.effective_samples,
        "nlive": nested.nlive * len(nested.runs),
        "runs": len(nested.runs),
        "resumed": sum(run.resumed for run in nested.runs),
        "evaluations": nested.evaluations,
        "seconds": nested.seconds,
        "insertion_p": nested.insertion_p,
        "insertion_p_by_run": nested.insertion_p_by_run.tolist(),
        "base_measure": {
            "source": nested.base.source,
            "components": len(nested.base.components),
            "exact": nested.base.exact,
            "reason": nested.base.reason,
            "largest_edge_share": float(nested.edge_shares.max()),
            "missed_share": nested.missed_share,
        },
    }
    if nested.prior_integral is not None:
        entry["prior_log_z"] = nested.prior_integral.log_z
        entry["prior_log_z_sd"] = nested.prior_integral.log_z_sd
        entry["improper"] = list(nested.prior_integral.improper)
        entry["endless"] = list(nested.prior_integral.endless)
    entry["is_evidence"] = nested.is_evidence
    if nested.log_prior_inside[0] < 0:
        entry["log_z_restricted"] = nested.log_z_restricted
        entry["log_prior_inside"], entry["log_prior_inside_sd"] = nested.log_prior_inside
    failures = sum(run.failures for run in nested.runs)
    if failures:
        entry["failed_evaluations"] = failures
    return entry


def tempered_entry(tempered: Tempered) -> dict[str, Any]:
    """Return the entry of tempered runs in ``summary.json``."""
    entry: dict[str, Any] = {
        "log_z": tempered.log_z,
        "log_z_sd": tempered.log_z_sd,
        "log_z_by_run": tempered.log_z_by_run.tolist(),
        "log_z_own_sd": tempered.log_z_own_sd.tolist(),
        "forward": tempered.forward,
        "backward": tempered.backward,
        "barrier": tempered.barrier,
        "round_trips": tempered.round_trips,
        "mixes": tempered.mixes,
        "temperatures": tempered.temperatures,
        "rounds": max(run.last.number for run in tempered.runs),
        "runs": len(tempered.runs),
        "d_kl": tempered.d_kl[0],
        "d_kl_sd": tempered.d_kl[1],
        "draws": len(tempered.eta),
        "effective_samples": tempered.effective_samples,
        "tours": tempered.tours,
        "gradients": tempered.gradients,
        "seconds": tempered.seconds,
        "base_measure": {
            "source": tempered.base.source,
            "components": len(tempered.base.components),
            "exact": tempered.base.exact,
            "reason": tempered.base.reason,
        },
        "is_evidence": tempered.is_evidence,
    }
    if tempered.prior_integral is not None:
        entry["prior_log_z"] = tempered.prior_integral.log_z
        entry["prior_log_z_sd"] = tempered.prior_integral.log_z_sd
        entry["improper"] = list(tempered.prior_integral.improper)
        entry["endless"] = list(tempered.prior_integral.endless)
    failures = sum(run.failures for run in tempered.runs)
    if failures:
        entry["failed_evaluations"] = failures
    return entry


def evidence_entry(headline: Headline) -> dict[str, Any] | None:
    """Return the evidence on which engines agree; None where they do not."""
    if headline.agree is False:
        return None
    return {
        "log_z": headline.log_z.value,
        "log_z_sd": headline.log_z.sd,
        "engines": list(headline.by_engine),
        "agree": headline.agree,
    }


def weightings_entry(
    weighings: Sequence[Weighing], held_out: Sequence[HeldOutScore]
) -> dict[str, dict[str, float]]:
    """Return the scores of each way to weigh the chains (nats), with standard errors."""
    entry = {
        one.name: {
            "loo": one.loo.value,
            "loo_se": one.loo.sd,
            "held_out": one.held_out.value,
            "held_out_se": one.held_out.sd,
            "minus_stacking": one.difference.value,
            "minus_stacking_se": one.difference.sd,
        }
        for one in weighings
    }
    for rows in held_out:
        entry[rows.name] |= {
            "held_out_rows": rows.score.value,
            "held_out_rows_se": rows.score.sd,
            "held_out_rows_minus_stacking": rows.difference.value,
            "held_out_rows_minus_stacking_se": rows.difference.sd,
        }
    return entry


def unfinished_counts(
    chains: Chains | None, nested: Nested | None, tempered: Tempered | None = None
) -> dict[str, tuple[int, int]]:
    """Return, by engine, how many chains or runs finished, and how many were asked for.

    Only engines with an interrupted run are listed.
    """
    engines = {"chains": chains, "nested": nested, "tempered": tempered}
    return {
        name: draws.unfinished
        for name, draws in engines.items()
        if draws is not None and draws.unfinished is not None
    }


def worst(values: FloatArray) -> float:
    """Return the largest value; NaN, which marks a constant coordinate, does not count."""
    return float(np.nanmax(values)) if np.isfinite(values).any() else float("nan")
