"""The results of a comparison of models."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from manymodes.models.remarks import Caution, Note
from manymodes.networks.network import Network
from manymodes.runtime.shown import Rows, Shown, estimate_text, share_text
from manymodes.statistics.estimate import Estimate
from manymodes.types import FloatArray

_NAN = float("nan")
_UNKNOWN = Estimate()


@dataclass(frozen=True)
class Model:
    """One of several posteriors on the same data. Figures that its run lacks are NaN.

    Attributes
    ----------
    name : str
        Its name among the others.
    folders : tuple of Path
        Its run directories.
    network : Network or None
        Its network, if it has one.
    dims : int
        The dimension of its unconstrained space.
    chains, nested_runs, tempered_runs : int
        How many of each it has.
    log_z : Estimate
        Log evidence (nats), relative to a prior that adds up to 1.
    probability : Estimate
        Its posterior probability among the models whose evidence is known.
    interval : (float, float)
        Central 90 % interval of that probability over the errors of the evidences.
    log_bayes_factor : Estimate
        `log_z` minus the largest (nats); 0 without error for that model itself.
    loo : Estimate
        Leave-one-out log predictive density of its stacked chains, summed over observations
        (nats), with its standard error.
    loo_difference : Estimate
        The same minus that of the model with the largest, with the error of paired differences.
    unreliable_loo : float
        Share of the leave-one-out terms with a Pareto k above 0.7, chains by their weights.
    stacking, pseudo_bma : Estimate
        Its weight in the stacking of the models and in pseudo-BMA+, with errors by the Bayesian
        bootstrap over observations.
    held_out : Estimate
        Log predictive density of a held-out row: the mean and its standard error (nats).
    held_out_difference : Estimate
        The same minus that of the model with the largest, with the error of paired differences.
    """

    name: str
    folders: tuple[Path, ...]
    network: Network | None
    dims: int
    chains: int
    nested_runs: int
    log_z: Estimate = _UNKNOWN
    probability: Estimate = _UNKNOWN
    interval: tuple[float, float] = (_NAN, _NAN)
    log_bayes_factor: Estimate = _UNKNOWN
    loo: Estimate = _UNKNOWN
    loo_difference: Estimate = _UNKNOWN
    unreliable_loo: float = _NAN
    stacking: Estimate = _UNKNOWN
    pseudo_bma: Estimate = _UNKNOWN
    held_out: Estimate = _UNKNOWN
    held_out_difference: Estimate = _UNKNOWN
    tempered_runs: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Return the model's entry in ``models.json``."""
        entry: dict[str, Any] = {
            "name": self.name,
            "runs": [str(folder) for folder in self.folders],
            "network": self.network.to_dict() if self.network is not None else None,
            "dims": self.dims,
            "chains": self.chains,
            "nested_runs": self.nested_runs,
            "tempered_runs": self.tempered_runs,
        }
        for one in fields(self):
            value = getattr(self, one.name)
            if isinstance(value, Estimate):
                entry[one.name], entry[f"{one.name}_sd"] = value.value, value.sd
        entry["probability_interval"] = list(self.interval)
        entry["unreliable_loo"] = self.unreliable_loo
        return entry


@dataclass(frozen=True, repr=False)
class ModelComparison(Shown):
    """Several posteriors on the same data.

    Attributes
    ----------
    models : tuple of Model
        By falling probability; those whose evidence is not known follow, by falling LOO.
    n_obs, n_held_out : int
        Observations, and held-out rows that all models which have any share.
    held_out_engine : {"chains", "nested", "tempered", ""}
        Whose draws the held-out rows are scored under.
    prior : tuple of float
        Prior probability of each model.
    loo_terms, held_out_terms : arrays of shape (N, M) and (n, M)
        The terms behind the scores (nats), models as in ``models``; columns of NaN where they
        are not known. Stacking weights are those of ``manymodes.stack(loo_terms)``.
    notes : tuple of Note
        What was checked, and what was taken for granted; see ``manymodes.models.remarks``.
    cautions : tuple of Caution
        What casts doubt on the figures. `manymodes.models_text` has words for both.

    Examples
    --------
    >>> # comparison, smaller: noisy XOR with two hidden units and with one
    >>> found = mm.compare_models([comparison, smaller])
    >>> round(sum(model.probability.value for model in found.models), 6)
    1.0
    >>> found.loo_terms.shape == (found.n_obs, 2)
    True
    """

    models: tuple[Model, ...]
    n_obs: int
    n_held_out: int
    held_out_engine: str
    prior: tuple[float, ...]
    loo_terms: FloatArray = field(repr=False)
    held_out_terms: FloatArray = field(repr=False)
    notes: tuple[Note, ...]
    cautions: tuple[Caution, ...]

    def _headline(self) -> str:
        return f"ModelComparison of {len(self.models)} models, {self.n_obs} observations" + (
            f", {self.n_held_out} held out" if self.n_held_out else ""
        )

    def _table(self) -> Rows:
        return ("model", "log_z", "probability", "elpd (loo)", "stacking"), [
            (
                one.name,
                estimate_text(one.log_z.value, one.log_z.sd),
                share_text(one.probability.value, one.probability.sd),
                estimate_text(one.loo.value, one.loo.sd),
                share_text(one.stacking.value, one.stacking.sd),
            )
            for one in self.models
        ]

    def as_dict(self) -> dict[str, Any]:
        """Return the figures of ``models.json`` as plain values, without the terms.

        Returns
        -------
        dict
            Numbers, texts and lists, ready for JSON.

        Examples
        --------
        >>> # comparison, smaller: noisy XOR with two hidden units and with one
        >>> sorted(mm.compare_models([comparison, smaller]).as_dict())
        ['held_out_engine', 'models', 'n_held_out', 'n_obs']
        """
        entries = [
            {**model.as_dict(), "prior_probability": prior}
            for model, prior in zip(self.models, self.prior, strict=True)
        ]
        return {
            "n_obs": self.n_obs,
            "n_held_out": self.n_held_out,
            "held_out_engine": self.held_out_engine or None,
            "models": entries,
        }
