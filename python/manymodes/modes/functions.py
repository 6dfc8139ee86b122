"""The functions behind the modes: their weights, and how many copies of each there are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from manymodes.statistics.estimate import Estimate
from manymodes.types import FloatArray, IntArray


@dataclass(frozen=True)
class KindSummary:
    """Modes that are copies of one another, and their weights together.

    Attributes
    ----------
    modes : tuple of int
        The ids of those that hold draws, the heaviest first.
    function : int
        The number of the function that they compute.
    copies : int
        How many there are, with those that hold no draw.
    height : float
        Log of posterior over prior at their peaks (nats).
    log_z : Estimate
        Log evidence of all of them together (nats).
    evidence, stacking, occupancy : Estimate
        Their share of the evidence and their stacking weight, which count the copies that hold no
        draw, and the share of all draws of the chains that lie in them.
    chains : int
        How many chains have most of their draws in one of them.
    by_engine : dict
        Their share of the evidence by each engine that has one, by the engine's name.
    """

    modes: tuple[int, ...]
    function: int
    copies: int
    height: float
    log_z: Estimate
    evidence: Estimate
    stacking: Estimate
    occupancy: Estimate
    chains: int
    by_engine: Mapping[str, Estimate] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class FunctionSummary:
    """One function and its three weights, summed over the modes that compute it.

    Attributes
    ----------
    id : int
        Number of the function, from 1, by descending evidence (or occupancy, without evidence).
    kinds : tuple of KindSummary
        Its modes, copies of one another taken together, the heaviest first.
    height : float
        The largest log of posterior over prior at a peak of its modes (nats).
    log_z : Estimate
        Log evidence of its modes together (nats).
    evidence, stacking, occupancy : Estimate
        Its share of the evidence, its stacking weight, and the share of all draws of the chains
        that lie in it. The first two count the copies of its modes that hold no draw.
    chains : int
        How many chains have most of their draws in it.
    by_engine : dict
        Its share of the evidence by each engine that has one, by the engine's name.

    Examples
    --------
    >>> # comparison: what chains and nested runs of the noisy-XOR posterior found
    >>> function = comparison.functions[0]
    >>> function.id, function.copies >= len(function.modes) > 1
    (1, True)
    """

    id: int
    kinds: tuple[KindSummary, ...]
    height: float
    log_z: Estimate
    evidence: Estimate
    stacking: Estimate
    occupancy: Estimate
    chains: int
    by_engine: Mapping[str, Estimate] = field(default_factory=dict, hash=False)

    @property
    def modes(self) -> tuple[int, ...]:
        """The ids of its modes that hold draws, in ascending order."""
        return tuple(sorted(mode for kind in self.kinds for mode in kind.modes))

    @property
    def copies(self) -> int:
        """How many modes compute it, as far as that is known, with those that hold no draw."""
        return sum(kind.copies for kind in self.kinds)


def function_summaries(
    summaries: Sequence[Any],
    kinds: IntArray,
    copies: IntArray,
    draws: Mapping[str, FloatArray],
    log_z: Estimate,
) -> tuple[FunctionSummary, ...]:
    """Sum the weights of modes by function.

    Parameters
    ----------
    summaries : sequence of M ModeSummary
        The modes, by descending weight.
    kinds, copies : int arrays of shape (M,)
        As in `Modes`, in the same order.
    draws : dict of str to array of shape (M, B)
        Resamples of the modes' ``evidence``, ``stacking`` and ``occupancy``; without any, the
        errors of modes count as independent.
    log_z : Estimate
        Log evidence of the whole (nats).

    Returns
    -------
    tuple of FunctionSummary
        By number.
    """
    standing = copies / np.bincount(kinds)[kinds] if len(kinds) else np.empty(0)

    def together(members: IntArray) -> dict[str, Any]:
        return _together([summaries[i] for i in members.tolist()], members, standing, draws, log_z)

    by_function: dict[int, list[KindSummary]] = {}
    for kind in dict.fromkeys(kinds.tolist()):
        members = np.flatnonzero(kinds == kind)
        modes = [summaries[i] for i in members.tolist()]
        found = KindSummary(
            modes=tuple(mode.id for mode in modes),
            function=modes[0].function,
            copies=int(copies[members[0]]),
            **together(members),
        )
        by_function.setdefault(found.function, []).append(found)
    function_of = np.array([mode.function for mode in summaries], dtype=np.intp)
    return tuple(
        FunctionSummary(
            id=function,
            kinds=tuple(by_function[function]),
            **together(np.flatnonzero(function_of == function)),
        )
        for function in sorted(by_function)
    )


def _together(
    modes: Sequence[Any],
    members: IntArray,
    standing: FloatArray,
    draws: Mapping[str, FloatArray],
    log_z: Estimate,
) -> dict[str, Any]:
    """Return what modes have in common: their weights, and their highest peak.

    A copy without draws has the evidence and the stacking weight of the others, each of which
    stands for its part of them.
    """
    counts = standing[members]
    ones, nothing = np.ones(len(members)), np.empty((len(members), 0))

    def total(weight: str, counts: FloatArray) -> Estimate:
        own = draws.get(weight, np.empty((0, 0)))
        return _summed(
            [getattr(mode, weight) for mode in modes], own[members] if len(own) else nothing, counts
        )

    evidence = total("evidence", counts)
    engines = dict.fromkeys(name for mode in modes for name in mode.by_engine)
    return {
        "height": max(mode.height for mode in modes),
        "log_z": _log_z_of(evidence, log_z),
        "evidence": evidence,
        "stacking": total("stacking", counts),
        "occupancy": total("occupancy", ones),
        "chains": sum(mode.chains for mode in modes),
        "by_engine": {
            name: _summed([mode.by_engine.get(name, Estimate()) for mode in modes], nothing, counts)
            for name in engines
        },
    }


def _summed(shares: Sequence[Estimate], draws: FloatArray, counts: FloatArray) -> Estimate:
    """Return the share of modes together, each counted so many times.

    Modes without a value count nothing, unless there are only limits.
    """
    values = np.array([share.value for share in shares])
    known = np.isfinite(values)
    if not known.any():
        limits = np.array([share.at_most for share in shares])
        if not np.isfinite(limits).all():
            return Estimate()
        return Estimate(at_most=float(min(1.0, counts @ limits)))
    value = min(1.0, float(counts[known] @ values[known]))
    if draws.shape[1] > 1 and np.isfinite(draws[known]).all():
        sd = float((counts[known] @ draws[known]).std(ddof=1))
    else:
        errors = np.array([share.sd for share in shares])[known]
        sd = float(np.sqrt(((counts[known] * errors) ** 2).sum()))
    return Estimate(value, sd)


def _log_z_of(share: Estimate, whole: Estimate) -> Estimate:
    """Return the log evidence (nats) of a share of the whole evidence."""
    if np.isfinite(share.at_most):
        return Estimate(at_most=whole.value + float(np.log(share.at_most)))
    if not share.value > 0 or not np.isfinite(whole.value):
        return Estimate()
    return Estimate(
        whole.value + float(np.log(share.value)),
        float(np.hypot(whole.sd, share.sd / share.value)),
    )
