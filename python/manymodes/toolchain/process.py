"""Run a command with its output in a log file, watched while it runs."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

_POLL_SECONDS = 0.2
FROM_AN_OUTER_MAKE = ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES")


def run_logged(
    command: Sequence[str],
    log: Path,
    *,
    extra_env: Mapping[str, str] | None = None,
    watch: Callable[[], None] = lambda: None,
) -> int:
    """Run a command and return its exit status.

    Its standard output and error go to `log`, messages are in English, and the settings of a make
    that we may run under are hidden from it. `watch` is called several times a second. When it, or
    the user, raises, the command is ended first.
    """
    env = {key: value for key, value in os.environ.items() if key not in FROM_AN_OUTER_MAKE}
    env |= {"LC_ALL": "C", **(extra_env or {})}
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, env=env
        )
        try:
            while True:
                try:
                    return process.wait(_POLL_SECONDS)
                except subprocess.TimeoutExpired:
                    watch()
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()


def last_lines(log: Path, count: int = 3) -> str:
    """Return the last lines of a log that are not empty, joined by `` | ``."""
    text = log.read_text(encoding="utf-8", errors="replace")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " | ".join(lines[-count:])
