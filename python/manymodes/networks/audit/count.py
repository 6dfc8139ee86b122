"""How many copies of each draw a constraint admits: exact counts wherever there is structure.

A group of H! 2^H members is never listed: the constraint decides most of each member, and the rest
is searched unit by unit for many draws at once.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np

from manymodes.networks.audit.orders import Count, Draws, count_orders
from manymodes.networks.constraints import admits
from manymodes.networks.forward import layers
from manymodes.networks.network import Network
from manymodes.networks.prior import Prior
from manymodes.networks.symmetry import act, group_order, orbit, random_members
from manymodes.types import BoolArray, FloatArray, IntArray

Booleans = BoolArray

_DRAWS = 500  # draws that are searched at once
_FEWEST = 8  # blocks of so few draws are not split further
_MOST_NUMBERS = 20_000_000  # weights of a block's partial placements
_WIDEST = 10  # widest layer whose flips, or sets of units, are listed
_MOST_LISTED = 400  # members of a group that is listed
_SAMPLED = 64  # most members sampled for each draw if there is no other way
_MOST_WORK = 2e9  # multiplications for sampled members


class _TooMany(Exception):
    """The search would take too long."""


def count_copies(network: Network, weights: Draws, rng: np.random.Generator) -> Count:
    """Return how many copies of each draw the network's constraint admits.

    Parameters
    ----------
    network : Network
        The network with its constraint.
    weights : dict of str to ndarray, shape (n, *network.weight_shapes[name])
        Draws of the prior of ``none``.
    rng : numpy.random.Generator
        Source of the members of the group that are sampled if no count is possible.
    """
    one = np.ones(len(weights["b"]))
    relu, sigmoid = network.activation == "relu", network.activation == "sigmoid"
    orders = math.prod(math.factorial(width) for width in network.hidden)
    match network.constraint:
        case "unit-norm":
            return Count(1, one, one)
        case "none" | "ordered":
            # For every pattern of flips, each layer has exactly one order.
            base = orders if network.constraint == "none" else 1
            return _patterns(network, weights, base, rng)
        case "ordered-signed":
            return _signed(network, weights) if sigmoid else Count(1, one, one)
        case "svd" if not relu:
            # Flips of the first k rows toggle the k pivots one by one; other flips do nothing.
            widths = zip((network.inputs, *network.hidden[:-1]), network.hidden, strict=True)
            free = sum(width - min(before, width) for before, width in widths)
            return Count(orders * 2**free, one, one)
        case "svd" if max(network.inputs, *network.hidden) <= _WIDEST:
            return _in_blocks(count_orders, network, weights)
        case "svd":
            return sample_copies(network, weights, rng)
    try:
        return _in_blocks(_search_pd_skew, network, weights)
    except _TooMany:
        return sample_copies(network, weights, rng)


def list_copies(network: Network, weights: Draws) -> Count:
    """Return the same by listing the whole group."""
    admitted, supported = (np.zeros(len(weights["b"])) for _ in range(2))
    for copy in orbit(network, weights):
        good = admits(network, copy)
        admitted += good
        supported += good & in_support(network, copy)
    return Count(1, admitted, supported)


def sample_copies(network: Network, weights: Draws, rng: np.random.Generator) -> Count:
    """Return estimates from random members of the group for each draw; a small group is listed."""
    order, n = group_order(network), len(weights["b"])
    if order <= _MOST_LISTED:
        return list_copies(network, weights)
    widths = (network.inputs, *network.hidden)
    work = sum(before * width * min(before, width) for before, width in itertools.pairwise(widths))
    sampled = int(np.clip(_MOST_WORK / (n * work), 1, _SAMPLED))
    admitted, supported = np.zeros(n), np.zeros(n)
    for _ in range(sampled):
        copy = act(network, weights, *random_members(network, n, rng))
        good = admits(network, copy)
        admitted += good / sampled
        supported += (good & in_support(network, copy)) / sampled
    return Count(order, admitted, supported, exact=False)


def bounded(network: Network) -> bool:
    """Return whether copies of a draw can lie outside of the prior's support."""
    return network.activation == "sigmoid" and _bound(network) < math.inf


