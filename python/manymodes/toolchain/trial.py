"""Let the parts of the toolchain do a small piece of their work: "ok" means that it was seen.

Everything here ends by itself within `_SECONDS` and leaves nothing behind.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from manymodes.toolchain import elf, platforms
from manymodes.toolchain.components import Component, Toolchain
from manymodes.toolchain.paths import home
from manymodes.toolchain.process import FROM_AN_OUTER_MAKE

_SECONDS = 60
_STAN = "parameters { real x; } model { x ~ normal(0, 1); }\n"
_CPP = "#include <vector>\nint main() { auto f = [](auto x) { return x; }; return f(0); }\n"
_COMPILER_REMEDY = "install g++ with its standard library (Debian, Ubuntu: build-essential)"


def tried(toolchain: Toolchain) -> Toolchain:
    """Return the toolchain; parts that did not work are marked as broken."""
    compiler = try_compiler(toolchain.compiler)
    cmdstan = _try_tbb(try_cmdstan(toolchain.cmdstan))
    if cmdstan.ok and compiler.ok and toolchain.bridge.source == "manymodes":
        cmdstan = _try_make(cmdstan, toolchain.bridge)
    return Toolchain(cmdstan, toolchain.bridge, _try_polychord(toolchain.polychord), compiler)


def try_compiler(compiler: Component) -> Component:
    """Compile, link and run a small C++14 program, and ask make for its version."""
    if not compiler.ok:
        return compiler
    command = (os.environ.get("CXX") or "g++").split()
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(scratch, "program.cpp")
        source.write_text(_CPP, encoding="utf-8")
        program = str(source.with_suffix(""))
        works, said = _run([*command, "-std=c++14", str(source), "-o", program])
        if not works:
            what = "does not compile a small C++14 program"
            return _broken(compiler, f"{command[0]} {what}: {_first(said)}", _COMPILER_REMEDY)
        works, said = _run([program])
        if not works:
            what = "compiles programs that do not run here"
            return _broken(compiler, f"{command[0]} {what}: {_first(said)}", _COMPILER_REMEDY)
    make = os.environ.get("MAKE") or "make"
    works, said = _run([*make.split(), "--version"])
    if not works:
        return _broken(compiler, f"{make} does not run: {_first(said)}", "install GNU make")
    works, stated = _run([*command, "-dumpfullversion", "-dumpversion"])
    return replace(compiler, version=stated.strip() or None) if works else compiler


def try_cmdstan(cmdstan: Component) -> Component:
    """Let stanc translate a one-line program."""
    if not cmdstan.ok or cmdstan.path is None:
        return cmdstan
    stanc = cmdstan.path / "bin" / "stanc"
    with tempfile.TemporaryDirectory() as scratch:
        program = Path(scratch, "line.stan")
        program.write_text(_STAN, encoding="utf-8")
        works, said = _run([str(stanc), f"--o={program.with_suffix('.hpp')}", str(program)])
    if works:
        return cmdstan
    return _broken(cmdstan, f"{stanc} does not compile one line: {_first(said)}", _remedy(cmdstan))


def _try_tbb(cmdstan: Component) -> Component:
    """Check the library that compiled programs load."""
    if not cmdstan.ok or cmdstan.path is None:
        return cmdstan
    for built in cmdstan.path.glob("stan/lib/stan_math/lib/tbb/libtbb.so.*"):
        if built.is_file() and (elf.foreign(built) or not elf.readable(built)):
            problem = f"{built} is not a library of this platform, or it is cut short"
            return _broken(cmdstan, problem, _remedy(cmdstan))
    return cmdstan


def _try_make(cmdstan: Component, bridge: Component) -> Component:
    """Let make say what it would do to build on this CmdStan."""
    if not bridge.ok or bridge.path is None:
        return cmdstan
    command = [*(os.environ.get("MAKE") or "make").split(), "--dry-run", "precompile"]
    command += [f"CMDSTAN={cmdstan.path}", f"BRIDGE_BUILD={home() / 'bridge'}"]
    works, said = _run(command, folder=bridge.path)
    if works:
        return cmdstan
    complaint = re.sub(r"^\S*: \*\*\* |\.  Stop\.$", "", _last(said))
    return _broken(cmdstan, f"programs cannot be built on it: {complaint}", _remedy(cmdstan))


def _try_polychord(part: Component) -> Component:
    """Insist on a library that a child process has opened, as `discovery` does with real ones."""
    if not part.ok or part.path is None or elf.readable(part.path):
        return part
    problem = f"{part.path} is not a shared library of this platform, or it is cut short"
    return _broken(part, problem, platforms.remedy("polychord"))


def _remedy(cmdstan: Component) -> str:
    """Say what to do about a CmdStan that does not work."""
    if cmdstan.source == "index":
        return f"remove {cmdstan.path}, then {platforms.remedy('cmdstan')}"
    if cmdstan.source == "github":
        return f"remove {cmdstan.path}, then run `manymodes setup --source github`"
    return f"run `make build` in {cmdstan.path}, or use another CmdStan"


def _broken(component: Component, problem: str, remedy: str) -> Component:
    return replace(component, ok=False, problem=problem, remedy=remedy)


def _run(command: Sequence[str], folder: Path | None = None) -> tuple[bool, str]:
    """Run a command; return whether it succeeded, and its output or the way it failed.

    After `_SECONDS` it is ended, with everything that it started.
    """
    env = {key: value for key, value in os.environ.items() if key not in FROM_AN_OUTER_MAKE}
    try:
        child = subprocess.Popen(
            command,
            cwd=folder,
            env={**env, "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
    except OSError as error:
        return False, error.strerror or str(error)
    try:
        said, _ = child.communicate(timeout=_SECONDS)
    except subprocess.TimeoutExpired:
        return False, f"it does not end within {_SECONDS} s"
    finally:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
            child.communicate()
    if child.returncode < 0:
        return False, f"it was ended by {signal.Signals(-child.returncode).name}"
    return child.returncode == 0, said


def _first(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    errors = [line for line in lines if "error" in line.lower()]
    return (errors or lines or ["no message"])[0]


def _last(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return (lines or ["no message"])[-1]
