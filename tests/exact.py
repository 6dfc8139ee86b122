"""Posteriors of ``models/exact.stan`` with their evidence in closed form, or by quadrature.

Every constrained type of Stan has one, with data; so have a posterior with eighteen modes (the
eggbox) and two with two. `make(NAME)` gives any of `NAMES`. A name that ends in ``_prior`` leaves
the likelihood out: every program is normalised, so that its log evidence is 0.

Data come from fixed seeds, and the formulas are evaluated on the same data, whatever these are.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations, product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import integrate, special, stats

from manymodes.density.posterior import Posterior
from manymodes.density.program import Program

Array = npt.NDArray[np.float64]

MODEL = Path(__file__).parent / "models" / "exact.stan"

LOG_Z_HOLDS_SURPLUS = False
"""Whether `Nested.log_z` holds the surplus of Stan's unit vectors: see `log_surplus`."""


@dataclass(frozen=True)
class Component:
    """One mode that is known: a normal of equal width on all axes.

    ``share`` is its share of the evidence, ``mixing`` its weight in the likelihood.
    """

    centre: Array
    width: float
    mixing: float
    share: float

    def log_density(self, x: Array) -> Array:
        """Return its log likelihood (nats), shape (n,), at points, shape (n, D)."""
        within = stats.norm.logpdf(x, self.centre, self.width).sum(axis=-1)
        return np.asarray(math.log(self.mixing) + within)

    @property
    def typical(self) -> float:
        """The log likelihood that all but the outermost of its own draws exceed (nats).

        A draw falls short of the peak by half a chi-squared with D degrees of freedom: D/2 on
        average with standard deviation sqrt(D/2), of which three are allowed.
        """
        half = len(self.centre) / 2
        return float(self.log_density(self.centre[None])[0]) - half - 3 * math.sqrt(half)


@dataclass(frozen=True)
class Exact:
    """A posterior and its log evidence (nats).

    ``surplus`` is what the integral of the compiled density over the unconstrained space has on
    top of it, for unit vectors. ``components`` are the modes, where they are known.
    """

    name: str
    posterior: Posterior
    log_z: float
    surplus: float = 0.0
    components: tuple[Component, ...] = ()

    @property
    def found_log_z(self) -> float:
        """What `Nested.log_z` should be."""
        return self.log_z + (self.surplus if LOG_Z_HOLDS_SURPLUS else 0.0)


def log_surplus(size: int) -> float:
    """Return what Stan's transform of a unit vector adds to a log integral (nats).

    A direction in K dimensions has K free coordinates, which Stan gives the density
    exp(-r²/2), whose integral is (2π)^(K/2), not the area of the sphere, 2π^(K/2) / Γ(K/2). Their
    ratio is 2^(K/2 - 1) Γ(K/2).
    """
    return (size / 2 - 1) * math.log(2) + math.lgamma(size / 2)


def make(name: str) -> Exact:
    """Return one of `NAMES` or `HARD`."""
    base = name.removesuffix("_prior")
    found = (_MADE | _MORE)[base](base)
    if base == name:
        return found
    return Exact(name, found.posterior.prior, 0.0, found.surplus)


def _exact(name: str, log_z: float, kind: int, **given: Any) -> Exact:
    """Make one, with what its kind does not use filled in."""
    surplus = given.pop("surplus", 0.0)
    components = given.pop("components", ())
    sizes = {len(given[key]) for key in ("X", "Y", "y", "counts") if key in given}
    n = sizes.pop() if sizes else 0
    assert not sizes
    k = given.get("K", 2)
    data: dict[str, Any] = {
        "kind": kind,
        "prior_only": 0,
        "N": n,
        "K": k,
        "J": 1,
        "X": np.zeros((n, given.get("J", 1))),
        "Y": np.zeros((n, k)),
        "y": np.zeros(n),
        "counts": np.zeros((n, k), dtype=int),
        "noise": 1.0,
        "origin": 0.0,
        "centre": np.zeros((2, k)),
        "width": [1.0, 1.0],
        "share": 0.5,
        **given,
    }
    data["prior"] = (*given.get("prior", ()), 1.0, 1.0, 1.0)[:3]
    plain = {key: np.asarray(value).tolist() for key, value in data.items()}
    posterior = Posterior(Program(MODEL), plain, name)
    return Exact(name, posterior, float(log_z), surplus, components)


