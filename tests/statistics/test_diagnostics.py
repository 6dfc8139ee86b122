"""R-hat, effective sample sizes and insertion tests: closed forms, ArviZ, anesthetic, edges."""

from __future__ import annotations

import numpy as np
import pytest
from anesthetic.utils import insertion_p_value
from arviz_stats.base import array_stats
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import kolmogorov

from manymodes.errors import InputError
from manymodes.statistics.diagnostics import (
    ess_bulk,
    ess_tail,
    insertion_p,
    nested_rhat,
    r_eff,
    rhat,
    rhat_function,
    rolling_insertion_p,
)
from manymodes.statistics.insertion import kolmogorov_smirnov
from seeds import seeded


def autoregressive(shape: tuple[int, int, int], rho: float, seed: int = 0) -> np.ndarray:
    x = np.random.default_rng(seeded(seed)).normal(size=shape)
    for s in range(1, shape[1]):
        x[:, s] = rho * x[:, s - 1] + np.sqrt(1 - rho**2) * x[:, s]
    return x


def draws_of(kind: str, shape: tuple[int, int, int]) -> np.ndarray:
    rng = np.random.default_rng(seeded(1))
    match kind:
        case "independent":
            return rng.normal(size=shape)
        case "slow":
            return autoregressive(shape, 0.9)
        case "antithetic":
            return autoregressive(shape, -0.9)
        case "apart":
            return autoregressive(shape, 0.3) + np.arange(shape[0])[:, None, None]
        case "walk":
            return rng.normal(size=shape).cumsum(axis=1)
        case "heavy":
            return rng.standard_cauchy(size=shape)
        case "integers":
            return rng.integers(0, 5, size=shape)
        case _:
            return rng.random(size=shape) < 0.1


KINDS = ["independent", "slow", "antithetic", "apart", "walk", "heavy", "integers", "truth"]
SHAPES = [(2, 4, 6), (2, 5, 6), (3, 7, 6), (4, 13, 6), (4, 100, 8), (5, 201, 6)]
pytestmark = pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning:arviz_stats")


def same(ours: np.ndarray, theirs: np.ndarray) -> None:
    np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", SHAPES)
def test_agrees_with_arviz(kind: str, shape: tuple[int, int, int]) -> None:
    x = draws_of(kind, shape)
    columns = np.moveaxis(x, 2, 0).astype(float)
    with np.errstate(all="ignore"):
        same(rhat(x), array_stats.rhat(columns))
        same(ess_bulk(x), array_stats.ess(columns, method="bulk"))
        same(ess_tail(x), array_stats.ess(columns, method="tail", prob=(0.05, 0.95)))


@pytest.mark.parametrize("odd", ["constant", "stuck", "nan", "cut short", "infinite", "infinities"])
def test_agrees_with_arviz_where_draws_are_odd(odd: str) -> None:
    x = autoregressive((4, 100, 3), 0.5)
    match odd:
        case "constant":
            x[..., 1] = 2.5
        case "stuck":
            x[..., 1] = np.arange(4)[:, None]
        case "nan":
            x[1, 7, 1] = np.nan
        case "cut short":
            x[-1, 60:] = np.nan
        case "infinite":
            x[:, 7, 1] = np.inf
        case _:
            x[:, 7, 1], x[:, 8, 1] = np.inf, -np.inf
    columns = np.moveaxis(x, 2, 0)
    with np.errstate(all="ignore"):
        expected = array_stats.rhat(columns)
        assert np.isnan(expected).any() == (odd in {"constant", "nan", "cut short"})
        np.testing.assert_allclose(rhat(x), expected, rtol=1e-7)  # of stuck chains: rounding
        same(ess_bulk(x), array_stats.ess(columns, method="bulk"))
        same(ess_tail(x), array_stats.ess(columns, method="tail", prob=(0.05, 0.95)))


@pytest.mark.parametrize("kind", KINDS)
def test_r_eff_agrees_with_arviz(kind: str) -> None:
    x = np.abs(draws_of(kind, (1, 150, 6)).astype(float)) + 0.1
    expected = array_stats.ess(np.moveaxis(x, 2, 0), method="mean", relative=True)
    same(r_eff(np.log(x[0])), expected)
    same(r_eff(np.log(x[0]) - 1e4), expected)


