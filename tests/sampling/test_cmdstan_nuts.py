"""One chain of CmdStan: its start, its warm-up, its time limit, its files, its end."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from bridge_support import load
from conftest import MODELS, SAMPLE_STATS, Y_NORMAL, closed_form, needs_tools, small_network
from manymodes.density.posterior import Posterior
from manymodes.density.program import Program
from manymodes.density.variables import variables_of
from manymodes.errors import InputError, ResultsError, SamplingError, StorageError, TimeLimitError
from manymodes.sampling.chains import cmdstan_process
from manymodes.sampling.chains.cmdstan_nuts import Adapted, initial_values, run_chain
from manymodes.sampling.chains.nuts_settings import NutsSettings
from manymodes.sampling.chains.stan_csv import read_stan_csv
from seeds import seeded

SHORT = NutsSettings(warmup=100, draws=60)
STILL = 1e-14  # a step size with which draws stay where the chain starts


def chain_folder(scratch: Path) -> Path:
    (folder,) = scratch.glob("chain-*")
    return folder


# ---------------------------------------------------------------- the start


def test_the_chain_starts_where_it_is_told(normal: Posterior, tmp_path: Path) -> None:
    still = Adapted(np.ones(1), STILL, 0)
    chain = run_chain(normal, SHORT, 1, tmp_path, start=np.array([1.0 / 3]), adapted=still)
    np.testing.assert_allclose(chain.eta, 1 / 3, rtol=1e-9)


@needs_tools
def test_bounded_parameters_start_where_they_are_told(tmp_path: Path) -> None:
    """Bounds come from the data, and an array without elements is among the parameters."""
    posterior = small_network(constraint="ordered")
    start = np.random.default_rng(3).normal(size=posterior.dims)
    still = Adapted(np.ones(posterior.dims), STILL, 0)
    settings = NutsSettings(warmup=0, draws=4)
    chain = run_chain(posterior, settings, 1, tmp_path, start=start, adapted=still)
    np.testing.assert_allclose(chain.eta[0], start, atol=1e-8)


class Bridged(NamedTuple):
    """What `initial_values` needs of a posterior."""

    model: Any
    variables: Any

    def constrain_rows(self, eta: Any) -> Any:
        return self.model.param_constrain(eta, include_tp=True)


@needs_tools
def test_every_constrained_type_survives_the_way_through_json() -> None:
    """A unit vector keeps its direction; its length in the unconstrained space is free."""
    model = load("constrained", {"low": -1.5, "high": 2.5})
    bridged: Any = Bridged(model, variables_of(model.param_names(include_tp=True)))
    free = [name.startswith("direction") for name in model.param_unc_names()]
    for start in np.random.default_rng(4).uniform(-2, 2, size=(20, model.param_unc_num())):
        again = model.param_unconstrain_json(initial_values(bridged, start))
        wanted = start.copy()
        wanted[free] /= np.linalg.norm(start[free])
        np.testing.assert_allclose(again, wanted, atol=1e-8)
    names = json.loads(initial_values(bridged, start))
    assert np.shape(names["tall_factor"]) == (3, 2)
    assert np.shape(names["shares"]) == (2, 3)


@needs_tools
def test_a_start_without_a_finite_density_is_reported_in_stans_words(tmp_path: Path) -> None:
    with pytest.raises(SamplingError, match="every point is rejected"):
        run_chain(closed_form(rejects=True), SHORT, 1, tmp_path, start=np.zeros(1))


@needs_tools
def test_a_start_whose_gradient_is_infinite_is_reported(tmp_path: Path) -> None:
    """The log density at 1e200 is -1e400, that is -inf."""
    with pytest.raises(SamplingError, match=r"CmdStan: .*(log\(0\)|finite)"):
        run_chain(closed_form(), SHORT, 1, tmp_path, start=np.array([1e200]))


# ---------------------------------------------------------------- the draws


def test_a_chain_holds_its_draws_its_statistics_and_its_warmup(
    normal: Posterior, tmp_path: Path
) -> None:
    """The metric is the posterior's variance within 5 of its standard errors at 300 draws."""
    settings = NutsSettings(warmup=1000, draws=200)
    chain = run_chain(normal, settings, seeded(7), tmp_path, start=np.zeros(1))
    assert chain.rows.shape == chain.eta.shape == (200, 1)
    assert set(chain.stats) == SAMPLE_STATS
    assert {values.shape for values in chain.stats.values()} == {(200,)}
    variance = 1 / (len(Y_NORMAL) + 1 / 4)
    assert chain.inv_metric == pytest.approx(variance, rel=5 * np.sqrt(2 / 300))
    assert chain.step_size == chain.stats["step_size"][0] > 0
    assert 0 < chain.sampling_seconds < chain.seconds
    assert not chain.cut


