"""The likelihoods of a network's outputs in NumPy."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import betaln, expit, gammaln, log_softmax, softmax

from manymodes.errors import InputError
from manymodes.networks.forward import numbers
from manymodes.types import FloatArray

LIKELIHOODS = (
    "bernoulli",
    "categorical",
    "normal",
    "heteroscedastic",
    "student",
    "poisson",
    "negative-binomial",
    "binomial",
)
"""Their names, numbered from 1 in the Stan programs."""

REAL = ("normal", "heteroscedastic", "student")
"""Likelihoods of real numbers, of which an observation may have several."""
RATES = ("poisson", "negative-binomial")
"""Likelihoods of counts with an exposure."""
NOISY = ("normal", "student", "negative-binomial")
"""Likelihoods with a noise that does not depend on the inputs."""

_LARGEST_COUNT = 2**31 - 1


@dataclass(frozen=True)
class Likelihood:
    """A likelihood by its name.

    Parameters
    ----------
    kind : str
        One of `LIKELIHOODS`.
    nu : float
        Degrees of freedom (student); infinite for the others.
    """

    kind: str
    nu: float = math.inf

    @classmethod
    def parse(cls, text: str) -> Likelihood:
        """Read a likelihood such as ``bernoulli`` or ``student:4``.

        Raises
        ------
        InputError
            It is unknown, or a number is missing or not positive.
        """
        kind, colon, rest = text.partition(":")
        if kind not in LIKELIHOODS or (colon and kind != "student"):
            allowed = ", ".join("student:NU" if one == "student" else one for one in LIKELIHOODS)
            raise InputError(f"likelihood: {text!r} is unknown; allowed are {allowed}")
        if kind != "student":
            return cls(kind)
        try:
            nu = float(rest)
        except ValueError:
            nu = math.nan
        if not (math.isfinite(nu) and nu > 0):
            raise InputError(
                f"likelihood: {text!r} needs its degrees of freedom, a positive number, as in "
                "'student:4'"
            )
        return cls(kind, nu)

    @property
    def is_real(self) -> bool:
        """Whether outcomes are real numbers."""
        return self.kind in REAL

    @property
    def has_exposure(self) -> bool:
        """Whether outcomes are counts with an exposure."""
        return self.kind in RATES

    @property
    def is_count(self) -> bool:
        """Whether outcomes are counts."""
        return self.kind in RATES or self.kind == "binomial"


def mean(kind: str, eta: FloatArray) -> FloatArray:
    """Return the mean of the target given outputs eta, shape (..., N, K).

    Probabilities of all classes, (..., N, K); of several real targets (..., N, T); otherwise
    (..., N): probability of class 1 or of a success, mean, or rate for an exposure of 1.
    """
    if kind == "categorical":
        return np.asarray(softmax(eta, axis=-1))
    if kind in ("bernoulli", "binomial"):
        return np.asarray(expit(eta[..., 0]))
    if kind in RATES:
        with np.errstate(over="ignore"):  # a rate may be beyond all numbers far from the data
            return np.exp(eta[..., 0])
    if kind == "heteroscedastic":
        eta = eta[..., : eta.shape[-1] // 2]
    return eta[..., 0] if eta.shape[-1] == 1 else eta


def noise(kind: str, eta: FloatArray, sigma: FloatArray | None) -> FloatArray:
    """Return standard deviation or scale of each real target, shape (..., N, T) or (..., 1, T)."""
    if kind == "heteroscedastic":
        return np.exp(eta[..., eta.shape[-1] // 2 :])
    assert sigma is not None
    return sigma[..., None, :]


def log_density(
    likelihood: Likelihood,
    target: FloatArray,
    eta: FloatArray,
    sigma: FloatArray | None = None,
    exposure: FloatArray | None = None,
    trials: FloatArray | None = None,
) -> FloatArray:
    """Return the log likelihood (nats), shape (..., N), of targets, shape (N,) or (N, T).

    Parameters
    ----------
    likelihood : Likelihood
        The likelihood.
    target : ndarray, shape (N,) or (N, T)
        0 or 1, a class counted from 0, a count, a number, or several numbers.
    eta : ndarray, shape (..., N, K)
        Outputs of the network.
    sigma : ndarray, shape (..., T), optional
        Noise: standard deviation (normal), scale (student), or that of `NOISY`.
    exposure : ndarray, shape (N,), optional
        What the rate of a count is multiplied by; 1 if it is None.
    trials : ndarray, shape (N,), optional
        Trials of binomial counts.
    """
    kind = likelihood.kind
    if kind == "categorical":
        label = np.broadcast_to(target.astype(int)[:, None], (*eta.shape[:-1], 1))
        return np.take_along_axis(np.asarray(log_softmax(eta, axis=-1)), label, axis=-1)[..., 0]
    if kind == "bernoulli":
        return -np.logaddexp(0.0, (1 - 2 * target) * eta[..., 0])
    if kind == "binomial":
        assert trials is not None
        ways = gammaln(trials + 1) - gammaln(target + 1) - gammaln(trials - target + 1)
        return np.asarray(target * eta[..., 0] - trials * np.logaddexp(0.0, eta[..., 0]) + ways)
    if kind in RATES:
        log_mean = eta[..., 0] + (0.0 if exposure is None else np.log(exposure))
        if kind == "poisson":
            return np.asarray(target * log_mean - np.exp(log_mean) - gammaln(target + 1))
        assert sigma is not None
        phi = sigma**-2.0
        growth = np.logaddexp(0.0, log_mean - np.log(phi))
        # Of gammaln(target + phi) - gammaln(phi) no digit would be left where phi is large.
        some = np.maximum(target, 1.0)
        rising = np.where(target > 0, gammaln(some) - betaln(phi, some), 0.0) - target * np.log(phi)
        return np.asarray(
            rising + target * log_mean - (target + phi) * growth - gammaln(target + 1)
        )
    scale = noise(kind, eta, sigma)
    z = target.reshape(len(target), -1) - eta[..., : scale.shape[-1]]
    z = z / scale
    if kind == "student":
        nu = likelihood.nu
        each = gammaln((nu + 1) / 2) - gammaln(nu / 2) - 0.5 * math.log(nu * math.pi)
        each = each - (nu + 1) / 2 * np.log1p(z**2 / nu)
    else:
        each = -0.5 * z**2 - 0.5 * math.log(2 * math.pi)
    return np.asarray((each - np.log(scale)).sum(axis=-1))


def check_outputs(kind: str, outputs: int) -> None:
    """Check the number of outputs: that of classes, of real targets, or 1.

    Raises
    ------
    InputError
        If the number does not fit the likelihood.
    """
    if kind == "categorical" and outputs < 2:
        raise InputError(
            f"outputs: {outputs} for the categorical likelihood;"
            " give the number of classes, at least 2"
        )
    if kind not in ("categorical", *REAL) and outputs != 1:
        raise InputError(
            f"outputs: {outputs} for the {kind} likelihood, which has 1;"
            " use likelihood 'categorical' for classes"
        )


def checked_target(
    y: npt.ArrayLike, length: int, kind: str, outputs: int, trials: FloatArray | None = None
) -> FloatArray:
    """Return targets as an array of floats, shape (length,), or (length, outputs) of several.

    Raises
    ------
    InputError
        They have another shape, or the likelihood does not allow one; the message names the first.
    """
    target = numbers("y", y)
    shape = (length, outputs) if kind in REAL and outputs > 1 else (length,)
    if target.shape != shape:
        raise InputError(f"y: shape {target.shape} does not fit X with {length} rows; give {shape}")
    if kind in REAL:
        wrong, allowed = ~np.isfinite(target), "a finite number"
    elif kind == "bernoulli":
        wrong = ~np.isin(target, (0, 1))
        allowed = "0 or 1 (likelihood 'categorical' takes more classes)"
    elif kind == "categorical":
        wrong = ~np.isin(target, np.arange(outputs))
        allowed = f"a class label 0 to {outputs - 1}"
    else:
        with np.errstate(invalid="ignore"):
            wrong = ~((target >= 0) & (target == np.floor(target)) & (target <= _LARGEST_COUNT))
        allowed = "a count: 0, 1, 2, ..."
        if trials is not None:
            wrong |= target > trials
            allowed += ", at most the trials of its row"
    if wrong.any():
        place = np.argwhere(wrong)[0]
        raise InputError(
            f"y: row {place[0]} (counted from 0) is {target[tuple(place)]:g};"
            f" a {kind} target must be {allowed}"
        )
    return target


def checked_exposure(
    exposure: npt.ArrayLike | None, length: int, likelihood: Likelihood
) -> FloatArray | None:
    """Return exposures of counts, shape (length,), 1 where none are given; None for others.

    Raises
    ------
    InputError
        They do not fit the likelihood or the rows, or one is not positive and finite.
    """
    if not likelihood.has_exposure:
        if exposure is not None:
            raise InputError(
                f"exposure: it is for the likelihoods {' and '.join(RATES)}, not {likelihood.kind}"
            )
        return None
    return _checked_rows("exposure", np.ones(length) if exposure is None else exposure, length)


def checked_trials(
    trials: npt.ArrayLike | None, length: int, likelihood: Likelihood
) -> FloatArray | None:
    """Return trials of binomial counts, shape (length,); None for other likelihoods.

    Raises
    ------
    InputError
        They are missing, do not fit the likelihood or the rows, or one is no whole number of at
        least 1.
    """
    if likelihood.kind != "binomial":
        if trials is not None:
            raise InputError(f"trials: they are for the binomial likelihood, not {likelihood.kind}")
        return None
    if trials is None:
        raise InputError("trials: the binomial likelihood needs them, one number for each row")
    found = _checked_rows("trials", trials, length)
    wrong = (found != np.floor(found)) | (found > _LARGEST_COUNT)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise InputError(
            f"trials: row {row} (counted from 0) is {found[row]:g}; give a whole number, 1 or more"
        )
    return found


def _checked_rows(name: str, values: npt.ArrayLike, length: int) -> FloatArray:
    found = numbers(name, values)
    if found.shape != (length,):
        raise InputError(
            f"{name}: shape {found.shape} does not fit X with {length} rows; give ({length},)"
        )
    wrong = ~(np.isfinite(found) & (found > 0))
    if wrong.any():
        row = int(np.argmax(wrong))
        raise InputError(
            f"{name}: row {row} (counted from 0) is {found[row]:g}; give a positive finite number"
        )
    return found
