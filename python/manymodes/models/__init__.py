"""Several posteriors on the same data: their probabilities, weights and scores side by side."""

from __future__ import annotations

from manymodes.models.cautions import too_wide
from manymodes.models.compare import compare_models, probabilities
from manymodes.models.data import check_same_data
from manymodes.models.result import Model, ModelComparison
from manymodes.models.runs import ModelRun, is_study, network_facts, open_runs

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
