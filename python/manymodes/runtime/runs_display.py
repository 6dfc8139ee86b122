"""The progress of nested runs on one line."""

from __future__ import annotations

import numpy as np

from manymodes.runtime.progress import Progress


class RunsDisplay:
    """The state of all runs on one line."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._state: dict[int, str] = {}

    def __call__(self, run: int, fields: list[str]) -> None:
        """Show the fields of a run's progress line."""
        log_z, live_log_z = float(fields[2]), float(fields[4])
        said = f"log_z {log_z:.2f}"
        if np.isfinite(live_log_z):
            remaining = np.logaddexp(log_z, live_log_z) - log_z
            said += f" ({remaining:.2g} nats to come)"
        self._state[run] = said
        self._tell()

    def ended(self, run: int) -> None:
        """Leave out a run that has ended."""
        self._state.pop(run, None)
        self._tell()

    def _tell(self) -> None:
        states = sorted(self._state.items())
        self._progress.update("; ".join(f"run {i + 1} {said}" for i, said in states))
