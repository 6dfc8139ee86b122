"""Handwritten digits: a network of 1500 weights, sampled by many chains of NUTS.

scikit-learn's digits are 1797 images of 8 x 8 pixels in ten classes. A fifth of them is held out;
the rest is the data of a network with 20 hidden units. Activation and prior were chosen on another
split of the part that is not held out (2 chains of 150 + 100 each).
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from manymodes.estimators import BayesianMLPClassifier


def main() -> None:
    """Sample, predict what was held out, and print how well."""
    parser = argparse.ArgumentParser(description="Handwritten digits by a Bayesian network.")
    parser.add_argument("--chains", type=int, default=16, help="NUTS chains")
    parser.add_argument("--warmup", type=int, default=500, help="warm-up iterations of each")
    parser.add_argument("--draws", type=int, default=500, help="draws of each")
    parser.add_argument("--seed", type=int, default=1, help="of the chains")
    parser.add_argument("--no-kernel", action="store_true", help="likelihood in Stan, slower")
    options = parser.parse_args()

    X, y = load_digits(return_X_y=True)
    X, X_held, y, y_held = train_test_split(X, y, test_size=0.2, stratify=y, random_state=1)
    network = BayesianMLPClassifier(
        hidden=20,
        activation="relu",
        prior="student:4,0.5",
        chains=options.chains,
        warmup=options.warmup,
        draws=options.draws,
        max_treedepth=10,
        random_state=options.seed,
        n_jobs=-1,
        kernel=not options.no_kernel,
        verbose=True,
    )
    begun = time.monotonic()
    network.fit(X, y)
    seconds = time.monotonic() - begun
    chains = network.chains_
    gradients = float(chains.stats["n_steps"].sum())
    print(
        f"{chains.n_chains} chains of {options.warmup} + {options.draws} draws of "
        f"{chains.posterior.dims} weights: {seconds:.0f} s; {chains.divergences} divergences, "
        f"{gradients / chains.total_draws:.0f} gradients a draw"
    )
    print(f"{'held out: ' + str(len(y_held)):<24}{'accuracy':>10}{'log predictive density':>26}")
    tell("all chains, stacked", network.predict_proba(X_held), y_held)
    one = BayesianMLPClassifier(
        **{**network.get_params(), "chains": 1, "stacking": False, "verbose": False}
    )
    tell("one chain", one.fit(X, y).predict_proba(X_held), y_held)
    logistic = GridSearchCV(
        make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000)),
        {"logisticregression__C": np.logspace(-3, 1, 9)},
        scoring="neg_log_loss",
    )
    tell("logistic regression", logistic.fit(X, y).predict_proba(X_held), y_held)


def tell(name: str, probabilities: np.ndarray, y: np.ndarray) -> None:
    """Print accuracy and mean log predictive density (nats an image) with standard errors."""
    right = probabilities.argmax(axis=1) == y
    density = np.log(probabilities[np.arange(len(y)), y])
    errors = [values.std() / np.sqrt(len(y)) for values in (right, density)]
    print(
        f"{name:<24}{right.mean():>10.3f} ± {errors[0]:.3f}{density.mean():>15.3f} ± "
        f"{errors[1]:.3f}"
    )


if __name__ == "__main__":
    main()
