"""Where each part of the toolchain is found, what wins, and how broken ones are reported."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

from manymodes import toolchain
from manymodes.errors import ToolchainError
from manymodes.toolchain import discovery, polychord
from manymodes.toolchain.paths import Installed

CLIENT = metadata.version("bridgestan")


@pytest.fixture(autouse=True)
def bare_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nothing is installed: no variables, an empty home, no importable pypolychord."""
    for variable in ("CMDSTAN", "BRIDGESTAN", "TBB_LIB", "CXX", "MAKE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    monkeypatch.setenv("MANYMODES_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(
        "bridgestan.download.CURRENT_BRIDGESTAN", tmp_path / "user" / f"bridgestan-{CLIENT}"
    )
    monkeypatch.setattr(discovery, "_importable", lambda package: [])
    return tmp_path


def fake_cmdstan(folder: Path, version: str = "2.36.0") -> Path:
    for path in ("bin/stanc", "src/cmdstan/main.cpp", "stan/lib/stan_math/lib/tbb/libtbb.so.2"):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).touch()
    (folder / "bin/stanc").chmod(0o755)
    (folder / "makefile").write_text(f"STAN ?= stan/\nCMDSTAN_VERSION := {version}\n")
    return folder


def fake_polychord(package: Path, library: str = "lib/libchord.so", needs: bytes = b"") -> Path:
    path = package / library
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\x7fELF polychord_c_interface\0" + needs)
    return path


def set_up(part: str, version: str, source: str = "index") -> Path:
    mark = Installed(part, version, source)  # type: ignore[arg-type]
    mark.folder.mkdir(parents=True)
    mark.write(mark.folder)
    return mark.folder


# ----------------------------------------------------------------------------- nothing installed


def test_bare_machine_lacks_all_but_the_shipped_bridge() -> None:
    found = toolchain.find()
    assert (found.cmdstan.source, found.cmdstan.ok) == ("missing", False)
    assert (found.polychord.source, found.polychord.ok) == ("missing", False)
    assert (found.bridge.source, found.bridge.ok) == ("manymodes", True)
    assert found.bridge.path == toolchain.stan_dir() / "bridge"
    assert found.bridge.version is not None
    assert found.bridge.version.split(".")[0] == CLIENT.split(".")[0]


def test_find_writes_nothing(bare_machine: Path) -> None:
    toolchain.find()
    assert list(bare_machine.iterdir()) == []


def test_require_names_what_is_missing_and_the_remedy() -> None:
    with pytest.raises(ToolchainError, match=r"^CmdStan: not found; run `manymodes setup`$"):
        toolchain.require("cmdstan")
    with pytest.raises(ToolchainError, match=r"^PolyChord: not found"):
        toolchain.require("polychord")
    with pytest.raises(ToolchainError, match=r"^CmdStan"):
        toolchain.require("bridge")  # the shipped home builds on CmdStan
    assert toolchain.require("compiler").compiler.ok
    with pytest.raises(ValueError, match="no such component: stan"):
        toolchain.require("stan")


# --------------------------------------------------------------------------------------- CmdStan


