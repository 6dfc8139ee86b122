"""Workers far away: a Dask cluster, and tasks that workers find under this name on their path."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from manymodes.runtime.tasks import Parcel

if TYPE_CHECKING:
    from manymodes.density.posterior import Posterior

TESTS = Path(__file__).parent


@contextmanager
def dask_cluster(folder: Path, workers: int) -> Iterator[SimpleNamespace]:
    """Start a scheduler and workers, each a process of its own, and wait until they are there."""
    import distributed

    file = folder / "scheduler.json"
    scheduler = ["dask_scheduler", "--host", "127.0.0.1", "--port", "0"]
    worker = ["dask_worker", "--nthreads", "1", "--no-nanny", "--local-directory", str(folder)]
    variables = {**os.environ, "PYTHONPATH": str(TESTS), "OPENBLAS_NUM_THREADS": "2"}
    started = []
    try:
        for i, (module, *options) in enumerate([scheduler, *[worker] * workers]):
            command = [sys.executable, "-m", f"distributed.cli.{module}", *options]
            command += ["--no-dashboard", "--scheduler-file", str(file)]
            with (folder / f"{i}.log").open("w") as log:
                started.append(subprocess.Popen(command, env=variables, stdout=log, stderr=log))
        deadline = time.monotonic() + 60
        while not file.exists():
            assert time.monotonic() < deadline, (folder / "0.log").read_text()
            time.sleep(0.05)
        address = json.loads(file.read_text())["address"]
        with distributed.Client(address, set_as_default=False) as client:
            client.wait_for_workers(workers, timeout=60)
        yield SimpleNamespace(address=address, scheduler=started[0], workers=started[1:])
    finally:
        for process in started:
            process.kill()
            process.wait()


def slowly(x: int) -> tuple[int, int]:
    """Return the square, and the process that took its time over it."""
    time.sleep(0.2)
    return x * x, os.getpid()


def odd(x: int) -> Any:
    """Return or raise what an executor may choke on."""
    if x == 1:
        raise SystemExit(3)
    if x == 2:
        raise KeyboardInterrupt
    if x == 3:
        return threading.Lock()
    if x == 4:
        raise OSError("mine")
    return x


def blas_threads() -> set[int]:
    """Return how many threads each library of linear algebra uses."""
    import numpy  # noqa: F401
    import threadpoolctl

    return {pool["num_threads"] for pool in threadpoolctl.threadpool_info()}


def density(parcel: Parcel[Posterior]) -> tuple[float, str]:
    """Return the log density at 0.3 and the folder of the compiled program."""
    posterior = parcel.open()
    return posterior.log_density([0.3]), str(posterior.program.folder)


def length(parcel: Parcel[bytes]) -> int:
    """Return how long a parcel's value is."""
    return len(parcel.open())
