"""The names of all files that manymodes writes into a directory; it replaces only these.

A directory is that of a run if a file in it says so. In any other directory a file with one of our
names is the user's, and is refused.
"""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from manymodes.density.program import Program
from manymodes.errors import InputError, ManymodesError, ResultsError
from manymodes.modes.climb_record import RECORD
from manymodes.runtime.printed import LOG, printing_to
from manymodes.runtime.scratch import sweep_run
from manymodes.runtime.storage import (
    SETTINGS,
    cannot_write,
    ensure_folder,
    held,
    read_json,
    sweep_partials,
)

SUMMARY = "summary.json"
REPORT = "report.html"
LESSON_PICTURE = "picture.png"
CHECKS = "checks.json"
CERTIFICATE = "certify.json"
CHAINS = "chains.nc"
STACKED = "stacked.nc"
NESTED = "nested.csv"
NESTED_TREE = "nested.nc"
TEMPERED = "tempered.nc"
POSTERIOR = "posterior"
DESCRIBED = "posterior.json"

_LOCK = ".lock"
_RESULTS = (
    SUMMARY, REPORT, CHECKS, CERTIFICATE, RECORD, CHAINS, STACKED, NESTED, NESTED_TREE, TEMPERED,
    LOG,
)  # fmt: skip
_OF_STUDIES = (
    SETTINGS, "xor_seeds.json", "xor_gains.json", "xor_gains.png", "modes.json", LESSON_PICTURE
)  # fmt: skip
_OF_POSTERIOR = (
    DESCRIBED, "data.json", "table.json", "held_out.npz", "holdout.csv", "holdout.parquet"
)  # fmt: skip
_OF_CHAINS = re.compile(r"chain-\d{5,}\.(npz|damaged)|failures\.json|settings\.json")
_OF_INTEGRALS = re.compile(
    r"run-\d{3,}\.(npz|damaged)|base\.json|prior\.json|failures\.json|settings\.json"
)
_ENGINES = {"chains": _OF_CHAINS, "nested": _OF_INTEGRALS, "tempered": _OF_INTEGRALS}
_DRAWS = {
    "chains": "chain-[0-9][0-9][0-9][0-9][0-9]*.npz",
    "nested": "run-[0-9][0-9][0-9]*.npz",
    "tempered": "run-[0-9][0-9][0-9]*.npz",
}
_FOLDERS = {POSTERIOR, "checks", *_ENGINES}
_SCRATCH = re.compile(r"\.running-.*|unfinished-\d{3,}")
_LOCKS = (".chains.lock", ".nested.lock", ".tempered.lock")
_PARTS = re.compile(r"full|constrained|regression|binary|three-way|(sd-\d\.\d{4}-)?seed-\d{3,}")
"""The names of the folders of posteriors in studies."""
_TRACEBACKS = re.compile(r"traceback-\d{8}-\d{6}-\d+(-\d+)?\.txt")
_MOST_NAMED = 5


# ------------------------------------------------------------------------------ our own files


def is_run(folder: Path) -> bool:
    """Whether a file in a directory says that it is a run's, or a study's."""
    if (folder / POSTERIOR / DESCRIBED).is_file():
        return True
    of_engines = (_content(folder / engine / SETTINGS) for engine in _ENGINES)
    if any(
        {"program", "data"} <= one.keys() and not one.keys().isdisjoint({"seed", "sampler"})
        for one in of_engines
    ):
        return True
    drawn = (path for engine, names in _DRAWS.items() for path in (folder / engine).glob(names))
    if next(drawn, None) is not None:
        return True
    return "manymodes" in _content(folder / SUMMARY) or _is_study(folder)


def _is_study(folder: Path) -> bool:
    settings = _content(folder / SETTINGS)
    return "seed" in settings and not settings.keys().isdisjoint({"nuts", "polychord", "lesson"})


def _content(path: Path) -> dict[str, Any]:
    """Return the content of a JSON file; nothing if it cannot be read."""
    try:
        return read_json(path)
    except ResultsError:
        return {}


def our_files(folder: Path) -> Iterator[Path]:
    """Yield the existing files that manymodes may have written into a run directory."""
    yield from _run_files(folder)
    if not (folder / POSTERIOR).is_dir() or _is_study(folder):
        yield from _study_files(folder)


