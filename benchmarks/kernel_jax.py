"""The log density of a network for two classes in JAX, and its gradient in a compiled loop.

Written as a user of JAX would: matrix products, its own sigmoid and softplus, data as constants of
the compiled program, 64 bits. The loop is compiled too, so that nothing of Python is in it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
from kernel_cases import Case

from manymodes.networks.prior import Prior
from manymodes.types import FloatArray

Loop = Callable[[int], tuple[float, FloatArray]]


def has_jax(case: Case) -> bool:
    """Return whether the case's network is one of those that are written here."""
    network = case.network
    return (network.activation, network.likelihood) == ("sigmoid", "bernoulli")


def jax_loop(case: Case, points: FloatArray) -> tuple[Loop, str]:
    """Return a loop of so many passes over points, shape (n, D), and JAX's version.

    The loop returns the sums of values and of gradients, shape (D,).

    Raises
    ------
    ModuleNotFoundError
        JAX is not installed.
    """
    import jax

    jax.config.update("jax_enable_x64", True)
    import jax.numpy as jnp

    value_and_gradient = jax.value_and_grad(_log_density(case))
    n, dims = points.shape
    on_device = jnp.asarray(points)

    @jax.jit
    def loop(rows: Any, passes: Any) -> Any:
        def step(i: Any, sums: Any) -> Any:
            value, gradient = value_and_gradient(rows[i % n])
            return sums[0] + value, sums[1] + gradient

        return jax.lax.fori_loop(0, n * passes, step, (0.0, jnp.zeros(dims)))

    def call(passes: int) -> tuple[float, FloatArray]:
        value, gradient = jax.block_until_ready(loop(on_device, passes))
        return float(value), np.asarray(gradient)

    return call, str(jax.__version__)


def _log_density(case: Case) -> Callable[[Any], Any]:
    """Return the log posterior density (nats) of unconstrained parameters in Stan's order."""
    import jax
    import jax.numpy as jnp

    network, prior = case.network, Prior.parse(case.network.prior)
    assert has_jax(case)
    assert prior.family in ("normal", "uniform")
    X = jnp.asarray(case.data[0])
    sign = 2.0 * jnp.asarray(case.data[1]) - 1.0
    widths = (network.inputs, *network.hidden)
    shapes = list(pairwise(widths))
    n_weights = [inputs * units for inputs, units in shapes]
    ends = np.cumsum([*n_weights, *network.hidden, network.hidden[-1]])

    def log_likelihood(theta: Any) -> Any:
        parts = jnp.split(theta, ends)
        matrices = [part.reshape(shape) for part, shape in zip(parts, shapes, strict=False)]
        *biases, V, c = parts[len(shapes) :]
        A = X
        for W, b in zip(matrices, biases, strict=True):
            A = jax.nn.sigmoid(A @ W + b)
        return -jax.nn.softplus(-sign * (A @ V + c[0])).sum()

    def normal(theta: Any) -> Any:
        constant = theta.size * math.log(prior.scale * math.sqrt(2 * math.pi))
        return log_likelihood(theta) - 0.5 * (theta @ theta) / prior.scale**2 - constant

    def uniform(eta: Any) -> Any:
        theta = prior.scale * (2 * jax.nn.sigmoid(eta) - 1)
        jacobian = jax.nn.log_sigmoid(eta) + jax.nn.log_sigmoid(-eta)
        return log_likelihood(theta) + jacobian.sum()  # the prior's constant cancels the width

    return normal if prior.family == "normal" else uniform
