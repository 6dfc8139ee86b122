"""A measured look at a density: whether it falls off far out, in every direction that is tried.

By Fubini's theorem a density with a finite integral has a finite integral along almost every line
of a given direction. So if the integrals along the lines through several random points are
infinite, the density is certainly improper. Directions are the unconstrained coordinates, one by
one, and the directions in which the density has no curvature at all, such as (1, -1) if it depends
only on the sum of two parameters.

A density counts as integrable along a line if its slope shows that it falls faster than one over
the distance. This test cannot see an infinite integral over several coordinates at once, such as
that of a flat prior on the scale of a hierarchy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice

import numpy as np

from manymodes.density.curvature import hessian
from manymodes.density.posterior import Posterior
from manymodes.errors import DensityError
from manymodes.types import FloatArray
from manymodes.wording import joined

Line = Callable[[float], tuple[float, float]]
"""Maps a distance to the log density there (nats) and its slope along the line."""

_PROBES = 4
_TRIES = 200
_DISTANCES = (30.0, 60.0, 100.0, 300.0, 1e3, 1e4, 1e5, 1e6, 1e8, 1e10, 1e12, 1e14)
_FEWEST = 3
_SLOWEST = 1.001
"""A density that falls no faster than this power of the distance counts as improper."""
_STEADY = 0.9
"""If a slope keeps this share from one distance to the next, the density is not a power law."""
_NO_SLOPE = 1e-12
_NO_CURVATURE = 1e-7
_MOST_DIMS = 100  # curvatures are not examined in more dimensions
_OBLIQUE_ERROR = 1e-6
_FURTHEST_OBLIQUE = 1e5
_TAKES_PART = 0.05


def improper_directions(posterior: Posterior, *, seed: int = 1) -> tuple[str, ...]:
    """Return the parameters in which a density certainly has no finite integral.

    Parameters
    ----------
    posterior : Posterior
        The posterior with the density, as the program writes it; for a prior, `Posterior.prior`.
    seed : int
        Seed of the points that lines go through.

    Returns
    -------
    tuple of str
        Parameters, as ``b``, ``b[2]`` or ``a and b together``; empty if every line that was
        tried has a finite integral, or if nothing could be evaluated.
    """
    if posterior.dims == 0:
        return ()
    found_points = finite_points(posterior, np.random.default_rng(seed), _TRIES)
    points = [point for point, *_ in islice(found_points, _PROBES)]
    if not points:
        return ()
    names = posterior.unconstrained_names
    found = [
        i for i, axis in enumerate(np.eye(posterior.dims)) if _is_open(posterior, points, axis)
    ]
    said = _named([names[i] for i in found], names)
    for direction in _flat_directions(posterior, points[0]):
        taking = np.flatnonzero(np.abs(direction) > _TAKES_PART).tolist()
        if not set(taking) & set(found) and _is_open(posterior, points, direction):
            apart = [_indexed(names[i]) for i in taking]
            said.append(f"{joined(apart)} together")
    return tuple(said)


def falls_off(line: Line) -> bool:
    """Whether a density has a finite integral along a half-line, as far as its slopes show.

    ``line`` raises `DensityError` where the density cannot be evaluated, and then the search ends;
    a log density of -inf means that there is nothing more to integrate.
    """
    seen: list[tuple[float, float]] = []
    for distance in _DISTANCES:
        try:
            value, slope = line(distance)
        except DensityError:
            break
        if value == -np.inf:
            return True
        if not (np.isfinite(value) and np.isfinite(slope)):
            break
        seen.append((distance, slope))
    if len(seen) < _FEWEST:
        return True
    (_, before), (distance, last) = seen[-2:]
    if last > -_NO_SLOPE / distance and before > -_NO_SLOPE / distance:
        return False
    if last < 0 and last <= _STEADY * before:
        return True  # it falls like an exponential or faster
    return last * distance < -_SLOWEST


def finite_points(
    posterior: Posterior, rng: np.random.Generator, tries: int
) -> Iterator[tuple[FloatArray, float, FloatArray]]:
    """Yield random points where a density is positive and smooth; only so many are tried.

    Yields
    ------
    tuple
        A point, shape (D,), standard normal on the unconstrained scale; the log density there
        (nats); and its gradient, shape (D,).
    """
    for _ in range(tries):
        point = rng.normal(size=posterior.dims)
        try:
            value, gradient = posterior.gradient(point)
        except DensityError:
            continue
        if np.isfinite(value) and np.isfinite(gradient).all():
            yield point, value, gradient


def _is_open(posterior: Posterior, points: list[FloatArray], direction: FloatArray) -> bool:
    """Whether the density has no finite integral along any line through the points."""
    return all(
        any(not falls_off(_line(posterior, point, sign * direction)) for sign in (1.0, -1.0))
        for point in points
    )


def _line(posterior: Posterior, point: FloatArray, direction: FloatArray) -> Line:
    oblique = np.count_nonzero(direction) > 1  # such a direction is known to a few digits only

    def at(distance: float) -> tuple[float, float]:
        if oblique and distance > _FURTHEST_OBLIQUE:
            raise DensityError("the direction is not known well enough")
        place = point + distance * direction
        _check_range(posterior, place)
        value, gradient = posterior.gradient(place)
        if not np.isfinite(gradient).all():
            return value, np.nan
        slope = float(gradient @ direction)
        rounding = _OBLIQUE_ERROR * float(np.abs(gradient) @ np.abs(direction))
        return value, 0.0 if oblique and abs(slope) <= rounding else slope

    return at


def _check_range(posterior: Posterior, place: FloatArray) -> None:
    """Raise if a parameter is no longer a number, or so small that it is 0."""
    model = posterior.model
    try:
        row = model.param_constrain(place, include_tp=False, include_gq=False)
    except RuntimeError as error:
        raise DensityError(str(error)) from error
    if not np.isfinite(row).all():
        raise DensityError("a parameter is infinite")


def _flat_directions(posterior: Posterior, point: FloatArray) -> FloatArray:
    """Return the directions without any curvature at a point, shape (K, D)."""
    dims = posterior.dims
    if not 1 < dims <= _MOST_DIMS:
        return np.empty((0, dims))
    try:
        curvature = hessian(posterior, point, 1e-4)
    except DensityError:
        return np.empty((0, dims))
    if not np.isfinite(curvature).all():
        return np.empty((0, dims))
    values, vectors = np.linalg.eigh(curvature)
    largest = np.abs(values).max()
    flat = vectors.T[np.abs(values) < _NO_CURVATURE * max(largest, 1e-300)]
    flat[np.abs(flat) < _OBLIQUE_ERROR] = 0.0
    return np.asarray(flat / np.linalg.norm(flat, axis=1, keepdims=True))


def _named(flat: list[str], every: tuple[str, ...]) -> list[str]:
    """Return Stan's names of unconstrained coordinates; a variable's name if all its are there."""
    said: dict[str, None] = {}
    for name in flat:
        variable, *index = name.split(".")
        whole = [one for one in every if one.split(".")[0] == variable]
        said[variable if not index or set(whole) <= set(flat) else _indexed(name)] = None
    return list(said)


def _indexed(name: str) -> str:
    variable, *index = name.split(".")
    return f"{variable}[{','.join(index)}]"
