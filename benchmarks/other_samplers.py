"""Other nested samplers on the XOR network: one run in this process.

    other_samplers.py PROBLEM.json DONE.json

Writes log_z and its quoted error, evaluations, and seconds of wall and of processor, without the
time it takes to import and to compile. The network's density is written anew here, in JAX; that
of dynesty is the compiled one, through the official client of BridgeStan.
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

WIDTH = 5.0
"""The prior of each of the nine parameters is uniform on (-WIDTH, WIDTH)."""
DIMS = 9


def main() -> None:
    """Run the problem."""
    problem = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    done = {"check": check, "blackjax": blackjax_nss, "dynesty": dynesty}[problem["tool"]](problem)
    Path(sys.argv[2]).write_text(json.dumps(done), encoding="utf-8")


def jax_log_likelihood(problem: dict[str, Any]) -> Callable[[Any], Any]:
    """Return the log likelihood of parameters in Stan's order: W (by column), b, V, c."""
    import jax

    jax.config.update("jax_enable_x64", True)
    import jax.numpy as jnp

    data = json.loads(problem["data"])
    X = jnp.asarray(data["X"], dtype=jnp.float64)
    sign = 2.0 * jnp.asarray(data["y_int"], dtype=jnp.float64) - 1.0

    def log_likelihood(theta: Any) -> Any:
        W, b, V, c = theta[:4].reshape(2, 2).T, theta[4:6], theta[6:8], theta[8]
        logit = jax.nn.sigmoid(X @ W.T + b) @ V + c
        return -jax.nn.softplus(-sign * logit).sum()

    return log_likelihood


def stan_log_likelihood(problem: dict[str, Any]) -> tuple[Callable[[Any], float], Any]:
    """Return the log likelihood of cube points through BridgeStan, and the model."""
    import bridgestan

    model = bridgestan.StanModel(problem["model"], problem["data"])

    def log_likelihood(cube: Any) -> float:
        u = np.clip(cube, 1e-300, 1 - 2.0**-53)
        eta = np.log(u / (1 - u))
        return float(model.log_density(eta, propto=False) - np.log(u * (1 - u)).sum())

    return log_likelihood, model


def check(problem: dict[str, Any]) -> dict[str, float]:
    """Return the largest difference of the two densities at random points (nats)."""
    of_cube, _ = stan_log_likelihood(problem)
    of_theta = jax_log_likelihood(problem)
    cube = np.random.default_rng(problem["seed"]).uniform(size=(200, DIMS))
    theta = WIDTH * (2 * cube - 1)
    apart = [float(of_theta(t)) - of_cube(u) for t, u in zip(theta, cube, strict=True)]
    return {"apart": float(np.abs(apart).max())}


def blackjax_nss(problem: dict[str, Any]) -> dict[str, float]:
    """Run BlackJAX's nested slice sampling, a batch of points at once, as its examples do."""
    log_likelihood = jax_log_likelihood(problem)
    import blackjax
    import jax
    import jax.numpy as jnp
    from blackjax.ns.utils import finalise, log_weights

    def log_prior(theta: Any) -> Any:
        return jnp.where((jnp.abs(theta) < WIDTH).all(), -DIMS * math.log(2 * WIDTH), -jnp.inf)

    algorithm = blackjax.nss(
        logprior_fn=log_prior,
        loglikelihood_fn=log_likelihood,
        num_inner_steps=problem["slices"],
        num_delete=problem["batch"],
    )
    key, start, first, last = jax.random.split(jax.random.key(problem["seed"]), 4)
    shape = (problem["nlive"], DIMS)
    live = jax.random.uniform(start, shape, minval=-WIDTH, maxval=WIDTH, dtype=jnp.float64)
    state = algorithm.init(live)
    step = jax.jit(algorithm.step)
    before = _clocks()
    jax.block_until_ready(step(first, state))
    compiling = _since(before)
    dead = []
    before = _clocks()
    while state.integrator.logZ_live - state.integrator.logZ > -3:
        key, one = jax.random.split(key)
        state, info = step(one, state)
        dead.append(info)
    jax.block_until_ready(state)
    spent = _since(before)
    whole = finalise(state, dead)
    log_z = jax.scipy.special.logsumexp(log_weights(last, whole, 400), axis=0)
    slices = whole.update_info
    # Each side of a slice is looked at once more than it is moved.
    evaluations = (slices.num_expansions + 2 + slices.num_shrink).sum() + problem["nlive"]
    return {
        "log_z": float(log_z.mean()),
        "log_z_sd": float(log_z.std(ddof=1)),
        "evaluations": int(evaluations),
        **spent,
        "compile_seconds": compiling["seconds"],
    }


def dynesty(problem: dict[str, Any]) -> dict[str, float]:
    """Run dynesty with a sampling method and an end, and its defaults otherwise."""
    import dynesty as library

    log_likelihood, _ = stan_log_likelihood(problem)
    before = _clocks()
    sampler = library.NestedSampler(
        log_likelihood,
        lambda cube: cube,
        DIMS,
        nlive=problem["nlive"],
        sample=problem["method"],
        rstate=np.random.default_rng(problem["seed"]),
    )
    sampler.run_nested(dlogz=problem["dlogz"], print_progress=False)
    found = sampler.results
    return {
        "log_z": float(found.logz[-1]),
        "log_z_sd": float(found.logzerr[-1]),
        "evaluations": int(np.sum(found.ncall)),
        **_since(before),
    }


def _clocks() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def _since(before: tuple[float, float]) -> dict[str, float]:
    wall, processor = _clocks()
    return {"seconds": wall - before[0], "processor_seconds": processor - before[1]}


if __name__ == "__main__":
    main()
