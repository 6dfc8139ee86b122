"""The three weights of a mode, also where chains were cut short."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import made_chains
from made_comparisons import XOR, make_nested, make_posterior, nested_run
from manymodes.modes.comparison import Comparison
from manymodes.modes.mode_weights import (
    _corrected,
    chain_weights,
    evidence_weights,
    mode_shares,
    occupancies,
)
from manymodes.sampling.nested import Nested
from manymodes.statistics.estimate import Estimate
from seeds import seeded

LABELS = np.array([[0, 0, 0, 0], [1, 1, -1, -1], [0, 0, 1, 1], [1, 1, 1, 1]])
LENGTHS = [4, 2, 4, 4]


def chains(lpd: Any) -> Any:
    posterior: Any = SimpleNamespace(network=None, has_log_lik=False)
    return made_chains(posterior, np.zeros((4, 4, 1)), lengths=LENGTHS, lpd=lpd)


def modes() -> Any:
    own, one = np.arange(2), np.ones(2, dtype=int)
    return SimpleNamespace(chains=LABELS, n_modes=2, kinds=own, copies=one)


def test_shares_are_of_the_draws_that_a_chain_has() -> None:
    np.testing.assert_array_equal(mode_shares(LABELS, 2), [[1, 0], [0, 1], [0.5, 0.5], [0, 1]])


def test_a_chain_that_was_cut_short_counts_by_its_draws() -> None:
    found, _ = occupancies(chains(np.zeros((4, 3))), modes(), np.random.default_rng(seeded(1)))
    assert [one.value for one in found] == pytest.approx([6 / 14, 8 / 14])
    assert all(0.1 < one.sd < 0.35 for one in found)  # of four chains, each in one mode or two
    assert np.isnan(occupancies(None, modes(), np.random.default_rng(seeded(1)))[0][0].value)


def test_chains_are_weighed_in_every_way_that_is_known() -> None:
    rng = np.random.default_rng(seeded(2))
    lpd = rng.normal(-1, 0.5, size=(4, 30))
    lpd[:, 7] = -np.inf  # no chain gives it a density: it cannot tell them apart
    evidence = [Estimate(0.9, 0.01), Estimate(0.1, 0.01)]
    found = chain_weights(chains(lpd), modes(), evidence, np.random.default_rng(seeded(1)))
    assert [one.name for one in found.weighings] == [
        "stacking",
        "pseudo-BMA+",
        "uniform",
        "evidence",
    ]
    assert found.stacked is not None
    stacking = found.stacked.stacking
    assert stacking.converged
    np.testing.assert_allclose(stacking.weights, found.weighings[0].weights)
    by_mode = stacking.weights @ mode_shares(LABELS, 2)
    assert [one.value for one in found.by_mode] == pytest.approx(by_mode.tolist())
    np.testing.assert_allclose(found.weighings[3].mode_weights, [0.9, 0.1], atol=1e-6)


def test_without_an_evidence_or_scores_less_is_known() -> None:
    unknown = [Estimate(), Estimate()]
    lpd = np.random.default_rng(seeded(2)).normal(-1, 0.5, size=(4, 30))
    found = chain_weights(chains(lpd), modes(), unknown, np.random.default_rng(seeded(1)))
    assert [one.name for one in found.weighings] == ["stacking", "pseudo-BMA+", "uniform"]
    for scores in (np.empty((4, 0)), lpd[:, :1], np.full((4, 5), -np.inf)):
        none = chain_weights(chains(scores), modes(), unknown, np.random.default_rng(seeded(1)))
        assert none.stacked is None
        assert none.weighings == ()
        assert np.isnan(none.by_mode[0].value)


# ---------------------------------------------------------------- evidence


def lineages(nested: Nested, shares: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a mode for each point: the first live points at random, others as a live one then."""
    modes = np.full(len(nested.logl), -1, dtype=np.intp)
    for run in range(len(nested.runs)):
        own = np.flatnonzero(nested.run_of == run)
        alive: list[int] = []
        order = own[np.argsort(nested.birth[own], kind="stable")]
        for i in order:
            if nested.birth[i] == -np.inf:
                modes[i] = rng.choice(len(shares), p=shares)
            else:
                alive = [j for j in alive if nested.logl[j] > nested.birth[i]]
                modes[i] = modes[rng.choice(alive)] if alive else 0
            alive.append(int(i))
    return modes


def made_modes(nested: Nested, labels: np.ndarray, reached: np.ndarray) -> Any:
    n = reached.shape[0]
    passes = np.full((n, n), -np.inf)  # separate from the beginning
    np.fill_diagonal(passes, 0.0)
    return SimpleNamespace(
        nested=labels,
        n_modes=n,
        passes=passes,
        reached_by_run=reached,
        reached=reached.any(axis=1),
        runaway=np.empty((0, 0)),
    )


def runs_of(nlive: int, runs: int, seed: int) -> Nested:
    made = make_nested(make_posterior(XOR))
    each = tuple(nested_run(3, 100 * seed + i, nlive=nlive) for i in range(runs))
    return replace(made, runs=each, nlive=nlive)


