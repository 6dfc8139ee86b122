"""How many orders of relu units the constraint ``svd`` admits, over sets instead of orders.

Pivot i of a frame is positive if its leading minors i - 1 and i have the same sign. A minor of rows
in some order is, up to the order's parity, that of the rows as a set. So whether a unit can be
the next one depends on which units are placed already, not on how, and orders are counted as paths
through the 2^H sets.

An order of one layer also permutes the next matrix's columns, the rows of its right singular
vectors V, whose pivots fix the signs that the pivots of U must have. Therefore a path carries
the pattern of these signs: it uses up the pattern of the layer before bit by bit, and makes a new
pattern for the layer after.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from manymodes.networks.constraints import pivots
from manymodes.networks.forward import layers
from manymodes.networks.network import Network
from manymodes.types import FloatArray

Draws = dict[str, FloatArray]
Units = frozenset[int]
Minors = dict[Units, FloatArray]


@dataclass(frozen=True, eq=False)
class Count:
    """Numbers of admitted copies, `base` times these factors.

    Attributes
    ----------
    base : int
        Common factor of all numbers, exact.
    admitted : ndarray, shape (n,)
        Copies of each draw that the constraint admits.
    supported : ndarray, shape (n,)
        The admitted copies in the prior's support: a flip of a sigmoid unit can push a bias out
        of the box of a uniform prior.
    exact : bool
        Whether they are counts, and not estimates from sampled members of the group.
    """

    base: int
    admitted: FloatArray
    supported: FloatArray
    exact: bool = True


def count_orders(network: Network, weights: Draws) -> Count:
    """Return how many orders of the units of a network without flips ``svd`` admits.

    Parameters
    ----------
    network : Network
        A network of relu units.
    weights : dict of str to ndarray, shape (n, *network.weight_shapes[name])
        Draws.
    """
    frames = [_frames(matrix) for matrix, _ in layers(network.hidden, weights)]
    n = len(weights["b"])
    draws = np.arange(n)
    # Numbers of ways that led here, by pattern of the signs that U must have, first bit first.
    rank = frames[0][0].shape[2]
    ways = np.zeros((n, 2**rank))
    ways[draws, (pivots(frames[0][1]) > 0) @ 2 ** np.arange(rank)[::-1]] = 1
    for layer, width in enumerate(network.hidden):
        left = frames[layer][0]
        right = frames[layer + 1][1] if layer + 1 < len(frames) else left[:, :, :0]
        ways = _through_sets(ways, width, left, right)
    return Count(1, ways[:, 0], ways[:, 0])


def _frames(matrix: FloatArray) -> tuple[FloatArray, FloatArray]:
    u, _, vt = np.linalg.svd(matrix, full_matrices=False)
    return u, np.swapaxes(vt, -1, -2)


def _through_sets(ways: FloatArray, width: int, left: FloatArray, right: FloatArray) -> FloatArray:
    """Place all units of a layer; return the ways by pattern of the next matrix's V.

    Parameters
    ----------
    ways : ndarray, shape (n, 2^k)
        Ways by required pattern of U.
    width : int
        Units H of the layer.
    left : ndarray, shape (n, H, k)
        U of the layer's matrix.
    right : ndarray, shape (n, H, m)
        V of the next layer's matrix; m is 0 for the last layer.
    """
    draws = np.arange(len(ways))
    minors = _minor_signs(left), _minor_signs(right)
    states = {frozenset[int](): ways[:, :, None]}  # (n, patterns to come, patterns made)
    for place in range(width):
        following: dict[Units, FloatArray] = {}
        for placed, state in states.items():
            for unit in sorted(set(range(width)) - placed):
                after = placed | {unit}
                new = state
                if place < left.shape[2]:
                    bit = _positive(minors[0], placed, unit)
                    new = new.reshape(len(draws), 2, -1, new.shape[2])[draws, bit]
                if place < right.shape[2]:
                    bit = _positive(minors[1], placed, unit)
                    one = new * bit[:, None, None]
                    new = np.stack([new - one, one], axis=-1).reshape(*new.shape[:2], -1)
                following[after] = following[after] + new if after in following else new
        states = following
    return states[frozenset(range(width))][:, 0]


def _minor_signs(frame: FloatArray) -> Minors:
    """Return the signs of all minors of the first columns, rows in ascending order."""
    return {
        frozenset(rows): np.sign(np.linalg.det(frame[:, list(rows), : len(rows)]))
        for rows in _subsets(frame.shape[1], frame.shape[2])
    }


def _subsets(n: int, most: int) -> Iterator[tuple[int, ...]]:
    return itertools.chain.from_iterable(
        itertools.combinations(range(n), i) for i in range(most + 1)
    )


def _positive(minors: Minors, placed: Units, unit: int) -> np.ndarray:
    """Return 1 for draws whose pivot is positive when a unit comes after those placed, else 0."""
    parity = (-1) ** sum(other > unit for other in placed)
    return np.asarray(minors[placed | {unit}] * minors[placed] * parity > 0, dtype=np.intp)
