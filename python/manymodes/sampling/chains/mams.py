"""One chain of the Metropolis adjusted microcanonical sampler, over the compiled library.

The sampler is ours, in C++ (``stan/microcanonical``): trajectories at unit speed that the gradient
turns, with a Metropolis test at the end of each, so that draws have the program's density exactly
[1]_. docs/chains.md has what it does beside NUTS: better on some networks, worse on others.

References
----------
.. [1] Robnik, Cohn-Gordon, Seljak (2025). Metropolis adjusted microcanonical Hamiltonian Monte
   Carlo. arXiv 2503.01707.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from manymodes.density.posterior import Posterior
from manymodes.errors import InputError, SamplingError, StorageError, TimeLimitError
from manymodes.runtime.threads import threads_in_use
from manymodes.sampling.chains.cmdstan_nuts import Adapted, NutsChain, check_chain
from manymodes.sampling.chains.nuts_settings import MIN_DRAWS, NutsSettings
from manymodes.sampling.chains.start_points import start_or_random
from manymodes.sampling.child import PRINTS, run_child
from manymodes.sampling.runners import config_text, eigen, read_output, runner
from manymodes.types import FloatArray

LEAST_DIMS = 2
"""In one dimension there is no direction for the gradient to turn."""

_OUTPUT = "output.bin"
_STATS = ("lp", "acceptance_rate", "step_size", "n_steps", "diverging")


def run_mams(
    posterior: Posterior,
    settings: NutsSettings,
    seed: int,
    scratch: Path,
    *,
    start: FloatArray | None = None,
    adapted: Adapted | None = None,
    time_limit: float | None = None,
) -> NutsChain:
    """Run one chain and return its draws.

    Parameters
    ----------
    posterior : Posterior
        Compiled, or compiled on the way; of two parameters or more.
    settings : NutsSettings
        ``adapt_delta`` is NUTS' mean over a trajectory. Here the end of a trajectory counts, and
        the chain aims at (1 + adapt_delta) / 2. A trajectory has no more than
        2**max_treedepth gradients.
    seed : int
        1 to 2**31 - 1: decides every draw.
    scratch : Path
        An existing folder for the chain's files.
    start : array of shape (D,), optional
        The point to start from, in the unconstrained space; uniform in (-2, 2) by default.
    adapted : Adapted, optional
        The chain cannot begin with what NUTS has learned: this must be None.
    time_limit : float, optional
        Seconds after which the chain is stopped; the draws that it has made by then are kept.

    Returns
    -------
    NutsChain
        As CmdStan gives it, but for the statistics: ``lp`` has all constants, ``n_steps`` counts
        gradients, ``tree_depth`` is the logarithm of their number to base 2, rounded down, and
        the largest where a trajectory was cut off, and there is no ``energy``.

    Raises
    ------
    InputError
        An argument is not allowed, or there is one parameter only.
    SamplingError
        The chain failed, or cannot start from its point; the message is Stan's own.
    StorageError
        The disk of ``scratch`` is full.
    TimeLimitError
        The time limit left fewer than 4 draws.
    """
    check_chain(posterior, seed, start, adapted, time_limit)
    if adapted is not None:
        raise InputError("share_warmup: mams takes no metric of other chains; use cmdstan")
    check_mams(posterior, settings)
    start = start_or_random(posterior, start, seed)
    begun = time.monotonic()
    arrays = _run(posterior, settings, seed, scratch, start, time_limit)
    sampled = time.monotonic() - begun
    eta = arrays.get("eta", np.empty(0)).reshape(-1, posterior.dims)  # none in warm-up
    if len(eta) < min(MIN_DRAWS, settings.draws):
        phase = "while sampling" if len(eta) else "in warm-up"
        raise TimeLimitError(
            f"the time limit of {time_limit:g} s came {phase}, with {len(eta)} draws made, and a "
            f"chain needs {MIN_DRAWS}: give it more time"
        )
    return NutsChain(
        posterior.constrain_rows(eta),
        eta,
        {**{name: arrays[name] for name in _STATS}, "tree_depth": _depth(arrays, settings)},
        seconds=time.monotonic() - begun,
        sampling_seconds=sampled,
        inv_metric=arrays["scale"] ** 2,
        step_size=float(arrays["size"][0]),
        cut=len(eta) < settings.draws,
    )


def check_mams(posterior: Posterior, settings: NutsSettings) -> None:
    """Raise `InputError` if there is one parameter only, or no warm-up."""
    if settings.warmup < 1:
        raise InputError(f"warmup: {settings.warmup} is not 1 or more, which mams needs")
    if posterior.dims < LEAST_DIMS:
        raise InputError("sampler: mams needs two parameters or more; use cmdstan")


def mams_runner() -> Path:
    """Return the executable that runs a chain, building it once.

    Raises
    ------
    CompileError
        The C++ compiler fails.
    ToolchainError
        There is no CmdStan, whose copy of Eigen it is built with.
    """
    return runner("microcanonical_run", "microcanonical", [eigen()])


def _run(
    posterior: Posterior,
    settings: NutsSettings,
    seed: int,
    scratch: Path,
    start: FloatArray,
    time_limit: float | None,
) -> Mapping[str, FloatArray]:
    """Run the chain in a child process; return what it wrote."""
    done = []

    def take(word: str, _: list[str]) -> None:
        done.append(word == "done")

    try:
        folder = Path(tempfile.mkdtemp(prefix="chain-", dir=scratch))
        (folder / "data.json").write_text(posterior.data_json, encoding="utf-8")
        config = folder / "config"
        entries = [
            ("model_library", posterior.program.library()),
            ("data_file", folder / "data.json"),
            ("output", folder / _OUTPUT),
            ("prints", folder / PRINTS),
            ("seed", seed),
            ("start", " ".join(map(repr, np.asarray(start, dtype=float).tolist()))),
            ("warmup", settings.warmup),
            ("draws", settings.draws),
            ("acceptance", repr(0.5 * (1.0 + settings.adapt_delta))),
            ("most_gradients", 2**settings.max_treedepth),
            *([("seconds", repr(float(time_limit)))] if time_limit is not None else []),
        ]
        config.write_text(config_text(entries), encoding="utf-8")
        command = [str(mams_runner()), str(config)]
        complaint = run_child(command, folder, take, "chain", threads=threads_in_use())
        if not any(done):
            raise SamplingError(f"the chain failed: {complaint}")
        return read_output(folder / _OUTPUT)
    except StorageError:
        raise
    except OSError as error:
        raise StorageError(f"{scratch}: {error.strerror or error}") from error


def _depth(arrays: Mapping[str, FloatArray], settings: NutsSettings) -> FloatArray:
    """Return the depth of the tree that NUTS would have needed for as many gradients."""
    depth = np.floor(np.log2(np.maximum(arrays["n_steps"], 1.0)))
    below = np.minimum(depth, settings.max_treedepth - 1)
    return np.where(arrays["cut"] > 0, settings.max_treedepth, below)
