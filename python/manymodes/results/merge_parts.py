"""Parts of a run of chains, made by jobs that share nothing, put together into one run.

A chain depends on the seed of the run and on its own number, and its file names the run. So the
chains of a part are those of the whole run. Merging checks that all parts are of one run, and
copies.
"""

from __future__ import annotations

import shutil
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from manymodes.density.posterior import Posterior
from manymodes.errors import InputError, ResultsError, StrayFileWarning, UnfinishedWarning
from manymodes.results.our_files import DESCRIBED, POSTERIOR, posterior_files
from manymodes.results.run_directory import open_posterior, save_posterior, write_chains
from manymodes.runtime.parts import Part
from manymodes.runtime.printed import LOG, printing_to
from manymodes.runtime.storage import (
    ASKED,
    SETTINGS,
    VERSIONS,
    atomic,
    claim,
    deciding,
    ensure_folder,
    held_folder,
    kept_part,
    leads_out,
    read_json,
    run_name,
    short,
    sweep_partials,
    write_json,
)
from manymodes.sampling.chains.chain_files import (
    Record,
    read_record,
    record_file,
    record_numbers,
    set_damaged_aside,
    write_record,
)
from manymodes.sampling.chains.chains import IN_SETTINGS, Chains, read_chains
from manymodes.sampling.chains.samplers import CMDSTAN, DECISIVE
from manymodes.sampling.claims import (
    FAILURES,
    is_count,
    joined_versions,
    read_claim,
    read_failures,
    wanted_of,
    write_failures,
)

_CHAINS = "chains"
_TIMES = {"seconds", "sampling_seconds"}
_MOST_NAMED = 4


@dataclass(frozen=True)
class Source:
    """A directory that holds chains of the run.

    Attributes
    ----------
    out : Path
        The directory.
    settings : dict
        What its chains are bound to.
    part : Part or None
        Which part of the run it was asked for; None for the whole run.
    numbers : list of int
        The chains that it holds, of those that it was asked for.
    failures : dict
        The message of each that failed, by number.
    """

    out: Path
    settings: dict[str, Any]
    part: Part | None
    numbers: list[int]
    failures: dict[int, str]

    @property
    def folder(self) -> Path:
        """Where its chains are."""
        return self.out / _CHAINS

    @property
    def versions(self) -> list[dict[str, Any]]:
        """Which programs made its chains."""
        return _versions_in(self.settings)