@settings(max_examples=25)
@given(
    seed=st.integers(1, 10**6),
    nlive=st.integers(3, 12),
    runs=st.integers(1, 4),
    n_modes=st.integers(1, 6),
    missing=st.integers(0, 2**24 - 1),
)
def test_printed_weights_and_what_is_unassigned_are_one(
    seed: int, nlive: int, runs: int, n_modes: int, missing: int
) -> None:
    """Whatever modes the runs reached, and however few live points carried them."""
    rng = np.random.default_rng(seed)
    nested = runs_of(nlive, runs, seed)
    labels = lineages(nested, rng.dirichlet(np.ones(n_modes)), rng)
    bits = np.array([missing >> i & 1 for i in range(24)], dtype=bool)
    reached = ~bits[: n_modes * runs].reshape(n_modes, runs)
    modes = made_modes(nested, labels, reached)
    found = evidence_weights(nested, modes, rng)
    values = np.array([one.value for one in found.shares])
    limits = np.array([one.at_most for one in found.shares])
    told = np.isfinite(values)
    unassigned = found.point_weights[~told[labels]].sum()
    assert values[told].sum() + unassigned == pytest.approx(1)
    summaries = tuple(SimpleNamespace(id=k, evidence=one) for k, one in enumerate(found.shares))
    engines = {"nested": SimpleNamespace(log_z=0.0)}
    printed: Any = SimpleNamespace(integrals=engines, summaries=summaries)
    assert Comparison.unassigned.fget(printed) == pytest.approx(unassigned, abs=1e-9)  # type: ignore[attr-defined]
    assert not (told & np.isfinite(limits)).any()
    if n_modes > 1:
        assert not told[~modes.reached | (found.live <= 2)].any()
        seen = np.bincount(labels, found.point_weights, n_modes)
        few = np.isfinite(limits)
        assert (limits[few] >= np.minimum(1.0, 3 * seen[few]) - 1e-9).all()


def test_errors_of_copies_are_right() -> None:
    """Families of points drift between five equal modes: volumes alone do not know how far."""
    z: list[float] = []
    rng = np.random.default_rng(seeded(3))
    for seed in range(40):
        nested = runs_of(40, 4, seeded(seed))
        labels = lineages(nested, np.full(5, 0.2), rng)
        modes = made_modes(nested, labels, np.ones((5, 4), dtype=bool))
        modes.passes[:] = 0.0  # integrated as if points crossed up to the peaks
        found = evidence_weights(nested, modes, rng)
        z += [(one.value - 0.2) / one.sd for one in found.shares if np.isfinite(one.value)]
        assert all(one.sd >= nested.log_z_sd * 0.9 for one in found.log_z if np.isfinite(one.value))
    assert len(z) > 100
    assert 0.6 < np.std(z) < 1.4


def test_a_mode_that_one_live_point_carried_has_a_limit() -> None:
    """Two modes are separate at once, and one of twenty live points is alone in the second."""
    nested = runs_of(20, 1, seeded(4))
    first = np.flatnonzero(nested.birth == -np.inf)
    labels = np.zeros(len(nested.logl), dtype=np.intp)
    last = first[-1]
    labels[last] = 1
    modes = made_modes(nested, labels, np.ones((2, 1), dtype=bool))
    found = evidence_weights(nested, modes, np.random.default_rng(1))
    assert found.live.tolist()[1] == 1
    assert np.isnan(found.shares[1].value)
    seen = found.point_weights[labels == 1].sum()
    assert found.shares[1].at_most == pytest.approx(min(1.0, 4.744 * seen), rel=1e-3)
    assert found.log_z[1].at_most - found.log_z[0].value == pytest.approx(
        np.log(4.744 * seen / (1 - seen)), abs=1e-3
    )


def test_corrected_shares_add_up_whichever_corrections_are_taken() -> None:
    """The second would leave nothing: it is not taken, and the others give what it keeps."""
    shares = np.array([0.6, 0.1, 0.3])
    np.testing.assert_allclose(_corrected(shares, np.array([0.1, 0.0, -0.1])), [0.7, 0.1, 0.2])
    found = _corrected(shares, np.array([0.1, -0.1, 0.0]))
    assert found.sum() == pytest.approx(1.0)
    np.testing.assert_allclose(found, np.array([0.7, 0.1, 0.3]) / 1.1)


def test_one_chain_has_no_error_of_occupancy_or_stacking() -> None:
    one = np.array([[0, 0, 1, 1]])
    alone = SimpleNamespace(chains=one, n_modes=2, kinds=np.arange(2), copies=np.ones(2, dtype=int))
    posterior: Any = SimpleNamespace(network=None, has_log_lik=False)
    lpd = np.random.default_rng(seeded(3)).normal(size=(1, 20))
    single = made_chains(posterior, np.zeros((1, 4, 1)), lpd=lpd)
    found, draws = occupancies(single, alone, np.random.default_rng(seeded(1)))
    assert [(share.value, np.isnan(share.sd)) for share in found] == [(0.5, True), (0.5, True)]
    assert draws.shape == (2, 0)
    weights = chain_weights(single, alone, [Estimate()] * 2, np.random.default_rng(seeded(1)))
    assert all(np.isnan(share.sd) for share in weights.by_mode)
