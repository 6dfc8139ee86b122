from __future__ import annotations

import math
import re
import warnings
from colorsys import rgb_to_hls
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb

from conftest import made_chains
from made_comparisons import DRAWS, N_OBS, TWO_MODES, XOR, make, nested_run, several, summary
from manymodes.errors import InputError, StorageError
from manymodes.modes.comparison import Comparison, ModeSummary
from manymodes.networks.network import Network
from manymodes.report import DataNames, Table, kept_names, write_report
from manymodes.report.cautions import cautions
from manymodes.report.findings import finding, prediction_sentence
from manymodes.report.format import percent, with_error
from manymodes.report.names import measured
from manymodes.report.opening import headline
from manymodes.report.plots import (
    can_plot_predictions,
    corner_names,
    function_colour,
    mode_colours,
    plot_corner,
    plot_data,
    plot_predictions,
    plot_rhat,
    score,
)
from manymodes.report.plots.draws import pool_of, predictive_pool, training_data
from manymodes.report.plots.marks import marked
from manymodes.report.terminal import comparison_table
from manymodes.report.terms import TERMS, Explainer
from manymodes.statistics.chain_weightings import HeldOutScore
from manymodes.statistics.estimate import Estimate
from manymodes.tables.columns import Scaling
from manymodes.tables.table import Table as DataTable
from sentences import tells

pytestmark = pytest.mark.slow  # each page draws all figures


class Page(HTMLParser):
    """Checks that elements are closed in order, and collects what the tests look at."""

    VOID = frozenset({"meta", "img", "br", "link"})
    HIDDEN = frozenset({"style", "script"})

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.source = path.read_text(encoding="utf-8")
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(self.source)
        self.close()
        assert self.open == []
        self.text = re.sub(r"\s+", " ", self.text.replace("\u00a0", " ").replace("\u202f", ""))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag
        self.text += " " * (tag in ("td", "th", "dt", "dd", "text"))

    def handle_data(self, data: str) -> None:
        if not self.HIDDEN.intersection(self.open):
            self.text += data

    def attributes(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]

    @property
    def sections(self) -> set[str | None]:
        return {a["id"] for a in self.attributes("div") if a.get("class") == "part"}


def write(path: Path, **comparisons: Comparison) -> Page:
    rng = np.random.default_rng(11)
    first = next(iter(comparisons.values())).posterior.network
    sets = []
    if first is not None and first.likelihood == "bernoulli":
        for _ in range(3):
            sets.append((rng.normal(size=(20, first.inputs)), rng.integers(2, size=20)))
    write_report(
        path,
        comparisons,
        title="A <b>study</b>",
        introduction="First & foremost.\n\nSecond.",
        settings={"seed": 1, "nuts": {"draws": 1000}},
        toolchain={"cmdstan": {"version": "2.27.0", "source": "index"}, "bridge": "2.9"},
        test_sets=sets,
        notes=("Mind the gap.",),
        appendix=(Table("Seeds", ("Seed", "log Z"), ((1, -55.8123), (2, None)), "All of them."),),
    )
    return Page(path)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Page:
    full = make(modes=several(12, lambda mode: 1 + mode % 2))
    folder = tmp_path_factory.mktemp("report")
    return write(folder / "report.html", full=full, constrained=make())


def test_page_needs_nothing_from_elsewhere(page: Page) -> None:
    assert not page.attributes("img")
    assert all(str(a["href"]).startswith("data:image/png") for a in page.attributes("image"))
    assert all(
        str(a["href"]).startswith("#") for a in page.attributes("a") + page.attributes("use")
    )
    assert page.attributes("script") == [{}]  # one, of the page's own
    assert not page.attributes("link")
    assert set(re.findall(r"url\((.)", page.source)) <= {"#"}
    assert "@import" not in page.source
    assert "default-src 'none'" in page.source
    assert len(page.source) < 2e6


