"""Pages whose text is a file outside of the documentation, and links to such files.

Relative links are right where a file stands, so that a forge can follow them. Sphinx reads a copy
of the file elsewhere: there they lead to the same places.
"""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePosixPath

from sphinx.application import Sphinx
from sphinx.util.typing import ExtensionMetadata

PAGES = {
    "CHANGELOG.md": "changelog",
    "CONTRIBUTING.md": "contributing",
    "stan/bridge/README.md": "bridge",
    "stan/kernels/README.md": "kernels",
}
"""The files, by their paths in the repository, and the names of their pages."""
DOCS = PurePosixPath("docs")
GENERATED = DOCS / "generated" / "repository"
LINK = re.compile(r"(\]\()(?!\w+:|#)([^)#\s]+)")


def moved(text: str, folder: PurePosixPath, to: PurePosixPath) -> str:
    """Return Markdown of one folder with links that are right in another one.

    A link to a file that has a page leads to the page.
    """

    def target(match: re.Match[str]) -> str:
        path = PurePosixPath(os.path.normpath(folder / match[2]))
        page = PAGES.get(str(path))
        found = path if page is None else GENERATED / f"{page}.md"
        return f"{match[1]}{os.path.relpath(found, to)}"

    return LINK.sub(target, text)


def write(app: Sphinx) -> None:
    """Write the pages."""
    root = Path(app.srcdir).parent
    folder = root / GENERATED
    folder.mkdir(parents=True, exist_ok=True)
    for file, page in PAGES.items():
        text = (root / file).read_text(encoding="utf-8")
        text = moved(text, PurePosixPath(file).parent, GENERATED)
        path = folder / f"{page}.md"
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def follow(app: Sphinx, document: str, source: list[str]) -> None:
    """Make links of a page to files that have pages lead to these."""
    if os.fspath(app.env.doc2path(document)).endswith(".md"):
        folder = (DOCS / document).parent
        if folder != GENERATED:
            source[0] = moved(source[0], folder, folder)


def setup(app: Sphinx) -> ExtensionMetadata:
    """Write the pages before Sphinx looks for its sources, and follow links to them."""
    app.connect("builder-inited", write)
    app.connect("source-read", follow)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
