"""Groups of options that several commands have."""

from __future__ import annotations

import argparse
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from manymodes.cli.arguments import whole
from manymodes.errors import InputError

if TYPE_CHECKING:
    from manymodes.runtime.parts import Part
    from manymodes.sampling.chains.settings import ChainSettings
    from manymodes.sampling.nested.settings import NestedSettings
    from manymodes.sampling.tempered.settings import TemperedSettings


def add_posterior(parser: argparse.ArgumentParser, *, threads: bool = True) -> None:
    """Add what is sampled, and how its likelihood is computed."""
    parser.add_argument(
        "posterior",
        type=Path,
        nargs="+",
        metavar="NET | MODEL.stan DATA.json",
        help="the folder of a network, or a Stan program and its data, if it has any",
    )
    add_likelihood(parser, threads=threads)


def add_chain_files(parser: argparse.ArgumentParser) -> None:
    """Add the files of chains that were made elsewhere."""
    parser.add_argument(
        "--chains",
        nargs="+",
        required=True,
        metavar="FILE",
        help="CSV files of CmdStan, from any interface; NetCDF or Zarr of ArviZ; JSON of "
        "posteriordb; a folder or a quoted pattern stands for the files in it",
    )


def add_likelihood(parser: argparse.ArgumentParser, *, threads: bool = True) -> None:
    """Add how a network's likelihood is computed, and by how many threads."""
    group = parser.add_argument_group("a network's likelihood")
    group.add_argument(
        "--no-kernel",
        action="store_true",
        help="compute it as the Stan program says, not in C++: the same density, slower",
    )
    if not threads:
        return
    group.add_argument(
        "--threads-per-chain",
        type=_threads,
        metavar="N",
        help="threads for one likelihood of many data, where the kernel computes it: auto, as many "
        "as chains or runs leave cores to each, or N at most (default: auto)",
    )


def add_nuts(parser: argparse.ArgumentParser, defaults: ChainSettings | None) -> None:
    """Add the settings of chains; without defaults, those of a study hold, which runs NUTS."""
    title = "chains of NUTS or mams" if defaults else f"NUTS{_OF_STUDY}"
    group = parser.add_argument_group(title)
    nuts = defaults and defaults.nuts
    _setting(group, defaults, "chains", "how many chains", type=many)
    _setting(group, nuts, "warmup", "warm-up iterations", type=whole(None))
    _setting(group, nuts, "draws", "draws of each chain", type=whole(None))
    _setting(
        group,
        nuts,
        "adapt_delta",
        "target acceptance" + "; mams aims at (1 + it) / 2" * (defaults is not None),
        type=float,
    )
    _setting(
        group, nuts, "max_treedepth", "log2 of the gradients of a trajectory", type=whole(None, 60)
    )


def add_many_chains(parser: argparse.ArgumentParser, defaults: ChainSettings) -> None:
    """Add what concerns runs of many chains, and where they run."""
    group = parser.add_argument_group("many chains")
    _setting(
        group,
        defaults,
        "init",
        "where chains start: radius:R, prior, climb[:R], pathfinder, a JSON file or an earlier "
        "run; auto is climb with mams, radius:2 otherwise",
        metavar="HOW",
    )
    _setting(
        group,
        defaults,
        "superchain",
        "so many chains share each starting point, for nested R-hat",
        type=many,
        metavar="M",
    )
    _setting(
        group,
        defaults,
        "share_warmup",
        "offer what the first P chains learned in warm-up to later ones of the same basin",
        type=whole(0, _MANY),
        metavar="P",
    )
    _setting(
        group, defaults, "retries", "further attempts at a chain that fails", type=whole(0, 1000)
    )
    _setting(
        group,
        defaults,
        "time_limit",
        "stop a chain after that and keep its draws so far",
        otherwise="no limit",
        type=float,
        metavar="SECONDS",
    )
    _setting(
        group,
        defaults,
        "sampler",
        "cmdstan (NUTS), nutpie (NUTS, where installed), or mams (many weights)",
    )
    _add_part(group, "chains")
    _add_place(parser, "sample", "chains")


