"""The diagnosis of chains whose behaviour is known: copies, stuck ones, short ones, cut ones."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from conftest import made_chains
from made_comparisons import XOR, make, make_posterior, summary
from manymodes.errors import InputError
from manymodes.modes.comparison import Comparison
from manymodes.modes.diagnosis import Diagnosis, diagnose, switching
from manymodes.modes.diagnosis.health import bfmi
from manymodes.modes.diagnosis.spaces import canonical_blocks, superchain_members
from manymodes.modes.find import Modes
from manymodes.networks.network import Network
from manymodes.networks.symmetry import act, random_members
from manymodes.report.diagnosis_verdict import verdict
from manymodes.report.findings import finding
from manymodes.report.plots import plot_accumulation, plot_switching, plot_traces
from manymodes.report.terminal import diagnosis_text
from manymodes.statistics.chain_weightings import weighings
from seeds import seeded
from sentences import tells

TANH = Network(2, (3,), activation="tanh", prior="normal:1")


def compared(
    eta: np.ndarray, labels: np.ndarray, network: Network | None = None, **given: Any
) -> Comparison:
    """A comparison of chains with given draws and modes (from 0; -1 where there is no draw)."""
    functions = given.pop("functions", None)
    starts = given.pop("starts_in", np.empty(0, dtype=int))
    n_modes = int(max(labels.max(), *starts, 0)) + 1
    functions = list(range(1, n_modes + 1)) if functions is None else functions
    chains = made_chains(replace(make_posterior(network), dims=eta.shape[2]), eta, **given)
    drawn = labels >= 0
    shares = np.array([(labels[drawn] == m).mean() for m in range(n_modes)])
    return Comparison(
        posterior=chains.posterior,
        chains=chains,
        nested=None,
        modes=Modes(
            peaks=np.zeros((n_modes, eta.shape[2])),
            heights=np.zeros(n_modes),
            chains=labels,
            nested=np.empty(0, dtype=int),
            reached_by_run=np.zeros((n_modes, 0), dtype=bool),
            functions=np.array(functions) - 1,
            disagreement=0.0,
            climbs=1,
            starts=starts,
        ),
        summaries=tuple(
            summary(m + 1, functions[m], occupancy=(shares[m], 0.0), chains=1)
            for m in range(n_modes)
        ),
        labels=np.arange(1, n_modes + 1),
        nested_weights=np.empty(0),
        stacked=None,
        rhat_weights=np.empty(0),
        rhat_function=np.empty(0),
    )


def normal(*shape: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seeded(seed)).normal(size=shape)


def copies(network: Network, n_chains: int, draws: int) -> np.ndarray:
    """Chains of one function, each moved to a random symmetric copy of it."""
    rng = np.random.default_rng(seeded(2))
    weights = {n: rng.normal(size=shape) for n, shape in network.weight_shapes.items()}
    drawn = {n: w + 0.05 * rng.normal(size=(n_chains, draws, *w.shape)) for n, w in weights.items()}
    orders, signs = random_members(network, n_chains, rng)
    moved = act(network, drawn, [o[:, None] for o in orders], [s[:, None] for s in signs])
    return np.concatenate([moved[n].reshape(n_chains, draws, -1) for n in moved], axis=2)


@pytest.mark.parametrize("network", [TANH, XOR], ids=["tanh", "sigmoid"])
def test_copies_of_one_function_differ_in_weight_space_alone(network: Network) -> None:
    eta = copies(network, 12, 100)
    found = diagnose(compared(eta, np.zeros((12, 100), dtype=int), network))
    assert [one.space for one in found.spaces] == ["weights", "canonical", "function"]
    weights, canonical, function = found.spaces
    assert weights.worst_rhat > 2
    assert not weights.agree
    assert canonical.agree
    assert function.agree
    assert weights.ess_bulk.min() < 30 < 600 < canonical.ess_bulk.min()
    assert "only which symmetric copy of one function" in verdict(found)


def test_canonical_weights_come_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    chains = compared(copies(TANH, 3, 10), np.zeros((3, 10), dtype=int), TANH).chains
    assert chains is not None
    whole = np.concatenate(list(canonical_blocks(chains)), axis=2)
    monkeypatch.setattr("manymodes.modes.diagnosis.spaces._AT_ONCE", 3 * 10 * 4)
    parts = list(canonical_blocks(chains))
    assert [part.shape[2] for part in parts] == [4, 4, 4, 1]
    np.testing.assert_array_equal(np.concatenate(parts, axis=2), whole)


def test_known_rhats_are_used_and_all_spaces_are_measured(xor_comparison: Comparison) -> None:
    found = diagnose(xor_comparison)
    weights, canonical, function = found.spaces
    np.testing.assert_array_equal(weights.rhat, xor_comparison.rhat_weights)
    np.testing.assert_array_equal(function.rhat, xor_comparison.rhat_function.ravel())
    assert len(canonical.rhat) == xor_comparison.posterior.dims
    assert function.ess_tail.shape == function.rhat.shape
    entry = json.loads(json.dumps(found.as_dict()))
    assert entry["coverage"]["modes"]["found"] == sum(m.chains > 0 for m in found.modes)
    assert sum(mode.draws for mode in found.modes) == 8 * 200
    assert sum(mode.divergences for mode in found.modes) == xor_comparison.chains.divergences
    assert all(0.1 < mode.bfmi < 3 for mode in found.modes if mode.chains)
    assert all(1 <= mode.steps < 1024 and 0 < mode.step_size < 5 for mode in found.modes)
    lines = diagnosis_text(found).splitlines()
    assert max(len(line) for line in lines) <= 88
    assert [line.split()[0] for line in lines[-3:]] == ["weights", "canonical", "function"]


def test_short_chains_that_agree_are_not_blamed_for_being_short() -> None:
    """1.01 is out of reach of 200 draws worth 50 independent ones; chains apart still disagree."""
    labels = np.zeros((64, 200), dtype=int)
    slow = normal(64, 200, 5)
    for t in range(1, 200):
        slow[:, t] = 0.6 * slow[:, t - 1] + 0.8 * slow[:, t]
    agreeing = diagnose(compared(slow, labels)).spaces[0]
    assert agreeing.worst_rhat > 1.01
    assert agreeing.agree
    slow[::2] += 0.6
    assert not diagnose(compared(slow, labels)).spaces[0].agree


def test_nested_rhat_of_stationary_and_of_stuck_superchains() -> None:
    labels = np.zeros((64, 100), dtype=int)
    found = diagnose(compared(normal(64, 100, 20), labels), superchains=8)
    assert found.mode_coverage.starts == 8
    space = found.spaces[0]
    excess, expected = space.nested_rhat**2 - 1, space.nested_expected**2 - 1
    error = math.sqrt(2 / 7 / 20)  # of a mean of 20 ratios with 7 degrees of freedom
    assert expected.mean() == pytest.approx(1 / 800, rel=0.15)
    assert excess.mean() == pytest.approx(expected.mean(), rel=4 * error + 0.2)  # max of two
    stuck = normal(64, 100, 3) + np.repeat(normal(8, 1, 3, seed=3), 8, axis=0)
    found = diagnose(compared(stuck, labels), superchains=8)
    value, expected_there = found.spaces[0].worst_nested
    assert value > 1.3 > 1.05 > expected_there
    assert "superchains of 8 chains from one start" in verdict(found)
    assert "nested R-hat" in diagnosis_text(found)
    assert diagnose(compared(stuck, labels, superchain=8)).superchains == 8
    assert diagnose(compared(stuck, labels)).spaces[0].nested_rhat.size == 0


def test_superchains_that_lack_a_chain_are_left_out() -> None:
    index = np.array([0, 1, 2, 4, 5, 7, 6, 9])
    np.testing.assert_array_equal(superchain_members(index, 2), [[0, 1], [3, 4], [6, 5]])
    assert len(superchain_members(index, 4)) == 0  # one complete superchain is not two
    assert len(superchain_members(index, 1)) == 0


LABELS = np.array(
    [
        [0, 0, 0, 0, 0, 0],
        [0, 1, 1, 0, 1, 1],
        [1, 1, 1, 1, 1, 1],
        [2, 2, 0, 0, -1, -1],
        [1, 1, 1, 1, 1, 1],
    ]
)


def moved_chains(**given: Any) -> Comparison:
    lengths = (LABELS >= 0).sum(axis=1)
    return compared(normal(5, 6, 2), LABELS, lengths=lengths, **given)


def test_chains_are_followed_from_start_to_end() -> None:
    comparison = moved_chains(starts_in=np.array([0, -1, 0, 2, 1]))
    moved = switching(comparison)
    assert moved.began.tolist() == [1, 1, 2, 3, 2]
    assert moved.ended.tolist() == [1, 2, 2, 1, 2]
    assert moved.main.tolist() == [1, 2, 2, 1, 2]
    assert moved.changes.tolist() == [0, 3, 0, 1, 0]
    assert moved.left.tolist() == [False, True, False, True, False]
    assert moved.moved_in_warmup == 1
    draws, starts = np.zeros((4, 4)), np.zeros((4, 4))
    draws[1, 1] = draws[1, 2] = draws[3, 1] = 1
    draws[2, 2] = 2
    starts[1, 1] = starts[0, 2] = starts[1, 2] = starts[3, 1] = starts[2, 2] = 1
    np.testing.assert_array_equal(moved.from_draws, draws)
    np.testing.assert_array_equal(moved.from_starts, starts)
    assert moved.transitions.sum() == 4 * 5 + 3
    entry = moved.as_dict()
    assert entry["transitions"] == [[1, 2, 2], [2, 1, 1], [3, 1, 1]]
    assert (entry["known_starts"], entry["left"], entry["ended_elsewhere"]) == (4, 2, 2)
    text = verdict(diagnose(comparison))
    assert tells(text, "2 of 5 chains", "left", "2 ended")
    assert tells(text, "1 of 4", "left", "warm-up")
    assert "from_start" not in switching(moved_chains()).as_dict()
    closing = " ".join(finding("it", {"it": comparison}).opening)
    assert tells(closing, "Two chains", "left")


def test_chains_that_were_cut_short_count_where_they_can() -> None:
    found = diagnose(moved_chains())
    assert found.cut == 1
    assert found.spaces[0].n_chains == 4
    assert np.isfinite(found.spaces[0].rhat).all()
    assert found.mode_counts.tolist() == [2, 3, 0]
    assert [mode.draws for mode in found.modes] == [10, 16, 2]
    assert [mode.stayed for mode in found.modes] == [1, 2, 0]
    assert tells(verdict(found), "One chain", "time limit")
    assert len(plot_traces(moved_chains()).axes) == 5


def test_health_is_that_of_each_mode() -> None:
    rng = np.random.default_rng(seeded(4))
    shape = (5, 6)
    stats = {
        "diverging": (LABELS == 1).astype(float) * (np.arange(6) > 3),
        "tree_depth": np.where(LABELS == 2, 10, 3),
        "n_steps": np.where(LABELS == 0, 7, 15),
        "acceptance_rate": np.full(shape, 0.9),
        "step_size": np.full(shape, 0.25),
        "energy": rng.normal(size=shape),
    }
    k = np.full((5, 4), 0.3)
    k[2, 0] = 0.9
    found = diagnose(moved_chains(stats=stats, lpd=np.zeros((5, 4)), pareto_k=k))
    first, second, third = found.modes
    assert [m.divergences for m in found.modes] == [0, 6, 0]
    assert second.divergent == pytest.approx(6 / 16)
    assert [m.at_depth_limit for m in found.modes] == [0, 0, 1]
    assert [m.steps for m in found.modes] == [7, 15, 15]
    assert first.acceptance == pytest.approx(0.9)
    assert second.step_size == pytest.approx(0.25)
    assert (second.pareto_k, second.bad_k) == (0.9, pytest.approx(1 / 12))
    assert (first.chains, second.chains, third.chains) == (2, 3, 0)
    assert math.isnan(third.bfmi)
    assert math.isnan(third.rhat)
    assert tells(verdict(found), "6", "diverged", "21 %", "100 %", "mode 2", "38 %")
    assert tells(verdict(found), "mode 3", "1 %", "depth")
    assert diagnose(moved_chains(stats=stats), max_treedepth=11).modes[2].at_depth_limit == 0


def test_energies_of_known_correlation() -> None:
    """E-BFMI is near 2 for independent energies and 2 (1 - rho) for an autoregression."""
    n = 4000
    energy = normal(2, n, seed=5)
    for t in range(1, n):
        energy[1, t] = 0.9 * energy[1, t - 1] + math.sqrt(1 - 0.81) * energy[1, t]
    stats = {"diverging": np.zeros((2, n)), "energy": energy}
    chains = made_chains(make_posterior(None), np.zeros((2, n, 4)), stats=stats)
    found = bfmi(chains, np.ones((2, n), dtype=int))
    np.testing.assert_allclose(found, [2, 0.2], rtol=0.15)


def test_starts_count_once_where_chains_share_them() -> None:
    labels = np.repeat([[0], [0], [0], [1], [2], [2], [0], [0]], 8, axis=1)
    comparison = compared(normal(8, 8, 2), labels, functions=[1, 2, 1])
    assert diagnose(comparison).mode_counts.tolist() == [5, 1, 2]
    assert diagnose(comparison).function_counts.tolist() == [7, 1]
    found = diagnose(comparison, superchains=2)
    assert found.mode_counts.tolist() == [3, 1, 1]
    assert found.function_counts.tolist() == [4, 1]
    assert (found.starts, found.mode_coverage.once) == (4, 2)
    assert tells(verdict(found), "superchain", "0.5", "unseen", "± 0.35")
    alone = verdict(diagnose(comparison))
    assert tells(alone, "1 of 3 modes", "one start", "next chain")
    assert tells(alone, "starting points", "not", "posterior mass")


def test_modes_that_no_chain_found_are_named() -> None:
    comparison = make()
    missed = replace(
        comparison.summaries[1], occupancy=replace(comparison.summaries[1].occupancy, value=0.0)
    )
    found = diagnose(replace(comparison, summaries=(comparison.summaries[0], missed)))
    assert tells(verdict(found), "No chain", "mode 2", "another engine", "18 %")


def apart(lpd: np.ndarray, *, evidence: bool = False) -> Comparison:
    """Two modes with two chains each, and the weightings of their scores."""
    labels = np.repeat([[0], [0], [1], [1]], 20, axis=1)
    comparison = compared(normal(4, 20, 2) + 9 * labels[..., None], labels, lpd=lpd)
    shares = np.eye(2)[labels[:, 0]]
    found = weighings(
        lpd.T,
        shares=shares,
        evidence=np.full(4, 0.25) if evidence else None,
        rng=np.random.default_rng(6),
    )
    return replace(comparison, weighings=found)


def test_the_share_of_draws_of_chains_that_do_not_mix_is_no_probability() -> None:
    lpd = np.full((4, 60), -3.0) + 0.05 * normal(4, 60)
    text = verdict(diagnose(apart(lpd)))
    assert "did not mix" in text
    assert "is not its probability" in text


def test_chains_that_mix_need_no_weights() -> None:
    labels = (normal(4, 500, seed=7) > 0).astype(int)
    found = diagnose(compared(normal(4, 500, 2, seed=8), labels))
    assert re.match(r"[^.;]*4 chains agree\b.*?R-hat.*? 1\.0", verdict(found))
    assert "can be read as its probability" in verdict(found)


def test_what_cannot_be_diagnosed_is_said() -> None:
    with pytest.raises(InputError, match="no chains to diagnose"):
        diagnose(make(chains=False))
    with pytest.raises(InputError, match="superchains: 0"):
        diagnose(moved_chains(), superchains=0)
    with pytest.raises(InputError, match="max_treedepth: 0"):
        diagnose(moved_chains(), max_treedepth=0)
    one = diagnose(compared(normal(1, 20, 2), np.zeros((1, 20), dtype=int)))
    assert one.spaces == ()
    assert verdict(one).startswith("R-hat needs two chains")
    assert one.mode_coverage.unseen_upper == 1


def written(figure: Figure, panel: int) -> list[int]:
    return [int(text.get_text()) for text in figure.axes[panel].texts]


def many_modes(n_modes: int, n_chains: int) -> Diagnosis:
    rng = np.random.default_rng(seeded(9))
    ends = rng.integers(n_modes, size=n_chains)
    labels = np.repeat(ends[:, None], 6, axis=1)
    labels[::5, :3] = 0
    starts = np.where(rng.random(n_chains) < 0.2, -1, ends)
    comparison = compared(normal(n_chains, 6, 2), labels, starts_in=starts)
    return diagnose(comparison)


@pytest.mark.parametrize(("n_modes", "n_chains"), [(3, 30), (35, 300)])
def test_every_chain_is_in_the_table_of_switches(n_modes: int, n_chains: int) -> None:
    figure = plot_switching(many_modes(n_modes, n_chains))
    assert len(figure.axes) == 2
    assert sum(written(figure, 0)) == sum(written(figure, 1)) == n_chains
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert len(names) <= 21
    assert names[-1] == "none"
    assert ("other" in names) == (n_modes > 20)


def test_accumulation_ends_at_what_was_found() -> None:
    found = many_modes(12, 30)
    axes = plot_accumulation(found).axes[0]
    x, y = axes.lines[0].get_data()
    assert (x[0], y[0]) == (1, pytest.approx(1))
    assert (x[-1], y[-1]) == (30, pytest.approx(found.mode_coverage.found))


# ---------------------------------------------------------------- where transitions diverge


def diverging_chains(chosen: Any) -> Comparison:
    """Four chains in two far places of the first coordinate; `chosen` says which draws diverge."""
    rng = np.random.default_rng(seeded(31))
    eta = rng.normal(size=(4, 200, 3))
    eta[:2, :, 0] += 50
    labels = np.repeat([[0], [0], [1], [1]], 200, axis=1)
    stats = {"diverging": chosen(eta, rng).astype(float)}
    return compared(eta, labels, stats=stats)


def test_divergent_draws_name_the_coordinate_at_whose_end_they_lie() -> None:
    """Of the second coordinate the low end; the place of a chain does not count."""

    def chosen(eta: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        in_the_neck = (eta[..., 1] < -1) & (rng.random(eta.shape[:2]) < 0.5)
        in_the_neck[2:] = False  # all of them in chains of one place
        return in_the_neck

    diagnosis = diagnose(diverging_chains(chosen))
    found = diagnosis.diverging_at
    assert found is not None
    assert (found.name, found.low) == ("x.2", True)
    assert found.rank < 0.15
    assert "They lie where x.2 is small" in verdict(diagnosis)
    assert diagnosis.as_dict()["diverging_at"]["name"] == "x.2"


@pytest.mark.parametrize("share", [0.02, 0.5])
def test_divergent_draws_all_over_the_place_blame_nothing(share: float) -> None:
    made = diverging_chains(lambda eta, rng: rng.random(eta.shape[:2]) < share)
    assert diagnose(made).diverging_at is None


def test_few_divergent_draws_blame_nothing() -> None:
    made = diverging_chains(lambda eta, rng: eta[..., 1] < np.sort(eta[..., 1].ravel())[5])
    assert diagnose(made).diverging_at is None
