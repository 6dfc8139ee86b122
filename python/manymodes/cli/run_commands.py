"""The commands that draw from one posterior and compare the draws."""

from __future__ import annotations

import argparse
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from manymodes.cli.option_groups import settings_of
from manymodes.errors import InputError, ResultsError

if TYPE_CHECKING:
    from manymodes.density.posterior import Posterior
    from manymodes.modes.checks import Checks
    from manymodes.modes.comparison import Comparison
    from manymodes.modes.diagnosis import Diagnosis
    from manymodes.sampling.chains.chains import Chains
    from manymodes.sampling.chains.settings import ChainSettings
    from manymodes.sampling.nested import Nested
    from manymodes.sampling.tempered import Tempered


_COLUMNS = 88


def sample_command(options: argparse.Namespace) -> int:
    """Run many chains of NUTS."""
    from manymodes.results.run_directory import run_directory
    from manymodes.sampling.chains.chains import run_chains
    from manymodes.sampling.chains.settings import ChainSettings

    settings = settings_of(options, ChainSettings())
    posterior = checked_posterior(options)
    beside = None if options.resume or options.overwrite else options.out
    settings.check_room(posterior, beside, options.part)
    _check_starts(options, posterior, settings)
    held = run_directory(options.out, overwrite=options.overwrite, reads=options.posterior)
    with executor_of(options) as executor, held:
        bind(options, posterior)
        keep_posterior(options, posterior)
        chains = run_chains(posterior, settings, out=options.out, **place_of(options, executor))
        whole = options.part is None  # the others' draws may be anywhere; merge writes the file
        if whole:
            _write_chains(options, chains)
        for index, message in chains.failures.items():
            print(f"manymodes: chain {index} failed: {message}", file=sys.stderr)
        if options.no_modes or not whole:
            return finish_chains(options, posterior, chains)
        return finish(options, posterior, "sample", chains=chains)


def finish_chains(options: argparse.Namespace, posterior: Posterior, chains: Chains) -> int:
    """Say what the chains drew, without a search for modes."""
    from manymodes.modes.diagnosis.quick import chain_health
    from manymodes.report.health_words import health_lines

    health = chain_health(chains)
    if not (options.quiet or options.json):
        for line in health_lines(health)[1:]:  # a caution: the figures are said below
            print(line, file=sys.stderr)
    said = health.as_dict() | {"draws": chains.n_draws}
    return finish_without_modes(options, posterior, {"chains": chains}, said)


def adopt_command(options: argparse.Namespace) -> int:
    """Take chains that were made elsewhere."""
    from manymodes.results.our_files import removed_by
    from manymodes.results.run_directory import run_directory
    from manymodes.runtime.storage import held_folder
    from manymodes.sampling.adoption.adopt import Prepared, prepared_chains, refuse_chains
    from manymodes.sampling.adoption.sources import FileSource, sources_of

    posterior = checked_posterior(options)
    sources = sources_of(options.chains)
    files = [source.path for source in sources if isinstance(source, FileSource)]
    doomed = removed_by(options.out, files) if options.overwrite else None
    if doomed is not None:
        raise InputError(
            f"--chains: {doomed} is in the directory that --overwrite empties: copy it to another "
            "place, or choose another --out"
        )
    taken: list[Prepared] = []
    with ExitStack() as stack:

        def prepare() -> None:
            if not options.overwrite:
                bind(options, posterior)
                refuse_chains(options.out)
            prepared = prepared_chains(posterior, sources, options.out, quiet=options.quiet)
            taken.append(stack.enter_context(prepared))

        reads = [*options.posterior, *files]
        held = run_directory(options.out, overwrite=options.overwrite, reads=reads, ready=prepare)
        with held:
            folder = options.out.resolve() / "chains"
            with held_folder(folder):
                chains = taken[0].placed(folder)
            keep_posterior(options, posterior)
            _write_chains(options, chains)
            if options.no_modes:
                return finish_chains(options, posterior, chains)
            return finish(options, posterior, "adopt", chains=chains)


