"""The scripts of docs/clusters.md run as written, with a stand-in for Slurm on one machine."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import manymodes as mm
from conftest import closed_form, needs_tools
from manymodes import toolchain
from manymodes.cli.main import main
from manymodes.density.posterior import Posterior
from manymodes.results.run_directory import save_posterior
from pages import blocks

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="kills groups of processes")

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "clusters.md").read_text(encoding="utf-8")
STAND_IN = ROOT / "tests" / "stand_in_sbatch.py"
NAMED = re.compile(r"This is `(\w+\.sbatch)`:\n\n```bash\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SCRIPTS: dict[str, str] = dict(NAMED.findall(PAGE))
SUBMIT = re.findall(r"^```bash\n(manymodes sample .*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
TIMES = {"seconds", "sampling_seconds"}


def stable(value: Any) -> Any:
    """Return a summary without wall times, and without the name of the command."""
    if isinstance(value, dict):
        kept = {k: v for k, v in value.items() if not k.endswith("seconds") and k != "command"}
        return {k: stable(v) for k, v in kept.items()}
    return [stable(v) for v in value] if isinstance(value, list) else value


def assert_same_run(ours: Path, theirs: Path) -> None:
    """Compare two runs of chains bit for bit; times apart."""
    files = sorted(path.name for path in (theirs / "chains").glob("chain-*.npz"))
    assert files == sorted(path.name for path in (ours / "chains").glob("chain-*.npz"))
    assert files
    for file in files:
        one, other = np.load(ours / "chains" / file), np.load(theirs / "chains" / file)
        assert set(one.files) == set(other.files)
        for name in set(one.files) - TIMES:
            assert one[name].tobytes() == other[name].tobytes(), (file, name)
    for name in ("chains.nc", "stacked.nc"):
        trees = []
        for run in (ours, theirs):
            with xr.open_datatree(run / name, engine="h5netcdf") as file:
                trees.append(file.load())
        assert trees[0].groups == trees[1].groups
        for group in trees[0].groups:
            assert list(trees[0][group].data_vars) == list(trees[1][group].data_vars)
            for variable in trees[0][group].data_vars:
                values = [tree[group][variable].values for tree in trees]
                assert values[0].tobytes() == values[1].tobytes(), (name, group, variable)
    summaries = [json.loads((run / "summary.json").read_text()) for run in (ours, theirs)]
    assert stable(summaries[0]) == stable(summaries[1])


@pytest.fixture
def cluster(tmp_path: Path) -> dict[str, str]:
    """The environment of a shell with `manymodes`, and with the stand-in for `sbatch`."""
    programs = tmp_path / "bin"
    programs.mkdir()
    (tmp_path / "state").mkdir()
    for name, command in (("manymodes", "-m manymodes"), ("sbatch", f'"{STAND_IN}"')):
        shim = programs / name
        shim.write_text(f'#!/bin/sh\nexec "{sys.executable}" {command} "$@"\n')
        shim.chmod(0o755)
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "STAND_IN_STATE": str(tmp_path / "state")}


def shell(text: str, folder: Path, environment: dict[str, str]) -> str:
    done = subprocess.run(
        ["bash", "-e", "-c", text],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=900,
    )
    logs = "".join(f"{p.name}: {p.read_text()}" for p in sorted(folder.glob("slurm-*.out")))
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}\n{logs}"
    return done.stdout + done.stderr + logs


def states(folder: Path) -> list[Any]:
    return [json.loads(path.read_text()) for path in sorted((folder / "state").glob("*.json"))]


@needs_tools
def test_the_array_of_jobs_runs_as_written(tmp_path: Path, cluster: dict[str, str]) -> None:
    """One task is killed in the middle and begun again: the bits are those of one run."""
    assert list(SCRIPTS) == ["chains.sbatch", "merge.sbatch"]
    assert len(SUBMIT) == 1
    assert len(blocks(PAGE)) == len(SCRIPTS) + len(SUBMIT)
    for name, text in SCRIPTS.items():
        (tmp_path / name).write_text(text)
    rng = np.random.default_rng(1)
    rows = "".join(f"{x:.3f},{int(x > rng.normal())}\n" for x in rng.normal(size=30))
    (tmp_path / "table.csv").write_text(f"x,y\n{rows}")
    shell("manymodes network table.csv --target y --hidden 1 --out net", tmp_path, cluster)
    mark = tmp_path / "parts" / "3" / "chains" / "chain-00010.npz"
    kills = {"STAND_IN_KILLS": f"3:{mark}"}
    shell(SUBMIT[0], tmp_path, {**cluster, **kills})
    assert states(tmp_path) == [[0] * 8, [0]]
    assert (tmp_path / "state" / "killed").read_text() == "3\n"
    [whole] = re.findall(r"manymodes sample net (--chains 40 .*?) \\", SCRIPTS["chains.sbatch"])
    shell(f"manymodes sample net {whole} --out whole --quiet", tmp_path, cluster)
    assert_same_run(tmp_path / "run", tmp_path / "whole")
    assert mm.load(tmp_path / "run").chains["posterior"].sizes["chain"] == 40
    assert not (tmp_path / "parts" / "3" / "chains.nc").exists()

    # A part that is not there: the merge of before goes on to be right, and a new one says so.
    shutil.rmtree(tmp_path / "parts" / "7")
    said = shell("manymodes merge parts/* --out less --no-modes", tmp_path, cluster)
    assert "less: 5 of 40 chains are missing: part 7 of 8 (not given, chains 30 to 34);" in said
    said = shell(f"manymodes sample net {whole} --out less --resume --quiet", tmp_path, cluster)
    assert_same_run(tmp_path / "less", tmp_path / "whole")
    shell("sbatch merge.sbatch", tmp_path, cluster)  # again, with the part gone
    assert_same_run(tmp_path / "run", tmp_path / "whole")


@needs_tools
def test_a_job_that_fails_holds_the_merge_back(tmp_path: Path, cluster: dict[str, str]) -> None:
    for name, text in SCRIPTS.items():
        (tmp_path / name).write_text(text)  # and there is no folder `net`
    shell(SUBMIT[0].split("\n", 1)[1], tmp_path, cluster)
    assert states(tmp_path) == [[2] * 8, "DependencyNeverSatisfied"]


def test_the_stand_in_refuses_what_it_does_not_understand(
    tmp_path: Path, cluster: dict[str, str]
) -> None:
    (tmp_path / "x.sbatch").write_text("#!/bin/bash\n#SBATCH --gpus=1\ntrue\n")
    done = subprocess.run(
        ["sbatch", "x.sbatch"], cwd=tmp_path, env=cluster, capture_output=True, text=True
    )
    assert done.returncode != 0
    assert "--gpus=1" in done.stderr


@needs_tools
def test_two_jobs_may_compile_at_once(
    tools: toolchain.Toolchain, tmp_path: Path, cluster: dict[str, str]
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    for folder in toolchain.home().glob("polychord-*"):
        (home / folder.name).symlink_to(folder)
    environment = {
        **cluster,
        "MANYMODES_HOME": str(home),
        "CMDSTAN": str(tools.cmdstan.path),
    }
    save_posterior(closed_form(), tmp_path / "net")
    job = "manymodes sample net --chains 4 --warmup 50 --draws 20 --workers 1 --part $k/2 --out p$k"
    said = shell(
        f"for k in 1 2; do {job} > $k.log 2>&1 & pids+=($!); done; wait ${{pids[0]}} && "
        "wait ${pids[1]}; cat ?.log; manymodes merge p1 p2 --out run --no-modes",
        tmp_path,
        environment,
    )
    assert "Traceback" not in said
    assert "run: chains: n 4, draws 20" in said
    [built] = (home / "programs").iterdir()  # and nothing beside it
    assert {"compiled.json", "model", "model.so"} <= {path.name for path in built.iterdir()}


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["sample", "NET", "--part", "9/8"], "argument --part: 9/8 is no part"),
        (["sample", "NET", "--part", "one"], "argument --part: 'one' is not K/N"),
        (["sample", "NET", "--chains", "4", "--part", "1/8"], "cannot be dealt out to 8 parts"),
        (["sample", "NET", "--share-warmup", "2", "--part", "1/8"], "share_warmup: with --part"),
        (["evidence", "NET", "--part", "1/2"], "give --max-rounds 10 as --rounds is"),
        (
            ["evidence", "NET", "--engine", "nested", "--target-sd", "0.1", "--part", "1/2"],
            "leave --target-sd out",
        ),
        (["evidence", "NET", "--check", "--part", "1/2"], "--check with --part 1/2"),
        (["evidence", "NET", "--certify", "--part", "1/2"], "--certify with --part 1/2"),
        (["merge", "NET"], "holds no part of a run"),
        (["merge", "absent"], "absent: no such directory of a part"),
        (["merge", "NET", "--resume", "--overwrite"], "leave one of them out"),
    ],
)
def test_what_no_part_can_do_is_refused_in_one_line(
    normal: Posterior,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    command: list[str],
    said: str,
) -> None:
    save_posterior(closed_form(), tmp_path / "net")
    arguments = [str(tmp_path / "net") if one == "NET" else one for one in command]
    assert main([*arguments, "--out", str(tmp_path / "run")]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line for line in lines if "error" in line] == lines[-1:]
    assert said in lines[-1]
    assert not (tmp_path / "run").exists()


def test_merge_overwrites_its_own_files_only(
    normal: Posterior, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    net, out = tmp_path / "net", tmp_path / "run"
    save_posterior(closed_form(), net)
    parts = [str(tmp_path / f"p{k}") for k in (1, 2)]
    short = ["--chains", "4", "--warmup", "50", "--draws", "20", "--quiet"]
    for k, part in enumerate(parts, start=1):
        command = ["sample", str(net), *short, "--part", f"{k}/2", "--out", part, "--json"]
        assert main(command) == 0
        assert json.loads(capsys.readouterr().out)["posteriors"]["normal"]["chains"]["n"] == 2
    merge = ["merge", *parts, "--out", str(out), "--no-modes", "--quiet"]
    assert main(merge) == 0
    assert main(merge) == 2
    assert "continue them with --resume" in capsys.readouterr().err
    (out / "chains" / "notes.txt").write_text("mine")
    assert main([*merge, "--overwrite"]) == 0
    assert (out / "chains" / "notes.txt").read_text() == "mine"
    assert main(["merge", *parts, "--out", parts[0], "--overwrite"]) == 2
    assert "is one of the parts" in capsys.readouterr().err
    assert main(["compare", str(out), "--quiet"]) == 0
    assert mm.load(out).summary["posteriors"]["normal"]["chains"]["n"] == 4
