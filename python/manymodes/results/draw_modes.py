"""The mode and the function of every draw, as the files and objects of other tools hold them."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np

from manymodes.density.labels import anesthetic_samples, renamed_flat, renamed_text
from manymodes.errors import NamesWarning
from manymodes.modes.comparison import Comparison
from manymodes.sampling.nested import Nested
from manymodes.types import IntArray

if TYPE_CHECKING:
    from anesthetic import NestedSamples

MODE = "mode"
"""The variable or column with the number of a draw's mode."""
FUNCTION = "function"
"""The variable or column with the number of the function that a draw computes."""


def mode_and_function(comparison: Comparison, modes: IntArray) -> dict[str, IntArray]:
    """Return the modes of draws, and the functions of these modes.

    Parameters
    ----------
    comparison : Comparison
        Numbers modes and functions.
    modes : int array
        The modes of draws, as `Comparison.chain_modes` has them; 0 stands for no draw.

    Returns
    -------
    dict of str to int array
        ``mode`` and ``function``, each of the shape of ``modes``; 0 where there is no draw.
    """
    function_of = np.zeros(max((mode.id for mode in comparison.summaries), default=0) + 1, np.int64)
    for mode in comparison.summaries:
        function_of[mode.id] = mode.function
    return {MODE: np.asarray(modes, np.int64), FUNCTION: function_of[modes]}


def nested_samples(nested: Nested, comparison: Comparison | None = None) -> NestedSamples:
    """Return nested runs as anesthetic samples, with Stan's names and TeX labels.

    Parameters
    ----------
    nested : Nested
        The merged run.
    comparison : Comparison, optional
        The comparison with its modes: two further columns, ``mode`` and ``function``, then have
        their numbers.

    Warns
    -----
    NamesWarning
        A variable has another name in the samples.
    """
    if comparison is None:
        return nested.samples
    posterior = nested.posterior
    outside = posterior.exported_names
    if said := renamed_text(outside):
        warnings.warn(said, NamesWarning, stacklevel=2)
    names = [renamed_flat(name, outside) for name in posterior.model.param_names(include_tp=True)]
    further = mode_and_function(comparison, comparison.nested_modes)
    samples = anesthetic_samples(
        np.column_stack([nested.rows, *further.values()]),
        [*names, *further],
        nested.logl,
        nested.birth,
        posterior.name,
    )
    for name in further:
        samples[name] = samples[name].astype(int)
    return samples
