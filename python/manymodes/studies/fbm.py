"""Neal's three example problems for neural networks, with his priors.

One input and a regression (100 cases, 8 tanh units), two inputs and two classes (300 cases, 15
units), four inputs and three classes (400 cases, 8 units, a scale for each input): data made as the
documentation of FBM describes them [1]_, and networks with FBM's own priors, whose scales are
sampled. What chains find, what tempering finds, and how well each predicts other cases.

References
----------
.. [1] Neal (2022). Software for Flexible Bayesian Modeling and Markov Chain Sampling,
   documentation of the examples Ex-netgp-r, Ex-netgp-b and Ex-netgp-c.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import logsumexp

from manymodes.density.posterior import Posterior, compile_posteriors
from manymodes.modes.diagnosis.geometry import concentration
from manymodes.modes.held_out import HeldOut, held_out_lpd
from manymodes.modes.stacked_chains import stack_chains
from manymodes.networks.network import Network
from manymodes.report import write_plain_report
from manymodes.results.run_directory import (
    REPORT,
    SUMMARY,
    run_directory,
    save_posterior,
    summary_head,
    write_chains,
)
from manymodes.runtime.seeds import check_seed
from manymodes.runtime.storage import claim, write_json
from manymodes.sampling.chains.chains import Chains, run_chains
from manymodes.sampling.chains.nuts_settings import NutsSettings
from manymodes.sampling.chains.settings import ChainSettings
from manymodes.sampling.tempered import Tempered, run_tempered
from manymodes.statistics.diagnostics import rhat, rhat_function
from manymodes.statistics.stacking import Stacking
from manymodes.studies.conduct import Effort
from manymodes.studies.fbm_words import INTRODUCTION, chains_table, notes, scores_table, tiles
from manymodes.toolchain import require
from manymodes.types import FloatArray

DATA_SEED = 1
EFFORT = Effort(chains=ChainSettings(chains=16, nuts=NutsSettings(warmup=500, draws=500)))
TEST_CASES = 1000

NAME = "fbm"


@dataclass(frozen=True, eq=False)
class Problem:
    """A data set and the network for it.

    Attributes
    ----------
    network : Network
        With FBM's priors.
    X, y : arrays
        Inputs and targets to learn from.
    test : HeldOut
        Other cases of the same distribution.
    best : float
        Mean log density of the test targets under the distribution that made them (nats).
    """

    network: Network
    X: FloatArray
    y: FloatArray
    test: HeldOut
    best: float


def fbm_problems(data_seed: int = DATA_SEED) -> dict[str, Problem]:
    """Return the three problems by name.

    Parameters
    ----------
    data_seed : int
        Decides all data.

    Raises
    ------
    InputError
        The seed is negative.
    """
    check_seed(data_seed, "data-seed")
    streams = np.random.SeedSequence(data_seed).spawn(3)
    makers = {"regression": _regression, "binary": _binary, "three-way": _three_way}
    return {
        name: make(np.random.default_rng(stream))
        for (name, make), stream in zip(makers.items(), streams, strict=True)
    }


def _regression(rng: np.random.Generator) -> Problem:
    """One standard normal input, noise of standard deviation 0.1."""
    x = rng.normal(size=100 + TEST_CASES)
    noise = rng.normal(0, 0.1, len(x))
    y = 0.3 + 0.4 * x + 0.5 * np.sin(2.7 * x) + 1.1 / (1 + x**2) + noise
    network = Network(1, (8,), activation="tanh", likelihood="normal", prior="fbm")
    log_p = -0.5 * (noise / 0.1) ** 2 - np.log(0.1 * np.sqrt(2 * np.pi))
    return _split(network, x[:, None], y, log_p, 100)


def _binary(rng: np.random.Generator) -> Problem:
    """Two standard normal inputs; class 1 in the middle of a disc."""
    X = rng.normal(size=(300 + TEST_CASES, 2))
    p = np.exp(-(((X[:, 0] - 0.4) ** 2 + (X[:, 1] + 0.3) ** 2) ** 2))
    y = (rng.random(len(p)) < p).astype(float)
    network = Network(2, (15,), activation="tanh", likelihood="bernoulli", prior="fbm")
    return _split(network, X, y, np.log(np.where(y == 1, p, 1 - p)), 300)


def _three_way(rng: np.random.Generator) -> Problem:
    """Two of four uniform inputs decide the class, and all are seen with noise."""
    u = rng.random((400 + TEST_CASES, 4))
    inside = np.hypot(u[:, 0] - 0.4, u[:, 1] - 0.5) < 0.35
    y = np.where(inside, 0.0, np.where(0.8 * u[:, 0] + 1.8 * u[:, 1] < 0.6, 1.0, 2.0))
    X = u + rng.normal(0, 0.1, u.shape)
    network = Network(
        4,
        (8,),
        outputs=3,
        activation="tanh",
        likelihood="categorical",
        prior="fbm ih=x0.2:0.5:0.5 bo=0.05:0.5",
    )
    return _split(network, X, y, np.full(len(y), np.nan), 400)


def _split(network: Network, X: FloatArray, y: FloatArray, log_p: FloatArray, n: int) -> Problem:
    return Problem(network, X[:n], y[:n], HeldOut(X[n:], y[n:]), float(log_p[n:].mean()))


def fbm_posterior(name: str, problem: Problem, *, kernel: bool = True) -> Posterior:
    """Return the posterior of a problem's network."""
    return Posterior.from_network(problem.network, problem.X, problem.y, name, kernel=kernel)


