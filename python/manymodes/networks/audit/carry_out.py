"""The audit: random orbits, the copies of each that a constraint admits, and the conclusions."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np

from manymodes.errors import InputError, ManymodesError
from manymodes.networks.audit.count import Booleans, count_copies, list_copies
from manymodes.networks.audit.invariance import Invariance, invariance
from manymodes.networks.audit.known import Known, known, region
from manymodes.networks.audit.orders import Count, Draws
from manymodes.networks.audit.result import Audit, Evidence, KnownEstimate
from manymodes.networks.constraint_mass import RegionMass
from manymodes.networks.constraints import admits
from manymodes.networks.group_priors import GroupPriors
from manymodes.networks.network import Network
from manymodes.networks.symmetry import generators, group_order
from manymodes.runtime.seeds import check_seed
from manymodes.types import FloatArray

ORBITS = 5_000
_MEASURED = 2_000  # draws on which changes of the prior are measured
_LISTED = 40_000  # copies that are examined one by one to check the counts
_MOST_LISTED = 400  # orbits
_LARGEST_LISTED = 1_000  # group order
_MOST_NUMBERS = 100_000_000  # weights of all draws
_MEASURED_NUMBERS = 20_000_000  # weights of all copies whose prior is measured
_NOT_COUNTED = KnownEstimate(math.nan, math.nan)


def audit(network: Network, *, orbits: int = ORBITS, seed: int = 1) -> Audit:
    """Count how many copies of random functions a network's constraint admits.

    Parameters
    ----------
    network : Network
        The network with its constraint. Weights are drawn from its prior without the constraint.
    orbits : int
        Number of draws, at least 2, each with all its copies under permutations and flips.
    seed : int
        Seed of all random numbers.

    Returns
    -------
    Audit
        Shares of orbits with no, one and several admitted copies, and the conclusions.

    Raises
    ------
    InputError
        If `orbits` or `seed` is not allowed, or the network is of variable size.

    Examples
    --------
    >>> network = mm.Network(2, (2,), activation="tanh", constraint="pd-skew")
    >>> found = mm.audit(network, orbits=1000)
    >>> found.fundamental_domain, found.none.value > 0.3  # it loses functions
    (False, True)
    """
    if network.active is not None:
        raise InputError(
            f"active: '{network.active}' leaves no constraint to audit, because the units of a"
            " network of variable size differ; audit the network with active None"
        )
    prior = network.prior_parts
    if network.activation == "sigmoid" and isinstance(prior, GroupPriors):
        boxes = [name for name in prior.bounded if name.startswith("b")]
        if boxes:
            raise InputError(
                f"prior: the uniform prior of {', '.join(boxes)} cannot be audited with sigmoid "
                "units, whose flips move biases; give all groups one uniform prior, or another "
                "family"
            )
    most = _MOST_NUMBERS // network.parameter_count
    if orbits > max(2, most):
        raise InputError(
            f"orbits: {orbits} draws of {network.parameter_count} weights are too many;"
            f" give at most {max(2, most)}"
        )
    if orbits < 2:
        raise InputError(f"orbits: {orbits} are too few for an error; give 2 or more")
    check_seed(seed)
    streams = np.random.SeedSequence([seed, 20260]).spawn(2)
    weights = network.sample_prior(np.random.default_rng(streams[0]), orbits)
    count = count_copies(network, weights, np.random.default_rng(streams[1]))
    knowledge, mass = known(network), region(network)
    order = group_order(network)
    none, one, several, histogram = _shares(count, knowledge)
    members = _members(network, count, mass)
    continuum = network.activation == "relu" and network.constraint != "unit-norm"
    domain, certain = _domain(count, knowledge, members, continuum)
    lost_to_support = (count.supported == 0) & (count.admitted > 0)
    return Audit(
        network=network,
        orbits=orbits,
        seed=seed,
        group_order=order,
        continuum=continuum,
        method=_method(count, knowledge),
        why=knowledge.why,
        none=none,
        one=one,
        several=several,
        lost_to_support=binomial(lost_to_support) if count.exact else _NOT_COUNTED,
        copies=_copies(count, knowledge),
        members=members,
        histogram=histogram,
        region=_region(network, weights, mass),
        fundamental_domain=domain,
        certain=certain,
        enumerated=_enumerated(network, weights, count),
        invariance=_invariance(network, weights),
        evidence=_evidence(network, knowledge, mass),
    )


def _invariance(network: Network, weights: Draws) -> tuple[Invariance, ...]:
    numbers = network.parameter_count * len(generators(network))
    most = min(_MEASURED, max(20, _MEASURED_NUMBERS // numbers))
    return invariance(network, {name: value[:most] for name, value in weights.items()})


def binomial(hits: Booleans, exact: float | None = None, exact_sd: float = 0.0) -> KnownEstimate:
    """Return the share of hits with a standard error that is positive even without any."""
    n, k = len(hits), int(np.count_nonzero(hits))
    smoothed = (k + 1) / (n + 2)
    return KnownEstimate(k / n, math.sqrt(smoothed * (1 - smoothed) / n), exact, exact_sd)


def _times(base: int, factor: float) -> float:
    """Return a product that may be too large for a float, then infinite."""
    try:
        return math.nan if math.isnan(factor) else float(base) * factor
    except OverflowError:
        return math.inf if factor > 0 else 0.0


def _mean(values: FloatArray) -> tuple[float, float]:
    """Return mean and standard error; the error is 0 for equal values, NaN for fewer than two."""
    if len(values) < 2:
        return (float(values[0]) if len(values) else math.nan), math.nan
    return float(values.mean()), float(values.std(ddof=1) / math.sqrt(len(values)))


def _shares(
    count: Count, knowledge: Known
) -> tuple[KnownEstimate, KnownEstimate, KnownEstimate, tuple[tuple[int, float], ...]]:
    """Return the shares of orbits with no, one and several copies, and those of every number."""
    if not count.exact:
        blank = (
            KnownEstimate(math.nan, math.nan, exact) for exact in (knowledge.none, knowledge.one)
        )
        return *blank, KnownEstimate(math.nan, math.nan, knowledge.several), ()  # type: ignore[return-value]
    factors = Counter(count.supported.astype(int).tolist())
    histogram = tuple(
        (count.base * factor, times / len(count.supported))
        for factor, times in sorted(factors.items())
    )
    least = 1 if count.base == 1 else 0
    sd = knowledge.sd
    return (
        binomial(count.supported == 0, knowledge.none, sd),
        binomial((count.supported == 1) & (count.base == 1), knowledge.one, sd),
        binomial(count.supported > least, knowledge.several, sd),
        histogram,
    )


def _copies(count: Count, knowledge: Known) -> KnownEstimate:
    """Return the mean number of copies of orbits that have any."""
    if not count.exact and knowledge.none != 0:
        return _NOT_COUNTED
    mean, sd = _mean(count.supported[count.supported > 0] if count.exact else count.supported)
    alike = len(set(count.supported.tolist())) == 1 and knowledge.none == 0
    exact = _times(count.base, mean) if alike and knowledge.one is not None else None
    if knowledge.several == 0:
        exact = 1.0
    return KnownEstimate(_times(count.base, mean), _times(count.base, sd), exact)


def _members(network: Network, count: Count, mass: RegionMass | None) -> KnownEstimate:
    """Return the mean number of admitted copies, whatever the support, and what it must be."""
    mean, sd = _mean(count.admitted)
    if mean == 0:  # counts get the error of one copy; for samples it would mean nothing
        mean, sd = (0.0, 1 / len(count.admitted)) if count.exact else (math.nan, math.nan)
    moving = (
        network.activation == "sigmoid"
        and network.constraint == "ordered-signed"
        and len(network.hidden) > 1
    )
    exact, exact_sd = None, 0.0
    if mass is not None and not moving:
        log_mean = math.log(group_order(network)) + mass.log_mass
        exact = math.exp(log_mean) if log_mean < 700 else math.inf
        exact_sd = exact * mass.standard_error if mass.standard_error > 0 else 0.0
    return KnownEstimate(_times(count.base, mean), _times(count.base, sd), exact, exact_sd)


def _region(network: Network, weights: Draws, mass: RegionMass | None) -> KnownEstimate:
    if mass is None:
        return binomial(admits(network, weights))
    exact = math.exp(mass.log_mass)
    return binomial(admits(network, weights), exact, exact * mass.standard_error)


def _domain(
    count: Count, knowledge: Known, members: KnownEstimate, continuum: bool
) -> tuple[bool, bool]:
    """Return whether every orbit has one copy, and whether that is certain."""
    if continuum:
        return False, True
    if knowledge.one is not None:
        return knowledge.one == 1, True
    if count.exact:
        exceptions = np.any(count.supported * min(count.base, 2) != 1)
        return not exceptions, bool(exceptions)
    # Not counted; the mean number of copies still follows from the region's mass.
    one = members.exact is not None and math.isclose(members.exact, 1)
    return one, not one


def _method(count: Count, knowledge: Known) -> str:
    if not count.exact:
        return "sample"
    certain = knowledge.sd == 0 and None not in (knowledge.none, knowledge.one, knowledge.several)
    return "argument" if certain else "count"


def _enumerated(network: Network, weights: Draws, count: Count) -> int:
    """Examine the whole group for a few orbits, and return the number of these orbits.

    Raises
    ------
    ManymodesError
        If the numbers differ, which no input should bring about.
    """
    n = min(_MOST_LISTED, len(count.admitted), _LISTED // group_order(network))
    if not count.exact or group_order(network) > _LARGEST_LISTED:
        return 0
    listed = list_copies(network, {name: value[:n] for name, value in weights.items()})
    same = np.array_equal(listed.admitted, count.base * count.admitted[:n])
    if not (same and np.array_equal(listed.supported, count.base * count.supported[:n])):
        raise ManymodesError(f"audit: counts of {network} differ from full enumeration")
    return n


# -------------------------------------------------------------------------- evidence


def _evidence(network: Network, knowledge: Known, mass: RegionMass | None) -> Evidence:
    same, reason = _same_evidence(network)
    rise = None
    invariant = network.activation != "sigmoid"
    if mass is not None and network.constraint == "pd-skew" and invariant and knowledge.one:
        # At most one copy each, against this many in the prior's mean.
        rise = -(math.log(group_order(network)) + mass.log_mass)
    log_mass, sd = (math.nan, math.nan) if mass is None else (mass.log_mass, mass.standard_error)
    return Evidence(same, reason, rise, log_mass, sd)


def _same_evidence(network: Network) -> tuple[bool, str]:
    """Return whether log_z is that of ``none``, and why."""
    activation, constraint = network.activation, network.constraint
    if constraint == "none":
        return True, "it is the program without a constraint"
    if constraint == "ordered":
        return True, (
            "the region holds exactly one of the H! orders of every layer, and the prior is the "
            "same for all of them"
        )
    if constraint == "unit-norm":
        return True, (
            "it is the same model in other coordinates, with one order of each layer's units "
            "instead of H! equal ones"
        )
    if activation == "tanh" and constraint in ("ordered-signed", "svd"):
        return True, (
            "the region holds the same number of copies of every function, and the prior is the "
            "same for all copies"
        )
    if constraint == "pd-skew:lu":
        return False, "its prior on the region is a different one, on the factors of the matrix"
    if activation == "sigmoid":
        return False, (
            "flips move biases, so that the prior is not the same for all copies: "
            "the copy that the region holds may be a better or a worse one"
        )
    return False, (
        "the region holds more copies of some functions than of others: log_z rises by the log "
        "of the mean number of copies under the posterior over that under the prior"
    )
