"""The drift test: chains that start from an engine's draws must stay in distribution.

Chains of NUTS go on from draws of an engine, with one kernel that does not depend on where they
start (`manymodes.sampling.chains.continued`). If the draws are right, nothing drifts, neither the
log density nor a prediction. If the engine has not come down to the posterior yet, or has lost its
best part of it, chains drift towards it.

What the test cannot see: a mode that the engine missed or weighed wrongly. Chains do not move
between modes, so that the weights of modes stay as the engine has them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from manymodes.density.posterior import Posterior
from manymodes.errors import SamplingError
from manymodes.runtime.execution import Execution
from manymodes.sampling.chains.continued import Continued, ContinuedSettings, continue_from
from manymodes.sampling.chains.engine_draws import NESTED, TEMPERED, WeightedDraws, ordered_draws
from manymodes.sampling.nested import Nested
from manymodes.sampling.tempered import Tempered
from manymodes.statistics.drift import mean_change, rank_p, swapped_p
from manymodes.statistics.estimate import Estimate
from manymodes.types import IntArray

UNLIKELY = 0.01
"""A drift has a smaller p-value than this, after Bonferroni's correction for the tests made."""
MUCH_NATS = 0.5
"""A change of the mean log density that matters (nats)."""
MUCH_SD = 0.5
"""A change of the mean predictions that matters, in their posterior standard deviations."""

_FEWEST = 8  # chains, and groups
_FEW_TOURS = 16
_BLOCKS = 8  # of each run
_NAN = float("nan")


@dataclass(frozen=True)
class Drift:
    """What became of chains that started from an engine's draws.

    Attributes
    ----------
    engine : {"tempered", "nested"}
        The engine whose draws they are.
    chains, groups : int
        How many chains went on, and from how many independent groups of draws: the tours of
        tempered runs, or blocks of them where there are fewer than 16; the single draws of nested
        runs.
    draws : int
        States of each chain.
    log_density : float
        Mean log density of the starts (nats).
    change, change_sd : float
        Mean over the chains of the log density in the later half of a chain less that at its
        start, and its error from the sums over groups (nats).
    change_p : float
        The p-value of this change, by Student's distribution.
    rank_p : float
        That of Wilcoxon's rank sum of the log densities of starts and last states.
    predictions : float
        Change of the mean prediction at the data's inputs, in posterior standard deviations of the
        predictions (root mean square over inputs); NaN without a network.
    predictions_p : float
        The p-value of the largest change of a prediction between start and last state.
    divergences : int
        Divergent transitions of all chains.
    remark : str
        Why there is no test, or what it lacks; may be empty.
    """

    engine: str
    chains: int = 0
    groups: int = 0
    draws: int = 0
    log_density: float = _NAN
    change: float = _NAN
    change_sd: float = _NAN
    change_p: float = _NAN
    rank_p: float = _NAN
    predictions: float = _NAN
    predictions_p: float = _NAN
    divergences: int = 0
    remark: str = ""

    @property
    def p(self) -> float:
        """The smallest p-value times their number, at most 1; NaN if there is none."""
        found = [one for one in self._all_p if not math.isnan(one)]
        return min(1.0, min(found) * len(found)) if found else _NAN

    @property
    def _all_p(self) -> tuple[float, float, float]:
        return self.change_p, self.rank_p, self.predictions_p

    @property
    def drifts(self) -> bool | None:
        """Whether the chains drift: chance does not explain the change, and its size matters.

        None if there was no test.
        """
        if math.isnan(self.p):
            return None
        limit = UNLIKELY / sum(not math.isnan(one) for one in self._all_p)
        height = min(self.change_p, self.rank_p) < limit and abs(self.change) > MUCH_NATS
        predicted = self.predictions_p < limit and self.predictions > MUCH_SD
        return height or predicted

    def as_dict(self) -> dict[str, Any]:
        """Return the entry in ``summary.json``; unknown figures are None.

        Returns
        -------
        dict
            Numbers and texts, ready for JSON.

        Examples
        --------
        >>> from manymodes.modes.checks.drift import Drift
        >>> entry = Drift("nested", remark="there are too few draws").as_dict()
        >>> entry["drifts"], entry["change"]
        (None, None)
        """
        plain = {
            name: None if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in asdict(self).items()
        }
        p = None if math.isnan(self.p) else self.p
        return {**plain, "p": p, "drifts": self.drifts}

    @classmethod
    def from_dict(cls, kept: Mapping[str, Any]) -> Drift:
        """Make a drift from the result of `as_dict`, read from JSON.

        Parameters
        ----------
        kept : mapping
            The result of `as_dict`.

        Returns
        -------
        Drift
            An equal one.

        Examples
        --------
        >>> from manymodes.modes.checks.drift import Drift
        >>> drift = Drift("nested", chains=64, change=0.2, change_sd=0.4)
        >>> Drift.from_dict(drift.as_dict()).as_dict() == drift.as_dict()
        True
        """
        named: dict[str, Any] = {
            name: _NAN if kept[name] is None else kept[name]
            for name in cls.__dataclass_fields__
            if name in kept
        }
        return cls(**named)


