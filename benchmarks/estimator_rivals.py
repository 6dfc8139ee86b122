"""What our estimators are compared with, and what each method says of held-out rows.

A method fits the training part of a split and returns what it predicts for the held-out part. All
of them see inputs that are standardised on the training part, and each is tuned on that part
alone.

References
----------
.. [1] Naeini, Cooper, Hauskrecht (2015). Obtaining well calibrated probabilities using Bayesian
   binning. AAAI 29.
.. [2] Gneiting, Balabdaoui, Raftery (2007). Probabilistic forecasts, calibration and sharpness.
   Journal of the Royal Statistical Society B 69(2).
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, stdtr
from scipy.stats import norm
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessClassifier, GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, Matern, WhiteKernel
from sklearn.linear_model import BayesianRidge, LogisticRegressionCV, Ridge, RidgeCV
from sklearn.model_selection import GridSearchCV, cross_val_predict
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

Array = npt.NDArray[Any]
Split = tuple[Array, Array, Array, Array]
"""Inputs of the training part and of the held-out part, and the targets of both."""

PENALTIES = np.logspace(-4, 4, 33)
TREES = {
    "learning_rate": [0.03, 0.1],
    "max_iter": [100, 400],
    "max_leaf_nodes": [4, 16],
}
"""What gradient boosting is tuned over, by fivefold cross-validation."""

LEVEL = 0.9
"""The probability of the central interval whose coverage is measured."""
BINS = 10
"""Bins of equal width, of the probability of the predicted class."""


@dataclass(frozen=True)
class Predicted:
    """What a method says of the held-out rows.

    Parameters
    ----------
    log_density : array of shape (N,)
        Log predictive density, or log probability, of each target, in nats.
    place : array of shape (N,)
        Regression: the value of the predictive distribution function at each target [2]_.
        Classification: the probability of the class that is predicted.
    error : array of shape (N,)
        Regression: target less predictive mean. Classification: 1 where the predicted class is
        wrong, and 0 elsewhere.
    """

    log_density: Array
    place: Array
    error: Array

    @property
    def covered(self) -> float:
        """The share of targets inside the central interval of probability `LEVEL`."""
        return float(np.mean(np.abs(self.place - 0.5) <= LEVEL / 2))

    @classmethod
    def normal(cls, y: Array, mean: Array, sd: Array | float) -> Predicted:
        """Return what normal predictive distributions say."""
        return cls(norm.logpdf(y, mean, sd), ndtr((y - mean) / sd), y - mean)

    @classmethod
    def classes(cls, codes: Array, log_p: Array) -> Predicted:
        """Return what log probabilities of classes, shape (N, K), say."""
        best = log_p.argmax(axis=1)
        rows = np.arange(len(codes))
        return cls(log_p[rows, codes], np.exp(log_p[rows, best]), (best != codes).astype(float))


def calibration_error(probability: Array, right: Array) -> float:
    """Return the expected calibration error [1]_ of predicted classes.

    It is the mean over rows of the distance between the mean probability and the share of right
    predictions in the row's bin.
    """
    which = np.minimum((probability * BINS).astype(int), BINS - 1)
    gaps = np.bincount(which, weights=probability - right, minlength=BINS)
    return float(np.abs(gaps).sum() / len(probability))


Method = Callable[[Split, int], Predicted]
"""A method: what it says of a split, given a seed."""


def _standardised(model: Any) -> Pipeline:
    return make_pipeline(StandardScaler(), model)


def _codes(split: Split) -> Array:
    """Return the classes of the held-out part, numbered from 0."""
    return np.searchsorted(np.unique(split[2]), split[3])


# ---------------------------------------------------------------- ours


def ours(split: Split, estimator: Any) -> Predicted:
    """Fit one of our estimators and return what it says."""
    X, X_test, y, y_test = split
    model = estimator.fit(X, y)
    log_density = model.log_predictive_density(X_test, y_test)
    if hasattr(model, "classes_"):
        found = Predicted.classes(_codes(split), model.predict_log_proba(X_test))
        return Predicted(log_density, found.place, found.error)
    return Predicted(log_density, _below(model, X_test, y_test), y_test - model.predict(X_test))


def _below(model: Any, X: Array, y: Array) -> Array:
    """Return the predictive distribution function of our regressor at each target."""
    network = model.network_
    inputs = model.scaler_.transform(X) / (np.sqrt(X.shape[1]) if model.standardise else 1.0)
    target = (y - model.target_mean_) / model.target_scale_
    nu = network.likelihood_parts.nu

    def below(rows: slice) -> Array:
        z = target[rows] - network.predict(model.draws_, inputs[rows])
        z /= network.noise(model.draws_, inputs[rows])
        return model.weights_ @ (stdtr(nu, z) if np.isfinite(nu) else ndtr(z)).mean(axis=1)

    return np.concatenate([below(slice(i, i + 50)) for i in range(0, len(y), 50)])


# ---------------------------------------------------------------- linear models


def ridge(split: Split, noise: str) -> Predicted:
    """Fit ridge, its penalty by leave-one-out, its noise by residuals or maximum likelihood."""
    X, X_test, y, y_test = split
    alpha = _standardised(RidgeCV(PENALTIES)).fit(X, y)[-1].alpha_
    model = _standardised(Ridge(alpha)).fit(X, y)
    fitted = cross_val_predict(model, X, y, cv=10) if noise == "residuals" else model.predict(X)
    return Predicted.normal(y_test, model.predict(X_test), np.sqrt(np.mean((y - fitted) ** 2)))


def bayesian_ridge(split: Split, seed: int) -> Predicted:
    """Fit scikit-learn's BayesianRidge."""
    X, X_test, y, y_test = split
    mean, sd = _standardised(BayesianRidge()).fit(X, y).predict(X_test, return_std=True)
    return Predicted.normal(y_test, mean, sd)


