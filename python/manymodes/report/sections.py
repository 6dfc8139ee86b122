"""The sections of the page: each returns None if there is nothing to show."""

from __future__ import annotations

import math
from collections.abc import Mapping

from manymodes.modes.comparison import Comparison, ModeSummary
from manymodes.report.findings import (
    called,
    evidence_sentences,
    finding,
    prediction_sentence,
)
from manymodes.report.format import (
    NOTHING,
    count,
    duration,
    joined,
    nats,
    number,
    percent,
    sentence,
    things,
    with_error,
)
from manymodes.report.functions import cards_of, key_of, other_functions
from manymodes.report.mode_notes import drawn_from, unassigned_share
from manymodes.report.names import DataNames
from manymodes.report.page import Cards, Picture, Section, Table, picture
from manymodes.report.plots import (
    MOST_FUNCTIONS,
    FunctionScores,
    corner_names,
    plot_corner,
    plot_evidence,
    plot_predictions,
    plot_scores,
    plot_weights,
    why_no_predictions,
)
from manymodes.statistics.estimate import Estimate

Found = Mapping[str, Comparison]
Names = Mapping[str, DataNames]

_MOST_ROWS = 100  # of a table of modes


def modes_section(found: Found) -> Section | None:
    """Return the tables of all modes."""
    found = {name: one for name, one in found.items() if not one.modes.are_functions}
    if not found:
        return None
    tables = tuple(
        Table(
            sentence(called(name, found)),
            ("Mode", "Function", "Height", "log Z", "Evidence", "Stacking", "Occupancy", "Chains"),
            tuple(
                (
                    f"Mode {mode.id}",
                    mode.function,
                    number(mode.height, 2),
                    nats(mode.log_z),
                    percent(mode.evidence),
                    percent(mode.stacking),
                    percent(mode.occupancy),
                    mode.chains if comparison.chains is not None else None,
                )
                for mode in _listed(comparison)[:_MOST_ROWS]
            ),
            _left_out(comparison),
            keys=tuple(
                key_of(name, mode.function, mode.id) for mode in _listed(comparison)[:_MOST_ROWS]
            ),
        )
        for name, comparison in found.items()
    )
    return Section(
        "modes",
        "All of them",
        reading=(
            "A mode is a peak of the posterior relative to the prior, and a draw belongs to the "
            "mode that it climbs to. Height is the log likelihood at the peak, log Z the log "
            "evidence of the peak’s surroundings, both in nats. Modes with one function number "
            "make the same predictions within their spread: a network computes one function in "
            "many ways. Modes are numbered within each posterior, so mode 1 of one need not be "
            "mode 1 of another. “Chains” counts the chains with most of their draws in the mode."
        ),
        parts=tables,
    )


def _listed(comparison: Comparison) -> tuple[ModeSummary, ...]:
    """Return the prominent modes, then those without an evidence."""
    prominent = comparison.prominent
    return (*prominent, *(mode for mode in comparison.unweighed if mode not in prominent))


def _left_out(comparison: Comparison) -> str:
    rest = len(comparison.summaries) - len(_listed(comparison))
    text = "The prominent modes" if comparison.prominent else "No mode is prominent"
    if comparison.limited:
        text += "; those with an upper limit (95 %) were carried by one or two live points"
    if comparison.unreached:
        text += "; those without an evidence were not reached by any run that integrates"
    if rest:
        text += f"; {things(rest, 'smaller one')} {'is' if rest == 1 else 'are'} left out"
    if len(_listed(comparison)) > _MOST_ROWS:
        text += f"; only {_MOST_ROWS} are shown, summary.json has all of them"
    missing = unassigned_share(comparison, _listed(comparison))
    if missing:
        text += f". {sentence(missing)}"
    return f"{text}. Errors are one standard error."


def functions_section(found: Found, names: Names) -> Section:
    """Return a card for each function, and the rest in tables."""
    parts: list[Picture | Table | Cards] = []
    for name in found:
        parts.append(cards_of(name, found, names.get(name)))
        if (others := other_functions(name, found)) is not None:
            parts.append(others)
    return Section(
        "functions",
        "",
        reading=(
            "A network computes one function in many ways: hidden units can be exchanged, and "
            "flipped if they are odd. So functions are what the data can tell apart, and modes "
            "are not. The evidence weight is the function’s share of the posterior: the "
            "probability that the data and the prior give it. Occupancy is the share of the "
            "chains’ draws that lie in it: it says how often starting points fall into the "
            "basins of its modes. It is not a probability, and more chains do not bring it nearer "
            "to one, unless the chains started from draws of an engine: then it estimates the "
            "evidence weight. Stacking chooses weights that predict left-out data best, so it is "
            "not a probability either; it may split the weight arbitrarily among copies of one "
            "function. Functions are numbered within each posterior, so function 1 of one need "
            "not be function 1 of another."
        ),
        parts=tuple(parts),
    )


