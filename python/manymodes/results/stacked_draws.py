"""Draws of a weighted mixture of chains, as an ArviZ tree."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from manymodes.errors import InputError
from manymodes.networks.observed import observed
from manymodes.runtime.seeds import check_seed
from manymodes.sampling.chains.chains import Chains
from manymodes.sampling.chains.dimensions import as_counted, layout_of, y_dims
from manymodes.sampling.chains.trees import draws_tree, put
from manymodes.sampling.tempered.simulate import simulated_outcomes
from manymodes.statistics.stacking import draw_stacked
from manymodes.types import FloatArray

if TYPE_CHECKING:
    import xarray as xr

_MOST_PREDICTIONS = 50_000_000
_BLOCK = 1_000_000  # most units of draws x observations evaluated at once
_OUTCOMES = 1  # beside the seed: outcomes are independent of the choice of draws


def stack_draws(
    chains: Chains,
    weights: npt.ArrayLike,
    *,
    n: int = 4000,
    seed: int,
    X: npt.ArrayLike | None = None,
    weighting: str = "stacking",
) -> xr.DataTree:
    """Draw from the mixture of chains with the given weights.

    Parameters
    ----------
    chains : Chains
        The chains; a chain that was cut short contributes the draws that it has.
    weights : array_like of shape (C,)
        Weight of each chain, adding up to 1, such as `Stacking.weights`.
    n : int
        How many draws of the mixture.
    seed : int
        Seed of the choice of draws and of their order.
    X : array_like of shape (N, M), optional
        Inputs to predict at; the data's by default. Only for a network's posterior.
    weighting : str
        The name of the weighting, for the attributes.

    Returns
    -------
    DataTree
        Group ``posterior``: the variables with one chain of ``n`` draws in random order, and
        the coordinates ``source_chain`` and ``source_draw`` along ``draw`` with the source of each
        (`Chains.index`, and the draw counted from 0). Group ``predictions``, for a
        network's posterior: ``mean``, the network's prediction of each draw at each input (as
        `Network.predict`: a rate is for an exposure of 1), in single precision if this can hold
        it. Without ``X`` it is left out if it would hold more than 50 million values, and the
        attribute ``predictions`` says so. Group ``posterior_predictive``, for a network's
        posterior: ``y``, outcomes drawn at the rows of the data, for ``arviz_plots.plot_ppc_dist``;
        ``y`` of the group ``observed_data`` is what they are compared with. It has the same limit,
        and is left out where the size of the network varies. Group ``weights``: ``weight`` of
        each source chain.

    Raises
    ------
    InputError
        ``n`` is not 1 or more, the seed is negative, the weights do not fit the chains or are
        not probabilities, or ``X`` is given but the posterior has no network.

    Notes
    -----
    A chain has n times its weight of the draws, rounded up or down at random
    (`manymodes.statistics.stacking.draw_stacked`); its own draws are all used once before any is
    used twice. Statistics of the sampler belong to the source chains, because their order is lost
    here.

    Examples
    --------
    >>> # chains: eight of the noisy-XOR posterior
    >>> weights = mm.stack(chains.lpd.T).weights
    >>> tree = mm.stack_draws(chains, weights, n=100, seed=1, X=[[1.0, 1.0], [1.0, -1.0]])
    >>> tree["posterior"]["W"].shape, tree["predictions"]["mean"].shape
    ((1, 100, 2, 2), (1, 100, 2))
    """
    if n < 1:
        raise InputError(f"n: {n} is not 1 or more")
    check_seed(seed)
    by_chain = np.asarray(weights, dtype=float)
    if by_chain.shape != (chains.n_chains,):
        raise InputError(
            f"weights: shape {by_chain.shape} does not fit; give one for each of "
            f"{chains.n_chains} chains"
        )
    posterior = chains.posterior
    if X is not None and posterior.network is None:
        raise InputError(f"X: the posterior '{posterior.name}' has no network to predict with")
    chain, draw = draw_stacked(by_chain, chains.lengths, n, np.random.default_rng(seed))
    rows = chains.rows[chain, draw]
    groups: dict[str, dict[str, npt.NDArray[Any]]] = {}
    attrs: dict[str, Any] = {"posterior": posterior.name, "weighting": weighting, "seed": seed}
    if posterior.network is not None:
        inputs = np.asarray(posterior.data["X"] if X is None else X, dtype=float)
        size = n * len(inputs) * _numbers(chains)
        if X is None and size > _MOST_PREDICTIONS:
            attrs["predictions"] = (
                f"left out: {size} values are more than {_MOST_PREDICTIONS}; give X"
            )
        else:
            groups["predictions"] = {"mean": _predict(chains, rows, inputs)[None]}
        size = n * posterior.n_obs * _targets(chains)
        if posterior.network.active is not None:
            attrs["posterior_predictive"] = "left out: the network is of variable size"
        elif size > _MOST_PREDICTIONS:
            attrs["posterior_predictive"] = (
                f"left out: {size} values are more than {_MOST_PREDICTIONS}"
            )
        else:
            rng = np.random.default_rng([seed, _OUTCOMES])
            groups["posterior_predictive"] = {"y": _simulate(chains, rows, rng)[None]}
    tree = draws_tree(posterior, rows[None], {}, attrs=attrs)
    return _with_sources(tree, groups, chains, by_chain, chain, draw)


def _with_sources(
    tree: xr.DataTree,
    groups: dict[str, dict[str, npt.NDArray[Any]]],
    chains: Chains,
    weights: FloatArray,
    chain: npt.NDArray[np.int64],
    draw: npt.NDArray[np.int64],
) -> xr.DataTree:
    """Add predictions, the weights of the chains, and the source of each draw."""
    import xarray as xr
    from arviz_base import from_dict

    if groups:
        network = chains.posterior.network
        assert network is not None
        last = "target" if network.likelihood_parts.is_real else "class"
        dims = {"mean": ["obs"] if _numbers(chains) == 1 else ["obs", last]}
        coords = layout_of(chains.posterior).coords
        made = from_dict(
            groups,
            pred_dims=dims,
            dims={"y": y_dims(network)},
            coords=coords,
            pred_coords=coords,
        )
        for name in groups:
            tree[name] = xr.DataTree(made[name].to_dataset())
    source = {"source_chain": ("draw", chains.index[chain]), "source_draw": ("draw", draw)}
    for name in ("posterior", *groups):
        tree[name] = xr.DataTree(tree[name].to_dataset().assign_coords(source))
    by_chain = xr.Dataset({"weight": ("source_chain", weights)}, {"source_chain": chains.index})
    tree["weights"] = xr.DataTree(by_chain)
    return tree


def _numbers(chains: Chains) -> int:
    """Return how many numbers one prediction has: one for each class or target."""
    network = chains.posterior.network
    return 1 if network is None else network.outputs


def _targets(chains: Chains) -> int:
    """Return how many numbers one outcome has: one for each real target."""
    network = chains.posterior.network
    return network.outputs if network is not None and network.likelihood_parts.is_real else 1


def _simulate(chains: Chains, rows: FloatArray, rng: np.random.Generator) -> npt.NDArray[Any]:
    """Draw outcomes of the data's rows under each row's network, shape (n, N[, targets])."""
    posterior = chains.posterior
    network = posterior.network
    assert network is not None
    given = observed(network, posterior.data)
    blocks = []
    step = max(1, _BLOCK // max(1, len(given.X) * (sum(network.hidden) + network.units_out)))
    for start in range(0, len(rows), step):
        weights = posterior.unpack(rows[start : start + step])
        drawn = simulated_outcomes(network, weights, given, rng)
        drawn -= network.likelihood == "categorical"  # classes are counted from 0, as in the data
        blocks.append(drawn.astype(np.float32) if network.likelihood_parts.is_real else drawn)
    return as_counted(network, np.concatenate(blocks))


def _predict(chains: Chains, rows: FloatArray, X: FloatArray) -> npt.NDArray[Any]:
    """Return the predictions of each row's network, shape (n, N), or (n, N, classes or targets)."""
    network = chains.posterior.network
    assert network is not None
    shape = (len(rows), len(X)) + ((network.outputs,) if network.outputs > 1 else ())
    values: npt.NDArray[Any] = np.empty(shape, dtype=np.float32)
    step = max(1, _BLOCK // max(1, len(X) * (sum(network.hidden) + network.units_out)))
    for start in range(0, len(rows), step):
        block = slice(start, start + step)
        values = put(values, block, chains.posterior.predict(rows[block], X))
    return values
