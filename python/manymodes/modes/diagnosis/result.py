"""The diagnosis of a comparison's chains: its figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from manymodes.errors import InputError
from manymodes.modes.comparison import Comparison
from manymodes.modes.diagnosis.geometry import Concentration, concentration
from manymodes.modes.diagnosis.health import ModeHealth, mode_health
from manymodes.modes.diagnosis.spaces import Agreement, agreements
from manymodes.modes.diagnosis.switching import Switching, switching
from manymodes.modes.summary_entries import worst
from manymodes.runtime.shown import Shown
from manymodes.statistics.coverage import Coverage, coverage
from manymodes.types import IntArray

_LEAST_DRAWS = 4


@dataclass(frozen=True, eq=False, repr=False)
class Diagnosis(Shown):
    """The diagnosis of the chains of a comparison.

    Attributes
    ----------
    comparison : Comparison
        The comparison with the chains.
    superchains : int
        How many chains share each start; 1 if each has its own.
    spaces : tuple of Agreement
        Weight space first; for a network also canonical weight space and function space. Empty
        with fewer than two chains that ran to their end.
    modes : tuple of ModeHealth
        Every mode that holds draws, by id.
    switching : Switching
        Where chains start, begin and end.
    mode_counts, function_counts : int arrays
        The number of starts from which each mode and each function was found, by id; a start
        counts for a mode if a chain from it has most of its draws there.
    mode_coverage, function_coverage : Coverage
        Estimates from these counts about modes and functions that were not found.
    starts : int
        The number of different starts.
    diverging_at : Concentration or None
        The coordinate at whose end divergent draws lie; None if there is no such one.

    Examples
    --------
    >>> # comparison: what chains and nested runs of the noisy-XOR posterior found
    >>> diagnosis = mm.diagnose(comparison)
    >>> [one.space for one in diagnosis.spaces], diagnosis.starts
    (['weights', 'canonical', 'function'], 8)
    """

    comparison: Comparison
    superchains: int
    spaces: tuple[Agreement, ...]
    modes: tuple[ModeHealth, ...]
    switching: Switching
    mode_counts: IntArray
    function_counts: IntArray
    mode_coverage: Coverage
    function_coverage: Coverage
    starts: int
    diverging_at: Concentration | None = None

    def _headline(self) -> str:
        chains = self.comparison.chains
        which = "" if chains is None else f"{chains.n_chains} chains of "
        rhats = ", ".join(f"{one.space} {worst(one.rhat):.2f}" for one in self.spaces)
        return f"Diagnosis of {which}'{self.comparison.posterior.name}': R-hat {rhats or 'unknown'}"

    def space(self, name: str) -> Agreement | None:
        """Return the agreement in a space: ``weights``, ``canonical`` or ``function``.

        Parameters
        ----------
        name : str
            Of the space.

        Returns
        -------
        Agreement or None
            R-hat and effective sample sizes there; None where the space has not been looked at.

        Examples
        --------
        >>> # comparison: what chains and nested runs of the noisy-XOR posterior found
        >>> mm.diagnose(comparison).space("weights").rhat.shape
        (9,)
        """
        return next((one for one in self.spaces if one.space == name), None)

    @property
    def cut(self) -> int:
        """How many chains were cut short by the time limit."""
        chains = self.comparison.chains
        return 0 if chains is None else chains.n_chains - chains.whole.n_chains

    def as_dict(self) -> dict[str, Any]:
        """Return the entry in ``summary.json``.

        Returns
        -------
        dict
            Numbers, texts and lists, ready for JSON.

        Examples
        --------
        >>> # comparison: what chains and nested runs of the noisy-XOR posterior found
        >>> sorted(mm.diagnose(comparison).as_dict())[:3]
        ['coverage', 'diverging_at', 'modes']
        """
        return {
            "superchains": self.superchains,
            "spaces": {one.space: one.as_dict() for one in self.spaces},
            "modes": [one.as_dict() for one in self.modes],
            "switching": self.switching.as_dict(),
            "diverging_at": None if self.diverging_at is None else self.diverging_at.as_dict(),
            "coverage": {
                "modes": self.mode_coverage.as_dict(),
                "functions": self.function_coverage.as_dict(),
            },
        }


def diagnose(
    comparison: Comparison,
    *,
    superchains: int | None = None,
    max_treedepth: int | None = None,
    threads: int | None = None,
) -> Diagnosis:
    """Diagnose the chains of a comparison.

    Parameters
    ----------
    comparison : Comparison
        A comparison with chains.
    superchains : int, optional
        How many chains share each start: chains g M to g M + M - 1 are a superchain of M. By
        default the number of the run (``Chains.superchain``).
    max_treedepth : int, optional
        The sampler's largest tree depth, at which a trajectory is cut off. By default that of the
        run (``Chains.max_treedepth``).
    threads : int, optional
        Columns processed at once; by default the number of cores.

    Returns
    -------
    Diagnosis
        Chains that were cut short count for modes, coverage and health, but not for R-hat,
        effective sample sizes and their nested version.

    Raises
    ------
    InputError
        There are no chains, or ``superchains`` or ``max_treedepth`` is below 1.

    Notes
    -----
    Besides the draws, memory holds one array of at most some 30 million numbers (canonical weights
    or predictions of all draws, a few columns at a time).

    Examples
    --------
    >>> # comparison: what chains and nested runs of the noisy-XOR posterior found
    >>> diagnosis = mm.diagnose(comparison)
    >>> diagnosis.mode_coverage.starts, diagnosis.mode_coverage.found >= 2
    (8, True)
    """
    chains = comparison.chains
    if chains is None:
        raise InputError(
            f"the comparison of '{comparison.posterior.name}' has no chains to diagnose"
        )
    size = chains.superchain if superchains is None else superchains
    depth = chains.max_treedepth if max_treedepth is None else max_treedepth
    for name, value in (("superchains", size), ("max_treedepth", depth)):
        if value is not None and value < 1:
            raise InputError(f"{name}: {value} is not 1 or more")
    whole = chains.whole
    enough = whole.n_chains > 1 and whole.n_draws >= _LEAST_DRAWS
    n_modes = int(comparison.labels.max())
    functions = np.zeros(n_modes + 1, dtype=np.intp)
    for mode in comparison.summaries:
        functions[mode.id] = mode.function
    followed = switching(comparison)
    main = followed.main
    starts = chains.index // size
    by_mode = _counts(starts, main, n_modes)
    by_function = _counts(starts, functions[main], int(functions.max()))
    n_starts = len(np.unique(starts[main > 0]))
    return Diagnosis(
        comparison=comparison,
        superchains=size,
        spaces=agreements(comparison, whole, size, threads) if enough else (),
        modes=mode_health(chains, comparison.chain_modes, main, depth, threads),
        switching=followed,
        mode_counts=by_mode,
        function_counts=by_function,
        mode_coverage=coverage(by_mode, starts=n_starts),
        function_coverage=coverage(by_function, starts=n_starts),
        starts=n_starts,
        diverging_at=concentration(chains),
    )


def diagnosed(comparisons: Mapping[str, Comparison]) -> dict[str, Diagnosis]:
    """Diagnose the chains of every comparison that has some, by the posterior's name."""
    return {n: diagnose(c) for n, c in comparisons.items() if c.chains is not None}


def _counts(starts: IntArray, found: IntArray, size: int) -> IntArray:
    """Return from how many different starts each of the ids 1 to ``size`` was found."""
    pairs = np.unique(np.stack([starts, found], axis=1)[found > 0], axis=0)
    return np.bincount(pairs[:, 1], minlength=size + 1)[1:]
