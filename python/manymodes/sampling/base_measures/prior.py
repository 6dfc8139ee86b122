"""The prior as base measure: recognised exactly where possible, fitted elsewhere."""

from __future__ import annotations

from itertools import islice

import numpy as np

from manymodes.density.normalisation import finite_points, improper_directions
from manymodes.density.posterior import Posterior
from manymodes.errors import DensityError, InputError
from manymodes.runtime.seeds import check_seed
from manymodes.sampling.chains.prior_draws import sampled_prior
from manymodes.sampling.measure import CAUCHY, LOGISTIC, NORMAL, STUDENT4, BaseMeasure
from manymodes.types import FloatArray

_N_PROBES = 12
_MAX_TRIES = 4000
_EXACT = 1e-8
_INFLATION = 1.25
_DRAWS = 1000
_STUDENT4_QUARTILE = 0.7406970841


def prior_measure(posterior: Posterior, *, seed: int = 1) -> BaseMeasure:
    """Return the base measure that is the prior, as far as it is a product of known factors.

    A coordinate whose prior on the unconstrained scale is a normal (an unbounded normal weight),
    the standard logistic (a bounded weight under a uniform prior) or a Cauchy distribution,
    whatever the other coordinates are, is recognised from gradients of the prior's log density.
    The other coordinates are fitted, with heavier tails, to draws of the prior.

    Parameters
    ----------
    posterior : Posterior
        Its program has the data switch ``prior_only``.
    seed : int
        Seed of the probes and the draws.

    Raises
    ------
    InputError
        The program has no ``prior_only`` switch, or its prior is improper.
    DensityError
        The prior has no finite density anywhere near the origin.
    SamplingError
        The prior cannot be sampled.
    """
    prior = posterior.prior
    points, values, gradients = _probe(prior, np.random.default_rng(check_seed(seed)))
    families: list[str | None] = []
    location = np.zeros(prior.dims)
    scale = np.ones(prior.dims)
    for i in range(prior.dims):
        family, location[i], scale[i] = _recognised(points[:, i], gradients[:, i])
        families.append(family)
    unknown = np.array([family is None for family in families])
    if unknown.any():
        open_in = improper_directions(prior, seed=seed)
        if open_in:
            raise ImproperPriorError(posterior.program.name, open_in)
        draws = sampled_prior(prior, _DRAWS, seed)[:, unknown]
        low, middle, high = np.quantile(draws, [0.25, 0.5, 0.75], axis=0)
        location[unknown] = middle
        scale[unknown] = _INFLATION * (high - low) / (2 * _STUDENT4_QUARTILE)
    known = tuple(family or STUDENT4 for family in families)
    base = BaseMeasure.product(known, location, scale)
    if unknown.any():
        reason = (
            f"the prior, fitted in {unknown.sum()} of {prior.dims} coordinates by Student's t "
            "with 4 degrees of freedom"
        )
        return BaseMeasure(base.components, reason=reason)
    # The gradients agree, so the difference is one constant: the prior's log integral.
    log_prior = float(np.mean(values - base.log_density(points)))
    return BaseMeasure(
        base.components,
        exact=True,
        reason="the prior itself, recognised in every coordinate",
        log_prior=0.0 if abs(log_prior) < _EXACT * prior.dims else log_prior,
    )


class ImproperPriorError(InputError):
    """A prior has no finite integral, so that it cannot be a base measure.

    Attributes
    ----------
    parameters : tuple of str
        The parameters in which it does not fall off.
    """

    def __init__(self, program: str, parameters: tuple[str, ...]) -> None:
        self.parameters = parameters
        super().__init__(
            f"the prior of {' and of '.join(parameters)} in {program} is improper: it has no "
            "finite integral, so there is no evidence (its constant would be arbitrary) and "
            "nothing to draw from. Give it a prior that falls off; --reference peaks finds the "
            "integral of the density as written"
        )


def proper_prior_measure(posterior: Posterior, *, seed: int = 1) -> BaseMeasure | None:
    """Return `prior_measure`; None if the program has no prior switch or its prior is improper."""
    if posterior.prior_only is None:
        return None
    try:
        return prior_measure(posterior, seed=seed)
    except ImproperPriorError:
        return None


def _recognised(x: FloatArray, g: FloatArray) -> tuple[str | None, float, float]:
    """Return family, location and scale of a coordinate with gradients g at x; None if unknown."""
    if np.allclose(g, -np.tanh(x / 2), rtol=_EXACT, atol=_EXACT):
        return LOGISTIC, 0.0, 1.0
    slope, intercept = np.polyfit(x, g, 1)
    if slope < 0 and np.allclose(g, slope * x + intercept, rtol=_EXACT, atol=_EXACT * abs(slope)):
        return NORMAL, -intercept / slope, float(np.sqrt(-1 / slope))
    # Cauchy: g (s² + (x - m)²) = -2 (x - m), which is linear: x² g + 2 x = a x g + b g + c.
    design = np.column_stack([x * g, g, np.ones_like(x)])
    (a, b, c), *_ = np.linalg.lstsq(design, x**2 * g + 2 * x, rcond=None)
    middle, square = a / 2, -b - (a / 2) ** 2
    if square > 0 and np.isclose(c, 2 * middle, rtol=1e-6, atol=1e-6):
        z = x - middle
        if np.allclose(g, -2 * z / (square + z**2), rtol=_EXACT, atol=_EXACT / np.sqrt(square)):
            return CAUCHY, float(middle), float(np.sqrt(square))
    return None, 0.0, 1.0


def _probe(prior: Posterior, rng: np.random.Generator) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return points where the prior is positive, its log densities and its gradients there."""
    found = list(islice(finite_points(prior, rng, _MAX_TRIES), _N_PROBES))
    if len(found) == _N_PROBES:
        points, values, gradients = zip(*found, strict=True)
        return np.array(points), np.array(values), np.array(gradients)
    raise DensityError(
        f"the prior of {prior.program.name} is zero at {_MAX_TRIES} points around the origin"
    )
