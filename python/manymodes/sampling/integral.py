"""What the engines that integrate a posterior have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass


@dataclass(frozen=True)
class PriorIntegral:
    """The integral of a program's prior, and the parameters in which an integral is infinite.

    Attributes
    ----------
    log_z, log_z_sd : float
        Log of the integral of the prior (nats) and its error: 0 if it is normalised, infinite if
        it is improper, NaN if it is not known.
    improper : tuple of str
        The parameters whose prior has no finite integral.
    certain : bool
        Whether this was measured; otherwise the program's text says that they may have no prior.
    endless : tuple of str
        The parameters in which the whole density, likelihood and prior, has no finite integral.
    """

    log_z: float
    log_z_sd: float
    improper: tuple[str, ...] = ()
    certain: bool = True
    endless: tuple[str, ...] = ()

    @property
    def is_off(self) -> bool:
        """Whether the prior is certainly not normalised: by 0.01 nats and four errors."""
        return abs(self.log_z) > max(0.01, 4 * self.log_z_sd)

    @property
    def leaves_evidence(self) -> bool:
        """Whether log_z of the density can be an evidence, as far as is known for certain."""
        return not self.endless and not (self.improper and self.certain)


class Integral(ABC):
    """The evidence that an engine found, or the integral that is none.

    Attributes
    ----------
    prior_integral : PriorIntegral, optional
        The integral of the program's prior, if it is known.
    """

    prior_integral: PriorIntegral | None

    @property
    @abstractmethod
    def log_z(self) -> float:
        """Log evidence (nats); NaN where the density is known to have no finite integral."""

    @property
    @abstractmethod
    def log_z_sd(self) -> float:
        """Error of ``log_z`` (nats)."""

    @property
    def is_endless(self) -> bool:
        """Whether the density is known to have no finite integral.

        Then there is no figure of it: every log evidence, and its error, is NaN.
        """
        return self.prior_integral is not None and bool(self.prior_integral.endless)

    @property
    def is_evidence(self) -> bool:
        """Whether ``log_z`` can be an evidence; over an improper prior there is none."""
        return self.prior_integral is None or self.prior_integral.leaves_evidence
