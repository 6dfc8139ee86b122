"""Parts of a run, made by jobs that share nothing, put together into one run.

A chain depends on the seed of the run and on its own number, and its file names the run. So the
chains of a part are those of the whole run. Merging checks that all parts are of one run, and
copies. The same holds for nested and tempered runs.
"""

from __future__ import annotations

import shutil
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from manymodes.density.posterior import Posterior
from manymodes.errors import (
    InputError,
    ResultsError,
    SamplingError,
    StrayFileWarning,
    UnfinishedWarning,
)
from manymodes.results.our_files import DESCRIBED, POSTERIOR, posterior_files
from manymodes.results.part_folders import (
    CHAINS,
    ENGINES,
    NESTED,
    TEMPERED,
    EngineParts,
    engine_parts,
    owner_in,
    read_member,
    versions_in,
)
from manymodes.results.run_directory import (
    open_posterior,
    save_posterior,
    write_chains,
    write_nested,
    write_tempered,
)
from manymodes.runtime.printed import LOG, printing_to
from manymodes.runtime.storage import (
    ASKED,
    SETTINGS,
    VERSIONS,
    atomic,
    claim,
    ensure_folder,
    held_folder,
    leads_out,
    read_json,
    run_name,
    sweep_partials,
    write_arrays,
    write_json,
)
from manymodes.sampling.chains.chain_files import record_numbers, set_aside
from manymodes.sampling.chains.chains import Chains, read_chains
from manymodes.sampling.claims import (
    FAILURES,
    is_count,
    joined_versions,
    read_failures,
    write_failures,
)
from manymodes.sampling.nested import Nested, load_nested
from manymodes.sampling.nested.run_files import BASE
from manymodes.sampling.tempered import Tempered, load_tempered


@dataclass(frozen=True, eq=False)
class Merged:
    """What the parts of a run hold together.

    Attributes
    ----------
    posterior : Posterior
        What was sampled.
    chains : Chains or None
        The chains of all parts; None if the parts have none.
    nested : Nested or None
        The nested runs of all parts.
    tempered : Tempered or None
        The tempered runs of all parts.
    """

    posterior: Posterior
    chains: Chains | None = None
    nested: Nested | None = None
    tempered: Tempered | None = None


@dataclass(frozen=True, eq=False)
class Parts:
    """The parts of one run, checked against one another and only read.

    Attributes
    ----------
    posterior : Posterior
        What they sample.
    engines : tuple of EngineParts
        What they hold of each engine, one or more.
    described : Path or None
        A folder with the posterior's program and data, as a run keeps it.
    """

    posterior: Posterior
    engines: tuple[EngineParts, ...]
    described: Path | None

    @property
    def seed(self) -> int:
        """The seed of the run."""
        return int(self.engines[0].settings["seed"])

    def put_together(
        self, out: Path, *, resume: bool = False, other_versions: bool = False, quiet: bool = False
    ) -> Merged:
        """Write the run; `sample --resume` and `evidence --resume` complete it.

        A run that was written half, because something killed this, is an unfinished run.

        Parameters
        ----------
        out : Path
            The directory.
        resume : bool
            Add to the run that it holds what this lacks.
        other_versions : bool
            With ``resume``: also if another version of the sampler made what it holds.
        quiet : bool
            Do not say that the log likelihood is left out.

        Raises
        ------
        InputError
            ``out`` holds results, and not those to go on with, or cannot be written.
        ResultsError
            A chain in it has other draws than in a part; or a file is damaged.
        StorageError
            The disk is full; what was written stays.

        Warns
        -----
        UnfinishedWarning
            Something is missing; the message says what, by part.
        """
        found: dict[str, Chains | Nested | Tempered | None] = {}
        whole = out.resolve()
        with printing_to(whole / LOG):
            for one in self.engines:
                folder = whole / one.engine.name
                with held_folder(folder):
                    _begin(one, out, folder, resume=resume, other_versions=other_versions)
                    self._keep_posterior(out)
                    ended = _copy(one, folder, self.posterior)
                if one.engine is CHAINS and record_numbers(folder):
                    found[CHAINS.name] = read_chains(self.posterior, folder)
                if set(range(one.asked)) - ended:
                    text = one.missing_text(out, ended)
                    warnings.warn(text, UnfinishedWarning, stacklevel=3)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UnfinishedWarning)  # it was said better
                found[NESTED.name] = load_nested(self.posterior, out)
                found[TEMPERED.name] = load_tempered(self.posterior, out)
        merged = Merged(self.posterior, **found)  # type: ignore[arg-type]
        if merged.nested is not None:
            write_nested(merged.nested, out)
        if merged.tempered is not None:
            write_tempered(merged.tempered, out)
        if merged.chains is not None and not write_chains(merged.chains, out) and not quiet:
            print("manymodes: chains.nc leaves log_likelihood out: it is large", file=sys.stderr)
        return merged

    def _keep_posterior(self, out: Path) -> None:
        """Keep program and data with the run, as a part does."""
        target = out / POSTERIOR
        if (target / DESCRIBED).is_file():
            return
        if self.described is None:
            save_posterior(self.posterior, target)
        else:
            _copy_posterior(self.described, target)


