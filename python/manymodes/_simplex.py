"""Maximise a concave score of mixture weights with a logarithmic barrier on the simplex.

References
----------
.. [1] Boyd, Vandenberghe (2004). Convex Optimization, section 11.7. Cambridge University Press.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_MAX_STEPS = 200
_BARRIER_FALL = 0.05  # the barrier aimed at, as a share of the mean complementarity
_TO_BOUNDARY = 0.99  # a step goes at most this far towards a weight of zero
_ARMIJO = 1e-4  # share of the promised fall that a step must bring
_ROUNDING = 1e-13  # relative accuracy to which the score's gradient can be known


class Solution(NamedTuple):
    """Weights (K,), Newton steps taken, and whether the bound on the regret was reached."""

    weights: Array
    iterations: int
    converged: bool


def maximise(density: Array, counts: Array, barrier: float, tol: float) -> Solution:
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

    Notes
    -----
    The score is homogeneous, so the multiplier of sum_k w_k = 1 is known: counts.sum() + K mu
    for the barrier mu. With slack z_k = multiplier - g_k the optimum has w_k z_k = mu, and
    Newton's method on these equations [1]_ needs only the matrix H + diag(z / w), H the
    Hessian of -score, whose direction lowers the barrier objective whatever z > 0 is.
    """
    n_chains = density.shape[1]
    total = float(counts.sum())
    tol = max(tol, _ROUNDING * (total + n_chains * barrier))
    final = max(barrier, tol / (2 * n_chains))
    w = np.full(n_chains, 1 / n_chains)
    mu = max(final, 0.1 * total / n_chains)
    z = mu / w
    mixture = density @ w
    scratch = np.empty_like(density)
    for step in range(_MAX_STEPS + 1):
        gradient = density.T @ (counts / mixture)
        # With barrier 0 the bound is that of the score alone: final adds at most tol / 2.
        gap = float((gradient + barrier / w).max()) - total - n_chains * barrier
        if gap <= tol or step == _MAX_STEPS:
            break
        multiplier = total + n_chains * mu
        slope = multiplier - gradient - mu / w
        np.multiply(density, (np.sqrt(counts) / mixture)[:, None], out=scratch)
        dw = -_solve(scratch, z / w, slope)
        dz = mu / w - z - z / w * dw
        dmix = density @ dw
        fall = -float(slope @ dw)
        size = _longest_step(w, dw)
        while size * fall > _ROUNDING * multiplier:  # below that no change can be told
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


def _solve(root: Array, diagonal: Array, rhs: Array) -> Array:
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
    solution: Array = scale * x
    return solution


def _longest_step(x: Array, dx: Array) -> float:
    """Return the step, at most 1, that keeps x + step dx safely positive."""
    falling = dx < 0
    if not falling.any():
        return 1.0
    return min(1.0, _TO_BOUNDARY * float((x[falling] / -dx[falling]).min()))
