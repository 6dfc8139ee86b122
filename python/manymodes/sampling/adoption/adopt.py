"""Chains that were made elsewhere become those of a run: all of them, or none."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from manymodes.density.log_likelihood import LogLik
from manymodes.density.posterior import Posterior
from manymodes.errors import AdoptionWarning, InputError
from manymodes.runtime.progress import Progress
from manymodes.runtime.room import check_room
from manymodes.runtime.scratch import scratch_folder, sweep
from manymodes.runtime.storage import (
    SETTINGS,
    cannot_write,
    claim,
    digest,
    ensure_folder,
    held_folder,
    kept_folder,
    run_name,
)
from manymodes.sampling.adoption.agreement import (
    Agreement,
    agreement,
    densities,
    is_coarse,
    same_constant,
)
from manymodes.sampling.adoption.foreign import STATS, Foreign, Wanted
from manymodes.sampling.adoption.rounding import Support
from manymodes.sampling.adoption.sources import (
    FileSource,
    Source,
    common_treedepth,
    sources_of,
)
from manymodes.sampling.adoption.written import written
from manymodes.sampling.chains.chain_files import Record, record_numbers, write_record
from manymodes.sampling.chains.chains import ADOPTED, UNKNOWN, Chains, read_chains
from manymodes.sampling.chains.one_chain import RUNNING, leave_one_out, scores_of
from manymodes.types import FloatArray
from manymodes.wording import joined, things

_CHAINS = "chains"
_COMPARED = 4  # draws whose log likelihood is computed and compared with the file's
_CLOSE = 1e-6
_MOST_NAMED = 5


def adopt_chains(
    posterior: Posterior,
    chains: Any,
    *,
    out: Path | str | None = None,
    quiet: bool = False,
) -> Chains:
    """Take chains that were made elsewhere, so that they can be compared, stacked and diagnosed.

    Parameters
    ----------
    posterior : Posterior
        What they are draws of.
    chains : path, sequence of paths, DataTree or InferenceData
        Output files of CmdStan's sampler, written by any interface; NetCDF files or Zarr stores of
        ArviZ; draws in posteriordb's JSON. A pattern such as ``output_*.csv`` and a folder stand
        for the files in it, in the order of their numbers. Or a tree of draws in memory.
    out : path, optional
        Folder that keeps them, as it keeps chains of `run_chains`; a temporary one by default.
    quiet : bool
        Show no progress.

    Returns
    -------
    Chains
        With the draws after warm-up. What the files do not hold is NaN.

    Raises
    ------
    InputError
        A file cannot be read, or is of another program, of other data, or of no sampler; or
        ``out`` holds chains already. Nothing is kept then.
    StorageError
        The disk is full.

    Warns
    -----
    AdoptionWarning
        The files have no ``lp__``, so that only the support of the draws could be checked; or a
        chain is unfinished.

    Notes
    -----
    The log density ``lp__`` of every draw in a file is compared with that of the posterior. They
    may differ by a constant, because CmdStan leaves terms out that do not depend on parameters,
    and by as much as the digits of the file explain. Draws that rounding moved out of the support,
    such as probabilities that do not quite sum to one, are moved back within these digits.

    Examples
    --------
    >>> # posterior, chains: noisy XOR, and eight chains of 200 draws
    >>> tree = chains.to_datatree()  # or the names of files
    >>> adopted = mm.adopt_chains(posterior, tree, quiet=True)
    >>> adopted.n_chains, adopted.n_draws, adopted.adopted
    (8, 200, True)
    """
    posterior.model  # noqa: B018 - data that do not fit are refused before anything is read
    sources = sources_of(chains)
    with kept_folder(out, _CHAINS) as folder, held_folder(folder):
        sweep(folder.parent)  # what an adoption left that was killed
        refuse_chains(folder.parent)
        with prepared_chains(posterior, sources, folder.parent, quiet=quiet) as prepared:
            return prepared.placed(folder)


def refuse_chains(out: Path) -> None:
    """Refuse a run directory that holds chains.

    Raises
    ------
    InputError
        It does.
    """
    folder = out / _CHAINS
    if (folder / SETTINGS).exists() or record_numbers(folder):
        raise InputError(
            f"{folder} holds earlier results: replace them with --overwrite, or choose another "
            "--out"
        )


@dataclass(frozen=True, eq=False)
class Prepared:
    """Chains that were read and checked, in a folder of their own.

    Attributes
    ----------
    posterior : Posterior
        What they are draws of.
    folder : Path
        It has the files of a run's folder of chains.
    agreements : tuple of Agreement
        How ``lp__`` of each chain agrees with the log density.
    """

    posterior: Posterior
    folder: Path
    agreements: tuple[Agreement, ...]

    def placed(self, target: Path) -> Chains:
        """Move them to a run's folder of chains, which the caller holds; return them.

        Raises
        ------
        InputError, StorageError
            The folder cannot be written.
        """
        try:
            if not target.exists():
                os.rename(self.folder, target)
            else:  # files of the user are in it; the settings come last and make it a run
                files = sorted(self.folder.iterdir(), key=lambda path: path.name == SETTINGS)
                for path in files:
                    os.replace(path, target / path.name)
        except OSError as error:
            raise cannot_write(target, error) from error
        return read_chains(self.posterior, target)


@contextmanager
def prepared_chains(
    posterior: Posterior, sources: Sequence[Source], out: Path, *, quiet: bool = False
) -> Iterator[Prepared]:
    """Read and check all chains; hold them in a scratch folder.

    Parameters
    ----------
    posterior : Posterior
        What they are draws of.
    sources : sequence of Source
        Where they are.
    out : Path
        The run directory, which gets the scratch folder.
    quiet : bool
        Show no progress.

    Raises
    ------
    InputError
        A chain cannot be read, or is not of this posterior.
    StorageError
        The disk is full.
    """
    settings = {
        **posterior.identity,
        "sampler": ADOPTED,
        "files": digest(" ".join(source.digest for source in sources)),
        "names": [source.path.name for source in sources if isinstance(source, FileSource)],
        "superchain": 1,
        "max_treedepth": common_treedepth(sources) or UNKNOWN,
    }
    ensure_folder(out)
    with scratch_folder(out, RUNNING) as scratch:
        folder = ensure_folder(scratch / _CHAINS)
        adoption = _Adoption(posterior, folder, run_name(settings), quiet)
        with posterior.program.in_users_words():
            for source in sources:
                for chain in source.read(adoption.wanted):
                    adoption.take(chain)
            adoption.finish()
        claim(folder, settings, resume=False, asked=len(adoption.agreements))
        yield Prepared(posterior, folder, tuple(adoption.agreements))


@dataclass
class _Adoption:
    """Takes one chain after another, and says what could not be checked."""

    posterior: Posterior
    folder: Path
    run: str
    quiet: bool
    agreements: list[Agreement] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    seen: dict[str, str] = field(default_factory=dict)
    unfinished: list[str] = field(default_factory=list)
    recomputed: list[str] = field(default_factory=list)
    draws: int = 0

    def __post_init__(self) -> None:
        self.wanted = Wanted.of(self.posterior)
        self.support = Support.of(self.posterior)
        self.progress = Progress(f"{self.posterior.name}: adopted", quiet=self.quiet)

    def take(self, chain: Foreign) -> None:
        """Check a chain and keep it in the folder."""
        chain.check(self.wanted)
        known = hashlib.sha256(chain.rows.tobytes()).hexdigest()
        if known in self.seen:
            raise InputError(
                f"{chain.where} holds the same draws as {self.seen[known]}: each chain counts once"
            )
        self.seen[known] = chain.where
        eta = self.support.unconstrained(chain)
        density = densities(self.posterior, chain, eta)
        found = agreement(self.support, chain, eta, density)
        self.draws += chain.n_draws
        what = f"{things(len(self.names) + 1, 'chain')}, {self.draws} draws"
        check_room(2 * self.draws * self.posterior.dims, what)
        write_record(self.folder, len(self.names), self._record(chain, eta), self.run)
        self.agreements.append(found)
        self.names.append(chain.where)
        if chain.unfinished:
            self.unfinished.append(f"{chain.where} ({chain.n_draws} of {chain.expected})")
        self.progress.update(what)

    def finish(self) -> None:
        """Compare the chains with each other, and say how all of it went."""
        if not self.names:
            raise InputError("chains: the files hold no chain")
        same_constant(list(zip(self.names, self.agreements, strict=True)))
        number = things(len(self.names), "chain")
        within = max((one.within for one in self.agreements if one.checked), default=None)
        checked = (
            "" if within is None else f", lp__ agrees with the log density to {within:.1g} nats"
        )
        self.progress.done(f"{number}, {self.draws} draws{checked}")
        self._warn()

    def _warn(self) -> None:
        name, total = self.posterior.name, len(self.names)
        lacking = sum(not one.checked for one in self.agreements)
        which = "" if lacking == total else f" of {lacking} of {total} chains"
        if lacking and self.support.unit_vectors:
            self._say(
                f"{name}: lp__ could not be compared with the log density, for it depends on "
                "lengths of unit vectors, which files of draws do not hold: only that all draws "
                "are inside of the support, with a finite density, was checked"
            )
        elif lacking:
            self._say(
                f"{name}: lp__ could not be compared with the log density, for the files{which} "
                "have none: only that all draws are inside of the support, with a finite density, "
                "was checked"
            )
        if any(map(is_coarse, self.agreements)):
            worst = max(one.within for one in self.agreements if one.checked)
            self._say(
                f"{name}: the files have few digits: lp__ was compared to {worst:.2g} nats only"
            )
        if self.unfinished:
            self._say(
                f"{name}: unfinished, with fewer draws than their headers say: "
                f"{_some(self.unfinished)}"
            )
        if self.recomputed:
            self._say(
                f"{name}: log_lik in the files is not that of the program with these data, and was "
                f"computed anew: {_some(self.recomputed)}"
            )

    def _say(self, text: str) -> None:
        warnings.warn(text, AdoptionWarning, stacklevel=6)

    def _record(self, chain: Foreign, eta: FloatArray) -> Record:
        nothing = np.full(chain.n_draws, np.nan)
        stats = {name: np.asarray(chain.stats.get(name, nothing), dtype=float) for name in STATS}
        dims = self.posterior.dims
        metric = chain.inv_metric
        if metric is None or metric.shape != (dims,) or not _positive(metric):
            metric = np.full(dims, np.nan)
        step = chain.step_size
        if not np.isfinite(step) and chain.stats.get("step_size") is not None:
            step = float(chain.stats["step_size"][-1])
        return Record(
            rows=self.posterior.constrain_rows(eta),
            eta=eta,
            stats=stats,
            start=np.full(dims, np.nan),
            inv_metric=metric,
            step_size=step if _positive(step) else float("nan"),
            seconds=chain.seconds,
            sampling_seconds=chain.seconds,
            **scores_of(leave_one_out(self.posterior, eta, self._log_lik(chain, eta))),
        )

    def _log_lik(self, chain: Foreign, eta: FloatArray) -> LogLik | None:
        """Return the log likelihood that the file has, if it is that of the program."""
        if chain.log_lik is None:
            return None
        chosen = np.unique(np.linspace(0, len(eta) - 1, _COMPARED).astype(int))
        own = self.posterior.log_lik_told(eta[chosen]).values
        moved = self.support.nudged(chain, chosen)[0]
        inside = np.asarray(np.isfinite(moved).all(axis=1))
        nudged = np.where(inside[:, None], own, np.inf)
        if inside.any():
            nudged[inside] = self.posterior.log_lik_told(moved[inside]).values
        theirs = chain.log_lik[chosen]
        with np.errstate(invalid="ignore"):
            rounding = written(theirs).half_units(theirs)
            change = np.abs(nudged - own).sum(axis=1, keepdims=True)
            allowed = rounding + change * 4 + _CLOSE * (1 + np.abs(own))
            alike = (np.abs(theirs - own) <= allowed) | (np.isnan(theirs) & np.isnan(own))
            alike |= theirs == own
        if not alike.all():
            self.recomputed.append(chain.where)
            return None
        threw = np.asarray(np.isnan(chain.log_lik).all(axis=1))
        if threw.any():  # Stan's message on it is not in the file
            return None
        return LogLik(chain.log_lik, threw)


def _positive(values: npt.ArrayLike) -> bool:
    found = np.asarray(values, dtype=float)
    return bool((np.isfinite(found) & (found > 0)).all())


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return f"{joined(names[:_MOST_NAMED])}{more}"
