"""The files of a Stan program: read once, and carried under names that stay in one folder.

A program may include files from anywhere, as stanc allows: by a relative path, which may leave the
program's folder, by an absolute path, or by a quoted name with spaces. A copy in one folder is
compiled, saved and sent to other machines. There an included file that lies in the program's own
folder, or is one of manymodes' own (``stan/functions``, ``stan/blocks``), keeps the name under
which it is included. Every other file gets a new name, and the includes in the copies use it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath

from manymodes.density.stan_tokens import includes_of, with_includes
from manymodes.errors import InputError
from manymodes.runtime.storage import leads_out, read_utf8
from manymodes.toolchain import stan_dir

OUR_INCLUDES = ("functions", "blocks")
"""The folders of ``stan`` whose files a program may include."""

_PROGRAM_ENDINGS = (".stan", ".stanfunctions")
_TAKEN_ENDINGS = {"", ".json", ".npz", ".csv", ".lock", ".partial"}
_TAKEN_ENDINGS |= {".hpp", ".h", ".gch", ".cpp", ".o", ".d", ".so", ".a", ".exe"}
"""Names of files that stand, or may be made, beside a program's copies."""


@dataclass(frozen=True)
class ProgramFiles:
    """The texts of a program's files.

    Attributes
    ----------
    texts : dict of str to str
        The program's text, first, and that of each file that it includes, by the name of the copy,
        which is the name in the includes.
    shown : dict of str to str
        The user's name of each of them: its path as given, or as it was found.
    """

    texts: dict[str, str]
    shown: dict[str, str]


def read_program(path: Path, given: Path, *, confined: bool = False) -> ProgramFiles:
    """Read a program and all its includes.

    Includes are searched beside the program and in manymodes' own folders, `OUR_INCLUDES`.

    Parameters
    ----------
    path : Path
        The program, absolute.
    given : Path
        Its path as the user wrote it.
    confined : bool
        Read only files in the program's folder, links followed, and in `OUR_INCLUDES`. This is
        for a folder that may come from somebody else.

    Raises
    ------
    InputError
        A file is missing, cannot be read, is not in UTF-8, includes itself, or is out of bounds.
    """
    texts: dict[str, str] = {}
    shown = {path.name: str(given)}
    paths = {path.name: path}
    includes: dict[str, list[str]] = {}
    pending = [path.name]
    while pending:
        name = pending.pop()
        if name in texts:
            continue
        texts[name] = read_utf8(paths[name], "Stan program")
        includes[name] = [include.name for include in includes_of(texts[name])]
        for found in includes[name]:
            if found not in paths:
                source = f"{shown[name]}: #include {found}"
                paths[found], shown[found] = _located(found, path, given, source, confined)
        pending.extend(includes[name])
    _refuse_circles(includes, shown, path.name)
    names = _carried(texts, path.name)
    return ProgramFiles(
        {names[name]: with_includes(text, names) for name, text in texts.items()},
        {names[name]: shown[name] for name in texts},
    )


def is_shipped(texts: Mapping[str, str]) -> bool:
    """Whether a program, with all its includes, is one of manymodes' own, unchanged."""
    main, *included = texts
    ours = our_texts(*OUR_INCLUDES)
    return texts[main] in our_texts("models").values() and all(
        ours.get(name) == texts[name] for name in included
    )


def our_texts(*folders: str) -> dict[str, str]:
    """Return the texts of the Stan files that manymodes has in folders of ``stan``, by name."""
    return {
        path.name: path.read_text(encoding="utf-8")
        for folder in folders
        for path in sorted((stan_dir() / folder).glob("*.stan*"))
    }


def _located(name: str, path: Path, given: Path, source: str, confined: bool) -> tuple[Path, str]:
    """Return the path of an included file, and the user's name for it."""
    ours = [stan_dir() / folder for folder in OUR_INCLUDES]
    places = [(path.parent, str(given.parent / name)), *((folder, name) for folder in ours)]
    for folder, called in places:
        found = folder / name
        if not os.path.lexists(found):
            continue
        if confined and all(leads_out(found, inner) for inner in (path.parent, *ours)):
            raise InputError(f"{source} leads out of the folder that the program came in")
        if os.path.isdir(found):
            raise InputError(f"{source} is a folder")
        if not os.path.isfile(found):
            raise InputError(f"{source} cannot be read as a file (is it a link to nothing?)")
        return found, called
    raise InputError(f"{source} is found neither beside the program nor in manymodes' stan folder")


def _refuse_circles(includes: Mapping[str, list[str]], shown: Mapping[str, str], main: str) -> None:
    """Raise `InputError` if a file includes itself, directly or by way of others."""
    done: set[str] = set()

    def visit(name: str, above: tuple[str, ...]) -> None:
        if name in above:
            raise InputError(f"{shown[above[-1]]}: #include {name} includes itself")
        if name not in done:
            for included in includes[name]:
                visit(included, (*above, name))
            done.add(name)

    visit(main, ())


def _carried(names: Iterable[str], main: str) -> dict[str, str]:
    """Return the names of the copies by the names under which files are included."""
    carried = {name: name for name in names if name == main or _stays(name)}
    taken = {name.lower() for name in carried}
    for name in names:
        if name in carried:
            continue
        own = re.sub(r"[^\w.+-]", "_", PurePath(name).name).lstrip(".") or "included"
        ending = PurePath(own).suffix
        stem = own.removesuffix(ending) if ending in _PROGRAM_ENDINGS else own
        ending = ending if ending in _PROGRAM_ENDINGS else ".stanfunctions"
        number, chosen = 1, f"{stem}{ending}"
        while chosen.lower() in taken:
            number += 1
            chosen = f"{stem}-{number}{ending}"
        carried[name] = chosen
        taken.add(chosen.lower())
    return carried


def _stays(name: str) -> bool:
    """Whether a file can have this name in the folder of the copies."""
    parts = name.split("/")
    return (
        name.isprintable()
        and "\\" not in name
        and not {"", ".."} & set(parts)
        and not parts[-1].startswith(".")
        and PurePath(name).suffix.lower() not in _TAKEN_ENDINGS
    )
