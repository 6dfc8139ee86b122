"""Spelling of what people read: pages, docstrings, comments and lessons; British, too.

Live pages are checked as a whole for misspelt words only: their code has names such as `color`.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import codespell_lib
import pytest

from manymodes.studies.lessons.catalogue import lessons
from pages import FENCE, ROOT

TEXTS = (
    *("*.md", "docs/**/*.md", "docs/**/*.py", "docs/live/*", "examples/*", "stan/**/*"),
    "python/**/*.py",
)
ENDINGS = {".md", ".py", ".js", ".html", ".stan", ".stanfunctions", ".hpp", ".cpp"}
AMERICAN = Path(codespell_lib.__file__).parent / "data" / "dictionary_en-GB_to_en-US.txt"
OURS = {
    "biased",  # both are British
    "license",  # a file's name
    "math",  # a module of Python
    "program",  # of a computer
    "writable",  # both are British
    # words in titles of papers
    "generalized",
    "localization",
    "modeling",
    "normalization",
    "normalizing",
    "optimization",
}
"""American spellings that stay."""
CODE = re.compile(r"`+[^`]*`+|^    .*$|\]\([^)]*\)|<[^>]*>|^ *>>> .*$", re.MULTILINE)


def files() -> list[Path]:
    """Return the files that people read."""
    found = {path for pattern in TEXTS for path in ROOT.glob(pattern) if path.suffix in ENDINGS}
    kept = {path for path in found if "generated" not in path.parts}
    assert len(kept) > 200
    return sorted(kept)


def british() -> dict[str, str]:
    """Return the British spelling of each American one."""
    pairs = [line.split("->") for line in AMERICAN.read_text(encoding="utf-8").splitlines()]
    words = {american.split(",")[0].strip(): ours for ours, american in pairs}
    assert words["color"] == "colour"
    return {american: ours for american, ours in words.items() if american not in OURS}


def docstrings(path: Path) -> Iterator[str]:
    """Yield the docstrings of a module."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            yield ast.get_docstring(node) or ""


def american(text: str) -> list[str]:
    """Return the American words of a text, code apart, each with the British one."""
    words = british()
    prose = CODE.sub(" ", FENCE.sub(" ", text))
    found = [word for word in re.findall(r"[A-Za-z]+", prose) if word.lower() in words]
    return [f"{word} ==> {words[word.lower()]}" for word in found]


def test_nothing_is_misspelt() -> None:
    """By codespell, whose list of words to ignore is in pyproject.toml."""
    command = [sys.executable, "-m", "codespell_lib", "--toml", "pyproject.toml"]
    names = [str(path.relative_to(ROOT)) for path in files()]
    done = subprocess.run([*command, *names], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout + done.stderr == ""


def test_a_misspelt_word_is_found(tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text("This is teh page.\n")
    command = [sys.executable, "-m", "codespell_lib", "page.md"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert "teh ==> the" in done.stdout


def test_lessons_are_british() -> None:
    wrong = {}
    for name, lesson in lessons().items():
        prose = "\n\n".join(cell.text for cell in lesson.cells if cell.kind == "markdown")
        assert len(prose) > 1000
        wrong[name] = american(prose.split("\n## References\n")[0])  # titles are as printed
    assert len(wrong) > 10
    assert {name: words for name, words in wrong.items() if words} == {}


@pytest.mark.parametrize("kind", ["pages", "docstrings"])
def test_spelling_is_british(kind: str) -> None:
    wrong = {}
    for path in files():
        if kind == "pages" and path.suffix == ".md":
            wrong[str(path)] = american(path.read_text(encoding="utf-8"))
        elif kind == "docstrings" and path.suffix == ".py":
            wrong[str(path)] = [word for text in docstrings(path) for word in american(text)]
    assert len(wrong) > 20
    assert {name: words for name, words in wrong.items() if words} == {}


def test_american_words_are_found_in_prose_only() -> None:
    assert american("The color of `color`.\n\n    color\n") == ["color ==> colour"]
