"""Diagnostics, scores and weights: functions of arrays, independent of Stan."""
