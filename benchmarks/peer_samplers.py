"""Other samplers on a posterior of `peers`: runs of one of them in this process.

    peer_samplers.py PROBLEM.json DONE.jsonl

Writes one line for each run: log_z and the error that it states of itself, evaluations and
processor seconds (user and system, all threads) without importing and compiling; before them a
line with the seconds of compiling. A run that takes more processor time than the cap ends the
process. Densities are written anew here, in NumPy and in JAX (64 bits), or are the compiled one
through the official client of BridgeStan; `check` compares the three.
"""

from __future__ import annotations

import json
import math
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# One core each: a thread that waits costs processor time, too.
os.environ.update(
    OMP_NUM_THREADS="1",
    OPENBLAS_NUM_THREADS="1",
    NPROC="1",
    XLA_FLAGS="--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
    JAX_PLATFORMS="cpu",
)

import numpy as np
from scipy.special import logsumexp, ndtri

_COMPILE_CAP = 150
"""Processor seconds within which a sampler must be imported and compiled."""
_TINY = 1e-300


@dataclass(frozen=True)
class Run:
    """One run: log evidence and its stated error (nats), evaluations, and what else it says."""

    log_z: float
    log_z_sd: float
    evaluations: int


Sampler = Callable[[int], Run]


# ---------------------------------------------------------------- densities


def from_cube(problem: dict[str, Any], cube: Any) -> Any:
    """Return parameters, of any shape, for points of the unit cube."""
    family, scale = problem["prior"]
    return scale * (2 * cube - 1) if family == "uniform" else scale * ndtri(cube)


def numpy_log_likelihood(problem: dict[str, Any]) -> Callable[[Any], Any]:
    """Return the log likelihood of many parameters at once, shape (n, D), in Stan's order."""
    X, y = np.array(problem["X"]), np.array(problem["y"])
    if problem["kind"] == "regression":
        noise = problem["noise"]
        constant = len(y) * (math.log(noise) + 0.5 * math.log(2 * math.pi))
        return lambda b: -0.5 * (((y - b @ X.T) / noise) ** 2).sum(axis=1) - constant
    units, sign = problem["units"], 2.0 * y - 1.0

    def log_likelihood(theta: Any) -> Any:
        W = theta[:, : 2 * units].reshape(-1, 2, units)
        b, V = theta[:, 2 * units : 3 * units], theta[:, 3 * units : 4 * units]
        A = X @ W + b[:, None, :]
        A = np.tanh(A) if problem["activation"] == "tanh" else 1 / (1 + np.exp(-A))
        logit = (A @ V[:, :, None])[:, :, 0] + theta[:, -1:]
        margin = sign * logit
        return (np.minimum(margin, 0) - np.log1p(np.exp(-np.abs(margin)))).sum(axis=1)

    return log_likelihood


def jax_log_likelihood(problem: dict[str, Any]) -> Callable[[Any], Any]:
    """Return the log likelihood of one vector of parameters in JAX, 64 bits."""
    import jax

    jax.config.update("jax_enable_x64", True)
    import jax.numpy as jnp

    X, y = jnp.asarray(problem["X"], dtype=float), jnp.asarray(problem["y"], dtype=float)
    if problem["kind"] == "regression":
        noise = problem["noise"]
        constant = len(y) * (math.log(noise) + 0.5 * math.log(2 * math.pi))
        return lambda b: -0.5 * (((y - X @ b) / noise) ** 2).sum() - constant
    units, sign = problem["units"], 2.0 * y - 1.0
    activation = jnp.tanh if problem["activation"] == "tanh" else jax.nn.sigmoid

    def log_likelihood(theta: Any) -> Any:
        W = theta[: 2 * units].reshape(2, units)
        b, V = theta[2 * units : 3 * units], theta[3 * units : 4 * units]
        logit = activation(X @ W + b) @ V + theta[-1]
        return -jax.nn.softplus(-sign * logit).sum()

    return log_likelihood


