"""R-hat and effective sample sizes in weight space, canonical weight space and function space.

References
----------
.. [1] Vehtari, Gelman, Simpson, Carpenter, Buerkner (2021). Rank-normalization, folding, and
   localization: an improved R-hat for assessing convergence of MCMC. Bayesian Analysis 16(2).
.. [2] Margossian, Hoffman, Sountsov, Riou-Durand, Vehtari, Gelman (2024). Nested R-hat: assessing
   the convergence of Markov chain Monte Carlo when running many short chains. Bayesian Analysis.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from manymodes.modes.comparison import Comparison
from manymodes.modes.function_space import function_blocks, has_functions
from manymodes.networks.symmetry import canonical
from manymodes.sampling.chains.chains import Chains
from manymodes.statistics.diagnostics import ess_bulk, ess_tail, nested_rhat, rhat
from manymodes.types import FloatArray, IntArray

SPACES = {
    "weights": "weight space",
    "canonical": "canonical weight space",
    "function": "function space",
}
"""The spaces and their names in a sentence."""

GOOD = 1.01
_LENIENT = 1.05
_AT_ONCE = 32_000_000  # canonical weights held at once
_CHAINS_FOR_ESS = 64  # chains whose own effective sample sizes are computed


@dataclass(frozen=True, eq=False)
class Agreement:
    """How far the chains agree in one space, coordinate by coordinate.

    Attributes
    ----------
    space : {"weights", "canonical", "function"}
        Unconstrained coordinates; one set of weights for all symmetric copies of a network
        (`symmetry.canonical`, flips of sigmoid units included); predictions at the data's inputs.
    rhat, ess_bulk, ess_tail : arrays of shape (K,)
        Of all chains that ran to their end; NaN where a coordinate is constant.
    ess_chain : array of shape (K,)
        Bulk effective sample size of a single chain on its own, the median over chains.
    nested_rhat, nested_expected : arrays of shape (K,)
        Nested R-hat and its value for stationary chains, sqrt(1 + 1/(M ess_chain)) with M
        chains in a superchain; empty without superchains.
    n_chains, n_draws : int
        How many chains, and draws of each, count.
    """

    space: str
    rhat: FloatArray
    ess_bulk: FloatArray
    ess_tail: FloatArray
    ess_chain: FloatArray
    nested_rhat: FloatArray
    nested_expected: FloatArray
    n_chains: int
    n_draws: int

    @property
    def limits(self) -> FloatArray:
        """The limit of R-hat for chains that sample one distribution, shape (K,).

        It is 1.01 for long chains. R-hat of 2C stationary half chains of n draws is about
        sqrt(1 - 1/n + F/ESS), with ESS half of ``ess_chain`` and F = 1 + 3 sqrt(2/(2C - 1)) at
        the upper end (3 sigma). It is above 1.01 for short chains that move slowly, and never
        above 1.05.
        """
        upper = 1 + 3 * np.sqrt(2 / (2 * self.n_chains - 1))
        half, ess = self.n_draws // 2, np.maximum(self.ess_chain, 1) / 2
        reached = np.sqrt(1 - 1 / half + upper / ess)
        return np.asarray(np.clip(reached, GOOD, _LENIENT))

    @property
    def agree(self) -> bool:
        """Whether R-hat of every coordinate is within its limit."""
        known = ~np.isnan(self.rhat)
        return bool((self.rhat[known] <= self.limits[known]).all())

    @property
    def worst_rhat(self) -> float:
        """The largest R-hat; NaN if none is defined."""
        return _extreme(self.rhat, np.max)

    @property
    def worst_nested(self) -> tuple[float, float]:
        """The largest nested R-hat, and the value for stationary chains there."""
        known = ~np.isnan(self.nested_rhat)
        if not known.any():
            return float("nan"), float("nan")
        place = int(np.argmax(np.where(known, self.nested_rhat, -np.inf)))
        return float(self.nested_rhat[place]), float(self.nested_expected[place])

    def as_dict(self) -> dict[str, Any]:
        """Return the entry in ``summary.json``: the worst and the median of each."""
        entry: dict[str, Any] = {
            "coordinates": len(self.rhat),
            "agree": self.agree,
            "rhat": self.worst_rhat,
            "rhat_median": _extreme(self.rhat, np.median),
            "rhat_limit": _extreme(self.limits, np.max),
        }
        for name in ("ess_bulk", "ess_tail"):
            values = getattr(self, name)
            entry[name] = _extreme(values, np.min)
            entry[f"{name}_median"] = _extreme(values, np.median)
        if self.nested_rhat.size:
            entry["nested_rhat"], entry["nested_rhat_expected"] = self.worst_nested
        return entry


def agreements(
    comparison: Comparison, whole: Chains, superchains: int, threads: int | None
) -> tuple[Agreement, ...]:
    """Return the agreement in every space that the posterior has.

    Parameters
    ----------
    comparison : Comparison
        Its R-hats are used if it has them.
    whole : Chains
        The chains that ran to their end; at least two.
    superchains : int
        Chains that share a start.
    threads : int, optional
        Columns in work at once.
    """
    groups = superchain_members(whole.index, superchains)
    found = [_agreement("weights", [whole.eta], comparison.rhat_weights, groups, threads)]
    posterior = whole.posterior
    if posterior.network is not None:
        found.append(_agreement("canonical", canonical_blocks(whole), np.empty(0), groups, threads))
    if has_functions(posterior):
        predictions = function_blocks(whole)
        found.append(_agreement("function", predictions, comparison.rhat_function, groups, threads))
    return tuple(found)


def superchain_members(index: IntArray, size: int) -> IntArray:
    """Return the places of the chains of every complete superchain, shape (G, size).

    Superchain g holds the chains numbered g * size to (g + 1) * size - 1; one that lacks a chain
    is left out. None with superchains of one chain, or fewer than two complete ones.
    """
    none = np.empty((0, size), dtype=np.intp)
    if size < 2:
        return none
    labels, counts = np.unique(index // size, return_counts=True)
    complete = np.isin(index // size, labels[counts == size])
    places = np.flatnonzero(complete)[np.argsort(index[complete], kind="stable")]
    return places.reshape(-1, size) if len(places) >= 2 * size else none


def canonical_blocks(chains: Chains) -> Iterator[FloatArray]:
    """Yield the canonical weights of a network's draws, some columns at a time, (C, S, n)."""
    network = chains.posterior.network
    assert network is not None

    def weights(chain: int) -> FloatArray:
        named = chains.posterior.unpack(chains.rows[chain])
        form = canonical(
            network, {name: named[name] for name in network.effective_names}, approximate=True
        )
        return np.concatenate([form[n].reshape(chains.n_draws, -1) for n in form], axis=1)

    size = weights(0).shape[1]
    step = max(1, _AT_ONCE // (chains.n_chains * chains.n_draws))
    for start in range(0, size, step):
        block = np.empty((chains.n_chains, chains.n_draws, min(step, size - start)))
        for chain, target in enumerate(block):
            target[:] = weights(chain)[:, start : start + step]
        yield block


def _agreement(
    space: str,
    blocks: Iterable[FloatArray],
    known_rhat: FloatArray,
    groups: IntArray,
    threads: int | None,
) -> Agreement:
    """Compute the agreement in one space from coordinates that come block by block."""
    parts: dict[str, list[FloatArray]] = {
        name: [] for name in ("rhat", "ess_bulk", "ess_tail", "ess_chain", "nested_rhat")
    }
    n_chains = n_draws = 0
    for each in blocks:
        block = each.reshape(*each.shape[:2], -1)
        n_chains, n_draws = block.shape[:2]
        if not known_rhat.size:
            parts["rhat"].append(rhat(block, threads=threads))
        parts["ess_bulk"].append(ess_bulk(block, threads=threads))
        parts["ess_tail"].append(ess_tail(block, threads=threads))
        parts["ess_chain"].append(_ess_chain(block, threads))
        if len(groups):
            labels = np.repeat(np.arange(len(groups)), groups.shape[1])
            members = groups.ravel()
            chosen = block if np.array_equal(members, np.arange(n_chains)) else block[members]
            parts["nested_rhat"].append(nested_rhat(chosen, labels, threads=threads))
    joined = {name: np.concatenate(values or [np.empty(0)]) for name, values in parts.items()}
    ess_chain = joined["ess_chain"]
    return Agreement(
        space=space,
        rhat=known_rhat.ravel() if known_rhat.size else joined["rhat"],
        ess_bulk=joined["ess_bulk"],
        ess_tail=joined["ess_tail"],
        ess_chain=ess_chain,
        nested_rhat=joined["nested_rhat"],
        nested_expected=np.sqrt(1 + 1 / (groups.shape[1] * ess_chain))
        if len(groups)
        else np.empty(0),
        n_chains=n_chains,
        n_draws=n_draws,
    )


def _ess_chain(block: FloatArray, threads: int | None) -> FloatArray:
    """Return the median over chains of the effective sample size of a chain on its own."""
    n_chains = len(block)
    picks = np.unique(
        np.linspace(0, n_chains - 1, min(n_chains, _CHAINS_FOR_ESS)).round().astype(np.intp)
    )
    alone = np.moveaxis(block[picks], 0, 1)[None]  # each chain becomes its own column
    return np.asarray(np.median(ess_bulk(alone, threads=threads), axis=0))


def _extreme(values: FloatArray, statistic: Any) -> float:
    known = values[~np.isnan(values)]
    return float(statistic(known)) if known.size else float("nan")
