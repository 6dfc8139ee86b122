"""The settings of NUTS, the same for both samplers."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from numbers import Integral
from typing import Any

from manymodes.errors import InputError
from manymodes.runtime.shown import Shown

MAX_TREEDEPTH = 60
"""So many doublings of a trajectory nobody can wait for."""
MIN_DRAWS = 4
"""The fewest draws a chain may have: split in halves, each still has a variance."""


@dataclass(frozen=True, repr=False)
class NutsSettings(Shown):
    """Settings of the sampler, the same for every chain of a run.

    Parameters
    ----------
    warmup, draws : int
        Iterations before and after adaptation ends; at least 4 draws.
    adapt_delta : float
        Target acceptance rate in (0, 1).
    max_treedepth : int
        Longest trajectory is 2**max_treedepth leapfrog steps.

    Raises
    ------
    InputError
        A setting is out of its range; the message names the first.

    Examples
    --------
    >>> mm.NutsSettings(warmup=500, adapt_delta=0.95)
    NutsSettings(warmup=500, draws=1000, adapt_delta=0.95, max_treedepth=10)
    """

    warmup: int = 1000
    draws: int = 1000
    adapt_delta: float = 0.8
    max_treedepth: int = 10

    def __post_init__(self) -> None:
        """Check the ranges; raise `InputError` naming the first setting out of its range."""
        checks = {
            "warmup": self.warmup >= 0,
            "draws": self.draws >= MIN_DRAWS,
            "adapt_delta": 0 < self.adapt_delta < 1,
            "max_treedepth": 1 <= self.max_treedepth <= MAX_TREEDEPTH,
        }
        allowed = {
            "warmup": "0 or more",
            "draws": f"{MIN_DRAWS} or more",
            "adapt_delta": "between 0 and 1",
            "max_treedepth": f"between 1 and {MAX_TREEDEPTH}",
        }
        for name, ok in checks.items():
            if name != "adapt_delta" and not isinstance(getattr(self, name), Integral):
                raise InputError(f"{name}: {getattr(self, name)!r} is not a whole number")
            if not ok:
                raise InputError(f"{name}: {getattr(self, name)} is not {allowed[name]}")

    def as_dict(self) -> dict[str, Any]:
        """Return the settings as plain values.

        Returns
        -------
        dict
            The settings by name.

        Examples
        --------
        >>> mm.NutsSettings(draws=500).as_dict()
        {'warmup': 1000, 'draws': 500, 'adapt_delta': 0.8, 'max_treedepth': 10}
        """
        return asdict(self)
