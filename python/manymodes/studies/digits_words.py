"""The digits study in words: tables and sentences from what its ``summary.json`` holds."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

from manymodes.networks.network import Network
from manymodes.report import Table

CHOICES = (
    "Activation and prior were chosen by short runs in which a quarter of the training part was "
    "scored; the held-out images had no part in it. Modes are not looked for: with so many weights "
    "nearly every climb ends at a maximum of its own."
)
_COLUMNS = ("", "accuracy", "log predictive density", "more than logistic regression")


def held_out_table(summary: Mapping[str, Any]) -> Table:
    """Return the scores on the held-out images as a table."""
    entry = summary["posteriors"]["digits"]["held_out"]

    def row(key: str, label: str) -> tuple[str, ...]:
        one = entry[key]
        cells = [
            f"{100 * one['accuracy']:.1f} ± {100 * one['accuracy_se']:.1f} %",
            f"{one['log_density']:.3f} ± {one['log_density_se']:.3f}",
            f"{one['difference']:+.3f} ± {one['difference_se']:.3f}",
        ]
        if key == "logistic_regression":
            cells[-1] = "–"
        return (label, *cells)

    single = entry["single_chains"]
    accuracy, density = single["accuracy"], single["log_density"]
    rows = (
        row("pooled", "all draws pooled"),
        row("stacked", "chains stacked"),
        row("best_chain", "one chain, the best by LOO"),
        (
            "single chains",
            f"{100 * min(accuracy):.1f} to {100 * max(accuracy):.1f} %",
            f"{min(density):.3f} to {max(density):.3f}",
            "",
        ),
        row("logistic_regression", "logistic regression, tuned"),
    )
    caption = (
        f"{entry['rows']} images held out; nats an image, mean ± standard error over images, of "
        "differences paired. Its inverse penalty "
        f"{entry['inverse_penalty']:.3g} was chosen by cross-validation on the training part."
    )
    return Table("Held-out images", _COLUMNS, rows, caption)


def digits_text(summary: Mapping[str, Any]) -> str:
    """Return the study's figures as text."""
    entry = summary["posteriors"]["digits"]
    table = held_out_table(summary)
    said = [*table.lines(), *textwrap.wrap(table.caption, 88), ""]
    functions = functions_table(entry)
    said += [*functions.lines(), *textwrap.wrap(functions.caption, 88), ""]
    return "\n".join([*said, *textwrap.wrap(" ".join(sentences(entry)), 88)])


def sentences(entry: Mapping[str, Any]) -> list[str]:
    """Return what the chains did, in sentences."""
    chains = entry["chains"]
    stacking = chains["stacking"]
    return [
        f"{chains['n']} chains of {chains['draws']} draws of {entry['dims']} parameters took "
        f"{chains['sampling_seconds'] / chains['n']:.0f} s each in the sampler, with "
        f"{chains['steps']:.0f} leapfrog steps a draw, {chains['divergences']} divergences and "
        f"{100 * chains['at_max_treedepth']:.0f} % of the draws at the largest tree depth.",
        f"R-hat reaches {chains['rhat_weights']:.2f} in weight space (median "
        f"{chains['rhat_weights_median']:.2f}) and {chains['rhat_function']:.2f} on the held-out "
        f"predictions (median {chains['rhat_function_median']:.2f}).",
        f"Stacking uses {stacking['effective_chains']:.1f} chains in effect; "
        f"{100 * stacking['pareto_k_above_0.7']:.0f} % of its leave-one-out scores have Pareto "
        "k-hat above 0.7 and are rough.",
    ]


def tiles(entry: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the figures that the report shows first."""
    held_out, chains = entry["held_out"], entry["chains"]
    return [
        (f"{chains['n']}", "chains"),
        (f"{entry['dims']}", "parameters"),
        (f"{100 * held_out['pooled']['accuracy']:.1f} %", "held-out accuracy, all draws"),
        (f"{held_out['pooled']['log_density']:.3f}", "nats an image, all draws"),
        (f"{held_out['stacked']['log_density']:.3f}", "nats an image, stacked"),
    ]


def chains_table(entry: Mapping[str, Any]) -> Table:
    """Return the weight and the scores of each chain."""
    single = entry["held_out"]["single_chains"]
    weights = entry["chains"]["stacking"]["weights"]
    rows = tuple(
        (f"{c + 1}", f"{100 * weight:.1f} %", f"{100 * accuracy:.1f} %", f"{density:.3f}")
        for c, (weight, accuracy, density) in enumerate(
            zip(weights, single["accuracy"], single["log_density"], strict=True)
        )
    )
    columns = ("Chain", "Stacking weight", "accuracy", "log predictive density")
    return Table("Single chains", columns, rows, "Each chain alone on the held-out images.")


def functions_table(entry: Mapping[str, Any]) -> Table:
    """Return the functions that the chains sample, found in function space."""
    rows = tuple(
        (
            f"{one['id']}",
            f"{one['chains']}",
            f"{100 * one['weight']['stacking']:.1f} ± {100 * one['weight']['stacking_sd']:.1f} %",
            f"{100 * one['weight']['occupancy']:.1f} %",
            f"{100 * one['accuracy']:.1f} %",
            f"{one['log_density']:.3f}",
        )
        for one in entry["functions"]
    )
    columns = ("Function", "Chains", "Stacking", "Occupancy", "accuracy", "log predictive density")
    caption = (
        "Chains sample one function if their mean predictions agree within their posterior spread "
        "and their leave-one-out scores within Monte Carlo error; such chains share a weight. The "
        "last two columns are of the held-out images."
    )
    return Table("Functions", columns, rows, caption)


def introduction(network: Network, n_obs: int, held_out: int, data_seed: int) -> str:
    """Return what was done, for the report."""
    return (
        f"A network with {network.hidden[0]} {network.activation} units learns to read handwritten "
        f"digits: {n_obs} images of 8 × 8 pixels to learn from, {held_out} held out, split "
        f"by class with seed {data_seed}. Pixels are standardised on the training part; "
        f"{64 - network.inputs} with one value in it are left out. Each weight has the prior "
        f"{network.prior}."
    )
