"""Complex numbers, tuples and arrays of tuples: names as the newest Stan gives them."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conftest import made_chains
from manymodes.density.labels import anesthetic_samples, stan_name, tex_label
from manymodes.density.normalisation import remarks
from manymodes.density.parameter_space import log_unit_vector_surplus, off_unit_cube
from manymodes.density.posterior import Posterior
from manymodes.density.program import Program
from manymodes.density.stan_tokens import functions_of, read_source
from manymodes.density.variables import as_json, left_out, parts_of, variables_of
from manymodes.errors import QuantitiesWarning
from manymodes.sampling.chains.cmdstan_nuts import initial_values

# In the order of Stan 2.39: parts of one element of an array of tuples stand together.
TUPLES = "t:1 t:2.1 t:2.2"
ARRAYS = "at.1:1 at.1:2.1 at.1:2.2 at.2:1 at.2:2.1 at.2:2.2"
COMPLEX = "z.real z.imag"
VECTOR = "cv.1.real cv.1.imag cv.2.real cv.2.imag"
NESTED = "n:1:1 n:1:2.real n:1:2.imag n:2.1 n:2.2"
GRID = "g.1.1:1 g.1.1:2 g.2.1:1 g.2.1:2 g.1.2:1 g.1.2:2 g.2.2:1 g.2.2:2"
MATRIX = "M.1.1 M.2.1 M.1.2 M.2.2 M.1.3 M.2.3"


def names(*groups: str) -> list[str]:
    return " ".join(groups).split()


# ---- Names --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("group", "absent"),
    [(TUPLES, "t"), (ARRAYS, "at"), (COMPLEX, "z"), (VECTOR, "cv"), (NESTED, "n"), (GRID, "g")],
)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_what_is_left_out_moves_nothing_else(group: str, absent: str, place: int) -> None:
    groups = ["mu", MATRIX]
    groups.insert(place, group)
    flat = names(*groups)
    assert left_out(flat) == (absent,)
    mu, matrix = variables_of(flat)
    row = np.arange(len(flat), dtype=float)
    assert mu.take(row) == flat.index("mu")
    for i in range(2):
        for j in range(3):
            assert matrix.take(row)[i, j] == flat.index(f"M.{i + 1}.{j + 1}")


def test_names_that_only_look_like_parts() -> None:
    flat = ["real_part", "imag", "re.1", "re.2"]
    assert left_out(flat) == ()
    assert [variable.name for variable in variables_of(flat)] == ["real_part", "imag", "re"]


def test_parts_find_their_columns() -> None:
    flat = names("mu", ARRAYS, NESTED, GRID, MATRIX)
    row = np.arange(len(flat), dtype=float)
    found = {part.name: part.take(row) for part in parts_of(flat)}
    assert found["at:2"].tolist() == [[2, 3], [5, 6]]
    assert found["at:1"].tolist() == [1, 4]
    assert found["n:1:2.imag"] == flat.index("n:1:2.imag")
    assert found["g:2"][1, 0] == flat.index("g.2.1:2")
    np.testing.assert_array_equal(found["M"], variables_of(flat)[-1].take(row))
    rows = np.stack([row, row + 100])
    assert parts_of(flat)[2].take(rows).shape == (2, 2, 2)


def test_values_as_stans_json() -> None:
    flat = names("mu", TUPLES, ARRAYS, VECTOR, NESTED, MATRIX, "one.1")
    values = as_json(flat, np.arange(len(flat), dtype=float))
    assert json.loads(json.dumps(values)) == {
        "mu": 0,
        "t": {"1": 1, "2": [2, 3]},
        "at": [{"1": 4, "2": [5, 6]}, {"1": 7, "2": [8, 9]}],
        "cv": [[10, 11], [12, 13]],
        "n": {"1": {"1": 14, "2": [15, 16]}, "2": [17, 18]},
        "M": [[19, 21, 23], [20, 22, 24]],
        "one": [25],
    }


def test_many_elements_keep_their_order() -> None:
    flat = [f"x.{i}" for i in range(1, 13)]
    assert as_json(flat, np.arange(12.0))["x"] == list(range(12))


def test_labels_of_parts_can_be_drawn() -> None:
    from matplotlib.mathtext import MathTextParser

    flat = names(TUPLES, ARRAYS, COMPLEX, VECTOR, NESTED, GRID)
    assert len({stan_name(name) for name in flat}) == len(flat)
    parser = MathTextParser("path")
    for name in flat:
        parser.parse(f"${tex_label(name)}$")


# ---- A posterior with such quantities -----------------------------------------------------------


class Model:
    """A model whose constrained values are its coordinates, and a complex number of them."""

    parameters = names("mu", TUPLES, ARRAYS)
    derived = names(COMPLEX, "twice.1", "twice.2")

    def param_names(self, include_tp: bool = False, include_gq: bool = False) -> list[str]:
        return self.parameters + self.derived * include_tp + ["w.real", "w.imag"] * include_gq

    def param_num(self, **include: bool) -> int:
        return len(self.param_names(**include))

    def param_unc_names(self) -> list[str]:
        return self.parameters

    def param_unc_num(self) -> int:
        return len(self.parameters)

    def param_constrain(self, eta: Any, include_tp: bool = False, out: Any = None, **_: Any) -> Any:
        values = [*eta, eta[0], 1, 2 * eta[0], 3 * eta[0]] if include_tp else eta
        row = np.empty(len(values)) if out is None else out
        row[:] = values
        return row

    def param_unconstrain(self, theta: Any, out: Any) -> None:
        out[:] = theta


@pytest.fixture
def posterior(tmp_path: Path) -> Posterior:
    program = tmp_path / "odd.stan"
    program.write_text("parameters { real mu; }\nmodel { mu ~ normal(0, 1); }\n")
    made = Posterior(Program(program), {})
    made.__dict__["model"] = Model()
    return made


def test_they_are_named_in_one_line_and_stop_nothing(posterior: Posterior) -> None:
    eta = np.arange(10.0)
    with pytest.warns(QuantitiesWarning) as said:
        named = posterior.constrain(eta)
    assert len(said) == 1
    assert str(said[0].message).startswith("odd: t, at, z left out of tables and figures, ")
    assert "\n" not in str(said[0].message)
    assert list(named) == ["mu", "twice"]
    assert named["twice"].tolist() == [0, 0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # once is enough
        posterior.constrain(eta + 1)
    np.testing.assert_array_equal(posterior.unconstrain_rows(posterior.constrain_rows(eta)), eta)


@pytest.mark.filterwarnings("ignore::manymodes.errors.QuantitiesWarning")
def test_draws_in_the_tools_of_others(posterior: Posterior) -> None:
    eta = np.random.default_rng(1).normal(size=(2, 5, 10))
    chains = made_chains(posterior, eta, rows=posterior.constrain_rows(eta))
    tree = chains.to_datatree(log_likelihood=False)
    assert set(tree["posterior"].data_vars) == {"mu", "twice"}
    np.testing.assert_array_equal(tree["posterior"]["mu"], eta[..., 0])
    rows = chains.rows.reshape(10, -1)
    flat = posterior.model.param_names(include_tp=True)
    samples = anesthetic_samples(rows, flat, np.arange(10.0), np.arange(10.0) - 1, "odd")
    assert len(set(samples.columns.get_level_values(0)) & {stan_name(name) for name in flat}) == 14


def test_starts_have_every_parameter(posterior: Posterior) -> None:
    values = json.loads(initial_values(posterior, np.arange(10.0)))
    assert values == {
        "mu": 0,
        "t": {"1": 1, "2": [2, 3]},
        "at": [{"1": 4, "2": [5, 6]}, {"1": 7, "2": [8, 9]}],
    }


def test_parts_count_for_the_parameter_space(posterior: Posterior) -> None:
    assert set(off_unit_cube(posterior)) == {"mu", "t:1", "t:2", "at:1", "at:2"}

    def constrain(eta: Any, **_: Any) -> np.ndarray:
        """Unit vectors of 2 elements, which add nothing, in ``t``; of 2 each in ``at``."""
        values = np.array(eta, dtype=float)
        for columns in ([2, 3], [5, 6], [8, 9]):
            values[columns] /= np.linalg.norm(values[columns])
        return values

    posterior.model.param_constrain = constrain
    assert log_unit_vector_surplus(posterior) == pytest.approx(0)
    posterior.model.parameters = names("mu", "t:1.1 t:1.2 t:1.3 t:2")

    def sphere(eta: Any, **_: Any) -> np.ndarray:
        values = np.array(eta, dtype=float)
        values[1:4] /= np.linalg.norm(values[1:4])
        return values

    posterior.model.param_constrain = sphere
    expected = 0.5 * np.log(2) + np.log(np.sqrt(np.pi) / 2)  # Gamma(3/2)
    assert log_unit_vector_surplus(posterior) == pytest.approx(expected)


# ---- A program's text ---------------------------------------------------------------------------

PROGRAM = """\
functions {
  tuple(real, vector) both(tuple(array[] int, complex) a, complex_matrix m,
                           array[,] tuple(real, array[] vector) q) {
    return (1.0, [a.1[1]]');
  }
  complex one() { return 1 + 2.5i; }
}
data {
  tuple(int<lower=1>, real) d;
  array[d.1] tuple(real, tuple(int, real)) dd;
}
parameters {
  array[2, d.1] tuple(real<lower=0, upper=d.2>, vector<lower=0>[3], simplex[2]) t;
  complex_row_vector[d.1] r;
  array[2] complex z;
  tuple(real, real) a, b;
  real x;
}
model {
  (real u, tuple(real, real) v) = (x, (1, 2));
  real k = t[1, 1].2[3] + a.1 + v.2;
  get_real(z) ~ normal(0, 1);
  get_imag(z) ~ normal(0, 1);
  x ~ normal(0, 1);
}
"""


def test_declarations_of_later_types_are_read(tmp_path: Path) -> None:
    source = read_source({"odd.stan": PROGRAM})
    declared = [(p.name, p.base, p.array, p.sizes) for p in source.parameters]
    assert declared == [
        ("t", "tuple", ("2", "d.1"), ()),
        ("r", "complex_row_vector", (), ("d.1",)),
        ("z", "complex", ("2",), ()),
        ("a", "tuple", (), ()),
        ("b", "tuple", (), ()),
        ("x", "real", (), ()),
    ]
    assert [name.text for name, _ in functions_of(source)] == ["both", "one"]
    file = tmp_path / "odd.stan"
    file.write_text(PROGRAM)
    assert [(r.parameter, r.line) for r in remarks(Program(file))] == [("r", 14)]
