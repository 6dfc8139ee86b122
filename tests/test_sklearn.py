"""The scikit-learn face: scikit-learn's own checks, predictions from draws, units, and errors."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.special import expit, logsumexp
from sklearn.base import clone
from sklearn.exceptions import DataConversionWarning, NotFittedError
from sklearn.linear_model import BayesianRidge
from sklearn.model_selection import GridSearchCV
from sklearn.utils.estimator_checks import parametrize_with_checks

from conftest import needs_tools
from manymodes import Posterior, sklearn
from manymodes.errors import InputError, SamplingError
from manymodes.modes.stacked_chains import stack_chains
from manymodes.results.run_directory import open_posterior
from manymodes.sampling.chains.chains import load_chains
from manymodes.sklearn import BayesianMLPClassifier, BayesianMLPRegressor
from manymodes.toolchain import Toolchain
from seeds import seeded

pytestmark = needs_tools

SMALL: dict[str, Any] = {
    "hidden": (3,),
    "activation": "tanh",
    "chains": 2,
    "warmup": 80,
    "draws": 60,
    "max_treedepth": 5,
    "random_state": 0,
}


@parametrize_with_checks([BayesianMLPClassifier(**SMALL), BayesianMLPRegressor(**SMALL)])
def test_scikit_learns_own_checks(estimator: Any, check: Any) -> None:
    check(estimator)


# ---------------------------------------------------------------- fitted once


@pytest.fixture(scope="module")
def points() -> tuple[np.ndarray, np.ndarray]:
    """Inputs on very different scales, and a noisy target in units of thousands."""
    rng = np.random.default_rng(3)
    X = rng.normal(size=(40, 2)) * [1, 100] + [0, 5000]
    noise = rng.normal(scale=300, size=40)
    return X, 1e4 + 1000 * np.tanh(2 * X[:, 0]) + 5 * (X[:, 1] - 5000) + noise


@pytest.fixture(scope="module")
def regressor(tools: Toolchain, points: Any) -> BayesianMLPRegressor:
    return BayesianMLPRegressor(**{**SMALL, "chains": 3}).fit(*points)


@pytest.fixture(scope="module")
def binary(tools: Toolchain, points: Any) -> BayesianMLPClassifier:
    X, y = points
    return BayesianMLPClassifier(**SMALL).fit(X, np.where(y > 1e4, "yes", "no"))


@pytest.fixture(scope="module")
def three(tools: Toolchain, points: Any) -> BayesianMLPClassifier:
    X, y = points
    labels = np.array(["low", "middle", "top"])[np.digitize(y, [9500, 10500])]
    return BayesianMLPClassifier(**SMALL, stacking=False).fit(X, labels)


def outputs(model: Any, X: np.ndarray) -> np.ndarray:
    """Return the outputs (chains, draws, rows, outputs) of one tanh layer and a linear part."""
    w = model.draws_
    inputs = (X - X.mean(axis=0)) / X.std(axis=0) / np.sqrt(X.shape[1])
    units = np.tanh(np.einsum("cshm,nm->csnh", w["W"], inputs) + w["b"][:, :, None, :])
    linear = np.einsum("nm,cskm->csnk", inputs, w["S"]) + w["c"][:, :, None, :]
    return np.einsum("csnh,cskh->csnk", units, w["V"]) + linear


def test_regression_is_the_mixture_over_draws(regressor: Any, points: Any) -> None:
    """Mean, standard deviation and density of the mixture of normals, in the target's units."""
    X, y = points
    scale = y.std() / np.sqrt(3)  # a network of three units
    mean = y.mean() + scale * outputs(regressor, X)[..., 0]
    sigma = scale * regressor.draws_["sigma"]
    shape = regressor.chains_.n_chains, regressor.chains_.n_draws
    weights = np.broadcast_to(regressor.weights_[:, None, None] / shape[1], (*shape, 1))
    found, sd = regressor.predict(X, return_std=True)
    np.testing.assert_allclose(found, (weights * mean).sum(axis=(0, 1)), rtol=1e-10)
    np.testing.assert_array_equal(regressor.predict(X), found)
    second = (weights * (mean**2 + sigma**2)).sum(axis=(0, 1))
    np.testing.assert_allclose(sd, np.sqrt(second - found**2), rtol=1e-8)
    density = logsumexp(stats.norm.logpdf(y, mean, sigma), b=weights, axis=(0, 1))
    np.testing.assert_allclose(regressor.log_predictive_density(X, y), density, rtol=1e-10)


