"""A part is "ok" when it was seen to work: real libraries and programs that fail in many ways."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import pytest

from bridge_support import copy_of
from manymodes import toolchain
from manymodes.cli import main
from manymodes.errors import ToolchainError
from manymodes.toolchain import discovery, elf, install, polychord, trial
from manymodes.toolchain.components import Component
from manymodes.toolchain.paths import Installed

CLIENT = metadata.version("bridgestan")
MAJOR, MINOR = (int(part) for part in CLIENT.split(".")[:2])
INTERFACE = 'void polychord_c_interface(void) {}\nconst char* said = "(\\"  version: 1.22.2\\")";\n'
LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="ELF libraries")
pytestmark = [LINUX, pytest.mark.toolchain]  # of which the compiler


@pytest.fixture(scope="session")
def cmdstan() -> Path:
    path = toolchain.require("cmdstan").cmdstan.path
    assert path is not None
    return path


@pytest.fixture
def machine(tmp_path: Path, cmdstan: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A machine on which nothing is installed."""
    for variable in ("CMDSTAN", "BRIDGESTAN", "TBB_LIB", "CXX", "MAKE", "LD_LIBRARY_PATH"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    monkeypatch.setenv("MANYMODES_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("bridgestan.download.CURRENT_BRIDGESTAN", tmp_path / "user/bridgestan")
    monkeypatch.setattr(discovery, "_importable", lambda package: [])
    return monkeypatch


def library(path: Path, code: str, *flags: str) -> Path:
    """Compile a shared library."""
    path.parent.mkdir(parents=True, exist_ok=True)
    source = path.with_suffix(".c")
    source.write_text(code)
    command = ["gcc", "-shared", "-fPIC", "-o", str(path), str(source), *flags]
    subprocess.run(command, check=True)
    return path


def with_polychord(machine: pytest.MonkeyPatch, package: Path) -> Component:
    """Make a package importable and have the doctor look at it."""
    package.mkdir(parents=True, exist_ok=True)
    machine.setattr(discovery, "_importable", lambda name: [package])
    return toolchain.doctor(deep=True).polychord


# ------------------------------------------------------------------------------------- PolyChord


def fake_mpi_build(site: Path, listed: str) -> tuple[Path, Path]:
    """Build what PolyChord with Open MPI is: only its extension module lists ``listed``."""
    helper = library(
        site / "own" / listed, "int helper(void) { return 1; }", f"-Wl,-soname,{listed}"
    )
    uses = f"int helper(void);\n{INTERFACE}int use(void) {{ return helper(); }}"
    built = library(site / "pypolychord/lib/libchord.so", uses, "-Wl,-soname,libchord.so")
    links = ["-Wl,--no-as-needed", str(built), str(helper), "-Wl,-rpath,$ORIGIN/own"]
    library(site / "_pypolychord.cpython-39-x86_64-linux-gnu.so", "int module;", *links)
    return built, helper


@pytest.mark.parametrize("listed", ["libmpi_cxx.so.40", "libhelper.so.1"])
def test_what_only_the_extension_module_lists_is_preloaded(
    machine: pytest.MonkeyPatch, tmp_path: Path, listed: str
) -> None:
    built, helper = fake_mpi_build(tmp_path / "site", listed)
    found = with_polychord(machine, built.parents[1])
    assert (found.ok, found.version, found.source) == (True, "1.22.2", "installed")
    described = toolchain.polychord_library(toolchain.find())
    assert described.preload == (helper,)
    assert described.newer_interface


@pytest.mark.parametrize("listed", ["libmpi_cxx.so.94", "libhelper.so.94"])
def test_what_is_not_there_is_named_with_its_remedy(
    machine: pytest.MonkeyPatch, tmp_path: Path, listed: str
) -> None:
    built, helper = fake_mpi_build(tmp_path / "site", listed)
    helper.unlink()
    found = with_polychord(machine, built.parents[1])
    assert not found.ok
    assert found.problem.startswith(f"{built} cannot be opened: {listed}: cannot open shared")
    assert found.remedy.startswith(f"install the library {listed}")
    assert ("libopenmpi" in found.remedy) is listed.startswith("libmpi_cxx")
    assert "\n" not in found.problem + found.remedy
    with pytest.raises(ToolchainError, match=f"^PolyChord: .*{listed}.*; install the library"):
        toolchain.require("polychord")
    with pytest.raises(ToolchainError, match=listed):
        toolchain.polychord_library(toolchain.find())
    fake_mpi_build(tmp_path / "site", listed)
    assert toolchain.find().polychord.ok  # a failure is not remembered


def test_the_library_of_open_mpi_is_preloaded_where_nothing_lists_it(tmp_path: Path) -> None:
    mpi = library(tmp_path / "libmpi.so.40", "int mpi;", "-Wl,-soname,libmpi.so.40")
    uses = "extern int _ZN3MPI5thing;\nint* use(void) { return &_ZN3MPI5thing; }\n" + INTERFACE
    built = library(tmp_path / "pypolychord/lib/libchord.so", uses, "-Wl,--no-as-needed", str(mpi))
    assert polychord.preloads(built) == (Path("libmpi_cxx.so.40"),)
    plain = library(tmp_path / "other/lib/libchord.so", INTERFACE, "-Wl,--no-as-needed", str(mpi))
    assert polychord.preloads(plain) == ()


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        ("int absent(void);\nint use(void) { return absent(); }\n" + INTERFACE, "symbol: absent"),
        (
            'const char* name = "polychord_c_interface 1";const char* v = "  version: 1.20.1";',
            "symbol",
        ),
        (
            "void abort(void);\n__attribute__((constructor)) void f(void) { abort(); }\n",
            "status -6",
        ),
        ("void exit(int);\n__attribute__((constructor)) void f(void) { exit(0); }\n", "status 0"),
        (
            "unsigned sleep(unsigned);\n__attribute__((constructor)) void f(void) { sleep(99); }\n",
            "does not open within",
        ),
    ],
    ids=["symbol", "interface", "abort", "exit", "hang"],
)
def test_libraries_that_do_not_open(
    machine: pytest.MonkeyPatch, tmp_path: Path, code: str, problem: str
) -> None:
    machine.setattr(polychord, "_SECONDS", 2 if "within" in problem else 60)
    whole = code if "polychord_c_interface" in code else code + INTERFACE
    built = library(tmp_path / "pypolychord/lib/libchord.so", whole)
    found = with_polychord(machine, built.parents[1])
    assert not found.ok
    assert problem in found.problem
    assert "\n" not in found.problem + found.remedy
    assert found.remedy


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (lambda content: content[:18] + b"\xb7\0" + content[20:], "is for Linux on 64-bit ARM"),
        (lambda content: b"\xcf\xfa\xed\xfe" + content[4:], "is for macOS"),
        (lambda content: b"MZ" + content[2:], "is for Windows"),
        (
            lambda content: content[:3000] + b"polychord_c_interface   version: 1.22",
            "cannot be opened|cut short",
        ),
        (lambda content: content[:30] + b"polychord_c_interface   version: 1.22", "cut short"),
        (lambda content: b"polychord_c_interface   version: 1.22.2", "not a shared library"),
        (lambda content: b"", "has no C interface"),
    ],
    ids=["ARM", "macOS", "Windows", "cut", "cut early", "text", "empty"],
)
def test_files_that_are_no_library(
    machine: pytest.MonkeyPatch, tmp_path: Path, spoil: Callable[[bytes], bytes], problem: str
) -> None:
    built = library(tmp_path / "pypolychord/lib/libchord.so", INTERFACE)
    built.write_bytes(spoil(built.read_bytes()))
    found = with_polychord(machine, built.parents[1])
    assert not found.ok
    assert any(part in found.problem for part in problem.split("|")), found.problem
    assert found.remedy.endswith("run `manymodes setup`")


