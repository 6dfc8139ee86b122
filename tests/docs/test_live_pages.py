"""The live pages in Chromium: their densities are Stan's, and a teacher can work with them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from arviz_stats.base import array_stats

from conftest import MODELS, needs_tools
from manymodes import toolchain
from manymodes.density.posterior import Posterior
from manymodes.density.program import Program
from manymodes.networks.network import Network
from manymodes.statistics.diagnostics import rhat
from manymodes.studies.cauchy import cauchy_data, cauchy_modes
from seeds import seeded

sync_api = pytest.importorskip("playwright.sync_api", reason="no playwright: the test extra has it")

BUILD = Path(__file__).parents[2] / "docs" / "live" / "build.py"
STAN = toolchain.stan_dir() / "models"
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
pytestmark = [
    pytest.mark.slow,  # a browser
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: apt-get install chromium"),
]

PAGES = ("eight-copies", "three-labels", "relu-valley", "believe-or-predict")
DESK, PHONE = (1280, 800), (360, 740)
VIEWS = [(size, scheme) for size in (DESK, PHONE) for scheme in ("light", "dark")]
LEAP = 500
"""Steps that a page takes at once where the reader wants no motion."""


# ---------------------------------------------------------------- opening a page


def build(out: Path) -> dict[str, Path]:
    """Build all pages by the command, and return their paths by name."""
    done = subprocess.run([sys.executable, BUILD, out], check=True, capture_output=True, text=True)
    return {Path(line).stem: Path(line) for line in done.stdout.splitlines()}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return build(tmp_path_factory.mktemp("live"))


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as driver:
        rights = ["--no-sandbox"] if os.geteuid() == 0 else []
        yield driver.chromium.launch(executable_path=CHROMIUM, args=rights)


@dataclass
class Visit:
    """A page that is open, and what it did on its own."""

    page: Any
    messages: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def rest(self) -> None:
        """Wait until the chains stand still."""
        for _ in range(600):
            if not self.page.evaluate("manymodes.running"):
                return
            self.page.wait_for_timeout(50)
        pytest.fail("the chains still run after 30 seconds")

    def run(self, leaps: int) -> None:
        """Let a page without motion take 500 steps, so many times."""
        for _ in range(leaps):
            self.page.locator("#start").click()
            self.rest()

    def try_out(self, number: int) -> None:
        """Press a button of the suggestions; without motion the page then takes 500 steps."""
        self.page.locator("#tries button").nth(number).click()
        self.rest()

    def figures(self) -> dict[str, str]:
        """Return the live figures by their labels."""
        pairs = self.page.evaluate(
            """[...document.querySelectorAll('#figures > div')].map(
              one => [one.querySelector('dt').innerText, one.querySelector('b').innerText])"""
        )
        return dict(pairs)

    def rhat(self, of: str) -> float:
        """Return the R-hat that the page shows of a quantity."""
        return float(self.figures()[f"R-hat of {of}"].lstrip("> "))

    def slide(self, label: str, key: str) -> None:
        """Press a key on the slider with a label."""
        self.page.get_by_label(label).focus()
        self.page.keyboard.press(key)


Open = Callable[..., Visit]


@pytest.fixture
def visit(browser: Any, files: dict[str, Path]) -> Iterator[Open]:
    contexts = []

    def opened(
        name: str,
        size: tuple[int, int] = DESK,
        scheme: str = "light",
        address: str = "",
        **options: Any,
    ) -> Visit:
        context = browser.new_context(
            viewport={"width": size[0], "height": size[1]}, color_scheme=scheme, **options
        )
        contexts.append(context)
        seen = Visit(context.new_page())
        seen.page.on("console", lambda message: seen.messages.append(message.text))
        seen.page.on("pageerror", lambda error: seen.messages.append(str(error)))
        seen.page.on("request", lambda request: seen.requests.append(request.url))
        seen.page.goto(files[name].as_uri() + address)
        seen.rest()
        return seen

    yield opened
    for context in contexts:
        context.close()


# ---------------------------------------------------------------- the density is Stan's

Data = Mapping[str, Any]
Settings = Mapping[str, Any]


def eight_copies(settings: Settings, data: Data) -> Posterior:
    network = Network(1, (2,), activation="tanh", prior=f"normal:{settings['prior']}")
    return Posterior.from_network(network, np.array(data["X"]), np.array(data["y"]))


def three_labels(settings: Settings, data: Data) -> Posterior:
    end = "_ordered" if settings["labels"] == "ordered" else ""
    return Posterior(Program(STAN / f"mixture_normals{end}.stan"), data)


def relu_valley(settings: Settings, data: Data) -> Posterior:
    network = Network(
        1,
        (1,),
        activation="relu",
        likelihood="normal",
        prior=f"normal:{settings['prior']}",
        constraint="unit-norm" if settings["coordinates"] == "unit-norm" else "none",
    )
    return Posterior.from_network(network, np.array(data["X"]), np.array(data["y"]))


def believe_or_predict(settings: Settings, data: Data) -> Posterior:
    """The program that is shipped where its prior is the page's, otherwise one with any prior."""
    data = dict(data)
    if settings["prior"] == 10:
        del data["prior_sd"]
        return Posterior(Program(STAN / "cauchy_location.stan"), data)
    return Posterior(Program(MODELS / "cauchy_prior_sd.stan"), data)


