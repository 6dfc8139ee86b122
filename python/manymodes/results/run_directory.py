"""Run directories: the files of a run, and how to open them again.

The directory of one posterior holds ``posterior/`` (program and data), ``chains/``, ``nested/`` and
``tempered/`` (the raw outputs, one file for each chain and each run), ``chains.nc`` (ArviZ
DataTree), ``nested.csv`` (anesthetic), ``nested.nc`` (DataTree of equally weighted draws, with the
evidence), ``tempered.nc`` (the same of tempered draws), ``summary.json`` and ``report.html``. The
directory of a study holds one such directory for each posterior, and one summary and report for
all.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from manymodes._version import __version__
from manymodes.density.posterior import Posterior
from manymodes.density.program import Program
from manymodes.errors import InputError, ResultsError
from manymodes.modes.checks import Checks
from manymodes.modes.comparison import Comparison
from manymodes.modes.diagnosis import Diagnosis
from manymodes.networks.network import Network
from manymodes.results.draw_modes import mode_and_function, nested_samples
from manymodes.results.nested_export import nested_datatree
from manymodes.results.our_files import CHAINS, NESTED, NESTED_TREE, STACKED, TEMPERED
from manymodes.results.our_files import CHECKS as CHECKS
from manymodes.results.our_files import REPORT as REPORT
from manymodes.results.our_files import SUMMARY as SUMMARY
from manymodes.results.our_files import run_directory as run_directory
from manymodes.results.run_reading import (
    BELONGS,
    damaged,
    holds_draws,
    owner_of,
    present,
    read_nested,
    read_tree,
    unfinished_warnings,
)
from manymodes.results.stacked_draws import stack_draws
from manymodes.results.tempered_export import tempered_datatree
from manymodes.runtime.shown import Shown
from manymodes.runtime.storage import (
    atomic,
    ensure_folder,
    member,
    read_json,
    write_json,
    write_member,
)
from manymodes.sampling.chains.chains import Chains, load_chains
from manymodes.sampling.nested import Nested, load_nested
from manymodes.sampling.tempered import Tempered, load_tempered
from manymodes.toolchain import find
from manymodes.types import FloatArray
from manymodes.wording import shown

if TYPE_CHECKING:
    import xarray as xr
    from anesthetic import NestedSamples

_ERRNO = re.compile(r"errno = (\d+)")
_MOST_LOG_LIK = 100_000_000
_LISTED = (CHAINS, STACKED, NESTED, NESTED_TREE, TEMPERED, SUMMARY, REPORT)


# ---------------------------------------------------------------------------- posteriors


def save_posterior(posterior: Posterior, folder: Path, file_name: str | None = None) -> None:
    """Write a posterior's program, data and description into a folder."""
    ensure_folder(folder)
    name = file_name or posterior.program.stan_file.name
    for source, text in posterior.program.sources.items():
        write_member(folder, name if source == posterior.program.stan_file.name else source, text)
    write_member(folder, "data.json", posterior.data_json)
    network = posterior.network.to_dict() if posterior.network is not None else None
    described: dict[str, Any] = {"name": posterior.name, "program": name, "network": network}
    if not posterior.program.kernel:
        described["kernel"] = False
    write_json(folder / "posterior.json", described)


def open_posterior(folder: Path, *, kernel: bool | None = None) -> Posterior:
    """Open a posterior that `save_posterior` wrote.

    Parameters
    ----------
    folder : Path
        Its folder.
    kernel : bool, optional
        Whether the kernel computes a network's likelihood; by default the saved choice.

    Raises
    ------
    ResultsError
        A file is missing or damaged.
    """
    path = folder / "posterior.json"
    described = read_json(member(folder, path.name, path))
    name = described.get("name")
    if not (isinstance(name, str) and name.isprintable() and "program" in described):
        raise ResultsError(f"{path} is damaged (no program or no name): make it again")
    program = member(folder, described["program"], path)
    data_file = member(folder, "data.json", path)
    data = read_json(data_file)
    try:
        network = described.get("network") and Network.from_dict(described["network"])
    except (AttributeError, TypeError, ValueError) as error:
        raise ResultsError(f"{path} is damaged ({error}): make it again") from error
    if kernel is None:
        kernel = bool(described.get("kernel", True))
    return Posterior(
        Program(program, kernel, confined=True),
        data,
        name,
        network,
        data_file,
    )


