"""The log evidence under a constraint, predicted from draws of the unconstrained posterior."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from manymodes.errors import InputError
from manymodes.networks.audit.count import count_copies
from manymodes.networks.audit.known import region
from manymodes.networks.constraints import admits
from manymodes.networks.forward import Weights, flatten_draws
from manymodes.networks.network import Network
from manymodes.networks.symmetry import group_order
from manymodes.statistics.estimate import Estimate


def evidence_shift(
    network: Network, draws: Weights, weights: npt.ArrayLike | None = None, *, seed: int = 1
) -> Estimate:
    """Return log_z of the constrained program minus that of ``none``, from draws of ``none``.

    With the prior restricted to a region of mass P and renormalised, the evidence changes by the
    factor (posterior mass of the region) / P. If the prior is invariant under the group G
    (tanh, and permutations of relu units), this mass is the posterior mean of the number of
    admitted copies divided by the order of G: all copies of a draw count, and the error is smaller.

    Parameters
    ----------
    network : Network
        The network with its constraint.
    draws : mapping of str to array_like, shape (..., *network.weight_shapes[name])
        Effective weights of independent draws of the posterior under constraint ``none``.
    weights : array_like, shape (...,), optional
        Importance weights of the draws, as nested sampling gives them.
    seed : int
        Seed of the members of the group that are sampled if copies cannot be counted.

    Returns
    -------
    Estimate
        Shift of log_z in nats and its standard error, that of the region's mass included; -inf and
        NaN where no draw has an admitted copy.

    Raises
    ------
    InputError
        If the draws or their weights have the wrong shape, the constraint is ``pd-skew:lu``,
        whose prior on the region is another one, or the network is of variable size.

    Examples
    --------
    Under the prior itself each draw has one admitted copy, so that log_z stays as it is:

    >>> network = mm.Network(2, (2,), activation="tanh", constraint="ordered-signed")
    >>> draws = network.sample_prior(np.random.default_rng(1), 500)
    >>> abs(mm.evidence_shift(network, draws).value) < 1e-9
    True
    """
    mass = region(network)
    if network.active is not None:
        raise InputError(
            f"active: '{network.active}' goes only with constraint 'none', which shifts nothing;"
            " give a network with active None"
        )
    if network.constraint == "pd-skew:lu" or mass is None:
        raise InputError(
            f"constraint: '{network.constraint}' is not the prior of 'none' restricted to a region"
            " of known mass; its log_z cannot be predicted from draws of 'none'"
        )
    shapes = {name: size for name, size in network.weight_shapes.items() if name != "sigma"}
    flat, lead = flatten_draws(draws, shapes)
    shares = np.ones(lead) if weights is None else np.asarray(weights, dtype=float)
    if shares.shape != lead or not (shares >= 0).all() or not shares.sum() > 0:
        raise InputError(f"weights: give {lead} numbers, none negative and at least one positive")
    shares = shares.ravel() / shares.sum()
    if network.activation == "sigmoid":
        inside = admits(network, flat).astype(float)
    else:
        count = count_copies(network, flat, np.random.default_rng(seed))
        inside = count.admitted * float(count.base / group_order(network))
    mean = float(shares @ inside)
    if mean == 0:
        return Estimate(-math.inf, math.nan)
    variance = float(shares**2 @ (inside - mean) ** 2) / mean**2
    kept = 0.0 if network.constraint == "pd-skew:reject" else mass.log_mass
    error = 0.0 if kept == 0.0 else mass.standard_error
    return Estimate(math.log(mean) - kept, math.hypot(math.sqrt(variance), error))
