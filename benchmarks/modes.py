"""Finding modes of networks of 9 to 33 weights: climbs beside SciPy's, the whole, and again.

Times are processor seconds of this process and those that it starts, which other programs disturb
least; where it says so, they are seconds by the clock. The floor is the number of gradients that
the climbs took, times that of posterior and prior in a C++ loop.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from scipy import optimize
from timing import alternate, ratio, show

import density
from manymodes.density.posterior import Posterior
from manymodes.modes.explorer import Explorer
from manymodes.modes.find import ModeSettings, find_modes
from manymodes.modes.landscape import Landscape
from manymodes.networks.network import Network
from manymodes.runtime.threads import cpu_count
from manymodes.sampling.base_measures import prior_measure
from manymodes.sampling.chains.chains import run_chains
from manymodes.sampling.chains.nuts_settings import NutsSettings
from manymodes.sampling.measure import LOGISTIC
from manymodes.sampling.tempered import run_tempered
from manymodes.types import FloatArray

CASES = {f"{4 * units + 1} weights": units for units in (2, 3, 4, 6, 8)}
"""Hidden units of networks 2-H-1 on the study's data."""

_STRETCH = 30.0  # a unit of SciPy's first step is this part of a coordinate


def network(posterior: Posterior, units: int) -> Posterior:
    """Return the posterior of a network with so many units on the data of another."""
    made = Network(2, (units,), activation="sigmoid", prior="uniform:5")
    data = posterior.data
    return Posterior.from_network(
        made, np.asarray(data["X"]), np.asarray(data["y_int"]), f"{units} units"
    ).compile()


def scipy_climbs(landscape: Landscape) -> Callable[[FloatArray], FloatArray]:
    """Return climbs by SciPy's L-BFGS-B with a call from Python for every gradient."""
    frame, box, prior = landscape.frame, landscape.bounds, landscape.prior
    inside = np.array([family == LOGISTIC for family in frame.families])
    scale = frame.scale.diagonal()
    stretched = optimize.Bounds(box.lb * _STRETCH, box.ub * _STRETCH, keep_feasible=True)
    assert prior is not None

    def descent(place: FloatArray) -> tuple[float, FloatArray]:
        x = place / _STRETCH
        eta = landscape.unconstrained(x)
        value, gradient = landscape.posterior.gradient(eta)
        prior_value, prior_gradient = prior.gradient(eta)
        u = np.where(inside, x, 0.5)
        slope = scale * np.where(inside, 1 / (u * (1 - u)), 1.0) / _STRETCH
        return prior_value - value, (prior_gradient - gradient) * slope

    def climb(eta: FloatArray) -> float:
        place, height = landscape.coordinates(eta) * _STRETCH, -np.inf
        for _ in range(5):
            found = optimize.minimize(
                descent,
                place,
                jac=True,
                method="L-BFGS-B",
                bounds=stretched,
                options={"maxiter": 300, "ftol": 1e-13, "gtol": 1e-4 / _STRETCH},
            )
            gained, place, height = -found.fun - height, found.x, float(-found.fun)
            if gained < 1e-3:
                break
        return height

    return lambda points: np.array([climb(eta) for eta in points])


def processor_seconds() -> float:
    """Return the processor time of this process and of its children that have ended."""
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


def _one(posterior: Posterior, name: str, repeats: int, quick: bool) -> None:
    draws = 100 if quick else 500
    nuts = NutsSettings(warmup=draws, draws=draws)
    chains = run_chains(posterior, chains=4 if quick else 16, nuts=nuts, seed=1, quiet=True)
    tempered = run_tempered(posterior, runs=2, target_sd=0.5, seed=1, quiet=True)
    settings = ModeSettings(climbs=30 if quick else 600)
    points = np.concatenate([chains.flat(chains.eta), tempered.eta])
    step = max(1, len(points) // (2 * settings.climbs))
    points = points[::step][: 2 * settings.climbs]
    landscape = Landscape(posterior, prior_measure(posterior))
    slow = scipy_climbs(landscape)
    gradients: list[int] = []

    def climbs(workers: int) -> FloatArray:
        with Explorer(landscape, workers=workers) as explorer:
            heights = explorer.climbs(points)[1]
            gradients.append(explorer.gradients)
        return heights

    def whole(kept: Path | None = None) -> Any:
        return find_modes(
            posterior, chains=chains, tempered=tempered, settings=settings, quiet=True, kept=kept
        )

    climbs(1)  # builds what climbs, once
    slow(points[:1])
    cores = cpu_count()
    with tempfile.TemporaryDirectory() as folder:
        modes = whole(Path(folder))
        by_scipy = alternate({"scipy": lambda: slow(points)}, repeats, time.process_time)
        timed = by_scipy | alternate(
            {
                "climbs": lambda: climbs(cores),
                "whole": whole,
                "again": lambda: whole(Path(folder)),
            },
            repeats,
            processor_seconds,
        )
    clock = alternate({"one": lambda: climbs(1), "all": lambda: climbs(cores)}, repeats)
    some = np.tile(points, (20_000 // len(points) + 1, 1))
    assert landscape.prior is not None
    calls = {n: density.loops(p, some)["gradients"] for n, p in
             (("posterior", posterior), ("prior", landscape.prior))}  # fmt: skip
    each = sum(one.median for one in alternate(calls, 5, time.process_time).values()) / len(some)
    floor = gradients[-1] * each
    heights = [timed[way].values[0].mean() for way in ("scipy", "climbs")]
    print(f"  {name}: {len(points)} climbs, {modes.n_modes} modes")
    show("SciPy, a call from Python for every gradient", timed["scipy"].text())
    show("climbs", timed["climbs"].text())
    show(f"the floor: {gradients[-1]} gradients of {each * 1e6:.3g} µs", f"{floor:.3g} s")
    show("SciPy over climbs", ratio(timed["scipy"], timed["climbs"]))
    show(f"one process over {cores}, by the clock", ratio(clock["one"], clock["all"]))
    show("mean height of the ends, SciPy's and ours", f"{heights[0]:.2f}, {heights[1]:.2f} nats")
    show("find_modes", timed["whole"].text())
    show("find_modes again, with what the run keeps", timed["again"].text())


def run(
    posterior: Posterior, quick: bool, cases: list[str] | None = None, repeats: int | None = None
) -> None:
    """Print the times of climbs and of all that finds modes, by the size of the network."""
    for name in cases or CASES:
        one = network(posterior, CASES[name])
        _one(one, name, repeats or (1 if quick else 3), quick)
