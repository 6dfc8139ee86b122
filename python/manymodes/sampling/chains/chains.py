"""Many independent chains of one posterior: the draws of those that finished."""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from manymodes.density.log_likelihood import Missing, extreme_scores
from manymodes.density.posterior import Posterior
from manymodes.errors import ResultsError, SamplingError
from manymodes.runtime.changes import changed
from manymodes.runtime.execution import Execution
from manymodes.runtime.parts import Part, part_of
from manymodes.runtime.shown import Shown
from manymodes.runtime.storage import SETTINGS, read_json
from manymodes.sampling.chains.chain_files import read_record, record_file, record_numbers, roomier
from manymodes.sampling.chains.missing_chains import run_missing
from manymodes.sampling.chains.one_chain import rescored
from manymodes.sampling.chains.samplers import prepare_sampler
from manymodes.sampling.chains.settings import ChainSettings
from manymodes.sampling.chains.starts import started_from
from manymodes.sampling.chains.trees import chains_log_lik, draws_tree
from manymodes.sampling.claims import claimed_folder, is_count, warn_part, warn_unfinished
from manymodes.types import BoolArray, FloatArray, IntArray

if TYPE_CHECKING:
    import xarray as xr


_OF_RECORDS = {
    name: name
    for name in (
        "lpd",
        "pareto_k",
        "r_eff",
        "inv_metric",
        "step_size",
        "seconds",
        "sampling_seconds",
        "shared",
    )
} | {"starts": "start", "attempts": "attempt"}
"""What is stacked over chains: the name here, and in a record."""


