"""Groups of options that several commands have."""

from __future__ import annotations

import argparse
from pathlib import Path

from manymodes.cli.arguments import whole


def add_posterior(parser: argparse.ArgumentParser) -> None:
    """Add what is sampled, and how its likelihood is computed."""
    parser.add_argument(
        "posterior",
        type=Path,
        nargs="+",
        metavar="NET | MODEL.stan DATA.json",
        help="the folder of a network, or a Stan program and its data, if it has any",
    )
    add_likelihood(parser)


def add_likelihood(parser: argparse.ArgumentParser) -> None:
    """Add how a network's likelihood is computed."""
    group = parser.add_argument_group("a network's likelihood")
    group.add_argument(
        "--no-kernel",
        action="store_true",
        help="compute it as the Stan program says, not in C++: the same density, slower",
    )
    group.add_argument(
        "--threads-per-chain",
        type=_threads,
        metavar="N",
        help="threads for one likelihood of many data, where the kernel computes it: auto (as many "
        "as chains or runs leave cores to each; default) or N at most",
    )


def add_nuts(parser: argparse.ArgumentParser, chains: int) -> None:
    """Add the settings of NUTS."""
    group = parser.add_argument_group("NUTS")
    group.add_argument("--chains", type=many, default=chains, help="how many chains")
    group.add_argument("--warmup", type=whole(None), default=1000, help="warm-up iterations")
    group.add_argument("--draws", type=whole(None), default=1000, help="draws of each chain")
    group.add_argument("--adapt-delta", type=float, default=0.8, help="target acceptance rate")
    group.add_argument(
        "--max-treedepth", type=whole(None, 60), default=10, help="longest trajectory, log2"
    )


def add_many_chains(parser: argparse.ArgumentParser) -> None:
    """Add what concerns runs of many chains, and where they run."""
    group = parser.add_argument_group("many chains")
    group.add_argument(
        "--init",
        default="radius:2",
        metavar="HOW",
        help="where chains start: radius:R, prior, pathfinder, a JSON file or an earlier run",
    )
    group.add_argument(
        "--superchain",
        type=many,
        default=1,
        metavar="M",
        help="so many chains share each starting point, for nested R-hat",
    )
    group.add_argument(
        "--share-warmup",
        type=whole(0, _MANY),
        default=0,
        metavar="P",
        help="offer what the first P chains learned in warm-up to later ones of the same basin",
    )
    group.add_argument(
        "--retries", type=whole(0, 1000), default=2, help="further attempts at a chain that fails"
    )
    group.add_argument(
        "--time-limit",
        type=float,
        metavar="SECONDS",
        help="stop a chain after that and keep its draws so far",
    )
    group.add_argument(
        "--sampler", default="cmdstan", help="whose NUTS: cmdstan, or nutpie where installed"
    )
    _add_place(parser, "sample", "chains")


def add_polychord(parser: argparse.ArgumentParser) -> None:
    """Add the settings of PolyChord."""
    group = parser.add_argument_group("PolyChord")
    group.add_argument(
        "--nlive",
        type=whole(None),
        help="live points of each run (500; 200 over a measure fitted to chains)",
    )
    group.add_argument("--runs", type=whole(1, 10_000), default=2, help="independent runs, merged")
    group.add_argument("--nprior", type=whole(None), help="prior draws to begin with (10 x nlive)")
    group.add_argument(
        "--repeats",
        type=whole(None),
        help="slices between samples (5 x dimension; 3 x over a measure fitted to chains)",
    )
    group.add_argument(
        "--precision",
        type=float,
        help="share of the evidence left at the end (0.001; 0.01 over a measure fitted to chains)",
    )
    group.add_argument("--clustering", action="store_true", help="PolyChord's own clustering")
    group.add_argument(
        "--processes",
        type=workers,
        default=1,
        help="MPI processes of each run, where PolyChord was built with MPI",
    )


def add_evidence(parser: argparse.ArgumentParser) -> None:
    """Add what concerns an evidence, and where nested runs go."""
    group = parser.add_argument_group("evidence")
    group.add_argument(
        "--reference",
        default="auto",
        metavar="HOW",
        help="the base measure: auto (default; says why), prior, chains (fitted to those in --out, "
        "or to a few that are run), peaks (fitted to those that climbs reach), cube (all "
        "parameters live on (0, 1)), or a JSON file",
    )
    group.add_argument(
        "--target-sd",
        type=float,
        metavar="NATS",
        help="add runs until the error of log_z is at most this",
    )
    group.add_argument(
        "--max-runs",
        type=whole(1, 10_000),
        metavar="N",
        help="with --target-sd: no more than N (64)",
    )
    group.add_argument(
        "--checkpoints",
        action="store_true",
        help="with --resume, let a run that was killed go on from PolyChord's own file, which "
        "takes time to write; without, such a run begins anew",
    )
    group.add_argument(
        "--check",
        action="store_true",
        help="put other methods beside it: nested sampling over another base measure, bridge "
        "sampling from the chains in --out, Laplace's approximation",
    )
    group.add_argument(
        "--retries", type=natural, default=2, help="further attempts at a nested run that fails"
    )
    _add_place(parser, "evidence", "nested runs")


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
    parser.add_argument("--seed", type=seed, default=1, help="decides everything random")
    parser.add_argument("--json", action="store_true", help="the summary on standard output")
    parser.add_argument("--quiet", action="store_true", help="no progress and no table")


def add_common(parser: argparse.ArgumentParser, *, out_required: bool = True) -> None:
    """Add what all runs have."""
    parser.add_argument("--out", type=out_path, required=out_required, help="the run directory")
    parser.add_argument("--resume", action="store_true", help="do only what is missing in --out")
    parser.add_argument(
        "--other-versions",
        action="store_true",
        help="with --resume: go on although another version of the sampler began the run",
    )
    add_overwrite(parser, "replace the results in --out; what manymodes did not write stays")
    parser.add_argument("--workers", type=workers, help="local processes (default: cores)")
    add_output(parser)


def add_overwrite(parser: argparse.ArgumentParser, what: str) -> None:
    """Add the leave to write over what is there."""
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


def _threads(text: str) -> int | None:
    if text == "auto":
        return None
    try:
        return workers(text)
    except argparse.ArgumentTypeError as error:
        raise argparse.ArgumentTypeError(f"{error}, nor auto") from None