def test_regression_densities_integrate_to_one(regressor: Any, points: Any) -> None:
    X, _ = points
    grid = np.linspace(0, 2e4, 4001)
    density = np.exp(regressor.log_predictive_density(np.repeat(X[:1], len(grid), axis=0), grid))
    assert np.trapezoid(density, grid) == pytest.approx(1, abs=1e-3)


def test_regression_learns(regressor: Any, points: Any) -> None:
    """Better than a line, and the noise of 300 within 4 standard errors, 300 / sqrt(2 x 40)."""
    X, y = points
    mean, sd = BayesianRidge().fit(X, y).predict(X, return_std=True)
    line = stats.norm.logpdf(y, mean, sd).mean()
    assert regressor.log_predictive_density(X, y).mean() > line + 0.1
    assert regressor.score(X, y) > 0.9
    sigma = regressor.draws_["sigma"].mean() * regressor.target_scale_
    assert abs(sigma - 300) < 4 * 300 / np.sqrt(80)


def test_other_units_change_nothing_but_the_units(regressor: Any, points: Any) -> None:
    """The network sees the same numbers up to rounding, which chains do not forget for ever."""
    X, y = points
    other = clone(regressor).fit(X * [1e3, 1e-2], y / 1e3)
    np.testing.assert_allclose(other.posterior_.data["X"], regressor.posterior_.data["X"])
    np.testing.assert_allclose(other.posterior_.data["y_real"], regressor.posterior_.data["y_real"])
    eta = regressor.chains_.eta[0, :3]
    for point in eta:
        assert other.posterior_.log_density(point) == pytest.approx(
            regressor.posterior_.log_density(point), rel=1e-9
        )
    assert other.predict(X * [1e3, 1e-2]).mean() == pytest.approx(y.mean() / 1e3, rel=0.05)


def test_binary_classification_is_the_mixture_over_draws(binary: Any, points: Any) -> None:
    X, y = points
    p = np.einsum("c,csn->n", binary.weights_, expit(outputs(binary, X)[..., 0]))
    p /= binary.chains_.n_draws
    np.testing.assert_allclose(binary.predict_proba(X), np.column_stack([1 - p, p]), rtol=1e-9)
    np.testing.assert_allclose(binary.predict_log_proba(X), np.log(binary.predict_proba(X)))
    assert binary.classes_.tolist() == ["no", "yes"]
    labels = np.where(y > 1e4, "yes", "no")
    np.testing.assert_array_equal(binary.predict(X), np.where(p > 0.5, "yes", "no"))
    assert binary.score(X, labels) > 0.8
    expected = np.log(np.where(labels == "yes", p, 1 - p))
    np.testing.assert_allclose(binary.log_predictive_density(X, labels), expected, rtol=1e-9)


def test_more_classes_are_a_categorical_mixture(three: Any, points: Any) -> None:
    X, _ = points
    eta = outputs(three, X)
    p = np.exp(eta - logsumexp(eta, axis=-1, keepdims=True)).mean(axis=(0, 1))
    assert three.weights_.tolist() == [0.5, 0.5]
    np.testing.assert_allclose(three.predict_proba(X), p, rtol=1e-9)
    np.testing.assert_allclose(three.predict_log_proba(X), np.log(p), rtol=1e-9)
    labels = three.classes_[[2, 0, 1]]
    expected = np.log(p[np.arange(3), [2, 0, 1]])
    np.testing.assert_allclose(three.log_predictive_density(X[:3], labels), expected, rtol=1e-9)
    assert three.network_.likelihood == "categorical"


def test_log_probabilities_do_not_underflow(binary: Any) -> None:
    """Far from the data a draw may be certain; its logarithm is still a finite number."""
    sure = clone(binary)
    sure.__dict__.update(binary.__dict__)
    sure.draws_ = {name: values * 0 for name, values in binary.draws_.items()}
    sure.draws_["c"] += 900
    log_p = sure.predict_log_proba(np.zeros((1, 2)))
    np.testing.assert_allclose(log_p, [[-900, 0]], atol=1e-9)


