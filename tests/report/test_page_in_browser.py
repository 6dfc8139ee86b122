"""The page as a reader meets it: in Chromium, on a desk and on a phone, by pointer and keys."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from made_comparisons import N_OBS, TWO_MODES, XOR, make, several, summary
from manymodes.networks.network import Network
from manymodes.report import DataNames, write_report
from manymodes.tables.columns import Scaling

sync_api = pytest.importorskip("playwright.sync_api", reason="no playwright: the test extra has it")

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
pytestmark = [
    pytest.mark.slow,  # a browser, and pages with all their figures
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: apt-get install chromium"),
]

DESK, PHONE = (1280, 800), (390, 844)
VIEWS = [(size, scheme) for size in (DESK, PHONE) for scheme in ("light", "dark")]
IDS = [f"{size[0]}-{scheme}" for size, scheme in VIEWS]
NAMES = DataNames(
    ("age of the patient", "dose"),
    "cured",
    ("no", "yes"),
    "patients.csv",
    (Scaling(50.0, 10.0), Scaling(3.0, 2.0)),
)


@dataclass
class Visit:
    """A page that is open, and what it did on its own."""

    page: Any
    messages: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page on two posteriors: eight copies of two functions, and two modes."""
    path = tmp_path_factory.mktemp("page") / "report.html"
    rng = np.random.default_rng(11)
    sets = [(rng.normal(size=(20, 2)), rng.integers(2, size=20)) for _ in range(2)]
    write_report(
        path,
        {"full": make(modes=several(8, lambda mode: 1 + mode % 2)), "constrained": make()},
        title="A study",
        introduction="What it is about.",
        settings={"seed": 1},
        toolchain={},
        test_sets=sets,
        names={"full": NAMES, "constrained": NAMES},
    )
    return path


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as driver:
        rights = ["--no-sandbox"] if os.geteuid() == 0 else []
        yield driver.chromium.launch(executable_path=CHROMIUM, args=rights)


def visit(
    browser: Any, path: Path, size: tuple[int, int] = DESK, scheme: str = "light", **options: Any
) -> Visit:
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]}, color_scheme=scheme, **options
    )
    seen = Visit(context.new_page())
    seen.page.on("console", lambda message: seen.messages.append(message.text))
    seen.page.on("pageerror", lambda error: seen.messages.append(str(error)))
    seen.page.on("request", lambda request: seen.requests.append(request.url))
    seen.page.goto(path.as_uri())
    return seen


@pytest.mark.parametrize(("size", "scheme"), VIEWS, ids=IDS)
def test_it_is_quiet_fits_and_asks_for_nothing(
    browser: Any, file: Path, size: tuple[int, int], scheme: str
) -> None:
    seen = visit(browser, file, size, scheme)
    seen.page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
    assert seen.messages == []
    assert [url for url in seen.requests if not url.startswith("data:")] == [file.as_uri()]
    assert seen.page.evaluate("document.documentElement.scrollWidth") == size[0]


@pytest.mark.parametrize(("size", "scheme"), VIEWS, ids=IDS)
def test_axe_finds_no_violation(
    browser: Any, file: Path, size: tuple[int, int], scheme: str
) -> None:
    pytest.importorskip("axe_playwright_python", reason="the test extra has it")
    axe = resources.files("axe_playwright_python") / "axe.min.js"
    seen = visit(browser, file, size, scheme, bypass_csp=True)
    seen.page.evaluate(axe.read_text(encoding="utf-8"))
    seen.page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
    seen.page.locator("button.pick").first.click()  # also while something is chosen
    seen.page.wait_for_timeout(300)
    # It cannot judge contrast within figures, and nothing else in them depends on the view.
    runs = ["{exclude: ['figure svg']}"]
    if (size, scheme) == VIEWS[0]:
        runs.append("{include: ['figure svg']}, {rules: {'color-contrast': {enabled: false}}}")
    for run in runs:
        found = seen.page.evaluate(f"axe.run({run})")
        told = [(one["id"], one["nodes"][0]["html"][:200]) for one in found["violations"]]
        assert told == []
        assert found["passes"]


