"""The kernel against long double, against the pure Stan programs, and under sanitizers."""

from __future__ import annotations

import ctypes
import pickle
import subprocess
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice, pairwise, product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import needs_tools
from joined_programs import load_definition
from manymodes.density import kernel
from manymodes.density.posterior import Posterior
from manymodes.errors import DensityError, KernelWarning
from manymodes.networks.network import Network
from manymodes.toolchain import stan_dir
from seeds import seeded
from test_stan_programs import COMBINATIONS, RAGGED, interior_point, label, make, posterior

pytestmark = needs_tools

DRIVER = Path(__file__).parents[1] / "kernel" / "driver.cpp"
SETS = ("baseline", "avx2", "avx512")
ACTIVATIONS = ("sigmoid", "tanh", "relu")
LIKELIHOODS = ("bernoulli", "categorical", "normal")
RELATIVE = 1e-12

Array = npt.NDArray[np.float64]
Long = npt.NDArray[np.longdouble]
Pointer = ctypes.POINTER


def compiled(target: Path, *flags: str) -> Path:
    """Compile the driver."""
    include = f"-I{stan_dir() / 'kernels'}"
    command = ["g++", "-std=c++14", *flags, include, str(DRIVER), "-o", str(target), "-pthread"]
    subprocess.run(command, check=True)
    return target


