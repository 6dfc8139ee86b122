"""The comparison of models: several posteriors on the same data, by evidence and by prediction.

Together with prior probabilities the evidence gives the posterior probability of each model.
Leave-one-out, stacking and held-out rows ask how well each model predicts. The two may disagree,
because the evidence depends on the prior and predictions hardly do.

References
----------
.. [1] Kass, Raftery (1995). Bayes factors. Journal of the American Statistical Association 90.
.. [2] Yao, Vehtari, Simpson, Gelman (2018). Using stacking to average Bayesian predictive
   distributions. Bayesian Analysis 13(3).
.. [3] Yao, Vehtari, Gelman (2022). Stacking for non-mixing Bayesian computations: the curse and
   blessing of multimodal posteriors. Journal of Machine Learning Research 23(79).
.. [4] Sivula, Magnusson, Matamoros, Vehtari (2020). Uncertainty in Bayesian leave-one-out
   cross-validation based model comparison. arXiv:2008.10296.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.special import softmax
from threadpoolctl import threadpool_limits

from manymodes.errors import InputError
from manymodes.models.cautions import cautions, evidence_notes
from manymodes.models.data import check_same_data
from manymodes.models.remarks import (
    NothingScored,
    OtherLengths,
    OtherRowsHeldOut,
    PartlyScored,
    PredictionNote,
)
from manymodes.models.result import Model, ModelComparison
from manymodes.models.runs import ModelRun, Run, names, open_runs
from manymodes.models.terms import held_out_terms, loo_terms, unreliable_terms
from manymodes.modes.diagnosis import BAD_K
from manymodes.modes.headline import headline
from manymodes.runtime.seeds import check_seed
from manymodes.statistics.chain_weightings import weighings
from manymodes.statistics.estimate import Estimate
from manymodes.types import FloatArray

_SIMULATIONS = 20_000
_INTERVAL = (0.05, 0.95)
_FEWEST_PARTS = 10
_EFFORT = 5_000_000  # leave-one-out scores of a model, times the number of stackings
_NAN = float("nan")


def compare_models(
    runs: Sequence[Run], *, prior: Sequence[float] | None = None, seed: int = 1
) -> ModelComparison:
    """Compare several posteriors on the same data.

    Parameters
    ----------
    runs : sequence of path, Results, Comparison or ModelRun
        Run directories; the directory of a study counts as its posteriors. Chains and runs of
        one posterior in different directories are one model. A `Comparison` has no held-out
        rows.
    prior : sequence of float, optional
        Prior odds of the models, in the order of ``runs``; equal by default.
    seed : int
        Seed of folds, simulations and bootstraps.

    Returns
    -------
    ModelComparison
        The models with their probabilities, scores and weights, and cautions about them.

    Raises
    ------
    InputError
        There are fewer than two models, their data differ, or ``prior`` does not fit.
    ResultsError
        A directory holds no run, or a file in it is damaged.

    Notes
    -----
    Probabilities as in Kass and Raftery (1995); their errors come from normal errors of each log_z,
    simulated. The standard error of a LOO difference is too small if models predict nearly alike or
    observations are few (Sivula et al. 2020): differences below four nats say nothing.

    Stacking has two levels. Chains are stacked within their model (Yao, Vehtari and Gelman 2022),
    which gives the model's own predictive distribution; models are stacked by the leave-one-out
    terms of these (Yao et al. 2018). A single stacking of all chains of all models, summed by
    model, has at least the same score on the same terms, but it weighs pieces of models: one good
    chain would give weight to a model whose posterior as a whole predicts badly, and a model with
    more chains has more to choose from. So here the weight of a model belongs to the distribution
    whose LOO stands beside it. Each observation's term uses chain weights that were fitted without
    the observation (in large problems, without a part of the observations, down to tenths), because
    weights that had seen it would favour models with many different chains.

    Examples
    --------
    One hidden unit cannot tell the corners of the square apart:

    >>> # comparison, smaller: noisy XOR with two hidden units and with one
    >>> best = mm.compare_models([comparison, smaller]).models[0]
    >>> best.name, best.probability.value > 0.99
    ('H=2', True)
    """
    check_seed(seed)
    models = open_runs(runs)
    if len(models) < 2:
        raise InputError(
            f"runs: they hold {'one model' if models else 'no model'}; give at least two"
        )
    called = names(models)
    odds = _odds(prior, called)
    notes = [*check_same_data(models), *evidence_notes(models, called)]
    with threadpool_limits(limits=1, user_api="blas"):  # matrices are small
        dealing, simulating, resampling = np.random.default_rng(seed).spawn(3)
        log_z = [_log_z(model) for model in models]
        probability, interval = probabilities(log_z, odds, simulating)
        loo, said = _loo(models, dealing)
        held_out, engine, heard = _held_out(models)
        stacking, pseudo_bma = _weights(loo, resampling)
        loo_scores, held_out_scores = _scores(loo, len(loo)), _scores(held_out, 1)
        best = max((z for z in log_z if np.isfinite(z.value)), key=lambda z: z.value, default=None)
        found = [
            Model(
                called[i],
                model.folders,
                model.network,
                model.dims,
                model.chains.n_chains if model.chains is not None else 0,
                len(model.nested.runs) if model.nested is not None else 0,
                tempered_runs=len(model.tempered.runs) if model.tempered is not None else 0,
                log_z=log_z[i],
                probability=probability[i],
                interval=interval[i],
                log_bayes_factor=_against(log_z[i], best),
                loo=loo_scores[0][i],
                loo_difference=loo_scores[1][i],
                unreliable_loo=(
                    unreliable_terms(model.chains, BAD_K)
                    if model.chains is not None and model.scores_leave_one_out
                    else _NAN
                ),
                stacking=stacking[i],
                pseudo_bma=pseudo_bma[i],
                held_out=held_out_scores[0][i],
                held_out_difference=held_out_scores[1][i],
            )
            for i, model in enumerate(models)
        ]
    order = sorted(range(len(found)), key=lambda i: _rank(found[i]))
    ranked = tuple(found[i] for i in order)
    return ModelComparison(
        ranked,
        models[0].posterior.n_obs,
        len(held_out),
        engine,
        tuple(float(odds[i]) for i in order),
        loo[:, order],
        held_out[:, order],
        (*notes, *said, *heard),
        tuple(cautions(ranked, models, called)),
    )


def probabilities(
    log_z: Sequence[Estimate], prior: npt.ArrayLike, rng: np.random.Generator
) -> tuple[list[Estimate], list[tuple[float, float]]]:
    """Return the posterior probability of each model, and its central 90 % interval.

    Parameters
    ----------
    log_z : sequence of M Estimate
        Log evidences and their errors (nats); NaN if one is not known.
    prior : array of shape (M,)
        Prior probabilities.
    rng : numpy.random.Generator
        Source of the simulated errors.

    Returns
    -------
    probability, interval
        Probabilities among the models with a known evidence; NaN for the others, and for all if
        there are fewer than two. Values are those at the estimates, errors are standard deviations
        over simulated evidences.
    """
    values, sds = np.array([(z.value, z.sd) for z in log_z]).T
    known = np.flatnonzero(np.isfinite(values))
    probability, interval = [Estimate()] * len(values), [(_NAN, _NAN)] * len(values)
    if len(known) < 2:
        return probability, interval
    centre = values[known] + np.log(np.asarray(prior, dtype=float)[known])
    errors = sds[known] * rng.standard_normal((_SIMULATIONS, len(known)))
    drawn = softmax(centre + errors, axis=1)
    low, high = np.quantile(drawn, _INTERVAL, axis=0)
    for j, (k, value) in enumerate(zip(known, softmax(centre), strict=True)):
        probability[k] = Estimate(float(value), float(drawn[:, j].std(ddof=1)))
        interval[k] = (float(low[j]), float(high[j]))
    return probability, interval


def _odds(prior: Sequence[float] | None, called: Sequence[str]) -> FloatArray:
    odds = np.ones(len(called)) if prior is None else np.asarray(prior, dtype=float)
    if odds.shape != (len(called),):
        raise InputError(
            f"prior: {len(odds)} odds for {len(called)} models; give one for each of: "
            f"{', '.join(called)}"
        )
    if not ((odds > 0) & np.isfinite(odds)).all():
        raise InputError(f"prior: {odds.tolist()} are not all positive finite numbers")
    return np.asarray(odds / odds.sum())


def _log_z(model: ModelRun) -> Estimate:
    """Return a log evidence relative to a prior that adds up to 1.

    The program of ``pd-skew:reject`` cuts its prior off without renormalising it; this is
    corrected by its prior mass, which is known.
    """
    if not model.is_integrated:
        return Estimate()
    found = headline(model.nested, model.tempered).log_z
    value, sd = found.value, found.sd
    if model.network is not None and model.network.constraint == "pd-skew:reject":
        region = model.network.region
        value, sd = value - region.log_mass, float(np.hypot(sd, region.standard_error))
    return Estimate(float(value), float(sd))


def _loo(
    models: Sequence[ModelRun], rng: np.random.Generator
) -> tuple[FloatArray, list[PredictionNote]]:
    """Return the leave-one-out terms, shape (N, M), and what keeps them from being compared.

    The terms are of the observations that every chain of every model scores.
    """
    nothing = np.full((0, len(models)), np.nan)
    notes: list[PredictionNote] = [
        NothingScored(model.called)
        for model in models
        if model.chains is not None and model.chains.lpd.size and not model.chains.scored.any()
    ]
    scored = {i: m.chains for i, m in enumerate(models) if m.chains and m.scores_leave_one_out}
    if not scored:
        return nothing, notes
    if len(lengths := {chains.lpd.shape[1] for chains in scored.values()}) > 1:
        return nothing, [*notes, OtherLengths(tuple(sorted(lengths)))]
    common = np.all([chains.scored for chains in scored.values()], axis=0)
    n_obs = int(common.sum())
    if n_obs < len(common):
        notes.append(PartlyScored(n_obs, len(common)))
    if n_obs < 2:
        return nothing, notes
    most = max(chains.lpd.size for chains in scored.values())
    fold = rng.permutation(n_obs) % min(n_obs, max(_FEWEST_PARTS, _EFFORT // most))
    terms = np.full((n_obs, len(models)), np.nan)
    for i, chains in scored.items():
        terms[:, i] = loo_terms(chains, fold, common)
    return terms, notes


def _held_out(models: Sequence[ModelRun]) -> tuple[FloatArray, str, list[PredictionNote]]:
    """Return the terms of held-out rows, shape (n, M), the engine they are under, and notes."""
    nothing = np.full((0, len(models)), np.nan)
    have = [m for m in models if m.network is not None and m.held_out is not None]
    if len(have) < 2:
        return nothing, "", []
    y = [m.held_out.y for m in have if m.held_out is not None]
    units = {round(m.held_out.log_unit, 9) for m in have if m.held_out is not None}
    over = [m.held_out.counted_over for m in have if m.held_out is not None]
    trials = [one["trials"] for one in over if "trials" in one]
    same = all(np.array_equal(one, y[0]) for one in y)
    if len(units) > 1 or not (same and all(np.array_equal(one, trials[0]) for one in trials)):
        return nothing, "", [OtherRowsHeldOut()]
    engine = max(
        ("chains", "nested", "tempered"), key=lambda e: sum(getattr(m, e) is not None for m in have)
    )
    terms = np.full((len(y[0]), len(models)), np.nan)
    for i, model in enumerate(models):
        if model in have and getattr(model, engine) is not None:
            terms[:, i] = held_out_terms(model, engine)
    return terms, engine, []


def _scores(terms: FloatArray, times: int) -> tuple[list[Estimate], list[Estimate]]:
    """Return the mean of each column, times a number, and its difference from the best one's."""
    known = ~np.isnan(terms).any(axis=0) & (len(terms) > 0)
    scores, differences = ([Estimate()] * terms.shape[1] for _ in range(2))
    if not known.any():
        return scores, differences
    best = max(np.flatnonzero(known), key=lambda k: terms[:, k].mean())
    for k in np.flatnonzero(known):
        scores[k] = _mean(terms[:, k], times)
        with np.errstate(invalid="ignore"):  # -inf minus -inf, if both have density zero
            gap = np.where(terms[:, k] == terms[:, best], 0.0, terms[:, k] - terms[:, best])
        differences[k] = _mean(gap, times)
    return scores, differences


