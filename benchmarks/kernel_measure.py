"""Time densities side by side on one core: what `kernel` of run.py starts as a process of its own.

kernel_measure.py PROBLEM.json
"""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
from kernel_cases import CASES, Case
from kernel_jax import has_jax, jax_loop
from timing import Timed, alternate, ratio, show

from manymodes.density.kernel import instruction_set
from manymodes.types import FloatArray

POINTS = 32
AGREEMENT = 1e-10
TRANSCENDENTAL = 1e-9
"""Seconds that an exponential or a logarithm in vector registers is counted as."""
NOMINAL = 46e9
"""A constant to compare with: double-precision operations a second of one core."""
READ = 1 << 24
"""How many numbers are read to measure the bandwidth: 128 MB, more than fits in the caches."""

_DOUBLES = ctypes.POINTER(ctypes.c_double)


def main() -> None:
    """Measure the cases of a problem."""
    problem = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    core = max(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {core})
    compiled = compile_loops()
    numbers = _aligned(READ)
    print(
        f"  all on core {core}, {problem['rounds']} rounds in turn, processor time: medians and "
        "ranges; ratios are of one round's times"
    )
    for name, libraries in problem["cases"].items():
        measured = _Measured(compiled, numbers, CASES[name], libraries, **problem["effort"])
        measured.print(problem["rounds"])


def compile_loops() -> ctypes.CDLL:
    """Return ``kernel.cpp``, compiled for this machine."""
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder, "kernel.so")
        source = Path(__file__).with_name("kernel.cpp")
        command = ["g++", "-O3", "-march=native", "-shared", "-fPIC", str(source)]
        subprocess.run([*command, "-o", str(library)], check=True)
        compiled = ctypes.CDLL(str(library))
    for name in ("multiply_add_512", "multiply_add_256"):
        getattr(compiled, name).argtypes = [ctypes.c_long]
        getattr(compiled, name).restype = ctypes.c_double
    compiled.read_through.argtypes = [_DOUBLES, ctypes.c_long, ctypes.c_long]
    compiled.read_through.restype = ctypes.c_double
    return compiled


