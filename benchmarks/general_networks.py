"""What priors by group, likelihoods and skip connections cost beside a network with one prior."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

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
    for shape, (rows, inputs, units) in SHAPES.items():
        X = rng.normal(size=(rows, inputs))
        posteriors = {}
        for form, given in FORMS.items():
            arguments = {"likelihood": "normal", **given}
            network = Network(inputs, (units,), activation="tanh", **arguments)
            counts = network.likelihood_parts.is_count
            y = rng.poisson(2.0, rows) if counts else rng.normal(size=rows)
            trials = y + 3 if network.likelihood == "binomial" else None
            posteriors[form] = Posterior.from_network(network, X, y, trials=trials)
        points = {form: 0.3 * rng.normal(size=one.dims) for form, one in posteriors.items()}
        calls = max(1, int((2e4 if quick else 2e5) / rows / units))
        times: dict[str, list[float]] = {form: [] for form in FORMS}
        for _round in range(3 if quick else 15):
            for form, one in posteriors.items():
                begun = time.perf_counter()
                for _call in range(calls):
                    one.model.log_density_gradient(points[form])
                times[form].append((time.perf_counter() - begun) / calls)
        first = np.array(times["normal:1"])
        for form, taken in times.items():
            ratios = np.array(taken) / first
            print(
                f"  {shape:<15} {form:<18} {1e6 * np.median(taken):7.1f} µs, "
                f"{np.median(ratios):.2f} times the first",
                flush=True,
            )
