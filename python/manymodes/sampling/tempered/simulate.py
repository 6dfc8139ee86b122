"""Data simulated from a program, together with the parameters that they were simulated from.

Given the data, these parameters are an exact draw of the posterior (Grosse, Ghahramani and Adams
2015, section 3). A network is simulated directly. Any other program has to say how: for each data
item ``y`` that is an outcome, a generated quantity ``y_rep`` or ``y_sim`` of the same shape is
drawn from the likelihood, given the parameters and the other data. It needs the data switch
``prior_only``, too, by which the prior is known.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from manymodes.density.posterior import Posterior
from manymodes.density.variables import as_json
from manymodes.errors import DensityError, InputError
from manymodes.networks.network import Network
from manymodes.networks.observed import Observed, observed
from manymodes.sampling.base_measures import prior_measure
from manymodes.sampling.chains.prior_draws import (
    has_network_prior,
    network_prior_draw,
    sampled_prior,
)
from manymodes.types import FloatArray

ENDINGS = ("_rep", "_sim")
"""How the name of a generated quantity ends that simulates a data item."""

_TRIES = 100
_LARGEST = 2**31 - 1  # the largest count that Stan holds


@dataclass(frozen=True)
class Simulated:
    """Simulated data, and where they come from.

    Attributes
    ----------
    posterior : Posterior
        The same program with the simulated data.
    truth : array of shape (D,)
        The parameters, in the unconstrained space: an exact draw of this posterior.
    exact : bool
        Whether the draw of the prior is independent and exact; otherwise NUTS has made it.
    """

    posterior: Posterior
    truth: FloatArray
    exact: bool = True


def simulated(posterior: Posterior, seed: int) -> Simulated:
    """Simulate data from a posterior's program, at the inputs of its data.

    Parameters
    ----------
    posterior : Posterior
        The program, and the data that are kept: inputs and sizes.
    seed : int
        Decides parameters and outcomes.

    Returns
    -------
    Simulated
        A posterior with an exact draw of it.

    Raises
    ------
    InputError
        The program does not say how its data are simulated, or has no ``prior_only``.
    """
    rng = np.random.default_rng(seed)
    if posterior.network is not None:
        return _network_data(posterior, rng)
    return _program_data(posterior, rng, seed)


def _network_data(posterior: Posterior, rng: np.random.Generator) -> Simulated:
    network = posterior.network
    assert network is not None
    if not has_network_prior(posterior) or network.active is not None:
        what = "a constraint" if network.active is None else "a variable size"
        raise InputError(f"certify: a network with {what} cannot be simulated from its prior")
    given = observed(network, posterior.data)
    for _ in range(_TRIES):
        truth = network_prior_draw(posterior, rng)
        weights = posterior.unpack(posterior.constrain_rows(truth[None]))
        outcomes = simulated_outcomes(network, weights, given, rng)[0]
        # Whether a pair is refused depends on the data alone: given these, the truth is still an
        # exact draw of the posterior.
        largest = np.inf if network.likelihood_parts.is_real else _LARGEST
        if np.isfinite(outcomes).all() and (outcomes <= largest).all():
            break
    else:
        raise InputError(
            f"certify: in {_TRIES} draws, the prior gives outcomes that are too large for the "
            "program: make it narrower"
        )
    if network.likelihood_parts.is_real:
        return Simulated(_with(posterior, {"y_real": outcomes.ravel(order="F").tolist()}), truth)
    return Simulated(_with(posterior, {"y_int": outcomes.astype(int).tolist()}), truth)


def simulated_outcomes(
    network: Network, weights: Mapping[str, FloatArray], given: Observed, rng: np.random.Generator
) -> FloatArray:
    """Draw outcomes of all rows under each draw of the weights.

    Parameters
    ----------
    network : Network
        The network.
    weights : mapping of str to array of shape (n, *shape)
        Effective weights, with the noise if it is sampled.
    given : Observed
        The rows: inputs, exposures and trials.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    array of shape (n, N), or (n, N, T) of several targets
        One of each draw; classes are counted from 1, a count that is too large is infinite.
    """
    likelihood, X = network.likelihood_parts, given.X
    with np.errstate(over="ignore"):
        mean = network.predict(weights, X)
        if likelihood.is_real:
            noise = network.noise(weights, X)
            student = math.isfinite(likelihood.nu)
            standard = rng.standard_t(likelihood.nu, mean.shape) if student else None
            normal = rng.standard_normal(mean.shape) if standard is None else standard
            return np.asarray(mean + noise * normal)
        if likelihood.has_exposure:
            mean = mean * given.counted_over["exposure"]
            if likelihood.kind == "negative-binomial":
                sigma = network.noise_of(weights)
                assert sigma is not None
                mean = mean * _mixed_rates(sigma.reshape(-1, 1), mean.shape, rng)
            small = mean <= 2 * _LARGEST  # no count of a larger mean is small enough
            counts = rng.poisson(np.where(small, mean, 0.0))
            return np.asarray(np.where(small, counts, np.inf))
    if likelihood.kind == "binomial":
        trials = given.counted_over["trials"].astype(int)
        return np.asarray(rng.binomial(trials, mean), dtype=float)
    if likelihood.kind == "bernoulli":
        return np.asarray(rng.random(mean.shape) < mean, dtype=float)
    below = rng.random(mean.shape[:-1])[..., None] > np.cumsum(mean, axis=-1)
    return np.asarray(1.0 + np.minimum(below.sum(axis=-1), network.outputs - 1))


def _mixed_rates(sigma: FloatArray, shape: tuple[int, ...], rng: np.random.Generator) -> FloatArray:
    """Draw factors of mean 1 and standard deviation sigma, shape (n, 1), from gammas."""
    scatters = sigma > 1e-9
    known = np.where(scatters, sigma, 1.0)
    return np.asarray(np.where(scatters, rng.gamma(known**-2.0, known**2.0, shape), 1.0))


def _program_data(posterior: Posterior, rng: np.random.Generator, seed: int) -> Simulated:
    names = posterior.model.param_names(include_tp=True, include_gq=True)
    found = {}
    for item in posterior.program.data_items or posterior.data:
        for ending in ENDINGS:
            places = [
                i for i, name in enumerate(names) if name.partition(".")[0] == f"{item}{ending}"
            ]
            if places:
                found[item] = places
    if not found:
        raise InputError(
            f"certify: the program {posterior.program.name} does not simulate its data: give it a "
            "generated quantity 'y_rep' (or 'y_sim') for each data item 'y' that is an outcome"
        )
    prior = posterior.prior
    for attempt in range(_TRIES):
        truth, exact = _prior_draw(posterior, rng, seed)
        try:
            row = prior.model.param_constrain(
                truth, include_tp=True, include_gq=True, rng=prior.model.new_rng(seed + attempt)
            )
        except RuntimeError as error:
            if attempt == _TRIES - 1 or not exact:
                raise DensityError(posterior.program.users_words(str(error)).strip()) from error
            continue
        changes = {item: _item(posterior, item, names, row, at) for item, at in found.items()}
        return Simulated(_with(posterior, changes), truth, exact)
    raise AssertionError("unreachable")


def _prior_draw(
    posterior: Posterior, rng: np.random.Generator, seed: int
) -> tuple[FloatArray, bool]:
    base = prior_measure(posterior, seed=seed)
    if base.exact:
        for _ in range(_TRIES):
            point = base.sample(rng, 1)[0]
            if np.isfinite(posterior.prior.log_density(point)):
                return point, True
    return sampled_prior(posterior.prior, 1, seed)[0], False


def _item(
    posterior: Posterior, item: str, names: list[str], row: FloatArray, places: list[int]
) -> Any:
    """Return the simulated value of a data item, of its own shape and type."""
    value = next(iter(as_json([names[i] for i in places], row[places]).values()))
    own, array = np.asarray(posterior.data[item]), np.asarray(value, dtype=float)
    if array.shape != own.shape:
        raise InputError(
            f"certify: {names[places[0]].partition('.')[0]} has shape {array.shape}, and the data "
            f"item {item} has {own.shape}: they must be the same"
        )
    if not np.isfinite(array).all():
        raise InputError(f"certify: the simulated {item} has an entry that is not finite")
    return (np.rint(array).astype(int) if own.dtype.kind in "iub" else array).tolist()


def _with(posterior: Posterior, changes: dict[str, Any]) -> Posterior:
    data = {**posterior.data, **changes}
    return replace(posterior, data=data, name=f"{posterior.name} simulated", data_file=None)
