"""The shape of the package: what imports what, how long a room is, what may not be in the tree."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import manymodes

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "python" / "manymodes"
MAX_LINES = 420

LEAVES = {"storage", "progress", "volumes", "forward", "errors", "_simplex", "_ranks", "_columns"}
LEAVES |= {
    "build_cache",
    "_ess",
    "_insertion",
    "_cells",
    "_missing",
    "_mixture",
    "_notations",
    "encodings",
    "files",
    "frames",
    "room",
    "_worker",
    "interrupts",
    "printed",
    "runs_display",
    "scratch",
    "threads",
    "variables",
    "warning_log",
}
LEAVES |= {"log_likelihood"}
LEAVES |= {"compiler_messages", "coverage", "labels", "records", "seeds", "spreadsheets"}
LEAVES |= {"stan_csv", "stan_source", "overloads", "terminal", "wording"}
ORDER = (
    "prior",
    "likelihood",
    "region",
    "catalogue",
    "active",
    "network",
    "table",
    "symmetry",
    "constraints",
    "audits",
    "toolchain",
    "machine_code",
    "nested_runner",
    "program_files",
    "claims",
    "earlier",
    "kernel",
    "program",
    "stan_data",
    "compiled",
    "posterior",
    "trees",
    "curvature",
    "parameter_space",
    "normalisation",
    "cmdstan",
    "nuts",
    "start_points",
    "starts",
    "nutpie_sampler",
    "samplers",
    "engine",
    "executors",
    "reference",
    "warmups",
    "polychord",
    "loo",
    "stacking",
    "weighings",
    "diagnostics",
    "chain_task",
    "driver",
    "chains",
    "stacked",
    "held_out",
    "nested",
    "nested_notes",
    "entries",
    "architectures",
    "landscape",
    "atlas",
    "modes",
    "weights",
    "comparison",
    "mode_notes",
    "basins",
    "bridge_sampling",
    "laplace",
    "copies",
    "checks",
    "diagnosis",
    "nested_files",
    "run_folder",
    "run_reading",
    "results",
    "model_comparison",
    "predict",
    "estimators",
    "plots",
    "report",
    "studies",
    "text",
    "table_commands",
    "audit_command",
    "model_command",
    "export_command",
    "run_commands",
    "evidence_command",
    "arguments",
    "option_groups",
    "options",
    "incidents",
    "cli",
    "__main__",
)
"""The rooms from left to right: a room imports only leaves and rooms to its left."""


def rooms() -> dict[str, list[Path]]:
    """Return the files of each room."""
    found: dict[str, list[Path]] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        found.setdefault(name, []).append(path)
    return found


def imported(path: Path) -> Iterator[tuple[int, str]]:
    """Yield line and room of each import of one of our rooms, at any depth of the file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module == "manymodes":
            names = [f"manymodes.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: a relative import"
            names = [node.module or ""]
        for name in names:
            package, _, rest = name.partition(".")
            if package == "manymodes" and rest and not rest.startswith("__"):
                yield node.lineno, rest.split(".")[0]


def test_every_room_has_its_place() -> None:
    assert set(rooms()) - {"__init__"} == LEAVES | set(ORDER)


@pytest.mark.parametrize("room", sorted(set(rooms()) - {"__init__"}))
def test_a_room_imports_only_rooms_to_its_left(room: str) -> None:
    place = ORDER.index(room) if room in ORDER else 0
    allowed = LEAVES | set(ORDER[:place]) | {room}
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {other}"
        for path in rooms()[room]
        for line, other in imported(path)
        if other not in allowed
    ]
    assert wrong == []


def test_no_public_name_is_that_of_a_room() -> None:
    """Importing a room binds its name in the package, over a function that is called alike."""
    assert not set(manymodes.__all__) & set(rooms())


def test_leaves_stand_alone() -> None:
    """A leaf imports nothing of ours but errors and other leaves: no cycles among them."""
    arrows = {
        leaf: {other for path in rooms()[leaf] for _, other in imported(path)} for leaf in LEAVES
    }
    while arrows:
        free = {leaf for leaf, others in arrows.items() if not others & arrows.keys()}
        assert free, f"leaves import one another in a circle: {arrows}"
        arrows = {leaf: others for leaf, others in arrows.items() if leaf not in free}


@pytest.mark.parametrize(
    "path", [path for paths in rooms().values() for path in paths], ids=lambda path: path.name
)
def test_a_room_is_not_too_long(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MAX_LINES


def tracked_texts() -> Iterator[tuple[Path, str]]:
    """Yield the source and documentation files of the tree, this test aside."""
    endings = {".py", ".stan", ".stanfunctions", ".cpp", ".hpp", ".h", ".md", ".toml", ".yaml"}
    endings |= {".j2", ".txt", ".json"}
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
