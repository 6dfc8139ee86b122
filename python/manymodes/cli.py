"""The command line: ``manymodes COMMAND ...``.

Exit status: 0 done; 1 the run failed; 2 the user's input is wrong. Errors are one line on
standard error.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from manymodes.audit_command import audit_command
from manymodes.errors import InputError, ManymodesError
from manymodes.options import parser
from manymodes.table_commands import network_command, predict_command

if TYPE_CHECKING:
    from manymodes.chains import Chains
    from manymodes.comparison import Comparison
    from manymodes.nested import Nested
    from manymodes.posterior import Posterior
    from manymodes.table import Table

Command = Callable[[argparse.Namespace], int]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    # The samplers fill the cores; linear algebra on more threads only gets in their way.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        options = parser().parse_args(arguments)
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


def _complain(error: object, status: int) -> int:
    text = " ".join(str(error).split()) if isinstance(error, InputError) else str(error)
    print(f"manymodes: error: {text}", file=sys.stderr)
    return status


# -------------------------------------------------------------------------- toolchain


def _doctor(options: argparse.Namespace) -> int:
    from manymodes.toolchain import find, render

    toolchain = find()
    print(json.dumps(toolchain.as_dict(), indent=1) if options.json else render(toolchain))
    return 0 if all(part.ok for part in toolchain.components) else 1


def _setup(options: argparse.Namespace) -> int:
    from manymodes.toolchain import render, setup

    toolchain = setup(options.source, quiet=options.quiet)
    if not options.quiet:
        print(render(toolchain))
    return 0


# -------------------------------------------------------------------------- one posterior


def _named_posterior(files: Sequence[Path]) -> Posterior:
    from manymodes.posterior import Posterior
    from manymodes.results import open_posterior

    match files:
        case [folder] if folder.is_dir():
            return open_posterior(folder)
        case [program, data]:
            return Posterior.from_files(program, data)
        case [only]:
            raise InputError(f"{only}: give the folder of a network, or MODEL.stan and DATA.json")
        case _:
            raise InputError("give the folder of a network, or MODEL.stan and DATA.json")


def _checked_posterior(options: argparse.Namespace) -> Posterior:
    """Return the named posterior; refuse data that do not fit before anything is removed."""
    posterior = _named_posterior(options.posterior).compile(quiet=options.quiet)
    posterior.model  # noqa: B018
    return posterior


def _table_of(files: Sequence[Path]) -> Table | None:
    """Return how the folder of a network was made from a table, if it was."""
    from manymodes.table import TABLE, Table

    return Table.load(files[0]) if (files[0] / TABLE).is_file() else None


def _sample(options: argparse.Namespace) -> int:
    from manymodes.chains import run_chains
    from manymodes.results import run_directory, save_posterior, write_chains

    settings = _nuts_settings(options)
    posterior, table = _checked_posterior(options), _table_of(options.posterior)
    with run_directory(options.out, overwrite=options.overwrite):
        _bind(options, posterior)
        chains = run_chains(
            posterior,
            chains=options.chains,
            settings=settings,
            seed=options.seed,
            out=options.out,
            resume=options.resume,
            workers=options.workers,
            quiet=options.quiet,
        )
        save_posterior(posterior, options.out / "posterior")
        if table is not None:
            table.save(options.out / "posterior")
        write_chains(chains, options.out)
        for index, message in chains.failures.items():
            print(f"manymodes: chain {index} failed: {message}", file=sys.stderr)
        if options.no_modes:
            said = {
                "n": chains.n_chains,
                "draws": chains.n_draws,
                "divergences": chains.divergences,
            }
            return _finish_without_modes(options, posterior, "chains", said)
        return _finish(options, posterior, "sample", chains=chains)


def _evidence(options: argparse.Namespace) -> int:
    from manymodes.nested import run_nested
    from manymodes.results import run_directory, save_posterior, write_nested

    settings = _polychord_settings(options)
    posterior, table = _checked_posterior(options), _table_of(options.posterior)
    posterior.prior  # noqa: B018 - a program without the switch is refused first
    with run_directory(options.out, overwrite=options.overwrite):
        _bind(options, posterior)
        nested = run_nested(
            posterior,
            runs=options.runs,
            settings=settings,
            reference=options.reference,
            seed=options.seed,
            out=options.out,
            resume=options.resume,
            workers=options.workers,
            quiet=options.quiet,
        )
        save_posterior(posterior, options.out / "posterior")
        if table is not None:
            table.save(options.out / "posterior")
        write_nested(nested, options.out)
        for index, message in nested.failures.items():
            print(f"manymodes: nested run {index} failed: {message}", file=sys.stderr)
        if options.no_modes:
            said = {"log_z": nested.log_z, "log_z_sd": nested.log_z_sd, "runs": len(nested.runs)}
            return _finish_without_modes(options, posterior, "nested", said)
        return _finish(options, posterior, "evidence", nested=nested)


def _compare(options: argparse.Namespace) -> int:
    from manymodes.results import open_posterior, run_directory

    if not (options.run_folder / "posterior").is_dir():
        raise InputError(f"{options.run_folder} holds no run: make one with sample or evidence")
    posterior = open_posterior(options.run_folder / "posterior")
    options.out = options.run_folder
    with run_directory(options.out):
        return _finish(options, posterior, "compare")


def _bind(options: argparse.Namespace, posterior: Posterior) -> None:
    """Refuse a run directory that belongs to another posterior."""
    from manymodes.results import open_posterior

    kept = options.out / "posterior"
    if kept.is_dir() and open_posterior(kept).identity != posterior.identity:
        raise InputError(f"{options.out} holds a run of another posterior: choose another --out")


def _finish(
    options: argparse.Namespace,
    posterior: Posterior,
    command: str,
    *,
    chains: Chains | None = None,
    nested: Nested | None = None,
) -> int:
    """Compare what was run with what else the directory holds; write summary and report."""
    from manymodes.chains import load_chains
    from manymodes.comparison import compare
    from manymodes.nested import load_nested
    from manymodes.report import write_report
    from manymodes.results import REPORT, SUMMARY, summarise
    from manymodes.storage import write_json
    from manymodes.toolchain import find

    comparison = compare(
        posterior,
        chains=chains or load_chains(posterior, options.out),
        nested=nested or load_nested(posterior, options.out),
        seed=options.seed,
        quiet=options.quiet,
    )
    comparisons = {posterior.name: comparison}
    summary = summarise(comparisons, command=command, seed=options.seed)
    write_report(
        options.out / REPORT,
        comparisons,
        title=f"The modes of {posterior.name}",
        introduction="",
        settings={"command": command, "seed": options.seed},
        toolchain=find().as_dict(),
    )
    write_json(options.out / SUMMARY, summary)
    _show(options, comparisons, summary)
    return 0


def _finish_without_modes(
    options: argparse.Namespace, posterior: Posterior, engine: str, said: Mapping[str, float]
) -> int:
    """Say what was drawn; a summary of earlier draws would no longer be true."""
    from manymodes.results import REPORT, SUMMARY

    for name in (SUMMARY, REPORT):
        (options.out / name).unlink(missing_ok=True)
    if options.json:
        print(json.dumps({"posteriors": {posterior.name: {engine: said}}}, indent=1))
    elif not options.quiet:
        figures = ", ".join(f"{name} {value:.6g}" for name, value in said.items())
        print(f"{options.out}: {engine}: {figures}; for modes: manymodes compare {options.out}")
    return 0


# -------------------------------------------------------------------------- studies


def _study(options: argparse.Namespace) -> int:
    from manymodes.results import SUMMARY
    from manymodes.storage import read_json
    from manymodes.studies.xor import run_xor

    if options.name is None:
        print("xor        Noisy XOR: chains and evidence, with and without the constraint")
        print("xor-seeds  How noisy XOR depends on the data seed and the noise")
        return 0
    if options.out is None:
        raise InputError("study: --out is needed, the directory for the results")
    if options.name == "xor-seeds":
        return _study_seeds(options)
    comparisons = run_xor(
        options.out,
        noise_sd=options.noise_sd,
        data_seed=options.data_seed,
        chains=options.chains,
        nuts=_nuts_settings(options),
        runs=options.runs,
        polychord=_polychord_settings(options),
        seed=options.seed,
        workers=options.workers,
        resume=options.resume,
        overwrite=options.overwrite,
        quiet=options.quiet,
    )
    _show(options, comparisons, read_json(options.out / SUMMARY))
    return 0


def _study_seeds(options: argparse.Namespace) -> int:
    from manymodes.studies.xor_seeds import run_xor_seeds, tables_text

    table = run_xor_seeds(
        options.out,
        data_seeds=options.data_seeds,
        polychord=_polychord_settings(options),
        runs=options.runs,
        seed=options.seed,
        workers=options.workers,
        resume=options.resume,
        overwrite=options.overwrite,
        quiet=options.quiet,
    )
    print(json.dumps(table, indent=1) if options.json else tables_text(table))
    return 0


# -------------------------------------------------------------------------- output


def _show(
    options: argparse.Namespace,
    comparisons: Mapping[str, Comparison],
    summary: Mapping[str, Any],
) -> None:
    from manymodes.results import REPORT, SUMMARY
    from manymodes.text import comparison_table

    if options.json:
        print((options.out / SUMMARY).read_text(encoding="utf-8"), end="")
    elif not options.quiet:
        for name, comparison in comparisons.items():
            print("\n" + comparison_table(name, comparison))
        print(f"\nReport: {options.out / REPORT}")


# -------------------------------------------------------------------------- settings


def _nuts_settings(options: argparse.Namespace) -> Any:
    from manymodes.nuts import NutsSettings

    return NutsSettings(
        warmup=options.warmup,
        draws=options.draws,
        adapt_delta=options.adapt_delta,
        max_treedepth=options.max_treedepth,
    )


def _polychord_settings(options: argparse.Namespace) -> Any:
    from manymodes.polychord import PolyChordSettings

    return PolyChordSettings(
        nlive=options.nlive,
        nprior=options.nprior,
        num_repeats=options.repeats,
        precision=options.precision,
        clustering=options.clustering,
    )


_COMMANDS: dict[str, Command] = {
    "doctor": _doctor,
    "setup": _setup,
    "network": network_command,
    "sample": _sample,
    "evidence": _evidence,
    "compare": _compare,
    "predict": predict_command,
    "audit": audit_command,
    "study": _study,
}