def add_polychord(parser: argparse.ArgumentParser, defaults: NestedSettings | None) -> None:
    """Add the settings of PolyChord; without defaults, those of a study hold."""
    group = parser.add_argument_group(f"PolyChord{'' if defaults else _OF_STUDY}")
    polychord = defaults and defaults.polychord
    _setting(
        group,
        polychord,
        "nlive",
        "live points of each run",
        otherwise="250; 100 over a measure fitted to chains",
        type=whole(None),
    )
    _setting(group, defaults, "runs", "independent runs, merged", type=whole(1, 10_000))
    _setting(
        group,
        polychord,
        "nprior",
        "prior draws to begin with",
        otherwise="10 x nlive",
        type=whole(None),
    )
    _setting(
        group,
        polychord,
        "num_repeats",
        "slices between samples",
        otherwise="5 x dimension; 3 x over a measure fitted to chains",
        option="--repeats",
        metavar="REPEATS",
        type=whole(None),
    )
    _setting(
        group,
        polychord,
        "precision",
        "share of the evidence left at the end",
        otherwise="0.001; 0.01 over a measure fitted to chains",
        type=float,
    )
    group.add_argument(
        "--clustering", action="store_true", help="PolyChord's own clustering (default: off)"
    )
    _setting(
        group,
        polychord,
        "processes",
        "MPI processes of each run, where PolyChord was built with MPI",
        type=workers,
    )


def add_tempering(parser: argparse.ArgumentParser, defaults: TemperedSettings | None) -> None:
    """Add the settings of tempering; without defaults, those of a study hold."""
    group = parser.add_argument_group(f"tempering{'' if defaults else _OF_STUDY}")
    _setting(
        group,
        defaults,
        "rounds",
        "rounds of each run, each twice as long as the one before",
        type=whole(None),
    )
    _setting(
        group,
        defaults,
        "max_rounds",
        "add rounds up to this one until the error is that aimed at",
        otherwise="4 more than --rounds, at least 13",
        type=whole(None),
        metavar="ROUND",
    )
    _setting(
        group,
        defaults,
        "temperatures",
        "temperatures of each run",
        otherwise="as many as the barrier asks for",
        type=whole(None),
        metavar="N",
    )
    _setting(
        group,
        defaults,
        "steps",
        "leapfrog steps of a move",
        otherwise="learned at each temperature",
        type=whole(None),
        metavar="N",
    )
    _setting(
        group,
        defaults,
        "beginnings",
        "beginnings of a run, where no draw of the base measure comes to the posterior early; the "
        "best is gone on with",
        type=whole(None),
        metavar="N",
    )
    _setting(group, defaults, "metric", "dense (learned correlations) or diagonal")


def add_evidence(parser: argparse.ArgumentParser, defaults: NestedSettings) -> None:
    """Add what concerns an evidence, and where its runs go."""
    group = parser.add_argument_group("evidence")
    group.add_argument(
        "--engine",
        choices=("auto", "both", "nested", "tempered"),
        default="auto",
        help="what integrates: tempered, nested (PolyChord), both, or auto: tempered, and nested "
        "beside it in up to 12 dimensions (default: auto)",
    )
    _setting(
        group,
        defaults,
        "reference",
        "the base measure: auto (says why), prior, chains (fitted to those in --out, or to a few "
        "that are run), peaks (fitted to those that climbs reach), cube (all parameters live on "
        "(0, 1)), or a JSON file",
        metavar="HOW",
    )
    _setting(
        group,
        defaults,
        "target_sd",
        "add nested runs, or tempered rounds, until the error of log_z is at most this",
        otherwise="0.1 for tempered runs, none for nested ones",
        type=float,
        metavar="NATS",
    )
    _setting(
        group,
        defaults,
        "max_runs",
        "with --target-sd: no more than N",
        otherwise=str(defaults.most_runs),
        type=whole(1, 10_000),
        metavar="N",
    )
    group.add_argument(
        "--checkpoints",
        action="store_true",
        help="with --resume, let a run that was killed go on from PolyChord's own file, which "
        "takes time to write; without, such a run begins anew (default: off)",
    )
    group.add_argument(
        "--check",
        action="store_true",
        help="put other methods beside it: nested sampling over another base measure, bridge "
        "sampling from the chains in --out, Laplace's approximation",
    )
    group.add_argument(
        "--certify",
        action="store_true",
        help="bound the evidence from both sides on data that the program simulates, which says "
        "how good these settings are on such a model (default: off)",
    )
    _setting(group, defaults, "retries", "further attempts at a run that fails", type=natural)
    _add_part(group, "runs of each engine")
    _add_place(parser, "evidence", "its runs")


_OF_STUDY = " (default: the study's own)"


