"""What all studies of both engines do: sample each posterior, compare, write results and report."""

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
from manymodes.report.diagnosis_verdict import add_verdicts
from manymodes.results.run_directory import (
    REPORT,
    SUMMARY,
    run_directory,
    save_posterior,
    summarise,
    write_draws,
)
from manymodes.runtime.seeds import check_seed
from manymodes.runtime.storage import claim, write_json
from manymodes.runtime.threads import check_threads
from manymodes.sampling.chains.chains import run_chains
from manymodes.sampling.chains.cmdstan_nuts import NutsSettings
from manymodes.sampling.nested import run_nested
from manymodes.sampling.nested.polychord_run import PolyChordSettings
from manymodes.toolchain import require


@dataclass(frozen=True)
class Effort:
    """How much a study samples, and how.

    Parameters
    ----------
    chains : int
        NUTS chains of each posterior.
    nuts, polychord
        Settings of the samplers.
    runs : int
        Nested runs of each posterior.
    seed : int
        Of the samplers.
    workers : int, optional
        Local processes.
    threads_per_chain : int, optional
        Threads for one likelihood, as in `run_chains`.
    kernel : bool
        Compute networks' likelihoods in C++ where that can be compiled.
    resume, overwrite : bool
        Continue what the directory holds, or replace it.
    other_versions : bool
        Continue it although another version of a sampler began it.
    quiet : bool
        Show no progress.
    """

    chains: int = 64
    nuts: NutsSettings = field(default_factory=NutsSettings)
    runs: int = 2
    polychord: PolyChordSettings = field(default_factory=PolyChordSettings)
    seed: int = 1
    workers: int | None = None
    threads_per_chain: int | None = None
    kernel: bool = True
    resume: bool = False
    overwrite: bool = False
    other_versions: bool = False
    quiet: bool = False

    def __post_init__(self) -> None:
        """Check the counts; raise `InputError` naming the first that is not 1 or more."""
        for name in ("chains", "runs"):
            if getattr(self, name) < 1:
                raise InputError(f"{name}: {getattr(self, name)} is not 1 or more")
        check_seed(self.seed)
        check_threads(self.threads_per_chain)


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
        "nuts": effort.nuts.as_dict(),
        "polychord": effort.polychord.as_dict(),
    }
    with run_directory(out, overwrite=effort.overwrite):
        claim(out, settings, resume=effort.resume)
        compile_posteriors(posteriors.values(), quiet=effort.quiet)
        comparisons = {
            one: _explored(posterior, out / one if len(posteriors) > 1 else out, effort)
            for one, posterior in posteriors.items()
        }
        findings = find(comparisons)
        diagnoses = diagnosed(comparisons)
        summary = summarise(
            comparisons,
            command=f"study {name}",
            seed=effort.seed,
            diagnoses=diagnoses,
            **data,
            **findings.summary,
        )
        write_json(out / SUMMARY, add_verdicts(summary, diagnoses))
        write_report(
            out / REPORT,
            comparisons,
            settings={**settings, "chains": effort.chains, "runs": effort.runs},
            toolchain=toolchain.as_dict(),
            diagnoses=diagnoses,
            **findings.report,
        )
    return comparisons


def _explored(posterior: Posterior, folder: Path, effort: Effort) -> Comparison:
    """Sample a posterior with both engines, compare, and keep the draws."""
    save_posterior(posterior, folder / "posterior")
    common: dict[str, Any] = {
        "seed": effort.seed,
        "out": folder,
        "resume": True,
        "other_versions": effort.other_versions,
        "workers": effort.workers,
        "threads_per_chain": effort.threads_per_chain,
        "quiet": effort.quiet,
    }
    chains = run_chains(posterior, chains=effort.chains, settings=effort.nuts, **common)
    nested = run_nested(posterior, runs=effort.runs, settings=effort.polychord, **common)
    found = compare(posterior, chains=chains, nested=nested, seed=effort.seed, quiet=effort.quiet)
    write_draws(found, folder, seed=effort.seed)
    return found
