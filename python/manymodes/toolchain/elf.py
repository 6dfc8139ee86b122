"""The headers of executables and shared libraries: their platform, and the libraries they need."""

from __future__ import annotations

import struct
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_DYNAMIC_SEGMENT, _LOADED_SEGMENT = 2, 1
_NEEDED, _STRINGS, _RPATH, _RUNPATH = 1, 5, 15, 29
_NAMES = {
    b"MZ": "Windows",
    b"\xcf\xfa\xed\xfe": "macOS",
    b"\xce\xfa\xed\xfe": "macOS",
    b"\xca\xfe\xba\xbe": "macOS",
    b"\xbe\xba\xfe\xca": "macOS",
}
_MACHINES = {3: "x86", 40: "32-bit ARM", 62: "x86-64", 183: "64-bit ARM", 243: "RISC-V"}


@dataclass(frozen=True)
class Elf:
    """The header of a 64-bit ELF file.

    Attributes
    ----------
    machine
        The number of its processor's kind.
    needed
        The names of the shared libraries that it lists.
    folders
        The folders that are searched for them first, in order.
    """

    machine: int
    needed: tuple[str, ...]
    folders: tuple[Path, ...]


def read(path: Path) -> Elf | None:
    """Read the header of an ELF file; None for a file of another kind or one that is cut short."""
    try:
        content = path.read_bytes()
        if content[:6] != b"\x7fELF\x02\x01":  # 64-bit, little-endian
            return None
        return _parse(content, path.resolve().parent)
    except (OSError, struct.error, ValueError):
        return None


def _parse(content: bytes, folder: Path) -> Elf:
    (machine,) = struct.unpack_from("<H", content, 18)
    (table,) = struct.unpack_from("<Q", content, 32)
    size, count = struct.unpack_from("<HH", content, 54)
    segments = [struct.unpack_from("<IIQQQQ", content, table + i * size) for i in range(count)]
    entries: list[tuple[int, int]] = []
    for kind, _, offset, _, _, length in segments:
        if kind == _DYNAMIC_SEGMENT:
            entries += struct.iter_unpack("<QQ", content[offset : offset + length // 16 * 16])
    places = [value for tag, value in entries if tag == _STRINGS]
    if not places:
        return Elf(machine, (), ())
    starts = [
        places[0] - address + offset
        for kind, _, offset, address, _, length in segments
        if kind == _LOADED_SEGMENT and address <= places[0] < address + length
    ]
    if not starts:
        raise ValueError("its table of strings is not in the file")
    start = starts[0]

    def text(at: int) -> str:
        return content[start + at : content.index(b"\0", start + at)].decode(errors="replace")

    paths = ":".join(text(value) for tag, value in entries if tag in (_RPATH, _RUNPATH))
    folders = [
        Path(entry.replace("${ORIGIN}", str(folder)).replace("$ORIGIN", str(folder)))
        for entry in paths.split(":")
        if entry
    ]
    needed = [text(value) for tag, value in entries if tag == _NEEDED]
    return Elf(machine, tuple(needed), tuple(folders))


def readable(path: Path) -> bool:
    """Whether a library can be read as one of this system; only Linux's are read here."""
    return not sys.platform.startswith("linux") or read(path) is not None


def foreign(path: Path) -> str:
    """Name the platform that a program is for if it is not this one; otherwise empty.

    A file that is neither an executable nor a library, such as a script, fits every platform.
    """
    try:
        with path.open("rb") as file:
            begin = file.read(20)
    except OSError:
        return ""
    if begin[:4] == b"\x7fELF" and len(begin) == 20 and begin[4] in (1, 2):
        (machine,) = struct.unpack_from("<H", begin, 18)
        kind = _MACHINES.get(machine, f"processor {machine}")
        if not sys.platform.startswith("linux"):
            return f"Linux on {kind}"
        return "" if _own_machine() in (None, machine) else f"Linux on {kind}"
    for magic, name in _NAMES.items():
        native = {"Windows": "win32", "macOS": "darwin"}[name]
        if begin.startswith(magic) and sys.platform != native:
            return name
    return ""


@cache
def _own_machine() -> int | None:
    own = read(Path(sys.executable))
    return own.machine if own else None
