"""The newest Stan: it takes every program of the tree, and gives what Stan 2.27 does."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import bridgestan
import numpy as np
import pytest

import bridge_support
import exact
import joined_programs
import newest_stan
import test_general_program
from conftest import MODELS, closed_form, needs_tools, two_peaks, unit_cube
from joined_programs import MAIN, STAN, for_the_newest, forms, load, load_definition, oldest
from manymodes.density.posterior import Posterior
from manymodes.density.program import Program
from manymodes.networks.network import Network
from manymodes.types import FloatArray
from test_stan_programs import COMBINATIONS, RAGGED, X, posterior

pytestmark = needs_tools
if_not_before = pytest.mark.skipif(
    joined_programs.were_compared(),
    reason="the same programs were compared before: tests/joined_programs.py says how to repeat it",
)

RELATIVE = 1e-12
FORMS = forms()
INCLUDES = f"--include-paths={joined_programs.SEES}"
FORMER = {
    "ordered": "ordered_log_jacobian(hidden, w, w, 2.0)",
    "svd": "svd_log_jacobian(hidden, w, w)",
    "pd_skew": "room_log_jacobian(W, 2.0) + diagonal_log_jacobian(w) + correlation_log_jacobian(W)",
}


# ---------------------------------------------------------------- the compiler


def stanc(folder: Path, *arguments: Any) -> tuple[int, str]:
    """Return the status of a CmdStan's compiler and what it says."""
    command = [folder / "bin" / "stanc", "--o=/dev/null", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("name", FORMS)
def test_the_newest_compiler_has_nothing_to_say(name: str) -> None:
    """Nor, in pedantic mode, against our models; against others no more than 2.27 has."""
    path, kernel = FORMS[name]
    options = [f"--include-paths={joined_programs.SEES_KERNEL}", "--allow-undefined"]
    options = options if kernel else [INCLUDES]
    newest = newest_stan.cmdstan()
    assert stanc(newest, *options, path) == (0, "")
    pedantic = stanc(newest, "--warn-pedantic", *options, path)[1]
    if path.parent == STAN / "models":
        assert pedantic == ""
        return
    status, before = stanc(oldest(), "--warn-pedantic", *options, path)
    if status == 0:  # overloaded functions have to be renamed first: manymodes.density.overloads

        def named(text: str) -> set[str]:
            return set(re.findall(r"(?:The parameter|parameter\(s\):)\s+(\w+)", text))

        assert named(pedantic) <= named(before)


@pytest.mark.parametrize("file", FORMER)
def test_functions_keep_their_former_names(tmp_path: Path, file: str) -> None:
    """In a model block up to Stan 2.38; in transformed parameters for every Stan."""
    ours = ("network", "priors", file)
    functions = "\n".join(f"#include {name}.stanfunctions" for name in ours)
    head = (
        f"functions {{\n{functions}\n}}\ntransformed data {{ array[2] int hidden = {{1, 1}}; }}\n"
        "parameters { vector[2] w; matrix[2, 2] W; }\n"
    )
    path = tmp_path / "mine.stan"
    for cmdstan in (oldest(), newest_stan.cmdstan()):
        path.write_text(
            f"{head}transformed parameters {{ real j = {FORMER[file]}; }}\nmodel {{ }}\n"
        )
        assert stanc(cmdstan, INCLUDES, path) == (0, "")
    path.write_text(f"{head}model {{ target += {FORMER[file]}; }}\n")
    assert stanc(oldest(), INCLUDES, path) == (0, "")
    assert stanc(newest_stan.cmdstan(), INCLUDES, path)[0] != 0


@pytest.mark.parametrize(
    "line",
    [
        "Adaptation terminated",
        "Step size = ",
        "Diagonal elements of inverse mass matrix:",
        " seconds (Total)",
    ],
)
def test_the_newest_sampler_writes_the_lines_that_are_read(line: str) -> None:
    """`manymodes.sampling.chains.stan_csv` finds adaptation and times by them."""
    headers = (newest_stan.cmdstan() / "include" / "stan").rglob("*.hpp")
    assert any(f'{line}"' in path.read_text(encoding="utf-8") for path in headers)


# ---------------------------------------------------------------- the same density


def networks() -> list[Network]:
    """Return networks that reach each branch of each program: all that `posterior` has data for."""
    variable = [
        Network(
            2, (3,), 3 if kind == "categorical" else 1, activation, kind, prior, active="uniform"
        )
        for activation, kind, prior in product(
            ("sigmoid", "tanh", "relu"), ("bernoulli", "categorical", "normal"), ("normal:1", "ard")
        )
    ]
    return [*COMBINATIONS, *RAGGED, *variable]


def mixtures(y: FloatArray) -> Iterator[Posterior]:
    """Yield a posterior of each mixture of normals."""
    theta, scales = [0.5, 0.3, 0.2], {"mu_sd": 2.0, "log_sigma_sd": 0.5}
    for name, data in {
        "normals": {"K": 3, "theta": theta, **scales},
        "normals_ordered": {"K": 3, **scales},
        "locations": {"K": 3, "theta": theta, "mu_mean": [-1.0, 0.0, 2.0], "mu_sd": 2.0},
        "admixture": {"mu_least": 0.5},
    }.items():
        data = {"N": len(y), "y": y.tolist(), "prior_only": 0, "save_log_lik": 0, **data}
        yield Posterior(Program(STAN / "models" / f"mixture_{name}.stan"), data)


@cache
def by_program() -> dict[str, list[Posterior]]:
    """Return posteriors by the name of their program, but those with a simplex.

    The newest Stan has other coordinates for it than 2.27: the inverse of a transform that keeps
    lengths, in place of a broken stick.
    """
    y = np.random.default_rng(3).normal(size=len(X))
    cauchy = {"N": len(y), "y": y.tolist(), "prior_only": 0, "save_log_lik": 0}
    groups = {"J": len(y), "y": y.tolist(), "s": np.exp(y).tolist(), "tau_sd": 1}
    groups |= {"prior_only": 0, "save_log_lik": 0}
    others = [
        Posterior(Program(STAN / "models" / "cauchy_location.stan"), cauchy),
        *mixtures(y),
        *(
            Posterior(Program(STAN / "models" / "group_means.stan"), groups | {"centred": centred})
            for centred in (0, 1)
        ),
        Posterior(Program(STAN / "models" / "cauchy_two_locations.stan"), cauchy),
        Posterior(Program(MODELS / "plain.stan"), {}),
        closed_form("normal"),
        closed_form("bernoulli"),
        two_peaks(6.0, 0.3),
        *(unit_cube(kind) for kind in (1, 2, 3, 4)),
        *(exact.make(name).posterior for name in exact.NAMES if "simplex" not in name),
        *map(test_general_program.posterior, test_general_program.NETWORKS),
    ]
    found: dict[str, list[Posterior]] = {}
    for one in [*map(posterior, networks()), *others]:
        found.setdefault(one.program.name, []).append(one)
    return found


BRIDGE_DATA = {
    "blocks": {"block": 0, "action": 0},
    "sizes": {"K": 3, "shift": [1.0, 2.0, 3.0]},
}


def pairs(name: str) -> Iterator[tuple[bridgestan.StanModel, bridgestan.StanModel]]:
    """Yield the models of a form, of Stan 2.27 and of the newest, with data of each kind."""
    path, kernel = FORMS[name]
    if path.stem in BRIDGE_DATA:
        data = BRIDGE_DATA[path.stem]
        yield bridge_support.load(path.stem, data), load(name, data)
    for one in by_program().get(path.stem, []):
        whole = kernel or one.network is None
        yield (
            one.model if whole else load_definition(name, one.data_json),
            load(name, one.data_json),
        )


def compared() -> list[str]:
    """Return the forms that there are data for."""
    having = {*BRIDGE_DATA, *by_program()}
    return [name for name in for_the_newest() if FORMS[name][0].stem in having]


def assert_same(got: Any, expected: Any) -> None:
    scale = max(1.0, np.abs(expected).max(initial=0))
    np.testing.assert_allclose(got, expected, rtol=0, atol=RELATIVE * scale)


def test_all_models_are_compared() -> None:
    ours = {path for path, _ in FORMS.values() if path.parent == STAN / "models"}
    assert {FORMS[name][0] for name in compared()} >= ours


@if_not_before
@pytest.mark.parametrize("name", compared())
def test_density_gradient_and_draws_are_those_of_2_27(name: str) -> None:
    rng = np.random.default_rng(17)
    found = 0
    for old, new in pairs(name):
        assert new.param_unc_num() == old.param_unc_num()
        assert new.param_names(include_tp=True) == old.param_names(include_tp=True)
        for _ in range(20):
            eta = rng.normal(size=old.param_unc_num())
            options = {"propto": False, "jacobian": True}
            try:
                value, gradient = old.log_density_gradient(eta, **options)
            except RuntimeError:
                continue
            if np.isfinite(value):
                break
        got, slope = new.log_density_gradient(eta, **options)
        assert_same(got, value)
        assert_same(new.log_density(eta, **options), value)
        assert_same(slope, gradient)
        draws = [model.param_constrain(eta, include_tp=True) for model in (new, old)]
        assert_same(*draws)
        found += bool(np.isfinite(value))
    assert found


# ---------------------------------------------------------------- the bridge


@pytest.fixture(scope="module")
def bridges() -> tuple[bridgestan.StanModel, bridgestan.StanModel]:
    """Return `MAIN`, compiled as it is for users, of Stan 2.27 and of the newest."""
    rng = np.random.default_rng(5)
    data = {"N": 7, "X": rng.normal(size=(7, 2)), "y": rng.normal(size=7)}
    return bridge_support.load(MAIN.stem, data), load(MAIN.stem, bridge_json(data))


def bridge_json(data: Any) -> str:
    import stanio

    return str(stanio.dump_stan_json(data))


@if_not_before
def test_the_bridge_is_the_newest_stans(bridges: Any) -> None:
    old, new = bridges
    assert "Stan version: 2.27" in old.model_info()
    assert f"Stan version: {newest_stan.WHEEL.version}" in new.model_info()


@if_not_before
@pytest.mark.parametrize(("propto", "jacobian"), list(product([True, False], repeat=2)))
def test_derivatives_are_those_of_2_27(bridges: Any, propto: bool, jacobian: bool) -> None:
    old, new = bridges
    eta = np.random.default_rng(6).normal(size=old.param_unc_num())
    options = {"propto": propto, "jacobian": jacobian}
    assert_same(new.log_density(eta, **options), old.log_density(eta, **options))
    for got, expected in zip(
        new.log_density_gradient(eta, **options),
        old.log_density_gradient(eta, **options),
        strict=True,
    ):
        assert_same(got, expected)
    hessians = [model.log_density_hessian(eta, **options)[2] for model in (new, old)]
    np.testing.assert_allclose(*hessians, rtol=1e-8, atol=1e-8)  # differences of gradients


@if_not_before
def test_names_and_transforms_are_those_of_2_27(bridges: Any) -> None:
    old, new = bridges
    blocks = {"include_tp": True, "include_gq": True}
    assert new.param_names(**blocks) == old.param_names(**blocks)
    assert new.param_unc_names() == old.param_unc_names()
    eta = np.random.default_rng(7).normal(size=old.param_unc_num())
    values = old.param_constrain(eta)
    assert_same(new.param_constrain(eta), values)
    assert_same(new.param_unconstrain(values), eta)
    names = {"beta": values[:2], "sigma": values[2], "A": values[3:9].reshape(3, 2).T}
    names["pairs"] = values[9:].reshape(2, 2).T
    assert_same(new.param_unconstrain_json(names), old.param_unconstrain_json(names))
    drawn = new.param_constrain(eta, **blocks, rng=new.new_rng(3))
    assert np.isfinite(drawn).all()
    assert np.std(drawn[-7:]) > 0
