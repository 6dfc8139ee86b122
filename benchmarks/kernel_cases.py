"""The networks that the parts `kernel` and `kernel-runs` time, and what they must cost."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from manymodes.density.posterior import Posterior
from manymodes.networks.network import Network
from manymodes.studies.xor import xor_data, xor_network
from manymodes.types import FloatArray

NOISE_SD = math.sqrt(0.5)
"""Noise of the XOR data: a variance of 0.5, as in the other benchmarks."""


@dataclass(frozen=True)
class Work:
    """What one evaluation does at least.

    Attributes
    ----------
    flops : float
        Floating-point operations of the matrix products, two for a multiplication with its
        addition: of each layer one product forward, and backward one for its weights and, from
        the second layer on, one for its inputs.
    transcendentals : float
        Exponentials and logarithms: one for each hidden unit and observation (relu has none), two
        (an exponential and a logarithm) for each observation's log likelihood, or one if it is
        heteroscedastic, and two for each parameter that has two bounds. The logarithms of several
        observations can be had from that of a product, so that fewer are possible; they are a
        small part of all but the smallest case.
    bytes : float
        The size of X, which is read once.
    """

    flops: float
    transcendentals: float
    bytes: float


@dataclass(frozen=True)
class Case:
    """A network for two classes or real targets, its data, and how fast it is to be.

    Parameters
    ----------
    name : str
        What ``--cases`` calls it.
    network : Network
        The network.
    n_obs : int
        Number of observations; those of XOR are the study's.
    times_stan : float, optional
        Target: gradients with the kernel, in gradients of the Stan program as it is written.
    times_floor : float, optional
        Target: the time of a gradient is at most so many times the floor.
    """

    name: str
    network: Network
    n_obs: int
    times_stan: float | None = None
    times_floor: float | None = None

    @property
    def title(self) -> str:
        """The case in words."""
        n = self.network
        return (
            f"{self.n_obs} x {n.inputs}, hidden {n.hidden}, {n.activation}, {n.likelihood}, "
            f"{n.prior}: {n.parameter_count} parameters"
        )

    @cached_property
    def data(self) -> tuple[FloatArray, FloatArray | npt.NDArray[np.int64]]:
        """Inputs, shape (N, M), and targets, shape (N,): of a linear model, but for XOR."""
        if self.name == "xor":
            drawn = xor_data(noise_sd=NOISE_SD)
            return drawn.X, drawn.y
        rng = np.random.default_rng(1)
        X = rng.normal(size=(self.n_obs, self.network.inputs))
        score = X @ rng.normal(size=self.network.inputs) / math.sqrt(self.network.inputs)
        if self.network.likelihood == "heteroscedastic":
            return X, score + np.exp(X[:, 0] / 2) * rng.normal(size=self.n_obs)
        return X, (rng.logistic(size=self.n_obs) < 3 * score).astype(np.int64)

    def posterior(self, *, kernel: bool) -> Posterior:
        """Return the posterior, with the kernel or as the Stan program is written."""
        return Posterior.from_network(self.network, *self.data, self.name, kernel=kernel)

    def points(self, n: int) -> FloatArray:
        """Return ``n`` points of the unconstrained space, shape (n, D), in a smooth round.

        They lie on an ellipse through two random points, as those of a trajectory of a Hamiltonian
        sampler do. Standard deviations are 1 / sqrt(inputs), so that units are not saturated.
        """
        rng = np.random.default_rng(2)
        ends = rng.normal(size=(2, self.network.parameter_count)) / math.sqrt(self.network.inputs)
        angles = 2 * math.pi * np.arange(n) / n
        return np.stack([np.cos(angles), np.sin(angles)], axis=1) @ ends

    def work(self, *, gradient: bool) -> Work:
        """Return what a value, or a value with its gradient, does at least."""
        network, n = self.network, self.n_obs
        widths = (network.inputs, *network.hidden, network.units_out)
        flops = 0
        for layer, (inputs, units) in enumerate(pairwise(widths)):
            products = 1 + gradient * (2 if layer > 0 else 1)
            flops += products * 2 * n * inputs * units
        bounded = network.parameter_count if network.prior.startswith("uniform") else 0
        units = 0 if network.activation == "relu" else sum(network.hidden)
        each = 1 if network.likelihood == "heteroscedastic" else 2
        return Work(flops, n * (units + each) + 2 * bounded, 8 * n * network.inputs)


def _network(
    inputs: int,
    hidden: tuple[int, ...],
    activation: str = "sigmoid",
    likelihood: str = "bernoulli",
) -> Network:
    return Network(
        inputs=inputs,
        hidden=hidden,
        activation=activation,
        likelihood=likelihood,
        prior="normal:1",
    )


_DEEP = (16, 16, 16, 16)


CASES = {
    case.name: case
    for case in (
        Case("xor", xor_network(), 220, times_stan=6),
        Case("2000x10", _network(10, (30,)), 2000, times_stan=12, times_floor=1.5),
        Case("2000x784", _network(784, (10,)), 2000, times_stan=4, times_floor=1.5),
        Case("5000x20", _network(20, (30, 30)), 5000, times_floor=1.5),
        Case("1202x5-tanh", _network(5, _DEEP, "tanh", "heteroscedastic"), 1202, times_floor=1.5),
        Case("1202x5-relu", _network(5, _DEEP, "relu", "heteroscedastic"), 1202, times_floor=1.5),
    )
}
"""The cases by name."""
