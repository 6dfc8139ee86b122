"""The settings of parallel tempering."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from manymodes.errors import InputError
from manymodes.runtime.parts import Part, dealt
from manymodes.runtime.seeds import check_seed
from manymodes.runtime.shown import Shown
from manymodes.runtime.threads import check_threads
from manymodes.sampling.nested.settings import AUTO

METRICS = ("dense", "diagonal")

MOST_ROUNDS = 20
"""The last round that a run may have: a million scans."""

_MOST_TEMPERATURES = 300
_MOST_BEGINNINGS = 1000
_MOST_STEPS = 256


@dataclass(frozen=True, repr=False)
class TemperedSettings(Shown):
    """Settings of parallel tempering.

    Parameters
    ----------
    runs : int
        Independent runs. Their scatter is part of the error.
    rounds : int
        Rounds of each run; round r has 2^r scans, and the last one is kept.
    max_rounds : int, optional
        While the error of ``log_z`` is above ``target_sd``, or too few draws of the base measure
        have come to the posterior, each run has one more round, up to this one. By default four
        more than ``rounds``, and at least 13.
    target_sd : float
        The error of ``log_z`` that is aimed at (nats).
    reference : str
        The base measure: ``auto``, ``prior``, ``chains``, ``peaks``, ``cube`` or the path of a
        file.
    temperatures : int, optional
        Temperatures of each run. By default as many as the barrier asks for.
    per_barrier : float
        Temperatures for each unit of the barrier, where their number is left open. At 2, half of
        the swaps are accepted.
    steps : int, optional
        Leapfrog steps of a move. By default learned at each temperature.
    beginnings : int
        Where no draw of the base measure has come to the posterior by the seventh round, so many
        beginnings are tried, and the one that found the most evidence is gone on with.
    metric : {"dense", "diagonal"}
        Whether the metric has the correlations of the gradients too.
    symmetry : bool
        Whether copies of a network's weights are proposed.
    seed : int
        Decides every run.
    retries : int
        Further attempts at a run that fails, each with another seed.
    threads_per_chain : int, optional
        Threads for one likelihood of a network, where the kernel computes it and there are many
        data. By default as many as the cores leave to each run; on an executor one. Results do not
        depend on it.

    Raises
    ------
    InputError
        A setting is out of its range; the message names the first.

    Notes
    -----
    Syed, Bouchard-Cote, Deligiannidis and Doucet (2022), Journal of the Royal Statistical Society
    B 84(2): the barrier is defined in section 4, rounds are in algorithm 2.

    Examples
    --------
    >>> mm.TemperedSettings(rounds=11).last_round
    15
    """

    runs: int = 4
    rounds: int = 10
    max_rounds: int | None = None
    target_sd: float = 0.1
    reference: str = AUTO
    temperatures: int | None = None
    per_barrier: float = 2.0
    steps: int | None = None
    beginnings: int = 12
    metric: str = "dense"
    symmetry: bool = True
    seed: int = 1
    retries: int = 2
    threads_per_chain: int | None = None

    def __post_init__(self) -> None:
        """Check the ranges; raise `InputError` naming the first setting out of its range."""
        if self.runs < 1:
            raise InputError(f"runs: {self.runs} is not 1 or more")
        if not 3 <= self.rounds <= MOST_ROUNDS:
            raise InputError(f"rounds: {self.rounds} is not between 3 and {MOST_ROUNDS}")
        most = self.max_rounds
        if most is not None and not self.rounds <= most <= MOST_ROUNDS:
            raise InputError(f"max_rounds: {most} is not between {self.rounds} and {MOST_ROUNDS}")
        if not self.target_sd > 0:
            raise InputError(f"target_sd: {self.target_sd} is not above 0")
        if self.temperatures is not None and not 3 <= self.temperatures <= _MOST_TEMPERATURES:
            raise InputError(
                f"temperatures: {self.temperatures} is not between 3 and {_MOST_TEMPERATURES}"
            )
        if not 1 < self.per_barrier <= 10:
            raise InputError(f"per_barrier: {self.per_barrier} is not above 1 and at most 10")
        if self.steps is not None and not 1 <= self.steps <= _MOST_STEPS:
            raise InputError(f"steps: {self.steps} is not between 1 and {_MOST_STEPS}")
        if not 1 <= self.beginnings <= _MOST_BEGINNINGS:
            raise InputError(
                f"beginnings: {self.beginnings} is not between 1 and {_MOST_BEGINNINGS}"
            )
        if self.metric not in METRICS:
            raise InputError(f"metric: '{self.metric}' is not one of: {', '.join(METRICS)}")
        check_seed(self.seed)
        if self.retries < 0:
            raise InputError(f"retries: {self.retries} is not 0 or more")
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
            There are more parts than runs, or how long they are depends on all of them.

        Examples
        --------
        >>> mm.TemperedSettings(runs=4).numbers()
        range(0, 4)
        """
        if part is not None and part.parts > 1 and self.last_round > self.rounds:
            raise InputError(
                f"max_rounds: with {part.option} no part sees the error of all tempered runs, "
                f"which decides how long they are: give --max-rounds {self.rounds} as --rounds is, "
                "and go on after the merge with evidence --resume"
            )
        return dealt(self.runs, part, "runs")

    @property
    def last_round(self) -> int:
        """The round beyond which no run is extended."""
        if self.max_rounds is not None:
            return self.max_rounds
        return min(max(self.rounds + 4, 13), MOST_ROUNDS)

    def identity(self) -> dict[str, Any]:
        """Return what decides the draws of a run, by name.

        Their number and the rounds they have are no part of it, since a run may be given more.

        Returns
        -------
        dict
            Plain values.

        Examples
        --------
        >>> sorted(mm.TemperedSettings().identity())[:2]
        ['beginnings', 'metric']
        """
        free = ("runs", "rounds", "max_rounds", "target_sd", "retries", "threads_per_chain")
        return {name: value for name, value in asdict(self).items() if name not in free}
