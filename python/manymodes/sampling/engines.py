"""The engines that integrate a posterior, and which of them a command runs."""

from __future__ import annotations

from dataclasses import dataclass

from manymodes.density.posterior import Posterior
from manymodes.errors import InputError
from manymodes.toolchain import find

AUTO, BOTH, NESTED, TEMPERED = "auto", "both", "nested", "tempered"
ENGINES = (AUTO, BOTH, NESTED, TEMPERED)
"""What may be asked for."""

MOST_NESTED_DIMS = 12
"""The most dimensions in which ``auto`` runs nested sampling, whose cost grows fast with them."""


@dataclass(frozen=True)
class Choice:
    """The engines of one command.

    Attributes
    ----------
    nested, tempered : bool
        Which are run.
    unchecked : str
        Why no second engine checks the first, in words; empty if one does.
    """

    nested: bool
    tempered: bool
    unchecked: str = ""


def chosen_engines(asked: str, posterior: Posterior, *, nested: bool = False) -> Choice:
    """Return the engines to run.

    Parameters
    ----------
    asked : str
        One of `ENGINES`. ``auto`` tempers, and runs PolyChord beside it where it is found and the
        posterior has at most 12 dimensions.
    posterior : Posterior
        What is integrated.
    nested : bool
        Whether something was set that only nested sampling has. ``auto`` then runs it, too.

    Raises
    ------
    InputError
        The name is unknown.
    """
    if asked not in ENGINES:
        raise InputError(f"engine: '{asked}' is not one of: {', '.join(ENGINES)}")
    if asked in (NESTED, TEMPERED):
        other = TEMPERED if asked == NESTED else NESTED
        return Choice(asked == NESTED, asked == TEMPERED, f"--engine {asked} leaves {other} out")
    if asked == BOTH or nested:
        return Choice(True, True)
    if not find().polychord.ok:
        return Choice(False, True, "there is no PolyChord (manymodes setup installs it)")
    if posterior.dims > MOST_NESTED_DIMS:
        why = (
            f"nested sampling costs too much in {posterior.dims} dimensions (--engine both runs it)"
        )
        return Choice(False, True, why)
    return Choice(True, True)
