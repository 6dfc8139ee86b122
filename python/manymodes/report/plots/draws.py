"""Equally weighted draws of a posterior, or of one of its modes, from the best engine there is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from manymodes.density.posterior import Posterior
from manymodes.modes.comparison import Comparison
from manymodes.networks.observed import Observed, observed
from manymodes.types import FloatArray, IntArray


@dataclass(frozen=True)
class Pool:
    """All weighted draws of one engine.

    Attributes
    ----------
    rows : array of shape (n, P)
        Constrained rows.
    eta : array of shape (n, D)
        The same in the unconstrained space.
    weights : array of shape (n,)
        Their posterior weights, summing to one.
    modes : int array of shape (n,)
        The mode id of each.
    """

    rows: FloatArray
    eta: FloatArray
    weights: FloatArray
    modes: IntArray

    def draws(self, mode: int | None, n: int) -> IntArray | None:
        """Return n equally weighted draws of a mode, or of the whole for ``None``.

        Systematic resampling in the order of the modes gives the whole each mode's share of
        the draws to within 1/n. The result is ``None`` if the mode has no weight.
        """
        weights = self.weights if mode is None else self.weights * (self.modes == mode)
        total = weights.sum()
        if not total > 0:
            return None
        order = np.argsort(self.modes, kind="stable")
        steps = np.cumsum(weights[order]) / total
        picks = np.searchsorted(steps, (np.arange(n) + 0.5) / n)
        return np.asarray(order[np.minimum(picks, len(order) - 1)])


def pool_of(comparison: Comparison) -> Pool:
    """Return tempered draws, nested points or the draws of chains, stacked if possible.

    The first of them that there are, and of tempered and nested ones those with the smaller error
    of the evidence.
    """
    nested, chains, tempered = comparison.nested, comparison.chains, comparison.tempered
    if tempered is not None and comparison.integral is tempered:
        return Pool(tempered.rows, tempered.eta, tempered.weights, comparison.tempered_modes)
    if nested is not None:
        weights = comparison.nested_weights
        return Pool(nested.rows, nested.eta, weights, comparison.nested_modes)
    if chains is None:
        raise ValueError("a comparison needs draws of at least one engine")
    shares = np.full(chains.n_chains, 1 / chains.n_chains)
    if comparison.stacking is not None:
        shares = comparison.stacking.weights
    return Pool(
        chains.flat(chains.rows),
        chains.flat(chains.eta),
        np.repeat(shares / chains.lengths, chains.lengths),
        chains.flat(comparison.chain_modes),
    )


def training_data(posterior: Posterior) -> Observed | None:
    """Return the inputs and targets of a network's posterior; None for any other."""
    network = posterior.network
    return None if network is None else observed(network, posterior.data)
