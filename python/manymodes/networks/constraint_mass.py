"""The prior mass of the pd-skew region, which renormalises the prior on it.

The region of a square matrix W: its symmetric part S = (W + W')/2 is positive definite, and its
skew part A = (W - W')/2 is positive above the diagonal (Yallup et al. 2022, arXiv 2205.11151).
The priors of independent weights are free of scale here, so the mass depends on the size of
the matrix and the family alone (for Student-t weights, on its degrees of freedom too).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.special import betaln, gammaln

from manymodes.errors import InputError
from manymodes.networks.prior import FAMILIES
from manymodes.types import FloatArray

_BLOCK = 20_000


@dataclass(frozen=True)
class RegionMass:
    """Log prior mass of the pd-skew region.

    Parameters
    ----------
    log_mass : float
        Log of the prior probability that a weight matrix lies in the region, in nats.
    standard_error : float
        Monte Carlo standard error of `log_mass`, in nats; 0 where it is exact.
    exact : bool
        Whether `log_mass` is a closed form.
    """

    log_mass: float
    standard_error: float
    exact: bool

    def power(self, layers: int) -> RegionMass:
        """Return the mass for several independent layers of the same size.

        The error is multiplied, not added in quadrature: every layer uses the same estimate.
        """
        return RegionMass(layers * self.log_mass, layers * self.standard_error, self.exact)


@lru_cache(maxsize=64)
def region_mass(
    size: int, family: str, nu: float = math.inf, *, draws: int = 400_000, seed: int = 20220511
) -> RegionMass:
    r"""Return the prior mass of the pd-skew region of a matrix of `size` x `size` weights.

    Closed forms: 1/2 at size 1; at size 2, 23/288 (uniform) and (2 - sqrt 2)/8 (normal); at
    size 3, (pi - 2 sqrt 2)/(32 pi) (normal). For normal weights S is a matrix of the Gaussian
    orthogonal ensemble, independent of A.

    Elsewhere a Monte Carlo average over the coordinates d = diag S and R, its correlation
    matrix, in which the region has a known volume. With f the density of a weight and g that of
    the average of two, at unit scale, N the size (the signs of A are independent of S):

    .. math::

        2^{-N(N-1)/2} \int \prod_i f(d_i) d_i^{(N-1)/2}
        \prod_{i<j} g\bigl(\sqrt{d_i d_j} R_{ij}\bigr) \,dd\,dR.

    R is uniform on the correlation matrices, d is drawn from f, times its power of d where that
    has a name, and the remaining product is averaged. Normal: g is normal with variance 1/2.
    Uniform on (-1, 1): g(s) = 1 - \|s\|. Laplace: g(s) = (1/2 + \|s\|) exp(-2 \|s\|). Student-t: g
    is itself averaged over the variances of the two normal weights that it mixes. Errors of the
    last two grow fast with the size: about 0.01 nats at width 4, 0.2 at width 8 (under 0.01 for
    the first two).

    Parameters
    ----------
    size : int
        Width N of the square matrix.
    family : {"normal", "uniform", "laplace", "student"}
        Family of the independent weights' prior, centred at zero.
    nu : float
        Degrees of freedom of the Student-t family, more than (size - 1)/2.
    draws : int
        Monte Carlo draws, at least 2.
    seed : int
        Seed of the Monte Carlo draws.

    Returns
    -------
    RegionMass
        Log mass in nats with its standard error.

    Raises
    ------
    InputError
        If `size`, `family`, `nu` or `draws` is not allowed.
    """
    if family not in FAMILIES:
        raise InputError(f"family: '{family}' is unknown; allowed are {', '.join(FAMILIES)}")
    if size < 1:
        raise InputError(f"size: {size} is not the width of a matrix; give 1 or more")
    if draws < 2:
        raise InputError(f"draws: {draws} are too few for an error; give 2 or more")
    closed = _closed_form(size, family)
    if closed is not None:
        return RegionMass(float(np.log(closed)), 0.0, True)
    if family == "student" and nu <= (size - 1) / 2:
        raise InputError(
            f"prior: {nu:g} degrees of freedom are too few for pd-skew matrices of width {size}: "
            f"give more than {(size - 1) / 2:g}, or another prior"
        )
    rng = np.random.default_rng(np.random.SeedSequence([seed, size, FAMILIES.index(family)]))
    blocks = [min(_BLOCK, draws - start) for start in range(0, draws, _BLOCK)]
    factor = np.concatenate([_factor(size, family, nu, n, rng) for n in blocks])
    mean = float(factor.mean())
    error = float(factor.std(ddof=1) / np.sqrt(draws)) / mean
    constant = log_correlation_volume(size) - math.comb(size, 2) * np.log(2)
    return RegionMass(float(constant + np.log(mean)), error, False)


def _closed_form(size: int, family: str) -> float | None:
    """Return the mass if it is known exactly, otherwise None."""
    known = {
        (2, "uniform"): 23 / 288,
        (2, "normal"): (2 - np.sqrt(2)) / 8,
        (3, "normal"): (np.pi - 2 * np.sqrt(2)) / (32 * np.pi),
    }
    return 0.5 if size == 1 else known.get((size, family))


def _factor(size: int, family: str, nu: float, draws: int, rng: np.random.Generator) -> FloatArray:
    """Return draws, shape (draws,), of the product that is averaged."""
    shape = (draws, size)
    power = (size - 1) / 2
    half = (size + 1) / 4
    if family == "normal":
        d = np.sqrt(2 * rng.gamma(half, size=shape))
        log_f = (half - 0.5) * np.log(2) + gammaln(half) - 0.5 * np.log(4 * np.pi)
    elif family == "uniform":
        d = rng.random(shape) ** (1 / (2 * half))
        log_f = -np.log(4 * half)
    elif family == "laplace":
        d = rng.gamma(2 * half, size=shape)
        log_f = gammaln(2 * half) - np.log(2)
    else:
        d = np.abs(rng.standard_t(nu, size=shape))
        log_f = power * np.log(d) - np.log(2)
    i, j = np.triu_indices(size, 1)
    s = np.sqrt(d[:, i] * d[:, j]) * np.abs(correlations(size, draws, rng))
    if family == "normal":
        log_g = -(s**2) - 0.5 * np.log(np.pi)
    elif family == "uniform":
        log_g = np.log1p(-s)
    elif family == "laplace":
        log_g = np.log(0.5 + s) - 2 * s
    else:
        variance = (nu / rng.chisquare(nu, size=(2, *s.shape))).sum(axis=0) / 4
        log_g = -0.5 * (s**2 / variance + np.log(2 * np.pi * variance))
    return np.asarray(np.exp(np.sum(np.broadcast_to(log_f, shape), axis=1) + log_g.sum(axis=1)))


def log_correlation_volume(size: int) -> float:
    """Return the log volume of the correlation matrices of a size, in their lower triangle.

    The normalising constant of Lewandowski, Kurowicka and Joe (2009, equation 16) at shape 1.
    """
    k = np.arange(1, size)
    return float(np.sum(k**2 * np.log(2) + k * betaln((k + 1) / 2, (k + 1) / 2)))


def correlations(size: int, draws: int, rng: np.random.Generator) -> FloatArray:
    """Return the upper triangles, shape (draws, pairs), of uniform correlation matrices.

    The correlation matrix of a Wishart matrix with nu degrees of freedom and unit scale has a
    density proportional to det(R)^((nu - size - 1)/2): uniform for nu = size + 1.
    """
    x = rng.standard_normal((draws, size, size + 1))
    x /= np.linalg.norm(x, axis=2, keepdims=True)
    i, j = np.triu_indices(size, 1)
    return np.asarray((x @ x.transpose(0, 2, 1))[:, i, j])
