"""Unexpected errors: the line for the user, and the file that keeps the traceback."""

from __future__ import annotations

import errno
import os
import platform
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from manymodes._version import __version__
from manymodes.toolchain.paths import home

TRACEBACK = "traceback-"
"""The beginning of the names of files with a traceback."""

VARIABLE = "MANYMODES_TRACEBACK"
"""The environment variable that shows every traceback, if it is neither empty nor 0."""

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def of_full_disk(error: BaseException) -> bool:
    """Whether an error, or its cause, is a full disk."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and seen.errno in _FULL:
            return True
        seen = seen.__cause__
    return False


def unexpected(error: BaseException, folders: Sequence[Path]) -> str:
    """Return one line about an unexpected error, and keep its traceback.

    Parameters
    ----------
    error : BaseException
        The error.
    folders : sequence of Path
        Folders for the file; the first that can be written is used, then the user's directory of
        manymodes, then the system's for temporary files.
    """
    said = " ".join(str(error).split())
    if isinstance(error, OSError) and error.strerror:
        named = f": {error.filename}" if error.filename is not None else ""
        said = f"{error.strerror}{named}"
    elif isinstance(error, MemoryError):
        said = f"not enough memory{f': {said}' if said else ''}"
    else:
        said = f"{type(error).__name__}{f': {said}' if said else ''}"
    if len(said) > 500:
        said = f"{said[:497]}..."
    path = keep_traceback(error, folders)
    return said if path is None else f"{said} (the traceback is in {path})"


def keep_traceback(error: BaseException, folders: Sequence[Path]) -> Path | None:
    """Write a traceback to a new file in the first writable folder; None if there is none."""
    with suppress(Exception):  # the error itself is reported in any case
        text = (
            f"manymodes {__version__}, Python {platform.python_version()}, "
            f"{platform.platform()}\n{' '.join(sys.argv)}\n\n"
            f"{''.join(traceback.format_exception(error))}"
        )
        for folder in (*folders, logs(), Path(tempfile.gettempdir())):
            path = _write_new(folder, text)
            if path is not None:
                return path
    return None


def logs() -> Path:
    """Return the folder for files that belong to no run."""
    return home() / "logs"


def show_traceback(error: BaseException) -> None:
    """Print a traceback if the environment asks for it."""
    if os.environ.get(VARIABLE, "0") not in ("", "0"):
        with suppress(Exception):
            traceback.print_exception(error)


def _write_new(folder: Path, text: str) -> Path | None:
    stem = f"{TRACEBACK}{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"
    for count in range(100):
        path = folder / f"{stem}{f'-{count}' if count else ''}.txt"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with path.open("x", encoding="utf-8", errors="backslashreplace") as file:
                file.write(text)
        except FileExistsError:
            continue
        except OSError as error:
            if error.errno in _FULL:
                with suppress(OSError):
                    path.unlink()
            return None
        return path
    return None
