"""Draws that rounding moved out of the support, moved back within the digits that were written.

Rounded probabilities do not sum to one, and rounded neighbours of an ordered vector may be equal.
Stan refuses such values. They are put right if they are off by no more than the rounding explains,
and refused otherwise. The types of parameters are recognised by what their values have in common at
random points, so that no declaration has to be read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from manymodes.density.posterior import Posterior
from manymodes.density.variables import Part, part_name, parts_of
from manymodes.errors import DensityError, InputError
from manymodes.sampling.adoption.foreign import Foreign
from manymodes.types import BoolArray, FloatArray, IntArray

_POINTS = 30
_CLOSE = 1e-9
_FAR = 700.0  # a coordinate so far out that its value is at a bound
_SLACK = 2.0
_NUDGES = 5

Repair = Callable[[FloatArray, FloatArray], tuple[FloatArray, BoolArray]]
"""From values of shape (S, *shape) and their half units: values put right, and where that is more
than rounding explains, shape (S,)."""


# ---------------------------------------------------------------------- each type on its own


def _simplex(values: FloatArray, half: FloatArray) -> tuple[FloatArray, BoolArray]:
    moved = np.maximum(values, np.where(half > 0, half / 2, 0.0))
    moved = np.where(values > 0, values, moved)  # what was rounded to zero
    total = moved.sum(axis=-1, keepdims=True)
    off = np.abs(values.sum(axis=-1) - 1) > _SLACK * half.sum(axis=-1) + _CLOSE
    wrong = off | (values < -_SLACK * half).any(axis=-1)
    return moved / total, _any(wrong)


def _columns(values: FloatArray, half: FloatArray) -> tuple[FloatArray, BoolArray]:
    moved, wrong = _simplex(values.swapaxes(-1, -2), half.swapaxes(-1, -2))
    return moved.swapaxes(-1, -2), wrong


def _unit_vector(values: FloatArray, half: FloatArray) -> tuple[FloatArray, BoolArray]:
    length = np.linalg.norm(values, axis=-1, keepdims=True)
    allowed = _SLACK * (np.abs(values) * half).sum(axis=-1) + _CLOSE
    wrong = np.abs(length[..., 0] - 1) > allowed
    return values / np.where(length > 0, length, 1.0), _any(wrong)


def _sum_to_zero(values: FloatArray, half: FloatArray) -> tuple[FloatArray, BoolArray]:
    mean = values.mean(axis=-1, keepdims=True)
    wrong = np.abs(values.sum(axis=-1)) > _SLACK * half.sum(axis=-1) + _CLOSE
    return values - mean, _any(wrong)


def _ordered(values: FloatArray, half: FloatArray) -> tuple[FloatArray, BoolArray]:
    moved = values.copy()
    step = half / values.shape[-1]
    for k in range(1, values.shape[-1]):
        least = moved[..., k - 1] + np.maximum(step[..., k - 1], step[..., k])
        moved[..., k] = np.where(moved[..., k] > moved[..., k - 1], moved[..., k], least)
    return moved, _any((np.abs(moved - values) > _SLACK * half + _CLOSE * np.abs(values)).any(-1))


def _symmetric(values: FloatArray, half: FloatArray) -> tuple[FloatArray, BoolArray]:
    moved = (values + values.swapaxes(-1, -2)) / 2
    return moved, _any((np.abs(moved - values) > _SLACK * half + _CLOSE).any((-1, -2)))


def _correlations(values: FloatArray, half: FloatArray) -> tuple[FloatArray, BoolArray]:
    moved, wrong = _symmetric(values, half)
    diagonal = np.arange(values.shape[-1])
    moved[..., diagonal, diagonal] = 1.0
    off = np.abs(values[..., diagonal, diagonal] - 1) > _SLACK * half[..., diagonal, diagonal]
    return moved, wrong | _any(off.any(-1))


def _any(found: npt.ArrayLike) -> BoolArray:
    wrong = np.asarray(found)
    return np.asarray(wrong.reshape(len(wrong), -1).any(axis=1))


def _is_square(values: FloatArray) -> bool:
    return values.ndim > 2 and values.shape[-1] == values.shape[-2] > 1


def _kind(values: FloatArray) -> tuple[str, Repair | None]:
    """Return what the values of a part, shape (S, *shape), have in common, and how to repair it."""
    if values.ndim < 2 or (values.shape[-1] < 2 and not (values.ndim > 2 and values.shape[-2] > 1)):
        return "", None
    if _is_square(values):
        upper = np.triu(np.ones(values.shape[-2:], dtype=bool), 1)
        diagonal = np.diagonal(values, axis1=-2, axis2=-1)
        if (values[..., upper] == 0).all():
            if np.allclose(np.linalg.norm(values, axis=-1), 1, rtol=0, atol=_CLOSE):
                return "Cholesky factor of correlations", _unit_vector
            return "", None
        if (values == values.swapaxes(-1, -2)).all():
            if np.allclose(diagonal, 1, rtol=0, atol=_CLOSE):
                return "correlation matrix", _correlations
            return "covariance matrix", _symmetric
    if values.shape[-1] > 1:
        if (values >= 0).all() and np.allclose(values.sum(axis=-1), 1, rtol=0, atol=_CLOSE):
            return "simplex", _simplex
        if np.allclose(np.linalg.norm(values, axis=-1), 1, rtol=0, atol=_CLOSE):
            return "unit vector", _unit_vector
        if np.allclose(values.sum(axis=-1), 0, rtol=0, atol=_CLOSE):
            return "vector that sums to zero", _sum_to_zero
        if (np.diff(values, axis=-1) > 0).all():
            return "ordered vector", _ordered
    sums = values.sum(axis=-2) if values.ndim > 2 and (values >= 0).all() else np.zeros(1)
    if np.allclose(sums, 1, rtol=0, atol=_CLOSE):
        return "matrix whose columns sum to one", _columns
    return "", None


# ---------------------------------------------------------------------- a posterior


@dataclass(frozen=True, eq=False)
class Support:
    """The support of a posterior's parameters, as far as rounding may lead out of it.

    Attributes
    ----------
    posterior : Posterior
        Whose parameters.
    repairs : tuple of (Part, str, Repair)
        The parts that are bound as a whole: what they are, and how rounding is undone.
    low, high : arrays of shape (P,)
        The bounds of each element that has bounds of its own; infinite for the others.
    free : bool array of shape (P,)
        Which elements are not the same everywhere, as zeros of a triangle are.
    unit_vectors : bool
        Whether there are unit vectors, whose length a file of draws does not have.
    """

    posterior: Posterior
    repairs: tuple[tuple[Part, str, Repair], ...]
    low: FloatArray
    high: FloatArray
    free: BoolArray
    unit_vectors: bool

    @classmethod
    def of(cls, posterior: Posterior) -> Support:
        """Recognise the support of a posterior at random points."""
        model = posterior.model
        coordinates = [part_name(name) for name in model.param_unc_names()]
        points = np.random.default_rng(1).normal(size=(_POINTS, len(coordinates)))
        rows = np.array([_constrained(posterior, point) for point in points])
        ends = [_constrained(posterior, np.full(len(coordinates), end)) for end in (-_FAR, _FAR)]
        low, high = np.full(rows.shape[1], -np.inf), np.full(rows.shape[1], np.inf)
        repairs, unit_vectors = [], False
        for part in parts_of(model.param_names()):
            kind, repair = _kind(part.take(rows))
            if repair is not None:
                repairs.append((part, kind, repair))
                unit_vectors = unit_vectors or kind == "unit vector"
            elif coordinates.count(part.name) == len(part.columns):
                columns = list(part.columns)
                both = np.sort([ends[0][columns], ends[1][columns]], axis=0)
                low[columns], high[columns] = np.nan_to_num(both, nan=-np.inf)[0], both[1]
        high = np.nan_to_num(high, nan=np.inf, posinf=np.inf)
        free = np.asarray((rows != rows[0]).any(axis=0))
        return cls(posterior, tuple(repairs), low, high, free, unit_vectors)

    def unconstrained(self, chain: Foreign) -> FloatArray:
        """Return the draws of a chain in the unconstrained space, shape (S, D).

        Raises
        ------
        InputError
            A draw is outside of the support by more than its digits explain.
        """
        eta, fine = self._tried(chain.rows)
        lost = np.flatnonzero(~fine)
        if lost.size:
            moved = self._repaired(chain, lost)
            eta[lost], fine[lost] = self._tried(moved)
        still = np.flatnonzero(~fine)
        if still.size:
            raise InputError(
                f"{chain.where}: draw {still[0] + 1} is outside of the support of the program "
                f"{self.posterior.program.name}, or on its edge{self._reason(chain, still[0])}"
                f"{chain.origin}"
            )
        return eta

    def nudged(self, chain: Foreign, draws: IntArray) -> FloatArray:
        """Return draws moved by what rounding may have moved them, shape (T, n, D).

        Each is moved T times, at random; NaN if that is outside of the support.

        Parameters
        ----------
        chain : Foreign
            The chain.
        draws : int array of shape (n,)
            Which draws.
        """
        rng = np.random.default_rng(1)
        return np.array([self._nudged(chain, draws, rng) for _ in range(_NUDGES)])

    def _nudged(self, chain: Foreign, draws: IntArray, rng: np.random.Generator) -> FloatArray:
        half = chain.digits.half_units(chain.rows[draws])
        signs = rng.choice([-1.0, 1.0], size=half.shape)
        values = chain.rows[draws] + np.where(self.free, signs * half, 0.0)
        for part, _, repair in self.repairs:
            columns = list(part.columns)
            moved, _ = repair(part.take(values), part.take(half))
            values[:, columns] = moved.reshape(len(values), -1)
        eta, fine = self._tried(values)
        eta[~fine] = np.nan
        return eta

    def _tried(self, rows: FloatArray) -> tuple[FloatArray, BoolArray]:
        """Return unconstrained points, and which are inside of the support."""
        eta = np.full((len(rows), self.posterior.dims), np.nan)
        model = self.posterior.model
        for row, point in zip(np.ascontiguousarray(rows), eta, strict=True):
            try:
                model.param_unconstrain(row, out=point)
            except RuntimeError:
                point[:] = np.nan
        return eta, np.asarray(np.isfinite(eta).all(axis=1))

    def _repaired(self, chain: Foreign, draws: IntArray) -> FloatArray:
        rows = chain.rows[draws].copy()
        half = chain.digits.half_units(rows)
        for part, kind, repair in self.repairs:
            moved, wrong = repair(part.take(rows), part.take(half))
            if wrong.any():
                draw = int(draws[np.argmax(wrong)]) + 1
                article = "an" if kind[0] in "aeo" else "a"
                raise InputError(
                    f"{chain.where}: {part.name} of draw {draw} is not {article} {kind}, by more "
                    f"than rounding to {chain.digits.digits} digits explains{chain.origin}"
                )
            rows[:, list(part.columns)] = moved.reshape(len(rows), -1)
        return self._within_bounds(rows, half)

    def _within_bounds(self, rows: FloatArray, half: FloatArray) -> FloatArray:
        """Return rows whose elements are inside of their bounds, where rounding led them out."""
        inside = np.clip(rows, self.low + half / 2, self.high - half / 2)
        outside = (rows <= self.low) | (rows >= self.high)
        near = np.abs(inside - rows) <= _SLACK * half
        return np.where(outside & near & np.isfinite(inside), inside, rows)

    def _reason(self, chain: Foreign, draw: int) -> str:
        try:
            self.posterior.unconstrain_rows(chain.rows[draw])
        except DensityError as error:
            return f" ({' '.join(str(error).split())})"
        return ""


def _constrained(posterior: Posterior, point: FloatArray) -> FloatArray:
    try:
        return np.asarray(posterior.model.param_constrain(point, include_tp=False))
    except RuntimeError:
        return np.full(posterior.model.param_num(), np.nan)
