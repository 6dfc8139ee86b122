"""Compile the programs of ``bridge_models/`` with our BridgeStan home, once for all workers."""

from __future__ import annotations

import functools
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from unittest import mock

import bridgestan
from filelock import FileLock

from manymodes import toolchain

MODELS = Path(__file__).parent / "bridge_models"
HOME = toolchain.stan_dir() / "bridge"


def environment() -> dict[str, str]:
    """Return the settings with which the official client finds our home."""
    return {
        "BRIDGESTAN": str(HOME),
        "CMDSTAN": str(toolchain.require("cmdstan").cmdstan.path),
        "BRIDGE_BUILD": str(toolchain.home() / "bridge"),
    }


@functools.cache
def compiled(name: str, *make_args: str) -> Path:
    """Compile a program below the toolchain's directory; make decides what is out of date."""
    folder = (
        toolchain.home() / "tests" / "bridge" / "-".join(["default", *make_args]).replace("=", "-")
    )
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / f"{name}.lock"), mock.patch.dict(os.environ, environment()):
        for source in MODELS.glob("*.stan*"):
            copy = folder / source.name
            if not copy.exists() or copy.read_bytes() != source.read_bytes():
                shutil.copyfile(source, copy)
        return bridgestan.compile_model(folder / f"{name}.stan", make_args=list(make_args))


def load(
    name: str, data: Mapping[str, Any] | str | None = None, *make_args: str, **options: Any
) -> bridgestan.StanModel:
    """Load a program of ``bridge_models/`` with data, compiling it if necessary."""
    return bridgestan.StanModel(compiled(name, *make_args), data, warn=False, **options)


def copy_of(cmdstan: Path, folder: Path, *own: str) -> Path:
    """Link to a CmdStan, but for the folders ``own``, which are made anew."""
    folder.mkdir(parents=True)
    for entry in cmdstan.iterdir():
        if entry.name == ".manymodes.json":
            continue
        inside = [path.partition("/")[2] for path in own if path.split("/")[0] == entry.name]
        if not inside:
            (folder / entry.name).symlink_to(entry)
        elif inside == [""]:
            (folder / entry.name).mkdir()
        else:
            copy_of(entry, folder / entry.name, *inside)
    return folder
