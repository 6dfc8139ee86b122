"""Copies of the components of a base measure, by the group of a network.

A network's posterior has H! or H! 2^H copies of every mode. Climbs find a few of them; the group
gives all. So a component is fitted to one copy, with the draws of all, and then moved.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from manymodes.density.network_moves import Moves, exact_moves, exact_order
from manymodes.density.posterior import Posterior
from manymodes.sampling.measure import Component
from manymodes.types import FloatArray

MOST_COMPONENTS = 400
"""The largest number of components of a fitted mixture, without the prior.

Every evaluation of the density over the base measure takes time in proportion to it.
"""

_SAME = 1e-6  # of a standard deviation: two copies of a component are one


@dataclass(frozen=True, eq=False)
class Group:
    """The moves by which components are copied.

    Attributes
    ----------
    moves : Moves
        The identity alone if there are too many others.
    order : int
        How many exact copies a mode has.
    """

    moves: Moves
    order: int

    @classmethod
    def of(cls, posterior: Posterior) -> Group:
        """Return the exact moves of a posterior, as far as components can be copied by them."""
        moves = exact_moves(posterior, MOST_COMPONENTS)
        order = exact_order(posterior) if moves is None else len(moves)
        return cls(Moves.none(posterior.dims) if moves is None else moves, order)

    @property
    def is_whole(self) -> bool:
        """Whether components are copied by every exact move."""
        return self.order == len(self.moves)

    @property
    def most(self) -> int:
        """How many components may be fitted before they are copied."""
        return max(1, MOST_COMPONENTS // len(self.moves))

    @property
    def caution(self) -> str:
        """Why the measure is not to be trusted alone, if components are not copied."""
        if self.is_whole:
            return ""
        return (
            f"the network has {self.order} copies of every mode, too many for a component each: "
            "what the components do not cover is left to the prior's small share, and log_z may be "
            "too low by nats. An evidence over this base measure is not to be trusted alone"
        )

    def folded(self, pieces: Sequence[FloatArray]) -> list[FloatArray]:
        """Return pieces of chains, each (n, D), in one copy: chosen by the mean of the piece."""
        if len(self.moves) == 1:
            return list(pieces)
        along = np.random.default_rng(0).normal(size=self.moves.order.shape[1])
        return [
            self.moves.apply(int((self.moves.images(one.mean(axis=0)) @ along).argmax()), one)
            for one in pieces
        ]

    def copies(
        self, components: Sequence[Component], weights: FloatArray
    ) -> tuple[list[Component], FloatArray]:
        """Return all copies of components; each shares the weight of its own equally.

        A copy has the same mean and covariance; its heavy tails have axes of their own.
        """
        found: list[Component] = []
        shares: list[float] = []
        for one, weight in zip(components, weights.tolist(), strict=True):
            places = self.moves.images(one.location)
            width = np.sqrt((one.scale**2).sum(axis=1))
            _, first, number = np.unique(
                np.round(places / (width * _SAME).max()),
                axis=0,
                return_index=True,
                return_counts=True,
            )
            covariance = one.scale @ one.scale.T
            for move, count in zip(first.tolist(), number.tolist(), strict=True):
                scale = np.linalg.cholesky(self.moves.covariance(move, covariance))
                found.append(
                    Component(one.families, places[move], np.tril(scale), origin=one.origin)
                )
                shares.append(weight * count / len(self.moves))
        return found, np.array(shares)
