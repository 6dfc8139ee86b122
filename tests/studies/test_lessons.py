"""The lessons: their parts, their notebooks, and the number of each, which is run."""

from __future__ import annotations

import ast
import json
import os
import re
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest
from matplotlib import rcParams
from scipy import integrate, stats

import manymodes as mm
from conftest import MODELS
from manymodes import toolchain
from manymodes.cli.main import main
from manymodes.errors import InputError
from manymodes.studies.cauchy import cauchy_data, cauchy_modes
from manymodes.studies.lessons import Lesson, Number, catalogue, jackknife
from manymodes.studies.lessons.catalogue import Script, lessons, script_at
from manymodes.studies.lessons.cells import cells_of, notebook
from manymodes.studies.lessons.lesson import OUT

ROOT = Path(__file__).parents[2]
RUNNER = runpy.run_path(str(ROOT / "docs" / "lessons.py"))
SMALL = Path(__file__).with_name("small_lesson.py")
LESSONS = lessons()
HEADINGS = (
    "The Stan program",
    "What goes wrong first",
    "The fix that fails",
    "The fix that works",
    "Exercises",
    "References",
)


def prose(script: Script) -> str:
    """Return the text of a lesson."""
    return "\n\n".join(cell.text for cell in script.cells if cell.kind == "markdown")


# ---------------------------------------------------------------- what a lesson is made of


def test_there_are_twelve_lessons_in_order() -> None:
    assert [one.number for one in LESSONS.values()] == list(range(1, 13))


@pytest.mark.parametrize("script", LESSONS.values(), ids=LESSONS)
def test_a_lesson_has_its_parts(script: Script) -> None:
    text = prose(script)
    headings = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert [one for one in headings if one in HEADINGS] == list(HEADINGS)
    assert script.question.endswith("?")
    exercises = text.split("## Exercises")[1].split("## References")[0]
    assert re.findall(r"^(\d)\. ", exercises, re.MULTILINE) == ["1", "2", "3"]
    assert exercises.count("<summary>Answer</summary>") == exercises.count("</details>") == 3
    assert len(re.findall(r"^- .+\(\d{4}\)", text.split("## References")[1], re.MULTILINE)) > 0
    code = "\n".join(cell.text for cell in script.cells if cell.kind == "code")
    assert code.count("lesson.settle(") == 1
    assert code.count("lesson.show(") == 1
    assert "lesson.program(" in code


@pytest.mark.parametrize("script", LESSONS.values(), ids=LESSONS)
def test_a_lesson_makes_a_notebook(script: Script) -> None:
    made = nbformat.reads(json.dumps(notebook(script.cells)), as_version=4)
    nbformat.validate(made)
    for cell in made.cells:
        assert "__name__" not in cell.source
        if cell.cell_type == "code":
            ast.parse(cell.source)


# ---------------------------------------------------------------- what a lesson finds


def script_names(number: int) -> dict[str, Any]:
    """Return what a lesson's script defines before it runs."""
    return runpy.run_path(str(LESSONS[f"lesson-{number}"].path))


def wrong_order() -> float:
    """Return the mass of the wrong order of two locations under a nudge, by product quadrature."""
    given = script_names(4)
    nodes, weights = np.polynomial.legendre.leggauss(400)
    mu, weights = 6 * nodes, 6 * weights
    likelihood = stats.norm.pdf(given["sizes"]()[:, None], mu)  # fossil, location
    log_mass = np.log(likelihood[:, :, None] + likelihood[:, None, :]).sum(axis=0)
    log_mass += stats.norm.logpdf(mu, -1, given["PRIOR_SD"])[:, None]
    log_mass += stats.norm.logpdf(mu, 1, given["PRIOR_SD"])
    mass = np.exp(log_mass - log_mass.max()) * np.outer(weights, weights)
    return float(np.tril(mass, -1).sum() / (mass.sum() - np.trace(mass)))


