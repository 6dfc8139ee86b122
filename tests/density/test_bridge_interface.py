"""Our BridgeStan home, judged through the official client: names, values, errors, compilation."""

from __future__ import annotations

import gc
import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import bridgestan
import numpy as np
import pytest

from bridge_support import HOME, compiled, environment, load
from conftest import needs_tools

pytestmark = needs_tools

BLOCKS = {"transformed data": 1, "transformed parameters": 2, "model": 3, "generated quantities": 4}
X = np.arange(4.0).reshape(2, 2)
DATA = {"N": 2, "X": X, "y": np.array([0.5, -0.5])}
THETA = np.linspace(-1, 1, 13)


@pytest.fixture(scope="module")
def regression() -> Any:
    return load("regression", DATA)


def in_block(block: str, action: int, **options: Any) -> Any:
    return load("blocks", {"block": BLOCKS[block], "action": action}, **options)


def parameters() -> dict[str, Any]:
    return {
        "beta": np.array([0.1, 0.2]),
        "sigma": 1.5,
        "A": np.arange(6.0).reshape(2, 3),
        "pairs": np.array([[1.0, 2.0], [3.0, 4.0]]),
    }


def flat() -> np.ndarray:
    """The same in Stan's order: columns of a matrix, array index first."""
    return np.array([0.1, 0.2, 1.5, 0, 3, 1, 4, 2, 5, 1, 3, 2, 4])


# ---- Names, sizes, versions ---------------------------------------------------------------------


def test_names_and_their_order(regression: Any) -> None:
    matrix = ["A.1.1", "A.2.1", "A.1.2", "A.2.2", "A.1.3", "A.2.3"]
    pairs = ["pairs.1.1", "pairs.2.1", "pairs.1.2", "pairs.2.2"]
    names = ["beta.1", "beta.2", "sigma", *matrix, *pairs]
    tp, gq = ["mean_y.1", "mean_y.2"], ["log_sigma", "y_rep.1", "y_rep.2"]
    for include_tp in (False, True):
        for include_gq in (False, True):
            include = {"include_tp": include_tp, "include_gq": include_gq}
            expected = names + tp * include_tp + gq * include_gq
            assert regression.param_names(**include) == expected
            assert regression.param_num(**include) == len(expected)
    assert regression.param_unc_num() == 13
    assert [n for n in regression.param_unc_names() if n[0] in "bsA"] == names[:9]


def test_sizes_of_constrained_types_differ() -> None:
    model = load("constrained", {"low": 0, "high": 1})
    count = {
        kind: sum(name.split(".")[0] == "shares" for name in names)
        for kind, names in [("free", model.param_unc_names()), ("all", model.param_names())]
    }
    assert count == {"free": 4, "all": 6}


def test_versions_and_flags(regression: Any, recwarn: pytest.WarningsRecorder) -> None:
    load("regression", DATA)
    assert not [w for w in recwarn if "version" in str(w.message)]
    assert regression.name() == "regression_model"
    assert regression.model_version() == (2, 9, 0)
    info = regression.model_info()
    assert "Stan version: 2." in info
    assert "stanc_version = stanc3" in info
    assert "STAN_THREADS=false" in info
    threaded = load("regression", DATA, "STAN_THREADS=true", "BRIDGESTAN_AD_HESSIAN=true")
    assert "STAN_THREADS=true" in threaded.model_info()
    assert "BRIDGESTAN_AD_HESSIAN=true" in threaded.model_info()


# ---- Constraining and unconstraining ------------------------------------------------------------


def test_transformed_parameters_and_generated_quantities(regression: Any) -> None:
    rng = regression.new_rng(1)
    values = regression.param_constrain(THETA, include_tp=True, include_gq=True, rng=rng)
    by_name = dict(
        zip(regression.param_names(include_tp=True, include_gq=True), values, strict=True)
    )
    mean = X @ THETA[:2]
    np.testing.assert_allclose([by_name["mean_y.1"], by_name["mean_y.2"]], mean)
    np.testing.assert_allclose(
        [by_name["sigma"], by_name["log_sigma"]], [np.exp(THETA[2]), THETA[2]]
    )
    without = regression.param_constrain(THETA, include_gq=True, rng=regression.new_rng(1))
    np.testing.assert_array_equal(without, np.delete(values, [13, 14]))