def _bound(network: Network) -> float:
    """Return the largest absolute value of every weight."""
    prior = network.prior_parts
    return prior.bound if isinstance(prior, Prior) else math.inf


def in_support(network: Network, weights: Draws) -> Booleans:
    """Return whether copies of draws of the prior lie in its support."""
    good = np.ones(weights["b"].shape[:-1], dtype=bool)
    if bounded(network):
        bound = _bound(network)
        for name in ("b", "c"):
            good &= (np.abs(weights[name]) < bound).all(axis=-1)
    return good


def _in_blocks(
    search: Callable[[Network, Draws], Count], network: Network, weights: Draws, size: int = _DRAWS
) -> Count:
    """Search block after block; split a block that has too many placements."""
    parts = []
    for start in range(0, len(weights["b"]), size):
        block = {name: value[start : start + size] for name, value in weights.items()}
        try:
            parts.append(search(network, block))
        except _TooMany:
            if size < _FEWEST:
                raise
            parts.append(_in_blocks(search, network, block, size // 8))
    admitted = np.concatenate([part.admitted for part in parts])
    return Count(parts[0].base, admitted, np.concatenate([part.supported for part in parts]))


# -------------------------------------------------------------------------- flips


def _stays(network: Network, after: FloatArray, bias: FloatArray, flipped: Booleans) -> Booleans:
    """Return whether the next layer's biases stay in the box.

    Parameters
    ----------
    after : ndarray, shape (..., next units, units)
        The next layer's matrix, and its ``bias``, shape (..., next units). Their own flips do not
        matter, as the box is symmetric.
    flipped : bool ndarray, shape (..., units)
    """
    if not bounded(network):
        return np.ones(flipped.shape[:-1], dtype=bool)
    moved = bias + (after * flipped[..., None, :]).sum(axis=-1)
    return np.asarray((np.abs(moved) < _bound(network)).all(axis=-1))


def _patterns(network: Network, weights: Draws, base: int, rng: np.random.Generator) -> Count:
    """Return ``base`` copies for every pattern of flips, of which some leave the box."""
    flips = 0 if network.activation == "relu" else sum(network.hidden)
    one = np.ones(len(weights["b"]))
    if not bounded(network):
        return Count(base * 2**flips, one, one)
    exact = max(network.hidden) <= _WIDEST
    inside = one.copy()
    for width, (after, bias) in zip(network.hidden, _following(network, weights), strict=True):
        if exact:
            patterns = np.array(list(itertools.product([False, True], repeat=width)))
        else:
            patterns = rng.random((2**_WIDEST, width)) < 0.5
        stays = np.stack([_stays(network, after, bias, pattern[None]) for pattern in patterns])
        inside *= stays.mean(axis=0)
    if not exact:
        return Count(base * 2**flips, one, inside, exact=False)
    return Count(base, one * 2.0**flips, np.round(inside * 2.0**flips))


def _signed(network: Network, weights: Draws) -> Count:
    """Count ordered and signed copies of sigmoid networks.

    The signs of the last layer are those of V's first row. In the layer before, they are those of
    the weights to the unit whose bias is the lowest: each unit of the later layer is tried for
    it, since the flips move the biases that decide.
    """
    n = len(weights["b"])
    matrices = [(matrix, bias) for matrix, bias in layers(network.hidden, weights)]
    following = _following(network, weights)
    draw = np.arange(n)
    sign = np.where(weights["V"][:, 0, :] < 0, -1.0, 1.0)
    inside = _stays(network, *following[-1], sign < 0)
    for layer in range(len(network.hidden) - 1, 0, -1):
        matrix, bias = (part[draw] for part in matrices[layer])
        nodes, unit = np.divmod(np.arange(sign.size), network.hidden[layer])
        below = np.where(sign[nodes, unit][:, None] * matrix[nodes, unit] < 0, -1.0, 1.0)
        moved = bias[nodes] + (matrix[nodes] * (below < 0)[:, None, :]).sum(axis=-1)
        right = (sign[nodes] * moved).argmin(axis=-1) == unit
        nodes, below = nodes[right], below[right]
        inside = inside[nodes] & _stays(network, matrix[nodes], bias[nodes], below < 0)
        draw, sign = draw[nodes], below
    return _tally(1, n, draw, inside)


def _following(network: Network, weights: Draws) -> list[tuple[FloatArray, FloatArray]]:
    """Return matrix and bias of the layer after each hidden layer."""
    return [*layers(network.hidden, weights), (weights["V"], weights["c"])][1:]


def _tally(base: int, n: int, draw: IntArray, inside: Booleans) -> Count:
    admitted = np.bincount(draw, minlength=n).astype(float)
    return Count(base, admitted, np.bincount(draw[inside], minlength=n).astype(float))


# -------------------------------------------------------------------------- placing units


def _search_pd_skew(network: Network, weights: Draws) -> Count:
    """Count by placing units, layer after layer; a layer's members move the next one's columns."""
    n = len(weights["b"])
    draw, inside = np.arange(n), np.ones(n, dtype=bool)
    matrix = weights["W"]
    for layer, (after, bias) in enumerate(_following(network, weights)):
        node, order, sign = _place(matrix, flips=network.activation != "relu")
        draw, inside = draw[node], inside[node]
        placed = np.take_along_axis(after[draw], order[:, None, :], axis=-1)
        inside &= _stays(network, placed, bias[draw], sign < 0)
        if layer + 1 < len(network.hidden):
            matrix = placed * sign[:, None, :]
    return _tally(1, n, draw, inside)


def _place(matrix: FloatArray, flips: bool) -> tuple[IntArray, IntArray, FloatArray]:
    """Place units one after another, and keep the placements that can still be admitted.

    A positive diagonal decides the signs. The leading minors of W + W' of the placed rows do not
    change when further rows come. So a wrong minor ends a branch, and so does a wrong skew part.

    Parameters
    ----------
    matrix : ndarray, shape (nodes, units, units)
        Rows of the units.
    flips : bool
        Whether rows may change their signs.

    Returns
    -------
    tuple
        For each complete placement: its node, (m,); the unit at each place and its sign, both
        (m, units).
    """
    node = np.arange(len(matrix))
    order = np.empty((len(matrix), 0), dtype=np.intp)
    sign = np.empty((len(matrix), 0))
    placed = np.empty((len(matrix), 0, matrix.shape[2]))
    for place in range(matrix.shape[2]):
        if len(node) * matrix.shape[1] * matrix.shape[2] > _MOST_NUMBERS:
            raise _TooMany
        rows = matrix[node]
        free = np.ones(rows.shape[:2], dtype=bool)
        np.put_along_axis(free, order, False, axis=1)
        own = rows[:, :, place]
        turned = np.where(own < 0, -1.0, 1.0) if flips else np.ones_like(own)
        free &= own * turned > 0
        below = turned[:, :, None] * rows[:, :, :place]
        free &= (placed[:, None, :, place] > below).all(axis=-1)
        parent, unit = np.nonzero(free)
        node, turn = node[parent], turned[parent, unit]
        row = turn[:, None] * rows[parent, unit]
        placed = np.concatenate([placed[parent], row[:, None, :]], axis=1)
        order = np.concatenate([order[parent], unit[:, None]], axis=1)
        sign = np.concatenate([sign[parent], turn[:, None]], axis=1)
        square = placed[:, :, : place + 1]
        good = np.linalg.det(square + np.swapaxes(square, -1, -2)) > 0
        node, order, sign, placed = node[good], order[good], sign[good], placed[good]
    return node, order, sign
