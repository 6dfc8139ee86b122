"""The results of an audit, as frozen data."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from manymodes.networks.audit.invariance import Invariance
from manymodes.networks.network import Network
from manymodes.runtime.shown import Shown, share_text
from manymodes.statistics.estimate import Estimate


@dataclass(frozen=True)
class KnownEstimate(Estimate):
    """A Monte Carlo estimate, and what is known of it without one.

    Attributes
    ----------
    value, sd : float
        The estimate and its standard error; NaN where nothing was counted.
    exact : float or None
        The exact value, where known.
    exact_sd : float
        Its own standard error, where it comes from an integral that was itself estimated.
    """

    exact: float | None = None
    exact_sd: float = 0.0

    @property
    def best(self) -> float:
        """The exact value where it is known better than the estimate, otherwise the estimate."""
        known = self.exact is not None and (self.exact_sd == 0 or self.exact_sd < self.sd)
        return self.exact if self.exact is not None and known else self.value

    def as_dict(self) -> dict[str, float | None]:
        """Return value, error and exact value; None for a figure that is not finite."""
        entries = {"value": self.value, "sd": self.sd, "exact": self.exact}
        if self.exact_sd > 0:
            entries["exact_sd"] = self.exact_sd
        return {name: finite(value) for name, value in entries.items()}


@dataclass(frozen=True)
class Evidence:
    """The effect of the constraint on the log evidence.

    Attributes
    ----------
    same : bool
        Whether the program's log_z equals that of ``none``, exactly, whatever the data.
    reason : str
        Why.
    largest_rise : float or None
        The largest amount by which log_z can exceed that of ``none``, in nats, for constraints
        whose region holds more copies of some functions than of others; there is no lower limit.
        None if it is 0 or not known.
    rejection : float
        Shift of log_z by cutting the prior off without renormalising it: the log of the region's
        prior mass, in nats.
    rejection_sd : float
        Its standard error.
    """

    same: bool
    reason: str
    largest_rise: float | None
    rejection: float
    rejection_sd: float

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as a dict that JSON can hold."""
        return {
            "same_log_z": self.same,
            "reason": self.reason,
            "largest_rise": finite(self.largest_rise),
            "rejection_shift": finite(self.rejection),
            "rejection_shift_sd": finite(self.rejection_sd),
        }


@dataclass(frozen=True, repr=False)
class Audit(Shown):
    """How many copies of a random function a constraint admits.

    Copies are counted over the finite group, permutations and flips. An orbit is all copies of
    one draw of the prior; a copy outside of the prior's support is not counted.

    Attributes
    ----------
    network : Network
        The network with its constraint.
    orbits, seed : int
        Number of random orbits, and the seed that chose them.
    group_order : int
        Copies of a function in the finite group, exact.
    continuum : bool
        Whether copies also differ by a rescaling of relu units, which the constraint leaves.
    method : {"argument", "count", "sample"}
        The numbers of copies follow from an argument; were counted exactly for each orbit; or were
        estimated from random members of the group, in which case the shares are NaN.
    why : str
        The argument, or what the numbers rest on.
    none, one, several : KnownEstimate
        Shares of orbits with so many admitted copies. The standard errors are binomial, at
        (k + 1)/(n + 2) for k of n, so that none is zero. `none` is the share of functions
        lost; where copies are also rescaled, the share is at most that.
    lost_to_support : KnownEstimate
        Share of orbits whose every admitted copy lies outside of the prior's support, a part of
        `none`.
    copies : KnownEstimate
        Mean number of admitted copies of the orbits that have any.
    members : KnownEstimate
        Mean number of admitted copies of an orbit, whatever the support; its exact value is
        `group_order` times the region's prior mass, where the prior is invariant in all that the
        constraint asks about.
    histogram : tuple of (number, share)
        Share of orbits for each number of admitted copies that occurred.
    region : KnownEstimate
        Share of the prior's mass that the constraint keeps.
    fundamental_domain : bool
        Whether the constraint keeps exactly one copy of almost every function.
    certain : bool
        Whether this is known, by an argument or an exception. Otherwise no exception was found.
    enumerated : int
        Orbits that were also counted copy by copy, with the same numbers.
    invariance : tuple of Invariance
        For each generator of the group, whether the prior is invariant.
    evidence : Evidence
        The effect of the constraint on log_z.

    Examples
    --------
    >>> network = mm.Network(1, (2,), activation="tanh", constraint="ordered")
    >>> found = mm.audit(network, orbits=500)
    >>> found.group_order, found.fundamental_domain, found.several.value
    (8, False, 1.0)
    """

    network: Network
    orbits: int
    seed: int
    group_order: int
    continuum: bool
    method: str
    why: str
    none: KnownEstimate
    one: KnownEstimate
    several: KnownEstimate
    lost_to_support: KnownEstimate
    copies: KnownEstimate
    members: KnownEstimate
    histogram: tuple[tuple[int, float], ...]
    region: KnownEstimate
    fundamental_domain: bool
    certain: bool
    enumerated: int
    invariance: tuple[Invariance, ...]
    evidence: Evidence

    def _headline(self) -> str:
        domain = "a fundamental domain" if self.fundamental_domain else "no fundamental domain"
        return (
            f"Audit of {self.network.constraint} on {self.network.described}: {domain}; of "
            f"{self.orbits} orbits of up to {self.group_order} copies "
            f"{share_text(self.none.value, self.none.sd)} keep none, "
            f"{share_text(self.one.value, self.one.sd)} one, "
            f"{share_text(self.several.value, self.several.sd)} several"
        )

    @property
    def shares(self) -> dict[str, KnownEstimate]:
        """The shares of orbits by name."""
        return {"none": self.none, "one": self.one, "several": self.several}

    @property
    def at_most(self) -> float:
        """Upper limit (95 %) of the share of a kind of orbit that did not occur: 3/n."""
        return min(1.0, 3 / self.orbits)

    def as_dict(self) -> dict[str, Any]:
        """Return everything as a dict that JSON can hold; unknown figures are None.

        Returns
        -------
        dict
            The attributes by name.

        Examples
        --------
        >>> network = mm.Network(1, (2,), activation="tanh", constraint="ordered")
        >>> mm.audit(network, orbits=500).as_dict()["group_order"]
        8
        """
        return {
            "network": self.network.to_dict(),
            "n_orbits": self.orbits,
            "seed": self.seed,
            "group_order": self.group_order,
            "continuum": self.continuum,
            "method": self.method,
            "why": self.why,
            "orbits": {name: finite(share.value) for name, share in self.shares.items()},
            "orbits_sd": {name: finite(share.sd) for name, share in self.shares.items()},
            "orbits_exact": {name: finite(share.exact) for name, share in self.shares.items()},
            "lost": self.none.as_dict(),
            "lost_to_support": self.lost_to_support.as_dict(),
            "copies": self.copies.as_dict(),
            "members": self.members.as_dict(),
            "histogram": [{"copies": n, "share": share} for n, share in self.histogram],
            "region": self.region.as_dict(),
            "fundamental_domain": self.fundamental_domain,
            "fundamental_domain_certain": self.certain,
            "share_of_exceptions_at_most": None if self.certain else self.at_most,
            "enumerated": self.enumerated,
            "invariance": {move.name: move.invariant for move in self.invariance},
            "invariance_measured": {move.name: move.as_dict() for move in self.invariance},
            "evidence": self.evidence.as_dict(),
        }


def finite(value: float | None) -> float | None:
    """Return a number, or None if it is not finite: JSON has no word for it."""
    return value if value is not None and math.isfinite(value) else None
