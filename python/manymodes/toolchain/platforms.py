"""The machines that the package index covers, and the official way for all others."""

from __future__ import annotations

import platform
import sys

POLYCHORD_SOURCES = "PolyChord/PolyChordLite on GitHub, which needs gfortran"


def on_index() -> bool:
    """Whether the files on the package index run here: Linux with glibc on x86-64."""
    machine = (sys.platform, platform.machine())
    return machine == ("linux", "x86_64") and platform.libc_ver()[0] == "glibc"


def this() -> str:
    """Name this platform."""
    return f"{platform.system()} on {platform.machine()}"


def remedy(part: str) -> str:
    """Say in one line how to get a missing part on this platform."""
    if on_index():
        return "run `manymodes setup`"
    if part == "polychord":
        return f"install pypolychord from {POLYCHORD_SOURCES}"
    return "run `manymodes setup --source github`"
