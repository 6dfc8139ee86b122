"""The command line as a process: one line for every error, streams that are closed, its options."""

from __future__ import annotations

import argparse
import errno
import io
import json
import logging
import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conftest import closed_form, needs_tools
from manymodes.cli import incidents
from manymodes.cli import main as command_line
from manymodes.cli.arguments import Parser, whole
from manymodes.cli.main import main
from manymodes.errors import EngineError, InputError, StorageError, ThreadsWarning
from manymodes.results.run_directory import save_posterior
from manymodes.runtime import warning_log
from manymodes.runtime.executors import dask_executor
from manymodes.runtime.room import check_room
from manymodes.sampling.chains.nuts_settings import NutsSettings
from manymodes.sampling.chains.settings import ChainSettings

AUDIT = ["audit", "--inputs", "2", "--hidden", "2", "--orbits", "20"]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory of manymodes of its own."""
    monkeypatch.setenv("MANYMODES_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def raising(monkeypatch: pytest.MonkeyPatch, error: BaseException, command: str = "audit") -> None:
    """Let a command raise an error."""

    def fail(_: argparse.Namespace) -> int:
        raise error

    monkeypatch.setitem(command_line._COMMANDS, command, fail)


def caused(error: BaseException, cause: BaseException) -> BaseException:
    error.__cause__ = cause
    return error


FULL = OSError(errno.ENOSPC, "No space left on device", "/disk/file")


# ---------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (TypeError("one\ntwo"), "TypeError: one two"),
        (MemoryError(), "not enough memory"),
        (np.linalg.LinAlgError("singular"), "LinAlgError: singular"),
        (RecursionError("too deep"), "RecursionError: too deep"),
        (UnicodeEncodeError("ascii", "\u00b1", 0, 1, "no"), "UnicodeEncodeError"),
        (KeyError("name"), "KeyError: 'name'"),
        (AssertionError(), "AssertionError"),
        (FULL, "No space left on device: /disk/file"),
        (PermissionError(errno.EACCES, "Permission denied"), "Permission denied"),
        (ExceptionGroup("several", [ValueError("x")]), "several (1 sub-exception)"),
        (ValueError("w" * 10_000), "ValueError: www"),
    ],
)
def test_an_unexpected_error_is_one_line_and_its_traceback_a_file(
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: Exception,
    said: str,
) -> None:
    raising(monkeypatch, error)
    for count in (1, 2):  # the second overwrites nothing
        assert main([*AUDIT, "--json"]) == 1
        out, err = capsys.readouterr()
        assert out == ""
        assert len(err.splitlines()) == 1
        assert len(err) < 1000
        assert said in err
        kept = sorted((home / "logs").glob("traceback-*.txt"))
        assert len(kept) == count
        assert any(str(path) in err for path in kept)
    text = kept[0].read_text(encoding="utf-8")
    assert "Traceback (most recent call last)" in text
    assert type(error).__name__ in text


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (InputError("x"), 2),
        (EngineError("x\ny"), 1),
        (StorageError("x"), 1),
        (caused(InputError("x cannot be written"), FULL), 1),
        (caused(InputError("x"), PermissionError(errno.EACCES, "no")), 2),
        (KeyboardInterrupt(), 130),
        (BrokenPipeError(), 1),
    ],
)
def test_an_error_raised_on_purpose_has_its_status_and_no_traceback(
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    status: int,
) -> None:
    raising(monkeypatch, error)
    monkeypatch.setattr(command_line, "abandon_output", lambda: None)
    assert main(AUDIT) == status
    assert len(capsys.readouterr().err.splitlines()) == (not isinstance(error, BrokenPipeError))
    assert not (home / "logs").exists()


def test_a_traceback_is_kept_with_the_run(
    home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    save_posterior(closed_form(), tmp_path / "run" / "posterior")
    for command, arguments in (
        ("compare", ["compare", str(tmp_path / "run")]),
        ("sample", ["sample", "net", "--out", str(tmp_path / "run")]),
        ("predict", ["predict", str(tmp_path / "run"), "t.csv", "--out", "p.csv"]),
    ):
        raising(monkeypatch, RuntimeError("broken"), command)
        assert main(arguments) == 1
        assert f"(the traceback is in {tmp_path / 'run' / 'traceback-'}" in capsys.readouterr().err
    assert len(list((tmp_path / "run").glob("traceback-*.txt"))) == 3
    assert main(["predict", str(tmp_path / "new"), "t.csv"]) == 1
    assert str(home / "logs") in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_a_traceback_goes_where_it_can(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MANYMODES_HOME", str(tmp_path / "file" / "home"))
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path / "temporary"))
    path = incidents.keep_traceback(ValueError("x"), [tmp_path / "file" / "below"])
    assert path is not None
    assert path.parent == tmp_path / "temporary"
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path / "file"))
    assert incidents.keep_traceback(ValueError("x"), []) is None
    assert incidents.unexpected(ValueError("x"), []) == "ValueError: x"


def test_a_traceback_is_shown_on_demand(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    raising(monkeypatch, InputError("wrong"))
    for value, shown in (("1", True), ("0", False), ("", False)):
        monkeypatch.setenv(incidents.VARIABLE, value)
        assert main(AUDIT) == 2
        assert ("Traceback" in capsys.readouterr().err) is shown


# ---------------------------------------------------------------- warnings


def test_foreign_warnings_go_to_a_file(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def warn(_: argparse.Namespace) -> int:
        warnings.warn("invalid value", RuntimeWarning, stacklevel=1)
        logging.getLogger("matplotlib").warning("no font %s", "found")
        for _ in range(2):
            warnings.warn("too many threads", ThreadsWarning, stacklevel=1)
        return 0

    monkeypatch.setitem(command_line._COMMANDS, "audit", warn)
    before = warnings.showwarning, logging.getLogger().handlers[:]
    assert main(AUDIT) == 0
    assert capsys.readouterr() == ("", "manymodes: caution: too many threads\n")
    assert (warnings.showwarning, logging.getLogger().handlers[:]) == before
    kept = (home / "logs" / "warnings.log").read_text(encoding="utf-8")
    assert "RuntimeWarning: invalid value" in kept
    assert "matplotlib: no font found" in kept
    assert "too many threads" not in kept


def test_a_worker_shows_no_foreign_warnings(tmp_path: Path) -> None:
    """With the file of its command it writes them there; with none it drops them."""
    program = (
        "import warnings; from manymodes.runtime.warning_log import begin_in_worker\n"
        "begin_in_worker(); begin_in_worker()\n"
        "warnings.warn('overflow', RuntimeWarning)\n"
        "from manymodes.errors import KernelWarning; warnings.warn('slow', KernelWarning)\n"
    )
    for named in (str(tmp_path / "w.log"), ""):
        environment = {**os.environ, warning_log.VARIABLE: named}
        done = subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True, text=True
        )
        assert (done.stdout, done.stderr) == ("", "manymodes: caution: slow\n")
    assert (tmp_path / "w.log").read_text().count("RuntimeWarning: overflow") == 1


# ---------------------------------------------------------------- streams


def command(arguments: list[str], shell: str, **environment: str) -> Any:
    """Run the command line in a shell that closes or redirects its streams."""
    program = f'"$0" -m manymodes "$@" {shell}'
    return subprocess.run(
        ["bash", "-c", f"set -o pipefail; {program}", sys.executable, *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize(
    ("arguments", "shell", "status", "out", "err"),
    [
        (["study"], "2>&-", 0, "xor ", ""),
        (["bogus"], "2>&-", 2, "", ""),
        (["study"], ">&- <&-", 0, "", ""),
        (["study"], ">&- 2>&- <&-", 0, "", ""),
        (["study"], "| true", 1, "", ""),
        (
            ["study"],
            "> /dev/full",
            1,
            "",
            "manymodes: error: ",
        ),
        (["bogus"], "2> /dev/full", 2, "", ""),
        (["sample", "--help"], "| true", 0, "", ""),
    ],
)
def test_streams_that_are_closed(
    arguments: list[str], shell: str, status: int, out: str, err: str
) -> None:
    """Nothing of one stream gets into another, and there is no traceback."""
    done = command(arguments, shell)
    assert done.returncode == status
    assert done.stdout.startswith(out)
    assert done.stderr.startswith(err)
    assert bool(done.stdout) is bool(out)
    assert len(done.stderr.splitlines()) == bool(err)


def test_an_output_that_knows_ascii_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It shows what it can; files are UTF-8; and it is left as it was."""
    (tmp_path / "t.csv").write_text("a,y\n1,\u00e4\n2,\u00df\n", encoding="utf-8")
    arguments = ["network", str(tmp_path / "t.csv"), "--target", "y", "--out"]
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr("sys.stdout", stream)
    assert main([*arguments, str(tmp_path / "net")]) == 0
    assert stream.errors == "strict"
    said = stream.buffer.getvalue().decode("ascii")  # type: ignore[attr-defined]
    assert "class 1 is '\\xe4', class 0 is '\\xdf'" in said
    kept = json.loads((tmp_path / "net" / "table.json").read_text(encoding="utf-8"))
    assert kept["target"]["classes"] == ["\u00df", "\u00e4"]


