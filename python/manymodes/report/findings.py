"""What was found, in plain sentences, each of them derived from the numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from manymodes.modes.comparison import Comparison, ModeSummary
from manymodes.modes.diagnosis import switching
from manymodes.modes.functions import FunctionSummary
from manymodes.report.format import (
    count,
    joined,
    modes_named,
    nats,
    number,
    percent,
    sentence,
    things,
    with_error,
)
from manymodes.report.headline_words import disagreement, disagreement_advice, unchecked
from manymodes.report.mode_notes import runs_named, why_none
from manymodes.report.nested_notes import NO_INSERTIONS, plateau_sentence
from manymodes.report.page import Finding
from manymodes.report.plots import FunctionScores
from manymodes.report.plots.draws import training_data
from manymodes.sampling.nested import Nested
from manymodes.sampling.nested.meaning import what_log_z_is
from manymodes.sampling.tempered import Tempered
from manymodes.statistics.estimate import Estimate

_FEW = 3
_CERTAIN = 2.0
UNLIKELY = 0.01
WORTH_TELLING = 0.01


def called(name: str, comparisons: Mapping[str, Comparison]) -> str:
    """Return a posterior's name in a sentence: its own name only if there are several."""
    return f"the {name} posterior" if len(comparisons) > 1 else "the posterior"


def finding(
    name: str, comparisons: Mapping[str, Comparison], scores: FunctionScores | None = None
) -> Finding:
    """Return the summary of one posterior."""
    comparison = comparisons[name]
    subject = called(name, comparisons)
    predictions = "" if scores is None else prediction_sentence(scores, comparison)

    def said(*texts: str) -> tuple[str, ...]:
        return tuple(text for text in texts if text)

    return Finding(
        sentence(subject) if len(comparisons) > 1 else "",
        (),
        said(
            _how_many(subject, comparison),
            _found_by_chains(comparison),
            _left(comparison),
            _outside(comparison),
        ),
        said(*_weights(comparison)),
        said(_evidence(comparison), _agreement(comparison), predictions),
    )


def _how_many(name: str, comparison: Comparison) -> str:
    modes = comparison.prominent
    if not modes:
        return f"{sentence(name)} has no prominent mode: {why_none(comparison)}."
    text = f"{sentence(name)} has {things(len(modes), 'prominent mode')}"
    if len(modes) > 1:
        n = comparison.prominent_functions
        if n == len(modes):
            text += ", each a different function"
        elif n == 1:
            text += ", all of them the same function"
        else:
            text += f", which are {things(n, 'different function')}"
    rest = len({m.id for m in comparison.summaries} - _told(comparison))
    if rest:
        share = comparison.ranked_by
        verb = "has" if rest == 1 else "have"
        text += (
            f"; {things(rest, 'more mode')} {verb} less than a thousandth of the "
            f"{share} of the first"
        )
    return text + "."


def _told(comparison: Comparison) -> set[int]:
    """Return the ids of the modes that are prominent or have no known evidence."""
    return {mode.id for mode in (*comparison.prominent, *comparison.unweighed)}


def _found_by_chains(comparison: Comparison) -> str:
    chains = comparison.chains
    if chains is None:
        return "" if not comparison.integrals else "No chains were run."
    modes = comparison.prominent
    found = sum(mode.occupancy.value > 0 for mode in modes)
    which = f"{count(found)} of the {len(modes)} prominent modes"
    if found == len(modes):
        which = "it" if len(modes) == 1 else "both" if len(modes) == 2 else f"all {count(found)}"
    elif found == 0 and len(modes) == 1:
        which = "no draw in it"
    text = f"{sentence(things(chains.n_chains, 'chain'))} of {chains.n_draws} draws found {which}"
    return f"{text} prominent modes." if found == len(modes) > 2 else f"{text}."


def _left(comparison: Comparison) -> str:
    """Say how many chains left their mode."""
    if comparison.chains is None or len(comparison.summaries) == 1:
        return ""
    n_chains = comparison.chains.n_chains
    left = int(switching(comparison).left.sum())
    if left == 0:
        who = "It" if n_chains == 1 else "No chain"
        return f"{who} {'never' if n_chains == 1 else 'ever'} left the mode in which it began."
    if left == n_chains > 1:
        return "Every chain left the mode in which it began at least once."
    where = "the mode in which it began" if left == 1 else "the modes in which they began"
    return f"{sentence(things(left, 'chain'))} left {where} at least once."


