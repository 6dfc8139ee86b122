"""The density with respect to the prior, as a landscape to climb: peaks, saddles, barriers.

The height at a point is the log of posterior over prior, which is the log likelihood, if the
program can leave its likelihood out. So peaks and barriers do not depend on the
parameterisation.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy import optimize, special

from manymodes.density.posterior import Posterior
from manymodes.errors import DensityError
from manymodes.sampling.base_measures import LOGISTIC, BaseMeasure, Component
from manymodes.types import BoolArray, FloatArray, IntArray

_EDGE = 1e-6
_FAR = 12.0
_AT_THE_END = 1e-3
LOWEST = -1e10
"""The height where the density is zero (nats)."""
_STRETCH = 30.0
"""The optimiser's first step has length 1 and would jump over barriers. With this unit it is a
thirtieth of the base measure's scale."""
_CLIMBS = 5
_NO_GAIN = 1e-3
"""The optimiser sometimes stops on a slope. It is started again at its end until it gains less than
this (nats), at most so often."""
_PATH_NODES = 17
_RELAXATIONS = 80


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
    def _frame(self) -> Component:
        return self.climbing_frame or self.base.components[0]

    @cached_property
    def _scale(self) -> FloatArray:
        return self._frame.scale.diagonal()

    @cached_property
    def _on_interval(self) -> BoolArray:
        return np.array([family == LOGISTIC for family in self._frame.families])

    @cached_property
    def bounds(self) -> optimize.Bounds:
        """The box in which climbing coordinates stay."""
        inside = self._on_interval
        return optimize.Bounds(
            np.where(inside, _EDGE, -_FAR), np.where(inside, 1 - _EDGE, _FAR), keep_feasible=True
        )

    def coordinates(self, eta: npt.ArrayLike) -> FloatArray:
        """Map unconstrained points, shape (..., D), to climbing coordinates in the box."""
        z = (np.asarray(eta, dtype=float) - self._frame.location) / self._scale
        x = np.where(self._on_interval, special.expit(z), z)
        return np.asarray(np.clip(x, self.bounds.lb, self.bounds.ub))

    def unconstrained(self, x: npt.ArrayLike) -> FloatArray:
        """Map climbing coordinates, shape (..., D), to unconstrained points."""
        values = np.asarray(x, dtype=float)
        inside = self._on_interval
        z = np.where(inside, special.logit(np.where(inside, values, 0.5)), values)
        return np.asarray(self._frame.location + self._scale * z)

    def runaway(self, peaks: FloatArray) -> IntArray:
        """Return whether peaks, shape (M, D), lie at an end of the box, shape (M, D): -1 or 1.

        It is 0 elsewhere, and at the bounds of a coordinate that is climbed on the unit interval,
        because the parameter itself ends there.
        """
        far = (peaks >= self.bounds.ub - _AT_THE_END).astype(np.intp)
        far -= peaks <= self.bounds.lb + _AT_THE_END
        return np.asarray(np.where(self._on_interval, 0, far))

    @cached_property
    def _prior(self) -> Posterior | None:
        return self.posterior.prior if self.posterior.prior_only is not None else None

    def height(self, x: FloatArray) -> float:
        """Return the height (nats) at climbing coordinates x."""
        eta = self.unconstrained(x)
        value = self.posterior.log_density(eta)
        if self._prior is not None:
            value -= self._prior.log_density(eta)
        return value if np.isfinite(value) else LOWEST

    def height_gradient(self, x: FloatArray) -> tuple[float, FloatArray]:
        """Return the height (nats) and its gradient in climbing coordinates."""
        eta = self.unconstrained(x)
        try:
            value, gradient = self.posterior.gradient(eta)
            if self._prior is not None:
                prior_value, prior_gradient = self._prior.gradient(eta)
                value, gradient = value - prior_value, gradient - prior_gradient
        except DensityError:
            return LOWEST, np.zeros_like(x)
        if not np.isfinite(value) or not np.isfinite(gradient).all():
            return LOWEST, np.zeros_like(x)
        u = np.where(self._on_interval, x, 0.5)
        slope = self._scale * np.where(self._on_interval, 1 / (u * (1 - u)), 1.0)
        return value, gradient * slope

    def climb(self, eta: FloatArray) -> tuple[FloatArray, float]:
        """Climb from an unconstrained point to a local maximum.

        Returns
        -------
        tuple
            The maximum in climbing coordinates, shape (D,), and its height (nats).
        """

        def descent(u: FloatArray) -> tuple[float, FloatArray]:
            value, gradient = self.height_gradient(u / _STRETCH)
            return -value, -gradient / _STRETCH

        box = self.bounds
        stretched = optimize.Bounds(box.lb * _STRETCH, box.ub * _STRETCH, keep_feasible=True)
        place, height = self.coordinates(eta) * _STRETCH, -np.inf
        for _ in range(_CLIMBS):
            found = optimize.minimize(
                descent,
                place,
                jac=True,
                method="L-BFGS-B",
                bounds=stretched,
                options={"maxiter": 300, "ftol": 1e-13, "gtol": 1e-4 / _STRETCH},
            )
            gained, place, height = -found.fun - height, found.x, float(-found.fun)
            if gained < _NO_GAIN:
                break
        return np.clip(place / _STRETCH, box.lb, box.ub), height

    def straight_barrier(self, a: FloatArray, b: FloatArray, enough: float = np.inf) -> float:
        """Return how far the height falls below the lower end on the straight line a-b (nats).

        The search stops once the fall exceeds ``enough``.
        """
        floor = min(self.height(a), self.height(b))
        lowest = floor
        steps = np.arange(1, _PATH_NODES - 1) / (_PATH_NODES - 1)
        for t in steps[np.argsort(np.abs(steps - 0.5), kind="stable")]:
            lowest = min(lowest, self.height((1 - t) * a + t * b))
            if floor - lowest > enough:
                break
        return floor - lowest

    def level(self, x: FloatArray) -> float:
        """Return the log likelihood against the base measure (nats) at climbing coordinates x.

        Nested sampling orders its points by it; with an exact base measure it is the height.
        """
        eta = self.unconstrained(x)
        value = self.posterior.log_density(eta) - float(self.base.log_density(eta))
        return value if np.isfinite(value) else LOWEST

    def pass_level(self, path: FloatArray) -> float:
        """Return the lowest level on a path, shape (nodes, D)."""
        return min(self.level(x) for x in path)

    def relaxed_path(self, a: FloatArray, b: FloatArray, enough: float) -> tuple[float, FloatArray]:
        """Relax a path from a to b uphill.

        The string method (E, Ren, Vanden-Eijnden 2007): nodes between the ends climb across
        the path and are spread evenly along it again. It stops as soon as the height falls by at
        most ``enough``.

        Returns
        -------
        tuple
            How far the height falls below the lower end on the best path found (nats), and
            that path, shape (nodes, D).
        """
        path = straight_path(a, b)
        floor = min(self.height(a), self.height(b))
        best, best_path = np.inf, path
        for step in np.geomspace(0.04, 0.004, _RELAXATIONS):
            before = path.copy()
            tangents = path[2:] - path[:-2]
            length = float(np.linalg.norm(np.diff(path, axis=0), axis=1).sum())
            lowest = np.inf
            for i in range(1, _PATH_NODES - 1):
                value, gradient = self.height_gradient(path[i])
                lowest = min(lowest, value)
                along = tangents[i - 1] / max(float(np.linalg.norm(tangents[i - 1])), 1e-300)
                across = gradient - along * float(gradient @ along)
                size = float(np.linalg.norm(across))
                path[i] += step * length * across / max(size, 1.0)
            if floor - lowest < best:
                best, best_path = floor - lowest, before
            if best <= enough:
                break
            path = _evenly_spaced(np.clip(path, self.bounds.lb, self.bounds.ub))
        return max(best, 0.0), best_path


def straight_path(a: FloatArray, b: FloatArray) -> FloatArray:
    """Return the straight line from a to b as nodes, shape (nodes, D)."""
    t = np.linspace(0, 1, _PATH_NODES)[:, None]
    return np.asarray((1 - t) * a + t * b)


def _evenly_spaced(path: FloatArray) -> FloatArray:
    """Move a path's nodes along it so that they are equally far from one another."""
    steps = np.linalg.norm(np.diff(path, axis=0), axis=1)
    arc = np.concatenate([[0.0], np.cumsum(steps)])
    if arc[-1] == 0:
        return path
    wanted = np.linspace(0, arc[-1], len(path))
    return np.column_stack([np.interp(wanted, arc, column) for column in path.T])