def _write_chains(options: argparse.Namespace, chains: Chains) -> None:
    from manymodes.results.run_directory import write_chains

    if not write_chains(chains, options.out) and not options.quiet:
        print("manymodes: chains.nc leaves log_likelihood out: it is large", file=sys.stderr)


def compare_command(options: argparse.Namespace) -> int:
    """Compare the modes of one run, or the models of several."""
    from manymodes.cli.model_command import is_of_models, models_command, refuse_model_options
    from manymodes.results.run_directory import open_posterior, run_directory

    if is_of_models(options.run_folders):
        return models_command(options)
    refuse_model_options(options)
    folder = options.run_folders[0]
    if not (folder / "posterior").is_dir():
        raise InputError(f"{folder} holds no run: make one with sample or evidence")
    posterior = open_posterior(folder / "posterior")
    options.out = folder
    with run_directory(options.out):
        return finish(options, posterior, "compare")


# -------------------------------------------------------------------------- the posterior


def _named_posterior(files: Sequence[Path], *, no_kernel: bool) -> Posterior:
    from manymodes.density.posterior import Posterior
    from manymodes.results.run_directory import open_posterior

    match files:
        case [folder] if folder.is_dir():
            return open_posterior(folder, kernel=False if no_kernel else None)
        case [program, data]:
            return Posterior.from_files(program, data, kernel=not no_kernel)
        case [program] if program.suffix == ".stan":
            return Posterior.from_files(program, kernel=not no_kernel)
        case [only]:
            raise InputError(f"{only}: give the folder of a network, or MODEL.stan and DATA.json")
        case _:
            raise InputError("give the folder of a network, or MODEL.stan and DATA.json")


def checked_posterior(options: argparse.Namespace) -> Posterior:
    """Return the named posterior; refuse data that do not fit before anything is removed."""
    if options.no_kernel and (getattr(options, "threads_per_chain", None) or 1) > 1:
        raise InputError("--threads-per-chain needs the kernel: leave --no-kernel out, or this")
    if getattr(options, "resume", False) and options.overwrite:
        raise InputError("--overwrite removes what --resume would continue: leave one of them out")
    posterior = _named_posterior(options.posterior, no_kernel=options.no_kernel)
    posterior.compile(quiet=options.quiet).model  # noqa: B018
    return posterior


def _check_starts(
    options: argparse.Namespace, posterior: Posterior, settings: ChainSettings
) -> None:
    """Refuse starts that cannot be had before anything is removed, and those that would be."""
    from manymodes.results.our_files import removed_by
    from manymodes.sampling.chains.starts import PATHFINDER, make_starts, parse_init

    init = parse_init(settings.starts_at)
    if init.path is not None and options.overwrite:
        doomed = removed_by(options.out, init.files)
        if doomed is not None:
            raise InputError(
                f"--init: {doomed} is in the directory that --overwrite empties: copy what --init "
                "reads to another place, or choose another --out"
            )
    if init.path is not None or init.kind == PATHFINDER:
        make_starts(
            posterior,
            init,
            chains=settings.chains,
            seed=settings.seed,
            superchains=settings.superchain,
        )


def bind(options: argparse.Namespace, posterior: Posterior) -> None:
    """Refuse a run directory that belongs to another posterior."""
    from manymodes.results.run_directory import open_posterior

    kept = options.out / "posterior"
    if kept.is_dir() and open_posterior(kept).identity != posterior.identity:
        raise InputError(f"{options.out} holds a run of another posterior: choose another --out")


def keep_posterior(options: argparse.Namespace, posterior: Posterior) -> None:
    """Keep program and data with the run and, of a table, how it was read and what was held out."""
    from manymodes.modes.held_out import keep_held_out
    from manymodes.results.run_directory import save_posterior
    from manymodes.tables.table import TABLE, Table

    target, source = options.out / "posterior", options.posterior[0]
    if source.resolve() == target.resolve():
        return
    save_posterior(posterior, target)
    if (source / TABLE).is_file():
        table = Table.load(source)
        table.save(target)
        keep_held_out(table, source, target)


