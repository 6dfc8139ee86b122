"""The likelihoods of a network's outputs in NumPy: Bernoulli, categorical and normal."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy.special import expit, log_softmax, softmax

from manymodes.errors import InputError
from manymodes.networks.forward import numbers
from manymodes.types import FloatArray

LIKELIHOODS = ("bernoulli", "categorical", "normal")
"""Their names, numbered from 1 in the Stan programs."""


def mean(likelihood: str, eta: FloatArray) -> FloatArray:
    """Return the mean of the target given outputs eta, shape (..., N, K).

    Probability of class 1, shape (..., N); probabilities of all classes, (..., N, K); or mean.
    """
    if likelihood == "categorical":
        return np.asarray(softmax(eta, axis=-1))
    return np.asarray(expit(eta[..., 0])) if likelihood == "bernoulli" else eta[..., 0]


def log_density(
    likelihood: str, target: FloatArray, eta: FloatArray, sigma: FloatArray | None = None
) -> FloatArray:
    """Return the log likelihood (nats), shape (..., N), of targets, shape (N,).

    Parameters
    ----------
    likelihood : {"bernoulli", "categorical", "normal"}
        The likelihood.
    target : ndarray, shape (N,)
        0 or 1, a class counted from 0, or a number.
    eta : ndarray, shape (..., N, K)
        Outputs of the network.
    sigma : ndarray, shape (..., 1), optional
        Noise standard deviation of the normal likelihood.
    """
    if likelihood == "categorical":
        label = np.broadcast_to(target.astype(int)[:, None], (*eta.shape[:-1], 1))
        return np.take_along_axis(np.asarray(log_softmax(eta, axis=-1)), label, axis=-1)[..., 0]
    if likelihood == "bernoulli":
        return -np.logaddexp(0.0, (1 - 2 * target) * eta[..., 0])
    assert sigma is not None
    z = (target - eta[..., 0]) / sigma
    return np.asarray(-0.5 * z**2 - np.log(sigma) - 0.5 * math.log(2 * math.pi))


def check_outputs(likelihood: str, outputs: int) -> None:
    """Check the number of outputs: that of classes, or 1.

    Raises
    ------
    InputError
        If the number does not fit the likelihood.
    """
    if likelihood == "categorical" and outputs < 2:
        raise InputError(
            f"outputs: {outputs} for the categorical likelihood;"
            " give the number of classes, at least 2"
        )
    if likelihood != "categorical" and outputs != 1:
        raise InputError(
            f"outputs: {outputs} for the {likelihood} likelihood, which has 1;"
            " use likelihood 'categorical' for classes"
        )


def checked_target(y: npt.ArrayLike, length: int, likelihood: str, outputs: int) -> FloatArray:
    """Return targets as an array of floats, shape (length,).

    Raises
    ------
    InputError
        They have another shape, or the likelihood does not allow one; the message names the first.
    """
    target = numbers("y", y)
    if target.shape != (length,):
        raise InputError(
            f"y: shape {target.shape} does not fit X with {length} rows; give ({length},)"
        )
    if likelihood == "normal":
        wrong, allowed = ~np.isfinite(target), "a finite number"
    elif likelihood == "bernoulli":
        wrong = ~np.isin(target, (0, 1))
        allowed = "0 or 1 (likelihood 'categorical' takes more classes)"
    else:
        wrong = ~np.isin(target, np.arange(outputs))
        allowed = f"a class label 0 to {outputs - 1}"
    if wrong.any():
        row = int(np.argmax(wrong))
        raise InputError(
            f"y: row {row} (counted from 0) is {target[row]:g};"
            f" a {likelihood} target must be {allowed}"
        )
    return target