def test_the_rng_moves_on_and_repeats(regression: Any) -> None:
    def draws(seed: int) -> np.ndarray:
        rng = regression.new_rng(seed)
        both = [regression.param_constrain(THETA, include_gq=True, rng=rng) for _ in range(2000)]
        return np.array(both)[:, -2:]

    one = draws(1)
    np.testing.assert_array_equal(one, draws(1))
    assert np.unique(one).size == one.size
    assert not np.any(one == draws(2))
    error = np.exp(THETA[2]) / np.sqrt(2000)
    np.testing.assert_allclose(one.mean(axis=0), X @ THETA[:2], atol=4 * error)


def test_generated_quantities_need_an_rng(regression: Any) -> None:
    with pytest.raises(ValueError, match="must specify rng"):
        regression.param_constrain(THETA, include_gq=True)
    error = bridgestan.model.ctypes.c_char_p()
    status = regression._param_constrain(
        regression.model, False, True, THETA, np.empty(16), None, error
    )
    assert status != 0
    assert "RNG" in str(regression._handle_error(error, ""))


def test_unconstrain_and_json_agree(regression: Any) -> None:
    from_values = regression.param_unconstrain(flat())
    # Unconstrained arrays come element by element, unlike the constrained ones.
    expected = [0.1, 0.2, np.log(1.5), 0, 3, 1, 4, 2, 5, 1, 2, 3, 4]
    np.testing.assert_allclose(from_values, expected)
    np.testing.assert_array_equal(regression.param_unconstrain_json(parameters()), from_values)
    np.testing.assert_array_equal(regression.param_constrain(from_values), flat())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sigma": None}, "variable does not exist.*sigma"),
        ({"beta": [1.0]}, "mismatch in dimension declared and found.*beta"),
        ({"beta": []}, "mismatch in dimension declared and found.*beta"),
        ({"beta": 1.0}, "mismatch in number dimensions.*beta"),
        ({"sigma": -1.0}, "[Ll]ower bound"),
        ({"sigma": "big"}, "error"),
    ],
)
def test_bad_parameters_in_json(regression: Any, change: dict[str, Any], message: str) -> None:
    given = {k: np.asarray(v).tolist() for k, v in parameters().items()} | change
    text = json.dumps({name: value for name, value in given.items() if value is not None})
    with pytest.raises(RuntimeError, match=f"(?s){message}"):
        regression.param_unconstrain_json(text)


@pytest.mark.parametrize("text", ["", "{", "[]", "nonsense", '{"beta": [1, [2]]}'])
def test_malformed_json(regression: Any, text: str) -> None:
    with pytest.raises(RuntimeError, match=r"param_unconstrain_json: .+"):
        regression.param_unconstrain_json(text)


def test_values_outside_the_support(regression: Any) -> None:
    with pytest.raises(RuntimeError, match=r"[Ll]ower bound"):
        regression.param_unconstrain(-flat())


# ---- Initial values -----------------------------------------------------------------------------


def test_initial_values_are_uniform_and_finite(regression: Any) -> None:
    rng = regression.new_rng(2)
    points = np.array([regression.param_initialize(rng, init_radius=0.5) for _ in range(400)])
    assert np.abs(points).max() <= 0.5
    np.testing.assert_allclose(points.std(), 0.5 / np.sqrt(3), rtol=0.03)
    np.testing.assert_array_equal(regression.param_initialize(rng, init_radius=0), np.zeros(13))


def test_initial_values_given_in_part(regression: Any) -> None:
    rng = regression.new_rng(3)
    given = {"sigma": 1.5, "A": parameters()["A"]}
    points = [regression.param_initialize(rng, given) for _ in range(2)]
    values = [regression.param_constrain(point) for point in points]
    np.testing.assert_allclose([v[2:9] for v in values], [flat()[2:9]] * 2)
    assert not np.any(values[0][[0, 1, 9, 10]] == values[1][[0, 1, 9, 10]])
    full = regression.param_initialize(rng, parameters())
    np.testing.assert_array_equal(full, regression.param_unconstrain(flat()))


