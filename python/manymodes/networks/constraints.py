"""Which weights a constraint admits: the region that its Stan program's parameters can reach.

The conditions of each constraint on the effective weights, almost everywhere:

- ``none``: nothing.
- ``ordered``: biases increase within every hidden layer.
- ``ordered-signed``: biases increase, and weights from each hidden layer to the first unit of the
  next layer are positive.
- ``unit-norm``: biases increase once every relu unit's incoming weights have unit norm.
  Weights are admitted up to that rescaling, since the program's own have unit norm already.
- ``pd-skew`` and its variants: for every hidden layer's matrix W, (W + W')/2 is positive definite
  and (W - W')/2 positive above its diagonal (Yallup et al. 2022). The variants differ in the
  prior on that region.
- ``svd``: for every hidden layer's matrix W = U diag(s) V', all pivots of U are positive, where
  the signs of singular vectors are chosen so that those of V are. See `pivots`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from manymodes.networks.forward import Weights, layers, numbers
from manymodes.networks.network import Network
from manymodes.networks.symmetry import normalised
from manymodes.types import BoolArray, FloatArray

Booleans = BoolArray


def admits(network: Network, weights: Weights) -> Booleans:
    """Return whether the network's constraint admits weights.

    Bounds of a uniform prior are not part of the constraint: `Network.log_prior` checks them.

    Parameters
    ----------
    network : Network
        The network with its constraint.
    weights : mapping of str to array_like, shape (..., *network.weight_shapes[name])
        Effective weights, as `Network.sample_prior` or any of the Stan programs gives them.

    Returns
    -------
    bool ndarray, shape (...,)
        False on the region's boundary, which has prior probability zero.
    """
    draws = {
        name: numbers(name, weights[name]) for name in network.weight_shapes if name in weights
    }
    return _TESTS[network.constraint](network, draws)


def pd_skew(matrix: npt.ArrayLike) -> Booleans:
    """Return whether square matrices have a positive definite symmetric and a positive skew part.

    Parameters
    ----------
    matrix : array_like, shape (..., N, N)
        Matrices W: (W + W')/2 must be positive definite, (W - W')/2 positive above its diagonal.
    """
    w = np.asarray(matrix, dtype=float)
    transposed = np.swapaxes(w, -1, -2)
    i, j = np.triu_indices(w.shape[-1], 1)
    good = np.array((w[..., i, j] > w[..., j, i]).all(axis=-1))
    # The smallest eigenvalue is the costly part, so it comes last: most matrices failed before.
    good[good] = np.linalg.eigvalsh((w + transposed)[good])[..., 0] > 0
    return good


def svd(matrix: npt.ArrayLike) -> Booleans:
    """Return whether matrices have left singular vectors of positive pivots, given the gauge.

    Parameters
    ----------
    matrix : array_like, shape (..., H, M)
        Matrices W = U diag(s) V'. An SVD fixes each pair of singular vectors up to a common sign,
        which is chosen so that V's pivots are positive.
    """
    u, _, vt = np.linalg.svd(np.asarray(matrix, dtype=float), full_matrices=False)
    v = np.swapaxes(vt, -1, -2)
    # The first i pivots of a frame have the sign of its leading minor i as their product.
    same = [
        np.linalg.slogdet(u[..., :i, :i])[0] * np.linalg.slogdet(v[..., :i, :i])[0] > 0
        for i in range(1, u.shape[-1] + 1)
    ]
    return np.asarray(np.all(same, axis=0))


def pivots(frame: npt.ArrayLike) -> FloatArray:
    """Return the pivots of orthonormal columns.

    Givens rotations turn column 1 onto the first axis: element 2 becomes zero first, then element
    3, and so on. They are applied to all columns. Then rotations turn the rest of column 2 onto the
    second axis, and so on. The pivot of column i is its i-th element when its turn comes, which is
    the product of the cosines of its angles. Earlier columns count with the sign that makes their
    own pivots positive, so that changing the sign of a column changes only the sign of its pivot.

    All angles lie in (-pi/2, pi/2) if and only if all pivots are positive, and they are if and only
    if all leading principal minors are.

    Parameters
    ----------
    frame : array_like, shape (..., n, k)
        k orthonormal columns, k at most n.

    Returns
    -------
    ndarray, shape (..., k)
    """
    x = np.array(frame, dtype=float)
    n, k = x.shape[-2:]
    found = np.empty((*x.shape[:-2], k))
    for i in range(k):
        found[..., i] = x[..., i, i]
        x[..., :, i] *= np.where(found[..., i] < 0, -1.0, 1.0)[..., None]
        for j in range(i + 1, n):
            radius = np.hypot(x[..., i, i], x[..., j, i])
            radius = np.where(radius > 0, radius, 1.0)
            cosine = (x[..., i, i] / radius)[..., None]
            sine = (x[..., j, i] / radius)[..., None]
            upper = cosine * x[..., i, :] + sine * x[..., j, :]
            x[..., j, :] = cosine * x[..., j, :] - sine * x[..., i, :]
            x[..., i, :] = upper
    return found


# -------------------------------------------------------------------------- of a network


def _none(network: Network, draws: dict[str, FloatArray]) -> Booleans:
    return np.ones(draws["b"].shape[:-1], dtype=bool)


def _ordered(network: Network, draws: dict[str, FloatArray]) -> Booleans:
    good = _none(network, draws)
    for _, bias in layers(network.hidden, draws):
        good &= (np.diff(bias, axis=-1) > 0).all(axis=-1)
    return good


def _ordered_signed(network: Network, draws: dict[str, FloatArray]) -> Booleans:
    matrices = [matrix for matrix, _ in layers(network.hidden, draws)]
    good = _ordered(network, draws)
    for after in (*matrices[1:], draws["V"]):
        good &= (after[..., 0, :] > 0).all(axis=-1)
    return good


def _unit_norm(network: Network, draws: dict[str, FloatArray]) -> Booleans:
    return _ordered(network, normalised(network, draws))


def _every_matrix(test: Callable[[FloatArray], Booleans]) -> Callable[..., Booleans]:
    def of_network(network: Network, draws: dict[str, FloatArray]) -> Booleans:
        good = _none(network, draws)
        for matrix, _ in layers(network.hidden, draws):
            good &= test(matrix)
        return good

    return of_network


_TESTS: dict[str, Callable[[Network, dict[str, FloatArray]], Booleans]] = {
    "none": _none,
    "ordered": _ordered,
    "ordered-signed": _ordered_signed,
    "unit-norm": _unit_norm,
    "pd-skew": _every_matrix(pd_skew),
    "pd-skew:lu": _every_matrix(pd_skew),
    "pd-skew:reject": _every_matrix(pd_skew),
    "svd": _every_matrix(svd),
}
