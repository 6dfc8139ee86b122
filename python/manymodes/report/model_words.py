"""The findings of a comparison of models, in plain sentences."""

from __future__ import annotations

import math
from collections.abc import Sequence

from manymodes.models import Model, ModelComparison, too_wide
from manymodes.report.format import NOTHING, joined, nats, number, percent, sentence
from manymodes.statistics.estimate import Estimate

_SMALL = 4.0  # nats of LOO: errors of smaller differences are unreliable (Sivula 2020)
_ERRORS = 2.0
_NEARLY = 1e-4
_WORTH_TELLING = 0.02


def models_answer(comparison: ModelComparison) -> tuple[str, ...]:
    """Return sentences on which model is best: by evidence, by prediction, by stacking."""
    return tuple(
        text
        for text in (_by_evidence(comparison), *_by_prediction(comparison), _stacked(comparison))
        if text
    )


def counts_units(comparison: ModelComparison) -> bool:
    """Return whether the models differ only in the units of their one hidden layer."""
    shapes = set()
    for model in comparison.models:
        if model.network is None or len(model.network.hidden) > 1:
            return False
        shapes.add(tuple({**model.network.to_dict(), "hidden": 0}.items()))
    return len(shapes) == 1


def chance(estimate: Estimate) -> str:
    """Return a probability in per cent; nearly 0 and nearly 1 are limits, without an error."""
    if not estimate.sd > _NEARLY:
        if estimate.value < _NEARLY:
            return "<\u202f0.01\u00a0%"
        if estimate.value > 1 - _NEARLY:
            return ">\u202f99.99\u00a0%"
    return percent(estimate)


def _said(models: Sequence[Model], comparison: ModelComparison) -> str:
    """Return models' names for a sentence: their units if they differ in nothing else."""
    if not counts_units(comparison):
        return joined([model.name for model in models])
    units = [model.network.hidden[0] for model in models if model.network is not None]
    noun = "hidden unit" if units == [1] else "hidden units"
    return f"{joined([str(one) for one in sorted(units)])} {noun}"


def _briefly(model: Model, comparison: ModelComparison) -> str:
    """Return a short name of a model, for a sentence that names other models in full."""
    if counts_units(comparison) and model.network is not None:
        return str(model.network.hidden[0])
    return model.name


def _plural(models: Sequence[Model], comparison: ModelComparison) -> bool:
    if len(models) > 1:
        return True
    network = models[0].network
    return counts_units(comparison) and network is not None and network.hidden[0] > 1


def _by_evidence(comparison: ModelComparison) -> str:
    known = [m for m in comparison.models if math.isfinite(m.probability.value)]
    if not known:
        return "There are no posterior probabilities: they need the evidence of two models or more."
    best, second = known[0], known[1]
    verb = "have" if _plural([best], comparison) else "has"
    text = (
        f"{sentence(_said([best], comparison))} {verb} {chance(best.probability)} of the "
        "posterior probability"
    )
    low, high = best.interval
    ends = f"{number(100 * low, 0)} to {number(100 * high, 0)}\u00a0%"
    if too_wide(best):
        text += f", but the errors of log Z leave this open ({ends})"
    elif high - low > _WORTH_TELLING:
        text += f" ({ends} within the errors)"
    follow = "follow" if _plural([second], comparison) else "follows"
    return f"{text}; {_said([second], comparison)} {follow} with {chance(second.probability)}."


def _by_prediction(comparison: ModelComparison) -> list[str]:
    found: dict[tuple[str, ...], list[str]] = {}
    members: dict[tuple[str, ...], list[Model]] = {}
    for label, which, small in (
        ("LOO", "loo", _SMALL),
        ("the held-out score", "held_out", 0.0),
    ):
        group = _leaders(comparison, which, small)
        if group:
            key = tuple(model.name for model in group)
            found.setdefault(key, []).append(label)
            members[key] = group
    texts = []
    for key, labels in found.items():
        best, *ties = members[key]
        several = len(labels) > 1
        if ties:
            verb = "do" if several else "does"
            texts.append(
                f"{sentence(joined(labels))} {verb} not separate {_briefly(best, comparison)} and "
                f"{_said(ties, comparison)}."
            )
        else:
            verb = "put" if several else "puts"
            texts.append(f"{sentence(joined(labels))} {verb} {_said([best], comparison)} first.")
    return texts


def _leaders(comparison: ModelComparison, which: str, small: float) -> list[Model]:
    """Return the best model by a score, and the models that the score does not separate from it.

    Empty if fewer than two models have the score.
    """
    known = [m for m in comparison.models if not math.isnan(getattr(m, which).value)]
    if len(known) < 2:
        return []
    known.sort(key=lambda m: -getattr(m, which).value)

    def close(model: Model) -> bool:
        gap: Estimate = getattr(model, f"{which}_difference")
        return not -gap.value > max(small, _ERRORS * gap.sd)

    return [known[0], *(model for model in known[1:] if close(model))]


def _stacked(comparison: ModelComparison) -> str:
    known = [m for m in comparison.models if math.isfinite(m.stacking.value)]
    if not known:
        return ""
    best = max(known, key=lambda m: m.stacking.value)
    text = f"Stacking gives {_said([best], comparison)} the weight {percent(best.stacking)}"
    others = [m for m in known if m is not best and m.stacking.value >= 0.05]
    if others:
        rest = joined([f"{_said([m], comparison)} {percent(m.stacking)}" for m in others])
        text += f", and {rest}"
    return f"{text}."


EVIDENCE = ("Model", "Dim.", "log Z", "log BF", "Probability")
PREDICTION = ("Model", "Stacking", "LOO", "difference", "Held out", "difference")


def evidence_cells(comparison: ModelComparison) -> list[tuple[str, ...]]:
    """Return a table of the models by evidence, headings first; a dash for unknown figures."""
    rows = [
        (
            model.name,
            str(model.dims),
            nats(model.log_z),
            nats(model.log_bayes_factor),
            chance(model.probability),
        )
        for model in comparison.models
    ]
    return _known([EVIDENCE, *rows])


def prediction_cells(comparison: ModelComparison) -> list[tuple[str, ...]]:
    """Return a table of the models by prediction, in the same form."""
    rows = [
        (
            model.name,
            chance(model.stacking),
            nats(model.loo),
            nats(model.loo_difference),
            _nats_a_row(model.held_out),
            _nats_a_row(model.held_out_difference),
        )
        for model in comparison.models
    ]
    return _known([PREDICTION, *rows])


def _known(table: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Leave out the columns without any known figure."""
    kept = [k for k, column in enumerate(zip(*table, strict=True)) if set(column[1:]) != {NOTHING}]
    return [tuple(row[k] for k in kept) for row in table]


def _nats_a_row(estimate: Estimate) -> str:
    """Return nats a row, with three decimals; a dash if the figure is not known."""
    if not math.isfinite(estimate.value):
        return number(estimate.value, 0)
    text = number(estimate.value, 3)
    return text if math.isnan(estimate.sd) else f"{text}\u00a0±\u00a0{number(estimate.sd, 3)}"
