"""Files in one step: nothing half-written, whatever is written and whatever goes wrong."""

from __future__ import annotations

import errno
import itertools
import os
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from manymodes.cli.main import main
from manymodes.errors import InputError, ManymodesError, StorageError
from manymodes.results import run_directory
from manymodes.runtime import files
from manymodes.runtime.files import atomic, sweep_partials
from manymodes.runtime.storage import ensure_folder, held, write_arrays, write_json, write_text
from manymodes.tables.frames import read_frame, write_frame

TREE = xr.DataTree.from_dict({"posterior": xr.Dataset({"x": ("draw", np.arange(50.0))})})
TABLE = pd.DataFrame({"a": [1.5, 2.5], "b": ["x", "y"]})

WRITERS: dict[str, Callable[[Path], None]] = {
    "a.txt": lambda path: write_text(path, "text"),
    "a.json": lambda path: write_json(path, {"x": 1}),
    "a.npz": lambda path: write_arrays(path, {"x": np.arange(9.0)}),
    "a.nc": lambda path: run_directory._write_tree(TREE, path, "chains"),
    "a.csv": lambda path: write_frame(path, TABLE),
    "a.parquet": lambda path: write_frame(path, TABLE),
}


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("name", WRITERS)
def test_what_is_written_is_there_alone(tmp_path: Path, name: str) -> None:
    for _ in range(2):
        WRITERS[name](tmp_path / name)
        assert names(tmp_path) == [name]
    (tmp_path / "plain").write_text("")
    assert (tmp_path / name).stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
@pytest.mark.parametrize("name", WRITERS)
def test_a_full_disk_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, code: int
) -> None:
    (tmp_path / name).write_text("earlier")

    def full(handle: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match=f"{name} cannot be written: .*; make room"):
        WRITERS[name](tmp_path / name)
    assert names(tmp_path) == [name]
    assert (tmp_path / name).read_text() == "earlier"


@pytest.mark.parametrize("name", WRITERS)
def test_a_writer_that_fails_half_way_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """The partial file is a link to a device that is always full."""
    monkeypatch.setattr(files, "_counter", itertools.count(7))
    partial = tmp_path / f".{name}.{files._host()}-{os.getpid()}-7.partial"
    partial.symlink_to("/dev/full")
    with pytest.raises(ManymodesError, match=f"{name} cannot be written"):
        WRITERS[name](tmp_path / name)
    assert names(tmp_path) == []


@pytest.mark.parametrize("name", [name for name in WRITERS if name not in ("a.csv", "a.parquet")])
def test_a_folder_that_is_gone_is_one_line(tmp_path: Path, name: str) -> None:
    with pytest.raises(StorageError, match="is gone") as caught:
        WRITERS[name](tmp_path / "gone" / name)
    assert "\n" not in str(caught.value)


def test_a_path_that_cannot_be_is_the_users_to_mend(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "file" / "a", tmp_path / "folder", tmp_path / ("a" * 300)):
        with pytest.raises(InputError, match="cannot be written"):
            write_text(path, "text")
    with pytest.raises(InputError, match="it is a file"):
        ensure_folder(tmp_path / "file")
    with pytest.raises(InputError, match="cannot be written"), held(tmp_path, tmp_path / "folder"):
        pass
    assert names(tmp_path) == ["file", "folder"]


def test_threads_that_write_one_file_do_not_meet(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    failures: list[Exception] = []

    def write(number: int) -> None:
        try:
            for _ in range(20):
                write_json(path, {"x": [number] * 1000})
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert names(tmp_path) == ["a.json"]


def test_an_interrupted_writer_leaves_nothing(tmp_path: Path) -> None:
    def interrupted() -> None:
        with atomic(tmp_path / "a.txt") as partial:
            partial.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert names(tmp_path) == []


def test_partial_files_are_swept_when_nobody_writes_them_any_more(tmp_path: Path) -> None:
    host, other, dead = files._host(), "0" * 8, 2**22 + 1
    gone = (f".a.json.{dead}.partial", f".a.json.{host}-{dead}-0.partial")
    old = f".a.json.{other}-{os.getpid()}-3.partial"
    kept = (
        f".a.json.{host}-{os.getpid()}-1.partial",
        f".a.json.{other}-{dead}-1.partial",
        ".a.json.partial",
        "a.json.1.partial",
        ".mine.partial",
    )
    for name in (*gone, old, *kept):
        (tmp_path / name).write_text("")
    os.utime(tmp_path / old, (0, 0))
    sweep_partials(tmp_path, "b.json")
    assert len(names(tmp_path)) == len(gone) + 1 + len(kept)
    sweep_partials(tmp_path, "a.json")
    assert names(tmp_path) == sorted(kept)
    sweep_partials(tmp_path / "absent")


# ---------------------------------------------------------------- the command line


def test_commands_do_not_write_over_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("t.csv").write_text("a,y\n" + "".join(f"{i},{i % 2}\n" for i in range(12)))
    network = ["network", "t.csv", "--target", "y", "--out", "net", "--holdout", "0.2"]
    audit = ["audit", "--inputs", "1", "--constraint", "none", "--orbits", "2", "--figure", "a.png"]
    for command, written in ((network, "net/data.json"), (audit, "a.png")):
        assert main(command) == 0
        before = Path(written).stat().st_mtime_ns
        assert main(command) == 2
        said = capsys.readouterr().err
        assert said.count("\n") == 1
        assert "--overwrite" in said
        assert Path(written).stat().st_mtime_ns == before
        assert main([*command, "--overwrite"]) == 0
        assert Path(written).stat().st_mtime_ns != before
    assert "manymodes: error" not in capsys.readouterr().err


def test_a_full_disk_is_the_exit_status_of_a_run_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("t.csv").write_text("a,y\n1,0\n2,1\n3,0\n4,1\n")

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert main(["network", "t.csv", "--target", "y", "--out", "net"]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "No space left on device" in said
    assert names(tmp_path / "net") == [".lock"]


@pytest.mark.parametrize("out", ["", " "])
def test_an_empty_name_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], out: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.csv").write_text("a,y\n1,0\n2,1\n")
    for command in (
        ["network", "t.csv", "--target", "y"],
        ["sample", "net"],
        ["evidence", "net"],
        ["study", "xor"],
        ["compare", "a", "b"],
        ["export", "a", "--to", "polychord"],
        ["predict", "a", "t.csv"],
    ):
        assert main([*command, "--out", out, *["--overwrite"]]) == 2
        said = capsys.readouterr().err
        assert said.count("\n") == 1
        assert "it is empty" in said
    assert names(tmp_path) == ["t.csv"]


def test_a_tilde_is_the_home_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    (tmp_path / "t.csv").write_text("a,y\n1,0\n2,1\n")
    assert main(["network", "t.csv", "--target", "y", "--out", "~"]) == 2
    assert main(["network", "t.csv", "--target", "y", "--out=~/net"]) == 0
    assert (tmp_path / "home" / "net" / "model.stan").is_file()
    assert names(tmp_path) == ["home", "t.csv"]


def test_a_table_that_is_written_is_read_as_it_was(tmp_path: Path) -> None:
    data = pd.DataFrame({"=name": ["=1+1", "-1.5", "'quoted", "'=1", "@x", "-", "+2e3", "-inf"]})
    write_frame(tmp_path / "a.csv", data)
    found = read_frame(tmp_path / "a.csv").data
    assert found.to_dict("list") == data.to_dict("list")
    lines = (tmp_path / "a.csv").read_text().splitlines()
    assert lines == ["'=name", "'=1+1", "-1.5", "'quoted", "''=1", "'@x", "'-", "+2e3", "-inf"]
