"""The shape of the package: what imports what, and what may not be in the tree."""

from __future__ import annotations

import re
import runpy
from collections.abc import Iterator
from pathlib import Path

import pytest

import manymodes

ROOT = Path(__file__).resolve().parents[1]
DRAWN_BY = ROOT / "docs" / "internals" / "house.py"
HOUSE = runpy.run_path(str(DRAWN_BY))
ORDER = (
    "wording",
    "errors",
    "_version",
    "types",
    "runtime",
    "toolchain",
    "statistics",
    "networks",
    "density",
    "tables",
    "sampling",
    "modes",
    "results",
    "models",
    "report",
    "studies",
    "sklearn",
    "cli",
    "__main__",
)
"""The packages, and the few modules beside them: each imports only from those before it."""


MODULES: dict[str, Path] = HOUSE["modules"]()


def imported(path: Path) -> Iterator[tuple[int, str]]:
    """Yield line and module of each import of one of our modules, at any depth of the file."""
    for line, name in HOUSE["imported"](path):
        yield line, name if name in MODULES else name.rpartition(".")[0]


def test_every_package_has_its_place() -> None:
    assert {name.split(".")[0] for name in MODULES} - {""} == set(ORDER)


@pytest.mark.parametrize("package", ORDER)
def test_a_package_imports_only_from_those_before_it(package: str) -> None:
    allowed = {*ORDER[: ORDER.index(package)], package}
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {other}"
        for name, path in MODULES.items()
        if name.split(".")[0] == package
        for line, other in imported(path)
        if other.split(".")[0] not in allowed
    ]
    assert wrong == []


def test_no_modules_import_one_another_in_a_circle() -> None:
    """A package's own `__init__` only hands names on: what it imports is no arrow of anybody."""
    arrows = {
        name: {other for _, other in imported(path) if other != name and other in MODULES}
        for name, path in MODULES.items()
        if path.name != "__init__.py"
    }
    while arrows:
        free = {name for name, others in arrows.items() if not others & arrows.keys()}
        assert free, f"in or above a circle: {sorted(arrows)}"
        arrows = {name: others for name, others in arrows.items() if name not in free}


def test_the_picture_of_the_house_is_true() -> None:
    drawn = HOUSE["PICTURE"].read_text(encoding="utf-8")
    assert drawn == HOUSE["svg"](), f"draw it again: python {DRAWN_BY.relative_to(ROOT)}"


@pytest.mark.parametrize("line", ["from . import errors", "from .errors import InputError"])
def test_a_relative_import_is_refused(line: str, tmp_path: Path) -> None:
    file = tmp_path / "module.py"
    file.write_text(f"import math\n{line}\n")
    with pytest.raises(ValueError, match=r"module\.py:2: a relative import"):
        list(imported(file))


@pytest.mark.parametrize("line", ["import manymodes", "import manymodes as mm"])
def test_an_import_of_the_face_is_refused(line: str, tmp_path: Path) -> None:
    file = tmp_path / "module.py"
    file.write_text(line)
    with pytest.raises(ValueError, match=r"module\.py:1: imports the package's face"):
        list(imported(file))


def test_imports_are_found_at_any_depth(tmp_path: Path) -> None:
    file = tmp_path / "module.py"
    file.write_text("import manymodes.errors\ndef f():\n    from manymodes.runtime import tasks\n")
    assert list(imported(file)) == [(1, "errors"), (3, "runtime.tasks")]


def test_no_public_name_is_that_of_a_package() -> None:
    """Importing a package binds its name in ours, over a function that is called alike."""
    assert not set(manymodes.__all__) & set(ORDER)


def tracked_texts() -> Iterator[tuple[Path, str]]:
    """Yield the source and documentation files of the tree, this test aside."""
    endings = {".py", ".stan", ".stanfunctions", ".cpp", ".hpp", ".h", ".md", ".toml", ".yaml"}
    endings |= {".stanblock", ".j2", ".txt", ".json"}
    folders = ("python", "stan", "tests", "examples", "benchmarks", ".ci")
    top = [path for path in ROOT.iterdir() if path.is_file()]
    below = [path for folder in folders for path in (ROOT / folder).rglob("*")]
    for path in (*top, *below):
        named = path.suffix in endings or path.name in {"Makefile", "LICENSE", "run"}
        hidden = any(part.endswith("_cache") or part == "__pycache__" for part in path.parts)
        if path.is_file() and named and not hidden and path != Path(__file__).resolve():
            yield path.relative_to(ROOT), path.read_text(encoding="utf-8", errors="replace")


FORBIDDEN = {
    "the absolute path of a machine": re.compile(r"(?<![\w.~/-])/(home|Users|work|root|opt)/\w+"),
    "the address of a package registry": re.compile(
        r"https?://[\w.-]*(pypi\.(org|python)|pythonhosted|anaconda\.org|proxy\.golang|npmjs)"
    ),
    "an index option with an address": re.compile(r"--(extra-)?index-url[= ]+https?:"),
}


@pytest.mark.parametrize("what", FORBIDDEN)
def test_the_tree_does_not_hold(what: str) -> None:
    found = [
        f"{path}:{text.count(chr(10), 0, match.start()) + 1}: {match.group()}"
        for path, text in tracked_texts()
        for match in FORBIDDEN[what].finditer(text)
    ]
    assert found == []