def _aligned(n: int) -> FloatArray:
    """Return numbers that begin at a multiple of 64 bytes, each page touched."""
    numbers = np.ones(n + 8)
    first = (-numbers.ctypes.data // 8) % 8
    return numbers[first : first + n]


@dataclass(frozen=True)
class Density:
    """A model of a compiled program, evaluated at points in a C++ loop."""

    compiled: ctypes.CDLL
    library: ctypes.CDLL
    model: ctypes.c_void_p
    points: FloatArray

    @classmethod
    def load(cls, compiled: ctypes.CDLL, path: str, data: bytes, points: FloatArray) -> Density:
        """Return the model of a library with data, at points, shape (n, D)."""
        library = ctypes.CDLL(path)
        library.bs_model_construct.restype = ctypes.c_void_p
        library.bs_model_construct.argtypes = [ctypes.c_char_p, ctypes.c_uint, ctypes.c_void_p]
        model = ctypes.c_void_p(library.bs_model_construct(data, 1, None))
        assert model, f"{path} does not take the data"
        assert library.bs_param_unc_num(model) == points.shape[1]
        return cls(compiled, library, model, points)

    def gradients(self, passes: int) -> tuple[float, FloatArray]:
        """Return the sums of values and of gradients, shape (D,), over so many passes."""
        dims = self.points.shape[1]
        sums, gradient = np.zeros(1 + dims), np.empty(dims)
        density = ctypes.cast(self.library.bs_log_density_gradient, ctypes.c_void_p)
        failed = self.compiled.gradients(
            density, *self._loop(passes), _pointer(gradient), _pointer(sums)
        )
        assert failed == 0
        return float(sums[0]), sums[1:]

    def values(self, passes: int) -> tuple[float, None]:
        """Return the sum of values over so many passes."""
        total = np.zeros(1)
        density = ctypes.cast(self.library.bs_log_density, ctypes.c_void_p)
        assert self.compiled.values(density, *self._loop(passes), _pointer(total)) == 0
        return float(total[0]), None

    def _loop(self, passes: int) -> tuple[Any, ...]:
        n, dims = self.points.shape
        return self.model, _pointer(self.points), n, passes, dims

    def close(self) -> None:
        """Free the model."""
        self.library.bs_model_destruct(self.model)


def _pointer(numbers: FloatArray) -> Any:
    return numbers.ctypes.data_as(_DOUBLES)


class _Measured:
    """Contestants of one case, each checked against the Stan program before it is timed."""

    def __init__(
        self,
        compiled: ctypes.CDLL,
        numbers: FloatArray,
        case: Case,
        libraries: dict[str, str],
        seconds: float,
    ) -> None:
        self.compiled, self.numbers, self.case, self.seconds = compiled, numbers, case, seconds
        print(f"\n  {case.name}: {case.title}", flush=True)
        self.points = points = np.ascontiguousarray(case.points(POINTS))
        data = case.posterior(kernel=False).data_json.encode()
        self.densities = {
            name: Density.load(compiled, path, data, points) for name, path in libraries.items()
        }
        gradients: dict[str, Callable[[int], Any]] = {
            name: density.gradients for name, density in self.densities.items()
        }
        try:
            if has_jax(case):
                gradients["JAX"], version = jax_loop(case, points)
                show("JAX", version)
        except ModuleNotFoundError as missing:
            print(f"  left out: JAX ({missing}; make bench installs it)")
        values = {f"{name}, value": one.values for name, one in self.densities.items()}
        self._check(gradients, values)
        self.loops: dict[str, Callable[[int], Any]] = {**gradients, **values}

    def _check(self, gradients: dict[str, Callable[[int], Any]], values: dict[str, Any]) -> None:
        """Compare the sums over the points with those of the Stan program."""
        value, gradient = gradients["Stan"](1)
        for name, loop in {**gradients, **values}.items():
            if name == "Stan":
                continue
            found, its_gradient = loop(1)
            apart = abs(found / value - 1)
            said = f"{apart:.1e} of the value"
            if its_gradient is not None:
                of_gradient = np.abs(its_gradient - gradient).max() / np.abs(gradient).max()
                said += f", {of_gradient:.1e} of the largest gradient"
                apart = max(apart, of_gradient)
            show(f"{name}: sums over the points, apart from Stan by", said)
            if apart > AGREEMENT:
                raise SystemExit(f"{self.case.name}: {name} is not the density of the Stan program")

    def print(self, rounds: int) -> None:
        """Time all in turn and print times and ratios."""
        passes = {name: self._passes(loop) for name, loop in self.loops.items()}
        calls = {name: partial(loop, passes[name]) for name, loop in self.loops.items()}
        rates = self._rates()
        timed = alternate(
            {**calls, **{name: call for name, (call, _) in rates.items()}}, rounds, process_time
        )
        self._same_sums(timed, passes)
        each = {name: _scaled(timed[name], 1 / (POINTS * passes[name])) for name in self.loops}
        self._print_times(each, {name: (timed[name], size) for name, (_, size) in rates.items()})
        for density in self.densities.values():
            density.close()

    def _passes(self, loop: Callable[[int], Any]) -> int:
        """Return how many passes take the time that one call is to take."""
        passes, took = 1, alternate({"": partial(loop, 1)}, 1, process_time)[""].median
        while took < self.seconds / 2:
            passes = max(passes + 1, round(passes * min(10.0, self.seconds / took)))
            took = alternate({"": partial(loop, passes)}, 1, process_time)[""].median
        return max(1, round(passes * self.seconds / took))

    def _rates(self) -> dict[str, tuple[Callable[[], Any], float]]:
        """Return calls that show what the core can do, with their operations or bytes."""
        rounds = round(1e8 * self.seconds)  # a few hundred million register operations a second
        sizes = {"512": 2 * 16 * 8, "256": 2 * 12 * 4}
        rates: dict[str, tuple[Callable[[], Any], float]] = {}
        for bits, operations in sizes.items():
            loop = getattr(self.compiled, f"multiply_add_{bits}")
            rates[bits] = (partial(loop, rounds), operations * rounds)
        passes = max(1, round(150 * self.seconds))  # of a few milliseconds
        read = partial(self.compiled.read_through, _pointer(self.numbers), READ, passes)
        rates["read"] = (read, 8 * READ * passes)
        return rates

    def _same_sums(self, timed: dict[str, Timed], passes: dict[str, int]) -> None:
        """Check that what was timed was computed."""
        value, _ = self.loops["Stan"](1)
        for name in self.loops:
            sums = [found / passes[name] for found, _ in timed[name].values]
            np.testing.assert_allclose(sums, value, rtol=1e-9)

    def _print_times(self, each: dict[str, Timed], rates: dict[str, tuple[Timed, float]]) -> None:
        rate = {name: size / np.array(timed.seconds) for name, (timed, size) in rates.items()}
        flops, bandwidth = rate["256"], rate["read"]
        if instruction_set() == "avx512":
            flops = np.maximum(rate["512"], flops)
        show(f"peak of this core, {instruction_set()}", _range(flops / 1e9, "GFLOP/s"))
        show("read bandwidth of this core", _range(bandwidth / 1e9, "GB/s"))
        for suffix, what in (("", "value and gradient"), (", value", "value alone")):
            work = self.case.work(gradient=not suffix)
            arithmetic = work.flops / flops + TRANSCENDENTAL * work.transcendentals
            reading = work.bytes / bandwidth
            nominal = work.flops / NOMINAL + TRANSCENDENTAL * work.transcendentals
            floor = Timed(tuple(np.maximum(arithmetic, reading)), ())
            print(
                f"  {what}: {work.flops / 1e6:.4g} MFLOP, {work.transcendentals:.0f} exponentials "
                f"and logarithms, {work.bytes / 1e6:.3g} MB"
            )
            for name in ("kernel", "Stan", "JAX"):
                if name + suffix in each:
                    show(f"  {name}", each[name + suffix].text(1e6, "µs"))
            show("  floor: arithmetic", _range(1e6 * arithmetic, "µs"))
            show("  floor: arithmetic at 46 GFLOP/s", f"{1e6 * nominal:.4g} µs")
            show("  floor: X read once", _range(1e6 * reading, "µs"))
            self._print_ratios(each, suffix, floor, nominal)

    def _print_ratios(
        self, each: dict[str, Timed], suffix: str, floor: Timed, nominal: float
    ) -> None:
        stan, jax = each["Stan" + suffix], each.get("JAX" + suffix)
        kernel = each.get("kernel" + suffix)
        if kernel is None:
            show("  ratio Stan : floor", ratio(stan, floor))
            if jax is not None:
                show("  ratio Stan : JAX", ratio(stan, jax))
            return
        faster, slower = self.case.times_stan, self.case.times_floor
        if suffix:
            faster = slower = None  # the targets are of gradients
        show("  ratio Stan : kernel", ratio(stan, kernel) + _verdict(stan, kernel, least=faster))
        if jax is not None:
            show("  ratio JAX : kernel", ratio(jax, kernel) + _verdict(jax, kernel, least=1))
        show("  ratio kernel : floor", ratio(kernel, floor) + _verdict(kernel, floor, most=slower))
        show("  ratio kernel : floor at 46 GFLOP/s", _range(np.array(kernel.seconds) / nominal))


def _scaled(timed: Timed, factor: float) -> Timed:
    return Timed(tuple(factor * seconds for seconds in timed.seconds), timed.values)


def _range(values: FloatArray, unit: str = "") -> str:
    return f"{np.median(values):.4g} {unit} ({values.min():.4g}–{values.max():.4g})".replace(
        "  ", " "
    )


def _verdict(a: Timed, b: Timed, *, least: float | None = None, most: float | None = None) -> str:
    """Return whether the median ratio a / b meets its target, in words; nothing without one."""
    median = float(np.median(np.array(a.seconds) / np.array(b.seconds)))
    if least is not None:
        met = median > least if least == 1 else median >= least
        aim = "more than 1" if least == 1 else f"at least {least:g}"
    elif most is not None:
        met, aim = median <= most, f"at most {most:g}"
    else:
        return ""
    return f", target {aim}: {'met' if met else 'NOT MET'}"


if __name__ == "__main__":
    main()
