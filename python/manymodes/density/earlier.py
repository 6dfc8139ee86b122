"""Our Stan files of earlier versions: they are recognised by their text and brought up to date.

The folder of a network, and the folder of a run, hold copies of our files. If the text of a file
has changed since then, but not its density, ``earlier_files`` keeps its earlier texts: a folder for
each change, with the texts that the change replaced. These texts identify a copy under any name; a
file that was edited matches none of them.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path, PurePosixPath

from manymodes.density.program_files import OUR_INCLUDES, our_texts
from manymodes.density.stan_tokens import includes_of
from manymodes.errors import CompileError, UpgradeWarning
from manymodes.toolchain.paths import version_key

_EARLIER = Path(__file__).with_name("earlier_files")
_FIRST_WITHOUT = (2, 33)
"""The first Stan without some of the words that the earlier files use."""

_WORDS = {
    "fabs": "absolute_value",
    "upper": "another name",
    "lower": "another name",
    "jacobian": "another name",
    "ordered_log_jacobian": "ordered_log_det",
    "correlation_log_jacobian": "correlation_log_det",
    "diagonal_log_jacobian": "diagonal_log_det",
    "room_log_jacobian": "room_log_det",
    "svd_log_jacobian": "svd_log_det",
}
"""These words, and what to write for them."""

_NOT_CODE = re.compile(r"//.*|/\*[\s\S]*?\*/|\"[^\"\n]*\"|\b(?:lower|upper)\s*=(?!=)")


def brought_up_to_date(name: str, sources: Mapping[str, str]) -> dict[str, str]:
    """Return a program's sources with today's texts for the earlier ones of our files.

    Parameters
    ----------
    name : str
        The program's name.
    sources : mapping of str to str
        The program and its included files, by the name under which they are included.

    Returns
    -------
    dict of str to str
        The new sources; they are unchanged if one of our included files was edited, because other
        files may rely on its definitions. Files that only today's texts include come last.

    Warns
    -----
    UpgradeWarning
        A text has changed: the line that a user reads.
    """
    today = {} if _edited(sources) else _today()
    changed = [file for file, text in sources.items() if text in today]
    if changed:
        warnings.warn(
            f"{name}: an earlier manymodes wrote {', '.join(changed)}; this run uses today's "
            "versions, the same density for every Stan (the files stay as they are)",
            UpgradeWarning,
            stacklevel=3,
        )
    texts = {file: today.get(text, text) for file, text in sources.items()}
    return {**texts, **_also_included(texts)} if changed else texts


def as_at_first(sources: Mapping[str, str]) -> dict[str, str]:
    """Return a program's sources with the text that each of our files had at first.

    So programs that differ only in the version of our files, and have the same density, have the
    same sources here. A file of ours that the first texts did not include is left out.
    """
    first = _first()
    texts = {file: first.get(text, text) for file, text in sources.items()}
    included = _reached(texts, next(iter(texts)))
    ours = {*our_texts(*OUR_INCLUDES).values(), *_today()}
    return {
        file: text for file, text in texts.items() if file in included or sources[file] not in ours
    }


@contextmanager
def naming_the_remedy(sources: Mapping[str, str], stan: str | None) -> Iterator[None]:
    """Add to the error of a program what to write for the words that Stan no longer takes.

    Parameters
    ----------
    sources : mapping of str to str
        The program and what it includes, by the name it is included under.
    stan : str or None
        The version of CmdStan.
    """
    try:
        yield
    except CompileError as error:
        said = _remedy(sources) if version_key(stan) >= _FIRST_WITHOUT else ""
        if not said:
            raise
        raise CompileError(f"{error}\n{said}") from error


def _remedy(sources: Mapping[str, str]) -> str:
    """Return what to write in edited copies of our files, and for former names of functions."""
    ours = our_texts(*OUR_INCLUDES, "models")
    said = []
    for file, text in sources.items():
        code = _NOT_CODE.sub(" ", text)
        for word, instead in _WORDS.items():
            mine = word.endswith("_log_jacobian") or _plain(file) in ours
            if mine and text not in ours.values() and re.search(rf"\b{word}\b", code):
                said.append(f"in {file} write {instead} for {word}")
    if not said:
        return ""
    return f"This Stan no longer takes words that an earlier manymodes wrote: {'; '.join(said)}"


def _edited(sources: Mapping[str, str]) -> bool:
    """Whether an included file has the name of one of ours, but none of its known texts."""
    ours = our_texts(*OUR_INCLUDES)
    known = {*ours.values(), *_today()}
    return any(_plain(file) in ours and text not in known for file, text in sources.items())


def _plain(file: str) -> str:
    return PurePosixPath(file).name


def _also_included(texts: Mapping[str, str]) -> dict[str, str]:
    """Return those of our files that a program includes and that are not among its texts."""
    ours = our_texts(*OUR_INCLUDES)
    missing = _reached({**ours, **texts}, next(iter(texts))) - texts.keys()
    return {name: ours[name] for name in sorted(missing)}


def _reached(texts: Mapping[str, str], main: str) -> set[str]:
    """Return the names of a program and of all that it includes, as far as there is a text."""
    pending = [main]
    found: set[str] = set()
    while pending:
        name = pending.pop()
        if name in texts and name not in found:
            found.add(name)
            pending.extend(include.name for include in includes_of(texts[name]))
    return found


@cache
def _histories() -> dict[str, tuple[str, ...]]:
    """Return the texts of each file that has changed, from the first one to today's, by name."""
    now = our_texts(*OUR_INCLUDES, "models")
    histories: dict[str, tuple[str, ...]] = {}
    for path in sorted(_EARLIER.glob("change-*/*.txt")):
        file = path.name.removesuffix(".txt")
        histories[file] = (*histories.get(file, ()), path.read_text(encoding="utf-8"))
    return {file: (*texts, now[file]) for file, texts in histories.items()}


@cache
def _today() -> dict[str, str]:
    """Return today's text for each earlier one."""
    return {text: texts[-1] for texts in _histories().values() for text in texts[:-1]}


@cache
def _first() -> dict[str, str]:
    """Return the first text for each later one."""
    return {text: texts[0] for texts in _histories().values() for text in texts[1:]}