CASES: list[tuple[str, Callable[[Settings, Data], Posterior], list[Settings]]] = [
    (
        "eight-copies",
        eight_copies,
        [{"prior": 2, "rows": 60}, {"prior": 0.5, "rows": 10}, {"prior": 5, "rows": 30}],
    ),
    (
        "three-labels",
        three_labels,
        [
            {"labels": labels, "distance": distance, "n": n, "prior": prior}
            for labels in ("free", "ordered")
            for distance, n, prior in ((4, 60, 5), (0, 15, 2), (8, 240, 20))
        ],
    ),
    (
        "relu-valley",
        relu_valley,
        [
            {"coordinates": coordinates, "prior": prior, "rows": rows}
            for coordinates in ("weights", "unit-norm")
            for prior, rows in ((5, 24), (1, 6), (10, 48))
        ],
    ),
    (
        "believe-or-predict",
        believe_or_predict,
        [
            {"prior": prior, "n": n, "share": share, "distance": distance}
            for prior in (10, 2)
            for n, share, distance in ((100, 0.5, 20), (20, 0.2, 4), (80, 0.6, 24))
        ],
    ),
]


@needs_tools
@pytest.mark.parametrize(("name", "posterior_of", "cases"), CASES, ids=[one[0] for one in CASES])
def test_density_and_gradient_are_those_of_stan(
    visit: Open, name: str, posterior_of: Callable[[Settings, Data], Posterior], cases: Any
) -> None:
    page = visit(name).page
    for settings in cases:
        posterior = posterior_of(settings, page.evaluate("s => manymodes.data(s)", settings))
        points = np.random.default_rng(seeded(4)).normal(size=(50, posterior.dims))
        values, slopes = page.evaluate(
            """([points, s]) => [points.map(x => manymodes.logDensity(x, s)),
                                 points.map(x => manymodes.gradient(x, s))]""",
            [points.tolist(), settings],
        )
        for point, value, slope in zip(points, values, slopes, strict=True):
            exact, gradient = posterior.gradient(point)
            assert abs(value - exact) <= 1e-10 * max(1, abs(exact)), settings
            scale = np.maximum(1, np.abs(gradient))
            assert np.all(np.abs(slope - gradient) <= 1e-10 * scale), settings


def test_the_doses_are_those_of_the_tour(visit: Open) -> None:
    rng = np.random.default_rng(1)
    dose = np.linspace(0, 10, 60).round(2)
    cured = rng.binomial(1, np.where((dose > 3) & (dose < 7), 0.9, 0.1))
    data = visit("eight-copies").page.evaluate("manymodes.data({rows: 60})")
    X, y = np.ravel(data["X"]), np.array(data["y"])
    order = np.argsort(X)
    np.testing.assert_allclose(X[order], (dose - dose.mean()) / dose.std(), rtol=0, atol=1e-12)
    np.testing.assert_array_equal(y[order], cured)


def test_the_two_places_and_their_weights_are_those_of_the_study(visit: Open) -> None:
    page = visit("believe-or-predict").page
    y, exact = cauchy_data(), cauchy_modes(cauchy_data())
    np.testing.assert_allclose(page.evaluate("manymodes.data().y"), y, rtol=0, atol=1e-6)
    found = page.evaluate("manymodes.exact()")
    np.testing.assert_allclose(found["logZ"], exact.log_z, rtol=0, atol=1e-4)
    np.testing.assert_allclose(found["evidence"], exact.evidence, rtol=1e-4)
    np.testing.assert_allclose(found["stacking"], exact.stacking, rtol=0, atol=1e-5)


