"""Many independent NUTS chains of one posterior, each its own task and its own file."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from manymodes.diagnostics import r_eff
from manymodes.engine import Outcome, run_tasks
from manymodes.errors import InputError, SamplingError
from manymodes.loo import psis_loo
from manymodes.nuts import NutsSettings, run_chain
from manymodes.posterior import FloatArray, Posterior
from manymodes.progress import Progress, format_seconds
from manymodes.storage import claim, kept_folder, read_arrays, write_arrays

if TYPE_CHECKING:
    import xarray as xr

_STAT = "stat_"
_ARRAYS = ("rows", "eta", "lpd", "pareto_k", "seconds")


@dataclass(frozen=True)
class Chains:
    """The chains of one posterior that finished.

    Attributes
    ----------
    posterior : Posterior
        What was sampled.
    index : int array of shape (C,)
        The number of each chain in the run; numbers of failed chains are missing.
    rows : array of shape (C, S, P)
        Parameters and transformed parameters of each draw, flat (`Posterior.unpack` names them).
    eta : array of shape (C, S, D)
        The draws in the unconstrained space.
    stats : dict of arrays of shape (C, S)
        Sampler statistics under ArviZ's names.
    lpd : array of shape (C, N)
        PSIS-LOO log predictive density of each observation under each chain (nats); empty
        where the program has no ``log_lik``.
    pareto_k : array of shape (C, N)
        Its Pareto k-hat.
    failures : dict
        The message of each chain that failed, by number.
    seconds : float array of shape (C,)
        Wall time of each chain.
    """

    posterior: Posterior
    index: npt.NDArray[np.intp]
    rows: FloatArray
    eta: FloatArray
    stats: dict[str, FloatArray]
    lpd: FloatArray
    pareto_k: FloatArray
    failures: dict[int, str]
    seconds: FloatArray

    @property
    def n_chains(self) -> int:
        """The number C of chains that finished."""
        return len(self.index)

    @property
    def n_draws(self) -> int:
        """The number S of draws of each chain."""
        return int(self.eta.shape[1])

    @property
    def divergences(self) -> int:
        """The number of divergent transitions after warm-up."""
        return int(self.stats["diverging"].sum())

    def variables(self) -> dict[str, FloatArray]:
        """Return the named variables, each of shape (C, S, *dims)."""
        return self.posterior.unpack(self.rows)

    def to_datatree(self, *, log_likelihood: bool = True) -> xr.DataTree:
        """Return the draws as an ArviZ DataTree.

        Parameters
        ----------
        log_likelihood : bool
            Include the log likelihood of every draw and observation (C x S x N values, in
            single precision), computed now.

        Returns
        -------
        DataTree
            Groups ``posterior``, ``sample_stats`` and, if asked for, ``log_likelihood``.
        """
        from arviz_base import from_dict

        groups: dict[str, dict[str, Any]] = {
            "posterior": self.variables(),
            "sample_stats": {
                name: values.astype(bool if name == "diverging" else float)
                for name, values in self.stats.items()
            },
        }
        if log_likelihood and self.posterior.has_log_lik:
            shape = (self.n_chains, self.n_draws, self.posterior.n_obs)
            values = np.empty(shape, dtype=np.float32)
            for chain, eta in zip(values, self.eta, strict=True):
                chain[:] = self.posterior.log_lik(eta)
            groups["log_likelihood"] = {"y": values}
        return from_dict(
            groups,
            coords={"chain": self.index, "obs": np.arange(self.posterior.n_obs)},
            dims={"y": ["obs"]},
            attrs={"/": {"posterior": self.posterior.name}},
        )


def run_chains(
    posterior: Posterior,
    *,
    chains: int = 64,
    settings: NutsSettings | None = None,
    seed: int = 1,
    out: Path | str | None = None,
    resume: bool = False,
    executor: Executor | None = None,
    workers: int | None = None,
    quiet: bool = False,
) -> Chains:
    """Run many independent chains of NUTS.

    Parameters
    ----------
    posterior : Posterior
        What to sample.
    chains : int
        How many chains.
    settings : NutsSettings, optional
        The sampler's settings.
    seed : int
        Decides every chain: chain i has the i-th child of this seed's sequence.
    out : path, optional
        Folder that keeps each chain as soon as it is finished; a temporary one by default.
    resume : bool
        Run only the chains that ``out`` does not hold yet.
    executor : concurrent.futures.Executor, optional
        Where the chains run; local processes by default.
    workers : int, optional
        The number of local processes; the number of cores by default.
    quiet : bool
        Show no progress.

    Raises
    ------
    InputError
        A setting is out of its range, or ``out`` holds another run.
    SamplingError
        Not one chain finished; the message is that of the first failure.
    """
    if chains < 1:
        raise InputError(f"chains: {chains} is not 1 or more")
    if seed < 0:
        raise InputError(f"seed: {seed} is not 0 or more")
    settings = settings or NutsSettings()
    posterior.model  # noqa: B018 - data that do not fit are refused before anything is written
    with kept_folder(out, "chains") as folder:
        claim(folder, _identity(posterior, settings, seed), resume=resume)
        posterior.compile(quiet=quiet)
        progress = Progress(f"{posterior.name}: NUTS", quiet=quiet)
        failures = _run_missing(
            posterior, chains, settings, seed, folder, executor, workers, progress
        )
        return _load(posterior, folder, range(chains), failures)


def _identity(posterior: Posterior, settings: NutsSettings, seed: int) -> dict[str, Any]:
    """Everything that decides a chain, so that another run is not continued by mistake."""
    return {
        **posterior.identity,
        "seed": seed,
        **settings.as_dict(),
    }


def chain_seeds(seed: int, chains: int) -> list[int]:
    """Return CmdStan's seed of each chain; the first ones do not depend on their number."""
    children = np.random.SeedSequence(seed).spawn(chains)
    return [int(child.generate_state(1)[0] % (2**31 - 1)) + 1 for child in children]