@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_the_first_view_has_the_data_the_message_and_the_weights(
    browser: Any, file: Path, size: tuple[int, int]
) -> None:
    page = visit(browser, file, size).page

    def bottom(what: str) -> float:
        box = page.locator(what).first.bounding_box()
        return float(box["y"] + box["height"])

    facts = page.locator(".facts").inner_text()
    assert "patients.csv" in facts
    assert f"{N_OBS} rows" in facts
    assert "cured from age of the patient and dose" in facts
    assert "2–2–1 network of sigmoid units" in facts
    for what in (".facts", ".answer .headline", ".answer .weights", ".answer .sure"):
        assert bottom(what) <= size[1], what
    if size == DESK:
        assert bottom(".opening figure svg") <= size[1]
        assert bottom(".next") <= size[1]
    rows = page.locator(".answer").first.locator(".weights tbody tr")
    assert rows.count() == 2
    drawn = page.locator(".opening figure svg text").all_text_contents()
    assert {"age of the patient", "dose", "cured = yes"} <= set(drawn)
    assert max(int(text) for text in drawn if text.isdigit()) >= 60  # years, not standardised


def faded(page: Any, posterior: str) -> dict[str, bool]:
    """Whether marks of figures are faded, by key: one that differs from figure to figure fails."""
    found = page.evaluate(
        """posterior => [...document.querySelectorAll('figure [data-key]')]
          .filter(one => one.dataset.key.startsWith(posterior + '/'))
          .map(one => [one.dataset.key, Number(getComputedStyle(one).opacity) < 0.5])"""
    , posterior)  # fmt: skip
    seen: dict[str, bool] = {}
    for key, state in found:
        assert seen.setdefault(key, state) == state, key
    return seen


def test_a_click_highlights_a_function_in_every_figure(browser: Any, file: Path) -> None:
    page = visit(browser, file, reduced_motion="reduce").page
    assert not any(faded(page, "full").values())
    button = page.locator(".answer").first.locator("button.pick").first
    assert button.get_attribute("aria-pressed") == "false"
    button.click()
    assert button.get_attribute("aria-pressed") == "true"
    states = faded(page, "full")
    assert len(states) > 8
    assert {key for key, state in states.items() if not state} == {
        key for key in states if key.split("/")[1] == "1"
    }
    assert not any(faded(page, "constrained").values())  # another posterior has other functions
    figures = page.locator("figure:has(.faded)").count()
    assert figures >= 4
    pressed = page.locator("button.pick[aria-pressed=true]")
    assert set(pressed.evaluate_all("all => all.map(one => one.dataset.pick)")) == {"full/1"}
    assert pressed.count() > 1  # also on its card
    button.click()
    assert not any(faded(page, "full").values())
    assert button.get_attribute("aria-pressed") == "false"


def test_the_keyboard_highlights_a_mode_and_lets_go(browser: Any, file: Path) -> None:
    page = visit(browser, file, reduced_motion="reduce").page
    page.locator(".card summary").first.focus()
    page.keyboard.press("Enter")
    button = page.locator(".card").first.locator("td button.pick, th button.pick").first
    button.focus()
    page.keyboard.press("Enter")
    key = button.get_attribute("data-pick")
    assert button.get_attribute("aria-pressed") == "true"
    states = faded(page, "full")
    assert key in states
    function = key.rpartition("/")[0]
    assert {one for one, state in states.items() if not state} <= {key, function}
    page.keyboard.press("Escape")
    assert not any(faded(page, "full").values())


def test_marks_say_their_values(browser: Any, file: Path) -> None:
    page = visit(browser, file).page
    figure = page.locator("#weights figure svg").first
    assert figure.locator("[tabindex='0']").count() == 1  # one stop of the tab key
    figure.locator("[tabindex='0']").focus()
    tip = page.locator("#tip")
    assert re.fullmatch(r"mode 2 of function 1: evidence 12\s±\s1\s%", tip.inner_text())
    page.keyboard.press("ArrowRight")
    assert "stacking" in tip.inner_text()
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == tip.inner_text()
    page.keyboard.press("Escape")
    assert not tip.is_visible()
    figure.locator("[data-says]").nth(2).hover()
    assert "occupancy" in tip.inner_text()


