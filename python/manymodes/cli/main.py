"""The command line: ``manymodes COMMAND ...``.

Exit status: 0 done; 1 the run failed; 2 the user's input is wrong. Errors are one line on
standard error.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from manymodes.cli.audit_command import audit_command
from manymodes.cli.evidence_command import evidence_command
from manymodes.cli.export_command import export_command
from manymodes.cli.incidents import logs, of_full_disk, show_traceback, unexpected
from manymodes.cli.lesson_command import lesson_command, list_studies
from manymodes.cli.merge_command import merge_command
from manymodes.cli.option_groups import settings_of
from manymodes.cli.parser import parser
from manymodes.cli.plot_command import plot_command
from manymodes.cli.run_commands import adopt_command, compare_command, sample_command, show
from manymodes.cli.streams import (
    abandon_output,
    flush_output,
    hold_streams,
    plain_streams,
    shown_safely,
)
from manymodes.cli.table_commands import network_command, predict_command
from manymodes.errors import CompileError, InputError, ManymodesError, StorageError
from manymodes.runtime.interrupts import ending_signals, tell
from manymodes.runtime.printed import silence
from manymodes.runtime.progress import end_line
from manymodes.runtime.scratch import sweep, temporary_files_inside
from manymodes.runtime.storage import json_text
from manymodes.runtime.warning_log import warnings_as_lines

if TYPE_CHECKING:
    from manymodes.studies.conduct import Effort

Command = Callable[[argparse.Namespace], int]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    hold_streams()
    with shown_safely():
        return _status(arguments)


def _status(arguments: Sequence[str] | None) -> int:
    # One thread, because the samplers fill the cores and threads of linear algebra slow them down.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    options = argparse.Namespace()
    with plain_streams():
        try:
            options = parser().parse_args(arguments)
            with _owned_process(options) if arguments is None else nullcontext():
                status = _run(options)
            flush_output()
            return status
        except SystemExit:  # --help and --version
            with suppress(BrokenPipeError, StorageError):
                flush_output()
            raise
        except KeyboardInterrupt as error:
            end_line()
            tell(_interrupted(options))
            return int(getattr(error, "status", 130))
        except Exception as error:
            return _failed(error, options)


def _run(options: argparse.Namespace) -> int:
    """Run a command; the prints of Stan programs stay out of its results."""
    with warnings_as_lines(logs() / "warnings.log"), silence() as printed:
        status = _COMMANDS[options.command](options)
        said = printed()
        if said is not None and not getattr(options, "quiet", False):
            print(f"manymodes: {said}", file=sys.stderr)
        return status


@contextmanager
def _owned_process(options: argparse.Namespace) -> Iterator[None]:
    """Take over signals and temporary files, which only the process of a command may do."""
    with ending_signals(_interrupted(options)):
        from manymodes.toolchain import home, sweep_setup
        from manymodes.toolchain.build_cache import sweep_builds

        sweep()
        sweep_setup()
        sweep_builds(home() / "programs")
        with temporary_files_inside():
            yield


def _interrupted(options: argparse.Namespace) -> str:
    kept = "; finished work is kept: go on with --resume" * hasattr(options, "resume")
    return f"manymodes: error: interrupted{kept}"


def _failed(error: Exception, options: argparse.Namespace) -> int:
    """Say in one line what went wrong; return the exit status."""
    show_traceback(error)
    try:
        flush_output()
    except (BrokenPipeError, StorageError) as lost:
        error = error if isinstance(error, ManymodesError) else lost
    if isinstance(error, BrokenPipeError):  # the reader of our output has read enough
        abandon_output()
        return 1
    if isinstance(error, ManymodesError):
        wrong_input = isinstance(error, InputError) and not of_full_disk(error)
        return _complain(error, 2 if wrong_input else 1)
    return _complain(unexpected(error, _run_folders(options)), 1)


def _run_folders(options: argparse.Namespace) -> list[Path]:
    """Return the run directory that a command works on, if there is one."""
    named = [getattr(options, "run_folder", None), *(getattr(options, "run_folders", None) or [])]
    folders = [folder for folder in (*named, getattr(options, "out", None)) if folder is not None]
    marks = (".lock", "posterior", "chains", "nested")
    return [folder for folder in folders if any((folder / mark).exists() for mark in marks)]


def _complain(error: object, status: int) -> int:
    text = str(error) if isinstance(error, CompileError) else " ".join(str(error).split())
    with suppress(OSError, ValueError):
        end_line()
        print(f"manymodes: error: {text}", file=sys.stderr)
    return status


# -------------------------------------------------------------------------- toolchain

_SETS = {
    "avx512": "AVX-512",
    "avx2": "AVX2 and FMA",
    "baseline": "the instructions that every processor of this kind has",
}


def _doctor(options: argparse.Namespace) -> int:
    from manymodes.density.kernel import instruction_set
    from manymodes.toolchain import doctor, render

    toolchain = doctor(deep=True)
    chosen = instruction_set()
    if options.json:
        entry = {**toolchain.as_dict(), "kernel": {"instruction_set": chosen}}
        print(json_text(entry))
    else:
        print(f"{render(toolchain)}\n\nNetworks' likelihoods: the kernel, with {_SETS[chosen]}.")
    return 0 if all(part.ok for part in toolchain.components) else 1


def _setup(options: argparse.Namespace) -> int:
    from manymodes.toolchain import render, setup

    toolchain = setup(options.source, quiet=options.quiet)
    if options.json:
        print(json_text(toolchain.as_dict()))
    elif not options.quiet:
        print(render(toolchain))
    return 0


# -------------------------------------------------------------------------- studies


_STUDIES = {
    "xor": "Noisy XOR: chains and evidence, with and without the constraint",
    "xor-seeds": "How noisy XOR depends on the data seed and the noise",
    "xor-gains": "What the whole of noisy XOR gains on test sets over its parts",
    "cauchy": "A Cauchy location with two modes: stacking and evidence disagree",
    "digits": "Handwritten digits: stacked chains of 1450 weights on held-out images",
    "fbm": "FBM's three problems with its priors, whose scales are sampled",
}
_STUDY_OPTIONS = {
    "xor": ("noise_sd", "data_seed"),
    "xor-seeds": ("data_seeds",),
    "xor-gains": ("noise_sd", "data_seeds"),
    "cauchy": ("data_seed",),
    "digits": ("data_seed",),
    "fbm": ("data_seed",),
}
"""The options that not every study has."""


def _study(options: argparse.Namespace) -> int:
    if options.name is None:
        return list_studies(options, _STUDIES)
    if options.name not in _STUDIES:
        return lesson_command(options, _STUDIES)
    if options.notebook is not None:
        raise InputError(f"study {options.name}: has no --notebook: it is not a lesson")
    if options.out is None:
        raise InputError("study: --out is needed, the directory for the results")
    given = {
        name: value
        for name in ("noise_sd", "data_seed", "data_seeds")
        if (value := getattr(options, name)) is not None
    }
    for name in given:
        if name not in _STUDY_OPTIONS[options.name]:
            raise InputError(f"study {options.name}: has no --{name.replace('_', '-')}")
    _refuse_engine(options)
    if options.resume and options.overwrite:
        raise InputError("--overwrite removes what --resume would continue: leave one of them out")
    return _RUN_STUDY[options.name](options, given)


def _refuse_engine(options: argparse.Namespace) -> None:
    """Refuse the settings of an engine that a study does not run."""
    from manymodes.sampling.chains.nuts_settings import NutsSettings
    from manymodes.sampling.nested.settings import PolyChordSettings

    unused: dict[str, tuple[type[NutsSettings | PolyChordSettings], str, str]] = {
        "digits": (PolyChordSettings, "runs", "chains"),
        "fbm": (PolyChordSettings, "", "chains and tempering"),
        "xor-gains": (PolyChordSettings, "", "chains and tempering"),
        "xor-seeds": (NutsSettings, "chains", "nested sampling"),
    }
    if options.name not in unused:
        return
    settings, number, what = unused[options.name]
    for name in (*filter(None, [number]), *(one.name for one in fields(settings))):
        if getattr(options, name) not in (None, False):
            option = "repeats" if name == "num_repeats" else name.replace("_", "-")
            raise InputError(f"study {options.name}: has no --{option}: it runs {what} only")


def _effort(options: argparse.Namespace, defaults: Effort) -> Effort:
    """Return how much a study samples: its defaults, with what the user gave."""
    return replace(settings_of(options, defaults), kernel=not options.no_kernel)


def _study_of_both(options: argparse.Namespace, given: dict[str, Any]) -> int:
    from manymodes.studies.cauchy import run_cauchy
    from manymodes.studies.conduct import Effort
    from manymodes.studies.xor import run_xor

    run = run_xor if options.name == "xor" else run_cauchy
    show(options, run(options.out, effort=_effort(options, Effort()), **given), {})
    return 0


def _study_seeds(options: argparse.Namespace, given: dict[str, Any]) -> int:
    from manymodes.studies.conduct import Effort
    from manymodes.studies.xor_seeds import run_xor_seeds, tables_text

    table = run_xor_seeds(options.out, effort=_effort(options, Effort()), **given)
    if options.json:
        print(json_text(table))
    elif not options.quiet:
        print(tables_text(table))
    return 0


def _study_gains(options: argparse.Namespace, given: dict[str, Any]) -> int:
    from manymodes.studies.xor_gains import EFFORT, run_xor_gains
    from manymodes.studies.xor_gains_words import gains_text

    content = run_xor_gains(options.out, effort=_effort(options, EFFORT), **given)
    if options.json:
        print(json_text(content))
    elif not options.quiet:
        print(gains_text(content))
    return 0


def _study_digits(options: argparse.Namespace, given: dict[str, Any]) -> int:
    from manymodes.studies.digits import EFFORT, run_digits
    from manymodes.studies.digits_words import digits_text

    summary = run_digits(options.out, effort=_effort(options, EFFORT), **given)
    _say_study(options, summary, digits_text)
    return 0


def _study_fbm(options: argparse.Namespace, given: dict[str, Any]) -> int:
    from manymodes.studies.fbm import EFFORT, run_fbm
    from manymodes.studies.fbm_words import fbm_text

    summary = run_fbm(options.out, effort=_effort(options, EFFORT), **given)
    _say_study(options, summary, fbm_text)
    return 0


def _say_study(
    options: argparse.Namespace, summary: dict[str, Any], text: Callable[[dict[str, Any]], str]
) -> None:
    """Print what a study found, or its summary, as the options ask for."""
    from manymodes.results.run_directory import REPORT, SUMMARY

    if options.json:
        print((options.out / SUMMARY).read_text(encoding="utf-8"), end="")
    elif not options.quiet:
        print(f"\n{text(summary)}\n\nReport: {options.out / REPORT}")


_RUN_STUDY: dict[str, Callable[[argparse.Namespace, dict[str, Any]], int]] = {
    "xor": _study_of_both,
    "cauchy": _study_of_both,
    "xor-seeds": _study_seeds,
    "xor-gains": _study_gains,
    "digits": _study_digits,
    "fbm": _study_fbm,
}

_COMMANDS: dict[str, Command] = {
    "doctor": _doctor,
    "setup": _setup,
    "network": network_command,
    "sample": sample_command,
    "adopt": adopt_command,
    "evidence": evidence_command,
    "merge": merge_command,
    "compare": compare_command,
    "predict": predict_command,
    "plot": plot_command,
    "export": export_command,
    "audit": audit_command,
    "study": _study,
}
