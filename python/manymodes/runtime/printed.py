"""The output of Stan programs: one log for each run, of bounded size, for all its processes.

The output of `print` (and the message of a rejected point) never goes to the terminal of a run. If
there is no run, for instance in a notebook that evaluates a density, it goes to Python's standard
output, as with BridgeStan's own client.
"""

from __future__ import annotations

import ctypes
import os
import re
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

try:
    import fcntl
except ImportError:  # not a Unix: processes may mix parts of their lines
    fcntl = None  # type: ignore[assignment]

LOG = "stan-output.log"
"""The log's name in a run directory."""
REJECTED = "Exception: "
"""How the message of a rejected point begins."""

_VARIABLE = "MANYMODES_STAN_OUTPUT"  # the log, for the processes that this one starts
_HEAD = 1 << 20
_TAIL = 1 << 20
_MOST = 4 << 20
_HELD_BACK = 1 << 16
_FLUSH_SECONDS = 1.0
_FIFO_SECONDS = 10.0  # to wait for a child that still holds the pipe
_MARK = re.compile(rb"\[manymodes: (\d+) lines are left out here\]\n")


# ---------------------------------------------------------------- the log


def append(log: Path, text: bytes) -> None:
    """Append whole lines to a log; a log that grows long keeps its first and its last part.

    Several processes may write at the same time. Lines that cannot be written are lost.
    """
    with suppress(OSError), log.open("a+b") as file:
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_EX)
        file.write(text)
        if file.tell() > _MOST:
            file.seek(0)
            shortened = _shortened(file.read())
            file.truncate(0)
            file.write(shortened)


def _shortened(text: bytes) -> bytes:
    """Return the first and the last part of a log, with a line that counts the lines left out."""
    begin = text.rfind(b"\n", 0, _HEAD) + 1
    end = text.find(b"\n", len(text) - _TAIL) + 1 or len(text) - _TAIL
    mark = _MARK.match(text, begin)
    left_out = text.count(b"\n", mark.end() if mark else begin, end)
    left_out += int(mark[1]) if mark else 0
    return text[:begin] + b"[manymodes: %d lines are left out here]\n" % left_out + text[end:]


def count_lines(log: Path) -> int:
    """Return how many lines programs printed into a log, rejected points not counted."""
    try:
        text = log.read_bytes()
    except OSError:
        return 0
    lines = text.count(b"\n") - len(re.findall(rb"^" + REJECTED.encode(), text, re.MULTILINE))
    return lines + sum(int(mark[1]) - 1 for mark in _MARK.finditer(text))


# ---------------------------------------------------------------- where prints go


