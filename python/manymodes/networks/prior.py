"""The priors of a network's weights: independent and alike, or with a sampled scale per input."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from manymodes.errors import InputError
from manymodes.types import FloatArray

FAMILIES = ("normal", "uniform", "laplace", "student")
"""The families of a single weight, numbered from 1 in the Stan programs."""
ARD_DEGREES = 4.0
"""Degrees of freedom of the half-Student-t prior on the scale of an input."""

_GRAMMAR = "normal:SD, uniform:B, laplace:SCALE, student:NU,SCALE, ard or ard:SCALE"
_EXAMPLES = {"student": "student:4,1"}


@dataclass(frozen=True)
class Prior:
    """The prior of every weight and bias, independently.

    Parameters
    ----------
    family : {"normal", "uniform", "laplace", "student"}
        Normal, Laplace or Student-t with median 0, or uniform on (-scale, scale).
    scale : float
        Standard deviation (normal), scale (Laplace, Student-t), or bound (uniform).
    nu : float
        Degrees of freedom of the Student-t prior; infinite for the other families.
    ard : bool
        Automatic relevance determination (MacKay 1994; Neal 1996, section 1.2.3), on top of the
        normal family: weights from input m into the first layer are normal with a standard
        deviation that is sampled, a half-Student-t with 4 degrees of freedom and this scale.
    """

    family: str
    scale: float
    nu: float = math.inf
    ard: bool = False

    @classmethod
    def parse(cls, text: str) -> Prior:
        """Read a prior from a string such as ``normal:1``, ``student:4,1`` or ``ard``.

        Raises
        ------
        InputError
            If the family is unknown or a number is missing, not finite or not positive.
        """
        family, _, rest = text.partition(":")
        if text == "ard":
            rest = "1"
        if family not in (*FAMILIES, "ard"):
            raise InputError(f"prior: '{text}' is unknown; allowed are {_GRAMMAR}")
        numbers = [_positive(number) for number in rest.split(",")]
        if len(numbers) != (2 if family == "student" else 1) or None in numbers:
            example = _EXAMPLES.get(family, f"{family}:1")
            what = "two positive numbers" if family == "student" else "a positive number"
            raise InputError(f"prior: '{text}' needs {what} after the colon, as in '{example}'")
        *nu, scale = (number for number in numbers if number is not None)
        ard = family == "ard"
        return cls("normal" if ard else family, scale, nu[0] if nu else math.inf, ard)

    @property
    def bound(self) -> float:
        """The largest absolute value of a weight."""
        return self.scale if self.family == "uniform" else math.inf

    def log_density(self, weight: npt.ArrayLike) -> FloatArray:
        """Return the log density (nats), elementwise, of weights without a sampled scale."""
        return np.asarray(self.distribution.logpdf(np.asarray(weight, dtype=float)))

    def sample(self, shape: tuple[int, ...], rng: np.random.Generator) -> FloatArray:
        """Return draws, of this shape, of weights without a sampled scale."""
        return np.asarray(self.distribution.rvs(size=shape, random_state=rng))

    def sample_weights(
        self, shapes: Mapping[str, tuple[int, ...]], draws: int, rng: np.random.Generator
    ) -> dict[str, FloatArray]:
        """Return n draws of a network's weights, each of shape (n, *shapes[name]).

        Under `ard` the columns of ``W`` have the scales ``input_scale``, shape (n, inputs).
        """
        weights = {name: self.sample((draws, *shape), rng) for name, shape in shapes.items()}
        if self.ard:
            size = (draws, shapes["W"][-1])
            scales = np.abs(stats.t(ARD_DEGREES, scale=self.scale).rvs(size, random_state=rng))
            weights["W"] *= scales[:, None, :] / self.scale
            weights["input_scale"] = scales
        return weights

    def log_density_of_weights(self, weights: Mapping[str, FloatArray]) -> FloatArray:
        """Return the log density (nats), shape (n,), of weights of shapes (n, ...).

        Under `ard` it is that of the weights given ``input_scale``, shape (n, inputs).
        """
        rest = dict(weights)
        total = np.zeros(len(rest["W"]))
        if self.ard:
            relative = rest.pop("input_scale")[:, None, :] / self.scale
            total -= rest["W"].shape[1] * np.log(relative).sum(axis=(1, 2))
            rest["W"] = rest["W"] / relative
        for weight in rest.values():
            total += self.log_density(weight).reshape(len(total), -1).sum(axis=1)
        return total

    @property
    def distribution(self) -> stats.rv_continuous:
        """SciPy's frozen distribution of a weight."""
        if self.family == "uniform":
            return stats.uniform(-self.scale, 2 * self.scale)
        if self.family == "student":
            return stats.t(self.nu, scale=self.scale)
        return (stats.norm if self.family == "normal" else stats.laplace)(scale=self.scale)


def _positive(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) and number > 0 else None
