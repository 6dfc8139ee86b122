"""Parts of a run put together: the same bits as one run, whatever was killed on the way."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import manymodes as mm
from conftest import closed_form, needs_tools, small_network
from manymodes.density.posterior import Posterior
from manymodes.errors import (
    InputError,
    ResultsError,
    SamplingError,
    StorageError,
    StrayFileWarning,
    UnfinishedWarning,
    VersionsWarning,
)
from manymodes.results import merge_parts
from manymodes.results.merge_parts import merge_runs
from manymodes.results.run_directory import save_posterior, write_chains
from manymodes.runtime.storage import SETTINGS, VERSIONS, read_arrays, read_json, write_arrays
from manymodes.runtime.storage import write_json as write_settings
from manymodes.sampling.chains.chain_files import record_file, record_numbers
from manymodes.sampling.chains.chains import Chains, load_chains, run_chains
from manymodes.sampling.chains.nuts_settings import NutsSettings
from manymodes.sampling.nested import load_nested, run_nested
from manymodes.sampling.nested.settings import PolyChordSettings
from manymodes.sampling.tempered import load_tempered, run_tempered

SHORT = NutsSettings(warmup=60, draws=30)
TIMES = {"seconds", "sampling_seconds"}


@pytest.fixture(scope="module")
def executor() -> Iterator[Executor]:
    with ThreadPoolExecutor(2) as pool:
        yield pool


def deal(
    posterior: Posterior, folder: Path, parts: int, executor: Executor, **options: Any
) -> list[Path]:
    """Run every part into a folder of its own."""
    given = {"chains": 7, "nuts": SHORT, "quiet": True, "executor": executor, **options}
    outs = [folder / f"part-{k}" for k in range(1, parts + 1)]
    for k, out in enumerate(outs, start=1):
        run_chains(posterior, part=(k, parts), out=out, **given)
    return outs


def whole_run(posterior: Posterior, out: Path, executor: Executor, **options: Any) -> Chains:
    given = {"chains": 7, "nuts": SHORT, "quiet": True, "executor": executor, **options}
    chains = run_chains(posterior, out=out, **given)
    write_chains(chains, out)
    return chains


def assert_same(ours: Any, theirs: Any) -> None:
    """Compare two results of an engine, or values in them, bit for bit; times apart."""
    if isinstance(ours, np.ndarray):
        assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
        assert ours.tobytes() == theirs.tobytes()
    elif isinstance(ours, dict):
        assert ours.keys() == theirs.keys()
        for key, value in ours.items():
            assert_same(value, theirs[key])
    elif isinstance(ours, tuple | list):
        assert len(ours) == len(theirs)
        for one, other in zip(ours, theirs, strict=True):
            assert_same(one, other)
    elif hasattr(ours, "__dataclass_fields__"):
        for field in fields(ours):
            if field.name not in TIMES | {"posterior"}:
                assert_same(getattr(ours, field.name), getattr(theirs, field.name))
    else:
        assert ours == theirs


def assert_same_trees(ours: Path, theirs: Path) -> None:
    with (
        xr.open_datatree(ours, engine="h5netcdf") as one,
        xr.open_datatree(theirs, engine="h5netcdf") as other,
    ):
        assert one.attrs["belongs_to"] == other.attrs["belongs_to"]
        assert one.groups == other.groups
        for group in one.groups:
            assert list(one[group].data_vars) == list(other[group].data_vars)
            for name in one[group].data_vars:
                assert_same(one[group][name].values, other[group][name].values)


def contents(*folders: Path) -> dict[str, bytes]:
    """Return all files of some folders, hidden ones too."""
    return {
        str(path): path.read_bytes()
        for folder in folders
        for path in folder.rglob("*")
        if path.is_file()
    }


def read(posterior: Posterior, out: Path) -> Chains:
    found = load_chains(posterior, out)
    assert found is not None
    return found


@pytest.fixture(scope="module")
def dealt(
    normal: Posterior, executor: Executor, tmp_path_factory: pytest.TempPathFactory
) -> tuple[list[Path], Chains, Path]:
    """Three parts of seven chains, and the same chains in one piece: none of it to be changed."""
    folder = tmp_path_factory.mktemp("dealt")
    whole = whole_run(normal, folder / "whole", executor)
    return deal(normal, folder, 3, executor), whole, folder / "whole"


# ---------------------------------------------------------------- the same bits


def test_parts_are_the_run_and_are_only_read(
    dealt: tuple[list[Path], Chains, Path], normal: Posterior, tmp_path: Path
) -> None:
    parts, whole, one_piece = dealt
    before = contents(*parts)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        merged = merge_runs([*parts, parts[1]], tmp_path / "run", posterior=normal)
        assert_same(read(normal, tmp_path / "run"), whole)
    assert_same(merged.chains, whole)
    assert (merged.nested, merged.tempered) == (None, None)
    assert contents(*parts) == before
    assert_same_trees(tmp_path / "run" / "chains.nc", one_piece / "chains.nc")
    for name in ("settings.json", "failures.json"):
        ours, theirs = (out / "chains" / name for out in (tmp_path / "run", one_piece))
        assert json.loads(ours.read_text()) == json.loads(theirs.read_text())


@pytest.mark.parametrize(
    "options",
    [
        {"chains": 6, "superchain": 3},  # parts of two chains cut through those that share a start
        {"init": "prior"},
        {"init": "climb"},
        {"sampler": "mams"},
        {"sampler": "nutpie"},
        {"seed": 2**40, "nuts": NutsSettings(warmup=60, draws=20, adapt_delta=0.9)},
    ],
    ids=str,
)
def test_whatever_decides_a_chain_is_the_same_in_a_part(
    normal: Posterior, executor: Executor, tmp_path: Path, options: dict[str, Any]
) -> None:
    if options.get("sampler") == "nutpie":
        pytest.importorskip("nutpie")
    posterior = small_network() if options.get("sampler") == "mams" else normal
    whole = whole_run(posterior, tmp_path / "whole", executor, **options)
    parts = deal(posterior, tmp_path, 3, executor, **options)
    assert_same(merge_runs(parts, tmp_path / "run", posterior=posterior).chains, whole)


def test_starts_from_the_draws_of_a_run_are_the_same_in_a_part(
    dealt: tuple[list[Path], Chains, Path], normal: Posterior, executor: Executor, tmp_path: Path
) -> None:
    run_tempered(normal, runs=2, rounds=8, out=tmp_path / "drawn", quiet=True)
    for init in (dealt[2], tmp_path / "drawn"):
        out = tmp_path / init.name
        whole = whole_run(normal, out / "whole", executor, init=str(init), seed=3)
        parts = deal(normal, out, 3, executor, init=str(init), seed=3)
        merged = merge_runs(parts, out / "run", posterior=normal)
        assert_same(merged.chains, whole)
    assert merged.chains is not None
    assert merged.chains.started_from == "tempered"


def test_failures_and_further_attempts_are_those_of_the_whole_run(
    normal: Posterior, executor: Executor, tmp_path: Path
) -> None:
    unlucky = closed_form(unlucky=0.6)
    options: dict[str, Any] = {"chains": 12, "retries": 1}
    whole = whole_run(unlucky, tmp_path / "whole", executor, **options)
    assert whole.failures
    assert whole.attempts.any()
    for k in range(1, 13):  # each chain is a part; where it fails, its part does
        out = tmp_path / f"{k:02d}"
        given = {"nuts": SHORT, "quiet": True, "executor": executor, **options}
        if k - 1 in whole.failures:
            with pytest.raises(SamplingError, match="no chain finished: 2 attempts"):
                run_chains(unlucky, part=(k, 12), out=out, **given)
        else:
            run_chains(unlucky, part=(k, 12), out=out, **given)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        parts = sorted(tmp_path.glob("[01]*"))
        merged = merge_runs(parts, tmp_path / "run", posterior=unlucky)
    assert_same(merged.chains, whole)
    failed = [tmp_path / f"{i + 1:02d}" for i in whole.failures]
    with pytest.raises(SamplingError, match="no part has a finished chain or run: 2 attempts"):
        merge_runs(failed, tmp_path / "none", posterior=unlucky)
    assert not (tmp_path / "none").exists()


# ---------------------------------------------------------------- missing, killed, resumed


def test_what_is_missing_is_said_by_part_and_completed_bit_for_bit(
    dealt: tuple[list[Path], Chains, Path], normal: Posterior, executor: Executor, tmp_path: Path
) -> None:
    """A part that was killed has some chains; another one has not begun; one more was not given."""
    parts, whole, _ = dealt
    killed = tmp_path / "killed"
    shutil.copytree(parts[0], killed)
    record_file(killed / "chains", 1).unlink()
    (tmp_path / "idle").mkdir()
    out = tmp_path / "run"
    with pytest.warns() as said:
        merged = merge_runs([killed, parts[2], tmp_path / "idle"], out, posterior=normal)
    lines = [str(one.message) for one in said]
    assert [one.category for one in said] == [StrayFileWarning, UnfinishedWarning]
    assert lines[0] == f"{tmp_path / 'idle'} holds no chains or runs, and is left out"
    assert f"{out}: 3 of 7 chains are missing: part 1 of 3 (chain 1), " in lines[1]
    assert "part 2 of 3 (not given, chains 2 to 3); " in lines[1]
    assert f"sample --resume --out {out}" in lines[1]
    assert merged.chains is not None
    assert merged.chains.unfinished == (4, 7)
    with pytest.warns(UnfinishedWarning, match="only 4 of 7 chains are finished"):
        load_chains(normal, out)
    shutil.copytree(out, tmp_path / "again")
    # The unfinished run itself, and a part of other parts, are parts like any other.
    finer = tmp_path / "finer"
    options: dict[str, Any] = {"chains": 7, "nuts": SHORT, "quiet": True, "executor": executor}
    run_chains(normal, part=(1, 2), out=finer, **options)
    with pytest.warns(UnfinishedWarning, match=r"1 of 7 chains are missing: chain 3; merge more"):
        merge_runs([out, finer], tmp_path / "mixed", posterior=normal)
    assert_same(run_chains(normal, out=out, resume=True, **options), whole)  # either way
    merged = merge_runs([parts[0], parts[1]], tmp_path / "again", posterior=normal, resume=True)
    assert_same(merged.chains, whole)
    with pytest.raises(InputError, match="continue them with --resume"):
        merge_runs(parts, out, posterior=normal)
    assert_same(read(normal, out), whole)


@pytest.mark.parametrize("files", range(7))
def test_a_merge_that_ends_anywhere_goes_on(
    dealt: tuple[list[Path], Chains, Path],
    normal: Posterior,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    files: int,
) -> None:
    parts, whole, _ = dealt
    left = iter([True] * files)

    def killed(path: Path, arrays: Any) -> None:
        if not next(left, False):
            raise KeyboardInterrupt
        write_arrays(path, arrays)

    with monkeypatch.context() as patched:
        patched.setattr(merge_parts, "write_arrays", killed)
        with pytest.raises(KeyboardInterrupt):
            merge_runs(parts, tmp_path, posterior=normal)
    assert len(record_numbers(tmp_path / "chains")) == files
    merged = merge_runs(parts, tmp_path, posterior=normal, resume=True)
    assert_same(merged.chains, whole)


def test_a_full_disk_ends_a_merge_and_loses_nothing(
    dealt: tuple[list[Path], Chains, Path],
    normal: Posterior,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    parts, whole, _ = dealt
    savez = np.savez

    def full(file: Any, **arrays: Any) -> None:
        if "chain-00002" in file.name:
            with open("/dev/full", "wb", buffering=0) as device:
                device.write(b"0")
        savez(file, **arrays)

    with monkeypatch.context() as patched:
        patched.setattr(np, "savez", full)
        with pytest.raises(StorageError, match=r"chain-00002\.npz cannot be written: No space"):
            merge_runs(parts, tmp_path, posterior=normal)
    assert record_numbers(tmp_path / "chains") == [0, 1]
    assert_same(merge_runs(parts, tmp_path, posterior=normal, resume=True).chains, whole)


def test_a_damaged_file_in_the_merged_run_is_copied_again(
    dealt: tuple[list[Path], Chains, Path], normal: Posterior, tmp_path: Path
) -> None:
    parts, whole, _ = dealt
    merge_runs(parts, tmp_path, posterior=normal)
    record_file(tmp_path / "chains", 3).write_bytes(b"PK")
    assert_same(merge_runs(parts, tmp_path, posterior=normal, resume=True).chains, whole)
    assert (tmp_path / "chains" / "chain-00003.damaged").exists()


def test_a_part_goes_on_as_itself_only(
    dealt: tuple[list[Path], Chains, Path], normal: Posterior, executor: Executor, tmp_path: Path
) -> None:
    out = tmp_path / "part"
    shutil.copytree(dealt[0][1], out)
    record_file(out / "chains", 3).unlink()
    options = {"chains": 7, "nuts": SHORT, "quiet": True, "executor": executor, "resume": True}
    with pytest.warns(UnfinishedWarning) as said:
        load_chains(normal, out)
    assert "only 1 of 2 chains are finished" in str(said[0].message)
    assert f"{out} holds part 2 of 3 of a run" in str(said[1].message)
    for wrong, text in (
        ({}, r"holds part 2 of 3 of a run: go on with --part 2/3"),
        ({"part": (1, 3)}, r"holds part 2 of 3, dealt from 7, .* asked for is part 1 of 3"),
        ({"part": (2, 4)}, r"holds part 2 of 3, dealt from 7, .* asked for is part 2 of 4"),
        ({"part": (2, 3), "chains": 8}, r"dealt from 7, and asked for is part 2 of 3, dealt from"),
    ):
        with pytest.raises(InputError, match=text):
            run_chains(normal, out=out, **{**options, **wrong})
    with pytest.raises(InputError, match=r"holds a whole run, dealt from 7"):
        run_chains(normal, out=dealt[2], part=(2, 3), **options)
    resumed = run_chains(normal, out=out, part=(2, 3), **options)
    assert resumed.index.tolist() == [2, 3]
    assert resumed.unfinished is None
    assert_same(resumed.eta, dealt[1].eta[2:4])


@needs_tools
def test_parts_that_would_have_to_see_one_another_are_refused(
    executor: Executor, tmp_path: Path
) -> None:
    def refused(text: str, **options: Any) -> None:
        with pytest.raises(InputError, match=text):
            run_chains(
                closed_form(), out=tmp_path / "out", quiet=True, executor=executor, **options
            )
        assert not (tmp_path / "out").exists()

    refused("share_warmup: with --part 1/2 no part sees", share_warmup=2, part=(1, 2))
    refused("4 chains cannot be dealt out to 5 parts", chains=4, part=(1, 5))
    refused("part: 3/2 is no part", part=(3, 2))
    refused("is not K/N", part=(1, 2, 3))
    pilots = {"chains": 4, "nuts": SHORT, "quiet": True, "executor": executor, "share_warmup": 2}
    one_piece = run_chains(closed_form(), **pilots)
    assert_same(run_chains(closed_form(), part=(1, 1), **pilots), one_piece)


# ---------------------------------------------------------------- what does not belong together


def test_a_chain_with_other_draws_in_two_parts_is_refused(
    dealt: tuple[list[Path], Chains, Path], normal: Posterior, tmp_path: Path
) -> None:
    parts, whole, _ = dealt
    twin = tmp_path / "twin"
    shutil.copytree(parts[1], twin)
    file = record_file(twin / "chains", 3)
    arrays = read_arrays(file)
    arrays["seconds"] = arrays["seconds"] + 1  # it only took longer
    write_arrays(file, arrays)
    assert_same(merge_runs([*parts, twin], tmp_path / "a", posterior=normal).chains, whole)
    arrays["eta"] = np.nextafter(arrays["eta"], 1e9)
    write_arrays(file, arrays)
    two = rf"chain 3 is in .*part-2/chains/.* and in {twin}/chains/.*, and the two differ \('eta'\)"
    with pytest.raises(ResultsError, match=two):
        merge_runs([*parts, twin], tmp_path / "b", posterior=normal)
    assert not (tmp_path / "b").exists()
    with pytest.raises(ResultsError, match=r"chain 3 is in .* differ"):
        merge_runs([twin], tmp_path / "a", posterior=normal, resume=True)
    assert_same(read(normal, tmp_path / "a"), whole)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"seed": 2}, r"seed is 2, not 1"),
        ({"nuts": NutsSettings(warmup=60, draws=31)}, r"draws is 31, not 30"),
        ({"init": "radius:1"}, r'init is "radius:1", not "radius:2"'),
        ({"chains": 8}, r"number of chains is 8, not 7"),
    ],
)
def test_a_part_of_another_run_is_refused(
    dealt: tuple[list[Path], Chains, Path],
    normal: Posterior,
    executor: Executor,
    tmp_path: Path,
    options: dict[str, Any],
    said: str,
) -> None:
    other = tmp_path / "other"
    given = {"chains": 7, "nuts": SHORT, "quiet": True, "executor": executor, **options}
    run_chains(normal, part=(3, 3), out=other, **given)
    with pytest.raises(InputError, match=rf"other is part of another run than .*\({said}\)"):
        merge_runs([*dealt[0][:2], other], tmp_path / "run", posterior=normal)
    assert not (tmp_path / "run").exists()


def test_a_part_of_another_posterior_is_refused(
    dealt: tuple[list[Path], Chains, Path], normal: Posterior, executor: Executor, tmp_path: Path
) -> None:
    deal(closed_form("bernoulli"), tmp_path, 2, executor)
    with pytest.raises(ResultsError, match="is of another data than the run's posterior"):
        merge_runs([dealt[0][0], tmp_path / "part-2"], tmp_path / "run", posterior=normal)


def test_parts_of_other_versions_are_merged_if_asked_for(
    dealt: tuple[list[Path], Chains, Path], normal: Posterior, tmp_path: Path
) -> None:
    parts = dealt[0]
    older = tmp_path / "older"

    def made_by(**versions: str) -> None:
        shutil.rmtree(older, ignore_errors=True)
        shutil.copytree(parts[2], older)
        path = older / "chains" / SETTINGS
        settings = read_json(path)
        settings[VERSIONS] = [{**settings[VERSIONS][-1], **versions}]
        write_settings(path, settings)

    made_by(cmdstan="2.26.0")
    with pytest.raises(InputError, match=r"older was made with other versions .*cmdstan 2\.26\.0"):
        merge_runs([*parts[:2], older], tmp_path / "a", posterior=normal)
    assert not (tmp_path / "a").exists()
    given: dict[str, Any] = {"posterior": normal, "other_versions": True}
    with pytest.warns(VersionsWarning, match="put together, and both are recorded"):
        merge_runs([*parts[:2], older], tmp_path / "a", **given)
    kept = read_json(tmp_path / "a" / "chains" / SETTINGS)[VERSIONS]
    assert [one["cmdstan"] for one in kept][1:] == ["2.26.0"]
    made_by(manymodes="0.1.9")  # whose draws are the same
    with pytest.warns(VersionsWarning, match=r"manymodes 0\.1\.9, not "):
        merge_runs([*parts[:2], older], tmp_path / "b", posterior=normal)


def test_wrong_directories_are_refused(
    dealt: tuple[list[Path], Chains, Path], normal: Posterior, tmp_path: Path
) -> None:
    parts = dealt[0]

    def refused(given: Any, text: str, out: Path = tmp_path / "run", **options: Any) -> None:
        before = contents(*parts)
        with pytest.raises(InputError, match=text):
            merge_runs(given, out, **{"posterior": normal, **options})
        assert not (tmp_path / "run").exists()
        assert contents(*parts) == before

    refused([], "parts: give the directories")
    refused(str(parts[0]), "parts: give the directories")
    refused([tmp_path / "absent"], "absent: no such directory of a part")
    refused(parts, "is one of the parts, which are only read", out=parts[0])
    refused(parts, "keeps no posterior, nor does another part", posterior=None)
    (tmp_path / "empty").mkdir()
    with pytest.warns(StrayFileWarning):
        refused([tmp_path / "empty"], "empty holds no part of a run")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"part": [4, 3]}, "'part' cannot be"),
        ({"part": "all"}, "'part' cannot be"),
        ({"asked": None}, "'asked' cannot be null"),
        ({"seed": -1}, "'seed' cannot be -1"),
        ({"seed": 9}, "belongs to another run or chain"),
    ],
)
def test_damaged_settings_of_a_part_are_named(
    dealt: tuple[list[Path], Chains, Path],
    normal: Posterior,
    tmp_path: Path,
    change: dict[str, Any],
    said: str,
) -> None:
    part = tmp_path / "part"
    shutil.copytree(dealt[0][0], part)
    path = part / "chains" / SETTINGS
    path.write_text(json.dumps({**read_json(path), **change}))
    with pytest.raises(ResultsError, match=said):
        merge_runs([part], tmp_path / "run", posterior=normal)


def test_a_damaged_file_of_a_part_is_named(
    dealt: tuple[list[Path], Chains, Path], normal: Posterior, tmp_path: Path
) -> None:
    part = tmp_path / "part"
    shutil.copytree(dealt[0][0], part)
    file = record_file(part / "chains", 1)
    file.write_bytes(file.read_bytes()[:-40])
    with pytest.raises(ResultsError, match=r"chain-00001\.npz is damaged"):
        merge_runs([part, dealt[0][1]], tmp_path / "run", posterior=normal)
    file.write_bytes(record_file(part / "chains", 0).read_bytes())
    with pytest.raises(ResultsError, match=r"chain-00001\.npz belongs to another run or chain"):
        merge_runs([part, dealt[0][1]], tmp_path / "other", posterior=normal)


def test_the_posterior_that_a_part_keeps_goes_with_the_run(
    dealt: tuple[list[Path], Chains, Path], normal: Posterior, tmp_path: Path
) -> None:
    parts = [tmp_path / one.name for one in dealt[0]]
    for part, source in zip(parts, dealt[0], strict=True):
        shutil.copytree(source, part)
        save_posterior(normal, part / "posterior")
    shutil.rmtree(parts[0] / "posterior")  # it was killed before
    (parts[1] / "posterior" / "table.json").write_text("{}")
    merged = merge_runs(parts, tmp_path / "run")
    assert_same(merged.chains, dealt[1])
    kept, given = contents(tmp_path / "run" / "posterior"), contents(parts[1] / "posterior")
    assert list(kept.values()) == list(given.values())
    described = parts[2] / "posterior" / "posterior.json"
    described.write_text(json.dumps({**read_json(described), "kernel": False}))
    with pytest.raises(InputError, match=r"part-3 was run with --no-kernel and .*part-2 was not"):
        merge_runs(parts, tmp_path / "other")
    (parts[1] / "posterior" / "table.json").unlink()
    (parts[1] / "posterior" / "table.json").symlink_to("/etc/hostname")
    with pytest.raises(ResultsError, match="is a link that leads out of its folder"):
        merge_runs(parts[:2], tmp_path / "other")


# ---------------------------------------------------------------- runs that integrate


def run_parts(run: Callable[..., Any], folder: Path, **options: Any) -> list[Path]:
    outs = [folder / f"part-{k}" for k in (1, 2, 3)]
    for k, out in enumerate(outs, start=1):
        run(part=(k, 3), out=out, **options)
    return outs


def test_nested_runs_dealt_out_are_those_of_one_run(normal: Posterior, tmp_path: Path) -> None:
    options: dict[str, Any] = {"runs": 4, "polychord": PolyChordSettings(nlive=30), "quiet": True}

    def run(**given: Any) -> Any:
        return run_nested(normal, **options, **given)

    whole = run(out=tmp_path / "whole")
    parts = run_parts(run, tmp_path)
    merged = merge_runs(parts, tmp_path / "run", posterior=normal).nested
    assert merged is not None
    assert (merged.log_z, merged.log_z_sd) == (whole.log_z, whole.log_z_sd)
    assert_same(merged.runs, whole.runs)
    with pytest.warns(UnfinishedWarning, match=r"2 of 4 nested runs are missing: part 3 of 3"):
        merge_runs(parts[:2], tmp_path / "some", posterior=normal)
    completed = run(out=tmp_path / "some", resume=True)
    assert_same(completed.runs, whole.runs)
    assert (tmp_path / "run" / "nested.csv").exists()
    other = tmp_path / "other"
    run_nested(normal, **{**options, "seed": 2}, part=(3, 3), out=other)
    with pytest.raises(InputError, match=r"another run than .*\(seed is 2, not 1\)"):
        merge_runs([*parts[:2], other], tmp_path / "no", posterior=normal)
    with pytest.raises(InputError, match="target_sd: with --part 1/3 no part sees the error"):
        run(part=(1, 3), target_sd=0.1)
    loaded = load_nested(normal, tmp_path / "run")
    assert loaded is not None
    assert_same(loaded.runs, whole.runs)


def test_nested_runs_over_other_base_measures_are_refused(
    normal: Posterior, executor: Executor, tmp_path: Path
) -> None:
    options: dict[str, Any] = {"runs": 2, "polychord": PolyChordSettings(nlive=30), "quiet": True}
    for k in (1, 2):
        chains = run_chains(normal, chains=4, nuts=SHORT, seed=k, quiet=True, executor=executor)
        out = tmp_path / str(k)
        run_nested(normal, reference="chains", chains=chains, part=(k, 2), out=out, **options)
    with pytest.raises(InputError, match=r"2/nested/base\.json is another base measure than"):
        merge_runs([tmp_path / "1", tmp_path / "2"], tmp_path / "run", posterior=normal)
    out = tmp_path / "out"
    with pytest.warns(UnfinishedWarning):
        merge_runs([tmp_path / "1"], out, posterior=normal)
    before = contents(out)
    with pytest.raises(InputError, match="is another base measure than that of the parts"):
        merge_runs([tmp_path / "2"], out, posterior=normal, resume=True)
    for file in (tmp_path / "2" / "nested").glob("run-*"):  # killed before its first run
        file.unlink()
    with pytest.warns(UnfinishedWarning):
        merge_runs([tmp_path / "1", tmp_path / "2"], out, posterior=normal, resume=True)
    assert {k: v for k, v in contents(out).items() if "/nested/" in k} == {
        k: v for k, v in before.items() if "/nested/" in k
    }


def test_tempered_runs_dealt_out_are_those_of_one_run(normal: Posterior, tmp_path: Path) -> None:
    def run(**given: Any) -> Any:
        fixed = {"runs": 3, "rounds": 8, "max_rounds": 8, "quiet": True}
        return run_tempered(normal, **{**fixed, **given})

    whole = run(out=tmp_path / "whole")
    parts = run_parts(run, tmp_path)
    merged = merge_runs(parts, tmp_path / "run", posterior=normal).tempered
    assert merged is not None
    assert (merged.log_z, merged.log_z_sd) == (whole.log_z, whole.log_z_sd)
    assert_same([one.eta for one in merged.runs], [one.eta for one in whole.runs])
    with pytest.raises(InputError, match="max_rounds: with --part 1/3 no part sees"):
        run(part=(1, 3), max_rounds=None)
    longer = run(out=tmp_path / "run", max_rounds=9, target_sd=1e-6, resume=True)
    alike = run(out=tmp_path / "whole", max_rounds=9, target_sd=1e-6, resume=True)
    assert_same([one.eta for one in longer.runs], [one.eta for one in alike.runs])
    run(part=(1, 3), out=tmp_path / "anew")  # the same run, which took another time
    merge_runs([*parts, tmp_path / "anew"], tmp_path / "twice", posterior=normal)
    loaded = load_tempered(normal, tmp_path / "twice")
    assert loaded is not None
    assert_same([one.eta for one in loaded.runs], [one.eta for one in whole.runs])


def test_the_names_are_public() -> None:
    assert mm.merge_runs is merge_runs
