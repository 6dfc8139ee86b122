"""One chain as a file of another program holds it, and what of the file is asked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from manymodes.density.posterior import Posterior
from manymodes.density.variables import element_name, part_name, parts_of
from manymodes.errors import InputError
from manymodes.sampling.adoption.written import Written
from manymodes.sampling.chains.nuts_settings import MIN_DRAWS
from manymodes.types import FloatArray
from manymodes.wording import joined

LP = "lp"
STATS = (LP, "acceptance_rate", "step_size", "tree_depth", "n_steps", "diverging", "energy")
"""The statistics of a draw that a chain of ours may have, under ArviZ's names."""

_MOST_NAMED = 5


@dataclass(frozen=True)
class Wanted:
    """What is read of a file: the parameters of a program, and its log likelihood.

    Attributes
    ----------
    program : str
        The program's name, for messages.
    parameters : tuple of str
        Flat names of the parameters, in the order of a row.
    log_lik : tuple of str
        Flat names of the log likelihood of all observations, the last index fastest; empty
        without one.
    log_lik_shape : tuple of int
        Its shape.
    outside : dict
        Names of variables in our own files, where they differ from those of the program.
    """

    program: str
    parameters: tuple[str, ...]
    log_lik: tuple[str, ...] = ()
    log_lik_shape: tuple[int, ...] = ()
    outside: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, posterior: Posterior) -> Wanted:
        """Return what is read for a posterior."""
        log_lik: tuple[str, ...] = ()
        shape: tuple[int, ...] = ()
        if posterior.has_log_lik:
            shape = posterior.log_lik_shape
            indexes = np.ndindex(*shape)
            log_lik = tuple(".".join(["log_lik", *(str(i + 1) for i in at)]) for at in indexes)
        return cls(
            posterior.program.name,
            tuple(posterior.model.param_names()),
            log_lik,
            shape,
            {name: new for name, new in posterior.exported_names.items() if name != new},
        )

    def places(self, header: Sequence[str], where: str) -> list[int]:
        """Return the column of each parameter in a file with flat names.

        Raises
        ------
        InputError
            A parameter is missing, or has another size; the message names it.
        """
        at = {name: place for place, name in enumerate(header)}
        for name in self.parameters:
            if name not in at:
                raise InputError(self._lacking(name, header, where))
        own = {part.name: len(part.columns) for part in parts_of(self.parameters)}
        theirs: dict[str, int] = {}
        for name in header:
            theirs[part_name(name)] = theirs.get(part_name(name), 0) + 1
        for name, size in own.items():
            if theirs[name] != size:
                raise InputError(
                    f"{where}: the parameter {name} has {theirs[name]} elements, and {size} in "
                    f"the program {self.program} with these data"
                )
        return [at[name] for name in self.parameters]

    def log_lik_places(self, header: Sequence[str]) -> list[int]:
        """Return the columns of the log likelihood; none if the file has not exactly these."""
        at = {name: place for place, name in enumerate(header)}
        own = [name for name in header if part_name(name) == "log_lik"]
        if len(own) != len(self.log_lik) or not all(name in at for name in self.log_lik):
            return []
        return [at[name] for name in self.log_lik]

    def _lacking(self, name: str, header: Iterable[str], where: str) -> str:
        base = part_name(name)
        theirs = [one for one in header if part_name(one) == base]
        if not theirs:
            return self.missing(where, base, header)
        shapes = [[int(index) for index in one.split(".")[1:] if index.isdigit()] for one in theirs]
        found = [max(sizes) for sizes in zip(*shapes, strict=False)]
        own = next(part for part in parts_of(self.parameters) if part.name == base)
        return self.other_shape(where, base, found, own.shape)

    def missing(self, where: str, name: str, names: Iterable[str]) -> str:
        """Return the message on a parameter that a file does not have."""
        held = list(dict.fromkeys(part_name(one) for one in names if not one.endswith("__")))
        more = f" and {len(held) - _MOST_NAMED} more" if len(held) > _MOST_NAMED else ""
        said = f"it has {joined(held[:_MOST_NAMED]) if held else 'no variable'}{more}"
        return f"{where}: has no {name}, a parameter of the program {self.program} ({said})"

    def other_shape(self, where: str, name: str, found: Sequence[int], own: Sequence[int]) -> str:
        """Return the message on a parameter that has another shape in a file."""
        return (
            f"{where}: the parameter {name} has {_shape(found)}, and {_shape(own)} in the program "
            f"{self.program} with these data"
        )


def _shape(sizes: Sequence[int]) -> str:
    return f"the shape {' x '.join(map(str, sizes))}" if len(sizes) else "one element"


@dataclass(frozen=True, eq=False)
class Foreign:
    """What a file holds of one chain.

    Attributes
    ----------
    where : str
        The file, and the chain if it holds several, for messages.
    rows : array of shape (S, P)
        The parameters of each draw, without warm-up.
    digits : Written
        How exactly they were written.
    stats : dict of arrays of shape (S,)
        Statistics under ArviZ's names, as far as the file has them.
    log_lik : array of shape (S, N) or None
        The log likelihood of each observation.
    step_size, seconds : float
        The step size after warm-up, and the sampler's own time; NaN if the file does not say.
    inv_metric : array of shape (D,) or None
        Diagonal of the inverse metric after warm-up.
    origin : str
        What the file says of its model and data, for messages; empty if it does not.
    expected : int or None
        How many draws it says it would have.
    """

    where: str
    rows: FloatArray
    digits: Written
    stats: Mapping[str, FloatArray] = field(default_factory=dict)
    log_lik: FloatArray | None = None
    step_size: float = float("nan")
    seconds: float = float("nan")
    inv_metric: FloatArray | None = None
    origin: str = ""
    expected: int | None = None

    @property
    def n_draws(self) -> int:
        """The number S of draws."""
        return len(self.rows)

    @property
    def unfinished(self) -> bool:
        """Whether it has fewer draws than it says it would have."""
        return self.expected is not None and self.n_draws < self.expected

    def check(self, wanted: Wanted) -> None:
        """Refuse too few draws, and draws that are not numbers.

        Raises
        ------
        InputError
            The message names the first such draw.
        """
        if self.n_draws < MIN_DRAWS:
            held = {0: "no draws", 1: "one draw"}.get(self.n_draws, f"{self.n_draws} draws")
            raise InputError(
                f"{self.where}: has {held} after warm-up, and a chain needs {MIN_DRAWS}: leave it "
                "out"
            )
        wrong = np.argwhere(~np.isfinite(self.rows))
        if len(wrong):
            draw, column = wrong[0].tolist()
            name = element_name(wanted.parameters[column])
            raise InputError(
                f"{self.where}: draw {draw + 1} has {self.rows[draw, column]} for {name}, which "
                "is no number: the file is damaged, or the sampler failed"
            )
        flags = self.stats.get("diverging")
        if flags is not None and not (np.isin(flags, (0, 1)).all() or np.isnan(flags).all()):
            raise InputError(f"{self.where}: has a divergence flag that is neither 0 nor 1")
