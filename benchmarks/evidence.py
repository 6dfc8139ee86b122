"""The evidence of the full XOR posterior beside other nested samplers, at one quoted error."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from nested import in_a_process, python_callback
from timing import show

from manymodes.density.posterior import Posterior
from manymodes.sampling.nested import run_nested
from manymodes.sampling.nested.settings import PolyChordSettings

TARGET_RATIO = 5.0
"""How much faster than the fastest of the others manymodes is to be."""
QUOTED_SD = 0.12
"""The error of log_z (nats) at which samplers are compared."""
NLIVE = 300
"""Live points of all runs over the prior, which quote about 0.2 nats here and elsewhere. The error
goes as 1 / sqrt(nlive) and the time as nlive, so that times are scaled to the error above."""
RUNS = 2
DIMS = 9

FIRST = "manymodes, peaks"
OURS: dict[str, dict[str, Any]] = {
    FIRST: {"reference": "peaks", "nlive": 50},
    "manymodes, prior": {"reference": "prior"},
    "manymodes, prior, 2 D slices": {"reference": "prior", "num_repeats": 2 * DIMS},
}
"""Rows of manymodes by name: settings of PolyChord, and ``reference``; with ``peaks``, 100 live
points quote about the error above, and the time includes the climbs."""


@dataclass(frozen=True)
class Measured:
    """One run: what it found (nats), what it took, and what compiling took before (s)."""

    log_z: float
    log_z_sd: float
    evaluations: int
    seconds: float
    processor_seconds: float
    compile_seconds: float = 0.0

    def text(self) -> str:
        """Return the figures on one line."""
        return (
            f"{self.log_z:.2f} ± {self.log_z_sd:.2f}, {self.evaluations} evaluations, "
            f"{self.seconds:.1f} s, {self.processor_seconds:.1f} s of processor"
        )

    @property
    def scaled(self) -> float:
        """Processor seconds for the error aimed at, were it not quite the one quoted."""
        return self.processor_seconds * (self.log_z_sd / QUOTED_SD) ** 2


def run(posterior: Posterior, quick: bool) -> None:
    """Print time and evaluations of each sampler, and processor time relative to the first."""
    nlive = 60 if quick else NLIVE
    samplers = _samplers(posterior, nlive)
    try:
        apart = in_a_process("other_samplers.py", {**_described(posterior), "tool": "check"})
    except ModuleNotFoundError as missing:
        print(
            f"  left out: the density in JAX ({missing} is not installed; make bench installs it)"
        )
    else:
        show("densities in Stan and in JAX differ at most by", f"{apart['apart']:.1e} nats")
        assert apart["apart"] < 1e-10
    found: dict[str, list[Measured]] = {}
    for seed in range(1, 2 if quick else 4):
        for name, sample in list(samplers.items()):
            try:
                one = sample(seed)
            except ModuleNotFoundError as missing:
                print(f"  left out: {name} ({missing} is not installed; make bench installs it)")
                del samplers[name]
                continue
            found.setdefault(name, []).append(one)
            show(f"{name}, seed {seed}", one.text())
    _print_table(found)
    _print_ratios(found, quick)


def _samplers(posterior: Posterior, nlive: int) -> dict[str, Callable[[int], Measured]]:
    described = {**_described(posterior), "nlive": nlive}
    others = {
        # Slices: what its documentation asks for. A tenth at once costs least for its error here.
        "BlackJAX nss, 2 D slices": {
            "tool": "blackjax",
            "batch": nlive // 10,
            "slices": 2 * DIMS,
        },
        # Its own end for so many live points, dlogz = 0.3, leaves an error half as large again.
        "dynesty rslice": {"tool": "dynesty", "method": "rslice", "dlogz": 0.01},
        # Below ten dimensions dynesty would choose `unif`, which here takes more than eight times
        # as long as `rslice`; `rwalk` is what it chooses from ten on.
        "dynesty rwalk": {"tool": "dynesty", "method": "rwalk", "dlogz": 0.01},
    }
    return {
        **{name: partial(_ours, posterior, nlive, chosen) for name, chosen in OURS.items()},
        **{name: partial(_other, {**described, **chosen}) for name, chosen in others.items()},
        "PolyChord, Python callback": lambda seed: Measured(
            **python_callback(posterior, nlive, seed)
        ),
    }


def _described(posterior: Posterior) -> dict[str, Any]:
    library = str(posterior.program.library())
    return {"model": library, "data": posterior.data_json, "seed": 1}


def _other(problem: Mapping[str, Any], seed: int) -> Measured:
    return Measured(**in_a_process("other_samplers.py", {**problem, "seed": seed}))


def _ours(posterior: Posterior, nlive: int, chosen: Mapping[str, Any], seed: int) -> Measured:
    """Measure a whole call, with its child processes and the sums after them."""
    options = {"nlive": nlive // RUNS, **chosen}
    reference = options.pop("reference")
    settings = PolyChordSettings(**options)
    begun, processor = time.perf_counter(), _processor_seconds()
    nested = run_nested(
        posterior,
        runs=RUNS,
        workers=RUNS,
        polychord=settings,
        reference=reference,
        seed=seed,
        quiet=True,
    )
    log_z, log_z_sd = nested.log_z, nested.log_z_volume_sd
    return Measured(
        log_z,
        log_z_sd,
        nested.evaluations,
        time.perf_counter() - begun,
        _processor_seconds() - processor,
    )


def _processor_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def _print_table(found: Mapping[str, list[Measured]]) -> None:
    print(
        f"  medians of {len(found[FIRST])}; the last column is the processor time at an error of "
        f"{QUOTED_SD:g}\n"
        "                               log_z ± quoted     scatter  evaluations  wall s  "
        "processor s  µs each   scaled s"
    )
    for name, runs in found.items():
        log_z = np.array([one.log_z for one in runs])
        scatter = log_z.std(ddof=1) if len(runs) > 1 else float("nan")
        evaluations = _median(runs, "evaluations")
        processor = _median(runs, "processor_seconds")
        print(
            f"  {name:27}  {log_z.mean():8.2f} ± {_median(runs, 'log_z_sd'):.2f}      "
            f"{scatter:6.2f}  {evaluations:11.0f}  {_median(runs, 'seconds'):6.1f}  "
            f"{processor:11.1f}  {1e6 * processor / evaluations:7.3g}  "
            f"{_median(runs, 'scaled'):9.2f}",
            flush=True,
        )
    compiling = [one.compile_seconds for runs in found.values() for one in runs]
    if max(compiling) > 0:
        took = [seconds for seconds in compiling if seconds > 0]
        show("not in there: compiling the JAX program, each process", f"{np.median(took):.1f} s")


def _median(runs: list[Measured], field: str) -> float:
    return float(np.median([getattr(one, field) for one in runs]))


def _print_ratios(found: Mapping[str, list[Measured]], quick: bool) -> None:
    first = np.array([one.scaled for one in found[FIRST]])
    ratios = {}
    for name, runs in found.items():
        if name == FIRST:
            continue
        pairs = np.array([one.scaled for one in runs]) / first
        ratios[name] = float(np.median(pairs))
        show(
            f"ratio {name} : {FIRST}, processor time",
            f"{ratios[name]:.3g} ({pairs.min():.3g}–{pairs.max():.3g})",
        )
    others = [ratio for name, ratio in ratios.items() if name not in OURS]
    if others and not quick:
        show("  the fastest of the others, and the target", f"{min(others):.3g}, {TARGET_RATIO:g}")
