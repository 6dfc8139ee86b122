"""Our Stan files of earlier versions: they are recognised by their text and brought up to date.

The folder of a network, and the folder of a run, hold copies of our files. If the text of a file
has changed since then, but not its density, ``earlier_files`` keeps its first text. These texts
identify a copy under any name; a file that was edited matches none of them.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path, PurePosixPath

from manymodes.errors import CompileError, UpgradeWarning
from manymodes.toolchain import stan_dir
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
        The new sources; they are unchanged if one of our files of functions was edited, because
        other files may rely on its definitions.

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
    return {file: today.get(text, text) for file, text in sources.items()}


def as_at_first(sources: Mapping[str, str]) -> dict[str, str]:
    """Return a program's sources with the text that each of our files had at first.

    So programs that differ only in the version of our files, and have the same density, have the
    same sources here.
    """
    first = {now: then for then, now in _today().items()}
    return {file: first.get(text, text) for file, text in sources.items()}


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
    ours = _texts("functions", "models")
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
    """Whether a file of functions has the name of one of ours, but none of its known texts."""
    ours = _texts("functions")
    known = {*ours.values(), *_today()}
    return any(_plain(file) in ours and text not in known for file, text in sources.items())


def _plain(file: str) -> str:
    return PurePosixPath(file).name


def _texts(*folders: str) -> dict[str, str]:
    """Return today's texts of our files by their names."""
    return {
        path.name: path.read_text(encoding="utf-8")
        for folder in folders
        for path in sorted((stan_dir() / folder).glob("*.stan*"))
    }


@cache
def _today() -> dict[str, str]:
    """Return the texts that have changed, each with today's text of the same file."""
    now = _texts("functions", "models")
    return {
        path.read_text(encoding="utf-8"): now[path.name.removesuffix(".txt")]
        for path in sorted(_EARLIER.glob("*.txt"))
    }
