"""The command ``compare`` with several run directories: models, not modes."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from manymodes.errors import InputError

if TYPE_CHECKING:
    from manymodes.models import ModelComparison

MODELS = "models.json"
PAGE = "models.html"


def is_of_models(folders: Sequence[Path]) -> bool:
    """Return whether directories hold several posteriors: two directories, or one of a study."""
    from manymodes.models import is_study

    return len(folders) > 1 or is_study(folders[0])


def refuse_model_options(options: argparse.Namespace) -> None:
    """Refuse the options that make no sense for a single run.

    Raises
    ------
    InputError
        One of them was given.
    """
    for name in ("prior_odds", "out", "overwrite"):
        if getattr(options, name):
            raise InputError(
                f"--{name.replace('_', '-')} is for several run directories; there is one, "
                f"{options.run_folders[0]}"
            )


def models_command(options: argparse.Namespace) -> int:
    """Compare models; print the table, write the page where a directory was named."""
    from manymodes.models import compare_models
    from manymodes.report import write_models_report
    from manymodes.report.terminal import models_text
    from manymodes.results.our_files import check_directory
    from manymodes.runtime.storage import (
        ensure_folder,
        json_text,
        refuse_existing,
        sweep_partials,
        write_json,
    )

    if options.out is not None:
        if (options.out / "posterior").exists() or (options.out / "summary.json").exists():
            raise InputError(f"--out: {options.out} holds a run: choose another directory")
        check_directory(options.out)
        ensure_folder(options.out)
        files = [options.out / name for name in (PAGE, MODELS)]
        refuse_existing(files, options.overwrite)
        sweep_partials(options.out, PAGE, MODELS)
    comparison = compare_models(options.run_folders, prior=options.prior_odds, seed=options.seed)
    found = _summary(comparison, options)
    if options.out is not None:
        write_models_report(options.out / PAGE, comparison, settings=_settings(options))
        write_json(options.out / MODELS, found)
    if options.json:
        print(json_text(found))
    elif not options.quiet:
        print(models_text(comparison))
        if options.out is not None:
            print(f"\nReport: {options.out / PAGE}")
    return 0


def _summary(comparison: ModelComparison, options: argparse.Namespace) -> dict[str, Any]:
    from manymodes._version import __version__
    from manymodes.report import models_answer
    from manymodes.report.model_remarks import model_cautions, model_notes

    return {
        "manymodes": __version__,
        "command": "compare",
        **_settings(options),
        "answer": [text.replace("\u00a0", " ") for text in models_answer(comparison)],
        **comparison.as_dict(),
        "notes": list(model_notes(comparison)),
        "cautions": list(model_cautions(comparison)),
    }


def _settings(options: argparse.Namespace) -> dict[str, Any]:
    return {"seed": options.seed, "prior_odds": options.prior_odds}
