"""Independent checks of an evidence: other methods on the same density, side by side, by mode.

Nested sampling is checked by bridge sampling from the chains and by Laplace's approximation with
importance sampling. Each has its own way to fail: nested sampling loses modes that its live points
miss, bridge sampling loses modes without a chain, and Laplace's approximation fails for modes that
are far from normal. If they agree within their errors, they are very probably right.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
from scipy import stats
from threadpoolctl import threadpool_limits

from manymodes.errors import InputError
from manymodes.modes.checks.basins import basins_of
from manymodes.modes.checks.bridge_sampling import (
    BridgeEstimate,
    bridge_by_mode,
    bridge_whole,
    log_sum,
)
from manymodes.modes.checks.copies import Copies, completed, find_copies, missing_copies
from manymodes.modes.checks.drift import drift_of
from manymodes.modes.checks.laplace import LaplaceEstimate, laplace_by_mode
from manymodes.modes.checks.result import (
    BRIDGE,
    COPIES,
    IMPORTANCE,
    LAPLACE,
    MODE,
    NESTED,
    OTHER,
    POOLED,
    SUM,
    TEMPERED,
    TRUSTED_K,
    WHOLE,
    Agreement,
    Check,
    Checks,
)
from manymodes.modes.comparison import PROMINENT, Comparison
from manymodes.runtime.execution import Execution
from manymodes.runtime.seeds import check_seed
from manymodes.sampling.chains.continued import ContinuedSettings
from manymodes.sampling.nested import Nested
from manymodes.statistics.estimate import Estimate
from manymodes.wording import modes_named

_NO_MODES = (
    "Modes were not looked for, because nearly every climb ends at a maximum of its own. Bridge "
    "sampling and Laplace's approximation go mode by mode, so they check nothing here."
)
_THREE_SIGMA = 0.0027
_ENGINES = {TEMPERED: "tempered", NESTED: "nested"}


def check(
    comparison: Comparison,
    *,
    other: Nested | None = None,
    seed: int = 1,
    drift: ContinuedSettings | None = None,
    execution: Execution | None = None,
) -> Checks:
    """Check the evidence of a comparison by every method that its draws allow.

    Parameters
    ----------
    comparison : Comparison
        A comparison with chains, nested runs, or both. Without nested runs the other methods check
        one another; without chains there is no bridge sampling.
    other : Nested, optional
        Nested runs of the same posterior over another base measure.
    seed : int
        Seed of the draws of proposals.
    drift : ContinuedSettings, optional
        Chains that go on from each engine's draws, for the drift test; without it there is none.
    execution : Execution, optional
        Where these chains run; in local processes by default.

    Returns
    -------
    Checks
        If a method cannot be applied, to the whole or to a mode, its row says why.

    Raises
    ------
    InputError
        ``other`` is of another posterior.

    Examples
    --------
    >>> # comparison: what chains and nested runs of the noisy-XOR posterior found
    >>> checks = mm.check(comparison)
    >>> len(checks.agreements) > 0, checks.limit >= 3
    (True, True)
    """
    if other is not None and other.posterior.identity != comparison.posterior.identity:
        raise InputError("other: these nested runs are of another posterior")
    with threadpool_limits(limits=1, user_api="blas"):
        checks = _check(comparison, other, check_seed(seed))
    if drift is None:
        return checks
    engines = (comparison.tempered, comparison.nested)
    drifts = tuple(drift_of(one, drift, execution) for one in engines if one is not None)
    return replace(checks, drifts=drifts)


def _check(comparison: Comparison, other: Nested | None, seed: int) -> Checks:
    whole = [*_tempered_rows(comparison), *_nested_rows(comparison), *_other_rows(other)]
    if comparison.modes.are_functions:
        found = (*_engines_agreement(comparison), *_other_agreement(comparison, other))
        return Checks(tuple(whole), found, _limit(found), _NO_MODES)
    basins = basins_of(comparison)
    laplace = laplace_by_mode(comparison, basins=basins, seed=seed)
    tops = {mode: one.maximum for mode, one in laplace.items()}
    copies = find_copies(comparison.posterior, tops, basins)
    bridge: dict[int, BridgeEstimate] = {}
    if comparison.chains is not None:
        bridge = bridge_by_mode(comparison, basins=basins, seed=seed)
    rows = [
        *whole,
        *_bridge_rows(comparison, bridge, copies, seed),
        *_laplace_rows(comparison, laplace, copies),
    ]
    known = {
        **{method: _by_engine(comparison, name) for method, name in _ENGINES.items()},
        BRIDGE: {m: one.estimate for m, one in bridge.items() if one.reliable},
        IMPORTANCE: {m: one.estimate for m, one in laplace.items() if one.pareto_k <= TRUSTED_K},
    }
    agreements = (
        *_engines_agreement(comparison),
        *_other_agreement(comparison, other),
        *_agreements(comparison, known),
    )
    return Checks(tuple(rows), agreements, _limit(agreements), copies.remark)


def _limit(agreements: Sequence[Agreement]) -> float:
    """Return the joint errors that all differences stay within, as one does within three."""
    return float(stats.norm.isf(_THREE_SIGMA / 2 / max(1, len(agreements))))


def _by_engine(comparison: Comparison, engine: str) -> dict[int, Estimate]:
    """Return what one engine says of the log evidence of each mode (nats), by the mode's id."""
    integral = comparison.integrals.get(engine)
    if integral is None:
        return {}
    found = {}
    for mode in comparison.summaries:
        share = mode.by_engine.get(engine, Estimate())
        if share.value > 0:
            value = integral.log_z + math.log(share.value)
            found[mode.id] = Estimate(value, math.hypot(integral.log_z_sd, share.sd / share.value))
    return found


