"""The prior mass of the pd-skew region, which renormalises the prior on it.

The region of a square matrix W: its symmetric part S = (W + W')/2 is positive definite, and its
skew part A = (W - W')/2 is positive above the diagonal (Yallup et al. 2022, arXiv 2205.11151).
Both priors of independent weights are free of scale here, so the mass depends on the size of
the matrix and the family alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy.special import betaln, gammaln

from manymodes.errors import InputError

FAMILIES = ("normal", "uniform")
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
    size: int, family: str, *, draws: int = 400_000, seed: int = 20220511
) -> RegionMass:
    r"""Return the prior mass of the pd-skew region of a matrix of `size` x `size` weights.

    Closed forms: 1/2 at size 1; at size 2, 23/288 (uniform) and (2 - sqrt 2)/8 (normal); at
    size 3, (pi - 2 sqrt 2)/(32 pi) (normal). For normal weights S is a matrix of the Gaussian
    orthogonal ensemble, independent of A.

    Elsewhere a Monte Carlo average over the coordinates d = diag S and R, its correlation
    matrix, in which the region has a known volume. With B the bound (uniform), N the size:

    .. math::

        2^{N(N-1)/2} \int \prod_i d_i^{(N-1)/2} \prod_{i<j} (B - |S_{ij}|) \,dd\,dR / (2B)^{N^2}

    and for the normal prior, of unit scale and without its skew parts,

    .. math::

        2^{-N(N-1)/2} \int \prod_i \phi(d_i) d_i^{(N-1)/2}
        \prod_{i<j} \pi^{-1/2} \exp(-d_i d_j R_{ij}^2) \,dd\,dR.

    Powers of d are integrated by sampling d from them, R is uniform on the correlation
    matrices, and the remaining product is averaged.

    Parameters
    ----------
    size : int
        Width N of the square matrix.
    family : {"normal", "uniform"}
        Family of the independent weights' prior, centred at zero.
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
        If `size`, `family` or `draws` is not allowed.
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
    rng = np.random.default_rng(np.random.SeedSequence([seed, size, FAMILIES.index(family)]))
    average = uniform_average if family == "uniform" else normal_average
    blocks = [min(_BLOCK, draws - start) for start in range(0, draws, _BLOCK)]
    factor = np.concatenate([average(size, n, rng) for n in blocks])
    mean = float(factor.mean())
    error = float(factor.std(ddof=1) / np.sqrt(draws)) / mean
    return RegionMass(_log_volume(size, family) + float(np.log(mean)), error, False)


def _closed_form(size: int, family: str) -> float | None:
    """Return the mass where it is known exactly, otherwise None."""
    known = {
        (2, "uniform"): 23 / 288,
        (2, "normal"): (2 - np.sqrt(2)) / 8,
        (3, "normal"): (np.pi - 2 * np.sqrt(2)) / (32 * np.pi),
    }
    return 0.5 if size == 1 else known.get((size, family))


def _log_volume(size: int, family: str) -> float:
    """Return the log of everything in the integrand that needs no averaging."""
    pairs = size * (size - 1) // 2
    log_d: float
    if family == "uniform":
        log_d = np.log(2 / (size + 1))
        constant = pairs * np.log(2) - size**2 * np.log(2)
    else:
        shape = (size + 1) / 4
        log_d = (shape - 0.5) * np.log(2) + gammaln(shape) - 0.5 * np.log(4 * np.pi)
        constant = -pairs * (np.log(2) + 0.5 * np.log(np.pi))
    return float(size * log_d + constant + log_correlation_volume(size))


def log_correlation_volume(size: int) -> float:
    """Return the log volume of the correlation matrices of a size, in their lower triangle.

    The normalising constant of Lewandowski, Kurowicka and Joe (2009, equation 16) at shape 1.
    """
    k = np.arange(1, size)
    return float(np.sum(k**2 * np.log(2) + k * betaln((k + 1) / 2, (k + 1) / 2)))


def uniform_average(size: int, draws: int, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Return draws, shape (draws,), of the factor to average for the prior uniform on (-1, 1)."""
    d = rng.random((draws, size)) ** (2 / (size + 1))
    i, j = np.triu_indices(size, 1)
    s = np.sqrt(d[:, i] * d[:, j]) * correlations(size, draws, rng)
    return np.asarray(np.prod(1 - np.abs(s), axis=1))


def normal_average(size: int, draws: int, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Return draws, shape (draws,), of the factor to average for the standard normal prior."""
    d = np.sqrt(2 * rng.gamma((size + 1) / 4, size=(draws, size)))
    i, j = np.triu_indices(size, 1)
    r = correlations(size, draws, rng)
    return np.asarray(np.exp(-np.sum(d[:, i] * d[:, j] * r**2, axis=1)))


def correlations(size: int, draws: int, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Return the upper triangles, shape (draws, pairs), of uniform correlation matrices.

    The correlation matrix of a Wishart matrix with nu degrees of freedom and unit scale has a
    density proportional to det(R)^((nu - size - 1)/2): uniform for nu = size + 1.
    """
    x = rng.standard_normal((draws, size, size + 1))
    x /= np.linalg.norm(x, axis=2, keepdims=True)
    i, j = np.triu_indices(size, 1)
    return np.asarray((x @ x.transpose(0, 2, 1))[:, i, j])
