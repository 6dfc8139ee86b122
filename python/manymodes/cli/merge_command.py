"""The command that puts the parts of a run together."""

from __future__ import annotations

import argparse
import sys

from manymodes.cli.run_commands import finish, finish_chains
from manymodes.errors import InputError


def merge_command(options: argparse.Namespace) -> int:
    """Put the parts of a run together, and search its modes."""
    from manymodes.results.merge_parts import check_target, read_parts
    from manymodes.results.run_directory import run_directory

    if options.resume and options.overwrite:
        raise InputError("--overwrite removes what --resume would continue: leave one of them out")
    again = options.other_versions
    found = read_parts(options.parts, other_versions=again, quiet=options.quiet)
    check_target(found, options.out)
    found.check_twice()
    options.seed = found.seed  # of the run, as `sample` has it
    with run_directory(options.out, overwrite=options.overwrite, reads=options.parts):
        chains = found.put_together(
            options.out, resume=options.resume, other_versions=again, quiet=options.quiet
        )
        for index, message in chains.failures.items():
            print(f"manymodes: chain {index} failed: {message}", file=sys.stderr)
        if options.no_modes:
            return finish_chains(options, found.posterior, chains)
        return finish(options, found.posterior, "merge", chains=chains)
