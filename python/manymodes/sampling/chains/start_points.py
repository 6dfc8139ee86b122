"""Points to start chains from: ends of climbs and of Pathfinder's paths, files, earlier runs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from scipy import optimize

from manymodes import toolchain
from manymodes.density.posterior import Posterior
from manymodes.errors import DensityError, InputError, SamplingError
from manymodes.runtime.scratch import scratch_folder
from manymodes.runtime.storage import read_arrays, read_utf8
from manymodes.sampling.chains.chain_files import record_files
from manymodes.sampling.chains.cmdstan_nuts import initial_values
from manymodes.sampling.chains.cmdstan_process import (
    explained,
    guarded,
    listening_to,
    silent_cmdstanpy,
)
from manymodes.sampling.chains.engine_draws import EngineFiles, read_draws
from manymodes.sampling.chains.prior_draws import START_KEY, unconstrained
from manymodes.types import FloatArray, IntArray

_DEFAULT_RADIUS = 2.0
_PATHFINDER_FROM = (2, 33)
_CLIMB_STEPS = 400  # then it stops: optima of large networks fit the noise, and chains stay there
_CLIMB_MEMORY = 30  # pairs of steps and gradients: 10 take twice as many steps on 1000 weights
_NOWHERE = 1e300  # what a climb sees where there is no density


def problem_at(posterior: Posterior, point: FloatArray) -> str | None:
    """Return why no chain can start at a point; None if one can."""
    if not np.isfinite(point).all():
        return "the point is on the edge of the support"
    try:
        value, gradient = posterior.gradient(point)
    except DensityError as error:
        return " ".join(str(error).split())
    if not np.isfinite(value):
        return f"the log density is {value}"
    return None if np.isfinite(gradient).all() else "the gradient of the log density is not finite"


def start_or_random(posterior: Posterior, start: FloatArray | None, seed: int) -> FloatArray:
    """Return a chain's start, shape (D,): the given one, or as Stan does uniform in (-2, 2).

    Raises
    ------
    SamplingError
        No chain can start there; the message is Stan's own.
    """
    if start is None:
        radius = _DEFAULT_RADIUS
        start = np.random.default_rng(seed).uniform(-radius, radius, posterior.dims)
    problem = problem_at(posterior, start)
    if problem is not None:
        raise SamplingError(f"the chain cannot start from its point: {problem}")
    return start


# ------------------------------------------------------------------------------ climbs


def climbed(posterior: Posterior, start: FloatArray) -> FloatArray:
    """Return where a climb of the log density of the unconstrained space ends, shape (D,).

    Parameters
    ----------
    posterior : Posterior
        What is sampled.
    start : array of shape (D,)
        Where the climb begins, with a finite density. It ends after 400 steps at the latest, and
        where it gains no more than 1e-9 of the density. Small networks are at a maximum by then.
        Large ones are on their way to one that fits the noise, where chains would stay.

    Notes
    -----
    Chains that start from optima reached from random starts are a deep ensemble whose members
    are sampled (Sommer et al. 2024, Connecting the dots, ICML).
    """
    best = (-np.inf, start)

    def descent(eta: FloatArray) -> tuple[float, FloatArray]:
        nonlocal best
        try:
            value, gradient = posterior.gradient(eta)
        except DensityError:
            return _NOWHERE, np.zeros_like(eta)
        if not np.isfinite(value) or not np.isfinite(gradient).all():
            return _NOWHERE, np.zeros_like(eta)
        if value > best[0]:
            best = (value, eta.copy())
        return -value, -gradient

    optimize.minimize(
        descent,
        start,
        jac=True,
        method="L-BFGS-B",
        options={
            "maxiter": _CLIMB_STEPS,
            "maxfun": 2 * _CLIMB_STEPS,
            "maxcor": _CLIMB_MEMORY,
            "ftol": 1e-9,
        },
    )
    return best[1]


# ------------------------------------------------------------------------------ Pathfinder


def need_pathfinder() -> None:
    """Raise `InputError` if the CmdStan that is found has no Pathfinder."""
    version = toolchain.find().cmdstan.version or "none"
    wanted = ".".join(map(str, _PATHFINDER_FROM))
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if numbers < _PATHFINDER_FROM:
        raise InputError(
            f"init: pathfinder needs CmdStan {wanted} or newer, found is {version}; "
            f"take another --init, or install a newer CmdStan"
        )


def pathfinder_draw(posterior: Posterior, start: FloatArray, seed: int) -> FloatArray:
    """Return a draw of the approximation at the end of one path, shape (D,).

    Raises
    ------
    SamplingError
        The path failed, the message is Stan's own; or no chain can start where it led.
    """
    with scratch_folder() as folder:
        (folder / "data.json").write_text(posterior.data_json, encoding="utf-8")
        (folder / "start.json").write_text(initial_values(posterior, start), encoding="utf-8")
        executable = posterior.program.executable()
        with listening_to(folder) as console, silent_cmdstanpy() as cmdstanpy:
            try:
                model = cmdstanpy.CmdStanModel(exe_file=str(guarded(executable, folder)))
                fit = model.pathfinder(
                    data=str(folder / "data.json"),
                    inits=str(folder / "start.json"),
                    num_paths=1,
                    draws=1,
                    seed=seed,
                    output_dir=str(folder),
                    sig_figs=18,
                    show_console=False,
                )
                values, failure = np.atleast_2d(fit.draws())[0], None
            except (RuntimeError, ValueError) as error:
                failure = error
        if failure is not None:
            raise explained(folder, failure, console.lines) from failure
        parameters = [i for i, name in enumerate(fit.column_names) if not name.endswith("__")]
        point = posterior.unconstrain_rows(values[parameters])
    problem = problem_at(posterior, point)
    if problem is not None:
        raise SamplingError(f"Pathfinder led to where no chain can start: {problem}")
    return point


# ------------------------------------------------------------------------------ files


def points_of_file(posterior: Posterior, path: Path) -> FloatArray:
    """Return the points of a JSON file, shape (n, D)."""
    try:
        objects = json.loads(read_utf8(path, "file of starts"))
    except InputError as error:
        raise InputError(f"init: {error}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"init: {path} is not a JSON file: {error}") from error
    if not isinstance(objects, list) or not all(isinstance(one, dict) for one in objects):
        raise InputError(f"init: {path} must be a JSON list of objects of initial values")
    points = np.empty((len(objects), posterior.dims))
    for i, values in enumerate(objects):
        try:
            points[i] = unconstrained(posterior, values)
        except InputError as error:
            raise InputError(f"init: {path}: object {i + 1} of {len(objects)}: {error}") from error
    return points


def chain_files(path: Path) -> list[Path]:
    """Return the files of chains of a run's directory, or of its folder of chains."""
    return record_files(path / "chains") or record_files(path)


