"""One run of parallel tempering in a child process: its configuration, its progress, its arrays."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from manymodes.density.posterior import Posterior
from manymodes.errors import SamplingError, StorageError
from manymodes.runtime.scratch import scratch_folder
from manymodes.runtime.tasks import Parcel
from manymodes.sampling.base_measures import BaseMeasure
from manymodes.sampling.child import PRINTS, run_child
from manymodes.sampling.runners import (
    Arrays,
    Entry,
    arrays_bytes,
    base_entries,
    config_text,
    eigen,
    read_output,
    runner,
)
from manymodes.sampling.tempered.display import TemperedDisplay
from manymodes.sampling.tempered.settings import TemperedSettings

RUNNING = ".running-"
"""The beginning of the names of the scratch folders of runs."""

_OUTPUT = "output.bin"
_IDENTITY = "identity"


@dataclass(frozen=True)
class TemperedJob:
    """The common input of all runs; picklable, so that they can run anywhere.

    Attributes
    ----------
    posterior : Posterior
        The posterior to integrate.
    base : BaseMeasure
        The base measure to begin from.
    moves : tuple
        The lines that tell the runner the symmetry group (`group_entries`).
    settings : TemperedSettings
        What each run does.
    identity : str
        Of the run directory's settings: only the same run may go on from a file.
    scratch : Path or None
        The folder for files of runs on this machine; other machines use a temporary folder.
    threads : int
        Threads for one likelihood.
    """

    posterior: Posterior
    base: BaseMeasure
    moves: tuple[Entry, ...]
    settings: TemperedSettings
    identity: str
    scratch: Path | None = None
    threads: int = 1


def run_tempered_once(
    job: Parcel[TemperedJob] | TemperedJob,
    seed: int,
    index: int,
    rounds: int,
    before: Arrays | None,
    show: TemperedDisplay | None,
) -> Arrays:
    """Carry out the rounds of one run; a worker carries this task out.

    Parameters
    ----------
    job : TemperedJob
        What all runs share.
    seed, index : int
        Of this run.
    rounds : int
        The last round.
    before : dict, optional
        What the run found so far; it goes on from there.
    show : TemperedDisplay, optional
        Takes its progress.

    Raises
    ------
    SamplingError
        The run failed; the message comes from the child.
    StorageError
        The disk is full or fails.
    """
    opened = job.open() if isinstance(job, Parcel) else job
    try:
        with opened.posterior.program.in_users_words(), _folder(opened, seed, index) as scratch:
            output = scratch / _OUTPUT
            if before is not None:
                output.write_bytes(arrays_bytes(before))
            _run(opened, seed, index, rounds, scratch, show)
            return read_output(output)
    except StorageError:
        raise
    except OSError as error:
        reason = error.strerror or error
        raise StorageError(f"a tempered run: {reason}; make room, go on with --resume") from error


def tempered_runner() -> Path:
    """Return the executable that tempers a compiled density, building it once.

    Raises
    ------
    CompileError
        The C++ compiler fails.
    ToolchainError
        There is no CmdStan, whose copy of Eigen it is built with.
    """
    return runner("tempered_run", "tempered", [eigen()])


def _run(
    job: TemperedJob,
    seed: int,
    index: int,
    rounds: int,
    scratch: Path,
    show: TemperedDisplay | None,
) -> None:
    (scratch / "data.json").write_text(job.posterior.data_json, encoding="utf-8")
    config = scratch / "config"
    config.write_text(config_of(job, seed, rounds, scratch), encoding="utf-8")
    done = []

    def take(word: str, fields: list[str]) -> None:
        if word == "done":
            done.append(True)
        elif show is not None:
            show(index, rounds, word, fields)

    command = [str(tempered_runner()), str(config)]
    complaint = run_child(command, scratch, take, "tempered run", threads=job.threads)
    if show is not None:
        show.ended(index)
    if not done:
        raise SamplingError(f"the tempered run failed: {complaint}")


def config_of(job: TemperedJob, seed: int, rounds: int, scratch: Path) -> str:
    """Return the configuration of a run whose files are in a folder."""
    settings = job.settings
    return config_text(
        [
            ("model_library", job.posterior.program.library()),
            ("data_file", scratch / "data.json"),
            ("output", scratch / _OUTPUT),
            ("prints", scratch / PRINTS),
            ("seed", seed),
            ("rounds", rounds),
            ("temperatures", settings.temperatures or 0),
            ("beginnings", settings.beginnings),
            ("per_barrier", repr(settings.per_barrier)),
            ("steps", settings.steps or 0),
            ("diagonal", int(settings.metric == "diagonal")),
            *base_entries(job.base),
            *job.moves,
        ]
    )


# ---------------------------------------------------------------- the files of a run


@contextmanager
def _folder(job: TemperedJob, seed: int, index: int) -> Iterator[Path]:
    """Hold the folder of a run; it stays if the run is killed, and the run goes on from it."""
    if job.scratch is None:
        with scratch_folder(None, RUNNING) as scratch:
            yield scratch
        return
    folder = unfinished(job.scratch, index)
    kept = folder / _IDENTITY
    identity = f"{job.identity}/{seed}"
    if not kept.exists() or kept.read_text(encoding="utf-8") != identity:
        shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(exist_ok=True)
    kept.write_text(identity, encoding="utf-8")
    yield folder


def unfinished(scratch: Path, index: int) -> Path:
    """Return the folder of a run that is not finished."""
    return scratch / f"unfinished-{index:03d}"
