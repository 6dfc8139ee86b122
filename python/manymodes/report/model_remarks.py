"""Remarks on a comparison of models: a sentence or two for each finding."""

from __future__ import annotations

import math
from typing import assert_never

from manymodes.models.remarks import (
    Caution,
    CutPrior,
    EnginesDisagree,
    LowInsertion,
    NoCommonData,
    NoEvidence,
    Note,
    NothingScored,
    OneModel,
    OneRun,
    OpenProbability,
    OtherData,
    OtherInputs,
    OtherLengths,
    OtherRowsHeldOut,
    PartlyScored,
    RescaledInputs,
    UncheckedData,
    UnknownEvidence,
    UnreliableLoo,
    ZeroInPrior,
)
from manymodes.models.result import ModelComparison
from manymodes.sampling.nested.meaning import what_is_integrated


def model_notes(comparison: ModelComparison) -> tuple[str, ...]:
    """Return sentences on what was checked, and on what was assumed."""
    return tuple(map(note_text, comparison.notes))


def model_cautions(comparison: ModelComparison) -> tuple[str, ...]:
    """Return sentences on what casts doubt on the figures; empty if nothing does."""
    return tuple(map(caution_text, comparison.cautions))


def note_text(note: Note) -> str:
    """Return a note in words."""
    match note:
        case RescaledInputs() | OtherInputs() | NoCommonData() | OtherData() | UncheckedData():
            return _on_data(note)
        case UnknownEvidence() | CutPrior() | ZeroInPrior() | OneModel():
            return _on_evidence(note)
        case NothingScored(model):
            return f"{model}: no observation has a leave-one-out score (log_lik is not finite)."
        case OtherLengths(lengths):
            return (
                f"The programs' log_lik have {' and '.join(map(str, lengths))} entries: LOO is of "
                "different things, and left out."
            )
        case PartlyScored(scored, n_obs):
            return (
                f"{n_obs - scored} of {n_obs} observations have no leave-one-out score in some "
                f"model: LOO and its weights use the other {scored}."
            )
        case OtherRowsHeldOut():
            return "Different rows were held out: there is no held-out score."
    assert_never(note)


def _on_data(
    note: RescaledInputs | OtherInputs | NoCommonData | OtherData | UncheckedData,
) -> str:
    match note:
        case RescaledInputs(model, other):
            return (
                f"{model}, against {other}, scales its inputs otherwise, so that the same prior "
                "has another meaning."
            )
        case OtherInputs(model, other, shared, columns):
            return (
                f"{model}, against {other}, shares {shared} of its {columns} columns of inputs: "
                "whether the other columns are of the same rows was not checked."
            )
        case NoCommonData(model, other):
            return (
                f"{other} and {model} share no array of data with one entry for each row: whether "
                "they have the same data was not checked."
            )
        case OtherData(model, other, arrays):
            return (
                f"{model} has another {' and '.join(arrays)} than {other}, which is taken for a "
                "choice of the model."
            )
        case UncheckedData(model, other, common, unchecked):
            return (
                f"{model} and {other} agree in {', '.join(common)}; only one of them has "
                f"{', '.join(unchecked)}, which was not checked."
            )
    assert_never(note)


def _on_evidence(note: UnknownEvidence | CutPrior | ZeroInPrior | OneModel) -> str:
    match note:
        case UnknownEvidence(models):
            return (
                f"The evidence of {', '.join(models)} is not known (no nested runs): "
                "probabilities are among the others."
            )
        case CutPrior(model, log_z, log_mass):
            return (
                f"{model}: the program cuts its prior off at the constraint without renormalising "
                "it. Its log_z is comparable, because the prior mass inside is known: "
                f"{log_z:.2f} + {-log_mass:.2f} = {log_z - log_mass:.2f} nats."
            )
        case ZeroInPrior(model, log_inside, restricted):
            return (
                f"{model}: its density is zero on {-100 * math.expm1(log_inside):.2g} % of the "
                "prior. log_z is right if this is part of the model; if the prior was meant to be "
                f"renormalised on the rest, log_z is {restricted:.2f} nats."
            )
        case OneModel(models):
            return (
                f"{' and '.join(models)} are one model: they differ in copies that a constraint "
                "leaves out, or in how weights are parameterised, and log_z should agree. Each "
                "counts with its own prior probability."
            )
    assert_never(note)


def caution_text(caution: Caution) -> str:
    """Return a caution in words."""
    match caution:
        case OpenProbability(model, interval):
            low, high = interval
            return (
                f"The errors of log_z are too large for a conclusion: the probability of {model} "
                f"is between {100 * low:.0f} and {100 * high:.0f} % (90 % interval). Add nested "
                "runs or live points."
            )
        case NoEvidence(model, prior):
            return f"{model}: {what_is_integrated(prior)}."
        case LowInsertion(model, p):
            return (
                f"{model}: the insertion-index test has p = {p:.2g}: its log_z may be wrong by "
                "more than its error; run again with more repeats or live points."
            )
        case EnginesDisagree(model):
            return (
                f"{model}: tempered and nested runs disagree by more than three joint errors, so "
                "that it has no log_z; manymodes compare of its run says what to do."
            )
        case OneRun(model):
            return (
                f"{model}: there is one nested run, so the error of log_z comes from its volumes "
                "alone; a second run would show modes that it missed."
            )
        case UnreliableLoo(shares):
            told = ", ".join(f"{100 * share:.1f} % of {name}" for name, share in shares)
            return (
                f"Leave-one-out terms with a Pareto k above 0.7: {told}. LOO and the weights that "
                "follow from it rest partly on unreliable terms."
            )
    assert_never(caution)
