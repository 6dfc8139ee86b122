"""The Metropolis adjusted microcanonical sampler: its draws, its statistics, its failures."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conftest import SAMPLE_STATS, closed_form, needs_tools, small_network
from exact import make
from manymodes.density.posterior import Posterior
from manymodes.errors import InputError, SamplingError, TimeLimitError
from manymodes.sampling.chains.chains import run_chains
from manymodes.sampling.chains.cmdstan_nuts import Adapted
from manymodes.sampling.chains.mams import mams_runner, run_mams
from manymodes.sampling.chains.nuts_settings import NutsSettings
from manymodes.sampling.chains.samplers import DECISIVE, METHODS, SAMPLERS, check_sampler
from manymodes.sampling.chains.settings import ChainSettings
from manymodes.statistics.diagnostics import ess_bulk

SHORT = NutsSettings(warmup=100, draws=60)


@pytest.fixture(scope="module")
def network(tools: object) -> Posterior:
    """Nine weights, bounded by their priors, on eight observations: far from normal."""
    return small_network().compile()


def test_every_sampler_says_what_decides_its_draws() -> None:
    assert DECISIVE.keys() == SAMPLERS.keys() == METHODS.keys()


def stein(posterior: Posterior, eta: Any) -> Any:
    """Return what has mean zero under the posterior, shape (S, 2 D).

    It is the gradient of the log density, and 1 plus the product of each coordinate with its
    derivative: by partial integration, whatever the density.
    """
    gradients = np.array([posterior.gradient(point)[1] for point in eta])
    return np.hstack([gradients, 1.0 + eta * gradients])


@needs_tools
@pytest.mark.parametrize(
    ("name", "delta"), [("network", 0.6), ("network", 0.95), ("regression", 0.2)]
)
def test_draws_are_of_the_posterior(
    network: Posterior, tmp_path: Path, name: str, delta: float
) -> None:
    """Means that are zero for any density, within 4.5 standard errors, at large and small steps."""
    posterior = network if name == "network" else make(name).posterior.compile()
    settings = NutsSettings(warmup=1000, draws=8000, adapt_delta=delta)
    start = np.full(posterior.dims, 0.5)
    chain = run_mams(posterior, settings, 4, tmp_path, start=start)
    found = stein(posterior, chain.eta)
    effective = np.array([float(ess_bulk(column[None])) for column in found.T])
    z = found.mean(axis=0) / found.std(axis=0) * np.sqrt(effective)
    assert np.abs(z).max() < 4.5
    assert effective.min() > 100
    assert 1 < (z**2).sum() < 3 * len(z)


@needs_tools
def test_a_chain_is_like_cmdstans(network: Posterior, tmp_path: Path) -> None:
    start = np.full(network.dims, 0.5)
    chain = run_mams(network, SHORT, 1, tmp_path, start=start)
    assert chain.eta.shape == (60, network.dims)
    np.testing.assert_array_equal(chain.rows, network.constrain_rows(chain.eta))
    assert set(chain.stats) == SAMPLE_STATS - {"energy"}
    assert all(v.shape == (60,) and v.dtype == float for v in chain.stats.values())
    lp = [network.log_density(eta) for eta in chain.eta]
    np.testing.assert_allclose(chain.stats["lp"], lp, rtol=1e-12)
    assert (chain.stats["n_steps"] < 2 ** (chain.stats["tree_depth"] + 1)).all()
    assert (chain.stats["acceptance_rate"] <= 1).all()
    assert set(chain.stats["diverging"]) <= {0.0, 1.0}
    assert chain.inv_metric.shape == (network.dims,)
    assert 0 < chain.sampling_seconds <= chain.seconds
    assert not chain.cut


@needs_tools
def test_settings_seed_and_start_decide(network: Posterior, tmp_path: Path) -> None:
    start = np.full(network.dims, 0.25)

    def draws(seed: int = 1, start: Any = start, **changes: Any) -> Any:
        return run_mams(network, replace(SHORT, **changes), seed, tmp_path, start=start)

    first = draws()
    np.testing.assert_array_equal(first.eta, draws().eta)
    assert (first.eta != draws(seed=2).eta).any()
    assert (first.eta != draws(start=-start).eta).any()
    assert len(draws(draws=33).eta) == 33
    assert draws(adapt_delta=0.99).step_size < draws(adapt_delta=0.3).step_size
    short = draws(max_treedepth=1)
    assert short.stats["n_steps"].max() == 2
    assert short.stats["tree_depth"].max() == 1
    assert len(draws(warmup=1).eta) == 60
    assert len(draws(start=None).eta) == 60


@needs_tools
def test_a_chain_stays_where_there_is_a_density(tmp_path: Path) -> None:
    """A region that the program rejects is a wall: divergent trajectories, and no draw behind."""
    posterior = small_network(constraint="ordered").compile()
    chain = run_mams(posterior, SHORT, 1, tmp_path, start=np.full(posterior.dims, 0.1))
    assert np.isfinite(chain.stats["lp"]).all()


@needs_tools
def test_a_start_without_a_density_is_reported_in_stans_words(tmp_path: Path) -> None:
    posterior = small_network("normal:1").compile()
    with pytest.raises(SamplingError, match="cannot start from its point"):
        run_mams(posterior, SHORT, 1, tmp_path, start=np.full(posterior.dims, 1e200))


@needs_tools
@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"seed": 0}, "seed: 0"),
        ({"start": np.zeros(2)}, "start: shape"),
        ({"settings": NutsSettings(warmup=0)}, "warmup: 0 is not 1 or more, which mams needs"),
        ({"adapted": "given"}, "share_warmup: mams takes no metric"),
    ],
)
def test_what_mams_cannot_do_is_refused(
    network: Posterior, tmp_path: Path, options: dict[str, Any], what: str
) -> None:
    given: dict[str, Any] = {"settings": SHORT, "seed": 1, "scratch": tmp_path, **options}
    if "adapted" in given:
        given["adapted"] = Adapted(np.ones(network.dims), 1.0, 10)
    with pytest.raises(InputError, match=f"^{what}"):
        run_mams(network, **given)


@needs_tools
def test_a_run_that_cannot_be_is_refused_before_its_folder_is_made(tmp_path: Path) -> None:
    out = tmp_path / "run"
    with pytest.raises(InputError, match="sampler: mams needs two parameters or more"):
        run_chains(closed_form(), chains=2, sampler="mams", out=out, quiet=True)
    assert not out.exists()


def test_chains_of_mams_start_from_climbs() -> None:
    assert ChainSettings(sampler="mams").starts_at == "climb"
    assert ChainSettings(sampler="mams", init="prior").starts_at == "prior"
    assert ChainSettings().starts_at == "radius:2"


@needs_tools
def test_a_chain_from_far_away_arrives(tmp_path: Path) -> None:
    """From 40 standard deviations off, where kicks turn the velocity against the force."""
    posterior = small_network("normal:1").compile()
    start = np.full(posterior.dims, 40.0)
    chain = run_mams(posterior, NutsSettings(warmup=600, draws=200), 1, tmp_path, start=start)
    assert np.abs(chain.eta).max() < 8


@needs_tools
def test_one_parameter_is_too_few(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="sampler: mams needs two parameters or more"):
        run_mams(closed_form(), SHORT, 1, tmp_path)


def test_mams_shares_no_warmup() -> None:
    check_sampler("mams")
    with pytest.raises(InputError, match="share_warmup: mams takes no metric of other chains"):
        check_sampler("mams", share_warmup=True)


@needs_tools
def test_the_time_limit_keeps_what_there_is(network: Posterior, tmp_path: Path) -> None:
    start = np.full(network.dims, 0.5)
    endless = NutsSettings(warmup=20, draws=1_000_000)
    chain = run_mams(network, endless, 1, tmp_path, start=start, time_limit=1.0)
    assert chain.cut
    assert 4 <= len(chain.eta) == len(chain.rows) < endless.draws
    first = run_mams(network, replace(endless, draws=4), 1, tmp_path, start=start)
    np.testing.assert_array_equal(chain.eta[:4], first.eta)
    never = NutsSettings(warmup=10_000_000, draws=10)
    with pytest.raises(TimeLimitError, match=r"limit of 0\.2 s came in warm-up, with 0 draws"):
        run_mams(network, never, 1, tmp_path, start=start, time_limit=0.2)


@needs_tools
def test_a_run_of_chains_and_more_of_them(network: Posterior, tmp_path: Path) -> None:
    """The run is kept, goes on, and has what a run of NUTS has, but for the energy."""
    given: dict[str, Any] = {"nuts": SHORT, "sampler": "mams", "seed": 3, "out": tmp_path}
    first = run_chains(network, chains=2, quiet=True, **given)
    more = run_chains(network, chains=3, resume=True, quiet=True, **given)
    np.testing.assert_array_equal(first.eta, more.eta[:2])
    assert set(more.stats) == SAMPLE_STATS - {"energy"}
    assert np.isfinite(more.lpd).all()


@needs_tools
def test_the_runner_refuses_what_it_does_not_know(tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text("speed 3\n")
    done = subprocess.run([mams_runner(), config], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "unknown key: speed" in done.stderr
