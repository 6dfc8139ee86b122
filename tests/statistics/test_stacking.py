"""Stacking weights: closed forms, certificates, invariances, and comparison with other solvers."""

from __future__ import annotations

import clarabel
import numpy as np
import pytest
import xarray as xr
from arviz_stats import compare
from arviz_stats.utils import ELPDData
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import sparse
from scipy.optimize import minimize
from scipy.special import logsumexp

from manymodes.errors import InputError
from manymodes.statistics import simplex
from manymodes.statistics.stacking import draw_stacked, pseudo_bma_plus, stack, weight_errors
from seeds import seeded

LAM = 1.0001
matrices = st.tuples(st.integers(1, 12), st.integers(1, 9)).flatmap(
    lambda shape: arrays(float, shape, elements=st.floats(-20, 20))
)


def score(lpd: np.ndarray, w: np.ndarray) -> float:
    return float(logsumexp(lpd, axis=1, b=w).sum())


def objective(lpd: np.ndarray, w: np.ndarray, lam: float = LAM) -> float:
    return score(lpd, w) + (lam - 1) * float(np.log(w).sum())


def random_lpd(n: int, k: int, seed: int = 0, scale: float = 1.0) -> np.ndarray:
    return scale * np.random.default_rng(seeded(seed)).normal(size=(n, k))


def test_one_chain() -> None:
    lpd = random_lpd(20, 1)
    s = stack(lpd)
    assert s.weights.tolist() == [1.0]
    assert s.score == pytest.approx(lpd.sum())
    assert s.certificate == pytest.approx(0.0, abs=1e-10)
    assert s.effective_chains == 1.0
    assert s.converged


@pytest.mark.parametrize("lam", [1.0001, 1.1, 2.0])
def test_one_observation_two_chains(lam: float) -> None:
    """The maximum of log(w + r (1 - w)) + (lam - 1) log w (1 - w) solves a quadratic."""
    r, e = 0.3, lam - 1
    a, b, c = -(1 - r) * (1 + 2 * e), (1 - r) * (1 + e) - 2 * e * r, e * r
    w = (-b - np.sqrt(b * b - 4 * a * c)) / (2 * a)
    s = stack(np.log([[1.0, r]]), lam=lam, tol=1e-12)
    np.testing.assert_allclose(s.weights, [w, 1 - w], atol=1e-8)


def test_each_chain_best_on_its_half() -> None:
    lpd = np.array([[0.0, -3.0]] * 50 + [[-3.0, 0.0]] * 50)
    s = stack(lpd)
    np.testing.assert_allclose(s.weights, 0.5, atol=1e-9)
    assert s.score == pytest.approx(100 * np.log((1 + np.exp(-3)) / 2))
    assert s.effective_chains == pytest.approx(2.0)


def test_mixture_that_is_known() -> None:
    """Chains that never overlap share the weight as the observations do."""
    best = np.repeat([0, 1, 2], [10, 30, 60])
    lpd = np.where(np.arange(3) == best[:, None], 0.0, -np.inf)
    np.testing.assert_allclose(stack(lpd, lam=1.0).weights, [0.1, 0.3, 0.6], atol=1e-6)


@pytest.mark.parametrize("lam", [1.0, LAM, 1.5])
def test_identical_chains_share_equally(lam: float) -> None:
    s = stack(np.repeat(random_lpd(30, 1), 7, axis=1), lam=lam)
    np.testing.assert_allclose(s.weights, 1 / 7, atol=1e-10)


def test_duplicates_share_equally_and_change_nothing_else() -> None:
    lpd = random_lpd(40, 3)
    once, often = stack(lpd), stack(lpd[:, [0, 1, 1, 1, 2, 0]])
    w = often.weights
    np.testing.assert_allclose(w[1:4], w[1], rtol=1e-6)
    assert w[0] == pytest.approx(w[5], rel=1e-6)
    grouped = [w[0] + w[5], w[1:4].sum(), w[4]]
    np.testing.assert_allclose(grouped, once.weights, atol=1e-3)
    assert often.score == pytest.approx(once.score, abs=1e-3)


