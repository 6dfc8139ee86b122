"""Many chains: seeds, files, failures, resuming, and the draws as a DataTree."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from conftest import Y_NORMAL, closed_form, needs_tools
from manymodes.density.posterior import Posterior
from manymodes.errors import InputError, ResultsError, SamplingError
from manymodes.runtime.storage import SETTINGS, VERSIONS, read_json, write_json
from manymodes.sampling.attempts import first_seeds, retry_seed
from manymodes.sampling.chains.chain_files import record_file
from manymodes.sampling.chains.chains import Chains, load_chains, run_chains
from manymodes.sampling.chains.nuts_settings import NutsSettings
from manymodes.statistics.loo import psis_loo
from seeds import seeded

SHORT = NutsSettings(warmup=100, draws=60)
COLLIDING = 139


@pytest.fixture(scope="module")
def executor() -> Iterator[Executor]:
    """Threads: CmdStan is a process of its own, and they start at once."""
    with ThreadPoolExecutor(2) as pool:
        yield pool


def run(posterior: Posterior, executor: Executor | None = None, **options: Any) -> Chains:
    given = {"chains": 3, "nuts": SHORT, "quiet": True, "executor": executor, **options}
    return run_chains(posterior, **given)


# ---------------------------------------------------------------- seeds


def test_seeds_do_not_depend_on_the_number_of_chains() -> None:
    seeds = first_seeds(1, 300)
    assert seeds[:7] == first_seeds(1, 7)
    assert len(set(seeds)) == 300
    assert all(1 <= seed < 2**31 for seed in seeds)
    assert first_seeds(2, 1) != first_seeds(1, 1)


def test_no_two_chains_of_a_large_run_share_a_seed() -> None:
    """Seed 139 is one of those whose chains, drawn without a look at the others, would."""
    n = 10_000
    drawn = [
        int(child.generate_state(1)[0] % (2**31 - 1)) + 1
        for child in np.random.SeedSequence(COLLIDING).spawn(n)
    ]
    seeds = first_seeds(COLLIDING, n)
    assert len(set(drawn)) < len(set(seeds)) == n
    assert sum(a != b for a, b in zip(drawn, seeds, strict=True)) == n - len(set(drawn))


def test_a_further_attempt_has_a_seed_that_no_chain_has() -> None:
    seeds = first_seeds(1, 50)
    first = retry_seed(1, 3, 1, seeds)
    assert first not in seeds
    assert retry_seed(1, 3, 1, [*seeds, first]) != first
    assert len({retry_seed(1, i, a, seeds) for i in range(50) for a in (1, 2)}) == 100


def test_the_same_seed_gives_the_same_draws(normal: Posterior, executor: Executor) -> None:
    """In any kind of worker; and more chains keep the first ones."""
    first = run(normal, executor)
    processes = run(normal, None, chains=4, workers=2)
    np.testing.assert_array_equal(first.eta, processes.eta[:3])
    np.testing.assert_array_equal(first.lpd, processes.lpd[:3])
    other = run(normal, executor, chains=1, seed=2)
    assert (first.eta[0] != other.eta[0]).any()
    assert len({float(chain[0, 0]) for chain in processes.eta}) == 4


# ---------------------------------------------------------------- draws


def test_draws_are_of_the_posterior(normal: Posterior, executor: Executor) -> None:
    """The mean within 4 standard errors, at a quarter of the draws as effective size."""
    chains = run(
        normal, executor, chains=4, nuts=NutsSettings(warmup=200, draws=500), seed=seeded(1)
    )
    precision = len(Y_NORMAL) + 1 / 4
    mean, sd = Y_NORMAL.sum() / precision, precision**-0.5
    assert abs(chains.eta.mean() - mean) < 4 * sd / np.sqrt(chains.eta.size / 4)
    assert chains.eta.std() == pytest.approx(sd, rel=4 / np.sqrt(chains.eta.size / 4))
    np.testing.assert_array_equal(chains.variables()["mu"], chains.eta)
    assert (chains.n_chains, chains.n_draws, chains.divergences) == (4, 500, 0)


def test_leave_one_out_scores_are_those_of_the_draws(xor_chains: Chains) -> None:
    assert xor_chains.lpd.shape == xor_chains.pareto_k.shape == (8, 220)
    log_lik = xor_chains.posterior.log_lik(xor_chains.eta[2])
    loo = psis_loo(log_lik)
    # Tail lengths depend on the relative efficiency, hence not to the last digit.
    np.testing.assert_allclose(xor_chains.lpd[2], loo.elpd_i, atol=0.05)
    assert (xor_chains.lpd[2] < np.log(np.exp(log_lik).mean(axis=0)) + 1e-9).mean() > 0.9


def test_the_datatree_has_arvizs_groups(normal: Posterior, executor: Executor) -> None:
    chains = run(normal, executor)
    tree = chains.to_datatree()
    assert set(tree.children) == {"posterior", "sample_stats", "log_likelihood"}
    assert tree["posterior"]["mu"].dims[:2] == ("chain", "draw")
    assert tree["posterior"]["mu"].shape == (3, 60, 1)
    y = tree["log_likelihood"]["y"]
    assert y.dims == ("chain", "draw", "obs")
    expected = stats.norm.logpdf(Y_NORMAL, chains.eta[1, 7, 0], 1)
    np.testing.assert_allclose(y[1, 7], expected, rtol=1e-5)
    assert tree["sample_stats"]["diverging"].dtype == bool
    assert {"lp", "energy", "tree_depth", "n_steps", "step_size", "acceptance_rate"} <= set(
        tree["sample_stats"].data_vars
    )
    assert set(chains.to_datatree(log_likelihood=False).children) == {"posterior", "sample_stats"}


def test_matrices_keep_their_shape_in_the_datatree(xor_chains: Chains) -> None:
    tree = xor_chains.to_datatree(log_likelihood=False)
    assert tree["posterior"]["W"].shape == (8, 200, 2, 2)
    np.testing.assert_array_equal(tree["posterior"]["W"][:, :, 1, 0], xor_chains.rows[:, :, 1])


# ---------------------------------------------------------------- failures


@needs_tools
def test_a_failed_chain_is_reported_and_costs_the_others_nothing(executor: Executor) -> None:
    chains = run(closed_form(unlucky=0.4), executor, chains=8)
    assert 0 < len(chains.failures) < 8
    assert sorted([*chains.index.tolist(), *chains.failures]) == list(range(8))
    assert all("this seed is unlucky" in message for message in chains.failures.values())
    tree = chains.to_datatree()
    assert tree["posterior"].coords["chain"].values.tolist() == chains.index.tolist()


@needs_tools
def test_all_chains_failing_is_an_error_with_stans_message(
    executor: Executor, tmp_path: Path
) -> None:
    with pytest.raises(SamplingError, match=r"no chain finished: .*every point is rejected"):
        run(closed_form(rejects=True), executor, out=tmp_path)
    assert not list(tmp_path.rglob("chain-*"))
    assert not list(tmp_path.rglob(".running-*"))


# ---------------------------------------------------------------- resuming


def identity(path: Path) -> tuple[int, int]:
    return path.stat().st_ino, path.stat().st_mtime_ns


def test_only_a_missing_chain_is_run_again(
    normal: Posterior, executor: Executor, tmp_path: Path
) -> None:
    before = run(normal, executor, out=tmp_path)
    folder = tmp_path / "chains"
    kept = {i: identity(record_file(folder, i)) for i in (0, 2)}
    record_file(folder, 1).unlink()
    (folder / ".running-left").mkdir()
    after = run(normal, executor, out=tmp_path, resume=True)
    assert {i: identity(record_file(folder, i)) for i in (0, 2)} == kept
    np.testing.assert_array_equal(before.eta, after.eta)
    assert not (folder / ".running-left").exists()
    loaded = load_chains(normal, tmp_path)
    assert loaded is not None
    np.testing.assert_array_equal(loaded.rows, before.rows)
    assert load_chains(normal, tmp_path / "elsewhere") is None


@pytest.mark.parametrize("damage", ["cut", "changed", "empty"])
def test_a_damaged_chain_is_reported_and_run_again(
    normal: Posterior,
    executor: Executor,
    tmp_path: Path,
    damage: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = run(normal, executor, chains=1, out=tmp_path)
    path = record_file(tmp_path / "chains", 0)
    content = bytearray(path.read_bytes())
    if damage == "cut":
        content = content[: len(content) // 2]
    elif damage == "changed":
        content[300] ^= 0xFF
    else:
        content = bytearray()
    path.write_bytes(content)
    with pytest.raises(ResultsError, match=r"chain-00000\.npz is damaged") as caught:
        load_chains(normal, tmp_path)
    assert "\n" not in str(caught.value)
    after = run(normal, executor, chains=2, out=tmp_path, resume=True)
    assert capsys.readouterr().err == "manymodes: damaged chains are run again: 0\n"
    np.testing.assert_array_equal(before.eta[0], after.eta[0])
    assert path.with_suffix(".damaged").read_bytes() == bytes(content)


def test_other_versions_are_refused_though_every_chain_is_damaged(
    normal: Posterior, executor: Executor, tmp_path: Path
) -> None:
    """A run has begun, whatever is left of its chains."""
    run(normal, executor, chains=1, out=tmp_path)
    path = tmp_path / "chains" / SETTINGS
    kept = read_json(path)
    kept[VERSIONS][-1]["cmdstan"] = "2.26.0"
    write_json(path, kept)
    record_file(tmp_path / "chains", 0).write_bytes(b"")
    with pytest.raises(InputError, match=r"cmdstan was 2\.26\.0"):
        run(normal, executor, chains=1, out=tmp_path, resume=True)
    assert read_json(path) == kept


def test_a_chain_of_another_run_is_not_taken_for_one_of_this(
    normal: Posterior, executor: Executor, tmp_path: Path
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    first = run(normal, executor, out=here)
    run(normal, executor, out=there, seed=2)
    record_file(there / "chains", 1).replace(record_file(here / "chains", 1))
    record_file(there / "chains", 0).replace(record_file(here / "chains", 2))
    again = run(normal, executor, out=here, resume=True)
    np.testing.assert_array_equal(first.eta, again.eta)


def test_other_settings_are_not_continued(
    normal: Posterior, executor: Executor, tmp_path: Path
) -> None:
    run(normal, executor, chains=1, out=tmp_path)
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    with pytest.raises(InputError, match="holds earlier results"):
        run(normal, executor, out=tmp_path)
    changes: list[dict[str, Any]] = [{"seed": 2}, {"nuts": replace(SHORT, draws=61)}]
    for change in changes:
        with pytest.raises(InputError, match=r"other settings \((seed|draws) was \d+, is \d+\)"):
            run(normal, executor, out=tmp_path, resume=True, **change)
    with pytest.raises(InputError, match=r"other settings \(data was"):
        run(closed_form(prior=(1.0, 1.0)), executor, out=tmp_path, resume=True)
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


# ---------------------------------------------------------------- wrong input


@pytest.mark.parametrize(("option", "value"), [("chains", 0), ("seed", -1)])
def test_options_out_of_range_are_refused(
    normal: Posterior, option: str, value: int, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=f"{option}: {value} is not"):
        run(normal, out=tmp_path / "out", **{option: value})
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "setting",
    [
        {"warmup": -1},
        {"draws": 3},
        {"adapt_delta": 1.0},
        {"adapt_delta": float("nan")},
        {"max_treedepth": 0},
    ],
)
def test_settings_out_of_range_are_refused(setting: dict[str, Any]) -> None:
    name, value = next(iter(setting.items()))
    with pytest.raises(InputError, match=f"^{name}: {value} is not "):
        NutsSettings(**setting)


@needs_tools
def test_data_that_do_not_fit_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    right = closed_form()
    wrong = Posterior(right.program, {**right.data, "N": 9}, "wrong")
    with pytest.raises(InputError, match="do not fit"):
        run(wrong, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_unwritable_folder_is_refused(normal: Posterior, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        run(normal, out=tmp_path / "file" / "out")
