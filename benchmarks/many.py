"""How time and memory grow with the number of chains: whole commands, as a user starts them."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from manymodes.density.posterior import Posterior
from manymodes.results.run_directory import save_posterior
from manymodes.sampling.chains.chain_files import read_record, record_numbers

WORKERS = 2
TARGET_OVERHEAD = 25
TARGET_MEMORY = 2048
_POLL = 0.1


@dataclass(frozen=True)
class Measured:
    """Wall time (s) and peak memory (MB, resident, summed over the tree of processes)."""

    seconds: float
    megabytes: float


def measured(command: list[str]) -> Measured:
    """Run a command and watch the memory of it and of all that it starts."""
    begun = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    peak = 0.0
    ended = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not ended.wait(_POLL):
            peak = max(peak, _tree_megabytes(process.pid))

    watcher = threading.Thread(target=watch)
    watcher.start()
    status = process.wait()
    ended.set()
    watcher.join()
    if status != 0:
        raise SystemExit(f"{' '.join(command)} failed with exit status {status}")
    return Measured(time.monotonic() - begun, peak)


def _tree_megabytes(root: int) -> float:
    """Return the resident memory of a process and its descendants; shared pages count in each."""
    parents: dict[int, int] = {}
    resident: dict[int, float] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            status = (entry / "status").read_text()
        except OSError:
            continue
        values = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
        parents[int(entry.name)] = int(values["PPid"])
        resident[int(entry.name)] = float(values.get("VmRSS", "0 kB").split()[0]) / 1024

    def belongs(pid: int) -> bool:
        while pid not in (0, root):
            pid = parents.get(pid, 0)
        return pid == root

    return sum(size for pid, size in resident.items() if belongs(pid))


def sampled_seconds(run: Path) -> float:
    """Return CmdStan's own time of warm-up and sampling, summed over the chains of a run."""
    folder = run / "chains"
    return sum(read_record(folder, i).sampling_seconds for i in record_numbers(folder))


def run(posterior: Posterior, quick: bool) -> None:
    """Print wall time, overhead and memory of 64 to 1024 chains, and of their comparison."""
    counts = (8, 16) if quick else (64, 256, 1024)
    iterations = 100 if quick else 500
    print(
        f"  chains of {iterations} + {iterations} draws on {WORKERS} processes; the whole command"
    )
    print("  chains    wall s  CmdStan s  overhead %  wall s a chain    MB | compare s    MB")
    for count in counts:
        with tempfile.TemporaryDirectory(prefix="manymodes-bench-") as folder:
            net, out = Path(folder, "net"), Path(folder, "run")
            save_posterior(posterior, net)
            model = [sys.executable, "-m", "manymodes"]
            options = [f"--chains={count}", f"--warmup={iterations}", f"--draws={iterations}"]
            options += [f"--workers={WORKERS}", "--no-modes", "--json", f"--out={out}"]
            drawn = measured([*model, "sample", str(net), *options])
            own = sampled_seconds(out)
            compared = measured([*model, "compare", str(out), "--json"])
            assert json.loads((out / "summary.json").read_text())["posteriors"]
        overhead = 100 * (WORKERS * drawn.seconds / own - 1)
        print(
            f"  {count:6d}  {drawn.seconds:8.1f}  {own:9.1f}  {overhead:10.1f}  "
            f"{drawn.seconds / count:14.3f}  {drawn.megabytes:4.0f} | "
            f"{compared.seconds:9.1f}  {compared.megabytes:4.0f}",
            flush=True,
        )
    if not quick:
        print(f"  targets: overhead below {TARGET_OVERHEAD} %, below {TARGET_MEMORY} MB")