def test_page_is_accessible(page: Page) -> None:
    assert page.attributes("html") == [{"lang": "en"}]
    assert len(page.attributes("svg")) > 10
    assert all(len(str(a["aria-label"])) > 20 for a in page.attributes("svg"))
    assert all(a.get("scope") in ("row", "col") for a in page.attributes("th"))
    assert len(page.attributes("h1")) == 1
    ids = [a["id"] for _, a in page.tags if "id" in a]
    assert len(ids) == len(set(ids))
    referred = [str(a["href"])[1:] for a in page.attributes("a") + page.attributes("use")]
    referred += re.findall(r"url\(#([^)]+)\)", page.source)
    referred += [str(a["popovertarget"]) for a in page.attributes("button")]
    assert set(referred) <= set(map(str, ids))


def test_page_has_every_section_and_the_numbers(page: Page) -> None:
    assert page.sections == {
        *("functions", "words", "modes", "weights", "predictions", "corner", "scores"),
        *("evidence", "rhat", "traces", "health", "coverage", "weightings"),
        *("appendix", "record"),
    }
    assert "A <b>study</b>" in page.text
    for said in (
        "the chains give it 71 ± 8 % of their draws, stacking 55 ± 20 % and the evidence 82 ± 3 %",
        "The full posterior has twelve prominent modes, which are two different functions",
        "Function 1 has 82 ± 3 % of the evidence.",
        "The evidence does not tell which function is the heaviest.",
        "−55.81",
        "nuts.draws 1000",
        "cmdstan 2.27.0 index",
        "kernel avx2 stan/kernels",
        "L61",
        "4384",
        "free for academic use",
        "2205.11151",
        "Mind the gap.",
    ):
        assert said in page.text
    nested = make().nested
    assert nested is not None
    assert f"−{-nested.log_z:.2f} ± {nested.log_z_sd:.2f}" in page.text


def test_no_figure_is_left_open(page: Page) -> None:
    from matplotlib import pyplot

    assert pyplot.get_fignums() == []


OF_CHAINS = {"rhat", "traces", "health", "coverage", "weightings"}


@pytest.mark.parametrize(
    ("made_with", "absent", "said"),
    [
        ({"nested": False}, {"evidence"}, "Nested sampling was not run"),
        ({"chains": False}, OF_CHAINS, "No chains were run."),
        ({"modes": several(1)}, {"weights"}, "The posterior has one prominent mode."),
        ({"network": None}, {"predictions", "scores"}, "The parameters"),
        ({"network": Network(3, (2,))}, {"predictions"}, "W[1,3]"),
        ({"network": Network(1, (2,), likelihood="normal")}, set(), "How well they predict"),
        ({"network": Network(2, (2,), 3, likelihood="categorical")}, set(), "W[2,2]"),
    ],
    ids=["chains", "nested", "one-mode", "any-program", "three-inputs", "curve", "classes"],
)
def test_any_run_gets_the_sections_that_can_be_made(
    tmp_path: Path, made_with: dict[str, Any], absent: set[str], said: str
) -> None:
    comparison = make(**made_with)
    page = write(tmp_path / "report.html", only=comparison)
    everything = {"functions", "words", "modes", "weights", "predictions", "corner", "scores"} | {
        *("evidence", "rhat", "traces", "health", "coverage", "weightings"),
        *("appendix", "record"),
    }
    assert page.sections == everything - absent
    assert said in page.text
    assert "nan" not in re.sub(r"[a-z]*nan[a-z]+|[a-z]+nan", "", page.text.lower())
    assert ("PolyChord" in page.text) == (comparison.nested is not None)


