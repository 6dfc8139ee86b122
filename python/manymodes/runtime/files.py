"""One file written in one step: it is whole, or it is not there."""

from __future__ import annotations

import errno
import hashlib
import itertools
import os
import re
import socket
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from manymodes.errors import InputError, ManymodesError, StorageError

_REFUSED = {
    errno.EACCES, errno.EPERM, errno.EROFS, errno.EISDIR, errno.ENOTDIR, errno.EEXIST,
    errno.ENAMETOOLONG, errno.EINVAL, errno.ELOOP, errno.ENOTEMPTY,
}  # fmt: skip
"""Errors of a path, not of the disk."""

_PARTIAL = re.compile(
    r"\.(?P<name>.+?)\.(?:(?P<host>[0-9a-f]{8})-)?(?P<pid>\d+)(?:-\d+)?\.partial", re.DOTALL
)
_LONGEST = 150  # bytes of a name that its partial file repeats: most file systems take 255
_A_DAY = 86_400.0
_counter = itertools.count()


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Give a partial file to fill: it gets its name in one step when it is whole, or never.

    It is forced to the disk first. Its partial name is unique among threads, processes and
    machines (``.NAME.HOST-PID-COUNT.partial``). An error leaves no partial file behind;
    `sweep_partials` removes those of a killed process.

    Parameters
    ----------
    path : Path
        The file. Its folder must exist.

    Raises
    ------
    StorageError
        The disk is full or fails, or the folder is gone.
    InputError
        The path cannot name a file.
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
    """Refuse to write over files, unless the user allows it; never write over a file that is read.

    Raises
    ------
    InputError
        A file is there, or is a directory.
    """
    read = {path.resolve() for path in reads}
    for path in paths:
        if path.resolve() in read:
            raise InputError(f"{path} is a file that is read: choose another --out")
        if path.is_dir():
            raise InputError(f"{path} cannot be written: it is a directory")
        if (path.exists() or path.is_symlink()) and not overwrite:
            raise InputError(
                f"{path} exists already: replace it with --overwrite, or choose another name"
            )


def cannot_write(path: Path, error: OSError) -> ManymodesError:
    """Return the error for a file or folder that cannot be written."""
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
        Where to look; folders below it are not searched.
    names : str
        A pattern for the names of the files that were to be written; all by default.
    """
    with suppress(OSError):
        for path in folder.glob(".*.partial"):
            found = _PARTIAL.fullmatch(path.name)
            if found and (not names or found["name"] in names) and _abandoned(path, found):
                path.unlink(missing_ok=True)


def _abandoned(path: Path, name: re.Match[str]) -> bool:
    """Whether a partial file has no writer any more: its process is gone, or it is a day old."""
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
    return hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]


def _sync(path: Path) -> None:
    """Force a file, or the names in a folder, to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
