"""Single figures: predictions with intervals, rows of a table, landscapes, and the command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from made_comparisons import make
from manymodes.cli.main import main
from manymodes.cli.parser import FIGURES
from manymodes.cli.plot_command import _DRAWN
from manymodes.density.posterior import Posterior
from manymodes.errors import InputError
from manymodes.modes.comparison import Comparison
from manymodes.modes.path_between import _chosen, path_between
from manymodes.networks.network import Network
from manymodes.report.names import DataNames
from manymodes.report.plots import plot_intervals, plot_landscape, plot_predicted
from manymodes.results.predict import Predictions
from manymodes.results.predict_data import DataPredictions
from manymodes.tables.columns import Scaling
from manymodes.tables.table import Table

HOSTILE = "<b>$x^{2}$</b> \\n"


def shown_axes(figure: Figure) -> list[Axes]:
    return [axes for axes in figure.axes if axes.get_visible() and axes.get_label() != "<colorbar>"]


def saved(figure: Figure, folder: Path) -> None:
    """Write a figure as every kind of file, which fails where a text cannot be drawn."""
    for kind in ("png", "svg", "pdf"):
        figure.savefig(folder / f"figure.{kind}")
        assert (folder / f"figure.{kind}").stat().st_size > 1000


# ---------------------------------------------------------------- of a posterior


@pytest.mark.parametrize(
    ("network", "panels"),
    [
        (Network(1, (2,)), 1),
        (Network(1, (2,), likelihood="normal"), 1),
        (Network(1, (2,), outputs=2, likelihood="normal"), 2),
        (Network(1, (2,), outputs=3, likelihood="categorical"), 1),
        (Network(1, (2,), likelihood="poisson"), 1),
        (Network(1, (2,), likelihood="binomial"), 1),
        (Network(2, (2,)), 2),
        (Network(2, (2,), likelihood="heteroscedastic"), 2),
        (Network(2, (2,), outputs=3, likelihood="categorical"), 6),
        (Network(3, (2,)), 1),
        (Network(3, (2,), likelihood="normal"), 1),
        (Network(3, (2,), outputs=2, likelihood="student:4"), 2),
        (Network(3, (2,), outputs=3, likelihood="categorical"), 3),
        (Network(4, (2,), likelihood="negative-binomial"), 1),
        (Network(3, (2,), likelihood="binomial"), 1),
    ],
    ids=lambda value: getattr(value, "described", None),
)
def test_predictions_are_drawn_for_every_likelihood(
    network: Network, panels: int, tmp_path: Path
) -> None:
    names = DataNames(tuple(f"{HOSTILE} {i}" for i in range(network.inputs)), HOSTILE)
    figure = plot_intervals(make(network), names)
    assert len(shown_axes(figure)) == panels
    saved(figure, tmp_path)


def test_bands_are_in_the_users_units_and_hold_what_they_say() -> None:
    network = Network(1, (2,), likelihood="normal")
    names = DataNames(("dose",), "yield", (), "", (Scaling(100.0, 10.0),), Scaling(5000.0, 100.0))
    comparison = make(network)
    narrow, wide = (
        plot_intervals(comparison, names, interval=share).axes[0] for share in (0.5, 0.95)
    )
    assert (narrow.get_xlabel(), narrow.get_ylabel()) == ("dose", "yield")
    x, y = narrow.lines[0].get_data()
    data: Any = comparison.posterior.data
    np.testing.assert_allclose(x, 100 + 10 * np.array(data["X"])[:, 0])
    np.testing.assert_allclose(y, 5000 + 100 * np.array(data["y_real"]))
    heights = [np.ptp(axes.collections[0].get_paths()[0].vertices[:, 1]) for axes in (narrow, wide)]
    assert 0 < heights[0] < heights[1]


def test_a_share_that_is_none_is_refused_and_so_is_no_network() -> None:
    with pytest.raises(InputError, match="interval: 1\\.5 is not"):
        plot_intervals(make(), interval=1.5)
    with pytest.raises(InputError, match="no network"):
        plot_intervals(make(None))


# ---------------------------------------------------------------- of rows


def predictions(table: Table, given: pd.DataFrame, *, scored: bool) -> Predictions:
    n = len(given)
    mean = np.linspace(0.1, 0.9, n)
    frame = pd.DataFrame(index=range(n))
    if table.target.classes:
        for k, name in enumerate(table.target.classes):
            frame[f"p({name})"] = mean if k else 1 - mean
            frame[f"p({name}).lower"] = frame[f"p({name})"] - 0.05
            frame[f"p({name}).upper"] = frame[f"p({name})"] + 0.05
    else:
        frame["mean"], frame["lower"], frame["upper"] = mean, mean - 1, mean + 1
    if scored:
        frame["log_density"] = -1.0
    return Predictions(frame, 0.9, 10, "draws", given=given)


def rows(**more: Any) -> pd.DataFrame:
    return pd.DataFrame({"dose": [3.0, 1.0, 2.0], HOSTILE: [1.5, 2.5, 0.5], **more})


def test_rows_over_a_single_input_are_sorted_with_their_targets(tmp_path: Path) -> None:
    frame = rows()
    table = Table.fit(frame, HOSTILE, "normal")
    figure = plot_predicted(predictions(table, frame, scored=True), table)
    axes = figure.axes[0]
    assert axes.get_xlabel() == "dose"
    assert axes.lines[0].get_xydata().tolist() == [[1.0, 2.5], [2.0, 0.5], [3.0, 1.5]]
    x, mean = axes.lines[1].get_data()
    assert (list(x), np.round(mean, 6).tolist()) == ([1.0, 2.0, 3.0], [0.5, 0.9, 0.1])
    saved(figure, tmp_path)


@pytest.mark.parametrize("scored", [True, False])
@pytest.mark.parametrize("likelihood", ["normal", "bernoulli", "categorical"])
def test_rows_of_several_inputs(likelihood: str, scored: bool, tmp_path: Path) -> None:
    target = {"normal": [1.0, 2.0, 4.0], "bernoulli": [0, 1, 1], "categorical": ["a", "b", "c"]}
    frame = rows(out=target[likelihood])
    table = Table.fit(frame, "out", likelihood)
    figure = plot_predicted(predictions(table, frame, scored=scored), table)
    axes = shown_axes(figure)
    assert len(axes) == (3 if likelihood == "categorical" else 1)
    observed = "observed" in axes[0].get_xlabel()
    assert observed == scored
    if scored and likelihood == "normal":
        assert axes[0].lines[0].get_xdata().tolist() == [1.0, 2.0, 4.0]
    saved(figure, tmp_path)


def test_generated_quantities_are_listed_and_cut(tmp_path: Path) -> None:
    frame = pd.DataFrame({"name": [f"y[{i}]" for i in range(60)], "mean": np.arange(60.0)})
    frame["lower"], frame["upper"] = frame["mean"] - 1, frame["mean"] + 1
    found = DataPredictions(frame, 0.9, 10, "draws", 1, np.empty(0))
    figure = plot_predicted(found)
    assert len(figure.axes[0].get_yticks()) == 40
    assert "20 more are not drawn" in figure.axes[0].get_xlabel()
    saved(figure, tmp_path)
    with pytest.raises(InputError, match="nothing but log_lik"):
        plot_predicted(DataPredictions(frame.iloc[:0], 0.9, 10, "draws", 1, np.empty(0)))


# ---------------------------------------------------------------- landscapes


def test_modes_to_go_between_are_of_two_functions_or_as_asked() -> None:
    comparison = make()
    assert _chosen(comparison, None) == (1, 2)
    assert _chosen(comparison, (2, 1)) == (2, 1)
    with pytest.raises(InputError, match="there is no mode 7; there are 2"):
        _chosen(comparison, (1, 7))
    with pytest.raises(InputError, match="1 is given twice"):
        _chosen(comparison, (1, 1))
    with pytest.raises(InputError, match="one mode only"):
        _chosen(make(modes=comparison.summaries[:1]), None)


@pytest.mark.toolchain
def test_a_relaxed_path_is_no_lower_than_the_straight_line(xor_comparison: Comparison) -> None:
    found = path_between(xor_comparison)
    modes = xor_comparison.modes
    place = [xor_comparison.labels.tolist().index(one) for one in (found.first, found.second)]
    for way in (found.straight, found.relaxed):
        assert (way.along[0], way.along[-1]) == (0.0, 1.0)
        assert (np.diff(way.along) >= 0).all()
        np.testing.assert_allclose(way.heights[[0, -1]], modes.heights[place], atol=1e-3)
    assert found.relaxed.fall <= found.straight.fall
    assert found.relaxed.fall > 1  # or they would be one mode
    posterior: Posterior = xor_comparison.posterior
    peak = modes.peaks[place[0]]
    height = posterior.log_density(peak) - posterior.prior.log_density(peak)
    assert found.straight.heights[0] == pytest.approx(height, abs=1e-3)


@pytest.mark.toolchain
def test_a_landscape_names_its_modes(xor_comparison: Comparison, tmp_path: Path) -> None:
    figure = plot_landscape(xor_comparison, (2, 1))
    (axes,) = figure.axes
    texts = [text.get_text() for text in axes.texts]
    functions = {mode.id: mode.function for mode in xor_comparison.summaries}
    assert texts == [f"mode {one}, function {functions[one]}" for one in (2, 1)]
    saved(figure, tmp_path)


# ---------------------------------------------------------------- the command


def test_every_figure_of_the_help_is_drawn() -> None:
    assert set(FIGURES) == set(_DRAWN)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, tools: Any) -> Path:
    """A run with chains of a network on a table of one input."""
    folder = tmp_path_factory.mktemp("figures")
    rng = np.random.default_rng(1)
    dose = np.linspace(0, 10, 40)
    cured = rng.binomial(1, np.where((dose > 3) & (dose < 7), 0.9, 0.1))
    pd.DataFrame({"dose": dose, "cured": cured}).to_csv(folder / "doses.csv", index=False)
    net, out = folder / "net", folder / "run"
    network = f"network {folder}/doses.csv --target cured --prior normal:2 --out {net} --quiet"
    sample = f"sample {net} --chains 4 --warmup 100 --draws 50 --out {out} --quiet"
    for command in (network, sample):
        assert main(command.split()) == 0
    return out


@pytest.mark.toolchain
@pytest.mark.parametrize("figure", [name for name in FIGURES if name != "evidence"])
def test_the_command_writes_each_figure(
    figure: str, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "figure.svg"
    assert main(["plot", str(run), figure, "--out", str(file), "--quiet", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"figure": figure, "file": str(file)}
    assert file.read_text().count("<path") > 5
    assert main(["plot", str(run), figure, "--out", str(file), "--quiet"]) == 2  # it is there
    assert [path.name for path in tmp_path.iterdir()] == ["figure.svg"]


@pytest.mark.toolchain
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["evidence", "--out", "a.png"], "holds no evidence"),
        (["nonsense", "--out", "a.png"], "'data', 'predictions', 'weights'"),
        (["data", "--out", "a.docx"], "'docx' is no kind of figure"),
        (["data", "--out", "nowhere/a.png"], "no such folder"),
        (["data", "--out", "a.png", "--modes", "1", "2"], "--modes is for landscape"),
        (["weights", "--out", "a.png", "--interval", "0.5"], "--interval is for predictions"),
        (["predictions", "--out", "a.png", "--interval", "2"], "2 is not between 0 and 1"),
        (["landscape", "--out", "a.png", "--modes", "1", "99"], "no mode 99"),
    ],
)
def test_mistakes_get_one_line_and_no_file(
    arguments: list[str],
    said: str,
    run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["plot", str(run), *arguments, "--quiet"]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_study_is_told_from_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["plot", str(tmp_path), "data", "--out", str(tmp_path / "a.png")]
    assert main(command) == 2
    assert "holds no run" in capsys.readouterr().err
    (tmp_path / "full" / "posterior").mkdir(parents=True)
    assert main(command) == 2
    assert f"give the folder of one ({tmp_path / 'full'})" in capsys.readouterr().err


@pytest.mark.toolchain
def test_predict_draws_what_it_writes(run: Path, tmp_path: Path) -> None:
    command = ["predict", str(run), str(run.parent / "doses.csv"), "--quiet"]
    command += ["--out", str(tmp_path / "p.csv"), "--plot", str(tmp_path / "p.png")]
    assert main(command) == 0
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")
    assert main([*command[:-1], str(tmp_path / "q.gif2"), "--overwrite"]) == 2
