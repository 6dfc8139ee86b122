"""One recommendation, for every case that a comparison can be in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from manymodes.modes.recommendation import Recommendation, recommend
from manymodes.report.recommendation_words import recommendation_text
from manymodes.statistics.estimate import Estimate


def scored(name: str, gap: float, sd: float = 1.0) -> Any:
    return SimpleNamespace(name=name, difference=Estimate(gap, sd))


def comparison(**given: Any) -> Any:
    """Return what a recommendation reads of a comparison: two functions, and an evidence."""
    values: dict[str, Any] = {
        "chains": SimpleNamespace(n_chains=4),
        "rhat_function": np.array([1.0, np.nan, 1.02]),
        "nested": object(),
        "tempered": SimpleNamespace(mixes=True),
        "held_out": (),
        "weighings": (scored("stacking", 0.0), scored("uniform", -1.0), scored("evidence", -1.5)),
        "integrals": {"tempered": object()},
        "headline": SimpleNamespace(log_z=Estimate(-10.0, 0.1), agree=True),
        "stacked": SimpleNamespace(groups=SimpleNamespace(n_groups=2)),
    }
    return SimpleNamespace(**{**values, **given})


ONE_GROUP = SimpleNamespace(groups=SimpleNamespace(n_groups=1))
UNKNOWN = SimpleNamespace(log_z=Estimate(), agree=False)
CHAINS_ALONE: dict[str, Any] = {"integrals": {}, "nested": None, "tempered": None}
BAD = (scored("stacking", 0.0), scored("uniform", -9.0), scored("evidence", -9.0))
EVEN = (scored("stacking", 0.0), scored("uniform", 5.0))


@pytest.mark.parametrize(
    ("given", "weights", "engine", "why"),
    [
        ({}, "evidence", "tempered", "probabilities"),
        ({"tempered": None}, "evidence", "nested", "probabilities"),
        ({"weighings": BAD}, "stacking", "chains", "evidence scores lower"),
        ({"held_out": BAD}, "stacking", "chains", "evidence scores lower"),
        ({"chains": None}, "evidence", "tempered", "only"),
        ({"headline": UNKNOWN}, "stacking", "chains", "unproven"),
        ({"tempered": SimpleNamespace(mixes=False)}, "stacking", "chains", "unproven"),
        (CHAINS_ALONE, "stacking", "chains", "functions"),
        ({**CHAINS_ALONE, "weighings": EVEN}, "uniform", "chains", "uniform scores higher"),
        ({**CHAINS_ALONE, "stacked": None}, "uniform", "chains", "unscored"),
        ({**CHAINS_ALONE, "stacked": ONE_GROUP}, "uniform", "chains", "one function"),
        (
            {**CHAINS_ALONE, "stacked": ONE_GROUP, "chains": SimpleNamespace(n_chains=1)},
            "uniform",
            "chains",
            "one chain",
        ),
        (
            {**CHAINS_ALONE, "stacked": ONE_GROUP, "rhat_function": np.array([1.0, 1.3])},
            "uniform",
            "chains",
            "too short",
        ),
    ],
)
def test_every_case_has_its_weights_and_its_reason(
    given: dict[str, Any], weights: str, engine: str, why: str
) -> None:
    found = recommend(comparison(**given))
    assert (found.weights, found.engine, found.why) == (weights, engine, why)
    text = recommendation_text(found, "RUN")
    assert f"manymodes predict RUN NEW.csv --weights {weights}" in text
    assert "nan" not in text
    assert found.as_dict()["why"] == why


def test_the_difference_of_scores_is_told_with_its_error() -> None:
    text = recommendation_text(recommend(comparison(**{**CHAINS_ALONE, "weighings": EVEN})), "RUN")
    assert "observations left out (cross-validated)" in text
    assert "5.0 ± 1.0 nats" in text
    held = recommendation_text(recommend(comparison(held_out=BAD)), "RUN")
    assert "held-out rows" in held
    assert "\u22129.0 ± 1.0 nats" in held


def test_chain_stacking_is_never_recommended_for_its_own_noise() -> None:
    noise = (scored("stacking", 0.0), scored("chain stacking", 9.0, 0.1), *EVEN[1:])
    found = recommend(comparison(**CHAINS_ALONE, weighings=noise))
    assert found.weights == "uniform"


@pytest.mark.parametrize("change", [lambda one: one, lambda one: replace(one, gap=Estimate())])
def test_the_command_fits_the_data(change: Callable[[Recommendation], Recommendation]) -> None:
    found = change(recommend(comparison()))
    assert "NEW.json" in recommendation_text(found, "RUN", table=False)
