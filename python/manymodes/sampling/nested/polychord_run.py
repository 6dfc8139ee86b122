"""One PolyChord run in a child process: its settings, its configuration, its progress."""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from manymodes.density.posterior import Posterior
from manymodes.errors import InputError, SamplingError, StorageError
from manymodes.runtime.runs_display import RunsDisplay as RunsDisplay
from manymodes.runtime.scratch import scratch_folder
from manymodes.runtime.tasks import Parcel
from manymodes.sampling.base_measures import BaseMeasure
from manymodes.sampling.child import PRINTS, run_child
from manymodes.sampling.nested.settings import MAX_RUN_SEED, PolyChordSettings
from manymodes.sampling.runners import base_entries, config_text, runner
from manymodes.toolchain import PolyChordLibrary, polychord_library, require
from manymodes.types import FloatArray

RUNNING = ".running-"
"""The beginning of the names of the scratch folders of runs."""

_LOG_ZERO = -1e30
_MPI_TRIALS = 20_000
_RESUME_FILE = "polychord.resume"
_IDENTITY = "identity"


@dataclass(frozen=True)
class NestedJob:
    """The common input of all runs; picklable, so that they can run anywhere.

    Attributes
    ----------
    posterior : Posterior
        The posterior to integrate.
    base : BaseMeasure
        The base measure to integrate over.
    settings : PolyChordSettings
        PolyChord's settings.
    scratch : Path or None
        The folder for files of runs on this machine; other machines use a temporary folder.
    checkpoints : bool
        Whether PolyChord keeps a file in ``scratch`` from which a run that was killed goes on.
    threads : int
        Threads of each process for one likelihood.
    """

    posterior: Posterior
    base: BaseMeasure
    settings: PolyChordSettings
    scratch: Path | None = None
    checkpoints: bool = False
    threads: int = 1


@dataclass(frozen=True)
class RawRun:
    """The output of a run.

    Attributes
    ----------
    points : array of shape (n, C + 2)
        Dead points: cube coordinates, log likelihood of the birth contour, log likelihood.
    counts : int array of shape (5,)
        Evaluations, evaluations outside, failed ones, prior trials, prior points inside.
    seconds : float
        Wall time.
    resumed : int
        How often the run was interrupted and went on from its checkpoint.
    """

    points: FloatArray
    counts: npt.NDArray[np.int64]
    seconds: float
    resumed: int


def run_polychord(
    job: Parcel[NestedJob] | NestedJob, seed: int, index: int, show: RunsDisplay | None
) -> RawRun:
    """Run PolyChord once; a worker carries this task out.

    Raises
    ------
    SamplingError
        The run failed; the message comes from the child.
    InputError
        More than one process is asked of a PolyChord that was built without MPI.
    StorageError
        The disk is full or fails.
    """
    opened = job.open() if isinstance(job, Parcel) else job
    try:
        with opened.posterior.program.in_users_words():
            return _run_polychord(opened, seed, index, show)
    except StorageError:
        raise
    except OSError as error:
        reason = error.strerror or error
        raise StorageError(f"a nested run: {reason}; make room and go on with --resume") from error


def nested_runner() -> Path:
    """Return the executable that runs PolyChord over a compiled density, building it once."""
    return runner("polychord_run", "nested")


def _run_polychord(opened: NestedJob, seed: int, index: int, show: RunsDisplay | None) -> RawRun:
    library = polychord_library(require("polychord"))
    with _scratch_folder(opened, library, seed, index) as scratch:
        begun = time.monotonic()
        resumed = _mark_resumption(scratch)
        config = scratch / "config"
        config.write_text(
            _config_text(opened, library, (seed + resumed) % MAX_RUN_SEED, scratch),
            encoding="utf-8",
        )
        command = [*launcher(opened.settings, library), str(nested_runner()), str(config)]
        processes, threads = opened.settings.processes, opened.threads
        counts = _run_child(command, scratch, show, index, processes, threads)
        if show is not None:
            show.ended(index)
        points = _read_dead(scratch / "dead.bin")
        if counts[3] == 0:
            counts[3:] = _prior_trials(opened)
        return RawRun(points, counts, time.monotonic() - begun, resumed)


def _prior_trials(job: NestedJob) -> tuple[int, int]:
    """Count draws of the base measure, and those with a density above zero, for an MPI run.

    Its processes share the initial points out and cannot count them.
    """
    draws = job.base.sample(np.random.default_rng(0), _MPI_TRIALS)
    inside = sum(np.isfinite(job.posterior.log_density(eta)) for eta in draws)
    return _MPI_TRIALS, int(inside)


# ---------------------------------------------------------------- the files of a run


