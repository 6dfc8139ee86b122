"""The results of tempered runs: the evidence with its errors, and draws of the posterior."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from manymodes.density.posterior import Posterior
from manymodes.runtime.shown import Shown, estimate_text
from manymodes.sampling.base_measures import BaseMeasure
from manymodes.sampling.integral import Integral, PriorIntegral
from manymodes.statistics.ess import relative_ess
from manymodes.statistics.estimate import Estimate
from manymodes.statistics.stepping_stone import (
    SteppingStone,
    pooled_sd,
    share_by_tours,
    stepping_stone,
)
from manymodes.types import FloatArray, IntArray

_FREEDOM = 6.0  # of the runs' own errors, together
_FEWEST_TRIPS = 10  # in the last round, of all runs
_NAN = float("nan")


@dataclass(frozen=True)
class Round:
    """What one round of a run was like.

    Attributes
    ----------
    number, scans, temperatures : int
        Round r has 2^r scans of so many temperatures.
    barrier : float
        The sum of the rejection rates of swaps between neighbours.
    forward, backward : float
        The log ratio of normalising constants by the stepping stone (nats).
    round_trips : int
        How many independent draws of the base measure came to the posterior.
    gradients : int
        Gradients of the density so far.
    seconds : float
        Wall time of the round.
    """

    number: int
    scans: int
    temperatures: int
    barrier: float
    forward: float
    backward: float
    round_trips: int
    gradients: int
    seconds: float


@dataclass(frozen=True)
class TemperedRun:
    """One run of parallel tempering: its last round, and what the rounds before were like.

    Attributes
    ----------
    rounds : tuple of Round
        All rounds.
    betas : array of shape (T,)
        Inverse temperatures of the last round, from 0 to 1.
    energies : array of shape (S, T)
        Log density against the base measure of each state in each scan (nats).
    eta : array of shape (n, D)
        Draws of the posterior in the unconstrained space.
    log_p, log_q : arrays of shape (n,)
        Log density and log base measure at the draws (nats).
    ancestor : int array of shape (n,)
        Which independent draw of the base measure each draw descends from.
    rejection : array of shape (T - 1,)
        Rejection rates of swaps between neighbours.
    acceptance, step, steps : arrays of shape (T,)
        Acceptance rates of moves, their leapfrog step sizes and numbers of steps.
    failures : int
        Evaluations that threw or were no number; the density counts as zero there.
    drawn, drawn_inside : int
        Draws of the base measure, and those with a density above zero.
    beginnings : array of shape (B,)
        Log ratio of normalising constants after the early rounds of each beginning, of which the
        best was gone on with; empty where one was enough.
    """

    rounds: tuple[Round, ...]
    betas: FloatArray
    energies: FloatArray
    eta: FloatArray
    log_p: FloatArray
    log_q: FloatArray
    ancestor: IntArray
    rejection: FloatArray
    acceptance: FloatArray
    step: FloatArray
    steps: FloatArray
    failures: int
    drawn: int
    drawn_inside: int
    beginnings: FloatArray = field(default_factory=lambda: np.empty(0))

    @cached_property
    def stone(self) -> SteppingStone:
        """The log ratio of normalising constants, from the last round."""
        return stepping_stone(self.energies, self.betas)

    @property
    def last(self) -> Round:
        """The last round, which the draws are of."""
        return self.rounds[-1]


@dataclass(frozen=True, repr=False)
class Tempered(Integral, Shown):
    """Independent runs of parallel tempering of one posterior.

    Attributes
    ----------
    posterior : Posterior
        The posterior that was integrated.
    base : BaseMeasure
        The base measure that the runs began from.
    runs : tuple of TemperedRun
        The runs that finished.
    failures : dict
        The message of each run that failed, by number.
    prior_integral : PriorIntegral, optional
        The integral of the program's prior, if it is known.
    unit_vector_surplus : float
        The surplus of Stan's transform of unit vectors in the log integral (nats).
    unfinished : (int, int), optional
        How many runs finished and how many were asked for, if the command was interrupted.

    Examples
    --------
    >>> # tempered: two runs of the noisy-XOR posterior, nine parameters
    >>> len(tempered.runs), tempered.eta.shape[1], bool((tempered.weights > 0).all())
    (2, 9, True)
    >>> abs(tempered.log_z + 68) < 5 * tempered.log_z_sd + 0.3  # nats
    True
    """

    posterior: Posterior
    base: BaseMeasure
    runs: tuple[TemperedRun, ...]
    failures: dict[int, str] = field(default_factory=dict)
    prior_integral: PriorIntegral | None = None
    unit_vector_surplus: float = 0.0
    unfinished: tuple[int, int] | None = None

    # ------------------------------------------------------------ draws

    def _headline(self) -> str:
        return (
            f"Tempered runs of '{self.posterior.name}': {len(self.runs)} of "
            f"{self.temperatures} temperatures, {len(self.eta)} draws, "
            f"log_z = {estimate_text(self.log_z, self.log_z_sd)} nats"
        )

    @cached_property
    def eta(self) -> FloatArray:
        """Draws of the posterior in the unconstrained space, run after run, shape (n, D)."""
        return np.concatenate([run.eta for run in self.runs])

    @cached_property
    def rows(self) -> FloatArray:
        """The draws as constrained rows, shape (n, P)."""
        return self.posterior.constrain_rows(self.eta)

    @cached_property
    def weights(self) -> FloatArray:
        """Posterior weights of the draws, shape (n,), all the same."""
        return np.full(len(self.eta), 1 / len(self.eta))

    @cached_property
    def run_of(self) -> IntArray:
        """The run that each draw comes from, shape (n,)."""
        return np.repeat(np.arange(len(self.runs)), [len(run.eta) for run in self.runs])

    @cached_property
    def log_p(self) -> FloatArray:
        """Log density of the draws, shape (n,), in nats."""
        return np.concatenate([run.log_p for run in self.runs])

    @cached_property
    def log_q(self) -> FloatArray:
        """Log base measure at the draws, shape (n,), in nats."""
        return np.concatenate([run.log_q for run in self.runs])

    @cached_property
    def tour(self) -> IntArray:
        """The tour of each draw, shape (n,): draws of one descend from one draw of the base."""
        most = max(run.drawn for run in self.runs) + 2
        ancestors = np.concatenate([run.ancestor for run in self.runs])
        return np.asarray(self.run_of * most + ancestors)

    @cached_property
    def tours(self) -> int:
        """How many independent draws of the base measure the draws descend from."""
        return len(np.unique(self.tour))

    @cached_property
    def effective_samples(self) -> float:
        """The number of independent draws that the draws are worth.

        The smallest effective sample size of the log density and of the log base measure, over
        all runs, with the scatter between runs.
        """
        n = min(len(run.eta) for run in self.runs)
        if n < 4:
            return float(len(self.runs))
        half = n // 2
        series = []
        for name in ("log_p", "log_q"):
            values = [getattr(run, name)[-2 * half :] for run in self.runs]
            series.append(np.array(values).reshape(2 * len(values), half))
        return float(min(1.0, relative_ess(np.array(series)).min()) * len(self.eta))

    # ------------------------------------------------------------ evidence

    @cached_property
    def log_z_by_run(self) -> FloatArray:
        """The log evidence of each run on its own, shape (R,), in nats."""
        if self.is_endless:
            return np.full(len(self.runs), _NAN)
        return np.array([run.stone.log_ratio for run in self.runs]) - self.unit_vector_surplus

    @cached_property
    def log_z(self) -> float:
        """Log evidence: log of the density's integral over the constrained space (nats).

        The mean over runs. NaN where the density is known to have no finite integral.
        """
        return float(self.log_z_by_run.mean())

    @cached_property
    def forward(self) -> float:
        """Log evidence by the stepping stone upwards, too small in expectation (nats)."""
        return self._mean_of("forward")

    @cached_property
    def backward(self) -> float:
        """Log evidence by the stepping stone downwards, too large in expectation (nats)."""
        return self._mean_of("backward")

    def _mean_of(self, name: str) -> float:
        if self.is_endless:
            return _NAN
        values = [getattr(run.stone, name) for run in self.runs]
        return float(np.mean(values)) - self.unit_vector_surplus

    @cached_property
    def log_z_own_sd(self) -> FloatArray:
        """The error that each run states of its own log evidence, shape (R,), in nats."""
        return np.array([run.stone.sd for run in self.runs])

    @cached_property
    def log_z_sd(self) -> float:
        """Error of ``log_z`` (nats).

        From the autocorrelation within runs and the scatter between them, which estimate the same
        variance unless runs scatter more than they state; then the scatter alone counts. It is
        never less than half of the difference of the two directions of the stepping stone, between
        which the figure lies.
        """
        if self.is_endless:
            return _NAN
        pooled = pooled_sd(self.log_z_own_sd, self.log_z_by_run, _FREEDOM)
        return float(np.fmax(pooled, abs(self.backward - self.forward) / 2))

    @cached_property
    def round_trips(self) -> int:
        """How many independent draws of the base measure came to the posterior, in last rounds."""
        return sum(run.last.round_trips for run in self.runs)

    @property
    def mixes(self) -> bool:
        """Whether enough draws of the base measure came to the posterior to trust the errors.

        Each run must have seen some come, since a run that has not may have missed a mode that
        the others missed too.
        """
        each = min(run.last.round_trips for run in self.runs)
        return each > 0 and self.round_trips >= _FEWEST_TRIPS

    @property
    def barrier(self) -> float:
        """The barrier between base measure and posterior: the mean over the runs."""
        return float(np.mean([run.last.barrier for run in self.runs]))

    @property
    def temperatures(self) -> int:
        """The most temperatures that a run had."""
        return max(run.last.temperatures for run in self.runs)

    @cached_property
    def d_kl(self) -> tuple[float, float]:
        """Divergence of the posterior from the prior (nats), and its error.

        The mean log likelihood of the draws less the log evidence. Over a base measure that is
        not the prior it needs the data switch ``prior_only``; NaN without.
        """
        if self.is_endless or not self.is_evidence:
            return _NAN, _NAN
        if not self.base.exact and self.posterior.prior_only is not False:
            return _NAN, _NAN
        log_q = self.log_q
        if not self.base.exact:
            prior = self.posterior.prior
            log_q = np.array([prior.log_density(point) for point in self.eta])
        heights = self.log_p - log_q
        norm = self.prior_integral or PriorIntegral(0.0, 0.0)
        by_run = np.array([heights[self.run_of == run].mean() for run in range(len(self.runs))])
        own = np.full(len(by_run), heights.std() * np.sqrt(len(by_run) / self.effective_samples))
        excess = by_run - self.log_z_by_run
        sd = pooled_sd(np.hypot(own, self.log_z_own_sd), excess, _FREEDOM)
        return float(excess.mean()) + norm.log_z, float(np.hypot(sd, norm.log_z_sd))

    # ------------------------------------------------------------ modes

    def share(self, member: FloatArray) -> Estimate:
        """Return the posterior share of a set of draws, with its error.

        Parameters
        ----------
        member : array of shape (n,)
            1 where a draw is in the set, 0 where not.

        Returns
        -------
        Estimate
            From the scatter of tours within runs, and of runs.

        Examples
        --------
        >>> # tempered: two runs of the noisy-XOR posterior, nine parameters
        >>> positive = tempered.share((tempered.eta[:, 0] > 0).astype(float))
        >>> 0 < positive.value < 1, positive.sd > 0
        (True, True)
        """
        value, by_tours = share_by_tours(member, self.tour)
        by_run = np.array([member[self.run_of == run].mean() for run in range(len(self.runs))])
        own = np.full(len(by_run), by_tours * np.sqrt(len(by_run)))
        return Estimate(value, pooled_sd(own, by_run, _FREEDOM))

    # ------------------------------------------------------------ cost

    @property
    def gradients(self) -> int:
        """Gradients of the density, over all runs."""
        return sum(run.last.gradients for run in self.runs)

    @property
    def seconds(self) -> float:
        """Wall time of all runs, added up."""
        return float(sum(one.seconds for run in self.runs for one in run.rounds))