@dataclass(frozen=True, eq=False, repr=False)
class Chains(Shown):
    """The chains of one posterior that finished.

    A chain that its time limit ended has fewer draws than S; its missing ones are NaN. What is not
    known of chains that were made elsewhere (`adopt_chains`) is NaN, too.

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
    lengths : int array of shape (C,)
        How many draws each chain has.
    lpd : array of shape (C, N)
        PSIS-LOO log predictive density of each observation under each chain (nats); NaN where
        it has no score in a chain, empty where the program has no ``log_lik``.
    pareto_k, r_eff : arrays of shape (C, N)
        Its Pareto k-hat, and the relative efficiency that went into it; NaN like ``lpd``.
    starts : array of shape (C, D)
        Where each chain began, in the unconstrained space.
    inv_metric : array of shape (C, D)
        Diagonal of each chain's inverse metric.
    step_size : array of shape (C,)
        Step size after warm-up.
    seconds, sampling_seconds : float arrays of shape (C,)
        Wall time of each chain, and the sampler's own time in it.
    attempts : int array of shape (C,)
        How many attempts failed before the one that gave each chain.
    shared : bool array of shape (C,)
        Which chains were offered the warm-up of an earlier one.
    failures : dict
        The message of each chain that failed, by number.
    superchain : int
        How many chains in a row share a starting point; 1 where all differ.
    max_treedepth : int or None
        The sampler's largest tree depth, at which a trajectory is cut off; None if it is not known.
    unfinished : (int, int), optional
        Of a run that was interrupted: how many chains finished, and how many were asked for.
    missing : tuple of C Missing
        What each chain lacks of the log likelihood; empty where that is not known.
    started_from : {"", "climb", "tempered", "nested"}
        The engine whose draws of this posterior the chains started from, in proportion to their
        weights. Then occupancy is an estimate of the evidence weight. ``climb`` if each started
        from an optimum of its own, empty for other starts.
    adopted : bool
        Whether the chains were made elsewhere (`adopt_chains`).

    Examples
    --------
    >>> # chains: eight of the noisy-XOR posterior, nine parameters, 200 draws each
    >>> chains.n_chains, chains.n_draws, chains.eta.shape
    (8, 200, (8, 200, 9))
    >>> sorted(chains.variables())
    ['V', 'W', 'W_raw', 'b', 'c']
    >>> chains.lpd.shape == (chains.n_chains, chains.posterior.n_obs)
    True
    """

    posterior: Posterior
    index: IntArray
    rows: FloatArray
    eta: FloatArray
    stats: dict[str, FloatArray]
    lengths: IntArray
    lpd: FloatArray
    pareto_k: FloatArray
    r_eff: FloatArray
    starts: FloatArray
    inv_metric: FloatArray
    step_size: FloatArray
    seconds: FloatArray
    sampling_seconds: FloatArray
    attempts: IntArray
    shared: BoolArray
    failures: dict[int, str]
    superchain: int = 1
    max_treedepth: int | None = 10
    unfinished: tuple[int, int] | None = None
    missing: tuple[Missing, ...] = ()
    started_from: str = ""
    adopted: bool = False

    def _headline(self) -> str:
        failed = f", {len(self.failures)} failed" if self.failures else ""
        left = f", only {self.unfinished[0]} of {self.unfinished[1]}" if self.unfinished else ""
        return (
            f"Chains of '{self.posterior.name}': {self.n_chains} × {self.n_draws} draws, "
            f"{self.divergences} divergences{failed}{left}"
        )

    @property
    def n_chains(self) -> int:
        """The number C of chains that finished."""
        return len(self.index)

    @property
    def n_draws(self) -> int:
        """The number S of draws of a chain that was not cut short."""
        return int(self.eta.shape[1])

    @property
    def total_draws(self) -> int:
        """How many draws there are in all chains."""
        return int(self.lengths.sum())

    @property
    def divergences(self) -> int | None:
        """The number of divergent transitions after warm-up; None if no chain tells."""
        diverging = self.stats["diverging"]
        return None if np.isnan(diverging).all() else int(np.nansum(diverging))

    @cached_property
    def present(self) -> BoolArray:
        """Which draws there are, shape (C, S)."""
        return np.asarray(np.arange(self.n_draws) < self.lengths[:, None])

    @property
    def cut(self) -> BoolArray:
        """Which chains have fewer draws: their time limit cut them short, shape (C,)."""
        return np.asarray(self.lengths < self.n_draws)

    @cached_property
    def scored(self) -> BoolArray:
        """Which observations have a leave-one-out score in every chain, shape (N,)."""
        return np.asarray(~np.isnan(self.lpd).any(axis=0))

    @cached_property
    def scored_lpd(self) -> FloatArray:
        """The scores to weigh chains by, shape (N', C), nats.

        Of the observations that every chain scores, without those that no chain gives a density:
        they tell no chains apart.
        """
        lpd = self.lpd[:, self.scored].T
        return np.asarray(lpd[np.isfinite(lpd).any(axis=1)])

    @property
    def missing_log_lik(self) -> Missing:
        """What all chains together lack of the log likelihood."""
        scored = int(self.scored.sum())
        if self.missing:
            found = Missing.in_all(self.missing, scored)
        else:
            nothing = np.zeros(self.lpd.shape[1], dtype=np.intp)
            found = Missing(self.total_draws, nothing, 0, "", scored)
        return replace(found, extreme=extreme_scores(self.lpd))

    def flat(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return values of every draw, shape (C, S, ...), as those of the draws there are.

        Parameters
        ----------
        values : array of shape (C, S, ...)
            One value, or several, for each place of a draw.

        Returns
        -------
        array of shape (n, ...)
            Chain by chain, without the places that have no draw; n is `total_draws`.

        Examples
        --------
        >>> # chains: eight of the noisy-XOR posterior, 200 draws each
        >>> chains.flat(chains.eta).shape
        (1600, 9)
        """
        if not self.cut.any():
            return values.reshape(-1, *values.shape[2:])
        return np.asarray(values[self.present])

    @cached_property
    def whole(self) -> Chains:
        """The chains that have all S draws, for what needs chains of equal length."""
        return self.select(~self.cut) if self.cut.any() else self

    def select(self, chosen: BoolArray) -> Chains:
        """Return some of the chains: ``chosen`` of shape (C,).

        Parameters
        ----------
        chosen : bool array of shape (C,)
            Which chains.

        Returns
        -------
        Chains
            These alone.

        Examples
        --------
        >>> # chains: eight of the noisy-XOR posterior
        >>> chains.select(chains.index < 3).n_chains
        3
        """
        taken = {name: getattr(self, name)[chosen] for name in _ARRAYS}
        stats = {name: values[chosen] for name, values in self.stats.items()}
        superchain = self.superchain if chosen.all() else 1
        missing = tuple(one for one, kept in zip(self.missing, chosen, strict=False) if kept)
        return replace(self, stats=stats, superchain=superchain, missing=missing, **taken)

    def variables(self) -> dict[str, FloatArray]:
        """Return the named variables, each of shape (C, S, *dims).

        Returns
        -------
        dict of str to array
            By the names of the Stan program.

        Examples
        --------
        >>> # chains: eight of the noisy-XOR posterior, 200 draws each
        >>> chains.variables()["W"].shape
        (8, 200, 2, 2)
        """
        return self.posterior.unpack(self.rows)

    def to_datatree(self, *, log_likelihood: bool = True) -> xr.DataTree:
        """Return the draws as an ArviZ DataTree.

        Parameters
        ----------
        log_likelihood : bool
            Include the log likelihood of every draw and observation (C x S x N values, in
            single precision where that holds them), NaN where generated quantities throw.

        Returns
        -------
        DataTree
            Groups ``posterior``, ``sample_stats`` and, if asked for, ``log_likelihood``. Draws
            that a chain lacks, because its time limit ended it, are NaN. A variable whose name
            ArviZ or anesthetic has for itself has another one: see the attribute ``renamed``.

        Warns
        -----
        NamesWarning
            There is such a variable.

        Examples
        --------
        >>> # chains: eight of the noisy-XOR posterior, 200 draws each
        >>> tree = chains.to_datatree(log_likelihood=False)
        >>> dict(tree["posterior"]["b"].sizes)
        {'chain': 8, 'draw': 200, 'unit': 2}
        """
        stats = {
            name: self._flags(values) if name == "diverging" else values
            for name, values in self.stats.items()
            if not np.isnan(values).all()
        }
        told = log_likelihood and self.posterior.has_log_lik
        return draws_tree(
            self.posterior,
            self.rows,
            {"sample_stats": stats},
            log_lik=chains_log_lik(self.posterior, self.eta, self.lengths) if told else None,
            chain=self.index,
            attrs={"posterior": self.posterior.name},
        )

    def _flags(self, values: FloatArray) -> npt.NDArray[Any]:
        """Return what is 0 or 1 as truth values; as it is where it is not known of some draw."""
        if np.isnan(values[self.present]).any():
            return values
        return np.nan_to_num(values).astype(bool)


_ARRAYS = ["index", "rows", "eta", "lengths", *_OF_RECORDS]


def run_chains(
    posterior: Posterior,
    settings: ChainSettings | None = None,
    *,
    out: Path | str | None = None,
    resume: bool = False,
    other_versions: bool = False,
    executor: Executor | None = None,
    workers: int | None = None,
    quiet: bool = False,
    part: Part | tuple[int, int] | None = None,
    **changes: Any,
) -> Chains:
    """Run many independent chains, by default of NUTS.

    Parameters
    ----------
    posterior : Posterior
        What to sample.
    settings : ChainSettings, optional
        How many chains, from where, with which sampler and seed.
    out : path, optional
        Folder that keeps each chain as soon as it is finished; a temporary one by default.
    resume : bool
        Run only the chains that ``out`` does not hold yet.
    other_versions : bool
        With ``resume``: go on although another version of the sampler made the chains so far.
    executor : concurrent.futures.Executor, optional
        Where the chains run; local processes by default. Its workers need no common disk.
    workers : int, optional
        The number of local processes; the number of cores by default.
    quiet : bool
        Show no progress.
    part : (int, int), optional
        ``(3, 40)`` runs only the chains of part 3 of 40, each as it is in the whole run.
        `merge_runs` puts the parts together.
    **changes
        Fields of `ChainSettings` that differ from ``settings``, such as ``chains=8, seed=2``.

    Returns
    -------
    Chains
        Those that finished.

    Raises
    ------
    InputError
        A setting is out of its range, or ``out`` holds another run, or another part of it.
    SamplingError
        Not one chain finished; the message is that of the first failure.
    StorageError
        The disk is full; finished chains are kept.
    EngineError
        The executor's workers are gone; finished chains are kept.

    Examples
    --------
    >>> # model.stan, data.json: the mean of five normal observations
    >>> posterior = mm.Posterior.from_files("model.stan", "data.json")
    >>> nuts = mm.NutsSettings(warmup=200, draws=100)
    >>> chains = mm.run_chains(posterior, chains=2, nuts=nuts, seed=1, quiet=True)
    >>> chains.rows.shape, chains.divergences
    ((2, 100, 1), 0)
    """
    given = changed(settings, ChainSettings, changes)
    execution = Execution(out, resume, other_versions, executor, workers, quiet, part_of(part))
    posterior.compile(quiet=quiet).model  # noqa: B018 - refuses data that do not fit, in time
    given.check_room(posterior, None if resume else out, execution.part)
    prepare_sampler(given.sampler, posterior, given.nuts)
    with execution.folder("chains") as folder:
        run_missing(posterior, given, folder, execution)
        return read_chains(posterior, folder)


def load_chains(posterior: Posterior, out: Path) -> Chains | None:
    """Return the chains that a run directory holds; None if it holds none.

    Those count that the last run asked for.

    Warns
    -----
    UnfinishedWarning
        The run was interrupted: it holds fewer chains than were asked for. Or it is a part of a
        run.
    StrayFileWarning
        A file is no chain's, and is left out.

    Raises
    ------
    ResultsError
        A file is damaged, or belongs to another run.
    """
    folder = out / "chains"
    if not record_numbers(folder):
        return None
    chains = read_chains(posterior, folder)
    warn_unfinished(out, chains.unfinished, "chains", "sample")
    warn_part(out, read_json(folder / SETTINGS), "chains")
    return chains


ADOPTED = "adopted"
"""What the settings of chains that were made elsewhere have in place of a sampler."""

UNKNOWN = "unknown"
"""The largest tree depth in these settings, where no file tells it."""

IN_SETTINGS = {
    "superchain": is_count,
    "max_treedepth": lambda value: value == UNKNOWN or is_count(value),
}
"""What is read of the settings of a folder of chains."""


def read_chains(posterior: Posterior, folder: Path) -> Chains:
    """Return the chains that a folder of chains holds.

    Parameters
    ----------
    posterior : Posterior
        What they sample.
    folder : Path
        Of one file a chain, and the settings of their run.

    Raises
    ------
    SamplingError
        It holds none.
    ResultsError
        A file is damaged, or belongs to another run.
    """
    claimed = claimed_folder(folder, posterior.identity, IN_SETTINGS, record_numbers(folder))
    index = claimed.numbers
    if not index:
        first = next(iter(claimed.failures.values()), "no chain was run")
        raise SamplingError(f"{posterior.name}: no chain finished: {first}")
    shape = (int(posterior.model.param_num(include_tp=True)), posterior.dims)
    scored: int | None = None
    lengths = np.zeros(len(index), dtype=np.intp)
    rows = eta = np.empty((len(index), 0, 0))
    stats: dict[str, FloatArray] = {}
    single: dict[str, list[Any]] = {name: [] for name in _OF_RECORDS}
    lacking = []
    for c, number in enumerate(index):
        record = rescored(posterior, read_record(folder, number, claimed.run, shape))
        lacking.append(record.missing)
        scored = len(record.lpd) if scored is None else scored
        if len(record.lpd) != scored:
            raise ResultsError(
                f"{record_file(folder, number)} is damaged (it has {len(record.lpd)} scores, and "
                f"chain {index[0]} has {scored}): run again with --resume"
            )
        if record.n_draws > rows.shape[1]:  # the first whole chain sets the room for all
            rows, eta = roomier(rows, record.rows), roomier(eta, record.eta)
            stats = {
                k: roomier(stats.get(k, np.empty((len(index), 0))), v)
                for k, v in record.stats.items()
            }
        lengths[c] = record.n_draws
        for target, values in ((rows, record.rows), (eta, record.eta)):
            target[c, : lengths[c]] = values
        for name, values in record.stats.items():
            stats[name][c, : lengths[c]] = values
        for name, found in single.items():
            found.append(getattr(record, _OF_RECORDS[name]))
    depth = claimed.settings["max_treedepth"]
    return Chains(
        posterior,
        np.array(index),
        rows,
        eta,
        stats,
        lengths,
        failures=claimed.failures,
        superchain=int(claimed.settings["superchain"]),
        max_treedepth=None if depth == UNKNOWN else int(depth),
        unfinished=claimed.unfinished,
        missing=tuple(lacking),
        started_from=started_from(claimed.settings.get("init")),
        adopted=claimed.settings.get("sampler") == ADOPTED,
        **{name: np.array(found) for name, found in single.items()},
    )
