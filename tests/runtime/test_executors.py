"""Real workers far away: a Dask scheduler, an MPI job, and what travels to them."""

from __future__ import annotations

import importlib.util
import json
import os
import pickle
import shutil
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import BrokenExecutor
from pathlib import Path
from typing import Any

import pytest

import far_tasks
from conftest import MODELS, closed_form, needs_tools
from far_tasks import TESTS, dask_cluster
from manymodes.density.posterior import Posterior
from manymodes.density.program import Program
from manymodes.errors import EngineError, InputError
from manymodes.runtime.executors import dask_executor, mpi_executor
from manymodes.runtime.tasks import Parcel, as_completed
from manymodes.toolchain import home
from task_support import run_tasks

MPIEXEC = shutil.which("mpiexec", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")

needs_dask = pytest.mark.skipif(
    importlib.util.find_spec("distributed") is None, reason="distributed is not installed"
)
needs_mpi = pytest.mark.skipif(
    importlib.util.find_spec("mpi4py") is None or MPIEXEC is None,
    reason="mpi4py or mpiexec is not installed",
)


# ---------------------------------------------------------------- Dask


@pytest.mark.slow
@needs_dask
def test_a_dask_worker_that_is_killed_costs_nothing(tmp_path: Path) -> None:
    with (
        dask_cluster(tmp_path, 2) as cluster,
        dask_executor(cluster.address, workerless=2) as executor,
    ):
        queue = deque((i, (i,)) for i in range(16))
        done = {}
        for key, outcome in as_completed(far_tasks.slowly, queue, executor=executor):
            done[key] = outcome.value
            if len(done) == 8:
                cluster.workers[0].kill()
        assert {key: value[0] for key, value in done.items()} == {i: i * i for i in range(16)}
        assert {value[1] for value in done.values()} == {w.pid for w in cluster.workers}

        found = run_tasks(far_tasks.odd, {x: (x,) for x in range(6)}, executor=executor)
        assert [found[x].value for x in (0, 5)] == [0, 5]
        assert [found[x].error for x in (1, 2, 4)] == [
            "SystemExit: 3",
            "KeyboardInterrupt",
            "OSError: mine",
        ]
        assert "cannot pickle" in (found[3].error or "")
        assert run_tasks(far_tasks.blas_threads, {0: ()}, executor=executor)[0].value == {1}

        parcel = Parcel(b"x" * 2_000_000)
        found = run_tasks(far_tasks.length, dict.fromkeys(range(40), (parcel,)), executor=executor)
        assert {outcome.value for outcome in found.values()} == {2_000_000}

        cluster.workers[1].kill()
        with pytest.raises(EngineError, match=r"has had no worker for 2 s.*--resume"):
            run_tasks(far_tasks.slowly, {x: (x,) for x in range(6)}, executor=executor)


@pytest.mark.slow
@needs_dask
def test_a_dask_scheduler_that_is_killed_ends_the_run(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Within the patience of the executor and a few seconds, in one line."""
    patience = 2.0
    with (
        dask_cluster(tmp_path, 1) as cluster,
        dask_executor(cluster.address, patience=patience) as executor,
    ):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("manymodes.runtime.executors.__version__", "9.9")
            with pytest.raises(InputError, match=r"worker at \S+ does not have manymodes 9\.9: 0"):
                dask_executor(cluster.address).__enter__()
        queue = deque((i, (i,)) for i in range(30))
        run = as_completed(far_tasks.slowly, queue, executor=executor)
        done = [next(run)[0] for _ in range(3)]
        cluster.scheduler.kill()
        killed = time.monotonic()
        with pytest.raises(EngineError, match=r"is lost.* kept, .*--resume") as caught:
            done.extend(key for key, _ in run)
        assert time.monotonic() - killed < patience + 8
        with pytest.raises(BrokenExecutor):
            executor.submit(far_tasks.slowly, 1)
    assert "\n" not in str(caught.value)
    assert 3 <= len(done) < 30
    assert capfd.readouterr() == ("", "")


@needs_dask
@pytest.mark.parametrize("address", ["127.0.0.1:1", "nowhere://x"])
def test_an_address_where_nobody_answers_is_refused(address: str) -> None:
    refused = pytest.raises(InputError, match=f"no scheduler answers at {address} within 0.5 s")
    with refused as caught, dask_executor(address, patience=0.5):
        pass
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("package", "executor", "extra"),
    [
        ("distributed", lambda: dask_executor("127.0.0.1:1"), "dask"),
        ("mpi4py", mpi_executor, "mpi"),
    ],
)
def test_a_package_that_is_missing_is_named(
    package: str, executor: Callable[[], Any], extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(InputError, match=rf"pip install 'manymodes\[{extra}\]'"), executor():
        pass


# ---------------------------------------------------------------- MPI

MPI_JOB = """
import json, sys
import far_tasks
from task_support import run_tasks
from manymodes.errors import InputError
from manymodes.runtime.executors import mpi_executor

if __name__ == "__main__":
    try:
        with mpi_executor() as executor:
            slow = run_tasks(far_tasks.slowly, {x: (x,) for x in range(6)}, executor=executor)
            odd = run_tasks(far_tasks.odd, {x: (x,) for x in range(6)}, executor=executor)
            threads = run_tasks(far_tasks.blas_threads, {0: ()}, executor=executor)
    except InputError as error:
        sys.exit(str(error))
    print(json.dumps({
        "slow": [outcome.value for _, outcome in sorted(slow.items())],
        "odd": [outcome.error for _, outcome in sorted(odd.items())],
        "threads": sorted(threads[0].value),
    }))
"""


@needs_mpi
def test_an_mpi_job_runs_tasks_on_its_workers(tmp_path: Path) -> None:
    script = tmp_path / "job.py"
    script.write_text(MPI_JOB)
    job = subprocess.run(
        [str(MPIEXEC), "-n", "3", sys.executable, "-m", "mpi4py.futures", str(script)],
        env={**os.environ, "PYTHONPATH": str(TESTS), "OPENBLAS_NUM_THREADS": "2"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    said = json.loads(job.stdout)
    assert [square for square, _ in said["slow"]] == [x * x for x in range(6)]
    assert len({process for _, process in said["slow"]}) == 2
    assert said["odd"][:3] == [None, "SystemExit: 3", "KeyboardInterrupt"]
    assert "cannot pickle" in said["odd"][3]
    assert said["odd"][4:] == ["OSError: mine", None]
    assert said["threads"] == [1]


@needs_mpi
@pytest.mark.parametrize("launch", [[], [str(MPIEXEC), "-n", "2"]])
def test_an_mpi_job_without_workers_says_how_to_start_one(tmp_path: Path, launch: Any) -> None:
    script = tmp_path / "job.py"
    script.write_text(MPI_JOB)
    job = subprocess.run(
        [*launch, sys.executable, str(script)],
        env={**os.environ, "PYTHONPATH": str(TESTS)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert job.returncode != 0
    assert "mpiexec -n N python -m mpi4py.futures -m manymodes" in job.stderr
    assert "Traceback" not in job.stderr


# ---------------------------------------------------------------- what travels


@needs_tools
def test_a_posterior_is_found_compiled_where_its_file_is_not(tmp_path: Path) -> None:
    """The other process has the same cache, but neither the program's file nor its folder."""
    here = closed_form().compile()
    file = tmp_path / "gone" / "elsewhere.stan"
    file.parent.mkdir()
    shutil.copy(here.program.stan_file, file)
    posterior = Posterior(Program(file), here.data)
    parcel = Parcel(posterior)
    shutil.rmtree(file.parent)
    before = set((home() / "programs").iterdir())
    found = run_tasks(far_tasks.density, {0: (parcel,)}, workers=1)[0]
    assert found.value == (here.log_density([0.3]), str(here.program.folder))
    assert set((home() / "programs").iterdir()) == before


@needs_tools
def test_a_program_carries_its_includes(tmp_path: Path) -> None:
    include = tmp_path / "mine.stanfunctions"
    include.write_text("real one() { return 1; }\n")
    file = tmp_path / "program.stan"
    file.write_text("functions {\n#include mine.stanfunctions\n}\n")
    carried = pickle.dumps(Program(file))
    file.unlink()
    include.unlink()
    (tmp_path / "there").mkdir()
    there = pickle.loads(carried)
    main = there._write_sources(tmp_path / "there")
    assert main.read_text() == "functions {\n#include mine.stanfunctions\n}\n"
    assert (tmp_path / "there" / "mine.stanfunctions").read_text().startswith("real one()")
    assert pickle.loads(pickle.dumps(there)).sources == there.sources, "and on to the next"


@needs_tools
def test_another_file_of_the_same_path_does_not_matter(tmp_path: Path) -> None:
    file = tmp_path / "program.stan"
    shutil.copy(MODELS / "plain.stan", file)
    program = Program(file)
    folder = program.folder
    carried = pickle.dumps(program)
    file.write_text("parameters { real other; }\n")
    assert pickle.loads(carried).folder == folder
    assert pickle.loads(carried).is_compiled() == Program(MODELS / "plain.stan").is_compiled()
    assert Program(file).folder != folder


@needs_tools
def test_a_machine_looks_for_its_own_toolchain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the folder of the cache nor the toolchain of the sender is carried."""
    program = Program(MODELS / "plain.stan")
    assert program.folder.is_relative_to(home())
    carried = pickle.dumps(program)
    assert str(home()).encode() not in carried
    assert pickle.loads(carried).folder == program.folder
