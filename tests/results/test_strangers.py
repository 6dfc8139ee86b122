"""A run that comes from somebody else: opened in every way, it writes nothing outside itself."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from conftest import closed_form
from manymodes import load
from manymodes.cli.main import main
from manymodes.density.posterior import Posterior
from manymodes.errors import InputError
from manymodes.results.run_directory import open_posterior, save_posterior, write_chains
from manymodes.runtime.storage import write_json
from manymodes.sampling.chains import chains
from manymodes.sampling.chains.chains import run_chains
from manymodes.sampling.chains.nuts_settings import NutsSettings

Snapshot = dict[str, tuple[bytes | str, int]]
SHORT = ["--chains", "1", "--warmup", "20", "--draws", "10"]


def snapshot(folder: Path, run: Path) -> Snapshot:
    """Return content and time of all that is in a folder, a run in it left out."""
    found: Snapshot = {}
    for path in sorted(folder.rglob("*")):
        if run in (path, *path.parents):
            continue
        content = path.read_bytes() if path.is_file() else "folder"
        found[str(path)] = (content, path.stat().st_mtime_ns)
    return found


@pytest.fixture(scope="module")
def made(normal: Posterior, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one short chain, with its summary."""
    run = tmp_path_factory.mktemp("made") / "run"
    settings = NutsSettings(warmup=20, draws=10)
    found = run_chains(normal, chains=1, nuts=settings, seed=1, out=run, quiet=True)
    save_posterior(normal, run / "posterior", "model.stan")
    write_chains(found, run)
    write_json(run / "summary.json", {"posteriors": {"normal": {"modes": []}}})
    return run


@pytest.fixture
def home(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with files of the user's, and the run, which somebody sent."""
    home = tmp_path / "home"
    shutil.copytree(made, home / "run")
    (home / "project" / "chains").mkdir(parents=True)
    (home / "project" / "posterior").mkdir()
    for name in (".bashrc", "model.stan", "project/notes.txt", "project/data.json",
                 "project/chains/settings.json", "project/posterior/posterior.json"):  # fmt: skip
        (home / name).write_text(f"the user's {name}\n")
    monkeypatch.chdir(home)
    return home


def described(run: Path, **changes: object) -> None:
    path = run / "posterior" / "posterior.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def program_named(name: str) -> Callable[[Path], None]:
    def change(run: Path) -> None:
        described(run, program=name.format(home=run.parent))

    return change


def summary_naming(name: str) -> Callable[[Path], None]:
    def change(run: Path) -> None:
        shutil.move(run / "posterior", run / "kept")
        content = {"posteriors": {name.format(home=run.parent): {"modes": []}}}
        (run / "summary.json").write_text(json.dumps(content))

    return change


def linked(name: str, target: str) -> Callable[[Path], None]:
    def change(run: Path) -> None:
        path = run / name
        if path.is_dir():
            shutil.rmtree(path)
        path.unlink(missing_ok=True)
        path.symlink_to(os.path.relpath(run.parent / target, path.parent))

    return change


def including(line: str) -> Callable[[Path], None]:
    def change(run: Path) -> None:
        path = run / "posterior" / "model.stan"
        line_here = line.format(home=run.parent)
        path.write_text(f"functions {{\n#include {line_here}\n}}\n{path.read_text()}")

    return change


HOSTILE: dict[str, Callable[[Path], None]] = {
    "program ../../.bashrc": program_named("../../.bashrc"),
    "program ../../model.stan": program_named("../../model.stan"),
    "program of an absolute path": program_named("{home}/model.stan"),
    "summary ../project": summary_naming("../project"),
    "summary of an absolute path": summary_naming("{home}/project"),
    "include ../../model.stan": including("../../model.stan"),
    "include of an absolute path": including('"{home}/model.stan"'),
    "linked program": linked("posterior/model.stan", "model.stan"),
    "linked data": linked("posterior/data.json", "project/data.json"),
    "linked posterior": linked("posterior", "project/posterior"),
    "linked chains": linked("chains", "project/chains"),
    "linked settings": linked("chains/settings.json", "project/chains/settings.json"),
    "linked checkpoint": linked("chains/unfinished-000", "project"),
    "linked lock": linked(".lock", ".bashrc"),
    "linked lock of the chains": linked(".chains.lock", ".bashrc"),
}
LEFT_ALONE = {"linked checkpoint", "linked lock", "linked lock of the chains"}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_run_writes_nothing_outside(
    name: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = home / "run"
    HOSTILE[name](run)
    before = snapshot(home, run)

    def density() -> None:
        load(run).posterior().log_density([0.3])

    if name in LEFT_ALONE:
        density()
    else:
        with pytest.raises(InputError) as caught:
            density()
        assert "\n" not in str(caught.value)
        assert "the user's" not in str(caught.value), "nothing of other files is shown"
    for command in (
        ["compare", "run"],
        ["sample", "run/posterior", "--resume", "--out", "run", *SHORT],
        ["sample", "run/posterior", "--overwrite", "--out", "run", *SHORT],
        ["predict", "run", "project/notes.txt"],
        ["export", "run", "out.csv"],
    ):
        status = main(command)
        said = capsys.readouterr().err
        assert status != 0 or name == "linked lock of the chains"
        assert "Traceback" not in said
        assert snapshot(home, run) == before, command


def test_an_honest_run_is_opened_as_ever(home: Path, normal: Posterior) -> None:
    before = snapshot(home, home / "run")
    opened = load(home / "run").posterior()
    assert opened.identity == normal.identity
    assert opened.log_density([0.3]) == normal.log_density([0.3])
    assert chains.load_chains(opened, home / "run") is not None
    assert snapshot(home, home / "run") == before


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "\x1b[2Jnormal"},
        {"name": None},
        {"name": ["a"]},
        {"network": 3},
        {"network": {"inputs": 2, "hidden": [1], "prior": "import os"}},
        {"network": {"inputs": "a", "hidden": None}},
    ],
)
def test_a_damaged_description_is_one_line(changes: dict[str, object], home: Path) -> None:
    described(home / "run", **changes)
    with pytest.raises(InputError) as caught:
        open_posterior(home / "run" / "posterior")
    assert "\n" not in str(caught.value)
    assert "\x1b" not in str(caught.value)


def test_a_nested_file_is_one_line(home: Path) -> None:
    for name in ("posterior.json", "data.json"):
        path = home / "run" / "posterior" / name
        kept = path.read_text()
        path.write_text("[" * 100_000)
        with pytest.raises(InputError, match=rf"{name} is damaged"):
            open_posterior(path.parent)
        path.write_text(kept)


def test_a_strangers_program_is_announced_before_it_runs(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here nothing is compiled: what would be is taken from the cache of the other program."""
    path = home / "run" / "posterior" / "model.stan"
    path.write_text(path.read_text() + "// not seen here before\n")
    library = closed_form().program.library()
    monkeypatch.setattr("manymodes.density.program.Program.library", lambda _: library)
    opened = load(home / "run").posterior()
    with pytest.warns(UserWarning, match=r"model\.stan came with its folder and is new") as told:
        assert np.isfinite(opened.log_density([0.3]))
    assert "\n" not in str(told[0].message)
