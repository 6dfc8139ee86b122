"""The three weights of each mode, and the entry of the summary."""

from __future__ import annotations

import json

import numpy as np
import pytest

from manymodes.density.posterior import Posterior
from manymodes.errors import InputError
from manymodes.modes.comparison import PROMINENT, Comparison, compare
from manymodes.modes.find import ModeSettings
from manymodes.modes.stacked_chains import stack_chains
from manymodes.sampling.chains.chains import Chains
from manymodes.sampling.nested import Nested
from manymodes.statistics.diagnostics import rhat
from seeds import seeded
from summary_schema import SCHEMA, assert_follows

FEW = ModeSettings(climbs=60)


def test_modes_are_numbered_by_descending_evidence(xor_comparison: Comparison) -> None:
    values = [mode.evidence.value for mode in xor_comparison.summaries]
    weighed = [value for value in values if not np.isnan(value)]
    assert weighed == sorted(weighed, reverse=True)
    assert np.isnan(values[len(weighed) :]).all()
    limits = [mode.evidence.at_most for mode in xor_comparison.summaries[len(weighed) :]]
    limited = [limit for limit in limits if not np.isnan(limit)]
    assert limits[: len(limited)] == sorted(limited, reverse=True)
    assert [mode.id for mode in xor_comparison.summaries] == list(range(1, len(values) + 1))
    assert xor_comparison.summaries[0].function == 1
    may_be_prominent = [not limit <= PROMINENT * max(weighed) for limit in limits]
    rest = xor_comparison.summaries[len(weighed) :]
    assert xor_comparison.unweighed == tuple(
        mode for mode, told in zip(rest, may_be_prominent, strict=True) if told
    )


def test_labels_lead_from_basins_to_summaries(xor_comparison: Comparison) -> None:
    c = xor_comparison
    for basin, label in enumerate(c.labels):
        mode = c.summaries[label - 1]
        assert mode.height == c.modes.heights[basin]
        share = (c.chain_modes == label).mean()
        assert mode.occupancy.value == pytest.approx(share, abs=1e-12)
        assert np.array_equal(c.nested_modes == label, c.modes.nested == basin)


def test_weights_add_up(xor_comparison: Comparison) -> None:
    c = xor_comparison
    assert sum(mode.occupancy.value for mode in c.summaries) == pytest.approx(1)
    assert sum(mode.stacking.value for mode in c.summaries) == pytest.approx(1)
    assert sum(mode.chains for mode in c.summaries) == 8
    assert c.nested_weights.sum() == pytest.approx(1)
    for mode in c.summaries:
        inside = c.nested_weights[c.nested_modes == mode.id].sum()
        if not np.isnan(mode.evidence.value):
            assert mode.evidence.value == pytest.approx(inside, rel=1e-6)
            assert mode.evidence.sd > 0


def test_stacking_weights_are_those_of_the_chains(xor_comparison: Comparison) -> None:
    c = xor_comparison
    assert c.chains is not None
    weights = stack_chains(c.chains).stacking.weights
    by_id = {mode.id: mode.stacking.value for mode in c.summaries}
    for kind in (kind for function in c.functions for kind in function.kinds):
        shares = np.isin(c.chain_modes, kind.modes).mean(axis=1)
        assert kind.stacking.value == pytest.approx(float(weights @ shares), abs=1e-6)
        for mode in kind.modes:  # copies share it evenly
            assert by_id[mode] == pytest.approx(kind.stacking.value / kind.copies, abs=1e-9)


def test_prominent_modes_are_those_of_the_paper(xor_comparison: Comparison) -> None:
    """More than 1e-3 of the largest evidence."""
    values = {m.id: m.evidence.value for m in xor_comparison.summaries}
    limit = PROMINENT * np.nanmax(list(values.values()))
    assert {m.id for m in xor_comparison.prominent} == {i for i, v in values.items() if v > limit}


def test_rhat_is_that_of_the_chains(xor_comparison: Comparison, xor_chains: Chains) -> None:
    np.testing.assert_allclose(xor_comparison.rhat_weights, rhat(xor_chains.eta))
    assert xor_comparison.rhat_function.shape == (220,)


def test_the_entry_follows_the_schema(xor_comparison: Comparison) -> None:
    entry = xor_comparison.as_dict()
    assert_follows(entry, SCHEMA)
    assert (entry["dims"], entry["n_obs"]) == (9, 220)
    assert entry["chains"]["n"] == 8
    assert entry["nested"]["nlive"] == 200
    assert entry["prominent_modes"] == len(xor_comparison.prominent)
    json.dumps(entry)


def test_one_engine_is_enough(xor_chains: Chains, xor_nested: Nested) -> None:
    posterior = xor_chains.posterior
    by_chains = compare(posterior, chains=xor_chains, settings=FEW, seed=seeded(1), quiet=True)
    assert all(np.isnan(mode.evidence.value) for mode in by_chains.summaries)
    occupied = [mode.occupancy.value for mode in by_chains.summaries]
    assert occupied == sorted(occupied, reverse=True)
    assert "nested" not in by_chains.as_dict()
    assert by_chains.prominent
    by_evidence = compare(posterior, nested=xor_nested, settings=FEW, seed=seeded(1), quiet=True)
    assert all(np.isnan(mode.occupancy.value) for mode in by_evidence.summaries)
    assert by_evidence.stacking is None
    assert "chains" not in by_evidence.as_dict()


def test_the_same_seed_gives_the_same_comparison(xor_nested: Nested) -> None:
    first, again = (
        compare(xor_nested.posterior, nested=xor_nested, settings=FEW, seed=3, quiet=True)
        for _ in range(2)
    )
    assert json.dumps(first.as_dict()) == json.dumps(again.as_dict())


def test_nothing_to_compare_is_refused(normal: Posterior) -> None:
    with pytest.raises(InputError, match="neither chains nor nested nor tempered"):
        compare(normal, quiet=True)