@pytest.mark.parametrize(("rank", "method"), [(True, "rank"), (False, "identity")])
@pytest.mark.parametrize("labels", [[0, 1, 0, 1, 2, 2], [3, 3, 3, 7, 7, 7], [0, 1, 2, 3, 4, 5]])
def test_nested_rhat_agrees_with_arviz(rank: bool, method: str, labels: list[int]) -> None:
    x = draws_of("apart", (6, 40, 5))
    ids = np.unique(labels, return_inverse=True)[1]
    expected = array_stats.rhat_nested(np.moveaxis(x, 2, 0), superchain_ids=ids, method=method)
    same(nested_rhat(x, labels, rank=rank), expected)


def test_rhat_of_chains_that_agree_and_of_chains_that_do_not() -> None:
    agree = rhat(np.random.default_rng(seeded(2)).normal(size=(16, 500, 50)))
    assert agree.max() < 1.01
    apart = rhat(draws_of("apart", (4, 500, 20)))
    assert apart.min() > 1.3


def test_folding_sees_chains_that_differ_in_scale_only() -> None:
    x = np.random.default_rng(seeded(3)).normal(size=(4, 500))
    x[0] *= 5
    assert rhat(x) > 1.1


def test_rhat_does_not_depend_on_a_monotone_transform_in_the_bulk() -> None:
    """Ranks alone enter the bulk, which decides where chains differ in location."""
    x = draws_of("apart", (4, 200, 5))
    same(ess_bulk(np.exp(x)), ess_bulk(x))


def test_ess_of_an_autoregression() -> None:
    """tau = (1 + rho) / (1 - rho) for a Gaussian autoregression of order one."""
    x = autoregressive((8, 4000, 20), 0.6)
    expected = 8 * 4000 * (1 - 0.6) / (1 + 0.6)
    assert ess_bulk(x).mean() == pytest.approx(expected, rel=0.1)
    assert r_eff(np.log(np.abs(x[0]) + 1)).max() < 1


def test_shapes_and_constant_and_unknown_columns() -> None:
    x = np.random.default_rng(4).normal(size=(4, 60, 2, 3))
    assert rhat(x).shape == ess_bulk(x).shape == ess_tail(x).shape == (2, 3)
    assert rhat(x[..., 0, 0]).shape == ()
    assert rhat(x[:1]).shape == (2, 3)
    x[..., 0, 1] = 2.5
    x[1, 7, 1, 2] = np.nan
    for values in (rhat(x), ess_bulk(x), ess_tail(x)):
        assert np.isnan(values[1, 2])
        assert np.isfinite(values[1, :2]).all()
    assert np.isnan(rhat(x)[0, 1])
    assert ess_bulk(x)[0, 1] == ess_tail(x)[0, 1] == 240
    assert r_eff(np.zeros((50, 2))).tolist() == [1.0, 1.0]


def test_stuck_chains_are_as_bad_as_can_be() -> None:
    x = np.tile(np.array([0.0, 1.0])[:, None], (1, 100))
    assert rhat(x) > 1e6


def test_blocks_and_threads_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    x = draws_of("slow", (4, 50, 23))
    whole = rhat(x), ess_bulk(x), ess_tail(x)
    monkeypatch.setattr("manymodes.statistics.columns._BLOCK", 4 * 50 * 2)
    for threads in (1, 3):
        again = (f(x, threads=threads) for f in (rhat, ess_bulk, ess_tail))
        for a, b in zip(whole, again, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12)
    np.testing.assert_array_equal(
        rhat_function(x[..., i : i + 5] for i in range(0, 23, 5)), rhat(x)
    )


@settings(max_examples=50, deadline=None)
@given(arrays(float, (3, 9), elements=st.integers(-3, 3)))
def test_order_of_chains_and_sign_do_not_matter(x: np.ndarray) -> None:
    np.testing.assert_allclose(rhat(x[::-1]), rhat(x), rtol=1e-9)
    np.testing.assert_allclose(rhat(-x), rhat(x), rtol=1e-9)
    np.testing.assert_allclose(ess_bulk(-x), ess_bulk(x), rtol=1e-9)


def test_nested_rhat_of_stationary_chains() -> None:
    """One draw's worth of chains: sqrt(1 + 1/(M S)) with M chains of S independent draws."""
    x = np.random.default_rng(seeded(5)).normal(size=(64, 10, 200))
    labels = np.repeat(np.arange(8), 8)
    expected = np.sqrt(1 + 1 / 80)
    assert np.mean(nested_rhat(x, labels, rank=False)) == pytest.approx(expected, abs=1e-3)
    x += labels[:, None, None]
    assert nested_rhat(x, labels).min() > 1.5


