"""The command line: ``manymodes COMMAND ...``.

Exit status: 0 done; 1 the run failed; 2 the user's input is wrong. Errors are one line on
standard error.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from manymodes.audit_command import audit_command
from manymodes.errors import InputError, ManymodesError, ManymodesWarning
from manymodes.evidence_command import evidence_command
from manymodes.export_command import export_command
from manymodes.options import parser
from manymodes.run_commands import (
    compare_command,
    nuts_settings,
    polychord_settings,
    sample_command,
    show,
)
from manymodes.table_commands import network_command, predict_command
from manymodes.terminal import shown_safely

Command = Callable[[argparse.Namespace], int]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    with shown_safely():
        return _run(arguments)


def _run(arguments: Sequence[str] | None) -> int:
    # The samplers fill the cores; linear algebra on more threads only gets in their way.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        options = parser().parse_args(arguments)
        with _cautions():
            return _COMMANDS[options.command](options)
    except InputError as error:
        return _complain(error, 2)
    except ManymodesError as error:
        return _complain(error, 1)
    except BrokenPipeError:
        return 1
    except OSError as error:
        return _complain(error, 1)
    except KeyboardInterrupt:
        return _complain("interrupted; what is finished is kept: go on with --resume", 130)


@contextmanager
def _cautions() -> Iterator[None]:
    """Show our warnings as a line each, once."""
    show = warnings.showwarning
    told: set[str] = set()

    def line(message: Warning | str, category: type[Warning], *rest: Any, **named: Any) -> None:
        if issubclass(category, ManymodesWarning):
            if str(message) not in told:
                print(f"manymodes: caution: {message}", file=sys.stderr)
            told.add(str(message))
        else:
            show(message, category, *rest, **named)

    with warnings.catch_warnings():
        warnings.simplefilter("always", ManymodesWarning)
        warnings.showwarning = line
        yield


def _complain(error: object, status: int) -> int:
    text = " ".join(str(error).split()) if isinstance(error, InputError) else str(error)
    print(f"manymodes: error: {text}", file=sys.stderr)
    return status


# -------------------------------------------------------------------------- toolchain

_SETS = {
    "avx512": "AVX-512",
    "avx2": "AVX2 and FMA",
    "baseline": "the instructions that every processor of this kind has",
}


def _doctor(options: argparse.Namespace) -> int:
    from manymodes.kernel import instruction_set
    from manymodes.toolchain import doctor, render

    toolchain = doctor(deep=True)
    chosen = instruction_set()
    if options.json:
        entry = {**toolchain.as_dict(), "kernel": {"instruction_set": chosen}}
        print(json.dumps(entry, indent=1))
    else:
        print(f"{render(toolchain)}\n\nNetworks' likelihoods: the kernel, with {_SETS[chosen]}.")
    return 0 if all(part.ok for part in toolchain.components) else 1


def _setup(options: argparse.Namespace) -> int:
    from manymodes.toolchain import render, setup

    toolchain = setup(options.source, quiet=options.quiet)
    if not options.quiet:
        print(render(toolchain))
    return 0


# -------------------------------------------------------------------------- studies


_STUDIES = {
    "xor": "Noisy XOR: chains and evidence, with and without the constraint",
    "xor-seeds": "How noisy XOR depends on the data seed and the noise",
    "cauchy": "A Cauchy location with two modes: stacking and evidence disagree",
    "digits": "Handwritten digits: stacked chains of 1450 weights on held-out images",
}
_STUDY_OPTIONS = {
    "xor": ("noise_sd", "data_seed"),
    "xor-seeds": ("data_seeds",),
    "cauchy": ("data_seed",),
    "digits": ("data_seed",),
}
"""The options that not every study has."""
_OF_POLYCHORD = ("nlive", "runs", "nprior", "repeats", "precision", "clustering", "processes")
_EFFORT = {"chains": 64, "warmup": 1000, "draws": 1000, "runs": 2, "processes": 1}
_EFFORT_OF_DIGITS = {**_EFFORT, "chains": 16, "warmup": 500, "draws": 500}


def _study(options: argparse.Namespace) -> int:
    if options.name is None:
        for name, about in _STUDIES.items():
            print(f"{name:<10} {about}")
        return 0
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
    if options.name == "digits":
        for name in _OF_POLYCHORD:
            if getattr(options, name) not in (None, False):
                raise InputError(f"study digits: has no --{name}: it runs chains only")
    for name, value in (_EFFORT_OF_DIGITS if options.name == "digits" else _EFFORT).items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    if options.name == "digits":
        return _study_digits(options, given)
    common = {
        "runs": options.runs,
        "polychord": polychord_settings(options),
        "seed": options.seed,
        "workers": options.workers,
        "threads_per_chain": options.threads_per_chain,
        "kernel": not options.no_kernel,
        "resume": options.resume,
        "overwrite": options.overwrite,
        "other_versions": options.other_versions,
        "quiet": options.quiet,
    }
    if options.name == "xor-seeds":
        return _study_seeds(options, {**common, **given})
    from manymodes.studies.cauchy import run_cauchy
    from manymodes.studies.conduct import Effort
    from manymodes.studies.xor import run_xor

    effort = Effort(chains=options.chains, nuts=nuts_settings(options), **common)
    run = run_xor if options.name == "xor" else run_cauchy
    show(options, run(options.out, effort=effort, **given), {})
    return 0


def _study_seeds(options: argparse.Namespace, settings: dict[str, Any]) -> int:
    from manymodes.studies.xor_seeds import run_xor_seeds, tables_text

    table = run_xor_seeds(options.out, **settings)
    print(json.dumps(table, indent=1) if options.json else tables_text(table))
    return 0


def _study_digits(options: argparse.Namespace, given: dict[str, Any]) -> int:
    from manymodes.results import REPORT, SUMMARY
    from manymodes.studies.digits import run_digits
    from manymodes.studies.digits_words import digits_text

    summary = run_digits(
        options.out,
        chains=options.chains,
        nuts=nuts_settings(options),
        seed=options.seed,
        workers=options.workers,
        threads_per_chain=options.threads_per_chain,
        kernel=not options.no_kernel,
        resume=options.resume,
        overwrite=options.overwrite,
        other_versions=options.other_versions,
        quiet=options.quiet,
        **given,
    )
    if options.json:
        print((options.out / SUMMARY).read_text(encoding="utf-8"), end="")
    elif not options.quiet:
        print(f"\n{digits_text(summary)}\n\nReport: {options.out / REPORT}")
    return 0


_COMMANDS: dict[str, Command] = {
    "doctor": _doctor,
    "setup": _setup,
    "network": network_command,
    "sample": sample_command,
    "evidence": evidence_command,
    "compare": compare_command,
    "predict": predict_command,
    "export": export_command,
    "audit": audit_command,
    "study": _study,
}