def _run_files(folder: Path) -> Iterator[Path]:
    """Yield the existing files of a run of one posterior."""
    yield from _present(folder, _RESULTS)
    yield from posterior_files(folder / POSTERIOR)
    for parent in (folder, folder / "checks"):
        for engine, names in _ENGINES.items():
            yield from _named(parent / engine, names)
        yield from _present(parent, _LOCKS)


def _study_files(folder: Path) -> Iterator[Path]:
    """Yield the existing files of a study: its own files, and those of its posteriors."""
    yield from _present(folder, _OF_STUDIES)
    named = _of_lesson(folder)
    for part in sorted(folder.iterdir()) if folder.is_dir() else ():
        ours = _PARTS.fullmatch(part.name) or part.name in named
        if ours and part.is_dir() and not part.is_symlink():
            for one in (part, part / "full", part / "constrained"):
                yield from _run_files(one)
                yield from _present(one, ("modes.json", "scores.json", _LOCK))


def _of_lesson(folder: Path) -> set[str]:
    """Return the names of the folders of posteriors that a lesson began with."""
    named = _content(folder / SETTINGS).get("posteriors")
    return {one for one in named if isinstance(one, str)} if isinstance(named, list) else set()


def posterior_files(folder: Path) -> Iterator[Path]:
    """Yield the existing files of a saved posterior or network."""
    yield from _present(folder, _OF_POSTERIOR)
    program = _content(folder / DESCRIBED).get("program")
    if not isinstance(program, str) or Path(program).name != program:
        return
    names = {program}
    with suppress(ManymodesError, OSError, ValueError):  # if damaged, its includes are unknown
        names |= Program(folder / program, confined=True).sources.keys()
    yield from _present(folder, sorted(name for name in names if ".." not in Path(name).parts))


def _present(folder: Path, names: Iterable[str]) -> Iterator[Path]:
    for name in names:
        path = folder / name
        if not Path(name).is_absolute() and (path.is_symlink() or path.is_file()):
            yield path


def _named(folder: Path, names: re.Pattern[str]) -> Iterator[Path]:
    """Yield the files in a folder with names of ours; a link to another folder is not followed."""
    if folder.is_symlink() or not folder.is_dir():
        return
    for path in sorted(folder.iterdir()):
        ours = names.fullmatch(path.name) and (path.is_symlink() or not path.is_dir())
        if ours or (_SCRATCH.fullmatch(path.name) and path.is_dir() and not path.is_symlink()):
            yield path


# ------------------------------------------------------------------------------ holding, emptying


@contextmanager
def run_directory(
    folder: Path,
    *,
    overwrite: bool = False,
    reads: Sequence[Path] = (),
    ready: Callable[[], None] | None = None,
) -> Iterator[Path]:
    """Hold a run directory for this process alone; it is made if it does not exist.

    Parameters
    ----------
    folder : Path
        The directory.
    overwrite : bool
        First remove the results of earlier runs: the files that manymodes wrote, by name. Hidden
        files, and all other files in the folders of results, stay and are named.
    reads : sequence of Path
        Files and folders that the run reads: they stay too.
    ready : callable, optional
        Is called before anything is removed; if it raises, nothing is.

    Raises
    ------
    InputError
        It cannot be written, another process holds it, it is the home directory or the root of the
        file system, or a file of the user has one of our names. With ``overwrite`` also: something
        else is in it that is neither a result nor read.
    """
    check_directory(folder)
    ensure_folder(folder)
    with held(folder, folder / _LOCK):
        _refuse_foreign(folder)
        if overwrite:
            _refuse_others(folder, reads)
        _sweep(folder)
        sweep_run(folder)
        if ready is not None:
            ready()
        if overwrite:
            _remove(folder, reads)
        with printing_to(folder / LOG):
            yield folder


