"""What a lesson's script talks to: where results go, its picture, its number, its report."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, ClassVar

from matplotlib import rc_context
from matplotlib.figure import Figure

from manymodes.density.posterior import Posterior
from manymodes.errors import InputError
from manymodes.modes.comparison import Comparison
from manymodes.report import Section, picture
from manymodes.report.plots.style import STYLE, new_figure
from manymodes.results.our_files import LESSON_PICTURE, our_files
from manymodes.results.run_directory import (
    run_directory,
    save_posterior,
    write_draws,
)
from manymodes.runtime.seeds import check_seed
from manymodes.runtime.storage import SETTINGS, atomic, claim
from manymodes.studies.conduct import Findings, write_findings
from manymodes.studies.lessons.catalogue import Script, lesson_named
from manymodes.studies.lessons.number import Number, numbers_table
from manymodes.toolchain import find, require

OUT = "MANYMODES_LESSON_OUT"
"""The environment variable that says where a notebook keeps its results."""


@dataclass(frozen=True)
class Way:
    """How a lesson is run.

    Attributes
    ----------
    out : Path or None
        The run directory; None keeps nothing.
    seed : int
        Decides everything random.
    resume, overwrite : bool
        Continue what the directory holds, or replace it.
    quiet : bool
        Show no progress.
    """

    out: Path | None = None
    seed: int = 1
    resume: bool = False
    overwrite: bool = False
    quiet: bool = False


_asked: ContextVar[tuple[Way, ExitStack] | None] = ContextVar("asked", default=None)


@contextmanager
def asked_for(way: Way) -> Iterator[None]:
    """Decide how a lesson that begins in this context is run; at its end its folder is let go."""
    with ExitStack() as held:
        token = _asked.set((way, held))
        try:
            yield
        finally:
            _asked.reset(token)


class Lesson:
    """A lesson that is being given.

    In a script it takes ``--out``, ``--seed``, ``--resume``, ``--overwrite`` and ``--quiet`` from
    the command line. In a notebook it shows its picture in place and keeps nothing, unless the
    environment variable ``MANYMODES_LESSON_OUT`` names a folder. A cell that begins a lesson can be
    run again: the lesson that was begun before lets go of its folder.

    Parameters
    ----------
    number : int
        Which lesson.
    *posteriors : str
        Names of the posteriors that it samples: folders below ``out``.

    Attributes
    ----------
    seed : int
        What to give to every engine and generator.
    quiet : bool
        Whether progress is not wanted.
    out : Path or None
        The run directory.

    Raises
    ------
    InputError
        There is no such lesson, or the directory cannot be used.
    ToolchainError
        CmdStan, the bridge or a compiler is missing.
    """

    _last: ClassVar[ExitStack] = ExitStack()
    """What the latest lesson holds that no command began."""

    def __init__(self, number: int, *posteriors: str) -> None:
        self.script: Script = lesson_named(f"lesson-{number}")
        asked = _asked.get()
        if asked is None:
            Lesson._last.close()
            Lesson._last = ExitStack()
            asked = _from_surroundings(self.script), Lesson._last
        way, self._held = asked
        self.seed = check_seed(way.seed)
        self.quiet = way.quiet
        self.out = way.out
        self.number: Number | None = None
        self.further: list[Number] = []
        self._posteriors = posteriors
        self._picture: tuple[Figure, str] | None = None
        require("cmdstan", "bridge", "compiler")
        self._held.enter_context(rc_context({**STYLE, "text.parse_math": True}))
        if self.out is not None:
            self._held.enter_context(run_directory(self.out, overwrite=way.overwrite))
            settings = {"lesson": number, "seed": self.seed, "posteriors": list(posteriors)}
            _refuse_others(self.out, posteriors)
            claim(self.out, settings, resume=way.resume)

    def at(self, name: str) -> dict[str, Any]:
        """Return where an engine keeps the draws of a posterior, for `mm.run_chains` and others.

        Raises
        ------
        InputError
            The lesson was not begun with this name.
        """
        out = self._folder(name)
        return {"out": out, "resume": out is not None, "seed": self.seed, "quiet": self.quiet}

    def kept(self, name: str) -> dict[str, Any]:
        """Return what `mm.compare` needs to keep its climbs beside the draws of a posterior.

        Raises
        ------
        InputError
            The lesson was not begun with this name.
        """
        return {"kept": self._folder(name), "seed": self.seed, "quiet": self.quiet}

    def figure(self, columns: int = 1, width: float = 7.5, height: float = 3.0) -> tuple[Any, Any]:
        """Return a figure in the project's style, and its axes: one, or an array of columns."""
        figure = new_figure(height, width)
        return figure, figure.subplots(1, columns)

    def show(self, figure: Figure, caption: str) -> None:
        """Take a figure as the lesson's picture: show it in a notebook, keep it with the results.

        Parameters
        ----------
        figure : Figure
            Drawn on what `figure` returned, so that the report's dark theme fits it.
        caption : str
            What it shows, in words that stand without it.
        """
        self._picture = figure, caption
        data = BytesIO()
        figure.savefig(data, format="png", dpi=150)
        if self.out is not None:
            with atomic(self.out / LESSON_PICTURE) as path:
                path.write_bytes(data.getvalue())
        if _in_notebook():
            width = int(80 * figure.get_figwidth())
            _display("Image", data=data.getvalue(), width=width, alt=caption)

    def program(self, posterior: Posterior) -> None:
        """Show the Stan program of a posterior in a notebook, with the files that it includes.

        A script shows nothing: its results hold the program anyway.
        """
        if not _in_notebook():
            return
        sources = dict(posterior.program.sources)
        _display("Markdown", data=_fenced(sources.pop(posterior.program.stan_file.name)))
        if sources:
            parts = (f"`{name}`\n\n{_fenced(text)}" for name, text in sources.items())
            names = ", ".join(sources)
            folded = f"<details><summary>What it includes: {names}</summary>"
            _display("Markdown", data="\n\n".join([folded, *parts, "</details>"]))

    def settle(self, number: Number) -> None:
        """Take the number that settles the lesson, and say it."""
        self.number = number
        print(f"The number that settles it: {number}")

    def note(self, number: Number) -> None:
        """Take a further number, which is tested too, and say it."""
        self.further.append(number)
        print(number)

    def finish(self, comparisons: Mapping[str, Comparison]) -> None:
        """Write draws, summary and report of what was compared, by the posteriors' names.

        Raises
        ------
        InputError
            The lesson has no number or no picture, or a name is not one that it was begun with.
        """
        if self.number is None or self._picture is None:
            raise InputError(f"{self.script.name}: finish needs its number and its picture first")
        for name in comparisons:
            self._check(name)
        with self._held:
            if self.out is not None:
                self._write(self.out, comparisons, self.number, *self._picture)

    def _write(
        self,
        out: Path,
        comparisons: Mapping[str, Comparison],
        number: Number,
        figure: Figure,
        caption: str,
    ) -> None:
        for name, found in comparisons.items():
            save_posterior(found.posterior, out / name / "posterior")
            write_draws(found, out / name, seed=self.seed)
        about = {
            "number": self.script.number,
            "title": self.script.title,
            "question": self.script.question,
            "settles": number.as_dict(),
            "further": [one.as_dict() for one in self.further],
        }
        lead = Section(
            "lesson",
            "",
            (_plain(self.script.question),),
            parts=(numbers_table(number, *self.further), picture(figure, caption, caption)),
        )
        title = f"Lesson {self.script.number}. {self.script.title}"
        write_findings(
            self.script.name,
            out,
            comparisons,
            Findings({"lesson": about}, {"title": title, "lead": lead}),
            seed=self.seed,
            settings={"lesson": self.script.number, "seed": self.seed},
            toolchain=find(),
        )

    def _folder(self, name: str) -> Path | None:
        """Return the folder of a posterior; None if nothing is kept."""
        self._check(name)
        return None if self.out is None else self.out / name

    def _check(self, name: str) -> None:
        if name not in self._posteriors:
            names = ", ".join(self._posteriors) or "no name"
            raise InputError(f"{self.script.name}: was begun with {names}, not with {name!r}")


