"""The arithmetic of a nested sampling run: live counts, prior volumes, insertion ranks.

All arrays are of one run or of a merged run, ordered by log likelihood: ``logl`` of shape (n,)
ascending, and ``birth`` of shape (n,), the log likelihood of the contour that a point was drawn
above (-inf for draws of the prior).
"""

from __future__ import annotations

from bisect import bisect_left, insort
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.intp]

_OPEN = 0.1


def live_counts(logl: FloatArray, birth: FloatArray) -> IntArray:
    """Return the number of live points just before each death, shape (n,)."""
    born_before = np.searchsorted(np.sort(birth), logl, side="left")
    return np.asarray(np.maximum(born_before - np.arange(len(logl)), 1), dtype=np.intp)


def expected_log_weights(logl: FloatArray, birth: FloatArray) -> FloatArray:
    """Return log(likelihood x mean shell volume), shape (n,), in nats.

    The mean of the volume after deaths with n_1, n_2, ... live points is the product of
    n_i / (n_i + 1), and the shell of death i is 1 / (n_i + 1) of what was left (Skilling 2006).
    """
    nlive = live_counts(logl, birth)
    log_t = np.log(nlive / (nlive + 1.0))
    log_x = np.cumsum(log_t) - log_t
    return np.asarray(logl + log_x - np.log(nlive + 1.0))


def random_log_weights(
    logl: FloatArray, birth: FloatArray, rng: np.random.Generator, draws: int
) -> FloatArray:
    """Return log(likelihood x shell volume), shape (n, draws), for random volumes (nats).

    Each death shrinks the volume by an independent factor Beta(n_live, 1) (Skilling 2006).
    """
    nlive = live_counts(logl, birth)
    log_t = -rng.standard_exponential((len(logl), draws)) / nlive[:, None]
    log_x = np.cumsum(log_t, axis=0) - log_t
    return np.asarray(logl[:, None] + log_x + np.log(-np.expm1(log_t)))


@dataclass(frozen=True)
class RegionWeights:
    """What a run says of each region of a fixed partition of the space.

    Attributes
    ----------
    log_weights : array of shape (n,)
        Log(likelihood x mean shell volume) of each point within its own region (nats).
    log_z : array of shape (M,)
        Log evidence of each region (nats); -inf for one without points.
    log_z_draws : array of shape (M, B)
        The same for random volumes: its spread is the error.
    """

    log_weights: FloatArray
    log_z: FloatArray
    log_z_draws: FloatArray


def region_weights(
    logl: FloatArray,
    birth: FloatArray,
    region: IntArray,
    passes: FloatArray,
    rng: np.random.Generator,
    draws: int,
) -> RegionWeights:
    """Integrate each region of a partition with the live points that were in it.

    A slice-sampled point stays in the mode of the point it started from, so once modes are
    separate, the numbers of live points in them drift like the sizes of families, and the
    share of a mode's points is no longer its share of the volume. But within a part of the
    space that is connected the points still are a valid nested sampling run, with a number of
    live points that varies. So regions are integrated together while they are connected; where
    they part, the volume is divided by the numbers of live points; from there on the volume of
    each shrinks by n / (n + 1) with each death in it alone. (PolyChord's volumes of clusters
    follow the same rule: Handley, Hobson, Lasenby 2015b.)

    Parameters
    ----------
    region : int array of shape (n,)
        The region of each point, 0 to M - 1, by a rule that depends on its place alone.
    passes : array of shape (M, M)
        The log likelihood up to which points cross between two regions directly (nats), as
        `open_passes` gives it. -inf lets them part at once.
    rng : numpy.random.Generator
        Source of the random volumes.
    draws : int
        The number B of random volumes.
    """
    n_regions = len(passes)
    log_w = np.full(len(logl), -np.inf)
    random_w = np.full((n_regions, draws), -np.inf)
    todo = [_Part(tuple(range(n_regions)), -np.inf, 0.0, np.zeros(draws))]
    while todo:
        part = todo.pop()
        members = np.isin(region, part.regions)
        own_logl, own_birth, own_region = logl[members], birth[members], region[members]
        end, children = _parting(part.regions, passes)
        end = max(end, part.start)
        dying = (own_logl > part.start) & (own_logl <= end)
        alive = live_counts(own_logl, own_birth)[dying]
        log_t = np.log(alive / (alive + 1.0))
        random_t = -rng.standard_exponential((len(alive), draws)) / alive[:, None]
        log_x = part.log_x + np.cumsum(log_t) - log_t
        random_x = part.random_x + np.cumsum(random_t, axis=0) - random_t
        own_w = np.full(len(own_logl), -np.inf)
        own_w[dying] = own_logl[dying] + log_x - np.log(alive + 1.0)
        log_w[members] = np.logaddexp(log_w[members], own_w)
        shells = own_logl[dying, None] + random_x + np.log(-np.expm1(random_t))
        for r in part.regions:
            inside = own_region[dying] == r
            if inside.any():
                found = special.logsumexp(shells[inside], axis=0)
                random_w[r] = np.logaddexp(random_w[r], found)
        if not children or end == np.inf:
            continue
        crossing = (own_birth <= end) & (own_logl > end)
        counts = np.array([np.isin(own_region[crossing], c).sum() for c in children])
        counts = np.maximum(counts, 0.5)  # a region that no point had entered yet is not empty
        shares = rng.gamma(counts[:, None], size=(len(children), draws))
        for child, count, share in zip(children, counts, shares, strict=True):
            todo.append(
                _Part(
                    child,
                    end,
                    part.log_x + float(log_t.sum()) + float(np.log(count / counts.sum())),
                    part.random_x + random_t.sum(axis=0) + np.log(share / shares.sum(axis=0)),
                )
            )
    log_z = np.array(
        [
            special.logsumexp(log_w[region == r]) if (region == r).any() else -np.inf
            for r in range(n_regions)
        ]
    )
    return RegionWeights(log_w, log_z, random_w)