def words_section(found: Found, scores: Mapping[str, FunctionScores]) -> Section:
    """Return what was found in sentences."""
    said: list[str] = []
    for name in found:
        told = finding(name, found, scores.get(name))
        said.append(" ".join((*told.opening, *told.points)))
        said.append(" ".join(told.closing))
    return Section("words", "", more=tuple(filter(None, said)), folded="The same in words")


def weights_section(found: Found) -> Section | None:
    """Return the three weights of each mode, side by side."""
    parts = tuple(
        picture(
            plot_weights(comparison, by="mode"),
            f"Bar chart of the weights of the prominent modes of {called(name, found)}; "
            "the values are in the table of the modes.",
            f"{sentence(called(name, found))}: weights of the prominent modes, with one standard "
            "error, in the shades of their functions.",
            name,
        )
        for name, comparison in found.items()
        if len(comparison.prominent) > 1
    )
    if not parts:
        return None
    return Section(
        "weights",
        "Three weights for every mode",
        reading=(
            "Copies of one function have the same evidence each where the prior is symmetric "
            "under the exchange; occupancy and stacking weight divide the function’s share among "
            "them by chance. If the three agree otherwise, they agree by luck or because there "
            "is only one function."
        ),
        parts=parts,
    )


_COUNT_CAPTION = (
    " Data are counts, divided by their exposures.",
    " Data are the shares of successes among the trials.",
)
"""Of rates, and of a probability of success."""


def predictions_section(found: Found, names: Names) -> Section | None:
    """Return the data and the mean predictions."""
    parts: list[Picture | Table] = []
    left_out: list[str] = []
    for name, comparison in found.items():
        network = comparison.posterior.network
        if network is None:
            continue
        if why := why_no_predictions(network):
            if network.inputs <= 2:
                left_out.append(f"{sentence(called(name, found))} is not drawn: it has {why}.")
            continue
        hidden = len(comparison.shown_functions) - MOST_FUNCTIONS
        caption = f"{sentence(called(name, found))}: the data and the mean predictions."
        if network.likelihood_parts.is_count:
            caption += _COUNT_CAPTION[network.likelihood_parts.kind == "binomial"]
        if hidden > 0:
            caption += (
                f" The {count(MOST_FUNCTIONS)} functions with the most weight are shown; "
                f"{things(hidden, 'more')} {'is' if hidden == 1 else 'are'} left out."
            )
        shown = min(len(comparison.shown_functions), MOST_FUNCTIONS)
        alt = (
            f"Mean prediction of {called(name, found)} over the inputs, with the data: the whole "
            f"and {things(shown, 'function')}."
        )
        figure = plot_predictions(comparison, names=names.get(name))
        parts.append(picture(figure, alt, caption, name))
    if not parts and not left_out:
        return None
    return Section(
        "predictions",
        "What they predict",
        paragraphs=tuple(left_out),
        reading=(
            "The network’s output is averaged over posterior draws: over all of them (whole; "
            "weighted by evidence or, without it, by stacking) or over those of one function. "
            "With two inputs and two classes colour is the probability of class 1 and the line "
            "is where it is one half. A mean hides its uncertainty: far from the data a pale "
            "colour says that the draws disagree, or that each of them is unsure."
        ),
        parts=tuple(parts),
    )


def corner_section(found: Found) -> Section | None:
    """Return the corner plots of the input weights."""
    shown = {name: names for name, one in found.items() if (names := corner_names(one))}
    if not shown:
        return None
    network = all(c.posterior.network is not None for c in found.values())
    what = "input weights" if network else "parameters"
    parts = tuple(
        picture(
            plot_corner({name: found[name]}),
            f"Corner plot of the {what} {joined(names)} of {called(name, found)}.",
            f"{sentence(called(name, found))}: the {what} {joined(names)}, histograms and draws "
            f"of each pair, {drawn_from(found[name])}. Colours are the functions, their shades "
            "the modes.",
            name,
        )
        for name, names in shown.items()
    )
    reading = (
        f"Every dot is a draw, equally weighted; the diagonal shows each of the {what} alone. "
        "Separate clouds are separate modes, as far as these two coordinates show them apart."
    )
    if network:
        reading += (
            " W[j,i] is the weight from input i to hidden unit j. If a pattern repeats under an "
            "exchange of units or a change of sign, it shows the symmetry of the network and "
            "carries no information."
        )
    return Section("corner", sentence(f"the {what}"), reading=reading, parts=parts)


