"""One chain as a task: what travels to a worker, and what the worker does with it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from manymodes.density.log_likelihood import Missing
from manymodes.density.posterior import Posterior
from manymodes.errors import InputError
from manymodes.runtime.room import check_room
from manymodes.runtime.scratch import scratch_folder
from manymodes.runtime.seeds import check_seed
from manymodes.runtime.tasks import Parcel
from manymodes.runtime.threads import check_threads, use_threads
from manymodes.sampling.chains.chain_files import Record
from manymodes.sampling.chains.cmdstan_nuts import NutsSettings
from manymodes.sampling.chains.samplers import check_sampler, sampler_named
from manymodes.sampling.chains.starts import DEFAULT_INIT, Starts, parse_init
from manymodes.sampling.chains.warmups import Warmup, offered
from manymodes.statistics.diagnostics import r_eff
from manymodes.statistics.loo import psis_loo
from manymodes.types import FloatArray

MOST_SECONDS = 1e9
"""The longest time limit: some thirty years."""

RUNNING = ".running-"
"""How the names of scratch folders begin."""


@dataclass(frozen=True)
class RunSettings:
    """Settings of a run of chains; the parameters of `manymodes.run_chains` say what they mean."""

    chains: int
    seed: int
    nuts: NutsSettings
    sampler: str = "cmdstan"
    init: str = DEFAULT_INIT
    superchain: int = 1
    share_warmup: int = 0
    retries: int = 2
    time_limit: float | None = None
    threads_per_chain: int | None = None

    def __post_init__(self) -> None:
        """Check the ranges; raise `InputError` naming the first setting out of its range."""
        for name, least in (
            ("chains", 1),
            ("superchain", 1),
            ("share_warmup", 0),
            ("retries", 0),
        ):
            if getattr(self, name) < least:
                raise InputError(f"{name}: {getattr(self, name)} is not {least} or more")
        check_seed(self.seed)
        if self.time_limit is not None and not 0 < self.time_limit <= MOST_SECONDS:
            raise InputError(
                f"time_limit: {self.time_limit} is not a positive number of seconds, up to "
                f"{MOST_SECONDS:g}"
            )
        if self.chains % self.superchain:
            raise InputError(
                f"superchain: {self.chains} chains cannot be put in groups of {self.superchain}"
            )
        if self.share_warmup and self.nuts.warmup == 0:
            raise InputError("share_warmup: with warmup 0 there is nothing to share")
        check_threads(self.threads_per_chain)
        check_sampler(self.sampler, share_warmup=self.share_warmup > 0)
        parse_init(self.init)

    def check_room(self, posterior: Posterior, out: Path | str | None) -> None:
        """Raise `InputError` if the draws fit neither into memory nor, below ``out``, on the disk.

        A draw is held on the unconstrained scale and as the program has it.
        """
        numbers = self.chains * self.nuts.draws * 2 * posterior.dims
        what = f"{self.chains} chains of {self.nuts.draws} draws of {posterior.dims} parameters"
        check_room(numbers, what, out)

    def identity(self, posterior: Posterior, starts: Starts) -> dict[str, Any]:
        """Everything that decides a chain, so that another run is not continued by mistake.

        The number of chains is no part of it, since a run may be given more of them; neither is
        what only decides about chains that fail or take too long, nor the number of threads.
        """
        return {
            **posterior.identity,
            "seed": self.seed,
            **asdict(self.nuts),
            "sampler": self.sampler,
            "init": starts.identity,
            "superchain": self.superchain,
            "share_warmup": self.share_warmup,
        }


@dataclass(frozen=True)
class Job:
    """What is common to all chains of a run, as it travels to the workers.

    Attributes
    ----------
    posterior, run, starts
        What is sampled, how, and from where.
    warmups : tuple of Warmup
        What chains are offered of the warm-up of earlier ones.
    scratch : Path or None
        Where workers keep their files; None for their own temporary folders.
    threads : int
        For one likelihood.
    """

    posterior: Posterior
    run: RunSettings
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
    posterior, run = job.posterior, job.run
    start = job.starts.point(index, attempt, given)
    adapted = offered(posterior, start, job.warmups, run.nuts) if job.warmups else None
    with scratch_folder(job.scratch, RUNNING) as scratch:
        chain = sampler_named(run.sampler)(
            posterior,
            run.nuts,
            seed,
            scratch,
            start=start,
            adapted=adapted,
            time_limit=run.time_limit,
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
        **_of_scores(leave_one_out(posterior, chain.eta)),
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


def leave_one_out(posterior: Posterior, eta: FloatArray) -> Scores:
    """Return the leave-one-out scores of a chain's draws, shape (S, D); empty without log_lik.

    An observation whose log likelihood is NaN or infinite under some draw has none: where it is
    -inf, that draw would have all the weight, and where it is NaN or +inf no weight is known.
    """
    if not posterior.has_log_lik:
        nothing = np.empty(0)
        return Scores(nothing, nothing, nothing, Missing.of(np.empty((len(eta), 0))))
    told = posterior.log_lik_told(eta)
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
    return replace(record, **_of_scores(leave_one_out(posterior, record.eta)))


def _of_scores(scores: Scores) -> dict[str, Any]:
    """Return scores as a record has them."""
    return {
        "lpd": scores.lpd,
        "pareto_k": scores.pareto_k,
        "r_eff": scores.r_eff,
        "without": scores.missing.count,
        "threw": scores.missing.threw,
        "message": scores.missing.message,
    }
