"""The sections on the health of each mode, on unseen modes, and on weights of the chains."""

from __future__ import annotations

import math

import numpy as np

from manymodes.modes.comparison import Comparison
from manymodes.modes.diagnosis import Diagnosis, ModeHealth
from manymodes.report.chain_sections import Diagnoses
from manymodes.report.findings import called
from manymodes.report.format import NOTHING, number, percent, sentence, with_error
from manymodes.report.page import Picture, Section, Table, picture
from manymodes.report.plots import plot_accumulation
from manymodes.report.sections import Found
from manymodes.statistics.coverage import Coverage, chance_of_all, expected_chains
from manymodes.statistics.estimate import Estimate

_MOST_ROWS = 30
_MOST_MODES = 20


def health_section(found: Found, diagnoses: Diagnoses) -> Section | None:
    """Return how the sampler fared in each mode."""
    if not diagnoses:
        return None
    parts: list[Table] = []
    for name, diagnosis in diagnoses.items():
        shown = sorted(diagnosis.modes, key=lambda one: -one.draws)[:_MOST_ROWS]
        shown.sort(key=lambda one: one.mode)
        rest = len(diagnosis.modes) - len(shown)
        caption = (
            f"The {len(shown)} modes with the most draws; {rest} are left out." if rest else ""
        )
        parts += [_sampler(name, found, shown, caption), _stayed(name, found, shown, caption)]
    return Section(
        "health",
        "How the sampler fared in each mode",
        reading=(
            "A transition diverges where the posterior bends more sharply than the step size can "
            "follow, so that draws are missing near there. Trajectories that end at the largest "
            "depth were cut off. E-BFMI below 0.3 says that a chain’s energy changes too slowly to "
            "reach the tails. Chains that stayed in a mode should agree with each other within it: "
            "R-hat within a mode is about its own shape, whatever happens between modes. A Pareto "
            "k above 0.7 marks an unreliable leave-one-out term."
        ),
        parts=tuple(parts),
    )


def _sampler(name: str, found: Found, shown: list[ModeHealth], caption: str) -> Table:
    rows = tuple(
        (
            one.mode,
            one.draws,
            _divergent(one),
            percent(Estimate(one.at_depth_limit)),
            number(one.steps, 1),
            number(one.acceptance, 2),
            _digits(one.step_size),
            number(one.bfmi, 2),
            percent(Estimate(one.low_bfmi)),
        )
        for one in shown
    )
    path = ("Divergent", "At limit", "Steps", "Accepted", "Step size")
    columns = ("Mode", "Draws", *path, "E-BFMI", "below 0.3")
    said = (
        "Divergent: transitions, and their share of the draws. At limit: trajectories of the "
        "largest depth. Steps, acceptance and step size are means over the draws in the mode. "
        "E-BFMI: the lowest over chains, and the share of chains below 0.3."
    )
    return Table(
        f"{sentence(called(name, found))}: the sampler", columns, rows, f"{said} {caption}".strip()
    )


def _divergent(one: ModeHealth) -> str:
    if one.divergences is None:
        return NOTHING
    return f"{number(one.divergences, 0)} ({percent(Estimate(one.divergent))})"


def _stayed(name: str, found: Found, shown: list[ModeHealth], caption: str) -> Table:
    rows = tuple(
        (
            one.mode,
            one.chains,
            one.stayed,
            number(one.rhat, 3),
            number(one.ess_bulk, 0),
            number(one.ess_tail, 0),
            number(one.pareto_k, 2),
            percent(Estimate(one.bad_k)),
            number(one.r_eff, 2),
        )
        for one in shown
    )
    scores = ("Pareto k", "above 0.7", "r_eff")
    columns = ("Mode", "Chains", "Stayed", "R-hat", "Bulk ESS", "Tail ESS", *scores)
    said = (
        "“Chains” counts the chains with most of their draws in the mode. Chains that “stayed” "
        "have all their draws in it and ran to their end; R-hat and effective sample sizes are of "
        "these chains, the worst over the unconstrained coordinates. The largest Pareto k, the "
        "share above 0.7 and the median relative efficiency r_eff are over chains and data."
    )
    return Table(
        f"{sentence(called(name, found))}: within the modes",
        columns,
        rows,
        f"{said} {caption}".strip(),
    )


def coverage_section(found: Found, diagnoses: Diagnoses) -> Section | None:
    """Return estimates of how many modes and functions no chain has found."""
    if not diagnoses:
        return None
    parts: list[Picture | Table] = []
    for name, diagnosis in diagnoses.items():
        parts.append(_accumulation(name, found, diagnosis))
    rows = tuple(
        _coverage_row(name, what, known)
        for name, diagnosis in diagnoses.items()
        for what, known in (
            ("modes", diagnosis.mode_coverage),
            ("functions", diagnosis.function_coverage),
        )
    )
    columns = ("Posterior", "What", "Found", "Once", "Unseen", "at most", "In all", "95 % interval")
    parts.append(
        Table(
            "What may be unseen",
            columns,
            rows,
            "Once: found from one start only. Unseen: Good and Turing’s estimate of the "
            "probability that a new start ends in something not found yet (with superchains: of "
            "how many new ones it brings), with its standard error, and the upper 95 % limit. In "
            "all: Chao’s estimate of how many there are, a lower bound.",
        )
    )
    parts.append(_coupons(diagnoses))
    return Section(
        "coverage",
        "What have the chains not found?",
        reading=(
            "If many modes were found by one chain only, more chains would find more modes. If "
            "every mode was found often, few are left to be found in this way. The curve shows how "
            "many modes fewer chains would have found; its dashed part shows what as many chains "
            "again should add. All of this counts starting points and not posterior mass: if no "
            "start falls into the basin of a mode, the mode is invisible here, however large its "
            "mass. Nested sampling starts from the whole prior and may find it."
        ),
        parts=tuple(parts),
    )


