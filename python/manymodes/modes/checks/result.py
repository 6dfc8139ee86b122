"""What checks of an evidence found, and what to say of it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from manymodes.modes.comparison import Estimate

NESTED = "nested sampling"
OTHER = "nested sampling over another base measure"
BRIDGE = "bridge sampling"
POOLED = "bridge sampling, all draws at once"
LAPLACE = "Laplace"
IMPORTANCE = "Laplace with importance sampling"
METHODS = (NESTED, OTHER, BRIDGE, POOLED, LAPLACE, IMPORTANCE)

MODE, SUM, COPIES, WHOLE = "mode", "sum of modes", "with unvisited copies", "whole"
SCOPES = (MODE, SUM, COPIES, WHOLE)

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

    @classmethod
    def from_dict(cls, kept: Mapping[str, Any]) -> Checks:
        """Make checks from what `as_dict` returned and JSON kept."""

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
        return cls(rows, agreements, kept["limit"], kept["copies"])

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
    if not one.modes:
        return "the whole"
    return modes_named(one.modes) if len(one.modes) == 1 else f"sum of {modes_named(one.modes)}"


def modes_named(ids: Sequence[int]) -> str:
    """Return some modes by their ids, or their number."""
    if len(ids) > 8:
        return f"{len(ids)} modes"
    return f"mode{'s' * (len(ids) > 1)} {_joined([str(i) for i in ids], sentence=False)}"


def _joined(parts: list[str], *, sentence: bool = True) -> str:
    text = " and ".join(filter(None, (", ".join(parts[:-1]), parts[-1])))
    return text[0].upper() + text[1:] if sentence else text
