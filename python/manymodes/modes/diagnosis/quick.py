"""The health of chains at a glance, without their modes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from manymodes.modes.chain_groups import group_chains
from manymodes.modes.function_space import function_blocks, has_functions
from manymodes.modes.recommendation import BAD_RHAT
from manymodes.sampling.chains.chains import Chains
from manymodes.statistics.diagnostics import rhat_function

_DRAWS = 200  # of each chain, evenly spaced
BAD_SHARE = 1e-3
"""Of divergent transitions, above which a part of the posterior is hard to reach."""


@dataclass(frozen=True)
class ChainHealth:
    """What a few draws of each chain say.

    Attributes
    ----------
    chains : int
        How many there are.
    draws : int
        How many draws they have together.
    divergences : int or None
        How many of them diverged; None where chains made elsewhere do not say.
    rhat_function : float
        The largest R-hat in function space, of at most 200 draws of each chain; NaN with one chain
        or without predictions.
    functions : int
        How many different functions the chains sample; 0 if that is not known.
    """

    chains: int
    draws: int
    divergences: int | None
    rhat_function: float
    functions: int

    @property
    def is_bad(self) -> bool:
        """Whether chains differ in what they predict, or too many transitions diverged."""
        return self.rhat_function > BAD_RHAT or (self.divergences or 0) > BAD_SHARE * self.draws

    def as_dict(self) -> dict[str, Any]:
        """Return the entry in ``summary.json``."""
        return {
            "n": self.chains,
            "draws": self.draws,
            "divergences": self.divergences,
            "rhat_function": self.rhat_function,
            "functions": self.functions,
        }


def chain_health(chains: Chains) -> ChainHealth:
    """Return how far chains agree in what they predict, in a second or two.

    Parameters
    ----------
    chains : Chains
        The chains.
    """
    whole = chains.whole
    told = has_functions(chains.posterior)
    worst = float("nan")
    if told and whole.n_chains > 1:
        found = np.asarray(rhat_function(function_blocks(whole, _DRAWS)))
        if np.isfinite(found).any():
            worst = float(np.nanmax(found))
    return ChainHealth(
        chains=chains.n_chains,
        draws=chains.total_draws,
        divergences=chains.divergences,
        rhat_function=worst,
        functions=group_chains(chains).n_groups if told else 0,
    )