def test_rows_in_blocks_are_the_rows(monkeypatch: Any, regressor: Any, points: Any) -> None:
    X, y = points
    whole = regressor.predict(X, return_std=True), regressor.log_predictive_density(X, y)
    monkeypatch.setattr(sklearn, "_BLOCK", 3 * regressor.weights_.size * SMALL["draws"])
    parts = regressor.predict(X, return_std=True), regressor.log_predictive_density(X, y)
    np.testing.assert_allclose(parts[0], whole[0], rtol=1e-12)
    np.testing.assert_allclose(parts[1], whole[1], rtol=1e-12)


# ---------------------------------------------------------------- the posterior behind it


def test_the_posterior_is_reachable(regressor: Any) -> None:
    chains = regressor.chains_
    assert (chains.n_chains, chains.n_draws) == (3, SMALL["draws"])
    assert isinstance(regressor.posterior_, Posterior)
    assert regressor.posterior_.network == regressor.network_
    np.testing.assert_array_equal(regressor.draws_["W"], chains.variables()["W"])
    np.testing.assert_allclose(regressor.weights_, stack_chains(chains).stacking.weights)
    assert chains.to_datatree()["posterior"]["W"].shape == (3, SMALL["draws"], 3, 2)


def test_parameters_reach_network_and_sampler(points: Any) -> None:
    X, y = points
    model = BayesianMLPRegressor(
        hidden=[2, 3],
        activation="sigmoid",
        prior="normal:2",
        chains=1,
        warmup=20,
        draws=30,
        max_treedepth=2,
        standardise=False,
        random_state=np.random.RandomState(1),
    ).fit(X / 5000, y / 1e4)
    network = model.network_
    assert network.hidden == (2, 3)
    assert (network.activation, network.prior) == ("sigmoid", "normal:2")
    np.testing.assert_array_equal(model.posterior_.data["X"], X / 5000)
    assert model.chains_.eta.shape == (1, 30, network.parameter_count)
    assert model.chains_.stats["tree_depth"].max() <= 2


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({"hidden": 3}, ("cmdstan", "radius:2", 7)),
        ({"hidden": (3, 3)}, ("mams", "climb", 9)),
        ({"hidden": 3, "sampler": "mams"}, ("mams", "climb", 9)),
        ({"hidden": (3, 3), "sampler": "cmdstan"}, ("cmdstan", "radius:2", 7)),
        ({"hidden": (3, 3), "init": "prior", "max_treedepth": 4}, ("mams", "prior", 4)),
    ],
)
def test_the_depth_of_a_network_chooses_the_sampler(given: Any, wanted: Any) -> None:
    assert BayesianMLPRegressor(**given)._ways() == wanted


@needs_tools
def test_a_deep_regressor_is_sampled_by_mams(points: Any) -> None:
    X, y = points
    model = BayesianMLPRegressor((4, 4), chains=2, warmup=100, draws=50, random_state=seeded(1))
    model.fit(X, y)
    assert model.chains_.started_from == "climb"
    assert "energy" not in model.chains_.stats  # NUTS has one
    assert model.score(X, y) > 0.5


def test_the_same_random_state_gives_the_same_predictions(regressor: Any, points: Any) -> None:
    """However many chains run at once."""
    X, y = points
    again = clone(regressor).set_params(n_jobs=2).fit(X, y)
    np.testing.assert_array_equal(again.chains_.eta, regressor.chains_.eta)
    np.testing.assert_array_equal(again.predict(X), regressor.predict(X))
    other = clone(regressor).set_params(random_state=1).fit(X, y)
    assert (other.chains_.eta != regressor.chains_.eta).any()


def test_a_pickle_predicts_without_the_compiled_library(
    binary: Any, points: Any, tmp_path: Path
) -> None:
    """In another process, where neither CmdStan nor BridgeStan can be found."""
    X, _ = points
    (tmp_path / "model.pickle").write_bytes(pickle.dumps(binary))
    np.save(tmp_path / "X.npy", X)
    script = (
        "import os, pickle, sys; import numpy as np\n"
        "os.environ['MANYMODES_HOME'] = 'nowhere'\n"
        "model = pickle.load(open('model.pickle', 'rb'))\n"
        "np.save('p.npy', model.predict_proba(np.load('X.npy')))\n"
        "assert 'model' not in vars(model.posterior_)\n"
    )
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True)
    np.testing.assert_array_equal(np.load(tmp_path / "p.npy"), binary.predict_proba(X))
    loaded = pickle.loads((tmp_path / "model.pickle").read_bytes())
    eta = binary.chains_.eta[0, 0]
    assert loaded.posterior_.log_density(eta) == binary.posterior_.log_density(eta)


