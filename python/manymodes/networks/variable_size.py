"""Networks of variable size: how many units of a hidden layer are active, K, and its prior.

The active units are the first K of the H in the layer, K from 1 to H: unit j + 1 can be active
only if unit j is, the nested indicators of Müller and Ríos Insua (1998). They jump between sizes;
here the program ``mlp_variable`` sums over K, so that what is left to sample is continuous:

    p(y, w) = p(w) sum_K P(K) p(y | first K units of w).

Weights of units that are not active keep their prior, which integrates to one (a pseudo-prior
equal to the prior, Carlin and Chib 1995). ``p_active``, shape (H,), is P(K | w, y), K from 1.

References
----------
.. [1] Müller, Ríos Insua (1998). Issues in Bayesian analysis of neural network models. Neural
   Computation 10.
.. [2] Carlin, Chib (1995). Bayesian model choice via Markov chain Monte Carlo methods. Journal of
   the Royal Statistical Society B 57.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from manymodes.errors import InputError
from manymodes.networks.forward import (
    Weights,
    blocks,
    flatten_draws,
    linear_outputs,
    nested_outputs,
)
from manymodes.types import FloatArray

PROGRAM = "mlp_variable"
"""The Stan program, without its suffix."""
P_ACTIVE = "p_active"
"""The name of P(K | w, y) among the effective weights."""

_GRAMMAR = "geometric:ALPHA (0 < ALPHA < 1) or uniform"


@dataclass(frozen=True)
class ActivePrior:
    """The prior of the number K of active units.

    Parameters
    ----------
    alpha : float or None
        Probability that the next unit is active if the one before is: with H units
        P(K) = (1 - alpha) alpha^(K - 1) for K < H, and P(H) = alpha^(H - 1), what a geometric
        distribution has from H on. With None each number has the probability 1 / H.
    """

    alpha: float | None

    @classmethod
    def parse(cls, text: str) -> ActivePrior:
        """Read ``geometric:ALPHA`` or ``uniform``.

        Raises
        ------
        InputError
            It is neither, or ALPHA is not between 0 and 1.
        """
        if text == "uniform":
            return cls(None)
        name, _, rest = text.partition(":")
        try:
            alpha = float(rest)
        except ValueError:
            alpha = math.nan
        if name != "geometric" or not 0 < alpha < 1:
            raise InputError(f"active: '{text}' is not allowed; give {_GRAMMAR}")
        return cls(alpha)

    def log_probabilities(self, units: int) -> FloatArray:
        """Return log P(K), shape (units,), for K = 1 to the number H of units."""
        if self.alpha is None:
            return np.full(units, -math.log(units))
        log_p = np.arange(units) * math.log(self.alpha)
        log_p[:-1] += math.log1p(-self.alpha)
        return np.asarray(log_p)


def check_active(active: str, hidden: tuple[int, ...], constraint: str) -> None:
    """Refuse arguments that a network of variable size cannot have, and name the alternative.

    The units differ: unit 1 is always active. Other constraints ask for ordered biases, and then
    the units with the K lowest of H biases would be active, under a prior that differs from the
    prior of a network of K units.

    Raises
    ------
    InputError
        If the prior is unknown, there are several layers, or a constraint.
    """
    ActivePrior.parse(active)
    if len(hidden) != 1:
        raise InputError(
            f"active: '{active}' for {len(hidden)} hidden layers {hidden}; only a network of one"
            " hidden layer can be of variable size: give one, as in (6,)"
        )
    if constraint != "none":
        raise InputError(
            f"constraint: '{constraint}' assumes that units are exchangeable, but those of a"
            " network of variable size are not; use constraint 'none', or leave active out"
        )


def flippable(activation: str, hidden: tuple[int, ...], active: str | None) -> tuple[int, ...]:
    """Return how many units of each layer, the first ones, can be flipped.

    The flip of a sigmoid unit moves its outgoing weights to the next biases. Smaller networks
    without the unit have these biases as well; only unit 1 is in all of them.
    """
    if activation == "relu":
        return (0,) * len(hidden)
    return hidden if activation == "tanh" or active is None else (1,)


def over_draws(
    function: Callable[[FloatArray, Mapping[str, FloatArray]], FloatArray],
    weights: Weights,
    shapes: Mapping[str, tuple[int, ...]],
    inputs: FloatArray,
    activation: str,
    hidden: tuple[int, ...],
    last: tuple[int, ...],
    *,
    logs: bool = False,
) -> FloatArray:
    """Apply a function to a network's outputs under each draw of its weights, in blocks.

    Parameters
    ----------
    function : callable
        Takes outputs before the link, shape (draws, N, K), and their weights; returns values of
        shape (draws, *last).
    weights, shapes
        As in `flatten_draws`. With ``p_active`` in the shapes, values are averaged over the
        number of active units.
    inputs : array of shape (N, M)
        Inputs.
    activation, hidden
        The network's.
    last : tuple of int
        Shape of the values of a draw.
    logs : bool
        Values are logarithms: average what they are logarithms of, and return its logarithm.

    Returns
    -------
    array of shape (..., *last)
    """
    draws, lead = flatten_draws(weights, shapes)
    result = np.empty((math.prod(lead), *last))
    for block in blocks(len(result), len(inputs) * max(*hidden, shapes["c"][0])):
        part = {name: value[block] for name, value in draws.items()}
        if P_ACTIVE in shapes:
            by_size = (function(e, part) for e in nested_outputs(activation, part, inputs))
            result[block] = _mixed(by_size, part[P_ACTIVE], logs)
        else:
            result[block] = function(linear_outputs(hidden, activation, part, inputs), part)
    return result.reshape(*lead, *last)


def _mixed(values: Iterable[FloatArray], p_active: FloatArray, logs: bool) -> FloatArray:
    """Average values of H networks, each of shape (draws, ...), with weights (draws, H)."""
    total = np.zeros(())
    for k, value in enumerate(values):
        share = p_active[:, k].reshape(-1, *[1] * (value.ndim - 1))
        with np.errstate(divide="ignore"):  # a number of units may have probability zero
            term = value + np.log(share) if logs else value * share
        if k == 0:
            total = term
        elif logs:
            total = np.logaddexp(total, term)
        else:
            total = total + term
    return total