# ---------------------------------------------------------------------------- writing


def write_chains(chains: Chains, folder: Path, comparison: Comparison | None = None) -> bool:
    """Write ``chains.nc`` in one step.

    Parameters
    ----------
    comparison : Comparison, optional
        The comparison with the modes of the draws, which the file then has.

    Returns
    -------
    bool
        Whether it holds the log likelihood of every draw and observation. It does not if there are
        more than 1e8 of these values; then `Posterior.log_lik` gives them when they are needed.

    Raises
    ------
    StorageError
        It cannot be written.
    """
    size = chains.total_draws * chains.posterior.n_obs
    complete = size <= _MOST_LOG_LIK
    tree = chains.to_datatree(log_likelihood=complete)
    if comparison is not None:
        tree["sample_stats"].update(_modes_of_chains(comparison))
    _write_tree(tree, folder / CHAINS, "chains")
    return complete


def write_chain_modes(comparison: Comparison, folder: Path) -> None:
    """Put the mode and the function of every draw into ``chains.nc``, in one step.

    Those of an earlier comparison are replaced; all else stays as it is, and nothing is computed
    anew. If the file has other draws than the comparison, it is written anew. A run without the
    file, which was interrupted, gets none.

    Raises
    ------
    ResultsError
        The file is damaged.
    StorageError
        It cannot be written.
    """
    path, chains = folder / CHAINS, comparison.chains
    if chains is None or not path.exists():
        return
    added = _modes_of_chains(comparison)
    if not holds_draws(path, added):
        write_chains(chains, folder, comparison)
        return
    with atomic(path) as partial:
        shutil.copyfile(path, partial)
        with _hdf5_errors():
            added.to_netcdf(partial, mode="a", group="sample_stats", engine="h5netcdf")


def _modes_of_chains(comparison: Comparison) -> xr.Dataset:
    """Return the mode and the function of the draws of chains."""
    import xarray as xr

    chains = comparison.chains
    assert chains is not None
    found = mode_and_function(comparison, comparison.chain_modes)
    coords = {"chain": chains.index, "draw": np.arange(chains.rows.shape[1])}
    return xr.Dataset({k: (("chain", "draw"), v) for k, v in found.items()}, coords)


def write_stacked(chains: Chains, weights: FloatArray, folder: Path, *, seed: int) -> None:
    """Write ``stacked.nc``, draws of the weighted mixture of chains, in one step.

    Raises
    ------
    StorageError
        It cannot be written.
    """
    _write_tree(stack_draws(chains, weights, seed=seed), folder / STACKED, "chains")


def _write_tree(tree: xr.DataTree, path: Path, engine: str) -> None:
    """Write a tree with the name of its run, if the folder holds one."""
    encoding = {
        group: {name: {"zlib": True, "complevel": 1} for name in tree[group].data_vars}
        for group in ("/log_likelihood", "/posterior_predictive")
        if group.strip("/") in tree.children
    }
    owner = owner_of(path.parent / engine)
    if owner is not None:
        tree.attrs[BELONGS] = owner
    with atomic(path) as partial, _hdf5_errors():
        tree.to_netcdf(partial, engine="h5netcdf", encoding=encoding)


