"""What ``summary.json`` says in words, beside its figures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from manymodes.modes.checks import Checks
from manymodes.modes.diagnosis import Diagnosis
from manymodes.report.checks_verdict import checks_verdict
from manymodes.report.diagnosis_verdict import verdict


def add_verdicts(
    summary: dict[str, Any],
    diagnoses: Mapping[str, Diagnosis],
    checks: Mapping[str, Checks] | None = None,
) -> dict[str, Any]:
    """Put the verdicts on chains and on checks beside their figures in a summary; return it.

    Parameters
    ----------
    summary : dict
        What `manymodes.results.run_directory.summarise` returned, of the same posteriors,
        diagnoses and checks.
    diagnoses, checks : mapping, optional
        By the posterior's name.
    """
    for name, diagnosis in diagnoses.items():
        summary["posteriors"][name]["chains"]["diagnosis"]["verdict"] = verdict(diagnosis)
    for name, one in (checks or {}).items():
        entry = summary["posteriors"][name]
        entry["checks"] = {"verdict": checks_verdict(one), **entry["checks"]}
    return summary
