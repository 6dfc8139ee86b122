"""The command line: its exit statuses, its one line for wrong input, and what it writes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conftest import MODELS, closed_form, needs_tools
from manymodes.cli.main import main
from manymodes.density.posterior import Posterior
from manymodes.density.program import Program
from manymodes.results.run_directory import load, save_posterior
from manymodes.studies.lessons.catalogue import lessons

NUTS = ["--chains", "2", "--warmup", "100", "--draws", "50"]
POLYCHORD = ["--nlive", "30", "--runs", "1"]

RNG = np.random.default_rng(1)
TABLE = "a,b,y\n" + "".join(
    f"{a:.3f},{b:.3f},{int(a > RNG.normal())}\n" for a, b in RNG.normal(size=(40, 2))
)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "table.csv"
    path.write_text(TABLE)
    return path


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Any:
    """Return a check that arguments end in status 2 and one line that says something."""

    def check(*arguments: object, said: str) -> None:
        assert main([str(argument) for argument in arguments]) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert err.endswith("\n")
        # The first check of data against a program compiles it, with progress.
        lines = [line for line in err.splitlines() if not line.startswith("compiling ")]
        assert len(lines) == 1
        assert lines[0].startswith("manymodes: error: ")
        assert said in lines[0]

    return check


# ---------------------------------------------------------------- wrong tables


@pytest.mark.parametrize(
    ("text", "options", "said"),
    [
        (TABLE, ["--target", "z"], "no column 'z' (--target); the columns are a, b, y"),
        (TABLE, ["--constraint", "convex"], "constraint: 'convex' is unknown"),
        (TABLE, ["--hidden", "3", "--constraint", "pd-skew"], "use hidden layers of 2 units"),
        (TABLE, ["--prior", "uniform:-1"], "prior: 'uniform:-1' needs a positive number"),
        (TABLE, ["--activation", "cosine"], "activation: 'cosine' is unknown"),
        (TABLE, ["--hidden", "0"], "hidden: 0 is not allowed"),
        (TABLE, ["--hidden", "x"], "argument --hidden"),
        (TABLE, ["--likelihood", "gamma"], "likelihood: 'gamma' is unknown"),
        (TABLE, ["--sigma-scale", "0"], "sigma_scale: 0.0 is not a positive finite number"),
        (TABLE, ["--holdout", "1"], "--holdout: 1 is not between 0 and 1"),
        ("a,y\n1,0\nx,1\n", [], "column 'a' has 'x' in line 3, which is not a number"),
    ],
)  # fmt: skip
def test_a_wrong_table_or_network_is_refused(
    tmp_path: Path, refused: Any, text: str, options: list[str], said: str
) -> None:
    (tmp_path / "table.csv").write_text(text)
    out = tmp_path / "net"
    target = [] if "--target" in options else ["--target", "y"]
    refused("network", tmp_path / "table.csv", *target, *options, "--out", out, said=said)
    assert not out.exists()


def test_a_missing_table_is_refused(tmp_path: Path, refused: Any) -> None:
    missing = tmp_path / "absent.csv"
    refused("network", missing, "--target", "y", "--out", tmp_path / "n", said="no such table")


def test_an_unwritable_folder_is_refused(table: Path, refused: Any) -> None:
    out = table / "below"
    refused("network", table, "--target", "y", "--out", out, said="cannot be written")


# ---------------------------------------------------------------- wrong runs


@pytest.fixture
def run(tmp_path: Path, normal: Posterior) -> Path:
    """A folder that looks like an earlier run, with a folder of its program, which is compiled."""
    folder = tmp_path / "run"
    save_posterior(closed_form(), folder / "posterior")
    save_posterior(closed_form(), tmp_path / "net")
    (folder / "chains").mkdir()
    (folder / "chains" / "chain-00000.npz").write_text("earlier")
    (folder / "summary.json").write_text("{}")
    return folder


@pytest.mark.parametrize(
    ("command", "options", "said"),
    [
        ("sample", ["--draws", "1"], "draws: 1 is not 4 or more"),
        ("sample", ["--adapt-delta", "1.5"], "adapt_delta: 1.5 is not between 0 and 1"),
        ("sample", ["--chains", "0"], "argument --chains: 0 is not a whole number, 1 or more"),
        ("sample", ["--seed", "-1"], "argument --seed: -1 is not a whole number, 0 or more"),
        ("sample", ["--workers", "0"], "argument --workers: 0 is not"),
        ("sample", ["--chains", "many"], "argument --chains: many is not"),
        ("sample", ["--sampler", "gibbs"], "sampler: 'gibbs' is unknown; allowed are cmdstan"),
        ("sample", ["--superchain", "3"], "superchain: 64 chains cannot be put in groups of 3"),
        ("sample", ["--time-limit", "-1"], "time_limit: -1.0 is not a positive number"),
        ("sample", ["--init", "nowhere"], "init: 'nowhere' is unknown, and no such file"),
        ("sample", ["--init", str(MODELS / "plain.stan")], "plain.stan is not a JSON file"),
        ("sample", ["--mpi"], "mpi: there are no worker processes"),
        ("sample", ["--mpi", "--dask", "x"], "argument --dask: not allowed with argument --mpi"),
        ("sample", ["--no-such-flag"], "unrecognized arguments: --no-such-flag"),
        ("evidence", ["--nlive", "3"], "nlive: 3 is not 10 or more"),
        ("evidence", ["--runs", "0"], "argument --runs: 0 is not"),
        ("evidence", ["--precision", "nan"], "precision: nan is not between 0 and 1"),
        ("evidence", ["--reference", "magic"], "reference: 'magic' is neither one of auto, prior"),
        *(
            (
                "evidence",
                ["--engine", engine, *given],
                f"{given[0]} is a setting of the {other} engine",
            )
            for engine, other, given in (
                ("tempered", "nested", ["--nlive", "100"]),
                ("tempered", "nested", ["--repeats", "20"]),
                ("tempered", "nested", ["--checkpoints"]),
                ("nested", "tempered", ["--rounds", "8"]),
                ("nested", "tempered", ["--metric", "diagonal"]),
            )
        ),
    ],
)
def test_wrong_options_leave_earlier_results_alone(
    run: Path, refused: Any, command: str, options: list[str], said: str
) -> None:
    before = contents(run)
    arguments = [command, run.parent / "net", "--out", run, "--overwrite", *options]
    refused(*arguments, said=said)
    assert contents(run) == before


def test_starts_that_would_be_removed_are_refused(run: Path, refused: Any) -> None:
    before = contents(run)
    for init in (run, run / "chains"):
        arguments = ["sample", run.parent / "net", "--out", run, "--overwrite", "--init", init]
        refused(*arguments, said="is in the directory that --overwrite empties")
    assert contents(run) == before


@pytest.mark.parametrize(
    ("program", "data", "said"),
    [
        ("closed_forms.stan", '{"N": ', "data.json: not a JSON data file"),
        ("closed_forms.stan", "[1, 2]", "the data must be a JSON object"),
        ("closed_forms.stan", '{"N": 3}', "the data do not fit the program closed_forms"),
        ("closed_forms.stan", '{"kind": "one", "N": 3}', "the data do not fit the program"),
        ("absent.stan", "{}", "absent.stan: no such Stan program"),
        ("conftest.py", "{}", "a Stan program is a file that ends in .stan"),
        ("closed_forms.stan", None, "no such data file"),
    ],
)
def test_wrong_files_leave_earlier_results_alone(
    run: Path, refused: Any, program: str, data: str | None, said: str
) -> None:
    path = run.parent / "data.json"
    if data is not None:
        path.write_text(data)
    before = contents(run)
    refused("sample", MODELS / program, path, "--out", run, "--overwrite", said=said)
    assert contents(run) == before


def test_a_run_of_something_else_is_left_alone(run: Path, refused: Any) -> None:
    save_posterior(closed_form("bernoulli"), run.parent / "other")
    before = contents(run)
    other = run.parent / "other"
    refused("sample", other, "--out", run, "--resume", said="holds a run of another posterior")
    assert contents(run) == before


def test_a_directory_with_other_files_is_left_alone(run: Path, refused: Any) -> None:
    (run / "thesis.tex").write_text("mine")
    before = contents(run)
    net = run.parent / "net"
    refused("sample", net, "--out", run, "--overwrite", said="holds thesis.tex")
    assert contents(run) == before


def test_an_unwritable_run_directory_is_refused(run: Path, refused: Any) -> None:
    net, out = run.parent / "net", run / "summary.json" / "below"
    refused("sample", net, "--out", out, said="cannot be written")
    refused("study", "xor", "--out", out, said="cannot be written")


def test_wrong_settings_of_a_study_leave_earlier_results_alone(run: Path, refused: Any) -> None:
    before = contents(run)
    for options, said in (
        (["--noise-sd", "0"], "noise-sd: 0.0 is not a positive number"),
        (["--data-seed", "-1"], "argument --data-seed: -1 is not"),
        (["--draws", "2"], "draws: 2 is not"),
        (["--nlive", "100", "--nprior", "50"], "nprior: 50 is less than nlive (100)"),
    ):
        refused("study", "xor", "--out", run, "--overwrite", *options, said=said)
    refused("study", "xor", said="--out is needed")
    refused("study", "absent", "--out", run, said="there is no 'absent'")
    assert contents(run) == before


@pytest.fixture
def damaged_program(tmp_path: Path, tools: Any) -> Iterator[Path]:
    """A program whose compiled form in the cache differs from its record."""
    path = tmp_path / "damaged.stan"
    path.write_text("parameters { real damaged_on_purpose; }\n")
    folder = Program(path).folder
    folder.mkdir(parents=True)
    (folder / "model.so").write_text("half a library")
    (folder / "model").write_text("half a program")
    (folder / "compiled.json").write_text(json.dumps({"model.so": "0" * 64, "model": "0" * 64}))
    yield path
    shutil.rmtree(folder)


def test_a_damaged_cache_is_reported(damaged_program: Path, tmp_path: Path, refused: Any) -> None:
    (tmp_path / "data.json").write_text("{}")
    arguments = ["sample", damaged_program, tmp_path / "data.json", "--out", tmp_path / "out"]
    refused(*arguments, said="model.so is damaged or gone: remove ")
    assert not (tmp_path / "out").exists()


def test_nothing_to_compare_is_refused(tmp_path: Path, refused: Any) -> None:
    refused("compare", tmp_path, said="holds no run")
    refused("compare", tmp_path / "absent", said="holds no run")
    refused("sample", tmp_path / "absent", "--out", tmp_path / "o", said="give the folder")
    refused("dance", said="invalid choice: 'dance'")
    refused(said="the following arguments are required: COMMAND")


# ---------------------------------------------------------------- right input


@needs_tools
def test_from_a_table_to_the_comparison(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a user goes: network, sample, evidence, compare; each step adds to the run."""
    net, out = tmp_path / "net", tmp_path / "run"
    arguments = ["network", str(table), "--target", "y", "--hidden", "1"]
    arguments += ["--prior", "normal:1", "--holdout", "0.2"]
    assert main([*arguments, "--out", str(net)]) == 0
    assert "32 rows, 2 inputs, 5 parameters" in capsys.readouterr().out
    columns = json.loads((net / "table.json").read_text())["columns"]
    assert [column["name"] for column in columns] == ["a", "b"]
    assert {"model.stan", "data.json"} <= {path.name for path in net.iterdir()}

    assert main(["sample", str(net), *NUTS, "--out", str(out), "--quiet", "--json"]) == 0
    said, err = capsys.readouterr()
    summary = json.loads(said)
    assert err == ""
    assert summary["command"] == "sample"
    assert summary["posteriors"]["none"]["chains"]["n"] == 2
    assert "nested" not in summary["posteriors"]["none"]
    weightings = summary["posteriors"]["none"]["chains"]["weightings"]
    entry = summary["posteriors"]["none"]["chains"]
    pooled = {"chain stacking"} if entry["stacking"]["groups"] < entry["n"] else set()
    assert set(weightings) == {"stacking", "pseudo-BMA+", "uniform"} | pooled
    for scores in weightings.values():  # 8 rows were held out, 32 were not
        assert -16 < scores["held_out_rows"] < 0
        assert -64 < scores["held_out"] < scores["loo"] + 2 < 2
    assert "chains" in summary["posteriors"]["none"]["chains"]["diagnosis"]["verdict"]
    chains = contents(out / "chains")

    assert main(["sample", str(net), *NUTS, "--out", str(out), "--quiet"]) == 2
    assert "holds earlier results" in capsys.readouterr().err
    assert main(["evidence", str(net), *POLYCHORD, "--out", str(out), "--quiet"]) == 0
    assert capsys.readouterr().out == ""
    assert contents(out / "chains") == chains

    assert main(["compare", str(out), "--json"]) == 0
    entry = json.loads(capsys.readouterr().out)["posteriors"]["none"]
    assert entry["chains"]["n"] == 2
    assert entry["nested"]["runs"] == 1
    assert "evidence" in entry["chains"]["weightings"]
    stacked = load(out).stacked
    drawn = {"posterior", "predictions", "posterior_predictive", "weights"}
    assert set(stacked.children) == drawn | {"observed_data", "constant_data"}
    assert stacked["predictions"]["mean"].shape == (1, 4000, 32)
    assert load(out).posterior().network is not None
    assert (out / "posterior" / "table.json").read_text() == (net / "table.json").read_text()
    assert {"chains.nc", "nested.csv", "report.html"} <= {path.name for path in out.iterdir()}
    assert main(["compare", str(out), "--quiet"]) == 0
    assert capsys.readouterr().out == ""