def test_the_page_says_which_weights_predict_and_which_chains_were_cut(tmp_path: Path) -> None:
    comparison = make(nested=False)
    assert comparison.chains is not None
    cut = np.array([DRAWS, DRAWS, DRAWS, 10])
    present = np.arange(DRAWS) < cut[:, None]
    chains = made_chains(
        comparison.posterior, comparison.chains.eta, lengths=cut, lpd=comparison.chains.lpd
    )
    modes = replace(
        comparison.modes,
        chains=np.where(present, comparison.modes.chains, -1),
        starts=np.array([0, 1, 0, -1]),
    )
    held_out = tuple(
        HeldOutScore(one.name, Estimate(-12.5 - i, 3.0), Estimate(-1.0 * i, 0.25))
        for i, one in enumerate(comparison.weighings)
    )
    page = write(
        tmp_path / "report.html",
        only=replace(comparison, chains=chains, modes=modes, held_out=held_out),
    )
    assert tells(page.text, "One chain", "time limit")
    assert tells(page.text, "one chain of 4", "time limit", "fewer draws")
    assert "4 chains of 60 draws (1 cut short)" in page.text
    assert "pseudo-BMA+" in page.text
    assert "Held-out rows minus stacking" in page.text
    assert "−1.00 ± 0.25" in page.text
    assert "“none” is a mode without draws" in page.text


def test_a_page_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="comparisons"):
        write_report(tmp_path / "r", {}, title="", introduction="", settings={}, toolchain={})
    with pytest.raises(StorageError, match=r"cannot be written: the folder .*missing is gone"):
        write(tmp_path / "missing" / "report.html", only=make(modes=several(1)))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("value", "sd", "text"),
    [
        (0.82, 0.03, "82 ± 3 %"),
        (0.55, math.nan, "55 %"),
        (0.0, 0.0, "0 %"),
        (2e-6, math.nan, "<0.01 %"),
        (0.0002, 0.149, "<15 %"),
        (0.083, 0.058, "8.3 ± 5.8 %"),
        (0.9995, 0.002, "100.0 (99.8 to 100) %"),
        (1.0, 0.0, "100 %"),
        (math.nan, math.nan, "–"),
    ],
)
def test_percent(value: float, sd: float, text: str) -> None:
    shown = percent(Estimate(value, sd)).replace("\u00a0", " ").replace("\u202f", "")
    assert shown == text


@pytest.mark.parametrize(
    ("value", "sd", "text"),
    [
        (-55.8, 0.1461, "−55.80 ± 0.15"),
        (-55.8, math.nan, "−55.80"),
        (-math.inf, math.nan, "−∞"),
        (123.4, 45.0, "123 ± 45"),
    ],
)
def test_with_error(value: float, sd: float, text: str) -> None:
    assert with_error(value, sd).replace("\u00a0", " ") == text


def told(comparison: Comparison) -> str:
    found = finding("only", {"only": comparison})
    return " ".join((*found.opening, *found.points, *found.closing)).replace("\u00a0", " ")


def test_modes_and_functions_are_counted_in_words() -> None:
    assert tells(told(make(modes=several(3))), "three prominent modes", "same function")
    assert tells(told(make()), "two prominent modes", "different function")
    tiny = (*TWO_MODES, summary(3, 3, (1e-5, 1e-5), (0, 0), (0.02, 0.01)))
    text = told(make(modes=tiny))
    assert tells(text, "one more mode", "thousandth", "evidence")
    assert tells(text, "2.0 %", "draws", "not prominent")
    unseen = (*TWO_MODES, summary(3, 3, stacking=(0, 0), occupancy=(0.02, 0.01)))
    text = told(make(modes=unseen))
    assert tells(text, "2.0 %", "draws", "nested runs did not reach")
    assert "thousandth" not in text


def test_chains_that_miss_modes_or_leave_them() -> None:
    assert tells(told(make()), "Four chains of 60 draws", "both")
    assert tells(told(make()), "One chain", "left")
    missed = (TWO_MODES[0], replace(TWO_MODES[1], occupancy=Estimate(0.0, 0.0)))
    assert tells(told(make(modes=missed)), "found one of the 2")
    assert tells(told(make(modes=several(5))), "found all five")
    still = make()
    labels = np.repeat([[0], [1]], DRAWS, axis=1)
    still = replace(still, modes=replace(still.modes, chains=labels))
    assert tells(told(still), "No chain", "left")


