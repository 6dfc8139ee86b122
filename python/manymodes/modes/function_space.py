"""Functions as vectors: what draws predict at the inputs of the data, and their distances."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from manymodes.density.posterior import Posterior
from manymodes.sampling.chains.chains import Chains
from manymodes.types import FloatArray, IntArray

_AT_ONCE = 8_000_000  # predictions held at once
_MOST = 40_000_000  # values of log_lik that R-hat is computed from


def has_functions(posterior: Posterior) -> bool:
    """Return whether draws predict anything: those of a network, or of a program with log_lik."""
    return posterior.network is not None or posterior.has_log_lik


def known_moments(values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return mean and variance over draws of each column, shape (S, n); NaN if none is finite.

    Draws without a finite value in a column do not count there: a log likelihood may be NaN.
    """
    known = np.isfinite(values)
    count = known.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        mean = np.where(known, values, 0.0).sum(axis=0) / count
        variance = (np.where(known, values - mean, 0.0) ** 2).sum(axis=0) / count
    return mean, variance


def function_distance(mean: FloatArray, other: FloatArray, variance: FloatArray) -> float:
    """Return the distance of two functions in units of their spread.

    It is infinite if the mean of only one, or of neither, is known.
    """
    known = np.isfinite(mean)
    if not known.any() or (known != np.isfinite(other)).any():
        return np.inf
    with np.errstate(over="ignore", invalid="ignore"):
        terms = (mean - other)[known] ** 2 / (variance[known] + 1e-12)
    return float(np.sqrt(np.mean(terms)))


def function_values(posterior: Posterior, eta: FloatArray) -> FloatArray:
    """Return each draw's function on the inputs of the data, shape (S, anything)."""
    if posterior.network is None:
        return posterior.log_lik(eta)
    rows = posterior.constrain_rows(eta)
    values = posterior.function_values(rows, np.asarray(posterior.data["X"]))
    return values.reshape(len(eta), -1)


def function_blocks(chains: Chains, draws: int | None = None) -> Iterator[FloatArray]:
    """Yield what chains predict at some of the data's inputs at a time, shape (C, S', n, ...).

    Without a network it is the log likelihood of each observation (nats).

    Parameters
    ----------
    chains : Chains
        Chains that ran to their end, of a network or of a program with ``log_lik``.
    draws : int, optional
        Take at most so many draws of each chain, evenly spaced; by default all, or of a program
        without a network as many as fit into memory.
    """
    posterior = chains.posterior
    if posterior.network is None:
        fits = _MOST // max(1, chains.n_chains * posterior.n_obs)
        picks = spaced(chains.n_draws, min(draws or chains.n_draws, max(fits, 4)))
        log_lik = posterior.log_lik(chains.eta[:, picks])
        log_lik[..., ~np.isfinite(log_lik).all(axis=(0, 1))] = np.nan
        yield log_lik
        return
    picks = spaced(chains.n_draws, draws or chains.n_draws)
    X = np.asarray(posterior.data["X"], dtype=float)
    block = int(np.clip(_AT_ONCE // (chains.n_chains * len(picks)), 1, 16))
    for start in range(0, len(X), block):
        yield posterior.function_values(chains.rows[:, picks], X[start : start + block])


def spaced(n: int, size: int) -> IntArray:
    """Return at most so many places of n, evenly spaced, the first and the last among them."""
    return np.unique(np.linspace(0, n - 1, min(n, size)).astype(np.intp))
