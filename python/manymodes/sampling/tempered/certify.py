"""Bidirectional Monte Carlo: the evidence of simulated data between two bounds.

On data simulated from the program, the simulated parameters are an exact draw of the posterior.
Annealing from draws of the base measure to the posterior bounds log Z from below, and annealing
from the exact draw to the base measure bounds it from above, both in expectation. The gap between
them is what kernels and ladder of these settings are good for, on such a model.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy import special

from manymodes.density.posterior import Posterior
from manymodes.errors import InputError, SamplingError
from manymodes.runtime.execution import Execution
from manymodes.runtime.scratch import scratch_folder
from manymodes.runtime.seeds import check_seed
from manymodes.runtime.storage import read_arrays
from manymodes.runtime.threads import cpu_count
from manymodes.sampling.attempts import first_seeds
from manymodes.sampling.child import PRINTS, run_child
from manymodes.sampling.runners import (
    Arrays,
    Entry,
    arrays_bytes,
    base_entries,
    config_text,
    read_output,
)
from manymodes.sampling.tempered.group_moves import group_entries
from manymodes.sampling.tempered.one_run import tempered_runner
from manymodes.sampling.tempered.result import Tempered
from manymodes.sampling.tempered.run_files import run_file, run_numbers
from manymodes.sampling.tempered.runs import FOLDER, run_tempered
from manymodes.sampling.tempered.settings import TemperedSettings
from manymodes.sampling.tempered.simulate import simulated
from manymodes.statistics.estimate import Estimate
from manymodes.types import FloatArray

_RESAMPLES = 1000
_FEWEST = 3
_SIGMAS = 3.0


@dataclass(frozen=True)
class CertifySettings:
    """Settings of bidirectional Monte Carlo.

    Parameters
    ----------
    levels : int
        Intermediate inverse temperatures, with one move each.
    chains : int
        Annealed chains in each direction.
    seed : int
        Decides the simulated data and all chains.
    tempered : TemperedSettings
        The tempered runs on the simulated data, whose ladder and kernels the chains have.

    Raises
    ------
    InputError
        A setting is out of its range; the message names the first.
    """

    levels: int = 1000
    chains: int = 32
    seed: int = 1
    tempered: TemperedSettings = field(default_factory=TemperedSettings)

    def __post_init__(self) -> None:
        """Check the ranges; raise `InputError` naming the first setting out of its range."""
        for name in ("levels", "chains"):
            if getattr(self, name) < 2:
                raise InputError(f"{name}: {getattr(self, name)} is not 2 or more")
        check_seed(self.seed)


@dataclass(frozen=True)
class Certificate:
    """The log evidence of simulated data: two bounds, and what tempering says.

    Attributes
    ----------
    lower, upper : Estimate
        Bounds of log Z in expectation, with errors from the scatter of chains (nats). That of
        ``upper`` does not contain the scatter between exact draws, of which there is one.
    lower_single, upper_single : float
        The mean log weight of single chains, in each direction: looser bounds (nats).
    log_z, log_z_sd : float
        Log evidence of the same data by the tempered runs, and its error (nats).
    levels, chains : int
        Of the annealing.
    rounds, round_trips : int
        Of the tempered runs.
    gradients : int
        Gradients of the annealed chains, both directions.
    exact : bool
        Whether the parameters are an exact, independent draw of the prior.
    seed : int
        Of the simulated data.
    """

    lower: Estimate
    upper: Estimate
    lower_single: float
    upper_single: float
    log_z: float
    log_z_sd: float
    levels: int
    chains: int
    rounds: int
    round_trips: int
    gradients: int
    exact: bool
    seed: int

    @property
    def gap(self) -> Estimate:
        """Upper less lower bound, with its error (nats)."""
        return Estimate(
            self.upper.value - self.lower.value, math.hypot(self.upper.sd, self.lower.sd)
        )

    @property
    def holds(self) -> bool:
        """Whether the tempered log evidence lies between the bounds, within three errors."""
        # A bound to which no chain came is infinite, and has no error.
        below, above = (
            math.hypot(0.0 if math.isnan(one.sd) else one.sd, self.log_z_sd)
            for one in (self.lower, self.upper)
        )
        return (
            self.log_z > self.lower.value - _SIGMAS * below
            and self.log_z < self.upper.value + _SIGMAS * above
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the content of ``certify.json``; unknown figures are None."""

        def plain(value: Any) -> Any:
            if isinstance(value, dict):
                return {name: plain(one) for name, one in value.items()}
            return None if isinstance(value, float) and not math.isfinite(value) else value

        found = plain(asdict(self))
        return {**found, "gap": plain(asdict(self.gap)), "holds": self.holds}

    @classmethod
    def from_dict(cls, kept: Mapping[str, Any]) -> Certificate:
        """Make a certificate from the result of `as_dict`, read from JSON."""

        def number(value: Any) -> Any:
            return math.nan if value is None else value

        values: dict[str, Any] = {
            name: number(kept[name]) for name in cls.__dataclass_fields__ if name in kept
        }
        for name in ("lower", "upper"):
            values[name] = Estimate(number(kept[name]["value"]), number(kept[name]["sd"]))
        return cls(**values)


