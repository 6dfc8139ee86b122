"""The site as it is built: no warning, no broken link, nothing from elsewhere, and all names."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import zlib
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from manymodes.cli.parser import parser
from pages import ROOT
from site_checks import Page, complaints, wrong_address
from test_docstrings import PUBLIC

pytestmark = pytest.mark.slow  # a build takes half a minute

LESSONS = {1: "eight copies", 2: "one function", 11: "a lesson without a live page"}
LIVE = "eight-copies.html"
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
in_a_browser = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: apt-get install chromium")


def write_lesson(folder: Path, number: int, title: str) -> None:
    """Write what an executed lesson leaves, with a formula and an answer that opens."""
    folder.mkdir(parents=True)
    cells = [
        {
            "cell_type": "markdown",
            "metadata": {},
            "source": f"# {number}. {title}\n\n**Why?**\n\n$$p(x) = \\tfrac{{1}}{{2}}$$\n",
        },
        {
            "cell_type": "code",
            "metadata": {},
            "execution_count": 1,
            "source": "print(6 * 7)",
            "outputs": [
                {"output_type": "stream", "name": "stdout", "text": "42\n"},
                {"output_type": "stream", "name": "stderr", "text": "a warning of a library\n"},
            ],
        },
        {
            "cell_type": "markdown",
            "metadata": {},
            "source": "## Exercises\n\n1. How many?\n\n   <details><summary>Answer</summary>\n\n"
            "   $2^2 = 4$.\n\n   </details>\n",
        },
    ]
    language = {"name": "python", "pygments_lexer": "ipython3"}
    notebook = {
        "cells": cells,
        "metadata": {"language_info": language},
        "nbformat": 4,
        "nbformat_minor": 4,
    }
    (folder / "notebook.ipynb").write_text(json.dumps(notebook), encoding="utf-8")
    said = {"lesson": {"number": number, "title": title, "question": f"Why {title}?"}}
    (folder / "summary.json").write_text(json.dumps(said), encoding="utf-8")
    page = f'<!doctype html><html lang="en"><title>{title}</title><p>The report.</p></html>'
    (folder / "report.html").write_text(page, encoding="utf-8")
    figure = Figure(figsize=(4, 2))
    figure.subplots().plot(np.arange(3))
    figure.savefig(folder / "figure.png")


def sources(folder: Path) -> Path:
    """Copy what the site is made from, so that nothing is written into the checkout."""
    for name in ("docs", "stan", "examples"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("generated"))
    for path in ROOT.glob("*.md"):
        shutil.copy(path, folder)
    shutil.copy(ROOT / "LICENSE", folder)
    return folder / "docs"


def build(docs: Path, site: Path, *settings: str) -> None:
    """Build a site; any warning is an error."""
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-n", "-q", *settings]
    done = subprocess.run([*command, docs, site], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert "warning" not in done.stderr.lower()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site with some lessons, of which one has a live page."""
    root = tmp_path_factory.mktemp("site")
    for number, title in LESSONS.items():
        write_lesson(root / "build" / "lessons" / f"lesson-{number}", number, title)
    (root / "build" / "live").mkdir()
    (root / "build" / "live" / LIVE).write_text("<!doctype html><title>live</title>")
    build(sources(root), root / "out")
    return root / "out"


def test_no_link_is_broken_and_nothing_comes_from_another_host(site: Path) -> None:
    """Links to other hosts are well-formed and https; whether they answer, no test can know."""
    assert complaints(site) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('<a href="none.html">x</a>', "page.html: no file none.html"),
        ('<a href="#none">x</a>', "page.html: no anchor #none"),
        ('<a href="../page.html">x</a>', "page.html: no file ../page.html"),
        ('<a href="http://example.org/">x</a>', "page.html: not an address: http://example.org/"),
        ('<a href="https://[example.org">x</a>', "page.html: not an address: https://[example.org"),
        ('<img src="https://example.org/a.png">', "page.html: loads https://example.org/a.png"),
        ('<script src="//example.org/a.js"></script>', "page.html: loads //example.org/a.js"),
        (
            "<style>@import 'https://example.org/a.css';</style>",
            "page.html: loads https://example.org/a.css",
        ),
        (
            "<style>p { background: URL(HTTPS://example.org/a.png) }</style>",
            "page.html: loads HTTPS://example.org/a.png",
        ),
        (
            '<script type="module">import a from "https://example.org/a.js"</script>',
            'page.html: loads from "https://',
        ),
        (
            '<script>new WebSocket("wss://example.org")</script>',
            'page.html: loads WebSocket("wss://',
        ),
        (
            '<p style="background: url(//example.org/a.png)">',
            "page.html: loads //example.org/a.png",
        ),
    ],
)
def test_what_is_wrong_with_a_page_is_found(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "page.html").write_text(text)
    assert complaints(tmp_path) == [said]


def test_an_address_is_https_and_well_formed() -> None:
    assert not wrong_address("https://example.org/a?b=c#d")
    assert wrong_address("http://example.org")
    assert wrong_address("https://example")
    assert wrong_address("https://example.org/a b")


