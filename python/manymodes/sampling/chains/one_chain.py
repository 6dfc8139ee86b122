"""One chain as a task: what travels to a worker, and what the worker does with it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from manymodes.density.log_likelihood import LogLik, Missing
from manymodes.density.posterior import Posterior
from manymodes.runtime.scratch import scratch_folder
from manymodes.runtime.tasks import Parcel
from manymodes.runtime.threads import use_threads
from manymodes.sampling.chains.chain_files import Record
from manymodes.sampling.chains.samplers import sampler_named
from manymodes.sampling.chains.settings import ChainSettings
from manymodes.sampling.chains.starts import Starts
from manymodes.sampling.chains.warmups import Warmup, offered
from manymodes.statistics.diagnostics import r_eff
from manymodes.statistics.loo import psis_loo
from manymodes.types import FloatArray

RUNNING = ".running-"
"""How the names of scratch folders begin."""


@dataclass(frozen=True)
class Job:
    """What is common to all chains of a run, as it travels to the workers.

    Attributes
    ----------
    posterior, settings, starts
        What is sampled, how, and from where.
    warmups : tuple of Warmup
        What chains are offered of the warm-up of earlier ones.
    scratch : Path or None
        Where workers keep their files; None for their own temporary folders.
    threads : int
        For one likelihood.
    """

    posterior: Posterior
    settings: ChainSettings
    starts: Starts
    warmups: tuple[Warmup, ...] = ()
    scratch: Path | None = None
    threads: int = 1


def sample_chain(
    parcel: Parcel[Job], index: int, attempt: int, seed: int, given: FloatArray | None
) -> Record:
    """Run one chain and score it: the task that a worker carries out.

    Parameters
    ----------
    parcel : Parcel
        What all chains have in common.
    index, attempt : int
        The number of the chain, and how often it was tried before.
    seed : int
        The sampler's.
    given : array of shape (A, D), optional
        Points for it to start from, where they come from a table.

    Raises
    ------
    SamplingError
        The chain failed; the message is Stan's own.
    StorageError
        The worker's disk is full.
    """
    job = parcel.open()
    with job.posterior.program.in_users_words():
        return _sample_chain(job, index, attempt, seed, given)


def _sample_chain(
    job: Job, index: int, attempt: int, seed: int, given: FloatArray | None
) -> Record:
    use_threads(job.threads)  # before the likelihood is first evaluated
    posterior, settings = job.posterior, job.settings
    start = job.starts.point(index, attempt, given)
    adapted = offered(posterior, start, job.warmups, settings.nuts) if job.warmups else None
    with scratch_folder(job.scratch, RUNNING) as scratch:
        chain = sampler_named(settings.sampler)(
            posterior,
            settings.nuts,
            seed,
            scratch,
            start=start,
            adapted=adapted,
            time_limit=settings.time_limit,
        )
    return Record(
        rows=chain.rows,
        eta=chain.eta,
        stats=dict(chain.stats),
        start=start,
        inv_metric=chain.inv_metric,
        step_size=chain.step_size,
        seconds=chain.seconds,
        sampling_seconds=chain.sampling_seconds,
        attempt=attempt,
        cut=chain.cut,
        shared=adapted is not None,
        **scores_of(leave_one_out(posterior, chain.eta)),
    )


@dataclass(frozen=True, eq=False)
class Scores:
    """Leave-one-out scores of one chain.

    Attributes
    ----------
    lpd, pareto_k, r_eff : arrays of shape (N,)
        PSIS-LOO log predictive density of each observation (nats), its Pareto k-hat, and the
        relative efficiency that went into it; NaN where an observation has no score.
    missing : Missing
        What keeps observations from having one.
    """

    lpd: FloatArray
    pareto_k: FloatArray
    r_eff: FloatArray
    missing: Missing


def leave_one_out(posterior: Posterior, eta: FloatArray, told: LogLik | None = None) -> Scores:
    """Return the leave-one-out scores of a chain's draws, shape (S, D); empty without log_lik.

    Their log likelihood is computed, unless it is given as ``told``. An observation whose log
    likelihood is NaN or infinite under some draw has none: where it is -inf, that draw would have
    all the weight, and where it is NaN or +inf no weight is known.
    """
    if not posterior.has_log_lik:
        nothing = np.empty(0)
        return Scores(nothing, nothing, nothing, Missing.of(np.empty((len(eta), 0))))
    told = posterior.log_lik_told(eta) if told is None else told
    n_obs = told.values.shape[1]
    lpd, pareto_k, efficiency = (np.full(n_obs, np.nan) for _ in range(3))
    possible = np.isfinite(told.values).all(axis=0)
    if possible.any():
        with np.errstate(over="ignore", invalid="ignore"):  # differences beyond a double's range
            scored = told.values[:, possible]
            efficiency[possible] = r_eff(scored)
            loo = psis_loo(scored, r_eff=efficiency[possible])
        lpd[possible], pareto_k[possible] = loo.elpd_i, loo.pareto_k
        lost = ~np.isfinite(lpd)
        pareto_k[lost] = efficiency[lost] = lpd[lost] = np.nan
    return Scores(lpd, pareto_k, efficiency, Missing.of(told.values, told, np.isfinite(lpd)))


def rescored(posterior: Posterior, record: Record) -> Record:
    """Return a record with what it lacks of the log likelihood; that of 0.1.0 does not tell.

    There, an observation without a score had a log density of -inf.
    """
    if record.without is not None:
        return record
    if np.isfinite(record.lpd).all():
        return replace(record, without=np.zeros(len(record.lpd), dtype=np.intp))
    return replace(record, **scores_of(leave_one_out(posterior, record.eta)))


def scores_of(scores: Scores) -> dict[str, Any]:
    """Return scores as a record has them."""
    return {
        "lpd": scores.lpd,
        "pareto_k": scores.pareto_k,
        "r_eff": scores.r_eff,
        "without": scores.missing.count,
        "threw": scores.missing.threw,
        "message": scores.missing.message,
    }
