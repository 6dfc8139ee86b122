"""Draws of an engine that a run directory holds, spread evenly, to start chains from.

Draws are taken in proportion to their weight. They stand in a row, run by run; within a tempered
run by tour, and within a nested run by likelihood. One point of the row is taken after another at
equal steps of the golden section, from a place that the seed decides. So each chosen draw on its
own has the distribution of the engine's draws, and any number of the first ones is spread over
runs, tours and heights.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import special

from manymodes.errors import InputError, ResultsError
from manymodes.runtime.storage import SETTINGS, digest, read_arrays, read_json
from manymodes.sampling.chains.chain_files import numbered
from manymodes.sampling.claims import wanted_of
from manymodes.sampling.measure import read_measure
from manymodes.statistics import nested_volumes
from manymodes.toolchain.build_cache import file_digest
from manymodes.types import FloatArray, IntArray

TEMPERED = "tempered"
NESTED = "nested"
ENGINES = (TEMPERED, NESTED)
"""The engines, which are the names of their folders in a run directory; the first is preferred."""

_GOLDEN = (np.sqrt(5.0) - 1.0) / 2.0
_AT_DRAW = 4  # numbers that a tempered run keeps beside each draw; the last is its ancestor
_BASE = "base.json"
_NAME = re.compile(r"run-([0-9]{3}|[1-9][0-9]{3,})\.npz")


@dataclass(frozen=True)
class EngineFiles:
    """The files of an engine's finished runs.

    Attributes
    ----------
    engine : {"tempered", "nested"}
        The engine.
    folder : Path
        Their folder.
    files : tuple of Path
        One file for each run that counts.
    """

    engine: str
    folder: Path
    files: tuple[Path, ...]

    @property
    def read(self) -> tuple[Path, ...]:
        """All files that decide the draws: nested runs need their base measure."""
        return ((self.folder / _BASE,) if self.engine == NESTED else ()) + self.files

    @property
    def source(self) -> str:
        """A hash of these files."""
        return digest(" ".join(map(file_digest, self.read)))

    def are_of(self, identity: Mapping[str, str]) -> bool:
        """Whether these are draws of a posterior (`Posterior.identity`)."""
        settings = self.folder / SETTINGS
        kept = read_json(settings) if settings.exists() else {}
        return all(kept.get(key) == value for key, value in identity.items())


@dataclass(frozen=True)
class WeightedDraws:
    """Draws in the order in which they are spread.

    Attributes
    ----------
    eta : array of shape (n, D)
        Points of the unconstrained space.
    weights : array of shape (n,)
        Their weights, which sum to one.
    group : int array of shape (n,)
        Draws of one group are not independent: the tour of a tempered run, the nested run.
    """

    eta: FloatArray
    weights: FloatArray
    group: IntArray

    def spread(self, wanted: int, seed: int) -> IntArray:
        """Return the places of some draws, all different, shape (wanted or fewer,).

        The first ones do not depend on how many are wanted. There are fewer than are wanted only
        if there are no more draws. A draw that is taken already is replaced by the next one in the
        row, so that no draw is taken twice.

        Parameters
        ----------
        wanted : int
            How many.
        seed : int
            Decides them.
        """
        n = len(self.eta)
        ends = np.cumsum(self.weights)
        begin = np.random.default_rng(seed).uniform()
        places = (begin + _GOLDEN * np.arange(min(wanted, n))) % 1.0
        found = np.minimum(np.searchsorted(ends, places * ends[-1], side="right"), n - 1)
        following = np.arange(n + 1)  # the next free place at or after each; n is none
        for k, place in enumerate(found.tolist()):
            free = _next_free(following, place)
            free = _next_free(following, 0) if free == n else free
            found[k], following[free] = free, free + 1
        return np.asarray(found, dtype=np.intp)


def _next_free(following: IntArray, place: int) -> int:
    free = place
    while following[free] != free:
        free = int(following[free])
    while place != free:  # so that the next search is short
        following[place], place = free, int(following[place])
    return free


def ordered_draws(eta: FloatArray, weights: FloatArray, group: IntArray) -> WeightedDraws:
    """Return draws with equal neighbours as one, which has the weight of all of them.

    Parameters
    ----------
    eta : array of shape (n, D)
        Draws, in the order in which they are to be spread.
    weights : array of shape (n,)
        Their weights.
    group : int array of shape (n,)
        Which of them are not independent.
    """
    fresh = np.ones(len(eta), dtype=bool)
    fresh[1:] = (eta[1:] != eta[:-1]).any(axis=1)
    first = np.flatnonzero(fresh)
    summed = np.add.reduceat(weights, first)
    used = summed > 0
    first, summed = first[used], summed[used]
    return WeightedDraws(eta[first], summed / summed.sum(), group[first])


def engine_files(path: Path) -> EngineFiles | None:
    """Return the files of the engine that a run directory holds; None if it holds none.

    Parameters
    ----------
    path : Path
        The run directory, or the folder of one engine in it.
    """
    for engine in ENGINES:
        for folder in (path / engine, path):
            if folder.name != engine:
                continue
            numbers = numbered(folder, "run-*.npz", _NAME)
            settings = folder / SETTINGS
            if settings.exists():
                numbers = wanted_of(read_json(settings), numbers, folder)[0]
            if numbers:
                files = tuple(folder / f"run-{number:03d}.npz" for number in numbers)
                return EngineFiles(engine, folder, files)
    return None


def read_draws(found: EngineFiles, dims: int) -> WeightedDraws:
    """Return the draws that an engine's files hold.

    Parameters
    ----------
    found : EngineFiles
        The files.
    dims : int
        The dimension D of the posterior to start from them.

    Raises
    ------
    InputError
        The draws are of another dimension.
    ResultsError
        A file is damaged.
    """
    if found.engine == TEMPERED:
        return _tempered_draws(found, dims)
    return _nested_draws(found, dims)


def _tempered_draws(found: EngineFiles, dims: int) -> WeightedDraws:
    eta, group = [], []
    tours = 0
    for file in found.files:
        kept = read_arrays(file, "draws", "at_draws")
        n = kept["at_draws"].size // _AT_DRAW
        if n == 0 or kept["draws"].size % n:
            raise ResultsError(f"{file} is damaged ('draws' and 'at_draws' do not fit one another)")
        draws = np.asarray(kept["draws"], dtype=float).reshape(n, -1)
        _check_dims(found, draws.shape[1], dims)
        tour = np.unique(kept["at_draws"].reshape(n, _AT_DRAW)[:, -1], return_inverse=True)[1]
        order = np.argsort(tour, kind="stable")
        eta.append(draws[order])
        group.append(tours + tour[order])
        tours += int(tour.max()) + 1
    together = np.concatenate(eta)
    return ordered_draws(together, np.full(len(together), 1 / len(together)), np.concatenate(group))


def _nested_draws(found: EngineFiles, dims: int) -> WeightedDraws:
    base = read_measure(found.folder / _BASE)
    _check_dims(found, base.dims, dims)
    cubes, logls, births, runs = [], [], [], []
    for run, file in enumerate(found.files):
        kept = read_arrays(file, "cube", "logl", "birth")
        logl, birth = nested_volumes.without_rounding(kept["logl"], kept["birth"])
        inside = nested_volumes.inside_own_contour(logl, birth)
        cubes.append(kept["cube"][inside])
        logls.append(logl[inside])
        births.append(birth[inside])
        runs.append(np.full(int(inside.sum()), run))
    cube, logl, birth, run_of = map(np.concatenate, (cubes, logls, births, runs))
    order = np.argsort(logl, kind="stable")
    cube, logl, birth, run_of = cube[order], logl[order], birth[order], run_of[order]
    weights = special.softmax(nested_volumes.expected_log_weights(logl, birth))
    by_run = np.argsort(run_of, kind="stable")
    return ordered_draws(base.quantile(cube[by_run]), weights[by_run], run_of[by_run])


def _check_dims(found: EngineFiles, own: int, dims: int) -> None:
    if own != dims:
        raise InputError(
            f"init: the draws of {found.folder} have points of shape ({own},), and the posterior's "
            f"is ({dims},)"
        )
