"""Base measures: the map from the unit cube to the unconstrained space of a Stan program.

Nested sampling draws from a base measure with a known quantile map. With q the density of a
product measure on the unconstrained space, eta = Q^-1(u), and PolyChord's likelihood
p(y, theta(eta)) |J(eta)| / q(eta), the evidence is the integral of the program's density for
any q that covers the posterior; q only decides what it costs.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import special, stats

from manymodes.errors import DensityError, InputError, SamplingError
from manymodes.nuts import NutsSettings, run_chain
from manymodes.posterior import FloatArray, Posterior

NORMAL = "normal"
LOGISTIC = "logistic"
STUDENT4 = "student4"

_N_PROBES = 12
_MAX_TRIES = 4000
_EXACT = 1e-8
_INFLATION = 1.25
_STUDENT4_QUARTILE = 0.7406970841

_DISTRIBUTIONS = {NORMAL: stats.norm(), LOGISTIC: stats.logistic(), STUDENT4: stats.t(4)}


@dataclass(frozen=True)
class BaseMeasure:
    """A product measure on the unconstrained space, shape (D,) in each of its parts.

    Attributes
    ----------
    families : tuple of str
        ``normal``, ``logistic`` or ``student4`` (Student's t with four degrees of freedom).
    location, scale : arrays of shape (D,)
        Of each coordinate.
    exact : bool
        Whether it is the prior itself; otherwise it was fitted to draws of the prior.
    """

    families: tuple[str, ...]
    location: FloatArray
    scale: FloatArray
    exact: bool

    @property
    def dims(self) -> int:
        """The dimension D."""
        return len(self.families)

    def _columns(self, family: str) -> npt.NDArray[np.bool_]:
        return np.array([f == family for f in self.families])

    def quantile(self, cube: npt.ArrayLike) -> FloatArray:
        """Map cube points u, shape (..., D), to unconstrained points, shape (..., D)."""
        u = np.clip(np.asarray(cube, dtype=float), 1e-300, 1 - 2.0**-53)
        z = np.empty_like(u)
        for family in set(self.families):
            columns = self._columns(family)
            if family == LOGISTIC:
                z[..., columns] = special.logit(u[..., columns])
            elif family == NORMAL:
                z[..., columns] = special.ndtri(u[..., columns])
            else:
                z[..., columns] = _student4_quantile(u[..., columns])
        return np.asarray(self.location + self.scale * z)

    def log_density(self, eta: npt.ArrayLike) -> FloatArray:
        """Return log q (nats), shape (...), at unconstrained points, shape (..., D)."""
        z = (np.asarray(eta, dtype=float) - self.location) / self.scale
        total = np.full(z.shape[:-1], -np.log(self.scale).sum())
        for family in set(self.families):
            columns = self._columns(family)
            total = total + _DISTRIBUTIONS[family].logpdf(z[..., columns]).sum(axis=-1)
        return np.asarray(total)


def prior_measure(posterior: Posterior, *, seed: int = 1) -> BaseMeasure:
    """Return the base measure that is the prior, as far as it is a product of known factors.

    A coordinate whose prior on the unconstrained scale is a normal (an unbounded normal
    weight) or the standard logistic (a bounded weight under a uniform prior), whatever the
    other coordinates are, is recognised from gradients of the prior's log density. The rest
    is fitted, with heavier tails, to draws of the prior.

    Parameters
    ----------
    posterior : Posterior
        Its program has the data switch ``prior_only``.
    seed : int
        Of the probes and the draws.

    Raises
    ------
    InputError
        The program has no ``prior_only`` switch.
    DensityError
        The prior has no finite density anywhere near the origin.
    SamplingError
        The prior cannot be sampled.
    """
    prior = posterior.prior
    points, gradients = _probe(prior, np.random.default_rng(seed))
    families: list[str | None] = []
    location = np.zeros(prior.dims)
    scale = np.ones(prior.dims)
    for i in range(prior.dims):
        x, g = points[:, i], gradients[:, i]
        slope, intercept = np.polyfit(x, g, 1)
        if np.allclose(g, -np.tanh(x / 2), rtol=_EXACT, atol=_EXACT):
            families.append(LOGISTIC)
        elif slope < 0 and np.allclose(
            g, slope * x + intercept, rtol=_EXACT, atol=_EXACT * abs(slope)
        ):
            families.append(NORMAL)
            location[i], scale[i] = -intercept / slope, np.sqrt(-1 / slope)
        else:
            families.append(None)
    unknown = np.array([family is None for family in families])
    if unknown.any():
        draws = _prior_draws(prior, seed)[:, unknown]
        low, middle, high = np.quantile(draws, [0.25, 0.5, 0.75], axis=0)
        location[unknown] = middle
        scale[unknown] = _INFLATION * (high - low) / (2 * _STUDENT4_QUARTILE)
    return BaseMeasure(
        tuple(family or STUDENT4 for family in families), location, scale, not unknown.any()
    )


def base_measure(posterior: Posterior, reference: str = "prior", *, seed: int = 1) -> BaseMeasure:
    """Return the base measure of a given name.

    Raises
    ------
    InputError
        The name is none of those that exist.
    """
    if reference != "prior":
        raise InputError(f"reference: '{reference}' is not one of: prior")
    return prior_measure(posterior, seed=seed)


def _probe(prior: Posterior, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """Return points where the prior is positive and the gradients there."""
    points: list[FloatArray] = []
    gradients: list[FloatArray] = []
    for _ in range(_MAX_TRIES):
        eta = rng.normal(size=prior.dims)
        try:
            value, gradient = prior.gradient(eta)
        except DensityError:
            continue
        if np.isfinite(value) and np.isfinite(gradient).all():
            points.append(eta)
            gradients.append(gradient)
            if len(points) == _N_PROBES:
                return np.array(points), np.array(gradients)
    raise DensityError(
        f"the prior of {prior.program.name} is zero at {_MAX_TRIES} points around the origin"
    )


def _prior_draws(prior: Posterior, seed: int) -> FloatArray:
    draws = []
    for chain in range(2):
        with tempfile.TemporaryDirectory(prefix="manymodes-") as scratch:
            try:
                settings = NutsSettings(warmup=500, draws=1000)
                draws.append(run_chain(prior, settings, seed + chain, Path(scratch)).eta)
            except SamplingError as error:
                raise SamplingError(f"the prior cannot be sampled: {error}") from error
    return np.concatenate(draws)


def _student4_quantile(u: FloatArray) -> FloatArray:
    """Return the quantile of Student's t with 4 degrees of freedom (Shaw 2006, section 3)."""
    a = np.sqrt(4 * u * (1 - u))
    q = np.cos(np.arccos(np.minimum(a, 1)) / 3) / a
    return np.asarray(np.copysign(2 * np.sqrt(np.maximum(q - 1, 0)), u - 0.5))
