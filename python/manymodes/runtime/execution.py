"""Where a run of an engine goes, and where its draws are kept."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from manymodes.runtime.parts import Part
from manymodes.runtime.storage import kept_folder
from manymodes.runtime.threads import cpu_count


@dataclass(frozen=True)
class Execution:
    """Where a run of an engine goes, and where its draws are kept; no draw depends on it.

    Attributes
    ----------
    out : path, optional
        The run directory. By default a temporary one, which is removed after the run.
    resume : bool
        Run only what ``out`` does not hold yet.
    other_versions : bool
        With ``resume``: go on although another version of the sampler made the draws so far.
    executor : concurrent.futures.Executor, optional
        Where tasks run; this machine by default. Its workers need no common disk.
    workers : int, optional
        How many tasks run at once on this machine; the number of cores by default.
    quiet : bool
        Show no progress.
    part : Part, optional
        Run only what belongs to this part of the run; all of it by default.
    """

    out: Path | str | None = None
    resume: bool = False
    other_versions: bool = False
    executor: Executor | None = None
    workers: int | None = None
    quiet: bool = False
    part: Part | None = None

    @property
    def local(self) -> bool:
        """Whether tasks run on this machine."""
        return self.executor is None

    def at_once(self, tasks: int) -> int | None:
        """Return how many of some tasks run at the same time; None where that is not known."""
        return min(self.workers or cpu_count(), tasks) if self.local else None

    @contextmanager
    def folder(self, name: str) -> Iterator[Path]:
        """Hold the absolute path of a folder of the run directory."""
        with kept_folder(self.out, name) as folder:
            yield folder
