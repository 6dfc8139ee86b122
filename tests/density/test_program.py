"""The cache of compiled programs: what it is keyed by, and that nothing damaged is executed."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from conftest import MODELS
from manymodes.density import program as rooms
from manymodes.density.program import Program
from manymodes.errors import CompileError, InputError, ToolchainError
from manymodes.networks.network import Network
from manymodes.toolchain import Toolchain
from manymodes.toolchain.build_cache import cached_build, file_digest, read_digests

BAD = "parameters { real x }\nmodel { x ~ normal(0, 1); }\n"


def write(path: Path, text: str) -> Program:
    path.write_text(text, encoding="utf-8")
    return Program(path)


def builder(text: str = "machine code") -> Any:
    def build(scratch: Path) -> Path:
        (scratch / "built").write_text(text)
        return scratch / "built"

    return build


def never(scratch: Path) -> Path:
    raise AssertionError("built again")


# ---------------------------------------------------------------- the program


@pytest.mark.parametrize("name", ["model.txt", "model"])
def test_a_program_ends_in_stan(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(BAD)
    with pytest.raises(InputError, match=r"ends in \.stan"):
        Program(tmp_path / name)


def test_a_missing_program_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"absent\.stan: no such Stan program"):
        Program(tmp_path / "absent.stan")


def test_includes_are_found_beside_the_program_and_in_our_functions(tmp_path: Path) -> None:
    (tmp_path / "inner.stanfunctions").write_text("// inner")
    (tmp_path / "mine.stanfunctions").write_text("#include inner.stanfunctions\n")
    found = write(
        tmp_path / "m.stan",
        'functions {\n  #include "mine.stanfunctions"\n#include <priors.stanfunctions>\n}\n',
    ).sources
    assert set(found) == {
        "m.stan",
        "mine.stanfunctions",
        "inner.stanfunctions",
        "priors.stanfunctions",
    }
    assert found["inner.stanfunctions"] == "// inner"


def test_a_file_beside_the_program_wins_over_ours(tmp_path: Path) -> None:
    (tmp_path / "priors.stanfunctions").write_text("// mine")
    program = write(tmp_path / "m.stan", "#include priors.stanfunctions\n")
    assert program.sources["priors.stanfunctions"] == "// mine"


def test_a_missing_include_is_named(tmp_path: Path) -> None:
    program = write(tmp_path / "m.stan", "#include absent.stanfunctions\n")
    with pytest.raises(InputError, match=r"m\.stan: #include absent\.stanfunctions is found"):
        program.sources  # noqa: B018


# ---------------------------------------------------------------- the key


def test_the_same_content_has_the_same_folder(tmp_path: Path, tools: Toolchain) -> None:
    copy = tmp_path / "another_name.stan"
    shutil.copy(MODELS / "plain.stan", copy)
    assert Program(copy).folder == Program(MODELS / "plain.stan").folder


def test_other_content_or_another_include_has_another_folder(
    tmp_path: Path, tools: Toolchain
) -> None:
    source = "#include f.stanfunctions\n"
    (tmp_path / "f.stanfunctions").write_text("// one")
    first = write(tmp_path / "m.stan", source).fingerprint(tools)
    changed = write(tmp_path / "m.stan", source + " ").fingerprint(tools)
    (tmp_path / "f.stanfunctions").write_text("// two")
    included = write(tmp_path / "m.stan", source).fingerprint(tools)
    assert len({first, changed, included}) == 3


def test_another_toolchain_or_other_flags_have_another_folder(
    tmp_path: Path, tools: Toolchain
) -> None:
    program = Program(MODELS / "plain.stan")
    cmdstan = tmp_path / "cmdstan"
    (cmdstan / "make").mkdir(parents=True)
    moved = replace(tools, cmdstan=replace(tools.cmdstan, path=cmdstan))
    newer = replace(moved, cmdstan=replace(moved.cmdstan, version="99.0.0"))
    keys = [program.fingerprint(t) for t in (tools, moved, newer)]
    (cmdstan / "make" / "local").write_text("CXXFLAGS += -O0\n")
    keys.append(program.fingerprint(moved))
    (cmdstan / "make" / "local").write_text("CXXFLAGS += -O2\n")
    keys.append(program.fingerprint(moved))
    assert len(set(keys)) == 5


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("CXXFLAGS", "-O1"),
        ("O", "0"),
        ("CPPFLAGS", "-DNDEBUG"),
        ("LDFLAGS", "-s"),
        ("STANCFLAGS", "--warn-pedantic"),
        ("STAN_THREADS", "true"),
        ("STAN_NO_RANGE_CHECKS", "true"),
        ("CXXFLAGS_OPTIM", "-march=native"),
        ("MAKEFLAGS", "-j4 -- O=1"),
        ("CPATH", "include"),
    ],
)
def test_flags_of_the_environment_have_another_folder(
    variable: str, value: str, tools: Toolchain, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = Program(MODELS / "plain.stan")
    monkeypatch.delenv(variable, raising=False)
    plain = program.fingerprint(tools)
    monkeypatch.setenv(variable, value)
    assert program.fingerprint(tools) != plain
    monkeypatch.setenv(variable, "")
    emptied = program.fingerprint(tools)  # make's ?= leaves an empty variable empty
    assert (emptied == plain) is (variable == "MAKEFLAGS")


@pytest.mark.parametrize(
    ("variable", "value"), [("MAKEFLAGS", "-j4"), ("LANG", "C"), ("HOME_O", "3"), ("OS", "Linux")]
)
def test_what_does_not_change_the_code_does_not_count(
    variable: str, value: str, tools: Toolchain, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = Program(MODELS / "plain.stan")
    plain = program.fingerprint(tools)
    monkeypatch.setenv(variable, value)
    assert program.fingerprint(tools) == plain


def test_the_users_own_settings_of_stan_count(
    tmp_path: Path, tools: Toolchain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    program = Program(MODELS / "plain.stan")
    plain = program.fingerprint(tools)
    settings = tmp_path / ".config" / "stan" / "make.local"
    settings.parent.mkdir(parents=True)
    settings.write_text("O = 1\n")
    assert program.fingerprint(tools) != plain


def test_another_compiler_has_another_folder_and_must_run(
    tmp_path: Path, tools: Toolchain, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = Program(MODELS / "plain.stan")
    plain = program.fingerprint(tools)
    other = tmp_path / "other g++"
    other.write_text("#!/bin/sh\necho 99.0\n")
    other.chmod(0o755)
    monkeypatch.setenv("CXX", f"'{other}' -m64")
    assert program.fingerprint(tools) != plain
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(ToolchainError, match="'no-such-compiler' cannot be run"):
        program.fingerprint(tools)
    monkeypatch.setenv("CXX", "false")
    with pytest.raises(ToolchainError, match="'false' does not say its version"):
        program.fingerprint(tools)


# ---------------------------------------------------------------- the cache


def test_what_was_built_is_not_built_again(tmp_path: Path) -> None:
    made = cached_build(tmp_path / "c", "model", builder())
    before = made.stat()
    assert cached_build(tmp_path / "c", "model", never) == made
    assert made.stat() == before
    assert read_digests(tmp_path / "c") == {"model": file_digest(made)}


def test_a_build_that_was_never_recorded_is_built_again(tmp_path: Path) -> None:
    """As after a kill between the file's move and its record, or in the middle of a build."""
    (tmp_path / "model").write_text("half")
    (tmp_path / "building-x").mkdir()
    assert cached_build(tmp_path, "model", builder("whole")).read_text() == "whole"


