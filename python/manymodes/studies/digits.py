"""Handwritten digits: chains of a network with some 1500 weights, scored on images held out.

scikit-learn's 1797 images of 8 x 8 pixels, ten classes, and a network with 20 hidden units. There
are far more modes than chains, and none is looked for: what is compared is how well the chains
predict, pooled, stacked and each alone, beside a tuned logistic regression on the same split.

References
----------
.. [1] Alpaydin, Kaynak (1998). Optical Recognition of Handwritten Digits. UCI Machine Learning
   Repository, whose test part scikit-learn ships.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import logsumexp

from manymodes.density.posterior import Posterior
from manymodes.errors import InputError
from manymodes.modes.held_out import HeldOut, held_out_lpd, keep_held_out
from manymodes.modes.stacked_chains import StackedChains, stack_chains
from manymodes.networks.network import Network
from manymodes.report import write_plain_report
from manymodes.results.run_directory import (
    REPORT,
    SUMMARY,
    run_directory,
    save_posterior,
    summary_head,
    write_chains,
)
from manymodes.runtime.seeds import check_seed
from manymodes.runtime.storage import claim, write_json
from manymodes.sampling.chains.chains import Chains, run_chains
from manymodes.sampling.chains.nuts_settings import NutsSettings
from manymodes.sampling.chains.settings import ChainSettings
from manymodes.statistics.diagnostics import rhat, rhat_function
from manymodes.statistics.stacking import Stacking, weight_errors
from manymodes.studies.conduct import Effort
from manymodes.studies.digits_words import (
    CHOICES,
    chains_table,
    functions_table,
    held_out_table,
    introduction,
    sentences,
    tiles,
)
from manymodes.tables.frames import as_frame, write_frame
from manymodes.tables.table import Parts, Table, split
from manymodes.toolchain import require
from manymodes.types import FloatArray, IntArray

SPLIT_SEED = 1
HELD_OUT = 0.2
HIDDEN = 20
ACTIVATION = "relu"
PRIOR = "normal:0.7"
EFFORT = Effort(chains=ChainSettings(chains=16, nuts=NutsSettings(warmup=500, draws=500)))
PENALTIES = np.logspace(-4, 2, 13)
"""Among which the inverse penalty of the logistic regression is chosen."""

NAME = "digits"
_REPLICATIONS = 50
_TARGET = "digit"
_ROWS_AT_ONCE = 20


@dataclass(frozen=True, eq=False)
class Line:
    """How well one predictive distribution does on the held-out images.

    Attributes
    ----------
    key, label : str
        Its name in ``summary.json``, and in words.
    log_density : array of shape (N,)
        Log predictive density of each image's own class (nats).
    right : array of shape (N,)
        1 where the most probable class is its own, else 0.
    """

    key: str
    label: str
    log_density: FloatArray
    right: FloatArray

    def as_dict(self, other: Line) -> dict[str, float]:
        """Return means over images, their standard errors, and the difference from another."""
        entry: dict[str, float] = {}
        for name, values in (
            ("accuracy", self.right),
            ("log_density", self.log_density),
            ("difference", self.log_density - other.log_density),
        ):
            entry[name] = float(values.mean())
            entry[f"{name}_se"] = float(values.std(ddof=1) / np.sqrt(len(values)))
        return entry


def digits_parts(data_seed: int = SPLIT_SEED, rows: int | None = None) -> Parts:
    """Return the images as a table, split by class, and how it becomes a network's inputs.

    Parameters
    ----------
    data_seed : int
        Decides which fifth of the images is held out.
    rows : int, optional
        Take only so many images, of all classes alike.

    Returns
    -------
    Parts
        Pixels are standardised as measured on the training part. Those that have one value in it
        are left out.

    Raises
    ------
    InputError
        scikit-learn is missing, the seed is negative, or there are not so many images.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise InputError(
            "study digits: needs scikit-learn: pip install 'manymodes[sklearn]'"
        ) from error
    check_seed(data_seed, "data-seed")
    images = load_digits()
    data = pd.DataFrame(images.data, columns=images.feature_names)
    data[_TARGET] = [str(one) for one in images.target]
    frame = as_frame(data)
    if rows is not None:
        if not 50 <= rows < len(frame):
            raise InputError(f"rows: {rows} is not between 50 and {len(frame) - 1} images")
        frame = split(frame, _TARGET, "categorical", rows / len(frame), data_seed)[1]
    train, held_out = split(frame, _TARGET, "categorical", HELD_OUT, data_seed)
    constant = [one for one in images.feature_names if train.data[one].nunique() == 1]
    table = Table.fit(train, _TARGET, "categorical", ignore=constant)
    return Parts(table, train, held_out)


