"""The programs that run an engine over a compiled density, with no Python in between."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from manymodes.density.compiler_messages import first_complaint
from manymodes.errors import CompileError, InputError, SamplingError
from manymodes.sampling.measure import BaseMeasure
from manymodes.toolchain import home, require, stan_dir
from manymodes.toolchain.build_cache import cached_build
from manymodes.toolchain.machine_code import compiler_version, environment
from manymodes.toolchain.process import check_finished, inside, run
from manymodes.types import FloatArray

Entry = tuple[str, object]
"""A line of a runner's configuration: its key and its value."""

Arrays = dict[str, FloatArray]
"""What a runner found, by name, each of one dimension (``stan/runners/arrays.hpp``)."""

_SHARED = "runners"


def runner(name: str, folder: str, includes: Sequence[Path] = ()) -> Path:
    """Return the executable of a runner, building it once.

    Parameters
    ----------
    name : str
        Of its source, ``stan/FOLDER/NAME.cpp``, and of the executable.
    folder : str
        Its folder in ``stan/``. All headers there, and those that runners share, decide the build.
    includes : sequence of Path
        Folders of other headers.

    Raises
    ------
    CompileError
        The C++ compiler fails.
    """
    top = stan_dir()
    source = top / folder / f"{name}.cpp"
    require("compiler")
    headers = sorted(path for part in (folder, _SHARED) for path in (top / part).glob("*.hpp"))
    settings = "".join(f"\0{name}={value}" for name, value in environment(None))
    texts = b"".join(path.read_bytes() for path in (source, *headers))
    others = "\0".join(map(str, includes))
    content = texts + (compiler_version() + settings + others).encode()
    digest = hashlib.sha256(content).hexdigest()[:24]

    def build(scratch: Path) -> Path:
        target = scratch / name
        others = [part for path in includes for part in ("-isystem", str(path))]
        command = ["g++", "-std=c++14", "-O3", "-I", str(top), *others]
        command += [str(source), "-o", str(target), "-ldl"]
        done = run(command, env={**os.environ, **inside(scratch)})
        check_finished(name, done)
        if done.returncode != 0:
            raise CompileError(first_complaint(name, done.stderr))
        return target

    return cached_build(home() / "programs" / f"{folder}-{digest}", name, build)


def eigen() -> Path:
    """Return the folder of Eigen's headers, which CmdStan brings along.

    Raises
    ------
    InputError
        They are not in it.
    ToolchainError
        There is no CmdStan.
    """
    cmdstan = require("cmdstan").cmdstan.path
    assert cmdstan is not None
    found = sorted((cmdstan / "stan" / "lib" / "stan_math" / "lib").glob("eigen_*"))
    if not found:
        raise InputError(f"{cmdstan}: there is no Eigen in it; install CmdStan anew")
    return found[-1]


def base_entries(base: BaseMeasure) -> list[Entry]:
    """Return the lines that tell a runner a base measure (``stan/runners/base_measure.hpp``)."""
    entries: list[Entry] = []
    for one in base.components:
        entries.append(("component", repr(one.weight)))
        for i, (family, place) in enumerate(zip(one.families, one.location.tolist(), strict=True)):
            row = one.scale[i, i : i + 1] if one.is_product else one.scale[i, : i + 1]
            numbers = " ".join(map(repr, row.tolist()))
            entries.append(("coordinate", f"{family} {place!r} {numbers}"))
    return entries


def config_text(entries: Iterable[Entry]) -> str:
    """Return the configuration of a runner: a line for each entry."""
    return "".join(f"{key} {value}\n" for key, value in entries)


def arrays_bytes(arrays: Arrays) -> bytes:
    """Return arrays in the format of ``stan/runners/arrays.hpp``."""
    parts = []
    for name, values in arrays.items():
        parts.append(f"{name} {values.size}\n".encode())
        parts.append(np.ascontiguousarray(values, dtype=float).tobytes())
    return b"".join(parts)


def read_output(path: Path) -> Arrays:
    """Read arrays in the format of ``stan/runners/arrays.hpp``.

    Raises
    ------
    SamplingError
        The file is cut off.
    """
    content = path.read_bytes()
    arrays: Arrays = {}
    place = 0
    while place < len(content):
        end = content.index(b"\n", place)
        name, count = content[place:end].split()
        place = end + 1 + 8 * int(count)
        if place > len(content):
            raise SamplingError(f"{path.name} is cut off")
        arrays[name.decode()] = np.frombuffer(content, float, int(count), end + 1).copy()
    return arrays
