"""Scratch folders and commands: what a killed process leaves is swept, what lives is left alone."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from manymodes.errors import StorageError
from manymodes.runtime.scratch import (
    scratch_folder,
    sweep,
    sweep_held,
    sweep_run,
    temporary_files_inside,
)
from manymodes.toolchain.process import end_commands, kept, last_lines, run, run_logged

HOLDER = """
import pathlib, sys, time
from manymodes.runtime.scratch import scratch_folder
with scratch_folder(pathlib.Path(sys.argv[1]), "held-") as folder:
    (folder / "file").touch()
    print("ready", flush=True)
    time.sleep(600)
"""
RUNNER = """
import sys
from pathlib import Path
from manymodes.toolchain.process import run
run(["sh", "-c", "sleep 987 & sleep 987"])
"""


def holder(folder: Path) -> subprocess.Popen[bytes]:
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(folder)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    return process


def wait_until(reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def running(text: str) -> list[int]:
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if text in (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode():
                found.append(int(entry.name))
        except OSError:
            continue
    return found


# ---------------------------------------------------------------- folders


def test_a_folder_goes_with_its_block(tmp_path: Path) -> None:
    def fail() -> None:
        with scratch_folder(tmp_path, "one-") as folder:
            assert folder.name.startswith("one-")
            (folder / "inside").mkdir()
            (folder / "inside" / "file").touch()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_a_sweep_takes_what_the_dead_left_and_nothing_else(tmp_path: Path) -> None:
    living, dead = holder(tmp_path), holder(tmp_path)
    (tmp_path / "held-by-nobody").mkdir()
    try:
        dead.kill()
        dead.wait()
        with scratch_folder(tmp_path, "mine-") as mine:
            sweep(tmp_path)
            left = sorted(path.name.split("@")[0] for path in tmp_path.iterdir())
            assert mine.name in left
            assert "held-by-nobody" in left
            assert len([name for name in left if name.startswith("held-")]) == 1 + 2
    finally:
        living.kill()
        living.wait()
    sweep(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["held-by-nobody"]


def test_what_another_host_left_stays_for_a_month(tmp_path: Path) -> None:
    lock, folder = tmp_path / "building-1@elsewhere.scratch", tmp_path / "building-1"
    folder.mkdir()
    lock.touch()
    sweep(tmp_path)
    assert folder.is_dir()
    before = time.time() - 40 * 86400
    os.utime(lock, (before, before))
    sweep(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_sweeping_beside_those_who_make_folders(tmp_path: Path) -> None:
    """A sweep that comes between the lock file and its lock takes nothing from anybody."""
    done = threading.Event()

    def sweep_on() -> None:
        while not done.is_set():
            sweep(tmp_path)

    thread = threading.Thread(target=sweep_on)
    thread.start()
    try:
        for _ in range(300):
            with scratch_folder(tmp_path, "x-") as folder:
                (folder / "file").touch()
                assert (folder / "file").exists()
    finally:
        done.set()
        thread.join()
    sweep(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_sweep_that_cannot_is_silent(tmp_path: Path) -> None:
    sweep(tmp_path / "absent")
    sweep_held(tmp_path / "absent", "x")
    sweep_run(tmp_path)


def test_half_written_files_of_a_run_are_swept(tmp_path: Path) -> None:
    for name in (
        ".summary.json.4194400.partial",
        "chains/.chain-0.npz.4194401.partial",
        "notes.partial",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "one" / "posterior").mkdir(parents=True)
    (tmp_path / "one" / ".chains.nc.4194402.partial").touch()
    sweep_run(tmp_path)
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {"notes.partial"}


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    with (
        pytest.raises(StorageError, match=re.escape(str(tmp_path / "absent"))),
        scratch_folder(tmp_path / "absent", "x-"),
    ):
        pass


def test_temporary_files_are_inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.delenv("TMPDIR", raising=False)
    with temporary_files_inside() as folder:
        assert Path(tempfile.mkdtemp()).parent == folder
        assert run(["sh", "-c", "echo $TMPDIR"]).stdout.strip() == str(folder)
    assert tempfile.gettempdir() == str(tmp_path)
    assert "TMPDIR" not in os.environ
    assert list(tmp_path.iterdir()) == []


# ---------------------------------------------------------------- commands


@pytest.mark.parametrize("status", [0, 3, 77])
def test_a_command_tells_how_it_ended(status: int) -> None:
    done = run(["sh", "-c", f"echo out; echo err >&2; exit {status}"])
    assert (done.returncode, done.stdout, done.stderr) == (status, "out\n", "err\n")


def test_a_command_that_is_killed_or_absent() -> None:
    assert run(["sh", "-c", "kill -9 $$"]).returncode == 128 + signal.SIGKILL
    assert run(["no-such-command"]).returncode == 127


def test_a_killed_command_takes_its_children_along() -> None:
    """They would keep its output open: the command would seem to go on."""
    begun = time.monotonic()
    assert run(["sh", "-c", "sleep 986 & kill -9 $$"]).returncode == 128 + signal.SIGKILL
    assert time.monotonic() - begun < 60
    wait_until(lambda: not running("sleep 986"))


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_children_of_a_command_end_with_us(number: int) -> None:
    process = subprocess.Popen([sys.executable, "-c", RUNNER], start_new_session=True)
    wait_until(lambda: len(running("sleep 987")) >= 3)
    process.send_signal(number)
    process.wait()
    wait_until(lambda: not running("sleep 987"))


def test_commands_of_all_threads_can_be_ended() -> None:
    statuses: list[int] = []
    commands = [f"sleep 985.{number}" for number in range(2)]

    def carry_out(command: str) -> None:
        statuses.append(run(["sh", "-c", command]).returncode)

    threads = [threading.Thread(target=carry_out, args=(command,)) for command in commands]
    for thread in threads:
        thread.start()
    wait_until(lambda: all(running(command) for command in commands))
    end_commands()
    for thread in threads:
        thread.join(60)
    assert statuses == [-signal.SIGKILL] * 2
    wait_until(lambda: not running("sleep 985"))


def test_a_command_ends_with_its_block() -> None:
    with kept(["sleep", "984"], stdout=None, stderr=None) as process:
        wait_until(lambda: bool(running("sleep 984")))
        assert process.poll() is None
    wait_until(lambda: not running("sleep 984"))


def test_a_logged_command_is_watched_and_ended(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "log"
    assert run_logged(["sh", "-c", "echo one; echo two >&2; exit 5"], log) == 5
    assert last_lines(log) == "one | two"

    def raise_soon() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_logged(["sleep", "983"], log, watch=raise_soon)
    wait_until(lambda: not running("sleep 983"))
