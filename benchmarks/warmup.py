"""Shared warm-up on XOR: what later chains save, and whether their draws are the same."""

from __future__ import annotations

import re
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from timing import alternate, show

from manymodes.density.posterior import Posterior
from manymodes.sampling.chains.cmdstan_nuts import Adapted, NutsChain, run_chain
from manymodes.sampling.chains.nuts_settings import NutsSettings
from manymodes.sampling.chains.starts import make_starts
from manymodes.sampling.chains.warmups import Warmup, offered, peak_of
from manymodes.statistics.diagnostics import rhat

Offer = Adapted | None


@dataclass(frozen=True)
class Run:
    """A chain and its leapfrog steps: of the warm-up, told by CmdStan's times, and of a draw."""

    chain: NutsChain
    warmup_steps: float
    steps: float


def one(
    posterior: Posterior, settings: NutsSettings, start: np.ndarray, seed: int, adapted: Offer
) -> Run:
    """Run a chain with what it is offered."""
    with tempfile.TemporaryDirectory() as folder:
        chain = run_chain(posterior, settings, seed, Path(folder), start=start, adapted=adapted)
        (output,) = Path(folder).rglob("*.csv")
        lines = output.read_text(encoding="utf-8").splitlines()[-8:]
    times = [
        float(re.findall(r"([\d.e+-]+) seconds", line)[0]) for line in lines if "seconds" in line
    ]
    steps = float(chain.stats["n_steps"].mean())
    return Run(chain, steps * settings.draws * times[0] / times[1], steps)


def sampled(
    posterior: Posterior,
    settings: NutsSettings,
    starts: Sequence[np.ndarray],
    indexes: Sequence[int],
    offers: Mapping[int, Offer],
) -> dict[int, Run]:
    """Run some chains on two cores."""

    def each(index: int) -> Run:
        return one(posterior, settings, starts[index], index + 1, offers.get(index))

    with ThreadPoolExecutor(2) as pool:
        return dict(zip(indexes, pool.map(each, indexes), strict=True))


def height(posterior: Posterior, eta: np.ndarray) -> float:
    """Return the log density (nats) of the peak above a point, which copies of a mode share."""
    return round(posterior.log_density(peak_of(posterior, eta)), 1)


def described(lp: np.ndarray) -> str:
    """Return the mean of the log density with its error over chains, and the rank R-hat."""
    means = lp.mean(axis=1)
    error = means.std(ddof=1) / np.sqrt(len(means)) if len(means) > 1 else np.nan
    worst = float(np.max(rhat(lp[:, :, None]))) if len(means) > 1 else np.nan
    return f"{len(means)} chains, lp {means.mean():.2f} ± {error:.2f}, R-hat {worst:.3f}"


def run(posterior: Posterior, quick: bool) -> None:
    """Print what a shared warm-up saves on XOR and what its draws are like."""
    chains, pilots = (16, 6) if quick else (64, 16)
    settings = NutsSettings(warmup=100, draws=100) if quick else NutsSettings(warmup=500, draws=500)
    made = make_starts(posterior, "radius:2", chains=chains, seed=1)
    starts = [made.point(i) for i in range(chains)]
    first = sampled(posterior, settings, starts, range(pilots), {})
    warmups = [
        Warmup(peak_of(posterior, run.chain.eta[-1]), run.chain.inv_metric, run.chain.step_size)
        for run in first.values()
    ]
    later = range(pilots, chains)
    offering = alternate(
        {"climb": lambda: {i: offered(posterior, starts[i], warmups, settings) for i in later}}, 1
    )["climb"]
    offers = offering.values[0]
    taken = [i for i in later if offers[i] is not None]
    show(f"{pilots} pilots: later chains with an offer", f"{len(taken)} of {len(later)}")
    climb = 1000 * offering.median / len(later)
    show("climb from a start to its peak", f"{climb:.3g} ms a chain")
    if not taken:
        return
    timed = alternate(
        {
            "alone": lambda: sampled(posterior, settings, starts, taken, {}),
            "shared": lambda: sampled(posterior, settings, starts, taken, offers),
        },
        1,
    )
    for name, times in timed.items():
        runs: dict[int, Run] = times.values[0]
        warm = np.mean([run.warmup_steps for run in runs.values()])
        steps = np.mean([run.steps for run in runs.values()])
        text = f"{warm:.3g} in warm-up, {steps:.3g} a draw, {warm + steps * settings.draws:.3g}"
        show(f"  {name}: leapfrog steps of a chain", f"{text} in all")
        own = np.mean([run.chain.sampling_seconds for run in runs.values()])
        show(f"  {name}: CmdStan's own time of a chain", f"{own:.3g} s")
        ends = {i: height(posterior, run.chain.eta[-1]) for i, run in runs.items()}
        left = sum(ends[i] != height(posterior, starts[i]) for i in taken)
        show(f"  {name}: ended elsewhere than the start climbs to", f"{left} of {len(taken)}")
        groups = defaultdict(list)
        for i in taken:
            groups[ends[i]].append(runs[i].chain.stats["lp"])
        for peak, lp in sorted(groups.items(), reverse=True):
            show(f"  {name}, peak {peak:g}", described(np.array(lp)))
