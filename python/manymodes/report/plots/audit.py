"""Figures of an audit: how many copies of a function a constraint admits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from manymodes.errors import InputError
from manymodes.networks.audit import Audit
from manymodes.networks.constraints import Booleans, admits
from manymodes.networks.symmetry import act, members, normalised
from manymodes.report.plots.style import POSTERIORS, WHOLE, new_figure, quiet_grid, styled, tint
from manymodes.types import FloatArray, IntArray

Spot = tuple[FloatArray, FloatArray, Booleans]

_KINDS = ("none", "one", "several")
_COLOURS = {"none": "#d55e00", "one": "#0072b2", "several": "#56b4e9"}
_BAND = "#e8edf3"
_REACH = 2.6
_MOST_BARS = 24
_APART = 0.3


@styled
def plot_audit(audit: Audit) -> Figure:
    """Plot the shares of functions with no, one and several copies, and how many copies they have.

    Parameters
    ----------
    audit : Audit
        The audit of one constraint.

    Returns
    -------
    Figure
        Shares with their standard errors, exact values as black marks; the numbers of copies;
        and, for one hidden layer of two units, all copies of three functions with the region.

    Raises
    ------
    InputError
        If nothing was counted: the copies were sampled.
    """
    _check((audit,))
    draw = _domain_drawing(audit)
    figure = new_figure(3.5, 10.2 if draw else 6.8)
    axes = figure.subplots(1, 3 if draw else 2, width_ratios=[1.2, 1, 1.3] if draw else [1.1, 1])
    _bars(axes[0], audit)
    _histogram(axes[1], audit)
    if draw:
        draw(axes[2], audit)
    return figure


@styled
def plot_audits(audits: Sequence[Audit]) -> Figure:
    """Plot the shares of functions with no, one and several copies for several constraints.

    Parameters
    ----------
    audits : sequence of Audit
        Of one network under several constraints. Those whose copies were sampled are left out.
    """
    counted = [audit for audit in audits if audit.histogram]
    _check(counted)
    figure = new_figure(1.1 + 0.42 * len(counted))
    axes = figure.subplots()
    for row, audit in enumerate(counted):
        left = 0.0
        for kind in _KINDS:
            share = 100 * audit.shares[kind].best
            axes.barh(row, share, left=left, height=0.66, color=_COLOURS[kind])
            if share >= 6:
                axes.text(
                    left + share / 2,
                    row,
                    f"{share:.3g}%",
                    color="white",
                    va="center",
                    ha="center",
                    fontsize=9.5,
                )
            left += share
        copies = audit.copies.best
        words = f"{copies:.4g} {'copy' if copies == 1 else 'copies'}"
        words += " × rescaling" if audit.continuum else ""
        axes.text(101.5, row, words if copies > 0 else "none found", va="center")
    axes.set_yticks(range(len(counted)), [audit.network.constraint for audit in counted])
    axes.tick_params(axis="y", length=0)
    axes.invert_yaxis()
    axes.set_xlim(0, 100)
    axes.set_xlabel("share of functions (%); right: copies left of a kept function")
    handles = [Line2D([], [], color=_COLOURS[k], lw=7, label=_words(k)) for k in _KINDS]
    figure.legend(handles=handles, loc="outside upper left", ncols=3, handlelength=1)
    return figure


def _check(audits: Sequence[Audit]) -> None:
    """Refuse audits without numbers that a figure could show."""
    if not audits or not all(audit.histogram for audit in audits):
        raise InputError("figure: the copies of a function are too many to count")
    if any(audit.group_order > 1e300 for audit in audits):
        raise InputError("figure: the copies of a function are too many to draw")


def _words(kind: str) -> str:
    return {"none": "no copy: lost", "one": "one copy", "several": "several copies"}[kind]


def _bars(axes: Axes, audit: Audit) -> None:
    for row, kind in enumerate(_KINDS):
        share = audit.shares[kind]
        value, sd = 100 * share.value, 100 * share.sd
        axes.barh(row, value, height=0.62, color=_COLOURS[kind])
        low = min(sd, value)
        axes.errorbar(value, row, xerr=[[low], [sd]], color=WHOLE, lw=1, capsize=3, fmt="none")
        if share.exact is not None and 0 < share.exact < 1:
            exact = 100 * share.exact
            axes.plot([exact, exact], [row - 0.4, row + 0.4], color="black", lw=1.4, ls=":")
        axes.annotate(
            f"{value:.3g}", (value + sd, row), (6, 0), textcoords="offset points", va="center"
        )
    axes.set_yticks(range(3), [_words(kind).replace(": ", ":\n") for kind in _KINDS])
    axes.tick_params(axis="y", length=0)
    axes.invert_yaxis()
    axes.set_xlim(0, 118)
    axes.set_xticks([0, 25, 50, 75, 100])
    axes.set_xlabel("share of functions (%)")
    axes.set_title(f"{audit.network.constraint}, {audit.network.activation}", loc="left")
    if any(share.exact is not None and 0 < share.exact < 1 for share in audit.shares.values()):
        handle = Line2D([], [], color="black", lw=1.4, ls=":", label="exact")
        axes.legend(handles=[handle], loc="lower right", handlelength=1.2)
    quiet_grid(axes)


def _histogram(axes: Axes, audit: Audit) -> None:
    numbers = np.array([float(copies) for copies, _ in audit.histogram])
    shares = 100 * np.array([share for _, share in audit.histogram])
    colours = [_COLOURS["none" if n == 0 else "one" if n == 1 else "several"] for n in numbers]
    axes.set_xlabel("admitted copies of a function")
    if len(numbers) <= _MOST_BARS:
        places = np.arange(len(numbers))
        axes.bar(places, shares, width=0.7, color=colours)
        step = 1 + len(numbers) // 9
        axes.set_xticks(places[::step], [f"{n:.4g}" for n in numbers[::step]])
        axes.set_xlim(-1, max(len(numbers), 2))
    elif numbers.max() < 1e5:
        edges = np.linspace(0.5, numbers.max() + 0.5, 31).tolist()
        axes.hist(numbers, edges, weights=shares, color=_COLOURS["several"])
        if numbers[0] == 0:
            axes.bar([0.5], shares[:1], width=0.5 - edges[1], color=colours[0], align="edge")
    else:
        some = numbers > 0
        axes.hist(np.log10(numbers[some]), 30, weights=shares[some], color=_COLOURS["several"])
        axes.set_xlabel("log10 of admitted copies")
        axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.set_ylim(0, None)
    axes.set_ylabel("functions (%)")
    order = audit.group_order
    axes.set_title(f"of {order if order < 10**6 else f'{order:.3g}'} copies", loc="left")
    quiet_grid(axes, "y")


# -------------------------------------------------------------------------- two units


def _domain_drawing(audit: Audit) -> Any:
    if audit.network.hidden != (2,):
        return None
    if audit.network.constraint.startswith("pd-skew") and audit.network.inputs == 2:
        return _matrices
    if audit.network.constraint in ("none", "ordered", "ordered-signed", "unit-norm"):
        return _biases
    return None


def _biases(axes: Axes, audit: Audit) -> None:
    """Draw copies in the plane of the two biases."""
    network = audit.network

    def biases(copy: dict[str, FloatArray]) -> FloatArray:
        return normalised(network, copy)["b"] if network.constraint == "unit-norm" else copy["b"]

    def place(copy: dict[str, FloatArray]) -> Spot:
        x, y = np.moveaxis(biases(copy), -1, 0) / scale
        positive: Booleans = np.min(copy["V"][:, 0], axis=-1) > 0
        return x, y, positive if network.constraint == "ordered-signed" else np.isfinite(x)

    draws = network.sample_prior(np.random.default_rng(audit.seed), 400)
    scale = np.median(np.abs(biases(draws)))
    if network.constraint == "none":
        axes.set_facecolor(_BAND)
    else:
        axes.fill_between([-_REACH, _REACH], [-_REACH, _REACH], _REACH, color=_BAND, lw=0)
    what = "outgoing weight negative" if "signed" in network.constraint else ""
    _copies(axes, audit, draws, place, what)
    axes.set_xlabel("bias of unit 1")
    axes.set_ylabel("bias of unit 2", labelpad=0, parse_math=True)


def _matrices(axes: Axes, audit: Audit) -> None:
    """Draw copies in the plane of skew and symmetric part, both over the diagonal's size."""

    def place(copy: dict[str, FloatArray]) -> Spot:
        w = copy["W"]
        size = np.sqrt(np.abs(w[:, 0, 0] * w[:, 1, 1]))
        good = (w[:, 0, 0] > 0) & (w[:, 1, 1] > 0)
        return (w[:, 0, 1] + w[:, 1, 0]) / (2 * size), (w[:, 0, 1] - w[:, 1, 0]) / (2 * size), good

    axes.fill_between([-1, 1], 0, _REACH, color=_BAND, lw=0)
    draws = audit.network.sample_prior(np.random.default_rng(audit.seed), 400)
    _copies(axes, audit, draws, place, "diagonal not positive")
    axes.set_xlabel(r"symmetric part  $S_{12}\,/\,|W_{11}W_{22}|^{1/2}$", parse_math=True)
    axes.set_ylabel(r"skew part  $A_{12}\,/\,|W_{11}W_{22}|^{1/2}$", labelpad=0, parse_math=True)


