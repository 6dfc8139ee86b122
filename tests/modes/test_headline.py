"""The figure that two engines agree on, and that there is none where they do not."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from manymodes.modes.headline import NESTED, TEMPERED, headline
from manymodes.modes.mode_weights import EvidenceWeights, combined_weights
from manymodes.modes.summary_entries import evidence_entry
from manymodes.statistics.estimate import Estimate


@dataclass
class Found:
    """What an engine found: as much of it as a headline reads."""

    log_z: float
    log_z_sd: float
    extra: dict[str, Any] = field(default_factory=dict)


def of(nested: Found | None, tempered: Found | None) -> Any:
    return headline(nested, tempered)  # type: ignore[arg-type]


def test_engines_that_agree_are_weighted_by_their_precision() -> None:
    found = of(Found(-10.0, 0.3), Found(-10.4, 0.1))
    assert found.agree is True
    assert found.apart == pytest.approx(0.4 / np.hypot(0.3, 0.1))
    assert found.shares == pytest.approx({TEMPERED: 0.9, NESTED: 0.1})
    assert found.log_z.value == pytest.approx(-10.36)
    assert found.log_z.sd == pytest.approx(1 / np.sqrt(1 / 0.3**2 + 1 / 0.1**2))


@pytest.mark.parametrize(("gap", "agree"), [(2.9, True), (3.1, False)])
def test_three_joint_errors_decide(gap: float, agree: bool) -> None:
    found = of(Found(0.0, 0.3), Found(gap * 0.5, 0.4))
    assert found.agree is agree
    assert np.isnan(found.log_z.value) is not agree
    assert (evidence_entry(found) is None) is not agree


def test_one_engine_is_checked_by_nothing() -> None:
    found = of(None, Found(-3.0, 0.2))
    assert (found.agree, found.log_z) == (None, Estimate(-3.0, 0.2))
    entry = evidence_entry(found)
    assert entry == {"log_z": -3.0, "log_z_sd": 0.2, "engines": ["tempered"], "agree": None}


def test_without_an_integral_there_is_no_figure() -> None:
    found = of(Found(np.nan, np.nan), Found(np.nan, np.nan))
    assert found.agree is None
    assert np.isnan(found.log_z.value)


def test_figures_without_error_agree_only_if_they_are_the_same() -> None:
    assert of(Found(0.0, 0.0), Found(0.0, 0.0)).agree is True
    assert of(Found(0.0, 0.0), Found(1e-3, 0.0)).agree is False


shares = st.lists(st.floats(0.0, 1.0), min_size=3, max_size=3).filter(lambda x: sum(x) > 0.01)


@given(shares, shares, st.sets(st.integers(0, 2), max_size=2))
def test_weights_and_what_is_unassigned_sum_to_one(
    one: list[float], other: list[float], unknown: set[int]
) -> None:
    """Whatever each engine knows of the modes, no more than everything is given away."""
    by_engine = {}
    for name, values, hidden in ((TEMPERED, one, set()), (NESTED, other, unknown)):
        found = [
            Estimate() if k in hidden else Estimate(value / sum(values), 0.1)
            for k, value in enumerate(values)
        ]
        by_engine[name] = EvidenceWeights(found, found, np.empty(0), np.ones((3, 4)) / 3)
    whole = combined_weights(by_engine, of(Found(0.0, 0.2), Found(0.1, 0.1)), 3)
    given_away = np.nansum([share.value for share in whole.shares])
    assert given_away <= 1 + 1e-9
    nothing = combined_weights(by_engine, of(Found(0.0, 0.1), Found(9.0, 0.1)), 3)
    assert all(np.isnan(share.value) for share in nothing.shares)
