"""What programs print: in the run's log, whole at both ends, and nowhere else."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from conftest import MODELS, needs_tools
from manymodes.cli.main import main
from manymodes.density.posterior import Posterior
from manymodes.density.program import Program
from manymodes.results.run_directory import save_posterior
from manymodes.runtime.printed import (
    LOG,
    CmdStanConsole,
    PolyChordConsole,
    append,
    count_lines,
    printing_to,
)
from manymodes.sampling.chains.cmdstan_process import listening_to

NUTS = ["--chains", "2", "--warmup", "20", "--draws", "20"]
QUIET = ["--quiet", "--json"]


def talkative(prints: int = 0, endless: int = 0, limit: float = 100.0) -> Posterior:
    data = {"prints": prints, "endless": endless, "limit": limit}
    return Posterior(Program(MODELS / "talkative.stan"), data, "talkative")


@pytest.fixture
def net(tools: Any, tmp_path: Path) -> Path:
    save_posterior(talkative(2).compile(), tmp_path / "net")
    return tmp_path / "net"


# ---------------------------------------------------------------- the log


def lines(first: int, count: int, width: int = 40) -> bytes:
    return b"".join(b"%0*d\n" % (width, i) for i in range(first, first + count))


def test_a_short_log_holds_everything(tmp_path: Path) -> None:
    append(tmp_path / LOG, lines(0, 10))
    append(tmp_path / LOG, lines(10, 5))
    assert (tmp_path / LOG).read_bytes() == lines(0, 15)
    assert count_lines(tmp_path / LOG) == 15
    assert count_lines(tmp_path / "absent") == 0


def test_a_long_log_keeps_its_ends_and_counts_what_is_left_out(tmp_path: Path) -> None:
    total, piece = 600_000, 1000
    for first in range(0, total, piece):
        append(tmp_path / LOG, lines(first, piece))
    text = (tmp_path / LOG).read_bytes()
    assert len(text) < 5 << 20 < total * 41
    assert text.startswith(lines(0, 1000))
    assert text.endswith(lines(total - 1000, 1000))
    assert text.count(b"lines are left out here") == 1
    assert count_lines(tmp_path / LOG) == total


def test_a_log_of_one_line_without_end_is_bounded_too(tmp_path: Path) -> None:
    for _ in range(40):
        append(tmp_path / LOG, b"x" * 300_000)
    assert (tmp_path / LOG).stat().st_size < 5 << 20


def test_a_log_that_cannot_be_written_disturbs_nobody(tmp_path: Path) -> None:
    append(tmp_path / "absent" / LOG, b"lost\n")
    assert not (tmp_path / "absent").exists()


# ---------------------------------------------------------------- CmdStan's console

CONSOLE = """method = sample (Default)
  sample
    num_samples = 1000 (Default)
seed = 1

p = 1, error = 2
Gradient evaluation took 1.2e-05 seconds
1000 transitions using 10 leapfrog steps per transition would take 0.12 seconds.
Adjust your expectations accordingly!


WARNING: There aren't enough warmup iterations to fit the
         three stages of adaptation as currently configured.
           init_buffer = 15
Iteration:    1 / 2000 [  0%]  (Warmup)
seed = 3
Informational Message: The current Metropolis proposal is about to be rejected
Exception: normal_lpdf: Scale parameter is 0, but must be positive!
If this warning occurs sporadically, such as for highly constrained variable types
Iteration: 2000 / 2000 [100%]  (Sampling)

 Elapsed Time: 0.005 seconds (Warm-up)
               0.012 seconds (Sampling)
the last print"""


@pytest.mark.parametrize("size", [1, 7, 4096])
def test_prints_are_told_from_what_cmdstan_says(size: int, tmp_path: Path) -> None:
    console, text = CmdStanConsole(), CONSOLE.encode()
    with printing_to(tmp_path / LOG):
        for begin in range(0, len(text), size):
            console(text[begin : begin + size])
        console.close()
    assert (tmp_path / LOG).read_text().splitlines() == [
        "p = 1, error = 2",
        "seed = 3",
        "Exception: normal_lpdf: Scale parameter is 0, but must be positive!",
        "the last print",
    ]
    assert "Iteration: 2000 / 2000 [100%]  (Sampling)" in console.lines
    assert not any("error = 2" in line for line in console.lines)
    assert count_lines(tmp_path / LOG) == 3, "a rejection is no print"


def test_without_a_named_pipe_the_console_file_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> None:
        raise OSError("this disk holds no pipes")

    monkeypatch.setattr(os, "mkfifo", refuse)
    with printing_to(tmp_path / LOG), listening_to(tmp_path):
        (tmp_path / "model-1-stdout.txt").write_text(CONSOLE)
    assert "the last print" in (tmp_path / LOG).read_text()


BANNER = """
PolyChord: Next Generation Nested Sampling
copyright: Will Handley, Mike Hobson & Anthony Lasenby
  version: 1.15.1
    email: wh260@mrao.cam.ac.uk

 ____________________________________________________ 