def digits_posterior(parts: Parts, hidden: int = HIDDEN, *, kernel: bool = True) -> Posterior:
    """Return the posterior of a network with ``hidden`` units given the training part."""
    network = Network(
        inputs=len(parts.table.input_names),
        hidden=(hidden,),
        outputs=len(parts.table.target.classes),
        activation=ACTIVATION,
        likelihood="categorical",
        prior=PRIOR,
    )
    X, y = parts.table.inputs(parts.train), parts.table.targets(parts.train)
    return Posterior.from_network(network, X, y, NAME, kernel=kernel)


def run_digits(
    out: Path,
    *,
    data_seed: int = SPLIT_SEED,
    rows: int | None = None,
    hidden: int = HIDDEN,
    effort: Effort = EFFORT,
) -> dict[str, Any]:
    """Run the study and write its results into a directory.

    Parameters
    ----------
    out : Path
        The run directory. ``manymodes predict OUT OUT/posterior/holdout.csv`` predicts the
        held-out images one by one; ``manymodes compare OUT`` looks for modes.
    data_seed, rows
        As in `digits_parts`.
    hidden : int
        Hidden units.
    effort : Effort
        How much is sampled, and how; no nested runs are made.

    Returns
    -------
    dict
        What ``summary.json`` holds.

    Raises
    ------
    InputError
        scikit-learn is missing, a setting is out of its range, or the directory cannot be used.
    """
    toolchain = require("cmdstan", "bridge", "compiler")
    parts = digits_parts(data_seed, rows)
    posterior = digits_posterior(parts, hidden, kernel=effort.kernel)
    network = posterior.network
    assert network is not None
    assert parts.held_out is not None
    settings = {
        "data_seed": data_seed,
        "rows": rows,
        "network": network.to_dict(),
        "seed": effort.seed,
        "nuts": effort.chains.nuts.as_dict(),
    }
    with run_directory(out, overwrite=effort.overwrite):
        claim(out, settings, resume=effort.resume)
        posterior.compile(quiet=effort.quiet)
        kept = out / "posterior"
        save_posterior(posterior, kept)
        parts.table.save(kept)
        write_frame(kept / "holdout.csv", parts.held_out.data)
        keep_held_out(parts.table, kept, kept)
        found = run_chains(posterior, effort.chains, **effort.at(out))
        stacked = stack_chains(found)
        stacking = stacked.stacking
        write_chains(found, out)
        held_out = HeldOut(parts.table.inputs(parts.held_out), parts.table.targets(parts.held_out))
        lines, single, functions = score(found, stacked, held_out)
        reference, penalty = logistic_regression(parts, held_out)
        entry = _entry(found, stacking, held_out)
        entry["held_out"] = {
            "rows": len(held_out.y),
            **{line.key: line.as_dict(reference) for line in (*lines, reference)},
            "single_chains": {
                "accuracy": [float(one.right.mean()) for one in single],
                "log_density": [float(one.log_density.mean()) for one in single],
            },
            "inverse_penalty": penalty,
        }
        entry["functions"] = _functions(found, stacked, functions)
        summary = {
            **summary_head(f"study {NAME}", effort.seed),
            "data_seed": data_seed,
            "posteriors": {NAME: entry},
        }
        write_json(out / SUMMARY, summary)
        write_plain_report(
            out / REPORT,
            title="Handwritten digits: many chains of a larger network",
            introduction=introduction(network, posterior.n_obs, len(held_out.y), data_seed),
            tiles=tiles(entry),
            opening=sentences(entry),
            tables=[held_out_table(summary), functions_table(entry), chains_table(entry)],
            notes=[CHOICES],
            settings={**settings, "chains": effort.chains.chains},
            toolchain=toolchain.as_dict(),
        )
    return summary


# -------------------------------------------------------------------------- scores


def score(
    chains: Chains, stacked: StackedChains, held_out: HeldOut
) -> tuple[list[Line], list[Line], list[Line]]:
    """Score held-out rows under the chains.

    Parameters
    ----------
    chains : Chains
        Of a network with classes.
    stacked : StackedChains
        Their weights, and which of them sample one function.
    held_out : HeldOut
        The rows.

    Returns
    -------
    tuple of lists
        The mixture of all draws, that of the stacked chains, and the chain with the best
        leave-one-out score; each chain alone; and the chains of each function.
    """
    lpd = held_out_lpd(chains, held_out)
    network = chains.posterior.network
    assert network is not None
    probability = np.stack(
        [
            network.predict(chains.posterior.unpack(rows[:length]), held_out.X).mean(axis=0)
            for rows, length in zip(chains.rows, chains.lengths, strict=True)
        ]
    )

    def mixed(key: str, label: str, weights: FloatArray) -> Line:
        used = weights > 0
        log_density = logsumexp(lpd[:, used], axis=1, b=weights[used])
        classes = np.tensordot(weights, probability, axes=1).argmax(axis=1)
        return Line(key, label, np.asarray(log_density), _right(classes, held_out.y))

    alone = np.eye(chains.n_chains)
    best = int(np.argmax(chains.scored_lpd.sum(axis=0)))
    single = [mixed("", f"chain {number}", alone[c]) for c, number in enumerate(chains.index)]
    lines = [
        mixed("pooled", "all draws pooled", chains.lengths / chains.total_draws),
        mixed("stacked", "chains stacked", stacked.stacking.weights),
        mixed("best_chain", "one chain, the best by LOO", alone[best]),
    ]
    groups = stacked.groups
    functions = [
        mixed("", f"function {g + 1}", groups.within * (groups.of_chain == g))
        for g in range(groups.n_groups)
    ]
    return lines, single, functions


