"""What checks of an evidence found."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from manymodes.modes.checks.drift import Drift
from manymodes.runtime.shown import Rows, Shown, estimate_text
from manymodes.statistics.estimate import Estimate

NESTED = "nested sampling"
TEMPERED = "tempering"
OTHER = "nested sampling over another base measure"
BRIDGE = "bridge sampling"
POOLED = "bridge sampling, all draws at once"
LAPLACE = "Laplace"
IMPORTANCE = "Laplace with importance sampling"
METHODS = (TEMPERED, NESTED, OTHER, BRIDGE, POOLED, LAPLACE, IMPORTANCE)

MODE, SUM, COPIES, WHOLE = "mode", "sum of modes", "with unvisited copies", "whole"
SCOPES = (MODE, SUM, COPIES, WHOLE)

TRUSTED_K = 0.7
"""An estimate whose terms have a larger Pareto k is unreliable."""

TRUSTED_SCATTER = 2.5
"""If reshuffled blocks scatter by more than so many errors, the error is unreliable.

Where the error is right, they scattered by less than 2.3 errors in each of 900 runs: that they
differ from it by chance comes from there being few blocks.
"""

_NO_ERROR = 1e-9


@dataclass(frozen=True)
class Check:
    """The evidence of one mode, or of the whole, by one method.

    Attributes
    ----------
    method : str
        One of `METHODS`.
    scope : {"mode", "sum of modes", "with unvisited copies", "whole"}
        The scope of the evidence.
    mode : int
        The id of the mode; 0 for the whole.
    log_z, log_z_sd : float
        Log evidence and its standard error (nats); NaN if there is none. Laplace has no error.
    remark : str
        Why there is no estimate, or a remark on it; may be empty.
    pareto_k : float
        Pareto's k of bridge sampling's terms, the larger of two, or of importance ratios; NaN if
        no few terms can decide, or if it is not known.
    reshuffled_sd : float
        Bridge sampling's standard error by reshuffled blocks (nats), beside that by the formula,
        `log_z_sd`; NaN if it is not known.
    reliable : bool
        False where the method's own diagnostics say that its error cannot be trusted. Such a row
        is compared with no other.
    """

    method: str
    scope: str
    mode: int
    log_z: float
    log_z_sd: float
    remark: str = ""
    pareto_k: float = math.nan
    reshuffled_sd: float = math.nan
    reliable: bool = True

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
        The ids of the modes compared; several are summed, none stands for the whole.
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


@dataclass(frozen=True, repr=False)
class Checks(Shown):
    """Evidences by every method that could be applied, and whether they agree.

    Attributes
    ----------
    rows : tuple of Check
        The evidences by method, modes first.
    agreements : tuple of Agreement
        Each pair of methods on each prominent mode, and on the sum of modes that both know.
    limit : float
        The largest difference, in errors, that chance explains: the largest of all differences
        exceeds it by chance as often as a single one exceeds three.
    copies : str
        A sentence on exact copies of the modes.
    drifts : tuple of Drift
        Of each engine, whether chains that start from its draws stay in distribution.

    Examples
    --------
    >>> # checks: what mm.check made of chains and nested runs of the noisy-XOR posterior
    >>> for method in sorted({row.method for row in checks.rows}):
    ...     print(method)
    Laplace
    Laplace with importance sampling
    bridge sampling
    bridge sampling, all draws at once
    nested sampling
    """

    rows: tuple[Check, ...]
    agreements: tuple[Agreement, ...]
    limit: float
    copies: str
    drifts: tuple[Drift, ...] = ()

    def _headline(self) -> str:
        agree = {True: "they agree", False: "they disagree", None: "nothing to compare"}
        return f"Checks of log_z: {len(self.rows)} estimates, {agree[self.agree]}"

    def _table(self) -> Rows:
        return ("method", "scope", "mode", "log_z", "remark"), [
            (
                one.method,
                one.scope,
                str(one.mode or ""),
                estimate_text(one.log_z, one.log_z_sd),
                one.remark,
            )
            for one in self.rows
        ]

    def row(self, method: str, scope: str, mode: int = 0) -> Check | None:
        """Return one row, None if there is none.

        Parameters
        ----------
        method, scope : str
            As in `Check`.
        mode : int
            The mode's id where the scope is one mode.

        Returns
        -------
        Check or None
            The evidence by that method, with its error, or why it is missing.

        Examples
        --------
        >>> # checks: what mm.check made of chains and nested runs of the noisy-XOR posterior
        >>> row = checks.row("nested sampling", "whole")
        >>> -72 < row.log_z < -62, row.mode  # nats
        (True, 0)
        """
        wanted = (method, scope, mode)
        return next((r for r in self.rows if (r.method, r.scope, r.mode) == wanted), None)

    @property
    def agree(self) -> bool | None:
        """Whether no difference is beyond the limit; None if nothing could be compared."""
        return not self.beyond if self.agreements else None

    @property
    def beyond(self) -> tuple[Agreement, ...]:
        """The differences beyond the limit, the largest first; empty where all methods agree."""
        found = [one for one in self.agreements if not abs(one.z) <= self.limit]
        return tuple(sorted(found, key=lambda one: -abs(one.z)))

    @property
    def pooling(self) -> Agreement | None:
        """Bridge sampling of all draws at once beside the sum of its modes.

        None where either is not known, or where there are not several modes.
        """
        total, pooled = self.row(BRIDGE, SUM), self.row(POOLED, WHOLE)
        if total is None or pooled is None or not math.isfinite(total.log_z + pooled.log_z):
            return None
        if sum(row.method == BRIDGE and math.isfinite(row.log_z) for row in self.rows) <= 2:
            return None
        sd = math.hypot(total.log_z_sd, pooled.log_z_sd)
        return Agreement(BRIDGE, POOLED, (), pooled.log_z - total.log_z, sd)

    @classmethod
    def from_dict(cls, kept: Mapping[str, Any]) -> Checks:
        """Make checks from the result of `as_dict`, read from JSON.

        Parameters
        ----------
        kept : mapping
            The entry.

        Returns
        -------
        Checks
            The same figures; NaN where they are not known.

        Examples
        --------
        >>> # checks: what mm.check made of chains and nested runs of the noisy-XOR posterior
        >>> mm.Checks.from_dict(checks.as_dict()).agree == checks.agree
        True
        """

        def number(value: float | None) -> float:
            return math.nan if value is None else value

        rows = tuple(
            Check(
                row["method"],
                row["scope"],
                row["mode"],
                number(row["log_z"]),
                number(row["log_z_sd"]),
                row["remark"],
                number(row.get("pareto_k")),  # rows of 0.1.0 have none of these
                number(row.get("reshuffled_sd")),
                row.get("reliable", True),
            )
            for row in kept["rows"]
        )
        agreements = tuple(
            Agreement(
                one["first"],
                one["second"],
                tuple(one["modes"]),
                number(one["difference"]),
                number(one["sd"]),
            )
            for one in kept["agreements"]
        )
        drifts = tuple(Drift.from_dict(one) for one in kept.get("drifts", ()))
        return cls(rows, agreements, kept["limit"], kept["copies"], drifts)

    def as_dict(self) -> dict[str, Any]:
        """Return the entry in ``summary.json``; unknown figures are None.

        Returns
        -------
        dict
            Numbers, texts and lists, ready for JSON.

        Examples
        --------
        >>> # checks: what mm.check made of chains and nested runs of the noisy-XOR posterior
        >>> sorted(checks.as_dict())
        ['agree', 'agreements', 'copies', 'drifts', 'limit', 'rows']
        """

        def plain(value: Any) -> Any:
            return None if isinstance(value, float) and not math.isfinite(value) else value

        return {
            "agree": self.agree,
            "limit": self.limit,
            "copies": self.copies,
            "rows": [{k: plain(v) for k, v in asdict(row).items()} for row in self.rows],
            "agreements": [
                {**asdict(one), "modes": list(one.modes), "z": one.z} for one in self.agreements
            ],
            "drifts": [one.as_dict() for one in self.drifts],
        }