def test_seed_and_start_decide_the_draws(normal: Posterior, tmp_path: Path) -> None:
    """Also of chains that share a folder and run at the same time."""
    with ThreadPoolExecutor(2) as pool:
        jobs = [
            pool.submit(run_chain, normal, SHORT, seed, tmp_path, start=np.array([start]))
            for seed, start in ((1, 0.5), (1, 0.5), (2, 0.5), (1, -0.5))
        ]
        first, same, other, elsewhere = (job.result().eta for job in jobs)
    np.testing.assert_array_equal(first, same)
    assert (first != other).any()
    assert (first != elsewhere).any()


def test_an_offered_metric_is_kept_and_the_step_size_adapts(
    normal: Posterior, tmp_path: Path
) -> None:
    offered = Adapted(np.array([0.31]), 1e-3, 60)
    chain = run_chain(normal, SHORT, 1, tmp_path, start=np.zeros(1), adapted=offered)
    assert chain.inv_metric.tolist() == [0.31]
    assert chain.step_size > 0.1


def test_without_warmup_metric_and_step_size_are_those_on_offer(
    normal: Posterior, tmp_path: Path
) -> None:
    offered = Adapted(np.array([0.2]), 0.75, 0)
    chain = run_chain(normal, SHORT, 1, tmp_path, start=np.zeros(1), adapted=offered)
    assert chain.inv_metric.tolist() == [0.2]
    assert set(chain.stats["step_size"]) == {0.75}
    bare = run_chain(normal, NutsSettings(warmup=0, draws=4), 1, tmp_path, start=np.zeros(1))
    assert bare.inv_metric.tolist() == [1.0]


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"seed": 0}, "seed: 0 of a chain is not between 1 and"),
        ({"seed": 2**31}, "seed: 2147483648"),
        ({"start": np.zeros(2)}, r"start: shape \(2,\) does not fit the posterior; give \(1,\)"),
        ({"start": np.array([np.nan])}, "start: has an entry that is not finite"),
        ({"time_limit": 0.0}, "time_limit: 0.0"),
        ({"adapted": Adapted(np.ones(2), 1.0, 5)}, "inv_metric: shape"),
        ({"adapted": Adapted(-np.ones(1), 1.0, 5)}, "inv_metric: has an entry"),
        ({"adapted": Adapted(np.ones(1), 0.0, 5)}, "step_size: 0.0"),
        ({"adapted": Adapted(np.ones(1), 1.0, -5)}, "warmup: -5"),
    ],
)
def test_arguments_out_of_range_are_refused(
    normal: Posterior, tmp_path: Path, options: dict[str, Any], what: str
) -> None:
    with pytest.raises(InputError, match=f"^{what}"):
        run_chain(normal, SHORT, scratch=tmp_path, **{"seed": 1, **options})
    assert not list(tmp_path.iterdir())


# ---------------------------------------------------------------- the time limit

ENDLESS = NutsSettings(warmup=50, draws=2_000_000)


def test_the_time_limit_keeps_what_there_is(normal: Posterior, tmp_path: Path) -> None:
    """The draws are the first ones of the chain, and all of them are whole."""
    chain = run_chain(normal, ENDLESS, 1, tmp_path, start=np.zeros(1), time_limit=0.5)
    assert chain.cut
    assert 4 <= len(chain.eta) < ENDLESS.draws
    assert np.isfinite(chain.rows).all()
    assert chain.sampling_seconds == 0.5
    few = NutsSettings(warmup=50, draws=4)
    first = run_chain(normal, few, 1, tmp_path, start=np.zeros(1))
    np.testing.assert_array_equal(chain.eta[:4], first.eta)
    np.testing.assert_array_equal(chain.inv_metric, first.inv_metric)