def points_of_engine(
    posterior: Posterior, found: EngineFiles, wanted: int, seed: int
) -> FloatArray:
    """Return draws of an engine, shape (n, D), in proportion to their weights and all different.

    The first ones do not depend on how many are wanted.

    Raises
    ------
    InputError
        The draws are of another dimension.
    ResultsError
        A file is damaged.
    """
    draws = read_draws(found, posterior.dims)
    return draws.eta[draws.spread(wanted, seed)]


def points_of_chains(posterior: Posterior, path: Path, wanted: int) -> FloatArray:
    """Return draws of a run's chains, shape (n, D): one of each chain in turn, at random.

    The first ones do not depend on how many are wanted.

    Raises
    ------
    InputError
        The draws are of another dimension.
    ResultsError
        A chain's file is damaged.
    """
    found: list[FloatArray] = []
    turns: list[IntArray] = []
    for number, file in enumerate(chain_files(path)):
        draws = np.asarray(read_arrays(file, "eta")["eta"], dtype=float)
        if draws.ndim != 2 or draws.shape[1] != posterior.dims:
            raise InputError(
                f"init: the chains of {path} have points of shape {draws.shape[1:]}, and the "
                f"posterior's is ({posterior.dims},)"
            )
        draws = draws[np.isfinite(draws).all(axis=1)]
        rng = np.random.default_rng([START_KEY, number])
        found.append(draws[rng.permutation(len(draws))[:wanted]])
        turns.append(np.arange(len(found[-1])))
    order = np.argsort(np.concatenate(turns), kind="stable")
    return np.concatenate(found)[order]
