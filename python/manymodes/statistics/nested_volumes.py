"""The arithmetic of a nested sampling run: live counts, prior volumes, insertion ranks.

All arrays are of one run or of a merged run, ordered by log likelihood: ``logl`` of shape (n,)
ascending, and ``birth`` of shape (n,), the log likelihood of the contour that a point was drawn
above (-inf for draws of the prior).

Points of equal likelihood die one after the other with a number of live points that falls by one
each time, whether they lie on a plateau or come from runs that were merged (Fowlie, Handley, Su
2021, Nested sampling with plateaus); anesthetic does the same. The volume that is left after the
last death belongs to the last point, so that the shells fill the whole: a likelihood that is
the same everywhere has log_z = 0 and no error.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special
from scipy.cluster import hierarchy

from manymodes.types import BoolArray, FloatArray, IntArray

_OPEN = 0.1
_ROUNDING = 1e-10  # nats: smaller figures count as zero


def settled(values: npt.ArrayLike) -> FloatArray:
    """Return figures in nats; figures within rounding become zero."""
    array = np.asarray(values, dtype=float)
    return np.asarray(np.where(np.abs(array) < _ROUNDING, 0.0, array))


def live_counts(logl: FloatArray, birth: FloatArray) -> IntArray:
    """Return the number of live points just before each death, shape (n,)."""
    born_before = np.searchsorted(np.sort(birth), logl, side="left")
    return np.asarray(np.maximum(born_before - np.arange(len(logl)), 1), dtype=np.intp)


def expected_log_weights(logl: FloatArray, birth: FloatArray) -> FloatArray:
    """Return log(likelihood x mean shell volume), shape (n,), in nats.

    The mean of the volume after deaths with n_1, n_2, ... live points is the product of
    n_i / (n_i + 1), and the shell of death i is 1 / (n_i + 1) of what was left (Skilling 2006).
    The last shell is all that was left.
    """
    nlive = live_counts(logl, birth)
    log_t = np.log(nlive / (nlive + 1.0))
    log_x = np.cumsum(log_t) - log_t
    log_share = -np.log(nlive + 1.0)
    log_share[-1:] = 0.0
    return np.asarray(logl + log_x + log_share)


def random_log_weights(
    logl: FloatArray, birth: FloatArray, rng: np.random.Generator, draws: int
) -> FloatArray:
    """Return log(likelihood x shell volume), shape (n, draws), for random volumes (nats).

    Each death shrinks the volume by an independent factor Beta(n_live, 1) (Skilling 2006). The
    last shell is all that was left.
    """
    nlive = live_counts(logl, birth)
    log_t = -rng.standard_exponential((len(logl), draws)) / nlive[:, None]
    log_x = np.cumsum(log_t, axis=0) - log_t
    log_share = np.log(-np.expm1(log_t))
    log_share[-1:] = 0.0
    return np.asarray(logl[:, None] + log_x + log_share)


@dataclass(frozen=True)
class RegionWeights:
    """The evidence of each region of a fixed partition of the space, from one run.

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
    share of a mode's points is no longer its share of the volume. But within a connected part of
    the space the points are still a valid nested sampling run, with a number of live points that
    varies. So regions are integrated together while they are connected. When they separate, the
    volume is divided in proportion to the numbers of live points. From there on the volume of
    each shrinks by n / (n + 1) with each death in it alone. (PolyChord's volumes of clusters
    follow the same rule: Handley, Hobson, Lasenby 2015b.)

    Parameters
    ----------
    region : int array of shape (n,)
        The region of each point, 0 to M - 1, by a rule that depends on its place alone.
    passes : array of shape (M, M)
        The log likelihood up to which points cross between two regions directly (nats), as
        `open_passes` gives it. With -inf they are separate from the beginning.
    rng : numpy.random.Generator
        Source of the random volumes.
    draws : int
        The number B of random volumes.
    """
    n_regions = len(passes)
    log_w = np.full(len(logl), -np.inf)
    random_w = np.full((n_regions, draws), -np.inf)
    clusters = _clusters(passes)
    todo = [_Part(clusters[-1], np.arange(len(logl)), -np.inf, 0.0, np.zeros(draws))]
    while todo:
        part = todo.pop()
        members, cluster = part.members, part.cluster
        own_logl, own_birth, own_region = logl[members], birth[members], region[members]
        end = max(cluster.end, part.start)
        is_last = not cluster.children or end == np.inf
        dying = (own_logl > part.start) & (own_logl <= end)
        alive = live_counts(own_logl, own_birth)[dying]
        log_t = np.log(alive / (alive + 1.0))
        random_t = -rng.standard_exponential((len(alive), draws)) / alive[:, None]
        log_x = part.log_x + np.cumsum(log_t) - log_t
        random_x = part.random_x + np.cumsum(random_t, axis=0) - random_t
        log_share, random_share = -np.log(alive + 1.0), np.log(-np.expm1(random_t))
        if is_last:
            log_share[-1:], random_share[-1:] = 0.0, 0.0
        log_w[members[dying]] = own_logl[dying] + log_x + log_share
        shells = own_logl[dying, None] + random_x + random_share
        for r in np.unique(own_region[dying]).tolist():
            found = special.logsumexp(shells[own_region[dying] == r], axis=0)
            random_w[r] = np.logaddexp(random_w[r], found)
        if is_last:
            continue
        children = [clusters[child] for child in cluster.children]
        within = [members[np.isin(own_region, child.regions)] for child in children]
        counts = np.array([((birth[w] <= end) & (logl[w] > end)).sum() for w in within])
        counts = np.maximum(counts, 0.5)  # a region without a point yet still has a volume
        shares = rng.gamma(counts[:, None], size=(len(children), draws))
        for child, own, count, share in zip(children, within, counts, shares, strict=True):
            todo.append(
                _Part(
                    child,
                    own,
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
    """Return the contours up to which slices still go through the passes of modes, (M, M).

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
class _Cluster:
    """Regions that are connected up to the contour ``end``, and the parts after it."""

    regions: tuple[int, ...]
    end: float
    children: tuple[int, ...] = ()