def test_a_time_limit_in_warmup_says_so(normal: Posterior, tmp_path: Path) -> None:
    settings = NutsSettings(warmup=20_000_000, draws=10)
    with pytest.raises(
        TimeLimitError, match=r"limit of 0\.3 s came in warm-up, at iteration \d+ / "
    ):
        run_chain(normal, settings, 1, tmp_path, start=np.zeros(1), time_limit=0.3)


def test_a_time_limit_that_is_not_reached_changes_nothing(
    normal: Posterior, tmp_path: Path
) -> None:
    limited = run_chain(normal, SHORT, 1, tmp_path, start=np.zeros(1), time_limit=60)
    free = run_chain(normal, SHORT, 1, tmp_path, start=np.zeros(1))
    np.testing.assert_array_equal(limited.eta, free.eta)
    assert not limited.cut


# ---------------------------------------------------------------- CmdStan's output file

HEADER = "# model = x\nlp__,x.1,log_lik.1\n"
ADAPTED = "# Adaptation terminated\n# Step size = 0.5\n"
METRIC = "# Diagonal elements of inverse mass matrix:\n# 0.25, 4\n"
ELAPSED = "# \n#  Elapsed Time: 0.1 seconds (Warm-up)\n#                1e-02 seconds (Total)\n"


def test_a_whole_file(tmp_path: Path) -> None:
    file = tmp_path / "x.csv"
    file.write_text(HEADER + ADAPTED + METRIC + "-1.5,2,9\n-inf,3e-2,9\n" + ELAPSED)
    output = read_stan_csv(file, 2)
    assert output.columns == ("lp__", "x.1", "log_lik.1")
    assert output.draws.tolist() == [[-1.5, 2.0], [-np.inf, 0.03]]
    assert (output.adapted, output.step_size, output.seconds) == (True, 0.5, 0.01)
    assert output.inv_metric is not None
    assert output.inv_metric.tolist() == [0.25, 4.0]


@pytest.mark.parametrize(
    ("text", "columns", "draws", "adapted"),
    [
        ("", 0, 0, False),
        ("# model = x\nlp__,x", 0, 0, False),
        (HEADER, 3, 0, False),
        (HEADER + ADAPTED, 3, 0, True),
        (HEADER + ADAPTED + METRIC[:-3], 3, 0, True),
        (HEADER + ADAPTED + METRIC + "1,2,3\n1,2", 3, 1, True),
        (HEADER + ADAPTED + METRIC + "1,2,3\n1,2,3", 3, 1, True),
    ],
)
def test_a_file_that_was_cut_short(
    tmp_path: Path, text: str, columns: int, draws: int, adapted: bool
) -> None:
    file = tmp_path / "x.csv"
    file.write_text(text)
    output = read_stan_csv(file, 2)
    assert (len(output.columns), output.draws.shape) == (columns, (draws, 2))
    assert (output.adapted, output.seconds) == (adapted, None)


@pytest.mark.parametrize("row", ["1\n", "1,x,3\n"])
def test_a_file_that_is_not_cmdstans_is_refused(tmp_path: Path, row: str) -> None:
    file = tmp_path / "x.csv"
    file.write_text(HEADER + row)
    with pytest.raises(ResultsError, match="is not an output file of CmdStan"):
        read_stan_csv(file, 2)


# ---------------------------------------------------------------- a disk that is full


def stand_in(monkeypatch: pytest.MonkeyPatch, folder: Path, after: str) -> None:
    """Let CmdStan run, and then a command of the shell in which $CSV is its output file."""
    real = closed_form().program.executable()
    script = folder / "stand-in"
    script.write_text(
        "#!/bin/sh\n"
        'for word in "$@"; do case "$word" in file=*.csv) CSV="${word#file=}";; esac; done\n'
        f'"{real}" "$@"\n[ -z "$CSV" ] || {{ {after}; }}\n'
    )
    script.chmod(0o700)
    monkeypatch.setattr(Program, "executable", lambda self: script)


