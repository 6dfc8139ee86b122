"""Child processes that climb a landscape: questions and answers (``stan/climbs``).

Each process works on one question at a time, with no Python between gradients. An answer depends on
its question alone, so that results do not depend on the number of processes.
"""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from queue import SimpleQueue
from types import TracebackType

import numpy as np

from manymodes.errors import SamplingError, StorageError
from manymodes.modes.landscape import PATH_NODES, Landscape
from manymodes.runtime.printed import PolyChordConsole, listening
from manymodes.runtime.scratch import scratch_folder
from manymodes.runtime.threads import VARIABLE, cpu_count
from manymodes.sampling.child import PRINTS
from manymodes.sampling.runners import Entry, config_text, runner
from manymodes.types import FloatArray

CLIMB = "climb"
STRAIGHT = "straight"
RELAXED = "relaxed"
DENSITY = "density"

_MOST_DATA = 1 << 30  # bytes of JSON that all processes read together


class ClimbProcesses:
    """Processes over one landscape; each is started when there is work for it.

    Parameters
    ----------
    landscape : Landscape
        What is climbed.
    workers : int, optional
        The largest number of processes; by default one for each core, and fewer if the data are so
        large that they would fill the memory.
    """

    def __init__(self, landscape: Landscape, workers: int | None = None) -> None:
        self._landscape = landscape
        size = len(landscape.posterior.data_json)
        self.workers = workers or max(1, min(cpu_count(), _MOST_DATA // max(size, 1)))
        self._stack = ExitStack()
        self._config: Path | None = None
        self._started: list[_Process] = []
        self._said = PolyChordConsole()

    def __enter__(self) -> ClimbProcesses:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for process in self._started:
            process.end()
        self._started.clear()
        self._stack.close()
        self._said.close()

    def ask(
        self,
        kind: str,
        questions: Sequence[FloatArray],
        answered: Callable[[int, FloatArray], None],
    ) -> None:
        """Ask questions and take the answers, in the order in which they come.

        Parameters
        ----------
        kind : str
            What is asked (``stan/climbs/climbs_run.cpp``).
        questions : sequence of arrays
            The numbers of each.
        answered : callable
            Is called with a question's place and the numbers of its answer.

        Raises
        ------
        SamplingError
            A process failed or was killed.
        StorageError
            There is no room for the data that the processes read.
        """
        processes = self._processes(min(self.workers, len(questions)))
        if len(processes) == 1:
            for place, question in enumerate(questions):
                answered(place, processes[0].answer(kind, question))
            return
        found: SimpleQueue[tuple[int, FloatArray | Exception]] = SimpleQueue()
        places = iter(range(len(questions)))
        taking = threading.Lock()

        def work(process: _Process) -> None:
            while True:
                with taking:
                    place = next(places, None)
                if place is None:
                    return
                try:
                    found.put((place, process.answer(kind, questions[place])))
                except Exception as error:
                    found.put((place, error))
                    return

        for process in processes:
            threading.Thread(target=work, args=(process,), daemon=True).start()
        for _ in questions:
            place, answer = found.get()
            if isinstance(answer, Exception):
                raise answer
            answered(place, answer)

    def _processes(self, number: int) -> list[_Process]:
        while len(self._started) < number:
            config = self._config or self._prepare()
            threads = max(1, cpu_count() // self.workers)
            self._started.append(_Process(config, threads, self._said))
        return self._started[:number]

    def _prepare(self) -> Path:
        """Write what all processes read; return the path of their configuration."""
        landscape = self._landscape
        folder = self._stack.enter_context(scratch_folder())
        entries: list[Entry] = [
            ("model_library", landscape.posterior.program.library()),
            ("data_file", folder / "data.json"),
            ("prints", folder / PRINTS),
            ("nodes", PATH_NODES),
            *(("coordinate", line) for line in landscape.coordinate_lines()),
        ]
        try:
            (folder / "data.json").write_text(landscape.posterior.data_json, encoding="utf-8")
            if landscape.prior is not None:
                (folder / "prior.json").write_text(landscape.prior.data_json, encoding="utf-8")
                entries.append(("prior_file", folder / "prior.json"))
            (folder / "config").write_text(config_text(entries), encoding="utf-8")
        except OSError as error:
            raise StorageError(f"{folder}: {error.strerror or error}") from error
        self._stack.enter_context(listening(folder / PRINTS, self._said))
        self._config = folder / "config"
        return self._config


class _Process:
    """One child process. It ends when its standard input does, and with its parent."""

    def __init__(self, config: Path, threads: int, said: PolyChordConsole) -> None:
        self._said = said
        self._errors = config.with_name(f"stderr-{os.urandom(4).hex()}.txt")
        with self._errors.open("w") as errors:
            self._child = subprocess.Popen(
                [str(runner("climbs_run", "climbs")), str(config)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                cwd=config.parent,
                env={**os.environ, VARIABLE: str(threads)},
                process_group=0,
            )

    def answer(self, kind: str, question: FloatArray) -> FloatArray:
        """Return the answer to one question."""
        child = self._child
        assert child.stdin is not None
        assert child.stdout is not None
        try:
            child.stdin.write(f"{kind} {question.size}\n".encode())
            child.stdin.write(np.ascontiguousarray(question, dtype=float).tobytes())
            child.stdin.flush()
            size = 8 * int(child.stdout.readline())
            content = child.stdout.read(size)
        except (OSError, ValueError) as error:  # its end of a pipe is closed
            raise SamplingError(self._complaint()) from error
        if len(content) != size:
            raise SamplingError(self._complaint())
        return np.frombuffer(content)

    def _complaint(self) -> str:
        status = self._child.wait()
        with suppress(OSError):
            text = " ".join(self._errors.read_text(errors="replace").split())
            if text:
                return f"climbs to modes failed: {text}"
        return f"climbs to modes failed: their process ended with status {status}"

    def end(self) -> None:
        """End the process, whatever it does."""
        with suppress(OSError):
            self._child.kill()
        self._child.wait()
        for stream in (self._child.stdin, self._child.stdout):
            if stream is not None:
                with suppress(OSError):
                    stream.close()
