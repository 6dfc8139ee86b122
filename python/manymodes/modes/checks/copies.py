"""Unvisited copies of a mode: how many there are, if the symmetry is exact.

A network's function does not change when hidden units are exchanged or tanh units are flipped, and
neither does a prior that treats all weights alike. Then a mode comes in copies with exactly the
same evidence, and the visited ones can be completed: the factor is H! 2^H if one copy of a layer
was visited, and less if more copies were visited or if a mode is its own copy.

For sigmoid units a flip moves the next bias, which changes the prior; only exchanges are exact. A
rescaling of a relu unit is not a discrete copy. If a constraint cuts through copies, they differ.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from manymodes.density.network_moves import moved
from manymodes.density.posterior import Posterior
from manymodes.modes.checks.basins import Basins
from manymodes.modes.checks.bridge_sampling import log_sum
from manymodes.networks.network import Network
from manymodes.statistics.estimate import Estimate
from manymodes.types import FloatArray

__all__ = ["Copies", "Family", "completed", "find_copies"]

MOST_COPIES = 10_000
"""With a larger group the copies are not listed."""

_EXACT = 1e-6  # largest difference in density of a copy (nats, per nat of its size)
_NODES = 17
_BARRIER = 1.0  # nats, as between modes


@dataclass(frozen=True)
class Family:
    """Modes that are exact copies of one another.

    Attributes
    ----------
    modes : tuple of int
        The ids of those known.
    copies : int
        How many there are in all: the order of the group, divided by the number of its members
        that leave the mode where it is.
    """

    modes: tuple[int, ...]
    copies: int


@dataclass(frozen=True)
class Copies:
    """The exact symmetry of a posterior, and the families of modes under it.

    Attributes
    ----------
    families : tuple of Family
        Every known mode is in one of them. Empty if the symmetry cannot be used.
    remark : str
        Which moves are exact, or why there are none.
    """

    families: tuple[Family, ...]
    remark: str


def find_copies(posterior: Posterior, tops: Mapping[int, FloatArray], basins: Basins) -> Copies:
    """Find which known modes are copies of one another, and how many copies there are.

    Parameters
    ----------
    posterior : Posterior
        The posterior that was sampled.
    tops : mapping of int to array of shape (D,)
        The highest point of each mode, in the unconstrained space.
    basins : Basins
        The basins of the same modes.

    Notes
    -----
    A copy of a mode's highest point belongs to a known mode when it lies in its basin and the
    density falls by no more than a nat on the straight line to its highest point.
    """
    network = posterior.network
    if network is None:
        return Copies((), "the posterior has no network: no symmetry is known")
    flips = network.activation == "tanh"
    size = math.prod(math.factorial(width) * (2**width if flips else 1) for width in network.hidden)
    one_left = ("ordered-signed", "unit-norm", *(() if flips else ("ordered",)))
    if network.constraint in one_left:
        return Copies((), f"constraint '{network.constraint}' leaves one copy of each function")
    if network.constraint != "none":
        return Copies(
            (), f"constraint '{network.constraint}' keeps some copies and drops or cuts others"
        )
    moves = "exchanges and flips of units" if flips else "exchanges of units"
    if size > MOST_COPIES:
        return Copies((), f"{size} copies by {moves} are too many to search")
    if size == 1:
        return Copies((), "one hidden unit: no exchange of units")
    families: list[Family] = []
    seen: set[int] = set()
    for mode in sorted(tops):
        if mode in seen:
            continue
        points = _orbit(posterior, network, tops[mode], flips=flips)
        height = posterior.log_density(tops[mode])
        worst = max(abs(posterior.log_density(point) - height) for point in points)
        if not worst <= _EXACT * max(1.0, abs(height)):
            return Copies((), f"copies of mode {mode} differ in density by {worst:.2g} nats")
        homes = basins(points).tolist()
        found = [
            home if home in tops and _is_one(posterior, point, tops[home]) else 0
            for home, point in zip(homes, points, strict=True)
        ]
        stay = sum(home == mode for home in found)
        family = Family(
            tuple(sorted({home for home in found if home} | {mode})), len(points) // max(stay, 1)
        )
        for other in [one for one in families if set(one.modes) & set(family.modes)]:
            families.remove(other)
            family = Family(tuple(sorted({*other.modes, *family.modes})), other.copies)
        families.append(family)
        seen.update(family.modes)
    return Copies(tuple(families), f"copies by {moves} are exact")


def _orbit(posterior: Posterior, network: Network, top: FloatArray, *, flips: bool) -> FloatArray:
    """Return all copies of a point by exact moves, shape (G, D); the first is the point itself."""
    widths = network.hidden
    permutations = itertools.product(*(itertools.permutations(range(w)) for w in widths))
    signs = [
        *itertools.product(*(itertools.product((1, -1)[: 1 + flips], repeat=w) for w in widths))
    ]
    members = [(p, s) for p in permutations for s in signs]
    return moved(posterior, top, [p for p, _ in members], [s for _, s in members])


def _is_one(posterior: Posterior, a: FloatArray, b: FloatArray) -> bool:
    """Return whether the density falls by a nat at most on the straight line from a to b."""
    floor = min(posterior.log_density(a), posterior.log_density(b)) - _BARRIER
    steps = np.arange(1, _NODES - 1) / (_NODES - 1)
    return all(posterior.log_density((1 - t) * a + t * b) >= floor for t in steps)


def completed(estimates: Mapping[int, Estimate], copies: Copies) -> Estimate | None:
    """Add up the evidences of all copies, visited or not.

    The mean of a family's known evidences (nats, as logs) counts for each of its copies.

    Parameters
    ----------
    estimates : mapping of int to Estimate
        Log evidences by mode id; modes with NaN count as not visited.
    copies : Copies
        The copies of the same modes.

    Returns
    -------
    Estimate or None
        None if no copy is missing.
    """
    total: dict[int, Estimate] = {}
    missing = 0
    for family in copies.families:
        known = {
            mode: estimates[mode]
            for mode in family.modes
            if mode in estimates and math.isfinite(estimates[mode].value)
        }
        if known:
            found = log_sum(known)
            factor = math.log(max(family.copies, len(known)) / len(known))
            total[family.modes[0]] = Estimate(found.value + factor, found.sd)
            missing += max(family.copies - len(known), 0)
    return log_sum(total) if missing else None


def missing_copies(modes: set[int], copies: Copies) -> int:
    """Return how many copies of some visited modes were not visited."""
    return sum(
        max(family.copies - len(modes & set(family.modes)), 0)
        for family in copies.families
        if modes & set(family.modes)
    )
