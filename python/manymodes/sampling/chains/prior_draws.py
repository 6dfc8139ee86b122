"""Draws of a prior: a network's own, or by NUTS on the program without its likelihood."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from manymodes.density.posterior import Posterior
from manymodes.errors import InputError, SamplingError
from manymodes.runtime.scratch import scratch_folder
from manymodes.sampling.chains.cmdstan_nuts import MAX_SEED, run_chain
from manymodes.sampling.chains.nuts_settings import NutsSettings
from manymodes.types import FloatArray

START_KEY = 0x57A27
"""Sets the random numbers of starts apart from all others of the same seed."""

_THIN = 10
_CHAINS = 4


def has_network_prior(posterior: Posterior) -> bool:
    """Whether draws of the prior are at hand: the weights are the program's own parameters."""
    return posterior.network is not None and posterior.network.constraint == "none"


def network_prior_draw(posterior: Posterior, rng: np.random.Generator) -> FloatArray:
    """Return a draw of the prior of a network without constraint, shape (D,).

    Parameters
    ----------
    posterior : Posterior
        The network's.
    rng : numpy.random.Generator
        Where randomness comes from.
    """
    network = posterior.network
    if network is None or network.constraint != "none":
        raise InputError(f"the posterior '{posterior.name}' is not of a network of constraint none")
    centred = network.is_centred(posterior.data["N"])
    drawn = network.program_values(network.sample_prior(rng, 1), centred=centred)
    return unconstrained(posterior, {name: value[0].tolist() for name, value in drawn.items()})


def sampled_prior(prior: Posterior, rows: int, seed: int) -> FloatArray:
    """Return draws of a prior by NUTS, thinned, shape (rows or more, D).

    The first ones do not depend on how many are wanted.

    Raises
    ------
    SamplingError
        The prior cannot be sampled.
    """
    some_twice = rows // 4 + 16
    draws = _THIN * math.ceil((rows + some_twice) / _CHAINS)
    seeds = np.random.SeedSequence(seed, spawn_key=(START_KEY,)).generate_state(_CHAINS)
    found = []
    for chain_seed in seeds % (MAX_SEED - 1) + 1:
        with scratch_folder() as scratch:
            try:
                settings = NutsSettings(warmup=500, draws=draws)
                chain = run_chain(prior, settings, int(chain_seed), scratch)
            except SamplingError as error:
                raise SamplingError(f"the prior cannot be sampled: {error}") from error
        found.append(chain.eta[::_THIN])
    return np.stack(found, axis=1).reshape(-1, prior.dims)


def unconstrained(posterior: Posterior, values: Mapping[str, Any]) -> FloatArray:
    """Return the point, shape (D,), of named initial values.

    Raises
    ------
    InputError
        They do not fit the program; the message is Stan's.
    """
    try:
        return np.asarray(posterior.model.param_unconstrain_json(json.dumps(values)))
    except RuntimeError as error:
        said = posterior.program.users_words(str(error))
        raise InputError(" ".join(said.split())) from error
