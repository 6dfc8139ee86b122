"""Changes of a network's weights that keep its function: the group, copies, canonical form.

Hidden units of a layer can be permuted. A tanh unit can also be flipped, since tanh is odd:
(w, b, v) becomes (-w, -b, -v). So can a sigmoid unit, since sigmoid(-z) = 1 - sigmoid(z), but then
v moves to the bias of the next layer: the function is the same, while a prior centred at zero
on that bias is not. A layer of H units has H! or H! 2^H such copies (Hecht-Nielsen 1990; for
irreducible tanh networks there are no others, Sussmann 1992), and several layers multiply.

A relu unit has no flip but a rescaling, (w, b, v) to (r w, r b, v / r) for any r > 0. It is
continuous, and so no part of the group whose order is counted here.

Units of a network of variable size (`manymodes.networks.variable_size`) differ, because the first
ones are active; so they are not exchanged. Of its sigmoid units only unit 1 is flipped: the v of
another unit would also move to the output bias of smaller networks, which do not have the unit.
Flips of tanh units and rescalings of relu units change none of the networks of 1, 2, ... units.

A member of the group is, for each hidden layer, a permutation and signs: arrays of shape
(..., units), whose leading dimensions broadcast against those of the weights. One member moves
many draws, each draw can have its own, and draws (n, 1) with members (1, m) make n x m copies.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from manymodes.errors import InputError
from manymodes.networks.forward import Weights, layers, numbers
from manymodes.networks.group_priors import SOURCE_SCALE, GroupPriors
from manymodes.networks.network import Network
from manymodes.networks.variable_size import flippable
from manymodes.types import FloatArray, IntArray

Step = tuple[FloatArray, FloatArray]

MAX_ORBIT = 50_000


# -------------------------------------------------------------------------- the group


def group_order(network: Network) -> int:
    """Return the order of the group, exactly: the product over layers of H! or H! 2^H.

    For variable size it is 2^H with tanh, 2 with sigmoid and 1 with relu units.

    Parameters
    ----------
    network : Network
        The network; its constraint does not matter.

    Returns
    -------
    int
        The number of copies of a function that permutations and flips make.

    Examples
    --------
    >>> from manymodes.networks.symmetry import group_order
    >>> group_order(mm.Network(2, (3, 2), activation="tanh"))  # 3! 2^3 times 2! 2^2
    384
    """
    orders = math.prod(map(math.factorial, network.hidden)) if network.active is None else 1
    return orders << sum(_flips(network))


def order_in_words(network: Network) -> str:
    """Return how `group_order` comes about, such as ``2!·2²``: H! orders, and two signs a unit.

    Parameters
    ----------
    network : Network
        The network; its constraint does not matter.

    Returns
    -------
    str
        Factors of each hidden layer; empty if the group has a single member.

    Examples
    --------
    >>> from manymodes.networks.symmetry import order_in_words
    >>> order_in_words(mm.Network(2, (3, 2), activation="tanh"))
    '3!·2³·2!·2²'
    """
    flips = _flips(network)
    widths = network.hidden if network.active is None else (0,) * len(network.hidden)
    factors = []
    for layer, width in enumerate(widths):
        factors += [f"{width}!"] if width > 1 else []
        signs = flips[layer] if layer < len(flips) else 0
        factors += ["2" if signs == 1 else f"2{str(signs).translate(_RAISED)}"] if signs else []
    return "·".join(factors)


_RAISED = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def _flips(network: Network) -> tuple[int, ...]:
    return flippable(network.activation, network.hidden, network.active)


@dataclass(frozen=True)
class Generator:
    """One of the moves that make up all others.

    Attributes
    ----------
    kind : {"swap", "flip", "rescale"}
        Exchange of a unit and the next one of its layer; flip of a unit; rescaling of a unit.
    layer, unit : int
        Counted from 0; `name` counts from 1.

    Examples
    --------
    >>> from manymodes.networks.symmetry import Generator
    >>> Generator("swap", 0, 1).name
    'swap units 2 and 3 of layer 1'
    """

    kind: str
    layer: int
    unit: int

    @property
    def name(self) -> str:
        """The move in words, such as ``swap units 1 and 2 of layer 1``."""
        first = self.unit + 1
        what = f"units {first} and {first + 1}" if self.kind == "swap" else f"unit {first}"
        return f"{self.kind} {what} of layer {self.layer + 1}"

    def __call__(
        self, network: Network, weights: Weights, factor: float = 2.0
    ) -> dict[str, FloatArray]:
        """Return the moved weights; ``factor`` is that of a rescaling."""
        if self.kind == "rescale":
            factors = [np.ones(width) for width in network.hidden]
            factors[self.layer][self.unit] = factor
            return rescale(network, weights, factors)
        permutations = [np.arange(width) for width in network.hidden]
        signs = [np.ones(width) for width in network.hidden]
        if self.kind == "swap":
            permutations[self.layer][[self.unit, self.unit + 1]] = self.unit + 1, self.unit
        else:
            signs[self.layer][self.unit] = -1
        return act(network, weights, permutations, signs)


def generators(network: Network) -> tuple[Generator, ...]:
    """Return the generators: swaps of neighbours, then flips (tanh, sigmoid) or rescalings (relu).

    Together they generate every permutation and every flip or rescaling.

    Parameters
    ----------
    network : Network
        The network; its constraint does not matter.

    Returns
    -------
    tuple of Generator
        Layer by layer, the swaps of all layers first.

    Examples
    --------
    >>> from manymodes.networks.symmetry import generators
    >>> [move.name for move in generators(mm.Network(1, (2,), activation="tanh"))]
    ['swap units 1 and 2 of layer 1', 'flip unit 1 of layer 1', 'flip unit 2 of layer 1']
    """
    swaps = tuple(width - 1 if network.active is None else 0 for width in network.hidden)
    relu = network.activation == "relu"
    others = ("rescale", network.hidden) if relu else ("flip", _flips(network))
    return tuple(
        Generator(kind, layer, unit)
        for kind, movable in (("swap", swaps), others)
        for layer, number in enumerate(movable)
        for unit in range(number)
    )


def random_members(
    network: Network, n: int, rng: np.random.Generator
) -> tuple[list[IntArray], list[FloatArray]]:
    """Return permutations and signs, each (n, units) for each layer, of n random members.

    They are independent and uniform on the group; `act` takes them as they are.

    Parameters
    ----------
    network : Network
        The network; its constraint does not matter.
    n : int
        How many members.
    rng : numpy.random.Generator
        Where randomness comes from.

    Returns
    -------
    permutations : list of int arrays, each (n, units)
        For each hidden layer, which unit takes each place.
    signs : list of arrays, each (n, units)
        For each hidden layer, 1 or -1 for each place.

    Examples
    --------
    >>> from manymodes.networks.symmetry import random_members
    >>> network = mm.Network(2, (3, 2), activation="tanh")
    >>> permutations, signs = random_members(network, 5, np.random.default_rng(1))
    >>> [each.shape for each in permutations]
    [(5, 3), (5, 2)]
    """
    permutations = [np.tile(np.arange(h), (n, 1)) for h in network.hidden]
    if network.active is None:
        permutations = [rng.permuted(order, axis=1) for order in permutations]
    signs = [np.ones((n, h)) for h in network.hidden]
    for sign, first in zip(signs, _flips(network), strict=True):
        sign[:, :first] = rng.choice([-1.0, 1.0], (n, first))
    return permutations, signs


# -------------------------------------------------------------------------- its action


def act(
    network: Network,
    weights: Weights,
    permutations: Sequence[npt.ArrayLike],
    signs: Sequence[npt.ArrayLike],
) -> dict[str, FloatArray]:
    """Return the weights after members of the group have acted on them.

    Parameters
    ----------
    network : Network
        The network.
    weights : mapping of str to array_like, shape (..., *network.weight_shapes[name])
        Effective weights. The sampled scales of their prior, if they are there, go along. Other
        names are left out of the result.
    permutations : sequence of array_like of int, each (..., units)
        For each hidden layer, which unit (counted from 0) takes each place.
    signs : sequence of array_like, each (..., units)
        For each hidden layer, 1 or -1 for each place: whether the unit there is flipped.

    Returns
    -------
    dict of str to ndarray
        New weights; the leading dimensions of weights and members broadcast. The network's
        predictions are the same.

    Raises
    ------
    InputError
        If permutations or signs do not fit the layers, if they flip or move a unit that cannot be
        flipped or moved, or if weights are missing or have the wrong shape.

    Examples
    --------
    Exchange the two units, and flip the one that comes first then:

    >>> from manymodes.networks.symmetry import act
    >>> network = mm.Network(1, (2,), activation="tanh")
    >>> weights = {"W": [[1.0], [2.0]], "b": [0.1, 0.2], "V": [[3.0, 4.0]], "c": [0.0]}
    >>> act(network, weights, [[1, 0]], [[-1, 1]])["V"]
    array([[-4.,  3.]])
    """
    orders = [np.asarray(order, dtype=np.intp) for order in permutations]
    flips = [np.asarray(sign, dtype=float) for sign in signs]
    _check_member(network, orders, flips)
    lead = np.broadcast_shapes(*(member.shape[:-1] for member in (*orders, *flips)))
    new = _copied(network, weights, lead)
    for (matrix, bias), (after, next_bias), order, flip in zip(
        *_around(network, new), orders, flips, strict=True
    ):
        _permute(matrix, bias, after, order)
        _flip(network.activation, (matrix, bias), (after, next_bias), flip)
    if SOURCE_SCALE in new and isinstance(network.prior_parts, GroupPriors):
        for layer, places in network.prior_parts.source_places(network.inputs).items():
            own = new[SOURCE_SCALE][..., places]
            order = np.broadcast_to(orders[layer], own.shape)
            new[SOURCE_SCALE][..., places] = np.take_along_axis(own, order, axis=-1)
    return new


def rescale(
    network: Network, weights: Weights, factors: Sequence[npt.ArrayLike]
) -> dict[str, FloatArray]:
    """Return relu weights with every unit rescaled: (w, b, v) becomes (r w, r b, v / r).

    Parameters
    ----------
    network : Network
        A network of relu units.
    weights : mapping of str to array_like, shape (..., *network.weight_shapes[name])
        Effective weights.
    factors : sequence of array_like, each (..., units)
        For each hidden layer, the positive factor r of each unit; leading dimensions broadcast.

    Returns
    -------
    dict of str to ndarray
        New weights of the same shapes; the network's predictions are the same.

    Raises
    ------
    InputError
        If units are not relu, or a factor is not positive and finite or does not fit its layer.

    Examples
    --------
    >>> from manymodes.networks.symmetry import rescale
    >>> network = mm.Network(1, (2,), activation="relu")
    >>> weights = {"W": [[1.0], [2.0]], "b": [0.1, 0.2], "V": [[3.0, 4.0]], "c": [0.0]}
    >>> rescale(network, weights, [[2.0, 1.0]])["V"]
    array([[1.5, 4. ]])
    """
    scales = [np.asarray(factor, dtype=float) for factor in factors]
    if network.activation != "relu":
        raise InputError(
            f"activation: {network.activation} units cannot be rescaled; only relu units can"
        )
    fits = [scale.shape[-1:] for scale in scales] == [(width,) for width in network.hidden]
    if not fits or not all((np.isfinite(scale) & (scale > 0)).all() for scale in scales):
        raise InputError(
            f"factors: give a positive number for each unit of the layers {network.hidden}"
        )
    new = _copied(network, weights, np.broadcast_shapes(*(scale.shape[:-1] for scale in scales)))
    for layer, (after, _), scale in zip(*_around(network, new), scales, strict=True):
        _scale(layer, after, scale)
    return new


def orbit(network: Network, weights: Weights) -> Iterator[dict[str, FloatArray]]:
    """Yield every copy of the weights, `group_order` of them, the given ones first.

    Parameters
    ----------
    network : Network
        The network.
    weights : mapping of str to array_like, shape (..., *network.weight_shapes[name])
        Effective weights.

    Yields
    ------
    dict of str to ndarray
        Weights of the same shapes as the given ones.

    Raises
    ------
    InputError
        If there are more than 50 000 copies.

    Examples
    --------
    >>> from manymodes.networks.symmetry import orbit
    >>> network = mm.Network(1, (2,), activation="tanh")
    >>> weights = {"W": [[1.0], [2.0]], "b": [0.1, 0.2], "V": [[3.0, 4.0]], "c": [0.0]}
    >>> copies = list(orbit(network, weights))
    >>> len(copies), copies[1]["V"]
    (8, array([[ 3., -4.]]))
    """
    for permutations, signs in members(network):
        yield act(network, weights, permutations, signs)


def members(
    network: Network,
) -> Iterator[tuple[tuple[tuple[int, ...], ...], tuple[tuple[int, ...], ...]]]:
    """Yield permutations and signs of every member of the group, the identity first.

    Parameters
    ----------
    network : Network
        The network; its constraint does not matter.

    Yields
    ------
    permutations, signs : tuples, one tuple of integers for each hidden layer
        As `act` takes them.

    Raises
    ------
    InputError
        If there are more than 50 000.

    Examples
    --------
    >>> from manymodes.networks.symmetry import members
    >>> network = mm.Network(1, (2,), activation="tanh")
    >>> for permutations, signs in list(members(network))[:3]:
    ...     print(permutations, signs)
    ((0, 1),) ((1, 1),)
    ((0, 1),) ((1, -1),)
    ((0, 1),) ((-1, 1),)
    """
    if group_order(network) > MAX_ORBIT:
        raise InputError(
            f"network: {group_order(network)} copies of its weights are too many to list;"
            f" the most is {MAX_ORBIT}"
        )
    permutations = [
        itertools.permutations(range(width))
        if network.active is None
        else iter([tuple(range(width))])
        for width in network.hidden
    ]
    signs = [
        itertools.product(*[(1, -1)] * first, *[(1,)] * (width - first))
        for width, first in zip(network.hidden, _flips(network), strict=True)
    ]
    yield from itertools.product(itertools.product(*permutations), itertools.product(*signs))


# -------------------------------------------------------------------------- one of all copies


def canonical(
    network: Network, draws: Weights, *, approximate: bool = False
) -> dict[str, FloatArray]:
    """Return the same function's canonical weights: one set for all copies of a draw.

    - tanh: from the last layer to the first, each unit is flipped so that its weight to the first
      unit of the next layer is positive, and the layer is ordered by its biases. This is the domain
      of the constraint ``ordered-signed`` (Chen, Lu, Hecht-Nielsen 1993).
    - sigmoid: each layer is ordered by its biases. With ``approximate``, units are first flipped as
      for tanh: the function stays the same, but biases of the next layer move, so that the prior
      density changes. A layer after the first is then ordered by b + (sum of its incoming
      weights) / 2, which flips below it do not change; they change b.
    - relu: from the first layer to the last, each unit's incoming weights are rescaled to unit
      norm and the layer is ordered by its biases: the domain of ``unit-norm``.
    - variable size: units are flipped or rescaled in the same way (of sigmoid units only the
      first), and not ordered.

    Almost every draw has exactly one such copy. The exceptions have prior probability zero: units
    of equal biases keep their order, a unit whose weight to the first unit of the next layer is
    zero is not flipped, and a unit whose incoming weights are all zero is not rescaled.

    Parameters
    ----------
    network : Network
        The network; its constraint does not matter.
    draws : mapping of str to array_like, shape (..., *network.weight_shapes[name])
        Effective weights, with any leading dimensions. Other names are left out of the result.
    approximate : bool
        For sigmoid units, flip as well.

    Returns
    -------
    dict of str to ndarray
        New weights of the same shapes; the network's predictions are the same.

    Raises
    ------
    InputError
        If weights are missing or of the wrong shape.

    Examples
    --------
    All eight copies of a function have the same canonical weights:

    >>> from manymodes.networks.symmetry import canonical, orbit
    >>> network = mm.Network(1, (2,), activation="tanh")
    >>> weights = {"W": [[1.0], [2.0]], "b": [0.1, -0.2], "V": [[3.0, -4.0]], "c": [0.0]}
    >>> {str(canonical(network, copy)["V"]) for copy in orbit(network, weights)}
    {'[[3. 4.]]'}
    """
    new = _copied(network, draws)
    around = [*enumerate(zip(*_around(network, new), strict=True))]
    flips = network.activation == "tanh" or (network.activation == "sigmoid" and approximate)
    for place, (layer, after) in reversed(around) if flips else around:
        matrix, bias = layer
        key = bias
        if network.activation == "relu":
            _scale(layer, after[0], 1 / row_norms(matrix))
        elif flips:
            negative = after[0][..., 0, :] < 0
            negative[..., _flips(network)[place] :] = False
            _flip(network.activation, layer, after, np.where(negative, -1.0, 1.0))
            if network.activation == "sigmoid" and place > 0:
                key = bias + matrix.sum(axis=-1) / 2
        if network.active is None:
            _permute(matrix, bias, after[0], np.argsort(key, axis=-1, kind="stable"))
    return new


def normalised(network: Network, draws: Weights) -> dict[str, FloatArray]:
    """Return relu weights with every unit's incoming weights rescaled to unit norm.

    Parameters
    ----------
    network : Network
        A network of relu units.
    draws : mapping of str to array_like, shape (..., *network.weight_shapes[name])
        Effective weights.

    Returns
    -------
    dict of str to ndarray
        New weights of the same shapes; the network's predictions are the same.

    Raises
    ------
    InputError
        If weights are missing or of the wrong shape.

    Examples
    --------
    >>> from manymodes.networks.symmetry import normalised
    >>> network = mm.Network(2, (1,), activation="relu")
    >>> weights = {"W": [[3.0, 4.0]], "b": [1.0], "V": [[2.0]], "c": [0.0]}
    >>> normalised(network, weights)["W"]
    array([[0.6, 0.8]])
    """
    new = _copied(network, draws)
    for layer, (after, _) in zip(*_around(network, new), strict=True):
        _scale(layer, after, 1 / row_norms(layer[0]))
    return new


def row_norms(matrix: FloatArray) -> FloatArray:
    """Return the norms of the rows, 1 for rows of zeros.

    Parameters
    ----------
    matrix : array of shape (..., rows, columns)
        Matrices.

    Returns
    -------
    ndarray, shape (..., rows)
        Euclidean norms.

    Examples
    --------
    >>> from manymodes.networks.symmetry import row_norms
    >>> row_norms(np.array([[3.0, 4.0], [0.0, 0.0]]))
    array([5., 1.])
    """
    norms = np.linalg.norm(matrix, axis=-1)
    return np.where(norms > 0, norms, 1.0)


# -------------------------------------------------------------------------- in place


def _copied(
    network: Network, weights: Weights, lead: tuple[int, ...] = ()
) -> dict[str, FloatArray]:
    """Return a copy of the weights, broadcast to further leading dimensions."""
    new: dict[str, FloatArray] = {}
    own: tuple[int, ...] | None = None
    scales = network.scale_shapes
    for name, shape in {**network.weight_shapes, **scales}.items():
        if name not in weights and (name == "sigma" or name in scales):
            continue
        if name not in weights:
            raise InputError(
                f"weights: '{name}' is missing; give {', '.join(network.weight_shapes)}"
            )
        value = numbers(name, weights[name])
        front = value.shape[: max(0, value.ndim - len(shape))]
        if value.shape != front + shape or own not in (None, front):
            expected = ", ".join(map(str, (*(("...",) if own is None else own), *shape)))
            raise InputError(f"{name}: shape {value.shape} does not fit; give ({expected})")
        own = front
        new[name] = np.array(np.broadcast_to(value, np.broadcast_shapes(front, lead) + shape))
    return new


def _around(network: Network, weights: dict[str, FloatArray]) -> tuple[list[Step], list[Step]]:
    """Return matrix and bias of each hidden layer and of the layer after it, as views."""
    steps = [*layers(network.hidden, weights), (weights["V"], weights["c"])]
    return steps[:-1], steps[1:]


def _permute(matrix: FloatArray, bias: FloatArray, after: FloatArray, order: IntArray) -> None:
    order = np.broadcast_to(order, bias.shape)
    matrix[...] = np.take_along_axis(matrix, order[..., :, None], axis=-2)
    bias[...] = np.take_along_axis(bias, order, axis=-1)
    after[...] = np.take_along_axis(after, order[..., None, :], axis=-1)


def _flip(activation: str, layer: Step, after: Step, sign: FloatArray) -> None:
    layer[0][...] *= sign[..., :, None]
    layer[1][...] *= sign
    if activation == "sigmoid":
        after[1][...] += (after[0] * (sign < 0)[..., None, :]).sum(axis=-1)
    after[0][...] *= sign[..., None, :]


def _scale(layer: Step, after: FloatArray, factor: FloatArray) -> None:
    layer[0][...] *= factor[..., :, None]
    layer[1][...] *= factor
    after[...] /= factor[..., None, :]


def _check_member(network: Network, orders: list[IntArray], signs: list[FloatArray]) -> None:
    fits = len(orders) == len(network.hidden) and all(
        order.shape[-1:] == (width,) and (np.sort(order, axis=-1) == np.arange(width)).all()
        for order, width in zip(orders, network.hidden, strict=True)
    )
    if not fits:
        raise InputError(
            "permutations: they do not permute the layers' units; give for each layer which unit"
            f" takes each place, counted from 0, of the widths {network.hidden}"
        )
    if network.active is not None and any(
        (order != np.arange(order.shape[-1])).any() for order in orders
    ):
        raise InputError(
            f"permutations: units of a network of variable size (active '{network.active}') are not"
            " alike; leave each in its place"
        )
    first = _flips(network)
    if [sign.shape[-1:] for sign in signs] != [(width,) for width in network.hidden] or not all(
        np.isin(sign, (1, -1)).all() and (sign[..., n:] == 1).all()
        for sign, n in zip(signs, first, strict=True)
    ):
        allowed = "-1 or 1" if any(first) else "1"
        some = ", -1 for unit 1 only" if 0 < sum(first) < sum(network.hidden) else ""
        raise InputError(
            f"signs: they do not fit; give {allowed}"
            f" for each unit of the layers {network.hidden} ({network.activation}){some}"
        )
