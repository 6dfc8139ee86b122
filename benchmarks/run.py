"""Benchmarks, each a comparison measured side by side: run.py [--quick] [PART ...].

density   the compiled density of the XOR network, values and gradients
nested    nested sampling of the full XOR posterior, on one core and on two
callback  the same with a Python callback, each evaluation
evidence  its evidence beside PolyChord with a Python callback, BlackJAX and dynesty
references  base measures on the study's own data: what they find, and what they cost
chains    256 chains, scored, stacked and diagnosed, beside plain CmdStanPy
many      64 to 1024 chains: time, overhead and memory of the whole commands
warmup    shared warm-up: leapfrog steps of later chains, and their draws in each mode
scores    PSIS-LOO and stacking beside ArviZ's and SLSQP, and 1000 chains x 10,000 observations

Times are medians with their ranges, and depend on the machine and on what else it does; ratios
depend on it less. The data are the study's with a noise variance of 0.5, as in the literature's
figures.
"""

from __future__ import annotations

import argparse
import math
import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import chains
import density
import evidence
import many
import nested
import references
import scores
import warmup

from manymodes.posterior import Posterior
from manymodes.studies.xor import xor_data, xor_posteriors

PARTS = {
    "density": density.run,
    "nested": nested.run,
    "callback": nested.run_callback,
    "evidence": evidence.run,
    "references": references.run,
    "chains": chains.run,
    "many": many.run,
    "scores": scores.run,
    "warmup": warmup.run,
}


def posterior() -> Posterior:
    """Return the full XOR posterior on data with a noise variance of 0.5, compiled."""
    return xor_posteriors(xor_data(noise_sd=math.sqrt(0.5)))["full"].compile()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)} (all)")
    parser.add_argument("--quick", action="store_true", help="small and short, to see it work")
    options = parser.parse_args()
    unknown = [part for part in options.parts if part not in PARTS]
    if unknown:
        parser.error(f"no part '{unknown[0]}': choose from {', '.join(PARTS)}")
    target = posterior()
    load = os.getloadavg()[0]
    print(f"{os.cpu_count()} cores, load {load:.1f} at the start")
    for part in options.parts or PARTS:
        print(f"\n{part}", flush=True)
        PARTS[part](target, options.quick)


if __name__ == "__main__":
    main()
