"""A base measure as data: its quantile map, its density, its file.

Nested sampling draws from a base measure with a known quantile map. With q its density on the
unconstrained space and eta(u) its map from the cube, PolyChord's likelihood is
p(y, theta(eta)) |J(eta)| / q(eta), and the evidence is the integral of the program's density for
any q that covers the posterior; q only decides what it costs.

A component k of weight w_k is eta = m_k + S_k z, S_k lower triangular, with independent z of
known quantiles. If there are several components, one further cube coordinate (the first) chooses
the one that maps the others. The likelihood divides by the whole mixture, q = sum_k w_k q_k,
whichever component a point came through: then the integral over the cube is
sum_k w_k int q_k(eta) p(eta) / q(eta) d eta = int p(eta) d eta, exactly.

The choosing coordinate runs through the components many times over. A slice that moves it only a
little then passes all of them, so that points go from mode to mode with nearly every slice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import special, stats
from scipy.linalg import solve_triangular

from manymodes.errors import InputError
from manymodes.runtime.storage import read_json, write_json
from manymodes.types import BoolArray, FloatArray, IntArray

NORMAL = "normal"
LOGISTIC = "logistic"
STUDENT4 = "student4"
CAUCHY = "cauchy"

_DISTRIBUTIONS = {
    NORMAL: stats.norm(),
    LOGISTIC: stats.logistic(),
    STUDENT4: stats.t(4),
    CAUCHY: stats.cauchy(),
}
FAMILIES = tuple(_DISTRIBUTIONS)
"""Families of an independent coordinate; ``student4`` is Student's t with 4 degrees of freedom."""

CYCLES = 16
"""How often the choosing coordinate runs through the components between 0 and 1."""

_FORMAT = "manymodes base measure"
_LOWEST, _HIGHEST = 1e-300, 1 - 2.0**-53


@dataclass(frozen=True, eq=False)
class Component:
    """One component: eta = location + scale z, with independent coordinates z.

    Attributes
    ----------
    families : tuple of str
        The distribution of each z, D of them: one of `FAMILIES`, in standard form.
    location : array of shape (D,)
        Its place.
    scale : array of shape (D, D)
        Lower triangular, with a positive diagonal.
    weight : float
        Its share of the measure.
    origin : str
        Where it comes from: ``prior``, ``chains``, ``peaks``, or nothing if a file does not say.

    Raises
    ------
    InputError
        A part does not fit the others, or is out of its range.
    """

    families: tuple[str, ...]
    location: FloatArray
    scale: FloatArray
    weight: float = 1.0
    origin: str = ""

    def __post_init__(self) -> None:
        """Check the parts; a scale of shape (D,) stands for a diagonal."""
        location = np.atleast_1d(np.asarray(self.location, dtype=float))
        scale = np.asarray(self.scale, dtype=float)
        if scale.ndim < 2:
            scale = np.diag(np.atleast_1d(scale))
        dims = len(self.families)
        unknown = [family for family in self.families if family not in _DISTRIBUTIONS]
        if unknown:
            raise InputError(f"families: '{unknown[0]}' is not one of: {', '.join(FAMILIES)}")
        if location.shape != (dims,) or scale.shape != (dims, dims):
            raise InputError(
                f"location has shape {location.shape} and scale {scale.shape}, "
                f"but there are {dims} families"
            )
        whole = np.isfinite(location).all() and np.isfinite(scale).all()
        if not whole or np.triu(scale, 1).any() or (scale.diagonal() <= 0).any():
            raise InputError(
                "scale: give a lower triangular matrix with a positive diagonal, all finite"
            )
        if not 0 < self.weight <= 1:
            raise InputError(f"weight: {self.weight} is not in (0, 1]")
        object.__setattr__(self, "location", location)
        object.__setattr__(self, "scale", scale)

    @property
    def is_product(self) -> bool:
        """Whether the coordinates of eta are independent."""
        return not np.tril(self.scale, -1).any()

    def map(self, cube: FloatArray) -> FloatArray:
        """Map cube points, shape (n, D), to unconstrained points, shape (n, D)."""
        z = np.empty_like(cube)
        for family, columns in self._by_family():
            z[:, columns] = _quantile(family, cube[:, columns])
        return np.asarray(self.location + z @ self.scale.T)

    def invert(self, eta: FloatArray) -> FloatArray:
        """Return the cube points, shape (n, D), of unconstrained points, shape (n, D)."""
        u = self._standard(eta)
        for family, columns in self._by_family():
            u[:, columns] = _DISTRIBUTIONS[family].cdf(u[:, columns])
        return u

    def _standard(self, eta: FloatArray) -> FloatArray:
        return np.array(solve_triangular(self.scale, (eta - self.location).T, lower=True).T)

    def log_density(self, eta: FloatArray) -> FloatArray:
        """Return the log density (nats), shape (n,), at unconstrained points, shape (n, D)."""
        z = self._standard(eta)
        total = np.full(len(eta), -np.log(self.scale.diagonal()).sum())
        for family, columns in self._by_family():
            total += _log_density(family, z[:, columns]).sum(axis=1)
        return total

    def _by_family(self) -> list[tuple[str, BoolArray]]:
        families = np.array(self.families)
        return [(family, families == family) for family in dict.fromkeys(self.families)]


