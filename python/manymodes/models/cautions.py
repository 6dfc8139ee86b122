"""Sentences on what casts doubt on a comparison of models, and on the priors of its evidences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from manymodes.models.remarks import (
    Caution,
    CutPrior,
    EnginesDisagree,
    EvidenceNote,
    LowInsertion,
    NoEvidence,
    OneModel,
    OneRun,
    OpenProbability,
    UnknownEvidence,
    UnreliableLoo,
    ZeroInPrior,
)
from manymodes.models.result import Model
from manymodes.models.runs import ModelRun
from manymodes.modes.headline import headline
from manymodes.networks.network import Network

_WIDE = 0.25  # of the 90 % interval of a probability: wider ones decide nothing
_UNLIKELY = 0.01
_WORTH_TELLING = 0.01


def too_wide(model: Model) -> bool:
    """Return whether the errors of log_z leave a model's probability open."""
    low, high = model.interval
    return high - low > _WIDE


def cautions(
    found: Sequence[Model], models: Sequence[ModelRun], called: Sequence[str]
) -> Iterator[Caution]:
    """Yield what casts doubt on the figures."""
    if wide := [model for model in found if too_wide(model)]:
        worst = max(wide, key=lambda model: model.interval[1] - model.interval[0])
        yield OpenProbability(worst.name, worst.interval)
    for name, model in zip(called, models, strict=True):
        nested, integral = model.nested, model.tempered or model.nested
        if integral is None:
            continue
        if headline(nested, model.tempered).agree is False:
            yield EnginesDisagree(name)
        prior = integral.prior_integral
        if prior is not None and (prior.endless or prior.improper):
            yield NoEvidence(name, prior)
        if nested is None:
            continue
        if nested.insertion_p < _UNLIKELY:
            yield LowInsertion(name, nested.insertion_p)
        if len(nested.runs) == 1 and model.tempered is None:
            yield OneRun(name)
    bad = [(one.name, one.unreliable_loo) for one in found if one.unreliable_loo > _WORTH_TELLING]
    if bad:
        yield UnreliableLoo(tuple(bad))


def evidence_notes(models: Sequence[ModelRun], called: Sequence[str]) -> Iterator[EvidenceNote]:
    """Yield what the evidences are relative to, where that is not plainly the prior."""
    if sum(model.is_integrated for model in models) >= 2:
        unknown = tuple(n for n, m in zip(called, models, strict=True) if not m.is_integrated)
        if unknown:
            yield UnknownEvidence(unknown)
    for name, model in zip(called, models, strict=True):
        nested, network = model.nested, model.network
        if network is not None and network.constraint == "pd-skew:reject" and model.is_integrated:
            found = headline(nested, model.tempered).log_z
            yield CutPrior(name, found.value, network.region.log_mass)
        elif nested is not None and nested.log_prior_inside[0] < 0:
            yield ZeroInPrior(name, nested.log_prior_inside[0], nested.log_z_restricted)
    yield from _one_model_twice(models, called)


def _one_model_twice(models: Sequence[ModelRun], called: Sequence[str]) -> Iterator[OneModel]:
    """Find the networks that differ in nothing but how copies of one function are left out."""
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
            one = replace(network, constraint="none", centred=None)
            alike.setdefault((one, inputs), []).append(name)
    return (OneModel(tuple(group)) for group in alike.values() if len(group) > 1)
