"""Independent checks of an evidence: other methods on the same density, side by side.

Nested sampling over another base measure, bridge sampling from the chains, Laplace's approximation
and its correction by importance sampling, for the whole and for every mode; and a verdict.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import special
from scipy.spatial import cKDTree

from manymodes.bridge_sampling import BridgeEstimate, bridge_modes
from manymodes.comparison import Comparison
from manymodes.errors import InputError
from manymodes.laplace import LaplaceEstimate, laplace, unvisited_copies
from manymodes.nested import Nested
from manymodes.posterior import FloatArray, Posterior
from manymodes.weights import Estimate

BoolArray = npt.NDArray[np.bool_]

NESTED = "nested sampling"
BRIDGE = "bridge sampling, by mode"
POOLED = "bridge sampling, all draws at once"
LAPLACE = "Laplace"
CORRECTED = "Laplace, corrected by importance sampling"

APART = 3.0
"""Figures that differ by more than so many errors disagree."""

_PEAKS_LOOKED_AT = 400
_NAN = float("nan")


@dataclass(frozen=True)
class Check:
    """One method's answer.

    Attributes
    ----------
    method : str
        Its name.
    mode : int
        The id of the mode, or 0 for the whole.
    log_z : Estimate
        Log evidence (nats); the error of Laplace's own is NaN, for nothing is sampled.
    against : float
        What the method it is compared with says of the same part of the posterior (nats).
    z : float
        The difference in units of the joint error; NaN where there is none.
    judged : bool
        Whether it counts for the verdict.
    remark : str
        What to know about it, or why there is nothing.
    """

    method: str
    mode: int
    log_z: Estimate
    against: float = _NAN
    z: float = _NAN
    judged: bool = True
    remark: str = ""

    @property
    def disagrees(self) -> bool:
        """Whether it contradicts what it is compared with."""
        return self.judged and abs(self.z) > APART


@dataclass(frozen=True)
class Checks:
    """All answers to the question of one evidence.

    Attributes
    ----------
    rows : tuple of Check
        By method, the whole first and then the modes.
    standard : str
        The method that the others are compared with.
    """

    rows: tuple[Check, ...]
    standard: str

    @property
    def agree(self) -> bool:
        """Whether no method contradicts the standard."""
        return not any(row.disagrees for row in self.rows)

    @property
    def compared(self) -> tuple[Check, ...]:
        """The rows that were compared with the standard and count."""
        return tuple(row for row in self.rows if row.judged and math.isfinite(row.z))

    @property
    def verdict(self) -> str:
        """Whether they agree, in a sentence."""
        n = len(self.compared)
        if n == 0:
            return "Nothing independent of the evidence could be computed: it stands unchecked."
        off = [row for row in self.compared if row.disagrees]
        if not off:
            worst = max(self.compared, key=lambda row: abs(row.z))
            return (
                f"The checks agree with {self.standard}: of {n} comparisons the largest difference "
                f"is {abs(worst.z):.1f} errors ({_named(worst)})."
            )
        listed = "; ".join(f"{_named(row)} by {row.z:+.1f} errors" for row in off)
        return f"{len(off)} of {n} comparisons with {self.standard} disagree: {listed}."

    @classmethod
    def from_dict(cls, kept: Mapping[str, Any]) -> Checks:
        """Make checks from what `as_dict` returned and JSON kept."""

        def number(value: float | None) -> float:
            return _NAN if value is None else float(value)

        rows = tuple(
            Check(
                row["method"],
                row["mode"] or 0,
                Estimate(number(row["log_z"]), number(row["log_z_sd"])),
                number(row["against"]),
                number(row["z"]),
                row["judged"],
                row["remark"],
            )
            for row in kept["rows"]
        )
        return cls(rows, kept["standard"])

    def as_dict(self) -> dict[str, Any]:
        """Return the checks as plain values, for ``summary.json``."""
        return {
            "standard": self.standard,
            "agree": self.agree,
            "verdict": self.verdict,
            "rows": [
                {
                    "method": row.method,
                    "mode": row.mode or None,
                    "log_z": row.log_z.value,
                    "log_z_sd": row.log_z.sd,
                    "against": row.against,
                    "z": row.z,
                    "judged": row.judged,
                    "remark": row.remark,
                }
                for row in self.rows
            ],
        }


def _named(row: Check) -> str:
    return f"{row.method}, {f'mode {row.mode}' if row.mode else 'whole'}"


def check(comparison: Comparison, *, other: Nested | None = None, seed: int = 1) -> Checks:
    """Put other methods beside the evidence of a comparison.

    Parameters
    ----------
    comparison : Comparison
        With nested runs, chains or both.
    other : Nested, optional
        Nested runs of the same posterior over another base measure.
    seed : int
        Of what is drawn.

    Returns
    -------
    Checks
        Of the whole and of the prominent modes. What has nested runs is compared with these;
        otherwise with bridge sampling by mode. A sum over modes is compared with the sum over the
        same modes.

    Raises
    ------
    InputError
        ``other`` is of another posterior.
    """
    if other is not None and other.posterior.identity != comparison.posterior.identity:
        raise InputError("other: these nested runs are of another posterior")
    modes = [mode.id for mode in comparison.prominent]
    rows: list[Check] = []
    standard = _Standard({}, Estimate())
    if comparison.nested is not None:
        nested = comparison.nested
        standard = _Standard(
            {mode.id: mode.log_z for mode in comparison.summaries},
            Estimate(nested.log_z, nested.log_z_sd),
            {
                mode.id: draws
                for mode, draws in zip(comparison.summaries, comparison.evidence_draws, strict=True)
            },
        )
        rows.append(Check(NESTED, 0, standard.whole))
        rows += [Check(NESTED, mode, standard.modes[mode]) for mode in modes]
    if other is not None:
        found = Estimate(other.log_z, other.log_z_sd)
        rows.append(
            _against(
                f"nested sampling over the base measure '{other.base.source}'",
                0,
                found,
                standard.whole,
                other.base.reason,
            )
        )
    if comparison.chains is not None:
        bridged = bridge_modes(comparison.chains, comparison.modes, seed=seed)
        by_id = {int(i): bridged.modes[m] for m, i in enumerate(comparison.labels)}
        if comparison.nested is None:
            standard = _Standard(
                {i: _as_estimate(b) for i, b in by_id.items()}, _as_estimate(bridged.total)
            )
        rows += _bridge_rows(by_id, bridged.total, bridged.pooled, standard, modes)
    rows += _laplace_rows(comparison, standard, seed)
    return Checks(tuple(rows), NESTED if comparison.nested is not None else BRIDGE)


@dataclass(frozen=True)
class _Standard:
    """What the others are compared with."""

    modes: dict[int, Estimate]
    whole: Estimate
    share_draws: dict[int, FloatArray] = field(default_factory=dict)

    def of(self, ids: list[int]) -> Estimate:
        """Return the evidence of some modes together, with the errors of whole and share."""
        parts = [self.modes[i].value for i in ids if math.isfinite(self.modes[i].value)]
        everything = [one.value for one in self.modes.values() if math.isfinite(one.value)]
        if not parts:
            return Estimate()
        share = special.logsumexp(parts) - special.logsumexp(everything)
        draws = [self.share_draws[i] for i in ids if i in self.share_draws]
        sd = float(np.log(np.sum(draws, axis=0)).std(ddof=1)) if draws else 0.0
        return Estimate(self.whole.value + float(share), math.hypot(self.whole.sd, sd))


def _as_estimate(found: BridgeEstimate) -> Estimate:
    return Estimate(found.log_z, found.log_z_sd)


def _against(
    method: str,
    mode: int,
    found: Estimate,
    standard: Estimate,
    remark: str = "",
    *,
    judged: bool = True,
) -> Check:
    sd = math.hypot(found.sd, standard.sd)
    z = (found.value - standard.value) / sd if sd > 0 else _NAN
    return Check(method, mode, found, standard.value, z, judged, remark)


def _bridge_rows(
    by_id: dict[int, BridgeEstimate],
    total: BridgeEstimate,
    pooled: BridgeEstimate,
    standard: _Standard,
    shown: list[int],
) -> list[Check]:
    known = [i for i, one in by_id.items() if math.isfinite(one.log_z)]
    rows = [_against(BRIDGE, 0, _as_estimate(total), standard.of(known), total.problem)]
    rows += [
        _against(BRIDGE, i, _as_estimate(by_id[i]), standard.modes[i], by_id[i].problem)
        for i in shown
    ]
    remark = pooled.problem
    alone = len(shown) == 1
    if not alone:
        remark = "one proposal over several modes overlaps with none of them: not to be used"
    rows.append(_against(POOLED, 0, _as_estimate(pooled), standard.whole, remark, judged=alone))
    return rows


def _laplace_rows(comparison: Comparison, standard: _Standard, seed: int) -> list[Check]:
    posterior = comparison.posterior
    eta, labels = _labelled(comparison)
    scale = np.maximum(eta.std(axis=0), 1e-300)
    tree = cKDTree(eta / scale)

    def within(mode: int) -> Callable[[FloatArray], BoolArray]:
        return lambda x: np.asarray(labels[tree.query(x / scale)[1]] == mode)

    found: dict[int, LaplaceEstimate] = {}
    for mode, number in enumerate(comparison.labels.tolist()):
        start = _highest(posterior, eta[labels == mode])
        found[number] = laplace(posterior, start, inside=within(mode), seed=seed + number)
    ids = sorted(found)
    copies = unvisited_copies(posterior, [found[i].maximum for i in ids])
    rows = []
    for method in (LAPLACE, CORRECTED):
        values = {i: _laplace_value(found[i], method) for i in ids}
        known = [i for i in ids if math.isfinite(values[i].value)]
        sum_found = _sum([values[i] for i in known])
        missing = len(ids) - len(known)
        remark = f"without {missing} of {len(ids)} modes" if missing else ""
        judged = method == CORRECTED
        rows.append(_against(method, 0, sum_found, standard.of(known), remark, judged=judged))
        if sum(copies):
            with_copies = _sum(
                [
                    values[i]
                    for i, n in zip(ids, copies, strict=True)
                    for _ in range(1 + n)
                    if math.isfinite(values[i].value)
                ]
            )
            remark = f"with {sum(copies)} copies of the same density that were not visited"
            rows.append(Check(method, 0, with_copies, judged=False, remark=remark))
        rows += [
            _against(
                method,
                i,
                values[i],
                standard.modes.get(i, Estimate()),
                found[i].problem,
                judged=judged,
            )
            for i in (mode.id for mode in comparison.prominent)
        ]
    return rows


def _laplace_value(found: LaplaceEstimate, method: str) -> Estimate:
    if method == LAPLACE:
        return Estimate(found.log_z, _NAN)
    return Estimate(found.corrected, found.corrected_sd)


def _sum(parts: list[Estimate]) -> Estimate:
    if not parts:
        return Estimate()
    values = np.array([one.value for one in parts])
    shares = special.softmax(values)
    sd = float(np.sqrt(np.sum((shares * np.array([one.sd for one in parts])) ** 2)))
    return Estimate(float(special.logsumexp(values)), sd)


def _labelled(comparison: Comparison) -> tuple[FloatArray, npt.NDArray[np.intp]]:
    """Return draws of either engine, shape (n, D), and their modes from 0."""
    points, labels = [], []
    if (chains := comparison.chains) is not None:
        points.append(chains.flat(chains.eta))
        labels.append(comparison.modes.chains[chains.present])
    if (nested := comparison.nested) is not None:
        heavy = nested.weights > 1e-9 * nested.weights.max()
        points.append(nested.eta[heavy])
        labels.append(comparison.modes.nested[heavy])
    return np.concatenate(points), np.concatenate(labels)


def _highest(posterior: Posterior, eta: FloatArray) -> FloatArray:
    """Return the draw of highest density, of some that are spread over all."""
    some = eta[np.linspace(0, len(eta) - 1, min(len(eta), _PEAKS_LOOKED_AT)).astype(int)]
    return np.asarray(some[np.argmax([posterior.log_density(x) for x in some])])