def _tempered_rows(comparison: Comparison) -> Iterator[Check]:
    tempered = comparison.tempered
    if tempered is None or math.isnan(tempered.log_z):
        return
    known = _by_engine(comparison, "tempered")
    for mode in comparison.summaries:
        one = known.get(mode.id, Estimate())
        remark = "" if mode.id in known else "no tempered draw is in it"
        yield Check(TEMPERED, MODE, mode.id, one.value, one.sd, remark)
    yield Check(TEMPERED, WHOLE, 0, tempered.log_z, tempered.log_z_sd)


def _engines_agreement(comparison: Comparison) -> Iterator[Agreement]:
    """Compare tempering and nested sampling on the whole."""
    tempered, nested = comparison.tempered, comparison.nested
    if tempered is not None and nested is not None:
        difference = nested.log_z - tempered.log_z
        if not math.isnan(difference):
            sd = math.hypot(nested.log_z_sd, tempered.log_z_sd)
            yield Agreement(TEMPERED, NESTED, (), difference, sd)


def _nested_rows(comparison: Comparison) -> Iterator[Check]:
    nested = comparison.nested
    if nested is None:
        if comparison.tempered is not None:
            return
        yield Check(NESTED, WHOLE, 0, math.nan, math.nan, "there are no nested runs")
        return
    if math.isnan(nested.log_z):
        yield Check(NESTED, WHOLE, 0, math.nan, math.nan, "the density has no finite integral")
        return
    known = _by_engine(comparison, "nested")
    for mode in comparison.summaries:
        one = known.get(mode.id, Estimate())
        remark = "" if mode.id in known else "the nested runs did not reach it"
        limit = mode.by_engine.get("nested", Estimate()).at_most
        if math.isfinite(limit):
            remark = f"one or two live points carried it: at most {100 * limit:.2g} %"
        yield Check(NESTED, MODE, mode.id, one.value, one.sd, remark)
    yield Check(NESTED, WHOLE, 0, nested.log_z, nested.log_z_sd)


def _other_rows(other: Nested | None) -> Iterator[Check]:
    if other is not None:
        yield Check(OTHER, WHOLE, 0, other.log_z, other.log_z_sd, other.base.reason)


def _other_agreement(comparison: Comparison, other: Nested | None) -> Iterator[Agreement]:
    """Compare two base measures on the whole."""
    nested = comparison.nested
    if nested is not None and other is not None:
        difference = other.log_z - nested.log_z
        if not math.isnan(difference):
            sd = math.hypot(nested.log_z_sd, other.log_z_sd)
            yield Agreement(NESTED, OTHER, (), difference, sd)


def _bridge_rows(
    comparison: Comparison, found: Mapping[int, BridgeEstimate], copies: Copies, seed: int
) -> Iterator[Check]:
    if comparison.chains is None:
        yield Check(BRIDGE, WHOLE, 0, math.nan, math.nan, "there are no chains")
        return
    for mode in comparison.summaries:
        one = found.get(mode.id, BridgeEstimate(remark="no chain has draws in it"))
        yield _bridge_row(BRIDGE, MODE, mode.id, one)
    estimates = {mode: one.estimate for mode, one in found.items()}
    doubtful = [mode for mode, one in sorted(found.items()) if _doubtful(one)]
    for row in _sums(BRIDGE, comparison, estimates, copies, doubtful):
        if row.scope == SUM:
            blocks = {m: Estimate(one.log_z, one.reshuffled_sd) for m, one in found.items()}
            yield replace(row, reshuffled_sd=log_sum(blocks).sd)
        else:
            yield row
    yield _bridge_row(POOLED, WHOLE, 0, bridge_whole(comparison, seed=seed))


