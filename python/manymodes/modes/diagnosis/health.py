"""How the sampler fared in each mode: divergences, tree depth, energy, and the chains that stayed.

References
----------
.. [1] Betancourt (2016). Diagnosing suboptimal cotangent disintegrations in Hamiltonian Monte
   Carlo. arXiv:1604.00695.
.. [2] Vehtari, Gelman, Gabry (2017). Practical Bayesian model evaluation using leave-one-out
   cross-validation and WAIC. Statistics and Computing 27.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from manymodes.sampling.chains.chains import Chains
from manymodes.statistics.diagnostics import ess_bulk, ess_tail, rhat
from manymodes.types import BoolArray, FloatArray, IntArray

LOW_ENERGY = 0.3
"""E-BFMI below this: the chain's energy moves too little for its momentum ([1]_)."""

BAD_K = 0.7
"""Pareto k-hat above this: a leave-one-out term is unreliable ([2]_)."""

_NAN = float("nan")


@dataclass(frozen=True)
class ModeHealth:
    """One mode that holds draws of the chains. Unknown figures are NaN.

    Attributes
    ----------
    mode : int
        Its id.
    chains, stayed : int
        Chains with most of their draws in it, and chains that ran to their end and have all their
        draws in it.
    draws : int
        Draws of all chains in it.
    rhat, ess_bulk, ess_tail : float
        The worst over the unconstrained coordinates, for the chains that stayed (R-hat needs two
        or more).
    divergences : int or None
        Divergent transitions that ended in it; None if no draw tells.
    divergent, at_depth_limit : float
        Shares of its draws whose transition diverged, and whose tree reached its largest depth.
    steps, acceptance, step_size : float
        Means over its draws: leapfrog steps, acceptance statistic, step size.
    bfmi, low_bfmi : float
        Over the chains with most of their draws in it: the lowest E-BFMI, sum of squared
        changes of energy over sum of squared deviations ([1]_), and the share below 0.3.
    pareto_k, bad_k : float
        Over those chains and the observations: the largest Pareto k-hat and the share above 0.7.
    r_eff : float
        Over those chains and the observations: the median relative efficiency of the likelihoods.
    """

    mode: int
    chains: int
    stayed: int
    draws: int
    rhat: float
    ess_bulk: float
    ess_tail: float
    divergences: int | None
    divergent: float
    at_depth_limit: float
    steps: float
    acceptance: float
    step_size: float
    bfmi: float
    low_bfmi: float
    pareto_k: float
    bad_k: float
    r_eff: float

    def as_dict(self) -> dict[str, Any]:
        """Return the entry in ``summary.json``."""
        return asdict(self)


def mode_health(
    chains: Chains,
    modes: IntArray,
    main: IntArray,
    max_treedepth: int | None,
    threads: int | None,
) -> tuple[ModeHealth, ...]:
    """Return the health of every mode that holds draws, in the order of their ids.

    Parameters
    ----------
    chains : Chains
        The chains.
    modes : int array of shape (C, S)
        The mode of each draw, 0 if there is no draw.
    main : int array of shape (C,)
        The mode with most of each chain's draws.
    max_treedepth : int or None
        The sampler's largest tree depth; None if it is not known.
    threads : int, optional
        Columns processed at once.
    """
    energies = bfmi(chains, modes)
    found = []
    for mode in np.unique(modes[modes > 0]).tolist():
        here = modes == mode
        members = main == mode
        stayed = np.flatnonzero(here.all(axis=1))
        k, r_eff = _of(chains.pareto_k, members), _of(chains.r_eff, members)
        flags = chains.stats["diverging"][here]
        diverging = flags[~np.isnan(flags)] > 0
        found.append(
            ModeHealth(
                mode=mode,
                chains=int(members.sum()),
                stayed=len(stayed),
                draws=int(here.sum()),
                **_within(chains.eta, stayed, threads),
                divergences=int(diverging.sum()) if diverging.size else None,
                divergent=float(diverging.mean()) if diverging.size else _NAN,
                at_depth_limit=_at_limit(chains, here, max_treedepth),
                steps=_mean(chains, "n_steps", here),
                acceptance=_mean(chains, "acceptance_rate", here),
                step_size=_mean(chains, "step_size", here),
                bfmi=_least(energies[members]),
                low_bfmi=_share(energies[members] < LOW_ENERGY, energies[members]),
                pareto_k=-_least(-k),
                bad_k=_share(k > BAD_K, k),
                r_eff=float(np.nanmedian(r_eff)) if np.isfinite(r_eff).any() else _NAN,
            )
        )
    return tuple(found)


def bfmi(chains: Chains, modes: IntArray) -> FloatArray:
    """Return the E-BFMI of each chain, shape (C,); NaN without energies or enough draws."""
    result = np.full(chains.n_chains, _NAN)
    energies = chains.stats.get("energy")
    if energies is None:
        return result
    for chain, (energy, drawn) in enumerate(zip(energies, modes > 0, strict=True)):
        values = energy[drawn]
        spread = float(((values - values.mean()) ** 2).sum()) if len(values) > 1 else 0.0
        if spread > 0:
            result[chain] = float((np.diff(values) ** 2).sum()) / spread
    return result


def _within(eta: FloatArray, stayed: IntArray, threads: int | None) -> dict[str, float]:
    """Return R-hat and effective sample sizes of the chains that stayed, the worst of each."""
    if not len(stayed) or eta.shape[1] < 4:
        return {"rhat": _NAN, "ess_bulk": _NAN, "ess_tail": _NAN}
    draws = eta if len(stayed) == len(eta) else eta[stayed]
    return {
        "rhat": -_least(-rhat(draws, threads=threads)) if len(stayed) > 1 else _NAN,
        "ess_bulk": _least(ess_bulk(draws, threads=threads)),
        "ess_tail": _least(ess_tail(draws, threads=threads)),
    }


def _mean(chains: Chains, name: str, here: BoolArray) -> float:
    """Return the mean of a statistic over some draws, of those of which it is known."""
    values = _known(chains, name, here)
    return float(values.mean()) if values.size else _NAN


def _at_limit(chains: Chains, here: BoolArray, max_treedepth: int | None) -> float:
    """Return the share of some draws whose tree reached the largest depth."""
    values = _known(chains, "tree_depth", here)
    if max_treedepth is None or not values.size:
        return _NAN
    return float((values >= max_treedepth).mean())


def _known(chains: Chains, name: str, here: BoolArray) -> FloatArray:
    """Return a statistic of some draws; empty if there is none."""
    if name not in chains.stats:
        return np.empty(0)
    values = chains.stats[name][here]
    return np.asarray(values[~np.isnan(values)])


def _of(values: FloatArray, members: BoolArray) -> FloatArray:
    """Return the rows of some chains, flat; empty where there are no leave-one-out scores."""
    return values[members].ravel() if values.size else np.empty(0)


def _least(values: FloatArray) -> float:
    known = values[~np.isnan(values)]
    return float(known.min()) if known.size else _NAN


def _share(holds: BoolArray, values: FloatArray) -> float:
    """Return the share of the known values for which something holds."""
    known = ~np.isnan(values)
    return float(holds[known].mean()) if known.any() else _NAN
