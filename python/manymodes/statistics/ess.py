"""Effective sample size from the autocovariance of several chains.

References
----------
.. [1] Vehtari, Gelman, Simpson, Carpenter, Buerkner (2021). Rank-normalization, folding, and
   localization: an improved R-hat for assessing convergence of MCMC. Bayesian Analysis 16(2).
.. [2] Geyer (1992). Practical Markov chain Monte Carlo. Statistical Science 7(4).
"""

from __future__ import annotations

import numpy as np
from scipy.fft import irfft, next_fast_len, rfft

from manymodes.types import FloatArray


def relative_ess(chains: FloatArray) -> FloatArray:
    """Return the effective sample size of the mean, divided by the number of draws.

    Parameters
    ----------
    chains
        Chains as they are (split them first), shape (B, C, S) with S >= 2.

    Returns
    -------
    FloatArray
        Shape (B,); 1 where all draws are equal, at most log10(C S).

    Notes
    -----
    [1]_: 1 / tau with tau = -1 + 2 sum_t rho_t, summed by Geyer's initial
    monotone sequence [2]_ over pairs of lags, plus the even lag of the first pair left out.
    """
    n_chains, n_draws = chains.shape[1:]
    acov = _mean_autocovariance(chains)
    within = acov[:, :1] * n_draws / (n_draws - 1)
    total = acov[:, :1].copy()
    if n_chains > 1:
        total += chains.mean(axis=2).var(axis=1, ddof=1)[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        rho = 1 - (within - acov) / total
    rho[:, 0] = 1.0

    even = rho[:, 0 : n_draws - n_draws % 2 : 2]
    pairs = even + rho[:, 1::2]
    last = max(0, (n_draws - 1) // 2 - 1)
    stop = np.argmax(pairs[:, : last + 1] <= 0, axis=1)
    stop[(pairs[:, : last + 1] > 0).all(axis=1)] = last
    counted = np.arange(pairs.shape[1]) < stop[:, None]
    monotone = np.minimum.accumulate(pairs, axis=1)
    rows = np.arange(len(chains))
    rest = even[rows, stop]
    rest = np.where(pairs[rows, stop] >= 0, rest, np.maximum(rest, 0.0))
    tau = -1 + 2 * np.where(counted, monotone, 0.0).sum(axis=1) + rest
    tau = np.maximum(tau, 1 / np.log10(n_chains * n_draws))
    constant = np.ptp(chains, axis=(1, 2)) < np.finfo(float).resolution
    result: FloatArray = np.where(constant, 1.0, 1 / tau)
    return result


def _mean_autocovariance(chains: FloatArray) -> FloatArray:
    """Return the autocovariance at every lag, averaged over chains: (B, C, S) to (B, S)."""
    n_draws = chains.shape[2]
    length = next_fast_len(2 * n_draws, real=True)
    spectrum = rfft(chains - chains.mean(axis=2, keepdims=True), n=length, axis=2)
    power = (spectrum.real**2 + spectrum.imag**2).mean(axis=1)
    acov: FloatArray = irfft(power, n=length, axis=1)[:, :n_draws] / n_draws
    return acov