def test_a_library_that_points_nowhere(machine: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = tmp_path / "pypolychord/lib"
    folder.mkdir(parents=True)
    (folder / "libchord.so").symlink_to("nowhere.so")
    assert with_polychord(machine, folder.parent).problem.endswith("has no libchord")
    other = library(tmp_path / "pypolychord/libs_pypolychord/libchord-1.so", INTERFACE)
    assert with_polychord(machine, folder.parent).path == other


def test_the_users_broken_polychord_is_passed_over(
    machine: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    built, helper = fake_mpi_build(tmp_path / "site", "libmpi_cxx.so.94")
    helper.unlink()
    mark = Installed("polychord", "1.15.1", "index")
    library(mark.folder / "pypolychord/libs_pypolychord/libchord-1.so", INTERFACE)
    mark.write(mark.folder)
    found = with_polychord(machine, built.parents[1])
    assert (found.ok, found.source) == (True, "index")
    assert any(str(built) in note and "libmpi_cxx.so.94" in note for note in found.notes)
    assert install._wanted(toolchain.find()) == ["cmdstan"]


def test_a_library_is_opened_once_unless_it_changes(
    machine: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    built = library(tmp_path / "pypolychord/lib/libchord.so", INTERFACE)
    assert with_polychord(machine, built.parents[1]).ok
    run = subprocess.run
    machine.setattr(subprocess, "run", lambda *_, **__: pytest.fail("opened again"))
    assert toolchain.find().polychord.ok
    machine.setattr(subprocess, "run", run)
    library(built, "int absent(void);\nint use(void) { return absent(); }\n" + INTERFACE)
    assert not toolchain.find().polychord.ok
    library(built, INTERFACE)
    assert toolchain.find().polychord.ok  # a failure is not remembered


def distribution(site: Path, name: str, version: str) -> None:
    info = site / f"{name}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (info / "top_level.txt").write_text("pypolychord\n")
    (info / "RECORD").write_text("pypolychord/__init__.py,,\n")


@pytest.mark.parametrize("name", ["pypolychord", "pypolychord_nompi", "my_polychord"])
@pytest.mark.parametrize("states", [True, False])
def test_the_version_whatever_the_distribution_is_called(
    machine: pytest.MonkeyPatch, tmp_path: Path, name: str, states: bool
) -> None:
    site = tmp_path / "site"
    distribution(site, name, "1.21.5")
    code = INTERFACE if states else "void polychord_c_interface(void) {}\n"
    library(site / "pypolychord/lib/libchord.so", code)
    machine.setattr(sys, "path", [str(site), *sys.path])
    found = with_polychord(machine, site / "pypolychord")
    assert (found.ok, found.version) == (True, "1.22.2" if states else "1.21.5")


@pytest.mark.parametrize("place", ["pypolychord/lib", "lib"])
def test_a_source_tree_has_no_distribution(
    machine: pytest.MonkeyPatch, tmp_path: Path, place: str
) -> None:
    built = library(tmp_path / "tree" / place / "libchord.so", INTERFACE)
    found = with_polychord(machine, tmp_path / "tree/pypolychord")
    assert (found.ok, found.version, found.path) == (True, "1.22.2", built)
    library(built, "void polychord_c_interface(void) {}\n")
    found = with_polychord(machine, tmp_path / "tree/pypolychord")
    assert "does not state its version" in found.problem


def test_what_a_library_lists(tmp_path: Path) -> None:
    one = library(tmp_path / "libone.so.1", "int one;", "-Wl,-soname,libone.so.1")
    links = ["-Wl,--no-as-needed", str(one), "-Wl,-rpath,$ORIGIN/a:/b"]
    read = elf.read(library(tmp_path / "libtwo.so", "int two;", *links))
    assert read is not None
    assert read.needed[0] == "libone.so.1"
    assert read.folders == (tmp_path / "a", Path("/b"))
    assert elf.read(tmp_path / "absent") is None
    assert elf.foreign(tmp_path / "absent") == elf.foreign(one) == ""


# --------------------------------------------------------------------------------------- CmdStan


def script(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def test_a_whole_toolchain_is_ok(machine: pytest.MonkeyPatch, cmdstan: Path) -> None:
    machine.setenv("CMDSTAN", str(cmdstan))
    found = toolchain.doctor(deep=True)
    assert (found.cmdstan.ok, found.bridge.ok, found.compiler.ok) == (True, True, True)
    assert list(toolchain.home().parent.iterdir()) == []


@pytest.mark.parametrize(
    ("stanc", "problem"),
    [
        ("echo 'Fatal error: cannot start' >&2; exit 2", "line: Fatal error: cannot start"),
        ("kill -SEGV $$", "line: it was ended by SIGSEGV"),
        ("sleep 99 & wait", "line: it does not end within"),
        ("exit 1", "line: no message"),
    ],
)
def test_a_stanc_that_does_not_work(
    machine: pytest.MonkeyPatch, tmp_path: Path, cmdstan: Path, stanc: str, problem: str
) -> None:
    folder = copy_of(cmdstan, tmp_path / "cmdstan", "bin")
    script(folder / "bin/stanc", stanc)
    machine.setenv("CMDSTAN", str(folder))
    machine.setattr(trial, "_SECONDS", 1 if "within" in problem else 60)
    assert toolchain.find().cmdstan.ok
    found = trial.try_cmdstan(toolchain.find().cmdstan)
    assert not found.ok
    assert problem in found.problem
    assert "make build" in found.remedy
    assert "\n" not in found.problem + found.remedy


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"\xcf\xfa\xed\xfe\x07\0\0\x01", "bin/stanc is for macOS"),
        (b"\xca\xfe\xba\xbe\0\0\0\x02", "bin/stanc is for macOS"),
        (b"MZ\x90\0", "bin/stanc is for Windows"),
        (b"\x7fELF\x02\x01\x01" + bytes(11) + b"\xb7\0", "bin/stanc is for Linux on 64-bit ARM"),
        (b"\x7fELF\x01\x01\x01" + bytes(11) + b"\x28\0", "bin/stanc is for Linux on 32-bit ARM"),
        (b"", "does not compile one line: Exec format error"),
        (b"\0\1garbage", "does not compile one line: Exec format error"),
    ],
    ids=["mac", "mac-universal", "windows", "arm64", "arm", "empty", "garbage"],
)
def test_a_stanc_from_elsewhere(
    machine: pytest.MonkeyPatch, tmp_path: Path, cmdstan: Path, content: bytes, problem: str
) -> None:
    folder = copy_of(cmdstan, tmp_path / "cmdstan", "bin")
    (folder / "bin/stanc").write_bytes(content)
    (folder / "bin/stanc").chmod(0o755)
    machine.setenv("CMDSTAN", str(folder))
    found = trial.try_cmdstan(toolchain.find().cmdstan)
    assert not found.ok
    assert problem in found.problem


@pytest.mark.parametrize("left", ["libtbb.so.2", "libtbbmalloc.so.2"])
def test_a_half_built_cmdstan(
    machine: pytest.MonkeyPatch, tmp_path: Path, cmdstan: Path, left: str
) -> None:
    folder = copy_of(cmdstan, tmp_path / "cmdstan", "stan/lib/stan_math/lib/tbb")
    tbb = folder / "stan/lib/stan_math/lib/tbb"
    (tbb / left).write_bytes(b"")
    (tbb / "libtbb.so").symlink_to("nowhere")
    machine.setenv("CMDSTAN", str(folder))
    found = toolchain.doctor(deep=True).cmdstan
    assert not found.ok
    assert "TBB" in found.problem or "libtbb" in found.problem
    assert "\n" not in found.problem + found.remedy


@pytest.mark.parametrize("absent", ["make", "stan/lib/stan_math/make", "stan/src"])
def test_a_cmdstan_with_files_missing(
    machine: pytest.MonkeyPatch, tmp_path: Path, cmdstan: Path, absent: str
) -> None:
    folder = copy_of(cmdstan, tmp_path / "cmdstan", absent)
    machine.setenv("CMDSTAN", str(folder))
    found = toolchain.doctor(deep=True).cmdstan
    if absent == "make":  # of the makefiles there, only make/local counts
        assert found.ok
        return
    assert not found.ok
    assert found.problem.startswith("programs cannot be built on it: ")


def test_set_up_makes_its_own_cmdstan_anew(
    machine: pytest.MonkeyPatch, tmp_path: Path, cmdstan: Path
) -> None:
    mark = Installed("cmdstan", "2.27.0", "index")
    toolchain.home().mkdir()
    copy_of(cmdstan, mark.folder, "bin")
    mark.write(mark.folder)
    shutil.copy(cmdstan / "bin/stanc", mark.folder / "bin/stanc")
    assert "cmdstan" not in install._wanted(install._found())
    script(mark.folder / "bin/stanc", "exit 1")
    assert install._wanted(install._found()) == ["polychord", "cmdstan"]
    assert toolchain.doctor(deep=True).cmdstan.remedy.endswith("run `manymodes setup`")


# ------------------------------------------------------------------------------------ BridgeStan


def home_of_version(folder: Path, version: str, header: str | None = None) -> Path:
    (folder / "src").mkdir(parents=True)
    (folder / "Makefile").touch()
    parts = zip(("MAJOR", "MINOR", "PATCH"), version.split("."), strict=True)
    text = "".join(f"#define BRIDGESTAN_{name} {number}\n" for name, number in parts)
    (folder / "src/version.hpp").write_text(text)
    if header is not None:
        (folder / "src/bridgestan.h").write_text(header)
    return folder


@pytest.mark.parametrize(
    ("version", "problem"),
    [
        ("1.0.2", f"older than the Python client bridgestan, {CLIENT}"),
        (f"{MAJOR}.{MINOR - 1}.9", "older than the Python client"),
        (f"{MAJOR}.{MINOR}.0", ""),
        (f"{MAJOR}.{MINOR}.7", ""),
        (f"{MAJOR}.{MINOR + 1}.0", ""),
        (f"{MAJOR + 1}.0.0", "update the client"),
    ],
)
def test_a_home_that_the_client_cannot_use(
    machine: pytest.MonkeyPatch, tmp_path: Path, version: str, problem: str
) -> None:
    named = home_of_version(tmp_path / "named", version)
    machine.setenv("BRIDGESTAN", str(named))
    found = toolchain.find().bridge
    assert (found.source, found.version, found.ok) == ("environment", version, not problem)
    if problem:
        assert problem in found.problem
        assert found.problem.startswith("BRIDGESTAN is set, but")
        assert found.remedy == "correct or unset BRIDGESTAN"
        with pytest.raises(ToolchainError, match=r"^BridgeStan: "):
            toolchain.require("bridge")
    assert any("differs" in note for note in found.notes) is (f"{MINOR + 1}.0" in version)
    # Anywhere else it is passed over, and the home of manymodes is used.
    machine.delenv("BRIDGESTAN")
    machine.setattr("bridgestan.download.CURRENT_BRIDGESTAN", named)
    found = toolchain.find().bridge
    assert (found.ok, found.source) == (True, "manymodes" if problem else "installed")


def test_a_home_that_lacks_a_function_or_its_sources(
    machine: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked = sorted(discovery._client_functions())
    assert {"bs_model_construct", "bs_param_initialize", "bs_rng_construct"} <= set(asked)
    declared = "".join(f"int {name}(void);\n" for name in asked if name != "bs_param_initialize")
    named = home_of_version(tmp_path / "named", CLIENT, declared)
    machine.setenv("BRIDGESTAN", str(named))
    assert "does not have bs_param_initialize" in toolchain.find().bridge.problem
    (named / "src/bridgestan.h").write_text(f"{declared}int bs_param_initialize(void);\n")
    assert toolchain.find().bridge.ok
    (named / "src/bridgestan.cpp").touch()
    assert "lacks Stan's sources" in toolchain.find().bridge.problem
    (named / "stan/src/stan").mkdir(parents=True)
    (named / "stan/src/stan/version.hpp").touch()
    assert toolchain.find().bridge.ok


def test_the_shipped_home_has_all_that_the_client_calls(machine: pytest.MonkeyPatch) -> None:
    ours = toolchain.stan_dir() / "bridge"
    assert discovery._client_functions() <= discovery._bridge_functions(ours)
    more = discovery._client_functions() | {"bs_new_thing"}
    machine.setattr(discovery, "_client_functions", lambda: more)
    found = toolchain.find().bridge
    assert "does not have bs_new_thing" in found.problem
    assert found.remedy.startswith("reinstall manymodes")


# --------------------------------------------------------------------------------- compiler, make


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("echo 'g++: fatal error: no cc1plus' >&2; exit 1", "fatal error: no cc1plus"),
        ("sleep 99", "it does not end within"),
        ("exit 0", "programs that do not run here: No such file or directory"),
        ("while [ $# -gt 1 ]; do shift; done; echo x > $1; chmod +x $1", "do not run here"),
    ],
    ids=["fails", "hangs", "writes nothing", "writes rubbish"],
)
def test_compilers_that_do_not_work(
    machine: pytest.MonkeyPatch, tmp_path: Path, text: str, problem: str
) -> None:
    script(tmp_path / "compiler", text)
    machine.setenv("CXX", f"{tmp_path}/compiler -O2")
    machine.setattr(trial, "_SECONDS", 1 if "within" in problem else 60)
    found = toolchain.doctor(deep=True).compiler
    assert not found.ok
    assert problem in found.problem
    assert "install g++" in found.remedy
    with pytest.raises(ToolchainError, match="install g"):
        install._check_compiler()