def _setting(
    group: Any,
    defaults: object,
    name: str,
    about: str,
    *,
    otherwise: str = "",
    option: str | None = None,
    **given: Any,
) -> None:
    """Add the option of a setting, with its default and the text that says it.

    Parameters
    ----------
    group : argument group
        Where it goes.
    defaults : settings or None
        Have the default as an attribute; None for an option without a default of its own.
    name : str
        Of the setting.
    about : str
        What it means.
    otherwise : str
        What happens where the default is None.
    option : str, optional
        The option's name, if it is not the setting's.
    **given
        Further arguments of ``add_argument``.
    """
    default = None if defaults is None else getattr(defaults, name)
    said = otherwise if default is None else f"{default}"
    group.add_argument(
        option or f"--{name.replace('_', '-')}",
        dest=name,
        default=default,
        help=f"{about} (default: {said})" if said else about,
        **given,
    )


Settings = TypeVar("Settings")


def settings_of(options: argparse.Namespace, defaults: Settings) -> Settings:
    """Return settings with what the user gave; those within settings too.

    An option that is None was not given, or asks for the default.
    """
    given = {}
    for one in fields(defaults):  # type: ignore[arg-type]
        before = getattr(defaults, one.name)
        if is_dataclass(before):
            given[one.name] = settings_of(options, before)
        elif (value := getattr(options, one.name, None)) is not None:
            given[one.name] = value
    return replace(defaults, **given)  # type: ignore[type-var]


def _add_part(group: Any, what: str) -> None:
    group.add_argument(
        "--part",
        type=part,
        metavar="K/N",
        help=f"only part K of N of the {what}, without modes, for jobs that share nothing: merge "
        "puts the parts together, bit for bit as one run (default: all)",
    )


def _add_place(parser: argparse.ArgumentParser, command: str, what: str) -> None:
    place = parser.add_argument_group(f"where {what} run (default: processes on this machine)")
    elsewhere = place.add_mutually_exclusive_group()
    elsewhere.add_argument("--dask", metavar="ADDRESS", help="the workers of a Dask scheduler")
    elsewhere.add_argument(
        "--mpi",
        action="store_true",
        help=f"MPI: mpiexec -n N python -m mpi4py.futures -m manymodes {command} ... --mpi",
    )


def add_output(parser: argparse.ArgumentParser) -> None:
    """Add what all commands with results have."""
    parser.add_argument(
        "--seed", type=seed, default=1, help="decides everything random (default: %(default)s)"
    )
    parser.add_argument("--json", action="store_true", help="the summary on standard output")
    parser.add_argument("--quiet", action="store_true", help="no progress and no table")


def add_common(parser: argparse.ArgumentParser, *, out_required: bool = True) -> None:
    """Add what all runs have."""
    about = "the run directory" + ", which a study needs (default: none)" * (not out_required)
    parser.add_argument("--out", type=out_path, required=out_required, help=about)
    parser.add_argument("--resume", action="store_true", help="run only the parts missing in --out")
    parser.add_argument(
        "--other-versions",
        action="store_true",
        help="with --resume: go on although another version of the sampler began the run",
    )
    add_overwrite(parser, "replace the results in --out; files that manymodes did not write stay")
    parser.add_argument("--workers", type=workers, help="local processes (default: cores)")
    add_output(parser)


def add_overwrite(parser: argparse.ArgumentParser, what: str) -> None:
    """Add the permission to replace existing files."""
    parser.add_argument("--overwrite", action="store_true", help=what)


def out_path(text: str) -> Path:
    """Return where to write; ``~`` is the home directory, as the shell has it."""
    if not text.strip():
        raise argparse.ArgumentTypeError("it is empty: name a directory or a file")
    return Path(text).expanduser() if text == "~" or text.startswith("~/") else Path(text)


def add_no_modes(parser: argparse.ArgumentParser) -> None:
    """Add the way to leave modes alone."""
    parser.add_argument(
        "--no-modes",
        action="store_true",
        help="only draw: predictions need no modes, and `compare` finds them later",
    )


_MANY = 1_000_000

positive = whole(1)
"""Return a whole number, 1 or more."""

natural = whole(0)
"""Return a whole number, 0 or more."""

many = whole(1, _MANY)
"""Return a number of tasks."""

workers = whole(1, 4096)
"""Return a number of processes or threads."""

seed = whole(0, 2**63 - 1)
"""Return a seed."""


def part(text: str) -> Part:
    """Return a part of a run, given as ``K/N``."""
    from manymodes.runtime.parts import part_of

    try:
        found = part_of(text)
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error).removeprefix("part: ")) from None
    assert found is not None
    return found


def _threads(text: str) -> int | None:
    if text == "auto":
        return None
    try:
        return workers(text)
    except argparse.ArgumentTypeError as error:
        raise argparse.ArgumentTypeError(f"{error}, nor auto") from None