def scores_section(found: Found, scores: Mapping[str, FunctionScores]) -> Section | None:
    """Return how well the whole and each function predict."""
    if not scores:
        return None
    sentences = []
    for name, score in scores.items():
        text = prediction_sentence(score, found[name])
        if text:
            sentences.append(f"{sentence(called(name, found))}: {text[0].lower()}{text[1:]}")
    weighting = (
        "weighted by evidence"
        if all(found[name].integrals for name in scores)
        else "weighted by evidence if the posterior was integrated, otherwise by stacking"
    )
    violins = picture(
        plot_scores(scores),
        "Violins of the mean log likelihood per datum, for the whole and for each function; the "
        "scores are in the tables below.",
        "Violins: the draws’ mean log likelihood per datum, training data on the left and, if "
        "there are any, test sets on the right. Diamonds: log predictive density.",
    )
    tables = tuple(_score_table(name, found, score) for name, score in scores.items())
    return Section(
        "scores",
        "How well they predict",
        tuple(sentences),
        reading=(
            "Each draw of the weights gives every datum a log likelihood; its mean over the data "
            f"is one point of a violin. The whole holds the draws of all functions, {weighting}. "
            "The log predictive density first averages the likelihood over the draws, and then "
            "takes the log: it scores the average prediction, which one would use, and is "
            "never below the mean of the violin. Scores on training data are too good: a "
            "function with a high score has fitted them, which need not help with new data."
        ),
        parts=(violins, *tables),
    )


def _score_table(name: str, found: Found, scores: FunctionScores) -> Table:
    test = scores.n_test_sets > 0
    columns = ("Draws of", "Train", *(("Test", "Whole minus function, test") if test else ()))
    rows = []
    for group, function in enumerate(scores.functions):
        row = [
            "whole" if function is None else f"function {function}",
            number(scores.train_density[group], 4),
        ]
        if test:
            row.append(with_error(*scores.mean_test(group), most=4))
            row.append("" if function is None else with_error(*scores.gain(group), most=5))
        rows.append(tuple(row))
    caption = "Mean log predictive density per datum, in nats; larger is better."
    if scores.n_test_sets > 1:
        caption += (
            f" Mean and standard error over {scores.n_test_sets} test sets; differences are "
            "taken set by set."
        )
    stacking, chains = found[name].stacking, found[name].chains
    if stacking is not None and chains is not None:
        n, total = len(chains.scored_lpd), chains.lpd.shape[1]
        score = number(stacking.score / n, 4)
        caption += f" The stacked chains score {score} on left-out training data (PSIS-LOO)"
        caption += "." if n == total else f", over the {n} of {total} data that have a score."
    caption += f" {scores.left_out}" if scores.left_out else ""
    return Table(sentence(called(name, found)), columns, tuple(rows), caption)


def evidence_section(found: Found) -> Section | None:
    """Return the log evidences and what checks them."""
    if not any(comparison.integrals for comparison in found.values()):
        return None
    figure = picture(
        plot_evidence(found),
        "Log evidence of each posterior and of its functions, with errors; the values are in the "
        "tables and cards.",
        "Log evidence of the whole by each engine (diamonds), of each run on its own (open circles "
        "of nested runs, squares of tempered ones) and of each function, with one standard error.",
    )
    return Section(
        "evidence",
        "Log evidences",
        tuple(evidence_sentences(found)),
        reading=(
            "The evidence Z is the likelihood averaged over the prior: it says how well the model "
            "predicted the data before seeing them. It is the sum of the modes’ evidences, so log "
            "Z of the whole lies above that of each function. Tempering leads states from the base "
            "measure to the posterior and back; each round trip may find a mode, and the figure "
            "lies between those of both directions. Nested sampling shrinks the prior volume with "
            "live points, and its error arises because they do so unevenly. Independent runs check "
            "both, because a single run cannot notice that it misses a mode, and the engines check "
            "one another, because they fail in different ways. The insertion-index test asks "
            "whether new live points fall evenly among the old ones: a small p means that they do "
            "not. A large p does not prove that every mode was found."
        ),
        parts=(figure, *_tempered_tables(found), *_nested_tables(found)),
    )


def _tempered_tables(found: Found) -> tuple[Table, ...]:
    """Return what each tempered run found; nothing without any."""
    rows: list[tuple[object, ...]] = []
    for name, comparison in found.items():
        if (tempered := comparison.tempered) is None:
            continue
        for i, run in enumerate(tempered.runs):
            rows.append(
                (
                    f"{name}, run {i + 1}",
                    nats(Estimate(tempered.log_z_by_run[i], tempered.log_z_own_sd[i])),
                    number(run.stone.forward - tempered.unit_vector_surplus, 2),
                    number(run.stone.backward - tempered.unit_vector_surplus, 2),
                    number(run.last.barrier, 1),
                    run.last.temperatures,
                    run.last.round_trips,
                    number(run.last.gradients, 0),
                )
            )
        rows.append(
            (
                f"{name}, all runs",
                nats(Estimate(tempered.log_z, tempered.log_z_sd)),
                number(tempered.forward, 2),
                number(tempered.backward, 2),
                number(tempered.barrier, 1),
                tempered.temperatures,
                tempered.round_trips,
                number(tempered.gradients, 0),
            )
        )
    if not rows:
        return ()
    bases = " ".join(
        f"{sentence(called(name, found))}: the base measure is {c.tempered.base.reason}."
        for name, c in found.items()
        if c.tempered is not None and c.tempered.base.reason
    )
    columns = ("Run", "log Z", "Upwards", "Downwards", "Barrier", "Temperatures")
    return (
        Table(
            "Tempered runs",
            (*columns, "Round trips", "Gradients"),
            tuple(rows),
            f"{bases} Nats; errors are one standard error.".strip(),
        ),
    )


