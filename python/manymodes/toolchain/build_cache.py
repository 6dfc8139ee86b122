"""Compiled files kept in folders of a cache, each with its digest."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

from manymodes.errors import InputError, StorageError
from manymodes.runtime.files import atomic, sweep_partials
from manymodes.runtime.scratch import scratch_folder, sweep

_MARKER = "compiled.json"
_BUILDING = "building-"
_DAY_SECONDS = 86400.0
_FULL = {errno.ENOSPC, errno.EDQUOT}


def cached_build(folder: Path, name: str, build: Callable[[Path], Path]) -> Path:
    """Return ``folder/name``, making it with ``build(scratch_folder)`` if it is not there yet.

    Only one process builds at a time; the file appears under its name in one step, and its
    digest is recorded after that. A file without a recorded digest is built again.

    Raises
    ------
    InputError
        The file differs from its recorded digest, or the cache cannot be written.
    StorageError
        The disk is full.
    """
    target = folder / name
    if name in read_digests(folder):
        _verify(folder, name)
        return target
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / f".{name}.lock"):
            if name not in read_digests(folder):
                with scratch_folder(folder.parent, _BUILDING) as scratch:
                    os.replace(build(scratch), target)
                _record(folder, name)
    except StorageError:
        raise
    except OSError as error:
        if error.errno in _FULL:
            raise StorageError(f"the disk of {folder} is full: make room and run again") from error
        raise InputError(f"the program cache {folder} cannot be written: {error}") from error
    return target


def sweep_builds(cache: Path) -> None:
    """Remove the files that killed builds left in a cache, unless their owner lives."""
    sweep(cache)
    for leftover in cache.glob(f"*/{_BUILDING}*"):  # of manymodes 0.1, which held no lock
        if time.time() - leftover.stat().st_mtime > _DAY_SECONDS:
            shutil.rmtree(leftover, ignore_errors=True)
    for folder in {partial.parent for partial in cache.glob("*/.*.partial")}:
        sweep_partials(folder)


def read_digests(folder: Path) -> dict[str, str]:
    """Return the recorded digests of a cache folder; empty if it has none."""
    try:
        digests = json.loads((folder / _MARKER).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError) as error:
        raise InputError(
            f"the cache file {folder / _MARKER} is damaged: remove {folder} and run again"
        ) from error
    if not isinstance(digests, dict):
        raise InputError(
            f"the cache file {folder / _MARKER} is damaged: remove {folder} and run again"
        )
    return digests


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _record(folder: Path, name: str) -> None:
    with FileLock(folder / f".{_MARKER}.lock"):
        digests = {**read_digests(folder), name: file_digest(folder / name)}
        sweep_partials(folder, _MARKER)
        with atomic(folder / _MARKER) as partial:
            partial.write_text(json.dumps(digests, indent=1), encoding="utf-8")


def _verify(folder: Path, name: str) -> None:
    path = folder / name
    if not path.is_file() or file_digest(path) != read_digests(folder)[name]:
        raise InputError(
            f"the cached file {path} is damaged or gone: remove {folder} and run again"
        )