def test_cmdstan_precedence(bare_machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_cmdstan(set_up("cmdstan", "2.27.0"), "2.27.0")
    assert toolchain.find().cmdstan.source == "index"
    fake_cmdstan(set_up("cmdstan", "2.30.0", "github"), "2.30.0")
    assert (toolchain.find().cmdstan.source, toolchain.find().cmdstan.version) == (
        "github",
        "2.30.0",
    )
    fake_cmdstan(bare_machine / "user/.cmdstan/cmdstan-2.28.0", "2.28.0")
    fake_cmdstan(bare_machine / "user/.cmdstan/cmdstan-2.29.0", "2.29.0")
    assert (toolchain.find().cmdstan.source, toolchain.find().cmdstan.version) == (
        "cmdstanpy",
        "2.29.0",
    )
    named = fake_cmdstan(bare_machine / "elsewhere", "2.36.0")
    monkeypatch.setenv("CMDSTAN", str(named))
    found = toolchain.find().cmdstan
    assert (found.source, found.version, found.path) == ("environment", "2.36.0", named)


def test_variable_set_by_cmdstanpy_is_not_the_users_word(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = fake_cmdstan(set_up("cmdstan", "2.27.0"), "2.27.0")
    monkeypatch.setenv("CMDSTAN", str(ours))
    assert toolchain.find().cmdstan.source == "index"


def test_unmarked_folder_is_not_believed() -> None:
    fake_cmdstan(toolchain.home() / "cmdstan-2.27.0")
    assert toolchain.find().cmdstan.source == "missing"
    (toolchain.home() / "cmdstan-2.27.0" / ".manymodes.json").write_text('{"part": "cmd')
    assert toolchain.find().cmdstan.source == "missing"


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (lambda it: shutil.rmtree(it), "is not a directory"),
        (lambda it: (it / "makefile").unlink(), "no makefile of CmdStan"),
        (lambda it: (it / "makefile").write_text("all:\n"), "no makefile of CmdStan"),
        (lambda it: fake_cmdstan(it, "2.26.1"), "version 2.26.1 is older than 2.27"),
        (lambda it: (it / "bin/stanc").unlink(), "not been built: no bin/stanc"),
        (lambda it: (it / "bin/stanc").chmod(0o644), "not been built: no bin/stanc"),
        (lambda it: shutil.rmtree(it / "src"), "is incomplete"),
        (lambda it: shutil.rmtree(it / "stan"), "not been built: no TBB library"),
    ],
)
def test_broken_cmdstan_in_the_environment_is_refused_by_name(
    bare_machine: Path, monkeypatch: pytest.MonkeyPatch, spoil: object, problem: str
) -> None:
    fake_cmdstan(set_up("cmdstan", "2.27.0"))  # a good one further on must not hide it
    named = fake_cmdstan(bare_machine / "elsewhere")
    monkeypatch.setenv("CMDSTAN", str(named))
    assert toolchain.find().cmdstan.ok
    spoil(named)  # type: ignore[operator]
    found = toolchain.find().cmdstan
    assert (found.source, found.ok) == ("environment", False)
    assert found.problem.startswith("CMDSTAN is set, but")
    assert problem in found.problem
    assert found.remedy == "correct or unset CMDSTAN"


def test_broken_cmdstan_elsewhere_is_passed_over_with_a_note(bare_machine: Path) -> None:
    broken = fake_cmdstan(bare_machine / "user/.cmdstan/cmdstan-2.36.0")
    (broken / "bin/stanc").unlink()
    assert toolchain.find().cmdstan.source == "cmdstanpy"
    assert not toolchain.find().cmdstan.ok
    fake_cmdstan(set_up("cmdstan", "2.27.0"), "2.27.0")
    found = toolchain.find().cmdstan
    assert (found.source, found.ok) == ("index", True)
    assert any(str(broken) in note for note in found.notes)


