"""Log evidences by this, by nested samplers and by SMC: processor seconds at one standard error."""

from __future__ import annotations

import importlib.metadata
import json
import math
import os
import platform
import resource
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from peer_cases import CASES, EXACT, NESTED, SMC, TEMPERED, Case
from timing import show

from manymodes.density.posterior import Posterior
from manymodes.sampling.nested import run_nested
from manymodes.sampling.nested.settings import PolyChordSettings
from manymodes.sampling.tempered import run_tempered

SD = 0.1
"""The standard error of log_z (nats) at which samplers are compared."""
TIMES_NESTED = 5.0
"""Target: processor seconds of the best nested sampler among the peers, in those of the first."""
FIRST = "manymodes tempered"
PEER_SMC = "BlackJAX tempered SMC"
CAP, FULL_CAP = 30.0, 400.0
"""Processor seconds after which a run of a peer is ended."""
SEEDS, FULL_SEEDS = 3, 6
_APART = 1e-8
_WALL_CAP = 1800.0


@dataclass
class Measured:
    """The runs of a sampler on a posterior.

    Attributes
    ----------
    log_z, stated : list of float
        Log evidence of each run, and the error that it states of itself (nats).
    evaluations, processor : list of float
        Evaluations of the density (of the tempered engines: of its gradient), and seconds.
    compiling : float
        Processor seconds of compiling, which are in no run.
    missing : str
        Why there are no runs, or no more of them.
    at_least : float
        What a run that was ended had cost.
    """

    log_z: list[float] = field(default_factory=list)
    stated: list[float] = field(default_factory=list)
    evaluations: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)
    compiling: float = 0.0
    missing: str = ""
    at_least: float = 0.0

    def add(self, log_z: float, log_z_sd: float, evaluations: float, seconds: float) -> None:
        """Add a run."""
        self.log_z.append(log_z)
        self.stated.append(log_z_sd)
        self.evaluations.append(evaluations)
        self.processor.append(seconds)

    @property
    def scatter(self) -> float:
        """Standard deviation of the runs' log evidences (nats)."""
        return float(np.std(self.log_z, ddof=1)) if len(self.log_z) > 1 else math.nan

    @property
    def sd(self) -> float:
        """The error of one run: the larger of the scatter and of what runs state (nats)."""
        return float(np.fmax(self.scatter, np.sqrt(np.mean(np.square(self.stated)))))

    @property
    def times(self) -> float:
        """By how much a run must grow for the error aimed at; at least 1, for none can shrink."""
        return max(1.0, (self.sd / SD) ** 2)

    @property
    def scaled(self) -> float:
        """Processor seconds at the error aimed at."""
        return float(np.mean(self.processor)) * self.times

    @property
    def scaled_as_stated(self) -> float:
        """The same, if the error were what runs state of themselves."""
        grown = max(1.0, float(np.mean(np.square(self.stated))) / SD**2)
        return float(np.mean(self.processor)) * grown


@dataclass(frozen=True)
class Method:
    """A sampler and its settings on a posterior.

    Parameters
    ----------
    name : str
        What the table and ``--methods`` call it.
    settings : callable of (dimension, full)
        Settings of a peer; ``size`` is its number of live points or of particles.
    engine : str, optional
        The engine that it is, if long runs of it are among the references.
    is_nested : bool
        Whether it is a nested sampler, whose error the size tells before.
    package : str
        The distribution whose version is printed.
    """

    name: str
    settings: Callable[[int, bool], dict[str, Any]] = lambda dims, full: {}
    engine: str | None = None
    is_nested: bool = True
    package: str = "manymodes"


def _live(tool: str, **more: Any) -> Callable[[int, bool], dict[str, Any]]:
    """Few live points, for the cost goes as their number and the variance as its inverse."""
    return lambda dims, full: {"tool": tool, "size": 400 if full else 100, **more}


def _dynesty(dims: int, full: bool) -> dict[str, Any]:
    # What its `auto` chooses from 10 dimensions on. Below, `unif` would take eight times as long.
    method = "rwalk" if dims <= 20 else "rslice"
    return {"tool": "dynesty", "method": method, "size": 400 if full else 100}


def _smc(dims: int, full: bool) -> dict[str, Any]:
    size = 1000 if full else 300
    return {"tool": "blackjax-smc", "size": size, "share": 0.5, "moves": 5, "leapfrog": 10}


def _nautilus(dims: int, full: bool) -> dict[str, Any]:
    return {"tool": "nautilus", "size": 2000 if full else 500, "effective": 100}