def test_diagnostics_are_those_of_the_field(visit: Open) -> None:
    page = visit("eight-copies").page
    rng = np.random.default_rng(seeded(5))
    for n, drift in ((40, 0.0), (301, 0.5), (1000, 3.0)):
        steps = rng.normal(size=(4, n))
        for i in range(1, n):
            steps[:, i] += 0.8 * steps[:, i - 1]
        chains = steps.round(3) + drift * np.arange(4)[:, None]  # rounded: some are ties
        found = page.evaluate("x => manymodes.rhat(x)", chains.tolist())
        assert found == pytest.approx(float(rhat(chains[:, :, None])[0]), abs=1e-6)
        found = page.evaluate("x => manymodes.effectiveDraws(x)", chains.tolist())
        expected = array_stats.ess(chains, chain_axis=0, draw_axis=1, method="mean")
        assert found == pytest.approx(float(expected), rel=1e-6)


# ---------------------------------------------------------------- chains that mix, and others


def test_copies_keep_chains_apart_until_data_are_few(visit: Open) -> None:
    seen = visit("eight-copies", reduced_motion="reduce")
    seen.try_out(0)
    seen.run(1)
    assert seen.rhat("the weight w₁") > 1.5
    assert seen.rhat("w₁ in canonical form") < 1.05
    assert seen.rhat("p(cured) at dose 5") < 1.05
    seen.try_out(1)
    seen.run(1)
    assert seen.rhat("the weight w₁") < 1.05
    seen.try_out(2)
    seen.run(1)
    assert seen.rhat("p(cured) at dose 5") > 1.5


def test_labels_freeze_when_groups_are_far_apart(visit: Open) -> None:
    seen = visit("three-labels", reduced_motion="reduce")
    seen.try_out(0)
    assert seen.rhat("the location μ₁") > 1.5
    assert seen.rhat("the density of y at 0") < 1.05
    assert seen.figures()["Changes of labels per 1000 steps of a chain"] == "0"
    seen.try_out(1)
    seen.run(1)
    assert seen.rhat("the location μ₁") < 1.05
    seen.try_out(2)
    assert "1 of 1" in seen.page.locator("#modes h2").inner_text()
    assert seen.rhat("the density of y at 0") > 1.5


def test_unit_norm_straightens_the_valley(visit: Open) -> None:
    seen = visit("relu-valley", reduced_motion="reduce")
    effective = "Effective draws of log |w / v| in 1000 steps"
    paid = "Leapfrog steps for one crossing"

    def number(label: str) -> float:
        return float(seen.figures()[label].replace(",", ""))

    seen.try_out(0)
    seen.run(1)
    curved = number(effective), number(paid)
    assert seen.rhat("the weight w") > 1.5
    assert seen.rhat("the prediction at x = 1") < 1.05
    seen.try_out(1)
    seen.run(1)
    assert seen.rhat("the weight w") < 1.05
    assert number(effective) > 10 * curved[0]
    assert number(paid) < 0.1 * curved[1]
    seen.try_out(2)
    assert seen.rhat("the weight w") > 1.5


def test_chains_share_one_place_and_not_two(visit: Open) -> None:
    seen = visit("believe-or-predict", reduced_motion="reduce")
    seen.try_out(0)
    assert seen.rhat("the location μ") > 1.5
    assert seen.figures()["Evidence of the heavier mode over the other"] == "e¹³·³"
    assert seen.figures()["Stacking weight of the right mode"] == "0.52"
    seen.slide("Distance of the two places", "Home")
    seen.run(1)
    assert seen.rhat("the location μ") < 1.05
    assert seen.figures()["Modes"] == "1"


@pytest.mark.parametrize("name", PAGES)
def test_a_random_walk_runs_as_well(visit: Open, name: str) -> None:
    seen = visit(name, reduced_motion="reduce")
    seen.page.get_by_role("radio", name="Metropolis").check()
    seen.run(1)
    assert seen.page.evaluate("manymodes.settings.sampler") == "metropolis"
    assert 0 < float(seen.figures()["Acceptance"].rstrip(" %")) <= 100
    draws = np.array(seen.page.evaluate("manymodes.draws"))
    moved = np.any(np.diff(draws, axis=1) != 0, axis=2)
    assert 0 < moved.mean() <= 1


