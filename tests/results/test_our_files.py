"""The directory of a run: what is removed from it, by name, and what is refused and stays."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from conftest import closed_form
from manymodes.errors import InputError
from manymodes.results.our_files import network_directory, removed_by, run_directory
from manymodes.results.run_directory import save_posterior

OURS = (
    "summary.json", "report.html", "checks.json", "chains.nc", "stacked.nc", "nested.csv",
    "nested.nc", ".chains.lock", ".nested.lock", "chains/settings.json", "chains/failures.json",
    "chains/chain-00000.npz", "chains/chain-00011.npz", "chains/chain-00007.damaged",
    "chains/.running-x/data.json", "nested/settings.json", "nested/base.json", "nested/prior.json",
    "nested/run-000.npz", "nested/run-012.damaged", "nested/unfinished-001/polychord.resume",
    "checks/nested/run-000.npz", "posterior/table.json", "posterior/held_out.npz",
)  # fmt: skip
THEIRS = (
    ".git/config", ".env", "chains/notes.txt", "chains/chain-1.npz", "chains/chain-00000.npz.bak",
    "chains/old/chain-00000.npz", "nested/run-000.csv", "nested/mine/run-000.npz",
    "posterior/model_draft.stan", "posterior/README", "checks/thoughts.md",
)  # fmt: skip


def files(folder: Path) -> set[str]:
    """Return the files below a folder, its lock aside."""
    found = {str(p.relative_to(folder)) for p in folder.rglob("*") if not p.is_dir()}
    return found - {".lock"}


def fill(folder: Path, names: tuple[str, ...]) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A directory with a file of every kind that a run has."""
    folder = tmp_path / "run"
    save_posterior(closed_form(), folder / "posterior")
    fill(folder, OURS)
    return folder


def test_everything_of_ours_is_removed(run: Path) -> None:
    with run_directory(run, overwrite=True):
        assert files(run) == set()
        assert sorted(path.name for path in run.iterdir()) == [".lock"]


def test_nothing_of_the_users_is_removed_and_it_is_named(run: Path, capsys: object) -> None:
    fill(run, THEIRS)
    with run_directory(run, overwrite=True):
        assert files(run) == set(THEIRS)
    said = capsys.readouterr().err  # type: ignore[attr-defined]
    assert said.count("\n") == 1
    assert ".env" in said
    assert "kept:" in said


@pytest.mark.parametrize("name", ["thesis.tex", "other/posterior/posterior.json", "net/model.stan"])
def test_something_visible_beside_the_results_is_refused(run: Path, name: str) -> None:
    fill(run, (name,))
    before = files(run)
    with (
        pytest.raises(InputError, match=f"holds {Path(name).parts[0]}, which is not a result"),
        run_directory(run, overwrite=True),
    ):
        pass
    assert files(run) == before


def test_what_is_read_stays(run: Path) -> None:
    fill(run, ("model.stan", "data.json", "net/model.stan", "net/posterior/data.json"))
    posterior = {f"posterior/{p.name}" for p in (run / "posterior").iterdir()}
    reads = [run / "posterior", run / "model.stan", run / "data.json", run / "net"]
    with run_directory(run, overwrite=True, reads=reads):
        own = {"model.stan", "data.json", "net/model.stan", "net/posterior/data.json"}
        assert files(run) == posterior | own


def test_a_run_in_a_study_that_is_no_part_of_it_stays(tmp_path: Path) -> None:
    settings = {"seed": 1, "nuts": {}, "polychord": {}, "data_seed": 1}
    (tmp_path / "settings.json").write_text(json.dumps(settings))
    for part in ("full", "constrained", "sd-0.5000-seed-001/full", ".mine"):
        save_posterior(closed_form(), tmp_path / part / "posterior")
        fill(tmp_path / part, ("chains/chain-00000.npz", "chains/notes.txt", "chains.nc"))
    kept = {name for name in files(tmp_path) if name.startswith(".mine")}
    notes = {f"{p}/chains/notes.txt" for p in ("full", "constrained", "sd-0.5000-seed-001/full")}
    with run_directory(tmp_path, overwrite=True):
        assert files(tmp_path) == kept | notes


