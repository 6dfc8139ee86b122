"""Look for the parts of the toolchain, without network and without side effects.

A part that a user installed wins over one that manymodes set up. A part that an environment
variable names is taken or refused, never passed over. Any other broken part is passed over with a
note if a later place has a part that works.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from importlib import metadata
from pathlib import Path

from manymodes.errors import ToolchainError
from manymodes.runtime.stan_files import stan_dir
from manymodes.toolchain import elf, platforms, polychord
from manymodes.toolchain.components import Component, Source, Toolchain
from manymodes.toolchain.paths import installed, version_key

_OLDEST_CMDSTAN = "2.27"
_TITLES = {
    "cmdstan": "CmdStan",
    "bridge": "BridgeStan",
    "polychord": "PolyChord",
    "compiler": "the C++ compiler",
}


def find() -> Toolchain:
    """Look for every part of the toolchain.

    Returns
    -------
    Toolchain
        The parts found, whether they work, and if not, what to do. Nothing is raised for a
        part that is missing or broken; see `require`.
    """
    return Toolchain(
        cmdstan=_first("cmdstan", _cmdstans()),
        bridge=_first("bridge", _bridges()),
        polychord=_first("polychord", _polychords()),
        compiler=find_compiler(),
    )


def require(*names: str) -> Toolchain:
    """Look for the toolchain and insist on some of its parts.

    Parameters
    ----------
    *names
        Names of components; all of them if none is given. The BridgeStan home of manymodes
        itself builds on CmdStan, so ``"bridge"`` may imply ``"cmdstan"``.

    Raises
    ------
    ToolchainError
        One of them is missing or broken; the message is one line with what to do.
    """
    toolchain = find()
    wanted = set(names) or set(_TITLES)
    if "bridge" in wanted and toolchain.bridge.source == "manymodes":
        wanted.add("cmdstan")
    if unknown := wanted - set(_TITLES):
        raise ValueError(f"no such component: {', '.join(sorted(unknown))}")
    for component in toolchain.components:
        if component.name in wanted and not component.ok:
            title = _TITLES[component.name]
            raise ToolchainError(f"{title}: {component.problem}; {component.remedy}")
    return toolchain


def find_compiler() -> Component:
    """Look for the C++ compiler (``CXX``, else g++) and for make, by name only."""
    compiler = (os.environ.get("CXX") or "g++").split()[0]
    make = os.environ.get("MAKE") or "make"
    path = shutil.which(compiler)
    absent = [tool for tool in (compiler, make) if shutil.which(tool) is None]
    return Component(
        name="compiler",
        version=None,
        source="installed" if path else "missing",
        path=Path(path) if path else None,
        ok=not absent,
        problem=f"{' and '.join(absent)} not found on PATH" if absent else "",
        remedy="install g++ and make (Debian, Ubuntu: build-essential)" if absent else "",
    )


def _first(name: str, candidates: Iterator[Component]) -> Component:
    """Return the first candidate that works or that the environment insists on."""
    broken: list[Component] = []
    for candidate in candidates:
        if candidate.ok or candidate.source == "environment":
            passed = tuple(f"passed over {it.path}: {it.problem}" for it in broken)
            return replace(candidate, notes=candidate.notes + passed)
        broken.append(candidate)
    if broken:
        return broken[0]
    return Component(name, None, "missing", None, False, "not found", platforms.remedy(name))


def _judged(
    name: str,
    version: str | None,
    source: Source,
    path: Path,
    problem: str,
    notes: tuple[str, ...] = (),
) -> Component:
    """Return the component: it works if it has no problem, and only a problem has a remedy."""
    remedy = platforms.remedy(name) if problem else ""
    return Component(name, version, source, path, not problem, problem, remedy, notes)


def _candidates(
    variable: str, places: list[tuple[Path, Source]], check: Callable[[Path, Source], Component]
) -> Iterator[Component]:
    """Yield the part that an environment variable names, judged, and then those of other places.

    CmdStanPy and BridgeStan set their variable themselves when they are given a path. So a
    variable that names one of the other places does not count as the user's choice.
    """
    if named := os.environ.get(variable):
        path = Path(named).expanduser()
        same = [source for place, source in places if place.resolve() == path.resolve()]
        component = check(path, same[0] if same else "environment")
        if not component.ok and not same:
            component = replace(
                component,
                problem=f"{variable} is set, but {component.problem}",
                remedy=f"correct or unset {variable}",
            )
        yield component
    for path, source in places:
        yield check(path, source)


# --------------------------------------------------------------------------------------- CmdStan


def _cmdstans() -> Iterator[Component]:
    places: list[tuple[Path, Source]] = []
    if latest := _cmdstanpy_latest():
        places.append((latest, "cmdstanpy"))
    places.extend((folder, mark.source) for folder, mark in installed("cmdstan"))
    yield from _candidates("CMDSTAN", places, check_cmdstan)


def _cmdstanpy_latest() -> Path | None:
    """Return the CmdStan that CmdStanPy would take by itself, or None."""
    from cmdstanpy import _DOT_CMDSTAN
    from cmdstanpy.utils.cmdstan import get_latest_cmdstan

    directory = Path("~", _DOT_CMDSTAN).expanduser()
    latest = get_latest_cmdstan(str(directory)) if directory.is_dir() else None
    return directory / latest if latest else None


def check_cmdstan(folder: Path, source: Source) -> Component:
    """Judge a CmdStan directory: its version, and whether it has been built."""
    version, problem = _cmdstan_version(folder), ""
    if not folder.is_dir():
        problem = f"{folder} is not a directory"
    elif version is None:
        problem = f"{folder} has no makefile of CmdStan"
    elif version_key(version) < version_key(_OLDEST_CMDSTAN):
        problem = f"version {version} is older than {_OLDEST_CMDSTAN}"
    elif not os.access(folder / "bin" / "stanc", os.X_OK):
        problem = f"{folder} has not been built: no bin/stanc to run"
    elif platform_of_it := elf.foreign(folder / "bin" / "stanc"):
        problem = f"{folder} was built on another machine: its bin/stanc is for {platform_of_it}"
    elif not any(folder.glob("src/cmdstan/main*")):
        problem = f"{folder} is incomplete: no src/cmdstan/main.cpp"
    elif not _has_tbb(folder):
        problem = f"{folder} has not been built: no TBB library"
    return _judged("cmdstan", version, source, folder, problem)


def _cmdstan_version(folder: Path) -> str | None:
    try:
        makefile = (folder / "makefile").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    stated = re.search(r"^CMDSTAN_VERSION\s*:?=\s*(\S+)", makefile, re.MULTILINE)
    return stated[1] if stated else None


def _has_tbb(folder: Path) -> bool:
    """Whether TBB was built, or make/local or the environment names one from elsewhere."""
    local = folder / "make" / "local"
    return (
        any(it.is_file() for it in folder.glob("stan/lib/stan_math/lib/tbb/libtbb.*"))
        or "TBB_LIB" in os.environ
        or (local.is_file() and "TBB_LIB" in local.read_text(encoding="utf-8", errors="replace"))
    )


# ------------------------------------------------------------------------------------ BridgeStan


def _bridges() -> Iterator[Component]:
    from bridgestan.download import CURRENT_BRIDGESTAN

    places: list[tuple[Path, Source]] = []
    if CURRENT_BRIDGESTAN.is_dir():
        places.append((CURRENT_BRIDGESTAN, "installed"))
    places.extend((folder, mark.source) for folder, mark in installed("bridgestan"))
    places.append((stan_dir() / "bridge", "manymodes"))
    yield from _candidates("BRIDGESTAN", places, check_bridge)


def check_bridge(folder: Path, source: Source) -> Component:
    """Judge a BridgeStan home: a folder whose Makefile builds models for the Python client."""
    version, client = _bridge_version(folder), metadata.version("bridgestan")
    problem = "" if (folder / "Makefile").is_file() else f"{folder} has no Makefile"
    problem = problem or _bridge_problem(folder, version, client, source)
    notes: tuple[str, ...] = ()
    if not problem and version and version_key(version)[:2] != version_key(client)[:2]:
        notes = (f"its version differs from that of the Python client bridgestan, {client}",)
    component = _judged("bridge", version, source, folder, problem, notes)
    if problem and source == "manymodes":
        return replace(component, remedy="reinstall manymodes and its dependencies")
    if problem and source == "installed":
        return replace(component, remedy=f"remove {folder}; manymodes has a home of its own")
    return component


def _bridge_problem(folder: Path, version: str | None, client: str, source: Source) -> str:
    """Say why the models of a home cannot work with the Python client; empty if they can.

    The client looks up every function that it knows when it opens a model.
    """
    home, asked = version_key(version)[:2], version_key(client)[:2]
    named = f"{folder} is of version {version}"
    if version and home[:1] > asked[:1]:
        return f"{named}, and the Python client bridgestan of {client}: update the client"
    if version and home < asked and source != "manymodes":
        return f"{named}, older than the Python client bridgestan, {client}, which needs its own"
    if lacking := _client_functions() - _bridge_functions(folder):
        what = f"does not have {', '.join(sorted(lacking))}"
        return f"{folder} {what}, which the Python client bridgestan {client} calls"
    if (folder / "src" / "bridgestan.cpp").is_file() and not any(folder.glob("stan/src/stan/*")):
        return f"{folder} is incomplete: it lacks Stan's sources (git submodules)"
    return ""


@cache
def _client_functions() -> frozenset[str]:
    """Return the functions of a model's library that the Python client looks up."""
    from bridgestan import model

    return frozenset(re.findall(r"stanlib\.(bs_\w+)", Path(model.__file__).read_text("utf-8")))