# ---------------------------------------------------------------- a page for a lecture


@pytest.mark.parametrize("name", PAGES)
def test_it_is_quiet_fits_and_passes_axe(visit: Open, name: str) -> None:
    axe_module = "axe_playwright_python"
    pytest.importorskip(axe_module, reason="the test extra has it")
    seen = visit(name, address="#steps=60", bypass_csp=True)
    page = seen.page
    page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
    page.evaluate((resources.files(axe_module) / "axe.min.js").read_text(encoding="utf-8"))
    for size, scheme in VIEWS:
        page.set_viewport_size({"width": size[0], "height": size[1]})
        page.emulate_media(color_scheme=scheme)
        page.wait_for_timeout(350)  # borders change their colour slowly
        assert page.evaluate("document.documentElement.scrollWidth") == size[0]
        found = page.evaluate("axe.run()")
        told = [(one["id"], one["nodes"][0]["html"][:200]) for one in found["violations"]]
        assert told == [], (size, scheme)
        assert "color-contrast" in {one["id"] for one in found["passes"]}
    assert seen.messages == []
    assert {url.split("#")[0] for url in seen.requests} == {page.url.split("#")[0]}


@pytest.mark.parametrize("name", PAGES)
def test_the_address_brings_back_what_was_seen(visit: Open, name: str) -> None:
    seen = visit(name, reduced_motion="reduce")
    seen.page.locator("#seed").click()
    seen.slide("Step size", "ArrowLeft")
    seen.page.evaluate("for (let i = 0; i < 50; i += 1) document.getElementById('step').click()")
    draws, figures = seen.page.evaluate("manymodes.draws"), seen.figures()
    modes = seen.page.locator("#modes").inner_text()
    assert len(draws[0]) == 51
    again = visit(name, address=f"#{seen.page.url.partition('#')[2]}")  # with motion
    assert again.page.evaluate("manymodes.settings") == seen.page.evaluate("manymodes.settings")
    assert again.page.evaluate("manymodes.draws") == draws
    assert again.figures() == figures
    assert again.page.locator("#modes").inner_text() == modes
    again.page.reload()
    again.rest()
    assert again.page.evaluate("manymodes.draws") == draws


def test_chains_do_not_depend_on_how_steps_were_taken(visit: Open) -> None:
    """One by one, animated, paused and gone on, or all at once."""
    seen = visit("believe-or-predict")
    seen.page.locator("#step").click()
    seen.page.locator("#step").click()
    assert seen.page.evaluate("manymodes.steps") == 2
    seen.page.get_by_role("radio", name="fast").check()
    for _ in range(2):
        seen.page.locator("#start").click()
        before = seen.page.evaluate("manymodes.steps")
        while seen.page.evaluate("manymodes.steps") < before + 20:
            seen.page.wait_for_timeout(10)
        seen.page.locator("#start").click()
    seen.rest()
    steps = seen.page.evaluate("manymodes.steps")
    again = visit("believe-or-predict", address=f"#steps={steps}")
    assert again.page.evaluate("manymodes.draws") == seen.page.evaluate("manymodes.draws")
    seen.page.locator("#restart").click()
    assert seen.page.evaluate("manymodes.steps") == 0
    assert "steps=0" in seen.page.url


def test_a_wrong_address_is_the_page_as_it_opens(visit: Open) -> None:
    seen = visit("relu-valley", address="#prior=-1&rows=a&sampler=x&seed=0.5&steps=-3&other=1")
    assert seen.messages == []
    assert seen.page.evaluate("manymodes.settings") == visit("relu-valley").page.evaluate(
        "manymodes.settings"
    )
    assert seen.page.evaluate("manymodes.steps") == 0


def test_a_page_says_that_chains_are_at_their_end(visit: Open) -> None:
    """There Start does nothing; an address that asks for more steps leads there too."""
    seen = visit("believe-or-predict", address="#steps=50000")
    seen.rest()
    for button in ("#start", "#step"):
        seen.page.locator(button).click()
        assert seen.page.evaluate("manymodes.steps") == 20_000
    assert "Restart begins anew" in seen.page.locator("#figures").inner_text()
    seen.page.locator("#restart").click()
    assert "Restart begins anew" not in seen.page.locator("#figures").inner_text()
    assert seen.messages == []


