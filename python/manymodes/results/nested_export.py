"""Nested runs for other tools: an ArviZ DataTree, and files in PolyChord's own layout."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from manymodes.density.labels import renamed_flat, renamed_text, stan_name, tex_label
from manymodes.errors import InputError, NamesWarning
from manymodes.modes.comparison import Comparison
from manymodes.results.draw_modes import mode_and_function
from manymodes.runtime.seeds import check_seed
from manymodes.runtime.storage import ensure_folder, refuse_existing, sweep_partials, write_text
from manymodes.sampling.chains.trees import draws_tree, single
from manymodes.sampling.nested import Nested
from manymodes.statistics.stacking import draw_stacked
from manymodes.types import FloatArray

if TYPE_CHECKING:
    import xarray as xr

IntArray = npt.NDArray[np.int64]

_ENDINGS = (
    ".stats", ".paramnames", ".properties.ini", ".txt", "_equal_weights.txt", "_dead-birth.txt"
)  # fmt: skip
_LOG_ZERO = -1e30  # PolyChord's value for the birth contour of a draw of the prior


# ------------------------------------------------------------------------- equal weights


def equal_draws(weights: FloatArray, draws: int | None, rng: np.random.Generator) -> IntArray:
    """Choose equally weighted points of a nested run.

    Parameters
    ----------
    weights : array of shape (n,)
        Posterior weights, adding up to 1.
    draws : int, optional
        How many; by default the most that use no point twice, the inverse of the largest weight.
        This is never more than the effective sample size 1 / sum(w^2), and 0.7 of it if the
        weights rise and fall like a normal curve.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    array of shape (draws,)
        The points, in random order. Point i occurs draws x w_i times, rounded up or down at
        random (systematic resampling).

    Raises
    ------
    InputError
        ``draws`` is not 1 or more.
    """
    if draws is None:
        draws = max(1, int(1 / weights.max()))
    if draws < 1:
        raise InputError(f"draws: {draws} is not 1 or more")
    point, _ = draw_stacked(weights, 1, draws, rng)
    return point


# ------------------------------------------------------------------------- ArviZ


def nested_datatree(
    nested: Nested,
    comparison: Comparison | None = None,
    *,
    draws: int | None = None,
    seed: int,
    log_likelihood: bool = True,
) -> xr.DataTree:
    """Return a nested run as an ArviZ DataTree: equally weighted draws, and the evidence.

    Parameters
    ----------
    nested : Nested
        The merged run.
    comparison : Comparison, optional
        The comparison with its modes: draws then follow its weights, in which each mode has its
        own volume, and carry their modes.
    draws : int, optional
        How many draws; by default the most that use no point twice (`equal_draws`).
    seed : int
        Seed of the choice of draws and of their order.
    log_likelihood : bool
        Include the log likelihood of every draw and observation, if the program has it.

    Returns
    -------
    DataTree
        Group ``posterior``: the variables, in one chain of independent draws in random order.
        Group ``sample_stats``: ``lp``, the log density on the unconstrained space; ``logl``, the
        log likelihood against the base measure, which is that of the data if the base measure is
        the prior (nats); ``run`` and ``point``, the run that the draw comes from and its place
        in the merged run, both from 0; with a comparison ``mode`` and ``function``, their
        numbers. Group ``log_likelihood``, in single precision if this can hold it. The root's
        attributes are the evidence: ``log_z``, ``log_z_sd``, ``log_z_volume_sd``,
        ``log_z_between_sd`` (NaN for one run), ``d_kl`` (of the posterior from the base measure;
        all in nats), ``evaluations``,
        ``nlive`` (of each run), ``runs``, ``insertion_p``, ``effective_samples``,
        ``log_prior_inside``. With a comparison group ``modes`` has the figures of each mode, by its
        id: ``log_z``, ``log_z_sd`` (nats), ``evidence``, ``evidence_sd`` (its share) and
        ``function``; NaN for a mode that only chains found.

    Raises
    ------
    InputError
        ``draws`` is not 1 or more, the seed is negative, or the comparison is of other runs.

    Warns
    -----
    NamesWarning
        A variable has another name in the tree: see the attribute ``renamed``.
    """
    check_seed(seed)
    if comparison is not None and comparison.nested is not nested:
        raise InputError(
            f"comparison: it is of other nested runs than these of {nested.posterior.name}"
        )
    weights = nested.weights if comparison is None else comparison.nested_weights
    point = equal_draws(weights, draws, np.random.default_rng(seed))
    posterior, eta = nested.posterior, nested.eta[point]
    stats: dict[str, Any] = {
        "lp": np.array([posterior.log_density(one) for one in eta]),
        "logl": nested.logl[point],
        "run": nested.run_of[point],
        "point": point,
    }
    if comparison is not None:
        stats |= mode_and_function(comparison, comparison.nested_modes[point])
    told = log_likelihood and posterior.has_log_lik
    tree = draws_tree(
        posterior,
        nested.rows[point][None],
        {"sample_stats": {name: values[None] for name, values in stats.items()}},
        log_lik=single(posterior.log_lik(eta))[None] if told else None,
        attrs={**_evidence(nested), "seed": seed},
    )
    if comparison is not None:
        tree["modes"] = modes_tree(comparison)
    return tree


def modes_tree(comparison: Comparison) -> xr.DataTree:
    """Return the figures of each mode of a comparison, by its id."""
    import xarray as xr

    modes = comparison.summaries
    columns = {
        "log_z": [mode.log_z.value for mode in modes],
        "log_z_sd": [mode.log_z.sd for mode in modes],
        "evidence": [mode.evidence.value for mode in modes],
        "evidence_sd": [mode.evidence.sd for mode in modes],
        "function": [mode.function for mode in modes],
    }
    ids = {"mode": [mode.id for mode in modes]}
    return xr.DataTree(xr.Dataset({k: ("mode", v) for k, v in columns.items()}, ids))


def _evidence(nested: Nested) -> dict[str, Any]:
    return {
        "posterior": nested.posterior.name,
        "log_z": nested.log_z,
        "log_z_sd": nested.log_z_sd,
        "log_z_volume_sd": nested.log_z_volume_sd,
        "log_z_between_sd": nested.log_z_between_sd,
        "d_kl": nested.d_kl_base[0],
        "d_kl_sd": nested.d_kl_base[1],
        "evaluations": nested.evaluations,
        "nlive": nested.nlive,
        "runs": len(nested.runs),
        "insertion_p": nested.insertion_p,
        "effective_samples": nested.effective_samples,
        "log_prior_inside": nested.log_prior_inside[0],
    }


# ------------------------------------------------------------------------- PolyChord's files


def write_polychord_files(
    nested: Nested,
    folder: Path | str,
    *,
    root: str | None = None,
    seed: int = 1,
    overwrite: bool = True,
) -> tuple[Path, ...]:
    """Write the merged run in the files that PolyChord itself writes.

    ``anesthetic.read_chains(f"{folder}/{root}")`` reads them, and so do GetDist and other tools
    that know PolyChord's files. Parameters are Stan's, on the constrained scale; transformed
    parameters are derived ones. Numbers have 17 digits, so that contours stay exact.

    Parameters
    ----------
    nested : Nested
        The merged run.
    folder : path
        The folder for the files; it is made if it does not exist.
    root : str, optional
        The beginning of their names; by default the posterior's name.
    seed : int
        Seed of the choice of equally weighted points.
    overwrite : bool
        Replace existing files of these names.

    Returns
    -------
    tuple of Path
        The files: ``.stats`` (the evidence), ``.paramnames`` (names, labels),
        ``.properties.ini``, ``.txt`` (weight, -2 logL, parameters), ``_equal_weights.txt``, and
        ``_dead-birth.txt`` (parameters, logL, logL of the contour of its birth).

    Raises
    ------
    InputError
        The root cannot begin a file name, or a file cannot be written, or exists already.

    Warns
    -----
    NamesWarning
        A variable has another name in the files.

    Notes
    -----
    All points of a finished run are dead, so there is no file of live points. logL is against
    the base measure. If the density is zero on a part of the base measure, the evidence in these
    files is relative to the rest, as in PolyChord's own (`Nested.log_prior_inside` is the log of
    the share of the rest). The only local evidence is that of the whole, because PolyChord's
    numbers of clusters are not numbers of modes. PolyChordLite's README and its
    ``read_write.F90`` describe the formats.
    """
    root = re.sub(r"[^\w.-]+", "_", nested.posterior.name) if root is None else root
    if not root or re.search(r"[\s/\\]", root) or root[0] in ".-":
        raise InputError(f"root: '{root}' cannot begin a file name")
    check_seed(seed)
    target = ensure_folder(Path(folder))
    refuse_existing((target / f"{root}{ending}" for ending in _ENDINGS), overwrite)
    sweep_partials(target)
    posterior = nested.posterior
    n_parameters = int(posterior.model.param_num())
    outside = posterior.exported_names
    if said := renamed_text(outside):
        warnings.warn(said, NamesWarning, stacklevel=2)
    names = [renamed_flat(flat, outside) for flat in posterior.model.param_names(include_tp=True)]
    weighted = nested.weights > 0
    relative = nested.weights[weighted] / nested.weights.max()
    equal = equal_draws(nested.weights, None, np.random.default_rng(seed))
    halves = -2 * nested.logl
    birth = np.maximum(nested.birth, _LOG_ZERO)
    texts = {
        ".stats": _stats_text(nested, n_parameters, int(weighted.sum()), len(equal)),
        ".paramnames": "".join(
            f"{stan_name(name)}{'*' if i >= n_parameters else ''}      {tex_label(name)}\n"
            for i, name in enumerate(names)
        ),
        ".properties.ini": f"sampler=nested\nlabel={root}\n",
        ".txt": _table(relative, halves[weighted], *nested.rows[weighted].T),
        "_equal_weights.txt": _table(np.ones(len(equal)), halves[equal], *nested.rows[equal].T),
        "_dead-birth.txt": _table(*nested.rows.T, nested.logl, birth),
    }
    paths = []
    for ending, text in texts.items():
        paths.append(target / f"{root}{ending}")
        write_text(paths[-1], text)
    return tuple(paths)


def _table(*columns: FloatArray) -> str:
    rows: Iterable[list[float]] = np.column_stack(columns).tolist()
    return "".join(" ".join(f"{value: .16E}" for value in row) + "\n" for row in rows)


def _stats_text(nested: Nested, n_parameters: int, n_posterior: int, n_equal: int) -> str:
    """Return the text of the file of statistics; readers find its lines by their number."""
    evidence = f"= {nested.log_z_restricted: .16E} +/- {nested.log_z_sd: .16E}"
    mean = nested.weights @ nested.rows
    sd = np.sqrt(nested.weights @ (nested.rows - mean) ** 2)
    moments = [
        f"{i + 1:3d} {m: .16E} +/- {s: .16E}" for i, (m, s) in enumerate(zip(mean, sd, strict=True))
    ]
    n_dead = len(nested.logl)
    lines = [
        "Evidence estimates:",
        "===================",
        "  - The evidence Z is log-normal with location mu and scale sigma.",
        "  - log(Z) = mu +/- sigma, from independent runs merged into one.",
        "",
        "Global evidence:",
        "----------------",
        "",
        f"log(Z)       {evidence}",
        "",
        "",
        "Local evidences:",
        "----------------",
        "",
        f"log(Z_1)     {evidence}",
        "",
        "",
        "Run-time information:",
        "---------------------",
        "",
        f" ncluster:   {0:8d} /{1:8d}",
        f" nposterior: {n_posterior:8d}",
        f" nequals:    {n_equal:8d}",
        f" ndead:      {n_dead:8d}",
        f" nlive:      {nested.nlive * len(nested.runs):8d}",
        f" nlike:      {nested.evaluations:8d}",
        f" <nlike>:    {nested.evaluations / n_dead:8.2f}   ( {np.nan:8.2f} per slice )",
        "",
        "",
        "Dim No.       Mean        Sigma",
        *moments[:n_parameters],
        "-------------------------------",
        *moments[n_parameters:],
    ]
    return "\n".join(lines) + "\n"
