"""One PolyChord run in a child process: its settings, its configuration, its progress, its file."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from manymodes.errors import InputError, SamplingError
from manymodes.posterior import FloatArray, Posterior
from manymodes.program import nested_runner
from manymodes.progress import Progress
from manymodes.reference import BaseMeasure
from manymodes.storage import write_arrays
from manymodes.toolchain import PolyChordLibrary

_LOG_ZERO = -1e30
_running: set[subprocess.Popen[str]] = set()


@dataclass(frozen=True)
class PolyChordSettings:
    """Settings of PolyChord, the same for every run.

    Parameters
    ----------
    nlive : int
        Live points of each run.
    nprior : int, optional
        Draws of the prior that a run begins with; ten times ``nlive`` by default.
    num_repeats : int, optional
        Slices between two samples; five times the dimension by default.
    precision : float
        A run ends when the live points hold less than this share of the evidence.
    clustering : bool
        PolyChord's recognition of clusters while it runs. Off by default: it costs a third of
        the time, and modes are told apart afterwards, for both engines alike.
    """

    nlive: int = 500
    nprior: int | None = None
    num_repeats: int | None = None
    precision: float = 1e-3
    clustering: bool = False

    def __post_init__(self) -> None:
        """Check the ranges; raise `InputError` naming the first setting out of its range."""
        if self.nlive < 10:
            raise InputError(f"nlive: {self.nlive} is not 10 or more")
        if self.nprior is not None and self.nprior < self.nlive:
            raise InputError(f"nprior: {self.nprior} is less than nlive ({self.nlive})")
        if self.num_repeats is not None and self.num_repeats < 1:
            raise InputError(f"num_repeats: {self.num_repeats} is not 1 or more")
        if not 0 < self.precision < 1:
            raise InputError(f"precision: {self.precision} is not between 0 and 1")

    def as_dict(self) -> dict[str, Any]:
        """Return the settings as plain values."""
        return asdict(self)


class RunsDisplay:
    """The state of all runs on one line."""

    def __init__(self, progress: Progress, runs: int) -> None:
        self._progress = progress
        self._state = ["waiting"] * runs

    def __call__(self, run: int, fields: list[str]) -> None:
        """Show the fields of a run's progress line."""
        log_z, live_log_z = float(fields[2]), float(fields[4])
        if np.isfinite(live_log_z):
            remaining = np.logaddexp(log_z, live_log_z) - log_z
            self._state[run] = f"log_z {log_z:.2f} ({remaining:.2g} nats to come)"
        else:
            self._state[run] = f"log_z {log_z:.2f}"
        self._progress.update("; ".join(f"run {i + 1} {s}" for i, s in enumerate(self._state)))


def run_polychord(
    posterior: Posterior,
    base: BaseMeasure,
    settings: PolyChordSettings,
    library: PolyChordLibrary,
    seed: int,
    target: Path,
    show: RunsDisplay | None,
    index: int,
) -> None:
    """Run PolyChord once and keep the run in ``target``: the task that a worker carries out."""
    scratch = Path(tempfile.mkdtemp(prefix=".running-", dir=target.parent))
    try:
        data_file = scratch / "data.json"
        data_file.write_text(posterior.data_json, encoding="utf-8")
        dead_file = scratch / "dead.bin"
        (scratch / "clusters").mkdir()  # PolyChord asks for it when it clusters
        config = scratch / "config"
        config.write_text(
            _config_text(posterior, base, settings, library, seed, data_file, dead_file),
            encoding="utf-8",
        )
        begun = time.monotonic()
        counts = _run_child([str(nested_runner()), str(config)], scratch, show, index)
        seconds = time.monotonic() - begun
        points = _read_dead(dead_file)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    birth = points[:, -2]
    write_arrays(
        target,
        {
            "cube": points[:, :-2],
            "birth": np.where(birth <= _LOG_ZERO, -np.inf, birth),
            "logl": points[:, -1],
            "counts": counts,
            "seconds": seconds,
        },
    )


def stop_runs() -> None:
    """Kill the runs of this process, whichever thread waits for them."""
    for child in list(_running):
        child.kill()


def _config_text(
    posterior: Posterior,
    base: BaseMeasure,
    settings: PolyChordSettings,
    library: PolyChordLibrary,
    seed: int,
    data_file: Path,
    dead_file: Path,
) -> str:
    entries: list[tuple[str, object]] = [
        ("model_library", posterior.program.library()),
        ("data_file", data_file),
        ("polychord_library", library.path),
        *(("preload", path) for path in library.preload),
        ("newer_interface", int(library.newer_interface)),
        ("output", dead_file),
        ("nlive", settings.nlive),
        ("nprior", settings.nprior or 10 * settings.nlive),
        ("num_repeats", settings.num_repeats or 5 * base.dims),
        ("precision", repr(settings.precision)),
        ("clustering", int(settings.clustering)),
        ("seed", seed),
        *(
            ("coordinate", f"{family} {location!r} {scale!r}")
            for family, location, scale in zip(
                base.families, base.location.tolist(), base.scale.tolist(), strict=True
            )
        ),
    ]
    return "".join(f"{key} {value}\n" for key, value in entries)


def _run_child(
    command: list[str], folder: Path, show: RunsDisplay | None, index: int
) -> npt.NDArray[np.int64]:
    """Run the child to its end and return its counts.

    They are: evaluations, outside, failures, prior trials, prior inside.
    """
    # glibc 2.41 and later refuse libraries with an executable stack, as PolyChord's is.
    environment = {**os.environ, "GLIBC_TUNABLES": "glibc.rtld.execstack=2"}
    with (folder / "stderr.txt").open("w+") as errors:
        child = subprocess.Popen(
            command,
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=environment,
            errors="replace",
        )
        _running.add(child)
        counts: list[int] = []
        said: list[str] = []
        try:
            assert child.stdout is not None
            for line in child.stdout:
                word, *fields = line.split() or [""]
                if word == "@progress" and show is not None:
                    show(index, fields)
                elif word == "@done":
                    counts = [int(f) for f in fields]
                elif word and not word.startswith("@"):
                    said.append(line.strip())
            status = child.wait()
        finally:
            child.kill()
            child.wait()
            _running.discard(child)
        errors.seek(0)
        complaint = " ".join(errors.read().split()) or " / ".join(said[-4:])
    if status < 0:
        name = signal.Signals(-status).name
        raise SamplingError(f"the nested run was ended by {name}: {complaint}".rstrip(": "))
    if status != 0 or not counts:
        raise SamplingError(f"the nested run failed: {complaint}")
    return np.array(counts, dtype=np.int64)


def _read_dead(path: Path) -> FloatArray:
    shape = np.fromfile(path, dtype=np.int64, count=2)
    return np.fromfile(path, dtype=np.float64, offset=16).reshape(shape)
