"""Data for Stan: what JSON and Python hold, what Stan reads of it, and what it would get wrong."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import stanio

from manymodes.density.posterior import Posterior
from manymodes.density.program import Program
from manymodes.density.stan_data import read_data, stan_json
from manymodes.density.stan_tokens import Parameter, read_source
from manymodes.errors import InputError

LARGEST = 2**31 - 1
DATA = """
data {
  int<lower=0> N; int g[N]; array[2, N] int h;
  real r; vector[N] x; matrix[2, 2] m; array[2] vector[2] v; complex z;
}
"""
DECLARED = {item.name: item for item in read_source({"m": DATA}).data}


def written(**data: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(stan_json(data, DECLARED))
    return found


def read(tmp_path: Path, content: str | bytes) -> dict[str, Any]:
    path = tmp_path / "d.json"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_data(path)


# ---------------------------------------------------------------- whole numbers


@pytest.mark.parametrize(
    ("name", "value", "where"),
    [
        ("N", 3_000_000_000, "N is 3000000000"),
        ("N", 2**32 + 6, "N is 4294967302"),
        ("N", 2**31, "N is 2147483648"),
        ("N", -(2**31) - 1, "N is -2147483649"),
        ("N", 10**30, "N is 1000000000000000000000000000000"),
        ("N", np.int64(2**40), "N is 1099511627776"),
        ("N", np.array(2**31), "N is 2147483648"),
        ("N", 1e10, "N is 10000000000.0"),
        ("g", [1, 2, 2**33], r"g\[3\] is 8589934592"),
        ("g", np.array([1, 2**35, 3]), r"g\[2\] is"),
        ("g", pd.Series([1, 2, -(2**40)]), r"g\[3\] is -1099511627776"),
        ("g", (1, 2**31), r"g\[2\] is"),
        ("h", [[1, 2], [3, 2**31]], r"h\[2, 2\] is 2147483648"),
        ("h", np.array([[1, 2], [2**31, 3]], dtype=np.uint32), r"h\[2, 1\] is 2147483648"),
    ],
)
def test_whole_numbers_that_stan_would_wrap_are_refused(name: str, value: Any, where: str) -> None:
    with pytest.raises(InputError, match=f"^data: {where}.*-2147483648 and 2147483647") as caught:
        written(**{name: value})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "remedy"),
    [
        ("N", 3.0, "N is 3.0, .*: write 3$"),
        ("N", np.float64(7), "N is 7.0, .*: write 7$"),
        ("g", [1, 2.5], r"g\[2\] is 2.5, .*: give whole numbers$"),
        ("g", pd.Series([1, None]), r"g\[1\] is 1.0, .*: write 1$"),
        ("h", np.ones((2, 2)), r"h\[1, 1\] is 1.0"),
    ],
)
def test_reals_are_no_ints(name: str, value: Any, remedy: str) -> None:
    with pytest.raises(InputError, match=remedy):
        written(**{name: value})


def test_the_whole_range_of_an_int_is_taken() -> None:
    assert written(N=LARGEST, g=[-LARGEST - 1, 0])["g"] == [-(2**31), 0]
    assert written(N=True, g=np.array([True, False])) == {"N": 1, "g": [1, 0]}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ([1, 2, 3_000_000_000], "[1, 2, 3000000000.0]"),
        (np.array([2**31, 5]), "[2147483648.0, 5]"),
        ([-(2**40), 1.5], "[-1099511627776.0, 1.5]"),
        ([1.5, 3_000_000_000], "[1.5, 3000000000]"),  # read as it is meant, and written as ever
        ([1, 2, 123456789012345678901234567890], "[1, 2, 123456789012345678901234567890]"),
    ],
)
def test_large_whole_numbers_of_a_real_item_are_written_as_reals(value: Any, expected: str) -> None:
    assert stan_json({"x": value}, DECLARED) == f'{{"x": {expected}}}'
    assert stan_json({"undeclared": value}, DECLARED) == json.dumps(
        {"undeclared": np.asarray(value).tolist() if isinstance(value, np.ndarray) else value}
    )


# ---------------------------------------------------------------- what is written


class Tensor:
    """What NumPy takes for an array."""

    def __array__(self, *_: Any, **__: Any) -> np.ndarray[Any, Any]:
        return np.arange(2.0)


FINE: dict[str, Any] = {
    "N": 2,
    "g": np.array([1, 2]),
    "h": pd.DataFrame({"a": [1, 2], "b": [3, 4]}),
    "r": np.float32(0.1),
    "x": pd.Series([0.5, np.nan]),
    "m": [[1, -0.0], [1e-300, np.inf]],
    "v": np.arange(4.0).reshape(2, 2),
    "z": 1 + 2j,
    "ids": [1, 2, 3],
    "word": "NaN",
}


def test_data_that_were_fine_are_written_as_before() -> None:
    """Their hash binds runs: it is that of what stanio writes."""
    assert stan_json(FINE, DECLARED) == stanio.dump_stan_json(FINE)
    assert stan_json(FINE, None) == stanio.dump_stan_json(FINE)
    assert stan_json({}, DECLARED) == stanio.dump_stan_json({}) == "{}"


def test_tuples_ranges_and_arrays_of_others_are_arrays() -> None:
    found = written(g=range(1, 3), v=((1, 2), [3, 4]), x=Tensor(), r=np.array(2.5))
    assert found == {"g": [1, 2], "v": [[1, 2], [3, 4]], "x": [0.0, 1.0], "r": 2.5}


def test_tuples_of_a_tuple_keep_their_slots() -> None:
    items = {"t": Parameter("t", "tuple")}
    assert json.loads(stan_json({"t": (1, [2, 3])}, items)) == {"t": {"1": 1, "2": [2, 3]}}


def test_what_is_not_declared_is_left_out_where_stan_would_stop() -> None:
    found = written(
        N=2,
        names=["a", "b"],
        meta={"source": "lab"},
        nothing=None,
        ragged=[[1, 2], [3]],
        mixed=[1, [2]],
        dates=pd.Series(pd.to_datetime(["2020-01-01"])),
        other=SimpleNamespace(),
        ids=[[1, 2], [3, 4]],
    )
    assert found == {"N": 2, "ids": [[1, 2], [3, 4]]}


@pytest.mark.parametrize(
    ("value", "kind"), [(SimpleNamespace(), "SimpleNamespace"), ({1, 2}, "set"), ([b"1"], "bytes"),
                        (pd.Series(pd.to_datetime(["2020-01-01"])), "Series")],
)  # fmt: skip
def test_what_is_no_number_is_refused_by_name(value: Any, kind: str) -> None:
    with pytest.raises(InputError, match=f"data: the item 'x' holds a value of type {kind}"):
        written(x=value)


@pytest.mark.parametrize("word", ["+inf", "inf", "+Infinity", "nan", "-inf", "+Inf", "NAN"])
def test_words_for_numbers_are_taken_in_any_spelling(word: str) -> None:
    text = stan_json({"x": [1, word]}, DECLARED)
    np.testing.assert_equal(json.loads(text)["x"], [1, float(word)])


# ---------------------------------------------------------------- JSON files


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ('{"N":3}', {"N": 3}),
        (b'\xef\xbb\xbf{"N":3}', {"N": 3}),
        ('\r\n{"N":\r3 }\r\n', {"N": 3}),
        ("{}", {}),
        ('{"x":[NaN, Infinity, -Infinity]}', {"x": [np.nan, np.inf, -np.inf]}),
        ('{"x":[Inf, -Inf], "Inf": "Inf"}', {"x": [np.inf, -np.inf], "Inf": "Inf"}),
        ('{"é": 1}', {"é": 1}),
    ],
)
def test_json_is_read_as_cmdstan_reads_it(
    content: str | bytes, expected: dict[str, Any], tmp_path: Path
) -> None:
    found = read(tmp_path, content)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_equal(found[name], value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "not a JSON data file: Expecting value: line 1"),
        ('{"N": }', "not a JSON data file: Expecting value: line 1 column 7"),
        ('{"N": 3} {}', "not a JSON data file: Extra data"),
        ("[1, 2]", "must be a JSON object of named values"),
        ("3", "must be a JSON object of named values"),
        ('{"N": 3, "x": [1], "N": 4}', "'N' stands there twice"),
        ('{"t": {"1": 2, "1": 3}}', "'1' stands there twice"),
        ("[" * 100_000, "not a JSON data file"),
        ('{"N": ' + "9" * 5000 + "}", "not a JSON data file"),
        ('{"nom": "é"}'.encode("latin-1"), "line 1: byte 0xe9 is not text in UTF-8"),
        ('{"N": 3}'.encode("utf-16"), "is in UTF-16: save it as UTF-8"),
        (b'{"N": 3\0}', "line 1: a NUL byte"),
    ],
)
def test_what_is_no_data_file_is_one_line(content: str | bytes, said: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=said) as caught:
        read(tmp_path, content)
    assert "d.json" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_folders_and_missing_files_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is a folder, not a data file"):
        read_data(tmp_path)
    with pytest.raises(InputError, match=r"gone\.json: no such data file"):
        read_data(tmp_path / "gone.json")


# ---------------------------------------------------------------- before anything is compiled


def test_data_are_checked_before_the_program_compiles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(program: Program) -> Path:
        raise AssertionError("compiled")

    monkeypatch.setattr(Program, "library", never)
    (tmp_path / "f.stan").write_text("int N;")
    (tmp_path / "m.stan").write_text("data {\n#include f.stan\n}\nparameters { real x; }\n")
    (tmp_path / "d.json").write_text('{"N": 5000000000}')
    posterior = Posterior.from_files(tmp_path / "m.stan", tmp_path / "d.json")
    for use in (posterior.compile, lambda: posterior.dims):
        with pytest.raises(InputError, match=r"d\.json: N is 5000000000"):
            use()
