"""Models of the same data: probabilities, weights and scores against what is known exactly."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.polynomial.hermite_e import hermegauss
from scipy import special, stats

from conftest import (
    MODELS,
    QUICK_POLYCHORD,
    Y_NORMAL,
    closed_form,
    each_its_own,
    made_chains,
    needs_tools,
)
from manymodes.cli.main import main
from manymodes.density.posterior import Posterior
from manymodes.density.program import Program
from manymodes.errors import InputError, ResultsError
from manymodes.models import (
    ModelComparison,
    ModelRun,
    check_same_data,
    compare_models,
    probabilities,
)
from manymodes.models.runs import names
from manymodes.models.terms import loo_terms
from manymodes.modes.held_out import HeldOut
from manymodes.networks.network import Network
from manymodes.report import evidence_cells, models_answer, prediction_cells, write_models_report
from manymodes.report.model_remarks import model_cautions, model_notes, note_text
from manymodes.report.plots import families, plot_models, plot_units
from manymodes.report.terminal import models_text
from manymodes.results.run_directory import save_posterior
from manymodes.sampling.nested import run_nested
from manymodes.statistics.estimate import Estimate
from manymodes.statistics.loo import psis_loo
from manymodes.statistics.stacking import stack
from seeds import seeded
from sentences import tells

RNG = np.random.default_rng(seeded(11))
X = RNG.normal(size=(40, 2))
Y = (X[:, 0] * X[:, 1] > 0).astype(int)


def nested_of(log_z: float, sd: float = 0.1, **given: Any) -> Any:
    """Return what a comparison reads of nested runs."""
    values = {"log_prior_inside": (0.0, 0.0), "insertion_p": 0.5, "runs": (0, 0)}
    values |= {"prior_integral": None} | given
    return SimpleNamespace(log_z=log_z, log_z_sd=sd, log_z_restricted=log_z, **values)


def network_run(
    hidden: int = 2,
    *,
    log_z: float | None = None,
    lpd: Any = None,
    x: Any = X,
    y: Any = Y,
    over: Any = None,
    **kinds: Any,
) -> ModelRun:
    """Return a model of the network with made draws; ``kinds`` are arguments of `Network`.

    ``over`` has exposure or trials of counts.
    """
    kinds = {"activation": "sigmoid", "prior": "normal:1"} | kinds
    network = Network(np.shape(x)[1], (hidden,), **kinds)
    posterior = Posterior.from_network(network, x, y, **(over or {}))
    chains = None
    if lpd is not None:
        draws = np.zeros((len(lpd), 3, network.parameter_count))
        chains = each_its_own(made_chains(posterior, draws, lpd=lpd))
    return ModelRun(posterior, chains, None if log_z is None else nested_of(log_z))


# ---------------------------------------------------------------- probabilities


@pytest.mark.parametrize(("gap", "sds", "odds"), [(1.0, (0.3, 0.4), 1.0), (3.0, (1.0, 0.2), 4.0)])
def test_errors_of_probabilities_are_those_of_quadrature(
    gap: float, sds: tuple[float, float], odds: float
) -> None:
    """With two models, p = expit(d + s z) with z normal and s the root of the summed squares."""
    log_z = [Estimate(-50.0 + gap, sds[0]), Estimate(-50.0, sds[1])]
    prior = [odds / (1 + odds), 1 / (1 + odds)]
    found, intervals = probabilities(log_z, prior, np.random.default_rng(seeded(1)))
    centre, spread = gap + np.log(odds), np.hypot(*sds)
    nodes, weights = hermegauss(80)
    drawn, weights = special.expit(centre + spread * nodes), weights / weights.sum()
    sd = np.sqrt(weights @ drawn**2 - (weights @ drawn) ** 2)
    assert found[0].value == pytest.approx(special.expit(centre))
    assert sum(one.value for one in found) == pytest.approx(1)
    for one in found:  # 20,000 simulations: 0.5 % for a normal one, 3 sigma, skew besides
        assert one.sd == pytest.approx(sd, rel=0.03)
    ends = special.expit(centre + spread * stats.norm.ppf([0.05, 0.95]))
    np.testing.assert_allclose(intervals[0], ends, rtol=0.02)
    np.testing.assert_allclose(intervals[1], 1 - ends[::-1], rtol=0.04)


def test_what_is_not_known_has_no_probability() -> None:
    log_z = [Estimate(-3.0, 0.1), Estimate(), Estimate(-3.0, 0.1)]
    found, intervals = probabilities(log_z, [0.2, 0.4, 0.4], np.random.default_rng(1))
    assert found[0].value == pytest.approx(1 / 3)
    assert np.isnan([found[1].value, found[1].sd, *intervals[1]]).all()
    alone, _ = probabilities(log_z[:2], [0.5, 0.5], np.random.default_rng(1))
    assert np.isnan([one.value for one in alone]).all()


# ---------------------------------------------------------------- closed forms


def exact(prior_sd: float) -> tuple[float, float]:
    """Return log evidence and leave-one-out score of y ~ N(mu, 1), mu ~ N(0, prior_sd)."""
    n = len(Y_NORMAL)
    covariance = np.eye(n) + prior_sd**2
    log_z = stats.multivariate_normal(np.zeros(n), covariance).logpdf(Y_NORMAL)
    loo = 0.0
    for i in range(n):
        rest = np.delete(Y_NORMAL, i)
        precision = len(rest) + prior_sd**-2
        loo += stats.norm(rest.sum() / precision, np.sqrt(1 + 1 / precision)).logpdf(Y_NORMAL[i])
    return float(log_z), loo


@pytest.fixture(scope="session")
def conjugate(tools: Any, shared: Callable[[str], Any]) -> ModelComparison:
    """Three priors on the same normal mean: nested runs, and two chains of exact draws each."""
    runs = []
    rng = np.random.default_rng(seeded(2))
    for sd in (0.3, 1.0, 6.0):
        posterior = closed_form(prior=(sd, 1.0))
        with shared(f"conjugate-{sd}") as out:
            common: dict[str, Any] = {"out": out, "seed": seeded(1), "resume": True, "quiet": True}
            nested = run_nested(posterior, polychord=QUICK_POLYCHORD, **common)
        precision = len(Y_NORMAL) + sd**-2
        mu = Y_NORMAL.sum() / precision + rng.normal(size=(2, 1000, 1)) / np.sqrt(precision)
        lpd = [psis_loo(stats.norm(chain).logpdf(Y_NORMAL)).elpd_i for chain in mu]
        chains = made_chains(posterior, mu, lpd=lpd)
        runs.append(ModelRun(replace(posterior, name=f"sd {sd:g}"), chains, nested))
    return compare_models(runs, prior=[1, 2, 1])


def test_conjugate_models_have_their_exact_probabilities(conjugate: ModelComparison) -> None:
    found = {model.name: model for model in conjugate.models}
    truth = {f"sd {sd:g}": exact(sd) for sd in (0.3, 1.0, 6.0)}
    odds = {"sd 0.3": 0.25, "sd 1": 0.5, "sd 6": 0.25}
    log_z = np.array([truth[name][0] for name in odds])
    expected = special.softmax(log_z + np.log(list(odds.values())))
    for name, probability in zip(odds, expected, strict=True):
        model = found[name]
        assert abs(model.log_z.value - truth[name][0]) < 4 * model.log_z.sd
        assert abs(model.probability.value - probability) < 4 * model.probability.sd
        assert 0 < model.probability.sd < 0.1
        # 1000 draws a chain: errors of some 0.03 nats in five terms, 3 sigma.
        assert model.loo.value == pytest.approx(truth[name][1], abs=0.1)
    first = conjugate.models[0]
    assert first.probability.value == max(m.probability.value for m in conjugate.models)
    best = max(conjugate.models, key=lambda m: m.log_z.value)
    assert (best.log_bayes_factor.value, best.log_bayes_factor.sd) == (0, 0)
    wide = found["sd 6"]
    assert wide.log_bayes_factor.sd == pytest.approx(np.hypot(wide.log_z.sd, best.log_z.sd))


def test_models_are_stacked_by_their_own_terms(conjugate: ModelComparison) -> None:
    weights = stack(conjugate.loo_terms).weights
    found = [model.stacking.value for model in conjugate.models]
    np.testing.assert_allclose(found, weights, atol=1e-6)
    best = int(np.argmax(conjugate.loo_terms.sum(axis=0)))
    for k, model in enumerate(conjugate.models):
        gap = conjugate.loo_terms[:, k] - conjugate.loo_terms[:, best]
        assert model.loo.value == pytest.approx(conjugate.loo_terms[:, k].sum())
        assert model.loo_difference.value == pytest.approx(gap.sum())
        assert model.loo_difference.sd == pytest.approx(np.sqrt(5) * gap.std(ddof=1))


def test_data_of_programs_are_compared_by_name(conjugate: ModelComparison) -> None:
    assert conjugate.notes == ()  # prior has two entries, not one a row: a setting
    assert not any("prior" in text for text in model_cautions(conjugate))


# ---------------------------------------------------------------- leave-one-out


def test_terms_are_under_weights_that_have_not_seen_them() -> None:
    lpd = RNG.normal(-1, 1, size=(4, 12))
    model = network_run(lpd=lpd, x=X[:12], y=Y[:12])
    assert model.chains is not None
    fold = np.arange(12) % 3
    found = loo_terms(model.chains, fold)
    for i in range(12):
        weights = stack(lpd[:, fold != fold[i]].T).weights
        assert found[i] == pytest.approx(np.log(weights @ np.exp(lpd[:, i])))
    flattered = stack(lpd.T).score
    assert found.sum() < flattered


def test_more_chains_of_the_same_kind_gain_nothing() -> None:
    """Chains of noise: 24 of them overfit their stacking, but not the score of the model."""
    lpd = -1 + 0.5 * RNG.normal(size=(24, 200))
    x, y = RNG.normal(size=(200, 2)), RNG.integers(0, 2, 200)
    few = network_run(2, lpd=lpd[:2], x=x, y=y)
    many = network_run(3, lpd=lpd, x=x, y=y)
    found = {m.name: m for m in compare_models([few, many]).models}
    gain = found["H=3"].loo.value - found["H=2"].loo.value
    naive = stack(lpd.T).score - stack(lpd[:2].T).score
    # The even mixture of 24 is better than that of 2 by Jensen's inequality alone.
    even = special.logsumexp(lpd, axis=0, b=1 / 24).sum()
    assert found["H=3"].loo.value < even < stack(lpd.T).score
    assert gain < naive


def test_observations_of_density_zero() -> None:
    """Zero under one model makes its score -inf; under every chain it is left out of stacking."""
    lpd = np.full((2, 40), -1.0)
    lost, dead = lpd.copy(), lpd - 0.2
    lost[:, 3] = -np.inf
    found = {
        m.name: m
        for m in compare_models([network_run(1, lpd=lost), network_run(2, lpd=dead)]).models
    }
    assert found["H=1"].loo.value == -np.inf
    assert found["H=1"].loo_difference.value == -np.inf
    assert found["H=2"].loo_difference.value == 0
    assert found["H=1"].stacking.value + found["H=2"].stacking.value == pytest.approx(1)


def test_models_are_compared_by_what_all_of_them_score() -> None:
    """Each run has other observations without a score; one has none at all."""
    lpd = RNG.normal(-1, 0.3, size=(2, 40))
    first, second, third = lpd.copy(), lpd + 0.1, np.full((2, 40), np.nan)
    first[0, [3, 8]] = second[:, 5] = np.nan
    kept = [i for i in range(40) if i not in (3, 5, 8)]
    runs = [network_run(1, lpd=first), network_run(2, lpd=second), network_run(3, lpd=third)]
    comparison = compare_models(runs)
    found = {m.name: m for m in comparison.models}
    assert comparison.loo_terms.shape == (37, 3)
    alone = [network_run(1, lpd=lpd[:, kept], x=X[kept], y=Y[kept])]
    alone += [network_run(2, lpd=lpd[:, kept] + 0.1, x=X[kept], y=Y[kept])]
    same = {m.name: m for m in compare_models(alone).models}
    for name in ("H=1", "H=2"):
        assert found[name].loo.value == pytest.approx(same[name].loo.value)
        assert found[name].stacking.value == pytest.approx(same[name].stacking.value, abs=1e-6)
    assert np.isnan([found["H=3"].loo.value, found["H=3"].stacking.value]).all()
    said = " ".join(model_notes(comparison))
    assert tells(said, "3 of 40 observations", "no leave-one-out score", "some model")
    assert tells(said, "no observation", "leave-one-out score")
    for run in runs[:2]:
        assert run.chains is not None
        run.chains.lpd[:, 1:] = np.nan
    few = compare_models([network_run(1, lpd=first), network_run(2, lpd=third)])
    assert np.isnan([m.loo.value for m in few.models]).all()


# ---------------------------------------------------------------- what is missing


def test_what_a_run_lacks_is_unknown_and_never_zero() -> None:
    lpd = RNG.normal(-1, 0.3, size=(2, 40))
    runs = [
        network_run(1, log_z=-20.0, lpd=lpd),
        network_run(2, log_z=-19.0),
        network_run(3, lpd=lpd + 0.1),
    ]
    comparison = compare_models(runs)
    found = {m.name: m for m in comparison.models}
    assert [m.name for m in comparison.models] == ["H=2", "H=1", "H=3"]
    assert np.isnan([found["H=3"].log_z.value, found["H=3"].probability.value]).all()
    assert np.isnan([found["H=3"].log_bayes_factor.value, found["H=2"].loo.value]).all()
    assert np.isnan([found["H=2"].stacking.value, found["H=2"].pseudo_bma.value]).all()
    assert np.isnan([m.held_out.value for m in comparison.models]).all()
    assert found["H=1"].stacking.value + found["H=3"].stacking.value == pytest.approx(1)
    assert found["H=1"].probability.value == pytest.approx(special.expit(-1))
    assert any("H=3 is not known (no nested runs)" in text for text in model_notes(comparison))
    assert "Held out" not in prediction_cells(comparison)[0]
    assert evidence_cells(comparison)[3] == ("H=3", "13", "–", "–", "–")
    assert prediction_cells(comparison)[1] == ("H=2", "–", "–", "–")
    entry = json.loads(json.dumps(comparison.as_dict(), allow_nan=True))["models"][2]
    assert np.isnan(entry["probability"])
    nothing = compare_models([network_run(1, lpd=lpd), network_run(2)])
    assert "There are no posterior probabilities" in models_answer(nothing)[0]
    assert np.isnan([m.stacking.value for m in nothing.models]).all()


def test_large_errors_are_said_to_decide_nothing() -> None:
    sharp = compare_models([network_run(1, log_z=-20.0), network_run(2, log_z=-16.0)])
    assert sharp.cautions == ()
    assert models_answer(sharp)[0].startswith("2 hidden units have 98.2")
    vague = [replace(network_run(h), nested=nested_of(z, 1.5)) for h, z in ((1, -20.0), (2, -19.0))]
    comparison = compare_models(vague)
    assert tells(model_cautions(comparison)[0], "too large", "probability of H")
    assert tells(models_answer(comparison)[0], "errors of log Z", "open")
    doubtful = replace(network_run(1), nested=nested_of(-20.0, insertion_p=1e-4, runs=(0,)))
    texts = model_cautions(compare_models([doubtful, network_run(2, log_z=-10.0)]))
    assert "H=1: the insertion-index test" in texts[0]
    assert "one nested run" in texts[1]


def test_unreliable_terms_count_by_the_weight_of_their_chain() -> None:
    lpd = np.stack([np.full(40, -1.0), np.full(40, -9.0)])
    one = network_run(1, lpd=lpd)
    assert one.chains is not None
    k = np.full((2, 40), 0.2)
    k[0, :10] = k[1] = 0.9  # the second chain has no weight
    bad = replace(one, chains=each_its_own(replace(one.chains, pareto_k=k)))
    comparison = compare_models([bad, network_run(2, lpd=lpd)])
    found = {m.name: m.unreliable_loo for m in comparison.models}
    assert found["H=1"] == pytest.approx(0.25, abs=1e-3)
    assert found["H=2"] == 0
    assert "Pareto k above 0.7: 25.0 % of H=1" in model_cautions(comparison)[-1]


def test_a_prior_that_is_cut_off_is_put_right() -> None:
    mass = np.log(23 / 288)
    cut = network_run(2, log_z=-30.0 + mass, prior="uniform:5", constraint="pd-skew:reject")
    whole = network_run(2, log_z=-30.0, prior="uniform:5", constraint="pd-skew")
    comparison = compare_models([cut, whole])
    for model in comparison.models:
        assert model.log_z.value == pytest.approx(-30.0)
        assert model.probability.value == pytest.approx(0.5)
    assert "cuts its prior off" in model_notes(comparison)[0]


def test_one_model_in_two_guises_is_named() -> None:
    runs = [network_run(2, log_z=-30.0, constraint=name) for name in ("none", "ordered")]
    assert "unconstrained and ordered are one model" in model_notes(compare_models(runs))[0]
    signed = [network_run(2, log_z=-30.0, constraint=n) for n in ("none", "ordered-signed")]
    assert compare_models(signed).notes == ()  # of sigmoid units, signs are no exact symmetry


# ---------------------------------------------------------------- data


def test_networks_of_other_data_are_refused() -> None:
    one = network_run(2)

    def refused(other: ModelRun, said: str) -> None:
        with pytest.raises(InputError, match=said):
            check_same_data([one, other])

    refused(network_run(1, x=X[:30], y=Y[:30]), "has 30 observations and .* has 40")
    refused(network_run(1, y=1 - Y), "the targets y of .* evidence compares models of the same")
    order = RNG.permutation(40)
    refused(network_run(1, x=X[order], y=Y[order]), "the same values in another order")
    refused(network_run(1, x=RNG.normal(size=(40, 2))), "no column of inputs in common")
    refused(network_run(1, likelihood="normal"), "a density is not comparable with a probability")
    t = RNG.normal(size=40)
    numbers = [network_run(1, y=v, likelihood="normal") for v in (t, 3 * t + 2)]
    with pytest.raises(InputError, match="in other units; make both with, or without, --no-stand"):
        check_same_data(numbers)


def test_other_inputs_of_the_same_rows_are_a_choice_of_the_model() -> None:
    one = network_run(2)
    assert check_same_data([one, network_run(3)]) == ()
    [scaled] = check_same_data([one, network_run(2, x=3 * X + 1)])
    assert "scales its inputs otherwise" in note_text(scaled)
    wider = np.column_stack([X, RNG.normal(size=40)])
    [more] = check_same_data([one, network_run(2, x=wider)])
    assert "shares 2 of its 3 columns" in note_text(more)
    classes = network_run(2, likelihood="categorical", outputs=2)  # numbered from 1 in its data
    assert check_same_data([one, classes]) == ()


def test_models_of_counts_and_of_several_targets_are_compared() -> None:
    counts = np.arange(40)
    over = {"exposure": np.linspace(1, 2, 40)}
    one = network_run(2, y=counts, likelihood="poisson", over=over)
    other = network_run(2, y=counts, likelihood="negative-binomial", over=over)
    assert check_same_data([one, other]) == ()
    [note] = check_same_data([one, network_run(2, y=counts, likelihood="poisson")])
    assert "has another exposure than" in note_text(note)
    tries = [{"trials": np.full(40, n)} for n in (50, 60)]
    several = [network_run(2, y=counts, likelihood="binomial", over=t) for t in tries]
    with pytest.raises(InputError, match=r"the trials of .* differ from those of"):
        check_same_data(several)
    [note] = check_same_data([one, several[0]])
    assert tells(note_text(note), "only one", "exposure, trials", "not checked")
    y = RNG.normal(size=(40, 2))
    both = [
        network_run(2, y=y, outputs=2, likelihood=one)
        for one in ("normal", "heteroscedastic", "student:4")
    ]
    assert check_same_data(both) == ()
    with pytest.raises(InputError, match="the targets y"):
        check_same_data([both[0], network_run(2, y=y[:, 0], likelihood="normal")])
    with pytest.raises(InputError, match="a density is not comparable with a probability"):
        check_same_data([one, both[0]])


def own(**data: Any) -> ModelRun:
    return ModelRun(Posterior(Program(MODELS / "plain.stan"), data, "own"))


@needs_tools
def test_data_of_other_programs_are_compared_by_name() -> None:
    y = [0.1, 0.2, 0.4]
    one = own(N=3, y=y, x=[1, 2, 3], scale=2.0)
    assert check_same_data([one, own(N=3, y=y, x=[1, 2, 3], scale=5.0)]) == ()
    [other_x] = check_same_data([one, own(N=3, y=y, x=[1, 4, 9])])
    assert "another x than" in note_text(other_x)
    [unchecked] = check_same_data([one, own(N=3, y=y)])
    assert tells(note_text(unchecked), "agree in y")
    assert tells(note_text(unchecked), "only one", "x", "not checked")
    [apart] = check_same_data([one, own(N=3, z=[1, 2, 3])])
    assert "share no array of data" in note_text(apart)
    for other, said in (
        (own(N=4, y=[*y, 1.0]), "has 4 observations"),
        (own(N=3, y=[0.1, 0.2, 0.5]), "the targets y"),
        (own(N=3, x=[3, 2, 1]), "differ from those of .* in x"),
    ):
        with pytest.raises(InputError, match=said):
            check_same_data([one, other])
    network = network_run(2)
    assert "only one of them has X" in note_text(
        check_same_data([network, own(N=40, y=Y.tolist())])[0]
    )


# ---------------------------------------------------------------- names and directories


def test_names_say_what_differs() -> None:
    assert names([network_run(1), network_run(3)]) == ("H=1", "H=3")
    kinds = [
        network_run(2, activation="tanh", constraint="ordered"),
        network_run(3, activation="tanh"),
    ]
    assert names(kinds) == ("H=2 ordered", "H=3 unconstrained")
    y = RNG.normal(size=40)
    choices: tuple[dict[str, Any], ...] = ({}, {"skip": True}, {"sigma": 0.5})
    noisy = [network_run(2, y=y, likelihood="normal", **more) for more in choices]
    assert names(noisy) == ("unknown sigma no skip", "unknown sigma skip", "sigma=0.5 no skip")
    same = [
        replace(network_run(2, x=x), folders=(Path(where),))
        for x, where in ((X, "a/run"), (2 * X, "b/run"))
    ]
    assert names(same) == ("a/run", "b/run")
    mixed = [
        replace(one, folders=(Path(f"{i}"),)) for i, one in enumerate(map(network_run, (1, 2)))
    ]
    mixed.append(replace(own(y=[1, 2]), folders=(Path("mine"),)))
    assert names(mixed) == ("0 (H=1)", "1 (H=2)", "mine")
    assert names([own(y=[1]), own(y=[2])]) == ("own #1", "own #2")


def test_what_is_no_comparison_is_refused(tmp_path: Path) -> None:
    one = network_run(2, log_z=-3.0)
    with pytest.raises(InputError, match="they hold one model; give at least two"):
        compare_models([one])
    with pytest.raises(InputError, match="they hold no model"):
        compare_models([])
    with pytest.raises(ResultsError, match="holds no run"):
        compare_models([tmp_path, one])
    save_posterior(one.posterior, tmp_path / "run" / "posterior")
    with pytest.raises(ResultsError, match="no draws of any engine"):
        compare_models([tmp_path / "run", one])
    with pytest.raises(InputError, match="hold nested of the same posterior"):
        compare_models([one, network_run(2, log_z=-4.0)])
    with pytest.raises(InputError, match="is a run of the prior alone"):
        compare_models([one, replace(one, posterior=one.posterior.prior)])
    two = [one, network_run(1, log_z=-4.0)]
    with pytest.raises(InputError, match="3 odds for 2 models; give one for each of: H=2, H=1"):
        compare_models(two, prior=[1, 1, 1])
    with pytest.raises(InputError, match="not all positive"):
        compare_models(two, prior=[1, 0])
    with pytest.raises(InputError, match="seed: -1"):
        compare_models(two, seed=-1)


def test_engines_of_one_posterior_are_one_model() -> None:
    lpd = np.full((2, 40), -1.0)
    runs = [network_run(1, log_z=-20.0), network_run(2, log_z=-21.0), network_run(1, lpd=lpd)]
    found = {m.name: m for m in compare_models(runs).models}
    assert set(found) == {"H=1", "H=2"}
    assert (found["H=1"].chains, found["H=1"].nested_runs) == (2, 2)


def test_other_held_out_rows_are_not_compared() -> None:
    runs = [
        replace(network_run(h, log_z=-9.0 - h), held_out=HeldOut(X[:5], (Y[:5] + h) % 2))
        for h in (1, 2)
    ]
    comparison = compare_models(runs)
    assert comparison.n_held_out == 0
    assert "Different rows were held out" in model_notes(comparison)[0]


# ---------------------------------------------------------------- page and figures


def _heights(line: Any) -> list[float]:
    return [float(y) for y in line.get_ydata()]


def test_curves_are_by_family(tmp_path: Path) -> None:
    lpd = RNG.normal(-1, 0.2, size=(2, 40))
    runs = [
        network_run(h, log_z=-20.0 + h, lpd=lpd + 0.01 * h, prior=prior)
        for prior in ("normal:1", "normal:2")
        for h in (3, 1, 2)
    ]
    comparison = compare_models(runs)
    groups = families(comparison)
    assert set(groups) == {"normal:1", "normal:2"}
    assert [m.name for m in groups["normal:2"]] == [f"H={h} normal:2" for h in (1, 2, 3)]
    panels = plot_units(comparison).axes
    assert [axes.get_ylabel() for axes in panels] == ["log evidence (nats)", "LOO (nats)"]
    np.testing.assert_allclose(_heights(panels[0].lines[0]), [-19, -18, -17])
    [bars] = plot_models(comparison).axes
    first = comparison.models[0]
    assert bars.patches[0].get_width() == pytest.approx(100 * first.probability.value)
    page = tmp_path / "models.html"
    write_models_report(page, comparison, toolchain={})
    text = page.read_text(encoding="utf-8")
    assert "Six models of the same data" in text
    assert "How many hidden units" in text
    assert models_answer(comparison)[0] in text
    assert text.count("<svg ") == 2
    assert families(compare_models([runs[0], runs[3]])) == {}


def test_words_follow_the_differences() -> None:
    def answer(comparison: ModelComparison) -> str:
        return " ".join(models_answer(comparison))

    lpd = RNG.normal(-1, 0.4, size=(1, 40))
    worse = lpd - np.abs(RNG.normal(0.5, 0.1, size=(1, 40)))
    runs = [network_run(1, lpd=worse), network_run(2, lpd=lpd), network_run(3, lpd=lpd - 0.01)]
    comparison = compare_models(runs)
    assert tells(answer(comparison), "LOO", "not", "2 and 3 hidden units")
    clear = compare_models(runs[:2])
    assert tells(answer(clear), "LOO", "2 hidden units first")
    assert tells(models_text(clear), "Stacking", "2 hidden units", "weight")
    apart = compare_models([network_run(2, lpd=lpd), network_run(2, lpd=worse, activation="tanh")])
    assert tells(answer(apart), "LOO", "sigmoid first")


# ---------------------------------------------------------------- the command line


TABLE = "a,b,y\n" + "".join(
    f"{a:.3f},{b:.3f},{int(a * b > 0)}\n" for a, b in RNG.normal(size=(50, 2))
)


def test_from_a_table_to_the_models(
    tools: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two widths of one network: both engines, held-out rows, the page; then evidence alone."""
    (tmp_path / "table.csv").write_text(TABLE)
    study = tmp_path / "study"
    for hidden in ("1", "2"):
        net, run = tmp_path / f"net{hidden}", study / f"h{hidden}"
        made = ["network", str(tmp_path / "table.csv"), "--target", "y", "--hidden", hidden]
        assert main([*made, "--holdout", "0.2", "--out", str(net)]) == 0
        common = ["--out", str(run), "--no-modes", "--quiet"]
        nuts = ["--chains", "2", "--warmup", "150", "--draws", "100"]
        assert main(["sample", str(net), *nuts, *common]) == 0
        assert main(["evidence", str(net), "--nlive", "40", "--runs", "2", *common]) == 0
    out = tmp_path / "models"
    runs = [str(study / "h1"), str(study / "h2")]
    capsys.readouterr()
    assert main(["compare", *runs, "--prior-odds", "1,3", "--out", str(out), "--json"]) == 0
    said, err = capsys.readouterr()
    found = json.loads(said)
    assert err == ""
    assert found == json.loads((out / "models.json").read_text())
    assert (found["command"], found["n_obs"], found["n_held_out"]) == ("compare", 40, 10)
    assert found["held_out_engine"] == "chains"
    models = {entry["name"]: entry for entry in found["models"]}
    assert models["H=2"]["prior_probability"] == 0.75
    assert sum(entry["probability"] for entry in models.values()) == pytest.approx(1)
    assert sum(entry["stacking"] for entry in models.values()) == pytest.approx(1)
    gap = models["H=2"]["log_z"] - models["H=1"]["log_z"] + np.log(3)
    assert models["H=2"]["probability"] == pytest.approx(special.expit(gap))
    for entry in models.values():
        assert -2 < entry["held_out"] < 0
        assert entry["runs"][0] in runs
    assert {path.name for path in out.iterdir()} == {"models.html", "models.json"}

    assert main(["compare", str(study)]) == 0  # the directory of a study is its posteriors
    text = capsys.readouterr().out
    assert "hidden unit" in text
    assert "10 held out" in text
    for run in runs:
        for path in sorted((Path(run) / "chains").iterdir()):
            path.unlink()
        (Path(run) / "chains").rmdir()
    assert main(["compare", *runs, "--json"]) == 0
    alone = json.loads(capsys.readouterr().out)
    assert alone["held_out_engine"] == "nested"
    by_nested = {entry["name"]: entry for entry in alone["models"]}
    for name, entry in by_nested.items():
        assert entry["loo"] is None
        assert entry["stacking"] is None
        # Ten rows under both engines' draws of one posterior.
        assert entry["held_out"] == pytest.approx(models[name]["held_out"], abs=0.15)


def test_options_of_several_models_are_refused_with_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    save_posterior(closed_form(), run / "posterior")
    for arguments, said in (
        ([run, "--prior-odds", "1,2"], "--prior-odds is for several run directories"),
        ([run, "--out", tmp_path / "o"], "--out is for several run directories"),
        ([run, run, "--out", run], "holds a run: choose another directory"),
        ([run, run, "--prior-odds", "1,x"], "1,x is not a list of positive numbers"),
        ([run, tmp_path / "absent"], "no draws of any engine"),
        ([tmp_path / "absent", run], "absent holds no run"),
    ):
        assert main(["compare", *map(str, arguments)]) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert said in err
        assert err.count("\n") == 1
    assert not (tmp_path / "o").exists()
