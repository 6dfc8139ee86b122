"""The identifiability constraints: their Stan programs, their requirements, their prior mass."""

from __future__ import annotations

import math

from manymodes.errors import InputError
from manymodes.networks.constraint_mass import RegionMass, region_mass
from manymodes.networks.group_priors import GroupPriors
from manymodes.networks.prior import Prior

PROGRAMS = {
    "none": "mlp",
    "ordered": "mlp_ordered",
    "ordered-signed": "mlp_ordered",
    "unit-norm": "mlp_unit_norm",
    "pd-skew": "mlp_pd_skew",
    "pd-skew:lu": "mlp_pd_skew_lu",
    "pd-skew:reject": "mlp_pd_skew_reject",
    "svd": "mlp_svd",
}
"""The Stan program of each constraint, without its suffix."""
GENERAL = "mlp_general"
"""The Stan program of priors by group, any likelihood and skip connections."""

OF_GENERAL = ("none", "ordered", "ordered-signed")
"""The constraints that this program has."""


def check_constraint(
    constraint: str,
    inputs: int,
    hidden: tuple[int, ...],
    activation: str,
    prior: Prior | GroupPriors,
    general: str,
) -> None:
    """Refuse a constraint that does not suit a network, and name the alternative.

    `general` says what needs the program of priors by group; it is empty if nothing does.

    Raises
    ------
    InputError
        If it does not go with the activation, the widths or the prior.
    """
    mixes_inputs = constraint == "svd" or constraint.startswith("pd-skew")
    reason = ""
    if constraint == "unit-norm" and activation != "relu":
        reason = (
            f"needs units that can be rescaled, which {activation} units cannot;"
            " use activation 'relu', or constraint 'ordered-signed'"
        )
    elif constraint == "ordered-signed" and activation == "relu":
        reason = (
            "removes sign flips, which relu units do not have, and would lose functions;"
            " use constraint 'unit-norm' or 'ordered'"
        )
    elif constraint.startswith("pd-skew") and set(hidden) != {inputs}:
        reason = (
            f"splits square matrices, but {inputs} inputs and hidden layers {hidden} are not"
            f" of one width; use hidden layers of {inputs} units, or constraint 'svd'"
        )
    elif general and constraint not in OF_GENERAL:
        reason = f"does not go with {general}; use constraint {', '.join(OF_GENERAL)}"
    elif mixes_inputs and isinstance(prior, Prior) and prior.ard:
        reason = (
            "mixes the inputs, which then have no scales of their own as under prior 'ard';"
            f" use prior 'normal:{prior.scale:g}', or constraint 'ordered'"
        )
    elif constraint == "svd" and prior.family == "uniform":
        reason = (
            "has no coordinates for the box of a uniform prior;"
            " use prior 'normal:SD', or constraint 'ordered'"
        )
    if reason:
        raise InputError(f"constraint: '{constraint}' {reason}")
    if constraint != "none" and isinstance(prior, GroupPriors):
        boxes = {group.family == "uniform" for name, group in prior.groups.items() if "bh" in name}
        if len(boxes) > 1:
            raise InputError(
                f"constraint: '{constraint}' needs hidden biases that are uniform in all layers or "
                "in none; give bh one family"
            )


def constraint_mass(
    constraint: str, inputs: int, hidden: tuple[int, ...], prior: Prior | GroupPriors
) -> RegionMass:
    """Return the log mass (nats) that the prior of ``none`` has in the constrained region.

    ``ordered`` and ``unit-norm`` hold one order of each layer's units, 1/H! of the mass;
    ``ordered-signed`` one of 2^H sign patterns besides; ``svd`` one of the 2^k sign patterns of the
    k left singular vectors of a layer, all alike under a prior that is symmetric in the signs
    of a matrix's rows. ``pd-skew`` has its own integral. The others hold everything.
    """
    orders = -math.fsum(math.lgamma(width + 1) for width in hidden)
    if constraint in ("ordered", "unit-norm"):
        return RegionMass(orders, 0.0, True)
    if constraint == "ordered-signed":
        return RegionMass(orders - sum(hidden) * math.log(2), 0.0, True)
    if constraint == "svd":
        ranks = [min(pair) for pair in zip(hidden, (inputs, *hidden[:-1]), strict=True)]
        return RegionMass(-sum(ranks) * math.log(2), 0.0, True)
    if constraint in ("pd-skew", "pd-skew:reject") and isinstance(prior, Prior):
        return region_mass(inputs, prior.family, prior.nu).power(len(hidden))
    return RegionMass(0.0, 0.0, True)