def open_passes(passes: FloatArray, dims: int) -> FloatArray:
    """Return up to which contour slices still go through the passes between modes, (M, M).

    At m nats below a pass of depth d under the lower peak, a slice through a roughly quadratic
    mode meets the neck with a chance of about (m / (m + d))^((D - 1)/2). Once that is below
    0.1, the modes count as separate, long before the pass itself closes.

    Parameters
    ----------
    passes : array of shape (M, M)
        Levels of the passes and, on the diagonal, of the peaks (nats).
    dims : int
        The dimension D.
    """
    peaks = passes.diagonal()
    depth = np.maximum(np.minimum(peaks[:, None], peaks[None, :]) - passes, 0.0)
    ratio = _OPEN ** (2 / (dims - 1)) if dims > 1 else 0.0
    return np.asarray(passes - depth * ratio / (1 - ratio))


@dataclass(frozen=True)
class _Part:
    """Regions that are connected from the contour ``start`` on, and the log volume there."""

    regions: tuple[int, ...]
    start: float
    log_x: float
    random_x: FloatArray


def _parting(
    regions: tuple[int, ...], passes: FloatArray
) -> tuple[float, tuple[tuple[int, ...], ...]]:
    """Return the contour above which connected regions part, and the parts.

    They part at the lowest pass of the maximum spanning tree between them.
    """
    if len(regions) == 1:
        return np.inf, ()
    joined = [regions[0]]
    tree: list[tuple[float, int, int]] = []
    while len(joined) < len(regions):  # Prim's algorithm
        level, a, b = max(
            (float(passes[a, b]), a, b) for a in joined for b in regions if b not in joined
        )
        tree.append((level, a, b))
        joined.append(b)
    lowest = min(tree)
    cut = set(tree) - {lowest}
    first = {regions[0]}
    while grown := {x for _, a, b in cut if (a in first) != (b in first) for x in (a, b)} - first:
        first |= grown
    rest = tuple(r for r in regions if r not in first)
    return lowest[0], (tuple(sorted(first)), rest)


def insertion_ranks(logl: FloatArray, birth: FloatArray) -> tuple[IntArray, IntArray]:
    """Return each replacement's rank among the live points at its birth, and their number.

    Ranks run from 0 to the number minus one and are uniform if every point is a fair draw from
    inside its contour (Fowlie, Handley, Su 2020). The points are those of a single run.
    """
    by_birth: dict[float, list[float]] = {}
    for death, contour in zip(logl.tolist(), birth.tolist(), strict=True):
        by_birth.setdefault(contour, []).append(death)
    live = sorted(by_birth.pop(-np.inf, []))
    ranks: list[int] = []
    counts: list[int] = []
    for death in logl.tolist():
        live.pop(0)
        for value in by_birth.get(death, ()):
            ranks.append(bisect_left(live, value))
            counts.append(len(live) + 1)
            insort(live, value)
    return np.array(ranks, dtype=np.intp), np.array(counts, dtype=np.intp)