def run_fbm(out: Path, *, data_seed: int = DATA_SEED, effort: Effort = EFFORT) -> dict[str, Any]:
    """Run the study and write its results into a directory.

    Parameters
    ----------
    out : Path
        The run directory; each problem has a folder of its name in it.
    data_seed : int
        Decides the data.
    effort : Effort
        How much is sampled, and how; no nested runs are made.

    Returns
    -------
    dict
        What ``summary.json`` holds.

    Raises
    ------
    InputError
        A setting is out of its range, or the directory cannot be used.
    """
    toolchain = require("cmdstan", "bridge", "compiler")
    problems = fbm_problems(data_seed)
    posteriors = {
        name: fbm_posterior(name, problem, kernel=effort.kernel)
        for name, problem in problems.items()
    }
    settings = {
        "data_seed": data_seed,
        "seed": effort.seed,
        "nuts": effort.chains.nuts.as_dict(),
        "tempered": effort.tempered.identity(),
    }
    with run_directory(out, overwrite=effort.overwrite):
        claim(out, settings, resume=effort.resume)
        compile_posteriors(posteriors.values(), quiet=effort.quiet)
        entries = {}
        for name, posterior in posteriors.items():
            folder = out / name
            save_posterior(posterior, folder / "posterior")
            chains = run_chains(posterior, effort.chains, **effort.at(folder))
            write_chains(chains, folder)
            tempered = run_tempered(posterior, effort.tempered, **effort.at(folder))
            entries[name] = _entry(problems[name], chains, tempered)
        summary = {
            **summary_head(f"study {NAME}", effort.seed),
            "data_seed": data_seed,
            "posteriors": entries,
        }
        write_json(out / SUMMARY, summary)
        write_plain_report(
            out / REPORT,
            title="FBM's problems: networks with sampled scales",
            introduction=INTRODUCTION,
            tiles=tiles(entries),
            opening=notes(entries),
            tables=[scores_table(entries), chains_table(entries)],
            notes=[],
            settings={**settings, "chains": effort.chains.chains},
            toolchain=toolchain.as_dict(),
        )
    return summary


# -------------------------------------------------------------------------- figures


def _entry(problem: Problem, chains: Chains, tempered: Tempered) -> dict[str, Any]:
    """Return a problem's entry in ``summary.json``."""
    stacking = stack_chains(chains).stacking
    by_chain = held_out_lpd(chains, problem.test)
    lines = {
        "pooled": logsumexp(by_chain, axis=1, b=chains.lengths / chains.total_draws),
        "stacked": logsumexp(by_chain, axis=1, b=np.maximum(stacking.weights, 1e-300)),
        "tempered": _lpd_of_draws(problem, tempered),
    }
    pooled = lines["pooled"]
    return {
        "dims": chains.posterior.dims,
        "n_obs": chains.posterior.n_obs,
        "prior": problem.network.prior,
        "kernel": chains.posterior.program.kernel_state,
        "chains": _chains_entry(problem, chains, stacking),
        "tempered": {
            "log_z": tempered.log_z,
            "log_z_sd": tempered.log_z_sd,
            "runs": tempered.log_z_by_run.tolist(),
            "mixes": tempered.mixes,
            "effective_samples": tempered.effective_samples,
            "seconds": tempered.seconds,
        },
        "test": {
            "cases": len(problem.test.y),
            "best": problem.best,
            "single_chains": by_chain.mean(axis=0).tolist(),
            **{
                name: {"log_density": _mean(line), "less_than_pooled": _mean(pooled - line)}
                for name, line in lines.items()
            },
        },
        "modes": [],
    }


def _chains_entry(problem: Problem, chains: Chains, stacking: Stacking) -> dict[str, Any]:
    whole, at = chains.whole, concentration(chains)
    predictions = whole.posterior.predict(whole.rows, problem.test.X[:200])
    by_draw = predictions.reshape(*predictions.shape[:2], -1)
    heights = np.nanmean(np.where(chains.present, chains.stats["lp"], np.nan), axis=1)
    return {
        "n": chains.n_chains,
        "failed": len(chains.failures),
        "draws": chains.n_draws,
        "divergences": chains.divergences,
        "diverging_at": None if at is None else at.as_dict(),
        "steps": float(np.nanmean(chains.stats["n_steps"])),
        "seconds": float(chains.seconds.sum()),
        "rhat_weights": float(np.nanmax(rhat(whole.eta))),
        "rhat_function": float(np.nanmax(rhat_function([by_draw]))),
        "log_density": heights.tolist(),
        "stacking": {
            "weights": stacking.weights.tolist(),
            "effective_chains": stacking.effective_chains,
        },
    }


def _lpd_of_draws(problem: Problem, tempered: Tempered) -> FloatArray:
    """Return the log predictive density of each test case under the tempered draws (nats)."""
    posterior, test = tempered.posterior, problem.test
    named = posterior.unpack(tempered.rows)
    weights = {name: named[name] for name in problem.network.effective_names}
    log_lik = problem.network.log_lik(weights, test.X, test.y)
    return np.asarray(logsumexp(log_lik, axis=0, b=tempered.weights[:, None]))


def _mean(values: FloatArray) -> dict[str, float]:
    return {
        "value": float(values.mean()),
        "se": float(values.std(ddof=1) / np.sqrt(len(values))),
    }
