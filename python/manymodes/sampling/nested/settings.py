"""The settings of nested sampling: those of PolyChord, and those of its runs."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any

from manymodes.errors import InputError
from manymodes.runtime.parts import Part, dealt
from manymodes.runtime.seeds import check_seed
from manymodes.runtime.shown import Shown
from manymodes.runtime.threads import check_threads
from manymodes.sampling.base_measures import BaseMeasure

AUTO = "auto"
REFERENCES = (AUTO, "prior", "chains", "peaks", "cube")
"""The names of base measures; anything else is the path of a file."""

MAX_RUNS = 64
"""The most runs that a target for the error leads to, unless another number is given."""

MAX_RUN_SEED = 2**31 - 1
"""Seeds of runs are below this: PolyChord's are 32-bit integers, a negative one means the time."""

_MOST_POINTS = 10**7  # in memory at once
_MOST_REPEATS = 10**6


@dataclass(frozen=True, repr=False)
class PolyChordSettings(Shown):
    """Settings of PolyChord, the same for every run.

    Parameters
    ----------
    nlive : int, optional
        Live points of each run. By default 250; 100 over a base measure that was fitted to chains
        or peaks, because the posterior is so much closer to it that errors are nevertheless
        smaller.
    nprior : int, optional
        Draws of the prior that a run begins with; ten times ``nlive`` by default.
    num_repeats : int, optional
        Slices between two samples. By default five times the dimension of the cube; three times
        over a base measure that was fitted to chains, in which modes look alike and round.
    precision : float, optional
        A run ends when the live points hold less than this share of the evidence. By default
        0.001; 0.01 over a base measure that was fitted to chains, over which the density is so
        flat that live points tell well what they hold.
    clustering : bool
        PolyChord's recognition of clusters while it runs. Off by default: it costs a third of
        the time, and modes are found afterwards, for both engines alike.
    processes : int
        MPI processes of each run, where PolyChord was built with MPI.

    Raises
    ------
    InputError
        A setting is out of its range; the message names the first.

    Notes
    -----
    PolyChord: Handley, Hobson and Lasenby (2015), MNRAS 453, 4384, where ``num_repeats`` and
    ``precision`` are defined.

    Examples
    --------
    >>> polychord = mm.PolyChordSettings(nlive=250)
    >>> polychord.nlive, polychord.precision is None
    (250, True)
    """

    nlive: int | None = None
    nprior: int | None = None
    num_repeats: int | None = None
    precision: float | None = None
    clustering: bool = False
    processes: int = 1

    def __post_init__(self) -> None:
        """Check the ranges; raise `InputError` naming the first setting out of its range."""
        if self.nlive is not None and self.nlive < 10:
            raise InputError(f"nlive: {self.nlive} is not 10 or more")
        if self.nlive is not None and self.nlive > _MOST_POINTS // 10:
            raise InputError(f"nlive: {self.nlive} is more than {_MOST_POINTS // 10}")
        if self.nprior is not None and self.nprior < (self.nlive or 1):
            raise InputError(f"nprior: {self.nprior} is less than nlive ({self.nlive})")
        if self.nprior is not None and self.nprior > _MOST_POINTS:
            raise InputError(f"nprior: {self.nprior} is more than {_MOST_POINTS}")
        if self.num_repeats is not None and self.num_repeats < 1:
            raise InputError(f"num_repeats: {self.num_repeats} is not 1 or more")
        if self.num_repeats is not None and self.num_repeats > _MOST_REPEATS:
            raise InputError(f"num_repeats: {self.num_repeats} is more than {_MOST_REPEATS}")
        if self.precision is not None and not 0 < self.precision < 1:
            raise InputError(f"precision: {self.precision} is not between 0 and 1")
        if self.processes < 1:
            raise InputError(f"processes: {self.processes} is not 1 or more")

    def for_base(self, base: BaseMeasure) -> PolyChordSettings:
        """Return the settings with what was left open filled in for a base measure.

        Parameters
        ----------
        base : BaseMeasure
            What the run integrates over, such as `Nested.base`.

        Returns
        -------
        PolyChordSettings
            No field is None.

        Examples
        --------
        >>> # nested: runs of the noisy-XOR posterior over its prior, nine parameters
        >>> polychord = mm.PolyChordSettings(nlive=250).for_base(nested.base)
        >>> polychord.nprior, polychord.num_repeats, polychord.precision
        (2500, 45, 0.001)
        """
        over_chains = base.source in ("chains", "peaks")
        nlive = self.nlive or (100 if over_chains else 250)
        return replace(
            self,
            nlive=nlive,
            nprior=max(self.nprior or 10 * nlive, nlive),
            num_repeats=self.num_repeats or (3 if over_chains else 5) * base.cube_dims,
            precision=self.precision or (1e-2 if over_chains else 1e-3),
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the settings as plain values.

        Returns
        -------
        dict
            The settings by name; None for what is left open.

        Examples
        --------
        >>> mm.PolyChordSettings(nlive=250).as_dict()["nlive"]
        250
        """
        return asdict(self)


@dataclass(frozen=True, repr=False)
class NestedSettings(Shown):
    """Settings of nested sampling.

    Parameters
    ----------
    runs : int
        Independent runs, merged afterwards. Four by default: their scatter is the only error that
        does not assume that every point is a fair draw, and two runs hardly tell it.
    polychord : PolyChordSettings
        PolyChord's settings, by default those of `PolyChordSettings()`.
    reference : str
        The base measure: ``auto``, ``prior``, ``chains``, ``peaks``, ``cube`` or the path of a
        file.
    target_sd : float, optional
        Add runs until the error of ``log_z`` is at most this (nats). By default there is no target.
    max_runs : int, optional
        With ``target_sd``: add no more than there are so many runs. By default 64, or ``runs`` if
        that is more.
    checkpoints : bool
        Let PolyChord keep a file from which a run that is killed goes on, instead of anew. Files
        take time. Such a run is as good as an undisturbed one, but not the same. Runs on other
        machines, with MPI or with PolyChord's clustering have none.
    seed : int
        Decides every run: run i has the i-th child of this seed's sequence.
    retries : int
        Further attempts at a run that fails or is killed, with another seed or from its checkpoint.
    threads_per_chain : int, optional
        Threads for one likelihood of a network, where the kernel computes it and there are many
        data, in each process of a run. By default as many as the cores leave to each, and never
        more than those; on an executor one. Results do not depend on it.

    Raises
    ------
    InputError
        A setting is out of its range; the message names the first.

    Examples
    --------
    >>> from manymodes import NestedSettings, PolyChordSettings
    >>> settings = NestedSettings(runs=4, polychord=PolyChordSettings(nlive=250))
    >>> settings.most_runs
    64
    """

    runs: int = 4
    polychord: PolyChordSettings = field(default_factory=PolyChordSettings)
    reference: str = AUTO
    target_sd: float | None = None
    max_runs: int | None = None
    checkpoints: bool = False
    seed: int = 1
    retries: int = 2
    threads_per_chain: int | None = None

    def __post_init__(self) -> None:
        """Check the ranges; raise `InputError` naming the first setting out of its range."""
        if self.runs < 1:
            raise InputError(f"runs: {self.runs} is not 1 or more")
        check_seed(self.seed)
        if self.retries < 0:
            raise InputError(f"retries: {self.retries} is not 0 or more")
        if self.target_sd is not None and not self.target_sd > 0:
            raise InputError(f"target_sd: {self.target_sd} is not above 0")
        if self.max_runs is not None and self.max_runs < self.runs:
            raise InputError(f"max_runs: {self.max_runs} is less than runs ({self.runs})")
        if self.max_runs is not None and self.target_sd is None:
            raise InputError("max_runs: it goes with target_sd")
        check_threads(self.threads_per_chain)

    def numbers(self, part: Part | None = None) -> range:
        """Return the numbers of the runs of a part, or of all runs.

        Parameters
        ----------
        part : Part, optional
            Which part; all runs by default.

        Returns
        -------
        range
            Of numbers from 0 on.

        Raises
        ------
        InputError
            There are more parts than runs, or how many there are depends on all of them.

        Examples
        --------
        >>> mm.NestedSettings(runs=4).numbers()
        range(0, 4)
        """
        if part is not None and part.parts > 1 and self.target_sd is not None:
            raise InputError(
                f"target_sd: with {part.option} no part sees the error of all runs, which decides "
                "how many there are: leave --target-sd out, and say how many with --runs"
            )
        return dealt(self.runs, part, "runs")

    @property
    def most_runs(self) -> int:
        """The most runs that the target for the error may lead to."""
        return max(MAX_RUNS, self.runs) if self.max_runs is None else self.max_runs
