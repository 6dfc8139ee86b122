"""The forward pass of a network in NumPy, over many draws of its weights at once.

Weights are a mapping with the names and shapes that `manymodes.networks.network` lists, each with
the same leading dimensions (the draws), here called ``...``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from manymodes.errors import InputError
from manymodes.types import FloatArray

Weights = Mapping[str, npt.ArrayLike]

_BLOCK = 2_000_000  # most numbers in one temporary array


def _relu(z: FloatArray) -> FloatArray:
    return np.maximum(z, 0.0)


_ACTIVATE: dict[str, Callable[[FloatArray], FloatArray]] = {
    "sigmoid": expit,
    "tanh": np.tanh,
    "relu": _relu,
}
ACTIVATIONS = tuple(_ACTIVATE)


def numbers(name: str, value: npt.ArrayLike) -> FloatArray:
    """Return a value as an array of floats, or raise `InputError` with its name."""
    try:
        return np.asarray(value, dtype=float)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name}: not an array of numbers ({error})") from error


def flatten_draws(
    weights: Weights, shapes: Mapping[str, tuple[int, ...]]
) -> tuple[dict[str, FloatArray], tuple[int, ...]]:
    """Return weights with one leading axis, and the leading dimensions that they had.

    Parameters
    ----------
    weights : mapping of str to array_like, shape (..., *shapes[name])
        The weights; other names are ignored. One of shape (1,) may come without that axis.
    shapes : mapping of str to tuple of int
        The shapes without leading dimensions.

    Raises
    ------
    InputError
        If one is missing, has the wrong shape, or other leading dimensions than the first.
    """
    draws: dict[str, FloatArray] = {}
    lead: tuple[int, ...] | None = None
    for name, shape in shapes.items():
        if name not in weights:
            raise InputError(f"weights: '{name}' is missing; give {', '.join(shapes)}")
        value = numbers(name, weights[name])
        if shape == (1,) and value.shape == lead:
            value = value[..., None]
        front = value.shape[: max(0, value.ndim - len(shape))]
        if value.shape != front + shape or lead not in (None, front):
            expected = ", ".join(map(str, (*(("...",) if lead is None else lead), *shape)))
            raise InputError(f"{name}: shape {value.shape} does not fit; give ({expected})")
        lead = front
        draws[name] = value.reshape(math.prod(front), *shape)
    return draws, lead or ()


def layers(
    hidden: tuple[int, ...], weights: Mapping[str, FloatArray]
) -> Iterator[tuple[FloatArray, FloatArray]]:
    """Yield the matrix (..., hidden[l], hidden[l - 1]) and bias (..., hidden[l]) of each layer.

    All are views: writing into them changes the weights.
    """
    bias, unit, start = weights["b"], 0, 0
    for layer, width in enumerate(hidden):
        matrix = weights["W"]
        if layer > 0:
            before = hidden[layer - 1]
            flat = weights["W_deep"][..., start : start + width * before]
            matrix = np.swapaxes(flat.reshape(*flat.shape[:-1], before, width), -1, -2)
            start += width * before
        yield matrix, bias[..., unit : unit + width]
        unit += width


def linear_outputs(
    hidden: tuple[int, ...], activation: str, weights: Mapping[str, FloatArray], inputs: FloatArray
) -> FloatArray:
    """Return the outputs before the link, shape (draws, N, K), for inputs of shape (N, M)."""
    units = inputs
    for matrix, bias in layers(hidden, weights):
        units = _ACTIVATE[activation](units @ np.swapaxes(matrix, -1, -2) + bias[..., None, :])
    eta = units @ np.swapaxes(weights["V"], -1, -2) + weights["c"][..., None, :]
    return eta + inputs @ np.swapaxes(weights["S"], -1, -2) if "S" in weights else eta


def nested_outputs(
    activation: str, weights: Mapping[str, FloatArray], inputs: FloatArray
) -> Iterator[FloatArray]:
    """Yield the outputs before the link, shape (draws, N, K), of the first 1, 2, ... units.

    The network has one hidden layer. Its units are computed once.
    """
    units = inputs @ np.swapaxes(weights["W"], -1, -2) + weights["b"][..., None, :]
    units = _ACTIVATE[activation](units)
    eta = weights["c"][..., None, :]
    for unit in range(units.shape[-1]):
        eta = eta + units[..., unit : unit + 1] * weights["V"][..., None, :, unit]
        yield eta


def checked_inputs(X: npt.ArrayLike, inputs: int) -> FloatArray:
    """Return inputs as an array of floats, shape (N, inputs).

    Raises
    ------
    InputError
        They have another shape, or one is not finite.
    """
    found = numbers("X", X)
    if found.ndim != 2 or found.shape[1] != inputs or len(found) == 0:
        raise InputError(f"X: shape {found.shape} does not fit; give (N, {inputs}), N at least 1")
    if not np.isfinite(found).all():
        row, column = np.argwhere(~np.isfinite(found))[0]
        raise InputError(
            f"X: row {row}, column {column} (counted from 0) is {found[row, column]};"
            " remove the row or fill it in"
        )
    return found


def blocks(draws: int, size: int) -> Iterator[slice]:
    """Yield slices of the draws, each of at most 2 million numbers of `size` per draw."""
    step = max(1, _BLOCK // max(1, size))
    for start in range(0, draws, step):
        yield slice(start, start + step)
