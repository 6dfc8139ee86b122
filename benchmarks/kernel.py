"""The kernel beside the pure Stan program, JAX and the arithmetic floor, on one core."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from kernel_cases import CASES

from manymodes.density.posterior import Posterior, compile_posteriors

ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "STAN_NUM_THREADS": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
    "JAX_PLATFORMS": "cpu",
}


def run(
    posterior: Posterior,
    quick: bool,
    cases: Sequence[str] = tuple(CASES),
    repeats: int | None = None,
) -> None:
    """Print times of values and gradients of each case, and their ratios to one another."""
    rounds = repeats or (3 if quick else 15)
    forms = {}
    for name in cases:
        both = {"kernel": CASES[name].posterior(kernel=True)}
        both["Stan"] = CASES[name].posterior(kernel=False)
        compile_posteriors(both.values(), quiet=True)
        libraries = {form: str(one.program.library()) for form, one in both.items()}
        if libraries["kernel"] == libraries["Stan"]:
            print(f"  left out: the kernel, which does not compile here ({name})")
            del libraries["kernel"]
        forms[name] = libraries
    problem = {"cases": forms, "rounds": rounds, "effort": {"seconds": 0.02 if quick else 0.15}}
    with tempfile.TemporaryDirectory() as folder:
        described = Path(folder, "problem.json")
        described.write_text(json.dumps(problem), encoding="utf-8")
        script = Path(__file__).with_name("kernel_measure.py")
        subprocess.run(
            [sys.executable, str(script), str(described)],
            env={**os.environ, **ONE_THREAD},
            check=True,
        )