def _accumulation(name: str, found: Found, diagnosis: Diagnosis) -> Picture:
    known = diagnosis.mode_coverage
    unit = "chains" if diagnosis.superchains == 1 else "superchains"
    return picture(
        plot_accumulation(diagnosis),
        f"Modes found against the number of {unit} for {called(name, found)}: {known.found} with "
        f"all {diagnosis.starts}.",
        f"{sentence(called(name, found))}: modes found by fewer {unit} (the mean over all subsets "
        "of them) and, dashed, by more. Bands: one standard error over runs like this one.",
    )


def _coverage_row(name: str, what: str, known: Coverage) -> tuple[object, ...]:
    low, high = known.total_interval
    return (
        name,
        what,
        known.found,
        known.once,
        percent(Estimate(known.unseen, known.unseen_sd)),
        percent(Estimate(known.unseen_upper)),
        with_error(known.total, known.total_sd, most=1),
        f"{number(low, 0)} to {number(high, 0)}",
    )


def _coupons(diagnoses: Diagnoses) -> Table:
    rows = []
    for name, diagnosis in diagnoses.items():
        known = diagnosis.mode_coverage
        rows.append(
            (
                name,
                known.starts,
                known.found,
                number(expected_chains(known.found), 0),
                percent(Estimate(chance_of_all(known.found, known.starts))),
                known.equal_modes,
                percent(Estimate(known.sure_share)),
            )
        )
    columns = ("Posterior", "Starts", "Modes", "Starts needed", "Chance", "Sure of", "Sure share")
    return Table(
        "If the modes were equally likely",
        columns,
        tuple(rows),
        "The coupon collector: starts needed on average to find so many equally likely modes, the "
        "chance that this many starts find them all, and the largest number of modes for which "
        "this chance is 95\u00a0%. Sure share: if more than this share of starts lead to a mode, "
        "it would have been missed with a probability below 5\u00a0%.",
    )


def weightings_section(found: Found) -> Section | None:
    """Return the weightings of the chains side by side: weights by mode, and scores."""
    weighed = {name: c for name, c in found.items() if c.weighings and c.chains is not None}
    weighed = {name: c for name, c in weighed.items() if c.chains and c.chains.n_chains > 1}
    if not weighed:
        return None
    parts: list[Table] = []
    for name, comparison in weighed.items():
        title = sentence(called(name, found))
        if len(comparison.summaries) > 1:
            parts.append(_weights_by_mode(f"{title}: weights of the modes", comparison))
        parts.append(_weighting_scores(f"{title}: scores", comparison))
    return Section(
        "weightings",
        "How to weigh the chains",
        reading=(
            "Chains that do not mix must be weighed before they are put together. Stacking finds "
            "the weights with which the mixture predicts left-out observations best; pseudo-BMA+ "
            "weighs each chain by how it predicts them on its own; evidence gives every mode its "
            "probability; uniform weights give every mode the share of chains that its basin "
            "caught. The leave-one-out score is too good for the two weightings that were fitted "
            "to it. The cross-validated score is fair: each fold of the observations is scored "
            "with weights that were fitted without it. A difference of less than two standard "
            "errors says little."
        ),
        parts=tuple(parts),
    )


def _weights_by_mode(title: str, comparison: Comparison) -> Table:
    weights = np.stack([one.mode_weights for one in comparison.weighings])
    order = np.argsort(-weights.max(axis=0), kind="stable")[:_MOST_MODES]
    order = order[np.argsort(comparison.labels[order])]
    rows = tuple(
        (
            int(comparison.labels[mode]),
            *(
                percent(Estimate(float(one.mode_weights[mode]), float(one.mode_sd[mode])))
                for one in comparison.weighings
            ),
        )
        for mode in order
    )
    rest = len(comparison.labels) - len(order)
    caption = "Weights of the chains, summed by mode, with one standard error."
    if rest:
        caption += f" The {len(order)} modes with the most weight; {rest} are left out."
    return Table(title, ("Mode", *(one.name for one in comparison.weighings)), rows, caption)


def _weighting_scores(title: str, comparison: Comparison) -> Table:
    held_out = {one.name: one for one in comparison.held_out}
    rows = []
    for one in comparison.weighings:
        effective = 1 / float((one.weights**2).sum())
        first = one.name == comparison.weighings[0].name
        row: list[object] = [
            one.name,
            number(effective, 1),
            one.loo,
            one.held_out,
            "" if first else one.difference,
        ]
        if held_out:
            score = held_out[one.name]
            row += [score.score, "" if first else score.difference]
        rows.append(tuple(row))
    unseen = ("Held-out rows", "minus stacking") if held_out else ()
    columns = ("Weights", "Chains", "Leave-one-out", "Cross-validated", "minus stacking", *unseen)
    return Table(
        title,
        columns,
        tuple(rows),
        "Chains: their effective number, one over the sum of squared weights. Scores: sums of log "
        "predictive densities in nats, with one standard error; larger is better. Differences are "
        "taken observation by observation.",
    )


def _digits(value: float) -> str:
    """Return a positive number with three digits."""
    return NOTHING if math.isnan(value) else f"{value:.3g}"
