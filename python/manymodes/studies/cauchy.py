"""A Cauchy location with data from two places: stacking and evidence disagree, and both are right.

The example of Yao, Vehtari and Gelman (2022): 100 observations, half of them around -10 and half
around 10, and the model y ~ Cauchy(mu, 1), which has one place only. The posterior of mu has a
mode at each. With one parameter everything can be computed exactly, by quadrature.

References
----------
.. [1] Yao, Vehtari, Gelman (2022). Stacking for non-mixing Bayesian computations: the curse and
   blessing of multimodal posteriors. Journal of Machine Learning Research 23(79).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import integrate, optimize
from scipy.special import logsumexp

from manymodes.density.posterior import Posterior
from manymodes.density.program import Program
from manymodes.errors import InputError
from manymodes.modes.comparison import Comparison
from manymodes.report import Table
from manymodes.runtime.seeds import check_seed
from manymodes.statistics.stacking import stack
from manymodes.studies.conduct import Effort, Findings, conduct
from manymodes.toolchain import stan_dir
from manymodes.types import FloatArray

PLACES = (-10.0, 10.0)
PRIOR_SD = 10.0
N_OBS = 100
DATA_SEED = 100
"""The seed of the published data."""

_SIDE = np.linspace(0, 40, 4001)  # distances from the barrier, fine beside a mode's width


@dataclass(frozen=True)
class CauchyModes:
    """The two modes of the posterior, exactly.

    Attributes
    ----------
    peaks : tuple of float
        Where the posterior density is highest on the left and on the right.
    barrier : float
        Where it is lowest between them: the border of the modes.
    log_z : tuple of float
        Log evidence of each mode (nats), by adaptive quadrature.
    lpd : array of shape (N, 2)
        Leave-one-out log predictive density of each observation under each mode (nats).
    stacking : tuple of float
        Stacking weight of each mode: of two chains of infinitely many draws.
    """

    peaks: tuple[float, float]
    barrier: float
    log_z: tuple[float, float]
    lpd: FloatArray
    stacking: tuple[float, float]

    @property
    def log_ratio(self) -> float:
        """Log of the larger evidence over the smaller (nats)."""
        return abs(self.log_z[1] - self.log_z[0])

    @property
    def evidence(self) -> tuple[float, float]:
        """Share of the evidence of each mode."""
        shares = np.exp(np.array(self.log_z) - np.logaddexp(*self.log_z))
        return float(shares[0]), float(shares[1])


def cauchy_data(seed: int = DATA_SEED, n: int = N_OBS) -> FloatArray:
    """Draw the data: half from Cauchy(-10, 1), then half from Cauchy(10, 1), shape (n,).

    The numbers are those of R after ``set.seed(seed)``, the first half by
    ``rcauchy(n / 2, -10, 1)`` and the second by ``rcauchy(n / 2, 10, 1)``, so that seed 100
    gives the data of the paper's own code.

    Raises
    ------
    InputError
        The seed is not a 32-bit number of 0 or more, or ``n`` is not even and at least 2.
    """
    if not 0 <= check_seed(seed, "data-seed") < 2**31:
        raise InputError(f"data-seed: {seed} is not between 0 and {2**31 - 1}")
    if n < 2 or n % 2:
        raise InputError(f"n: {n} is not an even number of observations, 2 or more")
    words = [seed]
    for _ in range(50 + 625):  # R stirs the seed, then fills the twister's state with it
        words.append((69069 * words[-1] + 1) % 2**32)
    twister = np.random.MT19937()
    key = np.array(words[-624:], dtype=np.uint32)
    twister.state = {"bit_generator": "MT19937", "state": {"key": key, "pos": 624}}
    uniform = twister.random_raw(n) * 2.3283064365386963e-10
    return np.asarray(np.repeat(PLACES, n // 2) + np.tan(np.pi * uniform))


def cauchy_posterior(y: FloatArray) -> Posterior:
    """Return the posterior of the location given observations, shape (N,)."""
    data = {"N": len(y), "y": np.asarray(y).tolist(), "prior_only": 0, "save_log_lik": 0}
    program = Program(stan_dir() / "models" / "cauchy_location.stan")
    return Posterior(program, data, "cauchy")


def cauchy_modes(y: FloatArray) -> CauchyModes:
    """Compute evidence, leave-one-out densities and stacking weights of both modes.

    Parameters
    ----------
    y : array of shape (N,)
        Observations from two places, to the left and to the right of 0.

    Raises
    ------
    InputError
        The posterior does not have one mode on each side.
    """

    def log_joint(mu: float) -> float:
        return float(_log_prior(mu) + _log_lik(y, mu).sum())

    def peak(low: float, high: float) -> float:
        grid = np.linspace(low, high, 400)
        best = int(np.argmax([log_joint(mu) for mu in grid]))
        if best in (0, len(grid) - 1):
            raise InputError("the data do not give the posterior one mode on each side of 0")
        found = optimize.minimize_scalar(
            lambda mu: -log_joint(mu), bounds=(grid[best - 1], grid[best + 1]), method="bounded"
        )
        return float(found.x)

    peaks = peak(-30.0, 0.0), peak(0.0, 30.0)
    between = np.linspace(*peaks, 2001)
    barrier = float(between[np.argmin([log_joint(mu) for mu in between])])
    log_z, lpd = [], []
    for top, side in zip(peaks, (-1, 1), strict=True):
        height = log_joint(top)
        area, _ = integrate.quad(
            lambda mu, height=height: np.exp(log_joint(mu) - height),
            *sorted((barrier, barrier + side * _SIDE[-1])),
            points=[top - 1, top, top + 1],
            epsabs=0.0,
            epsrel=1e-10,
            limit=500,
        )
        log_z.append(height + float(np.log(area)))
        lpd.append(_leave_one_out(y, barrier + side * _SIDE))
    columns = np.stack(lpd, axis=1)
    left, right = stack(columns).weights
    return CauchyModes(peaks, barrier, (log_z[0], log_z[1]), columns, (float(left), float(right)))


def _leave_one_out(y: FloatArray, mu: FloatArray) -> FloatArray:
    """Return log p(y_i | the others) under the posterior on a grid of locations, (N,), nats."""
    log_lik = _log_lik(y[:, None], mu)
    log_joint = _log_prior(mu) + log_lik.sum(axis=0)
    return np.asarray(logsumexp(log_joint) - logsumexp(log_joint - log_lik, axis=1))


def _log_prior(mu: FloatArray | float) -> Any:
    return -0.5 * (mu / PRIOR_SD) ** 2 - np.log(PRIOR_SD * np.sqrt(2 * np.pi))


def _log_lik(y: FloatArray, mu: FloatArray | float) -> Any:
    return -np.log(np.pi) - np.log1p((y - mu) ** 2)


def run_cauchy(
    out: Path,
    *,
    data_seed: int = DATA_SEED,
    n_obs: int = N_OBS,
    effort: Effort | None = None,
) -> dict[str, Comparison]:
    """Run the study and write its results into a directory.

    Parameters
    ----------
    out : Path
        The run directory.
    data_seed, n_obs : int
        As in `cauchy_data`.
    effort : Effort, optional
        How much is sampled, and how.

    Returns
    -------
    dict
        The comparison, under the posterior's name, ``cauchy``.

    Raises
    ------
    InputError
        A setting is out of its range, or the directory cannot be used.
    """
    y = cauchy_data(data_seed, n_obs)
    exact = cauchy_modes(y)

    def find(comparisons: Mapping[str, Comparison]) -> Findings:
        return Findings(
            {"exact": _entry(exact)},
            {
                "title": "Cauchy location: two weights of two modes",
                "introduction": _introduction(data_seed, n_obs),
                "notes": _notes(exact),
                "appendix": [exact_table(exact, comparisons["cauchy"])],
            },
        )

    posteriors = {"cauchy": cauchy_posterior(y)}
    decided = {"data_seed": data_seed, "n_obs": n_obs}
    return conduct("cauchy", out, posteriors, effort or Effort(), decided, find)


def exact_table(exact: CauchyModes, found: Comparison) -> Table:
    """Put what was sampled beside what quadrature says, mode by mode."""
    rows = []
    for mode in found.summaries:
        eta = found.modes.peaks[np.flatnonzero(found.labels == mode.id)[0]]
        side = int(eta[0] > exact.barrier)
        rows.append(
            (
                f"mode {mode.id}, at {exact.peaks[side]:.2f}",
                f"{mode.log_z.value:.2f} ± {mode.log_z.sd:.2f}",
                f"{exact.log_z[side]:.2f}",
                f"{mode.evidence.value:.2g} ± {mode.evidence.sd:.1g}",
                f"{exact.evidence[side]:.2g}",
                f"{mode.stacking.value:.3f} ± {mode.stacking.sd:.3f}",
                f"{exact.stacking[side]:.3f}",
            )
        )
    columns = ("", "log Z", "exact", "evidence weight", "exact", "stacking weight", "exact")
    caption = (
        "Exact: one-dimensional quadrature of each side of the lowest point between the peaks. "
        f"The evidence prefers one mode by a factor of e^{exact.log_ratio:.2f}."
    )
    return Table("Sampled and exact weights", columns, tuple(rows), caption)


def _entry(exact: CauchyModes) -> dict[str, Any]:
    return {
        "peaks": list(exact.peaks),
        "barrier": exact.barrier,
        "log_z": list(exact.log_z),
        "log_ratio": exact.log_ratio,
        "evidence": list(exact.evidence),
        "stacking": list(exact.stacking),
    }


def _introduction(data_seed: int, n_obs: int) -> str:
    return (
        f"Of {n_obs} observations half come from a Cauchy distribution around -10 and half from "
        "one around 10. The model has a single location, so its posterior has a mode at each "
        "place. Evidence and stacking weigh the two modes very differently, because they answer "
        "different questions: which mode holds the probability of the model's one location, and "
        "which mixture of modes predicts the next observation. The example is that of Yao, "
        f"Vehtari and Gelman (2022), with a proper prior; data seed {data_seed}."
    )


def _notes(exact: CauchyModes) -> list[str]:
    left, right = exact.stacking
    return [
        f"By quadrature the evidence of one mode is e^{exact.log_ratio:.2f} times that of the "
        f"other, and stacking gives {left:.3f} to the mode on the left and {right:.3f} to the "
        "one on the right.",
    ]