def _normals(outcomes: Array, X: Array, prior_sd: float, noise: float) -> float:
    """Return the log evidence of y ~ N(X b, noise²) with b ~ N(0, prior_sd²)."""
    covariance = noise**2 * np.eye(len(outcomes)) + prior_sd**2 * X @ X.T
    return float(stats.multivariate_normal(np.zeros(len(outcomes)), covariance).logpdf(outcomes))


def _last(outcomes: Array, X: Array, prior_sd: float, noise: float) -> tuple[float, float]:
    """Return posterior mean and standard deviation of the last coefficient of the same model."""
    covariance = np.linalg.inv(X.T @ X / noise**2 + np.eye(X.shape[1]) / prior_sd**2)
    mean = covariance @ X.T @ outcomes / noise**2
    return float(mean[-1]), float(np.sqrt(covariance[-1, -1]))


# ---------------------------------------------------------------- conjugate


def _beta_bernoulli(name: str) -> Exact:
    hits = np.array([[1, 1, 0, 1, 0, 1], [1, 1, 1, 0, 1, 1]])
    a, b = 2.0, 3.0
    log_z = special.betaln(a + hits.sum(), b + (1 - hits).sum()) - special.betaln(a, b)
    return _exact(name, log_z, 1, K=6, counts=hits, prior=(a, b))


def _scale(name: str) -> Exact:
    """Outcomes are a multivariate t: sigma² ~ InvGamma(a, b), mu ~ N(0, (c sigma)²)."""
    y = np.random.default_rng(2).normal(1.0, 2.0, 12)
    a, b, c = 2.0, 3.0, 2.0
    shape = b / a * (np.eye(len(y)) + c**2)
    log_z = stats.multivariate_t(np.zeros(len(y)), shape, df=2 * a).logpdf(y)
    return _exact(name, log_z, 2, y=y, prior=(a, b, c))


def _regression(name: str) -> Exact:
    rng = np.random.default_rng(3)
    X = rng.normal(size=(30, 14)) + rng.normal(size=(30, 1))  # correlated inputs
    noise, sd = 1.0, 1.0
    y = X @ rng.normal(0, sd, 14) + rng.normal(0, noise, 30)
    log_z = _normals(y, X, sd, noise)
    return _exact(name, log_z, 3, K=14, J=14, X=X, y=y, noise=noise, prior=(sd,))


def _simplex(name: str) -> Exact:
    counts = np.array([[3, 0, 5, 2], [1, 1, 0, 9]])
    alpha = np.full(4, 0.8)
    log_z = sum(stats.dirichlet_multinomial(alpha, row.sum()).logpmf(row) for row in counts)
    return _exact(name, log_z, 4, K=4, counts=counts, prior=(alpha[0],))


def _cov_matrix(name: str) -> Exact:
    """A precision with a Wishart prior: the ratio of two constants of Wishart's density."""
    n, k, nu, s = 10, 3, 5.0, 0.4
    Y = np.random.default_rng(5).normal(size=(n, k)) @ np.array([[1, 0.8, 0], [0, 1, 0], [0, 0, 2]])
    scatter = np.eye(k) / s + Y.T @ Y
    log_z = (
        special.multigammaln((nu + n) / 2, k)
        - special.multigammaln(nu / 2, k)
        - n * k / 2 * math.log(math.pi)
        - nu / 2 * k * math.log(s)
        - (nu + n) / 2 * np.linalg.slogdet(scatter)[1]
    )
    return _exact(name, log_z, 5, K=k, Y=Y, prior=(nu, s))


