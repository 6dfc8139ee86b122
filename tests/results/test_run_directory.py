"""Run directories: what is written, what is read back, and what is protected."""

from __future__ import annotations

import json
import multiprocessing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from filelock import FileLock

import manymodes
from conftest import QUICK_NUTS, QUICK_POLYCHORD, closed_form, needs_tools
from manymodes.density.posterior import Posterior
from manymodes.errors import InputError, ResultsError
from manymodes.modes.comparison import Comparison
from manymodes.results.run_directory import (
    Results,
    load,
    open_posterior,
    run_directory,
    save_posterior,
    summarise,
    write_chains,
    write_draws,
)
from manymodes.runtime.storage import claim, read_arrays, read_json, write_arrays, write_json
from manymodes.sampling.chains.chains import Chains, run_chains
from manymodes.sampling.nested import Nested, run_nested
from summary_schema import SCHEMA, assert_follows


def write_results(folder: Path, comparison: Comparison) -> None:
    save_posterior(comparison.posterior, folder / "posterior")
    write_draws(comparison, folder, seed=1)


@pytest.fixture(scope="module")
def results(xor_comparison: Comparison, tmp_path_factory: pytest.TempPathFactory) -> Results:
    folder = tmp_path_factory.mktemp("run")
    write_results(folder, xor_comparison)
    write_json(
        folder / "summary.json", summarise({"full": xor_comparison}, command="sample", seed=1)
    )
    return load(folder)


# ---------------------------------------------------------------- reading back


def test_the_summary_follows_the_schema(results: Results) -> None:
    part = {"version": str, "source": str}
    schema = {
        "manymodes": str,
        "command": str,
        "seed": int,
        "toolchain": {"cmdstan": part, "bridge": part, "polychord": part},
        "posteriors": {"full": SCHEMA},
    }
    assert_follows(results.summary, schema)
    assert results.summary["manymodes"] == manymodes.__version__
    text = (results.folder / "summary.json").read_text()
    assert "NaN" not in text
    assert "Infinity" not in text


def test_chains_are_a_datatree(results: Results, xor_chains: Chains) -> None:
    data = {"observed_data", "constant_data"}
    assert set(results.chains.children) == {
        "posterior",
        "sample_stats",
        "log_likelihood",
        *data,
    }
    W = results.chains["posterior"]["W"].values
    np.testing.assert_array_equal(W, xor_chains.variables()["W"])
    assert results.chains["log_likelihood"]["y"].shape == (8, 200, 220)