def test_functions_of_many_modes_are_summed() -> None:
    text = told(make(modes=several(4, lambda mode: 1 + mode % 2)))
    assert tells(text, "Function 1", "modes 2 and 4", "chains", "50")


def test_nothing_is_said_of_errors_that_are_not_known() -> None:
    unknown = tuple(replace(m, evidence=Estimate(m.evidence.value)) for m in TWO_MODES)
    assert "the evidence 82 %." in told(make(modes=unknown))


def test_cautions() -> None:
    good = make()
    assert cautions("it", good) == []
    assert good.chains is not None
    assert good.nested is not None

    def caution(**changes: Any) -> str:
        texts = cautions("it", replace(good, **changes))
        assert len(texts) == 1
        return texts[0]

    failed = replace(good.chains, failures={7: "out of memory"})
    assert tells(caution(chains=failed), "one chain of 5 failed", "left out")
    diverged = np.zeros((4, DRAWS))
    diverged[0, :3] = 1
    stats = {"diverging": diverged}
    assert "three transitions" in caution(chains=replace(good.chains, stats=stats))
    bad = np.full((4, N_OBS), 0.9)
    assert "Pareto k" in caution(chains=replace(good.chains, pareto_k=bad))
    runs = (nested_run(9, 1), nested_run(9, 2, shift=5.0))
    assert "differ by more" in caution(nested=replace(good.nested, runs=runs))
    lost = replace(good.nested, failures={1: "killed", 2: "killed"})
    assert tells(caution(nested=lost), "two nested runs of 4 failed", "left out")
    assert "rough" in caution(modes=replace(good.modes, disagreement=0.2))
    unseen = (TWO_MODES[0], replace(TWO_MODES[1], evidence=Estimate(), height=-10.0))
    assert tells(caution(summaries=unseen), "not reach mode 2", "chains found")
    low = (TWO_MODES[0], replace(TWO_MODES[1], evidence=Estimate()))
    assert cautions("it", replace(good, summaries=low)) == []


UNREACHED = tuple(replace(m, evidence=Estimate(), log_z=Estimate()) for m in TWO_MODES)


@pytest.mark.parametrize(("modes", "chains"), [(UNREACHED, True), (UNREACHED[:1], False)])
def test_modes_without_evidence_get_a_page_that_says_so(
    tmp_path: Path, modes: tuple[ModeSummary, ...], chains: bool
) -> None:
    """Ranked by occupancy where there are chains; otherwise none is prominent."""
    comparison = make(modes=modes, chains=chains)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        page = write(tmp_path / "report.html", only=comparison)
        table = comparison_table("only", comparison)
    assert comparison.ranked_by == ("occupancy" if chains else "")
    assert len(comparison.prominent) == (len(modes) if chains else 0)
    assert comparison.unassigned == 1.0
    assert "stayed far below the peak" in page.text
    assert "no mode has an evidence of its own" in table
    assert "unassigned evidence: 100 % of it" in table
    assert ("no prominent mode" in table) == (not chains)
    assert "nan" not in table
    assert comparison.as_dict()["prominent_modes"] == len(comparison.prominent)


def test_weights_that_are_shown_do_not_lack_a_share_in_silence() -> None:
    """What lies in modes without an evidence, and in modes that are left out."""
    tiny = tuple(summary(i, i, (4e-4, 1e-4), (0, 0), (0, 0)) for i in range(3, 13))
    lacking = (replace(TWO_MODES[0], evidence=Estimate(0.77, 0.03)), UNREACHED[1], *tiny)
    table = comparison_table("it", make(modes=lacking))
    assert tells(table, "unassigned evidence", "23 %", "nested runs did not reach")
    assert "0.4 % in functions that are not shown" in table
    assert "unassigned" not in comparison_table("it", make())


