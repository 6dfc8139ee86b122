"""What the parts of a run hold of one engine: read, and checked against one another."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from manymodes.density.posterior import Posterior
from manymodes.errors import InputError, ResultsError
from manymodes.runtime.parts import Part
from manymodes.runtime.storage import (
    ASKED,
    SETTINGS,
    VERSIONS,
    deciding,
    kept_part,
    read_arrays,
    read_json,
    short,
)
from manymodes.sampling.chains.chain_files import record_file, record_numbers
from manymodes.sampling.chains.chains import IN_SETTINGS
from manymodes.sampling.chains.samplers import CMDSTAN, DECISIVE
from manymodes.sampling.claims import (
    FAILURES,
    is_count,
    joined_versions,
    read_claim,
    read_failures,
    wanted_of,
)
from manymodes.sampling.nested.run_files import BASE, PRIOR, owner_of, read_base
from manymodes.sampling.nested.run_files import run_file as nested_file
from manymodes.sampling.nested.run_files import run_numbers as nested_numbers
from manymodes.sampling.tempered.run_files import run_file as tempered_file
from manymodes.sampling.tempered.run_files import run_numbers as tempered_numbers
from manymodes.sampling.tempered.run_files import without_times

_BELONGS = "belongs_to"

Arrays = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Engine:
    """How an engine keeps its chains or runs.

    Attributes
    ----------
    name : str
        Of its folder in a run directory.
    one : str
        What messages call one of them.
    numbers : callable
        Returns the numbers of those that a folder keeps.
    file : callable
        Returns the file of one, given the folder and the number.
    shared : tuple of str
        Files beside them that all parts have in common.
    timeless : callable
        Returns the arrays of one without what says how long it took.
    command : str
        The command that runs what is missing.
    """

    name: str
    one: str
    numbers: Callable[[Path], list[int]]
    file: Callable[[Path, int], Path]
    shared: tuple[str, ...]
    timeless: Callable[[Arrays], Arrays]
    command: str

    def decisive(self, settings: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the parts of the toolchain whose version the draws depend on."""
        if self.name == CHAINS.name:
            return tuple(DECISIVE.get(settings.get("sampler", CMDSTAN), ()))
        return ("bridge",) if self.name == TEMPERED.name else ("polychord", "bridge")


def _without_seconds(arrays: Arrays) -> Arrays:
    return {k: v for k, v in arrays.items() if k not in ("seconds", "sampling_seconds", "resumed")}


_OF_BASE = (BASE, PRIOR)
CHAINS = Engine("chains", "chain", record_numbers, record_file, (), _without_seconds, "sample")
NESTED = Engine(
    "nested", "nested run", nested_numbers, nested_file, _OF_BASE, _without_seconds, "evidence"
)
TEMPERED = Engine(
    "tempered", "tempered run", tempered_numbers, tempered_file, _OF_BASE, without_times, "evidence"
)
ENGINES = (CHAINS, NESTED, TEMPERED)


@dataclass(frozen=True)
class Source:
    """A folder that holds chains or runs of one engine.

    Attributes
    ----------
    engine : Engine
        Whose.
    out : Path
        The run directory of the part.
    settings : dict
        What the folder is bound to.
    part : Part or None
        Which part of the run it was asked for; None for the whole run.
    numbers : list of int
        Those that it holds, of those that it was asked for.
    failures : dict
        The message of each that failed, by number.
    owner : str
        What every file says that it belongs to, before its number.
    """

    engine: Engine
    out: Path
    settings: dict[str, Any]
    part: Part | None
    numbers: list[int]
    failures: dict[int, str]
    owner: str

    @property
    def folder(self) -> Path:
        """Where they are."""
        return self.out / self.engine.name

    @property
    def versions(self) -> list[dict[str, Any]]:
        """Which programs made them."""
        return versions_in(self.settings)

    def read(self, number: int) -> Arrays:
        """Return what the file of one holds, every byte checked.

        Raises
        ------
        ResultsError
            The file is damaged, or belongs to another run.
        """
        return read_member(self.engine, self.folder, number, self.owner)