def test_large_log_likelihoods_are_left_out(
    xor_chains: Chains, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("manymodes.results.run_directory._MOST_LOG_LIK", 8 * 200 * 220 - 1)
    assert not write_chains(xor_chains, tmp_path)
    tree = xr.open_datatree(tmp_path / "chains.nc", engine="h5netcdf")
    assert "sample_stats" in tree.children
    assert "log_likelihood" not in tree.children


def test_stacked_draws_come_from_the_chains(
    results: Results, xor_comparison: Comparison, xor_chains: Chains
) -> None:
    stacked, stacking = results.stacked, xor_comparison.stacking
    assert stacking is not None
    posterior = stacked["posterior"]
    for draw in (0, 1999, 3999):
        chain, number = (int(posterior[f"source_{of}"][draw]) for of in ("chain", "draw"))
        W = xor_chains.variables()["W"][chain, number]
        np.testing.assert_array_equal(posterior["W"][0, draw], W)
    counts = np.bincount(posterior["source_chain"].values, minlength=8)
    assert (np.abs(counts - 4000 * stacking.weights) < 1).all()
    assert stacked["predictions"]["mean"].shape == (1, 4000, 220)


def test_nested_are_anesthetic_samples(results: Results, xor_nested: Nested) -> None:
    assert len(results.nested) == len(xor_nested.logl)
    assert float(results.nested.logZ()) == pytest.approx(float(xor_nested.samples.logZ()))
    np.testing.assert_allclose(results.nested["W[2,1]"].to_numpy(), xor_nested.rows[:, 1])


def test_modes_are_a_table(results: Results, xor_comparison: Comparison) -> None:
    assert results.modes.index.names == ["posterior", "id"]
    first = results.modes.loc[("full", 1)]
    assert first["evidence"] == xor_comparison.summaries[0].evidence.value
    assert len(results.modes) == len(xor_comparison.summaries)


def test_the_posterior_can_be_evaluated(results: Results, xor: dict[str, Posterior]) -> None:
    eta = np.linspace(-1, 1, 9)
    opened = results.posterior()
    assert opened.log_density(eta) == xor["full"].log_density(eta)
    assert opened.network == xor["full"].network
    assert results.posterior("full").name == "full"
    with pytest.raises(InputError, match="'absent' is not one of: full"):
        results.posterior("absent")


def test_several_posteriors_have_branches(xor_comparison: Comparison, tmp_path: Path) -> None:
    both = {"full": xor_comparison, "again": xor_comparison}
    for name in both:
        write_results(tmp_path / name, xor_comparison)
    write_json(tmp_path / "summary.json", summarise(both, command="study xor", seed=1))
    found = load(tmp_path)
    assert found.names == ("full", "again")
    assert set(found.chains.children) == {"full", "again"}
    assert found.chains["again/posterior"]["W"].shape == (8, 200, 2, 2)
    assert set(found.nested) == {"full", "again"}
    assert set(found.modes.index.get_level_values("posterior")) == {"full", "again"}


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "holds no run"), ("{", "is damaged"), ("[]", "not a JSON object")],
)
def test_a_folder_without_a_summary_is_refused(
    tmp_path: Path, content: str | None, said: str
) -> None:
    if content is not None:
        (tmp_path / "summary.json").write_text(content)
    with pytest.raises(ResultsError, match=said):
        load(tmp_path)
    with pytest.raises(ResultsError, match="no such run directory"):
        load(tmp_path / "absent")


def test_what_was_not_run_is_named(tmp_path: Path) -> None:
    (tmp_path / "posterior").mkdir()
    found = Results(tmp_path, {"posteriors": {"one": {"modes": []}}})
    with pytest.raises(ResultsError, match=r"chains\.nc: the run has no such file"):
        found.chains  # noqa: B018
    with pytest.raises(ResultsError, match=r"nested\.csv: the run has no such file"):
        found.nested  # noqa: B018


@needs_tools
def test_one_of_two_posteriors_may_have_no_draws_of_an_engine(tmp_path: Path) -> None:
    """As in a lesson that integrates one of its posteriors only."""
    for kind in ("normal", "bernoulli"):
        posterior = closed_form(kind).compile()
        save_posterior(posterior, tmp_path / kind / "posterior")
        at = {"out": tmp_path / kind, "quiet": True}
        run_chains(posterior, chains=2, nuts=QUICK_NUTS, **at)
        if kind == "normal":
            run_nested(posterior, polychord=QUICK_POLYCHORD, runs=1, **at)
    found = Results(tmp_path, {"posteriors": {"normal": {}, "bernoulli": {}}})
    assert sorted(found.chains.children) == ["bernoulli", "normal"]
    assert list(found.nested_tree.children) == ["normal"]
    assert list(found.nested) == ["normal"]


@needs_tools
def test_a_run_that_is_not_finished_opens_with_what_is_there(tmp_path: Path) -> None:
    posterior = closed_form("normal").compile()
    save_posterior(posterior, tmp_path / "posterior")
    chains = run_chains(posterior, chains=2, nuts=QUICK_NUTS, out=tmp_path, quiet=True)
    run_nested(posterior, polychord=QUICK_POLYCHORD, runs=1, out=tmp_path, quiet=True)
    found = load(tmp_path)
    assert found.names == (posterior.name,)
    np.testing.assert_array_equal(
        found.chains["posterior"]["mu"].to_numpy(), chains.variables()["mu"]
    )
    assert found.nested.logZ() < 0
    assert found.nested_tree["posterior"].sizes["draw"] > 10
    with pytest.raises(ResultsError, match="no modes were searched"):
        found.modes  # noqa: B018
    with pytest.raises(ResultsError, match=r"tempered\.nc: the run has no such file"):
        found.tempered  # noqa: B018


