"""The README's tour runs as written, and so does the example."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest

import manymodes as mm
from manymodes.studies.xor import xor_data

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
EXAMPLE = ROOT / "examples" / "xor.py"


def blocks(heading: str) -> list[tuple[str, str]]:
    """Return language and text of each block of code of a section of the README, in order."""
    section = README.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return re.findall(r"^```(bash|python)\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)


def run(command: list[str], folder: Path, path: str | None = None) -> str:
    """Run a command in a folder; return what it printed, or fail with what it complained of."""
    found_first = f"{path}{os.pathsep}" if path else ""
    environment = {**os.environ, "PATH": found_first + os.environ["PATH"]}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, f"{command} failed:\n{done.stdout}\n{done.stderr}"
    return done.stdout


def take(heading: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Run a section's blocks in a new folder; return the folder and all that they printed."""
    folder = tmp_path_factory.mktemp("section")
    programs = folder / ".bin"
    programs.mkdir()
    shim = programs / "manymodes"
    shim.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m manymodes "$@"\n')
    shim.chmod(0o755)
    said = []
    for number, (language, text) in enumerate(blocks(heading)):
        if language == "bash":
            command = ["bash", "-e", "-c", text]
        else:
            script = folder / f"block_{number}.py"
            script.write_text(text, encoding="utf-8")
            command = [sys.executable, script.name]
        said.append(run(command, folder, str(programs)))
    return folder, "".join(said)


def tour() -> list[tuple[str, str]]:
    """Return the blocks of the tour."""
    return blocks("A five-minute tour")


@pytest.fixture(scope="module")
def toured(tools: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder in which the tour was taken, and all that it printed."""
    return take("A five-minute tour", tmp_path_factory)


def test_tour_shows_both_ways_in() -> None:
    languages = [language for language, _ in tour()]
    assert languages.count("python") >= 2
    commands = " ".join(text for language, text in tour() if language == "bash")
    for command in ("network", "sample", "evidence", "compare"):
        assert f"manymodes {command} " in commands


def test_tour_runs_as_written(toured: tuple[Path, str]) -> None:
    folder, said = toured
    assert (folder / "run" / "report.html").stat().st_size > 10_000
    assert "log_z" in said


def test_the_section_on_evidence_runs_as_written(toured: tuple[Path, str]) -> None:
    """In the folder of the tour, whose network it integrates."""
    folder, _ = toured
    commands = [text for _, text in blocks("The evidence of any Stan program")]
    said = run(["bash", "-e", "-c", "".join(commands)], folder, str(folder / ".bin"))
    assert "fitted to the peaks" in said
    assert "independent checks of log_z" in said
    assert "nested sampling over another base measure" in said
    assert (folder / "files" / "none.stats").exists()
    checks = mm.load(folder / "evidence").summary["posteriors"]["none"]["checks"]
    assert checks["agree"], checks["verdict"]


def test_tour_finds_the_copies_of_one_function(toured: tuple[Path, str]) -> None:
    """Two tanh units have 2! x 2^2 = 8 copies of every mode, all with the same evidence."""
    folder, _ = toured
    modes = mm.load(folder / "run").modes
    copies = modes[modes["function"] == modes["function"].iloc[0]]
    assert len(copies) == 8
    known = copies.dropna(subset=["log_z"])
    assert len(known) >= 6
    np.testing.assert_allclose(copies["height"], copies["height"].iloc[0], atol=0.01)


def test_many_chains_run_as_written(toured: tuple[Path, str]) -> None:
    folder, _ = toured
    [(language, text)] = blocks("Hundreds of chains")
    assert language == "bash"
    said = run(["bash", "-e", "-c", text], folder, str(folder / ".bin"))
    assert "The 32 chains" in said
    entry = mm.load(folder / "many").summary["posteriors"]["none"]["chains"]
    assert (entry["n"], entry["failed"], entry["cut_short"]) == (32, 0, 0)


def test_tables_run_as_written(tools: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Every line that the section shows is printed, up to digits that chains may change."""
    folder, said = take("From a table to predictions", tmp_path_factory)
    section = README.split("\n## From a table to predictions\n")[1]
    shown = section.split("\nIt says\n\n")[1].split("\n\n")[0]
    for line in shown.splitlines():
        pattern = re.sub(r"\d+\\\.\d+", r"[\\d.]+", re.escape(line.strip()))
        assert re.search(pattern, said), line
    written = pd.read_csv(folder / "predictions.csv")
    assert len(written) == 110
    nats = float(re.search(r"target: (-[\d.]+)", shown).group(1))  # type: ignore[union-attr]
    assert written["log_density"].mean() == pytest.approx(nats, abs=0.03)


def test_predictions_of_any_program_run_as_written(
    tools: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """What the line predicts is known up to the noise of 24 outcomes and of the draws."""
    folder, said = take("Predictions of any Stan program", tmp_path_factory)
    section = README.split("\n## Predictions of any Stan program\n")[1]
    shown = section.split("\nIt says\n\n")[1].split("\n\n")[0]
    for line in shown.splitlines():
        pattern = re.sub(r"\\?-?\d+\\\.\d+", r"-?[\\d.]+", re.escape(line.strip()))
        assert re.search(pattern, said), line
    found = pd.read_csv(folder / "forecast.csv", index_col="name")
    np.testing.assert_allclose(found["mean"], [11, 21], atol=1)
    assert "y_new[1]" in said.split("forecast.csv")[1]


def test_scikit_learn_runs_as_written(tools: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    _, said = take("With scikit-learn", tmp_path_factory)
    nats = float(re.search(r"(-[\d.]+) nats a row", said).group(1))  # type: ignore[union-attr]
    assert nats > -0.3  # a third for each class would be -1.1


def test_readme_names_only_files_that_exist() -> None:
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target


@pytest.fixture(scope="module")
def example() -> ModuleType:
    """The example, imported."""
    spec = importlib.util.spec_from_file_location("example_xor", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_example_has_the_data_of_the_study(example: ModuleType) -> None:
    X, y = example.noisy_xor()
    data = xor_data()
    np.testing.assert_array_equal(X, data.X)
    np.testing.assert_array_equal(y, data.y)


def test_example_fits_on_a_page() -> None:
    assert len(EXAMPLE.read_text(encoding="utf-8").splitlines()) < 80


def test_example_runs_small(tools: Any, tmp_path: Path) -> None:
    small = ["--chains", "2", "--nlive", "50", "--out", "out"]
    said = run([sys.executable, str(EXAMPLE), *small], tmp_path)
    assert re.search(r"^full: log_z = -\d+\.\d\d ± ", said, re.MULTILINE)
    assert re.search(r"^constrained: log_z = -\d+\.\d\d ± ", said, re.MULTILINE)
    assert "<html" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
