"""The mode of any point: the mode of the nearest draw with a known mode.

The evidence of a mode is the integral of the density over the mode's basin. `manymodes.modes.find`
gives draws their mode; a proposal's draws come from no engine and need one, too.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
from scipy import linalg, special
from scipy.spatial import cKDTree

from manymodes.density.parameter_space import log_unit_vector_surplus
from manymodes.density.posterior import Posterior
from manymodes.modes.comparison import Comparison
from manymodes.types import BoolArray, FloatArray, IntArray

S = TypeVar("S", bound=np.generic)
Density = Callable[[FloatArray], FloatArray]
"""Maps points, shape (n, D), to log densities, shape (n,), in nats; -inf outside the support."""

Region = Callable[[FloatArray], BoolArray]
"""Returns which of some points, shape (n, D), lie in a part of the space, shape (n,)."""

_NEGLIGIBLE = 1e-9


def density_of(posterior: Posterior) -> Density:
    """Return the posterior's log density (nats) as a function of many points.

    The surplus that Stan's transform of unit vectors adds to the integral is subtracted.
    """
    surplus = log_unit_vector_surplus(posterior)

    def log_density(points: FloatArray) -> FloatArray:
        values = np.array([posterior.log_density(point) for point in points], dtype=float)
        return np.where(np.isnan(values), -np.inf, values - surplus)

    return log_density


def halves(draws: npt.NDArray[S]) -> tuple[npt.NDArray[S], npt.NDArray[S]]:
    """Return the first and the second half of a chain, shape (S, ...); the second is the longer."""
    middle = len(draws) // 2
    return draws[:middle], draws[middle:]


class Proposal(NamedTuple):
    """A normal or a Student t about a centre, to draw from.

    Attributes
    ----------
    centre : array of shape (D,)
        Its mean.
    factor : array of shape (D, D)
        Lower Cholesky factor of its scale matrix.
    freedom : float
        Degrees of freedom; infinite for a normal.
    """

    centre: FloatArray
    factor: FloatArray
    freedom: float

    def draw(self, size: int, rng: np.random.Generator) -> FloatArray:
        """Return draws, shape (size, D)."""
        return self.placed(self.standard(size, rng))

    def standard(self, size: int, rng: np.random.Generator) -> FloatArray:
        """Return draws with centre 0 and the unit matrix as scale, shape (size, D)."""
        z = rng.standard_normal((size, len(self.centre)))
        if math.isfinite(self.freedom):
            z /= np.sqrt(rng.chisquare(self.freedom, size) / self.freedom)[:, None]
        return z

    def placed(self, standard: FloatArray) -> FloatArray:
        """Return the draws that belong to standard ones, shape (n, D)."""
        return np.asarray(self.centre + standard @ self.factor.T)

    def log_density(self, points: FloatArray) -> FloatArray:
        """Return the log density (nats) at points, shape (n, D), as shape (n,)."""
        z = linalg.solve_triangular(self.factor, (points - self.centre).T, lower=True)
        dims = len(self.centre)
        constant = -np.log(np.diag(self.factor)).sum()
        square = (z**2).sum(axis=0)
        if not math.isfinite(self.freedom):
            return np.asarray(constant - 0.5 * (dims * math.log(2 * math.pi) + square))
        nu = self.freedom
        constant += special.gammaln((nu + dims) / 2) - special.gammaln(nu / 2)
        constant -= 0.5 * dims * math.log(nu * math.pi)
        return np.asarray(constant - 0.5 * (nu + dims) * np.log1p(square / nu))


@dataclass(frozen=True, eq=False)
class Basins:
    """A partition of the unconstrained space into basins: nearest neighbours of known points.

    Attributes
    ----------
    points : array of shape (n, D)
        Points whose mode is known.
    modes : int array of shape (n,)
        Their mode ids.
    scale : array of shape (D,)
        The unit of length in each coordinate.
    """

    points: FloatArray
    modes: IntArray
    scale: FloatArray

    def __post_init__(self) -> None:
        object.__setattr__(self, "_tree", cKDTree(self.points / self.scale))

    def __call__(self, eta: npt.ArrayLike) -> IntArray:
        """Return the mode ids of unconstrained points, shape (n, D), as shape (n,)."""
        tree: cKDTree = self.__dict__["_tree"]
        nearest = tree.query(np.asarray(eta, dtype=float) / self.scale, workers=-1)[1]
        return np.asarray(self.modes[nearest], dtype=np.intp)

    def within(self, mode: int) -> Region:
        """Return a test for points of one mode."""

        def inside(points: FloatArray) -> BoolArray:
            return np.asarray(self(points) == mode)

        return inside


def basins_of(comparison: Comparison) -> Basins:
    """Return the basins of a comparison's modes.

    The known points are the first halves of the chains, the nested points and the peaks. The second
    halves are left out, so that an estimate from them uses a partition that does not depend on
    them. Lengths are in units of the spread of the draws about the mean of their mode.

    Parameters
    ----------
    comparison : Comparison
        A comparison with draws of at least one engine.
    """
    points, modes, weights = [], [], []
    if (chains := comparison.chains) is not None:
        for eta, ids, length in zip(
            chains.eta, comparison.chain_modes, chains.lengths.tolist(), strict=True
        ):
            first = halves(eta[:length])[0]
            points.append(first)
            modes.append(ids[: len(first)])
            weights.append(np.full(len(first), 1 / chains.total_draws))
    if (nested := comparison.nested) is not None:
        kept = comparison.nested_weights > _NEGLIGIBLE * comparison.nested_weights.max()
        points.append(nested.eta[kept])
        modes.append(comparison.nested_modes[kept])
        weights.append(comparison.nested_weights[kept])
    if (tempered := comparison.tempered) is not None:
        points.append(tempered.eta)
        modes.append(comparison.tempered_modes)
        weights.append(tempered.weights)
    points.append(comparison.modes.peaks)
    modes.append(comparison.labels)
    weights.append(np.zeros(len(comparison.labels)))
    known, ids = np.concatenate(points), np.concatenate(modes)
    return Basins(known, ids, _spread(known, ids, np.concatenate(weights)))


def _spread(points: FloatArray, modes: IntArray, weights: FloatArray) -> FloatArray:
    """Return the standard deviation about the modes' means, shape (D,)."""
    squares = np.zeros(points.shape[1])
    for mode in np.unique(modes):
        members = modes == mode
        share = weights[members]
        if share.sum() > 0:
            centre = share @ points[members] / share.sum()
            squares += share @ (points[members] - centre) ** 2
    sd = np.sqrt(squares / weights.sum())
    return np.asarray(np.where(sd > 0, sd, 1.0))