def small_tau() -> float:
    """Return P(tau < 0.1) of lesson 8; the mean of the estimates is sufficient for mu."""
    given = script_names(8)
    y, n = given["reported"](), given["CLINICS"]
    tau = np.linspace(0, 12, 60_001)
    within = 1 + tau**2
    of_mean = within / n + given["MU_SD"] ** 2
    log_p = -0.5 * ((n - 1) * np.log(within) + y.var() * n / within)
    log_p -= 0.5 * (np.log(of_mean) + y.mean() ** 2 / of_mean)
    log_p -= 0.5 * (tau / given["TAU_SD"]) ** 2
    cumulative = integrate.cumulative_trapezoid(np.exp(log_p - log_p.max()), tau, initial=0)
    return float(np.interp(given["SMALL"], tau, cumulative) / cumulative[-1])


def gain_of_stacking() -> float:
    """Return what stacking gains in lesson 10 where each mode is a point, on a fine grid (nats)."""
    modes = cauchy_modes(cauchy_data())
    y = np.tan(np.pi * (np.linspace(0, 1, 400_001)[1:-1] - 0.5))  # quantiles of a Cauchy
    y = np.concatenate([y - 10, y + 10])
    density = stats.cauchy.pdf(y[:, None], np.array(modes.peaks))
    stacked, weighed = density @ np.array(modes.stacking), density @ np.array(modes.evidence)
    return float(np.log(stacked / weighed).mean())


EXPECTED: dict[str, Callable[[], float | tuple[float, float]]] = {
    "lesson-1": lambda: 1 / 8,
    "lesson-2": lambda: (0.99, 1.02),
    "lesson-3": lambda: 1 / 6,
    "lesson-4": wrong_order,
    "lesson-5": lambda: 1 / 2,
    "lesson-6": lambda: 0.0,
    "lesson-7": lambda: 0.0,
    "lesson-8": small_tau,
    "lesson-9": lambda: 13 / 36,
    "lesson-10": gain_of_stacking,
    "lesson-11": lambda: 0.0,
    "lesson-12": lambda: (47 / 48) ** 16,
}
"""The number that settles each lesson, from theory, computed here in another way."""


@pytest.mark.parametrize("script", LESSONS.values(), ids=LESSONS)
def test_the_number_of_a_lesson_is_what_theory_says(
    script: Script, tools: toolchain.Toolchain
) -> None:
    found = RUNNER["settled"](RUNNER["given"](script))
    for number in (found["settles"], *found["further"]):
        assert number["agrees"], number["text"]
    number, expected = found["settles"], EXPECTED[script.name]()
    if isinstance(expected, tuple):
        low, high = expected
        assert low < number["value"] - 2 * number["sd"]
        assert number["value"] + 2 * number["sd"] < high
    else:
        assert number["value"] == pytest.approx(expected, abs=4 * number["sd"])
        assert 0 < number["sd"] < 0.3 * (abs(expected) or 1)
        if number["expected"] is not None:  # by the lesson's own way to compute it
            assert number["expected"] == pytest.approx(expected, abs=0.2 * number["sd"])


# ---------------------------------------------------------------- a script in cells


def test_what_stands_below_the_guard_moves_to_the_left() -> None:
    script = (
        '"""About."""\nimport a\n# %% [markdown]\n# # Title\n#\n#     code\n# %%\nimport b\n\n'
        'if __name__ == "__main__":  # why\n    # %%\n    x = 1\n    if x:\n        y = 2\n'
        "    # %% [markdown]\n    # Text.\n"
    )
    cells = cells_of(script)
    assert [cell.kind for cell in cells] == ["markdown", "code", "code", "markdown"]
    assert cells[0].text == "# Title\n\n    code"
    assert cells[2].text == "x = 1\nif x:\n    y = 2"
    assert cells[3].text == "Text."


