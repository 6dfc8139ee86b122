"""A check that models have the same data: only then are evidences comparable.

log_z is the log density of the targets, so two values are comparable if the targets are the same
numbers in the same units. Inputs are given, not predicted: a model may scale them differently or
use other columns. They only show whether the rows are the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from manymodes.density.posterior import Posterior
from manymodes.errors import InputError
from manymodes.models.remarks import (
    DataNote,
    NoCommonData,
    OtherData,
    OtherInputs,
    RescaledInputs,
    UncheckedData,
)
from manymodes.models.runs import ModelRun
from manymodes.networks.network import Network
from manymodes.networks.observed import observed
from manymodes.types import FloatArray

_CLOSE = 1e-12  # of a correlation of 1: a scale that differs by about 1e-6 is another


def check_same_data(models: Sequence[ModelRun]) -> tuple[DataNote, ...]:
    """Refuse models of different data; each is compared with the first.

    Parameters
    ----------
    models : sequence of ModelRun
        Two or more. For networks, the number of rows, the targets, trials, and the columns of X
        up to their scale are compared. For other programs, each array that both have under the same
        name is compared, if it has one entry for each observation (several, if there is no such
        array).
        Arrays with names that begin with y must agree, and at least one of the others.

    Returns
    -------
    tuple of DataNote
        What differs and is taken for a choice of the model, and what could not be checked.

    Raises
    ------
    InputError
        The data differ.
    """
    notes: dict[DataNote, None] = {}
    first, *others = models
    for other in others:
        if first.network is not None and other.network is not None:
            notes |= dict.fromkeys(_networks(first, other, first.network, other.network))
        else:
            notes |= dict.fromkeys(_programs(first, other))
    return tuple(notes)


def _networks(one: ModelRun, other: ModelRun, net: Network, other_net: Network) -> list[DataNote]:
    if net.likelihood_parts.is_real != other_net.likelihood_parts.is_real:
        raise InputError(
            f"{other.called} has likelihood {other_net.likelihood}, {one.called} has "
            f"{net.likelihood}: a density is not comparable with a probability"
        )
    a, b = _observed(one.posterior), _observed(other.posterior)
    _check_rows(one, other, len(a["y"]), len(b["y"]))
    if not np.array_equal(a["y"], b["y"]):
        _refuse_targets(one, other, "y", a["y"], b["y"])
    notes = _counted_over(one, other, a, b)
    if a["X"].shape == b["X"].shape and np.array_equal(a["X"], b["X"]):
        return notes
    shared = _shared_columns(a["X"], b["X"])
    if shared == 0 and not net.likelihood_parts.is_real:
        raise InputError(
            f"{other.called} and {one.called} have the same targets but no column of inputs in "
            "common: they have other rows, or the rows in another order"
        )
    if shared == a["X"].shape[1] == b["X"].shape[1]:
        return [*notes, RescaledInputs(other.called, one.called)]
    return [*notes, OtherInputs(other.called, one.called, shared, b["X"].shape[1])]


def _counted_over(
    one: ModelRun, other: ModelRun, a: dict[str, FloatArray], b: dict[str, FloatArray]
) -> list[DataNote]:
    """Compare exposures and trials, which are given like inputs; other trials are other data."""
    names = {name for name in (*a, *b) if name not in ("X", "y")}
    alone = tuple(sorted(name for name in names if not (name in a and name in b)))
    if alone:
        return [UncheckedData(other.called, one.called, ("y",), alone)]
    differ = [name for name in names if not _equal(a[name], b[name])]
    if "trials" in differ:
        raise InputError(
            f"the trials of {other.called} differ from those of {one.called}: evidence compares "
            "models of the same data"
        )
    return [OtherData(other.called, one.called, (name,)) for name in differ]


def _programs(one: ModelRun, other: ModelRun) -> list[DataNote]:
    a, b = _observed(one.posterior), _observed(other.posterior)
    common = [name for name in a if name in b]
    if not common:
        return [NoCommonData(other.called, one.called)]
    differ = [name for name in common if not _equal(a[name], b[name])]
    for name in differ:
        if name.startswith("y"):
            _check_rows(one, other, len(a[name]), len(b[name]))
            _refuse_targets(one, other, name, a[name], b[name])
    if len(differ) == len(common):
        raise InputError(
            f"the data of {other.called} differ from those of {one.called} in "
            f"{', '.join(differ)}, and no other array is in both"
        )
    notes: list[DataNote] = []
    if differ:
        notes.append(OtherData(other.called, one.called, tuple(differ)))
    unchecked = tuple(sorted(set(a) ^ set(b)))
    if unchecked:
        notes.append(UncheckedData(other.called, one.called, tuple(sorted(common)), unchecked))
    return notes


def _observed(posterior: Posterior) -> dict[str, FloatArray]:
    """Return the data with one entry for each row by name.

    For networks these are X and y, with classes from 0, and exposure or trials of counts.
    """
    data, network = posterior.data, posterior.network
    if network is not None:
        found = observed(network, data)
        return {"X": found.X, "y": found.y, **found.counted_over}
    arrays = {name: _array(value) for name, value in data.items()}
    several = {name: value for name, value in arrays.items() if value.ndim and len(value) > 1}
    rows = {name: value for name, value in several.items() if len(value) == posterior.n_obs}
    return rows or several  # log_lik may be of groups of rows


def _array(value: Any) -> FloatArray:
    """Return numbers as an array; nothing if a value is not made of numbers."""
    try:
        return np.asarray(value, dtype=float)
    except (TypeError, ValueError):  # tuples and ragged arrays: not compared
        return np.empty(0)


def _equal(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> bool:
    return a.shape == b.shape and np.array_equal(a, b, equal_nan=True)


def _check_rows(one: ModelRun, other: ModelRun, n: int, n_other: int) -> None:
    if n != n_other:
        raise InputError(
            f"{other.called} has {n_other} observations and {one.called} has {n}: "
            "evidence compares models of the same data"
        )


def _refuse_targets(
    one: ModelRun, other: ModelRun, name: str, a: FloatArray, b: FloatArray
) -> None:
    why = "evidence compares models of the same data"
    if a.shape == b.shape and a.ndim == 1 and len(np.unique(a)) > 2 and _same_up_to_scale(a, b):
        why = "the same values in other units; make both with, or without, --no-standardise"
    elif a.shape == b.shape and _equal(np.sort(a, axis=0), np.sort(b, axis=0)):
        why = "the same values in another order"
    raise InputError(
        f"the targets {name} of {other.called} differ from those of {one.called}: {why}"
    )


def _shared_columns(a: FloatArray, b: FloatArray) -> int:
    """Return how many columns of ``b`` are in ``a``, up to their origin and scale."""
    return sum(any(_same_up_to_scale(x, y) for x in a.T) for y in b.T)


def _same_up_to_scale(a: FloatArray, b: FloatArray) -> bool:
    """Return whether one is a linear function of the other; False for constants."""
    u, v = a - a.mean(), b - b.mean()
    norms = float(np.linalg.norm(u) * np.linalg.norm(v))
    return norms > 0 and abs(float(u @ v)) > (1 - _CLOSE) * norms
