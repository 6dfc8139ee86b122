"""The drift test is silent where an engine's draws are right, and speaks where they are wrong."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any, cast

import numpy as np
import pytest

from conftest import QUICK_POLYCHORD, Y_NORMAL, closed_form, needs_tools, small_network
from manymodes.modes.checks import Checks, Drift, check
from manymodes.modes.checks.drift import draws_of, drift_from, drift_of
from manymodes.modes.comparison import compare
from manymodes.report.checks_verdict import checks_verdict
from manymodes.sampling.chains.continued import ContinuedSettings
from manymodes.sampling.chains.engine_draws import WeightedDraws, ordered_draws
from manymodes.sampling.nested import run_nested
from manymodes.sampling.tempered import Tempered, TemperedRun, run_tempered
from seeds import seeded

SHORT = ContinuedSettings(chains=24, pilots=2, warmup=60, draws=40, seed=seeded(1))
LEVEL = Drift("tempered", 64, 40, 100, -9.2, 0.1, 0.2, 0.6, 0.5, 0.1, 0.4)


def normal_draws(wider: float) -> WeightedDraws:
    """Draws of the conjugate normal's posterior, or of one that is wider."""
    precision = 1 / 2.0**2 + len(Y_NORMAL)
    rng = np.random.default_rng(seeded(2))
    eta = Y_NORMAL.sum() / precision + wider * rng.normal(size=(400, 1)) / math.sqrt(precision)
    return ordered_draws(eta, np.full(400, 1 / 400), np.arange(400))


def made_run(n: int, tours: int) -> TemperedRun:
    """A run of which only draws and tours matter; tours follow one another."""
    nothing = np.zeros(n)
    return TemperedRun(
        rounds=(),
        betas=np.array([0.0, 1.0]),
        energies=np.zeros((n, 2)),
        eta=np.arange(float(n))[:, None],
        log_p=nothing,
        log_q=nothing,
        ancestor=np.arange(n) * tours // n,
        rejection=np.zeros(1),
        acceptance=np.ones(2),
        step=np.ones(2),
        steps=np.ones(2),
        failures=0,
        drawn=tours,
        drawn_inside=tours,
    )


# ---------------------------------------------------------------- the verdict of figures


@pytest.mark.parametrize(
    ("changes", "drifts"),
    [
        ({}, False),
        ({"change": 2.0, "change_p": 1e-4}, True),
        ({"change": -2.0, "rank_p": 2e-3}, True),
        ({"change": 0.4, "change_p": 1e-9, "rank_p": 2e-4}, False),  # of no matter
        ({"change": 2.0, "change_p": 0.02, "rank_p": 0.02}, False),  # chance
        ({"change": 2.0, "change_p": 0.004}, False),  # one of three tests
        ({"change": 2.0, "change_p": 0.004, "predictions_p": math.nan}, True),  # one of two
        ({"predictions": 0.7, "predictions_p": 2e-4}, True),
        ({"predictions": 0.3, "predictions_p": 2e-4}, False),
        ({"change_p": math.nan, "rank_p": math.nan, "predictions_p": math.nan}, None),
    ],
)
def test_a_drift_is_unlikely_and_matters(changes: dict[str, float], drifts: bool | None) -> None:
    drift = dataclasses.replace(LEVEL, **changes)
    assert drift.drifts is drifts
    kept = json.loads(json.dumps(drift.as_dict(), allow_nan=False))
    assert kept["drifts"] is drifts
    assert Drift.from_dict(kept).as_dict() == drift.as_dict()


def test_the_verdict_says_what_drifts_and_what_to_do() -> None:
    wrong = dataclasses.replace(LEVEL, change=3.1, change_sd=0.4, change_p=1e-6)
    none = Drift("nested", remark="there are only 5 different draws")
    said = checks_verdict(Checks((), (), 3.0, "", (LEVEL, wrong, none)))
    assert "64 chains that started from draws of parallel tempering do not drift" in said
    assert "drift away from them: the mean log density changes by +3.10 ± 0.40 nats" in said
    assert "--rounds" in said
    assert "no drift test of the draws of nested sampling: there are only 5" in said
    checks = Checks((), (), 3.0, "", (LEVEL,))
    assert Checks.from_dict(checks.as_dict()).drifts == (LEVEL,)


# ---------------------------------------------------------------- chains


@needs_tools
def test_right_draws_do_not_drift_and_wrong_ones_do() -> None:
    posterior = closed_form()
    right = drift_from("tempered", posterior, normal_draws(1.0), SHORT)
    assert right.drifts is False
    assert right.chains == right.groups == 24
    assert abs(right.change) < 5 * right.change_sd
    wrong = drift_from("tempered", posterior, normal_draws(3.0), SHORT)
    assert wrong.drifts is True
    # The mean of log p over a normal of three times the width is 4 nats lower.
    assert wrong.change == pytest.approx(4.0, abs=4 * wrong.change_sd + 0.5)


@needs_tools
def test_a_networks_predictions_take_part() -> None:
    tempered = run_tempered(
        small_network("normal:1"), runs=2, rounds=8, max_rounds=8, seed=seeded(1), quiet=True
    )
    drift = drift_of(tempered, SHORT)
    assert drift.drifts is False
    assert drift.predictions < 1.5
    assert 0 < drift.predictions_p <= 1


def test_few_tours_are_cut_into_blocks_of_each_run() -> None:
    for tours, groups in ((1, 2 * 8), (3, 2 * 10), (20, 2 * 20)):
        runs = tuple(made_run(n=100, tours=tours) for _ in range(2))
        tempered = Tempered(cast(Any, None), cast(Any, None), runs)
        assert len(np.unique(draws_of(tempered).group)) == groups


@needs_tools
def test_one_tour_that_is_not_there_yet_drifts() -> None:
    posterior = closed_form()
    eta = 3.0 * np.random.default_rng(seeded(5)).normal(size=(200, 1))
    run = dataclasses.replace(made_run(n=200, tours=1), eta=eta)
    drift = drift_of(Tempered(posterior, cast(Any, None), (run, run)), SHORT)
    assert drift.drifts is True
    assert 8 <= drift.groups <= 16


@needs_tools
def test_a_few_draws_are_no_test() -> None:
    draws = ordered_draws(np.ones((5, 1)), np.full(5, 0.2), np.arange(5))
    drift = drift_from("nested", closed_form(), draws, SHORT)
    assert drift.drifts is None
    assert drift.remark == "there are only 1 different draws"


@needs_tools
def test_a_check_takes_the_draws_of_both_engines() -> None:
    posterior = closed_form()
    tempered = run_tempered(posterior, runs=2, rounds=8, max_rounds=8, seed=seeded(3), quiet=True)
    nested = run_nested(posterior, polychord=QUICK_POLYCHORD, seed=seeded(3), quiet=True)
    comparison = compare(posterior, nested=nested, tempered=tempered, seed=seeded(3), quiet=True)
    assert check(comparison, seed=seeded(3)).drifts == ()
    checks = check(comparison, seed=seeded(3), drift=SHORT)
    assert [(one.engine, one.drifts) for one in checks.drifts] == [
        ("tempered", False),
        ("nested", False),
    ]
    said = checks_verdict(checks)
    assert "24 chains that started from draws of nested sampling do not drift" in said