def stan_log_likelihood(problem: dict[str, Any]) -> Callable[[Any], float]:
    """Return the log likelihood of one point of the cube: the compiled density over the prior's."""
    import bridgestan

    model = bridgestan.StanModel(problem["library"], problem["data"])
    family, scale = problem["prior"]
    normal = problem["dims"] * (math.log(scale) + 0.5 * math.log(2 * math.pi))

    def log_likelihood(cube: Any) -> float:
        u = np.clip(cube, _TINY, 1 - 2.0**-53)
        if family == "uniform":
            eta = np.log(u / (1 - u))
            log_q = np.log(u * (1 - u)).sum()
        else:
            z = ndtri(u)
            eta, log_q = scale * z, -0.5 * (z @ z) - normal
        return float(model.log_density(eta, propto=False) - log_q)

    return log_likelihood


def check(problem: dict[str, Any]) -> float:
    """Return the largest difference of the three densities at random points (nats)."""
    cube = np.random.default_rng(1).uniform(0.05, 0.95, size=(100, problem["dims"]))
    theta = from_cube(problem, cube)
    stan = stan_log_likelihood(problem)
    in_stan = np.array([stan(u) for u in cube])
    apart = np.abs(numpy_log_likelihood(problem)(theta) - in_stan).max()
    try:
        in_jax = jax_log_likelihood(problem)
    except ModuleNotFoundError:
        return float(apart)
    return float(max(apart, np.abs([float(in_jax(t)) for t in theta] - in_stan).max()))


def batched_log_z(
    dead: list[Any], live: Any, rng: np.random.Generator, simulations: int = 400
) -> tuple[float, float]:
    """Return log evidence and error (nats) of nested sampling that removes batches of points.

    A batch of k of n points is k deaths of n, n - 1, ... live points each (Fowlie, Handley and Su
    2021); volumes are simulated (Skilling 2006).
    """
    log_l = np.concatenate([np.sort(batch) for batch in (*dead, live)])
    n_live = np.concatenate([len(live) - np.arange(len(batch)) for batch in (*dead, live)])
    steps = rng.exponential(size=(simulations, len(log_l))) / n_live
    log_x = -np.cumsum(steps, axis=1)
    log_shell = log_x + steps + np.log(-np.expm1(-steps))
    log_z = logsumexp(log_l + log_shell, axis=1)
    return float(log_z.mean()), float(log_z.std(ddof=1))


# ---------------------------------------------------------------- nested samplers


def dynesty(problem: dict[str, Any]) -> Sampler:
    """Return static nested sampling of dynesty with its defaults, but for the end."""
    import dynesty as library

    log_likelihood = stan_log_likelihood(problem)

    def run(seed: int) -> Run:
        sampler = library.NestedSampler(
            log_likelihood,
            lambda cube: cube,
            problem["dims"],
            nlive=problem["size"],
            sample=problem["method"],
            rstate=np.random.default_rng(seed),
        )
        sampler.run_nested(dlogz=0.01, print_progress=False)
        found = sampler.results
        return Run(found.logz[-1], found.logzerr[-1], int(np.sum(found.ncall)))

    return run