def _bridge_functions(folder: Path) -> frozenset[str]:
    """Return the functions that a home's header declares, or all if it has no header."""
    for header in (folder / "src" / "bridgestan.h", folder / "bridgestan.h"):
        if header.is_file():
            text = header.read_text(encoding="utf-8", errors="replace")
            return frozenset(re.findall(r"\b(bs_\w+)\s*\(", text))
    return _client_functions()


def _bridge_version(folder: Path) -> str | None:
    """Read the version of the interface from its C++ source, the official one or ours."""
    for source in (folder / "src" / "version.hpp", folder / "bridgestan.cpp"):
        if source.is_file():
            text = source.read_text(encoding="utf-8", errors="replace")
            stated = r"(?:BRIDGESTAN_|bs_)(?:major|minor|patch)(?:_version\s*=)?\s+(\d+)"
            return ".".join(re.findall(stated, text, re.IGNORECASE)[:3]) or None
    return None


# ------------------------------------------------------------------------------------- PolyChord


def _polychords() -> Iterator[Component]:
    for package in _importable("pypolychord"):
        yield check_polychord(package, _distribution_version("pypolychord"), "installed")
    for folder, mark in installed("polychord"):
        yield check_polychord(folder / "pypolychord", mark.version, mark.source)


def _importable(package: str) -> list[Path]:
    """Return the folders of a package that could be imported, without importing it."""
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        return []
    return [Path(place) for place in (spec.submodule_search_locations or ())] if spec else []


