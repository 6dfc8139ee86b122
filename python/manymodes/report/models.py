"""The page on a comparison of models."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from manymodes.models import ModelComparison
from manymodes.report.format import NOTHING, sentence, things
from manymodes.report.model_remarks import model_cautions, model_notes
from manymodes.report.model_words import chance, evidence_cells, models_answer, prediction_cells
from manymodes.report.page import Finding, Page, Section, Table, alone, picture, render
from manymodes.report.plots import families, plot_models, plot_units
from manymodes.report.references import POLYCHORD_LICENCE, model_references
from manymodes.report.write import record_tables
from manymodes.runtime.storage import write_text
from manymodes.toolchain import find


def write_models_report(
    path: Path,
    comparison: ModelComparison,
    *,
    settings: Mapping[str, Any] | None = None,
    toolchain: Mapping[str, Any] | None = None,
) -> None:
    """Write one self-contained HTML page on a comparison of models.

    Parameters
    ----------
    path : Path
        The file; it is replaced in one step.
    comparison : ModelComparison
        The result of `manymodes.compare_models`.
    settings : mapping, optional
        The settings of the comparison.
    toolchain : mapping, optional
        The result of `Toolchain.as_dict`; looked up if not given.

    Raises
    ------
    InputError
        The file cannot be written.
    """
    tools = find().as_dict() if toolchain is None else toolchain
    candidates = (
        _table(comparison),
        _weights(comparison),
        _units(comparison),
        Section(
            "record",
            "Runs, settings and versions",
            parts=(_runs(comparison), *record_tables(settings or {}, tools)),
        ),
    )
    page = Page(
        title=f"{sentence(things(len(comparison.models), 'model'))} of the same data",
        introduction=(
            "Several posteriors of the same data are compared in two ways: by their evidence, "
            "which together with prior probabilities gives the probability of each, and by how "
            "well they predict observations that they were not given.",
        ),
        findings=(_finding(comparison),),
        cautions=model_cautions(comparison),
        chapters=tuple(alone(section) for section in candidates if section is not None),
        references=model_references(comparison),
        licence=POLYCHORD_LICENCE if any(m.nested_runs for m in comparison.models) else "",
        notes=model_notes(comparison),
    )
    write_text(path, render(page))


def _finding(comparison: ModelComparison) -> Finding:
    first = comparison.models[0]
    tiles = [(f"{len(comparison.models)}", "models"), (f"{comparison.n_obs}", "observations")]
    if math.isfinite(first.probability.value):
        label = f"posterior probability of {first.name}"
        tiles.append((chance(first.probability), label))
    opening, *points = models_answer(comparison)
    return Finding("", tuple(tiles), (opening,), tuple(points), ())


def _table(comparison: ModelComparison) -> Section:
    tables = [
        Table(title, cells[0], tuple(cells[1:]), caption)
        for title, cells, caption in (
            (
                "By evidence",
                evidence_cells(comparison),
                "Nats and per cent, with one standard error; log BF against the first.",
            ),
            (
                "By prediction",
                prediction_cells(comparison),
                "LOO in nats, held out in nats a row. Differences are from the best model, with "
                "the standard errors of paired differences.",
            ),
        )
        if len(cells[0]) > 1
    ]
    reading = (
        "log Z is the log evidence: the log of the mean likelihood under the prior. log BF is its "
        "difference from the largest, the log of a Bayes factor. The probability follows from it "
        "and the prior probabilities. LOO is the sum over observations of the log predictive "
        "density of each, given the others, under the stacked chains of a model. A difference of "
        "less than about four nats, or two of its errors, says little. Stacking mixes the models "
        "so that the mixture predicts best: a weight says what a model adds to the others, not "
        "how probable it is."
    )
    return Section("models", "The models", reading=reading, parts=tuple(tables))


def _weights(comparison: ModelComparison) -> Section | None:
    known = [
        value
        for m in comparison.models
        for value in (m.probability.value, m.stacking.value)
        if math.isfinite(value)
    ]
    if not known:
        return None
    return Section(
        "weights",
        "Three weights for every model",
        reading=(
            "Posterior probability asks which model the data came from, if they came from one of "
            "these; it depends on the priors of the weights, and a wide prior is a cost. Stacking "
            "and pseudo-BMA+ ask which predictions to rely on. If none of the models is true, "
            "they need not agree."
        ),
        parts=(
            picture(
                plot_models(comparison),
                "Bar chart of the weights of the models; the values are in their table.",
                "Weights of the models, with one standard error.",
            ),
        ),
    )


def _units(comparison: ModelComparison) -> Section | None:
    if not families(comparison):
        return None
    return Section(
        "units",
        "How many hidden units",
        reading=(
            "The evidence weighs fit against the volume of the prior, so it often falls when more "
            "units no longer improve the fit; predictions of a well-averaged posterior need not "
            "get worse. Where the curve is flat, the data do not decide."
        ),
        parts=(
            picture(
                plot_units(comparison),
                "Curves of scores against hidden units; the values are in the table of the models.",
                "Scores against the number of hidden units, with one standard error. For the log "
                "evidence it is its own error; for the other scores it is the error of the "
                "difference from the best model.",
            ),
        ),
    )


def _runs(comparison: ModelComparison) -> Table:
    rows = tuple(
        (
            model.name,
            chance_of_prior,
            model.chains or None,
            model.nested_runs or None,
            ", ".join(map(str, model.folders)) or NOTHING,
        )
        for model, chance_of_prior in zip(
            comparison.models, (f"{100 * p:.3g}\u00a0%" for p in comparison.prior), strict=True
        )
    )
    return Table(
        "Runs",
        ("Model", "Prior probability", "Chains", "Nested runs", "Directories"),
        rows,
        f"{sentence(things(comparison.n_held_out, 'row'))} held out"
        + (f", scored under the {comparison.held_out_engine}." if comparison.n_held_out else "."),
    )