def test_small_insertion_p_is_a_caution() -> None:
    run = nested_run(9, 1)
    alive = np.isneginf(run.birth).sum()
    late = replace(run, birth=np.r_[np.full(alive, -np.inf), run.logl[:-alive]])  # always on top
    comparison = make()
    comparison = replace(comparison, nested=replace(comparison.nested, runs=(late,)))
    assert any("insertion-index test has p =" in text for text in cautions("it", comparison))


def test_score_of_the_whole_averages_probabilities() -> None:
    comparison = make(chains=False)
    network = comparison.posterior.network
    assert network is not None
    rows = np.zeros_like(comparison.nested.rows)  # only the output bias differs between modes
    logits = np.where(comparison.nested_modes == 1, 2.0, -1.0)
    rows[:, -1] = logits
    comparison.nested.__dict__["rows"] = rows
    weights = np.where(comparison.nested_modes == 1, 0.75, 0.25)
    for mode in (1, 2):
        weights[comparison.nested_modes == mode] /= (comparison.nested_modes == mode).sum()
    comparison = replace(comparison, nested_weights=weights)
    X, y = np.zeros((4, 2)), np.array([1, 1, 1, 0])
    scores = score(comparison, [(X, y)], draws=400)
    assert scores is not None
    p = 1 / (1 + np.exp(-np.array([2.0, -1.0])))
    whole = 0.75 * p[0] + 0.25 * p[1]
    expected = [(3 * np.log(q) + np.log(1 - q)) / 4 for q in (whole, *p)]
    assert scores.functions == (None, 1, 2)
    np.testing.assert_allclose(scores.test_density[:, 0], expected, rtol=1e-12)
    gain, error = scores.gain(2)
    assert gain == pytest.approx(expected[0] - expected[2])
    assert math.isnan(error)
    said = prediction_sentence(scores, comparison)
    assert said is not None
    if expected[0] < expected[1]:
        assert tells(said, "test set", "better than function 2", "worse than function 1")
    else:
        assert tells(said, "test set", "better than either function")
        assert "worse" not in said


def test_draws_keep_the_shares_of_modes() -> None:
    pool = pool_of(make(chains=False))
    picks = pool.draws(None, 500)
    for mode in (1, 2):
        share = pool.weights[pool.modes == mode].sum()
        assert abs((pool.modes[picks] == mode).mean() - share) <= 1 / 500
        assert set(pool.modes[pool.draws((mode,), 50)]) == {mode}
    assert pool.draws((3,), 10) is None


def test_pictures_of_draws_use_all_chains_alike() -> None:
    """Stacking gives one of equal copies everything; a picture of the posterior shows all."""
    comparison = make(modes=several(4), nested=False)
    assert comparison.stacking is not None
    assert comparison.stacked is not None
    one = replace(comparison.stacking, weights=np.array([1.0, 0.0, 0.0, 0.0]))
    comparison = replace(comparison, stacked=replace(comparison.stacked, stacking=one))
    labels = comparison.chain_modes
    shares = [(labels == mode).mean() for mode in range(1, 5)]
    pool = pool_of(comparison)
    for mode, share in enumerate(shares, start=1):
        assert pool.weights[pool.modes == mode].sum() == pytest.approx(share)
    drawn = plot_corner(comparison)
    seen = {meaning.mode for _, meaning in marked(drawn) if meaning.mode}
    assert seen == {mode for mode, share in enumerate(shares, start=1) if share > 0}
    stacked = predictive_pool(comparison)
    assert stacked.weights[:DRAWS].sum() == pytest.approx(1.0)