def draws_of(engine: Nested | Tempered) -> WeightedDraws:
    """Return an engine's draws in the order in which they are spread.

    Parameters
    ----------
    engine : Nested or Tempered
        Finished runs.
    """
    if isinstance(engine, Tempered):
        order = np.argsort(engine.tour, kind="stable")
        group = _groups(engine)[order]
        return ordered_draws(engine.eta[order], engine.weights[order], group)
    order = np.argsort(engine.run_of, kind="stable")  # within a run by likelihood
    return ordered_draws(engine.eta[order], engine.weights[order], np.arange(len(order)))


def _groups(tempered: Tempered) -> IntArray:
    """Return the groups of draws that count as independent, shape (n,).

    They are tours, if there are enough to tell an error from; otherwise tours cut into blocks of
    each run, as for batch means. Blocks of a slow run are not quite independent, so that its drift
    is rather seen than not.
    """
    if tempered.tours >= _FEW_TOURS:
        return tempered.tour
    sizes = [len(run.eta) for run in tempered.runs]
    blocks = np.concatenate([np.arange(n) * _BLOCKS // n for n in sizes])
    return np.asarray(tempered.tour * _BLOCKS + blocks)


def drift_of(
    engine: Nested | Tempered,
    settings: ContinuedSettings | None = None,
    execution: Execution | None = None,
) -> Drift:
    """Test whether chains drift away from an engine's draws.

    Parameters
    ----------
    engine : Nested or Tempered
        Finished runs, whose draws are the starts.
    settings : ContinuedSettings, optional
        How many chains of how many iterations, and the seed.
    execution : Execution, optional
        Where the chains run; in local processes by default.

    Returns
    -------
    Drift
        With a remark where no test could be made.

    Notes
    -----
    Two tests of the log density, one of its mean and one of its ranks, and for a network one of
    the predictions at all inputs of the data together; Bonferroni's correction for all of them.
    """
    name = TEMPERED if isinstance(engine, Tempered) else NESTED
    if engine.is_endless:
        return Drift(name, remark="the density has no finite integral")
    return drift_from(name, engine.posterior, draws_of(engine), settings, execution)


def drift_from(
    engine: str,
    posterior: Posterior,
    draws: WeightedDraws,
    settings: ContinuedSettings | None = None,
    execution: Execution | None = None,
) -> Drift:
    """Test whether chains drift away from given draws; see `drift_of`.

    Parameters
    ----------
    engine : str
        Whose draws they are.
    posterior : Posterior
        Whose density the chains sample.
    draws : WeightedDraws
        Draws in the order in which they are spread.
    settings, execution
        As in `drift_of`.
    """
    given = settings or ContinuedSettings()
    chosen = draws.spread(given.chains + max(given.pilots, 2 * given.chains), given.seed)
    chains = min(given.chains, len(chosen) // 2)
    if chains < _FEWEST:
        return Drift(engine, remark=f"there are only {len(chosen)} different draws")
    starts = chosen[:chains]
    try:
        found, failures = continue_from(
            posterior,
            draws.eta[starts],
            draws.eta[chosen[chains:]],
            given,
            execution or Execution(quiet=True),
        )
    except SamplingError as error:
        return Drift(engine, remark=str(error))
    if len(found) < _FEWEST:
        first = next(iter(failures.values()), "")
        return Drift(engine, remark=f"{len(failures)} of {chains} chains failed: {first}")
    group = draws.group[starts[list(found)]]
    remark = f"{len(failures)} of {chains} chains failed" if failures else ""
    return _tested(engine, list(found.values()), group, given, remark)


def _tested(
    engine: str,
    chains: list[Continued],
    group: IntArray,
    settings: ContinuedSettings,
    remark: str,
) -> Drift:
    start = np.array([one.at_start for one in chains])
    heights = np.array([one.log_density for one in chains])
    later = heights[:, heights.shape[1] // 2 :].mean(axis=1)
    change, change_p = mean_change(later - start, group)
    groups = len(np.unique(group))
    predictions, predictions_p = _NAN, _NAN
    if chains[0].predicted.size:
        predictions, predictions_p = _predictions(chains, group, settings.seed)
    if groups < _FEWEST:
        few = f"the draws are of only {groups} independent group{'s' if groups > 1 else ''}"
        remark = f"{few}; {remark}" if remark else few
    return Drift(
        engine,
        len(chains),
        groups,
        heights.shape[1],
        float(start.mean()),
        change.value,
        change.sd,
        change_p,
        rank_p(start, heights[:, -1], group, settings.seed),
        predictions,
        predictions_p,
        sum(one.divergences for one in chains),
        remark,
    )


def _predictions(chains: list[Continued], group: IntArray, seed: int) -> tuple[float, float]:
    """Return the change of the mean predictions in standard deviations, and its p-value."""
    begun = np.array([one.predicted_at_start.ravel() for one in chains])
    later = np.array([one.predicted.ravel() for one in chains])
    second = np.array([one.second.ravel() for one in chains]).mean(axis=0)
    variance = np.maximum(second - later.mean(axis=0) ** 2, 0.0).mean()
    moved = float(np.sqrt(((later - begun).mean(axis=0) ** 2).mean()))
    size = moved / math.sqrt(variance) if variance > 0 else _NAN
    # A mean over states is not exchangeable with a start, but the last state is.
    ended = np.array([one.predicted_at_end.ravel() for one in chains])
    return size, swapped_p(ended - begun, group, seed)


def change_of(drift: Drift) -> Estimate:
    """Return the change of the mean log density with its error (nats)."""
    return Estimate(drift.change, drift.change_sd)