def logistic(split: Split, seed: int) -> Predicted:
    """Fit logistic regression, its penalty by the log loss of stratified cross-validation."""
    X, X_test, y, _ = split
    tuned = LogisticRegressionCV(Cs=PENALTIES, cv=5, scoring="neg_log_loss", max_iter=10_000)
    model = _standardised(tuned).fit(X, y)
    return Predicted.classes(_codes(split), model.predict_log_proba(X_test))


# ---------------------------------------------------------------- Gaussian processes and trees


def gaussian_process(split: Split, seed: int) -> Predicted:
    """Fit a Matern 5/2 kernel, a length scale for each input, by the marginal likelihood."""
    X, X_test, y, y_test = split
    lengths = np.full(X.shape[1], float(np.sqrt(X.shape[1])))
    kernel = ConstantKernel(1.0, (1e-3, 1e3)) * Matern(lengths, (1e-2, 1e4), nu=2.5)
    kernel += WhiteKernel(0.1, (1e-6, 10.0))
    model = GaussianProcessRegressor(
        kernel, normalize_y=True, n_restarts_optimizer=1, random_state=seed
    )
    mean, sd = _standardised(model).fit(X, y).predict(X_test, return_std=True)
    return Predicted.normal(y_test, mean, sd)


def gaussian_process_classes(split: Split, seed: int) -> Predicted:
    """Fit a kernel of one length scale, by Laplace's approximation, each class against the rest."""
    X, X_test, y, _ = split
    kernel = ConstantKernel(10.0, (1e-2, 1e4)) * RBF(float(np.sqrt(X.shape[1])), (1e-2, 1e3))
    model = _standardised(GaussianProcessClassifier(kernel, random_state=seed)).fit(X, y)
    with np.errstate(divide="ignore"):
        return Predicted.classes(_codes(split), np.log(model.predict_proba(X_test)))


def boosting(split: Split, seed: int) -> Predicted:
    """Fit boosted trees, with normal noise of the size of their cross-validated residuals."""
    X, X_test, y, y_test = split
    trees = HistGradientBoostingRegressor(random_state=seed)
    tuned = GridSearchCV(trees, TREES, cv=5, scoring="neg_mean_squared_error").fit(X, y)
    mean = tuned.predict(X_test)
    return Predicted.normal(y_test, mean, np.sqrt(-tuned.best_score_))


def boosting_classes(split: Split, seed: int) -> Predicted:
    """Fit boosted trees, tuned by the log loss."""
    X, X_test, y, _ = split
    trees = HistGradientBoostingClassifier(random_state=seed)
    tuned = GridSearchCV(trees, TREES, cv=5, scoring="neg_log_loss").fit(X, y)
    return Predicted.classes(_codes(split), np.log(tuned.predict_proba(X_test)))


# ---------------------------------------------------------------- Bayesian deep ensembles

