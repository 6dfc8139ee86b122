"""Docstrings as pages: whose members are shown, and shapes such as ``(n, *shape)``."""

from __future__ import annotations

import re
from typing import Any

from numpydoc.xref import DEFAULT_LINKS
from sphinx.application import Sphinx
from sphinx.util.typing import ExtensionMetadata

STARRED = re.compile(r"(?<=[(,] )\*(?=\w)|(?<=\()\*(?=\w)")
"""The star of ``(n, *shape)``, which is no emphasis."""


def escape_stars(
    app: Sphinx, what: str, name: str, found: Any, options: Any, lines: list[str]
) -> None:
    """Keep the stars of shapes."""
    lines[:] = [line if "``" in line else STARRED.sub(r"\\*", line) for line in lines]


def skip_foreign(
    app: Sphinx, what: str, name: str, found: Any, skip: bool, options: Any
) -> bool | None:
    """Leave out what a class inherits from another package, which documents it."""
    plain = getattr(found, "fget", None) or getattr(found, "func", None) or found
    module = getattr(plain, "__module__", None)
    foreign = module is not None and module.partition(".")[0] != "manymodes"
    return True if foreign else None


def setup(app: Sphinx) -> ExtensionMetadata:
    """Connect both to autodoc; stars before numpydoc reads the lines.

    Types of Python and NumPy lead nowhere, because their indexes are on other hosts.
    """
    DEFAULT_LINKS.clear()
    app.connect("autodoc-process-docstring", escape_stars, priority=100)
    app.connect("autodoc-skip-member", skip_foreign)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
