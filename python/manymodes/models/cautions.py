"""What casts doubt on a comparison of models, and what its evidences are relative to."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from manymodes.models.result import Model
from manymodes.models.runs import ModelRun
from manymodes.networks.network import Network
from manymodes.sampling.nested.meaning import what_log_z_is

_WIDE = 0.25  # of the 90 % interval of a probability: wider ones decide nothing
_UNLIKELY = 0.01
_WORTH_TELLING = 0.01


def too_wide(model: Model) -> bool:
    """Return whether the errors of log_z leave a model's probability open."""
    low, high = model.interval
    return high - low > _WIDE


def cautions(
    found: Sequence[Model], models: Sequence[ModelRun], called: Sequence[str]
) -> tuple[str, ...]:
    """Return what casts doubt on the figures, in sentences; empty if nothing does."""
    texts = []
    if wide := [model for model in found if too_wide(model)]:
        worst = max(wide, key=lambda model: model.interval[1] - model.interval[0])
        low, high = (100 * end for end in worst.interval)
        texts.append(
            "The errors of log_z are too large for a conclusion: the probability of "
            f"{worst.name} is between {low:.0f} and {high:.0f} % (90 % interval). Add nested runs "
            "or live points."
        )
    for name, model in zip(called, models, strict=True):
        nested = model.nested
        if nested is None:
            continue
        what = what_log_z_is(nested)
        if what:
            texts.append(f"{name}: {what}.")
        if nested.insertion_p < _UNLIKELY:
            texts.append(
                f"{name}: the insertion-index test has p = {nested.insertion_p:.2g}: its log_z "
                "may be wrong by more than its error; run again with more repeats or live points."
            )
        if len(nested.runs) == 1:
            texts.append(
                f"{name}: there is one nested run, so the error of log_z is that of its volumes "
                "alone; a second run would show what they do not know of."
            )
    bad = [model for model in found if model.unreliable_loo > _WORTH_TELLING]
    if bad:
        shares = ", ".join(f"{100 * model.unreliable_loo:.1f} % of {model.name}" for model in bad)
        texts.append(
            f"Leave-one-out terms with a Pareto k above 0.7: {shares}. LOO and the weights that "
            "follow from it rest partly on unreliable terms."
        )
    return tuple(texts)


def evidence_notes(models: Sequence[ModelRun], called: Sequence[str]) -> list[str]:
    """Return what the evidences are relative to, where that is not plainly the prior."""
    notes = []
    if sum(model.nested is not None for model in models) >= 2:
        unknown = [n for n, m in zip(called, models, strict=True) if m.nested is None]
        if unknown:
            notes.append(
                f"The evidence of {', '.join(unknown)} is not known (no nested runs): "
                "probabilities are among the others."
            )
    for name, model in zip(called, models, strict=True):
        nested, network = model.nested, model.network
        if nested is None:
            continue
        if network is not None and network.constraint == "pd-skew:reject":
            mass = network.region.log_mass
            notes.append(
                f"{name}: the program cuts its prior off at the constraint without renormalising "
                f"it. The prior mass inside is known, which makes its log_z comparable: "
                f"{nested.log_z:.2f} + {-mass:.2f} = {nested.log_z - mass:.2f} nats."
            )
        elif nested.log_prior_inside[0] < 0:
            notes.append(
                f"{name}: its density is zero on "
                f"{-100 * math.expm1(nested.log_prior_inside[0]):.2g} % of the prior. log_z is "
                f"right if that is part of the model; if the prior was meant to be renormalised "
                f"where it is not, log_z is {nested.log_z_restricted:.2f} nats."
            )
    return notes + _one_model_twice(models, called)


def _one_model_twice(models: Sequence[ModelRun], called: Sequence[str]) -> list[str]:
    """Name the networks that differ in nothing but how copies of one function are left out.

    Their evidences are equal, and each has a prior probability of its own.
    """
    alike: dict[tuple[Network, bytes], list[str]] = {}
    for name, model in zip(called, models, strict=True):
        network = model.network
        if network is None:
            continue
        same = {"none", "ordered", "unit-norm"}
        if network.activation == "tanh":
            same.add("ordered-signed")
        if network.constraint in same:
            inputs = np.asarray(model.posterior.data["X"], dtype=float).tobytes()
            alike.setdefault((replace(network, constraint="none"), inputs), []).append(name)
    return [
        f"{' and '.join(group)} are one model: the constraint only leaves out copies, and log_z "
        "should agree. Each counts with its own prior probability."
        for group in alike.values()
        if len(group) > 1
    ]
