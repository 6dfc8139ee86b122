"""The posteriors of the part `peers`, and the log evidences that its samplers are held against.

    peer_cases.py [CASE ...]

measures the references of networks anew: long runs of both engines of manymodes, and of BlackJAX's
tempered SMC. Those below were measured on 29 November 2026. At 33 weights nested sampling over the
prior found -38.54 ± 0.09, and -38.65 ± 0.18 with another number of slices. Parallel tempering and
SMC, which share no code, agree on a value that is 0.7 nats higher, so that it is not counted there.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

import numpy as np

from exact import make
from manymodes.density.posterior import Posterior
from manymodes.networks.network import Network
from manymodes.sampling.nested import run_nested
from manymodes.sampling.nested.settings import PolyChordSettings
from manymodes.sampling.tempered import run_tempered
from manymodes.studies.xor import xor_data, xor_posteriors

TEMPERED, NESTED, SMC, EXACT = "tempered", "nested", "SMC", "exact"
_AGREE = 3.0
"""Engines agree on a log evidence if it differs by no more of their joint errors."""
_SEED = 101
_LONG_ROUND, _LONG_RUNS = 14, 6
_NESTED_SEEDS = 3
LONG_SMC = {"size": 3000, "share": 0.5, "moves": 8, "leapfrog": 10}
"""Settings of the long runs of BlackJAX's SMC."""


@dataclass(frozen=True)
class Case:
    """A posterior, and what is known of its log evidence.

    Attributes
    ----------
    name : str
        What ``--cases`` calls it.
    title : str
        The posterior in words.
    posterior : callable
        Makes it.
    described : callable
        Returns what the other samplers write their own likelihood from: data, sizes and prior.
    known : dict
        Log evidence and its error (nats) by the engine that found it, or the closed form.
    d_kl : float
        Divergence of the posterior from the prior (nats), by long runs.
    long_nlive : int
        Live points of each of two nested runs that the reference is pooled from.
    """

    name: str
    title: str
    posterior: Callable[[], Posterior]
    described: Callable[[], dict[str, Any]]
    known: dict[str, tuple[float, float]]
    d_kl: float
    long_nlive: int = 0

    def truth(self, engine: str | None = None) -> tuple[float, float]:
        """Return log evidence and error (nats) to judge a sampler by.

        Parameters
        ----------
        engine : str, optional
            The engine that is judged, whose own long runs are then no part of the truth.

        Raises
        ------
        ValueError
            Long runs of the engines disagree, so that there is no pooled value.
        """
        if EXACT in self.known:
            return self.known[EXACT]
        others = [value for name, value in self.known.items() if name != engine]
        values, errors = np.array(others).T
        if len(others) > 1 and np.ptp(values) > _AGREE * np.linalg.norm(errors):
            raise ValueError(f"{self.name}: the engines disagree: {self.known}")
        precision = 1 / errors**2
        return float(values @ precision / precision.sum()), float(precision.sum() ** -0.5)


def _network(units: int) -> Network:
    return Network(
        inputs=2, hidden=(units,), activation="tanh", likelihood="bernoulli", prior="normal:2"
    )


def _tanh_posterior(units: int) -> Posterior:
    data = xor_data()
    return Posterior.from_network(_network(units), data.X, data.y, f"tanh{units}")


def _xor_posterior() -> Posterior:
    return xor_posteriors(xor_data())["full"]


def _described_network(units: int, activation: str, prior: tuple[str, float]) -> dict[str, Any]:
    data = xor_data()
    return {
        "kind": "network",
        "X": data.X.tolist(),
        "y": data.y.tolist(),
        "units": units,
        "activation": activation,
        "prior": prior,
        "dims": 4 * units + 1,
    }


def _described_regression() -> dict[str, Any]:
    data = make("regression").posterior.data
    return {
        "kind": "regression",
        "X": data["X"],
        "y": data["y"],
        "noise": data["noise"],
        "prior": ("normal", data["prior"][0]),
        "dims": data["K"],
    }


def _tanh(units: int, known: dict[str, tuple[float, float]], d_kl: float, long_nlive: int) -> Case:
    return Case(
        f"tanh{units}",
        f"noisy XOR of the study, {units} tanh units, normal:2: {4 * units + 1} weights",
        lambda: _tanh_posterior(units),
        lambda: _described_network(units, "tanh", ("normal", 2.0)),
        known,
        d_kl,
        long_nlive,
    )


CASES = {
    case.name: case
    for case in (
        Case(
            "xor",
            "noisy XOR of the study, 2 sigmoid units, uniform:5: 9 weights",
            _xor_posterior,
            lambda: _described_network(2, "sigmoid", ("uniform", 5.0)),
            {TEMPERED: (-66.150, 0.016), NESTED: (-66.056, 0.053)},
            14.98,
            800,
        ),
        _tanh(
            4,
            {TEMPERED: (-42.549, 0.021), NESTED: (-42.59, 0.17), SMC: (-42.548, 0.048)},
            21.56,
            500,
        ),
        _tanh(8, {TEMPERED: (-37.873, 0.016), SMC: (-37.843, 0.048)}, 19.28, 400),
        Case(
            "regression",
            "linear regression, 30 observations, known noise: 14 coefficients",
            lambda: make("regression").posterior,
            _described_regression,
            {EXACT: (make("regression").log_z, 0.0)},
            math.nan,
        ),
    )
}
"""The cases by name. Errors of the closed form are none."""


def measure(case: Case) -> None:
    """Print the log evidence of a case by long runs of each engine."""
    posterior = case.posterior().compile()
    tempered = run_tempered(
        posterior,
        runs=_LONG_RUNS,
        rounds=_LONG_ROUND,
        max_rounds=_LONG_ROUND,
        seed=_SEED,
        quiet=True,
    )
    print(
        f"{case.name} tempered: {tempered.log_z:.3f} ± {tempered.log_z_sd:.3f}, "
        f"D_KL = {tempered.d_kl[0]:.2f}",
        flush=True,
    )
    nested = [
        run_nested(
            posterior,
            runs=2,
            reference="prior",
            polychord=PolyChordSettings(nlive=case.long_nlive),
            seed=seed,
            quiet=True,
        )
        for seed in range(_SEED, _SEED + _NESTED_SEEDS)
    ]
    values = np.array([one.log_z for one in nested])
    stated = np.sqrt(np.mean([one.log_z_sd**2 for one in nested]))
    error = max(float(stated), float(values.std(ddof=1))) / math.sqrt(len(values))
    print(f"{case.name} nested: {values.mean():.3f} ± {error:.3f}", flush=True)
    from peer_samplers import blackjax_smc

    smc = blackjax_smc({**case.described(), **LONG_SMC})
    runs = [smc(seed) for seed in (1, 2)]
    mean, error = np.mean([one.log_z for one in runs]), runs[0].log_z_sd / math.sqrt(len(runs))
    print(f"{case.name} SMC: {mean:.3f} ± {error:.3f}", flush=True)


def main() -> None:
    chosen = sys.argv[1:] or [name for name, case in CASES.items() if case.long_nlive]
    for name in chosen:
        measure(CASES[name])


if __name__ == "__main__":
    main()
