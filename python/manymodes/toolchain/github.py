"""Official releases, through the installers of CmdStanPy and BridgeStan themselves.

The installers run as child processes that have to stay below `home`. They build in the final
place. The mark comes last, so that the folder of an interrupted installer is never used.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from manymodes.errors import ToolchainError
from manymodes.toolchain.components import Toolchain
from manymodes.toolchain.paths import Installed, home, read_mark
from manymodes.toolchain.process import last_lines, run_logged
from manymodes.toolchain.progress import Progress

_FETCH_BRIDGESTAN = """
import pathlib, sys
from bridgestan import download
download.HOME_BRIDGESTAN = pathlib.Path(sys.argv[1])
download.get_bridgestan_src()
"""
_UNREACHABLE = re.compile(
    r"URLError|HTTPError|urlopen error|Connection to GitHub failed|connect to (cmdstan )?github"
    r"|Failed to download BridgeStan",
    re.IGNORECASE,
)


def wanted(toolchain: Toolchain) -> list[str]:
    """Name the parts that have an official release and that the user has not installed."""
    ours = ("index", "manymodes", "missing")
    parts = (toolchain.cmdstan, toolchain.bridge)
    return [part.name for part in parts if part.source in ours or not part.ok]


def install_cmdstan(*, quiet: bool = False) -> None:
    """Let CmdStanPy download and build the newest CmdStan."""
    cores = str(len(os.sched_getaffinity(0)))
    command = [sys.executable, "-m", "cmdstanpy.install_cmdstan", "--verbose", "--cores", cores]
    _run("CmdStan", [*command, "--dir", str(home())], quiet=quiet)
    _mark("cmdstan")


def install_bridgestan(*, quiet: bool = False) -> None:
    """Let BridgeStan's Python client download the sources of its own version."""
    _run("BridgeStan", [sys.executable, "-c", _FETCH_BRIDGESTAN, str(home())], quiet=quiet)
    _mark("bridgestan", metadata.version("bridgestan"))


INSTALLERS = {"cmdstan": install_cmdstan, "bridge": install_bridgestan}


def _run(title: str, command: Sequence[str], *, quiet: bool) -> None:
    log = home() / "logs" / f"{title.lower()}-github.log"
    scratch = home() / "downloads"
    scratch.mkdir(parents=True, exist_ok=True)
    with Progress(f"{title}: official release", 0, "lines of log", quiet=quiet) as progress:
        status = run_logged(
            command,
            log,
            extra_env={"TMPDIR": str(scratch), "PYTHONUNBUFFERED": "1"},
            watch=lambda: progress.update(log.read_bytes().count(b"\n")),
        )
        if not status:
            return
        if _UNREACHABLE.search(log.read_text(encoding="utf-8", errors="replace")):
            raise ToolchainError(
                f"{title}: the official release cannot be downloaded from GitHub (see {log}); "
                "`manymodes setup` takes the package index instead"
            )
        raise ToolchainError(f"{title}: its installer failed (see {log}): {last_lines(log)}")


def _mark(part: str, version: str = "") -> None:
    """Mark the folder that the installer has just made, the only one that has no mark yet."""
    fresh = [it for it in _folders(part) if not read_mark(it)]
    if len(fresh) != 1:
        raise ToolchainError(f"{part}: its installer reported success but left nothing in {home()}")
    version = version or fresh[0].name.removeprefix(f"{part}-")
    Installed(part, version, "github").write(fresh[0])


def _folders(part: str) -> list[Path]:
    return [it for it in home().glob(f"{part}-*") if it.is_dir()]
