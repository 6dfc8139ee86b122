"""Tempered runs for other tools: an ArviZ DataTree of their draws, with the evidence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from manymodes.errors import InputError
from manymodes.modes.comparison import Comparison
from manymodes.results.draw_modes import mode_and_function
from manymodes.results.nested_export import modes_tree
from manymodes.sampling.chains.trees import draws_tree, single
from manymodes.sampling.tempered import Tempered

if TYPE_CHECKING:
    import xarray as xr


def tempered_datatree(
    tempered: Tempered, comparison: Comparison | None = None, *, log_likelihood: bool = True
) -> xr.DataTree:
    """Return tempered runs as an ArviZ DataTree: one chain of draws for each run.

    Parameters
    ----------
    tempered : Tempered
        The runs.
    comparison : Comparison, optional
        The comparison with its modes: draws then carry them.
    log_likelihood : bool
        Include the log likelihood of every draw and observation, if the program has it.

    Returns
    -------
    DataTree
        Group ``posterior``: the variables. Group ``sample_stats``: ``lp``, the log density on the
        unconstrained space, and ``log_q``, the log base measure (nats); ``tour``, the independent
        draw of the base measure that the draw descends from; with a comparison ``mode`` and
        ``function``, their numbers. Group ``log_likelihood``, in single precision if this can
        hold it. The root's attributes are the evidence: ``log_z``, ``log_z_sd``, ``forward``,
        ``backward`` (nats), ``barrier``,
        ``round_trips``, ``temperatures``, ``gradients``, ``runs``, ``effective_samples``. With a
        comparison group ``modes`` has the figures of each mode, as in the tree of nested runs.

    Raises
    ------
    InputError
        The comparison is of other runs.

    Warns
    -----
    NamesWarning
        A variable has another name in the tree: see the attribute ``renamed``.
    """
    posterior = tempered.posterior
    if comparison is not None and comparison.tempered is not tempered:
        raise InputError(f"comparison: it is of other tempered runs than these of {posterior.name}")
    chains = len(tempered.runs)
    length = min(len(run.eta) for run in tempered.runs)
    kept = [place for run in range(chains) for place in _last(tempered, run, length)]

    def by_chain(values: Any) -> Any:
        return values[kept].reshape(chains, length, *values.shape[1:])

    stats: dict[str, Any] = {
        "lp": by_chain(tempered.log_p),
        "log_q": by_chain(tempered.log_q),
        "tour": by_chain(tempered.tour),
    }
    if comparison is not None:
        found = mode_and_function(comparison, comparison.tempered_modes)
        stats |= {name: by_chain(values) for name, values in found.items()}
    log_lik = None
    if log_likelihood and posterior.has_log_lik:
        log_lik = by_chain(single(posterior.log_lik(tempered.eta)))
    tree = draws_tree(
        posterior,
        by_chain(tempered.rows),
        {"sample_stats": stats},
        log_lik=log_lik,
        attrs=_evidence(tempered),
    )
    if comparison is not None:
        tree["modes"] = modes_tree(comparison)
    return tree


def _last(tempered: Tempered, run: int, length: int) -> list[int]:
    """Return the places of the last draws of a run."""
    places = (tempered.run_of == run).nonzero()[0]
    return [int(place) for place in places[-length:]]


def _evidence(tempered: Tempered) -> dict[str, Any]:
    return {
        "posterior": tempered.posterior.name,
        "log_z": tempered.log_z,
        "log_z_sd": tempered.log_z_sd,
        "forward": tempered.forward,
        "backward": tempered.backward,
        "d_kl": tempered.d_kl[0],
        "d_kl_sd": tempered.d_kl[1],
        "barrier": tempered.barrier,
        "round_trips": tempered.round_trips,
        "temperatures": tempered.temperatures,
        "gradients": tempered.gradients,
        "runs": len(tempered.runs),
        "effective_samples": tempered.effective_samples,
    }
