"""Estimates of what is unseen, against known distributions: unbiased, and limits that hold."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from manymodes.errors import InputError
from manymodes.statistics.coverage import (
    accumulation,
    chance_of_all,
    coverage,
    expected_chains,
    most_equal_modes,
    smallest_sure_share,
)
from seeds import seeded

SHARES = {
    "equal": np.full(40, 1 / 40),
    "falling": np.arange(1, 61) ** -1.5,
    "one and dust": np.r_[0.8, np.full(200, 0.001)],
    "halves": 0.5 ** np.arange(1, 25),
    "two": np.array([0.99, 0.01]),
}
SHARES = {name: shares / shares.sum() for name, shares in SHARES.items()}


def samples(shares: np.ndarray, n: int, replications: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seeded(seed)).multinomial(n, shares, size=replications)


def mean_unseen(shares: np.ndarray, n: int) -> float:
    """The expected share of unseen modes after n chains."""
    return float(shares @ (1 - shares) ** n)


@pytest.mark.parametrize("shares", SHARES.values(), ids=SHARES)
@pytest.mark.parametrize("n", [8, 64, 300])
def test_good_turing_is_unbiased_for_one_chain_fewer(shares: np.ndarray, n: int) -> None:
    """E[f1/n] is the expected unseen share after n - 1 chains, exactly ([2] of the module)."""
    found = [coverage(sample) for sample in samples(shares, n, 400)]
    estimates = np.array([c.unseen for c in found])
    error = estimates.std(ddof=1) / math.sqrt(len(estimates))
    assert abs(estimates.mean() - mean_unseen(shares, n - 1)) < 4 * error + 1e-12
    assert mean_unseen(shares, n) <= mean_unseen(shares, n - 1) <= mean_unseen(shares, n) + 1 / n


@pytest.mark.parametrize("shares", SHARES.values(), ids=SHARES)
@pytest.mark.parametrize("n", [8, 64, 300])
def test_the_upper_limit_holds_in_19_of_20_runs(shares: np.ndarray, n: int) -> None:
    limits = np.array([coverage(sample).unseen_upper for sample in samples(shares, n, 400)])
    held = (limits >= mean_unseen(shares, n)).mean()
    assert held > 0.95 - 4 * math.sqrt(0.95 * 0.05 / 400)


@pytest.mark.parametrize("name", ["equal", "falling", "one and dust"])
def test_the_standard_error_is_that_of_the_difference_from_the_truth(name: str) -> None:
    shares = SHARES[name]
    drawn = samples(shares, 120, 1000, seed=2)
    found = [coverage(sample) for sample in drawn]
    truth = (drawn == 0) @ shares
    gaps = np.array([c.unseen for c in found]) - truth
    claimed = np.sqrt(np.mean([c.unseen_sd**2 for c in found]))
    assert gaps.std() == pytest.approx(claimed, rel=0.1)
    inside = np.mean([abs(g) <= 1.96 * c.unseen_sd for g, c in zip(gaps, found, strict=True)])
    assert inside > 0.9


def test_no_mode_found_once_does_not_mean_that_none_is_unseen() -> None:
    found = coverage([40, 24])
    assert (found.unseen, found.unseen_sd, found.total) == (0.0, 0.0, 2.0)
    assert found.unseen_upper == pytest.approx(-math.log(0.05) / 64)
    assert found.sure_share == pytest.approx(1 - 0.05 ** (1 / 64))
    assert found.as_dict()["chance_of_all"] == pytest.approx(1 - 2 * 0.5**64)
    assert coverage([1]).unseen == coverage([1]).unseen_upper == 1.0


@pytest.mark.parametrize(("name", "n"), [("equal", 80), ("falling", 100), ("one and dust", 200)])
def test_chao_is_a_lower_bound_and_its_interval_is_honest(name: str, n: int) -> None:
    shares = SHARES[name]
    found = [coverage(sample) for sample in samples(shares, n, 500, seed=3)]
    totals = np.array([c.total for c in found])
    error = totals.std(ddof=1) / math.sqrt(len(totals))
    assert totals.mean() < len(shares) + 4 * error
    assert (totals >= [c.found for c in found]).all()
    if name == "equal":  # no bias there, and the errors are those of the estimate
        assert totals.mean() == pytest.approx(len(shares), rel=0.03)
        claimed = np.sqrt(np.mean([c.total_sd**2 for c in found]))
        assert totals.std() == pytest.approx(claimed, rel=0.2)
        low, high = np.array([c.total_interval for c in found]).T
        held = np.mean((low <= len(shares)) & (len(shares) <= high))
        # The interval is an approximation: of 4000 runs it held in 91.5 %, not in 95 %.
        assert held > 0.915 - 4 * math.sqrt(0.915 * 0.085 / len(found))


def test_intervals_contain_the_estimate_and_never_less_than_was_found() -> None:
    for counts in ([5], [1], [1, 4], [1, 1], [2, 2, 9], [1, 1, 1, 2, 7], [1] * 9):
        c = coverage(counts)
        low, high = c.total_interval
        assert c.found <= low <= c.total <= high
        assert math.isfinite(c.total_sd)


def test_coupon_collector_in_closed_form() -> None:
    assert expected_chains(1) == 1
    assert expected_chains(2) == pytest.approx(3)
    assert expected_chains(50) == pytest.approx(50 * sum(1 / k for k in range(1, 51)))
    for modes, chains in [(1, 1), (2, 2), (2, 7), (3, 6), (4, 6), (5, 4)]:
        ends = itertools.product(range(modes), repeat=chains)
        ways = sum(len(set(end)) == modes for end in ends)
        assert chance_of_all(modes, chains) == pytest.approx(ways / modes**chains)
    signed = sum((-1) ** k * math.comb(30, k) * (1 - k / 30) ** 200 for k in range(31))
    assert chance_of_all(30, 200) == pytest.approx(signed, rel=1e-10)


@pytest.mark.parametrize("chains", [1, 2, 8, 64, 1000])
def test_most_equal_modes_is_the_last_one_that_is_sure(chains: int) -> None:
    most = most_equal_modes(chains)
    assert chance_of_all(most, chains) >= 0.95 > chance_of_all(most + 1, chains)


@pytest.mark.parametrize("chains", [1, 8, 1000])
def test_a_mode_of_the_sure_share_is_missed_once_in_twenty(chains: int) -> None:
    assert (1 - smallest_sure_share(chains)) ** chains == pytest.approx(0.05)


def test_accumulation_is_the_mean_over_subsets_and_goes_on_to_the_total() -> None:
    counts = [6, 3, 1, 1, 2]
    chains = np.repeat(np.arange(5), counts)
    at = [0, 1, 4, 12, 13, 20, 10**6]
    curve, errors = accumulation(counts, at)
    for size, expected in zip(at[:4], curve[:4], strict=True):
        subsets = [len(set(pick)) for pick in itertools.combinations(chains.tolist(), size)]
        assert expected == pytest.approx(np.mean(subsets))
    assert curve[4] == pytest.approx(5)
    assert curve[4] < curve[5] < curve[6]
    assert curve[6] == pytest.approx(coverage(counts).total)
    assert errors[0] == 0
    assert (errors[2:] > 0).all()


def test_extrapolated_accumulation_is_that_of_longer_runs() -> None:
    """Twice the chains: the mean over runs is that of the distribution, within 4 sigma."""
    shares = SHARES["equal"]
    sizes = np.array([30, 60, 120])
    runs = [accumulation(s, sizes, replications=30) for s in samples(shares, 60, 150, seed=4)]
    curves, errors = (np.array(part) for part in zip(*runs, strict=True))
    truth = len(shares) * (1 - (1 - 1 / 40) ** sizes)
    sd = curves.std(axis=0, ddof=1)
    np.testing.assert_array_less(np.abs(curves.mean(axis=0) - truth), 4 * sd / 12 + 0.5)
    np.testing.assert_allclose(np.sqrt((errors**2).mean(axis=0)), sd, rtol=0.35)


def test_chains_that_share_starts_count_once_a_start() -> None:
    """Two modes from each start: f1/n is the number of new modes that a new start adds."""
    rng = np.random.default_rng(seeded(5))
    shares = np.minimum(2 * SHARES["falling"], 1)
    n, new, said = 50, [], []
    for _ in range(400):
        ends = rng.random((n + 1, len(shares))) < shares
        counts = ends[:n].sum(axis=0)
        new.append((ends[n] & (counts == 0)).sum())
        said.append(coverage(counts, starts=n).unseen)
    error = math.hypot(np.std(new), np.std(said)) / math.sqrt(400)
    assert abs(np.mean(new) - np.mean(said)) < 4 * error + 1 / n
    curve, sd = accumulation(counts, [n, 2 * n], starts=n)
    assert curve[0] == pytest.approx((counts > 0).sum())
    assert sd[1] > 0


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: coverage([0, 0]), "no mode"),
        (lambda: coverage([1.5]), "integer"),
        (lambda: coverage([-1, 3]), "integer"),
        (lambda: coverage([5, 2], starts=4), "starts: 4"),
        (lambda: expected_chains(0), "modes: 0"),
        (lambda: chance_of_all(3, 0), "modes, chains: 3, 0"),
        (lambda: most_equal_modes(0), "chains: 0"),
        (lambda: smallest_sure_share(0), "chains: 0"),
        (lambda: smallest_sure_share(9, 1.0), r"confidence: 1\.0"),
        (lambda: accumulation([3, 1], [-1]), "at: -1"),
    ],
)
def test_what_makes_no_sense_is_refused(call: object, said: str) -> None:
    with pytest.raises(InputError, match=said):
        call()  # type: ignore[operator]
