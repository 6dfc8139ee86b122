"""The finite group of weight changes that leave a network's function unchanged.

Hidden units of a layer can be permuted. A tanh unit can also be flipped, since tanh is odd:
(w, b, v) becomes (-w, -b, -v). So can a sigmoid unit, since sigmoid(-z) = 1 - sigmoid(z), but then
v moves to the bias of the next layer: the function is the same, while a prior centred at zero
on that bias is not. A layer of H units has H! or H! 2^H such copies (Hecht-Nielsen 1990; for
irreducible tanh networks there are no others, Sussmann 1992), and several layers multiply.

The continuous rescaling of relu units is no part of the group.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence

import numpy as np

from manymodes.errors import InputError
from manymodes.forward import Array, Weights, layers, numbers
from manymodes.network import Network

MAX_ORBIT = 50_000


def group_order(network: Network) -> int:
    """Return the order of the group, exactly: the product over layers of H! or H! 2^H.

    Parameters
    ----------
    network : Network
        The network; its constraint does not matter.
    """
    flips = 1 if network.activation == "relu" else 2
    return math.prod(math.factorial(width) * flips**width for width in network.hidden)


def log_group_order(network: Network) -> float:
    """Return the natural logarithm of the group's order, without overflow."""
    flip = 0.0 if network.activation == "relu" else math.log(2)
    return math.fsum(math.lgamma(width + 1) + width * flip for width in network.hidden)


def act(
    network: Network,
    weights: Weights,
    permutations: Sequence[Sequence[int]],
    signs: Sequence[Sequence[int]],
) -> dict[str, Array]:
    """Return the weights after a member of the group has acted on them.

    Parameters
    ----------
    network : Network
        The network.
    weights : mapping of str to array_like, shape (..., *network.weight_shapes[name])
        Effective weights.
    permutations : sequence of sequence of int
        For each hidden layer, which unit (counted from 0) takes each place.
    signs : sequence of sequence of int
        For each hidden layer, 1 or -1 for each place: whether the unit there is flipped.

    Returns
    -------
    dict of str to ndarray
        New weights, same shapes; the network's predictions are the same.

    Raises
    ------
    InputError
        If permutations or signs do not fit the layers, or a relu unit is to be flipped.
    """
    _check_member(network, permutations, signs)
    new = {
        name: np.array(numbers(name, weights[name]))
        for name in network.weight_shapes
        if name in weights
    }
    steps = [*layers(network.hidden, new), (new["V"], new["c"])]
    members = zip(permutations, signs, strict=True)
    for (matrix, bias), (after, next_bias), (order, sign) in zip(
        steps[:-1], steps[1:], members, strict=True
    ):
        places, flip = list(order), np.asarray(sign, dtype=float)
        matrix[...] = flip[:, None] * matrix[..., places, :]
        bias[...] = flip * bias[..., places]
        after[...] = after[..., places]
        if network.activation == "sigmoid":
            next_bias += after[..., flip < 0].sum(axis=-1)
        after *= flip
    return new


def orbit(network: Network, weights: Weights) -> Iterator[dict[str, Array]]:
    """Yield every copy of the weights, `group_order` of them, the given ones first.

    Parameters
    ----------
    network : Network
        The network.
    weights : mapping of str to array_like, shape (..., *network.weight_shapes[name])
        Effective weights.

    Raises
    ------
    InputError
        If there are more than 50 000 copies.
    """
    if group_order(network) > MAX_ORBIT:
        raise InputError(
            f"network: {group_order(network)} copies of its weights are too many to list;"
            f" the most is {MAX_ORBIT}"
        )
    flips = (1,) if network.activation == "relu" else (1, -1)
    permutations = [itertools.permutations(range(width)) for width in network.hidden]
    signs = [itertools.product(flips, repeat=width) for width in network.hidden]
    for member in itertools.product(itertools.product(*permutations), itertools.product(*signs)):
        yield act(network, weights, *member)


def _check_member(
    network: Network, permutations: Sequence[Sequence[int]], signs: Sequence[Sequence[int]]
) -> None:
    if [sorted(order) for order in permutations] != [list(range(n)) for n in network.hidden]:
        raise InputError(
            f"permutations: {permutations} do not permute the layers' units;"
            f" give one permutation of each of the widths {network.hidden}"
        )
    allowed = {1} if network.activation == "relu" else {1, -1}
    if [len(sign) for sign in signs] != list(network.hidden) or not allowed.issuperset(
        itertools.chain.from_iterable(signs)
    ):
        raise InputError(
            f"signs: {signs} do not fit; give {' or '.join(map(str, sorted(allowed)))}"
            f" for each unit of the layers {network.hidden} ({network.activation})"
        )