def test_initial_values_that_cannot_be() -> None:
    model = in_block("model", 1)
    with pytest.raises(RuntimeError, match=r"(?s)failed after 7 tries.*rejected in block 3"):
        model.param_initialize(model.new_rng(1), max_tries=7)
    with pytest.raises(RuntimeError, match="too large: 200"):
        load("blocks", {"block": 0, "action": 0}).param_initialize(model.new_rng(1), {"mu": 200})
    with pytest.raises(RuntimeError, match="init_radius"):
        model.param_initialize(model.new_rng(1), init_radius=-1)
    with pytest.raises(RuntimeError, match="max_tries"):
        model.param_initialize(model.new_rng(1), max_tries=0)


# ---- Data ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (None, "variable does not exist.*N"),
        ("", "variable does not exist.*N"),
        ("{", "JSON"),
        ('{"N": 2}', "variable does not exist.*X"),
        ('{"N": 2.5, "X": [[0, 1], [2, 3]], "y": [1, 2]}', "int variable contained non-int"),
        ('{"N": -1, "X": [], "y": []}', "N.* -1"),
        ('{"N": 2, "X": [[0, 1], [2, 3]], "y": [1, 2, 3]}', "mismatch in dimension.*y"),
        ('{"N": 2, "X": [[0, 1], [2, 3]], "y": []}', "mismatch in dimension.*y"),
        ('{"N": 2, "X": [0, 1], "y": [1, 2]}', "mismatch in number dimensions.*X"),
        ('{"N": 2, "X": [[0, 1], [2]], "y": [1, 2]}', "non-rectangular"),
    ],
)
def test_data_that_do_not_fit(data: str | None, message: str) -> None:
    with pytest.raises(RuntimeError, match=f"(?s)model_construct: .*{message}"):
        load("regression", data)


def test_data_from_a_file_and_large_data(regression: Any, tmp_path: Path) -> None:
    file = tmp_path / "data.json"
    file.write_text(json.dumps({name: np.asarray(v).tolist() for name, v in DATA.items()}))
    assert load("regression", file).log_density(THETA) == regression.log_density(THETA)
    n = 100_000
    large = {"N": n, "X": np.zeros((n, 2)), "y": np.ones(n)}
    expected = -0.5 * n * (np.log(2 * np.pi) + 1) - 1 - 6 * np.log(2 * np.pi) - np.log(8 * np.pi)
    at_zero = load("regression", large).log_density(np.zeros(13), propto=False)
    np.testing.assert_allclose(at_zero, expected + np.log(2 * np.pi), rtol=1e-12)


def test_no_parameters_and_empty_containers() -> None:
    model = load("sizes", {"K": 0, "shift": []})
    nothing = np.empty(0)
    assert model.param_unc_num() == model.param_num(include_tp=True) == 0
    assert model.log_density_gradient(nothing)[0] == model.log_density(nothing) == 0
    assert model.log_density_hessian(nothing)[2].shape == (0, 0)
    assert model.param_unconstrain(nothing).size == 0
    assert model.param_unconstrain_json("{}").size == 0
    assert model.param_initialize(model.new_rng(1)).size == 0
    three = load("sizes", {"K": 3, "shift": [1, 2, 3]})
    np.testing.assert_array_equal(three.param_unconstrain_json('{"z": [4, 5, 6]}'), [4, 5, 6])


def test_seed_of_transformed_data() -> None:
    def seen(seed: int) -> float:
        model = load("sizes", {"K": 0, "shift": []}, seed=seed)
        out = model.param_constrain(np.empty(0), include_gq=True, rng=model.new_rng(5))
        return float(out[0])

    assert seen(1) == seen(1)
    assert len({seen(1), seen(2), seen(3)}) == 3


# ---- Rejections, exceptions, printed text -------------------------------------------------------


