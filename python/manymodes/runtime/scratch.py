"""Scratch folders that a later command removes if their owner was killed.

Beside each folder lies a lock file that its owner holds. The kernel releases the lock when the
process ends, however it ends. So a folder without a held lock has no owner any more.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from manymodes.errors import StorageError
from manymodes.runtime.files import sweep_partials

try:
    import fcntl
except ImportError:  # not a Unix: nothing is held, and nothing removed
    fcntl = None  # type: ignore[assignment]

PREFIX = "manymodes-"
"""How the names of folders in the system's temporary folder begin."""

_LOCK = ".scratch"
_MONTH_SECONDS = 30 * 86400.0  # after that, a folder of another host counts as abandoned


@contextmanager
def scratch_folder(parent: Path | None = None, prefix: str = PREFIX) -> Iterator[Path]:
    """Hold a new, empty folder that is removed afterwards.

    Parameters
    ----------
    parent : Path, optional
        The folder that gets it; the system's temporary folder by default.
    prefix : str
        The beginning of its name.

    Raises
    ------
    StorageError
        It cannot be made.
    """
    try:
        place = Path(tempfile.gettempdir()) if parent is None else parent
        folder, lock, handle = _claimed(place, prefix)
    except OSError as error:
        reason = error.strerror or error
        where = "the temporary folder" if parent is None else parent
        raise StorageError(
            f"no scratch folder can be made in {error.filename or where}: {reason}; make room, "
            "or name another place (TMPDIR, MANYMODES_HOME, --out)"
        ) from error
    try:
        yield folder
    finally:
        _remove(folder, lock, handle)


@contextmanager
def temporary_files_inside() -> Iterator[Path]:
    """Put all temporary files of this process and its children into one folder.

    If any of them is killed, `sweep` then removes what libraries, compilers and installers left.

    Raises
    ------
    StorageError
        The folder cannot be made.
    """
    before, variable = tempfile.tempdir, os.environ.get("TMPDIR")
    with scratch_folder() as folder:
        use_temporary(folder)
        try:
            yield folder
        finally:
            tempfile.tempdir = before
            if variable is None:
                del os.environ["TMPDIR"]
            else:
                os.environ["TMPDIR"] = variable


def use_temporary(folder: Path) -> None:
    """Make a folder the temporary one of this process and of those that it starts."""
    os.environ["TMPDIR"] = tempfile.tempdir = str(folder)


def sweep(parent: Path | None = None) -> None:
    """Remove the scratch folders in a folder that have no owner any more.

    Folders of a living process stay, and so do folders of another host, because its locks may not
    be visible here. Folders that cannot be removed stay, too.

    Parameters
    ----------
    parent : Path, optional
        The folder to sweep; the system's temporary folder by default.
    """
    with suppress(OSError):
        place = Path(tempfile.gettempdir()) if parent is None else parent
        for lock in list(place.glob(f"*{_LOCK}")):
            name, _, host = lock.name.removesuffix(_LOCK).rpartition("@")
            with suppress(OSError):
                if not name or (host != _host() and not _is_old(lock)):
                    continue
                handle = _taken(os.open(lock, os.O_RDWR))
                if handle is not None:
                    _remove(place / name, lock, handle)


def sweep_held(folder: Path, prefix: str) -> None:
    """Remove the scratch folders, held or not, in a folder to which no other process writes.

    Parameters
    ----------
    folder : Path
        The folder; the caller holds it.
    prefix : str
        The beginning of their names.
    """
    with suppress(OSError):
        for entry in list(folder.iterdir()):
            if entry.name.startswith(prefix):
                if entry.is_dir():
                    shutil.rmtree(entry, ignore_errors=True)
                else:
                    entry.unlink(missing_ok=True)


def sweep_run(folder: Path) -> None:
    """Remove the unfinished files of a run that was killed; the caller holds its directory."""
    for place in (folder, *(path.parent for path in folder.glob("*/posterior"))):
        for name in (".", "posterior", "chains", "nested", "checks", "checks/nested"):
            sweep_partials(place / name)
            sweep(place / name)


def _claimed(place: Path, prefix: str) -> tuple[Path, Path, int]:
    """Return a new folder, its lock file and the open file that holds the lock.

    The lock comes first, so that no folder is ever without a lock.
    """
    while True:
        folder = place / f"{prefix}{os.urandom(6).hex()}"
        lock = folder.with_name(f"{folder.name}@{_host()}{_LOCK}")
        handle = _taken(os.open(lock, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600), mine=True)
        if handle is None:  # a sweep was faster
            continue
        try:
            folder.mkdir(mode=0o700)
        except OSError:
            _remove(folder, lock, handle)
            raise
        return folder, lock, handle


def _taken(handle: int, *, mine: bool = False) -> int | None:
    """Return an open lock file if it is locked now; close it and return None if it is not.

    If the disk has no locks, the process that has just made the file goes on without one.
    """
    try:
        if fcntl is None:
            raise OSError
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        got = os.fstat(handle).st_nlink > 0
    except BlockingIOError:
        got = False
    except OSError:
        got = mine
    if got:
        return handle
    os.close(handle)
    return None


def _remove(folder: Path, lock: Path, handle: int) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    if not folder.exists():
        lock.unlink(missing_ok=True)
    os.close(handle)


def _host() -> str:
    """Return this machine's name, as it is part of the names of lock files."""
    node = os.uname().nodename if hasattr(os, "uname") else "host"
    return re.sub(r"[^\w.-]", "_", node)[:60]


def _is_old(path: Path) -> bool:
    return time.time() - path.stat().st_mtime > _MONTH_SECONDS
