"""Figures of results: each function takes a comparison or an audit, or several."""

from __future__ import annotations

from manymodes.report.plots.audit import plot_audit, plot_audits
from manymodes.report.plots.chains import plot_rhat, plot_traces
from manymodes.report.plots.checks import plot_checks
from manymodes.report.plots.corner import corner_names, plot_corner, plot_draws
from manymodes.report.plots.diagnosis import plot_accumulation, plot_switching
from manymodes.report.plots.intervals import plot_intervals, plot_predicted
from manymodes.report.plots.landscape import plot_landscape
from manymodes.report.plots.models import families, plot_models, plot_units
from manymodes.report.plots.predictions import (
    can_plot_predictions,
    plot_data,
    plot_function,
    plot_predictions,
    why_no_predictions,
)
from manymodes.report.plots.scores import FunctionScores, plot_scores, score
from manymodes.report.plots.style import (
    MOST_FUNCTIONS,
    drawn_functions,
    function_colour,
    mode_colours,
)
from manymodes.report.plots.weights import plot_evidence, plot_weights

__all__ = [
    "MOST_FUNCTIONS",
    "FunctionScores",
    "can_plot_predictions",
    "corner_names",
    "drawn_functions",
    "families",
    "function_colour",
    "mode_colours",
    "plot_accumulation",
    "plot_audit",
    "plot_audits",
    "plot_checks",
    "plot_corner",
    "plot_data",
    "plot_draws",
    "plot_evidence",
    "plot_function",
    "plot_intervals",
    "plot_landscape",
    "plot_models",
    "plot_predicted",
    "plot_predictions",
    "plot_rhat",
    "plot_scores",
    "plot_switching",
    "plot_traces",
    "plot_units",
    "plot_weights",
    "score",
    "why_no_predictions",
]
