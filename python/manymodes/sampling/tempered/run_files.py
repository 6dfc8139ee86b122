"""The files in a folder of tempered runs: what each finished run found, and how it goes on."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from manymodes.errors import ResultsError
from manymodes.runtime.storage import read_arrays, write_arrays
from manymodes.sampling.chains.chain_files import numbered
from manymodes.sampling.runners import Arrays
from manymodes.sampling.tempered.result import Round, TemperedRun

_NAME = re.compile(r"run-([0-9]{3}|[1-9][0-9]{3,})\.npz")
_HISTORY = 9  # numbers for each round
_AT_DRAW = 4  # scan, log p, log q, ancestor
_FOUND = (
    "history",
    "betas",
    "v",
    "draws",
    "at_draws",
    "rejection",
    "acceptance",
    "step",
    "steps",
    "counts",
    "beginnings",
)
_BELONGS = "belongs_to"
_AGAIN = "remove it and run again with --resume"


def run_file(folder: Path, index: int) -> Path:
    """Return the file that holds tempered run ``index``."""
    return folder / f"run-{index:03d}.npz"


def run_numbers(folder: Path) -> list[int]:
    """Return the numbers of the tempered runs with a file in a folder; warn of stray files."""
    return numbered(folder, "run-*.npz", _NAME)


def write_run(folder: Path, index: int, arrays: Arrays, owner: str) -> None:
    """Keep a tempered run: when this returns, its file is whole and on the disk.

    Raises
    ------
    StorageError
        The file cannot be written or does not read back.
    """
    write_arrays(run_file(folder, index), {**arrays, _BELONGS: f"{owner}/{index}"})


def read_run_arrays(folder: Path, index: int, dims: int, owner: str) -> Arrays:
    """Return all that is kept of a run, every byte of it checked.

    Raises
    ------
    ResultsError
        The file is damaged, or belongs to another run.
    """
    path = run_file(folder, index)
    kept = read_arrays(path, *_FOUND, _BELONGS)
    if str(kept.pop(_BELONGS)) != f"{owner}/{index}":
        raise ResultsError(f"{path} belongs to another run, or another base measure: remove it")
    wrong = _wrong(kept, dims)
    if wrong is not None:
        raise ResultsError(f"{path} is damaged ({wrong}): {_AGAIN}")
    return kept


def read_kept(folder: Path, numbers: Iterable[int], dims: int, owner: str) -> list[TemperedRun]:
    """Return the runs, among some numbers, that a folder keeps.

    Raises
    ------
    ResultsError
        A file is damaged, or belongs to another run.
    """
    return [
        as_run(read_run_arrays(folder, i, dims, owner), dims)
        for i in numbers
        if run_file(folder, i).exists()
    ]


def without_times(arrays: Arrays) -> Arrays:
    """Return the arrays of a run without how long its rounds took."""
    history = arrays["history"]
    if history.size % _HISTORY:
        return arrays  # it is damaged, as reading says
    return {**arrays, "history": history.reshape(-1, _HISTORY)[:, :-1]}


def rounds_of(arrays: Arrays) -> int:
    """Return the last round of what a run found."""
    return int(arrays["history"][-_HISTORY])


def as_run(arrays: Arrays, dims: int) -> TemperedRun:
    """Return what a run found, from its arrays."""
    betas = arrays["betas"]
    _, log_p, log_q, ancestor = arrays["at_draws"].reshape(-1, _AT_DRAW).T
    counts = [int(one) for one in arrays["counts"]]
    return TemperedRun(
        rounds=tuple(_round(one) for one in arrays["history"].reshape(-1, _HISTORY).tolist()),
        betas=betas,
        energies=arrays["v"].reshape(-1, len(betas)),
        eta=arrays["draws"].reshape(-1, dims),
        log_p=log_p.copy(),
        log_q=log_q.copy(),
        ancestor=ancestor.astype(np.intp),
        rejection=arrays["rejection"],
        acceptance=arrays["acceptance"],
        step=arrays["step"],
        steps=arrays["steps"],
        failures=counts[2],
        drawn=counts[3],
        drawn_inside=counts[4],
        beginnings=arrays["beginnings"],
    )


def _round(one: list[float]) -> Round:
    number, scans, temperatures, barrier, forward, backward, trips, gradients, seconds = one
    return Round(
        int(number),
        int(scans),
        int(temperatures),
        barrier,
        forward,
        backward,
        int(trips),
        int(gradients),
        seconds,
    )


def _wrong(kept: dict[str, npt.NDArray[Any]], dims: int) -> str | None:
    """Return what is wrong in the arrays of a run; None if nothing is."""
    for name, values in kept.items():
        if values.ndim != 1 or values.dtype.kind != "f":
            return f"'{name}' is not one row of numbers"
        if np.isnan(values).any():
            return f"'{name}' has an entry that is not a number"
    betas, n = kept["betas"], len(kept["at_draws"]) // _AT_DRAW
    if len(betas) < 2 or betas[0] != 0 or betas[-1] != 1 or (np.diff(betas) <= 0).any():
        return "'betas' do not rise from 0 to 1"
    if n == 0 or len(kept["at_draws"]) != n * _AT_DRAW or len(kept["draws"]) != n * dims:
        return "'draws' and 'at_draws' do not fit one another"
    if not np.isfinite(kept["draws"]).all():
        return "'draws' has an entry that is not finite"
    if not len(kept["v"]) or len(kept["v"]) % len(betas):
        return "'v' does not fit 'betas'"
    if not len(kept["history"]) or len(kept["history"]) % _HISTORY or len(kept["counts"]) != 5:
        return "'history' or 'counts' has another length"
    return None
