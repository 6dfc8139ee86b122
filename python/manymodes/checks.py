"""Independent checks of an evidence: other methods on the same density, side by side, by mode.

Nested sampling is checked by bridge sampling from the chains and by Laplace's approximation with
importance sampling. Each has its own way to fail: nested sampling loses modes that its live
points miss, bridge sampling those that no chain went to, Laplace those that are far from normal.
Where they agree within their errors, that is hard to explain but by the truth.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy import stats
from threadpoolctl import threadpool_limits

from manymodes.basins import basins_of
from manymodes.bridge_sampling import BridgeEstimate, bridge_by_mode, bridge_whole, log_sum
from manymodes.comparison import Comparison, Estimate
from manymodes.copies import Copies, completed, find_copies, missing_copies
from manymodes.laplace import TRUSTED_K, LaplaceEstimate, laplace_by_mode

__all__ = ["Agreement", "Check", "Checks", "check"]

NESTED = "nested sampling"
BRIDGE = "bridge sampling"
POOLED = "bridge sampling, all draws at once"
LAPLACE = "Laplace"
IMPORTANCE = "Laplace with importance sampling"
METHODS = (NESTED, BRIDGE, POOLED, LAPLACE, IMPORTANCE)

MODE, SUM, COPIES, WHOLE = "mode", "sum of modes", "with unvisited copies", "whole"
SCOPES = (MODE, SUM, COPIES, WHOLE)

_THREE_SIGMA = 0.0027
_NO_ERROR = 1e-9


@dataclass(frozen=True)
class Check:
    """What one method says of one mode, or of the whole.

    Attributes
    ----------
    method : str
        One of `METHODS`.
    scope : {"mode", "sum of modes", "with unvisited copies", "whole"}
        What the evidence is of.
    mode : int
        The id of the mode; 0 for the whole.
    log_z, log_z_sd : float
        Log evidence and its standard error (nats); NaN where there is none. Laplace has no error.
    remark : str
        Why there is no estimate, or what to know of it; may be empty.
    """

    method: str
    scope: str
    mode: int
    log_z: float
    log_z_sd: float
    remark: str = ""

    @property
    def estimate(self) -> Estimate:
        """The log evidence and its error (nats)."""
        return Estimate(self.log_z, self.log_z_sd)


@dataclass(frozen=True)
class Agreement:
    """Two methods on the same mode, or on the sum of the same modes.

    Attributes
    ----------
    first, second : str
        The methods.
    modes : tuple of int
        The ids of the modes compared; several are summed.
    difference, sd : float
        Log evidence of the second minus that of the first, and its standard error (nats).
    """

    first: str
    second: str
    modes: tuple[int, ...]
    difference: float
    sd: float

    @property
    def z(self) -> float:
        """The difference in units of its error."""
        return self.difference / max(self.sd, _NO_ERROR)


@dataclass(frozen=True)
class Checks:
    """Evidences by every method that could be applied, and whether they agree.

    Attributes
    ----------
    rows : tuple of Check
        By method, modes first.
    agreements : tuple of Agreement
        Of each pair of methods on each prominent mode, and on the sum of those that both know.
    limit : float
        So many errors are more than chance: among all comparisons the largest exceeds it by chance
        as often as a single one exceeds three.
    copies : str
        What is known of exact copies of the modes.
    """

    rows: tuple[Check, ...]
    agreements: tuple[Agreement, ...]
    limit: float
    copies: str

    def row(self, method: str, scope: str, mode: int = 0) -> Check | None:
        """Return one row, None if there is none."""
        wanted = (method, scope, mode)
        return next((r for r in self.rows if (r.method, r.scope, r.mode) == wanted), None)

    @property
    def agree(self) -> bool | None:
        """Whether no difference is beyond the limit; None if nothing could be compared."""
        if not self.agreements:
            return None
        return all(abs(one.z) <= self.limit for one in self.agreements)

    @property
    def verdict(self) -> str:
        """What came of it, in words."""
        return " ".join(_verdict(self))

    def as_dict(self) -> dict[str, Any]:
        """Return the entry in ``summary.json``; what is not known is None."""

        def plain(value: Any) -> Any:
            return None if isinstance(value, float) and not math.isfinite(value) else value

        return {
            "verdict": self.verdict,
            "agree": self.agree,
            "limit": self.limit,
            "copies": self.copies,
            "rows": [{k: plain(v) for k, v in asdict(row).items()} for row in self.rows],
            "agreements": [
                {**asdict(one), "modes": list(one.modes), "z": one.z} for one in self.agreements
            ],
        }


def check(comparison: Comparison, *, seed: int = 1) -> Checks:
    """Check the evidence of a comparison by every method that its draws allow.

    Parameters
    ----------
    comparison : Comparison
        With chains, nested runs, or both. Without nested runs the other methods check one another;
        without chains there is no bridge sampling.
    seed : int
        Decides the draws of proposals.

    Returns
    -------
    Checks
        A method that cannot be applied, or not to a mode, has a row that says why.
    """
    with threadpool_limits(limits=1, user_api="blas"):
        return _check(comparison, seed)


def _check(comparison: Comparison, seed: int) -> Checks:
    basins = basins_of(comparison)
    laplace = laplace_by_mode(comparison, basins=basins, seed=seed)
    tops = {mode: one.maximum for mode, one in laplace.items()}
    copies = find_copies(comparison.posterior, tops, basins)
    bridge: dict[int, BridgeEstimate] = {}
    if comparison.chains is not None:
        bridge = bridge_by_mode(comparison, basins=basins, seed=seed)
    rows = [
        *_nested_rows(comparison),
        *_bridge_rows(comparison, bridge, copies, seed),
        *_laplace_rows(comparison, laplace, copies),
    ]
    known = {
        NESTED: {m.id: m.log_z for m in comparison.summaries if math.isfinite(m.log_z.value)},
        BRIDGE: {m: one.estimate for m, one in bridge.items() if one.converged},
        IMPORTANCE: {m: one.estimate for m, one in laplace.items() if one.pareto_k <= TRUSTED_K},
    }
    agreements = tuple(_agreements(comparison, known))
    limit = float(stats.norm.isf(_THREE_SIGMA / 2 / max(1, len(agreements))))
    return Checks(tuple(rows), agreements, limit, copies.remark)


def _nested_rows(comparison: Comparison) -> Iterator[Check]:
    nested = comparison.nested
    if nested is None:
        yield Check(NESTED, WHOLE, 0, math.nan, math.nan, "there are no nested runs")
        return
    for mode in comparison.summaries:
        remark = "" if math.isfinite(mode.log_z.value) else "the nested runs did not reach it"
        yield Check(NESTED, MODE, mode.id, mode.log_z.value, mode.log_z.sd, remark)
    yield Check(NESTED, WHOLE, 0, nested.log_z, nested.log_z_sd)


def _bridge_rows(
    comparison: Comparison, found: Mapping[int, BridgeEstimate], copies: Copies, seed: int
) -> Iterator[Check]:
    if comparison.chains is None:
        yield Check(BRIDGE, WHOLE, 0, math.nan, math.nan, "there are no chains")
        return
    for mode in comparison.summaries:
        one = found.get(mode.id, BridgeEstimate(remark="no chain has draws in it"))
        yield Check(BRIDGE, MODE, mode.id, one.log_z, one.log_z_sd, one.remark)
    estimates = {mode: one.estimate for mode, one in found.items()}
    yield from _sums(BRIDGE, comparison, estimates, copies)
    pooled = bridge_whole(comparison, seed=seed)
    yield Check(POOLED, WHOLE, 0, pooled.log_z, pooled.log_z_sd, pooled.remark)


def _laplace_rows(
    comparison: Comparison, found: Mapping[int, LaplaceEstimate], copies: Copies
) -> Iterator[Check]:
    for mode in comparison.summaries:
        one = found[mode.id]
        off = one.corrected - one.log_z
        remark = f"importance sampling moves it by {off:+.2f}" if math.isfinite(off) else one.remark
        yield Check(LAPLACE, MODE, mode.id, one.log_z, math.nan, remark)
    plain = {mode: Estimate(one.log_z) for mode, one in found.items()}
    yield from _sums(LAPLACE, comparison, plain, copies)
    for mode in comparison.summaries:
        one = found[mode.id]
        yield Check(IMPORTANCE, MODE, mode.id, one.corrected, one.corrected_sd, one.remark)
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
    """Yield the sum over modes and, where copies of them were not visited, that with those."""
    known = {mode for mode, one in estimates.items() if math.isfinite(one.value)}
    total = log_sum(estimates)
    missed = [mode for mode in comparison.prominent if mode.id not in known]
    remark = ""
    if missed:
        remark = f"without {_modes([mode.id for mode in missed])}"
        share = sum(mode.evidence.value for mode in missed)
        if math.isfinite(share):
            remark += f", {100 * share:.2g} % of the evidence of nested sampling"
    if doubtful:
        remark += f"{', ' if remark else ''}with {_modes(doubtful)} of a Pareto k above {TRUSTED_K}"
    yield Check(method, SUM, 0, total.value, total.sd, remark)
    full = completed(estimates, copies)
    if full is not None:
        added = missing_copies(known, copies)
        said = f"{added} cop{'y' if added == 1 else 'ies'} of visited modes added"
        yield Check(method, COPIES, 0, full.value, full.sd, said)


def _agreements(
    comparison: Comparison, known: Mapping[str, Mapping[int, Estimate]]
) -> Iterator[Agreement]:
    """Compare each pair of methods on prominent modes, and on the sum of those both know."""
    prominent = [mode.id for mode in comparison.prominent]
    for first, second in itertools.combinations(known, 2):
        common = [m for m in prominent if m in known[first] and m in known[second]]
        groups: list[tuple[int, ...]] = [(m,) for m in common]
        if len(common) > 1:
            groups.append(tuple(common))
        for modes in groups:
            a, b = (
                _nested_sum(comparison, modes)
                if method == NESTED
                else log_sum({m: known[method][m] for m in modes})
                for method in (first, second)
            )
            yield Agreement(first, second, modes, b.value - a.value, math.hypot(a.sd, b.sd))


def _nested_sum(comparison: Comparison, modes: tuple[int, ...]) -> Estimate:
    """Return the evidence of some modes by nested sampling: their errors are not independent."""
    summaries = {mode.id: mode for mode in comparison.summaries}
    if len(modes) == 1:
        return summaries[modes[0]].log_z
    nested = comparison.nested
    assert nested is not None
    share = sum(summaries[mode].evidence.value for mode in modes)
    places = [place for place, mode in enumerate(comparison.summaries) if mode.id in modes]
    spread = np.log(comparison.evidence_draws[places].sum(axis=0)).std(ddof=1)
    return Estimate(nested.log_z + math.log(share), math.hypot(nested.log_z_sd, float(spread)))


def _verdict(checks: Checks) -> Iterator[str]:
    methods = list(
        dict.fromkeys(name for one in checks.agreements for name in (one.first, one.second))
    )
    if not checks.agreements:
        yield "No two methods could be applied to the same mode: nothing is checked."
    elif checks.agree:
        n = len(checks.agreements)
        worst = max(checks.agreements, key=lambda one: abs(one.z))
        which = "the only difference" if n == 1 else f"the largest of {n} differences"
        yield (
            f"{_joined(methods)} agree within errors: {which} is {abs(worst.z):.1f} errors "
            f"({worst.first} and {worst.second}, {_where(worst)})."
        )
    else:
        beyond = sorted(
            (one for one in checks.agreements if abs(one.z) > checks.limit),
            key=lambda one: -abs(one.z),
        )
        for one in beyond:
            yield (
                f"{one.second} differs from {one.first} by {abs(one.z):.1f} errors "
                f"({one.difference:+.2f} ± {one.sd:.2f} nats, {_where(one)})."
            )
        yield (
            f"{len(checks.agreements) - len(beyond)} of {len(checks.agreements)} differences are "
            f"within {checks.limit:.1f} errors."
        )
    yield from _on_visits(checks)
    yield from _on_pooling(checks)


def _on_visits(checks: Checks) -> Iterator[str]:
    total = checks.row(BRIDGE, SUM)
    full = checks.row(BRIDGE, COPIES)
    if total is not None and total.remark:
        text = f"The sum of bridge sampling is {total.remark}"
        if full is not None:
            text += (
                f"; with {full.remark} it is {full.log_z:.2f} ± {full.log_z_sd:.2f} nats "
                f"instead of {total.log_z:.2f}"
            )
        yield f"{text}."


def _on_pooling(checks: Checks) -> Iterator[str]:
    total, pooled = checks.row(BRIDGE, SUM), checks.row(POOLED, WHOLE)
    if total is None or pooled is None or not math.isfinite(total.log_z + pooled.log_z):
        return
    off = pooled.log_z - total.log_z
    errors = abs(off) / max(math.hypot(total.log_z_sd, pooled.log_z_sd), _NO_ERROR)
    several = len([r for r in checks.rows if r.method == BRIDGE and math.isfinite(r.log_z)]) > 2
    if several:
        yield (
            f"Bridge sampling of all draws at once, not by mode, is {off:+.2f} nats "
            f"({errors:.1f} errors) from the sum of the modes, with an error "
            f"{pooled.log_z_sd / max(total.log_z_sd, _NO_ERROR):.0f} times as large."
        )


def _where(one: Agreement) -> str:
    return _modes(one.modes) if len(one.modes) == 1 else f"sum of {_modes(one.modes)}"


def _modes(ids: Sequence[int]) -> str:
    if len(ids) > 8:
        return f"{len(ids)} modes"
    return f"mode{'s' * (len(ids) > 1)} {_joined([str(i) for i in ids], sentence=False)}"


def _joined(parts: list[str], *, sentence: bool = True) -> str:
    text = " and ".join(filter(None, (", ".join(parts[:-1]), parts[-1])))
    return text[0].upper() + text[1:] if sentence else text
