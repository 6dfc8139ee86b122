"""Putting the page together and writing it."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy.typing as npt

from manymodes._version import __version__
from manymodes.errors import InputError
from manymodes.modes.checks import Checks
from manymodes.modes.comparison import Comparison
from manymodes.modes.diagnosis import Diagnosis, diagnosed
from manymodes.report import sections
from manymodes.report.cautions import cautions
from manymodes.report.chain_sections import rhat_section, traces_section
from manymodes.report.checks import checks_section
from manymodes.report.diagnosis import coverage_section, health_section, weightings_section
from manymodes.report.findings import called
from manymodes.report.format import NOTHING, flattened
from manymodes.report.names import DataNames
from manymodes.report.opening import opening
from manymodes.report.page import Chapter, Page, Section, Table, render
from manymodes.report.plots import FunctionScores, score
from manymodes.report.references import POLYCHORD_LICENCE, references
from manymodes.runtime.storage import write_text
from manymodes.toolchain import find
from manymodes.wording import unfinished_lines

_PACKAGES = ("numpy", "scipy", "arviz-stats", "anesthetic", "cmdstanpy", "bridgestan", "matplotlib")


def write_report(
    path: Path,
    comparisons: Mapping[str, Comparison],
    *,
    title: str,
    introduction: str = "",
    settings: Mapping[str, Any] | None = None,
    toolchain: Mapping[str, Any] | None = None,
    test_sets: Sequence[tuple[npt.ArrayLike, npt.ArrayLike]] = (),
    notes: Sequence[str] = (),
    appendix: Sequence[Table] = (),
    diagnoses: Mapping[str, Diagnosis] | None = None,
    checks: Mapping[str, Checks] | None = None,
    names: Mapping[str, DataNames] | None = None,
    lead: Section | None = None,
) -> None:
    """Write one self-contained HTML page on the findings.

    Parameters
    ----------
    path : Path
        The file; it is replaced in one step.
    comparisons : mapping of str to Comparison
        The comparison of each posterior, by name.
    title : str
        Of the page.
    introduction : str
        Plain text; blank lines separate its paragraphs.
    settings : mapping, optional
        Of the run; may be nested.
    toolchain : mapping, optional
        The result of `Toolchain.as_dict`; looked up if not given.
    test_sets : sequence of (X, y)
        Fresh data to score predictions on; used for networks only.
    notes : sequence of str
        Remarks on the data or the set-up.
    appendix : sequence of Table
        Further tables.
    diagnoses : mapping of str to Diagnosis, optional
        The diagnosis of the chains, by the posterior's name; computed now if not given.
    checks : mapping of str to Checks, optional
        The checks of the evidence, by the posterior's name; they are not made now because they
        take time.
    names : mapping of str to DataNames, optional
        What the data of a posterior are called, and their units, by the posterior's name.
    lead : Section, optional
        A chapter before all others: what was asked, and the answer.

    Raises
    ------
    InputError
        There is no comparison, or the file cannot be written.

    Examples
    --------
    >>> from pathlib import Path
    >>> # comparison: what chains and nested runs of the noisy-XOR posterior found
    >>> mm.write_report(Path("report.html"), {"full": comparison}, title="Noisy XOR")
    >>> "<title>Noisy XOR" in Path("report.html").read_text()
    True
    """
    if not comparisons:
        raise InputError("comparisons: the mapping is empty; give at least one comparison")
    scores = _scores(comparisons, test_sets)
    if diagnoses is None:
        diagnoses = diagnosed(comparisons)
    names = names or {}
    tools = {**(find().as_dict() if toolchain is None else toolchain), **_kernels(comparisons)}
    chapters = (
        _chapter("lead", "The question and its answer", lead),
        _chapter(
            "what",
            "What the functions are and weigh",
            sections.functions_section(comparisons, names),
            sections.words_section(comparisons, scores),
        ),
        _chapter("trust", "Whether to trust it", rhat_section(comparisons, diagnoses)),
        _chapter(
            "predict",
            "How well they predict",
            sections.predictions_section(comparisons, names),
            sections.scores_section(comparisons, scores),
        ),
        _chapter(
            "peaks",
            "The modes",
            sections.modes_section(comparisons),
            sections.weights_section(comparisons),
            sections.corner_section(comparisons),
        ),
        _chapter(
            "diagnosis",
            "What the chains did",
            traces_section(comparisons, diagnoses),
            health_section(comparisons, diagnoses),
            coverage_section(comparisons, diagnoses),
            weightings_section(comparisons),
        ),
        _chapter(
            "integrals",
            "The evidence",
            sections.evidence_section(comparisons),
            checks_section(comparisons, checks or {}),
        ),
        _chapter(
            "made",
            "Settings, versions and times",
            _appendix(appendix),
            _record(comparisons, settings or {}, tools),
        ),
    )
    warned = tuple(
        text for n, c in comparisons.items() for text in cautions(called(n, comparisons), c)
    )
    unfinished = dict.fromkeys(
        text for one in comparisons.values() for text in unfinished_lines(one.unfinished)
    )
    page = Page(
        title=title,
        introduction=tuple(s for p in introduction.split("\n\n") if (s := p.strip())),
        findings=(),
        cautions=warned,
        chapters=tuple(c for c in chapters if c.sections or (c.anchor == "trust" and warned)),
        references=references(comparisons.values(), checked=bool(checks)),
        licence=_licence(comparisons),
        notes=tuple(notes),
        opening=opening(comparisons, names, diagnoses, path.parent.name or "RUN"),
        unfinished=tuple(unfinished),
    )
    write_text(path, render(page))


def _chapter(anchor: str, title: str, *candidates: Section | None) -> Chapter:
    """Return a chapter of the sections that there are."""
    return Chapter(anchor, title, tuple(one for one in candidates if one is not None))


def _scores(
    comparisons: Mapping[str, Comparison],
    test_sets: Sequence[tuple[npt.ArrayLike, npt.ArrayLike]],
) -> dict[str, FunctionScores]:
    found = {name: score(c, test_sets) for name, c in comparisons.items()}
    return {name: scores for name, scores in found.items() if scores is not None}


def _appendix(tables: Sequence[Table]) -> Section | None:
    return Section("appendix", "Further tables", parts=tuple(tables)) if tables else None


def _record(
    comparisons: Mapping[str, Comparison],
    settings: Mapping[str, Any],
    toolchain: Mapping[str, Any],
) -> Section:
    """Return settings, versions and times, so that the run can be repeated."""
    tables = (sections.effort_table(comparisons), *record_tables(settings, toolchain))
    return Section("record", "How this was made", parts=tables)


def _kernels(comparisons: Mapping[str, Comparison]) -> dict[str, Any]:
    """Return how likelihoods were computed, as a part among the versions."""
    states = {one.posterior.program.kernel_state for one in comparisons.values()} - {None}
    said = ", ".join(sorted(map(str, states)))
    return {"kernel": {"version": said, "source": "stan/kernels"}} if said else {}


def record_tables(settings: Mapping[str, Any], toolchain: Mapping[str, Any]) -> list[Table]:
    """Return settings, if there are any, and versions."""
    versions = [("manymodes", __version__, ""), ("Python", platform.python_version(), "")]
    for name, part in toolchain.items():
        if isinstance(part, Mapping):
            versions.append((name, part.get("version") or NOTHING, part.get("source") or ""))
        else:
            versions.append((name, str(part), ""))
    for package in _PACKAGES:
        try:
            versions.append((package, metadata.version(package), "Python package"))
        except metadata.PackageNotFoundError:
            continue
    made = [Table("Settings", ("Setting", "Value"), tuple(flattened(settings)))] if settings else []
    return [*made, Table("Versions", ("Part", "Version", "Source"), tuple(versions))]


def _licence(comparisons: Mapping[str, Comparison]) -> str:
    return POLYCHORD_LICENCE if any(c.nested is not None for c in comparisons.values()) else ""