def _mean(terms: FloatArray, times: int) -> Estimate:
    if not np.isfinite(terms).all():
        return Estimate(float(times * terms.mean()), np.inf)
    sd = times * terms.std(ddof=1) / np.sqrt(len(terms)) if len(terms) > 1 else _NAN
    return Estimate(float(times * terms.mean()), float(sd))


def _weights(terms: FloatArray, rng: np.random.Generator) -> tuple[list[Estimate], list[Estimate]]:
    """Return the weight of each model by stacking and by pseudo-BMA+."""
    found = {name: [Estimate()] * terms.shape[1] for name in ("stacking", "pseudo-BMA+")}
    known = np.flatnonzero(~np.isnan(terms).any(axis=0)) if len(terms) else np.empty(0, int)
    told = terms[:, known]
    told = told[np.isfinite(told).any(axis=1)] if len(known) else told
    if len(known) > 1 and len(told) > 1:
        for one in weighings(told, shares=np.eye(len(known)), rng=rng):
            if one.name in found:
                for k, value, sd in zip(known, one.mode_weights, one.mode_sd, strict=True):
                    found[one.name][k] = Estimate(float(value), float(sd))
    return found["stacking"], found["pseudo-BMA+"]


def _against(log_z: Estimate, best: Estimate | None) -> Estimate:
    if best is None or log_z is best:
        return Estimate() if best is None else Estimate(0.0, 0.0)
    return Estimate(log_z.value - best.value, float(np.hypot(log_z.sd, best.sd)))


def _rank(model: Model) -> tuple[float, ...]:
    return tuple(
        -value if np.isfinite(value) else np.inf
        for value in (model.probability.value, model.log_z.value, model.loo.value)
    )