def test_a_make_that_does_not_work(machine: pytest.MonkeyPatch, tmp_path: Path) -> None:
    script(tmp_path / "make", "echo 'make: broken' >&2; exit 1")
    machine.setenv("MAKE", str(tmp_path / "make"))
    found = toolchain.doctor(deep=True).compiler
    assert (found.ok, found.remedy) == (False, "install GNU make")


# ---------------------------------------------------------------------------------- the command


def test_the_command_tries_what_it_calls_ok(
    machine: pytest.MonkeyPatch, cmdstan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = copy_of(cmdstan, tmp_path / "cmdstan", "bin")
    script(folder / "bin/stanc", "echo 'cannot run' >&2; exit 1")
    machine.setenv("CMDSTAN", str(folder))
    assert main.main(["doctor", "--json"]) == 1
    shown = json.loads(capsys.readouterr().out)
    assert {"cmdstan", "bridge", "polychord", "compiler"} <= shown.keys()
    for part in ("cmdstan", "bridge", "polychord"):
        assert {"version", "source", "path", "ok", "problem", "remedy"} <= shown[part].keys()
    assert shown["cmdstan"]["ok"] is False
    assert "cannot run" in shown["cmdstan"]["problem"]
    assert main.main(["doctor"]) == 1
    text = capsys.readouterr().out
    assert f"→ run `make build` in {folder}" in text
    assert os.fspath(folder) in text
