"""The choice of the base measure over which a posterior is integrated."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import replace
from pathlib import Path

from manymodes.density.parameter_space import on_unit_cube
from manymodes.density.posterior import PRIOR_SWITCH, Posterior
from manymodes.errors import InputError
from manymodes.sampling.base_measures import (
    BaseMeasure,
    chains_measure,
    cube_measure,
    peaks_measure,
    prior_measure,
    proper_prior_measure,
    read_measure,
)
from manymodes.sampling.chains.chains import Chains, run_chains
from manymodes.sampling.chains.nuts_settings import NutsSettings
from manymodes.sampling.nested.settings import AUTO, REFERENCES
from manymodes.types import FloatArray

PILOTS = 16
"""Chains that are run if a base measure needs some and there are none."""
_PILOT_SETTINGS = NutsSettings(warmup=300, draws=200)


def choose_base(
    posterior: Posterior,
    reference: str = AUTO,
    *,
    chains: Chains | None = None,
    seed: int = 1,
    threads_per_chain: int | None = None,
    executor: Executor | None = None,
    workers: int | None = None,
    quiet: bool = False,
) -> BaseMeasure:
    """Return a base measure by name; its ``reason`` says why it is this one.

    Parameters
    ----------
    posterior : Posterior
        The posterior that will be integrated.
    reference : str
        ``prior``, ``chains``, ``peaks``, ``cube``, the path of a file, or ``auto``: the prior, if
        the program can leave its likelihood out and the prior is proper; the cube, if all
        parameters live on (0, 1); otherwise a measure fitted to the chains.
    chains : Chains, optional
        Draws for ``chains``; without any, a few short chains are run.
    seed : int
        Decides draws and fits.
    threads_per_chain, executor, workers, quiet
        Options of `run_chains` for the chains that are run.

    Raises
    ------
    InputError
        The name is unknown, the file is not a base measure, or the program does not allow it.
    DensityError, SamplingError
        The prior has no density near the origin or cannot be sampled; or no chain finishes.
    """
    if reference not in REFERENCES:
        return _of_file(posterior, Path(reference))
    chosen, why = reference, ""
    prior = None
    if reference in (AUTO, "peaks", "chains"):
        prior = proper_prior_measure(posterior, seed=seed)
    if reference == AUTO:
        if prior is not None:
            chosen, why = "prior", f"the data item '{PRIOR_SWITCH}' switches the likelihood off"
        elif posterior.prior_only is not None:
            chosen, why = "chains", "the prior is improper and cannot be a base measure"
        elif on_unit_cube(posterior):
            chosen, why = "cube", f"there is no '{PRIOR_SWITCH}', and all parameters live on (0, 1)"
        else:
            chosen, why = "chains", f"the program has no data item '{PRIOR_SWITCH}'"
    if chosen == "prior":
        base = prior if prior is not None else prior_measure(posterior, seed=seed)
    elif chosen == "cube":
        base = cube_measure(posterior)
    elif chosen == "peaks":
        base = peaks_measure(posterior, prior=prior, seed=seed)
    else:
        if chains is None:
            chains = run_chains(
                posterior,
                chains=PILOTS,
                nuts=_PILOT_SETTINGS,
                seed=seed,
                threads_per_chain=threads_per_chain,
                executor=executor,
                workers=workers,
                quiet=quiet,
            )
        base = chains_measure(posterior, _draws(chains), prior=prior, seed=seed)
    return replace(base, reason=f"{base.reason}; chosen because {why}" if why else base.reason)


def check_reference(posterior: Posterior, reference: str) -> None:
    """Refuse an impossible base measure before anything is run.

    Raises
    ------
    InputError
        As `choose_base`.
    """
    if reference not in REFERENCES:
        _of_file(posterior, Path(reference))
    elif reference == "cube":
        cube_measure(posterior)
    elif reference == "prior":
        prior_measure(posterior)  # the program has no switch, or the prior no integral


def _of_file(posterior: Posterior, path: Path) -> BaseMeasure:
    if not path.is_file():
        raise InputError(
            f"reference: '{path}' is neither one of {', '.join(REFERENCES)} nor an existing file"
        )
    base = read_measure(path, posterior.dims)
    return replace(base, source="file", exact=False, log_prior=float("nan"))


def _draws(chains: Chains) -> Sequence[FloatArray]:
    return [one[:length] for one, length in zip(chains.eta, chains.lengths, strict=True)]
