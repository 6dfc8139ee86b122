"""The variables of a network in ArviZ's trees: names of dimensions, coordinates, and the data."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from manymodes.density.posterior import Posterior
from manymodes.networks.group_priors import (
    GROUP_SCALE,
    SOURCE_SCALE,
    GroupPriors,
    group_names,
    source_counts,
)
from manymodes.networks.network import Network
from manymodes.networks.observed import observed
from manymodes.networks.variable_size import P_ACTIVE
from manymodes.tables.table import TABLE, Table
from manymodes.types import FloatArray

Label = int | str

_MOST_DATA = 10_000_000


@dataclass(frozen=True)
class Layout:
    """How the variables of a posterior are laid out in a tree.

    Attributes
    ----------
    dims : dict of str to list of str
        The names of a variable's dimensions; ArviZ's own for variables that are not here.
    coords : dict of str to list
        The coordinates of each of these dimensions.
    reported : tuple of str
        The variables of the group ``posterior``; empty for all. The others are what these are
        computed from.
    """

    dims: dict[str, list[str]] = field(default_factory=dict)
    coords: dict[str, list[Label]] = field(default_factory=dict)
    reported: tuple[str, ...] = ()


def table_of(posterior: Posterior) -> Table | None:
    """Return the table that the data of a network were made from; None without one.

    Raises
    ------
    ResultsError
        It is damaged.
    """
    network, path = posterior.network, posterior.data_file
    if network is None or path is None or not (path.parent / TABLE).is_file():
        return None
    table = Table.load(path.parent)
    fits = (
        len(table.input_names) == network.inputs
        and (
            len(table.target.classes)
            if network.likelihood == "categorical"
            else len(table.all_targets)
        )
        == network.outputs
    )
    return table if fits else None


def layout_of(posterior: Posterior) -> Layout:
    """Return the layout of a posterior's variables: names for a network's, ArviZ's for others'.

    Raises
    ------
    ResultsError
        The table beside the data is damaged.
    """
    network = posterior.network
    if network is None:
        return Layout()
    shapes = {**network.weight_shapes, **network.scale_shapes}
    there = {one.name: one.shape for one in posterior.variables}
    if any(there.get(name) != shape for name, shape in shapes.items()):
        return Layout()
    dims, coords = _of_weights(network, table_of(posterior))
    dims |= {
        f"{name}_raw": named
        for name, named in dims.items()
        if there.get(f"{name}_raw") == shapes.get(name, ())
    }
    if coords.keys() & there.keys():
        return Layout()
    return Layout(dims, coords, tuple(shapes))


def _of_weights(
    network: Network, table: Table | None
) -> tuple[dict[str, list[str]], dict[str, list[Label]]]:
    hidden = network.hidden
    deep = len(hidden) > 1
    units = [f"unit_{layer}" if deep else "unit" for layer in range(1, len(hidden) + 1)]
    inputs: list[Label] = list(table.input_names) if table else _counted(network.inputs)
    coords: dict[str, list[Label]] = {
        **{name: _counted(width) for name, width in zip(units, hidden, strict=True)},
        "input": inputs,
        "output": _outputs(network, table),
    }
    dims = {
        "W": [units[0], "input"],
        "b": ["hidden_unit" if deep else "unit"],
        "V": ["output", units[-1]],
        "c": ["output"],
    }
    if deep:
        coords["hidden_unit"] = [
            f"{layer}.{unit}" for layer, width in enumerate(hidden, 1) for unit in _counted(width)
        ]
        dims["W_deep"] = ["deep_weight"]
        coords["deep_weight"] = [  # by columns, as Stan has matrices
            f"{layer}.{to} from {layer - 1}.{source}"
            for layer in range(2, len(hidden) + 1)
            for source in _counted(hidden[layer - 2])
            for to in _counted(hidden[layer - 1])
        ]
    if network.skip:
        dims["S"] = ["output", "input"]
    if network.noise_count:
        dims["sigma"] = ["target"]
    if network.likelihood_parts.is_real or network.noise_count:
        coords["target"] = _targets(network, table)
    if network.likelihood == "categorical":
        coords["class"] = _outputs(network, table)
    if network.active is not None:
        dims[P_ACTIVE] = ["active_units"]
        coords["active_units"] = _counted(hidden[0])
    prior = network.prior_parts
    if isinstance(prior, GroupPriors):
        _add_scales(prior, network, inputs, dims, coords)
    elif prior.ard:
        dims["input_scale"] = ["input"]
    return dims, coords


def _counted(n: int) -> list[Label]:
    return list(range(1, n + 1))


def _targets(network: Network, table: Table | None) -> list[Label]:
    if table is None:
        return _counted(network.outputs)
    return [target.name for target in table.all_targets]


def _outputs(network: Network, table: Table | None) -> list[Label]:
    """Return the labels of the outputs: classes, or targets and the logarithms of their noise."""
    if network.likelihood == "categorical":
        return list(table.target.classes) if table else list(range(network.outputs))
    if network.units_out == network.outputs:
        return _targets(network, table)
    if table is None:
        return _counted(network.units_out)
    names = _targets(network, table)
    return [*names, *(f"log sd of {name}" for name in names)]


def _add_scales(
    prior: GroupPriors,
    network: Network,
    inputs: Sequence[Label],
    dims: dict[str, list[str]],
    coords: dict[str, list[Label]],
) -> None:
    """Add the sampled scales of a prior by group, in the order of the Stan program."""
    hidden = network.hidden
    names = group_names(len(hidden), network.skip)
    counts = source_counts(network.inputs, hidden, network.skip)
    groups: list[Label] = [name for name, one in prior.groups.items() if one.scale.kind != "fixed"]
    sources: list[Label] = []
    for name, n in zip(names, counts, strict=True):
        if prior.groups[name].sources is not None:
            own = inputs if name in ("ih", "io") else _counted(n)
            sources += [name] if name.startswith("b") else [f"{name} from {one}" for one in own]
    if groups:
        dims[GROUP_SCALE], coords["weight_group"] = ["weight_group"], groups
    if sources:
        dims[SOURCE_SCALE], coords["weight_source"] = ["weight_source"], sources


# ------------------------------------------------------------------------- the data


def data_groups(
    posterior: Posterior,
) -> tuple[dict[str, dict[str, tuple[list[str], npt.NDArray[Any], dict[str, Any]]]], str]:
    """Return the data of a network for a tree, as the program was given them.

    Returns
    -------
    groups : dict
        Group ``observed_data``: ``y``; group ``constant_data``: the inputs ``X`` and what counts
        are of, ``exposure`` or ``trials``. Each is dimensions, values and attributes: the table's
        column, and how a standardised value becomes one in its units. Empty without a network.
    said : str
        Why they are left out; empty if they are not.
    """
    network = posterior.network
    if network is None:
        return {}, ""
    given, table = observed(network, posterior.data), table_of(posterior)
    size = given.X.size + given.y.size
    if size > _MOST_DATA:
        return {}, f"left out: {size} values are more than {_MOST_DATA}"
    y = (y_dims(network), as_counted(network, given.y), _about_y(table))
    rest: dict[str, tuple[list[str], npt.NDArray[Any], dict[str, Any]]] = {
        name: (["obs"], values, {}) for name, values in given.counted_over.items()
    }
    about = {} if table is None else {"description": "inputs, scaled as table.json says"}
    return {
        "observed_data": {"y": y},
        "constant_data": {"X": (["obs", "input"], given.X, about), **rest},
    }, ""


def y_dims(network: Network) -> list[str]:
    """Return the dimensions of the outcomes of all rows."""
    return (
        ["obs", "target"] if network.likelihood_parts.is_real and network.outputs > 1 else ["obs"]
    )


def as_counted(network: Network, y: FloatArray) -> npt.NDArray[Any]:
    """Return outcomes as whole numbers where they are classes or counts, for ArviZ's figures."""
    if network.likelihood_parts.is_real or not np.isfinite(y).all():
        return y
    return y.astype(np.int32)


