"""The functions of a posterior as lines of text, with their modes beneath."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from manymodes.report.copies_words import copies_words
from manymodes.report.format import limit, share_interval
from manymodes.wording import things

if TYPE_CHECKING:
    from manymodes.modes.comparison import Comparison
    from manymodes.modes.functions import FunctionSummary, KindSummary
    from manymodes.statistics.estimate import Estimate

MOST_ROWS = 40
_HEAD = "          log_z       evidence       stacking      occupancy  chains"
_MOST_IDS = 4


def function_lines(comparison: Comparison, shown: Sequence[FunctionSummary]) -> list[str]:
    """Return a line for each function, and for each of its modes with all copies of it.

    Parameters
    ----------
    comparison : Comparison
        What was found.
    shown : sequence of FunctionSummary
        The functions to tell of.
    """
    lines = [f"  {'function':<10}{'modes':>7}    height{_HEAD}"]
    for function in shown[:MOST_ROWS]:
        lines.append(_line(f"{function.id:<10d}{function.copies:>7d}", function))
    if more := shown[MOST_ROWS:]:
        lines.append(f"  and {things(len(more), 'function')} more: summary.json has all of them")
    return lines + _copies(comparison, shown)


def kind_lines(comparison: Comparison, told: set[int]) -> list[str]:
    """Return a line for each mode, its copies with it; none where each function has one.

    Parameters
    ----------
    comparison : Comparison
        What was found.
    told : set of int
        The ids of the modes to tell of: a line tells of one of them at least.
    """
    kinds = [
        kind
        for function in comparison.functions
        for kind in function.kinds
        if told.intersection(kind.modes)
    ]
    if len(kinds) == len({kind.function for kind in kinds}):
        return []
    lines = [f"  {'function':<10}{'mode':>7}    height{_HEAD}"]
    for kind in kinds[:MOST_ROWS]:
        name = f"{kind.function:<10d}{kind.modes[0]:>7d}"
        lines.append(_line(name, kind) + _copied(kind))
    if more := kinds[MOST_ROWS:]:
        share = 100 * sum(k.evidence.value for k in more if math.isfinite(k.evidence.value))
        held = f", with {share:.0f} % of the evidence" if share >= 1 else ""
        lines.append(f"  and {things(len(more), 'mode')} more{held}: summary.json has all of them")
    return lines


def _copies(comparison: Comparison, shown: Sequence[FunctionSummary]) -> list[str]:
    lines = []
    for function in shown[:MOST_ROWS]:
        if function.copies > 1:
            words = copies_words(comparison, function)
            lines.append(f"  modes of function {function.id}: {words}")
    return lines


def _copied(kind: KindSummary) -> str:
    """Name the copies of a mode."""
    if kind.copies == 1:
        return ""
    others = [str(mode) for mode in kind.modes[1 : 1 + _MOST_IDS]]
    more = ", ..." if len(kind.modes) > 1 + _MOST_IDS else ""
    also = f": {', '.join(others)}{more}" if others else ""
    return f"  and {things(kind.copies - 1, 'copy', 'copies')}{also}"


def _line(name: str, row: FunctionSummary | KindSummary) -> str:
    return (
        f"  {name}  {_height(row.height)}  {_nats(row.log_z)}"
        + "".join(map(_share, (row.evidence, row.stacking, row.occupancy)))
        + f"  {row.chains:6d}"
    )


def _height(height: float) -> str:
    return f"{'-':>8}" if math.isnan(height) else f"{height:8.2f}"


def _nats(log_z: Estimate) -> str:
    """Return a log evidence, or what it does not exceed, in 14 columns."""
    if math.isfinite(log_z.at_most):
        return f"{f'< {log_z.at_most:.2f}':>14}"
    if math.isnan(log_z.value):
        return f"{'-':>14}"
    return f"{log_z.value:7.2f} ± {log_z.sd:4.2f}"


def _share(share: Estimate) -> str:
    """Return a weight in per cent, or what it does not exceed, in 15 columns."""
    if math.isfinite(share.at_most):
        return f"{f'< {limit(100 * share.at_most)}%':>15}"
    if math.isnan(share.value):
        return f"{'-':>15}"
    value, sd = 100 * share.value, 100 * share.sd
    if math.isnan(sd):
        return f"{f'{value:.1f}%':>15}"
    if round(sd, 1) > 0 and sd > min(value, 100 - value):  # no share is below 0 or above 100 %
        low, high = (_edge(end) for end in share_interval(share))
        return f" {f'{value:.1f} ({low} to {high})%':>14}"  # apart from its neighbour if long
    return f"  {value:5.1f} ± {sd:4.1f}%"


def _edge(per_cent: float) -> str:
    return f"{per_cent:.0f}" if per_cent in (0, 100) or 9.5 <= per_cent <= 99 else f"{per_cent:.1f}"
