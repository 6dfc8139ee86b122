"""Laplace's approximation: the evidence of a mode from its curvature, and its error.

At the maximum of the unconstrained density log Z is the log density, plus (D/2) log 2 pi, minus
half the log determinant of the negative Hessian ([1]_). This is exact for a normal, but it has no
error. Importance sampling about the maximum gives one: it is unbiased, it has a standard error, and
Pareto's k ([2]_) says whether the error is reliable. If the mode lies at a bound, the curvature at
its maximum fits it badly. Therefore the proposal is refitted to the weighted draws in rounds
([3]_), and the first rounds serve only to fit it.

References
----------
.. [1] Bishop (2006). Pattern Recognition and Machine Learning, section 5.7.2.
.. [2] Vehtari, Simpson, Gelman, Yao, Gabry (2024). Pareto smoothed importance sampling. Journal of
   Machine Learning Research 25(72).
.. [3] Cappe, Guillin, Marin, Robert (2004). Population Monte Carlo. Journal of Computational and
   Graphical Statistics 13(4).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
from scipy import optimize

from manymodes.errors import DensityError, InputError
from manymodes.modes.checks.basins import Basins, Density, Proposal, Region, basins_of, density_of
from manymodes.modes.checks.result import TRUSTED_K
from manymodes.modes.comparison import Comparison
from manymodes.statistics.estimate import Estimate
from manymodes.statistics.loo import psis_weights
from manymodes.types import FloatArray

__all__ = ["LaplaceEstimate", "laplace", "laplace_by_mode"]

Gradient = Callable[[FloatArray], tuple[float, FloatArray]]
"""Maps a point, shape (D,), to the log density (nats) and its gradient, shape (D,)."""

_MOST_MODES = 60  # that are approximated one by one
DRAWS = 2000
"""Draws of a round of importance sampling."""

_FREEDOM = 5.0
_WIDTHS = (1.0, 1.5)  # of the two Student ts that importance sampling draws from
_FITTING, _KEPT = 2, 4  # rounds that only fit the proposal, and rounds that count
_LEAST = 10  # draws in the basin that a round needs
_DRAWS_A_DIMENSION = 2  # effective draws for each dimension that refitting needs
_STEP = 1e-4  # of differences of gradients, in units of the scale
_NEWTON_STEPS = 30
_HALVINGS = 30
_CLOSE = 1e-8
"""The maximum is found when a Newton step promises less than this (nats), and ..."""
_STILL = 1e-2
"""... is shorter than this, in units of the scale: a slope that levels off is not a maximum."""


@dataclass(frozen=True, eq=False)
class LaplaceEstimate:
    """Laplace's approximation of a mode's evidence.

    Attributes
    ----------
    log_z : float
        Laplace's log evidence (nats); NaN if there is none.
    corrected, corrected_sd : float
        Log evidence by importance sampling about the maximum, and its standard error (nats).
    pareto_k : float
        Pareto's k of the importance ratios: above 0.7 the error is unreliable ([2]_).
    inside : float
        Share of the draws of importance sampling that fall into the mode's basin.
    maximum : array of shape (D,)
        The highest point reached, in the unconstrained space.
    height : float
        The log density there (nats).
    remark : str
        Why there is no estimate, or why it is unreliable; empty otherwise.
    """

    log_z: float = math.nan
    corrected: float = math.nan
    corrected_sd: float = math.nan
    pareto_k: float = math.nan
    inside: float = math.nan
    maximum: FloatArray = field(default_factory=lambda: np.empty(0))
    height: float = math.nan
    remark: str = ""

    @property
    def estimate(self) -> Estimate:
        """The corrected log evidence and its error (nats)."""
        return Estimate(self.corrected, self.corrected_sd)


def laplace(
    log_density: Density,
    gradient: Gradient,
    start: npt.ArrayLike,
    *,
    scale: npt.ArrayLike = 1.0,
    inside: Region | None = None,
    draws: int = DRAWS,
    seed: int | Sequence[int] = 1,
) -> LaplaceEstimate:
    """Approximate the log integral of a density about the maximum next to a point.

    Parameters
    ----------
    log_density : callable
        The log of the density, with all constants and Jacobians (nats); (n, D) to (n,).
    gradient : callable
        The same at one point, with its gradient. A `DensityError` is a density of zero.
    start : array of shape (D,)
        The starting point of the climb.
    scale : float or array of shape (D,)
        The approximate width of the mode in each coordinate, which is the unit of steps.
    inside : callable, optional
        The mode's basin; everywhere by default. Importance sampling counts nothing outside it.
    draws : int
        Draws of each round of importance sampling.
    seed : int or sequence of int
        Seed of the draws.

    Returns
    -------
    LaplaceEstimate
        It has a remark instead of a value if no maximum is reached, if the Hessian there is not
        negative definite, or if the maximum lies in another basin.

    Raises
    ------
    InputError
        ``draws`` is below 2.

    Notes
    -----
    The error of importance sampling is that of the weights, or the scatter of rounds if it is
    larger. The climb is a limited-memory quasi-Newton method, then Newton's method with halved
    steps. The Hessian comes from central differences of gradients.
    """
    if draws < 2:
        raise InputError(f"draws: {draws} is not 2 or more")
    x0 = np.asarray(start, dtype=float)
    unit = np.broadcast_to(np.asarray(scale, dtype=float), x0.shape)

    def ascent(u: FloatArray) -> tuple[float, FloatArray]:
        """Return height and slope in units of the scale, from the start."""
        try:
            value, slope = gradient(x0 + unit * u)
        except DensityError:
            return -math.inf, np.zeros_like(u)
        if not (math.isfinite(value) and np.isfinite(slope).all()):
            return -math.inf, np.zeros_like(u)
        return value, slope * unit

    u, height, minus_hessian, reason = _climbed(ascent, len(x0))
    top = x0 + unit * u
    found = LaplaceEstimate(maximum=top, height=height)
    if reason:
        return replace(found, remark=reason)
    if inside is not None and not inside(top[None])[0]:
        return replace(
            found, remark="the nearest maximum of the density lies in another mode's basin"
        )
    factor = np.linalg.cholesky(np.linalg.inv(minus_hessian)) * unit[:, None]
    half_log_det = float(np.log(np.diag(factor)).sum())
    log_z = height + 0.5 * len(x0) * math.log(2 * math.pi) + half_log_det
    found = replace(found, log_z=log_z)
    return _corrected(found, log_density, factor, inside, draws, np.random.default_rng(seed))


def _corrected(
    found: LaplaceEstimate,
    log_density: Density,
    factor: FloatArray,
    inside: Region | None,
    draws: int,
    rng: np.random.Generator,
) -> LaplaceEstimate:
    """Add the result of importance sampling in rounds, each with a proposal fitted to the last.

    A round's proposal is fixed before its draws, so that each round's mean is unbiased.
    """
    around = [Proposal(found.maximum, width * factor, _FREEDOM) for width in _WIDTHS]
    size = draws // len(around) + 1
    kept: list[FloatArray] = []
    hits: list[float] = []
    for number in range(_FITTING + _KEPT):
        made = np.concatenate([one.draw(size, rng) for one in around])
        hit = np.ones(len(made), dtype=bool) if inside is None else inside(made)
        ratios = np.full(len(made), -np.inf)
        densities = [one.log_density(made[hit]) for one in around]
        ratios[hit] = log_density(made[hit]) - np.logaddexp(*densities) + math.log(len(around))
        if np.isfinite(ratios).sum() < _LEAST:
            nothing = "no draw of importance sampling about the maximum lies in the mode's basin"
            return replace(found, inside=float(hit.mean()), remark=nothing)
        if number >= _FITTING:
            kept.append(ratios)
            hits.append(float(hit.mean()))
        around = _refitted(made, ratios) or around
    top = max(float(ratios.max()) for ratios in kept)
    weights = np.exp(np.array(kept) - top)
    by_round = weights.mean(axis=1)
    mean = float(by_round.mean())
    within = weights.std(axis=1, ddof=1) / math.sqrt(weights.shape[1])
    sd = max(math.sqrt(float((within**2).sum())) / len(kept), float(_mean_sd(by_round)))
    everything = np.concatenate(kept)
    k = float(psis_weights(everything[np.isfinite(everything)][:, None].copy())[1][0])
    return replace(
        found,
        corrected=top + math.log(mean),
        corrected_sd=sd / mean,
        pareto_k=k,
        inside=float(np.mean(hits)),
        remark="" if k <= TRUSTED_K else f"Pareto k {k:.2f}: unreliable",
    )


def _mean_sd(values: FloatArray) -> float:
    return float(values.std(ddof=1) / math.sqrt(len(values)))


def _refitted(made: FloatArray, ratios: FloatArray) -> list[Proposal] | None:
    """Return proposals with the moments of weighted draws; None if there are too few draws."""
    known = np.isfinite(ratios)
    weights = np.exp(psis_weights(ratios[known][:, None].copy())[0][:, 0])
    if 1 / (weights**2).sum() < _DRAWS_A_DIMENSION * (made.shape[1] + 1):
        return None
    centre = weights @ made[known]
    residuals = made[known] - centre
    covariance = residuals.T @ (residuals * weights[:, None])
    try:
        factor = np.linalg.cholesky(covariance * (_FREEDOM - 2) / _FREEDOM)
    except np.linalg.LinAlgError:
        return None
    return [
        Proposal(centre, width * np.asarray(factor, dtype=float), _FREEDOM) for width in _WIDTHS
    ]


def _climbed(ascent: Gradient, dims: int) -> tuple[FloatArray, float, FloatArray, str]:
    """Climb from the origin; return the end, its height, minus the Hessian, and any problem."""

    def descent(u: FloatArray) -> tuple[float, FloatArray]:
        value, slope = ascent(u)
        return (-value, -slope) if math.isfinite(value) else (1e300, slope)

    found = optimize.minimize(
        descent, np.zeros(dims), jac=True, method="L-BFGS-B", options={"maxiter": 1000}
    )
    u = np.asarray(found.x)
    height, slope = ascent(u)
    matrix, promise = np.eye(dims), math.inf
    for _ in range(_NEWTON_STEPS):
        curvature = _minus_hessian(ascent, u)
        if curvature is None:
            return u, height, matrix, "the density is zero next to the highest point reached"
        matrix = curvature
        try:
            np.linalg.cholesky(matrix)
        except np.linalg.LinAlgError:
            lowest = float(np.linalg.eigvalsh(matrix)[0])
            return (
                u,
                height,
                matrix,
                (
                    "the density has no proper maximum here: the smallest eigenvalue of minus its "
                    f"Hessian is {lowest:.2g}"
                ),
            )
        step = np.linalg.solve(matrix, slope)
        promise = 0.5 * float(slope @ step)
        if promise < _CLOSE and np.abs(step).max() < _STILL:
            return u, height, matrix, ""
        for halving in range(_HALVINGS):
            ahead = u + step * 0.5**halving
            value, new_slope = ascent(ahead)
            if value > height:
                break
        else:
            break
        u, height, slope = ahead, value, new_slope
    return (
        u,
        height,
        matrix,
        (
            f"no maximum is reached: the density still rises, {math.sqrt(float(u @ u)):.3g} widths "
            f"from where the climb began; the next step promises {promise:.2g} nats"
        ),
    )


def _minus_hessian(ascent: Gradient, u: FloatArray) -> FloatArray | None:
    """Return minus the Hessian by central differences of gradients; None next to density zero."""
    rows = np.empty((len(u), len(u)))
    for i in range(len(u)):
        ends = []
        for sign in (1, -1):
            beside = u.copy()
            beside[i] += sign * _STEP
            value, slope = ascent(beside)
            if not math.isfinite(value):
                return None
            ends.append(slope)
        rows[i] = (ends[1] - ends[0]) / (2 * _STEP)
    return (rows + rows.T) / 2


def laplace_by_mode(
    comparison: Comparison,
    *,
    basins: Basins | None = None,
    draws: int = DRAWS,
    seed: int = 1,
) -> dict[int, LaplaceEstimate]:
    """Approximate the evidence of each mode; of very many, that of one of each kind of copies.

    Each climb begins at the highest known point of the mode: a draw of either engine, or its peak,
    which is a maximum of posterior over prior and not of the density.

    Parameters
    ----------
    comparison : Comparison
        A comparison with draws of at least one engine.
    basins : Basins, optional
        The basins of the comparison, if they are already known.
    draws : int
        Draws of each round of importance sampling.
    seed : int
        Seed of the draws, which differ between modes.

    Returns
    -------
    dict of int to LaplaceEstimate
        By mode id.
    """
    basins = basins_of(comparison) if basins is None else basins
    posterior = comparison.posterior
    log_density = density_of(posterior)
    found = {}
    for mode in _approximated(comparison):
        known = basins.points[basins.modes == mode]
        start = known[np.argmax(log_density(known))]
        found[mode] = laplace(
            log_density,
            posterior.gradient,
            start,
            scale=basins.scale,
            inside=basins.within(mode),
            draws=draws,
            seed=(seed, mode),
        )
    return found


def _approximated(comparison: Comparison) -> list[int]:
    """Return the ids of the modes that are approximated: copies have the same evidence."""
    labels = comparison.labels
    if len(labels) > _MOST_MODES:
        labels = labels[np.unique(comparison.modes.kinds, return_index=True)[1]]
    return sorted(labels.tolist())