def _nested_tables(found: Found) -> tuple[Table, ...]:
    """Return what nested runs found; nothing without any."""
    if all(comparison.nested is None for comparison in found.values()):
        return ()
    return (_runs_table(found), *_recovery_tables(found))


def _runs_table(found: Found) -> Table:
    """Return the evidence of each run and of all runs, with the draws and tests behind it."""
    rows: list[tuple[object, ...]] = []
    for name, comparison in found.items():
        if (nested := comparison.nested) is None:
            continue
        several = len(nested.runs) > 1
        for i, run in enumerate(nested.runs if several else ()):
            rows.append(
                (
                    f"{name}, run {i + 1}",
                    number(nested.log_z_by_run[i], 2),
                    None,
                    None,
                    number(nested.insertion_p_by_run[i], 2),
                    number(run.evaluations, 0),
                )
            )
        known = math.isfinite(nested.d_kl[0])
        rows.append(
            (
                f"{name}, {'merged' if several else 'one run'}",
                nats(Estimate(nested.log_z, nested.log_z_sd)),
                nats(Estimate(*nested.d_kl)) if known else None,
                number(nested.effective_samples, 0),
                number(nested.insertion_p, 2),
                number(nested.evaluations, 0),
            )
        )
    bases = " ".join(
        f"{sentence(called(name, found))}: the base measure is {c.nested.base.reason}."
        for name, c in found.items()
        if c.nested is not None and c.nested.base.reason
    )
    return Table(
        "Nested sampling runs",
        ("Run", "log Z", "D_KL from the prior", "Effective draws", "Insertion p", "Evaluations"),
        tuple(rows),
        f"{bases} Nats; errors are one standard error.".strip(),
    )


def _recovery_tables(found: Found) -> tuple[Table, ...]:
    """Return which runs found which modes, if some run missed one."""
    tables = []
    for name, comparison in found.items():
        if comparison.nested is None:
            continue
        n_runs = len(comparison.nested.runs)
        missed = [mode for mode in comparison.prominent if 0 < len(mode.runs) < n_runs]
        if missed:
            tables.append(
                Table(
                    f"Modes that some runs missed: {called(name, found)}",
                    ("Mode", "Found by", "Recovery rate"),
                    tuple(
                        (
                            mode.id,
                            f"run{'s' if len(mode.runs) > 1 else ''} "
                            f"{joined([str(run) for run in mode.runs])}",
                            percent(Estimate(len(mode.runs) / n_runs)),
                        )
                        for mode in missed
                    ),
                    "If a run missed a mode, the runs that found it give its weight, relative to "
                    "the volume that all runs explored; a large error says that few points "
                    "found it.",
                )
            )
    return tuple(tables)


def effort_table(found: Found) -> Table:
    """Return what was run and how long it took."""
    rows = []
    for name, comparison in found.items():
        if (chains := comparison.chains) is not None:
            rows.append(
                (
                    name,
                    "Chains",
                    f"{chains.n_chains} chains of {chains.n_draws} draws"
                    f"{f' ({cut} cut short)' if (cut := int(chains.cut.sum())) else ''}, "
                    f"{NOTHING if (n := chains.divergences) is None else n} divergences"
                    f"{', made elsewhere' if chains.adopted else ''}",
                    f"{duration(float(chains.seconds.sum()))} of computing",
                )
            )
        if (tempered := comparison.tempered) is not None:
            rounds = max(run.last.number for run in tempered.runs)
            rows.append(
                (
                    name,
                    "Tempering",
                    f"{things(len(tempered.runs), 'run')} of {rounds} rounds, "
                    f"{number(tempered.gradients, 0)} gradients",
                    f"{duration(tempered.seconds)} of computing",
                )
            )
        if (nested := comparison.nested) is not None:
            rows.append(
                (
                    name,
                    "PolyChord",
                    f"{things(len(nested.runs), 'run')} of {nested.nlive} live points, "
                    f"{number(nested.evaluations, 0)} evaluations",
                    f"{duration(nested.seconds)} for the longest run",
                )
            )
    return Table("Effort", ("Posterior", "Engine", "What", "Time"), tuple(rows))
