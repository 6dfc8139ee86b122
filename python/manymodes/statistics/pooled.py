"""Scores of pooled chains: chains that sample one distribution count as one.

The pointwise scores of such chains differ by Monte Carlo error only, and stacking would choose
among them by that error. Their draws are pooled first. By importance sampling, the density of an
observation given all others is the harmonic mean of its densities under the draws, so that the
scores of single chains, whose tails are smoothed, are enough to know that of all together.

References
----------
.. [1] Gelfand, Dey, Chang (1992). Model determination using predictive distributions with
   implementation via sampling-based methods. Bayesian Statistics 4.
.. [2] Yao, Vehtari, Gelman (2022). Stacking for non-mixing Bayesian computations: the curse and
   blessing of multimodal posteriors. Journal of Machine Learning Research 23(79).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from manymodes.errors import InputError
from manymodes.types import FloatArray, IntArray

__all__ = ["Groups", "pooled_lpd"]

_ENOUGH = 4  # chains of a group, whose scatter tells the Monte Carlo error of its scores


def pooled_lpd(lpd: ArrayLike, groups: ArrayLike, weights: ArrayLike) -> FloatArray:
    """Return the log predictive density of each observation under pooled chains.

    Parameters
    ----------
    lpd
        Of each observation under each chain, shape (N, K), nats.
    groups
        The group of each chain, from 0, shape (K,).
    weights
        Weight of each chain within its group, shape (K,); of a group they need not add up to 1.

    Returns
    -------
    FloatArray
        Shape (N, G), nats: -log sum_k w_k exp(-lpd_k) with weights that add up to 1, which is
        -inf where a chain of the group gives the observation no density.

    Raises
    ------
    InputError
        The shapes do not fit, or a group has no weight.

    Examples
    --------
    >>> from manymodes.statistics.pooled import pooled_lpd
    >>> lpd = np.log([[0.2, 0.4, 0.9], [0.5, 0.5, 0.1]])
    >>> np.exp(pooled_lpd(lpd, [0, 0, 1], [1, 1, 1])).round(3)
    array([[0.267, 0.9  ],
           [0.5  , 0.1  ]])
    """
    array = np.asarray(lpd, dtype=float)
    group = np.asarray(groups, dtype=np.intp)
    share = np.asarray(weights, dtype=float)
    if array.ndim != 2 or group.shape != (array.shape[1],) or share.shape != group.shape:
        raise InputError(
            f"lpd has shape {array.shape}, groups {group.shape} and weights {share.shape}: give "
            "(N, K), (K,) and (K,)."
        )
    total = np.bincount(group, weights=share)
    if not (total > 0).all():
        raise InputError(f"group {int(np.argmin(total))} has no weight: leave its chains out.")
    pooled = np.empty((len(array), len(total)))
    for g in range(len(total)):
        members = np.flatnonzero((group == g) & (share > 0))
        terms = np.log(share[members] / total[g]) - array[:, members]
        top = terms.max(axis=1)
        shift = np.where(np.isfinite(top), top, 0.0)
        with np.errstate(over="ignore"):
            pooled[:, g] = -(np.log(np.exp(terms - shift[:, None]).sum(axis=1)) + shift)
    return pooled


@dataclass(frozen=True, eq=False)
class Groups:
    """Which chains are pooled, and how far their scores can be trusted.

    Parameters
    ----------
    of_chain : int array of shape (K,)
        The group of each chain, from 0.
    sizes : array of shape (K,)
        How many draws each chain has.
    batches : array of shape (K, B, N), optional
        Log predictive density of each observation by B parts of each chain's draws, nats: where a
        group has few chains, their parts tell the Monte Carlo error.
    """

    of_chain: IntArray
    sizes: FloatArray
    batches: FloatArray = field(default_factory=lambda: np.empty((0, 0, 0)))

    @classmethod
    def single(cls, n_chains: int) -> Groups:
        """Return a group for each chain, and no Monte Carlo error."""
        return cls(np.arange(n_chains), np.ones(n_chains))

    @property
    def n_groups(self) -> int:
        """The number G of groups."""
        return int(self.of_chain.max(initial=-1)) + 1

    @cached_property
    def within(self) -> FloatArray:
        """The weight of each chain within its group, shape (K,)."""
        return np.asarray(
            self.sizes / np.bincount(self.of_chain, weights=self.sizes)[self.of_chain]
        )

    @property
    def has_noise(self) -> bool:
        """Whether the Monte Carlo error of a group's scores is known."""
        return bool(self.batches.size) or bool((np.bincount(self.of_chain) >= _ENOUGH).any())

    def pool(self, lpd: FloatArray) -> FloatArray:
        """Return the scores of each group, shape (N, G), from those of chains, (N, K)."""
        return pooled_lpd(lpd, self.of_chain, self.sizes)

    def spread(self, weights: FloatArray) -> FloatArray:
        """Return the weight of each chain, shape (K,), from those of groups, (G,)."""
        return np.asarray(weights[self.of_chain] * self.within)

    def evened(self, weights: FloatArray) -> FloatArray:
        """Return weights of chains, shape (K,), with those of each group shared by its draws."""
        return self.spread(np.asarray(np.bincount(self.of_chain, weights=weights), dtype=float))

    def shares(self, shares: FloatArray) -> FloatArray:
        """Return the share of each group's draws in each mode, (G, M), from those of chains."""
        member = np.eye(self.n_groups)[self.of_chain] * self.within[:, None]
        return np.asarray(member.T @ shares)

    def reshared(self, shares: FloatArray, rng: np.random.Generator) -> FloatArray:
        """Return shares of groups, shape (G, M), as other chains might have them.

        The chains of each group are resampled.

        Parameters
        ----------
        shares : array of shape (K, M)
            Share of each chain's draws in each mode.
        rng : numpy Generator
            Source of randomness.
        """
        picked = np.concatenate(
            [
                rng.choice(members, size=len(members))
                for g in range(self.n_groups)
                for members in [np.flatnonzero(self.of_chain == g)]
            ]
        )
        again = Groups(self.of_chain[picked], self.sizes[picked])
        return again.shares(shares[picked])

    def rescored(self, lpd: FloatArray, rng: np.random.Generator) -> FloatArray:
        """Return scores of groups as other draws might have given them, shape (N, G).

        The chains of each group are resampled, and where there are fewer than four, the parts of
        their draws.

        Parameters
        ----------
        lpd : array of shape (N, K)
            Scores of the chains, nats.
        rng : numpy Generator
            Source of randomness.
        """
        pooled = self.pool(lpd)
        for g in range(self.n_groups):
            members = np.flatnonzero(self.of_chain == g)
            if len(members) >= _ENOUGH:
                units, sizes = lpd[:, members], self.sizes[members]
            elif self.batches.size:
                n_parts = self.batches.shape[1]
                units = self.batches[members].reshape(-1, self.batches.shape[2]).T
                sizes = np.repeat(self.sizes[members] / n_parts, n_parts)
            else:
                continue
            counts = np.bincount(rng.integers(len(sizes), size=len(sizes)), minlength=len(sizes))
            one = np.zeros(len(sizes), dtype=np.intp)
            with np.errstate(invalid="ignore"):
                change = pooled_lpd(units, one, sizes * counts) - pooled_lpd(units, one, sizes)
            known = np.isfinite(change[:, 0])
            pooled[known, g] += change[known, 0]
        return pooled
