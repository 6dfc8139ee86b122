"""One finished chain as a record, and the file that keeps it.

A record's file appears under its name in one step, after it was written, forced to the disk and
read back. It names the run and the chain that it belongs to, so that no file is taken for another.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from manymodes.errors import ResultsError
from manymodes.log_likelihood import Missing
from manymodes.storage import read_arrays, write_arrays

FloatArray = npt.NDArray[np.float64]

_STAT = "stat_"
_BELONGS = "belongs_to"


@dataclass(frozen=True, eq=False)
class Record:
    """What one chain left.

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
    without: npt.NDArray[np.intp] | None = None
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
        return int(self.stats["diverging"].sum())


_FIELDS = [field.name for field in fields(Record) if field.name != "stats"]
_LATER = {"without", "threw", "message"}
"""What files of 0.1.0 do not have."""


def record_file(folder: Path, index: int) -> Path:
    """Return the file that holds chain ``index``."""
    return folder / f"chain-{index:05d}.npz"


def record_files(folder: Path) -> list[Path]:
    """Return the files of chains that a folder holds, in the order of their names."""
    return sorted(folder.glob("chain-*.npz"))


def record_numbers(folder: Path) -> list[int]:
    """Return the numbers of the chains that a folder holds files of, in order."""
    return sorted(int(path.stem.split("-")[1]) for path in record_files(folder))


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


def read_record(folder: Path, index: int, run: str | None = None) -> Record:
    """Read a chain, every byte checked.

    Raises
    ------
    ResultsError
        The file is damaged, or belongs to another run (where ``run`` is given) or chain.
    """
    path = record_file(folder, index)
    arrays = read_arrays(path, _BELONGS, *(name for name in _FIELDS if name not in _LATER))
    owner, _, number = str(arrays[_BELONGS]).rpartition("/")
    if number != str(index) or (run is not None and owner != run):
        raise ResultsError(f"{path} belongs to another run or chain: remove it")
    stats = {k.removeprefix(_STAT): v for k, v in arrays.items() if k.startswith(_STAT)}
    values: dict[str, Any] = {
        name: arrays[name].item() if arrays[name].ndim == 0 else arrays[name]
        for name in _FIELDS
        if name in arrays
    }
    return Record(stats=stats, **values)


def set_damaged_aside(folder: Path, numbers: Iterable[int], run: str) -> list[int]:
    """Rename the files that cannot be read, so that their chains run again; return their numbers.

    Parameters
    ----------
    folder : Path
        The run's folder of chains.
    numbers : iterable of int
        The chains to check.
    run : str
        What tells this run from any other.
    """
    damaged = []
    for index in numbers:
        try:
            read_record(folder, index, run)
        except ResultsError:
            path = record_file(folder, index)
            os.replace(path, path.with_suffix(".damaged"))
            damaged.append(index)
    return damaged
