"""Weightings beside stacking: closed forms, held-out scores against a loop, underflow."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import logsumexp

from manymodes.errors import InputError
from manymodes.statistics.chain_weightings import (
    Weighing,
    mode_evidence_weights,
    score_weighings,
    weighings,
)
from manymodes.statistics.estimate import Estimate
from manymodes.statistics.stacking import pseudo_bma_plus, stack
from seeds import seeded

MODES = np.repeat(np.eye(2), [3, 2], axis=0)


def two_modes(n: int = 80, shift: float = 0.0) -> np.ndarray:
    """Return the lpd of three chains good on one half of the data and two good on the other."""
    rng = np.random.default_rng(seeded(1))
    half = np.arange(n) % 2
    lpd = np.where(half[:, None] == (np.arange(5) >= 3), -1.0, -4.0)
    return lpd + 0.1 * rng.normal(size=lpd.shape) + shift


def by_name(found: tuple[Weighing, ...]) -> dict[str, Weighing]:
    return {one.name: one for one in found}


def test_names_weights_and_leave_one_out_scores() -> None:
    lpd = two_modes()
    evidence = np.array([0.3, 0.3, 0.3, 0.1, 0.0])
    found = weighings(lpd, evidence=evidence, rng=np.random.default_rng(seeded(2)))
    assert [one.name for one in found] == ["stacking", "pseudo-BMA+", "uniform", "evidence"]
    weights = {name: one.weights for name, one in by_name(found).items()}
    np.testing.assert_array_equal(weights["stacking"], stack(lpd).weights)
    np.testing.assert_array_equal(weights["uniform"], 0.2)
    np.testing.assert_array_equal(weights["evidence"], evidence)
    bma = pseudo_bma_plus(lpd, rng=np.random.default_rng(seeded(2)))
    np.testing.assert_allclose(weights["pseudo-BMA+"], bma)
    for one in found:
        terms = logsumexp(lpd, b=one.weights, axis=1)
        assert one.loo.value == pytest.approx(terms.sum())
        assert one.loo.sd == pytest.approx(np.sqrt(80) * terms.std(ddof=1))
        assert one.loo.value <= found[0].loo.value + 1e-3
        assert one.mode_weights.size == one.mode_sd.size == 0


def test_held_out_scores_are_those_of_weights_fitted_without_the_fold() -> None:
    """With as many folds as observations each is left out once, whatever the order."""
    lpd = two_modes(12)
    evidence = np.full(5, 0.2)
    found = by_name(
        weighings(lpd, evidence=evidence, folds=99, rng=np.random.default_rng(seeded(3)))
    )
    terms = np.empty(12)
    for i in range(12):
        terms[i] = logsumexp(lpd[i], b=stack(np.delete(lpd, i, axis=0)).weights)
    assert found["stacking"].held_out.value == pytest.approx(terms.sum(), abs=1e-6)
    assert found["stacking"].held_out.value < found["stacking"].loo.value
    assert found["stacking"].difference == Estimate(0.0, 0.0)
    fixed = logsumexp(lpd, b=0.2, axis=1)
    for name in ("uniform", "evidence"):
        assert found[name].held_out == found[name].loo
        gap = fixed - terms
        assert found[name].difference.value == pytest.approx(gap.sum(), abs=1e-6)
        assert found[name].difference.sd == pytest.approx(np.sqrt(12) * gap.std(ddof=1), abs=1e-6)


def test_held_out_score_of_stacking_estimates_that_of_fresh_data() -> None:
    """Many chains, few observations: leave-one-out flatters, folds do not (4 standard errors)."""
    gaps, optimism = [], []
    for seed in range(12):
        rng = np.random.default_rng(seeded(seed))
        lpd = rng.normal(size=(60, 20)) - 3  # independent columns: every chain is as good
        stacking = weighings(lpd, rng=rng)[0]
        fresh = rng.normal(size=(20_000, 20)) - 3
        truth = logsumexp(fresh, b=stacking.weights, axis=1).mean()
        gaps.append(stacking.held_out.value / 60 - truth)
        optimism.append(stacking.loo.value / 60 - truth)
    error = np.std(gaps, ddof=1) / np.sqrt(12)
    assert abs(np.mean(gaps)) < 4 * error
    assert np.mean(optimism) > 4 * error


def test_weights_by_mode_with_errors() -> None:
    lpd = two_modes(200)
    found = by_name(
        weighings(
            lpd, evidence=[0.5, 0.5, 0, 0, 0], shares=MODES, rng=np.random.default_rng(seeded(4))
        )
    )
    for one in found.values():
        np.testing.assert_allclose(one.mode_weights, one.weights @ MODES)
        assert one.mode_sd.shape == (2,)
    # Between modes that hardly overlap the weight is a share of 200 observations ...
    assert found["stacking"].mode_sd[0] == pytest.approx(0.5 / np.sqrt(200), rel=0.5)
    # ... but pseudo-BMA+ of near-equal sums could have gone either way.
    assert found["pseudo-BMA+"].mode_sd[0] > 0.2
    # Resampling five chains, three in the first mode.
    assert found["uniform"].mode_sd[0] == pytest.approx(np.sqrt(0.24 / 5), rel=0.4)
    assert np.isnan(found["evidence"].mode_sd).all()


def test_low_and_zero_densities() -> None:
    low, high = (
        by_name(weighings(two_modes(40, shift), shares=MODES, rng=np.random.default_rng(seeded(5))))
        for shift in (-1e5, 0.0)
    )
    for name, one in low.items():
        assert one.held_out.value == pytest.approx(high[name].held_out.value - 40e5, abs=1e-4)
        assert one.difference.value == pytest.approx(high[name].difference.value, abs=1e-4)
    lpd = two_modes(40)
    lpd[3, 0] = -np.inf
    found = by_name(weighings(lpd, evidence=[1, 0, 0, 0, 0], rng=np.random.default_rng(seeded(6))))
    assert found["pseudo-BMA+"].weights[0] == 0.0
    assert np.isfinite(found["pseudo-BMA+"].held_out.value)
    assert found["evidence"].held_out == Estimate(-np.inf, np.inf)
    assert found["evidence"].difference.value == -np.inf
    lpd = np.where(np.eye(40, 5) == 1, -np.inf, lpd[:, [1]])
    names = [one.name for one in weighings(lpd, rng=np.random.default_rng(seeded(7)))]
    assert names == ["stacking", "uniform"]


def test_scores_on_observations_that_no_chain_has_seen() -> None:
    found = weighings(two_modes(), rng=np.random.default_rng(seeded(8)))
    lpd_out = two_modes(31, -1e5)
    scored = score_weighings(found, lpd_out)
    first = logsumexp(lpd_out, b=found[0].weights, axis=1)
    for one, weighing in zip(scored, found, strict=True):
        terms = logsumexp(lpd_out, b=weighing.weights, axis=1)
        assert one.name == weighing.name
        assert one.score.value == pytest.approx(terms.sum())
        assert one.difference.value == pytest.approx((terms - first).sum(), abs=1e-6)
        se = np.sqrt(31) * (terms - first).std(ddof=1)
        assert one.difference.sd == pytest.approx(se, abs=1e-6)
    assert np.isnan(score_weighings(found, lpd_out[:1])[0].score.sd)


def test_evidence_is_spread_over_the_chains_of_its_mode() -> None:
    weights = mode_evidence_weights([3.0, 1.0], MODES)
    np.testing.assert_allclose(weights, [0.25, 0.25, 0.25, 0.125, 0.125], rtol=1e-15)
    tiny = mode_evidence_weights([1.0, np.exp(-300)], MODES)
    assert tiny[3] == pytest.approx(np.exp(-300) / 2)
    # A mode that no chain reached is left out, as is one whose evidence is not known.
    shares = np.hstack([MODES, np.zeros((5, 1))])
    np.testing.assert_allclose(mode_evidence_weights([3.0, 1.0, 9.0], shares), weights)
    np.testing.assert_allclose(mode_evidence_weights([np.nan, 1.0], MODES), [0, 0, 0, 0.5, 0.5])


def test_evidence_of_chains_that_moved_is_met_by_their_mixture() -> None:
    shares = np.array([[1.0, 0.0], [0.8, 0.2], [0.5, 0.5], [0.0, 1.0]])
    evidence = np.array([0.6, 0.4])
    weights = mode_evidence_weights(evidence, shares)
    np.testing.assert_allclose(weights @ shares, evidence, atol=1e-9)
    assert weights.sum() == pytest.approx(1.0)
    # The evenest of the weights that do: on a grid of the others none has a larger sum of logs.
    a, b = np.meshgrid(np.linspace(0.01, 0.98, 98), np.linspace(0.01, 0.98, 98))
    first = 0.6 - 0.8 * a - 0.5 * b
    last = 0.4 - 0.2 * a - 0.5 * b
    inside = (first > 0) & (last > 0)
    logs = np.log(np.stack([first, a, b, last])[:, inside]).sum(axis=0)
    assert np.log(weights).sum() >= logs.max() - 1e-6
    # Where no weights do, the closest: all weight on the chain that was there most.
    far = mode_evidence_weights([1e-6, 1.0], shares[:3])
    np.testing.assert_allclose(far, [0, 0, 1], atol=1e-4)


def test_input_errors() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(InputError, match="lpd has shape"):
        weighings(np.zeros(3), rng=rng)
    for lpd, folds in ((np.zeros((1, 2)), 10), (np.zeros((9, 2)), 1)):
        with pytest.raises(InputError, match="both must be 2"):
            weighings(lpd, folds=folds, rng=rng)
    for wrong in ([1.0], [0.5, 0.6], [1.5, -0.5]):
        with pytest.raises(InputError, match=r"evidence .* does not fit"):
            weighings(np.zeros((9, 2)), evidence=wrong, rng=rng)
    with pytest.raises(InputError, match="with 2 rows"):
        weighings(np.zeros((9, 2)), shares=np.eye(3), rng=rng)
    found = weighings(np.zeros((9, 2)), rng=rng)
    for out in (np.zeros(2), np.zeros((4, 3)), np.zeros((0, 2))):
        with pytest.raises(InputError, match="lpd_out has shape"):
            score_weighings(found, out)
    with pytest.raises(InputError, match="lpd_out holds NaN"):
        score_weighings(found, [[np.nan, 0.0]])
    with pytest.raises(InputError, match="weighings is empty"):
        score_weighings((), np.zeros((4, 2)))
    for e, s, message in (
        ([1.0], MODES, r"give \(M,\) and \(K, M\)"),
        ([-1.0, 2.0], MODES, "none negative"),
        ([np.inf, 2.0], MODES, "none negative"),
        ([1.0, 1.0], 2 * MODES, "does not add up to 1"),
        ([0.0, 0.0], MODES, "no mode with evidence"),
    ):
        with pytest.raises(InputError, match=message):
            mode_evidence_weights(e, s)