METHODS = {
    method.name: method
    for method in (
        Method(FIRST, engine=TEMPERED, is_nested=False),
        Method("manymodes nested, prior", engine=NESTED),
        Method("dynesty", _dynesty, package="dynesty"),
        Method("BlackJAX nested slice", _live("blackjax-nss"), package="blackjax"),
        Method("jaxns", _live("jaxns"), package="jaxns"),
        Method("nautilus", _nautilus, package="nautilus-sampler", is_nested=False),
        Method("UltraNest", _live("ultranest"), package="ultranest"),
        Method(PEER_SMC, _smc, engine=SMC, package="blackjax", is_nested=False),
    )
}
PEERS_NESTED = ("dynesty", "BlackJAX nested slice", "jaxns", "nautilus", "UltraNest")


def run(
    posterior: Posterior,
    quick: bool,
    *,
    cases: Sequence[str] = tuple(CASES),
    repeats: int | None = None,
    methods: Sequence[str] = tuple(METHODS),
    full: bool = False,
    cap: float | None = None,
) -> None:
    """Print a table for each posterior, and what the targets say of it."""
    seeds = range(1, 1 + (repeats or (2 if quick else FULL_SEEDS if full else SEEDS)))
    limit = cap or (5.0 if quick else FULL_CAP if full else CAP)
    _print_machine(methods)
    print(
        f"  {len(seeds)} seeds; a peer's run ends after {limit:g} processor seconds. "
        f"'at {SD:g}' is extrapolated:\n"
        f"  seconds of a run times (error / {SD:g})², where the error is the larger of the scatter "
        "and of what runs\n"
        f"  state of themselves. A run whose error is below {SD:g} is not scaled down. The scatter "
        "of three seeds is\n  known to a factor of 2; 'as stated' counts only what runs state. "
        "What was ended is not ranked."
    )
    for name in cases:
        case = CASES[name]
        print(f"\n  {name}: {case.title}", flush=True)
        target = case.posterior().compile()
        apart = _in_a_process({**_problem(case, target), "tool": "check"})
        show("densities in Stan, in NumPy and in JAX differ at most by", f"{apart:.0e} nats")
        assert apart < _APART
        _print_head(case)
        found: dict[str, Measured] = {}
        for method in methods:
            found[method] = _measure(METHODS[method], case, target, seeds, full, limit)
            _print_row(case, METHODS[method], found[method], found.get(FIRST))
        if FIRST in found:
            _print_ratios(found)


def _measure(
    method: Method,
    case: Case,
    target: Posterior,
    seeds: Sequence[int],
    full: bool,
    cap: float,
) -> Measured:
    if method.engine in (TEMPERED, NESTED):
        sample = partial(_tempered if method.engine == TEMPERED else _nested, target, full)
        found = Measured()
        sample(0, True)
        for seed in seeds:
            before = _processor_seconds()
            run = sample(seed, False)
            found.add(*run, _processor_seconds() - before)
        return found
    settings = method.settings(target.dims, full)
    problem = {**_problem(case, target), **settings, "seeds": list(seeds), "cap": cap}
    found = _other(problem)
    if method.is_nested and found.at_least and case.d_kl > 0:
        # Its error is known before: the root of the divergence over the number of live points.
        found.at_least *= max(1.0, case.d_kl / settings["size"] / SD**2)
    return found


def _problem(case: Case, target: Posterior) -> dict[str, Any]:
    library = str(target.program.library())
    return {**case.described(), "library": library, "data": target.data_json}


def _tempered(target: Posterior, full: bool, seed: int, warm: bool) -> tuple[float, float, float]:
    """Run it with default settings; to warm up, as short as it can be."""
    short = {"runs": 1, "rounds": 3, "max_rounds": 3} if warm else {}
    found = run_tempered(target, seed=seed, quiet=True, **short)
    return found.log_z, found.log_z_sd, found.gradients


def _nested(target: Posterior, full: bool, seed: int, warm: bool) -> tuple[float, float, float]:
    """Run it over the prior, two runs of 50 live points each."""
    nlive = 10 if warm else 200 if full else 50
    settings = PolyChordSettings(nlive=nlive)
    found = run_nested(target, runs=2, reference="prior", polychord=settings, seed=seed, quiet=True)
    return found.log_z, found.log_z_sd, found.evaluations


def _other(problem: Mapping[str, Any]) -> Measured:
    """Measure a peer in a process of its own, which ends where a run takes too long."""
    found = Measured()
    lines, child = _lines(problem)
    for line in lines:
        if "compile_seconds" in line:
            found.compiling = line["compile_seconds"]
        else:
            found.add(
                line["log_z"], line["log_z_sd"], line["evaluations"], line["processor_seconds"]
            )
    last = (child.stderr.strip().splitlines() or ["nothing said"])[-1]
    if last.startswith("ModuleNotFoundError"):
        found.missing = "not installed"
    elif child.returncode in (-signal.SIGXCPU, -signal.SIGKILL):
        found.missing = "ended" if lines else "took too long to compile"
        found.at_least = float(problem["cap"]) if lines else 0.0
    elif child.returncode != 0:
        found.missing = f"failed: {last[:70]}"
    return found


