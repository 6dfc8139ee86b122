"""What a folder of chains or nested runs is bound to, as its ``settings.json`` says.

The settings of its run, which decide every draw; how many chains or runs were asked for, which
may change; and the versions of the programs that made the draws.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from manymodes._version import __version__
from manymodes.errors import InputError, ResultsError, UnfinishedWarning, VersionsWarning
from manymodes.runtime.storage import (
    ASKED,
    SETTINGS,
    VERSIONS,
    kept_part,
    read_json,
    run_name,
    short,
    write_json,
)
from manymodes.toolchain import find

FAILURES = "failures.json"
"""The messages of the chains or runs that failed, by number."""


@dataclass(frozen=True)
class ClaimedFolder:
    """A folder of chains or nested runs, and which of them count.

    Attributes
    ----------
    settings : dict
        What the folder is bound to.
    run : str
        The name of its run, which every file in it repeats.
    numbers : list of int
        The chains or runs that are finished, of those that were asked for.
    due : range
        The numbers of those that were asked for.
    failures : dict
        The message of each that failed, by number.
    """

    settings: dict[str, Any]
    run: str
    numbers: list[int]
    due: range
    failures: dict[int, str]

    @property
    def unfinished(self) -> tuple[int, int] | None:
        """Of a run that was interrupted: how many finished, and how many were asked for."""
        missing = set(self.due) - set(self.numbers) - self.failures.keys()
        return (len(self.numbers), len(self.due)) if missing else None


def claimed_folder(
    folder: Path,
    identity: Mapping[str, str],
    checks: Mapping[str, Callable[[Any], bool]],
    numbers: Collection[int],
) -> ClaimedFolder:
    """Return what a folder of chains or nested runs says of itself.

    Parameters
    ----------
    folder, identity, checks
        As in `read_claim`.
    numbers : collection of int
        The chains or runs whose files it holds.

    Raises
    ------
    ResultsError
        A file is missing or damaged, or of another posterior.
    """
    settings, run = read_claim(folder, identity, checks)
    wanted, due = wanted_of(settings, numbers, folder)
    return ClaimedFolder(settings, run, wanted, due, read_failures(folder / FAILURES, due))


def read_claim(
    folder: Path, identity: Mapping[str, str], checks: Mapping[str, Callable[[Any], bool]]
) -> tuple[dict[str, Any], str]:
    """Return the settings that a folder is bound to, and the name of its run.

    Parameters
    ----------
    folder : Path
        Of chains or nested runs.
    identity : mapping
        Of the posterior that they must be of (`Posterior.identity`).
    checks : mapping
        What is read of the settings, and whether a value can be true.

    Raises
    ------
    ResultsError
        The file is missing or damaged, or of another posterior.
    """
    path = folder / SETTINGS
    settings = read_json(path)
    for key, allowed in checks.items():
        if key not in settings or not allowed(settings[key]):
            what = "is missing" if key not in settings else f"cannot be {short(settings[key])}"
            raise ResultsError(f"{path} is damaged ('{key}' {what}): restore it, or run anew")
    asked = settings.get(ASKED)
    if asked is not None and not is_count(asked):
        raise ResultsError(f"{path} is damaged ('{ASKED}' cannot be {short(asked)})")
    for key, value in identity.items():
        if settings.get(key) != value:
            raise ResultsError(
                f"{path} is of another {key} than the run's posterior: the draws beside it do not "
                "belong to this run"
            )
    return settings, run_name(settings)


def is_count(value: Any) -> bool:
    """Whether a value read from a file is a whole number, 1 or more."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def is_number(value: Any) -> bool:
    """Whether a value read from a file is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def wanted_of(
    settings: Mapping[str, Any], numbers: Collection[int], folder: Path
) -> tuple[list[int], range]:
    """Return which chains or runs count, of those that a folder keeps, and which are asked for.

    A run that was made before their number was kept counts all of them.

    Raises
    ------
    ResultsError
        The settings say that the folder holds an impossible part of a run.
    """
    asked = settings.get(ASKED)
    if asked is None:
        asked = max(numbers, default=-1) + 1
    part = kept_part(settings, folder / SETTINGS)
    due = range(int(asked)) if part is None else part.numbers(int(asked))
    return sorted(number for number in numbers if number in due), due


def read_failures(path: Path, due: range) -> dict[int, str]:
    """Return the messages of the chains or runs that failed, by number, of those that are due.

    Raises
    ------
    ResultsError
        The file is damaged.
    """
    kept = read_json(path) if path.exists() else {}
    try:
        found = {int(number): str(text) for number, text in kept.items()}
    except ValueError as error:
        raise ResultsError(f"{path} is damaged ({error}): run again with --resume") from error
    return {number: text for number, text in found.items() if number in due}


def write_failures(folder: Path, failures: Mapping[int, str]) -> None:
    """Keep the messages of the chains or runs of a folder that failed, by number."""
    write_json(folder / FAILURES, {str(number): text for number, text in failures.items()})


def warn_unfinished(out: Path, unfinished: tuple[int, int] | None, what: str, command: str) -> None:
    """Warn of a run that holds fewer chains or nested runs than were asked for."""
    if unfinished is not None:
        finished, asked = unfinished
        warnings.warn(
            f"{out}: only {finished} of {asked} {what} are finished: figures are of those; "
            f"manymodes {command} --resume runs the others",
            UnfinishedWarning,
            stacklevel=3,
        )


def warn_part(out: Path, settings: Mapping[str, Any], what: str) -> None:
    """Warn of a run directory that holds a part of a run only."""
    part = kept_part(settings, out / SETTINGS)
    if part is not None:
        warnings.warn(
            f"{out} holds {part} of a run: figures are of its {what} alone; manymodes merge puts "
            "the parts together",
            UnfinishedWarning,
            stacklevel=3,
        )


# ------------------------------------------------------------------------------ versions


def versions(*parts: str) -> dict[str, str | None]:
    """Return the versions of manymodes and of some parts of the toolchain, or Python packages."""
    toolchain = find().as_dict()
    found: dict[str, str | None] = {"manymodes": __version__}
    for part in parts:
        if part in found:
            continue
        if part in toolchain:
            found[part] = toolchain[part]["version"]
        else:
            try:
                found[part] = metadata.version(part)
            except metadata.PackageNotFoundError:
                found[part] = None
    return found


def keep_versions(
    folder: Path,
    now: Mapping[str, str | None],
    decisive: Collection[str],
    *,
    begun: bool,
    other_versions: bool,
) -> None:
    """Record which programs make the draws of a claimed folder, before any is made.

    Parameters
    ----------
    folder : Path
        Of chains or nested runs.
    now : mapping
        The versions that are found (`versions`).
    decisive : collection of str
        The parts whose version the draws depend on.
    begun : bool
        Whether the folder holds draws already.
    other_versions : bool
        Go on, though a decisive part was another one.

    Warns
    -----
    VersionsWarning
        The draws that are there were made with other versions, or nobody knows with which.

    Raises
    ------
    InputError
        A decisive part was another one.
    """
    path = folder / SETTINGS
    settings = read_json(path)
    kept = settings.get(VERSIONS)
    earlier = kept if isinstance(kept, list) and all(isinstance(v, dict) for v in kept) else []
    if begun and not earlier:
        here = ", ".join(f"{part} {version}" for part, version in now.items())
        warnings.warn(
            f"{folder}: which versions made the draws that it holds was not recorded (manymodes "
            f"0.1.0 did not); it goes on with {here}, which is recorded now",
            VersionsWarning,
            stacklevel=3,
        )
    elif begun:
        last = earlier[-1]
        changed = [part for part in now if last.get(part, now[part]) != now[part]]
        if not changed:
            return
        what = ", ".join(f"{p} was {last.get(p) or 'none'}, is {now[p] or 'none'}" for p in changed)
        if not other_versions and set(changed) & set(decisive):
            raise InputError(
                f"{folder} was begun with other versions ({what}), whose draws are others: go on "
                "with those of then, choose another --out, or mix them with --resume "
                "--other-versions; what is finished is kept"
            )
        warnings.warn(
            f"{folder} was begun with other versions ({what}): it goes on, and both are recorded",
            VersionsWarning,
            stacklevel=3,
        )
    else:
        earlier = []
    write_json(path, {**settings, VERSIONS: [*earlier, dict(now)]})


def joined_versions(
    kept: Sequence[tuple[str, Sequence[Mapping[str, str | None]]]],
    decisive: Collection[str],
    *,
    other_versions: bool,
) -> list[dict[str, str | None]]:
    """Return which programs made the draws of several folders, which are put together.

    Parameters
    ----------
    kept : sequence of (str, sequence of mappings)
        What each folder is called, and what it recorded, the last program at last.
    decisive : collection of str
        The parts whose version the draws depend on.
    other_versions : bool
        Put them together, though a decisive part was another one.

    Warns
    -----
    VersionsWarning
        The draws were made with different versions.

    Raises
    ------
    InputError
        A decisive part was another one.
    """
    told = [(where, [dict(one) for one in versions]) for where, versions in kept if versions]
    joined: list[dict[str, str | None]] = []
    for where, versions in told:
        joined += [one for one in versions if one not in joined]
        first, one, other = told[0][0], told[0][1][-1], versions[-1]
        changed = sorted(p for p in one.keys() & other.keys() if one[p] != other[p])
        if not changed:
            continue
        what = ", ".join(
            f"{part} {other[part] or 'none'}, not {one[part] or 'none'}" for part in changed
        )
        said = f"{where} was made with other versions than {first} ({what})"
        if not other_versions and set(changed) & set(decisive):
            raise InputError(
                f"{said}, whose draws are others: make it again with those, or mix them with "
                "--other-versions"
            )
        text = f"{said}: they are put together, and both are recorded"
        warnings.warn(text, VersionsWarning, stacklevel=4)
    return joined