@dataclass(frozen=True, eq=False)
class Parts:
    """The parts of one run, checked against one another and only read.

    Attributes
    ----------
    posterior : Posterior
        What they sample.
    sources : tuple of Source
        The directories.
    versions : list of dict
        Which programs made their chains.
    described : Path or None
        A folder with the posterior's program and data, as a run keeps it.
    """

    posterior: Posterior
    sources: tuple[Source, ...]
    versions: list[dict[str, Any]]
    described: Path | None

    @property
    def asked(self) -> int:
        """How many chains the whole run has."""
        return int(self.sources[0].settings[ASKED])

    @property
    def seed(self) -> int:
        """The seed of the run."""
        return int(self.sources[0].settings["seed"])

    @property
    def name(self) -> str:
        """What tells the run from any other."""
        return run_name(self.sources[0].settings)

    @cached_property
    def holders(self) -> dict[int, Source]:
        """Where each chain is copied from, by number: the first directory that holds it."""
        found: dict[int, Source] = {}
        for source in self.sources:
            for number in source.numbers:
                found.setdefault(number, source)
        return dict(sorted(found.items()))

    def check_twice(self) -> None:
        """Refuse chains that two parts have with different draws.

        Raises
        ------
        ResultsError
            There is such a chain.
        """
        for source in self.sources:
            for number in source.numbers:
                first = self.holders[number]
                if first is not source:
                    _refuse_different(number, first.folder, source.folder, self.name)

    def put_together(
        self, out: Path, *, resume: bool = False, other_versions: bool = False, quiet: bool = False
    ) -> Chains:
        """Write the run, whose missing chains `sample --resume` runs; return its chains.

        A run that was written half, because something killed this, is an unfinished run.

        Parameters
        ----------
        out : Path
            The directory.
        resume : bool
            Add to the run that it holds what this lacks.
        other_versions : bool
            With ``resume``: also if another version of the sampler made the chains in it.
        quiet : bool
            Do not say that the log likelihood is left out.

        Raises
        ------
        InputError
            ``out`` holds results, and not those to go on with, or cannot be written.
        ResultsError
            A chain in it has other draws than in a part; or a file is damaged.
        SamplingError
            No part has a finished chain.
        StorageError
            The disk is full; what was written stays.
        """
        folder = out.resolve() / _CHAINS
        with printing_to(out.resolve() / LOG), held_folder(folder):
            self._begin(out, folder, resume=resume, other_versions=other_versions)
            self._copy_chains(folder)
            chains = read_chains(self.posterior, folder)
        if not write_chains(chains, out) and not quiet:
            print("manymodes: chains.nc leaves log_likelihood out: it is large", file=sys.stderr)
        if chains.unfinished is not None:
            text = self._missing_text(out, {*chains.index.tolist(), *chains.failures})
            warnings.warn(text, UnfinishedWarning, stacklevel=3)
        return chains

    def _begin(self, out: Path, folder: Path, *, resume: bool, other_versions: bool) -> None:
        """Bind the directory to the run, and keep the posterior with it."""
        path = folder / SETTINGS
        settings = self.sources[0].settings
        before = read_json(path) if resume and path.exists() else {}
        asked = before.get(ASKED, 0)
        if not is_count(asked):
            asked = self.asked
        kept = joined_versions(
            [(str(out), _versions_in(before)), (str(self.sources[0].out), self.versions)],
            _decisive(settings),
            other_versions=other_versions,
        )
        claim(folder, deciding(settings), resume=resume, asked=max(asked, self.asked))
        sweep_partials(folder)
        bound = read_json(path)
        if kept and bound.get(VERSIONS) != kept:
            write_json(path, {**bound, VERSIONS: kept})
        target = out / POSTERIOR
        if (target / DESCRIBED).is_file():
            return
        if self.described is None:
            save_posterior(self.posterior, target)
        else:
            _copy_posterior(self.described, target)

    def _copy_chains(self, folder: Path) -> None:
        """Copy the chains that a folder lacks, and the messages of those that failed."""
        name, asked = self.name, int(read_json(folder / SETTINGS)[ASKED])
        model = self.posterior.model
        shape = (int(model.param_num(include_tp=True)), self.posterior.dims)
        there = set(record_numbers(folder))
        there -= set(set_damaged_aside(folder, sorted(there), name, shape))
        for number, source in self.holders.items():
            if number in there:
                _refuse_different(number, folder, source.folder, name)
            else:
                record = read_record(source.folder, number, name, shape)
                write_record(folder, number, record, name)
        failures = read_failures(folder / FAILURES, range(asked))
        for source in self.sources:
            failures = {**source.failures, **failures}
        done = there | self.holders.keys()
        write_failures(folder, {n: failures[n] for n in sorted(failures) if n not in done})

    def _missing_text(self, out: Path, ended: set[int]) -> str:
        """Return the one line that says which chains are missing, by part."""
        missing = [number for number in range(self.asked) if number not in ended]
        counts = {one.part.parts if one.part is not None else 1 for one in self.sources}
        parts = counts.pop() if len(counts) == 1 else 1
        given = {one.part.number for one in self.sources if one.part is not None}
        said = []
        for number in range(1, parts + 1):
            lost = [i for i in Part(number, parts).numbers(self.asked) if i in missing]
            if lost and parts == 1:
                said.append(_spans(lost))
            elif lost:
                state = "" if number in given else "not given, "
                said.append(f"part {number} of {parts} ({state}{_spans(lost)})")
        shown = ", ".join(said[:_MOST_NAMED])
        if len(said) > _MOST_NAMED:
            shown += f" and {len(said) - _MOST_NAMED} more parts"
        again = "run them again and merge with --resume" if parts > 1 else "merge more parts"
        return (
            f"{out}: {len(missing)} of {self.asked} chains are missing: {shown}: {again}, or "
            f"complete the run with manymodes sample --resume --out {out}"
        )


