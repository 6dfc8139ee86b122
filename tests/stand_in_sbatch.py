"""A stand-in for Slurm's ``sbatch``: it runs the tasks of a job on this machine, two at a time.

It understands the options that docs/clusters.md uses, and refuses any other. A job's tasks have
ended when it returns. With ``STAND_IN_KILLS=TASK:FILE`` it kills all processes of that task as
soon as the file exists, and runs the task once more, as Slurm does if a node fails.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path


def options() -> argparse.ArgumentParser:
    found = argparse.ArgumentParser(prog="sbatch", allow_abbrev=False)
    for name in ("job-name", "array", "cpus-per-task", "mem", "time", "dependency"):
        found.add_argument(f"--{name}")
    found.add_argument("--open-mode", choices=("append", "truncate"), default="truncate")
    found.add_argument("--requeue", action="store_true")
    found.add_argument("--parsable", action="store_true")
    found.add_argument("script", type=Path)
    return found


def submitted(arguments: list[str]) -> argparse.Namespace:
    """Return the options of the script, which those of the command line replace."""
    script = options().parse_args(arguments).script
    text = script.read_text()
    assert text.startswith("#!"), "sbatch: error: This does not look like a batch script"
    inside: list[str] = []
    for line in text.splitlines()[1:]:
        if line.startswith("#SBATCH "):
            inside += shlex.split(line.removeprefix("#SBATCH "), comments=True)
        elif line and not line.startswith("#"):
            break  # as in Slurm, later ones do not count
    return options().parse_args([*inside, *arguments])


def tasks_of(array: str | None) -> list[int | None]:
    if array is None:
        return [None]
    found: list[int | None] = []
    for piece in array.split(","):
        first, _, last = piece.partition("-")
        found += range(int(first), int(last or first) + 1)
    return found


class Job:
    """One job, or array of jobs."""

    def __init__(self, given: argparse.Namespace, number: int, state: Path) -> None:
        self.given, self.number, self.state = given, number, state
        self.tasks = tasks_of(given.array)
        kills = os.environ.get("STAND_IN_KILLS", ":").partition(":")
        self.victim, self.mark = kills[0], Path(kills[2])

    def environment(self, task: int | None, restarts: int) -> dict[str, str]:
        found = {**os.environ, "SLURM_JOB_ID": str(self.number)}
        found |= {"SLURM_SUBMIT_DIR": os.getcwd(), "SLURM_JOB_NAME": self.given.job_name or ""}
        if self.given.cpus_per_task:
            found["SLURM_CPUS_PER_TASK"] = self.given.cpus_per_task
        if restarts:
            found["SLURM_RESTART_COUNT"] = str(restarts)
        if task is not None:
            numbers = [one for one in self.tasks if one is not None]
            found |= {
                "SLURM_ARRAY_JOB_ID": str(self.number),
                "SLURM_ARRAY_TASK_ID": str(task),
                "SLURM_ARRAY_TASK_COUNT": str(len(numbers)),
                "SLURM_ARRAY_TASK_MAX": str(max(numbers)),
            }
        return found

    def start(self, task: int | None, restarts: int) -> subprocess.Popen[bytes]:
        name = f"slurm-{self.number}" + (f"_{task}" if task is not None else "") + ".out"
        mode = "ab" if self.given.open_mode == "append" else "wb"
        with open(name, mode) as log:
            return subprocess.Popen(
                ["bash", str(self.given.script)],
                env=self.environment(task, restarts),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def run(self, task: int | None) -> int:
        process = self.start(task, 0)
        if str(task) == self.victim:
            while process.poll() is None and not self.mark.exists():
                time.sleep(0.01)
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                (self.state / "killed").write_text(f"{task}\n")
                if self.given.requeue:
                    return self.start(task, 1).wait()
        return process.wait()


def main() -> int:
    given = submitted(sys.argv[1:])
    state = Path(os.environ["STAND_IN_STATE"])
    number = 4001 + len(list(state.glob("*.json")))
    job = Job(given, number, state)
    statuses: list[int] | str
    needed = re.fullmatch(r"afterok:(\d+)", given.dependency or "")
    assert needed or not given.dependency, f"sbatch: error: {given.dependency}"
    before = json.loads((state / f"{needed[1]}.json").read_text()) if needed else []
    if any(before):
        statuses = "DependencyNeverSatisfied"
    else:
        with ThreadPoolExecutor(2) as pool:
            statuses = list(pool.map(job.run, job.tasks))
    (state / f"{number}.json").write_text(json.dumps(statuses))
    print(number if given.parsable else f"Submitted batch job {number}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
