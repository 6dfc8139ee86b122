r"""The effect of Stan's constraining transforms on a normalised density; spaces that are a cube.

A density of constrained parameters is taken with respect to Lebesgue measure on their free
elements. For nearly all of Stan's types the log Jacobian that Stan adds is that of the map from
the unconstrained space to those elements, one to one, so that a density that is normalised on the
constrained space has the integral 1 over the unconstrained one:

=======================  =========================================================
type                     free elements
=======================  =========================================================
bounds, offset           all
simplex                  all but the last (a flat density is (K - 1)!)
ordered                  all, in their order (H! times independent ones)
positive_ordered         the same, above 0
cov_matrix               the lower triangle with its diagonal
corr_matrix              the lower triangle without its diagonal
cholesky_factor_cov      the lower triangle, its diagonal positive; with M rows and
                         N columns also all of the M - N rows below
cholesky_factor_corr     the lower triangle without its diagonal
=======================  =========================================================

A unit_vector is the exception. It has K unconstrained coordinates y, and x = y / |y| uses only
their direction. Stan adds the kernel -\|y\|^2 / 2 and no Jacobian. If a density p(x) is
normalised with respect to the surface of the sphere, like a flat prior of
Gamma(K/2) / (2 pi^(K/2)), it gets the integral of r^(K - 1) exp(-r^2 / 2) over the radius r,

    2^(K/2 - 1) Gamma(K/2),

which is 1 only for K = 2: `log_unit_vector_surplus`. Stan does so since 2.10; earlier versions
used hyperspherical coordinates.
"""

from __future__ import annotations

import math

import numpy as np
from scipy import special

from manymodes.density.posterior import Posterior
from manymodes.density.variables import Part, part_name, parts_of
from manymodes.types import FloatArray

_POINTS = 5
_CLOSE = 1e-9


def log_unit_vector_surplus(posterior: Posterior) -> float:
    """Return the surplus of all unit vectors of a posterior in the log of its integral (nats).

    Subtract it from log_z. It is 0 for a posterior without unit vectors, and for those of 2
    elements.

    Parameters
    ----------
    posterior : Posterior
        Its program's density is normalised with respect to the surface of each unit vector's
        sphere.

    Notes
    -----
    Unit vectors are recognised by their transform at random points, so that no declaration has to
    be read: they have as many coordinates as elements, and norm 1.
    """
    surplus = 0.0
    for part, _, values in _probed(posterior):
        if values is None or not part.shape:
            continue
        k = part.shape[-1]
        norms = np.linalg.norm(part.take(values), axis=-1)
        if np.allclose(norms, 1, rtol=0, atol=_CLOSE):
            each = (k / 2 - 1) * math.log(2) + math.lgamma(k / 2)
            surplus += each * (len(part.columns) // k)
    return surplus


def off_unit_cube(posterior: Posterior) -> tuple[str, ...]:
    """Return the parameters of which some element does not live on (0, 1).

    Parameters
    ----------
    posterior : Posterior
        A posterior in PolyStan's convention has none.

    Notes
    -----
    A parameter lives on (0, 1) if its elements are the inverse logit of its unconstrained
    coordinates, one by one. Only ``<lower=0, upper=1>`` has this transform in Stan. It is tried at
    random points, so that bounds that are data with the values 0 and 1 count, too.
    """
    off = []
    for part, eta, values in _probed(posterior):
        if values is None or not np.allclose(
            values[:, sorted(part.columns)], special.expit(eta), rtol=_CLOSE, atol=0
        ):
            off.append(part.name)
    return tuple(off)


def on_unit_cube(posterior: Posterior) -> bool:
    """Return whether all parameters live on (0, 1), as in PolyStan's convention.

    Then the constrained space is the unit cube itself: log density without Jacobian at
    ``theta`` is PolyChord's log likelihood, and the base measure on the unconstrained space is a
    product of standard logistics.
    """
    return posterior.dims > 0 and not off_unit_cube(posterior)


def _probed(posterior: Posterior) -> list[tuple[Part, FloatArray, FloatArray | None]]:
    """Return, for each part of a parameter, its coordinates at some points and all values there.

    Values are None for a part that has not as many coordinates as elements.
    """
    model = posterior.model
    names = [part_name(name) for name in model.param_unc_names()]
    eta = np.random.default_rng(1).normal(size=(_POINTS, len(names)))
    rows = np.array([model.param_constrain(point, include_tp=False) for point in eta])
    probed = []
    for part in parts_of(model.param_names()):
        own = np.array([name == part.name for name in names], dtype=bool)
        as_many = int(own.sum()) == len(part.columns)
        probed.append((part, eta[:, own], rows if as_many else None))
    return probed
