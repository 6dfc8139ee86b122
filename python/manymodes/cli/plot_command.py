"""The command ``plot``: one figure of a run."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING

from manymodes.cli.figure_files import check_figure_file, write_figure
from manymodes.errors import InputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from manymodes.modes.comparison import Comparison
    from manymodes.report import DataNames

_FEW = 4


def plot_command(options: argparse.Namespace) -> int:
    """Draw one figure of a run, of its comparison; climbs that the run keeps are not repeated."""
    from manymodes.modes.comparison import compare
    from manymodes.report import kept_names
    from manymodes.results.run_directory import open_posterior, run_directory
    from manymodes.runtime.storage import json_text
    from manymodes.sampling.chains.chains import load_chains
    from manymodes.sampling.nested import load_nested
    from manymodes.sampling.tempered import load_tempered

    run = options.run_folder
    check_figure_file(options.out, "--out", overwrite=options.overwrite)
    folder = run / "posterior"
    if not folder.is_dir():
        inside = sorted(path.parent for path in run.glob("*/posterior") if path.is_dir())
        if inside:
            few = ", ".join(map(str, inside[:_FEW]))
            raise InputError(f"{run} holds several posteriors: give the folder of one ({few})")
        raise InputError(f"{run} holds no run: make one with sample or evidence")
    _check_options(options)
    posterior = open_posterior(folder)
    if options.figure in ("data", "predictions") and posterior.network is None:
        raise InputError(
            f"{options.figure}: the posterior '{posterior.name}' is not that of a network; its "
            "predictions are drawn with manymodes predict --plot"
        )
    names = kept_names({posterior.name: folder}).get(posterior.name)
    with run_directory(run):
        comparison = compare(
            posterior,
            chains=load_chains(posterior, run),
            nested=load_nested(posterior, run),
            tempered=load_tempered(posterior, run),
            seed=options.seed,
            quiet=options.quiet,
            kept=run,
        )
        figure = _DRAWN[options.figure](comparison, names, options)
    write_figure(figure, options.out)
    if options.json:
        print(json_text({"figure": options.figure, "file": str(options.out)}))
    elif not options.quiet:
        print(options.out)
    return 0


def _check_options(options: argparse.Namespace) -> None:
    """Refuse options of another figure."""
    for name, figure in (("modes", "landscape"), ("interval", "predictions")):
        if getattr(options, name) is not None and options.figure != figure:
            raise InputError(f"--{name} is for {figure}, not for {options.figure}")


def _data(comparison: Comparison, names: DataNames | None, options: argparse.Namespace) -> Figure:
    from manymodes.report.plots import plot_data

    return plot_data(comparison, names)


def _predictions(
    comparison: Comparison, names: DataNames | None, options: argparse.Namespace
) -> Figure:
    from manymodes.report.plots import plot_intervals

    share = 0.9 if options.interval is None else options.interval
    return plot_intervals(comparison, names, interval=share)


def _weights(
    comparison: Comparison, names: DataNames | None, options: argparse.Namespace
) -> Figure:
    from manymodes.report.plots import plot_weights

    return plot_weights(comparison)


def _corner(comparison: Comparison, names: DataNames | None, options: argparse.Namespace) -> Figure:
    from manymodes.report.plots import plot_corner

    return plot_corner(comparison)


def _evidence(
    comparison: Comparison, names: DataNames | None, options: argparse.Namespace
) -> Figure:
    from manymodes.report.plots import plot_evidence

    if not comparison.integrals:
        raise InputError(
            f"evidence: {options.run_folder} holds no evidence: make it with manymodes evidence"
        )
    return plot_evidence(comparison)


def _landscape(
    comparison: Comparison, names: DataNames | None, options: argparse.Namespace
) -> Figure:
    from manymodes.report.plots import plot_landscape

    modes = None if options.modes is None else (options.modes[0], options.modes[1])
    return plot_landscape(comparison, modes, kept=options.run_folder, seed=options.seed)


_Drawn = Callable[["Comparison", "DataNames | None", argparse.Namespace], "Figure"]
_DRAWN: dict[str, _Drawn] = {
    "data": _data,
    "predictions": _predictions,
    "weights": _weights,
    "corner": _corner,
    "evidence": _evidence,
    "landscape": _landscape,
}
