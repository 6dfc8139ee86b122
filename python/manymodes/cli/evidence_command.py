"""The command that integrates a posterior: by tempering, by nested sampling, or by both."""

from __future__ import annotations

import argparse
import shutil
import sys
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from manymodes.cli.certify_part import certify_command_part, check_certify
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
    from manymodes.density.posterior import Posterior
    from manymodes.runtime.parts import Part
    from manymodes.sampling.chains.chains import Chains
    from manymodes.sampling.engines import Choice
    from manymodes.sampling.nested import Nested, NestedSettings
    from manymodes.sampling.tempered import Tempered, TemperedSettings


def evidence_command(options: argparse.Namespace) -> int:
    """Integrate a posterior by tempering, by nested sampling, or by both."""
    from manymodes.density.normalisation import remarks
    from manymodes.modes.checks import check
    from manymodes.results.our_files import removed_by
    from manymodes.results.run_directory import run_directory
    from manymodes.runtime.execution import Execution
    from manymodes.sampling.chains.chains import load_chains
    from manymodes.sampling.chains.continued import ContinuedSettings
    from manymodes.sampling.engines import chosen_engines
    from manymodes.sampling.nested import NestedSettings, run_nested

    if options.max_runs is not None and options.target_sd is None:
        raise InputError("--max-runs goes with --target-sd")
    if options.check and options.no_modes:
        raise InputError("--check compares modes: leave --no-modes out")
    if options.part is not None:
        _refuse_whole(options)
    nested_settings = settings_of(options, NestedSettings())
    tempered_settings = _tempered_settings(options)
    posterior = checked_posterior(options)
    _refuse_unused(options)
    fitted = nested_settings.reference in ("chains", "peaks")
    choice = chosen_engines(
        options.engine, posterior, nested=fitted or bool(_set_for("nested", options))
    )
    _refuse_early(posterior, choice, nested_settings, tempered_settings, options.part)
    if options.certify:
        check_certify(posterior, options.seed)
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
        keep_posterior(options, posterior)
        chains = load_chains(posterior, options.out)
        common = {"chains": chains, **place_of(options, executor)}
        tempered = _tempered(options, posterior, tempered_settings, common, choice)
        nested = _nested(options, posterior, nested_settings, common, choice)
        if options.certify:
            certify_command_part(options, posterior, tempered_settings, executor)
        if choice.unchecked:
            said = f"manymodes: caution: no second engine checks the evidence: {choice.unchecked}"
            print(said, file=sys.stderr)
        if options.no_modes or options.part is not None:
            return finish_evidence(options, posterior, nested, tempered)
        checked = None
        if options.check:
            if not options.resume:
                shutil.rmtree(options.out / "checks", ignore_errors=True)
            other = None if nested is None else _other_reference(nested, chains)
            beside = None
            if other is not None:
                beside = run_nested(
                    posterior,
                    replace(nested_settings, reference=other, target_sd=None, max_runs=None),
                    out=options.out / "checks",
                    **common,
                )
            checked = partial(
                check,
                other=beside,
                seed=options.seed,
                drift=ContinuedSettings(seed=options.seed),
                execution=Execution(
                    executor=executor, workers=options.workers, quiet=options.quiet
                ),
            )
        return finish(
            options, posterior, "evidence", nested=nested, tempered=tempered, checked=checked
        )


def finish_evidence(
    options: argparse.Namespace,
    posterior: Posterior,
    nested: Nested | None,
    tempered: Tempered | None,
) -> int:
    """Say what the engines found, without a search for modes."""
    named = {"tempered": tempered, "nested": nested}
    drawn = {name: one for name, one in named.items() if one is not None}
    return finish_without_modes(options, posterior, drawn, _figures(nested, tempered))


def _refuse_whole(options: argparse.Namespace) -> None:
    """Refuse what concerns all runs together, where a part of them is asked for."""
    from manymodes.sampling.chains.chain_files import record_numbers

    for name in ("check", "certify"):
        if getattr(options, name):
            raise InputError(
                f"--{name} with {options.part.option} would be made by every part: leave it out, "
                f"and run evidence --{name} --resume on the merged run"
            )
    if options.reference in ("auto", "chains") and record_numbers(options.out / "chains"):
        raise InputError(
            f"{options.out} holds chains, to which this part alone might fit its base measure: "
            "choose another --out for the parts of an evidence"
        )


_OF_TEMPERING = ("rounds", "max_rounds", "temperatures", "steps", "beginnings", "metric")


