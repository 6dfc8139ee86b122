"""Places: the user's directory, our Stan sources, and the mark of a finished part."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import platformdirs

_MARK = ".manymodes.json"


def home() -> Path:
    """Return the one directory that manymodes writes to, apart from run directories.

    It is ``MANYMODES_HOME`` if this is set, and the user's data directory otherwise. It holds
    the installed toolchain and the compiled programs. The directory need not exist yet.
    """
    named = os.environ.get("MANYMODES_HOME")
    return Path(named or platformdirs.user_data_dir("manymodes")).expanduser().absolute()


def version_key(version: str | None) -> tuple[int, ...]:
    """Turn a version such as ``2.27.0`` into a tuple that sorts as versions do.

    The first part that is not a number, and all parts after it, are left out. A missing version
    sorts first.
    """
    key: list[int] = []
    for part in (version or "").split("."):
        digits = part[: len(part) - len(part.lstrip("0123456789"))]
        if not digits:
            break
        key.append(int(digits))
    return tuple(key)


@dataclass(frozen=True)
class Installed:
    """The mark that set-up leaves, as its last act, in the folder of a finished part.

    A folder without a readable mark is left from a set-up that died, and is never used.
    """

    part: str
    version: str
    source: Literal["index", "github"]

    @property
    def folder(self) -> Path:
        """The folder of this part below `home`."""
        return home() / f"{self.part}-{self.version}"

    def write(self, folder: Path) -> None:
        """Mark `folder` as finished."""
        (folder / _MARK).write_text(json.dumps(asdict(self)) + "\n", encoding="utf-8")


def read_mark(folder: Path) -> Installed | None:
    """Return the mark of a folder, or None when it has none that can be read."""
    try:
        return Installed(**json.loads((folder / _MARK).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def installed(part: str) -> Iterator[tuple[Path, Installed]]:
    """Yield the finished folders of a part below `home`, the newest version first."""
    marks = [(folder, read_mark(folder)) for folder in home().glob(f"{part}-*")]
    finished = [(folder, mark) for folder, mark in marks if mark and mark.part == part]
    yield from sorted(finished, key=lambda it: version_key(it[1].version), reverse=True)
