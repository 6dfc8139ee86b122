"""The moves of a network's symmetry group, as its runner proposes them.

An exchange of units moves coordinates of the unconstrained space. A flip of a unit negates some,
and that of a sigmoid unit adds its outgoing weights to the biases that follow. Whether the
program's density stays the same under them, as it does if the prior does, is tried out on the
compiled density, so that the runner spends no gradient on moves that cannot be rejected.
"""

from __future__ import annotations

import numpy as np

from manymodes.density.posterior import Posterior
from manymodes.errors import DensityError
from manymodes.networks.forward import layers
from manymodes.networks.group_priors import SOURCE_SCALE, GroupPriors
from manymodes.networks.network import Network
from manymodes.networks.variable_size import flippable
from manymodes.sampling.base_measures import BaseMeasure
from manymodes.sampling.runners import Entry
from manymodes.types import FloatArray, IntArray

_TRIALS = 4
_SAME = 1e-8  # relative difference of log densities that rounding explains


def group_entries(posterior: Posterior, base: BaseMeasure, seed: int) -> list[Entry]:
    """Return the lines that tell the runner the symmetry group; none if there is no group.

    A program with a constraint has none: its parameters cannot leave the constrained region. The
    scales of inputs (ARD) belong to no unit, and stay.

    Parameters
    ----------
    posterior : Posterior
        The posterior that is tempered.
    base : BaseMeasure
        Its draws are where invariance is tried out.
    seed : int
        Decides these draws.
    """
    network = posterior.network
    if network is None or network.constraint != "none":
        return []
    places = _places(posterior, network)
    stages = list(layers(network.hidden, places))
    after = [*stages[1:], (places["V"], places["c"])]
    flips = flippable(network.activation, network.hidden, network.active)
    swaps = network.active is None
    prior = network.prior_parts
    entries: list[Entry] = []
    along: dict[int, FloatArray] = {}  # places of what a layer's units carry besides weights
    if isinstance(prior, GroupPriors):
        by_layer = prior.source_places(network.inputs)
        along = {layer: places[SOURCE_SCALE][own] for layer, own in by_layer.items()}
        if network.activation == "sigmoid":  # biases have another scale than what would be added
            flips = (0,) * len(flips)
    elif prior.family == "uniform":
        entries.append(("bound", prior.bound))
    points = base.sample(np.random.default_rng(seed), _TRIALS)
    for layer, ((matrix, bias), (outgoing, next_bias), flipped) in enumerate(
        zip(stages, after, flips, strict=True)
    ):
        units = [
            np.concatenate([matrix[u], bias[[u]], outgoing[:, u]]).astype(np.intp)
            for u in range(len(bias))
        ]
        carried = [
            np.append(unit, along[layer][u]).astype(np.intp) if layer in along else unit
            for u, unit in enumerate(units)
        ]
        entries.append(("layer", int(_exchanges_freely(posterior, carried, points))))
        entries += [("unit", _joined(unit)) for unit in carried if swaps]
        for u in range(flipped):
            added = np.empty((0, 2), dtype=np.intp)
            if network.activation == "sigmoid":
                added = np.column_stack([next_bias, outgoing[:, u]]).astype(np.intp)
            exact = not len(added) and _flips_freely(posterior, units[u], points)
            pairs = _joined(added.ravel())
            text = f"{int(exact)} {len(units[u])} {_joined(units[u])} {pairs}"
            entries.append(("flip", text.strip()))
    return entries


def _places(posterior: Posterior, network: Network) -> dict[str, FloatArray]:
    """Return the coordinate of each weight, in arrays of the weights' shapes.

    Coordinates are in the order of the parameters, since each of these is a scalar with a
    transform of its own.
    """
    numbers = np.arange(posterior.model.param_num(include_tp=True), dtype=float)
    named = {name: values[0] for name, values in posterior.unpack(numbers[None]).items()}
    wanted = {**network.program_names, **{name: name for name in network.scale_shapes}}
    return {name: named[own] for name, own in wanted.items() if own in named}


def _exchanges_freely(posterior: Posterior, units: list[IntArray], points: FloatArray) -> bool:
    turned = points.copy()
    for u, unit in enumerate(units):
        turned[:, unit] = points[:, units[u - 1]]
    return _same(posterior, points, turned)


def _flips_freely(posterior: Posterior, unit: IntArray, points: FloatArray) -> bool:
    flipped = points.copy()
    flipped[:, unit] *= -1
    return _same(posterior, points, flipped)


def _same(posterior: Posterior, points: FloatArray, moved: FloatArray) -> bool:
    """Whether the log density is the same at all points before and after a move."""
    try:
        before = np.array([posterior.log_density(point) for point in points])
        after = np.array([posterior.log_density(point) for point in moved])
    except DensityError:
        return False
    return bool(np.allclose(before, after, rtol=_SAME, atol=_SAME))


def _joined(numbers: IntArray) -> str:
    return " ".join(map(str, numbers.tolist()))