@pytest.mark.parametrize("name", ["lesson_7_short.py", "lesson_08_other.py"])
def test_a_file_that_is_no_lesson_is_refused(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text("# %% [markdown]\n# # 7. Title\n#\n# **Why?**\n", encoding="utf-8")
    with pytest.raises(InputError, match="must be lesson_NN_NAME"):
        script_at(path)


# ---------------------------------------------------------------- numbers


@pytest.mark.parametrize(
    ("given", "agrees"),
    [
        ({"value": 1.0, "sd": 0.1, "expected": 1.39}, True),
        ({"value": 1.0, "sd": 0.1, "expected": 1.41}, False),
        ({"value": 1.0, "sd": 0.1, "above": 0.79}, True),
        ({"value": 1.0, "sd": 0.1, "above": 0.81}, False),
        ({"value": 1.0, "sd": 0.1, "below": 1.21}, True),
        ({"value": 1.0, "sd": 0.1, "below": 1.19}, False),
        ({"value": float("nan"), "sd": 0.1, "expected": 1.0}, False),
        ({"value": float("nan"), "sd": 0.1, "below": 1.0}, False),
        ({"value": float("nan"), "sd": 0.1, "above": 1.0}, False),
    ],
)
def test_a_number_agrees_or_not(given: dict[str, float], agrees: bool) -> None:
    number = Number("it", **given)
    assert number.agrees is agrees
    assert str(number).endswith(": agrees)" if agrees else ": DOES NOT AGREE)")


@pytest.mark.parametrize(
    "given",
    [
        {"sd": 0.1},
        {"sd": -0.1, "above": 0.0},
        {"sd": float("nan"), "expected": 0.0},
        {"sd": float("inf"), "expected": 0.0},  # it would agree with anything
    ],
)
def test_a_number_that_cannot_be_judged_is_refused(given: dict[str, float]) -> None:
    with pytest.raises(InputError, match="number: "):
        Number("it", 1.0, **given)


def test_a_number_shows_two_digits_of_its_error() -> None:
    assert str(Number("share", 0.1277, 0.0049, expected=1 / 8, percent=True)) == (
        "share: 12.77 ± 0.49 % (expected 12.5 %: agrees)"
    )


def test_the_jackknife_of_a_mean_is_its_standard_error() -> None:
    chains = np.random.default_rng(1).normal(size=20)
    assert jackknife(np.mean, chains) == pytest.approx(chains.std(ddof=1) / np.sqrt(20))
    with pytest.raises(InputError, match="too few"):
        jackknife(np.mean, chains[:2])


# ---------------------------------------------------------------- the command


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Have one small lesson in the place of the others; return its script."""
    folder = tmp_path / "examples"
    folder.mkdir()
    path = folder / "lesson_90_small.py"
    path.write_text(SMALL.read_text(encoding="utf-8"), encoding="utf-8")
    monkeypatch.setattr(catalogue, "examples_dir", lambda: folder)
    monkeypatch.setenv("SMALL_LESSON_MODELS", str(MODELS))
    return path


def test_a_lesson_runs_and_is_opened_as_any_run(
    small: Path,
    tmp_path: Path,
    tools: toolchain.Toolchain,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = tmp_path / "out"
    command = ["study", "lesson-90", "--out", str(out)]
    monkeypatch.setenv("SMALL_LESSON_FAILS", "1")
    assert main([*command, "--quiet"]) == 2
    assert "the lesson ended here" in capsys.readouterr().err

    monkeypatch.delenv("SMALL_LESSON_FAILS")
    assert main(command) == 2  # it holds a run
    assert "--resume" in capsys.readouterr().err
    assert main([*command, "--resume", "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["lesson"]["settles"]["agrees"]
    assert summary["command"] == "study lesson-90"

    run = mm.load(out)
    assert run.names == ("mean",)
    assert run.tempered["posterior"].sizes["draw"] > 100
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "Lesson 90. A small lesson" in page
    assert "What is the posterior mean of a normal mean?" in page
    assert (out / "picture.png").read_bytes().startswith(b"\x89PNG")

    mine = out / "mean" / "notes.txt"
    mine.write_text("mine", encoding="utf-8")
    assert main([*command, "--overwrite", "--seed", "2"]) == 0
    said = capsys.readouterr().out
    assert re.search(r"posterior mean: \S+ ± \S+ \(expected 0\.9524: agrees\)", said)
    assert "report.html" in said
    assert mine.exists()
    assert json.loads((out / "summary.json").read_text())["seed"] == 2


@pytest.mark.parametrize("name", ["tempered.nc", "posterior/posterior.json", "report.html"])
@pytest.mark.parametrize("how", [[], ["--resume"], ["--overwrite"]])
def test_results_of_the_user_in_a_folder_of_its_name_are_not_replaced(
    name: str,
    how: list[str],
    small: Path,
    tmp_path: Path,
    tools: toolchain.Toolchain,
    capsys: pytest.CaptureFixture[str],
) -> None:
    mine = tmp_path / "out" / "mean" / name
    mine.parent.mkdir(parents=True)
    mine.write_text("mine", encoding="utf-8")
    assert main(["study", "lesson-90", "--out", str(tmp_path / "out"), "--quiet", *how]) == 2
    assert "choose another --out" in capsys.readouterr().err
    left = {path for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert {path for path in left if path.name[0] != "."} == {mine}
    assert mine.read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize("name", ["lesson_90_small.py", "mine.py"])
def test_a_lesson_is_a_script_too(
    name: str,
    small: Path,
    tmp_path: Path,
    tools: toolchain.Toolchain,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Under any name, so that it can be copied and changed. It is told where lessons are."""
    where = "from manymodes.studies.lessons import catalogue; from pathlib import Path; "
    where += f"catalogue.examples_dir = lambda: Path({str(small.parent)!r})"
    (tmp_path / "sitecustomize.py").write_text(where, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_bytes(small.read_bytes())
    command = [sys.executable, name, "--out", "run"]
    done = subprocess.run([*command, "--quiet"], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "posterior mean: " in done.stdout
    assert (tmp_path / "run" / "report.html").exists()
    both = [*command, "--resume", "--overwrite"]
    done = subprocess.run(both, capture_output=True, text=True, timeout=300)
    assert done.returncode == 2
    assert "--overwrite: not allowed with argument --resume" in done.stderr


def test_a_cell_that_begins_a_lesson_can_be_run_again(
    small: Path, tmp_path: Path, tools: toolchain.Toolchain, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = sys.modules["__main__"]
    monkeypatch.setattr(here, "__file__", None, raising=False)  # as in a notebook
    monkeypatch.setenv(OUT, str(tmp_path / "kept"))
    before = rcParams["text.parse_math"], rcParams["font.size"]
    for _ in range(2):
        lesson = Lesson(90, "mean")
    assert lesson.out == tmp_path / "kept"
    lesson._held.close()
    assert (rcParams["text.parse_math"], rcParams["font.size"]) == before


def test_a_notebook_is_written_and_not_replaced(
    small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "small.ipynb"
    command = ["study", "lesson-90", "--notebook", str(path)]
    assert main(command) == 0
    nbformat.validate(nbformat.read(path, as_version=4))
    assert main(command) == 2
    assert "--overwrite" in capsys.readouterr().err
    capsys.readouterr()
    assert main([*command, "--overwrite", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"lesson": "lesson-90", "file": str(path)}


def test_the_list_has_studies_and_lessons(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["study"]) == 0
    said = capsys.readouterr().out
    assert "lesson-90  A small lesson: What is the posterior mean" in said
    assert main(["study", "--json"]) == 0
    assert {"xor", "lesson-90"} <= json.loads(capsys.readouterr().out).keys()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["lesson-91", "--out", "x"], "there is no 'lesson-91': did you mean 'lesson-90'?"),
        (["lesson-90"], "--out is needed"),
        (["lesson-90", "--out", "x", "--chains", "4"], "has no --chains"),
        (["lesson-90", "--out", "x", "--resume", "--overwrite"], "leave one of them out"),
        (["lesson-90", "--out", "x", "--notebook", "y.ipynb"], "leave out --out"),
        (["lesson-90", "--notebook", "y.ipynb", "--resume"], "leave out --resume"),
        (["xor", "--notebook", "y.ipynb"], "it is not a lesson"),
        (["nor", "--out", "x"], "there is no 'nor'"),
        (["--notebook", "y.ipynb"], "which one?"),
    ],
)
def test_mistakes_are_told_in_a_line(
    arguments: list[str],
    words: str,
    small: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["study", *arguments]) == 2
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1
