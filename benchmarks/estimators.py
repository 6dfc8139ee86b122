"""The estimators beside their rivals: held-out predictions, calibration and processor seconds.

estimators.py [DATA ...] [--rivals NAME,...] [--splits N] [--first-seed S] [--set NAME=VALUE ...]

Random splits into 80 % for training and 20 % held out (stratified by class), ten of them, with
random_state 200 to 209. Our estimators have their default settings; ``--set`` changes them.

Data. Measured: diabetes, breast_cancer, wine, iris, digits. Made by scikit-learn, 200 rows, and
known not to be linear: friedman1, moons, circles. From the package sklearn-contrib-bde: airfoil and
concrete, whose targets are standardised on the training part, as its published benchmark has them
(its split is that of ``--first-seed 0 --splits 1``).

Rivals, each tuned on the training part of a split:

linear         ridge, its penalty by leave-one-out, with the standard deviation of its noise both by
               tenfold residuals and by maximum likelihood, of which the one that does better on the
               held-out parts is reported; scikit-learn's BayesianRidge; logistic regression, its
               penalty by the log loss of stratified fivefold cross-validation. 33 penalties, 1e-4
               to 1e4.
gp             a Gaussian process: a length scale for each input by the marginal likelihood
               (regression), or one for all and Laplace's approximation (classification)
boosting       gradient boosting of histograms, tuned by fivefold cross-validation; in regression
               with normal noise of the size of its cross-validated residuals
bde            the Bayesian deep ensemble of sklearn-contrib-bde, two members, a fifth of the
               published warm-up; in classification the settings of its documentation
bde-published  the same with the settings of its published benchmark (regression)

``--bde-python`` is an interpreter that has sklearn-contrib-bde; it runs in a process of its own.

Figures. A row's log predictive density is in nats per unit of the target. A difference is ours
minus theirs, a mean over splits with its standard error, the standard deviation over splits divided
by the root of their number. Coverage is the share of held-out targets in the central 90 % of their
predictive distribution. ECE is the expected calibration error of the predicted class: ten bins of
equal width, held-out rows of all splits together, with its jackknife error over splits. RMSE is
the root mean square error, and wrong the share of rows with a wrong class. Seconds are processor
seconds of fitting and predicting, user and system, child processes included, a mean over splits.
Our programs are compiled before; what JAX compiles counts.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import resource
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import estimator_rivals as rivals
import numpy as np
from estimator_rivals import Array, Predicted, Split, calibration_error
from sklearn.base import clone
from sklearn.datasets import (
    load_breast_cancer,
    load_diabetes,
    load_digits,
    load_iris,
    load_wine,
    make_circles,
    make_friedman1,
    make_moons,
)
from sklearn.model_selection import train_test_split

from manymodes.sklearn import BayesianMLPClassifier, BayesianMLPRegressor

CLASSIFICATION: dict[str, Callable[[], tuple[Array, Array]]] = {
    "breast_cancer": partial(load_breast_cancer, return_X_y=True),
    "wine": partial(load_wine, return_X_y=True),
    "iris": partial(load_iris, return_X_y=True),
    "digits": partial(load_digits, return_X_y=True),
    "moons": partial(make_moons, n_samples=200, noise=0.3, random_state=0),
    "circles": partial(make_circles, n_samples=200, noise=0.2, factor=0.5, random_state=0),
}
REGRESSION: dict[str, Callable[[], tuple[Array, Array]]] = {
    "diabetes": partial(load_diabetes, return_X_y=True),
    "friedman1": partial(make_friedman1, n_samples=200, noise=1.0, random_state=0),
}
OF_BDE = {"airfoil": ("airfoil.csv", ",", 1), "concrete": ("concrete.data", None, 0)}
"""Files of sklearn-contrib-bde, what separates their columns, and the lines of their headers."""
DATA = (*REGRESSION, *OF_BDE, *CLASSIFICATION)
OURS = "manymodes"


def splits(name: str, seeds: range, bde_python: str = "") -> list[Split]:
    """Return the splits of a data set."""
    if name in OF_BDE:
        folder = rivals.bde_folder(bde_python)
        if folder is None:
            raise SystemExit(
                f"{name}: is read from the package sklearn-contrib-bde: {rivals.HOW_TO_GET_BDE}"
            )
        file, separator, header = OF_BDE[name]
        table = np.loadtxt(folder / "data" / file, delimiter=separator, skiprows=header)
        X, y = table[:, :-1], table[:, -1]
    else:
        X, y = {**CLASSIFICATION, **REGRESSION}[name]()
    classes = y if name in CLASSIFICATION else None
    found = []
    for seed in seeds:
        X_train, X_test, y_train, y_test = train_test_split(
            X, y, test_size=0.2, random_state=seed, stratify=classes
        )
        if name in OF_BDE:
            mean, sd = y_train.mean(), y_train.std()
            y_train, y_test = (y_train - mean) / sd, (y_test - mean) / sd
        found.append((X_train, X_test, y_train, y_test))
    return found


@dataclass
class Measured:
    """What a method said of the splits, and the processor seconds of each."""

    predicted: list[Predicted] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    @property
    def scores(self) -> Array:
        """Nats a row, of each split."""
        return np.array([one.log_density.mean() for one in self.predicted])

    def calibration(self, classes: bool) -> tuple[float, float]:
        """Return the coverage or the calibration error, and its standard error."""
        if not classes:
            return with_error(np.array([one.covered for one in self.predicted]))

        def of(parts: list[Predicted]) -> float:
            probability = np.concatenate([one.place for one in parts])
            right = 1 - np.concatenate([one.error for one in parts])
            return calibration_error(probability, right)

        parts, n = self.predicted, len(self.predicted)
        if n < 2:
            return of(parts), float("nan")
        without = np.array([of(parts[:i] + parts[i + 1 :]) for i in range(n)])
        return of(parts), float(np.sqrt((n - 1) * without.var()))

    def error(self, classes: bool) -> tuple[float, float]:
        """Return the root mean square error or the share of wrong classes, and its error."""
        power = 1 if classes else 2
        each = [np.mean(one.error**power) ** (1 / power) for one in self.predicted]
        return with_error(np.array(each))


def with_error(values: Array) -> tuple[float, float]:
    """Return a mean over splits and its standard error, nan of one split."""
    n = len(values)
    return float(values.mean()), float(values.std(ddof=1) / np.sqrt(n)) if n > 1 else float("nan")


def processor_seconds() -> float:
    """Return what this process and its children have used."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


