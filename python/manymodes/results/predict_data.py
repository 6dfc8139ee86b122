"""Predictions of any Stan program: its generated quantities for new data, over the draws of a run.

Every draw generates quantities for the new data, and their posterior predictive distribution is
the mixture of the draws (`manymodes.results.mixed_draws`). Quantities that call random number
generators are simulated once for each draw.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from manymodes.density.generated import carried, check_same_parameters, generated
from manymodes.density.posterior import Posterior
from manymodes.density.program import Program
from manymodes.density.stan_data import read_data
from manymodes.density.variables import Variable, element_name
from manymodes.errors import InputError
from manymodes.modes.diagnosis.quick import ChainHealth
from manymodes.results.log_scores import LogScore
from manymodes.results.mixed_draws import (
    MixedDraws,
    check_interval,
    load_draws,
    posterior_folder,
)
from manymodes.results.run_directory import open_posterior
from manymodes.runtime.progress import Progress
from manymodes.runtime.seeds import check_seed
from manymodes.runtime.shown import Rows, Shown, frame_rows
from manymodes.statistics.mixture import described, log_mean_exp
from manymodes.types import FloatArray, IntArray

COLUMNS = ("name", "mean", "sd", "lower", "upper")

_HELD = 50_000_000  # most numbers of draws x quantities in memory
_SILENT_SECONDS = 2.0


@dataclass(frozen=True, eq=False, repr=False)
class DataPredictions(Shown):
    """Predictions of a Stan program for new data.

    Attributes
    ----------
    frame : DataFrame
        One row for each element of each generated quantity except ``log_lik``, in Stan's order:
        its ``name``, such as ``y_new[3]``, ``mean`` and ``sd`` over the draws, and ``lower`` and
        ``upper``, the central interval. A draw that is NaN does not count in its row.
    interval : float
        The share of the distribution inside the interval.
    draws : int
        How many draws were mixed.
    described : str
        The source of the draws and their weighting.
    seed : int
        The seed of the random numbers of generated quantities.
    log_density : array of shape (N,)
        The log predictive density of each observation (nats): the log of the weighted mean of
        ``exp(log_lik)``. NaN where ``log_lik`` is NaN for some draw; empty without ``log_lik``.
    score : LogScore or None
        How well the observations were predicted that have a density; None if there are none.
    threw : int
        Draws that are left out, because the program throws for them with the new data.
    threw_share : float
        The share of the mixture that these draws have.
    message : str
        Stan's message for the first of them; empty if there is none.
    not_finite : dict of str to int
        In how many of the other draws an element is NaN or infinite, by its name.
    health : ChainHealth, optional
        Of chains: whether they agree in what they predict, and how many transitions diverged.

    Examples
    --------
    >>> # run: the directory of a network on 60 rows; its program generates log_lik alone
    >>> found = mm.predict_data("run", "run/posterior/data.json")
    >>> len(found.frame), found.log_density.shape, found.threw
    (0, (60,), 0)
    """

    frame: pd.DataFrame
    interval: float
    draws: int
    described: str
    seed: int
    log_density: FloatArray
    score: LogScore | None = None
    threw: int = 0
    threw_share: float = 0.0
    message: str = ""
    not_finite: dict[str, int] = field(default_factory=dict)
    health: ChainHealth | None = None

    def _headline(self) -> str:
        said = (
            f"DataPredictions of {len(self.frame)} quantities by {self.described}; intervals hold "
            f"{100 * self.interval:g} %"
        )
        if self.score is None:
            return said
        return f"{said}; log density {self.score.mean:.3f} ± {self.score.sd_of_mean:.3f} nats each"

    def _table(self) -> Rows:
        return frame_rows(self.frame)

    def as_dict(self) -> dict[str, Any]:
        """Return the figures, without the predictions themselves.

        Returns
        -------
        dict
            Numbers and texts, ready for JSON.

        Examples
        --------
        >>> # run: the directory of a network on 60 rows
        >>> entry = mm.predict_data("run", "run/posterior/data.json").as_dict()
        >>> entry["observations"], sorted(entry["score"])
        (60, ['log_density_mean', 'log_density_mean_se', 'log_density_sum'])
        """
        return {
            "quantities": len(self.frame),
            "observations": len(self.log_density),
            "interval": self.interval,
            "draws": self.draws,
            "weights": self.described,
            "seed": self.seed,
            "draws_that_threw": self.threw,
            "share_that_threw": self.threw_share,
            "message": self.message,
            "draws_not_finite": self.not_finite,
            "chains": None if self.health is None else self.health.as_dict(),
            "score": None if self.score is None else self.score.as_dict(),
            "log_density": self.log_density.tolist(),
        }


def predict_data(
    run: Path | str,
    data: Path | str | Mapping[str, Any],
    *,
    program: Path | str | None = None,
    interval: float = 0.9,
    engine: str | None = None,
    weights: str | None = None,
    thin: int = 1,
    seed: int = 1,
    quiet: bool = False,
) -> DataPredictions:
    """Predict by the generated quantities of a run's Stan program, for new data.

    Parameters
    ----------
    run : path
        The run directory, made by ``manymodes sample`` or ``evidence``.
    data : path or mapping
        All data of the program: a JSON file, or the items by name. The parameters must have the
        same names and shapes with them as in the run.
    program : path, optional
        Another Stan program with the same parameters, which says what is generated; by default
        that of the run. The draws need not be made anew.
    interval : float
        The share of the distribution inside the intervals.
    engine : {"chains", "nested", "tempered"}, optional
        The engine with the draws; by default what the run's comparison recommends or, without one,
        the first of chains, tempered and nested runs that there is.
    weights : {"stacking", "chain-stacking", "uniform", "evidence"}, optional
        How draws are weighted; by default as the comparison recommends, or chains by stacking.
        Stacking weighs functions, whose chains share the weight; ``chain-stacking`` weighs each
        chain on its own. ``evidence`` takes the draws of tempered or else of nested runs.
    thin : int
        Use every ``thin``-th draw of a chain.
    seed : int
        Decides the random numbers of generated quantities.
    quiet : bool
        Show no progress.

    Returns
    -------
    DataPredictions
        The generated quantities, and the score if the program has a ``log_lik``.

    Raises
    ------
    InputError
        An argument is not allowed, the data do not fit the program, the parameters are others
        than those of the run, nothing is generated, or the program throws for every draw.
    CompileError
        The other program does not compile.
    ResultsError
        There is no finished run in the directory, or it has no draws.

    Examples
    --------
    >>> # run: the directory of a network on 60 rows, whose log_lik scores other targets too
    >>> from manymodes.density.stan_data import read_data
    >>> from pathlib import Path
    >>> data = read_data(Path("run/posterior/data.json"))
    >>> flipped = {**data, "y_int": [1 - y for y in data["y_int"]]}
    >>> right, wrong = (mm.predict_data("run", one).score for one in (data, flipped))
    >>> right.mean > wrong.mean
    True
    """
    check_interval(interval)
    check_seed(seed)
    fitted = open_posterior(posterior_folder(Path(run)))
    new = _new_posterior(fitted, data, program).compile(quiet=quiet)
    _check_parameters(fitted, new)  # before draws are loaded
    mixed = load_draws(fitted, Path(run), engine, weights, thin)
    return predict_quantities(fitted, new, mixed, interval=interval, seed=seed, quiet=quiet)


def _new_posterior(
    fitted: Posterior, data: Path | str | Mapping[str, Any], program: Path | str | None
) -> Posterior:
    """Return the program with the new data, its ``log_lik`` switched on."""
    if isinstance(data, Mapping):
        path, items = None, dict(data)
    else:
        path = Path(data)
        items = read_data(path)
    chosen = fitted.program
    if program is not None:
        chosen = Program(Path(program), fitted.program.kernel)
    return Posterior(chosen, items, fitted.name, data_file=path).with_log_lik


def _check_parameters(fitted: Posterior, new: Posterior) -> None:
    """Raise `InputError` if the parameters of draws are not those of the new posterior."""
    changed = new.program.stan_file != fitted.program.stan_file
    what = new.program.called if changed else str(new.data_file or "the new data")
    check_same_parameters(fitted.model.param_names(), new.model.param_names(), what)


@dataclass(frozen=True, eq=False)
class _Quantities:
    """What a program generates, and its columns in a flat row.

    Attributes
    ----------
    names : list of str
        Elements of generated quantities, without those of ``log_lik``.
    columns : int array of shape (Q,)
        Their columns.
    log_lik : Variable or None
        The place of ``log_lik``, if it has elements.
    """

    names: list[str]
    columns: IntArray
    log_lik: Variable | None

    @property
    def observations(self) -> int:
        """The number of entries of ``log_lik``."""
        return 0 if self.log_lik is None else self.log_lik.size

    @classmethod
    def of(cls, posterior: Posterior) -> _Quantities:
        """Find the generated quantities of a program with its data.

        Raises
        ------
        InputError
            There are none.
        """
        flat = posterior.model.param_names(include_tp=True, include_gq=True)
        first = posterior.model.param_num(include_tp=True)
        log_lik = posterior.log_lik_variable if posterior.has_log_lik else None
        scored = range(0) if log_lik is None else range(log_lik.start, log_lik.start + log_lik.size)
        columns = [i for i in range(first, len(flat)) if i not in scored]
        if log_lik is None and not columns:
            raise InputError(
                f"the program {posterior.program.name} has no generated quantities to predict "
                "with: add some, such as y_new or log_lik, to its block 'generated quantities' and "
                "give the changed program (--program FILE.stan); the draws need not be made anew "
                "as long as the parameters are the same"
            )
        return cls([element_name(flat[i]) for i in columns], np.array(columns, int), log_lik)


def predict_quantities(
    fitted: Posterior,
    new: Posterior,
    mixed: MixedDraws,
    *,
    interval: float = 0.9,
    seed: int = 1,
    quiet: bool = False,
) -> DataPredictions:
    """Mix the quantities that a program generates for weighted draws.

    If there are too many draws of quantities to hold, they are generated several times, with the
    same random numbers.

    Parameters
    ----------
    fitted : Posterior
        The posterior of the draws.
    new : Posterior
        What generates: a program with the same parameters, and its data.
    mixed : MixedDraws
        The draws.
    interval, seed, quiet
        As in `predict_data`.

    Raises
    ------
    InputError
        The parameters are not the same, nothing is generated, or the program throws for every
        draw.
    """
    _check_parameters(fitted, new)
    quantities = _Quantities.of(new)
    names = fitted.model.param_names()
    counts = mixed.weights > 0
    weights = mixed.weights[counts]
    there = carried(new.model, names, mixed.rows[counts], mixed.eta[counts])
    stream = int(np.random.SeedSequence(seed).generate_state(1)[0])
    at_once = max(1, _HELD // max(1, len(there.eta)))
    starts = range(0, max(1, len(quantities.names)), at_once)
    levels = (0.5 - interval / 2, 0.5 + interval / 2)
    log_density = np.full(quantities.observations, -np.inf)
    kept, message = there.inside.copy(), there.message
    parts, not_finite = [], []
    shown = Progress("predictions", quiet=quiet)
    for start in starts:
        columns = quantities.columns[start : start + at_once]
        values = np.empty((len(there.eta), len(columns)))
        fine = np.empty(len(there.eta), dtype=bool)
        for block in generated(new.model, there.eta, stream):
            values[block.at], fine[block.at] = block.rows[:, columns], ~block.threw
            message = message or block.message
            if start == 0 and quantities.log_lik is not None and not block.threw.all():
                log_lik = quantities.log_lik.take(block.rows[~block.threw])
                own = weights[there.inside][block.at][~block.threw]
                one = log_mean_exp(own, log_lik.reshape(len(own), -1))
                with np.errstate(invalid="ignore"):  # NaN in log_lik is passed on
                    log_density = np.logaddexp(log_density, one)
            if shown.seconds > _SILENT_SECONDS:
                done = start // at_once * len(there.eta) + block.at.stop
                shown.update(f"{done} of {len(starts) * len(there.eta)} draws")
        kept[there.inside] = fine
        if not kept.any():
            raise InputError(
                f"{new.data_file or 'the new data'}: with them the program {new.program.name} "
                f"throws for every draw: {new.program.users_words(message)}"
            )
        own = weights[kept] / weights[kept].sum()
        if not fine.all():
            values = values[fine]
        parts.append(described(own, values, levels))
        not_finite += np.count_nonzero(~np.isfinite(values), axis=0).tolist()
    figures = np.concatenate(parts, axis=1)
    share = float(weights[kept].sum())
    log_density = log_density - np.log(share)
    scored = log_density[~np.isnan(log_density)]
    return DataPredictions(
        pd.DataFrame(dict(zip(COLUMNS, (quantities.names, *figures), strict=True))),
        interval,
        len(weights),
        mixed.described,
        seed,
        log_density,
        LogScore(*LogScore.figures(scored)) if len(scored) else None,
        threw=int(np.count_nonzero(~kept)),
        threw_share=float(weights[~kept].sum()),
        health=mixed.health,
        message=new.program.users_words(message),
        not_finite={name: n for name, n in zip(quantities.names, not_finite, strict=True) if n},
    )
