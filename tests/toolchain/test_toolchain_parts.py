"""The small parts of set-up: what is unpacked, the pins, child processes, progress."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from manymodes.errors import ToolchainError
from manymodes.toolchain import unpack, wheels
from manymodes.toolchain.process import run_logged
from manymodes.toolchain.progress import Progress


@pytest.mark.parametrize(
    ("name", "needed"),
    [
        ("makefile", True),
        ("bin/linux-stanc", True),
        ("bin/stanc", False),
        ("bin/windows-stanc", False),
        ("src/cmdstan/main.cpp", True),
        ("src/cmdstan/main.d", False),
        ("examples/bernoulli/bernoulli.stan", True),
        ("examples/bernoulli/bernoulli", False),
        ("stan/src/stan/model/model_header.hpp", True),
        ("stan/src/stan/model/model_header.hpp.gch", False),
        ("stan/src/test/unit/version_test.cpp", False),
        ("stan/lib/stan_math/stan/math/rev.hpp", True),
        ("stan/lib/stan_math/lib/boost_1.75.0/boost/version.hpp", True),
        ("stan/lib/stan_math/lib/boost_1.75.0/boost/numeric/odeint.hpp", True),
        ("stan/lib/stan_math/lib/boost_1.75.0/boost/logic/tribool.hpp", True),
        ("stan/lib/stan_math/lib/boost_1.75.0/boost/asio/buffer.hpp", False),
        ("stan/lib/stan_math/lib/boost_1.75.0/libs/math/test.cpp", False),
        ("stan/lib/stan_math/lib/sundials_5.7.0/src/cvodes/cvodes.c", True),
        ("stan/lib/stan_math/lib/sundials_5.7.0/src/cvodes/cvodes.o", False),
        ("stan/lib/stan_math/lib/sundials_5.7.0/lib/libsundials_idas.a", False),
        ("stan/lib/stan_math/lib/tbb/libtbb.dylib", False),
        ("stan/lib/stan_math/lib/tbb_2020.3/build/linux.inc", True),
        ("stan/lib/stan_math/lib/tbb_2020.3/src/test/test_task.cpp", False),
        ("stan/lib/stan_math/lib/eigen_3.3.9/Eigen/Core", True),
        ("stan/lib/stan_math/lib/eigen_3.3.9/test/main.h", False),
    ],
)
def test_what_is_unpacked(name: str, needed: bool) -> None:
    assert unpack.is_needed(name) is needed


@pytest.mark.parametrize("wheel", [wheels.CMDSTAN, wheels.POLYCHORD])
def test_pins_are_exact_and_name_no_address(wheel: wheels.Wheel) -> None:
    pins = wheel.requirements.read_text()
    assert re.fullmatch(r"[\w-]+==[\d.]+ --hash=sha256:[0-9a-f]{64}\n", pins)


def test_run_logged_hides_an_outer_make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAKEFLAGS", "-j --jobserver-auth=3,4")
    log = tmp_path / "log"
    assert (
        run_logged(["sh", "-c", "echo [$MAKEFLAGS] [$X]; exit 3"], log, extra_env={"X": "1"}) == 3
    )
    assert log.read_text() == "[] [1]\n"


def test_run_logged_ends_what_it_started(tmp_path: Path) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    script = f"echo $$; trap 'touch {tmp_path}/ended; exit' TERM; while :; do sleep 0.1; done"
    with pytest.raises(KeyboardInterrupt):
        run_logged(["sh", "-c", script], tmp_path / "log", watch=interrupt)
    pid = int((tmp_path / "log").read_text())
    deadline = time.monotonic() + 60
    while state(pid) not in "XZ":
        assert time.monotonic() < deadline, "it runs"
        time.sleep(0.02)


def state(pid: int) -> str:
    """Return the letter of a process's state; X if it is gone, Z if it only waits for its parent.

    Its parent is that of orphans, and in a container it may never look.
    """
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "X"


def test_progress_on_a_terminal_keeps_to_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("manymodes.runtime.progress._LIVE_SECONDS", 0)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    with Progress("work", 5, "steps") as progress:
        for done in range(8):
            progress.update(done)
    shown = capsys.readouterr().err
    assert shown.count("\n") == 1
    assert "work: 5/5 steps" in shown
    assert "6/5" not in shown
    assert re.search(r"\rwork: done \[\d+ s\] *\n$", shown)


def test_progress_keeps_to_the_width_of_the_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("manymodes.runtime.progress._LIVE_SECONDS", 0)
    monkeypatch.setattr("manymodes.runtime.progress._columns", lambda _: 40)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    with Progress("a title with many words", 50_000, "files of a part") as progress:
        progress.update(12_345)
    states = capsys.readouterr().err.removeprefix("\r").rstrip("\n").split("\r")
    assert [len(state.rstrip()) < 40 for state in states] == [True] * 3
    assert states[1].startswith("a title with many words: 12345...")


def test_a_step_that_fails_is_said_to_have_stopped(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ToolchainError), Progress("work", 5, "steps"):
        raise ToolchainError("it failed")
    assert re.fullmatch(r"work: begun \[0 s\]\nwork: stopped \[\d s\]\n", capsys.readouterr().err)
