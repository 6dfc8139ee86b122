"""Workers killed at random, and whole runs: the draws are those of a run that nothing disturbed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from far_tasks import dask_cluster
from manymodes.density.posterior import Posterior
from manymodes.results.run_directory import save_posterior
from manymodes.runtime.executors import dask_executor
from manymodes.sampling.chains import missing_chains
from manymodes.sampling.chains.chain_files import record_file, record_numbers
from manymodes.sampling.chains.chains import Chains, load_chains, run_chains
from manymodes.sampling.chains.nuts_settings import NutsSettings

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

CHAINS = 64
SETTINGS = NutsSettings(warmup=300, draws=300)
KILLS = 20
PATIENCE = 240.0

Kept = dict[int, tuple[int, int]]


@pytest.fixture(scope="module")
def undisturbed(normal: Posterior) -> Chains:
    return run_chains(normal, chains=CHAINS, nuts=SETTINGS, workers=2, quiet=True)


def assert_same(one: Chains, other: Chains) -> None:
    for name in ("index", "rows", "eta", "lpd", "pareto_k", "r_eff", "starts", "step_size"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    for name, values in one.stats.items():
        np.testing.assert_array_equal(values, other.stats[name])


def kept(out: Path) -> Kept:
    """Return inode and time of each chain that a run holds."""
    folder = out / "chains"
    return {
        i: (s.st_ino, s.st_mtime_ns)
        for i in record_numbers(folder)
        for s in [record_file(folder, i).stat()]
    }


def children(parent: int) -> list[int]:
    """Return the local workers of a process."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            ppid = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            command = (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if ppid == parent and b"spawn_main" in command:
            found.append(int(entry.name))
    return found


def start(net: Path, out: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "manymodes", "sample", str(net), "--out", str(out)]
    command += ["--chains", str(CHAINS), "--warmup", str(SETTINGS.warmup)]
    command += ["--draws", str(SETTINGS.draws), "--workers", "2", "--no-modes", "--resume"]
    log = (out.parent / "log").open("ab")
    return subprocess.Popen(command, stdout=log, stderr=log)


def wait_until(reached: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not reached():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


def kill_a_worker(process: subprocess.Popen[bytes], out: Path, rng: np.random.Generator) -> bool:
    """Kill a worker at random, some time after the next chain is kept; False if all are done."""
    had = len(kept(out))
    wait_until(lambda: len(kept(out)) > had or process.poll() is not None, "no chain was kept")
    time.sleep(rng.uniform(0, 0.15))
    workers: list[int] = []

    def found() -> bool:
        """Whether there are workers; between two pools there are none for a moment."""
        workers[:] = children(process.pid)
        return bool(workers) or process.poll() is not None

    wait_until(found, "no worker was started")
    if not workers:
        return False
    try:
        os.kill(int(rng.choice(workers)), signal.SIGKILL)
    except ProcessLookupError:  # it was replaced in the meantime
        return kill_a_worker(process, out, rng)
    return True


def test_twenty_killed_workers_and_a_killed_run_change_no_draw(
    normal: Posterior, undisturbed: Chains, tmp_path: Path
) -> None:
    """Workers die 20 times, at random; after the tenth the run is killed too, and resumed."""
    rng = np.random.default_rng(64)
    net, out = tmp_path / "net", tmp_path / "run"
    save_posterior(normal, net)
    process = start(net, out)
    before: Kept = {}
    try:
        for kill in range(KILLS):
            if kill == KILLS // 2:
                process.kill()
                process.wait()
                before = kept(out)
                process = start(net, out)
            assert kill_a_worker(process, out, rng), (
                f"the run was over after {kill} kills: {(tmp_path / 'log').read_text()}"
            )
            assert before.items() <= kept(out).items(), "a finished chain was written again"
            before = kept(out)
        assert process.wait(PATIENCE) == 0, (tmp_path / "log").read_text()
    finally:
        process.kill()
        process.wait()
    assert before.items() <= kept(out).items()
    resumed = load_chains(normal, out)
    assert resumed is not None
    assert resumed.failures == {}
    assert not list((out / "chains").glob(".*"))
    assert_same(resumed, undisturbed)


# ---------------------------------------------------------------- Dask


def test_a_dask_run_with_a_worker_killed_half_way_gives_the_same_draws(
    normal: Posterior, undisturbed: Chains, tmp_path: Path, monkeypatch: Any
) -> None:
    n = 24
    with dask_cluster(tmp_path, 2) as cluster, dask_executor(cluster.address) as executor:
        write, written = missing_chains.write_record, []

        def killing(*arguments: Any) -> None:
            write(*arguments)
            written.append(arguments[1])
            if len(written) == n // 2:
                cluster.workers[0].kill()

        monkeypatch.setattr(missing_chains, "write_record", killing)
        chains = run_chains(
            normal, chains=n, nuts=SETTINGS, executor=executor, out=tmp_path / "run", quiet=True
        )
        assert cluster.workers[0].wait(PATIENCE) == -signal.SIGKILL
        assert sorted(written) == list(range(n))
    assert chains.failures == {}
    assert_same(chains, undisturbed.select(np.arange(CHAINS) < n))
