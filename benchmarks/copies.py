"""Whether the errors of modes' shares are right, where all modes are copies of one another.

copies.py [--seeds N] [--first-seed N] [--nlive N] [--runs R] [--reference peaks|prior]

A mixture of three normal components has 3! modes of the same evidence, so that each truly holds
1/6. Of every seed: log_z, the shares, and chi2, the sum over modes of ((share - 1/6) / error)²,
which right errors make 6 on average (shares sum to one: 5 free terms, whose errors are marginal).
Last: the mean of chi2 with its standard error, the standard deviation of all z, and by how much
log_z scatters in units of its quoted error.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

from manymodes.density.posterior import Posterior
from manymodes.density.program import Program
from manymodes.modes.comparison import compare
from manymodes.sampling.nested import run_nested
from manymodes.sampling.nested.settings import PolyChordSettings

PROGRAM = Path(__file__).resolve().parents[1] / "tests" / "models" / "normal_mixture.stan"
CENTRES, SPREAD, EACH = (-4.0, 0.0, 5.0), 0.6, 15


def posterior() -> Posterior:
    """Return the mixture on data that tell its components apart."""
    rng = np.random.default_rng(16)
    y = np.concatenate([rng.normal(centre, SPREAD, EACH) for centre in CENTRES])
    data = {"N": len(y), "y": y.tolist(), "K": len(CENTRES), "prior_only": 0}
    return Posterior(Program(PROGRAM), data, "mixture")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--nlive", type=int, default=100)
    parser.add_argument("--runs", type=int, default=2)
    parser.add_argument("--reference", default="peaks")
    options = parser.parse_args()
    mixture = posterior().compile()
    settings = PolyChordSettings(nlive=options.nlive)
    copies = math.factorial(len(CENTRES))
    chi2s, zs, log_zs, errors = [], [], [], []
    for seed in range(options.first_seed, options.first_seed + options.seeds):
        nested = run_nested(
            mixture,
            runs=options.runs,
            polychord=settings,
            reference=options.reference,
            seed=seed,
            quiet=True,
        )
        found = compare(mixture, nested=nested, seed=seed, quiet=True)
        shares = [mode.evidence for mode in found.prominent]
        log_zs.append(nested.log_z)
        errors.append(nested.log_z_sd)
        text = ", ".join(f"{100 * s.value:.1f} ± {100 * s.sd:.1f}" for s in shares)
        if len(shares) == copies:
            z = np.array([(s.value - 1 / copies) / s.sd for s in shares])
            zs.append(z)
            chi2s.append(float(z @ z))
            text += f" %; chi2 = {chi2s[-1]:.1f}"
        else:
            text += f" %; {len(shares)} modes, not {copies}"
        print(f"seed {seed}: log_z = {log_zs[-1]:.2f} ± {errors[-1]:.2f}; {text}", flush=True)
    if len(chi2s) > 1:
        se = np.std(chi2s, ddof=1) / math.sqrt(len(chi2s))
        spread = np.std(log_zs, ddof=1) / np.sqrt(np.mean(np.square(errors)))
        print(
            f"{len(chi2s)} of {options.seeds} seeds with all copies; chi2 {np.mean(chi2s):.2f} ± "
            f"{se:.2f} (right errors: {copies}); standard deviation of z "
            f"{np.concatenate(zs).std():.2f}; scatter of log_z over quoted errors {spread:.2f}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
