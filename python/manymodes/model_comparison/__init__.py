"""Several posteriors on the same data: their probabilities, weights and scores side by side."""

from __future__ import annotations

from manymodes.model_comparison._cautions import too_wide
from manymodes.model_comparison._compare import compare_models, probabilities
from manymodes.model_comparison._data import check_same_data
from manymodes.model_comparison._result import Model, ModelComparison
from manymodes.model_comparison._runs import ModelRun, is_study, network_facts, open_runs

__all__ = [
    "Model",
    "ModelComparison",
    "ModelRun",
    "check_same_data",
    "compare_models",
    "is_study",
    "network_facts",
    "open_runs",
    "probabilities",
    "too_wide",
]