def _distribution_version(package: str) -> str | None:
    """Return the version of the distribution that contains a package, under any name."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        owners = metadata.packages_distributions().get(package)
    return metadata.version(owners[0]) if owners else None


def check_polychord(package: Path, version: str | None, source: Source) -> Component:
    """Judge a ``pypolychord`` package folder by its shared library, which a child process opens.

    If the library states its own version, it replaces `version`.
    """
    library = polychord.find_library(package)
    remedy = platforms.remedy("polychord")
    if library is None:
        problem = f"{package} has no libchord"
    elif not polychord.exports_interface(library):
        problem = f"{library} has no C interface"
    elif polychord.bundles_mpi(library):
        problem = "this build carries its own MPI, which cannot start"
    elif (version := polychord.stated_version(library) or version) is None:
        problem = f"{package} does not state its version"
    elif platform_of_it := elf.foreign(library):
        problem = f"{library} is for {platform_of_it}"
    elif elf.readable(library) and (reason := polychord.opening_problem(library)):
        problem = f"{library} cannot be opened: {reason}"
        remedy = polychord.opening_remedy(reason, remedy)
    else:
        problem = ""
    notes = tuple(note for note in (polychord.glibc_note(),) if note)
    judged = _judged("polychord", version, source, library or package, problem, notes)
    return replace(judged, remedy=remedy) if problem else judged
