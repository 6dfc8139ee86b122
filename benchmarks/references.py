"""Base measures on XOR, full and constrained: what they find, and what they cost."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from timing import show

from manymodes.density.posterior import Posterior
from manymodes.sampling.chains.chains import run_chains
from manymodes.sampling.chains.nuts_settings import NutsSettings
from manymodes.sampling.nested import Nested, run_nested
from manymodes.sampling.nested.settings import PolyChordSettings
from manymodes.studies.xor import xor_data, xor_posteriors

CHAINS = 96
NUTS = NutsSettings(warmup=300, draws=200)
SEEDS = 3
TARGET = 1 / 3
"""Evaluations over chains that are aimed at, relative to those over the prior."""


def run(_: Posterior, quick: bool) -> None:
    """Print log_z, its error and evaluations over each base measure, with default settings."""
    for name, posterior in xor_posteriors(xor_data()).items():
        n_chains = 16 if quick else CHAINS
        chains = run_chains(posterior, chains=n_chains, nuts=NUTS, quiet=True)
        show(f"{name}: {n_chains} chains for the base measure", f"{chains.seconds.sum():.0f} s")
        found: dict[str, list[Nested]] = {}
        for seed in range(1, 2 if quick else SEEDS + 1):
            for reference in ("prior", "chains", "peaks"):
                given: dict[str, Any] = {"chains": chains} if reference == "chains" else {}
                if quick:
                    given["polychord"] = PolyChordSettings(nlive=50)
                one = run_nested(posterior, reference=reference, seed=seed, quiet=True, **given)
                found.setdefault(reference, []).append(one)
                show(
                    f"{name}, {reference}, seed {seed}: 2 x {one.nlive} live points",
                    f"log_z = {one.log_z:.2f} ± {one.log_z_sd:.2f}, {one.evaluations} evaluations",
                )
        _compare(name, found, quick)


def _compare(name: str, found: dict[str, list[Nested]], quick: bool) -> None:
    prior = found.pop("prior")
    for reference, runs in found.items():
        ratios = [b.evaluations / a.evaluations for a, b in zip(prior, runs, strict=True)]
        z = [
            (b.log_z - a.log_z) / math.hypot(a.log_z_sd, b.log_z_sd)
            for a, b in zip(prior, runs, strict=True)
        ]
        show(
            f"{name}: evaluations {reference} : prior",
            f"{np.median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f})",
        )
        errors = [b.log_z_sd / a.log_z_sd for a, b in zip(prior, runs, strict=True)]
        show(f"{name}: quoted error {reference} : prior", f"{np.median(errors):.2f}")
        show(f"{name}: differences in joint errors", ", ".join(f"{one:+.1f}" for one in z))
    if not quick:
        show("  target for chains", f"{TARGET:.2f} of the evaluations at most")