def _correlation(name: str) -> Exact:
    """Pairs of two of the variables, by quadrature over their correlation r.

    Under LKJ(eta) in K dimensions (r + 1)/2 is Beta(a, a) with a = eta - 1 + K/2 (Lewandowski,
    Kurowicka, Joe 2009).
    """
    kind, k, eta = (7, 3, 1.5) if name == "corr_matrix" else (6, 4, 2.0)
    rng = np.random.default_rng(kind)
    Y = np.zeros((8, k))
    Y[:, -2:] = rng.multivariate_normal([0, 0], [[1, 0.7], [0.7, 1]], 8)
    squares, products = (Y[:, -2:] ** 2).sum(), (Y[:, -2] * Y[:, -1]).sum()
    prior = stats.beta(eta - 1 + k / 2, eta - 1 + k / 2, loc=-1, scale=2)

    def density(r: float) -> float:
        free = 1 - r * r
        exponent = (products * r - squares / 2) / free - len(Y) / 2 * math.log(free)
        return float(prior.pdf(r) * math.exp(exponent))

    integral, error = integrate.quad(density, -1, 1, epsabs=0, epsrel=1e-10)
    assert error < 1e-8 * integral
    log_z = math.log(integral) - len(Y) * math.log(2 * math.pi)
    return _exact(name, log_z, kind, K=k, Y=Y, prior=(eta,))


def _ordered(name: str) -> Exact:
    y = np.array([-2.1, -1.6, 0.2, 0.4, 2.9, 3.3])
    k, sd, noise = 3, 3.0, 0.8
    return _exact(name, _equal_normals(y, k, sd, noise), 8, K=k, y=y, prior=(sd,), noise=noise)


def _labels(name: str) -> Exact:
    """The same mixture without an order: K! copies of every mode."""
    k, sd, noise = int(name[-1]), 4.0, 0.5
    y = np.array([-5.2, -4.6, -0.3, 0.3, 4.7, 5.1, 9.6, 10.3])[: 2 * k]
    data = {"N": len(y), "y": y.tolist(), "K": k, "prior_sd": sd, "noise": noise, "prior_only": 0}
    posterior = Posterior(Program(MODEL.with_name("labels.stan")), data, name)
    return Exact(name, posterior, _equal_normals(y, k, sd, noise))


def _equal_normals(y: Array, k: int, sd: float, noise: float) -> float:
    """Return the log evidence of a mixture of K equal normals.

    The sum over all allocations, each a product of normals.
    """
    alone = {
        members: _normals(y[list(members)], np.ones((len(members), 1)), sd, noise)
        for size in range(1, len(y) + 1)
        for members in combinations(range(len(y)), size)
    }
    terms = []
    for allocation in product(range(k), repeat=len(y)):
        groups = [tuple(np.flatnonzero(np.equal(allocation, j)).tolist()) for j in range(k)]
        terms.append(sum(alone[one] for one in groups if one))
    return float(special.logsumexp(terms) - len(y) * math.log(k))


def _positive_ordered(name: str) -> Exact:
    """The sum of K exponentials is a gamma, whose Poisson counts have a closed form."""
    counts = np.array([[4, 7, 5], [6, 3, 5]])
    k, rate = 3, 0.5
    total, n = counts.sum(), counts.size
    log_z = (
        k * math.log(rate)
        - math.lgamma(k)
        + math.lgamma(k + total)
        - (k + total) * math.log(rate + n)
        - special.gammaln(counts + 1).sum()
    )
    return _exact(name, log_z, 9, K=k, counts=counts, prior=(rate,))


