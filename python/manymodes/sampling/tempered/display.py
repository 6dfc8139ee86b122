"""The progress of tempered runs on one line."""

from __future__ import annotations

import time
from dataclasses import dataclass

from manymodes.runtime.progress import Progress


@dataclass
class _State:
    """How far a run is: its round, and what it said of the round before."""

    begun: float
    round: int = 1
    share: float = 0.0
    said: str = ""
    beginning: str = ""


class TemperedDisplay:
    """The state of all runs on one line: round, log_z from both sides, barrier, round trips."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._states: dict[int, _State] = {}

    def __call__(self, run: int, rounds: int, word: str, fields: list[str]) -> None:
        """Take a line of a run's progress."""
        state = self._states.setdefault(run, _State(time.monotonic()))
        if word == "scan":
            state.round, state.share = int(fields[0]), int(fields[1]) / int(fields[2])
        elif word == "round":
            state.round, state.share = int(fields[0]) + 1, 0.0
            forward, backward = float(fields[4]), float(fields[5])
            state.said = f", log_z {forward:.2f} to {backward:.2f}, barrier {float(fields[3]):.1f}"
            state.said += f", {fields[6]} round trips"
        elif word == "beginning":
            state.beginning = f", beginning {fields[0]} of {fields[1]}"
            if fields[0] == fields[1]:  # from here on, round by round
                state.round, state.beginning = state.round + 1, ""
        states = sorted(self._states.items())
        self._progress.update("; ".join(f"run {i + 1}: {_text(one, rounds)}" for i, one in states))

    def ended(self, run: int) -> None:
        """Leave out a run that has ended."""
        self._states.pop(run, None)


def _text(state: _State, rounds: int) -> str:
    """Return the state in words; each round takes as long as all before it together."""
    done = 2.0 ** (state.round - 1 - rounds) * (1 + state.share)
    left = ""
    if state.round <= rounds and done > 0:
        seconds = (time.monotonic() - state.begun) * (1 / done - 1)
        left = f", {seconds:.0f} s left" if seconds < 100 else f", {seconds / 60:.0f} min left"
    return f"round {min(state.round, rounds)} of {rounds}{state.said}{left}"
