"""The command ``export``, which writes a run in the files of other programs."""

from __future__ import annotations

import argparse
from pathlib import Path

from manymodes.errors import InputError


def export_command(options: argparse.Namespace) -> int:
    """Write the nested runs of a run directory, of each posterior in it, in another layout."""
    from manymodes.results.nested_export import write_polychord_files
    from manymodes.results.run_directory import open_posterior
    from manymodes.runtime.storage import json_text
    from manymodes.sampling.nested import load_nested

    writer = {"polychord": write_polychord_files}[options.to]
    loaded = {
        folder: load_nested(open_posterior(folder / "posterior"), folder)
        for folder in _posterior_folders(options.run_folder)
    }
    found = {folder: nested for folder, nested in loaded.items() if nested is not None}
    if not found:
        raise InputError(
            f"{options.run_folder} holds no nested runs: make some with manymodes evidence"
        )
    written: list[Path] = []
    for folder, nested in found.items():
        root = options.root
        if folder != options.run_folder:
            root = folder.name if root is None else f"{root}_{folder.name}"
        written += writer(
            nested, options.out, root=root, seed=options.seed, overwrite=options.overwrite
        )
    if options.json:
        print(json_text({"files": [str(path) for path in written]}))
    elif not options.quiet:
        print("".join(f"{path}\n" for path in written), end="")
    return 0


def _posterior_folders(run: Path) -> list[Path]:
    """Return the folders of a run's posteriors; a study has one folder for each."""
    if (run / "posterior").is_dir():
        return [run]
    folders = sorted(path.parent for path in run.glob("*/posterior") if path.is_dir())
    if not folders:
        raise InputError(f"{run} holds no run: make one with manymodes evidence")
    return folders
