"""What public objects say of themselves: short, without data, and harmless in a notebook."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import manymodes as mm
from conftest import MODELS
from made_comparisons import XOR, make
from manymodes import statistics
from manymodes.models.result import Model, ModelComparison
from manymodes.modes.checks import Checks
from manymodes.modes.checks.result import Check
from manymodes.modes.diagnosis import diagnose
from manymodes.results.log_scores import LogScore
from manymodes.results.predict import Predictions
from manymodes.results.predict_data import DataPredictions
from manymodes.results.run_directory import Results
from manymodes.runtime.shown import Shown, estimate_text, share_text
from manymodes.statistics.coverage import coverage
from manymodes.statistics.estimate import Estimate
from manymodes.statistics.stacking import weight_errors

HOSTILE = "<script>alert('x')</script>\x1b[31m\nnext"
LONGEST = 400
FRAME = pd.DataFrame({HOSTILE: [HOSTILE] * 40, "mean": np.linspace(0, 1, 40)})


def frame_table() -> mm.Table:
    frame = pd.DataFrame({"<b>dose</b>": [1.0, 2.0, 4.0], "cured": [0, 1, 1]})
    return mm.Table.fit(frame, "cured", "bernoulli")


def posterior() -> mm.Posterior:
    X = np.random.default_rng(1).normal(size=(220, 2))
    found = mm.Posterior.from_network(mm.Network(2, (2,), prior="normal:2"), X, X[:, 0] > 0)
    return replace(found, name=HOSTILE)


def stubbed(what: str) -> Any:
    comparison = make()
    object.__setattr__(comparison.posterior, "name", HOSTILE)
    return comparison if what == "self" else getattr(comparison, what)


MADE: dict[str, Callable[[], Any]] = {
    "Posterior": posterior,
    "Program": lambda: mm.Program(MODELS / "draws.stan"),
    "Network": lambda: XOR,
    "Chains": lambda: stubbed("chains"),
    "Nested": lambda: stubbed("nested"),
    "Modes": lambda: stubbed("modes"),
    "Comparison": lambda: stubbed("self"),
    "Diagnosis": lambda: diagnose(stubbed("self")),
    "Checks": lambda: Checks(
        (Check("bridge", "all", 0, -1.0, 0.1, remark=HOSTILE),), (), 3.0, "none"
    ),
    "ActiveUnits": lambda: mm.ActiveUnits(*np.full((6, 3), 0.3)),
    "Audit": lambda: mm.audit(XOR, orbits=20),
    "ModelComparison": lambda: ModelComparison(
        (Model(HOSTILE, (), None, 3, 4, 0),) * 2,
        10,
        0,
        "",
        (0.5, 0.5),
        np.zeros((2, 10)),
        np.zeros((2, 0)),
        (),
        (),
    ),
    "Predictions": lambda: Predictions(FRAME, 0.9, 10, HOSTILE),
    "DataPredictions": lambda: DataPredictions(
        FRAME, 0.9, 10, HOSTILE, 1, np.zeros(3), LogScore(-1.0, 0.1, -3.0)
    ),
    "Results": lambda: Results(Path("run"), {"posteriors": {}}),
    "Table": frame_table,
    "NutsSettings": lambda: mm.NutsSettings(draws=7),
    "ChainSettings": lambda: mm.ChainSettings(init="prior"),
    "NestedSettings": mm.NestedSettings,
    "PolyChordSettings": mm.PolyChordSettings,
    "TemperedSettings": mm.TemperedSettings,
    "ModeSettings": mm.ModeSettings,
    "DataNames": lambda: mm.DataNames((HOSTILE,), HOSTILE),
    "Loo": lambda: mm.psis_loo(np.random.default_rng(1).normal(size=(300, 900))),
    "Stacking": lambda: mm.stack(np.random.default_rng(1).normal(size=(50, 900))),
    "GroupWeights": lambda: weight_errors(
        np.random.default_rng(1).normal(size=(50, 40)), n_boot=5, rng=np.random.default_rng(1)
    ),
    "Weighing": lambda: stubbed("weighings")[0],
    "Coverage": lambda: coverage([3, 1, 1]),
}
"""One of each class; tempered runs are tested where there are some."""

TEMPERED = {"Tempered"}


def public_classes() -> dict[str, type]:
    modules = [importlib.import_module(f"manymodes.statistics.{n}") for n in statistics.__all__]
    found = [getattr(mm, name) for name in mm.__all__]
    found += [
        one
        for module in modules
        for name, one in vars(module).items()
        if not name.startswith("_") and getattr(one, "__module__", "") == module.__name__
    ]
    return {
        one.__name__: one
        for one in found
        if inspect.isclass(one) and not issubclass(one, (Exception, tuple))
    }


class Strict(HTMLParser):
    """Refuses tags that are not closed in turn, and notes all tags."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.open.append(tag)
        self.tags.add(tag)
        assert not attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def assert_shown_well(found: Any) -> None:
    text, html = repr(found), found._repr_html_()
    assert len(text) <= LONGEST
    assert text.isprintable()
    assert "array(" not in text
    assert "\n" not in text
    assert Strict(html).tags <= {"div", "p", "table", "thead", "tbody", "tr", "th", "td"}
    assert "\x1b" not in html
    assert len(html) < 20_000


def test_every_public_class_is_shown() -> None:
    classes = public_classes()
    assert classes.keys() == MADE.keys() | TEMPERED
    assert all(issubclass(one, Shown) for one in classes.values())


@pytest.mark.parametrize("name", MADE)
def test_a_line_without_data_and_html_that_holds(name: str) -> None:
    found = MADE[name]()
    assert type(found).__name__ == name
    assert_shown_well(found)


def test_the_line_says_what_it_is() -> None:
    plain = replace(posterior(), name="net")
    assert repr(plain) == (
        "Posterior 'net': 9 parameters, 220 observations, network 2-2-1 (tanh), bernoulli, "
        "prior normal:2"
    )
    assert repr(make().chains) == "Chains of 'stub': 4 × 60 draws, 0 divergences"
    settings = "NutsSettings(warmup=1000, draws=7, adapt_delta=0.8, max_treedepth=10)"
    assert repr(mm.NutsSettings(draws=7)) == settings
    assert eval(repr(XOR), {"Network": mm.Network}) == XOR  # noqa: S307


def test_a_comparison_is_a_table_of_its_functions() -> None:
    html = make()._repr_html_()
    assert html.count("<tr>") == 3  # the header and two functions
    assert "82.0 ± 3.0 %" in html


def test_names_are_text_in_html() -> None:
    html = stubbed("self")._repr_html_()
    assert "&lt;script&gt;" in html
    assert "<script>" not in html


def test_what_is_not_known_is_a_dash() -> None:
    unknown = Estimate()
    assert estimate_text(unknown.value, unknown.sd) == "–" == share_text(unknown.value, 0.1)


@pytest.mark.toolchain
def test_tempered_runs_say_their_evidence(xor_tempered: mm.Tempered) -> None:
    assert_shown_well(xor_tempered)
    assert f"log_z = {xor_tempered.log_z:.2f}" in repr(xor_tempered)
