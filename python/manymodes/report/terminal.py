"""Results as lines of text, for the command line."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from manymodes.networks.likelihood import RATES
from manymodes.report.checks_verdict import checks_verdict
from manymodes.report.diagnosis_verdict import verdict
from manymodes.report.function_table import MOST_ROWS, function_lines, kind_lines
from manymodes.report.headline_words import (
    disagreement_advice,
    evidence_line,
    outside_words,
    unchecked,
)
from manymodes.report.health_words import health_lines
from manymodes.report.mode_notes import draw_notes, mode_notes, unassigned_share, valley_note
from manymodes.report.nested_notes import effort_lines
from manymodes.report.tempered_notes import tempered_lines
from manymodes.sampling.nested.meaning import what_log_z_is
from manymodes.wording import escaped, quoted, shown, unfinished_lines, visible

if TYPE_CHECKING:
    from manymodes.models import ModelComparison
    from manymodes.modes.active_units import ActiveUnits
    from manymodes.modes.checks import Checks
    from manymodes.modes.comparison import Comparison, ModeSummary
    from manymodes.modes.diagnosis import Diagnosis
    from manymodes.networks.network import Network
    from manymodes.results.predict import Predictions
    from manymodes.results.predict_data import DataPredictions
    from manymodes.tables.table import Parts
    from manymodes.tables.table import Table as DataTable

_MOST_UNRANKED = 10
_MOST_MISSED = 3  # modes that some nested run did not find, named one by one
_NO_MODES = "found in function space: nearly every climb ends at a maximum of its own"


def comparison_table(name: str, comparison: Comparison) -> str:
    """Return the comparison as text: a line for each function, and for each mode beneath."""
    nested = comparison.nested
    prominent = comparison.prominent
    by_function = comparison.modes.are_functions
    lines = unfinished_lines(comparison.unfinished)
    lines += [
        f"{visible(name)}: {counted(comparison.prominent_functions, 'function')}, "
        + (_NO_MODES if by_function else counted(len(prominent), "prominent mode"))
        if prominent
        else f"{visible(name)}: no prominent mode"
    ]
    integral = comparison.integral
    if integral is not None:
        lines[-1] += f", {evidence_line(comparison)}"
        if what_log_z_is(integral):
            lines += wrapped(f"{what_log_z_is(integral)}.")
        if advice := disagreement_advice(comparison):
            lines += wrapped(advice)
    if (
        nested is not None
        and nested.log_prior_inside[0] < 0
        and math.isfinite(nested.log_z_restricted)
    ):
        lines.append(
            f"  (relative to the part of the prior with a density above zero: log_z = "
            f"{nested.log_z_restricted:.2f} nats; this part is "
            f"{100 * math.exp(nested.log_prior_inside[0]):.2f} %)"
        )
    told = _shown(comparison)
    ids = {mode.id for mode in told}
    by_number = _by_evidence(comparison, {mode.function for mode in told})
    by_weight = {number: place for place, number in enumerate(by_number)}
    shown_functions = [f for f in comparison.functions if f.id in by_weight]
    lines += function_lines(comparison, sorted(shown_functions, key=lambda f: by_weight[f.id]))
    lines += kind_lines(comparison, ids)
    if nested is not None:
        n_runs = len(nested.runs)
        missed = [m for m in told if m in prominent and 0 < len(m.runs) < n_runs]
        lines += [
            f"  mode {mode.id} was found by {len(mode.runs)} of {n_runs} nested runs "
            f"({', '.join(map(str, mode.runs))})"
            for mode in missed[:_MOST_MISSED]
        ]
        if (more := len(missed) - _MOST_MISSED) > 0:
            lines.append(f"  and {counted(more, 'mode')} more not by all of them")
    left_out = len(comparison.summaries) - len(told)
    if left_out:
        lines.append(
            f"  and {counted(left_out, 'mode')} that {'is' if left_out == 1 else 'are'} neither "
            f"prominent nor {'holds' if left_out == 1 else 'hold'} a chain"
        )
    missing = unassigned_share(comparison, told, by_function=True)
    if missing:
        lines.append(f"  {missing}")
    for said in (*mode_notes(comparison), valley_note(comparison)):
        lines += wrapped(said)
    if comparison.tempered is not None:
        lines += [f"  {line}" for line in tempered_lines(comparison.tempered)]
    if nested is not None:
        lines += [f"  {line}" for line in effort_lines(nested)]
    if outside := outside_words(comparison):
        lines += wrapped(f"{outside}.")
    if alone := unchecked(comparison):
        lines += wrapped(f"{alone}.")
    lines += active_lines(comparison.active)
    for note in draw_notes(comparison):
        lines += textwrap.wrap(note, _COLUMNS, initial_indent="  ", subsequent_indent="  ")
    return "\n".join(lines)


def wrapped(text: str) -> list[str]:
    """Return a sentence as indented lines."""
    return textwrap.wrap(text, _COLUMNS, initial_indent="  ", subsequent_indent="  ")


def _shown(comparison: Comparison) -> list[ModeSummary]:
    """Return the modes of a table: prominent modes and modes with a chain; all if there are none.

    Modes with an upper limit are shown if they may be prominent. At most ten are returned
    if nothing ranks them.
    """
    prominent = comparison.prominent
    doubtful = [mode for mode in comparison.unweighed if mode in comparison.limited]
    told = {mode.id for mode in (*prominent, *doubtful)}
    shown = [mode for mode in comparison.summaries if mode.id in told or mode.chains]
    return shown or list(comparison.summaries[:_MOST_UNRANKED])


def _by_evidence(comparison: Comparison, numbers: set[int]) -> list[int]:
    """Return the numbers of functions, the heaviest first."""
    by = comparison.ranked_by or "occupancy"
    weight = {one.id: getattr(one, by).value for one in comparison.functions}
    return sorted(numbers, key=lambda number: (-np.nan_to_num(weight[number]), number))


def active_lines(active: Mapping[str, ActiveUnits]) -> list[str]:
    """Return a line for each number of active units, by engine, if the number varies."""
    if not active:
        return []
    heads = "".join(f"  {f'by {name}':>15}" for name in active)
    lines = [f"  active units  prior{heads}" + " " * 11 + "log_z"]
    first, *_ = active.values()
    for k, log_prior in enumerate(first.log_prior):
        line = f"  {k + 1:12d}  {100 * math.exp(log_prior):4.1f}%"
        for found in active.values():
            line += f"  {100 * found.probability[k]:6.1f} ± {100 * found.probability_sd[k]:4.1f}%"
        best = active.get("tempered", active.get("nested"))
        if best is not None:
            line += f"  {best.log_z[k]:7.2f} ± {best.log_z_sd[k]:4.2f}"
        lines.append(line)
    return lines


_COLUMNS = 88
_TO_TERMINAL = str.maketrans("\u00a0\u2212\u2013", " --", "\u202f")


def diagnosis_text(diagnosis: Diagnosis) -> str:
    """Return the verdict on the chains, wrapped, and R-hat and effective sizes by space."""
    lines = textwrap.wrap(verdict(diagnosis), _COLUMNS)
    if diagnosis.spaces:
        nested = any(space.nested_rhat.size for space in diagnosis.spaces)
        lines.append(
            "  space              R-hat  median  bulk ESS  tail ESS"
            + "  nested R-hat (stationary)" * nested
        )
    for space in diagnosis.spaces:
        entry = space.as_dict()
        name = "canonical weights" if space.space == "canonical" else space.space
        line = (
            f"  {name:17}  {entry['rhat']:5.2f}  {entry['rhat_median']:6.2f}"
            f"  {entry['ess_bulk']:8.0f}  {entry['ess_tail']:8.0f}"
        )
        if "nested_rhat" in entry:
            line += f"  {entry['nested_rhat']:12.2f} ({entry['nested_rhat_expected']:.2f})"
        lines.append(line)
    return "\n".join(lines)


def models_text(comparison: ModelComparison) -> str:
    """Return a comparison of models as text: the answer, one line a model, the cautions.

    Parameters
    ----------
    comparison : ModelComparison
        What `compare_models` found.

    Returns
    -------
    str
        Several lines; log evidences and scores are in nats.

    Examples
    --------
    >>> # comparison, smaller: noisy XOR with two hidden units and with one
    >>> text = mm.models_text(mm.compare_models([comparison, smaller]))
    >>> [name in text for name in ("H=1", "H=2")]
    [True, True]
    """
    from manymodes.report import evidence_cells, models_answer, prediction_cells
    from manymodes.report.model_remarks import model_cautions, model_notes

    runs = ("Run", *(" ".join(map(str, m.folders)) or "-" for m in comparison.models))
    evidence = [(*row, run) for row, run in zip(evidence_cells(comparison), runs, strict=True)]
    lines = [
        *textwrap.wrap(" ".join(models_answer(comparison)), _COLUMNS),
        "",
        *_aligned(evidence, last_left=True),
    ]
    prediction = prediction_cells(comparison)
    if len(prediction[0]) > 1:
        lines += ["", *_aligned(prediction)]
    lines += [
        f"  (log Z, log BF and LOO in nats, held out in nats a row; {comparison.n_obs} "
        f"observations, {comparison.n_held_out} held out)"
    ]
    for label, texts in (
        ("note", model_notes(comparison)),
        ("careful", model_cautions(comparison)),
    ):
        for said in texts:
            lines += textwrap.wrap(f"{label}: {said}", _COLUMNS, subsequent_indent="  ")
    return "\n".join(lines).translate(_TO_TERMINAL)


def _aligned(table: Sequence[Sequence[str]], *, last_left: bool = False) -> list[str]:
    """Return lines of columns: the first is text, the others are figures; the last may be text."""
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = []
    for row in table:
        cells = [f"{cell:>{width}}" for cell, width in zip(row, widths, strict=True)]
        cells[0] = f"{row[0]:<{widths[0]}}"
        if last_left:
            cells[-1] = row[-1]
        lines.append("  ".join(["", *cells]))
    return lines


def checks_text(name: str, comparison: Comparison, checks: Checks) -> str:
    """Return the evidences by every method, one line for each mode, and whether they agree."""
    from manymodes.modes.checks import (
        BRIDGE,
        COPIES,
        IMPORTANCE,
        LAPLACE,
        MODE,
        NESTED,
        OTHER,
        POOLED,
        SUM,
        WHOLE,
    )

    def cells(scope: str, mode: int = 0) -> str:
        texts = []
        for method, width in ((NESTED, 16), (BRIDGE, 16), (LAPLACE, 9), (IMPORTANCE, 16)):
            whole = scope == SUM and method == NESTED
            row = checks.row(method, WHOLE if whole else scope, mode)
            if row is None or math.isnan(row.log_z):
                text = "-"
            elif math.isnan(row.log_z_sd):
                text = f"{row.log_z:.2f}"
            else:
                text = f"{row.log_z:.2f} ± {row.log_z_sd:.2f}"
            texts.append(f"{text:>{width}}")
        return "  ".join(texts)

    checked = {row.mode for row in checks.rows if not math.isnan(row.log_z)}
    shown = [mode for mode in _shown(comparison) if mode.id in checked][:MOST_ROWS]
    lines = [
        f"{visible(name)}: independent checks of log_z (nats)",
        f"  {'mode':>6}  {'nested':>16}  {'bridge':>16}  {'Laplace':>9}  {'with importance':>16}",
        *(f"  {mode.id:6d}  {cells(MODE, mode.id)}" for mode in shown),
        f"  {'sum':>6}  {cells(SUM)}",
    ]
    if any(row.scope == COPIES for row in checks.rows):
        lines.append(f"  {'copies':>6}  {cells(COPIES)}")
    for method in (OTHER, POOLED):
        row = checks.row(method, WHOLE)
        if row is not None and not math.isnan(row.log_z):
            lines.append(f"  {method}: {row.log_z:.2f} ± {row.log_z_sd:.2f}")
    lines += _bridge_errors(checks, [mode.id for mode in shown])
    notes = [
        f"{row.method}{f', mode {row.mode}' if row.mode else ''}: {row.remark}"
        for row in checks.rows
        if row.remark
        and math.isnan(row.log_z)
        and (row.scope != MODE or row.mode in {m.id for m in shown})
    ]
    for text in (*dict.fromkeys(notes), checks_verdict(checks)):
        lines += textwrap.wrap(text, _COLUMNS, initial_indent="  ", subsequent_indent="  ")
    return "\n".join(lines)


def _bridge_errors(checks: Checks, modes: Sequence[int]) -> list[str]:
    """Return lines with both errors of bridge sampling and its Pareto k."""
    from manymodes.modes.checks import BRIDGE, MODE, POOLED, SUM, WHOLE

    places = [(str(mode), BRIDGE, MODE, mode) for mode in modes]
    places += [("sum", BRIDGE, SUM, 0), ("all", POOLED, WHOLE, 0)]
    lines = [f"  {'mode':>6}  {'bridge: error':>16}  {'by blocks':>16}  {'Pareto k':>9}"]
    for label, method, scope, mode in places:
        row = checks.row(method, scope, mode)
        if row is not None and math.isfinite(row.log_z):
            blocks, k = (
                f"{value:.{digits}f}" if math.isfinite(value) else "-"
                for value, digits in ((row.reshuffled_sd, 3), (row.pareto_k, 2))
            )
            said = "" if row.reliable else "  unreliable"
            lines.append(f"  {label:>6}  {row.log_z_sd:16.3f}  {blocks:>16}  {k:>9}{said}")
    return lines if len(lines) > 1 else []


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """Return a number and its noun, in the plural unless the number is 1."""
    return f"{number} {noun if number == 1 else plural or noun + 's'}"


def network_text(folder: Path, network: Network, parts: Parts, held_out: Path | None) -> str:
    """Return lines on the files of ``manymodes network`` and on how it read the target."""
    target = parts.table.target
    lines = [
        f"{folder / 'model.stan'} and {folder / 'data.json'}: {counted(len(parts.train), 'row')}, "
        f"{counted(network.inputs, 'input')}, {counted(network.parameter_count, 'parameter')}"
    ]
    if network.active is not None:
        lines.append(f"1 to {network.hidden[0]} active units, prior {network.active}")
    if target.likelihood == "bernoulli":
        no, yes = target.classes
        lines.append(
            f"target {escaped(target.name)}: class 1 is {quoted(yes)}, class 0 is {quoted(no)}"
        )
    elif target.classes:
        lines.append(f"target {escaped(target.name)}: {shown(target.classes)}")
    elif target.likelihood != "normal" or parts.table.more_targets:
        lines.append(_numbers_read(parts.table))
    if network.sigma is not None:
        lines.append(_known_noise(network, parts.table))
    if parts.held_out is not None:
        lines.append(f"{held_out}: {counted(len(parts.held_out), 'row')} held out")
    return "\n".join(lines)


def _numbers_read(table: DataTable) -> str:
    """Return a line on targets that are no classes, and on exposures or trials."""
    several = len(table.all_targets) > 1
    names = shown([target.name for target in table.all_targets])
    line = f"target{'s' if several else ''} {names}: {table.target.likelihood}"
    if table.exposure is not None:
        line += f", rates times the exposure {quoted(table.exposure)}"
    elif table.target.likelihood in RATES:
        line += ", every exposure is 1"
    if table.trials is not None:
        line += f", successes in the trials of {quoted(table.trials)}"
    return line


def _known_noise(network: Network, table: DataTable) -> str:
    """Return a line on a noise that is not sampled, in the user's units."""
    assert network.sigma is not None
    scale = table.target.scaling.sd
    line = f"known noise: sigma = {network.sigma * scale:g}"
    if scale != 1:
        line += (
            f" in the units of the table; the network sees the standardised target, and its sigma "
            f"is {network.sigma:.6g} (divided by {scale:.6g})"
        )
    return line


