"""How one column of a table is used: as an input, or as the target."""

from __future__ import annotations

import math
import shlex
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from manymodes.errors import InputError, TableWarning
from manymodes.networks.likelihood import Likelihood
from manymodes.tables.cells import (
    all_numbers,
    could_be_names,
    indicators,
    is_boolean,
    is_verbatim,
    label,
    labels,
    levels_of,
    listed,
    look_alikes,
    numbers,
    truths,
)
from manymodes.tables.frames import Frame
from manymodes.types import BoolArray, FloatArray
from manymodes.wording import escaped, quoted

_MANY_CLASSES = 20
_HINT_TARGET = "; for classes use --likelihood bernoulli (two) or categorical"
_HINT_COUNT = "; for numbers that are not counts use --likelihood normal"
_LARGEST_COUNT = 2**31 - 1


@dataclass(frozen=True)
class Scaling:
    """The shift and scale that give a column mean 0 and standard deviation 1.

    Parameters
    ----------
    mean, sd : float
        Mean and standard deviation of the training part, in the user's units; 0 and 1 leave a
        column as it is.
    """

    mean: float = 0.0
    sd: float = 1.0

    @classmethod
    def of(cls, values: FloatArray) -> Scaling:
        """Return the scaling of values that are not all the same."""
        return cls(float(values.mean()), float(values.std()))

    def apply(self, values: FloatArray) -> FloatArray:
        """Return values in the user's units as standardised ones."""
        return (values - self.mean) / self.sd

    def invert(self, values: FloatArray) -> FloatArray:
        """Return standardised values in the user's units."""
        return values * self.sd + self.mean

    def density(self, log_density: FloatArray) -> FloatArray:
        """Return log densities of standardised values per unit of the user's (nats)."""
        return log_density - math.log(self.sd)


@dataclass(frozen=True)
class Column:
    """How one column becomes one or more inputs.

    Parameters
    ----------
    name : str
        The column.
    kind : {"number", "boolean", "category"}
        Numbers are scaled; true and false are 1 and 0; a category is a 0/1 input for each level.
    scaling : Scaling
        The scaling of a number.
    levels : tuple of str
        The levels of a category.
    verbatim : bool
        Whether the levels are texts, to the letter; the names of numbers are not.
    """

    name: str
    kind: str = "number"
    scaling: Scaling = Scaling()
    levels: tuple[str, ...] = ()
    verbatim: bool = False

    @property
    def inputs(self) -> tuple[str, ...]:
        """The names of the inputs: ``COLUMN``, or ``COLUMN=LEVEL`` for each level."""
        return tuple(f"{self.name}={level}" for level in self.levels) or (self.name,)

    @classmethod
    def fit(cls, frame: Frame, name: str, *, category: bool, standardise: bool) -> Column:
        """Decide from the training part how a column is used."""
        if category:
            verbatim = is_verbatim(frame, name)
            levels = levels_of(labels(frame, name, verbatim=verbatim))
            fitted = cls(name, "category", levels=levels, verbatim=verbatim)
            constant = escaped(levels[0]) if len(levels) == 1 else None
            _warn_of_look_alikes(f"{frame.name}: column {quoted(name)}", levels)
        else:
            boolean = is_boolean(frame, name)
            values = truths(frame, name) if boolean else numbers(frame, name)
            fitted = cls(name, "boolean" if boolean else "number")
            constant = f"{values[0]:g}" if (values == values[0]).all() else None
            if standardise and not boolean and constant is None:
                fitted = cls(name, scaling=_scaling(frame, name, values))
        if constant is not None and standardise:
            raise InputError(
                f"{frame.name}: column {quoted(name)} is constant ({constant}) and cannot be "
                f"standardised: leave it out with --ignore {shlex.quote(name)}"
            )
        return fitted

    def encode(self, frame: Frame) -> FloatArray:
        """Return the inputs, shape (N, len(inputs))."""
        if self.kind == "category":
            return indicators(frame, self.name, self.levels, "level", verbatim=self.verbatim)
        if self.kind == "boolean":
            return truths(frame, self.name)[:, None]
        return self.scaling.apply(numbers(frame, self.name))[:, None]


