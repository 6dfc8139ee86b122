"""Warm-up that is shared: what earlier chains learned of a basin, offered to those that follow.

The first chains of a run, the pilots, warm up in full. Each of them leaves a `Warmup`: the peak
of the basin in which it ended, its metric and its step size. Every later chain climbs from its
start; if that leads to the peak of a pilot, it begins with the pilot's metric, which it keeps,
and adapts its step size alone, for `SHARE` of the warm-up. Otherwise it warms up in full.

What a chain is offered depends on the pilots and on its start, not on other chains nor on the
order in which they run, so that a run that is continued makes the same draws.

Draws are those of the same posterior either way: metric and step size are fixed while draws are
made. What is shared is the risk. A pilot that was misled misleads the chains of its basin, and a
chain that leaves the basin of its start samples with the metric of another one. A shorter warm-up
is also less time to leave a minor mode, so that more chains may stay in one.

It pays little on the XOR network, which is why it is off by default. With 16 pilots and 500 + 500
iterations, 22 of 48 later chains got an offer. They made 4700 leapfrog steps in warm-up instead
of 19,000, but 35 a draw instead of 29, since 12 of the 22 left the basin that their start climbs
to: 22,100 steps in all instead of 33,300, a ninth of the steps of the whole run. From about 2000
draws a chain on, nothing is saved (``benchmarks/run.py warmup``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import optimize

from manymodes.density.posterior import Posterior
from manymodes.errors import DensityError
from manymodes.sampling.chains.cmdstan_nuts import Adapted
from manymodes.sampling.chains.nuts_settings import NutsSettings
from manymodes.types import FloatArray

SHARE = 0.2
"""The share of the warm-up that is left to a chain with a metric of others."""
_LEAST = 50
"""But no fewer iterations than these, if the warm-up has as many: a chain has to settle."""
_NEAR = 0.5
"""Peaks closer than this in every coordinate, in standard deviations, are one."""
_LOWEST = -1e300


@dataclass(frozen=True)
class Warmup:
    """What one chain learned while it warmed up.

    Attributes
    ----------
    peak : array of shape (D,)
        The peak of the basin in which the chain ended, in the unconstrained space.
    inv_metric : array of shape (D,)
        The diagonal of its inverse metric, about the variances in the basin.
    step_size : float
        Its step size.
    """

    peak: FloatArray
    inv_metric: FloatArray
    step_size: float


def peak_of(posterior: Posterior, eta: FloatArray) -> FloatArray:
    """Climb from a point to a peak of the density of the unconstrained space.

    By L-BFGS, for 300 steps at most: a density without a bound has no peak to arrive at.

    Parameters
    ----------
    posterior : Posterior
        Whose density.
    eta : array of shape (D,)
        Where to begin.

    Returns
    -------
    array of shape (D,)
    """

    def descent(point: FloatArray) -> tuple[float, FloatArray]:
        try:
            value, gradient = posterior.gradient(point)
        except DensityError:
            return -_LOWEST, np.zeros_like(point)
        if not np.isfinite(value) or not np.isfinite(gradient).all():
            return -_LOWEST, np.zeros_like(point)
        return -value, -gradient

    found = optimize.minimize(
        descent,
        np.asarray(eta, dtype=float),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": 300, "ftol": 1e-12, "gtol": 1e-5},
    )
    return np.asarray(found.x, dtype=float)


def offered(
    posterior: Posterior, start: FloatArray, warmups: Sequence[Warmup], settings: NutsSettings
) -> Adapted | None:
    """Return what earlier chains offer to one that starts at a point; None if nothing.

    Parameters
    ----------
    posterior : Posterior
        What is sampled.
    start : array of shape (D,)
        Where the chain starts.
    warmups : sequence of Warmup
        Of the pilots. Of several in the same basin the geometric mean is offered.
    settings : NutsSettings
        Of the run; its warm-up is shortened to `SHARE` of it.
    """
    peak = peak_of(posterior, start)
    alike = [
        one for one in warmups if (np.abs(peak - one.peak) < _NEAR * np.sqrt(one.inv_metric)).all()
    ]
    if not alike:
        return None
    inv_metric = np.exp(np.mean([np.log(one.inv_metric) for one in alike], axis=0))
    step_size = float(np.exp(np.mean([np.log(one.step_size) for one in alike])))
    warmup = max(round(SHARE * settings.warmup), min(_LEAST, settings.warmup))
    return Adapted(inv_metric, step_size, warmup)