@dataclass(frozen=True)
class EngineParts:
    """What the parts of a run hold of one engine, checked against one another.

    Attributes
    ----------
    engine : Engine
        Which.
    sources : tuple of Source
        The folders, one or more.
    versions : list of dict
        Which programs made the draws.
    """

    engine: Engine
    sources: tuple[Source, ...]
    versions: list[dict[str, Any]]

    @property
    def settings(self) -> dict[str, Any]:
        """What all folders are bound to."""
        return deciding(self.sources[0].settings)

    @property
    def asked(self) -> int:
        """How many chains or runs the whole run has."""
        return int(self.sources[0].settings[ASKED])

    @property
    def owner(self) -> str:
        """What every file says that it belongs to, before its number."""
        return next((one.owner for one in self.sources if one.numbers), self.sources[0].owner)

    @cached_property
    def holders(self) -> dict[int, Source]:
        """Where each is copied from, by number: the first folder that holds it."""
        found: dict[int, Source] = {}
        for source in self.sources:
            for number in source.numbers:
                found.setdefault(number, source)
        return dict(sorted(found.items()))

    def check_twice(self) -> None:
        """Refuse what two parts hold with different draws.

        Raises
        ------
        ResultsError
            There is such a chain or run.
        """
        for source in self.sources:
            for number in source.numbers:
                if self.holders[number] is not source:
                    self.refuse_different(number, source.folder)

    def refuse_different(self, number: int, other: Path) -> None:
        """Refuse a chain or run that has other draws in another folder than here.

        Raises
        ------
        ResultsError
            It has.
        """
        first = self.holders[number]
        ours, theirs = (
            self.engine.timeless(arrays)
            for arrays in (
                first.read(number),
                read_member(self.engine, other, number, self.owner),
            )
        )
        differs = next(_differences(ours, theirs), None)
        if differs is not None:
            raise ResultsError(
                f"{self.engine.one} {number} is in {self.engine.file(first.folder, number)} and in "
                f"{self.engine.file(other, number)}, and the two differ ('{differs}'): leave one "
                "of the two directories out"
            )

    def shared_files(self) -> dict[str, Path]:
        """Return the files that all parts have in common, of the first that has them, by name."""
        found: dict[str, Path] = {}
        for source in self.sources:
            for name in self.engine.shared:
                if source.numbers and (source.folder / name).is_file():
                    found.setdefault(name, source.folder / name)
        return found

    def missing_text(self, out: Path, ended: set[int]) -> str:
        """Return the one line that says what is missing, by part."""
        missing = [number for number in range(self.asked) if number not in ended]
        counts = {one.part.parts if one.part is not None else 1 for one in self.sources}
        parts = counts.pop() if len(counts) == 1 else 1
        given = {one.part.number for one in self.sources if one.part is not None}
        said = []
        for number in range(1, parts + 1):
            lost = [i for i in missing if i in Part(number, parts).numbers(self.asked)]
            spans = _spans(lost, self.engine.one)
            if lost and parts == 1:
                said.append(spans)
            elif lost:
                state = "" if number in given else "not given, "
                said.append(f"part {number} of {parts} ({state}{spans})")
        shown = ", ".join(said[:_MOST_NAMED])
        if len(said) > _MOST_NAMED:
            shown += f" and {len(said) - _MOST_NAMED} more parts"
        again = "run these and merge with --resume" if parts > 1 else "merge more parts"
        return (
            f"{out}: {len(missing)} of {self.asked} {self.engine.one}s are missing: {shown}; "
            f"{again}, or complete the run with manymodes {self.engine.command} --resume "
            f"--out {out}"
        )


def engine_parts(
    engine: Engine, folders: Sequence[Path], posterior: Posterior, *, other_versions: bool
) -> EngineParts | None:
    """Return what the parts of a run hold of an engine; None if nothing.

    Parameters
    ----------
    engine : Engine
        Which.
    folders : sequence of Path
        The run directories.
    posterior : Posterior
        What they sample.
    other_versions : bool
        Accept draws of different versions of the sampler.

    Raises
    ------
    InputError
        A part is of another run than the others, or of other versions.
    ResultsError
        A file is damaged, or of another posterior.
    """
    begun = [one for one in folders if (one / engine.name / SETTINGS).is_file()]
    if not begun:
        return None
    sources = tuple(_source(engine, one, posterior) for one in begun)
    for other in sources[1:]:
        _refuse_other_run(sources[0], other)
    with_draws = [one for one in sources if one.numbers]
    for other in with_draws[1:]:
        _refuse_other_base(with_draws[0], other)
    versions = joined_versions(
        [(str(one.out), one.versions) for one in sources],
        engine.decisive(sources[0].settings),
        other_versions=other_versions,
    )
    return EngineParts(engine, sources, versions)