def merge_runs(
    parts: Sequence[Path | str],
    out: Path | str,
    *,
    posterior: Posterior | None = None,
    resume: bool = False,
    other_versions: bool = False,
    quiet: bool = False,
) -> Chains:
    """Put the parts of a run of chains together into one run.

    Parameters
    ----------
    parts : sequence of paths
        The run directories of `run_chains` with a ``part``, or of ``sample --part``. They are
        only read. The same part may be given twice, and parts may be missing.
    out : path
        The run directory to write. It is then as if one run had made all chains, bit for bit.
    posterior : Posterior, optional
        What was sampled; by default what a part keeps, as those of the command line do.
    resume : bool
        Go on with the run that ``out`` holds, and add what it lacks.
    other_versions : bool
        Put chains together although different versions of the sampler made them.
    quiet : bool
        Show no progress.

    Returns
    -------
    Chains
        Those that finished, of all parts.

    Raises
    ------
    InputError
        A directory is no part, or of another run than the others, or of other versions; or
        ``out`` holds results already.
    ResultsError
        Two parts have the same chain with different draws, or a file is damaged.
    SamplingError
        No part has a finished chain.
    StorageError
        The disk is full; what was written stays.

    Warns
    -----
    UnfinishedWarning
        Chains are missing; the message says which, by part.

    Examples
    --------
    >>> # model.stan, data.json: the mean of five normal observations
    >>> posterior = mm.Posterior.from_files("model.stan", "data.json")
    >>> given = {"chains": 4, "nuts": mm.NutsSettings(warmup=200, draws=100), "quiet": True}
    >>> for k in (1, 2):
    ...     part = mm.run_chains(posterior, part=(k, 2), out=f"part-{k}", **given)
    >>> part.index
    array([2, 3])
    >>> mm.merge_runs(["part-1", "part-2"], "merged", posterior=posterior).index
    array([0, 1, 2, 3])
    """
    found = read_parts(parts, posterior, other_versions=other_versions, quiet=quiet)
    check_target(found, Path(out))
    found.check_twice()
    return found.put_together(Path(out), resume=resume, other_versions=other_versions, quiet=quiet)


def read_parts(
    parts: Sequence[Path | str],
    posterior: Posterior | None = None,
    *,
    other_versions: bool = False,
    quiet: bool = False,
) -> Parts:
    """Return the parts of a run, after a check that they are of one.

    Parameters
    ----------
    parts, posterior, other_versions, quiet
        As in `merge_runs`.

    Raises
    ------
    InputError
        A directory is no part, or of another run than the others, or of other versions.
    ResultsError
        A file is damaged.
    """
    if isinstance(parts, str | Path) or not parts:
        raise InputError("parts: give the directories of the parts, one or more")
    folders = list(dict.fromkeys(Path(one) for one in parts))
    begun = [folder for folder in folders if _is_begun(folder)]
    if not begun:
        raise InputError(
            f"{folders[0]} holds no chains: give the directories of sample --part K/N --out ..."
        )
    described = next((p for f in begun if (p := f / POSTERIOR).joinpath(DESCRIBED).is_file()), None)
    if posterior is None:
        if described is None:
            raise InputError(
                f"{begun[0]} keeps no posterior, nor does another part, because none was finished: "
                "run one of them to its end with --resume"
            )
        posterior = open_posterior(described)
    posterior.compile(quiet=quiet)
    sources = tuple(_source(folder, posterior) for folder in begun)
    for other in sources[1:]:
        _refuse_other_run(sources[0], other)
    _refuse_other_kernel(begun)
    versions = joined_versions(
        [(str(one.out), one.versions) for one in sources],
        _decisive(sources[0].settings),
        other_versions=other_versions,
    )
    return Parts(posterior, sources, versions, described)


def check_target(found: Parts, out: Path) -> None:
    """Refuse to write into a part.

    Raises
    ------
    InputError
        The directory is one of the parts.
    """
    for source in found.sources:
        if source.out.resolve() == out.resolve():
            raise InputError(f"--out: {out} is one of the parts, which are only read: name another")


def _is_begun(folder: Path) -> bool:
    """Whether a part has begun; a warning names one that has not."""
    if not folder.is_dir():
        raise InputError(f"{folder}: no such directory of a part")
    if (folder / _CHAINS / SETTINGS).is_file():
        return True
    text = f"{folder} holds no chains of a run, and is left out"
    warnings.warn(text, StrayFileWarning, stacklevel=4)
    return False


