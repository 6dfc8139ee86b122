"""Whether the prior gives all copies of a function the same density."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from manymodes.networks.network import Network
from manymodes.networks.symmetry import Generator, generators
from manymodes.types import FloatArray

_FACTOR = 2.0


@dataclass(frozen=True)
class Invariance:
    """The effect of one generator of the group on the prior.

    Attributes
    ----------
    name : str
        The generator, such as ``flip unit 1 of layer 1``.
    kind : {"swap", "flip", "rescale"}
        The kind of the move.
    invariant : bool
        Whether the prior is the same before and after, by the argument in `why`.
    why : str
        The argument.
    change : float
        Measured: mean size of the change of the log prior density (nats), with the log Jacobian of
        a rescaling (by 2), over draws of the prior whose copy is in its support; NaN without any.
    outside : float
        Measured: share of draws whose copy is outside of the prior's support.
    outside_sd : float
        Its binomial standard error.
    """

    name: str
    kind: str
    invariant: bool
    why: str
    change: float
    outside: float
    outside_sd: float

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as a dict that JSON can hold."""
        return {
            "invariant": self.invariant,
            "why": self.why,
            "mean_change": self.change if math.isfinite(self.change) else None,
            "outside": self.outside,
            "outside_sd": self.outside_sd,
        }


def invariance(network: Network, weights: dict[str, FloatArray]) -> tuple[Invariance, ...]:
    """Return, for each generator of the group, whether the unconstrained prior is invariant.

    Parameters
    ----------
    network : Network
        The network; its constraint does not matter.
    weights : dict of str to ndarray, shape (n, *shape)
        Draws of `Network.sample_prior`, on which changes are measured.
    """
    before = network.log_prior(weights)
    found = []
    for generator in generators(network):
        copy = generator(network, weights, _FACTOR)
        change = network.log_prior(copy) + _log_jacobian(network, generator) - before
        inside = np.isfinite(change)
        outside = 1 - float(inside.mean())
        n = len(change)
        smoothed = (outside * n + 1) / (n + 2)
        invariant, why = _argument(network, generator)
        found.append(
            Invariance(
                name=generator.name,
                kind=generator.kind,
                invariant=invariant,
                why=why,
                change=float(np.abs(change[inside]).mean()) if inside.any() else math.nan,
                outside=outside,
                outside_sd=0.0 if invariant else math.sqrt(smoothed * (1 - smoothed) / n),
            )
        )
    return tuple(found)


def _log_jacobian(network: Network, generator: Generator) -> float:
    """Return the log volume factor of a move: 0 except for a rescaling."""
    if generator.kind != "rescale":
        return 0.0
    widths = (network.inputs, *network.hidden, network.units_out)
    incoming, outgoing = widths[generator.layer], widths[generator.layer + 2]
    return (incoming + 1 - outgoing) * math.log(_FACTOR)


def _argument(network: Network, generator: Generator) -> tuple[bool, str]:
    if generator.kind == "swap":
        if network.scale_shapes:
            return True, "weights of all units are alike, whatever the sampled scales"
        return True, "weights of all units are independent and alike"
    if generator.kind == "rescale":
        return False, "the prior has a scale: it prefers some factors to others"
    if network.activation == "tanh":
        return True, "the prior of every weight is symmetric about zero"
    after = "next layer's" if generator.layer + 1 < len(network.hidden) else "output"
    return False, f"sigmoid(-z) = 1 - sigmoid(z): the {after} bias moves by the outgoing weight"
