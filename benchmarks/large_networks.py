"""Samplers on networks of 122 to 1450 weights: held-out density and predictions for the time.

Each method runs its chains one after the other on one core. Data are made by scikit-learn or
shipped with it, a part is held out, and targets and inputs are standardised on the rest.
"""

from __future__ import annotations

import resource
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import logsumexp
from sklearn.datasets import load_digits, make_friedman1

from manymodes.density.posterior import Posterior
from manymodes.networks.network import Network
from manymodes.sampling.chains.nuts_settings import NutsSettings
from manymodes.sampling.chains.samplers import sampler_named
from manymodes.sampling.chains.starts import make_starts
from manymodes.statistics.diagnostics import rhat
from manymodes.statistics.ess import relative_ess

Array = npt.NDArray[np.float64]

NEAR = 0.02  # nats a row: a density this close to the best one counts as reached


@dataclass(frozen=True)
class Case:
    """A network with its data, and how long chains are."""

    network: dict[str, Any]
    rows: int
    held_out: int
    chains: int
    nuts: NutsSettings
    mams: NutsSettings


def _friedman(rows: int) -> tuple[Array, Array]:
    X, y = make_friedman1(rows, noise=1.0, random_state=0)
    return X, y


def _digits(rows: int) -> tuple[Array, Array]:
    X, y = load_digits(return_X_y=True)
    chosen = np.random.default_rng(0).permutation(len(y))[:rows]
    return X[chosen], y[chosen]


_TANH = {"activation": "tanh", "prior": "normal:1"}
CASES = {
    "friedman1-122": Case(
        {"inputs": 10, "hidden": (10,), "likelihood": "normal", **_TANH},
        500, 500, 4, NutsSettings(500, 1000), NutsSettings(1000, 2000),
    ),
    "friedman1-362": Case(
        {"inputs": 10, "hidden": (30,), "likelihood": "normal", **_TANH},
        2000, 500, 4, NutsSettings(200, 200, max_treedepth=9), NutsSettings(500, 500),
    ),
    "friedman1-deep": Case(
        {"inputs": 10, "hidden": (16,) * 4, "likelihood": "heteroscedastic", **_TANH},
        1200, 500, 4,
        NutsSettings(100, 100, max_treedepth=9), NutsSettings(300, 200, max_treedepth=9),
    ),
    "digits": Case(
        {"inputs": 64, "hidden": (20,), "outputs": 10, "likelihood": "categorical", **_TANH},
        1200, 500, 4, NutsSettings(100, 100, max_treedepth=8), NutsSettings(200, 200),
    ),
}  # fmt: skip
METHODS = {
    "NUTS, radius": ("cmdstan", "radius:2"),
    "NUTS, climb": ("cmdstan", "climb"),
    "nutpie, climb": ("nutpie", "climb"),
    "mams, radius": ("mams", "radius:2"),
    "mams, climb": ("mams", "climb"),
}


def run(_: Posterior, quick: bool, cases: Iterable[str] = tuple(CASES)) -> None:
    """Print a table for each case."""
    for name in cases:
        case = CASES[name]
        posterior, held_out = _posteriors(case)
        print(f"  {name}: {posterior.dims} weights, {case.rows} rows, {case.chains} chains")
        posterior.program.executable()
        found = {
            label: _measured(posterior, held_out, case, sampler, start, quick)
            for label, (sampler, start) in METHODS.items()
        }
        best = max(one.density[-1] for one in found.values())
        for label, one in found.items():
            print(f"    {label:<14} {one.text(best - NEAR)}", flush=True)


@dataclass(frozen=True)
class Measured:
    """Chains of one method: seconds and pooled held-out density as draws come in."""

    seconds: Array
    density: Array
    gradients: float
    diverging: float
    effective: float
    disagree: float

    def text(self, wanted: float) -> str:
        """Return the figures on a line; `wanted` is the density that counts as reached."""
        reached = np.flatnonzero(self.density >= wanted)
        when = f"{self.seconds[reached[0]]:6.0f} s" if len(reached) else "   never"
        return (
            f"{self.seconds[-1]:6.0f} s  log density {self.density[-1]:+.4f}, near the best after "
            f"{when}; {self.effective / self.seconds[-1]:7.2f} effective draws of predictions a "
            f"second within chains, R-hat {self.disagree:.2f}, {self.gradients:.0f} gradients a "
            f"draw, "
            f"{100 * self.diverging:.1f} % divergent"
        )


def _posteriors(case: Case) -> tuple[Posterior, Posterior]:
    data = _digits if case.network["likelihood"] == "categorical" else _friedman
    X, y = data(case.rows + case.held_out)
    here = slice(0, case.rows)
    X = (X - X[here].mean(axis=0)) / np.maximum(X[here].std(axis=0), 1e-9)
    if data is _friedman:
        y = (y - y[here].mean()) / y[here].std()
    network = Network(**case.network)
    rest = slice(case.rows, None)
    return (
        Posterior.from_network(network, X[here], y[here]),
        Posterior.from_network(network, X[rest], y[rest]),
    )


def _processor_seconds() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def _measured(
    posterior: Posterior, held_out: Posterior, case: Case, sampler: str, start: str, quick: bool
) -> Measured:
    settings = case.mams if sampler == "mams" else case.nuts
    if quick:
        settings = NutsSettings(20, 20, max_treedepth=6)
    logs, lead, total, gradients, diverging = [], [], [], [], []
    for seed in range(1, case.chains + 1):
        begun = _processor_seconds()
        point = make_starts(posterior, start, chains=1, seed=seed).point(0)
        before = _processor_seconds() - begun
        with tempfile.TemporaryDirectory() as scratch:
            chain = sampler_named(sampler)(
                posterior, settings, seed, Path(scratch), start=point, time_limit=1800.0
            )
        taken = _processor_seconds() - begun
        share = settings.warmup / (settings.warmup + settings.draws)
        lead.append(before + share * (taken - before))
        total.append(taken)
        logs.append(held_out.log_lik(chain.eta))
        gradients.append(chain.stats["n_steps"].mean())
        diverging.append(chain.stats["diverging"].mean())
    draws = min(len(one) for one in logs)
    kept = np.stack([one[:draws] for one in logs])  # chain, draw, row
    parts = np.unique(np.linspace(1, draws, 20).astype(int))
    density = [
        float((logsumexp(kept[:, :k], axis=(0, 1)) - np.log(k * len(kept))).mean()) for k in parts
    ]
    seconds = np.sum(lead) + parts / draws * (np.sum(total) - np.sum(lead))
    by_row = np.moveaxis(kept, 2, 0)
    return Measured(
        seconds,
        np.array(density),
        float(np.mean(gradients)),
        float(np.mean(diverging)),
        draws * sum(float(np.median(relative_ess(by_row[:, [c]]))) for c in range(len(kept))),
        float(np.median(rhat(kept))),
    )
