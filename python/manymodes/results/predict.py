"""Predictions of a sampled network for the rows of a table, in the user's own units.

Every draw of the weights makes a prediction, and the posterior predictive distribution is their
weighted mixture (`manymodes.results.mixed_draws`). A draw of a network of variable size counts as
one draw for each number of active units, with the probability that it gives to this number.
Intervals and densities are those of the mixture itself; nothing is simulated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from manymodes.density.posterior import Posterior
from manymodes.errors import InputError, ResultsError
from manymodes.modes.active_units import by_size
from manymodes.modes.diagnosis.quick import ChainHealth
from manymodes.networks.network import Network
from manymodes.results.log_scores import LogScore
from manymodes.results.mixed_draws import (
    MixedDraws,
    check_interval,
    load_draws,
    posterior_folder,
)
from manymodes.results.outcome_columns import count_columns, number_columns
from manymodes.results.run_directory import open_posterior
from manymodes.runtime.shown import Rows, Shown, frame_rows
from manymodes.statistics.mixture import log_mean_exp, weighted_quantiles
from manymodes.tables.cells import numbers
from manymodes.tables.frames import Frame, as_frame
from manymodes.tables.table import TABLE, AnyTable, Table
from manymodes.types import FloatArray
from manymodes.wording import quoted, shown

_BLOCK = 1_000_000  # most numbers in one array of draws x rows


@dataclass(frozen=True, eq=False)
class Draws:
    """Weighted draws of a network's effective weights.

    Parameters
    ----------
    weights : array of shape (S,)
        Weight of each draw in the mixture; they add up to one.
    values : dict of arrays of shape (S, ...)
        The effective weights by name, as `Network.predict` takes them.
    described : str
        The source of the draws and their weighting, in words.
    """

    weights: FloatArray
    values: dict[str, FloatArray]
    described: str

    @classmethod
    def of(cls, posterior: Posterior, mixed: MixedDraws) -> Draws:
        """Take the effective weights of a network from draws of its posterior.

        Raises
        ------
        InputError
            The posterior is not that of a network.
        """
        network = posterior.network
        if network is None:
            raise InputError(f"the posterior '{posterior.name}' is not that of a network")
        named = posterior.unpack(mixed.rows)
        values = {name: np.ascontiguousarray(named[name]) for name in network.effective_names}
        return cls(mixed.weights, values, mixed.described)


@dataclass(frozen=True)
class TargetScore(LogScore):
    """How well held-out targets were predicted.

    Attributes
    ----------
    mean, sd_of_mean, sum : float
        Log predictive density of the targets in nats, per unit of a real target in the user's
        units: its mean over rows, the standard error of this mean, and its sum. With several
        targets it is of all together.
    measure : {"accuracy", "rmse"}
        The share of rows with the right most probable class, or the root mean square error of
        the predictive mean in the user's units.
    value : float
        Its value; of several targets, that of the first.
    by_target : tuple of (str, float)
        The root mean square error of each target by its name, if there are several.
    """

    measure: str
    value: float
    by_target: tuple[tuple[str, float], ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return the figures, ready for JSON."""
        found = {**super().as_dict(), self.measure: self.value}
        if self.by_target:
            found[f"{self.measure}_by_target"] = dict(self.by_target)
        return found