@dataclass(frozen=True)
class _Part:
    """A cluster from the contour ``start`` on, its points, and the log volume there."""

    cluster: _Cluster
    members: IntArray
    start: float
    log_x: float
    random_x: FloatArray


def _clusters(passes: FloatArray) -> list[_Cluster]:
    """Return how regions separate as the contour rises: single regions first, the whole last.

    Two regions are connected up to the highest contour that a way between them, over any other
    regions, stays above: single linkage, with higher passes nearer.
    """
    n_regions = len(passes)
    clusters = [_Cluster((region,), np.inf) for region in range(n_regions)]
    if n_regions < 2:
        return clusters
    levels, rank = np.unique(passes, return_inverse=True)  # ranks are finite where levels are not
    apart = len(levels) - rank.reshape(passes.shape)[np.triu_indices(n_regions, 1)]
    for one, other, distance in hierarchy.linkage(apart.astype(float), "single")[:, :3].astype(int):
        end = float(levels[len(levels) - distance])
        children: list[int] = []
        for joined in (int(one), int(other)):
            cluster = clusters[joined]
            at_once = cluster.children and cluster.end == end
            children += cluster.children if at_once else (joined,)
        children.sort(key=lambda k: clusters[k].regions[0])
        regions = sorted(clusters[int(one)].regions + clusters[int(other)].regions)
        clusters.append(_Cluster(tuple(regions), end, tuple(children)))
    return clusters


def insertion_ranks(
    logl: FloatArray, birth: FloatArray, *, seed: int = 0
) -> tuple[IntArray, IntArray]:
    """Return each replacement's rank among the live points at its birth, and their number.

    Ranks run from 0 to the number minus one and are uniform if every point is a fair draw from
    inside its contour (Fowlie, Handley, Su 2020). The points are those of a single run.

    Points of equal likelihood are put into a random order, and so are those born on one contour:
    as if the likelihood had one more coordinate, uniform and independent of all else, so that
    ranks stay uniform whatever the ties. Each birth counts once, among the live points that lie
    inside its contour. Without ties nothing is random.

    Parameters
    ----------
    seed : int
        Seed of the order of ties.

    Returns
    -------
    tuple of two int arrays of shape (number of births,)
        Ranks and numbers of live points, by ascending contour of birth.
    """
    rng = np.random.default_rng(seed)
    fair = np.flatnonzero(inside_own_contour(logl, birth))
    logl, birth = logl[fair], birth[fair]
    place = np.empty(len(logl), dtype=np.intp)
    place[np.lexsort((rng.random(len(logl)), logl))] = np.arange(len(logl))
    by_birth = np.lexsort((rng.random(len(logl)), birth))
    dead_at_birth = np.searchsorted(np.sort(logl), birth, side="right")
    begin = int((birth == -np.inf).sum())
    live = sorted((-place[by_birth[:begin]]).tolist())  # the next to die is the last
    ranks: list[int] = []
    counts: list[int] = []
    for born, dead in zip(
        (-place[by_birth[begin:]]).tolist(), dead_at_birth[by_birth[begin:]].tolist(), strict=True
    ):
        while live and -live[-1] < dead:
            live.pop()
        at = bisect_left(live, born)
        ranks.append(len(live) - at)
        counts.append(len(live) + 1)
        live.insert(at, born)
    return np.array(ranks, dtype=np.intp), np.array(counts, dtype=np.intp)


def without_rounding(logl: FloatArray, birth: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the log likelihoods (nats) of points and of their births, each of shape (n,).

    If all likelihoods differ by no more than rounding, the likelihood is flat, and its points are
    put on one plateau.
    """
    if logl.size == 0 or np.ptp(logl) > _ROUNDING:
        return logl, birth
    level = float(np.round(np.median(logl), 10))  # rounded, so that all runs have the same level
    return np.full_like(logl, level), np.where(birth > level - 1.0, level, birth)


def inside_own_contour(logl: FloatArray, birth: FloatArray) -> BoolArray:
    """Return which points lie above the contour that they were born on, shape (n,).

    On a plateau a sampler may return points of the contour itself. They are not draws from inside
    it. Without them, only the points that were alive when the plateau was reached die on it, as
    they must (Fowlie, Handley, Su 2021).
    """
    return np.asarray(logl > birth)
