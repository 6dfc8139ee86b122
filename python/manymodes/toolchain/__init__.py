"""Find or install CmdStan, BridgeStan and PolyChord.

Parts that the user installed are preferred. Missing parts are set up below `home`, and nothing is
written anywhere else.
"""

from __future__ import annotations

from manymodes.runtime.stan_files import stan_dir
from manymodes.toolchain.components import Component, Toolchain
from manymodes.toolchain.discovery import find, require
from manymodes.toolchain.install import setup, sweep_setup
from manymodes.toolchain.paths import home
from manymodes.toolchain.polychord import PolyChordLibrary, polychord_library
from manymodes.toolchain.report import doctor, render

__all__ = [
    "Component",
    "PolyChordLibrary",
    "Toolchain",
    "doctor",
    "find",
    "home",
    "polychord_library",
    "render",
    "require",
    "setup",
    "stan_dir",
    "sweep_setup",
]