def test_what_stands_for_characters_that_cannot_be_shown() -> None:
    for text, shown in (
        ("1.2 \u00b1 0.3", "1.2 +- 0.3"),
        ("a \u2192 b \u2212 c", "a -> b - c"),
        ("\u00e4\udce4", "\\xe4\\udce4"),
    ):
        stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii", errors="manymodes")
        stream.write(text)
        stream.flush()
        assert stream.buffer.getvalue() == shown.encode("ascii")  # type: ignore[attr-defined]


# ---------------------------------------------------------------- options


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["sampel"], "did you mean 'sample'?"),
        (["evidnce", "N"], "did you mean 'evidence'?"),
        (["--verison"], "unrecognized arguments: --verison: did you mean '--version'?"),
        (["sample", "N", "--out", "o", "--chian", "4"], "did you mean '--chains'?"),
        (["sample", "N", "--oot", "o"], "did you mean '--out'?"),
        (["sample", "N", "--out", "o", "--chain", "4"], "unrecognized arguments: --chain"),
        (["sample", "N", "--out", "o", "--xyzzy"], "unrecognized arguments: --xyzzy (see"),
        (["sample", "N", "--out", "o", "--seed", "1", "--seed", "2"], "twice, as 1 and 2"),
        (["audit", "--inputs", "2", "--hidden", "2", "--hidden", "3", "4"], "as 2 and 3 4"),
        (["predict", "R", "T", "--weights", "stackng"], "did you mean 'stacking'?"),
        (["study", "xro", "--out", "o"], "did you mean 'xor'?"),
        (["study", "--out", "o"], "study: which one? xor, xor-seeds, xor-gains, cauchy"),
        (["study", "xor-seeds", "--out", "o", "--draws", "9"], "has no --draws"),
        (["study", "xor-seeds", "--out", "o", "--adapt-delta", "0.9"], "has no --adapt-delta"),
        (["study", "xor-gains", "--out", "o", "--nlive", "9"], "has no --nlive"),
        (["study", "digits", "--out", "o", "--nlive", "9"], "has no --nlive"),
        (["study", "xor", "--out", "o", "--resume", "--overwrite"], "leave one of them out"),
        (["sample", "N", "--out", "o", "--resume", "--overwrite"], "leave one of them out"),
        (["sample", "N", "--out", "o", "--no-kernel", "--threads-per-chain", "2"], "the kernel"),
        (["sample", "N", "--out", "o", "--seed", "1e3"], "1e3 is not a whole number, 0 or more"),
        (["sample", "N", "--out", "o", "--seed", str(2**63)], f"too large: {2**63 - 1} at most"),
        (["sample", "N", "--out", "o", "--draws", "1000000000000"], "2147483647 at most"),
        (["sample", "N", "--out", "o", "--chains", "1000000000000"], "1000000 at most"),
        (["sample", "N", "--out", "o", "--workers", "1000000"], "4096 at most"),
        (["sample", "N", "--out", "o", "--threads-per-chain", "9" * 5000], "is not a whole"),
        (["sample", "N", "--out", "o", "--warmup", "-1"], "warmup: -1 is not 0 or more"),
        (["sample", "N", "--out", "o", "--max-treedepth", "99"], "60 at most"),
        (["sample", "N", "--out", "o", "--time-limit", "nan"], "time_limit: nan is not a"),
        (["sample", "N", "--out", "o", "--time-limit", "-inf"], "time_limit: -inf is not a"),
        (["sample", "N", "--out", "o", "--time-limit", "inf"], "time_limit: inf is not a"),
        (["sample", "N", "--out", "o", "--time-limit", "1e30"], "up to 1e+09"),
        (["sample", "N", "--out", "o", "--time-limit", "0"], "time_limit: 0.0 is not a"),
        (["evidence", "N", "--out", "o", "--nlive", "1000000000000"], "2147483647 at most"),
        (["evidence", "N", "--out", "o", "--nlive", "-5"], "nlive: -5 is not 10 or more"),
        (["evidence", "N", "--out", "o", "--runs", "1000000000"], "10000 at most"),
    ],
)
def test_options_that_are_wrong_are_told_in_one_line(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    assert said in err


def test_a_parser_reads_what_is_right() -> None:
    parser = Parser(prog="p")
    parser.add_argument("files", nargs="+")
    parser.add_argument("--level", type=whole(None))
    parser.add_argument("--name", action="append")
    parser.add_argument("--how")
    found = parser.parse_args(["a", "b", "--level", "-3", "--name", "x", "--name", "y"])
    assert (found.files, found.level, found.name) == (["a", "b"], -3, ["x", "y"])
    assert parser.parse_args(["a", "--how", "-1e3"]).how == "-1e3"
    assert parser.parse_args(["--", "--not-an-option"]).files == ["--not-an-option"]


def test_an_option_of_another_likelihood_is_refused(tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "t.csv").write_text("a,y\n1,0\n2,1\n")
    arguments = ["network", str(tmp_path / "t.csv"), "--target", "y", "--sigma-scale", "2"]
    assert main([*arguments, "--out", str(tmp_path / "net")]) == 2
    said = capsys.readouterr().err
    assert "--sigma-scale is for the likelihoods normal, student, negative-binomial, not" in said


def test_columns_of_repeated_options_add_up(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b,c,y\n" + "u,v,1,0\nw,x,2,1\n" * 3)
    arguments = ["network", str(tmp_path / "t.csv"), "--target", "y", "--quiet"]
    columns = ["--categorical", "a", "--categorical", "b", "--ignore", "c"]
    assert main([*arguments, *columns, "--out", str(tmp_path / "net")]) == 0
    kept = json.loads((tmp_path / "net" / "table.json").read_text())
    assert [column["name"] for column in kept["columns"]] == ["a", "b"]


# ---------------------------------------------------------------- room, and where to


@needs_tools
def test_draws_that_fit_nowhere_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    posterior = closed_form()
    run = ChainSettings(chains=10**6, seed=1, nuts=NutsSettings(draws=2**31 - 1))
    with pytest.raises(InputError, match=r"1000000 chains of 2147483647 draws of 1 parameters"):
        run.check_room(posterior, None)
    ChainSettings(chains=4, seed=1, nuts=NutsSettings()).check_room(posterior, tmp_path / "new")
    monkeypatch.setattr("shutil.disk_usage", lambda _: argparse.Namespace(free=100))
    check_room(12, "they", tmp_path / "not" / "yet" / "there")
    with pytest.raises(InputError, match=r"they take at least 104 bytes, and .* has 100 bytes"):
        check_room(13, "they", tmp_path / "not" / "yet" / "there")


@pytest.mark.parametrize(
    "address",
    [
        "",
        "tcp://",
        "host:port",
        "127.0.0.1:99999",
        "http://127.0.0.1:8787",
        "a b:1",
        "u@127.0.0.1:1",
        "tcp://127.0.0.1:8786/status",
        "::::",
        "w" * 300,
        "no-such-host.invalid:8786",
    ],
)
def test_an_address_that_is_none_is_told_at_once(address: str) -> None:
    pytest.importorskip("distributed")
    with pytest.raises(InputError, match=r"^dask: ") as caught, dask_executor(address):
        pass
    assert str(caught.value).isprintable()
