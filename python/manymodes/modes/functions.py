"""The functions behind the modes: their weights, and how many copies of each there are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from manymodes.statistics.estimate import Estimate
from manymodes.types import FloatArray, IntArray


@dataclass(frozen=True)
class FunctionSummary:
    """One function and its three weights, summed over the modes that compute it.

    Attributes
    ----------
    id : int
        Number of the function, from 1, by descending evidence (or occupancy, without evidence).
    modes : tuple of int
        The ids of its modes, the heaviest first.
    copies : int
        How many modes compute it as far as that is known: those listed in ``modes``, and the
        copies of them by the network's group that hold no draw.
    kinds : tuple of int
        The number of copies of each of its modes that are no copies of one another; their sum is
        ``copies``.
    height : float
        The largest log of posterior over prior at a peak of its modes (nats).
    log_z : Estimate
        Log evidence of its modes together (nats).
    evidence, stacking, occupancy : Estimate
        Its share of the evidence, its stacking weight, and the share of all draws of the chains
        that lie in it. The evidence counts the copies that hold no draw.
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
    modes: tuple[int, ...]
    copies: int
    kinds: tuple[int, ...]
    height: float
    log_z: Estimate
    evidence: Estimate
    stacking: Estimate
    occupancy: Estimate
    chains: int
    by_engine: Mapping[str, Estimate] = field(default_factory=dict, hash=False)


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
    function_of = np.array([mode.function for mode in summaries], dtype=np.intp)
    # A copy without draws has the evidence and the stacking weight of the others.
    standing = copies / np.bincount(kinds)[kinds] if len(kinds) else np.empty(0)
    found = []
    for function in np.unique(function_of).tolist():
        members = np.flatnonzero(function_of == function)
        modes = [summaries[i] for i in members.tolist()]

        def total(
            weight: str,
            counts: FloatArray = standing[members],
            modes: Sequence[Any] = modes,
            members: IntArray = members,
        ) -> Estimate:
            own = draws.get(weight, np.empty((0, 0)))
            own = own[members] if len(own) else np.empty((len(members), 0))
            return _summed([getattr(mode, weight) for mode in modes], own, counts)

        evidence = total("evidence")
        _, first = np.unique(kinds[members], return_index=True)
        own_copies = sorted(copies[members][first].tolist(), reverse=True)
        engines = dict.fromkeys(name for mode in modes for name in mode.by_engine)
        found.append(
            FunctionSummary(
                id=function,
                modes=tuple(mode.id for mode in modes),
                copies=int(sum(own_copies)),
                kinds=tuple(own_copies),
                height=max(mode.height for mode in modes),
                log_z=_log_z_of(evidence, log_z),
                evidence=evidence,
                stacking=total("stacking"),
                occupancy=total("occupancy", counts=np.ones(len(members))),
                chains=sum(mode.chains for mode in modes),
                by_engine={
                    name: _summed(
                        [mode.by_engine.get(name, Estimate()) for mode in modes],
                        np.empty((len(members), 0)),
                        standing[members],
                    )
                    for name in engines
                },
            )
        )
    return tuple(found)


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
