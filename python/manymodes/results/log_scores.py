"""Scores of predictions: the log predictive density of what was observed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from manymodes.types import FloatArray


@dataclass(frozen=True)
class LogScore:
    """The log predictive density of observations, in nats.

    Attributes
    ----------
    mean, sd_of_mean, sum : float
        Its mean over the observations, the standard error of this mean (NaN for one
        observation), and its sum.
    """

    mean: float
    sd_of_mean: float
    sum: float

    @classmethod
    def figures(cls, log_density: FloatArray) -> tuple[float, float, float]:
        """Return ``mean``, ``sd_of_mean`` and ``sum`` of log densities, shape (N,)."""
        n = len(log_density)
        with np.errstate(invalid="ignore"):  # a density may be zero
            error = float(log_density.std(ddof=1) / math.sqrt(n)) if n > 1 else math.nan
        return float(log_density.mean()), error, float(log_density.sum())

    def as_dict(self) -> dict[str, Any]:
        """Return the figures, ready for JSON."""
        return {
            "log_density_mean": self.mean,
            "log_density_mean_se": self.sd_of_mean if math.isfinite(self.sd_of_mean) else None,
            "log_density_sum": self.sum,
        }
