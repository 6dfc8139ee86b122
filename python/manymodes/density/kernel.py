"""The kernel: a network's likelihood in C++ with its analytic gradient, in place of Stan's.

The Stan program is the definition; it is saved, and runs are compared by it. If it includes a file
of ``stan/functions`` unchanged, and ``stan/kernels`` has a file of the same name, the latter can
take its place: it only declares the functions, and a C++ user header defines them (stanc's
``--allow-undefined``). If one of these files was edited, none is replaced, because the edited file
may rely on the text of the others.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from manymodes.density.program_files import is_shipped, our_texts
from manymodes.toolchain import stan_dir

ANALYTIC = ("mlp", "mlp_general")
"""The programs of ``stan/models`` whose whole density ``analytic.hpp`` has."""

LIMIT = "MANYMODES_SIMD"
"""Environment variable that limits the kernel's instruction set: ``baseline`` or ``avx2``."""

MOST_HIDDEN_LAYERS = 63
"""One less than ``max_layers`` of ``description.hpp``, which counts the outputs."""

_FUNCTION = re.compile(r"^\w+ (\w+\()", re.MULTILINE)
_WANTED = {"avx512": {"avx512f", "avx512dq", "avx512vl"}, "avx2": {"avx2", "fma"}}


def with_kernel(sources: Mapping[str, str]) -> dict[str, str] | None:
    """Return a program's sources with the kernel's declarations for the definitions.

    Parameters
    ----------
    sources : mapping of str to str
        The program and its included files, by the name under which they are included.

    Returns
    -------
    dict of str to str or None
        None if no file can be replaced: the program has no such likelihood, or an edited one.
    """
    replaced = {}
    for path in sorted(_folder().glob("*.stanfunctions")):
        if path.name not in sources:
            continue
        if sources[path.name] != _definition(path).read_text(encoding="utf-8"):
            return None
        replaced[path.name] = path.read_text(encoding="utf-8")
    return {**sources, **replaced} if replaced else None


def user_header(stem: str, sources: Mapping[str, str]) -> str:
    """Return the text of the user header for a program.

    Parameters
    ----------
    stem : str
        Name of the file that stanc reads, without its ending, in ASCII letters, digits and _: it
        decides the namespace.
    sources : mapping of str to str
        The program's text, first, and its included files, by name: with the definitions, not the
        kernel's declarations. For some of manymodes' own programs, unchanged, the header offers
        the whole density without autodiff to our BridgeStan home.
    """
    namespace = ("" if stem[0].isalpha() else "_") + f"{stem}_model_namespace"
    lines = [f"#define MANYMODES_NAMESPACE {namespace}", f'#include "{_folder() / "mlp.hpp"}"']
    if is_shipped(sources):
        ours = our_texts("models")
        for name in ANALYTIC:
            if next(iter(sources.values())) == ours[f"{name}.stan"]:
                lines.append(f"#define MANYMODES_DENSITY {name}")
                lines.append(f'#include "{_folder() / "analytic.hpp"}"')
    return "\n".join([*lines, ""])


def header_files() -> list[Path]:
    """Return the C++ headers of the kernel, in a fixed order."""
    return sorted(_folder().glob("*.hpp"))


def instruction_set() -> str:
    """Return the instruction set that the kernel chooses on this machine.

    Returns
    -------
    {"avx512", "avx2", "baseline"}
        The baseline is the set that every processor of this kind has. It is also returned if the
        processor's abilities cannot be read (no ``/proc/cpuinfo``).
    """
    found: set[str] = set()
    if sys.platform == "linux" and os.uname().machine == "x86_64":
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
        flags = re.search(r"^flags\s*:(.*)$", text, re.MULTILINE)
        found = set(flags[1].split()) if flags else set()
    limit = os.environ.get(LIMIT, "")
    if limit == "baseline" or not _WANTED["avx2"] <= found:
        return "baseline"
    return "avx512" if limit != "avx2" and _WANTED["avx512"] <= found else "avx2"


def too_deep(data: Mapping[str, Any]) -> str:
    """Return why the kernel cannot compute a network of given data; empty if it can."""
    layers = data.get("hidden")
    n = len(layers) if isinstance(layers, list | tuple | np.ndarray) else 0
    if n <= MOST_HIDDEN_LAYERS:
        return ""
    return (
        f"the kernel takes {MOST_HIDDEN_LAYERS} hidden layers and there are {n}, so the Stan "
        "program computes the likelihood: the same density, several times slower"
    )


def caution(name: str, sources: Mapping[str, str], failure: str | None, record: Path) -> str | None:
    """Return the line that a user reads if the kernel does not run.

    Parameters
    ----------
    name : str
        The program's name.
    sources : mapping of str to str
        The program and its included files, by the name under which they are included.
    failure : str or None
        The compiler's error, its first complaint on the second line; None if there was none.
    record : Path
        The file that keeps the failure; without it the kernel is tried again.

    Returns
    -------
    str or None
        None if the kernel runs, or if the program has no part for it.
    """
    if failure is None:
        own = _own(sources)
        return own and (
            f"{name}: its own {own} computes the likelihood. The kernel is several times faster, "
            "but it replaces only the file that this manymodes writes (--no-kernel says that your "
            "file is meant)"
        )
    complaint = " ".join((failure.splitlines()[1:] or [failure])[0].split())[:200]
    return (
        f"{name}: the kernel could not be built, so the Stan program computes the likelihood: the "
        f"same density, several times slower. The compiler said: {complaint} (to try again, "
        f"remove {record})"
    )


def _own(sources: Mapping[str, str]) -> str | None:
    """Return the edited files among those that the kernel would replace."""
    found = [
        path.name
        for path in sorted(_folder().glob("*.stanfunctions"))
        if (text := sources.get(path.name, "")) != _definition(path).read_text(encoding="utf-8")
        and any(name in text for name in _FUNCTION.findall(path.read_text(encoding="utf-8")))
    ]
    return " and ".join(found) or None


def _definition(declarations: Path) -> Path:
    return stan_dir() / "functions" / declarations.name


def _folder() -> Path:
    return stan_dir() / "kernels"
