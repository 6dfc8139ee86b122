"""Where chains start: explicit points of the unconstrained space, another one for every chain.

- ``radius:R``: uniform in (-R, R) in every coordinate.
- ``prior``: draws of the prior, of a network's own or of the program without its likelihood.
- ``climb``: the local maximum of the density that a climb from a point in (-2, 2) reaches.
- ``pathfinder``: the end of a path of Pathfinder (Zhang, Carpenter, Gelman, Vehtari 2022), one
  path a chain.
- the path of a JSON file: a list of initial values as CmdStan takes them, one object a chain.
- the path of a run's directory: draws of the engine that it holds, in proportion to their
  weights, those of tempering before those of nested sampling; without both, draws of its chains.

A point depends on the run's seed, on the chain's number and on how often the chain was tried
before, and on nothing else: not on the sampler, nor on where or in which order chains run.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from manymodes.density.posterior import Posterior
from manymodes.errors import InputError, SamplingError
from manymodes.runtime.storage import digest
from manymodes.sampling.chains.cmdstan_nuts import MAX_SEED
from manymodes.sampling.chains.engine_draws import ENGINES, engine_files
from manymodes.sampling.chains.prior_draws import (
    START_KEY,
    has_network_prior,
    network_prior_draw,
    sampled_prior,
)
from manymodes.sampling.chains.start_points import (
    chain_files,
    climbed,
    need_pathfinder,
    pathfinder_draw,
    points_of_chains,
    points_of_engine,
    points_of_file,
    problem_at,
)
from manymodes.toolchain.build_cache import file_digest
from manymodes.types import FloatArray

RADIUS = "radius"
PRIOR = "prior"
CLIMB = "climb"
PATHFINDER = "pathfinder"
FILE = "file"
RUN = "run"

AUTO_INIT = "auto"
DEFAULT_INIT = "radius:2"
GRAMMAR = "radius:R, prior, climb, climb:R, pathfinder, a JSON file or a run's directory"

_CLIMB_RADIUS = 0.5
"""From where a climb begins: from 2, networks of several layers end at much lower optima."""
_DRAWS = " draws "
_TRIES = 100
_ATTEMPTS = 4
"""How many points a chain has of the draws of a prior: one for each attempt, then over again."""


@dataclass(frozen=True)
class Init:
    """Where starts come from.

    Attributes
    ----------
    kind : {"radius", "prior", "climb", "pathfinder", "file", "run"}
        The source.
    radius : float
        Of ``radius``, and of the points from which ``climb`` and ``pathfinder`` set out.
    path : Path, optional
        Of ``file`` and ``run``.
    """

    kind: str
    radius: float = 2.0
    path: Path | None = None

    @property
    def files(self) -> list[Path]:
        """The files that the points are read from."""
        if self.path is None or self.kind == FILE:
            return [] if self.path is None else [self.path]
        found = engine_files(self.path)
        return chain_files(self.path) if found is None else list(found.read)


def parse_init(text: str) -> Init:
    """Read where chains start, such as ``radius:2``.

    Raises
    ------
    InputError
        It is none of the kinds that exist, or there is nothing at the path.
    """
    if not isinstance(text, str):
        raise InputError(f"init: {text!r} is not a text; allowed are {GRAMMAR}")
    if text == CLIMB:
        return Init(CLIMB, _CLIMB_RADIUS)
    if text in {PRIOR, PATHFINDER}:
        return Init(text)
    kind, colon, number = text.partition(":")
    if kind in {RADIUS, CLIMB} and colon:
        try:
            radius = float(number)
        except ValueError:
            radius = math.nan
        if not 0 < radius < math.inf:
            raise InputError(f"init: '{text}' needs a positive number after the colon")
        return Init(kind, radius)
    path = Path(text)
    if path.is_file():
        return Init(FILE, path=path.resolve())
    if path.is_dir():
        if engine_files(path) is None and not chain_files(path):
            raise InputError(
                f"init: the directory {path} holds no tempered or nested runs, and no chains"
            )
        return Init(RUN, path=path.resolve())
    raise InputError(f"init: '{text}' is unknown, and no such file; allowed are {GRAMMAR}")


def started_from(identity: object) -> str:
    """Return the engine whose draws `Starts.identity` names, or ``climb``; empty for others."""
    text = identity if isinstance(identity, str) else ""
    if text.startswith(CLIMB):
        return CLIMB
    return next((engine for engine in ENGINES if text.startswith(engine + _DRAWS)), "")


@dataclass(frozen=True)
class Starts:
    """The start of every chain of a run.

    Made by `make_starts`. It can be sent to other processes: once without the table of points
    (`bare`), and with each chain what is `given` for it.

    Attributes
    ----------
    posterior : Posterior
        What is sampled.
    init : Init
        Where the points come from.
    seed : int
        The run's.
    superchains : int
        How many chains in a row share their point.
    points : dict of arrays of shape (A, D)
        By superchain, for each attempt; empty where the points are made on the spot.
    source : str
        A hash of the files that the points come from; empty where they come from none.
    engine : str
        The engine whose draws of this posterior the points are, in proportion to their weights;
        empty where they are not.
    """

    posterior: Posterior
    init: Init
    seed: int
    superchains: int = 1
    points: Mapping[int, FloatArray] = field(default_factory=dict)
    source: str = ""
    engine: str = ""

    @property
    def identity(self) -> str:
        """What decides the points, the seed aside; it does not depend on the number of chains."""
        if self.init.kind in {RADIUS, CLIMB}:
            return f"{self.init.kind}:{self.init.radius:g}"
        if self.engine:
            return f"{self.engine}{_DRAWS}{self.source}"
        return f"{self.init.kind} {self.source}".rstrip()

    @property
    def bare(self) -> Starts:
        """The same starts without the table of points."""
        return replace(self, points={})

    def given(self, index: int) -> FloatArray | None:
        """Return what the table holds for chain ``index``, shape (A, D); None without a table."""
        return self.points.get(index // self.superchains)

    def point(self, index: int, attempt: int = 0, given: FloatArray | None = None) -> FloatArray:
        """Return the start, shape (D,), of chain ``index``.

        Parameters
        ----------
        index : int
            The chain's number in the run, from 0.
        attempt : int
            How often the chain was tried before. Another attempt has another point, but keeps
            the one that a superchain shares or that a file or a run gives.
        given : array of shape (A, D), optional
            What the table holds for the chain, where these starts are bare.

        Raises
        ------
        SamplingError
            The density or its gradient is not finite there, or nowhere in 100 tries; the
            message is Stan's own.
        """
        group = index // self.superchains
        attempt = attempt if self.superchains == 1 else 0
        rows = self.given(index) if given is None else given
        if rows is not None:
            point = np.array(rows[attempt % len(rows)])
            problem = problem_at(self.posterior, point)
            if problem is not None:
                raise SamplingError(f"chain {index} cannot start from {self.init.kind}: {problem}")
            return point
        rng = np.random.default_rng(
            np.random.SeedSequence(self.seed, spawn_key=(START_KEY, group, attempt))
        )
        point = self._finite(rng)
        if self.init.kind == CLIMB:
            point = climbed(self.posterior, point)
        if self.init.kind == PATHFINDER:
            point = pathfinder_draw(self.posterior, point, int(rng.integers(1, MAX_SEED)))
        return point

    def _finite(self, rng: np.random.Generator) -> FloatArray:
        """Return the first of some random points where a chain can start."""
        problem = None
        for _ in range(_TRIES):
            if self.init.kind == PRIOR:
                point = network_prior_draw(self.posterior, rng)
            else:
                point = rng.uniform(-self.init.radius, self.init.radius, self.posterior.dims)
            problem = problem_at(self.posterior, point)
            if problem is None:
                return point
        raise SamplingError(
            f"no start with a finite density in {_TRIES} tries ({self.identity}): {problem}"
        )


def make_starts(
    posterior: Posterior, init: Init | str, *, chains: int, seed: int, superchains: int = 1
) -> Starts:
    """Return the starts of a run's chains.

    Parameters
    ----------
    posterior : Posterior
        What is sampled.
    init : Init or str
        Where the points come from, or the text that says it.
    chains : int
        How many chains the run has; a multiple of ``superchains``.
    seed : int
        The run's.
    superchains : int
        Chains 0 to M - 1 share one point, M to 2 M - 1 the next one, and so on.

    Raises
    ------
    InputError
        The chains cannot be divided by ``superchains``; or the file does not fit the program,
        or has too few distinct points; or CmdStan is too old for Pathfinder; or the program
        has no ``prior_only`` switch.
    SamplingError
        The prior cannot be sampled.
    """
    if superchains < 1 or chains % superchains:
        raise InputError(
            f"superchains: {superchains} does not divide the {chains} chains; chains must be a "
            "multiple of it"
        )
    init = parse_init(init) if isinstance(init, str) else init
    groups = chains // superchains
    rows: FloatArray | None = None
    each = 1
    source = engine = ""
    if init.kind == PATHFINDER:
        need_pathfinder()
    elif init.kind == FILE and init.path is not None:
        rows = points_of_file(posterior, init.path)
        source = digest(file_digest(init.path))
    elif init.kind == RUN and init.path is not None:
        found = engine_files(init.path)
        if found is None:
            rows = points_of_chains(posterior, init.path, groups)
            source = digest(" ".join(map(file_digest, chain_files(init.path))))
        else:
            rows = points_of_engine(posterior, found, groups, seed)
            source = found.source
            engine = found.engine if found.are_of(posterior.identity) else ""
    elif init.kind == PRIOR and not has_network_prior(posterior):
        rows = sampled_prior(posterior.prior, _ATTEMPTS * groups, seed)
        each = _ATTEMPTS
    starts = Starts(posterior, init, seed, superchains, source=source, engine=engine)
    if rows is None:
        return starts
    distinct = rows[np.sort(np.unique(rows, axis=0, return_index=True)[1])]
    if len(distinct) < each * groups:
        raise InputError(
            f"init: {init.path or init.kind} has {len(distinct)} distinct points, and "
            f"{each * groups} are needed, another one for every chain"
        )
    # Those of the first chains do not depend on the number of chains.
    points = {group: distinct[each * group : each * (group + 1)] for group in range(groups)}
    return replace(starts, points=points)