def _unit_vector(name: str) -> Exact:
    """Von Mises–Fisher outcomes about a uniform direction (Mardia and Jupp 2000, section 9.3)."""
    n, k, kappa = 8, 5, 3.0
    Y = stats.vonmises_fisher([0, 0.6, 0, 0.8, 0], kappa).rvs(n, random_state=10)
    order = k / 2 - 1

    def log_bessel(x: float) -> float:
        return float(np.log(special.ive(order, x)) + x)

    constant = order * math.log(kappa) - k / 2 * math.log(2 * math.pi) - log_bessel(kappa)
    reach = kappa * float(np.linalg.norm(Y.sum(axis=0)))
    log_z = n * constant + math.lgamma(k / 2) + order * math.log(2 / reach) + log_bessel(reach)
    return _exact(name, log_z, 10, K=k, Y=Y, noise=kappa, surplus=log_surplus(k))


def _cholesky_factor_cov(name: str) -> Exact:
    """Each row of the factor is a regression, whose coefficient on the diagonal is positive.

    Its evidence is that without the sign, times twice the posterior probability of the sign.
    """
    k, j = (3, 2) if name.startswith("tall") else (3, 3)
    rng = np.random.default_rng(11)
    X = rng.normal(size=(5, j))
    L = np.array([[0.5, 0, 0], [-0.7, 0.3, 0], [0.2, 1.1, 0.8]])[:, :j]
    sd, noise = 1.0, 0.7
    Y = X @ L.T + rng.normal(0, noise, (5, k))
    log_z = 0.0
    for i in range(k):
        inputs = X[:, : i + 1]
        log_z += _normals(Y[:, i], inputs, sd, noise)
        if i < j:
            mean, spread = _last(Y[:, i], inputs, sd, noise)
            log_z += math.log(2) + float(stats.norm.logcdf(mean / spread))
    return _exact(name, log_z, 11, K=k, J=j, X=X, Y=Y, prior=(sd,), noise=noise)


def _lower_bound(name: str) -> Exact:
    counts = np.array([[0, 3], [7, 1]])
    a, b = 1.5, 0.4
    log_z = stats.nbinom(a, b / (b + 1)).logpmf(counts).sum()
    return _exact(name, log_z, 12, K=2, counts=counts, prior=(a, b))


def _offset(name: str) -> Exact:
    Y = np.array([[4.1, 6.9], [2.2, 9.5]])
    origin, sd, noise = 5.0, 3.0, 1.0
    log_z = stats.norm(origin, math.hypot(sd, noise)).logpdf(Y).sum()
    return _exact(name, log_z, 13, K=2, Y=Y, prior=(sd,), noise=noise, origin=origin)


def _upper_bound(name: str) -> Exact:
    """A normal truncated at the bound: the evidence without, times a ratio of probabilities."""
    Y = np.random.default_rng(14).normal(0.8, 1.0, (4, 3))
    bound, sd, noise = 1.0, 2.0, 1.0
    ones = np.ones((len(Y), 1))
    log_z = 0.0
    for y in Y.T:
        mean, spread = _last(y, ones, sd, noise)
        inside = stats.norm.logcdf(bound, mean, spread) - stats.norm.logcdf(bound, 0, sd)
        log_z += _normals(y, ones, sd, noise) + float(inside)
    return _exact(name, log_z, 14, K=3, Y=Y, prior=(sd,), noise=noise, origin=bound)


# ---------------------------------------------------------------- many modes


def _eggbox(name: str) -> Exact:
    """The mean of exp((2 + cos a cos b)^5) over one half period of both angles.

    The box has five half periods a side, all alike. Midpoints of a periodic function converge
    faster than any power of their number.
    """

    def mean(n: int) -> float:
        cosines = np.cos((np.arange(n) + 0.5) * math.pi / n)
        return float(special.logsumexp((2 + cosines[:, None] * cosines) ** 5)) - 2 * math.log(n)

    log_z = mean(1024)
    assert abs(mean(512) - log_z) < 1e-8
    return _exact(name, log_z, 15)


