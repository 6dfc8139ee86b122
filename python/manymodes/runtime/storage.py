"""Files that are either whole or not there: atomic writes, checked reads, run fingerprints."""

from __future__ import annotations

import codecs
import errno
import hashlib
import json
import os
import re
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from filelock import FileLock, Timeout

from manymodes.errors import InputError, ResultsError
from manymodes.runtime.files import atomic as atomic
from manymodes.runtime.files import cannot_write as cannot_write
from manymodes.runtime.files import refuse_existing as refuse_existing
from manymodes.runtime.files import sweep_partials as sweep_partials
from manymodes.runtime.parts import Part, part_of
from manymodes.runtime.printed import LOG, printing_to
from manymodes.runtime.scratch import scratch_folder

SETTINGS = "settings.json"
ASKED = "asked"
VERSIONS = "versions"
PART = "part"
_BESIDE = {ASKED, VERSIONS, PART}
"""Keys that are not part of the settings that decide the draws."""

_WRITTEN_FOLDERS = ("posterior", "chains", "nested", "checks")
"""The folders of a run in which files are made, some of them in place."""


def ensure_folder(path: Path) -> Path:
    """Make a folder and check that it can be written to.

    Raises
    ------
    InputError
        It cannot be made or written to.
    StorageError
        The disk is full or fails.
    """
    if path.exists() and not path.is_dir():
        raise InputError(f"the folder {path} cannot be written: it is a file; choose another name")
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path) as file:
            file.write(b"\0")
    except OSError as error:
        raise cannot_write(path, error) from error
    return path


@contextmanager
def kept_folder(out: Path | str | None, name: str) -> Iterator[Path]:
    """Hold the absolute path of the folder ``name`` below ``out``, or below a temporary one.

    The prints of Stan programs meanwhile go to a log below ``out``.
    """
    with ExitStack() as stack:
        given = stack.enter_context(scratch_folder()) if out is None else Path(out)
        folder = given.resolve()
        stack.enter_context(printing_to(folder / LOG))
        yield folder / name


