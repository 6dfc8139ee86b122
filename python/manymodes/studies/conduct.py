"""What all studies of all engines do: sample each posterior, compare, write results and report."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from manymodes.density.posterior import Posterior, compile_posteriors
from manymodes.errors import InputError
from manymodes.modes.comparison import Comparison, compare
from manymodes.modes.diagnosis import diagnosed
from manymodes.report import write_report
from manymodes.report.summary_words import add_verdicts
from manymodes.results.run_directory import (
    REPORT,
    SUMMARY,
    run_directory,
    save_posterior,
    summarise,
    write_draws,
)
from manymodes.runtime.storage import claim, write_json
from manymodes.sampling.chains.chains import run_chains
from manymodes.sampling.chains.settings import ChainSettings
from manymodes.sampling.nested import NestedSettings, PolyChordSettings, run_nested
from manymodes.sampling.tempered import TemperedSettings, run_tempered
from manymodes.toolchain import Toolchain, require

_FEW_POINTS = PolyChordSettings(nlive=150)


@dataclass(frozen=True)
class Effort:
    """How much a study samples, and how. A study uses the settings of the engines that it runs.

    Parameters
    ----------
    chains : ChainSettings
        Of the chains of each posterior.
    nested : NestedSettings
        Of the nested runs of each posterior. By default with 150 live points each, because tempered
        runs stand beside them.
    tempered : TemperedSettings
        Of the tempered runs of each posterior.
    kernel : bool
        Compute networks' likelihoods in C++ where that can be compiled.
    workers : int, optional
        Local processes.
    resume, overwrite : bool
        Continue what the directory holds, or replace it.
    other_versions : bool
        Continue it although another version of a sampler began it.
    quiet : bool
        Show no progress.
    """

    chains: ChainSettings = field(default_factory=ChainSettings)
    nested: NestedSettings = field(default_factory=lambda: NestedSettings(polychord=_FEW_POINTS))
    tempered: TemperedSettings = field(default_factory=TemperedSettings)
    kernel: bool = True
    workers: int | None = None
    resume: bool = False
    overwrite: bool = False
    other_versions: bool = False
    quiet: bool = False

    def __post_init__(self) -> None:
        """Raise `InputError` if the engines have different seeds: a summary has one."""
        seeds = (self.chains.seed, self.nested.seed, self.tempered.seed)
        if len(set(seeds)) > 1:
            raise InputError(
                f"seed: the chains have {seeds[0]}, the nested runs {seeds[1]} and the tempered "
                f"runs {seeds[2]}, and a study has one"
            )

    @property
    def seed(self) -> int:
        """The seed of all engines."""
        return self.chains.seed

    def at(self, folder: Path) -> dict[str, Any]:
        """Return where an engine runs and keeps its draws, as `run_chains` takes it."""
        return {
            "out": folder,
            "resume": True,
            "other_versions": self.other_versions,
            "workers": self.workers,
            "quiet": self.quiet,
        }


@dataclass(frozen=True)
class Findings:
    """What a study adds to its comparisons.

    Attributes
    ----------
    summary : dict
        Further entries of ``summary.json``.
    report : dict
        Arguments of `write_report`: at least ``title`` and ``introduction``.
    """

    summary: Mapping[str, Any]
    report: Mapping[str, Any]


def conduct(
    name: str,
    out: Path,
    posteriors: Mapping[str, Posterior],
    effort: Effort,
    data: Mapping[str, Any],
    find: Callable[[Mapping[str, Comparison]], Findings],
) -> dict[str, Comparison]:
    """Conduct a study and write its results into a directory.

    Parameters
    ----------
    name : str
        Of the study, as the command line has it.
    out : Path
        The run directory. With several posteriors, each has a folder of its name in it.
    posteriors : mapping
        What is sampled, by name.
    effort : Effort
        How.
    data : mapping
        What decides the data, as plain values.
    find : callable
        Returns what the study makes of the comparisons.

    Raises
    ------
    InputError
        The directory cannot be used, or holds another run.
    """
    toolchain = require("cmdstan", "bridge", "polychord", "compiler")
    settings = {
        **data,
        "seed": effort.seed,
        "nuts": effort.chains.nuts.as_dict(),
        "polychord": effort.nested.polychord.as_dict(),
        "tempered": effort.tempered.identity(),
    }
    with run_directory(out, overwrite=effort.overwrite):
        claim(out, settings, resume=effort.resume)
        compile_posteriors(posteriors.values(), quiet=effort.quiet)
        comparisons = {
            one: _explored(posterior, out / one if len(posteriors) > 1 else out, effort)
            for one, posterior in posteriors.items()
        }
        findings = find(comparisons)
        write_findings(
            name,
            out,
            comparisons,
            Findings({**data, **findings.summary}, findings.report),
            seed=effort.seed,
            settings={**settings, "chains": effort.chains.chains, "runs": effort.nested.runs},
            toolchain=toolchain,
        )
    return comparisons


def write_findings(
    name: str,
    out: Path,
    comparisons: Mapping[str, Comparison],
    findings: Findings,
    *,
    seed: int,
    settings: Mapping[str, Any],
    toolchain: Toolchain,
) -> None:
    """Write the summary and the report of a study that was sampled into its run directory."""
    diagnoses = diagnosed(comparisons)
    summary = summarise(
        comparisons, command=f"study {name}", seed=seed, diagnoses=diagnoses, **findings.summary
    )
    write_json(out / SUMMARY, add_verdicts(summary, diagnoses))
    write_report(
        out / REPORT,
        comparisons,
        settings=settings,
        toolchain=toolchain.as_dict(),
        diagnoses=diagnoses,
        **findings.report,
    )


def _explored(posterior: Posterior, folder: Path, effort: Effort) -> Comparison:
    """Sample a posterior with all engines, compare, and keep the draws."""
    save_posterior(posterior, folder / "posterior")
    chains = run_chains(posterior, effort.chains, **effort.at(folder))
    tempered = run_tempered(posterior, effort.tempered, **effort.at(folder))
    nested = run_nested(posterior, effort.nested, **effort.at(folder))
    found = compare(
        posterior,
        chains=chains,
        nested=nested,
        tempered=tempered,
        seed=effort.seed,
        quiet=effort.quiet,
        kept=folder,
    )
    write_draws(found, folder, seed=effort.seed)
    return found
