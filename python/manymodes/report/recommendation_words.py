"""The recommendation in words, with the command to type."""

from __future__ import annotations

import math
from pathlib import Path

from manymodes.modes.recommendation import Recommendation
from manymodes.statistics.estimate import Estimate

_DRAWS = {"chains": "the chains", "nested": "nested sampling", "tempered": "tempering"}


def recommendation_text(found: Recommendation, run: Path | str = "RUN", table: bool = True) -> str:
    """Return which weights to predict with, why, and the command.

    Parameters
    ----------
    found : Recommendation
        The weights.
    run : path
        The run directory, for the command.
    table : bool
        Whether the run is of a network on a table; otherwise new data are a JSON file.
    """
    new = "NEW.csv" if table else "NEW.json"
    command = f"manymodes predict {run} {new} --weights {found.weights}"
    return f"Predict with {_named(found)}: {command}. {_why(found)}"


def _named(found: Recommendation) -> str:
    if found.weights == "evidence":
        return f"the draws of {_DRAWS[found.engine]}, which have evidence weights"
    if found.weights == "uniform":
        return "all draws of the chains alike"
    return "stacking weights of the chains"


def _why(found: Recommendation) -> str:
    where = "held-out rows" if found.on_held_out else "observations left out (cross-validated)"
    gap = f"on {where} the score minus that of stacking is {_nats(found.gap)} nats"
    scored = math.isfinite(found.gap.value)
    compared = f", and {gap}: not clearly less" if scored else ""
    if found.gap.sd == 0:  # one function
        compared = ", and stacking weighs the chains alike"
    said = {
        "only": "There are no chains to stack.",
        "probabilities": f"These weights are probabilities{compared}.",
        "evidence scores lower": f"Of evidence weights {gap}: clearly less, so the model is not "
        "right in every respect, and stacking predicts better.",
        "unproven": "There is an evidence, but its engines disagree or their runs do not mix.",
        "one function": "All chains sample one function, so that stacking weighs them alike.",
        "one chain": "There is one chain only, which says nothing of functions that it did not "
        "reach: run more chains before you use it.",
        "too short": "But run the chains longer first: they do not agree in what they predict "
        "(R-hat in function space is above 1.05), and form no groups that stacking could weigh.",
        "functions": "The chains sample several functions, and the share of chains in each is not "
        "its probability; manymodes evidence gives probabilities.",
        "uniform scores higher": f"Of equal weights {gap}: clearly more.",
        "unscored": "There is neither an evidence nor a log_lik to weigh the chains by, and the "
        "share of chains in a mode is not its probability; manymodes evidence gives probabilities.",
    }
    return said[found.why]


def _nats(score: Estimate) -> str:
    """Return a difference of scores with its error, and the digits that this warrants."""
    digits = max(0, 1 - math.floor(math.log10(score.sd))) if 0 < score.sd < math.inf else 1
    return f"{score.value:.{digits}f} ± {score.sd:.{digits}f}".replace("-", "\u2212")
