"""Where transitions diverge: the coordinate along which divergent draws lie at an end.

In the neck of a funnel divergent draws have small values of a scale; in a heavy tail large ones of
a weight. Chains in different modes differ in many coordinates, so that ranks are within a chain.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy import stats

from manymodes.sampling.chains.chains import Chains

_LEAST_SHIFT = 0.15  # of a mean rank from 1/2
_LEAST_Z = 5.0  # of the shift, in its error under no association
_FEWEST = 10  # divergent draws


@dataclass(frozen=True)
class Concentration:
    """The coordinate at whose end divergent draws lie.

    Attributes
    ----------
    name : str
        The coordinate of the unconstrained space, such as ``tau`` or ``group_scale.1``.
    rank : float
        Mean rank of divergent draws among all of their chain, from 0 (lowest) to 1.
    z : float
        Its distance from 1/2 in standard errors of the mean of so many uniform ranks.
    """

    name: str
    rank: float
    z: float

    @property
    def low(self) -> bool:
        """Whether they lie at the low end."""
        return self.rank < 0.5

    def as_dict(self) -> dict[str, Any]:
        """Return the entry in ``summary.json``."""
        return asdict(self)


def concentration(chains: Chains) -> Concentration | None:
    """Return where transitions diverge; None if they are few or at no end of a coordinate.

    Parameters
    ----------
    chains : Chains
        The chains; those without a divergent draw say nothing.
    """
    ranks = []
    for c in range(chains.n_chains):
        present = chains.present[c]
        diverging = chains.stats["diverging"][c][present] > 0
        if diverging.any() and not diverging.all():
            own = stats.rankdata(chains.eta[c][present], axis=0)
            ranks.append((own[diverging] - 0.5) / len(own))
    if sum(map(len, ranks)) < _FEWEST:
        return None
    found = np.concatenate(ranks)
    mean = found.mean(axis=0)
    best = int(np.argmax(np.abs(mean - 0.5)))
    z = float(abs(mean[best] - 0.5) * math.sqrt(12 * len(found)))
    if abs(mean[best] - 0.5) < _LEAST_SHIFT or z < _LEAST_Z:
        return None
    return Concentration(chains.posterior.unconstrained_names[best], float(mean[best]), z)
