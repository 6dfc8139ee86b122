"""Killing a study at any stage and going on with it: nothing that was finished is repeated."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from manymodes.studies.xor import xor_data, xor_posteriors

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

ARGUMENTS = ["study", "xor", "--chains", "3", "--warmup", "150", "--draws", "60"]
ARGUMENTS += ["--nlive", "40", "--runs", "2", "--seed", "3", "--data-seed", "1"]

Finished = dict[str, tuple[int, int]]


@pytest.fixture(scope="module")
def compiled(tools: Any) -> None:
    """The study's programs, so that stages follow one another quickly."""
    for posterior in xor_posteriors(xor_data(1)).values():
        posterior.compile()


def start(out: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "manymodes", *ARGUMENTS, "--out", str(out), "--resume"]
    log = (out.parent / "log").open("ab")
    return subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)


def finished(out: Path) -> Finished:
    """Return inode and time of each finished chain and nested run."""
    return {
        str(path.relative_to(out)): (path.stat().st_ino, path.stat().st_mtime_ns)
        for pattern in ("*/chains/chain-*.npz", "*/nested/run-*.npz", "*/nested/base.json")
        for path in out.glob(pattern)
    }


def children(out: Path) -> list[str]:
    """Return the command lines of processes that work on a run directory or for one."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if str(out) in command and int(entry.name) != os.getpid():
            found.append(command)
    return found


def kill_when(out: Path, reached: Callable[[], bool]) -> Finished:
    """Run until a stage is reached, kill the main process, and return what was finished."""
    process = start(out)
    try:
        deadline = time.monotonic() + 300
        while not reached():
            log = (out.parent / "log").read_text(errors="replace")
            assert process.poll() is None, log
            assert time.monotonic() < deadline, log
            time.sleep(0.01)
    finally:
        process.kill()
        process.wait()
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if not [c for c in children(out) if "polychord_run" in c]:
            break
        time.sleep(0.05)
    orphans = [command for command in children(out) if "polychord_run" in command]
    assert orphans == []
    return finished(out)


def complete(out: Path) -> dict[str, Any]:
    process = start(out)
    assert process.wait(300) == 0, (out.parent / "log").read_text(errors="replace")
    summary: dict[str, Any] = json.loads((out / "summary.json").read_text())
    return summary


def stable(value: Any) -> Any:
    """Return a summary without wall times."""
    if isinstance(value, dict):
        return {k: stable(v) for k, v in value.items() if not k.endswith("seconds")}
    return [stable(v) for v in value] if isinstance(value, list) else value


def test_a_study_killed_at_every_stage_ends_as_if_it_never_was(
    compiled: None, tmp_path: Path
) -> None:
    out = tmp_path / "killed" / "run"
    out.parent.mkdir()
    full, constrained = out / "full", out / "constrained"
    stages: list[Callable[[], bool]] = [
        lambda: any(full.glob("chains/chain-*.npz")),
        lambda: any(full.glob("nested/.running-*/config")),
        lambda: (full / "nested" / "run-000.npz").exists(),
        lambda: (full / "chains.nc").exists(),
        lambda: any(constrained.glob("nested/run-*.npz")),
        lambda: (constrained / "nested.csv").exists(),
    ]
    kept: Finished = {}
    for stage in stages:
        after = kill_when(out, stage)
        assert kept.items() <= after.items()
        kept = after
    assert not (out / "report.html").exists()
    resumed = complete(out)
    assert kept.items() <= finished(out).items()
    assert len(finished(out)) == 2 * (3 + 2 + 1)
    assert (out / "report.html").exists()
    assert not list(out.rglob(".running-*"))

    whole = tmp_path / "whole" / "run"
    whole.parent.mkdir()
    assert stable(resumed) == stable(complete(whole))

    before = (out / "summary.json").read_bytes(), finished(out)
    again = subprocess.run(
        [sys.executable, "-m", "manymodes", *ARGUMENTS, "--out", str(out)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert again.returncode == 2
    assert again.stderr.count("\n") == 1
    assert "holds earlier results" in again.stderr
    assert ((out / "summary.json").read_bytes(), finished(out)) == before
