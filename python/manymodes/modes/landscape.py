"""The density with respect to the prior, as a landscape: its coordinates and its heights.

The height at a point is the log of posterior over prior, which is the log likelihood, if the
program can leave its likelihood out. So peaks and barriers do not depend on the
parameterisation. `modes.explorer` climbs it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy import optimize, special

from manymodes.density.posterior import Posterior
from manymodes.sampling.base_measures import LOGISTIC, BaseMeasure, Component
from manymodes.types import BoolArray, FloatArray, IntArray

_EDGE = 1e-6
_FAR = 12.0
_AT_THE_END = 1e-3
LOWEST = -1e10
"""The height where the density is zero (nats)."""
PATH_NODES = 17
"""The points of a path between two maxima, its ends among them."""


@dataclass(frozen=True)
class Landscape:
    """Heights over climbing coordinates x, shape (D,).

    A coordinate with a logistic frame is climbed on the unit interval, where a bounded parameter
    is linear and its bound is a wall that a bounded optimiser can rest against; any other is
    climbed in units of its frame's scale.

    Attributes
    ----------
    posterior : Posterior
        The height is its density over that of its prior.
    base : BaseMeasure
        Levels are relative to it.
    climbing_frame : Component, optional
        Places and scales of the coordinates; only the diagonal counts; by default the
        first component of ``base``.
    """

    posterior: Posterior
    base: BaseMeasure
    climbing_frame: Component | None = None

    @cached_property
    def frame(self) -> Component:
        """Places and scales of the climbing coordinates."""
        return self.climbing_frame or self.base.components[0]

    @cached_property
    def _scale(self) -> FloatArray:
        return self.frame.scale.diagonal()

    @cached_property
    def _on_interval(self) -> BoolArray:
        return np.array([family == LOGISTIC for family in self.frame.families])

    @cached_property
    def bounds(self) -> optimize.Bounds:
        """The box in which climbing coordinates stay."""
        inside = self._on_interval
        return optimize.Bounds(
            np.where(inside, _EDGE, -_FAR), np.where(inside, 1 - _EDGE, _FAR), keep_feasible=True
        )

    def coordinate_lines(self) -> Iterator[str]:
        """Yield each coordinate as the processes that climb read it (``stan/climbs``)."""
        kinds = np.where(self._on_interval, "interval", "line").tolist()
        numbers = (self.frame.location, self._scale, self.bounds.lb, self.bounds.ub)
        for kind, *row in zip(kinds, *(one.tolist() for one in numbers), strict=True):
            yield " ".join([kind, *map(repr, row)])

    def coordinates(self, eta: npt.ArrayLike) -> FloatArray:
        """Map unconstrained points, shape (..., D), to climbing coordinates in the box."""
        z = (np.asarray(eta, dtype=float) - self.frame.location) / self._scale
        x = np.where(self._on_interval, special.expit(z), z)
        return np.asarray(np.clip(x, self.bounds.lb, self.bounds.ub))

    def unconstrained(self, x: npt.ArrayLike) -> FloatArray:
        """Map climbing coordinates, shape (..., D), to unconstrained points."""
        values = np.asarray(x, dtype=float)
        inside = self._on_interval
        z = np.where(inside, special.logit(np.where(inside, values, 0.5)), values)
        return np.asarray(self.frame.location + self._scale * z)

    def runaway(self, peaks: FloatArray) -> IntArray:
        """Return whether peaks, shape (M, D), lie at an end of the box, shape (M, D): -1 or 1.

        It is 0 elsewhere, and at the bounds of a coordinate that is climbed on the unit interval,
        because the parameter itself ends there.
        """
        far = (peaks >= self.bounds.ub - _AT_THE_END).astype(np.intp)
        far -= peaks <= self.bounds.lb + _AT_THE_END
        return np.asarray(np.where(self._on_interval, 0, far))

    @cached_property
    def prior(self) -> Posterior | None:
        """What heights are relative to; None if the program cannot leave its likelihood out."""
        return self.posterior.prior if self.posterior.prior_only is not None else None

    def height(self, x: FloatArray) -> float:
        """Return the height (nats) at climbing coordinates x."""
        eta = self.unconstrained(x)
        value = self.posterior.log_density(eta)
        if self.prior is not None:
            value -= self.prior.log_density(eta)
        return value if np.isfinite(value) else LOWEST


def straight_path(a: FloatArray, b: FloatArray) -> FloatArray:
    """Return the straight line from a to b as nodes, shape (nodes, D)."""
    t = np.linspace(0, 1, PATH_NODES)[:, None]
    return np.asarray((1 - t) * a + t * b)
