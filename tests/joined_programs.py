"""Many programs in one library, made with any Stan: a fraction of the work of compiling each.

Our BridgeStan home makes it: `MAIN` as it would be made for a user, the others, lean, in its user
header. `load` gives any of them with data.

Compiling all programs with the newest Stan takes eight processor minutes, and so it is done only
if something has changed that it depends on: `COMPARED` holds a hash of all that was compared last.
After the tests of the newest Stan have passed with MANYMODES_NEWEST=1, `python
tests/joined_programs.py` writes it anew.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import bridgestan
from filelock import FileLock

import newest_stan
from manymodes import toolchain

TESTS = Path(__file__).parent
STAN = toolchain.stan_dir()
MAIN = TESTS / "bridge_models" / "regression.stan"
SEES = ",".join(map(str, (STAN / "functions", STAN / "blocks", TESTS / "bridge_models")))
SEES_KERNEL = f"{STAN / 'kernels'},{SEES}"
TAKES_KERNEL = re.compile(r"#include (network|general)_likelihood\.stanfunctions")

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


def takes_kernel(path: Path) -> bool:
    return TAKES_KERNEL.search(path.read_text(encoding="utf-8")) is not None


def forms() -> dict[str, tuple[Path, bool]]:
    """Return each form of each program by a name: its file, and whether the kernel is in it."""
    plain = {path.stem: (path, False) for path in programs()}
    return plain | {f"{name}_kernel": (plain[name][0], True) for name in definitions()}


def definitions() -> tuple[str, ...]:
    """Return the forms, without the kernel, of the programs that take it."""
    return tuple(path.stem for path in programs() if takes_kernel(path))


def for_the_newest() -> tuple[str, ...]:
    """Return the forms that are made with the newest Stan: with the kernel where there is one.

    What is without it is the same functions in all programs: two of them are enough.
    """
    left_out = {*definitions(), MAIN.stem} - {"mlp", "mlp_variable"}
    return tuple(name for name in forms() if name not in left_out)


# ---------------------------------------------------------------- what was compared before


COMPARED = TESTS / "pins" / "newest_stan_compared.txt"
AGAIN = "MANYMODES_NEWEST"
"""Environment variable that, set, has everything compared again."""


def sources() -> list[Path]:
    """Return the files that decide the libraries, but this one."""
    found = [*STAN.rglob("*"), *TESTS.rglob("*.stan*"), TESTS / "lean_model.hpp"]
    return sorted(path for path in found if path.is_file())


def to_compare() -> str:
    """Return a hash of what the newest Stan is compared on: the programs, and who compiles them."""
    compiler = subprocess.run(
        ["g++", "-dumpfullversion"], capture_output=True, text=True, check=False
    ).stdout
    digest = hashlib.sha256(repr((newest_stan.WHEEL.version, compiler, for_the_newest())).encode())
    for path in [*sources(), TESTS / "density" / "test_newest_stan.py"]:
        digest.update(f"\0{path.name}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def were_compared() -> bool:
    """Return whether exactly this was compared before, and need not be now."""
    kept = COMPARED.read_text(encoding="utf-8").split() if COMPARED.is_file() else []
    return not os.environ.get(AGAIN) and to_compare() in kept


# ---------------------------------------------------------------- the libraries


def oldest() -> Path:
    """Return the CmdStan of the toolchain, 2.27."""
    found = toolchain.require("cmdstan").cmdstan.path
    assert found is not None
    return found


def load(name: str, data: Mapping[str, Any] | str) -> bridgestan.StanModel:
    """Return a program's form of `for_the_newest`, or `MAIN`, with data."""
    return _load(_library("newest", for_the_newest()), name, data)


def load_definition(name: str, data: Mapping[str, Any] | str) -> bridgestan.StanModel:
    """Return one of the `definitions`, made with the Stan of the toolchain, with data."""
    return _load(_library("oldest", definitions()), name, data)


def _load(library: Path, name: str, data: Mapping[str, Any] | str) -> bridgestan.StanModel:
    ctypes.CDLL(str(library)).choose(_name(name))
    return bridgestan.StanModel(library, data, warn=False)


@functools.cache
def _name(name: str) -> bytes:
    """Return a name that stays where it is: the library keeps the pointer."""
    return name.encode()


@functools.cache
def _library(stan: str, names: tuple[str, ...]) -> Path:
    """Return a library of forms, made once for these sources."""
    cmdstan = newest_stan.cmdstan() if stan == "newest" else oldest()
    digest = hashlib.sha256(repr((cmdstan, names)).encode())
    for path in [*sources(), Path(__file__)]:
        digest.update(path.read_bytes())
    folder = toolchain.home() / "tests" / f"{stan}-{digest.hexdigest()[:16]}"
    target = folder / f"{MAIN.stem}_model.so"
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / "lock"):
        if not target.is_file():
            _build(cmdstan, names, target)
    return target


def _build(cmdstan: Path, names: tuple[str, ...], target: Path) -> None:
    folder = target.parent
    shutil.copyfile(MAIN, folder / MAIN.name)
    header = ["#include <stan/model/model_header.hpp>", f'#include "{TESTS / "lean_model.hpp"}"']
    if any(kernel for _, kernel in map(forms().get, names)):
        header += ["#define MANYMODES_NAMESPACE kernel_functions"]
        header += [f'#include "{STAN / "kernels" / "mlp.hpp"}"']
    header += ["#define model_base_crtp lean_model"]
    choices = []
    for name in names:
        path, kernel = forms()[name]
        options = [f"--name={name}_model", f"--o={folder / name}.hpp"]
        options += [f"--include-paths={SEES_KERNEL if kernel else SEES}"]
        options += ["--allow-undefined"] * kernel
        subprocess.run([cmdstan / "bin" / "stanc", *options, path], check=True)
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
    command = ["make", "--file", STAN / "bridge" / "Makefile", f"CMDSTAN={cmdstan}", "O=0"]
    command += [f"BRIDGE_BUILD={folder}", f"USER_HEADER={folder / 'user_header.hpp'}"]
    command += ["STANCFLAGS=--allow-undefined", target]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


if __name__ == "__main__":
    COMPARED.write_text(f"{to_compare()}\n", encoding="utf-8")
