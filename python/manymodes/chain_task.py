"""One chain as a task: what travels to a worker, and what the worker does with it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from manymodes.diagnostics import r_eff
from manymodes.engine import Parcel
from manymodes.errors import InputError
from manymodes.loo import psis_loo
from manymodes.nuts import NutsSettings
from manymodes.posterior import FloatArray, Posterior
from manymodes.records import Record
from manymodes.room import check_room
from manymodes.samplers import check_sampler, sampler_named
from manymodes.scratch import scratch_folder
from manymodes.seeds import check_seed
from manymodes.starts import Starts, parse_init
from manymodes.threads import check_threads, use_threads
from manymodes.warmups import Warmup, offered

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
    init: str = "radius:2"
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
    lpd, pareto_k, efficiency = leave_one_out(posterior, chain.eta)
    return Record(
        rows=chain.rows,
        eta=chain.eta,
        stats=dict(chain.stats),
        lpd=lpd,
        pareto_k=pareto_k,
        r_eff=efficiency,
        start=start,
        inv_metric=chain.inv_metric,
        step_size=chain.step_size,
        seconds=chain.seconds,
        sampling_seconds=chain.sampling_seconds,
        attempt=attempt,
        cut=chain.cut,
        shared=adapted is not None,
    )


def leave_one_out(
    posterior: Posterior, eta: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return PSIS-LOO log predictive densities, Pareto k-hat and relative efficiency, each (N,).

    An observation that some draw gives no likelihood cannot be left out by reweighting: that
    draw would have all the weight. Its density is zero and its k-hat infinite.
    """
    if not posterior.has_log_lik:
        return np.empty(0), np.empty(0), np.empty(0)
    log_lik = posterior.log_lik(eta)
    lpd, pareto_k = np.full(log_lik.shape[1], -np.inf), np.full(log_lik.shape[1], np.inf)
    efficiency = np.ones(log_lik.shape[1])
    possible = np.isfinite(log_lik).all(axis=0)
    if possible.any():
        scored = log_lik[:, possible]
        efficiency[possible] = r_eff(scored)
        loo = psis_loo(scored, r_eff=efficiency[possible])
        lpd[possible], pareto_k[possible] = loo.elpd_i, loo.pareto_k
    return lpd, pareto_k, efficiency
