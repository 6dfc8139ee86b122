"""The command that integrates a posterior: nested sampling, and what stands beside it."""

from __future__ import annotations

import argparse
import sys

from manymodes.errors import InputError
from manymodes.run_commands import (
    bind,
    checked_posterior,
    executor_of,
    finish,
    finish_without_modes,
    keep_posterior,
    polychord_settings,
)


def evidence_command(options: argparse.Namespace) -> int:
    """Run nested sampling."""
    from manymodes.chains import load_chains
    from manymodes.nested import MAX_RUNS, run_nested
    from manymodes.nested_notes import nested_cautions
    from manymodes.normalisation import remarks
    from manymodes.results import run_directory, write_nested

    settings = polychord_settings(options)
    if options.max_runs is not None and options.target_sd is None:
        raise InputError("--max-runs goes with --target-sd")
    posterior = checked_posterior(options)
    if options.reference == "prior":
        posterior.prior  # noqa: B018 - a program without the switch is refused first
    if posterior.network is None:  # those are normalised by construction
        for remark in remarks(posterior):
            print(f"manymodes: remark: {remark}", file=sys.stderr)
    with executor_of(options) as executor, run_directory(options.out, overwrite=options.overwrite):
        bind(options, posterior)
        nested = run_nested(
            posterior,
            runs=options.runs,
            settings=settings,
            reference=options.reference,
            chains=load_chains(posterior, options.out),
            target_sd=options.target_sd,
            max_runs=options.max_runs or max(MAX_RUNS, options.runs),
            seed=options.seed,
            out=options.out,
            resume=options.resume,
            checkpoints=options.checkpoints,
            executor=executor,
            workers=options.workers,
            quiet=options.quiet,
        )
        keep_posterior(options, posterior)
        write_nested(nested, options.out)
        for index, message in nested.failures.items():
            print(f"manymodes: nested run {index} failed: {message}", file=sys.stderr)
        for text in nested_cautions(nested):
            print(f"manymodes: caution: {text}", file=sys.stderr)
        if options.no_modes:
            said = {"log_z": nested.log_z, "log_z_sd": nested.log_z_sd, "runs": len(nested.runs)}
            return finish_without_modes(options, posterior, nested, said)
        return finish(options, posterior, "evidence", nested=nested)
