"""Draws as ArviZ DataTrees: what the trees of chains, mixtures and nested runs have in common."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from manymodes.density.labels import renamed_text
from manymodes.density.posterior import Posterior
from manymodes.errors import NamesWarning
from manymodes.sampling.chains.dimensions import (
    Layout,
    data_groups,
    layout_of,
    with_reported,
)
from manymodes.types import FloatArray, IntArray

if TYPE_CHECKING:
    import xarray as xr

RAW = "raw_posterior"
"""The group with what the reported variables of a network are computed from."""

SAME = "left_out_as_equal"
"""The attribute of the group ``posterior`` with the variables that are left out because another one
equals them bit by bit: JSON, the other one by name."""

_LARGEST = float(np.finfo(np.float32).max)


def draws_tree(
    posterior: Posterior,
    rows: FloatArray,
    groups: Mapping[str, Mapping[str, npt.NDArray[Any]]],
    *,
    log_lik: npt.NDArray[Any] | None = None,
    chain: npt.ArrayLike | None = None,
    attrs: Mapping[str, Any],
) -> xr.DataTree:
    """Return draws of a posterior as a tree.

    Parameters
    ----------
    posterior : Posterior
        Names the variables.
    rows : array of shape (C, S, P)
        Constrained rows: the group ``posterior``, each variable under its name of
        `manymodes.density.labels.exported_names`. Of a network this group has the weights and
        sampled scales, with named dimensions; what they are computed from is in the group
        ``raw_posterior``, unless it is the same bit by bit. A network's data are in the groups
        ``observed_data`` and ``constant_data``.
    groups : mapping
        Other groups: arrays of shape (C, S, ...) by name.
    log_lik : array of shape (C, S, N), optional
        The group ``log_likelihood``, in which ``y`` has the shape of the program's ``log_lik``:
        the dimension ``obs`` for a vector or a scalar.
    chain : array_like of shape (C,), optional
        The numbers of the chains; from 0 by default.
    attrs : mapping
        Attributes of the root.

    Warns
    -----
    NamesWarning
        A variable has another name outside.
    """
    import xarray as xr
    from arviz_base import from_dict

    names = posterior.exported_names
    said = renamed_text(names)
    if said:
        warnings.warn(said, NamesWarning, stacklevel=3)
        attrs = {**attrs, "renamed": said}
    layout = layout_of(posterior)
    reported, raw, left_out = with_reported(posterior.unpack(rows), layout)
    posteriors = {
        group: {names[name]: value for name, value in drawn.items()}
        for group, drawn in (("posterior", reported), (RAW, raw))
        if drawn or group == "posterior"
    }
    data, data_left_out = data_groups(posterior)
    if data_left_out:
        attrs = {**attrs, "constant_data": data_left_out}
    coords: dict[str, Any] = {} if chain is None else {"chain": np.asarray(chain)}
    dims = {names[name]: named for name, named in layout.dims.items() if name in names}
    tree = from_dict(
        {**posteriors, **groups},
        coords={**coords, **layout.coords},
        dims=dims,
        attrs={
            "/": dict(attrs),
            "posterior": {SAME: json.dumps(left_out)} if left_out else {},
        },
    )
    for group, given in data.items():
        tree[group] = xr.DataTree(data_set(given, layout))
    if log_lik is not None:
        shape = posterior.log_lik_shape
        shape = (log_lik.shape[2],) if len(shape) < 2 else shape
        # Not by `from_dict` above: it would give a variable y of the program these dimensions.
        entries = {"y": log_lik.reshape(*log_lik.shape[:2], *shape)}
        dims = {"y": ["obs"]} if len(shape) == 1 else {}
        made = from_dict({"log_likelihood": entries}, coords=coords, dims=dims)
        tree["log_likelihood"] = xr.DataTree(made["log_likelihood"].to_dataset())
    return tree


def data_set(
    entries: Mapping[str, tuple[list[str], npt.NDArray[Any], dict[str, Any]]], layout: Layout
) -> xr.Dataset:
    """Return arrays with their dimensions and attributes, with the coordinates of a layout."""
    import xarray as xr

    used = {name for dims, _, _ in entries.values() for name in dims}
    coords = {name: labels for name, labels in layout.coords.items() if name in used}
    length = next(len(values) for dims, values, _ in entries.values() if dims[0] == "obs")
    return xr.Dataset(dict(entries), {**coords, "obs": np.arange(length)})


def chains_log_lik(posterior: Posterior, eta: FloatArray, lengths: IntArray) -> npt.NDArray[Any]:
    """Return the log likelihood of draws, shape (C, S, N); of each chain its first ones.

    It is NaN in draws that a chain does not have, and where the generated quantities throw.
    """
    shape = (*eta.shape[:2], posterior.n_obs)
    values: npt.NDArray[Any] = np.full(shape, np.nan, dtype=np.float32)
    for chain, (points, length) in enumerate(zip(eta, lengths, strict=True)):
        values = put(values, np.s_[chain, :length], posterior.log_lik(points[:length]))
    return values


def single(values: FloatArray) -> npt.NDArray[np.float32] | FloatArray:
    """Return values in single precision, or as they are where one is too large for that."""
    finite = np.abs(values[np.isfinite(values)])
    if finite.size and finite.max() > _LARGEST:
        return values
    return values.astype(np.float32)


def put(values: npt.NDArray[Any], where: Any, found: FloatArray) -> npt.NDArray[Any]:
    """Put numbers into an array of single precision; return it, in double if one needs that."""
    narrow = single(found)
    if narrow.dtype != values.dtype:
        values = values.astype(float)
    values[where] = narrow
    return values
