"""Whole runs with the kernel and without: chains and nested sampling, in turn, on two cores."""

from __future__ import annotations

import resource
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from kernel_cases import CASES as NETWORKS
from timing import Timed, alternate, ratio, show

from manymodes.density.posterior import Posterior, compile_posteriors
from manymodes.sampling.chains.chains import Chains, run_chains
from manymodes.sampling.chains.nuts_settings import NutsSettings
from manymodes.sampling.nested import Nested, run_nested
from manymodes.sampling.nested.settings import PolyChordSettings

WORKERS = 2


@dataclass(frozen=True)
class Run:
    """A run that is timed with the kernel and without.

    Parameters
    ----------
    network : str
        The case of `kernel` that is sampled.
    title : str
        What is run.
    sample : callable of (Posterior, bool)
        Runs it, shorter if the second argument is true.
    said : callable of the result
        Returns how often the density was evaluated, and a sentence on the run.
    clock : str
        Another clock than the wall's, which tells more on a busy machine.
    own : callable of (result, processor seconds of the call)
        Returns its seconds, all processes together.
    target : float, optional
        Seconds aimed at with the kernel.
    """

    network: str
    title: str
    sample: Callable[[Posterior, bool], Any]
    said: Callable[[Any], tuple[float, str]]
    clock: str
    own: Callable[[Any, float], float]
    target: float | None = None


def _chains(posterior: Posterior, chains: int, settings: NutsSettings) -> Chains:
    return run_chains(posterior, chains=chains, nuts=settings, workers=WORKERS, quiet=True)


def _xor_chains(posterior: Posterior, quick: bool) -> Chains:
    short = NutsSettings(warmup=100, draws=100)
    return _chains(posterior, 8 if quick else 64, short if quick else NutsSettings())


def _wide_chains(posterior: Posterior, quick: bool) -> Chains:
    draws = 20 if quick else 100
    return _chains(posterior, 2 if quick else 8, NutsSettings(warmup=draws, draws=draws))


def _nested(posterior: Posterior, nlive: int) -> Nested:
    settings = PolyChordSettings(nlive=nlive)
    return run_nested(
        posterior, runs=2, workers=WORKERS, polychord=settings, reference="prior", quiet=True
    )


def _of_chains(found: Chains) -> tuple[float, str]:
    leapfrog = float(np.nansum(found.stats["n_steps"]))
    return leapfrog, (
        f"{found.n_chains} chains, {leapfrog:.0f} leapfrog steps after warm-up, "
        f"{found.divergences} divergences"
    )


def _of_nested(found: Nested) -> tuple[float, str]:
    evaluations = float(found.evaluations)
    return evaluations, (
        f"{evaluations:.0f} evaluations, log_z = {found.log_z:.2f} ± {found.log_z_sd:.2f}"
    )


def _cmdstan_seconds(found: Chains, processor: float) -> float:
    """Return CmdStan's own time: its processes belong to workers that live on, uncounted."""
    return float(found.sampling_seconds.sum())


def _processor_of_nested(found: Nested, processor: float) -> float:
    return processor


CASES = {
    "xor-chains": Run(
        "xor",
        "64 chains on XOR, 1000 + 1000 draws",
        _xor_chains,
        _of_chains,
        "CmdStan's own",
        _cmdstan_seconds,
    ),
    "xor-nested": Run(
        "xor",
        "nested sampling of XOR, 2 x nlive 1000 over the prior",
        lambda posterior, quick: _nested(posterior, 50 if quick else 1000),
        _of_nested,
        "processor",
        _processor_of_nested,
    ),
    "xor-nested-500": Run(
        "xor",
        "nested sampling of XOR, 2 x nlive 500 over the prior",
        lambda posterior, quick: _nested(posterior, 25 if quick else 500),
        _of_nested,
        "processor",
        _processor_of_nested,
        target=10.0,
    ),
    "2000x10-chains": Run(
        "2000x10",
        "8 chains on 2000 x 10, 100 + 100 draws",
        _wide_chains,
        _of_chains,
        "CmdStan's own",
        _cmdstan_seconds,
    ),
}
"""The runs by name."""


def run(
    posterior: Posterior,
    quick: bool,
    cases: Sequence[str] = tuple(CASES),
    repeats: int | None = None,
) -> None:
    """Print wall times of whole runs with the kernel and without, and their ratios."""
    repeats = repeats or (1 if quick else 2)
    print(f"  wall seconds on {WORKERS} cores, {repeats} times in turn: medians and ranges")
    for name in cases:
        one = CASES[name]
        forms = {
            "kernel": NETWORKS[one.network].posterior(kernel=True),
            "Stan": NETWORKS[one.network].posterior(kernel=False),
        }
        compile_posteriors(forms.values(), quiet=True)
        if forms["kernel"].program.library() == forms["Stan"].program.library():
            print("  left out: the kernel, which does not compile here")
            del forms["kernel"]
        print(f"\n  {name}: {one.title}{', shortened' if quick else ''}", flush=True)
        one.sample(next(iter(forms.values())), True)  # the first one imports and loads much
        calls = {form: partial(_metered, one, target, quick) for form, target in forms.items()}
        _print(one, alternate(calls, repeats), quick)


def _metered(one: Run, posterior: Posterior, quick: bool) -> tuple[Any, float]:
    """Return what a run found and the processor seconds of it and its child processes."""
    before = _processor_seconds()
    found = one.sample(posterior, quick)
    return found, _processor_seconds() - before


def _processor_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def _print(one: Run, timed: dict[str, Timed], quick: bool) -> None:
    own: dict[str, Timed] = {}
    evaluations: dict[str, np.ndarray] = {}
    for form, times in timed.items():
        told = [one.said(found) for found, _ in times.values]
        evaluations[form] = np.array([count for count, _ in told])
        own[form] = Timed(tuple(one.own(*value) for value in times.values), ())
        show(f"{form}, wall", times.text())
        show(f"{form}, {one.clock}, all processes", own[form].text())
        for _, sentence in told:
            show("", sentence)
    if "kernel" not in timed:
        return
    for clock, seconds in (("wall", timed), (one.clock, own)):
        show(f"ratio Stan : kernel, {clock}", ratio(seconds["Stan"], seconds["kernel"]))
        each = {
            form: Timed(tuple(np.array(times.seconds) / evaluations[form]), ())
            for form, times in seconds.items()
        }
        show("  for as many evaluations", ratio(each["Stan"], each["kernel"]))
    if one.target is not None and not quick:
        met = "met" if timed["kernel"].median < one.target else "NOT MET"
        show("target with the kernel", f"below {one.target:g} s of wall time: {met}")