@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_a_term_is_explained_where_it_is_used_first(
    browser: Any, file: Path, size: tuple[int, int]
) -> None:
    page = visit(browser, file, size).page
    term = page.locator("button.term", has_text="Stacking").first
    meaning = page.locator(f"#{term.get_attribute('popovertarget')}")
    assert not meaning.is_visible()
    term.focus()
    page.keyboard.press("Enter")
    assert "predicts best" in meaning.inner_text()
    box = meaning.bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= size[0]
    page.keyboard.press("Escape")
    assert not meaning.is_visible()


def test_figures_take_the_colours_of_the_theme(browser: Any, file: Path) -> None:
    """Text of figures contrasts with the page, and functions have one hue in each theme."""

    def look(scheme: str) -> tuple[float, set[str]]:
        page = visit(browser, file, DESK, scheme).page
        text, paper, hues = page.evaluate(
            """() => [
              getComputedStyle(document.querySelector('figure svg text')).fill,
              getComputedStyle(document.body).backgroundColor,
              [...document.querySelectorAll('.figures [data-key="full/1"] path')]
                .map(one => getComputedStyle(one).stroke).filter(colour => colour !== 'none'),
            ]"""
        )
        light = [sum(map(int, re.findall(r"\d+", colour)[:3])) for colour in (text, paper)]
        return light[1] - light[0], set(hues)

    day, by_day = look("light")
    night, by_night = look("dark")
    assert day > 400
    assert night < -400
    assert "rgb(0, 114, 178)" in by_day
    assert "rgb(107, 173, 210)" in by_night
    assert "rgb(0, 114, 178)" not in by_night


def test_it_reads_well_without_a_script(browser: Any, file: Path) -> None:
    page = visit(browser, file, java_script_enabled=False).page
    assert page.locator("button.pick").count() == 0
    row = page.locator(".answer").last.locator(".weights tbody tr").first.inner_text()
    assert "Function 1" in row
    assert re.search(r"82\s±\s3\s%", row)
    page.locator(".card summary").first.click()
    assert "Mode 2" in page.locator(".card").first.inner_text()
    page.locator("button.term").first.click()
    assert page.locator(".definition:popover-open").count() == 1


def pages_of(pdf: bytes) -> int:
    return len(re.findall(rb"/Type\s*/Page\b", pdf))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_prints_on_ten_light_pages(browser: Any, file: Path, scheme: str) -> None:
    page = visit(browser, file, DESK, scheme).page
    assert 3 <= pages_of(page.pdf(format="A4", prefer_css_page_size=True)) <= 10
    page.emulate_media(media="print", color_scheme=scheme)
    colours = page.evaluate(
        """() => ['--paper', '--card', '--ink', '--f1'].map(
          name => getComputedStyle(document.documentElement).getPropertyValue(name))"""
    )
    assert colours == ["#fff", "#fff", "#000", "#0072b2"]
    assert not page.locator("nav").is_visible()
    assert not page.locator(".card table").first.is_visible()


MANY = tuple(
    summary(i, i, (0.2 * 0.8**i, 0.01), (0.1, 0.05), (0.08, 0.04), 1) for i in range(1, 13)
)


@pytest.mark.parametrize(
    "made_with",
    [
        {"nested": False},
        {"chains": False},
        {"network": None},
        {"network": Network(1, (2,), likelihood="normal")},
        {"network": Network(5, (2,)), "modes": TWO_MODES},
        {"network": Network(2, (2,), 3, likelihood="categorical")},
        {"network": replace(XOR, activation="relu"), "modes": MANY},
    ],
    ids=["chains", "nested", "program", "curve", "many-inputs", "classes", "many-functions"],
)
def test_every_kind_of_run_opens_with_a_picture(
    browser: Any, tmp_path: Path, made_with: dict[str, Any]
) -> None:
    path = tmp_path / "report.html"
    write_report(path, {"only": make(**made_with)}, title="Any run", toolchain={})
    seen = visit(browser, path, PHONE)
    assert seen.messages == []
    assert seen.page.evaluate("document.documentElement.scrollWidth") == PHONE[0]
    assert seen.page.locator(".opening figure svg path").count() > 3
    assert seen.page.locator(".headline").inner_text()
    assert 0 < seen.page.locator(".card figure svg").count() <= 8
