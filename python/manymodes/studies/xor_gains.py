"""Noisy XOR over data sets: what the evidence-weighted whole gains on test sets over its parts.

One data set says little of a gain: its ten test sets share one training set. So both posteriors are
sampled for many data sets, and every difference of scores is paired: within a data set, over the
same test sets. Its error is the scatter over data sets.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import logsumexp

from manymodes.density.posterior import Posterior, compile_posteriors
from manymodes.errors import InputError, SamplingError
from manymodes.modes.comparison import Comparison, compare
from manymodes.modes.functions import FunctionSummary
from manymodes.modes.held_out import HeldOut, held_out_lpd
from manymodes.results.run_directory import run_directory, summary_head
from manymodes.results.run_reading import damaged
from manymodes.runtime.storage import claim, read_json, write_json
from manymodes.sampling.chains.chains import run_chains
from manymodes.sampling.chains.nuts_settings import NutsSettings
from manymodes.sampling.chains.settings import ChainSettings
from manymodes.sampling.tempered import TemperedSettings, run_tempered
from manymodes.statistics.estimate import Estimate
from manymodes.studies.conduct import Effort
from manymodes.studies.xor import NOISE_SD, xor_data, xor_posteriors
from manymodes.studies.xor_gains_figure import write_gains
from manymodes.studies.xor_gains_words import CONSTRAINED, FULL, WHOLE
from manymodes.toolchain import require
from manymodes.types import BoolArray, FloatArray

NAME = "xor-gains"
EFFORT = Effort(
    chains=ChainSettings(chains=32, nuts=NutsSettings(warmup=500, draws=500)),
    tempered=TemperedSettings(rounds=11),
)
DATA_SETS = 20

SUMMARY = "xor_gains.json"
FIGURE = "xor_gains.png"
_KEPT = "scores.json"


def run_xor_gains(
    out: Path,
    *,
    noise_sd: float = NOISE_SD,
    data_seeds: int = DATA_SETS,
    effort: Effort = EFFORT,
) -> dict[str, Any]:
    """Score the whole and its parts for data seeds 1 to ``data_seeds``; keep and return the gains.

    Parameters
    ----------
    out : Path
        The run directory; each data set has a folder in it, and is sampled once.
    noise_sd : float
        As in `xor_data`.
    data_seeds : int
        How many data sets.
    effort : Effort
        How much is sampled, and how; no nested runs are made.

    Returns
    -------
    dict
        What ``xor_gains.json`` holds. Scores are mean log predictive densities of a test row
        (nats).

    Raises
    ------
    InputError
        A setting is out of its range, or the directory cannot be used.
    ResultsError
        The scores of a data set that was sampled before are damaged.
    SamplingError
        The tempered runs of a data set were too short: see `scores_of`.
    """
    if data_seeds < 1:
        raise InputError(f"data-seeds: {data_seeds} is not 1 or more")
    posteriors = xor_posteriors(xor_data(1, noise_sd), kernel=effort.kernel)
    require("cmdstan", "bridge", "compiler")
    chains, tempered = effort.chains, effort.tempered
    settings = {
        "noise_sd": noise_sd,
        "seed": effort.seed,
        "chains": chains.chains,
        "nuts": chains.nuts.as_dict(),
        "sampler": chains.sampler,
        "init": chains.starts_at,
        "runs": tempered.runs,
        "rounds": tempered.rounds,
        "target_sd": tempered.target_sd,
        "tempered": tempered.identity(),
    }
    with run_directory(out, overwrite=effort.overwrite):
        claim(out, settings, resume=effort.resume)
        compile_posteriors(posteriors.values(), quiet=effort.quiet)
        kept = []
        for data_seed in range(1, data_seeds + 1):
            path = out / f"seed-{data_seed:03d}" / _KEPT
            if not path.exists():
                write_json(path, _sampled(path.parent, noise_sd, data_seed, effort))
            kept.append({"data_seed": data_seed, **_kept_scores(path)})
        content = {
            **summary_head(f"study {NAME}", effort.seed),
            "settings": settings,
            "gains": {name: gains([one[name]["scores"] for one in kept]) for name in posteriors},
            "constraint_costs": _entry(_paired(kept)),
            "data_sets": kept,
        }
        write_json(out / SUMMARY, content)
        write_gains(content, out / FIGURE)
    return content


def gains(scores: Sequence[dict[str, list[float]]]) -> dict[str, dict[str, float]]:
    """Return how much better the whole predicts than each part, over data sets.

    Parameters
    ----------
    scores : sequence of dict
        For each data set, the scores of the whole and of its parts on the test sets.

    Returns
    -------
    dict
        For each part: ``value`` and ``se`` of the mean gain (nats a row; the error is NaN for one
        data set), ``least`` and ``most`` over data sets, ``better`` of ``n`` data sets in which the
        whole is better. A data set that lacks the part does not count.
    """
    parts = dict.fromkeys(part for one in scores for part in one if part != WHOLE)
    return {
        part: _entry([_mean(one[WHOLE]) - _mean(one[part]) for one in scores if part in one])
        for part in parts
    }


def _entry(differences: Sequence[float]) -> dict[str, float]:
    found = np.array(differences)
    mean = _mean_of(found)
    return {
        "value": mean.value,
        "se": mean.sd,
        "least": float(found.min()),
        "most": float(found.max()),
        "better": int((found > 0).sum()),
        "n": len(found),
    }


def _paired(kept: Sequence[dict[str, Any]]) -> list[float]:
    """Return how much better the full posterior predicts than the constrained one."""
    return [
        _mean(one[FULL]["scores"][WHOLE]) - _mean(one[CONSTRAINED]["scores"][WHOLE]) for one in kept
    ]


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))


def _mean_of(values: FloatArray) -> Estimate:
    n = len(values)
    sd = float(values.std(ddof=1) / np.sqrt(n)) if n > 1 else float("nan")
    return Estimate(float(values.mean()), sd)


# -------------------------------------------------------------------------- one data set


def _kept_scores(path: Path) -> dict[str, Any]:
    """Return the scores of a data set that was sampled; raise `ResultsError` if they are none."""
    found = read_json(path)
    try:
        for name in (FULL, CONSTRAINED):
            _mean(found[name]["scores"][WHOLE])
    except (KeyError, TypeError) as error:
        raise damaged(path, error) from error
    return found


def _sampled(folder: Path, noise_sd: float, data_seed: int, effort: Effort) -> dict[str, Any]:
    """Sample both posteriors of a data set and score their parts."""
    data = xor_data(data_seed, noise_sd)
    training, *tests = (HeldOut(X, y.astype(float)) for X, y in ((data.X, data.y), *data.tests))
    found = {}
    for name, posterior in xor_posteriors(data, kernel=effort.kernel).items():
        at = effort.at(folder / name)
        chains = run_chains(posterior, effort.chains, **at)
        tempered = run_tempered(posterior, effort.tempered, **at)
        comparison = compare(
            posterior,
            chains=chains,
            tempered=tempered,
            seed=effort.seed,
            quiet=effort.quiet,
            kept=folder / name,
        )
        found[name] = {
            "prominent_modes": len(comparison.prominent),
            "prominent_functions": comparison.prominent_functions,
            "log_z": tempered.log_z,
            "log_z_sd": tempered.log_z_sd,
            "mixes": tempered.mixes,
            "evidence": [one.evidence.value for one in prominent_functions(comparison)],
            "heights": heights_of(comparison),
            "scores": scores_of(comparison, training, tests),
        }
    return found


def prominent_functions(comparison: Comparison) -> list[FunctionSummary]:
    """Return the functions that have a prominent mode, the heaviest first."""
    told = {mode.function for mode in comparison.prominent}
    functions = [one for one in comparison.functions if one.id in told]
    return sorted(functions, key=lambda one: -one.evidence.value)


def heights_of(comparison: Comparison) -> list[list[float]]:
    """Return the log likelihoods at the peaks of the prominent modes, function by function."""
    return [
        sorted(mode.height for mode in comparison.prominent if mode.function == one.id)[::-1]
        for one in prominent_functions(comparison)
    ]


def scores_of(
    comparison: Comparison, training: HeldOut, tests: Sequence[HeldOut]
) -> dict[str, list[float]]:
    """Score the whole of a posterior and its parts on test sets.

    Parameters
    ----------
    comparison : Comparison
        With chains and tempered runs of a network's posterior.
    training : HeldOut
        The data of the posterior.
    tests : sequence of HeldOut
        The test sets.

    Returns
    -------
    dict
        By part, the mean log predictive density of a row of each test set (nats). Parts of the
        tempered draws are the ``heaviest`` function, the ``second``, the one that predicts the
        training data best (``fitted``), the one that predicts the test sets best (``afterwards``),
        the ``mode`` with most evidence, and the one with the highest ``peak``. Of the chains there
        are those ``stacked`` by function, all ``alike``, the one with the best leave-one-out score
        (``chosen``), and the mean score of a single one (``chain``).

    Raises
    ------
    SamplingError
        No tempered draw lies in a prominent mode: the tempered runs were too short.
    """
    tempered, chains = comparison.tempered, comparison.chains
    assert tempered is not None
    assert chains is not None
    assert comparison.stacked is not None
    modes = comparison.tempered_modes
    drawn = {WHOLE: np.ones(len(modes), dtype=bool)}
    members = [np.isin(modes, one.modes) for one in prominent_functions(comparison)]
    members = [own for own in members if own.any()]
    held = [mode for mode in comparison.prominent if (modes == mode.id).any()]
    if not held:
        raise SamplingError(
            f"{comparison.posterior.name}: no tempered draw lies in a prominent mode: take more "
            "rounds (--rounds)"
        )
    highest = max(held, key=lambda mode: mode.height)
    posterior = comparison.posterior
    fits = [_density(_log_lik(posterior, tempered.rows[own], training)) for own in members]
    drawn["heaviest"] = members[0]
    if len(members) > 1:
        drawn["second"] = members[1]
    drawn["fitted"] = members[int(np.argmax(fits))]
    drawn["mode"] = modes == held[0].id
    drawn["peak"] = modes == highest.id
    weights = comparison.stacked.stacking.weights
    chosen = int(chains.scored_lpd.sum(axis=0).argmax())
    found: dict[str, list[float]] = {}
    by_function = np.empty((len(members), len(tests)))
    for place, test in enumerate(tests):
        log_lik = _log_lik(posterior, tempered.rows, test)
        for part, own in drawn.items():
            found.setdefault(part, []).append(_density(log_lik[own]))
        by_function[:, place] = [_density(log_lik[own]) for own in members]
        by_chain = held_out_lpd(chains, test)
        for part, mixed in (
            ("stacked", _mixed(by_chain, weights)),
            ("alike", _mixed(by_chain, chains.lengths / chains.total_draws)),
            ("chosen", float(by_chain[:, chosen].mean())),
            ("chain", float(by_chain.mean())),
        ):
            found.setdefault(part, []).append(mixed)
    found["afterwards"] = by_function[by_function.mean(axis=1).argmax()].tolist()
    return found


def _log_lik(posterior: Posterior, rows: FloatArray, data: HeldOut) -> FloatArray:
    """Return the log likelihood of rows of data under draws, shape (S, N)."""
    assert posterior.network is not None
    return np.asarray(posterior.network.log_lik(posterior.unpack(rows), data.X, data.y))


def _density(log_lik: FloatArray) -> float:
    """Return the mean over the data of the log of the mean over draws of the likelihood."""
    return float(np.mean(logsumexp(log_lik, axis=0))) - float(np.log(len(log_lik)))


def _mixed(by_chain: FloatArray, weights: FloatArray) -> float:
    """Return the mean log density of rows, shape (N, C), under chains in a mixture."""
    used: BoolArray = weights > 0
    return float(logsumexp(by_chain[:, used], axis=1, b=weights[used]).mean())
