"""Functions without modes: found in function space, from what draws predict.

In a larger network nearly every climb ends at a maximum of its own, and modes say nothing. Chains
are grouped by what they predict, and a draw of another engine belongs to the function whose
predictions it is nearest to, if it lies within their spread.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage

from manymodes.density.posterior import Posterior
from manymodes.modes.chain_groups import group_chains
from manymodes.modes.function_space import function_values, known_moments, spaced
from manymodes.modes.modes import Modes
from manymodes.sampling.chains.chains import Chains
from manymodes.sampling.nested import Nested
from manymodes.sampling.tempered import Tempered
from manymodes.types import FloatArray, IntArray

PILOT = 40
"""How many draws climb before it is decided whether modes are worth looking for."""
MOST_OWN = 0.8
"""If a larger share of them ends at a maximum of its own, functions are found without modes."""

_DRAWS = 400  # of each function or engine, which tell what is predicted
_INPUTS = 400  # of the data, at which predictions are compared
_OUTSIDE = 1.25  # times farther from a function than any of its own draws: none of its
_AT_ONCE = 500  # draws whose predictions are in memory
_LEAST = 0.01  # of the draws outside of all functions, below which they count to the nearest


def is_hopeless(maxima: int, climbs: int) -> bool:
    """Return whether so many different ends of climbs say that modes are not worth looking for."""
    return climbs >= PILOT and maxima > MOST_OWN * climbs


def functions_as_modes(
    posterior: Posterior,
    chains: Chains | None,
    nested: Nested | None,
    tempered: Tempered | None,
) -> Modes:
    """Return one region for each function, in the place of modes.

    Parameters
    ----------
    posterior : Posterior
        Of a network, or of a program with ``log_lik``.
    chains, nested, tempered : optional
        Draws; of one engine at least.

    Returns
    -------
    Modes
        With ``climbs`` of zero, and NaN for what only a peak has. Draws outside of all functions
        that chains sample are functions of their own.

    Notes
    -----
    A draw's distance from a function is the root mean square over the inputs of its difference from
    the function's mean, in units of the function's posterior spread: about one for its own draws. A
    draw is outside if it is farther by a quarter than the farthest of the chains' own draws.
    """
    places = _places(posterior)
    empty = np.empty(0, dtype=np.intp)
    centres: list[_Function] = []
    of_chains = empty
    if chains is not None:
        groups = group_chains(chains).of_chain
        centres = [
            _function(chains, np.flatnonzero(groups == g), places) for g in np.unique(groups)
        ]
        of_chains = np.where(chains.present, groups[:, None], -1)
    labels: dict[str, IntArray] = {}
    for name, engine in (("tempered", tempered), ("nested", nested)):
        if engine is not None:
            labels[name] = _assign(engine, centres, places)
    n = max([of_chains.max(initial=-1), *(found.max() for found in labels.values())]) + 1
    runs = 0 if nested is None else len(nested.runs)
    reached = np.zeros((n, runs), dtype=bool)
    if nested is not None:
        reached[labels["nested"], nested.run_of] = True
    return Modes(
        peaks=np.full((n, posterior.dims), np.nan),
        heights=np.full(n, np.nan),
        chains=of_chains,
        starts=empty,
        nested=labels.get("nested", empty),
        reached_by_run=reached,
        functions=np.arange(n),
        disagreement=0.0,
        climbs=0,
        tempered=labels.get("tempered", empty),
        passes=_separate(n) if nested is not None else np.empty((0, 0)),
    )


def _separate(n: int) -> FloatArray:
    """Return passes of regions whose connection is not known: open at every level."""
    return np.where(np.eye(n, dtype=bool), 0.0, np.inf)


def _places(posterior: Posterior) -> IntArray:
    """Return which of the data's rows predictions are compared at."""
    return spaced(posterior.n_obs, _INPUTS)


def _values(posterior: Posterior, eta: FloatArray, places: IntArray) -> FloatArray:
    """Return what draws predict at some rows of the data, shape (S, n)."""
    found = []
    for start in range(0, len(eta), _AT_ONCE):
        part = function_values(posterior, eta[start : start + _AT_ONCE])
        by_row = part.reshape(len(part), posterior.n_obs, -1)[:, places]
        found.append(by_row.reshape(len(part), -1))
    return np.concatenate(found)


@dataclass(frozen=True, eq=False)
class _Function:
    """A function that chains sample: mean and variance of its predictions, and its reach.

    Attributes
    ----------
    mean, variance : arrays of shape (n,)
        Over its draws.
    reach : float
        How far its own draws lie from the mean at most, in units of the spread.
    """

    mean: FloatArray
    variance: FloatArray
    reach: float = float("inf")

    def distance(self, values: FloatArray) -> FloatArray:
        """Return how far predictions, shape (S, n), are from the mean, in units of the spread."""
        known = np.isfinite(self.mean) & np.isfinite(values).all(axis=0)
        if not known.any():
            return np.full(len(values), np.inf)
        gap = (values[:, known] - self.mean[known]) ** 2 / (self.variance[known] + 1e-12)
        return np.asarray(np.sqrt(gap.mean(axis=1)))


def _function(chains: Chains, members: IntArray, places: IntArray) -> _Function:
    """Return the function that some chains sample."""
    each = max(2, _DRAWS // len(members))
    eta = [chains.eta[c, spaced(int(chains.lengths[c]), each)] for c in members.tolist()]
    values = _values(chains.posterior, np.concatenate(eta), places)
    found = _Function(*known_moments(values))
    return replace(found, reach=float(found.distance(values).max()))


def _assign(engine: Nested | Tempered, functions: list[_Function], places: IntArray) -> IntArray:
    """Return the function of each draw of an engine; new numbers for those outside of all."""
    values = _values(engine.posterior, engine.eta, places)
    nearest = np.zeros(len(values), dtype=np.intp)
    distance = np.full(len(values), np.inf)
    for number, function in enumerate(functions):
        own = function.distance(values) / function.reach
        nearest[own < distance] = number
        distance = np.minimum(distance, own)
    outside = distance > _OUTSIDE
    if functions and engine.weights[outside].sum() < _LEAST:
        return nearest
    nearest[outside] = len(functions) + _clusters(values[outside], functions)
    return nearest


def _clusters(values: FloatArray, functions: list[_Function]) -> IntArray:
    """Return clusters of draws outside of all functions, of about the spread that those have."""
    if not functions:  # nothing tells how far the draws of one function scatter
        return np.zeros(len(values), dtype=np.intp)
    spread = np.sqrt(np.median([one.variance for one in functions], axis=0) + 1e-12)
    reach = float(np.median([one.reach for one in functions]))
    scaled = np.nan_to_num(values / spread)
    some = spaced(len(values), _DRAWS)
    if len(some) < 2:
        return np.zeros(len(values), dtype=np.intp)
    chosen = scaled[some]
    gaps = np.sqrt(
        np.maximum(
            ((chosen**2).mean(axis=1)[:, None] + (chosen**2).mean(axis=1))
            - 2 * chosen @ chosen.T / chosen.shape[1],
            0,
        )
    )
    upper = gaps[np.triu_indices(len(some), 1)]
    found = fcluster(linkage(upper, "average"), t=_OUTSIDE * reach, criterion="distance") - 1
    means = np.stack([chosen[found == k].mean(axis=0) for k in range(found.max() + 1)])
    far = (scaled**2).mean(axis=1)[:, None] - 2 * scaled @ means.T / scaled.shape[1]
    return np.asarray((far + (means**2).mean(axis=1)).argmin(axis=1), dtype=np.intp)
