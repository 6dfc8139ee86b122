"""Entries of ``summary.json``: figures as plain values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from manymodes.sampling.chains.chains import Chains
from manymodes.sampling.nested import Nested
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


def unfinished_counts(chains: Chains | None, nested: Nested | None) -> dict[str, tuple[int, int]]:
    """Return, by engine, how many chains or runs finished, and how many were asked for.

    Only engines with an interrupted run are listed.
    """
    engines = {"chains": chains, "nested": nested}
    return {
        name: draws.unfinished
        for name, draws in engines.items()
        if draws is not None and draws.unfinished is not None
    }


def worst(values: FloatArray) -> float:
    """Return the largest value; NaN, which marks a constant coordinate, does not count."""
    return float(np.nanmax(values)) if np.isfinite(values).any() else float("nan")