@pytest.mark.parametrize("sanitizers", ["address,undefined", "thread"])
def test_the_kernel_is_right_and_clean_under_sanitizers(tmp_path: Path, sanitizers: str) -> None:
    """All that it can compute, with every instruction set, in memory of exactly the right size."""
    flags = ("-O1", "-g", f"-fsanitize={sanitizers}", "-fno-sanitize-recover=all")
    program = compiled(tmp_path / "driver", *flags)
    done = subprocess.run([str(program)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "\n0 of " in done.stdout


def test_it_compiles_without_a_warning(tmp_path: Path) -> None:
    compiled(tmp_path / "driver", "-O2", "-Wall", "-Wextra", "-Werror", "-fsyntax-only")


# ---------------------------------------------------------------- against long double


@dataclass(frozen=True)
class Problem:
    """A network with data and weights, [input][unit] with biases as a last input, by layers."""

    units: tuple[int, ...]
    activation: str
    likelihood: str
    X: Array
    y: Array
    sigma: float
    weights: tuple[Array, ...]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    target = compiled(tmp_path_factory.mktemp("kernel") / "kernel.so", "-O3", "-shared", "-fPIC")
    loaded = ctypes.CDLL(str(target))
    loaded.kernel_evaluate.restype = ctypes.c_double
    return loaded


def evaluate(library: ctypes.CDLL, simd: int, problem: Problem) -> tuple[float, Array, Array]:
    """Return the log likelihood, its gradient (weights, then sigma), and it by observations."""
    real = problem.likelihood == "normal"
    flat = np.concatenate([w.ravel() for w in problem.weights])
    gradient = np.empty(len(flat) + 1)
    pointwise = np.empty(len(problem.y))
    y_int = problem.y.astype(np.int32)
    arrays = (np.asfortranarray(problem.X), y_int, problem.y, flat, gradient, pointwise)
    X, ints, reals, weights, to, points = (
        a.ctypes.data_as(Pointer(ctypes.c_int32 if a.dtype == np.int32 else ctypes.c_double))
        for a in arrays
    )
    call: Callable[..., float] = library.kernel_evaluate
    arguments = (
        ctypes.c_int(simd),
        ctypes.c_int(len(problem.units) - 1),
        (ctypes.c_int * len(problem.units))(*problem.units),
        ctypes.c_int(ACTIVATIONS.index(problem.activation) + 1),
        ctypes.c_int(LIKELIHOODS.index(problem.likelihood) + 1),
        ctypes.c_long(len(problem.y)),
        X,
        ints,
        reals,
        ctypes.c_double(problem.sigma),
        weights,
    )
    value = call(*arguments, to, None)
    alone = call(*arguments, None, points)
    assert alone == pytest.approx(value, rel=1e-12, abs=1e-12)
    return value, gradient if real else gradient[:-1], pointwise


def exact(problem: Problem) -> tuple[np.longdouble, Long, Long]:
    """Return what `evaluate` does, in long double."""
    weights = [w.astype(np.longdouble) for w in problem.weights]
    outputs = [problem.X.astype(np.longdouble)]
    for layer, w in enumerate(weights):
        z = outputs[-1] @ w[:-1] + w[-1]
        if layer < len(weights) - 1:
            if problem.activation == "sigmoid":
                z = 1 / (1 + np.exp(-z))
            else:
                z = np.tanh(z) if problem.activation == "tanh" else np.maximum(z, 0)
        outputs.append(z)
    eta, n = outputs[-1], len(problem.y)
    sigma_part: list[np.longdouble] = []
    if problem.likelihood == "bernoulli":
        sign = 2 * problem.y - 1
        t = sign * eta[:, 0]
        points = -np.logaddexp(np.longdouble(0), -t)
        delta = (sign * np.exp(points - np.minimum(t, 0) - np.maximum(t, 0)))[:, None]
    elif problem.likelihood == "categorical":
        which = problem.y.astype(int) - 1
        shifted = eta - eta.max(axis=1, keepdims=True)
        log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        points = log_p[np.arange(n), which]
        delta = -np.exp(log_p)
        delta[np.arange(n), which] += 1
    else:
        sigma = np.longdouble(problem.sigma)
        r = (problem.y - eta[:, 0]) / sigma
        points = -r * r / 2 - np.log(sigma) - np.log(2 * np.arccos(np.longdouble(-1))) / 2
        delta = (r / sigma)[:, None]
        sigma_part = [((r * r - 1) / sigma).sum()]
    gradients: list[Long] = []
    for layer in reversed(range(len(weights))):
        gradients.append(np.vstack([outputs[layer].T @ delta, delta.sum(axis=0)]).ravel())
        a = outputs[layer]
        slope = {"sigmoid": a * (1 - a), "tanh": (1 - a) * (1 + a), "relu": (a > 0) * 1.0}
        delta = (delta @ weights[layer][:-1].T) * slope[problem.activation]
    gradient = np.concatenate([*gradients[::-1], sigma_part])
    return points.sum(), gradient, points


def rounding(problem: Problem, answer: tuple[np.longdouble, Long, Long]) -> list[float]:
    """Return how far the exact answers move when weights and inputs move in their last bits.

    No computation in double precision can be closer than that: at weights of 1000 it is much.
    """
    rng = np.random.default_rng(seeded(0))
    moves = [0.0, 0.0, 0.0]
    for _ in range(4):
        moved = replace(
            problem,
            X=problem.X * (1 + 2.0**-52 * rng.choice([-1, 1], problem.X.shape)),
            weights=tuple(
                w * (1 + 2.0**-52 * rng.choice([-1, 1], w.shape)) for w in problem.weights
            ),
        )
        for i, (now, before) in enumerate(zip(exact(moved), answer, strict=True)):
            moves[i] = max(moves[i], float(np.max(np.abs(now - before), initial=0)))
    return moves


@st.composite
def problems(draw: st.DrawFn) -> Problem:
    hidden = draw(st.lists(st.integers(1, 14), min_size=1, max_size=4))
    likelihood = draw(st.sampled_from(LIKELIHOODS))
    outputs = draw(st.integers(1, 6)) if likelihood == "categorical" else 1
    units = (draw(st.integers(1, 20)), *hidden, outputs)
    n = draw(st.integers(1, 70))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    y = {
        "bernoulli": rng.integers(0, 2, n),
        "categorical": rng.integers(1, outputs + 1, n),
        "normal": rng.normal(size=n),
    }
    scale = draw(st.sampled_from([1e-3, 0.3, 1.0, 10.0, 1e3]))
    weights = [rng.normal(size=(i + 1, o)) for i, o in pairwise(units)]
    if scale == 1e3:  # at the edge, not around it
        weights = [np.sign(w) for w in weights]
    return Problem(
        units,
        draw(st.sampled_from(ACTIVATIONS)),
        likelihood,
        rng.normal(size=(n, units[0])),
        y[likelihood].astype(float),
        draw(st.floats(0.01, 100)),
        tuple(scale * w for w in weights),
    )


@pytest.mark.parametrize("simd", range(len(SETS)), ids=SETS)
@settings(max_examples=150, deadline=None)
@given(problem=problems())
def test_it_agrees_with_long_double(library: ctypes.CDLL, simd: int, problem: Problem) -> None:
    """To 1e-12 relative, or what the rounding of weights and inputs alone allows."""
    if simd > library.kernel_simd_here():
        pytest.skip(f"this processor has no {SETS[simd]}")
    answer = exact(problem)
    inherent = rounding(problem, answer)
    for got, expected, moved in zip(
        evaluate(library, simd, problem), answer, inherent, strict=True
    ):
        scale = max(1.0, float(np.max(np.abs(expected))))
        assert np.max(np.abs(got - expected)) <= RELATIVE * scale + 8 * moved


# ---------------------------------------------------------------- against Stan


class Definition(Posterior):
    """A posterior without the kernel, from the library of all such programs."""

    @cached_property
    def model(self) -> Any:
        return load_definition(self.program.name, self.data_json)


def definition(density: Posterior) -> Posterior:
    return Definition(density.program.definition, density.data, density.name, density.network)


def answers(density: Posterior, eta: Any) -> tuple[Array, ...]:
    """Return value, value alone, gradient and pointwise log likelihoods."""
    value, gradient = density.gradient(eta)
    return np.array(value), np.array(density.log_density(eta)), gradient, density.log_lik(eta)


def assert_same(network: Network, eta: Any, moves: tuple[float, ...] = (0, 0, 0, 0)) -> None:
    """All answers agree to 1e-12 relative, or what rounding the weights alone allows."""
    ours, stan = posterior(network), definition(posterior(network))
    assert ours.program.uses_kernel
    assert not stan.program.uses_kernel
    for got, expected, moved in zip(answers(ours, eta), answers(stan, eta), moves, strict=True):
        size = max(1.0, np.abs(expected).max())
        assert np.abs(got - expected).max() <= RELATIVE * size + 8 * moved


def rounding_in_stan(network: Network, eta: Array) -> tuple[float, ...]:
    """Return how far Stan's answers move when weights move in their last bits."""
    rng = np.random.default_rng(seeded(5))
    stan = definition(posterior(network))
    answer = answers(stan, eta)
    moved = [answers(stan, eta * (1 + 2.0**-52 * rng.choice([-1, 1], eta.shape))) for _ in "four"]
    return tuple(
        max(float(np.abs(m[i] - answer[i]).max()) for m in moved) for i in range(len(answer))
    )


FROM_HERE = 20
"""Stan's Bernoulli densities take log(1 + exp(-t)) for -t where a logit t is below -20."""


def within_stans_cutoff(network: Network, eta: Any) -> bool:
    if network.likelihood != "bernoulli":
        return True
    return bool(posterior(network).log_lik(eta).min() > -FROM_HERE)


@pytest.mark.parametrize("network", COMBINATIONS + RAGGED, ids=label)
def test_it_agrees_with_the_stan_program(network: Network) -> None:
    points = (interior_point(network, np.random.default_rng(seeded(seed))) for seed in range(100))
    for eta in islice((eta for eta in points if within_stans_cutoff(network, eta)), 3):
        assert_same(network, eta)


def test_beyond_stans_cutoff_it_differs_by_what_stan_leaves_out() -> None:
    network = make("none", "tanh", "bernoulli", "normal:1.5")
    density = posterior(network)
    eta = np.zeros(density.dims)
    eta[-1] = 21.0  # the output's bias: each logit is 21
    wrong = int(np.sum(np.array(density.data["y_int"]) == 0))
    assert wrong > 0
    left_out = wrong * np.log1p(np.exp(-21.0))
    difference = definition(density).log_density(eta) - density.log_density(eta)
    assert difference == pytest.approx(left_out, rel=1e-3)


@pytest.mark.parametrize("hidden", [(2,), (5,), (4, 3)], ids=str)
@pytest.mark.parametrize(
    ("activation", "likelihood"), list(product(ACTIVATIONS, LIKELIHOODS)), ids=str
)
def test_it_agrees_with_the_stan_program_at_extreme_weights(
    activation: str, likelihood: str, hidden: tuple[int, ...]
) -> None:
    """Where weights are 1000 or -1000 and the density and its gradient are finite.

    Logits of 10^9 that cancel but for their rounding have no 12 digits, in Stan or here: what
    Stan's own answers change by when weights change in their last bits is allowed besides.
    """
    network = make("none", activation, likelihood, "normal:1.5", hidden)
    rng = np.random.default_rng(seeded(11))
    compared = 0
    for _ in range(20):
        eta = rng.choice([-1e3, 1e3], posterior(network).dims)
        if likelihood == "normal":
            eta[-1] = rng.normal()  # log sigma
        try:
            expected = definition(posterior(network)).gradient(eta)
        except DensityError:
            continue
        if np.isfinite(expected[0]) and np.isfinite(expected[1]).all():
            assert_same(network, eta, rounding_in_stan(network, eta))
            compared += 1
    assert compared >= 10


@pytest.mark.parametrize("layers", [62, 63, 64, 65])
def test_beyond_63_hidden_layers_the_stan_program_takes_over(layers: int) -> None:
    network = make("none", "tanh", "normal", "normal:1.5", hidden=(2,) + (1,) * (layers - 1))
    density = posterior(network)
    told = kernel.too_deep(density.data)
    assert density.program.kernel is not bool(told)
    assert bool(told) is (layers > 63)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", KernelWarning)
        density.compile()
    assert [str(one.message) for one in caught] == ([density.depth_caution] if told else [])
    eta = interior_point(network, np.random.default_rng(seeded(3)))
    assert np.isfinite(density.gradient(eta)[1]).all()
    X, y = (np.asarray(density.data[name]) for name in ("X", "y_real"))
    weights = density.constrain(eta[None])
    np.testing.assert_allclose(density.log_lik(eta[None]), network.log_lik(weights, X, y))
    assert density.prior.program == density.program
    assert pickle.loads(pickle.dumps(density)).program.kernel is density.program.kernel


def test_both_reject_what_is_not_finite() -> None:
    """Weights too large for a finite likelihood are an error of the density, as in Stan."""
    network = make("none", "relu", "normal", "normal:1.5")
    eta = np.full(posterior(network).dims, 1e200)
    eta[-1] = 0
    for density in (posterior(network), definition(posterior(network))):
        with pytest.raises(DensityError):
            density.gradient(eta)
        assert density.log_density(eta) == -np.inf


def test_the_instruction_set_is_the_one_that_the_kernel_takes(library: ctypes.CDLL) -> None:
    assert SETS[library.kernel_simd_here()] == kernel.instruction_set()
