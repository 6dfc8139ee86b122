"""Benchmarks, each a comparison measured side by side: run.py [--quick] [PART ...].

density   the compiled density of the XOR network, values and gradients
kernel    networks of several sizes on one core: kernel, pure Stan program, JAX, and the floor
networks  priors by group, likelihoods and skip connections beside one prior for all weights
kernel-runs  chains and nested sampling with the kernel and without, whole runs
large     NUTS, nutpie and mams on networks of 122 to 1450 weights, held-out density for the time
nested    nested sampling of the full XOR posterior, on one core and on two
callback  the same with a Python callback, each evaluation
evidence  its evidence beside PolyChord with a Python callback, BlackJAX and dynesty
peers     evidences of four posteriors by both engines, nested samplers and SMC at one error
references  base measures on the study's own data: what they find, and what they cost
chains    256 chains, scored, stacked and diagnosed, beside plain CmdStanPy
many      64 to 1024 chains: time, overhead and memory of the whole commands
modes     finding modes at 9 to 33 weights: climbs beside SciPy's, the floor, and what a run keeps
warmup    shared warm-up: leapfrog steps of later chains, and their draws in each mode
scores    PSIS-LOO and stacking beside ArviZ's and SLSQP, and 1000 chains x 10,000 observations
arviz     every statistic that arviz-stats has too: values, times, odd cases

Times are medians with their ranges, and depend on the machine and on what else it does; ratios
depend on it less. The data are the study's with a noise variance of 0.5, as in the literature's
figures.

The floor of `kernel` is the larger of two times: that of arithmetic (the operations of the matrix
products at this core's measured peak in registers as wide as the kernel's, and a nanosecond for
each exponential or logarithm) and that of reading X once at its measured bandwidth. With `kernel`
or `kernel-runs` alone, `--cases` chooses among their cases and `--repeats` says how often all are
timed in turn. With `peers` alone they choose its posteriors and the number of seeds; `--methods`
chooses samplers, `--cap` ends runs of the others after so many processor seconds, and `--full`
makes longer runs of more seeds. The part takes about a quarter of an hour without it.
"""

from __future__ import annotations

import argparse
import math
import os
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import beside_arviz
import chains
import evidence
import general_networks
import kernel_runs
import large_networks
import many
import nested
import peers
import references
import scores
import warmup

import density
import kernel
import modes
from manymodes.density.posterior import Posterior
from manymodes.studies.xor import xor_data, xor_posteriors

PARTS: dict[str, Any] = {
    "density": density.run,
    "kernel": kernel.run,
    "networks": general_networks.run,
    "kernel-runs": kernel_runs.run,
    "large": large_networks.run,
    "nested": nested.run,
    "callback": nested.run_callback,
    "evidence": evidence.run,
    "peers": peers.run,
    "references": references.run,
    "chains": chains.run,
    "many": many.run,
    "scores": scores.run,
    "arviz": beside_arviz.run,
    "modes": modes.run,
    "warmup": warmup.run,
}
CASES: dict[str, dict[str, Any]] = {
    "kernel": kernel.CASES,
    "kernel-runs": kernel_runs.CASES,
    "large": large_networks.CASES,
    "modes": modes.CASES,
    "peers": peers.CASES,
}
"""Parts of several cases, and these."""


def posterior() -> Posterior:
    """Return the full XOR posterior on data with a noise variance of 0.5, compiled."""
    return xor_posteriors(xor_data(noise_sd=math.sqrt(0.5)))["full"].compile()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)} (all)")
    parser.add_argument("--quick", action="store_true", help="small and short, to see it work")
    of_cases = ", ".join(CASES)
    parser.add_argument(
        "--cases", metavar="CASE,...", help=f"of {of_cases}: which of their cases (all)"
    )
    parser.add_argument(
        "--repeats", type=int, metavar="N", help=f"of {of_cases}: how often all are timed in turn"
    )
    parser.add_argument(
        "--methods", metavar="NAME;...", help="of peers: which samplers (all), by their names"
    )
    parser.add_argument(
        "--cap", type=float, metavar="S", help="of peers: processor seconds that a run may take"
    )
    parser.add_argument("--full", action="store_true", help="of peers: longer, and more seeds")
    options = parser.parse_args()
    unknown = [part for part in options.parts if part not in PARTS]
    if unknown:
        parser.error(f"no part '{unknown[0]}': choose from {', '.join(PARTS)}")
    chosen = _chosen(parser, options)
    target = posterior()
    load = os.getloadavg()[0]
    print(f"{os.cpu_count()} cores, load {load:.1f} at the start")
    for part in options.parts or PARTS:
        print(f"\n{part}", flush=True)
        PARTS[part](target, options.quick, **chosen.get(part, {}))


def _chosen(
    parser: argparse.ArgumentParser, options: argparse.Namespace
) -> dict[str, dict[str, Any]]:
    """Return what is chosen for each part that has cases; refuse what no part would read."""
    of_peers = _of_peers(parser, options)
    if options.cases is None and options.repeats is None:
        return of_peers
    if not options.parts or set(options.parts) - CASES.keys():
        parser.error(f"--cases and --repeats are of {', '.join(CASES)}: name these parts alone")
    if options.repeats is not None and "large" in options.parts:
        parser.error("--repeats: large is run once")
    if options.repeats is not None and options.repeats < 1:
        parser.error(f"--repeats: {options.repeats} is not 1 or more")
    chosen: dict[str, dict[str, Any]] = {part: {} for part in options.parts} | of_peers
    for part in options.parts:
        if options.repeats is not None:
            chosen[part]["repeats"] = options.repeats
        if options.cases is not None:
            chosen[part]["cases"] = options.cases.split(",")
            for name in chosen[part]["cases"]:
                if name not in CASES[part]:
                    parser.error(
                        f"{part} has no case '{name}': choose from {', '.join(CASES[part])}"
                    )
    return chosen


def _of_peers(
    parser: argparse.ArgumentParser, options: argparse.Namespace
) -> dict[str, dict[str, Any]]:
    """Return what is chosen for `peers`; refuse it where that part is not named."""
    chosen: dict[str, Any] = {"full": True} if options.full else {}
    if options.cap is not None:
        if not options.cap > 0:
            parser.error(f"--cap: {options.cap:g} is not above 0")
        chosen["cap"] = options.cap
    if options.methods is not None:
        chosen["methods"] = options.methods.split(";")
        for name in chosen["methods"]:
            if name not in peers.METHODS:
                parser.error(f"peers has no '{name}': choose from {'; '.join(peers.METHODS)}")
    if chosen and options.parts != ["peers"]:
        parser.error("--methods, --cap and --full are of peers: name this part alone")
    return {"peers": chosen} if chosen else {}


if __name__ == "__main__":
    main()