def _in_a_process(problem: Mapping[str, Any]) -> float:
    lines, child = _lines(problem)
    if child.returncode != 0:
        raise RuntimeError(f"peer_samplers.py failed: {child.stderr.strip()[-300:]}")
    return float(lines[0]["apart"])


def _lines(
    problem: Mapping[str, Any],
) -> tuple[list[dict[str, float]], subprocess.CompletedProcess[str]]:
    """Run `peer_samplers.py` on a problem; return what it wrote, and how it ended."""
    script = Path(__file__).with_name("peer_samplers.py")
    with tempfile.TemporaryDirectory() as folder:
        described, done = Path(folder, "problem.json"), Path(folder, "done.jsonl")
        described.write_text(json.dumps(problem), encoding="utf-8")
        child = subprocess.run(
            [sys.executable, str(script), str(described), str(done)],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=_WALL_CAP + 10 * float(problem.get("cap", 0)),
        )
        text = done.read_text(encoding="utf-8") if done.exists() else ""
    return [json.loads(line) for line in text.splitlines()], child


def _processor_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


# ---------------------------------------------------------------- tables


def _print_machine(methods: Sequence[str]) -> None:
    names = dict.fromkeys(["manymodes", *(METHODS[name].package for name in methods), "jax"])
    versions = []
    for name in names:
        try:
            versions.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            versions.append(f"{name} not installed")
    print(f"  {_processor()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    print(f"  {', '.join(versions)}")


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _print_head(case: Case) -> None:
    truth, error = case.truth()
    print(
        f"  log_z = {truth:.3f} ± {error:.3f}, by {_named(case)}\n"
        "                              log_z - truth    scatter  stated   evaluations  "
        f"compile s  processor s   at {SD:g}   ratio  as stated",
        flush=True,
    )


def _print_row(case: Case, method: Method, runs: Measured, first: Measured | None) -> None:
    """Print the figures of a sampler, with the ratio to those of `FIRST` if they are known."""
    unit = first.scaled if first is not None and first.log_z else math.nan
    if not runs.log_z:
        print(f"  {method.name:26}  {_unknown(runs, unit)}", flush=True)
        return
    true, true_sd = case.truth(method.engine)
    bias = float(np.mean(runs.log_z)) - true
    bias_sd = math.hypot(runs.sd / math.sqrt(len(runs.log_z)), true_sd)
    stated = float(np.sqrt(np.mean(np.square(runs.stated))))
    print(
        f"  {method.name:26}  {bias:+6.2f} ± {bias_sd:.2f}   {runs.scatter:9.3f}  {stated:6.3f}  "
        f"{np.mean(runs.evaluations):12.0f}  {runs.compiling:9.1f}  "
        f"{np.mean(runs.processor):11.2f}  {runs.scaled:6.1f}  {runs.scaled / unit:6.2f}"
        f"  {runs.scaled_as_stated:9.1f}"
        f"{'   (a run was ' + runs.missing + ')' if runs.missing else ''}",
        flush=True,
    )


def _named(case: Case) -> str:
    if EXACT in case.known:
        return "its closed form"
    values = ", ".join(f"{name} {z:.3f} ± {sd:.3f}" for name, (z, sd) in case.known.items())
    return f"long runs ({values}); an engine is not judged by its own"


def _unknown(runs: Measured, first: float) -> str:
    if not runs.at_least:
        return runs.missing
    return (
        f"ended before its first run was done{'':33}more than {runs.at_least:6.1f}  "
        f"> {runs.at_least / first:.1f}"
    )


def _print_ratios(found: Mapping[str, Measured]) -> None:
    first = found[FIRST]
    show(f"{FIRST}: a run, its error", f"{np.mean(first.processor):.2f} s, {first.sd:.3f} nats")
    finished = {name: found[name] for name in PEERS_NESTED if name in found and found[name].log_z}
    for title, field_name in (("", "scaled"), (" as stated", "scaled_as_stated")):
        costs = {name: getattr(runs, field_name) for name, runs in finished.items()}
        if costs:
            best = min(costs, key=lambda name: costs[name])
            show(
                f"best nested sampler of the peers{title} ({best}) : this, target",
                f"{costs[best] / getattr(first, field_name):.3g}, {TIMES_NESTED:g}",
            )
    if PEER_SMC in found and found[PEER_SMC].log_z:
        show(f"{PEER_SMC} : this, target", f"{found[PEER_SMC].scaled / first.scaled:.3g}, 1")