|                                                    |
| log(Z) =            0.21265 +/-            0.02505 |
|____________________________________________________|
Warning, unable to proceed after    201: failed spawn events
"""


def test_lines_of_polychord_are_no_prints(tmp_path: Path) -> None:
    with printing_to(tmp_path / LOG):
        console = PolyChordConsole()
        for piece in (BANNER[:150], BANNER[150:], "x = 1\n| y |", " and more"):
            console(piece.encode())
        console.close()
    assert (tmp_path / LOG).read_text() == "x = 1\n| y | and more\n"


def test_last_words_are_kept() -> None:
    words = PolyChordConsole()
    words(b"one\n\ntwo\nth")
    words(b"ree\n")
    assert words.lines(2) == ["two", "three"]


# ---------------------------------------------------------------- runs


def outputs(capfd: pytest.CaptureFixture[str], *arguments: object) -> tuple[str, str]:
    assert main([str(argument) for argument in arguments]) == 0
    return capfd.readouterr()


def test_sample_prints_json_only_and_names_the_log(
    net: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    said, complained = outputs(capfd, "sample", net, "--out", out, *NUTS, "--json", "--workers", 1)
    assert list(json.loads(said)["posteriors"]) == ["talkative"]
    count = count_lines(out / LOG)
    assert (
        complained.splitlines()[-1] == f"manymodes: the program printed {count} lines: {out / LOG}"
    )
    assert not any(line.startswith(("x = ", "data are")) for line in complained.splitlines())
    text = (out / LOG).read_text().splitlines()
    assert {line.split(" = ")[0] for line in text} == {"data are read", "x"}
    # CmdStan evaluates at each leapfrog step, climbs and checks in this process and in workers.
    assert count > 2 * 2 * 40

    before = (out / LOG).stat().st_size
    said, complained = outputs(capfd, "compare", out, *QUIET)
    json.loads(said)
    assert complained == ""
    assert (out / LOG).stat().st_size > before


def test_nested_sampling_prints_json_only(
    net: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    arguments = ["--nlive", 20, "--runs", 1, "--reference", "peaks", "--no-modes"]
    said, complained = outputs(capfd, "evidence", net, "--out", out, *arguments, *QUIET)
    assert json.loads(said)["posteriors"]
    assert complained == ""
    assert count_lines(out / LOG) > 1000
    assert "x = [" in (out / LOG).read_text()


@needs_tools
def test_messages_of_rejected_points_are_in_the_log(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    save_posterior(talkative(limit=0.5), tmp_path / "net")
    out = tmp_path / "run"
    said, complained = outputs(
        capfd, "sample", tmp_path / "net", "--out", out, *NUTS, "--no-modes", "--workers", 1
    )
    assert "x is beyond" not in said + complained
    assert "printed" not in complained
    assert "x is beyond 0.5" in (out / LOG).read_text()


@needs_tools
def test_a_density_prints_where_python_prints(capsys: pytest.CaptureFixture[str]) -> None:
    posterior = talkative(1)
    assert posterior.log_density([0.5, 0.25]) < 0
    said = capsys.readouterr().out
    assert said.splitlines()[0] == "data are read"
    assert "x = [0.5,0.25], error = 1" in said


@needs_tools
def test_a_print_that_fails_disturbs_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    class Closed:
        def write(self, text: str) -> None:
            raise ValueError("closed")

    posterior = talkative(1)
    monkeypatch.setattr(sys, "stdout", Closed())
    assert posterior.log_density([0.0, 0.0]) < 0


@needs_tools
def test_a_failed_chain_is_explained_by_stan_not_by_a_print(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    save_posterior(talkative(1, limit=-1e6), tmp_path / "net")
    arguments = ["--out", tmp_path / "run", *NUTS, "--retries", 0, "--workers", 1, "--quiet"]
    assert main([str(a) for a in ["sample", tmp_path / "net", *arguments]]) == 1
    complaint = capfd.readouterr().err
    assert "x is beyond" in complaint
    assert "error = " not in complaint


# ---------------------------------------------------------------- programs that never return


def ended_by(number: int, *arguments: object, again: bool = False) -> tuple[int, str, float]:
    """Start a command, let it get stuck, signal it; return status, last words and seconds."""
    command = [sys.executable, "-m", "manymodes", *map(str, arguments)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not _is_stuck(process.pid):
        time.sleep(0.1)
    begun = time.monotonic()
    process.send_signal(number)
    if again:
        time.sleep(0.3)
        process.send_signal(number)
    _, err = process.communicate(timeout=60)
    return process.returncode, err, time.monotonic() - begun


def _is_stuck(process: int) -> bool:
    """Whether a process has opened a compiled program, or started another one, a moment ago."""
    try:
        maps = Path(f"/proc/{process}/maps").read_text()
    except OSError:
        return True
    if "/model.so" not in maps:
        return False
    time.sleep(0.5)
    return True


@pytest.fixture(scope="module")
def compiled(tools: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    talkative().compile()
    root = tmp_path_factory.mktemp("stuck")
    for endless in (1, 2, 3):
        save_posterior(talkative(endless=endless), root / f"net-{endless}")
    return root


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(
    ("endless", "number", "again"),
    [(1, signal.SIGINT, False), (1, signal.SIGTERM, False), (2, signal.SIGINT, True)],
)
def test_a_program_that_never_returns_can_be_interrupted(
    endless: int, number: int, again: bool, compiled: Path
) -> None:
    out = compiled / f"run-{endless}-{number}-{again}"
    arguments = ["evidence", compiled / f"net-{endless}", "--out", out, "--quiet"]
    status, err, seconds = ended_by(number, *arguments, again=again)
    assert status in (128 + number, -number), err  # the second may meet a Python that is ending
    assert len(err.splitlines()) == 1
    assert err.startswith("manymodes: error: interrupted")
    assert seconds < 15


def test_an_ignored_signal_stays_ignored(compiled: Path, tmp_path: Path) -> None:
    """As in a shell's background jobs."""
    command = [sys.executable, "-m", "manymodes", "doctor", "--json"]
    process = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    )
    for _ in range(20):
        time.sleep(0.05)
        process.send_signal(signal.SIGINT)
    assert process.wait(60) == 0
