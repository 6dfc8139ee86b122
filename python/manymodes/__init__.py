"""Bayesian posteriors with many modes: chains, nested sampling, and their comparison.

>>> import manymodes as mm
>>> network = mm.Network(inputs=2, hidden=(2,), activation="sigmoid", prior="uniform:5")
>>> posterior = mm.Posterior.from_network(network, X, y)            # doctest: +SKIP
>>> chains = mm.run_chains(posterior, chains=64)                    # doctest: +SKIP
>>> nested = mm.run_nested(posterior, runs=2)                       # doctest: +SKIP
>>> mm.compare(posterior, chains=chains, nested=nested).summaries   # doctest: +SKIP
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.2.0.dev0"

_PUBLIC = {
    "Network": "network",
    "Posterior": "posterior",
    "Program": "program",
    "NutsSettings": "nuts",
    "Chains": "chains",
    "run_chains": "chains",
    "PolyChordSettings": "polychord",
    "Nested": "nested",
    "run_nested": "nested",
    "Modes": "modes",
    "ModeSettings": "modes",
    "find_modes": "modes",
    "psis_loo": "loo",
    "stack": "stacking",
    "stack_draws": "stacked",
    "Diagnosis": "diagnosis",
    "diagnose": "diagnosis",
    "dask_executor": "executors",
    "mpi_executor": "executors",
    "Comparison": "comparison",
    "compare": "comparison",
    "Checks": "checks",
    "check": "checks",
    "ActiveUnits": "architectures",
    "active_evidence": "architectures",
    "posterior_active": "architectures",
    "ModelComparison": "model_comparison",
    "compare_models": "model_comparison",
    "Audit": "audits",
    "audit": "audits",
    "evidence_shift": "audits",
    "write_report": "report",
    "Table": "table",
    "Predictions": "predict",
    "predict_table": "predict",
    "Results": "results",
    "load": "results",
    "ManymodesError": "errors",
    "InputError": "errors",
    "EngineError": "errors",
    "StorageError": "errors",
}

__all__ = ["__version__", *_PUBLIC]

if TYPE_CHECKING:
    from manymodes.architectures import ActiveUnits as ActiveUnits
    from manymodes.architectures import active_evidence as active_evidence
    from manymodes.architectures import posterior_active as posterior_active
    from manymodes.audits import Audit as Audit
    from manymodes.audits import audit as audit
    from manymodes.audits import evidence_shift as evidence_shift
    from manymodes.chains import Chains as Chains
    from manymodes.chains import run_chains as run_chains
    from manymodes.checks import Checks as Checks
    from manymodes.checks import check as check
    from manymodes.comparison import Comparison as Comparison
    from manymodes.comparison import compare as compare
    from manymodes.diagnosis import Diagnosis as Diagnosis
    from manymodes.diagnosis import diagnose as diagnose
    from manymodes.errors import EngineError as EngineError
    from manymodes.errors import InputError as InputError
    from manymodes.errors import ManymodesError as ManymodesError
    from manymodes.errors import StorageError as StorageError
    from manymodes.executors import dask_executor as dask_executor
    from manymodes.executors import mpi_executor as mpi_executor
    from manymodes.loo import psis_loo as psis_loo
    from manymodes.model_comparison import ModelComparison as ModelComparison
    from manymodes.model_comparison import compare_models as compare_models
    from manymodes.modes import Modes as Modes
    from manymodes.modes import ModeSettings as ModeSettings
    from manymodes.modes import find_modes as find_modes
    from manymodes.nested import Nested as Nested
    from manymodes.nested import run_nested as run_nested
    from manymodes.network import Network as Network
    from manymodes.nuts import NutsSettings as NutsSettings
    from manymodes.polychord import PolyChordSettings as PolyChordSettings
    from manymodes.posterior import Posterior as Posterior
    from manymodes.predict import Predictions as Predictions
    from manymodes.predict import predict_table as predict_table
    from manymodes.program import Program as Program
    from manymodes.report import write_report as write_report
    from manymodes.results import Results as Results
    from manymodes.results import load as load
    from manymodes.stacked import stack_draws as stack_draws
    from manymodes.stacking import stack as stack
    from manymodes.table import Table as Table


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for: the command line starts at once."""
    if name not in _PUBLIC:
        raise AttributeError(f"module 'manymodes' has no attribute '{name}'")
    value = getattr(import_module(f"manymodes.{_PUBLIC[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
