"""The first view: what data, which network, what was found, how sure it is, and what comes next."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

from manymodes.modes.comparison import Comparison
from manymodes.modes.diagnosis import Diagnosis
from manymodes.modes.functions import FunctionSummary
from manymodes.report.findings import called, worst
from manymodes.report.format import joined, nats, number, percent, sentence, things
from manymodes.report.functions import WEIGHTS, function_row, known_weights
from manymodes.report.headline_words import disagreement, disagreement_advice
from manymodes.report.mode_notes import drawn_from, why_none
from manymodes.report.names import DataNames, network_line
from manymodes.report.page import Answer, Opening, Picture, picture
from manymodes.report.plots import corner_names, plot_data, plot_draws
from manymodes.report.recommendation_words import recommendation_text
from manymodes.sampling.nested.meaning import what_log_z_is
from manymodes.statistics.estimate import Estimate

_MOST_ROWS = 4
_CERTAIN = 2.0
_GOOD = 1.01
_PART = 0.005


def opening(
    found: Mapping[str, Comparison],
    names: Mapping[str, DataNames],
    diagnoses: Mapping[str, Diagnosis],
    run: str = "RUN",
) -> Opening:
    """Return the first view of a page of a run in a folder of some name."""
    return Opening(
        _facts(found, names),
        tuple(_answer(name, found, diagnoses.get(name)) for name in found),
        _next_step(found, names, diagnoses, run),
        _picture(found, names),
    )


def _facts(
    found: Mapping[str, Comparison], names: Mapping[str, DataNames]
) -> tuple[tuple[str, str], ...]:
    """Return what the data are, and the network and its prior, or the program."""
    name, first = next(iter(found.items()))
    network, rows = first.posterior.network, f"{number(first.posterior.n_obs, 0)} rows"
    known = names.get(name)
    if network is None:
        what = f"{number(first.posterior.n_obs, 0)} observations" if first.posterior.n_obs else ""
        program = f"{first.posterior.name}, {things(first.posterior.dims, 'parameter')}"
        facts = [("Program", program)]
        return tuple([("Data", what), *facts] if what else facts)
    if known is None:
        data = f"{rows}, {things(network.inputs, 'input')}"
    else:
        source = f"{known.source}: " if known.source else ""
        data = f"{source}{rows}; {known.target} from {known.inputs_in_words}"
    lines = dict.fromkeys(
        network_line(one.posterior.network)
        for one in found.values()
        if one.posterior.network is not None
    )
    line = next(iter(lines))
    if len(lines) > 1:
        line = f"{network_line(replace(network, constraint='none'))} {_constraints(found)}"
    return (("Data", data), ("Network", line))


def _constraints(found: Mapping[str, Comparison]) -> str:
    """Say which posteriors have a constraint."""
    said = [
        f"{called(name, found)} has the constraint {one.posterior.network.constraint}"
        for name, one in found.items()
        if one.posterior.network is not None and one.posterior.network.constraint != "none"
    ]
    return f"{sentence(joined(said))}." if said else ""


# ---------------------------------------------------------------------------- what was found


def _answer(name: str, found: Mapping[str, Comparison], diagnosis: Diagnosis | None) -> Answer:
    comparison = found[name]
    weights = known_weights(comparison)
    first = _first_functions(comparison)
    return Answer(
        sentence(called(name, found)) if len(found) > 1 else "",
        headline(comparison),
        tuple(WEIGHTS[weight] for weight in weights),
        tuple(function_row(name, one, weights) for one in first),
        _rest(comparison, first),
        (*_evidence(comparison), *_agreement(comparison, diagnosis)),
    )


def _first_functions(comparison: Comparison) -> list[FunctionSummary]:
    """Return the functions with a prominent mode, the heaviest; or those with a chain."""
    told = {mode.function for mode in comparison.prominent}
    functions = [one for one in comparison.functions if one.id in told]
    return (functions or list(comparison.shown_functions))[:_MOST_ROWS]


def _rest(comparison: Comparison, first: list[FunctionSummary]) -> str:
    """Say what the functions hold that have no row."""
    ids = {one.id for one in first}
    rest = [one for one in comparison.functions if one.id not in ids]
    held = sum(one.chains for one in rest)
    if not rest:
        return ""
    parts = []
    evidence = sum(one.evidence.value for one in rest if math.isfinite(one.evidence.value))
    if comparison.ranked_by == "evidence":
        share = percent(Estimate(evidence)) if evidence >= _PART else "less than 0.5\u00a0%"
        parts.append(f"{share} of the evidence")
    if held and comparison.chains is not None:
        parts.append(f"{held} of {comparison.chains.n_chains} chains")
    elif comparison.ranked_by == "occupancy":
        drawn = sum(one.occupancy.value for one in rest)
        parts.append(f"{percent(Estimate(drawn))} of the draws")
    return f"{sentence(things(len(rest), 'other function'))}: {', '.join(parts)}." if parts else ""


def headline(comparison: Comparison) -> str:
    """Return the message on one posterior: what exceeds its error, or that nothing does."""
    functions = _first_functions(comparison)
    modes = comparison.prominent
    if not functions or not modes:
        why = why_none(comparison)
        return f"No mode is prominent{f': {why}' if why else ''}."
    how_many = _how_many(comparison, len(functions))
    known = [one for one in functions if math.isfinite(one.evidence.value)]
    if comparison.ranked_by != "evidence" or not known:
        if comparison.headline.agree is False:
            return f"The engines disagree on the evidence, so no function has a weight. {how_many}"
        if comparison.integrals:
            return f"{how_many} None of them has a known evidence."
        to_weigh = " to weigh them by" if len(comparison.prominent) > 1 else ""
        return f"{how_many} No evidence was computed{to_weigh}."
    top, *others = sorted(known, key=lambda one: -one.evidence.value)
    share = percent(top.evidence)
    if not others:
        return f"Function {top.id} has {share} of the evidence. {how_many}"
    gap = top.evidence.value - others[0].evidence.value
    error = sum(e for one in (top, others[0]) if math.isfinite(e := one.evidence.sd))
    if gap > _CERTAIN * error:
        return f"Function {top.id} has {share} of the evidence. {how_many}"
    return f"The evidence does not tell which function is the heaviest. {how_many}"


def _how_many(comparison: Comparison, functions: int) -> str:
    n, m = len(comparison.prominent), comparison.prominent_functions
    if comparison.modes.are_functions:
        return f"{sentence(things(n, 'function'))} found, in function space, without modes."
    if n == 1:
        return "There is one prominent mode."
    if m == 1:
        return f"{sentence(things(n, 'prominent mode'))} compute one function."
    if m == n:
        both = "both" if n == 2 else "all"
        return f"{sentence(things(n, 'prominent mode'))} are {both} different functions."
    return f"{sentence(things(n, 'prominent mode'))} compute {things(m, 'different function')}."


# ---------------------------------------------------------------------------- how sure it is


def _evidence(comparison: Comparison) -> tuple[str, ...]:
    integral, head = comparison.integral, comparison.headline
    if integral is None:
        return ()
    if head.agree is False:
        return (f"{sentence(disagreement(comparison)).replace(' -', ' −')}.",)
    if not integral.is_evidence:
        return (f"The weights are of an integral that is no evidence: {what_log_z_is(integral)}.",)
    if not math.isfinite(head.log_z.value):
        return ("The density has no finite integral, and so no evidence.",)
    value = f"log Z = {nats(head.log_z)} nats"
    if head.agree:
        return (f"Tempering and nested sampling agree: {value}.",)
    (name,) = comparison.integrals
    engine = "Tempering" if name == "tempered" else "Nested sampling"
    return (f"{engine} alone says {value}; no other engine has checked it.",)


def _agreement(comparison: Comparison, diagnosis: Diagnosis | None) -> tuple[str, ...]:
    chains = comparison.chains
    if chains is None or chains.n_chains < 2 or not comparison.rhat_weights.size:
        return ()
    weights = worst(comparison.rhat_weights)
    if not math.isfinite(weights):
        return ()
    w, agree = number(weights, 2), _agree(diagnosis, "weights", weights)
    if not comparison.rhat_function.size:
        verb = "agree" if agree else "do not agree"
        return (f"The chains {verb}: R-hat reaches {w}.",)
    function = worst(comparison.rhat_function)
    f = number(function, 2)
    if _agree(diagnosis, "function", function):
        if agree:
            return (f"The chains agree: R-hat reaches {w} for weights, {f} for predictions.",)
        return (
            f"The chains agree on predictions (R-hat {f}), not on weights ({w}): they are in "
            "different copies.",
        )
    above, of = _above(diagnosis, function)
    if above:
        return (
            f"The chains agree on most predictions: R-hat reaches {f}, and {above} of {of} are "
            f"above what chains of this length that agree reach (for weights {w}).",
        )
    return (f"The chains do not agree on predictions: R-hat reaches {f} (for weights {w}).",)


def _above(diagnosis: Diagnosis | None, largest: float) -> tuple[int, int]:
    """Return how many predictions have an R-hat above their own limit, and of how many.

    None where the largest R-hat is above every limit: then chains disagree, and no count is needed.
    """
    space = None if diagnosis is None else diagnosis.space("function")
    if space is None or not largest <= space.limits.max(initial=0.0):
        return 0, 0
    return int((space.rhat > space.limits).sum()), len(space.rhat)


def _agree(diagnosis: Diagnosis | None, space: str, largest: float) -> bool:
    """Return whether chains agree in a space, as far as chains of this length can."""
    spaces = () if diagnosis is None else diagnosis.spaces
    return next((one.agree for one in spaces if one.space == space), largest <= _GOOD)


# ---------------------------------------------------------------------------- what comes next


def _next_step(
    found: Mapping[str, Comparison],
    names: Mapping[str, DataNames],
    diagnoses: Mapping[str, Diagnosis],
    run: str,
) -> str:
    for comparison in found.values():
        if comparison.unfinished:
            return "Finish the run: the command that made it, with --resume."
    for comparison in found.values():
        if comparison.headline.agree is False:
            return disagreement_advice(comparison)
    if len(found) == 1:
        ((name, comparison),) = found.items()
        given = name in names and names[name].given
        return recommendation_text(comparison.recommendation, run, table=bool(given))
    for comparison in found.values():
        if not comparison.integrals:
            return (
                "Weigh the functions by their evidence: manymodes evidence, with this run as --out."
            )
    for comparison in found.values():
        if comparison.headline.agree is None:
            return "Have the other engine check the evidence: manymodes evidence --engine both."
    for name, comparison in found.items():
        largest = worst(comparison.rhat_function) if comparison.rhat_function.size else 1.0
        if not _agree(diagnoses.get(name), "function", largest):
            return (
                "Do not pool these chains as they are: weigh functions by evidence and predict by "
                "stacking, or start chains in proportion to the evidence: manymodes sample "
                "--init RUN."
            )
    if any(known.given and known.input_scales for known in names.values()):
        return "Predict new rows: manymodes predict RUN TABLE.csv."
    return "Nothing here asks for another run. Read the cautions below before you use the figures."


# ---------------------------------------------------------------------------- the picture


def _picture(found: Mapping[str, Comparison], names: Mapping[str, DataNames]) -> Picture | None:
    name, comparison = next(iter(found.items()))
    where = called(name, found)
    if comparison.posterior.network is not None:
        known = names.get(name)
        of = f" ({name})" if len(found) > 1 else ""
        return picture(
            plot_data(comparison, known),
            f"The data with the mean prediction of {where}; its functions in their colours",
            f"The data and the mean prediction{of}, by {drawn_from(comparison, predictive=True)}.",
            name,
        )
    if corner_names(comparison):
        return picture(
            plot_draws(comparison),
            f"Draws of {where} in the colours of its functions",
            f"Draws in the colours of functions, their modes in shades: {drawn_from(comparison)}.",
            name,
        )
    return None
