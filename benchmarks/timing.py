"""Time alternatives side by side: A B A B ..., so that a busy machine slows both alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Timed:
    """The times of one alternative, in seconds, and what each call returned."""

    seconds: tuple[float, ...]
    values: tuple[Any, ...]

    @property
    def median(self) -> float:
        """The median time in seconds."""
        return float(np.median(self.seconds))

    def text(self, scale: float = 1.0, unit: str = "s") -> str:
        """Return the median and the range in units of ``1 / scale`` seconds."""
        low, high = min(self.seconds) * scale, max(self.seconds) * scale
        return f"{self.median * scale:.4g} {unit} ({low:.4g}–{high:.4g})"


def alternate(
    calls: Mapping[str, Callable[[], Any]],
    repeats: int,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, Timed]:
    """Call each alternative in turn, ``repeats`` times; the clock gives seconds."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    values: dict[str, list[Any]] = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            begun = clock()
            values[name].append(call())
            seconds[name].append(clock() - begun)
    return {name: Timed(tuple(seconds[name]), tuple(values[name])) for name in calls}


def ratio(a: Timed, b: Timed) -> str:
    """Return the ratio a / b: the median and the range over the pairs."""
    pairs = np.array(a.seconds) / np.array(b.seconds)
    return f"{np.median(pairs):.3g} ({pairs.min():.3g}–{pairs.max():.3g})"


def show(label: str, text: str) -> None:
    """Print one line of results."""
    print(f"  {label:<58} {text}", flush=True)