@needs_tools
def test_a_saved_posterior_is_opened_as_it_was(tmp_path: Path) -> None:
    posterior = closed_form("bernoulli")
    save_posterior(posterior, tmp_path, "model.stan")
    opened = open_posterior(tmp_path)
    assert (opened.data, opened.name) == (posterior.data, "bernoulli")
    assert opened.program.folder == posterior.program.folder
    (tmp_path / "data.json").write_text("{")
    with pytest.raises(ResultsError, match=r"data\.json is damaged"):
        open_posterior(tmp_path)
    (tmp_path / "posterior.json").write_text("{}")
    with pytest.raises(ResultsError, match=r"posterior\.json is damaged"):
        open_posterior(tmp_path)


# ---------------------------------------------------------------- protecting


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


def test_overwriting_removes_results_and_nothing_else(tmp_path: Path) -> None:
    for name in ("chains/chain-00000.npz", "summary.json", "full/posterior/data.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("old")
    (tmp_path / "notes.txt").write_text("mine")
    before = contents(tmp_path)
    with (
        pytest.raises(InputError, match=r"holds notes\.txt, which is not a result"),
        run_directory(tmp_path, overwrite=True),
    ):
        pass
    assert contents(tmp_path) == before
    (tmp_path / "notes.txt").unlink()
    with run_directory(tmp_path, overwrite=True):
        assert contents(tmp_path) == {}


def hold(folder: Path, ready: Any, release: Any) -> None:
    with run_directory(folder):
        ready.set()
        release.wait(30)


@needs_tools
def test_a_second_run_at_once_is_refused(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    ready, release = context.Event(), context.Event()
    other = context.Process(target=hold, args=(tmp_path, ready, release))
    other.start()
    try:
        assert ready.wait(60)
        (tmp_path / "summary.json").write_text('{"manymodes": "0.2.0"}')
        with (
            pytest.raises(InputError, match="is in use by another run"),
            run_directory(tmp_path, overwrite=True),
        ):
            pass
        assert (tmp_path / "summary.json").exists()
    finally:
        release.set()
        other.join()
    with run_directory(tmp_path, overwrite=True):
        pass


def test_an_error_inside_is_passed_on_and_frees_the_directory(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="mine"), run_directory(tmp_path):
        raise InputError("mine")
    with FileLock(tmp_path / ".lock", timeout=0):
        pass


def test_an_unwritable_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(InputError, match="cannot be written"), run_directory(path):
            pass


# ---------------------------------------------------------------- storage


def test_a_claim_binds_a_folder_to_its_settings(tmp_path: Path) -> None:
    settings = {"seed": 1, "share": float("nan"), "sizes": (1, 2)}
    claim(tmp_path, settings, resume=False)
    claim(tmp_path, settings, resume=True)
    with pytest.raises(InputError, match="holds earlier results"):
        claim(tmp_path, settings, resume=False)
    with pytest.raises(InputError, match=r"\(seed was 1, is 2\)"):
        claim(tmp_path, {**settings, "seed": 2}, resume=True)


def test_numbers_survive_storage(tmp_path: Path) -> None:
    values = {"x": np.array([0.1, np.nan, np.inf]), "names": np.array(["a", "bc"])}
    write_arrays(tmp_path / "a.npz", values)
    found = read_arrays(tmp_path / "a.npz")
    np.testing.assert_array_equal(found["x"], values["x"])
    assert found["names"].tolist() == ["a", "bc"]
    write_json(tmp_path / "a.json", {"x": np.float64(0.1), "bad": float("nan"), "v": np.arange(2)})
    assert read_json(tmp_path / "a.json") == {"x": 0.1, "bad": None, "v": [0, 1]}
    assert json.loads((tmp_path / "a.json").read_text())["x"] == 0.1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.json", "a.npz"]


@pytest.mark.parametrize("content", [b"", b"PK", b"not an archive", b"\x93NUMPY"])
def test_a_damaged_archive_is_reported(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(ResultsError, match=r"a\.npz is damaged"):
        read_arrays(tmp_path / "a.npz")
