"""Whether draws of a file are of this density: its ``lp__`` against our log density.

CmdStan leaves out terms that do not depend on the parameters, so that the two differ by a constant.
How far the difference may scatter follows from the digits of the file: a draw that was rounded has
another density.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from manymodes.density.posterior import Posterior
from manymodes.errors import DensityError, InputError
from manymodes.sampling.adoption.foreign import LP, Foreign
from manymodes.sampling.adoption.rounding import Support
from manymodes.sampling.adoption.written import written
from manymodes.types import FloatArray, IntArray

_LOOKED_AT = 50
_SLACK = 3.0
_SUM = 1e-7  # relative: sums in another order, solvers of another version
_COARSE = 0.1  # nats


@dataclass(frozen=True)
class Agreement:
    """How ``lp__`` of a chain agrees with the log density.

    Attributes
    ----------
    constant : float
        ``lp__`` minus our log density (nats); NaN if the file has no ``lp__`` to compare.
    within : float
        What the digits of the file allow a draw to differ from that by (nats), the median.
    """

    constant: float = float("nan")
    within: float = float("nan")

    @property
    def checked(self) -> bool:
        """Whether there was something to compare."""
        return bool(np.isfinite(self.constant))


def densities(posterior: Posterior, chain: Foreign, eta: FloatArray) -> FloatArray:
    """Return the log density of each draw (nats), shape (S,).

    Raises
    ------
    InputError
        It is not finite in some draw, which is named.
    """
    found = np.array([posterior.log_density(point) for point in eta])
    wrong = np.flatnonzero(~np.isfinite(found))
    if wrong.size:
        raise InputError(
            f"{chain.where}: the log density of draw {wrong[0] + 1} is {found[wrong[0]]} in the "
            f"program {posterior.program.name} with these data: the draws are of another program "
            f"or of other data{chain.origin}"
        )
    return found


def agreement(support: Support, chain: Foreign, eta: FloatArray, density: FloatArray) -> Agreement:
    """Compare ``lp__`` of a chain with our log density, up to one constant.

    Parameters
    ----------
    support : Support
        Of the posterior.
    chain : Foreign
        The chain.
    eta : array of shape (S, D)
        Its draws in the unconstrained space.
    density : array of shape (S,)
        Our log density of them (nats).

    Raises
    ------
    InputError
        They differ by more than a constant and the rounding of the file.
    """
    lp = chain.stats.get(LP)
    if lp is None or support.unit_vectors:
        return Agreement()
    if not np.isfinite(lp).all():
        draw = int(np.argmin(np.isfinite(lp)))
        raise InputError(f"{chain.where}: lp__ of draw {draw + 1} is {lp[draw]}, no number")
    off = lp - density
    constant = float(np.median(off))
    of_lp = written(lp).half_units(lp)
    draws = np.unique(np.linspace(0, len(lp) - 1, min(len(lp), _LOOKED_AT)).astype(int))
    allowed = _allowed(support, chain, eta, density, draws) + of_lp[draws]
    # The constant is that of half of the draws, which were rounded too.
    slack = float(np.median(allowed))
    _refuse(support, chain, draws, np.abs(off[draws] - constant), allowed + slack)
    others = np.flatnonzero(np.abs(off - constant) > slack + allowed.min())
    if others.size:
        own = _allowed(support, chain, eta, density, others) + of_lp[others] + slack
        _refuse(support, chain, others, np.abs(off[others] - constant), own)
    return Agreement(constant, slack)


def _allowed(
    support: Support, chain: Foreign, eta: FloatArray, density: FloatArray, draws: IntArray
) -> FloatArray:
    """Return by how much rounding a draw may change its log density (nats), shape (n,)."""
    posterior = support.posterior
    moved = support.nudged(chain, draws)
    found = np.empty(len(draws))
    for i, draw in enumerate(draws):
        points = moved[:, i]
        if not np.isfinite(points).all():
            found[i] = np.inf  # on the edge of the support, any density
            continue
        try:
            gradient = posterior.gradient(eta[draw])[1]
        except DensityError:
            found[i] = np.inf
            continue
        first = np.abs(gradient * (points - eta[draw])).max(axis=0).sum()
        change = max(abs(posterior.log_density(point) - density[draw]) for point in points)
        found[i] = _SLACK * (float(first) + change) + _SUM * (1 + abs(density[draw]))
    return found


def _refuse(
    support: Support, chain: Foreign, draws: IntArray, off: FloatArray, allowed: FloatArray
) -> None:
    worse = off > allowed
    if worse.any():
        worst = int(np.argmax(np.where(worse, off, 0)))
        raise InputError(
            f"{chain.where}: lp__ is not the log density of the program "
            f"{support.posterior.program.name} with these data: from draw to draw they differ by "
            f"{off[worst]:.3g} nats (draw {draws[worst] + 1}), and the digits of the file allow "
            f"{allowed[worst]:.2g}: the draws are of another program or of other data"
            f"{chain.origin}"
        )


def same_constant(chains: list[tuple[str, Agreement]]) -> None:
    """Refuse chains whose constants differ, which are of different programs or data.

    Raises
    ------
    InputError
        Two chains differ by more than their digits allow; the message names both.
    """
    known = [(where, one) for where, one in chains if one.checked]
    for where, one in known[1:]:
        first, other = known[0]
        allowed = 2 * (one.within + other.within)
        if abs(one.constant - other.constant) > allowed:
            raise InputError(
                f"{where} and {first} are of different programs or data: lp__ differs from the log "
                f"density by {one.constant:.6g} nats in the one and {other.constant:.6g} in the "
                "other"
            )


def is_coarse(one: Agreement) -> bool:
    """Whether so few digits were written that the comparison says little."""
    return one.checked and one.within > _COARSE
