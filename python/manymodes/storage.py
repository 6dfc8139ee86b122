"""Files that are either whole or not there: atomic writes, checked reads, run fingerprints."""

from __future__ import annotations

import errno
import hashlib
import itertools
import json
import os
import re
import socket
import tempfile
import time
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from filelock import FileLock, Timeout

from manymodes.errors import InputError, ManymodesError, ResultsError, StorageError

_REFUSED = {
    errno.EACCES, errno.EPERM, errno.EROFS, errno.EISDIR, errno.ENOTDIR, errno.EEXIST,
    errno.ENAMETOOLONG, errno.EINVAL, errno.ELOOP, errno.ENOTEMPTY,
}  # fmt: skip
"""What is wrong with a path, and not with the disk."""

_PARTIAL = re.compile(
    r"\.(?P<name>.+?)\.(?:(?P<host>[0-9a-f]{8})-)?(?P<pid>\d+)(?:-\d+)?\.partial", re.DOTALL
)
_LONGEST = 150  # bytes of a name that its partial file repeats: most file systems take 255
_A_DAY = 86_400.0
_counter = itertools.count()


def ensure_folder(path: Path) -> Path:
    """Make a folder and check that it can be written to.

    Raises
    ------
    InputError
        It cannot.
    StorageError
        The disk is full or fails.
    """
    if path.exists() and not path.is_dir():
        raise InputError(f"the folder {path} cannot be written: it is a file; choose another name")
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path) as file:
            file.write(b"\0")
    except OSError as error:
        raise cannot_write(path, error) from error
    return path


@contextmanager
def kept_folder(out: Path | str | None, name: str) -> Iterator[Path]:
    """Hold the absolute path of the folder ``name`` below ``out``, or below a temporary one."""
    if out is not None:
        yield Path(out).resolve() / name
        return
    with tempfile.TemporaryDirectory(prefix="manymodes-") as scratch:
        yield Path(scratch).resolve() / name


