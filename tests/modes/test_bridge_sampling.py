"""Bridge sampling and Laplace on densities whose integrals are known in closed form.

Three standard errors throughout, with fixed seeds. Draws are exact, or made autocorrelated, and a
seed for proposals is never that of the draws.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import special, stats

from manymodes.errors import DensityError, InputError
from manymodes.modes.checks import bridge_sampling
from manymodes.modes.checks import laplace as laplace_room
from manymodes.modes.checks.bridge_sampling import BridgeEstimate, bridge, log_sum
from manymodes.modes.checks.laplace import LaplaceEstimate, laplace
from manymodes.statistics.estimate import Estimate
from seeds import seeded
from sentences import tells

Array = NDArray[np.float64]

COVARIANCE = np.array([[4.0, 1.2, 0.0], [1.2, 1.0, -0.3], [0.0, -0.3, 0.5]])
CENTRE = np.array([1.0, -2.0, 30.0])
LOG_Z = -1234.5
_FACTOR = np.linalg.cholesky(COVARIANCE)
REPETITIONS = 60
"""Of so many right scores, a standard deviation outside of 0.7 to 1.4 comes once in 2200 seeds.

So does a mean beyond 3.5 of its errors. With 20 it would be once in 22.
"""


def normal(points: Array) -> Array:
    return LOG_Z + stats.multivariate_normal(CENTRE, COVARIANCE).logpdf(points).reshape(-1)


def normal_gradient(point: Array) -> tuple[float, Array]:
    return float(normal(point[None])[0]), -np.linalg.solve(COVARIANCE, point - CENTRE)


def skewed(points: Array) -> Array:
    """The log of gamma variables of shape 1/2: a long exponential tail to the left; integral 1."""
    return np.sum(0.5 * points - np.exp(points) - special.gammaln(0.5), axis=1)


def walks(
    rng: np.random.Generator, chains: int, draws: int, dims: int, memory: float = 0.0
) -> Array:
    """Return autoregressive chains with standard normal margins, shape (C, S, D)."""
    x = rng.standard_normal((chains, draws, dims))
    for s in range(1, draws):
        x[:, s] = memory * x[:, s - 1] + math.sqrt(1 - memory**2) * x[:, s]
    return x


def to_gamma(x: Array) -> Array:
    return np.asarray(np.log(stats.gamma(0.5).ppf(stats.norm.cdf(x))))


def assert_within(value: float, truth: float, sd: float, k: float = 3.0) -> None:
    assert 0 < sd < 0.5
    assert abs(value - truth) < k * sd


# ---------------------------------------------------------------- the bridge


@pytest.mark.parametrize("proposal", bridge_sampling.PROPOSALS)
def test_the_integral_of_a_normal(proposal: str) -> None:
    x = CENTRE + walks(np.random.default_rng(seeded(1)), 4, 400, 3) @ _FACTOR.T
    found = bridge(normal, list(x), proposal=proposal, seed=seeded(2))
    assert found.converged
    assert (found.draws, found.proposals, found.inside) == (800, 1000, 1.0)
    assert_within(found.log_z, LOG_Z, found.log_z_sd)
    assert found.log_z_sd < 0.03


def student(points: Array, freedom: float) -> Array:
    """The log of a Student t in all dimensions; integral 1."""
    size = points.shape[1]
    half = (freedom + size) / 2
    constant = special.gammaln(half) - special.gammaln(freedom / 2)
    constant -= size / 2 * math.log(freedom * math.pi)
    return np.asarray(constant - half * np.log1p((points**2).sum(axis=1) / freedom))


def student_draws(rng: np.random.Generator, draws: int, dims: int, freedom: float) -> Array:
    """Independent draws of it in four chains, shape (4, S, D)."""
    width = np.sqrt(rng.chisquare(freedom, (4, draws)) / freedom)
    return np.asarray(rng.standard_normal((4, draws, dims)) / width[..., None])


def logits(points: Array) -> Array:
    """The log density of the logit of a beta(8, 4) variable."""
    up, down = special.log_expit(points), special.log_expit(-points)
    return np.asarray((8 * up + 4 * down).sum(axis=1) - special.betaln(8, 4))


def bridged(target: str, seed: int) -> tuple[BridgeEstimate, float]:
    """Return an estimate and the truth for one of the densities whose integral is known."""
    rng = np.random.default_rng([seeded(seed), 1])
    if target == "correlated normal":
        x = CENTRE + walks(rng, 4, 500, 3, 0.9) @ _FACTOR.T
        return bridge(normal, list(x), seed=(seeded(seed), 2)), LOG_Z
    if target == "Student t":
        x = student_draws(rng, 500, 20, 3.0)
        return bridge(lambda points: student(points, 3.0), list(x), seed=(seeded(seed), 2)), 0.0
    if target == "logit":
        x = special.logit(rng.beta(8, 4, (4, 500, 1)))
        return bridge(logits, list(x), seed=(seeded(seed), 2)), 0.0
    x = to_gamma(walks(rng, 4, 500, 3, 0.9 if target == "skewed, memory" else 0.0))
    return bridge(skewed, list(x), seed=(seeded(seed), 2)), 0.0


@pytest.mark.parametrize(
    "target", ["correlated normal", "Student t", "skewed", "skewed, memory", "logit"]
)
def test_both_of_its_errors_are_calibrated(target: str) -> None:
    """Autocorrelated draws have larger errors, and both errors are as large as told.

    A normal fits a Student t badly: the importance ratios have a Pareto k of about 0.8. The terms
    of the bridge are bounded, and its errors are right. A normal fits the logit almost perfectly:
    the terms differ by little, with a k of about 1.2, which must not count.
    """
    made = [bridged(target, seed) for seed in range(REPETITIONS)]
    found = [one for one, _ in made]
    for errors in ([one.log_z_sd for one in found], [one.reshuffled_sd for one in found]):
        scores = np.array([one.log_z - truth for one, truth in made]) / errors
        assert 0.7 < scores.std() < 1.4
        assert abs(scores.mean()) < 3.5 / math.sqrt(REPETITIONS)
    assert all(one.reliable and not one.remark for one in found)
    n_eff = np.mean([one.n_eff for one in found]) / found[0].draws
    remembers = target in ("correlated normal", "skewed, memory")
    assert n_eff < 0.4 if remembers else 0.7 < n_eff < 1.5


@pytest.mark.parametrize("target", ["Student t", "skewed"])
def test_pareto_k_is_large_where_a_few_draws_decide(target: str) -> None:
    """In so many dimensions a normal and the density overlap in a few draws of 2000, or in none.

    Over 40 seeds the k of a Student t was 2.0 to 3.6, and of the skewed density 3.8 to 5.8.
    """
    rng = np.random.default_rng(seeded(11))
    if target == "Student t":
        x = student_draws(rng, 500, 200, 5.0)
        found = bridge(lambda points: student(points, 5.0), list(x), seed=seeded(12))
    else:
        found = bridge(skewed, list(to_gamma(walks(rng, 4, 500, 100))), seed=seeded(12))
    assert found.converged
    assert found.pareto_k > 1.2
    assert not found.reliable
    assert found.remark == f"Pareto k {found.pareto_k:.2f}: unreliable"


def test_pareto_k_is_that_of_the_tail() -> None:
    """Terms with a Pareto tail of known k; terms at their bound; terms that are too few."""
    rng = np.random.default_rng(seeded(13))
    for k in (1.0, 2.0):  # a tail of 400 terms: one standard deviation is (1 + k) / 20
        found = bridge_sampling._pareto_k(k * rng.exponential(size=20_000))
        assert found == pytest.approx(k, abs=4 * (1 + k) / 20)
    bounded = np.minimum(3 * rng.standard_normal(100), 4.0)
    assert bridge_sampling._pareto_k(bounded) == -math.inf
    alike = 1e-3 * rng.exponential(size=1000)  # a tail of k = 0.001 about terms that are all 1
    assert bridge_sampling._pareto_k(alike) == -math.inf
    assert bridge_sampling._pareto_k(np.append(np.zeros(1000), np.log(90.0) * np.ones(5))) < 0
    assert math.isnan(bridge_sampling._pareto_k(rng.standard_normal(20)))
    few = bridge(normal, list(CENTRE + walks(rng, 1, 40, 3) @ _FACTOR.T), seed=seeded(14))
    assert math.isfinite(few.log_z)
    assert (few.reliable, few.remark) == (False, "20 draws are too few for a Pareto k: unreliable")


def test_reshuffled_blocks_see_what_the_formula_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """The formula is told that autocorrelated draws are independent; the blocks show its error.

    Draws with memory 0.98 count 99 times less than independent ones.
    """

    def density(points: Array) -> Array:
        return np.asarray(stats.t(5).logpdf(points).sum(axis=1))

    def median_scatter() -> float:
        found = []
        for seed in range(9):
            x = walks(np.random.default_rng([seeded(seed), 15]), 4, 250, 3, 0.98)
            heavy = stats.t(5).ppf(stats.norm.cdf(x))
            found.append(bridge(density, list(heavy), seed=(seeded(seed), 16)).scatter)
        return float(np.median(found))

    assert 0.6 < median_scatter() < 1.6
    monkeypatch.setattr(bridge_sampling, "_effective", lambda values, held: float(len(values)))
    assert median_scatter() > 2.5


def test_an_estimate_whose_errors_disagree_is_unreliable() -> None:
    shown = BridgeEstimate(
        -1.0, 0.1, converged=True, reshuffled_sd=0.31, pareto_k_draws=0.2, pareto_k_proposals=-0.1
    )
    assert not shown.reliable
    said = bridge_sampling._judged(shown).remark
    assert tells(said, "reshuffled blocks", "3.1 times", "unreliable")


def test_regions_add_up_to_the_whole() -> None:
    """Two peaks that overlap: a proposal for one reaches into the other, which is not its own."""
    log_shares = np.log([0.7, 0.3])

    def density(points: Array) -> Array:
        peaks = np.array([[-0.8, 0.0], [0.8, 0.0]])
        each = [stats.multivariate_normal(p, np.eye(2)).logpdf(points).reshape(-1) for p in peaks]
        return np.asarray(np.logaddexp(log_shares[0] + each[0], log_shares[1] + each[1]))

    rng = np.random.default_rng(seeded(3))
    side = rng.random((8, 500)) < 0.3
    x = rng.standard_normal((8, 500, 2)) + np.where(side, 0.8, -0.8)[..., None] * [1.0, 0.0]

    def left(points: Array) -> NDArray[np.bool_]:
        return np.asarray(points[:, 0] < 0)

    def right(points: Array) -> NDArray[np.bool_]:
        return ~left(points)

    within_left = np.log(0.7 * stats.norm.cdf(0.8) + 0.3 * stats.norm.cdf(-0.8))
    found = {0: bridge(density, list(x), inside=left, seed=seeded(4))}
    found[1] = bridge(density, list(x), inside=right, seed=seeded(5))
    assert_within(found[0].log_z, within_left, found[0].log_z_sd)
    assert_within(found[1].log_z, math.log1p(-math.exp(within_left)), found[1].log_z_sd)
    total = log_sum({mode: one.estimate for mode, one in found.items()})
    assert_within(total.value, 0.0, total.sd)
    assert found[0].inside < 0.95
    free = bridge(density, list(x), members=[left(chain) for chain in x], seed=seeded(4))
    assert free.log_z - within_left > 3 * free.log_z_sd


def test_chains_that_come_and_go_have_fewer_effective_draws() -> None:
    """Draws of a region in a few stretches of long chains, against as many fresh ones."""
    rng = np.random.default_rng(seeded(6))
    fresh = walks(rng, 8, 200, 2)
    sticky = walks(rng, 8, 200, 2, 0.95)
    apart = walks(rng, 8, 200, 2) + 50.0
    split = [np.concatenate([a[:100], c, a[100:]]) for a, c in zip(sticky, apart, strict=True)]

    def density(points: Array) -> Array:
        return np.asarray(stats.norm.logpdf(points).sum(axis=1))

    def near(points: Array) -> NDArray[np.bool_]:
        return np.asarray(points[:, 0] < 25)

    whole = bridge(density, list(fresh), seed=seeded(7))
    parts = bridge(density, split, inside=near, seed=seeded(7))
    assert parts.draws == whole.draws == 800
    assert parts.n_eff < 0.3 * whole.n_eff
    assert_within(parts.log_z, 0.0, parts.log_z_sd)


def test_chains_of_unequal_lengths_and_thinning() -> None:
    x = walks(np.random.default_rng(seeded(8)), 6, 2000, 3, 0.9) @ _FACTOR.T + CENTRE
    chains = [one[:length] for one, length in zip(x, (2000, 2000, 1400, 1401, 9, 3), strict=True)]
    found = bridge(normal, chains, seed=seeded(9))
    assert found.draws == 1000 + 1000 + 700 + 701 + 5 + 2
    assert_within(found.log_z, LOG_Z, found.log_z_sd)
    thinned = bridge(normal, chains, most_draws=600, seed=seeded(9))
    assert 400 < thinned.draws <= 600
    assert thinned.n_eff / thinned.draws > 2 * found.n_eff / found.draws
    assert_within(thinned.log_z, LOG_Z, thinned.log_z_sd)


def test_it_says_why_there_is_no_estimate(monkeypatch: pytest.MonkeyPatch) -> None:
    x = walks(np.random.default_rng(seeded(10)), 2, 100, 3) @ _FACTOR.T + CENTRE

    def said(found: BridgeEstimate) -> str:
        assert math.isnan(found.log_z)
        assert not found.converged
        return found.remark

    assert "takes 8" in said(bridge(normal, [x[0, :14]]))
    late = [np.arange(100) < 40 for _ in x]
    assert "all lie in the first halves" in said(bridge(normal, list(x), members=late))
    flat = x.copy()
    flat[..., 2] = 30.0
    assert "do not move in every dimension" in said(bridge(normal, list(flat)))

    def nowhere(points: Array) -> NDArray[np.bool_]:
        return np.zeros(len(points), dtype=bool)

    everything = [np.ones(100, dtype=bool) for _ in x]
    alone = bridge(normal, list(x), inside=nowhere, members=everything)
    assert "none of 1000 draws" in said(alone)
    monkeypatch.setattr(bridge_sampling, "_MOST_ITERATIONS", 1)
    hasty = bridge(normal, list(3 * x))
    assert (hasty.converged, hasty.iterations) == (False, 1)
    assert hasty.remark == "not converged after 1 iterations"


def test_arguments_out_of_range_are_refused() -> None:
    x = [np.zeros((10, 2))]
    with pytest.raises(InputError, match=r"^chains: the sequence is empty"):
        bridge(normal, [])
    with pytest.raises(InputError, match=r"^proposal: 'cauchy' is not one of: normal, student"):
        bridge(normal, x, proposal="cauchy")
    with pytest.raises(InputError, match=r"^most_draws: 0 is not 1 or more"):
        bridge(normal, x, most_draws=0)
    outside = walks(np.random.default_rng(1), 1, 100, 2)
    with pytest.raises(InputError, match="have no finite log density"):
        bridge(lambda points: np.where(points[:, 0] > 0, 0.0, -np.inf), list(outside))
    with pytest.raises(InputError, match=r"^draws: 1 is not 2 or more"):
        laplace(normal, normal_gradient, CENTRE, draws=1)


def test_sums_of_logs() -> None:
    total = log_sum({1: Estimate(-1000.0, 0.3), 2: Estimate(-1000.0, 0.4), 3: Estimate()})
    assert total.value == pytest.approx(-1000 + math.log(2))
    assert total.sd == pytest.approx(0.25)
    assert math.isnan(log_sum({1: Estimate()}).value)


# ---------------------------------------------------------------- Laplace


def test_laplace_is_exact_for_a_normal() -> None:
    found = laplace(normal, normal_gradient, CENTRE + 2.0, scale=[2, 1, 0.7], seed=seeded(1))
    assert found.log_z == pytest.approx(LOG_Z, abs=1e-5)
    np.testing.assert_allclose(found.maximum, CENTRE, atol=1e-4)
    assert found.pareto_k < 0.7
    assert_within(found.corrected, LOG_Z, found.corrected_sd)


def test_importance_sampling_corrects_laplace() -> None:
    """Laplace misses a known part of a skewed density, which the correction restores."""

    def gradient(point: Array) -> tuple[float, Array]:
        return float(skewed(point[None])[0]), 0.5 - np.exp(point)

    known = 3 * (0.5 * math.log(0.5) - 0.5 + 0.5 * math.log(4 * math.pi) - special.gammaln(0.5))
    found = [
        laplace(skewed, gradient, np.zeros(3), scale=2.0, draws=1000, seed=(seeded(seed), 3))
        for seed in range(REPETITIONS)
    ]
    assert found[0].log_z == pytest.approx(known, abs=1e-5)
    assert known < -0.4
    scores = np.array([one.corrected / one.corrected_sd for one in found])
    assert 0.7 < scores.std() < 1.4
    assert abs(scores.mean()) < 3.5 / math.sqrt(REPETITIONS)
    assert max(one.corrected_sd for one in found) < 0.1


def test_importance_sampling_keeps_to_the_basin() -> None:
    def half(points: Array) -> NDArray[np.bool_]:
        return np.asarray(points[:, 0] < CENTRE[0] + 1.0)

    found = laplace(normal, normal_gradient, CENTRE, scale=[2, 1, 0.7], inside=half, seed=seeded(2))
    truth = LOG_Z + stats.norm.logcdf(0.5)
    assert_within(found.corrected, truth, found.corrected_sd)
    assert found.inside < 0.95


def test_laplace_says_why_it_cannot() -> None:
    def said(found: LaplaceEstimate) -> str:
        assert math.isnan(found.log_z)
        assert math.isnan(found.corrected)
        assert len(found.maximum) == 1
        return found.remark

    def of(value: object, slope: object) -> LaplaceEstimate:
        return laplace(
            lambda points: value(points[:, 0]),  # type: ignore[operator]
            lambda point: (float(value(point[0])), slope(point)),  # type: ignore[operator]
            np.array([0.1]),
        )

    rising = of(lambda x: -np.exp(-x), lambda x: np.exp(-x).reshape(1))
    assert "no maximum is reached: the density still rises" in said(rising)
    flat = of(lambda x: 0.0 * x, lambda x: 0.0 * x)
    assert "no proper maximum here: the smallest eigenvalue" in said(flat)

    def edge(point: Array) -> tuple[float, Array]:
        if point[0] > 0.1 + 1e-6:
            raise DensityError("beyond the edge")
        return float(point[0]), np.ones(1)

    walled = laplace(lambda points: points[:, 0], edge, np.array([0.1]))
    assert "the density is zero next to the highest point" in said(walled)

    def elsewhere(points: Array) -> NDArray[np.bool_]:
        return np.asarray(points[:, 0] < -5)

    out = laplace(normal, normal_gradient, CENTRE - 3, scale=[2, 1, 0.7], inside=elsewhere)
    assert "lies in another mode's basin" in out.remark
    assert math.isnan(out.log_z)


def test_a_large_pareto_k_is_told() -> None:
    """Tails far heavier than a Cauchy's: no proposal with five degrees of freedom covers them.

    The tail of the ratios has k = 0.98. So many draws show it: 0.96 with a standard deviation of
    0.06 over 16 seeds, so that 0.7 is more than four of these away.
    """

    def density(points: Array) -> Array:
        return np.asarray(stats.t(0.1).logpdf(points).sum(axis=1))

    def gradient(point: Array) -> tuple[float, Array]:
        return float(density(point[None])[0]), -1.1 * point / (0.1 + point**2)

    found = laplace(density, gradient, np.full(4, 0.01), draws=20_000, seed=seeded(3))
    assert found.pareto_k > laplace_room.TRUSTED_K
    assert found.remark == f"Pareto k {found.pareto_k:.2f}: unreliable"
