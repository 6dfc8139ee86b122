"""Which weights to predict with, and why: one answer for every command."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from manymodes.modes.headline import NESTED, TEMPERED
from manymodes.statistics.estimate import Estimate

BAD_RHAT = 1.05
"""Above this R-hat in function space chains do not agree in what they predict."""
_CERTAIN = 2.0
"""Scores differ clearly if they differ by so many standard errors."""


@dataclass(frozen=True)
class Recommendation:
    """The weights to predict with.

    Attributes
    ----------
    weights : {"evidence", "stacking", "uniform"}
        As `predict_table` takes them.
    engine : {"chains", "nested", "tempered"}
        Whose draws they weigh.
    why : str
        ``only``: there are no chains. ``probabilities``: evidence weights are probabilities, and
        their score is not clearly below that of stacking. ``evidence scores lower``: stacking
        predicts clearly better. ``unproven``: there is an evidence, but engines disagree or runs
        do not mix. ``one function``: all chains sample one. ``one chain``: a single one tells
        nothing of others. ``too short``: chains differ in what they predict, and no grouping tells
        them apart. ``functions``: chains sample several, and no evidence weighs them. ``uniform
        scores higher``: all draws alike predict clearly better than stacking. ``unscored``: there
        is neither an evidence nor a score.
    gap : Estimate
        The score of the evidence weights, or of uniform weights, minus that of stacking (nats).
    on_held_out : bool
        Whether the scores are on held-out rows; else by cross-validation.

    Examples
    --------
    >>> # comparison: what chains and nested runs of the noisy-XOR posterior found
    >>> comparison.recommendation.engine in ("chains", "nested")
    True
    """

    weights: str
    engine: str
    why: str
    gap: Estimate = field(default_factory=Estimate)
    on_held_out: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Return the entry in ``summary.json``."""
        return {
            "weights": self.weights,
            "engine": self.engine,
            "why": self.why,
            "score_minus_stacking": self.gap.value,
            "score_minus_stacking_se": self.gap.sd,
            "on_held_out": self.on_held_out,
        }


def recommend(comparison: Any) -> Recommendation:
    """Return the weights to predict with.

    Weights by evidence are right if the model is; stacking is for prediction if it is not (Yao,
    Vehtari and Gelman 2022). So the evidence is used where it is known and does not predict clearly
    worse.

    Parameters
    ----------
    comparison : Comparison
        What was found (this module lies below that of the class).
    """
    engine = TEMPERED if comparison.tempered is not None else NESTED
    if comparison.chains is None:
        return Recommendation("evidence", engine, "only")
    scores = comparison.held_out or comparison.weighings
    gaps = {one.name: one.difference for one in scores[1:]}
    on_rows = bool(comparison.held_out)
    known = bool(comparison.integrals) and _is_trusted(comparison)
    if known:
        gap = gaps.get("evidence", Estimate())
        if gap.value < -_CERTAIN * gap.sd:
            return Recommendation("stacking", "chains", "evidence scores lower", gap, on_rows)
        return Recommendation("evidence", engine, "probabilities", gap, on_rows)
    if comparison.stacked is None:
        return Recommendation("uniform", "chains", "unscored")
    gap = gaps.get("uniform", Estimate())
    if comparison.chains.n_chains == 1:
        return Recommendation("uniform", "chains", "one chain")
    if comparison.stacked.groups.n_groups == 1:
        rhat = comparison.rhat_function
        worst = float(np.nanmax(rhat)) if np.isfinite(rhat).any() else 1.0
        why = "too short" if worst > BAD_RHAT else "one function"
        return Recommendation("uniform", "chains", why)
    if gap.value > _CERTAIN * gap.sd:
        return Recommendation("uniform", "chains", "uniform scores higher", gap, on_rows)
    why = "unproven" if comparison.integrals else "functions"
    return Recommendation("stacking", "chains", why, gap, on_rows)


def _is_trusted(comparison: Any) -> bool:
    """Return whether there is an evidence, no engine disagrees, and tempered runs mix."""
    found = comparison.headline
    mixes = comparison.tempered is None or comparison.tempered.mixes
    return bool(np.isfinite(found.log_z.value)) and found.agree is not False and mixes
