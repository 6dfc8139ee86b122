"""One name for several functions, under a compiler that takes one function a name."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from conftest import needs_tools
from manymodes import toolchain
from manymodes.density.overloads import without_overloads
from manymodes.density.program import Program
from manymodes.errors import CompileError
from manymodes.toolchain.paths import version_key

FUNCTIONS = """real f(real x) { return x; }
vector f(vector x) { return x; }
int f(int n, array[] int m) { return n; }
real f(array[,] real x, data real y) { return f(y); }
"""
PROGRAM = """functions {
  #include f.stanfunctions
  real g(real x) { return f(f(x)) + sum(f([x, 1]')); }
}
parameters { real x; vector[2] y; } // f(x) in a comment
transformed parameters { vector[2] z = f(f(f(y)[1]) * y); array[1, 1] real a = {{x}}; }
model { x ~ normal(f(a, 1), f(1)); y ~ normal(f(3, {1}), g(1)); print("f(x)"); }
"""


def never(_: Mapping[str, str]) -> str:
    raise AssertionError("the compiler is not asked")


def test_a_program_without_overloads_is_left_alone() -> None:
    sources = {"m.stan": "functions { real f(real x); real f(real x) { return x; } } model { }"}
    assert without_overloads(sources, never) == sources


@needs_tools
def test_each_call_gets_the_function_that_fits(tmp_path: Path) -> None:
    """Mixed types and nested calls: what stanc then takes is what was meant."""
    cmdstan = toolchain.require("cmdstan").cmdstan
    (tmp_path / "f.stanfunctions").write_text(FUNCTIONS)
    (tmp_path / "m.stan").write_text(PROGRAM)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    stan_file = Program(tmp_path / "m.stan")._write_sources(scratch)
    stanc = f"{cmdstan.path}/bin/stanc"
    command = [stanc, "--o=/dev/null", f"--include-paths={scratch}", str(stan_file)]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
    if version_key(cmdstan.version) < (2, 29):
        written = stan_file.read_text()
        assert "f_real_args(f_real_args(x)) + sum(f_vector_args([x, 1]'))" in written
        assert "f_vector_args(f_real_args(f_vector_args(y)[1]) * y)" in written
        assert "normal(f_array2_real_real_args(a, 1), f_real_args(1))" in written
        assert "f_int_array1_int_args(3, {1})" in written
        assert "// f(x) in a comment" in written
        assert 'print("f(x)")' in written


def test_every_function_is_tried_where_none_fits() -> None:
    sources = {
        "m.stan": "functions { real f(real x) { return x; } real f(vector x) { return 1; } }\n"
        "transformed data { real y = f({1}); }"
    }
    asked: list[str] = []

    def complaint(written: Mapping[str, str]) -> str:
        asked.append(written["m.stan"].split("real y = ")[1])
        return "Semantic error in 'm.stan', line 2, column 28 to column 34:\n Ill-typed arguments"

    assert "f_vector_args({1})" in without_overloads(sources, complaint)["m.stan"]
    assert asked == ["f_real_args({1}); }", "f_vector_args({1}); }"]


@needs_tools
def test_a_program_that_does_not_compile_is_still_reported(tmp_path: Path) -> None:
    (tmp_path / "f.stanfunctions").write_text(FUNCTIONS)
    (tmp_path / "m.stan").write_text(PROGRAM.replace("real x; v", "real<lower=q> x; v"))
    with pytest.raises(CompileError, match="'q' not in scope"):
        Program(tmp_path / "m.stan").library()