def _outside(comparison: Comparison) -> str:
    """Say which draws of the chains lie in modes that the evidence does not count."""
    if comparison.chains is None or not comparison.integrals:
        return ""
    unreached = comparison.unreached
    weighed = _told(comparison)
    small = sum(m.occupancy.value for m in comparison.summaries if m.id not in weighed)
    texts = []
    if small >= WORTH_TELLING:
        texts.append(
            f"{percent(Estimate(small))} of the draws lie in modes that are not prominent."
        )
    held = sum(mode.occupancy.value for mode in unreached)
    if held > 0:
        share = percent(Estimate(held))
        which = "a mode" if len(unreached) == 1 else things(len(unreached), "mode")
        texts.append(
            f"{share} of the draws lie in {which} that {runs_named(comparison)} did not reach, so "
            f"that {'its' if len(unreached) == 1 else 'their'} evidence is not known."
        )
    return " ".join(texts)


def _weights(comparison: Comparison) -> list[str]:
    modes = comparison.prominent
    if len(modes) == 1:
        return []
    if len(modes) <= _FEW:
        return [f"Mode {mode.id}: {given}." for mode in modes if (given := _given(mode))]
    texts = []
    if 1 < comparison.prominent_functions <= _FEW:
        told = {mode.function for mode in modes}
        for function in comparison.functions:
            if function.id in told and (given := _given(function)):
                where = modes_named(function.modes)
                texts.append(f"Function {function.id} ({where}): {given}.")
    else:
        texts.append(f"Mode 1: {_given(modes[0])}.")
    gaps = [(abs(m.occupancy.value - m.evidence.value), m) for m in modes]
    gaps = [(gap, m) for gap, m in gaps if math.isfinite(gap)]
    if gaps:
        _, mode = max(gaps, key=lambda pair: pair[0])
        texts.append(
            f"Draws and evidence differ most at mode {mode.id}, which has "
            f"{percent(mode.occupancy)} of the draws and {percent(mode.evidence)} of the evidence."
        )
    return texts


def _given(mode: ModeSummary | FunctionSummary) -> str:
    """Say what each method gives a mode or a function, as far as there is an estimate."""
    parts = []
    if math.isfinite(mode.occupancy.value):
        parts.append(f"the chains give it {percent(mode.occupancy)} of their draws")
    if math.isfinite(mode.stacking.value):
        verb = "" if parts else " gives it"
        parts.append(f"stacking{verb} {percent(mode.stacking)}")
    if math.isfinite(mode.evidence.value):
        verb = "" if parts else " gives it"
        parts.append(f"the evidence{verb} {percent(mode.evidence)}")
    return joined(parts)


def _evidence(comparison: Comparison) -> str:
    integral = comparison.integral
    if integral is None:
        return (
            "Nested sampling was not run, nor was the posterior tempered: there is no evidence to "
            "weigh the modes by."
        )
    value = nats(comparison.headline.log_z)
    runs = joined([things(len(one.runs), f"{n} run") for n, one in comparison.integrals.items()])
    if not integral.is_evidence:
        text = f"There is no evidence: {what_log_z_is(integral)}."
        known = math.isfinite(comparison.headline.log_z.value)
        return f"{text} The log of that integral is {value} nats ({runs})." if known else text
    if comparison.headline.agree is False:
        said = f"There is no figure for the evidence: {disagreement(comparison)}."
        return f"{said} {disagreement_advice(comparison)}"
    return f"The log evidence is {value} nats ({runs})."


def _agreement(comparison: Comparison) -> str:
    chains = comparison.chains
    if chains is None or chains.n_chains < 2 or not comparison.rhat_weights.size:
        return ""
    weights = worst(comparison.rhat_weights)
    text = f"Between chains, R-hat reaches {number(weights, 2)} in weight space"
    if comparison.rhat_function.size:
        text += f" and {number(worst(comparison.rhat_function), 2)} in function space"
    return f"{text} (1.01 or less would mean agreement)."