def blackjax_nss(problem: dict[str, Any]) -> Sampler:
    """Return BlackJAX's nested slice sampling, a tenth of the points at once, 2 D slices each."""
    log_likelihood = jax_log_likelihood(problem)
    import blackjax
    import jax
    import jax.numpy as jnp

    family, scale = problem["prior"]
    dims, nlive = problem["dims"], problem["size"]

    def log_prior(theta: Any) -> Any:
        if family == "uniform":
            inside = (jnp.abs(theta) < scale).all()
            return jnp.where(inside, -dims * math.log(2 * scale), -jnp.inf)
        return jax.scipy.stats.norm.logpdf(theta, scale=scale).sum()

    algorithm = blackjax.nss(
        logprior_fn=log_prior,
        loglikelihood_fn=log_likelihood,
        num_inner_steps=2 * dims,
        num_delete=max(1, nlive // 10),
    )
    step, start = jax.jit(algorithm.step), jax.jit(algorithm.init)

    def run(seed: int, most: int = 10**9) -> Run:
        cube = np.random.default_rng(seed).uniform(size=(nlive, dims))
        key = jax.random.key(seed)
        state = start(jnp.asarray(from_cube(problem, cube)))
        dead, evaluations = [], nlive
        while state.integrator.logZ_live - state.integrator.logZ > -3 and len(dead) < most:
            key, one = jax.random.split(key)
            state, info = step(one, state)
            dead.append(np.asarray(info.particles.loglikelihood))
            # Each side of a slice is looked at once more than it is moved.
            slices = info.update_info
            evaluations += int((slices.num_expansions + slices.num_shrink + 2).sum())
        live = np.asarray(state.particles.loglikelihood)
        return Run(*batched_log_z(dead, live, np.random.default_rng(seed)), evaluations)

    run(0, most=2)
    return run


def jaxns(problem: dict[str, Any]) -> Sampler:
    """Return nested sampling of jaxns, with its own slices (5 D) and end."""
    log_likelihood = jax_log_likelihood(problem)
    import jax
    import jax.numpy as jnp
    from jaxns.core import NestedSampler
    from jaxns.model import Model
    from jaxns.priors import Prior
    from tensorflow_probability.substrates import jax as tfp

    family, scale = problem["prior"]
    zeros = jnp.zeros(problem["dims"])

    def prior_model() -> Any:
        if family == "uniform":
            distribution = tfp.distributions.Uniform(zeros - scale, zeros + scale)
        else:
            distribution = tfp.distributions.Normal(zeros, zeros + scale)
        return log_likelihood(Prior(distribution, name="theta").realise())

    sampler = NestedSampler(
        model=Model(prior_model=prior_model), root_allocation_degree=problem["size"]
    )

    def run(seed: int) -> Run:
        found = sampler.run(key=jax.random.PRNGKey(seed)).to_result()
        evaluations = int(found.total_num_likelihood_evaluations)
        return Run(float(found.log_Z_mean), float(found.log_Z_uncert), evaluations)

    run(0)  # buffers grow as it runs, so that only a whole run has compiled everything
    return run


def nautilus(problem: dict[str, Any]) -> Sampler:
    """Return nautilus, which learns where the posterior is; stops as soon as it has explored."""
    from nautilus import Sampler as Library

    log_likelihood = numpy_log_likelihood(problem)

    def run(seed: int) -> Run:
        sampler = Library(
            lambda cube: from_cube(problem, cube),
            log_likelihood,
            n_dim=problem["dims"],
            n_live=problem["size"],
            vectorized=True,
            seed=seed,
        )
        sampler.run(n_eff=problem["effective"])
        return Run(float(sampler.log_z), float(sampler.n_eff**-0.5), int(sampler.n_like))

    return run


def ultranest(problem: dict[str, Any]) -> Sampler:
    """Return UltraNest with its slice sampler of 2 D steps."""
    import logging

    from ultranest import ReactiveNestedSampler, stepsampler

    log_likelihood = stan_log_likelihood(problem)
    names = [f"x{i}" for i in range(problem["dims"])]

    def run(seed: int) -> Run:
        np.random.seed(seed)  # noqa: NPY002 - its only source of random numbers
        sampler = ReactiveNestedSampler(names, log_likelihood)  # parameters are cube coordinates
        sampler.logger.setLevel(logging.ERROR)
        sampler.stepsampler = stepsampler.SliceSampler(
            nsteps=2 * problem["dims"],
            generate_direction=stepsampler.generate_mixture_random_direction,
        )
        found = sampler.run(
            min_num_live_points=problem["size"],
            cluster_num_live_points=0,
            max_num_improvement_loops=0,
            show_status=False,
            viz_callback=False,
        )
        return Run(float(found["logz"]), float(found["logzerr"]), int(found["ncall"]))

    return run


# ---------------------------------------------------------------- sequential Monte Carlo


def blackjax_smc(problem: dict[str, Any]) -> Sampler:
    """Return adaptive tempered SMC of BlackJAX with HMC, whose metric and step size are tuned.

    Every step keeps the effective share of the particles; the metric is the particles' variance,
    and the step size follows the acceptance rate, both before each step. The stated error is that
    of independent particles.
    """
    log_likelihood = jax_log_likelihood(problem)
    import blackjax
    import jax
    import jax.numpy as jnp
    from blackjax.smc import inner_kernel_tuning, resampling
    from blackjax.smc.adaptive_tempered import as_top_level_api
    from jax.scipy.stats import logistic, norm

    family, scale = problem["prior"]
    dims, n, share = problem["dims"], problem["size"], problem["share"]

    def log_likelihood_of(eta: Any) -> Any:
        if family == "uniform":
            return log_likelihood(scale * (2 * jax.nn.sigmoid(eta) - 1))
        return log_likelihood(eta)

    def log_prior(eta: Any) -> Any:
        if family == "uniform":
            return logistic.logpdf(eta).sum()
        return norm.logpdf(eta, scale=scale).sum()

    kernel = blackjax.hmc.build_kernel()

    def move(key: Any, state: Any, log_density: Any, log_step: Any, variance: Any) -> Any:
        return kernel(
            key,
            state,
            log_density,
            step_size=jnp.exp(log_step),
            inverse_mass_matrix=variance,
            num_integration_steps=problem["leapfrog"],
        )

    def run(seed: int, most: int = 10**9) -> Run:
        key = jax.random.key(seed)
        cube = np.random.default_rng(seed).uniform(size=(n, dims))
        eta = np.log(cube / (1 - cube)) if family == "uniform" else from_cube(problem, cube)
        particles = jnp.asarray(eta)
        state = state_of(particles)
        log_z, steps, log_step = 0.0, 0, math.log(0.3)
        while float(state.sampler_state.tempering_param) < 1 and steps < most:
            key, one = jax.random.split(key)
            tuned = {
                "log_step": jnp.full(1, log_step),
                "variance": jnp.var(state.sampler_state.particles, axis=0)[None],
            }
            state, gain, accepted = advance(one, state._replace(parameter_override=tuned))
            log_z += float(gain)
            log_step += float(accepted) - 0.8
            steps += 1
        evaluations = steps * n * problem["moves"] * problem["leapfrog"]
        return Run(log_z, math.sqrt(steps * (1 / share - 1) / n), evaluations)

    start = {"log_step": jnp.full(1, math.log(0.3)), "variance": jnp.ones((1, dims))}
    algorithm = inner_kernel_tuning.as_top_level_api(
        as_top_level_api,
        log_prior,
        log_likelihood_of,
        move,
        blackjax.hmc.init,
        resampling.systematic,
        mcmc_parameter_update_fn=lambda key, state, info: start,
        initial_parameter_value=start,
        num_mcmc_steps=problem["moves"],
        target_ess=share,
    )
    state_of = algorithm.init

    @jax.jit
    def advance(key: Any, state: Any) -> Any:
        state, info = algorithm.step(key, state)
        return state, info.log_likelihood_increment, info.update_info.acceptance_rate.mean()

    run(0, most=2)
    return run


SAMPLERS: dict[str, Callable[[dict[str, Any]], Sampler]] = {
    "dynesty": dynesty,
    "blackjax-nss": blackjax_nss,
    "blackjax-smc": blackjax_smc,
    "jaxns": jaxns,
    "nautilus": nautilus,
    "ultranest": ultranest,
}


def measured(problem: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Return what was measured, run by run; the first is on compiling."""
    if problem["tool"] == "check":
        yield {"apart": check(problem)}
        return
    _cap(_COMPILE_CAP)
    before = time.process_time()
    sample = SAMPLERS[problem["tool"]](problem)
    yield {"compile_seconds": time.process_time() - before}
    for seed in problem["seeds"]:
        _cap(problem["cap"])
        before = time.process_time()
        run = sample(seed)
        yield {**vars(run), "processor_seconds": time.process_time() - before}


def _cap(seconds: float) -> None:
    """Have the system end this process once it has used so much more processor time."""
    limit = math.ceil(time.process_time() + seconds)
    resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.RLIM_INFINITY))


def main() -> None:
    """Run the problem."""
    problem = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    with Path(sys.argv[2]).open("w", encoding="utf-8") as done:
        for line in measured(problem):
            print(json.dumps({k: float(v) for k, v in line.items()}), file=done, flush=True)


if __name__ == "__main__":
    main()
