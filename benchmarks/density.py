"""The cost of the compiled density of the XOR network: in a C++ loop and from Python."""

from __future__ import annotations

import ctypes
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from timing import alternate, ratio, show

from manymodes.density.posterior import Posterior
from manymodes.types import FloatArray

_LOOP = """
typedef int (*value_t)(const void*, bool, bool, const double*, double*, char**);
typedef int (*gradient_t)(const void*, bool, bool, const double*, double*, double*, char**);
extern "C" double values(value_t f, const void* model, const double* x, int n, int dims) {
  double sum = 0, lp;
  char* error = 0;
  for (int i = 0; i < n; ++i) {
    f(model, false, true, x + i * dims, &lp, &error);
    sum += lp;
  }
  return sum;
}
extern "C" double gradients(gradient_t f, const void* model, const double* x, int n, int dims,
                            double* gradient) {
  double sum = 0, lp;
  char* error = 0;
  for (int i = 0; i < n; ++i) {
    f(model, false, true, x + i * dims, &lp, gradient, &error);
    sum += lp;
  }
  return sum;
}
"""


def loops(posterior: Posterior, points: FloatArray) -> dict[str, Callable[[], float]]:
    """Return calls that evaluate every point in a C++ loop: ``values`` and ``gradients``."""
    with tempfile.TemporaryDirectory() as folder:
        source, library = Path(folder, "loop.cpp"), Path(folder, "loop.so")
        source.write_text(_LOOP, encoding="utf-8")
        command = ["g++", "-O3", "-shared", "-fPIC", str(source), "-o", str(library)]
        subprocess.run(command, check=True)
        compiled = ctypes.CDLL(str(library))
    bridge = ctypes.CDLL(str(posterior.program.library()))
    construct = bridge.bs_model_construct
    construct.restype = ctypes.c_void_p
    construct.argtypes = [ctypes.c_char_p, ctypes.c_uint, ctypes.c_void_p]
    model = ctypes.c_void_p(construct(posterior.data_json.encode(), 1, None))
    x = np.ascontiguousarray(points)
    gradient = np.empty(x.shape[1])
    double = ctypes.POINTER(ctypes.c_double)
    common = (model, x.ctypes.data_as(double), len(x), x.shape[1])
    compiled.values.restype = compiled.gradients.restype = ctypes.c_double
    value_of = ctypes.cast(bridge.bs_log_density, ctypes.c_void_p)
    gradient_of = ctypes.cast(bridge.bs_log_density_gradient, ctypes.c_void_p)
    return {
        "values": lambda: compiled.values(value_of, *common),
        "gradients": lambda: compiled.gradients(
            gradient_of, *common, gradient.ctypes.data_as(double)
        ),
    }


def seconds_per_value(posterior: Posterior, points: FloatArray, repeats: int) -> float:
    """Return what the density alone costs, in seconds per evaluation: nothing can be faster."""
    call = loops(posterior, points)["values"]
    return alternate({"values": call}, repeats)["values"].median / len(points)


def run(posterior: Posterior, quick: bool) -> None:
    """Print the cost of values and gradients."""
    n = 2_000 if quick else 20_000
    points = np.random.default_rng(1).uniform(-2, 2, size=(n, posterior.dims))
    in_cpp = loops(posterior, points)
    calls: dict[str, Callable[[], object]] = {
        **in_cpp,
        "client": lambda: [
            posterior.model.log_density(point, propto=False, jacobian=True) for point in points
        ],
    }
    expected = sum(calls["client"]())  # type: ignore[call-overload]
    timed = alternate(calls, 3 if quick else 9)
    for name in in_cpp:
        np.testing.assert_allclose(timed[name].values, expected, rtol=1e-9)
    scale = 1e9 / n
    show("value, C++ loop", timed["values"].text(scale, "ns"))
    show("value and gradient, C++ loop", timed["gradients"].text(scale, "ns"))
    show("value, official Python client", timed["client"].text(scale, "ns"))
    show("ratio gradient : value", ratio(timed["gradients"], timed["values"]))
    show("ratio Python client : C++ loop", ratio(timed["client"], timed["values"]))