def test_out_keeps_the_run_and_a_second_fit_samples_nothing(
    points: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    X, y = points
    model = BayesianMLPRegressor(**SMALL, out=tmp_path / "run").fit(X, y)
    posterior = open_posterior(tmp_path / "run" / "posterior")
    kept = load_chains(posterior, tmp_path / "run")
    assert kept is not None
    np.testing.assert_array_equal(kept.eta, model.chains_.eta)
    assert (tmp_path / "run" / "chains.nc").stat().st_size > 0
    monkeypatch.setattr("manymodes.sampling.chains.missing_chains.sample_chain", None)
    np.testing.assert_array_equal(clone(model).fit(X, y).predict(X), model.predict(X))
    with pytest.raises(InputError, match=r"other settings .*choose another --?out"):
        clone(model).fit(X, y + X[:, 0])


def test_a_search_over_parameters_runs(points: Any) -> None:
    X, y = points
    search = GridSearchCV(
        BayesianMLPRegressor(**{**SMALL, "warmup": 30, "draws": 20}),
        {"hidden": [(1,), (2,)]},
        scoring=lambda model, X, y: model.log_predictive_density(X, y).mean(),
        cv=2,
    )
    assert search.fit(X, y).best_params_["hidden"] in [(1,), (2,)]


# ---------------------------------------------------------------- the default prior


@pytest.mark.parametrize("made", [BayesianMLPClassifier, BayesianMLPRegressor])
@pytest.mark.parametrize(
    ("how", "skip", "grouped"),
    [
        ({}, True, True),
        ({"skip": False}, False, True),
        ({"constraint": "ordered"}, True, True),
        ({"constraint": "svd"}, False, False),
        ({"prior": "normal:2"}, False, False),
        ({"prior": "ard"}, False, False),
        ({"prior": "normal:2", "skip": True}, True, False),
    ],
)
def test_the_default_prior_goes_with_what_was_chosen(
    points: Any, made: Any, how: dict[str, Any], skip: bool, grouped: bool
) -> None:
    X, y = points
    target = y > 1e4 if made is BayesianMLPClassifier else y
    model = made(**{**SMALL, "chains": 1, "warmup": 20, "draws": 10, **how}).fit(X, target)
    assert model.network_.skip is skip
    assert ("S" in model.draws_) is skip
    assert ("ho=" in model.network_.prior) is grouped
    assert ("io=" in model.network_.prior) is (skip and grouped)
    if "prior" in how:
        assert model.network_.prior == how["prior"]


@pytest.mark.parametrize("seed", range(3))
def test_the_default_is_a_line_where_data_are_one(tools: Toolchain, seed: int) -> None:
    """The true density is the ceiling; a linear model of 6 coefficients pays 0.035 nats a row.

    It is (p + 1) / (2 n) for p coefficients and the noise, of 100 rows. Hidden units may cost as
    much again, and a data set scatters by about as much.
    """
    rng = np.random.default_rng(seeded(40 + seed))
    X = rng.normal(size=(1100, 5))
    mean = X @ [1.0, -0.5, 0.5, 0.0, 0.0]
    y = mean + 0.7 * rng.normal(size=1100)
    model = BayesianMLPRegressor(chains=2, warmup=150, draws=150, random_state=seed)
    model.fit(X[:100], y[:100])
    ours = model.log_predictive_density(X[100:], y[100:]).mean()
    assert ours > stats.norm.logpdf(y[100:], mean[100:], 0.7).mean() - 0.14


# ---------------------------------------------------------------- unusual data


def test_names_of_columns_are_kept_and_checked(points: Any) -> None:
    X, y = points
    frame = pd.DataFrame(X, columns=["dose", "mass"])
    model = BayesianMLPRegressor(**{**SMALL, "warmup": 20, "draws": 20}).fit(frame, y)
    assert model.feature_names_in_.tolist() == ["dose", "mass"]
    with pytest.raises(ValueError, match="feature names"):
        model.predict(frame[["mass", "dose"]])
    with (
        pytest.warns(UserWarning, match="feature names"),  # an array has none
        pytest.raises(ValueError, match="3 features"),
    ):
        model.log_predictive_density(np.zeros((1, 3)), [0.0])


def test_a_column_with_a_value_far_off_is_scaled_down(points: Any) -> None:
    """No input of the training part lies farther than 4 / sqrt(M) from 0; other columns stay."""
    X, y = points
    rare = np.zeros(len(X))
    rare[7] = 3.0
    model = BayesianMLPRegressor(**{**SMALL, "warmup": 20, "draws": 20})
    inputs = np.array(model.fit(np.column_stack([X, rare]), y).posterior_.data["X"])
    assert np.abs(inputs[:, 2]).max() == pytest.approx(4 / np.sqrt(3))
    assert inputs[:, 2].mean() == pytest.approx(0, abs=1e-12)
    np.testing.assert_allclose(inputs[:, :2].std(axis=0), 1 / np.sqrt(3))


def test_a_constant_column_keeps_its_scale(points: Any) -> None:
    X, y = points
    with_constant = np.column_stack([X, np.full(len(X), 7.1)])
    model = BayesianMLPRegressor(**{**SMALL, "warmup": 20, "draws": 20}).fit(with_constant, y)
    assert np.abs(np.array(model.posterior_.data["X"])[:, 2]).max() < 1e-12
    assert np.isfinite(model.predict(np.add(with_constant, [0, 0, 1]))).all()


# ---------------------------------------------------------------- likelihoods


def fitted(X: Any, y: Any, **how: Any) -> Any:
    return BayesianMLPRegressor(**{**SMALL, **how}).fit(X, y)


def components(model: Any, X: Any) -> tuple[Any, Any, Any]:
    """Return the weight of each draw, the means, (S, N, T), and the noise or None, in y's units."""
    network, draws = model.network_, model.draws_
    flat = {name: v.reshape(-1, *v.shape[2:]) for name, v in draws.items()}
    count = model.chains_.n_chains * model.chains_.n_draws
    weights = np.repeat(model.weights_ / model.chains_.n_draws, model.chains_.n_draws)
    inputs = model.scaler_.transform(X) / np.sqrt(X.shape[1])
    means = network.predict(flat, inputs).reshape(count, len(X), -1)
    if network.likelihood_parts.is_count:
        return weights, means * model.target_scale_, network.noise_of(flat)
    noise = network.noise(flat, inputs).reshape(means.shape)
    return (
        weights,
        model.target_mean_ + model.target_scale_ * means,
        model.target_scale_ * noise,
    )


@pytest.mark.parametrize(
    ("how", "targets"),
    [
        ({"likelihood": "heteroscedastic", "skip": True}, 1),
        ({"likelihood": "student:4"}, 2),
        ({"likelihood": "student:2"}, 1),
        ({"likelihood": "normal", "sigma": 200.0, "prior": "scaled"}, 1),
        ({"likelihood": "heteroscedastic"}, 2),
    ],
)
def test_regression_under_other_noise(points: Any, how: Any, targets: int) -> None:
    X, y = points
    Y = y if targets == 1 else np.column_stack([y, np.sin(X[:, 0])])
    model = fitted(X, Y, **how)
    w, means, noise = components(model, X)
    mean, sd = model.predict(X, return_std=True)
    assert mean.shape == sd.shape == Y.shape
    expected = np.tensordot(w, means, 1)
    np.testing.assert_allclose(mean.reshape(expected.shape), expected, rtol=1e-9)
    np.testing.assert_allclose(model.predict(X), mean)
    nu = float(how["likelihood"].partition(":")[2] or np.inf)
    factor = np.inf if nu <= 2 else 1.0 if np.isinf(nu) else nu / (nu - 2)
    variance = np.tensordot(w, (means - expected) ** 2 + factor * noise**2, 1)
    np.testing.assert_allclose(sd.reshape(expected.shape), np.sqrt(variance), rtol=1e-7)
    if "sigma" in how:
        np.testing.assert_allclose(noise, 200.0)
    one = stats.norm(means, noise) if np.isinf(nu) else stats.t(nu, means, noise)
    log_density = one.logpdf(Y.reshape(len(Y), -1)).sum(axis=-1)
    expected_density = logsumexp(log_density, axis=0, b=w[:, None])
    np.testing.assert_allclose(model.log_predictive_density(X, Y), expected_density, rtol=1e-8)
    assert np.isfinite(model.score(X, Y))


@pytest.mark.parametrize("standardise", [True, False])
@pytest.mark.parametrize("likelihood", ["poisson", "negative-binomial"])
def test_regression_of_counts(points: Any, likelihood: str, standardise: bool) -> None:
    X = (points[0] - points[0].mean(axis=0)) / points[0].std(axis=0)
    y = np.random.default_rng(5).poisson(300 * np.exp(0.3 * np.tanh(X[:, 0])))
    how = {"likelihood": likelihood, "standardise": standardise}
    model = fitted(X, y, **how) if standardise else fitted(X, y // 100, **how)
    y = y if standardise else y // 100
    assert model.target_scale_ == (pytest.approx(y.mean()) if standardise else 1.0)
    if not standardise:
        return
    w, means, sigma = components(model, X)
    means = means[..., 0]
    mean, sd = model.predict(X, return_std=True)
    expected = w @ means
    np.testing.assert_allclose(mean, expected, rtol=1e-9)
    own = means if sigma is None else means + (sigma.reshape(-1, 1) * means) ** 2
    np.testing.assert_allclose(sd, np.sqrt(w @ ((means - expected) ** 2 + own)), rtol=1e-7)
    phi = None if sigma is None else sigma.reshape(-1, 1) ** -2.0
    one = stats.poisson(means) if phi is None else stats.nbinom(phi, phi / (phi + means))
    log_density = logsumexp(one.logpmf(y), axis=0, b=w[:, None])
    np.testing.assert_allclose(model.log_predictive_density(X, y), log_density, rtol=1e-6)
    assert abs(mean.mean() / y.mean() - 1) < 0.2


def test_likelihoods_that_do_not_fit_are_refused(points: Any) -> None:
    X, y = points
    for how, target, said in (
        ({"likelihood": "binomial"}, y, "'binomial' is not for this regressor"),
        ({"likelihood": "gamma"}, y, "likelihood: 'gamma' is unknown"),
        ({"likelihood": "poisson"}, y, "a poisson target must be a count"),
        ({"likelihood": "poisson", "sigma": 1.0}, np.arange(40), "has no noise of its own"),
        ({"sigma": -1.0}, y, "sigma: -1.0 is not a positive"),
        ({"sigma": 1.0}, np.column_stack([y, y**2]), "standardised by different"),
    ):
        with pytest.raises(InputError, match=said):
            fitted(X, target, **how)


def test_a_classifier_takes_skip_and_priors_by_group(points: Any) -> None:
    X, y = points
    prior = "ih=normal:1*half-cauchy bh=normal:1 ho=normal:1 bo=normal:2 io=normal:1"
    model = BayesianMLPClassifier(**SMALL, skip=True, prior=prior).fit(X, y > np.median(y))
    assert model.network_.skip
    assert model.draws_["S"].shape[2:] == (1, 2)
    assert model.score(X, y > np.median(y)) > 0.6


def test_a_regressor_takes_fbms_priors(points: Any) -> None:
    """The prior of the noise is that of the text, in the units that the network sees."""
    X, y = points
    model = fitted(X, y, prior="fbm")
    assert model.network_.sigma_scale == 1.0
    assert np.isfinite(model.predict(X)).all()


@pytest.mark.parametrize("value", [0.0, 5.0, -1e6])
def test_a_constant_target_is_fitted_with_a_warning(points: Any, value: float) -> None:
    X, _ = points
    with pytest.warns(UserWarning, match=r"y is constant .* noise of standard deviation 0.01"):
        model = BayesianMLPRegressor(**SMALL).fit(X, np.full(len(X), value))
    mean, sd = model.predict(X, return_std=True)
    np.testing.assert_allclose(mean, value, atol=0.1)
    assert (sd < 0.2).all()


def test_a_target_in_a_column_is_taken_with_a_warning(points: Any, regressor: Any) -> None:
    X, y = points
    with pytest.warns(DataConversionWarning, match="column-vector"):
        model = clone(regressor).fit(X, y[:, None])
    np.testing.assert_array_equal(model.predict(X), regressor.predict(X))


# ---------------------------------------------------------------- errors


def test_one_class_is_refused_in_one_line(points: Any) -> None:
    X, _ = points
    with pytest.raises(InputError, match="y: has only one class") as caught:
        BayesianMLPClassifier(**SMALL).fit(X, ["sick"] * len(X))
    assert "sick" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_numbers_that_are_not_finite_are_refused(points: Any, regressor: Any, bad: float) -> None:
    X, y = points
    broken = np.where(np.arange(len(X))[:, None] == 3, bad, X)
    with pytest.raises(ValueError, match=r"contains (NaN|infinity)"):
        BayesianMLPRegressor(**SMALL).fit(broken, y)
    with pytest.raises(ValueError, match=r"contains (NaN|infinity)"):
        BayesianMLPRegressor(**SMALL).fit(X, broken[:, 0])
    with pytest.raises(ValueError, match=r"contains (NaN|infinity)"):
        regressor.predict(broken)


@pytest.mark.parametrize(
    ("parameter", "value", "message"),
    [
        ("hidden", (-1,), "hidden: -1 is not allowed"),
        ("hidden", (), r"hidden: \(\) has no layer"),
        ("hidden", "8", "hidden: '8' is not allowed"),
        ("activation", "gelu", "activation: 'gelu' is unknown"),
        ("prior", "cauchy:1", "prior: 'cauchy:1' is unknown"),
        ("constraint", "sorted", "constraint: 'sorted' is unknown"),
        ("chains", 0, "chains: 0 is not 1 or more"),
        ("draws", 2, "draws: 2 is not 4 or more"),
        ("adapt_delta", 1.5, "adapt_delta: 1.5 is not between 0 and 1"),
    ],
)
def test_parameters_that_are_not_allowed_are_named(
    points: Any, parameter: str, value: Any, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        BayesianMLPRegressor(**{**SMALL, parameter: value}).fit(*points)


def test_a_class_that_was_not_fitted_has_no_density(binary: Any, points: Any) -> None:
    X, _ = points
    with pytest.raises(InputError, match=r"y: row 1 \(counted from 0\) is .*maybe"):
        binary.log_predictive_density(X[:2], ["yes", "maybe"])


def test_nothing_is_predicted_before_fitting(points: Any) -> None:
    X, y = points
    with pytest.raises(NotFittedError):
        BayesianMLPClassifier().predict_log_proba(X)
    with pytest.raises(NotFittedError):
        BayesianMLPRegressor().log_predictive_density(X, y)


def test_a_failed_chain_is_a_warning_and_all_of_them_an_error(
    points: Any, monkeypatch: Any
) -> None:
    X, y = points

    def unlucky(failing: range) -> Any:
        def sample(*arguments: Any) -> Any:
            if arguments[1] in failing:
                raise SamplingError("CmdStan: no luck")
            return kept(*arguments)

        return sample

    from manymodes.sampling.chains import missing_chains

    kept = missing_chains.sample_chain
    monkeypatch.setattr(missing_chains, "sample_chain", unlucky(range(1)))
    with pytest.warns(UserWarning, match="1 of 2 chains failed and are left out.*no luck"):
        model = BayesianMLPRegressor(**SMALL).fit(X, y)
    assert model.weights_.tolist() == [1.0]
    assert np.isfinite(model.predict(X)).all()
    monkeypatch.setattr(missing_chains, "sample_chain", unlucky(range(2)))
    with pytest.raises(SamplingError, match=r"finished: 3 attempts; .*: CmdStan: no luck"):
        BayesianMLPRegressor(**SMALL).fit(X, y)


def test_without_scikit_learn_the_error_is_one_line() -> None:
    """And the rest of the package does not need it."""
    script = (
        "import sys; sys.modules['sklearn'] = None\n"
        "import manymodes; [getattr(manymodes, name) for name in manymodes.__all__]\n"
        "try:\n    import manymodes.sklearn\n"
        "except ImportError as error:\n    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.count("\n") == 1
    assert "needs scikit-learn 1.6 or later" in done.stdout
