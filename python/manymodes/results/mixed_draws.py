"""Weighted draws of a run: the mixture from which predictions are made.

The posterior predictive distribution is a mixture over draws s with weights w_s: a chain's weight,
divided evenly over its draws, or the posterior weight of a nested point.

References
----------
.. [1] Yao, Vehtari, Gelman (2022). Stacking for non-mixing Bayesian computations: the curse and
   blessing of multimodal posteriors. Journal of Machine Learning Research 23(79).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from manymodes.density.posterior import Posterior
from manymodes.errors import InputError, ResultsError
from manymodes.modes.diagnosis.quick import ChainHealth, chain_health
from manymodes.modes.stacked_chains import stack_chains
from manymodes.results.our_files import SUMMARY
from manymodes.runtime.storage import read_json
from manymodes.sampling.chains.chains import Chains, load_chains
from manymodes.sampling.nested import Nested, load_nested
from manymodes.sampling.tempered import Tempered, load_tempered
from manymodes.types import FloatArray

ENGINES = ("chains", "nested", "tempered")
_PREFERRED = ("chains", "tempered", "nested")
WEIGHTS = ("stacking", "chain-stacking", "uniform", "evidence")
"""The ways to weigh draws; those by evidence are of an engine that integrates."""
OF_CHAINS = WEIGHTS[:-1]
_WORDS = {
    "stacking": "weighted by stacking",
    "chain-stacking": "each weighted by stacking on its own",
    "uniform": "of equal weight",
}


@dataclass(frozen=True, eq=False)
class MixedDraws:
    """Draws of a posterior with their weights in the mixture.

    Parameters
    ----------
    weights : array of shape (S,)
        Weight of each draw; they add up to one.
    rows : array of shape (S, P)
        Parameters and transformed parameters of each draw, flat (`Posterior.unpack` names them).
    eta : array of shape (S, D)
        The draws in the unconstrained space.
    described : str
        The source of the draws and their weighting, in words.
    health : ChainHealth, optional
        Whether the chains agree in what they predict.
    """

    weights: FloatArray
    rows: FloatArray
    eta: FloatArray
    described: str
    health: ChainHealth | None = None

    @classmethod
    def of_chains(cls, chains: Chains, weights: str = "stacking", thin: int = 1) -> MixedDraws:
        """Weight chains by stacking [1]_, or all alike, and take every ``thin``-th draw of each.

        Stacking weighs functions, and the chains of one share its weight; ``chain-stacking``
        weighs each chain on its own.

        Raises
        ------
        InputError
            ``weights`` or ``thin`` is not allowed, or the chains have no leave-one-out scores.
        """
        if weights not in OF_CHAINS:
            raise InputError(f"weights: '{weights}' is unknown; allowed are {', '.join(OF_CHAINS)}")
        if not 1 <= thin <= chains.n_draws:
            raise InputError(f"thin: {thin} is not between 1 and {chains.n_draws}, the draws")
        by_chain = np.full(chains.n_chains, 1 / chains.n_chains)
        if weights != "uniform":
            if chains.scored_lpd.size == 0:
                what = "leave-one-out scores" if chains.lpd.size else "log_lik"
                raise InputError(
                    f"the chains have no {what} to stack by: use uniform weights "
                    "(--weights uniform)"
                )
            stacked = stack_chains(chains)
            found = stacked.stacking if weights == "stacking" else stacked.by_chain
            by_chain = found.weights
        present = chains.present[:, ::thin]
        kept = present.sum(axis=1)
        thinned = f" (every {thin}. draw)" if thin > 1 else ""
        lengths = f"{kept.max()}" if kept.min() == kept.max() else f"{kept.min()} to {kept.max()}"
        return cls(
            np.repeat(by_chain / kept, kept),
            chains.rows[:, ::thin][present],
            chains.eta[:, ::thin][present],
            f"{by_chain.size} chains of {lengths} draws{thinned}, {_WORDS[weights]}",
        )

    @classmethod
    def of_nested(cls, nested: Nested) -> MixedDraws:
        """Weight the points of nested sampling by their posterior weights."""
        kept = nested.weights > 0
        weights = nested.weights[kept]
        return cls(
            weights / weights.sum(),
            nested.rows[kept],
            nested.eta[kept],
            f"{kept.sum()} points of nested sampling, weighted by their posterior weights",
        )

    @classmethod
    def of_tempered(cls, tempered: Tempered) -> MixedDraws:
        """Weight tempered draws all alike."""
        return cls(
            tempered.weights,
            tempered.rows,
            tempered.eta,
            f"{len(tempered.eta)} tempered draws, of equal weight",
        )


def posterior_folder(run: Path) -> Path:
    """Return the folder of a run's posterior.

    Raises
    ------
    ResultsError
        There is no run in the directory.
    """
    folder = run / "posterior"
    if not folder.is_dir():
        raise ResultsError(f"{run} holds no run: make one with sample or evidence")
    return folder


def load_draws(
    posterior: Posterior,
    run: Path,
    engine: str | None = None,
    weights: str | None = None,
    thin: int = 1,
) -> MixedDraws:
    """Load the weighted draws that a run directory holds.

    Parameters
    ----------
    posterior : Posterior
        The posterior of the run.
    run : Path
        The run directory.
    engine : {"chains", "nested", "tempered"}, optional
        The engine with the draws; by default what the run's comparison recommends or, without one,
        the first of chains, tempered and nested runs that there is.
    weights : {"stacking", "chain-stacking", "uniform", "evidence"}, optional
        How draws are weighted; by default as the comparison recommends, or chains by stacking.
        ``evidence`` takes the draws of tempered or else of nested runs, whose weights are
        probabilities.
    thin : int
        Use every ``thin``-th draw of a chain.

    Raises
    ------
    InputError
        An argument is not allowed, or does not fit the engine.
    ResultsError
        The run has no draws of the engine.
    """
    if weights is not None and weights not in WEIGHTS:
        raise InputError(f"weights: '{weights}' is unknown; allowed are {', '.join(WEIGHTS)}")
    kept = [name for name in _PREFERRED if (run / name).is_dir()]
    if engine is None and weights is None and thin == 1:
        engine, weights = recommended(run, kept)
    if weights == "evidence":
        engine = _of_evidence(run, engine, kept)
        weights = None
    chosen = engine or (kept or ["nested"])[0]
    if chosen not in ENGINES:
        raise InputError(f"engine: '{engine}' is unknown; allowed are {', '.join(ENGINES)}")
    if chosen != "chains" and thin != 1:
        raise InputError("thin: only chains can be thinned")
    if chosen != "chains" and weights is not None:
        raise InputError(
            f"weights: {weights} is for chains; {chosen} runs have weights of their own"
        )
    if chosen == "chains" and (chains := load_chains(posterior, run)) is not None:
        mixed = MixedDraws.of_chains(chains, weights or "stacking", thin)
        return replace(mixed, health=chain_health(chains))
    if chosen == "nested" and (nested := load_nested(posterior, run)) is not None:
        return MixedDraws.of_nested(nested)
    if chosen == "tempered" and (found := load_tempered(posterior, run)) is not None:
        return MixedDraws.of_tempered(found)
    if chosen == "chains":
        raise ResultsError(f"{run} holds no chains: make them with manymodes sample")
    raise ResultsError(
        f"{run} holds no {chosen} runs: make them with manymodes evidence --engine {chosen}"
    )


def recommended(run: Path, kept: Sequence[str]) -> tuple[str | None, str | None]:
    """Return the engine and the weights that a run's comparison recommends; None without one."""
    try:
        entries = read_json(run / SUMMARY)["posteriors"]
        entry = next(iter(entries.values()))["recommendation"]
        engine, weights = entry["engine"], entry["weights"]
    except (ResultsError, OSError, KeyError, TypeError, AttributeError, StopIteration):
        return None, None
    if engine not in kept or weights not in WEIGHTS:
        return None, None
    return engine, weights if engine == "chains" else None


def _of_evidence(run: Path, engine: str | None, kept: Sequence[str]) -> str:
    """Return the engine whose draws have evidence weights."""
    if engine == "chains":
        raise InputError(
            "weights: evidence weighs the draws of nested or tempered runs: leave --engine chains "
            "out"
        )
    found = [name for name in ("tempered", "nested") if name in kept]
    if engine is None and not found:
        raise InputError(
            f"weights: {run} holds no evidence: integrate it first (manymodes evidence), or use "
            "stacking"
        )
    return engine or found[0]


def check_interval(interval: float) -> None:
    """Raise `InputError` if an interval cannot hold such a share of a distribution."""
    if not 0 < interval < 1:
        raise InputError(f"interval: {interval:g} is not between 0 and 1, such as 0.9")
