"""What the engines that integrate a posterior have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from manymodes.sampling.nested.result import PriorIntegral


class Integral(Protocol):
    """The evidence that an engine found, or the integral that is none."""

    @property
    def prior_integral(self) -> PriorIntegral | None:
        """The integral of the program's prior, if it is known."""

    @property
    def is_endless(self) -> bool:
        """Whether the density is known to have no finite integral."""

    @property
    def is_evidence(self) -> bool:
        """Whether ``log_z`` can be an evidence."""

    @property
    def log_z(self) -> float:
        """Log evidence (nats)."""

    @property
    def log_z_sd(self) -> float:
        """Error of ``log_z`` (nats)."""