@dataclass(frozen=True, eq=False, repr=False)
class Predictions(Shown):
    """Predictions for the rows of a table.

    Attributes
    ----------
    frame : DataFrame
        One row for each row of the table, in its order. For a number or a count ``mean`` (of the
        predictive distribution), ``mean_sd`` (how much draws disagree on it), ``sd`` (of the
        predictive distribution, noise included), ``lower`` and ``upper`` (its central interval,
        noise included). Several targets have such columns each, as in ``NAME.mean``. Counts are
        those of the row's exposure or trials, and of a binomial target ``p`` is the probability of
        a success, with the central interval ``p.lower``, ``p.upper`` over draws. For classes
        ``class`` (the most probable) and, for each class, its probability ``p(NAME)`` with the
        central interval ``p(NAME).lower``, ``p(NAME).upper`` over draws. With targets,
        ``log_density``: the log predictive density of the row's own target (nats). Means, intervals
        and densities are in the user's units.
    interval : float
        The share of the distribution inside the interval.
    draws : int
        How many draws were mixed.
    described : str
        The source of the draws and their weighting.
    extra : tuple of str
        Columns of the table that were not used.
    score : TargetScore or None
        How well the table's targets were predicted, if it has them.
    notes : tuple of str
        What was assumed or left out because the table lacks a column.
    given : DataFrame
        The rows that were predicted: identifiers, inputs and all other columns as they are in the
        table.
    health : ChainHealth, optional
        Of chains: whether they agree in what they predict, and how many transitions diverged.

    Examples
    --------
    >>> # run: the directory of a network that learned "cured" from "dose"
    >>> found = mm.predict_table("run", pd.DataFrame({"dose": [1.0, 5.0, 9.0]}))
    >>> found.frame.shape[0], found.interval, found.score is None
    (3, 0.9, True)
    >>> list(found.frame.columns)
    ['class', 'p(0)', 'p(0).lower', 'p(0).upper', 'p(1)', 'p(1).lower', 'p(1).upper']
    """

    frame: pd.DataFrame
    interval: float
    draws: int
    described: str
    extra: tuple[str, ...] = ()
    score: TargetScore | None = None
    notes: tuple[str, ...] = ()
    given: pd.DataFrame = field(default_factory=pd.DataFrame)
    health: ChainHealth | None = None

    def _headline(self) -> str:
        said = (
            f"Predictions of {len(self.frame)} rows by {self.described}; intervals hold "
            f"{100 * self.interval:g} %"
        )
        if self.score is None:
            return said
        return f"{said}; log density {self.score.mean:.3f} ± {self.score.sd_of_mean:.3f} nats each"

    def _table(self) -> Rows:
        return frame_rows(self.frame)

    @property
    def table(self) -> pd.DataFrame:
        """The rows as given, and their predictions beside them.

        A given column that has the name of a prediction gets ``given.`` before its own.
        """
        taken = {name: f"given.{name}" for name in self.given if name in self.frame}
        given = self.given.rename(columns=taken).reset_index(drop=True)
        return pd.concat([given, self.frame.reset_index(drop=True)], axis=1)

    def as_dict(self) -> dict[str, Any]:
        """Return the figures, without the predictions themselves.

        Returns
        -------
        dict
            Numbers and texts, ready for JSON.

        Examples
        --------
        >>> # run, doses.csv: the directory of a network, and the table that it learned from
        >>> mm.predict_table("run", "doses.csv").as_dict()["rows"]
        60
        """
        return {
            "rows": len(self.frame),
            "interval": self.interval,
            "draws": self.draws,
            "weights": self.described,
            "unused_columns": list(self.extra),
            "notes": list(self.notes),
            "chains": None if self.health is None else self.health.as_dict(),
            "score": None if self.score is None else self.score.as_dict(),
        }