def _source(engine: Engine, out: Path, posterior: Posterior) -> Source:
    """Read what a part says of itself."""
    folder = out / engine.name
    checks = {ASKED: is_count, "seed": _is_seed}
    if engine is CHAINS:
        checks |= IN_SETTINGS
    settings, owner = read_claim(folder, posterior.identity, checks)
    wanted, due = wanted_of(settings, engine.numbers(folder), folder)
    owner = owner_in(engine, folder, owner, posterior)
    failures = read_failures(folder / FAILURES, due)
    part = kept_part(settings, folder / SETTINGS)
    return Source(engine, out, settings, part, wanted, failures, owner)


def owner_in(engine: Engine, folder: Path, name: str, posterior: Posterior) -> str:
    """Return what the files of a folder say that they belong to, before their number.

    Parameters
    ----------
    engine : Engine
        Whose files they are.
    folder : Path
        Their folder.
    name : str
        Of the run.
    posterior : Posterior
        What was sampled.

    Raises
    ------
    ResultsError
        The base measure in the folder is damaged.
    """
    if BASE in engine.shared and (folder / BASE).is_file():
        return owner_of(name, read_base(folder, posterior.dims))
    return name


def _is_seed(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def versions_in(settings: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the versions that the settings of a folder record."""
    kept = settings.get(VERSIONS)
    return kept if isinstance(kept, list) and all(isinstance(v, dict) for v in kept) else []


def read_member(engine: Engine, folder: Path, number: int, owner: str) -> Arrays:
    """Return what the file of one chain or run holds, every byte checked.

    Raises
    ------
    ResultsError
        The file is damaged, or belongs to another run.
    """
    path = engine.file(folder, number)
    arrays = read_arrays(path, _BELONGS)
    if str(arrays[_BELONGS]) != f"{owner}/{number}":
        raise ResultsError(
            f"{path} belongs to another run or {engine.one}, as the settings beside it have it: "
            "restore what was edited, or make this part anew"
        )
    return arrays


def _refuse_other_run(first: Source, other: Source) -> None:
    """Refuse a part of a run with other settings, or of another number of chains."""
    ours, theirs = (deciding(one.settings) for one in (first, other))
    number = f"number of {first.engine.one}s"
    ours[number], theirs[number] = first.settings[ASKED], other.settings[ASKED]
    differ = sorted(k for k in ours.keys() | theirs.keys() if ours.get(k) != theirs.get(k))
    if differ:
        what = ", ".join(f"{k} is {short(theirs.get(k))}, not {short(ours.get(k))}" for k in differ)
        raise InputError(
            f"{other.out} is part of another run than {first.out} ({what}): merge the parts of "
            "one run"
        )


def _refuse_other_base(first: Source, other: Source) -> None:
    """Refuse runs over another base measure, or with another integral of the prior."""
    if other.owner != first.owner:
        raise InputError(
            f"{other.folder / BASE} is another base measure than {first.folder / BASE}: runs of "
            "the two cannot be merged; give all parts the same, with --reference prior or a file"
        )
    for name in first.engine.shared:
        ours, theirs = first.folder / name, other.folder / name
        if name == BASE or not (ours.is_file() and theirs.is_file()):
            continue
        if read_json(ours) != read_json(theirs):
            raise InputError(f"{theirs} and {ours} differ: the two parts are not of one run")


def _differences(ours: Arrays, theirs: Arrays) -> Iterator[str]:
    """Yield the names of the arrays that differ in a bit."""
    for name in sorted(ours.keys() | theirs.keys()):
        if name not in ours or name not in theirs:
            yield name
            continue
        left, right = np.asarray(ours[name]), np.asarray(theirs[name])
        alike = left.dtype == right.dtype and left.shape == right.shape
        if not alike or left.tobytes() != right.tobytes():
            yield name


_MOST_NAMED = 4


def _spans(numbers: Sequence[int], one: str) -> str:
    """Return numbers in words: ``chains 3, 5 to 9``."""
    spans: list[list[int]] = []
    for number in numbers:
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    said = [str(a) if a == b else f"{a} to {b}" for a, b in spans[:_MOST_NAMED]]
    if len(spans) > _MOST_NAMED:
        said.append("...")
    return f"{one}{'s' if len(numbers) > 1 else ''} {', '.join(said)}"