@dataclass(frozen=True, eq=False)
class BaseMeasure:
    """A mixture of one or more components on the unconstrained space.

    Attributes
    ----------
    components : tuple of Component
        Their weights sum to one.
    source : str
        Its source: ``prior``, ``chains``, ``peaks``, ``cube`` or ``file``.
    exact : bool
        Whether it is the prior itself, so that it certainly covers the posterior.
    reason : str
        How it was made, in words.
    log_prior : float
        If it is exact, log of the program's prior density over it (nats), which is 0 if the
        prior is normalised; NaN otherwise.
    caution : str
        Why an evidence over it is not to be trusted alone, as a sentence; empty if nothing is
        known against it.

    Raises
    ------
    InputError
        There is no component, their dimensions differ, or their weights do not sum to one.
    """

    components: tuple[Component, ...]
    source: str = "prior"
    exact: bool = False
    reason: str = ""
    log_prior: float = float("nan")
    caution: str = ""

    def __post_init__(self) -> None:
        """Check that the components fit one another."""
        if not self.components:
            raise InputError("components: the list is empty; give at least one")
        if len({len(one.families) for one in self.components}) > 1:
            raise InputError("components: they differ in their dimension")
        total = sum(one.weight for one in self.components)
        if abs(total - 1) > 1e-9:
            raise InputError(f"components: their weights sum to {total:.10g}, not to 1")

    @classmethod
    def product(
        cls, families: tuple[str, ...], location: npt.ArrayLike, scale: npt.ArrayLike, **more: Any
    ) -> BaseMeasure:
        """Return a measure of one component with independent coordinates, shape (D,) each."""
        one = Component(families, np.asarray(location), np.asarray(scale))
        return cls((one,), **more)

    @property
    def dims(self) -> int:
        """The dimension D of the unconstrained space."""
        return len(self.components[0].families)

    @property
    def cube_dims(self) -> int:
        """The dimension C of the cube: D, and 1 more if a component has to be chosen."""
        return self.dims + (len(self.components) > 1)

    @property
    def families(self) -> tuple[str, ...]:
        """The families of the first component."""
        return self.components[0].families

    def component_of(self, cube: npt.ArrayLike) -> IntArray:
        """Return the number of the component that maps each cube point, shape (n,)."""
        points = np.asarray(cube, dtype=float)
        if len(self.components) == 1:
            return np.zeros(len(points), dtype=np.intp)
        edges = np.cumsum([one.weight for one in self.components])[:-1]
        place = np.modf(CYCLES * points[:, 0])[0]
        return np.asarray(np.searchsorted(edges, place, side="right"), dtype=np.intp)

    def quantile(self, cube: npt.ArrayLike) -> FloatArray:
        """Map cube points u, shape (..., C), to unconstrained points, shape (..., D)."""
        u = np.clip(np.asarray(cube, dtype=float), _LOWEST, _HIGHEST)
        flat = u.reshape(-1, self.cube_dims)
        chosen = self.component_of(flat)
        eta = np.empty((len(flat), self.dims))
        for k, one in enumerate(self.components):
            members = chosen == k
            eta[members] = one.map(flat[members, self.cube_dims - self.dims :])
        return eta.reshape(*u.shape[:-1], self.dims)

    def log_density(self, eta: npt.ArrayLike) -> FloatArray:
        """Return log q (nats), shape (...), at unconstrained points, shape (..., D)."""
        points = np.asarray(eta, dtype=float)
        flat = points.reshape(-1, self.dims)
        total = special.logsumexp(self.log_parts(flat), axis=0)
        return np.asarray(total.reshape(points.shape[:-1]))

    def log_parts(self, eta: FloatArray) -> FloatArray:
        """Return log(weight x density) of each component (nats), (K, n), at points (n, D)."""
        return np.array([np.log(one.weight) + one.log_density(eta) for one in self.components])

    def sample(self, rng: np.random.Generator, draws: int) -> FloatArray:
        """Return draws of the measure, shape (draws, D)."""
        return self.quantile(rng.random((draws, self.cube_dims)))

    def as_dict(self) -> dict[str, Any]:
        """Return the measure as plain values, for its file."""
        return {
            "format": _FORMAT,
            "source": self.source,
            "exact": self.exact,
            "reason": self.reason,
            "log_prior": self.log_prior,
            **({"caution": self.caution} if self.caution else {}),
            "components": [
                {
                    "origin": one.origin,
                    "weight": one.weight,
                    "families": list(one.families),
                    "location": one.location.tolist(),
                    "scale": (one.scale.diagonal() if one.is_product else one.scale).tolist(),
                }
                for one in self.components
            ],
        }