def predict_table(
    run: Path | str,
    table: AnyTable,
    *,
    decimal: str | None = None,
    interval: float = 0.9,
    engine: str | None = None,
    weights: str | None = None,
    thin: int = 1,
    on_rows: Callable[[int, int], None] | None = None,
) -> Predictions:
    """Predict the rows of a table by a network that was sampled.

    Parameters
    ----------
    run : path
        The run directory, made by ``manymodes sample`` or ``evidence`` from the folder that
        ``manymodes network`` wrote.
    table : path, DataFrame or Frame
        CSV, Parquet or a pandas table with the columns that the network was trained on; with
        the target as well, predictions are scored. The column of trials is needed; without that
        of exposures, every exposure is 1.
    decimal : {".", ","}, optional
        The decimal mark of numbers that are written as text; by default that of the table that
        the network was trained on.
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
    on_rows : callable, optional
        Called with the number of finished rows and of all.

    Returns
    -------
    Predictions
        The predictions of every row, in order.

    Raises
    ------
    InputError
        An argument is not allowed, the run was not made from a table, or the table does not
        have what the network needs.
    ResultsError
        There is no finished run in the directory, or it has no draws.

    Examples
    --------
    >>> # run: the directory of a network that learned "cured" from "dose"
    >>> found = mm.predict_table("run", pd.DataFrame({"dose": [1.0, 5.0, 9.0]}))
    >>> found.frame["class"].tolist()
    ['0', '1', '0']
    """
    folder = posterior_folder(Path(run))
    if not (folder / TABLE).is_file():
        raise ResultsError(
            f"{run} was not made from a table (no {TABLE}): make a folder with "
            "manymodes network, and sample that; or give new data of the program as a .json file"
        )
    check_interval(interval)
    fitted = Table.load(folder)
    if decimal is not None:
        fitted = replace(fitted, reading=replace(fitted.reading, decimal=decimal))
    posterior = open_posterior(folder)
    if posterior.network is None:
        raise ResultsError(f"{folder} is damaged (no network): make the run again")
    _check_table(fitted, posterior.network, folder / TABLE)
    frame = as_frame(table)
    X = fitted.inputs(frame)
    y = fitted.targets(frame) if fitted.has_target(frame) else None
    mixed = load_draws(posterior, Path(run), engine, weights, thin)
    draws = Draws.of(posterior, mixed)
    made = predict(
        posterior.network,
        draws,
        fitted,
        X,
        y,
        interval=interval,
        on_rows=on_rows,
        counted_over=fitted.counted_over(frame),
    )
    return replace(
        made,
        extra=fitted.extra(frame),
        notes=_notes(fitted, frame, y is not None),
        given=_given(fitted, frame),
        health=mixed.health,
    )


def _given(table: Table, frame: Frame) -> pd.DataFrame:
    """Return the rows as given, with numbers in the columns that the network takes as numbers."""
    data = frame.data.copy()
    for column in table.columns:
        if column.kind == "number":
            data[column.name] = numbers(frame, column.name)
    return data


def _notes(table: Table, frame: Frame, scored: bool) -> tuple[str, ...]:
    """Return sentences on columns that a table lacks."""
    notes = []
    if table.exposure is not None and table.exposure not in frame.columns:
        notes.append(
            f"{frame.name} has no column {quoted(table.exposure)}: every exposure is taken as 1"
        )
    if not scored and table.more_targets:
        names = [target.name for target in table.all_targets]
        there = [name for name in names if name in frame.columns]
        if there:
            notes.append(
                f"{frame.name} has not all of the targets {shown(names)}: "
                "the predictions have no score"
            )
    return tuple(notes)


def _check_table(table: Table, network: Network, path: Path) -> None:
    """Raise `ResultsError` if a table cannot be what a network was given."""
    kind, target = network.likelihood_parts.kind, table.target
    classes = {"bernoulli": 2, "categorical": network.outputs}.get(kind, 0)
    targets = network.outputs if network.likelihood_parts.is_real else 1
    same = target.likelihood == network.likelihood and len(target.classes) == classes
    same = same and len(table.all_targets) == targets
    if len(table.input_names) != network.inputs or not same:
        raise ResultsError(
            f"{path} is not of the network of the run's posterior: restore it, or make the run "
            "again"
        )


