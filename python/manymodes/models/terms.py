"""How each model predicts each observation, and each row that it was not given."""

from __future__ import annotations

import numpy as np
from scipy.special import logsumexp

from manymodes.models.runs import ModelRun
from manymodes.modes.chain_groups import group_chains
from manymodes.modes.held_out import held_out_lpd
from manymodes.modes.stacked_chains import stack_chains
from manymodes.sampling.chains.chains import Chains
from manymodes.statistics.stacking import stack
from manymodes.types import BoolArray, FloatArray, IntArray

_LEAST_WEIGHT = 1e-12  # of the largest: what lighter nested points add to a density is rounding


def loo_terms(chains: Chains, fold: IntArray, common: BoolArray | None = None) -> FloatArray:
    """Return the leave-one-out log density of each observation under the stacked chains.

    Parameters
    ----------
    chains : Chains
        With leave-one-out scores.
    fold : int array of shape (N,)
        The part, from 0, that each observation is dealt into. The terms of a part are under
        weights that were fitted to the other parts: weights that have seen a term flatter the
        model whose chains differ most.
    common : bool array, optional
        The N observations to score, among those of the chains; every chain scores them.

    Returns
    -------
    array of shape (N,)
        In nats; -inf where no chain gives the observation a density.
    """
    lpd = group_chains(chains).pool((chains.lpd if common is None else chains.lpd[:, common]).T)
    terms = np.empty(len(lpd))
    for part in np.unique(fold):
        rest = lpd[fold != part]
        rest = rest[np.isfinite(rest).any(axis=1)]
        weights = stack(rest).weights if len(rest) else np.ones(lpd.shape[1]) / lpd.shape[1]
        terms[fold == part] = logsumexp(lpd[fold == part], axis=1, b=weights)
    return terms


def unreliable_terms(chains: Chains, most: float) -> float:
    """Return the share of leave-one-out terms with a Pareto k above ``most``, by chain weight."""
    if not chains.scored_lpd.size:
        return float("nan")
    weights = stack_chains(chains).stacking.weights
    return float(weights @ (chains.pareto_k[:, chains.scored] > most).mean(axis=1))


def held_out_terms(model: ModelRun, engine: str) -> FloatArray:
    """Return the log predictive density of each held-out row, shape (n,), in nats.

    Parameters
    ----------
    model : ModelRun
        Of a network, with held-out rows.
    engine : {"chains", "nested", "tempered"}
        The chains, stacked (of equal weight where they have no leave-one-out scores), or the
        nested points by their posterior weights, or the tempered draws.
    """
    rows = model.held_out
    assert rows is not None
    if engine == "chains":
        assert model.chains is not None
        lpd = model.chains.scored_lpd
        n_chains = model.chains.n_chains
        weights = np.full(n_chains, 1 / n_chains)
        if lpd.size:
            weights = stack_chains(model.chains).stacking.weights
        return np.asarray(logsumexp(held_out_lpd(model.chains, rows), axis=1, b=weights))
    found = model.nested if engine == "nested" else model.tempered
    assert found is not None
    assert model.network is not None
    weights = found.weights
    kept = weights > _LEAST_WEIGHT * weights.max()
    draws = model.posterior.unpack(model.posterior.constrain_rows(found.eta[kept]))
    density = model.network.log_lik(draws, rows.X, rows.y, **rows.counted_over)
    return np.asarray(
        logsumexp(density, axis=0, b=weights[kept][:, None] / weights[kept].sum()) + rows.log_unit
    )