def test_insertion_p_in_stretches_is_that_of_the_whole() -> None:
    """Of many numbers of live points, the expected steps are not held at once."""
    rng = np.random.default_rng(seeded(11))
    live = rng.integers(1, 300, size=2000)
    index = (rng.random(2000) * live).astype(np.int64)
    whole = kolmogorov_smirnov(index, live)
    assert insertion_p(index, live) == whole
    for at_once in (1000, 5000, 20_000):
        assert kolmogorov_smirnov(index, live, at_once) == pytest.approx(whole, rel=1e-9)


def test_insertion_p_agrees_with_anesthetic() -> None:
    rng = np.random.default_rng(seeded(6))
    for nlive in (10, 200):
        index = rng.integers(0, nlive, size=5 * nlive)
        expected = insertion_p_value(index, nlive)["p-value"]
        assert insertion_p(index, nlive) == pytest.approx(expected, rel=1e-8)
        assert insertion_p(index, np.full(len(index), nlive)) == pytest.approx(expected, rel=1e-8)
        expected = insertion_p_value(index, nlive, batch=1)["p-value"]
        assert rolling_insertion_p(index, nlive) == pytest.approx(expected, rel=1e-8)


def test_insertion_p_of_known_steps() -> None:
    """All of n insertions at the bottom of m live points: distance 1 - 1/m, sqrt(n) times."""
    assert insertion_p(np.zeros(25, dtype=int), 10) == pytest.approx(kolmogorov(0.9 * 5))
    assert insertion_p(np.arange(10), 10) == 1.0
    # Two numbers of live points, each with its own perfectly uniform ranks.
    index, nlive = [*range(4), *range(6)], [4] * 4 + [6] * 6
    assert insertion_p(index, nlive) == 1.0


def test_insertion_p_is_uniform_with_a_varying_number_of_live_points() -> None:
    rng = np.random.default_rng(seeded(7))
    nlive = np.concatenate([np.full(500, 200), np.arange(200, 100, -1).repeat(5)])
    p = [insertion_p((rng.random(1000) * nlive).astype(int), nlive) for _ in range(400)]
    for level in (0.1, 0.5, 0.9):
        assert np.mean(np.less(p, level)) == pytest.approx(level, abs=0.1)
    biased = (rng.random(1000) ** 1.3 * nlive).astype(int)
    assert insertion_p(biased, nlive) < 1e-6


def test_rolling_test_finds_faults_that_cancel() -> None:
    rng = np.random.default_rng(seeded(8))
    low = (100 * rng.random(1000) ** 1.5).astype(int)
    index = np.concatenate([low, 99 - (100 * rng.random(1000) ** 1.5).astype(int)])
    assert rolling_insertion_p(index, 100, chunk=1000) < 1e-9
    assert insertion_p(index, 100) > rolling_insertion_p(index, 100, chunk=1000)
    assert rolling_insertion_p(np.arange(10), 10) == 1.0


def test_input_errors() -> None:
    for shape in [(5,), (0, 10), (2, 3), (2, 3, 4)]:
        for function in (rhat, ess_bulk, ess_tail):
            with pytest.raises(InputError, match="draws have shape"):
                function(np.zeros(shape))
    with pytest.raises(InputError, match="threads is 0"):
        rhat(np.zeros((2, 10)), threads=0)
    with pytest.raises(InputError, match="prob is"):
        ess_tail(np.zeros((2, 10)), prob=(0.0, 0.5))
    with pytest.raises(InputError, match="blocks is empty"):
        rhat_function([])
    for labels in ([0, 1, 1], [0, 0, 0, 0], [0, 1, 1, 1]):
        with pytest.raises(InputError, match="superchains"):
            nested_rhat(np.zeros((4, 10)), labels)
    ll = np.zeros((20, 3))
    ll[3, 1] = np.nan
    with pytest.raises(InputError, match="log_lik is nan at draw 3, observation 1"):
        r_eff(ll)
    ll[:, 1] = -np.inf
    with pytest.raises(InputError, match="-inf under every draw at observation 1"):
        r_eff(ll)
    with pytest.raises(InputError, match="log_lik has shape"):
        r_eff(np.zeros(20))
    for index in ([], [[1]]):
        with pytest.raises(InputError, match="indexes have shape"):
            insertion_p(index, 10)
    for index in ([0, 10], [0, -1], [0, 0.5], [0, np.nan]):
        with pytest.raises(InputError, match="index 1 is"):
            insertion_p(index, 10)
    with pytest.raises(InputError, match="chunk is 0"):
        rolling_insertion_p([1, 2], 10, chunk=0)