def _eight_schools(name: str) -> Exact:
    """The effects and their mean are integrated out; the scale by quadrature (Rubin 1981)."""
    y = np.array([28.0, 8, -3, 7, -1, 1, 18, 12])
    s = np.array([15.0, 10, 16, 11, 9, 11, 10, 18])

    def density(tau: float) -> float:
        covariance = np.diag(s**2 + tau**2) + 25.0
        joint = stats.multivariate_normal(np.zeros(8), covariance).logpdf(y)
        return 0.2 * math.exp(-0.2 * tau + float(joint) + 30.0)

    integral, error = integrate.quad(density, 0, 100, epsabs=0, epsrel=1e-10)
    assert error < 1e-8 * integral
    data = {"J": 8, "y": y.tolist(), "s": s.tolist(), "prior_only": 0}
    posterior = Posterior(Program(MODEL.with_name("eight_schools.stan")), data, name)
    return Exact(name, posterior, math.log(integral) - 30.0)


@dataclass(frozen=True)
class _Two:
    """Two normals in some dimensions: centres on the diagonal, widths, shares of the evidence."""

    dims: int
    centre: tuple[float, float]
    width: tuple[float, float]
    share: tuple[float, float]


_MIXTURES = {
    "mixture": _Two(10, (2.0, -2.0), (1.0, 1.0), (2 / 3, 1 / 3)),
    "mixture_narrow": _Two(10, (2.0, -2.0), (1.0, 0.2), (2 / 3, 1 / 3)),
    "spike_slab": _Two(8, (0.0, 0.0), (1.0, 0.2), (1 / 2, 1 / 2)),
    "narrow_spike": _Two(4, (2.0, -2.0), (1.0, 0.1), (1 / 10, 9 / 10)),
}


def _mixture(name: str) -> Exact:
    """Two normals; the prior is a normal on each axis, with standard deviation 5.

    Those of "mixture" are 12.6 widths apart.
    """
    two, sd = _MIXTURES[name], 5.0
    centre = np.array([np.full(two.dims, one) for one in two.centre])
    width, shares = np.array(two.width), np.array(two.share)
    factors = stats.norm.logpdf(centre, 0, np.hypot(sd, width)[:, None]).sum(axis=1)
    mixing = special.softmax(np.log(shares) - factors)
    log_z = special.logsumexp(np.log(mixing) + factors)
    components = tuple(
        Component(centre[i], float(width[i]), float(mixing[i]), float(shares[i])) for i in range(2)
    )
    return _exact(
        name,
        log_z,
        16,
        K=two.dims,
        prior=(sd,),
        centre=centre,
        width=width,
        share=mixing[0],
        components=components,
    )


_MADE: dict[str, Callable[[str], Exact]] = {
    "beta_bernoulli": _beta_bernoulli,
    "scale": _scale,
    "regression": _regression,
    "simplex": _simplex,
    "cov_matrix": _cov_matrix,
    "cholesky_factor_corr": _correlation,
    "corr_matrix": _correlation,
    "ordered": _ordered,
    "positive_ordered": _positive_ordered,
    "unit_vector": _unit_vector,
    "cholesky_factor_cov": _cholesky_factor_cov,
    "tall_cholesky_factor_cov": _cholesky_factor_cov,
    "lower_bound": _lower_bound,
    "offset": _offset,
    "upper_bound": _upper_bound,
    "eggbox": _eggbox,
    "mixture": _mixture,
    "mixture_narrow": _mixture,
}
KINDS = tuple(_MADE)
"""All posteriors with data."""
PRIORS = ("cov_matrix_prior", "cholesky_factor_corr_prior", "corr_matrix_prior")
"""Priors without data whose base measure is fitted, so that their likelihood is not constant."""
NAMES = KINDS + PRIORS
_MORE: dict[str, Callable[[str], Exact]] = {
    "spike_slab": _mixture,
    "narrow_spike": _mixture,
    "labels_3": _labels,
    "labels_4": _labels,
    "eight_schools": _eight_schools,
}
HARD = tuple(_MORE)
"""Posteriors of several modes for benchmarks: most of them take longer than a test should."""
