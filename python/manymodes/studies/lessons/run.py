"""Running a lesson's script from the command line."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from manymodes.studies.lessons.catalogue import Script
from manymodes.studies.lessons.lesson import Way, asked_for


def run_lesson(script: Script, way: Way) -> None:
    """Give a lesson: run its script in this process.

    Raises
    ------
    InputError
        The directory cannot be used.
    """
    with asked_for(way), _arguments(str(script.path)):
        runpy.run_path(str(script.path), run_name="__main__")


@contextmanager
def _arguments(*given: str) -> Iterator[None]:
    """Have other command-line arguments for a while: those of the script."""
    before, sys.argv = sys.argv, list(given)
    try:
        yield
    finally:
        sys.argv = before
