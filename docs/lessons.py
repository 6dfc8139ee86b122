"""Run the lessons as notebooks, and keep what they make: python docs/lessons.py [lesson-3 ...].

A lesson leaves in build/lessons/NAME: notebook.ipynb with its outputs, notebook-empty.ipynb
without, figure.png, report.html and summary.json. It is run again only if something changed that it
depends on: its script, manymodes' own files, Python, or the version of a package that manymodes
uses.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import shutil
import sys
import tempfile
import time
from importlib import metadata
from pathlib import Path
from typing import Any

import nbformat
from filelock import FileLock
from nbclient import NotebookClient
from nbclient.exceptions import DeadKernelError
from zmq import ZMQError

from manymodes.runtime.stan_files import stan_dir
from manymodes.studies.lessons.catalogue import Script, lesson_named, lessons
from manymodes.studies.lessons.cells import notebook
from manymodes.studies.lessons.lesson import OUT

ROOT = Path(__file__).resolve().parents[1]
KEPT = ROOT / "build" / "lessons"
_PACKAGE = ROOT / "python" / "manymodes"
_SECONDS = 1200  # that one cell may take on a busy machine
_TRIES = 2  # a kernel's port may be taken while it starts
_FILES = {"picture.png": "figure.png", "report.html": "report.html", "summary.json": "summary.json"}


def given(script: Script) -> Path:
    """Return the folder of a lesson's results; run the lesson if they are missing or old."""
    folder = KEPT / script.name
    folder.mkdir(parents=True, exist_ok=True)
    key = _key(script)
    with FileLock(folder / ".lock"):
        kept = folder / "key"
        if not (kept.exists() and kept.read_text(encoding="utf-8") == key):
            kept.unlink(missing_ok=True)
            _run(script, folder)
            kept.write_text(key, encoding="utf-8")
    return folder


def _run(script: Script, folder: Path) -> None:
    """Run a lesson's notebook in a folder of its own, and keep what it made."""
    empty = json.dumps(notebook(script.cells), indent=1)
    (folder / "notebook-empty.ipynb").write_text(empty, encoding="utf-8")
    started = time.monotonic()
    for left in reversed(range(_TRIES)):
        with tempfile.TemporaryDirectory(prefix=f"{script.name}-") as place:
            run = Path(place) / "run"
            filled = nbformat.reads(empty, as_version=4)
            try:
                _execute(filled, place, run)
            except (DeadKernelError, ZMQError) as error:
                if not left:
                    raise
                print(f"{script.name}: its kernel was lost ({error}): once more", flush=True)
                continue
            for made, name in _FILES.items():
                shutil.copyfile(run / made, folder / name)
            break
    for cell in filled.cells:
        cell.metadata.pop("execution", None)  # the time of day
        if cell.cell_type == "code":  # warnings of packages name paths of this machine
            cell.outputs = [one for one in cell.outputs if one.get("name") != "stderr"]
    nbformat.write(filled, folder / "notebook.ipynb")
    print(f"{script.name}: {script.title} [{time.monotonic() - started:.0f} s]", flush=True)


def _execute(filled: nbformat.NotebookNode, place: str, run: Path) -> None:
    """Run a notebook in a folder; its lesson keeps its results in the folder `run`."""
    client = NotebookClient(
        filled,
        timeout=_SECONDS,
        kernel_name="python3",
        resources={"metadata": {"path": place}},
        extra_arguments=["--IPKernelApp.log_level=40"],  # errors only
    )
    with _environment(OUT, str(run)):
        client.execute()


class _environment:
    """Have an environment variable for a while: kernels that start in it inherit it."""

    def __init__(self, name: str, value: str) -> None:
        self._name, self._value = name, value

    def __enter__(self) -> None:
        self._before = os.environ.get(self._name)
        os.environ[self._name] = self._value

    def __exit__(self, *_: object) -> None:
        os.environ.pop(self._name)
        if self._before is not None:
            os.environ[self._name] = self._before


def _key(script: Script) -> str:
    """Return a hash of all that decides a lesson's results."""
    digest = hashlib.sha256(platform.python_version().encode())
    files = [script.path, Path(__file__)]
    for top in (_PACKAGE, stan_dir()):
        files += sorted(p for p in top.rglob("*") if p.is_file() and "__pycache__" not in p.parts)
    for path in files:
        digest.update(f"\0{path.name}\0".encode() + path.read_bytes())
    for name in sorted(_packages()):
        digest.update(f"\0{name} {metadata.version(name)}".encode())
    return digest.hexdigest()


def _packages() -> set[str]:
    """Return the packages that manymodes cannot do without."""
    asked = (metadata.requires("manymodes") or []) + ["matplotlib"]
    names = (re.match(r"[\w.-]+", one) for one in asked if "extra ==" not in one)
    return {name[0] for name in names if name}


def settled(folder: Path) -> dict[str, Any]:
    """Return what a lesson that was run found: the entry ``lesson`` of its summary."""
    entry: dict[str, Any] = json.loads((folder / "summary.json").read_text())["lesson"]
    return entry


def main() -> None:
    """Run the lessons that are named, or all."""
    asked = [lesson_named(name) for name in sys.argv[1:]] or list(lessons().values())
    for script in asked:
        print(f"{script.name}: {settled(given(script))['settles']['text']}", flush=True)


if __name__ == "__main__":
    main()
