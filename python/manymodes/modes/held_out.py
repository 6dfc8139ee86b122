"""Rows of a table that a run was not given: kept beside it, and scored under each of its chains."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from scipy.special import logsumexp

from manymodes.errors import InputError, ResultsError
from manymodes.runtime.storage import read_arrays, write_arrays
from manymodes.sampling.chains.chains import Chains
from manymodes.tables.frames import as_frame
from manymodes.tables.table import Table
from manymodes.types import FloatArray

_KEPT = "held_out.npz"
_COUNTED_OVER = ("exposure", "trials")
_NAMES = ("holdout.csv", "holdout.parquet")


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Held-out rows in the form that a network takes.

    Attributes
    ----------
    X : array of shape (N, M)
        Inputs.
    y : array of shape (N,), or (N, T) of several targets
        Targets: class numbers, counts, or standardised values.
    log_unit : float
        Added to the log density of a target (nats), it gives the density in the table's units.
    counted_over : dict of str to array of shape (N,)
        Exposures or trials of counts, as `Network.log_lik` takes them.
    """

    X: FloatArray
    y: FloatArray
    log_unit: float = 0.0
    counted_over: dict[str, FloatArray] = field(default_factory=dict)


def keep_held_out(table: Table, source: Path, target: Path) -> None:
    """Keep the held-out rows of a network's folder with a run; remove those of an earlier one.

    Parameters
    ----------
    table : Table
        How the network reads a table.
    source : Path
        The network's folder, with ``holdout.csv`` or ``holdout.parquet`` if rows were held out.
    target : Path
        The run's folder of the posterior.

    Raises
    ------
    InputError
        The held-out rows cannot be read any more.
    """
    (target / _KEPT).unlink(missing_ok=True)
    kept = kept_held_out(source)
    if kept is not None:  # the folder of a run's posterior
        arrays = {"X": kept.X, "y": kept.y, "log_unit": np.array([kept.log_unit])}
        write_arrays(target / _KEPT, {**arrays, **kept.counted_over})
        return
    for name in _NAMES:
        if (source / name).is_file():
            frame = as_frame(source / name)
            unit = np.zeros(1)
            for one in table.all_targets:
                unit = one.scaling.density(unit)
            rows = {"X": table.inputs(frame), "y": table.targets(frame), "log_unit": unit}
            write_arrays(target / _KEPT, {**rows, **table.counted_over(frame)})


def kept_held_out(folder: Path) -> HeldOut | None:
    """Return the held-out rows that a run keeps with its posterior; None if it has none.

    Raises
    ------
    ResultsError
        The file is damaged.
    """
    if not (folder / _KEPT).is_file():
        return None
    path = folder / _KEPT
    arrays = read_arrays(path, "X", "y", "log_unit")
    X, y, log_unit = (arrays[name] for name in ("X", "y", "log_unit"))
    over = {name: arrays[name] for name in _COUNTED_OVER if name in arrays}
    shaped = X.ndim == 2 and y.ndim in (1, 2) and len(y) == len(X) and log_unit.shape == (1,)
    shaped = shaped and all(one.shape == (len(X),) for one in over.values())
    if not shaped or not all(
        one.dtype.kind in "biuf" and np.isfinite(one).all()
        for one in (X, y, log_unit, *over.values())
    ):
        raise ResultsError(
            f"{path} is damaged (not rows of finite numbers, each with its target): remove it, or "
            "make the run again from the network's folder"
        )
    over = {name: values.astype(float) for name, values in over.items()}
    return HeldOut(X.astype(float), y.astype(float), float(log_unit[0]), over)


def held_out_lpd(chains: Chains, rows: HeldOut) -> FloatArray:
    """Return the log predictive density of held-out rows under each chain, shape (N, C).

    Parameters
    ----------
    chains : Chains
        Chains of a network's posterior.
    rows : HeldOut
        The rows.

    Returns
    -------
    array of shape (N, C)
        The log of the mean density over a chain's draws (nats).

    Raises
    ------
    InputError
        The posterior has no network, or the rows do not fit it.
    """
    network = chains.posterior.network
    if network is None:
        raise InputError(f"the posterior '{chains.posterior.name}' has no network: no rows fit")
    if rows.X.shape[1] != network.inputs:
        raise InputError(
            f"the held-out rows have {rows.X.shape[1]} inputs, but the network takes "
            f"{network.inputs}: they are of another run"
        )
    lpd = np.empty((len(rows.y), chains.n_chains))
    for chain, (draws, length) in enumerate(zip(chains.rows, chains.lengths, strict=True)):
        weights = chains.posterior.unpack(draws[:length])
        log_lik = network.log_lik(weights, rows.X, rows.y, **rows.counted_over)
        lpd[:, chain] = logsumexp(log_lik, axis=0) - np.log(length)
    return lpd + rows.log_unit