def _source(out: Path, posterior: Posterior) -> Source:
    """Read what a part says of itself."""
    folder = out / _CHAINS
    checks = {**IN_SETTINGS, ASKED: is_count, "seed": _is_seed}
    settings, _ = read_claim(folder, posterior.identity, checks)
    wanted, due = wanted_of(settings, record_numbers(folder), folder)
    failures = read_failures(folder / FAILURES, due)
    return Source(out, settings, kept_part(settings, folder / SETTINGS), wanted, failures)


def _is_seed(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _refuse_other_run(first: Source, other: Source) -> None:
    """Refuse a part of a run with other settings, or of another number of chains."""
    ours, theirs = (deciding(one.settings) for one in (first, other))
    ours[_CHAINS], theirs[_CHAINS] = first.settings[ASKED], other.settings[ASKED]
    differ = sorted(k for k in ours.keys() | theirs.keys() if ours.get(k) != theirs.get(k))
    if differ:
        what = ", ".join(f"{k} is {short(theirs.get(k))}, not {short(ours.get(k))}" for k in differ)
        raise InputError(
            f"{other.out} is part of another run than {first.out} ({what}): merge the parts of "
            "one run"
        )


def _refuse_other_kernel(folders: Sequence[Path]) -> None:
    """Refuse parts with the kernel and without it: they agree but for rounding, which spreads."""
    found = {
        folder: bool(read_json(path).get("kernel", True))
        for folder in folders
        if (path := folder / POSTERIOR / DESCRIBED).is_file()
    }
    if len(set(found.values())) > 1:
        first = next(iter(found))
        other = next(folder for folder, kernel in found.items() if kernel != found[first])
        without, beside = (other, first) if found[first] else (first, other)
        raise InputError(
            f"{without} was run with --no-kernel and {beside} was not: run all parts alike"
        )


def _decisive(settings: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the parts of the toolchain whose version the draws depend on."""
    return tuple(DECISIVE.get(settings.get("sampler", CMDSTAN), ()))


def _versions_in(settings: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the versions that the settings of a folder record."""
    kept = settings.get(VERSIONS)
    return kept if isinstance(kept, list) and all(isinstance(v, dict) for v in kept) else []


def _refuse_different(number: int, first: Path, other: Path, name: str) -> None:
    """Refuse a chain that has other draws in one folder of chains than in another."""
    ours, theirs = (read_record(folder, number, name) for folder in (first, other))
    differs = next(_differences(ours, theirs), None)
    if differs is not None:
        raise ResultsError(
            f"chain {number} is in {record_file(first, number)} and in "
            f"{record_file(other, number)}, and the two differ ('{differs}'): leave one of the "
            "two directories out"
        )


def _differences(one: Record, other: Record) -> Iterator[str]:
    """Yield the names of what differs between two records of a chain, times aside."""
    ours, theirs = (
        {**{f.name: getattr(r, f.name) for f in fields(r) if f.name != "stats"}, **r.stats}
        for r in (one, other)
    )
    for name in sorted((ours.keys() | theirs.keys()) - _TIMES):
        if name not in ours or name not in theirs:
            yield name
        elif ours[name] is None or theirs[name] is None:
            if ours[name] is not theirs[name]:
                yield name
        else:
            left, right = np.asarray(ours[name]), np.asarray(theirs[name])
            exact = left.dtype == right.dtype and left.shape == right.shape
            if not exact or left.tobytes() != right.tobytes():
                yield name


def _copy_posterior(source: Path, target: Path) -> None:
    """Copy the files that a run keeps of its posterior, as they are; its description at last."""
    ensure_folder(target)
    paths = sorted(posterior_files(source), key=lambda path: path.name == DESCRIBED)
    for path in paths:
        copy = target / path.relative_to(source)
        if leads_out(path, source) or leads_out(copy.parent, target):
            raise ResultsError(
                f"{path} is a link that leads out of its folder: put the file itself there"
            )
        copy.parent.mkdir(parents=True, exist_ok=True)
        with atomic(copy) as partial:
            shutil.copyfile(path, partial)


def _spans(numbers: Sequence[int]) -> str:
    """Return numbers of chains in words: ``chains 3, 5 to 9``."""
    spans: list[list[int]] = []
    for number in numbers:
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    said = [str(a) if a == b else f"{a} to {b}" for a, b in spans[:_MOST_NAMED]]
    if len(spans) > _MOST_NAMED:
        said.append("...")
    return f"chain{'s' if len(numbers) > 1 else ''} {', '.join(said)}"
