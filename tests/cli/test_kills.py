"""Commands killed at random moments leave nothing behind, and ``--resume`` ends as if they had not.

Every process of a command is found by its environment, which names the test's own folders.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conftest import closed_form
from manymodes import toolchain
from manymodes.results.run_directory import save_posterior
from manymodes.sampling.nested.polychord_run import nested_runner

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

SEED = 12
ENDINGS = (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
KILLS = {"compile": 7, "setup": 5, "sample": 9, "evidence": 9}
"""Random moments in each kind of command: 30 in all."""
PATIENCE = 300.0

SLOW_COMPILER = """#!/bin/sh
case "$*" in *-dump*) exec {real} "$@";; esac
: > "${{TMPDIR}}/ccABCDEF.s"
sh -c 'sleep 300' & wait
"""
SLOW_PIP = """
import pathlib, shutil, sys, time, os
folder = pathlib.Path(sys.argv[sys.argv.index("--dest") + 1])
(pathlib.Path(os.environ["TMPDIR"]) / "pip-unpack").mkdir(exist_ok=True)
time.sleep(0.5)
shutil.copy(os.environ["WHEEL"], folder)
"""


@dataclass
class Place:
    """Folders of a command's own, and how it is run there."""

    root: Path
    env: dict[str, str] = field(default_factory=dict)

    @property
    def home(self) -> Path:
        return self.root / "home"

    @property
    def tmp(self) -> Path:
        return self.root / "tmp"

    def start(self, *arguments: object) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "manymodes", *map(str, arguments)]
        pipe = subprocess.PIPE
        env = {**os.environ, **self.env}
        return subprocess.Popen(
            command, env=env, stdout=pipe, stderr=pipe, text=True, start_new_session=True
        )

    def finish(self, *arguments: object, status: int = 0) -> tuple[str, str]:
        process = self.start(*arguments)
        out, err = process.communicate(timeout=PATIENCE)
        assert process.returncode == status, err
        return out, err

    def processes(self) -> dict[int, str]:
        """Return the command lines of all that runs for this place, by process id."""
        found = {}
        mark = f"MANYMODES_HOME={self.home}".encode()
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                if mark in (entry / "environ").read_bytes():
                    line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                    found[int(entry.name)] = line
            except OSError:
                continue
        return found

    def owns(self, process: subprocess.Popen[str]) -> bool:
        """Whether a command has made its folder of temporary files, or has ended."""
        mine = any(path.is_dir() for path in self.tmp.glob("manymodes-*"))
        return mine or process.poll() is not None

    def assert_nothing_runs(self) -> None:
        wait_until(lambda: not self.processes(), f"the end of {self.processes()}", 20)

    def scratch(self) -> list[str]:
        """Return what killed commands have left."""
        left = [*self.tmp.iterdir(), *self.home.glob("partial-*"), *self.home.glob("downloads/*")]
        left += self.home.glob("programs/building-*")
        for pattern in ("*.scratch", ".running-*", "*.partial", "cc*.s"):
            left += self.root.rglob(pattern)
        return [str(path.relative_to(self.root)) for path in left]

    def assert_nothing_is_left(self) -> None:
        self.assert_nothing_runs()
        self.finish("doctor", "--json")
        assert self.scratch() == []


@pytest.fixture
def place(tools: toolchain.Toolchain, tmp_path: Path) -> Iterator[Place]:
    found = Place(tmp_path)
    found.home.mkdir()
    found.tmp.mkdir()
    (found.home / "programs").mkdir()
    found.env = {
        "MANYMODES_HOME": str(found.home),
        "TMPDIR": str(found.tmp),
        "CMDSTAN": str(tools.cmdstan.path),
    }
    for folder in toolchain.home().glob("polychord-*"):
        (found.home / folder.name).symlink_to(folder)
    yield found
    for process in found.processes():
        os.kill(process, signal.SIGKILL)


@pytest.fixture
def with_programs(place: Place) -> Place:
    """The place, with the compiled forms of ``closed_forms.stan`` in its cache."""
    posterior = closed_form().compile()
    for folder in (posterior.program.folder, nested_runner().parent):
        shutil.copytree(folder, place.home / "programs" / folder.name)
    save_posterior(posterior, place.root / "net")
    return place


def wait_until(reached: Callable[[], Any], what: str, patience: float = PATIENCE) -> None:
    deadline = time.monotonic() + patience
    while not reached():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.02)


def end(place: Place, process: subprocess.Popen[str], number: int) -> str:
    """Send a signal; return what the command said, which is one line at most if it can speak."""
    if number == signal.SIGINT:  # before, Python itself ends with a traceback
        wait_until(lambda: place.owns(process), "a command that listens")
    begun = time.monotonic()
    process.send_signal(number)
    _, err = process.communicate(timeout=PATIENCE)
    said = [line for line in err.splitlines() if "error" in line]
    assert "Traceback" not in err, err
    if number == signal.SIGKILL or process.returncode == -number:  # or Python has just begun
        return err
    assert process.returncode in (0, 128 + number), err
    if process.returncode:
        assert len(said) == 1, err
        assert said[0].startswith("manymodes: error: interrupted"), err
        assert time.monotonic() - begun < 20, "within seconds"
    return err


