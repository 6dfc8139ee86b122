"""The chains of a run, stacked by function: the weights to predict with.

References
----------
.. [1] Yao, Vehtari, Gelman (2022). Stacking for non-mixing Bayesian computations: the curse and
   blessing of multimodal posteriors. Journal of Machine Learning Research 23(79).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from manymodes.modes.chain_groups import group_chains
from manymodes.sampling.chains.chains import Chains
from manymodes.statistics.pooled import Groups
from manymodes.statistics.stacking import Stacking, stack


@dataclass(frozen=True, eq=False)
class StackedChains:
    """Stacking of chains that are pooled by function.

    Attributes
    ----------
    groups : Groups
        Which chains sample one function.
    of_groups : Stacking
        The stacking of these, with its certificate.
    stacking : Stacking
        The same with the weights of chains: those of one function share its weight by their draws.
    by_chain : Stacking
        The stacking of chains on their own [1]_, which chooses among chains of one function by the
        Monte Carlo error of their scores.
    """

    groups: Groups
    of_groups: Stacking
    stacking: Stacking
    by_chain: Stacking


def stack_chains(chains: Chains, groups: Groups | None = None) -> StackedChains:
    """Stack chains by how their functions predict.

    Parameters
    ----------
    chains : Chains
        With leave-one-out scores.
    groups : Groups, optional
        Which chains sample one function; `group_chains` finds them by default.

    Raises
    ------
    InputError
        No observation has a score in every chain.
    """
    found = groups if groups is not None else group_chains(chains)
    lpd = chains.scored_lpd
    of_groups = stack(found.pool(lpd))
    weights = found.spread(of_groups.weights)
    stacking = replace(of_groups, weights=weights, effective_chains=float(1 / (weights @ weights)))
    alone = of_groups if found.n_groups == chains.n_chains else stack(lpd)
    return StackedChains(found, of_groups, stacking, alone)
