"""What the official client's own tests look at: printed text as it comes, zeros, arguments."""

from __future__ import annotations

import ctypes
import json
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import bridgestan
import numpy as np
import pytest

from bridge_support import HOME, compiled, copy_of, environment, load
from conftest import needs_tools

pytestmark = needs_tools

THREADED = ("STAN_THREADS=true", "BRIDGESTAN_AD_HESSIAN=true")
THETA = np.array([0.3, 1, 2, 3, 4])
DATA = ["data 0\n", "more data\n"]
SQUARE = "square = [[1,2],[3,4]]\n"
DENSITY = [SQUARE, "y = [1,2,3,4], mu = 0.3\n", "\n"]
QUANTITIES = ["draw 1 of 2\n", "end\n"]


class Heard:
    """A print callback that keeps the text of each of its calls."""

    def __init__(self, model: Any) -> None:
        self.texts: list[str] = []
        self.then: Callable[[], object] = lambda: None

        def hear(text: Any, size: int) -> None:
            self.texts.append(ctypes.string_at(text, size).decode())
            self.then()

        self._hear = bridgestan.model.c_print_callback(hear)
        self._model = model
        model._set_print_callback(self._hear, None)

    def during(self, call: Callable[[], object]) -> list[str]:
        self.texts = []
        call()
        return self.texts

    def stop(self) -> None:
        self._model._set_print_callback(bridgestan.model._print_callback, None)


@pytest.fixture(params=[(), THREADED], ids=["in turns", "side by side"])
def printing(request: pytest.FixtureRequest) -> Iterator[tuple[Any, Heard]]:
    model = load("prints", {"block": 0}, *request.param)
    heard = Heard(model)
    yield model, heard
    heard.stop()


def quantities(model: Any) -> np.ndarray:
    rng = model.new_rng(1)
    return np.asarray(model.param_constrain(THETA, include_tp=True, include_gq=True, rng=rng))


# ---- Printed text -------------------------------------------------------------------------------


def test_each_statement_reaches_the_callback_once(printing: tuple[Any, Heard]) -> None:
    model, heard = printing
    assert heard.during(lambda: model.log_density(THETA)) == DENSITY
    assert heard.during(lambda: model.log_density(THETA, propto=False)) == DENSITY
    assert heard.during(lambda: model.log_density_gradient(THETA)) == DENSITY
    assert heard.during(lambda: quantities(model)) == [SQUARE, *QUANTITIES]
    assert heard.during(lambda: model.param_constrain(THETA)) == []
    assert heard.during(lambda: model.param_unconstrain(THETA)) == []
    hessian = heard.during(lambda: model.log_density_hessian(THETA))
    assert hessian.count("\n") == len(hessian) / 3


def test_text_of_transformed_data(printing: tuple[Any, Heard]) -> None:
    model, heard = printing

    def construct() -> None:
        bridgestan.StanModel(model.lib_path, '{"block": 0}', warn=False, capture_stan_prints=False)

    assert heard.during(construct) == DATA


@pytest.mark.parametrize(
    ("block", "before"),
    [(1, ["data 1\n", "more data\n"]), (2, [SQUARE]), (3, DENSITY), (4, [SQUARE, QUANTITIES[0]])],
)
def test_text_before_a_failure(block: int, before: list[str]) -> None:
    heard = Heard(load("prints", {"block": 0}))
    data = json.dumps({"block": block})

    def evaluate() -> None:
        model = bridgestan.StanModel(
            compiled("prints"), data, warn=False, capture_stan_prints=False
        )
        heard.texts = []
        if block == 4:
            quantities(model)
        else:
            model.log_density(THETA)

    def fail() -> None:
        with pytest.raises(RuntimeError, match=f"failed in {block}"):
            evaluate()

    assert heard.during(fail) == [*before, f"failing in {block}\n"]
    heard.stop()


def test_text_comes_while_the_program_runs(printing: tuple[Any, Heard]) -> None:
    model, heard = printing
    inner: list[tuple[float, np.ndarray]] = []

    def evaluate_another_point() -> None:
        if len(heard.texts) == 2:
            inner.append(model.log_density_gradient(-THETA))

    heard.then = evaluate_another_point
    value, gradient = model.log_density_gradient(THETA)
    assert heard.texts == [*DENSITY[:2], SQUARE, "y = [-1,-2,-3,-4], mu = -0.3\n", "\n", "\n"]
    np.testing.assert_array_equal(gradient, [-0.075, -1, -2, -3, -4])
    np.testing.assert_array_equal(inner[0][1], -gradient)
    assert value == inner[0][0]


def test_threads_keep_their_lines_whole(printing: tuple[Any, Heard]) -> None:
    model, heard = printing

    def evaluate(_: int) -> None:
        for _ in range(25):
            quantities(model)

    with ThreadPoolExecutor(10) as pool:
        list(pool.map(evaluate, range(10)))
    assert sorted(heard.texts) == sorted([SQUARE, *QUANTITIES] * 250)


