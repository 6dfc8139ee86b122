"""The log likelihood of each observation, from a program's ``log_lik``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from manymodes.density.generated import generated
from manymodes.density.variables import Variable, variables_of
from manymodes.errors import InputError
from manymodes.types import BoolArray, FloatArray, IntArray

NAME = "log_lik"
"""The name of the log likelihood of each observation in a program."""

_MOST_NAMED = 5
_EXTREME = 1e150  # nats: sums of squares of larger scores are beyond a double


@dataclass(frozen=True, eq=False)
class LogLik:
    """The log likelihood of each observation under each draw.

    Attributes
    ----------
    values : array of shape (S, N)
        In nats; NaN in draws for which the generated quantities throw, as in CmdStan.
    threw : bool array of shape (S,)
        The draws for which they throw.
    message : str
        Stan's message for the first of them; empty if there is none.
    """

    values: FloatArray
    threw: BoolArray
    message: str = ""


@dataclass(frozen=True, eq=False)
class Missing:
    """Counts of missing values in the log likelihood of a set of draws.

    If the log likelihood of an observation is NaN or infinite under some draw, the observation has
    no leave-one-out score, because no weights of the draws give a prediction without it.

    Attributes
    ----------
    draws : int
        The number of draws.
    count : int array of shape (N,)
        The number of draws without a finite log likelihood, for each observation.
    threw : int
        The number of draws for which the generated quantities throw; they have no log likelihood.
    message : str
        Stan's message for the first of them.
    scored : int
        How many observations have a score.
    extreme : tuple of int
        The numbers, from 0, of the observations whose score is finite and yet so large that sums
        of scores have no standard error.
    """

    draws: int
    count: IntArray
    threw: int
    message: str
    scored: int
    extreme: tuple[int, ...] = ()

    @classmethod
    def of(
        cls, values: FloatArray, told: LogLik | None = None, scored: BoolArray | None = None
    ) -> Missing:
        """Count missing values, shape (S, N); `scored` says which observations have a score."""
        lost = ~np.isfinite(values)
        kept = ~lost.any(axis=0) if scored is None else scored
        threw = 0 if told is None else int(told.threw.sum())
        message = "" if told is None else told.message
        return cls(len(values), lost.sum(axis=0), threw, message, int(kept.sum()))

    @classmethod
    def in_all(cls, parts: Sequence[Missing], scored: int) -> Missing:
        """Add up the counts of several chains; `scored` observations have a score in all."""
        return cls(
            sum(part.draws for part in parts),
            np.sum([part.count for part in parts], axis=0),
            sum(part.threw for part in parts),
            next((part.message for part in parts if part.threw), ""),
            scored,
        )

    @property
    def any(self) -> bool:
        """Whether anything is missing."""
        return bool(self.threw or self.count.any() or self.scored < len(self.count) or self.extreme)

    def sentences(self, of: str = "the chains", *, scores: bool = True) -> list[str]:
        """Return sentences on missing values, the reason, and the effect on leave-one-out scores.

        Parameters
        ----------
        of : str
            The owner of the draws.
        scores : bool
            Whether leave-one-out scores are used.
        """
        found, total = [], len(self.count)
        if self.threw:
            found.append(
                f"The generated quantities threw in {self.threw} of {self.draws} draws of {of}; "
                f"these have no log_lik. The first message was: {self.message.rstrip('.')}."
            )
        own = np.flatnonzero(self.count > self.threw)
        if len(own):
            named = ", ".join(
                f"number {i + 1} in {self.count[i] - self.threw} draws"
                for i in own[:_MOST_NAMED].tolist()
            )
            more = f", and {len(own) - _MOST_NAMED} more" if len(own) > _MOST_NAMED else ""
            found.append(
                f"log_lik is NaN or infinite for {len(own)} of {total} observations in some of "
                f"{self.draws} draws of {of} ({named}{more})."
            )
        if scores and total and self.scored == 0:
            found.append("No observation has a leave-one-out score: chains are not stacked.")
        elif scores and self.scored == 1 < total:
            found.append(
                f"Every chain scores only one of {total} observations: chains are not stacked."
            )
        elif scores and self.scored < total:
            found.append(
                f"Leave-one-out scores and stacking use only the {self.scored} of {total} "
                "observations that every chain scores."
            )
        if scores and self.extreme:
            n = len(self.extreme)
            named = ", ".join(f"number {i + 1}" for i in self.extreme[:_MOST_NAMED])
            more = f", and {n - _MOST_NAMED} more" if n > _MOST_NAMED else ""
            found.append(
                f"The leave-one-out scores of {n} of {total} observations are beyond ±{_EXTREME:g} "
                f"nats ({named}{more}): sums of scores have no standard error. Most likely the "
                "program computes log_lik wrongly there."
            )
        return found

    def as_dict(self) -> dict[str, Any]:
        """Return the entry in ``summary.json``: observations by their number, from 1."""
        own = np.flatnonzero(self.count)
        return {
            "observations": len(self.count),
            "scored": self.scored,
            "draws": self.draws,
            "draws_that_threw": self.threw,
            "message": self.message,
            "extreme": [i + 1 for i in self.extreme],
            "draws_without": {str(i + 1): int(self.count[i]) for i in own.tolist()},
        }


def extreme_scores(lpd: FloatArray) -> tuple[int, ...]:
    """Return which observations have, in some chain, a score that is finite and extreme.

    Parameters
    ----------
    lpd : array of shape (C, N)
        Leave-one-out scores of C chains (nats).
    """
    beyond = np.isfinite(lpd) & (np.abs(lpd) > _EXTREME)
    return tuple(np.flatnonzero(beyond.any(axis=0)).tolist())


def find_log_lik(model: Any, program: str) -> Variable:
    """Return the place of ``log_lik`` in a row with generated quantities.

    Parameters
    ----------
    model : bridgestan.StanModel
        The program with its data.
    program : str
        Its name, for messages.

    Raises
    ------
    InputError
        The program has no ``log_lik``, or it has no entries or is not made of real numbers.
    """
    names = model.param_names(include_tp=True, include_gq=True)
    own = (f"{NAME}.", f"{NAME}:")  # of an array, and of a tuple
    at = [i for i, name in enumerate(names) if name == NAME or name.startswith(own)]
    if not at or at[0] < model.param_num():
        raise InputError(
            f"the program {program} has no '{NAME}' in generated quantities, which leave-one-out "
            f"scores need; add a vector {NAME} with one entry for each datum"
        )
    first, last = at[0], at[-1] + 1
    parts = [name.split(".") for name in names[first:last]]
    if not all(name == NAME and all(map(str.isdigit, index)) for name, *index in parts):
        raise InputError(f"the program {program} has a '{NAME}' that is not made of real numbers")
    found = variables_of(names[first:last])[0]
    return Variable(NAME, found.shape, first)


def log_lik_of(model: Any, variable: Variable, points: FloatArray) -> LogLik:
    """Evaluate ``log_lik`` at unconstrained points, shape (S, D).

    Observations of a matrix or an array are numbered with the last index fastest, as NumPy and
    ArviZ do.
    """
    rows = np.empty((len(points), variable.size))
    threw, message = np.zeros(len(points), dtype=bool), ""
    for block in generated(model, points):
        rows[block.at] = block.rows[:, variable.start : variable.start + variable.size]
        threw[block.at] = block.threw
        message = message or block.message
    shaped = Variable(variable.name, variable.shape, 0).take(rows)
    return LogLik(shaped.reshape(len(points), -1), threw, message)
