"""Chains that go on from given draws with one fixed kernel of NUTS.

Metric and step size are the same for all chains and learned from other draws. A chain's kernel does
therefore not depend on where it starts: if the starts are draws of the density, each later state is
one too. An adaptation in each chain would not have this property.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from manymodes.density.posterior import Posterior
from manymodes.errors import DensityError, InputError, SamplingError
from manymodes.runtime.execution import Execution
from manymodes.runtime.scratch import scratch_folder
from manymodes.runtime.seeds import check_seed
from manymodes.runtime.tasks import Parcel
from manymodes.runtime.threads import use_threads
from manymodes.sampling.attempts import Attempts, first_seeds, retry_seed
from manymodes.sampling.chains.cmdstan_nuts import Adapted, run_chain
from manymodes.sampling.chains.nuts_settings import MIN_DRAWS, NutsSettings
from manymodes.types import FloatArray

Found = TypeVar("Found")

_GRADIENTS = 400
_QUANTILE = 0.25  # of the pilots' step sizes: a step that is too large leaves a chain where it is
_RETRIES = 1


@dataclass(frozen=True)
class ContinuedSettings:
    """Settings of chains that go on from draws.

    Parameters
    ----------
    chains : int
        How many.
    pilots : int
        How many other chains the step size is learned from.
    warmup : int
        Iterations of each pilot.
    draws : int
        Iterations of each chain.
    max_treedepth : int
        Longest trajectory is 2**max_treedepth leapfrog steps. It bounds the cost; a short
        trajectory is valid, too.
    seed : int
        Decides which draws, and all chains.

    Raises
    ------
    InputError
        A setting is out of its range; the message names the first.
    """

    chains: int = 64
    pilots: int = 8
    warmup: int = 100
    draws: int = 100
    max_treedepth: int = 8
    seed: int = 1

    def __post_init__(self) -> None:
        """Check the ranges; raise `InputError` naming the first setting out of its range."""
        least = {"chains": 2, "pilots": 1, "warmup": 20, "draws": MIN_DRAWS, "max_treedepth": 1}
        for name, fewest in least.items():
            if getattr(self, name) < fewest:
                raise InputError(f"{name}: {getattr(self, name)} is not {fewest} or more")
        check_seed(self.seed)


@dataclass(frozen=True)
class Continued:
    """How one chain went on from its start.

    Attributes
    ----------
    at_start : float
        Log density of the start (nats).
    log_density : array of shape (S,)
        That of each later state (nats).
    predicted_at_start, predicted_at_end : arrays of shape (N,) or (N, C)
        A network's predictions at the data's inputs, at the start and at the last state; empty for
        another program.
    predicted, second : arrays of the same shape
        The means of the predictions and of their squares over the later half of the states.
    divergences : int
        Divergent transitions.
    """

    at_start: float
    log_density: FloatArray
    predicted_at_start: FloatArray
    predicted_at_end: FloatArray
    predicted: FloatArray
    second: FloatArray
    divergences: int


@dataclass(frozen=True)
class _Job:
    """What chains have in common."""

    posterior: Posterior
    settings: ContinuedSettings
    adapted: Adapted


def continue_from(
    posterior: Posterior,
    starts: FloatArray,
    others: FloatArray,
    settings: ContinuedSettings,
    execution: Execution,
) -> tuple[dict[int, Continued], dict[int, str]]:
    """Go on from given draws, and return what became of each chain.

    Parameters
    ----------
    posterior : Posterior
        Whose density the chains sample.
    starts : array of shape (C, D)
        Where they start.
    others : array of shape (n, D)
        Other draws, which metric and step size are learned from; as many as there are pilots, or
        more.
    settings : ContinuedSettings
        How many iterations, and the seed.
    execution : Execution
        Where chains run.

    Returns
    -------
    chains : dict of int to Continued
        By the number of the start.
    failures : dict of int to str
        The message of each chain that failed.

    Raises
    ------
    SamplingError
        No pilot finished.
    """
    posterior.compile(quiet=True)
    inv_metric = local_metric(posterior, others[:_GRADIENTS])
    begin = Adapted(inv_metric, 0.5 * posterior.dims**-0.25, settings.warmup)
    seeds = first_seeds(settings.seed, settings.pilots + len(starts))
    pilots = _carried_out(
        _step_size,
        _Job(posterior, settings, begin),
        others[: settings.pilots],
        seeds[: settings.pilots],
        execution,
    )
    if not pilots[0]:
        raise SamplingError(f"no chain could go on: {next(iter(pilots[1].values()))}")
    step = float(np.quantile(list(pilots[0].values()), _QUANTILE))
    fixed = Adapted(inv_metric, step, 0)
    job = _Job(posterior, settings, fixed)
    return _carried_out(_go_on, job, starts, seeds[settings.pilots :], execution)


def local_metric(posterior: Posterior, eta: FloatArray) -> FloatArray:
    """Return the diagonal of an inverse metric from draws, shape (D,).

    The mean of the squared gradient of a log density is its mean curvature (Fisher's identity).
    Distances between modes do not enter it, as they do the variance of draws.

    Parameters
    ----------
    posterior : Posterior
        Whose density.
    eta : array of shape (n, D)
        Draws.
    """
    squares = []
    for point in eta:
        try:
            gradient = posterior.gradient(point)[1]
        except DensityError:
            continue
        if np.isfinite(gradient).all():
            squares.append(gradient**2)
    if not squares:
        raise SamplingError("the gradient of the log density is finite at no draw")
    curvature = np.mean(squares, axis=0)
    return np.asarray(1.0 / np.clip(curvature, 1e-12, 1e12))


def _carried_out(
    task: Callable[[Parcel[_Job], int, FloatArray], Found],
    job: _Job,
    starts: FloatArray,
    seeds: list[int],
    execution: Execution,
) -> tuple[dict[int, Found], dict[int, str]]:
    parcel = Parcel(job)

    def arguments(index: int, attempt: int) -> tuple[Any, ...]:
        seed = seeds[index]
        if attempt:
            seed = retry_seed(job.settings.seed, index, attempt, seeds)
        return parcel, seed, starts[index]

    found: dict[int, Found] = {}
    failures: dict[int, str] = {}
    attempts = Attempts(task, arguments, _RETRIES, execution)
    with closing(attempts.at(range(len(starts)))) as outcomes:
        for index, value, error in outcomes:
            if value is None:
                failures[index] = error
            else:
                found[index] = value
    return dict(sorted(found.items())), failures


def _step_size(parcel: Parcel[_Job], seed: int, start: FloatArray) -> float:
    """Adapt the step size from one draw; a worker carries this task out."""
    job = parcel.open()
    use_threads(1)
    nuts = NutsSettings(draws=MIN_DRAWS, max_treedepth=job.settings.max_treedepth)
    with job.posterior.program.in_users_words(), scratch_folder() as scratch:
        chain = run_chain(job.posterior, nuts, seed, scratch, start=start, adapted=job.adapted)
    return chain.step_size


def _go_on(parcel: Parcel[_Job], seed: int, start: FloatArray) -> Continued:
    """Run one chain; a worker carries this task out."""
    job = parcel.open()
    use_threads(1)
    posterior, settings = job.posterior, job.settings
    nuts = NutsSettings(draws=settings.draws, max_treedepth=settings.max_treedepth)
    with posterior.program.in_users_words(), scratch_folder() as scratch:
        chain = run_chain(posterior, nuts, seed, scratch, start=start, adapted=job.adapted)
    begun = ended = later = second = np.empty(0)
    if posterior.network is not None:
        X = np.asarray(posterior.data["X"], dtype=float)
        begun = posterior.function_values(posterior.constrain_rows(start[None]), X)[0]
        states = posterior.function_values(chain.rows[len(chain.rows) // 2 :], X)
        ended, later, second = states[-1], states.mean(axis=0), (states**2).mean(axis=0)
    return Continued(
        posterior.log_density(start),
        np.array([posterior.log_density(eta) for eta in chain.eta]),
        begun,
        ended,
        later,
        second,
        int(chain.stats["diverging"].sum()),
    )
