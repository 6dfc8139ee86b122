"""What a network was given: inputs and outcomes, from the data of its Stan program."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from manymodes.networks.network import Network
from manymodes.types import FloatArray


@dataclass(frozen=True, eq=False)
class Observed:
    """Inputs and outcomes, as `Network.data` takes them.

    Attributes
    ----------
    X : array of shape (N, M)
        Inputs.
    y : array of shape (N,), or (N, T) of several real targets
        Targets; classes are counted from 0.
    counted_over : dict of str to array of shape (N,)
        ``exposure`` or ``trials`` of counts; empty for other likelihoods.
    """

    X: FloatArray
    y: FloatArray
    counted_over: dict[str, FloatArray] = field(default_factory=dict)

    @property
    def shares(self) -> FloatArray:
        """Targets in the units of a prediction: counts for an exposure of 1, or by trial."""
        y = self.y
        for values in self.counted_over.values():
            y = y / values
        return y


def observed(network: Network, data: Mapping[str, Any]) -> Observed:
    """Return what a network was given.

    Parameters
    ----------
    network : Network
        The network.
    data : mapping
        What `Network.data` returned, or the same with other outcomes.
    """
    likelihood = network.likelihood_parts
    n = data["N"]
    X = np.asarray(data["X"], dtype=float).reshape(n, network.inputs)
    if likelihood.is_real:
        y = np.asarray(data["y_real"], dtype=float)
        return Observed(X, y.reshape(n, network.outputs, order="F") if network.outputs > 1 else y)
    first_class = 1 if likelihood.kind == "categorical" else 0
    y = np.asarray(data["y_int"], dtype=float) - first_class
    if likelihood.has_exposure:
        exposure = np.exp(np.asarray(data["log_exposure"], dtype=float))
        return Observed(X, y, {"exposure": exposure})
    if likelihood.kind == "binomial":
        return Observed(X, y, {"trials": np.asarray(data["trials"], dtype=float)})
    return Observed(X, y)