def merge_runs(
    parts: Sequence[Path | str],
    out: Path | str,
    *,
    posterior: Posterior | None = None,
    resume: bool = False,
    other_versions: bool = False,
    quiet: bool = False,
) -> Merged:
    """Put the parts of a run together into one run.

    Parameters
    ----------
    parts : sequence of paths
        The run directories of `run_chains` with a ``part``, or of ``sample --part`` and
        ``evidence --part``. They are only read. The same part may be given twice, and parts may
        be missing.
    out : path
        The run directory to write. It is then as if one run had made all chains, bit for bit.
    posterior : Posterior, optional
        What was sampled; by default what a part keeps, as those of the command line do.
    resume : bool
        Go on with the run that ``out`` holds, and add what it lacks.
    other_versions : bool
        Put draws together although different versions of the sampler made them.
    quiet : bool
        Show no progress.

    Returns
    -------
    Merged
        With the ``chains``, ``nested`` and ``tempered`` runs that finished, of all parts.

    Raises
    ------
    InputError
        A directory is no part, or of another run than the others, or of other versions; or
        ``out`` holds results already.
    ResultsError
        Two parts have the same chain with different draws, or a file is damaged.
    SamplingError
        No part has a finished chain or run.
    StorageError
        The disk is full; what was written stays.

    Warns
    -----
    UnfinishedWarning
        Chains or runs are missing; the message says which, by part.

    Examples
    --------
    >>> # model.stan, data.json: the mean of five normal observations
    >>> posterior = mm.Posterior.from_files("model.stan", "data.json")
    >>> given = {"chains": 4, "nuts": mm.NutsSettings(warmup=200, draws=100), "quiet": True}
    >>> for k in (1, 2):
    ...     part = mm.run_chains(posterior, part=(k, 2), out=f"part-{k}", **given)
    >>> part.index
    array([2, 3])
    >>> mm.merge_runs(["part-1", "part-2"], "merged", posterior=posterior).chains.index
    array([0, 1, 2, 3])
    """
    found = read_parts(parts, Path(out), posterior, other_versions=other_versions, quiet=quiet)
    return found.put_together(Path(out), resume=resume, other_versions=other_versions, quiet=quiet)


def read_parts(
    parts: Sequence[Path | str],
    out: Path,
    posterior: Posterior | None = None,
    *,
    other_versions: bool = False,
    quiet: bool = False,
) -> Parts:
    """Return the parts of a run, after a check that they are of one.

    Parameters
    ----------
    parts, out, posterior, other_versions, quiet
        As in `merge_runs`.

    Raises
    ------
    InputError
        A directory is no part, or of another run than the others, or of other versions; or it is
        the one to write to.
    ResultsError
        Two parts have the same chain with different draws, or a file is damaged.
    SamplingError
        No part has a finished chain or run.
    """
    if isinstance(parts, str | Path) or not parts:
        raise InputError("parts: give the directories of the parts, one or more")
    folders = list(dict.fromkeys(Path(one) for one in parts))
    begun = [folder for folder in folders if _is_begun(folder, out)]
    if not begun:
        raise InputError(
            f"{folders[0]} holds no part of a run: give the directories of sample --part K/N"
        )
    kept = [folder / POSTERIOR for folder in begun if (folder / POSTERIOR / DESCRIBED).is_file()]
    if posterior is None:
        if not kept:
            raise InputError(
                f"{begun[0]} keeps no posterior, nor does another part, because none was finished: "
                "run one of them to its end with --resume"
            )
        posterior = open_posterior(kept[0])
    posterior.compile(quiet=quiet)
    _refuse_other_kernel(kept)
    of_engines = (
        engine_parts(engine, begun, posterior, other_versions=other_versions) for engine in ENGINES
    )
    engines = tuple(one for one in of_engines if one is not None)
    if not any(one.holders for one in engines):
        failed = [text for e in engines for s in e.sources for text in s.failures.values()]
        first = f": {failed[0]}" if failed else ""
        raise SamplingError(f"{posterior.name}: no part has a finished chain or run{first}")
    for one in engines:
        one.check_twice()
    return Parts(posterior, engines, kept[0] if kept else None)


