"""The corner plot: weights one by one and two by two, under each posterior."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from manymodes.density.posterior import Posterior
from manymodes.modes.comparison import Comparison
from manymodes.report.plots.draws import pool_of
from manymodes.report.plots.style import POSTERIORS, WIDTH, by_name, styled
from manymodes.types import FloatArray

MOST_COLUMNS = 6
_POINTS = 1500
_MOSTLY = 0.5
_MARGIN = 0.75  # inches, for ticks and labels


def corner_names(comparison: Comparison) -> tuple[str, ...]:
    """Return Stan's names of the scalars that a corner plot shows.

    These are the first six of the input weights ``W`` of a network, or of all parameters of
    another program.
    """
    spread = [name for name, values in _finite_draws(comparison).items() if np.ptp(values) > 0]
    return tuple(spread[:MOST_COLUMNS])


def _finite_draws(comparison: Comparison) -> dict[str, FloatArray]:
    """Return equally weighted draws of each scalar, all finite; rarely finite ones are left out."""
    pool = pool_of(comparison)
    columns = corner_columns(comparison.posterior, pool.rows[pool.draws(None, _POINTS)])
    columns = {n: v for n, v in columns.items() if np.isfinite(v).mean() > _MOSTLY}
    if not columns:
        return {}
    kept = np.all([np.isfinite(values) for values in columns.values()], axis=0)
    return {name: values[kept] for name, values in columns.items()} if kept.any() else {}


@styled
def plot_corner(comparisons: Comparison | Mapping[str, Comparison]) -> Figure:
    """Plot weights one by one and two by two, posteriors on top of each other (anesthetic).

    Parameters
    ----------
    comparisons : Comparison or mapping of str to Comparison
        Nested points are used if there are any, otherwise the chains, stacked if possible.

    Returns
    -------
    Figure
        Histograms on the diagonal and equally weighted draws below it.
    """
    import matplotlib.pyplot as plt
    from anesthetic import Samples, make_2d_axes

    found = by_name(comparisons)
    names = corner_names(next(iter(found.values())))
    size = min(WIDTH, 1.5 + 1.3 * len(names))
    figure: Figure = plt.figure(figsize=(size, size))
    try:
        _, grid = make_2d_axes(list(names), fig=figure, upper=False)
        handles = []
        for (name, comparison), colour in zip(found.items(), POSTERIORS, strict=False):
            columns = _finite_draws(comparison)
            samples = Samples(data={n: columns[n] for n in names if n in columns})
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # limits of a column without spread
                samples.plot_2d(
                    grid,
                    kinds={"diagonal": "hist_1d", "lower": "scatter_2d"},
                    diagonal_kwargs={"bins": 30, "histtype": "stepfilled", "alpha": 0.5},
                    lower_kwargs={
                        "ms": 1.6,
                        "mew": 0,
                        "alpha": 0.4,
                        "rasterized": True,
                        "ncompress": False,
                    },
                    color=colour,
                    label=name,
                )
            handles.append(Line2D([], [], color=colour, lw=6, alpha=0.7, label=name))
        if len(found) > 1:
            figure.legend(handles=handles, loc="upper right", bbox_to_anchor=(0.97, 0.97))
        edge = _MARGIN / size
        figure.subplots_adjust(left=edge, bottom=edge, right=0.98, top=0.98)
    finally:
        plt.close(figure)
    return figure


def corner_columns(posterior: Posterior, rows: FloatArray) -> dict[str, FloatArray]:
    """Return each scalar of rows (..., P) by Stan's name for it, shape (...).

    For a network only its input weights are returned.
    """
    variables = posterior.unpack(rows)
    if posterior.network is not None:
        variables = {"W": variables["W"]}
    columns = {}
    for name, values in variables.items():
        for index in np.ndindex(values.shape[rows.ndim - 1 :]):
            subscript = ",".join(str(i + 1) for i in index)
            columns[f"{name}[{subscript}]" if index else name] = values[(..., *index)]
    return columns
