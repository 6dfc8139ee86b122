"""What many tests share: programs, posteriors, and small finished runs.

A run that several tests read is made once for all workers of a session: it is kept below the
session's temporary directory and continued (that is, read) by whoever comes second.
"""

from __future__ import annotations

import os

# As on the command line: climbs are many small steps, which more threads only slow down.
os.environ["OPENBLAS_NUM_THREADS"] = "1"

import re
import tempfile
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from filelock import FileLock
from hypothesis import settings

from manymodes import toolchain
from manymodes.density.posterior import Posterior
from manymodes.density.program import Program
from manymodes.modes import chain_groups
from manymodes.modes.comparison import Comparison, compare
from manymodes.modes.find import ModeSettings
from manymodes.networks.network import Network
from manymodes.sampling.chains.chains import Chains, run_chains
from manymodes.sampling.chains.nuts_settings import NutsSettings
from manymodes.sampling.nested import Nested, run_nested
from manymodes.sampling.nested.settings import PolyChordSettings
from manymodes.sampling.tempered import Tempered, run_tempered
from manymodes.statistics.pooled import Groups
from manymodes.studies.xor import XorData, xor_data, xor_posteriors
from seeds import seeded

# How long an example takes says what else the machine does, and nothing of the code.
settings.register_profile("manymodes", deadline=None)
settings.load_profile("manymodes")

MODELS = Path(__file__).parent / "models"
SAMPLE_STATS = {
    "lp",
    "acceptance_rate",
    "step_size",
    "tree_depth",
    "n_steps",
    "diverging",
    "energy",
}
"""The statistics of every draw, whatever the sampler, under ArviZ's names."""
QUICK_NUTS = NutsSettings(warmup=300, draws=200)
QUICK_POLYCHORD = PolyChordSettings(nlive=100)

UNASKED = "only tests that ask for the fixture `tools` find a toolchain"

Y_NORMAL = np.array([0.3, 1.9, -0.4, 1.1, 2.2])
Y_UNIT_CUBE = [0.2, 1.9, 0.6, 2.4]
Y_BERNOULLI = np.array([1, 1, 0, 1, 0, 1, 1, 1])

# Files that take longest, so ordered that two workers do not wait for one compilation.
LONGEST = (
    "lessons",
    "stan_programs",
    "kernel",
    "newest_stan",
    "calibration",
    "variable_size",
    "bridge_interface",
    "exact_evidence",
    "readme",
    "site",
    "kills",
    "clusters",
    "cli",
    "resume",
    "live_pages",
    "merge_parts",
    "distribution",
    "sklearn",
    "svd_constraint",
    "nested",
    "audit",
    "posterior",
    "bridge",
    "unit_norm_constraint",
    "faults",
    "report",
    "executors",
)


needs_tools = pytest.mark.usefixtures("tools")
"""For tests that compile, or run what was compiled, and take nothing from the toolchain itself."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest: no worker is left with one at the end.

    What asks for the toolchain is marked so: ``-m "not toolchain"`` leaves it out.
    """
    for item in items:
        if "tools" in getattr(item, "fixturenames", ()):
            item.add_marker("toolchain")
    place = {f"test_{name}.py": number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path.name, len(place)))


@cache
def _no_toolchain() -> tempfile.TemporaryDirectory[str]:
    """Return a folder, for as long as the session, with compilers and a make that only say why."""
    folder = tempfile.TemporaryDirectory(prefix="no-toolchain-")
    for tool in ("g++", "gcc", "make"):
        stand_in = Path(folder.name, tool)
        stand_in.write_text(f"#!/bin/sh\necho '{UNASKED}' >&2\nexit 1\n")
        stand_in.chmod(0o755)
    return folder


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Hide the toolchain from a test that did not ask for it, and from the fixtures it begins.

    Without this, such a test would pass here, and fail where there is no toolchain.
    """
    if item.get_closest_marker("toolchain"):
        return (yield)
    with pytest.MonkeyPatch.context() as patch:
        nothing = _no_toolchain().name
        patch.setenv("PATH", f"{nothing}{os.pathsep}{os.environ['PATH']}")
        patch.setenv("MANYMODES_HOME", f"{nothing}/home")
        patch.delenv("CMDSTAN", raising=False)
        patch.delenv("BRIDGESTAN", raising=False)
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Say why there is no toolchain, where a test missed it."""
    report = yield
    missed = report.failed and re.search(r"ToolchainError|manymodes setup", report.longreprtext)
    if missed and not item.get_closest_marker("toolchain"):
        report.sections.append(("toolchain", UNASKED))
    return report


@pytest.fixture(scope="session")
def tools() -> toolchain.Toolchain:
    """The whole toolchain; a session without one fails here, with the way to mend it."""
    return toolchain.require("cmdstan", "bridge", "polychord", "compiler")


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Any]:
    """Return a folder by name that all workers of the session share, held by one at a time."""
    root = tmp_path_factory.getbasetemp()
    root = root.parent if root.name.startswith("popen-") else root

    @contextmanager
    def folder(name: str) -> Iterator[Path]:
        with FileLock(root / f"{name}.lock"):
            yield root / f"shared-{name}"

    return folder


def closed_form(
    kind: str = "normal",
    prior: tuple[float, float] | None = None,
    *,
    prior_only: bool = False,
    unlucky: float = 0.0,
    rejects: bool = False,
) -> Posterior:
    """Return a posterior of ``closed_forms.stan``: kind ``normal`` or ``bernoulli``."""
    normal = kind == "normal"
    y = Y_NORMAL if normal else Y_BERNOULLI
    data = {
        "kind": 1 if normal else 2,
        "N": len(y),
        "y": y.tolist(),
        "prior": list(prior or ((2.0, 1.0) if normal else (1.0, 1.0))),
        "prior_only": int(prior_only),
        "unlucky": unlucky,
        "rejects": int(rejects),
    }
    return Posterior(Program(MODELS / "closed_forms.stan"), data, kind)


