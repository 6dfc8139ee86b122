"""SECURITY.md is true: what it says of opening a run, and the tests that it names."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import numpy as np
import pytest

from conftest import closed_form
from manymodes import load
from manymodes.density.program import Program
from manymodes.errors import ResultsError, ToolchainError
from manymodes.results.run_directory import save_posterior
from manymodes.runtime.storage import read_arrays, write_json

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
NETWORK = {"urllib.request", "http", "http.client", "requests", "httpx", "ftplib", "smtplib"}


def test_opening_a_run_compiles_nothing(tmp_path: Path) -> None:
    """Tests find no toolchain without asking for it: what asks for it here is the density."""
    save_posterior(closed_form(), tmp_path / "posterior")
    write_json(tmp_path / "summary.json", {"posteriors": {"normal": {"modes": []}}})
    opened = load(tmp_path).posterior()
    assert (opened.name, opened.data["N"]) == ("normal", 5)
    with pytest.raises(ToolchainError):
        opened.log_density([0.3])


class Harmful:
    """An object whose unpickling would leave a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.path,)


def test_a_pickle_in_an_archive_is_not_opened(tmp_path: Path) -> None:
    path, mark = tmp_path / "chain-00000.npz", tmp_path / "unpickled"
    np.savez(path, eta=np.array([Harmful(mark)], dtype=object))
    with pytest.raises(ResultsError, match=r"chain-00000\.npz is damaged"):
        read_arrays(path, "eta")
    assert not mark.exists()
    with np.load(path, allow_pickle=True) as archive:  # what would have happened
        archive["eta"]
    assert mark.exists()


def test_no_module_opens_a_connection_to_a_web_server() -> None:
    found = [
        f"{path.name}: {name}"
        for path in (ROOT / "python").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        for name in (
            [one.name for one in node.names]
            if isinstance(node, ast.Import)
            else [node.module]
            if isinstance(node, ast.ImportFrom)
            else []
        )
        if name in NETWORK
    ]
    assert found == []


def test_the_page_names_tests_that_there_are() -> None:
    named: dict[str, set[str]] = {}
    file = ""
    for word in re.findall(r"`(tests/[\w/]+\.py|test_\w+)`", PAGE):
        if word.startswith("tests/"):
            file = word
        else:
            named.setdefault(file, set()).add(word)
    assert len(named) >= 8
    for path, tests in named.items():
        defined = set(re.findall(r"^def (test_\w+)", (ROOT / path).read_text("utf-8"), re.M))
        assert tests <= defined, path


def test_the_line_before_a_strangers_program_is_quoted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Program, "is_compiled", lambda _: False)
    save_posterior(closed_form(), tmp_path / "posterior", "model.stan")
    program = Program(tmp_path / "posterior" / "model.stan", confined=True)
    quoted = " ".join(PAGE.split())
    assert program.foreign is not None
    assert program.foreign.replace(f"{tmp_path}/", "") in quoted