def certify(
    posterior: Posterior,
    settings: CertifySettings | None = None,
    execution: Execution | None = None,
) -> Certificate:
    """Bound the log evidence of data simulated from a program, from both sides.

    Parameters
    ----------
    posterior : Posterior
        Whose program is simulated, at the inputs of its data.
    settings : CertifySettings, optional
        How many levels and chains, and the tempered runs.
    execution : Execution, optional
        Where the tempered runs go; annealed chains run on this machine.

    Returns
    -------
    Certificate
        Both bounds, their gap, and the log evidence by tempering.

    Raises
    ------
    InputError
        The program does not say how its data are simulated.
    SamplingError
        No tempered run finished, or annealing failed.

    Notes
    -----
    Grosse, Ghahramani and Adams (2015), arXiv 1511.02543, section 3; for programs Grosse, Ancha
    and Roy (2016), arXiv 1606.02275.
    """
    given = settings or CertifySettings()
    where = execution or Execution(quiet=True)
    found = simulated(posterior, given.seed)
    with scratch_folder() as scratch:
        tempered = run_tempered(
            found.posterior,
            replace(given.tempered, seed=given.seed),
            out=scratch,
            executor=where.executor,
            workers=where.workers,
            quiet=where.quiet,
        )
        folder = scratch / FOLDER
        first = run_file(folder, run_numbers(folder)[0])
        kept = read_arrays(first, "next_betas", "next_scale")
        ladder = {name: kept[name] for name in kept if name.startswith("next_")}
        arrays = anneal(tempered, ladder, found.truth, given, where.workers)
    lower = log_mean(arrays["forward"], given.seed)
    inverse = log_mean(-arrays["backward"], given.seed)
    surplus = tempered.unit_vector_surplus
    return Certificate(
        Estimate(lower.value - surplus, lower.sd),
        Estimate(-inverse.value - surplus, inverse.sd),
        float(arrays["forward"].mean()) - surplus,
        float(arrays["backward"].mean()) - surplus,
        tempered.log_z,
        tempered.log_z_sd,
        given.levels,
        given.chains,
        max(run.last.number for run in tempered.runs),
        tempered.round_trips,
        int(arrays["counts"][0]),
        found.exact,
        given.seed,
    )


def log_mean(log_weights: FloatArray, seed: int) -> Estimate:
    """Return the log of the mean of weights with its error, by resampling (nats).

    The error is widened, so that a ratio of Student's distribution has a unit variance; it is NaN
    for three chains or fewer.

    Parameters
    ----------
    log_weights : array of shape (C,)
        Log weights of independent chains; minus infinity is a weight of zero.
    seed : int
        Decides the resampling.
    """
    n = len(log_weights)
    value = float(special.logsumexp(log_weights)) - math.log(n)
    places = np.random.default_rng(seed).integers(n, size=(_RESAMPLES, n))
    again = special.logsumexp(log_weights[places], axis=1) - math.log(n)
    again = again[np.isfinite(again)]
    if n <= _FEWEST or len(again) < _FEWEST:
        return Estimate(value, math.nan)
    return Estimate(value, float(again.std(ddof=1)) * math.sqrt(n / (n - 3)))


def anneal(
    tempered: Tempered,
    ladder: Mapping[str, FloatArray],
    truth: FloatArray,
    settings: CertifySettings,
    workers: int | None = None,
) -> Arrays:
    """Anneal in both directions along the ladder of a tempered run.

    Parameters
    ----------
    tempered : Tempered
        Runs of the posterior of the simulated data, with the base measure.
    ladder : mapping
        What a tempered run keeps to go on from: ``next_betas`` and its kernels.
    truth : array of shape (D,)
        An exact draw of the posterior.
    settings : CertifySettings
        Levels and chains.
    workers : int, optional
        How many processes run at once; the number of cores by default.

    Returns
    -------
    dict of arrays
        ``forward`` and ``backward``, the log weights of the chains in each direction (nats), and
        ``counts``, of evaluations first.

    Raises
    ------
    SamplingError
        A process failed; the message comes from it.
    """
    posterior, base = tempered.posterior, tempered.base
    moves = group_entries(posterior, base, settings.seed) if settings.tempered.symmetry else []
    shares = min(settings.chains, max(1, (workers or cpu_count()) // 2))
    parts = [len(part) for part in np.array_split(np.arange(settings.chains), shares)]
    jobs = [(n, 0) for n in parts] + [(0, n) for n in parts]
    seeds = first_seeds(settings.seed, len(jobs))

    def carry_out(number: int) -> Arrays:
        forward, backward = jobs[number]
        with scratch_folder() as scratch:
            (scratch / "data.json").write_text(posterior.data_json, encoding="utf-8")
            (scratch / "ladder.bin").write_bytes(arrays_bytes(dict(ladder)))
            start = " ".join(map(repr, truth.tolist()))
            entries: list[Entry] = [
                ("model_library", posterior.program.library()),
                ("data_file", scratch / "data.json"),
                ("output", scratch / "output.bin"),
                ("prints", scratch / PRINTS),
                ("seed", seeds[number]),
                ("anneal", f"{settings.levels} {forward} {backward}"),
                ("ladder", scratch / "ladder.bin"),
                ("start", start),
                *base_entries(base),
                *moves,
            ]
            return _child(scratch, entries)

    with ThreadPoolExecutor(workers or cpu_count()) as pool:
        found = list(pool.map(carry_out, range(len(jobs))))
    return {
        "forward": np.concatenate([one["forward"] for one in found if "forward" in one]),
        "backward": np.concatenate([one["backward"] for one in found if "backward" in one]),
        "counts": np.sum([one["counts"] for one in found], axis=0),
        "betas": found[0]["betas"],
    }


def _child(scratch: Path, entries: list[Entry]) -> Arrays:
    config = scratch / "config"
    config.write_text(config_text(entries), encoding="utf-8")
    done = []

    def take(word: str, fields: list[str]) -> None:
        if word == "done":
            done.append(True)

    run_child([str(tempered_runner()), str(config)], scratch, take, "annealing")
    if not done:
        raise SamplingError("the annealing failed: it ended without a word")
    return read_output(scratch / "output.bin")
