"""The glossary: every name of the code that it gives is there, and the docs lead to it."""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path

import pytest

import manymodes

ROOT = Path(__file__).resolve().parents[1]
GLOSSARY = ROOT / "docs" / "glossary.md"
ROW = re.compile(r"^\| ([\w ]+) \| (.+) \| (.+) \|$", re.MULTILINE)
ENTRIES = [row for row in ROW.findall(GLOSSARY.read_text("utf-8")) if row[0] != "word"]
NAMES = sorted({name for *_, code in ENTRIES for name in re.findall(r"`([\w.]*[A-Za-z_])`", code)})


def exists(dotted: str) -> bool:
    """Whether a name, or an attribute of a class, is there; without a module it is public."""
    name = dotted.removeprefix("manymodes.")
    parts = name.split(".")
    place = manymodes
    while hasattr(place, "__path__") and len(parts) > 1:
        try:
            place = importlib.import_module(f"{place.__name__}.{parts[0]}")
        except ModuleNotFoundError:
            break
        parts = parts[1:]
    found = getattr(place, parts[0], None)
    for part in parts[1:]:
        fields = inspect.get_annotations(found) if isinstance(found, type) else {}
        if part not in fields and not hasattr(found, part):
            return False
    return found is not None


@pytest.mark.parametrize("name", [name for name in NAMES if name != "eta"])
def test_names_in_the_glossary_are_in_the_code(name: str) -> None:
    assert exists(name), name


def test_every_word_is_explained_once() -> None:
    words = [word for word, *_ in ENTRIES]
    assert len(words) == len(set(words)) >= 20


@pytest.mark.parametrize("page", ["README.md", "docs/internals/README.md", "CONTRIBUTING.md"])
def test_the_docs_lead_to_the_glossary(page: str) -> None:
    assert "glossary.md" in (ROOT / page).read_text("utf-8")