def test_a_truncated_file_is_an_error(
    normal: Posterior, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CmdStan ends well when the disk is full, and so does the file that it leaves."""
    stand_in(monkeypatch, tmp_path, 'truncate --size=-3000 "$CSV"')
    with pytest.raises(SamplingError) as caught:
        run_chain(normal, SHORT, 1, tmp_path, start=np.zeros(1))
    assert "\n" not in str(caught.value)
    full = shutil.disk_usage(tmp_path)._replace(free=0)
    monkeypatch.setattr(cmdstan_process.shutil, "disk_usage", lambda _: full)
    with pytest.raises(StorageError, match="is full: CmdStan's output was cut off"):
        run_chain(normal, SHORT, 1, tmp_path, start=np.zeros(1))


def test_a_time_limit_does_not_hide_a_full_disk(
    normal: Posterior, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = shutil.disk_usage(tmp_path)._replace(free=0)
    monkeypatch.setattr(cmdstan_process.shutil, "disk_usage", lambda _: full)
    with pytest.raises(StorageError, match="is full"):
        run_chain(normal, ENDLESS, 1, tmp_path, start=np.zeros(1), time_limit=0.3)


def test_a_scratch_folder_that_cannot_be_written_is_an_error(
    normal: Posterior, tmp_path: Path
) -> None:
    with pytest.raises(StorageError, match="No such file"):
        run_chain(normal, SHORT, 1, tmp_path / "gone")


def test_a_cmdstan_that_is_killed_is_reported(
    normal: Posterior, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(monkeypatch, tmp_path, "kill -KILL $$")
    with pytest.raises(SamplingError, match=r"CmdStan was ended by signal 9$"):
        run_chain(normal, SHORT, 1, tmp_path, start=np.zeros(1))


# ---------------------------------------------------------------- a worker that is killed

WORKER = """
import sys
from pathlib import Path
from manymodes.sampling.chains.cmdstan_nuts import run_chain
from manymodes.sampling.chains.nuts_settings import NutsSettings
from manymodes.density.posterior import Posterior

posterior = Posterior.from_files(sys.argv[1], sys.argv[2])
run_chain(posterior, NutsSettings(warmup=10, draws=100_000_000), 1, Path(sys.argv[3]))
"""


def commands_with(text: str) -> list[str]:
    """Return the command lines of all processes that name a text."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if text in command:
            found.append(command)
    return found


@pytest.mark.skipif(not cmdstan_process.can_guard(), reason="no setpriv of util-linux")
def test_cmdstan_dies_with_its_worker(normal: Posterior, tmp_path: Path) -> None:
    data = tmp_path / "given.json"
    data.write_text(normal.data_json)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    command = [sys.executable, "-c", WORKER, MODELS / "closed_forms.stan", data, scratch]
    worker = subprocess.Popen([str(word) for word in command])
    deadline = time.monotonic() + 60
    mine = f"file={scratch}"
    while not list(scratch.glob("*/*.csv")):
        assert worker.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert commands_with(mine)
    os.kill(worker.pid, signal.SIGKILL)
    worker.wait()
    while commands_with(mine):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_setpriv_of_another_make_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """That of BusyBox knows no such option."""
    monkeypatch.setattr(cmdstan_process.shutil, "which", lambda _: "setpriv")
    for status in (0, 1):
        done = subprocess.CompletedProcess("setpriv", status)
        monkeypatch.setattr(cmdstan_process.subprocess, "run", lambda *_, done=done, **__: done)
        assert cmdstan_process.can_guard.__wrapped__() is (status == 0)
    monkeypatch.setattr(cmdstan_process.shutil, "which", lambda _: None)
    assert not cmdstan_process.can_guard.__wrapped__()


def test_without_setpriv_cmdstan_runs_as_it_is(
    normal: Posterior, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    guarded = run_chain(normal, SHORT, 1, tmp_path, start=np.zeros(1))
    monkeypatch.setattr(cmdstan_process, "can_guard", lambda: False)
    bare = run_chain(normal, SHORT, 1, tmp_path, start=np.zeros(1))
    np.testing.assert_array_equal(guarded.eta, bare.eta)


@pytest.mark.parametrize("guard", [True, False])
def test_a_console_that_nobody_reads_keeps_no_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, guard: bool
) -> None:
    """As where the worker is killed between the pipe and the program."""
    if not guard:
        monkeypatch.setattr(cmdstan_process, "can_guard", lambda: False)
    os.mkfifo(tmp_path / "console")
    script = cmdstan_process.guarded(Path(shutil.which("true") or ""), tmp_path)
    subprocess.run([script], timeout=20, check=False)
