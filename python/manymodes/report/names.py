"""What the data of a posterior are called, and how to return to the user's units."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from manymodes.networks.network import Network
from manymodes.networks.observed import Observed
from manymodes.runtime.shown import Shown
from manymodes.tables.columns import Scaling
from manymodes.tables.table import TABLE
from manymodes.tables.table import Table as DataTable
from manymodes.types import FloatArray
from manymodes.wording import joined, things, visible

_FEW = 3
_LONGEST = 40  # characters of a name in a title


@dataclass(frozen=True, repr=False)
class DataNames(Shown):
    """Names of inputs and target, and the scales on which they were measured.

    Attributes
    ----------
    inputs : tuple of str
        One name for each input of the network.
    target : str
        The name of the target; of several, with commas between them.
    classes : tuple of str
        The names of the classes 0, 1, ...
    source : str
        What the data are; empty if it is not known.
    input_scales : tuple of Scaling
        How each input was standardised.
    target_scale : Scaling
        How a single real target was.
    given : bool
        Whether the names are the user's.

    Examples
    --------
    >>> mm.DataNames(("age", "dose"), "well", ("no", "yes")).title
    'well from age and dose'
    """

    inputs: tuple[str, ...]
    target: str
    classes: tuple[str, ...] = ()
    source: str = ""
    input_scales: tuple[Scaling, ...] = ()
    target_scale: Scaling = field(default_factory=Scaling)
    given: bool = True

    def _headline(self) -> str:
        return f"DataNames: {self.title}"

    @property
    def title(self) -> str:
        """What is learned from what; of long names the beginning."""
        few = [_beginning(name) for name in self.inputs]
        inputs = joined(few) if len(few) <= _FEW else self.inputs_in_words
        return f"{_beginning(self.target)} from {inputs}"

    @property
    def inputs_in_words(self) -> str:
        """The inputs by name, or their number if there are many."""
        few = len(self.inputs) <= _FEW
        return joined(list(self.inputs)) if few else things(len(self.inputs), "input")


def _beginning(name: str) -> str:
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…"


def measured(names: DataNames, X: FloatArray) -> FloatArray:
    """Return inputs of a network, shape (N, M), in the user's units."""
    scales = names.input_scales or (Scaling(),) * X.shape[1]
    return np.stack([s.invert(x) for s, x in zip(scales, X.T, strict=True)], axis=1)


def standardised(names: DataNames, X: FloatArray) -> FloatArray:
    """Return inputs in the user's units, shape (N, M), as the network takes them."""
    scales = names.input_scales or (Scaling(),) * X.shape[1]
    return np.stack([s.apply(x) for s, x in zip(scales, X.T, strict=True)], axis=1)


def class_named(names: DataNames, number: int) -> str:
    """Return a class as a reader knows it."""
    if names.given and number < len(names.classes):
        return f"{names.target} = {names.classes[number]}"
    return f"class {number}"


def prediction_named(names: DataNames, network: Network, data: Observed) -> str:
    """Return what the mean prediction of one target is, in words."""
    kind = network.likelihood_parts.kind
    if kind == "bernoulli":
        return f"probability of {class_named(names, 1)}"
    if kind == "binomial":
        return "probability of a success"
    exposed = (data.counted_over.get("exposure", np.ones(1)) != 1).any()
    if exposed:
        return "rate for an exposure of 1"
    return f"mean of {names.target}" if names.given else "mean prediction"


def default_names(network: Network) -> DataNames:
    """Return names for the data of a network that has none."""
    n = network.inputs
    inputs = tuple(f"input {i + 1}" if n > 1 else "input" for i in range(n))
    return DataNames(inputs, "target", given=False)


def names_of_table(table: DataTable) -> DataNames:
    """Return the names and units that a table has."""
    scales = [column.scaling for column in table.columns for _ in column.inputs]
    single = not table.more_targets
    return DataNames(
        tuple(map(visible, table.input_names)),
        joined([visible(target.name) for target in table.all_targets]),
        tuple(map(visible, table.target.classes)),
        visible(table.source),
        tuple(scales),
        table.target.scaling if single else Scaling(),
    )


def kept_names(folders: Mapping[str, Path]) -> dict[str, DataNames]:
    """Return the names of the posteriors that were made from tables, by the posteriors' names.

    Parameters
    ----------
    folders : mapping of str to Path
        Where each posterior is kept.

    Raises
    ------
    ResultsError
        A ``table.json`` is damaged.
    """
    return {
        name: names_of_table(DataTable.load(folder))
        for name, folder in folders.items()
        if (folder / TABLE).is_file()
    }


def network_line(network: Network) -> str:
    """Return a network and its prior in one line."""
    layers = "–".join(map(str, (network.inputs, *network.hidden, network.outputs)))
    parts = [f"{layers} network of {network.activation} units"]
    parts.append(f"{network.parameter_count} parameters")
    if network.active is not None:
        parts.append(f"1 to {network.hidden[0]} of the units are active")
    if network.skip:
        parts.append("skip connections")
    parts.append(f"{_LIKELIHOODS.get(network.likelihood, network.likelihood)} likelihood")
    line = f"{', '.join(parts)}. Prior: {_prior(network.prior)}"
    if network.constraint != "none":
        line += f", under the constraint {network.constraint}"
    return f"{line}."


_LIKELIHOODS = {"bernoulli": "Bernoulli", "poisson": "Poisson"}


def _prior(prior: str) -> str:
    family, _, scale = prior.partition(":")
    said = {
        "normal": f"weights normal with standard deviation {scale}",
        "uniform": f"weights uniform on (−{scale}, {scale})",
        "laplace": f"weights Laplace with scale {scale}",
    }
    return said.get(family, prior) if scale else prior