def write_measure(path: Path, base: BaseMeasure, names: tuple[str, ...] = ()) -> None:
    """Write a base measure to a JSON file, with the names of its coordinates for the reader.

    Raises
    ------
    InputError
        The file cannot be written.
    """
    write_json(path, {**base.as_dict(), "coordinates": list(names)})


def read_measure(path: Path, dims: int | None = None) -> BaseMeasure:
    """Read a base measure from the file that `write_measure` wrote, or one made by hand.

    A file made by hand needs only ``components``: a list of objects with ``families``,
    ``location``, ``scale`` (D numbers, or a lower triangular matrix) and ``weight`` (1 by default).

    Parameters
    ----------
    path : Path
        The JSON file.
    dims : int, optional
        The dimension that it must have.

    Raises
    ------
    InputError
        It is missing, damaged, or does not describe a base measure of this dimension.
    """
    content = read_json(path, advice="it must be a JSON object with 'components'")
    try:
        components = tuple(_component(entry) for entry in content["components"])
        nothing = float("nan")
        log_prior = content.get("log_prior")
        base = BaseMeasure(
            components,
            source=str(content.get("source", "file")),
            exact=bool(content.get("exact", False)),
            reason=str(content.get("reason", "")),
            caution=str(content.get("caution", "")),
            log_prior=nothing if log_prior is None else float(log_prior),
        )
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path} is not a base measure ({type(error).__name__}: {error}): give 'components', "
            "each with 'families', 'location' and 'scale'"
        ) from error
    if dims is not None and base.dims != dims:
        raise InputError(f"{path} has {base.dims} coordinates, but the program has {dims}")
    return base


def _component(entry: Mapping[str, Any]) -> Component:
    return Component(
        tuple(str(family) for family in entry["families"]),
        np.array(entry["location"], dtype=float),
        np.array(entry["scale"], dtype=float),
        float(entry.get("weight", 1.0)),
        str(entry.get("origin", "")),
    )


def _log_density(family: str, z: FloatArray) -> FloatArray:
    if family == STUDENT4:  # most of the work of a fit, and SciPy's is several times slower
        return np.asarray(np.log(0.375) - 2.5 * np.log1p(0.25 * z**2))
    return np.asarray(_DISTRIBUTIONS[family].logpdf(z))


def _quantile(family: str, u: FloatArray) -> FloatArray:
    if family == LOGISTIC:
        return np.asarray(special.logit(u))
    if family == NORMAL:
        return np.asarray(special.ndtri(u))
    if family == CAUCHY:
        return np.asarray(np.copysign(1 / np.tan(np.pi * np.minimum(u, 1 - u)), u - 0.5))
    return _student4_quantile(u)


def _student4_quantile(u: FloatArray) -> FloatArray:
    """Return the quantile of Student's t with 4 degrees of freedom (Shaw 2006, section 3)."""
    a = np.sqrt(4 * u * (1 - u))
    q = np.cos(np.arccos(np.minimum(a, 1)) / 3) / a
    return np.asarray(np.copysign(2 * np.sqrt(np.maximum(q - 1, 0)), u - 0.5))