def _set_for(engine: str, options: argparse.Namespace) -> list[str]:
    """Return the options that were given and that only this engine has."""
    from manymodes.sampling.nested import PolyChordSettings
    from manymodes.sampling.tempered import TemperedSettings

    nested = {one.name: one.default for one in fields(PolyChordSettings)} | {"checkpoints": False}
    tempered = {
        one.name: one.default for one in fields(TemperedSettings) if one.name in _OF_TEMPERING
    }
    return [
        "--repeats" if name == "num_repeats" else f"--{name.replace('_', '-')}"
        for name, usual in (nested if engine == "nested" else tempered).items()
        if getattr(options, name) not in (None, usual)
    ]


def _refuse_unused(options: argparse.Namespace) -> None:
    """Refuse the settings of the engine that --engine leaves out."""
    for engine, other in (("nested", "tempered"), ("tempered", "nested")):
        if options.engine == engine and (unused := _set_for(other, options)):
            raise InputError(
                f"{unused[0]} is a setting of the {other} engine, which --engine {engine} leaves "
                "out: leave one of the two out"
            )


def _tempered_settings(options: argparse.Namespace) -> TemperedSettings:
    """Return the settings of tempering. A fitted base measure is for it only if it is alone.

    Otherwise it begins from the prior, where that can be had: no engine is to know only what
    climbs or chains found.
    """
    from manymodes.sampling.tempered import TemperedSettings

    settings = settings_of(options, TemperedSettings())
    if options.engine != "tempered" and settings.reference in ("chains", "peaks"):
        return replace(settings, reference="auto")
    return settings


def _refuse_early(
    posterior: Posterior,
    choice: Choice,
    nested_settings: NestedSettings,
    tempered_settings: TemperedSettings,
    part: Part | None,
) -> None:
    """Refuse what the engines would, before anything is removed."""
    from manymodes.sampling.nested import check_nested
    from manymodes.sampling.tempered import check_tempered

    if choice.tempered:
        tempered_settings.numbers(part)
        check_tempered(posterior, tempered_settings)
    if choice.nested:
        nested_settings.numbers(part)
        check_nested(posterior, nested_settings)
        polychord = nested_settings.polychord
        drawn = polychord.nprior or 10 * (polychord.nlive or 0)
        check_room(2 * drawn * posterior.dims, f"{drawn} draws of {posterior.dims} parameters")


def _tempered(
    options: argparse.Namespace,
    posterior: Posterior,
    settings: TemperedSettings,
    common: dict[str, Any],
    choice: Choice,
) -> Tempered | None:
    """Run and keep the tempered runs, and say what may be wrong with them."""
    from manymodes.report.tempered_notes import tempered_cautions
    from manymodes.results.run_directory import write_tempered
    from manymodes.sampling.tempered import run_tempered

    if not choice.tempered:
        return None
    tempered = run_tempered(posterior, settings, out=options.out, **common)
    if options.part is None:
        write_tempered(tempered, options.out)
    for index, message in tempered.failures.items():
        print(f"manymodes: tempered run {index} failed: {message}", file=sys.stderr)
    for text in tempered_cautions(tempered):
        print(f"manymodes: caution: {text}", file=sys.stderr)
    return tempered


def _nested(
    options: argparse.Namespace,
    posterior: Posterior,
    settings: NestedSettings,
    common: dict[str, Any],
    choice: Choice,
) -> Nested | None:
    """Run and keep the nested runs, and say what may be wrong with them."""
    from manymodes.report.nested_notes import nested_cautions
    from manymodes.results.run_directory import write_nested
    from manymodes.sampling.nested import run_nested

    if not choice.nested:
        return None
    nested = run_nested(posterior, settings, out=options.out, **common)
    if options.part is None:
        write_nested(nested, options.out)
    for index, message in nested.failures.items():
        print(f"manymodes: nested run {index} failed: {message}", file=sys.stderr)
    for text in nested_cautions(nested):
        print(f"manymodes: caution: {text}", file=sys.stderr)
    return nested


def _figures(nested: Nested | None, tempered: Tempered | None) -> dict[str, float]:
    """Return what is said of runs whose modes are not searched."""
    from manymodes.modes.headline import headline

    one = tempered or nested
    assert one is not None
    what = "log_z" if one.is_evidence else "log_integral"
    found = headline(nested, tempered)
    if found.agree is False:
        print(
            "manymodes: caution: the engines disagree by "
            f"{found.apart:.1f} joint errors: there is no {what}",
            file=sys.stderr,
        )
        return {
            f"{what}_{name}{sd}": value
            for name, said in found.by_engine.items()
            for sd, value in (("", said.value), ("_sd", said.sd))
        }
    return {what: found.log_z.value, f"{what}_sd": found.log_z.sd, "runs": len(one.runs)}


def _other_reference(nested: Nested, chains: Chains | None) -> str | None:
    """Return another base measure to integrate over; None if there is no other."""
    if nested.base.source in ("prior", "cube"):
        return "chains" if chains is not None else "peaks"
    has_prior = nested.posterior.prior_only is not None and nested.is_evidence
    return "prior" if has_prior else None