def two_peaks(distance: float, share: float) -> Posterior:
    """Return a posterior of two peaks of unit width, the right one with a share of the mass."""
    data = {"distance": distance, "share": share, "prior_only": 0}
    return Posterior(Program(MODELS / "two_peaks.stan"), data, "two peaks")


def unit_cube(kind: int, prior: tuple[float, float] = (2.0, 0.7)) -> Posterior:
    """Return a posterior of ``unit_cube.stan``; see there for the kinds."""
    data = {"kind": kind, "N": len(Y_UNIT_CUBE), "y": Y_UNIT_CUBE, "prior": list(prior)}
    return Posterior(Program(MODELS / "unit_cube.stan"), data, "unit cube")


def improper(kind: int) -> Posterior:
    """Return a posterior of ``improper.stan``, which says what the kinds are."""
    data = {"kind": kind, "prior_only": 0, "y": [1.0, 2.0, 0.5]}
    return Posterior(Program(MODELS / "improper.stan"), data, name="improper").compile(quiet=True)


def small_network(
    prior: str = "uniform:5", constraint: str = "none", *, prior_only: bool = False, n: int = 8
) -> Posterior:
    """Return the posterior of a network 2-2-1 on a few points, or its prior."""
    rng = np.random.default_rng(5)
    network = Network(2, (2,), activation="sigmoid", prior=prior, constraint=constraint)
    posterior = Posterior.from_network(network, rng.normal(size=(n, 2)), rng.integers(0, 2, n))
    return posterior.prior if prior_only else posterior


def made_chains(posterior: Any, eta: Any, **given: Any) -> Chains:
    """Return chains of given draws, shape (C, S, D), with what is not given made up.

    Rows are the draws themselves. ``lengths`` cuts chains short: what follows becomes NaN.
    """
    eta = np.array(eta, dtype=float)
    n_chains, n_draws, dims = eta.shape
    lengths = np.asarray(given.pop("lengths", np.full(n_chains, n_draws)))
    missing = np.arange(n_draws) >= lengths[:, None]
    rows = np.array(given.pop("rows", eta), dtype=float)
    stats = given.pop("stats", {"diverging": np.zeros((n_chains, n_draws))})
    stats = {name: np.where(missing, np.nan, values) for name, values in stats.items()}
    eta[missing] = rows[missing] = np.nan
    lpd = np.asarray(given.pop("lpd", np.empty((n_chains, 0))))
    values: dict[str, Any] = {
        "index": np.arange(n_chains),
        "pareto_k": np.full(lpd.shape, 0.2),
        "r_eff": np.ones(lpd.shape),
        "starts": np.zeros((n_chains, dims)),
        "inv_metric": np.ones((n_chains, dims)),
        "step_size": np.full(n_chains, 0.5),
        "seconds": np.full(n_chains, 2.0),
        "sampling_seconds": np.full(n_chains, 1.5),
        "attempts": np.zeros(n_chains, dtype=int),
        "shared": np.zeros(n_chains, dtype=bool),
        "failures": {},
    }
    return Chains(
        posterior, rows=rows, eta=eta, stats=stats, lengths=lengths, lpd=lpd, **{**values, **given}
    )


def each_its_own(chains: Chains) -> Chains:
    """Let chains be functions of their own: made-up scores have nothing to do with draws."""
    chain_groups._FOUND[chains] = Groups.single(chains.n_chains)
    return chains


@pytest.fixture(scope="session")
def data() -> XorData:
    """Data of the study, whatever its default seed."""
    return xor_data(seed=1, noise_sd=0.5)


@pytest.fixture(scope="session")
def xor(tools: toolchain.Toolchain, data: XorData) -> dict[str, Posterior]:
    """The study's posteriors, compiled."""
    return {name: posterior.compile() for name, posterior in xor_posteriors(data).items()}


@pytest.fixture(scope="session")
def normal(tools: toolchain.Toolchain) -> Posterior:
    """The conjugate normal mean, compiled."""
    return closed_form().compile()


@pytest.fixture(scope="session")
def xor_chains(xor: dict[str, Posterior], shared: Any) -> Chains:
    """Eight short chains of the full XOR posterior."""
    with shared("xor") as out:
        return run_chains(
            xor["full"],
            chains=8,
            nuts=QUICK_NUTS,
            seed=seeded(1),
            out=out,
            resume=True,
            quiet=True,
        )


@pytest.fixture(scope="session")
def xor_nested(xor: dict[str, Posterior], shared: Any) -> Nested:
    """Two nested runs of 100 live points on the full XOR posterior."""
    with shared("xor") as out:
        return run_nested(
            xor["full"],
            runs=2,
            polychord=QUICK_POLYCHORD,
            seed=seeded(1),
            out=out,
            resume=True,
            quiet=True,
        )


@pytest.fixture(scope="session")
def xor_tempered(xor: dict[str, Posterior], shared: Any) -> Tempered:
    """Two tempered runs of the full XOR posterior."""
    with shared("xor") as out:
        return run_tempered(
            xor["full"], runs=2, target_sd=0.5, seed=seeded(1), out=out, resume=True, quiet=True
        )


@pytest.fixture(scope="session")
def xor_comparison(xor_chains: Chains, xor_nested: Nested) -> Comparison:
    """The comparison of the two."""
    return compare(
        xor_chains.posterior,
        chains=xor_chains,
        nested=xor_nested,
        settings=ModeSettings(climbs=150),
        seed=seeded(1),
        quiet=True,
    )