def _copies(
    axes: Axes, audit: Audit, draws: dict[str, FloatArray], place: Any, crossed: str
) -> None:
    """Draw all copies of three functions: filled if admitted, else hollow or a cross."""
    network = audit.network
    group = list(members(network))
    copies = [act(network, draws, *member) for member in group]
    admitted = np.stack([admits(network, copy) for copy in copies])
    spots = [place(copy) for copy in copies]
    points = np.stack([np.stack([x, y]) for x, y, _ in spots])
    chosen = _choose(admitted.sum(axis=0), points)
    for colour, draw in zip(POSTERIORS, chosen, strict=False):
        for inside, (x, y, good) in zip(admitted[:, draw], spots, strict=True):
            style: dict[str, Any] = {"ms": 7, "mew": 1.3, "color": tint(colour, 0.45)}
            if inside:
                style |= {"marker": "o", "ms": 9, "color": colour, "zorder": 3}
            elif good[draw]:
                style |= {"marker": "o", "mfc": "white"}
            else:
                style |= {"marker": "x", "ms": 6}
            axes.plot(x[draw], y[draw], ls="none", **style)
    axes.set_xlim(-_REACH, _REACH)
    axes.set_ylim(-_REACH, _REACH)
    axes.set_aspect("equal")
    axes.set_title("all copies of three functions", loc="left")
    grey = {"ls": "none", "color": "#5b616a"}
    handles = [Line2D([], [], marker="o", ms=8, label="admitted", **grey)]  # type: ignore[arg-type]
    if not admitted.all():
        handles += [Line2D([], [], marker="o", mfc="white", label="not", **grey)]  # type: ignore[arg-type]
    if crossed:
        handles += [Line2D([], [], marker="x", label=crossed, **grey)]  # type: ignore[arg-type]
    axes.legend(
        handles=handles,
        loc="upper center",
        bbox_to_anchor=(0.45, -0.2),
        ncols=3,
        handlelength=0.7,
        columnspacing=1,
    )


def _choose(numbers: IntArray, points: FloatArray) -> list[int]:
    """Return three draws with well separated copies, and different numbers admitted if possible.

    Parameters
    ----------
    numbers : ndarray, shape (draws,)
        Admitted copies.
    points : ndarray, shape (members, 2, draws)
        Where the copies are drawn.
    """
    inside = np.abs(points).max(axis=(0, 1)) < 0.94 * _REACH
    chosen: list[int] = []
    for number in (*np.unique(numbers)[::-1], None, None, None):
        for draw in np.flatnonzero(inside).tolist():
            cloud = points[:, :, [*chosen, draw]].transpose(0, 2, 1).reshape(-1, 2)
            distances = np.linalg.norm(cloud[:, None] - cloud, axis=-1)
            distances[np.diag_indices(len(cloud))] = np.inf
            if number in (None, numbers[draw]) and distances.min() > _APART and len(chosen) < 3:
                chosen.append(draw)
                break
    return chosen
