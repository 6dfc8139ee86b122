"""The commands that begin and end with a table or with new data: ``network`` and ``predict``."""

from __future__ import annotations

import argparse
import math
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from manymodes.cli.figure_files import check_figure_file, write_figure
from manymodes.errors import InputError, TableWarning

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from manymodes.networks.network import Network
    from manymodes.results.predict import Predictions
    from manymodes.results.predict_data import DataPredictions
    from manymodes.tables.table import Table

_FAR = 3.0  # prior scales
_CENTRED = {"auto": None, "yes": True, "no": False}


def network_command(options: argparse.Namespace) -> int:
    """Write a network's program and data for a table, and the table's held-out part."""
    from manymodes.density.posterior import Posterior
    from manymodes.networks.network import Network
    from manymodes.report.terminal import network_text
    from manymodes.results.our_files import network_directory
    from manymodes.results.run_directory import save_posterior
    from manymodes.runtime.storage import json_text
    from manymodes.tables.frames import PARQUET, write_frame
    from manymodes.tables.table import prepare

    parts = prepare(
        options.table,
        options.target,
        options.likelihood,
        categorical=options.categorical,
        ignore=options.ignore,
        positive=options.positive,
        standardise=not options.no_standardise,
        decimal=options.decimal,
        keep_na=options.keep_na,
        exposure=options.exposure,
        trials=options.trials,
        holdout=options.holdout,
        seed=options.seed,
    )
    table, classes = parts.table, parts.table.target.classes
    network = Network(
        inputs=len(table.input_names),
        hidden=tuple(options.hidden),
        outputs=len(classes) if options.likelihood == "categorical" else len(table.all_targets),
        activation=options.activation,
        likelihood=options.likelihood,
        prior=options.prior,
        constraint=options.constraint,
        sigma_scale=1.0 if options.sigma_scale is None else options.sigma_scale,
        active=options.active,
        sigma=None if options.sigma is None else _sigma(options.sigma, table),
        skip=options.skip,
        centred=_CENTRED[options.centred],
    )
    _check_sigma_scale(options, network.likelihood_parts.kind)
    over = table.counted_over(parts.train)
    posterior = Posterior.from_network(
        network,
        table.inputs(parts.train),
        table.targets(parts.train),
        exposure=over.get("exposure"),
        trials=over.get("trials"),
    )
    _caution_rate(network, posterior.data)
    kept = None
    if parts.held_out is not None:
        parquet = options.table.suffix.lower() in PARQUET
        kept = options.out / f"holdout{'.parquet' if parquet else '.csv'}"
    with network_directory(options.out, overwrite=options.overwrite, reads=[options.table]):
        save_posterior(posterior, options.out, "model.stan")
        table.save(options.out)
        if kept is not None and parts.held_out is not None:
            write_frame(kept, parts.held_out.data)
    if options.json:
        entry = {
            "model": str(options.out / "model.stan"),
            "data": str(options.out / "data.json"),
            "rows": len(parts.train),
            "inputs": list(table.input_names),
            "parameters": network.parameter_count,
            "target": table.target.name,
            "targets": [target.name for target in table.all_targets],
            "exposure": table.exposure,
            "trials": table.trials,
            "sigma": network.sigma,
            "classes": list(classes),
            "holdout": None if kept is None else str(kept),
            "held_out_rows": 0 if parts.held_out is None else len(parts.held_out),
        }
        print(json_text(entry))
    elif not options.quiet:
        print(network_text(options.out, network, parts, kept))
    return 0


def _caution_rate(network: Network, data: Mapping[str, Any]) -> None:
    """Warn of a mean rate that the prior of the output bias hardly allows."""
    if not network.likelihood_parts.has_exposure:
        return
    from manymodes.networks.prior import Prior

    rate = sum(data["y_int"]) / sum(map(math.exp, data["log_exposure"]))
    prior = network.prior_parts
    scale = prior.scale if isinstance(prior, Prior) else prior.groups["bo"].scale.width
    if rate > 0 and abs(math.log(rate)) > _FAR * scale:
        warnings.warn(
            f"the mean rate is {rate:.3g}, and its logarithm, {math.log(rate):.2g}, is far out in "
            f"the prior of the output bias (scale {scale:g}): give exposures near the mean count "
            "(--exposure), or a wider prior of this bias (bo=normal:10 in --prior)",
            TableWarning,
            stacklevel=2,
        )


def _sigma(sigma: float, table: Table) -> float:
    """Return a known noise in the units that the network sees."""
    if not (math.isfinite(sigma) and sigma > 0):
        raise InputError(f"--sigma: {sigma:g} is not a positive finite number")
    scales = {target.scaling.sd for target in table.all_targets}
    if len(scales) > 1:
        raise InputError(
            "--sigma: the targets are standardised by different standard deviations, and the "
            "network has one noise for all: use --no-standardise, or leave --sigma out"
        )
    return sigma / scales.pop()


