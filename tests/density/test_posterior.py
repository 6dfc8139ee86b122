"""One density for both engines: values, transforms, names, log likelihood."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from conftest import MODELS, Y_NORMAL, closed_form, needs_tools, small_network
from manymodes.density.posterior import Posterior
from manymodes.density.program import Program
from manymodes.density.variables import variables_of
from manymodes.errors import CompileError, DensityError, InputError, ToolchainError
from manymodes.sampling.chains.cmdstan_nuts import run_chain
from manymodes.sampling.chains.nuts_settings import NutsSettings
from manymodes.studies.xor import XorData
from manymodes.toolchain import Toolchain


@pytest.mark.parametrize("name", ["full", "constrained"])
def test_both_engines_see_one_density(xor: dict[str, Posterior], name: str, tmp_path: Path) -> None:
    """CmdStan's lp__ and BridgeStan's log density differ by one constant: the dropped terms."""
    chain = run_chain(xor[name], NutsSettings(warmup=200, draws=100), 7, tmp_path)
    ours = np.array([xor[name].log_density(eta) for eta in chain.eta])
    assert np.ptp(ours) > 1
    assert np.ptp(ours - chain.stats["lp"]) < 1e-8


def test_the_density_is_that_of_the_closed_form(normal: Posterior) -> None:
    for mu in (-1.3, 0.0, 2.4):
        expected = stats.norm.logpdf(mu, 0, 2) + stats.norm.logpdf(Y_NORMAL, mu, 1).sum()
        assert normal.log_density([mu]) == pytest.approx(expected, rel=1e-13)
        assert normal.prior.log_density([mu]) == pytest.approx(stats.norm.logpdf(mu, 0, 2))


@needs_tools
def test_the_jacobian_is_part_of_the_density() -> None:
    """On the logit scale a uniform probability is standard logistic."""
    prior = closed_form("bernoulli", prior_only=True)
    for eta in (-3.0, 0.2, 5.0):
        assert prior.log_density([eta]) == pytest.approx(stats.logistic.logpdf(eta), rel=1e-12)


@pytest.mark.parametrize("name", ["full", "constrained"])
def test_constrain_and_unconstrain_are_inverse(xor: dict[str, Posterior], name: str) -> None:
    eta = np.random.default_rng(1).normal(size=(3, 4, xor[name].dims))
    rows = xor[name].constrain_rows(eta)
    assert rows.shape[:2] == (3, 4)
    np.testing.assert_allclose(xor[name].unconstrain_rows(rows), eta, rtol=1e-8, atol=1e-9)


def test_constrained_weights_keep_the_constraint(xor: dict[str, Posterior]) -> None:
    W = xor["constrained"].constrain(np.random.default_rng(2).normal(size=(50, 9)))["W"]
    assert np.linalg.eigvalsh(W + W.swapaxes(1, 2)).min() > 0
    assert (W[:, 0, 1] > W[:, 1, 0]).all()
    assert np.abs(W).max() < 5


def test_a_row_outside_the_support_is_refused(xor: dict[str, Posterior]) -> None:
    row = xor["full"].constrain_rows(np.zeros(9))
    row[0] = 5.5
    with pytest.raises(DensityError):
        xor["full"].unconstrain_rows(row)


def test_variables_are_column_major() -> None:
    names = [f"A.{i}.{j}" for j in (1, 2, 3) for i in (1, 2)] + ["s", "v.1", "v.2"]
    matrix, scalar, vector = variables_of(names)
    assert (matrix.shape, scalar.shape, vector.shape) == ((2, 3), (), (2,))
    rows = np.arange(18.0).reshape(2, 9)
    np.testing.assert_array_equal(matrix.take(rows)[0], [[0, 2, 4], [1, 3, 5]])
    np.testing.assert_array_equal(scalar.take(rows), [6, 15])
    np.testing.assert_array_equal(vector.take(rows), [[7, 8], [16, 17]])


def test_three_indexes_are_column_major() -> None:
    names = [f"A.{i}.{j}.{k}" for k in (1, 2) for j in (1, 2, 3) for i in (1, 2)]
    (array,) = variables_of(names)
    values = array.take(np.arange(12.0))
    assert values.shape == (2, 3, 2)
    for column, name in enumerate(names):
        i, j, k = (int(index) - 1 for index in name.split(".")[1:])
        assert values[i, j, k] == column


def test_log_lik_and_predictions_are_the_networks(xor: dict[str, Posterior], data: XorData) -> None:
    posterior = xor["constrained"]
    assert posterior.network is not None
    eta = np.random.default_rng(3).normal(size=(5, 9))
    weights = posterior.constrain(eta)
    expected = posterior.network.log_lik(weights, data.X, data.y)
    np.testing.assert_allclose(posterior.log_lik(eta), expected, rtol=1e-10, atol=1e-12)
    predicted = posterior.predict(posterior.constrain_rows(eta), data.X)
    np.testing.assert_allclose(
        np.where(data.y == 1, np.log(predicted), np.log1p(-predicted)), expected, rtol=1e-8
    )
    assert "log_lik" not in weights


def test_log_lik_of_a_program_without_a_switch(normal: Posterior) -> None:
    expected = stats.norm.logpdf(Y_NORMAL, 0.7, 1)
    np.testing.assert_allclose(normal.log_lik([0.7]), expected, rtol=1e-12)
    assert normal.n_obs == 5


def test_a_posterior_survives_pickling(normal: Posterior) -> None:
    copy = pickle.loads(pickle.dumps(normal))
    assert (copy, copy.name) == (normal, normal.name)
    assert copy.log_density([0.3]) == normal.log_density([0.3])
    network = pickle.loads(pickle.dumps(small_network())).network
    assert network == small_network().network


@needs_tools
def test_density_outside_the_support_is_minus_infinity() -> None:
    assert closed_form(rejects=True).log_density([0.0]) == -np.inf
    with pytest.raises(DensityError, match="every point is rejected"):
        closed_form(rejects=True).gradient([0.0])


@needs_tools
@pytest.mark.parametrize("name", ["log_density", "gradient", "unconstrain_rows", "constrain"])
def test_a_program_that_does_not_compile_is_no_point_outside_the_support(
    name: str, tmp_path: Path
) -> None:
    (tmp_path / "bad.stan").write_text("parameters { real x; } model { x ~ norm(0, 1); }")
    posterior = Posterior(Program(tmp_path / "bad.stan"), {})
    with pytest.raises(CompileError, match="bad does not compile"):
        getattr(posterior, name)([0.0])


@needs_tools
@pytest.mark.parametrize("damage", ["gone", "no library"])
def test_a_library_that_is_gone_is_no_point_outside_the_support(
    damage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = tmp_path / "model.so"
    library.write_bytes(b"" if damage == "gone" else b"no machine code")
    library.unlink() if damage == "gone" else None
    monkeypatch.setattr(Program, "library", lambda _: library)
    posterior = Posterior(Program(MODELS / "plain.stan"), {})
    for use in (posterior.log_density, posterior.gradient):
        with pytest.raises(ToolchainError, match=r"model\.so cannot be loaded"):
            use([0.0, 0.0])


@pytest.mark.parametrize("name", ["log_density", "gradient"])
@pytest.mark.parametrize(
    ("eta", "said"),
    [
        ([0.1, 0.2], r"shape \(2,\) .*, \(1,\)"),
        ([[0.1]], r"shape \(1, 1\) .*, \(1,\)"),
        ([], r"shape \(0,\) .*, \(1,\)"),
        (0.1, r"shape \(\) .*, \(1,\)"),
        (["a"], "not an array of numbers"),
        (None, "eta: "),
    ],
)
def test_a_point_of_another_shape_is_refused(
    normal: Posterior, name: str, eta: Any, said: str
) -> None:
    with pytest.raises(InputError, match=said):
        getattr(normal, name)(eta)


# ---------------------------------------------------------------- wrong input


@needs_tools
@pytest.mark.parametrize(
    ("change", "said"),
    [({"N": 6}, "y"), ({"kind": 3}, "kind"), ({"prior": [1.0]}, "prior"), ({"y": None}, "y")],
)
def test_data_that_do_not_fit_are_refused(change: dict[str, object], said: str) -> None:
    right = closed_form()
    wrong = Posterior(right.program, {**right.data, **change}, "wrong")
    with pytest.raises(InputError, match=f"the data do not fit .*{said}") as caught:
        wrong.dims  # noqa: B018
    assert "\n" not in str(caught.value)


@needs_tools
def test_a_missing_datum_is_named() -> None:
    right = closed_form()
    data = {key: value for key, value in right.data.items() if key != "unlucky"}
    with pytest.raises(InputError, match="unlucky"):
        Posterior(right.program, data).dims  # noqa: B018


def test_a_program_without_the_switch_has_no_prior() -> None:
    plain = Posterior(Program(MODELS / "plain.stan"), {})
    with pytest.raises(InputError, match="no data item 'prior_only'"):
        plain.prior  # noqa: B018


@needs_tools
def test_a_program_without_log_lik_says_so() -> None:
    plain = Posterior(Program(MODELS / "plain.stan"), {})
    assert not plain.has_log_lik
    with pytest.raises(InputError, match="no 'log_lik'"):
        plain.log_lik([0.0, 0.0])
    with pytest.raises(InputError, match="has no network"):
        plain.predict(np.zeros((1, 2)), np.zeros((1, 2)))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "data.json: not a JSON data file"),
        ("[1]", "must be a JSON object"),
        (None, "no such data file"),
    ],
)
def test_data_files_are_checked(tmp_path: Path, text: str | None, said: str) -> None:
    path = tmp_path / "data.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError, match=said):
        Posterior.from_files(MODELS / "plain.stan", path)


def test_what_stan_says_of_data_names_the_files_of_the_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tools: Toolchain
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(MODELS / "closed_forms.stan", "my model.stan")
    data = {**closed_form().data, "y": [1.0], "names": ["a"]}
    (tmp_path / "my data.json").write_text(json.dumps(data))
    with pytest.raises(InputError) as caught:
        Posterior.from_files("my model.stan", "my data.json").dims  # noqa: B018
    said = str(caught.value)
    assert said.startswith("my data.json: the data do not fit the program my model: ")
    assert "name=y" in said
    assert "(in 'my model.stan', line " in said


def test_a_program_without_data_needs_none(tools: Toolchain) -> None:
    posterior = Posterior.from_files(MODELS / "plain.stan")
    assert posterior.data_json == "{}"
    assert posterior.dims == 2


def test_data_may_leave_a_program_without_parameters(tools: Toolchain) -> None:
    """As `vector[N] x` does where N is 0."""
    model = SimpleNamespace(param_unc_num=lambda: 0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bridgestan.StanModel", lambda *_, **__: model)
        with pytest.raises(InputError, match="with these data the program has no parameters"):
            Posterior(Program(MODELS / "plain.stan"), {}).dims  # noqa: B018


@needs_tools
def test_compiling_reports_what_does_not_compile(tmp_path: Path) -> None:
    (tmp_path / "bad.stan").write_text("parameters { real x }")
    with pytest.raises(CompileError, match="bad does not compile"):
        Posterior(Program(tmp_path / "bad.stan"), {}).compile()
