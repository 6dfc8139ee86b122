"""The results of nested sampling runs: the evidence with its errors, and weighted draws."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from scipy import special

from manymodes.density.labels import anesthetic_samples, renamed_flat, renamed_text
from manymodes.density.log_likelihood import Missing
from manymodes.density.posterior import Posterior
from manymodes.errors import NamesWarning
from manymodes.runtime.shown import Shown, estimate_text
from manymodes.sampling.base_measures import BaseMeasure
from manymodes.sampling.integral import Integral, PriorIntegral
from manymodes.statistics import nested_volumes
from manymodes.statistics.diagnostics import insertion_p
from manymodes.statistics.scatter import error_of_mean
from manymodes.types import FloatArray, IntArray

if TYPE_CHECKING:
    from anesthetic import NestedSamples

_VOLUME_DRAWS = 400
_AT_ONCE = 40
_PRIOR_DRAWS = 1000
_LOG_LIK_DRAWS = 1000
_EDGE = 1e-3
_NAN = float("nan")


@dataclass(frozen=True)
class NestedRun:
    """The dead points of one PolyChord run, in the order of their likelihood.

    Points that lie on the contour of their birth itself are left out (`inside_own_contour`).

    Attributes
    ----------
    cube : array of shape (n, C)
        Cube coordinates.
    logl, birth : arrays of shape (n,)
        Log likelihood against the base measure and that of the contour it was born on (nats).
    evaluations, failures : int
        Evaluations of the density; failures are exceptions and NaN, counted as density zero.
    prior_trials, prior_inside : int
        Draws of the base measure at the beginning, and those of them with a density above zero.
    seconds : float
        Wall time.
    resumed : int
        How often it was interrupted and went on from a checkpoint.
    """

    cube: FloatArray
    logl: FloatArray
    birth: FloatArray
    evaluations: int
    failures: int
    prior_trials: int
    prior_inside: int
    seconds: float
    resumed: int = 0


@dataclass(frozen=True, repr=False)
class Nested(Integral, Shown):
    """One or more independent nested sampling runs of one posterior, merged.

    Attributes
    ----------
    posterior : Posterior
        The posterior that was integrated.
    base : BaseMeasure
        The base measure of the integral.
    nlive : int
        Live points of each run.
    runs : tuple of NestedRun
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
    >>> # nested: two runs of the noisy-XOR posterior, nine parameters
    >>> len(nested.runs), nested.eta.shape[1], round(float(nested.weights.sum()), 6)
    (2, 9, 1.0)
    >>> -72 < nested.log_z < -62, 0 < nested.log_z_sd < 1  # nats
    (True, True)
    """

    posterior: Posterior
    base: BaseMeasure
    nlive: int
    runs: tuple[NestedRun, ...]
    failures: dict[int, str] = field(default_factory=dict)
    prior_integral: PriorIntegral | None = None
    unit_vector_surplus: float = 0.0
    unfinished: tuple[int, int] | None = None

    def _headline(self) -> str:
        return (
            f"Nested runs of '{self.posterior.name}': {len(self.runs)} of {self.nlive} live "
            f"points, log_z = {estimate_text(self.log_z, self.log_z_sd)} nats"
        )

    @cached_property
    def _order(self) -> IntArray:
        return np.argsort(np.concatenate([run.logl for run in self.runs]), kind="stable")

    @cached_property
    def logl(self) -> FloatArray:
        """Log likelihood against the base measure of the merged points, ascending, (n,)."""
        return np.concatenate([run.logl for run in self.runs])[self._order]

    @cached_property
    def birth(self) -> FloatArray:
        """Birth contours of the merged points, shape (n,)."""
        return np.concatenate([run.birth for run in self.runs])[self._order]

    @cached_property
    def run_of(self) -> IntArray:
        """The run that each merged point comes from, shape (n,)."""
        return np.repeat(np.arange(len(self.runs)), [len(r.logl) for r in self.runs])[self._order]

    @cached_property
    def cube(self) -> FloatArray:
        """The merged points in the cube, shape (n, C)."""
        return np.concatenate([run.cube for run in self.runs])[self._order]

    @cached_property
    def eta(self) -> FloatArray:
        """The merged points in the unconstrained space, shape (n, D)."""
        return self.base.quantile(self.cube)

    @cached_property
    def rows(self) -> FloatArray:
        """The merged points as constrained rows, shape (n, P)."""
        return self.posterior.constrain_rows(self.eta)

    @cached_property
    def weights(self) -> FloatArray:
        """Posterior weights of the merged points, shape (n,), summing to one."""
        return np.asarray(
            special.softmax(nested_volumes.expected_log_weights(self.logl, self.birth))
        )

    # ------------------------------------------------------------ evidence

    @cached_property
    def log_prior_inside(self) -> tuple[float, float]:
        """Log share of the base measure where the density is above zero (nats), and its error.

        PolyChord throws initial points of density zero away without counting them, so that
        it integrates over the base measure restricted to the rest.
        """
        trials = sum(run.prior_trials for run in self.runs)
        inside = sum(run.prior_inside for run in self.runs)
        share = inside / trials
        return float(np.log(share)), float(np.sqrt((1 - share) / inside))

    @cached_property
    def log_z_restricted(self) -> float:
        """Log evidence (nats) relative to the base measure where the density is above zero."""
        return (
            _NAN if self.is_endless else float(nested_volumes.settled(np.mean(self._by_volumes[0])))
        )

    @property
    def log_shift(self) -> float:
        """The difference of `log_z` from `log_z_restricted`, also for any region (nats).

        The log share of the base measure that is inside, less what Stan's transform of unit
        vectors adds to the integral. NaN where there is no finite integral.
        """
        return _NAN if self.is_endless else self.log_prior_inside[0] - self.unit_vector_surplus

    @property
    def log_z(self) -> float:
        """Log evidence: log of the density's integral over the constrained space (nats).

        NaN where the density is known to have no finite integral.
        """
        return self.log_z_restricted + self.log_shift

    @cached_property
    def _by_volumes(self) -> tuple[FloatArray, FloatArray]:
        """Log evidence and divergence from the base measure (nats) for each random volume."""
        rng = np.random.default_rng(0)
        log_z, d_kl = [], []
        for _ in range(_VOLUME_DRAWS // _AT_ONCE):
            log_w = nested_volumes.random_log_weights(self.logl, self.birth, rng, _AT_ONCE)
            log_z.append(special.logsumexp(log_w, axis=0))
            d_kl.append(self.logl @ np.exp(log_w - log_z[-1]) - log_z[-1])
        return np.concatenate(log_z), np.concatenate(d_kl)

    @cached_property
    def log_z_volume_sd(self) -> float:
        """Error of ``log_z`` (nats) from sampled volumes, and from the rejection share."""
        if self.is_endless:
            return _NAN
        return float(
            nested_volumes.settled(
                np.hypot(self._by_volumes[0].std(ddof=1), self.log_prior_inside[1])
            )
        )

    @cached_property
    def log_z_sd(self) -> float:
        """Error of ``log_z`` (nats), from random volumes and from the scatter of runs.

        Volumes alone assume that every point is a fair draw within its contour. If slices are too
        short for this, or if runs lose modes, independent runs scatter more than volumes say. How
        much more is estimated by ``statistics.scatter``. Such runs are also low: what is unbiased
        is their mean evidence, not its logarithm, so that half of the excess variance of one run
        (nats), which the logarithm lacks on average, is part of the error.
        """
        if self.is_endless:
            return _NAN
        sd = error_of_mean(self.log_z_volume_sd, self.log_z_by_run)
        return float(np.hypot(sd, self.log_z_shortfall))

    @cached_property
    def log_z_shortfall(self) -> float:
        """By how much runs that scatter more than volumes allow make ``log_z`` too low (nats).

        Half of the variance of the log evidence of single runs beyond that of their volumes, which
        is the difference of log(mean Z) and mean(log Z) if Z is log-normal; 0 for one run.
        """
        n = len(self.runs)
        if n == 1 or self.is_endless:
            return 0.0
        excess = self.log_z_by_run.var(ddof=1) - n * self.log_z_volume_sd**2
        return float(max(0.0, excess) / 2)

    @cached_property
    def log_z_by_run(self) -> FloatArray:
        """The log evidence of each run on its own, shape (R,), in nats."""
        estimates = [special.logsumexp(log_w) for log_w in self._log_weights_by_run]
        return nested_volumes.settled(estimates) + self.log_shift

    @cached_property
    def log_z_between_sd(self) -> float:
        """Error of the merged ``log_z`` from the scatter between runs (nats); NaN for one run."""
        n = len(self.runs)
        if n == 1:
            return _NAN
        return float(nested_volumes.settled(self.log_z_by_run.std(ddof=1) / np.sqrt(n)))

    # ------------------------------------------------------------ what was learned, and how well

    @property
    def d_kl_base(self) -> tuple[float, float]:
        """Divergence of the posterior from the base measure (nats), and its error.

        A run has to compress by this much: its length is proportional to it, and so is the square
        of the error of ``log_z``.
        """
        d_kl = self._by_volumes[1] - self.log_prior_inside[0]
        own_sd = float(nested_volumes.settled(d_kl.std(ddof=1)))
        sd = error_of_mean(own_sd, self.d_kl_base_by_run)
        return float(nested_volumes.settled(d_kl.mean())), float(nested_volumes.settled(sd))

    @cached_property
    def _log_weights_by_run(self) -> list[FloatArray]:
        """Log(likelihood x shell volume) of the points of each run on its own (nats)."""
        return [nested_volumes.expected_log_weights(run.logl, run.birth) for run in self.runs]

    @cached_property
    def d_kl_base_by_run(self) -> FloatArray:
        """The divergence from the base measure by each run on its own, shape (R,), in nats."""
        found = []
        for run, log_w in zip(self.runs, self._log_weights_by_run, strict=True):
            found.append(float(special.softmax(log_w) @ run.logl) - special.logsumexp(log_w))
        return nested_volumes.settled(found) - self.log_prior_inside[0]

    @cached_property
    def d_kl(self) -> tuple[float, float]:
        """Divergence of the posterior from the prior (nats), and its error.

        Where the base measure is not the prior it needs the data switch ``prior_only``: then the
        mean log likelihood of draws, less the log evidence over the normalised prior. Otherwise,
        and where there is no finite integral, NaN.
        """
        if self.is_endless:
            return _NAN, _NAN
        if self.base.exact:
            return self.d_kl_base
        if self.posterior.prior_only is not False:
            return _NAN, _NAN
        norm = self.prior_integral or PriorIntegral(0.0, 0.0)
        if not self.is_evidence:
            return _NAN, _NAN
        rng = np.random.default_rng(0)
        heights = self._heights(self.eta, self.weights, _PRIOR_DRAWS, rng)
        n = min(_PRIOR_DRAWS, self.effective_samples)
        own_sd = np.hypot(heights.std(ddof=1) / np.sqrt(n), self.log_z_volume_sd)
        each = max(2, _PRIOR_DRAWS // len(self.runs))
        by_run = [
            self._heights(self.base.quantile(run.cube), special.softmax(log_w), each, rng).mean()
            for run, log_w in zip(self.runs, self._log_weights_by_run, strict=True)
        ]
        sd = error_of_mean(float(own_sd), by_run - self.log_z_by_run)
        return float(heights.mean()) - self.log_z + norm.log_z, float(np.hypot(sd, norm.log_z_sd))

    def _heights(
        self, eta: FloatArray, weights: FloatArray, draws: int, rng: np.random.Generator
    ) -> FloatArray:
        """Return log of posterior over prior (nats) at draws of points by their weights."""
        prior = self.posterior.prior
        picks = rng.choice(len(weights), draws, p=weights)
        value = {
            i: self.posterior.log_density(eta[i]) - prior.log_density(eta[i])
            for i in np.unique(picks).tolist()
        }
        return np.array([value[i] for i in picks.tolist()])

    @cached_property
    def effective_samples(self) -> float:
        """The number of equally weighted draws that the points are worth, as anesthetic's ``neff``.

        It is the exponential of the entropy of the weights.
        """
        return float(np.exp(special.entr(self.weights).sum()))

    @cached_property
    def insertion_p_by_run(self) -> FloatArray:
        """The p-value of each run's insertion-index test, shape (R,).

        It is NaN for a run that drew no point above another: its likelihood is flat.
        """
        ranks = [nested_volumes.insertion_ranks(run.logl, run.birth) for run in self.runs]
        return np.array([insertion_p(*one) if one[0].size else _NAN for one in ranks])

    @property
    def insertion_p(self) -> float:
        """Smallest p-value of the runs' insertion-index tests, times their number; NaN for none."""
        tested = self.insertion_p_by_run[np.isfinite(self.insertion_p_by_run)]
        return float(min(1.0, tested.min() * len(tested))) if tested.size else _NAN

    @cached_property
    def on_top(self) -> tuple[int, int]:
        """How many points share the highest likelihood against the base measure, and of how many.

        Several do if runs end on a plateau and draw nothing above it. All do if the likelihood is
        the same at all points of the runs.
        """
        return int((self.logl == self.logl[-1]).sum()), len(self.logl)

    @cached_property
    def _by_component(self) -> tuple[IntArray, IntArray]:
        """The points that hold the posterior, and the most probable component at each."""
        heaviest = np.argsort(-self.weights)
        kept = heaviest[np.cumsum(self.weights[heaviest]) < 1 - 1e-6]
        eta = self.eta[kept]
        return kept, np.argmax(self.base.log_parts(eta), axis=0)

    @cached_property
    def edge_shares(self) -> FloatArray:
        """Posterior mass beyond the outer thousandths of a fitted base measure, shape (D,).

        It is taken coordinate by coordinate, in the component that is most probable at each point.
        If the base measure were the posterior, each share would be 0.002. The prior itself has no
        edge.
        """
        shares = np.zeros(self.base.dims)
        if self.base.exact:
            return shares
        kept, nearest = self._by_component
        for k, component in enumerate(self.base.components):
            members = kept[nearest == k]
            if component.origin != "prior":
                u = component.invert(self.eta[members])
                shares += self.weights[members] @ ((u < _EDGE) | (u > 1 - _EDGE))
        return shares

    @cached_property
    def missed_share(self) -> float:
        """Posterior mass that the chains or peaks behind the base measure seem to have missed.

        It is the mass at points where the prior, a component of small weight, is more probable than
        all components fitted to chains or peaks. It is NaN if nothing was fitted, or if the program
        cannot leave its likelihood out.
        """
        origins = np.array([component.origin for component in self.base.components])
        if self.base.source not in ("chains", "peaks") or "prior" not in origins:
            return _NAN
        kept, nearest = self._by_component
        return float(self.weights[kept[origins[nearest] == "prior"]].sum())

    # ------------------------------------------------------------ effort, draws

    @property
    def evaluations(self) -> int:
        """Density evaluations of all runs."""
        return sum(run.evaluations for run in self.runs)

    @property
    def seconds(self) -> float:
        """Wall time of the longest run."""
        return max(run.seconds for run in self.runs)

    @cached_property
    def missing_log_lik(self) -> Missing:
        """Missing values in the log likelihood of 1000 draws, which are chosen by their weights.

        A network has none, because its generated quantities do not throw.
        """
        if self.posterior.network is not None or not self.posterior.has_log_lik:
            return Missing.of(np.empty((0, 0)))
        rng = np.random.default_rng(0)
        points = self.eta[rng.choice(len(self.weights), _LOG_LIK_DRAWS, p=self.weights)]
        told = self.posterior.log_lik_told(points)
        return Missing.of(told.values, told)

    @cached_property
    def samples(self) -> NestedSamples:
        """The merged run as anesthetic samples, with Stan's names and TeX labels."""
        outside = self.posterior.exported_names
        if said := renamed_text(outside):
            warnings.warn(said, NamesWarning, stacklevel=2)
        flat = self.posterior.model.param_names(include_tp=True)
        names = [renamed_flat(name, outside) for name in flat]
        return anesthetic_samples(self.rows, names, self.logl, self.birth, self.posterior.name)
