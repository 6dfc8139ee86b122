"""The cost of nested sampling on XOR: our C++ callbacks, their floor, and a Python callback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from timing import alternate, show

from density import seconds_per_value
from manymodes.density.posterior import Posterior
from manymodes.sampling.nested import Nested, run_nested
from manymodes.sampling.nested.settings import PolyChordSettings
from manymodes.toolchain import polychord_library, require

TARGETS = {1: 40.0, 2: 22.0}
"""Seconds aimed at, by the number of runs and cores."""


def run(posterior: Posterior, quick: bool) -> None:
    """Print time and evaluations of nested sampling as in the literature, on one and two cores."""
    nlive = 100 if quick else 1000

    def sample(runs: int) -> Nested:
        settings = PolyChordSettings(nlive=nlive // runs, nprior=10 * nlive // runs)
        return run_nested(posterior, runs=runs, workers=runs, polychord=settings, quiet=True)

    timed = alternate({str(runs): partial(sample, runs) for runs in TARGETS}, 1 if quick else 3)
    eta = timed["1"].values[0].eta
    floor = seconds_per_value(posterior, np.random.default_rng(1).choice(eta, 20_000), 3)
    show("the density alone (C++ loop, at the points of a run)", f"{1e6 * floor:.3g} µs")
    for runs, target in TARGETS.items():
        one = timed[str(runs)]
        show(f"{runs} x nlive {nlive // runs} on {runs} core{'s'[: runs - 1]}", one.text())
        costs = [_cost(found) for found in one.values]
        for found, cost in zip(one.values, costs, strict=True):
            show(
                "",
                f"{found.evaluations} evaluations, {1e6 * cost:.3g} µs each, "
                f"log_z = {found.log_z:.2f} ± {found.log_z_sd:.2f}",
            )
        show("  the density's share of an evaluation", f"{floor / np.median(costs):.0%}")
        if not quick:
            show("  target", f"{target:g} s")


def _cost(nested: Nested) -> float:
    """Return the seconds of an evaluation in the longest run."""
    longest = max(nested.runs, key=lambda run: run.seconds)
    return longest.seconds / longest.evaluations


def run_callback(posterior: Posterior, quick: bool) -> None:
    """Print the cost of an evaluation with C++ callbacks and with a Python callback."""
    nlive = 20 if quick else 50
    settings = PolyChordSettings(nlive=nlive)

    def ours() -> float:
        nested = run_nested(posterior, runs=1, polychord=settings, quiet=True)
        return nested.runs[0].seconds / nested.evaluations

    def callback() -> float:
        done = python_callback(posterior, nlive, seed=1)
        return float(done["seconds"] / done["evaluations"])

    timed = alternate({"ours": ours, "callback": callback}, 1 if quick else 3)
    costs = {name: np.array(one.values) for name, one in timed.items()}
    for name, label in (("ours", "C++ callbacks"), ("callback", "Python callback, same density")):
        values = 1e6 * costs[name]
        show(
            f"{label}, each evaluation",
            f"{np.median(values):.3g} µs ({values.min():.3g}–{values.max():.3g})",
        )
    pairs = costs["callback"] / costs["ours"]
    show(
        "ratio Python callback : C++ callbacks",
        f"{np.median(pairs):.3g} ({pairs.min():.3g}–{pairs.max():.3g})",
    )


def python_callback(posterior: Posterior, nlive: int, seed: int) -> dict[str, Any]:
    """Return what ``python_callback.py`` measures."""
    library = polychord_library(require("polychord"))
    problem = {
        "preload": [str(path) for path in library.preload],
        "polychord": str(library.path),
        "newer": library.newer_interface,
        "model": str(posterior.program.library()),
        "data": posterior.data_json,
        "nlive": nlive,
        "seed": seed,
    }
    return in_a_process("python_callback.py", problem)


def in_a_process(script: str, problem: dict[str, Any]) -> dict[str, Any]:
    """Run a script of this folder on a problem and return what it writes.

    Raises
    ------
    ModuleNotFoundError
        The script needs a package that is not installed: its name.
    RuntimeError
        It failed otherwise.
    """
    with tempfile.TemporaryDirectory() as folder:
        described, done = Path(folder, "problem.json"), Path(folder, "done.json")
        described.write_text(json.dumps(problem), encoding="utf-8")
        child = subprocess.run(
            [sys.executable, str(Path(__file__).with_name(script)), str(described), str(done)],
            cwd=folder,
            env={**os.environ, "GLIBC_TUNABLES": "glibc.rtld.execstack=2"},
            capture_output=True,
            text=True,
            check=False,
        )
        last = (child.stderr.strip().splitlines() or ["nothing said"])[-1]
        if last.startswith("ModuleNotFoundError"):
            raise ModuleNotFoundError(last.partition("No module named ")[2].strip("'"))
        if child.returncode != 0:
            raise RuntimeError(f"{script} failed: {last}")
        result: dict[str, Any] = json.loads(done.read_text(encoding="utf-8"))
    return result
