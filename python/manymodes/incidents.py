"""What the process of a command holds on to when something breaks: streams, and tracebacks."""

from __future__ import annotations

import codecs
import errno
import os
import platform
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import manymodes
from manymodes.errors import StorageError
from manymodes.toolchain.paths import home

TRACEBACK = "traceback-"
"""How the names of files with a traceback begin."""

VARIABLE = "MANYMODES_TRACEBACK"
"""The environment variable that shows every traceback, if it is neither empty nor 0."""

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_PLAIN = {
    "\u00b1": "+-", "\u2192": "->", "\u2190": "<-", "\u2212": "-", "\u2013": "-", "\u2014": "-",
    "\u00d7": "x", "\u00b7": "*", "\u2026": "...", "\u2019": "'", "\u2018": "'", "\u201c": '"',
    "\u201d": '"', "\u00a0": " ", "\u202f": " ", "\u2264": "<=", "\u2265": ">=", "\u2248": "~",
    "\u00b2": "^2", "\u00b3": "^3", "\u03c3": "sigma", "\u03b1": "alpha", "\u03b2": "beta",
    "\u03b3": "gamma", "\u03bd": "nu", "\u03c1": "rho", "\u0394": "Delta", "\u00b5": "u",
}  # fmt: skip
"""What stands for a character that an output cannot show."""


# ------------------------------------------------------------------------------ streams


def hold_streams() -> None:
    """Open what was closed of standard input, output and error, towards nothing.

    Otherwise the next file that is opened takes its number, and what a program prints goes there.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115


def _in_plain_words(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    plain = "".join(_PLAIN.get(c, c) for c in text)
    return plain.encode("ascii", "backslashreplace").decode("ascii"), error.end


codecs.register_error("manymodes", _in_plain_words)


@contextmanager
def plain_streams() -> Iterator[None]:
    """Let standard output and error show what they cannot encode in other characters."""
    changed: list[tuple[Any, str]] = []
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, OSError, ValueError):
            before = str(stream.errors)
            stream.reconfigure(errors="manymodes")  # type: ignore[union-attr]
            changed.append((stream, before))
    try:
        yield
    finally:
        for stream, before in changed:
            with suppress(OSError, ValueError):
                stream.reconfigure(errors=before)


def flush_output() -> None:
    """Write what is left of the standard output; afterwards nothing of it can fail any more.

    Raises
    ------
    BrokenPipeError
        Its reader is gone.
    StorageError
        It cannot be written: the disk is full.
    """
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        abandon_output()
        raise
    except (OSError, ValueError) as error:
        abandon_output()
        reason = getattr(error, "strerror", None) or error
        raise StorageError(f"the standard output cannot be written: {reason}") from error


def abandon_output() -> None:
    """Lead the standard output nowhere, so that the end of the process does not write to it."""
    with suppress(OSError, ValueError, AttributeError):
        opened = os.open(os.devnull, os.O_WRONLY)
        os.dup2(opened, sys.stdout.fileno())
        os.close(opened)


# ------------------------------------------------------------------------------ errors


def of_full_disk(error: BaseException) -> bool:
    """Whether an error, or what led to it, is that there is no room left."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and seen.errno in _FULL:
            return True
        seen = seen.__cause__
    return False


def unexpected(error: BaseException, folders: Sequence[Path]) -> str:
    """Return the one line about an error that nobody raised on purpose; keep its traceback.

    Parameters
    ----------
    error : BaseException
        The error.
    folders : sequence of Path
        Where the file may go, the first that takes it; then the user's directory of manymodes,
        then the system's for temporary files.
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
    """Write a traceback to a new file, in the first folder that takes it; None if none does."""
    with suppress(Exception):  # what is wrong is told in any case
        text = (
            f"manymodes {manymodes.__version__}, Python {platform.python_version()}, "
            f"{platform.platform()}\n{' '.join(sys.argv)}\n\n"
            f"{''.join(traceback.format_exception(error))}"
        )
        for folder in (*folders, logs(), Path(tempfile.gettempdir())):
            path = _write_new(folder, text)
            if path is not None:
                return path
    return None


def logs() -> Path:
    """Return the folder for what goes to no run."""
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