def _functions(chains: Chains, stacked: StackedChains, scores: list[Line]) -> list[dict[str, Any]]:
    """Return the functions that chains sample, as `Comparison.functions` in ``summary.json``."""
    groups, lpd = stacked.groups, chains.scored_lpd
    sd = weight_errors(
        groups.pool(lpd),
        n_boot=_REPLICATIONS,
        rng=np.random.default_rng(1),
        rescored=partial(groups.rescored, lpd) if groups.has_noise else None,
    ).sd
    return [
        {
            "id": g + 1,
            "modes": [],
            "chains": int((groups.of_chain == g).sum()),
            "numbers": chains.index[groups.of_chain == g].tolist(),
            "accuracy": float(scores[g].right.mean()),
            "log_density": float(scores[g].log_density.mean()),
            "weight": {
                "stacking": float(stacked.of_groups.weights[g]),
                "stacking_sd": float(sd[g]),
                "occupancy": float((groups.of_chain == g).mean()),
            },
        }
        for g in range(groups.n_groups)
    ]


def logistic_regression(parts: Parts, held_out: HeldOut) -> tuple[Line, float]:
    """Score a multinomial logistic regression, tuned on the training part alone.

    Returns
    -------
    tuple of Line and float
        Its line, and the inverse penalty that did best in stratified fivefold cross-validation
        by log loss, among `PENALTIES`.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV, StratifiedKFold

    X, y = parts.table.inputs(parts.train), parts.table.targets(parts.train).astype(int)
    folds = StratifiedKFold(5, shuffle=True, random_state=1)
    model = LogisticRegression(max_iter=10_000)
    tuned = GridSearchCV(model, {"C": PENALTIES}, scoring="neg_log_loss", cv=folds).fit(X, y)
    log_p = tuned.predict_log_proba(held_out.X)
    own = held_out.y.astype(int)
    line = Line(
        "logistic_regression",
        "logistic regression, tuned",
        log_p[np.arange(len(own)), own],
        _right(log_p.argmax(axis=1), held_out.y),
    )
    return line, float(tuned.best_params_["C"])


def _right(classes: IntArray, y: FloatArray) -> FloatArray:
    return np.asarray((classes == y.astype(int)).astype(float))


def _entry(chains: Chains, stacking: Stacking, held_out: HeldOut) -> dict[str, Any]:
    """Return the posterior's entry in ``summary.json``; R-hat of predictions at held-out rows."""
    whole = chains.whole
    X = held_out.X
    predictions = (
        whole.posterior.predict(whole.rows, X[start : start + _ROWS_AT_ONCE])
        for start in range(0, len(X), _ROWS_AT_ONCE)
    )
    of_weights = rhat(whole.eta)
    of_predictions = rhat_function(one.reshape(*one.shape[:2], -1) for one in predictions)
    steps, depths = chains.stats["n_steps"], chains.stats["tree_depth"]
    deepest = np.inf if chains.max_treedepth is None else chains.max_treedepth
    return {
        "kernel": chains.posterior.program.kernel_state,
        "dims": chains.posterior.dims,
        "n_obs": chains.posterior.n_obs,
        "chains": {
            "n": chains.n_chains,
            "failed": len(chains.failures),
            "draws": chains.n_draws,
            "divergences": chains.divergences,
            "steps": float(np.nanmean(steps)),
            "at_max_treedepth": float(np.nanmean(depths >= deepest)),
            "step_size": float(np.median(chains.step_size)),
            "seconds": float(chains.seconds.sum()),
            "sampling_seconds": float(chains.sampling_seconds.sum()),
            "rhat_weights": float(np.nanmax(of_weights)),
            "rhat_weights_median": float(np.nanmedian(of_weights)),
            "rhat_function": float(np.nanmax(of_predictions)),
            "rhat_function_median": float(np.nanmedian(of_predictions)),
            "stacking": {
                "weights": stacking.weights.tolist(),
                "score": stacking.score,
                "certificate": stacking.certificate,
                "effective_chains": stacking.effective_chains,
                "pareto_k_above_0.7": float((chains.pareto_k > 0.7).mean()),
            },
        },
        "modes": [],
    }
