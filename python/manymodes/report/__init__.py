"""One self-contained HTML page that says what was found."""

from __future__ import annotations

from manymodes.report.model_words import evidence_cells, models_answer, prediction_cells
from manymodes.report.models import write_models_report
from manymodes.report.names import DataNames, kept_names
from manymodes.report.page import Section, Table, picture
from manymodes.report.plain import write_plain_report
from manymodes.report.write import write_report

__all__ = [
    "DataNames",
    "Section",
    "Table",
    "evidence_cells",
    "kept_names",
    "models_answer",
    "picture",
    "prediction_cells",
    "write_models_report",
    "write_plain_report",
    "write_report",
]
