"""Programs as text: odd formatting, includes, every way to declare a parameter."""

from __future__ import annotations

import pytest

from manymodes.density.stan_tokens import (
    Parameter,
    functions_of,
    read_source,
    split,
    text_of,
    tokens_of,
)
from manymodes.errors import InputError


def declared(declarations: str) -> tuple[Parameter, ...]:
    """Return what a parameters block declares, without where."""
    found = read_source({"m.stan": f"parameters {{{declarations}}} model {{ }}"}).parameters
    return tuple(
        Parameter(p.name, p.base, p.sizes, p.array, p.lower, p.upper, p.offset, p.multiplier)
        for p in found
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("real x;", Parameter("x", "real")),
        ("real<lower=0> x;", Parameter("x", "real", lower="0")),
        ("real <\nlower = -1 , upper=+ 2.5e-3> x ;",
         Parameter("x", "real", lower="-1", upper="+2.5e-3")),
        ("vector<offset=m[1, 2], multiplier=s>[K] x;",
         Parameter("x", "vector", ("K",), offset="m[1,2]", multiplier="s")),
        ("matrix<lower=(a > b ? 1 : 2)>[2, N - 1] x;",
         Parameter("x", "matrix", ("2", "N-1"), lower="(a>b?1:2)")),
        ("array[N, f(2, 3)] simplex[K] x;", Parameter("x", "simplex", ("K",), ("N", "f(2,3)"))),
        ("simplex[K] x[N, 3];", Parameter("x", "simplex", ("K",), ("N", "3"))),
        ("real<lower=0> array_x[2];", Parameter("array_x", "real", (), ("2",), lower="0")),
        ("cholesky_factor_cov[3, 2] x;", Parameter("x", "cholesky_factor_cov", ("3", "2"))),
        ("sum_to_zero_vector[4] x;", Parameter("x", "sum_to_zero_vector", ("4",))),
        ("column_stochastic_matrix[2, 3] x;",
         Parameter("x", "column_stochastic_matrix", ("2", "3"))),
        ("tuple(real, array[2] vector[3]) x;", Parameter("x", "tuple")),
        ("array[2] tuple(real<lower=0>, real) x;", Parameter("x", "tuple", (), ("2",))),
        ("/* real y; { */ real x; // } real z;\n", Parameter("x", "real")),
        ("# an old comment, {\nreal x;", Parameter("x", "real")),
    ],
)  # fmt: skip
def test_a_declaration_is_read(text: str, expected: Parameter) -> None:
    assert declared(text) == (expected,)


def test_one_declaration_may_declare_several() -> None:
    assert declared("array[2] real<lower=0> x, y; unit_vector[3] u; ") == (
        Parameter("x", "real", array=("2",), lower="0"),
        Parameter("y", "real", array=("2",), lower="0"),
        Parameter("u", "unit_vector", ("3",)),
    )


def test_blocks_are_told_apart_and_strings_are_kept_whole() -> None:
    source = read_source(
        {
            "m.stan": 'functions { void f() { print("} // model {"); } }\n'
            "data{int N;}transformed  data\n{ int M = N; }\nparameters { real x; }"
            'transformed parameters { } model { if (x > 0) { reject("\'", x); } }'
            "generated quantities { real y = x'; }"
        }
    )
    assert list(source.blocks) == [
        "functions",
        "data",
        "transformed data",
        "parameters",
        "transformed parameters",
        "model",
        "generated quantities",
    ]
    assert [token.text for token in source.blocks["functions"]][7] == '"} // model {"'
    assert text_of(source.blocks["data"]) == "int N;"
    assert [p.name for p in source.parameters] == ["x"]


def test_included_files_stand_where_they_are_included() -> None:
    sources = {
        "m.stan": 'functions {\n  #include "f.stanfunctions"\n}\nparameters {\n#include p.stan\n}',
        "f.stanfunctions": "// {\nreal f(real x, array[] int n);\n",
        "p.stan": "\n real<upper=1> x;",
    }
    source = read_source(sources)
    (x,) = source.parameters
    assert (x.name, x.upper, x.file, x.line) == ("x", "1", "p.stan", 2)
    ((name, arguments),) = functions_of(source)
    assert (name.text, name.file, name.line, name.column) == ("f", "f.stanfunctions", 2, 5)
    assert [text_of(argument) for argument in arguments] == ["real x", "array[]int n"]


def test_a_sum_is_split_at_binary_signs_outside_brackets() -> None:
    terms = split(tokens_of({"m": "-a + b * -c - f(d - e) + g' - 1e-3"}), "+", "-")
    assert [text_of(term) for term in terms] == ["-a", "+b*-c", "-f(d-e)", "+g'", "-1e-3"]


@pytest.mark.parametrize(
    ("sources", "what"),
    [
        ({"m": "parameters { real x; "}, "line 1: '{' is not closed"),
        ({"m": "parameters { real x[2); }"}, r"line 1: '\)' closes another bracket"),
        ({"m": "\nparameter { real x; }"}, "line 2: no block begins with 'parameter'"),
        ({"m": "parameters { real<lower=0 x; }"}, "'<' is not closed"),
        ({"m": "parameters { real; }"}, "a declaration without a name"),
        ({"m": "parameters"}, "a bracket is missing"),
        ({"m": "#include a"}, "m: #include a is not among the program's files"),
        ({"m": "#include a", "a": "#include m"}, "a: #include m includes itself"),
    ],
)
def test_what_is_no_program_is_refused(sources: dict[str, str], what: str) -> None:
    with pytest.raises(InputError, match=what):
        read_source(sources)
