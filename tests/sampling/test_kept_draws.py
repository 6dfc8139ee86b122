"""Files of chains and nested runs when they are read: whole, of this run, and all there are."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from manymodes.errors import (
    InputError,
    ResultsError,
    StrayFileWarning,
    UnfinishedWarning,
    VersionsWarning,
)
from manymodes.results import run_directory
from manymodes.results.run_directory import load
from manymodes.runtime.storage import claim, read_json, write_arrays, write_json
from manymodes.sampling import claims
from manymodes.sampling.base_measures import BaseMeasure, write_measure
from manymodes.sampling.chains.chain_files import (
    Record,
    record_file,
    set_damaged_aside,
    write_record,
)
from manymodes.sampling.chains.chains import load_chains
from manymodes.sampling.claims import keep_versions
from manymodes.sampling.nested import load_nested, run_file
from manymodes.sampling.nested.polychord_run import RawRun
from manymodes.sampling.nested.run_files import owner_of, read_base, write_run
from manymodes.sampling.nested.settings import PolyChordSettings

DIMS, WIDE, DRAWS = 2, 3, 5
IDENTITY = {"program": "p" * 16, "data": "d" * 16}
OF_CHAINS = {**IDENTITY, "seed": 1, "superchain": 1, "max_treedepth": 10}
OF_NESTED = {**IDENTITY, "seed": 1, "reference": "prior", **PolyChordSettings(nlive=10).as_dict()}


class Stand:
    """A posterior without a program: what reading files asks of one."""

    name, dims, data, network = "stand", DIMS, {}, None
    identity = IDENTITY
    model = SimpleNamespace(param_num=lambda include_tp=False: WIDE)
    variables = ()


POSTERIOR: Any = Stand()


@pytest.fixture(autouse=True)
def _without_unit_vectors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("manymodes.sampling.nested.runs.log_unit_vector_surplus", lambda _: 0.0)


def record(number: int, **changes: Any) -> Record:
    rng = np.random.default_rng(number)
    values: dict[str, Any] = {
        "rows": rng.normal(size=(DRAWS, WIDE)),
        "eta": rng.normal(size=(DRAWS, DIMS)),
        "stats": {"diverging": np.zeros(DRAWS), "lp": rng.normal(size=DRAWS)},
        "lpd": np.full(4, -1.0),
        "pareto_k": np.full(4, 0.1),
        "r_eff": np.ones(4),
        "start": np.zeros(DIMS),
        "inv_metric": np.ones(DIMS),
        "step_size": 0.5,
        "seconds": 1.0,
        "sampling_seconds": 0.5,
    }
    return Record(**{**values, **changes})


def chains_of(out: Path, finished: int = 3, asked: int | None = 3, **settings: Any) -> Path:
    """Write chains into a run directory; return their folder."""
    folder = out / "chains"
    name = claim(folder, {**OF_CHAINS, **settings}, resume=False, asked=asked)
    for i in range(finished):
        write_record(folder, i, record(i), name)
    write_json(folder / "failures.json", {})
    return folder


def raw_run(number: int, n: int = 30) -> RawRun:
    rng = np.random.default_rng(number)
    logl = np.sort(rng.normal(size=n))
    birth = np.concatenate([np.full(10, -np.inf), logl[:-10]])
    points = np.column_stack([rng.random((n, DIMS)), birth, logl])
    return RawRun(points, np.array([n, 0, 0, 20, 20]), 1.0, 0)


def nested_of(out: Path, finished: int = 2, asked: int | None = 2, **settings: Any) -> Path:
    """Write nested runs into a run directory; return their folder."""
    folder = out / "nested"
    name = claim(folder, {**OF_NESTED, **settings}, resume=False, asked=asked)
    base = BaseMeasure.product(("normal",) * DIMS, np.zeros(DIMS), np.ones(DIMS))
    write_measure(folder / "base.json", base)
    owner = owner_of(name, read_base(folder, DIMS))
    for i in range(finished):
        write_run(folder, i, raw_run(i), owner)
    return folder


def rewritten(path: Path, **changes: Any) -> None:
    with np.load(path, allow_pickle=True) as kept:
        arrays = dict(kept)
    for name, value in changes.items():
        if value is None:
            del arrays[name]
        else:
            arrays[name] = value(arrays[name]) if callable(value) else value
    np.savez(path, **arrays)  # type: ignore[arg-type]


def refused(call: Callable[[], Any], path: Path, what: str = "") -> None:
    with pytest.raises(ResultsError) as caught:
        call()
    said = str(caught.value)
    assert path.name in said
    assert what in said
    assert "\n" not in said


# ---------------------------------------------------------------- chains


def test_chains_are_read_as_they_were_kept(tmp_path: Path) -> None:
    chains_of(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        chains = load_chains(POSTERIOR, tmp_path)
    assert chains is not None
    assert (chains.index.tolist(), chains.unfinished) == ([0, 1, 2], None)
    np.testing.assert_array_equal(chains.eta[1], record(1).eta)


DAMAGE: dict[str, Callable[[Path], Any]] = {
    "nothing in it": lambda path: path.write_bytes(b""),
    "cut off": lambda path: path.write_bytes(path.read_bytes()[:-200]),
    "a bit turned": lambda path: path.write_bytes(
        (b := path.read_bytes())[:600] + bytes([b[600] ^ 255]) + b[601:]
    ),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
    "objects": lambda path: rewritten(path, eta=np.array([{}, []], dtype=object)),
    "texts": lambda path: rewritten(path, eta=lambda x: x.astype(str)),
    "text": lambda path: path.write_text("chain"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_chain_is_named(tmp_path: Path, damage: str) -> None:
    path = record_file(chains_of(tmp_path), 1)
    DAMAGE[damage](path)
    refused(lambda: load_chains(POSTERIOR, tmp_path), path, "damaged")
    folder, settings = path.parent, read_json(path.parent / "settings.json")
    name = claim(folder, {k: settings[k] for k in OF_CHAINS}, resume=True)
    assert set_damaged_aside(folder, range(3), name, (WIDE, DIMS)) == [1]
    assert not path.exists()


@pytest.mark.parametrize(
    "changes",
    [
        {"eta": lambda x: np.where(x == x.max(), np.nan, x)},
        {"eta": lambda x: x[:, :1]},
        {"eta": lambda x: x[:0], "rows": lambda x: x[:0]},
        {"rows": lambda x: x[:-1]},
        {"rows": lambda x: np.hstack([x, x])},
        {"stat_lp": lambda x: x[:-1]},
        {"stat_diverging": lambda x: x + 7},
        {"stat_diverging": None},
        {"pareto_k": lambda x: x[:-1]},
        {"lpd": lambda x: x[:-1], "pareto_k": lambda x: x[:-1], "r_eff": lambda x: x[:-1]},
        {"inv_metric": lambda x: -x},
        {"start": lambda x: x + np.inf},
        {"step_size": np.array([0.5, 0.5])},
        {"step_size": np.array(np.nan)},
        {"seconds": np.array("soon")},
        {"attempt": None},
    ],
)
def test_a_chain_that_cannot_be_is_named(tmp_path: Path, changes: dict[str, Any]) -> None:
    path = record_file(chains_of(tmp_path), 1)
    rewritten(path, **changes)
    refused(lambda: load_chains(POSTERIOR, tmp_path), path, "damaged")


def test_a_chain_of_another_number_run_or_seed_is_named(tmp_path: Path) -> None:
    folder = chains_of(tmp_path / "one")
    other = chains_of(tmp_path / "other", seed=2)
    shutil.copy(record_file(folder, 1), record_file(folder, 2))
    refused(lambda: load_chains(POSTERIOR, tmp_path / "one"), record_file(folder, 2), "belongs")
    shutil.copy(record_file(other, 2), record_file(folder, 2))
    refused(lambda: load_chains(POSTERIOR, tmp_path / "one"), record_file(folder, 2), "belongs")


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"superchain": 0}, "superchain"),
        ({"superchain": True}, "superchain"),
        ({"max_treedepth": "ten"}, "max_treedepth"),
        ({"max_treedepth": None}, "max_treedepth"),
        ({"asked": -1}, "asked"),
        ({"asked": "3"}, "asked"),
        ({"data": "e" * 16}, "data"),
        ({"program": "q" * 16}, "program"),
    ],
)
@pytest.mark.parametrize("engine", ["chains", "nested"])
def test_settings_that_were_edited_are_named(
    tmp_path: Path, engine: str, change: dict[str, Any], what: str
) -> None:
    chains_of(tmp_path)
    nested_of(tmp_path)
    read: Any = load_chains if engine == "chains" else load_nested
    if engine == "nested" and what in ("superchain", "max_treedepth"):
        change, what = {"nlive": change[what]}, "nlive"
        if change["nlive"] is None:
            change = {"nlive": 10.5}
    path = tmp_path / engine / "settings.json"
    write_json(path, {**read_json(path), **change})
    refused(lambda: read(POSTERIOR, tmp_path), path, what)


def test_another_seed_in_the_settings_disowns_the_draws(tmp_path: Path) -> None:
    for read, folder in ((load_chains, chains_of(tmp_path)), (load_nested, nested_of(tmp_path))):
        path = folder / "settings.json"
        write_json(path, {**read_json(path), "seed": 3})
        first = sorted(folder.glob("*-0*.npz"))[0]
        refused(lambda read=read: read(POSTERIOR, tmp_path), first, "belongs to another")  # type: ignore[misc]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"x": "why"}'])
@pytest.mark.parametrize("name", ["settings.json", "failures.json"])
def test_a_damaged_json_file_is_named(tmp_path: Path, name: str, content: str) -> None:
    path = chains_of(tmp_path) / name
    path.write_text(content)
    refused(lambda: load_chains(POSTERIOR, tmp_path), path, "damaged")


@pytest.mark.parametrize(
    "name", ["chain-1.npz", "chain-00001 (copy).npz", "chain-abc.npz", "chain-000001.npz"]
)
def test_a_stray_file_is_named_and_left_out(tmp_path: Path, name: str) -> None:
    folder = chains_of(tmp_path)
    shutil.copy(record_file(folder, 1), folder / name)
    with pytest.warns(StrayFileWarning, match="is no file of this run and is left out") as told:
        chains = load_chains(POSTERIOR, tmp_path)
    assert name in str(told[0].message)
    assert chains is not None
    assert chains.n_chains == 3


# ---------------------------------------------------------------- unfinished runs


def test_chains_that_are_missing_are_told_of(tmp_path: Path) -> None:
    folder = chains_of(tmp_path, finished=3, asked=5)
    with pytest.warns(UnfinishedWarning, match="only 3 of 5 chains are finished"):
        chains = load_chains(POSTERIOR, tmp_path)
    assert chains is not None
    assert chains.unfinished == (3, 5)
    write_json(folder / "failures.json", {"3": "failed", "4": "failed", "9": "of an earlier run"})
    chains = load_chains(POSTERIOR, tmp_path)
    assert chains is not None
    assert (chains.unfinished, sorted(chains.failures)) == (None, [3, 4])


def test_the_last_run_says_which_chains_count(tmp_path: Path) -> None:
    folder = chains_of(tmp_path, finished=3, asked=3)
    claim(folder, OF_CHAINS, resume=True, asked=2)
    chains = load_chains(POSTERIOR, tmp_path)
    assert chains is not None
    assert (chains.index.tolist(), chains.unfinished) == ([0, 1], None)
    claim(folder, OF_CHAINS, resume=True, asked=3)
    chains = load_chains(POSTERIOR, tmp_path)
    assert chains is not None
    assert chains.n_chains == 3


def test_a_run_of_the_first_version_counts_what_it_holds(tmp_path: Path) -> None:
    chains_of(tmp_path, finished=3, asked=None)
    nested = nested_of(tmp_path, finished=2, asked=None)
    for i in range(2):
        rewritten(run_file(nested, i), belongs_to=None)
    chains, runs = load_chains(POSTERIOR, tmp_path), load_nested(POSTERIOR, tmp_path)
    assert chains is not None
    assert runs is not None
    assert (chains.n_chains, chains.unfinished) == (3, None)
    assert (len(runs.runs), runs.unfinished) == (2, None)


def test_opening_a_run_tells_what_is_unfinished(tmp_path: Path) -> None:
    chains_of(tmp_path, finished=1, asked=4)
    nested_of(tmp_path, finished=1, asked=2)
    (tmp_path / "posterior").mkdir()
    write_json(tmp_path / "summary.json", {"posteriors": {"stand": {"modes": []}}})
    with pytest.warns(UnfinishedWarning) as told:
        load(tmp_path)
    said = [str(one.message) for one in told]
    assert "only 1 of 4 chains" in said[0]
    assert "only 1 of 2 nested runs" in said[1]


# ---------------------------------------------------------------- nested runs


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_nested_run_is_named(tmp_path: Path, damage: str) -> None:
    path = run_file(nested_of(tmp_path), 1)
    if "eta" in DAMAGE[damage].__code__.co_names or damage in ("objects", "texts"):
        rewritten(path, logl=np.array(["x"] * 30, dtype=object if damage == "objects" else str))
    else:
        DAMAGE[damage](path)
    refused(lambda: load_nested(POSTERIOR, tmp_path), path, "damaged")


@pytest.mark.parametrize("owned", [True, False])
@pytest.mark.parametrize(
    "changes",
    [
        {"logl": lambda x: np.where(x == x.max(), np.nan, x)},
        {"logl": lambda x: np.where(x == x.min(), -np.inf, x)},
        {"birth": lambda x: x * np.nan},
        {"birth": lambda x: x + 100},
        {"birth": lambda x: x[:-1]},
        {"cube": lambda x: x[:, :1]},
        {"cube": lambda x: x + 1},
        {"cube": lambda x: x * np.nan},
        {"counts": lambda x: x[:3]},
        {"counts": lambda x: -x},
        {"counts": lambda x: x * 0},
        {"seconds": np.array(np.nan)},
        {"resumed": None},
        {"logl": lambda x: x[:0]},
    ],
)
def test_a_nested_run_that_cannot_be_is_named(
    tmp_path: Path, changes: dict[str, Any], owned: bool
) -> None:
    path = run_file(nested_of(tmp_path), 1)
    rewritten(path, **changes, **({} if owned else {"belongs_to": None}))
    refused(lambda: load_nested(POSTERIOR, tmp_path), path, "damaged")


def test_a_nested_run_of_something_else_is_named(tmp_path: Path) -> None:
    folder, other = nested_of(tmp_path / "one"), nested_of(tmp_path / "other", seed=2)
    for source in (run_file(folder, 0), run_file(other, 1)):
        shutil.copy(source, run_file(folder, 1))
        refused(lambda: load_nested(POSTERIOR, tmp_path / "one"), run_file(folder, 1), "belongs")


def test_another_base_measure_disowns_the_runs(tmp_path: Path) -> None:
    folder = nested_of(tmp_path)
    base = read_json(folder / "base.json")
    base["components"][0]["location"] = [0.5, 0.0]
    write_json(folder / "base.json", base)
    refused(lambda: load_nested(POSTERIOR, tmp_path), run_file(folder, 0), "another base measure")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("base.json", "{}"),
        ("base.json", '{"components": [{"families": ["normal"], "location": [0], "scale": [1]}]}'),
        ("base.json", '{"components": 3}'),
        ("prior.json", "{}"),
        ("prior.json", '{"log_z": "none", "log_z_sd": 0.1}'),
        ("prior.json", '{"log_z": 1.0}'),
        ("prior.json", '{"log_z": 1.0, "log_z_sd": 0.1, "improper": [1]}'),
        ("failures.json", "[1]"),
    ],
)
def test_a_file_beside_the_runs_is_named(tmp_path: Path, name: str, content: str) -> None:
    path = nested_of(tmp_path) / name
    path.write_text(content)
    refused(lambda: load_nested(POSTERIOR, tmp_path), path)


@pytest.mark.parametrize("name", ["run-1.npz", "run-x.npz", "run-0001.npz"])
def test_a_stray_nested_file_is_named_and_left_out(tmp_path: Path, name: str) -> None:
    folder = nested_of(tmp_path)
    shutil.copy(run_file(folder, 1), folder / name)
    with pytest.warns(StrayFileWarning, match=name):
        nested = load_nested(POSTERIOR, tmp_path)
    assert nested is not None
    assert len(nested.runs) == 2


def test_nested_runs_that_are_missing_are_told_of(tmp_path: Path) -> None:
    nested_of(tmp_path, finished=2, asked=4)
    with pytest.warns(UnfinishedWarning, match="only 2 of 4 nested runs are finished"):
        nested = load_nested(POSTERIOR, tmp_path)
    assert nested is not None
    assert nested.unfinished == (2, 4)


# ---------------------------------------------------------------- files of results


def test_files_of_another_run_are_not_opened(tmp_path: Path) -> None:
    import pandas as pd
    import xarray as xr

    chains_of(tmp_path)
    nested = nested_of(tmp_path)
    write_json(tmp_path / "summary.json", {"posteriors": {"stand": {"modes": [{"id": 1}]}}})
    (tmp_path / "posterior").mkdir()
    tree = xr.DataTree.from_dict({"posterior": xr.Dataset({"x": ("draw", np.arange(3.0))})})
    found = load(tmp_path)
    for name, engine, read in (
        ("chains.nc", "chains", lambda: load(tmp_path).chains),
        ("stacked.nc", "chains", lambda: load(tmp_path).stacked),
        ("nested.nc", "nested", lambda: load(tmp_path).nested_tree),
    ):
        path = tmp_path / name
        run_directory._write_tree(tree, path, engine)
        assert set(read().children) == {"posterior"}
        whole = path.read_bytes()
        for content in (b"", b"stray", whole[: len(whole) // 2]):
            path.write_bytes(content)
            refused(read, path, "damaged")
        tree.attrs["belongs_to"] = "another"
        tree.to_netcdf(path, engine="h5netcdf")
        refused(read, path, "belongs to another run")
    refused(lambda: found.modes, tmp_path / "summary.json", "damaged")

    csv = tmp_path / "nested.csv"
    for text in ("", "a,b\n1,2\n", "\x00"):
        csv.write_text(text)
        refused(lambda: load(tmp_path).nested, csv, "damaged")
    write_arrays(run_file(nested, 0), {"logl": np.zeros(3)})
    pd.DataFrame({"x": [1.0], "logL": [2.0]}).to_csv(csv)
    with pytest.raises(ResultsError, match=r"nested\.csv"):
        load(tmp_path).nested  # noqa: B018


@pytest.mark.parametrize(
    "summary",
    [
        {},
        {"posteriors": []},
        {"posteriors": {"one": 3}},
        {"posteriors": {"../../etc": {}}},
        {"posteriors": {"/etc": {}}},
        {"posteriors": {"..": {}}},
        {"posteriors": {"": {}}},
    ],
)
def test_a_summary_that_cannot_be_is_named(tmp_path: Path, summary: dict[str, Any]) -> None:
    (tmp_path / "summary.json").write_text(json.dumps(summary))
    refused(lambda: load(tmp_path), tmp_path / "summary.json", "damaged")


# ---------------------------------------------------------------- versions

NOW = {"manymodes": "0.2.0", "cmdstan": "2.35.0", "bridge": "2.9.0"}


def kept(folder: Path) -> Any:
    return read_json(folder / "settings.json").get("versions")


def test_versions_are_recorded_and_the_same_ones_go_on(tmp_path: Path) -> None:
    folder = chains_of(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for begun in (False, True):
            keep_versions(folder, NOW, ["cmdstan"], begun=begun, other_versions=False)
    assert kept(folder) == [NOW]
    claim(folder, OF_CHAINS, resume=True, asked=5)
    assert kept(folder) == [NOW]
    claim(folder, OF_CHAINS, resume=True, asked=3)
    assert load_chains(POSTERIOR, tmp_path) is not None


def test_another_sampler_is_refused_until_the_user_says_so(tmp_path: Path) -> None:
    folder = chains_of(tmp_path)
    keep_versions(folder, NOW, ["cmdstan"], begun=False, other_versions=False)
    newer = {**NOW, "cmdstan": "2.39.0"}
    with pytest.raises(InputError, match=r"cmdstan was 2\.35\.0, is 2\.39\.0.*--other-versions"):
        keep_versions(folder, newer, ["cmdstan"], begun=True, other_versions=False)
    assert kept(folder) == [NOW]
    with pytest.warns(VersionsWarning, match=r"cmdstan was 2\.35\.0, is 2\.39\.0"):
        keep_versions(folder, newer, ["cmdstan"], begun=True, other_versions=True)
    assert kept(folder) == [NOW, newer]


def test_another_manymodes_goes_on_with_a_caution(tmp_path: Path) -> None:
    folder = chains_of(tmp_path)
    keep_versions(folder, NOW, ["cmdstan"], begun=False, other_versions=False)
    newer = {**NOW, "manymodes": "0.3.0", "bridge": None}
    with pytest.warns(VersionsWarning, match=r"manymodes was 0\.2\.0, is 0\.3\.0, bridge was"):
        keep_versions(folder, newer, ["cmdstan"], begun=True, other_versions=False)
    assert kept(folder) == [NOW, newer]


@pytest.mark.parametrize("versions", [None, "2.35", [1], []])
def test_a_run_without_versions_goes_on_with_a_caution(tmp_path: Path, versions: Any) -> None:
    folder = chains_of(tmp_path)
    path = folder / "settings.json"
    write_json(path, {**read_json(path), **({} if versions is None else {"versions": versions})})
    with pytest.warns(VersionsWarning, match=r"was not recorded.*it goes on with manymodes 0\.2"):
        keep_versions(folder, NOW, ["cmdstan"], begun=True, other_versions=False)
    assert kept(folder) == [NOW]


def test_versions_are_those_that_are_found() -> None:
    found = claims.versions("cmdstan", "numpy", "no-such-package")
    assert found["numpy"] == np.__version__
    assert found["no-such-package"] is None
    assert set(found) == {"manymodes", "cmdstan", "numpy", "no-such-package"}
