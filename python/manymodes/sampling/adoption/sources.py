"""The files that chains are adopted from: found by name, pattern or folder, and told apart."""

from __future__ import annotations

import glob
import hashlib
import os
import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from manymodes.errors import AdoptionWarning, InputError
from manymodes.runtime.storage import digest
from manymodes.sampling.adoption.cmdstan_csv import is_chain, max_treedepth, read_cmdstan_csv
from manymodes.sampling.adoption.draw_trees import is_zarr, read_tree, read_tree_file
from manymodes.sampling.adoption.foreign import Foreign, Wanted
from manymodes.sampling.adoption.json_draws import read_json_draws
from manymodes.toolchain.build_cache import file_digest
from manymodes.wording import joined

_HDF5 = b"\x89HDF\r\n\x1a\n"
_ZIP = b"PK\x03\x04"
_NETCDF3 = b"CDF"
_KINDS = (".csv", ".nc", ".json", ".json.zip")
_MOST_NAMED = 5


@dataclass(frozen=True)
class FileSource:
    """A file, or a Zarr store, with one or several chains.

    Attributes
    ----------
    path : Path
        Where it is.
    kind : {"csv", "tree", "json"}
        How it is read.
    """

    path: Path
    kind: str

    @property
    def digest(self) -> str:
        """A hash of the content."""
        if self.path.is_dir():
            inside = sorted(path for path in self.path.rglob("*") if path.is_file())
            return digest(" ".join(map(file_digest, inside)))
        return file_digest(self.path)

    @property
    def max_treedepth(self) -> int | None:
        """The sampler's largest tree depth, where the head of the file has it."""
        return max_treedepth(self.path) if self.kind == "csv" else None

    def read(self, wanted: Wanted) -> Iterator[Foreign]:
        """Yield the chains, one after another."""
        if self.kind == "csv":
            yield read_cmdstan_csv(self.path, wanted)
        elif self.kind == "json":
            yield from read_json_draws(self.path, wanted)
        else:
            yield from read_tree_file(self.path, wanted)


@dataclass(frozen=True, eq=False)
class TreeSource:
    """Draws in memory, in ArviZ's layout."""

    tree: Any
    max_treedepth: int | None = None

    @property
    def digest(self) -> str:
        """A hash of the draws."""
        found = hashlib.sha256()
        group = self.tree["posterior"]
        for name in sorted(map(str, group.data_vars)):
            found.update(name.encode())
            found.update(np.ascontiguousarray(group[name].to_numpy()).tobytes())
        return digest(found.hexdigest())

    def read(self, wanted: Wanted) -> Iterator[Foreign]:
        """Yield the chains, one after another."""
        yield from read_tree(self.tree, wanted)


Source = FileSource | TreeSource


def sources_of(chains: Any) -> list[Source]:
    """Return what chains are read from, files in the order of their numbers.

    Parameters
    ----------
    chains : path, sequence of paths, DataTree or InferenceData
        Files, patterns with ``*`` and folders; or draws in memory.

    Raises
    ------
    InputError
        There is no such file, one is given twice, or one is of no known kind.
    """
    if isinstance(chains, str | os.PathLike):
        chains = [chains]
    elif hasattr(chains, "groups") and hasattr(chains, "__getitem__"):
        return [_tree(chains)]
    if not isinstance(chains, Iterable) or hasattr(chains, "data_vars"):
        raise InputError(f"chains: {type(chains).__name__} is neither files nor a tree of draws")
    paths: list[Path] = []
    for one in chains:
        if not isinstance(one, str | os.PathLike):
            raise InputError(f"chains: {type(one).__name__} is not the path of a file")
        paths += _files(os.fspath(one))
    if not paths:
        raise InputError("chains: no file is given")
    seen: dict[Path, Path] = {}
    for path in paths:
        whole = path.resolve()
        if whole in seen:
            raise InputError(f"{path} is given twice: each chain counts once")
        seen[whole] = path
    return [FileSource(path, _kind(path)) for path in paths]


def _tree(tree: Any) -> TreeSource:
    try:
        tree["posterior"].data_vars  # noqa: B018
    except (KeyError, AttributeError, TypeError):
        raise InputError("the tree has no group 'posterior', which ArviZ keeps draws in") from None
    return TreeSource(tree)


def _files(text: str) -> list[Path]:
    """Return the files that a name, a pattern or a folder stands for."""
    path = Path(text).expanduser()
    if is_zarr(path) or (path.suffix == ".zarr" and path.is_dir()):
        return [path]
    if path.is_dir():
        return _in_folder(path)
    if path.exists():
        return [path]
    if glob.has_magic(text):
        found = sorted((Path(one) for one in glob.glob(str(path))), key=_in_order)
        if found:
            return found
        raise InputError(f"{text}: no file has such a name")
    raise InputError(f"{path}: no such file")


def _in_folder(folder: Path) -> list[Path]:
    """Return the chains in a folder: CSV files of a sampler, or else draws of other kinds.

    Warns
    -----
    AdoptionWarning
        Some CSV files are of no sampler, and left out.
    """
    entries = sorted(folder.iterdir(), key=_in_order)
    tables = [path for path in entries if path.suffix == ".csv" and path.is_file()]
    found = [path for path in tables if is_chain(path)]
    if found:
        others = [path.name for path in tables if path not in found]
        if others:
            more = f" and {len(others) - _MOST_NAMED} more" if len(others) > _MOST_NAMED else ""
            named = f"{joined(others[:_MOST_NAMED])}{more}"
            text = f"{folder}: left out, for they are not chains: {named}"
            warnings.warn(text, AdoptionWarning, stacklevel=5)
        return found
    trees = [path for path in entries if path.suffix == ".nc" or is_zarr(path)]
    found = trees or [path for path in entries if path.name.endswith((".json", ".json.zip"))]
    if found:
        return found
    raise InputError(f"{folder}: holds no chains (files {joined(_KINDS)}, or Zarr stores)")


def _in_order(path: Path) -> list[tuple[int, str]]:
    """Return a key that sorts names by the numbers in them: ``output_2`` before ``output_10``."""
    pieces = re.split(r"(\d+)", path.name)
    return [(int(piece), "") if piece.isdigit() else (-1, piece) for piece in pieces]


def _kind(path: Path) -> str:
    """Return how a file is read, as its first bytes say."""
    if path.is_dir():
        return "tree"
    try:
        with path.open("rb") as file:
            begin = file.read(64)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from error
    if not begin:
        raise InputError(f"{path} is empty: leave it out")
    if begin.startswith(_HDF5):
        return "tree"
    if begin.startswith(_NETCDF3):
        raise InputError(f"{path} is in NetCDF 3: write it with ArviZ's to_netcdf, in NetCDF 4")
    if begin.startswith(_ZIP) or begin.lstrip()[:1] in (b"[", b"{"):
        return "json"
    if b"\0" in begin:
        raise InputError(f"{path} is of no known kind: give {joined(_KINDS)} or a Zarr store")
    return "csv"


def common_treedepth(sources: Sequence[Source]) -> int | None:
    """Return the largest tree depth of all chains; None if they differ, or it is not known."""
    found = {source.max_treedepth for source in sources}
    return found.pop() if len(found) == 1 else None
