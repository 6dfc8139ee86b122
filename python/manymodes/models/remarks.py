"""Remarks on a comparison of models, as figures and names.

Each class is one finding; `manymodes.report.model_remarks` has the sentence for it. Where a finding
is about one model, ``model`` is the name that it has in the comparison, or, in what was seen of
the data, its directories.
"""

from __future__ import annotations

from dataclasses import dataclass

from manymodes.sampling.nested import PriorIntegral

# ---------------------------------------------------------------------------- of the data


@dataclass(frozen=True)
class RescaledInputs:
    """A network has the inputs of another in other units: the same prior has another meaning."""

    model: str
    other: str


@dataclass(frozen=True)
class OtherInputs:
    """A network has ``columns`` of inputs, and only ``shared`` of them are also another's."""

    model: str
    other: str
    shared: int
    columns: int


@dataclass(frozen=True)
class NoCommonData:
    """Two programs have no array of one entry a row in common: nothing could be compared."""

    model: str
    other: str


@dataclass(frozen=True)
class OtherData:
    """Some ``arrays`` of two programs differ, which is taken for a choice of the model."""

    model: str
    other: str
    arrays: tuple[str, ...]


@dataclass(frozen=True)
class UncheckedData:
    """Two programs have some arrays in ``common``; others, ``unchecked``, are in one alone."""

    model: str
    other: str
    common: tuple[str, ...]
    unchecked: tuple[str, ...]


DataNote = RescaledInputs | OtherInputs | NoCommonData | OtherData | UncheckedData

# ---------------------------------------------------------------------------- of the evidence


@dataclass(frozen=True)
class UnknownEvidence:
    """Some ``models`` were not integrated: probabilities are among the others."""

    models: tuple[str, ...]


@dataclass(frozen=True)
class CutPrior:
    """A program cuts its prior off without renormalising it; the comparison corrects this.

    Attributes
    ----------
    log_z : float
        Log evidence as the program has it (nats).
    log_mass : float
        Log of the prior mass inside (nats); the comparable log evidence is `log_z` minus it.
    """

    model: str
    log_z: float
    log_mass: float


@dataclass(frozen=True)
class ZeroInPrior:
    """A density is zero on part of its prior.

    Attributes
    ----------
    log_inside : float
        Log of the share of the prior on which it is above zero (nats).
    log_z_restricted : float
        Log evidence relative to the prior renormalised there (nats).
    """

    model: str
    log_inside: float
    log_z_restricted: float


@dataclass(frozen=True)
class OneModel:
    """Some ``models`` differ only in how copies are left out, or weights are parameterised.

    Their evidences are equal, and each has a prior probability of its own.
    """

    models: tuple[str, ...]


EvidenceNote = UnknownEvidence | CutPrior | ZeroInPrior | OneModel

# ---------------------------------------------------------------------------- of predictions


@dataclass(frozen=True)
class NothingScored:
    """No observation has a leave-one-out score under a model's chains."""

    model: str


@dataclass(frozen=True)
class OtherLengths:
    """The programs' ``log_lik`` have several ``lengths``: LOO is of different things."""

    lengths: tuple[int, ...]


@dataclass(frozen=True)
class PartlyScored:
    """Only ``scored`` of ``n_obs`` observations have a leave-one-out score in every model."""

    scored: int
    n_obs: int


@dataclass(frozen=True)
class OtherRowsHeldOut:
    """Models have different held-out rows: there is no held-out score."""


PredictionNote = NothingScored | OtherLengths | PartlyScored | OtherRowsHeldOut
Note = DataNote | EvidenceNote | PredictionNote
"""What was checked of a comparison, and what was taken for granted."""

# ---------------------------------------------------------------------------- doubts


@dataclass(frozen=True)
class OpenProbability:
    """The errors of log_z leave a probability open, here that with the widest ``interval``."""

    model: str
    interval: tuple[float, float]


@dataclass(frozen=True)
class NoEvidence:
    """The integral of a model's density is no evidence, or may be none."""

    model: str
    prior: PriorIntegral


@dataclass(frozen=True)
class LowInsertion:
    """The insertion-index test of a model's nested runs has a small ``p``."""

    model: str
    p: float


@dataclass(frozen=True)
class EnginesDisagree:
    """The engines disagree on a model's evidence: it has no figure."""

    model: str


@dataclass(frozen=True)
class OneRun:
    """A model has one nested run: the error of log_z is that of its volumes alone."""

    model: str


@dataclass(frozen=True)
class UnreliableLoo:
    """Leave-one-out terms with a Pareto k above 0.7: the ``shares`` of models, by name."""

    shares: tuple[tuple[str, float], ...]


Caution = OpenProbability | NoEvidence | EnginesDisagree | LowInsertion | OneRun | UnreliableLoo
"""What casts doubt on the figures of a comparison."""