class Kept:
    """What was measured before, in a file of JSON lines; nothing is kept without a file."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.known: dict[str, tuple[Predicted, float]] = {}
        if path is not None and path.exists():
            for line in path.read_text().splitlines():
                one = json.loads(line)
                parts = (np.array(one[name]) for name in ("log_density", "place", "error"))
                self.known[one["key"]] = Predicted(*parts), one["seconds"]

    def get(self, key: str, measure: Callable[[], tuple[Predicted, float]]) -> tuple[Any, float]:
        """Return what is known under a key; measure it first if nothing is."""
        if key not in self.known:
            found, seconds = self.known[key] = measure()
            if self.path is not None:
                arrays = {name: values.tolist() for name, values in vars(found).items()}
                with self.path.open("a") as file:
                    file.write(json.dumps({"key": key, "seconds": seconds, **arrays}) + "\n")
        return self.known[key]


def timed(method: Callable[[], Predicted]) -> tuple[Predicted, float]:
    begun = processor_seconds()
    found = rivals.quietly(method)
    return found, processor_seconds() - begun


def methods(
    name: str, options: argparse.Namespace
) -> dict[str, Callable[[Split, int], tuple[Predicted, float]]]:
    """Return what is measured on a data set, by its name in the table; ours first."""
    classes = name in CLASSIFICATION
    found: dict[str, Callable[[Split, int], tuple[Predicted, float]]] = {}
    if not options.only_rivals:
        made = BayesianMLPClassifier if classes else BayesianMLPRegressor
        compiled: list[bool] = []

        def ours(split: Split, seed: int) -> tuple[Predicted, float]:
            model = made(random_state=seed, n_jobs=options.jobs, **options.settings)
            if not compiled:
                clone(model).set_params(chains=1, warmup=10, draws=10).fit(split[0], split[2])
                compiled.append(True)
            return timed(lambda: rivals.ours(split, model))

        found[OURS] = ours
    for rival in options.rivals:
        if rival.startswith("bde"):
            if rival == "bde-published" and classes:
                continue
            settings = {**rivals.bde_settings(rival, classes), **options.bde_settings}
            found[rival] = partial(
                rivals.bde, python=options.bde_python, settings=settings, jobs=options.jobs
            )
            continue
        for label, method in (rivals.CLASSIFIERS if classes else rivals.REGRESSORS)[rival].items():
            found[label] = partial(_timed_method, method)
    return found


def _timed_method(method: rivals.Method, split: Split, seed: int) -> tuple[Predicted, float]:
    return timed(lambda: method(split, seed))


def compare(name: str, seeds: range, options: argparse.Namespace) -> None:
    """Measure one data set and print its table."""
    classes = name in CLASSIFICATION
    parts = splits(name, seeds, options.bde_python)
    kept = Kept(options.out)
    found: dict[str, Measured] = {}
    for label, method in methods(name, options).items():
        how = options.settings if label == OURS else {}
        how = options.bde_settings if label.startswith("bde") else how
        measured = found[label] = Measured()
        for seed, split in zip(seeds, parts, strict=True):
            key = json.dumps([name, seed, label, how], sort_keys=True)
            predicted, seconds = kept.get(key, partial(method, split, seed))
            measured.predicted.append(predicted)
            measured.seconds.append(seconds)
        each = " ".join(f"{value:.3f}" for value in measured.scores)
        print(f"  {label}: {each}", flush=True)
    if "ridge" in found:
        both = found["ridge"], found.pop("ridge, ML noise")
        found["ridge"] = max(both, key=lambda one: float(one.scores.mean()))
    table(name, parts, found, classes)


def table(name: str, parts: list[Split], found: dict[str, Measured], classes: bool) -> None:
    """Print the table of a data set, as Markdown."""
    X, X_test = parts[0][:2]
    print(
        f"\n{name}: {len(X)} rows for training, {len(X_test)} held out, {X.shape[1]} inputs;"
        f" {len(parts)} splits\n"
    )
    measures = ("ECE", "wrong") if classes else ("coverage of 90 %", "RMSE")
    print(f"| {name} | nats a row | ours less theirs | better in | {' | '.join(measures)} | s |")
    print("|---|---|---|---|---|---|---|")
    for label, one in found.items():
        less = better = ""
        if OURS in found and label != OURS:
            difference = found[OURS].scores - one.scores
            less = "{:+.4f} ± {:.4f}".format(*with_error(difference))
            better = f"{(difference > 0).sum()} of {len(difference)}"
        figures = [
            label,
            "{:.4f} ± {:.4f}".format(*with_error(one.scores)),
            less,
            better,
            "{:.3f} ± {:.3f}".format(*one.calibration(classes)),
            "{:.4g} ± {:.2g}".format(*one.error(classes)),
            f"{np.mean(one.seconds):.3g}",
        ]
        print(f"| {' | '.join(figures)} |", flush=True)
    print()


def _settings(texts: list[str]) -> dict[str, Any]:
    """Read NAME=VALUE: a Python literal, or else a text."""
    found = {}
    for text in texts:
        name, _, value = text.partition("=")
        try:
            found[name] = ast.literal_eval(value)
        except (SyntaxError, ValueError):
            found[name] = value
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", nargs="*", help=f"of {', '.join(DATA)} (diabetes, breast_cancer)")
    parser.add_argument("--rivals", default="linear", help=f"of {','.join(rivals.RIVALS)} (linear)")
    parser.add_argument("--only-rivals", action="store_true", help="do not fit ours")
    parser.add_argument("--splits", type=int, default=10)
    parser.add_argument("--first-seed", type=int, default=200)
    parser.add_argument("--jobs", type=int, default=2, help="chains or members at once (2)")
    parser.add_argument(
        "--set", nargs="*", default=[], metavar="NAME=VALUE", help="not our default"
    )
    parser.add_argument("--bde-python", default="python3", help="an interpreter with that package")
    parser.add_argument(
        "--bde-set", nargs="*", default=[], metavar="NAME=VALUE", help="not the settings above"
    )
    parser.add_argument(
        "--out", type=Path, metavar="FILE.jsonl", help="keep figures, and go on from those there"
    )
    options = parser.parse_args()
    options.rivals = [name for name in options.rivals.split(",") if name]
    options.settings, options.bde_settings = _settings(options.set), _settings(options.bde_set)
    for rival in options.rivals:
        if rival not in rivals.RIVALS:
            parser.error(f"no rival '{rival}': choose from {', '.join(rivals.RIVALS)}")
    chosen = options.data or ["diabetes", "breast_cancer"]
    for name in chosen:
        if name not in DATA:
            parser.error(f"no data set '{name}': choose from {', '.join(DATA)}")
    needs_bde = any(rival.startswith("bde") for rival in options.rivals)
    if needs_bde and rivals.bde_folder(options.bde_python) is None:
        parser.error(f"the rival bde needs sklearn-contrib-bde: {rivals.HOW_TO_GET_BDE}")
    seeds = range(options.first_seed, options.first_seed + options.splits)
    for name in chosen:
        compare(name, seeds, options)


if __name__ == "__main__":
    main()
