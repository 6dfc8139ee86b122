"""Figures of what was found: each function takes a comparison or an audit, or several of them."""

from __future__ import annotations

from manymodes.plots._audit import plot_audit, plot_audits
from manymodes.plots._chains import plot_rhat, plot_traces
from manymodes.plots._checks import plot_checks
from manymodes.plots._corner import corner_names, plot_corner
from manymodes.plots._diagnosis import plot_accumulation, plot_switching
from manymodes.plots._predictions import can_plot_predictions, plot_predictions
from manymodes.plots._scores import Scores, plot_scores, score
from manymodes.plots._style import MOST_MODES, mode_colour, shown_modes
from manymodes.plots._weights import plot_evidence, plot_weights

__all__ = [
    "MOST_MODES",
    "Scores",
    "can_plot_predictions",
    "corner_names",
    "mode_colour",
    "plot_accumulation",
    "plot_audit",
    "plot_audits",
    "plot_checks",
    "plot_corner",
    "plot_evidence",
    "plot_predictions",
    "plot_rhat",
    "plot_scores",
    "plot_switching",
    "plot_traces",
    "plot_weights",
    "score",
    "shown_modes",
]