@pytest.mark.parametrize(
    "name",
    ["report.html", "summary.json", "chains/settings.json", "posterior/data.json", "chains.nc"],
)
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_users_file_with_a_name_of_ours_is_refused(
    tmp_path: Path, name: str, overwrite: bool
) -> None:
    fill(tmp_path, (name,))
    with (
        pytest.raises(InputError, match=f"holds {name}, which no run of manymodes wrote"),
        run_directory(tmp_path, overwrite=overwrite),
    ):
        pass
    assert files(tmp_path) == {name}


def test_links_are_not_followed(run: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    fill(elsewhere, ("run-000.npz", "settings.json", "target"))
    for path in sorted((run / "nested").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    (run / "nested").rmdir()
    (run / "nested").symlink_to(elsewhere)
    (run / "report.html").unlink()
    (run / "report.html").symlink_to(elsewhere / "target")
    kept = files(run)
    with (
        pytest.raises(InputError, match="nested is a link that leads out"),
        run_directory(run, overwrite=True),
    ):
        pass
    assert files(run) == kept
    (run / "nested").unlink()
    with run_directory(run, overwrite=True):
        assert files(elsewhere) == {"run-000.npz", "settings.json", "target"}
        assert not (run / "report.html").is_symlink()


def test_a_link_to_a_directory_is_that_directory(run: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(run)
    with run_directory(tmp_path / "link", overwrite=True):
        assert files(run) == set()


def test_home_and_root_are_no_run_directories(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for folder in (Path("/"), tmp_path, Path()):
        with pytest.raises(InputError, match="name a directory only for the results"):
            run_directory(folder, overwrite=True).__enter__()
    assert list(tmp_path.iterdir()) == []


def test_names_in_a_strangers_description_lead_nowhere(tmp_path: Path) -> None:
    outside = tmp_path / "outside.stan"
    outside.write_text("mine")
    for program in ("../../outside.stan", str(outside), "..", ""):
        run = tmp_path / "run"
        (run / "posterior").mkdir(parents=True, exist_ok=True)
        (run / "posterior" / "posterior.json").write_text(
            json.dumps({"name": "x", "program": program})
        )
        with run_directory(run, overwrite=True):
            assert files(run) == set()
    assert outside.read_text() == "mine"


def test_includes_of_the_program_are_ours_and_leave_with_it(tmp_path: Path) -> None:
    folder = tmp_path / "posterior"
    fill(folder, ("a.stanfunctions", "mine.stanfunctions"))
    (folder / "model.stan").write_text("#include a.stanfunctions\nparameters { real x; }\n")
    description = {"name": "x", "program": "model.stan", "network": None}
    (folder / "posterior.json").write_text(json.dumps(description))
    with run_directory(tmp_path, overwrite=True):
        assert files(tmp_path) == {"posterior/mine.stanfunctions"}


def test_what_would_be_removed_is_told(run: Path) -> None:
    fill(run, ("start.json",))
    assert removed_by(run, [run / "start.json", run.parent / "else"]) is None
    assert removed_by(run, [run / "chains" / "chain-00011.npz"]) is not None


def test_a_network_is_replaced_on_demand_only(tmp_path: Path) -> None:
    with network_directory(tmp_path):
        save_posterior(closed_form(), tmp_path)
    fill(tmp_path, ("notes.txt", "holdout.csv"))
    before = files(tmp_path)
    with pytest.raises(InputError, match="replace it with --overwrite"):
        network_directory(tmp_path).__enter__()
    table = tmp_path / "holdout.csv"
    with pytest.raises(InputError, match="is a file that is read"):
        network_directory(tmp_path, overwrite=True, reads=[table]).__enter__()
    assert files(tmp_path) == before
    with network_directory(tmp_path, overwrite=True):
        assert files(tmp_path) == {"notes.txt"}
    fill(tmp_path, ("data.json",))
    with pytest.raises(InputError, match="which manymodes did not write"):
        network_directory(tmp_path, overwrite=True).__enter__()
    assert files(tmp_path) == {"notes.txt", "data.json"}


def test_partial_files_of_dead_processes_are_swept(run: Path) -> None:
    dead = "1" * 7  # above the largest process number that Linux has by default
    old, alive = run / f".chains.nc.{dead}.partial", run / f".a.json.{os.getpid()}.partial"
    for path in (old, alive):
        path.write_text("")
    with run_directory(run):
        assert not old.exists()
        assert alive.exists()
