"""The settings of a run of chains."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from manymodes.density.posterior import Posterior
from manymodes.errors import InputError
from manymodes.runtime.parts import Part, dealt
from manymodes.runtime.room import check_room
from manymodes.runtime.seeds import check_seed
from manymodes.runtime.shown import Shown
from manymodes.runtime.threads import check_threads
from manymodes.sampling.chains.nuts_settings import NutsSettings
from manymodes.sampling.chains.samplers import CMDSTAN, MAMS, check_sampler
from manymodes.sampling.chains.starts import AUTO_INIT, CLIMB, DEFAULT_INIT, Starts, parse_init

MOST_SECONDS = 1e9
"""The longest time limit: some thirty years."""


@dataclass(frozen=True, repr=False)
class ChainSettings(Shown):
    """Settings of a run of chains.

    Parameters
    ----------
    chains : int
        How many chains.
    nuts : NutsSettings
        The sampler's settings, by default those of `NutsSettings()`.
    seed : int
        Decides every chain: chain i has the i-th child of this seed's sequence.
    sampler : {"cmdstan", "nutpie", "mams"}
        NUTS of CmdStan or of nutpie, or the Metropolis adjusted microcanonical sampler; all sample
        the same compiled program.
    init : str
        Where chains start: ``radius:R`` (uniform in (-R, R) on the unconstrained scale), ``prior``,
        ``climb:R`` (where a climb of 400 steps from a point of ``radius:R`` ends; ``climb`` is
        ``climb:0.5``), ``pathfinder``, a file of initial values, or the directory of an earlier
        run: draws of its tempered runs, without these of its nested runs, without these of its
        chains. Every chain has a point of its own. ``auto`` is ``climb`` with mams, which is slow
        to come from far, and ``radius:2`` otherwise.
    superchain : int
        How many chains in a row share a starting point, for nested R-hat.
    share_warmup : int
        How many chains (the first ones) warm up in full; the others are offered the metric and
        step size of the one in whose basin they start. 0 shares nothing.
    retries : int
        How often a chain that fails is tried again, each time with another seed and start.
    time_limit : float, optional
        Seconds of wall time after which a chain is stopped and its draws so far are kept. By
        default there is no limit.
    threads_per_chain : int, optional
        Threads for one likelihood of a network, where the kernel computes it and there are many
        data. By default as many as the cores leave to each of the chains that run at once, and
        never more than those; on an executor one. Draws do not depend on it.

    Raises
    ------
    InputError
        A setting is out of its range; the message names the first.

    Examples
    --------
    >>> from manymodes import ChainSettings, NutsSettings
    >>> settings = ChainSettings(chains=16, nuts=NutsSettings(draws=500))
    >>> settings.starts_at
    'radius:2'
    """

    chains: int = 64
    nuts: NutsSettings = field(default_factory=NutsSettings)
    seed: int = 1
    sampler: str = CMDSTAN
    init: str = AUTO_INIT
    superchain: int = 1
    share_warmup: int = 0
    retries: int = 2
    time_limit: float | None = None
    threads_per_chain: int | None = None

    def __post_init__(self) -> None:
        """Check the ranges; raise `InputError` naming the first setting out of its range."""
        for name, least in (
            ("chains", 1),
            ("superchain", 1),
            ("share_warmup", 0),
            ("retries", 0),
        ):
            if getattr(self, name) < least:
                raise InputError(f"{name}: {getattr(self, name)} is not {least} or more")
        check_seed(self.seed)
        if self.time_limit is not None and not 0 < self.time_limit <= MOST_SECONDS:
            raise InputError(
                f"time_limit: {self.time_limit} is not a positive number of seconds, up to "
                f"{MOST_SECONDS:g}"
            )
        if self.chains % self.superchain:
            raise InputError(
                f"superchain: {self.chains} chains cannot be put in groups of {self.superchain}"
            )
        if self.share_warmup and self.nuts.warmup == 0:
            raise InputError("share_warmup: with warmup 0 there is nothing to share")
        check_threads(self.threads_per_chain)
        check_sampler(self.sampler, share_warmup=self.share_warmup > 0)
        parse_init(self.starts_at)

    @property
    def starts_at(self) -> str:
        """Where chains start: ``init``, or what ``auto`` stands for."""
        if self.init != AUTO_INIT:
            return self.init
        return CLIMB if self.sampler == MAMS else DEFAULT_INIT

    def numbers(self, part: Part | None = None) -> range:
        """Return the numbers of the chains of a part of the run, or of all chains.

        Each is the chain that it is in the whole run, whatever the other parts do.

        Parameters
        ----------
        part : Part, optional
            Which part; the whole run by default.

        Returns
        -------
        range
            Of numbers from 0 on.

        Raises
        ------
        InputError
            There are more parts than chains, or a chain would need what those of other parts
            learned.

        Examples
        --------
        >>> from manymodes import ChainSettings
        >>> ChainSettings(chains=16).numbers()
        range(0, 16)
        """
        if self.share_warmup and part is not None and part.parts > 1:
            raise InputError(
                f"share_warmup: with {part.option} no part sees the warm-up of the first "
                f"{self.share_warmup} chains: leave --share-warmup out, or run all chains in one "
                "piece (--dask and --mpi use many machines)"
            )
        return dealt(self.chains, part, "chains")

    def check_room(
        self, posterior: Posterior, out: Path | str | None, part: Part | None = None
    ) -> None:
        """Raise `InputError` if the draws fit neither into memory nor, below ``out``, on the disk.

        A draw is held on the unconstrained scale and as the program has it.

        Parameters
        ----------
        posterior : Posterior
            What is to be sampled.
        out : path or None
            Where chains are kept.
        part : Part, optional
            The part of the run that is to be made; all of it by default.

        Raises
        ------
        InputError
            There is no room; the message says how much is needed. Or there is no such part.

        Examples
        --------
        >>> # posterior: noisy XOR, a network with nine parameters
        >>> mm.ChainSettings(chains=8).check_room(posterior, None)
        """
        chains = len(self.numbers(part))
        numbers = chains * self.nuts.draws * 2 * posterior.dims
        what = f"{chains} chains of {self.nuts.draws} draws of {posterior.dims} parameters"
        check_room(numbers, what, out)

    def identity(self, posterior: Posterior, starts: Starts) -> dict[str, Any]:
        """Everything that decides a chain, so that another run is not continued by mistake.

        The number of chains is no part of it, since a run may be given more of them. Settings that
        only decide about chains that fail or take too long, and the number of threads, are no part
        of it either.

        Parameters
        ----------
        posterior : Posterior
            What is sampled.
        starts : Starts
            Where the chains start.

        Returns
        -------
        dict
            Plain values by name.

        Examples
        --------
        >>> from manymodes.sampling.chains.starts import make_starts
        >>> # posterior: noisy XOR, a network with nine parameters
        >>> settings = mm.ChainSettings(chains=8)
        >>> starts = make_starts(posterior, settings.starts_at, chains=8, seed=1)
        >>> settings.identity(posterior, starts)["sampler"]
        'cmdstan'
        """
        return {
            **posterior.identity,
            "seed": self.seed,
            **asdict(self.nuts),
            "sampler": self.sampler,
            "init": starts.identity,
            "superchain": self.superchain,
            "share_warmup": self.share_warmup,
        }