def test_dominated_chain_gets_the_weight_of_the_barrier() -> None:
    """Far below every other chain, w solves N + K e - e/w = 0 for e = lam - 1."""
    lpd = random_lpd(40, 3)
    lpd[:, 2] = -1e4
    w = stack(lpd, tol=1e-10).weights
    assert w[2] == pytest.approx((LAM - 1) / (40 + 3 * (LAM - 1)), rel=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n", "k", "scale"),
    [(5, 2, 1), (60, 4, 0.1), (60, 8, 1), (200, 12, 3), (6, 20, 1), (30, 5, 100)],
)
def test_at_least_as_good_as_slsqp(n: int, k: int, scale: float) -> None:
    lpd = random_lpd(n, k, seed=k, scale=scale)
    ours = stack(lpd)
    assert ours.converged
    theirs = minimize(
        lambda w: -objective(lpd, np.maximum(w, 1e-300)),
        np.full(k, 1 / k),
        bounds=[(1e-12, 1)] * k,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1},
        method="SLSQP",
        options={"maxiter": 2000, "ftol": 1e-14},
    )
    best = objective(lpd, theirs.x / theirs.x.sum())
    assert ours.objective == pytest.approx(objective(lpd, ours.weights), abs=1e-9)
    assert ours.objective >= best - 1e-6
    assert best - ours.objective <= ours.objective_certificate + 1e-9


def conic_optimum(lpd: np.ndarray, lam: float) -> float:
    """Return the best objective by clarabel's interior point method on exponential cones.

    Each log u is a variable t with (t, 1, u) in the cone e^t <= u; u is linear in the weights.
    """
    n, k = lpd.shape
    top = lpd.max(axis=1, keepdims=True)
    n_logs = n + (k if lam > 1 else 0)
    inside = np.vstack([np.exp(lpd - top), np.eye(k)])[:n_logs]
    triples = np.zeros((n_logs, 3, k + n_logs))
    triples[:, 0, k:] = np.eye(n_logs)
    triples[:, 2, :k] = inside
    total = np.r_[np.ones(k), np.zeros(n_logs)]
    positive = np.eye(k, k + n_logs)
    matrix = np.vstack([total, -triples.reshape(3 * n_logs, -1), -positive])
    offset = np.r_[1.0, np.tile([0.0, 1.0, 0.0], n_logs), np.zeros(k)]
    cost = -np.r_[np.zeros(k), np.ones(n), np.full(n_logs - n, lam - 1)]
    options = clarabel.DefaultSettings()
    options.verbose = False
    options.tol_gap_abs = options.tol_gap_rel = options.tol_feas = 1e-10
    cones = [clarabel.ZeroConeT(1), *([clarabel.ExponentialConeT()] * n_logs)]
    cones.append(clarabel.NonnegativeConeT(k))
    quadratic = sparse.csc_matrix((k + n_logs, k + n_logs))
    found = clarabel.DefaultSolver(
        quadratic, cost, sparse.csc_matrix(matrix), offset, cones, options
    ).solve()
    w = np.maximum(np.array(found.x[:k]), 1e-15)
    return objective(lpd, w / w.sum(), lam)


def arviz_weights(lpd: np.ndarray, method: str) -> np.ndarray:
    """Return the weights that arviz-stats gives chains of finished leave-one-out densities."""
    chains = {
        f"chain {k}": ELPDData(
            kind="loo",
            elpd=float(column.sum()),
            se=float(np.sqrt(len(column) * column.var())),
            p=0.0,
            n_samples=1000,
            n_data_points=len(column),
            scale="log",
            warning=False,
            good_k=0.7,
            elpd_i=xr.DataArray(column, dims=["observation"]),
            pareto_k=xr.DataArray(np.zeros(len(column)), dims=["observation"]),
        )
        for k, column in enumerate(lpd.T)
    }
    return compare(chains, method=method)["weight"].loc[list(chains)].to_numpy(dtype=float)


@pytest.mark.parametrize(("n", "k"), [(60, 2), (60, 8), (220, 10)])
def test_at_least_as_good_as_arviz(n: int, k: int) -> None:
    lpd = random_lpd(n, k, seed=k)
    ours = stack(lpd, lam=1.0)
    theirs = np.maximum(arviz_weights(lpd, "stacking"), 0)
    reached = score(lpd, theirs / theirs.sum())
    assert ours.score >= reached - 1e-6
    assert ours.score == pytest.approx(reached, abs=0.01)
    np.testing.assert_allclose(ours.weights, theirs, atol=0.02)


def test_pseudo_bma_plus_agrees_with_arviz() -> None:
    """With ArviZ's own random numbers: it seeds them with 124."""
    lpd = 0.3 * random_lpd(60, 5, seed=3)
    rng = np.random.RandomState(124)
    ours = pseudo_bma_plus(lpd, n_boot=1000, rng=rng)
    np.testing.assert_allclose(ours, arviz_weights(lpd, "BB-pseudo-BMA"), rtol=0, atol=1e-4)