@contextmanager
def _scratch_folder(
    job: NestedJob, library: PolyChordLibrary, seed: int, index: int
) -> Iterator[Path]:
    """Hold the folder of a run; a folder with checkpoints stays if the run is killed."""
    if job.checkpoints and job.scratch is not None:
        folder = _unfinished(job.scratch, index)
        identity = _identity(job, library, seed)
        kept = folder / _IDENTITY
        if not kept.exists() or kept.read_text(encoding="utf-8") != identity:
            shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(exist_ok=True)
        kept.write_text(identity, encoding="utf-8")
        _fill(folder, job)
        yield folder
        shutil.rmtree(folder, ignore_errors=True)
        return
    with scratch_folder(job.scratch, RUNNING) as scratch:
        _fill(scratch, job)
        yield scratch


def has_checkpoint(job: NestedJob, index: int) -> bool:
    """Whether a run that has failed left a checkpoint."""
    return (
        job.checkpoints
        and job.scratch is not None
        and (_unfinished(job.scratch, index) / _RESUME_FILE).exists()
    )


def forget_unfinished(scratch: Path, index: int) -> None:
    """Remove the checkpoint of a finished run, even if another machine finished it."""
    shutil.rmtree(_unfinished(scratch, index), ignore_errors=True)


def _unfinished(scratch: Path, index: int) -> Path:
    return scratch / f"unfinished-{index:03d}"


def _fill(folder: Path, job: NestedJob) -> None:
    (folder / "data.json").write_text(job.posterior.data_json, encoding="utf-8")
    (folder / "clusters").mkdir(exist_ok=True)  # PolyChord asks for it when it clusters


def _identity(job: NestedJob, library: PolyChordLibrary, seed: int) -> str:
    """Return the identity of a checkpoint: only the same run may continue it."""
    parts = [job.posterior.identity, job.base.as_dict(), job.settings.as_dict(), seed]
    return hashlib.sha256(repr((*parts, library.version)).encode()).hexdigest()


def _mark_resumption(folder: Path) -> int:
    """Return how often a run has been continued, this time included; 0 for a new run.

    PolyChord renames its checkpoint when it is whole. The random numbers start anew, so a
    continued run needs its own seed.
    """
    marks = folder / "resumed"
    if not (folder / _RESUME_FILE).exists():
        return 0
    times = int(marks.read_text(encoding="utf-8")) + 1 if marks.exists() else 1
    marks.write_text(str(times), encoding="utf-8")
    return times


def launcher(settings: PolyChordSettings, library: PolyChordLibrary) -> list[str]:
    """Return the command that starts a run's processes; empty for a run with one process.

    Raises
    ------
    InputError
        PolyChord was built without MPI, or there is no mpiexec.
    """
    if settings.processes == 1:
        return []
    if not library.mpi:
        raise InputError(
            f"processes: {settings.processes} need a PolyChord built with MPI, and version "
            f"{library.version} at {library.path} is not: use more --runs instead"
        )
    if shutil.which("mpiexec") is None:
        raise InputError("processes: there is no mpiexec on the path; install that of MPI")
    return ["mpiexec", "-n", str(settings.processes)]


def _config_text(job: NestedJob, library: PolyChordLibrary, seed: int, scratch: Path) -> str:
    base = job.base
    settings = job.settings.for_base(base)
    entries: list[tuple[str, object]] = [
        ("model_library", job.posterior.program.library()),
        ("data_file", scratch / "data.json"),
        ("polychord_library", library.path),
        *(("preload", path) for path in library.preload),
        ("newer_interface", int(library.newer_interface)),
        ("output", scratch / "dead.bin"),
        ("prints", scratch / PRINTS),
        ("nlive", settings.nlive),
        ("nprior", settings.nprior),
        ("num_repeats", settings.num_repeats),
        ("precision", repr(settings.precision)),
        ("clustering", int(settings.clustering)),
        ("checkpoints", int(job.checkpoints)),
        ("mpi", int(settings.processes > 1)),
        ("seed", seed),
    ]
    entries += base_entries(base)
    return config_text(entries)


# ---------------------------------------------------------------- the child


def _run_child(
    command: list[str],
    folder: Path,
    show: RunsDisplay | None,
    index: int,
    processes: int,
    threads: int = 1,
) -> npt.NDArray[np.int64]:
    """Run the child to its end and return the sum of its processes' counts."""
    counts: list[list[int]] = []

    def take(word: str, fields: list[str]) -> None:
        if word == "progress" and show is not None:
            show(index, fields)
        elif word == "done":
            counts.append([int(f) for f in fields])

    # glibc 2.41 and later refuse libraries with an executable stack, as PolyChord's is.
    stack = {"GLIBC_TUNABLES": "glibc.rtld.execstack=2"}
    many = processes > 1
    complaint = run_child(
        command, folder, take, "nested run", threads=threads, variables=stack, keeper=many
    )
    if len(counts) != processes:
        raise SamplingError(f"the nested run failed: {complaint}")
    return np.asarray(np.sum(counts, axis=0), dtype=np.int64)


def _read_dead(path: Path) -> FloatArray:
    shape = np.fromfile(path, dtype=np.int64, count=2)
    points = np.fromfile(path, dtype=np.float64, offset=16).reshape(shape)
    birth = points[:, -2]
    birth[birth <= _LOG_ZERO] = -np.inf
    return points
