"""Compiled files kept in folders of a cache, each with its digest."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

from manymodes.errors import InputError
from manymodes.files import atomic, sweep_partials

_MARKER = "compiled.json"


def cached_build(folder: Path, name: str, build: Callable[[Path], Path]) -> Path:
    """Return ``folder/name``, making it with ``build(scratch_folder)`` if it is not there yet.

    Only one process builds at a time; the file appears under its name in one step, and its
    digest is recorded after that. A file without a recorded digest is built again.

    Raises
    ------
    InputError
        The file differs from its recorded digest, or the cache cannot be written.
    """
    target = folder / name
    if name in read_digests(folder):
        _verify(folder, name)
        return target
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / f".{name}.lock"):
            if name not in read_digests(folder):
                with tempfile.TemporaryDirectory(dir=folder, prefix="building-") as scratch:
                    os.replace(build(Path(scratch)), target)
                _record(folder, name)
    except OSError as error:
        raise InputError(f"the program cache {folder} cannot be written: {error}") from error
    return target


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
