"""How the columns of a table become inputs and targets of a network, and back again.

A `Table` is fitted to the training part of a data set and keeps its means and standard deviations,
levels of categories, and names of classes. It is written as ``table.json`` and applied to any other
table with the same columns.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from manymodes.errors import InputError, ResultsError
from manymodes.networks.likelihood import RATES, REAL, Likelihood
from manymodes.runtime.seeds import check_seed
from manymodes.runtime.shown import Shown
from manymodes.runtime.storage import read_json, write_json
from manymodes.tables.cells import could_be_names, has_text, is_verbatim, labels, numbers
from manymodes.tables.columns import Column, Scaling, Target, counts, exposures, refuse
from manymodes.tables.frames import UNNAMED, UNREAD, Frame, Reading, as_frame
from manymodes.tables.missing import refuse_missing
from manymodes.types import FloatArray
from manymodes.wording import as_argument, quoted, shown

AnyTable: TypeAlias = Frame | pd.DataFrame | Path | str

TABLE = "table.json"
_OF_CLASSES = ("bernoulli", "categorical")


@dataclass(frozen=True, repr=False)
class Table(Shown):
    """How a table becomes the inputs and targets of a network.

    Parameters
    ----------
    columns : tuple of Column
        The columns that become inputs, in their order.
    target : Target
        The column with the target; the first of several.
    ignored : tuple of str
        Columns left out on purpose.
    reading : Reading
        How the texts of tables are read.
    more_targets : tuple of Target
        The columns with further real targets.
    exposure : str or None
        The column with the exposure of counts.
    trials : str or None
        The column with the trials of binomial counts.
    source : str
        The name of the file that the table was read from; empty if there was none.

    Examples
    --------
    >>> frame = pd.DataFrame({"age": [20, 40, 60], "drug": ["a", "b", "a"], "well": [0, 1, 1]})
    >>> table = mm.Table.fit(frame, "well", "bernoulli", categorical=["drug"])
    >>> table.input_names
    ('age', 'drug=a', 'drug=b')
    >>> table.inputs(frame).round(2)
    array([[-1.22,  1.  ,  0.  ],
           [ 0.  ,  0.  ,  1.  ],
           [ 1.22,  1.  ,  0.  ]])
    """

    columns: tuple[Column, ...]
    target: Target
    ignored: tuple[str, ...] = ()
    reading: Reading = field(default_factory=Reading)
    more_targets: tuple[Target, ...] = ()
    exposure: str | None = None
    trials: str | None = None
    source: str = field(default="", compare=False)

    def _headline(self) -> str:
        targets = ", ".join(one.name for one in self.all_targets)
        return (
            f"Table: target {targets} ({self.target.likelihood}), {len(self.input_names)} inputs: "
            f"{shown(self.input_names, 10)}"
        )

    @classmethod
    def fit(
        cls,
        table: AnyTable,
        target: str | Sequence[str],
        likelihood: str,
        *,
        categorical: Sequence[str] = (),
        ignore: Sequence[str] = (),
        positive: str | None = None,
        standardise: bool = True,
        decimal: str = ".",
        keep_na: bool = False,
        exposure: str | None = None,
        trials: str | None = None,
    ) -> Table:
        """Decide from the training part of a table how columns are used.

        Parameters
        ----------
        table : Frame, DataFrame or path
            The training part.
        target : str or sequence of str
            The column with the target, or the columns with several real targets. All other
            columns become inputs, except ignored ones and those of exposures and trials.
        likelihood : str
            The kind of target, as `Network` takes it: one of two classes (``bernoulli``), one of
            several (``categorical``), a real number (``normal``, ``heteroscedastic``,
            ``student:NU``) or a count (``poisson``, ``negative-binomial``, ``binomial``).
        categorical : sequence of str
            Columns that hold categories: a 0/1 input for each level.
        ignore : sequence of str
            Columns to leave out.
        positive : str, optional
            The class that is 1 under ``bernoulli``; the last in sorted order by default.
        standardise : bool
            Standardise numeric inputs, and real targets. True and false, and the levels of
            categories, stay 0 and 1. Counts, exposures and trials stay as they are.
        decimal : {".", ","}
            The decimal mark of numbers that are written as text.
        keep_na : bool
            In CSV, take ``NA``, ``None`` and the like as names in categories and classes.
        exposure : str, optional
            The column with the exposure of Poisson and negative binomial counts.
        trials : str, optional
            The column with the trials of binomial counts, which need it.

        Returns
        -------
        Table
            Reads this table, and others with the same columns.

        Raises
        ------
        InputError
            A column or a value is not allowed; the message names it.

        Warns
        -----
        TableWarning
            Levels look alike, or whole numbers are too large for all of their digits to count.

        Examples
        --------
        >>> frame = pd.DataFrame({"age": [20, 40, 60], "weight": [50.0, 70.0, 60.0]})
        >>> table = mm.Table.fit(frame, "weight", "normal")
        >>> table.targets(frame).round(2)  # standardised
        array([-1.22,  1.22,  0.  ])
        """
        reading = Reading(decimal, keep_na)
        frame = replace(as_frame(table), reading=reading)
        targets = (target,) if isinstance(target, str) else tuple(target)
        _check_kinds(likelihood, targets, exposure, trials)
        over = {"--exposure": exposure, "--trials": trials}
        counted = {option: name for option, name in over.items() if name is not None}
        inputs = _input_names(frame, targets, categorical, ignore, counted)
        if len(frame) < 2:
            raise InputError(f"{frame.name}: the table has one row: there is nothing to learn")
        named = _named(targets, likelihood, categorical)
        refuse_missing(frame, (*inputs, *targets, *counted.values()), named, fitting=True)
        _refuse_text(frame, [name for name in inputs if name not in categorical])
        columns = tuple(
            Column.fit(frame, name, category=name in categorical, standardise=standardise)
            for name in inputs
        )
        first, *more = (
            Target.fit(frame, name, likelihood, positive, standardise=standardise)
            for name in targets
        )
        source = "" if frame.name == UNREAD else Path(frame.name).name
        fitted = cls(columns, first, tuple(ignore), reading, tuple(more), exposure, trials, source)
        fitted.counted_over(frame)
        if trials is not None:
            fitted.targets(frame)
        names = fitted.input_names
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise InputError(f"{frame.name}: two inputs are named {quoted(twice)}: rename a column")
        return fitted

    @property
    def all_targets(self) -> tuple[Target, ...]:
        """All targets, in the order in which they were named."""
        return (self.target, *self.more_targets)

    @property
    def input_names(self) -> tuple[str, ...]:
        """The names of the M inputs."""
        return tuple(chain.from_iterable(column.inputs for column in self.columns))

    def inputs(self, table: AnyTable) -> FloatArray:
        """Return the inputs of a table, shape (N, M); the order of its columns is free.

        Parameters
        ----------
        table : Frame, DataFrame or path
            A table with the columns of the training part.

        Returns
        -------
        ndarray, shape (N, M)
            Inputs as the network takes them.

        Raises
        ------
        InputError
            A column is missing, or a value is missing, not a number, or a level that the training
            part did not have.

        Examples
        --------
        >>> frame = pd.DataFrame({"age": [20, 40, 60], "well": [0, 1, 1]})
        >>> table = mm.Table.fit(frame, "well", "bernoulli")
        >>> table.inputs(pd.DataFrame({"age": [40, 80]})).round(2)
        array([[0.  ],
               [2.45]])
        """
        frame = self._read(table)
        names = [column.name for column in self.columns]
        absent = [name for name in names if name not in frame.columns]
        if absent:
            raise InputError(
                f"{frame.name}: no column {', '.join(map(quoted, absent))}; the network was "
                f"trained on it. The columns are {shown(frame.columns)}"
            )
        levels = {c.name: c.levels for c in self.columns if c.kind == "category"}
        refuse_missing(frame, names, levels)
        return np.hstack([column.encode(frame) for column in self.columns])

    def targets(self, table: AnyTable) -> FloatArray:
        """Return the targets of a table: class numbers, counts, or standardised values.

        Parameters
        ----------
        table : Frame, DataFrame or path
            A table with the target's column.

        Returns
        -------
        ndarray, shape (N,), or (N, T) of several targets
            Targets as the network takes them.

        Raises
        ------
        InputError
            A column or a value is missing, or a value is not a number, not a class of the
            training part, not a count, or more than the trials of its row.

        Examples
        --------
        >>> frame = pd.DataFrame({"age": [20, 40, 60], "well": ["no", "yes", "yes"]})
        >>> table = mm.Table.fit(frame, "well", "bernoulli", positive="yes")
        >>> table.targets(frame)
        array([0., 1., 1.])
        """
        frame = self._read(table)
        names = [target.name for target in self.all_targets]
        for name in names:
            frame.column(name)
        classes = self.target.classes
        refuse_missing(frame, names, {self.target.name: classes} if classes else {})
        values = [target.encode(frame) for target in self.all_targets]
        if self.trials is not None:
            tries = self.counted_over(frame)["trials"]
            more = values[0] > tries
            if more.any():
                why = f"there were only {tries[more][0]:g} trials ({quoted(self.trials)})"
                refuse(frame, names[0], values[0], more, why)
        return values[0] if len(values) == 1 else np.stack(values, axis=1)

    def counted_over(self, table: AnyTable) -> dict[str, FloatArray]:
        """Return exposures or trials of the rows of a table, by the name that `Network` has.

        Parameters
        ----------
        table : Frame, DataFrame or path
            A table with the columns of the training part. It may lack that of exposures.

        Returns
        -------
        dict of str to ndarray, shape (N,)
            ``exposure`` or ``trials``. Empty if counts have no exposure, or the table has no
            column of exposures: then each is 1.

        Raises
        ------
        InputError
            The column of trials or a value is missing, or a value is not allowed.

        Examples
        --------
        >>> frame = pd.DataFrame({"age": [20, 40, 60], "falls": [0, 1, 3], "years": [1, 2, 2]})
        >>> table = mm.Table.fit(frame, "falls", "poisson", exposure="years")
        >>> table.counted_over(frame)
        {'exposure': array([1., 2., 2.])}
        """
        frame = self._read(table)
        if self.exposure is not None and self.exposure in frame.columns:
            refuse_missing(frame, (self.exposure,))
            return {"exposure": exposures(frame, self.exposure)}
        if self.trials is None:
            return {}
        if self.trials not in frame.columns:
            raise InputError(frame.without(self.trials, "the trials of each row"))
        refuse_missing(frame, (self.trials,))
        return {"trials": counts(frame, self.trials, "a number of trials", least=1)}

    def has_target(self, table: AnyTable) -> bool:
        """Whether a table has the columns of all targets, each with at least one value in it.

        Parameters
        ----------
        table : Frame, DataFrame or path
            Any table.

        Returns
        -------
        bool
            False where a column is missing or empty.

        Examples
        --------
        >>> frame = pd.DataFrame({"age": [20, 40, 60], "well": [0, 1, 1]})
        >>> table = mm.Table.fit(frame, "well", "bernoulli")
        >>> table.has_target(frame), table.has_target(frame[["age"]])
        (True, False)
        """
        frame = self._read(table)
        for target in self.all_targets:
            name, known = target.name, target.classes
            if name not in frame.columns:
                return False
            if frame.missing(name, category=bool(known), known=known).all():
                return False
        return True

    def _read(self, table: AnyTable) -> Frame:
        return replace(as_frame(table), reading=self.reading)

    def extra(self, table: AnyTable) -> tuple[str, ...]:
        """Return the columns of a table that are neither used nor ignored on purpose.

        Parameters
        ----------
        table : Frame, DataFrame or path
            Any table.

        Returns
        -------
        tuple of str
            Their names, in the table's order.

        Examples
        --------
        >>> frame = pd.DataFrame({"age": [20, 40, 60], "well": [0, 1, 1]})
        >>> table = mm.Table.fit(frame, "well", "bernoulli")
        >>> table.extra(frame.assign(name=["x", "y", "z"]))
        ('name',)
        """
        over = [name for name in (self.exposure, self.trials) if name is not None]
        known = {*self.ignored, *over, *(column.name for column in self.columns)}
        known |= {target.name for target in self.all_targets}
        return tuple(name for name in as_frame(table).columns if name not in known)

    def as_dict(self) -> dict[str, Any]:
        """Return the table as a dict that JSON can hold.

        Returns
        -------
        dict
            What `from_dict` takes.

        Examples
        --------
        >>> frame = pd.DataFrame({"age": [20, 40, 60], "well": [0, 1, 1]})
        >>> sorted(mm.Table.fit(frame, "well", "bernoulli").as_dict())
        ['columns', 'exposure', 'ignored', 'more_targets', 'reading', 'source', 'target', 'trials']
        """
        return {
            "columns": [{**asdict(c), "levels": list(c.levels)} for c in self.columns],
            "target": _target_dict(self.target),
            "more_targets": [_target_dict(target) for target in self.more_targets],
            "exposure": self.exposure,
            "trials": self.trials,
            "ignored": list(self.ignored),
            "reading": asdict(self.reading),
            "source": self.source,
        }

    @classmethod
    def from_dict(cls, kept: Mapping[str, Any]) -> Table:
        """Make a table from the result of `as_dict`, of this version or one before.

        Parameters
        ----------
        kept : mapping
            What `as_dict` returned.

        Returns
        -------
        Table
            It reads tables as the one before did.

        Examples
        --------
        >>> frame = pd.DataFrame({"age": [20, 40, 60], "well": [0, 1, 1]})
        >>> table = mm.Table.fit(frame, "well", "bernoulli")
        >>> mm.Table.from_dict(table.as_dict()) == table
        True
        """
        return cls(
            tuple(
                Column(
                    c["name"],
                    c["kind"],
                    Scaling(**c["scaling"]),
                    tuple(c["levels"]),
                    c.get("verbatim", False),
                )
                for c in kept["columns"]
            ),
            _target_of(kept["target"]),
            tuple(kept["ignored"]),
            Reading(**kept.get("reading", {})),
            tuple(map(_target_of, kept.get("more_targets", ()))),
            kept.get("exposure"),
            kept.get("trials"),
            kept.get("source", ""),
        )

    def save(self, folder: Path) -> None:
        """Write ``table.json`` into a folder.

        Parameters
        ----------
        folder : Path
            Where; it has to exist.

        Examples
        --------
        >>> from pathlib import Path
        >>> frame = pd.DataFrame({"age": [20, 40, 60], "well": [0, 1, 1]})
        >>> mm.Table.fit(frame, "well", "bernoulli").save(Path())
        >>> Path("table.json").exists()
        True
        """
        write_json(folder / TABLE, self.as_dict())

    @classmethod
    def load(cls, folder: Path | str) -> Table:
        """Read ``table.json`` from a folder.

        Parameters
        ----------
        folder : Path
            What `save` wrote into.

        Returns
        -------
        Table
            It reads tables as the saved one did.

        Raises
        ------
        ResultsError
            It is missing or damaged.

        Examples
        --------
        >>> from pathlib import Path
        >>> frame = pd.DataFrame({"age": [20, 40, 60], "well": [0, 1, 1]})
        >>> mm.Table.fit(frame, "well", "bernoulli").save(Path())
        >>> mm.Table.load(Path()).input_names
        ('age',)
        """
        folder = Path(folder)
        kept = read_json(folder / TABLE)
        try:
            table = cls.from_dict(kept)
            _check_kept(table)
            return table
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            raise ResultsError(
                f"{folder / TABLE} is damaged, or of an earlier version ({error!r}): make it again"
            ) from error


def _target_dict(target: Target) -> dict[str, Any]:
    return {**asdict(target), "classes": list(target.classes)}


def _target_of(kept: Mapping[str, Any]) -> Target:
    """Make a target from its dict; in 0.1.0 names were of values only."""
    return Target(
        kept["name"],
        kept["likelihood"],
        tuple(kept["classes"]),
        Scaling(**kept["scaling"]),
        kept.get("verbatim", False),
    )


def _check_kept(table: Table) -> None:
    """Raise `ValueError` if a file describes an impossible table."""
    columns, targets = table.columns, table.all_targets
    over = [name for name in (table.exposure, table.trials) if name is not None]
    names = [*(target.name for target in targets), *over, *table.ignored, *table.input_names]
    classes = [name for target in targets for name in target.classes]
    if not all(isinstance(name, str) for name in (*names, *classes, table.source)):
        raise ValueError("a name is not a text")
    for one in (*(target.scaling for target in targets), *(column.scaling for column in columns)):
        numbers = all(isinstance(v, int | float) and math.isfinite(v) for v in (one.mean, one.sd))
        if not numbers or one.sd <= 0:
            raise ValueError("a mean or a standard deviation is impossible")
    for column in columns:
        if column.kind not in {"number", "boolean", "category"} or (
            (column.kind == "category") != bool(column.levels)
        ):
            raise ValueError(f"the column '{column.name}' cannot be of kind '{column.kind}'")
    likelihood = table.target.likelihood
    allowed = {"bernoulli": (2,), "categorical": range(2, 10**6)}.get(likelihood, (0,))
    same = all(target.likelihood == likelihood for target in targets)
    if not columns or not same or any(len(one.classes) not in allowed for one in targets):
        raise ValueError("there are no columns, or not the classes of the likelihood")
    try:
        _check_kinds(likelihood, [one.name for one in targets], table.exposure, table.trials)
    except InputError as error:
        raise ValueError(str(error)) from error


def _check_kinds(
    likelihood: str, targets: Sequence[str], exposure: str | None, trials: str | None
) -> None:
    """Check that a likelihood is known, and takes these targets, an exposure or trials."""
    parts = Likelihood.parse(likelihood)
    if not targets:
        raise InputError("--target: name at least one column")
    twice = next((name for name in targets if list(targets).count(name) > 1), None)
    if twice is not None:
        raise InputError(f"--target: {quoted(twice)} is named twice")
    if len(targets) > 1 and not parts.is_real:
        raise InputError(
            f"--target: the {parts.kind} likelihood has one target, not {len(targets)}; "
            f"{', '.join(REAL)} take several"
        )
    if exposure is not None and not parts.has_exposure:
        raise InputError(
            f"--exposure is for the likelihoods {' and '.join(RATES)}, not for {parts.kind}"
        )
    if trials is not None and parts.kind != "binomial":
        raise InputError(f"--trials is for the binomial likelihood, not for {parts.kind}")
    if trials is None and parts.kind == "binomial":
        raise InputError("--trials: the binomial likelihood needs the column of trials")


def split(
    table: AnyTable, target: str | Sequence[str], likelihood: str, share: float, seed: int
) -> tuple[Frame, Frame]:
    """Split a table by rows into a training part and a held-out part.

    Parameters
    ----------
    table : Frame, DataFrame or path
        The table.
    target, likelihood : str
        As in `Table.fit`. Classes are held out in proportion, each keeping at least one row.
    share : float
        The share of the rows to hold out, between 0 and 1.
    seed : int
        Seed of the choice of rows.

    Returns
    -------
    tuple of Frame
        Training and held-out part, each with its rows in their order.

    Raises
    ------
    InputError
        The share leaves one of the parts empty.
    """
    frame = as_frame(table)
    if not 0 < share < 1:
        raise InputError(f"--holdout: {share:g} is not between 0 and 1 (a share of the rows)")
    strata = np.zeros(len(frame), dtype=np.intp)
    if likelihood in _OF_CLASSES:
        target = target if isinstance(target, str) else target[0]
        frame.column(target)
        refuse_missing(frame, (target,), {target: ()}, fitting=True)
        names = labels(frame, target, verbatim=is_verbatim(frame, target))
        strata = pd.factorize(pd.Series(names))[0].astype(np.intp)
    sizes = np.bincount(strata)
    wanted = np.minimum(share * sizes, sizes - 1)
    counts = np.floor(wanted).astype(int)
    short = max(0, round(wanted.sum()) - int(counts.sum()))
    counts[np.argsort(counts - wanted, kind="stable")[:short]] += 1
    if counts.sum() == 0:
        raise InputError(f"--holdout: {share:g} of {len(frame)} rows is none: hold out more")
    rng = np.random.default_rng(np.random.SeedSequence(check_seed(seed)))
    held = np.zeros(len(frame), dtype=bool)
    for stratum, count in enumerate(counts):
        held[rng.permutation(np.flatnonzero(strata == stratum))[:count]] = True
    return frame.take(np.flatnonzero(~held)), frame.take(np.flatnonzero(held))


# ---------------------------------------------------------------------------- checks


def _named(
    targets: Sequence[str], likelihood: str, categorical: Sequence[str]
) -> dict[str, tuple[str, ...]]:
    """Return the columns that hold names; none of their names is known yet."""
    return dict.fromkeys((*categorical, *(targets if likelihood in _OF_CLASSES else ())), ())


def _input_names(
    frame: Frame,
    targets: Sequence[str],
    categorical: Sequence[str],
    ignore: Sequence[str],
    counted: Mapping[str, str],
) -> tuple[str, ...]:
    """Return the columns that become inputs."""
    taken = dict.fromkeys(targets, "the target" if len(targets) == 1 else "a target")
    for option, names in (
        ("--target", targets),
        *((option, (name,)) for option, name in counted.items()),
        ("--categorical", categorical),
        ("--ignore", ignore),
    ):
        for name in names:
            if name not in frame.columns:
                raise InputError(frame.without(name, option))
            if option != "--target" and name in taken:
                raise InputError(f"{option}: {quoted(name)} is {taken[name]}")
    for option, name in counted.items():
        for other, names in (("--categorical", categorical), ("--ignore", ignore)):
            if name in names:
                raise InputError(f"{option}: {quoted(name)} is also in {other}")
    both = sorted(set(categorical) & set(ignore))
    if both:
        raise InputError(f"--categorical: {quoted(both[0])} is left out by --ignore")
    used = {*targets, *ignore, *counted.values()}
    inputs = tuple(name for name in frame.columns if name not in used)
    if not inputs:
        what = f"the target {quoted(targets[0])}" if len(targets) == 1 else "the targets"
        raise InputError(f"{frame.name}: no column besides {what}")
    for name in inputs:
        if name.startswith(UNNAMED) and name.removeprefix(UNNAMED).isdigit():
            raise InputError(
                f"{frame.name}: column {int(name.removeprefix(UNNAMED)) + 1} has no name, as row "
                f"numbers that pandas wrote: leave it out with --ignore {as_argument(name)}, or "
                "give it a name"
            )
    return inputs


def _refuse_text(frame: Frame, names: Sequence[str]) -> None:
    """Raise `InputError`, which names them all, if columns of numbers hold text."""
    texts = [name for name in names if has_text(frame, name)]
    if texts:
        first, *others = map(as_argument, texts)
        more = f" (as do {', '.join(others)})" if others else ""
        category = (
            f"name it in --categorical {first}, or " if could_be_names(frame, texts[0]) else ""
        )
        numbers(frame, texts[0], f": {category}leave it out with --ignore {first}{more}")


@dataclass(frozen=True, eq=False)
class Parts:
    """A prepared table: how its columns are used, and its training and held-out parts."""

    table: Table
    train: Frame
    held_out: Frame | None = None


def prepare(
    source: AnyTable,
    target: str | Sequence[str],
    likelihood: str,
    *,
    holdout: float | None = None,
    seed: int = 1,
    **choices: Any,
) -> Parts:
    """Split a table if asked for, and fit its training part.

    Parameters
    ----------
    source, target, likelihood
        As in `Table.fit`.
    holdout : float, optional
        The share of the rows to hold out.
    seed : int
        Decides which.
    **choices
        The other arguments of `Table.fit`.

    Raises
    ------
    InputError
        As `Table.fit` and `split`; the held-out part has a level that the training part lacks.
    """
    frame = as_frame(source)
    fitted = Table.fit(frame, target, likelihood, **choices)
    frame = replace(frame, reading=fitted.reading)
    if holdout is None:
        return Parts(fitted, frame)
    train, held_out = split(frame, target, likelihood, holdout, seed)
    fitted = Table.fit(train, target, likelihood, **choices)
    try:
        fitted.inputs(held_out)
        fitted.targets(held_out)
        fitted.counted_over(held_out)
    except InputError as error:
        raise InputError(f"{error} (among the rows held out; another --seed splits it)") from None
    return Parts(fitted, train, held_out)