def test_tbb_from_elsewhere_is_accepted(
    bare_machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = fake_cmdstan(bare_machine / "elsewhere")
    shutil.rmtree(named / "stan")
    (named / "make").mkdir()
    (named / "make/local").write_text("TBB_LIB=/some/where\n")
    monkeypatch.setenv("CMDSTAN", str(named))
    assert toolchain.find().cmdstan.ok


# ------------------------------------------------------------------------------------ BridgeStan


def test_bridge_precedence(bare_machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (set_up("bridgestan", CLIENT, "github") / "Makefile").touch()
    assert toolchain.find().bridge.source == "github"
    official = bare_machine / "user" / f"bridgestan-{CLIENT}"
    official.mkdir(parents=True)
    assert toolchain.find().bridge.source == "github"  # half-unpacked: passed over
    (official / "Makefile").touch()
    assert toolchain.find().bridge.source == "installed"
    named = bare_machine / "named"
    monkeypatch.setenv("BRIDGESTAN", str(named))
    found = toolchain.find().bridge
    assert (found.ok, found.remedy) == (False, "correct or unset BRIDGESTAN")
    (named / "src").mkdir(parents=True)
    (named / "Makefile").touch()
    (named / "src/version.hpp").write_text(
        "#define BRIDGESTAN_MAJOR 2\n#define BRIDGESTAN_MINOR 99\n#define BRIDGESTAN_PATCH 2\n"
    )
    found = toolchain.find().bridge
    assert (found.source, found.version, found.ok) == ("environment", "2.99.2", True)
    assert any("differs" in note for note in found.notes)
    monkeypatch.setenv("BRIDGESTAN", str(toolchain.stan_dir() / "bridge"))
    assert toolchain.find().bridge.source == "manymodes"


# ------------------------------------------------------------------------------------- PolyChord


def with_pypolychord(
    monkeypatch: pytest.MonkeyPatch, package: Path, version: str | None = "1.22.1"
) -> None:
    monkeypatch.setattr(discovery, "_importable", lambda name: [package])
    monkeypatch.setattr(discovery, "_distribution_version", lambda name: version)


def test_pypolychord_is_preferred_and_described(
    bare_machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = set_up("polychord", "1.15.1") / "pypolychord"
    wheel = fake_polychord(ours, "libs_pypolychord/libchord-5b9c.so")
    gfortran = wheel.with_name("libgfortran-ed20.so.3.0.0")
    gfortran.touch()
    library = toolchain.polychord_library(toolchain.find())
    assert library == toolchain.PolyChordLibrary(wheel, (gfortran,), "1.15.1", False, False)

    package = bare_machine / "site/pypolychord"
    built = fake_polychord(package, needs=b"libmpi.so.40\0")
    with_pypolychord(monkeypatch, package)
    found = toolchain.find()
    assert (found.polychord.source, found.polychord.version) == ("installed", "1.22.1")
    library = toolchain.polychord_library(found)
    assert library == toolchain.PolyChordLibrary(built, (), "1.22.1", True, True)


@pytest.mark.parametrize(
    ("version", "newer"), [("1.18", False), ("1.20", True), ("1.9.3", False), ("2.0", True)]
)
def test_argument_list_by_version(
    bare_machine: Path, monkeypatch: pytest.MonkeyPatch, version: str, newer: bool
) -> None:
    fake_polychord(bare_machine / "pypolychord")
    with_pypolychord(monkeypatch, bare_machine / "pypolychord", version)
    assert toolchain.polychord_library(toolchain.find()).newer_interface is newer


def test_the_mpi_wheel_never_wins(bare_machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = bare_machine / "pypolychord"
    library = fake_polychord(package, "libs_pypolychord/libchord-1.so", b"libmpi-2.so\0")
    library.with_name("libmpi-2.so").touch()
    with_pypolychord(monkeypatch, package, "1.15.1")
    assert "its own MPI" in toolchain.find().polychord.problem
    with pytest.raises(ToolchainError, match="its own MPI"):
        toolchain.polychord_library(toolchain.find())
    fake_polychord(set_up("polychord", "1.15.1") / "pypolychord")
    found = toolchain.find().polychord
    assert (found.source, found.ok) == ("index", True)
    assert any("its own MPI" in note for note in found.notes)


def test_broken_pypolychord_is_reported(
    bare_machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = bare_machine / "pypolychord"
    with_pypolychord(monkeypatch, package)
    assert toolchain.find().polychord.problem.endswith("has no libchord")
    fake_polychord(package).write_bytes(b"\x7fELF")
    assert toolchain.find().polychord.problem.endswith("has no C interface")
    fake_polychord(package)
    with_pypolychord(monkeypatch, package, None)
    assert toolchain.find().polychord.problem.endswith("does not state its version")


def test_pypolychord_is_looked_for_without_importing(
    bare_machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    package = bare_machine / "pypolychord_trap"
    package.mkdir()
    (package / "__init__.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(str(bare_machine))
    assert discovery._importable("pypolychord_trap") == [package]
    assert "pypolychord_trap" not in sys.modules
    assert discovery._importable("no_such_package_anywhere") == []


@pytest.mark.parametrize(
    ("libc", "needs"),
    [
        (("glibc", "2.36"), False),
        (("glibc", "2.41"), True),
        (("glibc", "2.100"), True),
        (("musl", "2.50"), False),
    ],
)
def test_note_on_executable_stacks(
    monkeypatch: pytest.MonkeyPatch, libc: tuple[str, str], needs: bool
) -> None:
    monkeypatch.setattr("platform.libc_ver", lambda: libc)
    assert ("GLIBC_TUNABLES=glibc.rtld.execstack=2" in polychord.glibc_note()) is needs


# ----------------------------------------------------------------------------- compiler and doctor


def test_missing_compiler_is_named(bare_machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(bare_machine))
    found = toolchain.find().compiler
    assert (found.ok, found.source) == (False, "missing")
    assert found.problem == "g++ and make not found on PATH"
    monkeypatch.setenv("CXX", "no-such-g++ -O1")
    assert toolchain.find().compiler.problem.startswith("no-such-g++")


@pytest.mark.toolchain  # of which the compiler
def test_deep_doctor_compiles(bare_machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiler = toolchain.doctor(deep=True).compiler
    assert compiler.ok
    assert compiler.version is not None
    useless = bare_machine / "g++"
    useless.write_text("#!/bin/sh\necho 'fatal error: no headers' >&2; exit 1\n")
    useless.chmod(0o755)
    monkeypatch.setenv("PATH", f"{bare_machine}{os.pathsep}{os.environ['PATH']}")
    compiler = toolchain.doctor(deep=True).compiler
    assert not compiler.ok
    assert compiler.problem.endswith("fatal error: no headers")
    assert toolchain.doctor().compiler.ok  # the quick look goes by the name


def test_render_and_json_agree_with_what_was_found(
    bare_machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_polychord(set_up("polychord", "1.15.1") / "pypolychord")
    monkeypatch.setenv("CMDSTAN", "/nowhere")
    found = toolchain.find()
    shown = json.loads(json.dumps(found.as_dict()))
    assert {"cmdstan", "bridge", "polychord"} <= shown.keys()
    assert shown["polychord"]["version"] == "1.15.1"
    assert shown["polychord"]["source"] == "index"
    assert shown["polychord"]["ok"] is True
    assert Path(shown["polychord"]["path"]).name == "libchord.so"
    assert shown["cmdstan"]["problem"] == "CMDSTAN is set, but /nowhere is not a directory"
    text = toolchain.render(found)
    for component in found.components:
        assert component.problem in text
        assert str(component.path) in text
    assert "→ correct or unset CMDSTAN" in text
    assert "free for academic use" in text
    assert str(toolchain.home()) in text


# ----------------------------------------------------------------------------------------- paths


def test_home_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MANYMODES_HOME", "below")
    assert toolchain.home() == tmp_path / "below"
    monkeypatch.setenv("MANYMODES_HOME", "~/here")
    assert toolchain.home() == Path("~/here").expanduser()
    monkeypatch.delenv("MANYMODES_HOME")
    assert toolchain.home().name == "manymodes"
    assert toolchain.home().is_relative_to(Path.home())


def test_stan_dir_in_both_forms(bare_machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (toolchain.stan_dir() / "bridge" / "Makefile").is_file()
    package = bare_machine / "site-packages/manymodes"  # as a wheel lays it out
    (package / "stan/models").mkdir(parents=True)
    monkeypatch.setattr("manymodes.runtime.stan_files._PACKAGE", package)
    assert toolchain.stan_dir() == package / "stan"


def test_the_wheel_carries_what_stan_dir_expects() -> None:
    root = Path(__file__).parents[2]
    project = tomllib.loads((root / "pyproject.toml").read_text())
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel["sources"]["python/manymodes"] == "manymodes"
    assert wheel["sources"]["stan"] == "manymodes/stan"
    assert set(wheel["only-include"]) == set(wheel["sources"])
    assert wheel["dev-mode-dirs"] == ["python"]  # an editable install copies no stan/