@dataclass(frozen=True)
class Target:
    """The meaning of the target column.

    Parameters
    ----------
    name : str
        The column.
    likelihood : str
        The distribution of the target, as `Network` takes it.
    classes : tuple of str
        The names of the classes 0, 1, ...; two for bernoulli, none for numbers and counts.
    scaling : Scaling
        The scaling of a real number. Counts have none.
    verbatim : bool
        Whether the classes are texts, to the letter; the names of numbers, and of true and false,
        are not.
    """

    name: str
    likelihood: str
    classes: tuple[str, ...] = ()
    scaling: Scaling = Scaling()
    verbatim: bool = False

    @classmethod
    def fit(
        cls, frame: Frame, name: str, likelihood: str, positive: str | None, *, standardise: bool
    ) -> Target:
        """Decide from the training part what the target means."""
        parts = Likelihood.parse(likelihood)
        if positive is not None and likelihood != "bernoulli":
            raise InputError(f"--positive is for the bernoulli likelihood, not for {likelihood}")
        if parts.is_real or parts.is_count:
            if is_boolean(frame, name):
                raise InputError(
                    f"{frame.name}: the target {quoted(name)} is true or false: "
                    "use --likelihood bernoulli"
                )
            values = numbers(frame, name, _HINT_TARGET if could_be_names(frame, name) else "")
            if parts.is_count:
                counts(frame, name, f"a {parts.kind} target", hint=_HINT_COUNT)
                return cls(name, likelihood)
            if (values == values[0]).all():
                raise InputError(f"{frame.name}: the target {quoted(name)} is always {values[0]:g}")
            scaling = _scaling(frame, name, values) if standardise else Scaling()
            return cls(name, likelihood, (), scaling)
        verbatim = is_verbatim(frame, name)
        classes = levels_of(labels(frame, name, verbatim=verbatim))
        _check_classes(frame, name, likelihood, classes)
        _warn_of_look_alikes(f"{frame.name}: the target {quoted(name)}", classes)
        if positive is not None:
            chosen = _chosen(positive, classes)
            if chosen is None:
                raise InputError(
                    f"--positive: {quoted(positive)} is not a class of {quoted(name)}: "
                    f"{' or '.join(map(escaped, classes))}"
                )
            classes = tuple(sorted(classes, key=lambda one: one == chosen))
        return cls(name, likelihood, classes, verbatim=verbatim)

    def encode(self, frame: Frame) -> FloatArray:
        """Return the targets, shape (N,): class numbers, counts, or standardised values."""
        parts = Likelihood.parse(self.likelihood)
        if parts.is_real:
            return self.scaling.apply(numbers(frame, self.name))
        if parts.is_count:
            return counts(frame, self.name, f"a {parts.kind} target")
        chosen = indicators(frame, self.name, self.classes, "class", verbatim=self.verbatim)
        return np.asarray(np.argmax(chosen, axis=1).astype(float))


def counts(frame: Frame, name: str, what: str, *, least: int = 0, hint: str = "") -> FloatArray:
    """Return a column as whole numbers, shape (N,).

    Parameters
    ----------
    frame, name : Frame, str
        The table and the column.
    what : str
        What the column holds, for the message.
    least : int
        The smallest number that is allowed.
    hint : str
        Another remedy for a number that is not whole.

    Raises
    ------
    InputError
        A value is not a number, not whole, too small, or above 2147483647.
    """
    values = numbers(frame, name)
    fraction = values != np.floor(values)
    refuse(frame, name, values, fraction, f"{what} must be a whole number{hint}")
    refuse(frame, name, values, values < least, f"{what} must be {least} or more")
    refuse(frame, name, values, values > _LARGEST_COUNT, f"{what} must be at most {_LARGEST_COUNT}")
    return values


def exposures(frame: Frame, name: str) -> FloatArray:
    """Return a column of exposures, shape (N,).

    Raises
    ------
    InputError
        A value is not a positive number.
    """
    values = numbers(frame, name)
    refuse(frame, name, values, values <= 0, "an exposure must be above 0")
    return values


def refuse(frame: Frame, name: str, values: FloatArray, wrong: BoolArray, why: str) -> None:
    """Raise `InputError` if a value is wrong, with the first one and the places of all."""
    if wrong.any():
        first = values[int(np.argmax(wrong))]
        raise InputError(
            f"{frame.name}: column {quoted(name)} has {first:g} in {frame.where(wrong)}: {why}"
        )


def _chosen(positive: str, classes: Sequence[str]) -> str | None:
    """Return the class of a name, or the only class of that value."""
    if positive.strip() in classes:
        return positive.strip()
    equal = [one for one in classes if label(one) == label(positive)]
    return equal[0] if len(equal) == 1 else None


def _warn_of_look_alikes(where: str, levels: Sequence[str]) -> None:
    if alike := look_alikes(levels):
        warnings.warn(
            f"{where} has levels that look alike: {alike}; if they mean the same, write them alike",
            TableWarning,
            stacklevel=3,
        )


def _check_classes(frame: Frame, name: str, likelihood: str, classes: tuple[str, ...]) -> None:
    """Refuse classes that do not fit the likelihood."""
    n = len(classes)
    where = f"{frame.name}: the target {quoted(name)}"
    if n == 1:
        raise InputError(f"{where} is always {quoted(classes[0])}: there is nothing to learn")
    if likelihood == "bernoulli" and n > 2:
        better = "normal" if all_numbers(classes) and n > _MANY_CLASSES else "categorical"
        alike = look_alikes(classes)
        raise InputError(
            f"{where} has {n} different values ({listed(classes, 4)}), and a bernoulli target "
            f"must have two: use --likelihood {better}"
            + (f", or write values that mean the same alike ({alike})" if alike else "")
        )
    if n > _MANY_CLASSES and all_numbers(classes):
        raise InputError(
            f"{where} has {n} different numbers ({listed(classes, 4)}), too many for classes: "
            "use --likelihood normal"
        )
    if n > _MANY_CLASSES and n > len(frame) / 2:
        raise InputError(
            f"{where} has {n} classes in {len(frame)} rows ({listed(classes, 4)}): "
            "is it the right column?"
        )


def _scaling(frame: Frame, name: str, values: FloatArray) -> Scaling:
    """Return the scaling of a column that is not constant."""
    with np.errstate(over="ignore", invalid="ignore"):
        scaling = Scaling.of(values)
    if not (math.isfinite(scaling.sd) and scaling.sd > 1e-12 * abs(scaling.mean)):
        raise InputError(
            f"{frame.name}: column {quoted(name)} cannot be standardised (mean {scaling.mean:g}, "
            f"standard deviation {scaling.sd:g}): shift or rescale it"
        )
    return scaling