def _bridge_row(method: str, scope: str, mode: int, one: BridgeEstimate) -> Check:
    return Check(
        method,
        scope,
        mode,
        one.log_z,
        one.log_z_sd,
        one.remark,
        one.pareto_k if math.isfinite(one.pareto_k) else math.nan,
        one.reshuffled_sd,
        not _doubtful(one),
    )


def _doubtful(one: BridgeEstimate) -> bool:
    return math.isfinite(one.log_z) and not one.reliable


def _laplace_rows(
    comparison: Comparison, found: Mapping[int, LaplaceEstimate], copies: Copies
) -> Iterator[Check]:
    approximated = [mode for mode in comparison.summaries if mode.id in found]
    for mode in approximated:
        one = found[mode.id]
        off = one.corrected - one.log_z
        remark = f"importance sampling moves it by {off:+.2f}" if math.isfinite(off) else one.remark
        yield Check(LAPLACE, MODE, mode.id, one.log_z, math.nan, remark)
    plain = {mode: Estimate(one.log_z) for mode, one in found.items()}
    yield from _sums(LAPLACE, comparison, plain, copies)
    for mode in approximated:
        one = found[mode.id]
        yield Check(
            IMPORTANCE,
            MODE,
            mode.id,
            one.corrected,
            one.corrected_sd,
            one.remark,
            one.pareto_k,
            reliable=not one.pareto_k > TRUSTED_K,
        )
    estimates = {mode: one.estimate for mode, one in found.items()}
    doubtful = [mode for mode, one in sorted(found.items()) if one.pareto_k > TRUSTED_K]
    yield from _sums(IMPORTANCE, comparison, estimates, copies, doubtful)


def _sums(
    method: str,
    comparison: Comparison,
    estimates: Mapping[int, Estimate],
    copies: Copies,
    doubtful: Sequence[int] = (),
) -> Iterator[Check]:
    """Yield the sum over modes, and the sum with unvisited copies if there are any."""
    known = {mode for mode, one in estimates.items() if math.isfinite(one.value)}
    total = log_sum(estimates)
    missed = [mode for mode in comparison.prominent if mode.id not in known]
    remark = ""
    if method != BRIDGE and len(estimates) < len(comparison.summaries):
        remark = "of one copy of each mode"
    elif missed:
        remark = f"without {modes_named([mode.id for mode in missed])}"
        share = sum(mode.evidence.value for mode in missed)
        if math.isfinite(share):
            remark += f", {100 * share:.2g} % of the evidence"
    least = total.value + math.log(PROMINENT)
    doubted = [mode for mode in doubtful if estimates[mode].value > least]
    if doubted:
        which = f"with {modes_named(doubted)}, where it is unreliable"
        remark = f"{remark}, and {which}" if remark else which
    yield Check(method, SUM, 0, total.value, total.sd, remark, reliable=not doubted)
    full = completed(estimates, copies)
    if full is not None:
        added = missing_copies(known, copies)
        said = f"{added} cop{'y' if added == 1 else 'ies'} of visited modes added"
        yield Check(method, COPIES, 0, full.value, full.sd, said, reliable=not doubted)


def _agreements(
    comparison: Comparison, known: Mapping[str, Mapping[int, Estimate]]
) -> Iterator[Agreement]:
    """Compare each pair of methods on prominent modes, and on the sum of modes that both know."""
    prominent = [mode.id for mode in comparison.prominent]
    for first, second in itertools.combinations(known, 2):
        common = [m for m in prominent if m in known[first] and m in known[second]]
        groups: list[tuple[int, ...]] = [(m,) for m in common]
        if len(common) > 1:
            groups.append(tuple(common))
        for modes in groups:
            a, b = (
                _sum_by_engine(comparison, _ENGINES[method], modes, known[method])
                if method in _ENGINES
                else log_sum({m: known[method][m] for m in modes})
                for method in (first, second)
            )
            yield Agreement(first, second, modes, b.value - a.value, math.hypot(a.sd, b.sd))


def _sum_by_engine(
    comparison: Comparison, engine: str, modes: tuple[int, ...], known: Mapping[int, Estimate]
) -> Estimate:
    """Return what an engine says of the evidence of some modes: errors are not independent."""
    if len(modes) == 1:
        return known[modes[0]]
    integral = comparison.integrals[engine]
    summaries = {mode.id: mode for mode in comparison.summaries}
    share = sum(summaries[mode].by_engine[engine].value for mode in modes)
    places = [place for place, mode in enumerate(comparison.summaries) if mode.id in modes]
    spread = np.log(comparison.evidence_draws[places].sum(axis=0)).std(ddof=1)
    sd = math.hypot(integral.log_z_sd, float(spread))
    return Estimate(integral.log_z + math.log(share), sd)