@contextmanager
def _hdf5_errors() -> Iterator[None]:
    """Turn an error of HDF5, which gives its number as text, into one of the system."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        number = _ERRNO.search(str(error))
        code = int(number[1]) if number else getattr(error, "errno", None) or errno.EIO
        raise OSError(code, os.strerror(code)) from error


def write_nested(
    nested: Nested, folder: Path, comparison: Comparison | None = None, *, seed: int = 1
) -> None:
    """Write ``nested.csv``, which `anesthetic.read_csv` reads, and ``nested.nc``, each in one step.

    Parameters
    ----------
    comparison : Comparison, optional
        The comparison with the modes of the points, which both files then have.

    Raises
    ------
    InputError, StorageError
        A file cannot be written.
    """
    with atomic(folder / NESTED) as partial:
        nested_samples(nested, comparison).to_csv(partial)
    write_nested_tree(nested, folder, comparison, seed=seed)


def write_nested_tree(
    nested: Nested, folder: Path, comparison: Comparison | None = None, *, seed: int = 1
) -> None:
    """Write ``nested.nc``, equally weighted draws with the evidence, in one step.

    It leaves the log likelihood of draws and observations out if there are more than 1e8 values.

    Parameters
    ----------
    comparison : Comparison, optional
        The comparison with the modes and the weights: see
        `manymodes.results.nested_export.nested_datatree`.

    Raises
    ------
    StorageError
        It cannot be written.
    """
    complete = nested.posterior.n_obs <= _MOST_LOG_LIK * nested.weights.max()
    tree = nested_datatree(nested, comparison, seed=seed, log_likelihood=complete)
    _write_tree(tree, folder / NESTED_TREE, "nested")


def write_tempered(tempered: Tempered, folder: Path, comparison: Comparison | None = None) -> None:
    """Write ``tempered.nc``, the draws with the evidence, in one step.

    It leaves the log likelihood of draws and observations out if there are more than 1e8 values.

    Raises
    ------
    StorageError
        It cannot be written.
    """
    complete = tempered.posterior.n_obs * len(tempered.eta) <= _MOST_LOG_LIK
    tree = tempered_datatree(tempered, comparison, log_likelihood=complete)
    _write_tree(tree, folder / TEMPERED, "tempered")


def write_draws(comparison: Comparison, folder: Path, *, seed: int) -> None:
    """Write the draws of all engines and of the stacked chains, if there are any.

    Raises
    ------
    InputError, StorageError
        A file cannot be written.
    """
    if comparison.chains is not None:
        write_chains(comparison.chains, folder, comparison)
        if comparison.stacking is not None:
            write_stacked(comparison.chains, comparison.stacking.weights, folder, seed=seed)
    if comparison.nested is not None:
        write_nested(comparison.nested, folder, comparison, seed=seed)
    if comparison.tempered is not None:
        write_tempered(comparison.tempered, folder, comparison)


def summarise(
    comparisons: Mapping[str, Comparison],
    *,
    command: str,
    seed: int,
    diagnoses: Mapping[str, Diagnosis] | None = None,
    checks: Mapping[str, Checks] | None = None,
    **extra: Any,
) -> dict[str, Any]:
    """Return the content of ``summary.json``."""
    entries = {
        name: {"kernel": one.posterior.program.kernel_state, **one.as_dict()}
        for name, one in comparisons.items()
    }
    for name, diagnosis in (diagnoses or {}).items():
        entries[name]["chains"]["diagnosis"] = diagnosis.as_dict()
    for name, one in (checks or {}).items():
        entries[name]["checks"] = one.as_dict()
    return {**summary_head(command, seed), **extra, "posteriors": entries}


def summary_head(command: str, seed: int) -> dict[str, Any]:
    """Return the first entries of every ``summary.json``: versions, the command and its seed."""
    toolchain = find().as_dict()
    return {
        "manymodes": __version__,
        "command": command,
        "seed": seed,
        "toolchain": {
            part: {key: toolchain[part][key] for key in ("version", "source")}
            for part in ("cmdstan", "bridge", "polychord")
        },
    }


# ---------------------------------------------------------------------------- reading


@dataclass(frozen=True, repr=False)
class Results(Shown):
    """A run directory, opened.

    Attributes
    ----------
    folder : Path
        The directory.
    summary : dict
        The content of ``summary.json``.

    Examples
    --------
    >>> # run: the directory of a network on doses.csv, sampled, integrated and compared
    >>> run = mm.load("run")
    >>> run.names, run.chains["posterior"]["W"].shape
    (('none',), (4, 100, 2, 1))
    >>> [column for column in run.modes.columns if column in ("log_z", "evidence", "occupancy")]
    ['log_z', 'evidence', 'occupancy']
    """

    folder: Path
    summary: dict[str, Any]

    def _headline(self) -> str:
        names = shown(self.names, 5)
        there = {self.folder, *self._folders().values()}
        held = [name for name in _LISTED if any((one / name).exists() for one in there)]
        files = ", ".join(held) or "no draws"
        return f"Results in '{self.folder}' of {names or 'no posterior'}: {files}"

    @property
    def names(self) -> tuple[str, ...]:
        """The posteriors in it."""
        return tuple(self.summary["posteriors"])

    def _folders(self) -> dict[str, Path]:
        if (self.folder / "posterior").is_dir():
            return dict.fromkeys(self.names, self.folder)
        summary = self.folder / SUMMARY
        return {name: member(self.folder, name, summary) for name in self.names}

    @cached_property
    def chains(self) -> xr.DataTree:
        """The draws of the chains: groups ``posterior``, ``sample_stats``, ``log_likelihood``.

        With several posteriors, each that has draws has a branch of its own under its name.
        """
        return self._trees(CHAINS, "chains", self._unwritten_chains)

    def _unwritten_chains(self, name: str, folder: Path) -> xr.DataTree | None:
        chains = load_chains(self.posterior(name), folder)
        return None if chains is None else chains.to_datatree()

    def _unwritten_nested(self, name: str, folder: Path) -> Nested | None:
        return load_nested(self.posterior(name), folder)

    def _trees(
        self,
        file_name: str,
        engine: str,
        unwritten: Callable[[str, Path], xr.DataTree | None] | None = None,
    ) -> xr.DataTree:
        """Read the trees of all posteriors; make those that are not written yet."""
        import xarray as xr

        trees = {}
        for name, folder in self._drawn(engine, file_name).items():
            tree = None
            there = (folder / file_name).exists() or not (folder / engine).is_dir()
            if unwritten is not None and not there:
                tree = unwritten(name, folder)
            trees[name] = tree or read_tree(present(folder / file_name), engine)
        if len(self.names) == 1:
            return next(iter(trees.values()))
        return xr.DataTree(children=trees)

    def _drawn(self, engine: str, file_name: str) -> dict[str, Path]:
        """Return the folders of the posteriors that an engine has drawn from; all if of none."""
        folders = self._folders()
        drawn = {
            name: folder
            for name, folder in folders.items()
            if (folder / file_name).exists() or (folder / engine).is_dir()
        }
        return drawn or folders

    @cached_property
    def stacked(self) -> xr.DataTree:
        """Draws of the stacked chains: groups ``posterior`` and, for a network, ``predictions``.

        With several posteriors, each that has draws has a branch of its own under its name.
        """
        return self._trees(STACKED, "chains")

    @cached_property
    def nested(self) -> NestedSamples | dict[str, NestedSamples]:
        """The nested samples; with several posteriors, by name, of those that have some."""
        samples = {}
        for name, folder in self._drawn("nested", NESTED).items():
            found = None
            if not (folder / NESTED).exists() and (folder / "nested").is_dir():
                found = self._unwritten_nested(name, folder)
            samples[name] = found.samples if found else read_nested(present(folder / NESTED))
        return next(iter(samples.values())) if len(self.names) == 1 else samples

    @cached_property
    def nested_tree(self) -> xr.DataTree:
        """Equally weighted draws of the nested runs, with the evidence in the attributes.

        Groups ``posterior``, ``sample_stats``, ``log_likelihood``, as those of chains. With
        several posteriors, each has a branch of its own under its name.
        """

        def unwritten(name: str, folder: Path) -> xr.DataTree | None:
            found = self._unwritten_nested(name, folder)
            return None if found is None else nested_datatree(found, seed=1)

        return self._trees(NESTED_TREE, "nested", unwritten)

    @cached_property
    def tempered(self) -> xr.DataTree:
        """The tempered draws, with the evidence in the attributes: one chain for each run.

        Groups ``posterior``, ``sample_stats``, ``log_likelihood``, as those of chains. With
        several posteriors, each has a branch of its own under its name.
        """

        def unwritten(name: str, folder: Path) -> xr.DataTree | None:
            found = load_tempered(self.posterior(name), folder)
            return None if found is None else tempered_datatree(found)

        return self._trees(TEMPERED, "tempered", unwritten)

    @cached_property
    def modes(self) -> pd.DataFrame:
        """The modes with their weights, one row each, indexed by posterior and id."""
        try:
            rows = [
                {
                    "posterior": name,
                    **{k: v for k, v in mode.items() if k != "weight"},
                    **mode["weight"],
                }
                for name, entry in self.summary["posteriors"].items()
                for mode in entry.get("modes", ())
            ]
            if rows:
                return pd.DataFrame(rows).set_index(["posterior", "id"])
        except (KeyError, TypeError, AttributeError) as error:
            raise damaged(self.folder / SUMMARY, error) from error
        raise ResultsError(
            f"{self.folder}: no modes were searched: run manymodes compare {self.folder}"
        )

    def posterior(self, name: str | None = None) -> Posterior:
        """Return a posterior of the run, ready to be evaluated.

        Parameters
        ----------
        name : str, optional
            Which; the first by default.

        Returns
        -------
        Posterior
            With the program and the data that the run keeps.

        Raises
        ------
        InputError
            The run has no posterior of that name.

        Examples
        --------
        >>> # run: the directory of a network 1-2-1 on doses.csv
        >>> mm.load("run").posterior().dims
        7
        """
        folders = self._folders()
        chosen = name if name is not None else next(iter(folders))
        if chosen not in folders:
            raise InputError(f"posterior: '{chosen}' is not one of: {', '.join(folders)}")
        return open_posterior(folders[chosen] / "posterior")


def load(folder: Path | str) -> Results:
    """Open a run directory.

    Parameters
    ----------
    folder : path
        What ``--out`` named.

    Returns
    -------
    Results
        Files are read when they are asked for. A run without modes, or one that is still going or
        was interrupted, has the draws of the chains and runs that are finished.

    Warns
    -----
    UnfinishedWarning
        The run was interrupted: it holds fewer chains or nested runs than were asked for.

    Raises
    ------
    ResultsError
        There is no run in it, or its summary is damaged.

    Examples
    --------
    >>> # run: the directory of a network on doses.csv, sampled, integrated and compared
    >>> run = mm.load("run")
    >>> run.nested.logZ() < 0, len(run.modes) > 1
    (True, True)
    """
    path = Path(folder)
    if not path.is_dir():
        raise ResultsError(f"{path}: no such run directory")
    summary = _summary_of(path)
    posteriors = summary.get("posteriors")
    several = not (path / "posterior").is_dir()
    if not isinstance(posteriors, dict) or not all(
        isinstance(entry, dict) and (_is_folder(name) or not several)
        for name, entry in posteriors.items()
    ):
        raise ResultsError(
            f"{path / SUMMARY} is damaged (no 'posteriors', or an impossible one): "
            f"write it anew with manymodes compare {path}"
        )
    found = Results(path, summary)
    for one in dict.fromkeys(found._folders().values()):
        unfinished_warnings(one)
    return found


def _summary_of(path: Path) -> dict[str, Any]:
    """Return the summary of a run; without a file, that of a run of which no modes are known."""
    if (path / SUMMARY).exists():
        return read_json(path / SUMMARY)
    if not (path / "posterior").is_dir():
        raise ResultsError(f"{path} holds no run: make one with manymodes sample or evidence")
    described = read_json(member(path / "posterior", "posterior.json", path / "posterior"))
    return {"posteriors": {str(described.get("name")): {}}}


def _is_folder(name: str) -> bool:
    """Whether a name is that of a folder and cannot lead out of the run."""
    return Path(name).name == name and name not in ("", "..")
