"""Put each live page together as one HTML file: python docs/live/build.py OUT_FOLDER."""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass
from html import escape
from pathlib import Path

SOURCES = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Lesson:
    """What a page says of itself before its script runs.

    Attributes
    ----------
    number : int
        Number of the lesson, which is in the name of its script.
    title : str
        Heading of the page.
    lead : str
        The sentences below it.
    """

    number: int
    title: str
    lead: str


PAGES = {
    "eight-copies": Lesson(
        1,
        "Eight copies",
        "A network with two tanh units learns at which doses a treatment works. Exchange the "
        "units, or flip the signs of one: the weights change and the function does not. Eight "
        "chains show what that does to R-hat.",
    ),
    "three-labels": Lesson(
        3,
        "Three labels",
        "A mixture of three normal components does not know which component is called 1. Each of "
        "the 3! = 6 ways to label them is a mode, and six chains show when they can change it.",
    ),
    "relu-valley": Lesson(
        6,
        "The ReLU valley",
        "What a relu unit adds depends on w·v and b/w only. So w = 1, b = 1, v = 2 and w = 2, "
        "b = 2, v = 1 predict the same, and the posterior is a long valley that chains must walk.",
    ),
    "believe-or-predict": Lesson(
        10,
        "Believe or predict?",
        "The data come from two places and the model has one. Evidence says where that one place "
        "is; stacking says how to predict the next observation. They disagree, and both are right.",
    ),
}
"""The pages by name of their file."""


def page(lesson: Lesson) -> str:
    """Return the HTML of a lesson's page."""
    parts = {
        "series": f"manymodes · lesson {lesson.number}",
        "title": escape(lesson.title),
        "lead": escape(lesson.lead, quote=False),
        "style": _read("page.css"),
        "sampler": _read("sampler.js"),
        "page": _read("page.js"),
        "lesson": _read(f"lesson_{lesson.number:02d}.js"),
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], _read("template.html"))


def _read(name: str) -> str:
    return (SOURCES / name).read_text(encoding="utf-8")


def build(out: Path) -> list[Path]:
    """Write all pages into a folder, which is made if need be, and return their paths."""
    out.mkdir(parents=True, exist_ok=True)
    written = []
    for name, lesson in PAGES.items():
        path = out / f"{name}.html"
        path.write_text(page(lesson), encoding="utf-8", newline="\n")
        written.append(path)
    return written


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="folder that the pages are written to")
    for path in build(parser.parse_args().out):
        print(path)
