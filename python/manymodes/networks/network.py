"""Bayesian neural networks: their architecture, prior and constraint, and their Stan program.

A `Network` names a Stan program, makes its data, and computes predictions from its effective
weights, which have the same names in every program:

========  ====================  ==============================================================
``W``       (hidden[0], inputs)   weights of the first hidden layer
``W_deep``  (sum of products,)    matrices of the later layers, each by columns; may be absent
``b``       (sum(hidden),)        hidden biases, layer after layer
``V``       (outputs, hidden[-1]) outgoing weights
``c``       (outputs,)            output biases
``S``       (outputs, inputs)     weights from the inputs to the outputs, with `skip` only
``sigma``   (targets,)            noise, if the likelihood has one that is sampled
========  ====================  ==============================================================

The heteroscedastic likelihood has two outputs for each target, all means first, then the logarithms
of all standard deviations; the shapes above have both. The sampled scales of a prior are further
parameters, which predictions do not need: ``input_scale``, shape (inputs,), of a prior with
`ard`, ``group_scale`` and ``source_scale`` of priors by group (`manymodes.networks.group_priors`).
A network of variable size (`manymodes.networks.variable_size`) also has ``p_active``, shape
(hidden[0],): the probabilities of 1, 2, ... active units given weights and data. Predictions are
averaged over them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from manymodes.errors import InputError
from manymodes.networks.constraint_mass import RegionMass
from manymodes.networks.constraint_programs import (
    GENERAL,
    PROGRAMS,
    check_constraint,
    constraint_mass,
)
from manymodes.networks.forward import ACTIVATIONS, Weights, checked_inputs, flatten_draws
from manymodes.networks.group_priors import GroupPriors, ScalePrior, is_grouped
from manymodes.networks.likelihood import (
    LIKELIHOODS,
    NOISY,
    Likelihood,
    check_outputs,
    checked_exposure,
    checked_target,
    checked_trials,
    log_density,
    mean,
    noise,
)
from manymodes.networks.prior import FAMILIES, Prior
from manymodes.networks.variable_size import (
    P_ACTIVE,
    PROGRAM,
    ActivePrior,
    check_active,
    over_draws,
)
from manymodes.runtime.shown import Shown
from manymodes.runtime.stan_files import stan_dir
from manymodes.types import FloatArray


@dataclass(frozen=True, repr=False)
class Network(Shown):
    """A fully connected Bayesian neural network.

    Parameters
    ----------
    inputs : int
        Number of inputs M.
    hidden : tuple of int
        Units of each hidden layer, first to last; at least one layer.
    outputs : int
        Number of classes for the categorical likelihood, of targets for the likelihoods of real
        numbers, otherwise 1.
    activation : {"sigmoid", "tanh", "relu"}
        Activation of the hidden units.
    likelihood : str
        The distribution of a target given the outputs.

        ``bernoulli``
            Of 0 or 1, with a logit link.
        ``categorical``
            Of a class, with a softmax over all outputs.
        ``normal``
            Of a number, with unknown noise.
        ``heteroscedastic``
            Normal with a noise that depends on the inputs: further outputs are the logarithms
            of the standard deviations.
        ``student:NU``
            Student-t of NU degrees of freedom, with an unknown scale.
        ``poisson``, ``negative-binomial``
            Of a count, with a log link and an exposure. The variance of the latter is
            m + (sigma m)^2, where m is the mean.
        ``binomial``
            Of a number of successes in known trials, with a logit link.
    prior : str
        Prior of every weight and bias: ``normal:SD``, ``uniform:B`` on (-B, B),
        ``laplace:SCALE``, ``student:NU,SCALE``, or ``ard:SCALE`` (``ard`` for ``ard:1``): normal
        with this standard deviation, and for the weights from input m with a sampled one,
        half-Student-t with 4 degrees of freedom and this scale. Or priors by group, such as
        ``ih=0.05:0.5 bh=0.05:0.5 ho=x0.05:0.5 bo=100 noise=0.05:0.5``, or a preset, ``fbm`` or
        ``scaled``, as ``manymodes.networks.group_priors`` defines them.
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
        Scale of the half-normal prior on the noise, unless the prior has one for it.
    sigma : float or None
        The noise, if it is known: then it is not sampled.
    skip : bool
        Whether there are weights from the inputs to the outputs: a linear model beside the hidden
        units.
    centred : bool or None
        Where a prior by group has sampled scales: whether the weights themselves are the
        parameters, or what they are divided by their scale. With None they are if there are at
        least 20 observations for each weight.
    active : str or None
        Prior of the number of active units, which are the first units of the one hidden layer:
        ``geometric:ALPHA`` or ``uniform``, as ``manymodes.networks.variable_size.ActivePrior``
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
    sigma: float | None = None
    skip: bool = False
    centred: bool | None = None

    def __post_init__(self) -> None:
        """Check the arguments, and that they go together."""
        object.__setattr__(self, "inputs", _count("inputs", self.inputs))
        object.__setattr__(self, "outputs", _count("outputs", self.outputs))
        widths = np.atleast_1d(np.asarray(self.hidden, dtype=object)).tolist()
        if not widths:
            raise InputError("hidden: () has no layer; give the units of at least one, as in (2,)")
        object.__setattr__(self, "hidden", tuple(_count("hidden", width) for width in widths))
        _choice("activation", self.activation, ACTIVATIONS)
        _choice("constraint", self.constraint, tuple(PROGRAMS))
        if not (math.isfinite(self.sigma_scale) and self.sigma_scale > 0):
            raise InputError(f"sigma_scale: {self.sigma_scale} is not a positive finite number")
        kind = self.likelihood_parts.kind
        check_outputs(kind, self.outputs)
        if self.sigma is not None and kind not in NOISY:
            raise InputError(
                f"sigma: the {kind} likelihood has no noise of its own; leave sigma out, or use "
                f"likelihood {', '.join(NOISY)}"
            )
        if self.sigma is not None and not (math.isfinite(self.sigma) and self.sigma > 0):
            raise InputError(f"sigma: {self.sigma} is not a positive finite number")
        prior = self.prior_parts
        if self.centred is not None and not (
            isinstance(prior, GroupPriors) and any(one.sampled for one in prior.groups.values())
        ):
            raise InputError(
                f"centred: {self.centred} is for priors by group with sampled scales, and "
                f"'{self.prior}' samples none; leave centred out"
            )
        if kind == "heteroscedastic" and isinstance(prior, GroupPriors):
            width = prior.groups["bo"].scale.width
            if width > _WIDEST_LOG_SD:
                raise InputError(
                    f"prior: the output biases (bo) have the scale {width:g}, and one of them is "
                    "the logarithm of a standard deviation; give bo a smaller one, as in "
                    "'bo=normal:1'"
                )
        check_constraint(
            self.constraint, self.inputs, self.hidden, self.activation, prior, self._why_general
        )
        if self.active is not None:
            if self._why_general:
                raise InputError(
                    f"active: '{self.active}' does not go with {self._why_general}; leave one out"
                )
            check_active(self.active, self.hidden, self.constraint)

    @cached_property
    def likelihood_parts(self) -> Likelihood:
        """The likelihood, read from its text."""
        return Likelihood.parse(self.likelihood)

    @cached_property
    def prior_parts(self) -> Prior | GroupPriors:
        """The prior, read from its text: of all weights alike, or by group."""
        if not self._why_general:
            return Prior.parse(self.prior)
        if self.prior.partition(":")[0] == "ard":
            raise InputError(
                f"prior: '{self.prior}' does not go with {self._why_general}; write a scale for "
                "each input as a prior by group, as in 'ih=normal:1*half-cauchy'"
            )
        known = ScalePrior("half-normal", self.sigma_scale)
        if self.sigma is not None:
            known = ScalePrior("fixed", self.sigma)
        noise = None if self.likelihood_parts.kind in NOISY else "has no noise"
        if self.sigma is not None:
            noise = "has a known one: leave out the prior of the noise, or sigma"
        return GroupPriors.parse(self.prior, self.inputs, self.hidden, self.skip, known, noise)

    @cached_property
    def _why_general(self) -> str:
        """What needs the program of priors by group, in words; empty if nothing does."""
        kind = self.likelihood_parts.kind
        if is_grouped(self.prior):
            return f"priors by group ('{self.prior}')"
        if self.skip:
            return "weights from the inputs to the outputs (skip)"
        if self.sigma is not None:
            return "a known noise (sigma)"
        if LIKELIHOODS.index(kind) >= _LIKELIHOODS_OF_ALL:
            return f"the {kind} likelihood"
        return f"{self.outputs} targets" if kind == "normal" and self.outputs > 1 else ""

    @property
    def is_general(self) -> bool:
        """Whether the Stan program is ``mlp_general``."""
        return bool(self._why_general)

    @property
    def program(self) -> Path:
        """The Stan program."""
        name = PROGRAMS[self.constraint] if self.active is None else PROGRAM
        if self.is_general:
            name = GENERAL
        return stan_dir() / "models" / f"{name}.stan"

    @property
    def units_out(self) -> int:
        """Number of outputs of the network itself: two for each target if one is its noise."""
        return self.outputs * (2 if self.likelihood_parts.kind == "heteroscedastic" else 1)

    @property
    def noise_count(self) -> int:
        """How many standard deviations or scales of the noise are sampled."""
        sampled = self.sigma is None
        if self.is_general:
            parts = self.prior_parts
            sampled = isinstance(parts, GroupPriors) and parts.noise.kind != "fixed"
        return self.outputs if sampled and self.likelihood_parts.kind in NOISY else 0

    @property
    def weight_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of the effective weights by name, those without elements left out."""
        deep = sum(m * n for m, n in zip(self.hidden[1:], self.hidden[:-1], strict=True))
        shapes: dict[str, tuple[int, ...]] = {
            "W": (self.hidden[0], self.inputs),
            "W_deep": (deep,),
            "b": (sum(self.hidden),),
            "V": (self.units_out, self.hidden[-1]),
            "c": (self.units_out,),
            "S": (self.units_out if self.skip else 0, self.inputs),
            "sigma": (self.noise_count,),
            P_ACTIVE: (0 if self.active is None else self.hidden[0],),
        }
        return {name: shape for name, shape in shapes.items() if math.prod(shape) > 0}

    def _shapes_without(self, *names: str) -> dict[str, tuple[int, ...]]:
        return {name: shape for name, shape in self.weight_shapes.items() if name not in names}

    @property
    def described(self) -> str:
        """Its widths, activation, likelihood, prior and constraint, in words."""
        widths = "-".join(map(str, (self.inputs, *self.hidden, self.units_out)))
        skip = " with skip connections" if self.skip else ""
        constraint = "" if self.constraint == "none" else f", constraint {self.constraint}"
        active = "" if self.active is None else f", active units {self.active}"
        return (
            f"{widths} ({self.activation}){skip}, {self.likelihood}, prior {self.prior}"
            f"{constraint}{active}"
        )

    @property
    def effective_names(self) -> tuple[str, ...]:
        """Names of the effective weights, in the order of the Stan programs."""
        return tuple(self.weight_shapes)

    @property
    def parameter_count(self) -> int:
        """Number of unconstrained parameters, the same under every constraint."""
        scales = sum(math.prod(shape) for shape in self.scale_shapes.values())
        return scales + sum(math.prod(shape) for shape in self._shapes_without(P_ACTIVE).values())

    @property
    def scale_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of the sampled scales of the weights' priors, by name."""
        prior = self.prior_parts
        if isinstance(prior, GroupPriors):
            return prior.scale_shapes(self.inputs)
        return {"input_scale": (self.inputs,)} if prior.ard else {}

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
        return constraint_mass(self.constraint, self.inputs, self.hidden, self.prior_parts)

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
            Effective weights, and the sampled scales of their prior.

        Examples
        --------
        >>> network = mm.Network(inputs=2, hidden=(3,), activation="tanh", prior="normal:1")
        >>> draws = network.sample_prior(np.random.default_rng(1), 100)
        >>> {name: values.shape for name, values in draws.items()}
        {'W': (100, 3, 2), 'b': (100, 3), 'V': (100, 1, 3), 'c': (100, 1)}
        """
        shapes = self._shapes_without(P_ACTIVE)
        prior = self.prior_parts
        weights = prior.sample_weights(shapes, draws, rng)
        if "sigma" in weights and isinstance(prior, Prior):
            weights["sigma"] = self.sigma_scale * np.abs(rng.standard_normal((draws, 1)))
        if self.active is not None:
            weights[P_ACTIVE] = np.tile(np.exp(self.log_prior_active), (draws, 1))
        return weights

    def log_prior(self, weights: Weights) -> FloatArray:
        """Return the log density of the prior of ``none``, whatever the constraint.

        Parameters
        ----------
        weights : mapping of str to array_like, shape (..., *weight_shapes[name])
            Effective weights; ``sigma`` and ``p_active`` are not needed. Where scales are sampled,
            they include these (`scale_shapes`), and the density is conditional on them.

        Returns
        -------
        ndarray, shape (...,)
            Log density of W, W_deep, b, V, c and S in nats; -inf outside the support.

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
        shapes = {**self._shapes_without("sigma", P_ACTIVE), **self.scale_shapes}
        draws, lead = flatten_draws(weights, shapes)
        return self.prior_parts.log_density_of_weights(draws).reshape(lead)

    def noise_of(self, draws: Mapping[str, FloatArray]) -> FloatArray | None:
        """Return the noise of draws, sampled or known.

        Parameters
        ----------
        draws : mapping of str to ndarray, shape (n, *weight_shapes[name])
            Effective weights, with sigma if the noise is sampled.

        Returns
        -------
        ndarray, shape (n, targets) or (targets,), or None
            Standard deviation (normal), scale (student) or sigma (negative-binomial); of one row if
            it is known. None for likelihoods without such a noise.

        Examples
        --------
        >>> mm.Network(1, (2,), likelihood="normal", sigma=0.5).noise_of({})
        array([0.5])
        """
        if "sigma" in draws:
            return draws["sigma"]
        if self.likelihood_parts.kind not in NOISY:
            return None
        prior = self.prior_parts
        assert isinstance(prior, GroupPriors)
        return np.full(self.outputs, prior.noise.width)

    @property
    def program_names(self) -> dict[str, str]:
        """The parameter of the Stan program that stands for each weight, by the weight's name.

        It holds the weight itself, or what the weight is divided by its scale. Only for constraint
        ``none``, where there is one for each.
        """
        raw = ("W", "W_deep", "b", "V", "c", "S") if self.is_general else ("W",)
        return {name: f"{name}_raw" if name in raw else name for name in self.weight_shapes}

    def is_centred(self, rows: int) -> bool:
        """Whether weights of sampled scales are parameters themselves, given so many rows.

        Parameters
        ----------
        rows : int
            Number of observations.

        Returns
        -------
        bool
            ``centred``, or, if it is None, whether there are 20 rows or more for each parameter.

        Examples
        --------
        >>> network = mm.Network(1, (2,), likelihood="normal", prior="fbm")
        >>> network.is_centred(100), network.is_centred(1000)
        (False, True)
        """
        if self.centred is not None:
            return self.centred
        return rows >= _ROWS_TO_CENTRE * self.parameter_count

    def program_values(
        self, weights: Mapping[str, FloatArray], *, centred: bool
    ) -> dict[str, FloatArray]:
        """Return the parameters of the Stan program without constraint that have given weights.

        Parameters
        ----------
        weights : mapping of str to ndarray, shape (n, *shape)
            Effective weights and sampled scales, as `sample_prior` gives them.
        centred : bool
            Whether weights of sampled scales are parameters themselves.

        Returns
        -------
        dict of str to ndarray, shape (n, *shape)
            Parameters by name.

        Examples
        --------
        >>> network = mm.Network(1, (2,), prior="ard:1")
        >>> draws = network.sample_prior(np.random.default_rng(1), 5)
        >>> sorted(network.program_values(draws, centred=False))
        ['V', 'W_raw', 'b', 'c', 'input_scale']
        """
        prior = self.prior_parts
        raw = {name: np.array(value) for name, value in weights.items()}
        if isinstance(prior, Prior):
            raw["W"] = raw["W"] / raw.get("input_scale", np.ones((1, 1)))[:, None, :]
        else:
            groups = zip(prior.groups.values(), prior.matrices(raw), prior.scales(raw), strict=True)
            for group, matrix, scale in groups:
                if not (centred and group.sampled):
                    matrix /= scale
        names = self.program_names
        return {names.get(name, name): value for name, value in raw.items()}

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
        self,
        X: npt.ArrayLike,
        y: npt.ArrayLike,
        *,
        exposure: npt.ArrayLike | None = None,
        trials: npt.ArrayLike | None = None,
        prior_only: bool = False,
        log_lik: bool = False,
    ) -> dict[str, Any]:
        """Return the data of the Stan program.

        Parameters
        ----------
        X : array_like, shape (N, inputs)
            Inputs.
        y : array_like, shape (N,), or (N, outputs) of several real targets
            Targets: 0 or 1 (bernoulli), 0 to outputs - 1 (categorical), counts, or real numbers.
        exposure : array_like, shape (N,), optional
            What the rate of a count is multiplied by (poisson, negative-binomial); by default 1.
        trials : array_like, shape (N,), optional
            Trials of binomial counts, which need them.
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
            If X, y, exposure or trials has the wrong shape or a value that is not allowed.

        Examples
        --------
        >>> network = mm.Network(inputs=1, hidden=(2,), activation="tanh")
        >>> data = network.data([[-1.0], [0.0], [1.0]], [0, 1, 1])
        >>> data["N"], data["X"]
        (3, [[-1.0], [0.0], [1.0]])
        """
        inputs = checked_inputs(X, self.inputs)
        likelihood = self.likelihood_parts
        exposures = checked_exposure(exposure, len(inputs), likelihood)
        tries = checked_trials(trials, len(inputs), likelihood)
        target = checked_target(y, len(inputs), likelihood.kind, self.outputs, tries)
        prior = self.prior_parts
        first_class = 1 if likelihood.kind == "categorical" else 0
        labels = [] if likelihood.is_real else (target.astype(int) + first_class).tolist()
        data: dict[str, Any] = {
            "N": len(inputs),
            "M": self.inputs,
            "L": len(self.hidden),
            "K": self.units_out,
            "hidden": list(self.hidden),
            "activation": ACTIVATIONS.index(self.activation) + 1,
            "likelihood": LIKELIHOODS.index(likelihood.kind) + 1,
        }
        outcomes = {
            "X": inputs.tolist(),
            "y_int": labels,
            "y_real": target.ravel(order="F").tolist() if likelihood.is_real else [],
            "prior_only": int(prior_only),
            "save_log_lik": int(log_lik),
        }
        if isinstance(prior, GroupPriors):
            return {
                **data,
                "skip": int(self.skip),
                "increasing": int(self.constraint != "none"),
                "positive": int(self.constraint == "ordered-signed"),
                **outcomes,
                "trials": [] if tries is None else tries.astype(int).tolist(),
                "log_exposure": [] if exposures is None else np.log(exposures).tolist(),
                "noise_nu": likelihood.nu if math.isfinite(likelihood.nu) else 1.0,
                **prior.data(centred=self.is_centred(len(inputs))),
            }
        data |= {
            "prior_family": FAMILIES.index(prior.family) + 1,
            "prior_scale": prior.scale,
            "prior_nu": prior.nu if math.isfinite(prior.nu) else 1.0,
            "sigma_scale": float(self.sigma_scale),
            **outcomes,
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
            Probability of class 1 or of a success, shape (..., N) (bernoulli, binomial);
            probability of each class, shape (..., N, outputs) (categorical); mean, shape (..., N),
            or (..., N, outputs) of several targets; rate for an exposure of 1, shape (..., N)
            (poisson, negative-binomial).

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
            return mean(self.likelihood_parts.kind, eta)

        inputs = checked_inputs(X, self.inputs)
        classes = (self.outputs,) if self.outputs > 1 else ()
        shapes = self._shapes_without("sigma")
        last = (len(inputs), *classes)
        return over_draws(link, weights, shapes, inputs, self.activation, self.hidden, last)

    def noise(self, weights: Weights, X: npt.ArrayLike) -> FloatArray:
        """Return the noise of real targets for each draw of the weights.

        Parameters
        ----------
        weights : mapping of str to array_like, shape (..., *weight_shapes[name])
            Effective weights, with sigma if the noise is sampled.
        X : array_like, shape (N, inputs)
            Inputs.

        Returns
        -------
        ndarray
            Standard deviation (normal, heteroscedastic) or scale (student), shape (..., N), or
            (..., N, outputs) of several targets.

        Raises
        ------
        InputError
            If targets are no real numbers, or weights or inputs have the wrong shape.

        Examples
        --------
        >>> network = mm.Network(inputs=1, hidden=(1,), likelihood="heteroscedastic")
        >>> weights = {"W": [[1.0]], "b": [0.0], "V": [[2.0], [1.0]], "c": [0.0, 0.0]}
        >>> network.noise(weights, [[-1.0], [0.0], [1.0]]).round(2)
        array([0.47, 1.  , 2.14])
        """
        likelihood = self.likelihood_parts
        if not likelihood.is_real:
            raise InputError(
                f"likelihood: {self.likelihood} has no noise that is a standard deviation or scale"
            )
        inputs = checked_inputs(X, self.inputs)
        several = (self.outputs,) if self.outputs > 1 else ()

        def of_outputs(eta: FloatArray, draws: Mapping[str, FloatArray]) -> FloatArray:
            found = noise(likelihood.kind, eta, self.noise_of(draws))
            shape = (len(eta), len(inputs), self.outputs)
            return np.broadcast_to(found, shape).reshape(len(eta), len(inputs), *several)

        last = (len(inputs), *several)
        shapes = self.weight_shapes
        return over_draws(of_outputs, weights, shapes, inputs, self.activation, self.hidden, last)

    def function_values(self, weights: Weights, X: npt.ArrayLike) -> FloatArray:
        """Return the numbers that say which function a network computes.

        They are the predictions and, of the heteroscedastic likelihood, the noise.

        Parameters
        ----------
        weights : mapping of str to array_like, shape (..., *weight_shapes[name])
            Effective weights.
        X : array_like, shape (N, inputs)
            Inputs.

        Returns
        -------
        ndarray
            As `predict`; of the heteroscedastic likelihood shape (..., N, 2 outputs), with the
            standard deviations after the means.

        Examples
        --------
        >>> network = mm.Network(inputs=1, hidden=(1,), likelihood="heteroscedastic")
        >>> weights = {"W": [[1.0]], "b": [0.0], "V": [[2.0], [1.0]], "c": [0.0, 0.0]}
        >>> network.function_values(weights, [[0.0], [1.0]]).round(2)
        array([[0.  , 1.  ],
               [1.52, 2.14]])
        """
        found = self.predict(weights, X)
        if self.likelihood_parts.kind != "heteroscedastic":
            return found
        both = (found, self.noise(weights, X))
        return np.stack(both, axis=-1) if self.outputs == 1 else np.concatenate(both, axis=-1)

    def log_lik(
        self,
        weights: Weights,
        X: npt.ArrayLike,
        y: npt.ArrayLike,
        *,
        exposure: npt.ArrayLike | None = None,
        trials: npt.ArrayLike | None = None,
    ) -> FloatArray:
        """Return the log likelihood of each observation under each draw of the weights.

        For variable size it is log sum_K p_active[K] p(y | first K units): the predictive density
        of new observations, one by one. (The observations of the data already decided
        ``p_active``.)

        Parameters
        ----------
        weights : mapping of str to array_like, shape (..., *weight_shapes[name])
            Effective weights, with sigma if the noise is sampled.
        X : array_like, shape (N, inputs)
            Inputs.
        y : array_like
            Targets, as in `data`.
        exposure, trials : array_like, shape (N,), optional
            As in `data`.

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
        likelihood, n = self.likelihood_parts, len(inputs)
        exposures = checked_exposure(exposure, n, likelihood)
        tries = checked_trials(trials, n, likelihood)
        target = checked_target(y, n, likelihood.kind, self.outputs, tries)

        def log_likelihoods(eta: FloatArray, draws: Mapping[str, FloatArray]) -> FloatArray:
            sigma = self.noise_of(draws)
            return log_density(likelihood, target, eta, sigma, exposures, tries)

        shapes, last = self.weight_shapes, (len(inputs),)
        return over_draws(
            log_likelihoods, weights, shapes, inputs, self.activation, self.hidden, last, logs=True
        )


_LIKELIHOODS_OF_ALL = 3  # of LIKELIHOODS, the first ones, which the program of each constraint has
_WIDEST_LOG_SD = 10.0  # prior scale of the logarithm of a standard deviation
_ROWS_TO_CENTRE = 20  # observations for each parameter


def _count(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise InputError(f"{name}: {value!r} is not allowed; give a whole number, 1 or more")
    return int(value)


def _choice(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise InputError(f"{name}: {value!r} is unknown; allowed are {', '.join(allowed)}")
