"""Chains start from the draws of an engine: in proportion to weights, spread, none twice."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from conftest import QUICK_NUTS, QUICK_POLYCHORD, closed_form, needs_tools
from manymodes.errors import InputError, ResultsError
from manymodes.runtime.storage import write_arrays
from manymodes.sampling.chains.chains import run_chains
from manymodes.sampling.chains.engine_draws import engine_files, ordered_draws, read_draws
from manymodes.sampling.chains.starts import make_starts, parse_init, started_from
from manymodes.sampling.nested import run_nested
from manymodes.sampling.tempered import run_tempered
from seeds import seeded

WriteRuns = Callable[..., Path]


@pytest.fixture
def tempered_run(tmp_path: Path) -> WriteRuns:
    """Write a directory with tempered runs of which only the draws matter."""

    def write(*runs: tuple[Any, Any], asked: int | None = None) -> Path:
        folder = tmp_path / "run" / "tempered"
        folder.mkdir(parents=True)
        for number, (eta, ancestor) in enumerate(runs):
            draws = np.asarray(eta, dtype=float)
            at = np.zeros((len(draws), 4))
            at[:, 3] = ancestor
            write_arrays(
                folder / f"run-{number:03d}.npz", {"draws": draws.ravel(), "at_draws": at.ravel()}
            )
        if asked is not None:
            (folder / "settings.json").write_text(json.dumps({"asked": asked}))
        return tmp_path / "run"

    return write


# ---------------------------------------------------------------- spread


def test_every_chosen_draw_has_the_distribution_of_the_weights() -> None:
    rng = np.random.default_rng(seeded(1))
    weights = rng.dirichlet(np.full(12, 0.5))
    draws = ordered_draws(np.arange(12.0)[:, None], weights, np.zeros(12, dtype=int))
    kept = draws.weights > 0
    first = [draws.spread(1, seed)[0] for seed in range(4000)]
    counts = np.bincount(first, minlength=len(draws.eta))
    assert stats.chisquare(counts, 4000 * draws.weights[kept]).pvalue > 1e-4


def test_chosen_draws_are_spread_over_groups_and_none_is_taken_twice() -> None:
    shares = np.array([1, 2, 5, 8])
    group = np.repeat(np.arange(4), 100 * shares)
    draws = ordered_draws(np.arange(1600.0)[:, None], np.full(1600, 1 / 1600), group)
    for seed in range(50):
        chosen = draws.spread(64, seed)
        assert len(np.unique(chosen)) == 64
        np.testing.assert_array_equal(draws.spread(16, seed), chosen[:16])
        # A random choice would have a standard deviation of up to 4.
        assert np.abs(np.bincount(draws.group[chosen], minlength=4) - 4 * shares).max() <= 2
    assert not np.array_equal(draws.spread(64, 1), draws.spread(64, 2))


def test_all_draws_are_taken_before_there_are_none() -> None:
    draws = ordered_draws(np.arange(9.0)[:, None], np.arange(9) / 36, np.zeros(9, dtype=int))
    assert len(draws.eta) == 8  # one has no weight
    for seed in range(20):
        np.testing.assert_array_equal(np.sort(draws.spread(100, seed)), np.arange(8))


def test_equal_neighbours_are_one_draw_with_the_weight_of_all() -> None:
    eta = np.array([[1.0], [1.0], [1.0], [2.0], [3.0], [3.0]])
    draws = ordered_draws(eta, np.full(6, 1 / 6), np.array([0, 0, 0, 0, 1, 1]))
    np.testing.assert_array_equal(draws.eta[:, 0], [1, 2, 3])
    np.testing.assert_allclose(draws.weights, [1 / 2, 1 / 6, 1 / 3])
    np.testing.assert_array_equal(draws.group, [0, 0, 1])


# ---------------------------------------------------------------- what a run holds


def test_draws_of_tempered_runs_stand_by_run_and_tour(tempered_run: WriteRuns) -> None:
    run = tempered_run(([[1], [2], [3], [4]], [7, 5, 7, 5]), ([[5], [6]], [1, 1]))
    found = engine_files(run)
    assert found is not None
    assert found.engine == "tempered"
    draws = read_draws(found, 1)
    np.testing.assert_array_equal(draws.eta[:, 0], [2, 4, 1, 3, 5, 6])
    np.testing.assert_array_equal(draws.group, [0, 0, 1, 1, 2, 2])
    assert engine_files(run / "tempered") == found


def test_runs_count_that_the_last_command_asked_for(tempered_run: WriteRuns) -> None:
    found = engine_files(tempered_run(([[1]], [1]), ([[2]], [1]), asked=1))
    assert found is not None
    assert [file.name for file in found.files] == ["run-000.npz"]


def test_damaged_draws_and_those_of_another_dimension_are_refused(
    tempered_run: WriteRuns,
) -> None:
    run = tempered_run(([[1.0, 2.0]], [1]))
    found = engine_files(run)
    assert found is not None
    with pytest.raises(InputError, match=r"^init: .*shape \(2,\).*is \(3,\)"):
        read_draws(found, 3)
    write_arrays(found.files[0], {"draws": np.ones(5), "at_draws": np.ones(8)})
    with pytest.raises(ResultsError, match="do not fit one another"):
        read_draws(found, 2)


def test_tempered_draws_come_before_chains(tempered_run: WriteRuns) -> None:
    run = tempered_run(([[1.0], [2.0]], [1, 2]))
    (run / "chains").mkdir()
    write_arrays(run / "chains" / "chain-00000.npz", {"eta": np.zeros((3, 1))})
    assert [path.parent.name for path in parse_init(str(run)).files] == ["tempered"]
    assert [path.parent.name for path in parse_init(f"{run}/chains").files] == ["chains"]


def test_the_engine_is_read_from_what_the_chains_are_bound_to() -> None:
    assert started_from("tempered draws 0123") == "tempered"
    assert started_from("nested draws 0123") == "nested"
    assert [started_from(one) for one in ("run 0123", "radius:2", None, 3)] == [""] * 4


# ---------------------------------------------------------------- from end to end


@needs_tools
def test_draws_of_nested_runs_have_their_weights(tmp_path: Path) -> None:
    posterior = closed_form("normal")
    normal_nested = run_nested(
        posterior, runs=2, polychord=QUICK_POLYCHORD, seed=seeded(1), out=tmp_path, quiet=True
    )
    found = engine_files(tmp_path)
    assert found is not None
    assert found.engine == "nested"
    draws = read_draws(found, 1)
    assert len(draws.eta) <= len(normal_nested.eta)
    mean = float(draws.weights @ draws.eta[:, 0])
    assert mean == pytest.approx(float(normal_nested.weights @ normal_nested.eta[:, 0]), abs=1e-9)


@needs_tools
def test_chains_start_in_proportion_to_the_evidence(tmp_path: Path) -> None:
    posterior = closed_form("normal")
    run_tempered(posterior, runs=2, rounds=8, seed=seeded(1), out=tmp_path, quiet=True)
    starts = make_starts(posterior, str(tmp_path), chains=200, seed=seeded(2))
    assert starts.engine == "tempered"
    assert starts.identity.startswith("tempered draws ")
    found = np.array([starts.point(i)[0] for i in range(200)])
    draws = read_draws(engine_files(tmp_path), posterior.dims)  # type: ignore[arg-type]
    assert stats.ks_2samp(found, draws.eta[:, 0]).pvalue > 1e-3
    again = make_starts(posterior, str(tmp_path), chains=8, seed=seeded(2))
    np.testing.assert_array_equal([again.point(i)[0] for i in range(8)], found[:8])
    chains = run_chains(
        posterior, init=str(tmp_path), chains=2, nuts=QUICK_NUTS, seed=seeded(2), quiet=True
    )
    assert chains.started_from == "tempered"
    assert chains.select(chains.index < 1).started_from == "tempered"
    np.testing.assert_array_equal(chains.starts[:, 0], found[:2])
    other = closed_form("normal", (3.0, 1.0))
    assert make_starts(other, str(tmp_path), chains=2, seed=1).engine == ""
