"""The documentation as text: its pages, their sections and blocks of code, and how to run these."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
FENCE = re.compile(r"^```(\S*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
TOGETHER = """\
import subprocess

if __name__ == "__main__":  # the processes of chains import this file
    space = {{"__name__": "__main__"}}
    for language, text in {blocks!r}:
        if language == "bash":
            subprocess.run(["bash", "-e", "-c", text], check=True)
        else:
            exec(compile(text, "a block of the page", "exec"), space)
"""
"""A script that runs blocks of which later ones use the names of earlier ones."""


def page(name: str) -> str:
    """Return the text of a page, by its path in the repository."""
    return (ROOT / name).read_text(encoding="utf-8")


def section(name: str, heading: str) -> str:
    """Return the text below a heading of the second level, up to the next one."""
    return page(name).split(f"\n## {heading}\n")[1].split("\n## ")[0]


def blocks(text: str) -> list[tuple[str, str]]:
    """Return language and text of each block of code that is to be run, in order."""
    found = FENCE.findall(text)
    return [(language, code) for language, code in found if language in ("bash", "python")]


def shown(text: str) -> list[re.Pattern[str]]:
    """Return the lines of what a text shows as printed, as patterns that allow other figures.

    What is shown is indented by four spaces. Three points stand for what is left out.
    """
    lines = re.findall(r"^    (.*\S)$", re.sub(FENCE, "", text), re.MULTILINE)
    patterns = []
    for line in lines:
        escaped = re.escape(line.removesuffix("...").strip())
        loose = re.sub(r"\\?-?\d+(\\\.\d+)?", r"-?[\\d.]+", re.sub(r"(\\ )+", r"\\s+", escaped))
        patterns.append(re.compile(loose))
    return patterns


def run(command: list[str], folder: Path, path: str | None = None) -> str:
    """Run a command in a folder; return what it printed, or fail with what it complained of."""
    found_first = f"{path}{os.pathsep}" if path else ""
    environment = {**os.environ, "PATH": found_first + os.environ["PATH"]}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, f"{command} failed:\n{done.stdout}\n{done.stderr}"
    return done.stdout


def take(found: list[tuple[str, str]], folder: Path, *, together: bool = False) -> str:
    """Run blocks in a folder, in order, and return what they printed.

    Each is a program of its own, unless they go ``together``: then later ones have the names of
    earlier ones.
    """
    programs = folder / ".bin"
    programs.mkdir(exist_ok=True)
    shim = programs / "manymodes"
    shim.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m manymodes "$@"\n')
    shim.chmod(0o755)
    if together:
        found = [("python", TOGETHER.format(blocks=found))]
    said = []
    for language, text in found:
        if language == "bash":
            command = ["bash", "-e", "-c", text]
        else:
            script = folder / "block.py"
            script.write_text(text, encoding="utf-8")
            command = [sys.executable, script.name]
        said.append(run(command, folder, str(programs)))
    return "".join(said)
