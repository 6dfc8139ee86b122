"""The samplers of a chain, by name."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from manymodes.density.posterior import Posterior
from manymodes.errors import InputError
from manymodes.sampling.chains.cmdstan_nuts import Adapted, NutsChain, run_chain
from manymodes.sampling.chains.mams import check_mams, mams_runner, run_mams
from manymodes.sampling.chains.nutpie_nuts import check_nutpie, need_nutpie, run_nutpie
from manymodes.sampling.chains.nuts_settings import NutsSettings
from manymodes.types import FloatArray

CMDSTAN = "cmdstan"
NUTPIE = "nutpie"
MAMS = "mams"


class Sampler(Protocol):
    """Runs one chain; `run_chain` says what the arguments mean and what is raised."""

    def __call__(
        self,
        posterior: Posterior,
        settings: NutsSettings,
        seed: int,
        scratch: Path,
        *,
        start: FloatArray | None = None,
        adapted: Adapted | None = None,
        time_limit: float | None = None,
    ) -> NutsChain:
        """Return the chain."""


SAMPLERS: dict[str, Sampler] = {CMDSTAN: run_chain, NUTPIE: run_nutpie, MAMS: run_mams}

METHODS = {CMDSTAN: "NUTS", NUTPIE: "NUTS of nutpie", MAMS: "MAMS"}
"""What progress calls them."""

DECISIVE = {
    CMDSTAN: ("cmdstan",),
    NUTPIE: ("nutpie", "bridge"),
    MAMS: ("manymodes", "bridge"),
}
"""The programs whose version a sampler's draws depend on."""


def sampler_named(name: str) -> Sampler:
    """Return a sampler.

    Raises
    ------
    InputError
        There is none of this name.
    """
    if name not in SAMPLERS:
        raise InputError(f"sampler: '{name}' is unknown; allowed are {', '.join(SAMPLERS)}")
    return SAMPLERS[name]


def prepare_sampler(name: str, posterior: Posterior, settings: NutsSettings) -> None:
    """Check that a sampler can sample a posterior, and build what it needs.

    Raises
    ------
    InputError
        It cannot.
    CompileError
        The C++ compiler fails.
    """
    if name == MAMS:
        check_mams(posterior, settings)
        mams_runner()
    elif name == NUTPIE:
        check_nutpie(settings)


def check_sampler(name: str, *, share_warmup: bool = False) -> None:
    """Check that a sampler exists, that it is installed, and that it can do what is asked for.

    Parameters
    ----------
    name : str
        The sampler's.
    share_warmup : bool
        Whether chains are to begin with the metric of others.

    Raises
    ------
    InputError
        It does not exist, or is not installed, or cannot.
    """
    sampler_named(name)
    if name == NUTPIE:
        need_nutpie()
    if share_warmup and name != CMDSTAN:
        raise InputError(f"share_warmup: {name} takes no metric of other chains; use cmdstan")
