"""Generated quantities at the parameters of draws, which may come from other data.

A draw is its parameters, not its point in the unconstrained space: if a bound of a parameter is
data, other data move the point.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from manymodes.density.variables import parts_of
from manymodes.errors import InputError
from manymodes.types import BoolArray, FloatArray

_BLOCK = 1_000_000  # most numbers in one block of draws x quantities
_SAME = 1e-9  # relative difference of parameters that are the same up to rounding


@dataclass(frozen=True, eq=False)
class Generated:
    """What a program generates for a block of draws.

    Attributes
    ----------
    at : slice
        The place of the block among the draws.
    rows : array of shape (n, P)
        Parameters, transformed parameters and generated quantities of each draw, flat; NaN for
        draws for which the program throws.
    threw : bool array of shape (n,)
        These draws.
    message : str
        Stan's message for the first of them; empty if there is none.
    """

    at: slice
    rows: FloatArray
    threw: BoolArray
    message: str


def generated(model: Any, points: FloatArray, seed: int = 1) -> Iterator[Generated]:
    """Yield what a program generates at unconstrained points, shape (S, D), in blocks.

    Parameters
    ----------
    model : bridgestan.StanModel
        The program with its data.
    points : array of shape (S, D)
        The draws, in order: all draws share one stream of random numbers.
    seed : int
        The seed of the stream, below 2**32. The same seed gives the same quantities.
    """
    points = np.ascontiguousarray(points)
    row = np.empty(model.param_num(include_tp=True, include_gq=True))
    step = max(1, _BLOCK // max(1, len(row)))
    rng = model.new_rng(seed)
    for start in range(0, len(points), step):
        block = points[start : start + step]
        rows = np.full((len(block), len(row)), np.nan)
        threw, message = np.zeros(len(block), dtype=bool), ""
        for i, point in enumerate(block):
            try:
                model.param_constrain(point, include_tp=True, include_gq=True, out=row, rng=rng)
                rows[i] = row
            except RuntimeError as error:
                threw[i] = True
                message = message or said(error)
        yield Generated(slice(start, start + len(block)), rows, threw, message)


@dataclass(frozen=True, eq=False)
class Carried:
    """Draws in the unconstrained space of another program, or of other data.

    Attributes
    ----------
    eta : array of shape (n, D)
        The draws that have a place there.
    inside : bool array of shape (S,)
        Which draws these are; the parameters of the others are outside the support.
    message : str
        Stan's message for the first of the others; empty if there is none.
    """

    eta: FloatArray
    inside: BoolArray
    message: str


def carried(model: Any, names: Sequence[str], rows: FloatArray, eta: FloatArray) -> Carried:
    """Return draws in the unconstrained space of a model that has their parameters.

    Parameters
    ----------
    model : bridgestan.StanModel
        The program and the data that the draws are carried to.
    names : sequence of str
        The flat names of the parameters that the draws have; the model has the same, in any order.
    rows : array of shape (S, P)
        The draws; parameters come first.
    eta : array of shape (S, D)
        The draws in their own unconstrained space. A point that gives the same parameters in the
        new one is taken as it is, because a value on the edge of the support has no way back.
    """
    place = {name: column for column, name in enumerate(names)}
    columns = [place[name] for name in model.param_names()]
    own = model.param_unc_num()
    inside, message = np.ones(len(rows), dtype=bool), ""
    points, point = np.empty((len(rows), own)), np.empty(own)
    again = np.empty(len(columns))
    for s, (row, there) in enumerate(zip(rows, eta, strict=True)):
        wanted = np.ascontiguousarray(row[columns])
        try:
            if len(there) == own and _gives(model, there, wanted, again):
                points[s] = there
                continue
            points[s] = model.param_unconstrain(wanted, out=point)
        except RuntimeError as error:
            inside[s] = False
            message = message or said(error)
    return Carried(points[inside], inside, message)


def _gives(model: Any, point: FloatArray, wanted: FloatArray, out: FloatArray) -> bool:
    """Whether an unconstrained point has these parameters."""
    try:
        model.param_constrain(np.ascontiguousarray(point), out=out)
    except RuntimeError:
        return False
    return bool(np.allclose(out, wanted, rtol=_SAME, atol=0))


def check_same_parameters(before: Sequence[str], after: Sequence[str], what: str) -> None:
    """Refuse a program, or data, with other parameters than draws have.

    Parameters
    ----------
    before : sequence of str
        The flat names of the parameters that the draws have.
    after : sequence of str
        Those of the program with the data that the draws are to be used with.
    what : str
        The program or the data, for the message.

    Raises
    ------
    InputError
        A parameter is missing, is new or has another shape: the first one is named.
    """
    had, has = ({part.name: part.shape for part in parts_of(names)} for names in (before, after))
    for name in (*had, *(name for name in has if name not in had)):
        old, new = (
            f"shape {shapes[name]}" if name in shapes else "no element" for shapes in (had, has)
        )
        if old != new:
            raise InputError(
                f"{what}: the parameter {name} has {new}, and {old} in the run; draws can be used "
                "only with the same parameters"
            )


def said(error: Exception) -> str:
    """Return Stan's message on one line, without the bridge's words and the compiler's folder."""
    text = re.sub(r"'[^']*/building-\w+/", "'", " ".join(str(error).split()))
    return re.sub(r"^param_(un)?constrain: ", "", text).removeprefix("Exception: ")