def hard_case(name: str) -> np.ndarray:
    rng = np.random.default_rng(seeded(20))
    if name == "tall":
        return random_lpd(300, 10, seed=1)
    if name == "wide":
        return random_lpd(25, 60, seed=2)
    modes = rng.normal(size=(120, 4))[:, rng.integers(4, size=24)]
    if name == "near ties":
        return modes + 1e-4 * rng.normal(size=modes.shape)
    if name == "duplicates":
        return modes
    if name == "zeros":
        return np.where(rng.random(modes.shape) < 0.3, -np.inf, modes)
    assert name == "low"
    return 1e4 * modes - 1e5


@pytest.mark.parametrize("lam", [1.0, LAM])
@pytest.mark.parametrize("name", ["tall", "wide", "near ties", "duplicates", "zeros", "low"])
@pytest.mark.parametrize("subsets", [False, True])
def test_same_optimum_as_a_convex_solver(
    name: str, lam: float, subsets: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if subsets:
        use_subsets(monkeypatch)
    lpd = hard_case(name)
    ours = stack(lpd, lam=lam)
    assert ours.converged
    assert ours.objective == pytest.approx(objective(lpd, ours.weights, lam), rel=1e-12, abs=1e-9)
    theirs = conic_optimum(lpd, lam)
    assert theirs <= ours.objective + 1e-6
    assert theirs == pytest.approx(ours.objective, abs=1e-6)


def use_subsets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let small problems be solved as large ones are."""
    monkeypatch.setattr(simplex, "_LARGE", 0)
    monkeypatch.setattr(simplex, "_SKETCH", 20)
    monkeypatch.setattr(simplex, "_FEWEST", 2)


def test_certificate_bounds_the_regret_on_a_grid() -> None:
    lpd = random_lpd(25, 3, seed=4)
    s = stack(lpd, lam=1.3)
    grid = [np.array([a, b, 100 - a - b]) / 100 for a in range(101) for b in range(101 - a)]
    best = max(score(lpd, w) for w in grid)
    regret = best - s.score
    assert regret > 1e-3  # so strong a prior costs something
    assert regret <= s.certificate
    assert max(objective(lpd, w, 1.3) for w in grid if w.all()) <= s.objective + 1e-8


@settings(max_examples=100, deadline=None)
@given(matrices, st.sampled_from([1.0, LAM, 2.0]))
def test_properties(lpd: np.ndarray, lam: float) -> None:
    n, k = lpd.shape
    s = stack(lpd, lam=lam)
    assert s.converged
    assert s.iterations < 60
    assert (s.weights > 0).all()
    assert s.weights.sum() == pytest.approx(1.0, abs=1e-12)
    assert s.objective_certificate <= 1e-7
    assert s.certificate <= k * (lam - 1) + 1e-7
    assert 1 - 1e-9 <= s.effective_chains <= k * (1 + 1e-9)
    # No single chain and no even mixture does better than the certificate allows.
    rivals = [lpd.sum(axis=0).max(), score(lpd, np.full(k, 1 / k))]
    assert max(rivals) <= s.score + s.certificate + 1e-7
    # A constant added to an observation's row, and the order of the chains, do not matter.
    rng = np.random.default_rng(n + 100 * k)
    order, shift = rng.permutation(k), rng.uniform(-1e3, 1e3, size=(n, 1))
    moved = stack((lpd + shift)[:, order], lam=lam)
    assert moved.objective == pytest.approx(s.objective + shift.sum(), abs=1e-6)
    if lam > LAM:  # strongly concave: the weights themselves agree
        np.testing.assert_allclose(moved.weights, s.weights[order], atol=1e-4)


@pytest.mark.parametrize("spread", [0.1, 1e5])
def test_very_low_densities(spread: float) -> None:
    lpd = random_lpd(50, 6, scale=spread)
    low, high = stack(lpd - 1e5), stack(lpd)
    assert low.converged
    np.testing.assert_allclose(low.weights, high.weights, atol=1e-4)
    assert low.score == pytest.approx(high.score - 50 * 1e5, rel=1e-12)
    assert low.effective_chains < 5.9


@pytest.mark.parametrize(("n", "k"), [(10, 200), (1, 50), (300, 301)])
def test_more_chains_than_observations(n: int, k: int) -> None:
    s = stack(random_lpd(n, k))
    assert s.converged
    assert s.iterations < 60
    assert s.objective_certificate <= 1e-8


def test_woodbury_form_is_the_same_solve() -> None:
    rng = np.random.default_rng(seeded(5))
    root, diagonal, rhs = rng.normal(size=(4, 9)), rng.uniform(1, 2, size=9), rng.normal(size=9)
    expected = np.linalg.solve(root.T @ root + np.diag(diagonal), rhs)
    np.testing.assert_allclose(simplex._solve(root.copy(), diagonal, rhs), expected, rtol=1e-10)


def test_hundreds_of_near_equal_chains() -> None:
    rng = np.random.default_rng(seeded(6))
    modes, member = rng.normal(size=(220, 8)), rng.integers(8, size=256)
    lpd = modes[:, member] + 0.02 * rng.normal(size=(220, 256)) - 1e5
    s = stack(lpd)
    assert s.converged
    assert s.iterations < 60
    assert s.certificate <= 256 * (LAM - 1) + 1e-8


def crowd(n: int = 300, k: int = 120, spread: float = 0.02) -> tuple[np.ndarray, np.ndarray]:
    """Return the lpd of chains in six modes, which predict nearly alike within one."""
    rng = np.random.default_rng(seeded(6))
    member = rng.integers(6, size=k)
    lpd = rng.normal(size=(n, 6))[:, member] + spread * rng.normal(size=(n, k))
    return lpd, np.eye(6)[member]


@pytest.mark.parametrize("lam", [1.0, LAM])
def test_subsets_lead_to_the_same_weights(lam: float, monkeypatch: pytest.MonkeyPatch) -> None:
    lpd, modes = crowd()
    at_once = stack(lpd, lam=lam)
    use_subsets(monkeypatch)
    by_subsets = stack(lpd, lam=lam)
    assert by_subsets.converged
    assert by_subsets.objective == pytest.approx(at_once.objective, abs=2e-8)
    np.testing.assert_allclose(by_subsets.weights @ modes, at_once.weights @ modes, atol=1e-5)


def test_subset_is_proven_by_the_gradient_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    use_subsets(monkeypatch)
    density = np.exp(crowd()[0])
    counts = 300 * np.random.default_rng(seeded(1)).dirichlet(np.ones(300))
    allowed = 120e-4
    found = simplex.grow(density, counts, 1e-4, allowed, np.array([0, 1]))
    assert found.proven
    assert 3 < len(found.chains) <= 60
    w = np.zeros(120)
    w[found.chains] = found.weights
    gradient = density.T @ (counts / (density @ w))
    np.testing.assert_allclose(found.gradient, gradient, rtol=1e-12)
    assert gradient.max() <= 300 + allowed
    best = simplex.maximise(density, counts, 0.0, 1e-8).weights
    regret = counts @ (np.log(density @ best) - np.log(density @ w))
    assert 0 <= regret <= allowed


def test_a_first_subset_without_density_is_mended() -> None:
    density = np.tile(np.eye(4), (50, 1))[:, [0, 0, 1, 2, 3, 3, 3, 3]]
    found = simplex.grow(density, np.ones(200), 1e-4, 8e-4, np.array([0]))
    assert found.proven
    np.testing.assert_allclose(found.weights, 0.25, atol=1e-6)


def test_a_crowd_without_a_small_subset_is_solved_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every chain is needed: each is by far the best for one observation."""
    use_subsets(monkeypatch)
    lpd = np.where(np.eye(30) == 1, 0.0, -9.0)
    assert not simplex.grow(np.exp(lpd), np.ones(30), 1e-4, 3e-3).proven
    s = stack(lpd)
    assert s.converged
    np.testing.assert_allclose(s.weights, 1 / 30, atol=1e-9)
    w = weight_errors(lpd, n_boot=3, rng=np.random.default_rng(seeded(0)))
    assert (w.replications > 0).all()  # the weights of the barrier: nobody is left out


def test_weight_errors_by_subsets_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    lpd, modes = crowd()
    at_once = weight_errors(lpd, modes, n_boot=5, rng=np.random.default_rng(seeded(3)))
    use_subsets(monkeypatch)
    by_subsets = weight_errors(lpd, modes, n_boot=5, rng=np.random.default_rng(seeded(3)))
    difference = np.abs(by_subsets.replications - at_once.replications)
    assert 0 < difference.max() < 1e-3
    assert at_once.sd.min() > 0.01


def test_a_thousand_chains() -> None:
    """The whole search for subsets on a problem of its own size, a tenth of the largest."""
    lpd, _ = crowd(1000, 1000, 0.05)
    assert simplex.is_large(lpd)
    s = stack(lpd - 1e5)
    assert s.converged
    assert s.objective_certificate <= 1e-8
    assert s.certificate <= 1000 * (LAM - 1) + 1e-8


def test_a_search_cut_short_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("manymodes.statistics.simplex._MAX_STEPS", 2)
    s = stack(random_lpd(50, 6))
    assert not s.converged
    assert s.iterations == 2
    assert s.objective_certificate > 1e-6


def test_weight_errors_of_disjoint_modes() -> None:
    """The weight of a mode is then its share of the observations: a Beta under the bootstrap."""
    lpd = np.array([[0.0, -40.0, 0.0]] * 30 + [[-40.0, 0.0, -40.0]] * 70)
    groups = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    w = weight_errors(lpd, groups, n_boot=400, rng=np.random.default_rng(seeded(7)))
    sd = np.sqrt(0.3 * 0.7 / 101)
    np.testing.assert_allclose(w.mean, [0.3, 0.7], atol=4 * sd / 20)
    np.testing.assert_allclose(w.sd, sd, rtol=0.15)  # 4 sd: 1 / sqrt(800) each
    np.testing.assert_allclose(w.replications.sum(axis=1), 1.0, atol=1e-12)
    again = weight_errors(lpd, groups, n_boot=400, rng=np.random.default_rng(seeded(7)))
    np.testing.assert_array_equal(w.replications, again.replications)


def test_weight_errors_split_a_chain_by_its_shares() -> None:
    w = weight_errors(
        np.zeros((10, 2)),
        [[0.25, 0.75], [0.5, 0.5]],
        n_boot=3,
        rng=np.random.default_rng(seeded(0)),
    )
    np.testing.assert_allclose(w.mean, [0.375, 0.625], atol=1e-8)
    np.testing.assert_allclose(w.sd, 0.0, atol=1e-8)


def test_weight_errors_without_groups_are_per_chain() -> None:
    w = weight_errors(random_lpd(20, 3), n_boot=5, rng=np.random.default_rng(seeded(0)))
    assert w.replications.shape == (5, 3)


def test_pseudo_bma_plus() -> None:
    rng = np.random.default_rng(seeded(8))
    np.testing.assert_allclose(pseudo_bma_plus(np.zeros((9, 4)), n_boot=10, rng=rng), 0.25)
    # A gap that is the same for every observation has no uncertainty.
    w = pseudo_bma_plus(np.tile([0.0, -0.1], (20, 1)) - 1e5, n_boot=10, rng=rng)
    assert w[1] / w[0] == pytest.approx(np.exp(-2.0), rel=1e-6)
    # Of two chains with equal sums the bootstrap prefers neither.
    lpd = np.array([[0.0, -5.0], [-5.0, 0.0]] * 10)
    w = pseudo_bma_plus(lpd, n_boot=4000, rng=rng)
    assert w[0] == pytest.approx(0.5, abs=4 * 0.5 / np.sqrt(4000))
    # A lead of 4 nats would be a weight of 0.98, but its standard error is 22.
    w = pseudo_bma_plus(lpd + np.array([0.2, 0.0]), n_boot=4000, rng=rng)
    assert 0.5 < w[0] < 0.65


def test_draw_stacked_counts_and_reuse() -> None:
    rng = np.random.default_rng(seeded(9))
    weights = np.array([0.501, 0.0, 0.249, 0.25])
    chain, draw = draw_stacked(weights, 100, 1000, rng)
    assert chain.shape == draw.shape == (1000,)
    counts = np.bincount(chain, minlength=4)
    assert (np.abs(counts - 1000 * weights) < 1).all()
    for k in (0, 2, 3):
        uses = np.bincount(draw[chain == k], minlength=100)
        assert len(uses) == 100
        assert uses.max() - uses.min() <= 1
    assert (np.diff(chain) < 0).any()  # random order: any stretch is a sample of the mixture


def test_draw_stacked_never_loses_a_small_weight() -> None:
    """300 chains and 100 draws: every chain is expected 1/3 times, never 0 times by rounding."""
    rng = np.random.default_rng(seeded(10))
    weights = np.full(300, 1 / 300)
    total = np.zeros(300)
    for _ in range(300):
        total += np.bincount(draw_stacked(weights, 5, 100, rng)[0], minlength=300)
    assert total.sum() == 30_000
    assert np.abs(total - 100).max() < 5 * np.sqrt(300 * 1 / 3 * 2 / 3)


def test_draw_stacked_pairs_any_two_chains() -> None:
    rng = np.random.default_rng(seeded(12))
    pairs = {tuple(sorted(draw_stacked(np.full(4, 0.25), 9, 2, rng)[0])) for _ in range(300)}
    assert pairs == {(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)}


def test_draw_stacked_does_not_round_into_a_chain_without_weight() -> None:
    class LargestRandom(np.random.Generator):
        def random(self) -> float:
            return float(np.nextafter(1.0, 0.0))

        def permutation(self, x: int) -> np.ndarray:
            return np.arange(x)

    rng = LargestRandom(np.random.PCG64(0))
    assert draw_stacked([0.25, 0.75, 0.0], 9, 12, rng)[0].max() == 1


def test_draw_stacked_edges() -> None:
    rng = np.random.default_rng(seeded(11))
    assert draw_stacked([1.0], 3, 0, rng)[0].shape == (0,)
    chain, draw = draw_stacked([0.0, 1.0, 0.0], 3, 7, rng)
    assert set(chain) == {1}
    assert sorted(np.bincount(draw)) == [2, 2, 3]
    for weights in ([0.5, 0.6], [-0.5, 1.5], [[1.0]], [np.nan, 1.0]):
        with pytest.raises(InputError, match="not probabilities"):
            draw_stacked(weights, 3, 7, rng)
    with pytest.raises(InputError, match="n_draws_per_chain is 0 for chain 0, whose weight is 1"):
        draw_stacked([1.0], 0, 7, rng)
    with pytest.raises(InputError, match="n is -1"):
        draw_stacked([1.0], 3, -1, rng)
    for lengths in ([3, 3], 2.5):
        with pytest.raises(InputError, match="one whole number or one for each of 3 chains"):
            draw_stacked([0.5, 0.5, 0.0], lengths, 7, rng)


def test_draw_stacked_of_chains_cut_short() -> None:
    rng = np.random.default_rng(seeded(13))
    lengths = np.array([100, 7, 0, 30])
    chain, draw = draw_stacked([0.5, 0.3, 0.0, 0.2], lengths, 100, rng)
    assert np.bincount(chain).tolist() == [50, 30, 0, 20]
    assert (draw < lengths[chain]).all()
    for k, uses in ((0, {0, 1}), (1, {4, 5}), (3, {0, 1})):
        assert set(np.bincount(draw[chain == k], minlength=lengths[k])) == uses
    with pytest.raises(InputError, match=r"is 0 for chain 2, whose weight is 0\.1"):
        draw_stacked([0.5, 0.3, 0.1, 0.1], lengths, 100, rng)
    with pytest.raises(InputError, match="is -1 for chain 1"):
        draw_stacked([1.0, 0.0], [3, -1], 7, rng)


def test_input_errors() -> None:
    rng = np.random.default_rng(0)
    lpd = np.zeros((5, 3))
    for wrong in (np.zeros(5), np.zeros((0, 3)), np.zeros((5, 0))):
        with pytest.raises(InputError, match="lpd has shape"):
            stack(wrong)
    for value in (np.nan, np.inf):
        bad = lpd.copy()
        bad[4, 1] = value
        with pytest.raises(InputError, match=f"lpd is {value} at observation 4, chain 1"):
            stack(bad)
        with pytest.raises(InputError, match=f"lpd is {value} at observation 4, chain 1"):
            pseudo_bma_plus(bad, rng=rng)
    bad = lpd.copy()
    bad[2] = -np.inf
    with pytest.raises(InputError, match="-inf under every chain at observation 2"):
        stack(bad)
    with pytest.raises(InputError, match=r"lam is 0\.9"):
        stack(lpd, lam=0.9)
    with pytest.raises(InputError, match="tol is 0"):
        stack(lpd, tol=0)
    with pytest.raises(InputError, match="with 3 rows"):
        weight_errors(lpd, np.eye(2), rng=rng)
    with pytest.raises(InputError, match="for chain 1"):
        weight_errors(lpd, [[1, 0], [0.5, 0.4], [0, 1]], rng=rng)
    with pytest.raises(InputError, match="n_boot is 1"):
        weight_errors(lpd, np.eye(3), n_boot=1, rng=rng)
    with pytest.raises(InputError, match="n_boot is 0"):
        pseudo_bma_plus(lpd, n_boot=0, rng=rng)