def _refuse_others(out: Path, posteriors: Iterable[str]) -> None:
    """Refuse to write into a folder that holds results which the lesson did not write."""
    if (out / SETTINGS).exists():  # it names whose they are
        return
    for name in posteriors:
        for path in our_files(out / name):
            if path.name[0] != ".":
                raise InputError(
                    f"{out} holds {path.relative_to(out)}, which this lesson did not write: "
                    "move it away or choose another --out"
                )


def _from_surroundings(script: Script) -> Way:
    """Return how a lesson is run that no command began: as a script, or in a notebook."""
    if not _is_script():
        out = os.environ.get(OUT)
        return Way(Path(out), overwrite=True, quiet=True) if out else Way()
    parser = argparse.ArgumentParser(description=f"Lesson {script.number}. {script.title}")
    parser.add_argument("--out", type=Path, default=Path(script.name), help="the run directory")
    parser.add_argument("--seed", type=int, default=1, help="decides everything random")
    earlier = parser.add_mutually_exclusive_group()
    earlier.add_argument("--resume", action="store_true", help="run only what is missing in --out")
    earlier.add_argument("--overwrite", action="store_true", help="replace the results in --out")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    return Way(**vars(parser.parse_args()))


def _is_script() -> bool:
    """Whether the main program is a file, of whatever name: the cells of a notebook are not."""
    main = getattr(sys.modules["__main__"], "__file__", None)
    return main is not None and Path(main).name == Path(sys.argv[0]).name


def _in_notebook() -> bool:
    """Whether the code runs in a notebook's kernel."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return shell is not None and hasattr(shell, "kernel")


def _display(kind: str, **content: Any) -> None:
    """Show something in a notebook."""
    shown: Any = importlib.import_module("IPython.display")
    shown.display(getattr(shown, kind)(**content))


def _fenced(program: str) -> str:
    """Return a Stan program as a block of code in Markdown."""
    return f"```stan\n{program.strip()}\n```"


def _plain(markdown: str) -> str:
    """Return text without the marks of Markdown for code."""
    return markdown.replace("`", "")
