"""Draws in ArviZ's layout: NetCDF files and Zarr stores of any version, and objects in memory."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from manymodes.density.variables import Part, parts_of
from manymodes.errors import InputError
from manymodes.sampling.adoption.foreign import LP, STATS, Foreign, Wanted
from manymodes.sampling.adoption.written import written
from manymodes.sampling.chains.trees import RAW, SAME
from manymodes.types import FloatArray
from manymodes.wording import joined

if TYPE_CHECKING:
    import xarray as xr

_POSTERIOR = "posterior"
_STATS_GROUP = "sample_stats"
_LOG_LIK_GROUP = "log_likelihood"
_READ = (_POSTERIOR, RAW, _STATS_GROUP, _LOG_LIK_GROUP)
_LEAD = ("chain", "draw")
STAT_ALIASES = {
    "lp": ("lp", "lp__", "logp"),
    "acceptance_rate": ("acceptance_rate", "accept_stat", "accept_stat__", "mean_tree_accept"),
    "step_size": ("step_size", "stepsize", "stepsize__"),
    "tree_depth": ("tree_depth", "treedepth", "treedepth__", "depth"),
    "n_steps": ("n_steps", "n_leapfrog", "n_leapfrog__", "tree_size"),
    "diverging": ("diverging", "divergent", "divergent__"),
    "energy": ("energy", "energy__"),
}
"""What versions of ArviZ and of its converters call the statistics."""

_STAN = {"stan", "cmdstan", "cmdstanpy", "cmdstanr", "pystan", "rstan", "nutpie", "manymodes"}
"""Libraries whose log density is that of a Stan program, Jacobians included."""

_UNREADABLE = (OSError, ValueError, KeyError, RuntimeError, TypeError, AttributeError)


def is_zarr(path: Path) -> bool:
    """Whether a folder is a Zarr store."""
    marks = (".zgroup", ".zmetadata", "zarr.json")
    return path.is_dir() and any((path / mark).is_file() for mark in marks)


def read_tree_file(path: Path, wanted: Wanted) -> Iterator[Foreign]:
    """Yield the chains of a NetCDF file or a Zarr store, of which one is read at a time.

    Parameters
    ----------
    path : Path
        The file, or the folder of the store.
    wanted : Wanted
        What is read of it.

    Raises
    ------
    InputError
        It cannot be read, or lacks what is wanted.
    """
    engine = "h5netcdf"
    if path.is_dir():
        engine = "zarr"
        if find_spec("zarr") is None:
            raise InputError(
                f"{path} is a Zarr store, which needs the package zarr: install it, or save the "
                "draws with to_netcdf"
            )
    with ExitStack() as stack:
        groups = _opened(path, engine, stack)
        yield from _chains(groups, str(path), wanted)


def read_tree(tree: Any, wanted: Wanted) -> Iterator[Foreign]:
    """Yield the chains of a DataTree, or of ArviZ's InferenceData.

    Parameters
    ----------
    tree : DataTree or InferenceData
        With the groups ``posterior`` and, if there are any, ``sample_stats``, ``log_likelihood``.
    wanted : Wanted
        What is read of it.

    Raises
    ------
    InputError
        It lacks what is wanted.
    """
    groups = {}
    for name in _READ:
        try:
            found = tree[name]
        except (KeyError, AttributeError, TypeError):
            continue
        groups[name] = found.to_dataset() if hasattr(found, "to_dataset") else found
    yield from _chains(groups, "the tree", wanted)


def _opened(path: Path, engine: str, stack: ExitStack) -> dict[str, xr.Dataset]:
    """Return the groups of a file that are read; they stay open."""
    import xarray as xr

    try:
        if engine == "h5netcdf":
            import h5netcdf

            with h5netcdf.File(path, "r") as file:
                present = set(file.groups)
        else:
            import zarr

            present = set(zarr.open_group(path, mode="r").group_keys())
        return {
            name: stack.enter_context(xr.open_dataset(path, group=name, engine=engine))
            for name in _READ
            if name in present
        }
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except _UNREADABLE as error:
        said = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        kind = "a Zarr store" if engine == "zarr" else "a NetCDF 4 file"
        raise InputError(f"{path} cannot be read as {kind} of ArviZ ({said})") from error


def _chains(groups: Mapping[str, xr.Dataset], where: str, wanted: Wanted) -> Iterator[Foreign]:
    if _POSTERIOR not in groups:
        raise InputError(f"{where}: has no group 'posterior', which ArviZ keeps draws in")
    posterior = _whole(groups[_POSTERIOR], groups.get(RAW))
    lacking = [name for name in _LEAD if name not in posterior.sizes]
    if lacking:
        raise InputError(f"{where}: the group 'posterior' has no dimension {joined(lacking)}")
    parts = parts_of(wanted.parameters)
    sources = [_source(posterior, part, where, wanted) for part in parts]
    stats = _stats_of(groups.get(_STATS_GROUP))
    library = posterior.attrs.get("inference_library")
    if library is not None and str(library).lower() not in _STAN:
        stats.pop(LP, None)
    log_lik = _log_lik_of(groups.get(_LOG_LIK_GROUP), posterior, wanted)
    numbers = posterior["chain"].to_numpy().tolist()
    draws = posterior.sizes["draw"]
    for chain, number in enumerate(numbers):
        rows = np.empty((draws, len(wanted.parameters)))
        single = False
        for part, source in zip(parts, sources, strict=True):
            values = _of_chain(source, chain, f"{where}, chain {number}")
            single = single or (values.dtype.itemsize <= 4 and values.dtype.kind == "f")
            rows[:, list(part.columns)] = values.reshape(draws, -1)
        present = _present(rows)
        found = {
            name: np.asarray(_of_chain(one, chain, where), dtype=float)[:present]
            for name, one in stats.items()
            if one.sizes["draw"] == draws and one.sizes["chain"] == len(numbers)
        }
        told = None
        if log_lik is not None and log_lik.sizes["draw"] == draws:
            values = _of_chain(log_lik, chain, where).reshape(draws, -1)
            told = np.asarray(values, dtype=float)[:present]
        step = found.get("step_size")
        yield Foreign(
            f"{where}, chain {number}",
            rows[:present],
            written(rows[:present], single=single),
            {name: values for name, values in found.items() if not np.isnan(values).all()},
            told,
            step_size=float(step[-1]) if step is not None and step.size else float("nan"),
        )


def _whole(posterior: xr.Dataset, raw: xr.Dataset | None) -> xr.Dataset:
    """Return all variables of draws; our own trees of networks keep some of them elsewhere."""
    if raw is not None:
        new = {name: one for name, one in raw.data_vars.items() if name not in posterior}
        posterior = posterior.assign(new)
    try:
        same = json.loads(posterior.attrs.get(SAME, "{}"))
        named = {name: posterior[one] for name, one in same.items() if name not in posterior}
    except (ValueError, KeyError, TypeError, AttributeError):
        return posterior
    return posterior.assign(named)


def _present(rows: FloatArray) -> int:
    """Return how many draws there are before those that are NaN in every parameter."""
    drawn = np.flatnonzero(~np.isnan(rows).all(axis=1))
    return int(drawn[-1]) + 1 if drawn.size else 0


def _source(dataset: xr.Dataset, part: Part, where: str, wanted: Wanted) -> xr.DataArray:
    """Return the variable that holds a part, its dimensions chain and draw first."""
    name, _, half = part.name.partition(".")
    names = (part.name, name, wanted.outside.get(name, name))
    found = next((dataset[one] for one in names if one in dataset.data_vars), None)
    if found is None:
        raise InputError(wanted.missing(where, part.name, map(str, dataset.data_vars)))
    if not set(_LEAD) <= set(found.dims):
        raise InputError(f"{where}: the variable {name} has no dimensions chain and draw")
    found = found.transpose(*_LEAD, ...)
    if half and found.dtype.kind == "c":
        found = found.real if half == "real" else found.imag
    if found.shape[2:] != part.shape:
        raise InputError(wanted.other_shape(where, part.name, found.shape[2:], part.shape))
    if found.dtype.kind not in "biuf":
        raise InputError(f"{where}: the variable {name} is not made of numbers")
    return found


def _stats_of(dataset: xr.Dataset | None) -> dict[str, xr.DataArray]:
    """Return the statistics of draws that a group has, under today's names."""
    found: dict[str, xr.DataArray] = {}
    if dataset is None:
        return found
    for name in STATS:
        for alias in STAT_ALIASES[name]:
            if alias in dataset.data_vars and set(dataset[alias].dims) == set(_LEAD):
                one = dataset[alias].transpose(*_LEAD)
                if one.dtype.kind in "biuf":
                    found[name] = one
                break
    return found


def _log_lik_of(
    own: xr.Dataset | None, posterior: xr.Dataset, wanted: Wanted
) -> xr.DataArray | None:
    """Return the log likelihood of a file; None if it is not of these observations."""
    if not wanted.log_lik:
        return None
    if own is not None and len(own.data_vars) == 1:
        found = next(iter(own.data_vars.values()))
    elif "log_lik" in posterior.data_vars:
        found = posterior["log_lik"]
    else:
        return None
    if not set(_LEAD) <= set(found.dims) or found.dtype.kind != "f":
        return None
    found = found.transpose(*_LEAD, ...)
    shape = wanted.log_lik_shape
    return found if found.shape[2:] in {shape, shape or (1,)} else None


def _of_chain(values: xr.DataArray, chain: int, where: str) -> npt.NDArray[Any]:
    """Return the values of one chain, shape (S, ...)."""
    try:
        return np.asarray(values.isel(chain=chain).to_numpy())
    except _UNREADABLE as error:
        said = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise InputError(f"{where}: {values.name} cannot be read ({said})") from error