@contextmanager
def held(folder: Path, lock_file: Path) -> Iterator[None]:
    """Hold a folder for this process alone.

    Raises
    ------
    InputError
        Another process holds it.
    """
    lock = FileLock(lock_file, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise InputError(
            f"{folder} is in use by another run: wait for it or choose another --out"
        ) from None
    except OSError as error:
        raise cannot_write(lock_file, error) from error
    try:
        yield
    finally:
        lock.release()


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Give a partial file to fill: it gets its name in one step when it is whole, or never.

    It is forced to the disk first. Its own name is unique among threads, processes and machines
    (``.NAME.HOST-PID-COUNT.partial``). What goes wrong leaves nothing behind; what a killed
    process leaves, `sweep_partials` removes.

    Parameters
    ----------
    path : Path
        The file. Its folder must be there.

    Raises
    ------
    StorageError
        The disk is full or fails, or the folder is gone.
    InputError
        There may be no such file.
    """
    shown = path.name.encode()[:_LONGEST].decode(errors="ignore")
    partial = path.with_name(f".{shown}.{_host()}-{os.getpid()}-{next(_counter)}.partial")
    try:
        yield partial
        _sync(partial)
        os.replace(partial, path)
    except BaseException as error:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        if isinstance(error, OSError) and not isinstance(error, ManymodesError):
            raise cannot_write(path, error) from error
        raise
    with suppress(OSError):  # the file is there; not every file system syncs folders
        _sync(path.parent)


def refuse_existing(paths: Iterable[Path], overwrite: bool, reads: Sequence[Path] = ()) -> None:
    """Refuse to write over files, unless the user says so; and over what is read in any case.

    Raises
    ------
    InputError
        A file is there, or is a directory.
    """
    read = {path.resolve() for path in reads}
    for path in paths:
        if path.resolve() in read:
            raise InputError(f"{path} is what is read: choose another --out")
        if path.is_dir():
            raise InputError(f"{path} cannot be written: it is a directory")
        if (path.exists() or path.is_symlink()) and not overwrite:
            raise InputError(
                f"{path} is there already: replace it with --overwrite, or choose another name"
            )


def cannot_write(path: Path, error: OSError) -> ManymodesError:
    """Return what a user is told where a file or folder cannot be written."""
    reason = error.strerror or str(error)
    if error.errno in _REFUSED:
        return InputError(f"{path} cannot be written: {reason}")
    if error.errno == errno.ENOENT:
        return StorageError(f"{path} cannot be written: the folder {path.parent} is gone")
    return StorageError(
        f"{path} cannot be written: {reason}; make room and run the command again "
        "(a run goes on with --resume)"
    )


def sweep_partials(folder: Path, *names: str) -> None:
    """Remove the partial files of a folder whose writers are gone.

    Parameters
    ----------
    folder : Path
        Where to look; not below it.
    names : str
        Of the files that were to be written; all by default.
    """
    with suppress(OSError):
        for path in folder.glob(".*.partial"):
            found = _PARTIAL.fullmatch(path.name)
            if found and (not names or found["name"] in names) and _abandoned(path, found):
                path.unlink(missing_ok=True)


def _abandoned(path: Path, name: re.Match[str]) -> bool:
    """Whether nobody writes a partial file any more: its process is gone, or it is a day old."""
    here = name["host"] in (None, _host())
    if here and not _is_alive(int(name["pid"])):
        return True
    return time.time() - path.stat().st_mtime > _A_DAY


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # another user's
        return True
    return True


@cache
def _host() -> str:
    return digest(socket.gethostname())[:8]


def _sync(path: Path) -> None:
    """Force a file, or the names in a folder, to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_text(path: Path, text: str) -> None:
    """Write a text file in one step; raise as `atomic`."""
    with atomic(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write a JSON file in one step; NaN and infinities become null."""
    write_text(path, json_text(value) + "\n")


def json_text(value: Mapping[str, Any]) -> str:
    """Return JSON; NaN and infinities become null."""
    return json.dumps(_finite(value), indent=1, default=_plain)


def plain_json(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return values as a JSON file gives them back."""
    plain: dict[str, Any] = json.loads(json_text(value))
    return plain


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises
    ------
    ResultsError
        The file is missing or damaged.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ResultsError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:
        raise ResultsError(f"{path} is damaged ({error}): remove it and run again") from error
    if not isinstance(value, dict):
        raise ResultsError(f"{path} is damaged (not a JSON object): remove it and run again")
    return value


def write_arrays(path: Path, arrays: Mapping[str, npt.ArrayLike]) -> None:
    """Write named arrays to an ``.npz`` file in one step, and make sure that they are there.

    The file gets its name after it was read back and forced to the disk, so that one that has
    its name is whole, whatever happens to the machine.

    Raises
    ------
    StorageError, InputError
        As `atomic`.
    """
    with atomic(path) as partial:
        with partial.open("wb") as file:
            np.savez(file, **{name: np.asarray(value) for name, value in arrays.items()})  # type: ignore[arg-type]
        try:
            with zipfile.ZipFile(partial) as archive:
                damaged = archive.testzip()
        except zipfile.BadZipFile as error:
            raise OSError(errno.EIO, f"it does not read back: {error}") from error
        if damaged is not None:
            raise OSError(errno.EIO, f"'{damaged}' does not read back as it was written")


def read_arrays(path: Path, *needed: str) -> dict[str, npt.NDArray[Any]]:
    """Read named arrays, checking every byte against the file's checksums.

    Raises
    ------
    ResultsError
        The file is damaged, or lacks an array that is needed.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in {*needed, *archive.files}}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise ResultsError(
            f"{path} is damaged ({error}): remove it and run again with --resume"
        ) from error
    return arrays


def digest(text: str) -> str:
    """Return a short hash of a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    if isinstance(value, float | np.floating) and not np.isfinite(value):
        return None
    return value
