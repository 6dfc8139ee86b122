"""Held-out log predictive density of the estimators beside tuned linear models.

estimators.py [DATA ...] [--splits N] [--first-seed S] [--jobs J] [--set NAME=VALUE ...]

Ten random splits into 80 % for training and 20 % held out (stratified by class), with
random_state 200 to 209. Our estimators have their default settings. What they are compared with is
tuned on the training part of each split: ridge with its penalty by leave-one-out and the standard
deviation of its noise both by tenfold residuals and by maximum likelihood, of which the one that
does better on the held-out parts is reported; scikit-learn's BayesianRidge; logistic regression
with its penalty by the log loss of stratified fivefold cross-validation, over 33 penalties, 1e-4
to 1e4. All inputs are standardised on the training part. Measured data: diabetes, breast_cancer,
wine, iris. Made by scikit-learn, 200 rows, and known not to be linear: friedman1, moons.

The figures are nats per held-out row. A difference is ours minus theirs, a mean over splits with
its standard error, the standard deviation over splits divided by the root of their number.
"""

from __future__ import annotations

import argparse
import ast
import os
import time
import warnings
from collections.abc import Callable, Iterable
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import numpy.typing as npt
from scipy.stats import norm
from sklearn.datasets import (
    load_breast_cancer,
    load_diabetes,
    load_iris,
    load_wine,
    make_friedman1,
    make_moons,
)
from sklearn.linear_model import BayesianRidge, LogisticRegressionCV, Ridge, RidgeCV
from sklearn.model_selection import cross_val_predict, train_test_split
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from manymodes.sklearn import BayesianMLPClassifier, BayesianMLPRegressor

Array = npt.NDArray[Any]
Split = tuple[Array, Array, Array, Array]


def friedman1(return_X_y: bool = True) -> tuple[Array, Array]:
    return make_friedman1(n_samples=200, noise=1.0, random_state=0)


def moons(return_X_y: bool = True) -> tuple[Array, Array]:
    return make_moons(n_samples=200, noise=0.3, random_state=0)


CLASSIFICATION = {
    "breast_cancer": load_breast_cancer,
    "wine": load_wine,
    "iris": load_iris,
    "moons": moons,
}
REGRESSION = {"diabetes": load_diabetes, "friedman1": friedman1}
PENALTIES = np.logspace(-4, 4, 33)


def linear(model: Any) -> Pipeline:
    return make_pipeline(StandardScaler(), model)


def ridge(split: Split, noise: str) -> float:
    X, X_test, y, y_test = split
    alpha = linear(RidgeCV(PENALTIES)).fit(X, y)[-1].alpha_
    model = linear(Ridge(alpha)).fit(X, y)
    fitted = cross_val_predict(model, X, y, cv=10) if noise == "residuals" else model.predict(X)
    sd = np.sqrt(np.mean((y - fitted) ** 2))
    return float(norm.logpdf(y_test, model.predict(X_test), sd).mean())


def bayesian_ridge(split: Split) -> float:
    X, X_test, y, y_test = split
    mean, sd = linear(BayesianRidge()).fit(X, y).predict(X_test, return_std=True)
    return float(norm.logpdf(y_test, mean, sd).mean())


def logistic(split: Split) -> float:
    X, X_test, y, y_test = split
    tuned = LogisticRegressionCV(Cs=PENALTIES, cv=5, scoring="neg_log_loss", max_iter=10_000)
    log_p = linear(tuned).fit(X, y).predict_log_proba(X_test)
    return float(log_p[np.arange(len(y_test)), np.searchsorted(np.unique(y), y_test)].mean())


def ours(split: Split, estimator: Any) -> float:
    X, X_test, y, y_test = split
    return float(estimator.fit(X, y).log_predictive_density(X_test, y_test).mean())


def splits(name: str, seeds: Iterable[int]) -> list[Split]:
    X, y = {**CLASSIFICATION, **REGRESSION}[name](return_X_y=True)
    classes = y if name in CLASSIFICATION else None
    return [
        train_test_split(X, y, test_size=0.2, random_state=seed, stratify=classes) for seed in seeds
    ]


def compare(name: str, seeds: range, jobs: int, settings: dict[str, Any]) -> None:
    """Measure one data set and print its table."""
    made = BayesianMLPClassifier if name in CLASSIFICATION else BayesianMLPRegressor
    theirs: dict[str, Callable[[Split], float]] = {"logistic regression": logistic}
    if name in REGRESSION:
        theirs = {
            "ridge": lambda split: ridge(split, "residuals"),
            "ridge, ML noise": lambda split: ridge(split, "likelihood"),
            "Bayesian ridge": bayesian_ridge,
        }
    parts = splits(name, seeds)
    found = {label: np.array([score(split) for split in parts]) for label, score in theirs.items()}
    if name in REGRESSION:
        both = found["ridge"], found.pop("ridge, ML noise")
        found["ridge"] = max(both, key=lambda values: float(values.mean()))
    mine, seconds = [], []
    for seed, split in zip(seeds, parts, strict=True):
        begun = time.monotonic()
        mine.append(ours(split, made(random_state=seed, n_jobs=jobs, **settings)))
        seconds.append(time.monotonic() - begun)
        others = "  ".join(
            f"{label} {values[seed - seeds[0]]:.4f}" for label, values in found.items()
        )
        print(f"  split {seed}: {made.__name__} {mine[-1]:.4f}  {others}", flush=True)
    score = np.array(mine)
    rows = f"{len(parts[0][0])} rows for training, {len(parts[0][1])} held out"
    print(
        f"{name}: {rows}, {parts[0][0].shape[1]} inputs; nats per held-out row, {len(parts)} splits"
    )
    print(f"  {made.__name__:24s}{score.mean():9.4f}   {np.median(seconds):.0f} s a fit (median)")
    for label, values in found.items():
        difference = score - values
        error = difference.std(ddof=1) / np.sqrt(len(difference))
        print(
            f"  {label:24s}{values.mean():9.4f}   ours is better by {difference.mean():+.4f}"
            f" ± {error:.4f}, in {(difference > 0).sum()} of {len(difference)} splits",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "data", nargs="*", help="diabetes, breast_cancer (default); wine, iris, friedman1, moons"
    )
    parser.add_argument("--splits", type=int, default=10)
    parser.add_argument("--first-seed", type=int, default=200)
    parser.add_argument("--jobs", type=int, default=2, help="chains at once (2)")
    parser.add_argument(
        "--set", nargs="*", default=[], metavar="NAME=VALUE", help="not the default"
    )
    options = parser.parse_args()
    settings = {}
    for text in options.set:
        name, _, value = text.partition("=")
        try:
            settings[name] = ast.literal_eval(value)
        except (SyntaxError, ValueError):
            settings[name] = value
    seeds = range(options.first_seed, options.first_seed + options.splits)
    for name in options.data or ["diabetes", "breast_cancer"]:
        if name not in {**CLASSIFICATION, **REGRESSION}:
            parser.error(
                f"no data set '{name}': choose from {', '.join(CLASSIFICATION | REGRESSION)}"
            )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", category=FutureWarning)
            compare(name, seeds, options.jobs, settings)


if __name__ == "__main__":
    main()
