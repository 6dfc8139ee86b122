"""The mode and the function of every draw, in files and in the objects of other tools."""

from __future__ import annotations

import errno
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from anesthetic import NestedSamples, read_csv

from made_comparisons import make
from manymodes import load
from manymodes.density.labels import exported_names, renamed_text
from manymodes.density.posterior import Posterior
from manymodes.density.variables import Variable
from manymodes.errors import ResultsError, StorageError
from manymodes.modes.comparison import Comparison
from manymodes.results.draw_modes import mode_and_function, nested_samples
from manymodes.results.nested_export import nested_datatree
from manymodes.results.our_files import CHAINS
from manymodes.results.run_directory import (
    save_posterior,
    write_chain_modes,
    write_chains,
    write_draws,
)

GROUPS = ("posterior", "sample_stats", "observed_data", "constant_data", "log_likelihood")


def renumbered(comparison: Comparison) -> Comparison:
    """Return a comparison that numbers modes the other way round, and functions from 11."""
    most = len(comparison.labels) + 1
    summaries = tuple(
        replace(one, id=most - one.id, function=10 + one.function) for one in comparison.summaries
    )
    return replace(comparison, labels=most - comparison.labels, summaries=summaries)


def stats_of(folder: Path) -> xr.Dataset:
    with xr.open_dataset(folder / CHAINS, group="sample_stats", engine="h5netcdf") as there:
        return there.load()


# ---------------------------------------------------------------- numbers


def test_functions_are_those_of_the_modes_and_no_draw_is_zero() -> None:
    comparison = make()
    found = mode_and_function(comparison, np.array([[1, 2, 0], [2, 2, 1]]))
    assert found["mode"].tolist() == [[1, 2, 0], [2, 2, 1]]
    assert found["function"].tolist() == [[1, 2, 0], [2, 2, 1]]
    other = mode_and_function(renumbered(comparison), np.array([1, 2, 0]))
    assert other["function"].tolist() == [12, 11, 0]


def test_a_programs_own_mode_has_another_name() -> None:
    names = exported_names([Variable("mode", (), 0), Variable("function", (2,), 1)])
    assert names == {"mode": "mode_", "function": "function_"}
    assert "mode is called mode_" in renamed_text(names)


# ---------------------------------------------------------------- chains.nc


@pytest.fixture
def written(xor_comparison: Comparison, tmp_path: Path) -> Path:
    assert xor_comparison.chains is not None
    write_chains(xor_comparison.chains, tmp_path)
    return tmp_path


