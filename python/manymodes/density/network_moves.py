"""What the exchange and the flip of hidden units do to points of the unconstrained space.

A member of a network's group (`manymodes.networks.symmetry`) acts on weights. Where the prior
treats all weights alike and the program has no constraint, exchanges of units, and flips of tanh
units, permute unconstrained coordinates and change signs: the posterior's density stays the same.
Flips of sigmoid units also move the bias of the next layer. They leave the likelihood as it is and
not the prior, and under a uniform prior they may lead out of its box.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from manymodes.density.posterior import Posterior
from manymodes.errors import DensityError
from manymodes.networks.network import Network
from manymodes.networks.symmetry import act, group_order, members
from manymodes.types import FloatArray, IntArray

MOST_MOVES = 20_000
"""The largest group whose members are listed."""

_EXACT = 1e-6  # largest difference in density of a copy (nats, per nat of its size)
_PROBES = 3


@dataclass(frozen=True, eq=False)
class Moves:
    """Exact moves of the unconstrained space: point x goes to ``signs * x[order]``.

    Attributes
    ----------
    order : int array of shape (G, D)
        Which coordinate takes each place; the first move leaves all where they are.
    signs : array of shape (G, D)
        1 or -1 for each place.
    """

    order: IntArray
    signs: FloatArray

    def __len__(self) -> int:
        return len(self.order)

    def images(self, x: FloatArray) -> FloatArray:
        """Return all copies of a point of shape (D,), shape (G, D)."""
        return np.asarray(self.signs * x[self.order])

    def apply(self, move: int, x: FloatArray) -> FloatArray:
        """Move points of shape (..., D)."""
        return np.asarray(self.signs[move] * x[..., self.order[move]])

    def undo(self, move: int, x: FloatArray) -> FloatArray:
        """Move points of shape (..., D) back."""
        back = np.empty_like(x)
        back[..., self.order[move]] = self.signs[move] * x
        return back

    def covariance(self, move: int, matrix: FloatArray) -> FloatArray:
        """Return the covariance, shape (D, D), of moved points."""
        order, signs = self.order[move], self.signs[move]
        return np.asarray(matrix[np.ix_(order, order)] * np.outer(signs, signs))

    @classmethod
    def none(cls, dims: int) -> Moves:
        """Return the group of the identity alone."""
        return cls(np.arange(dims)[None], np.ones((1, dims)))


def exact_order(posterior: Posterior) -> int:
    """Return how many moves leave the density as it is, as far as is known.

    It is 1 without a network, with a constraint, and for a network of variable size.
    """
    network = posterior.network
    if network is None or network.constraint != "none" or network.active is not None:
        return 1
    if network.activation == "sigmoid":
        return math.prod(map(math.factorial, network.hidden))
    return group_order(network)


def exact_moves(posterior: Posterior, most: int = MOST_MOVES) -> Moves | None:
    """Return the moves that leave the posterior's density as it is; None if there are more.

    Parameters
    ----------
    posterior : Posterior
        The density at some points and at all their copies is compared.
    most : int
        How many moves there may be.

    Returns
    -------
    Moves or None
        The identity alone if no other move is known or if the density differs.
    """
    size, network = exact_order(posterior), posterior.network
    if size > most:
        return None
    if size == 1 or network is None:
        return Moves.none(posterior.dims)
    chosen = [
        (p, s)
        for p, s in members(network)
        if network.activation == "tanh" or all(sign > 0 for layer in s for sign in layer)
    ]
    permutations, signs = zip(*chosen, strict=True)
    probe = np.linspace(0.3, 1.1, posterior.dims)
    copies = moved(posterior, probe, permutations, signs)
    # A coordinate is recognised by its size.
    place = np.searchsorted(probe, np.abs(copies) + 1e-9 * probe.max(), side="right") - 1
    near = np.stack([place, np.minimum(place + 1, posterior.dims - 1)])
    apart = np.abs(probe[near] - np.abs(copies))
    order = np.take_along_axis(near, apart.argmin(axis=0)[None], axis=0)[0]
    found = Moves(order, np.sign(copies))
    return found if _is_exact(posterior, found, permutations, signs) else Moves.none(posterior.dims)


def _is_exact(
    posterior: Posterior,
    moves: Moves,
    permutations: Sequence[Sequence[Sequence[int]]],
    signs: Sequence[Sequence[Sequence[int]]],
) -> bool:
    """Whether moves do what the group does, and leave the density as it is."""
    rng = np.random.default_rng(0)
    some = np.unique(np.linspace(0, len(moves) - 1, 50).astype(int))
    for x in rng.normal(scale=0.7, size=(_PROBES, posterior.dims)):
        images = moves.images(x)[some]
        expected = moved(posterior, x, [permutations[i] for i in some], [signs[i] for i in some])
        if not np.allclose(images, expected, rtol=1e-7, atol=1e-7):
            return False
        height = posterior.log_density(x)
        others = np.array([posterior.log_density(one) for one in images])
        if (
            not np.isfinite(height)
            or not (np.abs(others - height) <= _EXACT * max(1.0, abs(height))).all()
        ):
            return False
    return True


def moved(
    posterior: Posterior,
    eta: npt.ArrayLike,
    permutations: Sequence[Sequence[Sequence[int]]],
    signs: Sequence[Sequence[Sequence[int]]],
) -> FloatArray:
    """Return the copies of a point of a network's posterior by members of the group.

    Parameters
    ----------
    posterior : Posterior
        The posterior of a network without a constraint.
    eta : array_like of shape (D,)
        A point of the unconstrained space.
    permutations, signs : sequences of length n
        For each member, what `act` takes: one sequence for each layer.

    Returns
    -------
    array of shape (n, D)
        NaN where a copy lies outside the prior's box.
    """
    network = posterior.network
    assert network is not None
    row = posterior.constrain_rows(np.asarray(eta, dtype=float))
    named = posterior.unpack(row)
    wanted = {**network.weight_shapes, **network.scale_shapes}
    layers = range(len(network.hidden))
    copies = act(
        network,
        {name: named[name] for name in wanted if name in named},
        [np.array([p[layer] for p in permutations]) for layer in layers],
        [np.array([s[layer] for s in signs], dtype=float) for layer in layers],
    )
    values = network.program_values(copies, centred=network.is_centred(posterior.data["N"]))
    rows = np.tile(row, (len(permutations), 1))
    for variable in posterior.variables:
        if variable.name in values:
            flat = np.moveaxis(values[variable.name], 0, -1)
            flat = flat.reshape(variable.size, -1, order="F")
            rows[:, variable.start : variable.start + variable.size] = flat.T
    return _unconstrained(posterior, rows)


def _unconstrained(posterior: Posterior, rows: FloatArray) -> FloatArray:
    try:
        return posterior.unconstrain_rows(rows)
    except DensityError:
        pass
    points = np.full((len(rows), posterior.dims), np.nan)
    for k, row in enumerate(rows):
        try:
            points[k] = posterior.unconstrain_rows(row)
        except DensityError:
            continue
    return points


def flips(network: Network) -> list[tuple[tuple[int, ...], ...]]:
    """Return the signs of all flips of sigmoid units, the identity first; it alone elsewhere.

    They leave the likelihood as it is and the prior not.
    """
    none = [tuple((1,) * width for width in network.hidden)]
    if network.activation != "sigmoid" or network.constraint != "none" or network.active:
        return none
    if sum(network.hidden) > math.log2(MOST_MOVES):
        return none
    found = []
    for number in range(2 ** sum(network.hidden)):
        bits = [-1 if number >> i & 1 else 1 for i in range(sum(network.hidden))]
        ends = np.cumsum(network.hidden)
        found.append(
            tuple(tuple(bits[e - w : e]) for e, w in zip(ends, network.hidden, strict=True))
        )
    return found
