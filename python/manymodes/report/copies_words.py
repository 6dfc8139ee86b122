"""How many modes compute a function, and why, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from manymodes.networks.symmetry import group_order, order_in_words
from manymodes.wording import count, things

if TYPE_CHECKING:
    from manymodes.modes.comparison import Comparison
    from manymodes.modes.functions import FunctionSummary


def copies_words(comparison: Comparison, function: FunctionSummary) -> str:
    """Say how many modes compute a function and why.

    Such as ``8 copies = 2!·2²``, or ``16: 8 copies = 2!·2² of each of two modes``, and how many of
    them hold no draw; empty where no mode was looked for.
    """
    if comparison.modes.are_functions:
        return ""
    empty = function.copies - len(function.modes)
    text = _copies(comparison, function)
    if empty > 0:
        text += f"; {count(empty)} of them {'holds' if empty == 1 else 'hold'} no draw"
    return text


def _copies(comparison: Comparison, function: FunctionSummary) -> str:
    each = sorted({kind.copies for kind in function.kinds}, reverse=True)
    kinds = len(function.kinds)
    if each[0] == 1:
        return things(kinds, "mode") if kinds == 1 else f"{kinds} modes, no copies of one another"
    network = comparison.posterior.network
    copies = f"{' or '.join(map(str, each))} copies"
    if network is not None and each == [group_order(network)]:
        copies += f" = {order_in_words(network)}"
    return copies if kinds == 1 else f"{function.copies}: {copies} of each of {count(kinds)} modes"
