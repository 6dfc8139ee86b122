"""What priors by group, likelihoods and skip connections cost beside a network with one prior."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from time import process_time
from typing import Any

import numpy as np
from kernel_measure import Density, compile_loops
from timing import alternate, ratio

from manymodes.density.posterior import Posterior
from manymodes.networks.network import Network

SHAPES = {"220 x 2 x 2": (220, 2, 2), "100 x 1 x 8": (100, 1, 8), "2000 x 10 x 30": (2000, 10, 30)}
FORMS: dict[str, dict[str, Any]] = {
    "normal:1": {"prior": "normal:1"},
    "ih=normal:1": {"prior": "ih=normal:1"},
    "fbm": {"prior": "fbm"},
    "skip": {"prior": "normal:1", "skip": True},
    "heteroscedastic": {"likelihood": "heteroscedastic"},
    "student:4": {"likelihood": "student:4"},
    "poisson": {"likelihood": "poisson"},
    "negative-binomial": {"likelihood": "negative-binomial"},
    "binomial": {"likelihood": "binomial"},
}


def run(_: Posterior, quick: bool) -> None:
    """Print microseconds of a value with its gradient, medians of rounds in turn, and ratios."""
    rng = np.random.default_rng(1)
    compiled = compile_loops()
    for shape, (rows, inputs, units) in SHAPES.items():
        X = rng.normal(size=(rows, inputs))
        loops: dict[str, Callable[[int], Any]] = {}
        for form, given in FORMS.items():
            arguments = {"likelihood": "normal", **given}
            network = Network(inputs, (units,), activation="tanh", **arguments)
            counts = network.likelihood_parts.is_count
            y = rng.poisson(2.0, rows) if counts else rng.normal(size=rows)
            trials = y + 3 if network.likelihood == "binomial" else None
            one = Posterior.from_network(network, X, y, trials=trials)
            points = 0.3 * rng.normal(size=(1, one.dims))
            library = str(one.program.library())
            density = Density.load(compiled, library, one.data_json.encode(), points)
            loops[form] = density.gradients
        passes = max(1, int((2e5 if quick else 2e6) / rows / units))
        calls = {form: partial(loop, passes) for form, loop in loops.items()}
        timed = alternate(calls, 3 if quick else 15, process_time)
        for form, times in timed.items():
            print(
                f"  {shape:<15} {form:<18} {1e6 * times.median / passes:7.2f} µs, "
                f"{ratio(times, timed['normal:1'])} times the first",
                flush=True,
            )
