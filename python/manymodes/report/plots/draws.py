"""Equally weighted draws of a posterior, or of one of its modes, from the best engine there is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from manymodes.density.posterior import Posterior
from manymodes.modes.comparison import Comparison
from manymodes.networks.observed import Observed, observed
from manymodes.report.plots.marks import OTHERS
from manymodes.report.plots.style import drawn_functions
from manymodes.types import BoolArray, FloatArray, IntArray

_MOST_GROUPS = 24


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

    def draws(self, modes: Sequence[int] | None, n: int) -> IntArray | None:
        """Return n equally weighted draws of some modes, or of the whole for ``None``.

        Systematic resampling in the order of the modes gives the whole each mode's share of
        the draws to within 1/n. The result is ``None`` if the modes have no weight.
        """
        weights = self.weights
        if modes is not None:
            weights = weights * np.isin(self.modes, modes)
        total = weights.sum()
        if not total > 0:
            return None
        order = np.argsort(self.modes, kind="stable")
        steps = np.cumsum(weights[order]) / total
        picks = np.searchsorted(steps, (np.arange(n) + 0.5) / n)
        return np.asarray(order[np.minimum(picks, len(order) - 1)])

    def drawn(self, modes: Sequence[int] | None, n: int) -> Pool | None:
        """Return a pool of n equally weighted draws of some modes; None if they have no weight."""
        picks = self.draws(modes, n)
        if picks is None:
            return None
        return Pool(self.rows[picks], self.eta[picks], np.full(n, 1 / n), self.modes[picks])


def pool_of(comparison: Comparison) -> Pool:
    """Return the draws that show a posterior: tempered draws, nested points or those of chains.

    The first of them that there are, and of tempered and nested ones those with the smaller error
    of the evidence. All chains count alike: stacking weights are about prediction, and would hide
    copies that predict the same.
    """
    integrated = _integrated(comparison)
    if integrated is not None:
        return integrated
    return _of_chains(comparison, None)


def predictive_pool(comparison: Comparison) -> Pool:
    """Return the draws that predict: as `pool_of`, but chains are stacked if possible."""
    integrated = _integrated(comparison)
    if integrated is not None:
        return integrated
    stacking = comparison.stacking
    return _of_chains(comparison, None if stacking is None else stacking.weights)


def function_pool(comparison: Comparison, modes: Sequence[int], n: int) -> Pool | None:
    """Return n equally weighted draws of a function's modes; None if it holds none.

    They are those of `pool_of` or, where these have none, those of the chains.
    """
    found = pool_of(comparison).drawn(modes, n)
    if found is None and comparison.chains is not None:
        found = _of_chains(comparison, None).drawn(modes, n)
    return found


@dataclass(frozen=True)
class Group:
    """Draws that look alike in a figure: of a mode, or of the lesser modes of a function.

    Attributes
    ----------
    function, mode : int
        Their numbers; the mode is 0 for several, the function `OTHERS`.
    inside : bool array
        Which draws these are.
    """

    function: int
    mode: int
    inside: BoolArray


def grouped(comparison: Comparison, modes: IntArray) -> list[Group]:
    """Return draws by mode; those of lesser modes by function, of lesser functions together.

    Parameters
    ----------
    comparison : Comparison
        Whose modes they are.
    modes : int array
        The id of the mode of each draw; 0 for none, which is in no group.
    """
    function_of = {mode.id: mode.function for mode in comparison.summaries}
    seen, counts = np.unique(modes[modes > 0], return_counts=True)
    own = np.sort(seen[np.argsort(-counts, kind="stable")][:_MOST_GROUPS]).tolist()
    groups = [Group(function_of[mode], mode, modes == mode) for mode in own]
    known = {one.id for one in drawn_functions(comparison)}
    lesser: dict[int, list[int]] = {}
    for mode in set(seen.tolist()) - set(own):
        function = function_of[mode]
        lesser.setdefault(function if function in known else OTHERS, []).append(mode)
    groups += [
        Group(function, 0, np.isin(modes, members)) for function, members in sorted(lesser.items())
    ]
    return groups


def _integrated(comparison: Comparison) -> Pool | None:
    """Return the weighted draws of an engine that integrates; None without any."""
    nested, tempered = comparison.nested, comparison.tempered
    if tempered is not None and comparison.integral is tempered:
        return Pool(tempered.rows, tempered.eta, tempered.weights, comparison.tempered_modes)
    if nested is not None:
        weights = comparison.nested_weights
        return Pool(nested.rows, nested.eta, weights, comparison.nested_modes)
    return None


def _of_chains(comparison: Comparison, shares: FloatArray | None) -> Pool:
    chains = comparison.chains
    if chains is None:
        raise ValueError("a comparison needs draws of at least one engine")
    if shares is None:
        shares = np.full(chains.n_chains, 1 / chains.n_chains)
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
