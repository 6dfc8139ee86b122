"""The program that runs PolyChord over a compiled density, with no Python in between."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from manymodes.density.compiler_messages import first_complaint
from manymodes.errors import CompileError
from manymodes.toolchain import home, require, stan_dir
from manymodes.toolchain.build_cache import cached_build
from manymodes.toolchain.machine_code import compiler_version, environment
from manymodes.toolchain.process import check_finished, inside, run


def nested_runner() -> Path:
    """Return the executable that runs PolyChord over a compiled density, building it once.

    Raises
    ------
    CompileError
        The C++ compiler fails.
    """
    source = stan_dir() / "nested" / "polychord_run.cpp"
    require("compiler")
    settings = "".join(f"\0{name}={value}" for name, value in environment(None))
    content = source.read_bytes() + (compiler_version() + settings).encode()
    digest = hashlib.sha256(content).hexdigest()[:24]

    def build(scratch: Path) -> Path:
        target = scratch / "polychord_run"
        command = ["g++", "-std=c++14", "-O3", str(source), "-o", str(target), "-ldl"]
        done = run(command, env={**os.environ, **inside(scratch)})
        check_finished("polychord_run", done)
        if done.returncode != 0:
            raise CompileError(first_complaint("polychord_run", done.stderr))
        return target

    return cached_build(home() / "programs" / f"nested-{digest}", "polychord_run", build)