@pytest.mark.parametrize(("action", "message"), [(1, "rejected in block"), (2, "out of range")])
@pytest.mark.parametrize("block", BLOCKS)
def test_errors_in_each_block(block: str, action: int, message: str) -> None:
    zero = np.zeros(1)
    if block == "transformed data":
        with pytest.raises(RuntimeError, match=message):
            in_block(block, action)
        return
    model = in_block(block, action)
    density_fails = block != "generated quantities"
    for call in (
        lambda: model.log_density(zero),
        lambda: model.log_density(zero, propto=False),
        lambda: model.log_density_gradient(zero),
        lambda: model.log_density_hessian(zero),
        lambda: model.log_density_hessian_vector_product(zero, zero + 1),
    ):
        if density_fails:
            with pytest.raises(RuntimeError, match=message):
                call()
        else:
            call()
    include = {"include_tp": True, "include_gq": True}
    if block != "model":
        with pytest.raises(RuntimeError, match=message):
            model.param_constrain(zero, rng=model.new_rng(1), **include)
    np.testing.assert_array_equal(model.param_constrain(zero), zero)


@pytest.mark.parametrize("block", BLOCKS)
def test_printed_text_reaches_python(block: str, capsys: pytest.CaptureFixture[str]) -> None:
    model = in_block(block, 3)
    model.log_density(np.zeros(1))
    model.param_constrain(np.zeros(1), include_gq=True, rng=model.new_rng(1))
    # Generated quantities also run the block of transformed parameters.
    times = 2 if block == "transformed parameters" else 1
    assert capsys.readouterr().out == f"printed in block {BLOCKS[block]}\n" * times


def test_printed_text_without_callback() -> None:
    code = (
        "import bridgestan, numpy, sys\n"
        "m = bridgestan.StanModel(sys.argv[1], sys.argv[2], capture_stan_prints=False)\n"
        "m.log_density(numpy.zeros(1))\n"
    )
    data = json.dumps({"block": 3, "action": 3})
    python = [sys.executable, "-c", code, str(compiled("blocks")), data]
    output = subprocess.run(python, capture_output=True, text=True, check=True).stdout
    assert output == "printed in block 3\n"


def test_memory_does_not_grow_when_programs_throw() -> None:
    model = load("blocks", {"block": 0, "action": 0})
    good, bad = np.zeros(1), np.array([101.0])

    def throw(times: int) -> int:
        for _ in range(times):
            with pytest.raises(RuntimeError):
                model.log_density_gradient(bad)
        gc.collect()
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # kilobytes on Linux

    before = throw(2_000)
    value = model.log_density_gradient(good)
    assert throw(100_000) - before < 2_000  # 100 bytes lost by each would be 10,000
    assert model.log_density_gradient(good) == value


# ---- Compilation --------------------------------------------------------------------------------


def compile_text(folder: Path, text: str, **settings: str) -> Path:
    program = folder / "program.stan"
    program.write_text(text)
    with mock.patch.dict(os.environ, environment() | settings):
        return bridgestan.compile_model(program)


def test_a_bad_program_names_its_error(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"(?s)line 1.*Identifier 'y' not in scope"):
        compile_text(tmp_path, "model { y ~ normal(0, 1); }\n")
    assert [file.name for file in tmp_path.iterdir()] == ["program.stan"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"CMDSTAN": "/nonexistent"}, "no bin/stanc in CMDSTAN"),
        ({"CMDSTAN": "/a b"}, "spaces"),
        ({"BRIDGE_BUILD": "/a b"}, "spaces"),
    ],
)
def test_bad_settings(tmp_path: Path, settings: dict[str, str], message: str) -> None:
    with pytest.raises(RuntimeError, match=message):
        compile_text(tmp_path, "parameters { real x; }", **settings)


@pytest.mark.parametrize(
    ("folder", "message"), [("a b", "without spaces"), ("a=b", "path with '='")]
)
def test_paths_that_make_cannot_handle(tmp_path: Path, folder: str, message: str) -> None:
    (tmp_path / folder).mkdir()
    with pytest.raises(RuntimeError, match=message):
        compile_text(tmp_path / folder, "parameters { real x; }")


def test_compiled_models_are_kept_and_the_home_stays_clean() -> None:
    library = compiled("regression")
    before = library.stat().st_mtime_ns
    with mock.patch.dict(os.environ, environment()):
        assert bridgestan.compile_model(library.parent / "regression.stan") == library
    assert library.stat().st_mtime_ns == before
    assert {file.suffix for file in HOME.iterdir()} <= {"", ".cpp", ".hpp", ".h", ".md"}
    assert not list(library.parent.glob("*.o"))
