"""Bayesian neural networks: their architecture, prior and constraint, and their Stan program.

A `Network` names a Stan program, makes its data, and computes predictions from its effective
weights, which have the same names in every program:

========  ====================  ==============================================================
``W``       (hidden[0], inputs)   weights of the first hidden layer
``W_deep``  (sum of products,)    matrices of the later layers, each by columns; may be absent
``b``       (sum(hidden),)        hidden biases, layer after layer
``V``       (outputs, hidden[-1]) outgoing weights
``c``       (outputs,)            output biases
``sigma``   (1,)                  noise standard deviation, normal likelihood only
========  ====================  ==============================================================

A prior with `ard` adds ``input_scale``, shape (inputs,), which predictions do not need. A network
of variable size (`manymodes.networks.variable_size`) also has ``p_active``, shape (hidden[0],): the
probabilities of 1, 2, ... active units given weights and data. Predictions are averaged over them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from manymodes.errors import InputError
from manymodes.networks.constraint_mass import RegionMass
from manymodes.networks.constraint_programs import PROGRAMS, check_constraint, constraint_mass
from manymodes.networks.forward import ACTIVATIONS, Weights, checked_inputs, flatten_draws
from manymodes.networks.likelihood import (
    LIKELIHOODS,
    check_outputs,
    checked_target,
    log_density,
    mean,
)
from manymodes.networks.prior import FAMILIES, Prior
from manymodes.networks.variable_size import (
    P_ACTIVE,
    PROGRAM,
    ActivePrior,
    check_active,
    over_draws,
)
from manymodes.runtime.stan_files import stan_dir
from manymodes.types import FloatArray


@dataclass(frozen=True)
class Network:
    """A fully connected Bayesian neural network.

    Parameters
    ----------
    inputs : int
        Number of inputs M.
    hidden : tuple of int
        Units of each hidden layer, first to last; at least one layer.
    outputs : int
        Number of classes for the categorical likelihood, otherwise 1.
    activation : {"sigmoid", "tanh", "relu"}
        Activation of the hidden units.
    likelihood : {"bernoulli", "categorical", "normal"}
        Bernoulli with a logit link, categorical with a softmax over all outputs, or normal
        with unknown noise.
    prior : str
        Prior of every weight and bias: ``normal:SD``, ``uniform:B`` on (-B, B),
        ``laplace:SCALE``, ``student:NU,SCALE``, or ``ard:SCALE`` (``ard`` for ``ard:1``): normal
        with this standard deviation, and for the weights from input m with a sampled one,
        half-Student-t with 4 degrees of freedom and this scale.
    constraint : str
        The condition on the hidden layers; the prior is that of ``none``, restricted to the
        region and renormalised.

        ``none``
            Nothing.
        ``ordered``
            Biases increase within each hidden layer.
        ``ordered-signed``
            Biases increase, and weights to the first output, or to the first unit of the next
            layer, are positive (Chen, Lu and Hecht-Nielsen 1993).
        ``unit-norm``
            Relu only: weights into each unit have unit length, its scale is in the weights that
            leave it, and biases increase (Pourzanjani, Jiang and Petzold 2017). The same model as
            ``ordered``.
        ``pd-skew``
            Square layers: (W + W')/2 is positive definite and (W - W')/2 positive above its
            diagonal (Yallup et al. 2022). ``pd-skew:lu``: the same region with the prior on
            L and U, where W = LL' + U - U', L lower triangular with a positive diagonal, U
            strictly upper triangular and positive. ``pd-skew:reject``: the prior cut off outside
            of the region and not renormalised, so that log_z is lower by its log prior mass.
        ``svd``
            Singular vectors of each layer's matrix, left and right, are oriented: products of
            plane rotations by less than a right angle.
    sigma_scale : float
        Scale of the half-normal prior on the noise of the normal likelihood.
    active : str or None
        Prior of the number of active units, which are the first units of the one hidden layer:
        ``geometric:ALPHA`` or ``uniform``, as `manymodes.networks.variable_size.ActivePrior`
        defines them. With None all units are active.

    Raises
    ------
    InputError
        If an argument is not allowed, or the arguments do not go together.

    Examples
    --------
    >>> network = mm.Network(inputs=2, hidden=(3,), activation="tanh", prior="normal:1")
    >>> network.parameter_count
    13
    >>> network.weight_shapes
    {'W': (3, 2), 'b': (3,), 'V': (1, 3), 'c': (1,)}
    """

    inputs: int
    hidden: tuple[int, ...]
    outputs: int = 1
    activation: str = "tanh"
    likelihood: str = "bernoulli"
    prior: str = "normal:1"
    constraint: str = "none"
    sigma_scale: float = 1.0
    active: str | None = None

    def __post_init__(self) -> None:
        """Check the arguments, and that they go together."""
        object.__setattr__(self, "inputs", _count("inputs", self.inputs))
        object.__setattr__(self, "outputs", _count("outputs", self.outputs))
        widths = np.atleast_1d(np.asarray(self.hidden, dtype=object)).tolist()
        if not widths:
            raise InputError("hidden: () has no layer; give the units of at least one, as in (2,)")
        object.__setattr__(self, "hidden", tuple(_count("hidden", width) for width in widths))
        _choice("activation", self.activation, ACTIVATIONS)
        _choice("likelihood", self.likelihood, LIKELIHOODS)
        _choice("constraint", self.constraint, tuple(PROGRAMS))
        prior = Prior.parse(self.prior)
        if not (math.isfinite(self.sigma_scale) and self.sigma_scale > 0):
            raise InputError(f"sigma_scale: {self.sigma_scale} is not a positive finite number")
        check_outputs(self.likelihood, self.outputs)
        check_constraint(self.constraint, self.inputs, self.hidden, self.activation, prior)
        if self.active is not None:
            check_active(self.active, self.hidden, self.constraint)

    @property
    def program(self) -> Path:
        """The Stan program."""
        name = PROGRAMS[self.constraint] if self.active is None else PROGRAM
        return stan_dir() / "models" / f"{name}.stan"

    @property
    def weight_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of the effective weights by name, those without elements left out."""
        deep = sum(m * n for m, n in zip(self.hidden[1:], self.hidden[:-1], strict=True))
        shapes: dict[str, tuple[int, ...]] = {
            "W": (self.hidden[0], self.inputs),
            "W_deep": (deep,),
            "b": (sum(self.hidden),),
            "V": (self.outputs, self.hidden[-1]),
            "c": (self.outputs,),
            "sigma": (int(self.likelihood == "normal"),),
            P_ACTIVE: (0 if self.active is None else self.hidden[0],),
        }
        return {name: shape for name, shape in shapes.items() if math.prod(shape) > 0}

    def _shapes_without(self, *names: str) -> dict[str, tuple[int, ...]]:
        return {name: shape for name, shape in self.weight_shapes.items() if name not in names}

    @property
    def effective_names(self) -> tuple[str, ...]:
        """Names of the effective weights, in the order of the Stan programs."""
        return tuple(self.weight_shapes)

    @property
    def parameter_count(self) -> int:
        """Number of unconstrained parameters, the same under every constraint."""
        scales = self.inputs if Prior.parse(self.prior).ard else 0
        return scales + sum(math.prod(shape) for shape in self._shapes_without(P_ACTIVE).values())

    @property
    def log_prior_active(self) -> FloatArray:
        """Log prior (nats) of 1, 2, ... active units, shape (hidden[0],).

        Raises
        ------
        InputError
            If all units are active.
        """
        if self.active is None:
            raise InputError("active: None has no prior; give one, such as 'geometric:0.5'")
        return ActivePrior.parse(self.active).log_probabilities(self.hidden[0])

    @property
    def region(self) -> RegionMass:
        """Log mass, in nats, of the constrained region under the prior of ``none``.

        The programs are renormalised by it, except ``pd-skew:reject``, whose log evidence is
        lower by it, and ``pd-skew:lu``, which has a different prior (its mass is given as 0).
        """
        return constraint_mass(self.constraint, self.inputs, self.hidden, Prior.parse(self.prior))

    def sample_prior(self, rng: np.random.Generator, draws: int) -> dict[str, FloatArray]:
        """Return draws of the prior of ``none``, whatever the constraint.

        ``p_active`` is the prior of the number of active units, because weights alone do not
        change it.

        Parameters
        ----------
        rng : numpy.random.Generator
            Source of randomness.
        draws : int
            Number n of draws.

        Returns
        -------
        dict of str to ndarray, shape (n, *weight_shapes[name])
            Effective weights, and ``input_scale``, shape (n, inputs), under an `ard` prior.

        Examples
        --------
        >>> network = mm.Network(inputs=2, hidden=(3,), activation="tanh", prior="normal:1")
        >>> draws = network.sample_prior(np.random.default_rng(1), 100)
        >>> {name: values.shape for name, values in draws.items()}
        {'W': (100, 3, 2), 'b': (100, 3), 'V': (100, 1, 3), 'c': (100, 1)}
        """
        shapes = self._shapes_without(P_ACTIVE)
        weights = Prior.parse(self.prior).sample_weights(shapes, draws, rng)
        if "sigma" in weights:
            weights["sigma"] = self.sigma_scale * np.abs(rng.standard_normal((draws, 1)))
        if self.active is not None:
            weights[P_ACTIVE] = np.tile(np.exp(self.log_prior_active), (draws, 1))
        return weights

    def log_prior(self, weights: Weights) -> FloatArray:
        """Return the log density of the prior of ``none``, whatever the constraint.

        Parameters
        ----------
        weights : mapping of str to array_like, shape (..., *weight_shapes[name])
            Effective weights; ``sigma`` and ``p_active`` are not needed. Under an `ard` prior they
            include ``input_scale``, shape (..., inputs), and the density is conditional on it.

        Returns
        -------
        ndarray, shape (...,)
            Log density of W, W_deep, b, V and c in nats; -inf outside the support.

        Raises
        ------
        InputError
            If the weights have the wrong shape.

        Examples
        --------
        >>> network = mm.Network(inputs=1, hidden=(1,), prior="uniform:5")
        >>> weights = {"W": [[1.0]], "b": [0.0], "V": [[2.0]], "c": [0.0]}
        >>> round(float(network.log_prior(weights)), 3)  # four times log(1/10)
        -9.21
        """
        prior = Prior.parse(self.prior)
        shapes = self._shapes_without("sigma", P_ACTIVE)
        if prior.ard:
            shapes["input_scale"] = (self.inputs,)
        draws, lead = flatten_draws(weights, shapes)
        return prior.log_density_of_weights(draws).reshape(lead)

    def to_dict(self) -> dict[str, Any]:
        """Return the arguments as a dict that JSON can hold.

        Returns
        -------
        dict
            The arguments by name.

        Examples
        --------
        >>> mm.Network(inputs=1, hidden=(2,)).to_dict()["hidden"]
        [2]
        """
        return {**asdict(self), "hidden": list(self.hidden)}

    @classmethod
    def from_dict(cls, arguments: Mapping[str, Any]) -> Network:
        """Make a network from the result of `to_dict`.

        Parameters
        ----------
        arguments : mapping
            The arguments by name.

        Returns
        -------
        Network
            An equal one.

        Raises
        ------
        InputError
            If an argument is unknown, missing or not allowed.

        Examples
        --------
        >>> network = mm.Network(inputs=1, hidden=(2,))
        >>> mm.Network.from_dict(network.to_dict()) == network
        True
        """
        unknown = sorted(set(arguments) - set(cls.__dataclass_fields__))
        missing = sorted({"inputs", "hidden"} - set(arguments))
        if unknown or missing:
            word, names = ("unknown", unknown) if unknown else ("missing", missing)
            raise InputError(f"network: {word} argument {', '.join(names)}")
        return cls(**arguments)

    def data(
        self, X: npt.ArrayLike, y: npt.ArrayLike, *, prior_only: bool = False, log_lik: bool = False
    ) -> dict[str, Any]:
        """Return the data of the Stan program.

        Parameters
        ----------
        X : array_like, shape (N, inputs)
            Inputs.
        y : array_like, shape (N,)
            Targets: 0 or 1 (bernoulli), 0 to outputs - 1 (categorical), or real (normal).
        prior_only : bool
            Leave the likelihood out.
        log_lik : bool
            Save the log likelihood of each observation with every draw.

        Returns
        -------
        dict
            Numbers and lists, ready for JSON.

        Raises
        ------
        InputError
            If X or y has the wrong shape or a value that is not allowed.

        Examples
        --------
        >>> network = mm.Network(inputs=1, hidden=(2,), activation="tanh")
        >>> data = network.data([[-1.0], [0.0], [1.0]], [0, 1, 1])
        >>> data["N"], data["X"]
        (3, [[-1.0], [0.0], [1.0]])
        """
        inputs = checked_inputs(X, self.inputs)
        target = checked_target(y, len(inputs), self.likelihood, self.outputs)
        prior = Prior.parse(self.prior)
        first_class = 1 if self.likelihood == "categorical" else 0
        labels = [] if self.likelihood == "normal" else (target.astype(int) + first_class).tolist()
        data = {
            "N": len(inputs),
            "M": self.inputs,
            "L": len(self.hidden),
            "K": self.outputs,
            "hidden": list(self.hidden),
            "activation": ACTIVATIONS.index(self.activation) + 1,
            "likelihood": LIKELIHOODS.index(self.likelihood) + 1,
            "prior_family": FAMILIES.index(prior.family) + 1,
            "prior_scale": prior.scale,
            "prior_nu": prior.nu if math.isfinite(prior.nu) else 1.0,
            "sigma_scale": float(self.sigma_scale),
            "X": inputs.tolist(),
            "y_int": labels,
            "y_real": target.tolist() if self.likelihood == "normal" else [],
            "prior_only": int(prior_only),
            "save_log_lik": int(log_lik),
        }
        if not self.constraint.startswith("pd-skew") and self.constraint != "svd":
            data["ard"] = int(prior.ard)
        if PROGRAMS[self.constraint] == "mlp_ordered":
            data["positive"] = int(self.constraint == "ordered-signed")
        if self.constraint == "pd-skew":
            data["log_region"] = self.region.log_mass
        if self.active is not None:
            data["log_prior_active"] = self.log_prior_active.tolist()
        return data

    def predict(self, weights: Weights, X: npt.ArrayLike) -> FloatArray:
        """Return the network's predictions for each draw of the weights.

        Parameters
        ----------
        weights : mapping of str to array_like, shape (..., *weight_shapes[name])
            Effective weights; the leading dimensions (draws) agree. Other names are ignored.
        X : array_like, shape (N, inputs)
            Inputs.

        Returns
        -------
        ndarray
            Probability of class 1, shape (..., N) (bernoulli); probability of each class,
            shape (..., N, outputs) (categorical); mean, shape (..., N) (normal).

        Raises
        ------
        InputError
            If the weights or inputs have the wrong shape, or an input is not finite.

        Examples
        --------
        >>> network = mm.Network(inputs=1, hidden=(1,), activation="tanh")
        >>> weights = {"W": [[1.0]], "b": [0.0], "V": [[2.0]], "c": [0.0]}
        >>> network.predict(weights, [[-1.0], [0.0], [1.0]]).round(2)
        array([0.18, 0.5 , 0.82])
        """

        def link(eta: FloatArray, draws: Mapping[str, FloatArray]) -> FloatArray:
            return mean(self.likelihood, eta)

        inputs = checked_inputs(X, self.inputs)
        classes = (self.outputs,) if self.likelihood == "categorical" else ()
        shapes = self._shapes_without("sigma")
        last = (len(inputs), *classes)
        return over_draws(link, weights, shapes, inputs, self.activation, self.hidden, last)

    def log_lik(self, weights: Weights, X: npt.ArrayLike, y: npt.ArrayLike) -> FloatArray:
        """Return the log likelihood of each observation under each draw of the weights.

        For variable size it is log sum_K p_active[K] p(y | first K units): the predictive density
        of new observations, one by one. (The observations of the data already decided
        ``p_active``.)

        Parameters
        ----------
        weights : mapping of str to array_like, shape (..., *weight_shapes[name])
            Effective weights, with sigma for the normal likelihood.
        X : array_like, shape (N, inputs)
            Inputs.
        y : array_like, shape (N,)
            Targets, as in `data`.

        Returns
        -------
        ndarray, shape (..., N)
            Log likelihoods in nats.

        Raises
        ------
        InputError
            If weights, inputs or targets have the wrong shape or a value that is not allowed.

        Examples
        --------
        >>> network = mm.Network(inputs=1, hidden=(1,), activation="tanh")
        >>> weights = {"W": [[1.0]], "b": [0.0], "V": [[2.0]], "c": [0.0]}
        >>> network.log_lik(weights, [[-1.0], [0.0], [1.0]], [0, 1, 1]).round(2)
        array([-0.2 , -0.69, -0.2 ])
        """
        inputs = checked_inputs(X, self.inputs)
        target = checked_target(y, len(inputs), self.likelihood, self.outputs)

        def log_likelihoods(eta: FloatArray, draws: Mapping[str, FloatArray]) -> FloatArray:
            return log_density(self.likelihood, target, eta, draws.get("sigma"))

        shapes, last = self.weight_shapes, (len(inputs),)
        return over_draws(
            log_likelihoods, weights, shapes, inputs, self.activation, self.hidden, last, logs=True
        )


def _count(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise InputError(f"{name}: {value!r} is not allowed; give a whole number, 1 or more")
    return int(value)


def _choice(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise InputError(f"{name}: {value!r} is unknown; allowed are {', '.join(allowed)}")
