"""The program of constraint `svd`: its frames, Jacobian, prior and the region that it covers."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from itertools import pairwise, product

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats
from scipy.special import gammaln

from conftest import needs_tools
from manymodes.density.posterior import Posterior
from manymodes.errors import InputError
from manymodes.networks.forward import layers
from manymodes.networks.network import Network
from manymodes.networks.prior import Prior
from seeds import seeded

Array = npt.NDArray[np.float64]

pytestmark = needs_tools

SHAPES = [(1, 1), (2, 2), (3, 2), (2, 3), (4, 2), (3, 3), (1, 3), (3, 1)]  # rows H, columns M
PRIORS = ("normal:1.5", "laplace:0.8", "student:5,0.9")


@cache
def prior_of(inputs: int, hidden: tuple[int, ...], prior: str = "normal:1") -> Posterior:
    """Return the prior of a network: the program without its likelihood."""
    network = Network(inputs, hidden, activation="tanh", prior=prior, constraint="svd")
    return Posterior.from_network(network, np.ones((1, inputs)), [1]).prior


def rotation(n: int, j: int, i: int, angle: float) -> Array:
    """Return the rotation in n dimensions that turns axis j towards axis i."""
    turn = np.eye(n)
    turn[[j, i], [j, i]] = math.cos(angle)
    turn[i, j] = math.sin(angle)
    turn[j, i] = -math.sin(angle)
    return turn


def frame(n: int, k: int, angles: Array) -> Array:
    """Return the first k columns of the product of rotations, in the order of their definition."""
    planes = [(j, i) for j in range(k) for i in range(j + 1, n)]
    turned = np.eye(n)
    for (j, i), angle in zip(planes, angles, strict=True):
        turned = turned @ rotation(n, j, i, angle)
    return turned[:, :k]


def angles_and_signs(columns: Array) -> tuple[Array, Array]:
    """Return the angles, all below a right one, and signs of columns that make up a frame.

    Columns (n, k) are the frame times the signs. Each column in turn, once the rotations before
    it are undone, is a point in polar coordinates.
    """
    n, k = columns.shape
    rest, angles, signs = columns.copy(), [], np.empty(k)
    for j in range(k):
        signs[j] = np.sign(rest[j, j])
        x = rest[j:, j] * signs[j]
        turns = [math.atan2(x[i], math.hypot(*x[:i])) for i in range(1, n - j)]
        for i, angle in enumerate(turns, start=j + 1):
            rest = rotation(n, j, i, -angle) @ rest
        angles += turns
    return np.array(angles), signs


def oriented_svd(W: Array) -> tuple[Array, Array, Array, Array]:
    """Return angles of U, singular values, angles of V and the pivots' signs of U, V's being +."""
    u, s, vt = np.linalg.svd(W, full_matrices=False)
    theta_V, signs = angles_and_signs(vt.T)
    theta_U, pivots = angles_and_signs(u * signs)
    return theta_U, s, theta_V, pivots


def flat_weights(density: Posterior, inputs: int, hidden: tuple[int, ...]) -> Callable[..., Array]:
    """Return the map from the unconstrained coordinates of W and W_deep to both, flat."""
    size = sum(a * b for a, b in pairwise((inputs, *hidden)))
    rest = np.zeros(density.dims - size)

    def weights(coordinates: Array) -> Array:
        named = density.constrain(np.concatenate([coordinates, rest]))
        return np.concatenate([named["W"].ravel(), named.get("W_deep", np.empty(0))])

    return weights


def log_abs_det(function: Callable[[Array], Array], eta: Array, step: float = 1e-5) -> float:
    """Return log |det| of the Jacobian of a map R^D to R^D by central differences."""
    steps = np.eye(len(eta)) * step
    columns = [(function(eta + h) - function(eta - h)) / (2 * step) for h in steps]
    return float(np.linalg.slogdet(np.stack(columns, axis=1))[1])


def angle_log_density(eta: Array) -> Array:
    """Return the log density on the unconstrained scale of an angle uniform on (-pi/2, pi/2)."""
    return np.asarray(stats.logistic.logpdf(eta))


# -------------------------------------------------------------------------- the decomposition


@pytest.mark.parametrize("shape", SHAPES)
def test_weights_are_the_product_of_rotations_and_singular_values(shape: tuple[int, int]) -> None:
    rows, columns = shape
    k = min(shape)
    density = prior_of(columns, (rows,))
    named = density.constrain(np.random.default_rng(seeded(1)).normal(size=(20, density.dims)))
    none = np.empty((20, 0))
    for W, s, gap, theta_U, theta_V in zip(
        *(named[name] for name in ("W", "s", "s_gap")),
        *(named.get(name, none) for name in ("theta_U", "theta_V")),
        strict=True,
    ):
        np.testing.assert_allclose(s, np.cumsum(gap[::-1])[::-1], rtol=1e-14)
        U, V = frame(rows, k, theta_U), frame(columns, k, theta_V)
        np.testing.assert_allclose(W, U @ np.diag(s) @ V.T, rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(U.T @ U, np.eye(k), atol=1e-14)
        minors = [np.linalg.det(F[:m, :m]) for F in (U, V) for m in range(1, k + 1)]
        assert min(minors) > 0  # the region without a word about rotations


@pytest.mark.parametrize("shape", SHAPES)
def test_coordinates_of_a_matrix_are_found_again(shape: tuple[int, int]) -> None:
    """One to one: the SVD of W, oriented, has the angles that W was made from."""
    rows, columns = shape
    density = prior_of(columns, (rows,))
    named = density.constrain(np.random.default_rng(seeded(2)).normal(size=(20, density.dims)))
    for draw in range(20):
        theta_U, s, theta_V, pivots = oriented_svd(named["W"][draw])
        assert np.all(pivots == 1)
        np.testing.assert_allclose(s, named["s"][draw], rtol=1e-9)
        for name, angles in (("theta_U", theta_U), ("theta_V", theta_V)):
            if name in named:
                np.testing.assert_allclose(angles, named[name][draw], atol=1e-9)


@pytest.mark.parametrize("shape", SHAPES)
def test_every_matrix_of_the_region_has_coordinates(shape: tuple[int, int]) -> None:
    """Onto: signs of rows bring any W into the region; the program then returns it."""
    rows, columns = shape
    k = min(shape)
    density = prior_of(columns, (rows,))
    rng = np.random.default_rng(seeded(3))
    for W in rng.laplace(size=(20, rows, columns)):
        W[:k] *= oriented_svd(W)[3][:, None]
        theta_U, s, theta_V, pivots = oriented_svd(W)
        assert np.all(pivots == 1)
        gap = s - np.append(s[1:], 0)
        row = np.concatenate([theta_U, theta_V, gap, np.zeros(2 * rows + 1)])
        named = density.constrain(density.unconstrain_rows(row))
        np.testing.assert_allclose(named["W"], W, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_sign_of_a_row_is_the_sign_of_its_pivot_and_of_no_other(shape: tuple[int, int]) -> None:
    k = min(shape)
    for W in np.random.default_rng(seeded(4)).normal(size=(20, *shape)):
        _, s, theta_V, pivots = oriented_svd(W)
        for row in range(shape[0]):
            flipped = W.copy()
            flipped[row] *= -1
            _, same_s, same_theta_V, others = oriented_svd(flipped)
            assert np.array_equal(others, np.where(np.arange(k) == row, -pivots, pivots))
            np.testing.assert_allclose(same_s, s, rtol=1e-12)
            np.testing.assert_allclose(same_theta_V, theta_V, atol=1e-9)


@pytest.mark.parametrize("family", ["normal", "laplace"])
@pytest.mark.parametrize("shape", [(2, 2), (3, 2), (2, 4), (3, 3)])
def test_one_in_two_to_the_k_matrices_lies_in_the_region(
    shape: tuple[int, int], family: str
) -> None:
    """All patterns of the pivots' signs are equally likely in independent weights, 4 sigma each."""
    k, draws = min(shape), 4000
    rng = np.random.default_rng(seeded(5))
    W = getattr(rng, family)(size=(draws, *shape))
    patterns = np.array([oriented_svd(matrix)[3] for matrix in W])
    counts = np.bincount(((patterns + 1) / 2 @ 2 ** np.arange(k)).astype(int), minlength=2**k)
    expected = draws * 0.5**k
    assert len(counts) == 2**k
    assert np.all(np.abs(counts - expected) < 4 * math.sqrt(expected * (1 - 0.5**k)))


