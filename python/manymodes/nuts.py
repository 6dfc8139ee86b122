"""One chain of CmdStan's NUTS, run through CmdStanPy."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from manymodes.errors import InputError, SamplingError
from manymodes.posterior import Posterior

FloatArray = npt.NDArray[np.float64]

_STATS = {
    "lp__": "lp",
    "accept_stat__": "acceptance_rate",
    "stepsize__": "step_size",
    "treedepth__": "tree_depth",
    "n_leapfrog__": "n_steps",
    "divergent__": "diverging",
    "energy__": "energy",
}
"""CmdStan's columns and ArviZ's names for them."""


@dataclass(frozen=True)
class NutsSettings:
    """Settings of the sampler, the same for every chain of a run.

    Parameters
    ----------
    warmup, draws : int
        Iterations before and after adaptation ends.
    adapt_delta : float
        Target acceptance rate in (0, 1).
    max_treedepth : int
        Longest trajectory is 2**max_treedepth leapfrog steps.
    init_radius : float
        Each chain starts at a point uniform in (-radius, radius) on the unconstrained scale.
    """

    warmup: int = 1000
    draws: int = 1000
    adapt_delta: float = 0.8
    max_treedepth: int = 10
    init_radius: float = 2.0

    def __post_init__(self) -> None:
        """Check the ranges; raise `InputError` naming the first setting out of its range."""
        checks = {
            "warmup": self.warmup >= 0,
            "draws": self.draws >= 4,
            "adapt_delta": 0 < self.adapt_delta < 1,
            "max_treedepth": self.max_treedepth >= 1,
            "init_radius": self.init_radius >= 0,
        }
        allowed = {
            "warmup": "0 or more",
            "draws": "4 or more",
            "adapt_delta": "between 0 and 1",
            "max_treedepth": "1 or more",
            "init_radius": "0 or more",
        }
        for name, ok in checks.items():
            if not ok:
                raise InputError(f"{name}: {getattr(self, name)} is not {allowed[name]}")

    def as_dict(self) -> dict[str, Any]:
        """Return the settings as plain values."""
        return asdict(self)


@dataclass(frozen=True)
class NutsChain:
    """What one chain gives.

    Attributes
    ----------
    rows : array of shape (S, P)
        Parameters and transformed parameters, as `Posterior.constrain_rows` lays them out.
    eta : array of shape (S, D)
        The same draws in the unconstrained space.
    stats : dict of arrays of shape (S,)
        Sampler statistics under ArviZ's names; ``lp`` is CmdStan's ``lp__`` (nats, which may
        lack constants).
    seconds : float
        Wall time of the chain, CmdStan's start included.
    """

    rows: FloatArray
    eta: FloatArray
    stats: Mapping[str, FloatArray]
    seconds: float


def run_chain(
    posterior: Posterior,
    settings: NutsSettings,
    seed: int,
    scratch: Path,
    init: Mapping[str, Any] | None = None,
) -> NutsChain:
    """Run one chain and return its draws.

    Parameters
    ----------
    posterior : Posterior
        Compiled, or compiled on the way.
    settings : NutsSettings
        The sampler's settings.
    seed : int
        CmdStan's seed, 1 to 2**31 - 1: decides the initial point and every draw.
    scratch : Path
        An existing empty folder for CmdStan's files.
    init : mapping, optional
        Initial values of all parameters instead of random ones.

    Raises
    ------
    SamplingError
        The chain failed; the message is Stan's own.
    """
    import cmdstanpy

    data_file = scratch / "data.json"
    data_file.write_text(posterior.data_json, encoding="utf-8")
    logging.getLogger("cmdstanpy").disabled = True  # what matters of it is in the error
    executable = posterior.program.executable()
    begun = time.monotonic()
    model = cmdstanpy.CmdStanModel(exe_file=str(executable))
    try:
        fit = model.sample(
            data=str(data_file),
            chains=1,
            seed=seed,
            inits=dict(init) if init is not None else settings.init_radius,
            iter_warmup=settings.warmup,
            iter_sampling=settings.draws,
            adapt_delta=settings.adapt_delta,
            max_treedepth=settings.max_treedepth,
            output_dir=str(scratch),
            sig_figs=18,
            show_progress=False,
        )
        table = fit.draws(concat_chains=True)
    except (RuntimeError, ValueError) as error:
        raise SamplingError(_said_by_stan(scratch, error)) from error
    columns = list(fit.column_names)
    stats = {
        name: np.ascontiguousarray(table[:, columns.index(theirs)])
        for theirs, name in _STATS.items()
    }
    first = len(_STATS)
    n_values = int(posterior.model.param_num(include_tp=True))
    rows = np.ascontiguousarray(table[:, first : first + n_values])
    eta = posterior.unconstrain_rows(rows)
    return NutsChain(rows, eta, stats, time.monotonic() - begun)


def _said_by_stan(scratch: Path, error: Exception) -> str:
    """Return Stan's own complaint from the chain's console output."""
    for console in sorted(scratch.glob("*stdout*.txt")) + sorted(scratch.glob("*-stderr*.txt")):
        lines = [x.strip() for x in console.read_text(errors="replace").splitlines() if x.strip()]
        marks = ("rror", "xception", "ejecting", "nitialization", "Unrecoverable")
        complaints = [line for line in lines if any(mark in line for mark in marks)]
        if complaints:
            return "CmdStan: " + " / ".join(dict.fromkeys(complaints[-3:]))
    return " ".join(str(error).split())[:500]
