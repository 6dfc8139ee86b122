"""The page on a run without a search for modes: sentences and tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from manymodes.report.page import Finding, Page, Section, Table, alone, render
from manymodes.report.references import chain_references
from manymodes.report.write import record_tables
from manymodes.runtime.storage import write_text


def write_plain_report(
    path: Path,
    *,
    title: str,
    introduction: str,
    tiles: Sequence[tuple[str, str]],
    opening: Sequence[str],
    tables: Sequence[Table],
    notes: Sequence[str],
    settings: Mapping[str, Any],
    toolchain: Mapping[str, Any],
) -> None:
    """Write one self-contained HTML page on chains and what they predict.

    Parameters
    ----------
    path : Path
        The file; it is replaced in one step.
    title, introduction : str
        Of the page.
    tiles : sequence of (str, str)
        Figures and what they are.
    opening : sequence of str
        The findings, in sentences.
    tables : sequence of Table
        The results.
    notes : sequence of str
        Remarks on the data or the set-up.
    settings, toolchain : mapping
        Of the run; the result of `Toolchain.as_dict`.

    Raises
    ------
    InputError
        The file cannot be written.
    """
    page = Page(
        title=title,
        introduction=(introduction,),
        findings=(Finding("", tuple(tiles), tuple(opening), (), ()),),
        cautions=(),
        chapters=(
            alone(Section("results", "Results", parts=tuple(tables))),
            alone(
                Section(
                    "record",
                    "Settings and versions",
                    parts=tuple(record_tables(settings, toolchain)),
                )
            ),
        ),
        references=chain_references(),
        licence="",
        notes=tuple(notes),
    )
    write_text(path, render(page))
