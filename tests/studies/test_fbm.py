"""The study of FBM's problems: its data, its networks, and what a run leaves."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import manymodes as mm
from conftest import needs_tools
from manymodes.cli.main import main
from manymodes.errors import InputError
from manymodes.networks.group_priors import ScalePrior
from manymodes.results.our_files import our_files, run_directory
from manymodes.studies.conduct import Effort
from manymodes.studies.fbm import fbm_problems, run_fbm
from manymodes.studies.fbm_words import fbm_text

NUTS = mm.NutsSettings(warmup=50, draws=40, max_treedepth=5)
EFFORT = Effort(
    chains=mm.ChainSettings(chains=3, nuts=NUTS),
    tempered=mm.TemperedSettings(runs=2, rounds=4, max_rounds=4),
    quiet=True,
)


def test_the_problems_are_neals() -> None:
    problems = fbm_problems()
    sizes = {name: (len(one.y), one.X.shape[1]) for name, one in problems.items()}
    assert sizes == {"regression": (100, 1), "binary": (300, 2), "three-way": (400, 4)}
    priors = {name: one.network.prior_parts for name, one in problems.items()}
    assert priors["regression"].noise == ScalePrior("gamma", 0.05, 0.5)
    assert priors["regression"].groups["bo"].scale == ScalePrior("fixed", 100.0)
    three_way = priors["three-way"].groups
    assert three_way["ih"].scale == ScalePrior("gamma", 0.1, 0.5)  # x: four inputs
    assert three_way["ih"].sources == ScalePrior("gamma", 1.0, 0.5)
    assert three_way["bo"].scale == ScalePrior("gamma", 0.05, 0.5)


def test_overwrite_knows_the_folders_of_the_problems(tmp_path: Path) -> None:
    draws = {tmp_path / name / "chains.nc" for name in fbm_problems(1)}
    for path in draws:
        path.parent.mkdir()
        path.touch()
    assert set(our_files(tmp_path)) == draws
    with pytest.raises(InputError, match="no run of manymodes wrote"), run_directory(tmp_path):
        pass
    (tmp_path / "settings.json").write_text('{"seed": 1, "nuts": {}}', encoding="utf-8")
    with run_directory(tmp_path, overwrite=True):
        assert not any(path.exists() for path in draws)


def test_the_data_are_as_described() -> None:
    """Noise of 0.1 in the regression; a share of class 1 that is the mean of its probability."""
    problems = fbm_problems(3)
    one = problems["regression"]
    x = one.test.X[:, 0]
    curve = 0.3 + 0.4 * x + 0.5 * np.sin(2.7 * x) + 1.1 / (1 + x**2)
    assert np.std(one.test.y - curve) == pytest.approx(0.1, rel=0.1)
    assert one.best == pytest.approx(-np.log(0.1 * np.sqrt(2 * np.pi * np.e)), abs=0.1)
    two = problems["binary"].test
    p = np.exp(-(((two.X[:, 0] - 0.4) ** 2 + (two.X[:, 1] + 0.3) ** 2) ** 2))
    assert two.y.mean() == pytest.approx(p.mean(), abs=4 * 0.5 / np.sqrt(len(p)))
    assert set(np.unique(problems["three-way"].y)) == {0.0, 1.0, 2.0}
    again = fbm_problems(3)["three-way"]
    np.testing.assert_array_equal(again.X, problems["three-way"].X)
    assert not np.array_equal(fbm_problems(4)["three-way"].X, again.X)
    with pytest.raises(InputError, match="data-seed: -1"):
        fbm_problems(-1)


def test_options_of_nested_sampling_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for option in (["--nlive", "50"], ["--clustering"], ["--noise-sd", "1"]):
        assert main(["study", "fbm", "--out", str(tmp_path / "run"), *option]) == 2
        assert f"study fbm: has no {option[0]}" in capsys.readouterr().err


@needs_tools
@pytest.mark.slow
def test_a_short_run_leaves_its_results(tmp_path: Path) -> None:
    summary = run_fbm(tmp_path / "run", effort=EFFORT)
    kept = json.loads((tmp_path / "run" / "summary.json").read_text(encoding="utf-8"))
    assert kept["posteriors"].keys() == {"regression", "binary", "three-way"}
    for entry in kept["posteriors"].values():
        assert entry["chains"]["n"] == 3
        assert len(entry["tempered"]["runs"]) == 2
        test = entry["test"]
        single = np.array(test["single_chains"])
        pooled = test["pooled"]["log_density"]["value"]
        assert single.min() - 1e-9 <= pooled
    assert (tmp_path / "run" / "report.html").is_file()
    text = fbm_text(summary)
    assert "tempered draws, in proportion to the evidence" in text
    again = run_fbm(tmp_path / "run", effort=Effort(**{**EFFORT.__dict__, "resume": True}))
    assert again["posteriors"]["binary"]["chains"]["log_density"] == pytest.approx(
        summary["posteriors"]["binary"]["chains"]["log_density"]
    )
