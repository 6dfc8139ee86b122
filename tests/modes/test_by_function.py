"""Functions without modes: from what chains and other draws predict."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import manymodes as mm
from conftest import needs_tools
from made_comparisons import XOR, make, several
from manymodes.modes.by_function import PILOT, functions_as_modes, is_hopeless
from manymodes.modes.checks import check
from manymodes.modes.diagnosis import diagnose
from manymodes.report import write_report
from manymodes.report.diagnosis_verdict import verdict
from manymodes.report.terminal import comparison_table
from seeds import seeded
from test_chain_groups import DRAWS, N_OBS, SD, chains_of


def posterior_of(chains: mm.Chains) -> Any:
    posterior: Any = chains.posterior
    posterior.dims, posterior.n_obs = 1, N_OBS
    return posterior


def tempered_of(chains: mm.Chains, eta: np.ndarray) -> Any:
    """Return what is read of tempered runs: draws of equal weight."""
    weights = np.full(len(eta), 1 / len(eta))
    return SimpleNamespace(posterior=chains.posterior, eta=eta, weights=weights)


def test_hopeless_is_where_nearly_every_climb_ends_elsewhere() -> None:
    assert is_hopeless(PILOT, PILOT)
    assert not is_hopeless(PILOT // 2, PILOT)
    assert not is_hopeless(PILOT - 1, PILOT - 1)  # too few climbs to tell


def test_tempered_draws_belong_to_the_function_that_they_predict_like() -> None:
    chains = chains_of([0.3, -0.3, 2.0, -2.0, 0.3], seeded(1))
    rng = np.random.default_rng(seeded(2))
    sign = rng.choice([-1, 1], size=400)
    centre = rng.choice([0.3, 2.0, 5.0], p=[0.6, 0.3, 0.1], size=400)
    spread = np.where(centre == 5.0, SD / 4, SD)  # the farther, the more log_lik scatters
    eta = (sign * (centre + spread * rng.normal(size=400)))[:, None]
    found = functions_as_modes(posterior_of(chains), chains, None, tempered_of(chains, eta))
    assert found.are_functions
    assert found.noun == "function"
    assert found.n_modes == 3  # two of chains, and one that tempering alone found
    assert found.chains[:, 0].tolist() == [0, 0, 1, 1, 0]
    expected = np.searchsorted([0.3, 2.0, 5.0], centre)
    # Functions that lie 17 spreads apart are never taken for one another.
    assert (found.tempered == expected).mean() > 0.99


def test_stray_draws_make_no_function_of_their_own() -> None:
    chains = chains_of([0.3, -0.3], seeded(3))
    rng = np.random.default_rng(seeded(4))
    eta = (0.3 + SD * rng.normal(size=1000))[:, None]
    eta[:4] += 8 * SD  # four of a thousand
    found = functions_as_modes(posterior_of(chains), chains, None, tempered_of(chains, eta))
    assert found.n_modes == 1


def test_without_chains_draws_are_one_function() -> None:
    chains = chains_of([0.3], seeded(5))
    eta = np.random.default_rng(seeded(6)).normal(size=(50, 1))
    found = functions_as_modes(posterior_of(chains), None, None, tempered_of(chains, eta))
    assert found.n_modes == 1
    assert found.chains.size == 0


def test_words_and_page_speak_of_functions_alone(tmp_path: Path) -> None:
    made = make(XOR, modes=several(3, functions=lambda mode: mode))
    modes = replace(made.modes, climbs=0, heights=np.full(3, np.nan))
    found = replace(
        made,
        modes=modes,
        summaries=tuple(replace(mode, height=float("nan")) for mode in made.summaries),
    )
    table = comparison_table("net", found)
    assert "3 functions" in table
    assert "found in function space" in table
    assert "nan" not in table
    said = verdict(diagnose(found))
    assert " mode" not in said.replace("modes: manymodes", "")
    write_report(tmp_path / "page.html", {"net": found}, title="Net")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "Modes of function" not in page
    assert ">nan" not in page
    checks = check(found)
    assert "Modes were not looked for" in checks.copies


@needs_tools
@pytest.mark.slow
def test_a_wide_network_has_functions_and_no_modes(tmp_path: Path) -> None:
    rng = np.random.default_rng(seeded(7))
    X = rng.normal(size=(60, 4))
    y = np.sin(X[:, 0]) + 0.1 * rng.normal(size=60)
    network = mm.Network(4, (12,), likelihood="normal", prior="normal:0.5")
    posterior = mm.Posterior.from_network(network, X, y).compile(quiet=True)
    nuts = mm.NutsSettings(150, 100, max_treedepth=7)
    chains = mm.run_chains(posterior, chains=4, nuts=nuts, seed=1, quiet=True)
    found = mm.compare(posterior, chains=chains, quiet=True)
    assert found.modes.are_functions
    assert sum(one.occupancy.value for one in found.functions) == pytest.approx(1)
    assert sum(one.stacking.value for one in found.functions) == pytest.approx(1)
    assert len(found.functions) <= 4
    assert chains.n_draws == 100 < DRAWS