def test_weights_that_differ_by_rounding_alone_are_not_drawn() -> None:
    """Weights of length 1 with a single input are 1 up to rounding."""
    comparison = make(nested=False)
    rows = comparison.chains.rows.copy()
    rows[..., 0] = np.where(rows[..., 0] > np.median(rows[..., 0]), 1.0, np.nextafter(1.0, 0.0))
    drawn = replace(comparison, chains=replace(comparison.chains, rows=rows))
    assert corner_names(comparison) == ("W[1,1]", "W[1,2]", "W[2,1]", "W[2,2]")
    assert corner_names(drawn) == ("W[1,2]", "W[2,1]", "W[2,2]")
    assert len(plot_corner(drawn).axes) == 9


def test_rhat_that_is_endless_or_undefined_is_drawn() -> None:
    figure = plot_rhat(replace(make(), rhat_weights=np.array([1.0, np.nan, np.inf, 0.9999])))
    heights = [sum(p.get_path().vertices[:, 1].max() for p in a.patches) for a in figure.axes]
    assert heights == [2, max(heights[1], 1)]  # two at the lower end


def test_predictions_need_few_inputs() -> None:
    assert can_plot_predictions(XOR)
    assert not can_plot_predictions(None)
    assert not can_plot_predictions(Network(3, (2,)))
    with pytest.raises(InputError, match="one or two inputs"):
        plot_predictions(make(Network(3, (2,))))


@pytest.mark.parametrize(
    ("likelihood", "label"),
    [
        ("poisson", "rate for an exposure of 1"),
        ("negative-binomial", "rate for an exposure of 1"),
        ("binomial", "probability of a success"),
        ("heteroscedastic", "mean prediction"),
        ("student:4", "mean prediction"),
    ],
)
def test_predictions_of_all_likelihoods_are_drawn(likelihood: str, label: str) -> None:
    curves = plot_predictions(make(Network(1, (2,), likelihood=likelihood)))
    assert curves.axes[0].get_ylabel() == label
    data = training_data(make(Network(1, (2,), likelihood=likelihood)).posterior)
    assert data is not None
    drawn = np.asarray(curves.axes[0].lines[0].get_ydata(), dtype=float)
    np.testing.assert_allclose(drawn, data.shares)
    maps = plot_predictions(make(Network(2, (2,), likelihood=likelihood)))
    assert any(label.removesuffix(" prediction") in a.get_xlabel() for a in maps.axes)


def test_a_figure_says_what_it_cannot_show(tmp_path: Path) -> None:
    two = make(Network(1, (2,), 2, likelihood="normal"))
    two = replace(two, rhat_function=np.ones((N_OBS, 2)))
    with pytest.raises(InputError, match="has 2 targets, and predictions are drawn of one"):
        plot_predictions(two)
    assert "is not drawn: it has 2 targets" in write(tmp_path / "two.html", two=two).text


def test_a_function_has_one_hue_and_its_modes_have_shades() -> None:
    comparison = make(modes=several(8, lambda mode: 1 + mode % 2))
    colours = mode_colours(comparison)
    assert len(set(colours.values())) == 8
    hues: dict[int, set[float]] = {}
    for mode in comparison.summaries:
        hue, lightness, _ = rgb_to_hls(*to_rgb(colours[mode.id]))
        hues.setdefault(mode.function, set()).add(round(hue, 1))
        assert lightness < 0.85
    assert len(hues[1]) == len(hues[2]) == 1
    assert hues[1] != hues[2]
    for function in comparison.functions:
        assert colours[function.modes[0]] == function_colour(function.id)
    assert len({function_colour(n) for n in range(1, 9)}) == 8
    assert function_colour(9) == function_colour(40)


def test_the_page_gives_a_function_the_same_colour_everywhere(page: Page) -> None:
    for what in ('style="--hue: var(--f2)"', "stroke:var(--f2)", "fill:var(--f2)"):
        assert what in page.source
    keys = {str(a["data-key"]) for _, a in page.tags if "data-key" in a}
    assert {"full/1", "full/2", "full/1/2", "constrained/2/2"} <= keys


