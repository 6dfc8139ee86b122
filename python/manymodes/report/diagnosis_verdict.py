"""The verdict on the chains in plain words: every sentence is derived from the numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence

from manymodes.modes.comparison import Comparison
from manymodes.modes.diagnosis.health import ModeHealth
from manymodes.modes.diagnosis.result import Diagnosis
from manymodes.modes.diagnosis.spaces import GOOD, SPACES, Agreement
from manymodes.sampling.chains.starts import CLIMB
from manymodes.statistics.coverage import Coverage
from manymodes.wording import joined, modes_named

METHOD_OF = {"tempered": "parallel tempering", "nested": "nested sampling"}
"""What each engine does, in words."""

_NOTEWORTHY = 0.01
_CERTAIN = 2.0  # standard errors
_CONCENTRATED = 1.5  # times a mode's share of the draws


def verdict(diagnosis: Diagnosis) -> str:
    """Return what the diagnosis means for a user of the chains."""
    comparison = diagnosis.comparison
    texts = [
        _mixing(diagnosis),
        _cut(diagnosis.cut),
        _copies(comparison, diagnosis),
        _nested(diagnosis),
        _movement(diagnosis),
        _occupancy(diagnosis),
        *_unseen(comparison, diagnosis),
        _divergences(diagnosis),
        _limits(diagnosis),
    ]
    return " ".join(text for text in texts if text)


def _chains(n: int) -> str:
    return "one chain" if n == 1 else f"{n} chains"


def _percent(share: float) -> str:
    value = 100 * share
    if value == 0:
        return "0 %"
    digits = 0 if value >= 10 else 1 if value >= 1 else 2
    text = f"{value:.{digits}f}"
    return f"less than {10**-digits:g} %" if float(text) == 0 else f"{text} %"


def _reached(spaces: Sequence[Agreement]) -> str:
    return joined([f"{one.worst_rhat:.2f} in {SPACES[one.space]}" for one in spaces])


# ---------------------------------------------------------------------- did the chains mix?


def _mixing(diagnosis: Diagnosis) -> str:
    if not diagnosis.spaces:
        return "R-hat needs two chains that ran to their end."
    weights = diagnosis.spaces[0]
    n = weights.n_chains
    if math.isnan(weights.worst_rhat):
        return f"R-hat of the {n} chains is not defined: every coordinate is constant."
    limit = float(weights.limits.max())
    level = f"up to {limit:.2f} is what chains of this length that agree reach"
    if limit <= GOOD:
        level = f"up to {GOOD} is agreement"
    found = f"R-hat is at most {weights.worst_rhat:.3f} in weight space ({level})"
    if weights.agree:
        return f"The {n} chains agree: {found}."
    return f"The {n} chains did not mix: R-hat reaches {_reached([weights])} ({level})."


def _cut(cut: int) -> str:
    if cut == 0:
        return ""
    which = "One chain was" if cut == 1 else f"{cut} chains were"
    share = "its draws count" if cut == 1 else "their draws count"
    return (
        f"{which} cut short by the time limit: {share} for the modes, but not for R-hat and "
        "effective sample sizes."
    )


def _copies(comparison: Comparison, diagnosis: Diagnosis) -> str:
    """Say whether the chains differ by more than symmetric copies."""
    canonical, function = diagnosis.space("canonical"), diagnosis.space("function")
    if not diagnosis.spaces or diagnosis.spaces[0].agree or canonical is None or function is None:
        return ""
    both = (canonical, function)
    if canonical.agree and function.agree:
        return (
            "What sets them apart is only which symmetric copy of one function they are in: R-hat "
            f"is {_reached(both)}."
        )
    if function.agree:
        return (
            f"Nevertheless they predict alike: R-hat is {function.worst_rhat:.2f} in function "
            f"space. It is {canonical.worst_rhat:.2f} in canonical weight space, so their "
            "weights differ by more than symmetric copies."
        )
    functions = {mode.function for mode in comparison.summaries if mode.chains}
    what = f"; the chains lie in {len(functions)} different functions" if len(functions) > 1 else ""
    return f"Symmetric copies do not explain it: R-hat still reaches {_reached(both)}{what}."


def _nested(diagnosis: Diagnosis) -> str:
    spaces = [one for one in diagnosis.spaces if one.nested_rhat.size]
    if not spaces:
        return ""
    parts = []
    for one in spaces:
        value, expected = one.worst_nested
        parts.append(f"{value:.2f} in {SPACES[one.space]} (stationary chains: {expected:.2f})")
    return (
        f"With superchains of {diagnosis.superchains} chains from one start, nested R-hat reaches "
        f"{joined(parts)}."
    )


def _movement(diagnosis: Diagnosis) -> str:
    moved, noun = diagnosis.switching, diagnosis.comparison.modes.noun
    n = int((moved.began > 0).sum())
    if len(diagnosis.modes) < 2 and not moved.moved_in_warmup:
        return ""
    left = int(moved.left.sum())
    if left == 0:
        text = f"After warm-up none of {_chains(n)} left the {noun} in which it began"
    else:
        elsewhere = int((moved.began != moved.ended).sum())
        text = (
            f"After warm-up {left} of {_chains(n)} left the {noun} in which they began, and "
            f"{elsewhere} ended in another"
        )
    known = int((moved.started > 0).sum()) if moved.started.size else 0
    if known:
        text += f"; {moved.moved_in_warmup} of {known} left the basin of their start in warm-up"
    return f"{text}."


# ---------------------------------------------------------------------- what is unseen?


def _unseen(comparison: Comparison, diagnosis: Diagnosis) -> list[str]:
    modes, functions = diagnosis.mode_coverage, diagnosis.function_coverage
    said = _chance if diagnosis.superchains == 1 else _yield
    texts = [said(functions, "function")]
    if not comparison.modes.are_functions:
        texts = [said(modes, "mode")]
        if functions.found != modes.found:
            texts.append(said(functions, "function"))
    if modes.total >= modes.found + 0.5 and not comparison.modes.are_functions:
        low, high = modes.total_interval
        texts.append(
            f"At least about {modes.total:.0f} modes can be found from such starts "
            f"({low:.0f} to {high:.0f}); {modes.found} were found."
        )
    noun = comparison.modes.noun
    missed = [mode for mode in comparison.prominent if mode.occupancy.value == 0]
    if missed:
        share = sum(mode.evidence.value for mode in missed)
        has = "has" if len(missed) == 1 else "have"
        texts.append(
            f"No chain found {modes_named([m.id for m in missed], noun)}, which another engine "
            f"did and which {has} {_percent(share)} of the evidence."
        )
    else:
        texts.append(
            f"This is about starting points, not about posterior mass: a {noun} with a large mass "
            "and a small basin leaves no trace in it."
        )
    return texts


def _chance(known: Coverage, noun: str) -> str:
    """Say how probable it is that the next chain ends in an unseen mode or function."""
    upper = f"at most {_percent(known.unseen_upper)} with 95 % confidence"
    if known.once == 0:
        return (
            f"Every known {noun} was found more than once, so the next chain ends in an "
            f"unseen {noun} with a probability of {upper}."
        )
    return (
        f"{_only_once(known, noun)}, so the next chain ends in an unseen {noun} with a "
        f"probability of about {_percent(known.unseen)} "
        f"(± {_percent(known.unseen_sd)}; {upper})."
    )


def _yield(known: Coverage, noun: str) -> str:
    """Say how many unseen modes or functions the next superchain brings."""
    upper = f"at most {known.unseen_upper:.2g}"
    if known.once == 0:
        return (
            f"Every known {noun} was found from more than one start, so the next "
            f"superchain brings {upper} unseen {noun}s on average (with 95 % confidence)."
        )
    return (
        f"{_only_once(known, noun)}, so the next superchain brings about {known.unseen:.2g} unseen "
        f"{noun}s (± {known.unseen_sd:.2g}; {upper} with 95 % confidence)."
    )


def _only_once(known: Coverage, noun: str) -> str:
    verb = "was" if known.once == 1 else "were"
    return f"{known.once} of {known.found} {noun}s {verb} found from one start only"


# ---------------------------------------------------------------------- is the sampler healthy?


def _divergences(diagnosis: Diagnosis) -> str:
    noun = diagnosis.comparison.modes.noun
    told = [one.divergences for one in diagnosis.modes if one.divergences is not None]
    if diagnosis.modes and not told:
        return "Whether transitions diverged is not known."
    total = sum(told)
    if total == 0:
        return "No transition diverged."
    draws = sum(one.draws for one in diagnosis.modes)
    text = f"{total} transitions diverged ({_percent(total / draws)})"
    if total == 1:
        text = f"One transition diverged, in {noun} {_worst_mode(diagnosis)}"
    elif len(diagnosis.modes) > 1:
        worst = max(diagnosis.modes, key=_divergent)
        share = _divergent(worst) / total
        if share > min(0.5, _CONCENTRATED * worst.draws / draws):
            text += (
                f", {_percent(share)} of them in {noun} {worst.mode}, where "
                f"{_percent(worst.divergent)} did"
            )
        often = [one.mode for one in diagnosis.modes if one.divergent > _NOTEWORTHY]
        if often:
            text += f"; more than 1 % did in {modes_named(often, noun)}"
    return f"{text}.{_geometry(diagnosis)}"


def _geometry(diagnosis: Diagnosis) -> str:
    """Say which coordinate is to blame for divergent transitions, and what to do."""
    found = diagnosis.diverging_at
    if found is None:
        return ""
    text = (
        f" They lie where {found.name} is {'small' if found.low else 'large'}: on average at "
        f"{_percent(found.rank)} of its draws."
    )
    posterior = diagnosis.comparison.posterior
    scale = found.name.partition(".")[0]
    network = posterior.network
    if network is not None and scale in network.scale_shapes and network.is_general:
        other = "no" if network.is_centred(posterior.data["N"]) else "yes"
        return (
            f"{text} It is a sampled scale of the prior: try the other parameters (--centred "
            f"{other}), or a prior of the scale with less mass there."
        )
    return (
        f"{text} Write the model with other parameters there (not centred, if it is a scale), or "
        "raise --adapt-delta."
    )


def _worst_mode(diagnosis: Diagnosis) -> int:
    return max(diagnosis.modes, key=_divergent).mode


def _divergent(one: ModeHealth) -> int:
    return one.divergences or 0


def _limits(diagnosis: Diagnosis) -> str:
    noun = diagnosis.comparison.modes.noun
    parts = []
    deep = [one.mode for one in diagnosis.modes if one.at_depth_limit > _NOTEWORTHY]
    if deep:
        named = modes_named(deep, noun)
        parts.append(f"in {named} more than 1 % of the trajectories end at the largest depth")
    low = [one.mode for one in diagnosis.modes if one.low_bfmi > 0]
    if low:
        parts.append(f"some chains of {modes_named(low, noun)} have an E-BFMI below 0.3")
    text = ", and ".join(parts)
    return (
        f"{text[:1].upper()}{text[1:]}: their draws may miss tails of the {noun}." if text else ""
    )


# ---------------------------------------------------------------------- what to use?


def _occupancy(diagnosis: Diagnosis) -> str:
    noun = diagnosis.comparison.modes.noun
    if not diagnosis.spaces:
        return ""
    if diagnosis.spaces[0].agree:
        return (
            f"The share of draws in a {noun} can be read as its probability, within its error, and "
            "predictions may use all draws alike."
        )
    if len(diagnosis.modes) < 2:
        if diagnosis.comparison.modes.are_functions:
            function = diagnosis.space("function")
            if function is not None and not function.agree:
                return "They sample about one function, but not alike: run the chains longer."
            return "All chains sample one function: predictions may use all draws alike."
        return "All draws lie in one mode: the chains need to be longer; weights do not help."
    chains = diagnosis.comparison.chains
    if chains is not None and chains.started_from == CLIMB:
        return (
            f"Each chain started where a climb of its own ended: the share of draws in a {noun} "
            "says how often climbs end there, and is not its probability."
        )
    if chains is not None and chains.started_from:
        return (
            f"These chains started from draws of {METHOD_OF[chains.started_from]}, in proportion "
            f"to the evidence: the share of draws in a {noun} estimates its evidence weight."
        )
    return (
        f"So the share of draws in a {noun} says how often starts fall into its basin, and is not "
        "its probability."
    )
