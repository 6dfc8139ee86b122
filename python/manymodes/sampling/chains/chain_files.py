"""One finished chain as a record, and the file that keeps it.

A record's file appears under its name in one step, after it was written, forced to the disk and
read back. It names the run and the chain that it belongs to, so that no file is taken for another.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from manymodes.density.log_likelihood import Missing
from manymodes.errors import InputError, ResultsError, StrayFileWarning
from manymodes.runtime.storage import read_arrays, write_arrays
from manymodes.types import FloatArray, IntArray

_NAME = re.compile(r"chain-([0-9]{5}|[1-9][0-9]{5,})\.npz")
_STAT = "stat_"
_BELONGS = "belongs_to"
DAMAGED = ".damaged"
"""How the name of a file ends that could not be read and was set aside."""


@dataclass(frozen=True, eq=False)
class Record:
    """What one chain left.

    Of a chain that was made elsewhere, what its file does not say is NaN: statistics of a whole
    chain, ``start``, ``inv_metric``, ``step_size`` and seconds.

    Attributes
    ----------
    rows : array of shape (S, P)
        Parameters and transformed parameters of each draw.
    eta : array of shape (S, D)
        The draws in the unconstrained space.
    stats : dict of arrays of shape (S,)
        Sampler statistics under ArviZ's names.
    lpd, pareto_k, r_eff : arrays of shape (N,)
        PSIS-LOO log predictive density of each observation (nats), its Pareto k-hat and the
        relative efficiency that went into it; NaN where an observation has no score, empty where
        the program has no ``log_lik``.
    start : array of shape (D,)
        Where the chain began, in the unconstrained space.
    inv_metric : array of shape (D,)
        Diagonal of the inverse metric after warm-up.
    step_size : float
        Step size after warm-up.
    seconds, sampling_seconds : float
        Wall time of the chain, and the sampler's own time of warm-up and sampling in it.
    attempt : int
        How many attempts failed before this one.
    cut : bool
        Whether the time limit ended it.
    shared : bool
        Whether it was offered the warm-up of an earlier chain.
    without : int array of shape (N,), optional
        In how many draws each observation has no finite log likelihood; None in a file of 0.1.0.
    threw : int
        In how many draws the generated quantities throw.
    message : str
        Stan's message for the first of them.
    """

    rows: FloatArray
    eta: FloatArray
    stats: Mapping[str, FloatArray]
    lpd: FloatArray
    pareto_k: FloatArray
    r_eff: FloatArray
    start: FloatArray
    inv_metric: FloatArray
    step_size: float
    seconds: float
    sampling_seconds: float
    attempt: int = 0
    cut: bool = False
    shared: bool = False
    without: IntArray | None = None
    threw: int = 0
    message: str = ""

    @property
    def n_draws(self) -> int:
        """The number S of draws."""
        return len(self.eta)

    @property
    def missing(self) -> Missing:
        """What its draws lack of the log likelihood."""
        scored = int(np.isfinite(self.lpd).sum())
        without = np.zeros(len(self.lpd), dtype=np.intp) if self.without is None else self.without
        return Missing(self.n_draws, without, self.threw, self.message, scored)

    @property
    def divergences(self) -> int:
        """The number of divergent transitions after warm-up."""
        return int(np.nansum(self.stats["diverging"]))


_FIELDS = [field.name for field in fields(Record) if field.name != "stats"]
_LATER = {"without", "threw", "message"}
"""What files of 0.1.0 do not have."""


def record_file(folder: Path, index: int) -> Path:
    """Return the file that holds chain ``index``."""
    return folder / f"chain-{index:05d}.npz"


def record_files(folder: Path) -> list[Path]:
    """Return the files of chains that a folder holds, in the order of their numbers."""
    return [record_file(folder, index) for index in record_numbers(folder)]


def record_numbers(folder: Path) -> list[int]:
    """Return the numbers of the chains that a folder holds files of, in order.

    Warns
    -----
    StrayFileWarning
        A file is called much as those of chains are, and is left out.
    """
    return numbered(folder, "chain-*.npz", _NAME)


def numbered(folder: Path, pattern: str, name: re.Pattern[str]) -> list[int]:
    """Return the numbers in the names of a folder's files, in order; warn of strays.

    Parameters
    ----------
    folder : Path
        Where to look.
    pattern : str
        What their names look like, as for `Path.glob`.
    name : re.Pattern
        How they are; its first group is the number.
    """
    numbers = []
    for path in sorted(folder.glob(pattern)):
        found = name.fullmatch(path.name)
        if found:
            numbers.append(int(found[1]))
        else:
            text = f"{path} is no file of this run and is left out"
            warnings.warn(text, StrayFileWarning, stacklevel=3)
    return sorted(numbers)


def write_record(folder: Path, index: int, record: Record, run: str) -> None:
    """Keep a chain: when this returns, its file is whole and on the disk.

    Parameters
    ----------
    folder : Path
        The run's folder of chains.
    index : int
        The number of the chain.
    record : Record
        What it left.
    run : str
        What tells this run from any other.

    Raises
    ------
    StorageError
        The file cannot be written or does not read back.
    """
    given = {name: getattr(record, name) for name in _FIELDS}
    arrays: dict[str, npt.ArrayLike] = {k: v for k, v in given.items() if v is not None}
    arrays |= {_STAT + name: values for name, values in record.stats.items()}
    arrays[_BELONGS] = f"{run}/{index}"
    write_arrays(record_file(folder, index), arrays)


def read_record(
    folder: Path, index: int, run: str | None = None, shape: tuple[int, int] | None = None
) -> Record:
    """Read a chain, every byte checked.

    Parameters
    ----------
    folder : Path
        The run's folder of chains.
    index : int
        The number of the chain.
    run : str, optional
        What tells the run from any other.
    shape : (int, int), optional
        The dimensions P of a row and D of the unconstrained space.

    Raises
    ------
    ResultsError
        The file is damaged, or belongs to another run (where ``run`` is given) or chain.
    """
    path = record_file(folder, index)
    arrays = read_arrays(path, _BELONGS, *(name for name in _FIELDS if name not in _LATER))
    owner, _, number = str(arrays[_BELONGS]).rpartition("/")
    if number != str(index) or (run is not None and owner != run):
        raise ResultsError(
            f"{path} belongs to another run or chain, as {folder.name}/settings.json has it: if "
            "that was edited, restore it; if not, remove this file, and go on with sample --resume"
        )
    stats = {k.removeprefix(_STAT): v for k, v in arrays.items() if k.startswith(_STAT)}
    wrong = _wrong(arrays, stats, shape)
    if wrong is not None:
        raise ResultsError(f"{path} is damaged ({wrong}): run again with --resume")
    values: dict[str, Any] = {
        name: arrays[name].item() if arrays[name].ndim == 0 else arrays[name]
        for name in _FIELDS
        if name in arrays
    }
    return Record(stats=stats, **values)


def _wrong(
    arrays: Mapping[str, npt.NDArray[Any]],
    stats: Mapping[str, npt.NDArray[Any]],
    shape: tuple[int, int] | None,
) -> str | None:
    """Return what cannot be in the arrays of a chain; None if all may be."""
    eta, rows, lpd = arrays["eta"], arrays["rows"], arrays["lpd"]
    if eta.ndim != 2 or rows.ndim != 2 or lpd.ndim != 1:
        return "'eta', 'rows' or 'lpd' has not its number of dimensions"
    n, dims = eta.shape
    wide = rows.shape[1]
    if shape is not None and (wide, dims) != shape:
        return f"draws have {wide} values and {dims} coordinates, the program has {shape}"
    due: dict[str, tuple[int, ...]] = dict.fromkeys(_FIELDS, ())
    due |= {"rows": (n, wide), "eta": (n, dims), "start": (dims,), "inv_metric": (dims,)}
    due |= dict.fromkeys(("lpd", "pareto_k", "r_eff", "without"), lpd.shape)
    due = {name: size for name, size in due.items() if name in arrays and name != "message"}
    for name, size in due.items():
        if arrays[name].shape != size or arrays[name].dtype.kind not in "biuf":
            return f"'{name}' is not made of numbers of shape {size}"
    if n == 0 or "diverging" not in stats:
        return "it has no draws, or not their statistics"
    for name, values in stats.items():
        if values.shape != (n,) or values.dtype.kind not in "biuf":
            return f"'{name}' is not made of numbers of shape ({n},)"
    if not np.isfinite(eta).all():
        return "'eta' has an entry that is not finite"
    elsewhere = bool(np.isnan(arrays["start"]).all())  # a chain of ours has a start
    for name in ("start", "inv_metric", "step_size", "seconds", "sampling_seconds"):
        unknown = elsewhere and np.isnan(arrays[name]).all()
        if not (unknown or np.isfinite(arrays[name]).all()):
            return f"'{name}' has an entry that is not finite"
    if (arrays["inv_metric"] <= 0).any() or arrays["step_size"] <= 0:
        return "its step size or metric is not positive"
    diverging = stats["diverging"]
    if not (np.isin(diverging, (0, 1)).all() or (elsewhere and np.isnan(diverging).all())):
        return "'diverging' is neither 0 nor 1"
    return None


def set_damaged_aside(
    folder: Path, numbers: Iterable[int], run: str, shape: tuple[int, int] | None = None
) -> list[int]:
    """Rename the files that cannot be read, so that their chains run again; return their numbers.

    Parameters
    ----------
    folder : Path
        The run's folder of chains.
    numbers : iterable of int
        The chains to check.
    run : str
        What tells this run from any other.
    shape : (int, int), optional
        As for `read_record`.

    Raises
    ------
    InputError
        A file cannot be renamed.
    """
    damaged = []
    for index in numbers:
        try:
            read_record(folder, index, run, shape)
        except ResultsError:
            set_aside(record_file(folder, index))
            damaged.append(index)
    return damaged


def set_aside(path: Path) -> None:
    """Rename a file that cannot be read to ``NAME.damaged``.

    Raises
    ------
    InputError
        It cannot be renamed.
    """
    try:
        os.replace(path, path.with_suffix(DAMAGED))
    except OSError as error:
        raise InputError(
            f"{path} cannot be read, nor set aside ({error.strerror}): remove it"
        ) from error


def roomier(values: FloatArray, one: FloatArray) -> FloatArray:
    """Return values of shape (C, s, ...) in an array with room for the draws of ``one``."""
    larger = np.full((len(values), *one.shape), np.nan)
    if values.size:
        larger[:, : values.shape[1]] = values
    return larger
