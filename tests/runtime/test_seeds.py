"""Seeds: the smallest, the largest, and those that are none, in whatever takes one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conftest import needs_tools
from manymodes import compare_models
from manymodes.cli.main import main
from manymodes.errors import InputError
from manymodes.modes.comparison import compare
from manymodes.modes.find import find_modes
from manymodes.networks.audit import audit
from manymodes.networks.network import Network
from manymodes.results.nested_export import nested_datatree
from manymodes.results.stacked_draws import stack_draws
from manymodes.runtime.seeds import MAX_SEED, check_seed
from manymodes.sampling.attempts import first_seeds, retry_seed
from manymodes.sampling.base_measures import prior_measure
from manymodes.sampling.chains.cmdstan_nuts import MAX_SEED as MAX_CHAIN_SEED
from manymodes.sampling.chains.cmdstan_nuts import NutsChain
from manymodes.sampling.chains.nuts_settings import NutsSettings
from manymodes.sampling.chains.settings import ChainSettings
from manymodes.sampling.nested import run_nested
from manymodes.sampling.nested.settings import NestedSettings
from manymodes.studies.xor import xor_data
from manymodes.tables.frames import as_frame
from manymodes.tables.table import split

GOOD = (0, 1, 2**31 - 2, 2**31 - 1, 2**31, 2**32 - 1, 2**32, MAX_SEED, np.int64(7), np.uint64(5))
BAD = (-1, -(2**31), MAX_SEED + 1, 2**64, 10**30, 1.0, 1.5, "1", None, True, np.float64(2.0))

NOTHING: Any = None
TABLE = as_frame(__import__("pandas").DataFrame({"x": range(20), "y": [0, 1] * 10}))
TAKERS: dict[str, Callable[[Any], Any]] = {
    "check_seed": check_seed,
    "ChainSettings": lambda seed: ChainSettings(chains=1, seed=seed, nuts=NutsSettings()),
    "NestedSettings": lambda seed: NestedSettings(seed=seed),
    "audit": lambda seed: audit(Network(1, (1,)), orbits=10, seed=seed),
    "xor_data": lambda seed: xor_data(seed),
    "split": lambda seed: split(TABLE, "y", "bernoulli", 0.3, seed),
}
REFUSERS: dict[str, Callable[[Any], Any]] = {
    **TAKERS,
    "compare": lambda seed: compare(NOTHING, seed=seed),
    "find_modes": lambda seed: find_modes(NOTHING, chains=NOTHING, seed=seed),
    "compare_models": lambda seed: compare_models([], seed=seed),
    "nested_datatree": lambda seed: nested_datatree(NOTHING, seed=seed),
    "stack_draws": lambda seed: stack_draws(NOTHING, [1.0], seed=seed),
    "run_nested": lambda seed: run_nested(NOTHING, seed=seed),
}


@pytest.mark.parametrize("seed", GOOD, ids=str)
@pytest.mark.parametrize("name", TAKERS)
def test_every_seed_in_the_range_is_taken(name: str, seed: Any) -> None:
    TAKERS[name](seed)


@pytest.mark.parametrize("seed", BAD, ids=repr)
@pytest.mark.parametrize("name", REFUSERS)
def test_every_other_seed_is_one_line(name: str, seed: Any) -> None:
    with pytest.raises(InputError, match="seed: ") as caught:
        REFUSERS[name](seed)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("seed", GOOD, ids=str)
def test_seeds_of_chains_are_allowed_and_differ(seed: Any) -> None:
    seeds = first_seeds(seed, 50)
    more = [retry_seed(seed, index, attempt, seeds) for index in range(3) for attempt in (1, 2)]
    assert len({*seeds, *more}) == 56
    assert min(seeds + more) >= 1
    assert max(seeds + more) <= MAX_CHAIN_SEED
    assert first_seeds(seed, 20) == seeds[:20]


@needs_tools
@pytest.mark.parametrize("seed", [0, 2**31 - 1, 2**63 - 1])
def test_the_prior_and_the_starts_are_drawn_by_one_function(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What CmdStan is given is a seed that it takes, whatever the seed of the run."""
    given: list[int] = []

    def chain(prior: Any, settings: Any, own: int, scratch: Path) -> Any:
        given.append(own)
        draws = np.random.default_rng(own).normal(size=(settings.draws, prior.dims))
        return NutsChain(draws, draws, {}, 0.0, 0.0, np.ones(1), 0.1, cut=False)

    class Prior:
        dims = 1
        prior: Any

        def gradient(self, eta: Any) -> tuple[float, Any]:
            return float(-np.log(np.cosh(eta[0] ** 3))), -3 * eta**2 * np.tanh(eta**3)

    posterior: Any = Prior()
    posterior.prior = posterior
    monkeypatch.setattr("manymodes.sampling.chains.prior_draws.run_chain", chain)
    monkeypatch.setattr(
        "manymodes.sampling.base_measures.prior.improper_directions", lambda *_, **__: ()
    )
    base = prior_measure(posterior, seed=seed)
    assert base.components[0].families == ("student4",)
    assert len(set(given)) == 4
    assert all(1 <= own <= MAX_CHAIN_SEED for own in given)


@pytest.mark.parametrize("seed", ["-1", "1.5", "one", "1e3", str(2**70), "", "0x10"])
@pytest.mark.parametrize("command", ["audit --inputs 1", "study xor-seeds --out {out}"])
def test_the_command_line_refuses_the_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str, seed: str
) -> None:
    words = command.format(out=tmp_path / "out").split()
    assert main([*words, f"--seed={seed}"]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "seed" in said
    assert not (tmp_path / "out").exists()
