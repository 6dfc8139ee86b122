"""Messages of compilers and compiled programs, with the user's own names of files.

A program is compiled from a copy in a scratch folder, which is gone when the user reads the
messages. stanc and a running program name the copies; g++ names the C++ code that stanc made, and
the statements in it say which line of the program they come from.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

_PLACE = re.compile(r"'([^'\n]*)'(?=, line \d+)")
_SCRATCH = re.compile(r"^(.*/building-\w+/)?(\./)*")
_ALSO_SCRATCH = re.compile(r"[^\s'\":]*/building-\w+/")
_COMPLAINT = re.compile(
    r"\b[Ee]rror\b|Semantic|Syntax|undefined reference|cannot find -l|multiple definition"
)
_CPP = re.compile(r"^(\S*/)?(\w+\.hpp):(\d+):(\d+:)? (?:fatal )?error: (.*)$", re.MULTILINE)
_STATEMENT = re.compile(r"current_statement(?:_begin)?__ = (\d+);")
_LOCATION = re.compile(r'" \((found before start of program|in .*?)\)"', re.DOTALL)
_MOST_LINES = 12


def with_users_names(message: str, main: str, shown: Mapping[str, str]) -> str:
    """Return a message of stanc or of a running program with the user's names of files.

    Parameters
    ----------
    message : str
        The message; it names files as in ``'model.stan', line 5``.
    main : str
        The user's name of the program itself. It replaces every unknown name, because a compiled
        program may have been made from a copy with another name.
    shown : mapping of str to str
        The user's names of the included files, by the names of their copies.
    """
    known = set(shown.values())
    shown = {_SCRATCH.sub("", name): called for name, called in shown.items()}

    def users(match: re.Match[str]) -> str:
        name = match[1]
        return f"'{name if name in known else shown.get(_SCRATCH.sub('', name), main)}'"

    return _ALSO_SCRATCH.sub("", _PLACE.sub(users, message))


def first_complaint(name: str, output: str, scratch: Path | None = None) -> str:
    """Return the important part of a compiler's output, on few lines.

    Parameters
    ----------
    name : str
        The program that does not compile.
    output : str
        The whole output of make.
    scratch : Path, optional
        The folder of the C++ code that stanc made: an error in it is traced to the program's line.
    """
    lines = [line for line in re.split(r"\s*\n|(?=make\S*: \*\*\*)", output) if line.strip()]
    chatter = re.compile(r"make(\[\d+\])?:|Command \[")
    lines = [line for line in lines if not chatter.match(line)] or lines
    first = next((i for i, line in enumerate(lines) if _COMPLAINT.search(line)), None)
    chosen = lines[-_MOST_LINES:] if first is None else lines[first : first + _MOST_LINES]
    chosen = [line for line in chosen if "exited with code" not in line]
    origin = _origin(output, scratch) if scratch is not None else None
    if origin is not None:
        chosen.insert(0, origin)
    return f"{name} does not compile:\n" + "\n".join(chosen)


def _origin(output: str, scratch: Path) -> str | None:
    """Return a line that says which line of the program the first error of g++ comes from."""
    error = next((m for m in _CPP.finditer(output) if (scratch / m[2]).is_file()), None)
    if error is None:
        return None
    text = (scratch / error[2]).read_text(encoding="utf-8", errors="replace")
    locations = [match[1] for match in _LOCATION.finditer(text)]
    above = "\n".join(text.split("\n")[: int(error[3])])
    statements = [int(number) for number in _STATEMENT.findall(above)]
    if not statements or statements[-1] >= len(locations):
        return None
    place = locations[statements[-1]].removeprefix("in ").replace("\\n", "\n")
    return f"C++ error in {place}: {error[5]}"