# -------------------------------------------------------------------------- where chains run


@contextmanager
def executor_of(options: argparse.Namespace) -> Iterator[Executor | None]:
    """Hold the executor that was asked for; None for local processes."""
    from manymodes.runtime.executors import dask_executor, mpi_executor

    if options.dask is None and not options.mpi:
        yield None
        return
    if options.workers is not None:
        raise InputError("--workers is the number of local processes: leave it out here")
    with dask_executor(options.dask) if options.dask is not None else mpi_executor() as executor:
        yield executor


def place_of(options: argparse.Namespace, executor: Executor | None) -> dict[str, Any]:
    """Return where an engine runs and what it may continue, as `run_chains` takes it."""
    return {
        "resume": options.resume,
        "other_versions": options.other_versions,
        "executor": executor,
        "workers": options.workers,
        "quiet": options.quiet,
        "part": options.part,
    }


# -------------------------------------------------------------------------- what comes after


def finish(
    options: argparse.Namespace,
    posterior: Posterior,
    command: str,
    *,
    chains: Chains | None = None,
    nested: Nested | None = None,
    tempered: Tempered | None = None,
    checked: Callable[[Comparison], Checks] | None = None,
) -> int:
    """Compare what was run with what else the directory holds; write summary and report.

    Checks of the evidence that were made before stay, unless something new was drawn.
    """
    from manymodes.modes.comparison import compare
    from manymodes.modes.diagnosis import diagnosed
    from manymodes.modes.held_out import kept_held_out
    from manymodes.report import kept_names, write_report
    from manymodes.report.summary_words import add_verdicts
    from manymodes.results.run_directory import (
        REPORT,
        SUMMARY,
        summarise,
        write_chain_modes,
        write_nested,
        write_stacked,
        write_tempered,
    )
    from manymodes.runtime.storage import write_json
    from manymodes.sampling.chains.chains import load_chains
    from manymodes.sampling.nested import load_nested
    from manymodes.sampling.tempered import load_tempered
    from manymodes.toolchain import find

    comparison = compare(
        posterior,
        chains=chains or load_chains(posterior, options.out),
        nested=nested or load_nested(posterior, options.out),
        tempered=tempered or load_tempered(posterior, options.out),
        held_out=kept_held_out(options.out / "posterior"),
        seed=options.seed,
        quiet=options.quiet,
        kept=options.out,
    )
    comparisons = {posterior.name: comparison}
    diagnoses = diagnosed(comparisons)
    if comparison.chains is not None and comparison.stacking is not None:
        weights = comparison.stacking.weights
        write_stacked(comparison.chains, weights, options.out, seed=options.seed)
    write_chain_modes(comparison, options.out)
    if comparison.nested is not None:
        write_nested(comparison.nested, options.out, comparison, seed=options.seed)
    if comparison.tempered is not None:
        write_tempered(comparison.tempered, options.out, comparison)
    checks = _kept_checks(options.out, comparison, command, checked)
    summary = summarise(
        comparisons, command=command, seed=options.seed, diagnoses=diagnoses, checks=checks
    )
    add_verdicts(summary, diagnoses, checks)
    names = kept_names({posterior.name: options.out / "posterior"})
    known = names.get(posterior.name)
    write_report(
        options.out / REPORT,
        comparisons,
        title=f"The modes of {posterior.name}" if known is None else known.title,
        introduction="",
        settings={"command": command, "seed": options.seed},
        toolchain=find().as_dict(),
        diagnoses=diagnoses,
        checks=checks,
        names=names,
    )
    write_json(options.out / SUMMARY, summary)
    show(options, comparisons, diagnoses, checks)
    return 0


