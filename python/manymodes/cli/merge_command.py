"""The command that puts the parts of a run together."""

from __future__ import annotations

import argparse
import sys

from manymodes.cli.evidence_command import finish_evidence
from manymodes.cli.run_commands import finish, finish_chains
from manymodes.errors import InputError


def merge_command(options: argparse.Namespace) -> int:
    """Put the parts of a run together, and search its modes."""
    from manymodes.results.merge_parts import read_parts
    from manymodes.results.run_directory import run_directory

    if options.resume and options.overwrite:
        raise InputError("--overwrite removes what --resume would continue: leave one of them out")
    again = options.other_versions
    found = read_parts(options.parts, options.out, other_versions=again, quiet=options.quiet)
    options.seed = found.seed  # of the run, as `sample` has it
    with run_directory(options.out, overwrite=options.overwrite, reads=options.parts):
        merged = found.put_together(
            options.out, resume=options.resume, other_versions=again, quiet=options.quiet
        )
        drawn = {
            "chain": merged.chains,
            "tempered run": merged.tempered,
            "nested run": merged.nested,
        }
        for what, draws in drawn.items():
            for index, message in draws.failures.items() if draws is not None else ():
                print(f"manymodes: {what} {index} failed: {message}", file=sys.stderr)
        if not options.no_modes:
            return finish(
                options,
                found.posterior,
                "merge",
                chains=merged.chains,
                nested=merged.nested,
                tempered=merged.tempered,
            )
        if merged.chains is not None:
            return finish_chains(options, found.posterior, merged.chains)
        return finish_evidence(options, found.posterior, merged.nested, merged.tempered)
