"""Exact results on constraints that need no counting, with their arguments."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from manymodes.errors import InputError
from manymodes.networks.audit.count import bounded
from manymodes.networks.constraint_mass import RegionMass
from manymodes.networks.network import Network
from manymodes.networks.symmetry import group_order


@dataclass(frozen=True)
class Known:
    """Exact shares of orbits with no, one and several admitted copies; None where not known.

    Attributes
    ----------
    none, one, several : float or None
        The shares.
    sd : float
        Their standard error, where they come from an integral that was itself estimated.
    why : str
        The argument, as a sentence; empty where there is none.
    """

    none: float | None = None
    one: float | None = None
    several: float | None = None
    sd: float = 0.0
    why: str = ""


def always(copies: int, why: str) -> Known:
    """Return the exact shares if every orbit has the same number of admitted copies."""
    return Known(0.0, float(copies == 1), float(copies > 1), 0.0, why)


def known(network: Network) -> Known:
    """Return the exact shares of orbits, where an argument gives them."""
    flips = network.activation != "relu"
    match network.constraint:
        case "none" if not bounded(network):
            return always(group_order(network), "Nothing is excluded.")
        case "none" | "ordered" if bounded(network):
            why = (
                "The draw itself is in the prior's support, and so are its orders; "
                "the number of its flipped copies in the support depends on the draw."
            )
            if network.constraint == "none" and max(network.hidden) > 1:
                return Known(0.0, 0.0, 1.0, 0.0, why)
            return Known(none=0.0, why=why)
        case "ordered" if flips:
            why = (
                "Flips change the biases' signs and values; each of the "
                f"2^{sum(network.hidden)} patterns of flips can be sorted in exactly one way."
            )
            return always(2 ** sum(network.hidden), why)
        case "ordered":
            return always(1, "Different biases can be sorted in exactly one way.")
        case "ordered-signed" if network.activation == "tanh":
            why = (
                "A unit's outgoing weight to the first unit of the next layer says whether to flip "
                "it; then biases can be sorted in exactly one way. From the last layer to the "
                "first, this leaves no choice, and it never fails."
            )
            return always(1, why)
        case "ordered-signed":
            return _signed_sigmoid(network)
        case "unit-norm":
            why = (
                "A unit's incoming weights have one norm, so that one rescaling makes it 1; "
                "then biases can be sorted in exactly one way."
            )
            return always(1, why)
        case "svd" if flips:
            return always(_svd_copies(network), _SVD)
        case "svd":
            return Known()
        case _:
            return _pd_skew(network)


_WIDEST_REGION = 32

_SVD = (
    "A flip of unit i changes only the sign of the i-th pivot of U (no sign, if U has fewer "
    "than i columns). So all pivots can be made positive for every order of the units, and "
    "each of the H! orders of a layer keeps 2^(H - k) copies, where k is the smaller width of its "
    "matrix: flips of k units are removed, permutations are not."
)


def _svd_copies(network: Network) -> int:
    widths = zip((network.inputs, *network.hidden[:-1]), network.hidden, strict=True)
    return math.prod(math.factorial(h) * 2 ** max(0, h - before) for before, h in widths)


def _signed_sigmoid(network: Network) -> Known:
    if len(network.hidden) > 1:
        why = (
            "With sigmoid units, flips move the next layer's biases, whose order decides which "
            "unit comes first, and that unit's weights decide the flips. Because of this "
            "circle, a function can have several copies"
        )
        if bounded(network):
            return Known(why=f"{why}, and all of them can lie outside of the prior's box.")
        why += (
            ". It keeps at least one: the unit that flips can move lowest comes first after these "
            "flips."
        )
        return Known(none=0.0, why=why)
    if not bounded(network):
        why = (
            "The sign of a unit's outgoing weight says whether to flip it; then biases can be "
            "sorted in exactly one way."
        )
        return always(1, why)
    why = (
        "The one ordered copy with positive outgoing weights may need an output bias outside of "
        "the box: c moves by every outgoing weight whose unit is flipped."
    )
    units = network.hidden[0]
    if units > 2 or network.units_out > 1:
        return Known(several=0.0, why=why)
    # c, v_j uniform on (-1, 1): flips are of the v_j < 0, and P(c + sum < -1) is E[-sum] / 2.
    lost = units / 8
    return Known(
        lost, 1 - lost, 0.0, 0.0, f"{why} For {units} units this has probability {units}/8."
    )


def _pd_skew(network: Network) -> Known:
    size, layers = network.inputs, len(network.hidden)
    mass = region(network)
    if size > 2 or (layers > 1 and bounded(network)) or mass is None:
        return Known()
    copies = math.factorial(size) * (1 if network.activation == "relu" else 2**size)
    one = (copies * math.exp(mass.log_mass / layers)) ** layers
    inside = _inside_box(size, network.units_out) if bounded(network) else 1.0
    sd = one * inside * mass.standard_error
    why = _PD_SKEW[size]
    if bounded(network):
        why += f" And {inside:.4f} of those copies have their output biases in the box."
    return Known(1 - one * inside, one * inside, 0.0, sd, why)


_PD_SKEW = {
    1: "A matrix of one weight is in the region if it is positive, as it is after one flip of two.",
    2: (
        "At most one copy is admitted. A positive diagonal decides the flips. Suppose that "
        "(a b; c d) and its other order (c d; a b) both passed, each with its flips. If ab and cd "
        "have different signs, a positive skew part of one excludes the other. If not, positive "
        "definiteness needs 4|ad| > (|b| + |c|)^2 >= 4|bc| and 4|bc| > (|a| + |d|)^2 >= 4|ad|, "
        "which is impossible. So the share of functions with a copy in the region is the number of "
        "copies times the region's share of the prior."
    ),
}


_STAYS: tuple[float, ...] = (1.0, 0.75, 2 / 3)
"""P(|c + sum of f weights| < 1), all uniform on (-1, 1), for f = 0, 1, 2 flipped units."""


def _inside_box(units: int, outputs: int) -> float:
    """Return how often output biases stay in the box when each unit is flipped or not, evenly."""
    kept = [math.comb(units, f) * stays**outputs for f, stays in enumerate(_STAYS[: units + 1])]
    return math.fsum(kept) / sum(math.comb(units, f) for f in range(units + 1))


def region(network: Network) -> RegionMass | None:
    """Return the log mass (nats) of the region under the prior of ``none``, if it is known."""
    base = network.constraint.split(":")[0]
    if base == "pd-skew" and network.inputs > _WIDEST_REGION:
        return None
    try:
        return replace(network, constraint=base).region
    except InputError:
        return None