@pytest.mark.toolchain
def test_modes_are_added_and_replaced_and_all_else_stays(
    xor_comparison: Comparison, written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = xr.open_datatree(written / CHAINS, engine="h5netcdf").load()
    assert "mode" not in before["sample_stats"]

    def refuse(*_: Any) -> None:
        raise AssertionError("the log likelihood is computed again")

    monkeypatch.setattr(Posterior, "log_lik", refuse)
    for comparison in (xor_comparison, renumbered(xor_comparison)):
        write_chain_modes(comparison, written)
        after = xr.open_datatree(written / CHAINS, engine="h5netcdf").load()
        np.testing.assert_array_equal(after["sample_stats/mode"], comparison.chain_modes)
        functions = {mode.id: mode.function for mode in comparison.summaries}
        expected = [functions[mode] for mode in comparison.chain_modes.ravel().tolist()]
        assert after["sample_stats/function"].values.ravel().tolist() == expected
        assert set(after.children) == set(GROUPS) == set(before.children)
        assert after.attrs == before.attrs
        for group in GROUPS:
            kept = after[group].to_dataset().drop_vars(["mode", "function"], errors="ignore")
            xr.testing.assert_identical(kept, before[group].to_dataset())
    assert not list(written.glob(f"*{CHAINS}*part*"))


@pytest.mark.toolchain
def test_a_file_of_other_draws_is_written_anew(xor_comparison: Comparison, written: Path) -> None:
    with xr.open_datatree(written / CHAINS, engine="h5netcdf") as file:
        tree = file.load()
    (written / CHAINS).unlink()
    tree.isel(draw=slice(5)).to_netcdf(written / CHAINS, engine="h5netcdf")
    write_chain_modes(xor_comparison, written)
    np.testing.assert_array_equal(stats_of(written)["mode"], xor_comparison.chain_modes)


@pytest.mark.toolchain
def test_a_run_without_the_file_gets_none(xor_comparison: Comparison, tmp_path: Path) -> None:
    write_chain_modes(xor_comparison, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.toolchain
def test_a_damaged_file_is_named(xor_comparison: Comparison, written: Path) -> None:
    (written / CHAINS).write_bytes(b"no HDF5 at all")
    with pytest.raises(ResultsError, match=r"chains\.nc is damaged"):
        write_chain_modes(xor_comparison, written)


@pytest.mark.toolchain
def test_on_a_full_disk_the_file_stays_as_it_was(
    xor_comparison: Comparison, written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (written / CHAINS).read_bytes()

    def full(*_: Any, **__: Any) -> None:
        raise RuntimeError(f"Can't write data (file write failed, errno = {errno.ENOSPC})")

    monkeypatch.setattr(xr.Dataset, "to_netcdf", full)
    with pytest.raises(StorageError):
        write_chain_modes(xor_comparison, written)
    assert (written / CHAINS).read_bytes() == before
    assert [path.name for path in written.iterdir()] == [CHAINS]


# ---------------------------------------------------------------- nested runs


@pytest.mark.toolchain
def test_samples_of_anesthetic_carry_modes_through_the_file(
    xor_comparison: Comparison, tmp_path: Path
) -> None:
    nested = xor_comparison.nested
    assert nested is not None
    nested_samples(nested, xor_comparison).to_csv(tmp_path / "nested.csv")
    found = read_csv(tmp_path / "nested.csv")
    assert isinstance(found, NestedSamples)
    assert found["mode"].dtype.kind == "i"
    assert found.get_label("mode") == r"$\mathrm{mode}$"
    order = np.argsort(nested.logl, kind="stable")
    np.testing.assert_allclose(found["logL"], nested.logl[order], rtol=1e-12)
    np.testing.assert_array_equal(found["mode"], xor_comparison.nested_modes[order])
    np.testing.assert_allclose(found["W[1,2]"], nested.rows[order][:, 2], rtol=1e-12)
    assert float(found.logZ()) == pytest.approx(float(nested.samples.logZ()), rel=1e-12)


@pytest.mark.toolchain
def test_a_run_opens_with_modes_everywhere(xor_comparison: Comparison, tmp_path: Path) -> None:
    save_posterior(xor_comparison.posterior, tmp_path / "posterior")
    write_draws(xor_comparison, tmp_path, seed=1)
    run = load(tmp_path)
    np.testing.assert_array_equal(run.chains["sample_stats/mode"], xor_comparison.chain_modes)
    drawn = run.nested_tree["sample_stats"]
    expected = xor_comparison.nested_modes[drawn["point"].values]
    np.testing.assert_array_equal(drawn["mode"], expected)
    functions = {mode.id: mode.function for mode in xor_comparison.summaries}
    assert drawn["function"].values.ravel().tolist() == [
        functions[mode] for mode in expected.ravel().tolist()
    ]
    assert {"mode", "function"} <= set(run.nested.drop_labels().columns)


@pytest.mark.toolchain
def test_without_a_comparison_there_are_no_modes(xor_comparison: Comparison) -> None:
    nested = xor_comparison.nested
    assert nested is not None
    assert "mode" not in nested_samples(nested).drop_labels().columns
    tree = nested_datatree(nested, seed=1, log_likelihood=False)
    assert not {"mode", "function"} & set(tree["sample_stats"].data_vars)
