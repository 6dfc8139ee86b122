"""The posterior of the number K of active units, from draws of a network of variable size.

With weights w, P(K | y) is the posterior mean of p_active = P(K | w, y), and

    log_z(K) = log_z + log P(K | y) - log P(K)

is the log evidence of the network of K units: one run gives the evidence of every size up to H. The
estimate for a size with little posterior probability rests on few effective draws; its error and
``effective_draws`` show this. A prior that favours the size, or a separate run, makes it precise.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import special

from manymodes.density.posterior import Posterior
from manymodes.errors import InputError
from manymodes.networks.network import Network
from manymodes.networks.variable_size import P_ACTIVE
from manymodes.runtime.shown import Rows, Shown, share_text
from manymodes.sampling.chains.chains import Chains
from manymodes.sampling.nested import Nested
from manymodes.sampling.tempered import Tempered
from manymodes.statistics import nested_volumes
from manymodes.statistics.columns import split_chains
from manymodes.statistics.ess import relative_ess
from manymodes.types import FloatArray

_VOLUME_DRAWS = 400
_AT_ONCE = 50  # of them


@dataclass(frozen=True, eq=False, repr=False)
class ActiveUnits(Shown):
    """The number K of active units, 1 to H; all arrays have the shape (H,).

    Attributes
    ----------
    log_prior : array
        Log P(K), nats.
    probability, probability_sd : array
        P(K | y) and its standard error.
    log_z, log_z_sd : array
        Log evidence of the network of K units (nats) and its standard error; NaN from chains,
        which give no evidence.
    effective_draws : array
        The number of draws of equal weight that the estimate for K is worth: (sum a)^2 / sum a^2,
        where a is a draw's weight times its ``p_active[K]``.

    Examples
    --------
    >>> # sized: nested runs of a network 1-3-1 of variable size
    >>> active = mm.posterior_active(sized)
    >>> active.probability.shape, round(float(active.probability.sum()), 6)
    ((3,), 1.0)
    >>> np.exp(active.log_prior).round(3)
    array([0.5 , 0.25, 0.25])
    """

    log_prior: FloatArray
    probability: FloatArray
    probability_sd: FloatArray
    log_z: FloatArray
    log_z_sd: FloatArray
    effective_draws: FloatArray

    def _headline(self) -> str:
        most = int(np.argmax(self.probability))
        share = share_text(self.probability[most], self.probability_sd[most])
        return f"ActiveUnits: {most + 1} of {len(self.probability)} units have {share}"

    def _table(self) -> Rows:
        pairs = zip(self.probability, self.probability_sd, strict=True)
        rows = [(str(k), share_text(*both)) for k, both in enumerate(pairs, 1)]
        return ("active units", "probability"), rows

    def as_dict(self) -> dict[str, Any]:
        """Return numbers and lists, ready for JSON; without evidence from chains.

        Returns
        -------
        dict
            The attributes as lists; ``prior`` is the prior probability.

        Examples
        --------
        >>> # sized: nested runs of a network 1-3-1 of variable size
        >>> list(mm.posterior_active(sized).as_dict())
        ['prior', 'probability', 'probability_sd', 'effective_draws', 'log_z', 'log_z_sd']
        """
        entry: dict[str, Any] = {
            "prior": np.exp(self.log_prior).tolist(),
            "probability": self.probability.tolist(),
            "probability_sd": self.probability_sd.tolist(),
            "effective_draws": self.effective_draws.tolist(),
        }
        if not np.isnan(self.log_z).all():
            entry["log_z"], entry["log_z_sd"] = self.log_z.tolist(), self.log_z_sd.tolist()
        return entry


def posterior_active(draws: Chains | Nested | Tempered) -> ActiveUnits:
    """Return the posterior of the number of active units, from the draws of one engine.

    Parameters
    ----------
    draws : Chains, Nested or Tempered
        Draws of a network of variable size.

    Returns
    -------
    ActiveUnits
        Nested and tempered runs also give the evidence of every number of units.

    Raises
    ------
    InputError
        The posterior is not that of a network of variable size.

    Notes
    -----
    Nested runs: errors of log_z are the larger of the errors by random volumes (Skilling 2006) and
    by the scatter of runs, as in `Nested.log_z_sd`. Errors of probabilities follow from them as if
    they were independent. They are not, because sizes share the volumes. But errors that take
    this into account are far too small, because points of slice sampling are not independent, as
    random volumes assume. (The probability of 2 units in a network 1-3-1 scattered by 0.04 over
    four seeds of 2 runs of 200 points, where volumes give 0.01 and this rule gives 0.05.) A size
    without probability at any point has log_z -inf and error NaN. Chains count by their draws, and
    errors are by the scatter of chains, or by the effective sample size of a single chain.

    Examples
    --------
    >>> # sized: nested runs of a network 1-3-1 of variable size
    >>> active = mm.posterior_active(sized)
    >>> bool((active.probability_sd < 0.5).all()), active.log_z.shape
    (True, (3,))
    """
    network = variable_network(draws.posterior)
    if isinstance(draws, Nested):
        return _of_nested(draws, network)
    if isinstance(draws, Tempered):
        return _of_tempered(draws, network)
    return _of_chains(draws, network)


def active_evidence(nested: Nested) -> tuple[FloatArray, FloatArray]:
    """Return the log evidence (nats) of networks of 1, 2, ..., H units, and its standard errors.

    Parameters
    ----------
    nested : Nested
        Nested runs of a network of variable size.

    Returns
    -------
    log_z, log_z_sd : arrays of shape (H,)
        Of networks of 1, 2, ..., H units (nats).

    Raises
    ------
    InputError
        The posterior is not that of a network of variable size.

    Examples
    --------
    >>> # sized: nested runs of a network 1-3-1 of variable size
    >>> log_z, log_z_sd = mm.active_evidence(sized)
    >>> log_z.shape, bool((log_z_sd > 0).all())
    ((3,), True)
    """
    found = posterior_active(nested)
    return found.log_z, found.log_z_sd


def variable_network(posterior: Posterior) -> Network:
    """Return the posterior's network, of variable size.

    Raises
    ------
    InputError
        It has no network, or one of fixed size.
    """
    network = posterior.network
    if network is None or network.active is None:
        raise InputError(
            f"the posterior '{posterior.name}' is not that of a network of variable size; make one"
            " with active='geometric:0.5' or 'uniform'"
        )
    return network


def by_size(
    network: Network, weights: FloatArray, values: dict[str, FloatArray]
) -> tuple[Network, FloatArray, dict[str, FloatArray]]:
    """Return weighted draws of a network of variable size as draws of one of fixed size.

    A draw becomes one for each number of active units that it gives a probability above zero:
    outgoing weights of the other units are zero, which makes the larger network that of K units.

    Parameters
    ----------
    network : Network
        A network of variable size.
    weights : array of shape (S,)
        The weights of the draws.
    values : dict of arrays of shape (S, ...)
        Their effective weights, by name.

    Returns
    -------
    network : Network
        The network with all units active.
    weights : array of shape (S',)
        The weights of the draws times ``p_active``; the sum is the same.
    values : dict of arrays of shape (S', ...)
        Effective weights of the new draws.
    """
    joint = weights[:, None] * values[P_ACTIVE]
    draw, last = np.nonzero(joint > 0)
    found = {name: value[draw] for name, value in values.items() if name != P_ACTIVE}
    found["V"] = found["V"] * (np.arange(joint.shape[1]) <= last[:, None])[:, None, :]
    return replace(network, active=None), joint[draw, last], found


def _of_nested(nested: Nested, network: Network) -> ActiveUnits:
    p = nested.posterior.unpack(nested.rows)[P_ACTIVE]
    log_prior = network.log_prior_active
    rng = np.random.default_rng(0)
    parts = [
        _log_sums(nested.logl, nested.birth, p, rng) for _ in range(0, _VOLUME_DRAWS, _AT_ONCE)
    ]
    log_whole, log_parts = (np.concatenate(each, axis=-1) for each in zip(*parts, strict=True))
    log_share = log_parts - log_whole
    runs = []
    for number, run in enumerate(nested.runs):
        log_w = nested_volumes.expected_log_weights(run.logl, run.birth)
        shares = np.exp(log_w - special.logsumexp(log_w)) @ p[nested.run_of == number]
        runs.append(shares)
    by_run = np.stack(runs, axis=1)
    probability = np.exp(log_share).mean(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):  # a size may have no probability at all
        volumes_sd = np.hypot(log_parts.std(axis=1, ddof=1), nested.log_prior_inside[1])
        log_z_sd = np.fmax(volumes_sd, _of_mean(nested.log_z_by_run + np.log(by_run)))
    return ActiveUnits(
        log_prior,
        probability,
        _share_sd(probability, np.nan_to_num(log_z_sd)),
        nested.log_z + log_share.mean(axis=1) - log_prior,
        log_z_sd,
        _effective(nested.weights[:, None] * p),
    )


def _of_tempered(tempered: Tempered, network: Network) -> ActiveUnits:
    p = tempered.posterior.unpack(tempered.rows)[P_ACTIVE]
    log_prior = network.log_prior_active
    shares = [tempered.share(one) for one in p.T]
    probability = np.array([one.value for one in shares])
    sd = np.array([one.sd for one in shares])
    with np.errstate(divide="ignore", invalid="ignore"):  # a size may have no probability at all
        log_z = tempered.log_z + np.log(probability) - log_prior
        log_z_sd = np.where(probability > 0, np.hypot(tempered.log_z_sd, sd / probability), np.nan)
    return ActiveUnits(log_prior, probability, sd, log_z, log_z_sd, _effective(p))


def _log_sums(
    logl: FloatArray, birth: FloatArray, p: FloatArray, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """Return log sums of likelihood x volume, (B,), and of this times p, (H, B), over points."""
    log_w = nested_volumes.random_log_weights(logl, birth, rng, _AT_ONCE)
    top = log_w.max(axis=0)
    relative = np.exp(log_w - top)
    with np.errstate(divide="ignore"):
        return np.log(relative.sum(axis=0)) + top, np.log(p.T @ relative) + top


def _of_mean(by_run: FloatArray) -> FloatArray:
    """Return the error of the mean of runs from their scatter, (H,), of values (H, R); 0 of one."""
    n = by_run.shape[1]
    return np.asarray(by_run.std(axis=1, ddof=1) / np.sqrt(n) if n > 1 else np.zeros(len(by_run)))


def _share_sd(shares: FloatArray, log_sd: FloatArray) -> FloatArray:
    """Return errors of shares, (H,), of a sum whose terms have independent errors of their logs."""
    jacobian = np.diag(shares) - np.outer(shares, shares)
    return np.asarray(np.sqrt(jacobian**2 @ log_sd**2))


def _of_chains(chains: Chains, network: Network) -> ActiveUnits:
    p = chains.posterior.unpack(chains.rows)[P_ACTIVE]
    share = chains.lengths / chains.lengths.sum()
    means = np.stack([one[:n].mean(axis=0) for one, n in zip(p, chains.lengths, strict=True)])
    mean = share @ means
    if chains.n_chains > 1:
        between = chains.n_chains / (chains.n_chains - 1)
        sd = np.sqrt(between * share**2 @ (means - mean) ** 2)
    else:
        only = np.moveaxis(p[:, : chains.lengths[0]], -1, 0)
        sd = only.std(axis=(1, 2)) / np.sqrt(only.shape[2] * relative_ess(split_chains(only)))
    unknown = np.full(len(mean), np.nan)
    effective = _effective(p[chains.present])
    return ActiveUnits(network.log_prior_active, mean, sd, unknown, unknown, effective)


def _effective(a: FloatArray) -> FloatArray:
    """Return (sum a)^2 / sum a^2 over draws, shape (H,), of an array (S, H); 0 where all are 0."""
    total, square = a.sum(axis=0), (a**2).sum(axis=0)
    return np.asarray(np.divide(total**2, square, out=np.zeros_like(total), where=square > 0))