@contextmanager
def held(folder: Path, lock_file: Path) -> Iterator[None]:
    """Hold a folder for this process alone.

    Raises
    ------
    InputError
        Another process holds it, or a link in it would make the run write elsewhere.
    """
    _refuse_links(lock_file)
    lock = FileLock(lock_file, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise InputError(
            f"{folder} is in use by another run: wait for it or choose another --out"
        ) from None
    except OSError as error:
        raise cannot_write(lock_file, error) from error
    try:
        yield
    finally:
        lock.release()


@contextmanager
def held_folder(folder: Path) -> Iterator[None]:
    """Hold a folder of a run, such as ``chains``, by a hidden file beside it.

    Raises
    ------
    InputError
        As `held`; or the folder that it is in cannot be made or written to.
    StorageError
        The disk is full or fails.
    """
    ensure_folder(folder.parent)
    with held(folder, folder.with_name(f".{folder.name}.lock")):
        yield


def _refuse_links(lock_file: Path) -> None:
    """Refuse a run whose links would lead writes elsewhere; somebody else may have made it."""
    run = lock_file.parent
    written = [run / name for name in _WRITTEN_FOLDERS]
    inside = [path for top in written for path in _all_in(top)]
    for path in (lock_file, *written, *inside):
        if path.is_symlink() and leads_out(path, run):
            raise InputError(
                f"{path} is a link that leads out of {run}: nothing is written there; replace the "
                "link by the file or folder that it leads to"
            )


def _all_in(top: Path) -> Iterator[Path]:
    """Yield all files and folders in a folder, links included."""
    for parent, folders, files in os.walk(top):  # links to folders are not followed
        yield from (Path(parent, name) for name in (*folders, *files))


def write_text(path: Path, text: str) -> None:
    """Write a text file in one step; raise as `atomic`."""
    with atomic(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_member(folder: Path, name: str, text: str) -> None:
    """Write a text file, in one step, at a path relative to a folder that it must not leave.

    Raises
    ------
    InputError
        It cannot be written, or a link in the folder leads elsewhere.
    """
    path = folder / name
    if leads_out(path.parent, folder):
        raise InputError(f"{path.parent} leads out of {folder}: nothing is written there")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror or error}") from error
    write_text(path, text)


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write a JSON file in one step; NaN and infinities become null."""
    write_text(path, json_text(value) + "\n")


def json_text(value: Mapping[str, Any]) -> str:
    """Return JSON; NaN and infinities become null."""
    return json.dumps(_finite(value), indent=1, default=_plain)


def plain_json(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return values as they are after a JSON file was written and read."""
    plain: dict[str, Any] = json.loads(json_text(value))
    return plain


def read_utf8(path: Path, what: str) -> str:
    """Return a user's text file, without a byte order mark and with plain newlines.

    Parameters
    ----------
    path : Path
        The file.
    what : str
        The kind of file, for the message: ``Stan program``, ``data file``.

    Raises
    ------
    InputError
        There is no such file, it cannot be read, or it is not text in UTF-8; the message is one
        line that names the place.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path}: no such {what}") from None
    except IsADirectoryError:
        raise InputError(f"{path} is a folder, not a {what}") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from error
    content = content.removeprefix(codecs.BOM_UTF8)
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise InputError(f"{path} is in UTF-16: save it as UTF-8")
    try:
        at, text = content.index(b"\0"), ""
    except ValueError:
        try:
            at, text = -1, content.decode("utf-8")
        except UnicodeDecodeError as error:
            at, text = error.start, ""
    if at >= 0:
        line = len(re.findall(rb"\r\n|\r|\n", content[:at])) + 1
        found = f"byte 0x{content[at]:02x}" if content[at] else "a NUL byte"
        raise InputError(f"{path}, line {line}: {found} is not text in UTF-8: save it as UTF-8")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def member(folder: Path, name: object, named_in: Path) -> Path:
    """Return the path of a file that another file names, which must lie in its folder.

    Raises
    ------
    ResultsError
        The name leads elsewhere, or it is the name of a link that does.
    """
    plain = isinstance(name, str) and name.isprintable() and name not in {"", ".", ".."}
    if not plain or "/" in str(name) or "\\" in str(name):
        raise ResultsError(
            f"{named_in} names {json.dumps(name)[:200]}, which is not a file of its folder: "
            "nothing was read or written; do not use this folder unless you know who made it"
        )
    path = folder / str(name)
    if leads_out(path, folder):
        raise ResultsError(
            f"{path} is a link that leads out of its folder: put the file itself there"
        )
    if path.exists() and not (path.is_file() or path.is_dir()):  # reading a named pipe may hang
        raise ResultsError(f"{path} is neither a file nor a folder")
    return path


def leads_out(path: Path, folder: Path) -> bool:
    """Whether a path leads, through its links, out of a folder; True for circular links."""
    try:
        return not path.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError):  # links in a circle
        return True


def read_json(path: Path, *, advice: str = "remove it and run again") -> dict[str, Any]:
    """Read a JSON object.

    Parameters
    ----------
    path : Path
        The file.
    advice : str
        The advice to the user if the file is damaged.

    Raises
    ------
    ResultsError
        The file is missing or damaged.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise ResultsError(f"{path}: no such file") from None
    except (OSError, ValueError, RecursionError) as error:
        raise ResultsError(f"{path} is damaged ({error}): {advice}") from error
    if not isinstance(value, dict):
        raise ResultsError(f"{path} is damaged (not a JSON object): {advice}")
    return value


def write_arrays(path: Path, arrays: Mapping[str, npt.ArrayLike]) -> None:
    """Write named arrays to an ``.npz`` file in one step, and make sure that they are whole.

    The file gets its name after it was read back and forced to the disk. So a file with this
    name is whole, whatever happens to the machine.

    Raises
    ------
    StorageError, InputError
        As `atomic`.
    """
    with atomic(path) as partial:
        with partial.open("wb") as file:
            np.savez(file, **{name: np.asarray(value) for name, value in arrays.items()})  # type: ignore[arg-type]
        try:
            with zipfile.ZipFile(partial) as archive:
                damaged = archive.testzip()
        except zipfile.BadZipFile as error:
            raise OSError(errno.EIO, f"it does not read back: {error}") from error
        if damaged is not None:
            raise OSError(errno.EIO, f"'{damaged}' does not read back as it was written")


def read_arrays(path: Path, *needed: str) -> dict[str, npt.NDArray[Any]]:
    """Read named arrays, in the file's order, checking every byte against its checksums.

    Raises
    ------
    ResultsError
        The file is damaged, or lacks an array that is needed.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in dict.fromkeys([*archive.files, *needed])}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise ResultsError(
            f"{path} is damaged ({error}): remove it and run again with --resume"
        ) from error
    return arrays


def claim(
    folder: Path,
    settings: Mapping[str, Any],
    *,
    resume: bool,
    asked: int | None = None,
    part: Part | None = None,
) -> str:
    """Bind a folder to the settings of a run, or check that it is bound to them.

    Parameters
    ----------
    folder : Path
        It is made if it does not exist.
    settings : mapping
        Everything that decides the results, as plain values.
    resume : bool
        Whether earlier results may be continued.
    asked : int, optional
        How many chains or runs are asked for: kept ones beyond this number do not count.
    part : Part, optional
        Which part of them the folder holds; all of them by default.

    Returns
    -------
    str
        The identity of this run, which files of draws carry.

    Raises
    ------
    InputError
        There are results and ``resume`` is false, or they come from other settings.
    """
    ensure_folder(folder)
    path = folder / SETTINGS
    wanted = plain_json(settings)
    found: dict[str, Any] = {}
    if path.exists():
        if not resume:
            raise InputError(
                f"{folder} holds earlier results: continue them with --resume, replace them "
                "with --overwrite, or choose another --out"
            )
        found = read_json(path)
        keys = wanted.keys() | deciding(found).keys()
        changed = sorted(k for k in keys if wanted.get(k) != found.get(k))
        if changed:
            what = ", ".join(
                f"{k} was {short(found.get(k))}, is {short(wanted.get(k))}" for k in changed
            )
            raise InputError(
                f"{folder} holds a run with other settings ({what}): "
                "use the same ones or choose another --out"
            )
        _refuse_other_part(folder, found, asked, part)
    beside = {key: found[key] for key in (ASKED, VERSIONS) if key in found}
    if asked is not None:
        beside[ASKED] = asked
    if part is not None:
        beside[PART] = [part.number, part.parts]
    if {**wanted, **beside} != found:
        write_json(path, {**wanted, **beside})
    return run_name(wanted)


def _refuse_other_part(
    folder: Path, found: Mapping[str, Any], asked: int | None, part: Part | None
) -> None:
    """Refuse to go on with a part as if it were the whole run, or another part, or of others."""
    kept = kept_part(found, folder / SETTINGS)
    if kept == part and (part is None or found.get(ASKED) == asked):
        return
    if part is None:
        raise InputError(
            f"{folder} holds {kept} of a run: go on with {kept.option if kept else ''}, or choose "
            "another --out (manymodes merge puts the parts together there)"
        )
    holds = f"{kept or 'a whole run'}, dealt from {found.get(ASKED)}"
    raise InputError(
        f"{folder} holds {holds}, and asked for is {part}, dealt from {asked}: ask for the same, "
        "or choose another --out"
    )


def kept_part(settings: Mapping[str, Any], path: Path) -> Part | None:
    """Return which part of a run a folder holds, as its settings say; None if all of it.

    Raises
    ------
    ResultsError
        The settings, read from ``path``, say something else.
    """
    try:
        return part_of(settings.get(PART))
    except InputError:
        what = short(settings[PART])
        raise ResultsError(f"{path} is damaged ('{PART}' cannot be {what})") from None


def run_name(settings: Mapping[str, Any]) -> str:
    """Return the identity of a run with some settings."""
    return digest(repr(sorted(deciding(settings).items())))


def deciding(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that decide the draws, without what a folder keeps beside them."""
    return {key: value for key, value in settings.items() if key not in _BESIDE}


def digest(text: str) -> str:
    """Return a short hash of a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def short(value: Any) -> str:
    """Return a value of a JSON file in a few characters."""
    text = json.dumps(value)
    return text if len(text) <= 40 else text[:37] + "..."


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    if isinstance(value, float | np.floating) and not np.isfinite(value):
        return None
    return value