def test_a_failing_callback_changes_nothing(
    printing: tuple[Any, Heard], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, heard = printing
    expected = model.log_density(THETA)
    monkeypatch.setattr("sys.unraisablehook", lambda _: None)

    def refuse() -> None:
        raise ValueError("no")

    heard.then = refuse
    assert heard.during(lambda: model.log_density(THETA)) == DENSITY
    assert model.log_density(THETA) == expected


# ---- Second derivatives -------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [1, 1e-3, 37.7])
def test_zeros_of_the_hessian_are_zeros(printing: tuple[Any, Heard], scale: float) -> None:
    model, _ = printing
    rng = np.random.default_rng(11)
    expected = -np.diag([0.25, 1, 1, 1, 1])
    for point in scale * rng.normal(size=(20, 5)):
        for options in ({}, {"propto": False}, {"jacobian": False}):
            hessian = model.log_density_hessian(point, **options)[2]
            np.testing.assert_allclose(hessian, expected, rtol=1e-7, atol=0)
        v = np.array([1.3, 0, -2, 0, 1]) * scale
        product = model.log_density_hessian_vector_product(point, v)[1]
        np.testing.assert_allclose(product, expected @ v, rtol=1e-7, atol=0)


# ---- Arguments ----------------------------------------------------------------------------------


def test_arrays_of_the_wrong_size_are_refused(printing: tuple[Any, Heard]) -> None:
    model, _ = printing
    wrong = np.zeros(15)
    with pytest.raises(ValueError, match="same size"):
        model.param_constrain(THETA, out=wrong)
    for call in (
        lambda: model.param_unconstrain(THETA, out=wrong),
        lambda: model.param_unconstrain_json({"mu": 1, "y": [1, 2, 3, 4]}, out=wrong),
        lambda: model.log_density(wrong),
        lambda: model.log_density_gradient(THETA, out=wrong),
        lambda: model.log_density_hessian(THETA, out_grad=wrong),
        lambda: model.log_density_hessian(THETA, out_hess=wrong),
        lambda: model.log_density_gradient(THETA[:4]),
        lambda: model.log_density((ctypes.c_int * 5)()),
    ):
        with pytest.raises(ctypes.ArgumentError):
            call()
    params = (ctypes.c_double * 5)(*THETA)
    assert model.log_density(params) == model.log_density(THETA)


@pytest.mark.parametrize("seed", [0, 1, 2**31 - 1, 2**31, 2**32 - 1])
def test_seeds_at_the_ends_of_their_range(seed: int) -> None:
    model = load("sizes", {"K": 0, "shift": []}, seed=seed)
    starts = [model.new_rng(seed) for _ in range(2)]
    drawn = [model.param_constrain(np.empty(0), include_gq=True, rng=rng)[0] for rng in starts]
    assert drawn[0] == drawn[1]
    assert 0 < drawn[0] < 1
    normal = load("prints", {"block": 0}, capture_stan_prints=False)
    points = [normal.param_initialize(normal.new_rng(seed)).tolist() for _ in range(2)]
    assert points[0] == points[1]
    assert len(set(points[0])) == 5


def test_data_as_text_path_mapping_or_nothing(tmp_path: Path) -> None:
    file = tmp_path / "sizes.json"
    file.write_text('{"K": 2, "shift": [1, 2]}')
    at = np.array([0.5, 0.5])
    values = {
        load("sizes", data).log_density(at)
        for data in (file, str(file), file.read_text(), {"K": 2, "shift": [1, 2]})
    }
    assert len(values) == 1
    with pytest.raises(FileNotFoundError):
        load("sizes", str(tmp_path / "absent.json"))
    for nothing in (None, ""):
        with pytest.raises(RuntimeError, match="variable does not exist"):
            load("sizes", nothing)


# ---- Linking ------------------------------------------------------------------------------------


@pytest.mark.parametrize("variable", ["LIBSUNDIALS", "SUNDIALS_TARGETS"])
def test_either_name_of_the_sundials_archives(tmp_path: Path, variable: str) -> None:
    settings = environment()
    libraries = "stan/lib/stan_math/make"
    folder = copy_of(Path(settings["CMDSTAN"]), tmp_path / "cmdstan", libraries)
    for file in (Path(settings["CMDSTAN"]) / libraries).iterdir():
        text = file.read_text()
        (folder / libraries / file.name).write_text(text.replace("LIBSUNDIALS", variable))
    show = tmp_path / "show.mk"
    show.write_text("$(info $(link-executable))\n")
    command = ["make", "--dry-run", "-f", "Makefile", "-f", str(show), "precompile"]
    command += [f"CMDSTAN={folder}", f"BRIDGE_BUILD={tmp_path}", "EXECUTABLE=program"]
    said = subprocess.run(command, cwd=HOME, capture_output=True, text=True, check=True).stdout
    for solver in ("cvodes", "idas", "kinsol"):
        assert f"{folder}/stan/lib/stan_math/lib/sundials_5.7.0/lib/libsundials_{solver}.a" in said
