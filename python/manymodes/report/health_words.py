"""The health of chains in two lines, for commands that search no modes."""

from __future__ import annotations

import math

from manymodes.modes.diagnosis.quick import BAD_SHARE, ChainHealth
from manymodes.modes.recommendation import BAD_RHAT


def health_lines(health: ChainHealth) -> list[str]:
    """Return lines on whether chains agree in what they predict, with a caution if not.

    Parameters
    ----------
    health : ChainHealth
        What a few draws of each chain say.
    """
    diverged = "it is not known how many transitions diverged"
    if health.divergences is not None:
        share = 100 * health.divergences / max(1, health.draws)
        diverged = f"{health.divergences} of {health.draws} transitions diverged ({share:.2g} %)"
    if math.isnan(health.rhat_function):
        lines = [f"{health.chains} chains: no R-hat in function space, {diverged}"]
    else:
        lines = [
            f"{health.chains} chains: R-hat in function space is at most "
            f"{health.rhat_function:.2f}, {diverged}"
        ]
    if health.is_bad:
        parts = []
        if health.functions > 1:
            parts.append(f"the chains sample {health.functions} different functions")
        elif health.rhat_function > BAD_RHAT:
            parts.append("the chains do not agree in what they predict: run them longer")
        if (health.divergences or 0) > BAD_SHARE * health.draws:
            parts.append("divergent transitions say that a part of the posterior is hard to reach")
        lines.append(f"caution: {', and '.join(parts) or 'look at them before you use them'}")
    return lines