def _health(found: Predictions | DataPredictions) -> list[str]:
    return [] if found.health is None else health_lines(found.health)


def prediction_text(found: Predictions, out: Path | None) -> str:
    """Return lines on the source of predictions and on their scores."""
    kept = "" if out is None else f"{out}: "
    lines = [
        f"{kept}{counted(len(found.frame), 'row')} predicted by {found.described}; "
        f"intervals hold {100 * found.interval:g} %"
    ]
    if found.score is not None:
        score = found.score
        measure = (
            f"accuracy {100 * score.value:.1f} %"
            if score.measure == "accuracy"
            else f"root mean square error {score.value:.4g}"
        )
        if score.by_target:
            errors = ", ".join(f"{escaped(name)} {value:.4g}" for name, value in score.by_target)
            measure = f"root mean square error {errors}"
        lines.append(
            f"log predictive density of the target: {score.mean:.3f} ± {score.sd_of_mean:.3f} "
            f"nats a row, {score.sum:.2f} in sum; {measure}"
        )
    lines += _health(found)
    return "\n".join(lines)


def data_prediction_text(found: DataPredictions, out: Path | None) -> str:
    """Return lines on the source of predicted quantities, on what is missing, and on scores."""
    kept = "" if out is None else f"{out}: "
    if len(found.frame):
        quantities = counted(len(found.frame), "quantity", "quantities")
        lines = [
            f"{kept}{quantities} predicted by {found.described}; "
            f"intervals hold {100 * found.interval:g} %"
        ]
    else:
        lines = [f"{kept}scored by {found.described}; log_lik is all that the program generates"]
    if found.threw:
        lines.append(
            f"{found.threw} of {found.draws} draws ({100 * found.threw_share:.3g} % of the "
            "mixture) are left out, because the program throws for them. The first message was: "
            f"{found.message.rstrip('.')}."
        )
    if found.not_finite:
        named = [f"{name} in {counted(n, 'draw')}" for name, n in found.not_finite.items()]
        lines.append(
            f"{counted(len(named), 'quantity is', 'quantities are')} NaN or infinite in some "
            f"draws: {shown(named, 5)}. Where a draw is NaN, it does not count."
        )
    unscored = int(np.isnan(found.log_density).sum())
    if unscored:
        lines.append(
            f"{unscored} of {counted(len(found.log_density), 'observation')} have no score, "
            "because log_lik is NaN in some draws."
        )
    if found.score is not None:
        score, scored = found.score, len(found.log_density) - unscored
        error = f" ± {score.sd_of_mean:.3f}" if math.isfinite(score.sd_of_mean) else ""
        lines.append(
            f"log predictive density: {score.mean:.3f}{error} nats an observation, "
            f"{score.sum:.2f} in sum over {counted(scored, 'observation')}"
        )
    lines += _health(found)
    return "\n".join(lines)