def _kept_checks(
    out: Path,
    comparison: Comparison,
    command: str,
    checked: Callable[[Comparison], Checks] | None,
) -> dict[str, Checks]:
    """Return new checks, or those that were kept, by the posterior's name."""
    from manymodes.modes.checks import Checks
    from manymodes.results.run_directory import CHECKS
    from manymodes.runtime.storage import read_json, write_json

    path = out / CHECKS
    if checked is not None:
        found = checked(comparison)
        write_json(path, found.as_dict())
        return {comparison.posterior.name: found}
    if command != "compare":
        path.unlink(missing_ok=True)
    if not path.exists():
        return {}
    try:
        kept = Checks.from_dict(read_json(path))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, ResultsError):
            raise
        raise ResultsError(
            f"{path} is damaged ({type(error).__name__}: {error}): remove it, and make it anew "
            "with evidence --check"
        ) from error
    return {comparison.posterior.name: kept}


def _figure(value: float | None) -> str:
    """Return a count, or a figure with two decimals."""
    if value is None:
        return "-"
    return str(value) if isinstance(value, int) else f"{value:.2f}"


def finish_without_modes(
    options: argparse.Namespace,
    posterior: Posterior,
    drawn: Mapping[str, Chains | Nested | Tempered],
    said: Mapping[str, float | None],
) -> int:
    """Say what each engine drew; remove a summary of earlier draws, which is no longer true."""
    from manymodes.modes.active_units import posterior_active
    from manymodes.report.terminal import active_lines
    from manymodes.results.run_directory import REPORT, SUMMARY
    from manymodes.runtime.storage import json_text

    engine = " and ".join(drawn)
    network = posterior.network
    varies = network is not None and network.active is not None
    active = {name: posterior_active(draws) for name, draws in drawn.items()} if varies else {}

    for name in (SUMMARY, REPORT):
        (options.out / name).unlink(missing_ok=True)
    if options.json:
        what = engine if len(drawn) == 1 else "evidence"
        entry: dict[str, Any] = {"kernel": posterior.program.kernel_state, what: dict(said)}
        if active:
            entry["active"] = {name: one.as_dict() for name, one in active.items()}
        print(json_text({"posteriors": {posterior.name: entry}}))
    elif not options.quiet:
        figures = ", ".join(f"{name} {_figure(value)}" for name, value in said.items())
        part = getattr(options, "part", None)
        what, then = engine, f"for modes: manymodes compare {options.out}"
        if part is not None:
            what = f"{part}: {engine}"
            then = "put the parts together: manymodes merge PART PART ... --out RUN"
        print(f"{options.out}: {what}: {figures}; {then}")
        print("".join(f"{line}\n" for line in active_lines(active)), end="")
    return 0


def show(
    options: argparse.Namespace,
    comparisons: Mapping[str, Comparison],
    diagnoses: Mapping[str, Diagnosis],
    checks: Mapping[str, Checks] | None = None,
) -> None:
    """Print the summary that was written; or tables of the modes, and what the chains say."""
    from manymodes.report.recommendation_words import recommendation_text
    from manymodes.report.terminal import checks_text, comparison_table, diagnosis_text
    from manymodes.results.run_directory import REPORT, SUMMARY
    from manymodes.tables.table import TABLE

    if options.json:
        print((options.out / SUMMARY).read_text(encoding="utf-8"), end="")
    elif not options.quiet:
        for name, comparison in comparisons.items():
            print("\n" + comparison_table(name, comparison))
            if name in diagnoses:
                print("\n" + diagnosis_text(diagnoses[name]))
        for name, one in (checks or {}).items():
            print("\n" + checks_text(name, comparisons[name], one))
        if len(comparisons) == 1:
            (comparison,) = comparisons.values()
            table = (options.out / "posterior" / TABLE).is_file()
            said = recommendation_text(comparison.recommendation, options.out, table=table)
            print("\n" + "\n".join(textwrap.wrap(said, _COLUMNS, break_on_hyphens=False)))
        print(f"\nReport: {options.out / REPORT}")