def chain_file(folder: Path, index: int) -> Path:
    """Return the file that holds chain ``index``."""
    return folder / f"chain-{index:05d}.npz"


def sample_chain(
    posterior: Posterior, settings: NutsSettings, seed: int, target: Path
) -> tuple[float, int]:
    """Run one chain, score it and keep it in ``target``: the task that a worker carries out.

    Returns
    -------
    tuple
        Wall time in seconds and the number of divergent transitions.
    """
    scratch = Path(tempfile.mkdtemp(prefix=".running-", dir=target.parent))
    try:
        chain = run_chain(posterior, settings, seed, scratch)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    lpd = pareto_k = np.empty(0)
    if posterior.has_log_lik:
        log_lik = posterior.log_lik(chain.eta)
        loo = psis_loo(log_lik, r_eff=r_eff(log_lik))
        lpd, pareto_k = loo.elpd_i, loo.pareto_k
    write_arrays(
        target,
        {
            "rows": chain.rows,
            "eta": chain.eta,
            "lpd": lpd,
            "pareto_k": pareto_k,
            "seconds": chain.seconds,
            **{_STAT + name: values for name, values in chain.stats.items()},
        },
    )
    return chain.seconds, int(chain.stats["diverging"].sum())


def _run_missing(
    posterior: Posterior,
    chains: int,
    settings: NutsSettings,
    seed: int,
    folder: Path,
    executor: Executor | None,
    workers: int | None,
    progress: Progress,
) -> dict[int, str]:
    seeds = chain_seeds(seed, chains)
    for leftover in folder.glob(".running-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    missing = [i for i in range(chains) if not chain_file(folder, i).exists()]
    finished = chains - len(missing)
    failures: dict[int, str] = {}
    divergences = 0
    done = 0

    def on_done(index: int, outcome: Outcome[tuple[float, int]]) -> None:
        nonlocal divergences, done
        done += 1
        if outcome.error is not None:
            failures[index] = outcome.error
        elif outcome.value is not None:
            divergences += outcome.value[1]
        left = progress.seconds / done * (len(missing) - done)
        rate = done * settings.draws / progress.seconds
        failed = f", {len(failures)} failed" if failures else ""
        progress.update(
            f"{finished + done} of {chains} chains{failed}, {rate:.0f} draws/s, "
            f"{divergences} divergences, {format_seconds(left)} left"
        )

    tasks = {i: (posterior, settings, seeds[i], chain_file(folder, i)) for i in missing}
    run_tasks(sample_chain, tasks, executor=executor, workers=workers, on_done=on_done)
    kept = f", {finished} kept from before" if finished else ""
    failed = f", {len(failures)} failed" if failures else ""
    progress.done(f"{chains - len(failures)} of {chains} chains{kept}{failed}")
    return failures


def load_chains(posterior: Posterior, out: Path) -> Chains | None:
    """Return the chains that a run directory holds; None if it holds none.

    Raises
    ------
    ResultsError
        A chain's file is damaged.
    """
    folder = out / "chains"
    numbers = sorted(int(path.stem.split("-")[1]) for path in folder.glob("chain-*.npz"))
    return _load(posterior, folder, numbers, {}) if numbers else None


def _load(
    posterior: Posterior, folder: Path, numbers: Iterable[int], failures: dict[int, str]
) -> Chains:
    index = [i for i in numbers if chain_file(folder, i).exists()]
    if not index:
        first = next(iter(failures.values()), "no chain was run")
        raise SamplingError(f"{posterior.name}: no chain finished: {first}")
    files = [read_arrays(chain_file(folder, i), *_ARRAYS) for i in index]

    def stack(name: str) -> npt.NDArray[Any]:
        return np.stack([file[name] for file in files])

    return Chains(
        posterior,
        np.array(index),
        rows=stack("rows"),
        eta=stack("eta"),
        stats={
            name.removeprefix(_STAT): stack(name) for name in files[0] if name.startswith(_STAT)
        },
        lpd=stack("lpd"),
        pareto_k=stack("pareto_k"),
        failures=failures,
        seconds=stack("seconds"),
    )