def _check_sigma_scale(options: argparse.Namespace, kind: str) -> None:
    from manymodes.networks.likelihood import NOISY

    if options.sigma_scale is None:
        return
    if kind not in NOISY:
        raise InputError(f"--sigma-scale is for the likelihoods {', '.join(NOISY)}, not {kind}")
    if options.sigma is not None:
        raise InputError("--sigma-scale: the noise is known by --sigma: leave one of them out")


def predict_command(options: argparse.Namespace) -> int:
    """Predict the rows of a table, or what a program generates for new data, by a run."""
    from manymodes.results.predict_data import DataPredictions
    from manymodes.runtime.spreadsheets import inert_frame
    from manymodes.runtime.storage import ensure_folder, json_text, refuse_existing, sweep_partials
    from manymodes.tables.frames import check_suffix, write_frame

    of_data = options.table.suffix.lower() == ".json"
    _check_kind(options, of_data)
    if options.out is not None:
        check_suffix(options.out, "--out")
        reads = [options.table, *([options.program] if options.program is not None else [])]
        refuse_existing([options.out], options.overwrite, reads=reads)
        ensure_folder(options.out.absolute().parent)
        sweep_partials(options.out.absolute().parent, options.out.name)
    if options.plot is not None:
        check_figure_file(options.plot, "--plot", overwrite=options.overwrite)
    found, text = _data_predicted(options) if of_data else _table_predicted(options)
    entry = found.as_dict()
    written = found.frame if isinstance(found, DataPredictions) else found.table
    if options.out is not None:
        write_frame(options.out, written)
        entry["out"] = str(options.out)
    else:
        entry["predictions"] = written.to_dict("records")
    if options.plot is not None:
        write_figure(_drawn(found, options.run_folder), options.plot)
        entry["plot"] = str(options.plot)
    if options.json:
        print(json_text(entry))
        return 0
    printed = options.out is None and len(found.frame) > 0
    if printed:
        print(inert_frame(written).to_csv(index=False), end="")
    if not options.quiet:
        print(text, file=sys.stderr if printed else sys.stdout)
    return 0


def _drawn(found: Predictions | DataPredictions, run: Path) -> Figure:
    """Draw predictions, in the names of the network's table."""
    from manymodes.report.plots import plot_predicted
    from manymodes.results.mixed_draws import posterior_folder
    from manymodes.results.predict_data import DataPredictions
    from manymodes.tables.table import Table

    of_data = isinstance(found, DataPredictions)
    return plot_predicted(found, None if of_data else Table.load(posterior_folder(run)))


def _check_kind(options: argparse.Namespace, of_data: bool) -> None:
    """Refuse options that belong to the other kind of prediction."""
    wrong = ["decimal"] if of_data else ["program", "seed"]
    for name in wrong:
        if getattr(options, name) is not None:
            kind = "a table" if of_data else "a data file (.json)"
            raise InputError(f"--{name} is for {kind}, and {options.table} is not one")


def _table_predicted(options: argparse.Namespace) -> tuple[Predictions, str]:
    """Predict the rows of a table; return the predictions and their text."""
    from manymodes.report.terminal import prediction_text
    from manymodes.results.predict import predict_table
    from manymodes.runtime.progress import Progress
    from manymodes.wording import shown

    progress = Progress("predictions", quiet=options.quiet)

    def on_rows(done: int, rows: int) -> None:
        if progress.seconds > 2:
            progress.update(f"{done} of {rows} rows", now=done == rows)

    found = predict_table(
        options.run_folder,
        options.table,
        decimal=options.decimal,
        interval=options.interval,
        engine=options.engine,
        weights=options.weights,
        thin=options.thin,
        on_rows=on_rows,
    )
    if found.extra and not options.quiet:
        print(f"manymodes: columns not used: {shown(found.extra)}", file=sys.stderr)
    for note in found.notes if not options.quiet else ():
        print(f"manymodes: {note}", file=sys.stderr)
    return found, prediction_text(found, options.out)


def _data_predicted(options: argparse.Namespace) -> tuple[DataPredictions, str]:
    """Predict by generated quantities; return the predictions and their text."""
    from manymodes.report.terminal import data_prediction_text
    from manymodes.results.predict_data import predict_data

    found = predict_data(
        options.run_folder,
        options.table,
        program=options.program,
        interval=options.interval,
        engine=options.engine,
        weights=options.weights,
        thin=options.thin,
        seed=1 if options.seed is None else options.seed,
        quiet=options.quiet,
    )
    return found, data_prediction_text(found, options.out)
