"""The command that integrates a posterior: nested sampling, and what stands beside it."""

from __future__ import annotations

import argparse
import shutil
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from manymodes.cli.option_groups import settings_of
from manymodes.cli.run_commands import (
    bind,
    checked_posterior,
    executor_of,
    finish,
    finish_without_modes,
    keep_posterior,
    place_of,
)
from manymodes.errors import InputError
from manymodes.runtime.room import check_room

if TYPE_CHECKING:
    from manymodes.sampling.nested import Nested


def evidence_command(options: argparse.Namespace) -> int:
    """Run nested sampling."""
    from manymodes.density.normalisation import remarks
    from manymodes.modes.checks import check
    from manymodes.report.nested_notes import nested_cautions
    from manymodes.results.our_files import removed_by
    from manymodes.results.run_directory import run_directory, write_nested
    from manymodes.sampling.chains.chains import load_chains
    from manymodes.sampling.nested import NestedSettings, check_nested, run_nested

    if options.max_runs is not None and options.target_sd is None:
        raise InputError("--max-runs goes with --target-sd")
    if options.check and options.no_modes:
        raise InputError("--check compares modes: leave --no-modes out")
    settings = settings_of(options, NestedSettings())
    posterior = checked_posterior(options)
    check_nested(posterior, settings)
    drawn = settings.polychord.nprior or 10 * (settings.polychord.nlive or 0)
    check_room(2 * drawn * posterior.dims, f"{drawn} draws of {posterior.dims} parameters")
    if options.overwrite and removed_by(options.out, [Path(options.reference)]) is not None:
        raise InputError(
            f"--reference: {options.reference} is in the directory that --overwrite empties: copy "
            "it to another place, or choose another --out"
        )
    if posterior.network is None:  # those are normalised by construction
        for remark in remarks(posterior):
            print(f"manymodes: remark: {remark}", file=sys.stderr)
    held = run_directory(options.out, overwrite=options.overwrite, reads=options.posterior)
    with executor_of(options) as executor, held:
        bind(options, posterior)
        chains = load_chains(posterior, options.out)
        common = {"chains": chains, **place_of(options, executor)}
        nested = run_nested(posterior, settings, out=options.out, **common)
        keep_posterior(options, posterior)
        write_nested(nested, options.out)
        for index, message in nested.failures.items():
            print(f"manymodes: nested run {index} failed: {message}", file=sys.stderr)
        for text in nested_cautions(nested):
            print(f"manymodes: caution: {text}", file=sys.stderr)
        if options.no_modes:
            what = "log_z" if nested.is_evidence else "log_integral"
            said = {
                what: nested.log_z,
                f"{what}_sd": nested.log_z_sd,
                "runs": len(nested.runs),
            }
            return finish_without_modes(options, posterior, nested, said)
        checked = None
        if options.check:
            if not options.resume:
                shutil.rmtree(options.out / "checks", ignore_errors=True)
            other = _other_reference(nested, has_chains=chains is not None)
            beside = None
            if other is not None:
                beside = run_nested(
                    posterior,
                    replace(settings, reference=other, target_sd=None, max_runs=None),
                    out=options.out / "checks",
                    **common,
                )
            checked = partial(check, other=beside, seed=options.seed)
        return finish(options, posterior, "evidence", nested=nested, checked=checked)


def _other_reference(nested: Nested, *, has_chains: bool) -> str | None:
    """Return another base measure to integrate over; None if there is no other."""
    if nested.base.source in ("prior", "cube"):
        return "chains" if has_chains else "peaks"
    has_prior = nested.posterior.prior_only is not None and nested.is_evidence
    return "prior" if has_prior else None
