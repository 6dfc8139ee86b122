"""PolyChord with a Python callback, as it is usually called: one run in this process.

    python_callback.py PROBLEM.json DONE.json

Writes evaluations, seconds of wall and of processor, and PolyChord's log_z with its error. The
density is the compiled one, through the official
client of BridgeStan; the base measure is the standard logistic on every coordinate.
"""

from __future__ import annotations

import ctypes
import json
import sys
import time
from pathlib import Path
from typing import Any

import bridgestan
import numpy as np

LOG_ZERO = -1e30


def main() -> None:
    """Run the problem."""
    problem = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    for library in problem["preload"]:
        ctypes.CDLL(library, mode=ctypes.RTLD_GLOBAL)
    chord = ctypes.CDLL(problem["polychord"])
    model = bridgestan.StanModel(problem["model"], problem["data"])
    dims, nlive = model.param_unc_num(), problem["nlive"]
    double = ctypes.POINTER(ctypes.c_double)
    evaluations = 0

    @ctypes.CFUNCTYPE(ctypes.c_double, double, ctypes.c_int, double, ctypes.c_int)
    def log_likelihood(theta: Any, n: int, phi: Any, n_derived: int) -> float:
        nonlocal evaluations
        evaluations += 1
        u = np.clip(np.ctypeslib.as_array(theta, (n,)), 1e-300, 1 - 2.0**-53)
        log_q = np.log(u * (1 - u)).sum()
        try:
            return float(model.log_density(np.log(u / (1 - u)), propto=False) - log_q)
        except RuntimeError:
            return LOG_ZERO

    @ctypes.CFUNCTYPE(None, double, double, ctypes.c_int)
    def prior(cube: Any, theta: Any, n: int) -> None:
        np.ctypeslib.as_array(theta, (n,))[:] = np.ctypeslib.as_array(cube, (n,))

    dumper_type = ctypes.CFUNCTYPE(
        None, *[ctypes.c_int] * 3, double, double, double, ctypes.c_double, ctypes.c_double
    )
    evidence = (float("nan"), float("nan"))

    @dumper_type
    def dumper(*told: Any) -> None:
        nonlocal evidence
        evidence = told[-2:]

    whole, real, flag, text = ctypes.c_int, ctypes.c_double, ctypes.c_bool, ctypes.c_char_p
    arguments = [
        log_likelihood,
        prior,
        dumper,
        *(whole(n) for n in (nlive, 5 * dims, 10 * nlive, -1)),
        flag(False),
        whole(0),
        real(1e-3),
        real(LOG_ZERO),
        whole(-1),
        real(0.0),
        *(flag(False) for _ in range(10)),
        *([flag(False)] if problem["newer"] else []),
        real(float(np.exp(-1))),
        *([flag(True)] if problem["newer"] else []),
        whole(dims),
        whole(0),
        text(b"."),
        text(b"run"),
        whole(1),
        (real * 1)(1.0),
        (whole * 1)(dims),
        whole(0),
        (real * 1)(0.0),
        (whole * 1)(0),
        whole(problem["seed"]),
        ctypes.byref(whole(0)),
    ]
    begun, processor = time.perf_counter(), time.process_time()
    chord.polychord_c_interface(*arguments)
    done = {
        "evaluations": evaluations,
        "seconds": time.perf_counter() - begun,
        "processor_seconds": time.process_time() - processor,
        "log_z": evidence[0],
        "log_z_sd": evidence[1],
    }
    Path(sys.argv[2]).write_text(json.dumps(done), encoding="utf-8")


if __name__ == "__main__":
    main()
