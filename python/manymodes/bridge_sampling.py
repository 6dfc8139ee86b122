"""Evidence from the draws of chains: bridge sampling, mode by mode.

The bridge estimator takes draws of the posterior and of a proposal with a known density, and finds
the ratio of their normalising constants from where the two overlap ([1]_, [2]_). A proposal fitted
to draws of several modes overlaps with none of them: on a density of many modes the estimate is
badly wrong unless each mode is taken by itself, as its own density restricted to its basin.

References
----------
.. [1] Meng, Wong (1996). Simulating ratios of normalizing constants via a simple identity: a
   theoretical exploration. Statistica Sinica 6, 831.
.. [2] Gronau et al. (2017). A tutorial on bridge sampling. Journal of Mathematical Psychology 81.
.. [3] Frühwirth-Schnatter (2004). Estimating marginal likelihoods for mixture and Markov switching
   models using bridge sampling techniques. The Econometrics Journal 7(1), 143.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special
from scipy.linalg import solve_triangular
from scipy.spatial import cKDTree

from manymodes._ess import relative_ess
from manymodes.chains import Chains
from manymodes.errors import InputError
from manymodes.modes import Modes
from manymodes.parameter_space import log_unit_vector_surplus
from manymodes.posterior import FloatArray, Posterior

BoolArray = npt.NDArray[np.bool_]

MIN_DRAWS = 50
"""A mode with fewer draws has no estimate."""

_MAX_ITERATIONS = 1000
_TOLERANCE = 1e-10
_NAN = float("nan")


@dataclass(frozen=True)
class BridgeEstimate:
    """A log evidence by bridge sampling.

    Attributes
    ----------
    log_z, log_z_sd : float
        Log evidence and its standard error (nats); NaN where there is no estimate.
    draws : int
        The draws of the posterior that it is evaluated on.
    n_eff : float
        What they are worth in independent ones.
    inside : float
        The share of the proposal's draws that lie in the basin.
    problem : str
        Why there is no estimate, or why not to trust it; empty if all is well.
    """

    log_z: float = _NAN
    log_z_sd: float = _NAN
    draws: int = 0
    n_eff: float = _NAN
    inside: float = _NAN
    problem: str = ""


def bridge(
    log_density: Callable[[FloatArray], FloatArray],
    draws: Sequence[FloatArray],
    *,
    inside: Callable[[FloatArray], BoolArray] | None = None,
    seed: int = 1,
) -> BridgeEstimate:
    """Return the log integral of a density from draws of it.

    Parameters
    ----------
    log_density : callable
        Log density (nats), shape (n,), at points of shape (n, D); not normalised.
    draws : sequence of arrays of shape (S_c, D)
        Draws of the density, a chain each.
    inside : callable, optional
        Which points, shape (n, D), are in the part of the space that is integrated; all by default.
    seed : int
        Of the proposal's draws.

    Returns
    -------
    BridgeEstimate
        Its error is that of [3]_, with the effective sample size of the chains.

    Raises
    ------
    InputError
        The draws have no coordinates.

    Notes
    -----
    The proposal is a normal with mean and covariance of the first half of every chain; the second
    halves are what the estimate is made from, since draws that the proposal was fitted to would
    flatter it. Of a chain that moves between modes a piece is taken as a chain.
    """
    if any(one.ndim != 2 or one.shape[1] == 0 for one in draws):
        raise InputError("draws: give arrays of shape (draws, coordinates), with a coordinate")
    halves = [np.array_split(one, 2) for one in draws if len(one) >= 8]
    fit = np.concatenate([first for first, _ in halves]) if halves else np.empty((0, 1))
    rest = [second for _, second in halves]
    dims = fit.shape[1]
    n = sum(map(len, rest))
    if n < max(MIN_DRAWS // 2, 2 * dims):
        return BridgeEstimate(draws=n, problem=f"{n} draws are too few to fit a proposal")
    mean, root = fit.mean(axis=0), _root(fit)
    rng = np.random.default_rng(seed)
    proposed = mean + rng.standard_normal((n, dims)) @ root.T
    log_p = log_density(proposed)
    counted = np.isfinite(log_p)
    if inside is not None:
        counted &= inside(proposed)
    log_ratio_q = np.where(counted, log_p - _log_normal(proposed, mean, root), -np.inf)
    log_ratio_p = [log_density(one) - _log_normal(one, mean, root) for one in rest]
    return _estimate(log_ratio_p, log_ratio_q)


def _root(draws: FloatArray) -> FloatArray:
    covariance = np.atleast_2d(np.cov(draws.T))
    ridge = 1e-10 * np.maximum(covariance.diagonal(), 1e-300)
    return np.asarray(np.linalg.cholesky(covariance + np.diag(ridge)))


def _log_normal(x: FloatArray, mean: FloatArray, root: FloatArray) -> FloatArray:
    z = solve_triangular(root, (x - mean).T, lower=True)
    constant = 0.5 * len(mean) * np.log(2 * np.pi) + np.log(root.diagonal()).sum()
    return np.asarray(-0.5 * (z**2).sum(axis=0) - constant)


def _estimate(log_ratio_p: Sequence[FloatArray], log_ratio_q: FloatArray) -> BridgeEstimate:
    """Return the estimate from log p/q at draws of p, by chain, and at draws of q.

    With s1 and s2 the shares of effective draws, the fixed point of

        r = mean_q[ p / (s1 p + s2 r q) ] / mean_p[ q / (s1 p + s2 r q) ].
    """
    flat = np.concatenate(log_ratio_p)
    if not np.isfinite(log_ratio_q).any():
        return BridgeEstimate(draws=len(flat), inside=0.0, problem="no proposal lies in the basin")
    log_r = float(np.median(flat))
    share = 0.5
    converged = False
    n_eff = float(len(flat))
    for _ in range(3):  # the effective size depends on the estimate, but little
        log_s1, log_s2 = np.log(share), np.log1p(-share)
        for _ in range(_MAX_ITERATIONS):
            upper = log_ratio_q - np.logaddexp(log_s1 + log_ratio_q, log_s2 + log_r)
            lower = -np.logaddexp(log_s1 + flat, log_s2 + log_r)
            new = float(
                special.logsumexp(upper)
                - np.log(len(upper))
                - special.logsumexp(lower)
                + np.log(len(lower))
            )
            converged = abs(new - log_r) < _TOLERANCE * (1 + abs(new))
            log_r = new
            if converged:
                break
        weights = [np.exp(-np.logaddexp(log_s1 + one - log_r, log_s2)) for one in log_ratio_p]
        n_eff = _effective(weights)
        share = n_eff / (n_eff + len(log_ratio_q))
    f1 = np.exp(log_ratio_q - log_r - np.logaddexp(log_s1 + log_ratio_q - log_r, log_s2))
    f2 = np.concatenate(weights)
    relative = f1.var(ddof=1) / f1.mean() ** 2 / len(f1) + f2.var(ddof=1) / f2.mean() ** 2 / n_eff
    inside = float(np.isfinite(log_ratio_q).mean())
    problem = "" if converged else f"no fixed point after {_MAX_ITERATIONS} iterations"
    return BridgeEstimate(log_r, float(np.sqrt(relative)), len(flat), n_eff, inside, problem)


def _effective(values: Sequence[FloatArray]) -> float:
    """Return the effective number of draws of their mean, chain by chain."""
    total = 0.0
    for one in values:
        if len(one) < 4:
            total += 1.0
        else:
            total += min(1.0, float(relative_ess(one[None, None, :])[0])) * len(one)
    return total


# ---------------------------------------------------------------- modes


@dataclass(frozen=True)
class ModesBridged:
    """Bridge sampling of a posterior of several modes.

    Attributes
    ----------
    modes : tuple of M BridgeEstimate
        Of each mode's own basin.
    total : BridgeEstimate
        The sum over modes: the evidence, as far as chains have found its modes.
    pooled : BridgeEstimate
        From all draws together, as if there were one mode: to be compared, not to be used.
    """

    modes: tuple[BridgeEstimate, ...]
    total: BridgeEstimate
    pooled: BridgeEstimate


def bridge_modes(chains: Chains, modes: Modes, *, seed: int = 1) -> ModesBridged:
    """Bridge each mode that chains have drawn from, and all of them at once.

    A point belongs to the mode of the nearest draw, in units of the draws' spread.
    """
    posterior = chains.posterior
    density = density_of(posterior)
    eta, labels = chains.flat(chains.eta), modes.chains[chains.present]
    scale = np.maximum(eta.std(axis=0), 1e-300)
    tree = cKDTree(eta / scale)

    def within(mode: int) -> Callable[[FloatArray], BoolArray]:
        return lambda x: np.asarray(labels[tree.query(x / scale)[1]] == mode)

    alone = (labels == labels[0]).all()
    found = []
    for mode in range(modes.n_modes):
        own = [
            piece
            for chain, length, of in zip(chains.eta, chains.lengths, modes.chains, strict=True)
            for piece in [chain[:length][of[:length] == mode]]
            if len(piece)
        ]
        if sum(map(len, own)) < MIN_DRAWS:
            n = sum(map(len, own))
            found.append(BridgeEstimate(draws=n, problem=f"{n} draws of chains are too few"))
        else:
            test = None if alone else within(mode)
            found.append(bridge(density, own, inside=test, seed=seed + mode))
    whole = [one[:length] for one, length in zip(chains.eta, chains.lengths, strict=True)]
    return ModesBridged(tuple(found), summed(found), bridge(density, whole, seed=seed))


def density_of(posterior: Posterior) -> Callable[[FloatArray], FloatArray]:
    """Return the log density (nats) as a function of points, shape (n, D).

    What Stan's transform of unit vectors adds to the integral is taken out.
    """
    surplus = log_unit_vector_surplus(posterior)

    def density(x: FloatArray) -> FloatArray:
        return np.array([posterior.log_density(point) for point in x]) - surplus

    return density


def summed(found: Sequence[BridgeEstimate]) -> BridgeEstimate:
    """Return the sum of estimates of parts; those without one are named and left out."""
    known = [one for one in found if np.isfinite(one.log_z)]
    if not known:
        return BridgeEstimate(problem="no mode has an estimate")
    log_z = np.array([one.log_z for one in known])
    shares = special.softmax(log_z)
    sd = float(np.sqrt((shares**2 * np.array([one.log_z_sd for one in known]) ** 2).sum()))
    missing = len(found) - len(known)
    return BridgeEstimate(
        float(special.logsumexp(log_z)),
        sd,
        sum(one.draws for one in known),
        sum(one.n_eff for one in known),
        _NAN,
        f"without {missing} mode{'' if missing == 1 else 's'} of few draws" if missing else "",
    )