# -------------------------------------------------------------------------- the density


@pytest.mark.parametrize(("shape", "prior"), list(product(SHAPES, PRIORS)))
def test_prior_is_that_of_the_weights_renormalised(shape: tuple[int, int], prior: str) -> None:
    """At every point: density of W, times |dW / d(coordinates)|, times 2^k."""
    check_prior(shape[1], shape[:1], prior)


@pytest.mark.parametrize(("inputs", "hidden"), [(3, (2, 4)), (2, (3, 1, 2)), (1, (2, 2))])
def test_prior_of_several_layers_of_any_widths(inputs: int, hidden: tuple[int, ...]) -> None:
    check_prior(inputs, hidden, "student:5,0.9")


def check_prior(inputs: int, hidden: tuple[int, ...], prior: str) -> None:
    density = prior_of(inputs, hidden, prior)
    network = density.network
    assert network is not None
    weights = flat_weights(density, inputs, hidden)
    size = sum(a * b for a, b in pairwise((inputs, *hidden)))
    ranks = sum(min(pair) for pair in pairwise((inputs, *hidden)))
    assert network.region.log_mass == pytest.approx(-ranks * math.log(2))
    rng = np.random.default_rng(seeded(6))
    for _ in range(5):
        eta = rng.normal(size=density.dims)
        expected = float(network.log_prior(density.constrain(eta))) + ranks * math.log(2)
        expected += log_abs_det(weights, eta[:size])
        assert density.log_density(eta) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("size", [2, 3, 5])
