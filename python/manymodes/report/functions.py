"""The functions as a reader meets them: their weights at a glance, and a card for each."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from manymodes.modes.comparison import Comparison
from manymodes.modes.functions import FunctionSummary
from manymodes.report.copies_words import copies_words
from manymodes.report.findings import called
from manymodes.report.format import nats, number, percent, sentence, things
from manymodes.report.mode_notes import unassigned_share, valley_note
from manymodes.report.names import DataNames
from manymodes.report.page import Card, Cards, FunctionRow, Picture, Share, Table, picture
from manymodes.report.plots import (
    MOST_FUNCTIONS,
    corner_names,
    plot_draws,
    plot_function,
)
from manymodes.report.theme import function_variable
from manymodes.statistics.estimate import Estimate

WEIGHTS = {"evidence": "Evidence", "stacking": "Stacking", "occupancy": "Occupancy"}
_MOST_MODES = 40


def known_weights(comparison: Comparison) -> tuple[str, ...]:
    """Return the weights that some function has."""
    functions = comparison.functions
    return tuple(w for w in WEIGHTS if any(_is_known(getattr(f, w)) for f in functions))


def _is_known(share: Estimate) -> bool:
    return math.isfinite(share.value) or math.isfinite(share.at_most)


def key_of(name: str, function: int, mode: int = 0) -> str:
    """Return what a function or a mode is called in the marks of figures."""
    return f"{name}/{function}/{mode}" if mode else f"{name}/{function}"


def function_row(name: str, function: FunctionSummary, weights: Sequence[str]) -> FunctionRow:
    """Return the weights of a function, in words and for bars."""
    return FunctionRow(
        key_of(name, function.id),
        f"Function {function.id}",
        function_variable(function.id),
        tuple(_share(getattr(function, weight)) for weight in weights),
    )


def _share(estimate: Estimate) -> Share:
    value, sd = 100 * estimate.value, 100 * estimate.sd
    sd = sd if math.isfinite(sd) else 0.0
    low, high = max(0.0, value - sd), min(100.0, value + sd)
    return Share(percent(estimate), min(100.0, value), low, high)


def modes_table(name: str, comparison: Comparison, function: FunctionSummary, title: str) -> Table:
    """Return the modes of a function, folded."""
    by_id = {mode.id: mode for mode in comparison.summaries}
    modes = [by_id[i] for i in function.modes[:_MOST_MODES]]
    weights = known_weights(comparison)
    columns = ["Mode", "Height", *(WEIGHTS[weight] for weight in weights)]
    if comparison.chains is not None:
        columns.append("Chains")
    rows = []
    for mode in modes:
        row: list[object] = [f"Mode {mode.id}", number(mode.height, 2)]
        row += [percent(getattr(mode, weight)) for weight in weights]
        row += [mode.chains] if comparison.chains is not None else []
        rows.append(tuple(row))
    rest = len(function.modes) - len(modes)
    return Table(
        title,
        tuple(columns),
        tuple(rows),
        f"{things(rest, 'lighter mode')} left out." if rest else "",
        folded=True,
        keys=tuple(key_of(name, function.id, mode.id) for mode in modes),
    )


def cards_of(name: str, found: Mapping[str, Comparison], names: DataNames | None) -> Cards:
    """Return a card for each function that a reader should know of, and the rest in a table."""
    comparison = found[name]
    shown = comparison.shown_functions
    cards = tuple(_card(name, found, one, names) for one in shown[:MOST_FUNCTIONS])
    notes = []
    if valley := valley_note(comparison):
        notes.append(valley)
    if missing := unassigned_share(comparison, comparison.summaries, by_function=True):
        notes.append(f"{sentence(missing)}.")
    heading = sentence(called(name, found)) if len(found) > 1 else ""
    return Cards(heading, cards, tuple(notes))


def other_functions(name: str, found: Mapping[str, Comparison]) -> Table | None:
    """Return the weights of the functions that have no card; None if there are none."""
    comparison = found[name]
    with_card = {one.id for one in comparison.shown_functions[:MOST_FUNCTIONS]}
    rest = [one for one in comparison.functions if one.id not in with_card]
    if not rest:
        return None
    weights = known_weights(comparison)
    rows = tuple(
        (
            f"Function {one.id}",
            *(percent(getattr(one, weight)) for weight in weights),
            one.copies,
            one.chains if comparison.chains is not None else None,
        )
        for one in rest[:_MOST_MODES]
    )
    more = len(rest) - len(rows)
    caption = "Functions without a prominent mode and without a chain."
    if len(comparison.shown_functions) > MOST_FUNCTIONS:
        caption = "Functions of less weight."
    caption += f" {sentence(things(more, 'lighter one'))} left out." if more else ""
    return Table(
        f"{sentence(called(name, found))}: {things(len(rest), 'more function')}",
        ("Function", *(WEIGHTS[weight] for weight in weights), "Modes", "Chains"),
        rows,
        caption,
        folded=True,
        keys=tuple(key_of(name, one.id) for one in rest[:_MOST_MODES]),
    )


def _card(
    name: str,
    found: Mapping[str, Comparison],
    function: FunctionSummary,
    names: DataNames | None,
) -> Card:
    comparison = found[name]
    facts = [(WEIGHTS[w], percent(getattr(function, w))) for w in known_weights(comparison)]
    if _is_known(function.log_z):
        facts.append(("log Z", nats(function.log_z)))
    if words := copies_words(comparison, function):
        facts.append(("Modes", words))
    if comparison.chains is not None:
        facts.append(("Chains", f"{function.chains} of {comparison.chains.n_chains}"))
    return Card(
        key_of(name, function.id),
        f"Function {function.id}",
        function_variable(function.id),
        tuple(facts),
        None
        if comparison.modes.are_functions
        else modes_table(name, comparison, function, f"Modes of function {function.id}"),
        _picture(name, found, function, names),
    )


def _picture(
    name: str,
    found: Mapping[str, Comparison],
    function: FunctionSummary,
    names: DataNames | None,
) -> Picture | None:
    comparison = found[name]
    where = f"function {function.id} of {called(name, found)}"
    if comparison.posterior.network is not None:
        figure = plot_function(comparison, function, names)
        return picture(figure, f"The data, and what {where} predicts", posterior=name)
    if corner_names(comparison):
        figure = plot_draws(comparison, function)
        return picture(figure, f"The draws of {where}", posterior=name)
    return None