# ---------------------------------------------------------------- reference


def inventory(site: Path, kind: str) -> set[str]:
    """Return the names that the site explains, of a kind such as ``py`` or ``std:cmdoption``."""
    body = zlib.decompress((site / "objects.inv").read_bytes().split(b"\n", 4)[4]).decode()
    return {name for name, _ in re.findall(rf"^(.+?) ({kind}\S*) -?\d", body, re.MULTILINE)}


def test_every_public_name_has_its_place(site: Path) -> None:
    assert {f"manymodes.{name}" for name in PUBLIC} <= inventory(site, "py:")


def test_every_option_of_every_command_has_its_place(site: Path) -> None:
    known = inventory(site, "std:cmdoption")
    [choice] = [one for one in parser()._actions if one.dest == "command"]
    commands: dict[str, Any] = dict(choice.choices or {})  # type: ignore[call-overload]
    assert len(commands) > 10
    for name, command in commands.items():
        command.complete()
        options = {option for one in command._actions for option in one.option_strings}
        wanted = {f"manymodes-{name}.{option}" for option in options - {"-h", "--help"}}
        assert wanted <= known, name
        assert (site / "generated" / "commands" / f"{name}.html").exists()


# ---------------------------------------------------------------- lessons


def test_every_lesson_has_a_card_a_page_and_its_files(site: Path) -> None:
    gallery = Page((site / "lessons.html").read_text(encoding="utf-8"))
    for number, title in LESSONS.items():
        assert f"Why {title}?" in gallery.text
        links = {
            f"generated/lessons/lesson-{number}.html",
            f"reports/lesson-{number}.html",
            f"notebooks/lesson-{number}.ipynb",
        }
        assert links <= set(gallery.links)
    assert [link for link in gallery.links if link.startswith("live/")] == [f"live/{LIVE}"]


def test_a_lesson_is_shown_as_it_was_executed(site: Path) -> None:
    text = (site / "generated" / "lessons" / "lesson-1.html").read_text(encoding="utf-8")
    assert "<h1>1. eight copies" in text
    assert "42" in text
    assert "a warning of a library" not in text
    assert text.count("<math") == 2
    assert "<details>" in text


def test_without_lessons_the_gallery_says_so(tmp_path: Path) -> None:
    """In a site of that page and the glossary that it names, with the extensions they need."""
    docs = tmp_path / "docs"
    shutil.copytree(ROOT / "docs" / "extensions", docs / "extensions")
    shutil.copy(ROOT / "docs" / "lessons.md", docs / "index.md")
    (docs / "glossary.md").write_text("---\norphan: true\n---\n# Glossary\n", encoding="utf-8")
    settings = [
        "import sys",
        f"sys.path.insert(0, {str(docs / 'extensions')!r})",
        "extensions = ['myst_nb', 'sphinx_design', 'gallery']",
        "exclude_patterns = ['extensions']",
    ]
    (docs / "conf.py").write_text("\n".join(settings))
    build(docs, tmp_path / "out")
    assert "built without the lessons" in (tmp_path / "out" / "index.html").read_text()


# ---------------------------------------------------------------- in a browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api", reason="the test extra has playwright")
    with sync_api.sync_playwright() as driver:
        rights = ["--no-sandbox"] if os.geteuid() == 0 else []
        yield driver.chromium.launch(executable_path=CHROMIUM, args=rights)


@in_a_browser
def test_search_finds_a_page_without_a_server(browser: Any, site: Path) -> None:
    page = browser.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto((site / "index.html").as_uri())
    page.fill(".sidebar-search", "insertion-index")
    page.press(".sidebar-search", "Enter")
    page.wait_for_selector("ul.search li a")
    found = page.eval_on_selector_all("ul.search li a", "all => all.map(one => one.href)")
    assert any("figures.html" in one for one in found)
    assert [one for one in asked if not one.startswith(("file:", "data:"))] == []


PAGES = (
    "index",
    "lessons",
    "evidence",
    "generated/commands/sample",
    "generated/api/manymodes.Network",
)


AXE = {"resultTypes": ["violations"], "rules": {"empty-table-header": {"enabled": False}}}
"""The corner of a table with names of rows may be empty."""


@in_a_browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360])
def test_pages_fit_and_axe_finds_no_violation(
    browser: Any, site: Path, width: int, scheme: str
) -> None:
    pytest.importorskip("axe_playwright_python", reason="the test extra has it")
    axe = resources.files("axe_playwright_python") / "axe.min.js"
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, bypass_csp=True
    )
    wrong = {}
    for name in PAGES:
        page = context.new_page()
        page.goto((site / f"{name}.html").as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") == width, name
        page.evaluate(axe.read_text(encoding="utf-8"))
        found = page.evaluate(f"axe.run({json.dumps(AXE)})")["violations"]
        wrong[name] = [(one["id"], [node["target"] for node in one["nodes"]][:3]) for one in found]
    assert {name: found for name, found in wrong.items() if found} == {}
