"""The comparison: occupancy, stacking weight and evidence weight of each mode, side by side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from manymodes.density.posterior import Posterior
from manymodes.modes.active_units import ActiveUnits, posterior_active
from manymodes.modes.climb_record import ClimbRecord, climb_record
from manymodes.modes.find import Modes, ModeSettings, find_modes
from manymodes.modes.function_space import function_blocks, has_functions
from manymodes.modes.functions import FunctionSummary, function_summaries
from manymodes.modes.headline import NESTED, TEMPERED, Headline, headline
from manymodes.modes.held_out import HeldOut, held_out_lpd
from manymodes.modes.mode_weights import (
    EvidenceWeights,
    chain_weights,
    combined_weights,
    evidence_weights,
    mode_shares,
    occupancies,
    tempered_weights,
)
from manymodes.modes.numbers import keep_numbers, numbered
from manymodes.modes.recommendation import Recommendation, recommend
from manymodes.modes.stacked_chains import StackedChains
from manymodes.modes.summary_entries import (
    evidence_entry,
    nested_entry,
    tempered_entry,
    unfinished_counts,
    weightings_entry,
    worst,
)
from manymodes.runtime.seeds import check_seed
from manymodes.runtime.shown import Rows, Shown, estimate_text, share_text
from manymodes.sampling.base_measures import outside_share
from manymodes.sampling.chains.chains import Chains
from manymodes.sampling.nested import Nested
from manymodes.sampling.tempered import Tempered
from manymodes.statistics.chain_weightings import HeldOutScore, Weighing, score_weighings
from manymodes.statistics.diagnostics import rhat, rhat_function
from manymodes.statistics.estimate import Estimate
from manymodes.statistics.stacking import Stacking
from manymodes.types import FloatArray, IntArray

PROMINENT = 1e-3
"""A mode is prominent if its evidence exceeds this share of the largest (Yallup et al. 2022)."""

_ABOVE_ERROR = 2.0  # standard errors
_NAN = float("nan")


@dataclass(frozen=True)
class ModeSummary:
    """One mode and its three weights.

    Attributes
    ----------
    id : int
        Number of the mode, from 1, by descending evidence (or occupancy, without evidence). In a
        run directory it is the number that the first comparison there gave the mode.
    function : int
        Number of the function that its draws compute, from 1.
    height : float
        Log of posterior over prior at its peak (nats): the log likelihood there.
    log_z : Estimate
        Log evidence of the mode (nats).
    evidence, stacking, occupancy : Estimate
        Its share of the evidence, its stacking weight, and the share of all draws of the
        chains that lie in it. A mode that one or two live points carried has no value of evidence
        and ``log_z``, but an upper limit (95 %), ``at_most``.
    chains : int
        How many chains have most of their draws in it.
    runs : tuple of int
        The numbers, from 1, of the nested runs that found it, which came near enough to its peak.
    by_engine : dict
        Its share of the evidence by each engine that has one, by the engine's name.
    """

    id: int
    function: int
    height: float
    log_z: Estimate
    evidence: Estimate
    stacking: Estimate
    occupancy: Estimate
    chains: int
    runs: tuple[int, ...] = ()
    by_engine: Mapping[str, Estimate] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, repr=False)
class Comparison(Shown):
    """The modes of one posterior and their weights, with the draws behind them.

    Attributes
    ----------
    posterior : Posterior
        The posterior that was sampled.
    chains, nested, tempered : optional
        The draws of each engine.
    modes : Modes
        The basins; `labels` number them as `summaries` does.
    summaries : tuple of ModeSummary
        One for each mode, by descending evidence.
    labels : int array of shape (M,)
        The id of each of the basins of ``modes``.
    nested_weights : array of shape (n,)
        Posterior weights of the merged nested points, each mode by its own volume; they differ
        from `Nested.weights` if the live points of separate modes have drifted.
    stacked : StackedChains or None
        The stacking of the chains by function; None without leave-one-out scores.
    rhat_weights : float array of shape (P',)
        R-hat of each unconstrained coordinate.
    rhat_function : float array of shape (N, ...)
        R-hat of the prediction at each data point; empty without a network.
    evidence_draws : array of shape (M, B)
        Evidence shares of the modes, as ``summaries`` lists them, for random volumes: the
        error of any sum over modes is the spread of the sum.
    stacking_draws, occupancy_draws : arrays of shape (M, B')
        Resamples of the other two weights, for the same purpose.
    evidence_spread : float
        The scatter of the modes' shares between nested runs, in units of the error by random
        volumes, at least 1; the errors of modes are already multiplied by it.
    weighings : tuple of Weighing
        Stacking, pseudo-BMA+, uniform and evidence weights of the chains, with the modes of
        ``modes`` as columns; empty without leave-one-out scores.
    held_out : tuple of HeldOutScore
        Scores of these weightings on rows that the posterior was not given; empty without such
        rows.

    Examples
    --------
    >>> # comparison: what chains and nested runs of the noisy-XOR posterior found
    >>> comparison.ranked_by, len(comparison.prominent) > 2
    ('evidence', True)
    >>> round(sum(mode.occupancy.value for mode in comparison.summaries), 6)
    1.0
    """

    posterior: Posterior
    chains: Chains | None
    nested: Nested | None
    modes: Modes
    summaries: tuple[ModeSummary, ...]
    labels: IntArray
    nested_weights: FloatArray
    stacked: StackedChains | None
    rhat_weights: FloatArray
    rhat_function: FloatArray
    evidence_draws: FloatArray = field(default_factory=lambda: np.empty((0, 0)))
    evidence_spread: float = 1.0
    weighings: tuple[Weighing, ...] = ()
    held_out: tuple[HeldOutScore, ...] = ()
    tempered: Tempered | None = None
    stacking_draws: FloatArray = field(default_factory=lambda: np.empty((0, 0)))
    occupancy_draws: FloatArray = field(default_factory=lambda: np.empty((0, 0)))

    def _headline(self) -> str:
        log_z = self.headline.log_z
        known = (
            ""
            if np.isnan(log_z.value)
            else (f", log_z = {estimate_text(log_z.value, log_z.sd)} nats")
        )
        return (
            f"Comparison of '{self.posterior.name}': {len(self.prominent)} prominent modes, "
            f"{self.prominent_functions} functions{known}"
        )

    def _table(self) -> Rows:
        header = ("function", "modes", "copies", "log_z", "evidence", "stacking", "occupancy")
        return header, [
            (
                str(one.id),
                str(len(one.modes)),
                str(one.copies),
                estimate_text(one.log_z.value, one.log_z.sd),
                *(
                    share_text(share.value, share.sd)
                    for share in (one.evidence, one.stacking, one.occupancy)
                ),
            )
            for one in self.functions
        ]

    @property
    def stacking(self) -> Stacking | None:
        """The weights of the chains: stacking weighs functions, whose chains share the weight."""
        return None if self.stacked is None else self.stacked.stacking

    @cached_property
    def recommendation(self) -> Recommendation:
        """The weights to predict with, and why."""
        return recommend(self)

    @cached_property
    def functions(self) -> tuple[FunctionSummary, ...]:
        """The functions that the modes compute, by number, with their weights."""
        place = {label: mode for mode, label in enumerate(self.labels.tolist())}
        order = np.array([place[mode.id] for mode in self.summaries], dtype=np.intp)
        draws = {
            "evidence": self.evidence_draws,
            "stacking": self.stacking_draws,
            "occupancy": self.occupancy_draws,
        }
        return function_summaries(
            self.summaries,
            self.modes.kinds[order],
            self.modes.copies[order],
            draws,
            self.headline.log_z,
        )

    @cached_property
    def headline(self) -> Headline:
        """The evidence that engines agree on, or that of the only one."""
        return headline(self.nested, self.tempered)

    @cached_property
    def outside_base(self) -> float:
        """The share of tempered draws outside the base measure that nested runs had fitted.

        NaN where the base measure is the prior or the cube, or there are no tempered draws.
        """
        if self.nested is None or self.tempered is None:
            return _NAN
        if self.nested.base.source in ("prior", "cube"):
            return _NAN
        return outside_share(self.nested.base, self.tempered.eta)

    @property
    def integrals(self) -> dict[str, Nested | Tempered]:
        """The engines that integrate the posterior, by name, the tempered runs first."""
        engines = {TEMPERED: self.tempered, NESTED: self.nested}
        return {name: one for name, one in engines.items() if one is not None}

    @property
    def integral(self) -> Nested | Tempered | None:
        """The engine with the smallest error of the evidence; None without any."""
        found = self.integrals.values()
        return min(found, key=lambda one: np.nan_to_num(one.log_z_sd, nan=np.inf), default=None)

    @cached_property
    def chain_modes(self) -> IntArray:
        """The mode id of each draw of the chains, shape (C, S); 0 where there is no draw."""
        return self._ids(self.modes.chains)

    @cached_property
    def start_modes(self) -> IntArray:
        """The id of the mode that each chain's start climbs to, shape (C,); 0 if there is none.

        Empty if the starts were not climbed.
        """
        return self._ids(self.modes.starts)

    def _ids(self, modes: IntArray) -> IntArray:
        """Give modes their ids; 0 stands for none."""
        return np.asarray(np.append(self.labels, 0)[modes])

    @cached_property
    def nested_modes(self) -> IntArray:
        """The mode id of each merged nested point, shape (n,)."""
        return np.asarray(self.labels[self.modes.nested])

    @cached_property
    def tempered_modes(self) -> IntArray:
        """The mode id of each tempered draw, shape (m,)."""
        return np.asarray(self.labels[self.modes.tempered])

    @property
    def ranked_by(self) -> str:
        """The weight that makes modes prominent: evidence or, if no mode has one, occupancy.

        Empty if there is neither: nested runs reached no mode, and there are no chains.
        """
        for by in ("evidence", "occupancy"):
            if any(np.isfinite(getattr(mode, by).value) for mode in self.summaries):
                return by
        return ""

    @property
    def prominent(self) -> tuple[ModeSummary, ...]:
        """The prominent modes, by `ranked_by`; empty if nothing ranks them.

        By occupancy a mode is prominent only if it holds a chain or a share above its error: a few
        stray draws are no mode.
        """
        by = self.ranked_by
        if not by:
            return ()
        shares = [getattr(mode, by) for mode in self.summaries]
        limit = PROMINENT * np.nanmax([share.value for share in shares])
        return tuple(
            mode
            for mode, share in zip(self.summaries, shares, strict=True)
            if share.value > limit and (by == "evidence" or _is_held(mode))
        )

    @property
    def unassigned(self) -> float:
        """The share of the evidence in modes without a known evidence; 0 without any engine of it.

        As far as the runs saw of them, which is the least that it can be where they did not reach
        a mode. With it the known shares sum to one. It is everything where engines disagree, for
        then no mode has a figure. NaN where there is no evidence, for the density has no finite
        integral.
        """
        if not self.integrals:
            return 0.0
        if all(np.isnan(one.log_z) for one in self.integrals.values()):
            return float("nan")
        return max(0.0, 1.0 - float(np.nansum([mode.evidence.value for mode in self.summaries])))

    @property
    def limited_share(self) -> float:
        """The part of `unassigned` that the runs saw in modes with an upper limit."""
        ids = [mode.id for mode in self.limited]
        if not ids:
            return 0.0
        if self.nested is None:
            return float(np.isin(self.tempered_modes, ids).mean())
        return float(self.nested_weights[np.isin(self.nested_modes, ids)].sum())

    @property
    def empty_copies(self) -> tuple[int, float]:
        """The copies of modes that hold no draw and are not listed, and their evidence.

        The number of copies that a network's group makes of the modes, less those that are modes
        here, and the part of `unassigned` that they hold: as much each as the copies that do.
        """
        _, first, present = np.unique(self.modes.kinds, return_index=True, return_counts=True)
        empty = self.modes.copies[first] - present
        evidence = {mode.id: mode.evidence.value for mode in self.summaries}
        each = [evidence[label] for label in self.labels[first].tolist()]
        return int(empty.sum()), float(np.nansum(empty * np.array(each)))

    @property
    def unweighed(self) -> tuple[ModeSummary, ...]:
        """The modes that have no value of evidence though there are runs that integrate.

        These are modes that the runs did not reach, and those that may be prominent by their upper
        limit (`limited`); all, if the density has no finite integral or engines disagree.
        """
        if not self.integrals:
            return ()
        known = [m.evidence.value for m in self.summaries if np.isfinite(m.evidence.value)]
        least = PROMINENT * max(known, default=0.0)
        return tuple(
            mode
            for mode in self.summaries
            if np.isnan(mode.evidence.value) and not mode.evidence.at_most <= least
        )

    @property
    def limited(self) -> tuple[ModeSummary, ...]:
        """The modes that so few live points carried that there is only an upper limit."""
        return tuple(mode for mode in self.summaries if np.isfinite(mode.evidence.at_most))

    @property
    def unreached(self) -> tuple[ModeSummary, ...]:
        """The modes that chains found and no run that integrates reached."""
        if not self.integrals:
            return ()
        if np.isfinite(self.headline.log_z.value):
            return tuple(mode for mode in self.unweighed if np.isnan(mode.evidence.at_most))
        reached = set(self.labels[self.modes.reached].tolist()) | set(self.tempered_modes.tolist())
        return tuple(mode for mode in self.unweighed if mode.id not in reached)

    @property
    def prominent_functions(self) -> int:
        """The number of different functions among the prominent modes."""
        return len({mode.function for mode in self.prominent})

    @property
    def shown_functions(self) -> tuple[FunctionSummary, ...]:
        """The functions to tell a reader of: with a prominent mode or most draws of a chain."""
        told = {mode.function for mode in self.prominent}
        return tuple(one for one in self.functions if one.id in told or one.chains)

    @cached_property
    def active(self) -> dict[str, ActiveUnits]:
        """The number of active units by engine, of a network of variable size; or empty."""
        network = self.posterior.network
        if network is None or network.active is None:
            return {}
        engines = {"chains": self.chains, "nested": self.nested, "tempered": self.tempered}
        return {
            name: posterior_active(draws) for name, draws in engines.items() if draws is not None
        }

    @property
    def unfinished(self) -> dict[str, tuple[int, int]]:
        """How many chains or runs finished and were asked for, by engine, if some are missing."""
        return unfinished_counts(self.chains, self.nested, self.tempered)

    def as_dict(self) -> dict[str, Any]:
        """Return the posterior's entry in ``summary.json``.

        Returns
        -------
        dict
            Numbers, texts and lists, ready for JSON.

        Examples
        --------
        >>> # comparison: what chains and nested runs of the noisy-XOR posterior found
        >>> sorted(comparison.as_dict())[:3]
        ['chains', 'dims', 'evidence']
        """
        entry: dict[str, Any] = {}
        if self.unfinished:
            entry["unfinished"] = {name: list(two) for name, two in self.unfinished.items()}
        entry |= {"dims": self.posterior.dims, "n_obs": self.posterior.n_obs}
        renamed = {k: v for k, v in self.posterior.exported_names.items() if k != v}
        if renamed:
            entry["renamed"] = renamed
        if self.chains is not None:
            entry["chains"] = self._chains_entry(self.chains)
        if self.nested is not None:
            entry["nested"] = nested_entry(self.nested)
            if self.nested.missing_log_lik.any:
                entry["nested"]["log_lik"] = self.nested.missing_log_lik.as_dict()
            entry["nested"]["spread_of_modes"] = self.evidence_spread
            if self.tempered is not None:
                entry["nested"]["base_measure"]["outside_share"] = self.outside_base
        if self.tempered is not None:
            entry["tempered"] = tempered_entry(self.tempered)
        if self.integrals:
            entry["evidence"] = evidence_entry(self.headline)
        if self.active:
            entry["active"] = {name: found.as_dict() for name, found in self.active.items()}
        entry["unassigned"] = self.unassigned
        entry["modes"] = [_mode_entry(mode, self.nested) for mode in self.summaries]
        entry["functions"] = [_function_entry(one) for one in self.functions]
        entry["modes_only_chains_found"] = len(self.unreached)
        entry["prominent_modes"] = len(self.prominent)
        entry["prominent_functions"] = self.prominent_functions
        entry["recommendation"] = self.recommendation.as_dict()
        entry["mode_disagreement"] = self.modes.disagreement
        return entry

    def _chains_entry(self, chains: Chains) -> dict[str, Any]:
        entry: dict[str, Any] = {
            "n": chains.n_chains,
            "failed": len(chains.failures),
            "cut_short": int(chains.cut.sum()),
            "retried": int((chains.attempts > 0).sum()),
            "draws": chains.n_draws,
            "divergences": chains.divergences,
            "adopted": chains.adopted,
            "seconds": float(chains.seconds.sum()),
            "sampling_seconds": float(chains.sampling_seconds.sum()),
            "rhat_weights": worst(self.rhat_weights),
            "rhat_function": worst(self.rhat_function),
        }
        if chains.lpd.shape[1]:
            entry["log_lik"] = chains.missing_log_lik.as_dict()
        if self.stacked is not None and self.stacking is not None:
            entry["r_eff_median"] = float(np.nanmedian(chains.r_eff))
            entry["stacking"] = {
                "observations": len(chains.scored_lpd),
                "score": self.stacking.score,
                "certificate": self.stacking.certificate,
                "effective_chains": self.stacking.effective_chains,
                "groups": self.stacked.groups.n_groups,
                "by_chain": {
                    "score": self.stacked.by_chain.score,
                    "certificate": self.stacked.by_chain.certificate,
                    "effective_chains": self.stacked.by_chain.effective_chains,
                },
                "pareto_k_above_0.7": int((chains.pareto_k > 0.7).sum()),
            }
            entry["weightings"] = weightings_entry(self.weighings, self.held_out)
        return entry


def compare(
    posterior: Posterior,
    *,
    chains: Chains | None = None,
    nested: Nested | None = None,
    tempered: Tempered | None = None,
    held_out: HeldOut | None = None,
    settings: ModeSettings | None = None,
    seed: int = 1,
    quiet: bool = False,
    kept: Path | str | ClimbRecord | None = None,
) -> Comparison:
    """Find the modes of a posterior and weigh them in every way that the draws allow.

    Parameters
    ----------
    posterior : Posterior
        The posterior that was sampled.
    chains, nested, tempered : optional
        Draws of each engine; of one at least.
    held_out : HeldOut, optional
        Rows that a network's posterior was not given, to score the weightings of chains on.
    settings : ModeSettings, optional
        How modes are distinguished.
    seed : int
        Seed of the choice of draws that climb, and of the resamples behind the errors.
    quiet : bool
        Show no progress.
    kept : Path, optional
        A run directory. Climbs of earlier comparisons there are not repeated, and modes keep the
        numbers that they got there first.

    Returns
    -------
    Comparison
        The modes with their weights, and how well chains agree.

    Raises
    ------
    InputError
        There are no draws, or the seed is not allowed, or ``kept`` is no directory.
    SamplingError
        A process that climbs to modes fails.

    Warns
    -----
    RecordWarning
        What was kept in the directory is damaged or belongs to something else.

    Examples
    --------
    >>> # posterior, chains, nested: noisy XOR, eight chains and two nested runs of it
    >>> few = mm.ModeSettings(climbs=16)
    >>> found = mm.compare(posterior, chains=chains, nested=nested, settings=few, quiet=True)
    >>> mode = found.prominent[0]  # the heaviest
    >>> 0 < mode.evidence.value < 0.5, bool(np.nanmax(found.rhat_weights) > 1.1)
    (True, True)
    """
    check_seed(seed)
    # One thread, because the matrices are small and threads of linear algebra slow them down.
    record = climb_record(posterior, kept)
    with threadpool_limits(limits=1, user_api="blas"):
        return _compare(
            posterior, chains, nested, tempered, held_out, settings, seed, quiet, record
        )


def _compare(
    posterior: Posterior,
    chains: Chains | None,
    nested: Nested | None,
    tempered: Tempered | None,
    held_out: HeldOut | None,
    settings: ModeSettings | None,
    seed: int,
    quiet: bool,
    record: ClimbRecord,
) -> Comparison:
    modes = find_modes(
        posterior,
        chains=chains,
        nested=nested,
        tempered=tempered,
        settings=settings,
        seed=seed,
        quiet=quiet,
        kept=record,
    )
    n_modes = modes.n_modes
    rng = np.random.default_rng(seed)
    by_engine: dict[str, EvidenceWeights] = {}
    if tempered is not None:
        by_engine[TEMPERED] = tempered_weights(tempered, modes, rng)
    if nested is not None:
        by_engine[NESTED] = evidence_weights(nested, modes, rng)
    evidence = combined_weights(by_engine, headline(nested, tempered), n_modes)
    occupancy, occupancy_draws = occupancies(chains, modes, rng)
    by_chain = chain_weights(chains, modes, evidence.shares, rng)
    majority = np.zeros(n_modes, dtype=int)
    if chains is not None:
        majority = np.bincount(mode_shares(modes.chains, n_modes).argmax(axis=1), minlength=n_modes)
    ranking = evidence.shares if by_engine else occupancy
    order = np.lexsort(([-m.value for m in occupancy], [-_rank(m) for m in ranking]))
    by_weight = _by_weight(modes.functions, [_known(share) for share in ranking])
    labels, functions = numbered(
        order, modes.functions, by_weight, modes.kept_numbers, record.known
    )
    if not modes.are_functions:
        keep_numbers(record, modes.peaks, labels, functions)
    summaries = tuple(
        ModeSummary(
            id=int(labels[mode]),
            function=int(functions[mode]),
            height=float(modes.heights[mode]),
            log_z=evidence.log_z[mode],
            evidence=evidence.shares[mode],
            stacking=by_chain.by_mode[mode],
            occupancy=occupancy[mode],
            chains=int(majority[mode]),
            runs=tuple((np.flatnonzero(modes.reached_by_run[mode]) + 1).tolist()),
            by_engine={name: one.shares[mode] for name, one in by_engine.items()},
        )
        for mode in order.tolist()
    )
    scores: tuple[HeldOutScore, ...] = ()
    if held_out is not None and chains is not None and by_chain.weighings:
        scores = score_weighings(by_chain.weighings, held_out_lpd(chains, held_out))
    rhat_weights = rhat_of_function = np.empty(0)
    if chains is not None and chains.whole.n_chains > 1:
        rhat_weights = np.asarray(rhat(chains.whole.eta))
        if has_functions(posterior):
            rhat_of_function = np.asarray(rhat_function(function_blocks(chains.whole)))
    return Comparison(
        posterior,
        chains,
        nested,
        modes,
        summaries,
        labels,
        evidence.point_weights,
        by_chain.stacked,
        rhat_weights,
        rhat_of_function,
        evidence.share_draws[order] if by_engine else evidence.share_draws,
        evidence.spread,
        by_chain.weighings,
        scores,
        tempered,
        by_chain.mode_draws[order],
        occupancy_draws[order],
    )


def _rank(share: Estimate) -> float:
    """Return what orders modes: values first, then upper limits, then what is not known."""
    if np.isfinite(share.value):
        return share.value
    return share.at_most - 2 if np.isfinite(share.at_most) else -2.0


def _is_held(mode: ModeSummary) -> bool:
    """Return whether chains hold a mode: most draws of one, or a share that exceeds its error."""
    return mode.chains > 0 or mode.occupancy.value > _ABOVE_ERROR * mode.occupancy.sd


def _by_weight(functions: IntArray, shares: list[float]) -> IntArray:
    """Return the functions by descending weight, which their modes sum up to; ties by number."""
    total = np.bincount(functions, weights=shares)
    return np.asarray(np.argsort(-total, kind="stable"))


def _known(share: Estimate) -> float:
    return float(np.nan_to_num(share.value))


def _weight_entry(one: ModeSummary | FunctionSummary) -> dict[str, float]:
    weight: dict[str, float] = {}
    for name in ("evidence", "stacking", "occupancy"):
        estimate: Estimate = getattr(one, name)
        weight[name] = estimate.value
        weight[f"{name}_sd"] = estimate.sd
        if np.isfinite(estimate.at_most):
            weight[f"{name}_at_most"] = estimate.at_most
    if len(one.by_engine) > 1:
        for name, share in one.by_engine.items():
            weight[name], weight[f"{name}_sd"] = share.value, share.sd
    return weight


def _function_entry(function: FunctionSummary) -> dict[str, Any]:
    return {
        "id": function.id,
        "modes": list(function.modes),
        "copies": function.copies,
        "copies_by_mode": [kind.copies for kind in function.kinds],
        "log_z": function.log_z.value,
        "log_z_sd": function.log_z.sd,
        "chains": function.chains,
        "weight": _weight_entry(function),
    }


def _mode_entry(mode: ModeSummary, nested: Nested | None) -> dict[str, Any]:
    recovery = {} if nested is None else {"recovery": len(mode.runs) / len(nested.runs)}
    return {
        "id": mode.id,
        "function": mode.function,
        "height": mode.height,
        "log_z": mode.log_z.value,
        "log_z_sd": mode.log_z.sd,
        "chains": mode.chains,
        **recovery,
        "weight": _weight_entry(mode),
    }
