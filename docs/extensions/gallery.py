"""The lessons: a page for each that `docs/lessons.py` executed, and the gallery of all.

A lesson is a folder ``lesson-N`` with ``notebook.ipynb`` (executed), ``figure.png``,
``report.html`` and ``summary.json``. The notebook becomes a page. The report, the notebook itself
and the live pages are copied to the site as they are. Without lessons the gallery says so.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.util.docutils import SphinxDirective
from sphinx.util.typing import ExtensionMetadata

LIVE = {1: "eight-copies", 3: "three-labels", 6: "relu-valley", 10: "believe-or-predict"}
"""The live page of a lesson, by its number."""
NONE = (
    "This copy of the site was built without the lessons. "
    "`make docs` runs them and puts them here; `manymodes study` lists them."
)


@dataclass(frozen=True)
class Lesson:
    """A lesson that was executed.

    Parameters
    ----------
    number : int
        Its number, which is its place in the gallery.
    title, question : str
        What its card says.
    folder : Path
        Where its files are.
    live : bool
        Whether the site has its live page.
    """

    number: int
    title: str
    question: str
    folder: Path
    live: bool

    @property
    def name(self) -> str:
        """The name of its page and of its files in the site."""
        return f"lesson-{self.number}"

    def links(self, up: str) -> str:
        """Return HTML links to what belongs to the lesson; ``up`` leads to the root of the site."""
        found = [
            (f"{up}reports/{self.name}.html", "Report", ""),
            (f"{up}notebooks/{self.name}.ipynb", "Notebook", " download"),
        ]
        if self.live:
            found.append((f"{up}live/{LIVE[self.number]}.html", "Live page", ""))
        anchors = [f'<a href="{where}"{how}>{said}</a>' for where, said, how in found]
        return f'<span class="lesson-links">{" ".join(anchors)}</span>'


def read(folder: Path, live: Path) -> list[Lesson]:
    """Return the lessons in a folder, by number."""
    found = []
    for summary in sorted(folder.glob("lesson-*/summary.json")):
        said = json.loads(summary.read_text(encoding="utf-8"))["lesson"]
        number = int(said["number"])
        page = live / f"{LIVE.get(number)}.html"
        found.append(Lesson(number, said["title"], said["question"], summary.parent, page.exists()))
    return sorted(found, key=lambda lesson: lesson.number)


def with_links(lesson: Lesson) -> str:
    """Return the notebook of a lesson with its links after the first cell."""
    notebook = json.loads((lesson.folder / "notebook.ipynb").read_text(encoding="utf-8"))
    links = {"cell_type": "markdown", "metadata": {}, "source": lesson.links("../../")}
    named = {"id": "links"} if notebook["nbformat_minor"] >= 5 else {}
    notebook["cells"].insert(1, {**links, **named})
    return json.dumps(notebook)


def prepare(app: Sphinx, config: Config) -> None:
    """Copy the lessons into the generated folder, which is made anew."""
    live = Path(config.gallery_live)
    lessons = read(Path(config.gallery_lessons), live)
    generated = Path(app.srcdir) / "generated"
    pages, files = generated / "lessons", generated / "files"
    for folder in (pages, files):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    for name in ("reports", "notebooks"):
        (files / name).mkdir()
    if live.is_dir():
        shutil.copytree(live, files / "live")
    for lesson in lessons:
        (pages / f"{lesson.name}.ipynb").write_text(with_links(lesson), encoding="utf-8")
        shutil.copy(lesson.folder / "figure.png", pages / f"{lesson.name}.png")
        shutil.copy(lesson.folder / "report.html", files / "reports" / f"{lesson.name}.html")
        shutil.copy(lesson.folder / "notebook.ipynb", files / "notebooks" / f"{lesson.name}.ipynb")
    config.html_extra_path = [*config.html_extra_path, str(files)]


class Gallery(SphinxDirective):
    """``{gallery}``: a card for each lesson, or a sentence where there are none."""

    has_content = False

    def run(self) -> list[nodes.Node]:
        """Return the cards, and the lessons' pages as a hidden table of contents."""
        self.env.note_reread()
        lessons = read(Path(self.config.gallery_lessons), Path(self.config.gallery_live))
        lines = list(self.cards(lessons)) if lessons else [NONE]
        place = nodes.container()
        self.state.nested_parse(StringList(lines, source=self.env.docname), 0, place)
        return place.children

    def cards(self, lessons: list[Lesson]) -> list[str]:
        """Return the cards in MyST Markdown."""
        lines = [":::::{grid} 1 1 2 2", ":gutter: 3", ":class-container: lessons", ""]
        for lesson in lessons:
            page = f"generated/lessons/{lesson.name}"
            lines += [
                f"::::{{grid-item-card}} {lesson.number}. {lesson.title}",
                f":img-top: {page}.png",
                f":img-alt: The figure of lesson {lesson.number}",
                "",
                lesson.question,
                "",
                ":::{card-footer}",
                f"[Lesson]({page}.ipynb) {lesson.links('')}",
                ":::",
                "::::",
                "",
            ]
        lines += [":::::", "", "```{toctree}", ":hidden:", ""]
        lines += [f"generated/lessons/{lesson.name}" for lesson in lessons]
        return [*lines, "```"]


def setup(app: Sphinx) -> ExtensionMetadata:
    """Add the directive and where lessons are found."""
    root = Path(app.srcdir).parent
    app.add_config_value("gallery_lessons", str(root / "build" / "lessons"), "env")
    app.add_config_value("gallery_live", str(root / "build" / "live"), "env")
    app.add_directive("gallery", Gallery)
    app.connect("config-inited", prepare, priority=400)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