@contextmanager
def network_directory(
    folder: Path, *, overwrite: bool = False, reads: Sequence[Path] = ()
) -> Iterator[Path]:
    """Hold the folder of a network for this process alone; it is made if it does not exist.

    Parameters
    ----------
    folder : Path
        The folder.
    overwrite : bool
        First remove the network in it.
    reads : sequence of Path
        Files that the network is made from: they are never removed.

    Raises
    ------
    InputError
        It cannot be written, another process holds it, it holds a network already, or a file of
        the user has a name of a network's file.
    """
    check_directory(folder)
    ensure_folder(folder)
    with held(folder, folder / _LOCK):
        found = [*posterior_files(folder), *_present(folder, ("model.stan",))]
        read = {path.resolve() for path in reads}
        for path in found:
            if path.resolve() in read:
                raise InputError(f"--out: {path} is a file that is read, and it would be replaced")
        if found and not overwrite:
            raise InputError(
                f"{folder} holds {found[0].name}: replace it with --overwrite, or choose another "
                "--out"
            )
        if found and not (folder / DESCRIBED).is_file():
            raise InputError(
                f"{folder} holds {found[0].name}, which manymodes did not write: move it away "
                "or choose another --out"
            )
        sweep_partials(folder)
        for path in found:
            path.unlink(missing_ok=True)
        yield folder


def check_directory(folder: Path) -> None:
    """Refuse directories that may not hold a run.

    Raises
    ------
    InputError
        It is the home directory, or the root of the file system.
    """
    whole = folder.resolve()
    if whole == Path(whole.anchor) or whole == Path.home().resolve():
        what = "the root of the file system" if whole.parent == whole else "your home directory"
        raise InputError(f"--out: {folder} is {what}: name a directory only for the results")


def removed_by(folder: Path, paths: Iterable[Path]) -> Path | None:
    """Return the first of some files that overwriting a run directory would remove, if any."""
    ours = {path.resolve() for path in our_files(folder)} if is_run(folder) else set()
    return next((path for path in paths if path.resolve() in ours), None)


def _refuse_foreign(folder: Path) -> None:
    """Refuse a directory in which files with our names do not belong to a run."""
    if is_run(folder):
        return
    found = (*our_files(folder), *sorted((folder / POSTERIOR).glob("*.stan*")))
    foreign = next((path for path in found if path.name not in _LOCKS), None)
    if foreign is not None:
        raise InputError(
            f"{folder} holds {foreign.relative_to(folder)}, which no run of manymodes wrote: "
            "move it away or choose another --out"
        )


def _refuse_others(folder: Path, reads: Sequence[Path]) -> None:
    """Refuse to empty a directory that holds a visible file or folder that is not a result."""
    read = {path.resolve() for path in reads}
    read |= {above for path in read for above in path.parents}
    names = {*_RESULTS, *_OF_STUDIES, *_FOLDERS, *_of_lesson(folder)}
    for entry in sorted(folder.iterdir()):
        ours = entry.name in names or _PARTS.fullmatch(entry.name)
        ours = ours or _TRACEBACKS.fullmatch(entry.name)
        if not (ours or entry.name[0] == "." or entry.resolve() in read):
            raise InputError(
                f"{folder} holds {entry.name}, which is not a result of manymodes: "
                "remove it yourself or choose another --out"
            )


def _sweep(folder: Path) -> None:
    for where in (folder, folder / POSTERIOR, folder / "checks"):
        sweep_partials(where)


def _remove(folder: Path, reads: Sequence[Path]) -> None:
    """Remove the files that manymodes wrote, and folders that are then empty; name the rest."""
    kept = {path.resolve() for path in reads}

    def is_read(path: Path) -> bool:
        whole = path.resolve()
        return not kept.isdisjoint({whole, *whole.parents})

    doomed = [path for path in our_files(folder) if not is_read(path)]
    parents = {above for path in doomed for above in path.parents if folder in above.parents}
    try:
        for path in doomed:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        for parent in sorted(parents, key=lambda path: len(path.parts), reverse=True):
            if not any(parent.iterdir()):
                parent.rmdir()
    except OSError as error:
        raise cannot_write(folder, error) from error
    if doomed:
        _name_what_stays(folder, parents, is_read)


def _name_what_stays(folder: Path, parents: set[Path], is_read: Any) -> None:
    stays = [
        path.relative_to(folder)
        for where in (folder, *sorted(parents))
        if where.is_dir()
        for path in sorted(where.iterdir())
        if path.name != _LOCK and path not in parents and not is_read(path)
        if not _SCRATCH.fullmatch(path.name)
    ]
    if stays:
        more = f" and {len(stays) - _MOST_NAMED} more" if len(stays) > _MOST_NAMED else ""
        named = ", ".join(map(str, stays[:_MOST_NAMED]))
        print(
            f"manymodes: {folder}: not written by manymodes, kept: {named}{more}", file=sys.stderr
        )