def test_a_single_row_or_column_is_a_direction_and_a_chi_distributed_length(size: int) -> None:
    """Half of a sphere's area per angle, in closed form; normal weights of unit scale."""
    powers = np.arange(size - 1)
    volume = 0.5 * math.log(math.pi) + gammaln((powers + 1) / 2) - gammaln(powers / 2 + 1)
    # The product over angles of the integrals of cos^p is half of the sphere's area.
    sphere = math.log(2) + 0.5 * size * math.log(math.pi) - gammaln(0.5 * size)
    assert volume.sum() == pytest.approx(sphere - math.log(2))
    for inputs, units in ((1, size), (size, 1)):
        density = prior_of(inputs, (units,))
        for eta in np.random.default_rng(seeded(7)).normal(size=(5, density.dims)):
            angles, log_s, others = eta[: size - 1], eta[size - 1], eta[size:]
            theta = math.pi * (stats.logistic.cdf(angles) - 0.5)
            expected = (powers * np.log(np.cos(theta)) - volume + math.log(math.pi)).sum()
            expected += angle_log_density(angles).sum()
            expected += stats.chi.logpdf(math.exp(log_s), size) + log_s
            expected += stats.norm.logpdf(others).sum()
            assert density.log_density(eta) == pytest.approx(expected, rel=1e-12)


def square_log_density(eta: Array) -> float:
    """Return the log prior density of two by two normal weights (and of five others).

    Angles are uniform; singular values have density (s_1^2 - s_2^2) exp(-(s_1^2 + s_2^2)/2).
    """
    log_gap, log_s2 = eta[2:4]
    s2 = math.exp(log_s2)
    s1 = s2 + math.exp(log_gap)
    log_s = log_gap + math.log(s1 + s2) - 0.5 * (s1**2 + s2**2) + log_gap + log_s2
    return float(angle_log_density(eta[:2]).sum() + log_s + stats.norm.logpdf(eta[4:]).sum())