def _is_begun(folder: Path, out: Path) -> bool:
    """Whether a part has begun; a warning names one that has not."""
    if not folder.is_dir():
        raise InputError(f"{folder}: no such directory of a part")
    if folder.resolve() == out.resolve():
        raise InputError(f"--out: {out} is one of the parts, which are only read: name another")
    if any((folder / engine.name / SETTINGS).is_file() for engine in ENGINES):
        return True
    text = f"{folder} holds no chains or runs, and is left out"
    warnings.warn(text, StrayFileWarning, stacklevel=4)
    return False


def _refuse_other_kernel(kept: Sequence[Path]) -> None:
    """Refuse parts with the kernel and without it: they agree but for rounding, which spreads."""
    found = {folder: bool(read_json(folder / DESCRIBED).get("kernel", True)) for folder in kept}
    other = next((folder for folder in kept if found[folder] != found[kept[0]]), None)
    if other is not None:
        without, beside = (other, kept[0]) if found[kept[0]] else (kept[0], other)
        raise InputError(
            f"{without.parent} was run with --no-kernel and {beside.parent} was not: run all "
            "parts alike"
        )


# ------------------------------------------------------------------------------ writing


def _begin(
    one: EngineParts, out: Path, folder: Path, *, resume: bool, other_versions: bool
) -> None:
    """Bind the folder of an engine to the run, and record what made its draws."""
    path = folder / SETTINGS
    before = read_json(path) if resume and path.exists() else {}
    asked = before.get(ASKED)
    most = max(asked, one.asked) if isinstance(asked, int) and is_count(asked) else one.asked
    versions = joined_versions(
        [(str(out), versions_in(before)), (str(one.sources[0].out), one.versions)],
        one.engine.decisive(one.settings),
        other_versions=other_versions,
    )
    claim(folder, one.settings, resume=resume, asked=most)
    sweep_partials(folder)
    bound = read_json(path)
    if versions and bound.get(VERSIONS) != versions:
        write_json(path, {**bound, VERSIONS: versions})


def _copy(one: EngineParts, folder: Path, posterior: Posterior) -> set[int]:
    """Copy what the folder lacks, and the messages of what failed; return what is not missing."""
    engine = one.engine
    for name, source in one.shared_files().items():
        if not (folder / name).exists():
            _copy_file(source, folder / name)
    own = owner_in(engine, folder, run_name(one.settings), posterior)
    if one.holders and own != one.owner:
        raise InputError(
            f"{folder / BASE} is another base measure than that of the parts: runs of the two "
            "cannot be merged; choose another --out"
        )
    there = set()
    for number in engine.numbers(folder):
        try:
            read_member(engine, folder, number, own)
            there.add(number)
        except ResultsError:
            set_aside(engine.file(folder, number))
    for number, holder in one.holders.items():
        if number in there:
            one.refuse_different(number, folder)
        else:
            write_arrays(engine.file(folder, number), holder.read(number))
    done = there | one.holders.keys()
    failures = read_failures(folder / FAILURES, range(int(read_json(folder / SETTINGS)[ASKED])))
    for part in one.sources:
        failures = {**part.failures, **failures}
    failed = {number: failures[number] for number in sorted(failures) if number not in done}
    write_failures(folder, failed)
    return done | failed.keys()


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
        _copy_file(path, copy)


def _copy_file(source: Path, target: Path) -> None:
    """Copy a file in one step."""
    with atomic(target) as partial:
        shutil.copyfile(source, partial)
