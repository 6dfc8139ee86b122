"""Signals that end a command, at moments at which Python itself loses the exception."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

LOST = """
import os, signal, sys, time, weakref
from manymodes.runtime.interrupts import ending_signals

class Thing:
    pass

number = int(sys.argv[1])
signal.signal(number, signal.SIG_DFL)  # a shell may have told us to ignore it
with ending_signals("the last line"):
    thing = Thing()
    watched = weakref.ref(thing, lambda _: os.kill(os.getpid(), number))
    del thing
    time.sleep(60)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_while_an_object_is_removed_ends_with_one_line(number: int) -> None:
    command = [sys.executable, "-c", LOST, str(int(number))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (128 + number, "the last line\n")


def test_other_lost_exceptions_are_shown() -> None:
    lost = LOST.replace("os.kill(os.getpid(), number)", "1 / 0").replace("sleep(60)", "sleep(0)")
    command = [sys.executable, "-c", lost, "15"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0
    assert "ZeroDivisionError" in done.stderr