@pytest.mark.parametrize(
    ("modes", "said"),
    [
        (TWO_MODES, "Function 1 has 82 ± 3 % of the evidence."),
        (
            (
                replace(TWO_MODES[0], evidence=Estimate(0.55, 0.06)),
                replace(TWO_MODES[1], evidence=Estimate(0.45, 0.06)),
            ),
            "The evidence does not tell which function is the heaviest.",
        ),
        (several(8), "Eight prominent modes compute one function."),
        (several(8, lambda mode: 1 + mode % 2), "compute two different functions"),
    ],
    ids=["certain", "within-the-error", "copies", "two"],
)
def test_only_what_exceeds_its_error_is_a_headline(
    modes: tuple[ModeSummary, ...], said: str
) -> None:
    assert said in headline(make(modes=modes)).replace("\u00a0", " ")


def test_without_an_evidence_there_is_no_weight_in_the_headline() -> None:
    assert "No evidence was computed" in headline(make(nested=False))
    assert "known evidence" in headline(make(modes=UNREACHED))


def test_relu_networks_are_told_of_their_valley(tmp_path: Path) -> None:
    relu = write(tmp_path / "relu.html", it=make(Network(2, (2,), activation="relu")))
    assert "rescaling valley" in relu.text
    unit = Network(2, (2,), activation="relu", constraint="unit-norm")
    assert "rescaling valley" not in write(tmp_path / "unit.html", it=make(unit)).text


def test_data_are_drawn_in_the_units_of_the_user() -> None:
    network = Network(1, (2,), likelihood="normal")
    comparison = make(network)
    names = DataNames(
        ("age",), "height", input_scales=(Scaling(50.0, 10.0),), target_scale=Scaling(170.0, 8.0)
    )
    axes = plot_data(comparison, names).axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("age", "mean of height")
    data = training_data(comparison.posterior)
    assert data is not None
    x, y = (np.asarray(values, dtype=float) for values in axes.lines[0].get_data())
    np.testing.assert_allclose(x, 50 + 10 * data.X[:, 0])
    np.testing.assert_allclose(y, 170 + 8 * data.y)
    inputs, mean = (np.asarray(values, dtype=float) for values in axes.lines[1].get_data())
    pool = predictive_pool(comparison).drawn(None, 400)
    assert pool is not None
    standardised = comparison.posterior.predict(pool.rows, (inputs[:, None] - 50) / 10)
    np.testing.assert_allclose(mean, 170 + 8 * standardised.mean(axis=0))


def test_the_table_of_a_run_names_its_data(tmp_path: Path) -> None:
    frame = pd.DataFrame({"age": [20.0, 40, 60], "sex": ["f", "m", "f"], "well": ["n", "y", "y"]})
    frame.to_csv(tmp_path / "people.csv", index=False)
    table = DataTable.fit(tmp_path / "people.csv", "well", "bernoulli", categorical=["sex"])
    table.save(tmp_path)
    names = kept_names({"it": tmp_path, "other": tmp_path / "nowhere"})
    assert list(names) == ["it"]
    assert names["it"].title == "well from age, sex=f and sex=m"
    assert (names["it"].source, names["it"].classes) == ("people.csv", ("n", "y"))
    np.testing.assert_allclose(
        measured(names["it"], table.inputs(tmp_path / "people.csv"))[:, 0], frame["age"]
    )


def test_terms_are_explained_once_and_are_those_of_the_glossary() -> None:
    explainer = Explainer()
    first = explainer.explain("Two modes <& one mode>: log evidence in nats.")
    assert first.count("<button") == 3
    assert "&lt;&amp; one mode&gt;" in first
    assert "<button" not in explainer.explain("A mode, and its log Z.")
    glossary = (Path(__file__).parents[2] / "docs" / "glossary.md").read_text(encoding="utf-8")
    known = {line.split("|")[1].strip() for line in glossary.splitlines() if line.startswith("| ")}
    assert set(TERMS) - {"nats", "R-hat"} <= known