class _Sink:
    """Where this process sends what is printed."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._waiting = bytearray()
        self._written = 0.0
        self.silent = False
        named = os.environ.get(_VARIABLE)
        self.log = Path(named) if named else None
        self.used: Path | None = None

    def write(self, text: bytes) -> None:
        """Take what was printed."""
        if self.log is None and not self.silent:
            with suppress(Exception):  # standard output may be closed, or know no such letter
                sys.stdout.write(text.decode("utf-8", "replace"))
            return
        with self._lock:
            if self.log is None:  # lines that come before there is a run directory
                self._waiting += text[: max(_HELD_BACK - len(self._waiting), 0)]
                return
            self._waiting += text
            late = time.monotonic() - self._written > _FLUSH_SECONDS
            if late or len(self._waiting) > _HELD_BACK:
                self.flush()

    def flush(self) -> None:
        """Write to the log the lines that came so far."""
        with self._lock:
            if self.log is not None and self._waiting:
                append(self.log, bytes(self._waiting))
                self._waiting.clear()
                self._written = time.monotonic()

    def forget(self) -> None:
        """Drop the lines that came without a log."""
        with self._lock:
            self._waiting.clear()


_sink = _Sink()


def write(text: bytes) -> None:
    """Send the output of a Stan program to its place."""
    _sink.write(text)


def flush() -> None:
    """Write to the log what is printed so far."""
    _sink.flush()


def keep_silent() -> None:
    """Keep standard output free of prints: without a run directory, they are lost."""
    _sink.silent = True


@contextmanager
def silence() -> Iterator[Callable[[], str | None]]:
    """Keep standard output free of prints while the block runs.

    Yields
    ------
    callable
        Returns a line that names the log; None if nothing was printed into one.
    """
    before, _sink.silent, _sink.used = _sink.silent, True, None
    try:
        yield lambda: _told_of(_sink.used)
    finally:
        _sink.silent = before
        _sink.forget()


def _told_of(log: Path | None) -> str | None:
    lines = count_lines(log) if log is not None else 0
    return f"the program printed {lines} line{'s' * (lines != 1)}: {log}" if lines else None


@contextmanager
def printing_to(log: Path) -> Iterator[None]:
    """Send prints of this process, and of the processes that it starts, to a log.

    The outermost log is that of the run: a further one inside it is not used.
    """
    if _sink.log is not None:
        yield
        return
    before = os.environ.get(_VARIABLE)
    _sink.log, size = log, _size(log)
    os.environ[_VARIABLE] = str(log.absolute())
    try:
        yield
    finally:
        _sink.flush()
        _sink.log = None
        if _size(log) != size:
            _sink.used = log
        if before is None:
            os.environ.pop(_VARIABLE, None)
        else:
            os.environ[_VARIABLE] = before


def _size(log: Path) -> int:
    return log.stat().st_size if log.exists() else 0


def _take(text: Any, size: int) -> None:
    with suppress(Exception):  # no exception may cross into C++
        _sink.write(ctypes.string_at(text, size))


_callback = ctypes.CFUNCTYPE(None, ctypes.POINTER(ctypes.c_char), ctypes.c_size_t)(_take)


def capture(library: Path) -> None:
    """Let a compiled program pass its prints on; to be called before a model is made."""
    setter = ctypes.CDLL(str(library)).bs_set_print_callback
    setter.argtypes, setter.restype = [type(_callback), ctypes.c_void_p], ctypes.c_int
    setter(_callback, None)


# ---------------------------------------------------------------- child processes


@contextmanager
def listening(fifo: Path, take: Callable[[bytes], None]) -> Iterator[bool]:
    """Hold a named pipe; a thread passes on what children write to it.

    Parameters
    ----------
    fifo : Path
        The pipe; it exists while the block runs. Children open it for writing.
    take : callable
        Gets the written bytes, in pieces.

    Yields
    ------
    bool
        Whether the pipe was made: not every disk can hold one.
    """
    try:
        fifo.unlink(missing_ok=True)
        os.mkfifo(fifo)
        source = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    except (OSError, AttributeError):
        yield False
        return
    own_end = os.open(fifo, os.O_WRONLY)  # no end of file before children have opened theirs
    os.set_blocking(source, True)

    def read() -> None:
        while piece := os.read(source, 1 << 16):
            take(piece)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    try:
        yield True
    finally:
        os.close(own_end)
        thread.join(_FIFO_SECONDS)
        if not thread.is_alive():
            os.close(source)
        fifo.unlink(missing_ok=True)


_POLYCHORD = re.compile(
    rb"\s*$|PolyChord: |copyright: |  version: |  release: |    email: | _{20}|\|.*\|\s*$|"
    rb"Warning, unable to proceed "
)
"""Lines that PolyChord itself writes."""


class PolyChordConsole:
    """Passes on the prints of a program in a child, and remembers the last lines of all output."""

    def __init__(self) -> None:
        self._tail = b""
        self._rest = b""

    def __call__(self, piece: bytes) -> None:
        """Take a piece of output."""
        self._tail = (self._tail + piece)[-4096:]
        *whole, self._rest = (self._rest + piece).split(b"\n")
        prints = b"".join(raw + b"\n" for raw in whole if not _POLYCHORD.match(raw))
        if prints:
            write(prints)

    def close(self) -> None:
        """Take the last line, if it has no end."""
        if self._rest:
            self(b"\n")

    def lines(self, number: int) -> list[str]:
        """Return the last lines that are not empty."""
        lines = self._tail.decode("utf-8", "replace").splitlines()
        return [line.strip() for line in lines if line.strip()][-number:]


_OWN = re.compile(
    r"Gradient evaluation took |\d+ transitions using \d+ leapfrog|Adjust your expectations|"
    r"(Chain \[\d+\] )?Iteration: +\d+ / \d+ \[| ?Elapsed Time: | +[-+.\de]+ seconds \(|"
    r"Informational Message: |If this warning occurs sporadically|"
    r"but if this warning occurs often|Rejecting initial value|"
    r"  (Error evaluating|Gradient evaluated|Log probability evaluates|Stan can't start)|"
    r"Initialization (between|from source|partially)|Unrecoverable error|"
    r"Error evaluating|WARNING: |Path \[\d+\] ?:|Total log probability|Optimization terminated|"
    r"         (three stages of|Reducing each|the given number of) |"
    r"           (init_buffer|adapt_window|term_buffer) = |"
    r"(Best|Elbo) |Exception: "
)
"""Lines that CmdStan itself writes."""


class CmdStanConsole:
    """Separates a program's prints, which it passes on, from CmdStan's own lines."""

    def __init__(self) -> None:
        self.lines: deque[str] = deque(maxlen=400)
        self._rest = b""
        self._in_header = True  # the settings, up to the first empty line

    def __call__(self, piece: bytes) -> None:
        """Take a piece of the console."""
        *whole, self._rest = (self._rest + piece).split(b"\n")
        prints = bytearray()
        for raw in whole:
            line = raw.decode("utf-8", "replace").rstrip()
            if not line:
                self._in_header = False
            elif self._in_header:
                self.lines.append(line)
            else:
                own = _OWN.match(line)
                if own:
                    self.lines.append(line)
                if not own or own[0] == REJECTED:
                    prints += raw + b"\n"
        if prints:
            write(bytes(prints))

    def close(self) -> None:
        """Take the last line, if it has no end."""
        if self._rest:
            self(b"\n")
