"""The command ``audit``: what a constraint does to a network's copies."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from manymodes.cli.figure_files import check_figure_file, write_figure
from manymodes.errors import InputError

if TYPE_CHECKING:
    from manymodes.networks.audit import Audit

ALL = "all"
_SIDE_BY_SIDE = ("none", "ordered", "ordered-signed", "unit-norm", "pd-skew", "svd")


def audit_command(options: argparse.Namespace) -> int:
    """Print an audit, or those of all constraints side by side; draw it on demand."""
    from manymodes.networks.audit import audit
    from manymodes.networks.network import Network
    from manymodes.report.audit_words import audit_text, side_by_side
    from manymodes.runtime.storage import json_text

    network = Network(
        inputs=options.inputs,
        hidden=tuple(options.hidden),
        outputs=options.outputs,
        activation=options.activation,
        likelihood=options.likelihood,
        prior=options.prior,
        constraint="none" if options.constraint == ALL else options.constraint,
    )
    if options.figure is not None:
        check_figure_file(options.figure, "--figure", overwrite=options.overwrite)
    audits: list[Audit] = []
    refused: dict[str, str] = {}
    for name in _SIDE_BY_SIDE if options.constraint == ALL else (options.constraint,):
        try:
            constrained = replace(network, constraint=name)
        except InputError as error:
            refused[name] = str(error).removeprefix(f"constraint: '{name}' ")
            continue
        audits.append(audit(constrained, orbits=options.orbits, seed=options.seed))
    alone = audits[0] if options.constraint != ALL else None
    if options.figure is not None:
        _draw(audits, alone, options.figure)
    if options.json:
        print(json_text(_json(audits, refused, alone)))
    else:
        print(audit_text(alone) if alone else side_by_side(audits, refused))
        if options.figure is not None:
            print(f"\nFigure: {options.figure}")
    return 0


def _json(audits: list[Audit], refused: dict[str, str], alone: Audit | None) -> dict[str, Any]:
    if alone is not None:
        return alone.as_dict()
    found = {audit.network.constraint: audit.as_dict() for audit in audits}
    return {"constraints": found, "refused": refused}


def _draw(audits: list[Audit], alone: Audit | None, path: Path) -> None:
    from manymodes.report.plots import plot_audit, plot_audits

    figure = plot_audit(alone) if alone else plot_audits(audits)
    write_figure(figure, path)