@pytest.mark.parametrize("damage", ["changed", "cut", "gone"])
def test_a_damaged_build_is_reported_in_one_line(tmp_path: Path, damage: str) -> None:
    made = cached_build(tmp_path, "model.so", builder())
    if damage == "changed":
        made.write_text("Machine code")
    elif damage == "cut":
        made.write_text("")
    else:
        made.unlink()
    with pytest.raises(InputError, match=r"model\.so is damaged or gone: remove ") as caught:
        cached_build(tmp_path, "model.so", never)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("marker", ["{", "3", "[]", "", "\0\0"])
def test_a_damaged_record_is_reported_in_one_line(tmp_path: Path, marker: str) -> None:
    cached_build(tmp_path, "model", builder())
    (tmp_path / "compiled.json").write_text(marker)
    with pytest.raises(InputError, match=r"compiled\.json is damaged: remove ") as caught:
        cached_build(tmp_path, "model", never)
    assert "\n" not in str(caught.value)


def test_a_cache_that_cannot_be_written_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        cached_build(tmp_path / "file" / "below", "model", builder())


def slow_build(log: Path, scratch: Path) -> Path:
    with log.open("a") as file:
        file.write("built\n")
    time.sleep(0.3)
    (scratch / "built").write_text("machine code")
    return scratch / "built"


def test_two_processes_build_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    arguments = (tmp_path, "model", partial(slow_build, tmp_path / "builds"))
    both = [context.Process(target=cached_build, args=arguments) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join()
    assert [process.exitcode for process in both] == [0, 0]
    assert (tmp_path / "builds").read_text() == "built\n"


# ---------------------------------------------------------------- compiling


@pytest.mark.parametrize("form", ["library", "executable"])
@pytest.mark.parametrize("name", ["bad.stan", "bad name.stan"])
def test_a_compile_error_carries_the_compilers_message(
    tmp_path: Path, tools: Toolchain, form: str, name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    program = write(tmp_path / name, BAD)
    with pytest.raises(CompileError) as caught:
        getattr(program, form)()
    said = str(caught.value)
    assert said.startswith(f"{program.name} does not compile:\nSyntax error")
    assert '";" is expected' in said
    assert "make:" not in said
    assert capfd.readouterr() == ("", "")
    assert not program.is_compiled()


def test_compiling_leaves_the_process_as_it_was(
    tmp_path: Path, tools: Toolchain, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Programs are compiled from threads, which share output streams and environment."""
    program = write(tmp_path / "bad.stan", BAD)
    seen: list[bool] = []
    monkeypatch.delenv("BRIDGE_BUILD", raising=False)
    streams, variables = (sys.stdout, sys.stderr), dict(os.environ)
    run = rooms.run

    def spy(*arguments: Any, **options: Any) -> Any:
        seen.append((sys.stdout, sys.stderr) == streams and dict(os.environ) == variables)
        return run(*arguments, **options)

    monkeypatch.setattr(rooms, "run", spy)
    with ThreadPoolExecutor(1) as pool, pytest.raises(CompileError):
        pool.submit(program.library).result()
    assert seen
    assert all(seen)


def test_compiled_programs_are_found_by_every_copy(tmp_path: Path, tools: Toolchain) -> None:
    program = Program(MODELS / "plain.stan")
    library, executable = program.library(), program.executable()
    copy = tmp_path / "copy.stan"
    shutil.copy(program.stan_file, copy)
    assert Program(copy).is_compiled()
    assert (Program(copy).library(), Program(copy).executable()) == (library, executable)


def test_one_compilation_makes_both_forms(tools: Toolchain) -> None:
    program = Program(MODELS / "plain.stan")
    program.library()
    assert program.is_compiled()


def test_the_networks_programs_need_no_search_path() -> None:
    sources = Program(Network(2, (2,), constraint="pd-skew").program).sources
    assert {"network.stanfunctions", "pd_skew.stanfunctions"} <= set(sources)