BDE_PUBLISHED = {
    "n_members": 10,
    "hidden_layers": [16, 16, 16, 16],
    "epochs": 1200,
    "validation_split": 0.15,
    "lr": 1e-3,
    "weight_decay": 1e-4,
    "warmup_steps": 50_000,
    "n_samples": 1000,
    "n_thinning": 10,
    "patience": 20,
}
"""The settings of the published benchmark of sklearn-contrib-bde (regression)."""
BDE_SMALL = {**BDE_PUBLISHED, "n_members": 2, "warmup_steps": 10_000, "n_samples": 10_000}
"""Two members: a fifth of the warm-up, and 1000 kept draws of each."""
_BDE_CLASSES = {
    "n_members": 4,
    "hidden_layers": [16, 16],
    "epochs": 1000,
    "validation_split": 0.15,
    "lr": 1e-3,
    "warmup_steps": 400,
    "n_samples": 100,
    "n_thinning": 1,
    "patience": 10,
}
"""The settings of the example of classification in the documentation of sklearn-contrib-bde."""
HOW_TO_GET_BDE = (
    "python -m venv bde && bde/bin/pip install sklearn-contrib-bde, and --bde-python bde/bin/python"
)


def bde_folder(python: str) -> Path | None:
    """Return the folder of the package sklearn-contrib-bde of an interpreter, or None."""
    code = "import importlib.util as u; s = u.find_spec('bde'); print(s.origin if s else '')"
    try:
        done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return Path(done.stdout.strip()).parent if done.stdout.strip() else None


def bde(
    split: Split, seed: int, python: str, settings: dict[str, Any], jobs: int
) -> tuple[Predicted, float]:
    """Run sklearn-contrib-bde in its own interpreter; return also its processor seconds."""
    X, X_test, y, y_test = split
    classes = not np.issubdtype(y.dtype, np.floating)
    scaler = StandardScaler().fit(X)
    mean, sd = (0.0, 1.0) if classes else (float(y.mean()), float(y.std()))
    target = np.searchsorted(np.unique(y), y) if classes else (y - mean) / sd
    with tempfile.TemporaryDirectory() as folder:
        given, answer = Path(folder, "given.npz"), Path(folder, "answer.npz")
        np.savez(given, X=scaler.transform(X), X_test=scaler.transform(X_test), y=target)
        how = json.dumps({"classes": classes, "jobs": jobs, "seed": seed, **settings})
        worker = Path(__file__).with_name("estimator_bde.py")
        flags = f"--xla_force_host_platform_device_count={jobs}"
        done = subprocess.run(
            [python, str(worker), str(given), how, str(answer)],
            env={**os.environ, "PYTHONPATH": "", "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"},
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise RuntimeError(f"sklearn-contrib-bde failed: {done.stderr[-2000:]}")
        with np.load(answer) as found:
            outputs, seconds = found["outputs"], float(found["seconds"])
    if classes:
        log_p = outputs - np.logaddexp.reduce(outputs, axis=-1, keepdims=True)
        log_p = np.logaddexp.reduce(log_p, axis=0) - np.log(len(log_p))
        return Predicted.classes(_codes(split), log_p), seconds
    means = mean + sd * outputs[..., 0]
    noise = sd * (np.logaddexp(0, outputs[..., 1]) + 1e-6)
    log_density = np.logaddexp.reduce(norm.logpdf(y_test, means, noise), axis=0)
    log_density -= np.log(len(means))
    place = ndtr((y_test - means) / noise).mean(axis=0)
    return Predicted(log_density, place, y_test - means.mean(axis=0)), seconds


def bde_settings(name: str, classes: bool) -> dict[str, Any]:
    """Return the settings of ``bde`` or ``bde-published``."""
    if classes:
        return _BDE_CLASSES
    return BDE_PUBLISHED if name == "bde-published" else BDE_SMALL


REGRESSORS: dict[str, dict[str, Method]] = {
    "linear": {
        "ridge": lambda split, seed: ridge(split, "residuals"),
        "ridge, ML noise": lambda split, seed: ridge(split, "likelihood"),
        "Bayesian ridge": bayesian_ridge,
    },
    "gp": {"Gaussian process": gaussian_process},
    "boosting": {"gradient boosting": boosting},
}
CLASSIFIERS: dict[str, dict[str, Method]] = {
    "linear": {"logistic regression": logistic},
    "gp": {"Gaussian process": gaussian_process_classes},
    "boosting": {"gradient boosting": boosting_classes},
}
RIVALS = (*REGRESSORS, "bde", "bde-published")
"""What ``--rivals`` chooses from; the methods of each by its name in tables."""


def quietly(method: Callable[[], Any]) -> Any:
    """Call a method without the warnings that fits at the ends of a grid give."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", category=FutureWarning)
        warnings.simplefilter("ignore", category=ConvergenceWarning)
        return method()
