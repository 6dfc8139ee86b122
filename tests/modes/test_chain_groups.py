"""Chains of one function are found in function space, and share its stacking weight."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import manymodes as mm
from conftest import made_chains
from manymodes.modes.chain_groups import group_chains
from manymodes.modes.stacked_chains import stack_chains
from manymodes.statistics.loo import psis_loo
from seeds import seeded

N_OBS, DRAWS, SD = 40, 400, 0.1


def chains_of(means: Any, seed: int, sd: float = SD, autocorrelation: float = 0.0) -> mm.Chains:
    """Return chains of a normal mean of the square root of x: x and -x are one function."""
    rng = np.random.default_rng(seed)
    y = rng.normal(size=N_OBS)

    def log_lik(eta: np.ndarray) -> np.ndarray:
        return np.asarray(-0.5 * np.log(2 * np.pi) - 0.5 * (y - np.abs(eta)) ** 2)

    noise = rng.normal(size=(len(means), DRAWS))
    for i in range(1, DRAWS):
        noise[:, i] = (
            autocorrelation * noise[:, i - 1] + np.sqrt(1 - autocorrelation**2) * noise[:, i]
        )
    eta = (np.asarray(means)[..., None] + sd * noise)[..., None]
    lpd = np.stack([psis_loo(log_lik(chain)).elpd_i for chain in eta])
    posterior: Any = SimpleNamespace(
        network=None, has_log_lik=True, log_lik=log_lik, unconstrain=None
    )
    return made_chains(posterior, eta, lpd=lpd)


def test_copies_are_one_function_and_another_function_is_not() -> None:
    chains = chains_of([0.3, -0.3, 2.0, 0.3, -0.3, -2.0, 0.3], seeded(1))
    groups = group_chains(chains)
    assert groups.of_chain.tolist() == [0, 0, 1, 0, 0, 1, 0]


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("autocorrelation", [0.0, 0.9])
def test_chance_alone_makes_no_groups(seed: int, autocorrelation: float) -> None:
    chains = chains_of([0.3] * 12, seeded(seed), autocorrelation=autocorrelation)
    stacked = stack_chains(chains)
    assert stacked.groups.n_groups == 1
    np.testing.assert_allclose(stacked.stacking.weights, 1 / 12)
    assert stacked.stacking.effective_chains == pytest.approx(12)
    assert stacked.by_chain.effective_chains < 10


def test_a_chain_between_two_functions_does_not_join_them() -> None:
    means = np.repeat([0.2, 2.2, 1.2], [8, 8, 2])
    chains = chains_of(means, seeded(3))
    moving = chains.eta.copy()
    moving[16:] = np.concatenate([chains.eta[:2, :200], chains.eta[8:10, :200]], axis=1)
    lpd = chains.lpd.copy()
    for chain in (16, 17):
        lpd[chain] = psis_loo(chains.posterior.log_lik(moving[chain])).elpd_i
    groups = group_chains(made_chains(chains.posterior, moving, lpd=lpd))
    assert groups.of_chain[0] != groups.of_chain[8]
    assert len(set(groups.of_chain[:8].tolist())) == 1
    assert len(set(groups.of_chain[8:16].tolist())) == 1


def test_predictions_within_the_spread_do_not_hide_a_score_that_is_far_lower() -> None:
    chains = chains_of([0.0, 0.0, 0.9, 0.9], seeded(4), sd=0.5)
    groups = group_chains(chains)
    scores = chains.lpd.sum(axis=1)
    assert scores[:2].min() - scores[2:].max() > 5
    assert groups.of_chain[0] != groups.of_chain[2]


def test_a_program_without_log_lik_has_no_functions() -> None:
    chains = chains_of([0.3, 0.3], seeded(5))
    chains.posterior.has_log_lik = False  # type: ignore[misc]
    assert group_chains(chains).n_groups == 2