def worst(rhat: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> float:
    """Return the largest R-hat that is defined; NaN if none is."""
    defined = rhat[~np.isnan(rhat)]
    return float(defined.max()) if defined.size else float("nan")


def prediction_sentence(scores: FunctionScores, comparison: Comparison) -> str:
    """Say on which side the whole is of each function on the test sets.

    Empty without test sets, and if there is only one function, which is the whole.
    """
    sets = scores.n_test_sets
    if sets == 0 or len(scores.functions) < 3:
        return ""
    better: list[int] = []
    level: list[int] = []
    worse: list[int] = []
    for group, function in enumerate(scores.functions):
        if function is None:
            continue
        gain, sd = scores.gain(group)
        bound = _CERTAIN * sd if math.isfinite(sd) else 0.0
        (better if gain > bound else worse if gain < -bound else level).append(function)
    parts = [
        f"{verdict} than {_these(ids, scores)}"
        for verdict, ids in (("better", better), ("worse", worse))
        if ids
    ]
    where = "the test set" if sets == 1 else f"the {count(sets)} test sets"
    if parts:
        own = "its" if len(better + worse) == 1 else "their"
        text = f"On {where} the whole predicts {joined(parts)} on {own} own"
        if level:
            text += f"; its difference from {_these(level, scores)} is below two standard errors"
    else:
        text = f"On {where} the whole differs from {_these(level, scores)} by less than two "
        text += "standard errors"
    text += "."
    shown = len(scores.functions) - 1
    if shown < len(comparison.shown_functions):
        text += f" (The {count(shown)} functions with the most weight were scored.)"
    return text


def _these(ids: Sequence[int], scores: FunctionScores) -> str:
    """Name functions, or say that it is all that were scored."""
    if len(ids) < len(scores.functions) - 1:
        return f"function{'s' if len(ids) > 1 else ''} {joined(list(map(str, ids)))}"
    return "either function" if len(ids) == 2 else "each of the functions"


def evidence_sentences(comparisons: Mapping[str, Comparison]) -> list[str]:
    """Say how well each log evidence is known, and compare two of the same data."""
    texts = []
    found = {name: one for name, one in comparisons.items() if one.integrals}
    for name, comparison in found.items():
        subject = sentence(called(name, comparisons))
        texts += _about_engines(subject, comparison)
        if comparison.tempered is not None:
            texts.append(_about_tempered(subject, comparison.tempered))
        if comparison.nested is not None:
            texts.append(_about_runs(subject, comparison.nested))
    names = list(found)
    evidences = all(
        engine.is_evidence for one in found.values() for engine in one.integrals.values()
    )
    if len(names) == 2 and evidences and _same_data(*(comparisons[n] for n in names)):
        a, b = (found[name].headline.log_z for name in names)
        gap = Estimate(a.value - b.value, math.hypot(a.sd, b.sd))
        texts.append(
            f"On the same data, the log evidence of {called(names[0], comparisons)} minus that "
            f"of {called(names[1], comparisons)} is {nats(gap)} nats."
        )
    return texts


def _about_engines(name: str, comparison: Comparison) -> list[str]:
    """Say whether two engines agree, or that one stands alone."""
    headline = comparison.headline
    if headline.agree is None:
        alone = unchecked(comparison)
        return [f"{name}: {alone}."] if alone else []
    if not headline.agree:
        return [f"{name}: {disagreement(comparison)}. {disagreement_advice(comparison)}"]
    apart = number(headline.apart, 1)
    return [
        f"{name}: two engines agree, {apart} joint errors apart; together they give "
        f"{nats(headline.log_z)} nats."
    ]


def _about_tempered(name: str, tempered: Tempered) -> str:
    if math.isnan(tempered.log_z):
        return f"{name}: no evidence by tempering, for the density has no finite integral."
    what = "log evidence" if tempered.is_evidence else "log integral of the density as written"
    text = f"{name}, tempered: {what} {nats(Estimate(tempered.log_z, tempered.log_z_sd))} nats"
    if len(tempered.runs) > 1:
        runs = joined([number(z, 2) for z in tempered.log_z_by_run])
        text += f". The runs on their own give {runs}"
    return (
        f"{text}. The stepping stone gives {number(tempered.forward, 2)} upwards and "
        f"{number(tempered.backward, 2)} downwards; {things(tempered.round_trips, 'draw')} of the "
        "base measure came to the posterior"
        f"{'' if tempered.mixes else ', too few to trust the error'}."
    )


def _about_runs(name: str, nested: Nested) -> str:
    if math.isnan(nested.log_z):
        return f"{name}: no evidence, for the density has no finite integral."
    what = "log evidence" if nested.is_evidence else "log integral of the density as written"
    text = f"{name}: {what} {nats(Estimate(nested.log_z, nested.log_z_sd))} nats"
    if len(nested.runs) > 1:
        runs = joined([number(z, 2) for z in nested.log_z_by_run])
        text += (
            f". The runs on their own give {runs}; by their scatter the error of the merged "
            f"figure is {number(nested.log_z_between_sd, 2)} nats"
        )
    if math.isnan(nested.insertion_p):
        text += f". There is no insertion-index test: {NO_INSERTIONS}."
    else:
        text += (
            f". The insertion-index test has p = {number(nested.insertion_p, 3)}"
            f"{': no sign of trouble' if nested.insertion_p >= UNLIKELY else ', which is small'}."
        )
    plateau = plateau_sentence(nested)
    if plateau:
        text += f" {sentence(plateau)}."
    share, share_sd = nested.log_prior_inside
    if share < 0:
        restricted = Estimate(nested.log_z_restricted, math.nan)
        text += (
            f" Relative to the part of the base measure that the program does not reject, it is "
            f"{nats(restricted)} nats; this part is e^({with_error(share, share_sd)}) of the whole."
        )
    return text


def _same_data(a: Comparison, b: Comparison) -> bool:
    one, other = training_data(a.posterior), training_data(b.posterior)
    if one is None or other is None:
        return False
    over = one.counted_over
    return (
        np.array_equal(one.X, other.X)
        and np.array_equal(one.y, other.y)
        and over.keys() == other.counted_over.keys()
        and all(np.array_equal(values, other.counted_over[k]) for k, values in over.items())
    )