FOCUSED = """() => {
  const one = document.activeElement;
  const shown = one.closest('.segments') ?? one;
  const style = getComputedStyle(shown);
  const box = shown.getBoundingClientRect();
  return {
    what: one.id || one.name || one.tagName + ' ' + one.innerText,
    outlined: style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2,
    seen: box.top >= 0 && box.bottom <= innerHeight,
  };
}"""


@pytest.mark.parametrize("name", PAGES)
def test_the_keyboard_reaches_and_works_everything(visit: Open, name: str) -> None:
    seen = visit(name)
    page = seen.page
    wanted = page.evaluate(
        """[...new Set([...document.querySelectorAll('button, input, summary')].map(
          one => one.id || one.name || one.tagName + ' ' + one.innerText))]"""
    )
    reached = []
    for _ in wanted:
        page.keyboard.press("Tab")
        focused = page.evaluate(FOCUSED)
        assert focused["outlined"], focused
        assert focused["seen"], focused
        reached.append(focused["what"])
    assert sorted(reached) == sorted(wanted)
    page.locator("#start").focus()
    page.keyboard.press("Space")
    assert page.locator("#start").inner_text() == "Pause"
    page.keyboard.press("Enter")
    assert page.locator("#start").inner_text() == "Start"
    assert not page.evaluate("manymodes.running")
    page.locator("#restart").focus()
    page.keyboard.press("Enter")
    page.locator("#step").focus()
    page.keyboard.press("Space")
    assert page.evaluate("manymodes.steps") == 1
    before = page.evaluate("manymodes.settings.step")
    seen.slide("Step size", "ArrowRight")
    assert page.evaluate("manymodes.settings.step") > before
    assert page.evaluate("manymodes.steps") == 0  # another setting is another run
    shown = page.locator("#slider-step").get_attribute("aria-valuetext")
    assert float(shown) == page.evaluate("manymodes.settings.step")
    page.locator("input[name=sampler]").first.focus()
    page.keyboard.press("ArrowRight")
    assert page.evaluate("manymodes.settings.sampler") == "metropolis"


def canvases(page: Any) -> list[str]:
    return list(page.evaluate("[...document.querySelectorAll('canvas')].map(c => c.toDataURL())"))


@pytest.mark.parametrize("name", PAGES)
def test_pictures_move_and_take_the_theme(visit: Open, name: str) -> None:
    page = visit(name).page
    before = canvases(page)
    page.get_by_role("radio", name="slow").check()
    page.locator("#start").click()
    for _ in range(200):
        if page.evaluate("manymodes.steps"):
            break
        page.wait_for_timeout(50)
    page.locator("#start").click()
    assert page.evaluate("manymodes.steps") >= 1
    after = canvases(page)
    assert any(one != other for one, other in zip(before, after, strict=True))
    page.emulate_media(color_scheme="dark")
    page.wait_for_timeout(50)
    night = canvases(page)
    assert all(one != other for one, other in zip(after, night, strict=True))


def test_without_motion_only_results_are_drawn(visit: Open) -> None:
    page = visit("eight-copies", reduced_motion="reduce").page
    assert page.locator("#start").inner_text() == f"Run {LEAP} steps"
    drawn = page.evaluate(
        """async () => {
          const pictures = () => [...document.querySelectorAll('canvas')].map(c => c.toDataURL());
          const seen = new Set([pictures().join()]);
          document.getElementById('start').click();
          while (manymodes.running) {
            await new Promise(requestAnimationFrame);
            seen.add(pictures().join());
          }
          return seen.size;
        }"""
    )
    assert drawn == 2  # before and after
    assert page.evaluate("manymodes.steps") == LEAP


def test_pages_are_built_alike_each_time(files: dict[str, Path], tmp_path: Path) -> None:
    again = build(tmp_path / "deep" / "down")
    assert set(again) == set(files) == set(PAGES)
    for name, path in again.items():
        text = path.read_text(encoding="utf-8")
        assert text == files[name].read_text(encoding="utf-8")
        assert not re.search(r"\{\{\w+\}\}|<link|@import|\bsrc=|url\(", text)
