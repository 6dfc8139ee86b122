"""Signals that end the command line: cleanly, or at once if a clean end takes too long."""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, TypeVar

Value = TypeVar("Value")

PATIENCE_SECONDS = 4.0
"""How long the main thread may take to end; it may be in a Stan program that never returns."""

_ENDING = [getattr(signal, n) for n in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, n)]
_lock = threading.Lock()
_told = False


class EndedError(KeyboardInterrupt):
    """The process has to end: by Ctrl-C, by SIGTERM, or because its terminal was closed.

    Attributes
    ----------
    status : int
        The exit status, as a shell counts it: 128 plus the number of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.status = 128 + number


def tell(line: str) -> None:
    """Print the last line on standard error, once."""
    global _told
    with _lock:
        told, _told = _told, True
    if not told:
        with suppress(Exception):  # a terminal that is gone
            print(line, file=sys.stderr, flush=True)


@contextmanager
def ending_signals(line: str) -> Iterator[None]:
    """Turn signals that end the process into an exception in the main thread.

    If the exception has not ended the process after a few seconds, or if another signal comes, the
    process ends at once: children notice it and end too, and the next command sweeps. A signal
    that was ignored when the process started stays ignored (a shell's background jobs, nohup).

    Parameters
    ----------
    line : str
        The line that is printed then, unless it was printed before.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = [n for n in _ENDING if signal.getsignal(n) not in (signal.SIG_IGN, None)]
    heard, told_by_python = os.pipe()
    os.set_blocking(told_by_python, False)

    def watch() -> None:
        first = 0
        while True:
            ready = select.select([heard], [], [], PATIENCE_SECONDS if first else None)[0]
            received = [n for n in os.read(heard, 64) if n in numbers] if ready else [first]
            if received and first:
                tell(line)
                os._exit(128 + first)
            first = received[0] if received else first

    def end(number: int, _: FrameType | None) -> None:
        for one in numbers:
            signal.signal(one, _noted)
        raise EndedError(number)

    def unraised(lost: sys.UnraisableHookArgs) -> None:
        # Python drops an exception that is raised while it removes an object. The watch ends us.
        if not isinstance(lost.exc_value, EndedError):
            show(lost)

    threading.Thread(target=watch, daemon=True).start()
    show, sys.unraisablehook = sys.unraisablehook, unraised
    before = {number: signal.signal(number, end) for number in numbers}
    old_file = signal.set_wakeup_fd(told_by_python, warn_on_full_buffer=False)
    try:
        yield
    except KeyboardInterrupt:
        raise  # the watch goes on until the process has ended
    except BaseException:
        _restore(before, old_file, show)
        raise
    _restore(before, old_file, show)


def interruptible(call: Callable[[], Value]) -> Value:
    """Return the value of a call that may never return; Ctrl-C works meanwhile.

    A signal reaches Python only between its own instructions. Therefore another thread makes the
    call into a compiled program, and the main thread waits.
    """
    if threading.current_thread() is not threading.main_thread():
        return call()
    future: Future[Value] = Future()

    def work() -> None:
        try:
            future.set_result(call())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=work, daemon=True).start()
    return future.result()


def _noted(number: int, frame: FrameType | None) -> None:
    """Do nothing: the watch ends the process."""


def _restore(before: dict[Any, Any], old_file: int, show: Callable[[Any], Any]) -> None:
    """Put handlers, wake-up file and the display of lost exceptions back."""
    for number, handler in before.items():
        signal.signal(number, handler)
    signal.set_wakeup_fd(old_file)
    sys.unraisablehook = show
