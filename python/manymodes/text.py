"""What the command line says in words: results as lines of text."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from manymodes.compare import Comparison


def comparison_table(name: str, comparison: Comparison) -> str:
    """Return the comparison as text: one line a mode, its three weights side by side."""
    nested = comparison.nested
    prominent = comparison.prominent
    lines = [
        f"{name}: {counted(len(prominent), 'prominent mode')}, "
        f"{counted(comparison.prominent_functions, 'function')}"
    ]
    if nested is not None:
        lines[0] += f", log_z = {nested.log_z:.2f} ± {nested.log_z_sd:.2f} nats"
    if nested is not None and nested.log_prior_inside[0] < 0:
        lines.append(
            f"  (relative to the prior where the density is above zero: log_z = "
            f"{nested.log_z_restricted:.2f} nats; that share of the prior is "
            f"{100 * math.exp(nested.log_prior_inside[0]):.2f} %)"
        )
    lines.append(
        "  mode  function    height          log_z       evidence       stacking"
        "      occupancy  chains"
    )
    shown = [mode for mode in comparison.summaries if mode in prominent or mode.chains]
    for mode in shown:
        lines.append(
            f"  {mode.id:4d}  {mode.function:8d}  {mode.height:8.2f}  "
            f"{mode.log_z.value:7.2f} ± {mode.log_z.sd:4.2f}  "
            + "  ".join(
                f"{100 * e.value:5.1f} ± {100 * e.sd:4.1f}%"
                for e in (mode.evidence, mode.stacking, mode.occupancy)
            )
            + f"  {mode.chains:6d}"
        )
    left_out = len(comparison.summaries) - len(shown)
    if left_out:
        lines.append(f"  and {left_out} modes that are neither prominent nor hold a chain")
    return (
        "\n".join(lines).replace("nan ±  nan%", "           -").replace("nan ±  nan", "         -")
    )


def counted(number: int, noun: str) -> str:
    """Return a number and its noun, in the plural unless the number is 1."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
