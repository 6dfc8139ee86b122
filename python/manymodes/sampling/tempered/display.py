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
    before: float = 0.0  # the share of all scans that was done at `begun`


class TemperedDisplay:
    """The state of all runs on one line: round, log_z from both sides, barrier, round trips."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._states: dict[int, _State] = {}

    def __call__(self, run: int, rounds: int, word: str, fields: list[str]) -> None:
        """Take a line of a run's progress."""
        state = self._states.setdefault(run, _State(time.monotonic()))
        if word == "scan" and int(fields[0]) >= state.round and not state.beginning:
            state.round, state.share = int(fields[0]), int(fields[1]) / int(fields[2])
        elif word == "scan":  # a round before: of another beginning
            state.beginning = state.beginning or ", other beginnings"
        elif word == "round":
            state.round, state.share = int(fields[0]) + 1, 0.0
            forward, backward = float(fields[4]), float(fields[5])
            state.said = f", log_z {forward:.2f} to {backward:.2f}, barrier {float(fields[3]):.1f}"
            state.said += f", {fields[6]} round trips"
        elif word == "beginning":
            state.beginning = f", beginning {fields[0]} of {fields[1]}"
            if fields[0] == fields[1]:  # from here on, round by round
                state.beginning, state.begun = "", time.monotonic()
                state.before = _done(state, rounds)
        states = sorted(self._states.items())
        self._progress.update("; ".join(f"run {i + 1}: {_text(one, rounds)}" for i, one in states))

    def ended(self, run: int) -> None:
        """Leave out a run that has ended."""
        self._states.pop(run, None)


def _done(state: _State, rounds: int) -> float:
    """Return the share of all scans that is done; each round has as many as all before it."""
    return 2.0 ** (state.round - 1 - rounds) * (1 + state.share)


def _text(state: _State, rounds: int) -> str:
    """Return the state in words. How long other beginnings take is not told."""
    left, done = "", _done(state, rounds)
    if state.round <= rounds and done > state.before and not state.beginning:
        seconds = (time.monotonic() - state.begun) * (1 - done) / (done - state.before)
        left = f", {seconds:.0f} s left" if seconds < 100 else f", {seconds / 60:.0f} min left"
    return f"round {min(state.round, rounds)} of {rounds}{state.said}{state.beginning}{left}"