def predict(
    network: Network,
    draws: Draws,
    table: Table,
    X: FloatArray,
    y: FloatArray | None = None,
    *,
    interval: float = 0.9,
    on_rows: Callable[[int, int], None] | None = None,
    counted_over: Mapping[str, FloatArray] | None = None,
) -> Predictions:
    """Mix the predictions of weighted draws.

    Parameters
    ----------
    network : Network
        The network.
    draws : Draws
        Draws of its weights.
    table : Table
        The table that made its inputs and targets; it has the names of classes and the user's
        units.
    X : array of shape (N, M)
        Inputs, as `Table.inputs` makes them.
    y : array of shape (N,) or (N, T), optional
        Targets, as `Table.targets` makes them.
    interval, on_rows
        As in `predict_table`.
    counted_over : mapping of str to array of shape (N,), optional
        Exposures or trials, as `Table.counted_over` makes them.

    Raises
    ------
    InputError
        An argument is not allowed or does not fit.
    """
    check_interval(interval)
    n_draws = len(draws.weights)
    if network.active is not None:
        network, weights, values = by_size(network, draws.weights, draws.values)
        draws = Draws(weights, values, draws.described)
    levels = (0.5 - interval / 2, 0.5 + interval / 2)
    over = counted_over or {}
    parts = []
    for rows in _blocks(len(X), len(draws.weights) * network.units_out):
        some = {name: values[rows] for name, values in over.items()}
        part = _columns(network, draws, table, X[rows], some, levels)
        if y is not None:
            log_density = log_mean_exp(
                draws.weights, network.log_lik(draws.values, X[rows], y[rows], **some)
            )
            for target in table.all_targets:
                log_density = target.scaling.density(log_density)
            part["log_density"] = log_density
        parts.append(pd.DataFrame(part))
        if on_rows is not None:
            on_rows(min(rows.stop, len(X)), len(X))
    frame = pd.concat(parts, ignore_index=True)
    score = None if y is None else _score(frame, table, y)
    return Predictions(frame, interval, n_draws, draws.described, (), score)


def _columns(
    network: Network,
    draws: Draws,
    table: Table,
    X: FloatArray,
    counted_over: Mapping[str, FloatArray],
    levels: tuple[float, float],
) -> dict[str, Any]:
    """Return the columns of predictions, without the density of targets."""
    weights, values = draws.weights, draws.values
    if network.likelihood_parts.is_real:
        columns = number_columns(network, weights, values, table.all_targets, X, levels)
        return dict(columns)
    if network.likelihood_parts.is_count:
        return count_columns(network, weights, values, X, counted_over, levels)
    return _classes(network, draws, table, X, levels)


def _classes(
    network: Network, draws: Draws, table: Table, X: FloatArray, levels: tuple[float, float]
) -> dict[str, Any]:
    """Return the columns for classes."""
    p = network.predict(draws.values, X)
    by_class = [1 - p, p] if network.likelihood == "bernoulli" else list(np.moveaxis(p, -1, 0))
    mixed = np.stack([draws.weights @ one for one in by_class])
    names = np.array(table.target.classes, dtype=object)
    columns: dict[str, Any] = {"class": names[mixed.argmax(axis=0)]}
    for name, mean, one in zip(names, mixed, by_class, strict=True):
        columns[f"p({name})"] = mean
        columns[f"p({name}).lower"], columns[f"p({name}).upper"] = weighted_quantiles(
            draws.weights, one, levels
        )
    return columns


def _score(frame: pd.DataFrame, table: Table, y: FloatArray) -> TargetScore:
    figures = LogScore.figures(frame["log_density"].to_numpy())
    if table.target.classes:
        classes = np.array(table.target.classes, dtype=object)
        right = frame["class"].to_numpy(dtype=object) == classes[y.astype(int)]
        return TargetScore(*figures, "accuracy", float(right.mean()))
    errors = tuple(_errors(frame, table, y))
    return TargetScore(*figures, "rmse", errors[0][1], errors if len(errors) > 1 else ())


def _errors(frame: pd.DataFrame, table: Table, y: FloatArray) -> Iterator[tuple[str, float]]:
    """Yield the name of each target and the root mean square error of its mean."""
    targets = table.all_targets
    for target, values in zip(targets, y.reshape(len(y), -1).T, strict=True):
        column = "mean" if len(targets) == 1 else f"{target.name}.mean"
        wrong = frame[column].to_numpy() - target.scaling.invert(values)
        yield target.name, float(np.sqrt(np.mean(wrong**2)))


def _blocks(rows: int, numbers: int) -> Iterator[slice]:
    """Yield slices of the rows, each with at most a million numbers, or of one row."""
    step = max(1, _BLOCK // max(1, numbers))
    for start in range(0, rows, step):
        yield slice(start, start + step)
