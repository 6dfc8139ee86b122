"""Maximise a concave score of mixture weights with a logarithmic barrier on the simplex.

Only a few of many chains get a noticeable weight. So a large problem is first solved for a subset
of chains, and chains that the gradient asks for are added to it. The search over all chains begins
at this solution, a few steps from its end.

References
----------
.. [1] Boyd, Vandenberghe (2004). Convex Optimization, section 11.7. Cambridge University Press.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from manymodes.types import FloatArray, IntArray

_MAX_STEPS = 200
_BARRIER_FALL = 0.05  # the barrier aimed at, as a share of the mean complementarity
_TO_BOUNDARY = 0.99  # a step goes at most this far towards a weight of zero
_ARMIJO = 1e-4  # share of the promised fall that a step must bring
_ROUNDING = 1e-13  # relative accuracy to which the score's gradient can be known

_LARGE = 10**8  # multiplications of one step, above which subsets of chains save time
_SKETCH = 400  # observations that choose the first subset
_FEWEST = 32  # chains of a first subset, and those added at once, if there are so many
_COVERED = 1e-100  # an observation's largest density in a subset, relative to that of all chains
_LOOSE = 1e-5  # barrier of a first subset, as a share of the observations for a chain
_WARM_STEPS = 30  # steps after which a search that began near the end begins anew


class Solution(NamedTuple):
    """Weights (K,), Newton steps taken, and whether the bound on the regret was reached."""

    weights: FloatArray
    iterations: int
    converged: bool


class Subset(NamedTuple):
    """Weights (C,) of some chains, the gradient for all chains, and the number of steps.

    Attributes
    ----------
    chains
        The chains of the subset, shape (C,).
    weights
        Their weights, shape (C,), adding up to 1; those of all other chains are zero.
    gradient
        Of the score, for every chain, shape (K,).
    iterations
        Newton steps taken.
    proven
        Whether the gradient proves the bound that was asked for.
    """

    chains: IntArray
    weights: FloatArray
    gradient: FloatArray
    iterations: int
    proven: bool


def is_large(density: FloatArray) -> bool:
    """Return whether subsets of chains save time for densities of shape (N, K)."""
    return bool(density.size * min(density.shape) >= _LARGE)


def maximise(density: FloatArray, counts: FloatArray, barrier: float, tol: float) -> Solution:
    """Maximise sum_i counts_i log(density @ w)_i + barrier sum_k log w_k on the simplex.

    Parameters
    ----------
    density
        Shape (N, K), not negative, a positive number in every row.
    counts
        Weight of each observation, shape (N,), positive.
    barrier
        Not negative. Zero is replaced by a value that costs no more than half of `tol`.
    tol
        Bound on the regret, nats.

    Returns
    -------
    Solution
        The weights; the gradient of the last step proves their optimality where `converged`.
    """
    n_chains = density.shape[1]
    total = float(counts.sum())
    tol = max(tol, _ROUNDING * (total + n_chains * barrier))
    final = max(barrier, tol / (2 * n_chains))
    steps = 0
    if is_large(density):
        mu = max(final, _LOOSE * total / n_chains)
        found = grow(density, counts, mu, n_chains * mu)
        steps = found.iterations
        if found.proven:
            # Chains outside have the weight that the barrier gives them, less near a tie.
            z = np.maximum(total + n_chains * mu - found.gradient, 1.0)
            w = mu / z
            w[found.chains] = np.maximum(w[found.chains], found.weights)
            w /= w.sum()
            warm = _climb(density, counts, barrier, final, tol, w, z, mu, _WARM_STEPS)
            steps += warm.iterations
            if warm.converged:
                return warm._replace(iterations=steps)
    solution = _climb_from_afar(density, counts, barrier, final, tol)
    return solution._replace(iterations=steps + solution.iterations)


def grow(
    density: FloatArray,
    counts: FloatArray,
    barrier: float,
    allowed: float,
    chains: IntArray | None = None,
) -> Subset:
    """Find a subset of chains whose mixture no chain outside improves by more than `allowed`.

    Parameters
    ----------
    density, counts, barrier
        As in `maximise`; the barrier is that of the chains of the subset.
    allowed
        Bound on how far the score of the subset's weights is below the best of all chains, nats;
        a number of K barriers and more is always reached.
    chains
        Where to begin, shape (C,); a subset that some of the observations choose by default.

    Returns
    -------
    Subset
        The chains, their weights, and the gradient that proves the bound. If more than half of all
        chains are needed, subsets no longer save time, and there is no proof.
    """
    n_obs, n_chains = density.shape
    total = float(counts.sum())
    steps = 0
    if chains is None:
        rows = np.random.default_rng(0).permutation(n_obs)[:_SKETCH]
        part = counts[rows] * (total / counts[rows].sum())
        sketch = _climb_from_afar(density[rows], part, barrier, barrier, 1.0)
        chains, steps = heaviest(sketch.weights), sketch.iterations
    while True:
        inside = density[:, chains]
        bare = inside.max(axis=1) < _COVERED
        if bare.any():
            chains = np.union1d(chains, density[bare].argmax(axis=1))
            inside = density[:, chains]
        solution = _climb_from_afar(inside, counts, barrier, barrier, 0.1 * allowed)
        steps += solution.iterations
        gradient = density.T @ (counts / (inside @ solution.weights))
        gain = gradient - total
        proven = bool(gain.max() <= allowed)
        gain[chains] = -np.inf
        best = np.argsort(-gain, kind="stable")[: max(len(chains) // 2, _FEWEST)]
        more = best[gain[best] > allowed]
        if proven or not more.size or 2 * len(chains) > n_chains:
            return Subset(chains, solution.weights, gradient, steps, proven)
        chains = np.union1d(chains, more)


def heaviest(weights: FloatArray) -> IntArray:
    """Return the chains that hold 99 % of the weight, but no more than an eighth of all."""
    order = np.argsort(-weights, kind="stable")
    needed = 1 + int(np.searchsorted(np.cumsum(weights[order]), 0.99))
    return np.sort(order[: max(_FEWEST, min(needed, len(weights) // 8))])


def _climb_from_afar(
    density: FloatArray, counts: FloatArray, barrier: float, final: float, tol: float
) -> Solution:
    """Climb from equal weights; the arguments are those of `_climb`."""
    n_chains = density.shape[1]
    w = np.full(n_chains, 1 / n_chains)
    mu = max(final, 0.1 * float(counts.sum()) / n_chains)
    return _climb(density, counts, barrier, final, tol, w, mu / w, mu, _MAX_STEPS)


def _climb(
    density: FloatArray,
    counts: FloatArray,
    barrier: float,
    final: float,
    tol: float,
    w: FloatArray,
    z: FloatArray,
    mu: float,
    max_steps: int,
) -> Solution:
    """Follow the falling barrier from weights w (K,) and slacks z (K,) to the optimum.

    Parameters
    ----------
    density, counts, barrier, tol
        As in `maximise`.
    final
        Where the falling barrier stops: at `barrier`, or above it where that is zero.
    w, z, mu
        Where to begin, and the barrier there.
    max_steps
        Newton steps after which the search ends.

    Notes
    -----
    The score is homogeneous, so the multiplier of sum_k w_k = 1 is known: counts.sum() + K mu
    for the barrier mu. With slack z_k = multiplier - g_k the optimum has w_k z_k = mu, and
    Newton's method on these equations [1]_ needs only the matrix H + diag(z / w), H the
    Hessian of -score, whose direction lowers the barrier objective whatever z > 0 is.
    """
    n_chains = len(w)
    total = float(counts.sum())
    mixture = density @ w
    scratch = np.empty_like(density)
    for step in range(max_steps + 1):
        gradient = density.T @ (counts / mixture)
        # With barrier 0 the bound is that of the score alone: final adds at most tol / 2.
        gap = float((gradient + barrier / w).max()) - total - n_chains * barrier
        if gap <= tol or step == max_steps:
            break
        multiplier = total + n_chains * mu
        slope = multiplier - gradient - mu / w
        np.multiply(density, (np.sqrt(counts) / mixture)[:, None], out=scratch)
        dw = -_solve(scratch, z / w, slope)
        dz = mu / w - z - z / w * dw
        dmix = density @ dw
        fall = -float(slope @ dw)
        size = _longest_step(w, dw)
        while size * fall > _ROUNDING * multiplier:  # smaller changes drown in rounding
            change = multiplier * size * dw.sum() - mu * np.log1p(size * dw / w).sum()
            change -= counts @ np.log1p(size * dmix / mixture)
            if change <= -_ARMIJO * size * fall:
                break
            size *= 0.5
        w = w + size * dw
        w /= w.sum()  # lowers the barrier objective further: the best point of the ray
        z = z + _longest_step(z, dz) * dz
        mixture = density @ w
        mu = max(final, min(mu, _BARRIER_FALL * float(w @ z) / n_chains))
    return Solution(w, step, gap <= tol)


def _solve(root: FloatArray, diagonal: FloatArray, rhs: FloatArray) -> FloatArray:
    """Solve (root.T @ root + diag(diagonal)) x = rhs; overwrites `root`, shape (N, K)."""
    n_obs, n_chains = root.shape
    scale = 1 / np.sqrt(diagonal)
    root *= scale
    rhs = scale * rhs
    if n_chains <= n_obs:
        matrix = root.T @ root
        matrix.flat[:: n_chains + 1] += 1
        x = np.linalg.solve(matrix, rhs)
    else:  # the Woodbury identity makes it N x N
        matrix = root @ root.T
        matrix.flat[:: n_obs + 1] += 1
        x = rhs - root.T @ np.linalg.solve(matrix, root @ rhs)
    solution: FloatArray = scale * x
    return solution


def _longest_step(x: FloatArray, dx: FloatArray) -> float:
    """Return the step, at most 1, that keeps x + step dx safely positive."""
    falling = dx < 0
    if not falling.any():
        return 1.0
    return min(1.0, _TO_BOUNDARY * float((x[falling] / -dx[falling]).min()))