def test_a_killed_compilation_leaves_nothing(place: Place) -> None:
    choose = random.Random(SEED)
    posterior = closed_form()
    save_posterior(posterior, place.root / "net")
    tools_folder = place.root / "bin"
    tools_folder.mkdir()
    compiler = tools_folder / "g++"
    compiler.write_text(SLOW_COMPILER.format(real=shutil.which("g++")))
    compiler.chmod(0o755)
    place.env["PATH"] = f"{tools_folder}:{os.environ['PATH']}"
    command = ["sample", place.root / "net", "--out", place.root / "run", "--chains", "2"]

    def victims() -> list[int]:
        return [pid for pid, line in place.processes().items() if "sleep 300" in line]

    for turn in range(KILLS["compile"]):
        process = place.start(*command)
        if turn == 0:
            time.sleep(choose.uniform(0, 1))
        else:
            wait_until(victims, "the compiler")
            time.sleep(choose.uniform(0, 0.3))
        if turn < len(ENDINGS) + 1:
            end(place, process, ENDINGS[turn % len(ENDINGS)])
        else:  # make or the compiler is killed: one line, and the program is not to blame
            begins = "make " if turn % 2 else f"/bin/sh {compiler}"
            for pid, line in place.processes().items():
                if line.startswith(begins):
                    os.kill(pid, signal.SIGKILL)
            _, err = process.communicate(timeout=PATIENCE)
            assert process.returncode == 1
            assert err.splitlines()[-1].startswith("manymodes: error: closed_forms is not compiled")
            assert "killed" in err
        place.assert_nothing_runs()
    place.env["PATH"] = os.environ["PATH"]
    place.assert_nothing_is_left()
    assert not list(place.home.rglob("kernel.txt"))


def test_a_killed_setup_leaves_nothing(place: Place) -> None:
    choose = random.Random(SEED)
    for link in place.home.glob("polychord-*"):
        real = link.resolve()
        link.unlink()
    wheel = place.root / "pypolychord_nompi-1.15.1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path in real.rglob("*"):
            if path.is_file() and path.name[0] != ".":
                archive.write(path, path.relative_to(real))
    (place.root / "stand-in" / "pip").mkdir(parents=True)
    (place.root / "stand-in" / "pip" / "__init__.py").touch()
    (place.root / "stand-in" / "pip" / "__main__.py").write_text(SLOW_PIP)
    paths = os.pathsep.join([str(place.root / "stand-in"), os.environ.get("PYTHONPATH", "")])
    place.env |= {"WHEEL": str(wheel), "PYTHONPATH": paths}
    for turn in range(KILLS["setup"]):
        process = place.start("setup", "--quiet")
        if turn:
            wait_until((place.home / "downloads").exists, "the download")
        time.sleep(choose.uniform(0, 0.8))
        end(place, process, ENDINGS[turn % len(ENDINGS)])
        place.assert_nothing_runs()
    place.finish("setup", "--quiet")
    place.assert_nothing_is_left()
    assert len(list(place.home.glob("polychord-*"))) == 1


def arrays(folder: Path, pattern: str) -> dict[str, dict[str, Any]]:
    return {path.name: dict(np.load(path)) for path in sorted(folder.glob(pattern))}


def stable(value: Any) -> Any:
    """Return a summary without wall times."""
    if isinstance(value, dict):
        return {k: stable(v) for k, v in value.items() if not k.endswith("seconds")}
    return [stable(v) for v in value] if isinstance(value, list) else value


@pytest.mark.parametrize(
    ("name", "options", "files"),
    [
        ("sample", ["--chains", "4", "--warmup", "200", "--draws", "200"], "chains/chain-*.npz"),
        ("evidence", ["--runs", "2", "--nlive", "60"], "nested/run-*.npz"),
    ],
)
def test_a_run_killed_at_random_moments_ends_as_if_it_never_was(
    with_programs: Place, name: str, options: list[str], files: str
) -> None:
    place, choose = with_programs, random.Random(SEED)
    command = [name, place.root / "net", *options, "--quiet", "--out"]
    begun = time.monotonic()
    place.finish(*command, place.root / "whole")
    whole = time.monotonic() - begun
    out = place.root / "killed"
    killed = 0
    while killed < KILLS[name]:
        process = place.start(*command, out, "--resume")
        time.sleep(choose.uniform(0.1, 1.0) * whole)
        if process.poll() is not None:  # it was faster this time
            shutil.rmtree(out)
        end(place, process, ENDINGS[killed % len(ENDINGS)])
        place.assert_nothing_runs()
        killed += 1
    place.finish(*command, out, "--resume")
    place.assert_nothing_is_left()
    theirs, ours = arrays(out, files), arrays(place.root / "whole", files)
    assert theirs.keys() == ours.keys()
    assert ours
    for file, expected in ours.items():
        for key in expected.keys() - {"seconds", "sampling_seconds"}:
            np.testing.assert_array_equal(theirs[file][key], expected[key])
    summaries = [
        json.loads((run / "summary.json").read_text()) for run in (out, place.root / "whole")
    ]
    assert stable(summaries[0]) == stable(summaries[1])
