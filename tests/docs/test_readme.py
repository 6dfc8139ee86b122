"""What the README and the pages tell to run is run as written, and prints what they show."""

from __future__ import annotations

import importlib.util
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
from pages import ROOT, blocks, page, run, section, shown, take

EXAMPLE = ROOT / "examples" / "xor.py"
FIRST_STEPS = "docs/first_steps.md"
TOUR = section(FIRST_STEPS, "A five-minute tour")
WORDS = 900
"""The README stays shorter."""

RUN_HERE = {
    "README.md": "test_the_readme_prints_what_it_shows",
    FIRST_STEPS: "test_tour_runs_as_written",
    "docs/adopt.md": "test_adopted_chains_run_as_written",
    "docs/chains.md": "test_many_chains_run_as_written",
    "docs/copies.md": "test_copies_are_counted_as_written",
    "docs/evidence.md": "test_the_section_on_evidence_runs_as_written",
    "docs/networks.md": "test_priors_by_group_are_taken_as_written",
    "docs/number_of_units.md": "test_three_sizes_are_compared_as_written",
    "docs/own_program.md": "test_a_program_of_ones_own_runs_as_written",
    "docs/predictions.md": "test_predictions_of_any_program_run_as_written",
    "docs/scikit_learn.md": "test_scikit_learn_runs_as_written",
    "docs/stacking.md": "test_the_exact_weights_are_as_written",
    "docs/tables.md": "test_tables_run_as_written",
    "docs/tools.md": "test_results_open_in_other_tools_as_written",
}
"""The test of this file that runs all blocks of a page."""
RUN_ELSEWHERE = {
    "docs/clusters.md": "tests/cli/test_clusters.py",
    "docs/constraints.md": "tests/networks/test_audit.py",
}


def assert_shown(text: str, said: str) -> None:
    """Compare the lines that a text shows with what was printed, up to figures."""
    expected = [one for one in shown(text) if "manymodes" not in one.pattern]
    assert len(expected) > 1
    assert [one.pattern for one in expected if not one.search(said)] == []


# ---------------------------------------------------------------- all pages


def pages_with_blocks() -> list[str]:
    """Return the pages that tell to run something."""
    found = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]
    names = [str(one.relative_to(ROOT)) for one in found if "generated" not in one.parts]
    return [name for name in sorted(names) if blocks(page(name))]


def test_every_block_of_every_page_is_run_by_a_test() -> None:
    """A block that cannot be run is marked as text, or indented."""
    assert pages_with_blocks() == sorted([*RUN_HERE, *RUN_ELSEWHERE])
    assert all(name in globals() for name in RUN_HERE.values())
    for name, test in RUN_ELSEWHERE.items():
        assert name in page(test)


def test_pages_name_only_files_that_exist() -> None:
    """Links are relative to their page, so that a forge can follow them."""
    found = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "stan").rglob("*.md")]
    pages = [one for one in found if "generated" not in one.parts]
    links = [
        (one, re.findall(r"\]\((?!\w+:|#)([^)#\s]+)", one.read_text("utf-8"))) for one in pages
    ]
    assert sum(len(targets) for _, targets in links) > 60
    for one, targets in links:
        for target in targets:
            assert (one.parent / target).exists(), f"{one.relative_to(ROOT)}: {target}"


# ---------------------------------------------------------------- the README and the tour