def _about_y(table: Table | None) -> dict[str, Any]:
    """Return attributes of the outcomes: names, classes, and the scaling of each target."""
    if table is None:
        return {}
    targets = table.all_targets
    about: dict[str, Any] = {"column": ", ".join(one.name for one in targets)}
    if table.target.classes:
        about["classes"] = list(table.target.classes)
    scalings = [one.scaling for one in targets]
    if any(one.mean or not math.isclose(one.sd, 1.0) for one in scalings):
        about["description"] = "standardised: in the units of the column it is mean + sd * y"
        about["mean"] = [float(one.mean) for one in scalings]
        about["sd"] = [float(one.sd) for one in scalings]
    return about


def with_reported(
    values: Mapping[str, FloatArray], layout: Layout
) -> tuple[dict[str, FloatArray], dict[str, FloatArray], dict[str, str]]:
    """Divide variables into the reported ones and those that these are computed from.

    A variable that equals a reported one bit by bit is left out.

    Parameters
    ----------
    values : mapping of str to array
        All variables.
    layout : Layout
        Says which are reported.

    Returns
    -------
    reported, raw : dict of str to array
        The others are all in ``reported`` where the layout names none.
    left_out : dict of str to str
        The reported variable that one which is left out equals, by its name.
    """
    if not layout.reported:
        return dict(values), {}, {}
    reported = {name: value for name, value in values.items() if name in layout.reported}
    raw = {name: value for name, value in values.items() if name not in reported}
    left_out = {
        name: same
        for name, value in raw.items()
        for same, one in reported.items()
        if _equal(value, one)
    }
    kept = {name: value for name, value in raw.items() if name not in left_out}
    return reported, kept, left_out


def _equal(first: FloatArray, second: FloatArray) -> bool:
    return first.shape == second.shape and np.array_equal(first, second, equal_nan=True)