def test_two_by_two_normal_weights_have_a_closed_form() -> None:
    density = prior_of(2, (2,))
    for eta in np.random.default_rng(seeded(8)).normal(size=(5, density.dims)):
        assert density.log_density(eta) == pytest.approx(square_log_density(eta), rel=1e-12)


@pytest.mark.parametrize("log_gap", [-30.0, -300.0, -600.0])
def test_nearly_equal_singular_values_lose_no_digits(log_gap: float) -> None:
    density = prior_of(2, (2,))
    eta = np.random.default_rng(seeded(9)).normal(size=density.dims)
    eta[2] = log_gap
    value, gradient = density.gradient(eta)
    assert value == pytest.approx(square_log_density(eta), rel=1e-12)
    assert gradient[2] == pytest.approx(2.0, abs=1e-6)  # of 2 log_gap, for a vanishing gap


@pytest.mark.parametrize("prior", ["laplace:0.8", "student:5,0.9"])
@pytest.mark.parametrize("shape", [(2, 2), (3, 2)])
def test_prior_integrates_to_one(shape: tuple[int, int], prior: str) -> None:
    """Importance sampling of W's coordinates, 4 standard errors.

    These priors are not the same in all directions: no closed form knows this integral.
    """
    rows, columns = shape
    density = prior_of(columns, (rows,), prior)
    size = rows * columns
    angles = size - min(shape)
    rng = np.random.default_rng(seeded(10))
    proposals = [stats.logistic(scale=1.0)] * angles + [stats.t(df=4, scale=1.2)] * min(shape)
    eta = np.zeros((20_000, density.dims))
    log_q = np.zeros(len(eta))
    for i, proposal in enumerate(proposals):
        eta[:, i] = proposal.rvs(size=len(eta), random_state=rng)
        log_q += proposal.logpdf(eta[:, i])
    others = float(Prior.parse(prior).log_density(0.0)) * (2 * rows + 1)  # b, V and c
    log_p = np.array([density.log_density(point) for point in eta]) - others
    ratio = np.exp(log_p - log_q)
    error = ratio.std() / math.sqrt(len(ratio))
    assert error < 0.02
    assert abs(ratio.mean() - 1) < 4 * error


# -------------------------------------------------------------------------- names and refusals


def test_names_are_those_of_a_singular_value_decomposition() -> None:
    density = prior_of(3, (2, 4))
    shapes = {variable.name: variable.shape for variable in density.variables}
    assert shapes == {
        "theta_U": (1 + 5,),
        "theta_V": (3 + 1,),
        "s_gap": (4,),
        "b": (6,),
        "V": (1, 4),
        "c": (1,),
        "s": (4,),
        "W": (2, 3),
        "W_deep": (8,),
    }


def test_singular_values_decrease_within_each_layer() -> None:
    density = prior_of(3, (2, 4))
    named = density.constrain(np.random.default_rng(seeded(11)).normal(size=(50, density.dims)))
    network = density.network
    assert network is not None
    start = 0
    for matrix, _ in layers(network.hidden, named):
        s = np.linalg.svd(matrix, compute_uv=False)
        np.testing.assert_allclose(named["s"][:, start : start + s.shape[1]], s, rtol=1e-9)
        start += s.shape[1]
    assert start == named["s"].shape[1]


def test_a_uniform_prior_is_refused_by_the_program_too() -> None:
    density = prior_of(2, (2,))
    boxed = Posterior(density.program, {**density.data, "prior_family": 2})
    with pytest.raises(InputError, match=r"use mlp\.stan"):
        boxed.log_density(np.zeros(density.dims))