@pytest.fixture(scope="module")
def toured(tools: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder in which the README's commands ran, and what they printed."""
    folder = tmp_path_factory.mktemp("tour")
    return folder, take(blocks(page("README.md")), folder)


def test_the_readme_is_short() -> None:
    assert len(page("README.md").split()) < WORDS


def test_the_readme_prints_what_it_shows(toured: tuple[Path, str]) -> None:
    _, said = toured
    assert_shown(section("README.md", "Four commands"), said)


def test_the_readme_leads_a_newcomer_to_a_report() -> None:
    """From the README to a lesson's report, by commands that stand there."""
    text = page("README.md")
    steps = ["make demo", "pip install .", "manymodes setup", "manymodes study lesson-1"]
    places = [text.index(step) for step in steps]
    assert places == sorted(places)
    assert "`lesson-1/report.html`" in text


def test_tour_has_the_commands_of_the_readme() -> None:
    ran = blocks(page("README.md"))
    assert blocks(TOUR)[: len(ran)] == ran


def test_tour_shows_both_ways_in() -> None:
    languages = [language for language, _ in blocks(TOUR)]
    assert languages.count("python") >= 2
    commands = " ".join(text for language, text in blocks(TOUR) if language == "bash")
    for command in ("network", "sample", "evidence", "compare"):
        assert f"manymodes {command} " in commands


def test_tour_runs_as_written(toured: tuple[Path, str]) -> None:
    """Its first blocks are those of the README, which ran; the others follow in the folder."""
    folder, said = toured
    assert (folder / "run" / "report.html").stat().st_size > 10_000
    first = len(blocks(page("README.md")))
    assert "log_z" in said
    assert "log_z" in take(blocks(page(FIRST_STEPS))[first:], folder)


def test_tour_finds_the_copies_of_one_function(toured: tuple[Path, str]) -> None:
    """Two tanh units have 2! x 2^2 = 8 copies of every mode, all with the same evidence."""
    folder, _ = toured
    modes = mm.load(folder / "run").modes
    copies = modes[modes["function"] == modes["function"].iloc[0]]
    assert len(copies) == 8
    known = copies.dropna(subset=["log_z"])
    assert len(known) >= 6
    np.testing.assert_allclose(copies["height"], copies["height"].iloc[0], atol=0.01)


# ---------------------------------------------------------------- how-to pages


def test_the_section_on_evidence_runs_as_written(toured: tuple[Path, str]) -> None:
    """In the folder of the tour, whose network it integrates."""
    folder, _ = toured
    said = take(blocks(page("docs/evidence.md")), folder)
    assert "fitted to the peaks" in said
    assert "independent checks of log_z" in said
    assert "nested sampling over another base measure" in said
    assert (folder / "files" / "none.stats").exists()
    checks = mm.load(folder / "evidence").summary["posteriors"]["none"]["checks"]
    assert checks["agree"], checks["verdict"]


def test_many_chains_run_as_written(toured: tuple[Path, str]) -> None:
    folder, _ = toured
    [(language, text)] = blocks(page("docs/chains.md"))
    assert language == "bash"
    said = take([(language, text)], folder)
    assert "The 32 chains" in said
    entry = mm.load(folder / "many").summary["posteriors"]["none"]["chains"]
    assert (entry["n"], entry["failed"], entry["cut_short"]) == (32, 0, 0)


def test_three_sizes_are_compared_as_written(toured: tuple[Path, str]) -> None:
    """One unit cannot fit a dose that is too high: the other two share the probability."""
    folder, _ = toured
    said = take(blocks(page("docs/number_of_units.md")), folder)
    table = re.findall(r"^ +H=(\d) .* ([\d.]+) ± [\d.]+ %  units", said, re.MULTILINE)
    shares = {int(units): float(share) for units, share in table}
    assert set(shares) == {1, 2, 3}
    assert shares[1] < 10 < 90 < shares[2] + shares[3]
    assert (folder / "units" / "report" / "models.html").exists()


def test_results_open_in_other_tools_as_written(toured: tuple[Path, str]) -> None:
    """After a comparison, in which every draw has its mode."""
    folder, _ = toured
    said = take(blocks(page("docs/tools.md")), folder, together=True)
    assert "elpd_loo" in said
    for figure in ("data.png", "way.svg", "predictions.pdf"):
        assert (folder / figure).stat().st_size > 1000
    assert len(pd.read_csv(folder / "predictions.csv")) == 60


def test_tables_run_as_written(tools: Any, tmp_path: Path) -> None:
    """Every line that the page shows is printed, up to digits that chains may change."""
    text = page("docs/tables.md")
    said = take(blocks(text), tmp_path)
    report = text.split("\nIt says\n")[1].split("\nand `")[0]
    assert_shown(report.replace("manymodes compare", ""), said.replace("manymodes compare", ""))
    written = pd.read_csv(tmp_path / "predictions.csv")
    assert len(written) == 110
    nats = float(re.search(r"target: (-[\d.]+)", report).group(1))  # type: ignore[union-attr]
    assert written["log_density"].mean() == pytest.approx(nats, abs=0.03)


def test_predictions_of_any_program_run_as_written(tools: Any, tmp_path: Path) -> None:
    """What the line predicts is known up to the noise of 24 outcomes and of the draws."""
    text = page("docs/predictions.md")
    said = take(blocks(text), tmp_path)
    report = text.split("\nIt says\n")[1].split("\nand `")[0]
    assert_shown(report.replace("manymodes compare", ""), said.replace("manymodes compare", ""))
    found = pd.read_csv(tmp_path / "forecast.csv", index_col="name")
    np.testing.assert_allclose(found["mean"], [11, 21], atol=1)
    assert "y_new[1]" in said.split("forecast.csv")[1]


def test_a_program_of_ones_own_runs_as_written(tools: Any, tmp_path: Path) -> None:
    """Its log evidence is that of quadrature, and its two modes have one half each."""
    text = page("docs/own_program.md")
    said = take(blocks(text), tmp_path)
    assert_shown(section("docs/own_program.md", "Sample, integrate, compare"), said)
    exact = re.search(r"Quadrature gives log_z = −([\d.]+)\.\n", text)
    assert exact is not None
    entry = mm.load(tmp_path / "speed").summary["posteriors"]["speed"]["evidence"]
    assert entry["log_z"] == pytest.approx(-float(exact[1]), abs=3 * entry["log_z_sd"])
    modes = mm.load(tmp_path / "speed").modes
    np.testing.assert_allclose(modes["evidence"], 0.5, atol=0.05)


def test_scikit_learn_runs_as_written(tools: Any, tmp_path: Path) -> None:
    said = take(blocks(page("docs/scikit_learn.md")), tmp_path)
    nats = float(re.search(r"(-[\d.]+) nats a row", said).group(1))  # type: ignore[union-attr]
    assert nats > -0.3  # a third for each class would be -1.1


def test_adopted_chains_run_as_written(tools: Any, tmp_path: Path) -> None:
    """With chains that CmdStan's own program drew, of the line of the page on predictions."""
    take(blocks(page("docs/predictions.md"))[:1], tmp_path)
    (tmp_path / "line.stan").rename(tmp_path / "model.stan")
    (tmp_path / "old.json").rename(tmp_path / "data.json")
    posterior = mm.Posterior.from_files(tmp_path / "model.stan", tmp_path / "data.json")
    for chain in (1, 2, 3):
        command = [str(posterior.program.executable()), "sample", f"id={chain}"]
        files = ["data", "file=data.json", "random", "seed=1"]
        output = ["output", f"file=output_{chain}.csv", "sig_figs=17"]
        subprocess.run([*command, *files, *output], cwd=tmp_path, check=True, capture_output=True)
    said = take(blocks(page("docs/adopt.md")), tmp_path)
    assert "independent checks of log_z" in said
    forecast = pd.read_csv(tmp_path / "forecast.csv", index_col="name")
    np.testing.assert_allclose(forecast["mean"], [11, 21], atol=1)


# ---------------------------------------------------------------- without a toolchain


def test_priors_by_group_are_taken_as_written(tmp_path: Path) -> None:
    take(blocks(page("docs/networks.md")), tmp_path)


def test_copies_are_counted_as_written(tmp_path: Path) -> None:
    text = page("docs/copies.md")
    said = take(blocks(text), tmp_path)
    counts = [line.split()[-1] for line in said.splitlines()]
    assert f"This prints {', '.join(counts[:-1])} and {counts[-1]}." in text


def test_the_exact_weights_are_as_written(tmp_path: Path) -> None:
    """The table of what happens as the data grow has the figures that the block prints."""
    text = page("docs/stacking.md")
    said = take(blocks(text), tmp_path, together=True)
    rows = [re.findall(r"-?\d+\.?\d*", line) for line in said.splitlines()]
    assert len(rows) == 3
    table = text.split("\n## What happens as the data grow\n")[1]
    for size, *figures in rows:
        [row] = re.findall(rf"^\| {size} \|.*$", table, re.MULTILINE)
        written = [float(one) for one in re.findall(r"\d+\.?\d*", row)[1:]]
        assert written == [float(one) for one in figures]


# ---------------------------------------------------------------- the example


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
