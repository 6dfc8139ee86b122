"""The files of a run directory, read with every check: whole, of this run, and with all draws."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from manymodes.errors import ResultsError
from manymodes.runtime.storage import SETTINGS, read_arrays, read_json, run_name
from manymodes.sampling.chains.chain_files import record_numbers
from manymodes.sampling.claims import FAILURES, read_failures, wanted_of, warn_part, warn_unfinished
from manymodes.sampling.nested import run_file, run_numbers

if TYPE_CHECKING:
    import xarray as xr
    from anesthetic import NestedSamples

BELONGS = "belongs_to"
"""The attribute that names the run of a file's draws."""

_UNREADABLE = (OSError, ValueError, KeyError, RuntimeError, TypeError, AttributeError, IndexError)
_ENGINES = (
    ("chains", record_numbers, "chains", "sample"),
    ("nested", run_numbers, "nested runs", "evidence"),
    ("tempered", run_numbers, "tempered runs", "evidence"),
)


def owner_of(folder: Path) -> str | None:
    """Return the name of the run whose draws a folder holds; None if it holds none."""
    path = folder / SETTINGS
    return run_name(read_json(path)) if path.exists() else None


def unfinished_warnings(folder: Path) -> None:
    """Warn of chains and runs of a run directory that were asked for and not finished."""
    for engine, numbers, what, command in _ENGINES:
        kept = folder / engine
        if (kept / SETTINGS).is_file():
            settings = read_json(kept / SETTINGS)
            wanted, due = wanted_of(settings, numbers(kept), kept)
            failed = read_failures(kept / FAILURES, due).keys()
            if set(due) - set(wanted) - failed:
                warn_unfinished(folder, (len(wanted), len(due)), what, command)
            warn_part(folder, settings, what)


def read_tree(path: Path, engine: str) -> xr.DataTree:
    """Read a file of draws of an engine.

    Raises
    ------
    ResultsError
        It is damaged, or of another run than the draws beside it.
    """
    import xarray as xr

    try:
        with xr.open_datatree(path, engine="h5netcdf") as file:
            tree = file.load()
        groups = tree.children.keys()
    except _UNREADABLE as error:
        raise damaged(path, error) from error
    if "posterior" not in groups:
        raise damaged(path, "no group 'posterior'")
    owner = owner_of(path.parent / engine)
    if owner is not None and tree.attrs.get(BELONGS, owner) != owner:
        raise ResultsError(f"{path} belongs to another run than {path.parent / engine}: remove it")
    return tree


def holds_draws(path: Path, expected: xr.Dataset) -> bool:
    """Return whether a file of chains has the chains and as many draws as are expected.

    Raises
    ------
    ResultsError
        It is damaged.
    """
    import xarray as xr

    try:
        with xr.open_dataset(path, group="sample_stats", engine="h5netcdf") as there:
            return all(
                name in there.coords and np.array_equal(there[name], expected[name])
                for name in ("chain", "draw")
            )
    except _UNREADABLE as error:
        raise damaged(path, error) from error


def read_nested(path: Path) -> NestedSamples:
    """Read anesthetic's file of the nested runs.

    Raises
    ------
    ResultsError
        It is damaged, or of other points than the runs beside it.
    """
    from anesthetic import read_csv

    folder = path.parent / "nested"
    try:
        samples = read_csv(path)
        logl = np.sort(samples["logL"].to_numpy(dtype=float))
    except _UNREADABLE as error:
        raise damaged(path, error) from error
    files = [run_file(folder, index) for index in run_numbers(folder)]
    kept = [np.atleast_1d(read_arrays(file, "logl")["logl"]) for file in files]
    theirs = np.sort(np.concatenate(kept)) if kept else logl
    if logl.shape != theirs.shape or not np.allclose(logl, theirs, rtol=1e-9):
        raise ResultsError(
            f"{path} is not of the nested runs in {folder}: write it anew with evidence --resume"
        )
    return samples


def damaged(path: Path, error: object) -> ResultsError:
    """Return the error on a file that cannot be read."""
    said = error if isinstance(error, str) else " ".join(f"{type(error).__name__}: {error}".split())
    return ResultsError(
        f"{path} is damaged ({said}): remove it, and run the command that wrote it with --resume"
    )


def present(path: Path) -> Path:
    """Return a path; raise `ResultsError` if it does not exist."""
    if not path.exists():
        raise ResultsError(f"{path}: the run has no such file")
    return path