@needs_tools
def test_draws_without_modes(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The draws are there for `predict` and `compare`; a stale summary is not."""
    net, out = str(tmp_path / "net"), tmp_path / "run"
    arguments = ["network", str(table), "--target", "y", "--hidden", "1"]
    assert main([*arguments, "--out", net]) == 0
    capsys.readouterr()
    assert main(["sample", net, *NUTS, "--out", str(out), "--no-modes", "--quiet", "--json"]) == 0
    entry = json.loads(capsys.readouterr().out)["posteriors"]["none"]["chains"]
    assert (entry["n"], entry["draws"]) == (2, 50)
    (out / "summary.json").write_text("{}")
    assert main(["evidence", net, *POLYCHORD, "--out", str(out), "--no-modes"]) == 0
    assert f"for modes: manymodes compare {out}" in capsys.readouterr().out
    assert {"chains.nc", "nested.csv"} <= {path.name for path in out.iterdir()}
    assert not (out / "summary.json").exists()
    assert main(["predict", str(out), str(table), "--quiet"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 41


@needs_tools
def test_a_users_own_program_needs_no_switches(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], refused: Any
) -> None:
    """Neither data nor log_lik nor prior_only: chains are compared by occupancy alone."""
    (tmp_path / "data.json").write_text("{}")
    files = [str(MODELS / "plain.stan"), str(tmp_path / "data.json")]
    assert main(["sample", *files, *NUTS, "--out", str(tmp_path / "run"), "--quiet", "--json"]) == 0
    entry = json.loads(capsys.readouterr().out)["posteriors"]["plain"]
    assert (entry["dims"], entry["n_obs"]) == (2, 0)
    assert entry["modes"][0]["weight"]["stacking"] is None
    chosen = ["--reference", "prior", "--out", tmp_path / "e"]
    refused("evidence", *files, *chosen, said="no data item 'prior_only'")
    assert not (tmp_path / "e").exists()
    arguments = ["evidence", *files, "--nlive", "50", "--out", str(tmp_path / "run"), "--check"]
    assert main([*arguments, "--quiet", "--json"]) == 0
    entry = json.loads(capsys.readouterr().out)["posteriors"]["plain"]
    assert abs(entry["nested"]["log_z"]) < 3 * entry["nested"]["log_z_sd"] < 0.5
    assert entry["nested"]["base_measure"]["source"] == "chains"
    assert entry["checks"]["agree"]
    assert {"nested sampling", "bridge sampling"} <= {
        row["method"] for row in entry["checks"]["rows"] if row["log_z"] is not None
    }


@needs_tools
def test_failed_chains_are_told_and_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_posterior(closed_form(unlucky=0.4), tmp_path / "net")
    options = ["--chains", "6", "--warmup", "50", "--draws", "20", "--quiet", "--json"]
    assert main(["sample", str(tmp_path / "net"), *options, "--out", str(tmp_path / "run")]) == 0
    out, err = capsys.readouterr()
    failed = json.loads(out)["posteriors"]["normal"]["chains"]["failed"]
    assert 0 < failed < 6
    assert err.count("this seed is unlucky") == failed


def test_a_run_that_fails_has_status_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_posterior(closed_form(unlucky=1.0), tmp_path / "unlucky")
    save_posterior(closed_form(rejects=True), tmp_path / "rejects")
    for name, command in (("rejects", "sample"), ("rejects", "evidence")):
        arguments = [command, str(tmp_path / name), "--out", str(tmp_path / command), "--quiet"]
        assert main(arguments) == 1
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith("manymodes: error: ")
        assert "Traceback" not in err


@needs_tools
def test_doctor_says_what_was_found(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    for part in ("cmdstan", "bridge", "polychord"):
        assert {"version", "source", "path", "ok"} <= found[part].keys()
        assert found[part]["ok"] is True
    assert main(["doctor"]) == 0
    assert "CmdStan" in capsys.readouterr().out


def test_the_list_of_studies(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["study"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("xor ")
    assert [line.split()[0] for line in said.splitlines()] == [
        "xor",
        "xor-seeds",
        "xor-gains",
        "cauchy",
        "digits",
        "fbm",
        *lessons(),
    ]


def test_each_study_has_its_own_effort(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: dict[str, Any] = {}

    def sizes(given: Any) -> tuple[int, int, int]:
        return given.chains, given.nuts.warmup, given.nuts.draws

    def run_cauchy(out: Path, *, effort: Any) -> dict[str, Any]:
        taken["cauchy"] = (*sizes(effort.chains), effort.nested.runs)
        return {}

    def run_digits(out: Path, *, effort: Any) -> dict[str, Any]:
        taken["digits"] = sizes(effort.chains)
        return {}

    monkeypatch.setattr("manymodes.studies.cauchy.run_cauchy", run_cauchy)
    monkeypatch.setattr("manymodes.studies.digits.run_digits", run_digits)
    for name in ("cauchy", "digits"):
        assert main(["study", name, "--out", str(tmp_path), "--quiet"]) == 0
    assert taken == {"cauchy": (64, 1000, 1000, 4), "digits": (16, 500, 500)}
    options = ["--chains", "3", "--warmup", "7", "--draws", "9"]
    assert main(["study", "digits", "--out", str(tmp_path), "--quiet", *options]) == 0
    assert taken["digits"] == (3, 7, 9)
